//! Encrypts one element to somebody else or to the active alias of a label.

use super::{CONTENTS, Place, TRANSPORTS, Wanted, allowed, allows, content_row, transport_row};
use crate::alg::{Algorithm, Family, Hash};
use crate::crypto::oaep::{self, OaepParameters};
use crate::crypto::{Key, Role, cipher, random};
use crate::error::{Error, ErrorKind, Result};
use crate::ops::KeySet;
use crate::secret::SecretBytes;
use crate::xmlsec::c14n::Canonicalization;
use crate::xmlsec::dsig::{KeyInfo, is_covered, key_info};
use crate::xmlsec::limits::beyond;
use crate::xmlsec::names::{DSIG, ELEMENT_TYPE, OAEP_MGF1P, XENC, XENC11, digest_uri, mgf_uri};
use crate::xmlsec::tree::Node;
use crate::xmlsec::trust::PeerKey;
use crate::xmlsec::{ElementName, PeerPolicy, XmlLimits, XmlText, attribute_value, encode_base64};

/// To whom.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_enums, reason = "peers and own labels; there is no third")]
pub enum Recipient<'a> {
    /// Somebody else, by a certificate or a key.
    Certificate(&'a PeerKey),
    /// The active alias of a label.
    Label(&'a KeySet),
}

impl<'a> Recipient<'a> {
    /// Its label, which decrypts what it lists alone.
    const fn label(self) -> Option<&'a KeySet> {
        match self {
            Self::Certificate(_) => None,
            Self::Label(set) => Some(set),
        }
    }

    /// The key to wrap for; the use of a label's key is written down first.
    fn key(self) -> Result<&'a Key> {
        match self {
            Self::Certificate(peer) => Ok(peer.key()),
            Self::Label(set) => set.recipient(),
        }
    }
}

/// How [`encrypt`] encrypts.
#[derive(Clone, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "built with ..Default::default()")]
pub struct EncryptOptions<'a> {
    /// The content algorithm, by JOSE name, XML name or URI; absent: AES-256-GCM, or the first that the label allows.
    pub content: Option<&'a str>,
    /// The key transport; absent: `rsa-oaep-mgf1p`, or the first that the label allows.
    pub key_transport: Option<&'a str>,
    /// The digest of OAEP; absent: SHA-1, which every peer reads, for `rsa-oaep-mgf1p`, else SHA-256.
    pub digest: Option<Hash>,
    /// The digest of MGF1 for `rsa-oaep`; absent: as `digest`. `rsa-oaep-mgf1p` has SHA-1 by name.
    pub mgf: Option<Hash>,
    /// The entity that the key is for.
    pub recipient: Option<&'a str>,
    /// What is said of the key that decrypts: some readers (AD FS, .NET) look for it by its certificate alone.
    pub key_info: KeyInfo,
    /// Switches that CBC and RSA 1.5 need.
    pub policy: PeerPolicy,
}

impl EncryptOptions<'_> {
    /// These options, and what they leave open as `preferred` has it. Its digests belong to the transport that it
    /// names: with another one they are left out.
    #[must_use]
    pub fn or(mut self, preferred: &Self) -> Self {
        if self.key_transport.is_none() {
            self.key_transport = preferred.key_transport;
            self.digest = self.digest.or(preferred.digest);
            self.mgf = self.mgf.or(preferred.mgf);
        }
        self.content = self.content.or(preferred.content);
        self.recipient = self.recipient.or(preferred.recipient);
        self
    }

    /// Refuses a digest of the mask that `transport` has no place for: what is asked for is not left out without a word.
    fn fit(&self, transport: &Algorithm) -> Result<()> {
        if self.mgf.is_none_or(|mgf| mgf == Hash::Sha1) || transport.name == "rsa-oaep" {
            return Ok(());
        }
        let text = "a digest of the mask (MGF1) is for rsa-oaep alone";
        Err(Error::new(ErrorKind::Usage, text).with_help(
            "choose the key transport rsa-oaep as well; rsa-oaep-mgf1p has SHA-1 by its name",
        ))
    }
}

/// An encrypted element.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Encrypted {
    /// An `xenc:EncryptedData` with its key inside.
    pub xml: String,
    /// The key transport algorithm.
    pub key_transport: &'static Algorithm,
    /// The content algorithm.
    pub content: &'static Algorithm,
}

/// Encrypts `element`, the text of one element that declares every namespace it uses.
///
/// # Errors
/// [`ErrorKind::AlgorithmNotAllowed`] for what is off or never made (triple DES), [`ErrorKind::KeyUnfit`] if the
/// recipient's key is no RSA key of 2048 bits or more, [`ErrorKind::Usage`] for a digest of the mask that the key
/// transport has no place for.
pub fn encrypt(
    recipient: Recipient<'_>,
    element: &[u8],
    options: &EncryptOptions<'_>,
) -> Result<Encrypted> {
    let set = recipient.label();
    let choose = |name: Option<&str>, names: &[&str], find: Find| match name {
        None => allowed(names, &options.policy, set).next().ok_or_else(|| none_of(names)),
        Some(name) => row_of(name, find, &options.policy, set),
    };
    let content = choose(options.content, &CONTENTS, content_row)?;
    let transport = choose(options.key_transport, &TRANSPORTS, transport_row)?;
    options.fit(transport)?;
    let key = recipient.key()?;
    let size = content.content_key_bytes().unwrap_or_default();
    let mut bytes = vec![0; size];
    random::fill(&mut bytes)?;
    let fresh = SecretBytes::from_vec(bytes);
    let (wrapped, method) = wrap(key, transport, content, &fresh, options)?;
    // EXPOSE: into the cipher.
    let sealed = cipher::seal(content, fresh.expose_secret(), b"", element)?;
    let octets = [sealed.iv, sealed.ciphertext, sealed.tag].concat();
    let to = options
        .recipient
        .map_or_else(String::new, |entity| format!(" Recipient=\"{}\"", attribute_value(entity)));
    let content_uri = content.xml_uri.unwrap_or_default();
    let info = key_info(key.chain(), options.key_info);
    let xml = format!(
        "<xenc:EncryptedData xmlns:xenc=\"{XENC}\" Type=\"{ELEMENT_TYPE}\">\
         <xenc:EncryptionMethod Algorithm=\"{content_uri}\"/>\
         <ds:KeyInfo xmlns:ds=\"{DSIG}\"><xenc:EncryptedKey{to}>{method}{info}\
         <xenc:CipherData><xenc:CipherValue>{}</xenc:CipherValue></xenc:CipherData>\
         </xenc:EncryptedKey></ds:KeyInfo>\
         <xenc:CipherData><xenc:CipherValue>{}</xenc:CipherValue></xenc:CipherData></xenc:EncryptedData>",
        encode_base64(&wrapped),
        encode_base64(&octets),
    );
    Ok(Encrypted { xml, key_transport: transport, content })
}

/// Encrypts the one element `wanted` of a document in its place; the whole document comes back.
///
/// # Errors
/// Those of [`encrypt`]; [`ErrorKind::LimitExceeded`] and [`ErrorKind::Malformed`] for the document, which fits `limits`
/// encrypted as well,
/// [`ErrorKind::Usage`] if there is not exactly one such element, or one around it is signed.
pub fn encrypt_in(
    recipient: Recipient<'_>,
    document: &[u8],
    wanted: &Wanted<'_>,
    options: &EncryptOptions<'_>,
    limits: &XmlLimits,
) -> Result<(String, Encrypted)> {
    let text = XmlText::read(document, limits)?;
    let tree = text.parse()?;
    let root = tree.root_element();
    let fits = |node: &Node<'_, '_>| wanted.content.iter().any(|name| name.is(*node));
    let mut found = match wanted.place {
        Place::Anywhere => root.descendants().filter(fits).collect(),
        Place::Top if fits(&root) => vec![root],
        Place::Top => root.children().filter(fits).collect::<Vec<_>>(),
    };
    let count = found.len();
    let (Some(element), true) = (found.pop(), found.is_empty()) else {
        return Err(not_one(count, wanted));
    };
    if is_covered(element) {
        let text = "cannot encrypt: an element around it is signed";
        return Err(Error::new(ErrorKind::Usage, text)
            .with_help("encrypt it first, then sign what is around it (SAML core §6.2)"));
    }
    // With every namespace in scope, so that it stands alone when it comes out.
    let prefixes: Vec<&str> = element.namespaces().into_iter().map(|one| one.prefix).collect();
    if prefixes.len() > limits.max_namespaces {
        let most = limits.max_namespaces;
        return Err(beyond(&format!(
            "more than {most} namespaces are in scope of what is encrypted"
        )));
    }
    let form = Canonicalization { comments: true, prefixes, ..Canonicalization::default() };
    let made = encrypt(recipient, &form.octets(element, None), options)?;
    let (name, declared) = name_in(element.ancestors().nth(1), wanted.wrapper);
    let wrapped = format!("<{name}{declared}>{}</{name}>", made.xml);
    let (before, rest) = text.as_str().split_at(element.range().start);
    let behind = rest.get(element.range().len()..).unwrap_or_default();
    let whole = [before, &wrapped, behind].concat();
    // Base64 makes a third more of it.
    if whole.len() > limits.max_bytes {
        let (size, most) = (whole.len(), limits.max_bytes);
        let text =
            format!("encrypted it would have {size} bytes, and messages have {most} at most");
        return Err(Error::new(ErrorKind::LimitExceeded, text)
            .with_help("leave out what the reader does not need: nobody here reads one so long"));
    }
    Ok((whole, made))
}

/// There is not exactly one element to encrypt.
fn not_one(count: usize, wanted: &Wanted<'_>) -> Error {
    let names: Vec<&str> = wanted.content.iter().map(|name| name.local).collect();
    let names = names.join(" or ");
    let (text, help) = match count {
        0 => (
            format!("cannot encrypt: the document has no {names} that is not encrypted"),
            "give it the document before that was encrypted, or say what else is to be",
        ),
        _ => (
            format!("cannot encrypt: the document has {count} of {names}"),
            "one is encrypted at a time: give it each in a document of its own",
        ),
    };
    Error::new(ErrorKind::Usage, text).with_help(help)
}

/// An element's name as it is written inside `parent`, and the declaration that it needs there. A prefix that is
/// in scope is used again: libxml2 bindings that move nodes merge two prefixes of one namespace into one, and a
/// signature around them no longer holds.
fn name_in(parent: Option<Node<'_, '_>>, name: ElementName) -> (String, String) {
    let ElementName { namespace, local } = name;
    let in_scope = parent.map(Node::namespaces).unwrap_or_default();
    match in_scope.iter().find(|one| one.uri == namespace).map(|one| one.prefix) {
        Some("") => (local.to_owned(), String::new()),
        Some(prefix) => (format!("{prefix}:{local}"), String::new()),
        None => (format!("enc:{local}"), format!(" xmlns:enc=\"{namespace}\"")),
    }
}

/// The row of an algorithm by its URI.
type Find = fn(&str) -> Option<&'static Algorithm>;

fn row_of(
    name: &str,
    find: Find,
    policy: &PeerPolicy,
    set: Option<&KeySet>,
) -> Result<&'static Algorithm> {
    let row = Algorithm::named(name)?;
    let made = row.xml_uri.and_then(find).filter(|row| row.family != Family::TripleDesCbc);
    made.filter(|row| allows(row, policy, set)).ok_or_else(|| not_made(&row.to_string(), set))
}

fn none_of(names: &[&str]) -> Error {
    let text = "the label lists too little for XML";
    Error::new(ErrorKind::AlgorithmNotAllowed, text)
        .with_help(format!("add one of {} to its algorithms", names.join(", ")))
}

fn not_made(what: &str, set: Option<&KeySet>) -> Error {
    let text = format!("XML is not encrypted with {what} here");
    let help = match set {
        None => "aes128-gcm, aes192-gcm and aes256-gcm, rsa-oaep-mgf1p and rsa-oaep always work; AES-CBC and rsa-1_5 are \
             switches of the peer".to_owned(),
        Some(set) => {
            let off = PeerPolicy::default();
            let rows = allowed(&TRANSPORTS, &off, Some(set)).chain(allowed(&CONTENTS, &off, Some(set)));
            let names: Vec<&str> = rows.filter_map(Algorithm::xml_name).collect();
            format!("label \"{}\" decrypts {} without a switch", set.label(), names.join(", "))
        }
    };
    Error::new(ErrorKind::AlgorithmNotAllowed, text).with_help(help)
}

/// The wrapped key and its EncryptionMethod.
fn wrap(
    key: &Key,
    transport: &'static Algorithm,
    content: &'static Algorithm,
    fresh: &SecretBytes,
    options: &EncryptOptions<'_>,
) -> Result<(Vec<u8>, String)> {
    let uri = transport.xml_uri.unwrap_or_default();
    key.fits(transport, Role::Encrypt)?;
    if transport.family == Family::Rsa15 {
        let made = cipher::establish(key, transport, content, &Default::default(), Some(fresh))?;
        return Ok((made.encrypted_key, format!("<xenc:EncryptionMethod Algorithm=\"{uri}\"/>")));
    }
    let mgf1p = uri == OAEP_MGF1P;
    let digest = options.digest.unwrap_or(if mgf1p { Hash::Sha1 } else { Hash::Sha256 });
    let mgf = if mgf1p { Hash::Sha1 } else { options.mgf.unwrap_or(digest) };
    let parameters = OaepParameters { digest, mgf, label: Vec::new() };
    // EXPOSE: into the wrapping primitive.
    let wrapped = oaep::encrypt(key, &parameters, fresh.expose_secret()).ok_or_else(|| {
        let text = format!("{} cannot do {transport} with these digests", key.kind());
        Error::new(ErrorKind::KeyUnfit, text).with_help(
            "unequal digests need the feature \"compat\"; SHA-512 needs RSA of 2048 bits or more",
        )
    })?;
    let mgf = if mgf1p {
        String::new()
    } else {
        format!("<xenc11:MGF xmlns:xenc11=\"{XENC11}\" Algorithm=\"{}\"/>", mgf_uri(mgf))
    };
    let method = format!(
        "<xenc:EncryptionMethod Algorithm=\"{uri}\">\
         <ds:DigestMethod Algorithm=\"{}\"/>{mgf}</xenc:EncryptionMethod>",
        digest_uri(digest)
    );
    Ok((wrapped, method))
}
