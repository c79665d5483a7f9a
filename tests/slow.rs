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

/// TLS connections that were answered once and rest; the server goes on, and its memory is printed.
#[test]
#[cfg(feature = "service")]
fn thousands_of_connections_at_rest_leave_a_server_that_answers() {
    use std::io::{Read, Write};
    use std::net::TcpStream;

    use openssl::ssl::{SslConnector, SslMethod, SslVerifyMode};
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    // CLAVIGER_CONNECTIONS=10000 takes some minutes, and as many open files.
    let connections =
        std::env::var("CLAVIGER_CONNECTIONS").map_or(1_000, |count| count.parse().unwrap());
    let open_files = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: open_files.maximum, ..open_files }).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let claviger = env!("CARGO_BIN_EXE_claviger");
    let made = Command::new(claviger).arg("init").arg(folder.path()).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    let config = folder.path().join("claviger.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let longer = text.replace("[service]\n", "[service]\nidle_timeout = \"1h\"\n");
    std::fs::write(&config, longer).unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("127.0.0.1:{port}");
    let mut server = Command::new(claviger)
        .arg("-c")
        .arg(&config)
        .args(["serve", "--listen", &address])
        .spawn()
        .unwrap();
    let memory = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap()
    };
    let mut connector = SslConnector::builder(SslMethod::tls()).unwrap();
    connector.set_verify(SslVerifyMode::NONE);
    let connector = connector.build();
    let connect = || {
        let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
        let stream = loop {
            match TcpStream::connect(&address) {
                Ok(stream) => break stream,
                Err(error) => assert!(std::time::Instant::now() < until, "{error}"),
            }
        };
        let mut stream = connector.connect("localhost", stream).unwrap();
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
    drop(server.kill());
    drop(server.wait());
}
