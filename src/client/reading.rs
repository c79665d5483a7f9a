//! Reading: labels and their keys, key sets, the journal, how the service is.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::transport::Request;
use super::{Client, ClientError, Label, Result, wire};
use crate::label::Realm;

/// The labels that the caller may read.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
pub struct Labels {
    /// In order of their names.
    pub labels: Vec<LabelFacts>,
    /// What could not be read.
    pub notes: Vec<String>,
}

/// A label with its keys.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
pub struct LabelFacts {
    /// The label.
    pub label: String,
    /// The realm; absent: global.
    pub realm: Option<String>,
    /// What it is for.
    #[serde(rename = "use")]
    pub uses: Vec<String>,
    /// The alias that acts.
    pub active: String,
    /// The algorithms that fit it, in order of preference.
    pub algorithms: Vec<String>,
    /// Every valid alias, the active one first.
    pub aliases: Vec<AliasFacts>,
    /// Keys that left it, the last one first.
    pub gone: Vec<GoneFacts>,
}

/// One key of a label. Times are in RFC 3339.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
pub struct AliasFacts {
    /// Its alias.
    pub alias: String,
    /// Its store.
    pub store: String,
    /// How tokens name it; absent of passwords.
    pub kid: Option<String>,
    /// What kind of key it is.
    pub key: String,
    /// Where it is in its life: `staged`, `active`, `valid`, `retiring`.
    pub phase: String,
    /// When its certificate ends.
    pub expires: Option<String>,
    /// Until when something that it made may be alive.
    pub horizon: Option<String>,
    /// From when on it may go; absent: at once.
    pub safe_after: Option<String>,
    /// Whether it can be proved when it may go.
    pub provable: bool,
    /// What was done with it, and when last.
    #[serde(flatten)]
    pub uses: Map<String, Value>,
}

/// A key that left its label.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
pub struct GoneFacts {
    /// The alias that it had.
    pub alias: String,
    /// `retired` or `revoked`.
    pub phase: String,
    /// When it left, in RFC 3339.
    pub since: String,
    /// What was done with it, and when last.
    #[serde(flatten)]
    pub uses: Map<String, Value>,
}

/// The keyring of the service at this moment.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
pub struct Status {
    /// Counts the snapshots, from 1.
    pub generation: u64,
    /// When the snapshot that serves was taken, in RFC 3339.
    pub loaded_at: String,
    /// Equal in every process that serves the same.
    pub content: String,
    /// Why what lies on disk does not serve; absent: it does.
    pub refused: Option<Refusal>,
    /// Stores, files and how they are watched.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// A reload that was refused.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
pub struct Refusal {
    /// When this began, in RFC 3339.
    pub since: String,
    /// The stable code.
    pub code: String,
    /// What is wrong.
    pub message: String,
}

/// Whether the service is fit to serve.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
pub struct Readiness {
    /// Whether it is.
    pub ready: bool,
    /// Why not.
    pub reasons: Vec<String>,
}

/// A published key set.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Jwks {
    /// The JSON document.
    pub json: String,
    /// Its entity tag, to ask with the next time.
    pub etag: String,
    /// How long it may be kept; zero if the answer does not say.
    pub max_age: Duration,
}

impl Jwks {
    /// Asks for a key set; `None`: the caller has it already.
    fn fetch(client: &Client, request: Request, etag: Option<&str>) -> Result<Option<Self>> {
        let request = request.with_header("if-none-match", etag);
        // Nobody who has none is told that it is the same.
        let request = if etag.is_some() { request.also(304) } else { request };
        let answer = client.0.send(&request)?;
        if answer.status == 304 {
            return Ok(None);
        }
        let wrong = || ClientError::Unexpected("the answer is no key set".to_owned());
        // EXPOSE: public keys.
        let json = String::from_utf8(answer.body.expose_secret().to_vec()).map_err(|_| wrong())?;
        serde_json::from_str::<KeySetForm>(&json).map_err(|_| wrong())?;
        let (etag, max_age) = (answer.header("etag").to_owned(), answer.max_age());
        Ok(Some(Self { json, etag, max_age }))
    }
}

/// RFC 7517 §5.
#[derive(Deserialize)]
struct KeySetForm {
    #[serde(rename = "keys")]
    _keys: Vec<serde::de::IgnoredAny>,
}

impl Label {
    /// The label with its keys.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn facts(&self) -> Result<LabelFacts> {
        self.ask("")
    }

    /// Why it resolves as it does: which stores were asked, and what each answered.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn explain(&self) -> Result<Map<String, Value>> {
        self.ask("explain")
    }

    /// What was done to its mappings, as the journal has it; since a time in RFC 3339.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn history(&self, since: Option<&str>) -> Result<Map<String, Value>> {
        let request = self.request("history").with("since", since);
        wire::read(&self.client.0.send(&request)?.body)
    }

    /// The keys that it publishes; `None`: they are those of `etag` still.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn jwks(&self, etag: Option<&str>) -> Result<Option<Jwks>> {
        Jwks::fetch(&self.client, self.request("jwks.json"), etag)
    }
}

impl Client {
    /// The labels of a realm that the caller may read.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn labels(&self, realm: Option<&Realm>) -> Result<Labels> {
        self.get("/v1/labels", realm)
    }

    /// Which snapshot serves, and since when.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn status(&self) -> Result<Status> {
        self.get("/v1/status", None)
    }

    /// Whether the journal is whole; with a `head` that was kept elsewhere, also whether it is in it.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn verify_history(&self, head: Option<&str>) -> Result<Map<String, Value>> {
        let request = Request::get("/v1/history/verify").with("head", head);
        wire::read(&self.0.send(&request)?.body)
    }

    /// Whether what lies on disk serves, and no rotation is late.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn readiness(&self) -> Result<Readiness> {
        wire::read(&self.0.send(&Request::get("/readyz").also(503))?.body)
    }

    /// The key set of the OpenID provider; `None`: it is that of `etag` still.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn provider_jwks(&self, realm: Option<&Realm>, etag: Option<&str>) -> Result<Option<Jwks>> {
        self.jwks("/.well-known/jwks.json", realm, etag)
    }

    /// The key set of every label that publishes; `None`: it is that of `etag` still.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn every_jwks(&self, realm: Option<&Realm>, etag: Option<&str>) -> Result<Option<Jwks>> {
        self.jwks("/v1/jwks.json", realm, etag)
    }

    fn jwks(&self, path: &str, realm: Option<&Realm>, etag: Option<&str>) -> Result<Option<Jwks>> {
        Jwks::fetch(self, Request::get(path).in_realm(realm), etag)
    }
}
