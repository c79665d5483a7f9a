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
    /// A label that is mapped: others are inventions of the caller.
    pub(super) label: Option<LabelName>,
    /// As which realm.
    pub(super) realm: Option<Realm>,
}

impl Seen {
    /// Takes over what a call is about that was let in.
    pub(super) fn admitted(&mut self, call: &Call<'_>) {
        let mapped =
            |label: &&LabelName| call.snapshot.find_along(call.realm.as_ref(), label).is_some();
        self.caller.clone_from(&call.caller);
        self.label = call.label.as_ref().filter(mapped).cloned();
        self.realm.clone_from(&call.realm);
    }
}
