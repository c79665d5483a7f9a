//! `claviger saml` as a user types it: every command, a rotation, and wrong input.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::support::examples;

const SP: &str = "am.default.applications.federation.entity.providers.saml2.sp";
const IDP: &str = "am.default.applications.federation.entity.providers.saml2.idp";
const RESPONSE: &str = "<samlp:Response xmlns:samlp=\"urn:oasis:names:tc:SAML:2.0:protocol\" \
    xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\" ID=\"_r\"><saml:Issuer>https://idp</saml:Issuer>\
    <saml:Assertion ID=\"_a\"><saml:Issuer>https://idp</saml:Issuer><saml:Subject><saml:NameID>alice</saml:NameID>\
    </saml:Subject></saml:Assertion></samlp:Response>";

fn request(issuer: &str) -> String {
    let response = RESPONSE[..RESPONSE.find("<saml:Assertion").unwrap()]
        .replace("samlp:Response", "samlp:AuthnRequest")
        .replace("https://idp<", &format!("{issuer}<"));
    response + "</samlp:AuthnRequest>"
}

fn claviger(folder: &Path, arguments: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_claviger"))
        .args(arguments.split_whitespace())
        .current_dir(folder)
        .env_remove("CLAVIGER_CONFIG")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// What a command writes; it must succeed.
fn done(folder: &Path, arguments: &str) -> String {
    let output = claviger(folder, arguments);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments}: {told}");
    String::from_utf8(output.stdout).unwrap()
}

/// The exit code and what is said of a command that fails.
fn fails(folder: &Path, arguments: &str) -> (i32, String) {
    let output = claviger(folder, &format!("{arguments} --json"));
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let error = &answer["error"];
    let help = error["help"].as_str().unwrap_or_else(|| panic!("{arguments}: {answer}"));
    assert!(!help.contains("COMMAND"), "{arguments}: {answer}");
    (output.status.code().unwrap(), error["code"].as_str().unwrap().to_owned())
}

/// A provider of each role with two keys to sign with, the second one staged, and two to decrypt with.
fn providers() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    std::fs::write(root.join("password"), "changeit").unwrap();
    for alias in ["sign-1", "sign-2", "enc-1", "enc-2", "meta-1"] {
        done(
            root,
            &format!(
                "generate {alias} --type rsa --bits 2048 --store saml.p12 --store-password-file password"
            ),
        );
    }
    configure(root, "\"sign-1\", \"sign-2\"", "\"enc-1\", \"enc-2\"");
    std::fs::write(root.join("response.xml"), RESPONSE).unwrap();
    folder
}

fn configure(root: &Path, signing: &str, encryption: &str) {
    let text = format!(
        "[keyring]\nstate_dir = \"state\"\n[stores.saml]\nkind = \"keystore\"\npath = \"saml.p12\"\n\
         store_password = {{ file = \"password\" }}\n[stores.saml.mappings]\n\
         \"{SP}.signing\" = [{signing}]\n\"{SP}.encryption\" = [{encryption}]\n\
         \"{IDP}.signing\" = [{signing}]\n\"am.services.saml2.metadata.signing.RSA\" = [\"meta-1\"]\n"
    );
    std::fs::write(root.join("claviger.toml"), text).unwrap();
}

/// Of both roles, with what else `write` is told.
fn write_metadata(root: &Path, more: &str) {
    for role in ["idp", "sp"] {
        let entity = format!("--role {role} --entity-id https://{role}");
        done(root, &format!("saml metadata write {entity} {more} --out {role}.xml"));
    }
}

/// The metadata of one day, and what is signed and encrypted before, during and after a rotation.
#[test]
fn yesterdays_metadata_is_served_until_the_old_alias_goes() {
    let folder = providers();
    let root = folder.path();
    write_metadata(root, "--sign");
    std::fs::write(root.join("request.xml"), request("https://sp")).unwrap();
    for (day, signing, encryption, opens) in [
        ("staged", "\"sign-1\", \"sign-2\"", "\"enc-1\", \"enc-2\"", true),
        ("promoted", "\"sign-2\", \"sign-1\"", "\"enc-2\", \"enc-1\"", true),
        ("retired", "\"sign-2\"", "\"enc-2\"", false),
    ] {
        configure(root, signing, encryption);
        done(
            root,
            &format!(
                "saml sign --role idp --what assertion --metadata sp.xml --in response.xml --out {day}.xml"
            ),
        );
        done(root, &format!("saml encrypt --metadata sp.xml --in {day}.xml --out {day}.enc"));
        let opened =
            claviger(root, &format!("saml decrypt --role sp --in {day}.enc --out {day}.plain"));
        assert_eq!(opened.status.success(), opens, "{day}");
        let what = if opens { "plain" } else { "xml" };
        let believed = done(root, &format!("saml verify --metadata idp.xml --in {day}.{what}"));
        assert!(
            believed.starts_with("<saml:Assertion") && believed.contains(">alice<"),
            "{believed}"
        );
        done(
            root,
            &format!(
                "saml redirect sign --role sp --to https://idp/sso --relay-state x --in request.xml --out {day}.url"
            ),
        );
        let message = done(root, &format!("saml redirect verify --metadata sp.xml --in {day}.url"));
        assert_eq!(message, request("https://sp"));
    }
    // What the first alias signed holds for as long as it is in the list, and no longer.
    assert_eq!(fails(root, "saml verify --role idp --in staged.xml"), (1, "not_verified".into()));
    assert_eq!(fails(root, "saml decrypt --role sp --in staged.enc"), (1, "not_decrypted".into()));
}

/// Hosts of many entities sign with one key for all of them: what names another as its Issuer is not the peer's.
#[test]
fn a_peer_known_by_metadata_speaks_for_itself_alone() {
    let folder = providers();
    let root = folder.path();
    write_metadata(root, "");
    // Both roles sign with the same key.
    let idp = std::fs::read_to_string(root.join("idp.xml")).unwrap();
    let leaf = idp.split("X509Certificate>").nth(1).unwrap().trim_end_matches("</ds:");
    std::fs::write(
        root.join("idp.pem"),
        format!("-----BEGIN CERTIFICATE-----\n{leaf}\n-----END CERTIFICATE-----\n"),
    )
    .unwrap();
    let verify = |name: &str, text: &str, what: &str, peer: &str| {
        std::fs::write(root.join("in.xml"), text).unwrap();
        done(root, &format!("saml sign --role idp --what {what} --in in.xml --out {name}.xml"));
        claviger(root, &format!("-v saml verify --{peer} --in {name}.xml"))
    };
    let is_refused = |output: &Output, why: &str| {
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(output.stdout.is_empty() && told.contains(why), "{told}");
    };
    let other = RESPONSE.replace("https://idp<", "https://other<");
    let spread = RESPONSE.replace("https://idp<", "\n  https://i<!-- -->dp\n<");
    let nameless = RESPONSE.replace("<saml:Issuer>https://idp</saml:Issuer>", "");
    let twice = RESPONSE.replace(
        "</saml:Issuer><saml:Subject",
        "</saml:Issuer><saml:Issuer>https://other</saml:Issuer><saml:Subject",
    );
    const ISSUER: &str = "its Issuer is another entity than the metadata are of";
    for (n, what) in ["message", "assertion"].into_iter().enumerate() {
        is_refused(&verify(&format!("other{n}"), &other, what, "metadata idp.xml"), ISSUER);
        let by_key = verify(&format!("key{n}"), &other, what, "certificate idp.pem");
        assert!(by_key.status.success(), "{by_key:?}");
        for (name, text) in [("own", RESPONSE), ("spread", &spread), ("nameless", &nameless)] {
            let held = verify(&format!("{name}{n}"), text, what, "metadata idp.xml");
            assert!(held.status.success(), "{name}: {held:?}");
        }
        let by_sp = RESPONSE.replace("https://idp<", "https://sp<");
        let by_sp = verify(&format!("sp{n}"), &by_sp, what, "metadata sp.xml");
        is_refused(&by_sp, "a service provider makes neither assertions nor a Response");
    }
    is_refused(&verify("twice", &twice, "assertion", "metadata idp.xml"), ISSUER);

    for (issuer, counts) in [("https://sp", true), ("https://other", false)] {
        std::fs::write(root.join("request.xml"), request(issuer)).unwrap();
        let query = done(root, "saml redirect sign --role sp --in request.xml");
        std::fs::write(root.join("query.txt"), query).unwrap();
        let output = claviger(root, "-v saml redirect verify --metadata sp.xml --in query.txt");
        if counts {
            assert!(output.status.success(), "{output:?}");
        } else {
            is_refused(&output, ISSUER);
        }
    }
}

/// Who wants the keys alone gets them, and is told what the schema asks for.
#[test]
fn metadata_without_the_service_of_its_role_say_so() {
    let folder = providers();
    let root = folder.path();
    for (role, service) in [("idp", "SingleSignOnService"), ("sp", "AssertionConsumerService")] {
        let write = format!("saml metadata write --role {role} --entity-id https://x");
        let told = |line: &str| {
            let output = claviger(root, line);
            assert!(output.status.success(), "{line}");
            String::from_utf8(output.stderr).unwrap().contains(&format!("it has no {service}"))
        };
        assert!(told(&write));
        assert!(!told(&format!("{write} --endpoint {service}=HTTP-POST@https://x/y")));
    }
}

/// Metadata shows a staged key, and peers may keep the old ones: it acts once those have ended.
#[test]
fn a_staged_key_acts_only_when_old_metadata_have_ended() {
    let folder = providers();
    let root = folder.path();
    configure(root, "\"sign-1\"", "\"enc-1\"");
    let text = std::fs::read_to_string(root.join("claviger.toml")).unwrap();
    std::fs::write(root.join("claviger.toml"), text + "[policy]\njwks_max_age = \"2h\"\n").unwrap();
    done(root, &format!("stage {IDP}.signing sign-2"));
    let refused = claviger(root, &format!("promote {IDP}.signing sign-2 --json"));
    let answer: Value = serde_json::from_slice(&refused.stdout).unwrap();
    assert_eq!(answer["error"]["code"], "not_announced");
    let message = answer["error"]["message"].as_str().unwrap();
    assert!(message.contains("in 2 h"), "{message}");
}

#[test]
fn metadata_follow_the_schedule() {
    let folder = providers();
    let root = folder.path();
    let answer = |root: &Path| -> Value {
        let text = done(root, "saml metadata write --role sp --entity-id https://sp --json");
        serde_json::from_str(&text).unwrap()
    };
    // Of two aliases of each label no journal knows: nothing is planned, and nothing ends.
    let found = answer(root);
    assert!(found["valid_until"].is_null() && found["cache_seconds"] == 3_600, "{found}");
    configure(root, "\"sign-1\"", "\"enc-1\"");
    let mut text = std::fs::read_to_string(root.join("claviger.toml")).unwrap();
    text.push_str(&format!("[policy]\njwks_max_age = \"2h\"\n[rotation.\"{SP}.signing\"]\nperiod = \"90d\"\noverlap = \"30d\"\nalias = \"sign-{{date}}\"\n"));
    std::fs::write(root.join("claviger.toml"), text).unwrap();
    let found = answer(root);
    let told = found["valid_until"].as_str().unwrap();
    let written = found["xml"].as_str().unwrap();
    assert!(written.contains(&format!("validUntil=\"{told}\"")), "{found}");
    let until = claviger::clock::parse_rfc3339(told).unwrap();
    let days =
        until.duration_since(claviger::clock::Clock::system().now()).unwrap().as_secs() / 86_400;
    // The key that acts in 90 days is not in it.
    assert!((88..=90).contains(&days), "{found}");
    assert_eq!(found["cache_seconds"], 7_200);
    let shorter =
        done(root, "saml metadata write --role sp --entity-id https://sp --valid-for 90s");
    assert!(
        shorter.contains("validUntil=\"") && shorter.contains("cacheDuration=\"PT"),
        "{shorter}"
    );
    std::fs::write(root.join("old.xml"), shorter.replace("validUntil=\"20", "validUntil=\"19"))
        .unwrap();
    done(root, "saml sign --role sp --in response.xml --out signed.xml");
    let refused = fails(root, "saml verify --metadata old.xml --in signed.xml");
    assert_eq!(refused, (1, "claims_rejected".into()));
}

/// A drill makes signed and encrypted XML with every alias, in every algorithm of the label.
#[test]
fn drills_make_and_open_real_messages() {
    let folder = providers();
    let root = folder.path();
    for (label, kinds) in [
        (format!("{IDP}.signing"), &["XML RS256", "XML PS512"][..]),
        (format!("{SP}.encryption"), &["XML rsa-oaep-mgf1p", "XML rsa-oaep"]),
    ] {
        let answer: Value =
            serde_json::from_str(&done(root, &format!("drill {label} --json"))).unwrap();
        let text = answer.to_string();
        for kind in kinds {
            assert!(text.contains(&format!("\"token\":\"{kind}\"")), "{kind}: {text}");
        }
        assert!(text.contains("\"refused\"") && !text.contains("\"fates\":[\"breaks\""), "{text}");
    }
    done(root, "drill");
}

/// What is verified and decrypted is recorded, so that a plan is held against it.
#[test]
fn traces_tell_what_a_plan_breaks() {
    let folder = providers();
    let root = folder.path();
    let recorded = |file: &str| {
        let text = std::fs::read_to_string(root.join("claviger.toml")).unwrap();
        std::fs::write(root.join(file), text + "[trace]\nrecord = true\n").unwrap();
    };
    configure(root, "\"sign-2\"", "\"enc-2\"");
    recorded("retired.toml");
    configure(root, "\"sign-2\", \"sign-1\"", "\"enc-2\", \"enc-1\"");
    recorded("promoted.toml");
    configure(root, "\"sign-1\", \"sign-2\"", "\"enc-1\", \"enc-2\"");
    recorded("claviger.toml");
    done(root, "saml sign --role idp --what assertion --in response.xml --out signed.xml");
    done(
        root,
        "saml encrypt --role sp --content aes128-cbc --allow cbc --in signed.xml --out encrypted.xml",
    );
    done(root, "saml verify --role idp --in signed.xml");
    done(root, "saml decrypt --role sp --allow cbc --in encrypted.xml");
    assert!(!claviger(root, "saml decrypt --role sp --in encrypted.xml").status.success());
    let plan = |file: &str| -> Value {
        let output = claviger(root, &format!("drill --plan {file} --json"));
        let mut answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        answer["replay"].take()
    };
    assert_eq!(plan("promoted.toml")["broken"], 0, "{}", plan("promoted.toml"));
    let found = plan("retired.toml");
    let breaks = found["breaks"].as_array().unwrap_or_else(|| panic!("{found}"));
    let labels: Vec<&str> = breaks.iter().filter_map(|one| one["label"].as_str()).collect();
    assert_eq!(labels.len(), 2, "{found}");
    assert!(
        labels.contains(&&*format!("{IDP}.signing"))
            && labels.contains(&&*format!("{SP}.encryption"))
    );
    assert_eq!(found["refused"], 1);
}

#[test]
fn wrong_input_is_told_with_the_next_step() {
    let folder = providers();
    let root = folder.path();
    done(root, "saml metadata write --role idp --entity-id https://idp --out idp.xml");
    done(root, "saml sign --role idp --in response.xml --out signed.xml");
    for (arguments, exit, code) in [
        ("saml sign --in response.xml", 2, "usage"),
        ("saml sign --role idp --in idp.xml --id _x", 2, "usage"),
        ("saml sign --role idp --in signed.xml", 2, "usage"),
        ("saml sign --role idp --alg HS256 --in response.xml", 2, "algorithm_not_allowed"),
        ("saml sign --role idp --alg rsa-sha1 --in response.xml", 2, "algorithm_not_allowed"),
        ("saml sign --role idp --in claviger.toml", 1, "malformed"),
        ("saml sign --role idp --identifier a/b --in response.xml", 2, "usage"),
        ("saml sign --role idp --what metadata --in response.xml", 2, "usage"),
        ("saml sign --what metadata --in response.xml", 2, "usage"),
        ("saml verify --in signed.xml", 2, "usage"),
        ("saml verify --role idp --metadata idp.xml --in signed.xml", 2, "usage"),
        ("saml verify --role idp --allow sha2 --in signed.xml", 2, "usage"),
        ("saml verify --role idp --in response.xml", 1, "not_verified"),
        ("saml verify --role idp --expect assertion --in signed.xml", 1, "not_verified"),
        ("saml verify --metadata idp.xml --entity https://other --in signed.xml", 2, "usage"),
        ("saml verify --certificate response.xml --in signed.xml", 2, "damaged"),
        ("saml encrypt --metadata idp.xml --in signed.xml", 2, "usage"),
        ("saml encrypt --in signed.xml", 2, "usage"),
        (
            "saml encrypt --role sp --content tripledes-cbc --allow cbc,3des --in response.xml",
            2,
            "algorithm_not_allowed",
        ),
        ("saml encrypt --role sp --kind new-id --in signed.xml", 2, "usage"),
        ("saml decrypt --role sp --in signed.xml", 1, "not_decrypted"),
        ("saml decrypt --role idp --in signed.xml", 2, "unknown_label"),
        ("saml redirect verify --role idp --in signed.xml", 1, "not_verified"),
        ("saml redirect sign --role idp --to idp --in response.xml", 2, "usage"),
        ("saml redirect sign --role idp --to httpx --in response.xml", 2, "usage"),
        ("saml redirect sign --role idp --to https://idp/\u{7} --in response.xml", 2, "usage"),
        (
            "saml redirect sign --role idp --to https://idp/?a=b&SigAlg=c --in response.xml",
            2,
            "usage",
        ),
        ("saml post unwrap --in signed.xml", 1, "malformed"),
        ("saml soap unwrap --in signed.xml", 1, "malformed"),
        ("saml artifact --in signed.xml", 1, "malformed"),
        ("saml metadata write --role idp --entity-id x --endpoint y", 2, "usage"),
        ("saml metadata write --role idp --entity-id x --valid-for soon", 2, "usage"),
        ("saml metadata write --role idp --entity-id x --valid-for 0s", 2, "usage"),
        (
            "saml metadata write --role idp --entity-id x --endpoint AssertionConsumerService=HTTP-POST@https://x",
            2,
            "usage",
        ),
        (
            "saml metadata write --role sp --entity-id x --endpoint SingleSignOnService=HTTP-POST@https://x",
            2,
            "usage",
        ),
        (
            "saml metadata write --role sp --entity-id x --endpoint AssertionConsumerService=HTTP-Post@https://x",
            2,
            "usage",
        ),
        ("saml metadata read --in signed.xml", 2, "usage"),
        ("saml metadata read --signed-by response.xml --in idp.xml", 2, "damaged"),
        ("saml labels", 2, "usage"),
        ("saml verify --role idp --in missing.xml", 3, "store_unreadable"),
    ] {
        assert_eq!(fails(root, arguments), (exit, code.to_owned()), "{arguments}");
    }
}

/// Inputs that are whole and fit no XML reader, or not this one.
fn other_inputs(root: &Path) {
    done(root, "saml sign --role idp --in response.xml --out signed.xml");
    done(root, "saml post wrap --in signed.xml --out value.txt");
    done(root, "saml soap wrap --in signed.xml --out soap.xml");
    done(root, "saml encrypt --role sp --in response.xml --out enc.xml");
    std::fs::write(root.join("request.xml"), request("https://sp")).unwrap();
    done(root, "saml redirect sign --role sp --to https://idp/sso --in request.xml --out url.txt");
    let read = |name: &str| std::fs::read_to_string(root.join(name)).unwrap();
    let url = read("url.txt");
    let deflated = url.split(['=', '&']).nth(1).unwrap().to_owned();
    let signed = read("signed.xml");
    let deep = format!("{}{}", "<a>".repeat(101), "</a>".repeat(101));
    let utf16: Vec<u8> = "\u{feff}<a/>".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let (unsigned, signature) = (
        url.split("&SigAlg").next().unwrap().to_owned(),
        url.split("&Signature").next().unwrap().to_owned() + "&Signature=AA+A",
    );
    let files: [(&str, Vec<u8>); 13] = [
        ("unsigned.txt", unsigned.into()),
        ("plus.txt", signature.into()),
        ("html.txt", url.replace('&', "&amp;").into()),
        ("blank.xml", b"\n<?xml version=\"1.0\"?><a/>".to_vec()),
        ("body.txt", format!("SAMLResponse={}&RelayState=x", read("value.txt").trim()).into()),
        ("empty", b"\n".to_vec()),
        ("page.html", b"<!DOCTYPE html><html><body>Not found</body></html>".to_vec()),
        ("link.txt", b"https://idp/metadata".to_vec()),
        ("utf16.xml", utf16),
        ("deep.xml", deep.into()),
        ("escaped.txt", read("value.txt").replace('+', "%2B").replace('/', "%2F").into()),
        (
            "deflated.txt",
            deflated.replace("%2B", "+").replace("%2F", "/").replace("%3D", "=").into(),
        ),
        ("cut.xml", signed[..900].into()),
    ];
    for (name, bytes) in files {
        std::fs::write(root.join(name), bytes).unwrap();
    }
}

/// What is given to the wrong command, or before it was taken out of what carries it.
#[test]
fn an_input_of_another_kind_is_told_where_it_belongs() {
    let folder = providers();
    let root = folder.path();
    other_inputs(root);
    for (arguments, help) in [
        ("saml verify --role idp --in value.txt", "`claviger saml post unwrap` reads the message"),
        ("saml decrypt --role sp --in value.txt", "`claviger saml post unwrap` reads the message"),
        ("-v saml verify --role idp --in enc.xml", "what is encrypted is decrypted first"),
        ("-v saml verify --role idp --in soap.xml", "a message is taken out of its envelope first"),
        ("saml verify --role idp --in body.txt", "the value of a form's field without its name"),
        ("saml verify --role idp --in url.txt", "`claviger saml redirect verify` takes a query"),
        ("saml verify --role idp --in empty", "there is nothing in it"),
        ("saml sign --role idp --in empty", "there is nothing in it"),
        ("saml metadata read --in page.html", "it is a page of HTML"),
        ("saml metadata read --in link.txt", "it is a URL: fetch what stands there"),
        ("saml verify --metadata link.txt --in signed.xml", "it is a URL: fetch what stands there"),
        ("saml metadata read --in utf16.xml", "it is UTF-16"),
        ("saml metadata read --in blank.xml", "take away what stands in front of \"<?xml\""),
        ("saml soap unwrap --in claviger.toml", "XML begins with \"<\""),
        ("saml encrypt --role sp --in cut.xml", "check that the input is whole"),
        (
            "saml redirect verify --role sp --in signed.xml",
            "it is no query of the redirect binding",
        ),
        ("-v saml redirect verify --role sp --in unsigned.txt", "the query is not signed"),
        ("-v saml redirect verify --role sp --in plus.txt", "in a query its + is %2B"),
        ("saml redirect verify --role sp --in html.txt", "it is escaped for HTML"),
        ("saml redirect verify --role sp --in link.txt", "it is no query of the redirect binding"),
        ("saml post unwrap --in signed.xml", "it is a document already"),
        ("saml post unwrap --in body.txt", "give the value of SAMLRequest or SAMLResponse alone"),
        ("saml post unwrap --in escaped.txt", "it is still escaped for a URL"),
        (
            "saml post unwrap --in deflated.txt",
            "in a query of the redirect binding the message is deflated",
        ),
        ("saml post unwrap --in empty", "there is nothing in it"),
        // Beyond the limits is no wrong usage: the answer is no, as for what is not well-formed.
        ("saml verify --role idp --in deep.xml", "SAML needs less"),
        ("saml decrypt --role sp --in deep.xml", "SAML needs less"),
        ("saml metadata read --in deep.xml", "have the metadata of that entity alone"),
        ("saml soap unwrap --in deep.xml", "SAML needs less"),
        (
            "saml verify --metadata deep.xml --in signed.xml",
            "have the metadata of that entity alone",
        ),
    ] {
        let output = claviger(root, &format!("{arguments} --json"));
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        let told = answer["error"]["help"].as_str().unwrap_or_default();
        assert!(told.contains(help), "{arguments}: {answer}");
        assert_eq!(output.status.code(), Some(1), "{arguments}: {answer}");
    }
}

/// An identifier that is not mapped falls to the label of its role: to that of the one role that has any, and where both
/// have, only who says which is told.
#[test]
fn a_label_without_a_role_takes_the_key_of_no_other_role() {
    let folder = providers();
    let root = folder.path();
    let own =
        |purpose: &str| format!("am.applications.federation.entity.providers.saml2.shop.{purpose}");
    let sign = format!("saml sign --label {} --in response.xml", own("signing"));
    assert_eq!(fails(root, &sign), (2, "unknown_label".to_owned()));
    let output = claviger(root, &format!("explain {} --json", own("signing")));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(output.status.code() == Some(1) && told["active"].is_null(), "{told}");
    let text = claviger(root, &format!("explain {}", own("signing")));
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("depends on the role: claviger saml labels --role ROLE"), "{text}");
    assert_eq!(text.matches("  active  ").count(), 2, "{text}");
    done(root, "saml sign --role sp --identifier shop --in response.xml");
    // Only service providers have a label to decrypt with.
    let sealed = "saml encrypt --role sp --in response.xml --out sealed.xml";
    done(root, sealed);
    done(root, &format!("saml decrypt --label {} --in sealed.xml", own("encryption")));
    done(root, &format!("explain {}", own("encryption")));
}

#[test]
fn help_names_what_would_work() {
    let folder = providers();
    let root = folder.path();
    done(root, "saml metadata write --role sp --entity-id https://sp --out sp.xml");
    done(root, "saml sign --role idp --in response.xml --out signed.xml");
    let response = std::fs::read_to_string(root.join("response.xml")).unwrap();
    let (from, to) =
        (response.find("<saml:Assertion").unwrap(), response.find("</samlp:").unwrap());
    let twin = response[from..to].replace("ID=\"", "ID=\"_twin");
    std::fs::write(
        root.join("twins.xml"),
        response.replace("</samlp:", &format!("{twin}</samlp:")),
    )
    .unwrap();
    let sp = std::fs::read_to_string(root.join("sp.xml")).unwrap();
    let role = sp.find("<md:SPSSODescriptor").unwrap()..sp.find("</md:EntityDescriptor").unwrap();
    let idp = sp[role.clone()].replace("SPSSO", "IDPSSO");
    let both = [&sp[..role.end], &idp, &sp[role.end..]].concat();
    std::fs::write(root.join("both.xml"), both).unwrap();
    for (arguments, message, help) in [
        (
            "saml sign --role idp --alg ecdsa-sha256 --in response.xml",
            "alias \"sign-1\" does not sign XML with ecdsa-sha256",
            "alias \"sign-1\" signs XML with rsa-sha256, rsa-sha384, rsa-sha512, sha256-rsa-MGF1, sha384-rsa-MGF1, \
             sha512-rsa-MGF1",
        ),
        (
            "saml sign --role idp --what assertion --in twins.xml",
            "there are several such elements, and no ID was asked for",
            "name the one by its ID",
        ),
        (
            "saml sign --role idp --what assertion --in signed.xml",
            "an element around it is signed",
            "sign what is inside first: what changes under a signature no longer verifies",
        ),
        (
            "saml encrypt --role sp --in signed.xml",
            "an element around it is signed",
            "encrypt it first, then sign what is around it (SAML core §6.2)",
        ),
        (
            "saml encrypt --role sp --mgf sha256 --in response.xml",
            "a digest of the mask (MGF1) is for rsa-oaep alone",
            "choose the key transport rsa-oaep as well; rsa-oaep-mgf1p has SHA-1 by its name",
        ),
        (
            "saml encrypt --role sp --key-transport RSA-OAEP --in response.xml",
            "XML is not encrypted with RSA-OAEP here",
            "label \"am.default.applications.federation.entity.providers.saml2.sp.encryption\" decrypts rsa-oaep-mgf1p, \
             rsa-oaep, aes256-gcm, aes128-gcm, aes192-gcm without a switch",
        ),
        (
            "saml sign --role idp --identifier Shop_EU --in response.xml",
            "\"Shop_EU\" is no secret label identifier",
            "letters and digits, with single dots between them, as shop.eu; its label has at most 255 characters",
        ),
        (
            "saml verify --metadata both.xml --in signed.xml",
            "the peer has both roles",
            "say which is meant, idp or sp: --peer-role on the command line, \"role\" in a body",
        ),
        (
            "saml sign --what metadata --in response.xml",
            "cannot sign: the element is none that is signed here",
            "signed here: EntityDescriptor, EntitiesDescriptor, AffiliationDescriptor, IDPSSODescriptor, SPSSODescriptor",
        ),
        (
            "saml metadata read --in sp.xml --entity https://other",
            "the metadata has no entity \"https://other\"",
            "name one of its entity IDs: \"https://sp\"",
        ),
    ] {
        let output = claviger(root, &format!("{arguments} --json"));
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(answer["error"]["message"].as_str().unwrap().ends_with(message), "{answer}");
        assert_eq!(answer["error"]["help"], help);
    }
}

/// What peers are told to encrypt with is what the label decrypts, and so is what is made for it.
#[test]
fn a_label_that_lists_algorithms_is_told_sealed_and_drilled_by_them() {
    let folder = providers();
    let root = folder.path();
    let listing = |names: &str| {
        configure(root, "\"sign-1\"", "\"enc-1\"");
        let mut text = std::fs::read_to_string(root.join("claviger.toml")).unwrap();
        text.push_str(&format!("[labels.\"{SP}.encryption\"]\nalgorithms = [{names}]\n"));
        std::fs::write(root.join("claviger.toml"), text).unwrap();
        let xml = done(root, "saml metadata write --role sp --entity-id https://sp");
        let methods = xml.split("EncryptionMethod Algorithm=\"").skip(1);
        let name =
            |rest: &str| rest.split('"').next().unwrap().rsplit('#').next().unwrap().to_owned();
        methods.map(name).collect::<Vec<_>>()
    };
    for (names, told, other) in [
        ("\"rsa-oaep\", \"aes192-gcm\"", &["rsa-oaep", "aes192-gcm"][..], "--content aes256-gcm"),
        (
            "\"rsa-oaep\", \"A128GCM\"",
            &["rsa-oaep", "aes128-gcm"],
            "--key-transport rsa-oaep-mgf1p",
        ),
        (
            "\"RSA-OAEP-256\", \"A256GCM\"",
            &["rsa-oaep-mgf1p", "aes256-gcm"],
            "--content aes128-gcm",
        ),
    ] {
        assert_eq!(listing(names), told);
        let sealed = done(root, "saml encrypt --role sp --in response.xml");
        std::fs::write(root.join("sealed.xml"), sealed).unwrap();
        done(root, "saml decrypt --role sp --in sealed.xml");
        let refused = fails(root, &format!("saml encrypt --role sp {other} --in response.xml"));
        assert_eq!(refused, (2, "algorithm_not_allowed".to_owned()), "{names}");
        done(root, &format!("drill {SP}.encryption"));
    }
    // Of what it lists XML has nothing to encrypt content with.
    assert_eq!(listing("\"rsa-oaep-mgf1p\", \"A256CBC-HS512\""), ["rsa-oaep-mgf1p"]);
    let refused = fails(root, "saml encrypt --role sp --in response.xml");
    assert_eq!(refused, (2, "algorithm_not_allowed".to_owned()));
    done(root, &format!("drill {SP}.encryption"));
}

/// Every digest of OAEP and of its mask, as a user types them.
#[test]
fn oaep_takes_any_digest_and_any_mask() {
    let folder = providers();
    let root = folder.path();
    let digests = ["sha1", "sha256", "sha384", "sha512"];
    let pairs = digests.iter().flat_map(|digest| digests.map(|mgf| (digest, mgf)));
    for (round, (digest, mgf)) in pairs.enumerate() {
        done(
            root,
            &format!(
                "saml encrypt --role sp --key-transport rsa-oaep --digest {digest} --mgf {mgf} --in response.xml --out {round}.xml"
            ),
        );
        let text = std::fs::read_to_string(root.join(format!("{round}.xml"))).unwrap();
        assert!(
            text.contains(&format!("#{digest}\"/>")) && text.contains(&format!("#mgf1{mgf}\"/>")),
            "{text}"
        );
        assert!(
            done(root, &format!("saml decrypt --role sp --in {round}.xml")).contains(">alice<")
        );
    }
}

#[test]
fn switches_of_the_peer_are_named_one_by_one() {
    let folder = providers();
    let root = folder.path();
    for kind in ["assertion", "id"] {
        done(
            root,
            &format!(
                "saml encrypt --role sp --kind {kind} --content aes128-cbc --key-transport rsa-1_5 --allow cbc,rsa1_5 --in response.xml --out {kind}.enc"
            ),
        );
        let refused = fails(
            root,
            &format!("saml decrypt --role sp --kind {kind} --allow cbc --in {kind}.enc"),
        );
        assert_eq!(refused, (1, "not_decrypted".into()));
        let decrypt = format!("-v --json saml decrypt --role sp --kind {kind} --in {kind}.enc");
        for (more, reason) in [
            ("", "the content is encrypted with AES-CBC, which the switch cbc takes"),
            (" --allow cbc", "the key is encrypted with RSA 1.5, which the switch rsa1_5 takes"),
        ] {
            let told = claviger(root, &format!("{decrypt}{more}")).stdout;
            let told: Value = serde_json::from_slice(&told).unwrap();
            assert_eq!(told["error"]["help"], reason);
        }
        let opened = done(
            root,
            &format!("saml decrypt --role sp --kind {kind} --allow cbc,rsa1_5 --in {kind}.enc"),
        );
        assert!(opened.contains(">alice<"), "{opened}");
    }
}

/// What a peer's metadata does not name is made only where nothing else is, and never without a word.
#[test]
fn what_metadata_do_not_name_is_told() {
    let folder = providers();
    let root = folder.path();
    let write = "saml metadata write --role sp --entity-id https://sp";
    done(root, &format!("{write} --encryption-method aes128-cbc --out cbc.xml"));
    done(root, &format!("{write} --encryption-method rsa-oaep --out any.xml"));
    done(
        root,
        &format!(
            "{write} --encryption-method rsa-1_5 --encryption-method aes128-gcm --out old.xml"
        ),
    );
    let unnamed = |arguments: &str| {
        let arguments = format!("--json saml encrypt --in response.xml --metadata {arguments}");
        let answer: Value = serde_json::from_str(&done(root, &arguments)).unwrap();
        answer["unnamed"].as_array().unwrap().clone()
    };
    assert_eq!(unnamed("cbc.xml"), ["aes256-gcm"]);
    assert_eq!(unnamed("old.xml"), ["rsa-oaep-mgf1p"]);
    for named in ["any.xml", "cbc.xml --allow cbc", "old.xml --allow rsa1_5"] {
        assert!(unnamed(named).is_empty(), "{named}");
    }
    let output = claviger(root, "saml encrypt --in response.xml --metadata cbc.xml");
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("the peer's metadata does not name aes256-gcm: "), "{told}");
}

/// A peer says which keys it takes an algorithm from (metadata profile for algorithm support §2.4): ours have 2048 bits.
#[test]
fn an_algorithm_is_chosen_by_the_sizes_of_keys_that_the_peer_takes() {
    let folder = providers();
    let root = folder.path();
    done(root, "saml metadata write --role sp --entity-id https://sp --out sp.xml");
    let written = std::fs::read_to_string(root.join("sp.xml")).unwrap();
    let (start, rest) = written.split_once("<md:Extensions").unwrap();
    let (_, end) = rest.split_once("</md:Extensions>").unwrap();
    let peer = |methods: &str| {
        let text = format!(
            "{start}<md:Extensions xmlns:alg=\"urn:oasis:names:tc:SAML:metadata:algsupport\">{methods}</md:Extensions>{end}"
        );
        std::fs::write(root.join("peer.xml"), text).unwrap();
    };
    let method = |hash: &str, sizes: &str| {
        format!(
            "<alg:SigningMethod {sizes} Algorithm=\"http://www.w3.org/2001/04/xmldsig-more#rsa-{hash}\"/>"
        )
    };
    let chosen = |command: &str| {
        let arguments = format!("--json saml {command} --metadata peer.xml --in response.xml");
        let answer: Value = serde_json::from_str(&done(root, &arguments)).unwrap();
        (answer["algorithm"].as_str().unwrap().to_owned(), answer["unnamed"].clone())
    };
    let both = |methods: &str, algorithm: &str, is_named: bool| {
        peer(methods);
        for command in ["sign --role idp --what assertion", "redirect sign --role idp --response"] {
            let unnamed = if is_named { vec![] } else { vec![algorithm] };
            assert_eq!(chosen(command), (algorithm.into(), json!(unnamed)), "{methods}");
        }
    };
    let third = method("sha512", "");
    both(&format!("{}{third}", method("sha384", "MinKeySize=\"2048\"")), "rsa-sha384", true);
    both(&format!("{}{third}", method("sha384", "MaxKeySize=\" 2048 \"")), "rsa-sha384", true);
    both(&format!("{}{third}", method("sha384", "MinKeySize=\"2049\"")), "rsa-sha512", true);
    both(&format!("{}{third}", method("sha384", "MaxKeySize=\"2047\"")), "rsa-sha512", true);
    // Of what is no size nobody knows whom it means.
    both(&format!("{}{third}", method("sha384", "MinKeySize=\"big\"")), "rsa-sha512", true);
    both(&method("sha384", "MinKeySize=\"3072\" MaxKeySize=\"4096\""), "rsa-sha256", false);
    let output = claviger(root, "saml sign --role idp --metadata peer.xml --in response.xml");
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("does not name rsa-sha256 with a key like ours (RSA 2048)"), "{told}");
    let read = done(root, "saml metadata read --in peer.xml");
    assert!(read.contains("sign with rsa-sha384 (3072 to 4096 bits)"), "{read}");
}

/// Each element that verified has its octets beside it, those inside a message too, which alone is written out.
#[test]
fn every_verified_element_has_its_octets() {
    let folder = providers();
    let root = folder.path();
    done(root, "saml sign --role idp --what assertion --in response.xml --out inner.xml");
    done(root, "saml sign --role idp --in inner.xml --out outer.xml");
    let answer = done(root, "--json saml verify --role idp --in outer.xml");
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let octets: Vec<&str> =
        answer["octets"].as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect();
    for (element, octets) in answer["elements"].as_array().unwrap().iter().zip(&octets) {
        let id = format!(" ID=\"{}\"", element["id"].as_str().unwrap());
        assert!(octets[..octets.find('>').unwrap()].contains(&id), "{octets}");
    }
    assert_eq!(octets.len(), 2);
    assert_eq!(done(root, "saml verify --role idp --in outer.xml"), octets[0]);
}

/// A query as it stands in an address, in a log or alone.
#[test]
fn a_query_is_taken_out_of_what_is_around_it() {
    let folder = providers();
    let root = folder.path();
    let query = done(root, "saml redirect sign --role sp --relay-state ?a --in response.xml");
    let url =
        done(root, "saml redirect sign --role sp --to HTTPS://idp.example/sso --in response.xml");
    assert!(url.starts_with("HTTPS://idp.example/sso?SAMLRequest="), "{url}");
    let query = query.trim();
    for text in
        [query.to_owned(), format!("?{query}"), format!("/sso?{query}"), format!("{url}#top")]
    {
        std::fs::write(root.join("query.txt"), &text).unwrap();
        done(root, "saml redirect verify --role sp --in query.txt");
    }
    assert_eq!(
        fails(root, "saml redirect sign --role sp --to https:// --in response.xml"),
        (2, "usage".into())
    );
}

/// The examples of every help; each works as it stands.
#[test]
fn the_examples_of_the_help_work() {
    let folder = providers();
    let root = folder.path();
    for (role, entity) in [("idp", "https://idp"), ("sp", "https://sp")] {
        done(
            root,
            &format!("saml metadata write --role {role} --entity-id {entity} --out {role}.xml"),
        );
    }
    std::fs::write(root.join("request.xml"), request("https://sp")).unwrap();
    let response = RESPONSE.replacen(" ID=\"_r\"", "", 1);
    let artifact = RESPONSE[..RESPONSE.find("<saml:Assertion").unwrap()]
        .replace("samlp:Response", "samlp:ArtifactResponse")
        + &format!("{response}</samlp:ArtifactResponse>");
    std::fs::write(root.join("in.xml"), artifact).unwrap();
    done(root, "saml sign --role idp --in in.xml --out artifact.xml");
    done(root, "--realm alpha saml labels --role idp --identifier shop --json");
    let program = Path::new(env!("CARGO_BIN_EXE_claviger")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    let mut ran = 0;
    for name in [
        "labels",
        "metadata write",
        "metadata read",
        "sign",
        "verify",
        "encrypt",
        "decrypt",
        "redirect sign",
        "redirect verify",
        "post wrap",
        "post unwrap",
        "soap wrap",
        "soap unwrap",
        "artifact",
    ] {
        let help = Command::new(env!("CARGO_BIN_EXE_claviger"))
            .args(format!("saml {name} --help").split(' '))
            .env_remove("COLUMNS")
            .output()
            .unwrap();
        let help = String::from_utf8(help.stdout).unwrap();
        for example in examples(&help) {
            let output = Command::new("sh")
                .args(["-c", &example])
                .current_dir(root)
                .env("PATH", &path)
                .env_remove("CLAVIGER_CONFIG")
                .output()
                .unwrap();
            assert!(
                output.status.success(),
                "{example}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
            ran += 1;
        }
    }
    assert!(ran >= 20, "{ran}");
}
