//! What XML signatures cost at 8 KB: ours, the RSA operation and the digest alone, libxmlsec1 and signxml, in one run.
//!
//! The peers are Python packages that `scripts/setup.sh` installs; `PEERS` names another folder than
//! `$CARGO_TARGET_DIR/interop`.

use std::cell::RefCell;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use aws_lc_rs::signature::{self as aws, KeyPair, RsaKeyPair};
use claviger::catalogue::LabelUse;
use claviger::crypto::Key;
use claviger::crypto::certificate::self_signed;
use claviger::crypto::generate::{KeySpec, generate};
use claviger::formats::JwkHints;
use claviger::ops::{KeySet, KeySetPolicy, LabelKey};
use claviger::profiles::saml::{self, Expect, Signing};
use claviger::secret::SecretBytes;
use claviger::usage::KeyUsage;
use claviger::xmlsec::dsig::SignOptions;
use claviger::xmlsec::{self, CanonicalForm, PeerKeys, PeerPolicy, Trust, XmlLimits};

use crate::fixture::{peers, pem, row};
use crate::harness::{Case, measure, print_row, ratio};

/// Size of the signed document.
const BYTES: usize = 8 << 10;
const PEERS: &str = include_str!("saml_peers.py");

/// Prints the table.
pub fn run() {
    let folder = tempfile::tempdir().expect("a directory");
    let house = House::new();
    let signed = house.sign();
    house.write(folder.path(), &signed);
    let peers = RefCell::new(Peers::start(folder.path()));
    let octets = house.octets(&signed);
    println!(
        "SAML, a Response of {} bytes whose assertion of {} canonical bytes is signed, RSA-2048, SHA-256; {}\n",
        signed.len(),
        octets.len(),
        peers.borrow().versions
    );
    let bare = Bare::new(&house.pkcs8);
    let elsewhere = |what: &'static str| {
        let peers = &peers;
        Case::elsewhere(move |count| peers.borrow_mut().batch(what, count))
    };
    let times = measure(&mut [
        Case::new(|| house.sign()),
        Case::new(|| bare.sign(&octets)),
        elsewhere("xmlsec sign"),
        elsewhere("signxml sign"),
        Case::new(|| house.octets(&signed)),
        Case::new(|| bare.verify(&octets)),
        elsewhere("xmlsec verify"),
        elsewhere("signxml verify"),
    ]);
    let head = ["ours", "RSA + digest", "libxmlsec1", "signxml"];
    print_row("µs of CPU time", &head.map(str::to_owned));
    let (sign, verify) = times.split_at(head.len());
    let rows = [("sign", sign), ("verify", verify)];
    for (name, times) in rows {
        let cells: Vec<String> = times.iter().map(|ns| format!("{:.1}", ns / 1e3)).collect();
        print_row(name, &cells);
    }
    println!();
    print_row("ratios", &["ours / bare", "libxmlsec1 / ours", "signxml / ours"].map(str::to_owned));
    for (name, times) in rows {
        let [ours, bare, xmlsec, signxml] = times else { return };
        print_row(name, &[ours / bare, xmlsec / ours, signxml / ours].map(ratio));
    }
}

/// A Response of an identity provider, with as many attributes as make it so long.
fn response(bytes: usize) -> String {
    let mut attributes = String::new();
    let build = |attributes: &str| {
        format!(
            "<samlp:Response xmlns:samlp=\"urn:oasis:names:tc:SAML:2.0:protocol\" \
             xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\" ID=\"_8f3b2c515d0a4f5e9d6c2f0b9b1f6c3e\" \
             InResponseTo=\"_0f5f4a5e9d6c2f0b9b1f6c3e8b2f6b54\" Version=\"2.0\" IssueInstant=\"2026-11-25T10:00:00Z\" \
             Destination=\"https://sp.example.com/saml/acs\"><saml:Issuer>https://idp.example.com/am</saml:Issuer>\
             <samlp:Status><samlp:StatusCode Value=\"urn:oasis:names:tc:SAML:2.0:status:Success\"/></samlp:Status>\
             <saml:Assertion xmlns:xs=\"http://www.w3.org/2001/XMLSchema\" \
             xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" ID=\"_1b1f6c3e8f3b2c515d0a4f5e9d6c2f0b\" \
             Version=\"2.0\" IssueInstant=\"2026-11-25T10:00:00Z\"><saml:Issuer>https://idp.example.com/am</saml:Issuer>\
             <saml:Subject><saml:NameID Format=\"urn:oasis:names:tc:SAML:2.0:nameid-format:persistent\">alice</saml:NameID>\
             <saml:SubjectConfirmation Method=\"urn:oasis:names:tc:SAML:2.0:cm:bearer\"><saml:SubjectConfirmationData \
             InResponseTo=\"_0f5f4a5e9d6c2f0b9b1f6c3e8b2f6b54\" NotOnOrAfter=\"2026-11-25T10:05:00Z\" \
             Recipient=\"https://sp.example.com/saml/acs\"/></saml:SubjectConfirmation></saml:Subject>\
             <saml:Conditions NotBefore=\"2026-11-25T09:55:00Z\" NotOnOrAfter=\"2026-11-25T10:05:00Z\">\
             <saml:AudienceRestriction><saml:Audience>https://sp.example.com/saml</saml:Audience></saml:AudienceRestriction>\
             </saml:Conditions><saml:AuthnStatement AuthnInstant=\"2026-11-25T10:00:00Z\" SessionIndex=\"s2a1f\">\
             <saml:AuthnContext><saml:AuthnContextClassRef>urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport\
             </saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement><saml:AttributeStatement>{attributes}\
             </saml:AttributeStatement></saml:Assertion></samlp:Response>"
        )
    };
    for index in 0.. {
        let document = build(&attributes);
        if document.len() >= bytes {
            return document;
        }
        attributes += &format!(
            "<saml:Attribute Name=\"urn:oid:2.5.4.{index}\" FriendlyName=\"attribute{index}\" \
             NameFormat=\"urn:oasis:names:tc:SAML:2.0:attrname-format:uri\"><saml:AttributeValue xsi:type=\"xs:string\">\
             the value of attribute {index} {} a few words more</saml:AttributeValue></saml:Attribute>",
            // A reference now and then.
            if index % 4 == 0 { "&amp;" } else { "and" }
        );
    }
    unreachable!("the numbers do not end")
}

/// A provider with one key, and the peer that trusts its certificate.
pub struct House {
    set: KeySet,
    peer: PeerKeys,
    pkcs8: SecretBytes,
    certificate: Vec<u8>,
    plain: String,
}

impl House {
    /// With a fresh key.
    #[must_use]
    pub fn new() -> Self {
        let pkcs8 = generate(KeySpec::Rsa { bits: 2048 }).expect("a fresh key");
        let bare = Key::from_private(&pkcs8, Vec::new()).expect("a key");
        let certificate = self_signed(&bare, "CN=idp", [7; 16], 0, 4_000_000_000);
        let certificate = certificate.expect("a certificate").expect("a key that signs");
        let key = LabelKey {
            alias: "k0".parse().expect("an alias"),
            store: "bench".parse().expect("a name"),
            realm: None,
            kid: "k0".into(),
            key: Key::from_private(&pkcs8, vec![certificate.clone()]).expect("a pair"),
            hints: JwkHints::default(),
            usage: KeyUsage::default(),
        };
        let uses = vec![LabelUse::Sign, LabelUse::Verify];
        let (label, policy) = ("bench.label".parse().expect("a name"), KeySetPolicy::default());
        let set = KeySet::new(label, uses, vec![key], vec![row("RS256")], policy).expect("a label");
        let peer = PeerKeys::from_file(&certificate).expect("a certificate");
        let mut house = Self { set, peer, pkcs8, certificate, plain: response(0) };
        let overhead = house.sign().len() - house.plain.len();
        house.plain = response(BYTES - overhead);
        house
    }

    /// The Response with its assertion signed.
    pub fn sign(&self) -> String {
        let options = SignOptions::default();
        saml::sign(&self.set, self.plain.as_bytes(), Signing::Assertion(None), &options)
            .expect("signed")
            .xml
    }

    /// The canonical octets of the assertion, verified.
    pub fn octets(&self, signed: &str) -> Vec<u8> {
        let (trust, policy) = (Trust::Certificates(&self.peer), PeerPolicy::default());
        let expect = Expect::Assertion(None);
        let found = saml::verify(signed.as_bytes(), expect, trust, &policy, &XmlLimits::MESSAGE);
        found.expect("verified").swap_remove(0).octets
    }

    /// The canonical octets of the whole, nothing signed or verified.
    pub fn canonical(&self) -> Vec<u8> {
        let form = CanonicalForm::default();
        xmlsec::canonicalize(self.plain.as_bytes(), None, &form, &XmlLimits::MESSAGE)
            .expect("canonical")
    }

    /// What the peers read; the template is our document with empty values.
    fn write(&self, folder: &Path, signed: &str) {
        let mut template = signed.to_owned();
        for (from, to) in [
            ("<ds:DigestValue>", "</ds:DigestValue>"),
            ("<ds:SignatureValue>", "</ds:SignatureValue>"),
            ("<ds:X509Data>", "</ds:X509Data>"),
        ] {
            let start = template.find(from).expect("there") + from.len();
            let end = template.find(to).expect("there");
            template.replace_range(start..end, "");
        }
        // EXPOSE: a fresh key of a measurement, in a folder of its own.
        let key = pem("PRIVATE KEY", self.pkcs8.expose_secret());
        let certificate = pem("CERTIFICATE", &self.certificate);
        for (name, bytes) in [
            ("plain.xml", self.plain.as_bytes()),
            ("template.xml", template.as_bytes()),
            ("signed.xml", signed.as_bytes()),
            ("key.pem", key.as_bytes()),
            ("certificate.pem", certificate.as_bytes()),
        ] {
            std::fs::write(folder.join(name), bytes).expect("written");
        }
    }
}

/// The two operations that nobody can leave out: RSA over a SignedInfo, SHA-256 over the content; by the backends that
/// claviger has.
struct Bare {
    pair: RsaKeyPair,
    public: aws::ParsedPublicKey,
    info: Vec<u8>,
    made: Vec<u8>,
}

impl Bare {
    fn new(pkcs8: &SecretBytes) -> Self {
        // EXPOSE: a fresh key of a measurement.
        let pair = RsaKeyPair::from_pkcs8(pkcs8.expose_secret()).expect("a pair");
        let rule = &aws::RSA_PKCS1_2048_8192_SHA256;
        let public = aws::ParsedPublicKey::new(rule, pair.public_key().as_ref()).expect("a key");
        // As long as ours.
        let mut bare = Self { pair, public, info: vec![b'x'; 800], made: Vec::new() };
        bare.made = bare.sign(b"").1;
        bare
    }

    fn sign(&self, octets: &[u8]) -> (ring::digest::Digest, Vec<u8>) {
        let digest = ring::digest::digest(&ring::digest::SHA256, octets);
        let mut made = vec![0; self.pair.public_modulus_len()];
        let random = aws_lc_rs::rand::SystemRandom::new();
        self.pair.sign(&aws::RSA_PKCS1_SHA256, &random, &self.info, &mut made).expect("signed");
        (digest, made)
    }

    fn verify(&self, octets: &[u8]) -> ring::digest::Digest {
        self.public.verify_sig(&self.info, &self.made).expect("verified");
        ring::digest::digest(&ring::digest::SHA256, octets)
    }
}

/// The other process.
struct Peers {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    versions: String,
}

impl Peers {
    fn start(folder: &Path) -> Self {
        let mut child = Command::new(peers().join("venv/bin/python"))
            .args(["-c", PEERS])
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the peers: run scripts/setup.sh first");
        let input = child.stdin.take().expect("piped");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let mut peers = Self { child, input, output, versions: String::new() };
        peers.versions = peers.line();
        peers
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("an answer");
        line.trim_end().to_owned()
    }

    /// Nanoseconds of CPU time of the other process.
    fn batch(&mut self, what: &str, count: usize) -> f64 {
        writeln!(self.input, "{what} {count}").expect("asked");
        self.line().parse().expect("nanoseconds")
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        // Its loop ends with its input; nothing is lost if it is already gone.
        let _ = self.child.kill().and_then(|()| self.child.wait());
    }
}
