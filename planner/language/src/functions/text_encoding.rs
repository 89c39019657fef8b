//! Text in other encodings than UTF-8.

use super::bytes::{from_base64, to_base64};
use super::{Arguments, Result, Stop};

/// An encoding of text.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Utf8,
    Utf16 { little: bool },
    Latin1,
    Ascii,
}

/// Reads the name of an encoding, as the registry of character sets lists it.
fn encoding(a: &Arguments<'_>) -> Result<Encoding> {
    let name = a.text(1)?;
    match name.to_uppercase().as_str() {
        "UTF-8" => Ok(Encoding::Utf8),
        "UTF-16LE" => Ok(Encoding::Utf16 { little: true }),
        "UTF-16BE" | "UTF-16" => Ok(Encoding::Utf16 { little: false }),
        "ISO-8859-1" | "LATIN1" => Ok(Encoding::Latin1),
        "US-ASCII" | "ASCII" => Ok(Encoding::Ascii),
        _ => {
            let why = "the encodings are UTF-8, UTF-16LE, UTF-16BE, ISO-8859-1 and US-ASCII";
            Err(Stop::Argument(1, why.to_owned()))
        }
    }
}

pub(super) fn textencodebase64(a: &Arguments<'_>) -> Result {
    let (text, encoding) = (a.text(0)?, encoding(a)?);
    let narrow = |most: u32| {
        let byte = |c: char| u8::try_from(u32::from(c)).ok().filter(|_| u32::from(c) <= most);
        let why = || Stop::Argument(0, "a character has no place in this encoding".to_owned());
        text.chars()
            .map(|c| byte(c).ok_or_else(why))
            .collect::<Result<Vec<u8>>>()
    };
    let bytes = match encoding {
        Encoding::Utf8 => text.into_bytes(),
        Encoding::Utf16 { little: true } => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        Encoding::Utf16 { little: false } => text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
        Encoding::Latin1 => narrow(255)?,
        Encoding::Ascii => narrow(127)?,
    };
    Ok(to_base64(&bytes).into())
}

pub(super) fn textdecodebase64(a: &Arguments<'_>) -> Result {
    let (bytes, encoding) = (from_base64(a)?, encoding(a)?);
    let text = match encoding {
        Encoding::Utf8 => String::from_utf8(bytes).ok(),
        Encoding::Utf16 { little } => wide(&bytes, little),
        Encoding::Latin1 => Some(bytes.into_iter().map(char::from).collect()),
        Encoding::Ascii => bytes.is_ascii().then(|| bytes.into_iter().map(char::from).collect()),
    };
    let why = || Stop::Argument(0, "what the Base64 stands for is no text in this encoding".to_owned());
    Ok(text.ok_or_else(why)?.into())
}

fn wide(bytes: &[u8], little: bool) -> Option<String> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let unit = if little { u16::from_le_bytes } else { u16::from_be_bytes };
    let units: Vec<u16> = pairs.iter().copied().map(unit).collect();
    String::from_utf16(&units).ok().filter(|_| rest.is_empty())
}
