//! What the service says of itself: the OpenAPI document, and a page of it.

use hyper::header::{CONTENT_SECURITY_POLICY, HeaderValue};

use crate::service::answer::Answer;
use crate::service::route::Route;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get_answer("/openapi.json", "This document", |call| {
            Ok(Answer::of("application/json", call.service.description().json.clone()))
        })
        .of_type("application/json"),
        Route::get_answer("/", "This document as a page for people", |call| {
            let policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";
            let page = call.service.description().page.clone();
            Ok(Answer::of("text/html; charset=utf-8", page)
                .with_header(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy)))
        })
        .of_type("text/html"),
    ]
}
