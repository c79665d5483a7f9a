//! Signs with the active alias: enveloped, exclusive canonicalization, the signature where the schema wants it.

use super::shape::{MAX_PREFIXES, has_signature};
use super::{Missing, Target, is_covered};
use crate::alg::{Algorithm, Family, Hash, Operation};
use crate::crypto::{Role, digest};
use crate::error::{Error, ErrorKind, Result};
use crate::ops::KeySet;
use crate::xmlsec::c14n::Canonicalization;
use crate::xmlsec::dsig::SigningMethod;
use crate::xmlsec::input::{ElementName, count_of_id};
use crate::xmlsec::names::{DSIG, ENVELOPED, EXC_C14N, digest_uri};
use crate::xmlsec::tree::{Node, Tree, is_name};
use crate::xmlsec::{XmlLimits, XmlText, attribute, encode_base64, is_plain_id, raw};

/// What a signature or an encrypted key says of the key that is behind it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "all of a chain, its first, or none")]
pub enum KeyInfo {
    /// Every certificate that is known of it, leaf first.
    #[default]
    Chain,
    /// The leaf certificate.
    Leaf,
    /// No KeyInfo.
    None,
}

/// How [`sign`] signs.
#[derive(Clone, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "built with ..Default::default()")]
pub struct SignOptions<'a> {
    /// The algorithm, by JOSE name, XML name or URI; absent: the first that peer and label have in common,
    /// else the label's first that fits its active alias.
    pub algorithm: Option<&'a str>,
    /// Signature algorithms that the peer prefers, in order.
    pub peer_algorithms: &'a [SigningMethod],
    /// The digest; absent: the first of the peer that is not SHA-1, else that of the algorithm.
    pub digest: Option<Hash>,
    /// URIs of digests that the peer prefers, in order.
    pub peer_digests: &'a [String],
    /// Prefixes that the content uses in values (`xs` for `xsi:type`), between white space.
    pub prefix_list: &'a str,
    /// What the signature says of its key.
    pub key_info: KeyInfo,
    /// The signature follows the first child element if that has this name, else it comes first.
    pub after: Option<ElementName>,
}

/// A signed document.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Signed {
    /// The document with its signature.
    pub xml: String,
    /// The `ID` of the signed element.
    pub id: String,
    /// The alias that signed.
    pub alias: String,
    /// The algorithm.
    pub algorithm: &'static Algorithm,
    /// Whether the peer prefers others, or keys of other sizes: it may refuse this.
    pub unnamed: bool,
}

/// Signs the element `target` with the active alias of `set`; it has one of the names `signable`, or any if
/// there is none.
///
/// # Errors
/// [`ErrorKind::LimitExceeded`] and [`ErrorKind::Malformed`] for the XML; [`ErrorKind::Usage`] if the element
/// is not there, has no plain `ID` of its own, is signed already or stands under a signature; [`ErrorKind::WrongUse`],
/// [`ErrorKind::AlgorithmNotAllowed`].
pub fn sign(
    set: &KeySet,
    document: &[u8],
    signable: &[ElementName],
    target: &Target<'_>,
    options: &SignOptions<'_>,
    limits: &XmlLimits,
) -> Result<Signed> {
    sign_until(set, document, signable, target, options, limits, |_| None)
}

/// As [`sign`], of elements that say themselves from which second since 1970 on nobody takes them: `expires` reads
/// it.
pub(crate) fn sign_until(
    set: &KeySet,
    document: &[u8],
    signable: &[ElementName],
    target: &Target<'_>,
    options: &SignOptions<'_>,
    limits: &XmlLimits,
    expires: impl FnOnce(Node<'_, '_>) -> Option<u64>,
) -> Result<Signed> {
    set.require_use(Role::Sign)?;
    let algorithm = choose(set, options.algorithm, options.peer_algorithms)?;
    let text = XmlText::read(document, limits)?;
    let tree = text.parse()?;
    let found = target.find(&tree).map_err(|missing| {
        let help = if missing == Missing::Several { "name the one by its ID" } else { ELSEWHERE };
        unfit((missing.why(), help))
    })?;
    let node = *found.first().ok_or_else(|| unfit((Missing::Absent.why(), ELSEWHERE)))?;
    if !signable.is_empty() && !signable.iter().any(|name| name.is(node)) {
        let names: Vec<&str> = signable.iter().map(|name| name.local).collect();
        let text = "cannot sign: the element is none that is signed here";
        return Err(Error::new(ErrorKind::Usage, text)
            .with_help(format!("signed here: {}", names.join(", "))));
    }
    let id = signable_id(&tree, node).map_err(unfit)?;
    require_prefixes(options.prefix_list).map_err(unfit)?;
    let hash = options.digest.unwrap_or_else(|| choose_digest(algorithm, options.peer_digests));
    let content = Canonicalization::exclusive(options.prefix_list).octets(node, None);
    let value = encode_base64(&digest(hash, &content));
    let info = signed_info(algorithm, id, options.prefix_list, hash, &value);
    let canonical = format!("<ds:SignedInfo xmlns:ds=\"{DSIG}\">{info}</ds:SignedInfo>");
    let active = set.active();
    let made = raw::sign(set, algorithm, canonical.as_bytes(), expires(node))?;
    let signature = format!(
        "<ds:Signature xmlns:ds=\"{DSIG}\"><ds:SignedInfo>{info}</ds:SignedInfo>\
         <ds:SignatureValue>{}</ds:SignatureValue>{}</ds:Signature>",
        encode_base64(&made),
        key_info(active.key.chain(), options.key_info),
    );
    Ok(Signed {
        xml: insert(text.as_str(), node, options.after, &signature),
        id: id.to_owned(),
        alias: active.alias.to_string(),
        algorithm,
        unnamed: SigningMethod::leave_out(options.peer_algorithms, algorithm, active.key.kind()),
    })
}

/// What a refusal says, and what to do instead.
type Refused = (&'static str, &'static str);

const ELSEWHERE: &str = "SAML signs messages, assertions and metadata: the document element, or the assertion that is its child";

fn unfit((why, help): Refused) -> Error {
    Error::new(ErrorKind::Usage, format!("cannot sign: {why}")).with_help(help)
}

/// The algorithm that signs XML: never an HMAC, never SHA-1.
pub(crate) fn choose(
    set: &KeySet,
    named: Option<&str>,
    preferred: &[SigningMethod],
) -> Result<&'static Algorithm> {
    let signs = |row: &&'static Algorithm| {
        row.xml_uri.is_some()
            && row.operation == Operation::Sign
            && matches!(row.family, Family::RsaPkcs1(_) | Family::RsaPss(_) | Family::Ecdsa(..))
    };
    let allowed = || set.algorithms().iter().copied().filter(signs);
    let fits = |row: &&'static Algorithm| set.fits(set.active(), row, Role::Sign);
    let (label, active) = (set.label(), &set.active().alias);
    let refused = |text: String| {
        let names: Vec<_> = allowed().filter(fits).filter_map(Algorithm::xml_name).collect();
        let help = match names.as_slice() {
            [] => "map an RSA or EC key first, or name its algorithms in the label".to_owned(),
            names => format!("alias \"{active}\" signs XML with {}", names.join(", ")),
        };
        Error::new(ErrorKind::AlgorithmNotAllowed, text).with_help(help)
    };
    if let Some(name) = named {
        let row = Algorithm::named(name)?;
        return allowed().find(|one| *one == row).filter(fits).ok_or_else(|| {
            let name = row.xml_name().unwrap_or(row.name);
            refused(format!("label \"{label}\", alias \"{active}\" does not sign XML with {name}"))
        });
    }
    let kind = set.active().key.kind();
    let common = preferred
        .iter()
        .find_map(|method| allowed().filter(fits).find(|row| method.takes(row, kind)));
    common
        .or_else(|| allowed().find(fits))
        .ok_or_else(|| refused(format!("label \"{label}\": its active alias signs no XML")))
}

fn choose_digest(algorithm: &Algorithm, preferred: &[String]) -> Hash {
    let own = match algorithm.family {
        Family::RsaPkcs1(hash) | Family::RsaPss(hash) | Family::Ecdsa(_, hash) => hash,
        _ => Hash::Sha256,
    };
    let common = preferred.iter().filter_map(|uri| crate::xmlsec::names::digest_of(uri));
    common.into_iter().find(|hash| *hash != Hash::Sha1).unwrap_or(own)
}

/// Nobody verifies what a list makes unreadable, or so long that it is refused unread.
fn require_prefixes(list: &str) -> Result<(), Refused> {
    let is_prefix = |one: &str| one == "#default" || is_name(one);
    if !list.split_ascii_whitespace().all(is_prefix) {
        let why = "the prefix list has characters that no prefix has";
        return Err((why, "write prefixes with spaces between them, as xs xsi"));
    }
    if list.split_ascii_whitespace().nth(MAX_PREFIXES).is_some() {
        let why = "the prefix list names more than can be in scope";
        return Err((why, "name those that values use alone"));
    }
    Ok(())
}

fn signable_id<'a>(tree: &Tree<'_>, node: Node<'a, '_>) -> Result<&'a str, Refused> {
    const OWN: &str = "give it an ID of its own, as ID=\"_5f3a9c\"";
    if has_signature(node) {
        let why = "the element has a signature already";
        return Err((
            why,
            "give it the element without: what is signed once more no longer verifies",
        ));
    }
    if is_covered(node) {
        let why = "an element around it is signed";
        return Err((
            why,
            "sign what is inside first: what changes under a signature no longer verifies",
        ));
    }
    let id = attribute(node, "ID").ok_or(("the element has no ID", OWN))?;
    if !is_plain_id(id) {
        let why = "the ID is not a letter or \"_\" with letters, digits, \"_\", \"-\" and \".\" behind it";
        return Err((why, OWN));
    }
    if count_of_id(tree, id) == 1 { Ok(id) } else { Err(("the ID is not unique", OWN)) }
}

/// The inside of SignedInfo, written as its canonical form is.
fn signed_info(
    algorithm: &Algorithm,
    id: &str,
    prefix_list: &str,
    hash: Hash,
    value: &str,
) -> String {
    let method = algorithm.xml_uri.unwrap_or_default();
    let digest_method = digest_uri(hash);
    let prefixes: Vec<&str> = prefix_list.split_ascii_whitespace().collect();
    let listed = if prefixes.is_empty() {
        String::new()
    } else {
        let list = prefixes.join(" ");
        format!(
            "<ec:InclusiveNamespaces xmlns:ec=\"{EXC_C14N}\" PrefixList=\"{list}\"></ec:InclusiveNamespaces>"
        )
    };
    format!(
        "<ds:CanonicalizationMethod Algorithm=\"{EXC_C14N}\"></ds:CanonicalizationMethod>\
         <ds:SignatureMethod Algorithm=\"{method}\"></ds:SignatureMethod>\
         <ds:Reference URI=\"#{id}\"><ds:Transforms>\
         <ds:Transform Algorithm=\"{ENVELOPED}\"></ds:Transform>\
         <ds:Transform Algorithm=\"{EXC_C14N}\">{listed}</ds:Transform></ds:Transforms>\
         <ds:DigestMethod Algorithm=\"{digest_method}\"></ds:DigestMethod>\
         <ds:DigestValue>{value}</ds:DigestValue></ds:Reference>"
    )
}

pub(crate) fn key_info(chain: &[Vec<u8>], wanted: KeyInfo) -> String {
    let shown = match wanted {
        KeyInfo::Chain => chain,
        KeyInfo::Leaf => chain.get(..1).unwrap_or_default(),
        KeyInfo::None => &[],
    };
    if shown.is_empty() {
        return String::new();
    }
    let certificates: String = shown
        .iter()
        .map(|der| format!("<ds:X509Certificate>{}</ds:X509Certificate>", encode_base64(der)))
        .collect();
    format!("<ds:KeyInfo><ds:X509Data>{certificates}</ds:X509Data></ds:KeyInfo>")
}

/// The text with `signature` as a child of `node`: behind the first child element named `after`, else first.
fn insert(text: &str, node: Node<'_, '_>, after: Option<ElementName>, signature: &str) -> String {
    let first = node.children().find(|child| child.is_element());
    let behind = first.filter(|first| after.is_some_and(|name| name.is(*first)));
    let range = node.range();
    let empty = node.first_child().is_none();
    let (before, behind) = match (behind, node.first_child()) {
        (Some(element), _) => text.split_at(element.range().end),
        (None, Some(child)) => text.split_at(child.range().start),
        (None, None) => text.split_at(range.end),
    };
    if !empty {
        return [before, signature, behind].concat();
    }
    // `<a/>` or `<a></a>`: the end is written anew.
    let start = before.get(range.start..).unwrap_or_default();
    let open = start.strip_suffix("/>").or_else(|| {
        start.rfind("</").and_then(|end| start.get(..end)).and_then(|open| open.strip_suffix('>'))
    });
    let open = open.unwrap_or(start);
    let name: String =
        start.chars().skip(1).take_while(|c| !c.is_whitespace() && !"/>".contains(*c)).collect();
    let head = before.get(..range.start).unwrap_or_default();
    [head, open, ">", signature, "</", &name, ">", behind].concat()
}
