//! Who calls: the credential of a request or of its connection, and the caller that it proves.
//!
//! ```text
//! certificate of the connection ─► its names ─► caller ┐
//!                                                      ├─► one and the same, or nobody is let in
//! Authorization: Bearer ─► API key │ token ───► caller ┘
//! ```
//!
//! What is remembered from one request to the next is what a connection proved, by which anchors, what its last requests
//! were let in for by the same snapshot ([`Memory`]; never by a token), and the key sets of others
//! ([`Issuers`](super::issuers::Issuers)).

use std::error::Error as _;
use std::ops::RangeInclusive;

use hyper::header::AUTHORIZATION;
use hyper::{HeaderMap, StatusCode};

use super::asked::{Asked, Memory};
use super::listen::PeerAddress;
use super::seen::Seen;
use super::signal::Signal;
use super::slots::Slot;
use super::{Problem, Service, bearer};
use crate::access::CertificateName;
use crate::clock::{Clock, to_unix};
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
    over: Signal,
    /// Where it is.
    pub(super) address: PeerAddress,
    /// What its last requests were let in for.
    pub(super) memory: Memory,
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
        let (over, memory) = (Signal::default(), Memory::default());
        Self { names, valid, admitted, over, address, memory }
    }

    /// Whether a request found that the certificate counts no more: its client has to shake hands again.
    pub(crate) fn counts_no_more(&self) -> bool {
        self.over.is_given()
    }

    /// Until that is so.
    pub(crate) async fn ends(&self) {
        self.over.given().await;
    }

    /// The caller of the certificate, of those that it is of. One that is of nobody is as good as none: clients do not
    /// choose for each request what they show. One that a handshake of now would refuse is refused, whatever else the
    /// request shows.
    fn caller<'a>(
        &self,
        callers: Vec<&'a CallerName>,
        clock: &Clock,
    ) -> Result<Option<&'a CallerName>, Problem> {
        if let Some(Err(error)) = self.admitted.as_ref().map(|one| one.check(clock.now())) {
            let why = error.source().map(ToString::to_string).unwrap_or_default();
            log::info!("a client that was let in before is refused: {why}");
            self.over.give();
            let text = "nobody who is trusted vouches for the client certificate of this connection any more";
            return Err(unauthenticated(text).with_help("connect again with a new one"));
        }
        let holds =
            || self.valid.contains(&i64::try_from(to_unix(clock.now())).unwrap_or(i64::MAX));
        if !callers.is_empty() && !holds() {
            self.over.give();
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

/// Who a request is of.
pub(super) struct Identified {
    pub(super) caller: CallerName,
    /// Whether the same credential is of the same caller for as long as the snapshot is the same: a token is not.
    pub(super) lasts: bool,
}

/// What a request is let in by.
#[derive(Clone, Copy)]
pub(super) struct Gate<'a> {
    pub(super) service: &'a Service,
    pub(super) snapshot: &'a Snapshot,
    pub(super) peer: &'a Peer,
}

impl<'a> Gate<'a> {
    /// The caller of a request, as often as it may ask.
    ///
    /// # Errors
    /// 401 for a credential of nobody, for two that are of different callers, and without one if nobody may call
    /// without; 503 if the keys of a token's issuer cannot be had; 429.
    pub(super) async fn admit(
        self,
        headers: &HeaderMap,
        slot: &mut Slot<'_>,
        seen: &mut Seen,
    ) -> Result<Identified, Problem> {
        let connected = self.connected()?;
        let found = self.identify(connected, headers, slot).await;
        let found = found.inspect_err(|problem| self.failed(problem))?;
        seen.refused.caller = Some(found.caller.clone());
        self.ask(&found.caller)?;
        Ok(found)
    }

    /// The same for what was let in before by the same snapshot with the same head.
    ///
    /// # Errors
    /// 401 for a certificate that counts no more; 429.
    pub(super) fn admit_again(self, asked: &Asked, seen: &mut Seen) -> Result<(), Problem> {
        let Some(caller) = &asked.caller else { return Ok(()) };
        self.connected()?;
        self.ask(caller).inspect_err(|_| seen.refused.caller = Some(caller.clone()))
    }

    /// The caller of the connection's certificate.
    fn connected(self) -> Result<Option<&'a CallerName>, Problem> {
        let Self { service, snapshot, peer } = self;
        let config = snapshot.config();
        let callers = config.access.by_certificate(&peer.names);
        // Who shows a certificate of a caller has nothing to guess.
        if callers.is_empty() {
            let rate = config.service.rate_limits.unauthenticated;
            service.0.rates.look_at(peer.address, rate)?;
        }
        peer.caller(callers, &service.0.clock).inspect_err(|problem| self.failed(problem))
    }

    /// Who it is of, by its certificate and what it shows itself.
    async fn identify(
        self,
        connected: Option<&CallerName>,
        headers: &HeaderMap,
        slot: &mut Slot<'_>,
    ) -> Result<Identified, Problem> {
        let access = &self.snapshot.config().access;
        let mut lasts = true;
        let shown = match bearer(headers).map_err(Problem::of_shown)? {
            None => None,
            Some(text) => match access.by_api_key(text) {
                Some(caller) => Some(caller),
                None => {
                    lasts = false;
                    // It is long, and rare where requests come fast.
                    let caller = Box::pin(bearer::caller(self, text, slot)).await;
                    Some(caller.map_err(Problem::of_shown)?)
                }
            },
        };
        let found = match (connected, shown) {
            (Some(one), Some(other)) if one != other => return Err(conflicting().of_shown()),
            (Some(one), _) | (None, Some(one)) => Some(one),
            (None, None) => access.anonymous(),
        };
        let caller = found.cloned().ok_or_else(Problem::unauthenticated)?;
        Ok(Identified { caller, lasts })
    }

    /// Counts what proved nobody.
    fn failed(self, problem: &Problem) {
        if problem.http_status() == StatusCode::UNAUTHORIZED {
            let rate = self.snapshot.config().service.rate_limits.unauthenticated;
            self.service.0.rates.failed(self.peer.address, rate);
        }
    }

    /// Counts a request of a caller.
    fn ask(self, caller: &CallerName) -> Result<(), Problem> {
        let config = self.snapshot.config();
        let rate = config.service.rate_limits.caller;
        let anonymous = config.access.anonymous() == Some(caller);
        self.service.0.rates.ask(caller, anonymous.then_some(self.peer.address), rate)
    }
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
