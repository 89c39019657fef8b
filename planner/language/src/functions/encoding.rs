//! Functions that write values as text, and read them from it.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::{Compress, Compression, Crc, FlushCompress};

use crate::json;
use crate::value::Value;
use crate::value::json_text::{self, Unwritable};

use super::arguments::bounded;
use super::bytes::from_base64;
use super::{Arguments, Function, Result, Stop, csv, function, text_encoding, yaml};

pub(super) const FUNCTIONS: &[Function] = &[
    function(
        "base64decode(string: string) -> string",
        "Reads text in UTF-8 that is written in Base64.",
        ("base64decode(\"SGVsbG8=\")", "\"Hello\""),
        base64decode,
    ),
    function(
        "base64encode(string: string) -> string",
        "Writes text in UTF-8 in Base64.",
        ("base64encode(\"Hello\")", "\"SGVsbG8=\""),
        |a| Ok(STANDARD.encode(a.text(0)?).into()),
    ),
    function(
        "base64gzip(string: string) -> string",
        "Compresses text with gzip, and writes the result in Base64.",
        (
            "base64gzip(\"test\")",
            "\"H4sIAAAAAAAA/ypJLS4BAAAA//8BAAD//wx+f9gEAAAA\"",
        ),
        base64gzip,
    ),
    function(
        "csvdecode(string: string) -> list(map(string))",
        "Reads comma-separated values, whose first line names the columns.",
        ("csvdecode(\"a,b\\n1,2\")", "[{\"a\":\"1\",\"b\":\"2\"}]"),
        csv::csvdecode,
    ),
    function(
        "jsondecode(string: string) -> any",
        "Reads a value that is written in JSON.",
        ("jsondecode(\"{\\\"a\\\": [1, null]}\")", "{\"a\":[1,null]}"),
        jsondecode,
    ),
    function(
        "jsonencode(value: any) -> string",
        "Writes a value in JSON.",
        ("jsonencode({ a = [1, null] })", "\"{\\\"a\\\":[1,null]}\""),
        jsonencode,
    ),
    function(
        "textdecodebase64(string: string, encoding: string) -> string",
        "Reads text in an encoding such as UTF-16LE that is written in Base64.",
        ("textdecodebase64(\"dABlAHMAdAA=\", \"UTF-16LE\")", "\"test\""),
        text_encoding::textdecodebase64,
    ),
    function(
        "textencodebase64(string: string, encoding: string) -> string",
        "Writes text in an encoding such as UTF-16LE, and that in Base64.",
        ("textencodebase64(\"test\", \"UTF-16LE\")", "\"dABlAHMAdAA=\""),
        text_encoding::textencodebase64,
    ),
    function(
        "urlencode(string: string) -> string",
        "Writes text so that it can be part of the query of a URL.",
        ("urlencode(\"a b&c\")", "\"a+b%26c\""),
        urlencode,
    ),
    function(
        "yamldecode(string: string) -> any",
        "Reads a value that is written in YAML.",
        ("yamldecode(\"a: [1, no]\\nb: ~\")", "{\"a\":[1,\"no\"],\"b\":null}"),
        yaml::yamldecode,
    ),
    function(
        "yamlencode(value: any) -> string",
        "Writes a value in YAML.",
        (
            "yamlencode({ a = 1, b = [\"x\"] })",
            "\"\\\"a\\\": 1\\n\\\"b\\\":\\n- \\\"x\\\"\\n\"",
        ),
        yaml::yamlencode,
    ),
];

fn base64decode(a: &Arguments<'_>) -> Result {
    let text = String::from_utf8(from_base64(a)?);
    let text = text.map_err(|_| Stop::Argument(0, "what the Base64 stands for is no text in UTF-8".to_owned()))?;
    Ok(text.into())
}

/// Compresses as Go does: the data flushed, then an empty last block.
fn base64gzip(a: &Arguments<'_>) -> Result {
    let text = a.text(0)?;
    let mut gzip = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let mut compress = Compress::new(Compression::default(), false);
    let failed = || Stop::Call("the text could not be compressed".to_owned());
    loop {
        gzip.reserve(text.len() / 2 + 64);
        let read = usize::try_from(compress.total_in()).map_err(|_| failed())?;
        let (full, length) = (gzip.capacity(), gzip.len());
        compress
            .compress_vec(&text.as_bytes()[read..], &mut gzip, FlushCompress::Sync)
            .map_err(|_| failed())?;
        let is_read = compress.total_in() == u64::try_from(text.len()).unwrap_or(u64::MAX);
        if is_read && (gzip.len() < full || gzip.len() == length) {
            break;
        }
    }
    gzip.extend([1, 0, 0, 255, 255]);
    let mut crc = Crc::new();
    crc.update(text.as_bytes());
    gzip.extend(crc.sum().to_le_bytes());
    gzip.extend(crc.amount().to_le_bytes());
    Ok(STANDARD.encode(gzip).into())
}

fn jsondecode(a: &Arguments<'_>) -> Result {
    let text = a.text(0)?;
    let node = json::read(&text).map_err(|problem| {
        let line = text[..problem.at.start].matches('\n').count() + 1;
        let why = format!("the text is no JSON: in line {line}, {}", problem.message);
        Stop::Argument(
            0,
            if a.sensitive {
                "the text is no JSON".to_owned()
            } else {
                why
            },
        )
    })?;
    Ok(node.value())
}

fn jsonencode(a: &Arguments<'_>) -> Result {
    match json_text::write(&a.values[0]) {
        Ok(text) => bounded(text),
        Err(Unwritable::Unknown) => Err(Stop::Unknown),
        Err(Unwritable::TooLong) => Err(Stop::Call("the result would be too long".to_owned())),
    }
}

fn urlencode(a: &Arguments<'_>) -> Result {
    let mut encoded = String::new();
    for byte in a.text(0)?.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => encoded.push(char::from(byte)),
            b' ' => encoded.push('+'),
            _ => write!(encoded, "%{byte:02X}").expect("writing to a string cannot fail"),
        }
    }
    Ok(Value::from(encoded))
}
