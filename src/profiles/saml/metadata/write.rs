//! Our metadata: a KeyDescriptor for every valid signing certificate, so that peers accept the next key
//! before it acts and the last one after; by default only the active one to encrypt to.

use std::time::{Duration, SystemTime};

use super::times;
use crate::alg::{Algorithm, Family, Hash};
use crate::catalogue::Publish;
use crate::error::{Error, ErrorKind, Result};
use crate::ops::{KeySet, LabelKey, Role};
use crate::profiles::saml::{METADATA, PROTOCOL, SamlRole, is_http_url};
use crate::xmlsec::enc::methods_of;
use crate::xmlsec::names::{DSIG, XENC11, digest_uri};
use crate::xmlsec::{attribute_value, encode_base64, fresh_id, raw};

/// The metadata profile for algorithm support.
const ALGORITHM_SUPPORT: &str = "urn:oasis:names:tc:SAML:metadata:algsupport";

/// Which certificates peers may encrypt to.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "one or all")]
pub enum PublishedEncryption {
    /// The active alias, unless the label says `publish = "all"`. Peers that see two choose differently; old aliases
    /// still decrypt.
    #[default]
    ActiveOnly,
    /// Every valid alias, active first.
    AllValid,
}

/// What [`key_descriptors`] writes.
#[derive(Clone, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "built with ..Default::default()")]
pub struct KeyDescriptorOptions<'a> {
    /// Which certificates peers may encrypt to.
    pub encryption: PublishedEncryption,
    /// What peers may encrypt with, by name, key transport before content; empty: `rsa-oaep-mgf1p` with
    /// SHA-256, `aes256-gcm`, `aes128-gcm`, or what the label allows instead.
    pub encryption_methods: &'a [&'a str],
}

/// Where a role takes messages.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "an endpoint of the metadata schema")]
pub struct Endpoint<'a> {
    /// The element: `SingleSignOnService`, `AssertionConsumerService`, `SingleLogoutService`, …
    pub service: &'a str,
    /// The binding's URI, or its last word: `HTTP-POST`, `HTTP-Redirect`, `HTTP-Artifact`, `SOAP`.
    pub binding: &'a str,
    /// The URL, `https` or `http`.
    pub location: &'a str,
}

/// What [`write()`] writes.
#[derive(Clone, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "built with ..Default::default()")]
pub struct MetadataOptions<'a> {
    /// The entity ID.
    pub entity_id: &'a str,
    /// Until when peers may use it.
    pub valid_until: Option<SystemTime>,
    /// After how long peers should fetch it again.
    pub cache_duration: Option<Duration>,
    /// The endpoints, in any order.
    pub endpoints: &'a [Endpoint<'a>],
    /// Keys.
    pub keys: KeyDescriptorOptions<'a>,
}

/// The services in the order of the schema (metadata §2.4.2 to §2.4.4), whether they are indexed, and the one role that
/// has them.
const SERVICES: [(&str, bool, Option<SamlRole>); 7] = [
    ("ArtifactResolutionService", true, None),
    ("SingleLogoutService", false, None),
    ("ManageNameIDService", false, None),
    ("SingleSignOnService", false, Some(SamlRole::Idp)),
    ("NameIDMappingService", false, Some(SamlRole::Idp)),
    ("AssertionIDRequestService", false, Some(SamlRole::Idp)),
    ("AssertionConsumerService", true, Some(SamlRole::Sp)),
];

/// The bindings of SAML 2.0 by the last words of their URIs (SAML bindings §3; HTTP-POST-SimpleSign has a
/// specification of its own).
const BINDINGS: [&str; 7] =
    ["HTTP-POST", "HTTP-Redirect", "HTTP-Artifact", "HTTP-POST-SimpleSign", "SOAP", "PAOS", "URI"];

/// An EntityDescriptor with one role, unsigned.
///
/// # Errors
/// [`ErrorKind::Usage`] for a service that the role has not, an unknown binding, a date beyond 9999 or a character that XML has not; those of [`key_descriptors`].
pub fn write(
    role: SamlRole,
    signing: &KeySet,
    encryption: Option<&KeySet>,
    mtls: Option<&KeySet>,
    options: &MetadataOptions<'_>,
) -> Result<String> {
    let usage = |text: String| Error::new(ErrorKind::Usage, text);
    if options.entity_id.is_empty() || options.entity_id.chars().nth(1024).is_some() {
        return Err(usage("an entity ID has 1 to 1024 characters".into())
            .with_help("a URI that names the provider, as https://sp.example"));
    }
    require_characters("the entity ID", options.entity_id)?;
    let mut attributes =
        format!("ID=\"{}\" entityID=\"{}\"", fresh_id()?, attribute_value(options.entity_id));
    if let Some(until) = options.valid_until {
        let until = times::date_time(until)
            .ok_or_else(|| usage("validUntil goes beyond the year 9999".into()))?;
        attributes.push_str(&format!(" validUntil=\"{until}\""));
    }
    if let Some(span) = options.cache_duration {
        attributes.push_str(&format!(" cacheDuration=\"{}\"", times::duration(span)));
    }
    let element = role.descriptor();
    let (extensions, keys) =
        (algorithm_support(signing), key_descriptors(signing, encryption, mtls, &options.keys)?);
    let endpoints = endpoints(role, options.endpoints)?;
    Ok(format!(
        "<md:EntityDescriptor xmlns:md=\"{METADATA}\" {attributes}>\
         <md:{element} protocolSupportEnumeration=\"{PROTOCOL}\">{extensions}{keys}{endpoints}</md:{element}>\
         </md:EntityDescriptor>"
    ))
}

/// The service that the schema asks of a role and that is not among the endpoints (metadata §2.4.3, §2.4.4). A document
/// without it tells keys, and some peers refuse it.
#[must_use]
pub fn missing_service(role: SamlRole, endpoints: &[Endpoint<'_>]) -> Option<&'static str> {
    let service = match role {
        SamlRole::Idp => "SingleSignOnService",
        SamlRole::Sp => "AssertionConsumerService",
    };
    let is_there = endpoints.iter().any(|endpoint| endpoint.service == service);
    (!is_there).then_some(service)
}

/// What this role signs with, for peers that choose by it (metadata profile for algorithm support §2.3, §2.4).
fn algorithm_support(signing: &KeySet) -> String {
    let fits = |row: &&&'static Algorithm| {
        row.xml_uri.is_some() && signing.fits(signing.active(), row, Role::Verify)
    };
    let digests: String = raw::digest_uris()
        .iter()
        .map(|uri| format!("<alg:DigestMethod Algorithm=\"{uri}\"/>"))
        .collect();
    let methods: String = signing
        .algorithms()
        .iter()
        .filter(fits)
        .filter(|row| !matches!(row.family, Family::RsaPkcs1(Hash::Sha1)))
        .filter_map(|row| row.xml_uri)
        .map(|uri| format!("<alg:SigningMethod Algorithm=\"{uri}\"/>"))
        .collect();
    format!("<md:Extensions xmlns:alg=\"{ALGORITHM_SUPPORT}\">{digests}{methods}</md:Extensions>")
}

/// KeyDescriptors of a role: every valid signing certificate, active first, then those of mTLS, then what peers
/// may encrypt to. Each stands alone: it declares its namespaces.
///
/// # Errors
/// [`ErrorKind::KeyUnfit`] if an alias has no certificate; [`ErrorKind::AlgorithmNotAllowed`] for an
/// encryption method that is none; [`ErrorKind::Usage`] for one that is unknown or named twice.
pub fn key_descriptors(
    signing: &KeySet,
    encryption: Option<&KeySet>,
    mtls: Option<&KeySet>,
    options: &KeyDescriptorOptions<'_>,
) -> Result<String> {
    let mut out = String::new();
    let mut seen = Vec::new();
    for key in signing.keys().iter().chain(mtls.into_iter().flat_map(KeySet::keys)) {
        let certificate = leaf(key)?;
        if !seen.contains(&certificate) {
            seen.push(certificate);
            out.push_str(&descriptor("signing", certificate, ""));
        }
    }
    let Some(encryption) = encryption else { return Ok(out) };
    let methods = encryption_methods(encryption, options.encryption_methods)?;
    let all = options.encryption == PublishedEncryption::AllValid
        || encryption.policy().publish == Publish::All;
    let shown =
        if all { encryption.keys() } else { encryption.keys().get(..1).unwrap_or_default() };
    for key in shown {
        out.push_str(&descriptor("encryption", leaf(key)?, &methods));
    }
    Ok(out)
}

fn leaf(key: &LabelKey) -> Result<&[u8]> {
    key.key.chain().first().map(Vec::as_slice).ok_or_else(|| {
        let text = format!("alias \"{}\" has no certificate to publish", key.alias);
        Error::new(ErrorKind::KeyUnfit, text)
            .with_help("import it again together with its certificate")
    })
}

fn descriptor(usage: &str, certificate: &[u8], methods: &str) -> String {
    let certificate = encode_base64(certificate);
    format!(
        "<md:KeyDescriptor xmlns:md=\"{METADATA}\" use=\"{usage}\"><ds:KeyInfo xmlns:ds=\"{DSIG}\">\
         <ds:X509Data><ds:X509Certificate>{certificate}</ds:X509Certificate></ds:X509Data></ds:KeyInfo>\
         {methods}</md:KeyDescriptor>"
    )
}

/// Key transport first, as Ping AM writes it; then content with its key size.
fn encryption_methods(set: &KeySet, names: &[&str]) -> Result<String> {
    let named: Vec<&'static Algorithm> = match names {
        [] => methods_of(set),
        names => names.iter().map(|name| Algorithm::named(name)).collect::<Result<_>>()?,
    };
    let mut rows: Vec<(&Algorithm, &str)> = Vec::new();
    for row in named {
        if rows.iter().any(|(known, _)| known.name == row.name) {
            return Err(Error::new(ErrorKind::Usage, format!("{row} is named twice"))
                .with_help("name each encryption method once"));
        }
        let uri = row.xml_uri.filter(|_| row.content_key_bytes().is_some() || is_transport(row));
        rows.push((
            row,
            uri.ok_or_else(|| {
                let text = format!("{row} is no encryption method of XML");
                Error::new(ErrorKind::AlgorithmNotAllowed, text)
            })?,
        ));
    }
    rows.sort_by_key(|(row, _)| !is_transport(row));
    Ok(rows
        .iter()
        .map(|(row, uri)| {
            let inside = match row.content_key_bytes() {
                Some(bytes) => format!(
                    "<xenc:KeySize xmlns:xenc=\"{}\">{}</xenc:KeySize>",
                    crate::xmlsec::names::XENC,
                    bytes * 8
                ),
                None => oaep_parameters(row),
            };
            format!("<md:EncryptionMethod Algorithm=\"{uri}\">{inside}</md:EncryptionMethod>")
        })
        .collect())
}

fn is_transport(row: &Algorithm) -> bool {
    matches!(row.family, Family::RsaOaepNamed | Family::Rsa15)
}

/// SHA-256 as the digest, as Ping AM has it by default.
fn oaep_parameters(row: &Algorithm) -> String {
    if row.family != Family::RsaOaepNamed {
        return String::new();
    }
    let sha256 = digest_uri(Hash::Sha256);
    let digest = format!("<ds:DigestMethod xmlns:ds=\"{DSIG}\" Algorithm=\"{sha256}\"/>");
    if row.name == "rsa-oaep-mgf1p" {
        return digest;
    }
    format!("{digest}<xenc11:MGF xmlns:xenc11=\"{XENC11}\" Algorithm=\"{XENC11}mgf1sha256\"/>")
}

/// Refuses what no escape puts into XML (XML 1.0 §2.2), and what no URI has.
fn require_characters(what: &str, text: &str) -> Result<()> {
    if text.chars().any(|one| one.is_control() || matches!(one, '\u{fffe}' | '\u{ffff}')) {
        let text = format!("{what} has a character that no URI has: \"{}\"", text.escape_debug());
        return Err(Error::new(ErrorKind::Usage, text));
    }
    Ok(())
}

/// The service and the binding are such of the role.
fn require_endpoint(role: SamlRole, one: &Endpoint<'_>) -> Result<()> {
    let services = SERVICES.iter().filter(|(_, _, of)| of.is_none_or(|of| of == role));
    let services: Vec<&str> = services.map(|(name, _, _)| *name).collect();
    let refused = |what: &str, of: &str, help: String| {
        let text = format!("\"{}\" is no {of}", what.escape_debug());
        Err(Error::new(ErrorKind::Usage, text).with_help(help))
    };
    if !services.contains(&one.service) {
        let of = format!("service of an {} in the metadata schema", role.descriptor());
        return refused(one.service, &of, format!("services: {}", services.join(", ")));
    }
    if !one.binding.contains(':') && !BINDINGS.contains(&one.binding) {
        let help = format!("bindings: {}, or a whole URI", BINDINGS.join(", "));
        return refused(one.binding, "binding of SAML 2.0", help);
    }
    require_characters("a binding", one.binding)?;
    require_characters("a location", one.location)?;
    require_url(one.location)
}

/// Every binding of SAML 2.0 goes over HTTP; an address that is left empty would lead peers back to themselves.
fn require_url(location: &str) -> Result<()> {
    if is_http_url(location) {
        return Ok(());
    }
    let text = format!("a location is no http or https URL: \"{}\"", location.escape_debug());
    Err(Error::new(ErrorKind::Usage, text).with_help("write it whole, as https://sp.example/acs"))
}

fn endpoints(role: SamlRole, endpoints: &[Endpoint<'_>]) -> Result<String> {
    endpoints.iter().try_for_each(|one| require_endpoint(role, one))?;
    let mut out = String::new();
    for (service, indexed, _) in SERVICES {
        for (index, one) in endpoints.iter().filter(|one| one.service == service).enumerate() {
            let binding = if one.binding.contains(':') {
                one.binding.to_owned()
            } else {
                format!("urn:oasis:names:tc:SAML:2.0:bindings:{}", one.binding)
            };
            let index = match (indexed, index) {
                (false, _) => String::new(),
                (true, 0) => " index=\"0\" isDefault=\"true\"".to_owned(),
                (true, index) => format!(" index=\"{index}\""),
            };
            out.push_str(&format!(
                "<md:{service} Binding=\"{}\" Location=\"{}\"{index}/>",
                attribute_value(&binding),
                attribute_value(one.location)
            ));
        }
    }
    Ok(out)
}
