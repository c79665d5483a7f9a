//! What an ID token costs beyond the JOSE operation that it is made of: the same keys, the same claims, one run; and what
//! the npm package `jose` takes, which `scripts/setup.sh` installs.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use claviger::jose::jws::{self, SignOptions, VerifyOptions};
use claviger::keyring::Keyring;
use claviger::ops::{KeySet, PeerKeySet, PeerRules};
use claviger::profiles::jwks::Party;
use claviger::profiles::oidc::{
    Client, IdTokenOptions, IdTokenRules, Nonce, Provider, RelyingParty, VerifiedToken,
};
use serde_json::{Map, Value, json};

use crate::fixture::{material, peers, row};
use crate::harness::{Case, ns, paired, print_row};

const ACCESS_TOKEN: &str = "2YotnFZFEjr1zCsicMWpAA";
const ISSUER: &str = "https://op.example.com/am/oauth2";
/// Algorithms and the last part of their labels.
const ALGORITHMS: [(&str, &str); 4] =
    [("ES256", "ES256"), ("EdDSA", "EDDSA"), ("RS256", "RSA"), ("ES384", "ES384")];

/// Prints the table.
pub fn run() {
    println!(
        "\nID tokens, ns of CPU time: over = ours beyond the bare JOSE call with the same payload, the median of pairs\n"
    );
    let head = [
        "issue",
        "JOSE",
        "over",
        "95 %",
        "verify",
        "JOSE",
        "over",
        "95 %",
        "node issue",
        "node verify",
    ];
    print_row("algorithm", &head.map(str::to_owned));
    for (algorithm, suffix) in ALGORITHMS {
        compare(algorithm, suffix);
    }
}

/// What a caller says of a user.
#[must_use]
pub fn claims() -> Map<String, Value> {
    let all = json!({ "sub": "(usr!alice)", "nonce": "n-0S6_WzA2Mj", "acr": "0", "auth_time": 1_764_036_990,
        "sid": "8f3b2c51-5d0a-4f5e", "email": "alice@example.com" });
    all.as_object().expect("an object").clone()
}

fn compare(algorithm: &'static str, suffix: &str) {
    let folder = tempfile::tempdir().expect("a directory");
    let house = House::new(folder.path(), algorithm, suffix);
    let claims = claims();
    let token = house.issue(&claims);
    let payload = jws::verify(&house.published, &token, &VerifyOptions::default());
    let payload = payload.expect("verified").payload;
    let sign = SignOptions { algorithm: Some(algorithm.into()), ..Default::default() };
    let issued = paired(
        &mut Case::new(|| house.issue(&claims)),
        &mut Case::new(|| jws::sign(&house.signing, &payload, &sign).expect("signed")),
    );
    let accepted = paired(
        &mut Case::new(|| house.verify(&token)),
        &mut Case::new(|| jws::verify(&house.published, &token, &VerifyOptions::default())),
    );
    let node = node(algorithm, &house.private, &payload).map(ns);
    print_row(algorithm, &[&issued.cells()[..], &accepted.cells(), &node].concat());
}

/// A provider, a client of it, and the keys behind both.
pub struct House {
    provider: Provider,
    relying_party: RelyingParty,
    client: Client,
    signing: Arc<KeySet>,
    published: Arc<KeySet>,
    private: String,
}

impl House {
    /// With one key of this algorithm, behind the label that ends so.
    #[must_use]
    pub fn new(folder: &Path, algorithm: &str, suffix: &str) -> Self {
        let label = format!("am.services.oauth2.oidc.signing.{suffix}");
        let (_, key) = material(row(algorithm), None);
        drop(crate::fixture::label(folder, &[key], &[row(algorithm)], 16));
        let text = format!(
            "[keyring]\nreload = \"off\"\n[stores.keys]\nkind = \"keystore\"\npath = \"keys.jwks\"\n\
             [stores.keys.mappings]\n\"{label}\" = [\"k0\"]\n"
        );
        let config = folder.join("claviger.toml");
        std::fs::write(&config, text).expect("written");
        let keyring = Keyring::open(&config).unwrap_or_else(|error| panic!("{error:?}"));
        let metadata =
            json!({ "client_id": "shop", "id_token_signed_response_alg": algorithm }).to_string();
        let client = Client::from_json(metadata.as_bytes()).expect("a registration");
        let jwks = keyring.jwks(None, Party::Provider).document();
        let rules = PeerRules::verify(&[algorithm]).expect("a row");
        let published = PeerKeySet::from_jwks(jwks.json.as_bytes(), &rules).expect("a set");
        let private = std::fs::read_to_string(folder.join("keys.jwks")).expect("read");
        let oidc = keyring.oidc(None);
        Self {
            provider: oidc.provider(ISSUER),
            relying_party: oidc.relying_party(client.clone(), ISSUER),
            client,
            signing: keyring.label(&label).expect("mapped").keys().expect("mapped"),
            published: Arc::clone(published.keys().expect("a key")),
            private,
        }
    }

    /// An ID token of these claims, bound to an access token.
    #[must_use]
    pub fn issue(&self, claims: &Map<String, Value>) -> String {
        let options = IdTokenOptions { access_token: Some(ACCESS_TOKEN), ..Default::default() };
        self.provider.issue_id_token(&self.client, claims, &options).expect("made")
    }

    /// What the relying party finds in it.
    pub fn verify(&self, token: &str) -> VerifiedToken {
        let (nonce, access_token) = (Nonce::Is("n-0S6_WzA2Mj"), Some(ACCESS_TOKEN));
        let rules = IdTokenRules { nonce, access_token, ..Default::default() };
        let keys = Some(&self.published);
        self.relying_party.verify_id_token(keys, token, &rules).expect("verified")
    }
}

/// Signs and verifies the same claims with `jose`; prints nanoseconds of each.
const NODE: &str = r#"
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
const [folder, alg, jwks, payload] = process.argv.slice(1);
const require = createRequire(folder + "/package.json");
const jose = await import(pathToFileURL(require.resolve("jose")));
const jwk = JSON.parse(jwks).keys[0];
delete jwk.alg; delete jwk.key_ops; delete jwk.use;
const { d, p, q, dp, dq, qi, ...open } = jwk;
const [key, pub] = [await jose.importJWK(jwk, alg), await jose.importJWK(open, alg)];
const claims = JSON.parse(payload);
const sign = () => new jose.SignJWT(claims).setProtectedHeader({ alg, kid: jwk.kid, typ: "JWT" }).sign(key);
const token = await sign();
const verify = () => jose.jwtVerify(token, pub, { issuer: claims.iss, audience: "shop", algorithms: [alg] });
const times = [];
for (const act of [sign, verify]) {
  for (let i = 0; i < 200; i++) await act();
  const start = process.cpuUsage();
  for (let i = 0; i < 2000; i++) await act();
  const used = process.cpuUsage(start);
  times.push(((used.user + used.system) * 1000) / 2000);
}
console.log(times.join(" "));
"#;

fn node(algorithm: &str, jwks: &str, payload: &[u8]) -> [f64; 2] {
    let none = [f64::NAN; 2];
    let claims = String::from_utf8_lossy(payload).into_owned();
    let output = Command::new("node")
        .args(["--input-type=module", "-e", NODE])
        .arg(peers())
        .args([algorithm, jwks, &claims])
        .output();
    let Ok(output) = output else { return none };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut times = text.split_whitespace().filter_map(|number| number.parse().ok());
    match (times.next(), times.next()) {
        (Some(issue), Some(verify)) => [issue, verify],
        _ => {
            eprintln!("{}", String::from_utf8_lossy(&output.stderr));
            none
        }
    }
}
