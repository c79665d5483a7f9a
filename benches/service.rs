//! What the service adds to TLS, HTTP and the primitive: requests a second against a server that does the primitive
//! alone and answers `{}`, in turns, over keep-alive TLS 1.3; batches against the library; latencies while keys
//! rotate every second; what a line for each use costs. One thread serves, another process of one thread asks.
//!
//! `cargo bench --bench service`, or one part of it: `cargo bench --bench service -- single|audit|batches|rotations`

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "a bench"
)]

use std::convert::Infallible;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use claviger::Keyring;
use claviger::clock::Clock;
use claviger::crypto::sha256;
use claviger::jose::jws::{self, SignOptions, VerifyOptions};
use claviger::journal::Actor;
use claviger::ops::{self, KeySet};
use claviger::rotation::{Overrides, Request as StepRequest, Rotation, Step};
use claviger::service::{Audit, Limits, Listener, ServerTls, Service, Tls, serve};
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use rustix::time::{ClockId, clock_gettime};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio_rustls::TlsAcceptor;

const ES256: &str = "am.services.oauth2.oidc.signing.ES256";
const HS256: &str = "am.services.oauth2.jwt.authenticity.signing";
const KEY: &str = "the key of a bench, of no use elsewhere";
const CONNECTIONS: usize = 8;
const ROUNDS: usize = 7;
const ROUND: Duration = Duration::from_secs(2);
const BATCH: usize = 100;
/// An empty JSON body.
const EMPTY: Bytes = Bytes::from_static(b"{}");

fn claims() -> Value {
    json!({ "iss": "https://login.example.com/oauth2/alpha", "sub": "5a3c9b1e-7d42-4b6e-9f5d-1a2b3c4d5e6f",
        "aud": "https://api.example.com", "iat": 1_800_000_000, "exp": 4_102_444_800_u64, "jti": "k7Qw0hXq2mZ8rT5vN1cB",
        "scope": "openid profile email", "auth_time": 1_799_999_990, "acr": "urn:example:loa:2", "nonce": "n-0S6_WzA2Mj" })
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some("ask") {
        let arguments: Vec<String> = arguments.collect();
        return ask(&arguments);
    }
    let home = tempfile::tempdir().unwrap();
    let house = House::build(home.path());
    let part = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let asked = |name: &str| part.as_deref().is_none_or(|part| part == name);
    if asked("single") {
        house.single();
    }
    if asked("audit") {
        house.audit();
    }
    if asked("batches") {
        house.batches();
    }
    if asked("rotations") {
        house.rotations();
    }
}

/// A keyring with its service, and a server that does the primitive alone.
struct House {
    keyring: Keyring,
    directory: std::path::PathBuf,
    tls: ServerTls,
}

impl House {
    fn build(directory: &Path) -> Self {
        claviger::starter::create(directory, Clock::system().now()).unwrap();
        let arguments = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout bench.key -out bench.pem \
            -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost \
            -addext basicConstraints=critical,CA:FALSE";
        let mut command = Command::new("openssl");
        let made = command.current_dir(directory).args(arguments.split_whitespace());
        let made = made.stderr(Stdio::null()).status();
        assert!(made.unwrap().success());
        let file = directory.join("claviger.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        // The starter's own service is for people.
        let text = text.split("\n[service]").next().unwrap();
        let hash: String =
            sha256(KEY.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        let text = format!(
            "{text}\n[[callers]]\nname = \"bench\"\napi_key_sha256 = \"{hash}\"\n\n[[grants]]\ncallers = [\"bench\"]\n\
             rights = [\"sign\", \"verify\"]\nlabels = [\"am.services.oauth2.*\"]\n\n[[grants]]\ncallers = [\"bench\"]\n\
             rights = [\"metrics\"]\n\n[service]\nlisten = [\"127.0.0.1:0\"]\n\
             certificate = {{ chain = \"bench.pem\", key = \"bench.key\" }}\n\n\
             [service.audit]\nto = \"audit.log\"\nuses = \"full\"\n"
        );
        std::fs::write(&file, text).unwrap();
        let keyring = Keyring::open(&file).unwrap();
        let tls = Tls::new(&keyring, &keyring.config().service).unwrap().server.unwrap();
        Self { keyring, directory: directory.to_owned(), tls }
    }

    fn keys(&self, label: &str) -> Arc<KeySet> {
        self.keyring.label(label).unwrap().keys().unwrap()
    }

    /// The keys of a label, and a token of theirs.
    fn token(&self, label: &str) -> (Arc<KeySet>, String) {
        let keys = self.keys(label);
        let payload = claims().to_string();
        let token = jws::sign(&keys, payload.as_bytes(), &SignOptions::default()).unwrap();
        (keys, token)
    }

    /// The service, on one thread, without audit lines.
    fn service(&self) -> (Runtime, SocketAddr) {
        self.audited(None)
    }

    /// The service, on one thread; another one writes its lines.
    fn audited(&self, audit: Option<Audit>) -> (Runtime, SocketAddr) {
        let runtime = one_thread("service");
        let socket = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = socket.local_addr().unwrap();
        let (keyring, clock) = (self.keyring.clone(), Clock::system());
        let service = Service::audited(keyring, clock, Limits::default(), audit);
        let tls = Some(self.tls.clone());
        let listener = {
            let _inside = runtime.enter();
            Listener::tcp(socket, tls)
        };
        runtime.spawn(serve(service, listener, std::future::pending()));
        (runtime, address)
    }

    /// TLS and HTTP as the service has them, the work alone, and an answer that is always the same.
    fn floor(&self, answer: Bytes, work: Arc<dyn Fn() + Send + Sync>) -> (Runtime, SocketAddr) {
        let runtime = one_thread("floor");
        let socket = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = socket.local_addr().unwrap();
        let acceptor = TlsAcceptor::from(Arc::clone(&self.tls.config));
        runtime.spawn(async move {
            loop {
                let (stream, _) = socket.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                let (acceptor, answer, work) =
                    (acceptor.clone(), answer.clone(), Arc::clone(&work));
                tokio::spawn(async move {
                    let stream = acceptor.accept(stream).await.unwrap();
                    let serve = service_fn(|request: Request<hyper::body::Incoming>| {
                        let (answer, work) = (answer.clone(), Arc::clone(&work));
                        async move {
                            let body = request.into_body().collect().await.unwrap().to_bytes();
                            std::hint::black_box(body);
                            work();
                            Ok::<_, Infallible>(Response::new(Full::new(answer)))
                        }
                    });
                    let mut http = auto::Builder::new(TokioExecutor::new()).http1_only();
                    http.http1().timer(TokioTimer::new()).header_read_timeout(None);
                    drop(http.serve_connection(TokioIo::new(stream), serve).await);
                });
            }
        });
        (runtime, address)
    }

    fn single(&self) {
        println!(
            "requests a second over {CONNECTIONS} connections, medians of {ROUNDS} rounds in turns"
        );
        heading("service", "floor");
        let (_service, address) = self.service();
        let body = json!({ "claims": claims() }).to_string();
        let (es256, token) = self.token(ES256);
        let input = token.rsplit_once('.').unwrap().0.to_owned();
        let signs = move || drop(ops::sign_raw(&es256, input.as_bytes(), Some("ES256")).unwrap());
        let (_floor, floor) = self.floor(EMPTY, Arc::new(signs));
        self.compare("ES256 sign", (address, floor), &format!("/v1/labels/{ES256}/sign"), &body);
        let (hs256, token) = self.token(HS256);
        let body = json!({ "token": token }).to_string();
        let input = token.rsplit_once('.').unwrap().0.to_owned();
        let tag = ops::sign_raw(&hs256, input.as_bytes(), Some("HS256")).unwrap().0;
        let verifies = move || {
            std::hint::black_box(
                ops::verify_raw(&hs256, input.as_bytes(), &tag, Some("HS256")).unwrap(),
            );
        };
        let (_floor, floor) = self.floor(EMPTY, Arc::new(verifies));
        self.compare(
            "HS256 verify",
            (address, floor),
            &format!("/v1/labels/{HS256}/verify"),
            &body,
        );
    }

    /// The service with a line for each use in a file, against the same without.
    fn audit(&self) {
        println!(
            "\nrequests a second with an audit line for each in a file, and without; medians of {ROUNDS} rounds in turns"
        );
        heading("lines", "none");
        let settings = self.keyring.config().service.audit.clone().unwrap();
        let audit = Audit::open(&settings, Clock::system()).unwrap();
        let ((_audited, lines), (_plain, none)) = (self.audited(Some(audit)), self.service());
        let body = json!({ "claims": claims() }).to_string();
        self.compare("ES256 sign", (lines, none), &format!("/v1/labels/{ES256}/sign"), &body);
        let body = json!({ "token": self.token(HS256).1 }).to_string();
        self.compare("HS256 verify", (lines, none), &format!("/v1/labels/{HS256}/verify"), &body);
        let figures = String::from_utf8(self.answer(lines, "GET /metrics", "").to_vec()).unwrap();
        for line in figures.lines().filter(|line| line.starts_with("claviger_audit_lines_total")) {
            println!("{line}");
        }
    }

    fn compare(&self, name: &str, servers: (SocketAddr, SocketAddr), path: &str, body: &str) {
        let mut rates = Vec::new();
        for _ in 0..ROUNDS {
            let ours = self.load(servers.0, path, body, ROUND, Waiting::Awake);
            let floor = self.load(servers.1, path, body, ROUND, Waiting::Awake);
            rates.push([ours.rate(), floor.rate(), ours.cpu_us, floor.cpu_us]);
        }
        let middle = |at: usize| median(rates.iter().map(|rates| rates[at]));
        let ratio =
            |one: usize, other: usize| median(rates.iter().map(|rates| rates[one] / rates[other]));
        let rate = format!("{:>10.0} {:>10.0} {:>7.2}", middle(0), middle(1), ratio(0, 1));
        let cpu = format!("{:>8.2} {:>8.2} {:>7.2}", middle(2), middle(3), ratio(3, 2));
        println!("{name:<14} {rate}   {cpu}");
    }

    fn batches(&self) {
        println!(
            "\nHS256 in batches of {BATCH}, items a second: the service, the library alone on one thread, and the library \
             behind the same bytes over TLS"
        );
        let names = ["operation", "service", "library", "ratio", "over TLS", "ratio"];
        println!("{}", row(names.map(str::to_owned)));
        let keys = self.keys(HS256);
        let payload = claims().to_string();
        let signs = {
            let (keys, payload) = (Arc::clone(&keys), payload.clone());
            move || {
                let token = jws::sign(&keys, payload.as_bytes(), &SignOptions::default()).unwrap();
                drop(std::hint::black_box(token));
            }
        };
        let items: Vec<Value> = (0..BATCH).map(|_| json!({ "claims": claims() })).collect();
        self.compare_batch("sign", items, Arc::new(signs));
        let token = jws::sign(&keys, payload.as_bytes(), &SignOptions::default()).unwrap();
        let items: Vec<Value> = (0..BATCH).map(|_| json!({ "token": token })).collect();
        let verifies = move || {
            let verified = jws::verify(&keys, &token, &VerifyOptions::default()).unwrap();
            drop(std::hint::black_box(verified));
        };
        self.compare_batch("verify", items, Arc::new(verifies));
    }

    fn compare_batch(&self, name: &str, items: Vec<Value>, library: Arc<dyn Fn() + Send + Sync>) {
        let (_service, address) = self.service();
        let path = format!("/v1/labels/{HS256}/{name}/batch");
        let body = json!({ "items": items }).to_string();
        let answer = self.answer(address, &path, &body);
        let again = Arc::clone(&library);
        let work = move || (0..BATCH).for_each(|_| again());
        let (_floor, floor) = self.floor(answer, Arc::new(work));
        let mut rates = Vec::new();
        for _ in 0..ROUNDS {
            let ours =
                self.load(address, &path, &body, ROUND, Waiting::Awake).rate() * BATCH as f64;
            let floor = self.load(floor, &path, &body, ROUND, Waiting::Awake).rate() * BATCH as f64;
            let started = Instant::now();
            let mut done = 0_u32;
            while started.elapsed() < ROUND / 4 {
                (0..100).for_each(|_| library());
                done += 100;
            }
            rates.push([ours, f64::from(done) / started.elapsed().as_secs_f64(), floor]);
        }
        let middle = |at: usize| median(rates.iter().map(|rates| rates[at]));
        let ratio = |at: usize| median(rates.iter().map(|rates| rates[0] / rates[at]));
        let rate = |at| format!("{:.0}", middle(at));
        let share = |at| format!("{:.2}", ratio(at));
        println!("{}", row([name.to_owned(), rate(0), rate(1), share(1), rate(2), share(2)]));
    }

    /// One answer of the service.
    fn answer(&self, address: SocketAddr, path: &str, body: &str) -> Bytes {
        let mut stream = self.connect(address);
        stream.write_all(&request(path, body, "connection: close\r\n")).unwrap();
        let mut text = Vec::new();
        stream.read_to_end(&mut text).unwrap();
        let start = text.windows(4).position(|at| at == b"\r\n\r\n").unwrap() + 4;
        Bytes::from(text.split_off(start))
    }

    fn connect(&self, address: SocketAddr) -> StreamOwned<ClientConnection, TcpStream> {
        connect(&client_config(&self.directory), address)
    }

    /// Latencies of ES256 verification while the label is reordered every second.
    fn rotations(&self) {
        let (_, token) = self.token(ES256);
        let (path, body) =
            (format!("/v1/labels/{ES256}/verify"), json!({ "token": token }).to_string());
        let (_service, address) = self.service();
        let time = Duration::from_secs(10);
        let quiet = self.load(address, &path, &body, time, Waiting::Asleep);
        let file = self.directory.join("claviger.toml");
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let keyring = self.keyring.clone();
        let rotating = std::thread::spawn(move || {
            let mut steps = 0;
            while stopped.recv_timeout(Duration::from_secs(1)).is_err() {
                let first = steps % 2 == 0;
                let order = if first { ["es256-2", "es256-1"] } else { ["es256-1", "es256-2"] };
                let order = order.iter().map(|alias| alias.parse().unwrap()).collect();
                let mut request =
                    StepRequest::new(Step::Reorder { aliases: order }, ES256).unwrap();
                request.overrides = Overrides { now: true, force: true };
                let actor = Actor::of_this_process(None);
                let mut rotation = Rotation::open(&file, Clock::system(), actor).unwrap();
                rotation.apply(&request).unwrap();
                drop(rotation);
                keyring.reload().unwrap();
                steps += 1;
            }
            steps
        });
        let busy = self.load(address, &path, &body, time, Waiting::Asleep);
        stop.send(()).unwrap();
        let steps = rotating.join().unwrap();
        println!("\nES256 verify over {CONNECTIONS} connections, {} s each", time.as_secs());
        println!("{:<24} {:>9} {:>9} {:>9} {:>8}", "", "p50 us", "p99 us", "requests", "refused");
        for (name, load) in [("quiet", &quiet), ("a rotation every second", &busy)] {
            let (p50, p99) = (load.p50_us, load.p99_us);
            println!("{name:<24} {p50:>9.0} {p99:>9.0} {:>9} {:>8}", load.done, load.refused);
        }
        println!("{steps} rotations, p99 ratio {:.2}", busy.p99_us / quiet.p99_us);
    }

    fn load(
        &self,
        address: SocketAddr,
        path: &str,
        body: &str,
        time: Duration,
        waiting: Waiting,
    ) -> Load {
        let request = request(path, body, "");
        let mut client = Command::new(std::env::current_exe().unwrap())
            .current_dir(&self.directory)
            .args(["ask", &address.to_string(), &time.as_millis().to_string()])
            .args((waiting == Waiting::Awake).then_some("awake"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        client.stdin.take().unwrap().write_all(&request).unwrap();
        let before = process_time();
        let output = client.wait_with_output().unwrap();
        let spent = process_time() - before;
        assert!(output.status.success());
        let mut load: Load = serde_json::from_slice(&output.stdout).unwrap();
        load.cpu_us = spent.as_secs_f64() * 1e6 / load.done as f64;
        load
    }
}

/// How the client waits for an answer.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Waiting {
    /// As programs do: the server pays for waking it.
    Asleep,
    /// It looks again and again: a server that is waited for pays no more than one that is not.
    Awake,
}

/// What a client saw.
#[derive(serde::Deserialize, serde::Serialize)]
struct Load {
    done: u64,
    /// Answers other than 200.
    refused: u64,
    seconds: f64,
    p50_us: f64,
    p99_us: f64,
    /// What the serving process spent for each.
    #[serde(default)]
    cpu_us: f64,
}

impl Load {
    fn rate(&self) -> f64 {
        assert_eq!(self.refused, 0);
        self.done as f64 / self.seconds
    }
}

/// Rates, and what a request costs the serving thread: the client shares the machine, so that rates waver more.
fn heading(ours: &str, other: &str) {
    let rate = format!("{ours:>10} {other:>10} {:>7}", "ratio");
    println!("{:<14} {rate}   {:>8} {other:>8} {:>7}", "operation", "CPU us", "ratio");
}

/// The CPU time of this process, which serves while its child asks.
fn process_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap(), time.tv_nsec.try_into().unwrap())
}

fn one_thread(name: &str) -> Runtime {
    Builder::new_multi_thread().thread_name(name).worker_threads(1).enable_all().build().unwrap()
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// `target`: what is posted to, or a method and its path.
fn request(target: &str, body: &str, header: &str) -> Vec<u8> {
    let line = if target.starts_with('/') { format!("POST {target}") } else { target.to_owned() };
    format!(
        "{line} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {KEY}\r\ncontent-type: application/json\r\n\
         {header}content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn row([name, rest @ ..]: [String; 6]) -> String {
    let rest: String = rest.iter().map(|cell| format!(" {cell:>10}")).collect();
    format!("{name:<10}{rest}")
}

fn client_config(directory: &Path) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(directory.join("bench.pem")).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Arc::new(config.unwrap().with_root_certificates(roots).with_no_client_auth())
}

fn connect(
    config: &Arc<ClientConfig>,
    address: SocketAddr,
) -> StreamOwned<ClientConnection, TcpStream> {
    let name = ServerName::try_from("localhost").unwrap();
    let socket = TcpStream::connect(address).unwrap();
    socket.set_nodelay(true).unwrap();
    StreamOwned::new(ClientConnection::new(Arc::clone(config), name).unwrap(), socket)
}

/// The client: one thread, its connections in turns, always one request under way on each.
fn ask(arguments: &[String]) {
    let address: SocketAddr = arguments[0].parse().unwrap();
    let time = Duration::from_millis(arguments[1].parse().unwrap());
    let mut request = Vec::new();
    std::io::stdin().read_to_end(&mut request).unwrap();
    let config = client_config(Path::new("."));
    let mut streams: Vec<_> = (0..CONNECTIONS).map(|_| connect(&config, address)).collect();
    let mut buffer = vec![0; 1 << 20];
    // Handshakes and caches first.
    for stream in &mut streams {
        stream.write_all(&request).unwrap();
        read_answer(stream, &mut buffer);
        stream.sock.set_nonblocking(arguments.get(2).is_some()).unwrap();
    }
    let (mut latencies, mut refused) = (Vec::new(), 0);
    let started = Instant::now();
    let mut sent: Vec<Instant> = Vec::new();
    for stream in &mut streams {
        stream.write_all(&request).unwrap();
        sent.push(Instant::now());
    }
    while started.elapsed() < time {
        for (stream, sent) in streams.iter_mut().zip(&mut sent) {
            refused += u64::from(!read_answer(stream, &mut buffer));
            latencies.push(sent.elapsed());
            *sent = Instant::now();
            stream.write_all(&request).unwrap();
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    latencies.sort();
    let at = |share: f64| latencies[(latencies.len() as f64 * share) as usize].as_secs_f64() * 1e6;
    let (p50_us, p99_us) = (at(0.5), at(0.99));
    let done = latencies.len() as u64;
    let load = Load { done, refused, seconds, p50_us, p99_us, cpu_us: 0.0 };
    println!("{}", serde_json::to_string(&load).unwrap());
}

/// Reads one answer; whether it is 200.
fn read_answer(stream: &mut impl Read, buffer: &mut [u8]) -> bool {
    let mut have = 0;
    loop {
        let read = match stream.read(&mut buffer[have..]) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                // A microsecond or so: the socket is the server's too.
                (0..32).for_each(|_| std::hint::spin_loop());
                continue;
            }
            read => read.unwrap(),
        };
        assert_ne!(read, 0, "the server closed a connection");
        have += read;
        let head = buffer[..have].windows(4).position(|window| window == b"\r\n\r\n");
        let Some(head) = head else { continue };
        let text = std::str::from_utf8(&buffer[..head]).unwrap().to_ascii_lowercase();
        let length = text.split("content-length: ").nth(1).unwrap().lines().next().unwrap();
        if have == head + 4 + length.parse::<usize>().unwrap() {
            return text.starts_with("http/1.1 200");
        }
    }
}
