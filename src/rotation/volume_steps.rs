//! The steps of a volume: which of its files get which names.

use super::Rotation;
use super::mappings::Mapping;
use super::request::{Request, Step};
use super::steps::{last_step, position, reordered};
use super::versions::{FileChange, Files};
use super::wording::{is_active, not_listed};
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::journal::{MappingName, Record};
use crate::label::Alias;
use crate::secret::SecretBytes;
use crate::stores::StoreConfig;

/// What a step does to the files of a volume; `None`: nothing is left to do.
pub(super) fn versioned(
    rotation: &Rotation,
    request: &Request,
    (name, mapping): (&MappingName, &Mapping),
    value: Option<SecretBytes>,
) -> Result<Option<FileChange>> {
    let config = rotation.keyring.config();
    let files = files_of(&config, name, mapping)?;
    let place =
        |alias: &Alias| position(mapping, alias).ok_or_else(|| not_listed(mapping, name, alias));
    match &request.step {
        Step::Stage { alias } => {
            let value = value.map_or_else(|| read_value(request, alias), Ok)?;
            files.stage(value).map(Some)
        }
        Step::Promote { alias } => match place(alias)? {
            0 => Ok(None),
            _ => files.promote(alias).map(Some),
        },
        Step::Retire { alias } if mapping.left_out.contains(alias) => {
            files.put_aside(alias).map(Some)
        }
        Step::Retire { alias } => match place(alias)? {
            0 => Err(is_active(mapping, name, alias)),
            _ => files.put_aside(alias).map(Some),
        },
        Step::Undo => {
            let last = last_step(rotation, name, mapping)?;
            files.undo(&recorded_files(last)).map(Some)
        }
        Step::Reorder { aliases } => {
            let change = files.reorder(&reordered(mapping, name, aliases)?)?;
            Ok((!change.is_empty()).then_some(change))
        }
        Step::Revoke { .. } => {
            Err(Error::new(ErrorKind::Bug, "a revocation is no step of one volume"))
        }
    }
}

pub(super) fn files_of<'f>(
    config: &'f Config,
    name: &'f MappingName,
    mapping: &'f Mapping,
) -> Result<Files<'f>> {
    let entry = config.stores.iter().find(|entry| entry.name.value == name.store);
    match entry.map(|entry| &entry.options) {
        Some(StoreConfig::Volume(options)) => Ok(Files {
            store: &name.store,
            options,
            keys: &mapping.keys,
            left_out: &mapping.left_out,
        }),
        _ => Err(Error::new(ErrorKind::Bug, "a mapping of versions without a volume")),
    }
}

/// The value that a volume is to hold: what is named is the file that has it.
pub(super) fn read_value(request: &Request, file: &Alias) -> Result<SecretBytes> {
    if !request.origin.is_here() {
        let text =
            "a volume stages the value of a file, and no file is read for somebody elsewhere";
        return Err(Error::new(ErrorKind::StepRefused, text).with_help(
            "`generate` makes the next key there; at the machine of the volume `claviger stage` takes a file",
        ));
    }
    let bytes = std::fs::read(file.as_str()).map_err(|error| {
        Error::new(ErrorKind::Usage, format!("cannot read {file}: {error}")).with_help(
            "a volume stages a value: name the file that holds it, in the store's format; or make a key: \
             claviger generate NEW --stage LABEL",
        )
    })?;
    Ok(SecretBytes::from_vec(bytes))
}

/// From and to of each file of a recorded step.
pub(super) fn recorded_files(record: &Record) -> Vec<(String, String)> {
    let recorded = record.detail.as_ref().and_then(|detail| detail.get("files")).cloned();
    recorded.and_then(|files| serde_json::from_value(files).ok()).unwrap_or_default()
}
