//! Until when something signed may be taken, as it says itself: what the usage of a key goes by.
//!
//! Where anything leaves the end open, all is open: then the label's `max_token_lifetime` bounds it.

use std::time::{Duration, UNIX_EPOCH};

use super::metadata::times;
use super::{METADATA, saml, samlp};
use crate::xmlsec::{Node, attribute, children_named};

/// The second since 1970 from which on nobody takes the element, if it says so: the `validUntil` of metadata, the
/// latest of a message's assertions that can be read, the `NotOnOrAfter` of a LogoutRequest.
pub(super) fn ends(element: Node<'_, '_>) -> Option<u64> {
    if element.namespace() == Some(METADATA) {
        return moment(element, "validUntil");
    }
    if saml("Assertion").is(element) {
        return of_assertion(element);
    }
    if samlp("LogoutRequest").is(element) {
        return moment(element, "NotOnOrAfter");
    }
    if !samlp("Response").is(element)
        || children_named(element, saml("EncryptedAssertion")).next().is_some()
    {
        return None;
    }
    latest(children_named(element, saml("Assertion")).map(of_assertion))
}

/// The latest time in an assertion that ends: by its Conditions, or with every one of its confirmations (SAML core
/// §2.4.1.2, §2.5.1). A session may be checked against it for as long as that lasts.
fn of_assertion(assertion: Node<'_, '_>) -> Option<u64> {
    let conditions = children_named(assertion, saml("Conditions")).next();
    let conditions = conditions.and_then(|one| moment(one, "NotOnOrAfter"));
    let subject = children_named(assertion, saml("Subject")).next();
    let confirmations =
        subject.into_iter().flat_map(|one| children_named(one, saml("SubjectConfirmation")));
    let confirmed = latest(confirmations.map(|one| {
        let data = children_named(one, saml("SubjectConfirmationData")).next();
        data.and_then(|data| moment(data, "NotOnOrAfter"))
    }));
    let end = conditions.max(confirmed)?;
    let statements = children_named(assertion, saml("AuthnStatement"));
    let sessions = statements.filter(|one| attribute(*one, "SessionNotOnOrAfter").is_some());
    sessions
        .map(|one| moment(one, "SessionNotOnOrAfter"))
        .try_fold(end, |end, one| Some(end.max(one?)))
}

/// The latest of times that are all known; `None` if there is none at all.
fn latest(times: impl Iterator<Item = Option<u64>>) -> Option<u64> {
    times.collect::<Option<Vec<u64>>>()?.into_iter().max()
}

/// An attribute's time in whole seconds since 1970, rounded up.
fn moment(element: Node<'_, '_>, name: &str) -> Option<u64> {
    let when = times::parse_date_time(attribute(element, name)?)?;
    let since = when.duration_since(UNIX_EPOCH).ok()?;
    Some(since.as_secs() + u64::from(since > Duration::from_secs(since.as_secs())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xmlsec::{XmlLimits, XmlText};

    fn of(xml: &str) -> Option<u64> {
        let xml = xml.replacen(
            ' ',
            " xmlns:p=\"urn:oasis:names:tc:SAML:2.0:protocol\" xmlns:a=\"urn:oasis:names:tc:SAML:2.0:assertion\" \
             xmlns:m=\"urn:oasis:names:tc:SAML:2.0:metadata\" ",
            1,
        );
        let text = XmlText::read(xml.as_bytes(), &XmlLimits::MESSAGE).unwrap();
        ends(text.parse().unwrap().root_element())
    }

    /// An assertion with this inside and these attributes of its parts; seconds after 2027-01-15T08:00:00Z.
    fn assertion(conditions: &str, confirmations: &[&str], session: &str) -> String {
        let confirmations: String = confirmations
            .iter()
            .map(|end| format!("<a:SubjectConfirmation><a:SubjectConfirmationData {end}/></a:SubjectConfirmation>"))
            .collect();
        format!(
            "<a:Assertion ><a:Subject><a:NameID/>{confirmations}</a:Subject><a:Conditions {conditions}/>\
             <a:AuthnStatement {session}/></a:Assertion>"
        )
    }

    #[test]
    fn the_latest_end_counts_and_one_that_is_missing_leaves_all_open() {
        const START: u64 = 1_800_000_000;
        let at = |name: &str, seconds: &str| format!("{name}=\"2027-01-15T08:00:{seconds}Z\"");
        let end = |seconds: &str| at("NotOnOrAfter", seconds);
        let session = at("SessionNotOnOrAfter", "40");
        let one = assertion(&end("10"), &[&end("20")], "");
        assert_eq!(of(&one), Some(START + 20));
        assert_eq!(of(&assertion(&end("10.5"), &[""], "")), Some(START + 11));
        assert_eq!(of(&assertion("", &[&end("20"), &end("05")], "")), Some(START + 20));
        assert_eq!(of(&assertion(&end("10"), &[], &session)), Some(START + 40));
        for open in [
            assertion("", &[], ""),
            assertion("", &[&end("20"), ""], ""),
            assertion("", &[], &session),
            assertion("NotOnOrAfter=\"soon\"", &[], ""),
            assertion(&end("10"), &[], "SessionNotOnOrAfter=\"2027-01-15T08:00:00\""),
        ] {
            assert_eq!(of(&open), None, "{open}");
        }
        let response =
            |inside: &str| format!("<p:Response >{}</p:Response>", inside.replace(" >", ">"));
        let later = assertion(&end("30"), &[], "");
        assert_eq!(of(&response(&format!("{one}{later}"))), Some(START + 30));
        for inside in ["", "<a:EncryptedAssertion/>", &format!("{one}<a:EncryptedAssertion/>")] {
            assert_eq!(of(&response(inside)), None, "{inside}");
        }
        assert_eq!(of(&response(&format!("{one}{}", assertion("", &[], "")))), None);
        assert_eq!(of(&format!("<p:LogoutRequest {}/>", end("07"))), Some(START + 7));
        assert_eq!(of(&format!("<p:AuthnRequest {}/>", end("07"))), None);
        assert_eq!(
            of(&format!("<m:EntityDescriptor {}/>", at("validUntil", "09"))),
            Some(START + 9)
        );
        assert_eq!(of("<m:EntityDescriptor cacheDuration=\"PT1H\"/>"), None);
    }
}
