//! Whether what lies on disk serves and no rotation is late: for `/readyz`, and for figures.

use std::sync::Arc;

use super::Audit;
use super::schedule::Lateness;
use crate::clock::Clock;
use crate::keyring::Keyring;

/// Why a service is not ready.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Reason {
    /// Audit lines cannot be written, and uses are not answered without.
    AuditUnavailable,
    /// What lies on disk is refused, and an older snapshot serves.
    ReloadRefused,
    /// A store was not read again in time.
    StoreStale,
    /// A step of a schedule has been due for a day, or nobody has run them for one since something changed.
    RotationOverdue,
}

impl Reason {
    pub(super) const ALL: [Self; 4] =
        [Self::AuditUnavailable, Self::ReloadRefused, Self::StoreStale, Self::RotationOverdue];

    /// As answers and figures have it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::AuditUnavailable => "audit_unavailable",
            Self::ReloadRefused => "reload_refused",
            Self::StoreStale => "store_stale",
            Self::RotationOverdue => "rotation_overdue",
        }
    }
}

/// Looks at a keyring.
#[derive(Debug)]
pub(super) struct Readiness {
    keyring: Keyring,
    clock: Clock,
    lateness: Lateness,
    audit: Option<Arc<Audit>>,
}

impl Readiness {
    pub(super) fn of(keyring: Keyring, clock: Clock, audit: Option<Arc<Audit>>) -> Self {
        Self { keyring, clock, lateness: Lateness::default(), audit }
    }

    /// Why it is not ready; empty if it is. Reads files now and then.
    pub(super) fn reasons(&self) -> Vec<Reason> {
        let status = self.keyring.status();
        let holds = |reason: &Reason| match reason {
            Reason::AuditUnavailable => self.audit.as_ref().is_some_and(|one| one.stops_uses()),
            Reason::ReloadRefused => status.refused.is_some(),
            Reason::StoreStale => status.stores.iter().any(|store| store.stale),
            Reason::RotationOverdue => self.lateness.is_late(&self.keyring, &self.clock),
        };
        Reason::ALL.into_iter().filter(holds).collect()
    }
}
