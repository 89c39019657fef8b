//! Bytes as text in Base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Arguments, Result, Stop};

/// Reads the bytes of an argument that is written in Base64.
pub(super) fn from_base64(a: &Arguments<'_>) -> Result<Vec<u8>> {
    let decoded = STANDARD.decode(a.text(0)?.replace(['\r', '\n'], ""));
    decoded.map_err(|_| Stop::Argument(0, "the text is no Base64".to_owned()))
}

pub(super) fn to_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}
