//! TLS with the keys and anchors of labels: real handshakes, with rustls and with OpenSSL, and rotations meanwhile.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use claviger::Keyring;
use claviger::clock::Clock;
use claviger::error::ErrorKind;
use claviger::tls::client_auth::{check_bound, check_pinned, confirmation};
use claviger::tls::{Admission, ClientTrust, Identity, ServerTrust};
use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::x509::extension::{BasicConstraints, ExtendedKeyUsage, SubjectAlternativeName};
use openssl::x509::{X509, X509NameBuilder};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection, StreamOwned};

use crate::remote_keys::{Server, ok};

pub(crate) type Pair = (PKey<Private>, X509);

pub(crate) fn ec(nid: Nid) -> PKey<Private> {
    let group = EcGroup::from_curve_name(nid).unwrap();
    PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
}

/// A certificate of an issuer, or of itself; `purpose` is `ca`, `server` or `client`.
fn issue(key: PKey<Private>, name: &str, purpose: &str, issuer: Option<&Pair>) -> Pair {
    issue_for(400, key, name, purpose, issuer)
}

/// The same for some days.
fn issue_for(
    days: u32,
    key: PKey<Private>,
    name: &str,
    purpose: &str,
    issuer: Option<&Pair>,
) -> Pair {
    let mut subject = X509NameBuilder::new().unwrap();
    subject.append_entry_by_text("CN", name).unwrap();
    let subject = subject.build();
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    let mut serial = BigNum::new().unwrap();
    serial.rand(120, openssl::bn::MsbOption::MAYBE_ZERO, false).unwrap();
    builder.set_serial_number(&serial.to_asn1_integer().unwrap()).unwrap();
    builder.set_subject_name(&subject).unwrap();
    builder.set_issuer_name(issuer.map_or(&*subject, |one| one.1.subject_name())).unwrap();
    builder.set_pubkey(&key).unwrap();
    builder.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
    builder.set_not_after(&Asn1Time::days_from_now(days).unwrap()).unwrap();
    if purpose == "ca" {
        builder.append_extension(BasicConstraints::new().critical().ca().build().unwrap()).unwrap();
    } else {
        let mut usage = ExtendedKeyUsage::new();
        let usage = if purpose == "server" { usage.server_auth() } else { usage.client_auth() };
        builder.append_extension(usage.build().unwrap()).unwrap();
        let context = builder.x509v3_context(None, None);
        let san = SubjectAlternativeName::new().dns("localhost").build(&context).unwrap();
        builder.append_extension(san).unwrap();
    }
    builder.sign(issuer.map_or(&key, |one| &one.0), MessageDigest::sha256()).unwrap();
    (key, builder.build())
}

pub(crate) fn pem((key, certificate): &Pair) -> Vec<u8> {
    [key.private_key_to_pem_pkcs8().unwrap(), certificate.to_pem().unwrap()].concat()
}

/// A volume of the labels `app.server` and `app.client` (identities) and `app.anchors`.
pub(crate) struct House {
    folder: tempfile::TempDir,
    ca: Pair,
}

impl House {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("files")).unwrap();
        let config = "[stores.files]\nkind = 'volume'\ndirectory = 'files'\nformat = 'pem'\n\
                      version_suffix = '.v'\npermissions = 'ignore'\n\
                      [labels.'app.server']\nuse = 'mtls'\n[labels.'app.client']\nuse = 'mtls'\n\
                      [labels.'app.anchors']\nuse = 'trust'\n[labels.'app.word']\nuse = 'secret'\n";
        std::fs::write(folder.path().join("claviger.toml"), config).unwrap();
        let ca = issue(ec(Nid::X9_62_PRIME256V1), "ca", "ca", None);
        let house = Self { folder, ca };
        house.write("app.anchors.v1", &house.ca.1.to_pem().unwrap());
        std::fs::write(house.path().join("ca.pem"), house.ca.1.to_pem().unwrap()).unwrap();
        house
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn write(&self, file: &str, content: &[u8]) {
        std::fs::write(self.path().join("files").join(file), content).unwrap();
    }

    pub(crate) fn open(&self) -> Keyring {
        Keyring::open_once(&self.path().join("claviger.toml")).unwrap()
    }

    pub(crate) fn leaf(&self, key: PKey<Private>, name: &str, purpose: &str) -> Pair {
        issue(key, name, purpose, Some(&self.ca))
    }
}

/// Answers each line with itself, and goes at `bye`.
fn serve(config: ServerConfig) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let config = Arc::new(config);
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            let stream = StreamOwned::new(connection, socket.unwrap());
            std::thread::spawn(move || echo(stream));
        }
    });
    port
}

/// A handshake that fails ends the connection, as does the client's going.
fn echo(stream: StreamOwned<ServerConnection, TcpStream>) {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    while stream.read_line(&mut line).is_ok_and(|count| count > 0) {
        if stream.get_mut().write_all(line.as_bytes()).is_err() || line == "bye\n" {
            break;
        }
        line.clear();
    }
    stream.get_mut().conn.send_close_notify();
    drop(stream.get_mut().flush());
}

pub(crate) fn plain_server(identity: Identity) -> ServerConfig {
    ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(identity))
}

fn careful_server(identity: Identity, trust: ClientTrust) -> ServerConfig {
    ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(Arc::new(trust))
        .with_cert_resolver(Arc::new(identity))
}

fn client(keyring: &Keyring, version: &'static rustls::SupportedProtocolVersion) -> ClientConfig {
    let trust = ServerTrust::new(keyring.label("app.anchors").unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(trust));
    match keyring.label("app.client") {
        Err(_) => builder.with_no_client_auth(),
        Ok(label) => builder.with_client_cert_resolver(Arc::new(Identity::new(label).unwrap())),
    }
}

struct Dialogue(BufReader<StreamOwned<ClientConnection, TcpStream>>);

impl Dialogue {
    fn begin(config: ClientConfig, port: u16, name: &str) -> Self {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let connection = ClientConnection::new(Arc::new(config), name).unwrap();
        let socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
        Self(BufReader::new(StreamOwned::new(connection, socket)))
    }

    /// Whether the server answers.
    fn works(&mut self) -> bool {
        let mut line = String::new();
        self.0.get_mut().write_all(b"ping\n").is_ok()
            && self.0.read_line(&mut line).is_ok()
            && line == "ping\n"
    }

    fn shown(&self) -> Vec<u8> {
        self.0.get_ref().conn.peer_certificates().unwrap()[0].to_vec()
    }
}

/// `openssl s_client`, which trusts `ca.pem`; whether the server answered, and everything it printed.
fn s_client(house: &House, port: u16, arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-CAfile", "ca.pem", "-verify_return_error", "-quiet"]);
    command.args(["-verify_hostname", "localhost", "-connect", &format!("127.0.0.1:{port}")]);
    command.args(arguments).current_dir(house.path());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("these tests need openssl");
    // A refused handshake closes the pipe.
    drop(child.stdin.take().unwrap().write_all(b"ping\nbye\n"));
    let output = child.wait_with_output().unwrap();
    let answered = String::from_utf8_lossy(&output.stdout).contains("ping\nbye");
    (answered, String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn openssl_shakes_hands_with_every_type_of_key_in_both_versions() {
    let keys = [
        ("rsa", PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap()),
        ("P-256", ec(Nid::X9_62_PRIME256V1)),
        ("P-384", ec(Nid::SECP384R1)),
        ("P-521", ec(Nid::SECP521R1)),
        ("Ed25519", PKey::generate_ed25519().unwrap()),
    ];
    for (name, key) in keys {
        let house = House::new();
        house.write("app.server.v1", &pem(&house.leaf(key, name, "server")));
        let identity = Identity::new(house.open().label("app.server").unwrap()).unwrap();
        let port = serve(plain_server(identity));
        for version in ["-tls1_2", "-tls1_3"] {
            let (answered, said) = s_client(&house, port, &[version]);
            assert!(answered, "{name} {version}: {said}");
        }
    }
    // RSA with PKCS #1 v1.5, which TLS 1.2 still may.
    let house = House::new();
    let rsa = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
    house.write("app.server.v1", &pem(&house.leaf(rsa, "rsa", "server")));
    let identity = Identity::new(house.open().label("app.server").unwrap()).unwrap();
    let port = serve(plain_server(identity));
    let (answered, said) = s_client(&house, port, &["-tls1_2", "-sigalgs", "RSA+SHA512"]);
    assert!(answered, "{said}");
}

#[test]
fn a_rotation_reaches_the_next_handshake_and_leaves_running_connections_alone() {
    let house = House::new();
    let first = house.leaf(ec(Nid::X9_62_PRIME256V1), "one", "server");
    let second = house.leaf(ec(Nid::SECP384R1), "two", "server");
    house.write("app.server.v1", &pem(&first));
    let keyring = house.open();
    let identity = Identity::new(keyring.label("app.server").unwrap()).unwrap();
    let port = serve(plain_server(identity));
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let mut running = Dialogue::begin(client(&keyring, version), port, "localhost");
        assert!(running.works() && running.shown() == first.1.to_der().unwrap());
        house.write("app.server.v2", &pem(&second));
        keyring.reload().unwrap();
        let mut next = Dialogue::begin(client(&keyring, version), port, "localhost");
        assert!(next.works() && next.shown() == second.1.to_der().unwrap());
        assert!(running.works(), "{version:?}");
        std::fs::remove_file(house.path().join("files/app.server.v2")).unwrap();
        keyring.reload().unwrap();
    }
    let mut other = Dialogue::begin(client(&keyring, &rustls::version::TLS13), port, "example.com");
    assert!(!other.works(), "a name that the certificate does not have");
    // The anchors follow too: without the issuer nobody is trusted.
    let stranger = issue(ec(Nid::X9_62_PRIME256V1), "stranger", "ca", None);
    let config = client(&keyring, &rustls::version::TLS13);
    house.write("app.anchors.v1", &stranger.1.to_pem().unwrap());
    keyring.reload().unwrap();
    assert!(!Dialogue::begin(config, port, "localhost").works());
}

#[test]
fn clients_are_let_in_by_the_anchors_of_the_moment() {
    let house = House::new();
    let p256 = || ec(Nid::X9_62_PRIME256V1);
    house.write("app.server.v1", &pem(&house.leaf(p256(), "server", "server")));
    house.write("app.client.v1", &pem(&house.leaf(p256(), "client", "client")));
    let keyring = house.open();
    let identity = || Identity::new(keyring.label("app.server").unwrap()).unwrap();
    let trust = || ClientTrust::new(keyring.label("app.anchors").unwrap()).unwrap();
    let port = serve(careful_server(identity(), trust()));
    let lenient = serve(careful_server(identity(), trust().optional()));
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        assert!(Dialogue::begin(client(&keyring, version), port, "localhost").works());
    }
    let stranger = issue(p256(), "ca", "ca", None);
    let people = [
        ("good", house.leaf(p256(), "good", "client"), true),
        ("server", house.leaf(p256(), "server", "server"), false),
        ("foreign", issue(p256(), "foreign", "client", Some(&stranger)), false),
        ("self", issue(p256(), "self", "client", None), false),
    ];
    for (name, pair, welcome) in &people {
        let file = format!("{name}.pem");
        std::fs::write(house.path().join(&file), pem(pair)).unwrap();
        for port in [port, lenient] {
            let (answered, said) = s_client(&house, port, &["-cert", &file, "-key", &file]);
            assert_eq!(answered, *welcome, "{name}: {said}");
        }
    }
    assert!(!s_client(&house, port, &[]).0 && s_client(&house, lenient, &[]).0);
    // The CA leaves, another one comes: as the next handshake sees it.
    house.write("app.anchors.v1", &stranger.1.to_pem().unwrap());
    keyring.reload().unwrap();
    assert!(!s_client(&house, port, &["-cert", "good.pem", "-key", "good.pem"]).0);
    assert!(s_client(&house, port, &["-cert", "foreign.pem", "-key", "foreign.pem"]).0);
}

#[test]
fn a_client_is_let_in_as_long_as_those_hold_that_stand_between_it_and_the_anchor() {
    let house = House::new();
    let p256 = || ec(Nid::X9_62_PRIME256V1);
    let between = issue_for(10, p256(), "between", "ca", Some(&house.ca));
    let leaf = issue(p256(), "client", "client", Some(&between));
    let trust = ClientTrust::new(house.open().label("app.anchors").unwrap()).unwrap();
    let chain = [&leaf, &between].map(|one| CertificateDer::from(one.1.to_der().unwrap()));
    let admitted = Admission::begin(Arc::new(trust)).of(&chain);
    let in_days = |days: u64| Clock::system().now() + Duration::from_secs(days * 86_400);
    assert!(admitted.check(in_days(1)).is_ok());
    assert!(admitted.check(in_days(11)).is_err());
    assert!(admitted.check(in_days(12)).is_err());
    // The clock goes back.
    assert!(admitted.check(in_days(1)).is_ok());
}

#[test]
fn labels_of_another_use_are_refused() {
    let house = House::new();
    house.write("app.client.v1", &pem(&house.leaf(ec(Nid::X9_62_PRIME256V1), "c", "client")));
    let keyring = house.open();
    let label = |name| keyring.label(name).unwrap();
    let refused = [
        Identity::new(label("app.anchors")).unwrap_err(),
        ClientTrust::new(label("app.client")).unwrap_err(),
        ServerTrust::new(label("app.client")).unwrap_err(),
    ];
    assert!(refused.iter().all(|error| error.kind() == ErrorKind::WrongUse), "{refused:?}");
    // secp256k1 signs tokens, and no handshake.
    house.write("app.client.v1", &pem(&house.leaf(ec(Nid::SECP256K1), "c", "client")));
    keyring.reload().unwrap();
    assert_eq!(Identity::new(label("app.client")).unwrap_err().kind(), ErrorKind::KeyUnfit);
}

#[test]
fn a_certificate_says_who_the_client_is_and_which_tokens_are_its_own() {
    let house = House::new();
    let p256 = || ec(Nid::X9_62_PRIME256V1);
    let pinned = issue(p256(), "pinned", "client", None);
    house.write("app.anchors.v2", &pinned.1.to_pem().unwrap());
    let der = |pair: &Pair| pair.1.to_der().unwrap();
    let good = house.leaf(p256(), "good", "client");
    let server = house.leaf(p256(), "server", "server");
    let label = house.open().label("app.anchors").unwrap();
    let trust = ClientTrust::new(label.clone()).unwrap();
    let now = Clock::system().now();
    let day = Duration::from_secs(86_400);
    assert!(trust.check(&der(&good), &[], now).is_ok());
    for (leaf, at) in [(&good, now + day * 500), (&good, now - day * 2), (&server, now)] {
        let error = trust.check(&der(leaf), &[], at).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotVerified);
    }
    assert!(check_pinned(&label, &der(&pinned), now).is_ok());
    for (leaf, at) in [(&good, now), (&pinned, now + day * 500), (&pinned, now - day * 2)] {
        let error = check_pinned(&label, &der(leaf), at).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotVerified);
    }
    let claims = serde_json::json!({ "cnf": confirmation(&der(&good)) });
    let claims = claims.as_object().unwrap();
    assert!(check_bound(claims, &der(&good)).is_ok());
    assert!(check_bound(claims, &der(&server)).is_err());
    assert!(check_bound(&serde_json::Map::new(), &der(&good)).is_err());
    // RFC 8705 appendix A writes it so: base64url of 32 bytes, without padding.
    let digest = openssl::hash::hash(MessageDigest::sha256(), &der(&good)).unwrap();
    let text = openssl::base64::encode_block(&digest).replace('+', "-").replace('/', "_");
    assert_eq!(claims["cnf"]["x5t#S256"], text.trim_end_matches('='));
}

/// `curl` with a client certificate, which trusts `ca.pem`: its exit code and what it printed.
fn curl(house: &House, port: u16, arguments: &[&str]) -> (i32, String) {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--cacert", "ca.pem", "--noproxy", "*"]);
    command.args(["--resolve", &format!("localhost:{port}:127.0.0.1")]);
    command.arg(format!("https://localhost:{port}/")).args(arguments).current_dir(house.path());
    let output = command.output().expect("these tests need curl");
    let said = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn curl_with_a_client_certificate_is_let_in_by_the_label_before_and_after_a_rotation() {
    let house = House::new();
    let p256 = || ec(Nid::X9_62_PRIME256V1);
    house.write("app.server.v1", &pem(&house.leaf(p256(), "server", "server")));
    let keyring = house.open();
    let identity = Identity::new(keyring.label("app.server").unwrap()).unwrap();
    let trust = ClientTrust::new(keyring.label("app.anchors").unwrap()).unwrap();
    let server = Server::new(Some(careful_server(identity, trust)), |_| ok("welcome", ""));
    let next = issue(p256(), "next ca", "ca", None);
    for (name, pair) in [
        ("good", house.leaf(p256(), "good", "client")),
        ("next", issue(p256(), "next", "client", Some(&next))),
        ("self", issue(p256(), "self", "client", None)),
        ("server", house.leaf(p256(), "server", "server")),
    ] {
        std::fs::write(house.path().join(format!("{name}.pem")), pem(&pair)).unwrap();
    }
    let is_let_in = |name: &str, version: &str| {
        let file = format!("{name}.pem");
        let arguments = ["--cert", &file, "--key", &file, version, "1.2"];
        let (code, said) =
            curl(&house, server.port, &arguments[..if version.is_empty() { 4 } else { 6 }]);
        assert_eq!(code == 0, said == "welcome", "{name}: {code} {said}");
        code == 0
    };
    for version in ["", "--tls-max"] {
        assert!(is_let_in("good", version));
        for name in ["next", "self", "server"] {
            assert!(!is_let_in(name, version), "{name}");
        }
    }
    assert_ne!(curl(&house, server.port, &[]).0, 0, "without a certificate");
    // Another CA beside the first, and a new identity of the server: as the next handshake sees it.
    house.write("app.anchors.v2", &next.1.to_pem().unwrap());
    house.write("app.server.v2", &pem(&house.leaf(ec(Nid::SECP384R1), "two", "server")));
    keyring.reload().unwrap();
    assert!(is_let_in("good", "") && is_let_in("next", "") && !is_let_in("self", ""));
    std::fs::remove_file(house.path().join("files/app.anchors.v1")).unwrap();
    keyring.reload().unwrap();
    assert!(!is_let_in("good", "") && is_let_in("next", ""));
}
