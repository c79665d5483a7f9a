//! What the next key of a label is to be: as the active one is, or as the label's first algorithm needs it.

use super::NextKey;
use crate::alg::{Algorithm, Curve, Family};
use crate::catalogue::{self, LabelMaterial};
use crate::config::Config;
use crate::crypto::{KeyKind, OctType};
use crate::error::{Error, ErrorKind, Result};
use crate::journal::MappingName;
use crate::keyring::Keyring;
use crate::label::LabelName;

/// The options that make a key as another one is.
#[derive(Clone, Copy)]
pub(super) struct Like<'a> {
    pub(super) key_type: &'a str,
    pub(super) bits: Option<usize>,
    pub(super) curve: Option<&'a str>,
}

impl<'a> Like<'a> {
    /// What was asked for; what was not said is as the active key of the mapping is.
    pub(super) fn find(keyring: &Keyring, name: &MappingName, next: &NextKey<'a>) -> Result<Self> {
        if let Some(key_type) = next.key_type {
            return Ok(Self { key_type, bits: next.bits, curve: next.curve });
        }
        let found = keyring.snapshot().find(name.realm.as_ref(), &name.label).cloned();
        let like = match found {
            Some(set) => Some(Self::of(set.active().key.kind())),
            None => Self::of_label(&keyring.config(), name),
        };
        let like = like.ok_or_else(|| {
            Error::new(
                ErrorKind::Usage,
                format!("label \"{}\" takes several types of keys", name.label),
            )
            .with_help(format!("say which: {}", options_of(&name.label)))
        })?;
        Ok(Self { bits: next.bits.or(like.bits), curve: next.curve.or(like.curve), ..like })
    }

    /// What the algorithms of a label need; `None` if they need different keys.
    fn of_label(config: &Config, name: &MappingName) -> Option<Self> {
        let settings = config.labels.get(&name.label).map(|placed| &placed.value);
        let named = settings.and_then(|settings| settings.algorithms.as_ref());
        let named = named.map(|rows| rows.iter().map(|row| row.value).collect::<Vec<_>>());
        let found = catalogue::find(&name.label);
        let rows =
            named.or_else(|| found.as_ref().map(|found| found.spec.rows())).unwrap_or_default();
        let mut kinds = rows.iter().filter_map(|row| Self::of_row(row));
        let Some(first) = kinds.next() else {
            if let Some(bits) = rows.iter().find_map(|row| bits_of_content(row)) {
                return Some(Self { key_type: "aes", bits: Some(bits), curve: None });
            }
            let material = found.map_or(LabelMaterial::Generic, |found| found.spec.material);
            return if rows.is_empty() { Self::of_material(material) } else { None };
        };
        kinds.all(|one| one.key_type == first.key_type).then_some(first)
    }

    /// What a label without algorithms holds; `None`: one of several types.
    fn of_material(material: LabelMaterial) -> Option<Self> {
        let (key_type, bits) = match material {
            LabelMaterial::Aes | LabelMaterial::DesOrAes => ("aes", Some(256)),
            LabelMaterial::Ec => ("ec", None),
            LabelMaterial::Ed25519 => ("ed25519", None),
            LabelMaterial::Generic | LabelMaterial::Symmetric => ("password", None),
            LabelMaterial::Hmac => ("hmac", None),
            LabelMaterial::Rsa => ("rsa", None),
            LabelMaterial::Any
            | LabelMaterial::Certificate
            | LabelMaterial::KeyPair
            | LabelMaterial::PublicKey
            | LabelMaterial::RsaOrAes
            | LabelMaterial::RsaOrEc => return None,
        };
        Some(Self { key_type, bits, curve: None })
    }

    /// What wraps or signs decides; content algorithms come along.
    fn of_row(row: &Algorithm) -> Option<Self> {
        let named = |key_type, bits, curve| Some(Self { key_type, bits, curve });
        match row.family {
            Family::Hmac(_) => named("hmac", None, None),
            Family::RsaPkcs1(_)
            | Family::RsaPss(_)
            | Family::RsaOaep(_)
            | Family::RsaOaepNamed
            | Family::Rsa15 => named("rsa", None, None),
            Family::Ecdsa(curve, _) => named("ec", None, Some(curve.name())),
            Family::EdDsa => named("ed25519", None, None),
            Family::EcdhEs(_) => named("ec", None, Some(Curve::P256.name())),
            Family::AesKw(bits) | Family::AesGcmKw(bits) => named("aes", Some(bits), None),
            Family::Pbes2(..) => named("password", None, None),
            Family::AesCbc(_)
            | Family::AesCbcHmac(_)
            | Family::AesGcm(_)
            | Family::Direct
            | Family::TripleDesCbc => None,
        }
    }

    fn of(kind: KeyKind) -> Self {
        let named = |key_type, bits, curve| Self { key_type, bits, curve };
        match kind {
            KeyKind::Curve(Curve::Ed25519) => named("ed25519", None, None),
            KeyKind::Curve(Curve::Ed448) => named("ed448", None, None),
            KeyKind::Curve(Curve::X25519) => named("x25519", None, None),
            KeyKind::Curve(Curve::X448) => named("x448", None, None),
            KeyKind::Curve(curve) => named("ec", None, Some(curve.name())),
            KeyKind::Rsa { bits } => named("rsa", Some(bits), None),
            KeyKind::Oct { bits, oct_type: OctType::Aes } => named("aes", Some(bits), None),
            KeyKind::Oct { oct_type: OctType::Generic, .. } => named("password", None, None),
            KeyKind::Oct { bits, .. } => named("hmac", Some(bits), None),
        }
    }
}

/// The size of a key that encrypts content itself (`dir`), where that is one of AES.
fn bits_of_content(row: &Algorithm) -> Option<usize> {
    let bits = row.content_key_bytes()?.checked_mul(8)?;
    [128, 192, 256].contains(&bits).then_some(bits)
}

/// What may be said of the next key of a label.
fn options_of(label: &LabelName) -> &'static str {
    let found = catalogue::find(label);
    match found.map(|found| found.spec.material) {
        Some(LabelMaterial::RsaOrAes) => "--type rsa, --type aes",
        Some(LabelMaterial::RsaOrEc | LabelMaterial::KeyPair | LabelMaterial::PublicKey) => {
            "--type ec --curve P-256, --type ed25519, --type rsa"
        }
        _ => "--type ec --curve P-256, --type rsa, --type aes, --type hmac",
    }
}
