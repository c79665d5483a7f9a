//! What is known of every key, by one reading of the usage file and by what this process did since.

use std::collections::HashMap;

use super::ledger::Ledger;
use super::record::{Record, Subject};
use super::report::KeyReport;
use super::{Core, UsageBook, locked, subject};
use crate::label::{LabelName, Realm};

/// The usage file as it was read.
#[derive(Debug)]
pub struct Reports {
    pub(super) book: UsageBook,
    pub(super) records: Option<HashMap<Subject, Record>>,
    pub(super) writes: Option<u64>,
}

impl Reports {
    /// What is known of a key under a label.
    #[must_use]
    pub fn of(&self, label: &LabelName, realm: Option<&Realm>, thumbprint: &str) -> KeyReport {
        self.of_subject(&subject(label, realm, thumbprint))
    }

    /// The labels and realms where a key was used.
    pub fn scopes_of<'s>(
        &'s self,
        thumbprint: &'s str,
    ) -> impl Iterator<Item = (&'s LabelName, Option<&'s Realm>)> {
        let subjects = self.records.iter().flat_map(HashMap::keys);
        let of_key = subjects.filter(move |one| one.thumbprint == thumbprint);
        of_key.filter_map(|one| Some((one.label.as_ref()?, one.realm.as_ref())))
    }

    /// How often the file had been written: it only grows, unless an older copy is put in its place. `None`: there is
    /// no file.
    #[must_use]
    pub const fn writes(&self) -> Option<u64> {
        self.writes
    }

    /// Whether the file is an older copy of one that had been written so often at this second. One that was made since, in
    /// the place of one that was lost, knows by itself what it lacks.
    #[must_use]
    pub fn is_older_than(&self, (known, then): (u64, u64)) -> bool {
        let of_file = self.records.as_ref().and_then(|all| all.get(&Subject::default()));
        let is_new = of_file.is_some_and(|of_file| of_file.lost_until >= then);
        !is_new && self.writes.is_some_and(|writes| writes < known)
    }

    pub(super) fn of_subject(&self, subject: &Subject) -> KeyReport {
        self.book.0.core.report(subject, self.records.as_ref())
    }
}

impl Core {
    pub(super) fn report(
        &self,
        subject: &Subject,
        records: Option<&HashMap<Subject, Record>>,
    ) -> KeyReport {
        let find = |subject: &Subject| records?.get(subject);
        let state = locked(&self.keys).get(subject).cloned();
        let budget = self.budget(&subject.thumbprint);
        let messages =
            budget.used(records.map(|_| find(budget.subject()).map_or(0, Record::messages)));
        let mut report = KeyReport::new(records.is_some(), messages, budget.limit());
        let of_file = find(&Subject::default()).map(|record| record.lost_until);
        let of_file = of_file.or_else(|| self.ledger.as_ref().map(Ledger::lost_until));
        let lost_until = find(subject).map(|record| record.lost_until).or(of_file);
        report.lost_until = lost_until.filter(|until| *until > 0);
        if let Some(record) = find(subject) {
            // What this process reserved it knows better.
            let own = self.ledger.as_ref().filter(|_| state.is_some()).map(Ledger::owner);
            report.add_record(record, own);
        }
        if let Some(state) = state {
            report.add_memory(state.in_memory());
        }
        report
    }
}
