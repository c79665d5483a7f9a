//! `[service]`: where the service listens, with which certificate, and its limits.

use std::fmt;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::config::Placed;
use crate::config::audit::{self, AuditSettings};
use crate::config::rate_limits::{self, RateLimits};
use crate::config::reader::{Source, Table, Value, as_string, parse_name, wrong_type};
use crate::config::values::duration;
use crate::error::{Error, ErrorKind};
use crate::label::LabelName;

/// `[service]`.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the keys of the table")]
pub struct ServiceSettings {
    /// `listen`; default `127.0.0.1:8443`.
    pub listen: Vec<Listen>,
    /// `certificate`: what the service shows; needed unless every listener speaks plain HTTP.
    pub certificate: Option<ServerCertificate>,
    /// `client_ca`: the anchors of client certificates; absent: none is asked for.
    pub client_ca: Option<ClientCa>,
    /// `min_tls`; default 1.2.
    pub min_tls: MinTls,
    /// The limits.
    pub limits: ServiceLimits,
    /// `[service.rate_limits]`.
    pub rate_limits: RateLimits,
    /// `[service.audit]`; absent: there are no audit lines.
    pub audit: Option<AuditSettings>,
}

impl Default for ServiceSettings {
    fn default() -> Self {
        let address = ListenAddress::Tcp(SocketAddr::from(([127, 0, 0, 1], 8443)));
        Self {
            listen: vec![Listen { address, plain_http: false }],
            certificate: None,
            client_ca: None,
            min_tls: MinTls::default(),
            limits: ServiceLimits::default(),
            rate_limits: RateLimits::default(),
            audit: None,
        }
    }
}

/// One element of `listen`.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the keys of the table")]
pub struct Listen {
    /// Where.
    pub address: ListenAddress,
    /// Whether HTTP is spoken without TLS: on loopback and Unix sockets alone.
    pub plain_http: bool,
}

impl Listen {
    /// Whether a plain listener would be heard beyond this machine.
    #[must_use]
    pub const fn is_exposed(&self) -> bool {
        self.plain_http && !self.address.is_local()
    }
}

/// Where a listener listens.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the forms of the setting")]
pub enum ListenAddress {
    /// `127.0.0.1:8443`, `[::1]:8443`; port 0 is a free one.
    Tcp(SocketAddr),
    /// `unix:/run/claviger/claviger.sock`.
    Unix(PathBuf),
}

impl ListenAddress {
    /// Whether nobody beyond this machine reaches it.
    #[must_use]
    pub const fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().is_loopback(),
            Self::Unix(_) => true,
        }
    }
}

impl FromStr for ListenAddress {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let parsed = match text.strip_prefix("unix:") {
            Some(path) => (!path.is_empty()).then(|| Self::Unix(path.into())),
            None => text.parse().ok().map(Self::Tcp),
        };
        parsed.ok_or_else(|| {
            let text = format!("\"{}\" is no address to listen on", text.escape_debug());
            Error::new(ErrorKind::Usage, text).with_help(
                "write an IP address with its port, or a path: \"127.0.0.1:8443\", \"[::1]:8443\", \
                 \"unix:/run/claviger.sock\"",
            )
        })
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// `certificate`. Two are equal wherever they stand.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_enums, reason = "the forms of the setting")]
pub enum ServerCertificate {
    /// `{ chain = "…", key = "…" }`: PEM files, read again when they change.
    Files {
        /// The certificates, the server's first.
        chain: Placed<PathBuf>,
        /// Its private key.
        key: Placed<PathBuf>,
    },
    /// `{ label = "…" }`: the active alias of a label whose use is `mtls`.
    Label(Placed<LabelName>),
}

impl PartialEq for ServerCertificate {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Files { chain, key }, Self::Files { chain: other_chain, key: other_key }) => {
                (&chain.value, &key.value) == (&other_chain.value, &other_key.value)
            }
            (Self::Label(one), Self::Label(other)) => one.value == other.value,
            _ => false,
        }
    }
}

/// `client_ca`. Two are equal wherever they stand.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_enums, reason = "the forms of the setting")]
pub enum ClientCa {
    /// `{ file = "…" }`: certificates in PEM, read again when they change.
    File(Placed<PathBuf>),
    /// `{ label = "…" }`: every valid alias of a label whose use is `trust`.
    Label(Placed<LabelName>),
}

impl PartialEq for ClientCa {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::File(one), Self::File(other)) => one.value == other.value,
            (Self::Label(one), Self::Label(other)) => one.value == other.value,
            _ => false,
        }
    }
}

/// `min_tls`: the oldest version of TLS that is spoken.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the values of the setting")]
pub enum MinTls {
    /// `"1.2"`.
    #[default]
    Tls12,
    /// `"1.3"`.
    Tls13,
}

/// Bounds on what clients can cost; keys of `[service]`.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the keys of the table")]
pub struct ServiceLimits {
    /// Bytes of a body; default 1 MiB.
    pub max_body_bytes: usize,
    /// Items of a batch; default 1,000.
    pub max_batch_items: usize,
    /// Requests that are worked on at once; default 1,024.
    pub max_requests: usize,
    /// Connections at once; default 10,240. For a further one the longest silent is closed; if all are being answered, it
    /// waits.
    pub max_connections: usize,
    /// For the TLS handshake; default 10 s.
    pub handshake_timeout: Duration,
    /// From the first byte of a request to the end of its headers; default 10 s.
    pub header_timeout: Duration,
    /// For its body; default 10 s.
    pub body_timeout: Duration,
    /// How long a connection may be without a request, or its client without reading the answer; 4 KiB of it count for a
    /// second. Default 75 s.
    pub idle_timeout: Duration,
    /// How long requests that run may still take when the service ends; default 30 s.
    pub drain_time: Duration,
}

impl Default for ServiceLimits {
    fn default() -> Self {
        Self {
            max_body_bytes: 1 << 20,
            max_batch_items: 1_000,
            max_requests: 1_024,
            max_connections: 10_240,
            handshake_timeout: Duration::from_secs(10),
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            drain_time: Duration::from_secs(30),
        }
    }
}

pub(super) fn read(source: &Source<'_>, table: Option<Table<'_>>) -> ServiceSettings {
    let mut settings = ServiceSettings::default();
    let Some(table) = table else { return settings };
    let plain_http = table.bool("plain_http").unwrap_or(false);
    if let Some(listen) = table.list("listen") {
        if listen.is_empty() {
            let help = "name an address: listen = [\"127.0.0.1:8443\"]";
            let span = table.key_span("listen");
            source.error_with("empty_list", "`listen` of [service] is empty", help, span);
        }
        settings.listen =
            listen.into_iter().filter_map(|one| read_listen(source, one, plain_http)).collect();
        refuse_repeated(source, &settings.listen, table.key_span("listen"));
    } else if plain_http {
        settings.listen.iter_mut().for_each(|one| one.plain_http = true);
    }
    settings.certificate = table
        .table("certificate", "`certificate` of [service]")
        .and_then(|certificate| read_certificate(source, certificate));
    settings.client_ca = table
        .table("client_ca", "`client_ca` of [service]")
        .and_then(|client_ca| read_client_ca(source, client_ca));
    settings.min_tls = table.choice("min_tls", VERSIONS).unwrap_or_default();
    settings.limits = read_limits(source, &table);
    settings.rate_limits =
        rate_limits::read(source, table.table("rate_limits", "[service.rate_limits]"));
    settings.audit = audit::read(source, table.table("audit", "[service.audit]"));
    if !table.has("certificate") && settings.listen.iter().any(|one| !one.plain_http) {
        let text = "[service] needs `certificate`";
        let help = "add certificate = { chain = \"server.pem\", key = \"server.key\" }, or { label = \"…\" }; \
                    on loopback and Unix sockets plain_http = true does without";
        source.error_with("missing_key", text, help, table.span());
    }
    table.finish();
    settings
}

const VERSIONS: &[(&str, MinTls)] = &[("1.2", MinTls::Tls12), ("1.3", MinTls::Tls13)];

fn read_listen(source: &Source<'_>, value: Value<'_>, plain_http: bool) -> Option<Listen> {
    const NAME: &str = "an element of `listen`";
    let (text, plain_http) = match value.get_ref().as_table() {
        Some(map) => {
            let table = Table::new(source, map, NAME, value.span());
            let plain_http = table.bool("plain_http").unwrap_or(plain_http);
            let address = table.required_filled("address", "\"127.0.0.1:8443\"");
            table.finish();
            (address?, plain_http)
        }
        None if value.get_ref().as_str().is_none() => {
            wrong_type(source, value, NAME, "a string or a table");
            return None;
        }
        None => {
            let location = source.location(value.span());
            (Placed { value: as_string(source, value, NAME)?, location }, plain_http)
        }
    };
    let address = match parse_name::<ListenAddress>(source, &text, "bad_address")?.value {
        ListenAddress::Unix(path) => ListenAddress::Unix(source.join(&path.to_string_lossy())),
        tcp @ ListenAddress::Tcp(_) => tcp,
    };
    let listen = Listen { address, plain_http };
    if listen.is_exposed() {
        let text =
            format!("plain HTTP on {} would show keys and tokens to the network", text.value);
        let help = "take plain_http out, or listen on loopback or a Unix socket";
        source.error_with("plain_http_exposed", text, help, value.span());
    }
    Some(listen)
}

/// The second would find the address taken, by whom it would not say.
fn refuse_repeated(source: &Source<'_>, listen: &[Listen], span: Range<usize>) {
    let any_port = |address: &ListenAddress| match address {
        ListenAddress::Tcp(address) => address.port() == 0,
        ListenAddress::Unix(_) => false,
    };
    let mut all = listen.iter().map(|one| &one.address).enumerate();
    let twice = all.find(|(at, address)| {
        !any_port(address) && listen.iter().take(*at).any(|other| other.address == **address)
    });
    if let Some((_, address)) = twice {
        let text = format!("`listen` of [service] names {address} twice");
        source.error_with("repeated_address", text, "keep one of the two", span);
    }
}

fn read_certificate(source: &Source<'_>, table: Table<'_>) -> Option<ServerCertificate> {
    let (label, chain, key) = (
        table.parsed("label", "bad_label"),
        table.filled("chain").map(|text| file(source, text)),
        table.filled("key").map(|text| file(source, text)),
    );
    let [has_label, has_chain, has_key] = ["label", "chain", "key"].map(|key| table.has(key));
    if has_label == (has_chain || has_key) || has_chain != has_key {
        let text = "`certificate` of [service] is either a label or two files";
        let help = "write { label = \"…\" } or { chain = \"server.pem\", key = \"server.key\" }";
        source.error_with("bad_certificate", text, help, table.span());
    }
    table.finish();
    match (label, chain, key) {
        (Some(label), None, None) => Some(ServerCertificate::Label(label)),
        (None, Some(chain), Some(key)) => Some(ServerCertificate::Files { chain, key }),
        _ => None,
    }
}

fn read_client_ca(source: &Source<'_>, table: Table<'_>) -> Option<ClientCa> {
    let label = table.parsed("label", "bad_label");
    let file = table.filled("file").map(|text| file(source, text));
    if table.has("label") == table.has("file") {
        let text = "`client_ca` of [service] is either a label or a file";
        let help = "write { label = \"…\" } or { file = \"ca.pem\" }";
        source.error_with("bad_certificate", text, help, table.span());
    }
    table.finish();
    match (label, file) {
        (Some(label), None) => Some(ClientCa::Label(label)),
        (None, Some(file)) => Some(ClientCa::File(file)),
        _ => None,
    }
}

fn file(source: &Source<'_>, text: Placed<String>) -> Placed<PathBuf> {
    Placed { value: source.join(&text.value), location: text.location }
}

fn read_limits(source: &Source<'_>, table: &Table<'_>) -> ServiceLimits {
    let mut limits = ServiceLimits::default();
    for (key, target, most) in [
        ("max_body_bytes", &mut limits.max_body_bytes, 64 << 20),
        ("max_batch_items", &mut limits.max_batch_items, 100_000),
        ("max_requests", &mut limits.max_requests, 1_000_000),
        ("max_connections", &mut limits.max_connections, 1_000_000),
    ] {
        if let Some(found) = table.number(key, 1..most + 1) {
            *target = usize::try_from(found).unwrap_or(*target);
        }
    }
    for (key, target) in [
        ("handshake_timeout", &mut limits.handshake_timeout),
        ("header_timeout", &mut limits.header_timeout),
        ("body_timeout", &mut limits.body_timeout),
        ("idle_timeout", &mut limits.idle_timeout),
        ("drain_time", &mut limits.drain_time),
    ] {
        let found = table.string(key).and_then(|text| duration(source, &text));
        *target = found.unwrap_or(*target);
    }
    limits
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::Config;

    fn problems(text: &str) -> Vec<&'static str> {
        let (_, problems) = Config::parse(text, Path::new("/etc/claviger.toml"));
        let of_service = problems.into_iter().map(|one| one.code);
        of_service.filter(|code| *code != "no_stores").collect()
    }

    #[test]
    fn every_form_of_the_table_is_read() {
        let text = r#"
            [service]
            listen = ["0.0.0.0:443", "[::1]:0", { address = "unix:run/c.sock", plain_http = true }]
            certificate = { chain = "tls/server.pem", key = "/k" }
            client_ca = { label = "app.ca" }
            min_tls = "1.3"
            max_connections = 7
            drain_time = "2m"
        "#;
        let (config, problems) = Config::parse(text, Path::new("/etc/claviger.toml"));
        assert!(problems.iter().all(|one| one.code == "no_stores"), "{problems:?}");
        let service = config.unwrap().service;
        let shown: Vec<_> =
            service.listen.iter().map(|one| (one.address.to_string(), one.plain_http)).collect();
        assert_eq!(
            shown,
            [
                ("0.0.0.0:443".to_owned(), false),
                ("[::1]:0".to_owned(), false),
                ("unix:/etc/run/c.sock".to_owned(), true)
            ]
        );
        let Some(ServerCertificate::Files { chain, key }) = service.certificate else { panic!() };
        assert_eq!((chain.value, key.value), ("/etc/tls/server.pem".into(), "/k".into()));
        assert!(
            matches!(service.client_ca, Some(ClientCa::Label(label)) if label.value.as_str() == "app.ca")
        );
        assert_eq!((service.min_tls, service.limits.max_connections), (MinTls::Tls13, 7));
        assert_eq!(service.limits.drain_time, Duration::from_secs(120));
    }

    #[test]
    fn every_mistake_is_told_at_once() {
        let text = r#"
            [service]
            listen = ["localhost:1", "unix:", 7, { adress = "127.0.0.1:1" }, "192.0.2.1:80"]
            plain_http = true
            certificate = { label = "app.tls", key = "k" }
            client_ca = { }
            min_tls = "1.1"
            max_requests = 0
            idle_timeout = "soon"
            idle = 1
        "#;
        let mut found = problems(text);
        found.sort_unstable();
        assert_eq!(
            found,
            [
                "bad_address",
                "bad_address",
                "bad_certificate",
                "bad_certificate",
                "bad_duration",
                "missing_key",
                "out_of_range",
                "plain_http_exposed",
                "unknown_key",
                "unknown_key",
                "unknown_value",
                "wrong_type"
            ]
        );
        assert_eq!(problems("[service]\n"), ["missing_key"]);
        assert_eq!(problems("[service]\nlisten = []\nplain_http = true\n"), ["empty_list"]);
        assert!(problems("[service]\nplain_http = true\n").is_empty());
    }
}
