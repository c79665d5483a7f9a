//! Tokens that count once: which were used, in which realm. With `state_dir` a restart and every other process know.
//!
//! The file has a line for each, appended before the token is accepted, and is written anew once most of it has ended.
//! It is not forced to disk: what is killed loses nothing, a machine without power its last seconds.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use crate::atomic;
use crate::clock::to_unix;
use crate::crypto::sha256;
use crate::error::{Error, ErrorKind, Result};
use crate::label::Realm;
use crate::profiles::oidc::JtiUse;
use crate::profiles::refused;

/// The file in `state_dir`.
const FILE: &str = "used-tokens";
/// How many are remembered, in some 20 MB. A realm has as many of them as are free at most: callers of one, who choose ids
/// and keys of their tokens, take no room from the others.
const MAX_TOKENS: usize = 400_000;
/// How many seconds ahead a token may end, so that what fills the memory is gone some day.
const MAX_AHEAD: u64 = 86_400;
/// How many are remembered before it is looked which have ended.
const FEW: usize = 1_024;
/// For how many seconds a token is remembered beyond its end: clocks may go back.
const BEYOND: u64 = 3_600;
/// How often another file may come in the place of the one that was locked.
const MAX_TRIES: usize = 8;
/// The largest file, in bytes.
const MAX_BYTES: u64 = 128 << 20;

/// The tokens that were used.
#[derive(Debug)]
pub(crate) struct Replays {
    file: Option<PathBuf>,
    known: Mutex<Known>,
}

/// What stands for a token: whose it is, and what tells it from every other of that realm.
type Id = [u8; 32];
/// What an id begins with: it stands for the realm.
type Tag = [u8; 4];

#[derive(Debug, Default)]
struct Known {
    /// The end of each, in seconds since 1970.
    tokens: HashMap<Id, u64>,
    /// How many are of each realm.
    of_realm: HashMap<Tag, usize>,
    /// None of them ends before.
    first_end: u64,
    /// With how many it is looked again which have ended.
    many: usize,
    opened: Option<Opened>,
}

/// The file, and how far it was read.
#[derive(Debug)]
struct Opened {
    /// As long as it is open no other file has its inode.
    file: File,
    bytes: u64,
    lines: usize,
}

impl Replays {
    /// Those of a state directory; without one they are known to this process alone, until it ends.
    pub(crate) fn of(state_dir: Option<&Path>) -> Self {
        Self { file: state_dir.map(|folder| folder.join(FILE)), known: Mutex::default() }
    }

    /// Remembers a use in a realm; whether it is the first there.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] if too many are remembered, [`ErrorKind::Io`], [`ErrorKind::TokenRefused`] if it lives for too
    /// long: the token is not accepted then.
    pub(crate) fn is_first(
        &self,
        realm: Option<&Realm>,
        token: &JtiUse<'_>,
        now: SystemTime,
    ) -> Result<bool> {
        let (id, end, now) =
            (id_in(realm, token), to_unix(token.until).saturating_add(1), to_unix(now));
        if end > now.saturating_add(MAX_AHEAD) {
            return Err(refused("exp is too far ahead"));
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.tokens.contains_key(&id) {
            return Ok(false);
        }
        let Some(path) = &self.file else { return known.add(id, end, now) };
        let mut opened = known.opened(path)?;
        let first = known.is_first(&mut opened, path, (id, end), now);
        atomic::unlock(&opened.file);
        known.opened = Some(opened);
        first
    }
}

impl Known {
    /// The file, locked: processes take turns.
    fn opened(&mut self, path: &Path) -> Result<Opened> {
        let failed = |error| atomic::failed(path, error);
        atomic::create_folder(atomic::folder_of(path))?;
        for _ in 0..MAX_TRIES {
            let opened = match self.opened.take() {
                Some(opened) => opened,
                None => Opened { file: open(path).map_err(failed)?, bytes: 0, lines: 0 },
            };
            if !atomic::locked(&opened.file).map_err(failed)? {
                break;
            }
            // Whoever had it before may have put another one in its place.
            if opened.is_at(path).map_err(failed)? {
                return Ok(opened);
            }
        }
        let text = "another process keeps the file of used tokens";
        Err(Error::new(ErrorKind::Busy, text).with_file(path).with_help("send it again"))
    }

    fn is_first(
        &mut self,
        opened: &mut Opened,
        path: &Path,
        (id, end): (Id, u64),
        now: u64,
    ) -> Result<bool> {
        let failed = |error| atomic::failed(path, error);
        let torn = self.catch_up(opened).map_err(failed)?;
        if !self.add(id, end, now)? {
            return Ok(false);
        }
        let text = format!("{}{}", if torn { "\n" } else { "" }, record(&id, end));
        if let Err(error) = opened.file.write_all(text.as_bytes()) {
            self.forget(|one, _| *one != id);
            return Err(failed(error));
        }
        if opened.lines > 2 * self.tokens.len() + FEW {
            let text: String = self.tokens.iter().map(|(id, end)| record(id, *end)).collect();
            if let Err(error) = atomic::replace(path, text.as_bytes()) {
                log::warn!("the used tokens that have ended stay in their file: {error}");
            }
        }
        Ok(true)
    }

    /// Takes what was appended since, by whomever; whether the file ends in the midst of a line.
    fn catch_up(&mut self, opened: &mut Opened) -> io::Result<bool> {
        opened.file.seek(SeekFrom::Start(opened.bytes))?;
        let mut rest = Vec::new();
        (&opened.file).take(MAX_BYTES + 1).read_to_end(&mut rest)?;
        if u64::try_from(rest.len()).is_ok_and(|bytes| bytes > MAX_BYTES) {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let whole = rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let (lines, tail) = rest.split_at(whole);
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            opened.lines += 1;
            // What was cut off in its midst was not accepted.
            if let Some((id, end)) = parsed(line) {
                self.insert(id, end);
            }
        }
        opened.bytes += u64::try_from(whole).unwrap_or_default();
        Ok(!tail.is_empty())
    }

    /// Remembers one; whether it was not yet.
    fn add(&mut self, id: Id, end: u64, now: u64) -> Result<bool> {
        if self.tokens.contains_key(&id) {
            return Ok(false);
        }
        if self.tokens.len() >= self.many.max(FEW) {
            self.forget(|_, end| end.saturating_add(BEYOND) > now);
            self.many = 2 * self.tokens.len();
        }
        if !self.has_room(&id) && self.first_end <= now {
            self.forget(|_, end| end > now);
        }
        if !self.has_room(&id) {
            return Err(Error::new(ErrorKind::Busy, "too many tokens are remembered")
                .with_help("send it again once some of them have ended"));
        }
        self.insert(id, end);
        Ok(true)
    }

    fn has_room(&self, id: &Id) -> bool {
        let taken = self.of_realm.get(&tag(id)).copied().unwrap_or_default();
        taken < MAX_TOKENS.saturating_sub(self.tokens.len())
    }

    fn insert(&mut self, id: Id, end: u64) {
        if self.tokens.insert(id, end).is_none() {
            *self.of_realm.entry(tag(&id)).or_default() += 1;
        }
        self.first_end = self.first_end.min(end);
    }

    /// Keeps those of which this is true.
    fn forget(&mut self, stays: impl Fn(&Id, u64) -> bool) {
        self.tokens.retain(|id, end| stays(id, *end));
        self.of_realm.clear();
        self.first_end = u64::MAX;
        for (id, end) in &self.tokens {
            *self.of_realm.entry(tag(id)).or_default() += 1;
            self.first_end = self.first_end.min(*end);
        }
    }
}

/// The registration by which a token was believed is its caller's to write: who may open tokens in one realm is not to use
/// up those of another.
fn id_in(realm: Option<&Realm>, token: &JtiUse<'_>) -> Id {
    let mut id = token.digest();
    let realm = realm.map_or([0; 32], |realm| sha256(realm.as_str().as_bytes()));
    for (byte, of_realm) in id.iter_mut().zip(tag(&realm)) {
        *byte = of_realm;
    }
    id
}

const fn tag(id: &Id) -> Tag {
    let [a, b, c, d, ..] = *id;
    [a, b, c, d]
}

impl Opened {
    /// Whether it is the file of this name, with all that was read of it.
    fn is_at(&self, path: &Path) -> io::Result<bool> {
        let (own, there) = (self.file.metadata()?, fs::metadata(path));
        Ok(there.is_ok_and(|there| {
            (there.dev(), there.ino()) == (own.dev(), own.ino()) && there.len() >= self.bytes
        }))
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)
}

fn record(id: &Id, end: u64) -> String {
    format!("{} {end}\n", hex::encode(id))
}

fn parsed(line: &[u8]) -> Option<(Id, u64)> {
    let (digits, end) = std::str::from_utf8(line).ok()?.trim_end().split_once(' ')?;
    let mut id = [0; 32];
    hex::decode_to_slice(digits, &mut id).ok()?;
    Some((id, end.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn first(replays: &Replays, jti: &str, until: u64, now: u64) -> bool {
        first_in(None, replays, jti, until, now).unwrap()
    }

    fn first_in(
        realm: Option<&str>,
        replays: &Replays,
        jti: &str,
        until: u64,
        now: u64,
    ) -> Result<bool> {
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let token = JtiUse { issuer: "https://issuer.example", jti, until: at(until) };
        let realm = realm.map(|realm| realm.parse().unwrap());
        replays.is_first(realm.as_ref(), &token, at(now))
    }

    #[test]
    fn a_token_counts_once_whoever_saw_it() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        let (one, other) = (Replays::of(Some(&state)), Replays::of(Some(&state)));
        assert!(first(&one, "a", 100, 0) && !first(&one, "a", 100, 0));
        assert!(!first(&other, "a", 100, 0) && first(&other, "b", 100, 0));
        assert!(!first(&one, "b", 100, 0));
        // A restart; a clock that went back after the token had ended.
        let again = Replays::of(Some(&state));
        assert!(!first(&again, "a", 100, 101) && !first(&again, "b", 100, 0));
        assert!(first(&again, "c", 100, 0) && !first(&one, "c", 100, 0));
        let mode = fs::metadata(state.join(FILE)).unwrap().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn what_a_kill_left_of_a_line_spoils_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let one = Replays::of(Some(folder.path()));
        assert!(first(&one, "a", 100, 0));
        let file = folder.path().join(FILE);
        let text = fs::read(&file).unwrap();
        for cut in 1..text.len() {
            let half = text.get(..cut).unwrap();
            fs::write(&file, [&text, half].concat()).unwrap();
            let again = Replays::of(Some(folder.path()));
            assert!(!first(&again, "a", 100, 0) && first(&again, "b", 100, 0), "{cut}");
            let third = Replays::of(Some(folder.path()));
            assert!(!first(&third, "a", 100, 0) && !first(&third, "b", 100, 0), "{cut}");
        }
        fs::write(&file, b"no line\n\xff\xff\n").unwrap();
        assert!(first(&Replays::of(Some(folder.path())), "a", 100, 0));
    }

    #[test]
    fn memory_and_file_have_what_lives_and_processes_see_the_new_file() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (Replays::of(Some(folder.path())), Replays::of(Some(folder.path())));
        let many = u64::try_from(FEW).unwrap() * 4;
        for n in 0..many {
            assert!(first(&one, &format!("old-{n}"), 10, 0));
        }
        assert!(!first(&other, "old-0", 10, 0));
        for n in 0..many {
            assert!(first(&one, &format!("new-{n}"), 10_000, 5_000));
        }
        let lines = fs::read_to_string(folder.path().join(FILE)).unwrap().lines().count();
        assert!(lines < FEW * 8, "{lines}");
        let known = one.known.lock().unwrap().tokens.len();
        assert!(known <= FEW * 5, "{known}");
        for n in 0..many {
            assert!(!first(&other, &format!("new-{n}"), 10_000, 5_000), "{n}");
        }
    }

    #[test]
    fn each_realm_has_its_own_and_none_lives_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let one = Replays::of(Some(folder.path()));
        for realm in [None, Some("alpha"), Some("beta")] {
            assert!(first_in(realm, &one, "a", 100, 0).unwrap(), "{realm:?}");
        }
        let again = Replays::of(Some(folder.path()));
        for realm in [None, Some("alpha"), Some("beta")] {
            assert!(!first_in(realm, &again, "a", 100, 0).unwrap(), "{realm:?}");
        }
        for until in [MAX_AHEAD + 100, u64::MAX >> 2] {
            let error = first_in(None, &one, "b", until, 50).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TokenRefused);
        }
        assert!(first_in(None, &one, "b", MAX_AHEAD, 50).unwrap());
    }

    #[test]
    fn too_many_that_live_are_refused_and_those_that_ended_make_room() {
        let replays = Replays::of(None);
        let id = |realm: u8, n: usize| {
            let mut id = [realm; 32];
            id.split_at_mut(4).1.split_at_mut(8).0.copy_from_slice(&n.to_le_bytes());
            id
        };
        let mut known = replays.known.lock().unwrap();
        let fill = |known: &mut Known, realm: u8, end: u64| {
            (0..MAX_TOKENS).position(|n| known.add(id(realm, n), end, 0).is_err()).unwrap()
        };
        // Who comes first leaves as much to the others, and they to those after them.
        assert_eq!([fill(&mut known, 1, 100), fill(&mut known, 2, 200)], [200_000, 100_000]);
        assert!(known.add(id(3, 0), 100, 0).unwrap());
        assert_eq!(known.add(id(1, MAX_TOKENS), 100, 0).unwrap_err().kind(), ErrorKind::Busy);
        assert!(!known.add(id(1, 0), 100, 0).unwrap());
        assert!(known.add(id(1, MAX_TOKENS), 200, 100).unwrap());
        assert_eq!(known.tokens.len(), 100_001);
    }
}
