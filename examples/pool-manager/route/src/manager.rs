//! Routes callers to servers.

use std::fmt;
use std::sync::Arc;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres::{NoTls, Socket};
use tracing::info;

use crate::config::Config;
use crate::connection::{Connection, Heed, Need};
use crate::dial::{Dial, Network, Way};
use crate::error::Error;
use crate::health::Health;
use crate::intent::{QueryIntent, Token};
use crate::lsn::Lsn;
use crate::pool::Pool;
use crate::select::choose;
use crate::shared::{Member, Shared};
use crate::sight::{REPLAYED, ask};
use crate::view::{Fate, View};
use crate::watch::{Prober, watch};

/// How often a replica is asked whether it has replayed a write.
const POLL: std::time::Duration = std::time::Duration::from_millis(5);

/// Pools of connections to a primary and its replicas, which follow the primary wherever it goes.
///
/// A clone is another handle to the same pools. The last one to go ends the probes and closes the connections.
#[derive(Clone)]
pub struct PoolManager {
    owner: Arc<Owner>,
}

struct Owner {
    shared: Arc<Shared>,
    /// Ends its tasks when it goes.
    _probes: JoinSet<()>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        for member in &self.shared.members {
            member.pool.close_all();
        }
    }
}

impl fmt::Debug for PoolManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolManager")
            .field("config", &self.owner.shared.config)
            .finish_non_exhaustive()
    }
}

impl PoolManager {
    /// Probes every server once, and goes on to do so. Servers that do not answer are no error: they are tried again, and
    /// [`health`](Self::health) says so.
    ///
    /// The connections are in clear text; a URL with `sslmode=require` needs [`connect_with`](Self::connect_with).
    pub async fn connect(config: Config) -> Self {
        Self::connect_with(config, NoTls).await
    }

    /// Does the same over TLS, as `sslmode` in the URLs says.
    pub async fn connect_with<T>(config: Config, tls: T) -> Self
    where
        T: MakeTlsConnect<Socket> + Clone + Send + Sync + 'static,
        T::Stream: Send,
        T::TlsConnect: Send,
        <T::TlsConnect as TlsConnect<Socket>>::Future: Send,
    {
        Self::dial(config, Arc::new(Network(tls))).await
    }

    pub(crate) async fn dial(config: Config, dial: Arc<dyn Dial>) -> Self {
        let way = |config: &tokio_postgres::Config, limit| Way {
            dial: Arc::clone(&dial),
            config: config.clone(),
            limit,
        };
        let member = |address: &crate::config::Address| {
            let way = way(&address.config, config.acquire_timeout);
            Member::new(address.name.clone(), Pool::new(way, config.max_connections))
        };
        let members: Vec<Member> = config.addresses.iter().map(member).collect();
        let shared = Arc::new(Shared::new(config, members));
        let mut probes = JoinSet::new();
        for (index, address) in shared.config.addresses.iter().enumerate() {
            let look = Prober {
                way: way(&address.config, shared.config.probe_timeout),
                kick: Arc::clone(&shared.members[index].kick),
                session: None,
            };
            probes.spawn(watch(Arc::clone(&shared), index, look));
        }
        if shared.members.len() > 1 {
            info!("Database replica configured - read queries will be routed to replica");
        }
        let manager = Self {
            owner: Arc::new(Owner {
                shared,
                _probes: probes,
            }),
        };
        manager
            .wait_for(|view| view.rounds().iter().all(|rounds| *rounds > 0))
            .await;
        manager
    }

    /// Returns a connection that is good for what it is wanted for.
    pub async fn get(&self, intent: QueryIntent) -> Result<Connection, Error> {
        match intent {
            QueryIntent::Write => self.writer().await,
            QueryIntent::ReadAfter(token) => self.reader_after(token).await,
            QueryIntent::Read | QueryIntent::ReadWithin(_) => match self.replica(intent).await? {
                Some(connection) => Ok(connection),
                None => self.fall_back().await,
            },
        }
    }

    /// Returns what the last round of probes found.
    pub fn health(&self) -> Health {
        let view = self.shared().view();
        Health {
            primary: view.primary().is_some(),
            replica: (self.shared().members.len() > 1).then(|| view.others_answer()),
        }
    }

    /// Returns the primary, as `HOST:PORT`, where one is known.
    pub fn primary(&self) -> Option<String> {
        let primary = self.shared().view().primary();
        primary.map(|index| self.shared().members[index].name.clone())
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.owner.shared
    }

    /// Waits until something is known.
    async fn wait_for(&self, what: impl FnMut(&View) -> bool) {
        let mut view = self.shared().subscribe();
        // The sender is ours.
        let _ = view.wait_for(what).await;
    }

    async fn writer(&self) -> Result<Connection, Error> {
        let deadline = Instant::now() + self.shared().config.failover_wait;
        loop {
            let primary = self.shared().view().primary();
            if let Some(index) = primary {
                match self.checkout_while_primary(index).await {
                    Ok(connection) => return Ok(connection),
                    Err(Error::Moved { .. }) => {}
                    // The way is gone: so is the primary, and another one may be found.
                    Err(Error::Connect { .. }) if self.shared().view().primary() != Some(index) => {}
                    Err(other) => return Err(other),
                }
            }
            self.find_primary(deadline).await?;
        }
    }

    /// Takes a connection to the primary, or leaves it at once when it is none any more: it may hang.
    async fn checkout_while_primary(&self, index: usize) -> Result<Connection, Error> {
        let address = || self.shared().members[index].name.clone();
        tokio::select! {
            biased;
            taken = self.shared().checkout(index, Need::Write, Heed::Breaker) => taken,
            () = self.wait_for(|view| view.primary() != Some(index)) => Err(Error::Moved { address: address() }),
        }
    }

    /// Waits until a primary is known: for as long as it is searched for, and for one more probe of every server where
    /// the search has ended.
    async fn find_primary(&self, deadline: Instant) -> Result<(), Error> {
        let now = Instant::now();
        let (until, rounds) = {
            let view = self.shared().view();
            let searching = view.search_until().filter(|until| *until > now);
            (searching, view.rounds())
        };
        let found = |view: &View| view.primary().is_some();
        let waited = if let Some(until) = until {
            timeout_at(until.min(deadline), self.wait_for(found)).await.is_ok()
        } else {
            self.shared().kick_all();
            let probed = |view: &View| view.rounds().iter().zip(&rounds).all(|(now, before)| now > before);
            let wait = self.wait_for(|view| found(view) || probed(view));
            timeout_at(deadline, wait).await.is_ok()
        };
        if waited && now < deadline && found(&self.shared().view()) {
            return Ok(());
        }
        Err(Error::NoPrimary {
            reasons: self.shared().reasons(),
        })
    }

    /// Returns a connection to a replica, where one may serve.
    async fn replica(&self, intent: QueryIntent) -> Result<Option<Connection>, Error> {
        let shared = self.shared();
        let limits = shared.config.max_lag;
        let readable = shared.view().readable(intent, limits);
        self.try_again_what_failed();
        self.take_one_of(readable).await
    }

    /// A server that was given up is tried again now that a query could use it, which does not wait for it.
    fn try_again_what_failed(&self) {
        for member in self.shared().members.iter().filter(|member| member.is_given_up()) {
            member.kick.notify_one();
        }
    }

    async fn take_one_of(&self, mut left: Vec<usize>) -> Result<Option<Connection>, Error> {
        let shared = self.shared();
        let now = Instant::now();
        let is_open = |index: &usize| shared.members[*index].breaker().is_open(now);
        let heed = if left.iter().all(is_open) {
            Heed::Nothing
        } else {
            Heed::Breaker
        };
        if heed == Heed::Breaker {
            left.retain(|index| !is_open(index));
        }
        loop {
            let in_use: Vec<usize> = left.iter().map(|index| shared.members[*index].pool.in_use()).collect();
            let Some(chosen) = choose(&in_use, |count| fastrand::usize(..count)) else {
                return Ok(None);
            };
            let index = left.swap_remove(chosen);
            match shared.checkout(index, Need::Read, heed).await {
                Ok(connection) => return Ok(Some(connection)),
                Err(exhausted @ Error::Exhausted { .. }) => return Err(exhausted),
                // Another one may serve.
                Err(_) => {}
            }
        }
    }

    async fn fall_back(&self) -> Result<Connection, Error> {
        if self.shared().config.fallback {
            return self.writer().await;
        }
        Err(Error::NoReplica {
            reasons: self.shared().reasons(),
        })
    }

    async fn reader_after(&self, token: Token) -> Result<Connection, Error> {
        self.prove(token).await?;
        if let Some(connection) = self.replica(QueryIntent::ReadAfter(token)).await? {
            return Ok(connection);
        }
        if let Some(connection) = self.wait_for_replay(token).await? {
            return Ok(connection);
        }
        let connection = self.fall_back().await?;
        // Another server may have become the primary since.
        self.prove(token).await?;
        Ok(connection)
    }

    /// Makes sure that the write of a token is part of what the primary has.
    async fn prove(&self, token: Token) -> Result<(), Error> {
        let fate = || self.shared().view().fate(token);
        if fate() == Fate::Kept {
            return Ok(());
        }
        // Its timeline is news, or it began at a promotion that the next probes see.
        let rounds = self.shared().view().rounds();
        self.shared().kick_all();
        let limit = Instant::now() + self.shared().config.probe_timeout;
        let settled = |view: &View| {
            let probed = view.rounds().iter().zip(&rounds).all(|(now, before)| now > before);
            view.fate(token) == Fate::Kept || probed
        };
        // What is not known by then stays unproven.
        let _ = timeout_at(limit, self.wait_for(settled)).await;
        match fate() {
            Fate::Kept => Ok(()),
            Fate::Ahead => Err(Error::Unproven { token, switch: None }),
            Fate::Unproven { switch } => Err(Error::Unproven { token, switch }),
        }
    }

    /// Waits a short time for a replica to replay a write.
    async fn wait_for_replay(&self, token: Token) -> Result<Option<Connection>, Error> {
        let until = Instant::now() + self.shared().config.replay_wait;
        let following: Vec<usize> = {
            let view = self.shared().view();
            view.standbys()
                .into_iter()
                .filter(|index| view.follows(*index, token))
                .collect()
        };
        let Some(connection) = self.take_one_of(following).await? else {
            return Ok(None);
        };
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let row = ask(&connection, REPLAYED, left).await;
            let replayed: Option<Lsn> = row.ok().and_then(|row| row.first()?.as_deref()?.parse().ok());
            let Some(replayed) = replayed else { return Ok(None) };
            self.shared().advance(connection.index(), replayed);
            if replayed >= token.lsn {
                return Ok(Some(connection));
            }
            if left <= POLL {
                return Ok(None);
            }
            sleep(POLL).await;
        }
    }
}

#[cfg(test)]
mod tests;
