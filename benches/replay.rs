//! How long a replay takes: ten million records of a thousand groups, read from a file of 400 MB and put to a
//! future mapping, on one thread. And what recording costs a verification, in thread CPU time.
//!
//! `cargo bench --bench replay`

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a bench")]

use std::io::Write;
use std::time::{Duration, UNIX_EPOCH};

use claviger::Keyring;
use claviger::clock::Clock;
use claviger::config::Config;
use claviger::drill;
use claviger::trace::{Group, Outcome, Trace, frame};
use rustix::time::{ClockId, clock_gettime};

const RECORDS: u32 = 10_000_000;
const FRAME: u32 = 8_192;
const GROUPS: u32 = 1_000;
const START: u32 = 1_800_000_000;

fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap())
}

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let made = UNIX_EPOCH + Duration::from_secs(START.into());
    claviger::starter::create(folder.path(), made).unwrap();
    let config = Config::load(&folder.path().join("claviger.toml")).unwrap();
    let keyring = Keyring::from_config(config, Clock::system()).unwrap();
    let (config, snapshot) = (keyring.config(), keyring.snapshot());

    // A thousand realms that ask for one label, by every other key.
    let label = "am.services.oauth2.oidc.signing.ES256".parse().unwrap();
    let keys = snapshot.keys(None, &label).unwrap().keys();
    let groups: Vec<Group> = (0..GROUPS)
        .zip(keys.iter().cycle())
        .map(|(number, key)| Group {
            label: Some(label.clone()),
            realm: Some(format!("realm-{number}").parse().unwrap()),
            asked: None,
            instead: None,
            outcome: Outcome::Verified,
            kid: Some(key.kid.clone()),
            alg: "ES256".into(),
            enc: None,
            key: key.key.thumbprint().to_owned(),
        })
        .collect();
    let path = folder.path().join("trace");
    let mut file = std::io::BufWriter::new(std::fs::File::create(&path).unwrap());
    let mut bytes = 0;
    for first in (0..RECORDS).step_by(usize::try_from(FRAME).unwrap()) {
        let last = (first + FRAME).min(RECORDS);
        let record = |at: u32| {
            let (time, end) = (START + at / 100, (START + at / 100 + 3_600).div_ceil(60) * 60);
            [at.wrapping_mul(2_654_435_761) % GROUPS, time, end, 1]
        };
        let records: Vec<[u32; 4]> = (first..last).map(record).collect();
        let frame = frame(&groups, &records);
        bytes += frame.len();
        file.write_all(&frame).unwrap();
    }
    file.flush().unwrap();
    drop(file);

    let at = UNIX_EPOCH + Duration::from_secs((START + RECORDS / 200).into());
    let before = cpu();
    let trace = Trace::read(std::slice::from_ref(&path)).unwrap();
    let read = cpu() - before;
    let found = drill::replay(&trace, (&config, &snapshot), (&config, &snapshot), at);
    let all = cpu() - before;
    assert_eq!(found.live + found.ended, u64::from(RECORDS));
    println!(
        "{RECORDS} records, {GROUPS} groups, {} MB: read {:.2} s, replayed {:.2} s; {} of {} live tokens break",
        bytes >> 20,
        read.as_secs_f64(),
        all.as_secs_f64(),
        found.broken,
        found.live
    );
    recording();
}

/// HS256 with and without a trace, in turns; the smallest time of each counts.
fn recording() {
    const CALLS: u32 = 5_000;
    let verify = |record: bool| {
        let folder = tempfile::tempdir().unwrap();
        let made = UNIX_EPOCH + Duration::from_secs(START.into());
        claviger::starter::create(folder.path(), made).unwrap();
        let file = folder.path().join("claviger.toml");
        let text =
            std::fs::read_to_string(&file).unwrap() + &format!("[trace]\nrecord = {record}\n");
        std::fs::write(&file, text).unwrap();
        let keyring = Keyring::open_once(&file).unwrap();
        (folder, keyring.label("am.services.oauth2.jwt.authenticity.signing").unwrap())
    };
    let (_plain_folder, plain) = verify(false);
    let (_folder, recorded) = verify(true);
    let token = plain.sign(br#"{"sub":"alice","exp":4102444800}"#).unwrap();
    let theirs = recorded.sign(br#"{"sub":"alice","exp":4102444800}"#).unwrap();
    let time = |label: &claviger::Label, token: &str| {
        let before = cpu();
        for _ in 0..CALLS {
            std::hint::black_box(label.verify(token).is_ok());
        }
        (cpu() - before) / CALLS
    };
    let mut best = [Duration::MAX; 2];
    for _ in 0..60 {
        best[0] = best[0].min(time(&plain, &token));
        best[1] = best[1].min(time(&recorded, &theirs));
    }
    println!("verify HS256: {} ns, recorded {} ns", best[0].as_nanos(), best[1].as_nanos());
}
