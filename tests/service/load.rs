//! Load generators of others while keys rotate: h2load over HTTP/1.1 and HTTP/2, curl with a client certificate.

use std::fs::File;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::process::Served;

const LABEL: &str = "am.services.oauth2.oidc.signing.ES256";
const ALIASES: [&str; 2] = ["es256-1", "es256-2"];
const KEY: &str = "a key for load generators alone";

/// What `claviger init` makes, served over TLS; its administrator rotates, a caller with an API key verifies.
struct House {
    folder: tempfile::TempDir,
    served: Served,
    turns: usize,
}

impl House {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let claviger = env!("CARGO_BIN_EXE_claviger");
        let made = Command::new(claviger).arg("init").arg(folder.path()).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        let file = folder.path().join("claviger.toml");
        let mut text = std::fs::read_to_string(&file).unwrap();
        text += &format!(
            "\n[[callers]]\nname = \"load\"\napi_key_sha256 = \"{}\"\n\n[[grants]]\ncallers = [\"load\"]\n\
             rights = [\"verify\"]\nlabels = [\"{LABEL}\"]\n",
            super::shop::Shop::hash(KEY)
        );
        std::fs::write(&file, text).unwrap();
        let mut command = Command::new(claviger);
        command.args(["serve", "--listen", "127.0.0.1:0"]).current_dir(folder.path());
        let served = Served::start(command);
        Self { folder, served, turns: 0 }
    }

    fn url(&self, what: &str) -> String {
        format!("https://localhost:{}/v1/labels/{LABEL}/{what}", self.served.port())
    }

    /// curl as the administrator.
    fn curl(&self) -> Command {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--cacert", "tls/ca.pem", "--cert", "tls/admin.pem"])
            .args(["--key", "tls/admin.key"])
            .current_dir(self.folder.path());
        curl
    }

    fn post(&self, what: &str, body: &Value) -> Value {
        let got = self.curl().args(["--json", &body.to_string(), &self.url(what)]).output();
        serde_json::from_slice(&got.unwrap().stdout).unwrap()
    }

    /// Writes what a generator sends: a token that another alias than the active one made, sooner or later.
    fn write_body(&self) {
        let token = self.post("sign", &json!({"claims": {"sub": "alice"}}))["token"].clone();
        let body = json!({ "token": token }).to_string();
        std::fs::write(self.folder.path().join("body.json"), body).unwrap();
    }

    /// Lets the other alias act.
    fn rotate(&mut self) {
        self.turns += 1;
        let mut aliases = ALIASES;
        aliases.rotate_left(self.turns % 2);
        let told = self.post("reorder", &json!({"aliases": aliases, "now": true}));
        assert_eq!((&told["done"], &told["not_taken"]), (&json!(true), &Value::Null), "{told}");
        assert_eq!(self.post("sign", &json!({"text": "x"}))["alias"], json!(aliases[0]));
    }

    /// Runs a generator while keys rotate, and once more as long as they have done so too seldom; each run is checked.
    /// Answers how often it ran and how often keys rotated.
    fn under_rotation(
        &mut self,
        generator: impl Fn(&Self) -> Command,
        check: impl Fn(&str),
    ) -> (usize, usize) {
        let (before, output) = (self.turns, self.folder.path().join("told"));
        let mut runs = 0;
        while self.turns - before < 4 {
            let file = File::create(&output).unwrap();
            let mut command = generator(self);
            command.current_dir(self.folder.path()).stdout(file).stderr(Stdio::inherit());
            let mut running: Child = command.spawn().unwrap();
            let ended = loop {
                match running.try_wait().unwrap() {
                    Some(ended) => break ended,
                    None => self.rotate(),
                }
            };
            let told = std::fs::read_to_string(&output).unwrap();
            assert!(ended.success(), "{told}");
            check(&told);
            runs += 1;
        }
        (runs, self.turns - before)
    }
}

fn is_there(program: &str) -> bool {
    let found = Command::new(program).arg("--version").stdout(Stdio::null()).status().is_ok();
    assert!(found || std::env::var_os("CI").is_none(), "{program} is missing: sh scripts/setup.sh");
    found
}

#[test]
fn no_verification_fails_under_load_while_keys_rotate() {
    if !is_there("h2load") {
        println!("h2load is not installed: sh scripts/setup.sh installs it");
        return;
    }
    let mut house = House::new();
    house.write_body();
    for (version, arguments) in [("http/1.1", &["--h1", "-m", "1"][..]), ("h2", &["-m", "10"])] {
        let h2load = |house: &House| {
            let mut h2load = Command::new("h2load");
            h2load
                .args(["-n", "2000", "-c", "4", "-d", "body.json", "-H"])
                .arg(format!("authorization: Bearer {KEY}"))
                .args(arguments)
                .arg(house.url("verify"));
            h2load
        };
        let (runs, turns) = house.under_rotation(h2load, |told| {
            for line in [
                &format!("Application protocol: {version}"),
                "2000 done, 2000 succeeded, 0 failed, 0 errored, 0 timeout",
                "status codes: 2000 2xx, 0 3xx, 0 4xx, 0 5xx",
            ] {
                assert!(told.contains(line), "{line}\n{told}");
            }
        });
        println!("{version}: {runs} runs, keys rotated {turns} times");
    }
}

#[test]
fn no_verification_fails_for_clients_with_certificates_while_keys_rotate() {
    let mut house = House::new();
    house.write_body();
    for (version, line) in [("--http1.1", "1.1 200 "), ("--http2", "2 200 ")] {
        let curl = |house: &House| {
            let mut curl = house.curl();
            // The fragment makes many of one URL and is not sent.
            curl.args(["--parallel", "--parallel-max", "8", "--no-progress-meter", version])
                .args(["--json", "@body.json", "--output", "/dev/null", "--write-out"])
                .args(["%{http_version} %{http_code} %{errormsg}\\n"])
                .arg(format!("{}#[1-500]", house.url("verify")));
            curl
        };
        let (runs, turns) = house.under_rotation(curl, |told| {
            assert_eq!(told.lines().count(), 500);
            assert!(told.lines().all(|one| one == line), "{told}");
        });
        println!("{version}: {runs} runs, keys rotated {turns} times");
    }
}
