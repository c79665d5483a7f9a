//! Writes PKCS#12 through p12-keystore: PBES2 with AES-256 and SHA-256, a SHA-256 MAC.

use p12_keystore::{
    Certificate, EncryptionAlgorithm, KeyStore, KeyStoreEntry, MacAlgorithm, PrivateKey,
    PrivateKeyChain,
    secret::{Secret, SecretKeyType as Type},
};

use crate::error::{Error, ErrorKind, Result};
use crate::formats::{Entry, Material, SecretKeyType};
use crate::secret::SecretString;

/// As `openssl pkcs12 -export` and keytool write.
const ITERATIONS: u32 = 10_000;

/// Writes entries under one password, in a form that Java and OpenSSL read.
///
/// # Errors
/// [`ErrorKind::Unsupported`] for entries that PKCS#12 cannot hold, naming the alias.
pub fn write(entries: &[Entry], password: &SecretString) -> Result<Vec<u8>> {
    let mut store = KeyStore::new();
    for entry in entries {
        store.add_entry(&entry.alias, convert(entry)?);
    }
    store
        // EXPOSE: into the key derivation of the writer.
        .writer(password.expose_secret())
        .encryption_algorithm(EncryptionAlgorithm::PbeWithHmacSha256AndAes256)
        .encryption_iterations(ITERATIONS)
        .mac_algorithm(MacAlgorithm::HmacSha256)
        .mac_iterations(ITERATIONS)
        .write()
        .map_err(|error| {
            Error::new(ErrorKind::Bug, format!("PKCS#12 could not be written: {error}"))
        })
}

fn convert(entry: &Entry) -> Result<KeyStoreEntry> {
    let alias = &entry.alias;
    let refused = |why: &str| {
        let text = format!("alias \"{}\": {why}", alias.escape_debug());
        Error::new(ErrorKind::Unsupported, text)
    };
    if alias.is_empty() || alias.chars().any(|one| one.is_control() || one > '\u{ffff}') {
        // A friendly name is a BMPString (RFC 2985 §5.5.1).
        return Err(refused(
            "PKCS#12 aliases are not empty and have no control characters nor characters beyond U+FFFF",
        )
        .with_help("choose another alias: claviger import FILE --alias OLD --as NEW"));
    }
    let chain = || -> Result<Vec<Certificate>> {
        let parsed = entry.chain.iter().map(|der| Certificate::from_der(der));
        parsed
            .collect::<std::result::Result<_, _>>()
            .map_err(|_| refused("a certificate is damaged"))
    };
    match &entry.material {
        Material::PrivateKey(pkcs8) => {
            // EXPOSE: into the writer; p12-keystore keeps the copy until the file is made.
            let key = PrivateKey::from_der(pkcs8.expose_secret())
                .map_err(|_| refused("the private key is no PKCS#8"))?;
            // One id a key, so that each finds its own certificate.
            let id = crate::crypto::sha256(alias.as_bytes());
            Ok(KeyStoreEntry::PrivateKeyChain(PrivateKeyChain::new(id.as_slice(), key, chain()?)))
        }
        Material::SecretKey { key_type, bytes } => {
            let key_type = match key_type {
                SecretKeyType::Aes => Type::Aes,
                SecretKeyType::Hmac => hmac_type(bytes.len()),
                SecretKeyType::Other(name) if name == "oct" => {
                    return Err(refused(
                        "the JWK does not say whether it is for HMAC or AES: give it \"alg\" or \"use\"",
                    ));
                }
                SecretKeyType::Other(name) => {
                    return Err(refused(&format!("keys of type {name} are not written")));
                }
            };
            // EXPOSE: as above.
            let bytes = bytes.expose_secret().to_vec();
            let mut builder = Secret::builder(key_type);
            builder.with_key(bytes).with_local_key_id(alias.as_str());
            let secret = builder.build().map_err(|_| refused("the secret key is refused"))?;
            Ok(KeyStoreEntry::Secret(secret))
        }
        Material::Certificate => {
            let first = chain()?.into_iter().next().ok_or_else(|| refused("no certificate"))?;
            Ok(KeyStoreEntry::Certificate(first))
        }
        Material::PublicKey(_) => Err(refused("PKCS#12 holds no bare public keys; use PEM or JWK")),
        Material::Secret(_) => {
            Err(refused("PKCS#12 holds no passwords; use a volume of plain files"))
        }
        Material::Unreadable(error) => Err(refused(error.message())),
    }
}

/// Java names an HMAC key by a digest: that of its length, as keytool makes them (RFC 2104 §3).
const fn hmac_type(bytes: usize) -> Type {
    match bytes {
        20 => Type::HmacSha1,
        28 => Type::HmacSha224,
        48 => Type::HmacSha384,
        64.. => Type::HmacSha512,
        _ => Type::HmacSha256,
    }
}
