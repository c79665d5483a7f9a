//! TLS as `[service]` says: the certificate of a label or of files, client certificates, versions.

use std::sync::Arc;
use std::time::SystemTime;

use rustls::crypto::ring as provider;
use rustls::server::{NoServerSessionStorage, ResolvesServerCert};
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, SupportedProtocolVersion};

use crate::access::{Caller, Credential};
use crate::catalogue::{self, LabelUse};
use crate::clock::{Clock, from_unix, spoken};
use crate::config::{ClientCa, Config, MinTls, Placed, ServerCertificate, ServiceSettings};
use crate::error::{Error, ErrorKind, Result};
use crate::keyring::Keyring;
use crate::label::LabelName;
use crate::problem::{Location, Problem};
use crate::tls::{ClientTrust, FileAnchors, FileIdentity, Identity};

/// TLS as a listener speaks it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServerTls {
    /// How handshakes are made.
    pub config: Arc<ServerConfig>,
    /// Who vouches for client certificates, to be asked again when that changes; `None`: connections are only asked
    /// once, by their handshake.
    pub client_trust: Option<Arc<ClientTrust>>,
}

impl ServerTls {
    /// With these two; the client trust is the verifier of the configuration.
    #[must_use]
    pub const fn new(config: Arc<ServerConfig>, client_trust: Option<Arc<ClientTrust>>) -> Self {
        Self { config, client_trust }
    }
}

/// TLS of the listeners, and the files behind it.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// `None` without a certificate.
    pub server: Option<ServerTls>,
    identity: Option<Arc<FileIdentity>>,
    anchors: Option<Arc<FileAnchors>>,
}

impl Tls {
    /// As `[service]` says. Labels are those of the root realm; they follow reloads.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] with every problem of certificate and anchors.
    pub fn new(keyring: &Keyring, settings: &ServiceSettings) -> Result<Self> {
        let mut problems = Vec::new();
        let mut tls = Self::default();
        let resolver = settings.certificate.as_ref().and_then(|certificate| {
            tls.resolver(keyring, certificate).map_err(|problem| problems.push(*problem)).ok()
        });
        let trust = settings.client_ca.as_ref().and_then(|client_ca| {
            tls.trust(keyring, client_ca).map_err(|problem| problems.push(*problem)).ok()
        });
        if !problems.is_empty() {
            return Err(Error::from_problems("[service] cannot be served".to_owned(), problems)
                .with_file(&keyring.config().file));
        }
        if let Some(resolver) = resolver {
            let client_trust = trust.map(Arc::new);
            let config = server_config(resolver, client_trust.clone(), settings.min_tls)?;
            tls.server = Some(ServerTls::new(Arc::new(config), client_trust));
        }
        Ok(tls)
    }

    fn resolver(
        &mut self,
        keyring: &Keyring,
        certificate: &ServerCertificate,
    ) -> Result<Arc<dyn ResolvesServerCert>, Box<Problem>> {
        match certificate {
            ServerCertificate::Label(label) => {
                let identity = keyring.label(label.value.as_str()).and_then(Identity::new);
                Ok(Arc::new(identity.map_err(|error| problem(&error, &label.location))?))
            }
            ServerCertificate::Files { chain, key } => {
                let identity = FileIdentity::open(&chain.value, &key.value);
                let of_key = |error: &Error| error.file() == Some(key.value.as_path());
                let identity = identity.map_err(|error| {
                    let place = if of_key(&error) { &key.location } else { &chain.location };
                    problem(&error, place)
                })?;
                let identity = Arc::new(identity);
                self.identity = Some(Arc::clone(&identity));
                Ok(identity)
            }
        }
    }

    fn trust(
        &mut self,
        keyring: &Keyring,
        client_ca: &ClientCa,
    ) -> Result<ClientTrust, Box<Problem>> {
        let trust = match client_ca {
            ClientCa::Label(label) => {
                let trust = keyring.label(label.value.as_str()).and_then(ClientTrust::new);
                trust.map_err(|error| problem(&error, &label.location))?
            }
            ClientCa::File(file) => {
                let anchors = FileAnchors::open(&file.value);
                let anchors = anchors.map_err(|error| problem(&error, &file.location))?;
                let anchors = Arc::new(anchors);
                self.anchors = Some(Arc::clone(&anchors));
                ClientTrust::of_file(anchors)
            }
        };
        // Callers may show an API key or a token instead.
        Ok(trust.optional())
    }

    /// Reads the files again, and says in the log what changed or was refused. What was refused leaves what serves.
    pub fn refresh(&self) {
        let told = |what: &str, result: Option<Result<bool>>| match result {
            Some(Ok(true)) => log::info!("{what} was read again and serves"),
            Some(Err(error)) => log::warn!("{what} stays as it was: {error}"),
            Some(Ok(false)) | None => {}
        };
        told("the server certificate", self.identity.as_ref().map(|one| one.refresh()));
        told("client_ca", self.anchors.as_ref().map(|one| one.refresh()));
    }

    /// The certificate of files.
    pub(super) const fn identity(&self) -> Option<&Arc<FileIdentity>> {
        self.identity.as_ref()
    }

    /// Whether anything is to be read again.
    pub(super) const fn has_files(&self) -> bool {
        self.identity.is_some() || self.anchors.is_some()
    }
}

fn problem(error: &Error, place: &Location) -> Box<Problem> {
    let found = Problem::error(error.kind().code(), error.message().to_owned());
    let found = match error.help() {
        Some(help) => found.with_help(help.to_owned()),
        None => found,
    };
    Box::new(found.at(place.clone()))
}

fn server_config(
    resolver: Arc<dyn ResolvesServerCert>,
    trust: Option<Arc<ClientTrust>>,
    min_tls: MinTls,
) -> Result<ServerConfig> {
    let versions: &[&SupportedProtocolVersion] = match min_tls {
        MinTls::Tls12 => &[&TLS13, &TLS12],
        MinTls::Tls13 => &[&TLS13],
    };
    let provider = Arc::new(provider::default_provider());
    let builder = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .map_err(|error| Error::new(ErrorKind::Bug, "TLS versions").with_source(error))?;
    let mut config = match trust {
        Some(trust) => builder.with_client_cert_verifier(trust),
        None => builder.with_no_client_auth(),
    }
    .with_cert_resolver(resolver);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // A session that is resumed shows the client certificate of its first handshake: anchors that were taken away
    // since would count.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// What is wrong with the certificates of `[service]`.
pub(super) fn check(config: &Config, clock: &Clock) -> Vec<Problem> {
    let mut problems = Vec::new();
    if let Some(ServerCertificate::Files { chain, key }) = &config.service.certificate {
        match FileIdentity::open(&chain.value, &key.value) {
            Ok(identity) => {
                let days = &config.policy.expiry_warn_days;
                problems.extend(expiry(&identity, days, clock.now(), &chain.location));
            }
            Err(error) => problems.push(*problem(&error, &chain.location)),
        }
    }
    if let Some(ClientCa::File(file)) = &config.service.client_ca
        && let Err(error) = FileAnchors::open(&file.value)
    {
        problems.push(*problem(&error, &file.location));
    }
    problems.extend(unasked(config));
    if let Some(ServerCertificate::Label(named)) = &config.service.certificate {
        problems.extend(check_label(config, named, LabelUse::Mtls));
    }
    if let Some(ClientCa::Label(named)) = &config.service.client_ca {
        problems.extend(check_label(config, named, LabelUse::Trust));
    }
    problems
}

/// What is wrong with the labels of `[service]`.
pub(super) fn check_labels(keyring: &Keyring) -> Vec<Problem> {
    let config = keyring.config();
    let (service, mut tls) = (&config.service, Tls::default());
    let certificate = match &service.certificate {
        Some(label @ ServerCertificate::Label(_)) => tls.resolver(keyring, label).err(),
        _ => None,
    };
    let client_ca = match &service.client_ca {
        Some(label @ ClientCa::Label(_)) => tls.trust(keyring, label).err(),
        _ => None,
    };
    certificate.into_iter().chain(client_ca).map(|problem| *problem).collect()
}

/// Who shows a certificate where none is asked for.
fn unasked(config: &Config) -> Option<Problem> {
    let by_certificate = |caller: &&Caller| matches!(caller.credential, Credential::Certificate(_));
    let caller = config.access.callers().iter().find(by_certificate)?;
    if config.service.client_ca.is_some() {
        return None;
    }
    let text = format!("nobody is asked for a certificate, by which \"{}\" is known", caller.name);
    let help = "add client_ca = { file = \"ca.pem\" }, or { label = \"…\" }, to [service]";
    Some(Problem::warning("missing_client_ca", text).with_help(help))
}

/// What is wrong with a label that is named for a use, as far as the configuration tells.
fn check_label(config: &Config, named: &Placed<LabelName>, needed: LabelUse) -> Option<Problem> {
    let label = &named.value;
    let declared = config.labels.get(label).and_then(|one| one.value.uses.as_ref());
    let spec = catalogue::find(label).map(|found| found.spec);
    let is_for_it = match (declared, spec) {
        (Some(uses), _) => uses.value.contains(&needed),
        (None, Some(spec)) => spec.uses.contains(&needed),
        // A label without a use is told where it is mapped.
        (None, None) => true,
    };
    let mut mapped = config.stores.iter().flat_map(|store| &store.mappings);
    // Kinds whose file names are labels have no mappings.
    let by_name = config.stores.iter().any(|store| store.mappings.is_empty());
    let problem = if !is_for_it {
        let text = format!("label \"{label}\" is not for {}", needed.name());
        let help = format!("a label of your own: [labels.\"…\"] use = \"{}\"", needed.name());
        Problem::error("wrong_use", text).with_help(help)
    } else if !by_name && !mapped.any(|one| one.label.value == *label) {
        Problem::error("unknown_label", format!("nothing is mapped to label \"{label}\""))
            .with_help("map it in a keystore, or name files")
    } else {
        return None;
    };
    Some(problem.at(named.location.clone()))
}

fn expiry(
    identity: &FileIdentity,
    days: &[u32],
    now: SystemTime,
    place: &Location,
) -> Option<Problem> {
    let end = u64::try_from(identity.not_after().ok()?).ok()?;
    let end = from_unix(end);
    let found = match end.duration_since(now) {
        Err(_) => Problem::error("certificate_expired", "the server certificate has expired"),
        Ok(left) if days.iter().any(|days| left.as_secs() < u64::from(*days) * 86_400) => {
            let text = format!("the server certificate expires in {}", spoken(left));
            Problem::warning("certificate_expires", text)
        }
        Ok(_) => return None,
    };
    Some(found.with_help("renew it and replace the files; no restart is needed").at(place.clone()))
}
