//! How things are shown: documents are the public JSON, and what people read is rendered from the same documents.

pub mod doc;
pub mod human;
pub mod json;
pub(crate) mod operation;
#[cfg(test)]
pub(crate) mod sample;
