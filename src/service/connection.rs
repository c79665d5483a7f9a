//! Connections: accepted, shaken hands with, served until both sides are done.

use std::convert::Infallible;
use std::future::{Future, pending, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Poll, Waker, ready};
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulConnection;
use tokio::sync::watch;
use tokio::time::{Instant, Sleep, sleep, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;

use super::activity::{Activity, Watched};
use super::identity::Peer;
use super::listen::{Listener, PeerAddress, Stream};
use super::places::Place;
use super::tls::ServerTls;
use super::{Service, dispatch, memory};
use crate::tls::Admission;

/// Serves a listener until `stop` is done, then lets requests that run come to their end, for as long as `drain_time`
/// of the limits says. What goes wrong with one connection ends that one.
pub async fn serve(service: Service, listener: Listener, stop: impl Future<Output = ()>) {
    memory::keep();
    let (phase, watched) = watch::channel(Phase::Serving);
    let mut stop = pin!(stop);
    let mut backoff = Backoff::default();
    loop {
        // Who comes while the first of them waits for a place waits in the queue of the socket.
        let next = async {
            let accepted = listener.accept().await?;
            let activity = Arc::new(Activity::new(&service.0.limits));
            let place = service.0.places.take(&activity).await;
            Ok((accepted, activity, place))
        };
        let next = tokio::select! {
            next = next => next,
            () = &mut stop => break,
        };
        match next {
            Ok((accepted, activity, place)) => {
                backoff = Backoff::default();
                let (service, phase) = (service.clone(), watched.clone());
                let tls = listener.tls().cloned();
                tokio::spawn(connection(service, accepted, activity, tls, phase, place));
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                // No descriptors or no memory: they come back as connections end.
                service.0.places.make_room();
                let pause = backoff.next();
                log::error!("{}: no connection is accepted: {error}", listener.shown());
                tokio::select! {
                    () = sleep(pause) => {}
                    () = &mut stop => break,
                }
            }
        }
    }
    // Nobody connects any more; who waits in the queue is refused.
    drop((listener, watched));
    phase.send_replace(Phase::Draining);
    let limit = service.0.limits.drain_time;
    if timeout(limit, phase.closed()).await.is_err() {
        log::warn!("{} connections are cut off: drain_time is over", phase.receiver_count());
        phase.send_replace(Phase::Over);
        phase.closed().await;
    }
}

/// Where the listener is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    Serving,
    /// Each connection ends after the requests that it has.
    Draining,
    /// Each connection ends.
    Over,
}

/// Pauses between tries that failed.
#[derive(Debug, Default)]
struct Backoff(u32);

impl Backoff {
    fn next(&mut self) -> Duration {
        self.0 = (self.0 + 1).min(5);
        Duration::from_millis(25 << self.0)
    }
}

/// accept(2): what the network did to a connection before we took it.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::ConnectionAborted
            | Kind::ConnectionReset
            | Kind::Interrupted
            | Kind::HostUnreachable
            | Kind::NetworkDown
            | Kind::NetworkUnreachable
            | Kind::PermissionDenied
    )
}

/// One connection, from the handshake to its end; it holds its place.
async fn connection(
    service: Service,
    accepted: (Box<dyn Stream>, PeerAddress),
    activity: Arc<Activity>,
    tls: Option<ServerTls>,
    mut phase: watch::Receiver<Phase>,
    _place: Option<Place>,
) {
    let limits = &service.0.limits;
    let hands = timeout(limits.handshake_timeout, shake_hands(accepted, tls));
    let (stream, peer, version) = tokio::select! {
        hands = hands => match hands {
            Ok(Some(found)) => found,
            _ => return,
        },
        // Nothing has been asked yet.
        _ = phase.changed() => return,
        () = activity.is_told() => return,
    };
    let peer = Arc::new(peer);
    activity.shaken(version == Version::Http2);
    let http = http(version);
    let answer = {
        let (service, activity) = (service.clone(), Arc::clone(&activity));
        let peer = Arc::clone(&peer);
        service_fn(move |request: Request<Incoming>| {
            let (service, peer) = (service.clone(), Arc::clone(&peer));
            let running = activity.begin();
            let says_so = request.version() < hyper::Version::HTTP_2;
            async move {
                let mut answer = dispatch::answer(&service, &peer, request).await;
                if says_so && running.is_last() {
                    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                drop(running);
                Ok::<_, Infallible>(answer)
            }
        })
    };
    let stream = TokioIo::new(Watched { stream, activity: Arc::clone(&activity) });
    let mut served = pin!(http.serve_connection(stream, answer));
    let mut patience = Patience::new(&activity, limits.header_timeout);
    let (mut certificate_counts, mut keeps_its_place) = (true, true);
    let mut last_request = LastRequest::default();
    let glance = phase.clone();
    loop {
        let next = patience.watch(served.as_mut());
        let ends = seldom(peer.ends(), || peer.counts_no_more());
        let told = seldom(activity.is_told(), || activity.gives_up());
        // An error: the other side is gone.
        let changed = seldom(phase.changed(), || glance.has_changed().unwrap_or(true));
        tokio::select! {
            biased;
            () = next => return,
            () = ends, if certificate_counts => {
                certificate_counts = false;
                served.as_mut().graceful_shutdown();
            }
            () = told, if keeps_its_place => {
                keeps_its_place = false;
                served.as_mut().graceful_shutdown();
                // A goodbye that goes out at once goes out; a request that came meanwhile is answered.
                let over = poll_fn(|cx| Poll::Ready(served.as_mut().poll(cx).is_ready())).await;
                if over || activity.deadline().is_some() {
                    return;
                }
            }
            () = last_request.over(), if last_request.is_awaited() => {
                last_request = LastRequest::default();
                served.as_mut().graceful_shutdown();
            }
            changed = changed => match (changed, *phase.borrow_and_update()) {
                (Ok(()), Phase::Draining) if activity.is_between_requests() => {
                    activity.leave();
                    last_request = LastRequest::awaited();
                }
                (Ok(()), Phase::Draining) => served.as_mut().graceful_shutdown(),
                (Ok(()), Phase::Serving) => {}
                _ => return,
            },
        }
    }
}

/// Polls a future the first time, and then when `stirred` says that it has something to tell: a connection is polled for
/// every byte that comes.
async fn seldom<F: Future>(future: F, stirred: impl Fn() -> bool) -> F::Output {
    let mut future = pin!(future);
    let mut waker: Option<Waker> = None;
    poll_fn(|cx| {
        let waits = waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()));
        if waits && !stirred() {
            return Poll::Pending;
        }
        waker = Some(cx.waker().clone());
        future.as_mut().poll(cx)
    })
    .await
}

/// How long a connection may still be silent.
struct Patience<'a> {
    activity: &'a Activity,
    /// How long a goodbye may take.
    last_words: Duration,
    alarm: Pin<Box<Sleep>>,
    /// Who is woken by it.
    waker: Option<Waker>,
    said_goodbye: bool,
}

impl<'a> Patience<'a> {
    fn new(activity: &'a Activity, last_words: Duration) -> Self {
        let deadline =
            activity.deadline().unwrap_or_else(|| Instant::now() + activity.idle_timeout());
        let alarm = Box::pin(sleep_until(deadline));
        Self { activity, last_words, alarm, waker: None, said_goodbye: false }
    }

    fn set(&mut self, alarm: Instant) {
        self.alarm.as_mut().reset(alarm);
        self.waker = None;
    }

    /// Serves until the connection ends by itself, or has been silent for too long: then it is told goodbye, and a
    /// little later cut off, since its client may read nothing.
    async fn watch<C: GracefulConnection>(&mut self, mut served: Pin<&mut C>) {
        poll_fn(|cx| {
            loop {
                // Who breaks off has been answered as far as it wanted to be.
                if served.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(());
                }
                let deadline = self.activity.deadline();
                // An alarm that is too early is put off when it goes off: that is rare, requests are not.
                let earlier =
                    deadline.filter(|at| !self.said_goodbye && *at < self.alarm.deadline());
                if let Some(deadline) = earlier {
                    self.set(deadline);
                }
                let waits = self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()));
                if waits && !self.alarm.is_elapsed() {
                    return Poll::Pending;
                }
                self.waker = Some(cx.waker().clone());
                ready!(self.alarm.as_mut().poll(cx));
                let now = Instant::now();
                if self.said_goodbye {
                    return Poll::Ready(());
                }
                let deadline = deadline.unwrap_or_else(|| now + self.activity.idle_timeout());
                if deadline > now {
                    self.set(deadline);
                } else {
                    self.said_goodbye = true;
                    self.set(now + self.last_words);
                    served.as_mut().graceful_shutdown();
                }
            }
        })
        .await;
    }
}

/// The request that may be on its way on a connection of HTTP/1 that rests when the service ends: closed at once, it would
/// be answered with nothing. HTTP/2 tells its clients up to which request it answers.
#[derive(Debug, Default)]
struct LastRequest(Option<Pin<Box<Sleep>>>);

/// More than a request needs from a client that asks one after the other.
const ON_ITS_WAY: Duration = Duration::from_millis(300);

impl LastRequest {
    fn awaited() -> Self {
        Self(Some(Box::pin(sleep(ON_ITS_WAY))))
    }

    const fn is_awaited(&self) -> bool {
        self.0.is_some()
    }

    /// Until it does not come any more.
    async fn over(&mut self) {
        match &mut self.0 {
            Some(over) => over.await,
            None => pending().await,
        }
    }
}

/// What is spoken on a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Version {
    Http1,
    Http2,
    /// The first bytes will tell (RFC 9113 §3.3).
    Unknown,
}

async fn shake_hands(
    (stream, address): (Box<dyn Stream>, PeerAddress),
    tls: Option<ServerTls>,
) -> Option<(Box<dyn Stream>, Peer, Version)> {
    let Some(ServerTls { config, client_trust }) = tls else {
        return Some((stream, Peer::new(address, None, None), Version::Unknown));
    };
    let admission = client_trust.map(Admission::begin);
    let stream = match TlsAcceptor::from(config).accept(stream).await {
        Ok(stream) => stream,
        Err(error) => {
            log::debug!("a TLS handshake failed: {error}");
            return None;
        }
    };
    let session = stream.get_ref().1;
    let chain = session.peer_certificates().unwrap_or_default();
    let leaf = chain.first().map(|leaf| leaf.as_ref());
    let peer = Peer::new(address, leaf, admission.map(|one| one.of(chain)));
    let version = match session.alpn_protocol() {
        Some(b"h2") => Version::Http2,
        _ => Version::Http1,
    };
    Some((Box::new(stream), peer, version))
}

/// Requests of one HTTP/2 connection that run at once.
const STREAMS: u32 = 128;
/// Bytes of the head of a request. Each connection may have as many before anybody is known: ten thousand of them are to
/// leave room.
const HEAD: usize = 16 << 10;

fn http(version: Version) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    // Silence is told by `Activity`: hyper's own timer counts the time between requests as well.
    builder.http1().timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(HEAD);
    // A client that opens streams and resets them is cut off by hyper's own bounds (CVE-2023-44487).
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(u32::try_from(HEAD).unwrap_or(u32::MAX));
    match version {
        Version::Http1 => builder.http1_only(),
        Version::Http2 => builder.http2_only(),
        Version::Unknown => builder,
    }
}
