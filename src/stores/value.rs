//! Values of volumes and of the environment: text, base64, PEM or JWK, plain or sealed.

use std::sync::Arc;

use base64ct::{Base64, Encoding};

use crate::crypto::{Key, OctType, Tag, Tagger};
use crate::error::{Error, ErrorKind, Result};
use crate::formats::{self, JwkHints, Limits, Passwords, sealed};
use crate::label::Alias;
use crate::secret::{SecretBytes, SecretString};
use crate::stores::password::trim_newline;
use crate::stores::prepared::Prepared;
use crate::stores::{Loaded, PasswordSource, Resolve, ValueFormat};

/// How the values of a store are read.
#[derive(Debug)]
pub(super) struct ValueReader {
    format: ValueFormat,
    /// Of the format and the passwords: values of two readers with equal tags are equal.
    tag: Tag,
    key: Option<Key>,
    pem_password: Option<SecretString>,
}

/// A value that was read.
#[derive(Debug)]
pub(super) struct Value {
    pub(super) key: Key,
    pub(super) hints: JwkHints,
    pub(super) warnings: Vec<String>,
}

impl Value {
    pub(super) fn as_alias(&self, alias: &Alias) -> Loaded {
        Loaded { alias: alias.clone(), key: self.key.clone(), hints: self.hints.clone() }
    }
}

impl ValueReader {
    pub(super) fn new(
        format: ValueFormat,
        key: Option<&PasswordSource>,
        pem_password: Option<&PasswordSource>,
        tagger: &Tagger,
        resolve: Resolve<'_>,
    ) -> Result<Self> {
        let sealed_under = key.map(resolve).transpose()?;
        let key = sealed_under.as_ref().map(sealing_key).transpose()?;
        let pem = matches!(format, ValueFormat::Pem | ValueFormat::EncryptedPem);
        let named = pem_password.map(resolve).transpose()?;
        let pem_password = match named {
            None if pem => default_pem_password(resolve)?,
            named => named,
        };
        // EXPOSE: into a tag under a key of this process.
        let shown = |secret: &Option<SecretBytes>| {
            let bytes = secret.as_ref().map_or(&[][..], SecretBytes::expose_secret);
            tagger.tag(&[bytes, if secret.is_some() { b"given" } else { b"absent" }])
        };
        let (first, second) = (shown(&sealed_under), shown(&pem_password));
        let tag = tagger.tag(&[format!("{format:?}").as_bytes(), first.as_ref(), second.as_ref()]);
        let utf8 = |bytes: SecretBytes| {
            SecretString::from_utf8(&bytes)
                .ok_or_else(|| Error::new(ErrorKind::KeyUnfit, "the PEM password is not UTF-8"))
        };
        let pem_password = pem_password.map(utf8).transpose()?;
        Ok(Self { format, tag, key, pem_password })
    }

    /// Reads one value, unless the same was read and is still held.
    pub(super) fn read_once(&self, bytes: &SecretBytes, prepared: &Prepared) -> Result<Arc<Value>> {
        // EXPOSE: into a tag under a key of this process.
        let tag = prepared.tagger().tag(&[self.tag.as_ref(), bytes.expose_secret()]);
        prepared.value(tag, || self.read(bytes, prepared))
    }

    fn read(&self, bytes: &SecretBytes, prepared: &Prepared) -> Result<Value> {
        let opened = match self.format {
            ValueFormat::EncryptedBase64
            | ValueFormat::EncryptedPem
            | ValueFormat::EncryptedPlain => Some(self.unseal(bytes)?),
            _ => None,
        };
        let bytes = opened.as_ref().unwrap_or(bytes);
        match self.format {
            ValueFormat::Plain | ValueFormat::EncryptedPlain => plain(bytes),
            ValueFormat::Base64 | ValueFormat::EncryptedBase64 => base64(bytes),
            ValueFormat::Pem | ValueFormat::EncryptedPem | ValueFormat::Jwk => {
                self.container(bytes, prepared)
            }
        }
    }

    fn unseal(&self, bytes: &SecretBytes) -> Result<SecretBytes> {
        // EXPOSE: the sealed text is no secret.
        let text = std::str::from_utf8(bytes.expose_secret())
            .map_err(|_| Error::new(ErrorKind::Malformed, "the sealed value is not text"))?;
        let key = self.key.as_ref();
        sealed::decode(
            key.ok_or_else(|| Error::new(ErrorKind::Bug, "no key to unseal with"))?,
            text,
        )
    }

    fn container(&self, bytes: &SecretBytes, prepared: &Prepared) -> Result<Value> {
        let passwords = Passwords { store: self.pem_password.as_ref(), entry: None };
        // EXPOSE: parsed into owners that wipe themselves.
        let text = bytes.expose_secret();
        let container = formats::open(text, None, &passwords, &Limits::default(), false)?;
        // A private key and its certificates are one entry already; the active secret is the first.
        let mut entries = container.entries.into_iter();
        let first = entries.next();
        let more = entries.count();
        let first = first.ok_or_else(|| {
            Error::new(ErrorKind::Damaged, "there is no key or certificate in it")
        })?;
        let mut warnings = container.warnings;
        if more > 0 {
            warnings
                .push(format!("it holds {} keys or certificates: the first is taken", more + 1));
        }
        Ok(Value { key: prepared.key_of(&first)?, hints: first.hints, warnings })
    }
}

/// The password under Ping AM's label for it, which need not be mapped.
fn default_pem_password(resolve: Resolve<'_>) -> Result<Option<SecretBytes>> {
    let label = crate::catalogue::PEM_PASSWORD.parse()?;
    match resolve(&PasswordSource::Label(label)) {
        Ok(password) => Ok(Some(password)),
        // Nobody has it, or only a store that waits for this one.
        Err(error) if matches!(error.kind(), ErrorKind::Config | ErrorKind::UnknownLabel) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// The key that values are sealed under: 32 bytes, or their base64, are an AES key; anything else is text
/// that somebody chose.
pub(crate) fn sealing_key(bytes: &SecretBytes) -> Result<Key> {
    // EXPOSE: into a key that wipes itself.
    let raw = bytes.expose_secret();
    let decoded = std::str::from_utf8(raw)
        .ok()
        .and_then(|text| Base64::decode_vec(text.trim()).ok())
        .map(SecretBytes::from_vec);
    match decoded {
        Some(key) if key.len() == 32 => Key::from_secret(key, OctType::Aes),
        _ if raw.len() == 32 && std::str::from_utf8(raw).is_err() => {
            Key::from_secret(SecretBytes::from_slice(raw), OctType::Aes)
        }
        _ => Key::from_secret(SecretBytes::from_slice(raw), OctType::Generic),
    }
}

fn plain(bytes: &SecretBytes) -> Result<Value> {
    // EXPOSE: into a key that wipes itself.
    let mut text = bytes.expose_secret().to_vec();
    let mut warnings = Vec::new();
    if trim_newline(&mut text) {
        warnings.push("one newline at its end was dropped (write it with printf, not echo)".into());
    }
    let text = SecretBytes::from_vec(text);
    if std::str::from_utf8(text.expose_secret()).is_err() {
        return Err(Error::new(ErrorKind::Damaged, "it is not UTF-8 text")
            .with_help("use format = \"base64\" for bytes"));
    }
    Ok(Value {
        key: Key::from_secret(text, OctType::Generic)?,
        hints: JwkHints::default(),
        warnings,
    })
}

fn base64(bytes: &SecretBytes) -> Result<Value> {
    // EXPOSE: decoded in constant time into a key that wipes itself.
    // Line breaks are no part of base64: `base64` of coreutils writes one after 76 digits.
    let text = bytes.expose_secret().iter().copied();
    let text = SecretBytes::from_vec(text.filter(|byte| !matches!(byte, b'\r' | b'\n')).collect());
    let decoded = std::str::from_utf8(text.expose_secret())
        .ok()
        .and_then(|text| Base64::decode_vec(text).ok())
        .ok_or_else(|| {
            Error::new(ErrorKind::Damaged, "it is not base64").with_help(
                "write it with: base64 < SECRET > FILE; format = \"plain\" takes text as it is",
            )
        })?;
    let key = Key::from_secret(SecretBytes::from_vec(decoded), OctType::Any)?;
    Ok(Value { key, hints: JwkHints::default(), warnings: Vec::new() })
}
