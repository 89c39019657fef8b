//! What a file is, and how a new one comes to be.
//!
//! A file is recognised from its first bytes before SQLite opens it, because SQLite's recovery writes: a file that is
//! foreign, newer, cut off or read-only is never touched. A new file is made under another name and put in place in one
//! move, so that there is never half a record.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};
use rusqlite::{Connection, OpenFlags, params};

use super::leases::{self, FIRST_LAYOUT, LAYOUT};
use super::{Refusal, failed};
use crate::backend::{BackendError, Key};
use crate::format::random_hex;

/// `simd`: marks a SQLite file as ours (`PRAGMA application_id`).
const APPLICATION: u32 = u32::from_be_bytes(*b"simd");

const ROWS: &str =
    "CREATE TABLE rows (key TEXT NOT NULL PRIMARY KEY, version INTEGER NOT NULL, bytes BLOB NOT NULL) STRICT";

/// An open file of ours.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) connection: Connection,
    pub(super) writable: bool,
}

/// Opens a file of ours; none where there is no file.
pub(super) fn open(path: &Path) -> Result<Option<Opened>, BackendError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(BackendError::failed("open the file")(error)),
    };
    refuse_network(path)?;
    recognise(file, has_log(path))?;
    let writable = is_writable(path)?;
    let connection = connect(path, writable).map_err(failed("open the file"))?;
    recognise_connected(&connection)?;
    Ok(Some(Opened { connection, writable }))
}

/// Makes a file of ours with its first rows. Returns false, and changes nothing, where there is a file.
pub(super) fn create(path: &Path, rows: &[(Key, Vec<u8>)]) -> Result<bool, BackendError> {
    let directory = directory_of(path);
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(BackendError::failed("make the directory"))?;
    refuse_network(directory)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", random_hex(4)));
    let new = directory.join(name);
    let made = fill(&new, rows).and_then(|()| put_in_place(&new, path));
    // Nothing depends on this: the name is random, and the file is whole or worthless.
    let _ = fs::remove_file(&new);
    made
}

fn fill(new: &Path, rows: &[(Key, Vec<u8>)]) -> Result<(), BackendError> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(new)
        .map_err(BackendError::failed("make the file"))?;
    let write = || -> rusqlite::Result<()> {
        let mut connection = Connection::open_with_flags(new, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        connection.pragma_update(None, "application_id", APPLICATION)?;
        connection.pragma_update(None, "user_version", LAYOUT)?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        let transaction = connection.transaction()?;
        transaction.execute(ROWS, [])?;
        leases::make(&transaction)?;
        for (key, bytes) in rows {
            transaction.execute("INSERT INTO rows VALUES (?1, 0, ?2)", params![key.as_str(), bytes])?;
        }
        transaction.commit()?;
        // Last, and kept in the file: from here on there is a log beside it while it is open.
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
        connection.close().map_err(|(_, error)| error)
    };
    write().map_err(failed("make the file"))
}

/// Copies all rows, also those that are only in the log, to another file, in place of what is there. A crash leaves that as it
/// was.
pub(super) fn copy(connection: &Connection, to: &Path) -> Result<(), BackendError> {
    let new = beside(to, &format!(".{}.new", random_hex(4)));
    let copied = copy_to(connection, &new).and_then(|()| {
        fs::rename(&new, to).map_err(BackendError::failed("keep a copy"))?;
        let directory = File::open(directory_of(to)).and_then(|directory| directory.sync_all());
        directory.map_err(BackendError::failed("keep a copy"))
    });
    // What failed is worthless, and what did not has another name.
    let _ = fs::remove_file(&new);
    copied
}

fn copy_to(connection: &Connection, new: &Path) -> Result<(), BackendError> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(new)
        .map_err(BackendError::failed("keep a copy"))?;
    connection
        .backup("main", new, None::<fn(rusqlite::backup::Progress)>)
        .map_err(failed("keep a copy"))?;
    let synced = File::open(new).and_then(|file| file.sync_all());
    synced.map_err(BackendError::failed("keep a copy"))
}

/// Gives the file its name. A link, unlike a rename, never replaces what somebody else put there meanwhile.
fn put_in_place(new: &Path, path: &Path) -> Result<bool, BackendError> {
    match fs::hard_link(new, path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
        Err(error) => return Err(BackendError::failed("put the file in place")(error)),
    }
    let directory = File::open(directory_of(path)).and_then(|directory| directory.sync_all());
    directory.map_err(BackendError::failed("put the file in place"))?;
    Ok(true)
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// A log that holds anything may repair what looks cut off in the file itself.
fn has_log(path: &Path) -> bool {
    fs::metadata(beside(path, "-wal")).is_ok_and(|log| log.len() > 0)
}

/// Decides from the header of a SQLite file (100 bytes, documented in SQLite's "Database File Format").
fn recognise(mut file: File, has_log: bool) -> Result<(), BackendError> {
    let read_error = BackendError::failed::<io::Error>;
    let length = file.metadata().map_err(read_error("read the file"))?.len();
    let mut header = Vec::with_capacity(100);
    file.by_ref()
        .take(100)
        .read_to_end(&mut header)
        .map_err(read_error("read the file"))?;
    let magic = b"SQLite format 3\0";
    if !header.starts_with(&magic[..header.len().min(magic.len())]) {
        return Err(BackendError::Foreign("it is no SQLite file"));
    }
    if header.len() < 100 {
        return Err(BackendError::Truncated {
            expected: 100,
            found: length,
        });
    }
    let number = |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    check_marks(number(68), number(60))?;
    let page = match u64::from(u16::from_be_bytes([header[16], header[17]])) {
        1 => 65536,
        size => size,
    };
    let expected = page * u64::from(number(28));
    if length < expected && !has_log {
        return Err(BackendError::Truncated {
            expected,
            found: length,
        });
    }
    Ok(())
}

fn check_marks(application: u32, layout: u32) -> Result<(), BackendError> {
    if application != APPLICATION {
        return Err(BackendError::Foreign("it belongs to another program"));
    }
    match layout {
        FIRST_LAYOUT | LAYOUT => Ok(()),
        0 => Err(BackendError::Corrupt("it has no format number".to_owned())),
        found => Err(BackendError::Newer { found, known: LAYOUT }),
    }
}

/// Looks once more at the marks, because the log may hold newer ones than the file.
fn recognise_connected(connection: &Connection) -> Result<(), BackendError> {
    let mark = |name| connection.pragma_query_value(None, name, |row| row.get::<_, u32>(0));
    let marks = mark("application_id").and_then(|application| Ok((application, mark("user_version")?)));
    let (application, layout) = marks.map_err(failed("read the file"))?;
    check_marks(application, layout)
}

/// Fails on damaged pages. It reads the whole file, so it is done once per lock and not by readers, whom damage can
/// mislead but never make damage more.
pub(super) fn check_pages(connection: &Connection) -> Result<(), Refusal> {
    let found: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if found == "ok" {
        return Ok(());
    }
    Err(BackendError::Corrupt(found).into())
}

fn connect(path: &Path, writable: bool) -> rusqlite::Result<Connection> {
    let common = OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = if writable {
        Connection::open_with_flags(path, common | OpenFlags::SQLITE_OPEN_READ_WRITE)?
    } else if has_log(path) {
        Connection::open_with_flags(path, common | OpenFlags::SQLITE_OPEN_READ_ONLY)?
    } else {
        // Without this SQLite would want to make a log, for which there is no permission.
        let flags = common | OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
        Connection::open_with_flags(immutable(path), flags)?
    };
    connection.pragma_update(None, "synchronous", "FULL")?;
    Ok(connection)
}

fn immutable(path: &Path) -> String {
    let path = path.to_string_lossy();
    let escaped = path.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    format!("file:{escaped}?immutable=1")
}

/// Mode bits count for root too: who takes the write permission away means it.
fn is_writable(path: &Path) -> Result<bool, BackendError> {
    let metadata = fs::metadata(path).map_err(BackendError::failed("read the file's mode"))?;
    let directory = AccessFlags::W_OK | AccessFlags::X_OK;
    Ok(!metadata.permissions().readonly()
        && access(path, AccessFlags::W_OK).is_ok()
        && access(directory_of(path), directory).is_ok())
}

fn refuse_network(path: &Path) -> Result<(), BackendError> {
    let found = nix::sys::statfs::statfs(path).map_err(BackendError::failed("look at the file system"))?;
    match network_file_system(i128::from(found.filesystem_type().0)) {
        Some(kind) => Err(BackendError::NetworkFileSystem(kind)),
        None => Ok(()),
    }
}

/// Names a file system whose locks and shared memory do not reach across machines, by the kernel's number for it. FUSE
/// is not among them: sshfs hides behind it, but so do the local disks of rootless containers.
fn network_file_system(magic: i128) -> Option<&'static str> {
    Some(match magic {
        0x6969 => "nfs",
        0x517b => "smb",
        0xff53_4d42 => "cifs",
        0xfe53_4d42 => "smb2",
        0x00c3_6400 => "ceph",
        0x5346_414f => "afs",
        0x6b41_4653 => "kafs",
        0x7375_7245 => "coda",
        0x564c => "ncp",
        0x0bd0_0bd0 => "lustre",
        0x0102_1997 => "9p",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_file_systems_are_told_from_local_ones() {
        assert_eq!(network_file_system(0x6969), Some("nfs"));
        assert_eq!(network_file_system(0xff53_4d42), Some("cifs"));
        for local in [0xef53, 0x9123_683e, 0x5846_5342, 0x0102_1994, 0x794c_7630] {
            assert_eq!(network_file_system(local), None, "{local:#x}");
        }
    }
}
