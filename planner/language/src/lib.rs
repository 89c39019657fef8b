//! The expression language: text to syntax trees, expressions to values. It knows no block of simdb's.
//!
//! ```text
//! text ─ token ─ parse ─► trees ─ reference ─► eval ─► Value
//!          └ scan: mistakes that have no tree     └ functions, operators, templates
//! ```
//!
//! Semantics follow HCL2 and Terraform. What an application adds (its blocks, the objects that expressions refer to) is a
//! [`dialect::Dialect`]. Synchronous: no I/O, no clock, no randomness; what functions read of files is handed in
//! ([`files::Files`]).

pub mod convert;
pub mod diagnostic;
pub mod dialect;
pub mod eval;
pub mod files;
pub mod format;
pub mod functions;
mod heredoc;
pub mod json;
pub mod number;
pub mod parse;
pub mod reference;
mod scan;
pub mod source;
pub mod suggest;
#[cfg(test)]
mod tests;
mod token;
pub mod types;
pub mod value;
pub mod write;
