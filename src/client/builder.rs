//! How a client is set up: where the service is, whom it trusts, what proves the caller, how patient it is.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::tls::{
    Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, TlsProvider, parse_pem,
};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::DefaultConnector;

use super::transport::{self, Bearer, Transport};
use super::unix::{Socket, UnixConnector};
use super::{Client, ClientError, Result};
use crate::secret::SecretString;

/// Sets up a [`Client`].
#[must_use]
pub struct ClientBuilder {
    url: String,
    roots: Option<Vec<Certificate<'static>>>,
    certificate: Option<ClientCert>,
    bearer: Bearer,
    timeout: Duration,
    retries: u32,
    patience: Duration,
}

impl ClientBuilder {
    pub(super) fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            roots: None,
            certificate: None,
            bearer: Bearer::None,
            timeout: Duration::from_secs(30),
            retries: 2,
            patience: Duration::from_secs(10),
        }
    }

    /// The authorities that may sign the certificate of the service, in PEM; without it, those of the system.
    ///
    /// # Errors
    /// [`ClientError::Setup`] if there is no certificate in it.
    pub fn roots_pem(mut self, pem: &[u8]) -> Result<Self> {
        self.roots = Some(certificates(pem)?);
        Ok(self)
    }

    /// The certificate of the caller with those between it and its authority, and its private key, in PEM. It goes with
    /// the client as long as that lives: a renewed one needs a new client.
    ///
    /// # Errors
    /// [`ClientError::Setup`] if one of them is not there, the key is of another certificate, or it does not sign in TLS.
    pub fn certificate_pem(mut self, chain: &[u8], key: &[u8]) -> Result<Self> {
        let certificates = certificates(chain)?;
        require_own(&certificates, key)?;
        let key = PrivateKey::from_pem(key).map_err(|_| no_key())?;
        self.certificate = Some(ClientCert::new_with_certs(&certificates, key));
        Ok(self)
    }

    /// The API key of the caller, or a token of an issuer that the service knows.
    ///
    /// # Errors
    /// [`ClientError::Setup`] for what cannot stand in a header.
    pub fn bearer(mut self, credential: &str) -> Result<Self> {
        self.bearer = Bearer::Fixed(transport::bearer(credential)?);
        Ok(self)
    }

    /// Where the credential of each request comes from, for tokens that end: it keeps one as long as it is good.
    pub fn bearer_from(
        mut self,
        source: impl Fn() -> SecretString + Send + Sync + 'static,
    ) -> Self {
        self.bearer = Bearer::From(Box::new(source));
        self
    }

    /// How long one request may take, from the connection to the end of the answer; default 30 seconds.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How often a request is sent again after 429 or 503 with `Retry-After`; default 2, 0 never.
    pub const fn retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// The longest `Retry-After` that is waited for; default 10 seconds.
    pub const fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// The client. Nothing is connected yet.
    ///
    /// # Errors
    /// [`ClientError::Setup`] for a URL that may not be asked, without any authority, or with a certificate where there is
    /// no TLS to prove it.
    pub fn build(self) -> Result<Client> {
        let place = Place::of(&self.url)?;
        if self.certificate.is_some() && !matches!(place, Place::Tls(_)) {
            let text = "without TLS a certificate proves nothing: write https://host:port";
            return Err(ClientError::Setup(text.to_owned()));
        }
        let config = Config::builder()
            .timeout_global(Some(self.timeout.min(LONGEST)))
            // Credentials go nowhere but where they were meant for.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .http_status_as_error(false)
            .max_idle_connections(MAX_IDLE)
            .max_idle_connections_per_host(MAX_IDLE);
        let tcp = |config| {
            let (connector, resolver) = (DefaultConnector::default(), DefaultResolver::default());
            ureq::Agent::with_parts(config, connector, resolver)
        };
        let (agent, base) = match place {
            Place::Plain(base) => (tcp(config.build()), base),
            Place::Tls(base) => {
                let tls = tls(self.roots, self.certificate)?;
                (tcp(config.tls_config(tls).build()), base)
            }
            Place::Unix(path) => {
                let connector = UnixConnector::new(path);
                let agent = ureq::Agent::with_parts(config.build(), connector, Socket);
                (agent, "http://localhost".to_owned())
            }
        };
        let (bearer, retries, patience) = (self.bearer, self.retries, self.patience);
        let shown = self.url;
        Ok(Client(Arc::new(Transport { agent, base, shown, bearer, retries, patience })))
    }
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL is not checked yet: there may be a password in it.
        f.debug_struct("ClientBuilder").finish_non_exhaustive()
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<Certificate<'static>>> {
    let found: Vec<_> = parse_pem(pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if found.is_empty() {
        return Err(ClientError::Setup("there is no certificate in PEM".to_owned()));
    }
    Ok(found)
}

fn no_key() -> ClientError {
    ClientError::Setup("there is no private key in PEM".to_owned())
}

/// What the handshake would find out only in the midst of a request.
fn require_own(chain: &[Certificate<'static>], key: &[u8]) -> Result<()> {
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| no_key())?;
    let chain = chain.iter().map(|one| CertificateDer::from(one.der().to_vec())).collect();
    let provider = rustls::crypto::ring::default_provider();
    let pair = CertifiedKey::from_der(chain, key, &provider);
    pair.map(drop).map_err(|error| {
        ClientError::Setup(format!("the certificate and the private key are no pair: {error}"))
    })
}

fn tls(
    roots: Option<Vec<Certificate<'static>>>,
    certificate: Option<ClientCert>,
) -> Result<TlsConfig> {
    let roots = match roots {
        Some(roots) => roots,
        None => {
            let found = rustls_native_certs::load_native_certs().certs;
            found.iter().map(|der| Certificate::from_der(der).to_owned()).collect()
        }
    };
    if roots.is_empty() {
        return Err(ClientError::Setup("the system has no trust anchors".to_owned()));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .unversioned_rustls_crypto_provider(provider)
        .root_certs(RootCerts::Specific(Arc::new(roots)))
        .client_cert(certificate)
        .build())
}

/// 136 years: clocks do not count much further.
const LONGEST: Duration = Duration::from_secs(1 << 32);

/// As many connections rest as threads asked at once, up to this.
const MAX_IDLE: usize = 16;

/// Where a service is.
enum Place {
    /// `http://` and this host: credentials and plaintexts never cross a network in clear.
    Plain(String),
    /// `https://` and a host.
    Tls(String),
    /// A socket by its path.
    Unix(PathBuf),
}

impl Place {
    fn of(url: &str) -> Result<Self> {
        if let Some(path) = url.strip_prefix("unix:") {
            return Ok(Self::Unix(path.into()));
        }
        let wrong = |why: &str| {
            Err(ClientError::Setup(format!(
                "the URL of the service {why}: write https://host:port"
            )))
        };
        // The parser drops a fragment, and with it what is put behind it.
        if url.contains('#') {
            return wrong("has a fragment");
        }
        let Ok(uri) = url.parse::<Uri>() else { return wrong("is none") };
        let Some(authority) = uri.authority() else { return wrong("has no host") };
        if authority.as_str().contains('@') {
            return wrong("has a user name or a password");
        }
        if !["", "/"].contains(&uri.path()) || uri.query().is_some() {
            return wrong("has a path");
        }
        let host = authority.host().trim_matches(['[', ']']);
        let loopback = host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
        // RFC 3986 §3.1: schemes have no case.
        match uri.scheme_str() {
            Some("https") => Ok(Self::Tls(format!("https://{authority}"))),
            Some("http") if loopback => Ok(Self::Plain(format!("http://{authority}"))),
            _ => wrong("is neither https nor of this host"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_sent_over_tls_or_to_this_host_alone() {
        for url in ["https://a.example:8443", "http://127.0.0.1:8080/", "http://[::1]:1", "unix:/x"]
        {
            assert!(Client::builder(url).roots_pem(PEM).unwrap().build().is_ok(), "{url}");
        }
        for url in [
            "http://a.example",
            "https://u:p@a.example",
            "https://a.example/path",
            "ftp://localhost",
            "localhost:8443",
            "",
        ] {
            let error = Client::builder(url).roots_pem(PEM).unwrap().build().unwrap_err();
            assert_eq!(error.code(), "setup", "{url}");
        }
    }

    #[test]
    fn no_credential_is_shown() {
        let builder = Client::builder("http://localhost").bearer("the key of nobody").unwrap();
        let client = builder.roots_pem(PEM).unwrap().build().unwrap();
        assert!(!format!("{client:?}").contains("nobody"));
        let error = Client::builder("http://localhost").bearer("a\nb").unwrap_err();
        assert!(!error.to_string().contains('a'.to_string().repeat(2).as_str()));
        assert!(Client::builder("x").roots_pem(b"none").is_err());
        assert!(Client::builder("x").certificate_pem(PEM, b"none").is_err());
    }

    const PEM: &[u8] = include_bytes!("../../keystores/openssl.pem");
}
