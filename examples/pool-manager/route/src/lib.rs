//! Pools of connections to a PostgreSQL primary and its replicas, which follow the primary across a failover.
//!
//! ```no_run
//! use simdb_route::{Config, PoolManager, QueryIntent};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let pools = PoolManager::connect(Config::from_env()?).await;
//!
//! let client = pools.get(QueryIntent::Read).await?;
//! let notes = client.query("SELECT text FROM note", &[]).await?;
//!
//! let insert = async |client: &tokio_postgres::Client| {
//!     Ok(client.execute("INSERT INTO note (text) VALUES ($1)", &[&"hello"]).await?)
//! };
//! let (_, token) = pools.write(insert).await?;
//! if let Some(token) = token {
//!     let client = pools.get(QueryIntent::ReadAfter(token)).await?;
//! }
//! # let _ = notes;
//! # Ok(())
//! # }
//! ```
//!
//! Which server is the primary is asked of the servers, once a second and whenever a connection breaks: it takes writes,
//! on the newest timeline that any server has shown. The parts, each in a file of its own:
//!
//! ```text
//!   watch ── probes each server by its backoff ──► view ── who is the primary, who is how far behind, what has survived
//!                                                   │
//!   PoolManager::get ── intent ──► candidates ──► breaker ──► pool ──► role check ──► Connection
//! ```
//!
//! Logins need no right beyond their own tables. A login with `pg_read_all_stats` sees at once that a replica has followed
//! a promotion; with others, reads by token go to the primary until the replica's control file says so.

mod backoff;
mod breaker;
mod config;
mod connection;
mod dial;
mod error;
mod health;
mod intent;
mod lsn;
mod manager;
mod pool;
mod select;
mod shared;
mod sight;
mod view;
mod watch;
mod write;

#[cfg(test)]
mod testing;

pub use config::{Config, ConfigError};
pub use connection::Connection;
pub use error::Error;
pub use health::Health;
pub use intent::{Lag, QueryIntent, Token, TokenError};
pub use lsn::{Lsn, LsnError};
pub use manager::PoolManager;
