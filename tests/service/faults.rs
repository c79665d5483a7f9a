//! Faults around the service: each leaves a server that answers.

use std::net::TcpStream;
use std::process::Command;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use claviger::access::Right;
use claviger::clock::Clock;
use serde_json::json;

use crate::process::{Home, LONG, PLAIN, Served};
use crate::running::{Running, granting};

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
    let url = format!("http://{address}/v1/labels/am.services.oauth2.oidc.signing.ES256/sign");
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
    let running = Running::with_clock(granting(&[Right::Sign, Right::Verify]), clock.clone());
    let key = Some("the key of portal");
    let path = |what: &str| format!("/v1/labels/am.services.oauth2.oidc.signing.ES256/{what}");
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
    }
}
