//! HTTP over a Unix socket, for services that listen beside the program.

use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, socket_with};
use ureq::Error;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport,
};

/// Connects to one socket, whatever the URL says.
#[derive(Debug)]
pub(super) struct UnixConnector(PathBuf);

impl UnixConnector {
    pub(super) const fn new(path: PathBuf) -> Self {
        Self(path)
    }
}

impl<In: Transport> Connector<In> for UnixConnector {
    type Out = UnixTransport;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        _: Option<In>,
    ) -> Result<Option<UnixTransport>, Error> {
        let stream = connect(&self.0, details.timeout)?;
        let (input, output) =
            (details.config.input_buffer_size(), details.config.output_buffer_size());
        Ok(Some(UnixTransport { stream, buffers: LazyBuffers::new(input, output) }))
    }
}

/// A service that takes no connections, with as many waiting as it lets wait, keeps one more waiting for ever: the
/// timeout of writes bounds that as well (unix(7)).
fn connect(path: &Path, timeout: NextTimeout) -> Result<UnixStream, Error> {
    let io = |error: rustix::io::Errno| match error {
        rustix::io::Errno::AGAIN => Error::Timeout(timeout.reason),
        error => Error::Io(error.into()),
    };
    let (kind, flags) = (SocketType::STREAM, SocketFlags::CLOEXEC);
    let socket = socket_with(AddressFamily::UNIX, kind, flags, None).map_err(io)?;
    let patience = timeout.not_zero().map(|time| *time);
    set_socket_timeout(&socket, Timeout::Send, patience).map_err(io)?;
    let address = SocketAddrUnix::new(path).map_err(io)?;
    rustix::net::connect(&socket, &address).map_err(io)?;
    Ok(socket.into())
}

/// One connection.
pub(super) struct UnixTransport {
    stream: UnixStream,
    buffers: LazyBuffers,
}

/// What is over its time looks like a socket that has nothing.
fn timed_out(error: std::io::Error, timeout: NextTimeout) -> Error {
    match error.kind() {
        ErrorKind::TimedOut | ErrorKind::WouldBlock => Error::Timeout(timeout.reason),
        _ => Error::Io(error),
    }
}

impl Transport for UnixTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.stream.set_write_timeout(timeout.not_zero().map(|time| *time))?;
        let output = self.buffers.output().get(..amount).unwrap_or_default();
        self.stream.write_all(output).map_err(|error| timed_out(error, timeout))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.stream.set_read_timeout(timeout.not_zero().map(|time| *time))?;
        let room = self.buffers.input_append_buf();
        let count = loop {
            match self.stream.read(room) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                done => break done.map_err(|error| timed_out(error, timeout))?,
            }
        };
        self.buffers.input_appended(count);
        Ok(count > 0)
    }

    fn is_open(&mut self) -> bool {
        // Between two requests nothing is to be read: an end, or something that nobody asked for.
        let nothing = |stream: &mut UnixStream| {
            let read = stream.read(&mut [0]);
            matches!(read, Err(error) if error.kind() == ErrorKind::WouldBlock)
        };
        self.stream.set_nonblocking(true).is_ok()
            && nothing(&mut self.stream)
            && self.stream.set_nonblocking(false).is_ok()
    }
}

impl fmt::Debug for UnixTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UnixTransport")
    }
}

/// Resolves nothing: the socket is known.
#[derive(Debug)]
pub(super) struct Socket;

impl Resolver for Socket {
    fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let mut found = self.empty();
        found.push(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        Ok(found)
    }
}
