//! Client-side sessions: claims that a browser carries, signed and encrypted, with idle and absolute time-outs.
//!
//! ```text
//! seal     claims ─► jti iat exp idle seen realm ─► sign ─► encrypt ─► cookie
//! open     cookie ─► decrypt ─► verify ─► parsed once ─► whose, when, denied? ─► Accepted
//! refresh  Accepted ─► the same session, used now; its absolute end stays
//! ```

mod size;

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use serde_json::{Map, Value};

use super::claims::{self, Head};
use super::{Accepted, Denylist, Form, Parts, TimeRules, Times, choice, open, refused, seal};
use crate::config::{SessionLabel, SessionOrder, SessionSettings};
use crate::error::{Error, ErrorKind, Result};
use crate::keyring::{Keyring, Snapshot};
use crate::label::Realm;
use crate::ops::{KeySet, RealmView};

pub use size::CookieSize;

/// The `typ` of every layer of a session.
pub const TYP: &str = "session+jwt";

/// Makes and opens the sessions of one realm, as `[sessions]` says. Cheap to clone; each call works with the
/// snapshot and the settings of its moment.
#[derive(Clone)]
pub struct Sessions {
    keyring: Keyring,
    realm: Option<Realm>,
    given: Option<Arc<SessionSettings>>,
    denylist: Option<Arc<dyn Denylist>>,
}

/// A session as the browser gets it.
#[derive(Clone)]
#[non_exhaustive]
pub struct Sealed {
    /// The cookie's value.
    pub token: String,
    /// `jti`: what a denylist names.
    pub id: String,
    /// When it was made, ends and was used.
    pub times: Times,
    /// How large it is, and what would make it smaller.
    pub size: CookieSize,
}

impl Keyring {
    /// The sessions of the global scope, as `[sessions]` of the configuration says.
    #[must_use]
    pub fn sessions(&self) -> Sessions {
        Sessions { keyring: self.clone(), realm: None, given: None, denylist: None }
    }
}

impl RealmView {
    /// The sessions of this realm: no other realm accepts them, though all share their keys.
    #[must_use]
    pub fn sessions(&self) -> Sessions {
        Sessions { realm: Some(self.name().clone()), ..self.keyring().sessions() }
    }
}

impl Sessions {
    /// The same with other settings than those of the configuration.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] if these settings protect nothing, or a time-out is shorter than a second.
    pub fn with_settings(mut self, settings: SessionSettings) -> Result<Self> {
        if let Some(why) = settings.flaw() {
            return Err(Error::new(ErrorKind::Usage, why)
                .with_help("name labels that sign, and AES to encrypt without them"));
        }
        self.rules(&settings).validate()?;
        self.given = Some(Arc::new(settings));
        Ok(self)
    }

    /// The same, refusing what `denylist` denies.
    #[must_use]
    pub fn with_denylist(mut self, denylist: impl Denylist + 'static) -> Self {
        self.denylist = Some(Arc::new(denylist));
        self
    }

    /// How sessions are made now.
    #[must_use]
    pub fn settings(&self) -> SessionSettings {
        self.with_settings_of_now(SessionSettings::clone)
    }

    /// A new session of these claims.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownLabel`] if no label is mapped; [`ErrorKind::Usage`] for claims that the session sets
    /// itself, and for more than anybody could open again; those of [`seal`].
    pub fn seal(&self, claims: &Map<String, Value>) -> Result<Sealed> {
        self.with_settings_of_now(|settings| {
            let times = Times::start(&self.rules(settings), self.keyring.clock().now());
            let head = self.head(settings, claims::generate_id()?, times);
            self.make(settings, head, claims)
        })
    }

    /// Opens a session that anybody presents.
    ///
    /// # Errors
    /// [`ErrorKind::TokenRefused`] whatever is wrong with it; the source says what. [`ErrorKind::UnknownLabel`]
    /// if no label is mapped, and what the denylist fails with.
    pub fn open(&self, token: &str) -> Result<Accepted> {
        let session = self.open_at_any_time(token)?;
        self.check(&session)?;
        Ok(session)
    }

    /// Opens a session that may have ended or been denied: for operators, never for a decision. Key, realm and
    /// deployment are checked.
    ///
    /// # Errors
    /// As [`Sessions::open`].
    pub fn open_at_any_time(&self, token: &str) -> Result<Accepted> {
        self.with_settings_of_now(|settings| {
            let snapshot = self.keyring.load();
            let keys = parts(settings)?.try_map(|labels| {
                let labels = labels.iter().map(|one| &one.label);
                choice::opening(labels, &snapshot, self.realm.as_ref())
            })?;
            let unsealed = open(TYP, &keys, token)?;
            let (head, claims) = claims::read(&unsealed.payload, true, self.max_json_depth())?;
            if head.realm.as_deref() != self.realm.as_ref().map(Realm::as_str) {
                return Err(refused("it is of another realm"));
            }
            if head.issuer != settings.issuer {
                return Err(refused("it is of another deployment"));
            }
            Ok(Accepted::new(head, claims, unsealed))
        })
    }

    /// Whether a session that was opened is still accepted.
    ///
    /// # Errors
    /// [`ErrorKind::TokenRefused`], and what the denylist fails with.
    pub fn check(&self, session: &Accepted) -> Result<()> {
        let now = self.keyring.clock().now();
        self.with_settings_of_now(|settings| {
            let times = session.times().ok_or_else(|| refused("it has no times"))?;
            times.check(&self.rules(settings), now)
        })?;
        let id = session.id().unwrap_or_default();
        match &self.denylist {
            Some(list) if list.denies(id)? => Err(refused("it was logged out")),
            _ => Ok(()),
        }
    }

    /// The same session, used now: a new idle time-out, the same id and absolute end.
    ///
    /// # Errors
    /// Those of [`Sessions::check`] and [`Sessions::seal`].
    pub fn refresh(&self, session: &Accepted) -> Result<Sealed> {
        self.refresh_with(session, session.claims())
    }

    /// As [`Sessions::refresh`], with other claims.
    ///
    /// # Errors
    /// As [`Sessions::refresh`].
    pub fn refresh_with(&self, session: &Accepted, claims: &Map<String, Value>) -> Result<Sealed> {
        self.check(session)?;
        self.with_settings_of_now(|settings| {
            let head = session.head();
            let (Some(id), Some(times)) = (&head.id, head.times) else {
                return Err(refused("it has no id or no times"));
            };
            let rules = self.rules(settings);
            let times = times.used(&rules, self.keyring.clock().now());
            self.make(settings, self.head(settings, id.clone(), times), claims)
        })
    }

    /// When a session ends unless somebody uses it, and when it ends anyway, in seconds since 1970.
    #[must_use]
    pub fn ends(&self, times: &Times) -> (Option<u64>, u64) {
        self.with_settings_of_now(|settings| {
            let rules = self.rules(settings);
            (times.idle_end(&rules), times.end(&rules))
        })
    }

    /// The present, as the time-outs are reckoned.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        self.keyring.clock().now()
    }

    fn make(
        &self,
        settings: &SessionSettings,
        head: Head,
        claims: &Map<String, Value>,
    ) -> Result<Sealed> {
        let snapshot = self.keyring.load();
        let keys = self.acting(settings, &snapshot)?;
        let payload = claims::write(&head, claims, self.max_json_depth())?;
        let token = seal(&Form { typ: TYP, zip: settings.zip }, &keys, &payload)?;
        let size = CookieSize::of(&settings.cookie, &token, payload.len(), &keys, settings.zip);
        let Head { id, times, .. } = head;
        let (Some(id), Some(times)) = (id, times) else {
            return Err(Error::new(ErrorKind::Bug, "a session without an id"));
        };
        Ok(Sealed { token, id, times, size })
    }

    fn acting<'s>(
        &self,
        settings: &SessionSettings,
        snapshot: &'s Snapshot,
    ) -> Result<Parts<&'s KeySet>> {
        parts(settings)?.try_map(|labels| {
            let labels = labels.iter().map(|one| &one.label);
            choice::acting(labels, snapshot, self.realm.as_ref()).map(|set| &**set)
        })
    }

    fn head(&self, settings: &SessionSettings, id: String, times: Times) -> Head {
        Head {
            id: Some(id),
            times: Some(times),
            realm: self.realm.as_ref().map(ToString::to_string),
            issuer: settings.issuer.clone(),
        }
    }

    fn rules(&self, settings: &SessionSettings) -> TimeRules {
        let SessionSettings { absolute, idle, .. } = *settings;
        TimeRules { absolute, idle, skew: self.keyring.load_config().policy.clock_skew }
    }

    fn max_json_depth(&self) -> usize {
        self.keyring.load_config().policy.limits.max_json_depth
    }

    fn with_settings_of_now<T>(&self, act: impl FnOnce(&SessionSettings) -> T) -> T {
        match &self.given {
            Some(given) => act(given),
            None => act(&self.keyring.load_config().sessions),
        }
    }
}

/// Which labels are asked for what, in which order it is done.
fn parts(settings: &SessionSettings) -> Result<Parts<&[&'static SessionLabel]>> {
    let (signing, encryption) = (settings.signing.as_slice(), settings.encryption.as_slice());
    Ok(match (signing.is_empty(), encryption.is_empty()) {
        (false, true) => Parts::Signed(signing),
        (true, false) => Parts::Encrypted(encryption),
        (false, false) if settings.order == SessionOrder::EncryptThenSign => {
            Parts::EncryptedThenSigned { encryption, signing }
        }
        (false, false) => Parts::SignedThenEncrypted { signing, encryption },
        (true, true) => {
            let text = "sessions that are neither signed nor encrypted protect nothing";
            return Err(Error::new(ErrorKind::Usage, text));
        }
    })
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions")
            .field("realm", &self.realm)
            .field("denylist", &self.denylist.is_some())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealed")
            .field("id", &self.id)
            .field("times", &self.times)
            .finish_non_exhaustive()
    }
}
