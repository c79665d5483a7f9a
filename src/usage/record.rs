//! One record of the usage file: fixed size, two copies, each with its number and checksum.
//!
//! ```text
//! copy (1024 bytes, the newer valid one of two counts):
//!   magic 8 │ number 8 │ label, realm, thumbprint: length 2, text │ numbers, 8 bytes each │ zeros │ CRC-32 4
//! ```
//!
//! A copy is overwritten only while the other one is valid and on disk: a torn write costs nothing.

use crate::label::{LabelName, Realm};

/// The size of one copy.
pub(super) const COPY_BYTES: usize = 1024;
/// How many processes may reserve ahead on one key; the oldest reservation makes room for one more.
const RESERVATIONS: usize = 6;
const MAGIC: &[u8; 8] = b"CLVUSE1\n";

/// What a record is about.
#[derive(Clone, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) struct Subject {
    /// `None`: the key under all its labels.
    pub(super) label: Option<LabelName>,
    /// The realm of the mapping; `None`: global.
    pub(super) realm: Option<Realm>,
    /// The key; empty: the file itself.
    pub(super) thumbprint: String,
}

/// What is known of a [`Subject`]. Times are seconds since 1970; 0 means never.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Record {
    pub(super) subject: Subject,
    /// When it was first written down.
    pub(super) since: u64,
    /// The latest `exp` of anything made; reservations may be beyond.
    pub(super) exp: u64,
    /// When something without an `exp` was made last; reservations may be beyond.
    pub(super) open: u64,
    /// In the order of [`super::counters::Act::ALL`].
    pub(super) counts: [u64; 4],
    pub(super) last: [u64; 4],
    /// Messages under a random nonce, besides what is reserved.
    pub(super) spent: u64,
    /// The number of the step that retired it, of those that the file counts; in the file's own record the
    /// number of the last.
    pub(super) fence: u64,
    /// What was done before this second may not be in it: the records of then were lost. 0: everything is in it. In
    /// the file's own record: the same of keys that have no other.
    pub(super) lost_until: u64,
    /// In the file's own record: the longest that a process waits before it looks for changes of the configuration, in
    /// seconds.
    pub(super) longest_wait: u64,
    /// In the file's own record: from when until when a process loaded nothing of what was changed; 0: none did so.
    pub(super) behind: (u64, u64),
    /// What running processes may do without writing first.
    pub(super) reservations: Vec<Reservation>,
}

/// What one process may do: everything up to these bounds.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Reservation {
    /// Chosen at random by the process; never 0.
    pub(super) owner: u64,
    pub(super) exp: u64,
    pub(super) open: u64,
    pub(super) messages: u64,
}

impl Record {
    /// The most messages that may have been encrypted.
    pub(super) fn messages(&self) -> u64 {
        self.reservations.iter().fold(self.spent, |sum, one| sum.saturating_add(one.messages))
    }

    /// Takes the reservation of `owner` out.
    pub(super) fn take_reservation(&mut self, owner: u64) -> Option<Reservation> {
        let at = self.reservations.iter().position(|one| one.owner == owner)?;
        Some(self.reservations.remove(at))
    }

    /// Adds a reservation; the oldest one becomes part of the record where there is no room. Its owner may
    /// still go up to its bounds.
    pub(super) fn put_reservation(&mut self, reservation: Reservation) {
        while self.reservations.len() >= RESERVATIONS {
            let oldest = self.reservations.remove(0);
            self.exp = self.exp.max(oldest.exp);
            self.open = self.open.max(oldest.open);
            self.spent = self.spent.saturating_add(oldest.messages);
        }
        self.reservations.push(reservation);
    }

    /// One copy with its number.
    pub(super) fn encode(&self, number: u64) -> Vec<u8> {
        let mut out = Vec::with_capacity(COPY_BYTES);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&number.to_le_bytes());
        let subject = &self.subject;
        put_text(&mut out, subject.label.as_ref().map_or("", LabelName::as_str));
        put_text(&mut out, subject.realm.as_ref().map_or("", Realm::as_str));
        put_text(&mut out, &subject.thumbprint);
        let numbers = [self.since, self.exp, self.open, self.spent, self.fence];
        let numbers = numbers.into_iter().chain(self.counts).chain(self.last);
        let empty = std::iter::repeat(Reservation::default());
        let reservations = self.reservations.iter().copied().chain(empty).take(RESERVATIONS);
        let reserved = reservations.flat_map(|one| [one.owner, one.exp, one.open, one.messages]);
        let own = [self.lost_until, self.longest_wait, self.behind.0, self.behind.1];
        for number in numbers.chain(reserved).chain(own) {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.resize(COPY_BYTES - 4, 0);
        let sum = crc32fast::hash(&out);
        out.extend_from_slice(&sum.to_le_bytes());
        out
    }

    /// The record and the number of a copy; `None` if it is not whole.
    pub(super) fn decode(copy: &[u8]) -> Option<(u64, Self)> {
        let (body, sum) = copy.split_last_chunk::<4>()?;
        if copy.len() != COPY_BYTES || crc32fast::hash(body) != u32::from_le_bytes(*sum) {
            return None;
        }
        let mut reader = Reader(body.strip_prefix(MAGIC)?);
        let number = reader.number()?;
        let name = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let label = name(reader.text()?).map(|text| text.parse()).transpose().ok()?;
        let realm = name(reader.text()?).map(|text| text.parse()).transpose().ok()?;
        let subject = Subject { label, realm, thumbprint: reader.text()?.to_owned() };
        let mut record = Self {
            subject,
            since: reader.number()?,
            exp: reader.number()?,
            open: reader.number()?,
            spent: reader.number()?,
            fence: reader.number()?,
            ..Self::default()
        };
        for slot in record.counts.iter_mut().chain(&mut record.last) {
            *slot = reader.number()?;
        }
        for _ in 0..RESERVATIONS {
            let [owner, exp, open, messages] =
                [reader.number()?, reader.number()?, reader.number()?, reader.number()?];
            if owner != 0 {
                record.reservations.push(Reservation { owner, exp, open, messages });
            }
        }
        record.lost_until = reader.number()?;
        record.longest_wait = reader.number()?;
        record.behind = (reader.number()?, reader.number()?);
        Some((number, record))
    }
}

/// Thumbprints have 43 characters at most and names 255, so that every record fits its size.
fn put_text(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    let bytes = bytes.get(..bytes.len().min(255)).unwrap_or_default();
    out.extend_from_slice(&u16::try_from(bytes.len()).unwrap_or(0).to_le_bytes());
    out.extend_from_slice(bytes);
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn number(&mut self) -> Option<u64> {
        let (head, rest) = self.0.split_first_chunk::<8>()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*head))
    }

    fn text(&mut self) -> Option<&'a str> {
        let (length, rest) = self.0.split_first_chunk::<2>()?;
        let (text, rest) = rest.split_at_checked(u16::from_le_bytes(*length).into())?;
        self.0 = rest;
        std::str::from_utf8(text).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> Record {
        let name = "a".repeat(255);
        let mut record = Record {
            subject: Subject {
                label: Some(name.parse().unwrap()),
                realm: Some(name.parse().unwrap()),
                thumbprint: "t".repeat(43),
            },
            since: 1,
            exp: 2,
            open: 3,
            counts: [4, 5, 6, 7],
            last: [8, 9, 10, 11],
            spent: 12,
            fence: 13,
            lost_until: 14,
            behind: (16, 17),
            longest_wait: 15,
            reservations: Vec::new(),
        };
        for owner in 1..=6 {
            record.put_reservation(Reservation { owner, exp: 20 + owner, open: 9, messages: 5 });
        }
        record
    }

    #[test]
    fn the_largest_record_comes_back_and_any_flipped_byte_is_seen() {
        let record = full();
        let copy = record.encode(99);
        assert_eq!(copy.len(), COPY_BYTES);
        assert_eq!(Record::decode(&copy), Some((99, record)));
        for at in 0..copy.len() {
            let mut damaged = copy.clone();
            damaged[at] ^= 1;
            assert_eq!(Record::decode(&damaged), None, "byte {at}");
        }
        assert_eq!(Record::decode(&copy[..1023]), None);
    }

    #[test]
    fn one_reservation_too_many_makes_the_oldest_permanent() {
        let mut record = full();
        let messages = record.messages();
        record.put_reservation(Reservation { owner: 7, exp: 1, open: 1, messages: 1 });
        assert_eq!((record.exp, record.open, record.spent), (21, 9, 17));
        assert_eq!(record.messages(), messages + 1);
        assert_eq!(record.take_reservation(1), None);
        assert_eq!(record.take_reservation(7).unwrap().messages, 1);
    }
}
