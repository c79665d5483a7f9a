//! The life of the service as a process: signals, systemd, an end without losses.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::process::Command;

use crate::process::{BOTH, Home, LONG, PLAIN, Served};

const LABEL: &str = "am.services.oauth2.oidc.signing.ES256";

const BODY: &str = r#"{"claims":{"sub":"a"}}"#;

/// A request whose body the server waits for.
fn begun(served: &Served) -> TcpStream {
    let mut slow = served.connect();
    let head = format!("POST /v1/labels/{LABEL}/sign HTTP/1.1\r\nhost: x\r\n");
    let length = BODY.len();
    let rest = format!("expect: 100-continue\r\ncontent-length: {length}\r\n\r\n");
    slow.write_all((head + &rest).as_bytes()).unwrap();
    let mut goes_on = [0; 25];
    slow.read_exact(&mut goes_on).unwrap();
    assert_eq!(&goes_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    slow
}

/// A connection that was answered once and stays open.
fn idle(served: &Served) -> TcpStream {
    let mut idle = served.connect();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"ok\n") {
        let mut byte = [0];
        idle.read_exact(&mut byte).unwrap();
        answer.push(byte[0]);
    }
    idle
}

#[test]
fn requests_that_run_are_answered_after_sigterm() {
    let home = Home::new(&format!("{PLAIN}body_timeout = \"60s\"\n"));
    for signal in ["TERM", "INT"] {
        let mut served = home.serve();
        let (mut slow, mut idle) = (begun(&served), idle(&served));
        served.signal(signal);
        served.wait_for("stopping");
        let mut rest = Vec::new();
        idle.read_to_end(&mut rest).unwrap();
        assert!(served.runs() && rest.is_empty(), "the idle connection ends soon");
        slow.write_all(BODY.as_bytes()).unwrap();
        let mut text = String::new();
        slow.read_to_string(&mut text).unwrap();
        assert!(text.starts_with("HTTP/1.1 200 ") && text.contains("es256-a"), "{text}");
        served.wait_for("stopped");
        assert!(served.ended().success());
    }
}

/// Its next request may be on its way.
#[test]
fn a_connection_that_rests_is_answered_once_more_after_sigterm() {
    let home = Home::new(PLAIN);
    let mut served = home.serve();
    let mut stream = served.connect();
    let mut ask = || {
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"ok\n") {
            let mut byte = [0];
            assert_eq!(stream.read(&mut byte).unwrap(), 1, "it is closed");
            answer.extend(byte);
        }
        String::from_utf8(answer).unwrap()
    };
    assert!(!ask().contains("connection: close"));
    served.signal("TERM");
    served.wait_for("stopping");
    std::thread::sleep(std::time::Duration::from_millis(50));
    assert!(ask().contains("connection: close"));
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    assert!(served.ended().success());
    // Nobody waits for long for who says nothing.
    let mut served = home.serve();
    let mut silent = served.connect();
    silent.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    served.signal("TERM");
    assert!(served.ended().success());
}

#[test]
fn a_request_that_does_not_end_is_cut_off_by_the_drain_time_or_a_second_signal() {
    let home = Home::new(&format!("{PLAIN}body_timeout = \"1h\"\ndrain_time = \"1s\"\n"));
    let mut served = home.serve();
    let _slow = begun(&served);
    served.signal("TERM");
    served.wait_for("cut off");
    assert!(served.ended().success());
    home.configure(&format!("{PLAIN}body_timeout = \"1h\"\ndrain_time = \"1h\"\n"));
    let mut served = home.serve();
    let _slow = begun(&served);
    served.signal("TERM");
    served.wait_for("stopping");
    served.signal("TERM");
    served.wait_for("told twice");
    assert!(served.ended().success());
}

#[test]
fn sighup_takes_a_new_order_and_a_bad_file_changes_nothing() {
    let home = Home::new(PLAIN);
    let mut served = home.serve();
    let sign = |served: &Served| {
        let url = format!("http://{}/v1/labels/{LABEL}/sign", served.address());
        home.curl(&["--json", r#"{"claims":{}}"#, &url])
    };
    assert!(sign(&served).contains("\"es256-a\""), "{}", sign(&served));
    let before = fs::read_to_string(home.config()).unwrap();
    let after = before.replace("[\"es256-a\", \"es256-b\"]", "[\"es256-b\", \"es256-a\"]");
    assert_ne!(before, after);
    fs::write(home.config(), &after).unwrap();
    served.signal("HUP");
    served.wait_for(&format!("label \"{LABEL}\": \"es256-b\" acts, before it \"es256-a\""));
    assert!(sign(&served).contains("\"es256-b\""));
    fs::write(home.config(), after.replace("es256-a", "nothing")).unwrap();
    served.signal("HUP");
    served.wait_for("reload refused");
    assert!(sign(&served).contains("\"es256-b\""));
    fs::write(home.config(), after.replace("127.0.0.1:0", "127.0.0.1:1")).unwrap();
    served.signal("HUP");
    served.wait_for("until a restart");
}

#[test]
fn a_reload_warns_of_what_is_new() {
    let home = Home::new(PLAIN);
    let mut served = home.serve();
    let before = fs::read_to_string(home.config()).unwrap();
    fs::create_dir(home.path("more")).unwrap();
    fs::write(home.path("more/no.such.label"), "x").unwrap();
    let store = "[stores.more]\nkind = \"volume\"\ndirectory = \"../more\"\n";
    let after = format!("{before}\n{store}");
    fs::write(home.config(), &after).unwrap();
    served.signal("HUP");
    served.wait_for("unknown_label: ");
    // On another line it is no news.
    let moved = after.replace("[\"es256-a\", \"es256-b\"]", "[\"es256-b\", \"es256-a\"]");
    fs::write(home.config(), format!("# A comment.\n{moved}")).unwrap();
    served.signal("HUP");
    served.wait_for("\"es256-b\" acts, before it");
    assert_eq!(served.times("unknown_label: "), 1);
}

#[test]
fn sigterm_does_not_wait_for_a_reload() {
    let home = Home::new(PLAIN);
    let mut served = home.serve();
    // Its key takes a second and more to derive.
    let made = Command::new("openssl")
        .args(["pkcs12", "-export", "-nokeys", "-in"])
        .arg(home.path("ca.pem"))
        .args(["-iter", "4000000", "-macalg", "sha256", "-passout", "pass:x", "-out"])
        .arg(home.path("slow.p12"))
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let before = fs::read_to_string(home.config()).unwrap();
    fs::write(home.path("pass"), "x").unwrap();
    let slow = "[stores.slow]\nkind = \"keystore\"\npath = \"../slow.p12\"\n\
        store_password = { file = \"../pass\" }\n\n[service]\n";
    fs::write(home.config(), before.replacen("[service]\n", slow, 1)).unwrap();
    served.signal("HUP");
    std::thread::sleep(std::time::Duration::from_millis(100));
    served.signal("TERM");
    served.wait_for("stopping");
    assert!(!served.said("generation 2 serves"), "it stops after the reload");
    assert!(served.ended().success());
}

#[test]
fn systemd_is_told_of_each_step_and_of_signs_of_life() {
    let home = Home::new(PLAIN);
    let socket = UnixDatagram::bind(home.path("notify.sock")).unwrap();
    socket.set_read_timeout(Some(LONG)).unwrap();
    let told = |wanted: &str| {
        let mut buffer = [0; 4096];
        loop {
            let length = socket.recv(&mut buffer).unwrap();
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if text.lines().any(|line| line == wanted) {
                return text;
            }
            assert_eq!(text.trim(), "WATCHDOG=1", "before {wanted}");
        }
    };
    let mut command = home.command();
    command.env("NOTIFY_SOCKET", home.path("notify.sock")).env("WATCHDOG_USEC", "200000");
    let mut served = Served::start(command);
    told("READY=1");
    told("WATCHDOG=1");
    served.signal("HUP");
    assert!(told("RELOADING=1").contains("MONOTONIC_USEC="));
    told("READY=1");
    served.signal("TERM");
    told("STOPPING=1");
    assert!(served.ended().success());
}

/// Sockets at 3 and 4, as systemd passes them.
const PASS: &str = r"
import os, socket, sys
tcp = socket.create_server(('127.0.0.1', 0))
unix = socket.socket(socket.AF_UNIX); unix.bind(sys.argv[1]); unix.listen()
for at, one in ((10, tcp), (11, unix)): os.dup2(one.fileno(), at)
tcp.close(); unix.close()
os.dup2(10, 3); os.dup2(11, 4)
os.environ.update(LISTEN_FDS='2', LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[2], sys.argv[2:])
";

#[test]
fn sockets_of_systemd_take_the_place_of_those_of_the_configuration() {
    let home = Home::new("listen = [\"127.0.0.1:1\"]\nplain_http = true\n");
    let mut command = Command::new("python3");
    let own = home.command();
    command.args(["-c", PASS]).arg(home.path("passed.sock")).arg(own.get_program());
    command.args(own.get_args());
    let mut served = Served::start(command);
    served.wait_for("passed.sock");
    assert!(served.address().port() > 1 && served.is_well());
    let socket = home.path("passed.sock");
    let ask = ["--unix-socket", socket.to_str().unwrap(), "http://localhost/healthz"];
    assert_eq!(home.curl(&ask), "ok\n");
    served.signal("TERM");
    assert!(served.ended().success());
    assert!(socket.exists(), "the socket is systemd's to remove");
}

#[test]
fn a_socket_of_systemd_speaks_as_the_listener_of_its_address_does() {
    let listen = "[\"127.0.0.1:1\", { address = \"unix:passed.sock\", plain_http = true }]";
    let home = Home::new(&BOTH.replace("[\"127.0.0.1:0\"]", listen));
    let mut command = Command::new("python3");
    let own = home.command();
    command.args(["-c", PASS]).arg(home.path("passed.sock")).arg(own.get_program());
    command.args(own.get_args());
    let mut served = Served::start(command);
    served.wait_for("passed.sock");
    let socket = home.path("passed.sock");
    let ask = ["--unix-socket", socket.to_str().unwrap(), "http://localhost/healthz"];
    assert_eq!(home.curl(&ask), "ok\n");
    // No listener has its address, and not all of them go without TLS.
    let url = format!("https://localhost:{}/healthz", served.port());
    assert_eq!(home.curl(&[&url]), "ok\n");
}

#[test]
fn a_connection_starts_the_service_under_systemd_socket_activate() {
    let activate = "systemd-socket-activate";
    if Command::new(activate).arg("--version").output().is_err() {
        return;
    }
    let home = Home::new("listen = [\"127.0.0.1:1\"]\nplain_http = true\n");
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("127.0.0.1:{port}");
    let own = home.command();
    let mut command = Command::new(activate);
    command.args(["--listen", &address]).arg(own.get_program()).args(own.get_args());
    let mut activated = command.stderr(std::process::Stdio::null()).spawn().unwrap();
    let url = format!("http://{address}/healthz");
    let answer = home.curl(&["--retry", "30", "--retry-connrefused", "--retry-delay", "1", &url]);
    drop(activated.kill());
    drop(activated.wait());
    assert_eq!(answer, "ok\n");
}

#[test]
fn warnings_of_the_start_say_their_code_and_where() {
    let home = Home::new(&format!(
        "{PLAIN}\n[[callers]]\nname = 'b'\ntoken = {{ issuer = 'i', audience = 'c', subject = 's', label = '{LABEL}' }}\n\
         [[grants]]\ncallers = ['b']\nrights = ['sign']\nlabels = ['{LABEL}']\n"
    ));
    let mut served = home.serve();
    // Two grants of the same label, in the order of the file.
    let text = fs::read_to_string(home.config()).unwrap();
    let rights = text.lines().enumerate().filter(|(_, line)| line.starts_with("rights = "));
    for (at, _) in rights {
        let place = format!("service.toml:{})", at + 1);
        assert!(served.said(&place), "{place}");
    }
    assert!(served.said("credentials_can_be_made: who may sign with label"));
    // As a reload does.
    fs::write(home.config(), format!("{text}wrong = 1\n")).unwrap();
    served.signal("HUP");
    let line = served.wait_for("unknown_key: ");
    assert!(line.ends_with(&format!("service.toml:{})", text.lines().count() + 1)), "{line}");
}
