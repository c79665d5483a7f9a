//! Reading traces: every frame that is whole, equal uses counted together.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use super::format::{Group, HEAD_BYTES, MAGIC, MAX_BODY_BYTES, Outcome, RECORD_BYTES};
use super::write::{folder_of, path_of};
use crate::error::{Error, ErrorKind, Result};

/// What traces say, in no order of time.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Trace {
    /// Uses that are alike, in the order in which they were first seen.
    pub groups: Vec<(Group, Tally)>,
    /// Uses that were not written.
    pub dropped: u64,
    /// Places where a frame was cut short or damaged and skipped.
    pub damaged: u64,
    /// The first and the last second of a use; `None`: there is none.
    pub span: Option<(u32, u32)>,
    numbers: HashMap<Group, usize>,
    /// The numbers of groups by their texts: frames repeat them.
    texts: HashMap<Box<[u8]>, usize>,
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
    /// Reads files, older ones first or not: order does not matter.
    ///
    /// # Errors
    /// [`ErrorKind::StoreUnreadable`] if one cannot be read, [`ErrorKind::Malformed`] if it is no trace.
    pub fn read(files: &[PathBuf]) -> Result<Self> {
        let mut trace = Self::default();
        for path in files {
            let unreadable = |error: std::io::Error| {
                let text = format!("the trace cannot be read: {error}");
                Error::new(ErrorKind::StoreUnreadable, text).with_file(path)
            };
            let file = File::open(path).map_err(unreadable)?;
            let frames = trace.add(BufReader::with_capacity(1 << 20, file)).map_err(unreadable)?;
            if frames == 0 && trace.damaged > 0 {
                return Err(Error::new(ErrorKind::Malformed, "this is no trace of this version")
                    .with_file(path)
                    .with_help("[trace] record = true makes one in state_dir/trace"));
            }
        }
        Ok(trace)
    }

    /// Reads frames to the end; how many were whole.
    fn add(&mut self, mut input: impl Read) -> std::io::Result<u64> {
        let mut frames = 0;
        let mut buffer = Vec::new();
        let mut in_damage = false;
        let mut ended = false;
        loop {
            ended = ended || !fill(&mut input, &mut buffer, HEAD_BYTES)?;
            if buffer.is_empty() {
                return Ok(frames);
            }
            let body = match head(&buffer) {
                Some((length, sum)) => {
                    ended = ended || !fill(&mut input, &mut buffer, HEAD_BYTES + length)?;
                    let body = buffer.get(HEAD_BYTES..HEAD_BYTES + length);
                    body.filter(|body| crc32fast::hash(body) == sum)
                }
                None => None,
            };
            let read = body.and_then(|body| self.add_body(body).map(|()| body.len()));
            let used = match read {
                Some(length) => {
                    frames += 1;
                    in_damage = false;
                    HEAD_BYTES + length
                }
                None => {
                    self.damaged += u64::from(!std::mem::replace(&mut in_damage, true));
                    next_magic(&buffer)
                }
            };
            buffer.drain(..used);
        }
    }

    fn add_body(&mut self, body: &[u8]) -> Option<()> {
        let mut rest = body;
        let mut numbers = Vec::new();
        for _ in 0..word(&mut rest)? {
            let length = usize::try_from(word(&mut rest)?).ok()?;
            let (json, after) = rest.split_at_checked(length)?;
            rest = after;
            numbers.push(self.number_of(json)?);
        }
        for record in rest.chunks_exact(RECORD_BYTES) {
            let mut words = record;
            let group = usize::try_from(word(&mut words)?).ok()?;
            let (time, end, count) = (word(&mut words)?, word(&mut words)?, word(&mut words)?);
            self.add_record(*numbers.get(group)?, time, end, count.into());
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

/// Reads until the buffer has `wanted` bytes; whether it has.
fn fill(input: &mut impl Read, buffer: &mut Vec<u8>, wanted: usize) -> std::io::Result<bool> {
    let missing = u64::try_from(wanted.saturating_sub(buffer.len())).unwrap_or(0);
    input.by_ref().take(missing).read_to_end(buffer)?;
    Ok(buffer.len() >= wanted)
}

/// Length and check sum of a body, if a frame begins here.
fn head(buffer: &[u8]) -> Option<(usize, u32)> {
    let mut rest = buffer.strip_prefix(&MAGIC)?;
    let length = usize::try_from(word(&mut rest)?).ok()?;
    (length <= MAX_BODY_BYTES).then_some((length, word(&mut rest)?))
}

/// How much to skip to where the next frame may begin.
fn next_magic(buffer: &[u8]) -> usize {
    let after = buffer.get(1..).unwrap_or_default();
    let found = memchr::memmem::find(after, &MAGIC).map(|at| at + 1);
    // The beginning of one may stand at the end.
    let kept = MAGIC.len() - 1;
    found.unwrap_or_else(|| buffer.len().saturating_sub(kept).max(1))
}

fn word(rest: &mut &[u8]) -> Option<u32> {
    let (first, after) = rest.split_first_chunk::<4>()?;
    *rest = after;
    Some(u32::from_le_bytes(*first))
}
