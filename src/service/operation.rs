//! Operations by label, alone and in batches: one function, two rows of the table.

use std::fmt;
use std::marker::PhantomData;
use std::time::{Duration, Instant};

use hyper::StatusCode;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::answer::{Answer, ToJson};
use super::call::Call;
use super::{Problem, body};
use crate::error::Result;
use crate::json::{self, Lone, ObjectWriter, Objects};
use crate::ops::KeySet;

/// What is done with the keys of a label.
pub(crate) trait Operation: 'static {
    /// What is asked for; it borrows from the body.
    type Item<'b>: Deserialize<'b> + JsonSchema;
    /// What is answered; it borrows from the keys.
    type Done<'k>: ToJson + JsonSchema;

    /// Does it once.
    ///
    /// # Errors
    /// As the operation has them; each becomes a problem.
    fn act<'k>(call: &Call<'_>, keys: &'k KeySet, item: Self::Item<'_>) -> Result<Self::Done<'k>>;

    /// The only member that most bodies have: those are read without a parser.
    const LONE: Option<Lone> = None;

    /// What a body asks for that has that member alone. `None`: read it with a parser.
    fn of_lone(_: &str) -> Option<Self::Item<'_>> {
        None
    }

    /// The alias and the kid of the key that did it.
    fn key<'d>(done: &'d Self::Done<'_>) -> (&'d str, &'d str);
}

/// Several items of one operation, done with the same keys.
#[derive(JsonSchema)]
#[schemars(rename = "BatchOf{T}")]
#[expect(dead_code, reason = "its form, for the schema")]
pub(crate) struct Batch<T> {
    /// The items; at most `max_batch_items` of `[service]`.
    items: Vec<T>,
}

/// What came of a batch.
#[derive(JsonSchema)]
#[schemars(rename = "ResultsOf{T}")]
#[expect(dead_code, reason = "its form, for the schema")]
pub(crate) struct Results<T> {
    /// One result an item, in their order.
    results: Vec<OneResult<T>>,
}

/// What came of one item: its answer, or why there is none.
#[derive(JsonSchema)]
#[schemars(rename = "ResultOf{T}", untagged)]
#[expect(dead_code, reason = "its form, for the schema")]
pub(crate) enum OneResult<T> {
    /// As the operation answers alone.
    Done(T),
    /// The others are done all the same.
    Refused {
        /// What is wrong with the item.
        problem: Problem,
    },
}

/// Answers one item.
pub(crate) fn once<O: Operation>(call: &Call<'_>, bytes: &[u8]) -> Result<Answer, Problem> {
    let keys = call.keys()?;
    let alone = O::LONE.and_then(|member| json::lone_value(bytes, member));
    let item = match alone.and_then(O::of_lone) {
        Some(item) => item,
        None => body::parse(bytes)?,
    };
    let done = O::act(call, &keys, item)?;
    let (alias, kid) = O::key(&done);
    call.note_key(alias, Some(kid));
    Ok(Answer::json(&done))
}

/// Answers a batch. Items that are no JSON refuse the whole; any other trouble with one is its own.
pub(crate) fn batch<O: Operation>(call: &Call<'_>, bytes: &[u8]) -> Result<Answer, Problem> {
    let keys = call.keys()?;
    let max = call.service.0.limits.max_batch_items;
    let tell = |result| told::<O>(call, result);
    let act = |item| O::act(call, &keys, item).map_err(Problem::from);
    let mut results = Written::of(bytes.len(), call.service.0.limits.max_body_bytes);
    let alone = O::LONE.and_then(|member| json::lone_values(bytes, "items", member, max));
    let alone = alone.and_then(|values| values.into_iter().map(O::of_lone).collect());
    match alone.map_or_else(|| items::<O::Item<'_>>(bytes, max), Ok) {
        Ok(items) => results.put_all(items, act, tell),
        // Once more, so that those of the right form are done.
        Err(_) => {
            let items = items::<&RawValue>(bytes, max)?;
            let read = |item| body::parse(RawValue::get(item).as_bytes()).and_then(act);
            results.put_all(items, read, tell);
        }
    }
    Ok(Answer::of("application/json", results.end()))
}

/// Tells records of one item.
fn told<'k, O: Operation>(
    call: &Call<'_>,
    result: Result<O::Done<'k>, Problem>,
) -> Result<O::Done<'k>, Problem> {
    let refused = usize::from(result.is_err());
    call.note(|noted| {
        *noted.items.get_or_insert_default() += 1;
        *noted.items_refused.get_or_insert_default() += refused;
    });
    match &result {
        Ok(done) => {
            let (alias, kid) = O::key(done);
            call.note_key(alias, Some(kid));
        }
        Err(problem) => problem.log(call.request.id),
    }
    result
}

/// How long a batch may keep its thread; what takes longer goes on while other requests move to another thread.
const AT_ONCE: Duration = Duration::from_millis(1);
/// Items between two looks at the clock: one takes as long as some of the work for a short item.
const BETWEEN_LOOKS: usize = 4;

/// The answer of a batch, written as its results come.
struct Written {
    text: Vec<u8>,
    /// How long it may grow.
    most: usize,
}

impl Written {
    /// For a body of `size` bytes, where bodies may have `max`.
    fn of(size: usize, max: usize) -> Self {
        let mut text = Vec::with_capacity(size.saturating_mul(2));
        text.extend_from_slice(b"{\"results\":[");
        Self { text, most: max.saturating_mul(GROWTH) }
    }

    fn put_all<I, T: ToJson>(
        &mut self,
        items: Vec<I>,
        act: impl Fn(I) -> Result<T, Problem>,
        tell: impl Fn(Result<T, Problem>) -> Result<T, Problem>,
    ) {
        let started = Instant::now();
        let mut items = items.into_iter().peekable();
        let mut put = |item| {
            if !self.text.ends_with(b"[") {
                self.text.push(b',');
            }
            let result = if self.text.len() < self.most { act(item) } else { Err(too_long()) };
            match tell(result) {
                Ok(done) => done.write_json(&mut self.text),
                Err(problem) => {
                    let mut refused = ObjectWriter::new(&mut self.text);
                    refused.value("problem", &problem);
                    refused.end();
                }
            }
        };
        while items.peek().is_some() {
            if started.elapsed() > AT_ONCE {
                return tokio::task::block_in_place(|| items.for_each(put));
            }
            items.by_ref().take(BETWEEN_LOOKS).for_each(&mut put);
        }
    }

    fn end(mut self) -> Vec<u8> {
        self.text.extend_from_slice(b"]}");
        self.text
    }
}

/// How many times the largest body an answer may be. Only what was compressed is as much longer than its token.
const GROWTH: usize = 16;

fn too_long() -> Problem {
    let text = "the answer to the items before this one is as long as it may be";
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "limit_exceeded", text)
        .with_help("send it again in another batch")
}

/// The items of a body, no more than `max`: small ones would grow to many times the size of the body.
fn items<'b, T: Deserialize<'b>>(bytes: &'b [u8], max: usize) -> Result<Vec<T>, Problem> {
    json::read(bytes, Objects(Items { max, of: PhantomData }), |items| items).map_err(|error| {
        if !error.to_string().starts_with(TOO_MANY) {
            return body::malformed(bytes, &error);
        }
        let text = format!("the batch has more than {max} items");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "limit_exceeded", text)
            .with_help("send several batches; max_batch_items of [service] is the bound")
    })
}

const TOO_MANY: &str = "too many items";

/// Reads `{"items":[…]}`.
struct Items<T> {
    max: usize,
    of: PhantomData<T>,
}

impl<'b, T: Deserialize<'b>> DeserializeSeed<'b> for Items<T> {
    type Value = Vec<T>;

    fn deserialize<D: Deserializer<'b>>(self, deserializer: D) -> Result<Vec<T>, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'b, T: Deserialize<'b>> Visitor<'b> for Items<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'b>>(self, mut map: A) -> Result<Vec<T>, A::Error> {
        let mut items = None;
        while let Some(name) = map.next_key::<std::borrow::Cow<'b, str>>()? {
            if name != "items" || items.is_some() {
                let twice = name == "items";
                return Err(if twice {
                    de::Error::duplicate_field("items")
                } else {
                    de::Error::unknown_field(&name, &["items"])
                });
            }
            items = Some(map.next_value_seed(List { max: self.max, of: PhantomData })?);
        }
        items.ok_or_else(|| de::Error::missing_field("items"))
    }
}

/// Reads the list itself.
struct List<T> {
    max: usize,
    of: PhantomData<T>,
}

impl<'b, T: Deserialize<'b>> DeserializeSeed<'b> for List<T> {
    type Value = Vec<T>;

    fn deserialize<D: Deserializer<'b>>(self, deserializer: D) -> Result<Vec<T>, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'b, T: Deserialize<'b>> Visitor<'b> for List<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'b>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            if items.len() == self.max {
                return Err(de::Error::custom(TOO_MANY));
            }
            items.push(item);
        }
        Ok(items)
    }
}
