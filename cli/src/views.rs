//! How things are shown: documents are the public JSON, and what people read is rendered from the same documents.

#![expect(
    clippy::format_push_string,
    clippy::format_collect,
    reason = "a view is a small text put together of pieces; write! would add a Result to each that cannot fail"
)]

pub mod doc;
pub(crate) mod fold;
pub(crate) mod github;
pub mod graph;
pub mod human;
pub mod json;
pub mod markdown;
pub(crate) mod operation;
pub(crate) mod overview;
#[cfg(test)]
pub(crate) mod sample;
pub(crate) mod schema;
