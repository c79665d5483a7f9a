//! A file-system secret volume: the file name is the label, the highest version is active.

use std::collections::BTreeMap;
use std::fs::File as Handle;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Mode, OFlags, ResolveFlags};

use crate::error::{Error, ErrorKind, Result};
use crate::label::{Alias, LabelName};
use crate::parallel;
use crate::stores::content::{Content, Part};
use crate::stores::files::{Taken, take_open, unreadable};
use crate::stores::prepared::Prepared;
use crate::stores::value::{Value, ValueReader};
use crate::stores::{Loaded, Permissions, Resolve, SecretStore, VolumeOptions};

/// Ping AM ignores larger files; we refuse them.
const MAX_BYTES: usize = 2 << 20;
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
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Version {
    number: u64,
    digits: usize,
}

/// Reads the files of one generation; those whose names are no labels are not opened.
pub(super) fn read(options: &VolumeOptions) -> Result<Content> {
    let directory = &options.directory;
    let handle = open_generation(directory)?;
    let mut content = Content::default();
    for name in names(&handle, directory)? {
        match parse_name(&name, options) {
            Ok(_) => {
                let path = directory.join(&name);
                let taken = read_file(&handle, &name, &path, options, &mut content.warnings)
                    .map_err(|error| error.with_file(&path));
                content.parts.push(Part::of(name, taken));
            }
            Err(why) => {
                let shown: String = name.chars().take(80).collect();
                let shown = shown.escape_debug();
                content.warnings.push(format!("file \"{shown}\" is ignored: {why}"));
            }
        }
    }
    Ok(content)
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
            let stem = part.name.strip_suffix(&options.extension).unwrap_or(&part.name);
            let Ok(alias) = stem.parse::<Alias>() else { continue };
            let of_file = |warning: &String| format!("file \"{}\": {warning}", part.name);
            warnings.extend(value.iter().flat_map(|value| value.warnings.iter().map(of_file)));
            found.entry(label).or_default().push((version, (alias, value)));
        }
        let mut labels = BTreeMap::new();
        for (label, mut versions) in found {
            versions.sort_by(|(a, _), (b, _)| b.cmp(a));
            if options.version_suffix.is_empty() && versions.len() > 1 {
                warnings.push(format!("label \"{label}\" has several files and no versions"));
            }
            labels.insert(label, versions.into_iter().map(|(_, file)| file).collect());
        }
        Ok(Self { directory: options.directory.clone(), labels, warnings })
    }
}

fn about_file(error: Error, part: &Part, options: &VolumeOptions) -> Error {
    let error = error.about(format!("file \"{}\"", part.name));
    error.with_file(options.directory.join(&part.name))
}

fn read_file(
    handle: &Handle,
    name: &str,
    path: &Path,
    options: &VolumeOptions,
    warnings: &mut Vec<String>,
) -> Result<Taken> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file =
        resolve_beneath(handle, &options.directory, name, flags).map_err(|error| match error {
            rustix::io::Errno::XDEV => unreadable(path, "its link leads out of the directory"),
            error => unreadable(path, &error.to_string()),
        })?;
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
    Ok(taken)
}

fn open_directory(directory: &Path) -> Result<Handle> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let handle = rustix::fs::open(directory, flags, Mode::empty())
        .map_err(|error| unreadable(directory, &error.to_string()))?;
    Ok(Handle::from(handle))
}

/// The directory that holds the files of one generation, opened once. A Kubernetes volume keeps them behind
/// the link `..data`, which an update replaces: what is read through this handle is all of before or all of
/// after (attacks.md F02).
fn open_generation(directory: &Path) -> Result<Handle> {
    let root = open_directory(directory)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    match resolve_beneath(&root, directory, "..data", flags) {
        Ok(generation) => Ok(generation),
        Err(rustix::io::Errno::NOENT) => Ok(root),
        Err(rustix::io::Errno::XDEV) => {
            Err(unreadable(&directory.join("..data"), "its link leads out of the directory"))
        }
        Err(error) => Err(unreadable(&directory.join("..data"), &error.to_string())),
    }
}

/// Opens `name` under the directory; links are followed as long as they stay inside.
fn resolve_beneath(
    handle: &Handle,
    directory: &Path,
    name: &str,
    flags: OFlags,
) -> rustix::io::Result<Handle> {
    use rustix::io::Errno;

    match rustix::fs::openat2(handle, name, flags, Mode::empty(), ResolveFlags::BENEATH) {
        // Kernels before 5.6 and some sandboxes: resolve first, then look where it ended.
        Err(Errno::NOSYS | Errno::PERM) => {
            let io = |_| Errno::NOENT;
            let inside = directory.canonicalize().map_err(io)?;
            let target = directory.join(name).canonicalize().map_err(io)?;
            if !target.starts_with(&inside) {
                return Err(Errno::XDEV);
            }
            rustix::fs::open(&target, flags | OFlags::NOFOLLOW, Mode::empty()).map(Handle::from)
        }
        opened => opened.map(Handle::from),
    }
}

fn names(handle: &Handle, directory: &Path) -> Result<Vec<String>> {
    let broken = |error: rustix::io::Errno| unreadable(directory, &error.to_string());
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(handle).map_err(broken)? {
        let entry = entry.map_err(broken)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // `.` and `..`, and the directories of a Kubernetes volume.
        if !name.starts_with("..") && name != "." {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// `LABEL[SUFFIXn][EXTENSION]`.
fn parse_name(
    name: &str,
    options: &VolumeOptions,
) -> std::result::Result<(LabelName, Version), String> {
    let stem = name
        .strip_suffix(&options.extension)
        .ok_or_else(|| format!("it does not end in \"{}\"", options.extension))?;
    let suffix = &options.version_suffix;
    if !suffix.is_empty()
        && let Some((label, digits)) = stem.rsplit_once(suffix.as_str())
        && !digits.is_empty()
        && digits.bytes().all(|byte| byte.is_ascii_digit())
    {
        let number: u64 = digits
            .parse()
            .ok()
            .filter(|number| (1..1 << 31).contains(number))
            .ok_or_else(|| format!("its version {digits} is not between 1 and 2147483647"))?;
        let label = label.parse().map_err(|_| "its name is no label".to_owned())?;
        return Ok((label, Version { number, digits: digits.len() }));
    }
    let label = stem.parse().map_err(|_| "its name is no label".to_owned())?;
    Ok((label, Version { number: 0, digits: 0 }))
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
