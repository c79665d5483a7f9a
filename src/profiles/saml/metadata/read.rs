//! A peer's metadata, read for its keys, roles and preferences. Reading believes nothing: verify it first,
//! or have it from somebody whom you trust.

use std::time::{Duration, SystemTime};

use super::times;
use crate::alg::{Algorithm, Family, Hash};
use crate::error::{Error, ErrorKind, Result};
use crate::profiles::saml::{METADATA, SamlRole, md};
use crate::xmlsec::enc::EncryptOptions;
use crate::xmlsec::names::{digest_of, ds, mgf_of};
use crate::xmlsec::{
    ElementName, Node, PeerKey, PeerKeys, PeerPolicy, XmlLimits, XmlText, attribute,
    children_named, decode_base64, full_text, names,
};

/// The metadata profile for algorithm support.
const ALGORITHM_SUPPORT: &str = "urn:oasis:names:tc:SAML:metadata:algsupport";

/// One entity.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PeerMetadata {
    /// Its entity ID.
    pub entity_id: String,
    /// Until when it may be used: the earliest of its own and those around it.
    pub valid_until: Option<SystemTime>,
    /// After how long it should be fetched again.
    pub cache_duration: Option<Duration>,
    /// Its roles, in order.
    pub roles: Vec<PeerRole>,
}

/// One role of a peer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PeerRole {
    /// The element, such as `IDPSSODescriptor`.
    pub descriptor: String,
    /// Certificates that verify its signatures, in order.
    pub signing: Vec<PeerKey>,
    /// Certificates to encrypt to, in order.
    pub encryption: Vec<PeerKey>,
    /// What it decrypts, in order of preference.
    pub encryption_methods: Vec<EncryptionMethod>,
    /// URIs of signature algorithms it prefers, in order.
    pub signing_methods: Vec<String>,
    /// URIs of digests it prefers, in order.
    pub digest_methods: Vec<String>,
    /// Why certificates were left out.
    pub unusable: Vec<String>,
    /// Whether it wants what it gets signed: `WantAuthnRequestsSigned` or `WantAssertionsSigned`.
    pub wants_signed: bool,
}

/// One EncryptionMethod.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct EncryptionMethod {
    /// The URI.
    pub algorithm: String,
    /// The digest of OAEP.
    pub digest: Option<Hash>,
    /// The digest of MGF1.
    pub mgf: Option<Hash>,
}

impl PeerMetadata {
    /// Reads an EntityDescriptor, or the one with `entity_id` among EntitiesDescriptors.
    ///
    /// # Errors
    /// [`ErrorKind::LimitExceeded`], [`ErrorKind::Malformed`]; [`ErrorKind::Usage`] if there is not exactly one
    /// such entity.
    pub fn read(document: &[u8], entity_id: Option<&str>, limits: &XmlLimits) -> Result<Self> {
        let text = XmlText::read(document, limits)?;
        let tree = text.parse()?;
        let root = tree.root_element();
        let all = root.descendants().filter(|node| md("EntityDescriptor").is(*node));
        let fits = |node: &Node<'_, '_>| {
            entity_id.is_none_or(|wanted| attribute(*node, "entityID") == Some(wanted))
        };
        let mut found = all.filter(fits);
        let (Some(entity), None) = (found.next(), found.next()) else {
            return Err(not_one(root, entity_id));
        };
        let id = attribute(entity, "entityID").unwrap_or_default();
        if id.is_empty() {
            return Err(Error::new(ErrorKind::Malformed, "an entity has no entityID"));
        }
        let around: Vec<Node<'_, '_>> = entity.ancestors().collect();
        let mut valid_until: Option<SystemTime> = None;
        for until in around.iter().filter_map(|node| attribute(*node, "validUntil")) {
            let until = times::parse_date_time(until).ok_or_else(|| {
                Error::new(ErrorKind::Malformed, "a validUntil is no date with a time zone")
            })?;
            valid_until = Some(valid_until.map_or(until, |known| known.min(until)));
        }
        let cached = around.iter().filter_map(|node| attribute(*node, "cacheDuration"));
        let is_role = |node: &Node<'_, '_>| {
            node.namespace() == Some(METADATA)
                && attribute(*node, "protocolSupportEnumeration").is_some()
        };
        Ok(Self {
            entity_id: id.to_owned(),
            valid_until,
            cache_duration: cached.filter_map(times::parse_duration).min(),
            roles: entity
                .children()
                .filter(is_role)
                .map(|role| PeerRole::read(entity, role))
                .collect(),
        })
    }

    /// Whether it may no longer be used.
    #[must_use]
    pub fn is_expired(&self, now: SystemTime) -> bool {
        self.valid_until.is_some_and(|until| until <= now)
    }

    /// Refuses metadata that may no longer be used.
    ///
    /// # Errors
    /// [`ErrorKind::ClaimsRejected`].
    pub fn require_current(&self, now: SystemTime) -> Result<()> {
        let Some(until) = self.valid_until.filter(|_| self.is_expired(now)) else { return Ok(()) };
        let text = format!(
            "the metadata of \"{}\" ended at {}",
            self.entity_id.escape_debug(),
            times::date_time(until).unwrap_or_default()
        );
        Err(Error::new(ErrorKind::ClaimsRejected, text)
            .with_help("fetch the peer's metadata again; what has ended is not believed"))
    }

    /// The role, if the peer has it.
    #[must_use]
    pub fn role(&self, role: SamlRole) -> Option<&PeerRole> {
        self.roles.iter().find(|one| one.descriptor == role.descriptor())
    }
}

impl PeerRole {
    fn read(entity: Node<'_, '_>, role: Node<'_, '_>) -> Self {
        let mut read = Self {
            descriptor: role.local_name().to_owned(),
            signing: Vec::new(),
            encryption: Vec::new(),
            encryption_methods: Vec::new(),
            signing_methods: support(entity, role, "SigningMethod"),
            digest_methods: support(entity, role, "DigestMethod"),
            unusable: Vec::new(),
            wants_signed: ["WantAuthnRequestsSigned", "WantAssertionsSigned"]
                .iter()
                .any(|name| matches!(attribute(role, name), Some("true" | "1"))),
        };
        for descriptor in children_named(role, md("KeyDescriptor")) {
            read.add_keys(descriptor);
        }
        read
    }

    fn add_keys(&mut self, descriptor: Node<'_, '_>) {
        let usage = attribute(descriptor, "use");
        let info = children_named(descriptor, ds("KeyInfo"));
        let data = info.flat_map(|info| children_named(info, ds("X509Data")));
        // The first certificate of each X509Data is the key's; the others lead to its issuer.
        let leaves = data.filter_map(|data| children_named(data, ds("X509Certificate")).next());
        for certificate in leaves {
            let der = decode_base64(&full_text(certificate));
            let der =
                der.ok_or_else(|| Error::new(ErrorKind::Damaged, "a certificate is not base64"));
            match der.and_then(PeerKey::from_certificate) {
                Ok(key) => {
                    if usage != Some("encryption") {
                        self.signing.push(key.clone());
                    }
                    if usage != Some("signing") {
                        self.encryption.push(key);
                    }
                }
                Err(error) => self.unusable.push(error.message().to_owned()),
            }
        }
        if usage != Some("signing") {
            let methods = children_named(descriptor, md("EncryptionMethod"));
            self.encryption_methods.extend(methods.filter_map(EncryptionMethod::read));
        }
    }

    /// The certificates that verify its signatures.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] if there is none.
    pub fn signing_keys(&self) -> Result<PeerKeys> {
        PeerKeys::new(self.signing.iter().cloned())
    }

    /// How to encrypt to this role: the first of its methods that is made here under `policy`.
    #[must_use]
    pub fn encrypt_options(&self, policy: PeerPolicy) -> EncryptOptions<'static> {
        let makes = |family: Family| match family {
            Family::AesGcm(_) | Family::RsaOaepNamed => true,
            Family::AesCbc(_) => policy.cbc,
            Family::Rsa15 => policy.rsa1_5,
            _ => false,
        };
        let rows = || {
            self.encryption_methods.iter().filter_map(move |method| {
                let row = Algorithm::by_xml_uri(&method.algorithm)?;
                makes(row.family).then_some((row, method))
            })
        };
        let content = rows().find(|(row, _)| row.content_key_bytes().is_some());
        let transport = rows().find(|(row, _)| row.content_key_bytes().is_none());
        EncryptOptions {
            content: content.map(|(row, _)| row.name),
            key_transport: transport.map(|(row, _)| row.name),
            // XML-Enc 1.1 §5.5.2: SHA-1 where the method names no digest.
            digest: transport.map(|(_, method)| method.digest.unwrap_or(Hash::Sha1)),
            mgf: transport.map(|(_, method)| method.mgf.unwrap_or(Hash::Sha1)),
            recipient: None,
            policy,
        }
    }
}

impl EncryptionMethod {
    fn read(node: Node<'_, '_>) -> Option<Self> {
        let named = |name: ElementName| {
            children_named(node, name).next().and_then(|one| attribute(one, "Algorithm"))
        };
        Some(Self {
            algorithm: attribute(node, "Algorithm")?.to_owned(),
            digest: named(ds("DigestMethod")).and_then(digest_of),
            mgf: named(ElementName::new(names::XENC11, "MGF")).and_then(mgf_of),
        })
    }
}

/// There is not exactly one entity, or none of this ID.
fn not_one(root: Node<'_, '_>, entity_id: Option<&str>) -> Error {
    const SHOWN: usize = 5;
    let entities = root.descendants().filter(|node| md("EntityDescriptor").is(*node));
    let known: Vec<&str> = entities.filter_map(|one| attribute(one, "entityID")).collect();
    let text = match entity_id {
        Some(id) if known.contains(&id) => {
            format!("the metadata has \"{}\" twice", id.escape_debug())
        }
        Some(id) => format!("the metadata has no entity \"{}\"", id.escape_debug()),
        None if known.is_empty() => "the metadata has no entity".to_owned(),
        None => format!("the metadata has {} entities", known.len()),
    };
    let some = known.iter().take(SHOWN).map(|id| format!("\"{}\"", id.escape_debug()));
    let some = some.collect::<Vec<_>>().join(", ");
    let rest = if known.len() > SHOWN { ", …" } else { "" };
    let help = match known.as_slice() {
        [] => "give it a SAML 2.0 EntityDescriptor".to_owned(),
        _ => format!("name one of its entity IDs: {some}{rest}"),
    };
    Error::new(ErrorKind::Usage, text).with_help(help)
}

/// The algorithms of the role's extensions, else of the entity's (profile for algorithm support §2.1).
fn support(entity: Node<'_, '_>, role: Node<'_, '_>, local: &'static str) -> Vec<String> {
    let of = |node: Node<'_, '_>| -> Vec<String> {
        children_named(node, md("Extensions"))
            .flat_map(|extensions| extensions.descendants())
            .filter(|one| ElementName::new(ALGORITHM_SUPPORT, local).is(*one))
            .filter_map(|one| attribute(one, "Algorithm").map(str::to_owned))
            .collect()
    };
    let own = of(role);
    if own.is_empty() { of(entity) } else { own }
}
