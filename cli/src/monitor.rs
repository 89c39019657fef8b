//! The resident monitor: collects signs of life, lets the planner judge them, and runs what it decides as the commands do.
//!
//! ```text
//!   node (one task a node)   process, answers, new sessions, commits ─┐
//!   record (one task)        the state, pauses, the right to decide ──┼─► watcher ─► planner::watch::judge ─► act ─► ops::converge
//!                                                                     │      └─► board: the last round, and events
//!   the watcher's own clock: how late it is ──────────────────────────┘
//! ```
//!
//! The watcher never waits for a server or for the state: what does not arrive is silent.

mod act;
#[cfg(feature = "monitor-api")]
pub(crate) mod api;
pub mod board;
mod cluster;
mod log;
mod node;
mod record;
mod watcher;
mod work;

pub(crate) use watcher::{Monitor, Settings};
