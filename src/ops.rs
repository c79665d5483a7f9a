//! The label API: handles through which tokens are made and checked, without ever holding a key.

use std::sync::Arc;

use crate::alg::{Algorithm, Operation};
pub use crate::crypto::GivenDigest;
pub use crate::crypto::Role;
use crate::crypto::{self, sign};
use crate::error::{Error, ErrorKind, Result};
pub(crate) use crate::keyring::acting::End;
pub use crate::keyring::keyset::{Candidates, KeySet, KeySetPolicy, LabelKey};
pub use crate::keyring::peer::{PeerKeySet, PeerRules, SkippedKey};
pub(crate) use crate::keyring::seen::Asked;
use crate::keyring::{Keyring, Place, Snapshot};
use crate::label::{LabelName, Realm};
use crate::usage::Life;

/// A label as one realm sees it. Cheap to clone; it follows reloads: each call works with the snapshot of
/// its moment, from start to end. Calls take no lock, and look the label up by name only once a snapshot.
#[derive(Clone, Debug)]
pub struct Label(Arc<Handle>);

#[derive(Debug)]
struct Handle {
    keyring: Keyring,
    realm: Option<Realm>,
    name: LabelName,
    place: Place,
}

impl Keyring {
    /// A handle on a label of the global scope.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] if the name is no label, [`ErrorKind::UnknownLabel`] if nothing is mapped to it.
    pub fn label(&self, name: &str) -> Result<Label> {
        self.label_in(None, name)
    }

    /// The labels as a realm sees them.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] if the name is no realm.
    pub fn realm(&self, name: &str) -> Result<RealmView> {
        Ok(RealmView { keyring: self.clone(), realm: name.parse()? })
    }

    fn label_in(&self, realm: Option<&Realm>, name: &str) -> Result<Label> {
        let name: LabelName = crate::catalogue::canonical(&name.parse()?);
        let place = Place::default();
        self.load().keys_at(&place, realm, &name)?;
        Ok(Label(Arc::new(Handle { keyring: self.clone(), realm: realm.cloned(), name, place })))
    }
}

/// The labels as one realm sees them.
#[derive(Clone, Debug)]
pub struct RealmView {
    keyring: Keyring,
    realm: Realm,
}

impl RealmView {
    /// The realm.
    #[must_use]
    pub const fn name(&self) -> &Realm {
        &self.realm
    }

    /// The keyring that it is a view of.
    #[must_use]
    pub const fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// A handle on a label of this realm: its own mapping, else the global one.
    ///
    /// # Errors
    /// As [`Keyring::label`].
    pub fn label(&self, name: &str) -> Result<Label> {
        self.keyring.label_in(Some(&self.realm), name)
    }
}

impl Label {
    /// The label's name.
    #[must_use]
    pub fn name(&self) -> &LabelName {
        &self.0.name
    }

    /// What stands behind the label now.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownLabel`] if a reload took the mapping away.
    pub fn keys(&self) -> Result<Arc<KeySet>> {
        let handle = &*self.0;
        let snapshot = handle.keyring.load();
        let set = snapshot.keys_at(&handle.place, handle.realm.as_ref(), &handle.name)?;
        Ok(self.recorded(set).map_or_else(|| Arc::clone(set), Arc::new))
    }

    /// As [`Label::keys`], for the length of one call.
    pub(crate) fn with_keys<T>(&self, act: impl FnOnce(&KeySet) -> Result<T>) -> Result<T> {
        let handle = &*self.0;
        let snapshot = handle.keyring.load();
        let set = snapshot.keys_at(&handle.place, handle.realm.as_ref(), &handle.name)?;
        match self.recorded(set) {
            Some(set) => act(&set),
            None => act(set),
        }
    }

    /// Where uses are recorded, and another label or the global scope stands in: a copy that is recorded as
    /// what was asked for.
    fn recorded(&self, set: &KeySet) -> Option<KeySet> {
        let handle = &*self.0;
        let witness = set.witness().asked_as(&handle.name, handle.realm.as_ref())?;
        Some(set.clone().seen_by(witness))
    }

    /// Shows the active secret of a password label to `read`; it is not copied.
    ///
    /// # Errors
    /// [`ErrorKind::WrongUse`] for labels that are no passwords.
    pub fn reveal<T>(&self, read: impl FnOnce(&[u8]) -> T) -> Result<T> {
        self.with_keys(|keys| {
            let secret = keys.uses().contains(&crate::catalogue::LabelUse::Secret);
            let shown = if secret { keys.active().key.reveal(read) } else { None };
            shown.ok_or_else(|| {
                let text =
                    format!("label \"{}\" is no password: its key stays inside", self.name());
                Error::new(ErrorKind::WrongUse, text)
            })
        })
    }
}

impl Label {
    /// As [`sign_digest`].
    ///
    /// # Errors
    /// As [`sign_digest`].
    pub fn sign_digest(
        &self,
        digest: &GivenDigest,
        algorithm: Option<&str>,
    ) -> Result<(Vec<u8>, &'static Algorithm)> {
        self.with_keys(|keys| sign_digest(keys, digest, algorithm))
    }

    /// As [`verify_digest`].
    ///
    /// # Errors
    /// As [`verify_digest`].
    pub fn verify_digest(
        &self,
        digest: &GivenDigest,
        signature: &[u8],
        algorithm: Option<&str>,
    ) -> Result<(Arc<LabelKey>, &'static Algorithm)> {
        self.with_keys(|keys| {
            let (key, algorithm) = verify_digest(keys, digest, signature, algorithm)?;
            Ok((Arc::clone(key), algorithm))
        })
    }
}

/// What stands behind a label in one snapshot, for who holds it over several calls.
///
/// # Errors
/// [`ErrorKind::UnknownLabel`] if nothing is mapped to it.
pub fn keys_of(
    snapshot: &Snapshot,
    realm: Option<&Realm>,
    label: &LabelName,
) -> Result<Arc<KeySet>> {
    Ok(witnessed(snapshot.keys(realm, label)?, realm, label))
}

/// As [`keys_of`], through the place where the label stood before.
///
/// # Errors
/// As [`keys_of`].
#[cfg(feature = "service")]
pub(crate) fn keys_at(
    snapshot: &Snapshot,
    place: &Place,
    realm: Option<&Realm>,
    label: &LabelName,
) -> Result<Arc<KeySet>> {
    Ok(witnessed(snapshot.keys_at(place, realm, label)?, realm, label))
}

fn witnessed(set: &Arc<KeySet>, realm: Option<&Realm>, label: &LabelName) -> Arc<KeySet> {
    let witness = set.witness().asked_as(label, realm);
    witness.map_or_else(|| Arc::clone(set), |seen| Arc::new(KeySet::clone(set).seen_by(seen)))
}

/// Signs bytes as they are with the active key: the bare signature, ECDSA as `r‖s`.
///
/// # Errors
/// [`ErrorKind::WrongUse`], [`ErrorKind::AlgorithmNotAllowed`].
pub fn sign_raw(
    set: &KeySet,
    message: &[u8],
    algorithm: Option<&str>,
) -> Result<(Vec<u8>, &'static Algorithm)> {
    set.require_use(Role::Sign)?;
    let algorithm = match algorithm {
        Some(name) => set.allowed(name, Operation::Sign)?,
        None => set.preferred(Operation::Sign, Role::Sign)?,
    };
    let mut buffer = [0; sign::MAX_SIGNATURE_BYTES];
    let signature = set.sign_bytes(algorithm, (message, None), &mut buffer)?;
    Ok((signature.to_vec(), algorithm))
}

/// Signs a digest that was made elsewhere with the active key: RSA and ECDSA, whose hash it must be of. The bare
/// signature comes back, ECDSA as `r‖s`.
///
/// # Errors
/// [`ErrorKind::WrongUse`], [`ErrorKind::AlgorithmNotAllowed`]; [`ErrorKind::Usage`] if the algorithm signs no digest
/// of this hash.
pub fn sign_digest(
    set: &KeySet,
    digest: &GivenDigest,
    algorithm: Option<&str>,
) -> Result<(Vec<u8>, &'static Algorithm)> {
    set.require_use(Role::Sign)?;
    let named = algorithm.map(|name| set.allowed(name, Operation::Sign)).transpose()?;
    let found = match named {
        Some(row) => Some(row).filter(|row| digest.fits(row)),
        None => set.preferred_of(Operation::Sign, Role::Sign, |row| digest.fits(row)),
    };
    let algorithm = found.ok_or_else(|| signs_no_digest(set, digest, named))?;
    let mut buffer = [0; sign::MAX_SIGNATURE_BYTES];
    let signature = set.sign_given(algorithm, digest, &mut buffer)?;
    Ok((signature.to_vec(), algorithm))
}

/// Checks a bare signature of a digest that was made elsewhere, as [`verify_raw`] does of a message.
///
/// # Errors
/// As [`verify_raw`] and [`sign_digest`].
pub fn verify_digest<'s>(
    set: &'s KeySet,
    digest: &GivenDigest,
    signature: &[u8],
    algorithm: Option<&str>,
) -> Result<(&'s Arc<LabelKey>, &'static Algorithm)> {
    set.require_use(Role::Verify)?;
    let named = algorithm.map(|name| set.allowed(name, Operation::Sign)).transpose()?;
    let rows: Vec<&'static Algorithm> = named
        .map_or_else(|| signing_rows(set), |row| vec![row])
        .into_iter()
        .filter(|row| digest.fits(row))
        .collect();
    if rows.is_empty() {
        return Err(signs_no_digest(set, digest, named));
    }
    verified(set, rows, |key, row| crypto::verify_digest(key, row, digest, signature))
}

fn signs_no_digest(set: &KeySet, digest: &GivenDigest, named: Option<&Algorithm>) -> Error {
    let hash = digest.hash().name();
    let text = match named {
        Some(row) => format!("{row} signs no digest of {hash}"),
        None => format!("label \"{}\" signs no digest of {hash}", set.label()),
    };
    Error::new(ErrorKind::Usage, text).with_help(
        "ECDSA and RSA sign digests of their own hash; EdDSA and HMAC need the message itself",
    )
}

/// Checks a bare signature with every valid key; the one that made it comes back. Without an algorithm
/// every allowed one is tried.
///
/// # Errors
/// [`ErrorKind::NotVerified`], [`ErrorKind::WrongUse`], [`ErrorKind::AlgorithmNotAllowed`].
pub fn verify_raw<'s>(
    set: &'s KeySet,
    message: &[u8],
    signature: &[u8],
    algorithm: Option<&str>,
) -> Result<(&'s Arc<LabelKey>, &'static Algorithm)> {
    set.require_use(Role::Verify)?;
    let rows = match algorithm {
        Some(name) => vec![set.allowed(name, Operation::Sign)?],
        None => signing_rows(set),
    };
    verified(set, rows, |key, row| sign::verify(key, row, message, signature))
}

fn signing_rows(set: &KeySet) -> Vec<&'static Algorithm> {
    let rows = set.algorithms().iter().copied();
    rows.filter(|row| row.operation == Operation::Sign).collect()
}

/// The key and the row with which a check holds.
fn verified<'s>(
    set: &'s KeySet,
    rows: Vec<&'static Algorithm>,
    check: impl Fn(&crypto::Key, &Algorithm) -> Result<()>,
) -> Result<(&'s Arc<LabelKey>, &'static Algorithm)> {
    for row in rows {
        for key in set.candidates(None, row, Role::Verify) {
            if check(&key.key, row).is_ok() {
                key.usage.verified();
                set.witness_verified(None, key, row, Life::Open);
                return Ok((key, row));
            }
        }
    }
    set.witness().refused();
    Err(Error::new(ErrorKind::NotVerified, "the signature does not verify"))
}
