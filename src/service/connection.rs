//! Connections: accepted, shaken hands with, served until both sides are done.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::sync::Arc;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::identity::Peer;
use super::{Service, dispatch};

/// Serves a listener until `stop` is done, then lets requests that run come to their end.
///
/// # Errors
/// Only if the listener itself is no socket any more; what goes wrong with one connection ends that one.
pub async fn serve(
    service: Service,
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    stop: impl Future<Output = ()>,
) -> io::Result<()> {
    let acceptor = tls.map(TlsAcceptor::from);
    let graceful = GracefulShutdown::new();
    tokio::pin!(stop);
    loop {
        let (stream, _) = tokio::select! {
            accepted = listener.accept() => accepted?,
            () = &mut stop => break,
        };
        let watcher = graceful.watcher();
        let (service, acceptor) = (service.clone(), acceptor.clone());
        tokio::spawn(async move {
            let Some((stream, peer)) = shake_hands(stream, acceptor).await else { return };
            let peer = Arc::new(peer);
            let answer = service_fn(move |request| {
                let (service, peer) = (service.clone(), Arc::clone(&peer));
                async move { Ok::<_, Infallible>(dispatch::answer(&service, &peer, request).await) }
            });
            let http = http();
            let connection = http.serve_connection(TokioIo::new(stream), answer);
            // Who breaks off has been answered as far as it wanted to be.
            drop(watcher.watch(connection.into_owned()).await);
        });
    }
    graceful.shutdown().await;
    Ok(())
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

async fn shake_hands(
    stream: TcpStream,
    acceptor: Option<TlsAcceptor>,
) -> Option<(Box<dyn Stream>, Peer)> {
    drop(stream.set_nodelay(true));
    let Some(acceptor) = acceptor else { return Some((Box::new(stream), Peer::default())) };
    let stream = acceptor.accept(stream).await.ok()?;
    let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let chain = chain.iter().map(|der| der.to_vec()).collect();
    Some((Box::new(stream), Peer::new(chain)))
}

fn http() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new());
    builder.http2().timer(TokioTimer::new());
    builder
}
