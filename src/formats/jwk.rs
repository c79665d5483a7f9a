//! JSON Web Keys and sets, strictly read (RFC 7517, RFC 7518 §6, RFC 8037): every contradiction is refused.

use std::collections::HashSet;

use ::der::Tag;
use ::der::asn1::ObjectIdentifier;
use base64ct::{Base64, Base64Url, Base64UrlUnpadded, Encoding};
use serde_json::{Map, Value};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::alg::Curve;
use crate::error::{Error, ErrorKind, Result};
use crate::json::{self, wipe};
use crate::secret::SecretBytes;

use super::der::{
    bare_algorithm, certificate, context, ec_algorithm, element, private_key_info, rsa_algorithm,
    sequence, spki, unsigned,
};
use super::public_half::{ED448, ED25519, P256, P384, P521, SECP256K1, X448, X25519, public_half};
use super::{Container, ContainerType, Entry, JwkHints, Limits, Material, SecretKeyType};

pub use super::jwk_write::{write, write_set};

type Members = Map<String, Value>;

/// Reads a JWK or a JWK set. In a set a key that is wrong comes out as [`Material::Unreadable`], and one
/// of an unknown `kty` is skipped with a warning (RFC 7517 §5). The alias is the `kid`, else the number.
///
/// # Errors
/// [`ErrorKind::Damaged`] for a text that is not strict JSON, a wrong single key, and a set with one `kid`
/// twice; [`ErrorKind::Unsupported`] for what is not built in.
pub fn read(bytes: &[u8], limits: &Limits) -> Result<Container> {
    let members = json::parse_strict_object(bytes, MAX_DEPTH)
        .map_err(|error| Error::new(ErrorKind::Damaged, format!("the JWK is {error}")))?;
    let mut root = Value::Object(members);
    let container = container(&root, limits);
    wipe(&mut root);
    container
}

/// Whether the text is a set (`keys`) rather than one key; the text is known to begin like an object.
pub(super) fn is_set(bytes: &[u8]) -> bool {
    json::parse_strict_object(bytes, MAX_DEPTH).is_ok_and(|members| {
        let is_set = members.contains_key("keys") && !members.contains_key("kty");
        wipe(&mut Value::Object(members));
        is_set
    })
}

/// The error for a JWK inside a JWE (RFC 7517 §7).
pub(super) fn encrypted() -> Error {
    Error::new(ErrorKind::Unsupported, "encrypted JWKs are not read")
        .with_help("decrypt it first and import the JWK inside")
}

fn container(root: &Value, limits: &Limits) -> Result<Container> {
    let mut warnings = Vec::new();
    let mut entries = Vec::new();
    let Some(keys) = root.get("keys").filter(|_| root.get("kty").is_none()) else {
        let members = root.as_object().ok_or_else(|| wrong("jwk", "not an object"))?;
        if members.contains_key("ciphertext") {
            return Err(encrypted());
        }
        let alias = text(members, "kid")?.unwrap_or("1");
        let entry = entry(members, alias.to_owned())?;
        return Ok(Container {
            container_type: ContainerType::Jwk,
            entries: vec![entry],
            warnings,
        });
    };
    let keys = keys.as_array().ok_or_else(|| wrong("keys", "not an array"))?;
    if keys.len() > limits.max_entries {
        return Err(Error::new(ErrorKind::LimitExceeded, "the set has more keys than the bound"));
    }
    let kids: HashSet<&str> =
        keys.iter().filter_map(|key| key.get("kid").and_then(Value::as_str)).collect();
    let mut named = HashSet::new();
    let mut aliases = HashSet::new();
    for (index, key) in keys.iter().enumerate() {
        let mut number = (index + 1).to_string();
        let unknown = key.get("kty").and_then(Value::as_str).filter(|kty| !KEY_TYPES.contains(kty));
        if let Some(kty) = unknown {
            warnings.push(format!("key {number} skipped: kty {kty:?} is not known"));
            continue;
        }
        if kids.contains(number.as_str()) {
            number.insert_str(0, "key-");
        }
        let kid = key.get("kid").and_then(Value::as_str);
        let kty = key.get("kty").and_then(Value::as_str);
        if kid.is_some() && !named.insert((kid, kty)) {
            return Err(wrong("kid", "one value names two keys of the set"));
        }
        // Keys of different types may share a kid (RFC 7517 §4.5), but not an alias.
        let mut alias = kid.unwrap_or(&number).to_owned();
        if aliases.contains(&alias) {
            warnings
                .push(format!("kid {alias:?} occurs twice: key {number} is \"{alias}#{number}\""));
            alias = format!("{alias}#{number}");
        }
        if !aliases.insert(alias.clone()) {
            return Err(wrong("kid", "one value names two keys of the set"));
        }
        let read = key.as_object().ok_or_else(|| wrong("keys", "a key is not an object"));
        let read = read.and_then(|members| entry(members, alias.clone()));
        entries.push(read.unwrap_or_else(|error| Entry::new(alias, Material::Unreadable(error))));
    }
    Ok(Container { container_type: ContainerType::Jwks, entries, warnings })
}

pub(super) fn entry(members: &Members, alias: String) -> Result<Entry> {
    let kty = text(members, "kty")?.ok_or_else(|| wrong("kty", "missing"))?;
    let hints = hints(members)?;
    let (material, public) = match kty {
        "EC" => ec(members)?,
        "OKP" => okp(members)?,
        "RSA" => rsa(members)?,
        "oct" => (oct(members, &hints)?, Vec::new()),
        _ => {
            let text = "kty is not one of EC, OKP, RSA and oct (case counts)";
            return Err(Error::new(ErrorKind::Unsupported, text));
        }
    };
    check_hints(&hints, kty, text(members, "crv")?)?;
    let chain = chain(members, &public)?;
    if alias.is_empty() || alias.len() > MAX_ALIAS_BYTES || alias.chars().any(char::is_control) {
        return Err(wrong("kid", "empty, over long or with control characters"));
    }
    Ok(Entry { alias, material, chain, hints })
}

fn ec(members: &Members) -> Result<(Material, Vec<u8>)> {
    let (curve, length) = match text(members, "crv")? {
        Some("P-256") => (P256, 32),
        Some("P-384") => (P384, 48),
        Some("P-521") => (P521, 66),
        Some("secp256k1") => (SECP256K1, 32),
        crv => return Err(no_curve(crv, "EC")),
    };
    let mut point = vec![4];
    point.extend_from_slice(&sized(members, "x", length)?);
    point.extend_from_slice(&sized(members, "y", length)?);
    let algorithm = ec_algorithm(&curve)?;
    let public = spki(&algorithm, &point)?;
    if !members.contains_key("d") {
        return Ok((Material::PublicKey(public.clone()), public));
    }
    let scalar = element(Tag::OctetString, &sized(members, "d", length)?)?;
    let mut bits = vec![0];
    bits.extend_from_slice(&point);
    let stored = element(context(1), &element(Tag::BitString, &bits)?)?;
    let bare = private_key_info(&algorithm, &sequence(&[&[2, 1, 1], &scalar])?)?;
    belongs(&bare, &public)?;
    let key = private_key_info(&algorithm, &sequence(&[&[2, 1, 1], &scalar, &stored])?)?;
    Ok((Material::PrivateKey(key), public))
}

/// Why a `crv` is none of its `kty`: missing, of the other type of key, or not built in.
fn no_curve(crv: Option<&str>, kty: &str) -> Error {
    let Some(crv) = crv else { return wrong("crv", "missing") };
    let shown: String = crv.chars().take(MAX_SHOWN).collect();
    let shown = shown.escape_debug();
    if Curve::from_name(crv).is_some() {
        Error::new(ErrorKind::Damaged, format!("crv: \"{shown}\" is not a curve of kty {kty}"))
    } else {
        Error::new(ErrorKind::Unsupported, format!("crv: the curve \"{shown}\" is not built in"))
    }
}

fn okp(members: &Members) -> Result<(Material, Vec<u8>)> {
    let (oid, length): (ObjectIdentifier, usize) = match text(members, "crv")? {
        Some("Ed25519") => (ED25519, 32),
        Some("Ed448") => (ED448, 57),
        Some("X25519") => (X25519, 32),
        Some("X448") => (X448, 56),
        crv => return Err(no_curve(crv, "OKP")),
    };
    let algorithm = bare_algorithm(&oid)?;
    let public = spki(&algorithm, &sized(members, "x", length)?)?;
    if !members.contains_key("d") {
        return Ok((Material::PublicKey(public.clone()), public));
    }
    let seed = element(Tag::OctetString, &sized(members, "d", length)?)?;
    let key = private_key_info(&algorithm, &seed)?;
    belongs(&key, &public)?;
    Ok((Material::PrivateKey(key), public))
}

/// `d` must be of the public point; without a backend for the curve, loading the key decides.
fn belongs(key: &SecretBytes, public: &[u8]) -> Result<()> {
    // EXPOSE: only the public half is derived.
    match public_half(key.expose_secret()) {
        Some(derived) if derived != public => Err(wrong("d", "not of this public key")),
        _ => Ok(()),
    }
}

fn rsa(members: &Members) -> Result<(Material, Vec<u8>)> {
    let modulus = unsigned(&number(members, "n")?)?;
    let exponent = unsigned(&number(members, "e")?)?;
    let public = spki(&rsa_algorithm()?, &sequence(&[&modulus, &exponent])?)?;
    if members.contains_key("oth") {
        return Err(Error::new(ErrorKind::Unsupported, "oth: RSA keys of more than two primes"));
    }
    let present = PRIVATE_RSA.iter().filter(|name| members.contains_key(**name)).count();
    if present == 0 {
        return Ok((Material::PublicKey(public.clone()), public));
    }
    if present != PRIVATE_RSA.len() {
        return Err(wrong("d, p, q, dp, dq, qi", "only some of them: all or none must be there"));
    }
    let mut numbers = vec![Zeroizing::new(vec![2, 1, 0]), modulus, exponent];
    for name in PRIVATE_RSA {
        numbers.push(unsigned(&number(members, name)?)?);
    }
    let numbers: Vec<&[u8]> = numbers.iter().map(|number| number.as_slice()).collect();
    let key = private_key_info(&rsa_algorithm()?, &sequence(&numbers)?)?;
    Ok((Material::PrivateKey(key), public))
}

fn oct(members: &Members, hints: &JwkHints) -> Result<Material> {
    let bytes = symmetric(members)?;
    let alg = hints.alg.as_deref().unwrap_or_default();
    let signs = hints.key_ops.iter().any(|op| op == "sign" || op == "verify");
    let key_type = if alg.starts_with("HS") || signs || hints.usage.as_deref() == Some("sig") {
        SecretKeyType::Hmac
    } else if alg.starts_with("PBES2-") {
        SecretKeyType::Other("oct".to_owned())
    } else if alg.starts_with('A') || hints.usage.is_some() || !hints.key_ops.is_empty() {
        SecretKeyType::Aes
    } else {
        SecretKeyType::Other("oct".to_owned())
    };
    Ok(Material::SecretKey { key_type, bytes: SecretBytes::from_slice(&bytes) })
}

/// `k`: base64url whose spare bits may be set, as node-jose writes it (RFC 4648 §3.5 leaves it open); an
/// import is no token, so that two spellings of one key do no harm.
fn symmetric(members: &Members) -> Result<Zeroizing<Vec<u8>>> {
    let strict = number(members, "k");
    let Some(text) = members.get("k").and_then(Value::as_str) else { return strict };
    let canonical = match (text.len() % 4, text.char_indices().next_back()) {
        (rest @ (2 | 3), Some((at, last))) => {
            let spare = if rest == 2 { 4 } else { 2 };
            BASE64URL.find(last).and_then(|value| {
                let cleared = (value >> spare) << spare;
                let digit = BASE64URL.chars().nth(cleared)?;
                Some(Zeroizing::new(format!("{}{digit}", text.get(..at)?)))
            })
        }
        _ => None,
    };
    match canonical {
        Some(canonical) if strict.is_err() => {
            Base64UrlUnpadded::decode_vec(&canonical).map(Zeroizing::new).or(strict)
        }
        _ => strict,
    }
}

const BASE64URL: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

fn hints(members: &Members) -> Result<JwkHints> {
    let owned = |name| Ok::<_, Error>(text(members, name)?.map(str::to_owned));
    let mut key_ops: Vec<String> = Vec::new();
    if let Some(ops) = members.get("key_ops") {
        let bad = || wrong("key_ops", "not an array of different strings");
        for op in ops.as_array().ok_or_else(bad)? {
            let op = op.as_str().ok_or_else(bad)?;
            if key_ops.len() == MAX_KEY_OPS || key_ops.iter().any(|known| known == op) {
                return Err(bad());
            }
            key_ops.push(op.to_owned());
        }
    }
    Ok(JwkHints { kid: owned("kid")?, alg: owned("alg")?, usage: owned("use")?, key_ops })
}

/// `use`, `key_ops` and `alg` must agree with each other and with the key (RFC 7517 §4.2 to §4.4).
fn check_hints(hints: &JwkHints, kty: &str, crv: Option<&str>) -> Result<()> {
    let usage = hints.usage.as_deref();
    let conflict = hints.key_ops.iter().any(|op| match op.as_str() {
        "sign" | "verify" => usage == Some("enc"),
        "decrypt" | "deriveBits" | "deriveKey" | "encrypt" | "unwrapKey" | "wrapKey" => {
            usage == Some("sig")
        }
        _ => false,
    });
    if conflict {
        return Err(wrong("key_ops", "contradicts use"));
    }
    let Some((signs, fits)) = hints.alg.as_deref().and_then(|alg| algorithm(alg, kty, crv)) else {
        return Ok(());
    };
    let against = hints.key_ops.iter().any(|op| (op == "sign" || op == "verify") != signs);
    if !fits {
        Err(wrong("alg", "does not fit kty and crv"))
    } else if usage == Some(if signs { "enc" } else { "sig" }) || against {
        Err(wrong("alg", "contradicts use or key_ops"))
    } else {
        Ok(())
    }
}

/// Whether `alg` signs, and whether it fits the key; `None` for an algorithm that is not known here.
fn algorithm(alg: &str, kty: &str, crv: Option<&str>) -> Option<(bool, bool)> {
    let montgomery = matches!(crv, Some("X25519" | "X448"));
    let edwards = matches!(crv, Some("Ed25519" | "Ed448"));
    Some(match alg {
        "RS256" | "RS384" | "RS512" | "PS256" | "PS384" | "PS512" => (true, kty == "RSA"),
        "ES256" => (true, crv == Some("P-256")),
        "ES384" => (true, crv == Some("P-384")),
        "ES512" => (true, crv == Some("P-521")),
        "ES256K" => (true, crv == Some("secp256k1")),
        "EdDSA" => (true, edwards),
        "Ed25519" | "Ed448" => (true, crv == Some(alg)),
        "HS256" | "HS384" | "HS512" => (true, kty == "oct"),
        "dir" => (false, kty == "oct"),
        _ if alg.starts_with("RSA") => (false, kty == "RSA"),
        _ if alg.starts_with("ECDH-ES") => (false, kty == "EC" || montgomery),
        _ if alg.starts_with("PBES2-") => (false, kty == "oct"),
        _ if alg.starts_with("A1") || alg.starts_with("A2") => (false, kty == "oct"),
        _ => return None,
    })
}

/// `x5c` (standard base64 with padding, RFC 7517 §4.7): the first certificate is of this key, and the
/// thumbprints, if any, are of the first certificate.
fn chain(members: &Members, public: &[u8]) -> Result<Vec<Vec<u8>>> {
    let Some(list) = members.get("x5c") else { return Ok(Vec::new()) };
    let bad = || wrong("x5c", "not an array of base64 certificates");
    let mut chain = Vec::new();
    for item in list.as_array().filter(|list| list.len() <= MAX_CHAIN).ok_or_else(bad)? {
        let der = Base64::decode_vec(item.as_str().ok_or_else(bad)?).map_err(|_| bad())?;
        certificate(&der).ok_or_else(bad)?;
        chain.push(der);
    }
    let leaf = chain.first().ok_or_else(bad)?;
    if certificate(leaf).is_none_or(|leaf| leaf.public_key().raw != public) {
        return Err(wrong("x5c", "the first certificate is of another key"));
    }
    let prints =
        [("x5t", Sha1::digest(leaf).to_vec()), ("x5t#S256", Sha256::digest(leaf).to_vec())];
    for (name, hash) in prints {
        if text(members, name)?.is_some_and(|said| !is_print(said, &hash)) {
            return Err(wrong(name, "not of the first certificate of x5c"));
        }
    }
    Ok(chain)
}

/// base64url of the digest, or of its hexadecimal digits as Auth0 and WSO2 publish them; some pad it.
fn is_print(said: &str, hash: &[u8]) -> bool {
    let bytes = match said.strip_suffix('=') {
        Some(_) => Base64Url::decode_vec(said),
        None => Base64UrlUnpadded::decode_vec(said),
    };
    bytes.is_ok_and(|said| said == hash || hex::decode(&said).is_ok_and(|digest| digest == hash))
}

fn text<'a>(members: &'a Members, name: &'static str) -> Result<Option<&'a str>> {
    match members.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(wrong(name, "not a string")),
    }
}

/// A base64url member without padding, not empty.
fn number(members: &Members, name: &'static str) -> Result<Zeroizing<Vec<u8>>> {
    let encoded = text(members, name)?.ok_or_else(|| wrong(name, "missing"))?;
    let bytes = Base64UrlUnpadded::decode_vec(encoded)
        .map_err(|_| wrong(name, "not base64url without padding"))?;
    if bytes.is_empty() { Err(wrong(name, "empty")) } else { Ok(Zeroizing::new(bytes)) }
}

fn sized(members: &Members, name: &'static str, length: usize) -> Result<Zeroizing<Vec<u8>>> {
    let bytes = number(members, name)?;
    if bytes.len() == length {
        Ok(bytes)
    } else {
        Err(Error::new(
            ErrorKind::Damaged,
            format!("{name}: {} bytes where the curve has {length}", bytes.len()),
        ))
    }
}

pub(super) fn wrong(member: &'static str, why: &'static str) -> Error {
    Error::new(ErrorKind::Damaged, format!("{member}: {why}"))
}

pub(super) const KEY_TYPES: [&str; 4] = ["EC", "OKP", "RSA", "oct"];
/// In the order of PKCS#1 (RFC 8017 §A.1.2).
pub(super) const PRIVATE_RSA: [&str; 6] = ["d", "p", "q", "dp", "dq", "qi"];
const MAX_ALIAS_BYTES: usize = 4096;
const MAX_CHAIN: usize = 32;
/// Characters of somebody's text in a message.
const MAX_SHOWN: usize = 64;
pub(super) const MAX_DEPTH: usize = 16;
const MAX_KEY_OPS: usize = 16;
