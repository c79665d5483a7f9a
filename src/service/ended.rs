//! Sessions that were ended before their time.

use std::sync::Arc;

use super::spent::Spent;
use crate::clock::Clock;
use crate::crypto::sha256;
use crate::error::Result;
use crate::label::Realm;
use crate::profiles::Denylist;

/// The file in `state_dir`.
pub(super) const FILE: &str = "ended-sessions";

/// Those of one realm.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    spent: Arc<Spent>,
    realm: Option<Realm>,
    clock: Clock,
}

impl Ended {
    pub(crate) fn of(spent: &Arc<Spent>, realm: Option<&Realm>, clock: &Clock) -> Self {
        Self { spent: Arc::clone(spent), realm: realm.cloned(), clock: clock.clone() }
    }

    /// Ends a session, until its token ends by itself.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Busy`], [`crate::error::ErrorKind::Io`]: it is not ended then.
    pub(crate) fn end(&self, id: &str, until: u64) -> Result<()> {
        let end = until.saturating_add(1);
        self.spent.add(self.realm.as_ref(), &sha256(id.as_bytes()), end, self.clock.now()).map(drop)
    }
}

impl Denylist for Ended {
    fn denies(&self, id: &str) -> Result<bool> {
        self.spent.has(self.realm.as_ref(), &sha256(id.as_bytes()), self.clock.now())
    }
}
