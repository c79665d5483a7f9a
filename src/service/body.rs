//! Bodies of requests: collected under bounds of size and time, then parsed strictly.

use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use hyper::header::{CONTENT_ENCODING, HeaderName, TRANSFER_ENCODING};
use hyper::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Limits, Problem};
use crate::json::{self, Objects};

/// Refuses a body in a coding other than the one that is read: taken as it came it would be something else.
///
/// # Errors
/// 415, 501.
pub(crate) fn require_plain(headers: &HeaderMap) -> Result<(), Problem> {
    // RFC 9110 §15.5.16
    if !has_only(headers, &CONTENT_ENCODING, "identity") {
        let text = "the body is in a content coding";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_encoding", text)
            .with_help("send it as it is, without `Content-Encoding`"));
    }
    // RFC 9112 §6.1
    if !has_only(headers, &TRANSFER_ENCODING, "chunked") {
        let text = "the body is in a transfer coding besides chunked";
        return Err(Problem::new(StatusCode::NOT_IMPLEMENTED, "unsupported_encoding", text)
            .with_help("send it with `Content-Length`, or chunked alone"));
    }
    Ok(())
}

/// Whether the lists of these headers have nothing but this word (RFC 9110 §5.6.1: an empty element is none).
fn has_only(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    headers.get_all(name).iter().all(|value| {
        value.as_bytes().split(|byte| *byte == b',').all(|coding| {
            let coding = coding.trim_ascii();
            coding.is_empty() || coding.eq_ignore_ascii_case(word.as_bytes())
        })
    })
}

/// The whole body. `waits` is asked for what is held while it is waited for.
///
/// # Errors
/// 413 if it is too large, 408 if it takes too long, 400 if the connection breaks off; those of `waits`.
pub(crate) async fn collect<W>(
    body: &mut Incoming,
    limits: &Limits,
    waits: impl FnOnce() -> Result<W, Problem>,
) -> Result<Bytes, Problem> {
    // What says itself that it is too large is not asked for, and a client that waits for that hears why.
    let most = limits.max_body_bytes;
    if usize::try_from(body.size_hint().lower()).map_or(true, |size| size > most) {
        return Err(too_large(most));
    }
    let mut whole = pin!(whole(body, most));
    // Most come together with their head.
    if let Poll::Ready(collected) = poll_fn(|cx| Poll::Ready(whole.as_mut().poll(cx))).await {
        return collected;
    }
    let _waits = waits()?;
    tokio::time::timeout(limits.body_timeout, whole).await.unwrap_or_else(|_| {
        let text = "the body did not come in time";
        Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "timeout", text)
            .with_help("send it at once; body_timeout of [service] is the bound"))
    })
}

fn too_large(most: usize) -> Problem {
    let text = format!("the body is larger than {most} bytes");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "limit_exceeded", text)
        .with_help("send less at once; max_body_bytes of [service] is the bound")
}

/// What comes, however long that takes.
async fn whole(body: &mut Incoming, most: usize) -> Result<Bytes, Problem> {
    let mut first = Bytes::new();
    let mut all = Vec::new();
    while !body.is_end_stream()
        && let Some(frame) = body.frame().await
    {
        let broken = |_| Problem::new(StatusCode::BAD_REQUEST, "malformed", "the body breaks off");
        // Trailers say nothing to us.
        let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
        let size = if all.is_empty() { first.len() } else { all.len() };
        if size.saturating_add(data.len()) > most {
            return Err(too_large(most));
        }
        if size == 0 {
            first = data;
            continue;
        }
        if all.is_empty() {
            all.extend_from_slice(&first);
        }
        all.extend_from_slice(&data);
    }
    Ok(if all.is_empty() { first } else { all.into() })
}

/// Whether nothing of the body is left. What is short and comes at once is read and thrown away; a client that waits to
/// be asked for it is not asked.
pub(crate) async fn is_over(body: &mut Incoming, waits: bool) -> bool {
    if body.is_end_stream() || waits || body.size_hint().lower() > SHORT_BYTES {
        return body.is_end_stream();
    }
    discard(body, SHORT_BYTES).await
}

/// Throws away what still comes of a body whose answer is on its way: under that the connection would be cut off, or the
/// stream be reset, and most clients that still send then never read why.
pub(crate) async fn linger(mut body: Incoming) {
    discard(&mut body, LONG_BYTES).await;
}

/// Reads so many bytes for a moment; whether that was all.
async fn discard(body: &mut Incoming, mut left: u64) -> bool {
    let discard = async {
        while let Some(frame) = body.frame().await {
            let bytes = frame.ok().map(|frame| frame.data_ref().map_or(0, Bytes::len));
            let bytes = bytes.and_then(|bytes| u64::try_from(bytes).ok());
            match bytes.and_then(|bytes| left.checked_sub(bytes)) {
                Some(rest) => left = rest,
                None => return false,
            }
        }
        true
    };
    tokio::time::timeout(DISCARD_TIME, discard).await.unwrap_or(false)
}

/// More than that is cheaper to send over a new connection.
const SHORT_BYTES: u64 = 64 << 10;
/// Some times what is taken by default.
const LONG_BYTES: u64 = 8 << 20;
const DISCARD_TIME: Duration = Duration::from_secs(1);

/// A body as a struct, which may borrow from it: unknown and repeated members are refused.
///
/// # Errors
/// 400 with the place.
pub(crate) fn parse<'b, T: Deserialize<'b>>(bytes: &'b [u8]) -> Result<T, Problem> {
    json::read(bytes, Objects(PhantomData), |body| body).map_err(|error| malformed(bytes, &error))
}

/// What is told of a body that is not of its form.
#[cold]
pub(crate) fn malformed(bytes: &[u8], error: &serde_json::Error) -> Problem {
    let (line, column) = (error.line(), error.column());
    let text = if bytes.is_empty() {
        "there is no body".to_owned()
    // The parser calls some values of a wrong type bad syntax.
    } else if error.is_data() || serde_json::from_slice::<IgnoredAny>(bytes).is_ok() {
        let why = reason(&error.to_string()).map_or_else(String::new, |why| format!(": {why}"));
        format!("the body is not of the form of this operation: line {line}, column {column}{why}")
    } else {
        format!("the body is no JSON: line {line}, column {column}")
    };
    Problem::new(StatusCode::BAD_REQUEST, "malformed", text)
        .with_help("GET /openapi.json has the form of each body")
}

/// The part of the parser's text that is of the form alone: the rest may quote a value, which may be a secret.
fn reason(text: &str) -> Option<String> {
    let text = text.rsplit_once(" at line ").map_or(text, |(text, _)| text);
    let member = |text: &str| text.strip_suffix('`').map(str::to_owned);
    if let Some(name) = text.strip_prefix("missing field `") {
        return member(name).map(|name| format!("\"{name}\" is missing"));
    }
    if let Some(name) = text.strip_prefix("duplicate field `") {
        return member(name).map(|name| format!("\"{name}\" is there twice"));
    }
    let quotes = ["invalid type: ", "invalid value: ", "unknown field `", "unknown variant `"];
    if !quotes.iter().any(|beginning| text.starts_with(beginning)) {
        return None;
    }
    if text.ends_with("`, there are no fields") {
        return Some("expected no members".to_owned());
    }
    // Behind what is quoted, whatever that holds.
    let (_, form) = text.rsplit_once(", expected ")?;
    Some(format!("expected {}", in_json(form)))
}

/// What a form of Rust is called in JSON.
fn in_json(form: &str) -> String {
    let most = match form {
        "u8" => u64::from(u8::MAX),
        "u16" => u64::from(u16::MAX),
        "u32" => u64::from(u32::MAX),
        "u64" | "usize" => u64::MAX,
        "a sequence" => return "a list".to_owned(),
        "a map" => return "an object".to_owned(),
        struct_form if struct_form.starts_with("struct ") => return "an object".to_owned(),
        other => return other.replace('`', "\""),
    };
    format!("a whole number from 0 to {most}")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "its form counts")]
    struct Form {
        name: String,
        #[serde(default)]
        count: u8,
        #[serde(default)]
        kind: Option<Kind>,
        #[serde(default)]
        inner: Option<Inner>,
        #[serde(default)]
        list: Vec<u8>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {}

    #[derive(Clone, Copy, Debug, Deserialize)]
    enum Kind {
        #[serde(rename = "one")]
        One,
        #[serde(rename = "two")]
        Two,
    }

    fn told(body: &str) -> String {
        parse::<Form>(body.as_bytes()).unwrap_err().detail.into_owned()
    }

    #[test]
    fn a_body_of_another_form_is_told_which_one_it_should_have() {
        let form = |at: &str, why: &str| {
            format!("the body is not of the form of this operation: line 1, {at}: {why}")
        };
        for (body, expected) in [
            ("", "there is no body".to_owned()),
            ("{", "the body is no JSON: line 1, column 1".to_owned()),
            (r#"{"name":"a"} x"#, "the body is no JSON: line 1, column 14".to_owned()),
            ("{}", form("column 2", r#""name" is missing"#)),
            (r#"{"name":"a","name":"b"}"#, form("column 18", r#""name" is there twice"#)),
            (r#"{"name":1}"#, form("column 9", "expected a string")),
            (
                r#"{"name":"a","count":256}"#,
                form("column 23", "expected a whole number from 0 to 255"),
            ),
            (r#"{"name":"a","kind":"three"}"#, form("column 26", r#"expected "one" or "two""#)),
            (r#"["a"]"#, form("column 0", "expected an object")),
            (r#"{"name":"a","kind":7}"#, form("column 20", r#"expected one of "one", "two""#)),
            (r#"{"name":"a","list":7}"#, form("column 20", "expected a list")),
            (r#"{"name":"a","inner":{"x":1}}"#, form("column 24", "expected no members")),
            ("7", form("column 1", "expected an object")),
        ] {
            assert_eq!(told(body), expected, "{body}");
        }
        let more = told(r#"{"name":"a","x":1}"#);
        assert!(more.contains(r#"expected one of "name", "count", "kind""#), "{more}");
    }

    #[test]
    fn no_value_and_no_name_of_a_body_is_told_back() {
        let canary = "CANARY";
        for text in [
            canary.to_owned(),
            format!(", expected {canary}"),
            format!("x at line 1, expected {canary} at line 1 column 1"),
            format!("`, expected `{canary}"),
            format!("missing field `{canary}`"),
            format!("`, there are no {canary}"),
        ] {
            let name = |value: Value| {
                let mut members = serde_json::Map::from_iter([("name".to_owned(), json!("a"))]);
                members.insert(text.clone(), value);
                Value::Object(members)
            };
            for body in [
                name(json!(1)),
                json!({ "name": [text] }),
                json!({ "name": { text.as_str(): 1 } }),
                json!({ "name": "a", "count": text }),
                json!({ "name": "a", "kind": text }),
                json!({ "name": "a", "kind": { text.as_str(): 1 } }),
                json!({ "name": "a", "inner": { text.as_str(): 1 } }),
                json!({ "name": "a", "list": [text] }),
                json!([text, text]),
                json!(text),
            ] {
                let told = told(&body.to_string());
                assert!(!told.contains(canary), "{told}");
            }
        }
    }
}
