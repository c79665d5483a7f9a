//! `claviger serve` as a process, in a directory of its own, and the certificates that it needs.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long anything may take on a loaded machine.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// A directory with keys, certificates and a configuration.
pub(crate) struct Home {
    directory: TempDir,
}

/// What `[service]` says in most tests.
pub(crate) const BOTH: &str = "listen = [\"127.0.0.1:0\"]\n\
    certificate = { chain = \"server.pem\", key = \"server.key\" }\n\
    client_ca = { file = \"ca.pem\" }\n";
/// The same without TLS.
pub(crate) const PLAIN: &str = "listen = [\"127.0.0.1:0\"]\nplain_http = true\n";

/// Everybody may sign.
const ANYBODY: &str = "\n[[callers]]\nname = \"anybody\"\nanonymous = true\n\n\
    [[grants]]\ncallers = [\"anybody\"]\nrights = [\"sign\"]\nlabels = [\"*\"]\n\n";

impl Home {
    /// With this `[service]` over the demo keystores.
    pub(crate) fn new(service: &str) -> Self {
        let home = Self { directory: TempDir::new().unwrap() };
        let keystores = Path::new(env!("CARGO_MANIFEST_DIR")).join("keystores");
        fs::create_dir(home.path("keystores")).unwrap();
        for entry in fs::read_dir(&keystores).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_file() {
                fs::copy(entry.path(), home.path("keystores").join(entry.file_name())).unwrap();
            } else {
                copy_folder(&entry.path(), &home.path("keystores").join(entry.file_name()));
            }
        }
        home.authority("ca");
        home.leaf("ca", "server", "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1");
        home.leaf("ca", "client", "extendedKeyUsage=clientAuth");
        home.configure(service);
        home
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path("keystores/service.toml")
    }

    /// The configuration of the demo keystores with this `[service]`; its paths start at the home.
    pub(crate) fn configure(&self, service: &str) {
        let mut text = fs::read_to_string(self.path("keystores/claviger.toml")).unwrap();
        let service = service
            .replace("= \"server", "= \"../server")
            .replace("= \"ca.pem", "= \"../ca.pem")
            .replace("unix:", "unix:../");
        write!(text, "{ANYBODY}[service]\n{service}").unwrap();
        fs::write(self.config(), text).unwrap();
    }

    /// A self-signed authority.
    pub(crate) fn authority(&self, name: &str) {
        let subject = format!("/CN={name}");
        let [key, pem] = ["key", "pem"].map(|end| format!("{name}.{end}"));
        self.openssl(&[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-keyout",
            &key,
            "-out",
            &pem,
            "-days",
            "2",
            "-subj",
            &subject,
            "-addext",
            "basicConstraints=critical,CA:TRUE",
        ]);
    }

    /// A certificate that an authority signs.
    pub(crate) fn leaf(&self, authority: &str, name: &str, extensions: &str) {
        let [key, request, pem] = ["key", "csr", "pem"].map(|end| format!("{name}.{end}"));
        let [ca, ca_key] = ["pem", "key"].map(|end| format!("{authority}.{end}"));
        let subject = format!("/CN={name}");
        self.openssl(&[
            "req",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-keyout",
            &key,
            "-out",
            &request,
            "-subj",
            &subject,
        ]);
        fs::write(self.path("extensions"), extensions).unwrap();
        self.openssl(&[
            "x509",
            "-req",
            "-in",
            &request,
            "-CA",
            &ca,
            "-CAkey",
            &ca_key,
            "-CAcreateserial",
            "-days",
            "2",
            "-out",
            &pem,
            "-extfile",
            "extensions",
        ]);
    }

    fn openssl(&self, arguments: &[&str]) {
        let made = Command::new("openssl").args(arguments).current_dir(&self.directory).output();
        let made = made.unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }

    /// `claviger serve`, not started yet.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_claviger"));
        command.arg("-c").arg(self.config()).arg("serve").current_dir(&self.directory);
        command
    }

    /// Starts it and waits until it listens.
    pub(crate) fn serve(&self) -> Served {
        Served::start(self.command())
    }

    /// Exit code and stderr of a start that must fail.
    pub(crate) fn refused(&self) -> (i32, String) {
        let done = self.command().output().unwrap();
        (done.status.code().unwrap(), String::from_utf8(done.stderr).unwrap())
    }

    /// stdout of curl with the authority and the client certificate of this home; empty if it fails.
    pub(crate) fn curl(&self, arguments: &[&str]) -> String {
        let done = Command::new("curl")
            .args(["--silent", "--max-time", "60", "--cacert", "ca.pem"])
            .args(arguments)
            .current_dir(&self.directory)
            .output()
            .unwrap();
        String::from_utf8(done.stdout).unwrap()
    }

    /// What `openssl s_client` says of a handshake.
    pub(crate) fn handshake(&self, server: &Served, arguments: &[&str]) -> String {
        let address = server.address().to_string();
        let done = Command::new("openssl")
            .args([
                "s_client",
                "-connect",
                &address,
                "-CAfile",
                "ca.pem",
                "-servername",
                "localhost",
            ])
            .args(arguments)
            .current_dir(&self.directory)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned()
    }
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &to.join(entry.file_name()));
        } else {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

/// What tells clients in threads that it is over, however the test ends.
#[derive(Default)]
pub(crate) struct Over(AtomicBool);

impl Over {
    pub(crate) fn is_so(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// To be dropped when it is.
    pub(crate) const fn once_dropped(&self) -> OnceDropped<'_> {
        OnceDropped(self)
    }
}

pub(crate) struct OnceDropped<'a>(&'a Over);

impl Drop for OnceDropped<'_> {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Relaxed);
    }
}

/// A server that runs until it is dropped.
pub(crate) struct Served {
    child: Child,
    lines: Receiver<String>,
    said: Vec<String>,
}

impl Served {
    /// A starter in this folder, on a port of its own.
    pub(crate) fn starter(folder: &Path) -> Self {
        let claviger = env!("CARGO_BIN_EXE_claviger");
        let made = Command::new(claviger).arg("init").arg(folder).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        let mut command = Command::new(claviger);
        command.args(["serve", "--listen", "127.0.0.1:0"]).current_dir(folder);
        Self::start(command)
    }

    /// Starts it and waits until it listens.
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                drop(sender.send(line));
            }
        });
        let mut served = Self { child, lines, said: Vec::new() };
        served.wait_for("listening: ");
        served
    }

    /// Waits for a line of its log.
    pub(crate) fn wait_for(&mut self, part: &str) -> String {
        let until = Instant::now() + LONG;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                panic!("no line with {part:?} in:\n{}", self.said.join("\n"));
            };
            self.said.push(line);
            if let Some(line) = self.said.last().filter(|line| line.contains(part)) {
                return line.clone();
            }
        }
    }

    /// Whether a line with this part has come so far.
    pub(crate) fn said(&self, part: &str) -> bool {
        self.times(part) > 0
    }

    /// How many lines with this part have come so far.
    pub(crate) fn times(&self, part: &str) -> usize {
        self.said.iter().filter(|line| line.contains(part)).count()
    }

    /// The address of its first listener.
    pub(crate) fn address(&self) -> SocketAddr {
        let urls = self.said.iter().filter_map(|line| line.split_once("://"));
        urls.map(|(_, address)| address).next().unwrap().parse().unwrap()
    }

    pub(crate) fn port(&self) -> u16 {
        self.address().port()
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by name.
    pub(crate) fn signal(&self, name: &str) {
        let sent =
            Command::new("kill").args([&format!("-{name}"), &self.id().to_string()]).status();
        assert!(sent.unwrap().success());
    }

    /// Waits for its end.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let until = Instant::now() + LONG;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < until, "it goes on:\n{}", self.said.join("\n"));
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// A bare connection.
    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address()).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream
    }

    /// Sends bytes over plain HTTP and reads until the server closes.
    pub(crate) fn exchange(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect();
        // What is refused may be cut off before it is all sent.
        drop(stream.write_all(bytes));
        let mut answer = Vec::new();
        drop(stream.read_to_end(&mut answer));
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Whether it still answers over plain HTTP.
    pub(crate) fn is_well(&self) -> bool {
        let asked = b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        self.exchange(asked).starts_with("HTTP/1.1 200 ")
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
