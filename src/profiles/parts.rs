//! How a token of a profile is put together, from the inside out: signed, encrypted, or both.

use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::{refused, refused_by};
use crate::error::{Error, ErrorKind, Result};
use crate::jose::jwe::{self, EncryptOptions};
use crate::jose::jws::{self, SignOptions, Verified, VerifyOptions};
use crate::jose::select;
use crate::ops::{Asked, KeySet, LabelKey};

/// What is done to a payload, and with what: labels, keys, or names of either.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the ways to combine two layers")]
pub enum Parts<K> {
    /// A JWE. Who made it is proven only by a symmetric key: everybody may encrypt to a public one.
    Encrypted(K),
    /// A JWE inside a JWS.
    EncryptedThenSigned {
        /// Inside.
        encryption: K,
        /// Outside.
        signing: K,
    },
    /// A JWS.
    Signed(K),
    /// A nested JWT (RFC 7519 §11.2): a JWS inside a JWE.
    SignedThenEncrypted {
        /// Inside.
        signing: K,
        /// Outside.
        encryption: K,
    },
}

impl<K> Parts<K> {
    /// The same parts of something else.
    pub fn map<T>(&self, change: impl Fn(&K) -> T) -> Parts<T> {
        match self {
            Self::Encrypted(one) => Parts::Encrypted(change(one)),
            Self::EncryptedThenSigned { encryption, signing } => Parts::EncryptedThenSigned {
                encryption: change(encryption),
                signing: change(signing),
            },
            Self::Signed(one) => Parts::Signed(change(one)),
            Self::SignedThenEncrypted { signing, encryption } => Parts::SignedThenEncrypted {
                signing: change(signing),
                encryption: change(encryption),
            },
        }
    }

    /// The same parts of something else.
    ///
    /// # Errors
    /// Those of `change`.
    pub fn try_map<'p, T>(&'p self, change: impl Fn(&'p K) -> Result<T>) -> Result<Parts<T>> {
        self.try_map_each(&change, &change)
    }

    /// As [`Parts::try_map`], what signs and what encrypts each in its own way.
    ///
    /// # Errors
    /// Those of both.
    pub fn try_map_each<'p, T>(
        &'p self,
        signs: impl Fn(&'p K) -> Result<T>,
        encrypts: impl Fn(&'p K) -> Result<T>,
    ) -> Result<Parts<T>> {
        Ok(match self {
            Self::Encrypted(one) => Parts::Encrypted(encrypts(one)?),
            Self::EncryptedThenSigned { encryption, signing } => Parts::EncryptedThenSigned {
                encryption: encrypts(encryption)?,
                signing: signs(signing)?,
            },
            Self::Signed(one) => Parts::Signed(signs(one)?),
            Self::SignedThenEncrypted { signing, encryption } => Parts::SignedThenEncrypted {
                signing: signs(signing)?,
                encryption: encrypts(encryption)?,
            },
        })
    }

    /// What signs.
    #[must_use]
    pub const fn signing(&self) -> Option<&K> {
        match self {
            Self::Encrypted(_) => None,
            Self::Signed(signing)
            | Self::EncryptedThenSigned { signing, .. }
            | Self::SignedThenEncrypted { signing, .. } => Some(signing),
        }
    }

    /// What encrypts.
    #[must_use]
    pub const fn encryption(&self) -> Option<&K> {
        match self {
            Self::Signed(_) => None,
            Self::Encrypted(encryption)
            | Self::EncryptedThenSigned { encryption, .. }
            | Self::SignedThenEncrypted { encryption, .. } => Some(encryption),
        }
    }

    /// As help and JSON write it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Encrypted(_) => "encrypted",
            Self::EncryptedThenSigned { .. } => "encrypted then signed",
            Self::Signed(_) => "signed",
            Self::SignedThenEncrypted { .. } => "signed then encrypted",
        }
    }
}

/// What the `typ` of a token says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "explicit, or not")]
pub enum Typ {
    /// The kind of token, in each of its headers (RFC 8725 §3.11).
    Explicit(&'static str),
    /// `JWT`, or nothing, as foreign programs write it: claims and keys tell the kind (RFC 8725 §3.12).
    Jwt,
}

impl Typ {
    /// As it is written.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Explicit(name) => name,
            Self::Jwt => "JWT",
        }
    }
}

/// What the headers of a token say besides its algorithms and kids.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "what a profile chooses")]
pub struct Form {
    /// `typ` of each layer.
    pub typ: Typ,
    /// Compresses before encrypting; the label must allow it.
    pub zip: bool,
    /// When the token ends, in seconds since 1970, if it does: the keys stay for as long.
    pub expires: Option<u64>,
}

/// What was inside a token that a profile accepts in form, and who made it.
#[must_use]
#[non_exhaustive]
pub struct Unsealed {
    /// The payload: of claims that nobody has checked yet.
    pub payload: Zeroizing<Vec<u8>>,
    /// The key that verified.
    pub verified_by: Option<Arc<LabelKey>>,
    /// The key that decrypted.
    pub decrypted_by: Option<Arc<LabelKey>>,
}

impl fmt::Debug for Unsealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unsealed")
            .field("verified_by", &self.verified_by)
            .field("decrypted_by", &self.decrypted_by)
            .finish_non_exhaustive()
    }
}

/// Makes a token of `payload` with the active keys.
///
/// # Errors
/// Those of [`jws::sign`] and [`jwe::encrypt`].
pub fn seal(form: &Form, keys: &Parts<&KeySet>, payload: &[u8]) -> Result<String> {
    put_together(form, keys, payload, jws::sign)
}

/// As [`seal`], of claims that a profile wrote: their `exp` is the end of the form, if it has one.
pub(super) fn seal_claims(form: &Form, keys: &Parts<&KeySet>, claims: &[u8]) -> Result<String> {
    put_together(form, keys, claims, jws::sign_known)
}

type Signs = fn(&KeySet, &[u8], &SignOptions) -> Result<String>;

fn put_together(
    form: &Form,
    keys: &Parts<&KeySet>,
    payload: &[u8],
    signs: Signs,
) -> Result<String> {
    let sign = |set: &KeySet, payload: &[u8], nested: bool| {
        let cty = nested.then(|| "JWT".into());
        let (typ, expires) = (Some(form.typ.name().into()), form.expires);
        let options = SignOptions { typ, cty, expires, ..SignOptions::default() };
        signs(set, payload, &options)
    };
    match keys {
        Parts::Encrypted(set) => encrypt(form, set, payload, false),
        Parts::EncryptedThenSigned { encryption, signing } => {
            let inner = encrypt(form, encryption, payload, false)?;
            sign(signing, inner.as_bytes(), true)
        }
        Parts::Signed(set) => sign(set, payload, false),
        Parts::SignedThenEncrypted { signing, encryption } => {
            let inner = Zeroizing::new(sign(signing, payload, false)?);
            encrypt(form, encryption, inner.as_bytes(), true)
        }
    }
}

/// `nested`: what is inside is a token too (RFC 7519 §5.2).
fn encrypt(form: &Form, set: &KeySet, payload: &[u8], nested: bool) -> Result<String> {
    let (typ, cty) = (Some(form.typ.name().into()), nested.then(|| "JWT".into()));
    let (zip, expires) = (form.zip, form.expires);
    let options = EncryptOptions { typ, cty, zip, expires, ..EncryptOptions::default() };
    jwe::encrypt(set, payload, &options)
}

/// Opens a token with every valid key of these sets. Each layer must be there, of this `typ`, in this order: a token with one
/// less, or around something else, is refused (attacks.md J28).
///
/// # Errors
/// [`crate::error::ErrorKind::TokenRefused`], [`crate::error::ErrorKind::WrongUse`] for the labels.
pub fn open(typ: Typ, keys: &Parts<Vec<&KeySet>>, token: &str) -> Result<Unsealed> {
    let asked = keys.map(|sets| sets.iter().map(|set| Asked::from(*set)).collect());
    Ok(open_asked(typ, &asked, token, |_| Ok(()))?.0)
}

/// As [`open`], of sets that were asked for something; `accept` reads the payload and says whose it must be. All layers
/// are recorded, or that the token was refused: its claims say of each when it ends.
pub(super) fn open_asked<T>(
    typ: Typ,
    keys: &Parts<Vec<Asked<'_>>>,
    token: &str,
    accept: impl FnOnce(&[u8]) -> Result<T>,
) -> Result<(Unsealed, T)> {
    open_layers(typ, keys, token, accept).inspect_err(|error| {
        let outer = match keys {
            Parts::Encrypted(sets) | Parts::Signed(sets) => sets,
            Parts::EncryptedThenSigned { signing, .. } => signing,
            Parts::SignedThenEncrypted { encryption, .. } => encryption,
        };
        if error.kind() == ErrorKind::TokenRefused {
            outer.iter().take(1).for_each(Asked::refused);
        }
    })
}

fn open_layers<T>(
    typ: Typ,
    keys: &Parts<Vec<Asked<'_>>>,
    token: &str,
    accept: impl FnOnce(&[u8]) -> Result<T>,
) -> Result<(Unsealed, T)> {
    match keys {
        Parts::Encrypted(sets) => {
            let (asked, outer) = decrypt(typ, sets, token)?;
            // EXPOSE: into the next owner, wiped too.
            let payload = Zeroizing::new(outer.plaintext.expose_secret().to_vec());
            let read = accept(&payload)?;
            outer.is_seen_by(asked, &payload);
            Ok((Unsealed { payload, verified_by: None, decrypted_by: Some(outer.key) }, read))
        }
        Parts::EncryptedThenSigned { encryption, signing } => {
            let (signs, outer) = verify(typ, signing, token)?;
            let (seals, inner) = decrypt(typ, encryption, text(&outer.payload)?)?;
            // EXPOSE: into the next owner, wiped too.
            let payload = Zeroizing::new(inner.plaintext.expose_secret().to_vec());
            let read = accept(&payload)?;
            outer.is_seen_by(signs, &payload);
            inner.is_seen_by(seals, &payload);
            let (verified_by, decrypted_by) = (Some(outer.key), Some(inner.key));
            Ok((Unsealed { payload, verified_by, decrypted_by }, read))
        }
        Parts::Signed(sets) => {
            let (asked, found) = verify(typ, sets, token)?;
            let read = accept(&found.payload)?;
            found.is_seen_by(asked, &found.payload);
            let payload = Zeroizing::new(found.payload);
            Ok((Unsealed { payload, verified_by: Some(found.key), decrypted_by: None }, read))
        }
        Parts::SignedThenEncrypted { signing, encryption } => {
            let (seals, outer) = decrypt(typ, encryption, token)?;
            // EXPOSE: the inner token is verified as text.
            let (signs, inner) = verify(typ, signing, text(outer.plaintext.expose_secret())?)?;
            let read = accept(&inner.payload)?;
            outer.is_seen_by(seals, &inner.payload);
            inner.is_seen_by(signs, &inner.payload);
            let payload = Zeroizing::new(inner.payload);
            let (verified_by, decrypted_by) = (Some(inner.key), Some(outer.key));
            Ok((Unsealed { payload, verified_by, decrypted_by }, read))
        }
    }
}

fn verify<'s>(typ: Typ, sets: &[Asked<'s>], token: &str) -> Result<(Asked<'s>, Verified)> {
    let expected = match typ {
        Typ::Explicit(name) => Some(name),
        Typ::Jwt => None,
    };
    let options = VerifyOptions { typ: expected, ..VerifyOptions::default() };
    let (asked, found) = select::verify(sets, token, &options).map_err(refused_by)?;
    if typ == Typ::Jwt && found.has_typ() && !found.is_of_type(typ.name()) {
        return Err(another_typ());
    }
    Ok((asked, found))
}

fn decrypt<'s>(typ: Typ, sets: &[Asked<'s>], token: &str) -> Result<(Asked<'s>, jwe::Decrypted)> {
    let (asked, opened) = select::decrypt(sets, token).map_err(refused_by)?;
    if opened.is_of_type(typ.name()) || (typ == Typ::Jwt && !opened.has_typ()) {
        return Ok((asked, opened));
    }
    Err(another_typ())
}

fn another_typ() -> Error {
    refused("it is of another typ")
}

fn text(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|_| refused("what is inside is no token"))
}
