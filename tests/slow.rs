//! Tests that take minutes: `cargo test --test slow`. They are not part of `cargo test`.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "tests")]

use std::collections::HashMap;
use std::process::Command;

/// One minute of signing and verifying while three kinds of store rotate every 200 ms. The program holds
/// each answer against what is mapped and its memory against its beginning; its history is checked here.
#[test]
fn a_minute_of_rotation_loses_nothing() {
    let output = Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--example", "soak", "--", "60"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let summary = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{summary}");
    println!("{summary}");
    let mut last: HashMap<String, u64> = HashMap::new();
    let mut kids: HashMap<(u64, String), String> = HashMap::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let seen: serde_json::Value = serde_json::from_str(line).unwrap();
        let text = |name: &str| seen.get(name).and_then(|one| one.as_str()).unwrap().to_owned();
        let generation = seen.get("generation").and_then(serde_json::Value::as_u64).unwrap();
        let before = last.insert(text("reader"), generation).unwrap_or(0);
        assert!(before <= generation, "a reader went back: {line}");
        let kid = kids.entry((generation, text("label"))).or_insert_with(|| text("kid"));
        assert_eq!(*kid, text("kid"), "two active kids in one generation: {line}");
    }
    let generations = kids.keys().map(|(generation, _)| *generation).max().expect("a history");
    assert!(last.len() > 1 && generations > 100, "{generations} generations");
}

/// `claviger serve` over what `claviger init` makes; killed when it is dropped.
#[cfg(feature = "service")]
struct Served {
    process: std::process::Child,
    address: String,
}

#[cfg(feature = "service")]
impl Served {
    /// With the configuration as `change` leaves it.
    fn start(folder: &std::path::Path, change: impl Fn(String) -> String) -> Self {
        let claviger = env!("CARGO_BIN_EXE_claviger");
        let made = Command::new(claviger).arg("init").arg(folder).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        let config = folder.join("claviger.toml");
        let text = std::fs::read_to_string(&config).unwrap();
        std::fs::write(&config, change(text)).unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let mut command = Command::new(claviger);
        command.arg("-c").arg(&config).args(["serve", "--listen", &address]);
        let served = Self { process: command.spawn().unwrap(), address };
        drop(served.connect());
        served
    }

    /// A bare connection, as soon as it listens.
    fn connect(&self) -> std::net::TcpStream {
        let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
        loop {
            match std::net::TcpStream::connect(&self.address) {
                Ok(stream) => {
                    // Else a request waits for the end of its handshake to be acknowledged.
                    stream.set_nodelay(true).unwrap();
                    return stream;
                }
                Err(error) => assert!(std::time::Instant::now() < until, "{error}"),
            }
        }
    }
}

#[cfg(feature = "service")]
impl Drop for Served {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// TLS connections that were answered once and rest; the server goes on, and its memory is printed.
#[test]
#[cfg(feature = "service")]
fn thousands_of_connections_at_rest_leave_a_server_that_answers() {
    use std::io::{Read, Write};

    use openssl::ssl::{SslConnector, SslMethod, SslVerifyMode};
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let open_files = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: open_files.maximum, ..open_files }).unwrap();
    // As many as a process may have here.
    let most = open_files.maximum.map_or(usize::MAX, |most| usize::try_from(most).unwrap());
    let connections = most.saturating_sub(256).min(10_000);
    let folder = tempfile::tempdir().unwrap();
    let longer = "[service]\nidle_timeout = \"1h\"\n";
    let server = Served::start(folder.path(), |text| text.replace("[service]\n", longer));
    let memory = || {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", server.process.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap()
    };
    let mut connector = SslConnector::builder(SslMethod::tls()).unwrap();
    connector.set_verify(SslVerifyMode::NONE);
    let connector = connector.build();
    let connect = || {
        let mut stream = connector.connect("localhost", server.connect()).unwrap();
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200");
        stream
    };
    drop(connect());
    let before = memory();
    let held: Vec<_> = (0..connections).map(|_| connect()).collect();
    let after = memory();
    drop(connect());
    let each = (after - before) * 1024 / connections;
    println!(
        "{connections} connections at rest: {before} KiB before, {after} KiB with them, {each} bytes each"
    );
    assert!(each < 128 << 10, "{each} bytes each");
    drop(held);
    drop(connect());
}

/// Two load generators of others, while another process lets keys take turns every second: h2load verifies one old token
/// over HTTP/2, wrk signs and verifies what was just signed over HTTP/1.1.
#[test]
#[cfg(feature = "service")]
fn nothing_is_refused_while_keys_rotate_every_second() {
    const LABEL: &str = "am.services.oauth2.oidc.signing.ES256";
    const KEY: &str = "a key for load generators alone";
    if std::env::var_os("CI").is_none() && Command::new("wrk").output().is_err() {
        println!("wrk is not installed: sh scripts/setup.sh installs it");
        return;
    }
    // CLAVIGER_SOAK_SECONDS=600 for longer.
    let seconds = std::env::var("CLAVIGER_SOAK_SECONDS").unwrap_or_else(|_| "40".to_owned());
    let folder = tempfile::tempdir().unwrap();
    let hash: String =
        claviger::crypto::sha256(KEY.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    let grant = format!(
        "\n[[callers]]\nname = \"load\"\napi_key_sha256 = \"{hash}\"\n\n[[grants]]\ncallers = [\"load\"]\n\
         rights = [\"sign\", \"verify\"]\nlabels = [\"{LABEL}\"]\n"
    );
    let server = Served::start(folder.path(), |text| text + &grant);
    let claviger = |arguments: &[&str]| {
        let mut claviger = Command::new(env!("CARGO_BIN_EXE_claviger"));
        claviger.args(["-c", "claviger.toml"]).args(arguments).current_dir(&folder);
        let done = claviger.output().unwrap();
        assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    };
    std::fs::write(folder.path().join("claims.json"), r#"{"sub":"alice"}"#).unwrap();
    let token = claviger(&["sign", "--label", LABEL, "--in", "claims.json"]);
    let body = serde_json::json!({ "token": token.trim() }).to_string();
    std::fs::write(folder.path().join("body.json"), body).unwrap();
    let label = format!("/v1/labels/{LABEL}");
    let start = |command: &mut Command, name: &str| {
        let file = std::fs::File::create(folder.path().join(name)).unwrap();
        command.current_dir(&folder).stdout(file).spawn().unwrap()
    };
    let address = &server.address;
    let mut h2load = Command::new("h2load");
    h2load
        .args(["-D", &seconds, "-c", "4", "-m", "10", "-d", "body.json", "-H"])
        .args([format!("authorization: Bearer {KEY}"), format!("https://{address}{label}/verify")]);
    let mut wrk = Command::new("wrk");
    wrk.args(["-t", "2", "-c", "2", "-d", &format!("{seconds}s"), "-s"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/sign_then_verify.lua"))
        .arg(format!("https://{address}/"))
        .envs([("CLAVIGER_KEY", KEY), ("CLAVIGER_LABEL", &label)]);
    let mut running = [start(&mut h2load, "h2load"), start(&mut wrk, "wrk")];
    let mut turns = 0_usize;
    while running.iter_mut().any(|one| one.try_wait().unwrap().is_none()) {
        std::thread::sleep(std::time::Duration::from_secs(1));
        let mut aliases = ["es256-2", "es256-1"];
        aliases.rotate_left(turns % 2);
        claviger(&["reorder", LABEL, aliases[0], aliases[1], "--now"]);
        turns += 1;
    }
    let told = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    let (h2load, wrk) = (told("h2load"), told("wrk"));
    let figures = |text: &str, start: &str| {
        let line = text.lines().find(|line| line.contains(start)).unwrap_or_default().to_owned();
        println!("{line}");
        line
    };
    println!("{turns} rotations");
    let requests = figures(&h2load, "requests: ");
    assert!(requests.contains(" 0 failed, 0 errored, 0 timeout"), "{h2load}");
    assert!(figures(&h2load, "status codes: ").ends_with(" 0 3xx, 0 4xx, 0 5xx"), "{h2load}");
    assert!(h2load.contains("Application protocol: h2"), "{h2load}");
    let verified = figures(&wrk, " verified, ");
    assert!(verified.ends_with(" verified, 0 refused, 0 errors"), "{wrk}");
    assert!(!verified.starts_with("0 ") && !requests.contains(" 0 succeeded"), "{wrk}{h2load}");
    assert!(turns >= 10, "{turns}");
}
