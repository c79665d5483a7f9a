//! What is asked of a mapping: a step, where, and why.

use std::time::SystemTime;

use super::gates::Overrides;
use super::origin::Origin;
use crate::clock::rfc3339;
use crate::error::Result;
use crate::journal::Action;
use crate::label::{Alias, LabelName, Realm, StoreName};

/// One step in the life of a mapping.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Step {
    /// To the front: it acts from now on.
    Promote {
        /// Which alias.
        alias: Alias,
    },
    /// All aliases in a new order.
    Reorder {
        /// Every alias of the mapping, once.
        aliases: Vec<Alias>,
    },
    /// Out of the mapping.
    Retire {
        /// Which alias.
        alias: Alias,
    },
    /// Out of every mapping, and never again, under any alias.
    Revoke {
        /// Which alias.
        alias: Alias,
        /// Since when somebody else may have had the key.
        compromised_at: Option<SystemTime>,
        /// The alias of a new key, made for it by [`super::Rotation::generate`]: at the end of the mapping, and
        /// wherever nothing else would be left.
        replace: Option<Alias>,
    },
    /// To the end of the mapping: it is published and tried, and does not act.
    Stage {
        /// Which alias.
        alias: Alias,
    },
    /// The last step of the label, taken back.
    Undo,
}

impl Step {
    /// What the journal calls it.
    #[must_use]
    pub const fn action(&self) -> Action {
        match self {
            Self::Promote { .. } => Action::Promote,
            Self::Reorder { .. } => Action::Reorder,
            Self::Retire { .. } => Action::Retire,
            Self::Revoke { .. } => Action::Revoke,
            Self::Stage { .. } => Action::Stage,
            Self::Undo => Action::Undo,
        }
    }

    /// The alias that it is about.
    #[must_use]
    pub const fn alias(&self) -> Option<&Alias> {
        match self {
            Self::Promote { alias }
            | Self::Retire { alias }
            | Self::Revoke { alias, .. }
            | Self::Stage { alias } => Some(alias),
            Self::Reorder { .. } | Self::Undo => None,
        }
    }
}

/// A step, where, and why.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "callers build it, from Request::new")]
pub struct Request {
    /// The step.
    pub step: Step,
    /// The label.
    pub label: LabelName,
    /// The realm of the mapping; `None`: global, or for who is here the only one there is.
    pub realm: Option<Realm>,
    /// The store of the mapping; `None`: the only one there is.
    pub store: Option<StoreName>,
    /// Why, for the journal.
    pub reason: Option<String>,
    /// Which closed gates are passed.
    pub overrides: Overrides,
    /// Who asks.
    pub origin: Origin,
}

impl Request {
    /// A step on a label of the global scope, without a reason, through every gate.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Usage`] if `label` is no label.
    pub fn new(step: Step, label: &str) -> Result<Self> {
        Ok(Self {
            step,
            label: crate::catalogue::canonical(&label.parse::<LabelName>()?),
            realm: None,
            store: None,
            reason: None,
            overrides: Overrides::default(),
            origin: Origin::default(),
        })
    }

    /// The command that asks for it, without overrides.
    #[must_use]
    pub fn command(&self) -> String {
        let mut text = format!("claviger {} {}", self.step.action().name(), self.label);
        match &self.step {
            Step::Reorder { aliases } => aliases.iter().for_each(|one| text.push_str(&quoted(one))),
            step => text.extend(step.alias().map(quoted)),
        }
        if let Step::Revoke { compromised_at, replace, .. } = &self.step {
            text.extend(replace.iter().map(|alias| format!(" --replace{}", quoted(alias))));
            text.extend(compromised_at.map(|at| format!(" --compromised-at {}", rfc3339(at))));
        }
        text + &self.place()
    }

    /// The command that makes the key of a [`Step::Stage`] first.
    pub(super) fn generating(&self) -> String {
        let alias = self.step.alias().map(quoted).unwrap_or_default();
        format!("claviger generate{alias} --stage {}{}", self.label, self.place())
    }

    /// The options that say where.
    fn place(&self) -> String {
        let store = self.store.as_ref().map(|store| format!(" --store {store}"));
        store.unwrap_or_default() + &in_realm(self.realm.as_ref())
    }
}

/// The option that says which mapping of a label is meant, as a shell takes it, with a space before it: a scope has one.
pub(super) fn in_realm(realm: Option<&Realm>) -> String {
    realm.map_or_else(String::new, |realm| format!(" --realm {realm}"))
}

/// An alias as a shell takes it, with a space before it.
pub(super) fn quoted(alias: &Alias) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:@".contains(c);
    let alias = alias.as_str();
    if alias.chars().all(plain) {
        format!(" {alias}")
    } else {
        format!(" '{}'", alias.replace('\'', "'\\''"))
    }
}
