//! What platforms have in common that send a request to a service for all that they do.

use std::io;
use std::path::PathBuf;

use super::PlatformError;

/// Why a request came to nothing.
pub(super) trait Refusal {
    /// Returns whether what was asked for is not there.
    fn is_missing(&self) -> bool;

    /// Says what was being done, with which object.
    fn while_doing(self, doing: &'static str, name: &str) -> PlatformError;
}

impl Refusal for io::Error {
    fn is_missing(&self) -> bool {
        self.kind() == io::ErrorKind::NotFound
    }

    fn while_doing(self, doing: &'static str, name: &str) -> PlatformError {
        refused(doing, name, self.to_string())
    }
}

/// Adds what was being done to what went wrong.
pub(super) trait At<T> {
    /// Says what was being done, with which object.
    fn at(self, doing: &'static str, name: &str) -> Result<T, PlatformError>;
}

impl<T, E: Refusal> At<T> for Result<T, E> {
    fn at(self, doing: &'static str, name: &str) -> Result<T, PlatformError> {
        self.map_err(|refusal| refusal.while_doing(doing, name))
    }
}

/// Says why something could not be done with an object of the service.
pub(super) fn refused(doing: &'static str, name: &str, message: String) -> PlatformError {
    PlatformError::Io {
        doing,
        path: PathBuf::from(name),
        source: io::Error::other(message),
    }
}

/// Takes what is not there for nothing.
pub(super) fn optional<T, E: Refusal>(found: Result<T, E>) -> Result<Option<T>, E> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(refusal) if refusal.is_missing() => Ok(None),
        Err(refusal) => Err(refusal),
    }
}
