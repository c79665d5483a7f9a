//! Connections outlive the anchors of their handshakes: whether a client that was let in still would be.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use arc_swap::ArcSwapOption;
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, UnixTime};

use crate::crypto::certificate;
use crate::error::Result;
use crate::tls::ClientTrust;
use crate::tls::client_auth::refused;

/// A handshake that begins now, under the anchors of this moment.
#[derive(Debug)]
pub struct Admission {
    trust: Arc<ClientTrust>,
    anchors: Option<Arc<RootCertStore>>,
}

impl Admission {
    /// Call it before the handshake: anchors that change during it are then asked again.
    #[must_use]
    pub fn begin(trust: Arc<ClientTrust>) -> Self {
        let anchors = trust.anchors().ok();
        Self { trust, anchors }
    }

    /// The client whose chain the handshake verified, in DER, leaf first.
    #[must_use]
    pub fn of(self, chain: &[CertificateDer<'_>]) -> Admitted {
        let end = |one: &CertificateDer<'_>| certificate::facts(one).ok().map(|one| one.not_after);
        Admitted {
            trust: self.trust,
            ends: chain.iter().skip(1).filter_map(end).collect(),
            ended: AtomicUsize::new(0),
            chain: chain.iter().map(|one| one.clone().into_owned()).collect(),
            by: ArcSwapOption::new(self.anchors),
        }
    }
}

/// A client that a handshake let in by its certificate.
pub struct Admitted {
    trust: Arc<ClientTrust>,
    chain: Vec<CertificateDer<'static>>,
    /// When those between it and its anchor end, in seconds since 1970.
    ends: Vec<i64>,
    /// How many of them had ended when it was let in last.
    ended: AtomicUsize,
    /// The anchors that let it in last.
    by: ArcSwapOption<RootCertStore>,
}

impl Admitted {
    /// Whether the anchors of this moment would let the client in. The chain is checked only if they have changed since
    /// it was checked last, or a certificate between it and them has ended; a client that showed no certificate has none.
    /// The end of its own is for whoever calls to look at.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::NotVerified`].
    pub fn check(&self, now: SystemTime) -> Result<()> {
        let Some((leaf, others)) = self.chain.split_first() else { return Ok(()) };
        let anchors = self.trust.anchors().map_err(|error| refused(error.to_string()))?;
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let ended = self.ends.iter().filter(|end| **end < seconds).count();
        if ended == self.ended.load(Ordering::Relaxed)
            && self.by.load().as_ref().is_some_and(|by| Arc::ptr_eq(by, &anchors))
        {
            return Ok(());
        }
        let now = UnixTime::since_unix_epoch(now);
        self.trust
            .verify(Arc::clone(&anchors), (leaf, others), now)
            .map_err(|error| refused(error.to_string()))?;
        self.by.store(Some(anchors));
        self.ended.store(ended, Ordering::Relaxed);
        Ok(())
    }
}

impl fmt::Debug for Admitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admitted").field("trust", &self.trust).finish_non_exhaustive()
    }
}
