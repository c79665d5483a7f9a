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
use std::time::Duration;

use serde_json::{Map, Value};

use super::claims::Head;
use super::kind::{Audience, Kind, Made};
use super::{Accepted, Denylist, Parts, TimeRules, Times, Typ, choice};
use crate::config::{SessionLabel, SessionOrder, SessionSettings};
use crate::error::{Error, ErrorKind, Result};
use crate::keyring::{Keyring, Snapshot};
use crate::label::Realm;
use crate::ops::{Asked, KeySet, RealmView};

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
        self.sessions_in(None)
    }

    /// The same of a realm; `None`: the global scope.
    #[must_use]
    pub fn sessions_in(&self, realm: Option<&Realm>) -> Sessions {
        let (keyring, realm) = (self.clone(), realm.cloned());
        Sessions { keyring, realm, given: None, denylist: None }
    }
}

impl RealmView {
    /// The sessions of this realm: no other realm accepts them, though all share their keys.
    #[must_use]
    pub fn sessions(&self) -> Sessions {
        self.keyring().sessions_in(Some(self.name()))
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
        let SessionSettings { absolute, idle, .. } = settings;
        TimeRules { absolute, idle, skew: Duration::ZERO }.validate()?;
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
        self.now(|now| now.settings.clone())
    }

    /// A new session of these claims.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownLabel`] if no label is mapped; [`ErrorKind::Usage`] for claims that the session sets
    /// itself, and for more than anybody could open again; those of [`super::seal`].
    pub fn seal(&self, claims: &Map<String, Value>) -> Result<Sealed> {
        self.now(|now| now.make(now.kind.start()?, claims))
    }

    /// The keys that act now.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownLabel`] if no label is mapped, [`ErrorKind::Usage`] if nothing is protected.
    pub fn acting(&self) -> Result<Parts<Arc<KeySet>>> {
        self.now(|now| now.acting().map(|keys| keys.map(|set| Arc::clone(set))))
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
        self.now(|now| {
            let keys = parts(now.settings)?.try_map(|labels| {
                let found = asked(labels, now.snapshot, now.kind.realm)?;
                // Of settings that a program has no configuration says what becomes of them.
                let ours = self.given.is_none();
                Ok(if ours { found.into_iter().map(Asked::for_session).collect() } else { found })
            })?;
            now.kind.open(&keys, token)
        })
    }

    /// Whether a session that was opened is still accepted.
    ///
    /// # Errors
    /// [`ErrorKind::TokenRefused`], and what the denylist fails with.
    pub fn check(&self, session: &Accepted) -> Result<()> {
        self.now(|now| now.kind.check(session, self.denylist.as_deref()))
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
        self.now(|now| {
            now.kind.check(session, self.denylist.as_deref())?;
            now.make(now.kind.used(session.head()), claims)
        })
    }

    /// When a session ends unless somebody uses it, and when it ends anyway, in seconds since 1970.
    #[must_use]
    pub fn ends(&self, times: &Times) -> (Option<u64>, u64) {
        self.now(|now| {
            let rules = now.kind.rules.as_ref();
            let end = rules.map_or(times.expires, |rules| times.end(rules));
            (rules.and_then(|rules| times.idle_end(rules)), end)
        })
    }

    /// With the keys, the settings and the kind of session of one moment.
    fn now<T>(&self, act: impl FnOnce(&Now<'_>) -> T) -> T {
        let snapshot = self.keyring.load();
        let config = snapshot.config();
        let settings = self.given.as_deref().unwrap_or(&config.sessions);
        let SessionSettings { absolute, idle, .. } = *settings;
        let kind = Kind {
            typ: Typ::Explicit(TYP),
            zip: settings.zip,
            rules: Some(TimeRules { absolute, idle, skew: config.policy.clock_skew }),
            realm: self.realm.as_ref(),
            issuer: settings.issuer.as_deref(),
            audience: Audience::Free,
            max_json_depth: config.policy.limits.max_json_depth,
            now: self.keyring.clock().now(),
        };
        act(&Now { snapshot: &snapshot, settings, kind })
    }
}

/// What one call works with, from start to end.
struct Now<'n> {
    snapshot: &'n Snapshot,
    settings: &'n SessionSettings,
    kind: Kind<'n>,
}

impl Now<'_> {
    fn acting(&self) -> Result<Parts<&Arc<KeySet>>> {
        parts(self.settings)?.try_map(|labels| {
            let labels = labels.iter().map(|one| &one.label);
            choice::acting(labels, self.snapshot, self.kind.realm)
        })
    }

    fn make(&self, head: Head, claims: &Map<String, Value>) -> Result<Sealed> {
        let keys = self.acting()?.map(|set| &***set);
        let Made { token, claims_bytes } = self.kind.seal(&keys, &head, claims)?;
        let SessionSettings { cookie, zip, .. } = self.settings;
        let size = CookieSize::of(cookie, &token, claims_bytes, &keys, *zip);
        let (Some(id), Some(times)) = (head.id, head.times) else {
            return Err(Error::new(ErrorKind::Bug, "a session without an id"));
        };
        Ok(Sealed { token, id, times, size })
    }
}

/// The sets that open what one of these labels made.
///
/// # Errors
/// [`ErrorKind::UnknownLabel`] if nothing is mapped to any of them.
pub(crate) fn asked<'s>(
    labels: &'s [&'static SessionLabel],
    snapshot: &'s Snapshot,
    realm: Option<&'s Realm>,
) -> Result<Vec<Asked<'s>>> {
    choice::opening(labels.iter().map(|one| &one.label), snapshot, realm)
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
