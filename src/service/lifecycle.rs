//! The life of the service: it serves, reloads on SIGHUP, and ends on SIGTERM or SIGINT once its requests are answered.

use std::future::{Future, pending, poll_fn};
use std::task::Poll;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::listen::Listener;
use super::tls::Tls;
use super::{Service, connection, systemd};
use crate::error::{Error, ErrorKind, Result};
use crate::keyring::{Keyring, ReloadEvent};
use crate::label::Alias;

/// How often files are compared with what serves.
const LOOK: Duration = Duration::from_secs(5);

/// Serves `listeners` until SIGTERM or SIGINT, then lets requests that run end within `drain_time`; a second signal
/// ends at once. SIGHUP reads configuration, stores and certificates again. What happens is told in the log and to
/// systemd.
///
/// # Errors
/// [`ErrorKind::Io`] if the system takes no signal handlers.
pub async fn run(service: Service, listeners: Vec<Listener>, tls: Tls) -> Result<()> {
    let mut stop = Signals::new(&[SignalKind::terminate(), SignalKind::interrupt()])?;
    let hangup = Signals::new(&[SignalKind::hangup()])?;
    tell_reloads(service.keyring());
    service.show_certificate_of(&tls);
    let (stopping, stopped) = watch::channel(false);
    let mut serving = JoinSet::new();
    for listener in listeners {
        log::info!("listening: {}", listener.shown());
        let mut stopped = stopped.clone();
        let until = async move { drop(stopped.wait_for(|stop| *stop).await) };
        serving.spawn(connection::serve(service.clone(), listener, until));
    }
    systemd::ready();
    let beats = tokio::spawn(signs_of_life());
    let looks = tokio::spawn(look(service.keyring().clone(), tls.clone()));
    let reloads = tokio::spawn(reload_at(hangup, service.keyring().clone(), tls));
    stop.next().await;
    log::info!("stopping: requests that run are answered first");
    looks.abort();
    reloads.abort();
    drop(reloads.await);
    systemd::stopping();
    stopping.send_replace(true);
    tokio::select! {
        () = async { while serving.join_next().await.is_some() {} } => log::info!("stopped"),
        () = stop.next() => log::warn!("stopped at once: told twice"),
    }
    beats.abort();
    Ok(())
}

/// Some signals.
struct Signals(Vec<Signal>);

impl Signals {
    fn new(kinds: &[SignalKind]) -> Result<Self> {
        let taken: Result<Vec<Signal>, _> = kinds.iter().map(|kind| signal(*kind)).collect();
        taken.map(Self).map_err(|error| {
            Error::new(ErrorKind::Io, "signals cannot be handled").with_source(error)
        })
    }

    /// Until one of them comes.
    fn next(&mut self) -> impl Future<Output = ()> {
        poll_fn(|cx| {
            // Each is polled, so that each wakes us.
            let came: Vec<bool> =
                self.0.iter_mut().map(|one| one.poll_recv(cx).is_ready()).collect();
            if came.contains(&true) { Poll::Ready(()) } else { Poll::Pending }
        })
    }
}

/// Reads everything again at each of these signals; requests go on meanwhile, and the end waits for none of it.
async fn reload_at(mut hangup: Signals, keyring: Keyring, tls: Tls) {
    loop {
        hangup.next().await;
        systemd::reloading();
        let (keyring, tls) = (keyring.clone(), tls.clone());
        let work = tokio::task::spawn_blocking(move || {
            tls.refresh();
            // What came of it is told by the listener of reloads.
            drop(keyring.reload());
        });
        drop(work.await);
        systemd::ready();
    }
}

/// Says in the log what each reload changed.
fn tell_reloads(keyring: &Keyring) {
    keyring.on_reload(|event| {
        let ReloadEvent::Taken { diff, .. } = event else { return };
        for one in &diff.labels {
            let realm = one.realm.as_ref().map(|realm| format!(" in realm \"{realm}\""));
            let (label, realm) = (&one.label, realm.unwrap_or_default());
            let (before, after) = (acting(&one.active_before), acting(&one.active_after));
            if one.keeps_active() {
                log::info!("label \"{label}\"{realm}: {after} acts on, other aliases changed");
            } else {
                log::info!("label \"{label}\"{realm}: {after} acts, before it {before}");
            }
        }
    });
}

fn acting(alias: &Option<Alias>) -> String {
    alias.as_ref().map_or_else(|| "no alias".to_owned(), |alias| format!("\"{alias}\""))
}

/// Follows the files of certificates, and says so if `[service]` changes, which only a restart takes.
async fn look(keyring: Keyring, tls: Tls) {
    let mut serves = keyring.config().service.clone();
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        let config = keyring.config();
        // These are taken at once.
        serves.rate_limits = config.service.rate_limits;
        if config.service != serves {
            log::warn!(
                "[service] has changed: listeners and limits are those of the start until a restart"
            );
            serves.clone_from(&config.service);
        }
        if tls.has_files() {
            let tls = tls.clone();
            drop(tokio::task::spawn_blocking(move || tls.refresh()).await);
        }
    }
}

/// Beats as long as the runtime gets round to it.
async fn signs_of_life() {
    let Some(pause) = systemd::watchdog() else { return pending().await };
    let mut beats = interval(pause);
    loop {
        beats.tick().await;
        systemd::alive();
    }
}
