//! Fuzz targets: plain functions that take any input and panic where something does not hold.
//!
//! [`mutate`] makes inputs out of a corpus and a seed, so that a run is the same everywhere; `tests/seeded.rs` is the run
//! that `make test` makes. An input that was found to break something is kept below `cases/`, and is run first.

pub mod corpus;
pub mod mutate;
pub mod targets;
