//! The end of a server's log, for errors about the server.

use std::fmt;

use simdb_state::address::InstanceAddress;

use crate::platform::Platform;

/// How many lines of a log an error shows.
const TAIL: usize = 10;

/// The last lines of a server's log, as an error shows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log(Vec<String>);

impl Log {
    /// Reads the end of a server's log. An error about a server is not lost because its log cannot be read.
    pub(crate) async fn read(platform: &dyn Platform, directory: impl Into<InstanceAddress>) -> Self {
        match platform.log(&directory.into(), TAIL).await {
            Ok(lines) => Self(lines),
            Err(error) => Self(vec![format!("(its log could not be read: {error})")]),
        }
    }
}

impl fmt::Display for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("its log is empty");
        }
        f.write_str("its log ends:")?;
        self.0.iter().try_for_each(|line| write!(f, "\n    {line}"))
    }
}
