//! The provider: who it is, and how its own tokens are protected.

use std::sync::Arc;

use super::keys::SigningLabels;
use super::layers::{Layers, MadeToken, Opened, Signing, VerifiedToken};
use super::payload::Payload;
use super::rules::{Claims, Untyped};
use super::{Now, Oidc};
use crate::alg::Algorithm;
use crate::error::{Error, ErrorKind, Result};
use crate::jose::claims::ClaimRules;
use crate::jose::jwe::{self, EncryptOptions};
use crate::ops::KeySet;
use crate::profiles::{refused, refused_by};

/// Encrypts client-side access and refresh tokens.
const ENCRYPTION_LABEL: &str = "am.services.oauth2.stateless.token.encryption";

/// An OpenID provider under one issuer identifier. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Provider {
    oidc: Oidc,
    issuer: String,
    tokens: Vec<TokenProtection>,
}

/// How access and refresh tokens are protected.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "Ping AM has these two, one or the other")]
pub enum TokenProtection {
    /// Encrypted with `am.services.oauth2.stateless.token.encryption`, a symmetric key that only the provider has: its
    /// tag proves who made the token. Encryption takes the place of a signature, as in Ping AM.
    Encrypted,
    /// Signed with this algorithm, by the label `am.services.oauth2.stateless.signing.*` of it.
    Signed(&'static Algorithm),
}

impl Provider {
    pub(super) fn new(oidc: Oidc, issuer: String) -> Self {
        let rs256 = Algorithm::find("RS256").map(TokenProtection::Signed);
        Self { oidc, issuer, tokens: rs256.into_iter().collect() }
    }

    /// The same provider with other protections of access and refresh tokens: the first acts, each still opens, so that
    /// a change of algorithm is a change of order too.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] if there is none, [`ErrorKind::AlgorithmNotAllowed`] for an algorithm without a label.
    pub fn with_tokens(self, tokens: &[TokenProtection]) -> Result<Self> {
        if tokens.is_empty() {
            return Err(Error::new(ErrorKind::Usage, "access tokens need a protection"));
        }
        for token in tokens {
            if let TokenProtection::Signed(algorithm) = token {
                SigningLabels::Stateless.of(algorithm)?;
            }
        }
        Ok(Self { tokens: tokens.to_vec(), ..self })
    }

    /// The issuer identifier.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The keys that encrypt access and refresh tokens now; `None`: they are signed.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownLabel`] if no label is mapped.
    pub fn encrypting(&self) -> Result<Option<Arc<KeySet>>> {
        match self.tokens.first() {
            Some(TokenProtection::Signed(_)) => Ok(None),
            _ => self.oidc.now().label(ENCRYPTION_LABEL).map(|keys| Some(keys.set)),
        }
    }

    pub(super) const fn oidc(&self) -> &Oidc {
        &self.oidc
    }

    /// Protects the claims of an access or refresh token.
    pub(super) fn protect(
        &self,
        now: &Now<'_>,
        payload: &Payload,
        typ: &'static str,
    ) -> Result<MadeToken> {
        let first = self.tokens.first().copied().unwrap_or(TokenProtection::Encrypted);
        match first {
            TokenProtection::Encrypted => {
                let (typ, expires) = (Some(typ.into()), payload.expires);
                let options = EncryptOptions { typ, expires, ..EncryptOptions::default() };
                let keys = now.label(ENCRYPTION_LABEL)?;
                let token = jwe::encrypt(&keys.set, &payload.json, &options)?;
                Ok(MadeToken::by(keys, token))
            }
            TokenProtection::Signed(algorithm) => {
                let keys = now.named(SigningLabels::Stateless.of(algorithm)?)?;
                let signing = Signing { keys: &keys, algorithm: Some(algorithm) };
                let layers = Layers { signing, encryption: None };
                let token = layers.seal(payload, typ, Claims::new())?;
                Ok(MadeToken::by(keys, token))
            }
        }
    }

    /// Opens an access or refresh token of this provider, in any protection that it has; the typ must be there.
    pub(super) fn unprotect(
        &self,
        now: &Now<'_>,
        token: &str,
        typ: &str,
        rules: &ClaimRules<'_>,
    ) -> Result<VerifiedToken> {
        let mut last = refused("the provider has no protection for tokens");
        for protection in &self.tokens {
            let opened = match protection {
                TokenProtection::Encrypted => decrypt_token(now, token),
                TokenProtection::Signed(algorithm) => verify_token(now, token, algorithm),
            };
            match opened {
                Ok(opened) => {
                    opened.check_typ(Some(typ), Untyped::Refused)?;
                    return opened.accept(rules, now.time);
                }
                Err(error) if error.kind() == ErrorKind::TokenRefused => last = error,
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }
}

fn verify_token(now: &Now<'_>, token: &str, algorithm: &'static Algorithm) -> Result<Opened> {
    let keys = now.named(SigningLabels::Stateless.of(algorithm)?)?;
    let signing = Signing { keys: &keys, algorithm: Some(algorithm) };
    Layers { signing, encryption: None }.open(token)
}

/// Symmetric keys: the catalogue lets no others stand behind this label.
fn decrypt_token(now: &Now<'_>, token: &str) -> Result<Opened> {
    let keys = now.label(ENCRYPTION_LABEL)?;
    jwe::decrypt(&keys.set, token).map(Opened::from).map_err(refused_by)
}
