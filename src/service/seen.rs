//! What was learnt of a request on its way, for figures and records.

use super::call::Call;
use crate::label::{CallerName, LabelName, Realm};

/// As far as the request came.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// The place of its route in the table.
    pub(super) route: Option<usize>,
    /// Who was let in.
    pub(super) caller: Option<CallerName>,
    /// A label that is mapped, as its uses are counted: others are inventions of the caller.
    pub(super) label: Option<LabelName>,
    /// As which realm, if any store is its own.
    pub(super) realm: Option<Realm>,
}

impl Seen {
    /// Takes over what a call is about that was let in.
    pub(super) fn admitted(&mut self, call: &Call<'_>) {
        let (snapshot, realm) = (&call.snapshot, call.realm.as_ref());
        self.caller.clone_from(&call.caller);
        let label = call.label.as_ref();
        self.label = label.and_then(|label| snapshot.counted_as(realm, label)).cloned();
        self.realm = snapshot.with_stores(realm).cloned();
    }
}
