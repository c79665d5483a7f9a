//! One call: who, in which realm, for which label, over which snapshot.

use std::collections::HashMap;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::keyring::Snapshot;
use crate::label::{CallerName, LabelName, Realm};
use crate::ops::{self, KeySet};

use super::Service;

/// What a handler knows of its request, besides the body. The caller was let in for `label` and `realm`.
#[derive(Debug)]
pub(crate) struct Call<'s> {
    pub(crate) service: &'s Service,
    /// Of the whole request.
    pub(crate) snapshot: Arc<Snapshot>,
    /// Who calls; `None` on routes that are for everybody.
    pub(crate) caller: Option<CallerName>,
    /// `realm` of the query; absent: the root realm.
    pub(crate) realm: Option<Realm>,
    /// `{label}` of the path, in its canonical spelling.
    pub(crate) label: Option<LabelName>,
    /// Other parts of the path.
    pub(crate) parts: HashMap<String, String>,
    /// The query, decoded; each name once.
    pub(crate) query: HashMap<String, String>,
    /// Headers that handlers may read.
    pub(crate) headers: hyper::HeaderMap,
}

impl Call<'_> {
    /// The label of the path.
    ///
    /// # Errors
    /// [`ErrorKind::Bug`] on a route without one.
    pub(crate) fn label(&self) -> Result<&LabelName> {
        self.label.as_ref().ok_or_else(|| Error::new(ErrorKind::Bug, "a route without a label"))
    }

    /// The keys of the label of the path.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownLabel`].
    pub(crate) fn keys(&self) -> Result<Arc<KeySet>> {
        ops::keys_of(&self.snapshot, self.realm.as_ref(), self.label()?)
    }
}
