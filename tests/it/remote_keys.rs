//! Key sets fetched from real servers on loopback: kept, refreshed, and served through outages.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, RwLock, mpsc};
use std::time::{Duration, UNIX_EPOCH};

use claviger::alg::Algorithm;
use claviger::catalogue::LabelUse;
use claviger::clock::Clock;
use claviger::error::ErrorKind;
use claviger::jose::jws::{self, SignOptions, VerifyOptions};
use claviger::ops::{KeySet, KeySetPolicy, PeerRules};
use claviger::remote::{Reach, RemoteKeys, RemoteOptions, Roots};
use claviger::tls::Identity;
use rustls::{ServerConnection, StreamOwned};

use crate::tls::{House, ec, plain_server};
use crate::workshop::jwk;

/// What the server answers to the text of a request.
type Script = Arc<Mutex<Box<dyn Fn(&str) -> Vec<u8> + Send>>>;

pub(crate) struct Server {
    pub(crate) port: u16,
    script: Script,
    requests: Arc<AtomicUsize>,
}

impl Server {
    pub(crate) fn new(
        tls: Option<rustls::ServerConfig>,
        script: impl Fn(&str) -> Vec<u8> + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let script: Script = Arc::new(Mutex::new(Box::new(script)));
        let requests = Arc::new(AtomicUsize::new(0));
        let (tls, own, count) = (tls.map(Arc::new), Arc::clone(&script), Arc::clone(&requests));
        std::thread::spawn(move || {
            for socket in listener.incoming() {
                let socket = socket.unwrap();
                match &tls {
                    None => answer(socket, &own, &count),
                    Some(tls) => {
                        let connection = ServerConnection::new(Arc::clone(tls)).unwrap();
                        answer(StreamOwned::new(connection, socket), &own, &count);
                    }
                }
            }
        });
        Self { port, script, requests }
    }

    fn plays(&self, script: impl Fn(&str) -> Vec<u8> + Send + 'static) {
        *self.script.lock().unwrap() = Box::new(script);
    }

    fn count(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/jwks", self.port)
    }
}

/// A client that gives up ends it.
fn answer(mut stream: impl Read + Write, script: &Script, count: &AtomicUsize) {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => request.push(byte[0]),
            _ => return,
        }
    }
    count.fetch_add(1, Ordering::SeqCst);
    let made = script.lock().unwrap()(&String::from_utf8_lossy(&request).to_lowercase());
    drop(stream.write_all(&made));
    drop(stream.flush());
    if made.ends_with(b"...") {
        // A body that does not come: until the client goes.
        drop(stream.read(&mut byte));
    }
}

pub(crate) fn ok(body: &str, headers: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n{body}"
    )
    .into_bytes()
}

/// A peer with keys of these kids: the set of each to sign with, and the document.
fn peer(kids: &[&str]) -> (Vec<KeySet>, String) {
    let keys: Vec<String> = kids.iter().map(|kid| jwk(kid, "ec")).collect();
    let sets = keys.iter().map(|key| {
        let rows = vec![Algorithm::find("ES256").unwrap()];
        let uses = vec![LabelUse::Sign, LabelUse::Verify];
        let name = "peer.own".parse().unwrap();
        KeySet::from_jwks(name, uses, key.as_bytes(), rows, KeySetPolicy::default()).unwrap()
    });
    let public: Vec<serde_json::Value> = keys
        .iter()
        .map(|key| {
            let mut key: serde_json::Value = serde_json::from_str(key).unwrap();
            key.as_object_mut().unwrap().retain(|name, _| name != "d");
            key
        })
        .collect();
    (sets.collect(), serde_json::json!({ "keys": public }).to_string())
}

fn token(set: &KeySet) -> String {
    jws::sign(set, b"{}", &SignOptions::default()).unwrap()
}

fn clock() -> (Arc<AtomicU64>, Clock) {
    let now = Arc::new(AtomicU64::new(1_800_000_000));
    let own = Arc::clone(&now);
    (now, Clock::from_fn(move || UNIX_EPOCH + Duration::from_secs(own.load(Ordering::SeqCst))))
}

fn remote(url: &str, options: RemoteOptions) -> RemoteKeys {
    RemoteKeys::new(url, PeerRules::verify(&["ES256"]).unwrap(), options).unwrap()
}

fn verifies(keys: &RemoteKeys, token: &str) -> bool {
    keys.verify(token, &VerifyOptions::default()).is_ok()
}

#[test]
fn an_answer_is_kept_for_its_time_and_confirmed_by_its_tag() {
    let (sets, document) = peer(&["a"]);
    let server = Server::new(None, move |request| {
        if request.contains("if-none-match: \"one\"") {
            return b"HTTP/1.1 304 Not Modified\r\ncache-control: max-age=600\r\nconnection: close\r\n\r\n".to_vec();
        }
        ok(&document, "cache-control: public, max-age=600\r\netag: \"one\"\r\n")
    });
    let (now, clock) = clock();
    let keys = remote(&server.url(), RemoteOptions { clock, ..RemoteOptions::default() });
    let token = token(&sets[0]);
    for _ in 0..20 {
        assert!(verifies(&keys, &token));
    }
    assert_eq!(server.count(), 1);
    now.fetch_add(601, Ordering::SeqCst);
    assert!(verifies(&keys, &token));
    assert_eq!((server.count(), keys.state().requests), (2, 2));
    now.fetch_add(300, Ordering::SeqCst);
    assert!(verifies(&keys, &token) && server.count() == 2);
}

#[test]
fn a_herd_of_threads_makes_one_request() {
    let (sets, document) = peer(&["a"]);
    let server = Server::new(None, move |_| ok(&document, ""));
    let keys = remote(&server.url(), RemoteOptions::default());
    let token = token(&sets[0]);
    let start = Barrier::new(32);
    std::thread::scope(|scope| {
        for _ in 0..32 {
            scope.spawn(|| {
                start.wait();
                assert!(verifies(&keys, &token));
            });
        }
    });
    assert_eq!(server.count(), 1);
}

#[test]
fn a_new_key_is_found_by_its_kid_and_a_flood_of_kids_makes_no_flood_of_requests() {
    let (sets, both) = peer(&["a", "b"]);
    let whole: serde_json::Value = serde_json::from_str(&both).unwrap();
    let first = serde_json::json!({ "keys": [whole["keys"][0]] }).to_string();
    let server = Server::new(None, move |_| ok(&first, ""));
    let (now, clock) = clock();
    let keys = remote(&server.url(), RemoteOptions { clock, ..RemoteOptions::default() });
    assert!(verifies(&keys, &token(&sets[0])));
    server.plays(move |_| ok(&both, ""));
    assert!(!verifies(&keys, &token(&sets[1])), "within the cool-down");
    now.fetch_add(31, Ordering::SeqCst);
    assert!(verifies(&keys, &token(&sets[1])));
    assert_eq!(server.count(), 2);
    for index in 0..200 {
        let (strangers, _) = peer(&[&format!("stranger-{index}")]);
        assert!(!verifies(&keys, &token(&strangers[0])));
    }
    assert_eq!(server.count(), 2);
}

#[test]
fn stale_keys_serve_through_an_outage_within_their_bound() {
    let (sets, document) = peer(&["a"]);
    let answer = ok(&document, "cache-control: max-age=60\r\n");
    let again = answer.clone();
    let server = Server::new(None, move |_| answer.clone());
    let (now, clock) = clock();
    let keys = remote(&server.url(), RemoteOptions { clock, ..RemoteOptions::default() });
    let token = token(&sets[0]);
    assert!(verifies(&keys, &token));
    server
        .plays(|_| b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_vec());
    now.fetch_add(3_600, Ordering::SeqCst);
    assert!(verifies(&keys, &token) && verifies(&keys, &token));
    assert!(keys.state().error.unwrap().contains("503") && server.count() == 2);
    now.fetch_add(86_400, Ordering::SeqCst);
    let error = keys.verify(&token, &VerifyOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StoreUnavailable);
    server.plays(move |_| again.clone());
    now.fetch_add(31, Ordering::SeqCst);
    assert!(verifies(&keys, &token) && keys.state().error.is_none());
    // An empty set is an answer: its owner took every key back.
    server.plays(|_| ok("{\"keys\":[]}", ""));
    now.fetch_add(61, Ordering::SeqCst);
    assert_eq!(keys.keys().unwrap_err().kind(), ErrorKind::KeyUnfit);
}

/// A day is what a server may say; one that was wrong for a moment is not to be believed for so long.
#[test]
fn a_set_that_nothing_can_be_done_with_is_asked_for_again() {
    let (sets, document) = peer(&["a"]);
    let server = Server::new(None, |_| ok("{\"keys\":[]}", "cache-control: max-age=86400\r\n"));
    let (now, clock) = clock();
    let keys = remote(&server.url(), RemoteOptions { clock, ..RemoteOptions::default() });
    for _ in 0..20 {
        assert_eq!(keys.keys().unwrap_err().kind(), ErrorKind::KeyUnfit);
        assert!(keys.at_hand(None).unwrap().is_err());
    }
    assert_eq!(server.count(), 1);
    server.plays(move |_| ok(&document, ""));
    now.fetch_add(31, Ordering::SeqCst);
    assert!(keys.at_hand(None).is_none(), "somebody has to ask");
    assert!(keys.keys().is_ok() && verifies(&keys, &token(&sets[0])));
    assert_eq!(server.count(), 2);
}

#[test]
fn a_clock_that_went_back_keeps_no_new_key_out() {
    let (sets, both) = peer(&["a", "b"]);
    let whole: serde_json::Value = serde_json::from_str(&both).unwrap();
    let first = serde_json::json!({ "keys": [whole["keys"][0]] }).to_string();
    let day = "cache-control: max-age=86400\r\n";
    let server = Server::new(None, move |_| ok(&first, day));
    let (now, clock) = clock();
    let keys = remote(&server.url(), RemoteOptions { clock, ..RemoteOptions::default() });
    assert!(verifies(&keys, &token(&sets[0])));
    server.plays(move |_| ok(&both, day));
    now.fetch_sub(3_600, Ordering::SeqCst);
    assert!(verifies(&keys, &token(&sets[1])));
    let (strangers, _) = peer(&["c"]);
    for _ in 0..20 {
        assert!(verifies(&keys, &token(&sets[0])) && !verifies(&keys, &token(&strangers[0])));
    }
    assert_eq!(server.count(), 2);
}

#[test]
fn slow_huge_redirected_and_foreign_answers_are_refused() {
    let (_, document) = peer(&["a"]);
    let huge = format!("{{\"x\":\"{}\",\"keys\":[]}}", "x".repeat(600 << 10));
    let redirect = format!(
        "HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{document}",
        document.len()
    );
    let slow = "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{\"keys\":...".to_owned();
    for made in [
        ok(&huge, ""),
        redirect.into_bytes(),
        slow.into_bytes(),
        ok("<html>", ""),
        b"SSH-2.0\r\n".to_vec(),
    ] {
        let shown = String::from_utf8_lossy(&made[..40.min(made.len())]).into_owned();
        let server = Server::new(None, move |_| made.clone());
        let timeout = Duration::from_millis(500);
        let keys = remote(&server.url(), RemoteOptions { timeout, ..RemoteOptions::default() });
        assert_eq!(keys.keys().unwrap_err().kind(), ErrorKind::StoreUnavailable, "{shown}");
        assert_eq!(server.count(), 1, "{shown}");
    }
    let server = Server::new(None, move |_| ok(&document, ""));
    let reach = Reach::Internet;
    let keys = remote(&server.url(), RemoteOptions { reach, ..RemoteOptions::default() });
    assert!(keys.keys().is_err() && server.count() == 0, "an address of this host");
}

#[test]
fn https_is_checked_against_the_anchors_of_a_label() {
    let house = House::new();
    let nid = openssl::nid::Nid::X9_62_PRIME256V1;
    house.write("app.server.v1", &crate::tls::pem(&house.leaf(ec(nid), "server", "server")));
    let keyring = house.open();
    let identity = Identity::new(keyring.label("app.server").unwrap()).unwrap();
    let (sets, document) = peer(&["a"]);
    let server = Server::new(Some(plain_server(identity)), move |_| ok(&document, ""));
    let url = format!("https://localhost:{}/jwks", server.port);
    let roots = Roots::Label(keyring.label("app.anchors").unwrap());
    let keys = remote(&url, RemoteOptions { roots, ..RemoteOptions::default() });
    assert!(verifies(&keys, &token(&sets[0])), "{:?}", keys.state());
    let strange = remote(&url, RemoteOptions::default());
    assert!(strange.keys().is_err() && strange.state().error.is_some());
}

/// Waits for what another thread does.
fn until(what: &str, holds: impl Fn() -> bool) {
    let begun = std::time::Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::yield_now();
    }
}

#[test]
fn a_set_is_fetched_ahead_of_its_end_while_callers_get_what_is_there() {
    let (sets, both) = peer(&["a", "b"]);
    let whole: serde_json::Value = serde_json::from_str(&both).unwrap();
    let first = serde_json::json!({ "keys": [whole["keys"][0]] }).to_string();
    let age = "cache-control: max-age=1000\r\n";
    let server = Server::new(None, move |_| ok(&first, age));
    let (now, clock) = clock();
    let keys = remote(&server.url(), RemoteOptions { clock, ..RemoteOptions::default() });
    assert!(verifies(&keys, &token(&sets[0])));
    now.fetch_add(799, Ordering::SeqCst);
    assert!(verifies(&keys, &token(&sets[0])) && server.count() == 1, "four fifths are not over");
    // The next answer does not come until it is let go.
    let (let_go, held) = mpsc::channel::<()>();
    server.plays(move |_| {
        held.recv().unwrap();
        ok(&both, age)
    });
    let before = keys.state();
    now.fetch_add(1, Ordering::SeqCst);
    for _ in 0..50 {
        assert!(verifies(&keys, &token(&sets[0])), "nobody waits for the request");
    }
    until("the request", || server.count() == 2);
    assert_eq!(keys.state().fetched, before.fetched);
    let_go.send(()).unwrap();
    until("the answer", || keys.state().fetched != before.fetched);
    // The new key is there before anybody asked for it, and no request more was made.
    assert!(verifies(&keys, &token(&sets[1])) && verifies(&keys, &token(&sets[0])));
    assert_eq!((server.count(), keys.state().requests), (2, 2));
    assert_eq!(keys.state().error, None);
}

#[test]
fn an_answer_that_says_nothing_of_its_age_is_fresh_for_five_minutes() {
    let (sets, document) = peer(&["a"]);
    let server = Server::new(None, move |_| ok(&document, ""));
    let (now, clock) = clock();
    let keys = remote(&server.url(), RemoteOptions { clock, ..RemoteOptions::default() });
    assert!(verifies(&keys, &token(&sets[0])));
    let state = keys.state();
    let fresh = state.fresh_until.unwrap().duration_since(state.fetched.unwrap()).unwrap();
    assert_eq!(fresh, Duration::from_secs(300));
    now.fetch_add(300, Ordering::SeqCst);
    assert!(verifies(&keys, &token(&sets[0])) && server.count() == 2);
}

/// What the peer signs with now, and what it publishes.
struct World {
    token: RwLock<String>,
    document: Mutex<String>,
    stop: AtomicBool,
    refused: AtomicUsize,
    verified: [AtomicUsize; 6],
}

impl World {
    /// Until every thread has verified a few tokens more.
    fn work(&self) {
        let counts = || self.verified.iter().map(|one| one.load(Ordering::SeqCst));
        let before: Vec<usize> = counts().collect();
        until("every thread verifies", || counts().zip(&before).all(|(now, then)| now > then + 3));
    }
}

#[test]
fn a_rotation_under_load_refuses_no_token_and_asks_a_bounded_number_of_times() {
    let kids: Vec<String> = (0..12).map(|index| format!("key-{index}")).collect();
    let (sets, whole) = peer(&kids.iter().map(String::as_str).collect::<Vec<_>>());
    let whole: serde_json::Value = serde_json::from_str(&whole).unwrap();
    let shown = |from: usize, to: usize| {
        serde_json::json!({ "keys": whole["keys"].as_array().unwrap()[from..to] }).to_string()
    };
    let world = Arc::new(World {
        token: RwLock::new(token(&sets[0])),
        document: Mutex::new(shown(0, 1)),
        stop: AtomicBool::new(false),
        refused: AtomicUsize::new(0),
        verified: Default::default(),
    });
    let served = Arc::clone(&world);
    let server = Server::new(None, move |_| {
        ok(&served.document.lock().unwrap(), "cache-control: max-age=60\r\n")
    });
    let (now, clock) = clock();
    let keys = remote(&server.url(), RemoteOptions { clock, ..RemoteOptions::default() });
    std::thread::scope(|scope| {
        for count in &world.verified {
            let (world, keys) = (&world, &keys);
            scope.spawn(move || {
                while !world.stop.load(Ordering::SeqCst) {
                    // A token is not taken back while somebody checks it.
                    let token = world.token.read().unwrap();
                    if !verifies(keys, &token) {
                        world.refused.fetch_add(1, Ordering::SeqCst);
                    }
                    drop(token);
                    count.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        for (next, set) in sets.iter().enumerate().skip(1) {
            // Announced for as long as sets are cached, then it acts; the old key goes when its tokens have ended.
            *world.document.lock().unwrap() = shown(next - 1, next + 1);
            world.work();
            now.fetch_add(61, Ordering::SeqCst);
            *world.token.write().unwrap() = token(set);
            world.work();
            *world.document.lock().unwrap() = shown(next, next + 1);
            now.fetch_add(61, Ordering::SeqCst);
            world.work();
        }
        world.stop.store(true, Ordering::SeqCst);
    });
    assert_eq!(world.refused.load(Ordering::SeqCst), 0, "{:?}", keys.state());
    // Each minute is one request, ahead of its end or after it, and each new kid may be another.
    let (count, turns) = (server.count(), kids.len() - 1);
    assert!((turns..=1 + 4 * turns).contains(&count), "{count} requests in {turns} rotations");
    // A key that is gone is refused.
    assert!(!verifies(&keys, &token(&sets[0])));
}
