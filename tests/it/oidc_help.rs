//! The examples of every help of `claviger oidc`, word by word.

use std::path::Path;
use std::process::Command;

use crate::docs::shell;
use crate::support;

const KINDS: [&str; 10] = [
    "",
    "access-token",
    "client-assertion",
    "client-certificate",
    "id-token",
    "logout-token",
    "refresh-token",
    "request-object",
    "subject",
    "userinfo",
];

/// A provider and a relying party with the same keys, and a token of each kind.
const PREPARE: &str = r#"set -e; umask 077
claviger init .
new() { claviger -q generate "$1" --type "$2" --stage "$3" --store default-keystore; }
new at-1 rsa am.services.oauth2.stateless.signing.RSA
new at-2 ec am.services.oauth2.stateless.signing.ES256
new rp-1 ec am.services.oauth2.oidc.rp.jwt.authenticity.signing
claviger jwks --provider > op.jwks
claviger jwks --rp > us.jwks
claviger export rp-1 --store keystores/default.p12 --store-password-file secrets/storepass --format pem --out shop.pem
cat > shop.toml << 'END'
client_id = "shop"
id_token_signed_response_alg = "ES256"
userinfo_signed_response_alg = "ES256"
request_object_signing_alg = "ES256"
token_endpoint_auth_method = "private_key_jwt"
token_endpoint_auth_signing_alg = "ES256"
jwks_file = "us.jwks"
END
cp shop.toml us.toml
both="--issuer https://op.example --client shop.toml"
echo '{"sub":"alice","scope":"read"}' > claims.json
echo '{"sub":"alice","nonce":"n-1"}' | claviger oidc id-token issue $both --out id.jwt
cp id.jwt hint.jwt
claviger oidc access-token issue $both --audience https://api.example --in claims.json --out at.jwt
claviger oidc refresh-token issue $both --in claims.json --out rt.jwt
echo '{"sub":"alice","sid":"s-1"}' | claviger oidc logout-token issue $both --out lo.jwt
echo '{"response_type":"code"}' | claviger oidc request-object issue $both --out request.jwt
claviger oidc client-assertion issue $both --out assertion.jwt
echo '{"sub":"alice"}' | claviger oidc userinfo issue $both --out userinfo.jwt"#;

fn examples(kind: &str) -> Vec<String> {
    let mut help = Command::new(env!("CARGO_BIN_EXE_claviger"));
    let arguments = ["oidc", kind, "--help"];
    let arguments = arguments.into_iter().filter(|argument| !argument.is_empty());
    let help = help.args(arguments).env_remove("COLUMNS").output().unwrap();
    support::examples(&String::from_utf8(help.stdout).unwrap())
}

fn run(folder: &Path, command: &str) {
    let output = shell(command, folder);
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_examples_of_every_kind_work_as_they_stand() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), PREPARE);
    let shop = std::fs::read_to_string(folder.path().join("shop.toml")).unwrap();
    let mut count = 0;
    for kind in KINDS {
        let shows = kind == "client-certificate";
        let method = if shows { "self_signed_tls_client_auth" } else { "private_key_jwt" };
        let registered = shop.replace("private_key_jwt", method);
        std::fs::write(folder.path().join("shop.toml"), registered).unwrap();
        for example in examples(kind) {
            run(folder.path(), &example);
            count += 1;
            // One of them writes a registration, the least there is.
            if example.starts_with("printf") {
                std::fs::write(folder.path().join("shop.toml"), &shop).unwrap();
            }
        }
    }
    assert!(count >= 20, "{count}");
}
