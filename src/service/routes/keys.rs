//! Published keys: key sets of provider, relying party and labels, as long in caches as the schedule allows.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, ETAG, HeaderValue, IF_NONE_MATCH};

use crate::access::Right;
use crate::error::{Error, ErrorKind, Result};
use crate::profiles::jwks::{Jwks, Party, Whose};
use crate::service::answer::Answer;
use crate::service::call::Call;
use crate::service::route::Route;

const JWK_SET: &str = "application/jwk-set+json";

pub(super) fn routes() -> Vec<Route> {
    let one = |path: &str, summary, handler| {
        let route = Route::get_answer(path, summary, handler).with_right(Right::Keys);
        route.of_type(JWK_SET).kept().slow()
    };
    vec![
        one("/.well-known/jwks.json", "The key set of the provider", provider),
        one("/v1/jwks.json", "The key set of every label that publishes", everything),
        one("/v1/rp/jwks.json", "The key set of the relying party", relying_party),
        one("/v1/labels/{label}/jwks.json", "The keys that a label publishes", of_label),
    ]
}

fn provider(call: &Call<'_>) -> Result<Answer> {
    answer(call, Party::Provider)
}

fn relying_party(call: &Call<'_>) -> Result<Answer> {
    answer(call, Party::RelyingParty)
}

fn everything(call: &Call<'_>) -> Result<Answer> {
    answer(call, Party::All)
}

fn of_label(call: &Call<'_>) -> Result<Answer> {
    let label = call.label()?;
    let found = call.snapshot.find_along(call.asked.realm.as_ref(), label);
    if found.is_some_and(|set| !set.published().is_empty()) {
        return answer(call, label.clone());
    }
    // The same for a label without public keys and for one that nobody mapped: which it is needs the right to read. No
    // 404, after which a verifier might go on with the keys that it has.
    let max_age = call.snapshot.config().policy.jwks_max_age;
    reply(call, &Arc::new(Jwks::empty(&call.snapshot)), max_age)
}

fn answer(call: &Call<'_>, whose: impl Into<Whose>) -> Result<Answer> {
    let found = call.service.0.published.get(call, whose.into());
    reply(call, &found.document, found.max_age)
}

/// The document, or that the caller has it already (RFC 9110 §13.1.2).
fn reply(call: &Call<'_>, document: &Arc<Jwks>, max_age: Duration) -> Result<Answer> {
    let (etag, age) = (document.etag.as_str(), max_age.as_secs());
    let header = |text: &str| {
        HeaderValue::from_str(text).map_err(|_| Error::new(ErrorKind::Bug, "no header value"))
    };
    let known = call.headers.get_all(IF_NONE_MATCH).iter().any(|value| {
        let text = value.to_str().unwrap_or_default();
        text.trim() == "*" || text.split(',').any(|tag| weak(tag) == etag)
    });
    let answer = if known {
        Answer { status: StatusCode::NOT_MODIFIED, ..Answer::of(JWK_SET, Bytes::new()) }
    } else {
        Answer::of(JWK_SET, Bytes::from_owner(Json(Arc::clone(document))))
    };
    // A key set is the same for everybody who may read it, and not for who may not.
    let scope = if call.is_open_to_everybody(Right::Keys) { "public" } else { "private" };
    let cache = header(&format!("{scope}, max-age={age}"))?;
    Ok(answer.with_header(CACHE_CONTROL, cache).with_header(ETAG, header(etag)?))
}

/// The text of a document, which is not copied.
struct Json(Arc<Jwks>);

impl AsRef<[u8]> for Json {
    fn as_ref(&self) -> &[u8] {
        self.0.json.as_bytes()
    }
}

/// Compared weakly (RFC 9110 §8.8.3.2).
fn weak(tag: &str) -> &str {
    let tag = tag.trim();
    tag.strip_prefix("W/").unwrap_or(tag)
}
