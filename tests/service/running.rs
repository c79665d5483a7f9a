//! A service on a free port of loopback, over the demo keystores.

use std::net::SocketAddr;
use std::path::Path;

use claviger::access::{Access, Caller, Credential, Grant, Right};
use claviger::clock::Clock;
use claviger::crypto::sha256;
use claviger::label::CallerName;
use claviger::service::{Limits, Listener, Service, serve};
use claviger::{Config, Keyring};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

/// One caller, with "the key of portal", who has these rights to everything.
pub(crate) fn granting(rights: &[Right]) -> Access {
    let name: CallerName = "portal".parse().unwrap();
    let credential = Credential::ApiKey(sha256(b"the key of portal"));
    let everything = vec!["*".parse().unwrap()];
    let grant = Grant {
        callers: vec![name.clone()],
        rights: rights.to_vec(),
        labels: everything.clone(),
        realms: everything,
    };
    Access::new(vec![Caller { name, credential }], vec![grant])
}

/// What came back.
pub(crate) struct Got {
    pub(crate) status: u16,
    pub(crate) text: String,
    headers: ureq::http::HeaderMap,
}

impl Got {
    /// A header; empty if there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// A service that runs until it is dropped.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    _runtime: Runtime,
    _stop: oneshot::Sender<()>,
}

impl Running {
    pub(crate) fn new(access: Access) -> Self {
        Self::with_clock(access, Clock::system())
    }

    /// The same with another clock.
    pub(crate) fn with_clock(access: Access, clock: Clock) -> Self {
        let mut config = Config::load(Path::new("keystores/claviger.toml")).unwrap();
        config.access = access;
        let keyring = Keyring::from_config(config, clock.clone()).unwrap();
        Self::of(Service::new(keyring, clock, Limits::default()))
    }

    pub(crate) fn of(service: Service) -> Self {
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let listener = Listener::tcp(listener, None);
        runtime.spawn(serve(service, listener, async move { drop(stopped.await) }));
        Self { address, _runtime: runtime, _stop: stop }
    }

    /// The answer to a `GET`.
    pub(crate) fn fetch(&self, path: &str, key: Option<&str>, headers: &[(&str, &str)]) -> Got {
        let url = format!("http://{}{path}", self.address);
        let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
        let mut request = agent.get(url);
        if let Some(key) = key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut response = request.call().unwrap();
        let text = response.body_mut().read_to_string().unwrap();
        Got { status: response.status().as_u16(), headers: response.headers().clone(), text }
    }

    /// Status and JSON body of a `POST`.
    pub(crate) fn post(&self, path: &str, key: Option<&str>, body: &Value) -> (u16, Value) {
        self.post_text(path, key, &body.to_string())
    }

    /// The same of a body that need not be JSON.
    pub(crate) fn post_text(&self, path: &str, key: Option<&str>, body: &str) -> (u16, Value) {
        self.post_with(path, key, &[], body)
    }

    /// The same with more headers.
    pub(crate) fn post_with(
        &self,
        path: &str,
        key: Option<&str>,
        headers: &[(&str, &str)],
        body: &str,
    ) -> (u16, Value) {
        let url = format!("http://{}{path}", self.address);
        let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
        let mut request = agent.post(url);
        if let Some(key) = key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut response = request.send(body).unwrap();
        let text = response.body_mut().read_to_string().unwrap();
        (response.status().as_u16(), serde_json::from_str(&text).unwrap())
    }

    /// Status and text of a `GET`.
    pub(crate) fn get(&self, path: &str, key: Option<&str>) -> (u16, String) {
        let url = format!("http://{}{path}", self.address);
        let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
        let mut request = agent.get(url);
        if let Some(key) = key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        let mut response = request.call().unwrap();
        let text = response.body_mut().read_to_string().unwrap();
        (response.status().as_u16(), text)
    }
}
