//! Clients that authenticate with a certificate (RFC 8705): registered subjects, trusted certificates, bound tokens.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use claviger::clock::Clock;
use claviger::crypto::{RegisteredSubject, SubjectPlace, certificate};
use claviger::error::{Error, ErrorKind};
use claviger::profiles::oidc::{
    AccessTokenOptions, AccessTokenRules, Binding, CertificateMethod, Client, Provider,
};
use claviger::{Config, Keyring};
use openssl::asn1::{Asn1Time, Asn1Type};
use openssl::base64::encode_block;
use openssl::bn::BigNum;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::x509::extension::{BasicConstraints, ExtendedKeyUsage, SubjectAlternativeName};
use openssl::x509::{X509, X509Name, X509NameBuilder};
use serde_json::{Map, Value, json};

use claviger::tls::{AnyClient, Identity};
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection, StreamOwned};

use crate::interop::peers;
use crate::tls::ec;

const ISSUER: &str = "https://op.example.com";

struct Pair {
    key: PKey<Private>,
    certificate: X509,
}

impl Pair {
    fn der(&self) -> Vec<u8> {
        self.certificate.to_der().unwrap()
    }
}

fn name(parts: &[(Nid, &str, Asn1Type)]) -> X509Name {
    let mut name = X509NameBuilder::new().unwrap();
    for (nid, value, kind) in parts {
        name.append_entry_by_nid_with_type(*nid, value, *kind).unwrap();
    }
    name.build()
}

fn common(value: &str) -> X509Name {
    name(&[(Nid::COMMONNAME, value, Asn1Type::UTF8STRING)])
}

/// A certificate; `purpose` is `ca`, `server` or `client`.
fn issue(
    subject: &X509Name,
    san: Option<SubjectAlternativeName>,
    purpose: &str,
    issuer: Option<&Pair>,
) -> Pair {
    let key = ec(Nid::X9_62_PRIME256V1);
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    let mut serial = BigNum::new().unwrap();
    serial.rand(120, openssl::bn::MsbOption::MAYBE_ZERO, false).unwrap();
    builder.set_serial_number(&serial.to_asn1_integer().unwrap()).unwrap();
    builder.set_subject_name(subject).unwrap();
    builder.set_issuer_name(issuer.map_or(subject, |one| one.certificate.subject_name())).unwrap();
    builder.set_pubkey(&key).unwrap();
    builder.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
    builder.set_not_after(&Asn1Time::days_from_now(400).unwrap()).unwrap();
    if purpose == "ca" {
        builder.append_extension(BasicConstraints::new().critical().ca().build().unwrap()).unwrap();
    } else {
        let mut usage = ExtendedKeyUsage::new();
        let usage = if purpose == "server" { usage.server_auth() } else { usage.client_auth() };
        builder.append_extension(usage.build().unwrap()).unwrap();
    }
    if let Some(san) = san {
        let context = builder.x509v3_context(None, None);
        let san = san.build(&context).unwrap();
        builder.append_extension(san).unwrap();
    }
    builder.sign(issuer.map_or(&key, |one| &one.key), MessageDigest::sha256()).unwrap();
    Pair { key, certificate: builder.build() }
}

fn expects(place: SubjectPlace, text: &str) -> RegisteredSubject {
    RegisteredSubject::new(place, text).unwrap_or_else(|error| panic!("{text}: {error:?}"))
}

#[test]
fn a_dn_is_the_registered_one_by_its_parts_and_not_by_its_looks() {
    let (utf8, printable) = (Asn1Type::UTF8STRING, Asn1Type::PRINTABLESTRING);
    let of = |parts: &[(Nid, &str, Asn1Type)]| issue(&name(parts), None, "client", None).der();
    let shop = of(&[
        (Nid::COUNTRYNAME, "DE", printable),
        (Nid::ORGANIZATIONNAME, "Example, Inc.", printable),
        (Nid::COMMONNAME, "The  Shop", utf8),
    ]);
    let same = |der: &[u8], text| expects(SubjectPlace::SubjectDn, text).is_of(der).unwrap();
    for text in [
        r"CN=The  Shop,O=Example\, Inc.,C=DE",
        r"cn=the shop,o=example\, inc.,c=de",
        r"CN=The Shop, O=Example\2c Inc. , C=DE",
        r"2.5.4.3=\20The Shop\ ,2.5.4.10=Example\2C Inc.,2.5.4.6=DE",
    ] {
        assert!(same(&shop, text), "{text}");
    }
    for text in [
        r"C=DE,O=Example\, Inc.,CN=The Shop",
        r"CN=The Shop,O=Example\, Inc.",
        r"CN=The Shop,O=Example\, Inc.,C=DE,DC=de",
        r"CN=The Shop,O=Example,C=DE",
        r"CN=TheShop,O=Example\, Inc.,C=DE",
        r"CN=The Shop+O=Example\, Inc.,C=DE",
        r"OU=The Shop,O=Example\, Inc.,C=DE",
        r"CN=The Sh\6F\70s,O=Example\, Inc.,C=DE",
        r"CN=The Shop\00,O=Example\, Inc.,C=DE",
        r"CN=The Shop\\,O=Example\, Inc.,C=DE",
        r"CN=*,O=Example\, Inc.,C=DE",
    ] {
        assert!(!same(&shop, text), "{text}");
    }
    // Beyond ASCII nothing is folded.
    let umlaut = of(&[(Nid::COMMONNAME, "Bäcker", utf8), (Nid::USERID, "x1", utf8)]);
    assert!(same(&umlaut, r"UID=X1,CN=b\C3\A4cker") && same(&umlaut, "UID=x1,CN=Bäcker"));
    assert!(!same(&umlaut, "UID=x1,CN=BÄcker") && !same(&umlaut, "UID=x1,CN=Backer"));
    // What a separator is, after any number of backslashes.
    let odd = of(&[(Nid::ORGANIZATIONNAME, "b", utf8), (Nid::COMMONNAME, r"a\", utf8)]);
    assert!(same(&odd, r"CN=a\\,O=b") && !same(&odd, r"CN=a\\\,O=b"));
    let one = of(&[(Nid::COMMONNAME, r"a\,O=b", utf8)]);
    assert!(same(&one, r"CN=a\\\,O=b") && !same(&one, r"CN=a\\,O=b"));
    // A part of several attributes is a set.
    let mut builder = X509NameBuilder::new().unwrap();
    builder.append_entry_by_text("O", "b").unwrap();
    let none = issue(&builder.build(), None, "client", None).der();
    assert!(same(&none, "O=b") && !same(&none, "O=b+O=b") && !same(&none, "O=b,O=b"));
    let nothing = issue(&X509NameBuilder::new().unwrap().build(), None, "client", None).der();
    assert!(!same(&nothing, "O=b"));
}

#[test]
fn pyca_and_we_read_the_same_names_in_the_same_text() {
    let Some(folder) = peers() else { return };
    let mut child = Command::new(folder.join("venv/bin/python"))
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/dn.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let seed: u32 = std::env::var("CLAVIGER_DN_SEED").map_or(1, |seed| seed.parse().unwrap());
    child.stdin.take().unwrap().write_all(format!("[400, {seed}]\n").as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let cases: Vec<Value> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(cases.len(), 800);
    let (mut agreed, mut refused) = (0, 0);
    for case in &cases {
        let text = case["text"].as_str().unwrap();
        let der =
            case["certificate"].as_str().map(|der| openssl::base64::decode_block(der).unwrap());
        match (RegisteredSubject::new(SubjectPlace::SubjectDn, text), der) {
            (Ok(expected), Some(der)) => {
                assert!(expected.is_of(&der).unwrap(), "seed {seed}: {text}");
                // So is what we print of it.
                let shown = certificate::facts(&der).unwrap().subject;
                assert!(expects(SubjectPlace::SubjectDn, &shown).is_of(&der).unwrap(), "{shown}");
                agreed += 1;
            }
            (Err(error), found) => {
                // Theirs lets some characters and empty values pass that RFC 4514 wants escaped or does not know.
                assert!(found.is_none() || case["own"] == false, "seed {seed}: {text}: {error:?}");
                refused += 1;
            }
            // We take spaces around separators, values in hexadecimal of any type, and countries that are none.
            (Ok(_), None) => assert!(
                case["own"] == false
                    && (text.contains([' ', '#'])
                        || text
                            .split([',', '+'])
                            .any(|part| part.starts_with("C=") || part.starts_with("CO="))),
                "seed {seed}: only we read {text}"
            ),
        }
    }
    assert!(agreed >= 400 && refused > 50, "{agreed} {refused}");
    // No text stands for the name of another one.
    let own = cases.iter().filter(|case| case["own"] == true).take(60);
    let own: Vec<(&str, Vec<u8>)> = own
        .map(|case| {
            let der = openssl::base64::decode_block(case["certificate"].as_str().unwrap()).unwrap();
            (case["text"].as_str().unwrap(), der)
        })
        .collect();
    for (text, _) in &own {
        let expected = expects(SubjectPlace::SubjectDn, text);
        let others = own.iter().filter(|(other, _)| !other.eq_ignore_ascii_case(text));
        let taken: Vec<&str> = others
            .filter(|(_, der)| expected.is_of(der).unwrap())
            .map(|(other, _)| *other)
            .collect();
        let words = |text: &str| text.to_ascii_lowercase().replace(['\\', ' '], "");
        assert!(
            taken.iter().all(|other| words(other) == words(text)),
            "seed {seed}: {text}: {taken:?}"
        );
    }
}

#[test]
fn an_alternative_name_is_compared_as_its_kind_wants() {
    let san = |build: &dyn Fn(&mut SubjectAlternativeName)| {
        let mut san = SubjectAlternativeName::new();
        build(&mut san);
        issue(&common("shop.example.com"), Some(san), "client", None).der()
    };
    let all = san(&|san| {
        san.dns("Shop.example.com").dns("*.wild.example.com").email("Ops@Example.com");
        san.ip("192.0.2.7").ip("2001:db8::7").uri("https://Shop.example.com/a?b=c");
    });
    use SubjectPlace::{Dns, Email, Ip, SubjectDn, Uri};
    for (place, text, expected) in [
        (Dns, "shop.EXAMPLE.com", true),
        (Dns, "example.com", false),
        (Dns, "a.wild.example.com", false),
        (Dns, "*.wild.example.com", true),
        (Dns, "shop.example.com.", false),
        (Dns, "192.0.2.7", false),
        (Email, "Ops@example.COM", true),
        (Email, "ops@example.com", false),
        (Ip, "192.0.2.7", true),
        (Ip, "2001:0DB8:0:0::7", true),
        (Ip, "::ffff:192.0.2.7", false),
        (Ip, "192.0.2.8", false),
        (Uri, "https://Shop.example.com/a?b=c", true),
        (Uri, "https://shop.example.com/a?b=c", false),
        (Uri, "https://Shop.example.com/a", false),
        (SubjectDn, "CN=shop.example.com", true),
    ] {
        assert_eq!(expects(place, text).is_of(&all).unwrap(), expected, "{text}");
    }
    // A name of the subject is none of the alternatives.
    let bare = issue(&common("shop.example.com"), None, "client", None).der();
    assert!(!expects(Dns, "shop.example.com").is_of(&bare).unwrap());
    let error = expects(Dns, "shop.example.com").is_of(b"no certificate").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged);
}

fn register(metadata: Value) -> Result<Client, Error> {
    let mut all = json!({ "client_id": "shop" });
    all.as_object_mut().unwrap().extend(metadata.as_object().unwrap().clone());
    Client::from_json(all.to_string().as_bytes())
}

#[test]
fn a_registration_names_exactly_one_subject_and_names_it_well() {
    let with = |members: Value| {
        let mut all = json!({ "token_endpoint_auth_method": "tls_client_auth" });
        all.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        register(all)
    };
    let good = with(json!({ "tls_client_auth_subject_dn": "CN=shop" })).unwrap();
    let expected = expects(SubjectPlace::SubjectDn, "CN=shop");
    assert_eq!(good.certificate(), Some(&CertificateMethod::Subject(expected)));
    assert!(!good.binds_tokens());
    let bound = register(json!({ "token_endpoint_auth_method": "self_signed_tls_client_auth",
        "tls_client_certificate_bound_access_tokens": true }));
    let bound = bound.unwrap();
    assert!(bound.certificate() == Some(&CertificateMethod::SelfSigned) && bound.binds_tokens());
    assert_eq!(register(json!({})).unwrap().certificate(), None);
    let dn = |text: &str| json!({ "tls_client_auth_subject_dn": text });
    for (members, why) in [
        (json!({}), "none is registered"),
        (
            json!({ "tls_client_auth_subject_dn": "CN=a", "tls_client_auth_san_dns": "a" }),
            "several is registered",
        ),
        (json!({ "tls_client_auth_san_ip": "300.1.1.1" }), "no IP address"),
        (json!({ "tls_client_auth_san_ip": "192.0.2.0/24" }), "no IP address"),
        (json!({ "tls_client_auth_san_dns": "bücher.example" }), "printable ASCII"),
        (json!({ "tls_client_auth_san_dns": "" }), "printable ASCII"),
        (json!({ "tls_client_auth_san_email": "shop" }), "e-mail"),
        (json!({ "tls_client_auth_san_uri": "/shop" }), "absolute URI"),
        (json!({ "tls_client_auth_san_dns": ["a", "b"] }), "not a string"),
        (json!({ "tls_client_auth_san_dn": "a" }), "unknown client metadata"),
        (
            json!({ "tls_client_auth_san_dns": "a", "tls_client_certificate_bound_access_tokens": "yes" }),
            "not true or false",
        ),
        (dn(""), "is no subject"),
        (dn("shop"), "is no subject"),
        (dn("CN=shop,"), "is no subject"),
        (dn("CN="), "is no subject"),
        (dn(r"CN=shop\"), "is no subject"),
        (dn(r"CN=shop\4"), "is no subject"),
        (dn(r"CN=shop\x"), "is no subject"),
        (dn(r"CN=shop\FF"), "is no subject"),
        (dn("CN=#0c0"), "is no subject"),
        (dn("CN=#0cff"), "is no subject"),
        (dn("CN=\"shop\""), "is no subject"),
        (dn("CN=shop;O=x"), "is no subject"),
        (dn("/C=DE/CN=shop"), "is no subject"),
        (dn("shopName=x"), "no attribute type"),
    ] {
        let error = with(members.clone()).expect_err(&members.to_string());
        assert_eq!(error.kind(), ErrorKind::Usage, "{members}");
        assert!(error.message().contains(why), "{members}: {}", error.message());
        assert!(error.help().is_some() || why.contains("not"), "{members}");
    }
}

/// A provider whose labels of client certificates are files.
struct House {
    folder: tempfile::TempDir,
    ca: Pair,
}

const CAS: &str = "am.services.oauth2.tls.client.cert.authentication";
const PINNED: &str = "am.applications.oauth2.client.shopid.mtls.trusted.cert";

impl House {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("files")).unwrap();
        let config = "[keyring]\nreload = 'off'\n[stores.files]\nkind = 'volume'\ndirectory = 'files'\n\
                      format = 'pem'\nversion_suffix = '.v'\npermissions = 'ignore'\n";
        std::fs::write(folder.path().join("claviger.toml"), config).unwrap();
        let house = Self { folder, ca: issue(&common("ca"), None, "ca", None) };
        house.write(&format!("{CAS}.v1"), &house.ca.certificate.to_pem().unwrap());
        let signs = ec(Nid::X9_62_PRIME256V1).private_key_to_pem_pkcs8().unwrap();
        house.write("am.services.oauth2.stateless.signing.ES256.v1", &signs);
        house
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn write(&self, file: &str, content: &[u8]) {
        std::fs::write(self.path().join("files").join(file), content).unwrap();
    }

    fn keyring(&self, ahead: Duration) -> Keyring {
        let path = self.path().join("claviger.toml");
        let (config, problems) = Config::parse(&std::fs::read_to_string(&path).unwrap(), &path);
        let clock = Clock::from_fn(move || Clock::system().now() + ahead);
        Keyring::from_config(config.unwrap_or_else(|| panic!("{problems:?}")), clock).unwrap()
    }

    fn provider(&self) -> Provider {
        let es256 = claviger::alg::Algorithm::named("ES256").unwrap();
        let tokens = [claviger::profiles::oidc::TokenProtection::Signed(es256)];
        let oidc = self.keyring(Duration::ZERO).oidc(None);
        oidc.provider(ISSUER).with_tokens(&tokens).unwrap()
    }
}

fn why(error: &Error) -> (ErrorKind, String) {
    let source = std::error::Error::source(error);
    (error.kind(), source.map(ToString::to_string).unwrap_or_default())
}

#[test]
fn a_certificate_of_a_ca_authenticates_the_client_that_registered_its_subject() {
    let house = House::new();
    let middle = issue(&common("middle"), None, "ca", Some(&house.ca));
    let shop = issue(&common("shop"), None, "client", Some(&middle)).der();
    let server = issue(&common("shop"), None, "server", Some(&house.ca)).der();
    let other = issue(&common("shop 2"), None, "client", Some(&house.ca)).der();
    let foreign = issue(&common("ca"), None, "ca", None);
    let forged = issue(&common("shop"), None, "client", Some(&foreign)).der();
    let client = register(json!({ "token_endpoint_auth_method": "tls_client_auth",
        "tls_client_auth_subject_dn": "CN=shop" }));
    let client = client.unwrap();
    let provider = house.provider();
    let check = |chain: &[Vec<u8>]| provider.verify_client_certificate(&client, chain);
    check(&[shop.clone(), middle.der()]).unwrap();
    for chain in [
        vec![],
        vec![shop.clone()],
        vec![middle.der(), shop.clone()],
        vec![server],
        vec![other.clone()],
        vec![other, shop.clone(), middle.der()],
        vec![forged.clone()],
        vec![forged, foreign.der()],
        vec![issue(&common("shop"), None, "client", None).der()],
        vec![b"no certificate".to_vec()],
    ] {
        let error = check(&chain).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotVerified, "{error:?}");
        assert_eq!(error.message(), "the client certificate is not accepted");
    }
    let late = house.keyring(Duration::from_secs(500 * 86_400)).oidc(None).provider(ISSUER);
    let late = late.verify_client_certificate(&client, &[shop.clone(), middle.der()]);
    assert!(why(&late.unwrap_err()).1.contains("expired"));
    // Another method, or no CA at all.
    let jwt = register(json!({ "token_endpoint_auth_method": "private_key_jwt" })).unwrap();
    let error = provider.verify_client_certificate(&jwt, std::slice::from_ref(&shop)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    std::fs::remove_file(house.path().join("files").join(format!("{CAS}.v1"))).unwrap();
    let error = house.provider().verify_client_certificate(&client, &[shop]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnknownLabel);
}

/// A JWK of a certificate's key.
fn jwk(pair: &Pair) -> Value {
    let key = pair.key.ec_key().unwrap();
    let (mut x, mut y) = (BigNum::new().unwrap(), BigNum::new().unwrap());
    let mut context = openssl::bn::BigNumContext::new().unwrap();
    key.public_key().affine_coordinates(key.group(), &mut x, &mut y, &mut context).unwrap();
    let text = |number: &BigNum| {
        let text = encode_block(&number.to_vec_padded(32).unwrap());
        text.replace('+', "-").replace('/', "_").trim_end_matches('=').to_owned()
    };
    json!({ "kty": "EC", "crv": "P-256", "x": text(&x), "y": text(&y), "x5c": [encode_block(&pair.der())] })
}

#[test]
fn a_self_signed_certificate_is_the_one_that_was_registered() {
    let house = House::new();
    let [shop, renewed, other] =
        ["shop", "renewed", "other"].map(|text| issue(&common(text), None, "client", None));
    let of_ca = issue(&common("shop"), None, "client", Some(&house.ca));
    // The same key in another certificate is not the one that was registered.
    let mut twin = jwk(&other);
    twin.as_object_mut().unwrap().remove("x5c");
    let metadata = |keys: Value| {
        json!({ "token_endpoint_auth_method": "self_signed_tls_client_auth",
            "secret_label_identifier": "shopid", "jwks": { "keys": keys } })
    };
    let client = register(metadata(json!([twin, jwk(&shop), jwk(&renewed)]))).unwrap();
    let check = |provider: &Provider, pair: &Pair| {
        let checked = provider.verify_client_certificate(&client, &[pair.der()]);
        checked.map_err(|error| error.kind())
    };
    let provider = house.provider();
    assert_eq!(check(&provider, &shop), Ok(()));
    assert_eq!(check(&provider, &renewed), Ok(()));
    assert_eq!(check(&provider, &other), Err(ErrorKind::NotVerified));
    assert_eq!(check(&provider, &of_ca), Err(ErrorKind::NotVerified));
    let late = house.keyring(Duration::from_secs(500 * 86_400)).oidc(None).provider(ISSUER);
    assert_eq!(check(&late, &shop), Err(ErrorKind::NotVerified));
    // Ping AM: what is mapped counts, and what is registered does not.
    house.write(&format!("{PINNED}.v1"), &other.certificate.to_pem().unwrap());
    let provider = house.provider();
    assert_eq!(check(&provider, &other), Ok(()));
    assert_eq!(check(&provider, &shop), Err(ErrorKind::NotVerified));
    // Every one of the label, until it leaves.
    house.write(&format!("{PINNED}.v2"), &renewed.certificate.to_pem().unwrap());
    let provider = house.provider();
    assert_eq!((check(&provider, &other), check(&provider, &renewed)), (Ok(()), Ok(())));
    std::fs::remove_file(house.path().join("files").join(format!("{PINNED}.v1"))).unwrap();
    assert_eq!(check(&house.provider(), &other), Err(ErrorKind::NotVerified));
    let bare = json!({ "token_endpoint_auth_method": "self_signed_tls_client_auth" });
    let error = house.provider().verify_client_certificate(&register(bare).unwrap(), &[shop.der()]);
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Usage);
}

#[test]
fn an_access_token_is_bound_to_the_certificate_that_was_shown() {
    let house = House::new();
    let [own, other] =
        ["shop", "other"].map(|text| issue(&common(text), None, "client", None).der());
    let provider = house.provider();
    let bound = register(json!({ "tls_client_certificate_bound_access_tokens": true })).unwrap();
    let alice = || -> Map<String, Value> { json!({ "sub": "alice" }).as_object().unwrap().clone() };
    let options = AccessTokenOptions { certificate: Some(&own), ..AccessTokenOptions::default() };
    let token = provider.issue_access_token(&bound, &alice(), &options).unwrap();
    let (shown, stolen) = (certificate::thumbprint(&own), certificate::thumbprint(&other));
    let verify = |binding| {
        provider.verify_access_token(&token, &AccessTokenRules { binding, ..Default::default() })
    };
    let found = verify(Binding::Certificate(&shown)).unwrap();
    assert_eq!(found.claims["cnf"], json!({ "x5t#S256": shown }));
    for binding in [Binding::Certificate(&stolen), Binding::Certificate(""), Binding::Nobody] {
        assert_eq!(verify(binding).unwrap_err().kind(), ErrorKind::TokenRefused);
    }
    let answer = provider.introspect(&token).unwrap();
    assert_eq!(answer["cnf"], json!({ "x5t#S256": shown }));
    // A client that wants its tokens bound gets no other ones, whatever cnf the caller brings.
    let mut own_cnf = alice();
    own_cnf.insert("cnf".into(), json!({ "jkt": "x" }));
    for (claims, options) in [
        (alice(), AccessTokenOptions::default()),
        (own_cnf.clone(), AccessTokenOptions::default()),
        (own_cnf, options),
    ] {
        let error = provider.issue_access_token(&bound, &claims, &options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
    }
}

#[test]
fn the_program_checks_certificates_and_binds_tokens() {
    let house = House::new();
    let middle = issue(&common("middle"), None, "ca", Some(&house.ca));
    let shop = issue(&common("shop"), None, "client", Some(&middle));
    let write = |file: &str, content: &[u8]| {
        std::fs::write(house.path().join(file), content).unwrap();
    };
    let pem = |pair: &Pair| pair.certificate.to_pem().unwrap();
    write(
        "chain.pem",
        &[shop.key.private_key_to_pem_pkcs8().unwrap(), pem(&shop), pem(&middle)].concat(),
    );
    write("shop.der", &shop.der());
    write("other.pem", &pem(&issue(&common("other"), None, "client", Some(&house.ca))));
    write("key.pem", &shop.key.private_key_to_pem_pkcs8().unwrap());
    write("cut.pem", b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n");
    write("shop.toml", b"client_id = 'shop'\ntoken_endpoint_auth_method = 'tls_client_auth'\n\
          tls_client_auth_subject_dn = 'CN=shop'\ntls_client_certificate_bound_access_tokens = true\n");
    write("bad.toml", b"client_id = 'shop'\ntoken_endpoint_auth_method = 'tls_client_auth'\n");
    write("claims.json", b"{\"sub\":\"alice\"}");
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_claviger"));
        command.arg("oidc").args(arguments).env_remove("CLAVIGER_CONFIG").current_dir(house.path());
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap(), said)
    };
    let verify = ["client-certificate", "verify", "--client"];
    let check = |client: &str, file: &str| {
        run(&[&verify[..], &[client, "--certificate", file, "-v"]].concat())
    };
    let thumbprint = certificate::thumbprint(&shop.der());
    let (code, answer, said) = check("shop.toml", "chain.pem");
    assert_eq!((code, answer.trim()), (0, thumbprint.as_str()), "{said}");
    assert!(said.contains("CN=shop"), "{said}");
    for (client, file, code, hint) in [
        ("shop.toml", "shop.der", 1, "UnknownIssuer"),
        ("shop.toml", "other.pem", 1, "another subject"),
        ("shop.toml", "key.pem", 2, "no certificate"),
        ("shop.toml", "cut.pem", 2, "cannot be read"),
        ("shop.toml", "nowhere.pem", 3, "nowhere.pem"),
        ("bad.toml", "chain.pem", 2, "exactly one of"),
    ] {
        let (found, answer, said) = check(client, file);
        assert!(
            found == code && answer.is_empty() && said.contains(hint),
            "{file}: {found} {said}"
        );
    }
    let issue = ["access-token", "issue", "--issuer", ISSUER, "--client", "shop.toml"];
    let es256 = ["--protection", "ES256"];
    let issue = [&issue[..], &es256, &["--in", "claims.json"]].concat();
    let (code, _, said) = run(&issue);
    assert!(code == 2 && said.contains("bound to its certificate"), "{said}");
    let (code, token, said) = run(&[&issue[..], &["--certificate", "chain.pem"]].concat());
    assert_eq!(code, 0, "{said}");
    write("at.jwt", token.as_bytes());
    let verify = ["access-token", "verify", "--issuer", ISSUER, "--in", "at.jwt"];
    let bound_to = |more: &[&str]| run(&[&verify[..], &es256, more].concat()).0;
    assert_eq!(bound_to(&["--certificate", "shop.der"]), 0);
    assert_eq!(bound_to(&["--certificate-thumbprint", &thumbprint]), 0);
    assert_eq!(bound_to(&["--certificate", "other.pem"]), 1);
    assert_eq!(bound_to(&[]), 1);
    assert_eq!(bound_to(&["--certificate", "shop.der", "--certificate-thumbprint", "x"]), 2);
}

/// Tells each client whether it is who it says, by the certificate of its handshake.
fn serve(tls: ServerConfig, provider: Provider, client: Client) -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let tls = std::sync::Arc::new(tls);
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let connection = ServerConnection::new(std::sync::Arc::clone(&tls)).unwrap();
            let mut stream = StreamOwned::new(connection, socket.unwrap());
            let mut request = Vec::new();
            let mut byte = [0];
            while !request.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
                request.push(byte[0]);
            }
            if request.is_empty() {
                continue;
            }
            let shown = stream.conn.peer_certificates().unwrap_or_default();
            let chain: Vec<Vec<u8>> = shown.iter().map(|one| one.to_vec()).collect();
            let known = provider.verify_client_certificate(&client, &chain).is_ok();
            let body = if known { "welcome" } else { "stranger" };
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
            drop(stream.write_all(answer.as_bytes()));
            stream.conn.send_close_notify();
            drop(stream.flush());
        }
    });
    port
}

#[test]
fn curl_is_known_by_its_self_signed_certificate_after_a_real_handshake() {
    let house = House::new();
    let server = issue(&common("server"), Some(localhost()), "server", Some(&house.ca));
    let pem = |pair: &Pair| {
        let key = pair.key.private_key_to_pem_pkcs8().unwrap();
        [key, pair.certificate.to_pem().unwrap()].concat()
    };
    let config = house.path().join("claviger.toml");
    let text = std::fs::read_to_string(&config).unwrap() + "[labels.'app.server']\nuse = 'mtls'\n";
    std::fs::write(&config, text).unwrap();
    house.write("app.server.v1", &pem(&server));
    let write = |file: &str, content: &[u8]| {
        std::fs::write(house.path().join(file), content).unwrap();
    };
    write("ca.pem", &house.ca.certificate.to_pem().unwrap());
    let [shop, other] = ["shop", "other"].map(|text| issue(&common(text), None, "client", None));
    write("shop.pem", &pem(&shop));
    write("other.pem", &pem(&other));
    let client = register(json!({ "token_endpoint_auth_method": "self_signed_tls_client_auth",
        "jwks": { "keys": [jwk(&shop)] } }));
    let keyring = house.keyring(Duration::ZERO);
    let identity = Identity::new(keyring.label("app.server").unwrap()).unwrap();
    let tls = ServerConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(std::sync::Arc::new(AnyClient::new()))
        .with_cert_resolver(std::sync::Arc::new(identity));
    let port = serve(tls, keyring.oidc(None).provider(ISSUER), client.unwrap());
    let curl = |arguments: &[&str]| {
        let mut command = Command::new("curl");
        command.args(["--silent", "--cacert", "ca.pem", "--noproxy", "*"]).args(arguments);
        command.args(["--resolve", &format!("localhost:{port}:127.0.0.1")]);
        command.arg(format!("https://localhost:{port}/")).current_dir(house.path());
        String::from_utf8(command.output().expect("these tests need curl").stdout).unwrap()
    };
    for version in ["1.2", "1.3"] {
        let shows = |file: &str| curl(&["--cert", file, "--key", file, "--tls-max", version]);
        assert_eq!(shows("shop.pem"), "welcome");
        assert_eq!(shows("other.pem"), "stranger");
    }
    assert_eq!(curl(&[]), "stranger");
    // Somebody who has the certificate and not its key does not come through the handshake.
    let own = dialogue(&house, port, &shop, &shop.key);
    assert!(own.ends_with("welcome"), "{own}");
    assert_eq!(dialogue(&house, port, &shop, &other.key), "");
}

/// What the server answers to a client that shows this certificate and signs with this key.
fn dialogue(house: &House, port: u16, shown: &Pair, key: &PKey<Private>) -> String {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(house.ca.der().into()).unwrap();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(key.private_key_to_pkcs8().unwrap());
    let key = rustls::crypto::ring::sign::any_supported_type(&key.into()).unwrap();
    let certified = rustls::sign::CertifiedKey::new(vec![shown.der().into()], key);
    let config =
        ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_client_cert_resolver(std::sync::Arc::new(SingleCertAndKey::from(certified)));
    let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
    let connection = ClientConnection::new(std::sync::Arc::new(config), name).unwrap();
    let socket = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    let mut stream = StreamOwned::new(connection, socket);
    let mut answer = Vec::new();
    if stream.write_all(b"GET / HTTP/1.1\r\n\r\n").is_ok() {
        // A refusal ends it in its own way.
        drop(stream.read_to_end(&mut answer));
    }
    String::from_utf8(answer).unwrap()
}

fn localhost() -> SubjectAlternativeName {
    let mut san = SubjectAlternativeName::new();
    san.dns("localhost");
    san
}
