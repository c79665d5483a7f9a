//! Entries of a container become keys.

use crate::crypto::{Key, OctType};
use crate::error::{Error, ErrorKind, Result};
use crate::formats::{Entry, Material, SecretKeyType};
use crate::secret::SecretBytes;

/// The key of an entry; parsed and proven here, once.
pub(super) fn key_of(entry: &Entry) -> Result<Key> {
    match &entry.material {
        Material::PrivateKey(pkcs8) => Key::from_private(pkcs8, entry.chain.clone()),
        // The reader compared `x5c` of a JWK with its key.
        Material::PublicKey(_) if !entry.chain.is_empty() => {
            Key::from_certificates(entry.chain.clone())
        }
        Material::PublicKey(spki) => Key::from_public(spki),
        Material::Certificate => Key::from_certificates(entry.chain.clone()),
        Material::Secret(bytes) => Key::from_secret(copy(bytes), OctType::Generic),
        Material::SecretKey { key_type, bytes } => {
            Key::from_secret(copy(bytes), oct_type(key_type, entry.hints.alg.as_deref())?)
        }
        Material::Unreadable(error) => Err(error.repeat()),
    }
}

fn copy(bytes: &SecretBytes) -> SecretBytes {
    // EXPOSE: into another owner that wipes itself.
    SecretBytes::from_slice(bytes.expose_secret())
}

fn oct_type(key_type: &SecretKeyType, alg: Option<&str>) -> Result<OctType> {
    match key_type {
        SecretKeyType::Aes => Ok(OctType::Aes),
        SecretKeyType::Hmac => Ok(OctType::Hmac),
        // A JWK of type `oct` says with `alg` what it is for, or does not say.
        SecretKeyType::Other(name) if name == "oct" => Ok(match alg {
            Some(alg) if alg.starts_with("HS") => OctType::Hmac,
            // A password of PBES2 is of any length.
            Some(alg) if alg.starts_with('A') || alg == "dir" => OctType::Aes,
            _ => OctType::Any,
        }),
        SecretKeyType::Other(name) => {
            let text = format!("secret keys of type {} are not built in", name.escape_debug());
            Err(Error::new(ErrorKind::Unsupported, text).with_help("use AES or HMAC"))
        }
    }
}
