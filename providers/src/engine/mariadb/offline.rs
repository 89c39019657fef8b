//! What data says whose server is down, read from its files: whose it is, how it ended, and its last transactions.
//!
//! Nothing is changed, and no link is followed: the files are those of the servers' user, which may be anybody.

mod binlog;

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use simdb_planner::engine::mariadb::facts::{DataFacts, End};
use simdb_state::gtid::{Gtid, GtidError, GtidPosition, GtidState};
use thiserror::Error;

pub use self::binlog::{Binlog, BinlogError};
use super::DATABASE;
use super::observe::LINEAGE;

/// The base name of the binlogs that simdb's servers write.
pub const BINLOG: &str = "bin";

/// More than any of the short files has.
const LONGEST: u64 = 16 << 20;

/// Why data tells nothing.
#[derive(Debug, Error)]
pub enum OfflineError {
    /// A file cannot be read.
    #[error("read {}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A binlog makes no sense.
    #[error("read {}", .path.display())]
    Binlog {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: BinlogError,
    },
    /// A file is not what a server wrote.
    #[error("read {}: {what}", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
}

/// Reads data that no server uses.
pub fn read(data: &Path) -> Result<DataFacts, OfflineError> {
    let binlogs = binlogs(data)?;
    let last = last(data, &binlogs)?;
    let closed = exists(data, &format!("{BINLOG}.state"))?;
    let end = match &last {
        None => End::Unwritten,
        Some(last) if closed && !last.in_use && !last.cut_off => End::ShutDown,
        Some(_) => End::Killed,
    };
    let last = last.unwrap_or_default();
    Ok(DataFacts {
        lineage: lineage(data)?,
        uuid: uuid(data)?,
        end,
        logged: position(data, last.last.into_values())?,
        log: state(data, last.state.into_iter())?,
        copied: copied(data)?,
        upstream: upstream(data)?,
    })
}

/// Returns the names of the binlogs of data, oldest first.
pub fn binlogs(data: &Path) -> Result<Vec<String>, OfflineError> {
    let name = format!("{BINLOG}.index");
    let mut names = Vec::new();
    for line in short(data, &name)?.unwrap_or_default() {
        let name = line.strip_prefix("./").unwrap_or(&line);
        let number = name.strip_prefix(BINLOG).and_then(|rest| rest.strip_prefix('.'));
        let plain = number.is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()) && !number.is_empty());
        if !plain {
            return Err(damaged(data, "bin.index", format!("{line:?} is no binlog beside it")));
        }
        names.push(name.to_owned());
    }
    Ok(names)
}

/// Returns what came before a binlog, as its head says; absent where its head was not written.
pub fn before(data: &Path, name: &str) -> Result<Option<GtidPosition>, OfflineError> {
    let path = data.join(name);
    let read = open(&path).and_then(|file| {
        let size = file.metadata()?.len();
        Ok((file, size))
    });
    let (file, size) = read.map_err(|source| OfflineError::Io {
        path: path.clone(),
        source,
    })?;
    match binlog::before(file, size) {
        Ok(before) => position(data, before.into_values()).map(Some),
        Err(BinlogError::NoHead) => Ok(None),
        Err(source) => Err(OfflineError::Binlog { path, source }),
    }
}

/// Reads the last binlog. One whose head was not written holds nothing, and the one before it says all.
fn last(data: &Path, names: &[String]) -> Result<Option<Binlog>, OfflineError> {
    let mut headless = false;
    for name in names.iter().rev() {
        let path = data.join(name);
        let read = open(&path).and_then(|file| {
            let size = file.metadata()?.len();
            Ok((file, size))
        });
        let (file, size) = match read {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::NotFound && !headless => {
                headless = true;
                continue;
            }
            Err(source) => return Err(OfflineError::Io { path, source }),
        };
        match binlog::read(file, size) {
            Ok(read) => {
                return Ok(Some(Binlog {
                    in_use: read.in_use || headless,
                    ..read
                }));
            }
            Err(BinlogError::NoHead) if !headless => headless = true,
            Err(source) => return Err(OfflineError::Binlog { path, source }),
        }
    }
    match names.last() {
        None => Ok(None),
        Some(last) => Err(damaged(data, last, "no binlog has a head".to_owned())),
    }
}

/// Reads whose data it is from what the server keeps of simdb's database.
fn lineage(data: &Path) -> Result<Option<String>, OfflineError> {
    let lines = short(data, &format!("{DATABASE}/db.opt"))?.unwrap_or_default();
    let comment = lines.iter().find_map(|line| line.strip_prefix("comment="));
    Ok(comment
        .and_then(|comment| comment.strip_prefix(LINEAGE))
        .map(str::to_owned))
}

/// Reads what all copies of the data have in common.
fn uuid(data: &Path) -> Result<String, OfflineError> {
    const NAME: &str = "aria_log_control";
    let path = data.join(NAME);
    let mut head = [0; 20];
    let read = open(&path).and_then(|mut file| file.read_exact(&mut head));
    read.map_err(|source| OfflineError::Io { path, source })?;
    if head[..3] != [0xfe, 0xfe, 0x0c] {
        return Err(damaged(data, NAME, "it does not begin as it should".to_owned()));
    }
    let digits: Vec<String> = head[4..].iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(digits.concat())
}

/// Reads the position that a copy was made at; absent where the data is no copy.
pub fn copied(data: &Path) -> Result<Option<GtidPosition>, OfflineError> {
    for name in ["xtrabackup_binlog_info", "mariadb_backup_binlog_info"] {
        let Some(lines) = short(data, name)? else { continue };
        // The file, the byte in it, and the transactions, which may be none.
        let position = lines
            .first()
            .map(|line| line.splitn(3, '\t').nth(2).unwrap_or_default());
        let position = position.ok_or_else(|| damaged(data, name, "it is empty".to_owned()))?;
        let position: Result<GtidPosition, GtidError> = position.parse();
        return position
            .map(Some)
            .map_err(|error| damaged(data, name, error.to_string()));
    }
    Ok(None)
}

/// Reads the server that the last one on the data followed. The lines after these two are a login and its password.
fn upstream(data: &Path) -> Result<Option<(String, u16)>, OfflineError> {
    const NAME: &str = "master.info";
    let Some(lines) = short(data, NAME)? else {
        return Ok(None);
    };
    let (host, port) = (lines.get(3), lines.get(6).and_then(|port| port.parse().ok()));
    match (host, port) {
        (Some(host), _) if host.is_empty() => Ok(None),
        (Some(host), Some(port)) => Ok(Some((host.clone(), port))),
        _ => Err(damaged(data, NAME, "it names no server".to_owned())),
    }
}

fn position(data: &Path, last: impl Iterator<Item = Gtid>) -> Result<GtidPosition, OfflineError> {
    let texts: Vec<String> = last.map(|gtid| gtid.to_string()).collect();
    let position = texts.join(",").parse();
    position.map_err(|error: GtidError| damaged(data, BINLOG, error.to_string()))
}

fn state(data: &Path, last: impl Iterator<Item = ((u32, u32), u64)>) -> Result<GtidState, OfflineError> {
    let texts: Vec<String> = last
        .map(|((domain, server), sequence)| format!("{domain}-{server}-{sequence}"))
        .collect();
    let state = texts.join(",").parse();
    state.map_err(|error: GtidError| damaged(data, BINLOG, error.to_string()))
}

/// Opens a file that is one: no link, no pipe.
fn open(path: &Path) -> io::Result<File> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    Ok(file)
}

fn exists(data: &Path, name: &str) -> Result<bool, OfflineError> {
    short(data, name).map(|lines| lines.is_some())
}

/// Reads the lines of a short file; absent where there is no such file.
fn short(data: &Path, name: &str) -> Result<Option<Vec<String>>, OfflineError> {
    let path = data.join(name);
    match open(&path).and_then(|file| binlog::lines(file, LONGEST)) {
        Ok(lines) => Ok(Some(lines)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(OfflineError::Io { path, source }),
    }
}

fn damaged(data: &Path, name: &str, what: String) -> OfflineError {
    let path = data.join(name);
    OfflineError::Damaged { path, what }
}
