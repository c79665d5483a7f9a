//! A service over TLS whose configuration is a file, clients with certificates, and an issuer of tokens beside it.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use claviger::Keyring;
use claviger::clock::Clock;
use claviger::service::{Limits, Listener, ServerTls, Service, serve};
use openssl::asn1::{Asn1Time, Asn1Type};
use openssl::bn::{BigNum, BigNumContext, MsbOption};
use openssl::ec::{EcGroup, EcKey};
use openssl::ecdsa::EcdsaSig;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::sha::sha256;
use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
use openssl::x509::{X509, X509NameBuilder};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};

/// A clock that stands so many seconds after the present.
pub(crate) fn clock_ahead() -> (Arc<AtomicU64>, Clock) {
    let later = Arc::new(AtomicU64::new(0));
    let (time, start) = (Arc::clone(&later), Clock::system().now());
    let now = move || start + Duration::from_secs(time.load(Ordering::SeqCst));
    (later, Clock::from_fn(now))
}

/// A key and its certificate.
pub(crate) type Pair = (PKey<Private>, X509);

/// What a certificate says of its holder.
#[derive(Clone, Copy, Default)]
pub(crate) struct Holder<'a> {
    /// From the most general part on; encoded as PrintableString where `printable` says so.
    pub(crate) subject: &'a [(&'a str, &'a str)],
    pub(crate) printable: bool,
    pub(crate) dns: &'a [&'a str],
    pub(crate) uris: &'a [&'a str],
    pub(crate) ip: Option<&'a str>,
}

pub(crate) fn ec() -> PKey<Private> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
}

/// A certificate of an authority; of itself without one.
pub(crate) fn issue(holder: Holder<'_>, issuer: Option<&Pair>) -> Pair {
    let key = ec();
    let kind = if holder.printable { Asn1Type::PRINTABLESTRING } else { Asn1Type::UTF8STRING };
    let mut subject = X509NameBuilder::new().unwrap();
    for (name, value) in holder.subject {
        subject.append_entry_by_text_with_type(name, value, kind).unwrap();
    }
    let subject = subject.build();
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    let mut serial = BigNum::new().unwrap();
    serial.rand(120, MsbOption::MAYBE_ZERO, false).unwrap();
    builder.set_serial_number(&serial.to_asn1_integer().unwrap()).unwrap();
    builder.set_subject_name(&subject).unwrap();
    builder.set_issuer_name(issuer.map_or(&*subject, |one| one.1.subject_name())).unwrap();
    builder.set_pubkey(&key).unwrap();
    // Clocks of tests stand still at a time before this.
    let an_hour_ago = Clock::system().now().duration_since(UNIX_EPOCH).unwrap().as_secs() - 3_600;
    let start = Asn1Time::from_unix(an_hour_ago.try_into().unwrap()).unwrap();
    builder.set_not_before(&start).unwrap();
    builder.set_not_after(&Asn1Time::days_from_now(30).unwrap()).unwrap();
    if issuer.is_none() {
        builder.append_extension(BasicConstraints::new().critical().ca().build().unwrap()).unwrap();
    }
    let mut names = SubjectAlternativeName::new();
    for name in holder.dns {
        names.dns(name);
    }
    for uri in holder.uris {
        names.uri(uri);
    }
    if let Some(ip) = holder.ip {
        names.ip(ip);
    }
    if !holder.dns.is_empty() || !holder.uris.is_empty() || holder.ip.is_some() {
        let names = names.build(&builder.x509v3_context(None, None)).unwrap();
        builder.append_extension(names).unwrap();
    }
    builder.sign(issuer.map_or(&key, |one| &one.0), MessageDigest::sha256()).unwrap();
    (key, builder.build())
}

/// The service.
pub(crate) struct Door {
    pub(crate) keyring: Keyring,
    pub(crate) ca: Pair,
    folder: tempfile::TempDir,
    address: SocketAddr,
    _runtime: Runtime,
    _stop: oneshot::Sender<()>,
}

impl Door {
    /// With what `access` writes of callers and grants, on one thread: who blocks it, stops everybody.
    pub(crate) fn new(access: &str, clock: Clock) -> Self {
        Self::with_limits(access, clock, Limits::default())
    }

    /// The same with other limits.
    pub(crate) fn with_limits(access: &str, clock: Clock, limits: Limits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        write_config(folder.path().join("claviger.toml"), access);
        let keyring = Keyring::open_once(&folder.path().join("claviger.toml")).unwrap();
        let ca = issue(Holder { subject: &[("CN", "the authority")], ..Holder::default() }, None);
        let host = Holder { ip: Some("127.0.0.1"), ..Holder::default() };
        let tls = server(&ca, &issue(host, Some(&ca)));
        let service = Service::new(keyring.clone(), clock, limits);
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let listener = Listener::tcp(listener, Some(ServerTls::new(tls, None)));
        runtime.spawn(serve(service, listener, async move { drop(stopped.await) }));
        Self { keyring, ca, folder, address, _runtime: runtime, _stop: stop }
    }

    /// Takes a new configuration.
    pub(crate) fn reload(&self, access: &str) {
        write_config(self.folder.path().join("claviger.toml"), access);
        self.keyring.reload().unwrap();
    }

    /// Takes a new configuration in which other aliases stand behind the first label.
    pub(crate) fn reload_with(&self, access: &str, aliases: &str) {
        let path = self.folder.path().join("claviger.toml");
        write_config(path.clone(), access);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replace("['es256-a', 'es256-b']", aliases)).unwrap();
        self.keyring.reload().unwrap();
    }

    /// A client, which keeps its connection; with a certificate or without.
    pub(crate) fn client(&self, pair: Option<&Pair>) -> Client {
        let der = |one: &X509| Certificate::from_der(&one.to_der().unwrap()).to_owned();
        let own = pair.map(|(key, certificate)| {
            let key = PrivateKey::from_pem(&key.private_key_to_pem_pkcs8().unwrap()).unwrap();
            ClientCert::new_with_certs(&[der(certificate)], key)
        });
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = TlsConfig::builder()
            .unversioned_rustls_crypto_provider(provider)
            .root_certs(RootCerts::Specific(Arc::new(vec![der(&self.ca.1)])))
            .client_cert(own)
            .build();
        let config = ureq::Agent::config_builder().tls_config(tls).http_status_as_error(false);
        Client { agent: config.build().new_agent(), address: self.address }
    }
}

fn write_config(path: PathBuf, access: &str) {
    let keys = concat!(env!("CARGO_MANIFEST_DIR"), "/keystores");
    let text = format!(
        "[keyring]\nreload = 'off'\n[stores.a]\nkind = 'keystore'\npath = '{keys}/default.p12'\n\
         store_password = {{ file = '{keys}/storepass.txt' }}\n[stores.a.mappings]\n\
         'am.services.oauth2.oidc.signing.ES256' = ['es256-a', 'es256-b']\n\
         'am.services.oauth2.oidc.signing.ES384' = ['es384']\n{access}"
    );
    std::fs::write(path, text).unwrap();
}

fn server(ca: &Pair, host: &Pair) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(ca.1.to_der().unwrap())).unwrap();
    let clients = WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(&provider));
    let clients = clients.allow_unauthenticated().build().unwrap();
    let chain = vec![CertificateDer::from(host.1.to_der().unwrap())];
    let key = PrivateKeyDer::Pkcs8(host.0.private_key_to_pkcs8().unwrap().into());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(clients)
        .with_single_cert(chain, key)
        .unwrap();
    Arc::new(config)
}

/// A client of the service.
pub(crate) struct Client {
    agent: ureq::Agent,
    address: SocketAddr,
}

impl Client {
    /// Whether the handshake succeeds and a request is answered, with whatever.
    pub(crate) fn connects(&self) -> bool {
        self.agent.get(format!("https://{}/healthz", self.address)).call().is_ok()
    }

    /// Status and body of any request.
    pub(crate) fn send(&self, method: &str, path: &str, bearer: Option<&str>) -> (u16, String) {
        let mut request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("https://{}{path}", self.address));
        if let Some(bearer) = bearer {
            request = request.header("authorization", format!("Bearer {bearer}"));
        }
        let body = if method == "GET" || method == "HEAD" { "" } else { "{}" };
        let mut response = self.agent.run(request.body(body).unwrap()).unwrap();
        let text = response.body_mut().read_to_string().unwrap();
        (response.status().as_u16(), text)
    }

    /// Status and JSON body of a `POST` with these `Authorization` headers.
    pub(crate) fn post(&self, path: &str, bearers: &[&str], body: &Value) -> (u16, Value) {
        let mut request = self.agent.post(format!("https://{}{path}", self.address));
        for bearer in bearers {
            request = request.header("authorization", format!("Bearer {bearer}"));
        }
        let mut response = request.send(body.to_string()).unwrap();
        let text = response.body_mut().read_to_string().unwrap();
        (response.status().as_u16(), serde_json::from_str(&text).unwrap())
    }
}

/// A kid and its key.
type Published = (String, PKey<Private>);

/// Somebody whose key set is fetched over HTTP.
pub(crate) struct Issuer {
    pub(crate) url: String,
    pub(crate) requests: Arc<AtomicUsize>,
    keys: Arc<Mutex<Vec<Published>>>,
    /// Lets one answer go, if answers are held.
    pub(crate) go: Sender<()>,
}

impl Issuer {
    /// With a key of this kid. Where answers are `held`, each waits for [`Issuer::go`].
    pub(crate) fn new(kid: &str, held: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/jwks", listener.local_addr().unwrap());
        let (go, gone) = channel();
        let issuer =
            Self { url, requests: Arc::default(), keys: Arc::new(Mutex::new(Vec::new())), go };
        issuer.add(kid);
        let (requests, keys) = (Arc::clone(&issuer.requests), Arc::clone(&issuer.keys));
        std::thread::spawn(move || answer(&listener, &requests, &keys, held.then_some(&gone)));
        issuer
    }

    /// Publishes one more key.
    pub(crate) fn add(&self, kid: &str) {
        self.keys.lock().unwrap().push((kid.to_owned(), ec()));
    }

    /// A token that the key of this kid signs.
    pub(crate) fn token(&self, kid: &str, header: &Value, claims: &Value) -> String {
        let keys = self.keys.lock().unwrap();
        let key = keys.iter().find(|(name, _)| name == kid).unwrap().1.ec_key().unwrap();
        signed(&key, header, claims)
    }
}

/// A token with exactly this header, signed as ES256 has it.
pub(crate) fn signed(key: &EcKey<Private>, header: &Value, claims: &Value) -> String {
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let input = format!("{}.{}", encode(header), encode(claims));
    let signature = EcdsaSig::sign(&sha256(input.as_bytes()), key).unwrap();
    let [r, s] = [signature.r(), signature.s()].map(|part| part.to_vec_padded(32).unwrap());
    format!("{input}.{}", URL_SAFE_NO_PAD.encode([r, s].concat()))
}

fn answer(
    listener: &TcpListener,
    requests: &AtomicUsize,
    keys: &Mutex<Vec<Published>>,
    held: Option<&Receiver<()>>,
) {
    for stream in listener.incoming() {
        let mut stream = stream.unwrap();
        let head = BufReader::new(stream.try_clone().unwrap()).lines();
        head.map_while(Result::ok).take_while(|line| !line.is_empty()).for_each(drop);
        requests.fetch_add(1, Ordering::SeqCst);
        if held.is_some_and(|gone| gone.recv().is_err()) {
            return;
        }
        let body = json!({ "keys": keys.lock().unwrap().iter().map(jwk).collect::<Vec<_>>() });
        let body = body.to_string();
        let head =
            format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}", body.len());
        drop(write!(stream, "{head}\r\n\r\n{body}"));
    }
}

fn jwk((kid, key): &Published) -> Value {
    let key = key.ec_key().unwrap();
    let (mut x, mut y) = (BigNum::new().unwrap(), BigNum::new().unwrap());
    let mut context = BigNumContext::new().unwrap();
    key.public_key().affine_coordinates(key.group(), &mut x, &mut y, &mut context).unwrap();
    let text = |part: &BigNum| URL_SAFE_NO_PAD.encode(part.to_vec_padded(32).unwrap());
    json!({ "kty": "EC", "crv": "P-256", "kid": kid, "x": text(&x), "y": text(&y) })
}
