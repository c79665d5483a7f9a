//! From a request to its answer: route, caller, right, body, handler.

use std::collections::HashMap;
use std::time::Instant;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, EXPECT, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode, Version};

use super::answer::Answer;
use super::call::{Call, Members};
use super::identity::{self, Peer};
use super::route::{Pace, Route};
use super::seen::Seen;
use super::{Problem, Service, body, routes};
use crate::access::{Right, Scope};
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
            let allow: Vec<&str> = rows().map(|(_, route)| route.method.as_str()).collect();
            let text = "this path has no such method";
            let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", text);
            Problem { allow: Some(allow.join(", ").into()), ..problem }
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
    let mut seen = Seen::default();
    let answer = respond(service, peer, head, &mut content, &mut seen).await;
    let outcome = answer.as_ref().map_or_else(|problem| problem.code, |_| "ok");
    let mut response = answer.unwrap_or_else(Answer::from).into_response();
    service.0.metrics.record(&seen, outcome, response.status(), started.elapsed());
    // What is refused before its body came: the next request of the connection stands behind that (RFC 9112 §9.3),
    // and some clients of HTTP/2 throw an answer away whose stream is reset under their body (RFC 9113 §8.1).
    let over = body::is_over(&mut content, waits).await;
    if version < Version::HTTP_2 && (!over || peer.counts_no_more()) {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

async fn respond(
    service: &Service,
    peer: &Peer,
    head: Parts,
    content: &mut Incoming,
    seen: &mut Seen,
) -> Result<Answer, Problem> {
    let _slot = service.0.slots.try_acquire().map_err(|_| {
        let text = "too many requests are worked on";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", text).with_retry_after(1)
    })?;
    let (at, route, parts) = service.0.routes.find(&head.method, head.uri.path())?;
    seen.route = Some(at);
    let call = admit(service, peer, route, parts, head).await?;
    seen.admitted(&call);
    let content = body::collect(content, &service.0.limits).await?;
    match route.pace {
        Pace::Quick => route.run(&call, &content),
        // Other requests of this thread move to another one.
        Pace::Slow => tokio::task::block_in_place(|| route.run(&call, &content)),
    }
}

fn unknown_route() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "unknown_route", "there is nothing at this path")
        .with_help("GET /openapi.json lists the routes")
}

/// Lets the caller in, or says why not. Nothing is told of a label to who has no right to it.
async fn admit<'s>(
    service: &'s Service,
    peer: &Peer,
    route: &Route,
    parts: Members,
    head: Parts,
) -> Result<Call<'s>, Problem> {
    let keyring = service.0.keyring.pinned();
    let snapshot = keyring.snapshot();
    // Who is nobody learns nothing, not even what is wrong with the path.
    let caller = match route.right {
        Some(_) => Some(identity::identify(service, &snapshot, peer, &head.headers).await?),
        None => None,
    };
    let query = query(head.uri.query().unwrap_or_default())?;
    let realm: Option<Realm> = query.get("realm").map(str::parse).transpose()?;
    let label: Option<LabelName> = parts.get("label").map(str::parse).transpose()?;
    let label = label.as_ref().map(crate::catalogue::canonical);
    if let (Some(right), Some(caller)) = (route.right, &caller) {
        let access = &snapshot.config().access;
        let realm = realm.as_ref();
        // What is about several labels answers those that the caller has the right to.
        let allowed = match (right.scope(), &label) {
            (Scope::Label, None) => access.allows_some(caller, right, realm),
            _ => access.allows(caller, right, label.as_ref(), realm),
        };
        if !allowed {
            return Err(forbidden(right));
        }
    }
    let headers = head.headers;
    Ok(Call { service, keyring, snapshot, caller, realm, label, parts, query, headers })
}

fn forbidden(right: Right) -> Problem {
    let whose = match right.scope() {
        Scope::Label => " for this label in this realm",
        Scope::Realm => " in this realm",
        Scope::Service => "",
    };
    let text = format!("the caller has no right \"{right}\"{whose}");
    Problem::new(StatusCode::FORBIDDEN, "forbidden", text)
        .with_help("an administrator sees the caller's rights with `claviger grants --for CALLER`")
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

/// More than any route has.
const PARAMETERS: usize = 16;
