//! Sizes and numbers as the API writes them: `10Gi`, `500m`, `3`.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// What a thousandth, the least that the API counts, is written with.
const THOUSANDTH: &str = "m";

/// The units of thousands, and those of 1024s, from the smallest.
const DECIMAL: [&str; 6] = ["k", "M", "G", "T", "P", "E"];
const BINARY: [&str; 6] = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

/// Returns a size, as the API has it.
pub(super) fn of_bytes(bytes: u64) -> Quantity {
    Quantity(written(bytes.into()))
}

/// Returns a number as the API has it, in the largest unit that leaves nothing over.
fn written(whole: u128) -> String {
    let units = BINARY.iter().enumerate().rev();
    let mut units = units.map(|(at, unit)| (unit, 1_u128 << (10 * (at + 1))));
    match units.find(|(_, factor)| whole > 0 && whole.is_multiple_of(*factor)) {
        Some((unit, factor)) => format!("{}{unit}", whole / factor),
        None => whole.to_string(),
    }
}

/// Writes thousandths as the API does.
pub(super) fn show(thousandths: u128) -> String {
    if thousandths.is_multiple_of(1000) {
        written(thousandths / 1000)
    } else {
        format!("{thousandths}{THOUSANDTH}")
    }
}

/// Reads a size in bytes; nothing where it is none.
pub(super) fn bytes(quantity: &Quantity) -> Option<u64> {
    u64::try_from(thousandths(quantity)? / 1000).ok()
}

/// Reads a number in thousandths; nothing where it is none, or is written with an exponent.
pub(super) fn thousandths(quantity: &Quantity) -> Option<u128> {
    let text = quantity.0.as_str();
    let number = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit = &text[number.len()..];
    if number.is_empty() {
        return None;
    }
    let power = |units: [&str; 6], base: u128| {
        let (_, power) = units.iter().zip(1_u32..).find(|(name, _)| **name == unit)?;
        base.checked_pow(power)?.checked_mul(1000)
    };
    let factor = match unit {
        "" => 1000,
        THOUSANDTH => 1,
        _ => power(DECIMAL, 1000).or_else(|| power(BINARY, 1024))?,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let part = |digits: &str| match digits {
        "" => Some(0),
        digits => digits.parse::<u128>().ok(),
    };
    let scale = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let scaled = part(whole)?.checked_mul(scale)?.checked_add(part(fraction)?)?;
    scaled.checked_mul(factor).map(|scaled| scaled.div_ceil(scale))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_they_are_written() {
        let read = |text: &str| bytes(&Quantity(text.to_owned()));
        for size in [1, 1536 << 20, 10 << 30, 1000] {
            assert_eq!(bytes(&of_bytes(size)), Some(size));
        }
        assert_eq!(of_bytes(1536 << 20).0, "1536Mi");
        assert_eq!(read("5G"), Some(5_000_000_000));
        assert_eq!((read("1.5Gi"), read("1Ei")), (Some(1536 << 20), Some(1 << 60)));
        assert_eq!((read("much"), read(""), read("1e3")), (None, None, None));
    }

    #[test]
    fn numbers_are_read_in_thousandths() {
        let read = |text: &str| thousandths(&Quantity(text.to_owned()));
        assert_eq!(
            (read("3"), read("500m"), read("0.5")),
            (Some(3000), Some(500), Some(500))
        );
        assert_eq!(
            (show(500), show(3000), show((2 << 30) * 1000)),
            ("500m".to_owned(), "3".to_owned(), "2Gi".to_owned())
        );
    }
}
