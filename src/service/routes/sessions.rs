//! Client-side sessions: made, opened, used again, ended; as `[sessions]` of the configuration says.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::claims;
use crate::access::Right;
use crate::clock::rfc3339;
use crate::error::{Error, ErrorKind, Result};
use crate::ops::{KeySet, LabelKey};
use crate::profiles::session::{CookieSize, Sealed, Sessions};
use crate::profiles::{Accepted, Parts, Times};
use crate::service::call::Call;
use crate::service::ended::Ended;
use crate::service::route::Route;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::post("/v1/sessions/seal", Right::SessionSeal, "Make a session of claims", seal),
        Route::post("/v1/sessions/open", Right::SessionOpen, "Open a session", open),
        Route::post(
            "/v1/sessions/refresh",
            Right::SessionSeal,
            "Make the same session anew, used now",
            refresh,
        ),
        Route::post("/v1/sessions/end", Right::SessionOpen, "End a session before its time", end)
            .slow(),
    ]
}

/// A session to be made.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "SessionSealRequest")]
struct SealRequest {
    /// Its claims; `jti`, `iat`, `exp`, `idle`, `seen` and the realm are set by the service.
    #[schemars(with = "Map<String, Value>")]
    claims: Box<RawValue>,
}

/// A session as a browser gets it.
#[derive(JsonSchema, Serialize)]
struct SealedSession {
    /// The value of the cookie.
    token: String,
    /// Its id.
    id: String,
    #[serde(flatten)]
    times: Shown,
    /// How large the cookie is.
    cookie: Cookie,
}

/// The size of a cookie.
#[derive(JsonSchema, Serialize)]
struct Cookie {
    /// Name, `=` and value, in bytes.
    bytes: usize,
    /// What every browser keeps, in bytes.
    limit: usize,
    /// The claims in it, in bytes.
    claims_bytes: usize,
    /// What would make it smaller, where it is too large.
    advice: Vec<String>,
}

/// When a session was made and used, and when it ends, in RFC 3339.
#[derive(JsonSchema, Serialize)]
struct Shown {
    /// When it was made.
    issued: String,
    /// When it was used last.
    seen: String,
    /// When it ends unless it is used; absent: at its end alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    ends_unless_used: Option<String>,
    /// When it ends at the latest.
    ends: String,
}

impl Shown {
    fn of(sessions: &Sessions, times: &Times) -> Self {
        let (idle_end, end) = sessions.ends(times);
        Self {
            issued: shown(times.issued),
            seen: shown(times.seen),
            ends_unless_used: idle_end.map(shown),
            ends: shown(end),
        }
    }
}

pub(super) fn shown(seconds: u64) -> String {
    let time = UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
    time.map_or_else(|| seconds.to_string(), rfc3339)
}

fn seal(call: &Call<'_>, body: SealRequest) -> Result<SealedSession> {
    let sessions = sessions(call);
    let made = sessions.seal(&claims(&body.claims)?)?;
    note_acting(call, || sessions.acting());
    Ok(sealed(&sessions, made))
}

fn sealed(sessions: &Sessions, sealed: Sealed) -> SealedSession {
    let times = Shown::of(sessions, &sealed.times);
    let CookieSize { bytes, claims_bytes, advice, .. } = sealed.size;
    let cookie = Cookie { bytes, limit: CookieSize::LIMIT, claims_bytes, advice };
    SealedSession { token: sealed.token, id: sealed.id, times, cookie }
}

/// A session that somebody shows.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SessionRequest {
    /// The value of the cookie.
    token: String,
}

/// A session that is accepted.
#[derive(JsonSchema, Serialize)]
struct OpenedSession {
    /// Its claims.
    claims: Map<String, Value>,
    /// Its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    /// The realm that it was made in; absent: the root realm.
    #[serde(skip_serializing_if = "Option::is_none")]
    realm: Option<String>,
    #[serde(flatten)]
    times: Option<Shown>,
    #[serde(flatten)]
    keys: MadeBy,
}

/// Which keys opened a token.
#[derive(JsonSchema, Serialize)]
pub(super) struct MadeBy {
    /// What verified it; absent: it is not signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    verified_by: Option<KeyOf>,
    /// What decrypted it; absent: it is not encrypted.
    #[serde(skip_serializing_if = "Option::is_none")]
    decrypted_by: Option<KeyOf>,
}

/// A key by its names.
#[derive(JsonSchema, Serialize)]
struct KeyOf {
    /// Its alias.
    alias: String,
    /// Its store.
    store: String,
    /// Its kid.
    kid: String,
}

impl MadeBy {
    pub(super) fn of(call: &Call<'_>, token: &Accepted) -> Self {
        note_key(call, token);
        let names = |key: &Arc<LabelKey>| KeyOf {
            alias: key.alias.to_string(),
            store: key.store.to_string(),
            kid: key.kid.clone(),
        };
        Self {
            verified_by: token.verified_by().map(names),
            decrypted_by: token.decrypted_by().map(names),
        }
    }
}

/// Tells records which key let a token in: what verified it, unless that is a peer's.
fn note_key(call: &Call<'_>, token: &Accepted) {
    for key in [token.verified_by(), token.decrypted_by()].into_iter().flatten() {
        call.note_key_of(key);
    }
}

/// Tells records which key made a token: what signs, else what encrypts. `acting` is asked only where somebody listens.
pub(super) fn note_acting(call: &Call<'_>, acting: impl FnOnce() -> Result<Parts<Arc<KeySet>>>) {
    if !call.is_recorded() {
        return;
    }
    // The call has one snapshot from start to end, so that these are the keys that made it.
    let Ok(parts) = acting() else { return };
    for keys in [parts.signing(), parts.encryption()].into_iter().flatten() {
        call.note_key_of(keys.active());
    }
}

fn open(call: &Call<'_>, body: SessionRequest) -> Result<OpenedSession> {
    let sessions = sessions(call);
    let session = sessions.open(&body.token)?;
    Ok(OpenedSession {
        id: session.id().map(str::to_owned),
        realm: session.realm().map(str::to_owned),
        times: session.times().map(|times| Shown::of(&sessions, times)),
        keys: MadeBy::of(call, &session),
        claims: session.into_claims(),
    })
}

fn refresh(call: &Call<'_>, body: SessionRequest) -> Result<SealedSession> {
    let sessions = sessions(call);
    let made = sessions.refresh(&sessions.open(&body.token)?)?;
    note_acting(call, || sessions.acting());
    Ok(sealed(&sessions, made))
}

/// A session that was ended.
#[derive(JsonSchema, Serialize)]
struct EndedSession {
    /// Its id.
    id: String,
    /// Until when it would have lived, in RFC 3339.
    until: String,
}

fn end(call: &Call<'_>, body: SessionRequest) -> Result<EndedSession> {
    let session = sessions(call).open_at_any_time(&body.token)?;
    note_key(call, &session);
    let (Some(id), Some(times)) = (session.id(), session.times()) else {
        return Err(Error::new(ErrorKind::TokenRefused, "the token is not accepted"));
    };
    // A shorter configuration may be taken back: the claim counts.
    ended(call).end(id, times.expires)?;
    Ok(EndedSession { id: id.to_owned(), until: shown(times.expires) })
}

/// The sessions of the realm of a call, without those that were ended.
fn sessions(call: &Call<'_>) -> Sessions {
    call.keyring.sessions_in(call.asked.realm.as_ref()).with_denylist(ended(call))
}

fn ended(call: &Call<'_>) -> Ended {
    let service = &call.service.0;
    Ended::of(&service.ended_sessions, call.asked.realm.as_ref(), &service.clock)
}
