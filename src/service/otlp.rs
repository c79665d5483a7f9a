//! Spans sent to a collector over OTLP (protobuf over HTTP), as the standard variables of the environment say.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use opentelemetry::global;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, TlsProvider, parse_pem};

use crate::error::{Error, ErrorKind, Result};

const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
const CERTIFICATES: [&str; 2] =
    ["OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "OTEL_EXPORTER_OTLP_CERTIFICATE"];
const TIMEOUTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"];
/// How large the answer of a collector may be.
const MAX_ANSWER_BYTES: u64 = 1 << 20;

/// The spans of this process, on their way to a collector; what is left is sent when it is dropped.
#[must_use]
pub struct Exporting(SdkTracerProvider);

impl Exporting {
    /// Sends spans where `OTEL_EXPORTER_OTLP_ENDPOINT` or `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` says; `None`: neither says
    /// so, or `OTEL_SDK_DISABLED` is true. `OTEL_EXPORTER_OTLP_HEADERS`, `_TIMEOUT` (milliseconds) and `_CERTIFICATE`
    /// (anchors in PEM; absent: those of the system), `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`,
    /// `OTEL_TRACES_SAMPLER` and `OTEL_BSP_…` count as OpenTelemetry has them.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for variables that are of no use.
    pub fn from_environment() -> Result<Option<Self>> {
        let disabled = variable(&["OTEL_SDK_DISABLED"]);
        if variable(&ENDPOINTS).is_none() || disabled.is_some_and(|one| one == "true") {
            return Ok(None);
        }
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Collector::new()?)
            .build()
            .map_err(|error| wrong(&format!("the variables OTEL_EXPORTER_OTLP_… : {error}")))?;
        let mut resource = Resource::builder();
        if variable(&["OTEL_SERVICE_NAME"]).is_none() {
            resource = resource.with_service_name("claviger");
        }
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource.build())
            .build();
        global::set_tracer_provider(provider.clone());
        Ok(Some(Self(provider)))
    }
}

impl Drop for Exporting {
    fn drop(&mut self) {
        if let Err(error) = self.0.shutdown() {
            log::warn!("the last spans were not sent: {error}");
        }
    }
}

impl fmt::Debug for Exporting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Exporting")
    }
}

/// The first variable that says something.
fn variable(names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| std::env::var(name).ok().filter(|text| !text.is_empty()))
}

fn wrong(text: &str) -> Error {
    Error::new(ErrorKind::Config, text.to_owned())
}

/// Sends requests to the collector, on the thread of the exporter.
struct Collector {
    agent: ureq::Agent,
    /// So that a collector that is away for hours is one line of the log.
    failing: AtomicBool,
}

impl Collector {
    fn new() -> Result<Self> {
        let millis = variable(&TIMEOUTS).map_or(Ok(10_000), |text| text.parse());
        let millis = millis.map_err(|_| wrong("OTEL_EXPORTER_OTLP_TIMEOUT is no number"))?;
        let tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .root_certs(RootCerts::Specific(Arc::new(roots()?)))
            .build();
        let config = ureq::Agent::config_builder()
            .tls_config(tls)
            .timeout_global(Some(Duration::from_millis(millis)))
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .build();
        Ok(Self { agent: config.new_agent(), failing: AtomicBool::new(false) })
    }

    fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (head, body) = request.into_parts();
        let sent = self.agent.run(Request::from_parts(head, &*body));
        let answer = sent.and_then(|answer| {
            let (head, mut body) = answer.into_parts();
            let body = body.with_config().limit(MAX_ANSWER_BYTES).read_to_vec()?;
            Ok(Response::from_parts(head, Bytes::from(body)))
        });
        let trouble = match &answer {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(format!("status {}", answer.status().as_u16())),
            Err(error) => Some(error.to_string()),
        };
        let failed = self.failing.swap(trouble.is_some(), Ordering::Relaxed);
        match trouble {
            Some(trouble) if !failed => {
                log::warn!("spans are not taken by the collector: {trouble}")
            }
            None if failed => log::info!("spans are taken by the collector again"),
            _ => {}
        }
        answer.map_err(Into::into)
    }
}

fn roots() -> Result<Vec<Certificate<'static>>> {
    let Some(path) = variable(&CERTIFICATES) else {
        let found = rustls_native_certs::load_native_certs().certs;
        return Ok(found.iter().map(|der| Certificate::from_der(der).to_owned()).collect());
    };
    let pem = std::fs::read(&path).map_err(|error| {
        wrong(&format!("{path} of OTEL_EXPORTER_OTLP_CERTIFICATE cannot be read"))
            .with_source(error)
    })?;
    let items = parse_pem(&pem);
    Ok(items
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect())
}

impl HttpClient for Collector {
    // What `async_trait` makes of it. Nothing else runs on the thread of the exporter: it may wait.
    fn send_bytes<'a, 't>(
        &'a self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 't>>
    where
        'a: 't,
        Self: 't,
    {
        Box::pin(std::future::ready(self.send(request)))
    }
}

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Collector")
    }
}
