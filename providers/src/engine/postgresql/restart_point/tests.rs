use super::*;

const SEGMENT: u64 = 16 << 20;

fn point(checkpoint: u64) -> RestartPoint {
    RestartPoint {
        checkpoint: Lsn(checkpoint),
        redo: Lsn(0x0400_00D8),
        segment: SEGMENT,
    }
}

/// The log from a position on: a record of a kind whose first value is a redo position, with headers of pages in between.
fn log(from: u64, kind: u8, manager: u8, redo: u64) -> Vec<u8> {
    let mut record = vec![0_u8; 24];
    (record[16], record[17]) = (kind, manager);
    record.extend([0xFF, 88]);
    record.extend(redo.to_le_bytes());
    let mut bytes = Vec::new();
    for byte in record {
        let position = from + bytes.len() as u64;
        if position.is_multiple_of(SEGMENT) {
            bytes.extend([0xAA; 40]);
        } else if position.is_multiple_of(PAGE) {
            bytes.extend([0xAA; 24]);
        }
        bytes.push(byte);
    }
    bytes
}

#[test]
fn a_checkpoint_of_the_log_is_recognised_wherever_pages_end() {
    for checkpoint in [0x0400_0110, 0x0400_2000 - 16, 0x0400_2000 - 32, 0x0500_0000 - 8] {
        let bytes = log(checkpoint, 0x10, 0, 0x0400_00D8);
        assert!(point(checkpoint).is_in(&bytes), "{checkpoint:X}");
    }
}

#[test]
fn what_is_no_checkpoint_or_another_one_is_told_apart() {
    let at = 0x0400_0110;
    for bytes in [
        log(at, 0x00, 10, 0x0400_00D8),
        log(at, 0x20, 0, 0x0400_00D8),
        log(at, 0x10, 0, 0x0400_0000),
        Vec::new(),
    ] {
        assert!(!point(at).is_in(&bytes), "{bytes:?}");
    }
}

#[test]
fn files_are_named_as_the_servers_name_them() {
    assert_eq!(point(0).file(0x102), "0000000100000002");
}

#[test]
fn a_record_that_crosses_the_end_of_a_file_is_read_from_both() {
    let query = point(0x0500_0000 - 8).query();
    assert!(query.contains(", 16777208, 8, true)"), "{query}");
    assert!(query.contains("'0000000000000005', 0, 66, true)"), "{query}");
}

#[test]
fn what_a_server_prints_is_read_as_bytes() {
    assert_eq!(bytes("00ff10"), Some(vec![0, 255, 16]));
    assert_eq!(bytes("zz"), None);
}
