//! The resident monitor: collects signs of life, lets the planner judge them, and runs what it decides as the commands do.
//!
//! ```text
//!   node (one task a node)   process, answers, new sessions, commits ─┐
//!   record (one task)        the state, pauses, the right to decide ──┼─► watcher ─► planner::watch::judge ─► act ─► ops::converge
//!                                                                     │      └─► board: the last round, and events
//!   orders (of people, over the API) ─────────────────────────────────┤
//!   the watcher's own clock: how late it is ──────────────────────────┘
//! ```
//!
//! The watcher never waits for a server or for the state: what does not arrive is silent.

mod act;
#[cfg(feature = "monitor-api")]
pub(crate) mod api;
pub mod board;
mod cluster;
#[cfg(feature = "monitor-api")]
mod histogram;
#[cfg(feature = "monitor-api")]
mod journal;
mod log;
mod node;
#[cfg(feature = "monitor-api")]
mod notify;
mod order;
mod outcome;
mod quiet;
mod record;
#[cfg(feature = "monitor-api")]
mod survey;
mod watcher;
mod work;

#[cfg(feature = "monitor-api")]
pub(crate) use notify::Deliveries;
pub(crate) use watcher::{Monitor, Settings};
