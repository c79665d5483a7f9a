//! Metadata of our providers, which hold as long as the schedule of their keys lets them.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Role, entity, note_alias_of};
use crate::access::Right;
use crate::clock::{self, rfc3339};
use crate::error::{Error, ErrorKind, Result};
use crate::profiles::saml::metadata::{
    Endpoint, KeyDescriptorOptions, MetadataOptions, PublishedEncryption, missing_service,
};
use crate::profiles::saml::{METADATA_LABEL, SamlUse};
use crate::rotation::{EncryptTo, Rotation};
use crate::service::call::Call;
use crate::service::route::Route;
use crate::xmlsec::dsig::SignOptions;

pub(super) fn routes() -> Vec<Route> {
    let route = Route::post(
        "/v1/saml/metadata",
        Right::SamlSign,
        "Write our metadata from the keys of now",
        metadata,
    );
    vec![route.slow()]
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
    /// What peers may encrypt with, by XML name; absent: `rsa-oaep-mgf1p`, `aes256-gcm` and `aes128-gcm`, or what the label
    /// lists instead.
    #[serde(default)]
    encryption_methods: Vec<String>,
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
    /// The service that the schema asks of the role and that is not among the endpoints: peers that go by the schema
    /// refuse the document. Absent: it is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    missing_service: Option<&'static str>,
}

fn metadata(call: &Call<'_>, body: MetadataRequest) -> Result<MetadataDocument> {
    if body.valid_for == Some(0) {
        let text = "\"valid_for\" is at least one second";
        return Err(Error::new(ErrorKind::Usage, text)
            .with_help("leave it out for as long as the schedule lets it"));
    }
    let entity = entity(call, body.role, body.identifier)?;
    let rotation = Rotation::watching(&call.keyring)?;
    let now = call.service.0.clock.now();
    let wanted = body.valid_for.map(|seconds| clock::later(now, Duration::from_secs(seconds)));
    let signing = entity.keys(SamlUse::Signing)?;
    let mtls = entity.keys_if_mapped(SamlUse::Mtls)?;
    let encryption = entity.keys_if_mapped(SamlUse::Encryption)?;
    let shown: Vec<_> = std::iter::once(&*signing).chain(mtls.as_deref()).collect();
    let realm = call.asked.realm.as_ref();
    let to = if body.all_encryption { EncryptTo::All } else { EncryptTo::Active };
    let encrypt = encryption.as_deref().map(to);
    let validity = rotation.validity_until(&shown, encrypt, realm, wanted)?;
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
    let methods: Vec<&str> = body.encryption_methods.iter().map(String::as_str).collect();
    let options = MetadataOptions {
        entity_id: &body.entity_id,
        valid_until,
        cache_duration: Some(cache),
        endpoints: &endpoints,
        keys: KeyDescriptorOptions { encryption, encryption_methods: &methods },
    };
    let (mut xml, mut alias) = (entity.metadata(&options)?, None);
    if body.sign {
        let signed = entity.sign_metadata(xml.as_bytes(), &SignOptions::default())?;
        let keys = call.snapshot.find_named(realm, METADATA_LABEL);
        note_alias_of(call, keys.map(|set| &**set), &signed.alias);
        (xml, alias) = (signed.xml, Some(signed.alias));
    }
    let valid_until = valid_until.map(rfc3339);
    let missing_service = missing_service(entity.scope().role, &endpoints);
    let cache_seconds = cache.as_secs();
    Ok(MetadataDocument { xml, alias, valid_until, cache_seconds, missing_service })
}
