//! Whether the process lives.

use super::super::answer::Answer;
use super::super::route::Route;

pub(super) fn routes() -> Vec<Route> {
    vec![Route::get_answer("/healthz", "Whether the process answers", |_| {
        Ok(Answer::of("text/plain; charset=utf-8", "ok\n"))
    })]
}
