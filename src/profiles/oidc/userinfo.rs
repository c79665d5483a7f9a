//! Userinfo responses that are JWTs (OpenID Connect Core §5.3.2).

use std::sync::Arc;

use serde_json::{Map, Value};

use super::Now;
use super::client::Client;
use super::keys::Response;
use super::layers::{self, Layers, MadeToken, Opened, Signing, VerifiedToken};
use super::payload::Draft;
use super::provider::Provider;
use super::relying_party::RelyingParty;
use super::rules::{self, Claims, Untyped, text};
use crate::error::{Error, ErrorKind, Result};
use crate::jose::claims;
use crate::jose::jwe::{self, EncryptOptions};
use crate::ops::KeySet;
use crate::profiles::{refused, refused_by};

/// The claims that are set here, or left out.
const OWN: [&str; 4] = ["iss", "aud", "exp", "iat"];
/// Claims of ID tokens and logout tokens.
const OTHERS: [&str; 5] = ["at_hash", "c_hash", "events", "nonce", "s_hash"];

impl Provider {
    /// Makes a userinfo response of these claims: signed as ID tokens are, encrypted, or both, as the client registered.
    /// Issuer and audience are set here. It has no times: it is no token that lives, and nobody takes it for one.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] for claims that are set here, that make another kind of token, or without a `sub`, and if the
    /// client registered neither; those of [`Provider::issue_id_token`] for the keys.
    pub fn issue_userinfo(&self, client: &Client, claims: &Claims) -> Result<String> {
        Ok(self.make_userinfo(client, claims)?.token)
    }

    /// As [`Provider::issue_userinfo`], and by whom.
    pub(crate) fn make_userinfo(&self, client: &Client, claims: &Claims) -> Result<MadeToken> {
        rules::refuse_own(claims, &OWN)?;
        rules::refuse_own(claims, &OTHERS)?;
        rules::check_given(claims, &["sub"])?;
        let (now, agreed) = (self.oidc().now(), client.userinfo());
        let mut draft = Draft::of(&now, claims)?;
        draft.set_text("iss", self.issuer())?;
        draft.set_text("aud", client.id())?;
        let to = agreed.encryption;
        let to = to.map(|one| now.encryption_keys_of(client, one, Response::Userinfo));
        let to = to.transpose()?.zip(agreed.encryption);
        let payload = draft.finish()?;
        match (agreed.signing, to) {
            (Some(algorithm), to) => {
                let encryption = to.as_ref().map(|(keys, encryption)| (keys, *encryption));
                let keys = now.signing(client, algorithm)?;
                let signing = Signing { keys: &keys, algorithm: Some(algorithm) };
                let layers = Layers { signing, encryption };
                let token = layers.seal(&payload, "JWT", Claims::new())?;
                Ok(MadeToken::by(keys, token))
            }
            (None, Some((keys, encryption))) => {
                let options = EncryptOptions {
                    algorithm: Some(encryption.alg.name.into()),
                    content: Some(encryption.enc.name.into()),
                    ..EncryptOptions::default()
                };
                let token = jwe::encrypt(&keys.set, &payload.json, &options)?;
                Ok(MadeToken::by(keys, token))
            }
            (None, None) => Err(plain()),
        }
    }
}

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
        Ok(self.verify_userinfo(provider_keys, response, subject)?.claims.into_map())
    }

    /// As [`RelyingParty::open_userinfo`], and by whom.
    pub(crate) fn verify_userinfo(
        &self,
        provider_keys: Option<&Arc<KeySet>>,
        response: &str,
        subject: &str,
    ) -> Result<VerifiedToken> {
        let (now, agreed) = (self.oidc().now(), self.client().userinfo());
        let decryption = agreed
            .encryption
            .map(|one| self.decryption(&now, one, Response::Userinfo))
            .transpose()?;
        let encryption = decryption.as_ref().zip(agreed.encryption);
        let opened = match (agreed.signing, encryption) {
            (Some(_), encryption) => {
                let keys = self.verification(&now, provider_keys, agreed.signing)?;
                let signing = Signing { keys: &keys, algorithm: agreed.signing };
                let opened = Layers { signing, encryption }.open(response)?;
                opened.check_typ(None, Untyped::Accepted)?;
                opened
            }
            (None, Some((keys, encryption))) => {
                Opened::from(layers::decrypt(keys, encryption, response)?)
            }
            (None, None) => return Err(plain()),
        };
        let claims = self.claims_of(&now, &opened.payload)?;
        if text(&claims, "sub") != Some(subject) {
            return Err(refused("the response is about another subject"));
        }
        Ok(opened.accepted(claims.into()))
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
        let aud = claims.get("aud");
        if aud.is_some() && !rules::audiences(aud).any(|one| one == self.client().id()) {
            return Err(refused("the response is for another audience"));
        }
        Ok(claims)
    }
}

fn plain() -> Error {
    let text = "the client registered no signed or encrypted userinfo: it is plain JSON";
    Error::new(ErrorKind::Usage, text).with_help(
        "register userinfo_signed_response_alg or userinfo_encrypted_response_alg for one that is a JWT",
    )
}
