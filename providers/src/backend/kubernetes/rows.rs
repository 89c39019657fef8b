//! Rows as bytes and back: the pure half of what Secrets hold.
//!
//! ```text
//!   row       length of the key, key, version, 1 or 0 (deleted), length of the bytes, bytes      numbers are little-endian
//!   layer     rows in the order of their keys, compressed; cut into chunks, of which each is a Secret
//!   segments  what the head holds: length and compressed rows of one commit, and again
//! ```
//!
//! The head carries the number of this format.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::sync::Arc;

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use simdb_state::backend::{Key, Version};

/// One row, or the note that it was deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) version: Version,
    /// Nothing where the row was deleted: an older layer may still have it.
    pub(super) bytes: Option<Arc<[u8]>>,
}

/// Rows by key.
pub(super) type Rows = BTreeMap<Key, Entry>;

/// Returns rows as compressed bytes.
pub(super) fn packed(rows: &Rows) -> Vec<u8> {
    // Rows are JSON that repeats itself: the fastest level makes it six times smaller, and the best one eight times.
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    let mut write = |bytes: &[u8]| encoder.write_all(bytes).expect("memory takes everything");
    for (key, Entry { version, bytes }) in rows {
        let key = key.as_str().as_bytes();
        write(&length(key));
        write(key);
        write(&version.0.to_le_bytes());
        write(&[u8::from(bytes.is_some())]);
        let bytes = bytes.as_deref().unwrap_or_default();
        write(&length(bytes));
        write(bytes);
    }
    encoder.finish().expect("memory takes everything")
}

/// Reads rows, or says what is wrong with the bytes.
pub(super) fn unpacked(packed: &[u8]) -> Result<Rows, &'static str> {
    let mut clear = Vec::new();
    let inflated = DeflateDecoder::new(packed).read_to_end(&mut clear);
    inflated.map_err(|_| "its rows cannot be decompressed")?;
    let mut rest = clear.as_slice();
    let mut rows = Rows::new();
    while !rest.is_empty() {
        let (key, entry) = row(&mut rest).ok_or("its rows are cut off")?;
        rows.insert(key, entry);
    }
    Ok(rows)
}

fn row(rest: &mut &[u8]) -> Option<(Key, Entry)> {
    let length = number(rest)?;
    let key = str::from_utf8(take(rest, length)?).ok()?;
    let version = take(rest, 8)?.try_into().ok()?;
    let is_there = take(rest, 1)? == [1];
    let length = number(rest)?;
    let bytes = take(rest, length)?;
    let entry = Entry {
        version: Version(u64::from_le_bytes(version)),
        bytes: is_there.then(|| bytes.into()),
    };
    Some((Key::new(key), entry))
}

/// Adds the rows of one commit to the bytes that the head holds.
pub(super) fn append(segments: &mut Vec<u8>, rows: &Rows) {
    let segment = packed(rows);
    segments.extend(length(&segment));
    segments.extend(segment);
}

/// Reads what the head holds: of several rows with one key the last one counts.
pub(super) fn segments(mut rest: &[u8]) -> Result<Rows, &'static str> {
    let mut rows = Rows::new();
    while !rest.is_empty() {
        let segment = number(&mut rest).and_then(|length| take(&mut rest, length));
        rows.extend(unpacked(segment.ok_or("its latest rows are cut off")?)?);
    }
    Ok(rows)
}

fn length(bytes: &[u8]) -> [u8; 4] {
    let length = u32::try_from(bytes.len()).expect("a record has no row of 4 GiB");
    length.to_le_bytes()
}

fn number(rest: &mut &[u8]) -> Option<usize> {
    let bytes = take(rest, 4)?.try_into().ok()?;
    usize::try_from(u32::from_le_bytes(bytes)).ok()
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(length)?;
    *rest = left;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(version: u64, bytes: Option<&[u8]>) -> Entry {
        Entry {
            version: Version(version),
            bytes: bytes.map(Into::into),
        }
    }

    #[test]
    fn rows_come_back_as_they_were_packed() {
        let all: Vec<u8> = (0..=255).cycle().take(1_000_000).collect();
        let rows = Rows::from([
            (Key::new("a"), entry(1, Some(b""))),
            (Key::new("gone"), entry(u64::MAX, None)),
            (Key::new("object/cluster.c.node.r[\"eu.west\"]"), entry(7, Some(&all))),
        ]);
        assert_eq!(unpacked(&packed(&rows)).unwrap(), rows);
        assert_eq!(unpacked(&packed(&Rows::new())).unwrap(), Rows::new());
    }

    #[test]
    fn of_the_rows_in_the_head_the_last_one_counts() {
        let mut bytes = Vec::new();
        append(&mut bytes, &Rows::from([(Key::new("a"), entry(1, Some(b"old")))]));
        append(&mut bytes, &Rows::from([(Key::new("a"), entry(2, None))]));
        assert_eq!(segments(&bytes).unwrap(), Rows::from([(Key::new("a"), entry(2, None))]));
    }

    #[test]
    fn bytes_that_are_no_rows_are_told_from_rows() {
        let packed = packed(&Rows::from([(Key::new("a"), entry(1, Some(b"some bytes")))]));
        for cut in 0..packed.len() {
            let read = unpacked(&packed[..cut]);
            assert!(read.is_err() || read == Ok(Rows::new()), "{cut}: {read:?}");
        }
        assert!(unpacked(b"no deflate at all").is_err());
        assert!(segments(&[9, 0, 0, 0, 1]).is_err());
    }
}
