//! Volumes rotate by the names of their files: the highest version acts, and a rename is one step on disk.
//!
//! ```text
//! stage     a new file just below the active one: v3 acts, so v02 (v2 < v02 < v3), or v2 if that is free
//! promote   its file gets the highest number: v02 ─► v4
//! reorder   those that move get the highest numbers, the first one first: v02, v1 ─► v5, v4
//! retire    its file gets a name that no volume reads: ..retired-LABEL.v3
//! ```
//!
//! Readers see the directory before or after each rename, both of them whole. The key stays the same, so its
//! kid must not hang on the file's name: the plan refuses where it would.

use std::path::{Path, PathBuf};

use crate::atomic;
use crate::error::{Error, ErrorKind, Result};
use crate::journal::MappedKey;
use crate::label::{Alias, StoreName};
use crate::secret::SecretBytes;
use crate::stores::VolumeOptions;

/// A folder in which a step is tried; volumes skip names that start with two dots.
const TRIAL: &str = "..claviger-trial-";
const RETIRED: &str = "..retired-";

/// What happens to the files of one volume, in this order.
#[derive(Debug)]
pub(super) struct FileChange {
    pub(super) store: StoreName,
    directory: PathBuf,
    extension: String,
    steps: Vec<FileStep>,
}

#[derive(Debug)]
enum FileStep {
    Place { name: String, value: SecretBytes },
    Rename { from: String, to: String },
}

/// The files of a label in a volume: what each step needs to know.
pub(super) struct Files<'a> {
    pub(super) store: &'a StoreName,
    pub(super) options: &'a VolumeOptions,
    /// The active one first.
    pub(super) keys: &'a [MappedKey],
    pub(super) left_out: &'a [Alias],
}

/// The version of a file: its number, and its digits, which count leading zeros.
type Version = (u64, usize);

impl Files<'_> {
    /// A new value below the active one.
    pub(super) fn stage(&self, value: SecretBytes) -> Result<FileChange> {
        self.refuse_fixed()?;
        let active = self.keys.first().map(|key| &key.alias);
        let active = active.ok_or_else(|| refused("the label has no active file"))?;
        let (stem, (number, digits)) = self.split(active);
        let free = |version: Version| !self.aliases().any(|one| self.split(one).1 == version);
        let widest = |number: u64| {
            let widths = self.aliases().map(|one| self.split(one).1);
            widths.filter(|(one, _)| *one == number).map(|(_, width)| width).max()
        };
        let below = |number: u64| {
            (number, widest(number).map_or_else(|| width_of(number), |width| width + 1))
        };
        let mut steps = Vec::new();
        let version = match number {
            2.. => below(number - 1),
            1 if digits > 1 && free((1, digits - 1)) => (1, digits - 1),
            1 if free((0, 0)) => (0, 0),
            _ => {
                // Nothing is lower: the active file goes up first.
                let top = self.highest().max(number) + 2;
                steps.push(self.rename(active, &self.name(stem, (top, width_of(top)))));
                below(top - 1)
            }
        };
        steps.push(FileStep::Place { name: self.file(&self.name(stem, version)), value });
        Ok(self.change(steps))
    }

    /// The file gets the highest number.
    pub(super) fn promote(&self, alias: &Alias) -> Result<FileChange> {
        self.refuse_fixed()?;
        let (stem, _) = self.split(alias);
        let top = self.highest() + 1;
        let name = self.name(stem, (top, width_of(top)));
        Ok(self.change(vec![self.rename(alias, &name)]))
    }

    /// Files get numbers above all others, the first one first: whatever acts meanwhile is what acted before or
    /// what is to act. Those at the end that are in order already stay.
    pub(super) fn reorder(&self, wanted: &[MappedKey]) -> Result<FileChange> {
        self.refuse_fixed()?;
        let place = |key: &MappedKey| self.keys.iter().position(|one| one.alias == key.alias);
        let in_order = |pair: &&[MappedKey]| match pair {
            [one, next] => place(one) < place(next),
            _ => true,
        };
        let stay = wanted.windows(2).rev().take_while(in_order).count() + 1;
        let moved = wanted.len().saturating_sub(stay);
        let below = (1..).take(moved).collect::<Vec<u64>>();
        let renames = wanted.iter().zip(below.iter().rev()).map(|(key, above)| {
            let (stem, _) = self.split(&key.alias);
            let number = self.highest() + above;
            self.rename(&key.alias, &self.name(stem, (number, width_of(number))))
        });
        Ok(self.change(renames.collect()))
    }

    /// The file gets a name that no volume reads. It is kept: what it made may have to be opened by hand.
    pub(super) fn put_aside(&self, alias: &Alias) -> Result<FileChange> {
        self.refuse_mount()?;
        let from = self.file_of(alias);
        let to = self.aside(&from);
        Ok(self.change(vec![FileStep::Rename { from, to }]))
    }

    /// The renames of a recorded step, back.
    pub(super) fn undo(&self, recorded: &[(String, String)]) -> Result<FileChange> {
        self.refuse_mount()?;
        let back = recorded.iter().rev().map(|(from, to)| FileStep::Rename {
            from: to.clone(),
            // What was placed goes where retired files go.
            to: if from.is_empty() { self.aside(to) } else { from.clone() },
        });
        Ok(self.change(back.collect()))
    }

    fn change(&self, steps: Vec<FileStep>) -> FileChange {
        let directory = self.options.directory.clone();
        let extension = self.options.extension.clone();
        FileChange { store: self.store.clone(), directory, extension, steps }
    }

    fn rename(&self, alias: &Alias, to: &str) -> FileStep {
        FileStep::Rename { from: self.file_of(alias), to: self.file(to) }
    }

    fn aliases(&self) -> impl Iterator<Item = &Alias> {
        self.keys.iter().map(|key| &key.alias).chain(self.left_out)
    }

    fn highest(&self) -> u64 {
        self.aliases().map(|alias| self.split(alias).1.0).max().unwrap_or(0)
    }

    /// A file name without extension, taken apart.
    fn split<'n>(&self, alias: &'n Alias) -> (&'n str, Version) {
        let name = alias.as_str();
        let parts = name.rsplit_once(self.options.version_suffix.as_str());
        let version = parts.and_then(|(stem, digits)| {
            let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            Some((stem, (digits.parse().ok().filter(|_| plain)?, digits.len())))
        });
        version.unwrap_or((name, (0, 0)))
    }

    fn name(&self, stem: &str, (number, digits): Version) -> String {
        if digits == 0 {
            return stem.to_owned();
        }
        format!("{stem}{}{number:0digits$}", self.options.version_suffix)
    }

    fn file(&self, name: &str) -> String {
        format!("{name}{}", self.options.extension)
    }

    /// The file that an alias stands for: its version may follow the extension.
    fn file_of(&self, alias: &Alias) -> String {
        let usual = self.file(alias.as_str());
        let (stem, (_, digits)) = self.split(alias);
        let version = alias.as_str().get(stem.len()..).unwrap_or_default();
        if digits == 0 || self.options.directory.join(&usual).exists() {
            return usual;
        }
        format!("{stem}{}{version}", self.options.extension)
    }

    /// A free name for what is put aside.
    fn aside(&self, name: &str) -> String {
        let taken = |name: &str| self.options.directory.join(name).symlink_metadata().is_ok();
        let first = format!("{RETIRED}{name}");
        let mut candidates = (1_u32..).map(|count| format!("{first}-{count}"));
        if taken(&first) { candidates.find(|name| !taken(name)).unwrap_or(first) } else { first }
    }

    fn refuse_fixed(&self) -> Result<()> {
        self.refuse_mount()?;
        if self.options.version_suffix.is_empty() {
            let text = format!("store \"{}\" has one file a label, without versions", self.store);
            return Err(refused(text).with_help(format!(
                "set version_suffix = \".v\" in [stores.{}]: LABEL.v1, LABEL.v2; the highest acts",
                self.store
            )));
        }
        Ok(())
    }

    fn refuse_mount(&self) -> Result<()> {
        if self.options.directory.join("..data").symlink_metadata().is_ok() {
            let text =
                format!("store \"{}\" is a mount of Kubernetes, which only it writes", self.store);
            return Err(refused(text).with_help(
                "change the Secret: a new key under LABEL.vN below the active one, then above it",
            ));
        }
        Ok(())
    }
}

impl FileChange {
    /// The files as they would be, in a folder of hard links that goes with the value.
    pub(super) fn on_trial(&self) -> Result<tempfile::TempDir> {
        let failed = |error: std::io::Error| {
            Error::new(ErrorKind::Io, format!("a step cannot be tried here: {error}"))
                .with_file(&self.directory)
                .with_help(
                    "nothing was changed; the volume must be writable, and is not if it is a mount",
                )
        };
        let trial =
            tempfile::Builder::new().prefix(TRIAL).tempdir_in(&self.directory).map_err(failed)?;
        for entry in std::fs::read_dir(&self.directory).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let Ok(source) = entry.path().canonicalize() else { continue };
            let name = entry.file_name().to_string_lossy().into_owned();
            // What was retired may come back.
            let unread = name.starts_with("..") && !name.starts_with(RETIRED);
            if unread || !source.is_file() {
                continue;
            }
            let target = trial.path().join(entry.file_name());
            // Files of others cannot be linked everywhere.
            std::fs::hard_link(&source, &target)
                .or_else(|_| std::fs::copy(&source, &target).map(drop))
                .map_err(failed)?;
        }
        self.carry_out_in(trial.path())?;
        Ok(trial)
    }

    /// Does it, one rename after the other.
    pub(super) fn carry_out(&self) -> Result<()> {
        self.carry_out_in(&self.directory)
    }

    fn carry_out_in(&self, directory: &Path) -> Result<()> {
        for step in &self.steps {
            match step {
                FileStep::Place { name, value } => {
                    // EXPOSE: into the volume that holds it from now on.
                    atomic::create(&directory.join(name), value.expose_secret())?;
                }
                FileStep::Rename { from, to } => {
                    atomic::rename(&directory.join(from), &directory.join(to))?;
                }
            }
        }
        Ok(())
    }

    /// Whether there is nothing to do.
    pub(super) fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// The aliases before and after of the files that stay in the volume.
    pub(super) fn renamed(&self) -> Vec<(Alias, Alias)> {
        let alias = |name: &str| name.strip_suffix(self.extension.as_str()).unwrap_or(name).parse();
        let pair = |step: &FileStep| match step {
            FileStep::Rename { from, to } => Some((alias(from).ok()?, alias(to).ok()?)),
            FileStep::Place { .. } => None,
        };
        self.steps.iter().filter_map(pair).collect()
    }

    /// From and to of each file, for the journal; what is placed comes from nowhere.
    pub(super) fn names(&self) -> Vec<(String, String)> {
        let pair = |step: &FileStep| match step {
            FileStep::Place { name, .. } => (String::new(), name.clone()),
            FileStep::Rename { from, to } => (from.clone(), to.clone()),
        };
        self.steps.iter().map(pair).collect()
    }
}

/// Ends the renames of a step whose process died between two of them. Only under the lock.
pub(super) fn finish(directory: &Path, recorded: &[(String, String)]) -> Result<()> {
    let there = |name: &str| directory.join(name).symlink_metadata().is_ok();
    let renames = || recorded.iter().filter(|(from, _)| !from.is_empty());
    if !renames().any(|(from, to)| there(to) && !there(from)) {
        return Ok(());
    }
    renames()
        .filter(|(from, to)| there(from) && !there(to))
        .try_for_each(|(from, to)| atomic::rename(&directory.join(from), &directory.join(to)))
}

/// Removes the folders in which killed commands tried a step. Only under the lock.
pub(super) fn sweep(directory: &Path) {
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(TRIAL) {
            // What cannot be removed now can be removed next time.
            drop(std::fs::remove_dir_all(entry.path()));
        }
    }
}

fn width_of(number: u64) -> usize {
    number.to_string().len()
}

fn refused(text: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::StepRefused, text)
}
