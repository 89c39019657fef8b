//! Reads a binlog by the headers of its events, without a server: what is between them is skipped.
//!
//! ```text
//!   fe 'bin'  ─  format description  ─  Gtid list  ─  Gtid … events … end of the group  ─  Gtid …
//! ```
//!
//! The file is what the disk has: a server that was killed leaves a last group that may be cut off anywhere. A transaction counts
//! where its group is whole, as it does for the server that recovers. Whatever else stands there is an error, and never a panic.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Seek};

use simdb_state::gtid::Gtid;
use thiserror::Error;

/// What a binlog begins with.
const MAGIC: [u8; 4] = *b"\xfebin";

/// How many bytes the header of an event has.
const HEADER: u8 = 19;

/// More than the body of any event that is read here has.
const LONGEST_BODY: u64 = 16 << 20;

/// Kinds of events, as their headers say them.
const QUERY: u8 = 2;
const FORMAT_DESCRIPTION: u8 = 15;
const XID: u8 = 16;
const XA_PREPARE: u8 = 38;
const GTID: u8 = 162;
const GTID_LIST: u8 = 163;
const START_ENCRYPTION: u8 = 164;
const QUERY_COMPRESSED: u8 = 165;

/// The flag of the first event of a file that a server writes, or wrote when it was killed.
const IN_USE: u16 = 1;

/// The flag of a group that has one event.
const STANDALONE: u8 = 1;

/// Why a binlog cannot be read.
#[derive(Debug, Error)]
pub enum BinlogError {
    /// The file cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is no binlog, or one whose head was not written.
    #[error("it does not begin as a binlog does")]
    NoHead,
    /// Its events are encrypted.
    #[error("it is encrypted, and the key is the server's")]
    Encrypted,
    /// An event is not what its kind has.
    #[error("the event at byte {0} is damaged")]
    Event(u64),
}

/// What a binlog says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Binlog {
    /// Whether the server that wrote it has not closed it.
    pub in_use: bool,
    /// The last transaction of each domain: that of the files before, or of this one.
    pub last: BTreeMap<u32, Gtid>,
    /// The last sequence number of each domain and writer, up to here.
    pub state: BTreeMap<(u32, u32), u64>,
    /// Whether the end of the file is an event, or a group, that is cut off.
    pub cut_off: bool,
}

impl Binlog {
    fn add(&mut self, gtid: Gtid) {
        self.last.insert(gtid.domain, gtid);
        self.state.insert((gtid.domain, gtid.server), gtid.sequence);
    }
}

/// The header of an event.
#[derive(Clone, Copy)]
struct Header {
    at: u64,
    kind: u8,
    server: u32,
    flags: u16,
    body: u64,
}

/// Reads a binlog of a size.
pub(super) fn read(file: impl Read + Seek, size: u64) -> Result<Binlog, BinlogError> {
    let mut events = Events {
        file: BufReader::with_capacity(64 << 10, file),
        at: 0,
        size,
    };
    let mut binlog = Binlog {
        in_use: events.begin()?,
        ..Binlog::default()
    };
    // The transaction whose group is being read, and whether one event is all of it.
    let mut open: Option<(Gtid, bool)> = None;
    while let Some(header) = events.next()? {
        match header.kind {
            START_ENCRYPTION => return Err(BinlogError::Encrypted),
            GTID_LIST => {
                for gtid in list(&events.body(header)?).ok_or(BinlogError::Event(header.at))? {
                    binlog.add(gtid);
                }
            }
            GTID => {
                let body = events.body(header)?;
                open = Some(gtid(header.server, &body).ok_or(BinlogError::Event(header.at))?);
            }
            _ => {
                let ends = match open {
                    Some((_, true)) => true,
                    Some((_, false)) => events.ends_group(header)?,
                    None => false,
                };
                if ends && let Some((gtid, _)) = open.take() {
                    binlog.add(gtid);
                }
            }
        }
    }
    binlog.cut_off = events.at < size || open.is_some();
    Ok(binlog)
}

/// Reads what came before a binlog of a size: the last transaction of each domain.
pub(super) fn before(file: impl Read + Seek, size: u64) -> Result<BTreeMap<u32, Gtid>, BinlogError> {
    let mut events = Events {
        file: BufReader::new(file),
        at: 0,
        size,
    };
    events.begin()?;
    while let Some(header) = events.next()? {
        if header.kind == GTID_LIST {
            let listed = list(&events.body(header)?).ok_or(BinlogError::Event(header.at))?;
            return Ok(listed.into_iter().map(|gtid| (gtid.domain, gtid)).collect());
        }
        if header.kind == START_ENCRYPTION {
            return Err(BinlogError::Encrypted);
        }
    }
    Err(BinlogError::NoHead)
}

/// The events of a file, one after the other.
struct Events<R> {
    file: BufReader<R>,
    /// Where the next event begins, or where the file ends for the reader.
    at: u64,
    size: u64,
}

impl<R: Read + Seek> Events<R> {
    /// Reads what every binlog begins with, and returns whether the server has not closed the file.
    fn begin(&mut self) -> Result<bool, BinlogError> {
        let mut magic = [0; MAGIC.len()];
        if self.size < MAGIC.len() as u64 {
            return Err(BinlogError::NoHead);
        }
        self.file.read_exact(&mut magic)?;
        self.at = MAGIC.len() as u64;
        let first = self.peek()?;
        let head = first.filter(|header| magic == MAGIC && header.kind == FORMAT_DESCRIPTION);
        let head = head.ok_or(BinlogError::NoHead)?;
        Ok(head.flags & IN_USE != 0)
    }

    /// Looks at the header of the next event; none where the file ends before the event does.
    fn peek(&mut self) -> Result<Option<Header>, BinlogError> {
        if self.at + u64::from(HEADER) > self.size {
            return Ok(None);
        }
        let mut bytes = [0; HEADER as usize];
        self.file.read_exact(&mut bytes)?;
        self.file.seek_relative(-i64::from(HEADER))?;
        let word = |from: usize| {
            bytes[from..from + 4]
                .iter()
                .rev()
                .fold(0, |word, byte| word << 8 | u32::from(*byte))
        };
        let length = u64::from(word(9));
        let whole = length >= u64::from(HEADER) && self.at + length <= self.size;
        Ok(whole.then_some(Header {
            at: self.at,
            kind: bytes[4],
            server: word(5),
            flags: u16::from_le_bytes([bytes[17], bytes[18]]),
            body: length.saturating_sub(HEADER.into()),
        }))
    }

    /// Goes on to the body of the next event.
    fn next(&mut self) -> Result<Option<Header>, BinlogError> {
        let offset = i64::try_from(self.at).ok();
        let from = self.file.stream_position()?;
        let offset = offset.zip(i64::try_from(from).ok()).map(|(to, from)| to - from);
        let Some(offset) = offset else { return Ok(None) };
        self.file.seek_relative(offset)?;
        let header = self.peek()?;
        if let Some(header) = header {
            self.file.seek_relative(i64::from(HEADER))?;
            self.at += u64::from(HEADER) + header.body;
        }
        Ok(header)
    }

    /// Reads the body of the event that was gone to.
    fn body(&mut self, header: Header) -> Result<Vec<u8>, BinlogError> {
        if header.body > LONGEST_BODY {
            return Err(BinlogError::Event(header.at));
        }
        let mut body = Vec::new();
        (&mut self.file).take(header.body).read_to_end(&mut body)?;
        Ok(body)
    }

    /// Returns whether an event is the last of a group that has several.
    fn ends_group(&mut self, header: Header) -> Result<bool, BinlogError> {
        Ok(match header.kind {
            XID | XA_PREPARE => true,
            // A statement of a group is short where it ends it, and may be of any length where it does not.
            QUERY | QUERY_COMPRESSED if header.body <= LONGEST_BODY => query(&self.body(header)?).is_some_and(ends),
            _ => false,
        })
    }
}

/// Reads the list at the head of a file: everything that the files before it have.
fn list(body: &[u8]) -> Option<Vec<Gtid>> {
    let (count, mut rest) = body.split_first_chunk::<4>()?;
    // The upper four bits are flags.
    let count = u32::from_le_bytes(*count) & 0x0fff_ffff;
    let mut listed = Vec::new();
    for _ in 0..count {
        let (domain, after) = rest.split_first_chunk::<4>()?;
        let (server, after) = after.split_first_chunk::<4>()?;
        let (sequence, after) = after.split_first_chunk::<8>()?;
        listed.push(Gtid {
            domain: u32::from_le_bytes(*domain),
            server: u32::from_le_bytes(*server),
            sequence: u64::from_le_bytes(*sequence),
        });
        rest = after;
    }
    Some(listed)
}

/// Reads the transaction that a group is, and whether the group has one event.
fn gtid(server: u32, body: &[u8]) -> Option<(Gtid, bool)> {
    let (sequence, rest) = body.split_first_chunk::<8>()?;
    let (domain, rest) = rest.split_first_chunk::<4>()?;
    let gtid = Gtid {
        domain: u32::from_le_bytes(*domain),
        server,
        sequence: u64::from_le_bytes(*sequence),
    };
    Some((gtid, rest.first()? & STANDALONE != 0))
}

/// Returns the text of a statement, with the checksum that may follow it.
fn query(body: &[u8]) -> Option<&[u8]> {
    let (head, rest) = body.split_at_checked(13)?;
    let database = usize::from(head[8]);
    let variables = usize::from(u16::from_le_bytes([head[11], head[12]]));
    rest.get(variables + database + 1..)
}

/// Returns whether a statement ends a group.
fn ends(text: &[u8]) -> bool {
    const CHECKSUM: usize = 4;
    let without = text.len().checked_sub(CHECKSUM).map(|length| &text[..length]);
    [Some(text), without]
        .into_iter()
        .flatten()
        .any(|text| matches!(text, b"COMMIT" | b"ROLLBACK"))
}

/// Reads lines of a short text file, without those that are no text.
pub(super) fn lines(file: impl Read, most: u64) -> io::Result<Vec<String>> {
    BufReader::new(file.take(most)).lines().collect()
}

#[cfg(test)]
mod tests;
