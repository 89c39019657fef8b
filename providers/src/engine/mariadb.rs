//! Speaks to MariaDB servers, 10.11 and later, over TCP and as the login that is simdb's own.
//!
//! `wire` is the protocol and `connection` a session. `observe` reads what a server says of itself, and `offline` what data says whose
//! server is down. `user`, `database` and `verifier` are who may do what. `stream` lets a server follow another one, freezes, drains
//! and ends that; `role` closes and opens servers to writes, and `acknowledgement` says who confirms commits. `salvage` carries over
//! what only the files of a killed primary have. `verify` proves that it all works. Every wait has a limit, and what was last
//! seen is in the error.

pub mod acknowledgement;
pub mod connection;
pub mod database;
pub mod error;
pub mod observe;
pub mod offline;
pub(crate) mod programs;
pub mod ready;
pub mod role;
pub mod salvage;
pub mod settings;
pub mod steps;
pub mod stream;
pub mod user;
pub mod verifier;
pub mod verify;
mod wire;

use std::time::Duration;

pub use self::connection::Connection;
pub use self::error::{Cause, MariadbError};
pub use self::wire::WireError;

/// The login that simdb works with.
pub const LOGIN: &str = "simdb";

/// The database that is simdb's own: its comment says whose data this is, and its tables are markers.
pub const DATABASE: &str = "simdb";

/// How long to wait between two looks at something that is about to change.
const POLL: Duration = Duration::from_millis(10);
