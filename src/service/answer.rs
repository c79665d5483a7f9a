//! Answers: a status, a few headers, a body.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{
    ACCEPT_ENCODING, ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER,
    WWW_AUTHENTICATE,
};
use hyper::{Response, StatusCode};
use serde::Serialize;

use super::Problem;

/// What writes itself as JSON: whatever serde writes, and what is asked for so often that it is written without it.
pub(crate) trait ToJson {
    /// Adds its JSON to a text.
    fn write_json(&self, out: &mut Vec<u8>);
}

impl<T: Serialize> ToJson for T {
    fn write_json(&self, out: &mut Vec<u8>) {
        // Into memory, of structs of strings: nothing can fail.
        drop(serde_json::to_writer(out, self));
    }
}

/// What a handler answers.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// `ok`, or the code of the problem that it is.
    pub(crate) outcome: &'static str,
    pub(crate) content_type: &'static str,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) body: Bytes,
}

impl Answer {
    /// 200 with a JSON body.
    pub(crate) fn json(body: &impl ToJson) -> Self {
        // Most are a token and a few names.
        let mut text = Vec::with_capacity(1 << 10);
        body.write_json(&mut text);
        Self::of("application/json", text)
    }

    /// 200 with a body.
    pub(crate) fn of(content_type: &'static str, body: impl Into<Bytes>) -> Self {
        let (status, headers, body) = (StatusCode::OK, Vec::new(), body.into());
        Self { status, outcome: "ok", content_type, headers, body }
    }

    pub(crate) fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// As HTTP has it. What says nothing of caches is not to be cached: it may be a token or a plaintext.
    pub(crate) fn into_response(self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(self.body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        // These two, and the id of the request.
        headers.reserve(self.headers.len() + 3);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        for (name, value) in self.headers {
            headers.insert(name, value);
        }
        response
    }
}

impl From<Problem> for Answer {
    fn from(problem: Problem) -> Self {
        let mut answer = Self::json(&problem);
        answer.content_type = "application/problem+json";
        (answer.status, answer.outcome) = (problem.http_status(), problem.code);
        if answer.status == StatusCode::UNAUTHORIZED {
            // RFC 6750 §3: never without a parameter; no error of what was not shown.
            let challenge = match problem.shown {
                true => "Bearer realm=\"claviger\", error=\"invalid_token\"",
                false => "Bearer realm=\"claviger\"",
            };
            answer.headers.push((WWW_AUTHENTICATE, HeaderValue::from_static(challenge)));
        }
        if answer.status == StatusCode::UNSUPPORTED_MEDIA_TYPE {
            // RFC 9110 §12.5.3: what would have been taken.
            answer.headers.push((ACCEPT_ENCODING, HeaderValue::from_static("identity")));
        }
        let retry =
            problem.retry_after.map(|seconds| (RETRY_AFTER, HeaderValue::from(seconds.get())));
        let allow = problem
            .allow
            .and_then(|methods| Some((ALLOW, HeaderValue::try_from(methods.into_string()).ok()?)));
        answer.headers.extend(retry.into_iter().chain(allow));
        answer
    }
}
