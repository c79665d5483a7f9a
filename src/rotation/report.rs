//! What is told of a step to programs: that it was done, or what it would do.

use serde::Serialize;

use super::gates::Overrides;
use super::{Plan, Rotation};
use crate::journal::anchors::Head;

/// A step that was done, or rehearsed.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// Whether something was changed: not in a dry run, and not if everything was so already.
    pub done: bool,
    /// Whether it was a dry run.
    pub dry_run: bool,
    /// The closed gate that would stop it; only of a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped_by: Option<&'static str>,
    /// What changed, or would.
    pub plan: Plan,
    /// The end of the journal after it; absent of a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head: Option<Option<Head>>,
    /// What the operator should know besides.
    pub notes: Vec<String>,
}

impl Rotation {
    /// Of a step that was done.
    #[must_use]
    pub fn report_done(&self, plan: Plan) -> Report {
        Report {
            done: !plan.is_done(),
            dry_run: false,
            stopped_by: None,
            notes: self.notes_for(&plan.origin),
            plan,
            head: Some(self.history().head()),
        }
    }

    /// Of a dry run.
    #[must_use]
    pub fn report_preview(&self, plan: Plan, overrides: Overrides) -> Report {
        let stopped_by = plan.stopped_by(overrides).map(|gate| gate.code);
        let notes = self.notes_for(&plan.origin);
        Report { done: false, dry_run: true, stopped_by, plan, head: None, notes }
    }
}
