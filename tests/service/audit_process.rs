//! Audit lines of `claviger serve` as a process: standard output, kill -9, a full disk, files that others move.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use crate::audit::Lines;
use crate::process::{Home, PLAIN, Served};

const SIGN: &str = "/v1/labels/am.services.oauth2.oidc.signing.ES256/sign";

fn home(audit: &str) -> Home {
    Home::new(&format!("{PLAIN}[service.audit]\n{audit}\n"))
}

/// The status of a signature, with this id.
fn sign(home: &Home, address: SocketAddr, id: &str) -> String {
    let url = format!("http://{address}{SIGN}");
    let id = format!("x-request-id: {id}");
    let ask = ["--output", "/dev/null", "--write-out", "%{http_code}", "--header", &id, "--json"];
    home.curl(&[&ask[..], &[r#"{"claims":{}}"#, &url]].concat())
}

fn parsed(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'), "cut short: {text}");
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn lines_go_to_standard_output_and_nothing_else_does() {
    let home = home("to = \"stdout\"\nuses = \"full\"");
    let path = home.path("stdout");
    let mut command = home.command();
    command.stdout(Stdio::from(File::create(&path).unwrap()));
    let mut served = Served::start(command);
    let mut lines = Lines::of(&path);
    assert_eq!(sign(&home, served.address(), "one"), "200");
    let line = lines.next(1).remove(0);
    assert_eq!((&line["request_id"], &line["alias"]), (&"one".into(), &"es256-a".into()));
    assert_eq!(line["caller"]["kind"], "anonymous");
    assert!(!home.curl(&[&format!("http://{}/v1/labels", served.address())]).is_empty());
    assert_eq!(lines.next(1)[0]["status"], 403);
    // Who asks by a signal is no caller; what was read is told all the same.
    let text = fs::read_to_string(home.config()).unwrap();
    fs::write(home.config(), text.replace("anybody", "everybody")).unwrap();
    served.signal("HUP");
    let line = lines.next(1).remove(0);
    assert_eq!((&line["event"], &line["outcome"]), (&"reload".into(), &"ok".into()));
    assert_eq!(sign(&home, served.address(), "two"), "200");
    served.signal("TERM");
    assert!(served.ended().success());
    assert_eq!(lines.next(1)[0]["caller"]["name"], "everybody");
}

#[test]
fn after_kill_9_every_answer_has_its_line_and_every_line_is_whole() {
    let home = home("to = \"../audit.log\"\nuses = \"full\"\non_failure = { uses = \"closed\" }");
    let path = home.path("audit.log");
    let served = home.serve();
    let killed = AtomicBool::new(false);
    let answered: Vec<String> = std::thread::scope(|scope| {
        let client = |name: &'static str| {
            let (home, address, killed) = (&home, served.address(), &killed);
            scope.spawn(move || {
                let mut answered = Vec::new();
                for number in 0.. {
                    let id = format!("{name}-{number}");
                    match sign(home, address, &id).as_str() {
                        "200" => answered.push(id),
                        _ if killed.load(Ordering::SeqCst) => return answered,
                        other => panic!("{other}"),
                    }
                }
                answered
            })
        };
        let clients = [client("a"), client("b"), client("c")];
        std::thread::sleep(std::time::Duration::from_millis(700));
        killed.store(true, Ordering::SeqCst);
        served.signal("KILL");
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    assert!(answered.len() > 6, "{}", answered.len());
    // As if it had been hit in the middle of a line.
    let mut torn = fs::read(&path).unwrap();
    torn.extend_from_slice(b"{\"time\":\"2026-11-2");
    fs::write(&path, torn).unwrap();
    let again = home.serve();
    assert_eq!(sign(&home, again.address(), "again"), "200");
    let lines = parsed(&path);
    for id in answered.iter().map(String::as_str).chain(["again"]) {
        let found = lines.iter().filter(|line| line["request_id"] == id);
        assert_eq!(found.count(), 1, "{id}");
    }
}

#[test]
fn a_file_that_may_not_grow_refuses_and_another_in_its_place_is_taken() {
    let home = home("to = \"../audit.log\"\nuses = \"full\"\non_failure = { uses = \"closed\" }");
    let (path, aside) = (home.path("audit.log"), home.path("audit.old"));
    let own = home.command();
    let mut command = Command::new("sh");
    // 8 KiB, and no signal that ends the process: writes stop in the middle of a line.
    let limited = "trap '' XFSZ; ulimit -f 16; exec \"$@\"";
    command.args(["-c", limited, "sh"]).arg(own.get_program()).args(own.get_args());
    let mut served = Served::start(command);
    let mut done = 0;
    while sign(&home, served.address(), "id") == "200" {
        done += 1;
        assert!(done < 100, "no file of 8 KiB has so many lines");
    }
    served.wait_for("audit lines cannot be written");
    assert_eq!(sign(&home, served.address(), "id"), "503");
    assert!(fs::metadata(&path).unwrap().len() > 7_000);
    assert_eq!(parsed(&path).len(), done);
    fs::rename(&path, &aside).unwrap();
    assert_eq!(sign(&home, served.address(), "after"), "200");
    served.wait_for("audit lines are written again");
    assert_eq!(parsed(&path)[0]["request_id"], "after");
    assert_eq!(parsed(&aside).len(), done);
}

#[test]
fn what_cannot_be_written_to_is_told_with_its_place_and_at_the_start() {
    let home = home("to = \"../no/such/audit.log\"");
    let (code, said) = home.refused();
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("the audit file cannot be opened"), "{said}");
    let check = |home: &Home| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_claviger"));
        let done = command.arg("-c").arg(home.config()).arg("check").output().unwrap();
        let said = String::from_utf8(done.stderr).unwrap();
        (done.status.code().unwrap(), said + &String::from_utf8(done.stdout).unwrap())
    };
    let (code, said) = check(&home);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("no/such for the audit file") && said.contains("mkdir -p"), "{said}");
    home.configure(&format!("{PLAIN}[service.audit]\nto = \".\"\n"));
    let (code, said) = check(&home);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("is a folder") && said.contains("/audit.log"), "{said}");
    // What lines would spoil: a keystore, the journal, keys in PEM, secrets that are files.
    fs::write(home.path("journal.jsonl"), "{\"seq\":1}\n").unwrap();
    fs::create_dir(home.path("volume")).unwrap();
    let volume = "[stores.mounted]\nkind = \"volume\"\ndirectory = \"../volume\"\n";
    for (to, why) in [
        ("default.p12", "something else"),
        ("claviger.toml", "something else"),
        ("../journal.jsonl", "something else"),
        ("../ca.key", "something else"),
        ("../volume/audit.log", "a secret of store \"mounted\""),
    ] {
        home.configure(&format!("{PLAIN}[service.audit]\nto = \"{to}\"\n{volume}"));
        let before = fs::read(home.path("keystores").join(to)).ok();
        for (code, said) in [check(&home), home.refused()] {
            assert!(code == 1 || code == 2, "{to}: {code} {said}");
            assert!(said.contains(why) && said.contains("file of its own"), "{to}: {said}");
            assert!(!said.contains("listening"), "{to}: {said}");
        }
        assert_eq!(fs::read(home.path("keystores").join(to)).ok(), before, "{to}");
    }
    // One that others begin, or a crash cut short, is ours.
    for there in ["", "{\"ti", "{\"time\":\"2026-11-30T00:00:00.000Z\"}\n"] {
        fs::write(home.path("audit.log"), there).unwrap();
        home.configure(&format!("{PLAIN}[service.audit]\nto = \"../audit.log\"\n{volume}"));
        let (code, said) = check(&home);
        assert_eq!(code, 0, "{said}");
        drop(home.serve());
    }
    home.configure(&format!("{PLAIN}[service.audit]\nto = \"stdout\"\nuses = \"ful\"\n"));
    let (code, said) = check(&home);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("did you mean \"full\"?") && said.contains("uses = \"ful\""), "{said}");
}

/// A disk with room for a line, and none for the two of a change: the change is refused before it begins.
#[test]
fn a_change_begins_only_if_there_is_room_for_its_second_line() {
    let unshare = ["--mount", "--map-root-user", "true"];
    let possible = Command::new("unshare").args(unshare).output();
    if !possible.is_ok_and(|output| output.status.success()) {
        assert!(std::env::var_os("CI").is_none(), "no mount namespace under CI");
        return println!("a file system of its own cannot be mounted here");
    }
    let home = home(
        "to = \"../small/audit.log\"\nuses = \"full\"\non_failure = { uses = \"closed\" }\n\
         [[grants]]\ncallers = [\"anybody\"]\nrights = [\"reload\"]",
    );
    fs::create_dir(home.path("small")).unwrap();
    let own = home.command();
    let mut command = Command::new("unshare");
    let script = "mount -t tmpfs -o size=64k none small && head -c 57344 /dev/zero > small/fill && exec \"$@\"";
    command.args(["--mount", "--map-root-user", "sh", "-c", script, "sh"]);
    command.arg(own.get_program()).args(own.get_args()).current_dir(home.path(""));
    let served = Served::start(command);
    let url = format!("http://{}/v1/reload", served.address());
    let reload = || home.curl(&["--json", "{}", &url]);
    let small = Path::new("/proc").join(served.id().to_string()).join("root");
    let small = small.join(home.path("small").strip_prefix("/").unwrap());
    assert_eq!(sign(&home, served.address(), "fits"), "200");
    let refused = reload();
    assert!(refused.contains("audit_unavailable"), "{refused}");
    // There is room for a line that says so.
    let lines = parsed(&small.join("audit.log"));
    assert_eq!((lines.len(), lines[1]["outcome"].as_str()), (2, Some("audit_unavailable")));
    fs::remove_file(small.join("fill")).unwrap();
    let done = reload();
    assert!(done.contains("\"generation\""), "{done}");
    let lines = parsed(&small.join("audit.log"));
    let phases: Vec<&str> = lines.iter().filter_map(|line| line["phase"].as_str()).collect();
    assert_eq!(phases, ["begin", "end"]);
}

#[test]
fn a_reader_that_stops_holds_up_changes_and_no_use() {
    let home = home(
        "to = \"stdout\"\nuses = \"full\"\n\
         [[grants]]\ncallers = [\"anybody\"]\nrights = [\"reload\"]",
    );
    let (reader, writer) = std::io::pipe().unwrap();
    let mut command = home.command();
    command.stdout(writer);
    let mut served = Served::start(command);
    let url = format!("http://{}", served.address());
    let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
    let post = |path: &str, body: &str| {
        let answer = agent.post(format!("{url}{path}")).send(body).unwrap();
        answer.status().as_u16()
    };
    // A pipe takes 64 KiB.
    for _ in 0..400 {
        assert_eq!(post(SIGN, r#"{"claims":{}}"#), 200);
    }
    assert_eq!(post("/v1/reload", "{}"), 503);
    assert_eq!(post(SIGN, r#"{"claims":{}}"#), 200);
    let lines = std::thread::spawn(move || std::io::read_to_string(reader).unwrap());
    assert_eq!(post("/v1/reload", "{}"), 200);
    served.signal("TERM");
    assert!(served.ended().success());
    let lines = lines.join().unwrap();
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |event: &str| lines.iter().filter(|line| line["event"] == event).count();
    // What was given up is no line: nothing was begun. That it was refused is one, as a use.
    assert_eq!((of("use"), of("change"), of("reload")), (402, 2, 1));
}

#[test]
fn who_comes_by_a_unix_socket_is_known_by_what_the_kernel_says() {
    let home = Home::new(
        "listen = [\"127.0.0.1:0\", \"unix:c.sock\"]\nplain_http = true\n\
         [service.audit]\nto = \"../audit.log\"\nuses = \"full\"\n",
    );
    let _served = home.serve();
    let socket = home.path("c.sock");
    let url = format!("http://localhost{SIGN}");
    let socket = socket.to_str().unwrap();
    let answer = home.curl(&["--unix-socket", socket, "--json", r#"{"claims":{}}"#, &url]);
    assert!(answer.contains("es256-a"), "{answer}");
    let line = Lines::of(&home.path("audit.log")).next(1).remove(0);
    let ours = format!("unix:uid={},pid=", rustix::process::getuid().as_raw());
    assert!(line["peer"].as_str().unwrap().starts_with(&ours), "{line}");
}
