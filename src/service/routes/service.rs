//! The service itself: reading its configuration and stores again.

use hyper::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::access::Right;
use crate::error::{Error, ErrorKind};
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
    let diff = keyring.reload().map_err(refused)?;
    Ok(Reloaded { generation: keyring.snapshot().generation(), diff })
}

/// Nothing of the service fails if the configuration is refused: somebody has to change it first.
fn refused(error: Error) -> Problem {
    let kind = error.kind();
    let problem = Problem::from(error);
    if kind != ErrorKind::Config {
        return problem;
    }
    let text = "the configuration was refused, and what served before serves on";
    Problem::new(StatusCode::CONFLICT, kind.code(), text)
        .with_help("`claviger check` and the log of the service say why")
}
