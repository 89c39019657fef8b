//! Values as a reader knows them: with the unit that a bare number of the catalog leaves out.

use super::{Unit, find, show_bytes};

/// Returns a value with its unit: `1` of `max_slot_wal_keep_size` is `1MB`. Other values are returned as they are.
pub fn shown(version: u16, name: &str, value: &str) -> String {
    let unit = find(version, name).and_then(|setting| setting.unit);
    match (unit, value.parse::<u64>()) {
        (Some(Unit::Memory(base)), Ok(number)) if number > 0 => show_bytes(number.saturating_mul(base.into())),
        (Some(Unit::Time(base)), Ok(number)) if number > 0 => match base {
            1_000_000 => format!("{number}s"),
            60_000_000 => format!("{number}min"),
            _ => format!("{number}ms"),
        },
        _ => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_number_gets_the_unit_of_its_setting() {
        let cases = [
            ("max_slot_wal_keep_size", "1", "1MB"),
            ("shared_buffers", "4096", "32MB"),
            ("work_mem", "64kB", "64kB"),
            ("checkpoint_timeout", "300", "300s"),
            ("statement_timeout", "1500", "1500ms"),
            ("log_rotation_age", "90", "90min"),
            ("max_slot_wal_keep_size", "-1", "-1"),
            ("statement_timeout", "0", "0"),
            ("max_connections", "50", "50"),
            ("app.unknown", "7", "7"),
        ];
        for (name, value, expected) in cases {
            assert_eq!(shown(17, name, value), expected, "{name}");
        }
    }
}
