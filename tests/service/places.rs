//! Places for connections: nobody keeps others out by holding all of them and saying nothing.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use rustix::net::sockopt::set_socket_recv_buffer_size;
use serde_json::json;

use crate::process::{BOTH, Home, LONG, PLAIN, Served};
use crate::tls_client::{Http2Client, TlsClient};

const SIGN: &str = "/v1/labels/am.services.oauth2.oidc.signing.ES256/sign";
/// No time-out makes room in these tests.
const PATIENT: &str = "max_connections = 4\nhandshake_timeout = \"1h\"\nheader_timeout = \"1h\"\n\
    body_timeout = \"1h\"\nidle_timeout = \"1h\"\n";

/// One request over plain HTTP; the connection is kept.
fn ask(stream: &mut BufReader<TcpStream>) -> std::io::Result<String> {
    stream.get_mut().write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")?;
    let (mut head, mut body) = (String::new(), [0; 3]);
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    stream.read_exact(&mut body)?;
    Ok(head)
}

fn plain(served: &Served, bytes: &[u8]) -> TcpStream {
    let mut stream = served.connect();
    stream.write_all(bytes).unwrap();
    stream
}

fn is_over(mut stream: TcpStream) -> bool {
    // What is left to read of an answer, then the end.
    stream.read_to_end(&mut Vec::new()).is_ok()
}

#[test]
fn whoever_holds_all_places_and_says_nothing_keeps_nobody_out() {
    let home = Home::new(&format!("{PLAIN}{PATIENT}"));
    let served = home.serve();
    let url = format!("http://{}/healthz", served.address());
    let head = b"GET /healthz HTTP/1.1\r\nhost: x\r\n";
    for said in [
        &b""[..],
        b"G",
        head,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n",
        // It reads nothing of so many answers.
        &[head, &b"\r\n"[..]].concat().repeat(100),
    ] {
        let held: Vec<TcpStream> = (0..4).map(|_| plain(&served, said)).collect();
        for _ in 0..8 {
            assert_eq!(home.curl(&["--max-time", "10", &url]), "ok\n", "{said:?}");
        }
        drop(held);
    }
    // A byte now and then is nothing said, either.
    let mut held: Vec<TcpStream> = (0..4).map(|_| plain(&served, head)).collect();
    std::thread::scope(|scope| {
        let drip = scope.spawn(move || {
            while held.iter_mut().any(|one| one.write_all(b"x: 1\r\n").is_ok()) {
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        for _ in 0..8 {
            assert_eq!(home.curl(&["--max-time", "10", &url]), "ok\n");
        }
        drop(drip);
        drop(served);
    });
}

#[test]
fn nor_does_who_holds_them_before_tls_and_after() {
    let home = Home::new(&format!("{BOTH}{PATIENT}"));
    let served = home.serve();
    let url = format!("https://localhost:{}/healthz", served.port());
    let reached = |what: &str| {
        for _ in 0..8 {
            assert_eq!(home.curl(&["--max-time", "10", &url]), "ok\n", "{what}");
        }
    };
    let hello = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
    let silent: Vec<TcpStream> = (0..4).map(|_| plain(&served, &hello)).collect();
    reached("a handshake that does not go on");
    drop(silent);
    let tls = || TlsClient::connect(&home, &served, None).unwrap();
    let shaken: Vec<TlsClient> = (0..4).map(|_| tls()).collect();
    reached("no request");
    drop(shaken);
    let http2 = || Http2Client::connect(&home, &served, None).unwrap();
    let mut held: Vec<Http2Client> = (0..4).map(|_| http2()).collect();
    for one in held.iter_mut().take(2) {
        assert_eq!(one.post(SIGN, &json!({"claims": {}})).unwrap()["alias"], json!("es256-a"));
    }
    reached("HTTP/2");
    // It came before the two were answered, and asked nothing.
    assert!(held[2].is_closed());
}

#[test]
fn the_longest_silent_goes_first_and_nobody_goes_without_need() {
    let home = Home::new(&format!("{PLAIN}{PATIENT}"));
    let served = home.serve();
    let mut used = BufReader::new(served.connect());
    ask(&mut used).unwrap();
    let [first, second, third] = [(); 3].map(|()| {
        std::thread::sleep(Duration::from_millis(20));
        plain(&served, b"")
    });
    std::thread::sleep(Duration::from_millis(20));
    // It was there before the others, and has said something since.
    ask(&mut used).unwrap();
    let _fourth = plain(&served, b"");
    assert!(is_over(first));
    let _fifth = plain(&served, b"");
    assert!(is_over(second));
    ask(&mut used).unwrap();
    third.set_nonblocking(true).unwrap();
    let waits = (&third).read(&mut [0]).unwrap_err();
    assert_eq!(waits.kind(), std::io::ErrorKind::WouldBlock);
}

#[test]
fn who_reads_a_long_answer_is_not_silent() {
    let home = Home::new(&format!("{PLAIN}{PATIENT}max_body_bytes = 16777216\n"));
    let served = home.serve();
    // More than the buffers of both ends hold, of which one is small.
    let items = vec![json!({ "text": "x".repeat(12 << 10) }); 1_000];
    let body = json!({ "items": items }).to_string();
    let head =
        format!("POST {SIGN}/batch HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", body.len());
    let mut reader = BufReader::new(plain(&served, head.as_bytes()));
    set_socket_recv_buffer_size(reader.get_ref(), 64 << 10).unwrap();
    reader.get_mut().write_all(body.as_bytes()).unwrap();
    let (mut line, mut left) = (String::new(), 0);
    while line != "\r\n" {
        line.clear();
        reader.read_line(&mut line).unwrap();
        left = line.strip_prefix("content-length: ").map_or(left, |n| n.trim().parse().unwrap());
    }
    let pause = || std::thread::sleep(Duration::from_millis(20));
    let [first, second, third] = [(); 3].map(|()| {
        pause();
        plain(&served, b"")
    });
    let (mut some, mut others) = (vec![0; 2 << 20], Vec::new());
    for silent in [first, second, third] {
        pause();
        reader.read_exact(&mut some).unwrap();
        left -= some.len();
        pause();
        let mut next = BufReader::new(served.connect());
        ask(&mut next).unwrap();
        assert!(is_over(silent));
        others.push(next);
    }
    let mut rest = vec![0; left];
    reader.read_exact(&mut rest).unwrap();
    assert!(rest.ends_with(b"}"));
}

#[test]
fn who_is_being_answered_keeps_its_place_and_the_next_one_waits_for_it() {
    let home = Home::new(&format!("{PLAIN}{PATIENT}"));
    let served = home.serve();
    let head = format!(
        "POST {SIGN} HTTP/1.1\r\nhost: x\r\ncontent-length: 13\r\nexpect: 100-continue\r\n\r\n"
    );
    let mut held: Vec<TcpStream> = (0..4)
        .map(|_| {
            let mut one = plain(&served, head.as_bytes());
            one.read_exact(&mut [0; "HTTP/1.1 100 Continue\r\n\r\n".len()]).unwrap();
            one
        })
        .collect();
    let ask = b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let mut waits = plain(&served, ask);
    waits.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    assert!(waits.read(&mut [0]).is_err(), "it is served though all places are taken");
    waits.set_read_timeout(Some(LONG)).unwrap();
    let mut answered = held.remove(0);
    answered.write_all(br#"{"claims":{}}"#).unwrap();
    let mut text = String::new();
    waits.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
    // The one that was answered rests since, and made room.
    text.clear();
    answered.read_to_string(&mut text).unwrap();
    assert!(text.contains("es256-a"), "{text}");
}
