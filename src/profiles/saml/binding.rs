//! The POST, SOAP and artifact bindings: how a message is carried. They sign nothing; the message is signed in itself.

use super::redirect::MessageKind;
use super::{is_http_url, saml, samlp};
use crate::error::{Error, ErrorKind, Result};
use crate::xmlsec::names::ds;
use crate::xmlsec::{ElementName, XmlLimits, attribute_value, decode_base64, encode_base64, raw};

const SOAP: &str = "http://schemas.xmlsoap.org/soap/envelope/";

/// The value of `SAMLRequest` or `SAMLResponse` in a form (SAML bindings §3.5.4).
#[must_use]
pub fn encode_post(message: &str) -> String {
    encode_base64(message.as_bytes())
}

/// The message in a form value: base64 within the limits, well-formed.
///
/// # Errors
/// [`ErrorKind::LimitExceeded`], [`ErrorKind::Malformed`].
pub fn decode_post(value: &str, limits: &XmlLimits) -> Result<String> {
    if value.len() > limits.max_bytes.saturating_mul(2) {
        return Err(Error::new(ErrorKind::LimitExceeded, "the form value is too long"));
    }
    let message = decode_base64(value)
        .ok_or_else(|| Error::new(ErrorKind::Malformed, "the form value is not base64"))?;
    raw::check(&message, limits)?;
    String::from_utf8(message)
        .map_err(|_| Error::new(ErrorKind::Malformed, "the message is not UTF-8"))
}

/// A page that posts the message to `action` by itself, or by a button without JavaScript.
///
/// # Errors
/// [`ErrorKind::Usage`] if `action` is no `http` or `https` URL.
pub fn post_form(
    action: &str,
    kind: MessageKind,
    message: &str,
    relay_state: Option<&str>,
) -> Result<String> {
    if !is_http_url(action) {
        return Err(Error::new(ErrorKind::Usage, "the form's action is no http or https URL")
            .with_help("the peer's AssertionConsumerService or SingleSignOnService, as https://sp.example/acs"));
    }
    let relay_state = relay_state.map_or_else(String::new, |text| {
        format!("<input type=\"hidden\" name=\"RelayState\" value=\"{}\"/>", attribute_value(text))
    });
    Ok(format!(
        "<!DOCTYPE html><html><head><meta charset=\"utf-8\"/><title>SAML</title></head>\
         <body onload=\"document.forms[0].submit()\"><form method=\"post\" action=\"{}\">\
         <input type=\"hidden\" name=\"{}\" value=\"{}\"/>{relay_state}\
         <noscript><button>Continue</button></noscript></form></body></html>\n",
        attribute_value(action),
        kind.parameter(),
        encode_post(message),
    ))
}

/// A SOAP 1.1 envelope around a message (SAML bindings §3.2).
///
/// # Errors
/// [`ErrorKind::LimitExceeded`], [`ErrorKind::Malformed`].
pub fn wrap_soap(message: &str) -> Result<String> {
    raw::check(message.as_bytes(), &XmlLimits::MESSAGE)?;
    let message = message.strip_prefix('\u{feff}').unwrap_or(message).trim_start();
    // The declaration of the message has no place inside another document.
    let declared =
        message.strip_prefix("<?xml").filter(|rest| rest.starts_with(char::is_whitespace));
    let message = match declared.and_then(|rest| rest.split_once("?>")) {
        Some((_, rest)) => rest.trim_start(),
        None => message,
    };
    Ok(format!(
        "<soap:Envelope xmlns:soap=\"{SOAP}\"><soap:Body>{message}</soap:Body></soap:Envelope>"
    ))
}

/// The one message in a SOAP 1.1 envelope, as a document of its own.
///
/// # Errors
/// [`ErrorKind::LimitExceeded`], [`ErrorKind::Malformed`].
pub fn unwrap_soap(envelope: &[u8], limits: &XmlLimits) -> Result<String> {
    let (root, body) = (ElementName::new(SOAP, "Envelope"), ElementName::new(SOAP, "Body"));
    raw::unwrap(envelope, root, body, limits)
}

/// The message that an ArtifactResponse hands over, as a document of its own (SAML core §3.5.2). A signature of the
/// ArtifactResponse covers it: verify that first and give its octets, or verify what comes out.
///
/// # Errors
/// [`ErrorKind::LimitExceeded`], [`ErrorKind::Malformed`]; the latter as well if it hands over nothing.
pub fn unwrap_artifact(response: &[u8], limits: &XmlLimits) -> Result<String> {
    let others = [saml("Issuer"), ds("Signature"), samlp("Extensions"), samlp("Status")];
    raw::message_in(response, samlp("ArtifactResponse"), &others, limits)
}
