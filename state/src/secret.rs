//! Secrets at rest: rows that are worth nothing without a key that is kept elsewhere.
//!
//! Every secret is sealed with XChaCha20-Poly1305 under a random nonce, with its row's key as associated data, so that a
//! sealed value moved to another row does not open. The key is a file outside the project, named for the record
//! (`~/.config/simdb/keys/<lineage>`), or comes from a passphrase by Argon2id. `meta/key` says which, and holds a sealed
//! constant that tells a wrong key from damaged data.
//!
//! Another key is written as `<lineage>.new`, then the rows that it sealed are committed, then it takes the place of the
//! former one, which is kept as `<lineage>.old` for copies of the record from before. Whoever looks for the key takes the one
//! of the three that fits.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use argon2::{Algorithm, Argon2, Params};
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::backend::{self, Row};
use crate::format::{decode, encode, fill_random, from_hex, to_hex};
use crate::run::Lineage;
use crate::sensitive::{SecretName, Sensitive};

/// The passphrase that locks the secrets up, in place of a key file.
pub const PASSPHRASE_VARIABLE: &str = "SIMDB_STATE_PASSPHRASE";

/// The passphrase that is to take the place of the key there is.
pub const NEW_PASSPHRASE_VARIABLE: &str = "SIMDB_STATE_NEW_PASSPHRASE";

/// What the sealed constant of `meta/key` says once it is opened.
const CHECK: &str = "simdb";

/// Argon2id as RFC 9106 and OWASP ask at least: 19 MiB, two passes. Part of the format: other numbers are another `kind`.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;

/// Where keys come from. The caller says so; nothing below reads the environment.
#[derive(Clone, Debug)]
pub struct KeySource {
    /// The directory of key files.
    pub directory: PathBuf,
    /// The passphrase, where one was given.
    pub passphrase: Option<Sensitive<String>>,
}

impl KeySource {
    /// Takes key files below `$XDG_CONFIG_HOME` or `~/.config`, and the passphrase from `SIMDB_STATE_PASSPHRASE`.
    pub fn from_environment() -> Result<Self, SecretError> {
        Self::from_variables(|name| std::env::var_os(name))
    }

    /// Takes what the secrets are to be locked by from now on: the passphrase from `SIMDB_STATE_NEW_PASSPHRASE`, or else a
    /// key file.
    pub fn next_from_environment() -> Result<Self, SecretError> {
        Self::from_variables(|name| match name {
            PASSPHRASE_VARIABLE => std::env::var_os(NEW_PASSPHRASE_VARIABLE),
            name => std::env::var_os(name),
        })
    }

    fn from_variables(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self, SecretError> {
        let set = |name| variable(name).filter(|value| !value.is_empty());
        let config = match set("XDG_CONFIG_HOME").map(PathBuf::from) {
            // The specification says that a relative path there is to be ignored.
            Some(path) if path.is_absolute() => path,
            _ => home(set("HOME").map(PathBuf::from))?.join(".config"),
        };
        let passphrase = set(PASSPHRASE_VARIABLE).map(|text| text.to_string_lossy().into_owned());
        Ok(Self {
            directory: config.join("simdb/keys"),
            passphrase: passphrase.map(Sensitive::new),
        })
    }

    /// Returns the key file of a record.
    pub fn file(&self, lineage: &Lineage) -> PathBuf {
        self.directory.join(&lineage.0)
    }
}

fn home(variable: Option<PathBuf>) -> Result<PathBuf, SecretError> {
    let user = || nix::unistd::User::from_uid(nix::unistd::geteuid()).ok().flatten();
    variable.or_else(|| Some(user()?.dir)).ok_or(SecretError::NoHome)
}

/// Why a secret cannot be read or written.
#[derive(Debug, Error)]
pub enum SecretError {
    /// There is no place for key files.
    #[error("the home directory is not known")]
    NoHome,
    /// The key file is not there.
    #[error("key file {0:?} is missing")]
    KeyMissing(PathBuf),
    /// The key file cannot be read or made.
    #[error("failed to use key file {path:?}")]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The key file holds the key of another record, or no key.
    #[error("key file {0:?} does not hold the key of this state")]
    WrongKey(PathBuf),
    /// The record is locked by a passphrase, and none was given.
    #[error("the secrets are locked by a passphrase, and none was given")]
    PassphraseMissing,
    /// The passphrase is another one.
    #[error("the passphrase is not the one the secrets are locked by")]
    WrongPassphrase,
    /// The secrets were locked by another key since the key was read.
    #[error("the key was changed meanwhile")]
    KeyChanged,
    /// The key is right and the value does not open.
    #[error("secret {0:?} was altered")]
    Altered(String),
}

impl SecretError {
    /// Returns the way out, in full sentences.
    pub fn hint(&self) -> String {
        match self {
            SecretError::NoHome => {
                format!("Set HOME or XDG_CONFIG_HOME, or lock the secrets by {PASSPHRASE_VARIABLE}.")
            }
            SecretError::KeyMissing(path) => format!(
                "The key is made where the first apply runs. Copy it from that machine, or from a backup, to {}.",
                path.display()
            ),
            SecretError::KeyFile { path, .. } => {
                format!(
                    "Make {} readable and its directory writable for your user.",
                    path.display()
                )
            }
            SecretError::WrongKey(path) => format!(
                "Put the key that was made together with this state back to {}.",
                path.display()
            ),
            SecretError::PassphraseMissing | SecretError::WrongPassphrase => {
                format!("Set {PASSPHRASE_VARIABLE} to the passphrase that the secrets were locked by last.")
            }
            SecretError::KeyChanged => "Run the command again.".to_owned(),
            SecretError::Altered(_) => "Put a backup of the state in its place.".to_owned(),
        }
    }
}

/// What stands in `meta/key`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(crate) enum KeyRow {
    /// The key is in a file of its own.
    File { check: Sealed },
    /// The key comes from a passphrase.
    Argon2id { salt: String, check: Sealed },
}

/// A sealed value: what stands in `secret/<name>`. Hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sealed {
    nonce: String,
    text: String,
}

/// The key that opens the secrets of one record.
#[derive(Clone)]
pub(crate) struct Key(Zeroizing<[u8; 32]>);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(crate::sensitive::REDACTED)
    }
}

impl Key {
    pub(crate) fn random() -> Self {
        let mut bytes = Zeroizing::new([0; 32]);
        fill_random(bytes.as_mut());
        Self(bytes)
    }

    fn from_passphrase(passphrase: &str, salt: &[u8]) -> Self {
        let params = Params::new(MEMORY_KIB, PASSES, 1, Some(32)).expect("the constants are within Argon2's bounds");
        let mut bytes = Zeroizing::new([0; 32]);
        Argon2::new(Algorithm::Argon2id, argon2::Version::V0x13, params)
            .hash_password_into(passphrase.as_bytes(), salt, bytes.as_mut())
            .expect("a salt of 16 bytes and a key of 32 are within Argon2's bounds");
        Self(bytes)
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new((&*self.0).into())
    }

    /// Seals a value for one place; opened elsewhere it is refused.
    fn seal(&self, place: &str, clear: &str) -> Sealed {
        let mut nonce = [0; NONCE];
        fill_random(&mut nonce);
        let payload = Payload {
            msg: clear.as_bytes(),
            aad: place.as_bytes(),
        };
        let text = self.cipher().encrypt(&XNonce::from(nonce), payload);
        Sealed {
            nonce: to_hex(&nonce),
            text: to_hex(&text.expect("a secret is far shorter than the cipher's bound")),
        }
    }

    /// Seals what is kept outside the record: the nonce, then the text. Opened for another purpose it is refused.
    pub(crate) fn seal_bytes(&self, purpose: &[u8], clear: &[u8]) -> Vec<u8> {
        let mut nonce = [0; NONCE];
        fill_random(&mut nonce);
        let payload = Payload {
            msg: clear,
            aad: purpose,
        };
        let text = self.cipher().encrypt(&XNonce::from(nonce), payload);
        let mut sealed = nonce.to_vec();
        sealed.extend(text.expect("it is far shorter than the cipher's bound"));
        sealed
    }

    /// Opens what [`Key::seal_bytes`] made with this key for this purpose.
    pub(crate) fn open_bytes(&self, purpose: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, text) = sealed.split_first_chunk::<NONCE>()?;
        let payload = Payload {
            msg: text,
            aad: purpose,
        };
        self.cipher()
            .decrypt(&XNonce::from(*nonce), payload)
            .ok()
            .map(Zeroizing::new)
    }

    fn open(&self, place: &str, sealed: &Sealed) -> Option<Sensitive<String>> {
        let nonce: [u8; NONCE] = from_hex(&sealed.nonce)?.try_into().ok()?;
        let payload = Payload {
            msg: &from_hex(&sealed.text)?,
            aad: place.as_bytes(),
        };
        let clear = self.cipher().decrypt(&XNonce::from(nonce), payload).ok()?;
        String::from_utf8(clear).ok().map(Sensitive::new)
    }

    /// Returns whether it is the key that a row speaks of.
    pub(crate) fn is_of(&self, row: &KeyRow) -> bool {
        let (KeyRow::File { check } | KeyRow::Argon2id { check, .. }) = row;
        self.fits(check)
    }

    fn fits(&self, check: &Sealed) -> bool {
        let clear = self.open(key_row().as_str(), check);
        clear.is_some_and(|clear| clear.expose() == CHECK)
    }

    /// Returns a digest that tells two texts apart only to who has the key: whoever has but the digest cannot try out
    /// texts against it.
    pub(crate) fn digest(&self, text: &str) -> String {
        let mut code = Hmac::<Sha256>::new_from_slice(&*self.0).expect("a key of any length is fine");
        code.update(b"simdb digest\0");
        code.update(text.as_bytes());
        // Half of it is enough to tell passwords apart.
        to_hex(&code.finalize().into_bytes()[..16])
    }

    /// Returns the row of a secret.
    pub(crate) fn seal_row(&self, name: &SecretName, clear: &Sensitive<String>) -> backend::Write {
        let key = secret_key(name);
        let sealed = self.seal(key.as_str(), clear.expose());
        backend::Write::put(key, encode(&sealed))
    }

    /// Opens the row of a secret.
    pub(crate) fn open_row(&self, row: &Row) -> Result<Sensitive<String>, SecretError> {
        let opened = decode(row).ok().and_then(|sealed| self.open(row.key.as_str(), &sealed));
        opened.ok_or_else(|| SecretError::Altered(row.key.as_str().trim_start_matches(PREFIX).to_owned()))
    }
}

/// How many bytes the cipher's nonce has.
const NONCE: usize = 24;

/// The extension of a key file that is not yet in its place.
const NEXT: &str = "new";

/// The extension of the key file that was there before.
pub const FORMER: &str = "old";

/// The prefix of the rows of secrets.
pub(crate) const PREFIX: &str = "secret/";

pub(crate) fn key_row() -> backend::Key {
    backend::Key::new("meta/key")
}

pub(crate) fn secret_key(name: &SecretName) -> backend::Key {
    backend::Key::new(format!("{PREFIX}{name}"))
}

/// Makes the key of a new record. It blocks.
pub(crate) fn make(lineage: &Lineage, source: &KeySource) -> Result<(Key, KeyRow), SecretError> {
    make_at(source.file(lineage), source)
}

/// Makes another key for a record, which [`settle`] then puts in place. It blocks.
pub(crate) fn make_next(lineage: &Lineage, source: &KeySource) -> Result<(Key, KeyRow), SecretError> {
    let path = source.file(lineage).with_extension(NEXT);
    optional(fs::remove_file(&path)).map_err(used(&path))?;
    make_at(path, source)
}

/// Puts the key that was made last in the place of the former one, which is kept. It blocks.
pub(crate) fn settle(lineage: &Lineage, source: &KeySource, row: &KeyRow) -> Result<(), SecretError> {
    let path = source.file(lineage);
    optional(fs::rename(&path, path.with_extension(FORMER))).map_err(used(&path))?;
    match row {
        KeyRow::File { .. } => fs::rename(path.with_extension(NEXT), &path).map_err(used(&path)),
        KeyRow::Argon2id { .. } => Ok(()),
    }
}

fn optional(result: io::Result<()>) -> io::Result<()> {
    result.or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    })
}

fn used(path: &Path) -> impl FnOnce(io::Error) -> SecretError {
    let path = path.to_owned();
    move |source| SecretError::KeyFile { path, source }
}

fn make_at(path: PathBuf, source: &KeySource) -> Result<(Key, KeyRow), SecretError> {
    let check = |key: &Key| key.seal(key_row().as_str(), CHECK);
    if let Some(passphrase) = &source.passphrase {
        let mut salt = [0; 16];
        fill_random(&mut salt);
        let key = Key::from_passphrase(passphrase.expose(), &salt);
        let row = KeyRow::Argon2id {
            salt: to_hex(&salt),
            check: check(&key),
        };
        return Ok((key, row));
    }
    let key = Key::random();
    write_key(&path, &key).map_err(|source| SecretError::KeyFile { path, source })?;
    let row = KeyRow::File { check: check(&key) };
    Ok((key, row))
}

/// Makes a key out of nothing but memory, for a record that is not kept.
pub(crate) fn make_unkept() -> (Key, KeyRow) {
    let key = Key::random();
    let check = key.seal(key_row().as_str(), CHECK);
    (key, KeyRow::File { check })
}

fn write_key(path: &Path, key: &Key) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(Zeroizing::new(to_hex(&*key.0)).as_bytes())?;
    file.sync_all()
}

/// Finds the key of a record. It blocks.
pub(crate) fn load(lineage: &Lineage, source: &KeySource, row: &KeyRow) -> Result<Key, SecretError> {
    match row {
        KeyRow::File { check } => {
            let path = source.file(lineage);
            let read = read_key(&path);
            if let Ok(Some(key)) = &read
                && key.fits(check)
            {
                return Ok(key.clone());
            }
            let others = [NEXT, FORMER].map(|extension| read_key(&path.with_extension(extension)));
            let fits = |key: &Key| key.fits(check);
            match others.into_iter().flatten().flatten().find(fits) {
                Some(key) => Ok(key),
                None => read.and(Err(SecretError::WrongKey(path))),
            }
        }
        KeyRow::Argon2id { salt, check } => {
            let passphrase = source.passphrase.as_ref().ok_or(SecretError::PassphraseMissing)?;
            let salt = from_hex(salt).filter(|salt| salt.len() == 16);
            let salt = salt.ok_or_else(|| SecretError::Altered(key_row().to_string()))?;
            let key = Key::from_passphrase(passphrase.expose(), &salt);
            Some(key)
                .filter(|key| key.fits(check))
                .ok_or(SecretError::WrongPassphrase)
        }
    }
}

fn read_key(path: &Path) -> Result<Option<Key>, SecretError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => Zeroizing::new(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(SecretError::KeyMissing(path.to_owned())),
        Err(source) => {
            return Err(SecretError::KeyFile {
                path: path.to_owned(),
                source,
            });
        }
    };
    let bytes = from_hex(text.trim()).map(Zeroizing::new);
    Ok(bytes.and_then(|bytes| Some(Key(Zeroizing::new(bytes.as_slice().try_into().ok()?)))))
}

#[cfg(test)]
mod tests;
