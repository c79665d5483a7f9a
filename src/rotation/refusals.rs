//! Which refusals are worth a record: every one of a person, and of schedules each once a day.

use std::time::{Duration, SystemTime};

use crate::journal::{Action, Event, History, Record};

/// The reason that steps of schedules have.
pub(super) const SCHEDULED: &str = "scheduled";
/// How long the same refusal of a schedule is not recorded again.
const SILENCE: Duration = Duration::from_secs(86_400);

/// Whether a refusal says nothing new: a schedule was refused in the same words less than a day ago, and
/// nothing was done to the label since. A run every hour must not fill the journal.
pub(super) fn is_repeated(history: &History, refused: &Record) -> bool {
    if !is_scheduled(refused) {
        return false;
    }
    let recent = history.records.iter().rev().take_while(|old| is_recent(old.time, refused.time));
    let mut since = recent.take_while(|old| {
        let about = refused.label.is_none() || old.label.is_none() || old.label == refused.label;
        !(old.took_effect() && about)
    });
    since.any(|old| {
        old.event == Event::Refused
            && is_scheduled(old)
            && (old.action, &old.label, &old.realm, &old.alias)
                == (refused.action, &refused.label, &refused.realm, &refused.alias)
            && old.refusal == refused.refusal
    })
}

fn is_scheduled(record: &Record) -> bool {
    record.action == Action::Schedule || record.reason.as_deref() == Some(SCHEDULED)
}

/// A clock that went back makes nothing old.
fn is_recent(old: SystemTime, now: SystemTime) -> bool {
    now.duration_since(old).unwrap_or_default() < SILENCE
}
