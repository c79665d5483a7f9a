//! Callers: a name, and what proves it.

use std::fmt;
use std::ops::RangeInclusive;

use crate::access::DistinguishedName;
use crate::alg::Algorithm;
use crate::crypto::certificate;
use crate::error::Result;
use crate::label::{CallerName, LabelName, Realm};

/// Somebody that the configuration knows.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the keys of the table")]
pub struct Caller {
    /// Its name.
    pub name: CallerName,
    /// What it shows.
    pub credential: Credential,
}

/// What proves who calls.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Credential {
    /// Nothing: everybody who shows no other credential.
    Anonymous,
    /// An API key of 256 random bits: the SHA-256 of its text.
    ApiKey([u8; 32]),
    /// A client certificate that the handshake proved.
    Certificate(CertificateName),
    /// A signed token.
    Token(TokenRule),
}

impl Credential {
    /// Whether both would let the same request in.
    #[must_use]
    pub fn same_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Token(one), Self::Token(other)) => one.names() == other.names(),
            (one, other) => one == other,
        }
    }

    /// The word for it.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Anonymous => "anonymous",
            Self::ApiKey(_) => "api-key",
            Self::Certificate(_) => "certificate",
            Self::Token(_) => "token",
        }
    }
}

impl fmt::Display for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str("anonymous"),
            Self::ApiKey(hash) => write!(f, "API key with sha256 {}", hex::encode(hash)),
            Self::Certificate(name) => {
                f.write_str("certificate with ")?;
                match name {
                    CertificateName::SanDns(name) => write!(f, "san_dns {name}"),
                    CertificateName::SanUri(uri) => write!(f, "san_uri {uri}"),
                    CertificateName::Sha256(hash) => write!(f, "sha256 {}", hex::encode(hash)),
                    CertificateName::Subject(name) => write!(f, "subject {name}"),
                }
            }
            Self::Token(TokenRule { issuer, audience, subject, keys }) => {
                write!(f, "token: {subject} of {issuer} for {audience}, keys of ")?;
                match keys {
                    TokenKeys::Label { label, realm: None } => write!(f, "label {label}"),
                    TokenKeys::Label { label, realm: Some(realm) } => {
                        write!(f, "label {label} in realm {realm}")
                    }
                    TokenKeys::Url(keys) => f.write_str(&keys.url),
                }
            }
        }
    }
}

/// What a client certificate is known by; compared whole, nothing in it is a pattern.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the keys of the table")]
pub enum CertificateName {
    /// One DNS name of its subject alternative names, in small letters (RFC 5280 §4.2.1.6).
    SanDns(String),
    /// One URI of them, for example a SPIFFE ID.
    SanUri(String),
    /// SHA-256 of its DER.
    Sha256([u8; 32]),
    /// Its subject.
    Subject(DistinguishedName),
}

impl CertificateName {
    /// Everything that a certificate may be known by, and the seconds since 1970 in which it holds.
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`](crate::error::ErrorKind::Damaged) if the DER is no certificate.
    pub fn all_of(der: &[u8]) -> Result<(Vec<Self>, RangeInclusive<i64>)> {
        let names = certificate::names(der)?;
        let dns = names.dns.into_iter().map(Self::SanDns);
        let uris = names.uris.into_iter().map(Self::SanUri);
        let subject = names.subject.map(Self::Subject);
        let all = dns.chain(uris).chain(subject).chain([Self::Sha256(names.sha256)]);
        Ok((all.collect(), names.not_before..=names.not_after))
    }
}

/// What a token must say, and whose keys sign it. The token is a JWT (RFC 7519) or an access token as RFC 9068 has
/// it; the algorithms are those of the keys' label or of `keys`, never the token's choice.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the keys of the table")]
pub struct TokenRule {
    /// `iss`.
    pub issuer: String,
    /// One of `aud`.
    pub audience: String,
    /// `sub`.
    pub subject: String,
    /// The keys.
    pub keys: TokenKeys,
}

impl TokenRule {
    /// What the token is known by.
    fn names(&self) -> [&str; 3] {
        [&self.issuer, &self.audience, &self.subject]
    }
}

/// Whose keys sign tokens.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the keys of the table")]
pub enum TokenKeys {
    /// Those of a label here.
    Label {
        /// The label.
        label: LabelName,
        /// The realm that sees it so; `None`: the root realm.
        realm: Option<Realm>,
    },
    /// A key set of somebody else.
    Url(KeySetUrl),
}

/// A key set behind a URL.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the keys of the table")]
pub struct KeySetUrl {
    /// `https://…`; `http://` for this host alone.
    pub url: String,
    /// The label whose certificates vouch for the server; `None`: those of the system.
    pub roots: Option<LabelName>,
    /// The algorithms that tokens may have; none of them symmetric.
    pub algorithms: Vec<&'static Algorithm>,
}
