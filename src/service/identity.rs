//! Who calls: the credential of a request or of its connection, and the caller that it proves.
//!
//! ```text
//! certificate of the connection ─► its names ─► caller ┐
//!                                                      ├─► one and the same, or nobody is let in
//! Authorization: Bearer ─► API key │ token ───► caller ┘
//! ```
//!
//! Nothing is remembered from one request to the next but what a connection proved, by which anchors, and the key sets of
//! others ([`Issuers`](super::issuers::Issuers)): who a credential is of is asked of the snapshot of each request.

use std::error::Error as _;
use std::ops::RangeInclusive;
use std::time::SystemTime;

use hyper::header::AUTHORIZATION;
use hyper::{HeaderMap, StatusCode};
use tokio::sync::watch;

use super::listen::PeerAddress;
use super::seen::Seen;
use super::{Problem, Service, bearer};
use crate::access::{Access, CertificateName};
use crate::clock::to_unix;
use crate::keyring::Snapshot;
use crate::label::CallerName;
use crate::tls::Admitted;

/// What a connection says of its other end.
#[derive(Debug)]
pub(crate) struct Peer {
    /// What its certificate may be known by.
    names: Vec<CertificateName>,
    /// When that holds, in seconds since 1970: connections live longer than certificates.
    valid: RangeInclusive<i64>,
    /// Who vouches for it: connections live longer than authorities, too.
    admitted: Option<Admitted>,
    /// Whether its certificate counts no more.
    over: watch::Sender<bool>,
    /// Where it is.
    pub(super) address: PeerAddress,
}

impl Peer {
    /// The other end of a connection, with the certificate that it proved in the handshake, in DER.
    pub(super) fn new(
        address: PeerAddress,
        leaf: Option<&[u8]>,
        admitted: Option<Admitted>,
    ) -> Self {
        let (names, valid) = match leaf.map(CertificateName::all_of) {
            Some(Ok(shown)) => shown,
            Some(Err(error)) => {
                log::warn!("a client certificate proves nobody: {error}");
                (Vec::new(), 0..=0)
            }
            None => (Vec::new(), 0..=0),
        };
        Self { names, valid, admitted, over: watch::Sender::new(false), address }
    }

    /// Whether a request found that the certificate counts no more: its client has to shake hands again.
    pub(crate) fn counts_no_more(&self) -> bool {
        *self.over.borrow()
    }

    /// Until that is so.
    pub(crate) async fn ends(&self) {
        drop(self.over.subscribe().wait_for(|over| *over).await);
    }

    /// The caller of the certificate. One that is of nobody is as good as none: clients do not choose for each
    /// request what they show. One that a handshake of now would refuse is refused, whatever else the request shows.
    fn caller<'a>(
        &self,
        access: &'a Access,
        now: SystemTime,
    ) -> Result<Option<&'a CallerName>, Problem> {
        if let Some(Err(error)) = self.admitted.as_ref().map(|one| one.check(now)) {
            let why = error.source().map(ToString::to_string).unwrap_or_default();
            log::info!("a client that was let in before is refused: {why}");
            self.over.send_replace(true);
            let text = "nobody who is trusted vouches for the client certificate of this connection any more";
            return Err(unauthenticated(text).with_help("connect again with a new one"));
        }
        let callers = access.by_certificate(&self.names);
        let now = to_unix(now);
        if !callers.is_empty() && !self.valid.contains(&i64::try_from(now).unwrap_or(i64::MAX)) {
            self.over.send_replace(true);
            let text = "the client certificate of this connection does not hold any more";
            return Err(unauthenticated(text).with_help("connect again with a new one"));
        }
        match callers.as_slice() {
            [] => Ok(None),
            [caller] => Ok(Some(caller)),
            _ => Err(conflicting()),
        }
    }
}

/// The caller of a request, as often as it may ask.
///
/// # Errors
/// As [`identify`]; 429.
pub(super) async fn admit(
    service: &Service,
    snapshot: &Snapshot,
    peer: &Peer,
    headers: &HeaderMap,
    seen: &mut Seen,
) -> Result<CallerName, Problem> {
    let (config, rates) = (snapshot.config(), &service.0.rates);
    let limits = &config.service.rate_limits;
    // Who shows a certificate of a caller has nothing to guess.
    if config.access.by_certificate(&peer.names).is_empty() {
        rates.look_at(peer.address, limits.unauthenticated)?;
    }
    let caller = identify(service, snapshot, peer, headers).await.inspect_err(|problem| {
        if problem.http_status() == StatusCode::UNAUTHORIZED {
            rates.failed(peer.address, limits.unauthenticated);
        }
    })?;
    seen.caller = Some(caller.clone());
    let anonymous = config.access.anonymous() == Some(&caller);
    rates.ask(&caller, anonymous.then_some(peer.address), limits.caller)?;
    Ok(caller)
}

/// The caller of a request.
///
/// # Errors
/// 401 for a credential of nobody, for two that are of different callers, and without one if nobody may call
/// without; 503 if the keys of a token's issuer cannot be had.
async fn identify(
    service: &Service,
    snapshot: &Snapshot,
    peer: &Peer,
    headers: &HeaderMap,
) -> Result<CallerName, Problem> {
    let access = &snapshot.config().access;
    let connected = peer.caller(access, service.0.clock.now())?;
    let shown = match bearer(headers)? {
        Some(text) => Some(bearer::caller(service, snapshot, text).await?),
        None => None,
    };
    let found = match (connected, shown) {
        (Some(one), Some(other)) if one != other => return Err(conflicting()),
        (Some(one), _) | (None, Some(one)) => Some(one),
        (None, None) => access.anonymous(),
    };
    found.cloned().ok_or_else(Problem::unauthenticated)
}

/// The credential of `Authorization: Bearer` (RFC 6750 §2.1); the scheme is compared without case. A header that
/// cannot be read is not as good as none.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().ok().and_then(|text| {
        let (scheme, token) = text.split_once(' ')?;
        let token = token.trim();
        (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
    });
    match (text, values.next()) {
        (Some(text), None) => Ok(Some(text)),
        _ => Err(Problem::unauthenticated()),
    }
}

/// The request shows credentials of more than one caller: which of them acts is not for us to choose.
pub(super) fn conflicting() -> Problem {
    let text = "the request shows credentials of different callers";
    let problem = Problem::new(StatusCode::UNAUTHORIZED, "conflicting_credentials", text);
    problem.with_help("show one of them alone")
}

fn unauthenticated(detail: &'static str) -> Problem {
    Problem { detail: detail.into(), ..Problem::unauthenticated() }
}
