//! SAML messages: signed, verified, encrypted and decrypted; the redirect binding; our metadata.
//!
//! A body names one of our providers by its role, and by its identifier if it has one of its own; a peer by its
//! metadata or its certificates.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::call::Call;
use super::super::route::Route;
use crate::access::Right;
use crate::clock::rfc3339;
use crate::error::{Error, ErrorKind, Result};
use crate::profiles::saml::metadata::{
    Endpoint, KeyDescriptorOptions, MetadataOptions, PublishedEncryption,
};
use crate::profiles::saml::redirect::{self, MessageKind, RedirectOptions};
use crate::profiles::saml::{
    self, Encryptable, Expect, KnownPeer, SamlEntity, SamlRole, SamlScope, SamlUse, Signing,
};
use crate::rotation::Rotation;
use crate::xmlsec::dsig::SignOptions;
use crate::xmlsec::enc::{EncryptOptions, Recipient};
use crate::xmlsec::{PeerPolicy, Signer, Trust, XmlLimits};

pub(super) fn routes() -> Vec<Route> {
    let (make, open) = (Right::SamlSign, Right::SamlOpen);
    let path = |name: &str| format!("/v1/saml/{name}");
    vec![
        Route::post(path("decrypt"), open, "Decrypt elements with every valid alias", decrypt),
        Route::post(path("encrypt"), make, "Encrypt an element in its place, for a peer", encrypt),
        Route::post(path("metadata"), make, "Write our metadata from the keys of now", metadata)
            .slow(),
        Route::post(
            path("redirect/sign"),
            make,
            "Sign a query of the redirect binding",
            sign_query,
        ),
        Route::post(
            path("redirect/verify"),
            open,
            "Verify a query of the redirect binding",
            verify_query,
        ),
        Route::post(path("sign"), make, "Sign a message or an assertion", sign),
        Route::post(path("verify"), open, "Verify a document, and answer what was signed", verify),
    ]
}

/// What a provider is.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Role {
    /// Identity provider.
    Idp,
    /// Service provider.
    Sp,
}

impl From<Role> for SamlRole {
    fn from(role: Role) -> Self {
        match role {
            Role::Idp => Self::Idp,
            Role::Sp => Self::Sp,
        }
    }
}

/// A peer: by its metadata or by its certificates.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Peer {
    /// Its metadata.
    metadata: Option<String>,
    /// Its entity ID, where the metadata have several.
    entity_id: Option<String>,
    /// Which of its roles, where it has both.
    role: Option<Role>,
    /// Its certificates in PEM.
    certificates: Option<String>,
}

impl Peer {
    fn known(&self, call: &Call<'_>) -> Result<KnownPeer> {
        let known = match (&self.metadata, &self.certificates) {
            (Some(metadata), None) => KnownPeer::from_metadata(
                metadata.as_bytes(),
                self.entity_id.as_deref(),
                self.role.map(Into::into),
                call.service.0.clock.now(),
            ),
            (None, Some(certificates)) => KnownPeer::from_certificates(certificates.as_bytes()),
            _ => Err(Error::new(ErrorKind::Usage, "the peer is not said, or twice")
                .with_help("send one of \"metadata\" and \"certificates\"")),
        };
        // What lies in a body is the caller's to mend.
        known.map_err(|error| match error.kind() {
            ErrorKind::Damaged | ErrorKind::KeyUnfit | ErrorKind::Unsupported => {
                error.of_kind(ErrorKind::Malformed)
            }
            _ => error,
        })
    }
}

fn entity(call: &Call<'_>, role: Role, identifier: Option<String>) -> Result<SamlEntity> {
    let scope = SamlScope { realm: call.realm.clone(), role: role.into(), identifier };
    call.service.0.keyring.saml(scope)
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
        peer_digests: prefers.map(|role| role.digest_methods.as_slice()).unwrap_or_default(),
        ..SignOptions::default()
    };
    let entity = entity(call, body.role, body.identifier)?;
    let signed = entity.sign(body.xml.as_bytes(), what, &options)?;
    let alg = signed.algorithm.xml_name().unwrap_or_default();
    Ok(SignedDocument { xml: signed.xml, id: signed.id, alias: signed.alias, alg })
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
    /// Whose signature counts.
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
    let keys = body.peer.known(call)?.signing_keys()?;
    let trust = Trust::Certificates(&keys);
    let found = saml::verify(body.xml.as_bytes(), expect, trust, &policy, &XmlLimits::METADATA)?;
    let elements = found.into_iter().map(|one| Element {
        xml: String::from_utf8_lossy(&one.octets).into_owned(),
        id: one.id,
        namespace: one.namespace,
        name: one.local_name,
        certificate_sha256: certificate(&one.signer),
        alg: one.algorithm.xml_name().unwrap_or_default(),
    });
    Ok(VerifiedDocument { elements: elements.collect() })
}

fn certificate(signer: &Signer) -> Option<String> {
    signer.certificate_sha256.as_ref().map(ToString::to_string)
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
    /// What is allowed though it is weak: cbc, rsa1_5, 3des.
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
}

fn encrypt(call: &Call<'_>, body: EncryptRequest) -> Result<EncryptedDocument> {
    let policy = PeerPolicy::of(body.allow.iter().map(String::as_str))?;
    let peer = body.peer.known(call)?;
    let mut preferred = peer.role().map(|role| role.encrypt_options(policy)).unwrap_or_default();
    // The peer's digests belong to the transport that it named.
    if body.key_transport.is_some() {
        (preferred.digest, preferred.mgf) = (None, None);
    }
    let options = EncryptOptions {
        content: body.content.as_deref().or(preferred.content),
        key_transport: body.key_transport.as_deref().or(preferred.key_transport),
        digest: preferred.digest,
        mgf: preferred.mgf,
        recipient: peer.entity_id(),
        policy,
    };
    let key = peer.encryption_key()?;
    let recipient = Recipient::Certificate(&key);
    let (xml, made) = saml::encrypt(recipient, body.xml.as_bytes(), body.kind.into(), &options)?;
    Ok(EncryptedDocument {
        xml,
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
    let elements = found.into_iter().map(|one| Decrypted {
        // EXPOSE: to the caller, who has the right to it.
        xml: String::from_utf8_lossy(one.xml.expose_secret()).into_owned(),
        alias: one.alias,
        key_transport: one.key_transport.xml_name().unwrap_or_default(),
        content: one.content.xml_name().unwrap_or_default(),
    });
    Ok(DecryptedDocument { elements: elements.collect() })
}

/// A message for the redirect binding.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct QueryRequest {
    /// Whose key signs.
    role: Role,
    /// The identifier of the provider, if it has one of its own.
    identifier: Option<String>,
    /// The message.
    xml: String,
    /// It is a response, not a request.
    #[serde(default)]
    response: bool,
    /// The RelayState.
    relay_state: Option<String>,
    /// The algorithm, by JOSE name, XML name or URI.
    alg: Option<String>,
    /// Who gets it.
    peer: Option<Peer>,
}

/// A signed query.
#[derive(JsonSchema, Serialize)]
struct SignedQuery {
    /// The query, without `?`.
    query: String,
    /// The alias that signed.
    alias: String,
    /// The name of the algorithm.
    alg: &'static str,
}

fn sign_query(call: &Call<'_>, body: QueryRequest) -> Result<SignedQuery> {
    let peer = body.peer.as_ref().map(|peer| peer.known(call)).transpose()?;
    let prefers = peer.as_ref().and_then(KnownPeer::role);
    let options = RedirectOptions {
        kind: if body.response { MessageKind::Response } else { MessageKind::Request },
        relay_state: body.relay_state.as_deref(),
        algorithm: body.alg.as_deref(),
        peer_algorithms: prefers.map(|role| role.signing_methods.as_slice()).unwrap_or_default(),
    };
    let keys = entity(call, body.role, body.identifier)?.keys(SamlUse::Signing)?;
    let signed = redirect::sign(&keys, body.xml.as_bytes(), &options)?;
    let alg = signed.algorithm.xml_name().unwrap_or_default();
    Ok(SignedQuery { query: signed.query, alias: signed.alias, alg })
}

/// A query that came from a peer.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct VerifyQueryRequest {
    /// Whose signature counts.
    peer: Peer,
    /// The raw query, as it came, without `?`.
    query: String,
    /// What is allowed though it is weak: sha1, rsa1024.
    #[serde(default)]
    allow: Vec<String>,
}

/// A query whose signature holds.
#[derive(JsonSchema, Serialize)]
struct VerifiedQuery {
    /// The message.
    xml: String,
    /// `SAMLRequest` or `SAMLResponse`.
    parameter: &'static str,
    /// The RelayState, as it was signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    relay_state: Option<String>,
    /// The certificate of the key, by its SHA-256 in hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate_sha256: Option<String>,
    /// The name of the algorithm.
    alg: &'static str,
}

fn verify_query(call: &Call<'_>, body: VerifyQueryRequest) -> Result<VerifiedQuery> {
    let policy = PeerPolicy::of(body.allow.iter().map(String::as_str))?;
    let keys = body.peer.known(call)?.signing_keys()?;
    let trust = Trust::Certificates(&keys);
    let found = redirect::verify(&body.query, trust, &policy, &XmlLimits::MESSAGE)?;
    Ok(VerifiedQuery {
        parameter: found.kind.parameter(),
        relay_state: found.relay_state,
        certificate_sha256: certificate(&found.signer),
        alg: found.algorithm.xml_name().unwrap_or_default(),
        xml: found.message,
    })
}

/// Metadata to be written.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct MetadataRequest {
    /// Whose.
    role: Role,
    /// The identifier of the provider, if it has one of its own.
    identifier: Option<String>,
    /// Its entity ID.
    entity_id: String,
    /// Where it takes messages.
    endpoints: Vec<EndpointRequest>,
    /// Names every valid certificate to encrypt to, not the active one alone.
    #[serde(default)]
    all_encryption: bool,
    /// For how many seconds at most it holds; absent: as long as the schedule lets it.
    valid_for: Option<u64>,
    /// Signs it with the label that is for it.
    #[serde(default)]
    sign: bool,
}

/// Where a provider takes messages.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct EndpointRequest {
    /// The element: `SingleSignOnService`, `AssertionConsumerService`, `SingleLogoutService`, …
    service: String,
    /// The binding: `HTTP-POST`, `HTTP-Redirect`, `HTTP-Artifact`, `SOAP`.
    binding: String,
    /// The URL.
    location: String,
}

/// Metadata as peers get them.
#[derive(JsonSchema, Serialize)]
struct MetadataDocument {
    /// The document.
    xml: String,
    /// The alias that signed it, if it is signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    alias: Option<String>,
    /// Until when it holds, in RFC 3339; absent: no schedule says.
    #[serde(skip_serializing_if = "Option::is_none")]
    valid_until: Option<String>,
    /// For how many seconds peers keep it.
    cache_seconds: u64,
}

fn metadata(call: &Call<'_>, body: MetadataRequest) -> Result<MetadataDocument> {
    let entity = entity(call, body.role, body.identifier)?;
    let clock = call.service.0.clock.clone();
    let rotation = Rotation::preview(&call.snapshot.config().file, clock.clone())?;
    let wanted = body.valid_for.map(|seconds| clock.now() + Duration::from_secs(seconds));
    let signing = entity.keys(SamlUse::Signing)?;
    let mtls = entity.keys_if_mapped(SamlUse::Mtls)?;
    let encryption = entity.keys_if_mapped(SamlUse::Encryption)?;
    let shown: Vec<_> = std::iter::once(&*signing).chain(mtls.as_deref()).collect();
    let realm = call.realm.as_ref();
    let validity = rotation.validity_until(&shown, encryption.as_deref(), realm, wanted)?;
    let (cache, valid_until) = (validity.cache, validity.until);
    let endpoints: Vec<Endpoint<'_>> = body
        .endpoints
        .iter()
        .map(|one| Endpoint {
            service: &one.service,
            binding: &one.binding,
            location: &one.location,
        })
        .collect();
    let encryption = if body.all_encryption {
        PublishedEncryption::AllValid
    } else {
        PublishedEncryption::ActiveOnly
    };
    let options = MetadataOptions {
        entity_id: &body.entity_id,
        valid_until,
        cache_duration: Some(cache),
        endpoints: &endpoints,
        keys: KeyDescriptorOptions { encryption, encryption_methods: &[] },
    };
    let (mut xml, mut alias) = (entity.metadata(&options)?, None);
    if body.sign {
        let signed = entity.sign_metadata(xml.as_bytes(), &SignOptions::default())?;
        (xml, alias) = (signed.xml, Some(signed.alias));
    }
    let valid_until = valid_until.map(rfc3339);
    Ok(MetadataDocument { xml, alias, valid_until, cache_seconds: cache.as_secs() })
}
