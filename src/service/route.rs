//! A row of the route table: path, right, bodies and handler.

use std::fmt;
use std::sync::Arc;

use hyper::{Method, StatusCode};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::answer::Answer;
use super::call::Call;
use super::operation::{self, Batch, Operation, Results};
use super::{Problem, body, idempotency};
use crate::access::Right;
use crate::error::Result;
use crate::label::Alias;

/// How long a handler may keep its thread.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Pace {
    /// It may compute for long: few do at once. What does moves its thread out of the way of others by itself.
    Long,
    /// Microseconds to milliseconds: computed where it came in.
    Quick,
    /// It reads or writes files: on a thread of its own.
    Slow,
}

/// The body of a request that changes something.
pub(crate) trait Change {
    /// Whether it only asks what would be changed.
    fn is_dry_run(&self) -> bool {
        false
    }

    /// The alias that it is about.
    fn alias(&self) -> Option<&str> {
        None
    }
}

/// Writes the JSON Schema of a body.
pub(crate) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

type Handler = Box<dyn Fn(&Call<'_>, &[u8]) -> Result<Answer, Problem> + Send + Sync>;

/// One row.
pub(crate) struct Route {
    pub(crate) method: Method,
    /// `GET /healthz`: how figures and records name it.
    pub(crate) name: Arc<str>,
    /// `{label}` is parsed before the handler; other parts come as text.
    pub(crate) path: String,
    /// What the caller must be granted; `None`: everybody may, and no caller is looked for.
    pub(crate) right: Option<Right>,
    pub(crate) pace: Pace,
    /// One sentence for the OpenAPI document.
    pub(crate) summary: &'static str,
    /// The body of the request; `None`: there is none.
    pub(crate) body: Option<SchemaOf>,
    /// The body of 200; `None`: no JSON, or of no fixed form.
    pub(crate) answer: Option<SchemaOf>,
    /// A status besides 200 with an answer of the same form.
    pub(crate) also: Option<StatusCode>,
    /// Of an answer without a schema.
    pub(crate) content_type: &'static str,
    /// Names of the query besides `realm`, and what each is.
    pub(crate) query: &'static [(&'static str, &'static str)],
    /// Whether it is done once for each `Idempotency-Key`.
    pub(crate) once: bool,
    /// Whether its answer may be kept, and is compared with `If-None-Match`.
    pub(crate) kept: bool,
    handler: Handler,
}

impl Route {
    /// A `GET` whose answer is a struct.
    pub(crate) fn get<A: Serialize + JsonSchema + 'static>(
        path: impl Into<String>,
        right: Right,
        summary: &'static str,
        handler: fn(&Call<'_>) -> Result<A>,
    ) -> Self {
        let handler: Handler = Box::new(move |call, _| Ok(Answer::json(&handler(call)?)));
        Self { answer: Some(schema_of::<A>), ..Self::new(Method::GET, path, summary, handler) }
            .with_right(right)
    }

    /// A `GET` whose handler makes the answer.
    pub(crate) fn get_answer(
        path: impl Into<String>,
        summary: &'static str,
        handler: fn(&Call<'_>) -> Result<Answer>,
    ) -> Self {
        let handler: Handler = Box::new(move |call, _| Ok(handler(call)?));
        Self::new(Method::GET, path, summary, handler)
    }

    /// A `POST` of one struct that answers another.
    pub(crate) fn post<B, A>(
        path: impl Into<String>,
        right: Right,
        summary: &'static str,
        handler: fn(&Call<'_>, B) -> Result<A>,
    ) -> Self
    where
        B: DeserializeOwned + JsonSchema + 'static,
        A: Serialize + JsonSchema + 'static,
    {
        let handler: Handler =
            Box::new(move |call, bytes| Ok(Answer::json(&handler(call, body::parse(bytes)?)?)));
        Self {
            body: Some(schema_of::<B>),
            answer: Some(schema_of::<A>),
            ..Self::new(Method::POST, path, summary, handler)
        }
        .with_right(right)
    }

    /// A `POST` that changes something: done once for each `Idempotency-Key`.
    pub(crate) fn change<B, A>(
        path: impl Into<String>,
        right: Right,
        summary: &'static str,
        handler: fn(&Call<'_>, B) -> Result<A, Problem>,
    ) -> Self
    where
        B: Change + DeserializeOwned + JsonSchema + 'static,
        A: Serialize + JsonSchema + 'static,
    {
        let path = path.into();
        let name = path.clone();
        let handler: Handler = Box::new(move |call, bytes| {
            let act = || {
                let body: B = body::parse(bytes)?;
                call.note(|noted| {
                    let alias = body.alias().filter(|alias| alias.parse::<Alias>().is_ok());
                    (noted.alias, noted.dry_run) = (alias.map(Into::into), body.is_dry_run());
                });
                if !body.is_dry_run() {
                    call.begin_change()?;
                }
                Ok(Answer::json(&handler(call, body)?))
            };
            match (&call.asked.caller, idempotency::key(call.headers)?) {
                (Some(caller), Some(key)) => {
                    let answers = &call.service.0.answers;
                    answers.once(caller, key, call.fingerprint(&name, bytes), act)
                }
                _ => act(),
            }
        });
        Self {
            body: Some(schema_of::<B>),
            answer: Some(schema_of::<A>),
            once: true,
            ..Self::new(Method::POST, path, summary, handler)
        }
        .with_right(right)
        .slow()
    }

    /// An operation with the keys of a label, alone and in batches.
    pub(crate) fn operation<O: Operation>(
        name: &str,
        right: Right,
        summary: &'static str,
    ) -> [Self; 2] {
        let path = format!("/v1/labels/{{label}}/{name}");
        let one = Self::new(Method::POST, path.as_str(), summary, Box::new(operation::once::<O>));
        let all = Self::new(
            Method::POST,
            format!("{path}/batch"),
            summary,
            Box::new(operation::batch::<O>),
        );
        [
            Self {
                body: Some(schema_of::<O::Item<'static>>),
                answer: Some(schema_of::<O::Done<'static>>),
                ..one.with_right(right)
            },
            Self {
                body: Some(schema_of::<Batch<O::Item<'static>>>),
                answer: Some(schema_of::<Results<O::Done<'static>>>),
                ..all.with_right(right).long()
            },
        ]
    }

    fn new(
        method: Method,
        path: impl Into<String>,
        summary: &'static str,
        handler: Handler,
    ) -> Self {
        let (path, pace) = (path.into(), Pace::Quick);
        let name = Arc::from(format!("{method} {path}"));
        Self {
            method,
            name,
            path,
            right: None,
            pace,
            summary,
            body: None,
            answer: None,
            also: None,
            content_type: "application/json",
            query: &[],
            once: false,
            kept: false,
            handler,
        }
    }

    /// The same for callers that are granted `right` alone.
    pub(crate) fn with_right(self, right: Right) -> Self {
        Self { right: Some(right), ..self }
    }

    /// The same on a thread of its own.
    pub(crate) fn slow(self) -> Self {
        Self { pace: Pace::Slow, ..self }
    }

    /// The same, that may compute for long.
    pub(crate) fn long(self) -> Self {
        Self { pace: Pace::Long, ..self }
    }

    /// The same, whose answer is of another type than JSON.
    pub(crate) fn of_type(self, content_type: &'static str) -> Self {
        Self { content_type, ..self }
    }

    /// The same, whose answer is of this form, with 200 and with this status.
    pub(crate) fn also<A: JsonSchema>(self, status: StatusCode) -> Self {
        Self { answer: Some(schema_of::<A>), also: Some(status), ..self }
    }

    /// The same, whose answer may be kept.
    pub(crate) fn kept(self) -> Self {
        Self { kept: true, ..self }
    }

    /// The same with these names in its query.
    pub(crate) fn with_query(self, query: &'static [(&'static str, &'static str)]) -> Self {
        Self { query, ..self }
    }

    pub(crate) fn run(&self, call: &Call<'_>, body: &[u8]) -> Result<Answer, Problem> {
        (self.handler)(call, body)
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// A route as those see it who need not call it: tests and documents.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct RouteFacts {
    /// The method.
    pub method: String,
    /// The path; its variable parts stand in braces.
    pub path: String,
    /// What the caller must be granted; `None`: everybody may.
    pub right: Option<Right>,
    /// What it is for.
    pub summary: &'static str,
}

/// Every route of the service.
#[must_use]
pub fn route_table() -> Vec<RouteFacts> {
    let facts = |route: Route| RouteFacts {
        method: route.method.to_string(),
        path: route.path,
        right: route.right,
        summary: route.summary,
    };
    super::routes::all().into_iter().map(facts).collect()
}

fn schema_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}
