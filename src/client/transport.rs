//! One request and its answer: credentials, bounds, and what is asked again.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use ureq::http::uri::PathAndQuery;
use ureq::http::{HeaderMap, HeaderValue};
use zeroize::Zeroizing;

use super::{ClientError, Problem, Result};
use crate::cache_control::max_age;
use crate::crypto::random;
use crate::label::Realm;
use crate::secret::{SecretBytes, SecretString};

/// How large an answer may be: a batch of the largest bodies that a service takes by default, many times.
const MAX_ANSWER_BYTES: u64 = 64 << 20;

/// How large a body may be that is sent before the service has said that it wants it: one that is refused is read to its
/// end up to this.
const SENT_AT_ONCE: usize = 64 << 10;

/// What is asked.
pub(super) struct Request {
    path: String,
    /// Encoded.
    query: String,
    /// `None`: `GET`.
    body: Option<Zeroizing<Vec<u8>>>,
    headers: Vec<(&'static str, String)>,
    /// The status of an answer besides 200.
    also: Option<u16>,
}

impl Request {
    pub(super) fn get(path: impl Into<String>) -> Self {
        let (query, headers) = (String::new(), Vec::new());
        Self { path: path.into(), query, body: None, headers, also: None }
    }

    /// A `POST` of a JSON body.
    pub(super) fn post(path: impl Into<String>, body: &impl Serialize) -> Result<Self> {
        let body = serde_json::to_vec(body)
            .map_err(|error| ClientError::Setup(format!("the body is no JSON: {error}")))?;
        Ok(Self { body: Some(Zeroizing::new(body)), ..Self::get(path) })
    }

    /// Done once, however often it is sent: under a key that nobody else has.
    pub(super) fn once(mut self) -> Result<Self> {
        let bytes: [u8; 16] = random::bytes().map_err(|error| ClientError::setup(&error))?;
        let key = hex::encode(bytes);
        self.headers.push(("idempotency-key", format!("\"{key}\"")));
        Ok(self)
    }

    pub(super) fn in_realm(self, realm: Option<&Realm>) -> Self {
        self.with("realm", realm.map(Realm::as_str))
    }

    pub(super) fn with(mut self, name: &str, value: Option<&str>) -> Self {
        if let Some(value) = value {
            let query = std::mem::take(&mut self.query);
            self.query = form_urlencoded::Serializer::new(query).append_pair(name, value).finish();
        }
        self
    }

    /// Takes an answer of this status as well.
    pub(super) const fn also(mut self, status: u16) -> Self {
        self.also = Some(status);
        self
    }

    pub(super) fn with_header(mut self, name: &'static str, value: Option<&str>) -> Self {
        self.headers.extend(value.map(|value| (name, value.to_owned())));
        self
    }
}

/// What came back.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: SecretBytes,
}

impl Answer {
    /// A header; empty if there is none.
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// How long it may be kept; zero where nothing is said.
    pub(super) fn max_age(&self) -> Duration {
        max_age(self.header("cache-control")).unwrap_or_default()
    }

    /// The problem that it is; `None`: it is none.
    fn problem(&self) -> Option<Problem> {
        let is_problem = self.header("content-type").starts_with("application/problem+json");
        // EXPOSE: to the parser; a problem holds no secret.
        let problem = || serde_json::from_slice(self.body.expose_secret()).ok();
        let mut problem: Problem = is_problem.then(problem)??;
        problem.status = self.status;
        problem.retry_after = self.header("retry-after").parse().ok();
        let id = self.header("x-request-id");
        problem.request_id = (!id.is_empty()).then(|| id.into());
        Some(problem)
    }

    /// Refuses what no service of ours answers: a gateway's own refusals, redirects, pages of logins. Some of them are
    /// JSON that would read as an answer.
    fn require(self, also: Option<u16>) -> Result<Self> {
        let kind = self.header("content-type");
        let (essence, _) = kind.split_once(';').unwrap_or((kind, ""));
        let is_json = essence == "application/json" || essence.ends_with("+json");
        if (self.status == 200 && is_json) || also == Some(self.status) {
            return Ok(self);
        }
        let kind: String = kind.chars().take(64).collect();
        Err(ClientError::Unexpected(format!(
            "the answer has status {} and type \"{}\", as none of the service has: is it what stands at this URL?",
            self.status,
            kind.escape_debug(),
        )))
    }
}

/// What `Authorization` says.
pub(super) enum Bearer {
    None,
    Fixed(HeaderValue),
    From(Box<dyn Fn() -> SecretString + Send + Sync>),
}

impl Bearer {
    fn header(&self) -> Result<Option<HeaderValue>> {
        match self {
            Self::None => Ok(None),
            Self::Fixed(value) => Ok(Some(value.clone())),
            // EXPOSE: into the header.
            Self::From(source) => bearer(source().expose_secret()).map(Some),
        }
    }
}

/// A credential as it stands in the header.
pub(super) fn bearer(credential: &str) -> Result<HeaderValue> {
    let text = Zeroizing::new(format!("Bearer {credential}"));
    let wrong = || ClientError::Setup("the credential cannot stand in a header".to_owned());
    let mut value = HeaderValue::from_str(&text).map_err(|_| wrong())?;
    value.set_sensitive(true);
    Ok(value)
}

/// A path of a service. Behind the host of its URL anything else would be a part of that: another host, with the
/// credential of this one.
pub(super) fn require_path(path: &str) -> Result<()> {
    let parsed = path.parse::<PathAndQuery>();
    if path.starts_with('/') && !path.contains(['?', '#']) && parsed.is_ok() {
        return Ok(());
    }
    let text = "the path of a route starts with / and has neither a query nor a fragment";
    Err(ClientError::Setup(text.to_owned()))
}

/// The way to a service.
pub(super) struct Transport {
    pub(super) agent: ureq::Agent,
    /// Before the path.
    pub(super) base: String,
    /// Where it is, as it was given.
    pub(super) shown: String,
    pub(super) bearer: Bearer,
    pub(super) retries: u32,
    pub(super) patience: Duration,
}

impl Transport {
    /// The answer, if it is no problem: to the last of the tries.
    pub(super) fn send(&self, request: &Request) -> Result<Answer> {
        let mut left = self.retries;
        loop {
            let answer = self.send_once(request)?;
            let Some(problem) = answer.problem() else { return answer.require(request.also) };
            // Whatever is sent here may be done twice, or is done once under its key.
            match self.pause(&problem).filter(|_| left > 0) {
                Some(pause) => std::thread::sleep(pause),
                None => return Err(ClientError::Refused(problem)),
            }
            left -= 1;
        }
    }

    /// After which time to ask again.
    fn pause(&self, problem: &Problem) -> Option<Duration> {
        let may_pass = matches!(problem.status, 429 | 503);
        let pause = problem.retry_after.filter(|_| may_pass).map(Duration::from_secs)?;
        (pause <= self.patience).then_some(pause)
    }

    fn send_once(&self, request: &Request) -> Result<Answer> {
        let mark = if request.query.is_empty() { "" } else { "?" };
        let url = format!("{}{}{mark}{}", self.base, request.path, request.query);
        let unanswered = |error: ureq::Error| match error {
            ureq::Error::Http(error) => ClientError::Setup(format!("this cannot be sent: {error}")),
            error => ClientError::Unanswered(format!("{} does not answer: {error}", self.shown)),
        };
        let bearer = self.bearer.header()?;
        let response = match &request.body {
            None => with_headers(self.agent.get(&url), request, bearer).call(),
            Some(body) => {
                let mut post = with_headers(self.agent.post(&url), request, bearer);
                if body.len() > SENT_AT_ONCE {
                    // RFC 9110 §10.1.1: a service that refuses it closes, and the answer would be lost.
                    post = post.header("expect", "100-continue");
                }
                post.header("content-type", "application/json").send(body.as_slice())
            }
        };
        let (parts, mut body) = response.map_err(unanswered)?.into_parts();
        let reader = body.with_config().limit(MAX_ANSWER_BYTES).reader();
        let body = SecretBytes::read_from(reader).map_err(|error| unanswered(error.into()))?;
        Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body })
    }
}

fn with_headers<B>(
    mut builder: ureq::RequestBuilder<B>,
    request: &Request,
    bearer: Option<HeaderValue>,
) -> ureq::RequestBuilder<B> {
    for (name, value) in &request.headers {
        builder = builder.header(*name, value);
    }
    match bearer {
        Some(bearer) => builder.header("authorization", bearer),
        None => builder,
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("url", &self.shown).finish_non_exhaustive()
    }
}
