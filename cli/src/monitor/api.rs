//! What the monitor sees, over HTTP: health checks for load balancers, metrics, events, documents.
//!
//! ```text
//!   board ─► View (a round, and how old it is) ─► routes::answer(target, question) ─► Answer
//!     └────► stream (events as they happen, clusters each second)
//! ```
//!
//! Answers to reads are functions of the last round: none asks a server, and none holds up the watcher; those about runs read the
//! state. A write is an order to the watcher ([`write`]), and takes the token.
//!
//! On loopback reading is open, and a `Host` that is not loopback is refused, so that a page of another origin cannot read it by a name
//! that it resolves to this machine. Elsewhere it takes TLS and the token, health checks aside.

mod answer;
mod cluster;
mod exposition;
mod guard;
mod limits;
mod metrics;
mod openapi;
mod own;
mod page;
mod paths;
mod patroni;
mod routes;
mod secured;
mod server;
mod stream;
mod tally;
#[cfg(test)]
mod tests;
mod token;
mod view;
mod write;

use std::net::SocketAddr;
use std::sync::Arc;

use jiff::Timestamp;
use simdb_planner::config::refuse_listening;
use simdb_state::store::Store;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use self::limits::Limits;
pub(crate) use self::secured::Files;
use self::secured::Secured;
use self::server::Server;
use self::tally::Tally;
use self::view::View;
use super::board::Board;
use super::journal::{self, Journal};
use super::notify::Deliveries;
use super::order::Orders;
use super::survey::{self, Survey};
use crate::error::CliError;

/// How many streams are open at once.
const STREAMS: usize = 32;

/// What the API is made of.
#[derive(Clone, Debug)]
pub(crate) struct Sources {
    /// What the monitor sees.
    pub(crate) board: Board,
    /// Where orders are given.
    pub(crate) orders: Orders,
    /// How often hooks were told.
    pub(crate) deliveries: Deliveries,
    /// The record, for runs and pauses.
    pub(crate) store: Store,
}

/// What requests are answered from.
#[derive(Clone, Debug)]
struct Api {
    board: Board,
    orders: Orders,
    deliveries: Deliveries,
    store: Store,
    journal: watch::Receiver<Arc<Journal>>,
    survey: watch::Receiver<Arc<Survey>>,
    tally: Tally,
    limits: Limits,
    secured: watch::Receiver<Arc<Secured>>,
    /// Where it listens.
    address: SocketAddr,
    /// Room for streams.
    streams: Arc<Semaphore>,
}

impl Api {
    fn view(&self) -> View {
        View::at(self.board.round(), Timestamp::now())
    }

    /// Returns where it is reached.
    fn url(&self) -> String {
        let scheme = if self.secured.borrow().tls.is_some() {
            "https"
        } else {
            "http"
        };
        format!("{scheme}://{}", self.address)
    }
}

/// A place that is listened on.
#[derive(Debug)]
pub(crate) struct Bound {
    listener: TcpListener,
    /// Where it is.
    pub(crate) address: SocketAddr,
    files: Files,
    secured: watch::Sender<Arc<Secured>>,
}

/// An API that is served until it is dropped.
#[derive(Debug)]
pub(crate) struct Served {
    _tasks: JoinSet<()>,
    files: Files,
    secured: watch::Sender<Arc<Secured>>,
}

/// Begins to listen, before anything is watched: an address that cannot be had is no reason to keep other monitors waiting.
pub(crate) async fn bind(listen: SocketAddr, files: Files) -> Result<Bound, CliError> {
    if let Some(detail) = refuse_listening(listen, files.token.is_some(), files.tls.is_some()) {
        return Err(CliError::refused("The API would be open to others", detail));
    }
    let secured = files.read()?;
    let cannot = |error: std::io::Error| {
        let detail = format!(
            "{listen} cannot be listened on: {error}. Choose another port: simdb monitor -listen 127.0.0.1:PORT"
        );
        CliError::refused("The API cannot be served", detail)
    };
    let listener = TcpListener::bind(listen).await.map_err(cannot)?;
    let address = listener.local_addr().map_err(cannot)?;
    Ok(Bound {
        listener,
        address,
        files,
        secured: watch::Sender::new(Arc::new(secured)),
    })
}

impl Bound {
    /// Returns where people find it.
    pub(crate) fn url(&self) -> String {
        let scheme = if self.files.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}/", self.address)
    }

    /// Begins to serve.
    pub(crate) fn serve(self, sources: Sources) -> Served {
        let Sources {
            board,
            orders,
            deliveries,
            store,
        } = sources;
        let mut tasks = JoinSet::new();
        let (to_journal, journal) = watch::channel(Arc::default());
        tasks.spawn(journal::follow(store.clone(), board.clone(), to_journal));
        let (to_survey, survey) = watch::channel(Arc::default());
        tasks.spawn(survey::follow(store.clone(), board.clone(), to_survey));
        let api = Api {
            board,
            orders,
            deliveries,
            store,
            journal,
            survey,
            tally: Tally::default(),
            limits: Limits::default(),
            secured: self.secured.subscribe(),
            address: self.address,
            streams: Arc::new(Semaphore::new(STREAMS)),
        };
        tasks.spawn(api.tally.clone().follow(api.board.clone()));
        let secured = api.secured.clone();
        tasks.spawn(Server::new(self.listener, routes::router(api), secured).run());
        Served {
            _tasks: tasks,
            files: self.files,
            secured: self.secured,
        }
    }
}

impl Served {
    /// Reads the token and the certificate anew. Where that fails, those that were read before go on.
    pub(crate) fn reload(&self) -> Result<(), CliError> {
        let secured = self.files.read()?;
        self.secured.send_replace(Arc::new(secured));
        Ok(())
    }
}
