//! A provider and a relying party with every label of OAuth 2.0 and OpenID Connect, two aliases each, and a clock that
//! tests set.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, UNIX_EPOCH};

use claviger::alg::Algorithm;
use claviger::catalogue::LabelUse;
use claviger::clock::Clock;
use claviger::error::{Error, ErrorKind};
use claviger::jose::jwk;
use claviger::jose::jws::{self, SignOptions};
use claviger::key_tools::{self, GenerateOptions};
use claviger::ops::{KeySet, KeySetPolicy, PeerKeySet, PeerRules};
use claviger::profiles::jwks::Party;
use claviger::profiles::oidc::{Client, Provider, RelyingParty, TokenProtection};
use claviger::{Config, Keyring};
use serde_json::{Map, Value, json};

pub(crate) const ISSUER: &str = "https://op.example.com/am/oauth2";
pub(crate) const SECRET: &str =
    "a client secret that is long enough for HS512, which wants 64 bytes";
pub(crate) const NOW: u64 = 1_800_000_000;

/// The labels with the beginning of their aliases; each has the aliases `-1` and `-2`.
pub(crate) const LABELS: [(&str, &str); 20] = [
    ("am.services.oauth2.oidc.signing.ES256", "es256"),
    ("am.services.oauth2.oidc.signing.ES384", "es384"),
    ("am.services.oauth2.oidc.signing.ES512", "es512"),
    ("am.services.oauth2.oidc.signing.RSA", "rsa"),
    ("am.services.oauth2.oidc.signing.EDDSA", "ed"),
    // As a fresh Ping AM has it: the same keys behind several labels.
    ("am.services.oauth2.stateless.signing.ES256", "es256"),
    ("am.services.oauth2.stateless.signing.ES384", "es384"),
    ("am.services.oauth2.stateless.signing.ES512", "es512"),
    ("am.services.oauth2.stateless.signing.RSA", "rsa"),
    ("am.services.oauth2.stateless.signing.HMAC", "hmac"),
    ("am.services.oauth2.stateless.token.encryption", "aes"),
    ("am.services.oauth2.jwt.authenticity.signing", "hmac"),
    ("am.services.oauth2.oidc.decryption.RSA1.5", "enc"),
    ("am.services.oauth2.oidc.decryption.RSA.OAEP", "enc"),
    ("am.services.oauth2.oidc.decryption.RSA.OAEP.256", "enc"),
    ("am.services.oauth2.oidc.rp.idtoken.encryption", "enc"),
    ("am.services.oauth2.oidc.rp.jwt.authenticity.signing", "rsa"),
    ("am.global.services.oauth2.oidc.agent.idtoken.signing", "rsa"),
    ("am.applications.oauth2.client.mapped.jwt.public.key", "es256"),
    ("am.applications.oauth2.client.mapped.id.token.enc.public.key", "enc"),
];

/// Private JWKs, made once.
static POOL: LazyLock<Vec<(&'static str, String)>> = LazyLock::new(|| {
    let kinds = [
        ("es256", "ec", Some("P-256"), None),
        ("es384", "ec", Some("P-384"), None),
        ("es512", "ec", Some("P-521"), None),
        ("rsa", "rsa", None, Some(2048)),
        ("enc", "rsa", None, Some(2048)),
        ("ecenc", "ec", Some("P-256"), None),
        ("ed", "ed25519", None, None),
        ("hmac", "hmac", None, None),
        ("aes", "aes", None, Some(256)),
    ];
    let one = |(name, key_type, curve, bits)| {
        move |number: u32| {
            let alias = format!("{name}-{number}");
            let now = UNIX_EPOCH + Duration::from_secs(NOW);
            let options = GenerateOptions {
                alias: &alias,
                key_type,
                bits,
                curve,
                subject: None,
                days: 30,
                now,
            };
            let made = key_tools::generate_file("jwk", &options).unwrap();
            (name, String::from_utf8(made.content.expose_secret().to_vec()).unwrap())
        }
    };
    kinds.into_iter().flat_map(|kind| [1, 2].map(one(kind))).collect()
});

pub(crate) struct House {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) keyring: Keyring,
    now: Arc<AtomicU64>,
    /// What stands in the configuration instead of what.
    edit: (&'static str, &'static str),
}

impl House {
    pub(crate) fn new() -> Self {
        Self::with("", "")
    }

    /// A house whose configuration says one thing otherwise.
    pub(crate) fn with(from: &'static str, to: &'static str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let secrets = folder.path().join("secrets");
        std::fs::create_dir(&secrets).unwrap();
        for (label, value) in [
            ("am.services.oauth2.provider.hash.salt.secret", "salt"),
            (
                "am.applications.oauth2.client.mapped.secret.v1",
                "an old secret of the mapped client, 64 bytes long or even longer",
            ),
            ("am.applications.oauth2.client.mapped.secret.v2", SECRET),
        ] {
            std::fs::write(secrets.join(label), value).unwrap();
        }
        let keys: Vec<&str> = POOL.iter().map(|(_, jwk)| jwk.as_str()).collect();
        let jwks = format!("{{\"keys\":[{}]}}", keys.join(","));
        std::fs::write(folder.path().join("keys.jwks"), jwks).unwrap();
        configure(folder.path(), (from, to), |_, name| {
            vec![format!("{name}-1"), format!("{name}-2")]
        });
        let now = Arc::new(AtomicU64::new(NOW));
        let clock = {
            let now = Arc::clone(&now);
            Clock::from_fn(move || UNIX_EPOCH + Duration::from_secs(now.load(Ordering::SeqCst)))
        };
        let text = std::fs::read_to_string(folder.path().join("claviger.toml")).unwrap();
        let (config, problems) = Config::parse(&text, &folder.path().join("claviger.toml"));
        let keyring =
            Keyring::from_config(config.unwrap_or_else(|| panic!("{problems:?}")), clock).unwrap();
        Self { folder, keyring, now, edit: (from, to) }
    }

    /// Other aliases behind each label.
    pub(crate) fn remap(&self, aliases: impl Fn(&str, &str) -> Vec<String>) {
        configure(self.folder.path(), self.edit, aliases);
        self.keyring.reload().unwrap();
    }

    pub(crate) fn wait(&self, seconds: u64) {
        self.now.fetch_add(seconds, Ordering::SeqCst);
    }

    pub(crate) fn set(&self, seconds: u64) {
        self.now.store(seconds, Ordering::SeqCst);
    }

    pub(crate) fn provider(&self) -> Provider {
        self.keyring.oidc(None).provider(ISSUER)
    }

    pub(crate) fn provider_with(&self, tokens: &[TokenProtection]) -> Provider {
        self.provider().with_tokens(tokens).unwrap()
    }

    pub(crate) fn relying_party(&self, client: &Client) -> RelyingParty {
        self.keyring.oidc(None).relying_party(client.clone(), ISSUER)
    }

    /// The provider's public keys as a relying party has them, for these algorithms.
    pub(crate) fn published(&self, algorithms: &[&str]) -> Arc<KeySet> {
        let jwks = self.keyring.jwks(None, Party::Provider).document();
        let jwks = serde_json::from_str(&jwks.json).unwrap();
        peer(&jwks, &PeerRules::verify(algorithms).unwrap())
    }

    /// The public keys of one label alone.
    pub(crate) fn published_by(&self, label: &str, algorithms: &[&str]) -> Arc<KeySet> {
        let keys = self.keyring.label(label).unwrap().keys().unwrap();
        let public = keys.keys().iter().filter_map(|key| jwk::public(&keys, key));
        let jwks = json!({ "keys": public.collect::<Vec<Value>>() });
        peer(&jwks, &PeerRules::verify(algorithms).unwrap())
    }
}

fn configure(folder: &Path, edit: (&str, &str), aliases: impl Fn(&str, &str) -> Vec<String>) {
    let mappings: String = LABELS
        .iter()
        .map(|(label, name)| (label, aliases(label, name)))
        .filter(|(_, aliases)| !aliases.is_empty())
        .map(|(label, aliases)| format!("\"{label}\" = {aliases:?}\n"))
        .collect();
    let text = format!(
        "[keyring]\nreload = \"off\"\n[policy]\nlegacy = [\"RSA1_5\"]\n\
         [stores.secrets]\nkind = \"volume\"\ndirectory = \"secrets\"\nversion_suffix = \".v\"\n\
         [stores.keys]\nkind = \"keystore\"\npath = \"keys.jwks\"\nintegrity = \"none\"\n\
         [stores.keys.mappings]\n{mappings}"
    );
    let text = text.replacen(edit.0, edit.1, 1);
    std::fs::write(folder.join("claviger.toml"), text).unwrap();
}

/// The keys of somebody else.
pub(crate) fn peer(jwks: &Value, rules: &PeerRules) -> Arc<KeySet> {
    let keys = PeerKeySet::from_jwks(jwks.to_string().as_bytes(), rules).unwrap();
    Arc::clone(keys.keys().unwrap())
}

/// A private JWK of the pool.
pub(crate) fn private(alias: &str) -> Value {
    let jwks = POOL.iter().map(|(_, jwk)| serde_json::from_str::<Value>(jwk).unwrap());
    jwks.into_iter().find(|jwk| jwk["kid"] == alias).unwrap_or_else(|| panic!("no {alias}"))
}

/// The public half of a JWK of the pool.
pub(crate) fn public(alias: &str) -> Value {
    let mut jwk = private(alias);
    let secret = ["d", "p", "q", "dp", "dq", "qi"];
    jwk.as_object_mut().unwrap().retain(|name, _| !secret.contains(&name.as_str()));
    jwk
}

/// A client called `shop` with these further metadata.
pub(crate) fn client(metadata: Value) -> Client {
    let mut all = json!({ "client_id": "shop" });
    all.as_object_mut().unwrap().extend(metadata.as_object().unwrap().clone());
    Client::from_json(all.to_string().as_bytes()).unwrap()
}

pub(crate) fn claims(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

pub(crate) fn signed(algorithm: &str) -> TokenProtection {
    TokenProtection::Signed(Algorithm::named(algorithm).unwrap())
}

/// A token that anybody with this private or symmetric JWK can make: any header, any claims.
pub(crate) fn forge(jwk: &Value, algorithm: &str, header: Value, claims: &Value) -> String {
    forge_bytes(jwk, algorithm, header, claims.to_string().as_bytes())
}

/// The same of any payload.
pub(crate) fn forge_bytes(jwk: &Value, algorithm: &str, header: Value, payload: &[u8]) -> String {
    let set = KeySet::from_jwks(
        "app.forger".parse().unwrap(),
        vec![LabelUse::Sign],
        jwk.to_string().as_bytes(),
        vec![Algorithm::named(algorithm).unwrap()],
        KeySetPolicy { short_hmac_keys: true, ..KeySetPolicy::default() },
    );
    let extra = header.as_object().unwrap().clone();
    let options = SignOptions { extra, without_kid: true, ..SignOptions::default() };
    jws::sign(&set.unwrap(), payload, &options).unwrap()
}

/// A client's secret as a JWK.
pub(crate) fn oct(secret: &str) -> Value {
    use base64::Engine;
    let k = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(secret);
    json!({ "kty": "oct", "k": k })
}

/// Why a token was refused.
pub(crate) fn reason(error: &Error) -> String {
    assert_eq!(error.kind(), ErrorKind::TokenRefused, "{error:?}");
    std::error::Error::source(error).unwrap().to_string()
}

/// The JSON of one part of a compact token.
pub(crate) fn part(token: &str, index: usize) -> Value {
    use base64::Engine;
    let text = token.split('.').nth(index).unwrap();
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}
