//! Certificates, keys and trust anchors from PEM files, read again when their content changes.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::crypto::{Key, certificate, sha256};
use crate::error::{Error, ErrorKind, Result};
use crate::formats::{Container, Limits, Material, Passwords, pem};
use crate::secret::SecretBytes;
use crate::tls::handshake::{FIT, Holder, certified};

/// A larger file holds no chain.
const MAX_BYTES: u64 = 1 << 20;

/// A certificate chain and its private key in PEM files, as the identity of a server.
pub struct FileIdentity {
    chain: PathBuf,
    key: PathBuf,
    now: ArcSwap<CertifiedKey>,
    seen: Seen,
}

impl FileIdentity {
    /// Reads both files, which may be one: the server's certificate comes first, and the key is proven to be its own.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if a file cannot be read; [`ErrorKind::KeyUnfit`] if there is no certificate or no key, the
    /// key is of another certificate or does not sign in TLS; the PEM reader's own.
    pub fn open(chain: &Path, key: &Path) -> Result<Self> {
        let (first, tag) = read_identity(chain, key)?;
        let (chain, key) = (chain.to_owned(), key.to_owned());
        Ok(Self { chain, key, now: ArcSwap::new(first), seen: Seen::new(tag) })
    }

    /// Reads the files again and takes what changed; `false` if nothing did. What was refused once is not told
    /// again until the files change.
    ///
    /// # Errors
    /// As [`FileIdentity::open`]; the identity before stays.
    pub fn refresh(&self) -> Result<bool> {
        if self.seen.knows(tag_of(&[&self.chain, &self.key]))? {
            return Ok(false);
        }
        let (next, tag) = read_identity(&self.chain, &self.key)?;
        self.now.store(next);
        self.seen.set(tag);
        Ok(true)
    }

    /// When the certificate ends, in seconds since 1970.
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`] if it cannot be read.
    pub fn not_after(&self) -> Result<i64> {
        let now = self.now.load();
        let leaf = now.cert.first().map(|leaf| leaf.as_ref()).unwrap_or_default();
        Ok(certificate::facts(leaf)?.not_after)
    }
}

impl ResolvesServerCert for FileIdentity {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.now.load_full())
    }
}

impl fmt::Debug for FileIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileIdentity").field("chain", &self.chain).finish_non_exhaustive()
    }
}

/// The certificates of a PEM file as trust anchors.
pub struct FileAnchors {
    path: PathBuf,
    now: ArcSwap<RootCertStore>,
    seen: Seen,
}

impl FileAnchors {
    /// Reads the file.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if it cannot be read; [`ErrorKind::KeyUnfit`] if no certificate in it is a trust anchor; the
    /// PEM reader's own.
    pub fn open(path: &Path) -> Result<Self> {
        let (first, tag) = read_anchors(path)?;
        let now = ArcSwap::from_pointee(first);
        Ok(Self { path: path.to_owned(), now, seen: Seen::new(tag) })
    }

    /// As [`FileIdentity::refresh`].
    ///
    /// # Errors
    /// As [`FileAnchors::open`]; the anchors before stay.
    pub fn refresh(&self) -> Result<bool> {
        if self.seen.knows(tag_of(&[&self.path]))? {
            return Ok(false);
        }
        let (next, tag) = read_anchors(&self.path)?;
        self.now.store(Arc::new(next));
        self.seen.set(tag);
        Ok(true)
    }

    /// Those of this moment.
    pub(super) fn now(&self) -> Arc<RootCertStore> {
        self.now.load_full()
    }
}

impl fmt::Debug for FileAnchors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileAnchors").field("path", &self.path).finish_non_exhaustive()
    }
}

/// A tag of the content of files.
type Tag = [u8; 32];

/// The content that was looked at last, whether it was taken or refused.
struct Seen(Mutex<Tag>);

impl Seen {
    const fn new(tag: Tag) -> Self {
        Self(Mutex::new(tag))
    }

    /// Whether this is the last one; it is from now on. Files that cannot be read are told once, for the same reason.
    fn knows(&self, found: Result<Tag>) -> Result<bool> {
        let (tag, unread) = match found {
            Ok(tag) => (tag, None),
            Err(error) => (sha256(error.message().as_bytes()), Some(error)),
        };
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = std::mem::replace(&mut *last, tag) == tag;
        unread.filter(|_| !known).map_or(Ok(known), Err)
    }

    fn set(&self, tag: Tag) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = tag;
    }
}

fn tag_of(paths: &[&Path]) -> Result<Tag> {
    let mut tags = Vec::new();
    for path in paths {
        // EXPOSE: into a hash of hashes, which is compared and not kept elsewhere.
        tags.extend(sha256(read(path)?.expose_secret()));
    }
    Ok(sha256(&tags))
}

fn read(path: &Path) -> Result<SecretBytes> {
    let failed = |why: String| {
        Error::new(ErrorKind::Io, format!("cannot read {}: {why}", path.display()))
            .with_help(
                "check the path, and who may read it; it starts at the configuration's directory",
            )
            .with_file(path)
    };
    let facts = fs::metadata(path).map_err(|error| failed(error.to_string()))?;
    if !facts.is_file() || facts.len() > MAX_BYTES {
        return Err(failed("it is no file of at most 1 MiB".into()));
    }
    Ok(SecretBytes::from_vec(fs::read(path).map_err(|error| failed(error.to_string()))?))
}

fn open(path: &Path, bytes: &SecretBytes) -> Result<Container> {
    // EXPOSE: to the reader, which keeps copies in zeroizing owners only.
    pem::read(bytes.expose_secret(), &Passwords::default(), &Limits::default())
        .map_err(|error| error.about(path.display()).with_file(path))
}

fn read_identity(chain: &Path, key: &Path) -> Result<(Arc<CertifiedKey>, Tag)> {
    let unfit = |path: &Path, text: String| {
        Error::new(ErrorKind::KeyUnfit, format!("{}: {text}", path.display())).with_help(FIT)
    };
    let (chain_text, key_text) = (read(chain)?, read(key)?);
    // EXPOSE: into a hash of hashes.
    let tags = [sha256(chain_text.expose_secret()), sha256(key_text.expose_secret())];
    let certificates = open(chain, &chain_text)?.entries.into_iter().flat_map(|one| one.chain);
    let certificates: Vec<Vec<u8>> = certificates.collect();
    if certificates.is_empty() {
        return Err(unfit(chain, "there is no certificate in it".into()));
    }
    let pkcs8 = open(key, &key_text)?.entries.into_iter().find_map(|entry| match entry.material {
        Material::PrivateKey(pkcs8) => Some(Ok(pkcs8)),
        Material::Unreadable(error) => Some(Err(error)),
        _ => None,
    });
    let pkcs8 = pkcs8.ok_or_else(|| unfit(key, "there is no private key in it".into()))?;
    let held = pkcs8.and_then(|pkcs8| Key::from_private(&pkcs8, certificates));
    let held = held.map_err(|error| unfit(key, error.message().to_owned()))?;
    let certified = certified(Holder::File(held));
    let certified = certified.ok_or_else(|| unfit(key, "the key does not sign in TLS".into()))?;
    Ok((certified, sha256(tags.as_flattened())))
}

fn read_anchors(path: &Path) -> Result<(RootCertStore, Tag)> {
    let text = read(path)?;
    // EXPOSE: into a hash of hashes; certificates are public.
    let tag = sha256(&sha256(text.expose_secret()));
    let mut roots = RootCertStore::empty();
    let all = open(path, &text)?.entries.into_iter().flat_map(|entry| entry.chain);
    let (added, _) = roots.add_parsable_certificates(all.map(CertificateDer::from));
    if added == 0 {
        let text = format!("{}: no certificate in it is a trust anchor", path.display());
        return Err(Error::new(ErrorKind::KeyUnfit, text)
            .with_help("name the certificates of the authorities that sign client certificates"));
    }
    Ok((roots, tag))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_files_is_told_once_also_that_they_are_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let put = |text: &[u8]| fs::write(&path, text).unwrap();
        let pem = fs::read("keystores/openssl.pem").unwrap();
        put(&pem);
        let anchors = FileAnchors::open(&path).unwrap();
        for wrong in [None, Some("no certificate"), None] {
            match wrong {
                Some(text) => put(text.as_bytes()),
                None => fs::remove_file(&path).unwrap(),
            }
            assert!(anchors.refresh().is_err());
            assert!(!anchors.refresh().unwrap() && !anchors.refresh().unwrap());
        }
        put(&pem);
        assert!(anchors.refresh().unwrap() && !anchors.refresh().unwrap());
    }
}
