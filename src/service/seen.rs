//! What was learnt of a request on its way, for figures and records.

use std::sync::Arc;

use super::call::Call;
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
    /// Who was let in.
    pub(super) caller: Option<CallerName>,
    /// A label that is mapped, as its uses are counted: others are inventions of the caller.
    pub(super) label: Option<LabelName>,
    /// As which realm, if any store is its own.
    pub(super) realm: Option<Realm>,
    /// The label that was asked for, whether the caller was let in or not, and whether there is such a one or not.
    pub(super) asked_label: Option<LabelName>,
    /// The realm that was asked for.
    pub(super) asked_realm: Option<Realm>,
    /// What its handler told.
    pub(super) noted: Noted,
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

impl Seen {
    /// Takes over what a call is about that was let in.
    pub(super) fn admitted(&mut self, call: &Call<'_>) {
        let (snapshot, realm) = (&call.snapshot, call.realm.as_ref());
        let label = call.label.as_ref();
        self.label = label.and_then(|label| snapshot.counted_as(realm, label)).cloned();
        self.realm = snapshot.with_stores(realm).cloned();
    }
}
