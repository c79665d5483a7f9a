//! Real tokens of every kind that a label serves: made by one alias, opened by a set.

use crate::alg::{Algorithm, Family, Operation};
use crate::catalogue::LabelUse;
use crate::crypto::KeyKind;
use crate::error::Result;
use crate::jose::jwe::{self, EncryptOptions};
use crate::jose::jws::{self, SignOptions, VerifyOptions};
use crate::jose::{Serialization, nested};
use crate::ops::{self, KeySet, LabelKey, Role};
use crate::profiles::{self, Form, TokenForm};
use crate::secret::SecretBytes;

/// What every token carries.
const PAYLOAD: &[u8] = br#"{"sub":"drill"}"#;

/// How one kind of token is made.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Make {
    Jwe(&'static Algorithm, &'static Algorithm, Serialization),
    Jws(&'static Algorithm, Serialization),
    Nested(&'static Algorithm, &'static Algorithm),
    Profile(TokenForm),
    Raw(&'static Algorithm),
    Sealed,
    #[cfg(feature = "saml")]
    XmlEncrypted(&'static Algorithm),
    #[cfg(feature = "saml")]
    XmlSigned(&'static Algorithm),
}

/// One kind of token.
#[derive(Clone, Debug)]
pub(super) struct Kind {
    /// "JWS ES256": kinds of one name are one line of a table.
    pub(super) name: String,
    /// Whether it names its key; `None`: it cannot.
    pub(super) kid: Option<bool>,
    make: Make,
}

/// A token that was made.
#[derive(Debug)]
pub(super) struct Token {
    kind: Kind,
    bytes: Vec<u8>,
}

/// Every kind that `key` makes under the algorithms of `set`.
pub(super) fn kinds(set: &KeySet, key: &LabelKey) -> Vec<Kind> {
    let mut kinds = Vec::new();
    let mut add = |name: String, make: Make| {
        for kid in [true, false] {
            kinds.push(Kind { name: name.clone(), kid: Some(kid), make });
        }
    };
    for row in rows(set, Operation::Sign).filter(|row| set.fits(key, row, Role::Sign)) {
        for form in FORMS {
            add(format!("JWS {row}"), Make::Jws(row, form));
        }
    }
    let sealing = sealing_rows(set, key);
    for (row, enc) in &sealing {
        for form in FORMS {
            add(format!("JWE {row} {enc}"), Make::Jwe(row, enc, form));
        }
    }
    if let Some((row, enc)) = sealing.first() {
        add(format!("nested JWT {row} {enc}"), Make::Nested(row, enc));
    }
    let acts = |signs: bool| if signs { signs_with(set, key) } else { !sealing.is_empty() };
    for form in profiles::forms(set.label()) {
        if acts(form.parts.signing() == Some(&true)) {
            let (name, make) = (form.name.to_owned(), Make::Profile(form));
            kinds.push(Kind { name, kid: Some(true), make });
        }
    }
    let plain = |name: String, make: Make| Kind { name, kid: None, make };
    for row in rows(set, Operation::Sign).filter(|row| set.fits(key, row, Role::Sign)) {
        kinds.push(plain(format!("raw {row}"), Make::Raw(row)));
    }
    if seals(set, key) {
        kinds.push(plain("sealed value".into(), Make::Sealed));
    }
    #[cfg(feature = "saml")]
    if super::xml::is_made_by(set) {
        for row in rows(set, Operation::Sign).filter(|row| super::xml::signs(set, key, row)) {
            kinds.push(plain(format!("XML {row}"), Make::XmlSigned(row)));
        }
        let wraps = rows(set, Operation::XmlKeyTransport).filter(|_| super::xml::is_read_by(set));
        for row in wraps.filter(|row| set.fits(key, row, Role::Encrypt)) {
            kinds.push(plain(format!("XML {row}"), Make::XmlEncrypted(row)));
        }
    }
    kinds
}

/// A token of this kind; `set` has its maker in front.
pub(super) fn make(set: &KeySet, kind: &Kind) -> Result<Token> {
    let without_kid = kind.kid == Some(false);
    let bytes = match kind.make {
        Make::Jws(row, serialization) => {
            let algorithm = Some(row.name.into());
            let options =
                SignOptions { algorithm, serialization, without_kid, ..SignOptions::default() };
            jws::sign(set, PAYLOAD, &options)?.into_bytes()
        }
        Make::Jwe(row, enc, serialization) => {
            let options = encryption(row, enc, serialization, without_kid);
            jwe::encrypt(set, PAYLOAD, &options)?.into_bytes()
        }
        Make::Nested(row, enc) => {
            let options = encryption(row, enc, Serialization::Compact, without_kid);
            let sign = SignOptions::default();
            nested::seal(&Others::new()?.signs, set, PAYLOAD, &sign, &options)?.into_bytes()
        }
        Make::Profile(form) => {
            let others = Others::new()?;
            let keys = form.parts.try_map_each(
                |ours| Ok(if *ours { set } else { &others.signs }),
                |ours| Ok(if *ours { set } else { &others.seals }),
            )?;
            let form = Form { typ: form.typ, zip: false, expires: None };
            profiles::seal(&form, &keys, PAYLOAD)?.into_bytes()
        }
        Make::Raw(row) => ops::sign_raw(set, PAYLOAD, Some(row.name))?.0,
        Make::Sealed => set.active().seal(&SecretBytes::from_slice(PAYLOAD))?.into_bytes(),
        #[cfg(feature = "saml")]
        Make::XmlEncrypted(row) => super::xml::encrypt(set, row)?,
        #[cfg(feature = "saml")]
        Make::XmlSigned(row) => super::xml::sign(set, row)?,
    };
    Ok(Token { kind: kind.clone(), bytes })
}

/// Whether `set` opens a token, and finds in it what was put there.
pub(super) fn opens(set: &KeySet, token: &Token) -> bool {
    let Ok(text) = std::str::from_utf8(&token.bytes) else {
        return opens_raw(set, token);
    };
    let options = VerifyOptions::default();
    match token.kind.make {
        Make::Jws(_, Serialization::Compact) => {
            jws::verify(set, text, &options).is_ok_and(|found| found.payload == PAYLOAD)
        }
        Make::Jws(..) => {
            jws::verify_json(set, text, &options).is_ok_and(|found| found.payload == PAYLOAD)
        }
        Make::Jwe(_, _, Serialization::Compact) => {
            jwe::decrypt(set, text).is_ok_and(|found| found.plaintext.ct_eq(PAYLOAD))
        }
        Make::Jwe(..) => {
            jwe::decrypt_json(set, text).is_ok_and(|found| found.plaintext.ct_eq(PAYLOAD))
        }
        // What is inside was signed for the occasion: that the outer layer opens is the question.
        Make::Nested(..) => jwe::decrypt(set, text).is_ok(),
        Make::Profile(form) => opens_profile(set, &form, text),
        Make::Raw(_) => opens_raw(set, token),
        Make::Sealed => set.unseal(text).is_ok_and(|value| value.ct_eq(PAYLOAD)),
        #[cfg(feature = "saml")]
        Make::XmlEncrypted(_) => super::xml::decrypts(set, &token.bytes),
        #[cfg(feature = "saml")]
        Make::XmlSigned(_) => super::xml::verifies(set, &token.bytes),
    }
}

fn opens_profile(set: &KeySet, form: &TokenForm, token: &str) -> bool {
    let Ok(others) = Others::new() else { return false };
    let keys = form.parts.try_map_each(
        |ours| Ok(vec![if *ours { set } else { &others.signs }]),
        |ours| Ok(vec![if *ours { set } else { &others.seals }]),
    );
    let opened = keys.and_then(|keys| profiles::open(form.typ, &keys, token));
    opened.is_ok_and(|found| *found.payload == PAYLOAD)
}

/// Whether `key` signs under any algorithm of `set`.
fn signs_with(set: &KeySet, key: &LabelKey) -> bool {
    rows(set, Operation::Sign).any(|row| set.fits(key, row, Role::Sign))
}

fn opens_raw(set: &KeySet, token: &Token) -> bool {
    let Make::Raw(row) = token.kind.make else { return false };
    ops::verify_raw(set, PAYLOAD, &token.bytes, Some(row.name)).is_ok()
}

fn encryption(
    row: &Algorithm,
    enc: &Algorithm,
    serialization: Serialization,
    without_kid: bool,
) -> EncryptOptions {
    EncryptOptions {
        algorithm: Some(row.name.into()),
        content: Some(enc.name.into()),
        serialization,
        without_kid,
        ..EncryptOptions::default()
    }
}

/// Every key management with one content algorithm, and the first one with all of them.
fn sealing_rows(set: &KeySet, key: &LabelKey) -> Vec<(&'static Algorithm, &'static Algorithm)> {
    let mut pairs = Vec::new();
    let wraps = rows(set, Operation::KeyManagement).filter(|row| set.fits(key, row, Role::Encrypt));
    for (index, row) in wraps.enumerate() {
        // `dir` takes the content algorithms of the key's own length.
        let direct = row.family == Family::Direct;
        let contents = rows(set, Operation::Content)
            .filter(|enc| !direct || set.fits(key, enc, Role::Encrypt))
            .take(if index == 0 { usize::MAX } else { 1 });
        pairs.extend(contents.map(|enc| (row, enc)));
    }
    pairs
}

/// Whether values are sealed with this key (`claviger encode --label`).
fn seals(set: &KeySet, key: &LabelKey) -> bool {
    let uses = |one: &LabelUse| matches!(one, LabelUse::Encrypt | LabelUse::Secret);
    matches!(key.key.kind(), KeyKind::Oct { .. }) && set.uses().iter().any(uses)
}

fn rows(set: &KeySet, operation: Operation) -> impl Iterator<Item = &'static Algorithm> + '_ {
    set.algorithms().iter().copied().filter(move |row| row.operation == operation)
}

/// Who makes the other layers of a token: not the subject of the drill.
struct Others {
    signs: KeySet,
    seals: KeySet,
}

impl Others {
    fn new() -> Result<Self> {
        let set = |alg: &str, more: &[&str], uses: Vec<LabelUse>| {
            let jwk = format!(
                r#"{{"keys":[{{"kty":"oct","alg":"{alg}","k":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"}}]}}"#
            );
            let rows = std::iter::once(&alg).chain(more).map(|name| Algorithm::named(name));
            let rows = rows.collect::<Result<_>>()?;
            let policy = ops::KeySetPolicy::default();
            KeySet::from_jwks("drill.inner".parse()?, uses, jwk.as_bytes(), rows, policy)
        };
        Ok(Self {
            signs: set("HS256", &[], vec![LabelUse::Sign, LabelUse::Verify])?,
            seals: set("A256KW", &["A256GCM"], vec![LabelUse::Encrypt, LabelUse::Decrypt])?,
        })
    }
}

const FORMS: [Serialization; 3] =
    [Serialization::Compact, Serialization::Flattened, Serialization::General];
