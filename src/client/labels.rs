//! A label of the service, in a realm.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::transport::{Answer, Request};
use super::{Client, Problem, Result, parse_realm, wire};
use crate::label::{LabelName, Realm};

/// What the service does with the keys of one label. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Label {
    pub(super) client: Client,
    label: LabelName,
    realm: Option<Realm>,
}

impl Label {
    pub(super) const fn new(client: Client, label: LabelName) -> Self {
        Self { client, label, realm: None }
    }

    /// The same label in a realm.
    ///
    /// # Errors
    /// [`ClientError::Setup`](super::ClientError::Setup) for what is no name of a realm.
    pub fn in_realm(self, realm: &str) -> Result<Self> {
        Ok(Self { realm: Some(parse_realm(realm)?), ..self })
    }

    fn path(&self, what: &str) -> String {
        let mark = if what.is_empty() { "" } else { "/" };
        format!("/v1/labels/{}{mark}{what}", self.label)
    }

    pub(super) fn ask<A: DeserializeOwned>(&self, what: &str) -> Result<A> {
        self.client.get(&self.path(what), self.realm.as_ref())
    }

    /// A `GET`.
    pub(super) fn request(&self, what: &str) -> Request {
        Request::get(self.path(what)).in_realm(self.realm.as_ref())
    }

    pub(super) fn send(&self, what: &str, body: &impl Serialize) -> Result<Answer> {
        self.client.0.send(&Request::post(self.path(what), body)?.in_realm(self.realm.as_ref()))
    }

    /// An operation whose answer holds no secret.
    pub(super) fn act<A: DeserializeOwned>(&self, what: &str, body: &impl Serialize) -> Result<A> {
        wire::read(&self.send(what, body)?.body)
    }

    /// Several of them, each with a result of its own.
    pub(super) fn act_all<B: Serialize, A>(
        &self,
        what: &str,
        items: Vec<B>,
        read: impl Fn(&[u8]) -> Result<A>,
    ) -> Result<Vec<Result<A, Problem>>> {
        let (what, count) = (format!("{what}/batch"), items.len());
        wire::results(&self.send(&what, &wire::Batch { items })?.body, count, read)
    }

    /// What changes something: under an `Idempotency-Key` of its own.
    pub(super) fn change<A: DeserializeOwned>(
        &self,
        what: &str,
        body: &impl Serialize,
    ) -> Result<A> {
        let request = Request::post(self.path(what), body)?.in_realm(self.realm.as_ref()).once()?;
        wire::read(&self.client.0.send(&request)?.body)
    }
}
