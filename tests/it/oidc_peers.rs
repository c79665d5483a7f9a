//! ID, access and logout tokens back and forth with other people's libraries, signed and encrypted, in every algorithm
//! that both sides know.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use claviger::profiles::oidc::{
    AccessTokenOptions, AccessTokenRules, IdTokenOptions, IdTokenRules, LogoutTokenOptions,
    LogoutTokenRules, NoReplayCheck, Untyped,
};
use serde_json::{Value, json};

use crate::interop::peers;
use crate::oidc_house::{House, ISSUER, NOW, SECRET, claims, client, private, public, signed};

/// Signature algorithms and the pool's key for them.
const SIGNATURES: [(&str, &str); 13] = [
    ("ES256", "es256-1"),
    ("ES384", "es384-1"),
    ("ES512", "es512-1"),
    ("RS256", "rsa-1"),
    ("RS384", "rsa-1"),
    ("RS512", "rsa-1"),
    ("PS256", "rsa-1"),
    ("PS384", "rsa-1"),
    ("PS512", "rsa-1"),
    ("EdDSA", "ed-1"),
    ("HS256", ""),
    ("HS384", ""),
    ("HS512", ""),
];
const ENCRYPTIONS: [&str; 7] =
    ["RSA-OAEP", "RSA-OAEP-256", "ECDH-ES", "ECDH-ES+A256KW", "A128KW", "A256KW", "dir"];
const CONTENTS: [&str; 4] = ["A128CBC-HS256", "A256CBC-HS512", "A128GCM", "A256GCM"];

struct Case {
    id: String,
    alg: &'static str,
    encryption: Option<(&'static str, &'static str)>,
}

impl Case {
    fn all() -> Vec<Self> {
        let plain = SIGNATURES.iter().map(|(alg, _)| (*alg, None));
        let pairs = ENCRYPTIONS.iter().flat_map(|alg| CONTENTS.iter().map(move |enc| (*alg, *enc)));
        let nested = pairs.map(|pair| ("ES256", Some(pair)));
        plain
            .chain(nested)
            .map(|(alg, encryption)| Self { id: format!("{alg} {encryption:?}"), alg, encryption })
            .collect()
    }

    fn client(&self) -> claviger::profiles::oidc::Client {
        let mut metadata = json!({ "id_token_signed_response_alg": self.alg, "client_secret": SECRET,
            "jwks": { "keys": [public(self.encrypts_to())] } });
        if let Some((alg, enc)) = self.encryption {
            metadata["id_token_encrypted_response_alg"] = alg.into();
            metadata["id_token_encrypted_response_enc"] = enc.into();
        }
        client(metadata)
    }

    fn encrypts_to(&self) -> &'static str {
        let ecdh = self.encryption.is_some_and(|(alg, _)| alg.starts_with("ECDH"));
        if ecdh { "ecenc-1" } else { "enc-1" }
    }

    /// What the peer needs: our token, its keys and ours, the claims that it is to make a token of.
    fn task(&self, house: &House) -> Value {
        let given = claims(json!({ "sub": "alice", "nonce": "n-1" }));
        let options = IdTokenOptions { access_token: Some("at"), ..IdTokenOptions::default() };
        let token = house.provider().issue_id_token(&self.client(), &given, &options).unwrap();
        let signer = SIGNATURES.iter().find(|(alg, _)| *alg == self.alg).unwrap().1;
        let jwk = |of: fn(&str) -> Value, alias: &str| {
            let mut jwk = if alias.is_empty() { return Value::Null } else { of(alias) };
            // Some libraries hold a key to one algorithm.
            jwk.as_object_mut().unwrap().remove("alg");
            jwk
        };
        json!({ "id": self.id, "alg": self.alg, "encAlg": self.encryption.map(|(alg, _)| alg),
            "enc": self.encryption.map(|(_, enc)| enc), "token": token, "issuer": ISSUER, "audience": "shop",
            "now": NOW, "typ": "JWT", "secret": SECRET,
            "signs": jwk(private, signer), "verifies": jwk(public, signer),
            "decrypts": jwk(private, self.encrypts_to()), "encrypts": jwk(public, self.encrypts_to()),
            "claims": { "iss": ISSUER, "sub": "bob", "aud": "shop", "iat": NOW, "exp": NOW + 60 } })
    }
}

pub(crate) fn exchange(mut command: Command, tasks: &[Value]) -> Vec<Value> {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the peer starts");
    let mut input = child.stdin.take().unwrap();
    let lines: String = tasks.iter().map(|task| format!("{task}\n")).collect();
    let writer = std::thread::spawn(move || input.write_all(lines.as_bytes()).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn commands() -> Option<[(&'static str, Command); 2]> {
    let folder = peers()?;
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop");
    let mut node = Command::new("node");
    node.arg(scripts.join("oidc_peer.mjs")).arg(&folder);
    let python = folder.join("venv/bin/python");
    let has = Command::new(&python).args(["-c", "import jwt, jwcrypto"]).output().unwrap();
    if !has.status.success() {
        assert!(std::env::var_os("CI").is_none(), "run scripts/setup.sh first");
        println!(
            "PyJWT or jwcrypto is absent: run scripts/setup.sh for the interoperability tests"
        );
        return None;
    }
    let mut python = Command::new(python);
    python.arg(scripts.join("oidc_peer.py"));
    Some([("jose (npm)", node), ("PyJWT and jwcrypto (PyPI)", python)])
}

#[test]
fn id_tokens_go_back_and_forth_with_jose_and_with_pyjwt_in_jwcrypto() {
    let Some(commands) = commands() else { return };
    let house = House::new();
    let cases = Case::all();
    // The key that decrypts as a relying party, and the curve's key beside it.
    house.remap(|label, name| {
        let mut aliases = vec![format!("{name}-1"), format!("{name}-2")];
        if label.ends_with("rp.idtoken.encryption") {
            aliases.push("ecenc-1".into());
        }
        aliases
    });
    let tasks: Vec<Value> = cases.iter().map(|case| case.task(&house)).collect();
    for (name, command) in commands {
        let answers = exchange(command, &tasks);
        assert_eq!(answers.len(), cases.len(), "{name}");
        let mut failures = Vec::new();
        for (case, answer) in cases.iter().zip(&answers) {
            if answer["claims"]["sub"] != "alice" || answer["claims"]["nonce"] != "n-1" {
                failures.push(format!("{}: the peer says {}", case.id, answer["error"]));
                continue;
            }
            let keys = (!case.alg.starts_with("HS")).then(|| house.published(&[case.alg]));
            let made = answer["made"].as_str().unwrap();
            let rp = house.relying_party(&case.client());
            if let Err(error) = rp.verify_id_token(keys.as_ref(), made, &IdTokenRules::default()) {
                failures.push(format!("{}: we say {error:?}", case.id));
            }
        }
        assert!(
            failures.is_empty(),
            "{name}: {} of {}\n{}",
            failures.len(),
            cases.len(),
            failures.join("\n")
        );
        println!("interop: {} ID tokens with {name}", cases.len());
    }
}

#[test]
fn access_and_logout_tokens_are_read_by_peers_and_theirs_by_us() {
    let Some(commands) = commands() else { return };
    let house = House::new();
    let shop = client(json!({ "id_token_signed_response_alg": "ES256" }));
    let provider = house.provider_with(&[signed("ES256")]);
    let event = "http://schemas.openid.net/event/backchannel-logout";
    let common = |typ: &str, token: String, audience: &str, more: Value| {
        let mut all = json!({ "iss": ISSUER, "sub": "bob", "aud": audience, "iat": NOW, "exp": NOW + 60, "jti": "j" });
        all.as_object_mut().unwrap().extend(claims(more));
        json!({ "id": typ, "alg": "ES256", "token": token, "issuer": ISSUER, "audience": audience, "now": NOW,
            "typ": typ, "secret": SECRET, "signs": private("es256-1"), "verifies": public("es256-1"), "claims": all })
    };
    let options = AccessTokenOptions { audiences: &["https://api"], ..Default::default() };
    let given = || claims(json!({ "sub": "alice", "scope": "read" }));
    let access = provider.issue_access_token(&shop, &given(), &options).unwrap();
    let logout = provider.issue_logout_token(
        &shop,
        &claims(json!({ "sub": "alice" })),
        &LogoutTokenOptions::default(),
    );
    let tasks = [
        common("at+jwt", access, "https://api", json!({ "client_id": "shop", "scope": "read" })),
        common("logout+jwt", logout.unwrap(), "shop", json!({ "events": { event: {} } })),
    ];
    let rules =
        AccessTokenRules { audience: Some("https://api"), scopes: &["read"], ..Default::default() };
    let logout_rules =
        LogoutTokenRules { untyped: Untyped::Refused, max_lifetime: None, replay: &NoReplayCheck };
    for (name, command) in commands {
        let answers = exchange(command, &tasks);
        assert!(
            answers.iter().all(|answer| answer["claims"]["sub"] == "alice"),
            "{name}: {answers:?}"
        );
        let made = |index: usize| answers[index]["made"].as_str().unwrap();
        let found = provider.verify_access_token(made(0), &rules).unwrap();
        assert_eq!(found.claims["sub"], "bob");
        let published = house.published(&["ES256"]);
        let rp = house.relying_party(&shop);
        assert!(rp.verify_logout_token(Some(&published), made(1), &logout_rules).is_ok());
    }
}
