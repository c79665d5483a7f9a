//! A Python client that openapi-python-client (PyPI) generates from the OpenAPI document calls every route.

use std::path::Path;
use std::process::Command;

use claviger::access::Right;

use super::shop::{Shop, jwk};

/// What the profiles need besides the labels of the shop.
const MAPPINGS: &str = "[stores.more]\nkind = \"keystore\"\npath = \"more.jwks\"\nintegrity = \"none\"\n\n\
    [stores.more.mappings]\n\"am.authn.authid.signing.HMAC\" = [\"h\"]\n\
    \"am.global.services.session.clientbased.encryption.AES\" = [\"k\"]\n\
    \"am.services.oauth2.oidc.rp.jwt.authenticity.signing\" = [\"e\"]\n\
    \"am.services.oauth2.stateless.signing.ES256\" = [\"e\"]\n\n\
    [stores.saml]\nkind = \"keystore\"\npath = \"saml.p12\"\nstore_password = { file = \"pass\" }\n\n\
    [stores.saml.mappings]\n\
    \"am.default.applications.federation.entity.providers.saml2.idp.signing\" = [\"rsa\"]\n\
    \"am.default.applications.federation.entity.providers.saml2.sp.signing\" = [\"rsa\"]\n\
    \"am.default.applications.federation.entity.providers.saml2.sp.encryption\" = [\"rsa\"]\n\
    \"am.services.saml2.metadata.signing.RSA\" = [\"rsa\"]\n\n\
    [sessions]\nsigning = []\nencryption = [\"AES\"]\n";

/// A shop in which every route has something to do, for a caller with every right.
fn shop() -> Shop {
    let folder = tempfile::tempdir().unwrap();
    let keys = [("e", "ec"), ("h", "hmac"), ("k", "aes")].map(|(alias, kind)| jwk(alias, kind));
    let keys = format!("{{\"keys\":[{}]}}", keys.join(","));
    std::fs::write(folder.path().join("more.jwks"), keys).unwrap();
    std::fs::copy("keystores/default.p12", folder.path().join("saml.p12")).unwrap();
    std::fs::copy("keystores/storepass.txt", folder.path().join("pass")).unwrap();
    let rights: Vec<String> = Right::ALL.iter().map(ToString::to_string).collect();
    let rights: Vec<&str> = rights.iter().map(String::as_str).collect();
    Shop::in_folder(folder, &rights, MAPPINGS)
}

#[test]
fn a_generated_client_calls_every_route_and_gets_what_is_documented() {
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join(target).join("interop/venv/bin/python");
    if !python.is_file() {
        assert!(std::env::var_os("CI").is_none(), "{python:?} is missing: sh scripts/setup.sh");
        println!("the Python peers are not installed: sh scripts/setup.sh installs them");
        return;
    }
    let (shop, folder) = (shop(), tempfile::tempdir().unwrap());
    let output = Command::new(&python)
        .arg(root.join("tests/interop/http_client.py"))
        .arg(format!("http://{}", shop.running().address))
        .arg("the key of portal")
        .arg(folder.path())
        .output()
        .unwrap();
    let [told, trouble] =
        [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    assert!(output.status.success(), "{told}{trouble}");
    let operations = claviger::service::route_table().len();
    assert_eq!(told, format!("{operations} operations\n"));
}
