//! Userinfo responses that are JWTs (OpenID Connect Core §5.3.2).

use std::sync::Arc;

use serde_json::{Map, Value};

use super::Now;
use super::keys::Response;
use super::layers::{self, Layers, Signing};
use super::relying_party::RelyingParty;
use super::rules::{self, Claims, Untyped, text};
use crate::error::{Error, ErrorKind, Result};
use crate::jose::claims;
use crate::ops::KeySet;
use crate::profiles::{refused, refused_by};

/// Claims of ID tokens and logout tokens.
const OTHERS: [&str; 5] = ["at_hash", "c_hash", "events", "nonce", "s_hash"];

impl RelyingParty {
    /// Opens a userinfo response: signed, encrypted, or both, as the client registered. Its `sub` must be `subject`, that
    /// of the ID token; nothing else of it may be believed otherwise (§5.3.2).
    ///
    /// # Errors
    /// [`ErrorKind::TokenRefused`]; [`ErrorKind::Usage`] if the client registered neither, for then it is plain JSON, and
    /// without the provider's keys; [`ErrorKind::UnknownLabel`].
    pub fn open_userinfo(
        &self,
        provider_keys: Option<&Arc<KeySet>>,
        response: &str,
        subject: &str,
    ) -> Result<Map<String, Value>> {
        let (now, agreed) = (self.oidc().now(), self.client().userinfo());
        let decryption = agreed
            .encryption
            .map(|one| self.decryption(&now, one, Response::Userinfo))
            .transpose()?;
        let encryption = decryption.as_ref().zip(agreed.encryption);
        let claims = match (agreed.signing, encryption) {
            (Some(_), encryption) => {
                let keys = self.verification(&now, provider_keys, agreed.signing)?;
                let signing = Signing { keys: &keys, algorithm: agreed.signing };
                let opened = Layers { signing, encryption }.open(response)?;
                rules::check_typ(&opened.header, None, Untyped::Accepted)?;
                self.claims_of(&now, &opened.payload)?
            }
            (None, Some((keys, encryption))) => {
                let decrypted = layers::decrypt(keys, encryption, response)?;
                // EXPOSE: the claims go to the caller.
                self.claims_of(&now, decrypted.plaintext.expose_secret())?
            }
            (None, None) => {
                let text =
                    "the client registered no signed or encrypted userinfo: it is plain JSON";
                return Err(Error::new(ErrorKind::Usage, text));
            }
        };
        if text(&claims, "sub") != Some(subject) {
            return Err(refused("the response is about another subject"));
        }
        Ok(claims)
    }

    /// Issuer and audience hold where they are there: §5.3.2 says that they should be.
    fn claims_of(&self, now: &Now<'_>, payload: &[u8]) -> Result<Claims> {
        let claims = claims::check(payload, &now.claim_rules(), now.time).map_err(refused_by)?;
        rules::check_shapes(&claims)?;
        // What only other tokens of the provider hold, which have no typ either.
        if OTHERS.iter().any(|name| claims.contains_key(*name)) {
            return Err(refused("it is another kind of token"));
        }
        if text(&claims, "iss").is_some_and(|issuer| issuer != self.issuer()) {
            return Err(refused("the response is of another issuer"));
        }
        if claims.contains_key("aud") && !rules::audiences(&claims).contains(&self.client().id()) {
            return Err(refused("the response is for another audience"));
        }
        Ok(claims)
    }
}
