//! Accepts connections, so many at once, and serves each with time limits: a client that is slow to ask is cut off.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// How many connections are served at once; further ones are closed.
const CONNECTIONS: usize = 1_000;

/// How long a client may take to ask, and to ask again on the same connection.
const ASKS_WITHIN: Duration = Duration::from_secs(10);

/// How many bytes of a request's line and headers are read.
const HEADERS: usize = 16 * 1024;

/// How long no connection is accepted after the system had no room for one.
const NO_ROOM: Duration = Duration::from_millis(100);

/// What serves a listener.
#[derive(Debug)]
pub(super) struct Server {
    listener: TcpListener,
    router: Router,
    room: Arc<Semaphore>,
}

impl Server {
    pub(super) fn new(listener: TcpListener, router: Router) -> Self {
        Self {
            listener,
            router,
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
                    Ok((stream, _)) => {
                        if let Ok(room) = Arc::clone(&self.room).try_acquire_owned() {
                            let router = self.router.clone();
                            connections.spawn(async move {
                                serve(stream, router).await;
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

async fn serve(stream: TcpStream, router: Router) {
    // Answers are small, and health checks wait for them.
    let _ = stream.set_nodelay(true);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(ASKS_WITHIN)
        .max_buf_size(HEADERS)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    // A client that went away, or spoke something else, is of no interest to others.
    let _ = connection.await;
}
