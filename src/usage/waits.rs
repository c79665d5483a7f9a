//! How long processes wait before they look for changes of the configuration. Who waits longer than anybody before
//! writes it down first, so that a key acts only once the slowest of them knows it.

use std::time::Duration;

use super::UsageBook;
use super::ledger::Ledger;
use super::record::{Record, Subject};
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
