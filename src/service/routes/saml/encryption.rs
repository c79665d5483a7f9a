//! Elements that are encrypted: for a peer, and by peers for us.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::signing::Shown;
use super::{Peer, Role, callers, entity, note_alias};
use crate::access::Right;
use crate::alg::{Algorithm, Hash};
use crate::error::Result;
use crate::profiles::saml::{self, Encryptable, SamlUse};
use crate::service::call::Call;
use crate::service::route::Route;
use crate::xmlsec::PeerPolicy;
use crate::xmlsec::enc::{EncryptOptions, Recipient};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::post(
            "/v1/saml/decrypt",
            Right::SamlOpen,
            "Decrypt elements with every valid alias",
            decrypt,
        ),
        Route::post(
            "/v1/saml/encrypt",
            Right::SamlSign,
            "Encrypt an element in its place, for a peer",
            encrypt,
        ),
    ]
}

/// What is encrypted.
#[derive(Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Kind {
    /// The assertion.
    #[default]
    Assertion,
    /// An attribute.
    Attribute,
    /// A name.
    Id,
    /// A new name.
    NewId,
}

impl From<Kind> for Encryptable {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Assertion => Self::Assertion,
            Kind::Attribute => Self::Attribute,
            Kind::Id => Self::Id,
            Kind::NewId => Self::NewId,
        }
    }
}

/// A digest of OAEP. SHA-1 is no weakness there, and what many peers expect.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum OaepDigest {
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

impl From<OaepDigest> for Hash {
    fn from(digest: OaepDigest) -> Self {
        match digest {
            OaepDigest::Sha1 => Self::Sha1,
            OaepDigest::Sha256 => Self::Sha256,
            OaepDigest::Sha384 => Self::Sha384,
            OaepDigest::Sha512 => Self::Sha512,
        }
    }
}

/// A document with an element to be encrypted.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "SamlEncryptRequest")]
struct EncryptRequest {
    /// Who shall read it.
    peer: Peer,
    /// The document.
    xml: String,
    /// What is encrypted.
    #[serde(default)]
    kind: Kind,
    /// The content encryption by its XML name; absent: what the peer prefers.
    content: Option<String>,
    /// The key transport by its XML name; absent: what the peer prefers.
    key_transport: Option<String>,
    /// The digest of OAEP; absent: what the peer prefers.
    digest: Option<OaepDigest>,
    /// The digest of its mask (MGF1), of rsa-oaep alone; absent: what the peer prefers.
    mgf: Option<OaepDigest>,
    /// What is said of the key that decrypts: readers such as AD FS look for it by its certificate.
    #[serde(default)]
    key_info: Shown,
    /// What is allowed though it is weak: cbc, rsa1_5.
    #[serde(default)]
    allow: Vec<String>,
}

/// The document with the encrypted element in its place.
#[derive(JsonSchema, Serialize)]
struct EncryptedDocument {
    /// The document.
    xml: String,
    /// The name of the key transport.
    key_transport: &'static str,
    /// The name of the content encryption.
    content: &'static str,
    /// Those of the two that the peer's metadata does not name though it names others: it may be unable to decrypt
    /// this.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unnamed: Vec<&'static str>,
}

fn encrypt(call: &Call<'_>, body: EncryptRequest) -> Result<EncryptedDocument> {
    let policy = PeerPolicy::of(body.allow.iter().map(String::as_str))?;
    let peer = body.peer.known(call)?;
    let (key, preferred) = peer.recipient(policy).map_err(callers)?;
    let asked = EncryptOptions {
        content: body.content.as_deref(),
        key_transport: body.key_transport.as_deref(),
        digest: body.digest.map(Into::into),
        mgf: body.mgf.map(Into::into),
        recipient: peer.entity_id(),
        key_info: body.key_info.into(),
        policy,
    };
    let options = asked.or(&preferred);
    let recipient = Recipient::Certificate(&key);
    let made = saml::encrypt(recipient, body.xml.as_bytes(), body.kind.into(), &options);
    // Nothing of ours has a part in it.
    let (xml, made) = made.map_err(callers)?;
    let unnamed = peer.unnamed(policy, &made).into_iter().filter_map(Algorithm::xml_name);
    Ok(EncryptedDocument {
        xml,
        unnamed: unnamed.collect(),
        key_transport: made.key_transport.xml_name().unwrap_or_default(),
        content: made.content.xml_name().unwrap_or_default(),
    })
}

/// A document with encrypted elements. Decrypted is not verified: everybody can encrypt to a certificate.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "SamlDecryptRequest")]
struct DecryptRequest {
    /// Whose keys decrypt.
    role: Role,
    /// The identifier of the provider, if it has one of its own.
    identifier: Option<String>,
    /// The document.
    xml: String,
    /// What was encrypted.
    #[serde(default)]
    kind: Kind,
    /// What is allowed though it is weak: cbc, rsa1_5, 3des.
    #[serde(default)]
    allow: Vec<String>,
}

/// What decrypted.
#[derive(JsonSchema, Serialize)]
struct DecryptedDocument {
    /// The elements, in the order of the document.
    elements: Vec<Decrypted>,
}

/// One element.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "DecryptedElement")]
struct Decrypted {
    /// The element as a document of its own.
    xml: String,
    /// The alias that decrypted.
    alias: String,
    /// The name of the key transport.
    key_transport: &'static str,
    /// The name of the content encryption.
    content: &'static str,
}

fn decrypt(call: &Call<'_>, body: DecryptRequest) -> Result<DecryptedDocument> {
    let policy = PeerPolicy::of(body.allow.iter().map(String::as_str))?;
    let entity = entity(call, body.role, body.identifier)?;
    let found = entity.decrypt(body.xml.as_bytes(), body.kind.into(), &policy)?;
    if let Some(first) = found.first() {
        note_alias(call, &entity, SamlUse::Encryption, &first.alias);
    }
    let elements = found.into_iter().map(|one| Decrypted {
        // EXPOSE: to the caller, who has the right to it.
        xml: String::from_utf8_lossy(one.xml.expose_secret()).into_owned(),
        alias: one.alias,
        key_transport: one.key_transport.xml_name().unwrap_or_default(),
        content: one.content.xml_name().unwrap_or_default(),
    });
    Ok(DecryptedDocument { elements: elements.collect() })
}
