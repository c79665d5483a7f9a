//! Decrypts with every valid alias: one error whatever fails, and a plaintext that is one element or nothing.

use std::cell::Cell;

use super::{allows, content_row, iv_and_tag_bytes, transport_row};
use crate::alg::{Algorithm, Family, Hash};
use crate::crypto::oaep::{self, OaepParameters};
use crate::crypto::{Key, KeyKind, Role, cipher};
use crate::error::{Error, ErrorKind, Result};
use crate::ops::{KeySet, LabelKey};
use crate::secret::SecretBytes;
use crate::xmlsec::c14n::Canonicalization;
use crate::xmlsec::input::{ElementName, children_named, element_content, only_child, only_text};
use crate::xmlsec::names::{self, ENCRYPTED_KEY_TYPE, XENC11, digest_of, ds, mgf_of, xenc};
use crate::xmlsec::tree::Node;
use crate::xmlsec::{
    PeerPolicy, XmlLimits, XmlText, attribute, attribute_value, certificate_hint, decode_base64,
};

/// EncryptedKeys of one element and encrypted elements of one document at most.
const MAX_ENCRYPTED_KEYS: usize = 8;
const MAX_ELEMENTS: usize = 16;
/// Operations of private keys for one document at most. Of one EncryptedKey each key is tried that the label's
/// `max_tries` lets.
const MAX_TRIES: usize = 128;

/// Where encrypted elements are looked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the two places of SAML")]
pub enum Place {
    /// Anywhere in the document.
    Anywhere,
    /// The document element, or a direct child of it.
    Top,
}

/// What is to be decrypted.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "what a caller says")]
pub struct Wanted<'a> {
    /// The element around the EncryptedData.
    pub wrapper: ElementName,
    /// Where it stands.
    pub place: Place,
    /// What it may turn out to be; any one element if empty.
    pub content: &'a [ElementName],
}

/// What an encrypted element turned out to be. Decrypted is not authenticated: verify it.
#[derive(Debug)]
#[non_exhaustive]
pub struct Decrypted {
    /// The element as a document of its own, with the namespaces that were in scope.
    pub xml: SecretBytes,
    /// The alias that decrypted.
    pub alias: String,
    /// The key transport algorithm.
    pub key_transport: &'static Algorithm,
    /// The content algorithm.
    pub content: &'static Algorithm,
}

/// Decrypts every element `wanted` with the valid keys of `set`, in document order.
///
/// # Errors
/// [`ErrorKind::LimitExceeded`] and [`ErrorKind::Malformed`] for the document, [`ErrorKind::WrongUse`] for a
/// label that does not decrypt; else [`ErrorKind::NotDecrypted`], whatever the reason: padding, key, tag and
/// XML fail alike.
pub fn decrypt(
    set: &KeySet,
    document: &[u8],
    wanted: &Wanted<'_>,
    policy: &PeerPolicy,
    limits: &XmlLimits,
) -> Result<Vec<Decrypted>> {
    set.require_use(Role::Decrypt)?;
    let text = XmlText::read(document, limits)?;
    let tree = text.parse()?;
    let root = tree.root_element();
    let found: Vec<Node<'_, '_>> = match wanted.place {
        Place::Anywhere => root.descendants().filter(|node| wanted.wrapper.is(*node)).collect(),
        Place::Top if wanted.wrapper.is(root) => vec![root],
        Place::Top => children_named(root, wanted.wrapper).collect(),
    };
    if found.is_empty() {
        return Err(not_decrypted("there is no such encrypted element"));
    }
    if found.len() > MAX_ELEMENTS {
        let text = format!("more than {MAX_ELEMENTS} encrypted elements");
        return Err(Error::new(ErrorKind::LimitExceeded, text));
    }
    let (tries, opened_by) = (Cell::new(MAX_TRIES), Cell::new(None));
    let opener = Opener { set, wanted, policy, limits, tries, opened_by };
    let opened: Result<Vec<Decrypted>, &'static str> =
        found.into_iter().map(|node| opener.open(node)).collect();
    opened.inspect_err(|_| set.witness().refused()).map_err(not_decrypted)
}

struct Opener<'a> {
    set: &'a KeySet,
    wanted: &'a Wanted<'a>,
    policy: &'a PeerPolicy,
    limits: &'a XmlLimits,
    /// How many are left.
    tries: Cell<usize>,
    /// The key that opened the element before: most are for the same.
    opened_by: Cell<Option<&'a LabelKey>>,
}

/// An EncryptedKey, read.
struct Transported {
    row: &'static Algorithm,
    parameters: Option<OaepParameters>,
    value: Vec<u8>,
    /// The certificate that it names.
    certificate: Option<Vec<u8>>,
}

impl<'a> Opener<'a> {
    fn open(&self, wrapper: Node<'_, '_>) -> Result<Decrypted, &'static str> {
        let data = only_child(wrapper, xenc("EncryptedData")).ok_or("not one EncryptedData")?;
        let content =
            method(data).and_then(|node| attribute(node, "Algorithm")).and_then(content_row);
        let content = content.ok_or("the content algorithm is not known")?;
        if !allows(content, self.policy, Some(self.set)) {
            return Err(why_refused(content));
        }
        let octets = cipher_value(data).ok_or("the EncryptedData has no CipherValue")?;
        let (iv_bytes, tag_bytes) = iv_and_tag_bytes(content);
        let (iv, rest) = octets.split_at_checked(iv_bytes).ok_or("the ciphertext is short")?;
        let cut = rest.len().checked_sub(tag_bytes).ok_or("the ciphertext is short")?;
        let (ciphertext, tag) = rest.split_at(cut);
        let mut transports = encrypted_keys(wrapper, data)?;
        let first = transports.first().map(|one| one.row);
        transports.retain(|one| allows(one.row, self.policy, Some(self.set)));
        if transports.is_empty() {
            return Err(first.map_or("there is no EncryptedKey", why_refused));
        }
        let keys = self.keys_for(&transports);
        let tries = keys.iter().flat_map(|one| transports.iter().map(move |each| (*one, each)));
        let mut is_other = false;
        for (one, transported) in tries {
            let left = self.tries.get().checked_sub(1).ok_or("too many keys were tried")?;
            self.tries.set(left);
            let plain = self.session_key(&one.key, transported, content).and_then(|cek| {
                // EXPOSE: into the cipher.
                cipher::open(content, cek.expose_secret(), iv, b"", ciphertext, tag).ok()
            });
            // EXPOSE: a document to parse; what comes of it is a secret again.
            let Some(plain) = plain else { continue };
            let xml = self.element(wrapper, plain.expose_secret());
            // What is not authenticated decrypts with any key to something.
            is_other |= xml.is_none() && matches!(content.family, Family::AesGcm(_));
            if let Some(xml) = xml {
                self.opened_by.set(Some(one));
                one.usage.decrypted();
                let rows = (transported.row, content);
                // XML says nowhere how long it lives, and is no JSON.
                self.set.witness_opened(one, rows);
                return Ok(Decrypted {
                    xml: SecretBytes::from_vec(xml),
                    alias: one.alias.to_string(),
                    key_transport: transported.row,
                    content,
                });
            }
        }
        if is_other {
            return Err("a key decrypts it, and inside is not the one element that is looked for");
        }
        Err("no key decrypts it")
    }

    /// The keys to try. A certificate that is named only orders them: nobody signed it.
    fn keys_for(&self, transports: &[Transported]) -> Vec<&'a LabelKey> {
        let is_likely = |one: &LabelKey| {
            let leaf = one.key.chain().first();
            let is_named = || transports.iter().any(|each| each.certificate.as_ref() == leaf);
            leaf.is_some() && is_named()
                || self.opened_by.get().is_some_and(|known| std::ptr::eq(known, one))
        };
        let keys = self.set.keys().iter().map(|one| &**one);
        let mut keys: Vec<&LabelKey> = keys.filter(|one| self.may_try(&one.key)).collect();
        keys.sort_by_key(|one| !is_likely(one));
        keys.truncate(self.set.policy().limits.max_tries);
        keys
    }

    fn may_try(&self, key: &Key) -> bool {
        let KeyKind::Rsa { bits } = key.kind() else { return false };
        key.has_private() && (bits >= 2048 || (self.policy.rsa1024 && bits >= 1024))
    }

    /// The session key, of exactly the length that the content wants: never cut.
    fn session_key(
        &self,
        key: &Key,
        transported: &Transported,
        content: &'static Algorithm,
    ) -> Option<SecretBytes> {
        let Some(parameters) = &transported.parameters else {
            // Bad padding gives a random key, so that the failure is the content's (RFC 3218 §2.3.2).
            return cipher::recover_rsa15(key, content, &transported.value).ok();
        };
        oaep::decrypt(key, parameters, &transported.value, self.policy.rsa1024)
            .filter(|cek| Some(cek.len()) == content.content_key_bytes())
    }

    /// The plaintext as one element of a wanted name, parsed alone in the namespaces of its parent.
    fn element(&self, wrapper: Node<'_, '_>, plain: &[u8]) -> Option<Vec<u8>> {
        let mut document = String::from("<context");
        for one in wrapper.namespaces() {
            document.push_str(" xmlns");
            if !one.prefix.is_empty() {
                document.push(':');
                document.push_str(one.prefix);
            }
            document.push_str("=\"");
            document.push_str(&attribute_value(one.uri));
            document.push('"');
        }
        document.push('>');
        let document =
            SecretBytes::from_vec([document.as_bytes(), plain, b"</context>".as_slice()].concat());
        // EXPOSE: into the parser; the tree ends with this function.
        let text = XmlText::read(document.expose_secret(), self.limits).ok()?;
        let tree = text.parse().ok()?;
        let elements = element_content(tree.root_element())?;
        let [element] = elements.as_slice() else { return None };
        let content = self.wanted.content;
        if !content.is_empty() && !content.iter().any(|name| name.is(*element)) {
            return None;
        }
        let prefixes = element.namespaces().into_iter().map(|one| one.prefix).collect();
        let form = Canonicalization { comments: true, prefixes, ..Canonicalization::default() };
        Some(form.octets(*element, None))
    }
}

/// The EncryptedKeys inside the EncryptedData, and those beside it; where RetrievalMethods name some, instead of the
/// latter those, wherever in the document they stand (XML-Enc 1.1 §3.5.3).
fn encrypted_keys(
    wrapper: Node<'_, '_>,
    data: Node<'_, '_>,
) -> Result<Vec<Transported>, &'static str> {
    let key_info = children_named(data, ds("KeyInfo")).next();
    let inside = key_info.into_iter().flat_map(|info| children_named(info, xenc("EncryptedKey")));
    let retrieved: Vec<&str> = key_info
        .into_iter()
        .flat_map(|info| children_named(info, ds("RetrievalMethod")))
        .take(MAX_ENCRYPTED_KEYS + 1)
        .map(retrieved_id)
        .collect::<Result<_, _>>()?;
    if retrieved.len() > MAX_ENCRYPTED_KEYS {
        return Err("there are too many RetrievalMethods");
    }
    let is_retrieved =
        |node: &Node<'_, '_>| attribute(*node, "Id").is_some_and(|id| retrieved.contains(&id));
    let outside: Vec<Node<'_, '_>> = match wrapper.ancestors().last() {
        Some(root) if !retrieved.is_empty() => {
            let all = root.descendants().filter(|node| xenc("EncryptedKey").is(*node));
            all.filter(is_retrieved).take(MAX_ENCRYPTED_KEYS + 1).collect()
        }
        _ => children_named(wrapper, xenc("EncryptedKey")).take(MAX_ENCRYPTED_KEYS + 1).collect(),
    };
    let nodes = inside.chain(outside).take(MAX_ENCRYPTED_KEYS + 1);
    let nodes: Vec<Node<'_, '_>> = nodes.collect();
    if nodes.len() > MAX_ENCRYPTED_KEYS {
        return Err("there are too many EncryptedKeys");
    }
    let read: Vec<Transported> = nodes.into_iter().filter_map(transported).collect();
    if read.is_empty() { Err("there is no EncryptedKey that can be read") } else { Ok(read) }
}

/// The Id of the EncryptedKey that a RetrievalMethod names.
fn retrieved_id<'a>(method: Node<'a, '_>) -> Result<&'a str, &'static str> {
    if attribute(method, "Type").is_some_and(|uri| uri != ENCRYPTED_KEY_TYPE) {
        return Err("a RetrievalMethod names something else than a key");
    }
    let uri = attribute(method, "URI").unwrap_or_default();
    uri.strip_prefix('#').ok_or("a RetrievalMethod leads out of the document")
}

/// An EncryptedKey with its parameters; `None` for algorithms that are not known.
fn transported(node: Node<'_, '_>) -> Option<Transported> {
    let method = method(node)?;
    let uri = attribute(method, "Algorithm")?;
    let row = transport_row(uri)?;
    let value = cipher_value(node)?;
    let certificate = children_named(node, ds("KeyInfo")).next().and_then(certificate_hint);
    if row.family == Family::Rsa15 {
        return Some(Transported { row, parameters: None, value, certificate });
    }
    // XML-Enc 1.1 §5.5.2: SHA-1 and MGF1 with SHA-1 where nothing else is named.
    let named = |name: ElementName| {
        children_named(method, name)
            .next()
            .map(|one| attribute(one, "Algorithm").unwrap_or_default())
    };
    let digest = named(ds("DigestMethod")).map_or(Some(Hash::Sha1), digest_of)?;
    let mgf = named(ElementName::new(XENC11, "MGF"));
    let mgf = match mgf {
        Some(mgf) if uri == names::OAEP11 => mgf_of(mgf)?,
        _ => Hash::Sha1,
    };
    let label = match children_named(method, xenc("OAEPparams")).next() {
        Some(node) => decode_base64(&only_text(node)?)?,
        None => Vec::new(),
    };
    let parameters = Some(OaepParameters { digest, mgf, label });
    Some(Transported { row, parameters, value, certificate })
}

fn method<'a, 'i>(node: Node<'a, 'i>) -> Option<Node<'a, 'i>> {
    only_child(node, xenc("EncryptionMethod"))
}

/// The octets of the CipherValue. A CipherReference is never followed.
fn cipher_value(node: Node<'_, '_>) -> Option<Vec<u8>> {
    let data = only_child(node, xenc("CipherData"))?;
    let parts = element_content(data)?;
    let [value] = parts.as_slice() else { return None };
    if !xenc("CipherValue").is(*value) {
        return None;
    }
    decode_base64(&only_text(*value)?)
}

/// Why nothing is decrypted by this algorithm.
const fn why_refused(row: &Algorithm) -> &'static str {
    match row.family {
        Family::AesCbc(_) => "the content is encrypted with AES-CBC, which the switch cbc takes",
        Family::TripleDesCbc => {
            "the content is encrypted with triple DES, which the switches 3des and cbc take together"
        }
        Family::Rsa15 => "the key is encrypted with RSA 1.5, which the switch rsa1_5 takes",
        _ if row.content_key_bytes().is_some() => "the content algorithm is not allowed",
        _ => "the key transport is not allowed",
    }
}

fn not_decrypted(reason: &'static str) -> Error {
    Error::new(ErrorKind::NotDecrypted, "the XML does not decrypt").with_source(reason)
}
