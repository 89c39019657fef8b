//! Speaks to PostgreSQL servers, 15 and later, over TCP and as their superuser.
//!
//! `connection` is a session, `observe` reads what a server says of itself in one round trip, `condition` says what keeps
//! a standby from being in sync, `ruin` whether its data is beyond recovery, and `ready`, `replication`, `settings`, `sync`, `verify`, `user`, `database` and `seed` are
//! what steps do with them. `restart_point` says whether data stands on the log beside it. `ledger` writes under load and
//! keeps account, `converge` waits until all servers hold the same, and `compare` and `log_files` look whether they do, in
//! their tables (`table` is how rows are read) and in their logs. `owner` is a session that is not the superuser's, and
//! `privilege` what its role may meanwhile. Every
//! wait has a limit, and what was last seen is in the error.

pub mod compare;
pub(crate) mod condition;
pub(crate) mod connection;
pub(crate) mod control;
pub mod converge;
pub(crate) mod database;
pub(crate) mod entry;
pub mod error;
pub mod ledger;
pub mod log_files;
mod look;
pub(crate) mod observe;
pub(crate) mod obstacle;
pub(crate) mod owner;
mod privilege;
pub(crate) mod programs;
pub(crate) mod promotion;
pub(crate) mod ready;
pub(crate) mod replication;
pub(crate) mod restart_point;
pub(crate) mod ruin;
pub mod seed;
mod session_settings;
pub(crate) mod settings;
pub(crate) mod signs;
mod steps;
pub(crate) mod sync;
mod table;
pub mod trial;
mod unmanaged;
pub(crate) mod user;
mod verifier;
pub mod verify;

use std::time::Duration;

pub(crate) use error::{Activity, Cause, Log, PostgresqlError};

/// How long to wait between two looks at something that is about to change.
const POLL: Duration = Duration::from_millis(10);
