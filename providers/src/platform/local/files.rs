//! What working with files takes anywhere: errors that say where, and the end of a log.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

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

/// Returns the last lines of a file, oldest first.
pub(super) fn tail(mut file: File, lines: usize) -> io::Result<Vec<String>> {
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
