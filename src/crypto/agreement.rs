//! ECDH-ES: agreement with an ephemeral key and the Concat KDF (RFC 7518 §4.6).

use aws_lc_rs::agreement::{self, PrivateKey, UnparsedPublicKey, agree};
use aws_lc_rs::kdf::{SskdfDigestAlgorithmId, get_sskdf_digest_algorithm, sskdf_digest};

use crate::alg::Curve;
use crate::crypto::cipher::KeyManagementHeader;
use crate::crypto::foreign::ForeignKey;
use crate::crypto::prepared::Prepared;
use crate::crypto::{Key, PublicParameters};
use crate::error::{Error, ErrorKind, Result};
use crate::secret::SecretBytes;

/// The sender: a fresh ephemeral key against the receiver's public one. `purpose` is `enc` for direct
/// agreement, else `alg` (RFC 7518 §4.6.2).
pub(in crate::crypto) fn send(
    key: &Key,
    purpose: &str,
    size: usize,
    header: &KeyManagementHeader,
) -> Result<(SecretBytes, PublicParameters)> {
    let failed = || Error::new(ErrorKind::KeyUnfit, format!("{} cannot do ECDH-ES", key.kind()));
    let theirs = key.public_parameters().ok_or_else(failed)?;
    if let Prepared::Foreign(receiver) = key.prepared() {
        let secret = ForeignKey::generate(Curve::X448)?;
        let (ephemeral, x) = ForeignKey::from_private(Curve::X448, &secret)?;
        let shared = ephemeral.agree(receiver).ok_or_else(failed)?;
        let derived = derive(&shared, purpose, size, header).ok_or_else(failed)?;
        return Ok((derived, PublicParameters::Okp { curve: Curve::X448, x }));
    }
    let algorithm = algorithm_of(theirs).ok_or_else(failed)?;
    let ephemeral = PrivateKey::generate(algorithm).map_err(|_| failed())?;
    let public = ephemeral.compute_public_key().map_err(|_| failed())?;
    let epk = parameters(theirs, public.as_ref()).ok_or_else(failed)?;
    let peer = UnparsedPublicKey::new(algorithm, encoded(theirs));
    let derived =
        agree(&ephemeral, peer, (), |shared| derive(shared, purpose, size, header).ok_or(()));
    Ok((derived.map_err(|()| failed())?, epk))
}

/// The receiver: the private key against `epk`. The point is validated before use; on X25519
/// and X448 an all-zero secret is refused (attacks.md J24).
pub(in crate::crypto) fn receive(
    key: &Key,
    purpose: &str,
    size: usize,
    header: &KeyManagementHeader,
) -> Option<SecretBytes> {
    let epk = header.epk.as_ref()?;
    let ours = key.public_parameters()?;
    let algorithm = algorithm_of(epk);
    match (key.prepared(), epk, ours) {
        (
            Prepared::Foreign(private),
            PublicParameters::Okp { curve: Curve::X448, x },
            PublicParameters::Okp { curve: Curve::X448, .. },
        ) => {
            let peer = ForeignKey::from_public(Curve::X448, x).ok()?;
            let shared = private.agree(&peer)?;
            if is_zero(&shared) { None } else { derive(&shared, purpose, size, header) }
        }
        (
            Prepared::X25519 { private },
            PublicParameters::Okp { curve: Curve::X25519, x },
            PublicParameters::Okp { .. },
        ) => {
            let peer = UnparsedPublicKey::new(&agreement::X25519, x);
            agree(private.as_ref()?, peer, (), |shared| {
                if is_zero(shared) {
                    Err(())
                } else {
                    derive(shared, purpose, size, header).ok_or(())
                }
            })
            .ok()
        }
        (
            Prepared::Elliptic(elliptic),
            PublicParameters::Ec { curve, .. },
            PublicParameters::Ec { curve: own, .. },
        ) if curve == own => {
            let peer = UnparsedPublicKey::new(algorithm?, encoded(epk));
            agree(elliptic.agreement.as_ref()?, peer, (), |shared| {
                derive(shared, purpose, size, header).ok_or(())
            })
            .ok()
        }
        _ => None,
    }
}

/// A peer of small order (RFC 7748 §6.1). On the NIST curves zero is the x of an ordinary point.
fn is_zero(shared: &[u8]) -> bool {
    shared.iter().fold(0, |sum, byte| sum | byte) == 0
}

/// Concat KDF with SHA-256 (NIST SP 800-56A §5.8.1): the one-step KDF of aws-lc-rs over
/// AlgorithmID ‖ PartyUInfo ‖ PartyVInfo ‖ SuppPubInfo (RFC 7518 §4.6.2).
fn derive(
    shared: &[u8],
    purpose: &str,
    size: usize,
    header: &KeyManagementHeader,
) -> Option<SecretBytes> {
    // Room for AlgorithmID and SuppPubInfo; the parties are rarely named.
    let mut info = Vec::with_capacity(64);
    for part in [
        purpose.as_bytes(),
        header.apu.as_deref().unwrap_or_default(),
        header.apv.as_deref().unwrap_or_default(),
    ] {
        info.extend_from_slice(&u32::try_from(part.len()).ok()?.to_be_bytes());
        info.extend_from_slice(part);
    }
    info.extend_from_slice(&u32::try_from(size * 8).ok()?.to_be_bytes());
    let mut out = vec![0; size];
    let digest = get_sskdf_digest_algorithm(SskdfDigestAlgorithmId::Sha256)?;
    sskdf_digest(digest, shared, &info, &mut out).ok()?;
    Some(SecretBytes::from_vec(out))
}

const fn algorithm_of(public: &PublicParameters) -> Option<&'static agreement::Algorithm> {
    match public {
        PublicParameters::Ec { curve: Curve::P256, .. } => Some(&agreement::ECDH_P256),
        PublicParameters::Ec { curve: Curve::P384, .. } => Some(&agreement::ECDH_P384),
        PublicParameters::Ec { curve: Curve::P521, .. } => Some(&agreement::ECDH_P521),
        PublicParameters::Okp { curve: Curve::X25519, .. } => Some(&agreement::X25519),
        _ => None,
    }
}

fn encoded(public: &PublicParameters) -> Vec<u8> {
    match public {
        PublicParameters::Ec { x, y, .. } => [&[4], x.as_slice(), y].concat(),
        PublicParameters::Okp { x, .. } => x.clone(),
        PublicParameters::Rsa { .. } => Vec::new(),
    }
}

/// A public key of the same type as `like`, from its encoding.
fn parameters(like: &PublicParameters, encoded: &[u8]) -> Option<PublicParameters> {
    match like {
        PublicParameters::Ec { curve, .. } => {
            let xy = encoded.get(1..)?;
            let (x, y) = xy.split_at(xy.len() / 2);
            Some(PublicParameters::Ec { curve: *curve, x: x.to_vec(), y: y.to_vec() })
        }
        PublicParameters::Okp { curve, .. } => {
            Some(PublicParameters::Okp { curve: *curve, x: encoded.to_vec() })
        }
        PublicParameters::Rsa { .. } => None,
    }
}
