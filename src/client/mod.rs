//! The service from Rust: a blocking client with types for labels, sessions and steps of a rotation.
//!
//! It asks over HTTPS with a client certificate, an API key or a token, or over a Unix socket, keeps its connections, and
//! may be used by many threads. What the service refuses is a [`Problem`] with its stable code. Only an answer of 429 or
//! 503 that says when to come back is waited for and asked again; a step of a rotation has an `Idempotency-Key` of its
//! own and is done once, however often it is sent.
//!
//! ```no_run
//! use claviger::client::{Client, StepOptions};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::builder("https://localhost:8443")
//!     .roots_pem(&std::fs::read("tls/ca.pem")?)?
//!     .certificate_pem(&std::fs::read("tls/admin.pem")?, &std::fs::read("tls/admin.key")?)?
//!     .build()?;
//! let id_tokens = client.label("am.services.oauth2.oidc.signing.ES256")?;
//!
//! let made = id_tokens.sign(br#"{"sub":"alice"}"#)?;
//! let verified = id_tokens.verify(&made.token)?;
//! assert_eq!(verified.payload, br#"{"sub":"alice"}"#);
//!
//! let told = id_tokens.promote("es256-2", &StepOptions { dry_run: true, ..StepOptions::default() })?;
//! println!("stopped by: {:?}", told.stopped_by);
//! # Ok(())
//! # }
//! ```

mod builder;
mod encryption;
mod error;
mod labels;
mod reading;
mod sessions;
mod signing;
mod steps;
mod transport;
mod unix;
mod wire;

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::label::{LabelName, Realm};

pub use builder::ClientBuilder;
pub use encryption::{Decrypted, EncryptOptions, OpenedBy, Rewrapped};
pub use error::{ClientError, Problem};
pub use labels::Label;
pub use reading::{AliasFacts, GoneFacts, Jwks, LabelFacts, Labels, Readiness, Refusal, Status};
pub use sessions::{Cookie, EndedSession, KeyOf, OpenedSession, SealedSession, Sessions};
pub use signing::{
    Checks, DigestHash, Made, RawSignature, RawVerified, SignOptions, Verified, VerifyOptions,
};
pub use steps::{Drilled, KeyKind, Reloaded, StepOptions, Stepped};
pub use wire::Token;

use transport::{Request, Transport};

/// What a call comes to.
pub type Result<T, E = ClientError> = std::result::Result<T, E>;

/// A service. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub struct Client(Arc<Transport>);

impl Client {
    /// A client of the service at `https://host:port`, or at `unix:/path/of/its.sock`. Without TLS only this host is
    /// asked.
    pub fn builder(url: &str) -> ClientBuilder {
        ClientBuilder::new(url)
    }

    /// A label, in the root realm.
    ///
    /// # Errors
    /// [`ClientError::Setup`] for what is no name of a label.
    pub fn label(&self, name: &str) -> Result<Label> {
        let label: LabelName = name.parse().map_err(|error| ClientError::setup(&error))?;
        Ok(Label::new(self.clone(), label))
    }

    /// The client-side sessions of the root realm.
    #[must_use]
    pub fn sessions(&self) -> Sessions {
        Sessions::new(self.clone())
    }

    /// Posts a body to any route that answers JSON, for those without a function of their own: tokens of profiles, OpenID
    /// Connect, SAML. Their bodies and answers are at `GET /` of the service.
    ///
    /// # Errors
    /// [`ClientError`]; [`ClientError::Setup`] for a path that does not start with `/` or has a query.
    pub fn post<A: DeserializeOwned>(
        &self,
        path: &str,
        realm: Option<&Realm>,
        body: &impl Serialize,
    ) -> Result<A> {
        transport::require_path(path)?;
        let answer = self.0.send(&Request::post(path, body)?.in_realm(realm))?;
        wire::read(&answer.body)
    }

    fn get<A: DeserializeOwned>(&self, path: &str, realm: Option<&Realm>) -> Result<A> {
        let answer = self.0.send(&Request::get(path).in_realm(realm))?;
        wire::read(&answer.body)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

fn parse_realm(name: &str) -> Result<Realm> {
    name.parse().map_err(|error| ClientError::setup(&error))
}
