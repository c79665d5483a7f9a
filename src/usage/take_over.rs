//! A book that goes on where another one was kept: a reload names another state directory.

use super::record::{Record, Subject};
use super::{Core, UsageBook, by_subject, locked};
use crate::error::Result;

impl UsageBook {
    /// Goes on where this process kept another book until now: what it made lives as long here, and messages that random
    /// nonces allow are counted on. How often keys were used stays there.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::UsageNotKept`].
    pub(crate) fn take_over(&self, before: &Self) -> Result<()> {
        self.take_over_marks(before)?;
        let (core, now) = (&*self.0.core, self.0.core.clock.coarse_secs());
        let Some(ledger) = &core.ledger else { return Ok(()) };
        let spent = before.0.core.spent()?;
        let mut session = ledger.lock()?;
        for (subject, messages) in spent {
            let mut record = session.record(&subject, now)?;
            // This directory may be a copy of that one.
            let more = messages.saturating_sub(record.messages());
            record.spent = record.spent.saturating_add(more);
            session.put(&record)?;
        }
        session.finish()
    }

    /// As [`UsageBook::take_over`], of what was made since.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::UsageNotKept`].
    pub(crate) fn take_over_marks(&self, before: &Self) -> Result<()> {
        let (core, now) = (&*self.0.core, self.0.core.clock.coarse_secs());
        let Some(ledger) = &core.ledger else { return Ok(()) };
        let mut session = ledger.lock()?;
        for (subject, exp, open) in before.0.core.exact_marks() {
            let mut record = session.record(&subject, now)?;
            (record.exp, record.open) = (record.exp.max(exp), record.open.max(open));
            session.put(&record)?;
        }
        session.finish()
    }
}

impl Core {
    /// How far what this process made with each key reaches.
    fn exact_marks(&self) -> Vec<(Subject, u64, u64)> {
        let keys = locked(&self.keys);
        let marks = keys.values().map(|key| {
            let (_, exp, open) = key.in_memory();
            (key.subject.clone(), exp, open)
        });
        marks.filter(|(_, exp, open)| exp.max(open) > &0).collect()
    }

    /// How many messages each key has encrypted under random nonces.
    fn spent(&self) -> Result<Vec<(Subject, u64)>> {
        let records = match &self.ledger {
            Some(ledger) => Some(by_subject(ledger.read()?.records)),
            None => None,
        };
        let budgets = locked(&self.budgets);
        let spent = budgets.values().map(|budget| {
            let subject = budget.subject();
            let in_file = records.as_ref().map(|all| all.get(subject).map_or(0, Record::messages));
            // What is reserved may be used yet.
            (subject.clone(), in_file.unwrap_or_else(|| budget.used(None)))
        });
        Ok(spent.filter(|(_, messages)| *messages > 0).collect())
    }
}
