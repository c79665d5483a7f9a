//! Listening sockets: bound by us, or opened by systemd; what they accept is a stream.

use std::fmt;
use std::fs::Permissions;
use std::io;
use std::net::{SocketAddr, TcpListener as StdTcp};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener as StdUnix, UnixStream};
use std::path::{Path, PathBuf};

use listenfd::ListenFd;
use rustix::net::sockopt::{set_ipv6_v6only, set_socket_reuseaddr};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};

use super::tls::ServerTls;
use crate::config::{Listen, ListenAddress};
use crate::error::{Error, ErrorKind, Result};

/// A byte stream of either kind of socket, or TLS on one.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Where the other end of a connection is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum PeerAddress {
    /// Over the network.
    Tcp(SocketAddr),
    /// On this machine, as the kernel says; `None` where it does not.
    Unix(Option<(u32, i32)>),
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => {
                write!(f, "{}", SocketAddr::new(address.ip().to_canonical(), address.port()))
            }
            Self::Unix(Some((user, process))) => write!(f, "unix:uid={user},pid={process}"),
            Self::Unix(None) => f.write_str("unix"),
        }
    }
}

/// A socket that listens.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    tls: Option<ServerTls>,
    shown: String,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener, Option<Bound>),
}

impl Listener {
    /// Binds an address; `tls` counts unless it speaks plain HTTP. It needs a runtime around it.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if the address is in use, is not of this machine, or is not for us to bind;
    /// [`ErrorKind::Config`] for TLS without a certificate, and for plain HTTP that others would hear.
    pub fn bind(listen: &Listen, tls: Option<ServerTls>) -> Result<Self> {
        if listen.is_exposed() {
            let text = format!("plain HTTP on {} would show keys and tokens", listen.address);
            return Err(Error::new(ErrorKind::Config, text)
                .with_help("listen on loopback or a Unix socket, or speak TLS"));
        }
        let failed = |error: io::Error| cannot_listen(&listen.address, &error);
        let socket = match &listen.address {
            ListenAddress::Tcp(address) => {
                let socket = bind_tcp(*address).map_err(failed)?;
                Socket::Tcp(registered_tcp(socket).map_err(failed)?)
            }
            ListenAddress::Unix(path) => {
                let (socket, bound) = bind_unix(path).map_err(failed)?;
                Socket::Unix(registered_unix(socket).map_err(failed)?, Some(bound))
            }
        };
        Self::of(socket, if listen.plain_http { None } else { Some(tls) })
    }

    /// The sockets that systemd opened for this process (`sd_listen_fds(3)`), in its order: they take the place of
    /// those of the configuration. Call it while the process has one thread: the variables are taken out of its
    /// environment.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if one of them is no listening stream socket.
    pub fn inherited() -> Result<Vec<Inherited>> {
        let mut passed = ListenFd::from_env();
        let mut found = Vec::new();
        for at in 0..passed.len() {
            let tcp = passed.take_tcp_listener(at).map(|one| one.map(Inherited::Tcp));
            let mut unix = || passed.take_unix_listener(at).map(|one| one.map(Inherited::Unix));
            found.extend(tcp.or_else(|_| unix()).map_err(|error| {
                Error::new(ErrorKind::Io, format!("socket {at} of LISTEN_FDS: {error}"))
                    .with_help("ListenStream= of the socket unit names an address or a path")
            })?);
        }
        Ok(found)
    }

    /// A socket of [`Listener::inherited`], which speaks as the element of `listen` with its address does; without one TLS,
    /// unless all of them go without. It needs a runtime around it.
    ///
    /// # Errors
    /// As [`Listener::bind`].
    pub fn adopt(inherited: Inherited, listen: &[Listen], tls: Option<ServerTls>) -> Result<Self> {
        let failed = |error: io::Error| {
            Error::new(ErrorKind::Io, format!("a socket of LISTEN_FDS: {error}"))
        };
        let address = inherited.address();
        let named =
            listen.iter().find(|one| address.as_ref().is_some_and(|own| same(own, &one.address)));
        let plain_http = match named {
            Some(named) => named.plain_http,
            None => listen.iter().all(|one| one.plain_http),
        };
        let local = matches!(inherited, Inherited::Unix(_))
            || address.is_some_and(|address| address.is_local());
        let socket = match inherited {
            Inherited::Tcp(socket) => Socket::Tcp(registered_tcp(socket).map_err(failed)?),
            Inherited::Unix(socket) => Socket::Unix(registered_unix(socket).map_err(failed)?, None),
        };
        Self::of(socket, if plain_http && local { None } else { Some(tls) })
    }

    /// A bound socket that speaks TLS, or plain HTTP without.
    #[must_use]
    pub fn tcp(socket: TcpListener, tls: Option<ServerTls>) -> Self {
        let socket = Socket::Tcp(socket);
        let shown = shown(&socket, tls.is_some());
        Self { socket, tls, shown }
    }

    /// `tls`: `None` for plain HTTP, `Some(None)` where TLS is wanted and there is no certificate.
    fn of(socket: Socket, tls: Option<Option<ServerTls>>) -> Result<Self> {
        let shown = shown(&socket, tls.is_some());
        let tls = match tls {
            None => None,
            Some(Some(config)) => Some(config),
            Some(None) => {
                let text = format!("{shown} needs a certificate");
                return Err(Error::new(ErrorKind::Config, text).with_help(
                    "add certificate = { chain = \"…\", key = \"…\" } or { label = \"…\" } to [service]",
                ));
            }
        };
        Ok(Self { socket, tls, shown })
    }

    /// How people write it: `https://127.0.0.1:8443`.
    #[must_use]
    pub fn shown(&self) -> &str {
        &self.shown
    }

    pub(super) fn tls(&self) -> Option<&ServerTls> {
        self.tls.as_ref()
    }

    /// The next connection, and where its other end is.
    pub(super) async fn accept(&self) -> io::Result<(Box<dyn Stream>, PeerAddress)> {
        Ok(match &self.socket {
            Socket::Tcp(socket) => {
                let (stream, address) = socket.accept().await?;
                // Answers are written whole: waiting to fill a segment only delays them.
                drop(stream.set_nodelay(true));
                (Box::new(stream), PeerAddress::Tcp(address))
            }
            Socket::Unix(socket, _) => {
                let (stream, _) = socket.accept().await?;
                let found = stream.peer_cred().ok();
                let found = found.map(|found| (found.uid(), found.pid().unwrap_or_default()));
                (Box::new(stream), PeerAddress::Unix(found))
            }
        })
    }
}

/// A socket that systemd opened.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "the kinds of stream sockets")]
pub enum Inherited {
    /// IPv4 or IPv6.
    Tcp(StdTcp),
    /// A Unix socket.
    Unix(StdUnix),
}

impl Inherited {
    /// Its own, if it has one.
    fn address(&self) -> Option<ListenAddress> {
        match self {
            Self::Tcp(socket) => socket.local_addr().ok().map(ListenAddress::Tcp),
            Self::Unix(socket) => {
                let address = socket.local_addr().ok()?;
                address.as_pathname().map(|path| ListenAddress::Unix(path.to_owned()))
            }
        }
    }
}

/// Whether both are one; a path may be written in several ways.
fn same(one: &ListenAddress, other: &ListenAddress) -> bool {
    match (one, other) {
        (ListenAddress::Unix(one), ListenAddress::Unix(other)) => {
            let place = |path: &PathBuf| path.canonicalize().ok();
            place(one).is_some_and(|one| place(other).is_some_and(|other| one == other))
        }
        (one, other) => one == other,
    }
}

fn shown(socket: &Socket, tls: bool) -> String {
    let scheme = if tls { "https" } else { "http" };
    match socket {
        Socket::Tcp(socket) => socket
            .local_addr()
            .map_or_else(|_| format!("{scheme} on a socket"), |one| format!("{scheme}://{one}")),
        Socket::Unix(socket, bound) => {
            let named = socket.local_addr().ok();
            let named = named.as_ref().and_then(|address| address.as_pathname());
            let path = bound.as_ref().map(|bound| bound.path.as_path()).or(named);
            let path = path.map_or_else(|| "(unnamed)".into(), |path| path.display().to_string());
            format!("{scheme} on unix:{path}")
        }
    }
}

/// SO_REUSEADDR is set: a restart does not wait for connections that linger. An IPv6 address is one of IPv6 alone, so that
/// `0.0.0.0` and `[::]` stand side by side whatever the system prefers.
fn bind_tcp(address: SocketAddr) -> io::Result<StdTcp> {
    let family = if address.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    set_socket_reuseaddr(&socket, true)?;
    if address.is_ipv6() {
        set_ipv6_v6only(&socket, true)?;
    }
    bind(&socket, &address)?;
    listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

/// Connections that wait to be accepted; the system may keep fewer (net.core.somaxconn). The 128 of std are few where
/// thousands come back at once.
const BACKLOG: i32 = 4_096;

fn registered_tcp(socket: StdTcp) -> io::Result<TcpListener> {
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket)
}

fn registered_unix(socket: StdUnix) -> io::Result<UnixListener> {
    socket.set_nonblocking(true)?;
    UnixListener::from_std(socket)
}

/// A Unix socket of ours in the file system; it goes when we go.
#[derive(Debug)]
struct Bound {
    path: PathBuf,
    inode: u64,
}

impl Drop for Bound {
    fn drop(&mut self) {
        // A server that took our place has a socket of its own there.
        let ours = std::fs::symlink_metadata(&self.path).is_ok_and(|one| one.ino() == self.inode);
        if ours {
            drop(std::fs::remove_file(&self.path));
        }
    }
}

/// Bound under another name and renamed: nobody connects before its mode is set, and what a killed server left behind
/// is replaced.
fn bind_unix(path: &Path) -> io::Result<(StdUnix, Bound)> {
    match std::fs::symlink_metadata(path) {
        Ok(facts) if !std::os::unix::fs::FileTypeExt::is_socket(&facts.file_type()) => {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "it is a file, no socket"));
        }
        Ok(_) if UnixStream::connect(path).is_ok() => return Err(io::ErrorKind::AddrInUse.into()),
        _ => {}
    }
    let mut aside = path.as_os_str().to_owned();
    aside.push(format!(".{}", std::process::id()));
    let aside = PathBuf::from(aside);
    drop(std::fs::remove_file(&aside));
    let socket = StdUnix::bind(&aside)?;
    let placed = std::fs::set_permissions(&aside, Permissions::from_mode(0o660))
        .and_then(|()| std::fs::rename(&aside, path))
        .and_then(|()| std::fs::symlink_metadata(path));
    match placed {
        Ok(facts) => Ok((socket, Bound { path: path.to_owned(), inode: facts.ino() })),
        Err(error) => {
            drop(std::fs::remove_file(&aside));
            Err(error)
        }
    }
}

fn cannot_listen(address: &ListenAddress, error: &io::Error) -> Error {
    let (why, help) = match error.kind() {
        io::ErrorKind::AddrInUse => (
            "the address is in use".to_owned(),
            "another server listens there: stop it, or name another port; `ss -ltnp` shows who it is",
        ),
        io::ErrorKind::AddrNotAvailable => (
            "the address is none of this machine".to_owned(),
            "`ip address` shows them; 0.0.0.0 is all of IPv4, [::] all of IPv6",
        ),
        io::ErrorKind::PermissionDenied => (
            error.to_string(),
            "ports below 1024 need CAP_NET_BIND_SERVICE, or a socket unit of systemd; a Unix socket needs a \
             directory that we may write to",
        ),
        io::ErrorKind::NotFound => (
            error.to_string(),
            "make the directory of the socket first (RuntimeDirectory= of systemd)",
        ),
        _ => (error.to_string(), "check `listen` of [service]"),
    };
    Error::new(ErrorKind::Io, format!("cannot listen on {address}: {why}")).with_help(help)
}
