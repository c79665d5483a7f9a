//! A peer's metadata, read for its keys, roles and preferences. Reading believes nothing: verify it first,
//! or have it from somebody whom you trust.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::times;
use crate::alg::{Algorithm, Family, Hash};
use crate::error::{Error, ErrorKind, Result};
use crate::profiles::saml::{METADATA, PROTOCOL, SamlRole, md};
use crate::xmlsec::dsig::SigningMethod;
use crate::xmlsec::enc::{EncryptOptions, Encrypted};
use crate::xmlsec::names::{digest_of, ds, mgf_of};
use crate::xmlsec::{
    ElementName, Node, PeerKey, PeerKeys, PeerPolicy, XmlLimits, XmlText, attribute,
    children_named, decode_base64, full_text, names, public_keys,
};

/// The metadata profile for algorithm support.
const ALGORITHM_SUPPORT: &str = "urn:oasis:names:tc:SAML:metadata:algsupport";

/// Roles of an entity, and algorithms that one prefers: nobody has so many, and each is kept for each.
const MAX_ROLES: usize = 64;
const MAX_ALGORITHMS: usize = 64;
/// Of what is wrong with metadata, so much is told.
const SHOWN: usize = 5;

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
    /// The URIs of the protocols that it speaks in this role.
    pub protocols: Vec<String>,
    /// Until when it may be used: the earliest of its own and those around it.
    pub valid_until: Option<SystemTime>,
    /// What verifies its signatures, in order.
    pub signing: Vec<PeerKey>,
    /// What to encrypt to, in order.
    pub encryption: Vec<PeerRecipient>,
    /// Signature algorithms it prefers, in order.
    pub signing_methods: Vec<SigningMethod>,
    /// URIs of digests it prefers, in order.
    pub digest_methods: Vec<String>,
    /// Why keys were left out.
    pub unusable: Vec<String>,
    /// Whether it wants what it gets signed: `WantAuthnRequestsSigned` or `WantAssertionsSigned`.
    pub wants_signed: bool,
}

/// A key to encrypt to.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PeerRecipient {
    /// The key.
    pub key: PeerKey,
    /// What is decrypted with it, in order of preference: the EncryptionMethods of its KeyDescriptor.
    pub methods: Arc<[EncryptionMethod]>,
}

/// One EncryptionMethod.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub struct EncryptionMethod {
    /// The URI.
    pub algorithm: String,
    /// The digest of OAEP.
    pub digest: Option<Hash>,
    /// The digest of MGF1.
    pub mgf: Option<Hash>,
    /// Whether what it names of digest and MGF1 is known here: nothing is encrypted by one that is not.
    pub is_known: bool,
}

impl PeerMetadata {
    /// Reads an EntityDescriptor, or the one with `entity_id` among EntitiesDescriptors.
    ///
    /// # Errors
    /// [`ErrorKind::LimitExceeded`] for the XML and for an entity of more than 64 roles, [`ErrorKind::Malformed`];
    /// [`ErrorKind::Usage`] if there is not exactly one such entity.
    pub fn read(document: &[u8], entity_id: Option<&str>, limits: &XmlLimits) -> Result<Self> {
        let text = XmlText::read(document, limits)?;
        let tree = text.parse()?;
        let root = tree.root_element();
        let fits = |node: &Node<'_, '_>| {
            entity_id.is_none_or(|wanted| attribute(*node, "entityID") == Some(wanted))
        };
        let mut found = entities(root).filter(fits);
        let (Some(entity), None) = (found.next(), found.next()) else {
            return Err(not_one(root, entity_id));
        };
        let id = attribute(entity, "entityID").unwrap_or_default();
        if id.is_empty() {
            return Err(Error::new(ErrorKind::Malformed, "an entity has no entityID"));
        }
        let around: Vec<Node<'_, '_>> = entity.ancestors().collect();
        let valid_until = around.iter().try_fold(None, |known, node| earlier_end(known, *node))?;
        let cached = around.iter().filter_map(|node| attribute(*node, "cacheDuration"));
        let is_role = |node: &Node<'_, '_>| {
            node.namespace() == Some(METADATA)
                && attribute(*node, "protocolSupportEnumeration").is_some()
        };
        let roles: Vec<Node<'_, '_>> =
            entity.children().filter(is_role).take(MAX_ROLES + 1).collect();
        if roles.len() > MAX_ROLES {
            let text = format!("the entity has more than {MAX_ROLES} roles");
            return Err(Error::new(ErrorKind::LimitExceeded, text));
        }
        // Read once: the Extensions of an entity count in each of its roles.
        let supported = Supported::of(entity);
        let role = |role| PeerRole::read(role, &supported, valid_until);
        Ok(Self {
            entity_id: id.to_owned(),
            valid_until,
            cache_duration: cached.filter_map(times::parse_duration).min(),
            roles: roles.into_iter().map(role).collect::<Result<_>>()?,
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
        require_before(self.valid_until, now, || {
            format!("the metadata of \"{}\"", self.entity_id.escape_debug())
        })
    }

    /// The role in which the peer speaks SAML 2.0, if it has it. Descriptors of other protocols alone, as SAML 1.1,
    /// are passed over: their keys say nothing here.
    #[must_use]
    pub fn role(&self, role: SamlRole) -> Option<&PeerRole> {
        self.roles.iter().find(|one| one.descriptor == role.descriptor() && one.speaks_saml2())
    }
}

impl PeerRole {
    fn read(role: Node<'_, '_>, by_entity: &Supported, around: Option<SystemTime>) -> Result<Self> {
        let (own, of_entity) = (Supported::of(role), by_entity.clone());
        let protocols = attribute(role, "protocolSupportEnumeration").unwrap_or_default();
        let mut read = Self {
            descriptor: role.local_name().to_owned(),
            protocols: protocols.split_ascii_whitespace().map(str::to_owned).collect(),
            valid_until: earlier_end(around, role)?,
            signing: Vec::new(),
            encryption: Vec::new(),
            signing_methods: nearer(own.signing, of_entity.signing),
            digest_methods: nearer(own.digest, of_entity.digest),
            unusable: Vec::new(),
            wants_signed: ["WantAuthnRequestsSigned", "WantAssertionsSigned"]
                .iter()
                .any(|name| matches!(attribute(role, name), Some("true" | "1"))),
        };
        for descriptor in children_named(role, md("KeyDescriptor")) {
            read.add_keys(descriptor);
        }
        Ok(read)
    }

    /// Whether it speaks SAML 2.0 in this role.
    #[must_use]
    pub fn speaks_saml2(&self) -> bool {
        self.protocols.iter().any(|one| one == PROTOCOL)
    }

    /// Whether it may no longer be used.
    #[must_use]
    pub fn is_expired(&self, now: SystemTime) -> bool {
        self.valid_until.is_some_and(|until| until <= now)
    }

    /// Refuses a role that may no longer be used.
    ///
    /// # Errors
    /// [`ErrorKind::ClaimsRejected`].
    pub fn require_current(&self, now: SystemTime) -> Result<()> {
        require_before(self.valid_until, now, || {
            format!("the {} in the metadata", self.descriptor.escape_debug())
        })
    }

    fn add_keys(&mut self, descriptor: Node<'_, '_>) {
        let usage = attribute(descriptor, "use");
        if let Some(other) = usage.filter(|usage| !["signing", "encryption"].contains(usage)) {
            let text =
                format!("its use \"{}\" is neither signing nor encryption", other.escape_debug());
            self.unusable.push(text);
            return;
        }
        let keys = keys_of(descriptor);
        if keys.is_empty() {
            self.unusable.push("a KeyDescriptor has no certificate and no key".to_owned());
        }
        let methods = children_named(descriptor, md("EncryptionMethod"));
        let methods: Arc<[EncryptionMethod]> = methods.filter_map(EncryptionMethod::read).collect();
        for key in keys {
            match key {
                Ok(key) => {
                    if usage != Some("encryption") {
                        self.signing.push(key.clone());
                    }
                    if usage != Some("signing") {
                        let methods = Arc::clone(&methods);
                        self.encryption.push(PeerRecipient { key, methods });
                    }
                }
                Err(error) => self.unusable.push(error.message().to_owned()),
            }
        }
    }

    /// What verifies its signatures.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] if there is none.
    pub fn signing_keys(&self) -> Result<PeerKeys> {
        if self.signing.is_empty() {
            return Err(self.without("that verifies signatures"));
        }
        PeerKeys::new(self.signing.iter().cloned())
    }

    /// What to encrypt to: the first key that can be encrypted to in a way that is made here under `policy`, else the
    /// first that can be encrypted to. One for any use may be one that signs alone.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] if there is none.
    pub fn recipient(&self, policy: PeerPolicy) -> Result<&PeerRecipient> {
        let takes = |one: &&PeerRecipient| one.key.is_recipient();
        let mut fit = self.encryption.iter().filter(takes);
        let common = fit.clone().find(|one| one.agrees(policy));
        let found = common.or_else(|| fit.next()).or_else(|| self.encryption.first());
        found.ok_or_else(|| self.without("to encrypt to"))
    }

    /// What it decrypts with any of its keys, each once.
    #[must_use]
    pub fn encryption_methods(&self) -> Vec<&EncryptionMethod> {
        let mut seen = HashSet::new();
        // The keys of one KeyDescriptor share theirs.
        let lists = self.encryption.chunk_by(|one, next| Arc::ptr_eq(&one.methods, &next.methods));
        let all = lists.filter_map(<[_]>::first).flat_map(|one| one.methods.iter());
        all.filter(|method| seen.insert(*method)).collect()
    }

    fn without(&self, what: &str) -> Error {
        let text = format!("the peer's {} has no key {what}", self.descriptor.escape_debug());
        let help = match self.unusable.as_slice() {
            [] => "have its metadata with its keys, or name its certificates themselves".to_owned(),
            reasons => {
                let more = if reasons.len() > SHOWN { "; …" } else { "" };
                let some = reasons.get(..SHOWN).unwrap_or(reasons);
                let reasons = some.join("; ");
                format!(
                    "have its metadata with keys that can be used here, or name its certificates themselves; left out: \
                     {reasons}{more}"
                )
            }
        };
        Error::new(ErrorKind::Usage, text).with_help(help)
    }
}

impl PeerRecipient {
    /// How to encrypt to this key: the first of its methods that is made here under `policy`.
    #[must_use]
    pub fn encrypt_options(&self, policy: PeerPolicy) -> EncryptOptions<'static> {
        let rows = || self.made_here(policy);
        let content = rows().find(|(row, _)| row.content_key_bytes().is_some());
        let transport = rows().find(|(row, _)| row.content_key_bytes().is_none());
        let masked = transport.filter(|(row, _)| row.name == "rsa-oaep");
        EncryptOptions {
            content: content.map(|(row, _)| row.name),
            key_transport: transport.map(|(row, _)| row.name),
            // XML-Enc 1.1 §5.5.2: SHA-1 where the method names no digest.
            digest: transport.map(|(_, method)| method.digest.unwrap_or(Hash::Sha1)),
            mgf: masked.map(|(_, method)| method.mgf.unwrap_or(Hash::Sha1)),
            policy,
            ..EncryptOptions::default()
        }
    }

    /// What of `made` its methods do not name though they name others for the same: it may be unable to decrypt that.
    #[must_use]
    pub fn unnamed(&self, made: &Encrypted) -> Vec<&'static Algorithm> {
        let is_unnamed = |row: &&'static Algorithm| {
            let same = |method: &&EncryptionMethod| {
                Algorithm::by_xml_uri(&method.algorithm).is_some_and(|other| {
                    other.content_key_bytes().is_some() == row.content_key_bytes().is_some()
                })
            };
            let mut named = self.methods.iter().filter(same).peekable();
            let is_it = |method: &EncryptionMethod| {
                method.is_known && Algorithm::by_xml_uri(&method.algorithm) == Some(*row)
            };
            named.peek().is_some() && !named.any(is_it)
        };
        [made.key_transport, made.content].into_iter().filter(is_unnamed).collect()
    }

    /// Whether a key transport that it names is made here, or it names none.
    fn agrees(&self, policy: PeerPolicy) -> bool {
        let is_content = |uri: &str| {
            Algorithm::by_xml_uri(uri).is_some_and(|row| row.content_key_bytes().is_some())
        };
        let mut made = self.made_here(policy);
        self.methods.iter().all(|method| is_content(&method.algorithm))
            || made.any(|(row, _)| row.content_key_bytes().is_none())
    }

    fn made_here(
        &self,
        policy: PeerPolicy,
    ) -> impl Iterator<Item = (&'static Algorithm, &EncryptionMethod)> {
        let makes = move |family: Family| match family {
            Family::AesGcm(_) | Family::RsaOaepNamed => true,
            Family::AesCbc(_) => policy.cbc,
            Family::Rsa15 => policy.rsa1_5,
            _ => false,
        };
        self.methods.iter().filter(|method| method.is_known).filter_map(move |method| {
            let row = Algorithm::by_xml_uri(&method.algorithm)?;
            makes(row.family).then_some((row, method))
        })
    }
}

/// The certificates of a KeyDescriptor; if it has none, its keys that stand alone (metadata §2.4.1.1).
fn keys_of(descriptor: Node<'_, '_>) -> Vec<Result<PeerKey>> {
    let info = || children_named(descriptor, ds("KeyInfo"));
    let data = info().flat_map(|info| children_named(info, ds("X509Data")));
    // The first certificate of each X509Data is the key's; the others lead to its issuer.
    let leaves = data.filter_map(|data| children_named(data, ds("X509Certificate")).next());
    let certified = leaves.map(|certificate| {
        let der = decode_base64(&full_text(certificate));
        let der = der.ok_or_else(|| Error::new(ErrorKind::Damaged, "a certificate is not base64"));
        der.and_then(PeerKey::from_certificate)
    });
    let certified: Vec<_> = certified.collect();
    if !certified.is_empty() {
        return certified;
    }
    info().flat_map(public_keys).map(|spki| PeerKey::from_public(&spki?)).collect()
}

impl EncryptionMethod {
    fn read(node: Node<'_, '_>) -> Option<Self> {
        let named = |name: ElementName| {
            children_named(node, name).next().and_then(|one| attribute(one, "Algorithm"))
        };
        let (digest, mgf) =
            (named(ds("DigestMethod")), named(ElementName::new(names::XENC11, "MGF")));
        let known = (digest.map(digest_of), mgf.map(mgf_of));
        Some(Self {
            algorithm: attribute(node, "Algorithm")?.to_owned(),
            digest: known.0.flatten(),
            mgf: known.1.flatten(),
            is_known: known.0 != Some(None) && known.1 != Some(None),
        })
    }
}

/// The earlier of an end that is known and the `validUntil` of `node`.
fn earlier_end(known: Option<SystemTime>, node: Node<'_, '_>) -> Result<Option<SystemTime>> {
    let Some(until) = attribute(node, "validUntil") else { return Ok(known) };
    let until = times::parse_in_utc(until)
        .ok_or_else(|| Error::new(ErrorKind::Malformed, "a validUntil is no date and time"))?;
    Ok(Some(known.map_or(until, |known| known.min(until))))
}

fn require_before(
    until: Option<SystemTime>,
    now: SystemTime,
    what: impl FnOnce() -> String,
) -> Result<()> {
    let Some(until) = until.filter(|until| *until <= now) else { return Ok(()) };
    let text = format!("{} ended at {}", what(), times::date_time(until).unwrap_or_default());
    Err(Error::new(ErrorKind::ClaimsRejected, text)
        .with_help("fetch the peer's metadata again; what has ended is not believed"))
}

/// The entities of a document: where metadata §2.3 has them, and nowhere else. In the Extensions of an entity everybody
/// who registers that could speak for others.
fn entities<'a, 'i>(root: Node<'a, 'i>) -> impl Iterator<Item = Node<'a, 'i>> {
    let is_in_place = |node: &Node<'_, '_>| {
        let mut around = node.ancestors().skip(1);
        around.all(|above| md("EntitiesDescriptor").is(above))
    };
    root.descendants().filter(|node| md("EntityDescriptor").is(*node)).filter(is_in_place)
}

/// There is not exactly one entity, or none of this ID.
fn not_one(root: Node<'_, '_>, entity_id: Option<&str>) -> Error {
    let known: Vec<&str> = entities(root).filter_map(|one| attribute(one, "entityID")).collect();
    let text = match entity_id {
        Some(id) if known.contains(&id) => {
            let text = format!("the metadata has \"{}\" twice", id.escape_debug());
            return Error::new(ErrorKind::Usage, text)
                .with_help("which of the two counts nobody says: have metadata that name it once");
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

/// The algorithms in the Extensions of an entity or of a role, which go before those of its entity (profile for
/// algorithm support §2.1).
#[derive(Clone)]
struct Supported {
    signing: Vec<SigningMethod>,
    digest: Vec<String>,
}

impl Supported {
    fn of(node: Node<'_, '_>) -> Self {
        let named = |local: &'static str| {
            children_named(node, md("Extensions"))
                .flat_map(Node::descendants)
                .filter(move |one| ElementName::new(ALGORITHM_SUPPORT, local).is(*one))
        };
        let digests =
            named("DigestMethod").filter_map(|one| attribute(one, "Algorithm").map(str::to_owned));
        Self {
            signing: named("SigningMethod")
                .filter_map(signing_method)
                .take(MAX_ALGORITHMS)
                .collect(),
            digest: digests.take(MAX_ALGORITHMS).collect(),
        }
    }
}

/// One SigningMethod; none if it bounds keys by what is no size (§2.4): whom it means nobody knows.
fn signing_method(node: Node<'_, '_>) -> Option<SigningMethod> {
    let bits = |name| attribute(node, name).map(|text| text.trim().parse()).transpose().ok();
    let (least, most) = (bits("MinKeySize")?, bits("MaxKeySize")?);
    Some(SigningMethod::new(attribute(node, "Algorithm")?).within(least, most))
}

fn nearer<T>(own: Vec<T>, other: Vec<T>) -> Vec<T> {
    if own.is_empty() { other } else { own }
}
