//! A client as it is registered: who it is, its secrets and keys, and the algorithms that were agreed on.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::certificate::{self, CertificateMethod};
use super::keys::Memos;
use super::registration::{Encryption, Registration};
use crate::alg::{Algorithm, Family};
use crate::catalogue::LabelUse;
use crate::crypto::{Key, OctType};
use crate::error::{Error, ErrorKind, Result};
use crate::json;
use crate::ops::{KeySet, KeySetPolicy, LabelKey};
use crate::secret::SecretBytes;

/// How deep the metadata of a client nests: a JWK set is four levels.
const MAX_METADATA_DEPTH: usize = 8;

/// A client. Cheap to clone.
#[derive(Clone)]
pub struct Client(Arc<Registered>);

struct Registered {
    id: String,
    /// What stands for `{identifier}` in the client's labels.
    identifier: Option<String>,
    is_agent: bool,
    secrets: Option<KeySet>,
    jwks: Option<Vec<u8>>,
    memos: Memos,
    id_token: Algorithms,
    userinfo: Algorithms,
    request_object: Algorithms,
    authentication: Authentication,
    certificate: Option<CertificateMethod>,
    binds_tokens: bool,
    subject: Subject,
}

/// The algorithms that were agreed on for a kind of token.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Algorithms {
    /// How it is signed; `None`: nothing was said.
    pub signing: Option<&'static Algorithm>,
    /// How it is encrypted; `None`: it is not.
    pub encryption: Option<Encryption>,
}

/// How a client authenticates with a JWT.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Authentication {
    /// The method; `None`: none with a JWT.
    pub method: Option<JwtMethod>,
    /// The algorithm that it must use; `None`: any of its method.
    pub algorithm: Option<&'static Algorithm>,
}

/// The methods of OpenID Connect Core §9 that are JWTs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the specification defines these two")]
pub enum JwtMethod {
    /// HMAC with the client's secret.
    ClientSecret,
    /// A signature with the client's private key.
    PrivateKey,
}

/// How the client knows its users.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Subject {
    /// By an id of its own sector; what is wrong with the sector otherwise.
    Pairwise(Result<String, &'static str>),
    Public,
}

impl Client {
    /// A client from its metadata in JSON, as a registration answers it.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] for JSON that is none, [`ErrorKind::Usage`] for metadata that is misspelled or of a wrong
    /// type, [`ErrorKind::AlgorithmNotAllowed`].
    pub fn from_json(metadata: &[u8]) -> Result<Self> {
        Self::new(&json::parse_strict_object(metadata, MAX_METADATA_DEPTH)?, Vec::new())
    }

    /// A client from its metadata. `secrets`, the one that acts first, come from elsewhere than the metadata; a
    /// `client_secret` there is one more.
    ///
    /// # Errors
    /// As [`Client::from_json`].
    pub fn new(metadata: &Map<String, Value>, mut secrets: Vec<SecretBytes>) -> Result<Self> {
        let read = Registration::new(metadata)?;
        let id = read.text("client_id")?.filter(|id| !id.is_empty());
        let id = id.ok_or_else(|| {
            Error::new(ErrorKind::Usage, "client metadata \"client_id\" is missing")
        })?;
        let identifier = read.text("secret_label_identifier")?.map(str::to_owned);
        let inner = read.text("client_secret")?.map(str::as_bytes);
        secrets.extend(inner.map(SecretBytes::from_slice));
        Ok(Self(Arc::new(Registered {
            id: id.to_owned(),
            identifier,
            is_agent: read.flag("agent")?,
            secrets: key_set(secrets)?,
            memos: Memos::default(),
            jwks: read.value("jwks").map(|jwks| jwks.to_string().into_bytes()),
            id_token: Algorithms {
                signing: read.signature("id_token_signed_response_alg")?,
                encryption: read.encryption("id_token_encrypted_response")?,
            },
            userinfo: Algorithms {
                signing: read.signature("userinfo_signed_response_alg")?,
                encryption: read.encryption("userinfo_encrypted_response")?,
            },
            request_object: Algorithms {
                signing: read.signature("request_object_signing_alg")?,
                encryption: read.encryption("request_object_encryption")?,
            },
            authentication: authentication(&read)?,
            certificate: certificate::method(&read)?,
            binds_tokens: read.flag("tls_client_certificate_bound_access_tokens")?,
            subject: subject(&read)?,
        })))
    }

    /// Its `client_id`.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// What stands for `{identifier}` in its labels, if it has any.
    #[must_use]
    pub fn identifier(&self) -> Option<&str> {
        self.0.identifier.as_deref()
    }

    /// Whether it is an agent of Ping AM, whose ID tokens have a label of their own.
    #[must_use]
    pub fn is_agent(&self) -> bool {
        self.0.is_agent
    }

    /// The algorithms of its ID tokens and logout tokens.
    #[must_use]
    pub fn id_token(&self) -> Algorithms {
        self.0.id_token
    }

    /// The algorithms of userinfo responses.
    #[must_use]
    pub fn userinfo(&self) -> Algorithms {
        self.0.userinfo
    }

    /// The algorithms of its request objects.
    #[must_use]
    pub fn request_object(&self) -> Algorithms {
        self.0.request_object
    }

    /// How it authenticates with a JWT.
    #[must_use]
    pub fn authentication(&self) -> Authentication {
        self.0.authentication
    }

    /// How it authenticates with a certificate; `None`: it does not.
    #[must_use]
    pub fn certificate(&self) -> Option<&CertificateMethod> {
        self.0.certificate.as_ref()
    }

    /// Whether its access tokens are bound to its certificate (RFC 8705 §3.4).
    #[must_use]
    pub fn binds_tokens(&self) -> bool {
        self.0.binds_tokens
    }

    /// Its JWK set, JSON.
    pub(super) fn jwks(&self) -> Option<&[u8]> {
        self.0.jwks.as_deref()
    }

    /// Its secrets, the one that acts first.
    pub(super) fn secrets(&self) -> Option<&KeySet> {
        self.0.secrets.as_ref()
    }

    /// The keys that were made of its registration.
    pub(super) fn memos(&self) -> &Memos {
        &self.0.memos
    }

    /// The sector of its pairwise subjects; `None`: its subjects are public.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] if the registration names no sector.
    pub fn sector(&self) -> Result<Option<&str>> {
        match &self.0.subject {
            Subject::Public => Ok(None),
            Subject::Pairwise(Ok(sector)) => Ok(Some(sector)),
            Subject::Pairwise(Err(why)) => {
                let text = format!("client \"{}\" has no sector: {why}", self.id().escape_debug());
                Err(Error::new(ErrorKind::Usage, text)
                    .with_help("register a sector_identifier_uri"))
            }
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("id", &self.0.id).finish_non_exhaustive()
    }
}

/// The secrets of a registration as they would stand behind a label.
fn key_set(secrets: Vec<SecretBytes>) -> Result<Option<KeySet>> {
    if secrets.is_empty() {
        return Ok(None);
    }
    let key = |(index, secret): (usize, SecretBytes)| {
        let key = Key::from_secret(secret, OctType::Generic)?;
        let alias = format!("client_secret-{}", index + 1).parse()?;
        let kid = key.thumbprint().to_owned();
        let (hints, usage) = Default::default();
        Ok(LabelKey { alias, store: "registration".parse()?, realm: None, kid, key, hints, usage })
    };
    let mut keys: Vec<LabelKey> =
        secrets.into_iter().enumerate().map(key).collect::<Result<_>>()?;
    // A secret that is given twice is one.
    let mut seen = HashSet::new();
    keys.retain(|key| seen.insert(key.kid.clone()));
    let (label, uses) = ("client.secret".parse()?, vec![LabelUse::Secret]);
    KeySet::new(label, uses, keys, Vec::new(), KeySetPolicy::default()).map(Some)
}

fn authentication(read: &Registration<'_>) -> Result<Authentication> {
    let method = match read.text("token_endpoint_auth_method")? {
        Some("client_secret_jwt") => Some(JwtMethod::ClientSecret),
        Some("private_key_jwt") => Some(JwtMethod::PrivateKey),
        _ => None,
    };
    let algorithm = read.signature("token_endpoint_auth_signing_alg")?;
    if let (Some(method), Some(algorithm)) = (method, algorithm)
        && matches!(algorithm.family, Family::Hmac(_)) != (method == JwtMethod::ClientSecret)
    {
        let text = format!(
            "\"token_endpoint_auth_signing_alg\" {algorithm} does not fit \"token_endpoint_auth_method\""
        );
        return Err(Error::new(ErrorKind::AlgorithmNotAllowed, text));
    }
    Ok(Authentication { method, algorithm })
}

fn subject(read: &Registration<'_>) -> Result<Subject> {
    match read.text("subject_type")? {
        None | Some("public") => Ok(Subject::Public),
        Some("pairwise") => {
            let sector = read.text("sector_identifier_uri")?;
            Ok(Subject::Pairwise(sector_of(sector, &read.texts("redirect_uris")?)))
        }
        Some(_) => Err(Error::new(
            ErrorKind::Usage,
            "client metadata \"subject_type\" is public or pairwise",
        )),
    }
}

/// The host of the sector, else the one of all redirect URIs (OpenID Connect Core §8.1).
fn sector_of(uri: Option<&str>, redirect_uris: &[&str]) -> Result<String, &'static str> {
    if let Some(uri) = uri {
        return host(uri).map(str::to_owned).ok_or("its sector_identifier_uri has no host");
    }
    let hosts: Option<Vec<&str>> = redirect_uris.iter().map(|uri| host(uri)).collect();
    match hosts.ok_or("a redirect URI has no host")?.as_slice() {
        [] => Err("it has no redirect URI"),
        [first, others @ ..] if others.iter().all(|other| other == first) => {
            Ok((*first).to_owned())
        }
        _ => Err("its redirect URIs have several hosts"),
    }
}

/// The host of a URI as it is written, which is what Ping AM hashes (RFC 3986 §3.2.2).
fn host(uri: &str) -> Option<&str> {
    let (_, rest) = uri.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let end = if host.starts_with('[') {
        host.find(']')? + 1
    } else {
        host.find(':').unwrap_or(host.len())
    };
    host.get(..end).filter(|host| !host.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_a_uri() {
        for (uri, expected) in [
            ("https://shop.example.com/cb?x=@y#z", Some("shop.example.com")),
            ("https://shop.example.com:8443", Some("shop.example.com")),
            ("https://a:b@shop.example.com:8443/", Some("shop.example.com")),
            ("http://[::1]:8080/cb", Some("[::1]")),
            ("com.example.app:/cb", None),
            ("https:///cb", None),
            ("https://[::1", None),
        ] {
            assert_eq!(host(uri), expected, "{uri}");
        }
    }

    #[test]
    fn a_sector_is_one_host() {
        assert_eq!(sector_of(None, &["https://a/1", "https://a/2"]), Ok("a".into()));
        assert_eq!(sector_of(Some("https://s/list"), &["https://a", "https://b"]), Ok("s".into()));
        assert!(sector_of(None, &["https://a", "https://b"]).is_err());
        assert!(sector_of(None, &[]).is_err());
        assert!(sector_of(Some("urn:x"), &["https://a"]).is_err());
    }
}
