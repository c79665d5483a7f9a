//! A span for each request, with the feature `otel`; without it, nothing.
//!
//! It has the route, the label and what came of it: no token, no payload, no credential. It is the child of the
//! `traceparent` that the request brings (W3C Trace Context).

use hyper::StatusCode;
use hyper::http::request::Parts;

use super::route::Route;
use super::seen::Seen;

/// A span that began with a request.
pub(super) struct Span {
    #[cfg(feature = "otel")]
    inner: opentelemetry::global::BoxedSpan,
}

#[cfg(not(feature = "otel"))]
impl Span {
    pub(super) const fn begin(_: &Parts) -> Self {
        Self {}
    }

    pub(super) const fn end(self, _: Option<&Route>, _: &Seen, _: &'static str, _: StatusCode) {}
}

#[cfg(feature = "otel")]
mod with_otel {
    use opentelemetry::propagation::TextMapPropagator;
    use opentelemetry::trace::{Span as _, SpanKind, Status, Tracer};
    use opentelemetry::{KeyValue, global};
    use opentelemetry_http::HeaderExtractor;
    use opentelemetry_sdk::propagation::TraceContextPropagator;

    use super::{Parts, Route, Seen, Span, StatusCode};
    use crate::label::{LabelName, Realm};

    impl Span {
        /// Begins one of the tracer provider of the program; without a provider it costs nothing and goes nowhere.
        pub(in crate::service) fn begin(head: &Parts) -> Self {
            let tracer = global::tracer("claviger");
            let parent = TraceContextPropagator::new().extract(&HeaderExtractor(&head.headers));
            let method = KeyValue::new("http.request.method", head.method.to_string());
            let builder = tracer
                .span_builder(head.method.to_string())
                .with_kind(SpanKind::Server)
                .with_attributes([method]);
            Self { inner: tracer.build_with_context(builder, &parent) }
        }

        /// Ends it with what was learnt. Whatever a caller invents, a path or a label, is not in it.
        pub(in crate::service) fn end(
            self,
            route: Option<&Route>,
            seen: &Seen,
            outcome: &'static str,
            status: StatusCode,
        ) {
            let mut span = self.inner;
            if !span.is_recording() {
                return;
            }
            if let Some(route) = route {
                span.update_name(route.name.to_string());
                span.set_attribute(KeyValue::new("http.route", route.path.clone()));
            }
            let code = i64::from(status.as_u16());
            span.set_attribute(KeyValue::new("http.response.status_code", code));
            span.set_attribute(KeyValue::new("claviger.outcome", outcome));
            let asked = seen.asked.as_deref();
            let label = asked.and_then(|asked| asked.counted_label.as_ref()).map(LabelName::as_str);
            let realm = asked.and_then(|asked| asked.counted_realm.as_ref()).map(Realm::as_str);
            for (name, value) in [("claviger.label", label), ("claviger.realm", realm)] {
                if let Some(value) = value {
                    span.set_attribute(KeyValue::new(name, value.to_owned()));
                }
            }
            if status.is_server_error() {
                span.set_status(Status::error(outcome));
            }
            span.end();
        }
    }
}
