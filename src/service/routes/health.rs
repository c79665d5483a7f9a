//! Whether the process lives and is fit to serve, and its figures.

use hyper::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;

use crate::access::Right;
use crate::error::Result;
use crate::service::answer::Answer;
use crate::service::call::Call;
use crate::service::metrics;
use crate::service::readiness::Reason;
use crate::service::route::Route;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get_answer("/healthz", "Whether the process answers", |_| {
            Ok(Answer::of("text/plain; charset=utf-8", "ok\n"))
        })
        .of_type("text/plain"),
        Route::get_answer(
            "/readyz",
            "Whether what lies on disk serves, and no rotation is late",
            ready,
        )
        .also::<Readiness>(StatusCode::SERVICE_UNAVAILABLE)
        .slow(),
        Route::get_answer("/metrics", "The figures, in the OpenMetrics text format", figures)
            .with_right(Right::Metrics)
            .of_type("application/openmetrics-text")
            .slow(),
    ]
}

fn figures(call: &Call<'_>) -> Result<Answer> {
    Ok(Answer::of(metrics::CONTENT_TYPE, call.service.0.metrics.render()))
}

/// Whether the service is fit to serve.
#[derive(JsonSchema, Serialize)]
struct Readiness {
    /// Whether it is.
    ready: bool,
    /// Why not.
    reasons: Vec<&'static str>,
}

/// Everybody may ask, so it says no more than that something is wrong; status and log say what.
fn ready(call: &Call<'_>) -> Result<Answer> {
    let reasons = call.service.0.readiness.reasons();
    let reasons: Vec<_> = reasons.into_iter().map(Reason::name).collect();
    let readiness = Readiness { ready: reasons.is_empty(), reasons };
    let mut answer = Answer::json(&readiness);
    if !readiness.ready {
        answer.status = StatusCode::SERVICE_UNAVAILABLE;
    }
    Ok(answer)
}
