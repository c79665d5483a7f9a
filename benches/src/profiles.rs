//! What a session costs beyond the JOSE operations that it is made of: the same keys, the same claims, one run.

use std::path::Path;

use claviger::jose::jwe::EncryptOptions;
use claviger::jose::jws::{self, SignOptions, VerifyOptions};
use claviger::jose::nested;
use claviger::keyring::Keyring;
use claviger::ops::KeySet;
use claviger::profiles::session::Sessions;
use serde_json::{Map, Value};

use crate::fixture::{material, row};
use crate::harness::{Case, paired, print_row};

/// What signs, its algorithm, and the algorithm of the key that encrypts; empty: signed alone.
const WAYS: [(&str, &str, &str); 4] = [
    ("HMAC", "HS256", ""),
    ("HMAC", "HS256", "A256KW"),
    ("ES256", "ES256", "A256KW"),
    ("RSA", "RS256", "A256KW"),
];

/// The claims of a user: what is left of 300 bytes.
pub const CLAIMS: &str = concat!(
    r#"{"sub":"(usr!alice)","aud":"https://api.example.com/orders","auth_time":1764036990,"#,
    r#""scope":"openid profile orders:read","acr":"0","nonce":"n-0S6_WzA2M"}"#
);

/// Prints the table.
pub fn run() {
    println!(
        "sessions, ns of CPU time: over = ours beyond the bare JOSE call with the same payload, the median of pairs\n"
    );
    let head = ["seal", "JOSE", "over", "95 %", "open", "JOSE", "over", "95 %"];
    print_row("parts", &head.map(str::to_owned));
    for way in WAYS {
        compare(way);
    }
}

fn compare((signs, algorithm, wraps): (&str, &str, &str)) {
    let folder = tempfile::tempdir().expect("a directory");
    let shop = Shop::new(folder.path(), signs, algorithm, wraps);
    let claims: Map<String, Value> = serde_json::from_str(CLAIMS).expect("claims");
    let sealed = shop.sessions.seal(&claims).expect("sealed");
    let payload = shop.payload(&sealed.token);
    let bare = shop.bare(&payload);
    let seal = paired(
        &mut Case::new(|| shop.sessions.seal(&claims).expect("sealed")),
        &mut Case::new(|| shop.bare(&payload)),
    );
    let open = paired(
        &mut Case::new(|| shop.sessions.open(&sealed.token).expect("opened")),
        &mut Case::new(|| shop.payload(&bare)),
    );
    print_row(&format!("{algorithm} {wraps}"), &[seal.cells(), open.cells()].concat());
}

/// Sessions, and the keys behind them.
pub struct Shop {
    /// The sessions.
    pub sessions: Sessions,
    mac: std::sync::Arc<KeySet>,
    seal: Option<std::sync::Arc<KeySet>>,
}

impl Shop {
    /// A configuration with one signing label, and one that encrypts.
    #[must_use]
    pub fn new(folder: &Path, signs: &str, algorithm: &str, wraps: &str) -> Self {
        let signing = format!("am.global.services.session.clientbased.signing.{signs}");
        let encryption = "am.global.services.session.clientbased.encryption.AES";
        let mut text =
            format!("[keyring]\nreload = \"off\"\n[sessions]\nsigning = [\"{signs}\"]\n");
        let mut store = |name: &str, label: &str, algorithm: &str| {
            let folder = folder.join(name);
            std::fs::create_dir(&folder).expect("made");
            let (_, key) = material(row(algorithm), None);
            drop(crate::fixture::label(&folder, &[key], &[row(algorithm)], 16));
            text += &format!(
                "[stores.{name}]\nkind = \"keystore\"\npath = \"{name}/keys.jwks\"\n\
                 [stores.{name}.mappings]\n\"{label}\" = [\"k0\"]\n"
            );
        };
        store("signing", &signing, algorithm);
        if wraps.is_empty() {
            text = text.replace("[sessions]\n", "[sessions]\nencryption = []\n");
        } else {
            store("encryption", encryption, wraps);
        }
        let config = folder.join("claviger.toml");
        std::fs::write(&config, text).expect("written");
        let keyring = Keyring::open(&config).unwrap_or_else(|error| panic!("{error:?}"));
        let keys = |label: &str| keyring.label(label).expect("mapped").keys().expect("mapped");
        let seal = (!wraps.is_empty()).then(|| keys(encryption));
        Self { sessions: keyring.sessions(), mac: keys(&signing), seal }
    }

    /// The bare operations on the payload of a session.
    #[must_use]
    pub fn bare(&self, payload: &[u8]) -> String {
        let options = SignOptions::default();
        match &self.seal {
            Some(seal) => {
                nested::seal(&self.mac, seal, payload, &options, &EncryptOptions::default())
            }
            None => jws::sign(&self.mac, payload, &options),
        }
        .expect("made")
    }

    /// What is in a token, by the bare operations.
    #[must_use]
    pub fn payload(&self, token: &str) -> Vec<u8> {
        let options = VerifyOptions::default();
        match &self.seal {
            Some(seal) => {
                nested::open(seal, &self.mac, token, &options).map(|(_, inner)| inner.payload)
            }
            None => jws::verify(&self.mac, token, &options).map(|found| found.payload),
        }
        .expect("opened")
    }
}
