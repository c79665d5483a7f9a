//! Tokens of journeys and of the services around them: each a row of [`PROFILES`].

mod peers;
mod table;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use super::kind::{Audience, Kind, Made};
use super::{Accepted, Choice, Denylist, Parts, TimeRules, refused};
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::keyring::Keyring;
use crate::label::Realm;
use crate::ops::{Asked, KeySet, RealmView};

pub use peers::Expected;
pub use table::{Between, Labels, PROFILES, Profile};

/// Makes and opens the tokens of one profile in one realm. Cheap to clone; each call works with the snapshot of
/// its moment.
#[derive(Clone)]
pub struct Tokens {
    keyring: Keyring,
    realm: Option<Realm>,
    profile: &'static Profile,
    identifier: Option<String>,
    labels: Parts<Choice>,
    life: Option<Duration>,
    idle: Option<Duration>,
    denylist: Option<Arc<dyn Denylist>>,
    peer: Option<Arc<KeySet>>,
    expected: Option<Expected>,
}

impl Keyring {
    /// The tokens of a profile in the global scope. `identifier` is that of the node or module, if it has one.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] if there is no such profile, or the identifier cannot stand in its labels.
    pub fn tokens(&self, profile: &str, identifier: Option<&str>) -> Result<Tokens> {
        Tokens::new(self.clone(), None, profile, identifier)
    }
}

impl RealmView {
    /// The tokens of a profile in this realm: no other realm accepts them, even where keys are global.
    ///
    /// # Errors
    /// As [`Keyring::tokens`].
    pub fn tokens(&self, profile: &str, identifier: Option<&str>) -> Result<Tokens> {
        Tokens::new(self.keyring().clone(), Some(self.name().clone()), profile, identifier)
    }
}

impl Tokens {
    fn new(
        keyring: Keyring,
        realm: Option<Realm>,
        profile: &str,
        identifier: Option<&str>,
    ) -> Result<Self> {
        let profile = Profile::find(profile).ok_or_else(|| unknown(profile))?;
        if identifier.is_some() && !profile.is_identified() {
            let text = format!("profile \"{}\" has no identifier in its labels", profile.name);
            return Err(Error::new(ErrorKind::Usage, text).with_help("leave the identifier out"));
        }
        let labels = profile.parts.try_map(|labels| match identifier {
            Some(_) if !labels.identified.is_empty() => Choice::new(labels.identified, identifier),
            _ => Choice::new(labels.plain, None),
        })?;
        Ok(Self {
            keyring,
            realm,
            profile,
            identifier: identifier.map(str::to_owned),
            labels,
            life: profile.life,
            idle: profile.idle,
            denylist: None,
            peer: None,
            expected: None,
        })
    }

    /// Its row.
    #[must_use]
    pub const fn profile(&self) -> &'static Profile {
        self.profile
    }

    /// The same with other times than those of the row: from the making to the end, and from use to use.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] for a profile whose tokens never end, and for times under a second.
    pub fn with_times(mut self, life: Duration, idle: Option<Duration>) -> Result<Self> {
        if self.profile.life.is_none() {
            let text = format!("tokens of profile \"{}\" never end", self.profile.name);
            return Err(Error::new(ErrorKind::Usage, text).with_help("leave the times out"));
        }
        TimeRules { absolute: life, idle, skew: Duration::ZERO }.validate()?;
        (self.life, self.idle) = (Some(life), idle);
        Ok(self)
    }

    /// The same, refusing what `denylist` denies.
    #[must_use]
    pub fn with_denylist(mut self, denylist: impl Denylist + 'static) -> Self {
        self.denylist = Some(Arc::new(denylist));
        self
    }

    /// A new token of these claims.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownLabel`] if no label is mapped; [`ErrorKind::Usage`] for claims that the profile sets
    /// itself, for those that are missing, and for more than anybody could open again; those of [`super::seal`].
    pub fn seal(&self, claims: &Map<String, Value>) -> Result<String> {
        if let Some(name) = self.profile.required.iter().find(|name| !claims.contains_key(**name)) {
            let text = format!("profile \"{}\" needs the claim \"{name}\"", self.profile.name);
            let help = format!("its tokens have {}", self.profile.required.join(", "));
            return Err(Error::new(ErrorKind::Usage, text).with_help(help));
        }
        self.with_acting_keys(|kind, keys| match self.profile.between {
            Between::Ourselves => {
                let Made { token, .. } = kind.seal(keys, &kind.start()?, claims)?;
                Ok(token)
            }
            Between::Peers => peers::seal(kind, keys, claims),
        })
    }

    /// Opens a token that anybody presents.
    ///
    /// # Errors
    /// [`ErrorKind::TokenRefused`] whatever is wrong with it; the source says what. [`ErrorKind::UnknownLabel`]
    /// if no label is mapped, and what the denylist fails with.
    pub fn open(&self, token: &str) -> Result<Accepted> {
        let snapshot = self.keyring.load();
        let kind = self.kind(snapshot.config());
        let realm = self.realm.as_ref();
        let peer = || self.peer.as_deref().into_iter().map(Asked::from).collect();
        let keys = match &self.peer {
            Some(_) => {
                self.labels.try_map_each(|_| Ok(peer()), |ours| ours.asked(&snapshot, realm))?
            }
            None => self.labels.try_map(|ours| ours.asked(&snapshot, realm))?,
        };
        let opened = match self.profile.between {
            Between::Ourselves => {
                let opened = kind.open(&keys, token)?;
                kind.check(&opened, None)?;
                opened
            }
            Between::Peers => {
                peers::open(&kind, &keys, token, self.profile, self.expected.as_ref())?
            }
        };
        if let Some(name) = self.profile.required.iter().find(|name| !opened.has_claim(name)) {
            return Err(refused(format!("{name} is missing")));
        }
        super::kind::check_denied(&opened, self.denylist.as_deref())?;
        Ok(opened)
    }

    /// The same token, used now: a new idle time-out, the same id and absolute end.
    ///
    /// # Errors
    /// [`ErrorKind::TokenRefused`] if it has ended since; [`ErrorKind::Usage`] for a profile without an idle
    /// time-out.
    pub fn refresh(&self, token: &Accepted) -> Result<String> {
        if self.idle.is_none() {
            let text = format!("tokens of profile \"{}\" have no idle time-out", self.profile.name);
            return Err(Error::new(ErrorKind::Usage, text));
        }
        self.with_acting_keys(|kind, keys| {
            kind.check(token, self.denylist.as_deref())?;
            let Made { token, .. } = kind.seal(keys, &kind.used(token.head()), token.claims())?;
            Ok(token)
        })
    }

    /// The keys that act now; those of a peer, if they were given, encrypt.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownLabel`] if no label is mapped.
    pub fn acting(&self) -> Result<Parts<Arc<KeySet>>> {
        let snapshot = self.keyring.load();
        let ours = |choice: &Choice| choice.acting(&snapshot, self.realm.as_ref()).map(Arc::clone);
        match &self.peer {
            Some(peer) => self.labels.try_map_each(ours, |_| Ok(Arc::clone(peer))),
            None => self.labels.try_map(ours),
        }
    }

    fn with_acting_keys<T>(
        &self,
        act: impl FnOnce(&Kind<'_>, &Parts<&KeySet>) -> Result<T>,
    ) -> Result<T> {
        let snapshot = self.keyring.load();
        let ours =
            |choice: &Choice| choice.acting(&snapshot, self.realm.as_ref()).map(|set| &**set);
        let keys = match self.peer.as_deref() {
            Some(peer) => self.labels.try_map_each(ours, |_| Ok(peer))?,
            None => self.labels.try_map(ours)?,
        };
        act(&self.kind(snapshot.config()), &keys)
    }

    fn kind<'k>(&'k self, config: &'k Config) -> Kind<'k> {
        let skew = config.policy.clock_skew;
        let ours = self.profile.between == Between::Ourselves;
        Kind {
            typ: self.profile.typ,
            zip: false,
            rules: self.life.map(|absolute| TimeRules { absolute, idle: self.idle, skew }),
            realm: self.realm.as_ref().filter(|_| ours),
            issuer: config.sessions.issuer.as_deref().filter(|_| ours),
            audience: if self.profile.is_identified() {
                Audience::Node(self.identifier.as_deref())
            } else {
                Audience::Free
            },
            max_json_depth: config.policy.limits.max_json_depth,
            now: self.keyring.clock().now(),
        }
    }
}

#[cold]
fn unknown(name: &str) -> Error {
    let names: Vec<&str> = PROFILES.iter().map(|row| row.name).collect();
    let text = format!("there is no profile \"{}\"", name.escape_debug());
    Error::new(ErrorKind::Usage, text).with_help(format!("use one of {}", names.join(", ")))
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens")
            .field("profile", &self.profile.name)
            .field("realm", &self.realm)
            .field("labels", &self.labels)
            .finish_non_exhaustive()
    }
}
