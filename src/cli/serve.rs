//! `serve`: labels over HTTPS.

use std::time::Duration;

use claviger::config::{Listen, ServiceSettings};
use claviger::error::{Error, ErrorKind, Result};
use claviger::keyring::Keyring;
use claviger::service::{Audit, Inherited, Listener, Service, Tls, run as run_service};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
use tokio::runtime::Runtime;

use super::{Context, Outcome, log_lines};

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "[service] of the configuration names addresses, certificates and limits, \
                  [service.audit] where audit lines go. Sockets that systemd passes (LISTEN_FDS) take the place \
                  of its addresses.\nSIGTERM and SIGINT let requests that run \
                  end within drain_time; a second one ends at once. SIGHUP reads configuration, stores and \
                  certificates again.\n\nExamples:\n  claviger serve\n  \
                  claviger serve --listen 127.0.0.1:8080 --plain-http\n  \
                  claviger serve --listen 0.0.0.0:443 --listen '[::]:443'")]
pub(crate) struct Args {
    /// Where to listen, in the place of `listen`: IP:PORT or unix:PATH; may be repeated
    #[arg(long, value_name = "ADDRESS")]
    listen: Vec<String>,
    /// Speak plain HTTP there; loopback and Unix sockets alone
    #[arg(long, requires = "listen")]
    plain_http: bool,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    // While there is one thread: the environment is changed.
    let inherited = Listener::inherited()?;
    log_lines::start(context);
    for refused in &context.unhardened {
        log::warn!("{refused}");
    }
    let keyring = Keyring::open(&context.config)?;
    for problem in &*keyring.warnings() {
        log::warn!("{problem}");
    }
    let config = keyring.config();
    let settings = settings(&config.service, args)?;
    if config.access.callers().is_empty() {
        log::warn!("nobody may call: [[callers]] and [[grants]] say who may do what");
    }
    raise_open_files(settings.limits.max_connections);
    // Until everything is answered: then the last spans are sent.
    #[cfg(feature = "otel")]
    let _exporting = claviger::service::Exporting::from_environment()?;
    let tls = Tls::new(&keyring, &settings)?;
    let clock = || context.clock.clone();
    let audit = Audit::of(&config, clock())?;
    let service = Service::audited(keyring, clock(), settings.limits.clone(), audit);
    let runtime = Runtime::new().map_err(|error| {
        Error::new(ErrorKind::Io, "no threads to serve with").with_source(error)
    })?;
    let listeners = {
        let _inside = runtime.enter();
        listeners(&settings, inherited, &tls)?
    };
    runtime.block_on(run_service(service, listeners, tls))?;
    // What is still computed belongs to connections that were cut off.
    runtime.shutdown_timeout(Duration::from_secs(1));
    Ok(Outcome::new(json!({ "stopped": true }), ""))
}

fn settings(configured: &ServiceSettings, args: &Args) -> Result<ServiceSettings> {
    let mut settings = configured.clone();
    if !args.listen.is_empty() {
        let plain_http = args.plain_http;
        let listen = |text: &String| Ok(Listen { address: text.parse()?, plain_http });
        settings.listen = args.listen.iter().map(listen).collect::<Result<_>>()?;
    }
    Ok(settings)
}

fn listeners(
    settings: &ServiceSettings,
    inherited: Vec<Inherited>,
    tls: &Tls,
) -> Result<Vec<Listener>> {
    if inherited.is_empty() {
        let bound = settings.listen.iter();
        return bound.map(|listen| Listener::bind(listen, tls.server.clone())).collect();
    }
    let adopted = inherited.into_iter();
    adopted.map(|socket| Listener::adopt(socket, &settings.listen, tls.server.clone())).collect()
}

/// Every connection is an open file, besides some for stores and journal.
fn raise_open_files(max_connections: usize) {
    let wanted = u64::try_from(max_connections).unwrap_or(u64::MAX).saturating_add(256);
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(u64::MAX);
    if limit.current.is_none_or(|current| current >= wanted) {
        return;
    }
    let raised = Rlimit { current: Some(wanted.min(most)), maximum: limit.maximum };
    if setrlimit(Resource::Nofile, raised).is_err() || most < wanted {
        log::warn!(
            "only {most} files may be open, and {max_connections} connections need {wanted}: raise LimitNOFILE= or \
             `ulimit -n`, or lower max_connections"
        );
    }
}
