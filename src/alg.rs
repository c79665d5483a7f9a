//! The table of algorithms: one row each, and nothing below it enumerates them again.

use std::fmt;

use crate::error::{Error, ErrorKind, Result};

/// A digest.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the digests of the table below")]
pub enum Hash {
    /// SHA-1: only inside RSA-OAEP and to verify old XML signatures.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl Hash {
    /// As FIPS 180-4 writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "SHA-1",
            Self::Sha256 => "SHA-256",
            Self::Sha384 => "SHA-384",
            Self::Sha512 => "SHA-512",
        }
    }

    /// The digest of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Sha1, Self::Sha256, Self::Sha384, Self::Sha512]
            .into_iter()
            .find(|hash| hash.name() == name)
    }
}

/// An elliptic curve, by its JOSE `crv` name.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the curves of the table below")]
pub enum Curve {
    /// NIST P-256 (secp256r1).
    P256,
    /// NIST P-384 (secp384r1).
    P384,
    /// NIST P-521 (secp521r1).
    P521,
    /// secp256k1 (RFC 8812).
    Secp256k1,
    /// Ed25519 (RFC 8032).
    Ed25519,
    /// Ed448 (RFC 8032).
    Ed448,
    /// X25519 (RFC 7748).
    X25519,
    /// X448 (RFC 7748).
    X448,
}

impl Curve {
    /// The JOSE `crv` value.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::P256 => "P-256",
            Self::P384 => "P-384",
            Self::P521 => "P-521",
            Self::Secp256k1 => "secp256k1",
            Self::Ed25519 => "Ed25519",
            Self::Ed448 => "Ed448",
            Self::X25519 => "X25519",
            Self::X448 => "X448",
        }
    }

    /// The curve with this JOSE `crv` value.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [
            Self::P256,
            Self::P384,
            Self::P521,
            Self::Secp256k1,
            Self::Ed25519,
            Self::Ed448,
            Self::X25519,
            Self::X448,
        ]
        .into_iter()
        .find(|curve| curve.name() == name)
    }

    /// The size of a field element, in bits (key size as people quote it).
    #[must_use]
    pub const fn bits(self) -> usize {
        match self {
            Self::P256 | Self::Secp256k1 | Self::Ed25519 | Self::X25519 => 256,
            Self::P384 => 384,
            Self::P521 => 521,
            Self::Ed448 | Self::X448 => 448,
        }
    }

    /// The size of one encoded coordinate (or of the OKP public key), in bytes.
    #[must_use]
    pub const fn coordinate_bytes(self) -> usize {
        match self {
            Self::P256 | Self::Secp256k1 | Self::Ed25519 | Self::X25519 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
            Self::Ed448 => 57,
            Self::X448 => 56,
        }
    }

    /// Whether keys are `kty` OKP (RFC 8037) rather than EC.
    #[must_use]
    pub const fn is_okp(self) -> bool {
        matches!(self, Self::Ed25519 | Self::Ed448 | Self::X25519 | Self::X448)
    }
}

/// What an algorithm is made of; `crypto` dispatches on this and on nothing else.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a new family needs a new arm in crypto")]
pub enum Family {
    /// HMAC with this digest (RFC 7518 §3.2).
    Hmac(Hash),
    /// RSASSA-PKCS1-v1_5 (RFC 7518 §3.3).
    RsaPkcs1(Hash),
    /// RSASSA-PSS, MGF1 and salt of the same digest (RFC 7518 §3.5).
    RsaPss(Hash),
    /// ECDSA, `r‖s` (RFC 7518 §3.4, RFC 8812).
    Ecdsa(Curve, Hash),
    /// EdDSA; the key decides between Ed25519 and Ed448 (RFC 8037 §3.1).
    EdDsa,
    /// The shared key is the content key (RFC 7518 §4.5).
    Direct,
    /// AES key wrap with a key of this many bits (RFC 7518 §4.4).
    AesKw(usize),
    /// AES-GCM key wrap with a key of this many bits (RFC 7518 §4.7).
    AesGcmKw(usize),
    /// RSAES-OAEP with this digest and MGF1 of the same (RFC 7518 §4.3).
    RsaOaep(Hash),
    /// RSAES-PKCS1-v1_5 (RFC 7518 §4.2).
    Rsa15,
    /// ECDH-ES, direct or with AES-KW of this many bits (RFC 7518 §4.6).
    EcdhEs(Option<usize>),
    /// PBES2 with HMAC of this digest and AES-KW of this many bits (RFC 7518 §4.8).
    Pbes2(Hash, usize),
    /// AES-GCM with a key of this many bits (RFC 7518 §5.3).
    AesGcm(usize),
    /// AES-CBC with HMAC; the number is the length of the whole key in bits (RFC 7518 §5.2).
    AesCbcHmac(usize),
    /// AES-CBC without a MAC, keys of this many bits (XML-Enc 1.1 §5.2.2).
    AesCbc(usize),
    /// RSAES-OAEP whose digest, MGF and label stand beside the URI (XML-Enc 1.1 §5.5.2).
    RsaOaepNamed,
    /// Triple DES in CBC, read only (XML-Enc 1.1 §5.2.1).
    TripleDesCbc,
}

/// What an algorithm does.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "JOSE has three, and XML the same three")]
pub enum Operation {
    /// JWS `alg`: signatures and MACs.
    Sign,
    /// JWE `alg`: how the content key reaches the receiver.
    KeyManagement,
    /// JWE `enc`: how the content is encrypted.
    Content,
    /// Signatures that only XML has; those that JOSE has too are [`Operation::Sign`].
    XmlSign,
    /// Key transport that only XML has.
    XmlKeyTransport,
    /// Content encryption that only XML has.
    XmlContent,
}

/// Whether an algorithm works without being named.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a third status would change every caller")]
pub enum Status {
    /// Works wherever a label allows it.
    On,
    /// Works only where the label's own configuration or `policy.legacy` names it.
    Off,
}

/// The library that computes a family (DESIGN: backends by family, because of figures).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "there is no fourth backend")]
pub enum Backend {
    /// aws-lc-rs.
    AwsLc,
    /// OpenSSL, behind the feature `compat`.
    OpenSsl,
    /// ring.
    Ring,
    /// The crate aes-kw: aws-lc-rs wraps with 128 and 256 bits alone.
    RustCrypto,
}

/// One row.
#[derive(Debug)]
#[non_exhaustive]
pub struct Algorithm {
    /// The JOSE name (RFC 7518 and successors).
    pub name: &'static str,
    /// What it does.
    pub operation: Operation,
    /// What it is made of.
    pub family: Family,
    /// Whether it works without being named.
    pub status: Status,
    /// Which library computes it.
    pub backend: Backend,
    /// Its URI in XML signatures and encryption, where it has one that this program speaks.
    pub xml_uri: Option<&'static str>,
    /// The document that defines it.
    pub standard: &'static str,
}

const fn row(
    name: &'static str,
    operation: Operation,
    family: Family,
    status: Status,
    backend: Backend,
    standard: &'static str,
) -> Algorithm {
    Algorithm { name, operation, family, status, backend, xml_uri: None, standard }
}

/// The row, spoken in XML under this URI too.
const fn xml(row: Algorithm, uri: &'static str) -> Algorithm {
    Algorithm { xml_uri: Some(uri), ..row }
}

use Backend::{AwsLc, OpenSsl, Ring, RustCrypto};
use Operation::{Content, KeyManagement, Sign, XmlContent, XmlKeyTransport, XmlSign};
use Status::{Off, On};

/// `EdDSA` with the curve in the name (RFC 9864 §2.2). Labels without algorithms of their own sign with `EdDSA`, which more
/// peers know; a label or a client that names one of these gets it.
pub static FULLY_SPECIFIED: &[Algorithm] = &[
    row("Ed25519", Sign, Family::EdDsa, On, AwsLc, "RFC 9864 §2.2"),
    row("Ed448", Sign, Family::EdDsa, On, OpenSsl, "RFC 9864 §2.2"),
];

/// Every algorithm, in the order in which an unconstrained label prefers them.
pub static ALGORITHMS: &[Algorithm] = &[
    row("HS256", Sign, Family::Hmac(Hash::Sha256), On, Ring, "RFC 7518 §3.2"),
    row("HS384", Sign, Family::Hmac(Hash::Sha384), On, Ring, "RFC 7518 §3.2"),
    row("HS512", Sign, Family::Hmac(Hash::Sha512), On, Ring, "RFC 7518 §3.2"),
    xml(
        row("RS256", Sign, Family::RsaPkcs1(Hash::Sha256), On, AwsLc, "RFC 7518 §3.3"),
        "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256",
    ),
    xml(
        row("RS384", Sign, Family::RsaPkcs1(Hash::Sha384), On, AwsLc, "RFC 7518 §3.3"),
        "http://www.w3.org/2001/04/xmldsig-more#rsa-sha384",
    ),
    xml(
        row("RS512", Sign, Family::RsaPkcs1(Hash::Sha512), On, AwsLc, "RFC 7518 §3.3"),
        "http://www.w3.org/2001/04/xmldsig-more#rsa-sha512",
    ),
    xml(
        row("PS256", Sign, Family::RsaPss(Hash::Sha256), On, AwsLc, "RFC 7518 §3.5"),
        "http://www.w3.org/2007/05/xmldsig-more#sha256-rsa-MGF1",
    ),
    xml(
        row("PS384", Sign, Family::RsaPss(Hash::Sha384), On, AwsLc, "RFC 7518 §3.5"),
        "http://www.w3.org/2007/05/xmldsig-more#sha384-rsa-MGF1",
    ),
    xml(
        row("PS512", Sign, Family::RsaPss(Hash::Sha512), On, AwsLc, "RFC 7518 §3.5"),
        "http://www.w3.org/2007/05/xmldsig-more#sha512-rsa-MGF1",
    ),
    xml(
        row("ES256", Sign, Family::Ecdsa(Curve::P256, Hash::Sha256), On, AwsLc, "RFC 7518 §3.4"),
        "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256",
    ),
    xml(
        row("ES384", Sign, Family::Ecdsa(Curve::P384, Hash::Sha384), On, AwsLc, "RFC 7518 §3.4"),
        "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384",
    ),
    xml(
        row("ES512", Sign, Family::Ecdsa(Curve::P521, Hash::Sha512), On, AwsLc, "RFC 7518 §3.4"),
        "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha512",
    ),
    row("ES256K", Sign, Family::Ecdsa(Curve::Secp256k1, Hash::Sha256), On, AwsLc, "RFC 8812 §3.2"),
    row("EdDSA", Sign, Family::EdDsa, On, AwsLc, "RFC 8037 §3.1"),
    row("RSA-OAEP-256", KeyManagement, Family::RsaOaep(Hash::Sha256), On, AwsLc, "RFC 7518 §4.3"),
    row(
        "RSA-OAEP-384",
        KeyManagement,
        Family::RsaOaep(Hash::Sha384),
        On,
        AwsLc,
        "W3C WebCrypto JWK",
    ),
    row(
        "RSA-OAEP-512",
        KeyManagement,
        Family::RsaOaep(Hash::Sha512),
        On,
        AwsLc,
        "W3C WebCrypto JWK",
    ),
    row("RSA-OAEP", KeyManagement, Family::RsaOaep(Hash::Sha1), On, AwsLc, "RFC 7518 §4.3"),
    xml(
        row("RSA1_5", KeyManagement, Family::Rsa15, Off, OpenSsl, "RFC 7518 §4.2"),
        "http://www.w3.org/2001/04/xmlenc#rsa-1_5",
    ),
    row("ECDH-ES", KeyManagement, Family::EcdhEs(None), On, AwsLc, "RFC 7518 §4.6"),
    row("ECDH-ES+A128KW", KeyManagement, Family::EcdhEs(Some(128)), On, AwsLc, "RFC 7518 §4.6"),
    row("ECDH-ES+A192KW", KeyManagement, Family::EcdhEs(Some(192)), On, AwsLc, "RFC 7518 §4.6"),
    row("ECDH-ES+A256KW", KeyManagement, Family::EcdhEs(Some(256)), On, AwsLc, "RFC 7518 §4.6"),
    row("A256KW", KeyManagement, Family::AesKw(256), On, AwsLc, "RFC 7518 §4.4"),
    row("A192KW", KeyManagement, Family::AesKw(192), On, RustCrypto, "RFC 7518 §4.4"),
    row("A128KW", KeyManagement, Family::AesKw(128), On, AwsLc, "RFC 7518 §4.4"),
    row("A256GCMKW", KeyManagement, Family::AesGcmKw(256), On, AwsLc, "RFC 7518 §4.7"),
    row("A192GCMKW", KeyManagement, Family::AesGcmKw(192), On, AwsLc, "RFC 7518 §4.7"),
    row("A128GCMKW", KeyManagement, Family::AesGcmKw(128), On, AwsLc, "RFC 7518 §4.7"),
    row("dir", KeyManagement, Family::Direct, On, AwsLc, "RFC 7518 §4.5"),
    row(
        "PBES2-HS512+A256KW",
        KeyManagement,
        Family::Pbes2(Hash::Sha512, 256),
        Off,
        AwsLc,
        "RFC 7518 §4.8",
    ),
    row(
        "PBES2-HS384+A192KW",
        KeyManagement,
        Family::Pbes2(Hash::Sha384, 192),
        Off,
        AwsLc,
        "RFC 7518 §4.8",
    ),
    row(
        "PBES2-HS256+A128KW",
        KeyManagement,
        Family::Pbes2(Hash::Sha256, 128),
        Off,
        AwsLc,
        "RFC 7518 §4.8",
    ),
    xml(
        row("A256GCM", Content, Family::AesGcm(256), On, AwsLc, "RFC 7518 §5.3"),
        "http://www.w3.org/2009/xmlenc11#aes256-gcm",
    ),
    xml(
        row("A192GCM", Content, Family::AesGcm(192), On, AwsLc, "RFC 7518 §5.3"),
        "http://www.w3.org/2009/xmlenc11#aes192-gcm",
    ),
    xml(
        row("A128GCM", Content, Family::AesGcm(128), On, AwsLc, "RFC 7518 §5.3"),
        "http://www.w3.org/2009/xmlenc11#aes128-gcm",
    ),
    row("A256CBC-HS512", Content, Family::AesCbcHmac(512), On, AwsLc, "RFC 7518 §5.2"),
    row("A192CBC-HS384", Content, Family::AesCbcHmac(384), On, AwsLc, "RFC 7518 §5.2"),
    row("A128CBC-HS256", Content, Family::AesCbcHmac(256), On, AwsLc, "RFC 7518 §5.2"),
    xml(
        row(
            "rsa-sha1-verify",
            XmlSign,
            Family::RsaPkcs1(Hash::Sha1),
            Off,
            AwsLc,
            "XML-DSig §6.4.2",
        ),
        "http://www.w3.org/2000/09/xmldsig#rsa-sha1",
    ),
    xml(
        row("rsa-oaep", XmlKeyTransport, Family::RsaOaepNamed, On, AwsLc, "XML-Enc 1.1 §5.5.2"),
        "http://www.w3.org/2009/xmlenc11#rsa-oaep",
    ),
    xml(
        row(
            "rsa-oaep-mgf1p",
            XmlKeyTransport,
            Family::RsaOaepNamed,
            On,
            OpenSsl,
            "XML-Enc 1.1 §5.5.2",
        ),
        "http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p",
    ),
    xml(
        row("aes256-cbc", XmlContent, Family::AesCbc(256), Off, AwsLc, "XML-Enc 1.1 §5.2.2"),
        "http://www.w3.org/2001/04/xmlenc#aes256-cbc",
    ),
    xml(
        row("aes192-cbc", XmlContent, Family::AesCbc(192), Off, AwsLc, "XML-Enc 1.1 §5.2.2"),
        "http://www.w3.org/2001/04/xmlenc#aes192-cbc",
    ),
    xml(
        row("aes128-cbc", XmlContent, Family::AesCbc(128), Off, AwsLc, "XML-Enc 1.1 §5.2.2"),
        "http://www.w3.org/2001/04/xmlenc#aes128-cbc",
    ),
    xml(
        row("tripledes-cbc", XmlContent, Family::TripleDesCbc, Off, OpenSsl, "XML-Enc 1.1 §5.2.1"),
        "http://www.w3.org/2001/04/xmlenc#tripledes-cbc",
    ),
];

impl Algorithm {
    /// The row with this JOSE name.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Self> {
        ALGORITHMS.iter().chain(FULLY_SPECIFIED).find(|row| row.name == name)
    }

    /// Whether what allows this row allows the other one: `EdDSA` is both of its fully-specified rows (RFC 9864 §2.2),
    /// and neither of them is `EdDSA`.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        self == other || (self.name == "EdDSA" && other.family == Family::EdDsa)
    }

    /// The row with this URI in XML.
    #[must_use]
    pub fn by_xml_uri(uri: &str) -> Option<&'static Self> {
        ALGORITHMS.iter().find(|row| row.xml_uri == Some(uri))
    }

    /// How XML people call it: what follows `#` in its URI.
    #[must_use]
    pub fn xml_name(&self) -> Option<&'static str> {
        self.xml_uri.and_then(|uri| uri.rsplit_once('#')).map(|(_, name)| name)
    }

    /// The row of this JOSE name, XML name or XML URI.
    #[must_use]
    pub fn find_any(name: &str) -> Option<&'static Self> {
        Self::find(name)
            .or_else(|| Self::by_xml_uri(name))
            .or_else(|| ALGORITHMS.iter().find(|row| row.xml_name() == Some(name)))
    }

    /// The row of this JOSE or XML name, or an error with the nearest name.
    ///
    /// # Errors
    /// [`ErrorKind::AlgorithmNotAllowed`] if there is none.
    pub fn named(name: &str) -> Result<&'static Self> {
        Self::find_any(name).ok_or_else(|| {
            let nearest = nearest_name(name);
            let error = Error::new(
                ErrorKind::AlgorithmNotAllowed,
                format!("unknown algorithm \"{}\"", name.escape_debug()),
            );
            match nearest {
                Some(nearest) => error.with_help(format!("did you mean \"{nearest}\"?")),
                None => error,
            }
        })
    }

    /// The length in bytes of the key that a content algorithm needs; `None` for other rows.
    #[must_use]
    pub const fn content_key_bytes(&self) -> Option<usize> {
        match self.family {
            Family::AesGcm(bits) | Family::AesCbcHmac(bits) | Family::AesCbc(bits) => {
                Some(bits / 8)
            }
            Family::TripleDesCbc => Some(24),
            _ => None,
        }
    }
}

impl PartialEq for Algorithm {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Algorithm {}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

fn nearest_name(name: &str) -> Option<&'static str> {
    ALGORITHMS
        .iter()
        .map(|row| {
            (
                strsim::damerau_levenshtein(
                    &row.name.to_ascii_lowercase(),
                    &name.to_ascii_lowercase(),
                ),
                row.name,
            )
        })
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, _)| *distance <= 2)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_none_is_not_among_them() {
        for (index, row) in ALGORITHMS.iter().enumerate() {
            assert!(ALGORITHMS[..index].iter().all(|other| other.name != row.name), "{row} twice");
            assert!(!row.name.eq_ignore_ascii_case("none"));
            let same = |other: &&Algorithm| row.xml_uri.is_some() && other.xml_uri == row.xml_uri;
            assert!(!ALGORITHMS[..index].iter().any(|other| same(&other)), "{row}: its URI twice");
        }
    }

    #[test]
    fn a_near_miss_is_suggested() {
        assert_eq!(Algorithm::named("es256").unwrap_err().help(), Some("did you mean \"ES256\"?"));
    }
}
