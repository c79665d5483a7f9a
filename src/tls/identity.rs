//! The certificate and key of a label as a TLS identity, of a server or a client (RFC 8446 §4.4).

use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::catalogue::LabelUse;
use crate::error::{Error, ErrorKind, Result};
use crate::ops::Label;
use crate::tls::handshake::{Holder, certified};

/// The active alias of a label whose use is `mtls`: its chain is shown, its key signs.
#[derive(Clone, Debug)]
pub struct Identity(Label);

impl Identity {
    /// The identity of a label.
    ///
    /// # Errors
    /// [`ErrorKind::WrongUse`] for a label that is not for `mtls`; [`ErrorKind::KeyUnfit`] for an active key
    /// without a certificate, or of a type that TLS does not sign with; [`ErrorKind::UnknownLabel`].
    pub fn new(label: Label) -> Result<Self> {
        super::require(&label, LabelUse::Mtls)?;
        let active = Arc::clone(label.keys()?.active());
        if certified(Holder::Label(Arc::clone(&active))).is_none() {
            let text = format!(
                "label \"{}\", alias \"{}\": no certificate with a key that signs in TLS",
                label.name(),
                active.alias
            );
            return Err(Error::new(ErrorKind::KeyUnfit, text).with_help(super::handshake::FIT));
        }
        Ok(Self(label))
    }

    /// That of the active alias now; `None` once a reload took it away, and the handshake fails.
    fn now(&self) -> Option<Arc<CertifiedKey>> {
        let active = self.0.keys().map(|keys| Arc::clone(keys.active()));
        let found = active.ok().and_then(|active| certified(Holder::Label(active)));
        if found.is_none() {
            log::warn!("label \"{}\" has no identity for TLS any more", self.0.name());
        }
        found
    }
}

impl ResolvesServerCert for Identity {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.now()
    }
}

impl ResolvesClientCert for Identity {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.now()
    }

    fn has_certs(&self) -> bool {
        true
    }
}
