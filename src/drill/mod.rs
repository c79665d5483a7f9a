//! Drills: a rotation rehearsed on a copy with fresh keys and real tokens, every alias of a configuration made
//! to act in turn, and recorded traffic replayed against a future mapping. Nothing real is touched.
//!
//! ```text
//! rehearse   keys of a label ─► now · stage · promote · retire ─► every token at every step ─► what breaks
//! exercise   every label ─► every alias acts once ─► its tokens under every order ─► what breaks
//! replay     a trace ─► the live tokens under another snapshot ─► which are refused, until when
//! ```
//!
//! A copy is a [`crate::ops::KeySet`] of the same keys, algorithms and policy, so what a drill sees is what the
//! label does.

mod doubts;
mod exercise;
mod rehearse;
mod replay;
mod stand_in;
mod tokens;
#[cfg(feature = "saml")]
mod xml;

use serde::Serialize;

use crate::label::{Alias, LabelName, Realm};

pub use exercise::{Exercise, exercise};
pub use rehearse::{Rehearsal, rehearse, rehearse_in};
pub use replay::{Broken, Replay, Verdict, Why, replay};

/// What became of the tokens of a line at a step.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[expect(clippy::exhaustive_enums, reason = "a token is opened or not, and that is right or not")]
pub enum Fate {
    /// They were accepted.
    Accepted,
    /// One was refused that must be accepted.
    Breaks,
    /// They were refused, as they must be.
    Refused,
}

/// Tokens of one kind that one alias made, and what became of them at each step.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Line {
    /// Who made them.
    pub made_by: String,
    /// What they are: "JWS ES256".
    pub token: String,
    /// Whether they name their key; `None`: they cannot.
    pub kid: Option<bool>,
    /// How many.
    pub tokens: usize,
    /// One a step.
    pub fates: Vec<Fate>,
}

/// A label as one realm sees it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Scope {
    /// The label.
    pub label: LabelName,
    /// The realm; `None`: global.
    pub realm: Option<Realm>,
}

/// An alias whose private half is elsewhere: a fresh pair of its kind stood in for it.
fn stand_in_note(alias: &Alias) -> String {
    format!(
        "alias \"{alias}\" does not act here: a fresh key of its kind stood in for who holds it"
    )
}
