//! Writes files so that a crash leaves the old text or the new one, whatever the umask.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::libc;

use super::user::RunAs;
use crate::platform::PlatformError;

/// How much of a log is read at first when its end is asked for.
const TAIL_BLOCK: u64 = 64 * 1024;

/// Says what was being done, and with what, when the system refused.
pub(super) trait At<T> {
    fn at(self, doing: &'static str, path: &Path) -> Result<T, PlatformError>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, doing: &'static str, path: &Path) -> Result<T, PlatformError> {
        self.map_err(|source| PlatformError::Io {
            doing,
            path: path.to_owned(),
            source,
        })
    }
}

/// Returns `None` in place of the error that says there is no such file.
pub(super) fn optional<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Returns where the next text of a file is written before it takes the file's name.
pub(super) fn temporary(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".tmp");
    path.with_file_name(name)
}

/// Replaces a file as a whole, and returns when it would survive a power cut.
pub(super) fn replace(path: &Path, text: &[u8], mode: u32, owner: Option<&RunAs>) -> io::Result<()> {
    let temporary = temporary(path);
    // Left by a crash; `create_new` below then never writes through somebody's symbolic link.
    optional(fs::remove_file(&temporary))?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&temporary)?;
    file.set_permissions(Permissions::from_mode(mode))?;
    if let Some(owner) = owner {
        owner.own(&temporary)?;
    }
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    sync_parent(path)
}

/// Replaces a private file of the user, unless it is already as it should be.
pub(super) fn ensure_private(path: &Path, text: &[u8], owner: &RunAs) -> io::Result<()> {
    let right = |meta: &fs::Metadata| meta.is_file() && meta.mode() & 0o777 == 0o600 && meta.uid() == owner.uid();
    if optional(fs::symlink_metadata(path))?.is_some_and(|meta| right(&meta)) && fs::read(path)? == text {
        return Ok(());
    }
    replace(path, text, 0o600, Some(owner))
}

/// Opens a file of the user for appending, never through a symbolic link.
pub(super) fn append(path: &Path, owner: &RunAs) -> io::Result<File> {
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(path)?;
    owner.own(path)?;
    Ok(file)
}

/// Makes a directory unless it is there; an existing one is left as it is. A crash leaves none or one that has its mode
/// and its owner.
pub(super) fn ensure_directory(path: &Path, mode: u32, owner: Option<&RunAs>) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let temporary = temporary(path);
    // Left by a crash, and empty: nothing is put into a directory before it has its name.
    optional(fs::remove_dir(&temporary))?;
    DirBuilder::new().mode(mode).create(&temporary)?;
    fs::set_permissions(&temporary, Permissions::from_mode(mode))?;
    owner.map_or(Ok(()), |owner| owner.own(&temporary))?;
    fs::rename(&temporary, path)?;
    sync_parent(path)
}

/// Makes what is missing above a path, open to everybody, so that the user of the servers can pass.
pub(super) fn ensure_parents(path: &Path) -> io::Result<()> {
    let missing: Vec<&Path> = path.ancestors().skip(1).take_while(|above| !above.exists()).collect();
    missing
        .into_iter()
        .rev()
        .try_for_each(|above| ensure_directory(above, 0o755, None))
}

/// Makes the entries of a directory survive a power cut.
pub(super) fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

fn sync_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), sync)
}

/// Returns the last lines of a file, oldest first; a file that does not exist has none.
pub(super) fn tail(path: &Path, lines: usize) -> io::Result<Vec<String>> {
    let Some(mut file) = optional(File::open(path))? else {
        return Ok(Vec::new());
    };
    let length = file.metadata()?.len();
    let mut block = TAIL_BLOCK;
    loop {
        let start = length.saturating_sub(block);
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        Read::by_ref(&mut file).take(length - start).read_to_end(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes);
        let found: Vec<&str> = text.lines().collect();
        // The first line of a block that starts inside the file may be half a line.
        if start == 0 || found.len() > lines {
            return Ok(found[found.len().saturating_sub(lines)..]
                .iter()
                .map(ToString::to_string)
                .collect());
        }
        block *= 4;
    }
}
