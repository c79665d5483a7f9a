//! The HTTP-Redirect binding: query signatures on the raw bytes (SAML bindings §3.4.4.1).
//!
//! What was signed is what stands in the URL, escapes and all: nothing is decoded and written anew before the
//! signature holds, and nothing is inflated.

use miniz_oxide::{deflate, inflate};

use super::lifetime;
use crate::alg::Algorithm;
use crate::error::{Error, ErrorKind, Result};
use crate::ops::KeySet;
use crate::xmlsec::dsig::SigningMethod;
use crate::xmlsec::{
    self, Node, PeerPolicy, Signer, Trust, XmlLimits, decode_base64, encode_base64, raw,
};

/// A query in bytes at most: what browsers and servers pass on is far less.
const MAX_QUERY_BYTES: usize = 1 << 20;
/// The one SAMLEncoding that exists (SAML bindings §3.4.4).
const DEFLATE: &str = "urn:oasis:names:tc:SAML:2.0:bindings:URL-Encoding:DEFLATE";
const SIGNED: [&str; 5] = ["SAMLRequest", "SAMLResponse", "RelayState", "SigAlg", "Signature"];

/// Which parameter carries a message.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the two of the bindings")]
pub enum MessageKind {
    /// `SAMLRequest`.
    #[default]
    Request,
    /// `SAMLResponse`.
    Response,
}

impl MessageKind {
    /// The name of the parameter.
    #[must_use]
    pub const fn parameter(self) -> &'static str {
        match self {
            Self::Request => "SAMLRequest",
            Self::Response => "SAMLResponse",
        }
    }
}

/// How [`sign`] signs.
#[derive(Clone, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "built with ..Default::default()")]
pub struct RedirectOptions<'a> {
    /// Which parameter carries the message.
    pub kind: MessageKind,
    /// The RelayState; absent is left out, empty is kept.
    pub relay_state: Option<&'a str>,
    /// The algorithm, by JOSE name, XML name or URI.
    pub algorithm: Option<&'a str>,
    /// Signature algorithms that the peer prefers, in order.
    pub peer_algorithms: &'a [SigningMethod],
    /// Write an ECDSA value in DER, as peers in Java read it (Ping AM, Shibboleth), instead of as XML has it (RFC 9231
    /// §2.3.6).
    pub ecdsa_der: bool,
}

/// A signed query.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SignedQuery {
    /// The query, without `?`.
    pub query: String,
    /// The alias that signed.
    pub alias: String,
    /// The algorithm.
    pub algorithm: &'static Algorithm,
    /// Whether the peer prefers others, or keys of other sizes: it may refuse this.
    pub unnamed: bool,
}

/// A query whose signature holds.
#[derive(Clone, Debug)]
#[non_exhaustive]
#[must_use]
pub struct VerifiedQuery {
    /// Which parameter carried the message.
    pub kind: MessageKind,
    /// The message; it is well-formed and within the limits.
    pub message: String,
    /// The RelayState, as signed.
    pub relay_state: Option<String>,
    /// The key that made the signature.
    pub signer: Signer,
    /// The signature algorithm.
    pub algorithm: &'static Algorithm,
}

/// Deflates, encodes and signs a message with the active alias. An enveloped signature of the message is taken
/// out, since the query's stands for it (SAML bindings §3.4.4.1).
///
/// # Errors
/// [`ErrorKind::Malformed`] and [`ErrorKind::LimitExceeded`] for the XML; [`ErrorKind::WrongUse`],
/// [`ErrorKind::AlgorithmNotAllowed`].
pub fn sign(set: &KeySet, message: &[u8], options: &RedirectOptions<'_>) -> Result<SignedQuery> {
    let (message, ends) = raw::without_signature(message, &XmlLimits::MESSAGE, lifetime::ends)?;
    let deflated = deflate::compress_to_vec(message.as_bytes(), 9);
    let mut query = format!("{}={}", options.kind.parameter(), escape(&encode_base64(&deflated)));
    if let Some(relay_state) = options.relay_state {
        query.push_str("&RelayState=");
        query.push_str(&escape(relay_state));
    }
    let signer = raw::choose(set, options.algorithm, options.peer_algorithms)?;
    query.push_str("&SigAlg=");
    query.push_str(&escape(signer.xml_uri.unwrap_or_default()));
    let value = raw::sign(set, signer, query.as_bytes(), ends)?;
    let value = if options.ecdsa_der { raw::in_der(signer, value) } else { value };
    query.push_str("&Signature=");
    query.push_str(&escape(&encode_base64(&value)));
    let active = set.active();
    Ok(SignedQuery {
        query,
        alias: active.alias.to_string(),
        algorithm: signer,
        unnamed: SigningMethod::leave_out(options.peer_algorithms, signer, active.key.kind()),
    })
}

/// Verifies a raw query, then inflates the message.
///
/// # Errors
/// [`ErrorKind::NotVerified`] for everything about the query, whose reason is the error's source;
/// [`ErrorKind::LimitExceeded`] and [`ErrorKind::Malformed`] for the message in it; [`ErrorKind::WrongUse`] for a label
/// that does not verify.
pub fn verify(
    query: &str,
    trust: Trust<'_>,
    policy: &PeerPolicy,
    limits: &XmlLimits,
) -> Result<VerifiedQuery> {
    verify_where(query, trust, policy, limits, |_| Ok(()))
}

/// As [`verify`], of messages that `accept` takes as well: it says why not.
pub(super) fn verify_where(
    query: &str,
    trust: Trust<'_>,
    policy: &PeerPolicy,
    limits: &XmlLimits,
    accept: impl FnOnce(Node<'_, '_>) -> Result<(), &'static str>,
) -> Result<VerifiedQuery> {
    let parameters = Parameters::read(query).map_err(not_verified)?;
    let (kind, message) = parameters.message().map_err(not_verified)?;
    let method = parameters.decoded("SigAlg").map_err(not_verified)?;
    let value = parameters.decoded("Signature").map_err(not_verified)?;
    let (method, value) = match (method, value) {
        (Some(method), Some(value)) => (method, value),
        (None, None) => return Err(not_verified("the query is not signed")),
        (None, Some(_)) => return Err(not_verified("there is no SigAlg")),
        (Some(_), None) => return Err(not_verified("there is no Signature")),
    };
    let algorithm = Algorithm::by_xml_uri(&method);
    let algorithm = algorithm.ok_or_else(|| not_verified("the SigAlg is not known"))?;
    let value = decode_base64(&value).filter(|value| !value.is_empty());
    let value = value
        .ok_or_else(|| not_verified("the Signature is not base64; in a query its + is %2B"))?;
    let signed = parameters.signed(kind);
    let signer = raw::verify(trust, policy, algorithm, signed.as_bytes(), &value)?;
    let relay_state = parameters.decoded("RelayState").map_err(not_verified)?;
    let encoding = parameters.decoded("SAMLEncoding").map_err(not_verified)?;
    if encoding.is_some_and(|encoding| encoding != DEFLATE) {
        return Err(not_verified("the SAMLEncoding is not DEFLATE"));
    }
    let message = unescape(message).as_deref().and_then(decode_base64);
    let message = message.ok_or_else(|| not_verified("the message is not base64"))?;
    let message = inflated(&message, limits)?;
    raw::look(message.as_bytes(), limits, accept)?.map_err(not_verified)?;
    Ok(VerifiedQuery { kind, message, relay_state, signer, algorithm })
}

/// Raw DEFLATE, bounded: a bomb stops at the limit of the text it wants to be.
fn inflated(deflated: &[u8], limits: &XmlLimits) -> Result<String> {
    use inflate::TINFLStatus::HasMoreOutput;

    let text =
        inflate::decompress_to_vec_with_limit(deflated, limits.max_bytes).map_err(|error| {
            if error.status == HasMoreOutput {
                let text = format!("the message inflates to more than {} bytes", limits.max_bytes);
                return Error::new(ErrorKind::LimitExceeded, text);
            }
            Error::new(ErrorKind::Malformed, "the message does not inflate")
        })?;
    String::from_utf8(text)
        .map_err(|_| Error::new(ErrorKind::Malformed, "the message is not UTF-8"))
}

/// The parameters of a query, raw.
struct Parameters<'q>(Vec<(&'q str, &'q str)>);

impl<'q> Parameters<'q> {
    fn read(query: &'q str) -> Result<Self, &'static str> {
        if query.len() > MAX_QUERY_BYTES {
            return Err("the query is too long");
        }
        let mut found: Vec<(&str, &str)> = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            // A server in front may decode names; the two of us must see the same parameters.
            let plain = unescape(name).ok_or("a parameter has a broken escape")?;
            let ours = SIGNED.contains(&plain.as_str()) || plain == "SAMLEncoding";
            if !ours {
                continue;
            }
            if plain != name {
                return Err("a parameter's name is escaped");
            }
            if found.iter().any(|(known, _)| *known == name) {
                return Err("a parameter is there twice");
            }
            found.push((name, value));
        }
        Ok(Self(found))
    }

    fn raw(&self, name: &str) -> Option<&'q str> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }

    fn decoded(&self, name: &str) -> Result<Option<String>, &'static str> {
        self.raw(name).map(|raw| unescape(raw).ok_or("a parameter has a broken escape")).transpose()
    }

    fn message(&self) -> Result<(MessageKind, &'q str), &'static str> {
        match (self.raw("SAMLRequest"), self.raw("SAMLResponse")) {
            (Some(message), None) => Ok((MessageKind::Request, message)),
            (None, Some(message)) => Ok((MessageKind::Response, message)),
            _ => Err("there is not exactly one of SAMLRequest and SAMLResponse"),
        }
    }

    /// The signed text: these three in this order, whatever order the URL has.
    fn signed(&self, kind: MessageKind) -> String {
        let names = [kind.parameter(), "RelayState", "SigAlg"];
        let present = names.iter().filter_map(|name| Some(format!("{name}={}", self.raw(name)?)));
        present.collect::<Vec<_>>().join("&")
    }
}

fn not_verified(reason: &'static str) -> Error {
    xmlsec::not_verified(reason)
}

/// Percent-encoding of everything but unreserved characters (RFC 3986 §2.3).
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// The text behind `%xx` and `+`; `None` for a broken escape or what is not UTF-8.
fn unescape(raw: &str) -> Option<String> {
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        match first {
            b'%' => {
                let (digits, behind) = rest.split_at_checked(2)?;
                if !digits.iter().all(u8::is_ascii_hexdigit) {
                    return None;
                }
                out.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
                rest = behind;
            }
            b'+' => out.push(b' '),
            other => out.push(*other),
        }
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_come_back() {
        let text = "a b&c=d/é+%";
        assert_eq!(unescape(&escape(text)).as_deref(), Some(text));
        assert_eq!(unescape("a+b%2f%2F").as_deref(), Some("a b//"));
        for broken in ["%", "%2", "%zz", "%+1", "%ff"] {
            assert_eq!(unescape(broken), None, "{broken}");
        }
    }
}
