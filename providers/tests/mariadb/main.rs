//! Real MariaDB servers: what is told of them, and what they do when they are told.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod access;
mod bed;
mod blueprint;
mod cluster;
mod looking;
#[path = "../postgresql/port.rs"]
mod port;
mod replication;
mod roles;
mod steps;
