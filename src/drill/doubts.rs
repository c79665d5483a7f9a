//! What keeps a replay from a proof: uses that are not in the trace, and settings of which no trace says anything.
//!
//! A trace has label, kid, algorithm and key of a token, and so answers for the mapping. How large a token was, whether
//! it was compressed, and how a session was put together it does not say; what earlier versions recorded does not say
//! either whether it was a session.

use std::collections::BTreeSet;

use crate::config::{Config, SessionLabel, SessionSettings};
use crate::keyring::keyset::KeySetPolicy;
use crate::label::LabelName;
use crate::trace::AskedAs;

/// Doubts about tokens that hold as far as the trace says.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    /// Sorted, each once: many groups have the same.
    settings: BTreeSet<String>,
    /// There are sessions.
    sessions: bool,
    /// Labels of what may be sessions.
    session_labels: BTreeSet<&'static str>,
}

impl Doubts {
    /// A label has live tokens that hold.
    pub(super) fn of_label(
        &mut self,
        label: &LabelName,
        asked: Option<AskedAs>,
        (now, next): (&KeySetPolicy, &KeySetPolicy),
    ) {
        self.sessions |= asked == Some(AskedAs::Session);
        let known = SessionLabel::signing().iter().chain(SessionLabel::encryption());
        let known = known.filter(|one| asked.is_none() && one.label == *label);
        self.session_labels.extend(known.map(|one| one.name));
        if now.zip && !next.zip {
            self.settings.insert(format!("label \"{label}\" no longer allows zip"));
        }
        let (now, next) = (&now.limits, &next.limits);
        let lower = [
            ("max_token_bytes", next.max_token_bytes < now.max_token_bytes),
            ("max_header_bytes", next.max_header_bytes < now.max_header_bytes),
            ("max_json_depth", next.max_json_depth < now.max_json_depth),
            ("max_signatures", next.max_signatures < now.max_signatures),
            ("max_recipients", next.max_recipients < now.max_recipients),
            ("max_p2c", next.max_p2c < now.max_p2c),
            ("max_inflated_bytes", next.max_inflated_bytes < now.max_inflated_bytes),
        ];
        let lower = lower.iter().filter(|(_, is_lower)| *is_lower);
        self.settings.extend(lower.map(|(key, _)| format!("`{key}` of [policy.limits] is lower")));
    }

    /// All of them, those of settings in order.
    pub(super) fn told(mut self, now: &Config, next: &Config) -> impl Iterator<Item = String> {
        if self.sessions || !self.session_labels.is_empty() {
            let labels = self.session_labels;
            self.settings.extend(of_sessions(&labels, &now.sessions, &next.sessions));
        }
        self.settings.into_iter()
    }
}

/// What `[sessions]` no longer accepts; these labels have live tokens, which may be sessions.
fn of_sessions(
    labels: &BTreeSet<&'static str>,
    now: &SessionSettings,
    next: &SessionSettings,
) -> Vec<String> {
    let mut doubts = Vec::new();
    for (key, now, next) in [
        ("signing", &now.signing, &next.signing),
        ("encryption", &now.encryption, &next.encryption),
    ] {
        let gone = now.iter().filter(|one| !next.contains(one) && labels.contains(one.name));
        doubts.extend(
            gone.map(|one| format!("`{key}` of [sessions] no longer has \"{}\"", one.name)),
        );
        if now.is_empty() && !next.is_empty() {
            doubts.push(format!("`{key}` of [sessions] is no longer empty"));
        }
    }
    if now.order != next.order {
        doubts.push("`order` of [sessions] is another".into());
    }
    if now.issuer != next.issuer {
        doubts.push("`issuer` of [sessions] is another".into());
    }
    if next.absolute < now.absolute {
        doubts.push("`absolute` of [sessions] is shorter".into());
    }
    if next.idle.is_some_and(|next| now.idle.is_none_or(|now| next < now)) {
        doubts.push("`idle` of [sessions] is shorter".into());
    }
    doubts
}
