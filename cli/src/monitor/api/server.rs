//! Accepts connections, so many at once, and serves each with time limits: a client that is slow to ask is cut off.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::secured::Secured;

/// How many connections are served at once; further ones are closed.
const CONNECTIONS: usize = 1_000;

/// How long a client may take to ask, and to ask again on the same connection.
const ASKS_WITHIN: Duration = Duration::from_secs(10);

/// How many bytes of a request's line and headers are read.
const HEADERS: usize = 16 * 1024;

/// How long no connection is accepted after the system had no room for one.
const NO_ROOM: Duration = Duration::from_millis(100);

/// Where a request comes from, as its handler finds it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) IpAddr);

/// What serves a listener.
#[derive(Debug)]
pub(super) struct Server {
    listener: TcpListener,
    router: Router,
    secured: watch::Receiver<Arc<Secured>>,
    room: Arc<Semaphore>,
}

impl Server {
    pub(super) fn new(listener: TcpListener, router: Router, secured: watch::Receiver<Arc<Secured>>) -> Self {
        Self {
            listener,
            router,
            secured,
            room: Arc::new(Semaphore::new(CONNECTIONS)),
        }
    }

    /// Serves until it is dropped, with all connections.
    pub(super) async fn run(self) {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                Some(_) = connections.join_next() => {}
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, from)) => {
                        if let Ok(room) = Arc::clone(&self.room).try_acquire_owned() {
                            let (router, secured) = (self.router.clone(), Arc::clone(&self.secured.borrow()));
                            connections.spawn(async move {
                                open(stream, Peer(from.ip()), router, &secured).await;
                                drop(room);
                            });
                        }
                    }
                    Err(_) => sleep(NO_ROOM).await,
                },
            }
        }
    }
}

/// Serves a connection, after the handshake where there is TLS.
async fn open(stream: TcpStream, from: Peer, router: Router, secured: &Secured) {
    // Answers are small, and health checks wait for them.
    let _ = stream.set_nodelay(true);
    let Some(tls) = &secured.tls else {
        return serve(stream, from, router).await;
    };
    let handshake = TlsAcceptor::from(Arc::clone(tls)).accept(stream);
    if let Ok(Ok(stream)) = timeout(ASKS_WITHIN, handshake).await {
        serve(stream, from, router).await;
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, from: Peer, router: Router) {
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(from);
        router.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(ASKS_WITHIN)
        .max_buf_size(HEADERS)
        .serve_connection(TokioIo::new(stream), service);
    // A client that went away, or spoke something else, is of no interest to others.
    let _ = connection.await;
}
