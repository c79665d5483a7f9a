//! Connections outlive the anchors of their handshakes: whether a client that was let in still would be.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwapOption;
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, UnixTime};

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
        Admitted {
            trust: self.trust,
            chain: chain.iter().map(|one| one.clone().into_owned()).collect(),
            by: ArcSwapOption::new(self.anchors),
        }
    }
}

/// A client that a handshake let in by its certificate.
pub struct Admitted {
    trust: Arc<ClientTrust>,
    chain: Vec<CertificateDer<'static>>,
    /// The anchors that let it in last.
    by: ArcSwapOption<RootCertStore>,
}

impl Admitted {
    /// Whether the anchors of this moment would let the client in. The chain is checked only if they have changed since
    /// it was checked last; a client that showed no certificate has none.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::NotVerified`].
    pub fn check(&self, now: SystemTime) -> Result<()> {
        let Some((leaf, others)) = self.chain.split_first() else { return Ok(()) };
        let anchors = self.trust.anchors().map_err(|error| refused(error.to_string()))?;
        if self.by.load().as_ref().is_some_and(|by| Arc::ptr_eq(by, &anchors)) {
            return Ok(());
        }
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let now = UnixTime::since_unix_epoch(now);
        self.trust
            .verify(Arc::clone(&anchors), (leaf, others), now)
            .map_err(|error| refused(error.to_string()))?;
        self.by.store(Some(anchors));
        Ok(())
    }
}

impl fmt::Debug for Admitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admitted").field("trust", &self.trust).finish_non_exhaustive()
    }
}
