//! What keys leave behind when they leave a mapping: their public half, the end of their making, a receipt.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::life::{terms, time};
use super::{Plan, Request, Rotation};
use crate::atomic;
use crate::clock::rfc3339;
use crate::error::{Error, ErrorKind, Result};
use crate::journal::anchors::RECEIPTS;
use crate::journal::archive::{self, Durability};
use crate::journal::{Action, MappedKey, MappingChange, MappingName};
use crate::keyring::keyset::LabelKey;
use crate::label::{Alias, LabelName, Realm, StoreName};
use crate::usage::{Act, Held, KeyReport, Reports, UsageBook, Verdict};

/// The proof that nothing made with a key was alive when it was retired.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[non_exhaustive]
pub struct Receipt {
    /// The label.
    pub label: LabelName,
    /// The realm of the mapping; absent: global.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub realm: Option<Realm>,
    /// The store.
    pub store: StoreName,
    /// The alias that it had.
    pub alias: Alias,
    /// The key.
    pub thumbprint: String,
    /// Since when its uses were kept; what was made before is not proven. Absent: it was never used.
    pub recorded_since: Option<String>,
    /// How often it signed.
    pub signed: u64,
    /// How often it encrypted.
    pub encrypted: u64,
    /// When it signed last.
    pub last_signed: Option<String>,
    /// When it encrypted last.
    pub last_encrypted: Option<String>,
    /// When something verified with it last.
    pub last_verified: Option<String>,
    /// Until when anything that it made lived; absent: it made nothing.
    pub horizon: Option<String>,
    /// Horizon and clock skew.
    pub safe_after: Option<String>,
    /// When it was retired.
    pub retired_at: String,
    /// The record of the journal, and its hash; in the journal itself they are absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub journal_seq: Option<u64>,
    /// See `journal_seq`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub journal_hash: Option<String>,
}

/// A key that a step takes out of a mapping.
#[derive(Clone, Debug)]
pub(super) struct Leaving {
    mapping: MappingName,
    key: MappedKey,
    report: Option<KeyReport>,
}

impl Rotation {
    /// The keys that these changes take out of their mappings.
    pub(super) fn leaving(&self, changes: &[MappingChange]) -> Vec<Leaving> {
        let gone = |change: &MappingChange| {
            let stays = |key: &MappedKey| change.after.iter().any(|one| one.is(key));
            change.before.iter().filter(|key| !stays(key)).cloned().collect::<Vec<_>>()
        };
        let of_change = |change: &MappingChange| {
            let mapping = change.mapping.clone();
            gone(change).into_iter().map(move |key| (mapping.clone(), key))
        };
        changes
            .iter()
            .flat_map(of_change)
            .map(|(mapping, key)| {
                let report = self.report_of(&mapping, &key).and_then(Result::ok);
                Leaving { mapping, key, report }
            })
            .collect()
    }

    /// What is known of the uses of a key; `None` for passwords, of which nothing is kept.
    pub(super) fn report_of(
        &self,
        mapping: &MappingName,
        key: &MappedKey,
    ) -> Option<Result<KeyReport>> {
        key.thumbprint.as_ref()?;
        let reports = self.keyring.usage().reports();
        Some(reports.map(|reports| self.report_by(&reports, mapping, key)))
    }

    /// The same by what these reports say.
    fn report_by(&self, reports: &Reports, mapping: &MappingName, key: &MappedKey) -> KeyReport {
        self.knowing(reports, |known| known.report((&mapping.label, mapping.realm.as_ref()), key))
    }

    /// Before keys leave: keeps their public halves, and stops whoever makes things with them. What is forced
    /// waits for nothing of this.
    pub(super) fn hold<'b>(
        &self,
        book: &'b UsageBook,
        request: &Request,
        plan: &Plan,
    ) -> Result<Option<Held<'b>>> {
        if plan.leaving.is_empty() {
            return Ok(None);
        }
        let held = self.archive(&plan.leaving).and_then(|()| {
            let mut held = book.hold()?;
            if let Some(held) = &mut held {
                self.require_unchanged(&held.reports()?, &plan.leaving)?;
            }
            Ok(held)
        });
        match held {
            Err(_) if request.overrides.force || plan.action == Action::Revoke => {
                // Nobody is stopped then, but everybody who reads the new configuration.
                Ok(book.hold().ok().flatten())
            }
            other => other,
        }
    }

    /// Keeps the public halves of keys that are about to leave: before they do.
    fn archive(&self, leaving: &[Leaving]) -> Result<()> {
        let Some(state_dir) = self.state_dir() else { return Ok(()) };
        let snapshot = self.keyring.snapshot();
        for Leaving { mapping, key, .. } in leaving {
            let set = snapshot.find(mapping.realm.as_ref(), &mapping.label);
            let mut keys = set.iter().flat_map(|set| set.keys());
            let here = |one: &&Arc<LabelKey>| one.alias == key.alias && one.store == mapping.store;
            if let Some(key) = keys.find(here) {
                archive::keep(&state_dir, key.seen(&mapping.label), Durability::Now)?;
            }
        }
        Ok(())
    }

    /// Keeps the public halves of every key that is mapped now: who takes one out by hand asks nobody.
    pub(super) fn note_unarchived(&mut self) {
        if let Err(error) = self.keyring.archive() {
            self.notes.push(format!(
                "public halves are not kept, and `verify --at` will miss them: {}",
                error.message()
            ));
        }
    }

    /// Ends the making with keys that left: processes that have not read the new configuration make nothing
    /// more that lives. Then a retirement that is proven has a receipt.
    pub(super) fn end_making(&mut self, held: Option<Held<'_>>, plan: &Plan) -> Option<Receipt> {
        if let Err(error) = self.fence(held?, plan) {
            self.notes.push(format!(
                "processes may go on making things with it until they reload: {}",
                error.message()
            ));
            return None;
        }
        let leaving = plan.leaving.first().filter(|_| is_proven(plan))?;
        self.receipt(leaving, self.now())
    }

    /// Writes that keys left, behind every label that reads with them, or did under another name: who has not read yet that
    /// another scope has no mapping of its own any more is stopped there.
    fn fence(&self, mut held: Held<'_>, plan: &Plan) -> Result<()> {
        let reports = held.reports()?;
        let brought = plan.leaving.iter().map(|one| {
            let own = (&one.mapping.label, one.mapping.realm.as_ref());
            self.knowing(&reports, |known| known.scopes_brought(own, &one.key))
        });
        let brought: Vec<_> = brought.collect();
        let mut keys = Vec::new();
        for (one, brought) in plan.leaving.iter().zip(&brought) {
            let Some(thumbprint) = one.key.thumbprint.as_deref() else { continue };
            let own = (&one.mapping.label, one.mapping.realm.as_ref());
            let others = brought.iter().map(|(label, realm)| (label, realm.as_ref()));
            let scopes = std::iter::once(own).chain(others);
            keys.extend(scopes.map(|(label, realm)| (label, realm, thumbprint)));
        }
        held.retire(keys)
    }

    /// Checks, while nobody can write, that nothing was made since the step was reckoned.
    fn require_unchanged(&self, reports: &Reports, leaving: &[Leaving]) -> Result<()> {
        for one in leaving {
            let Some(before) = &one.report else { continue };
            let now = self.report_by(reports, &one.mapping, &one.key);
            if now.latest_exp > before.latest_exp || now.latest_open > before.latest_open {
                let text =
                    format!("alias \"{}\" was used while the step was reckoned", one.key.alias);
                return Err(Error::new(ErrorKind::StillInUse, text)
                    .with_help("nothing was changed; try again"));
            }
        }
        Ok(())
    }

    /// The receipt of a retirement that is proven; `None` for one that was forced, and without a state
    /// directory.
    fn receipt(&self, leaving: &Leaving, now: SystemTime) -> Option<Receipt> {
        let MappingName { label, realm, store } = &leaving.mapping;
        let set = self.keyring.snapshot().find(realm.as_ref(), label)?.clone();
        let spans = self.history.spans(label, realm.as_ref(), &leaving.key, now);
        let report = leaving.report.as_ref()?;
        let known = (&self.history, &*spans, report);
        let terms = terms(&self.keyring.config(), (&set, &leaving.key), known, now);
        if report.verdict(&terms, now) != Verdict::Safe {
            return None;
        }
        let shown = |secs: u64| rfc3339(time(secs));
        let safe_after = report.safe_after(&terms).ok().flatten();
        Some(Receipt {
            label: label.clone(),
            realm: realm.clone(),
            store: store.clone(),
            alias: leaving.key.alias.clone(),
            thumbprint: leaving.key.thumbprint.clone()?,
            recorded_since: report.recorded_since.map(shown),
            signed: report.count(Act::Signed),
            encrypted: report.count(Act::Encrypted),
            last_signed: report.last(Act::Signed).map(shown),
            last_encrypted: report.last(Act::Encrypted).map(shown),
            last_verified: report.last(Act::Verified).map(shown),
            horizon: safe_after.map(|after| shown(after - terms.grace.as_secs().min(after))),
            safe_after: safe_after.map(shown),
            retired_at: rfc3339(now),
            journal_seq: None,
            journal_hash: None,
        })
    }

    /// Whether a receipt can be written, before there is something to be written down.
    pub(super) fn takes_receipt(&self, plan: &Plan) -> Result<()> {
        let folder = self.state_dir().map(|state_dir| state_dir.join(RECEIPTS));
        // One that is not there yet is made in a folder that takes files.
        match folder.filter(|folder| is_proven(plan) && folder.exists()) {
            Some(folder) => atomic::takes_files(&folder),
            None => Ok(()),
        }
    }

    /// Writes a receipt that names its record of the journal.
    pub(super) fn file_receipt(&mut self, receipt: Receipt, seq: Option<u64>) -> Result<()> {
        let Some(state_dir) = self.state_dir() else { return Ok(()) };
        let journal_hash = seq.and_then(|seq| self.history.hash_of(seq)).map(str::to_owned);
        let receipt = Receipt { journal_seq: seq, journal_hash, ..receipt };
        let path = write_receipt(&state_dir, &receipt).map_err(|error| {
            let done = receipt.journal_seq.unwrap_or_default();
            error.with_help(format!(
                "the alias is retired all the same: record {done} of the journal has what the receipt says"
            ))
        })?;
        self.notes.push(format!("nothing that it made is alive; the receipt: {}", path.display()));
        Ok(())
    }
}

/// Whether the retirement passed no gate that says what it made may be alive.
fn is_proven(plan: &Plan) -> bool {
    plan.action == Action::Retire
        && !plan.gates.iter().any(|gate| gate.kind == ErrorKind::StillInUse)
}

/// Writes a receipt; the file comes back.
fn write_receipt(state_dir: &Path, receipt: &Receipt) -> Result<PathBuf> {
    let folder = state_dir.join(RECEIPTS);
    atomic::create_folder(&folder)?;
    let number = receipt.journal_seq.unwrap_or(0);
    let path = folder.join(format!("{number:06}-{}.json", receipt.label));
    let text = serde_json::to_string_pretty(receipt)
        .map_err(|error| Error::new(ErrorKind::Bug, "a receipt").with_source(error))?;
    atomic::replace(&path, format!("{text}\n").as_bytes())?;
    Ok(path)
}
