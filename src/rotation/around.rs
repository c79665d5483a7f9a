//! What keys made around a mapping that its scope reads now. Until a label has a mapping of its own in a realm, it is read,
//! and makes tokens, with the global keys or with those of the label that stands in. A mapping then begins with the keys
//! that act there, so that nothing breaks, and what they made is needed as before. It is counted where it was made, with
//! what everybody else makes there: the steps of the mapping write down until when it lives.

use std::time::SystemTime;

use super::announce;
use super::life::{lifetime, unrecorded};
use crate::catalogue;
use crate::config::Config;
use crate::journal::{History, MadeAround, MappedKey, MappingChange, stay};
use crate::keyring::Snapshot;
use crate::label::{LabelName, Realm};
use crate::usage::{KeyReport, Reports};

/// A label and a realm.
pub(super) type Scope<'a> = (&'a LabelName, Option<&'a Realm>);

/// What verdicts about uses rest on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known<'a> {
    pub(super) reports: &'a Reports,
    pub(super) snapshot: &'a Snapshot,
    pub(super) config: &'a Config,
    pub(super) history: &'a History,
    pub(super) now: SystemTime,
}

impl Known<'_> {
    /// What is known of the uses of a key in one scope, and until when what it made elsewhere lives that is read there:
    /// of a realm or a label that had a mapping of its own before and has none now, or had none before and has one now, or
    /// had another name.
    pub(super) fn report(&self, scope: Scope<'_>, key: &MappedKey) -> KeyReport {
        let Some(thumbprint) = key.thumbprint.as_deref() else { return KeyReport::default() };
        let mut report = self.reports.of(scope.0, scope.1, thumbprint);
        let elsewhere = self.made_elsewhere(scope, key);
        report.reach(elsewhere.exp, elsewhere.open);
        let (written, is_all) = self.written(scope, key);
        report.reach(written.exp, written.open);
        if !is_all {
            let made = self.made_around(scope, key);
            report.reach(made.exp, made.open);
        }
        report
    }

    /// Writes down what the keys of changed mappings made around them, until a record has all of it.
    pub(super) fn write_down(&self, changes: &mut [MappingChange]) {
        for change in changes {
            let scope = (&change.mapping.label, change.mapping.realm.as_ref());
            let left = change.after.iter().filter(|key| !self.written(scope, key).1);
            let made = left.filter_map(|key| {
                let made = self.made_around(scope, key);
                Some((key.thumbprint.clone()?, made)).filter(|_| made != MadeAround::default())
            });
            change.made_around = made.collect();
        }
    }

    /// What the journal has of it since the key stands in the scope, and whether that is all: whoever may have made
    /// something around the mapping for its scope had read the new configuration when it was written.
    fn written(&self, (label, realm): Scope<'_>, key: &MappedKey) -> (MadeAround, bool) {
        if scopes_around((label, realm)).is_empty() {
            return (MadeAround::default(), true);
        }
        let spans = self.history.spans(label, realm, key, self.now);
        // Since when it stands there, whatever its place and its kid.
        let Some(since) = stay(&spans).last().map(|span| span.from) else {
            return (MadeAround::default(), false);
        };
        let read = announce::loaded_by(self.config, label, self.history, since, self.now);
        let mut made = MadeAround::default();
        let mut last = None;
        for (time, one) in self.history.made_around((label, realm), key, self.now) {
            if time >= since {
                made = made.max(one);
                last = Some(time);
            }
        }
        (made, read.zip(last).is_some_and(|(read, last)| last >= read))
    }

    /// Until when what a key made around a mapping lives.
    fn made_around(&self, scope: Scope<'_>, key: &MappedKey) -> MadeAround {
        let Some(thumbprint) = key.thumbprint.as_deref() else { return MadeAround::default() };
        let scopes = scopes_around(scope);
        let scopes = scopes.iter().map(|(label, realm)| (label, *realm));
        scopes.fold(MadeAround::default(), |made, around| {
            let spans = self.history.spans(around.0, around.1, key, self.now);
            let report = self.reports.of(around.0, around.1, thumbprint);
            let before = unrecorded(self.history, &spans, &report, self.now);
            let open = report.latest_open.max(before);
            // As long as the label says that stands in, or says here: what neither does nobody knows.
            let end = |label| {
                let lifetime = lifetime(self.config, label, self.history, open, self.now)?;
                Some(open?.saturating_add(lifetime.as_secs()))
            };
            let (there, here) = (end(around.0), end(scope.0));
            made.max(MadeAround {
                exp: report.latest_exp.max(there).unwrap_or(0),
                open: open.filter(|_| there.is_none() || here.is_some()).unwrap_or(0),
            })
        })
    }
}

/// What a label is read with in a realm while it has no mapping of its own there.
fn scopes_around((label, realm): Scope<'_>) -> Vec<(LabelName, Option<&Realm>)> {
    let mut labels = catalogue::fallbacks_of(label);
    labels.push(label.clone());
    let realms = [realm, None];
    let realms = if realm.is_some() { &realms[..] } else { &realms[1..] };
    let scopes = labels.iter().flat_map(|label| realms.iter().map(|realm| (label.clone(), *realm)));
    scopes.filter(|(one, of)| (one, *of) != (label, realm)).collect()
}
