//! Digests, and identifiers made of them.

use std::fmt::Write as _;

use md5::{Digest as _, Md5};
use sha1::Sha1;
use sha2::{Sha256, Sha512};

use super::bytes::to_base64;
use super::{Arguments, Function, OnMarks, Result, Stop, function};

pub(super) const FUNCTIONS: &[Function] = &[
    function(
        "base64sha256(string: string) -> string",
        "Returns the SHA-256 digest of a text in Base64.",
        (
            "base64sha256(\"test\")",
            "\"n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=\"",
        ),
        |a| Ok(to_base64(&Sha256::digest(a.text(0)?)).into()),
    ),
    function(
        "base64sha512(string: string) -> string",
        "Returns the SHA-512 digest of a text in Base64.",
        ("length(base64sha512(\"test\"))", "88"),
        |a| Ok(to_base64(&Sha512::digest(a.text(0)?)).into()),
    ),
    function(
        "md5(string: string) -> string",
        "Returns the MD5 digest of a text in hexadecimal digits.",
        ("md5(\"hello\")", "\"5d41402abc4b2a76b9719d911017c592\""),
        |a| Ok(hex(&Md5::digest(a.text(0)?)).into()),
    ),
    function(
        "sha1(string: string) -> string",
        "Returns the SHA-1 digest of a text in hexadecimal digits.",
        ("sha1(\"test\")", "\"a94a8fe5ccb19ba61c4c0873d391e987982fbbd3\""),
        |a| Ok(hex(&Sha1::digest(a.text(0)?)).into()),
    ),
    function(
        "sha256(string: string) -> string",
        "Returns the SHA-256 digest of a text in hexadecimal digits.",
        (
            "sha256(\"test\")",
            "\"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\"",
        ),
        |a| Ok(hex(&Sha256::digest(a.text(0)?)).into()),
    ),
    function(
        "sha512(string: string) -> string",
        "Returns the SHA-512 digest of a text in hexadecimal digits.",
        ("substr(sha512(\"test\"), 0, 16)", "\"ee26b0dd4af7e749\""),
        |a| Ok(hex(&Sha512::digest(a.text(0)?)).into()),
    ),
    function(
        "uuidv5(namespace: string, name: string) -> string",
        "Returns the UUID of a name in a namespace: dns, url, oid, x500 or a UUID.",
        (
            "uuidv5(\"dns\", \"www.example.com\")",
            "\"2ed6657d-e927-568b-95e1-2665a8aea6a2\"",
        ),
        uuidv5,
    ),
    unforeseen(
        "bcrypt(string: string, cost?: number) -> string",
        "Returns a bcrypt hash with a random salt: known only after apply, since a plan must be reproducible.",
        ("can(bcrypt(\"secret\"))", "unknown"),
    ),
    unforeseen(
        "uuid() -> string",
        "Returns a random UUID: known only after apply, since a plan must be reproducible. See uuidv5.",
        ("can(uuid())", "unknown"),
    ),
];

/// Makes a row for a function whose result no plan can foresee.
pub(super) const fn unforeseen(
    declaration: &'static str,
    doc: &'static str,
    example: (&'static str, &'static str),
) -> Function {
    Function {
        marks: OnMarks::Spread,
        ..function(declaration, doc, example, |_| Err(Stop::Unknown))
    }
}

/// Writes bytes in hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        write!(text, "{byte:02x}").expect("writing to a string cannot fail");
    }
    text
}

fn uuidv5(a: &Arguments<'_>) -> Result {
    let (namespace, name) = (a.text(0)?, a.text(1)?);
    let known = |last: u8| format!("6ba7b81{last}9dad11d180b400c04fd430c8");
    let digits = match namespace.as_str() {
        "dns" => known(0),
        "url" => known(1),
        "oid" => known(2),
        "x500" => known(4),
        other => other.replace('-', ""),
    };
    let space = u128::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == 32);
    let space = space.ok_or_else(|| Stop::Argument(0, "a namespace is dns, url, oid, x500 or a UUID".to_owned()))?;
    let digest = Sha1::new()
        .chain_update(space.to_be_bytes())
        .chain_update(name)
        .finalize();
    let mut bytes: [u8; 16] = std::array::from_fn(|index| digest[index]);
    bytes[6] = bytes[6] & 0x0f | 0x50;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let digits = hex(&bytes);
    let groups = [
        &digits[..8],
        &digits[8..12],
        &digits[12..16],
        &digits[16..20],
        &digits[20..],
    ];
    Ok(groups.join("-").into())
}
