//! What the monitor sees, over HTTP: health checks for load balancers, metrics, events, documents.
//!
//! ```text
//!   board ─► View (a round, and how old it is) ─► routes::answer(target, question) ─► Answer
//!     └────► stream (events as they happen, clusters each second)
//! ```
//!
//! Every answer but a stream is a function of the last round: no request asks a server or the state, and none holds up the watcher.
//! It listens on loopback alone, for it has neither TLS nor logins; a `Host` that is not loopback is refused, so that a page of
//! another origin cannot read it by a name that it resolves to this machine.

mod answer;
mod cluster;
mod exposition;
mod guard;
mod metrics;
mod openapi;
mod own;
mod page;
mod paths;
mod patroni;
mod routes;
mod server;
mod stream;
mod tally;
#[cfg(test)]
mod tests;
mod view;

use std::net::SocketAddr;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use self::server::Server;
use self::tally::Tally;
use self::view::View;
use super::board::Board;
use crate::error::CliError;

/// How many streams are open at once.
const STREAMS: usize = 32;

/// What requests are answered from.
#[derive(Clone, Debug)]
struct Api {
    board: Board,
    tally: Tally,
    /// Where it listens.
    address: SocketAddr,
    /// Room for streams.
    streams: Arc<Semaphore>,
}

impl Api {
    fn view(&self) -> View {
        View::at(self.board.round(), Timestamp::now())
    }
}

/// A place that is listened on.
#[derive(Debug)]
pub(crate) struct Bound {
    listener: TcpListener,
    /// Where it is.
    pub(crate) address: SocketAddr,
}

/// An API that is served until it is dropped.
#[derive(Debug)]
pub(crate) struct Served {
    _tasks: JoinSet<()>,
}

/// Begins to listen, before anything is watched: an address that cannot be had is no reason to keep other monitors waiting.
pub(crate) async fn bind(listen: SocketAddr) -> Result<Bound, CliError> {
    if !listen.ip().is_loopback() {
        let detail = format!(
            "The API of the monitor has neither TLS nor logins yet, so it listens on loopback alone, and {listen} can be reached from \
             elsewhere. Listen on 127.0.0.1:{port} or [::1]:{port}, and let a proxy on this machine admit others.",
            port = listen.port()
        );
        return Err(CliError::refused("The API would be open to others", detail));
    }
    let cannot = |error: std::io::Error| {
        let detail = format!(
            "{listen} cannot be listened on: {error}. Choose another port: simdb monitor -listen 127.0.0.1:PORT"
        );
        CliError::refused("The API cannot be served", detail)
    };
    let listener = TcpListener::bind(listen).await.map_err(cannot)?;
    let address = listener.local_addr().map_err(cannot)?;
    Ok(Bound { listener, address })
}

impl Bound {
    /// Begins to serve what a board shows.
    pub(crate) fn serve(self, board: Board) -> Served {
        let api = Api {
            board,
            tally: Tally::default(),
            address: self.address,
            streams: Arc::new(Semaphore::new(STREAMS)),
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(api.tally.clone().follow(api.board.clone()));
        tasks.spawn(Server::new(self.listener, routes::router(api)).run());
        Served { _tasks: tasks }
    }
}
