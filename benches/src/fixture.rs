//! Labels of a real keyring over a JWK set, as a program would open them.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::{NO_PAD, STANDARD};
use base64::engine::simd::Simd;
use claviger::alg::{ALGORITHMS, Algorithm, Curve, Family, Operation};
use claviger::crypto::generate::{KeySpec, generate};
use claviger::formats::{Entry, Material, SecretKeyType, jwk};
use claviger::keyring::Keyring;
use claviger::ops::Label;
use claviger::secret::SecretBytes;

/// A claims set of 300 bytes.
pub const CLAIMS: &str = concat!(
    r#"{"iss":"https://login.example.com/am/oauth2/realms/root/realms/alpha","sub":"(usr!alice)","#,
    r#""aud":"https://api.example.com/orders","exp":4102444800,"iat":1764037000,"auth_time":1764036990,"#,
    r#""jti":"8b2f6b54-0f5f-4a5e-9d6c-2f0b9b1f6c3e","scope":"openid profile orders:read","acr":"0","#,
    r#""nonce":"n-0S6_WzA2M"}"#
);

/// base64url, as fast as there is.
pub static BASE64URL: LazyLock<Simd> = LazyLock::new(|| Simd::url_safe(NO_PAD));

/// PEM, as the peers read keys and certificates.
#[must_use]
pub fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|line| str::from_utf8(line).expect("base64")).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// Key material for a row: PKCS#8 of a pair, raw bytes of a symmetric key.
#[must_use]
pub fn material(row: &Algorithm, enc: Option<&Algorithm>) -> (KeySpec, SecretBytes) {
    let spec = match row.family {
        Family::Hmac(_) => KeySpec::Oct { bytes: 64 },
        Family::RsaPkcs1(_) | Family::RsaPss(_) | Family::RsaOaep(_) | Family::Rsa15 => {
            KeySpec::Rsa { bits: 2048 }
        }
        Family::Ecdsa(curve, _) => KeySpec::Curve(curve),
        Family::EdDsa => KeySpec::Curve(Curve::Ed25519),
        Family::EcdhEs(_) => KeySpec::Curve(Curve::P256),
        Family::AesKw(bits) | Family::AesGcmKw(bits) => KeySpec::Oct { bytes: bits / 8 },
        Family::Pbes2(..) => KeySpec::Oct { bytes: 32 },
        _ => KeySpec::Oct { bytes: enc.and_then(Algorithm::content_key_bytes).unwrap_or(32) },
    };
    (spec, generate(spec).expect("a fresh key"))
}

/// A label that holds these keys, in order, under aliases `k0`, `k1` …, for these algorithms.
#[must_use]
pub fn label(folder: &Path, keys: &[SecretBytes], rows: &[&Algorithm], max_tries: usize) -> Label {
    let symmetric = rows.iter().any(|row| {
        matches!(
            row.family,
            Family::Hmac(_)
                | Family::AesKw(_)
                | Family::AesGcmKw(_)
                | Family::Direct
                | Family::Pbes2(..)
        )
    });
    let aliases: Vec<String> = (0..keys.len()).map(|index| format!("k{index}")).collect();
    let jwks: Vec<String> = keys
        .iter()
        .zip(&aliases)
        .map(|(key, alias)| {
            // EXPOSE: fresh keys of a measurement.
            let bytes = SecretBytes::from_slice(key.expose_secret());
            let material = if symmetric {
                Material::SecretKey { key_type: SecretKeyType::Other("oct".into()), bytes }
            } else {
                Material::PrivateKey(bytes)
            };
            let jwk = jwk::write(&Entry::new(alias.clone(), material), false).expect("a JWK");
            let mut jwk: serde_json::Value =
                serde_json::from_str(jwk.expose_secret()).expect("JSON");
            jwk["kid"] = alias.as_str().into();
            jwk.to_string()
        })
        .collect();
    let file = folder.join("keys.jwks");
    std::fs::write(&file, format!(r#"{{"keys":[{}]}}"#, jwks.join(","))).expect("written");
    let usage =
        if rows.iter().any(|row| row.operation == Operation::Sign) { "sign" } else { "encrypt" };
    let names: Vec<String> = rows.iter().map(|row| format!("{:?}", row.name)).collect();
    let config = folder.join("claviger.toml");
    let text = format!(
        "[keyring]\nreload = \"off\"\n[policy.limits]\nmax_tries = {max_tries}\n\
         [stores.keys]\nkind = \"keystore\"\npath = \"keys.jwks\"\n\
         [stores.keys.mappings]\n\"bench.label\" = {aliases:?}\n\
         [labels.\"bench.label\"]\nuse = \"{usage}\"\nalgorithms = [{}]\n",
        names.join(", ")
    );
    std::fs::write(&config, text).expect("written");
    let keyring = Keyring::open(&config).unwrap_or_else(|error| panic!("{error:?}"));
    keyring.label("bench.label").expect("mapped")
}

/// The row of this name.
#[must_use]
pub fn row(name: &str) -> &'static Algorithm {
    Algorithm::find(name).expect("a row")
}

/// The rows of an operation.
pub fn rows(operation: Operation) -> impl Iterator<Item = &'static Algorithm> {
    ALGORITHMS.iter().filter(move |row| row.operation == operation)
}

/// The folder into which `scripts/setup.sh` installs the peers that are no Rust; `PEERS` names another.
pub fn peers() -> PathBuf {
    std::env::var_os("PEERS").map(PathBuf::from).unwrap_or_else(|| {
        let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
        Path::new(&target).join("interop")
    })
}
