//! Making JWE tokens.

use std::borrow::Cow;

use miniz_oxide::deflate::compress_to_vec;
use serde_json::{Map, Value, json};

use super::EncryptOptions;
use crate::alg::{Algorithm, Family, Operation};
use crate::catalogue::LabelUse;
use crate::crypto::Role;
use crate::crypto::cipher::{self, EstablishedKey, KeyManagementHeader, Sealed};
use crate::error::{Error, ErrorKind, Result};
use crate::jose::{
    Serialization, begin_header, encode, encode_onto, jwk, opened_again, require_room,
};
use crate::ops::{KeySet, LabelKey};
use crate::secret::SecretBytes;

/// Encrypts `plaintext` for the active key of the label. What that key itself would not open again is not made.
///
/// # Errors
/// [`ErrorKind::WrongUse`], [`ErrorKind::AlgorithmNotAllowed`], [`ErrorKind::Usage`] for `zip` where the
/// label has it off, `aad` in the compact form, and for more than `[policy.limits]` lets anybody open.
pub fn encrypt(set: &KeySet, plaintext: &[u8], options: &EncryptOptions) -> Result<String> {
    set.require_use(Role::Encrypt)?;
    check_options(set, options)?;
    let active = set.active();
    let (algorithm, enc) = choose(set, active, options)?;
    // Who else has the private half has bounds of its own.
    let opens = set.uses().contains(&LabelUse::Decrypt) && active.key.has_private();
    if opens && options.zip {
        let most = set.policy().limits.max_inflated_bytes;
        require_room("content", plaintext.len(), most, "max_inflated_bytes")?;
    }
    let made = if algorithm.family == Family::Direct {
        None
    } else {
        let given = KeyManagementHeader {
            apu: options.apu.clone(),
            apv: options.apv.clone(),
            ..KeyManagementHeader::default()
        };
        Some(set.establish(algorithm, enc, &given, options.expires)?)
    };
    let header = header(set, algorithm, enc, made.as_ref(), options);
    if opens {
        // Of unpadded base64url.
        let (bytes, most) = (header.len() * 3 / 4, set.policy().limits.max_header_bytes);
        require_room("header", bytes, most, "max_header_bytes")?;
    }
    let aad = options.aad.as_deref().map(encode);
    let authenticated = match &aad {
        None => Cow::Borrowed(header.as_bytes()),
        Some(aad) => Cow::Owned(format!("{header}.{aad}").into_bytes()),
    };
    let compressed;
    let content = if options.zip {
        compressed = SecretBytes::from_vec(compress_to_vec(plaintext, 6));
        // EXPOSE: into the cipher.
        compressed.expose_secret()
    } else {
        plaintext
    };
    let sealed = match &made {
        // EXPOSE: into the cipher.
        Some(made) => cipher::seal(enc, made.cek.expose_secret(), &authenticated, content)?,
        None => set.seal_direct(enc, &authenticated, content, options.expires)?,
    };
    let key = made.as_ref().map_or(&[][..], |made| made.encrypted_key.as_slice());
    let token = match options.serialization {
        Serialization::Compact => compact(&header, key, &sealed),
        _ => json_form(&header, key, &sealed, aad, options),
    };
    if opens { opened_again(set, token) } else { Ok(token) }
}

fn check_options(set: &KeySet, options: &EncryptOptions) -> Result<()> {
    if options.zip && !set.policy().zip {
        let text = format!("label \"{}\" does not allow zip", set.label());
        return Err(Error::new(ErrorKind::Usage, text)
            .with_help("compression leaks lengths; [labels.\"…\"] zip = true allows it"));
    }
    if options.aad.is_some() && options.serialization == Serialization::Compact {
        return Err(Error::new(ErrorKind::Usage, "the compact serialization carries no aad"));
    }
    Ok(())
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
    let direct = algorithm.family == Family::Direct;
    let fits = |row: &&Algorithm| !direct || active.key.fits(row, Role::Encrypt).is_ok();
    let mut rows = set.algorithms().iter().copied();
    let enc = rows.find(|row| row.operation == Operation::Content && fits(row));
    enc.map(|enc| (algorithm, enc)).ok_or_else(|| {
        let text = format!("label \"{}\": no content algorithm fits its active alias", set.label());
        Error::new(ErrorKind::AlgorithmNotAllowed, text)
    })
}

/// The encoded protected header; that of a default encryption was made at load where it is always the same.
fn header<'s>(
    set: &'s KeySet,
    algorithm: &Algorithm,
    enc: &Algorithm,
    made: Option<&EstablishedKey>,
    options: &EncryptOptions,
) -> Cow<'s, str> {
    let EncryptOptions { typ, cty, apu, apv, .. } = options;
    let plain = [typ, cty].iter().all(|one| one.is_none())
        && [apu, apv].iter().all(|one| one.is_none())
        && !options.zip
        && !options.without_kid;
    if plain && let Some(header) = set.acts().encryption_header(algorithm, enc) {
        return header.into();
    }
    let kid = set.acts().kid.as_ref().filter(|_| !options.without_kid);
    let algorithms = [("alg", algorithm.name), ("enc", enc.name)];
    let texts = [("typ", typ.as_deref()), ("cty", cty.as_deref())];
    let mut text = begin_header(&algorithms, kid, texts);
    let mut put = |name: &str, json: &str| {
        for part in [",\"", name, "\":", json] {
            text.push_str(part);
        }
    };
    if options.zip {
        put("zip", "\"DEF\"");
    }
    let none = KeyManagementHeader { apu: apu.clone(), apv: apv.clone(), ..Default::default() };
    let from = made.map_or(&none, |made| &made.header);
    let bytes = [("apu", &from.apu), ("apv", &from.apv), ("iv", &from.iv), ("tag", &from.tag)];
    for (name, value) in bytes.into_iter().chain([("p2s", &from.p2s)]) {
        if let Some(value) = value {
            put(name, &format!("\"{}\"", encode(value)));
        }
    }
    if let Some(count) = from.p2c {
        put("p2c", &count.to_string());
    }
    if let Some(epk) = &from.epk {
        put("epk", &jwk::text(epk));
    }
    text.push('}');
    encode(text.as_bytes()).into()
}

fn compact(header: &str, key: &[u8], sealed: &Sealed) -> String {
    let parts = [key, &sealed.iv, &sealed.ciphertext, &sealed.tag];
    let characters: usize = parts.iter().map(|part| part.len().div_ceil(3) * 4 + 1).sum();
    let mut token = String::with_capacity(header.len() + characters);
    token.push_str(header);
    for part in parts {
        token.push('.');
        encode_onto(part, &mut token);
    }
    token
}

fn json_form(
    header: &str,
    key: &[u8],
    sealed: &Sealed,
    aad: Option<String>,
    options: &EncryptOptions,
) -> String {
    let mut token = Map::new();
    token.insert("protected".into(), header.into());
    token.insert("iv".into(), encode(&sealed.iv).into());
    token.insert("ciphertext".into(), encode(&sealed.ciphertext).into());
    token.insert("tag".into(), encode(&sealed.tag).into());
    token.extend(aad.map(|aad| ("aad".into(), aad.into())));
    let mut recipient = Map::new();
    if !key.is_empty() {
        recipient.insert("encrypted_key".into(), encode(key).into());
    }
    if options.serialization == Serialization::General {
        token.insert("recipients".into(), json!([recipient]));
    } else {
        token.extend(recipient);
    }
    Value::Object(token).to_string()
}
