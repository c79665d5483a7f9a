//! Whole flows on loopback with other people's software: `openid-client` at a provider of ours, and us as a relying
//! party at `oidc-provider`.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;

use claviger::clock::Clock;
use claviger::ops::{KeySet, PeerRules};
use claviger::profiles::jwks::Party;
use claviger::profiles::oidc::{
    AccessTokenRules, AssertionOptions, Client, IdTokenRules, LogoutTokenRules, NoReplayCheck,
    Nonce, RelyingParty, RequestObjectOptions, Untyped,
};
use serde_json::{Value, json};

use crate::interop::peers;
use crate::oidc_house::{House, SECRET, claims, client, part, private, public};
use crate::oidc_server::Server;

/// A script of ours over an npm package, which answers a JSON line with a JSON line.
struct Peer {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Peer {
    fn start(folder: &Path, script: &str) -> Self {
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop");
        let mut command = Command::new("node");
        command.arg(scripts.join(script)).arg(folder).env("NODE_NO_WARNINGS", "1");
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("node starts");
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, input, output }
    }

    fn ask(&mut self, task: &Value) -> Value {
        writeln!(self.input, "{task}").unwrap();
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn flows() -> Option<PathBuf> {
    let folder = peers()?;
    if folder.join("node_modules/oidc-provider").is_dir()
        && folder.join("node_modules/openid-client").is_dir()
    {
        return Some(folder);
    }
    assert!(std::env::var_os("CI").is_none(), "run scripts/setup.sh first");
    println!("oidc-provider or openid-client is absent: run scripts/setup.sh for the flows");
    None
}

/// A house at the time of day, which other people's programs live by.
fn house() -> House {
    let house = House::new();
    let now = Clock::system().now().duration_since(std::time::UNIX_EPOCH).unwrap();
    house.set(now.as_secs());
    house
}

#[test]
fn openid_client_completes_code_flows_at_our_provider_with_a_rotation_between_them() {
    let Some(folder) = flows() else { return };
    let house = house();
    let encrypted = json!({ "id_token_encrypted_response_alg": "RSA-OAEP-256",
        "id_token_encrypted_response_enc": "A256GCM" });
    let named = |alias: &str, usage: &str| {
        let mut jwk = public(alias);
        jwk["use"] = usage.into();
        jwk
    };
    // A client for each signature, one whose ID tokens are encrypted, one that authenticates with its secret.
    let mut tasks = Vec::new();
    let mut clients = Vec::new();
    for (id, alg) in [
        ("es", "ES256"),
        ("rs", "RS256"),
        ("ps", "PS256"),
        ("ed", "EdDSA"),
        ("enc", "ES256"),
        ("mac", "ES256"),
    ] {
        let mut metadata = json!({ "client_id": id, "id_token_signed_response_alg": alg,
            "token_endpoint_auth_method": "private_key_jwt", "request_object_signing_alg": "ES256",
            "jwks": { "keys": [named("es256-2", "sig"), named("enc-1", "enc")] } });
        let mut theirs = json!({ "id_token_signed_response_alg": alg });
        if id == "enc" {
            for (name, value) in encrypted.as_object().unwrap() {
                metadata[name] = value.clone();
                theirs[name] = value.clone();
            }
        }
        let mut task = json!({ "client": id, "metadata": theirs, "alg": "ES256", "signs": private("es256-2"),
            "signedRequest": true });
        if id == "enc" {
            task["decrypts"] = private("enc-1");
            task["encAlg"] = "RSA-OAEP-256".into();
            task["enc"] = "A256GCM".into();
        }
        if id == "mac" {
            metadata["token_endpoint_auth_method"] = "client_secret_jwt".into();
            metadata["client_secret"] = SECRET.into();
            task = json!({ "client": id, "metadata": theirs, "secret": SECRET });
        }
        clients.push(client(metadata));
        tasks.push(task);
    }
    let server = Server::start(&house.keyring, clients);
    let mut peer = Peer::start(&folder, "oidc_client.mjs");
    let mut kids = Vec::new();
    // The second key is published all the time; it acts in the second round, and the key sets that the client has fetched
    // know it already.
    for order in [[1, 2], [2, 1]] {
        house.remap(|_, name| order.iter().map(|number| format!("{name}-{number}")).collect());
        for task in &tasks {
            let mut task = task.clone();
            task["issuer"] = server.issuer.as_str().into();
            let answer = peer.ask(&task);
            let refused = server.refused();
            assert_eq!(answer["claims"]["sub"], "alice", "{} {answer} {refused:?}", task["client"]);
            let access = answer["accessToken"].as_str().unwrap();
            let found = server.provider().verify_access_token(access, &AccessTokenRules::default());
            assert_eq!(found.unwrap().claims["client_id"], task["client"]);
            kids.push((
                task["client"].clone(),
                part(answer["idToken"].as_str().unwrap(), 0)["kid"].clone(),
            ));
        }
    }
    let of = |id: &str| -> Vec<&Value> {
        kids.iter().filter(|(client, _)| client == id).map(|(_, kid)| kid).collect()
    };
    for id in ["es", "rs", "ps", "ed", "mac"] {
        assert!(of(id)[0] != of(id)[1], "{id}: {kids:?}");
    }
    assert!(server.refused().is_empty());
    println!("interop: {} flows with openid-client (npm)", kids.len());
}

const CALLBACK: &str = "https://shop.example.com/cb";
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// A code flow of one of our clients at `oidc-provider`; the ID token comes back.
fn flow(peer: &mut Peer, rp: &RelyingParty, keys: Option<&Arc<KeySet>>, round: usize) -> String {
    let id = rp.client().id();
    let (nonce, state) = (format!("n-{round}"), format!("s-{round}"));
    let asked = json!({ "client_id": id, "response_type": "code", "redirect_uri": CALLBACK, "scope": "openid email",
        "nonce": nonce, "state": state });
    let mut inside = claims(asked.clone());
    inside.remove("client_id");
    let request = rp.request_object(&inside, &RequestObjectOptions::default()).unwrap();
    let mut parameters = asked;
    parameters["request"] = request.into();
    let callback = peer.ask(&json!({ "act": "authorize", "parameters": parameters }));
    assert!(
        callback["state"] == state.as_str() && callback["code"].is_string(),
        "{id}: {callback}"
    );
    let assertion = rp.client_assertion(rp.issuer(), &AssertionOptions::default()).unwrap();
    let form = json!({ "grant_type": "authorization_code", "code": callback["code"], "redirect_uri": CALLBACK,
        "client_id": id, "client_assertion_type": JWT_BEARER, "client_assertion": assertion });
    let tokens = peer.ask(&json!({ "act": "token", "form": form }));
    let token = tokens["id_token"].as_str().unwrap_or_else(|| panic!("{id}: {tokens}"));
    let access = tokens["access_token"].as_str().unwrap();
    let rules = IdTokenRules {
        nonce: Nonce::Is(&nonce),
        access_token: Some(access),
        ..IdTokenRules::default()
    };
    let found = rp.verify_id_token(keys, token, &rules);
    let found = found.unwrap_or_else(|error| panic!("{id}: {error:?}"));
    assert_eq!(found.claims["sub"], "alice");
    let wrong = IdTokenRules { nonce: Nonce::Is("another"), ..IdTokenRules::default() };
    assert!(rp.verify_id_token(keys, token, &wrong).is_err());
    let answer = peer.ask(&json!({ "act": "userinfo", "accessToken": access }));
    let body = answer["body"].as_str().unwrap();
    let info = rp.open_userinfo(keys, body, "alice");
    assert_eq!(
        info.unwrap_or_else(|error| panic!("{id}: {error:?} {answer}"))["email"],
        "alice@example.com"
    );
    token.to_owned()
}

#[test]
fn we_complete_code_flows_at_oidc_provider_with_a_rotation_between_them() {
    let Some(folder) = flows() else { return };
    let house = house();
    let registrations = [
        json!({ "client_id": "plain", "token_endpoint_auth_method": "private_key_jwt",
            "token_endpoint_auth_signing_alg": "RS256", "id_token_signed_response_alg": "ES256",
            "request_object_signing_alg": "RS256", "userinfo_signed_response_alg": "RS256" }),
        json!({ "client_id": "nested", "token_endpoint_auth_method": "private_key_jwt",
            "token_endpoint_auth_signing_alg": "PS256", "id_token_signed_response_alg": "EdDSA",
            "id_token_encrypted_response_alg": "RSA-OAEP-256", "id_token_encrypted_response_enc": "A256GCM",
            "request_object_signing_alg": "PS256", "userinfo_signed_response_alg": "ES256",
            "userinfo_encrypted_response_alg": "RSA-OAEP", "userinfo_encrypted_response_enc": "A128CBC-HS256" }),
        json!({ "client_id": "mac", "token_endpoint_auth_method": "client_secret_jwt",
            "token_endpoint_auth_signing_alg": "HS256", "client_secret": SECRET,
            "id_token_signed_response_alg": "HS256", "id_token_encrypted_response_alg": "dir",
            "id_token_encrypted_response_enc": "A256CBC-HS512", "request_object_signing_alg": "HS256",
            "userinfo_signed_response_alg": "HS256", "userinfo_encrypted_response_alg": "A128KW",
            "userinfo_encrypted_response_enc": "A256GCM" }),
    ];
    let ours = house.keyring.jwks(None, Party::RelyingParty);
    let published = || serde_json::from_str::<Value>(&ours.document().json).unwrap();
    let mut peer = Peer::start(&folder, "oidc_op.mjs");
    let started =
        peer.ask(&json!({ "act": "start", "clients": registrations, "clientJwks": published() }));
    let issuer = started["issuer"].as_str().unwrap_or_else(|| panic!("{started}"));
    let mut made = 0;
    let mut last = None;
    for (round, order) in [[1, 2], [2, 1]].iter().enumerate() {
        house.remap(|_, name| order.iter().map(|number| format!("{name}-{number}")).collect());
        for registration in &registrations {
            let client = Client::from_json(registration.to_string().as_bytes()).unwrap();
            let rp = house.keyring.oidc(None).relying_party(client.clone(), issuer);
            let names =
                [client.id_token().signing.unwrap().name, client.userinfo().signing.unwrap().name];
            let keys = names.iter().all(|name| !name.starts_with("HS"));
            let keys = keys.then(|| peer_keys(&started["jwks"], &names));
            let token = flow(&mut peer, &rp, keys.as_ref(), round);
            last.get_or_insert((rp, keys, token));
            made += 1;
        }
    }
    // Logged out there, told here.
    let (rp, keys, token) = last.unwrap();
    let logout = json!({ "act": "logout", "idTokenHint": token, "clientId": rp.client().id() });
    let answer = peer.ask(&logout);
    let logout_token = answer["logoutToken"].as_str().unwrap_or_else(|| panic!("{answer}"));
    let rules =
        LogoutTokenRules { untyped: Untyped::Refused, max_lifetime: None, replay: &NoReplayCheck };
    let found = rp.verify_logout_token(keys.as_ref(), logout_token, &rules).unwrap();
    assert_eq!(found.claims["sub"], "alice");
    println!("interop: {made} flows with oidc-provider (npm)");
}

fn peer_keys(jwks: &Value, names: &[&str]) -> Arc<KeySet> {
    crate::oidc_house::peer(jwks, &PeerRules::verify(names).unwrap())
}
