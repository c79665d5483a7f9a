//! Who acts and whom one trusts: a hosted provider by role, identifier and realm, one label, or a peer by its
//! metadata or certificate.

use std::path::PathBuf;
use std::sync::Arc;

use claviger::alg::{Algorithm, Hash};
use claviger::error::{Error, ErrorKind, Result};
use claviger::keyring::Keyring;
use claviger::ops::KeySet;
use claviger::profiles::saml::{KnownPeer, SamlEntity, SamlRole, SamlScope, SamlUse};
use claviger::xmlsec::PeerPolicy;

use super::input::{ONE_ALONE, of_limits, of_metadata};
use crate::cli::Context;
use crate::cli::on_label::keys;
use crate::cli::password_input::read_input;

/// The largest metadata file, in bytes.
const MAX_METADATA_BYTES: u64 = 4 << 20;

/// `--role`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub(crate) enum Role {
    // Identity provider.
    Idp,
    // Service provider.
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

/// A digest, as XML names it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub(crate) enum Digest {
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

/// A digest of OAEP. SHA-1 is no weakness there, and what many peers expect.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub(crate) enum OaepDigest {
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

/// One of our providers.
#[derive(Debug, clap::Args)]
pub(crate) struct Provider {
    /// The role of the hosted provider
    #[arg(long, value_enum)]
    role: Option<Role>,
    /// Its secret label identifier; without one the labels of its role serve
    #[arg(long, requires = "role", value_name = "NAME")]
    identifier: Option<String>,
}

impl Provider {
    pub(crate) fn is_named(&self) -> bool {
        self.role.is_some()
    }

    pub(crate) fn entity(&self, context: &Context) -> Result<(Keyring, SamlEntity)> {
        let role = self.role.ok_or_else(|| {
            Error::new(ErrorKind::Usage, "which provider is not said").with_help(
                "name it: --role idp or --role sp, and --identifier NAME if it has one of its own",
            )
        })?;
        let keyring = Keyring::open_once(&context.config)?;
        let scope = SamlScope {
            realm: context.realm.as_deref().map(str::parse).transpose()?,
            role: role.into(),
            identifier: self.identifier.clone(),
        };
        let entity = keyring.saml(scope)?;
        Ok((keyring, entity))
    }
}

/// One of our providers, or one label.
#[derive(Debug, clap::Args)]
pub(crate) struct Own {
    #[command(flatten)]
    pub(crate) provider: Provider,
    /// One label instead of a provider
    #[arg(long, conflicts_with_all = ["role", "identifier"])]
    pub(crate) label: Option<String>,
}

impl Own {
    pub(crate) fn is_named(&self) -> bool {
        self.label.is_some() || self.provider.is_named()
    }

    /// The keys for a purpose.
    pub(crate) fn keys(&self, context: &Context, purpose: SamlUse) -> Result<Arc<KeySet>> {
        match &self.label {
            Some(label) => keys(context, label),
            None => self.provider.entity(context)?.1.keys(purpose),
        }
    }
}

/// Somebody else.
#[derive(Debug, clap::Args)]
pub(crate) struct Peer {
    /// The metadata of a peer; its file is trusted as it is
    #[arg(long, value_name = "FILE")]
    metadata: Option<PathBuf>,
    /// Which entity of the metadata [default: the only one]
    #[arg(long, value_name = "ID", requires = "metadata")]
    entity: Option<String>,
    /// Which role of the peer [default: the only one]
    #[arg(long, value_enum, value_name = "ROLE", requires = "metadata")]
    peer_role: Option<Role>,
    /// The certificates of a peer, PEM or DER
    #[arg(long, value_name = "FILE", conflicts_with = "metadata")]
    certificate: Option<PathBuf>,
}

impl Peer {
    /// What is known; `None` if no peer is named.
    pub(crate) fn read(&self, context: &Context) -> Result<Option<KnownPeer>> {
        if let Some(path) = &self.certificate {
            let file = read_input(path, MAX_METADATA_BYTES)?;
            // EXPOSE: certificates are public.
            return KnownPeer::from_certificates(file.expose_secret())
                .map(Some)
                .map_err(|error| error.with_file(path));
        }
        let Some(path) = &self.metadata else { return Ok(None) };
        let file = read_input(path, MAX_METADATA_BYTES)
            .map_err(|error| of_limits(error, ONE_ALONE).with_file(path))?;
        let (role, now) = (self.peer_role.map(SamlRole::from), context.clock.now());
        // EXPOSE: metadata are public.
        let text = file.expose_secret();
        KnownPeer::from_metadata(text, self.entity.as_deref(), role, now)
            .map(Some)
            .map_err(|error| of_metadata(text, error).with_file(path))
    }
}

/// `--allow`.
#[derive(Debug, clap::Args)]
pub(crate) struct Allowed {
    /// What this peer may do that is off otherwise: sha1, rsa1024, empty-uri, incl-c14n, cbc, rsa1_5, 3des,
    /// der-ecdsa
    #[arg(long, value_name = "SWITCH", value_delimiter = ',')]
    allow: Vec<String>,
}

impl Allowed {
    pub(crate) fn policy(&self) -> Result<PeerPolicy> {
        PeerPolicy::of(self.allow.iter().map(String::as_str))
    }
}

/// What to say of a signature that the peer's metadata leaves out.
pub(crate) fn unnamed(is_unnamed: bool, algorithm: &Algorithm, set: &KeySet) -> Option<String> {
    let (name, kind) = (algorithm.xml_name().unwrap_or_default(), set.active().key.kind());
    is_unnamed.then(|| {
        format!(
            "the peer's metadata does not name {name} with a key like ours ({kind}) though it names others: if it refuses \
             this, `claviger saml metadata read` shows what it names, and an alias that fits is signed with once it is first"
        )
    })
}

/// The same for programs, as of what is encrypted.
pub(crate) fn unnamed_in_json(is_unnamed: bool, algorithm: &Algorithm) -> Vec<&'static str> {
    algorithm.xml_name().filter(|_| is_unnamed).into_iter().collect()
}
