//! Steps of a rotation, each done once; drills; reloads.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::transport::Request;
use super::{Client, Label, Problem, Result, wire};

/// How a step is taken.
#[derive(Clone, Debug, Default, Serialize)]
#[expect(clippy::exhaustive_structs, reason = "options, set with `..StepOptions::default()`")]
pub struct StepOptions {
    /// The store, where several map the label.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
    /// Why, for the journal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Tells what would change and what it breaks; changes nothing.
    pub dry_run: bool,
    /// Lets a key act before everybody knows it; not of `revoke` and `generate`, which refuse it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub now: bool,
    /// Goes past every gate.
    pub force: bool,
}

/// What a new key is; where nothing is said it is as the active key is.
#[derive(Clone, Debug, Default, Serialize)]
#[expect(clippy::exhaustive_structs, reason = "options, set with `..KeyKind::default()`")]
pub struct KeyKind {
    /// `rsa`, `ec`, `ed25519`, `ed448`, `x25519`, `x448`, `aes`, `hmac` or `password`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub key_type: Option<String>,
    /// The size of an RSA or symmetric key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bits: Option<usize>,
    /// The curve of an EC key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub curve: Option<String>,
    /// The subject of its self-signed certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// How many days that certificate is valid; absent: 825.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub days: Option<u32>,
}

/// What came of a step.
#[derive(Clone, Debug, Deserialize)]
#[must_use]
#[non_exhaustive]
pub struct Stepped {
    /// Whether something was changed: not in a dry run, and not if everything was so already.
    pub done: bool,
    /// Whether it was a dry run.
    pub dry_run: bool,
    /// The closed gate that would stop it; only of a dry run.
    pub stopped_by: Option<String>,
    /// What changed, or would: the step, its mappings, the difference, the consequences and the closed gates.
    pub plan: Map<String, Value>,
    /// The end of the journal after it: its number and hash.
    pub head: Option<Map<String, Value>>,
    /// What the operator should know besides.
    pub notes: Vec<String>,
    /// The generation of the keyring that serves now.
    pub generation: u64,
    /// Why the step does not serve yet, though it is done.
    pub not_taken: Option<Problem>,
}

/// What a rotation would break.
#[derive(Clone, Debug, Deserialize)]
#[must_use]
#[non_exhaustive]
pub struct Drilled {
    /// `safe` or `breaks`.
    pub verdict: String,
    /// How many tokens were made and checked.
    pub tokens: usize,
    /// What became of them, for each scope that maps the label.
    pub labels: Vec<Map<String, Value>>,
}

/// What serves after a reload.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
pub struct Reloaded {
    /// The generation of the keyring.
    pub generation: u64,
    /// What changed, by label and realm.
    pub diff: Map<String, Value>,
}

#[derive(Serialize)]
struct OfAlias<'a> {
    alias: &'a str,
    #[serde(flatten)]
    options: &'a StepOptions,
}

#[derive(Serialize)]
struct Reorder<'a> {
    aliases: &'a [&'a str],
    #[serde(flatten)]
    options: &'a StepOptions,
}

#[derive(Serialize)]
struct Revoke<'a> {
    alias: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    compromised_at: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    replace: Option<&'a str>,
    #[serde(flatten)]
    options: &'a StepOptions,
}

#[derive(Serialize)]
struct Generate<'a> {
    alias: &'a str,
    #[serde(flatten)]
    kind: &'a KeyKind,
    #[serde(flatten)]
    options: &'a StepOptions,
}

#[derive(Serialize)]
struct Nothing {}

impl Label {
    /// Adds an alias, to be published and tried.
    ///
    /// # Errors
    /// [`ClientError`](super::ClientError).
    pub fn stage(&self, alias: &str, options: &StepOptions) -> Result<Stepped> {
        self.change("stage", &OfAlias { alias, options })
    }

    /// Makes the next key and stages it.
    ///
    /// # Errors
    /// [`ClientError`](super::ClientError).
    pub fn generate(&self, alias: &str, kind: &KeyKind, options: &StepOptions) -> Result<Stepped> {
        self.change("generate", &Generate { alias, kind, options })
    }

    /// Lets a staged alias act.
    ///
    /// # Errors
    /// [`ClientError`](super::ClientError); `not_announced` with the time at which the gate opens.
    pub fn promote(&self, alias: &str, options: &StepOptions) -> Result<Stepped> {
        self.change("promote", &OfAlias { alias, options })
    }

    /// Puts all aliases in a new order; the first acts.
    ///
    /// # Errors
    /// [`ClientError`](super::ClientError).
    pub fn reorder(&self, aliases: &[&str], options: &StepOptions) -> Result<Stepped> {
        self.change("reorder", &Reorder { aliases, options })
    }

    /// Takes an alias out of its mapping.
    ///
    /// # Errors
    /// [`ClientError`](super::ClientError); `still_in_use` with the time at which the gate opens.
    pub fn retire(&self, alias: &str, options: &StepOptions) -> Result<Stepped> {
        self.change("retire", &OfAlias { alias, options })
    }

    /// Bans a key for good. `compromised_at`, in RFC 3339, is since when somebody else may have had it; `replace` the alias
    /// of a new key, made as the banned one is.
    ///
    /// # Errors
    /// [`ClientError`](super::ClientError).
    pub fn revoke(
        &self,
        alias: &str,
        compromised_at: Option<&str>,
        replace: Option<&str>,
        options: &StepOptions,
    ) -> Result<Stepped> {
        self.change("revoke", &Revoke { alias, compromised_at, replace, options })
    }

    /// Takes the last step back.
    ///
    /// # Errors
    /// [`ClientError`](super::ClientError).
    pub fn undo(&self, options: &StepOptions) -> Result<Stepped> {
        self.change("undo", options)
    }

    /// Rehearses a rotation with fresh keys. Nothing real is touched.
    ///
    /// # Errors
    /// [`ClientError`](super::ClientError).
    pub fn drill(&self) -> Result<Drilled> {
        self.act("drill", &Nothing {})
    }
}

impl Client {
    /// Reads the configuration of the service and its stores again.
    ///
    /// # Errors
    /// [`ClientError`](super::ClientError).
    pub fn reload(&self) -> Result<Reloaded> {
        let request = Request::post("/v1/reload", &Nothing {})?.once()?;
        wire::read(&self.0.send(&request)?.body)
    }
}
