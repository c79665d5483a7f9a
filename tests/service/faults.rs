//! Faults around the service: each leaves a server that answers.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use claviger::access::Right;
use claviger::clock::Clock;
use claviger::journal::{Event, Journal};
use serde_json::{Value, json};

use crate::process::{Home, LONG, PLAIN, Served};
use crate::running::{Running, granting};
use crate::shop::Shop;

const LABEL: &str = "am.services.oauth2.oidc.signing.ES256";

#[test]
fn without_descriptors_it_waits_and_goes_on_once_there_are_some() {
    let home = Home::new(PLAIN);
    let own = home.command();
    let mut command = Command::new("prlimit");
    command.args(["--nofile=40:40", "--"]).arg(own.get_program()).args(own.get_args());
    let mut served = Served::start(command);
    let held: Vec<TcpStream> = (0..80).map(|_| served.connect()).collect();
    served.wait_for("no connection is accepted");
    // It pauses between tries: a loop that spins would have used most of a second.
    let before = processor_time(&served);
    std::thread::sleep(Duration::from_secs(2));
    let used = processor_time(&served) - before;
    assert!(used < 50, "{used} hundredths of a second in two");
    // Who holds them and says nothing makes room.
    assert!(served.is_well());
    drop(held);
    assert!(served.is_well() && served.runs());
}

/// Hundredths of a second that a process has used (proc(5), fields 14 and 15).
fn processor_time(served: &Served) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", served.id())).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    fields[11..13].iter().map(|field| field.parse::<u64>().unwrap()).sum()
}

#[test]
fn a_server_that_is_killed_under_load_starts_again_on_its_port() {
    let home = Home::new(PLAIN);
    let first = home.serve();
    let address = first.address();
    home.configure(&format!("listen = [\"{address}\"]\nplain_http = true\n"));
    let url = format!("http://{address}/v1/labels/{LABEL}/sign");
    let ask = ["--json", r#"{"claims":{}}"#, &url];
    std::thread::scope(|scope| {
        let load = || {
            let until = Instant::now() + LONG;
            let mut answered = 0;
            // Answers before and after; while it is down there are none.
            while answered < 40 && Instant::now() < until {
                let answer = home.curl(&ask);
                assert!(answer.is_empty() || answer.contains("es256-a"), "{answer}");
                answered += u32::from(!answer.is_empty());
            }
            answered
        };
        let clients = [scope.spawn(load), scope.spawn(load)];
        std::thread::sleep(Duration::from_millis(300));
        first.signal("KILL");
        drop(first);
        let second = home.serve();
        assert_eq!(second.address(), address);
        for client in clients {
            assert_eq!(client.join().unwrap(), 40);
        }
    });
}

#[test]
fn a_clock_that_jumps_by_an_hour_stops_nothing() {
    static OFFSET: AtomicI64 = AtomicI64::new(0);
    let clock = Clock::from_fn(|| {
        let offset = OFFSET.load(Ordering::Relaxed);
        let jump = Duration::from_secs(offset.unsigned_abs());
        let now = Clock::system().now();
        if offset < 0 { now - jump } else { now + jump }
    });
    let rights = [Right::Sign, Right::Verify, Right::Keys, Right::Metrics];
    let running = Running::with_clock(granting(&rights), clock.clone());
    let key = Some("the key of portal");
    let path = |what: &str| format!("/v1/labels/{LABEL}/{what}");
    let seconds =
        |clock: &Clock| clock.now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    for offset in [0, 3_600, -3_600, 0] {
        OFFSET.store(offset, Ordering::Relaxed);
        let claims = json!({ "claims": { "sub": "a", "exp": seconds(&clock) + 60 } });
        let (status, signed) = running.post(&path("sign"), key, &claims);
        assert_eq!(status, 200, "{offset}: {signed}");
        let token = json!({ "token": signed["token"] });
        let (status, verified) = running.post(&path("verify"), key, &token);
        assert_eq!(status, 200, "{offset}: {verified}");
        for path in ["/healthz", "/readyz", "/metrics", "/.well-known/jwks.json"] {
            let (status, text) = running.get(path, key);
            assert_eq!(status, 200, "{offset} {path}: {text}");
        }
    }
}

/// One request over a connection of its own; `None` if the server goes meanwhile.
fn ask(address: SocketAddr, method: &str, path: &str, body: &Value) -> Option<(u16, Value)> {
    let body = body.to_string();
    let mut stream = TcpStream::connect(address).ok()?;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer the key of portal\r\n"
    );
    write!(stream, "{head}content-length: {}\r\n\r\n{body}", body.len()).ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    Some((status, serde_json::from_str(body).ok()?))
}

/// The aliases of the label as a server has them.
fn order(served: &Served) -> Vec<String> {
    let (_, label) =
        ask(served.address(), "GET", &format!("/v1/labels/{LABEL}"), &json!({})).unwrap();
    let keys = label["aliases"].as_array().unwrap_or_else(|| panic!("{label}"));
    keys.iter().map(|key| key["alias"].as_str().unwrap().to_owned()).collect()
}

/// Steps until the server is killed: the order that was answered last, and the one that was asked for after it.
fn steps(address: SocketAddr, mut last: Vec<String>) -> (Vec<String>, Vec<String>, usize) {
    let mut answered = 0;
    loop {
        let next: Vec<String> = last.iter().rev().cloned().collect();
        let body = json!({"aliases": next, "now": true});
        match ask(address, "POST", &format!("/v1/labels/{LABEL}/reorder"), &body) {
            Some((200, _)) => (last, answered) = (next, answered + 1),
            Some((status, problem)) => panic!("{status} {problem}"),
            None => return (last, next, answered),
        }
    }
}

#[test]
fn killed_in_the_midst_of_steps_it_has_done_each_whole_or_not_at_all() {
    let home = Home::new(PLAIN);
    let text = std::fs::read_to_string(home.config()).unwrap();
    let text = text.replace("reload = \"off\"", "reload = \"off\"\nstate_dir = \"state\"");
    let hash = Shop::hash("the key of portal");
    let portal = format!(
        "[[callers]]\nname = \"portal\"\napi_key_sha256 = \"{hash}\"\n[[grants]]\ncallers = [\"portal\"]\n\
         rights = [\"reorder\", \"read\", \"sign\", \"verify\"]\nlabels = [\"*\"]\n"
    );
    std::fs::write(home.config(), format!("{text}{portal}")).unwrap();
    let (mut known, mut done) = (Vec::new(), 0);
    for round in 0..6_u64 {
        let served = home.serve();
        let found = order(&served);
        assert!(round == 0 || known.contains(&found), "{found:?} is none of {known:?}");
        let address = served.address();
        std::thread::scope(|scope| {
            let steps = scope.spawn(|| steps(address, found.clone()));
            let uses = scope.spawn(|| {
                let path = |what: &str| format!("/v1/labels/{LABEL}/{what}");
                while let Some((status, signed)) =
                    ask(address, "POST", &path("sign"), &json!({"claims": {}}))
                {
                    assert_eq!(status, 200, "{signed}");
                    let token = json!({"token": signed["token"]});
                    let checked = ask(address, "POST", &path("verify"), &token);
                    assert!(checked.as_ref().is_none_or(|one| one.0 == 200), "{checked:?}");
                }
            });
            std::thread::sleep(Duration::from_millis(400 + 130 * round));
            served.signal("KILL");
            uses.join().unwrap();
            let (last, next, answered) = steps.join().unwrap();
            known = vec![last, next];
            done += answered;
        });
    }
    let served = home.serve();
    assert!(known.contains(&order(&served)), "{known:?}");
    let history = Journal::of(&home.path("keystores/state")).read().unwrap();
    assert!(history.broken.is_none(), "{:?}", history.broken);
    let reordered = history.records.iter().filter(|record| record.event == Event::Done).count();
    // What was answered is in the journal; the last step of each round may be there as well.
    assert!((done..=done + 6).contains(&reordered), "{done} answered, {reordered} recorded");
    assert!(done > 0);
}
