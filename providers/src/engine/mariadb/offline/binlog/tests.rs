use std::io::Cursor;

use proptest::prelude::*;

use super::*;

/// Writes an event as a server does, without a checksum.
fn event(kind: u8, server: u32, flags: u16, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap() + 19;
    let mut bytes = vec![0; 4];
    bytes.push(kind);
    bytes.extend(server.to_le_bytes());
    bytes.extend(length.to_le_bytes());
    bytes.extend([0; 4]);
    bytes.extend(flags.to_le_bytes());
    bytes.extend_from_slice(body);
    bytes
}

fn head(flags: u16) -> Vec<u8> {
    [MAGIC.to_vec(), event(FORMAT_DESCRIPTION, 1001, flags, &[0; 80])].concat()
}

fn gtid_list(gtids: &[(u32, u32, u64)]) -> Vec<u8> {
    let mut body = u32::try_from(gtids.len()).unwrap().to_le_bytes().to_vec();
    for (domain, server, sequence) in gtids {
        body.extend(domain.to_le_bytes());
        body.extend(server.to_le_bytes());
        body.extend(sequence.to_le_bytes());
    }
    event(GTID_LIST, 1001, 0, &body)
}

fn begin(sequence: u64, flags: u8) -> Vec<u8> {
    let mut body = sequence.to_le_bytes().to_vec();
    body.extend([0, 0, 0, 0, flags, 0, 0, 0, 0, 0, 0]);
    event(GTID, 1001, 0, &body)
}

fn statement(text: &[u8]) -> Vec<u8> {
    let mut body = vec![0; 13];
    body[8] = 1;
    body.extend(b"x\0");
    body.extend_from_slice(text);
    event(QUERY, 1001, 0, &body)
}

fn parse(bytes: &[u8]) -> Result<Binlog, BinlogError> {
    read(Cursor::new(bytes), bytes.len() as u64)
}

fn sequence(bytes: &[u8]) -> Option<u64> {
    parse(bytes).unwrap().last.get(&0).map(|gtid| gtid.sequence)
}

/// Three groups: of rows, of one statement, and of rows in a table without transactions.
fn groups() -> [Vec<u8>; 3] {
    [
        [begin(11, 0), event(30, 1001, 0, &[1; 40]), event(XID, 1001, 0, &[0; 8])].concat(),
        [begin(12, STANDALONE), statement(b"CREATE TABLE t (i INT)")].concat(),
        [begin(13, 0), event(30, 1001, 0, &[1; 40]), statement(b"COMMITcrc4")].concat(),
    ]
}

#[test]
fn a_transaction_counts_where_its_group_is_whole() {
    let start = [head(IN_USE), gtid_list(&[(0, 1001, 9), (0, 2001, 10)])].concat();
    assert_eq!(sequence(&start), Some(10));
    let all = [start.clone(), groups().concat()].concat();
    let parsed = parse(&all).unwrap();
    assert!(parsed.in_use && !parsed.cut_off);
    assert_eq!(parsed.state, BTreeMap::from([((0, 1001), 13), ((0, 2001), 10)]));
    // Cut off at each byte, the last whole group is the one that ends at or before it.
    let ends: Vec<usize> = (0..=3)
        .map(|count| start.len() + groups()[..count].concat().len())
        .collect();
    for cut in start.len()..all.len() {
        let whole = ends.iter().filter(|end| **end <= cut).count() as u64;
        assert_eq!(sequence(&all[..cut]), Some(9 + whole), "cut off after {cut} bytes");
        assert_eq!(parse(&all[..cut]).unwrap().cut_off, !ends.contains(&cut), "{cut}");
    }
}

#[test]
fn a_file_that_was_closed_says_so() {
    assert!(!parse(&head(0)).unwrap().in_use);
    assert!(parse(&head(IN_USE)).unwrap().in_use);
    for cut in 0..head(0).len() {
        assert!(matches!(parse(&head(0)[..cut]), Err(BinlogError::NoHead)), "{cut}");
    }
}

#[test]
fn what_cannot_be_read_is_no_end_of_the_log() {
    let encrypted = [head(0), event(START_ENCRYPTION, 1001, 0, &[0; 20])].concat();
    assert!(matches!(parse(&encrypted), Err(BinlogError::Encrypted)));
    let short = [head(0), event(GTID, 1001, 0, &[0; 3])].concat();
    assert!(matches!(parse(&short), Err(BinlogError::Event(103))));
    let long = [head(0), event(GTID_LIST, 1001, 0, &[0xff; 8])].concat();
    assert!(matches!(parse(&long), Err(BinlogError::Event(103))));
}

proptest! {
    #[test]
    fn no_bytes_are_a_panic(tail in prop::collection::vec(any::<u8>(), 0..300), announced in 0_u64..1000) {
        let _ = parse(&tail);
        let bytes = [head(IN_USE), tail].concat();
        let _ = parse(&bytes);
        // The file may have become shorter since it was measured.
        let _ = read(Cursor::new(&bytes), announced);
    }

    #[test]
    fn a_byte_that_was_changed_is_no_panic(at in 0_usize..400, byte in any::<u8>()) {
        let mut bytes = [head(IN_USE), gtid_list(&[(0, 1001, 10)]), groups().concat()].concat();
        let length = bytes.len();
        bytes[at % length] = byte;
        let _ = parse(&bytes);
    }
}
