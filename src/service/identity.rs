//! Who calls: the credential of a request or of its connection, and the caller that it proves.

use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;

use super::Problem;
use crate::access::Access;
use crate::label::CallerName;

/// What a connection says of its other end.
#[derive(Debug, Default)]
pub(crate) struct Peer {
    /// The certificate that it proved in the handshake, in DER, leaf first.
    pub(crate) chain: Vec<Vec<u8>>,
}

/// The caller of a request.
///
/// # Errors
/// 401 for a credential of nobody, and without one if nobody may call without.
pub(crate) fn identify(
    access: &Access,
    _peer: &Peer,
    headers: &HeaderMap,
) -> Result<CallerName, Problem> {
    let found = match headers.get(AUTHORIZATION) {
        Some(value) => value.to_str().ok().and_then(bearer).and_then(|key| access.by_api_key(key)),
        None => access.anonymous(),
    };
    found.cloned().ok_or_else(Problem::unauthenticated)
}

/// The token of `Authorization: Bearer` (RFC 6750 §2.1); the scheme is compared without case.
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_start())
}
