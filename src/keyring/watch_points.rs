//! Which directories have to be watched so that every change of a path shows: its parents, and those of
//! every link on the way.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

/// Where changes of some paths show.
#[derive(Debug, Default)]
pub(crate) struct WatchPoints {
    /// The directories to watch.
    pub(crate) directories: BTreeSet<PathBuf>,
    /// The names in them that matter.
    names: BTreeSet<PathBuf>,
    /// Directories in which every name matters: volumes.
    whole: BTreeSet<PathBuf>,
}

impl WatchPoints {
    /// The points of `paths`. Names are resolved one by one, so that a link that is replaced (`..data` of
    /// Kubernetes) and a directory that appears late are both seen.
    pub(crate) fn of(paths: &[PathBuf]) -> Self {
        let mut points = Self::default();
        for path in paths {
            let Some(end) = points.follow(&absolute(path), &mut 0) else { continue };
            if end.is_dir() {
                let generation = points.follow(&end.join("..data"), &mut 0);
                points.whole.extend(generation);
                points.whole.insert(end);
            }
        }
        points
    }

    /// Whether a change of this name is a change of one of the paths.
    pub(crate) fn matter(&self, changed: &Path) -> bool {
        self.names.contains(changed)
            || changed.parent().is_some_and(|parent| self.whole.contains(parent))
    }

    /// Walks a path; what it leads to, if it is there.
    fn follow(&mut self, path: &Path, links: &mut usize) -> Option<PathBuf> {
        let mut walked = PathBuf::new();
        let mut parents: Vec<PathBuf> = Vec::new();
        let mut components = path.components();
        let mut there = true;
        while let Some(component) = components.next() {
            match component {
                Component::ParentDir => {
                    walked.pop();
                    continue;
                }
                Component::CurDir => continue,
                component => walked.push(component),
            }
            self.names.insert(walked.clone());
            let Ok(facts) = walked.symlink_metadata() else {
                // The name may appear in what is there.
                there = false;
                break;
            };
            if facts.is_symlink() && *links < MAX_LINKS {
                *links += 1;
                let parent = walked.parent().unwrap_or_else(|| Path::new("/")).to_owned();
                let target = parent.join(walked.read_link().ok()?);
                self.directories.insert(parent);
                let rest = components.as_path();
                // Joining an empty rest would add a slash.
                let whole = if rest.as_os_str().is_empty() { target } else { target.join(rest) };
                return self.follow(&whole, links);
            }
            if facts.is_dir() {
                parents.push(walked.clone());
            }
        }
        // The directory itself, its parent and its grandparent: they may be renamed away and back.
        self.directories.extend(parents.into_iter().rev().take(NEAREST));
        there.then_some(walked)
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// As many as Linux follows.
const MAX_LINKS: usize = 40;
/// Directories above a path that are watched; changes further up are found by polling.
const NEAREST: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kubernetes_volume_is_watched_at_its_link_and_its_generation() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap().join("secrets");
        std::fs::create_dir_all(root.join("..2026_1")).unwrap();
        std::fs::write(root.join("..2026_1/a.b"), "x").unwrap();
        std::os::unix::fs::symlink("..2026_1", root.join("..data")).unwrap();
        std::os::unix::fs::symlink("..data/a.b", root.join("a.b")).unwrap();
        let points = WatchPoints::of(std::slice::from_ref(&root));
        let watched = &points.directories;
        assert!(watched.contains(&root) && watched.contains(&root.join("..2026_1")), "{points:?}");
        assert!(points.matter(&root.join("..data")) && points.matter(&root.join("new")));
        assert!(!points.matter(&folder.path().join("other")));
    }

    #[test]
    fn a_directory_that_is_not_there_is_awaited_in_what_is() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let points = WatchPoints::of(&[root.join("late/later/file")]);
        assert!(points.directories.contains(&root) && points.matter(&root.join("late")));
    }

    #[test]
    fn a_circle_of_links_ends() {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("b", folder.path().join("a")).unwrap();
        std::os::unix::fs::symlink("a", folder.path().join("b")).unwrap();
        assert!(WatchPoints::of(&[folder.path().join("a")]).directories.len() < 10);
    }
}
