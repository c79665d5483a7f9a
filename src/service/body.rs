//! Bodies of requests: collected under bounds of size and time, then parsed strictly.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::StatusCode;
use hyper::body::{Body, Incoming};
use serde::Deserialize;

use super::{Limits, Problem};

/// The whole body.
///
/// # Errors
/// 413 if it is too large, 408 if it takes too long, 400 if the connection breaks off.
pub(crate) async fn collect(body: &mut Incoming, limits: &Limits) -> Result<Bytes, Problem> {
    let mut whole = pin!(whole(body, limits.max_body_bytes));
    // Most come together with their head.
    if let Poll::Ready(collected) = poll_fn(|cx| Poll::Ready(whole.as_mut().poll(cx))).await {
        return collected;
    }
    tokio::time::timeout(limits.body_timeout, whole).await.unwrap_or_else(|_| {
        let text = "the body did not come in time";
        Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "timeout", text)
            .with_help("send it at once; body_timeout of [service] is the bound"))
    })
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
            let text = format!("the body is larger than {most} bytes");
            return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "limit_exceeded", text)
                .with_help("send less at once; max_body_bytes of [service] is the bound"));
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
    let mut left = DISCARDED_BYTES;
    if body.is_end_stream() || waits || body.size_hint().lower() > left {
        return body.is_end_stream();
    }
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
const DISCARDED_BYTES: u64 = 64 << 10;
const DISCARD_TIME: Duration = Duration::from_secs(1);

/// A body as a struct, which may borrow from it: unknown and repeated members are refused.
///
/// # Errors
/// 400 with the place.
pub(crate) fn parse<'b, T: Deserialize<'b>>(bytes: &'b [u8]) -> Result<T, Problem> {
    serde_json::from_slice(bytes).map_err(|error| malformed(&error))
}

/// What is told of a body that is not of its form. The parser's own text may quote a value, which may be a secret.
pub(crate) fn malformed(error: &serde_json::Error) -> Problem {
    let what = match error.classify() {
        serde_json::error::Category::Data => "the body is not of the form of this operation",
        _ => "the body is no JSON",
    };
    let text = format!("{what}: line {}, column {}", error.line(), error.column());
    Problem::new(StatusCode::BAD_REQUEST, "malformed", text)
        .with_help("GET /openapi.json has the form of each body")
}
