//! The next key of a label, made in the label's own store and staged in one step.

use std::collections::HashSet;
use std::path::Path;

use super::fresh::Fresh;
use super::like::Like;
use super::request::{Request, Step, in_realm, quoted};
use super::{Plan, Rotation, mappings, steps, wording};
use crate::catalogue;
use crate::config::StoreEntry;
use crate::error::{Error, ErrorKind, Result};
use crate::journal::MappingName;
use crate::key_tools::{self, Change, GenerateOptions, OpenOptions};
use crate::label::{Alias, LabelName};
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

/// Who else may change the keystores meanwhile.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Hold {
    /// Nobody: they are about to be written.
    Locked,
    /// Anybody: nothing is written.
    Open,
}

impl Rotation {
    /// Makes a key under the alias of a [`Step::Stage`] and stages it, or under `replace` of a
    /// [`Step::Revoke`], in the place of the key that goes. The key is written once every gate is open.
    ///
    /// # Errors
    /// Those of [`Rotation::apply`] and of [`key_tools::generate_into`]; [`ErrorKind::StoreNotWritten`] for
    /// the environment.
    pub fn generate(&mut self, request: &Request, next: &NextKey<'_>) -> Result<Plan> {
        let known = self.history.records.len();
        let made = self
            .make_for(request, next, Hold::Locked)
            .and_then(|(request, fresh)| self.apply_with(&request, fresh));
        // A refusal to stage is recorded where it is staged.
        if let Err(error) = &made
            && self.history.records.len() == known
        {
            self.record_refusal(request, error)?;
        }
        made
    }

    /// The first name of `base`, `base-2`, `base-3` … that the store of a mapping does not have. The files of a
    /// volume are numbered anyway.
    pub(super) fn free_alias(&self, name: &MappingName, base: Alias) -> Result<Alias> {
        let config = self.keyring.config();
        let entry = config.stores.iter().find(|entry| entry.name.value == name.store);
        let Some(StoreConfig::Keystore(store)) = entry.map(|entry| &entry.options) else {
            return Ok(base);
        };
        let password = self.password(store.store_password.as_ref())?;
        let options = OpenOptions { store_password: Some(&password), ..OpenOptions::default() };
        let entries = key_tools::inspect(&read(&store.path)?, &options)?.entries;
        // Java compares the aliases of PKCS#12 without case.
        let taken: HashSet<String> =
            entries.iter().map(|entry| entry.alias.to_lowercase()).collect();
        first_free(base, |alias| !taken.contains(&alias.as_str().to_lowercase()))
    }

    /// The first name of `base`, `base-2`, `base-3` … that was never a kid of this label: a JWK in a volume names
    /// itself, and peers may know another key by that name.
    fn unused_kid(&self, label: &LabelName, base: Alias) -> Result<Alias> {
        let now = self.mappings.iter().filter(|(name, _)| name.label == *label);
        let now = now.flat_map(|(_, mapping)| &mapping.keys);
        let records = self.history.records.iter().flat_map(|record| &record.changes);
        let before = records
            .filter(|change| change.mapping.label == *label)
            .flat_map(|change| change.before.iter().chain(&change.after));
        let taken: HashSet<&str> = now.chain(before).map(|key| key.kid.as_str()).collect();
        first_free(base, |alias| !taken.contains(alias.as_str()))
    }

    /// What [`Rotation::generate`] would change, with a key that is thrown away: the real one has another kid.
    ///
    /// # Errors
    /// As [`Rotation::generate`].
    pub fn plan_generated(&self, request: &Request, next: &NextKey<'_>) -> Result<Plan> {
        let (request, mut fresh) = self.make_for(request, next, Hold::Open)?;
        super::plan::plan(self, &request, &mut fresh)
    }

    /// The keys that a request needs, and the request with the aliases that they have.
    fn make_for(
        &self,
        request: &Request,
        next: &NextKey<'_>,
        hold: Hold,
    ) -> Result<(Request, Fresh)> {
        let mut request = request.clone();
        let alias = match &request.step {
            Step::Stage { alias } | Step::Revoke { replace: Some(alias), .. } => alias.clone(),
            _ => return Err(Error::new(ErrorKind::Bug, "this step brings no key")),
        };
        let mut fresh = Fresh::for_command(match &request.step {
            Step::Stage { .. } => request.generating(),
            _ => request.command(),
        });
        for name in self.sites(&request, &mut fresh)? {
            self.make_at(&name, &alias, next, &mut fresh, hold)
                .map_err(|error| self.name_taken(error, &request))?;
            if let (Step::Stage { alias }, Some(actual)) =
                (&mut request.step, fresh.alias_in(&name.store))
            {
                alias.clone_from(actual);
            }
        }
        Ok((request, fresh))
    }

    /// The mappings that get a new key.
    fn sites(&self, request: &Request, fresh: &mut Fresh) -> Result<Vec<MappingName>> {
        if let Step::Revoke { alias, .. } = &request.step {
            return steps::replaced(self, request, alias);
        }
        fresh.begins = self.beginning(request)?;
        if let Some(name) = &fresh.begins {
            return Ok(vec![name.clone()]);
        }
        Ok(vec![mappings::target(&self.mappings, request)?.0.clone()])
    }

    /// The mapping that a request begins: it names a store that does not map the label.
    pub(super) fn beginning(&self, request: &Request) -> Result<Option<MappingName>> {
        let (Step::Stage { .. }, Some(store)) = (&request.step, &request.store) else {
            return Ok(None);
        };
        let label = catalogue::canonical(&request.label);
        if self.mappings.keys().any(|name| name.store == *store && name.label == label) {
            return Ok(None);
        }
        let config = self.keyring.config();
        let is_its = |entry: &&StoreEntry| request.origin.is_here() || entry.realm == request.realm;
        let entry = config.stores.iter().find(|entry| entry.name.value == *store).filter(is_its);
        let entry = entry.ok_or_else(|| mappings::unknown_store(&config, request, store))?;
        Ok(Some(MappingName { label, realm: entry.realm.clone(), store: store.clone() }))
    }

    /// A revocation that is refused because the new key has the name of another: where one waits already, none is needed.
    fn name_taken(&self, error: Error, request: &Request) -> Error {
        let Step::Revoke { alias, compromised_at, .. } = &request.step else { return error };
        if error.kind() != ErrorKind::AliasTaken {
            return error;
        }
        let another = "--replace makes a new key: choose another alias";
        let mapping = mappings::target(&self.mappings, request).map(|(_, mapping)| mapping);
        if mapping.is_ok_and(|mapping| mapping.keys.len() < 2) {
            return error.with_help(another);
        }
        let (alias, compromised_at) = (alias.clone(), *compromised_at);
        let step = Step::Revoke { alias, compromised_at, replace: None };
        let command = Request { step, ..request.clone() }.command();
        error.with_help(format!(
            "{another}; or leave it out, and the next alias of the list acts: {command}"
        ))
    }

    fn make_at(
        &self,
        name: &MappingName,
        alias: &Alias,
        next: &NextKey<'_>,
        fresh: &mut Fresh,
        hold: Hold,
    ) -> Result<()> {
        let config = self.keyring.config();
        let entry = config.stores.iter().find(|entry| entry.name.value == name.store);
        let entry = entry.ok_or_else(|| Error::new(ErrorKind::Bug, "a mapping without a store"))?;
        let like = Like::find(&self.keyring, name, next)?;
        let options = GenerateOptions {
            alias: alias.as_str(),
            key_type: like.key_type,
            bits: like.bits,
            curve: like.curve,
            subject: next.subject,
            days: next.days,
            now: self.now(),
        };
        match &entry.options {
            // One file may stand behind several stores: it gets one key.
            StoreConfig::Keystore(store) if fresh.has_keystore(&store.path) => {
                fresh.name(&name.store, alias.clone());
                Ok(())
            }
            StoreConfig::Keystore(store) => {
                self.add_to_keystore(store, &options, (name, alias), fresh, hold)
            }
            StoreConfig::Volume(volume) => {
                let alias = self.unused_kid(&name.label, alias.clone())?;
                let options = GenerateOptions { alias: alias.as_str(), ..options };
                let value =
                    self.value_for(volume, &options).map_err(|error| match error.kind() {
                        ErrorKind::Usage => in_volume(&error, entry),
                        _ => error,
                    })?;
                fresh.add_value(name, value);
                Ok(())
            }
            StoreConfig::Environment(_) => Err(unwritable(entry)),
        }
    }

    fn add_to_keystore(
        &self,
        store: &KeystoreOptions,
        options: &GenerateOptions<'_>,
        (name, alias): (&MappingName, &Alias),
        fresh: &mut Fresh,
        hold: Hold,
    ) -> Result<()> {
        if hold == Hold::Locked {
            fresh.lock_folder_of(&store.path)?;
        }
        let before = read(&store.path)?;
        let password = self.password(store.store_password.as_ref())?;
        let Change { content, entries, .. } =
            key_tools::generate_into(Some(&before), &password, options)
                .map_err(|error| self.in_keystore(error, store, name, alias))?;
        if let Some(made) = entries.first() {
            fresh.name(&name.store, made.alias.parse()?);
        }
        fresh.add_keystore(&store.path, (before, content));
        Ok(())
    }

    /// A refusal of a keystore, with what to type in this place.
    fn in_keystore(
        &self,
        error: Error,
        store: &KeystoreOptions,
        name: &MappingName,
        alias: &Alias,
    ) -> Error {
        let (label, realm) = (&name.label, in_realm(name.realm.as_ref()));
        let error = error.with_file(&store.path);
        let path = store.path.display();
        match error.kind() {
            ErrorKind::AliasTaken => {
                let mapping =
                    self.mappings.get(name).filter(|one| steps::position(one, alias).is_some());
                error.with_help(match mapping {
                Some(mapping) => wording::stands_already(mapping, name, alias),
                None => format!(
                    "stage the entry that is there: claviger stage {label}{}{realm}; or choose another alias",
                    quoted(alias)
                ),
            })
            }
            ErrorKind::StoreNotWritten => {
                let alias = quoted(alias);
                error.with_help(format!(
                "make the key with the tool of the store, then stage it: keytool -genkeypair -keystore {path} \
                 -alias{alias} …; claviger stage {label}{alias}{realm}. Or convert the store once: claviger import \
                 {path} --store NEW.p12, and name NEW.p12 in [stores.{}]",
                name.store
            ))
            }
            _ => error,
        }
    }

    /// A value as the files of a volume hold it.
    fn value_for(
        &self,
        volume: &VolumeOptions,
        options: &GenerateOptions<'_>,
    ) -> Result<SecretBytes> {
        let (format, sealed) = match volume.format {
            ValueFormat::Base64 => ("base64", false),
            ValueFormat::EncryptedBase64 => ("base64", true),
            ValueFormat::EncryptedPem => ("pem", true),
            ValueFormat::EncryptedPlain => ("plain", true),
            ValueFormat::Jwk => ("jwk", false),
            ValueFormat::Pem => ("pem", false),
            ValueFormat::Plain => ("plain", false),
        };
        let value = key_tools::generate_file(format, options)?.content;
        if !sealed {
            return Ok(value);
        }
        let text = match &volume.key {
            Some(PasswordSource::Label(label)) => {
                self.keyring.snapshot().keys(None, label)?.active().seal(&value)?
            }
            source => stores::seal(source.as_ref(), &value)?,
        };
        Ok(SecretBytes::from_vec(text.into_bytes()))
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

/// The first of `base`, `base-2`, `base-3` … that is free.
fn first_free(base: Alias, free: impl Fn(&Alias) -> bool) -> Result<Alias> {
    if free(&base) {
        return Ok(base);
    }
    for number in 2_u32.. {
        let alias: Alias = format!("{base}-{number}").parse()?;
        if free(&alias) {
            return Ok(alias);
        }
    }
    Ok(base)
}

fn read(path: &Path) -> Result<SecretBytes> {
    let bytes = std::fs::read(path).map_err(|error| {
        Error::new(ErrorKind::StoreUnreadable, format!("cannot be read: {error}")).with_file(path)
    })?;
    Ok(SecretBytes::from_vec(bytes))
}

/// A refusal of a volume, with what to change.
fn in_volume(error: &Error, entry: &StoreEntry) -> Error {
    let store = &entry.name.value;
    Error::new(ErrorKind::Unsupported, format!("store \"{store}\": {}", error.message())).with_help(
        format!(
            "set format = \"pem\" or \"jwk\" in [stores.{store}], say another --type, or name another store: \
             --store NAME"
        ),
    )
}

fn unwritable(entry: &StoreEntry) -> Error {
    let store = &entry.name.value;
    let text = format!("store \"{store}\" is the environment, which is not written from here");
    Error::new(ErrorKind::StoreNotWritten, text).with_help(
        "make the key elsewhere: claviger generate NEW --type … --out FILE; set the variable where the \
         process is started",
    )
}
