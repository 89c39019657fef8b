//! How much of its machine a server may take, as people write it.

use crate::engine::settings;

/// The least memory: with less no server starts.
const LEAST_MEMORY: u64 = 16 << 20;

/// The smallest volume: with less no server starts.
const LEAST_STORAGE: u64 = 64 << 20;

/// The most processors that anybody can mean.
const MOST_CPUS: f64 = 4096.0;

/// Reads a size of memory, or says what one is.
pub(crate) fn memory(text: &str) -> Result<u64, String> {
    let bytes = settings::read_bytes(text).filter(|bytes| *bytes >= LEAST_MEMORY);
    bytes.ok_or_else(|| {
        format!(
            "\"memory\" is a size of at least {} such as \"512MB\" or \"2GB\", not {text:?}.",
            settings::show_bytes(LEAST_MEMORY)
        )
    })
}

/// Reads the size of a volume, or says what one is.
pub(crate) fn storage(text: &str) -> Result<u64, String> {
    let bytes = settings::read_bytes(text).filter(|bytes| *bytes >= LEAST_STORAGE);
    bytes.ok_or_else(|| {
        format!(
            "\"storage\" is the size of the volume of each server, at least {}, such as \"10GB\"; {text:?} is not.",
            settings::show_bytes(LEAST_STORAGE)
        )
    })
}

/// Reads a number of processors as thousandths, or says what one is.
pub(crate) fn cpus(text: &str) -> Result<u32, String> {
    let thousandths = text.parse::<f64>().map(|number| number * 1000.0).ok();
    let thousandths = thousandths.filter(|number| (10.0..=MOST_CPUS * 1000.0).contains(number));
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is within bounds"
    )]
    let thousandths = thousandths.map(|number| number.round() as u32);
    thousandths.ok_or_else(|| {
        format!("\"cpus\" is how many processors a server may keep busy, from 0.01 to {MOST_CPUS}, such as 1.5, not {text:?}.")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_and_processors_are_read_as_people_write_them() {
        assert_eq!(memory("512MB"), Ok(512 << 20));
        assert_eq!(memory("2GB"), Ok(2 << 30));
        for text in ["", "much", "1MB", "-1GB"] {
            assert!(memory(text).is_err(), "{text}");
        }
        assert_eq!(storage("10GB"), Ok(10 << 30));
        assert!(storage("1MB").is_err() && storage("much").is_err());
        assert_eq!((cpus("1.5"), cpus("2"), cpus("0.01")), (Ok(1500), Ok(2000), Ok(10)));
        for text in ["", "two", "0", "-1", "NaN", "1e9"] {
            assert!(cpus(text).is_err(), "{text}");
        }
    }
}
