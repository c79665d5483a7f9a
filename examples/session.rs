//! A client-side session: sealed at login, opened and refreshed with a request, refused after logout.
//!
//! `cargo run --example session`

#![expect(clippy::print_stdout, clippy::indexing_slicing, reason = "an example")]

use std::sync::{Arc, Mutex};

use claviger::clock::Clock;
use claviger::profiles::{DeniedIds, Denylist};
use claviger::{Keyring, starter};
use serde_json::json;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    starter::create(folder.path(), Clock::system().now())?;
    let keyring = Keyring::open(&folder.path().join("claviger.toml"))?;

    // Yours: what every node of yours asks. Who cannot tell whether a session was logged out does not open it.
    let logged_out = Arc::new(Mutex::new(DeniedIds::default()));
    let asked = Arc::clone(&logged_out);
    let denied = move |id: &str| asked.lock().map_or(true, |ids| ids.denies(id).unwrap_or(true));
    let sessions = keyring.sessions().with_denylist(denied);

    let claims = json!({ "sub": "alice", "roles": ["admin"] });
    let sealed = sessions.seal(claims.as_object().ok_or("an object")?)?;
    println!("a cookie of {} bytes", sealed.token.len());

    let session = sessions.open(&sealed.token)?;
    let id = session.id().ok_or("a session has an id")?;
    println!("{id} is of {}", session.claims()["sub"]);
    let next = sessions.refresh(&session)?;
    let refreshed = sessions.open(&next.token)?;
    assert_eq!(refreshed.claims()["roles"][0], "admin");

    let (_, end) = sessions.ends(refreshed.times().ok_or("a session has times")?);
    logged_out.lock().map_err(|_| "poisoned")?.deny(id, end);
    let refused = sessions.open(&next.token).err().ok_or("it was logged out")?;
    println!("after the logout: {refused}");
    assert!(sessions.open(&sealed.token).is_err(), "every cookie of the session");
    Ok(())
}
