//! Opening JWE tokens.

use miniz_oxide::inflate::decompress_slice_iter_to_slice;
use zeroize::Zeroizing;

use super::Decrypted;
use super::parts::{Parts, parse_compact, parse_json};
use crate::alg::{Algorithm, Family, Operation};
use crate::crypto::Role;
use crate::crypto::cipher::{self, KeyManagementHeader};
use crate::error::{ErrorKind, Result};
use crate::jose::header::{Header, Reason};
use crate::jose::{Pass, decode, not_decrypted};
use crate::ops::{Asked, KeySet, LabelKey};
use crate::secret::SecretBytes;

/// Decrypts a compact token with the valid keys of the label.
///
/// # Errors
/// [`crate::error::ErrorKind::NotDecrypted`] whatever is wrong with the token,
/// [`crate::error::ErrorKind::WrongUse`] for the label.
pub fn decrypt(set: &KeySet, token: &str) -> Result<Decrypted> {
    seen(set, decrypt_with(set, token, parse_compact))
}

/// As [`decrypt`], and whoever asks records it.
pub(crate) fn decrypt_unseen(set: &KeySet, token: &str) -> Result<Decrypted> {
    decrypt_with(set, token, parse_compact)
}

/// Decrypts a token in one of the JSON serializations, for the first recipient that one of our keys opens;
/// recipients whose kid names one of them are asked first.
///
/// # Errors
/// As [`decrypt`].
pub fn decrypt_json(set: &KeySet, token: &str) -> Result<Decrypted> {
    seen(set, decrypt_with(set, token, parse_json))
}

fn seen(set: &KeySet, opened: Result<Decrypted>) -> Result<Decrypted> {
    let asked = Asked::from(set);
    match &opened {
        Ok(held) if asked.is_seen() => {
            // EXPOSE: only its `exp` is looked for.
            let content = held.plaintext.expose_secret();
            let inside = claims_inside(content);
            held.is_seen_by(asked, inside.as_deref().map_or(content, Vec::as_slice));
        }
        Err(error) if error.kind() == ErrorKind::NotDecrypted => asked.refused(),
        _ => {}
    }
    opened
}

/// The claims of a nested JWT (RFC 7519 §11.2), which say when it ends; nobody has checked them yet.
fn claims_inside(content: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let mut parts = std::str::from_utf8(content).ok()?.split('.');
    let (_, payload, _) = (decode(parts.next()?)?, parts.next()?, decode(parts.next()?)?);
    let payload = decode(payload).filter(|_| parts.next().is_none())?;
    Some(Zeroizing::new(payload))
}

fn decrypt_with<'t>(
    set: &KeySet,
    token: &'t str,
    parse: fn(&KeySet, &'t str) -> Result<Parts<'t>, Reason>,
) -> Result<Decrypted> {
    set.require_use(Role::Decrypt)?;
    if token.len() > set.policy().limits.max_token_bytes {
        return Err(not_decrypted("the token is larger than its bound"));
    }
    parse(set, token).and_then(|parts| open(set, parts)).map_err(not_decrypted)
}

fn open(set: &KeySet, mut parts: Parts<'_>) -> Result<Decrypted, Reason> {
    // No extension is understood in a JWE (RFC 7797 is of JWS).
    if parts.recipients.iter().any(|(header, _)| header.contains("crit")) {
        return Err("crit names an extension that is not understood");
    }
    let recipients = std::mem::take(&mut parts.recipients);
    let mut last = "there is no recipient";
    for pass in Pass::BOTH {
        let mut tries = pass.tries(set);
        for (header, encrypted_key) in recipients.iter().filter(|one| pass.takes(set, &one.0)) {
            match open_for(set, &parts, header, encrypted_key, &mut tries) {
                Ok(decrypted) => return Ok(decrypted),
                Err(reason) => last = reason,
            }
        }
    }
    Err(last)
}

fn open_for(
    set: &KeySet,
    parts: &Parts<'_>,
    header: &Header,
    encrypted_key: &[u8],
    tries: &mut usize,
) -> Result<Decrypted, Reason> {
    const NOT_ALLOWED: Reason = "the label does not allow the algorithm";
    let algorithm =
        set.find_allowed(header.required("alg")?, Operation::KeyManagement).ok_or(NOT_ALLOWED)?;
    let content =
        set.find_allowed(header.required("enc")?, Operation::Content).ok_or(NOT_ALLOWED)?;
    let zip = match header.text("zip")? {
        None => false,
        Some("DEF") if set.policy().zip => true,
        Some(_) => return Err("zip is off or unknown"),
    };
    let kid = header.kid(set)?;
    let management = read_header(set, header)?;
    let mut last = "no valid key fits kid and algorithm";
    for key in set.candidates(kid, algorithm, Role::Decrypt) {
        *tries = tries.checked_sub(1).ok_or("the bound on keys to try is reached")?;
        last = "no valid key opens it";
        let rows = (algorithm, content);
        let Some(plaintext) = open_with(key, rows, parts, encrypted_key, &management) else {
            continue;
        };
        key.usage.decrypted();
        let plaintext = if zip { inflate(set, &plaintext)? } else { plaintext };
        let (header, key) = (header.clone(), key.clone());
        return Ok(Decrypted { plaintext, header, key, algorithm, content });
    }
    Err(last)
}

fn open_with(
    key: &LabelKey,
    (algorithm, content): (&Algorithm, &Algorithm),
    parts: &Parts<'_>,
    encrypted_key: &[u8],
    management: &KeyManagementHeader,
) -> Option<SecretBytes> {
    let (iv, tag) = (parts.iv.as_ref(), parts.tag.as_ref());
    if algorithm.family == Family::Direct {
        // RFC 7516 §5.2 step 10: there is no encrypted key.
        let direct = encrypted_key.is_empty();
        let open =
            || cipher::open_direct(&key.key, content, iv, &parts.aad, &parts.ciphertext, tag).ok();
        return direct.then(open).flatten();
    }
    let cek = cipher::recover(&key.key, algorithm, content, encrypted_key, management).ok()?;
    // EXPOSE: into the cipher.
    cipher::open(content, cek.expose_secret(), iv, &parts.aad, &parts.ciphertext, tag).ok()
}

/// Inflates what was authenticated, up to the bound (attacks.md J23).
fn inflate(set: &KeySet, deflated: &SecretBytes) -> Result<SecretBytes, Reason> {
    // Into a buffer that does not grow, which would leave copies behind: DEFLATE makes at most 1,032 bytes
    // of one.
    let room = deflated.len().saturating_mul(1_032).min(set.policy().limits.max_inflated_bytes);
    let mut out = Zeroizing::new(vec![0; room]);
    // EXPOSE: into the next owner.
    let input = std::iter::once(deflated.expose_secret());
    decompress_slice_iter_to_slice(&mut out, input, false, true)
        .ok()
        .and_then(|len| out.get(..len).map(SecretBytes::from_slice))
        .ok_or("the content does not inflate within its bound")
}

fn read_header(set: &KeySet, header: &Header) -> Result<KeyManagementHeader, Reason> {
    let p2c = match header.value("p2c") {
        None => None,
        Some(value) => {
            let count = value.as_u64().ok_or("p2c is not a whole number")?;
            let bound = u64::from(set.policy().limits.max_p2c);
            // RFC 7518 §4.8.1.2: at least 1,000; a cap guards against hostile counts.
            if !(1_000..=bound).contains(&count) {
                return Err("p2c is beyond its bound");
            }
            u32::try_from(count).ok()
        }
    };
    Ok(KeyManagementHeader {
        epk: header.ephemeral_key()?,
        apu: header.bytes("apu")?,
        apv: header.bytes("apv")?,
        iv: header.bytes("iv")?,
        tag: header.bytes("tag")?,
        p2s: header.bytes("p2s")?,
        p2c,
    })
}
