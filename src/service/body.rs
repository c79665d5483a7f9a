//! Bodies of requests: collected under bounds of size and time, then parsed strictly.

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::StatusCode;
use hyper::body::Incoming;
use serde::Deserialize;

use super::{Limits, Problem};

/// The whole body.
///
/// # Errors
/// 413 if it is too large, 408 if it takes too long, 400 if the connection breaks off.
pub(crate) async fn collect(body: Incoming, limits: &Limits) -> Result<Bytes, Problem> {
    let limited = Limited::new(body, limits.max_body_bytes).collect();
    match tokio::time::timeout(limits.body_timeout, limited).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            let text = format!("the body is larger than {} bytes", limits.max_body_bytes);
            Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "limit_exceeded", text)
                .with_help("send less at once; max_body_bytes of [service] is the bound"))
        }
        Ok(Err(_)) => {
            Err(Problem::new(StatusCode::BAD_REQUEST, "malformed", "the body breaks off"))
        }
        Err(_) => {
            let text = "the body did not come in time";
            Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "timeout", text)
                .with_help("send it at once; body_timeout of [service] is the bound"))
        }
    }
}

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
