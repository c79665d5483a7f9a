//! One HTTPS request for a key set: bounded in time and size, redirected nowhere.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ureq::config::Config;
use ureq::http::Uri;
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};

use super::{Reach, RemoteOptions, Roots};
use crate::cache_control::max_age;
use crate::error::{Error, ErrorKind, Result};

/// What a server answered.
pub(super) enum Answer {
    Changed { body: Vec<u8>, etag: Option<String>, max_age: Option<Duration> },
    Unchanged { max_age: Option<Duration> },
}

/// A URL that may be asked.
pub(super) struct Source(Uri);

impl Source {
    pub(super) fn new(url: &str) -> Result<Self> {
        let wrong = |why: &str| {
            let shown: String = url.chars().take(256).collect();
            Error::new(ErrorKind::Usage, format!("\"{}\": {why}", shown.escape_debug()))
                .with_help("name it as https://host/path")
        };
        let uri: Uri = url.parse().map_err(|_| wrong("no URL"))?;
        let authority = uri.authority().ok_or_else(|| wrong("no host"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("user names and passwords have no place in it"));
        }
        let host = authority.host().trim_matches(['[', ']']);
        let loopback = host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
        match uri.scheme_str() {
            Some("https") => Ok(Self(uri)),
            Some("http") if loopback => Ok(Self(uri)),
            _ => Err(wrong("only https is fetched, and http from this host")),
        }
    }

    pub(super) fn get(&self, etag: Option<&str>, options: &RemoteOptions) -> Result<Answer> {
        let failed = |error: ureq::Error| {
            Error::new(ErrorKind::StoreUnavailable, format!("{self} does not answer: {error}"))
        };
        let agent = agent(options)?;
        let mut request =
            agent.get(&self.0).header("accept", "application/jwk-set+json, application/json");
        if let Some(etag) = etag {
            request = request.header("if-none-match", etag);
        }
        let mut response = request.call().map_err(failed)?;
        let text = |name: &str| response.headers().get(name)?.to_str().ok().map(str::to_owned);
        let max_age = text("cache-control").and_then(|control| max_age(&control));
        let etag = text("etag").filter(|etag| etag.len() <= 256);
        match response.status().as_u16() {
            304 => Ok(Answer::Unchanged { max_age }),
            200 => {
                let body = response.body_mut().with_config().limit(options.max_bytes);
                Ok(Answer::Changed { body: body.read_to_vec().map_err(failed)?, etag, max_age })
            }
            status => {
                let text = format!("{self} answers with status {status}");
                Err(Error::new(ErrorKind::StoreUnavailable, text))
            }
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

fn agent(options: &RemoteOptions) -> Result<ureq::Agent> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .unversioned_rustls_crypto_provider(provider)
        .root_certs(RootCerts::Specific(Arc::new(roots(&options.roots)?)))
        .build();
    let config = Config::builder()
        .tls_config(tls)
        .timeout_global(Some(options.timeout))
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .proxy(None)
        .build();
    let resolver = Bounded { reach: options.reach, inner: DefaultResolver::default() };
    Ok(ureq::Agent::with_parts(config, DefaultConnector::default(), resolver))
}

fn roots(roots: &Roots) -> Result<Vec<Certificate<'static>>> {
    let owned = |der: &[u8]| Certificate::from_der(der).to_owned();
    Ok(match roots {
        Roots::Label(label) => {
            let keys = label.keys()?;
            keys.keys()
                .iter()
                .filter_map(|key| key.key.chain().first())
                .map(|der| owned(der))
                .collect()
        }
        Roots::System => {
            rustls_native_certs::load_native_certs().certs.iter().map(|der| owned(der)).collect()
        }
    })
}

/// Resolves names, and keeps addresses that may be connected to: what is checked is what is used.
#[derive(Debug)]
struct Bounded {
    reach: Reach,
    inner: DefaultResolver,
}

impl Resolver for Bounded {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let found = self.inner.resolve(uri, config, timeout)?;
        let mut kept = self.empty();
        for address in found.iter() {
            if self.reach == Reach::Anywhere || is_of_internet(address.ip()) {
                kept.push(*address);
            }
        }
        if kept.is_empty() { Err(ureq::Error::HostNotFound) } else { Ok(kept) }
    }
}

/// Not of this host, a private or link-local network, shared, for documentation, multicast or reserved
/// (RFC 6890).
fn is_of_internet(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            let special = ip.is_private()
                || ip.is_loopback()
                || ip.is_link_local()
                || ip.is_documentation()
                || ip.is_multicast()
                || a == 0
                || a >= 240
                || (a == 100 && (64..128).contains(&b))
                || (a == 192 && b == 0 && c == 0)
                || (a == 198 && (18..20).contains(&b));
            !special
        }
        // Global unicast alone, and of that neither documentation nor addresses with an IPv4 one inside.
        IpAddr::V6(ip) => {
            let [first, second, ..] = ip.segments();
            (0x2000..0x4000).contains(&first)
                && first != 0x2002
                && !(first == 0x2001 && (second < 0x200 || second == 0xdb8))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_the_house_are_not_of_the_internet() {
        for ip in [
            "127.0.0.1",
            "10.1.2.3",
            "169.254.169.254",
            "192.168.0.1",
            "100.64.0.1",
            "0.0.0.0",
            "::1",
            "::ffff:10.0.0.1",
            "fe80::1",
            "fd00::1",
            "64:ff9b::a00:1",
            "2002:a00:1::",
            "2001:db8::1",
        ] {
            assert!(!is_of_internet(ip.parse().unwrap()), "{ip}");
        }
        for ip in ["9.9.9.9", "2620:fe::fe"] {
            assert!(is_of_internet(ip.parse().unwrap()), "{ip}");
        }
    }

    #[test]
    fn only_https_and_this_host_are_asked() {
        for url in [
            "https://login.example.com/jwks",
            "http://127.0.0.1:8080/",
            "http://[::1]/k",
            "http://localhost/",
        ] {
            assert!(Source::new(url).is_ok(), "{url}");
        }
        for url in [
            "http://example.com/",
            "http://127.0.0.1@example.com/",
            "https://u:p@h/",
            "file:///etc/passwd",
            "",
            "/jwks",
            "http://localhost.example.com/",
        ] {
            assert!(Source::new(url).is_err(), "{url}");
        }
    }
}
