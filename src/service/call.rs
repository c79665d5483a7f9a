//! One call: who, in which realm, for which label, over which snapshot.

use std::cell::RefCell;
use std::sync::Arc;

use crate::access::Right;
use crate::crypto::sha256;
use crate::error::{Error, ErrorKind, Result};
use crate::keyring::{Keyring, Snapshot};
use crate::label::LabelName;
use crate::ops::{self, KeySet, LabelKey};

use super::asked::Asked;
use super::identity::Peer;
use super::request_id::RequestId;
use super::route::Route;
use super::seen::Noted;
use super::{Problem, Service};

/// Names and their values, in the order of the request. They are few.
#[derive(Clone, Debug, Default)]
pub(crate) struct Members(Vec<(String, String)>);

impl Members {
    /// The value of a name.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(one, _)| one == name).map(|(_, value)| value.as_str())
    }

    /// The names.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// Adds one; `false`: the name is there already.
    pub(crate) fn insert(&mut self, name: String, value: String) -> bool {
        let is_new = self.get(&name).is_none();
        if is_new {
            self.0.push((name, value));
        }
        is_new
    }
}

/// What a handler knows of its request, besides the body. The caller was let in for `label` and `realm`.
#[derive(Debug)]
pub(crate) struct Call<'s> {
    pub(crate) service: &'s Service,
    /// Pinned for the whole request: profiles are taken from it, never from the service's.
    pub(crate) keyring: Keyring,
    /// What it is pinned to.
    pub(crate) snapshot: Arc<Snapshot>,
    /// Who asks for what.
    pub(crate) asked: Arc<Asked>,
    /// Headers that handlers may read.
    pub(crate) headers: &'s hyper::HeaderMap,
    /// How records name the request.
    pub(crate) request: Named<'s>,
    /// What the handler tells for records.
    pub(crate) noted: RefCell<Noted>,
}

/// A request by its id, its sender and its route.
#[derive(Clone, Debug)]
pub(crate) struct Named<'s> {
    pub(crate) id: &'s RequestId,
    pub(crate) peer: &'s Peer,
    pub(crate) route: &'s Route,
}

impl Call<'_> {
    /// The label of the path.
    ///
    /// # Errors
    /// [`ErrorKind::Bug`] on a route without one.
    pub(crate) fn label(&self) -> Result<&LabelName> {
        self.asked
            .label
            .as_ref()
            .ok_or_else(|| Error::new(ErrorKind::Bug, "a route without a label"))
    }

    /// The keys of the label of the path.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownLabel`].
    pub(crate) fn keys(&self) -> Result<Arc<KeySet>> {
        let place = &self.asked.place;
        ops::keys_at(&self.snapshot, place, self.asked.realm.as_ref(), self.label()?)
    }

    /// Whether the caller has a right to this label too, for answers about several.
    pub(crate) fn may(&self, right: Right, label: &LabelName) -> bool {
        let access = &self.snapshot.config().access;
        let realm = self.asked.realm.as_ref();
        self.asked
            .caller
            .as_ref()
            .is_some_and(|name| access.allows(name, right, Some(label), realm))
    }

    /// Whether anybody listens to what is noted: there are audit lines.
    pub(crate) fn is_recorded(&self) -> bool {
        self.service.0.audit.is_some()
    }

    /// Tells records something; without audit lines nobody listens.
    pub(crate) fn note(&self, tell: impl FnOnce(&mut Noted)) {
        if self.is_recorded() {
            tell(&mut self.noted.borrow_mut());
        }
    }

    /// Tells records which key served; of several, the first.
    pub(crate) fn note_key(&self, alias: &str, kid: Option<&str>) {
        self.note(|noted| {
            if noted.alias.is_none() {
                (noted.alias, noted.kid) = (Some(alias.into()), kid.map(Into::into));
            }
        });
    }

    /// The same of a key that a profile names. One of a peer or of a client's registration is left out: its names are
    /// what the sender likes to write, and that of a weak secret tells something about it.
    pub(crate) fn note_key_of(&self, key: &LabelKey) {
        if key.is_ours() {
            self.note_key(key.alias.as_str(), Some(&key.kid));
        }
    }

    /// Tells records that something is about to be changed. It waits until that is on disk.
    ///
    /// # Errors
    /// 503 if that cannot be written and nothing may be changed then.
    pub(crate) fn begin_change(&self) -> Result<(), Problem> {
        let Some(audit) = &self.service.0.audit else { return Ok(()) };
        audit.begin(self)?;
        self.noted.borrow_mut().began = true;
        Ok(())
    }

    /// Whether everybody may do the same who shows no credential.
    pub(crate) fn is_open_to_everybody(&self, right: Right) -> bool {
        let access = &self.snapshot.config().access;
        let (label, realm) = (self.asked.label.as_ref(), self.asked.realm.as_ref());
        access.anonymous().is_some_and(|anybody| access.allows(anybody, right, label, realm))
    }

    /// What tells this request from every other: its route, path, query and body.
    pub(crate) fn fingerprint(&self, route: &str, body: &[u8]) -> [u8; 32] {
        let mut text = Vec::with_capacity(body.len() + 256);
        let mut add = |part: &[u8]| {
            text.extend_from_slice(part.len().to_string().as_bytes());
            text.push(b':');
            text.extend_from_slice(part);
        };
        add(route.as_bytes());
        add(self.asked.label.as_ref().map_or("", LabelName::as_str).as_bytes());
        for members in [&self.asked.parts, &self.asked.query] {
            let mut members: Vec<_> = members.0.iter().collect();
            members.sort_unstable();
            for (name, value) in members {
                add(name.as_bytes());
                add(value.as_bytes());
            }
        }
        add(body);
        sha256(&text)
    }
}
