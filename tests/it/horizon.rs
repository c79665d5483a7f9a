//! Safe retire as a proof: verdicts against what really happens, crashes, processes that share a state
//! directory, and state directories that cannot be written.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use claviger::alg::Algorithm;
use claviger::catalogue::LabelUse;
use claviger::clock::Clock;
use claviger::crypto::{Key, OctType};
use claviger::formats::JwkHints;
use claviger::jose::claims::{self, ClaimRules};
use claviger::jose::jwe::{self, EncryptOptions};
use claviger::jose::jws::{self, SignOptions, VerifyOptions};
use claviger::label::LabelName;
use claviger::ops::{KeySet, KeySetPolicy, LabelKey};
use claviger::secret::SecretBytes;
use claviger::usage::{Act, GCM_MESSAGES, Terms, UsageBook, Verdict};

const START: u64 = 1_800_000_000;
/// How late a reservation ahead may make a verdict.
const BLOCK: u64 = 60;

fn label() -> LabelName {
    "app.tokens".parse().unwrap()
}

fn hmac() -> Key {
    Key::from_secret(SecretBytes::from_slice(&[7; 32]), OctType::Hmac).unwrap()
}

fn aes() -> Key {
    Key::from_secret(SecretBytes::from_slice(&[8; 32]), OctType::Aes).unwrap()
}

/// A set of one key whose usage `book` keeps.
fn set_of(book: &UsageBook, key: Key, uses: &[LabelUse], algorithms: &[&str]) -> KeySet {
    let usage = book.reading().key(&label(), None, key.thumbprint());
    let key = LabelKey {
        alias: "key".parse().unwrap(),
        store: "store".parse().unwrap(),
        realm: None,
        kid: "kid".into(),
        key,
        hints: JwkHints::default(),
        usage,
    };
    let rows = algorithms.iter().map(|name| Algorithm::find(name).unwrap()).collect();
    KeySet::new(label(), uses.to_vec(), vec![key], rows, KeySetPolicy::default()).unwrap()
}

/// A clock that a test turns.
#[derive(Clone)]
struct Dial(Arc<AtomicU64>);

impl Dial {
    fn new() -> Self {
        Self(Arc::new(AtomicU64::new(START)))
    }

    fn secs(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    fn now(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(self.secs())
    }

    fn clock(&self) -> Clock {
        let dial = self.clone();
        Clock::from_fn(move || dial.now())
    }
}

/// A process: its book and its keys.
struct Process {
    book: UsageBook,
    signing: KeySet,
    sealing: KeySet,
    /// Its own way to the state directory.
    link: Option<PathBuf>,
}

impl Process {
    fn start(state: &Path, dial: &Dial) -> Self {
        let book = UsageBook::new(Some(state), GCM_MESSAGES, dial.clock());
        let signing = set_of(&book, hmac(), &[LabelUse::Sign, LabelUse::Verify], &["HS256"]);
        let uses = [LabelUse::Encrypt, LabelUse::Decrypt];
        let sealing = set_of(&book, aes(), &uses, &["A256GCMKW", "A256GCM"]);
        Self { book, signing, sealing, link: None }
    }

    /// As [`Process::start`] behind a link of its own.
    fn start_behind(link: PathBuf, state: &Path, dial: &Dial) -> Self {
        std::os::unix::fs::symlink(state, &link).unwrap();
        Self { link: Some(link.clone()), ..Self::start(&link, dial) }
    }

    /// Ends it as kill -9 does: what it writes at its end goes where nobody looks.
    fn kill(self) {
        let link = self.link.clone().unwrap();
        let (nowhere, turned) = (link.with_extension("nowhere"), link.with_extension("turned"));
        std::fs::create_dir(&nowhere).unwrap();
        std::os::unix::fs::symlink(&nowhere, &turned).unwrap();
        std::fs::rename(&turned, &link).unwrap();
        drop(self);
    }
}

/// SplitMix64: the same histories on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::try_from(self.below(of.len() as u64)).unwrap()]
    }
}

/// What was made, and until when it lives by its own claims.
struct Made {
    token: String,
    at: u64,
    has_exp: bool,
}

struct History {
    random: Random,
    dial: Dial,
    state: PathBuf,
    terms: Terms,
    processes: Vec<Process>,
    made: Vec<Made>,
    started: usize,
    /// Whether a process was killed: what it had reserved stays.
    killed: bool,
}

impl History {
    fn new(seed: u64, folder: &Path) -> Self {
        let mut random = Random(seed);
        let dial = Dial::new();
        let state = folder.join(seed.to_string());
        let lifetime = random.pick(&[None, Some(90), Some(1_000)]).map(Duration::from_secs);
        let grace = Duration::from_secs(random.pick(&[0, 1, 60]));
        let terms = Terms { lifetime, grace, ..Terms::default() };
        std::fs::create_dir_all(state.join("real")).unwrap();
        let count = random.below(3) + 1;
        let (processes, made) = (Vec::new(), Vec::new());
        let mut history =
            Self { random, dial, state, terms, processes, made, started: 0, killed: false };
        history.processes = (0..count).map(|_| history.start()).collect();
        history
    }

    fn start(&mut self) -> Process {
        self.started += 1;
        let link = self.state.join(self.started.to_string());
        Process::start_behind(link, &self.state.join("real"), &self.dial)
    }

    /// One of the texts that a payload may be, and whether it has an end of its own.
    fn payload(&mut self) -> (String, bool) {
        let now = self.dial.secs();
        let exp = now + self.random.below(2_000) - 100;
        match self.random.below(9) {
            0 => (format!(r#"{{"exp":{exp}.5}}"#), true),
            1 => (format!(r#"{{"a":{{"exp":{}}},"exp":{exp}}}"#, exp + 9_999), true),
            2 => (format!(r#"{{"\u0065xp" : {exp}}}"#), true),
            3 => (format!(r#"{{"note":"\"exp\":1","exp":{exp}}}"#), true),
            4 if self.terms.lifetime.is_some() => (r#"{"sub":"alice"}"#.into(), false),
            5 if self.terms.lifetime.is_some() => (format!(r#"{{"a":{{"exp":{exp}}}}}"#), false),
            _ => (format!(r#"{{"sub":"alice","exp":{exp}}}"#), true),
        }
    }

    fn step(&mut self) {
        let index = usize::try_from(self.random.below(self.processes.len() as u64)).unwrap();
        match self.random.below(10) {
            0..=4 => {
                let (payload, has_exp) = self.payload();
                let set = &self.processes[index].signing;
                let token = jws::sign(set, payload.as_bytes(), &SignOptions::default()).unwrap();
                self.made.push(Made { token, at: self.dial.secs(), has_exp });
            }
            5 | 6 => {
                let forward = self.random.below(1_500);
                self.dial.0.fetch_add(forward, Ordering::SeqCst);
            }
            7 => self.processes[index].book.flush().unwrap(),
            8 => {
                let new = self.start();
                let old = std::mem::replace(&mut self.processes[index], new);
                self.end(old);
            }
            _ => {
                let back = self.random.below(50);
                self.dial.0.fetch_sub(back, Ordering::SeqCst);
            }
        }
    }

    fn end(&mut self, process: Process) {
        if self.random.below(3) > 0 {
            return drop(process);
        }
        self.killed = true;
        process.kill();
    }

    /// Whether anything made is accepted by somebody whose clock is as far behind as `grace` allows.
    fn any_alive(&self, at: u64) -> bool {
        let now = UNIX_EPOCH + Duration::from_secs(at);
        let rules = ClaimRules { skew: self.terms.grace, ..ClaimRules::default() };
        self.made.iter().any(|made| {
            let set = &self.processes[0].signing;
            let verified = jws::verify(set, &made.token, &VerifyOptions::default()).unwrap();
            if made.has_exp {
                return claims::check(&verified.payload, &rules, now).is_ok();
            }
            let end = made.at + self.terms.lifetime.unwrap().as_secs();
            at < end + self.terms.grace.as_secs()
        })
    }

    fn check(&self, exact: bool) {
        let book = UsageBook::new(Some(&self.state.join("real")), GCM_MESSAGES, self.dial.clock());
        let report = book.report(&label(), None, hmac().thumbprint()).unwrap();
        let now = self.dial.secs();
        let late = if exact { 0 } else { BLOCK };
        match report.verdict(&self.terms, self.dial.now()) {
            Verdict::Safe => assert!(!self.any_alive(now), "a false safe: {report:?}"),
            Verdict::SafeAfter(after) => {
                assert!(after > now && !self.any_alive(after), "a false safe later: {report:?}");
                assert!(self.any_alive(after - 1 - late), "a false alarm: {report:?}");
            }
            other => panic!("{other:?} of {report:?}"),
        }
    }
}

/// Memory, where the system has such a file system: ten thousand state directories are many syncs.
fn fast_folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        return tempfile::tempdir_in(memory).unwrap();
    }
    tempfile::tempdir().unwrap()
}

#[test]
fn the_verdict_is_what_really_happens_in_ten_thousand_histories() {
    let folder = fast_folder();
    let workers: Vec<_> = (0..2_u64)
        .map(|worker| {
            let folder = folder.path().to_owned();
            std::thread::spawn(move || {
                for seed in (worker * 5_000)..(worker * 5_000 + 5_000) {
                    let mut history = History::new(seed, &folder);
                    for _ in 0..history.random.below(12) + 1 {
                        history.step();
                    }
                    history.check(false);
                    for process in history.processes.split_off(1) {
                        history.end(process);
                    }
                    history.processes[0].book.flush().unwrap();
                    history.check(!history.killed);
                    let state = history.state.clone();
                    drop(history);
                    std::fs::remove_dir_all(&state).unwrap();
                }
            })
        })
        .collect();
    workers.into_iter().for_each(|worker| worker.join().unwrap());
}

/// Somebody who only looks must not keep a flush from giving back what was reserved ahead.
#[test]
fn a_flush_gives_every_reservation_back_while_others_look_on() {
    let folder = fast_folder();
    let dial = Dial::new();
    let process = Process::start(folder.path(), &dial);
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let reports = process.book.reports().unwrap();
            let key = hmac();
            while !done.load(Ordering::SeqCst) {
                assert!(reports.of(&label(), None, key.thumbprint()).count(Act::Verified) == 0);
            }
        });
        let horizons = (1..=2_000_u64).map(|round| {
            let exp = START + round * 100;
            let payload = format!(r#"{{"exp":{exp}}}"#);
            jws::sign(&process.signing, payload.as_bytes(), &SignOptions::default()).unwrap();
            process.book.flush().unwrap();
            let book = UsageBook::new(Some(folder.path()), GCM_MESSAGES, dial.clock());
            let report = book.report(&label(), None, hmac().thumbprint()).unwrap();
            let terms = Terms::default();
            (exp, report.verdict(&terms, dial.now()))
        });
        let late = horizons.into_iter().find(|(exp, verdict)| *verdict != Verdict::SafeAfter(*exp));
        done.store(true, Ordering::SeqCst);
        assert_eq!(late, None);
    });
}

#[test]
fn one_process_may_look_at_a_key_that_it_holds_while_it_signs_with_it() {
    let folder = fast_folder();
    let dial = Dial::new();
    let process = Process::start(folder.path(), &dial);
    let book = process.book.clone();
    let (done, ended) = std::sync::mpsc::channel();
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let stopped = stop.clone();
    let looker = std::thread::spawn(move || {
        let mut looks = 0;
        while !stopped.load(Ordering::SeqCst) {
            let mut held = book.hold().unwrap().unwrap();
            let reports = held.reports().unwrap();
            std::hint::black_box(reports.of(&label(), None, hmac().thumbprint()));
            looks += 1;
        }
        looks
    });
    std::thread::spawn(move || {
        for step in 0..300 {
            // Each beyond what is reserved: it has to be written first.
            let payload = format!(r#"{{"exp":{}}}"#, START + step * 2 * BLOCK);
            jws::sign(&process.signing, payload.as_bytes(), &SignOptions::default()).unwrap();
        }
        done.send(()).unwrap();
    });
    ended.recv_timeout(Duration::from_secs(60)).expect("they wait for each other");
    stop.store(true, Ordering::SeqCst);
    assert!(looker.join().unwrap() > 0);
}

const SIGNER: &str = "CLAVIGER_TEST_SIGNER";

/// Signs and encrypts until it is killed, and says what it let out.
fn sign_until_killed(state: &Path) -> ! {
    use std::io::Write;
    let dial = Dial::new();
    let process = Process::start(state, &dial);
    let mut random = Random(std::process::id().into());
    let mut out = std::io::stdout();
    loop {
        let exp = START + random.below(1_000_000);
        let payload = format!(r#"{{"exp":{exp}}}"#);
        jws::sign(&process.signing, payload.as_bytes(), &SignOptions::default()).unwrap();
        writeln!(out, "exp {exp}").unwrap();
        jwe::encrypt(&process.sealing, b"x", &EncryptOptions::default()).unwrap();
        writeln!(out, "encrypted 1").unwrap();
        dial.0.fetch_add(random.below(40), Ordering::SeqCst);
        if random.below(50) == 0 {
            process.book.flush().unwrap();
        }
    }
}

/// Three hundred processes, two at a time in one state directory, each killed at a random moment.
#[test]
fn no_crash_lets_a_token_outlive_what_the_file_says() {
    if let Some(state) = std::env::var_os(SIGNER) {
        sign_until_killed(Path::new(&state));
    }
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let name = "horizon::no_crash_lets_a_token_outlive_what_the_file_says";
    let mut random = Random(1);
    let (mut latest, mut encrypted) = (0, 0);
    for _ in 0..150 {
        let children: Vec<_> = (0..2)
            .map(|_| {
                let mut child = Command::new(std::env::current_exe().unwrap())
                    .args(["--exact", name, "--nocapture"])
                    .env(SIGNER, &state)
                    .stdout(Stdio::piped())
                    .stderr(Stdio::null())
                    .spawn()
                    .unwrap();
                let out = BufReader::new(child.stdout.take().unwrap());
                (child, out)
            })
            .collect();
        for (mut child, mut out) in children {
            let mut line = String::new();
            let mut whole = true;
            let mut lines_before_death = random.below(40);
            while whole {
                line.clear();
                whole = out.read_line(&mut line).unwrap() > 0 && line.ends_with('\n');
                let value = line
                    .split_once(' ')
                    .and_then(|(word, value)| Some((word, value.trim().parse::<u64>().ok()?)));
                match value.filter(|_| whole) {
                    Some(("exp", exp)) => latest = latest.max(exp),
                    Some(("encrypted", one)) => encrypted += one,
                    _ => continue,
                }
                lines_before_death = lines_before_death.saturating_sub(1);
                if lines_before_death == 0 {
                    drop(child.kill());
                }
            }
            child.wait().unwrap();
        }
        let book = UsageBook::new(Some(&state), GCM_MESSAGES, Clock::system());
        let report = book.report(&label(), None, hmac().thumbprint()).unwrap();
        assert!(report.latest_exp >= Some(latest), "{report:?} and {latest}");
        let sealing = book.report(&label(), None, aes().thumbprint()).unwrap();
        assert!(sealing.messages >= encrypted, "{sealing:?} and {encrypted}");
    }
    assert!(latest > START && encrypted > 300);
}
