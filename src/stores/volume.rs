//! A file-system secret volume: the file name is the label, the highest version is active.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags};

use crate::error::{Error, ErrorKind, Result};
use crate::label::{Alias, LabelName};
use crate::secret::SecretBytes;
use crate::stores::files::{read_open, unreadable};
use crate::stores::value::ValueReader;
use crate::stores::{Loaded, Permissions, Resolve, SecretStore, VolumeOptions};

/// Ping AM ignores larger files; we refuse them.
const MAX_BYTES: usize = 2 << 20;

/// A directory that was read whole.
#[derive(Debug)]
pub(super) struct VolumeStore {
    directory: PathBuf,
    labels: BTreeMap<LabelName, Vec<(Alias, Result<Loaded>)>>,
    warnings: Vec<String>,
}

/// A file name taken apart. Ordered by version: no suffix is the oldest; equal numbers with leading zeros
/// are newer (`v1 < v01 < v001 < v2`).
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Version {
    number: u64,
    digits: usize,
}

impl VolumeStore {
    pub(super) fn open(options: &VolumeOptions, resolve: Resolve<'_>) -> Result<Self> {
        let VolumeOptions { key, pem_password, .. } = options;
        let reader =
            ValueReader::new(options.format, key.as_ref(), pem_password.as_ref(), resolve)?;
        let directory = &options.directory;
        let handle = open_generation(directory)?;
        let mut store =
            Self { directory: directory.clone(), labels: BTreeMap::new(), warnings: Vec::new() };
        let mut found: BTreeMap<LabelName, Vec<(Version, String)>> = BTreeMap::new();
        for name in names(&handle, directory)? {
            match parse_name(&name, options) {
                Ok((label, version)) => found.entry(label).or_default().push((version, name)),
                Err(_) if name.starts_with("..") => {}
                Err(why) => {
                    let shown: String = name.chars().take(80).collect();
                    store
                        .warnings
                        .push(format!("file \"{}\" is ignored: {why}", shown.escape_debug()));
                }
            }
        }
        for (label, mut versions) in found {
            versions.sort();
            versions.reverse();
            if options.version_suffix.is_empty() && versions.len() > 1 {
                store.warnings.push(format!("label \"{label}\" has several files and no versions"));
            }
            let loaded = versions
                .into_iter()
                .filter_map(|(_, name)| store.load_file(&handle, &name, options, &reader))
                .collect();
            store.labels.insert(label, loaded);
        }
        Ok(store)
    }

    fn load_file(
        &mut self,
        handle: &File,
        name: &str,
        options: &VolumeOptions,
        reader: &ValueReader,
    ) -> Option<(Alias, Result<Loaded>)> {
        let stem = name.strip_suffix(&options.extension).unwrap_or(name);
        let alias: Alias = stem.parse().ok()?;
        let path = options.directory.join(name);
        let loaded = self
            .read_file(handle, name, &path, options.permissions)
            .and_then(|bytes| reader.read(SecretBytes::from_vec(bytes)))
            .map(|value| {
                self.warnings.extend(
                    value.warnings.iter().map(|warning| format!("file \"{name}\": {warning}")),
                );
                Loaded { alias: alias.clone(), key: value.key, hints: value.hints }
            })
            .map_err(|error| error.about(format!("file \"{name}\"")).with_file(&path));
        Some((alias, loaded))
    }

    fn read_file(
        &mut self,
        handle: &File,
        name: &str,
        path: &Path,
        permissions: Permissions,
    ) -> Result<Vec<u8>> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let directory = path.parent().unwrap_or(path);
        let opened = resolve_beneath(handle, directory, name, flags);
        let file = opened.map_err(|error| match error {
            rustix::io::Errno::XDEV => unreadable(path, "its link leads out of the directory"),
            error => unreadable(path, &error.to_string()),
        })?;
        let mode = file
            .metadata()
            .map_err(|error| unreadable(path, &error.to_string()))?
            .permissions()
            .mode();
        if mode & 0o002 != 0 {
            return Err(Error::new(ErrorKind::StoreUnreadable, "everybody may write it")
                .with_help(format!("chmod o-w {}", path.display())));
        }
        if mode & 0o024 != 0 {
            match permissions {
                Permissions::Ignore => {}
                Permissions::Refuse => {
                    return Err(Error::new(
                        ErrorKind::StoreUnreadable,
                        "others than its owner may read or change it",
                    )
                    .with_help(format!("chmod g-w,o-r {}", path.display())));
                }
                Permissions::Warn => {
                    self.warnings
                        .push(format!(
                        "file \"{name}\": others than its owner may read or change it (chmod g-w,o-r)"
                    ));
                }
            }
        }
        read_open(file, path, MAX_BYTES)
    }
}

fn open_directory(directory: &Path) -> Result<File> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let handle = rustix::fs::open(directory, flags, Mode::empty())
        .map_err(|error| unreadable(directory, &error.to_string()))?;
    Ok(File::from(handle))
}

/// The directory that holds the files of one generation, opened once. A Kubernetes volume keeps them behind
/// the link `..data`, which an update replaces: what is read through this handle is all of before or all of
/// after (attacks.md F02).
fn open_generation(directory: &Path) -> Result<File> {
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
    handle: &File,
    directory: &Path,
    name: &str,
    flags: OFlags,
) -> rustix::io::Result<File> {
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
            rustix::fs::open(&target, flags | OFlags::NOFOLLOW, Mode::empty()).map(File::from)
        }
        opened => opened.map(File::from),
    }
}

fn names(handle: &File, directory: &Path) -> Result<Vec<String>> {
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
        let loaded = self.labels.get(label).map_or(&[][..], Vec::as_slice);
        loaded
            .iter()
            .map(|(alias, result)| {
                let again = match result {
                    Ok(loaded) => Ok(loaded.clone()),
                    Err(error) => Err(error.repeat()),
                };
                (alias.clone(), again)
            })
            .collect()
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
