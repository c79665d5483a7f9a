//! A whole configuration, exercised: every alias of every label acts once, and every order opens its tokens.

use serde::Serialize;

use super::rehearse::Copy;
use super::{Scope, stand_in_note, tokens};
use crate::error::Result;
use crate::keyring::Snapshot;
use crate::label::{Alias, Realm};
use crate::ops::KeySet;
use crate::parallel;

/// One alias that acted.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Exercise {
    /// Behind which label.
    #[serde(flatten)]
    pub scope: Scope,
    /// Which alias.
    pub alias: Alias,
    /// Whether it acts now.
    pub active: bool,
    /// Whether a fresh key stood in for a private half that is elsewhere.
    pub stand_in: bool,
    /// How many tokens it made.
    pub tokens: usize,
    /// How often one of them was opened, under the present order and with each alias in front.
    pub opened: usize,
    /// What was refused; empty: nothing was.
    pub breaks: Vec<String>,
    /// What one should know.
    pub notes: Vec<String>,
}

/// Exercises every label of a snapshot in every scope, or as `realm` sees them.
///
/// # Errors
/// [`crate::error::ErrorKind::Bug`] if a key cannot be made.
pub fn exercise(snapshot: &Snapshot, realm: Option<&Realm>) -> Result<Vec<Exercise>> {
    let all = snapshot.labels().into_iter().map(|((label, of), set)| (label, of, set));
    let seen = realm.map_or_else(|| all.collect(), |realm| snapshot.labels_seen_by(Some(realm)));
    let labels: Vec<(Scope, &KeySet)> = seen
        .into_iter()
        .map(|(label, of, set)| (Scope { label: label.clone(), realm: of.cloned() }, &**set))
        .collect();
    let found = parallel::map(&labels, 2, |(scope, set)| exercise_set(scope, set));
    let mut all = Vec::new();
    for one in found {
        all.extend(one?);
    }
    Ok(all)
}

fn exercise_set(scope: &Scope, set: &KeySet) -> Result<Vec<Exercise>> {
    let copy = Copy::of(set)?;
    let orders = orders(&copy)?;
    let mut all = Vec::new();
    for (index, key) in copy.keys.iter().enumerate() {
        let stand_in = copy.stand_ins.contains(&index);
        let mut one = Exercise {
            scope: scope.clone(),
            alias: key.alias.clone(),
            active: index == 0,
            stand_in,
            tokens: 0,
            opened: 0,
            breaks: Vec::new(),
            notes: stand_in.then(|| stand_in_note(&key.alias)).into_iter().collect(),
        };
        for (kind, token) in Copy::tokens_of(&copy.led_by(index)?)? {
            one.tokens += 1;
            for (leader, order) in &orders {
                if tokens::opens(order, &token) {
                    one.opened += 1;
                    continue;
                }
                let kid = if kind.kid == Some(false) { " without kid" } else { "" };
                let text = format!("{}{kid} is refused while \"{leader}\" acts", kind.name);
                // The three forms of a JWS share a name.
                if !one.breaks.contains(&text) {
                    one.breaks.push(text);
                }
            }
        }
        all.push(one);
    }
    Ok(all)
}

/// The present order, and each alias in front; of long lists the first and last few, for they differ only in
/// how far down an alias may come.
fn orders(copy: &Copy<'_>) -> Result<Vec<(Alias, KeySet)>> {
    let last = copy.keys.len().saturating_sub(1);
    let few = |index: &usize| *index < MANY || *index == last;
    (0..copy.keys.len())
        .filter(few)
        .filter_map(|index| Some((copy.keys.get(index)?.alias.clone(), index)))
        .map(|(alias, index)| Ok((alias, copy.led_by(index)?)))
        .collect()
}

/// More aliases than a drill puts in front.
const MANY: usize = 16;
