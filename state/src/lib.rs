//! What simdb records, under which names, and where it keeps it.
//!
//! ```text
//!   names ─► addresses ─► objects ─► State      in memory, values only
//!                                      │ Delta: what one step changes
//!                                      ▼
//!   Store (serial, journal, secrets) ─► Backend: rows by key, one lock
//! ```
//!
//! The crate knows no plan: the journal keeps a run's plan as an opaque document. What a backend stores is bytes.

pub mod address;
pub mod delta;
pub mod instance;
pub mod lsn;
pub mod name;
pub mod object;
pub mod sensitive;
pub mod store;
