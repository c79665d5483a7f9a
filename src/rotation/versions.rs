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
use crate::journal::{MappedKey, MappingName};
use crate::key_tools;
use crate::label::{Alias, StoreName};
use crate::secret::SecretBytes;
use crate::stores::VolumeOptions;
use crate::stores::draft::{Draft, FileEdit};

const RETIRED: &str = "..retired-";

/// What happens to the files of one store.
#[derive(Debug)]
pub(super) struct FileChange {
    extension: String,
    /// The file of a volume that acts: whoever reads it is to read what is placed beside it.
    acts: Option<String>,
    pub(super) draft: Draft,
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
        steps.push(FileEdit::Place { name: self.file(&self.name(stem, version)), value });
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
        Ok(self.change(vec![FileEdit::Rename { from, to }]))
    }

    /// The first file of a label.
    pub(super) fn first(&self, name: &MappingName, value: SecretBytes) -> FileChange {
        let label = name.label.as_str();
        let version = if self.options.version_suffix.is_empty() { (0, 0) } else { (1, 1) };
        self.change(vec![FileEdit::Place { name: self.file(&self.name(label, version)), value }])
    }

    /// The file of `alias` goes aside and a new value comes: to act where nothing is left, else as
    /// [`Files::stage`] has it.
    pub(super) fn replace(
        &self,
        alias: &Alias,
        rest: &[MappedKey],
        value: SecretBytes,
    ) -> Result<FileChange> {
        let FileChange { draft: mut aside, .. } = self.put_aside(alias)?;
        let new = if rest.is_empty() {
            let (stem, (number, digits)) = self.split(alias);
            let version = if digits == 0 { (0, 0) } else { (number + 1, width_of(number + 1)) };
            vec![FileEdit::Place { name: self.file(&self.name(stem, version)), value }]
        } else {
            Files { keys: rest, ..*self }.stage(value)?.draft.edits
        };
        aside.edits.extend(new);
        Ok(self.change(aside.edits))
    }

    /// The renames of a recorded step, back.
    pub(super) fn undo(&self, recorded: &[(String, String)]) -> Result<FileChange> {
        self.refuse_mount()?;
        let back = recorded.iter().rev().map(|(from, to)| FileEdit::Rename {
            from: to.clone(),
            // What was placed goes where retired files go.
            to: if from.is_empty() { self.aside(to) } else { from.clone() },
        });
        Ok(self.change(back.collect()))
    }

    fn change(&self, edits: Vec<FileEdit>) -> FileChange {
        let draft = Draft { path: self.options.directory.clone(), edits };
        let acts = self.keys.first().map(|key| self.file_of(&key.alias));
        FileChange { extension: self.options.extension.clone(), acts, draft }
    }

    fn rename(&self, alias: &Alias, to: &str) -> FileEdit {
        FileEdit::Rename { from: self.file_of(alias), to: self.file(to) }
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
    /// A keystore file that is written anew.
    pub(super) fn of_keystore(path: &Path, before: SecretBytes, after: SecretBytes) -> Self {
        let draft =
            Draft { path: path.to_owned(), edits: vec![FileEdit::Rewrite { before, after }] };
        Self { extension: String::new(), acts: None, draft }
    }

    /// What is to be written and may not be.
    pub(super) fn closed_to_writing(&self) -> Option<PathBuf> {
        let path = &self.draft.path;
        let is_open = match self.keystore() {
            Some(_) => atomic::may_replace(path),
            None => atomic::may_write(path),
        };
        (!is_open).then(|| path.clone())
    }

    /// Writes the keystore: before the configuration names what is new in it.
    pub(super) fn write_keystore(&self) -> Result<()> {
        self.keystore()
            .map_or(Ok(()), |(_, after)| key_tools::replace_file(&self.draft.path, after))
    }

    /// Puts the keystore back as it was.
    pub(super) fn restore_keystore(&self) -> Result<()> {
        self.keystore()
            .map_or(Ok(()), |(before, _)| key_tools::replace_file(&self.draft.path, before))
    }

    fn keystore(&self) -> Option<(&SecretBytes, &SecretBytes)> {
        self.draft.edits.iter().find_map(|edit| match edit {
            FileEdit::Rewrite { before, after } => Some((before, after)),
            FileEdit::Place { .. } | FileEdit::Rename { .. } => None,
        })
    }

    /// Changes the files of a volume, one after the other.
    pub(super) fn carry_out(&self) -> Result<()> {
        let directory = &self.draft.path;
        let acts = self.acts.as_ref().and_then(|name| directory.join(name).metadata().ok());
        for edit in &self.draft.edits {
            match edit {
                FileEdit::Place { name, value } => {
                    let path = directory.join(name);
                    // EXPOSE: into the volume that holds it from now on.
                    atomic::create_beside(&path, value.expose_secret(), acts.as_ref())?;
                }
                FileEdit::Rename { from, to } => {
                    atomic::rename(&directory.join(from), &directory.join(to))?;
                }
                FileEdit::Rewrite { .. } => {}
            }
        }
        Ok(())
    }

    /// Whether there is nothing to do.
    pub(super) fn is_empty(&self) -> bool {
        self.draft.edits.is_empty()
    }

    /// The aliases before and after of the files that stay in the volume.
    pub(super) fn renamed(&self) -> Vec<(Alias, Alias)> {
        let alias = |name: &str| name.strip_suffix(self.extension.as_str()).unwrap_or(name).parse();
        let pair = |edit: &FileEdit| match edit {
            FileEdit::Rename { from, to } => Some((alias(from).ok()?, alias(to).ok()?)),
            FileEdit::Place { .. } | FileEdit::Rewrite { .. } => None,
        };
        self.draft.edits.iter().filter_map(pair).collect()
    }

    /// From and to of each file of a volume, for the journal; what is placed comes from nowhere.
    pub(super) fn names(&self) -> Vec<(String, String)> {
        let pair = |edit: &FileEdit| match edit {
            FileEdit::Place { name, .. } => Some((String::new(), name.clone())),
            FileEdit::Rename { from, to } => Some((from.clone(), to.clone())),
            FileEdit::Rewrite { .. } => None,
        };
        self.draft.edits.iter().filter_map(pair).collect()
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

fn width_of(number: u64) -> usize {
    number.to_string().len()
}

fn refused(text: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::StepRefused, text)
}
