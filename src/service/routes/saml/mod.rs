//! SAML messages: signed, verified, encrypted and decrypted; the redirect binding; our metadata.
//!
//! A body names one of our providers by its role, and by its identifier if it has one of its own; a peer by its
//! metadata or its certificates.

mod encryption;
mod metadata;
mod redirect;
mod signing;

use schemars::JsonSchema;
use serde::Deserialize;

use super::callers;
use crate::error::{Error, ErrorKind, Result};
use crate::ops::KeySet;
use crate::profiles::saml::{KnownPeer, SamlEntity, SamlRole, SamlScope, SamlUse};
use crate::service::call::Call;
use crate::service::route::Route;

pub(super) fn routes() -> Vec<Route> {
    [encryption::routes(), metadata::routes(), redirect::routes(), signing::routes()]
        .into_iter()
        .flatten()
        .collect()
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
            (None, Some(_)) if self.entity_id.is_some() || self.role.is_some() => {
                let text = "\"entity_id\" and \"role\" choose among what metadata have";
                Err(Error::new(ErrorKind::Usage, text)
                    .with_help("leave them out beside \"certificates\", which are one peer's"))
            }
            (None, Some(certificates)) => KnownPeer::from_certificates(certificates.as_bytes()),
            _ => Err(Error::new(ErrorKind::Usage, "the peer is not said, or twice")
                .with_help("send one of \"metadata\" and \"certificates\"")),
        };
        known.map_err(callers)
    }
}

fn entity(call: &Call<'_>, role: Role, identifier: Option<String>) -> Result<SamlEntity> {
    let scope = SamlScope { realm: call.asked.realm.clone(), role: role.into(), identifier };
    call.keyring.saml(scope)
}

/// Tells records which alias of ours served; its kid stands behind the label of this use.
fn note_alias(call: &Call<'_>, entity: &SamlEntity, purpose: SamlUse, alias: &str) {
    if !call.is_recorded() {
        return;
    }
    // The call has one snapshot from start to end.
    let keys = entity.keys(purpose).ok();
    note_alias_of(call, keys.as_deref(), alias);
}

/// The same of known keys.
fn note_alias_of(call: &Call<'_>, keys: Option<&KeySet>, alias: &str) {
    let mut keys = keys.into_iter().flat_map(KeySet::keys);
    let kid = keys.find(|key| key.alias.as_str() == alias).map(|key| key.kid.as_str());
    call.note_key(alias, kid);
}
