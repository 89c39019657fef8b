//! What goes wrong with real servers, and what simdb makes of it: every scenario ends with one node that writes, every
//! acknowledged row on every node, all members in sync, and nothing left to do.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod copies;
mod election;
mod own_log;
mod primary;
mod ruined;
mod settings;
mod split_brain;
mod waiting;

const APPLY: [&str; 2] = ["apply", "-auto-approve"];
