//! The pure half of each engine: what to run, and what a setting costs. The effectful half lives in the providers.

pub mod pgbouncer;
pub mod postgresql;
