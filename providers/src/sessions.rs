//! Opens every SQL session of simdb: with servers, and with the consoles of poolers.
//!
//! ```text
//!   postgresql::Connection ─┐
//!                           ├─► Sessions ─► Dial    where the bytes go: the platform's business
//!   pgbouncer::Session     ─┘          └──► Secrets
//! ```

use std::io;
use std::sync::Arc;
use std::time::Duration;

use simdb_state::address::InstanceAddress;
use simdb_state::place::Place;
use simdb_state::sensitive::{SecretName, Secrets, Sensitive};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::{Client, Config, NoTls};

use crate::engine::postgresql::Cause;
use crate::platform::dial::{Dial, Stream};

/// What opens sessions: a way to servers, and the passwords that let simdb in.
#[derive(Clone, Debug)]
pub struct Sessions<'a> {
    dial: Arc<dyn Dial>,
    secrets: &'a Secrets,
}

impl<'a> Sessions<'a> {
    /// Makes what opens sessions.
    pub fn new(dial: Arc<dyn Dial>, secrets: &'a Secrets) -> Self {
        Self { dial, secrets }
    }

    /// Returns a secret.
    pub(crate) fn secret(&self, name: &SecretName) -> Option<&'a Sensitive<String>> {
        self.secrets.get(name)
    }

    /// Opens a stream to a server of an instance directory, for protocols that are spoken elsewhere. Every caller has a limit for it.
    pub(crate) async fn dial(&self, instance: &InstanceAddress, at: &Place) -> io::Result<Box<dyn Stream>> {
        self.dial.dial(instance, at).await
    }

    /// Opens a session with a server of an instance directory, within a limit.
    pub(crate) async fn open(
        &self,
        instance: InstanceAddress,
        at: &Place,
        config: &Config,
        limit: Duration,
    ) -> Result<Session, Cause> {
        let way = Way {
            dial: Arc::clone(&self.dial),
            instance,
            at: at.clone(),
        };
        let opened = timeout(limit, async {
            let stream = way.go().await.map_err(Cause::Unreached)?;
            config.connect_raw(stream, NoTls).await.map_err(Cause::from)
        });
        let (client, connection) = opened.await.map_err(|_| Cause::Silence(limit))??;
        let version = connection.parameter("server_version").unwrap_or_default().to_owned();
        // What ends a connection also fails the request that is under way, so its own result tells nothing new.
        let task = tokio::spawn(async move { drop(connection.await) });
        Ok(Session {
            client,
            version,
            way,
            task,
        })
    }
}

/// A session. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Session {
    /// What asks the server.
    pub(crate) client: Client,
    /// What the server said of its version.
    pub(crate) version: String,
    way: Way,
    task: JoinHandle<()>,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Session {
    /// Asks the server to give up what it is doing for this session.
    pub(crate) async fn cancel(&self, limit: Duration) {
        let cancelled = timeout(limit, async {
            let stream = self.way.go().await.map_err(Cause::Unreached)?;
            let token = self.client.cancel_token();
            token.cancel_query_raw(stream, NoTls).await.map_err(Cause::from)
        });
        // The caller reports why it cancels; that the server is past hearing it would add nothing.
        drop(cancelled.await);
    }
}

/// How a server is reached.
#[derive(Clone, Debug)]
struct Way {
    dial: Arc<dyn Dial>,
    instance: InstanceAddress,
    at: Place,
}

impl Way {
    async fn go(&self) -> io::Result<Box<dyn Stream>> {
        self.dial.dial(&self.instance, &self.at).await
    }
}
