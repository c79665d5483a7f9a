//! JSON Web Encryption (RFC 7516) over the keys of a label.

use miniz_oxide::deflate::compress_to_vec;
use miniz_oxide::inflate::decompress_to_vec_with_limit;
use serde_json::{Map, Value, json};

use super::header::{Header, Reason, parse_protected};
use super::{Serialization, decode, encode, jwk, not_decrypted};
use crate::alg::{Algorithm, Operation};
use crate::crypto::Role;
use crate::crypto::cipher::{self, KeyManagementHeader};
use crate::error::{Error, ErrorKind, Result};
use crate::json;
use crate::ops::{KeySet, LabelKey};
use crate::secret::SecretBytes;

/// How a token is encrypted. The default: compact, the label's preferred algorithms, with a kid.
#[derive(Clone, Debug, Default)]
pub struct EncryptOptions {
    /// `alg`; absent: the label's first that fits its active key.
    pub algorithm: Option<String>,
    /// `enc`; absent: the label's first that fits.
    pub content: Option<String>,
    /// `typ`.
    pub typ: Option<String>,
    /// `cty`.
    pub cty: Option<String>,
    /// `apu`, decoded (RFC 7518 §4.6.1.2).
    pub apu: Option<Vec<u8>>,
    /// `apv`, decoded.
    pub apv: Option<Vec<u8>>,
    /// Additional authenticated data; JSON serializations only.
    pub aad: Option<Vec<u8>>,
    /// Compresses before encrypting; the label must allow `zip`.
    pub zip: bool,
    /// How it is written.
    pub serialization: Serialization,
    /// Leaves `kid` out.
    pub without_kid: bool,
}

/// A token that decrypted.
#[derive(Debug)]
#[must_use]
#[non_exhaustive]
pub struct Decrypted {
    /// The plaintext.
    pub plaintext: SecretBytes,
    /// The header of the recipient that held, all members together.
    pub header: Map<String, Value>,
    /// The key that decrypted.
    pub key: LabelKey,
    /// `alg`.
    pub algorithm: &'static Algorithm,
    /// `enc`.
    pub content: &'static Algorithm,
}

/// Encrypts `plaintext` for the active key of the label.
///
/// # Errors
/// [`ErrorKind::WrongUse`], [`ErrorKind::AlgorithmNotAllowed`], [`ErrorKind::Usage`] for `zip` where the
/// label has it off and `aad` in the compact form.
pub fn encrypt(set: &KeySet, plaintext: &[u8], options: &EncryptOptions) -> Result<String> {
    set.require_use(Role::Encrypt)?;
    if options.zip && !set.policy().zip {
        let text = format!("label \"{}\" does not allow zip", set.label());
        return Err(Error::new(ErrorKind::Usage, text)
            .with_help("compression leaks lengths; [labels.\"…\"] zip = true allows it"));
    }
    if options.aad.is_some() && options.serialization == Serialization::Compact {
        return Err(Error::new(ErrorKind::Usage, "the compact serialization carries no aad"));
    }
    let active = set.active();
    let (algorithm, enc) = choose(set, active, options)?;
    let given = KeyManagementHeader {
        apu: options.apu.clone(),
        apv: options.apv.clone(),
        ..KeyManagementHeader::default()
    };
    let made = cipher::establish(&active.key, algorithm, enc, &given, None)?;
    let mut header = Map::new();
    header.insert("alg".into(), algorithm.name.into());
    header.insert("enc".into(), enc.name.into());
    if !options.without_kid {
        header.insert("kid".into(), active.kid.clone().into());
    }
    header.extend(options.typ.iter().map(|typ| ("typ".into(), typ.clone().into())));
    header.extend(options.cty.iter().map(|cty| ("cty".into(), cty.clone().into())));
    if options.zip {
        header.insert("zip".into(), "DEF".into());
    }
    write_header(&made.header, &mut header);
    let header = encode(Value::Object(header).to_string().as_bytes());
    let aad = options.aad.as_deref().map(encode);
    let authenticated =
        aad.as_ref().map_or_else(|| header.clone(), |aad| format!("{header}.{aad}"));
    let compressed;
    let content = if options.zip {
        compressed = SecretBytes::from_vec(compress_to_vec(plaintext, 6));
        // EXPOSE: into the cipher.
        compressed.expose_secret()
    } else {
        plaintext
    };
    // EXPOSE: into the cipher.
    let sealed = cipher::seal(enc, made.cek.expose_secret(), authenticated.as_bytes(), content)?;
    let (key, iv) = (encode(&made.encrypted_key), encode(&sealed.iv));
    let (text, tag) = (encode(&sealed.ciphertext), encode(&sealed.tag));
    if options.serialization == Serialization::Compact {
        return Ok(format!("{header}.{key}.{iv}.{text}.{tag}"));
    }
    let mut token = Map::new();
    token.insert("protected".into(), header.into());
    token.insert("iv".into(), iv.into());
    token.insert("ciphertext".into(), text.into());
    token.insert("tag".into(), tag.into());
    token.extend(aad.map(|aad| ("aad".into(), aad.into())));
    let mut recipient = Map::new();
    if !key.is_empty() {
        recipient.insert("encrypted_key".into(), key.into());
    }
    if options.serialization == Serialization::General {
        token.insert("recipients".into(), json!([recipient]));
    } else {
        token.extend(recipient);
    }
    Ok(Value::Object(token).to_string())
}

fn choose(
    set: &KeySet,
    active: &LabelKey,
    options: &EncryptOptions,
) -> Result<(&'static Algorithm, &'static Algorithm)> {
    let wanted = options.algorithm.as_deref();
    let algorithm = match wanted {
        Some(name) => set.allowed(name, Operation::KeyManagement)?,
        None => set.preferred(Operation::KeyManagement, Role::Encrypt)?,
    };
    if let Some(name) = &options.content {
        return Ok((algorithm, set.allowed(name, Operation::Content)?));
    }
    // `dir` needs a content algorithm of the key's own length.
    let direct = algorithm.family == crate::alg::Family::Direct;
    let fits = |row: &&Algorithm| !direct || active.key.fits(row, Role::Encrypt).is_ok();
    let mut rows = set.algorithms().iter().copied();
    let enc = rows.find(|row| row.operation == Operation::Content && fits(row));
    enc.map(|enc| (algorithm, enc)).ok_or_else(|| {
        let text = format!("label \"{}\": no content algorithm fits its active alias", set.label());
        Error::new(ErrorKind::AlgorithmNotAllowed, text)
    })
}

fn write_header(from: &KeyManagementHeader, to: &mut Map<String, Value>) {
    let mut put = |name: &str, value: &Option<Vec<u8>>| {
        to.extend(value.as_deref().map(|bytes| (name.to_owned(), encode(bytes).into())));
    };
    put("apu", &from.apu);
    put("apv", &from.apv);
    put("iv", &from.iv);
    put("tag", &from.tag);
    put("p2s", &from.p2s);
    to.extend(from.p2c.map(|count| ("p2c".to_owned(), count.into())));
    to.extend(from.epk.as_ref().map(|epk| ("epk".to_owned(), Value::Object(jwk::members(epk)))));
}

/// Decrypts a compact token with the valid keys of the label.
///
/// # Errors
/// [`ErrorKind::NotDecrypted`] whatever is wrong with the token, [`ErrorKind::WrongUse`] for the label.
pub fn decrypt(set: &KeySet, token: &str) -> Result<Decrypted> {
    decrypt_with(set, token, parse_compact)
}

/// Decrypts a token in one of the JSON serializations; the first recipient that one of our keys opens.
///
/// # Errors
/// As [`decrypt`].
pub fn decrypt_json(set: &KeySet, token: &str) -> Result<Decrypted> {
    decrypt_with(set, token, parse_json)
}

fn decrypt_with(
    set: &KeySet,
    token: &str,
    parse: fn(&KeySet, &str) -> Result<Parts, Reason>,
) -> Result<Decrypted> {
    set.require_use(Role::Decrypt)?;
    if token.len() > set.policy().limits.max_token_bytes {
        return Err(not_decrypted("the token is larger than its bound"));
    }
    parse(set, token).and_then(|parts| open(set, &parts)).map_err(not_decrypted)
}

/// The parts of a token that all recipients share.
struct Parts {
    /// What the tag authenticates (RFC 7516 §5.2 step 15).
    aad: Vec<u8>,
    iv: Vec<u8>,
    ciphertext: Vec<u8>,
    tag: Vec<u8>,
    recipients: Vec<(Header, Vec<u8>)>,
}

fn open(set: &KeySet, parts: &Parts) -> Result<Decrypted, Reason> {
    for (header, _) in &parts.recipients {
        // No extension is understood in a JWE (RFC 7797 is of JWS).
        if header.all.contains_key("crit") {
            return Err("crit names an extension that is not understood");
        }
    }
    let mut last = "there is no recipient";
    for (header, encrypted_key) in &parts.recipients {
        match open_for(set, parts, header, encrypted_key) {
            Ok(decrypted) => return Ok(decrypted),
            Err(reason) => last = reason,
        }
    }
    Err(last)
}

fn parse_compact(set: &KeySet, token: &str) -> Result<Parts, Reason> {
    let parts: Vec<&str> = token.split('.').collect();
    let [header, key, iv, ciphertext, tag] = parts.as_slice() else {
        return Err("a compact JWE has five parts");
    };
    let part = |text: &str| decode(text).ok_or("a part is not base64url");
    Ok(Parts {
        aad: header.as_bytes().to_vec(),
        iv: part(iv)?,
        ciphertext: part(ciphertext)?,
        tag: part(tag)?,
        recipients: vec![(Header::join(parse_protected(header, set)?, &[])?, part(key)?)],
    })
}

fn parse_json(set: &KeySet, token: &str) -> Result<Parts, Reason> {
    let limits = &set.policy().limits;
    let token = json::parse_strict_object(token.as_bytes(), limits.max_json_depth)
        .map_err(|_| "the token is not a JSON object")?;
    let text = |name: &str| match token.get(name) {
        None => Ok(""),
        Some(value) => value.as_str().ok_or("a member of the token is not a string"),
    };
    let object = |value: Option<&Value>| match value {
        None => Ok(Map::new()),
        Some(value) => value.as_object().cloned().ok_or("a header is not an object"),
    };
    let part = |text: &str| decode(text).ok_or("a part is not base64url");
    let protected_text = text("protected")?;
    let protected =
        if protected_text.is_empty() { Map::new() } else { parse_protected(protected_text, set)? };
    let shared = object(token.get("unprotected"))?;
    let flattened = token.contains_key("header") || token.contains_key("encrypted_key");
    let listed: Vec<&Map<String, Value>> = match token.get("recipients") {
        None => vec![&token],
        Some(_) if flattened => return Err("both JSON serializations at once"),
        Some(Value::Array(list)) if (1..=limits.max_recipients).contains(&list.len()) => list
            .iter()
            .map(|one| one.as_object().ok_or("a recipient is not an object"))
            .collect::<Result<_, _>>()?,
        Some(_) => return Err("no recipients, or more than the bound"),
    };
    let recipients = listed
        .into_iter()
        .map(|one| {
            let own = object(one.get("header"))?;
            let key = match one.get("encrypted_key") {
                None => Vec::new(),
                Some(value) => part(value.as_str().ok_or("the encrypted key is not a string")?)?,
            };
            let header = Header::join(protected.clone(), &[&shared, &own])?;
            // RFC 7516 §4.1.3: zip must be integrity protected.
            if header.all.contains_key("zip") && !header.protected.contains_key("zip") {
                return Err("zip is not protected");
            }
            Ok((header, key))
        })
        .collect::<Result<_, Reason>>()?;
    let mut aad = protected_text.as_bytes().to_vec();
    if token.contains_key("aad") {
        part(text("aad")?)?;
        aad.push(b'.');
        aad.extend_from_slice(text("aad")?.as_bytes());
    }
    let (iv, ciphertext, tag) = (text("iv")?, text("ciphertext")?, text("tag")?);
    Ok(Parts { aad, iv: part(iv)?, ciphertext: part(ciphertext)?, tag: part(tag)?, recipients })
}

fn open_for(
    set: &KeySet,
    parts: &Parts,
    header: &Header,
    encrypted_key: &[u8],
) -> Result<Decrypted, Reason> {
    let not_allowed = |_| "the label does not allow the algorithm";
    let algorithm =
        set.allowed(header.required("alg")?, Operation::KeyManagement).map_err(not_allowed)?;
    let enc = set.allowed(header.required("enc")?, Operation::Content).map_err(not_allowed)?;
    let zip = match header.text("zip")? {
        None => false,
        Some("DEF") if set.policy().zip => true,
        Some(_) => return Err("zip is off or unknown"),
    };
    let kid = header.text("kid")?;
    let management = read_header(set, header)?;
    let mut last = "no valid key fits kid and algorithm";
    for key in set.candidates(kid, algorithm, Role::Decrypt) {
        last = "no valid key opens it";
        let cek = cipher::recover(&key.key, algorithm, enc, encrypted_key, &management);
        let Ok(cek) = cek else { continue };
        // EXPOSE: into the cipher.
        let raw = cek.expose_secret();
        let opened = cipher::open(enc, raw, &parts.iv, &parts.aad, &parts.ciphertext, &parts.tag);
        let Ok(plaintext) = opened else { continue };
        let plaintext = if zip { inflate(set, &plaintext)? } else { plaintext };
        let (header, key) = (header.all.clone(), key.clone());
        return Ok(Decrypted { plaintext, header, key, algorithm, content: enc });
    }
    Err(last)
}

/// Inflates what was authenticated, up to the bound (attacks.md J23).
fn inflate(set: &KeySet, deflated: &SecretBytes) -> Result<SecretBytes, Reason> {
    let limit = set.policy().limits.max_inflated_bytes;
    // EXPOSE: into the next owner.
    decompress_to_vec_with_limit(deflated.expose_secret(), limit)
        .map(SecretBytes::from_vec)
        .map_err(|_| "the content does not inflate within its bound")
}

fn read_header(set: &KeySet, header: &Header) -> Result<KeyManagementHeader, Reason> {
    let p2c = match header.all.get("p2c") {
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
    let epk = match header.all.get("epk") {
        None => None,
        Some(value) => {
            let members = value.as_object().ok_or("epk is not an object")?;
            Some(jwk::public_from_members(members).ok_or("epk is no public key")?)
        }
    };
    Ok(KeyManagementHeader {
        epk,
        apu: header.bytes("apu")?,
        apv: header.bytes("apv")?,
        iv: header.bytes("iv")?,
        tag: header.bytes("tag")?,
        p2s: header.bytes("p2s")?,
        p2c,
    })
}
