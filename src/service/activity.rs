//! What a connection does now, and when it has been silent for too long.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::Limits;
use super::listen::Stream;
use super::signal::Signal;
use crate::clock::coarse_millis;

/// Of one connection. Times are milliseconds since it was made, plus one: 0 is never.
#[derive(Debug)]
pub(super) struct Activity {
    start: Instant,
    start_millis: u64,
    header_timeout: Duration,
    idle_timeout: Duration,
    /// When hands were shaken: requests may come.
    ready: AtomicU64,
    /// Requests that are worked on.
    running: AtomicUsize,
    /// When the last request was answered.
    answered: AtomicU64,
    /// Until when its client read the answer fast enough.
    read: AtomicU64,
    /// When the first byte after that came: a head has begun.
    head: AtomicU64,
    /// HTTP/2 sends frames that are no requests: its heads are not told apart.
    multiplexed: AtomicBool,
    /// The service ends: the next answer is the last.
    leaves: AtomicBool,
    /// Another connection needs its place.
    gives_up: Signal,
}

impl Activity {
    /// Of a connection that has just come.
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            start: Instant::now(),
            start_millis: coarse_millis(),
            header_timeout: limits.header_timeout,
            idle_timeout: limits.idle_timeout,
            ready: AtomicU64::new(0),
            running: AtomicUsize::new(0),
            answered: AtomicU64::new(0),
            read: AtomicU64::new(0),
            head: AtomicU64::new(0),
            multiplexed: AtomicBool::new(false),
            leaves: AtomicBool::new(false),
            gives_up: Signal::default(),
        }
    }

    /// Hands were shaken, by TLS or without.
    pub(super) fn shaken(&self, multiplexed: bool) {
        self.multiplexed.store(multiplexed, Ordering::Relaxed);
        self.ready.store(self.now(), Ordering::Relaxed);
    }

    /// Since when nothing was answered and no answer read, in milliseconds of the machine: whatever is no whole request is
    /// silence. `None` while a request is worked on, and of one that gives up its place already.
    pub(super) fn silent_since(&self) -> Option<u64> {
        let busy = self.running.load(Ordering::Relaxed) > 0 || self.gives_up();
        (!busy).then(|| self.start_millis + self.rests_since())
    }

    /// Whether it is of HTTP/1, has been answered and waits for another request.
    pub(super) fn is_between_requests(&self) -> bool {
        self.answered.load(Ordering::Relaxed) > 0
            && self.running.load(Ordering::Relaxed) == 0
            && !self.multiplexed.load(Ordering::Relaxed)
    }

    /// Has the next answer be the last.
    pub(super) fn leave(&self) {
        self.leaves.store(true, Ordering::Relaxed);
    }

    /// Tells the connection to end.
    pub(super) fn give_up(&self) {
        self.gives_up.give();
    }

    /// Whether it was told to.
    pub(super) fn gives_up(&self) -> bool {
        self.gives_up.is_given()
    }

    /// Until that is so.
    pub(super) async fn is_told(&self) {
        self.gives_up.given().await;
    }

    /// A request has come; it runs until the guard is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> Running {
        self.running.fetch_add(1, Ordering::Relaxed);
        Running(Arc::clone(self))
    }

    /// When the connection is to end if nothing happens until then; `None` while a request is worked on.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let at = |millis: u64| self.start + Duration::from_millis(millis);
        if self.running.load(Ordering::Relaxed) > 0 {
            return None;
        }
        let (answered, head) =
            (self.answered.load(Ordering::Relaxed), self.head.load(Ordering::Relaxed));
        if answered == 0 {
            // The first request comes soon, or its client wants nothing from us.
            return Some(at(self.ready.load(Ordering::Relaxed)) + self.header_timeout);
        }
        if head > 0 && !self.multiplexed.load(Ordering::Relaxed) {
            return Some(at(head) + self.header_timeout);
        }
        Some(at(self.rests_since()) + self.idle_timeout)
    }

    /// How long it may be silent between requests.
    pub(super) const fn idle_timeout(&self) -> Duration {
        self.idle_timeout
    }

    fn rests_since(&self) -> u64 {
        self.answered.load(Ordering::Relaxed).max(self.read.load(Ordering::Relaxed))
    }

    fn now(&self) -> u64 {
        coarse_millis().saturating_sub(self.start_millis) + 1
    }

    fn note_read(&self, bytes: &[u8]) {
        let between = self.running.load(Ordering::Relaxed) == 0;
        if bytes.is_empty() || !between || self.head.load(Ordering::Relaxed) > 0 {
            return;
        }
        // RFC 9113 §3.4: the preface, which no request of HTTP/1 begins with.
        if self.answered.load(Ordering::Relaxed) == 0 && bytes.starts_with(b"PRI ") {
            self.multiplexed.store(true, Ordering::Relaxed);
        }
        self.head.store(self.now(), Ordering::Relaxed);
    }

    /// The other end has made room for so many bytes.
    fn note_written(&self, bytes: usize) {
        let earned = u64::try_from(bytes).unwrap_or(u64::MAX).saturating_mul(1_000) / SLOWEST;
        let until = self.rests_since().saturating_add(earned);
        self.read.store(until.min(self.now()), Ordering::Relaxed);
    }
}

/// How many bytes a client has to read for each second in which it does not count as silent.
const SLOWEST: u64 = 4 << 10;

/// A request that runs.
#[derive(Debug)]
pub(super) struct Running(Arc<Activity>);

impl Running {
    /// Whether its answer is the last of the connection.
    pub(super) fn is_last(&self) -> bool {
        self.0.leaves.load(Ordering::Relaxed)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.head.store(0, Ordering::Relaxed);
        self.0.answered.store(self.0.now(), Ordering::Relaxed);
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A stream that tells what it reads and writes.
pub(super) struct Watched {
    pub(super) stream: Box<dyn Stream>,
    pub(super) activity: Arc<Activity>,
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        self.activity.note_read(buffer.filled().get(before..).unwrap_or_default());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
        self.activity.note_written(written);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, parts))?;
        self.activity.note_written(written);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered_long_ago() -> Activity {
        let mut activity = Activity::new(&Limits::default());
        activity.start_millis -= 10_000;
        activity.answered.store(1, Ordering::Relaxed);
        activity
    }

    #[test]
    fn who_reads_is_silent_for_as_long_as_it_would_take_to_read_so_little() {
        let activity = answered_long_ago();
        let silent = |activity: &Activity| activity.now() - activity.rests_since();
        assert!(silent(&activity) >= 10_000);
        // What a ping of HTTP/2 is answered with.
        activity.note_written(17);
        assert!(silent(&activity) >= 9_900);
        activity.note_written(20 << 10);
        assert!((4_900..=5_500).contains(&silent(&activity)), "{}", silent(&activity));
        // Nobody saves up for later.
        activity.note_written(1 << 30);
        assert!(silent(&activity) < 500);
        assert!(activity.rests_since() <= activity.now());
    }
}
