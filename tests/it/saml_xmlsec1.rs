//! SAML back and forth with the program xmlsec1 (Debian's libxmlsec1), in every algorithm that both sides know.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::UNIX_EPOCH;

use claviger::alg::{Algorithm, Family, Hash};
use claviger::catalogue::LabelUse;
use claviger::crypto::generate::KeySpec;
use claviger::error::ErrorKind;
use claviger::profiles::saml::metadata::{self, MetadataOptions};
use claviger::profiles::saml::{self, Encryptable, Expect, KnownPeer, SamlRole, Signing};
use claviger::xmlsec::dsig::SignOptions;
use claviger::xmlsec::enc::{EncryptOptions, Recipient};
use claviger::xmlsec::names::{DSIG, EXC_C14N, XENC};
use claviger::xmlsec::{PeerPolicy, Trust, XmlLimits};

use crate::saml_interop::{CONTENTS, Pair, RESPONSE, SIGNATURES, digest_uri, pair};

/// A message with everything that SAML encrypts but a new name.
const WHOLE: &str = "<samlp:Response xmlns:samlp=\"urn:oasis:names:tc:SAML:2.0:protocol\" \
    xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\" ID=\"_r\"><saml:Issuer>https://idp</saml:Issuer>\
    <saml:Assertion xmlns:xs=\"http://www.w3.org/2001/XMLSchema\" xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" \
    ID=\"_a\"><saml:Issuer>https://idp</saml:Issuer><saml:Subject><saml:NameID>alice</saml:NameID></saml:Subject>\
    <saml:AttributeStatement><saml:Attribute Name=\"mail\"><saml:AttributeValue xsi:type=\"xs:string\">alice@idp\
    </saml:AttributeValue></saml:Attribute></saml:AttributeStatement></saml:Assertion></samlp:Response>";
const NEW_NAME: &str = "<samlp:ManageNameIDRequest xmlns:samlp=\"urn:oasis:names:tc:SAML:2.0:protocol\" \
    xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\" ID=\"_m\"><saml:Issuer>https://idp</saml:Issuer>\
    <saml:NameID>alice</saml:NameID><samlp:NewID>alicia</samlp:NewID></samlp:ManageNameIDRequest>";

/// The program, and the files that it reads.
struct Xmlsec1 {
    folder: tempfile::TempDir,
}

impl Xmlsec1 {
    fn find() -> Option<Self> {
        if Command::new("xmlsec1").arg("--version").output().is_ok() {
            return Some(Self { folder: tempfile::tempdir().unwrap() });
        }
        assert!(std::env::var_os("CI").is_none(), "run scripts/setup.sh first");
        println!("xmlsec1 is absent: run scripts/setup.sh for the interoperability tests");
        None
    }

    fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// What it makes of the last file; `Err` is what it says.
    fn run(&self, arguments: &[&str], document: &Path) -> Result<String, String> {
        let made = self.folder.path().join("made.xml");
        let mut command = Command::new("xmlsec1");
        command.args(arguments);
        if arguments[0] != "--verify" {
            command.arg("--output").arg(&made);
        }
        let output = command.arg(document).output().unwrap();
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        Ok(std::fs::read_to_string(&made).unwrap_or_default())
    }

    /// The keys of a pair as files: private key, certificate.
    fn keys(&self, pair: &Pair) -> (String, String) {
        let path = |name, content| self.file(name, content).to_str().unwrap().to_owned();
        (path("key.pem", &pair.pem), path("certificate.pem", &pair.certificate))
    }

    fn verify(&self, pair: &Pair, element: &str, xml: &str) -> Result<String, String> {
        let (_, certificate) = self.keys(pair);
        let arguments = [
            "--verify",
            "--id-attr:ID",
            element,
            "--enabled-key-data",
            "key-name",
            "--pubkey-cert-pem",
        ];
        self.run(&[&arguments[..], &[&certificate]].concat(), &self.file("signed.xml", xml))
    }

    fn decrypt(&self, pair: &Pair, xml: &str) -> Result<String, String> {
        let (key, _) = self.keys(pair);
        self.run(&["--decrypt", "--privkey-pem", &key], &self.file("encrypted.xml", xml))
    }

    /// `document` with the one element inside `wrapper` encrypted in its place.
    fn encrypt(
        &self,
        pair: &Pair,
        document: &str,
        wrapper: &str,
        how: (&str, &str),
    ) -> Result<String, String> {
        let (_, certificate) = self.keys(pair);
        let (content, transport) = how;
        let session = match content {
            "tripledes-cbc" => "des-192".to_owned(),
            _ => format!("aes-{}", &content[3..6]),
        };
        let document = self.file("plain.xml", document).to_str().unwrap().to_owned();
        let path = format!("//*[local-name()='{wrapper}']/*");
        let template =
            self.file("template.xml", &encryption_template(uri(content), uri(transport)));
        let arguments = ["--encrypt", "--pubkey-cert-pem", &certificate, "--session-key", &session];
        self.run(
            &[&arguments[..], &["--xml-data", &document, "--node-xpath", &path]].concat(),
            &template,
        )
    }
}

fn uri(name: &str) -> &'static str {
    Algorithm::named(name).unwrap().xml_uri.unwrap()
}

fn encryption_template(content: &str, transport: &str) -> String {
    format!(
        "<xenc:EncryptedData xmlns:xenc=\"{XENC}\" Type=\"{XENC}Element\"><xenc:EncryptionMethod Algorithm=\"{content}\"/>\
         <ds:KeyInfo xmlns:ds=\"{DSIG}\"><xenc:EncryptedKey><xenc:EncryptionMethod Algorithm=\"{transport}\"/>\
         <xenc:CipherData><xenc:CipherValue/></xenc:CipherData></xenc:EncryptedKey></ds:KeyInfo>\
         <xenc:CipherData><xenc:CipherValue/></xenc:CipherData></xenc:EncryptedData>"
    )
}

fn signature_template(method: &str, digest: &str) -> String {
    format!(
        "<ds:Signature xmlns:ds=\"{DSIG}\"><ds:SignedInfo><ds:CanonicalizationMethod Algorithm=\"{EXC_C14N}\"/>\
         <ds:SignatureMethod Algorithm=\"{method}\"/><ds:Reference URI=\"#_r\"><ds:Transforms>\
         <ds:Transform Algorithm=\"{DSIG}enveloped-signature\"/><ds:Transform Algorithm=\"{EXC_C14N}\"/></ds:Transforms>\
         <ds:DigestMethod Algorithm=\"{digest}\"/><ds:DigestValue/></ds:Reference></ds:SignedInfo><ds:SignatureValue/>\
         <ds:KeyInfo><ds:X509Data/></ds:KeyInfo></ds:Signature>"
    )
}

const SIGNS: [LabelUse; 2] = [LabelUse::Sign, LabelUse::Verify];

#[test]
fn what_xmlsec1_signs_verifies_here_and_what_is_signed_here_there() {
    let Some(program) = Xmlsec1::find() else { return };
    let rsa = pair(KeySpec::Rsa { bits: 2048 }, SIGNS.to_vec());
    let (mut cases, mut unknown) = (0, Vec::new());
    for name in SIGNATURES {
        let row = Algorithm::named(name).unwrap();
        let own = match row.family {
            Family::Ecdsa(curve, _) => Some(pair(KeySpec::Curve(curve), SIGNS.to_vec())),
            _ => None,
        };
        let one = own.as_ref().unwrap_or(&rsa);
        let template = signature_template(row.xml_uri.unwrap(), &digest_uri(name));
        let behind = "</saml:Issuer>";
        let unsigned = RESPONSE.replacen(behind, &format!("{behind}{template}"), 1);
        let (key, certificate) = program.keys(one);
        let keys = format!("{key},{certificate}");
        let arguments = ["--sign", "--privkey-pem", &keys, "--id-attr:ID", "Response"];
        let signed = match program.run(&arguments, &program.file("unsigned.xml", &unsigned)) {
            Ok(signed) => signed,
            // 1.2 has no PSS: it is told apart from every other failure.
            Err(why) if why.contains("href=http://www.w3.org/2007/05/xmldsig-more#") => {
                unknown.push(name);
                continue;
            }
            Err(why) => panic!("{name}: {why}"),
        };
        let verify = |xml: &str| {
            let (trust, policy) = (Trust::Certificates(&one.peer), PeerPolicy::default());
            saml::verify(xml.as_bytes(), Expect::Message, trust, &policy, &XmlLimits::MESSAGE)
        };
        let found = verify(&signed).unwrap_or_else(|error| panic!("{name}: {error:?}: {signed}"));
        assert_eq!(found[0].algorithm.xml_name(), Some(name));
        let changed = signed.replace("alice", "admin");
        assert_eq!(verify(&changed).unwrap_err().kind(), ErrorKind::NotVerified, "{name}");
        let options =
            SignOptions { algorithm: Some(name), prefix_list: "saml", ..Default::default() };
        let ours =
            saml::sign(&one.set, RESPONSE.as_bytes(), Signing::Message, &options).unwrap().xml;
        program.verify(one, "Response", &ours).unwrap_or_else(|why| panic!("{name}: {why}"));
        program.verify(one, "Response", &ours.replace("alice", "admin")).unwrap_err();
        cases += 2;
    }
    println!("interop: {cases} signatures with xmlsec1; it does not know {unknown:?}");
    assert_eq!(cases, 2 * (SIGNATURES.len() - unknown.len()));
    assert!(unknown.iter().all(|name| name.ends_with("MGF1")), "{unknown:?}");
}

/// Old peers canonicalize inclusively: then what stands around counts, `xml:` attributes too, each version's own.
#[test]
fn what_xmlsec1_signs_inclusively_verifies_for_the_peers_that_are_let() {
    let Some(program) = Xmlsec1::find() else { return };
    let one = pair(KeySpec::Rsa { bits: 2048 }, SIGNS.to_vec());
    let (key, certificate) = program.keys(&one);
    let keys = format!("{key},{certificate}");
    let template = signature_template(uri("rsa-sha256"), &digest_uri("rsa-sha256"));
    let behind = "<saml:Assertion ID=\"_a\"><saml:Issuer>https://idp</saml:Issuer>";
    let unsigned = RESPONSE.replacen(behind, &format!("{behind}{template}"), 1);
    let unsigned = unsigned.replace("\"#_r\"", "\"#_a\"");
    assert_ne!(unsigned, RESPONSE);
    let base = " xml:base=\"http://x/y/\"";
    for (uri, base_is_joined) in [
        ("http://www.w3.org/TR/2001/REC-xml-c14n-20010315", false),
        ("http://www.w3.org/TR/2001/REC-xml-c14n-20010315#WithComments", false),
        ("http://www.w3.org/2006/12/xml-c14n11", true),
        ("http://www.w3.org/2006/12/xml-c14n11#WithComments", true),
    ] {
        for around in
            ["", " xml:lang=\"en\" xml:space=\"preserve\"", " xml:id=\"x\" xml:foo=\"y\"", base]
        {
            let document = unsigned.replace(EXC_C14N, uri);
            let document =
                document.replace(" ID=\"_r\"", &format!(" ID=\"_r\"{around} xmlns=\"urn:d\""));
            let arguments = ["--sign", "--privkey-pem", &keys, "--id-attr:ID", "Assertion"];
            let signed = program.run(&arguments, &program.file("unsigned.xml", &document)).unwrap();
            let verify = |switches: &[&str]| {
                let policy = PeerPolicy::of(switches.iter().copied()).unwrap();
                let trust = Trust::Certificates(&one.peer);
                saml::verify(signed.as_bytes(), Expect::Any, trust, &policy, &XmlLimits::MESSAGE)
            };
            assert_eq!(verify(&[]).unwrap_err().kind(), ErrorKind::NotVerified);
            let found = verify(&["incl-c14n"]);
            let holds = !(base_is_joined && around == base);
            assert_eq!(found.is_ok(), holds, "{uri}{around}: {found:?}");
        }
    }
}

/// XML-DSig lets a KeyInfo hold the key itself, and metadata has KeyInfo.
#[test]
fn a_key_that_xmlsec1_writes_without_certificate_verifies_and_is_encrypted_to() {
    let Some(program) = Xmlsec1::find() else { return };
    let one = pair(KeySpec::Rsa { bits: 2048 }, SIGNS.to_vec());
    let template = signature_template(uri("rsa-sha256"), &digest_uri("rsa-sha256"))
        .replace("<ds:X509Data/>", "<ds:KeyValue/>");
    let unsigned = RESPONSE.replacen("</saml:Issuer>", &format!("</saml:Issuer>{template}"), 1);
    let (key, _) = program.keys(&one);
    let arguments = ["--sign", "--privkey-pem", &key, "--id-attr:ID", "Response"];
    let signed = program.run(&arguments, &program.file("unsigned.xml", &unsigned)).unwrap();
    let (_, value) = signed.split_once("<ds:KeyInfo>").unwrap();
    let (value, _) = value.split_once("</ds:KeyInfo>").unwrap();
    assert!(value.contains("<ds:RSAKeyValue>"), "{value}");
    let metadata = format!(
        "<EntityDescriptor xmlns=\"urn:oasis:names:tc:SAML:2.0:metadata\" xmlns:ds=\"{DSIG}\" entityID=\"https://idp\">\
         <IDPSSODescriptor protocolSupportEnumeration=\"urn:oasis:names:tc:SAML:2.0:protocol\"><KeyDescriptor>\
         <ds:KeyInfo>{value}</ds:KeyInfo></KeyDescriptor></IDPSSODescriptor></EntityDescriptor>"
    );
    let peer = KnownPeer::from_metadata(metadata.as_bytes(), None, None, UNIX_EPOCH).unwrap();
    let keys = peer.signing_keys().unwrap();
    let (trust, policy) = (Trust::Certificates(&keys), PeerPolicy::default());
    let verify = |xml: &str| {
        saml::verify(xml.as_bytes(), Expect::Message, trust, &policy, &XmlLimits::MESSAGE)
    };
    let signer = verify(&signed).unwrap().swap_remove(0).signer;
    assert_eq!((signer.alias, signer.certificate_sha256), (None, None));
    assert_eq!(signer.key_sha256.as_deref(), Some(keys.keys()[0].sha256()));
    assert!(verify(&signed.replace("alice", "admin")).is_err());
    let (to, _) = peer.recipient(PeerPolicy::default()).unwrap();
    let to = Recipient::Certificate(&to);
    let options = EncryptOptions { content: Some("A256GCM"), ..Default::default() };
    let (ours, _) =
        saml::encrypt(to, RESPONSE.as_bytes(), Encryptable::Assertion, &options).unwrap();
    assert!(!ours.contains("alice"), "{ours}");
    assert!(program.decrypt(&one, &ours).unwrap().contains("alice"));
}

/// The policy that a peer needs for these.
fn policy_of(content: &str, transport: &str) -> PeerPolicy {
    PeerPolicy {
        cbc: content.ends_with("cbc"),
        rsa1_5: transport == "rsa-1_5",
        triple_des: content == "tripledes-cbc",
        ..Default::default()
    }
}

#[test]
fn what_xmlsec1_encrypts_decrypts_here_and_what_is_encrypted_here_there() {
    let Some(program) = Xmlsec1::find() else { return };
    let one = pair(KeySpec::Rsa { bits: 2048 }, vec![LabelUse::Decrypt]);
    let to = Recipient::Certificate(&one.peer.keys()[0]);
    let plain = RESPONSE
        .replace("<saml:Assertion ", "<saml:EncryptedAssertion><saml:Assertion ")
        .replace("</saml:Assertion>", "</saml:Assertion></saml:EncryptedAssertion>");
    let kind = Encryptable::Assertion;
    let mut cases = 0;
    let contents = CONTENTS.iter().map(|(name, ..)| *name).chain(["tripledes-cbc"]);
    for content in contents {
        for transport in ["rsa-oaep-mgf1p", "rsa-1_5"] {
            let policy = policy_of(content, transport);
            let theirs = program.encrypt(&one, &plain, "EncryptedAssertion", (content, transport));
            let theirs = theirs.unwrap_or_else(|why| panic!("{content} {transport}: {why}"));
            assert!(!theirs.contains("alice"), "{theirs}");
            let found = saml::decrypt(&one.set, theirs.as_bytes(), kind, &policy).unwrap();
            assert!(std::str::from_utf8(found[0].xml.expose_secret()).unwrap().contains(">alice<"));
            assert_eq!(found[0].content.xml_name(), Some(content));
            let off = saml::decrypt(&one.set, theirs.as_bytes(), kind, &PeerPolicy::default());
            assert_eq!(off.is_ok(), policy == PeerPolicy::default(), "{content} {transport}");
            cases += 1;
            // Triple DES is never made.
            if content == "tripledes-cbc" {
                continue;
            }
            // Debian's 1.2 does not read a DigestMethod other than SHA-1.
            let options = EncryptOptions {
                content: Some(content),
                key_transport: Some(transport),
                digest: Some(Hash::Sha1),
                policy,
                ..Default::default()
            };
            let (ours, _) = saml::encrypt(to, RESPONSE.as_bytes(), kind, &options).unwrap();
            let opened = program.decrypt(&one, &ours);
            let opened = opened.unwrap_or_else(|why| panic!("{content} {transport}: {why}"));
            assert!(opened.contains(">alice<") && !opened.contains("EncryptedData"), "{opened}");
            cases += 1;
        }
    }
    println!("interop: {cases} encrypted assertions with xmlsec1");
    assert_eq!(cases, 7 * 2 + 6 * 2);
}

/// Names, new names and attributes, each in its place of a message or an assertion; both sides, both ways.
#[test]
fn every_element_that_saml_encrypts_goes_back_and_forth_in_its_place() {
    let Some(program) = Xmlsec1::find() else { return };
    let one = pair(KeySpec::Rsa { bits: 2048 }, vec![LabelUse::Decrypt]);
    let to = Recipient::Certificate(&one.peer.keys()[0]);
    let (options, policy) = (EncryptOptions::default(), PeerPolicy::default());
    for (kind, document, element, secret) in [
        (Encryptable::Assertion, WHOLE, "saml:Assertion", ">alice<"),
        (Encryptable::Id, WHOLE, "saml:NameID", ">alice<"),
        (Encryptable::Attribute, WHOLE, "saml:Attribute", ">alice@idp<"),
        (Encryptable::NewId, NEW_NAME, "samlp:NewID", ">alicia<"),
    ] {
        let (prefix, _) = element.split_once(':').unwrap();
        let wrapper = format!("{prefix}:{}", kind.wrapper().local);
        // As the document would be with the element in its wrapper: that is what both sides must come to.
        let wrapped = document
            .replace(&format!("<{element}>"), &format!("<{wrapper}><{element}>"))
            .replace(&format!("<{element} "), &format!("<{wrapper}><{element} "))
            .replace(&format!("</{element}>"), &format!("</{element}></{wrapper}>"));
        let (ours, _) = saml::encrypt(to, document.as_bytes(), kind, &options).unwrap();
        assert!(!ours.contains(secret), "{ours}");
        let opened = program.decrypt(&one, &ours).unwrap();
        let canonical = |xml: &str| {
            let form = claviger::xmlsec::CanonicalForm::default();
            claviger::xmlsec::canonicalize(xml.as_bytes(), None, &form, &XmlLimits::MESSAGE)
                .unwrap()
        };
        assert_eq!(canonical(&opened), canonical(&wrapped), "{opened}");
        let theirs =
            program.encrypt(&one, &wrapped, kind.wrapper().local, ("aes256-gcm", "rsa-oaep-mgf1p"));
        for xml in [ours, theirs.unwrap()] {
            let found = saml::decrypt(&one.set, xml.as_bytes(), kind, &policy).unwrap();
            let text = std::str::from_utf8(found[0].xml.expose_secret()).unwrap();
            assert!(text.starts_with(&format!("<{element}")) && text.contains(secret), "{text}");
            // It stands alone: what it uses is declared in it.
            canonical(text);
            for other in Encryptable::ALL.into_iter().filter(|other| *other != kind) {
                let none = saml::decrypt(&one.set, xml.as_bytes(), other, &policy);
                assert_eq!(
                    none.unwrap_err().kind(),
                    ErrorKind::NotDecrypted,
                    "{other:?} in {kind:?}"
                );
            }
        }
    }
}

/// A name and an attribute encrypted inside an assertion that is signed, encrypted, and signed around: opened from
/// the outside in, each from octets that verified.
#[test]
fn what_is_encrypted_inside_a_signed_assertion_opens_from_the_octets_that_verified() {
    let signing = pair(KeySpec::Rsa { bits: 2048 }, SIGNS.to_vec());
    let one = pair(KeySpec::Rsa { bits: 2048 }, vec![LabelUse::Decrypt]);
    let to = Recipient::Certificate(&one.peer.keys()[0]);
    let policy = PeerPolicy::default();
    let encrypt = |xml: &str, kind| {
        saml::encrypt(to, xml.as_bytes(), kind, &EncryptOptions::default()).unwrap().0
    };
    let sign = |xml: &str, what| {
        saml::sign(&signing.set, xml.as_bytes(), what, &SignOptions::default()).unwrap().xml
    };
    let inner = encrypt(&encrypt(WHOLE, Encryptable::Id), Encryptable::Attribute);
    let whole = encrypt(&sign(&inner, Signing::Assertion(None)), Encryptable::Assertion);
    let whole = sign(&whole, Signing::Message);
    let believed = |xml: &[u8], expect| {
        let trust = Trust::Certificates(&signing.peer);
        saml::verify(xml, expect, trust, &policy, &XmlLimits::MESSAGE).unwrap().remove(0).octets
    };
    let open = |xml: &[u8], kind| {
        let mut found = saml::decrypt(&one.set, xml, kind, &policy).unwrap();
        assert_eq!(found.len(), 1);
        found.remove(0).xml
    };
    let message = believed(whole.as_bytes(), Expect::Message);
    let assertion = open(&message, Encryptable::Assertion);
    let assertion = believed(assertion.expose_secret(), Expect::Assertion(Some("_a")));
    for (kind, secret) in [(Encryptable::Id, ">alice<"), (Encryptable::Attribute, ">alice@idp<")] {
        let text = open(&assertion, kind);
        let text = std::str::from_utf8(text.expose_secret()).unwrap();
        assert!(text.contains(secret), "{text}");
    }
    // A changed ciphertext inside is a changed assertion.
    let at = whole.rfind("<xenc:CipherValue>").unwrap() + 40;
    let mut changed = whole.into_bytes();
    changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
    let trust = Trust::Certificates(&signing.peer);
    saml::verify(&changed, Expect::Message, trust, &policy, &XmlLimits::MESSAGE).unwrap_err();
}

#[test]
fn xmlsec1_verifies_our_metadata() {
    let Some(program) = Xmlsec1::find() else { return };
    let signing = pair(KeySpec::Rsa { bits: 2048 }, SIGNS.to_vec());
    let encryption = pair(KeySpec::Rsa { bits: 2048 }, vec![LabelUse::Decrypt]);
    for role in [SamlRole::Idp, SamlRole::Sp] {
        let options = MetadataOptions { entity_id: "https://house?a=b&c", ..Default::default() };
        let (keys, to) = (&signing.set, Some(&encryption.set));
        let xml = metadata::write(role, keys, to, None, &options).unwrap();
        let signed = saml::sign(keys, xml.as_bytes(), Signing::Message, &SignOptions::default());
        let signed = signed.unwrap().xml;
        program.verify(&signing, "EntityDescriptor", &signed).unwrap();
        program.verify(&signing, "EntityDescriptor", &signed.replace("a=b", "a=c")).unwrap_err();
    }
}
