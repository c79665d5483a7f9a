//! Logins and logouts with python3-saml (in strict mode) and with pysaml2 as the service provider, while our identity
//! provider rotates its keys; the peer holds metadata of yesterday, then of today.

use claviger::error::ErrorKind;
use claviger::profiles::saml::redirect::{self, MessageKind, RedirectOptions};
use claviger::profiles::saml::{self, Encryptable, Expect, SamlRole, Signing, binding};
use claviger::xmlsec::dsig::SignOptions;
use claviger::xmlsec::enc::Recipient;
use claviger::xmlsec::{PeerKeys, PeerPolicy, Trust, XmlLimits};
use serde_json::{Value, json};

use crate::saml_house::{
    CACHES, House, Peer, SUCCESS, attribute, earlier, entity_id, instant, logout_request,
    logout_response, message, query, role_of,
};
use crate::workshop::{promote, retire, stage};

const PERSISTENT: &str = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent";
const SLO: &str = "https://sp.example/slo";

/// The service provider, and its metadata as we hold them.
struct Sp {
    program: Peer,
    metadata: String,
    /// Whether it encrypts names that it sends.
    encrypts: bool,
    _folder: tempfile::TempDir,
}

impl Sp {
    fn python3_saml() -> Option<Self> {
        Self::start("saml_sp.py", "onelogin.saml2.auth, cryptography", true)
    }

    fn pysaml2() -> Option<Self> {
        Self::start("saml_client.py", "saml2, cryptography", false)
    }

    fn start(script: &str, modules: &str, encrypts: bool) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mut program = Peer::start(script, modules, &[folder.path()])?;
        let metadata =
            program.must(&json!({ "do": "metadata" }))["xml"].as_str().unwrap().to_owned();
        Some(Self { program, metadata, encrypts, _folder: folder })
    }

    fn keys(&self) -> PeerKeys {
        role_of(&self.metadata, SamlRole::Sp).signing_keys().unwrap()
    }

    /// The message in a query of this peer, once its signature has held.
    fn asked(&self, url: &str, kind: MessageKind, relay_state: Option<&str>) -> String {
        let (keys, policy) = (self.keys(), PeerPolicy::default());
        let trust = Trust::Certificates(&keys);
        let verify = |query: &str| redirect::verify(query, trust, &policy, &XmlLimits::MESSAGE);
        let query = query(url);
        let changed = query.replacen("&RelayState=", "&RelayState=x", 1);
        assert_ne!(query, changed);
        assert_eq!(verify(&changed).unwrap_err().kind(), ErrorKind::NotVerified);
        let found = verify(query).unwrap_or_else(|error| panic!("{error:?}: {url}"));
        assert_eq!((found.kind, found.relay_state.as_deref()), (kind, relay_state));
        found.message
    }
}

/// How a Response is made.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Made {
    /// The assertion is signed and encrypted, the message signed.
    #[default]
    Whole,
    /// The name in it is encrypted besides.
    NameEncrypted,
    /// The message has no signature.
    MessageUnsigned,
    /// The assertion has no signature.
    AssertionUnsigned,
    /// The assertion is not encrypted.
    Plain,
}

/// The answer to an AuthnRequest, for the form.
fn respond(house: &House, sp: &Sp, request: &str, made: Made) -> String {
    let role = role_of(&sp.metadata, SamlRole::Sp);
    let entity = house.entity(SamlRole::Idp);
    let policy = PeerPolicy::default();
    let key = &role.encryption[0].key;
    let encrypt = |xml: &str, kind| {
        let options = role.encryption[0].encrypt_options(policy);
        saml::encrypt(Recipient::Certificate(key), xml.as_bytes(), kind, &options).unwrap().0
    };
    let sign = |xml: &str, what| {
        let options = SignOptions { prefix_list: "xs", ..Default::default() };
        entity.sign(xml.as_bytes(), what, &options).unwrap().xml
    };
    let mut xml =
        response(&attribute(request, "ID"), &attribute(request, "AssertionConsumerServiceURL"));
    if made == Made::NameEncrypted {
        xml = encrypt(&xml, Encryptable::Id);
    }
    if made != Made::AssertionUnsigned {
        xml = sign(&xml, Signing::Assertion(None));
    }
    if made != Made::Plain {
        xml = encrypt(&xml, Encryptable::Assertion);
        assert!(!xml.contains("alice"));
    }
    if made != Made::MessageUnsigned {
        xml = sign(&xml, Signing::Message);
    }
    binding::encode_post(&xml)
}

fn response(request: &str, to: &str) -> String {
    let (issuer, now, later) = (entity_id(SamlRole::Idp), earlier(), instant(300));
    let attributes = format!("Destination=\"{to}\" InResponseTo=\"{request}\"");
    let head = message("Response", SamlRole::Idp, &attributes);
    let id = claviger::xmlsec::fresh_id().unwrap();
    format!(
        "{head}{SUCCESS}<saml:Assertion xmlns:xs=\"http://www.w3.org/2001/XMLSchema\" \
         xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" ID=\"{id}\" Version=\"2.0\" IssueInstant=\"{now}\">\
         <saml:Issuer>{issuer}</saml:Issuer><saml:Subject><saml:NameID Format=\"{PERSISTENT}\">alice</saml:NameID>\
         <saml:SubjectConfirmation Method=\"urn:oasis:names:tc:SAML:2.0:cm:bearer\">\
         <saml:SubjectConfirmationData NotOnOrAfter=\"{later}\" Recipient=\"{to}\" InResponseTo=\"{request}\"/>\
         </saml:SubjectConfirmation></saml:Subject><saml:Conditions NotBefore=\"{now}\" NotOnOrAfter=\"{later}\">\
         <saml:AudienceRestriction><saml:Audience>https://sp.example</saml:Audience></saml:AudienceRestriction>\
         </saml:Conditions><saml:AuthnStatement AuthnInstant=\"{now}\" SessionIndex=\"s-1\" \
         SessionNotOnOrAfter=\"{later}\"><saml:AuthnContext><saml:AuthnContextClassRef>\
         urn:oasis:names:tc:SAML:2.0:ac:classes:Password</saml:AuthnContextClassRef></saml:AuthnContext>\
         </saml:AuthnStatement><saml:AttributeStatement><saml:Attribute Name=\"mail\">\
         <saml:AttributeValue xsi:type=\"xs:string\">alice@example.com</saml:AttributeValue></saml:Attribute>\
         </saml:AttributeStatement></saml:Assertion></samlp:Response>"
    )
}

/// A login that the service provider begins; with what it remembers of the request.
fn begin(sp: &mut Sp, held: &str) -> (String, Value) {
    let begun =
        sp.program.must(&json!({ "do": "login", "idp": held, "relay_state": "cart/7?a=b&c=ä" }));
    let url = begun["url"].as_str().unwrap();
    assert!(url.starts_with("https://house.example/idp/sso?SAMLRequest="), "{url}");
    (sp.asked(url, MessageKind::Request, Some("cart/7?a=b&c=ä")), begun["id"].clone())
}

/// Whether the service provider, which holds this metadata of ours, takes the answer to its own request.
fn login(house: &House, sp: &mut Sp, held: &str) -> Result<(), String> {
    let (request, id) = begin(sp, held);
    let response = respond(house, sp, &request, Made::Whole);
    consume(sp, held, &response, &id, json!({}))
}

fn consume(
    sp: &mut Sp,
    held: &str,
    response: &str,
    id: &Value,
    security: Value,
) -> Result<(), String> {
    let task = json!({ "do": "consume", "idp": held, "response": response, "request": id, "security": security });
    let found = sp.program.ask(&task)?;
    assert_eq!(found["authenticated"], true);
    assert_eq!((&found["name"], &found["session"]), (&json!("alice"), &json!("s-1")));
    assert_eq!(found["attributes"]["mail"], json!(["alice@example.com"]));
    Ok(())
}

/// The encrypted name in a LogoutRequest. python3-saml encrypts names with AES-128-CBC.
fn read_name(house: &House, request: &str) -> Result<(), String> {
    let entity = house.entity(SamlRole::Idp);
    let off = entity.decrypt(request.as_bytes(), Encryptable::Id, &PeerPolicy::default());
    assert_eq!(off.unwrap_err().kind(), ErrorKind::NotDecrypted);
    let policy = PeerPolicy { cbc: true, ..Default::default() };
    let name = entity.decrypt(request.as_bytes(), Encryptable::Id, &policy);
    let name = name.map_err(|error| format!("{:?}", error.kind()))?;
    assert!(std::str::from_utf8(name[0].xml.expose_secret()).unwrap().contains(">alice<"));
    Ok(())
}

/// A logout that each side begins. The name in the peer's request is encrypted to the key that it holds of ours.
fn logouts(house: &House, sp: &mut Sp, held: &str) -> Result<(), String> {
    let entity = house.entity(SamlRole::Idp);
    let asked =
        sp.program.must(&json!({ "do": "logout", "idp": held, "name": "alice", "session": "s-1",
        "relay_state": "bye", "security": { "nameIdEncrypted": true } }));
    let request = sp.asked(asked["url"].as_str().unwrap(), MessageKind::Request, Some("bye"));
    if sp.encrypts {
        read_name(house, &request)?;
    } else {
        assert!(request.contains(">alice<"), "{request}");
    }
    let answer = logout_response(SamlRole::Idp, SLO, &attribute(&request, "ID"));
    let options = RedirectOptions {
        kind: MessageKind::Response,
        relay_state: Some("bye"),
        ..Default::default()
    };
    let url = |query: String| format!("{SLO}?{query}");
    let answer = url(entity.sign_redirect(answer.as_bytes(), &options).unwrap());
    for raw in [true, false] {
        let task = json!({ "do": "logged_out", "idp": held, "url": answer, "request": asked["id"], "raw": raw });
        sp.program.ask(&task)?;
    }
    let request = logout_request(SamlRole::Idp, SLO);
    let options = RedirectOptions { relay_state: Some("end"), ..Default::default() };
    let request =
        (attribute(&request, "ID"), entity.sign_redirect(request.as_bytes(), &options).unwrap());
    let ended =
        sp.program.ask(&json!({ "do": "end_session", "idp": held, "url": url(request.1) }))?;
    assert_eq!(ended["ended"], true);
    let answer = sp.asked(ended["url"].as_str().unwrap(), MessageKind::Response, Some("end"));
    assert_eq!(attribute(&answer, "InResponseTo"), request.0);
    Ok(())
}

#[test]
fn python3_saml_logs_in_and_out_while_our_keys_rotate() {
    let Some(mut sp) = Sp::python3_saml() else { return };
    logs_in_and_out_while_our_keys_rotate(&mut sp);
}

#[test]
fn pysaml2_logs_in_and_out_while_our_keys_rotate() {
    let Some(mut sp) = Sp::pysaml2() else { return };
    logs_in_and_out_while_our_keys_rotate(&mut sp);
}

fn logs_in_and_out_while_our_keys_rotate(sp: &mut Sp) {
    let house = House::new();
    let works = |sp: &mut Sp, held: &str| {
        login(&house, sp, held).unwrap();
        logouts(&house, sp, held).unwrap();
    };
    let yesterday = house.metadata(SamlRole::Idp);
    works(sp, &yesterday);
    // Kept for later: an answer that the first key signed.
    let (request, id) = begin(sp, &yesterday);
    let early = respond(&house, sp, &request, Made::Whole);

    for label in ["idp.signing", "idp.encryption"] {
        let alias = if label.ends_with("signing") { "sign-2" } else { "enc-2" };
        house.step(stage(alias), label).unwrap();
    }
    works(sp, &yesterday);
    assert_eq!(house.refuses(promote("sign-2"), "idp.signing"), ErrorKind::NotAnnounced);
    let staged = house.metadata(SamlRole::Idp);
    house.wait(CACHES);
    works(sp, &staged);

    house.step(promote("sign-2"), "idp.signing").unwrap();
    house.step(promote("enc-2"), "idp.encryption").unwrap();
    // Who fetched it once caches had ended knows the new key before it acts, and encrypts to the old one.
    works(sp, &staged);
    let promoted = house.metadata(SamlRole::Idp);
    works(sp, &promoted);
    consume(sp, &promoted, &early, &id, json!({})).unwrap();
    // Who never fetched it again has missed the new key; what the gate holds back is this.
    login(&house, sp, &yesterday).unwrap_err();

    assert_eq!(house.refuses(retire("sign-1"), "idp.signing"), ErrorKind::StillInUse);
    assert_eq!(house.refuses(retire("enc-1"), "idp.encryption"), ErrorKind::StillInUse);
    house.wait(CACHES);
    house.step(retire("sign-1"), "idp.signing").unwrap();
    house.step(retire("enc-1"), "idp.encryption").unwrap();
    login(&house, sp, &staged).unwrap();
    if sp.encrypts {
        assert_eq!(logouts(&house, sp, &staged).unwrap_err(), "NotDecrypted");
    }
    let retired = house.metadata(SamlRole::Idp);
    works(sp, &retired);
    let refused = consume(sp, &retired, &early, &id, json!({})).unwrap_err();
    assert!(refused.contains("Signature"), "{refused}");
    let document = binding::decode_post(&early, &XmlLimits::MESSAGE).unwrap();
    let own = house.entity(SamlRole::Idp).verify(document.as_bytes(), Expect::Message);
    assert_eq!(own.unwrap_err().kind(), ErrorKind::NotVerified);
}

/// The schemas of SAML, and queries in every algorithm that the peer knows.
#[test]
fn python3_saml_finds_our_metadata_valid_and_checks_our_queries() {
    let Some(mut sp) = Sp::python3_saml() else { return };
    let house = House::new();
    for role in [SamlRole::Idp, SamlRole::Sp] {
        let xml = house.metadata(role);
        let mut task =
            json!({ "do": "validate", "xml": xml, "schema": "saml-schema-metadata-2.0.xsd" });
        sp.program.must(&task);
        task["xml"] = xml.replace("SingleLogoutService", "SingleLogoffService").into();
        sp.program.ask(&task).unwrap_err();
    }
    let held = house.metadata(SamlRole::Idp);
    for algorithm in ["rsa-sha256", "rsa-sha384", "rsa-sha512"] {
        let request = logout_request(SamlRole::Idp, SLO);
        let options = RedirectOptions { algorithm: Some(algorithm), ..Default::default() };
        let query =
            house.entity(SamlRole::Idp).sign_redirect(request.as_bytes(), &options).unwrap();
        for raw in [true, false] {
            let url = format!("{SLO}?{query}");
            let mut task = json!({ "do": "end_session", "idp": held, "url": url, "raw": raw });
            assert_eq!(sp.program.must(&task)["ended"], true, "{algorithm}");
            task["url"] = url.replacen("SAMLRequest=", "RelayState=x&SAMLRequest=", 1).into();
            sp.program.ask(&task).unwrap_err();
        }
    }
}

/// The peer takes what is whole, and not what lacks a part: so its strictness was real above.
#[test]
fn python3_saml_refuses_what_is_not_whole() {
    let Some(mut sp) = Sp::python3_saml() else { return };
    let sp = &mut sp;
    let house = House::new();
    let held = house.metadata(SamlRole::Idp);
    for (made, security, takes) in [
        (Made::Whole, json!({}), true),
        (Made::NameEncrypted, json!({ "wantNameIdEncrypted": true }), true),
        (Made::Whole, json!({ "wantNameIdEncrypted": true }), false),
        (Made::MessageUnsigned, json!({}), false),
        (Made::MessageUnsigned, json!({ "wantMessagesSigned": false }), true),
        (Made::AssertionUnsigned, json!({}), false),
        (Made::Plain, json!({}), false),
        (Made::Plain, json!({ "wantAssertionsEncrypted": false }), true),
    ] {
        let (request, id) = begin(sp, &held);
        let response = respond(&house, sp, &request, made);
        let found = consume(sp, &held, &response, &id, security.clone());
        assert_eq!(found.is_ok(), takes, "{made:?} {security}: {found:?}");
        // An answer to another request is no answer.
        consume(sp, &held, &response, &json!("_other"), security).unwrap_err();
    }
    let role = role_of(&sp.metadata, SamlRole::Sp);
    let policy = PeerPolicy::default();
    let trust = Trust::Certificates(&sp.keys());
    let limits = XmlLimits::METADATA;
    let found = saml::verify(sp.metadata.as_bytes(), Expect::Message, trust, &policy, &limits);
    assert_eq!(found.unwrap()[0].local_name, "EntityDescriptor");
    assert_eq!((role.signing.len(), role.encryption.len()), (1, 1));
}
