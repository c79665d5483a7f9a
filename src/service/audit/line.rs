//! One audit line. It has no member for a secret, a token, a payload or a query: what is not here cannot leak.

use std::fmt;
use std::time::{Duration, SystemTime};

use serde::{Serialize, Serializer};

use crate::access::Right;
use crate::journal::Head;
use crate::label::{CallerName, LabelName, Realm};

/// What a line is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Event {
    /// Something is changed: a line before it is, one after.
    Change,
    /// Somebody was not let in, or has to wait, or what was asked for is not to be done now.
    Refused,
    /// The keyring was read again, whoever asked for it.
    Reload,
    /// A label or profile was used.
    Use,
}

/// Where a change stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Phase {
    /// It is about to be carried out.
    Begin,
    /// It was, or failed: the outcome says it.
    End,
}

/// The members, in their order; absent ones are left out.
#[derive(Debug, Serialize)]
pub(super) struct Line<'a> {
    #[serde(serialize_with = "millis")]
    pub(super) time: SystemTime,
    pub(super) event: Event,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) phase: Option<Phase>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) request_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) caller: Option<Who<'a>>,
    /// `192.0.2.1:50112`, or `unix:uid=1000,pid=4711`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) peer: Option<Shown<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) route: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "right_name")]
    pub(super) right: Option<Right>,
    /// One that is mapped or in the catalogue: others are what a caller made up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) label: Option<&'a LabelName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) realm: Option<&'a Realm>,
    /// Which key served, or which one a step is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) alias: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) kid: Option<&'a str>,
    /// Of a batch: how many items it had, and how many of them were refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) items: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) items_refused: Option<usize>,
    /// Nothing is changed: it was only told what would be.
    #[serde(skip_serializing_if = "is_false")]
    pub(super) dry_run: bool,
    /// Nothing is changed: the answer is that of an earlier request with the same Idempotency-Key.
    #[serde(skip_serializing_if = "is_false")]
    pub(super) repeated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) status: Option<u16>,
    /// `ok`, or the code of the problem.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) outcome: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "micros")]
    pub(super) micros: Option<Duration>,
    /// Which snapshot serves after a reload.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) generation: Option<u64>,
    /// The record of a change: its number and the hash over it and everything before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) journal: Option<&'a Head>,
}

/// A caller, and what proved it.
#[derive(Debug, Serialize)]
pub(super) struct Who<'a> {
    pub(super) name: &'a CallerName,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) kind: Option<&'static str>,
}

impl<'a> Line<'a> {
    /// One with nothing but time and event.
    pub(super) const fn new(time: SystemTime, event: Event) -> Self {
        Self {
            time,
            event,
            phase: None,
            request_id: None,
            caller: None,
            peer: None,
            route: None,
            right: None,
            label: None,
            realm: None,
            alias: None,
            kid: None,
            items: None,
            items_refused: None,
            dry_run: false,
            repeated: false,
            status: None,
            outcome: None,
            micros: None,
            generation: None,
            journal: None,
        }
    }

    /// As it is written, with its end.
    pub(super) fn written(&self) -> Vec<u8> {
        let mut line = Vec::with_capacity(512);
        // Into memory, of strings and numbers: nothing can fail.
        drop(serde_json::to_writer(&mut line, self));
        line.push(b'\n');
        line
    }
}

/// Something by its text.
pub(super) struct Shown<'a>(pub(super) &'a dyn fmt::Display);

impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self.0)
    }
}

fn millis<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&crate::clock::rfc3339_millis(*time))
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde asks for it")]
const fn is_false(value: &bool) -> bool {
    !*value
}

#[expect(clippy::ref_option, reason = "as serde asks for it")]
fn right_name<S: Serializer>(right: &Option<Right>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(right.map_or("", Right::name))
}

#[expect(clippy::ref_option, reason = "as serde asks for it")]
fn micros<S: Serializer>(took: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    let micros = took.unwrap_or_default().as_micros();
    serializer.serialize_u64(u64::try_from(micros).unwrap_or(u64::MAX))
}
