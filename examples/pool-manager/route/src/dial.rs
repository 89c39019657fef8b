//! Opens connections to one address.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::time::timeout;
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres::{Client, Config, Error, Socket};
use tokio_util::sync::CancellationToken;

use crate::error::reason;

/// Moves the bytes of a connection until it ends.
pub(crate) type Driver = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

/// Opens connections: over the network with or without TLS, and to servers that tests make up.
#[async_trait]
pub(crate) trait Dial: Send + Sync {
    /// Opens a connection, which does nothing until its driver is polled.
    async fn dial(&self, config: &Config) -> Result<(Client, Driver), Error>;
}

/// Opens connections over the network.
pub(crate) struct Network<T>(pub(crate) T);

#[async_trait]
impl<T> Dial for Network<T>
where
    T: MakeTlsConnect<Socket> + Clone + Send + Sync + 'static,
    T::Stream: Send,
    T::TlsConnect: Send,
    <T::TlsConnect as TlsConnect<Socket>>::Future: Send,
{
    async fn dial(&self, config: &Config) -> Result<(Client, Driver), Error> {
        let (client, connection) = config.connect(self.0.clone()).await?;
        Ok((client, Box::pin(connection)))
    }
}

/// The way to one address.
#[derive(Clone)]
pub(crate) struct Way {
    pub(crate) dial: Arc<dyn Dial>,
    pub(crate) config: Config,
    pub(crate) limit: std::time::Duration,
}

/// Why no connection could be opened.
#[derive(Debug)]
pub(crate) enum Closed {
    Failed(Error),
    Late(std::time::Duration),
}

impl Closed {
    pub(crate) fn reason(&self) -> String {
        match self {
            Self::Failed(error) => reason(error),
            Self::Late(limit) => format!("no answer within {limit:?}"),
        }
    }
}

impl Way {
    /// Opens a connection that lives until the token is cancelled; `broken` is called when the server ends it.
    pub(crate) async fn open(
        &self,
        alive: CancellationToken,
        broken: impl FnOnce() + Send + 'static,
    ) -> Result<Client, Closed> {
        let dialled = timeout(self.limit, self.dial.dial(&self.config)).await;
        let (client, driver) = dialled.map_err(|_| Closed::Late(self.limit))?.map_err(Closed::Failed)?;
        tokio::spawn(async move {
            tokio::select! {
                ended = driver => if ended.is_err() { broken() },
                // Drops the socket, and with it the session of a client that still waits for an answer.
                () = alive.cancelled() => {}
            }
        });
        Ok(client)
    }
}
