//! How long processes wait before they look for changes of the configuration, and when one did not take what it saw. Who
//! waits longer than anybody before writes it down first, and so does who goes on with the old one, so that a key acts only
//! once the slowest of them knows it.

use std::time::{Duration, SystemTime};

use super::UsageBook;
use super::ledger::Ledger;
use super::record::{Record, Subject};
use crate::clock::to_unix;
use crate::error::Result;

impl UsageBook {
    /// The longest that a process said it waits before it looks for changes of the configuration; zero: none did.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::UsageNotKept`] if the file cannot be read or is damaged.
    pub fn longest_wait(&self) -> Result<Duration> {
        let own = self.0.core.ledger.as_ref().map(Ledger::own_record).transpose()?;
        Ok(own.map_or(Duration::ZERO, |own| Duration::from_secs(own.longest_wait)))
    }

    /// Says that this process will wait for `wait` between two looks; `true`: nobody had said so much, and it looks once
    /// more before it waits, for what was changed until now.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::UsageNotKept`].
    pub(crate) fn waits(&self, wait: Duration) -> Result<bool> {
        let secs = wait.as_secs();
        let Some(ledger) = &self.0.core.ledger else { return Ok(false) };
        if ledger.own_record()?.longest_wait >= secs {
            return Ok(false);
        }
        self.change_own(|own| own.longest_wait = own.longest_wait.max(secs))
    }

    /// Forgets that processes said to wait for `recorded`, once the journal has it, unless one said more meanwhile: from
    /// now on they wait for `wait`, or say so again.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::UsageNotKept`].
    pub(crate) fn waits_recorded(&self, recorded: Duration, wait: Duration) -> Result<()> {
        let change = |own: &mut Record| {
            if own.longest_wait == recorded.as_secs() {
                own.longest_wait = wait.as_secs();
            }
        };
        self.change_own(change).map(drop)
    }

    /// From when until when a process is known to have gone on with an old configuration because the new one was refused;
    /// `None`: none did, or the journal has it.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::UsageNotKept`] if the file cannot be read or is damaged.
    pub fn behind(&self) -> Result<Option<(u64, u64)>> {
        let own = self.0.core.ledger.as_ref().map(Ledger::own_record).transpose()?;
        Ok(own.map(|own| own.behind).filter(|(_, until)| *until > 0))
    }

    /// Says that this process took nothing of what was changed from `from` until `until`.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::UsageNotKept`].
    pub(crate) fn stays_behind(&self, from: SystemTime, until: SystemTime) -> Result<()> {
        let (from, until) = (to_unix(from), to_unix(until));
        let change = |own: &mut Record| {
            own.behind = match own.behind {
                (_, 0) => (from, until),
                (since, known) => (since.min(from), known.max(until)),
            };
        };
        self.change_own(change).map(drop)
    }

    /// Forgets it once the journal has it, unless more was said meanwhile.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::UsageNotKept`].
    pub(crate) fn behind_recorded(&self, recorded: (u64, u64)) -> Result<()> {
        let change = |own: &mut Record| {
            if own.behind == recorded {
                own.behind = (0, 0);
            }
        };
        self.change_own(change).map(drop)
    }

    /// Changes the file's own record; whether there was anything to change.
    fn change_own(&self, change: impl FnOnce(&mut Record)) -> Result<bool> {
        let Some(ledger) = &self.0.core.ledger else { return Ok(false) };
        let mut session = ledger.lock()?;
        let before = session.find(&Subject::default())?.unwrap_or_default();
        let mut own = before.clone();
        change(&mut own);
        if own == before {
            return Ok(false);
        }
        session.put(&own)?;
        session.finish()?;
        Ok(true)
    }
}
