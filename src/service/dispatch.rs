//! From a request to its answer: route, caller, right, body, handler.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use hyper::header::{AUTHORIZATION, CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderValue, ORIGIN};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode, Version};

use super::answer::Answer;
use super::asked::Asked;
use super::audit::Settled;
use super::call::{Call, Members, Named};
use super::identity::{Gate, Peer};
use super::request_id::{self, RequestId};
use super::route::{Pace, Route};
use super::seen::Seen;
use super::slots::Slot;
use super::span::Span;
use super::{Problem, Service, body, routes};
use crate::access::{ROOT_REALM, Scope};
use crate::error::Result;
use crate::label::{LabelName, Realm};

/// The routes, found by path and method.
pub(crate) struct Table {
    routes: Vec<Route>,
    /// The rows of each path.
    paths: matchit::Router<Vec<usize>>,
}

impl Table {
    /// All of them.
    pub(crate) fn new() -> Self {
        let routes = routes::all();
        let mut by_path: HashMap<&str, Vec<usize>> = HashMap::new();
        for (at, route) in routes.iter().enumerate() {
            by_path.entry(&route.path).or_default().push(at);
        }
        let mut paths = matchit::Router::new();
        for (path, rows) in by_path {
            // A test walks all routes: a pattern that does not fit beside the others is found there.
            if let Err(error) = paths.insert(path, rows) {
                log::error!("route {path}: {error}");
            }
        }
        Self { routes, paths }
    }

    /// All rows.
    pub(crate) fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// The place of the route of a request, and the parts of its path.
    ///
    /// # Errors
    /// 404, 405.
    fn find(&self, method: &Method, path: &str) -> Result<(usize, &Route, Members), Problem> {
        let found = self.paths.at(path).map_err(|_| unknown_route())?;
        let rows = || found.value.iter().filter_map(|at| Some((*at, self.routes.get(*at)?)));
        let method = if *method == Method::HEAD { &Method::GET } else { method };
        let (at, route) = rows().find(|(_, route)| route.method == *method).ok_or_else(|| {
            // What answers GET answers HEAD (RFC 9110 §9.3.2).
            let spoken = |route: &Route| match route.method {
                Method::GET => "GET, HEAD".to_owned(),
                _ => route.method.to_string(),
            };
            let allow: Vec<String> = rows().map(|(_, route)| spoken(route)).collect();
            let allow = allow.join(", ");
            let text = "this path has no such method";
            let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", text)
                .with_help(format!("it has: {allow}"));
            Problem { allow: Some(allow.into()), ..problem }
        })?;
        let mut parts = Members::default();
        for (name, value) in found.params.iter() {
            parts.insert(name.to_owned(), value.to_owned());
        }
        Ok((at, route, parts))
    }
}

/// Answers one request.
pub(crate) async fn answer(
    service: &Service,
    peer: &Peer,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    let started = Instant::now();
    let _working = service.0.metrics.working();
    let (head, mut content) = request.into_parts();
    let (version, waits) = (head.version, head.headers.contains_key(EXPECT));
    let id = service.0.request_ids.of(&head.headers);
    let mut seen = Seen::default();
    let span = Span::begin(&head);
    let mut answer = respond(service, peer, &id, &head, &mut content, &mut seen).await;
    if let Err(problem) = &answer {
        problem.log(&id);
    }
    let route = seen.route.and_then(|at| service.0.routes.routes().get(at));
    if let Some(audit) = &service.0.audit {
        let took = started.elapsed();
        let settled = Settled { id: id.as_str(), peer, route, seen: &seen, took };
        answer = audit.settle(&settled, answer).await;
    }
    let answer = answer.unwrap_or_else(Answer::from);
    let (outcome, mut response) = (answer.outcome, answer.into_response());
    service.0.metrics.record(&seen, outcome, response.status(), started.elapsed());
    span.end(route, &seen, outcome, response.status());
    response.headers_mut().insert(request_id::HEADER, id.into_header());
    if head.method == Method::HEAD {
        leave_head(&mut response);
    }
    // What is refused before its body came: the next request of the connection stands behind that (RFC 9112 §9.3),
    // and some clients of HTTP/2 throw an answer away whose stream is reset under their body (RFC 9113 §8.1).
    let over = body::is_over(&mut content, waits).await;
    if version < Version::HTTP_2 && (!over || peer.counts_no_more()) {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    if !over && !waits {
        tokio::spawn(body::linger(content));
    }
    response
}

/// Takes the body out of the answer to a `HEAD`, and says how long it was (RFC 9110 §9.3.2): hyper does so for HTTP/1
/// alone, and a body is an error of the stream in HTTP/2 (RFC 9113 §8.1.1).
fn leave_head(response: &mut Response<Full<Bytes>>) {
    let body = std::mem::take(response.body_mut());
    if let Some(length) = body.size_hint().exact().filter(|length| *length > 0) {
        response.headers_mut().insert(CONTENT_LENGTH, length.into());
    }
}

async fn respond(
    service: &Service,
    peer: &Peer,
    id: &RequestId,
    head: &Parts,
    content: &mut Incoming,
    seen: &mut Seen,
) -> Result<Answer, Problem> {
    let mut slot = service.0.slots.take()?;
    require_host(head)?;
    let call = admit(service, peer, id, head, &mut slot, seen).await?;
    // What takes no body waits for none: for some of that nobody has to prove who it is, and each that waits has a place.
    let content = match call.request.route.body {
        Some(_) => {
            body::require_plain(&head.headers)?;
            let waits = || service.0.slots.wait(&call.asked.caller);
            body::collect(content, &service.0.limits, waits).await?
        }
        None => Bytes::new(),
    };
    let answer = match call.request.route.pace {
        Pace::Quick => call.request.route.run(&call, &content),
        Pace::Slow => {
            let route = call.request.route;
            // It is long, and rare where requests come fast.
            let thread = service.0.slots.slow(&call.asked.caller, route.once);
            let _thread = Box::pin(thread).await?;
            // Other requests of this thread move to another one.
            tokio::task::block_in_place(|| route.run(&call, &content))
        }
        Pace::Long => {
            let _thread = Box::pin(service.0.slots.long(&call.asked.caller)).await?;
            call.request.route.run(&call, &content)
        }
    };
    seen.noted = call.noted.into_inner();
    let route = call.request.route;
    // What is the same for all is there once; and what was changed is told.
    if route.kept || route.once || route.right.is_none() {
        return answer;
    }
    service.0.unread.count(&call.asked.caller, answer?)
}

/// RFC 9112 §3.2: a proxy before us may have gone by another one.
fn require_host(head: &Parts) -> Result<(), Problem> {
    let mut hosts = head.headers.get_all(HOST).iter();
    if head.version != Version::HTTP_11 || (hosts.next().is_some() && hosts.next().is_none()) {
        return Ok(());
    }
    Err(Problem::new(StatusCode::BAD_REQUEST, "malformed", "the request has not one `Host`"))
}

/// Lets a request in, or says why not.
async fn admit<'s>(
    service: &'s Service,
    peer: &'s Peer,
    id: &'s RequestId,
    head: &'s Parts,
    slot: &mut Slot<'_>,
    seen: &mut Seen,
) -> Result<Call<'s>, Problem> {
    let keyring = service.0.keyring.pinned();
    let snapshot = keyring.snapshot();
    seen.snapshot = Some(Arc::clone(&snapshot));
    let gate = Gate { service, snapshot: &snapshot, peer };
    let asked = match peer.memory.find(&snapshot, head) {
        Some(asked) => {
            seen.route = Some(asked.route);
            gate.admit_again(&asked, seen)?;
            asked
        }
        None => {
            let (asked, lasts) = ask(gate, head, slot, seen).await?;
            let asked = Arc::new(asked);
            if lasts {
                peer.memory.keep(&snapshot, head, &asked);
            }
            asked
        }
    };
    seen.asked = Some(Arc::clone(&asked));
    let route = service.0.routes.routes().get(asked.route).ok_or_else(unknown_route)?;
    let request = Named { id, peer, route };
    let (headers, noted) = (&head.headers, RefCell::default());
    Ok(Call { service, keyring, snapshot, asked, headers, request, noted })
}

fn unknown_route() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "unknown_route", "there is nothing at this path")
        .with_help("GET /openapi.json lists the routes")
}

/// What a head asks for, if its caller is let in for that; and whether that lasts as long as the snapshot. Nothing is
/// told of a label to who has no right to it.
async fn ask(
    gate: Gate<'_>,
    head: &Parts,
    slot: &mut Slot<'_>,
    seen: &mut Seen,
) -> Result<(Asked, bool), Problem> {
    let snapshot = gate.snapshot;
    let (at, route, parts) = gate.service.0.routes.find(&head.method, head.uri.path())?;
    seen.route = Some(at);
    let query = query(head.uri.query().unwrap_or_default());
    let named = query.as_ref().ok().and_then(|query| query.get("realm"));
    let realm = named.map(realm_of).transpose();
    let label = parts.get("label").map(|text| text.parse::<LabelName>()).transpose();
    let label = label.map(|label| label.as_ref().map(crate::catalogue::canonical));
    seen.refused.label = label.as_ref().ok().cloned().flatten();
    seen.refused.realm = realm.as_ref().ok().cloned().flatten();
    // Who is nobody learns nothing, not even what is wrong with the path.
    let (caller, lasts) = match route.right {
        Some(_) => {
            let found = gate.admit(&head.headers, slot, seen).await?;
            (Some(found.caller), found.lasts)
        }
        None => (None, true),
    };
    if caller.is_some() {
        refuse_page(head)?;
    }
    let (query, realm, label) = (query?, realm?, label?);
    if let (Some(right), Some(caller)) = (route.right, &caller) {
        let access = &snapshot.config().access;
        let realm = realm.as_ref();
        // What is about several labels answers those that the caller has the right to.
        let allowed = match (right.scope(), &label) {
            (Scope::Label, None) => access.allows_some(caller, right, realm),
            _ => access.allows(caller, right, label.as_ref(), realm),
        };
        if !allowed {
            return Err(Problem::forbidden(right, label.is_some()));
        }
        require_known(&query, route)?;
    }
    let counted_label = label.as_ref().and_then(|label| snapshot.counted_as(realm.as_ref(), label));
    let counted_label = counted_label.cloned();
    let counted_realm = snapshot.with_stores(realm.as_ref()).cloned();
    let asked = Asked {
        route: at,
        caller,
        realm,
        label,
        parts,
        query,
        counted_label,
        counted_realm,
        ..Asked::default()
    };
    Ok((asked, lasts))
}

/// A realm as the query names it.
fn realm_of(text: &str) -> Result<Realm> {
    let realm = text.parse::<Realm>();
    if text == ROOT_REALM {
        return realm.map_err(|error| error.with_help("for the root realm leave `realm` out"));
    }
    realm
}

/// A web page makes a browser ask with the certificate that it has, or from the machine where it runs, whatever its user
/// wants, and says so in `Origin`. `Authorization` is not for a page of another site to set.
fn refuse_page(head: &Parts) -> Result<(), Problem> {
    let headers = &head.headers;
    let proves = headers.contains_key(AUTHORIZATION);
    if proves || head.method.is_safe() || !headers.contains_key(ORIGIN) {
        return Ok(());
    }
    let text = "a web page sent the request: what a browser shows by itself is no proof that its user wants it";
    Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", text)
        .with_help("send an API key or a token in `Authorization`, or no `Origin`"))
}

/// The query, decoded; a name that stands there twice is refused.
fn query(text: &str) -> Result<Members, Problem> {
    let malformed = |text: &'static str| Problem::new(StatusCode::BAD_REQUEST, "malformed", text);
    let mut query = Members::default();
    for (at, (name, value)) in form_urlencoded::parse(text.as_bytes()).enumerate() {
        // Each is compared with those before it.
        if at == PARAMETERS {
            return Err(malformed("the query has too many parameters"));
        }
        if !query.insert(name.into_owned(), value.into_owned()) {
            return Err(malformed("the query names a parameter twice"));
        }
    }
    Ok(query)
}

/// Refuses a parameter that the route has not: after a slip in `realm` the root realm would answer.
fn require_known(query: &Members, route: &Route) -> Result<(), Problem> {
    // The service is of no realm.
    let realm = route.right.filter(|right| right.scope() != Scope::Service).map(|_| "realm");
    let known = || realm.into_iter().chain(route.query.iter().map(|(name, _)| *name));
    let unknown = |name: &&str| known().all(|known| known != *name);
    let Some(name) = query.names().find(unknown) else { return Ok(()) };
    let shown: String = name.chars().take(64).collect();
    let text = format!("this path has no parameter \"{}\"", shown.escape_debug());
    Err(Problem::new(StatusCode::BAD_REQUEST, "malformed", text).with_help(
        match known().collect::<Vec<_>>().join(", ") {
            none if none.is_empty() => "it has none".to_owned(),
            some => format!("it has: {some}"),
        },
    ))
}

/// More than any route has.
const PARAMETERS: usize = 16;
