//! The Rust client before what is not the service: mistaken addresses and certificates, proxies, servers that go away.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use claviger::client::{Client, ClientError};
use serde_json::{Value, json};

use super::process::{Home, PLAIN, Served};
use super::shop::ES256;

/// Answers each request on loopback with the same bytes, and keeps the heads.
struct Fake {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Fake {
    fn answering(answer: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let (answer, kept) = (answer.to_owned(), Arc::clone(&heads));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, answer, kept) = (stream.unwrap(), answer.clone(), Arc::clone(&kept));
                std::thread::spawn(move || serve(stream, &answer, &kept));
            }
        });
        Self { address, heads }
    }

    fn json(status: &str, content_type: &str, body: &str) -> Self {
        let length = body.len();
        Self::answering(&format!(
            "HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n\r\n{body}"
        ))
    }

    fn client(&self) -> Client {
        let url = format!("http://{}", self.address);
        Client::builder(&url).bearer("the key of portal").unwrap().build().unwrap()
    }

    fn count(&self) -> usize {
        self.heads.lock().unwrap().len()
    }
}

fn serve(stream: TcpStream, answer: &str, heads: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(stream);
    loop {
        let (mut head, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if let Some(text) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = text.trim().parse().unwrap();
            }
            if line == "\r\n" {
                break;
            }
            head.push_str(&line);
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        heads.lock().unwrap().push(head);
        if answer.is_empty() || reader.get_mut().write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

fn unexpected<T: std::fmt::Debug>(answer: Result<T, ClientError>, part: &str) {
    let error = answer.unwrap_err();
    assert_eq!(error.code(), "unexpected", "{error}");
    assert!(error.to_string().contains(part), "{error}");
}

/// A gateway refuses with JSON of its own; a page of a login stands where the service was.
#[test]
fn what_another_server_refuses_is_no_answer_of_the_service() {
    for (status, code) in [
        ("401 Unauthorized", "401"),
        ("403 Forbidden", "403"),
        ("404 Not Found", "404"),
        ("500 Internal Server Error", "500"),
        ("502 Bad Gateway", "502"),
        ("302 Found", "302"),
    ] {
        let fake = Fake::json(status, "application/json", r#"{"message":"no","active":true}"#);
        let client = fake.client();
        let label = client.label(ES256).unwrap();
        unexpected(client.post::<Value>("/v1/oidc/id-token/verify", None, &json!({})), code);
        unexpected(label.explain(), code);
        unexpected(label.history(None), code);
        unexpected(client.verify_history(None), code);
        unexpected(label.sign(b"x"), code);
    }
    let readiness = r#"{"ready":false,"reasons":["reload_refused"]}"#;
    let fake = Fake::json("503 Service Unavailable", "application/json", readiness);
    assert!(!fake.client().readiness().unwrap().ready);
    let fake = Fake::json("403 Forbidden", "application/json", r#"{"ready":true,"reasons":[]}"#);
    unexpected(fake.client().readiness(), "403");
    let fake = Fake::json("200 OK", "text/html", "<html>sign in</html>");
    unexpected(fake.client().status(), "text/html");
}

#[test]
fn a_key_set_is_one_that_was_asked_for() {
    let answer = |status: &str, more: &str, body: &str| {
        let length = body.len();
        Fake::answering(&format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/jwk-set+json\r\n{more}content-length: {length}\r\n\r\n{body}"
        ))
    };
    let keys = r#"{"keys":[]}"#;
    // What proxies add and leave out.
    for (more, seconds) in [
        ("cache-control: public, max-age=60, must-revalidate\r\n", 60),
        ("cache-control: s-maxage=7, max-age=\"60\"\r\n", 60),
        ("cache-control: max-age=60, no-cache\r\n", 0),
        ("cache-control: no-store\r\n", 0),
        ("", 0),
    ] {
        let fake = answer("200 OK", more, keys);
        let found = fake.client().provider_jwks(None, None).unwrap().unwrap();
        assert_eq!((found.json.as_str(), found.max_age.as_secs()), (keys, seconds), "{more}");
    }
    let cached = "cache-control: max-age=60\r\netag: \"a\"\r\n";
    let fake = answer("304 Not Modified", cached, "");
    assert!(fake.client().provider_jwks(None, Some("\"a\"")).unwrap().is_none());
    unexpected(fake.client().provider_jwks(None, None), "304");
    for body in ["", "[]", "{\"message\":\"no\"}", "<html>"] {
        unexpected(answer("200 OK", cached, body).client().provider_jwks(None, None), "key set");
    }
    let client = fake.client();
    let broken = client.provider_jwks(None, Some("a\nb")).unwrap_err();
    assert_eq!(broken.code(), "setup", "{broken}");
    unexpected(answer("500 Oops", cached, keys).client().provider_jwks(None, None), "500");
}

/// Whatever is asked is asked at the service: a path that is none would lead its credential to another host.
#[test]
fn no_path_leads_elsewhere() {
    let fake = Fake::json("200 OK", "application/json", "{}");
    let client = fake.client();
    for path in [
        "",
        "v1/status",
        "@evil.example/",
        ".evil.example/",
        "0/",
        "/v1/a?realm=b",
        "/v1/a#b",
        "/v1/a b",
    ] {
        let answer: Result<Value, _> = client.post(path, None, &json!({}));
        assert_eq!(answer.unwrap_err().code(), "setup", "{path}");
    }
    assert_eq!(fake.count(), 0);
    for url in
        ["http://localhost#a", "http://localhost/?", "http://localhost?a", "https://a.example#b/c"]
    {
        assert_eq!(Client::builder(url).build().unwrap_err().code(), "setup", "{url}");
    }
}

/// Schemes have no case (RFC 3986 §3.1), and neither trust nor certificates depend on how one is written.
#[test]
fn a_scheme_in_capitals_is_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::starter(folder.path());
    let read = |name: &str| std::fs::read(folder.path().join("tls").join(name)).unwrap();
    let url = format!("HTTPS://localhost:{}/", served.port());
    let client = Client::builder(&url).roots_pem(&read("ca.pem")).unwrap();
    let client = client.certificate_pem(&read("admin.pem"), &read("admin.key")).unwrap();
    assert_eq!(client.build().unwrap().status().unwrap().generation, 1);
}

#[test]
fn a_certificate_is_of_its_key_or_refused_before_anything_is_asked() {
    let home = Home::new(PLAIN);
    home.authority("ca");
    home.leaf("ca", "one", "subjectAltName=URI:spiffe://a/one");
    home.leaf("ca", "two", "subjectAltName=URI:spiffe://a/two");
    let read = |name: &str| std::fs::read(home.path(name)).unwrap();
    let with = |chain: &[u8], key: &[u8]| {
        let builder = Client::builder("https://localhost:1").roots_pem(&read("ca.pem")).unwrap();
        builder.certificate_pem(chain, key).and_then(|builder| builder.build())
    };
    assert!(with(&read("one.pem"), &read("one.key")).is_ok());
    let broken = b"-----BEGIN PRIVATE KEY-----\nQQ==\n-----END PRIVATE KEY-----\n";
    let nothing = b"-----BEGIN CERTIFICATE-----\nQQ==\n-----END CERTIFICATE-----\n";
    for (chain, key) in [
        (read("one.pem"), read("two.key")),
        (read("one.pem"), broken.to_vec()),
        (nothing.to_vec(), read("one.key")),
    ] {
        assert_eq!(with(&chain, &key).unwrap_err().code(), "setup");
    }
    // Without TLS it would prove nothing.
    let plain = Client::builder("http://localhost:1");
    let plain = plain.certificate_pem(&read("one.pem"), &read("one.key")).unwrap();
    assert_eq!(plain.build().unwrap_err().code(), "setup");
}

#[test]
fn a_service_that_came_back_is_asked_without_an_error() {
    let home = Home::new("listen = [\"unix:c.sock\"]\nplain_http = true\n");
    let served = home.serve();
    let url = format!("unix:{}", home.path("c.sock").display());
    let client = Client::builder(&url).build().unwrap();
    let label = client.label(ES256).unwrap();
    assert_eq!(label.sign(b"x").unwrap().alias, "es256-a");
    drop(served);
    assert_eq!(label.sign(b"x").unwrap_err().code(), "unanswered");
    let _served = home.serve();
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let label = label.clone();
            std::thread::spawn(move || label.sign(b"x").map(|made| made.alias))
        })
        .collect();
    for thread in threads {
        assert_eq!(thread.join().unwrap().unwrap(), "es256-a");
    }
}

#[test]
fn nothing_waits_longer_than_it_is_told_to() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deaf.sock");
    // Takes none: the kernel lets some wait, and then the rest of them before they are connected.
    let listener = UnixListener::bind(&path).unwrap();
    rustix::net::listen(&listener, 1).unwrap();
    let deaf = TcpListener::bind("127.0.0.1:0").unwrap();
    let urls = [
        format!("unix:{}", path.display()),
        format!("http://{}", deaf.local_addr().unwrap()),
        format!("https://{}", deaf.local_addr().unwrap()),
    ];
    let endless = Client::builder("http://127.0.0.1:1").timeout(Duration::MAX).build().unwrap();
    assert_eq!(endless.readiness().unwrap_err().code(), "unanswered");
    for url in urls {
        let client = Client::builder(&url).timeout(Duration::from_millis(200));
        let roots = std::fs::read("keystores/openssl.pem").unwrap();
        let client = client.roots_pem(&roots).unwrap().build().unwrap();
        let started = Instant::now();
        let asked: Vec<_> = (0..4)
            .map(|_| {
                let client = client.clone();
                std::thread::spawn(move || client.readiness().unwrap_err())
            })
            .collect();
        for one in asked {
            let error = one.join().unwrap();
            assert_eq!(error.code(), "unanswered");
            assert!(error.to_string().contains("timeout"), "{error}");
        }
        assert!(started.elapsed() < Duration::from_secs(20), "{url}");
    }
}

#[test]
fn an_answer_without_an_end_is_given_up() {
    let fake = Fake::answering("");
    assert_eq!(fake.client().readiness().unwrap_err().code(), "unanswered");
    assert_eq!(fake.count(), 1);
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{";
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        stream.write_all(head.as_bytes()).unwrap();
    });
    let client = Client::builder(&url).build().unwrap();
    assert_eq!(client.readiness().unwrap_err().code(), "unanswered");
}

/// A service that refuses a large body does not read it: who sends it all the same finds the connection closed.
#[test]
fn the_refusal_of_a_large_body_is_read() {
    let home = Home::new(
        "listen = [\"127.0.0.1:0\", \"unix:c.sock\"]\nplain_http = true\n\
         [policy.limits]\nmax_token_bytes = 1000000\n",
    );
    let served = home.serve();
    let urls =
        [format!("http://{}", served.address()), format!("unix:{}", home.path("c.sock").display())];
    for url in urls {
        let client = Client::builder(&url).build().unwrap();
        let label = client.label(ES256).unwrap();
        let error = label.sign(&vec![b'x'; 3_000_000]).unwrap_err();
        assert_eq!(error.code(), "limit_exceeded", "{error}");
        let error = label.verify("x".repeat(500_000)).unwrap_err();
        assert_eq!(error.code(), "forbidden", "{error}");
        let started = Instant::now();
        for _ in 0..5 {
            assert_eq!(label.sign(&vec![b'x'; 300_000]).unwrap().alias, "es256-a");
        }
        assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    }
}

#[test]
fn no_token_is_shown() {
    let body = r#"{"token":"e.y.J","alias":"a","kid":"k"}"#;
    let label = Fake::json("200 OK", "application/json", body).client().label(ES256).unwrap();
    let made = label.sign(b"x").unwrap();
    assert!(!format!("{made:?}").contains("e.y.J"), "{made:?}");
    assert_eq!(made.token.to_string(), "e.y.J");
    let builder = format!("{:?}", Client::builder("https://u:secret@a.example"));
    assert!(!builder.contains("secret"), "{builder}");
}
