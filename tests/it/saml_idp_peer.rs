//! Logins and logouts with pysaml2 as the identity provider, while our service provider rotates its keys; the peer
//! holds metadata of yesterday, then of today.

use claviger::error::ErrorKind;
use claviger::profiles::saml::redirect::{self, MessageKind, RedirectOptions};
use claviger::profiles::saml::{self, Encryptable, Expect, SamlRole, Signing, binding};
use claviger::xmlsec::dsig::SignOptions;
use claviger::xmlsec::{PeerPolicy, Trust, XmlLimits};
use serde_json::{Value, json};

use crate::saml_house::{
    CACHES, House, Peer, attribute, entity_id, logout_request, logout_response, message, query,
    role_of,
};
use crate::workshop::{promote, retire, stage};

const SSO: &str = "https://idp.example/sso";
const SLO: &str = "https://idp.example/slo";

/// The identity provider, and its metadata as we hold them.
struct Idp {
    program: Peer,
    metadata: String,
    _folder: tempfile::TempDir,
}

impl Idp {
    fn start() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let arguments = [folder.path()];
        let mut program = Peer::start("saml_idp.py", "saml2, cryptography", &arguments)?;
        let made = program.must(&json!({ "do": "metadata" }));
        let metadata = made["xml"].as_str().unwrap().to_owned();
        Some(Self { program, metadata, _folder: folder })
    }

    /// The one element in a document that this peer signed, as it was signed.
    fn believed(&self, document: &[u8], expect: Expect<'_>) -> String {
        let keys = role_of(&self.metadata, SamlRole::Idp).signing_keys().unwrap();
        let trust = Trust::Certificates(&keys);
        let policy = PeerPolicy::default();
        let found = saml::verify(document, expect, trust, &policy, &XmlLimits::METADATA);
        let mut found = found.unwrap_or_else(|error| panic!("{error:?}"));
        String::from_utf8(found.remove(0).octets).unwrap()
    }

    /// The message in a query of this peer, once its signature has held.
    fn told(&self, url: &Value, kind: MessageKind) -> String {
        let keys = role_of(&self.metadata, SamlRole::Idp).signing_keys().unwrap();
        let trust = Trust::Certificates(&keys);
        let (policy, url) = (PeerPolicy::default(), url.as_str().unwrap());
        let found = redirect::verify(query(url), trust, &policy, &XmlLimits::MESSAGE);
        let found = found.unwrap_or_else(|error| panic!("{error:?}: {url}"));
        assert_eq!(found.kind, kind);
        found.message
    }
}

/// A signed AuthnRequest of ours, as the URL that the browser is sent to.
fn authn_request(house: &House) -> String {
    let attributes = format!(
        "Destination=\"{SSO}\" AssertionConsumerServiceURL=\"https://house.example/sp/acs\" \
         ProtocolBinding=\"urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST\""
    );
    let request = message("AuthnRequest", SamlRole::Sp, &attributes) + "</samlp:AuthnRequest>";
    let options = RedirectOptions { relay_state: Some("cart/7?a=b&c=ä"), ..Default::default() };
    let query = house.entity(SamlRole::Sp).sign_redirect(request.as_bytes(), &options).unwrap();
    format!("{SSO}?{query}")
}

/// How pysaml2 encrypts: content algorithm and session key, as xmlsec1 calls them; and our switches for that.
#[derive(Clone, Copy)]
struct Encrypted {
    content: Option<(&'static str, &'static str)>,
    switches: &'static [&'static str],
}

/// As it does by itself, and in the other ways that its xmlsec1 knows.
const ENCRYPTED: [Encrypted; 4] = [
    Encrypted { content: None, switches: &["cbc", "3des"] },
    Encrypted {
        content: Some(("http://www.w3.org/2001/04/xmlenc#aes128-cbc", "aes-128")),
        switches: &["cbc"],
    },
    Encrypted {
        content: Some(("http://www.w3.org/2001/04/xmlenc#aes256-cbc", "aes-256")),
        switches: &["cbc"],
    },
    Encrypted {
        content: Some(("http://www.w3.org/2009/xmlenc11#aes256-gcm", "aes-256")),
        switches: &[],
    },
];

/// A login: our request, its answer, the assertion in that. The answer comes back for later.
fn login(house: &House, idp: &mut Idp, held: &str, how: Encrypted) -> Result<Vec<u8>, String> {
    let url = authn_request(house);
    let mut task = json!({ "do": "respond", "sp": held, "url": url });
    if let Some((content, key)) = how.content {
        task["content"] = content.into();
        task["key"] = key.into();
    }
    let answer = idp.program.ask(&task)?;
    let response =
        binding::decode_post(answer["response"].as_str().unwrap(), &XmlLimits::MESSAGE).unwrap();
    assert!(!response.contains("alice"), "{response}");
    assert_eq!(attribute(&response, "InResponseTo"), answer["id"]);
    let whole = idp.believed(response.as_bytes(), Expect::Message);
    assert!(whole.contains("EncryptedAssertion"), "{whole}");
    let name = opened(house, idp, response.as_bytes(), how.switches)?;
    assert!(name.contains(">alice</") && name.contains(">alice@example.com</"), "{name}");
    assert!(name.contains(&format!(">{}</", entity_id(SamlRole::Sp))), "{name}");
    Ok(response.into_bytes())
}

/// The assertion inside, decrypted and verified.
fn opened(house: &House, idp: &Idp, response: &[u8], switches: &[&str]) -> Result<String, String> {
    let entity = house.entity(SamlRole::Sp);
    if !switches.is_empty() {
        let off = entity.decrypt(response, Encryptable::Assertion, &PeerPolicy::default());
        assert_eq!(off.unwrap_err().kind(), ErrorKind::NotDecrypted);
    }
    let policy = PeerPolicy::of(switches.iter().copied()).unwrap();
    let found = entity.decrypt(response, Encryptable::Assertion, &policy);
    let found = found.map_err(|error| format!("{:?}", error.kind()))?;
    Ok(idp.believed(found[0].xml.expose_secret(), Expect::Assertion(None)))
}

/// A logout that each side begins; ours once in a query and once signed in a form.
fn logouts(house: &House, idp: &mut Idp, held: &str) -> Result<(), String> {
    let entity = house.entity(SamlRole::Sp);
    let query = |message: &str, kind| {
        let options = RedirectOptions { kind, relay_state: Some("end"), ..Default::default() };
        let query = entity.sign_redirect(message.as_bytes(), &options).unwrap();
        format!("{SLO}?{query}")
    };
    let request = logout_request(SamlRole::Sp, SLO);
    let to_post = request.replace(SLO, &format!("{SLO}-post"));
    let form =
        entity.sign(to_post.as_bytes(), Signing::Message, &SignOptions::default()).unwrap().xml;
    let to = "https://house.example/sp/slo";
    for task in [
        json!({ "do": "end_session", "sp": held, "to": to, "url": query(&request, MessageKind::Request) }),
        json!({ "do": "end_session", "sp": held, "to": to, "form": binding::encode_post(&form) }),
    ] {
        let ended = idp.program.ask(&task)?;
        assert_eq!(ended["name"], "alice");
        let answer = idp.told(&ended["url"], MessageKind::Response);
        assert_eq!(attribute(&answer, "InResponseTo"), attribute(&request, "ID"));
    }
    let entity = entity_id(SamlRole::Sp);
    let sent =
        idp.program.ask(&json!({ "do": "logout", "sp": held, "to": to, "entity": entity }))?;
    let asked = idp.told(&sent["url"], MessageKind::Request);
    assert!(asked.contains("alice"), "{asked}");
    let answer = logout_response(SamlRole::Sp, SLO, &attribute(&asked, "ID"));
    let task = json!({ "do": "logged_out", "sp": held, "entity": entity,
        "url": query(&answer, MessageKind::Response) });
    let taken = idp.program.ask(&task)?;
    assert_eq!((&taken["in_response_to"], &taken["ok"]), (&sent["id"], &json!(true)));
    Ok(())
}

#[test]
fn pysaml2_logs_in_and_out_while_our_keys_rotate() {
    let Some(mut idp) = Idp::start() else { return };
    let idp = &mut idp;
    let house = House::new();
    let works = |idp: &mut Idp, held: &str| {
        login(&house, idp, held, ENCRYPTED[0]).unwrap();
        logouts(&house, idp, held).unwrap();
    };
    let yesterday = house.metadata(SamlRole::Sp);
    for how in ENCRYPTED {
        login(&house, idp, &yesterday, how).unwrap();
    }
    logouts(&house, idp, &yesterday).unwrap();
    house.step(stage("sign-2"), "sp.signing").unwrap();
    house.step(stage("enc-2"), "sp.encryption").unwrap();
    works(idp, &yesterday);
    assert_eq!(house.refuses(promote("sign-2"), "sp.signing"), ErrorKind::NotAnnounced);
    let staged = house.metadata(SamlRole::Sp);
    house.wait(CACHES);
    works(idp, &staged);

    house.step(promote("sign-2"), "sp.signing").unwrap();
    house.step(promote("enc-2"), "sp.encryption").unwrap();
    works(idp, &staged);
    let promoted = house.metadata(SamlRole::Sp);
    works(idp, &promoted);
    // What was encrypted to the old key is still read; who never fetched anything refuses the new one.
    let early = login(&house, idp, &staged, ENCRYPTED[3]).unwrap();
    let refused = login(&house, idp, &yesterday, ENCRYPTED[0]).unwrap_err();
    assert!(refused.contains("IncorrectlySigned"), "{refused}");

    assert_eq!(house.refuses(retire("sign-1"), "sp.signing"), ErrorKind::StillInUse);
    assert_eq!(house.refuses(retire("enc-1"), "sp.encryption"), ErrorKind::StillInUse);
    house.wait(CACHES);
    house.step(retire("sign-1"), "sp.signing").unwrap();
    house.step(retire("enc-1"), "sp.encryption").unwrap();
    let retired = house.metadata(SamlRole::Sp);
    works(idp, &retired);
    logouts(&house, idp, &staged).unwrap();
    // The old metadata still lead to the key that is gone.
    assert_eq!(login(&house, idp, &staged, ENCRYPTED[0]).unwrap_err(), "NotDecrypted");
    assert_eq!(opened(&house, idp, &early, ENCRYPTED[3].switches).unwrap_err(), "NotDecrypted");
}

/// The peer refuses a query whose signature does not hold; we read and verify its metadata, and it reads ours.
#[test]
fn pysaml2_refuses_what_is_changed() {
    let Some(mut idp) = Idp::start() else { return };
    let house = House::new();
    let held = house.metadata(SamlRole::Sp);
    let url = authn_request(&house);
    for changed in [
        url.replacen("RelayState=cart", "RelayState=card", 1),
        url.replacen("rsa-sha256", "rsa-sha512", 1),
        url.split_once("&SigAlg").unwrap().0.to_owned(),
    ] {
        assert_ne!(changed, url);
        idp.program.ask(&json!({ "do": "respond", "sp": held, "url": changed })).unwrap_err();
    }
    idp.program.must(&json!({ "do": "respond", "sp": held, "url": url }));
    let own = idp.believed(idp.metadata.as_bytes(), Expect::Message);
    let role = role_of(&own, SamlRole::Idp);
    assert_eq!((role.signing.len(), role.encryption.len(), role.wants_signed), (1, 1, true));
}
