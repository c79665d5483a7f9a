//! Tokens that count once: which were used. With `state_dir` a restart and every other process know.
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
use crate::error::{Error, ErrorKind, Result};
use crate::profiles::oidc::JtiUse;

/// The file in `state_dir`.
const FILE: &str = "used-tokens";
/// How many are remembered, in some 20 MB; with more that have not ended, no further one is accepted.
const MAX_TOKENS: usize = 400_000;
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

#[derive(Debug, Default)]
struct Known {
    /// The end of each, in seconds since 1970, by [`JtiUse::digest`].
    tokens: HashMap<[u8; 32], u64>,
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

    /// Remembers a use; whether it is the first.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] if too many are remembered, [`ErrorKind::Io`]: the token is not accepted then.
    pub(crate) fn is_first(&self, token: &JtiUse<'_>, now: SystemTime) -> Result<bool> {
        let (id, end, now) = (token.digest(), to_unix(token.until).saturating_add(1), to_unix(now));
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
        (id, end): ([u8; 32], u64),
        now: u64,
    ) -> Result<bool> {
        let failed = |error| atomic::failed(path, error);
        let torn = self.catch_up(opened).map_err(failed)?;
        if !self.add(id, end, now)? {
            return Ok(false);
        }
        let text = format!("{}{}", if torn { "\n" } else { "" }, record(&id, end));
        if let Err(error) = opened.file.write_all(text.as_bytes()) {
            self.tokens.remove(&id);
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
            self.tokens.extend(parsed(line));
        }
        opened.bytes += u64::try_from(whole).unwrap_or_default();
        Ok(!tail.is_empty())
    }

    /// Remembers one; whether it was not yet.
    fn add(&mut self, id: [u8; 32], end: u64, now: u64) -> Result<bool> {
        if self.tokens.contains_key(&id) {
            return Ok(false);
        }
        if self.tokens.len() >= self.many.max(FEW) {
            self.tokens.retain(|_, end| end.saturating_add(BEYOND) > now);
            if self.tokens.len() >= MAX_TOKENS {
                self.tokens.retain(|_, end| *end > now);
            }
            if self.tokens.len() >= MAX_TOKENS {
                return Err(Error::new(ErrorKind::Busy, "too many tokens are remembered")
                    .with_help("send it again once some of them have ended"));
            }
            self.many = (2 * self.tokens.len()).min(MAX_TOKENS);
        }
        self.tokens.insert(id, end);
        Ok(true)
    }
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

fn record(id: &[u8; 32], end: u64) -> String {
    format!("{} {end}\n", hex::encode(id))
}

fn parsed(line: &[u8]) -> Option<([u8; 32], u64)> {
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
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let token = JtiUse { issuer: "https://issuer.example", jti, until: at(until) };
        replays.is_first(&token, at(now)).unwrap()
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
    fn too_many_that_live_are_refused_and_those_that_ended_make_room() {
        let replays = Replays::of(None);
        let id = |n: usize| {
            let mut id = [0; 32];
            id.split_at_mut(8).0.copy_from_slice(&n.to_le_bytes());
            id
        };
        let mut known = replays.known.lock().unwrap();
        for n in 0..MAX_TOKENS {
            assert!(known.add(id(n), 100, 0).unwrap());
        }
        assert_eq!(known.add(id(MAX_TOKENS), 100, 0).unwrap_err().kind(), ErrorKind::Busy);
        assert!(!known.add(id(0), 100, 0).unwrap());
        assert!(known.add(id(MAX_TOKENS), 200, 100).unwrap());
        assert_eq!(known.tokens.len(), 1);
    }
}
