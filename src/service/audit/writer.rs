//! The thread that writes audit lines, and the queue before it.
//!
//! ```text
//! a use ─► offered ──┐                                  ┌─► lost, if the queue is full
//!                    ├─► queue (bounded) ─► thread: whole lines, one write for all that wait; fsync for changes;
//!                    │                              a pause in which more may come, unless somebody waits
//! a change ─► put ───┘◄── written, or not ──────────────┘
//! ```

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::file::AuditFile;
use crate::clock::Clock;
use crate::config::AuditTarget;
use crate::error::{Error, ErrorKind, Result};

/// Lines that wait: some megabytes at most.
const QUEUE: usize = 8_192;
/// Places that are kept for lines somebody waits for.
const RESERVE: usize = 1_024;
/// What is written at once; no more than the smallest file may hold.
const BATCH_LINES: usize = 256;
const BATCH_BYTES: usize = 32 << 10;
/// How long lines that nobody waits for are gathered after a write. Without it a busy service would wake the thread, and
/// whoever watches the folder of its file, for each of them.
const GATHER: Duration = Duration::from_millis(2);
/// How long somebody waits for a line: a reader of standard output may have stopped reading.
const PATIENCE: Duration = Duration::from_secs(5);
/// Before a pipe is tried again that takes nothing now.
const PAUSE: Duration = Duration::from_millis(5);

/// The end of the queue where lines are handed over.
#[derive(Debug)]
pub(super) struct Writer {
    /// `None` while it is dropped.
    queue: Option<mpsc::Sender<Entry>>,
    thread: JoinHandle<()>,
    pub(super) figures: Arc<Figures>,
}

/// What became of lines.
#[derive(Debug, Default)]
pub(super) struct Figures {
    written: AtomicU64,
    lost: AtomicU64,
    failing: AtomicBool,
}

impl Figures {
    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Whether the last lines could not be written.
    pub(super) fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    fn lose(&self, lines: usize) {
        self.lost.fetch_add(u64::try_from(lines).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

/// The line was not written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Unwritten;

/// A line, with its end.
#[derive(Debug)]
struct Entry {
    line: Vec<u8>,
    care: Care,
    /// Who waits for it.
    done: Option<oneshot::Sender<()>>,
}

/// What has to be so before a line counts as written.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Care {
    /// The system has it: it outlives this process.
    Written,
    /// It is on disk.
    OnDisk,
    /// There is room for the line that follows it, too.
    WithRoom,
}

/// For lines that follow.
const ROOM: u64 = 16 << 10;

impl Writer {
    /// Opens the target and starts the thread.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if the file cannot be opened or there is no thread.
    pub(super) fn start(target: &AuditTarget, clock: Clock) -> Result<Self> {
        Self::gathering(target, clock, GATHER)
    }

    fn gathering(target: &AuditTarget, clock: Clock, pause: Duration) -> Result<Self> {
        let (mut sink, named) = Sink::open(target)?;
        let (queue, mut entries) = mpsc::channel(QUEUE);
        let figures = Arc::<Figures>::default();
        let seen = Arc::clone(&figures);
        let work = move || {
            let mut batch: Vec<Entry> = Vec::with_capacity(BATCH_LINES);
            while entries.blocking_recv_many(&mut batch, BATCH_LINES) > 0 {
                let is_idle =
                    batch.len() < BATCH_LINES && batch.iter().all(|one| one.done.is_none());
                write(&mut sink, &mut batch, &clock, &seen, &named);
                if is_idle {
                    std::thread::park_timeout(pause);
                }
            }
        };
        let thread = std::thread::Builder::new().name("audit".into()).spawn(work);
        let thread = thread.map_err(|error| {
            Error::new(ErrorKind::Io, "no thread to write audit lines with").with_source(error)
        })?;
        Ok(Self { queue: Some(queue), thread, figures })
    }

    /// Hands a line over that nobody waits for; it is lost if too many wait already.
    pub(super) fn offer(&self, line: Vec<u8>) {
        let entry = Entry { line, care: Care::Written, done: None };
        let queue = self.queue.as_ref().filter(|queue| queue.capacity() > RESERVE);
        if queue.is_none_or(|queue| queue.try_send(entry).is_err()) {
            self.figures.lose(1);
        }
    }

    /// Hands a line over and waits until it is written. It is in the queue before this is polled a second time, if there
    /// is a place.
    pub(super) async fn put(&self, line: Vec<u8>, care: Care) -> Result<(), Unwritten> {
        let (done, written) = oneshot::channel();
        let entry = Entry { line, care, done: Some(done) };
        let handed_over = async {
            let queue = self.queue.as_ref().ok_or(Unwritten)?;
            match queue.try_send(entry) {
                Ok(()) => {}
                Err(mpsc::error::TrySendError::Full(entry)) => {
                    queue.send(entry).await.map_err(|_| Unwritten)?;
                }
                Err(mpsc::error::TrySendError::Closed(_)) => return Err(Unwritten),
            }
            // It may be gathering.
            self.thread.thread().unpark();
            written.await.map_err(|_| Unwritten)
        };
        timeout(PATIENCE, handed_over).await.unwrap_or(Err(Unwritten))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.queue.take());
        self.thread.thread().unpark();
        // What waits is written, if it can be.
        let mut left = PATIENCE.as_millis() / PAUSE.as_millis();
        while !self.thread.is_finished() && left > 0 {
            left -= 1;
            std::thread::sleep(PAUSE);
        }
    }
}

/// Writes everything of a batch, in portions.
fn write(sink: &mut Sink, batch: &mut Vec<Entry>, clock: &Clock, figures: &Figures, named: &str) {
    let mut waiting = std::mem::take(batch).into_iter().peekable();
    let mut lines = Vec::with_capacity(BATCH_BYTES);
    while waiting.peek().is_some() {
        lines.clear();
        let mut portion = Vec::new();
        let fits = |lines: &Vec<u8>, entry: &Entry| {
            lines.is_empty() || lines.len() + entry.line.len() <= BATCH_BYTES
        };
        while let Some(entry) = waiting.next_if(|entry| fits(&lines, entry)) {
            // Who gave up has refused the operation: a line would say otherwise.
            if entry.done.as_ref().is_some_and(oneshot::Sender::is_closed) {
                figures.lose(1);
                continue;
            }
            lines.extend_from_slice(&entry.line);
            portion.push(entry);
        }
        if portion.is_empty() {
            continue;
        }
        let care = portion.iter().map(|entry| entry.care).max().unwrap_or(Care::Written);
        let room = if care == Care::WithRoom { ROOM } else { 0 };
        let written = sink.append(&lines, clock.now(), room);
        let written =
            written.and_then(|()| if care > Care::Written { sink.sync() } else { Ok(()) });
        tell(written, portion, figures, named);
    }
}

/// Tells those who wait, and the log when it begins and ends to fail.
fn tell(written: io::Result<()>, portion: Vec<Entry>, figures: &Figures, named: &str) {
    let failed = figures.failing.swap(written.is_err(), Ordering::Relaxed);
    match written {
        Ok(()) => {
            let many = u64::try_from(portion.len()).unwrap_or_default();
            figures.written.fetch_add(many, Ordering::Relaxed);
            if failed {
                let lost = figures.lost();
                log::warn!("audit lines are written again to {named}; {lost} were lost so far");
            }
            for done in portion.into_iter().filter_map(|entry| entry.done) {
                let _ = done.send(());
            }
        }
        Err(error) => {
            figures.lose(portion.len());
            if !failed {
                log::error!("audit lines cannot be written to {named}: {error}");
            }
        }
    }
}

/// Where lines go.
enum Sink {
    File(AuditFile),
    Stdout {
        file: File,
        /// A line was cut short.
        torn: bool,
    },
}

impl Sink {
    fn open(target: &AuditTarget) -> Result<(Self, String)> {
        match target {
            AuditTarget::File { path, rotation } => {
                let path = &path.value;
                let opened = AuditFile::open(path, *rotation).map_err(|error| {
                    let text = format!("the audit file cannot be opened: {error}");
                    Error::new(ErrorKind::Io, text).with_file(path).with_help(
                        "`to` of [service.audit] names a file in a folder that the service may write to",
                    )
                })?;
                Ok((Self::File(opened), path.display().to_string()))
            }
            AuditTarget::Stdout => {
                let owned = io::stdout().as_fd().try_clone_to_owned().map_err(|error| {
                    Error::new(ErrorKind::Io, "there is no standard output").with_source(error)
                })?;
                Ok((Self::Stdout { file: owned.into(), torn: false }, "standard output".into()))
            }
        }
    }

    fn append(&mut self, lines: &[u8], now: SystemTime, room: u64) -> io::Result<()> {
        match self {
            Self::File(file) => file.append(lines, now, room),
            Self::Stdout { file, torn } => {
                if *torn {
                    write_all(file, b"\n")?;
                }
                *torn = true;
                write_all(file, lines)?;
                *torn = false;
                Ok(())
            }
        }
    }

    fn sync(&self) -> io::Result<()> {
        match self {
            Self::File(file) => file.sync(),
            // Whoever reads it keeps it.
            Self::Stdout { .. } => Ok(()),
        }
    }
}

/// As `Write::write_all`, also to a pipe that another process made non-blocking.
fn write_all(file: &mut File, mut bytes: &[u8]) -> io::Result<()> {
    let mut left = PATIENCE.as_millis() / PAUSE.as_millis();
    while !bytes.is_empty() {
        match file.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(done) => bytes = bytes.get(done..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && left > 0 => {
                left -= 1;
                std::thread::sleep(PAUSE);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{AuditRotation, Placed};
    use crate::problem::Location;

    /// What is offered is written at once after a rest; who waits, and the end, are not kept by the pause after it.
    #[tokio::test]
    async fn nobody_waits_for_lines_to_be_gathered() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        let location = Location { file: path.clone(), line: 1, column: 1, span: 0..0 };
        let path_of = Placed { value: path.clone(), location };
        let target = AuditTarget::File { path: path_of, rotation: AuditRotation::default() };
        let writer =
            Writer::gathering(&target, Clock::system(), Duration::from_secs(3_600)).unwrap();
        let line = |text: &str| format!("{{\"n\":\"{text}\"}}\n").into_bytes();
        let text = || std::fs::read_to_string(&path).unwrap();
        writer.offer(line("first"));
        while writer.figures.written() < 1 {
            tokio::task::yield_now().await;
        }
        for round in 0..50 {
            writer.offer(line("gathered"));
            assert_eq!(writer.put(line("awaited"), Care::Written).await, Ok(()));
            assert_eq!(writer.figures.written(), 3 + 2 * round);
            assert!(text().ends_with("{\"n\":\"awaited\"}\n"));
        }
        writer.offer(line("last"));
        let figures = Arc::clone(&writer.figures);
        drop(writer);
        assert_eq!(figures.written(), 102);
        assert!(text().ends_with("{\"n\":\"last\"}\n"));
    }
}
