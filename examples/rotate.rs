//! The life of a signing key: the next one is made and staged, acts once everybody knows it, and the old one goes once
//! nothing that it signed lives. Every step is refused until it is safe, and says when that is.
//!
//! `cargo run --example rotate`

#![expect(clippy::print_stdout, reason = "an example")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use claviger::clock::{Clock, from_unix, to_unix};
use claviger::journal::Actor;
use claviger::rotation::{NextKey, Request, Rotation, Step};
use claviger::{Alias, Config, ErrorKind, Keyring, starter};

const LABEL: &str = "am.services.oauth2.oidc.signing.ES256";
const HOUR: u64 = 3_600;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // A clock that is put forward by hand; services take `Clock::system()`.
    let seconds = Arc::new(AtomicU64::new(1_800_000_000));
    let told = Arc::clone(&seconds);
    let clock = Clock::from_fn(move || from_unix(told.load(Ordering::SeqCst)));

    let folder = tempfile::tempdir()?;
    starter::create(folder.path(), clock.now())?;
    let file = folder.path().join("claviger.toml");
    let actor = Actor::of_this_process(Some("the example".to_owned()));
    let open = || Rotation::open_new(&file, clock.clone(), actor.clone());
    // Its journal begins with the keys that were made just now.
    drop(open()?);

    let keyring = Keyring::from_config(Config::load(&file)?, clock.clone())?;
    let id_tokens = keyring.label(LABEL)?;
    let lives = to_unix(clock.now() + Duration::from_secs(30 * 24 * HOUR));
    let old = id_tokens.sign(format!(r#"{{"sub":"alice","exp":{lives}}}"#).as_bytes())?;

    let next: Alias = "es256-3".parse()?;
    let stage = Request::new(Step::Stage { alias: next.clone() }, LABEL)?;
    let plan = open()?.generate(&stage, &NextKey { days: 825, ..NextKey::default() })?;
    println!("staged {next}\n{plan}");

    // Peers still have the key set from before.
    let promote = Request::new(Step::Promote { alias: next.clone() }, LABEL)?;
    let early = open()?.apply(&promote).err().ok_or("it was not published yet")?;
    println!("promote: {early}\n  {}", early.help().unwrap_or_default());
    assert_eq!(early.kind(), ErrorKind::NotAnnounced);
    seconds.fetch_add(2 * HOUR, Ordering::SeqCst);
    open()?.apply(&promote)?;
    keyring.reload()?;
    let new = id_tokens.verify(&id_tokens.sign(br#"{"sub":"alice"}"#)?)?;
    assert_eq!(new.key.alias, next);
    println!("{} acts, {} still verifies", next, id_tokens.verify(&old)?.key.alias);

    // What the old key signed is alive.
    let retire = Request::new(Step::Retire { alias: "es256-1".parse()? }, LABEL)?;
    let early = open()?.apply(&retire).err().ok_or("its tokens are alive")?;
    println!("retire: {early}\n  {}", early.help().unwrap_or_default());
    assert_eq!(early.kind(), ErrorKind::StillInUse);
    seconds.fetch_add(31 * 24 * HOUR, Ordering::SeqCst);
    open()?.apply(&retire)?;
    keyring.reload()?;
    assert!(id_tokens.verify(&old).is_err(), "a retired key verifies nothing");
    println!("retired es256-1");
    Ok(())
}
