//! The next key of a label, made in the label's own store and staged in one step.

use std::path::Path;

use super::mappings::Kind;
use super::request::{Request, Step};
use super::{Plan, Rotation, mappings};
use crate::alg::Curve;
use crate::config::StoreEntry;
use crate::crypto::{KeyKind, OctType};
use crate::error::{Error, ErrorKind, Result};
use crate::key_tools::{self, Change, GenerateOptions};
use crate::secret::{SecretBytes, SecretString};
use crate::stores::{
    self, KeystoreOptions, PasswordSource, StoreConfig, ValueFormat, VolumeOptions,
};

/// What the key is to be; what is not said is as the active key is.
#[derive(Clone, Copy, Debug, Default)]
#[expect(
    missing_docs,
    clippy::exhaustive_structs,
    reason = "the options of `generate`, explained in its help"
)]
pub struct NextKey<'a> {
    pub key_type: Option<&'a str>,
    pub bits: Option<usize>,
    pub curve: Option<&'a str>,
    pub subject: Option<&'a str>,
    pub days: u32,
}

impl Rotation {
    /// Makes a key under the alias of a [`Step::Stage`] and stages it. If it cannot be staged, the store is
    /// as it was.
    ///
    /// # Errors
    /// Those of [`Rotation::apply`] and of [`key_tools::generate_into`]; [`ErrorKind::Unsupported`] for
    /// keystores that are not written.
    pub fn generate(&mut self, request: &Request, next: &NextKey<'_>) -> Result<(Change, Plan)> {
        let known = self.history.records.len();
        let made = self.make_and_stage(request, next);
        // A refusal to stage is recorded where it is staged.
        if let Err(error) = &made
            && self.history.records.len() == known
        {
            self.record_refusal(request, error)?;
        }
        made
    }

    fn make_and_stage(&mut self, request: &Request, next: &NextKey<'_>) -> Result<(Change, Plan)> {
        let Step::Stage { alias } = &request.step else {
            return Err(Error::new(ErrorKind::Bug, "only a key that is staged is made"));
        };
        let (name, mapping) = mappings::target(&self.mappings, request)?;
        let config = self.keyring.config();
        let entry = config.stores.iter().find(|entry| entry.name.value == name.store);
        let entry = entry.ok_or_else(|| Error::new(ErrorKind::Bug, "a mapping without a store"))?;
        let snapshot = self.keyring.snapshot();
        let active = snapshot.keys(name.realm.as_ref(), &name.label)?.active().key.kind();
        let like = Like::of(active);
        let options = GenerateOptions {
            alias: alias.as_str(),
            key_type: next.key_type.unwrap_or(like.key_type),
            bits: next.bits.or_else(|| like.bits.filter(|_| next.key_type.is_none())),
            curve: next.curve.or_else(|| like.curve.filter(|_| next.key_type.is_none())),
            subject: next.subject,
            days: next.days,
            now: self.now(),
        };
        match (&entry.options, mapping.kind) {
            (StoreConfig::Keystore(store), Kind::Listed) => {
                let store = store.clone();
                self.generate_in_keystore(&store, &options, request)
            }
            (StoreConfig::Volume(volume), Kind::Versioned) => {
                let (change, value) = self.value_for(volume, &options)?;
                self.apply_with(request, Some(value)).map(|plan| (change, plan))
            }
            _ => Err(unwritable(entry)),
        }
    }

    fn generate_in_keystore(
        &mut self,
        store: &KeystoreOptions,
        options: &GenerateOptions<'_>,
        request: &Request,
    ) -> Result<(Change, Plan)> {
        let about = |error: Error| error.with_file(&store.path);
        let _held = key_tools::lock_folder(&store.path)?;
        let before = read(&store.path)?;
        let password = self.password(store.store_password.as_ref())?;
        let change = key_tools::generate_into(Some(&before), &password, options).map_err(about)?;
        key_tools::replace_file(&store.path, &change.content)?;
        let staged = self.reopened().and_then(|()| self.apply(request));
        match staged {
            Ok(plan) => Ok((change, plan)),
            Err(error) => {
                key_tools::replace_file(&store.path, &before)?;
                self.reopened()?;
                Err(error)
            }
        }
    }

    /// A value as the files of a volume hold it.
    fn value_for(
        &self,
        volume: &VolumeOptions,
        options: &GenerateOptions<'_>,
    ) -> Result<(Change, SecretBytes)> {
        let (format, sealed) = match volume.format {
            ValueFormat::Base64 => ("base64", false),
            ValueFormat::EncryptedBase64 => ("base64", true),
            ValueFormat::EncryptedPem => ("pem", true),
            ValueFormat::EncryptedPlain => ("plain", true),
            ValueFormat::Jwk => ("jwk", false),
            ValueFormat::Pem => ("pem", false),
            ValueFormat::Plain => ("plain", false),
        };
        let change = key_tools::generate_file(format, options)?;
        // EXPOSE: copied into the value that goes into the volume.
        let value = SecretBytes::from_slice(change.content.expose_secret());
        if !sealed {
            return Ok((change, value));
        }
        let text = match &volume.key {
            Some(PasswordSource::Label(label)) => {
                self.keyring.snapshot().keys(None, label)?.active().seal(&value)?
            }
            source => stores::seal(source.as_ref(), &value)?,
        };
        Ok((change, SecretBytes::from_vec(text.into_bytes())))
    }

    fn password(&self, source: Option<&PasswordSource>) -> Result<SecretString> {
        let bytes = match source {
            None => return Ok(SecretString::from_string(String::new())),
            Some(PasswordSource::Label(label)) => {
                let keys = self.keyring.snapshot().keys(None, label)?.clone();
                keys.active().key.reveal(SecretBytes::from_slice)
            }
            Some(source) => Some(stores::password::read(source)?),
        };
        bytes
            .and_then(|bytes| SecretString::from_utf8(&bytes))
            .ok_or_else(|| Error::new(ErrorKind::KeyUnfit, "the store's password is no text"))
    }
}

/// The options that make a key as another one is.
struct Like {
    key_type: &'static str,
    bits: Option<usize>,
    curve: Option<&'static str>,
}

impl Like {
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

fn read(path: &Path) -> Result<SecretBytes> {
    let bytes = std::fs::read(path).map_err(|error| {
        Error::new(ErrorKind::StoreUnreadable, format!("cannot be read: {error}")).with_file(path)
    })?;
    Ok(SecretBytes::from_vec(bytes))
}

fn unwritable(entry: &StoreEntry) -> Error {
    let text = format!("store \"{}\" is not written from here", entry.name.value);
    Error::new(ErrorKind::Unsupported, text)
        .with_help("make the key where the store is kept, then: claviger stage LABEL ALIAS")
}
