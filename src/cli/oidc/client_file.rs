//! The file of a client: its registration in TOML or JSON, and where its secrets and keys are.

use std::path::Path;

use claviger::error::{Error, ErrorKind, Result};
use claviger::json;
use claviger::profiles::oidc::Client;
use claviger::secret::SecretBytes;
use serde_json::{Map, Value};

use crate::cli::password_input::read_input;

/// The largest file of a client, in bytes.
const MAX_CLIENT_BYTES: u64 = 1 << 20;
/// A JWK set in a registration is four levels.
const MAX_DEPTH: usize = 8;

/// Reads the file and what it names; paths in it start from its folder.
pub(super) fn read(path: &Path) -> Result<Client> {
    let bytes = read_input(path, MAX_CLIENT_BYTES)?;
    // EXPOSE: a registration may hold a secret; the parsed copy goes into the client.
    let mut members = parse(bytes.expose_secret()).map_err(|error| error.with_file(path))?;
    let folder = path.parent().unwrap_or_else(|| Path::new(""));
    let secrets = secrets(&mut members, folder)?;
    if let Some(file) = text(&mut members, "jwks_file")? {
        let path = folder.join(file);
        let jwks = read_input(&path, MAX_CLIENT_BYTES)?;
        // EXPOSE: public keys.
        let jwks = json::parse_strict_object(jwks.expose_secret(), MAX_DEPTH)
            .map_err(|error| error.with_file(&path))?;
        members.insert("jwks".into(), Value::Object(jwks));
    }
    Client::new(&members, secrets).map_err(|error| error.with_file(path))
}

/// JSON if it begins like an object, else TOML.
fn parse(bytes: &[u8]) -> Result<Map<String, Value>> {
    if bytes.trim_ascii_start().first() == Some(&b'{') {
        return json::parse_strict_object(bytes, MAX_DEPTH);
    }
    let malformed = || Error::new(ErrorKind::Malformed, "the client file is neither TOML nor JSON");
    let text = std::str::from_utf8(bytes).map_err(|_| malformed())?;
    toml::from_str(text).map_err(|error| {
        // The message of the parser alone: its full text quotes lines, and one may hold a secret.
        malformed().with_help(error.message().to_owned())
    })
}

/// What `client_secret_file` (one, or several of which the first acts) and `client_secret_env` name.
fn secrets(members: &mut Map<String, Value>, folder: &Path) -> Result<Vec<SecretBytes>> {
    let mut secrets = Vec::new();
    let files = match members.remove("client_secret_file") {
        None => Vec::new(),
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(many)) => many
            .iter()
            .map(|one| one.as_str().map(str::to_owned))
            .collect::<Option<_>>()
            .ok_or_else(|| wrong("client_secret_file"))?,
        Some(_) => return Err(wrong("client_secret_file")),
    };
    for file in files {
        let bytes = read_input(&folder.join(file), MAX_CLIENT_BYTES)?;
        // EXPOSE: into another owner that wipes itself, without its line break.
        let raw = bytes.expose_secret();
        let raw = raw.strip_suffix(b"\n").unwrap_or(raw);
        secrets.push(SecretBytes::from_slice(raw.strip_suffix(b"\r").unwrap_or(raw)));
    }
    if let Some(name) = text(members, "client_secret_env")? {
        let value = std::env::var(&name).map_err(|_| {
            let text = format!("the environment variable {name:?} is not set");
            Error::new(ErrorKind::Usage, text)
        })?;
        secrets.push(SecretBytes::from_vec(value.into_bytes()));
    }
    Ok(secrets)
}

fn text(members: &mut Map<String, Value>, name: &str) -> Result<Option<String>> {
    match members.remove(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(wrong(name)),
    }
}

fn wrong(name: &str) -> Error {
    Error::new(ErrorKind::Usage, format!("\"{name}\" in the client file is not a string"))
}
