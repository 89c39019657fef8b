//! Files as the daemon takes and gives them: archives in the format of `tar` (POSIX ustar).

use std::collections::BTreeMap;
use std::{fmt, io};

/// An archive is made of blocks of this size.
const BLOCK: usize = 512;

/// The longest name of a file in an archive.
const MAX_NAME: usize = 100;

/// The user and group that files belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) user: u32,
    pub(super) group: u32,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.user, self.group)
    }
}

/// An archive that is being made.
#[derive(Debug)]
pub(super) struct Archive {
    bytes: Vec<u8>,
    owner: Owner,
    /// When its files were last changed, in seconds since 1970.
    time: u64,
}

impl Archive {
    pub(super) fn new(owner: Owner, time: u64) -> Self {
        Self {
            bytes: Vec::new(),
            owner,
            time,
        }
    }

    /// Adds a directory that its owner alone may enter.
    pub(super) fn directory(&mut self, name: &str) -> io::Result<()> {
        self.header(&format!("{name}/"), 0o700, 0, b'5')
    }

    /// Adds a file that its owner alone may read and write.
    pub(super) fn file(&mut self, name: &str, content: &[u8]) -> io::Result<()> {
        self.header(name, 0o600, content.len(), b'0')?;
        self.bytes.extend_from_slice(content);
        self.bytes.resize(self.bytes.len().next_multiple_of(BLOCK), 0);
        Ok(())
    }

    fn header(&mut self, name: &str, mode: u32, size: usize, kind: u8) -> io::Result<()> {
        if name.len() > MAX_NAME {
            let text = format!("the name {name:?} has more than {MAX_NAME} characters");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let mut header = [0_u8; BLOCK];
        let mut put = |at: usize, text: &[u8]| header[at..at + text.len()].copy_from_slice(text);
        put(0, name.as_bytes());
        put(100, format!("{mode:07o}\0").as_bytes());
        put(108, format!("{:07o}\0", self.owner.user).as_bytes());
        put(116, format!("{:07o}\0", self.owner.group).as_bytes());
        put(124, format!("{size:011o}\0").as_bytes());
        put(136, format!("{:011o}\0", self.time).as_bytes());
        put(148, b"        ");
        put(156, &[kind]);
        put(257, b"ustar\x0000");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.bytes.extend_from_slice(&header);
        Ok(())
    }

    /// Returns the archive, with the two empty blocks that end it.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.bytes.resize(self.bytes.len() + 2 * BLOCK, 0);
        self.bytes
    }
}

/// Reads the files of an archive by name. One that is cut off tells what came before.
pub(super) fn read(bytes: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut rest = bytes;
    while let Some((header, after)) = rest.split_at_checked(BLOCK) {
        let text = |from: usize, to: usize| {
            let field = &header[from..to];
            let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
            String::from_utf8_lossy(&field[..end]).trim().to_owned()
        };
        let name = text(0, MAX_NAME);
        let Ok(size) = usize::from_str_radix(&text(124, 136), 8) else {
            break;
        };
        let Some(content) = after.get(..size).filter(|_| !name.is_empty()) else {
            break;
        };
        if matches!(header[156], b'0' | 0) {
            files.insert(name, content.to_vec());
        }
        rest = after.get(size.next_multiple_of(BLOCK)..).unwrap_or_default();
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive() -> Archive {
        Archive::new(Owner { user: 999, group: 999 }, 1_700_000_000)
    }

    #[test]
    fn what_is_put_in_comes_out() {
        let mut archive = archive();
        archive.directory("below").unwrap();
        archive.file("below/a", b"text").unwrap();
        archive.file("empty", b"").unwrap();
        archive.file("block", &[7; BLOCK]).unwrap();
        let files = read(&archive.finish());
        assert_eq!(files["below/a"], b"text");
        assert_eq!((files["empty"].len(), files["block"].len(), files.len()), (0, BLOCK, 3));
    }

    #[test]
    fn a_name_that_is_too_long_is_refused() {
        assert!(archive().file(&"a".repeat(MAX_NAME + 1), b"").is_err());
    }

    #[test]
    fn what_is_cut_off_tells_what_came_before() {
        let mut archive = archive();
        archive.file("a", b"1").unwrap();
        archive.file("b", &[0; 9 * BLOCK]).unwrap();
        let bytes = archive.finish();
        assert_eq!(read(&bytes[..4 * BLOCK]).keys().collect::<Vec<_>>(), ["a"]);
        assert!(read(b"no archive").is_empty());
    }
}
