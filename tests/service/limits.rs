//! Limits and hostile clients: each is cut off or told no, and the next request is answered.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use claviger::atomic::Lock;
use serde_json::{Value, json};

use crate::process::{BOTH, Home, LONG, PLAIN, Served};
use crate::shop::Shop;
use crate::tls_client::Http2Client;

/// Everything until the server closes.
fn rest(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    drop(stream.read_to_end(&mut text));
    String::from_utf8_lossy(&text).into_owned()
}

fn quick() -> Served {
    let home = Home::new(&format!(
        "{PLAIN}header_timeout = \"1s\"\nbody_timeout = \"1s\"\nidle_timeout = \"1s\"\n\
         max_body_bytes = 1000\n"
    ));
    home.serve()
}

#[test]
fn slow_and_silent_clients_are_cut_off() {
    let served = quick();
    let ask = "GET /healthz HTTP/1.1\r\nhost: x\r\n";
    for (beginning, drip) in [
        ("", ""),
        (ask, ""),
        (ask, "x-more: 1\r\n"),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", ""),
        ("PRI", ""),
    ] {
        let mut slow = served.connect();
        slow.write_all(beginning.as_bytes()).unwrap();
        let until = Instant::now() + LONG;
        // A byte now and then does not buy more time.
        while !drip.is_empty() && slow.write_all(drip.as_bytes()).is_ok() {
            assert!(Instant::now() < until, "it goes on for ever");
            std::thread::sleep(Duration::from_millis(100));
        }
        let text = rest(&mut slow);
        assert!(!text.contains("200 OK"), "{beginning:?}: {text}");
        assert!(served.is_well());
    }
}

#[test]
fn a_connection_that_was_used_may_rest_for_the_idle_time_only() {
    let served = quick();
    for then in ["", "GET /healthz HTTP/1.1\r\n"] {
        let mut idle = served.connect();
        idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
        idle.write_all(then.as_bytes()).unwrap();
        assert!(rest(&mut idle).starts_with("HTTP/1.1 200 "));
    }
    // A client that reads nothing of what it asks for.
    let mut deaf = served.connect();
    deaf.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
    let ask = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n".repeat(1000);
    while deaf.write_all(&ask).is_ok() {}
    assert!(served.is_well());
}

#[test]
fn who_sends_no_body_where_none_is_asked_for_takes_no_place() {
    let home = Home::new(&format!("{PLAIN}max_requests = 2\nbody_timeout = \"1h\"\n"));
    let served = home.serve();
    let silent: Vec<_> = ["/healthz", "/", "/openapi.json", "/readyz", "/nowhere"]
        .into_iter()
        .map(|path| {
            let mut silent = served.connect();
            let head = format!("GET {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n");
            silent.write_all(head.as_bytes()).unwrap();
            silent
        })
        .collect();
    for mut one in silent {
        let text = rest(&mut one);
        assert!(text.contains("200 OK") || text.contains("404 Not Found"), "{text}");
        assert!(text.contains("connection: close"), "{text}");
    }
    assert!(served.is_well());
}

#[test]
fn slow_large_and_malformed_requests_are_told_no() {
    let served = quick();
    let post =
        |rest: &str| format!("POST /v1/labels/app.session.seal/sign HTTP/1.1\r\nhost: x\r\n{rest}");
    let large = "x".repeat(1001);
    for (request, status) in [
        (post("content-length: 100\r\n\r\n{"), "408"),
        (post("transfer-encoding: chunked\r\n\r\n5\r\n{"), "408"),
        (post(&format!("content-length: 1001\r\nconnection: close\r\n\r\n{large}")), "413"),
        (
            post(&format!(
                "transfer-encoding: chunked\r\nconnection: close\r\n\r\n3e9\r\n{large}\r\n0\r\n\r\n"
            )),
            "413",
        ),
        (post("content-length: 1\r\ncontent-length: 2\r\n\r\n{}"), "400"),
        (post("content-length: -1\r\n\r\n"), "400"),
        (post("transfer-encoding: chunked\r\nconnection: close\r\n\r\nzz\r\n"), "400"),
        (post("connection: close\r\ncontent-length: 2\r\n\r\n[["), "400"),
        (format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(17_000)), "431"),
        (format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "x".repeat(17_000)), "431"),
        (format!("GET / HTTP/1.1\r\n{}\r\n", "x: 1\r\n".repeat(200)), "431"),
        ("GET / HTTP/9.9\r\n\r\n".into(), "400"),
        ("GET\0 / HTTP/1.1\r\n\r\n".into(), "400"),
        ("\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}".into(), "400"),
        ("GET /healthz?a=1&a=2 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".into(), "400"),
        (
            format!(
                "GET /healthz?{} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
                "a&".repeat(5_000)
            ),
            "400",
        ),
        ("GET /%ff%00/../.. HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".into(), "404"),
        ("GET /healthz HTTP/1.1\r\nconnection: close\r\n\r\n".into(), "400"),
        ("GET /healthz HTTP/1.1\r\nhost: x\r\nhost: y\r\nconnection: close\r\n\r\n".into(), "400"),
    ] {
        let text = served.exchange(request.as_bytes());
        let told = text.strip_prefix("HTTP/1.1 ").and_then(|text| text.get(..3));
        assert_eq!(
            told,
            Some(status),
            "{:?}: {text}",
            request.chars().take(90).collect::<String>()
        );
        assert!(served.is_well());
    }
}

#[test]
fn slow_clients_of_http2_are_told_no_or_cut_off() {
    let home = Home::new(&format!(
        "{BOTH}header_timeout = \"1s\"\nbody_timeout = \"1s\"\nidle_timeout = \"2s\"\n"
    ));
    let served = home.serve();
    let connect = || Http2Client::connect(&home, &served, None).unwrap();
    let path = "/v1/labels/am.services.oauth2.oidc.signing.ES256/sign";
    let claims = json!({"claims": {}});
    let mut slow = connect();
    slow.begin(path, 100, true).unwrap();
    assert_eq!(slow.answer().unwrap()["status"], json!(408));
    // The connection is as good as before.
    assert_eq!(slow.post(path, &claims).unwrap()["alias"], json!("es256-a"));
    // Half a head: of the first request, and of a later one.
    let (mut first, mut later) = (connect(), connect());
    first.begin(path, 100, false).unwrap();
    assert!(first.is_cut_off());
    assert_eq!(later.post(path, &claims).unwrap()["alias"], json!("es256-a"));
    later.begin(path, 100, false).unwrap();
    assert!(later.is_cut_off());
    assert!(connect().is_cut_off(), "nothing is asked");
    assert_eq!(connect().post(path, &claims).unwrap()["alias"], json!("es256-a"));
}

#[test]
fn what_is_no_handshake_ends_the_connection() {
    let home = Home::new(&format!("{BOTH}handshake_timeout = \"1s\"\n"));
    let served = home.serve();
    let url = format!("https://localhost:{}/healthz", served.port());
    let hello = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
    let random: Vec<u8> =
        (0..4096_u32).map(|at| at.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    for garbage in [&b""[..], b"GET / HTTP/1.1\r\n\r\n", &hello, &[0x16, 3, 1, 0xff, 0xff], &random]
    {
        let mut stream = served.connect();
        drop(stream.write_all(garbage));
        assert!(!rest(&mut stream).contains("HTTP/1.1"), "{garbage:?}");
        assert_eq!(home.curl(&[&url]), "ok\n");
    }
}

#[test]
fn requests_beyond_the_bound_are_told_when_to_come_again() {
    let home = Home::new(&format!("{PLAIN}max_requests = 1\nbody_timeout = \"1h\"\n"));
    let served = home.serve();
    let ask = b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let until = Instant::now() + LONG;
    // Either of the two may be the one that is worked on.
    let (mut first, text) = loop {
        let mut first = served.connect();
        first.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n\r\n").unwrap();
        let text = served.exchange(ask);
        if text.starts_with("HTTP/1.1 503 ") || Instant::now() > until {
            break (first, text);
        }
    };
    assert!(text.contains("retry-after: 1"), "{text}");
    first.write_all(b"x").unwrap();
    while !served.is_well() {
        assert!(Instant::now() < until);
    }
}

#[test]
fn a_caller_whose_bodies_do_not_come_leaves_room_for_the_others() {
    let hash = Shop::hash("the key of portal");
    let home = Home::new(&format!(
        "{PLAIN}max_requests = 8\nbody_timeout = \"1h\"\n\n[[callers]]\nname = \"portal\"\n\
         api_key_sha256 = \"{hash}\"\n\n[[grants]]\ncallers = [\"portal\"]\nrights = [\"sign\"]\nlabels = [\"*\"]\n"
    ));
    let served = home.serve();
    let head = |key: &str| {
        format!(
            "POST /v1/labels/am.services.oauth2.oidc.signing.ES256/sign HTTP/1.1\r\nhost: x\r\n{key}\
             content-length: 13\r\nexpect: 100-continue\r\n\r\n"
        )
    };
    let portal = head("authorization: Bearer the key of portal\r\n");
    // What comes first: that the body is waited for, or that it is not.
    let told = |stream: &mut TcpStream| {
        let mut told = [0; 12];
        stream.read_exact(&mut told).unwrap();
        String::from_utf8_lossy(&told).into_owned()
    };
    let begin = |head: &str| {
        let mut stream = served.connect();
        stream.write_all(head.as_bytes()).unwrap();
        let told = told(&mut stream);
        (stream, told)
    };
    let held: Vec<_> = (0..4).map(|_| begin(&portal)).collect();
    assert!(held.iter().all(|(_, told)| told == "HTTP/1.1 100"), "{held:?}");
    let text = served.exchange(portal.as_bytes());
    assert!(text.contains("HTTP/1.1 503 "), "{text}");
    assert!(text.contains("of this caller"), "{text}");
    // Who is somebody else may wait as well, and both are answered if their bodies are there.
    let other = begin(&head(""));
    assert_eq!(other.1, "HTTP/1.1 100");
    for key in ["", "authorization: Bearer the key of portal\r\n"] {
        let whole = head(key).replace("expect", "connection: close\r\nx");
        let text = served.exchange(format!("{whole}{{\"claims\":{{}}}}").as_bytes());
        assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
    }
    drop(held);
    let until = Instant::now() + LONG;
    let whole = portal.replace("expect", "connection: close\r\nx");
    // One byte, then the rest: it is waited for.
    while {
        let mut stream = served.connect();
        stream.write_all(format!("{whole}{{").as_bytes()).unwrap();
        std::thread::sleep(Duration::from_millis(50));
        drop(stream.write_all(br#""claims":{}}"#));
        !rest(&mut stream).starts_with("HTTP/1.1 200 ")
    } {
        assert!(Instant::now() < until);
    }
}

#[test]
fn who_goes_away_while_an_issuer_is_silent_leaves_no_thread_behind() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let home = Home::new(&format!(
        "{PLAIN}\n[[callers]]\nname = \"ci\"\ntoken = {{ issuer = \"https://ci.example\", audience = \"claviger\", \
         subject = \"deploy\", jwks_url = \"http://{}/jwks\", algorithms = [\"ES256\"] }}\n",
        silent.local_addr().unwrap()
    ));
    let served = home.serve();
    let encode = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = json!({ "iss": "https://ci.example", "aud": "claviger", "sub": "deploy" });
    // Nobody signed it.
    let token = format!("{}.{}.AAAA", encode(json!({ "alg": "ES256" })), encode(claims));
    let ask = format!("GET /metrics HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\r\n");
    for _ in 0..100 {
        let mut stream = served.connect();
        stream.write_all(ask.as_bytes()).unwrap();
        std::thread::sleep(Duration::from_millis(5));
    }
    let threads = std::fs::read_dir(format!("/proc/{}/task", served.id())).unwrap().count();
    let processors = std::thread::available_parallelism().unwrap().get();
    assert!(threads < 2 * processors + 20, "{threads}");
    assert!(served.is_well());
}

#[test]
fn answers_that_nobody_reads_have_a_bound() {
    let home = Home::new(&format!("{BOTH}max_body_bytes = 4096\n"));
    let served = home.serve();
    let connect = || Http2Client::connect(&home, &served, None).unwrap();
    let path = "/v1/labels/am.services.oauth2.oidc.signing.ES256/sign";
    let long = json!({ "text": "x".repeat(4000) });
    let mut deaf = connect();
    deaf.read_no_more().unwrap();
    let mut refused = 0;
    for _ in 0..120 {
        deaf.send(path, &long).unwrap();
        refused += u32::from(!deaf.next_is_done().unwrap());
    }
    // Some hundred of them are half of 256 bodies.
    assert!((10..60).contains(&refused), "{refused}");
    let mut reads = connect();
    assert!(reads.post(path, &json!({ "text": "x" })).unwrap()["token"].is_string(), "a short one");
    drop(deaf);
    let until = Instant::now() + LONG;
    while reads.post(path, &long).unwrap()["token"].is_null() {
        assert!(Instant::now() < until, "what nobody will read is still there");
    }
}

/// Each computes for a second and more.
#[test]
fn batches_of_one_caller_leave_processors_to_the_others() {
    let hash = Shop::hash("the key of portal");
    let home = Home::new(&format!(
        "{PLAIN}\n[[callers]]\nname = \"portal\"\napi_key_sha256 = \"{hash}\"\n\n\
         [[grants]]\ncallers = [\"portal\"]\nrights = [\"sign\"]\nlabels = [\"*\"]\n"
    ));
    let served = home.serve();
    let body = json!({ "items": vec![json!({ "text": "x" }); 1_000] }).to_string();
    let batch = format!(
        "POST /v1/labels/am.services.oauth2.oidc.signing.RSA/sign/batch HTTP/1.1\r\nhost: x\r\n\
         authorization: Bearer the key of portal\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let held: Vec<TcpStream> = (0..100)
        .map(|_| {
            let mut stream = served.connect();
            stream.write_all(batch.as_bytes()).unwrap();
            stream
        })
        .collect();
    let threads = || std::fs::read_dir(format!("/proc/{}/task", served.id())).unwrap().count();
    let begun = Instant::now();
    let mut most = 0;
    for _ in 0..5 {
        assert!(served.is_well());
        most = most.max(threads());
    }
    let processors = std::thread::available_parallelism().unwrap().get();
    assert!(most < 8 * processors + 16, "{most} threads, {:?}", begun.elapsed());
    drop(held);
}

/// Steps take turns, and each waits for a minute.
#[test]
fn steps_that_wait_for_one_another_keep_nobody_else_waiting() {
    let home = Home::new(&format!("{PLAIN}max_requests = 1024\n{CALLERS}"));
    let text = std::fs::read_to_string(home.config()).unwrap();
    let text = text.replace("reload = \"off\"", "reload = \"off\"\nstate_dir = \"state\"");
    std::fs::write(home.config(), text.replace("HASH", &Shop::hash("the key of portal"))).unwrap();
    let served = home.serve();
    std::fs::create_dir_all(home.path("keystores/state")).unwrap();
    let lock = Lock::take(&home.path("keystores/state/lock")).unwrap();
    let ask = |method: &str, what: &str, more: &str| {
        let label = "am.services.oauth2.oidc.signing.ES256";
        format!(
            "{method} /v1/labels/{label}/{what} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{more}"
        )
    };
    let portal = "authorization: Bearer the key of portal\r\n";
    let stage =
        ask("POST", "stage", &format!("{portal}content-length: 13\r\n\r\n{{\"alias\":\"x\"}}"));
    // More than the runtime has threads.
    let held: Vec<TcpStream> = (0..600)
        .map(|_| {
            let mut stream = served.connect();
            stream.write_all(stage.as_bytes()).unwrap();
            stream
        })
        .collect();
    let begun = Instant::now();
    let history = ask("GET", "history", "\r\n");
    let sign = ask("POST", "sign", "content-length: 13\r\n\r\n{\"claims\":{}}");
    for _ in 0..10 {
        for others in [&history, &sign] {
            let text = served.exchange(others.as_bytes());
            assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
        }
    }
    // A minute later they would have given up by themselves.
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    drop(lock);
    let answers = held.into_iter().map(|mut stream| rest(&mut stream));
    for text in answers.take(20) {
        assert!(text.starts_with("HTTP/1.1 404 ") || text.starts_with("HTTP/1.1 503 "), "{text}");
    }
}

/// Everybody may read, the portal may stage.
const CALLERS: &str = "\n[[callers]]\nname = \"portal\"\napi_key_sha256 = \"HASH\"\n\n\
    [[grants]]\ncallers = [\"portal\"]\nrights = [\"stage\"]\nlabels = [\"*\"]\n\n\
    [[grants]]\ncallers = [\"anybody\"]\nrights = [\"read\"]\nlabels = [\"*\"]\n";
