//! OAuth 2.0 and OpenID Connect on labels: ID, logout, access and refresh tokens, request objects, client
//! authentication with JWTs and certificates, pairwise subjects; as the provider and as a relying party.
//!
//! A profile names labels, algorithms and claim rules, and computes nothing itself. Algorithms come from the
//! registration of the client or from the provider's settings, never from a token.

mod access_token;
mod assertion;
mod certificate;
mod client;
mod hashes;
mod id_token;
mod keys;
mod layers;
mod logout_token;
mod payload;
mod provider;
mod refresh_token;
mod registration;
mod relying_party;
mod replay;
mod request_object;
mod rules;
mod subject;
mod userinfo;

#[cfg(feature = "service")]
pub(crate) use access_token::introspection;
pub use access_token::{AccessTokenOptions, AccessTokenRules, Binding};
pub use assertion::{AssertionOptions, AssertionRules, AudienceForm, Typed};
pub use certificate::CertificateMethod;
pub use client::{Algorithms, Authentication, Client, JwtMethod};
pub use hashes::half_hash;
pub use id_token::{Endpoint, Expired, IdTokenOptions, IdTokenRules, Nonce};
#[cfg(feature = "service")]
pub(crate) use layers::MadeToken;
pub use layers::{TokenClaims, VerifiedToken};
pub use logout_token::{LogoutTokenOptions, LogoutTokenRules};
pub use provider::{Provider, TokenProtection};
pub use refresh_token::RefreshTokenOptions;
pub use registration::Encryption;
pub use relying_party::RelyingParty;
pub use replay::{JtiUse, NoReplayCheck, ReplayGuard};
pub use request_object::{RequestObjectOptions, RequestObjectRules};
pub use rules::Untyped;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::Guard;

use crate::error::Result;
use crate::jose::claims::ClaimRules;
use crate::keyring::{Keyring, Snapshot};
use crate::label::Realm;
use crate::ops::{Label, RealmView};

/// OAuth 2.0 and OpenID Connect as one realm sees its labels. Cheap to clone; it follows reloads.
#[derive(Clone, Debug)]
pub struct Oidc {
    keyring: Keyring,
    realm: Option<Realm>,
}

impl Keyring {
    /// OAuth 2.0 and OpenID Connect in a realm; `None` is the global scope.
    #[must_use]
    pub fn oidc(&self, realm: Option<Realm>) -> Oidc {
        Oidc { keyring: self.clone(), realm }
    }
}

impl RealmView {
    /// OAuth 2.0 and OpenID Connect in this realm.
    #[must_use]
    pub fn oidc(&self) -> Oidc {
        self.keyring().oidc(Some(self.name().clone()))
    }
}

impl Oidc {
    /// The provider under this issuer identifier. Its access and refresh tokens are signed with RS256 unless
    /// [`Provider::with_tokens`] says otherwise.
    #[must_use]
    pub fn provider(&self, issuer: impl Into<String>) -> Provider {
        Provider::new(self.clone(), issuer.into())
    }

    /// A relying party that is `client` at the provider under this issuer identifier.
    #[must_use]
    pub fn relying_party(&self, client: Client, issuer: impl Into<String>) -> RelyingParty {
        RelyingParty::new(self.clone(), client, issuer.into())
    }

    /// A handle on a label here.
    fn handle(&self, name: &str) -> Result<Label> {
        match &self.realm {
            Some(realm) => self.keyring.realm(realm.as_str())?.label(name),
            None => self.keyring.label(name),
        }
    }

    /// What one call works with from start to end.
    fn now(&self) -> Now<'_> {
        let (snapshot, time) = (self.keyring.load(), self.keyring.clock().now());
        Now { realm: self.realm.as_ref(), snapshot, time }
    }
}

/// One call: it works with one snapshot and one time, whatever is reloaded meanwhile.
struct Now<'o> {
    realm: Option<&'o Realm>,
    snapshot: Guard<Arc<Snapshot>>,
    time: SystemTime,
}

impl Now<'_> {
    /// The rules of every token's claims: clocks may differ by `policy.clock_skew`.
    fn claim_rules(&self) -> ClaimRules<'static> {
        let policy = &self.snapshot.config().policy;
        let max_json_depth = policy.limits.max_json_depth;
        ClaimRules { skew: policy.clock_skew, max_json_depth, ..ClaimRules::default() }
    }

    fn skew(&self) -> Duration {
        self.snapshot.config().policy.clock_skew
    }
}
