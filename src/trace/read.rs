//! Reading traces: every frame that is whole, equal uses counted together.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::{BufReader, Read, Take};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::format::{Group, HEAD_BYTES, MAGIC, MAX_BODY_BYTES, Outcome, RECORD_BYTES};
use super::write::{folder_of, hold, path_of};
use crate::error::{Error, ErrorKind, Result};

/// What traces say, in no order of time.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Trace {
    /// Uses that are alike, in the order in which they were first seen.
    pub groups: Vec<(Group, Tally)>,
    /// Uses that were not written.
    pub dropped: u64,
    /// Places where frames were cut short or damaged and skipped.
    pub damaged: u64,
    /// The first of them.
    pub damage: Vec<Damage>,
    /// The first and the last second of a use; `None`: there is none.
    pub span: Option<(u32, u32)>,
    numbers: HashMap<Group, usize>,
    /// The numbers of groups by their texts: frames repeat them.
    texts: HashMap<Box<[u8]>, usize>,
}

/// A stretch of a file in which nothing can be read: nobody knows how many uses it told of.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Damage {
    /// Which file.
    pub file: PathBuf,
    /// Where it begins, in bytes.
    pub from: u64,
    /// How long it is, in bytes.
    pub bytes: u64,
}

impl Damage {
    /// A record has so many bytes: there were no more of them.
    #[must_use]
    pub fn most_records(&self) -> u64 {
        self.bytes / u64::try_from(RECORD_BYTES).unwrap_or(1)
    }
}

/// How many uses of a group end when.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Tally {
    /// By the second in which the token ends.
    pub ends: HashMap<u32, u64>,
    /// Of tokens that do not say: by the second of their use.
    pub open: HashMap<u32, u64>,
    /// All of them.
    pub count: u64,
}

impl Trace {
    /// Reads files, older ones first or not: order does not matter. Each is read as it is at one moment, in which
    /// nobody writes.
    ///
    /// # Errors
    /// [`ErrorKind::StoreUnreadable`] if one cannot be read or is no trace.
    pub fn read(files: &[PathBuf]) -> Result<Self> {
        let folders: BTreeSet<&Path> = files.iter().filter_map(|path| path.parent()).collect();
        let locks: Vec<Option<File>> = folders.into_iter().map(hold).collect();
        let opened = open(files);
        drop(locks);
        Self::of(opened?)
    }

    /// Reads the trace of a state directory, of which no file is missed that is put aside meanwhile.
    ///
    /// # Errors
    /// As [`Trace::read`].
    pub fn kept(state_dir: &Path, max_files: u32) -> Result<Self> {
        let lock = hold(&folder_of(state_dir));
        let opened = open(&files(state_dir, max_files));
        drop(lock);
        Self::of(opened?)
    }

    fn of(opened: Vec<Opened>) -> Result<Self> {
        let mut trace = Self::default();
        for Opened { path, file } in opened {
            let unreadable = |error: std::io::Error| unreadable(&path, &error);
            let mut window = Window::new(BufReader::with_capacity(1 << 20, file));
            // One whose first frame a crash cut short is a trace all the same.
            let is_trace = window.begins_like_a_frame().map_err(unreadable)?;
            let known = trace.damage.len();
            let frames = trace.add_frames(&mut window).map_err(unreadable)?;
            if frames == 0 && !is_trace {
                let text = "this is no trace of this version";
                return Err(Error::new(ErrorKind::StoreUnreadable, text)
                    .with_file(&path)
                    .with_help("[trace] record = true makes one in state_dir/trace"));
            }
            trace.damage.iter_mut().skip(known).for_each(|one| one.file.clone_from(&path));
        }
        Ok(trace)
    }

    /// Reads frames to the end; how many were whole. A body is looked at once, whatever the file holds: one in which
    /// another frame begins is no body, and after any other the next frame can only begin behind it.
    fn add_frames(&mut self, window: &mut Window<impl Read>) -> std::io::Result<u64> {
        let mut frames = 0;
        let mut in_damage = false;
        while window.has(HEAD_BYTES)? || !window.rest().is_empty() {
            let head = head(window.rest());
            let wanted = head.map_or(usize::MAX, |(length, _)| HEAD_BYTES + length);
            let complete = head.is_some() && window.has(wanted)?;
            let next = window.next_magic(wanted);
            let whole = head.filter(|_| complete && next.is_none()).is_some_and(|(_, sum)| {
                let body = window.body(wanted);
                crc32fast::hash(body) == sum && self.add_body(body).is_some()
            });
            frames += u64::from(whole);
            let skipped = match next {
                Some(at) => at,
                None if whole => wanted,
                // The beginning of one may stand at the end of what was searched.
                None => window.rest().len().min(wanted).saturating_sub(MAGIC.len() - 1).max(1),
            };
            if !whole {
                self.note_damage(window.offset, skipped, in_damage);
            }
            in_damage = !whole;
            window.skip(skipped);
        }
        Ok(frames)
    }

    /// Notes that so many bytes tell nothing; `continued`: nor did those before them.
    fn note_damage(&mut self, from: u64, bytes: usize, continued: bool) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.damaged += u64::from(!continued);
        let last = self.damage.last_mut();
        if let Some(last) = last.filter(|last| continued && last.from + last.bytes == from) {
            last.bytes += bytes;
        } else if !continued && self.damage.len() < FEW {
            self.damage.push(Damage { file: PathBuf::new(), from, bytes });
        }
    }

    fn add_body(&mut self, body: &[u8]) -> Option<()> {
        let mut rest = body;
        let mut texts = Vec::new();
        for _ in 0..word(&mut rest)? {
            let length = usize::try_from(word(&mut rest)?).ok()?;
            let (json, after) = rest.split_at_checked(length)?;
            rest = after;
            texts.push(json);
        }
        // Nothing counts before every group is known.
        let numbers: Vec<usize> =
            texts.into_iter().map(|json| self.number_of(json)).collect::<Option<_>>()?;
        let (records, _) = rest.as_chunks::<RECORD_BYTES>();
        if !records.iter().all(|record| read_record(record, &numbers).is_some()) {
            return None;
        }
        for record in records {
            let (number, time, end, count) = read_record(record, &numbers)?;
            self.add_record(number, time, end, count.into());
        }
        Some(())
    }

    fn number_of(&mut self, json: &[u8]) -> Option<usize> {
        if let Some(known) = self.texts.get(json) {
            return Some(*known);
        }
        let group: Group = serde_json::from_slice(json).ok()?;
        let next = self.groups.len();
        let number = *self.numbers.entry(group.clone()).or_insert(next);
        if number == next {
            self.groups.push((group, Tally::default()));
        }
        self.texts.insert(json.into(), number);
        Some(number)
    }

    fn add_record(&mut self, number: usize, time: u32, end: u32, count: u64) {
        let Some((group, tally)) = self.groups.get_mut(number) else { return };
        if group.outcome == Outcome::Dropped {
            self.dropped = self.dropped.saturating_add(count);
            return;
        }
        let (first, last) = self.span.unwrap_or((time, time));
        self.span = Some((first.min(time), last.max(time)));
        let (times, at) = if end == 0 { (&mut tally.open, time) } else { (&mut tally.ends, end) };
        let sum = times.entry(at).or_default();
        *sum = sum.saturating_add(count);
        tally.count = tally.count.saturating_add(count);
    }
}

/// A file of a trace, as far as it reached when it was opened.
struct Opened {
    path: PathBuf,
    file: Take<File>,
}

/// Opens files at one moment. What is appended later is not read, and what is put aside stays open.
fn open(files: &[PathBuf]) -> Result<Vec<Opened>> {
    let open_one = |path: &PathBuf| {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        Ok(Opened { path: path.clone(), file: file.take(length) })
    };
    files.iter().map(|path| open_one(path).map_err(|error| unreadable(path, &error))).collect()
}

fn unreadable(path: &Path, error: &std::io::Error) -> Error {
    let text = format!("the trace cannot be read: {error}");
    Error::new(ErrorKind::StoreUnreadable, text).with_file(path)
}

/// The files of a trace in a state directory, as far as they are there.
#[must_use]
pub fn files(state_dir: &Path, max_files: u32) -> Vec<PathBuf> {
    let folder = folder_of(state_dir);
    (0..max_files)
        .rev()
        .map(|number| path_of(&folder, number))
        .filter(|path| path.is_file())
        .collect()
}

/// So many damaged places are named.
const FEW: usize = 5;

/// What was read of a file and not used yet.
struct Window<R> {
    input: R,
    buffer: Vec<u8>,
    /// What of the buffer is used.
    used: usize,
    /// What of the file is used.
    offset: u64,
    ended: bool,
    /// Bytes that were moved, searched and summed: a test compares it with the length of the file.
    work: usize,
}

impl<R: Read> Window<R> {
    const fn new(input: R) -> Self {
        Self { input, buffer: Vec::new(), used: 0, offset: 0, ended: false, work: 0 }
    }

    fn rest(&self) -> &[u8] {
        self.buffer.get(self.used..).unwrap_or_default()
    }

    /// Reads until there are so many bytes; whether there are.
    fn has(&mut self, wanted: usize) -> std::io::Result<bool> {
        let there = self.rest().len();
        if there < wanted && !self.ended {
            // What is used goes when it is no less than what stays: so no byte is moved more often than it is read.
            if self.used >= there {
                self.work += there;
                self.buffer.drain(..self.used);
                self.used = 0;
            }
            let missing = u64::try_from(wanted - there).unwrap_or(u64::MAX);
            self.input.by_ref().take(missing).read_to_end(&mut self.buffer)?;
            self.ended = self.rest().len() < wanted;
        }
        Ok(self.rest().len() >= wanted)
    }

    /// Where in the next `length` bytes another frame begins, this one apart.
    fn next_magic(&mut self, length: usize) -> Option<usize> {
        let rest = self.rest();
        let after = rest.get(1..length.min(rest.len())).unwrap_or_default();
        let found = memchr::memmem::find(after, &MAGIC).map(|at| at + 1);
        self.work += found.unwrap_or(after.len());
        found
    }

    /// The body of a frame of so many bytes, which is there.
    fn body(&mut self, length: usize) -> &[u8] {
        self.work += length;
        self.rest().get(HEAD_BYTES..length).unwrap_or_default()
    }

    fn skip(&mut self, bytes: usize) {
        self.used += bytes;
        self.offset = self.offset.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    /// Whether what is there may be the beginning of a frame.
    fn begins_like_a_frame(&mut self) -> std::io::Result<bool> {
        self.has(MAGIC.len())?;
        Ok(self.rest().iter().zip(MAGIC).all(|(byte, magic)| *byte == magic))
    }
}

/// Length and check sum of a body, if a frame begins here.
fn head(buffer: &[u8]) -> Option<(usize, u32)> {
    let mut rest = buffer.strip_prefix(&MAGIC)?;
    let length = usize::try_from(word(&mut rest)?).ok()?;
    (length <= MAX_BODY_BYTES).then_some((length, word(&mut rest)?))
}

/// Number of the group, second of the use, second of the end, how many.
fn read_record(record: &[u8], numbers: &[usize]) -> Option<(usize, u32, u32, u32)> {
    let mut words = record;
    let group = usize::try_from(word(&mut words)?).ok()?;
    let number = *numbers.get(group)?;
    Some((number, word(&mut words)?, word(&mut words)?, word(&mut words)?))
}

fn word(rest: &mut &[u8]) -> Option<u32> {
    let (first, after) = rest.split_first_chunk::<4>()?;
    *rest = after;
    Some(u32::from_le_bytes(*first))
}

#[cfg(test)]
mod tests {
    use super::super::format::frame;
    use super::*;

    fn group(kid: &str) -> Group {
        Group {
            label: None,
            realm: None,
            asked: None,
            instead: None,
            outcome: Outcome::Verified,
            kid: Some(kid.into()),
            alg: "ES256".into(),
            enc: None,
            key: String::new(),
        }
    }

    fn false_head(length: usize, sum: u32) -> Vec<u8> {
        [&MAGIC[..], &u32::try_from(length).unwrap().to_le_bytes(), &sum.to_le_bytes()].concat()
    }

    /// How many frames are whole, how many uses they tell, and how many bytes were looked at for that.
    fn read(bytes: &[u8]) -> (u64, u64, usize) {
        let (mut trace, mut window) = (Trace::default(), Window::new(bytes));
        let frames = trace.add_frames(&mut window).unwrap();
        let uses = trace.groups.iter().map(|(_, tally)| tally.count).sum();
        (frames, uses, window.work)
    }

    #[test]
    fn false_heads_cost_no_more_than_as_many_other_bytes() {
        let real = frame(&[group("k1")], &[[0, 1_700_000_000, 0, 7]]);
        let count = 20_000;
        let file_of = |head: &dyn Fn(usize) -> Vec<u8>| {
            let mut bytes: Vec<u8> = (0..count).flat_map(head).collect();
            bytes.extend(&real);
            bytes
        };
        // Each claims the rest of the file, whole as its lengths go.
        let whole = file_of(&|at| false_head((count - at - 1) * HEAD_BYTES + real.len(), 1));
        // Each claims more than there is.
        let long = file_of(&|_| false_head(MAX_BODY_BYTES, 1));
        // Each claims the next thousand.
        let near = file_of(&|_| false_head(1_000 * HEAD_BYTES, 1));
        // None is a head.
        let none = file_of(&|_| false_head(MAX_BODY_BYTES + 1, 1));
        for bytes in [whole, long, near, none] {
            let (frames, uses, work) = read(&bytes);
            assert_eq!((frames, uses), (1, 7));
            // Searched, summed, moved, and a little more.
            assert!(work < 5 * bytes.len(), "{work} bytes for {}", bytes.len());
        }
    }

    #[test]
    fn frames_around_one_that_was_cut_short_are_read_wherever_it_was_cut() {
        let real = frame(&[group("k1")], &[[0, 1_700_000_000, 0, 7], [0, 1_700_000_001, 60, 1]]);
        for cut in 1..real.len() {
            let bytes = [&real[..], &real[..cut], &real[..], &real[cut..], &real[..]].concat();
            assert_eq!(read(&bytes).0, 3, "cut at {cut}");
            assert_eq!(read(&bytes).1, 24, "cut at {cut}");
        }
    }

    #[test]
    fn a_body_counts_whole_or_not_at_all() {
        let bad = frame(&[group("k1")], &[[0, 1_700_000_000, 0, 7], [1, 1_700_000_000, 0, 7]]);
        assert_eq!(read(&bad).1, 0);
        let good = frame(&[group("k2")], &[[0, 1_700_000_000, 0, 7]]);
        assert_eq!(read(&[bad, good].concat()).1, 7);
    }
}
