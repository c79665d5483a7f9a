//! Spans over OTLP, decoded by the protobuf classes of OpenTelemetry itself (PyPI's `opentelemetry-proto`).

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use super::process::{Home, PLAIN, Served};

const LABEL: &str = "am.services.oauth2.oidc.signing.ES256";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// The receiver; it ends with the test.
struct Receiver {
    process: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
    port: String,
}

impl Receiver {
    fn start() -> Option<Self> {
        let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let python = root.join(target).join("interop/venv/bin/python");
        if !python.is_file() {
            assert!(std::env::var_os("CI").is_none(), "{python:?} is missing: sh scripts/setup.sh");
            return None;
        }
        let mut command = Command::new(python);
        command.arg(root.join("tests/interop/otlp_receiver.py")).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let port = lines.next().unwrap().unwrap();
        Some(Self { process, lines, port })
    }

    fn next(&mut self) -> Value {
        serde_json::from_str(&self.lines.next().unwrap().unwrap()).unwrap()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn ask(served: &Served, path: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    served.exchange(
        format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
        )
        .as_bytes(),
    )
}

#[test]
fn a_request_is_a_span_with_route_label_and_outcome_and_nothing_secret() {
    let Some(mut receiver) = Receiver::start() else {
        println!("the Python peers are not installed: sh scripts/setup.sh installs them");
        return;
    };
    let home = Home::new(PLAIN);
    let mut command = home.command();
    command
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://127.0.0.1:{}", receiver.port))
        .env("OTEL_EXPORTER_OTLP_HEADERS", "x-who=test")
        .env("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=tests");
    let mut served = Served::start(command);
    let path = format!("/v1/labels/{LABEL}/sign?realm=alpha");
    let secret = "a-payload-of-nobody";
    let parent = format!("traceparent: 00-{TRACE}-{PARENT}-01\r\n");
    let answer = ask(&served, &path, &parent, &json!({ "text": secret }).to_string());
    assert!(
        answer.starts_with("HTTP/1.1 403 "),
        "anybody may sign in the root realm alone: {answer}"
    );
    let path = format!("/v1/labels/{LABEL}/sign");
    let answer = ask(&served, &path, &parent, &json!({ "text": secret }).to_string());
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let token = answer.split(r#""token":""#).nth(1).unwrap().split('"').next().unwrap();
    ask(&served, "/v1/invented-by-a-caller", "authorization: Bearer a-key-of-nobody\r\n", "{}");
    // What is left is sent before the end.
    served.signal("TERM");
    assert!(served.ended().success());
    let spans: Vec<Value> = (0..3).map(|_| receiver.next()).collect();
    let [refused, signed, unknown] = &spans[..] else { panic!("{spans:?}") };
    for span in [refused, signed] {
        assert_eq!(span["name"], "POST /v1/labels/{label}/sign");
        assert_eq!((&span["trace"], &span["parent"]), (&json!(TRACE), &json!(PARENT)), "{span}");
    }
    assert_eq!(
        signed["attributes"],
        json!({"http.request.method": "POST", "http.route": "/v1/labels/{label}/sign",
            "http.response.status_code": 200, "claviger.outcome": "ok", "claviger.label": LABEL})
    );
    // SERVER; no error; it took a time.
    assert_eq!(
        (&signed["kind"], &signed["status"], &signed["events"]),
        (&json!(2), &json!(0), &json!(0))
    );
    assert!(signed["took"].as_u64().unwrap() > 0);
    assert_eq!(refused["attributes"]["claviger.outcome"], "forbidden");
    assert_eq!(unknown["name"], "POST");
    assert_eq!(
        (&unknown["parent"], &unknown["attributes"]["claviger.outcome"]),
        (&json!(""), &json!("unknown_route"))
    );
    assert_ne!(unknown["trace"], TRACE);
    assert_eq!(signed["resource"]["service.name"], "claviger");
    assert_eq!(signed["resource"]["deployment.environment.name"], "tests");
    assert_eq!(signed["who"], "test");
    let all = json!(spans).to_string();
    for hidden in [secret, token, "invented-by-a-caller", "a-key-of-nobody"] {
        assert!(!all.contains(hidden), "{hidden}: {all}");
    }
}

#[test]
fn a_collector_that_is_away_keeps_no_request_back() {
    let home = Home::new(PLAIN);
    let mut command = home.command();
    command
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
        .env("OTEL_BSP_SCHEDULE_DELAY", "100");
    let mut served = Served::start(command);
    assert!(served.is_well());
    served.wait_for("spans are not taken by the collector");
    assert!(served.is_well());
    served.signal("TERM");
    assert!(served.ended().success());
}
