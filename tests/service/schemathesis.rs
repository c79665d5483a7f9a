//! Schemathesis (PyPI) against the OpenAPI document: no server error, every answer as documented.

use std::path::Path;
use std::process::Command;

use claviger::Keyring;
use claviger::access::Right;
use claviger::clock::Clock;
use claviger::crypto::sha256;
use claviger::service::{Limits, Service};

use super::running::Running;

const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
    response_schema_conformance,response_headers_conformance,unsupported_method,ignored_auth";

/// The starter of `claviger init`, with one caller who has every right to everything.
fn starter(directory: &Path, key: &str) -> Keyring {
    claviger::starter::create(directory, Clock::system().now()).unwrap();
    let file = directory.join("claviger.toml");
    let rights: Vec<String> = Right::ALL.iter().map(|right| format!("\"{right}\"")).collect();
    let hash: String = sha256(key.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    let mut text = std::fs::read_to_string(&file).unwrap();
    text.push_str(&format!(
        "\n[[callers]]\nname = \"schemathesis\"\napi_key_sha256 = \"{hash}\"\n\n[[grants]]\n\
         callers = [\"schemathesis\"]\nrights = [{}]\nlabels = [\"*\"]\nrealms = [\"*\"]\n",
        rights.join(", ")
    ));
    std::fs::write(&file, text).unwrap();
    Keyring::open(&file).unwrap()
}

#[test]
fn no_request_makes_a_server_error_and_every_answer_is_as_documented() {
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    // The program runs in another folder.
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join(target);
    let program = target.join("interop/venv/bin/schemathesis");
    if !program.is_file() {
        assert!(std::env::var_os("CI").is_none(), "{program:?} is missing: sh scripts/setup.sh");
        println!("schemathesis is not installed: sh scripts/setup.sh installs it");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let key = "a key for schemathesis alone, of this test";
    let running = Running::of(Service::new(
        starter(directory.path(), key),
        Clock::system(),
        Limits::default(),
    ));
    let refusing = format!("{CHECKS},negative_data_rejection");
    // An item of a batch that is of another form is refused by itself, and the batch is done.
    for (paths, checks) in
        [("--exclude-path-regex", refusing.as_str()), ("--include-path-regex", CHECKS)]
    {
        let output = Command::new(&program)
            .current_dir(directory.path())
            .arg("run")
            .arg(format!("http://{}/openapi.json", running.address))
            .args(["--header", &format!("Authorization: Bearer {key}")])
            .args([paths, "/batch$", "--checks", checks])
            .args(["--max-examples", "8", "--seed", "1", "--no-color"])
            .args(["--suppress-health-check", "all"])
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        println!("{}", text.rsplit_once("SUMMARY").map_or("", |(_, summary)| summary));
        assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    }
}
