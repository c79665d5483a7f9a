//! What is told of a step to programs: that it was done, or what it would do.

use std::path::PathBuf;

use serde::Serialize;

use super::gates::Overrides;
use super::versions::FileChange;
use super::{Plan, Rotation};
use crate::atomic;
use crate::journal;
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
        let mut notes = self.notes_for(&plan.origin);
        notes.extend(self.told_closed(&plan));
        Report { done: false, dry_run: true, stopped_by, plan, head: None, notes }
    }

    /// That the step itself would be refused because something cannot be written.
    fn told_closed(&self, plan: &Plan) -> Option<String> {
        let closed = self.closed_to_writing(plan);
        if closed.is_empty() {
            return None;
        }
        let places = closed.iter().map(|path| path.display().to_string());
        let places = if plan.origin.is_here() {
            places.collect::<Vec<_>>().join(", ")
        } else {
            "what it changes".to_owned()
        };
        Some(format!("the step itself is refused: this process may not write {places}"))
    }

    /// What this step writes and this process may not, as far as that is told without trying.
    fn closed_to_writing(&self, plan: &Plan) -> Vec<PathBuf> {
        if plan.is_done() {
            return Vec::new();
        }
        let mut closed = Vec::new();
        if plan.text != self.text && !atomic::may_replace(&self.file) {
            closed.push(self.file.clone());
        }
        closed.extend(plan.files.iter().filter_map(FileChange::closed_to_writing));
        if let Some(state_dir) = self.state_dir() {
            let inside = ["lock", journal::FILE_NAME].map(|name| state_dir.join(name));
            let all = std::iter::once(state_dir).chain(inside);
            closed.extend(all.filter(|path| !atomic::may_write(path)));
        }
        closed
    }
}
