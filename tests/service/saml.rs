//! SAML over HTTP: an identity provider and a service provider, each with the other's metadata.

use std::process::Command;

use serde_json::{Value, json};

use super::shop::{KEY, Shop};

const MAPPINGS: &str = "[stores.saml]\nkind = \"keystore\"\npath = \"saml.p12\"\n\
    store_password = { file = \"pass\" }\n\n[stores.saml.mappings]\n\
    \"am.default.applications.federation.entity.providers.saml2.idp.signing\" = [\"rsa\"]\n\
    \"am.default.applications.federation.entity.providers.saml2.sp.signing\" = [\"rsa\"]\n\
    \"am.default.applications.federation.entity.providers.saml2.sp.encryption\" = [\"rsa\"]\n\
    \"am.services.saml2.metadata.signing.RSA\" = [\"rsa\"]\n";

const RESPONSE: &str = r#"<samlp:Response xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="_r1" Version="2.0" IssueInstant="2027-01-15T08:00:00Z"><saml:Issuer>https://idp.example</saml:Issuer><saml:Assertion ID="_a1" Version="2.0" IssueInstant="2027-01-15T08:00:00Z"><saml:Issuer>https://idp.example</saml:Issuer><saml:Subject><saml:NameID>alice</saml:NameID></saml:Subject></saml:Assertion></samlp:Response>"#;
const REQUEST: &str = r#"<samlp:AuthnRequest xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="_q1" Version="2.0" IssueInstant="2027-01-15T08:00:00Z"><saml:Issuer>https://sp.example</saml:Issuer></samlp:AuthnRequest>"#;

fn shop(rights: &[&str]) -> Shop {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy("keystores/default.p12", folder.path().join("saml.p12")).unwrap();
    std::fs::copy("keystores/storepass.txt", folder.path().join("pass")).unwrap();
    Shop::in_folder(folder, rights, MAPPINGS)
}

fn post(shop: &Shop, what: &str, body: &Value) -> (u16, Value) {
    shop.running().post(&format!("/v1/saml/{what}"), KEY, body)
}

fn done(shop: &Shop, what: &str, body: &Value) -> Value {
    let (status, answer) = post(shop, what, body);
    assert_eq!(status, 200, "{what}: {answer}");
    answer
}

/// The metadata of a role, as its peer has them.
fn peer(shop: &Shop, role: &str) -> Value {
    let service = if role == "idp" { "SingleSignOnService" } else { "AssertionConsumerService" };
    let endpoint = json!({"service": service, "binding": "HTTP-POST",
        "location": format!("https://{role}.example/saml")});
    let body = json!({"role": role, "entity_id": format!("https://{role}.example"),
        "endpoints": [endpoint], "sign": true, "valid_for": 600});
    let written = done(shop, "metadata", &body);
    assert_eq!((&written["alias"], &written["cache_seconds"]), (&json!("rsa"), &json!(600)));
    json!({"metadata": written["xml"]})
}

#[test]
fn a_response_is_signed_encrypted_decrypted_and_believed() {
    let shop = shop(&["saml-sign", "saml-open"]);
    let (idp, sp) = (peer(&shop, "idp"), peer(&shop, "sp"));
    let body = json!({"role": "idp", "xml": RESPONSE, "what": "assertion", "peer": sp});
    let signed = done(&shop, "sign", &body);
    assert_eq!((&signed["id"], &signed["alias"]), (&json!("_a1"), &json!("rsa")), "{signed}");
    let body = json!({"peer": sp, "xml": signed["xml"]});
    let encrypted = done(&shop, "encrypt", &body)["xml"].clone();
    assert!(!encrypted.as_str().unwrap().contains("alice"));
    let opened = done(&shop, "decrypt", &json!({"role": "sp", "xml": encrypted}));
    let assertion = opened["elements"][0]["xml"].clone();
    let ask = json!({"peer": idp, "xml": assertion, "expect": "assertion"});
    let believed = done(&shop, "verify", &ask);
    assert!(believed["elements"][0]["xml"].as_str().unwrap().contains("alice"), "{believed}");
    assert_eq!(believed["elements"][0]["id"], json!("_a1"));
    let tampered = assertion.as_str().unwrap().replace("alice", "bob");
    let (status, problem) = post(&shop, "verify", &json!({"peer": idp, "xml": tampered}));
    assert_eq!((status, &problem["code"]), (422, &json!("not_verified")), "{problem}");
    let (status, _) = post(&shop, "verify", &json!({"peer": idp, "xml": RESPONSE}));
    assert_eq!(status, 422);
    assert_eq!(post(&shop, "verify", &json!({"peer": sp, "xml": assertion})).0, 422);
    let cut = encrypted.as_str().unwrap().replace("CipherValue>", "CipherValue>AAAA");
    assert_eq!(post(&shop, "decrypt", &json!({"role": "sp", "xml": cut})).0, 422);
}

#[test]
fn a_query_of_the_redirect_binding_holds_as_it_stands() {
    let shop = shop(&["saml-sign", "saml-open"]);
    let body = json!({"role": "sp", "xml": REQUEST, "relay_state": "a b"});
    let signed = done(&shop, "redirect/sign", &body);
    let query = signed["query"].as_str().unwrap();
    let sp = peer(&shop, "sp");
    let found = done(&shop, "redirect/verify", &json!({"peer": sp, "query": query}));
    assert_eq!(
        (&found["parameter"], &found["relay_state"]),
        (&json!("SAMLRequest"), &json!("a b"))
    );
    assert!(found["xml"].as_str().unwrap().contains("_q1"), "{found}");
    let other = query.replace("RelayState=a", "RelayState=b");
    assert_eq!(post(&shop, "redirect/verify", &json!({"peer": sp, "query": other})).0, 422);
}

#[test]
fn what_the_command_line_chooses_bodies_choose_as_well() {
    let shop = shop(&["saml-sign", "saml-open"]);
    let (idp, sp) = (peer(&shop, "idp"), peer(&shop, "sp"));
    let sign = |more: Value| {
        let mut body = json!({"role": "idp", "xml": RESPONSE, "what": "assertion"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        done(&shop, "sign", &body)["xml"].as_str().unwrap().to_owned()
    };
    let plain = sign(json!({}));
    assert!(plain.contains("X509Certificate") && plain.contains("xmlenc#sha256"), "{plain}");
    assert!(!plain.contains("PrefixList"));
    let chosen = sign(json!({"digest": "sha512", "prefixes": "saml xs", "key_info": "none"}));
    assert!(
        chosen.contains("xmlenc#sha512") && chosen.contains("PrefixList=\"saml xs\""),
        "{chosen}"
    );
    assert!(!chosen.contains("KeyInfo"), "{chosen}");
    assert!(sign(json!({"key_info": "leaf"})).contains("X509Certificate"));
    let believed = done(&shop, "verify", &json!({"peer": idp, "xml": chosen}));
    assert_eq!(believed["elements"][0]["id"], json!("_a1"));

    let oaep = json!({"peer": sp, "xml": RESPONSE, "key_transport": "rsa-oaep", "digest": "sha384", "mgf": "sha512"});
    let encrypted = done(&shop, "encrypt", &oaep)["xml"].as_str().unwrap().to_owned();
    assert!(encrypted.contains("sha384") && encrypted.contains("mgf1sha512"), "{encrypted}");
    assert!(encrypted.contains("X509Certificate"), "{encrypted}");
    let silent = json!({"peer": sp, "xml": RESPONSE, "key_info": "none"});
    let silent = done(&shop, "encrypt", &silent)["xml"].as_str().unwrap().to_owned();
    assert!(!silent.contains("X509Certificate"), "{silent}");
    done(&shop, "decrypt", &json!({"role": "sp", "xml": encrypted}));

    // What the peer names is not made without a switch.
    let cbc = |bits: u16, metadata: &str| {
        let gcm = format!("http://www.w3.org/2009/xmlenc11#aes{bits}-gcm");
        metadata.replace(&gcm, &format!("http://www.w3.org/2001/04/xmlenc#aes{bits}-cbc"))
    };
    let other = json!({"metadata": cbc(256, &cbc(128, sp["metadata"].as_str().unwrap()))});
    let encrypted = done(&shop, "encrypt", &json!({"peer": other, "xml": RESPONSE}));
    assert_eq!(encrypted["unnamed"], json!(["aes256-gcm"]));
    let allowed = json!({"peer": other, "xml": RESPONSE, "allow": ["cbc"]});
    let encrypted = done(&shop, "encrypt", &allowed);
    assert_eq!((&encrypted["content"], encrypted.get("unnamed")), (&json!("aes256-cbc"), None));

    // Of RSA there is one form.
    let query = |xml: &str| {
        let query = json!({"role": "sp", "xml": xml, "ecdsa_der": true});
        let query = done(&shop, "redirect/sign", &query)["query"].clone();
        json!({"peer": sp, "query": query, "allow": ["der-ecdsa"]})
    };
    done(&shop, "redirect/verify", &query(REQUEST));
    // The same key, which speaks for no other entity.
    assert_eq!(post(&shop, "redirect/verify", &query(RESPONSE)).0, 422);

    let mut ours = json!({"role": "sp", "entity_id": "https://sp.example", "endpoints": [],
        "encryption_methods": ["aes128-gcm", "rsa-oaep"]});
    let written = done(&shop, "metadata", &ours);
    let xml = written["xml"].as_str().unwrap();
    assert!(xml.contains("aes128-gcm") && !xml.contains("aes256-gcm"), "{xml}");
    assert_eq!(written["missing_service"], json!("AssertionConsumerService"));
    ours["endpoints"] = json!([{"service": "AssertionConsumerService", "binding": "HTTP-POST", "location": "https://sp.example/acs"}]);
    assert!(done(&shop, "metadata", &ours).get("missing_service").is_none());

    let wrong = |base: Value, name: &str, value: Value| {
        let mut body = base;
        body[name] = value;
        body
    };
    let signed = json!({"role": "idp", "xml": RESPONSE});
    for (what, body) in [
        ("sign", wrong(signed.clone(), "digest", json!("sha1"))),
        ("sign", wrong(signed.clone(), "prefixes", json!("a\"b"))),
        ("sign", wrong(signed, "key_info", json!("all"))),
        ("encrypt", json!({"peer": sp, "xml": RESPONSE, "mgf": "sha256"})),
        ("metadata", wrong(ours.clone(), "encryption_methods", json!(["nothing"]))),
        ("metadata", wrong(ours, "encryption_methods", json!(["rsa-oaep", "rsa-oaep"]))),
    ] {
        let (status, problem) = post(&shop, what, &body);
        assert_eq!(status, 400, "{what} {body}: {problem}");
    }
}

#[test]
fn mistakes_are_told_and_old_metadata_are_refused() {
    let shop = shop(&["saml-sign", "saml-open"]);
    let idp = peer(&shop, "idp");
    let elliptic = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ed25519", "-nodes", "-subj", "/CN=e", "-keyout"])
        .arg(shop.path().join("unused.key"))
        .output()
        .unwrap();
    let elliptic = json!({"certificates": String::from_utf8(elliptic.stdout).unwrap()});
    let chosen = |by: &str, what: &str| {
        let mut peer = elliptic.clone();
        peer[by] = json!(what);
        peer
    };
    let metadata = |entity_id: &str, location: &str| {
        let endpoint = json!({"service": "SingleSignOnService", "binding": "HTTP-POST",
            "location": location});
        json!({"role": "idp", "entity_id": entity_id, "endpoints": [endpoint]})
    };
    let mut at_once = metadata("https://i", "https://i");
    at_once["valid_for"] = json!(0);
    assert_eq!(post(&shop, "metadata", &metadata("https://i", "https://i?a&<>\"")).0, 200);
    for (what, body) in [
        ("encrypt", json!({"peer": elliptic, "xml": RESPONSE})),
        ("metadata", metadata("https://i\u{1}", "https://i")),
        ("metadata", metadata("https://i", "https://i\u{ffff}")),
        ("metadata", metadata("https://i", "")),
        ("metadata", metadata("https://i", "/acs")),
        ("metadata", metadata("https://i", "https:///acs")),
        ("metadata", metadata("https://i", "javascript:alert(1)")),
        ("metadata", at_once),
        ("sign", json!({"role": "idp", "xml": "<a"})),
        ("sign", json!({"role": "idp", "xml": RESPONSE, "id": "_a1"})),
        ("sign", json!({"role": "idp", "xml": "<a/>"})),
        ("sign", json!({"role": "both", "xml": RESPONSE})),
        ("verify", json!({"peer": {}, "xml": RESPONSE})),
        ("verify", json!({"peer": chosen("role", "idp"), "xml": RESPONSE})),
        ("verify", json!({"peer": chosen("entity_id", "https://i"), "xml": RESPONSE})),
        ("verify", json!({"peer": idp, "xml": RESPONSE, "allow": ["everything"]})),
        ("encrypt", json!({"peer": idp, "xml": REQUEST})),
    ] {
        let (status, problem) = post(&shop, what, &body);
        assert_eq!(status, 400, "{what} {body}: {problem}");
    }
    let (_, problem) = post(&shop, "encrypt", &json!({"peer": elliptic, "xml": RESPONSE}));
    assert!(problem["detail"].as_str().unwrap().contains("Ed25519"), "{problem}");
    shop.wait(700);
    let (status, problem) = post(&shop, "verify", &json!({"peer": idp, "xml": RESPONSE}));
    assert!((400..500).contains(&status), "{problem}");
}

#[test]
fn making_and_opening_are_two_rights() {
    for (right, allowed) in [
        ("saml-sign", &["sign", "encrypt", "metadata", "redirect/sign"][..]),
        ("saml-open", &["verify", "decrypt", "redirect/verify"]),
    ] {
        let shop = Shop::new(&[right]);
        for what in
            ["sign", "encrypt", "metadata", "redirect/sign", "verify", "decrypt", "redirect/verify"]
        {
            let (status, _) = post(&shop, what, &json!({"none": 1}));
            assert_eq!(status, if allowed.contains(&what) { 400 } else { 403 }, "{right} {what}");
        }
    }
}
