//! Transactions on the primary, with a token of each.

use std::pin::pin;

use futures_util::TryStreamExt;
use tokio::time::Instant;
use tokio_postgres::{Client, SimpleQueryMessage};

use crate::connection::Connection;
use crate::error::Error;
use crate::intent::{QueryIntent, Token};
use crate::manager::PoolManager;

/// One message, so that a commit takes one round trip. The first statement fails in a transaction that a failed statement
/// has ended, whose `COMMIT` would otherwise roll back and say nothing.
const COMMIT: &str = "SELECT 1; COMMIT; SELECT ('x' || left(pg_walfile_name(lsn), 8))::bit(32)::int, lsn \
                      FROM pg_current_wal_insert_lsn() AS lsn";
/// So many statements have ended once the commit has.
const COMMITTED: u32 = 2;

impl PoolManager {
    /// Does work in one transaction on the primary, and returns what it made and the token of the commit; the token is
    /// absent where the connection broke right after the commit was acknowledged.
    ///
    /// The work is done once. After [`Error::Moved`], and after [`Error::Broken`] with `in_commit` false, nothing of it was
    /// committed and the caller may do it again; after `in_commit` true the outcome is unknown.
    pub async fn write<T>(
        &self,
        work: impl AsyncFnOnce(&Client) -> Result<T, Error>,
    ) -> Result<(T, Option<Token>), Error> {
        let mut connection = self.begin().await?;
        let done = work(&connection).await;
        connection.finish(done).await
    }

    /// Does work in one transaction on the primary, and does it again where the primary moves or the connection breaks,
    /// for as long as [`Config::failover_wait`](crate::Config::failover_wait). The work must be idempotent: it may be
    /// committed more than once.
    pub async fn write_idempotent<T>(
        &self,
        work: impl AsyncFn(&Client) -> Result<T, Error>,
    ) -> Result<(T, Option<Token>), Error> {
        let deadline = Instant::now() + self.shared().config.failover_wait;
        loop {
            let attempt = async {
                let mut connection = self.begin().await?;
                let done = work(&connection).await;
                connection.finish(done).await
            };
            match attempt.await {
                Err(Error::Moved { .. } | Error::Broken { .. }) if Instant::now() < deadline => {}
                outcome => return outcome,
            }
        }
    }

    async fn begin(&self) -> Result<Connection, Error> {
        let mut connection = self.get(QueryIntent::Write).await?;
        connection.begin();
        match connection.batch_execute("BEGIN").await {
            Ok(()) => Ok(connection),
            Err(error) => Err(connection.judge(error, false)),
        }
    }
}

impl Connection {
    /// Commits work that was done, and rolls back work that failed.
    async fn finish<T>(&mut self, done: Result<T, Error>) -> Result<(T, Option<Token>), Error> {
        match done {
            Ok(value) => Ok((value, self.commit().await?)),
            Err(error) => {
                let error = self.explain(error);
                self.roll_back().await;
                Err(error)
            }
        }
    }

    async fn commit(&mut self) -> Result<Option<Token>, Error> {
        let (statements, outcome) = commit(self).await;
        match outcome {
            Ok(token) => {
                self.end();
                Ok(token)
            }
            // The connection is closed when it is dropped, as its transaction has not ended for all we know.
            Err(_) if statements >= COMMITTED => Ok(None),
            Err(error) => {
                let error = self.judge(error, true);
                self.roll_back().await;
                Err(error)
            }
        }
    }

    /// Ends the transaction, or leaves the connection to be closed.
    async fn roll_back(&mut self) {
        if !self.is_closed() && self.batch_execute("ROLLBACK").await.is_ok() {
            self.end();
        }
    }
}

/// Returns how many statements have ended, and the token.
async fn commit(client: &Client) -> (u32, Result<Option<Token>, tokio_postgres::Error>) {
    let mut statements = 0;
    let mut token = None;
    let outcome = async {
        let mut messages = pin!(client.simple_query_raw(COMMIT).await?);
        while let Some(message) = messages.try_next().await? {
            match message {
                SimpleQueryMessage::CommandComplete(_) => statements += 1,
                SimpleQueryMessage::Row(row) if statements >= COMMITTED => {
                    token = row.get(0).zip(row.get(1)).and_then(|(timeline, lsn)| {
                        Some(Token {
                            timeline: timeline.parse().ok()?,
                            lsn: lsn.parse().ok()?,
                        })
                    });
                }
                _ => {}
            }
        }
        Ok(())
    };
    let outcome = outcome.await;
    (statements, outcome.map(|()| token))
}
