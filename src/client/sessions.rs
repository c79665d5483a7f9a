//! Client-side sessions: made, opened, used again, ended.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Client, Result, parse_realm};
use crate::label::Realm;

/// The sessions of a realm, as `[sessions]` of the service's configuration says.
#[derive(Clone, Debug)]
pub struct Sessions {
    client: Client,
    realm: Option<Realm>,
}

/// A session as a browser gets it. Times are in RFC 3339.
#[derive(Clone, Deserialize)]
#[non_exhaustive]
pub struct SealedSession {
    /// The value of the cookie.
    pub token: String,
    /// Its id.
    pub id: String,
    /// When it was made.
    pub issued: String,
    /// When it was used last.
    pub seen: String,
    /// When it ends unless it is used; absent: at its end alone.
    pub ends_unless_used: Option<String>,
    /// When it ends at the latest.
    pub ends: String,
    /// How large the cookie is.
    pub cookie: Cookie,
}

/// Without the cookie: who has it is the user.
impl fmt::Debug for SealedSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedSession")
            .field("id", &self.id)
            .field("ends", &self.ends)
            .finish_non_exhaustive()
    }
}

/// The size of a cookie.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
pub struct Cookie {
    /// Name, `=` and value, in bytes.
    pub bytes: usize,
    /// What every browser keeps, in bytes.
    pub limit: usize,
    /// The claims in it, in bytes.
    pub claims_bytes: usize,
    /// What would make it smaller, where it is too large.
    pub advice: Vec<String>,
}

/// A session that is accepted. Times are in RFC 3339.
#[derive(Clone, Debug, Deserialize)]
#[must_use]
#[non_exhaustive]
pub struct OpenedSession {
    /// Its claims.
    pub claims: Map<String, Value>,
    /// Its id.
    pub id: Option<String>,
    /// The realm that it was made in; absent: the root realm.
    pub realm: Option<String>,
    /// When it was made.
    pub issued: Option<String>,
    /// When it was used last.
    pub seen: Option<String>,
    /// When it ends unless it is used.
    pub ends_unless_used: Option<String>,
    /// When it ends at the latest.
    pub ends: Option<String>,
    /// What verified it; absent: it is not signed.
    pub verified_by: Option<KeyOf>,
    /// What decrypted it; absent: it is not encrypted.
    pub decrypted_by: Option<KeyOf>,
}

/// A key by its names.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
pub struct KeyOf {
    /// Its alias.
    pub alias: String,
    /// Its store.
    pub store: String,
    /// Its kid.
    pub kid: String,
}

/// A session that was ended.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
pub struct EndedSession {
    /// Its id.
    pub id: String,
    /// Until when it would have lived, in RFC 3339.
    pub until: String,
}

#[derive(Serialize)]
struct Claims<'a> {
    claims: &'a Map<String, Value>,
}

#[derive(Serialize)]
struct Shown<'a> {
    token: &'a str,
}

impl Sessions {
    pub(super) const fn new(client: Client) -> Self {
        Self { client, realm: None }
    }

    /// Those of a realm.
    ///
    /// # Errors
    /// [`ClientError::Setup`](super::ClientError::Setup) for what is no name of a realm.
    pub fn in_realm(self, realm: &str) -> Result<Self> {
        Ok(Self { realm: Some(parse_realm(realm)?), ..self })
    }

    /// Makes a session of claims.
    ///
    /// # Errors
    /// [`ClientError`](super::ClientError).
    pub fn seal(&self, claims: &Map<String, Value>) -> Result<SealedSession> {
        self.client.post("/v1/sessions/seal", self.realm.as_ref(), &Claims { claims })
    }

    /// Opens the value of a cookie.
    ///
    /// # Errors
    /// [`ClientError`](super::ClientError); `token_refused`, whatever is wrong with it.
    pub fn open(&self, token: &str) -> Result<OpenedSession> {
        self.client.post("/v1/sessions/open", self.realm.as_ref(), &Shown { token })
    }

    /// Makes the same session anew, used now.
    ///
    /// # Errors
    /// [`ClientError`](super::ClientError).
    pub fn refresh(&self, token: &str) -> Result<SealedSession> {
        self.client.post("/v1/sessions/refresh", self.realm.as_ref(), &Shown { token })
    }

    /// Ends a session before its time.
    ///
    /// # Errors
    /// [`ClientError`](super::ClientError).
    pub fn end(&self, token: &str) -> Result<EndedSession> {
        self.client.post("/v1/sessions/end", self.realm.as_ref(), &Shown { token })
    }
}
