//! The file: frames of equal uses, each whole or not at all.
//!
//! ```text
//! frame   "CLVTRC1\n", length of the body, CRC-32 of the body (u32 little-endian), body
//! body    number of groups, then for each its length and its JSON; then records of 16 bytes:
//!         group, second of the use, second of the end (0: none), how many (u32 each)
//! ```
//!
//! Nothing in a body reads as the beginning of a frame: JSON escapes line feeds, and as a record the magic would be a
//! use in 2014 of a token from 1975. So a reader that meets damage goes on at the next magic: what a crash cut short
//! costs that frame alone, and its work stays in proportion to the file.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::{Question, Use};
use crate::label::{LabelName, Realm};

/// What begins a frame; the digit is the version.
pub(super) const MAGIC: [u8; 8] = *b"CLVTRC1\n";
/// Magic, length and check sum.
pub(super) const HEAD_BYTES: usize = 16;
pub(super) const RECORD_BYTES: usize = 16;
/// A body is never longer: 8,192 uses with kids of the largest header.
pub(super) const MAX_BODY_BYTES: usize = 256 << 20;

/// Ends are rounded up to this many seconds: a trace does not tell one token from another.
pub const END_BUCKET_SECS: u64 = 60;

/// What became of a token.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Outcome {
    /// A JWE was decrypted.
    Decrypted,
    /// Not a token: so many uses were not written.
    Dropped,
    /// It was refused; nothing else is known.
    Refused,
    /// A signature held.
    Verified,
    /// A word of a later version.
    #[serde(other)]
    Other,
}

/// As what a label was asked: another mapping is asked in the same way.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum AskedAs {
    /// As itself.
    Label,
    /// As one of those that `[sessions]` lists: all of them open a session.
    Session,
    /// A word of a later version.
    #[serde(other)]
    Other,
}

/// Uses that are alike: what a future mapping has to answer for.
#[derive(Clone, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[expect(clippy::exhaustive_structs, reason = "tests and programs that write traces build it")]
pub struct Group {
    /// The label that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<LabelName>,
    /// The realm that asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub realm: Option<Realm>,
    /// As what it was asked; earlier versions do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<AskedAs>,
    /// The label that is asked in its place where it is not mapped, if the asker chooses that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instead: Option<LabelName>,
    /// What became of them.
    pub outcome: Outcome,
    /// The kid of their headers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kid: Option<String>,
    /// `alg`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub alg: String,
    /// `enc` of a JWE.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enc: Option<String>,
    /// The thumbprint of the key that held.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub key: String,
}

/// A second as records have it; what lies beyond is the last one.
fn short(seconds: u64) -> u32 {
    u32::try_from(seconds).unwrap_or(u32::MAX)
}

/// The end of a token as records have it: rounded up.
fn end_of(seconds: u64) -> u32 {
    short(seconds.div_ceil(END_BUCKET_SECS).saturating_mul(END_BUCKET_SECS))
}

/// What makes two uses of one batch alike.
#[derive(Eq, Hash, PartialEq)]
struct Alike<'u> {
    question: &'u Question,
    outcome: Outcome,
    kid: Option<&'u str>,
    algorithm: &'static str,
    content: Option<&'static str>,
    key: &'u str,
}

/// The frame of a batch, equal uses counted together.
pub(super) fn frame_of(batch: &[Use], dropped: u64, now: u64) -> Vec<u8> {
    let mut writer = FrameWriter::default();
    let mut known: HashMap<Alike<'_>, u32> = HashMap::new();
    let mut counts: HashMap<(u32, u32, u32), u32> = HashMap::new();
    for one in batch {
        let alike = Alike {
            question: &one.question,
            outcome: one.outcome,
            kid: one.kid.as_deref(),
            algorithm: one.algorithm,
            content: one.content,
            key: &one.key,
        };
        let group = *known.entry(alike).or_insert_with(|| writer.group(&group_of(one)));
        let count = counts.entry((group, short(one.time), end_of(one.end))).or_default();
        *count = count.saturating_add(1);
    }
    for ((group, time, end), count) in counts {
        writer.record(group, time, end, count);
    }
    if dropped > 0 {
        let group = writer.group(&Group {
            label: None,
            realm: None,
            asked: None,
            instead: None,
            outcome: Outcome::Dropped,
            kid: None,
            alg: String::new(),
            enc: None,
            key: String::new(),
        });
        writer.record(group, short(now), 0, short(dropped));
    }
    writer.finish()
}

/// A frame of records as they are: the number of a group, the second of the use, that of the end (0: none), and
/// how many. For programs that bring their own traffic: uses of tokens that had not ended.
#[must_use]
pub fn frame(groups: &[Group], records: &[[u32; 4]]) -> Vec<u8> {
    let mut writer = FrameWriter::default();
    for group in groups {
        writer.group(group);
    }
    for [group, time, end, count] in records {
        writer.record(*group, *time, *end, *count);
    }
    writer.finish()
}

fn group_of(one: &Use) -> Group {
    let Question { label, realm, asked, instead } = &*one.question;
    Group {
        label: Some(label.clone()),
        realm: realm.clone(),
        asked: Some(*asked),
        instead: instead.clone(),
        outcome: one.outcome,
        kid: one.kid.clone(),
        alg: one.algorithm.to_owned(),
        enc: one.content.map(str::to_owned),
        key: one.key.clone(),
    }
}

/// A frame in the making.
#[derive(Default)]
struct FrameWriter {
    groups: Vec<u8>,
    group_count: u32,
    records: Vec<u8>,
}

impl FrameWriter {
    /// Defines a group; its number in this frame comes back.
    fn group(&mut self, group: &Group) -> u32 {
        // A struct of strings always has a JSON text.
        let json = serde_json::to_vec(group).unwrap_or_default();
        self.groups.extend(short(u64::try_from(json.len()).unwrap_or(0)).to_le_bytes());
        self.groups.extend(json);
        let number = self.group_count;
        self.group_count += 1;
        number
    }

    fn record(&mut self, group: u32, time: u32, end: u32, count: u32) {
        for word in [group, time, end, count] {
            self.records.extend(word.to_le_bytes());
        }
    }

    fn finish(self) -> Vec<u8> {
        let mut body = self.group_count.to_le_bytes().to_vec();
        body.extend(self.groups);
        body.extend(self.records);
        let mut frame = Vec::with_capacity(HEAD_BYTES + body.len());
        frame.extend(MAGIC);
        frame.extend(short(u64::try_from(body.len()).unwrap_or(0)).to_le_bytes());
        frame.extend(crc32fast::hash(&body).to_le_bytes());
        frame.extend(body);
        frame
    }
}
