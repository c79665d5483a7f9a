//! Published keys: key sets of provider, relying party and labels, as long in caches as the schedule allows.

use std::time::UNIX_EPOCH;

use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, ETAG, HeaderValue, IF_NONE_MATCH};

use super::super::answer::Answer;
use super::super::call::Call;
use super::super::published::{Published, Which};
use super::super::route::Route;
use crate::access::Right;
use crate::error::{Error, ErrorKind, Result};
use crate::profiles::jwks::Party;

const JWK_SET: &str = "application/jwk-set+json";

pub(super) fn routes() -> Vec<Route> {
    let one = |path: &str, summary, handler| {
        Route::get_answer(path, summary, handler).with_right(Right::Keys).of_type(JWK_SET).slow()
    };
    vec![
        one("/.well-known/jwks.json", "The key set of the provider", provider),
        one("/v1/jwks.json", "The key set of every label that publishes", everything),
        one("/v1/rp/jwks.json", "The key set of the relying party", relying_party),
        one("/v1/labels/{label}/jwks.json", "The keys that a label publishes", of_label),
    ]
}

fn provider(call: &Call<'_>) -> Result<Answer> {
    answer(call, Which::Party(Party::Provider))
}

fn relying_party(call: &Call<'_>) -> Result<Answer> {
    answer(call, Which::Party(Party::RelyingParty))
}

fn everything(call: &Call<'_>) -> Result<Answer> {
    answer(call, Which::Party(Party::All))
}

fn of_label(call: &Call<'_>) -> Result<Answer> {
    let label = call.label()?;
    call.snapshot.keys(call.realm.as_ref(), label)?;
    answer(call, Which::Label(label.clone()))
}

/// The document, or that the caller has it already (RFC 9110 §13.1.2).
fn answer(call: &Call<'_>, which: Which) -> Result<Answer> {
    let found: std::sync::Arc<Published> = call.service.0.published.get(call, which)?;
    let now = call.service.0.clock.now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let age = found.max_age(now.as_secs(), call.snapshot.config());
    let header = |text: &str| {
        HeaderValue::from_str(text).map_err(|_| Error::new(ErrorKind::Bug, "no header value"))
    };
    let known = call.headers.get_all(IF_NONE_MATCH).iter().any(|value| {
        let text = value.to_str().unwrap_or_default();
        text.trim() == "*" || text.split(',').any(|tag| weak(tag) == found.etag)
    });
    let mut answer = Answer::of(JWK_SET, found.json.clone());
    if known {
        (answer.status, answer.body) = (StatusCode::NOT_MODIFIED, bytes::Bytes::new());
    }
    // A key set is the same for everybody who may read it, and not for who may not.
    let scope = if call.is_open_to_everybody(Right::Keys) { "public" } else { "private" };
    let cache = header(&format!("{scope}, max-age={age}"))?;
    Ok(answer.with_header(CACHE_CONTROL, cache).with_header(ETAG, header(&found.etag)?))
}

/// Compared weakly (RFC 9110 §8.8.3.2).
fn weak(tag: &str) -> &str {
    let tag = tag.trim();
    tag.strip_prefix("W/").unwrap_or(tag)
}
