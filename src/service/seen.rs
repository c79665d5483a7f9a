//! What was learnt of a request on its way, for figures and records.

use std::sync::Arc;

use super::asked::Asked;
use crate::journal::Head;
use crate::keyring::Snapshot;
use crate::label::{CallerName, LabelName, Realm};

/// As far as the request came.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// The place of its route in the table.
    pub(super) route: Option<usize>,
    /// What it was answered from.
    pub(super) snapshot: Option<Arc<Snapshot>>,
    /// What it was let in for.
    pub(super) asked: Option<Arc<Asked>>,
    /// Of one that was not let in.
    pub(super) refused: Refused,
    /// What its handler told.
    pub(super) noted: Noted,
}

/// What is known of a request that was not let in.
#[derive(Debug, Default)]
pub(super) struct Refused {
    /// Who it is of, if that was found out.
    pub(super) caller: Option<CallerName>,
    /// The label that was asked for, whether there is such a one or not.
    pub(super) label: Option<LabelName>,
    /// The realm that was asked for.
    pub(super) realm: Option<Realm>,
}

impl Seen {
    /// Who it is of.
    pub(super) fn caller(&self) -> Option<&CallerName> {
        self.asked.as_ref().map_or(&self.refused.caller, |asked| &asked.caller).as_ref()
    }

    /// The label that was asked for, whether the caller was let in or not, and whether there is such a one or not.
    pub(super) fn label(&self) -> Option<&LabelName> {
        self.asked.as_ref().map_or(&self.refused.label, |asked| &asked.label).as_ref()
    }

    /// The realm that was asked for.
    pub(super) fn realm(&self) -> Option<&Realm> {
        self.asked.as_ref().map_or(&self.refused.realm, |asked| &asked.realm).as_ref()
    }
}

/// What a handler tells of its work.
#[derive(Debug, Default)]
pub(crate) struct Noted {
    /// A change was about to be carried out.
    pub(crate) began: bool,
    /// The alias that served, or that a step is about.
    pub(crate) alias: Option<Box<str>>,
    /// Its kid.
    pub(crate) kid: Option<Box<str>>,
    /// Of a batch.
    pub(crate) items: Option<usize>,
    /// How many of them were refused.
    pub(crate) items_refused: Option<usize>,
    /// Nothing was to be changed.
    pub(crate) dry_run: bool,
    /// The end of the journal after a change.
    pub(crate) journal: Option<Head>,
}
