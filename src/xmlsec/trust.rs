//! Whose signatures count: the valid aliases of a label, or the certificates of a peer.

use crate::alg::{Algorithm, Curve, Family, Hash};
use crate::crypto::{Key, KeyKind, Role, certificate, sign};
use crate::error::{Error, ErrorKind, Result};
use crate::ops::{KeySet, LabelKey};
use crate::xmlsec::{PeerPolicy, decode_base64};

/// Keys of a peer tried for one signature at most; of a label as many as its `max_tries` lets.
const MAX_TRIES: usize = 16;

/// Keys of somebody else, each prepared once.
#[derive(Clone, Debug)]
pub struct PeerKeys(Vec<PeerKey>);

/// One key of somebody else: in a certificate, or alone.
#[derive(Clone, Debug)]
pub struct PeerKey {
    sha256: String,
    certificate: Option<Vec<u8>>,
    key: Key,
}

impl PeerKey {
    /// From a DER certificate. Its dates and issuer do not matter: it is trusted by itself.
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`], [`ErrorKind::KeyUnfit`], [`ErrorKind::Unsupported`].
    pub fn from_certificate(der: Vec<u8>) -> Result<Self> {
        let sha256 = hex::encode(crate::crypto::sha256(&der));
        let key = Key::from_certificates(vec![der.clone()])?;
        Ok(Self { sha256, certificate: Some(der), key })
    }

    /// From a SubjectPublicKeyInfo in DER.
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`], [`ErrorKind::KeyUnfit`], [`ErrorKind::Unsupported`].
    pub fn from_public(spki: &[u8]) -> Result<Self> {
        let sha256 = hex::encode(crate::crypto::sha256(spki));
        Ok(Self { sha256, certificate: None, key: Key::from_public(spki)? })
    }

    /// SHA-256 in hex: over the certificate, or over the SubjectPublicKeyInfo of a key that stands alone.
    #[must_use]
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// The certificate in DER; `None` for a key that stands alone.
    #[must_use]
    pub fn certificate(&self) -> Option<&[u8]> {
        self.certificate.as_deref()
    }

    /// The public key.
    #[must_use]
    pub const fn key(&self) -> &Key {
        &self.key
    }

    /// Whether XML can be encrypted to it: an RSA key that is not for signatures alone.
    #[must_use]
    pub fn is_recipient(&self) -> bool {
        let row = Algorithm::named("rsa-oaep-mgf1p");
        row.is_ok_and(|row| self.key.fits(row, Role::Encrypt).is_ok())
    }

    /// What the certificate says; `None` for a key that stands alone.
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`].
    pub fn facts(&self) -> Result<Option<certificate::CertificateFacts>> {
        self.certificate().map(certificate::facts).transpose()
    }
}

impl PeerKeys {
    /// These keys in this order, equal ones once.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] if there is none.
    pub fn new(keys: impl IntoIterator<Item = PeerKey>) -> Result<Self> {
        let mut all: Vec<PeerKey> = Vec::new();
        for key in keys {
            if !all.iter().any(|known| known.sha256 == key.sha256) {
                all.push(key);
            }
        }
        if all.is_empty() {
            return Err(Error::new(ErrorKind::Usage, "there is no key to trust"));
        }
        Ok(Self(all))
    }

    /// One DER certificate, or PEM with any number of them; what else the PEM holds is left out.
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`] and the other kinds of [`PeerKey::from_certificate`].
    pub fn from_file(bytes: &[u8]) -> Result<Self> {
        let Ok(text) = std::str::from_utf8(bytes) else {
            return Self::new([PeerKey::from_certificate(bytes.to_vec())?]);
        };
        let mut keys = Vec::new();
        for block in text.split("-----BEGIN CERTIFICATE-----").skip(1) {
            let body = block.split_once("-----END CERTIFICATE-----").map(|(body, _)| body);
            let der = body.and_then(decode_base64).ok_or_else(|| {
                Error::new(ErrorKind::Damaged, "a certificate in the PEM cannot be read")
            })?;
            keys.push(PeerKey::from_certificate(der)?);
        }
        Self::new(keys).map_err(|_| Error::new(ErrorKind::Damaged, "the file has no certificate"))
    }

    /// The keys, in order.
    #[must_use]
    pub fn keys(&self) -> &[PeerKey] {
        &self.0
    }
}

/// Whose signatures count.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_enums, reason = "own labels and peers; there is no third")]
pub enum Trust<'a> {
    /// The certificates of a peer, and those of its keys that have none.
    Certificates(&'a PeerKeys),
    /// Every valid alias of a label.
    Label(&'a KeySet),
}

/// Who made a signature that verified.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Signer {
    /// The alias of the label; `None` for a peer's key.
    pub alias: Option<String>,
    /// SHA-256 of the certificate in hex; `None` for a key without one.
    pub certificate_sha256: Option<String>,
    /// SHA-256 of the SubjectPublicKeyInfo in hex; only of a peer's key without a certificate.
    pub key_sha256: Option<String>,
}

/// A key to try.
pub(crate) struct Candidate<'a> {
    key: &'a Key,
    of: Of<'a>,
}

#[derive(Clone, Copy)]
enum Of<'a> {
    Peer(&'a PeerKey),
    Label(&'a KeySet, &'a LabelKey),
}

impl<'a> Trust<'a> {
    /// Whether the trusted side lets `row` count.
    pub(crate) fn allows(self, row: &'static Algorithm, policy: &PeerPolicy) -> bool {
        let asymmetric =
            matches!(row.family, Family::RsaPkcs1(_) | Family::RsaPss(_) | Family::Ecdsa(..));
        let old = row.family == Family::RsaPkcs1(Hash::Sha1);
        // An HMAC keyed with a public key never counts, since no HMAC does.
        asymmetric
            && match self {
                Self::Certificates(_) => !old || policy.sha1,
                Self::Label(set) => set.algorithms().contains(&row) || (old && policy.sha1),
            }
    }

    /// Why `row` does not count.
    pub(crate) fn why_refused(row: &Algorithm) -> &'static str {
        match row.family {
            Family::RsaPkcs1(Hash::Sha1) => {
                "the signature is made with SHA-1, which the switch sha1 takes"
            }
            _ => "the signature algorithm is not allowed",
        }
    }

    /// Why none of the keys that were tried made a signature.
    pub(crate) fn why_nobody(self, policy: &PeerPolicy, tried: &[Candidate<'_>]) -> &'static str {
        let is_small =
            |peer: &PeerKey| matches!(peer.key.kind(), KeyKind::Rsa { bits: 1024..2048 });
        match self {
            Self::Certificates(peers) if !policy.rsa1024 && peers.0.iter().any(is_small) => {
                "no trusted key of 2048 bits made the signature, and one has fewer, which the switch rsa1024 takes"
            }
            _ if tried.is_empty() => "no trusted key is of a kind that signs with this algorithm",
            _ => "no trusted key made the signature",
        }
    }

    /// Whether SHA-1 counts: a switch of the peer, or the label names it.
    pub(crate) fn allows_sha1(self, policy: &PeerPolicy) -> bool {
        let names = |set: &KeySet| {
            set.algorithms().iter().any(|row| row.family == Family::RsaPkcs1(Hash::Sha1))
        };
        policy.sha1 || matches!(self, Self::Label(set) if names(set))
    }

    /// # Errors
    /// [`ErrorKind::WrongUse`] for a label that does not verify.
    pub(crate) fn require(self) -> Result<()> {
        match self {
            Self::Certificates(_) => Ok(()),
            Self::Label(set) => set.require_use(Role::Verify),
        }
    }

    /// A signature was refused: that is recorded, and nothing that it says.
    pub(crate) fn refused(self) {
        if let Self::Label(set) = self {
            set.witness().refused();
        }
    }

    /// The keys to try for `row`, those whose certificate is `hint` first.
    pub(crate) fn candidates(
        self,
        row: &'static Algorithm,
        policy: &PeerPolicy,
        hint: impl FnOnce() -> Option<Vec<u8>>,
    ) -> Vec<Candidate<'a>> {
        let fits = |key: &Key| {
            key.fits(row, Role::Verify).is_ok() || (policy.rsa1024 && key.kind().bits() >= 1024)
        };
        let mut found: Vec<Candidate<'a>> = match self {
            Self::Certificates(peers) => {
                let fits = |key: &Key| fits(key) || may_pair(row, key);
                let peers = peers.0.iter().filter(|peer| fits(&peer.key));
                peers.map(|peer| Candidate { key: &peer.key, of: Of::Peer(peer) }).collect()
            }
            Self::Label(set) => {
                let keys = set.keys().iter().filter(|one| fits(&one.key));
                keys.map(|one| Candidate { key: &one.key, of: Of::Label(set, one) }).collect()
            }
        };
        if found.len() > 1
            && let Some(hint) = hint()
        {
            found.sort_by_key(|one| one.key.chain().first() != Some(&hint));
        }
        found.truncate(match self {
            Self::Certificates(_) => MAX_TRIES,
            Self::Label(set) => set.policy().limits.max_tries,
        });
        found
    }
}

/// Whether a peer's key may have signed with `row` though its curve is another: JOSE binds hashes to curves, XML does not.
fn may_pair(row: &Algorithm, key: &Key) -> bool {
    let known = [Curve::P256, Curve::P384, Curve::P521].map(KeyKind::Curve);
    matches!(row.family, Family::Ecdsa(..)) && known.contains(&key.kind())
}

impl Candidate<'_> {
    /// Whether this key made `value` over `message`.
    pub(crate) fn made(
        &self,
        row: &'static Algorithm,
        policy: &PeerPolicy,
        message: &[u8],
        value: &[u8],
    ) -> bool {
        if let (Family::Ecdsa(curve, hash), Of::Peer(_)) = (row.family, self.of)
            && self.key.kind() != KeyKind::Curve(curve)
        {
            return sign::verify_ecdsa(self.key, hash, message, value).is_ok();
        }
        sign::verify(self.key, row, message, value).is_ok()
            || (policy.rsa1024 && sign::verify_small_rsa(self.key, row, message, value).is_ok())
    }

    /// An ECDSA value of this key out of DER, as `r‖s`; `None` for anything else.
    pub(crate) fn out_of_der(&self, row: &Algorithm, value: &[u8]) -> Option<Vec<u8>> {
        match (row.family, self.key.kind()) {
            (Family::Ecdsa(..), KeyKind::Curve(curve)) => {
                certificate::ecdsa_fixed(value, curve.coordinate_bytes())
            }
            _ => None,
        }
    }

    /// The key made a signature that holds: its use is counted and recorded.
    pub(crate) fn signer(&self, row: &'static Algorithm) -> Signer {
        match self.of {
            Of::Peer(peer) => {
                let (certificate, key) = match peer.certificate {
                    Some(_) => (Some(peer.sha256.clone()), None),
                    None => (None, Some(peer.sha256.clone())),
                };
                Signer { alias: None, certificate_sha256: certificate, key_sha256: key }
            }
            Of::Label(set, one) => {
                one.usage.verified();
                set.witness_held(one, row);
                let sha256 =
                    self.key.chain().first().map(|leaf| hex::encode(crate::crypto::sha256(leaf)));
                Signer {
                    alias: Some(one.alias.to_string()),
                    certificate_sha256: sha256,
                    key_sha256: None,
                }
            }
        }
    }
}
