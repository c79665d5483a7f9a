//! Attacks on XML signatures, made with a key that is trusted: the profile refuses them, not luck.

use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use claviger::alg::Algorithm;
use claviger::catalogue::LabelUse;
use claviger::crypto::generate::{KeySpec, generate};
use claviger::crypto::{Key, certificate, sha256};
use claviger::error::ErrorKind;
use claviger::formats::JwkHints;
use claviger::ops::{KeySet, KeySetPolicy, LabelKey, sign_raw};
use claviger::profiles::saml::{self, Expect};
use claviger::usage::KeyUsage;
use claviger::xmlsec::{PeerKeys, PeerPolicy, Trust, XmlLimits};

use crate::xml_attacks;

const DS: &str = "http://www.w3.org/2000/09/xmldsig#";
const EXCLUSIVE: &str = "http://www.w3.org/2001/10/xml-exc-c14n#";
const ENVELOPED: &str = "http://www.w3.org/2000/09/xmldsig#enveloped-signature";
const SHA256: &str = "http://www.w3.org/2001/04/xmlenc#sha256";
pub(crate) const RSA_SHA256: &str = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256";
pub(crate) const SAML: &str = "urn:oasis:names:tc:SAML:2.0:assertion";
const SAMLP: &str = "urn:oasis:names:tc:SAML:2.0:protocol";
const LIMITS: XmlLimits = XmlLimits::MESSAGE;
const ROWS: [&str; 6] = ["RS256", "PS256", "ES256", "rsa-oaep-mgf1p", "A256GCM", "A128GCM"];

/// A provider whose certificate is trusted.
pub(crate) struct House {
    pub(crate) set: KeySet,
    pub(crate) peer: PeerKeys,
}

impl House {
    pub(crate) fn new(spec: KeySpec) -> Self {
        let pkcs8 = generate(spec).unwrap();
        let bare = Key::from_private(&pkcs8, Vec::new()).unwrap();
        let der = certificate::self_signed(&bare, "CN=test", [7; 16], 0, 4_000_000_000).unwrap();
        let der = der.unwrap();
        let one = LabelKey {
            alias: "a".parse().unwrap(),
            store: "test".parse().unwrap(),
            realm: None,
            kid: "a".into(),
            key: Key::from_private(&pkcs8, vec![der.clone()]).unwrap(),
            hints: JwkHints::default(),
            usage: KeyUsage::default(),
        };
        let uses = vec![LabelUse::Sign, LabelUse::Verify, LabelUse::Decrypt];
        let rows = ROWS.iter().map(|name| Algorithm::named(name).unwrap()).collect();
        let (label, policy) = ("app.saml".parse().unwrap(), KeySetPolicy::default());
        let set = KeySet::new(label, uses, vec![one], rows, policy).unwrap();
        Self { set, peer: PeerKeys::from_file(&der).unwrap() }
    }

    pub(crate) fn rsa() -> Self {
        Self::new(KeySpec::Rsa { bits: 2048 })
    }

    pub(crate) fn sign(&self, octets: &[u8], row: &str) -> Vec<u8> {
        sign_raw(&self.set, octets, Some(row)).unwrap().0
    }

    /// What comes out, or the reason why nothing does.
    pub(crate) fn read(&self, document: &str, expect: Expect<'_>) -> Result<Vec<String>, String> {
        let trust = Trust::Certificates(&self.peer);
        match saml::verify(document.as_bytes(), expect, trust, &PeerPolicy::default(), &LIMITS) {
            Ok(found) => {
                Ok(found.into_iter().map(|one| String::from_utf8(one.octets).unwrap()).collect())
            }
            Err(error) => Err(format!("{error}: {}", std::error::Error::source(&error).unwrap())),
        }
    }

    pub(crate) fn refuses(&self, what: &str, document: &str) {
        let found = self.read(document, Expect::Any);
        assert!(found.is_err(), "{what}: {found:?}");
    }
}

/// The canonical text of an assertion without its signature.
pub(crate) fn assertion(id: &str, name: &str) -> String {
    format!(
        "<saml:Assertion xmlns:saml=\"{SAML}\" ID=\"{id}\"><saml:Issuer>https://idp</saml:Issuer><saml:Subject>\
         <saml:NameID>{name}</saml:NameID></saml:Subject></saml:Assertion>"
    )
}

pub(crate) fn response(inside: &str) -> String {
    format!("<samlp:Response xmlns:samlp=\"{SAMLP}\" ID=\"_r\">{inside}</samlp:Response>")
}

/// The parts of a signature, as a signer of SAML writes them.
#[derive(Clone)]
pub(crate) struct Parts {
    pub(crate) method: String,
    pub(crate) references: String,
    /// Behind SignatureValue.
    pub(crate) rest: String,
}

fn transform(uri: &str) -> String {
    format!("<ds:Transform Algorithm=\"{uri}\"></ds:Transform>")
}

fn reference(uri: &str, transforms: &str, method: &str, content: &str) -> String {
    let digest = STANDARD.encode(sha256(content.as_bytes()));
    format!(
        "<ds:Reference{uri}><ds:Transforms>{transforms}</ds:Transforms>{method}\
         <ds:DigestValue>{digest}</ds:DigestValue></ds:Reference>"
    )
}

fn digest_method() -> String {
    format!("<ds:DigestMethod Algorithm=\"{SHA256}\"></ds:DigestMethod>")
}

pub(crate) fn usual() -> Parts {
    Parts {
        method: format!("<ds:SignatureMethod Algorithm=\"{RSA_SHA256}\"></ds:SignatureMethod>"),
        references: reference(
            " URI=\"#_a\"",
            &both_transforms(),
            &digest_method(),
            &assertion("_a", "alice"),
        ),
        rest: String::new(),
    }
}

impl Parts {
    pub(crate) fn info(&self) -> String {
        format!(
            "<ds:SignedInfo xmlns:ds=\"{DS}\"><ds:CanonicalizationMethod Algorithm=\"{EXCLUSIVE}\">\
             </ds:CanonicalizationMethod>{}{}</ds:SignedInfo>",
            self.method, self.references
        )
    }

    pub(crate) fn signature(&self, value: &[u8]) -> String {
        let value = STANDARD.encode(value);
        format!(
            "<ds:Signature xmlns:ds=\"{DS}\">{}<ds:SignatureValue>{value}</ds:SignatureValue>{}</ds:Signature>",
            self.info(),
            self.rest
        )
    }

    /// Signed over its canonical SignedInfo, whatever that says.
    pub(crate) fn signed(&self, house: &House) -> String {
        let signature = self.signature(&house.sign(self.info().as_bytes(), "RS256"));
        response(&with(&assertion("_a", "alice"), &signature))
    }
}

/// The assertion with a signature behind its Issuer.
pub(crate) fn with(assertion: &str, signature: &str) -> String {
    assertion.replace("</saml:Issuer>", &format!("</saml:Issuer>{signature}"))
}

#[test]
fn wrapped_elements_never_come_out() {
    let house = House::rsa();
    let plain = assertion("_a", "alice");
    let signature = usual().signature(&house.sign(usual().info().as_bytes(), "RS256"));
    let good = with(&plain, &signature);
    assert_eq!(house.read(&response(&good), Expect::Any).unwrap(), [plain.as_str()]);
    let evil = assertion("_e", "admin");
    let twin = assertion("_a", "admin");
    let into = |outer: &str, inner: &str| {
        outer.replace("</saml:Subject>", &format!("</saml:Subject>{inner}"))
    };
    let object = |inner: &str| {
        signature
            .replace("</ds:Signature>", &format!("<ds:Object>{inner}</ds:Object></ds:Signature>"))
    };
    let extensions = format!("<samlp:Extensions>{good}</samlp:Extensions>");
    let wrapped = [
        ("evil first", response(&format!("{evil}{good}"))),
        ("evil last", response(&format!("{good}{evil}"))),
        ("evil twin first", response(&format!("{twin}{good}"))),
        ("evil twin last", response(&format!("{good}{twin}"))),
        ("evil around", response(&into(&evil, &good))),
        ("evil twin around", response(&into(&twin, &good))),
        (
            "evil in the place, the signed one in Extensions",
            response(&format!("{extensions}{evil}")),
        ),
        ("evil twin in the place", response(&format!("{extensions}{twin}"))),
        (
            "evil has the signature, the signed one in its Object",
            response(&with(&evil, &object(&plain))),
        ),
        ("evil twin has it", response(&with(&twin, &object(&plain)))),
        (
            "evil has the signature, the signed one beside it",
            response(&format!("{}{plain}", with(&evil, &signature))),
        ),
        (
            "evil twin has it, the signed one beside it",
            response(&format!("{}{plain}", with(&twin, &signature))),
        ),
        ("in Advice", response(&into(&evil, &format!("<saml:Advice>{good}</saml:Advice>")))),
        ("in a foreign element", response(&format!("<x:w xmlns:x=\"urn:x\">{good}</x:w>{evil}"))),
        ("the signature stands in the Response", response(&format!("{signature}{plain}"))),
        (
            "the signature stands in the Subject",
            response(&plain.replace("<saml:Subject>", &format!("<saml:Subject>{signature}"))),
        ),
        ("two signatures", response(&with(&plain, &format!("{signature}{signature}")))),
        ("a Response in a Response", response(&format!("{}{evil}", response(&good)))),
    ];
    for (what, document) in &wrapped {
        for expect in [
            Expect::Any,
            Expect::Message,
            Expect::Assertion(None),
            Expect::Assertion(Some("_a")),
            Expect::Assertion(Some("_e")),
        ] {
            for octets in house.read(document, expect).unwrap_or_default() {
                assert_eq!(octets, plain, "{what} {expect:?}");
            }
        }
        // Whoever asks for whatever is signed gets nothing where something stands beside it.
        house.refuses(what, document);
    }
}

/// Figures are in `benches/src/xml_attacks.rs`; here nothing hangs.
#[test]
fn what_would_cost_a_verifier_much_is_refused() {
    let house = House::rsa();
    let (trust, policy) = (Trust::Certificates(&house.peer), PeerPolicy::default());
    for (name, text) in xml_attacks::on_signatures(1 << 20) {
        let start = Instant::now();
        let limits = XmlLimits::METADATA;
        let found = saml::verify(text.as_bytes(), Expect::Any, trust, &policy, &limits);
        assert_eq!(found.unwrap_err().kind(), ErrorKind::NotVerified, "{name}");
        assert!(start.elapsed() < Duration::from_secs(4), "{name}: {:?}", start.elapsed());
    }
}

#[test]
fn an_id_has_one_bearer() {
    let house = House::rsa();
    let good = usual().signed(&house);
    for name in ["ID", "Id", "id", "AssertionID", "xml:id"] {
        let other = format!("<x {name}=\"_a\"/>");
        house.refuses(name, &good.replace("<saml:Assertion", &format!("{other}<saml:Assertion")));
        let other = format!("{name}=\"&#x5f;a\" Version=");
        house.refuses(
            name,
            &good.replace(
                "ID=\"_r\"",
                &format!("ID=\"_r\" x=\"\" {other}\"2.0\"")
                    .replace("ID=\"_r\"", if name == "ID" { "" } else { "ID=\"_r\"" }),
            ),
        );
    }
    let foreign = good.replace("ID=\"_r\"", "ID=\"_r\" xmlns:x=\"urn:x\" x:ID=\"_a\" Name=\"_a\"");
    assert!(house.read(&foreign, Expect::Any).is_ok(), "an attribute that nobody takes for an ID");
    let entity = format!("<!DOCTYPE r [<!ENTITY i \"_a\">]>{}", good.replace("\"_a\"", "\"&i;\""));
    house.refuses("an ID out of an entity", &entity);
}

/// Whether a signature over such References holds; it is made over the SignedInfo as it stands, with the trusted key.
fn holds(house: &House, references: String) -> bool {
    house.read(&Parts { references, ..usual() }.signed(house), Expect::Any).is_ok()
}

fn referred(uri: &str, transforms: &str) -> String {
    reference(uri, transforms, &digest_method(), &assertion("_a", "alice"))
}

fn both_transforms() -> String {
    transform(ENVELOPED) + &transform(EXCLUSIVE)
}

#[test]
fn a_reference_is_to_the_parent_and_to_nothing_else() {
    let house = House::rsa();
    let both = both_transforms();
    let usual = referred(" URI=\"#_a\"", &both);
    assert!(holds(&house, usual.clone()));
    for uri in [
        "",
        " URI=\"\"",
        " URI=\"#\"",
        " URI=\"#_r\"",
        " URI=\"#_x\"",
        " URI=\"_a\"",
        " URI=\"https://idp/a.xml\"",
        " URI=\"https://idp/a.xml#_a\"",
        " URI=\"file:///etc/passwd\"",
        " URI=\"cid:x\"",
        " URI=\"#xpointer(/)\"",
        " URI=\"#xpointer(id('_a'))\"",
        " URI=\"#%5Fa\"",
    ] {
        assert!(!holds(&house, referred(uri, &both)), "{uri}");
    }
    let manifest = usual.replace("<ds:Reference ", "<ds:Manifest ");
    let manifest = manifest.replace("</ds:Reference>", "</ds:Manifest>");
    for (what, references) in [
        ("none", String::new()),
        ("two", format!("{usual}{usual}")),
        ("a Manifest", manifest),
        ("something behind it", format!("{usual}<x></x>")),
    ] {
        assert!(!holds(&house, references), "{what}");
    }
}

#[test]
fn transforms_are_the_two_of_saml() {
    let house = House::rsa();
    let (enveloped, exclusive) = (transform(ENVELOPED), transform(EXCLUSIVE));
    let parameter = |uri: &str, inside: &str| {
        format!("<ds:Transform Algorithm=\"{uri}\">{inside}</ds:Transform>")
    };
    let list = |prefixes: &str| {
        let name = "ec:InclusiveNamespaces";
        let start = format!("<{name} xmlns:ec=\"{EXCLUSIVE}\" PrefixList=\"{prefixes}\">");
        format!("{enveloped}{}", parameter(EXCLUSIVE, &format!("{start}</{name}>")))
    };
    let holds = |transforms: &str| holds(&house, referred(" URI=\"#_a\"", transforms));
    assert!(holds(&list("xs #default")));
    for transforms in [
        String::new(),
        enveloped.clone(),
        exclusive.clone(),
        format!("{exclusive}{enveloped}"),
        format!("{enveloped}{enveloped}"),
        format!("{enveloped}{exclusive}{exclusive}"),
        format!("{enveloped}{}", exclusive.repeat(50)),
        format!("{}{exclusive}", parameter(ENVELOPED, "<x></x>")),
        format!("{enveloped}{}", parameter(EXCLUSIVE, "text")),
        list("xs").replace("</ds:Transform>", "<x></x></ds:Transform>").replacen("<x></x>", "", 1),
        list(&"p ".repeat(65)),
    ] {
        assert!(!holds(&transforms), "{transforms}");
    }
    for second in [
        "http://www.w3.org/TR/2001/REC-xml-c14n-20010315",
        "http://www.w3.org/2006/12/xml-c14n11",
        "http://www.w3.org/TR/1999/REC-xpath-19991116",
        "http://www.w3.org/2002/06/xmldsig-filter2",
        "http://www.w3.org/TR/1999/REC-xslt-19991116",
        "http://www.w3.org/2000/09/xmldsig#base64",
        "http://www.w3.org/2002/07/decrypt#XML",
    ] {
        assert!(!holds(&format!("{enveloped}{}", transform(second))), "{second}");
    }
}

#[test]
fn algorithms_have_no_parameters_and_are_known() {
    let house = House::rsa();
    let usual_reference = referred(" URI=\"#_a\"", &both_transforms());
    let digest = STANDARD.encode(sha256(assertion("_a", "alice").as_bytes()));
    for (what, references) in [
        ("an empty digest", usual_reference.replace(&digest, "")),
        ("a digest of SHA-1", usual_reference.replace(SHA256, &format!("{DS}sha1"))),
        ("a digest that nobody knows", usual_reference.replace(SHA256, "urn:x")),
        ("parameters", usual_reference.replace("</ds:DigestMethod>", "<x></x></ds:DigestMethod>")),
    ] {
        assert!(!holds(&house, references), "{what}");
    }
    let method = usual().method;
    let length = "<ds:HMACOutputLength>0</ds:HMACOutputLength></ds:S";
    let pss = "http://www.w3.org/2007/05/xmldsig-more#sha256-rsa-MGF1";
    for (what, method) in [
        ("no method", String::new()),
        ("HMACOutputLength", method.replace("</ds:S", length)),
        ("no algorithm", method.replace(RSA_SHA256, "")),
        ("none", method.replace(RSA_SHA256, "none")),
        ("RSA with SHA-1", method.replace(RSA_SHA256, &format!("{DS}rsa-sha1"))),
        ("PSS that is PKCS#1", method.replace(RSA_SHA256, pss)),
        ("SHA-512 that is SHA-256", method.replace("sha256", "sha512")),
        ("ECDSA with an RSA key", method.replace("rsa-sha256", "ecdsa-sha256")),
    ] {
        house.refuses(what, &Parts { method, ..usual() }.signed(&house));
    }
}

#[test]
fn nothing_else_stands_in_a_signature() {
    let house = House::rsa();
    for (what, rest) in [
        ("an Object", "<ds:Object></ds:Object>".to_owned()),
        ("an Object with a SignedInfo", format!("<ds:Object>{}</ds:Object>", usual().info())),
        ("a second SignedInfo", usual().info()),
        ("a second value", "<ds:SignatureValue>AAAA</ds:SignatureValue>".into()),
        ("two KeyInfos", "<ds:KeyInfo></ds:KeyInfo><ds:KeyInfo></ds:KeyInfo>".into()),
        ("text", "text".into()),
    ] {
        house.refuses(what, &Parts { rest, ..usual() }.signed(&house));
    }
}

#[test]
fn values_hold_base64_and_nothing_else() {
    let house = House::rsa();
    let good = usual().signed(&house);
    let value = STANDARD.encode(house.sign(usual().info().as_bytes(), "RS256"));
    let digest = STANDARD.encode(sha256(assertion("_a", "alice").as_bytes()));
    let evil = STANDARD.encode(sha256(assertion("_a", "admin").as_bytes()));
    let folded = format!("\n {}&#13;\n{} ", &value[..76], &value[76..]);
    assert!(house.read(&good.replace(&value, &folded), Expect::Any).is_ok(), "folded lines");
    for (what, from, to) in [
        ("a comment in the value", &value, format!("<!---->{value}")),
        (
            "a comment that splits the value",
            &value,
            format!("{}<!-- -->{}", &value[..8], &value[8..]),
        ),
        ("an instruction in the value", &value, format!("{value}<?p?>")),
        ("an element in the value", &value, format!("{value}<x/>")),
        ("other characters", &value, format!("{value}.")),
        ("no padding", &value, value.trim_end_matches('=').to_owned()),
        ("nothing", &value, String::new()),
        ("one octet less", &value, STANDARD.encode(&STANDARD.decode(&value).unwrap()[..255])),
        (
            "a zero in front",
            &value,
            STANDARD.encode([&[0], &STANDARD.decode(&value).unwrap()[..]].concat()),
        ),
        ("a comment in the digest", &digest, format!("<!--{evil}-->{digest}")),
        ("the evil digest in a comment", &digest, format!("{evil}<!--{digest}-->")),
        ("a digest cut short", &digest, STANDARD.encode(&STANDARD.decode(&digest).unwrap()[..16])),
    ] {
        assert!(good.contains(from.as_str()));
        house.refuses(what, &good.replace(from.as_str(), &to));
    }
}

/// A comment inside a name leaves the signature whole, and the name too (CVE-2017-11427 and its kin).
#[test]
fn a_comment_cuts_no_name() {
    let house = House::rsa();
    let cut = usual().signed(&house).replace(">alice<", ">al<!-- -->ice<");
    assert_eq!(house.read(&cut, Expect::Any).unwrap(), [assertion("_a", "alice")]);
    let split = usual().signed(&house).replace(">alice<", ">al<?p?>ice<");
    house.refuses("an instruction", &split);
    let cdata = usual().signed(&house).replace(">alice<", "><![CDATA[al]]>ice<");
    assert_eq!(house.read(&cdata, Expect::Any).unwrap(), [assertion("_a", "alice")]);
}
