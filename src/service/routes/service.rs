//! The service itself: reading its configuration and stores again.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::access::Right;
use crate::keyring::Diff;
use crate::service::Problem;
use crate::service::call::Call;
use crate::service::route::{Change, Route};

pub(super) fn routes() -> Vec<Route> {
    let summary = "Read the configuration and its stores again";
    vec![Route::change("/v1/reload", Right::Reload, summary, reload)]
}

/// Nothing has to be said.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ReloadRequest {}

impl Change for ReloadRequest {}

/// What serves now.
#[derive(JsonSchema, Serialize)]
struct Reloaded {
    /// The generation of the keyring.
    generation: u64,
    /// What changed, by label and realm: who acts, who is tried, what is published.
    #[schemars(with = "Map<String, Value>")]
    diff: Diff,
}

fn reload(call: &Call<'_>, _: ReloadRequest) -> Result<Reloaded, Problem> {
    let keyring = &call.service.0.keyring;
    let diff = keyring.reload().map_err(Problem::of_files)?;
    Ok(Reloaded { generation: keyring.snapshot().generation(), diff })
}
