//! The effectful half of each engine: what speaks to its servers, and what a platform must know of its programs.

pub mod pgbouncer;
pub mod postgresql;
