//! A token of one or two layers: signed, and where it was agreed on encrypted around that.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::SystemTime;

use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::keys::Keys;
use super::payload::Payload;
use super::registration::Encryption;
use super::rules::{Claims, Untyped, check_shapes};
use crate::alg::{Algorithm, Operation};
use crate::crypto::Role;
use crate::error::Result;
use crate::jose::claims::{self, ClaimRules};
use crate::jose::jwe::{self, Decrypted, EncryptOptions};
use crate::jose::jws::{self, SignOptions, Verified, VerifyOptions};
use crate::json;
use crate::ops::{KeySet, LabelKey};
use crate::profiles::{refused, refused_by};

/// A token whose signature and claims hold.
#[derive(Debug)]
#[must_use]
#[non_exhaustive]
pub struct VerifiedToken {
    /// What it says.
    pub claims: TokenClaims,
    /// The key that verified it, or that decrypted it where encryption is its only protection.
    pub key: Arc<LabelKey>,
    /// The algorithm of that key.
    pub algorithm: &'static Algorithm,
    /// The key that decrypted it around its signature; `None`: it is not encrypted, or not signed as well.
    pub decrypted_by: Option<Arc<LabelKey>>,
}

/// A token that was made, and by whom: the active one of these keys.
pub(crate) struct MadeToken {
    pub(crate) token: String,
    #[cfg_attr(not(feature = "service"), expect(dead_code, reason = "the service tells it"))]
    pub(crate) keys: Arc<KeySet>,
}

impl MadeToken {
    pub(super) fn by(keys: Keys, token: String) -> Self {
        Self { token, keys: keys.set }
    }
}

/// The claims of a token that holds, or that is to be made: a JSON object, whose texts are wiped when it goes and not
/// shown by `Debug`.
pub struct TokenClaims(Claims);

impl From<Map<String, Value>> for TokenClaims {
    fn from(claims: Map<String, Value>) -> Self {
        Self(claims)
    }
}

impl TokenClaims {
    /// The object, to keep.
    #[must_use]
    pub fn into_map(mut self) -> Map<String, Value> {
        std::mem::take(&mut self.0)
    }
}

impl Deref for TokenClaims {
    type Target = Map<String, Value>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Drop for TokenClaims {
    fn drop(&mut self) {
        self.0.values_mut().for_each(json::wipe);
    }
}

impl fmt::Debug for TokenClaims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// The layers that a token has by agreement.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layers<'k> {
    pub(super) signing: Signing<'k>,
    pub(super) encryption: Option<(&'k Keys, Encryption)>,
}

/// Who signs, and how.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signing<'k> {
    pub(super) keys: &'k Keys,
    /// `None`: any that the keys allow.
    pub(super) algorithm: Option<&'static Algorithm>,
}

/// A token whose signature holds and whose claims nobody has looked at yet.
pub(super) struct Opened {
    pub(super) payload: Zeroizing<Vec<u8>>,
    layer: Layer,
    decrypted_by: Option<Arc<LabelKey>>,
}

/// The layer that protects the claims, without them.
enum Layer {
    Encrypted(Decrypted),
    Signed(Verified),
}

impl Signing<'_> {
    /// The algorithm with which the active key signs.
    pub(super) fn acting(&self) -> Result<&'static Algorithm> {
        let default = || self.keys.set.preferred(Operation::Sign, Role::Sign);
        self.algorithm.map_or_else(default, Ok)
    }

    /// Checks a signed token. It chooses nothing: another algorithm than the one that was agreed on is refused.
    fn verify(&self, token: &str) -> Result<Opened> {
        let mut verified =
            jws::verify(&self.keys.set, token, &VerifyOptions::default()).map_err(refused_by)?;
        if self.algorithm.is_some_and(|agreed| !agreed.covers(verified.algorithm)) {
            return Err(refused("the algorithm is not the one that was agreed on"));
        }
        let payload = Zeroizing::new(std::mem::take(&mut verified.payload));
        Ok(Opened { payload, layer: Layer::Signed(verified), decrypted_by: None })
    }
}

impl Layers<'_> {
    /// Signs; `extra` are more members of the header. Encrypts that with `cty` JWT (RFC 7519 §5.2).
    pub(super) fn seal(
        &self,
        payload: &Payload,
        typ: &'static str,
        extra: Claims,
    ) -> Result<String> {
        let options = SignOptions {
            algorithm: Some(self.signing.acting()?.name.into()),
            typ: Some(typ.into()),
            extra,
            expires: payload.expires,
            ..SignOptions::default()
        };
        let set = &self.signing.keys.set;
        let signed = jws::sign_known(set, &payload.json, &options)?;
        let Some((keys, encryption)) = self.encryption else { return Ok(signed) };
        let options = EncryptOptions {
            algorithm: Some(encryption.alg.name.into()),
            content: Some(encryption.enc.name.into()),
            cty: Some("JWT".into()),
            expires: payload.expires,
            ..EncryptOptions::default()
        };
        jwe::encrypt(&keys.set, signed.as_bytes(), &options)
    }

    /// Opens what [`Layers::seal`] makes. Every layer must be there: what is inside an encryption is signed, and
    /// nothing else is in its place (attacks.md J28).
    pub(super) fn open(&self, token: &str) -> Result<Opened> {
        let Some((keys, encryption)) = self.encryption else { return self.signing.verify(token) };
        let decrypted = decrypt(keys, encryption, token)?;
        // EXPOSE: the inner token is verified as text; its claims go to the caller.
        let inner = std::str::from_utf8(decrypted.plaintext.expose_secret())
            .map_err(|_| refused("what is inside is no token"))?;
        let opened = self.signing.verify(inner)?;
        Ok(Opened { decrypted_by: Some(decrypted.key), ..opened })
    }
}

impl From<Decrypted> for Opened {
    fn from(decrypted: Decrypted) -> Self {
        // EXPOSE: into the next owner, wiped too.
        let payload = Zeroizing::new(decrypted.plaintext.expose_secret().to_vec());
        Self { payload, layer: Layer::Encrypted(decrypted), decrypted_by: None }
    }
}

impl Opened {
    /// Checks that the header has this media type as its typ, or, if `untyped`, none or plain `JWT` (RFC 8725 §3.11).
    pub(super) fn check_typ(&self, accepted: Option<&str>, untyped: Untyped) -> Result<()> {
        let (typed, plain) = match &self.layer {
            Layer::Encrypted(layer) => (layer.has_typ(), layer.is_of_type("JWT")),
            Layer::Signed(layer) => (layer.has_typ(), layer.is_of_type("JWT")),
        };
        let own = accepted.is_some_and(|typ| match &self.layer {
            Layer::Encrypted(layer) => layer.is_of_type(typ),
            Layer::Signed(layer) => layer.is_of_type(typ),
        });
        if own || (untyped == Untyped::Accepted && (plain || !typed)) {
            return Ok(());
        }
        Err(refused("the token is of another typ"))
    }

    /// The header of a signature.
    pub(super) fn header(&self) -> Claims {
        match &self.layer {
            Layer::Encrypted(layer) => layer.header(),
            Layer::Signed(layer) => layer.header(),
        }
    }

    /// The key that verified, or that decrypted where encryption is the only protection.
    pub(super) const fn key(&self) -> (&Arc<LabelKey>, &'static Algorithm) {
        match &self.layer {
            Layer::Encrypted(layer) => (&layer.key, layer.content),
            Layer::Signed(layer) => (&layer.key, layer.algorithm),
        }
    }

    /// The claims, once they are found to hold.
    pub(super) fn accepted(&self, claims: TokenClaims) -> VerifiedToken {
        let (key, algorithm) = self.key();
        let (key, decrypted_by) = (Arc::clone(key), self.decrypted_by.clone());
        VerifiedToken { claims, key, algorithm, decrypted_by }
    }

    /// The claims, if they hold.
    pub(super) fn accept(&self, rules: &ClaimRules<'_>, now: SystemTime) -> Result<VerifiedToken> {
        let claims = claims::check(&self.payload, rules, now).map_err(refused_by)?;
        let claims = TokenClaims(claims);
        check_shapes(&claims)?;
        Ok(self.accepted(claims))
    }
}

/// Decrypts with the algorithms that were agreed on.
pub(super) fn decrypt(keys: &Keys, encryption: Encryption, token: &str) -> Result<Decrypted> {
    let decrypted = jwe::decrypt(&keys.set, token).map_err(refused_by)?;
    if (decrypted.algorithm, decrypted.content) != (encryption.alg, encryption.enc) {
        return Err(refused("the algorithms are not those that were agreed on"));
    }
    Ok(decrypted)
}
