//! What is said of an input that cannot be read: what it looks like, and which command takes that.

use claviger::error::{Error, ErrorKind};
use claviger::profiles::saml::is_http_url;

/// What a form carries, or a query of the redirect binding.
const PARAMETERS: [&str; 2] = ["SAMLRequest=", "SAMLResponse="];
/// Of a message beyond the limits.
pub(super) const NEEDS_LESS: &str = "SAML needs less: ask its maker what that is for";
/// Of metadata beyond them.
pub(super) const ONE_ALONE: &str =
    "have the metadata of that entity alone, as federations serve them one by one (MDQ)";

/// What is beyond the limits is refused as what is not well-formed is: whoever asks has the answer no, and nothing to
/// correct in what they typed.
pub(super) fn of_limits(error: Error, help: &'static str) -> Error {
    if error.kind() != ErrorKind::LimitExceeded || error.help().is_some() {
        return error;
    }
    Error::new(ErrorKind::Malformed, error.message().to_owned()).with_help(help)
}

/// The error of `input`, which was to be XML.
pub(super) fn of_xml(input: &[u8], error: Error) -> Error {
    if error.kind() != ErrorKind::Malformed {
        return of_limits(error, NEEDS_LESS);
    }
    let Ok(text) = std::str::from_utf8(input) else {
        return match input {
            [0xfe, 0xff, ..] | [0xff, 0xfe, ..] => {
                error.with_help("it is UTF-16, and XML is read in UTF-8 alone")
            }
            _ => error,
        };
    };
    let text = text.trim_start_matches('\u{feff}');
    let late = text.trim_start().starts_with("<?xml") && !text.starts_with("<?xml");
    let text = text.trim();
    let help = if late {
        "take away what stands in front of \"<?xml\""
    } else if text.is_empty() {
        "there is nothing in it: name the document with --in FILE, or send it to stdin"
    } else if is_html(text) {
        "it is a page of HTML, as an endpoint shows people: fetch what it publishes for programs"
    } else if text.starts_with('<') {
        return error;
    } else if is_form(text) {
        "it is a query or a form: `claviger saml redirect verify` takes a query, `claviger saml post unwrap` the value of \
         a form's field without its name"
    } else if is_http_url(text) {
        "it is a URL: fetch what stands there"
    } else if text.starts_with("-----BEGIN ") {
        "it is PEM: certificates of a peer are for --certificate FILE"
    } else if is_base64(text) {
        "it is base64, as a form carries it: `claviger saml post unwrap` reads the message out of it"
    } else {
        "XML begins with \"<\""
    };
    error.with_help(help)
}

/// The error of metadata. What is too large is mostly a federation's.
pub(super) fn of_metadata(input: &[u8], error: Error) -> Error {
    of_xml(input, of_limits(error, ONE_ALONE))
}

/// The error of `input`, which was to be the value of a form's field.
pub(super) fn of_form_value(input: &str, error: Error) -> Error {
    if input.is_empty() || error.kind() == ErrorKind::LimitExceeded {
        return of_xml(input.as_bytes(), error);
    }
    if error.kind() != ErrorKind::Malformed {
        return error;
    }
    let help = if is_base64(input) {
        "what it holds is no XML: in a query of the redirect binding the message is deflated, and `claviger saml redirect \
         verify` takes such a query whole"
    } else if input.starts_with('<') {
        "it is a document already, and goes where XML is read"
    } else if is_form(input) {
        "give the value of SAMLRequest or SAMLResponse alone, without its name and what stands beside it"
    } else if input.contains('%') {
        "it is still escaped for a URL: %2B is +, %2F is /, %3D is ="
    } else {
        "have the value of SAMLRequest or SAMLResponse, as the browser posted it"
    };
    error.with_help(help)
}

/// Whether it can be a query of the redirect binding at all.
pub(super) fn is_query(input: &str) -> bool {
    PARAMETERS.iter().any(|name| input.contains(name))
}

fn is_form(text: &str) -> bool {
    !text.starts_with('<') && is_query(text)
}

fn is_html(text: &str) -> bool {
    let begins =
        |name: &str| text.get(..name.len()).is_some_and(|one| one.eq_ignore_ascii_case(name));
    begins("<!doctype html") || begins("<html")
}

fn is_base64(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte);
    text.bytes().all(|byte| fits(byte) || byte.is_ascii_whitespace())
}
