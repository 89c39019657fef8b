//! The token that requests bear: in a file that its owner alone reads, and compared in constant time.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use simdb_state::sensitive::Sensitive;
use subtle::ConstantTimeEq as _;

use crate::error::CliError;

/// How many random bytes a token is made of.
const BYTES: usize = 32;

/// The shortest token that is taken: one that can be guessed protects nothing.
const SHORTEST: usize = 16;

/// What requests bear.
#[derive(Clone, Debug)]
pub(super) struct Token(Sensitive<String>);

impl Token {
    /// Reads the token of a file, and makes both where there is no file.
    pub(super) fn open(path: &Path) -> Result<Self, CliError> {
        match Self::make(path) {
            Ok(token) => return Ok(token),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(source) => {
                return Err(CliError::Write {
                    path: path.to_owned(),
                    source,
                });
            }
        }
        let unread = |source| CliError::Read {
            path: path.to_owned(),
            source,
        };
        let metadata = fs::metadata(path).map_err(unread)?;
        if metadata.mode() & 0o077 != 0 {
            let detail = format!(
                "Others than its owner may read or write {path} (mode {mode:o}), and it holds the token of the API. Run: chmod 600 {path}",
                path = path.display(),
                mode = metadata.mode() & 0o777
            );
            return Err(CliError::refused("Token is not a secret", detail));
        }
        let text = fs::read_to_string(path).map_err(unread)?;
        Self::new(text.trim()).ok_or_else(|| {
            let detail = format!(
                "{path} must hold one token of at least {SHORTEST} letters, digits and signs, without spaces. To have one made, remove the \
                 file and start the monitor again.",
                path = path.display()
            );
            CliError::refused("Token cannot be used", detail)
        })
    }

    /// Takes a text for a token; nothing where it is none.
    pub(super) fn new(text: &str) -> Option<Self> {
        let is_token = text.len() >= SHORTEST && text.bytes().all(|byte| byte.is_ascii_graphic());
        is_token.then(|| Self(Sensitive::new(text.to_owned())))
    }

    fn make(path: &Path) -> std::io::Result<Self> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        let mut random = [0; BYTES];
        getrandom::fill(&mut random).map_err(std::io::Error::other)?;
        let digit = |half: u8| char::from_digit(half.into(), 16).expect("half a byte is a hexadecimal digit");
        let text: String = random
            .iter()
            .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
            .collect();
        writeln!(file, "{text}")?;
        file.sync_all()?;
        Ok(Self(Sensitive::new(text)))
    }

    /// Returns whether a request bears it: as `Authorization: Bearer TOKEN`, or as the password of `Basic`.
    pub(super) fn is_borne(&self, headers: &HeaderMap) -> bool {
        let given = headers.get(header::AUTHORIZATION).and_then(|given| given.to_str().ok());
        let Some((scheme, given)) = given.and_then(|given| given.split_once(' ')) else {
            return false;
        };
        let given = given.trim();
        if scheme.eq_ignore_ascii_case("bearer") {
            return self.is(given.as_bytes());
        }
        let password = || {
            let decoded = STANDARD.decode(given).ok()?;
            let colon = decoded.iter().position(|byte| *byte == b':')?;
            Some(decoded[colon + 1..].to_vec())
        };
        scheme.eq_ignore_ascii_case("basic") && password().is_some_and(|password| self.is(&password))
    }

    /// Compares in a time that says nothing of how much is right.
    fn is(&self, given: &[u8]) -> bool {
        self.0.expose().as_bytes().ct_eq(given).into()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn borne(token: &Token, authorization: &str) -> bool {
        let headers = HeaderMap::from_iter([(header::AUTHORIZATION, authorization.parse().unwrap())]);
        token.is_borne(&headers)
    }

    #[test]
    fn a_token_is_borne_as_bearer_or_as_a_password() {
        let token = Token::new("0123456789abcdef").unwrap();
        assert!(borne(&token, "Bearer 0123456789abcdef"));
        assert!(borne(&token, "bearer  0123456789abcdef"));
        assert!(borne(
            &token,
            &format!("Basic {}", STANDARD.encode("ann:0123456789abcdef"))
        ));
        for wrong in [
            "Bearer 0123456789abcdeg".to_owned(),
            "Bearer 0123456789abcde".to_owned(),
            "Bearer ".to_owned(),
            "Bearer".to_owned(),
            "0123456789abcdef".to_owned(),
            "Digest 0123456789abcdef".to_owned(),
            "Basic 0123456789abcdef".to_owned(),
            format!("Basic {}", STANDARD.encode("0123456789abcdef")),
        ] {
            assert!(!borne(&token, &wrong), "{wrong}");
        }
        assert!(!token.is_borne(&HeaderMap::new()));
        assert!(!format!("{token:?}").contains("0123456789abcdef"));
    }

    #[test]
    fn a_token_is_made_once_and_its_file_is_for_its_owner_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        let made = Token::open(&path).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.trim().len(), 2 * BYTES);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert!(borne(&made, &format!("Bearer {}", text.trim())));
        assert!(borne(&Token::open(&path).unwrap(), &format!("Bearer {}", text.trim())));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let refused = Token::open(&path).unwrap_err().into_documents();
        assert!(refused[0].detail.contains("chmod 600"), "{refused:?}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "short\n").unwrap();
        let refused = Token::open(&path).unwrap_err().into_documents();
        assert!(refused[0].detail.contains("at least 16"), "{refused:?}");
    }
}
