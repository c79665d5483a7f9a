//! Documents with signatures: made with our keys, verified with those of a peer.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Peer, Role, entity, note_alias};
use crate::access::Right;
use crate::alg::Hash;
use crate::error::{Error, ErrorKind, Result};
use crate::profiles::saml::{Expect, KnownPeer, SamlUse, Signing};
use crate::service::call::Call;
use crate::service::route::Route;
use crate::xmlsec::dsig::{KeyInfo, SignOptions};
use crate::xmlsec::{PeerPolicy, XmlLimits};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::post("/v1/saml/sign", Right::SamlSign, "Sign a message or an assertion", sign),
        Route::post(
            "/v1/saml/verify",
            Right::SamlOpen,
            "Verify a document, and answer what was signed",
            verify,
        ),
    ]
}

/// What is signed of a document.
#[derive(Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum What {
    /// The assertion in a Response, or the document if it is one.
    Assertion,
    /// The document itself.
    #[default]
    Message,
}

/// The digest of what is signed. None of them is weak.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "SamlSignDigest")]
enum Digest {
    Sha256,
    Sha384,
    Sha512,
}

impl From<Digest> for Hash {
    fn from(digest: Digest) -> Self {
        match digest {
            Digest::Sha256 => Self::Sha256,
            Digest::Sha384 => Self::Sha384,
            Digest::Sha512 => Self::Sha512,
        }
    }
}

/// What a signature or an encrypted key says of the key that is behind it.
#[derive(Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "SamlKeyInfo")]
pub(super) enum Shown {
    /// Every certificate of it.
    #[default]
    Chain,
    /// Its own certificate.
    Leaf,
    /// Nothing.
    None,
}

impl From<Shown> for KeyInfo {
    fn from(shown: Shown) -> Self {
        match shown {
            Shown::Chain => Self::Chain,
            Shown::Leaf => Self::Leaf,
            Shown::None => Self::None,
        }
    }
}

/// A document to be signed.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "SamlSignRequest")]
struct SignRequest {
    /// Whose key signs.
    role: Role,
    /// The identifier of the provider, if it has one of its own.
    identifier: Option<String>,
    /// The document.
    xml: String,
    /// What is signed.
    #[serde(default)]
    what: What,
    /// The ID of the assertion, where there are several.
    id: Option<String>,
    /// The algorithm, by JOSE name, XML name or URI; absent: what the peer prefers, else the label's first.
    alg: Option<String>,
    /// The digest; absent: what the peer prefers, else that of the algorithm.
    digest: Option<Digest>,
    /// Prefixes that values use, with spaces between them, as xs in xsi:type="xs:string".
    #[serde(default)]
    prefixes: String,
    /// What the signature says of its key.
    #[serde(default)]
    key_info: Shown,
    /// Who gets it.
    peer: Option<Peer>,
}

/// A signed document.
#[derive(JsonSchema, Serialize)]
struct SignedDocument {
    /// The document with its signature.
    xml: String,
    /// The ID of the signed element.
    id: String,
    /// The alias that signed.
    alias: String,
    /// The name of the algorithm.
    alg: &'static str,
    /// The algorithm if the peer's metadata name others alone, or it with keys of other sizes: the peer may refuse this.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unnamed: Vec<&'static str>,
}

fn sign(call: &Call<'_>, body: SignRequest) -> Result<SignedDocument> {
    let what = match (body.what, &body.id) {
        (What::Assertion, id) => Signing::Assertion(id.as_deref()),
        (What::Message, None) => Signing::Message,
        (What::Message, Some(_)) => {
            return Err(Error::new(ErrorKind::Usage, "\"id\" chooses an assertion")
                .with_help("send \"what\": \"assertion\" as well"));
        }
    };
    let peer = body.peer.as_ref().map(|peer| peer.known(call)).transpose()?;
    let prefers = peer.as_ref().and_then(KnownPeer::role);
    let options = SignOptions {
        algorithm: body.alg.as_deref(),
        peer_algorithms: prefers.map(|role| role.signing_methods.as_slice()).unwrap_or_default(),
        digest: body.digest.map(Into::into),
        peer_digests: prefers.map(|role| role.digest_methods.as_slice()).unwrap_or_default(),
        prefix_list: &body.prefixes,
        key_info: body.key_info.into(),
        after: None,
    };
    let entity = entity(call, body.role, body.identifier)?;
    let signed = entity.sign(body.xml.as_bytes(), what, &options)?;
    note_alias(call, &entity, SamlUse::Signing, &signed.alias);
    let alg = signed.algorithm.xml_name().unwrap_or_default();
    let unnamed = signed.unnamed.then_some(alg).into_iter().collect();
    Ok(SignedDocument { xml: signed.xml, id: signed.id, alias: signed.alias, alg, unnamed })
}

/// What must be signed for a document to be believed.
#[derive(Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Wanted {
    /// Whatever is signed: one at least, and each must hold.
    #[default]
    Any,
    /// The assertion.
    Assertion,
    /// The document itself.
    Message,
}

/// A document that came from a peer.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "SamlVerifyRequest")]
struct VerifyRequest {
    /// Whose signature counts; where metadata say who that is, of what names no other entity as its Issuer.
    peer: Peer,
    /// The document.
    xml: String,
    /// What must be signed.
    #[serde(default)]
    expect: Wanted,
    /// The ID of the assertion, where there are several.
    id: Option<String>,
    /// What is allowed though it is weak: sha1, rsa1024, empty-uri, incl-c14n.
    #[serde(default)]
    allow: Vec<String>,
}

/// What verified.
#[derive(JsonSchema, Serialize)]
struct VerifiedDocument {
    /// The elements whose signatures hold; believe them and nothing else of the document.
    elements: Vec<Element>,
}

/// An element whose signature holds.
#[derive(JsonSchema, Serialize)]
struct Element {
    /// The very octets that were signed, as a document of its own.
    xml: String,
    /// Its ID; empty if it has none.
    id: String,
    /// The namespace of its name.
    namespace: String,
    /// The local part of its name.
    name: String,
    /// The certificate of the key, by its SHA-256 in hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate_sha256: Option<String>,
    /// The SubjectPublicKeyInfo of a key without certificate, by its SHA-256 in hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    key_sha256: Option<String>,
    /// The name of the algorithm.
    alg: &'static str,
}

fn verify(call: &Call<'_>, body: VerifyRequest) -> Result<VerifiedDocument> {
    let expect = match (body.expect, &body.id) {
        (Wanted::Any, None) => Expect::Any,
        (Wanted::Assertion, id) => Expect::Assertion(id.as_deref()),
        (Wanted::Message, None) => Expect::Message,
        _ => {
            return Err(Error::new(ErrorKind::Usage, "\"id\" chooses an assertion")
                .with_help("send \"expect\": \"assertion\" as well"));
        }
    };
    let policy = PeerPolicy::of(body.allow.iter().map(String::as_str))?;
    let peer = body.peer.known(call)?;
    let found = peer.verify(body.xml.as_bytes(), expect, &policy, &XmlLimits::METADATA)?;
    let elements = found.into_iter().map(|one| Element {
        xml: String::from_utf8_lossy(&one.octets).into_owned(),
        id: one.id,
        namespace: one.namespace,
        name: one.local_name,
        certificate_sha256: one.signer.certificate_sha256,
        key_sha256: one.signer.key_sha256,
        alg: one.algorithm.xml_name().unwrap_or_default(),
    });
    Ok(VerifiedDocument { elements: elements.collect() })
}
