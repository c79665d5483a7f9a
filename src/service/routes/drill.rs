//! A rotation rehearsed: every token at every step, with fresh keys. Nothing real is touched.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::access::Right;
use crate::drill::{self, Rehearsal};
use crate::error::Result;
use crate::service::call::Call;
use crate::service::route::Route;

pub(super) fn routes() -> Vec<Route> {
    let summary = "Rehearse a rotation of the label, and tell what would break";
    vec![Route::post("/v1/labels/{label}/drill", Right::Drill, summary, rehearse).long()]
}

/// Nothing has to be said.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct DrillRequest {}

/// What a rotation would break.
#[derive(JsonSchema, Serialize)]
struct Drilled {
    /// `safe` or `breaks`.
    verdict: &'static str,
    /// How many tokens were made and checked.
    tokens: usize,
    /// What became of them: one, as the realm sees the label.
    #[schemars(with = "Vec<Map<String, Value>>")]
    labels: Vec<Rehearsal>,
}

fn rehearse(call: &Call<'_>, _: DrillRequest) -> Result<Drilled> {
    let (config, realm) = (call.snapshot.config(), call.asked.realm.as_ref());
    // The right is to one realm: without a name it is to the global scope alone.
    let label = call.label()?;
    let rehearse = || drill::rehearse_in(config, &call.snapshot, label, realm);
    let labels = vec![tokio::task::block_in_place(rehearse)?];
    let breaks = labels.iter().any(|one| !one.breaks.is_empty());
    let tokens = labels.iter().map(|one| one.tokens).sum();
    Ok(Drilled { verdict: if breaks { "breaks" } else { "safe" }, tokens, labels })
}
