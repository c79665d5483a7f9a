//! The directories behind a volume, opened once, so that all that is read is of one generation.

use std::fs::File as Handle;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags, ResolveFlags};

use crate::error::{Error, ErrorKind, Result};
use crate::stores::Permissions;
use crate::stores::files::unreadable;

/// The directories of one reading, opened once.
pub(super) struct Generation {
    root: Handle,
    /// What holds the files: `root`, or in a Kubernetes volume where its link `..data` leads. An update
    /// replaces the link: what is read through this handle is all of before or all of after (attacks.md F02).
    pub(super) files: Handle,
    linked: bool,
}

impl Generation {
    pub(super) fn open(directory: &Path) -> Result<Self> {
        let root = open_directory(directory)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let data = directory.join("..data");
        match resolve_beneath(&root, directory, "..data", flags) {
            Ok(files) => Ok(Self { root, files, linked: true }),
            Err(rustix::io::Errno::NOENT) => {
                let files = root.try_clone();
                let files = files.map_err(|error| unreadable(directory, &error.to_string()))?;
                Ok(Self { root, files, linked: false })
            }
            Err(rustix::io::Errno::XDEV) => {
                Err(unreadable(&data, "its link leads out of the directory"))
            }
            Err(error) => Err(unreadable(&data, &error.to_string())),
        }
    }

    /// Whoever may write a directory may put other files in it. Kubernetes mounts its volumes with mode 1777,
    /// and writes nothing but links there.
    pub(super) fn check_mode(
        &self,
        directory: &Path,
        permissions: Permissions,
    ) -> Result<Option<String>> {
        let mode = |file: &Handle| {
            let facts =
                file.metadata().map_err(|error| unreadable(directory, &error.to_string()))?;
            Ok(facts.permissions().mode())
        };
        let refused = |who: &str, change: &str| {
            let shown = directory.display();
            let text = format!("{who} may write the directory {shown}");
            Error::new(ErrorKind::StoreUnreadable, text)
                .with_file(directory)
                .with_help(format!("chmod {change} {shown}"))
        };
        let (outer, inner) = (mode(&self.root)?, mode(&self.files)?);
        let open = |mode: u32| mode & 0o1002 == 0o002;
        if open(outer) || open(inner) {
            return Err(refused("everybody", "o-w"));
        }
        if inner & 0o022 == 0 {
            return Ok(None);
        }
        match permissions {
            Permissions::Ignore => Ok(None),
            Permissions::Refuse => Err(refused("others than its owner", "go-w")),
            Permissions::Warn => {
                Ok(Some("others than its owner may write the directory (chmod go-w)".to_owned()))
            }
        }
    }

    /// Warnings of what lies in the directory and is no part of the generation.
    pub(super) fn beside(&self, directory: &Path) -> Result<Vec<String>> {
        if !self.linked {
            return Ok(Vec::new());
        }
        let inside = names(&self.files, directory)?;
        let outside = names(&self.root, directory)?;
        let stray = outside.into_iter().filter(|name| inside.binary_search(name).is_err());
        let text = |name: String| {
            let shown: String = name.chars().take(80).collect();
            format!("file \"{}\" is ignored: it is not in ..data", shown.escape_debug())
        };
        Ok(stray.map(text).collect())
    }
}

fn open_directory(directory: &Path) -> Result<Handle> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let handle = rustix::fs::open(directory, flags, Mode::empty())
        .map_err(|error| unreadable(directory, &error.to_string()))?;
    Ok(Handle::from(handle))
}

/// Opens `name` under the directory; links are followed as long as they stay inside.
pub(super) fn resolve_beneath(
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

/// The names in a directory, sorted, without those of Kubernetes' own.
pub(super) fn names(handle: &Handle, directory: &Path) -> Result<Vec<String>> {
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
