//! A file-system secret volume: the file name is the label, the highest version is active.

use std::collections::{BTreeMap, HashMap};
use std::fs::File as Handle;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::OFlags;

use crate::error::{Error, ErrorKind, Result};
use crate::label::{Alias, LabelName};
use crate::parallel;
use crate::stores::content::{Content, Part};
use crate::stores::files::{Taken, take_open, unreadable};
use crate::stores::generation::{Generation, names, resolve_beneath};
use crate::stores::prepared::Prepared;
use crate::stores::value::{Value, ValueReader};
use crate::stores::{Loaded, Permissions, Resolve, SecretStore, VolumeOptions};

/// Ping AM ignores larger files; we refuse them.
pub(super) const MAX_BYTES: usize = 2 << 20;
/// How often a directory is read that changes meanwhile.
const TRIES: usize = 5;
/// Fewer files are read on one thread.
const PARALLEL_FILES: usize = 16;

/// A directory that was read whole.
#[derive(Debug)]
pub(super) struct VolumeStore {
    directory: PathBuf,
    labels: BTreeMap<LabelName, Vec<File>>,
    warnings: Vec<String>,
}

/// One file: its alias, and what was in it or why that cannot be used.
type File = (Alias, Result<Arc<Value>>);

/// A file name taken apart. Ordered by version: no suffix is the oldest; equal numbers with leading zeros
/// are newer (`v1 < v01 < v001 < v2`).
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
struct Version {
    number: u64,
    digits: usize,
}

/// Reads the files of one generation. One that was replaced, or whose names changed, while it was read is
/// read again: an old generation is emptied as soon as the link has left it.
pub(super) fn read(options: &VolumeOptions) -> Result<Content> {
    let directory = &options.directory;
    for _ in 0..TRIES {
        let generation = Generation::open(directory)?;
        let names_before = names(&generation.files, directory)?;
        let content = read_generation(&generation, &names_before, options)?;
        let after = Generation::open(directory)?.files;
        if is_same(&generation.files, &after) && names(&after, directory)? == names_before {
            return Ok(content);
        }
    }
    Err(unreadable(directory, "it is being replaced"))
}

/// Files whose names are no labels are not opened.
fn read_generation(
    generation: &Generation,
    names: &[String],
    options: &VolumeOptions,
) -> Result<Content> {
    let directory = &options.directory;
    let mut content = Content::default();
    content.warnings.extend(generation.check_mode(directory, options.permissions)?);
    content.warnings.extend(generation.beside(directory)?);
    let mut known: HashMap<(LabelName, Version), &str> = HashMap::new();
    let mut secrets: Vec<&String> = Vec::with_capacity(names.len());
    for name in names {
        let fresh = parse_name(name, options).and_then(|parsed| {
            let same = known.get(&parsed).map(|other| format!("\"{other}\" is the same version"));
            known.entry(parsed).or_insert(name);
            same.map_or(Ok(()), Err)
        });
        if let Err(why) = fresh {
            content.warnings.push(ignored(name, &why));
            continue;
        }
        secrets.push(name);
    }
    // Each file is a few calls of the system: as many at once as there are processors.
    let read = parallel::map(&secrets, PARALLEL_FILES, |name| {
        let (path, mut warnings) = (directory.join(name), Vec::new());
        let taken = read_file(&generation.files, name, &path, options, &mut warnings);
        (taken.map_err(|error| error.with_file(&path)), warnings)
    });
    for (name, (taken, warnings)) in secrets.into_iter().zip(read) {
        content.warnings.extend(warnings);
        if let Some(taken) = taken.transpose() {
            content.parts.push(Part::of(name.clone(), taken));
        }
    }
    Ok(content)
}

fn is_same(a: &Handle, b: &Handle) -> bool {
    let identity = |handle: &Handle| handle.metadata().map(|facts| (facts.dev(), facts.ino())).ok();
    identity(a).is_some() && identity(a) == identity(b)
}

fn ignored(name: &str, why: &str) -> String {
    let shown: String = name.chars().take(80).collect();
    format!("file \"{}\" is ignored: {why}", shown.escape_debug())
}

impl VolumeStore {
    pub(super) fn open(
        options: &VolumeOptions,
        content: &Content,
        prepared: &Arc<Prepared>,
        resolve: Resolve<'_>,
    ) -> Result<Self> {
        let VolumeOptions { format, key, pem_password, .. } = options;
        let (key, pem_password) = (key.as_ref(), pem_password.as_ref());
        let reader = ValueReader::new(*format, key, pem_password, prepared.tagger(), resolve)?;
        let values = parallel::map(&content.parts, PARALLEL_FILES, |part| {
            part.bytes()
                .and_then(|bytes| reader.read_once(bytes, prepared))
                .map_err(|error| about_file(error, part, options))
        });
        let mut warnings = content.warnings.clone();
        let mut found: BTreeMap<LabelName, Vec<(Version, File)>> = BTreeMap::new();
        for (part, value) in content.parts.iter().zip(values) {
            let Ok((label, version)) = parse_name(&part.name, options) else { continue };
            let Ok(alias) = alias_of(&part.name, options).parse::<Alias>() else { continue };
            let of_file = |warning: &String| format!("file \"{}\": {warning}", part.name);
            warnings.extend(value.iter().flat_map(|value| value.warnings.iter().map(of_file)));
            found.entry(label).or_default().push((version, (alias, value)));
        }
        let mut labels = BTreeMap::new();
        for (label, mut versions) in found {
            versions.sort_by(|(a, _), (b, _)| b.cmp(a));
            labels.insert(label, versions.into_iter().map(|(_, file)| file).collect());
        }
        Ok(Self { directory: options.directory.clone(), labels, warnings })
    }
}

fn about_file(error: Error, part: &Part, options: &VolumeOptions) -> Error {
    let error = error.about(format!("file \"{}\"", part.name));
    error.with_file(options.directory.join(&part.name))
}

/// `None`: a directory, which is no secret.
fn read_file(
    handle: &Handle,
    name: &str,
    path: &Path,
    options: &VolumeOptions,
    warnings: &mut Vec<String>,
) -> Result<Option<Taken>> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file =
        resolve_beneath(handle, &options.directory, name, flags).map_err(|error| match error {
            rustix::io::Errno::XDEV => unreadable(path, "its link leads out of the directory"),
            error => unreadable(path, &error.to_string()),
        })?;
    if file.metadata().is_ok_and(|facts| facts.is_dir()) {
        warnings.push(ignored(name, "it is a directory"));
        return Ok(None);
    }
    let taken = take_open(file, path, MAX_BYTES)?;
    let mode = taken.stamp.mode();
    if mode & 0o002 != 0 {
        return Err(Error::new(ErrorKind::StoreUnreadable, "everybody may write it")
            .with_help(format!("chmod o-w {}", path.display())));
    }
    if mode & 0o024 != 0 {
        match options.permissions {
            Permissions::Ignore => {}
            Permissions::Refuse => {
                let text = "others than its owner may read or change it";
                return Err(Error::new(ErrorKind::StoreUnreadable, text)
                    .with_help(format!("chmod g-w,o-r {}", path.display())));
            }
            Permissions::Warn => warnings.push(format!(
                "file \"{name}\": others than its owner may read or change it (chmod g-w,o-r)"
            )),
        }
    }
    Ok(Some(taken))
}

/// `LABEL[SUFFIXn][EXTENSION]`; where Ping AM puts the extension is not known, so the number may follow it too.
fn parse_name(
    name: &str,
    options: &VolumeOptions,
) -> std::result::Result<(LabelName, Version), String> {
    let extension = options.extension.as_str();
    let (label, version) = match name.strip_suffix(extension) {
        Some(stem) => split_version(stem, &options.version_suffix).unwrap_or((stem, "")),
        None => split_version(name, &options.version_suffix)
            .and_then(|(stem, digits)| Some((stem.strip_suffix(extension)?, digits)))
            .ok_or_else(|| format!("it does not end in \"{extension}\""))?,
    };
    let number = match version {
        "" => 0,
        digits => digits
            .parse()
            .ok()
            .filter(|number| (1..1 << 31).contains(number))
            .ok_or_else(|| format!("its version {digits} is not between 1 and 2147483647"))?,
    };
    let label = label.parse().map_err(|_| "its name is no label".to_owned())?;
    Ok((label, Version { number, digits: version.len() }))
}

fn split_version<'n>(name: &'n str, suffix: &str) -> Option<(&'n str, &'n str)> {
    let (label, digits) = name.rsplit_once(suffix).filter(|_| !suffix.is_empty())?;
    (!digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
        .then_some((label, digits))
}

/// The stable id of a file in Ping AM: its name without the extension.
fn alias_of(name: &str, options: &VolumeOptions) -> String {
    let extension = options.extension.as_str();
    if let Some(stem) = name.strip_suffix(extension) {
        return stem.to_owned();
    }
    let stem = split_version(name, &options.version_suffix)
        .and_then(|(stem, digits)| Some((stem.strip_suffix(extension)?, digits)));
    stem.map_or_else(
        || name.to_owned(),
        |(label, digits)| format!("{label}{}{digits}", options.version_suffix),
    )
}

impl SecretStore for VolumeStore {
    fn load(&self, label: &LabelName, _aliases: &[Alias]) -> Vec<(Alias, Result<Loaded>)> {
        let files = self.labels.get(label).map_or(&[][..], Vec::as_slice);
        let load = |(alias, value): &File| {
            let loaded = value.as_ref().map(|value| value.as_alias(alias));
            (alias.clone(), loaded.map_err(Error::repeat))
        };
        files.iter().map(load).collect()
    }

    fn aliases(&self) -> Vec<Alias> {
        self.labels.values().flatten().map(|(alias, _)| alias.clone()).collect()
    }

    fn labels(&self) -> Vec<LabelName> {
        self.labels.keys().cloned().collect()
    }

    fn warnings(&self) -> Vec<String> {
        self.warnings.clone()
    }

    fn files(&self) -> Vec<PathBuf> {
        vec![self.directory.clone()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stores::ValueFormat;

    fn options(extension: &str, version_suffix: &str) -> VolumeOptions {
        VolumeOptions {
            directory: PathBuf::new(),
            format: ValueFormat::Plain,
            extension: extension.into(),
            version_suffix: version_suffix.into(),
            permissions: Permissions::Warn,
            key: None,
            pem_password: None,
            lease: None,
        }
    }

    #[test]
    fn names_follow_the_grammar_of_am() {
        let plain = options("", "");
        let versioned = options(".txt", ".v");
        assert!(parse_name("a.b", &plain).is_ok());
        for bad in ["a..b", ".a", "a.", "a-b", "a b", "ä", "a~"] {
            assert!(parse_name(bad, &plain).is_err(), "{bad}");
        }
        assert_eq!(parse_name("a.b.v12.txt", &versioned).unwrap().1.number, 12);
        assert_eq!(parse_name("a.b.txt", &versioned).unwrap().1.number, 0);
        assert_eq!(parse_name("a.b.txt.v12", &versioned).unwrap().1.number, 12);
        assert_eq!(alias_of("a.b.txt.v12", &versioned), "a.b.v12");
        for bad in ["a.b.v12", "a.v0.txt", "a.v-1.txt", "a.v9999999999.txt"] {
            assert!(parse_name(bad, &versioned).is_err(), "{bad}");
        }
    }

    #[test]
    fn versions_order_as_in_am() {
        let options = options("", ".v");
        let mut names = ["a.v2", "a.v001", "a", "a.v10", "a.v1", "a.v01"];
        names.sort_by_key(|name| parse_name(name, &options).unwrap().1);
        assert_eq!(names, ["a", "a.v1", "a.v01", "a.v001", "a.v2", "a.v10"]);
    }
}
