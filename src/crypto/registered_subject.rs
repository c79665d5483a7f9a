//! What a certificate must say about its subject, as a client registers it (RFC 8705 §2.1.2).

use std::net::IpAddr;

use crate::crypto::{DistinguishedName, certificate};
use crate::error::{Error, ErrorKind, Result};

/// A subject DN or one subject alternative name that a certificate must have.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RegisteredSubject(Expected);

/// Where a certificate says it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "RFC 8705 §2.1.2 has these")]
pub enum SubjectPlace {
    /// A `dNSName`, in ASCII; wildcards stand for nothing.
    Dns,
    /// An `rfc822Name`.
    Email,
    /// An `iPAddress`.
    Ip,
    /// The subject DN.
    SubjectDn,
    /// A `uniformResourceIdentifier`.
    Uri,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Expected {
    Dns(String),
    Email(String),
    Ip(IpAddr),
    SubjectDn(DistinguishedName),
    Uri(String),
}

impl RegisteredSubject {
    /// Reads what is expected in `place`: a DN as RFC 4514 writes it, the most specific part first; an address of IPv4
    /// or IPv6; other names as the certificate has them.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] for text that is nothing of the kind.
    pub fn new(place: SubjectPlace, text: &str) -> Result<Self> {
        let wrong = |why: &str, help: &str| {
            Error::new(ErrorKind::Usage, why.to_owned()).with_help(help.to_owned())
        };
        let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        if place != SubjectPlace::SubjectDn && !is_plain {
            let help = "certificates hold it in ASCII: xn--… for a domain, %… in a URI";
            return Err(wrong("it is no name of printable ASCII", help));
        }
        Ok(Self(match place {
            SubjectPlace::Dns => Expected::Dns(text.to_ascii_lowercase()),
            SubjectPlace::Email if mail_parts(text).is_some() => Expected::Email(text.to_owned()),
            SubjectPlace::Email => {
                return Err(wrong("it is no e-mail address", "as ops@shop.example"));
            }
            SubjectPlace::Ip => {
                let help = "one address, as 192.0.2.7 or 2001:db8::7";
                Expected::Ip(text.parse().map_err(|_| wrong("it is no IP address", help))?)
            }
            SubjectPlace::SubjectDn => {
                let dn: DistinguishedName = text.parse()?;
                if let Some(name) = dn.unknown_type() {
                    let text = format!("{name:?} is no attribute type");
                    return Err(wrong(&text, "write its OID, as 2.5.4.12"));
                }
                Expected::SubjectDn(dn)
            }
            SubjectPlace::Uri if text.contains(':') => Expected::Uri(text.to_owned()),
            SubjectPlace::Uri => {
                return Err(wrong("it is no absolute URI", "as https://shop.example/id"));
            }
        }))
    }

    /// Whether a certificate says so: DNs by [`DistinguishedName::matches`], hosts without regard to case, addresses in
    /// binary, everything else letter by letter.
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`] if `der` is no certificate.
    pub fn is_of(&self, der: &[u8]) -> Result<bool> {
        let names = certificate::names(der)?;
        Ok(match &self.0 {
            Expected::Dns(expected) => names.dns.contains(expected),
            Expected::Email(expected) => names.emails.iter().any(|one| same_mail(one, expected)),
            Expected::Ip(expected) => names.addresses.contains(expected),
            Expected::SubjectDn(expected) => {
                names.subject.is_some_and(|subject| subject.matches(expected))
            }
            Expected::Uri(expected) => names.uris.contains(expected),
        })
    }
}

/// The local part and the host.
fn mail_parts(text: &str) -> Option<(&str, &str)> {
    text.rsplit_once('@').filter(|(local, host)| !local.is_empty() && !host.is_empty())
}

/// RFC 5280 §7.5: the local part as it is, the host without regard to case.
fn same_mail(one: &str, other: &str) -> bool {
    match (mail_parts(one), mail_parts(other)) {
        (Some((local, host)), Some((other_local, other_host))) => {
            local == other_local && host.eq_ignore_ascii_case(other_host)
        }
        _ => false,
    }
}
