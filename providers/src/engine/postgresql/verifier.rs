//! Whether a role has the password that simdb knows.
//!
//! A server keeps a verifier in place of a password (`SCRAM-SHA-256$ITERATIONS:SALT$STORED:SERVER`, RFC 5803). Another one
//! is computed from the known password with the salt and the iterations of the first. Nobody logs in for it, so no server
//! logs a refusal, and roles are compared that may not log in from here. The verifier stays here: it is part of no fact.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use simdb_state::sensitive::Sensitive;

/// What a verifier starts with. Servers let nobody in by one of another kind.
const METHOD: &str = "SCRAM-SHA-256$";

/// More iterations than anybody sets, and few enough to be computed while somebody waits.
const MOST_ITERATIONS: u32 = 1_000_000;

/// Returns whether a verifier is that of a password; nothing where it would take too long to tell.
pub(super) fn is_of(verifier: &str, password: &Sensitive<String>) -> Option<bool> {
    let Some(parts) = parse(verifier) else {
        return Some(false);
    };
    if parts.iterations > MOST_ITERATIONS {
        return None;
    }
    let prepared = stringprep::saslprep(password.expose());
    let prepared = prepared.as_deref().unwrap_or(password.expose());
    let salted = salted(prepared.as_bytes(), &parts.salt, parts.iterations);
    let stored = Sha256::digest(code(&salted, b"Client Key"));
    Some(stored.as_slice() == parts.stored)
}

struct Parts {
    iterations: u32,
    salt: Vec<u8>,
    stored: Vec<u8>,
}

fn parse(verifier: &str) -> Option<Parts> {
    let (settings, keys) = verifier.strip_prefix(METHOD)?.split_once('$')?;
    let (iterations, salt) = settings.split_once(':')?;
    let (stored, _) = keys.split_once(':')?;
    Some(Parts {
        iterations: iterations.parse().ok()?,
        salt: STANDARD.decode(salt).ok()?,
        stored: STANDARD.decode(stored).ok()?,
    })
}

/// Returns the first block of PBKDF2.
fn salted(password: &[u8], salt: &[u8], iterations: u32) -> [u8; 32] {
    let mut block = code(password, &[salt, &1_u32.to_be_bytes()].concat());
    let mut sum = block;
    for _ in 1..iterations {
        block = code(password, &block);
        for (sum, byte) in sum.iter_mut().zip(block) {
            *sum ^= byte;
        }
    }
    sum
}

fn code(key: &[u8], text: &[u8]) -> [u8; 32] {
    let mut code = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length is fine");
    code.update(text);
    code.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use postgres_protocol::password::scram_sha_256;

    use super::*;

    #[test]
    fn a_verifier_is_that_of_one_password() {
        // The second has a space that is not ASCII, which counts as one that is.
        for (password, same) in [("hunter2", "hunter2"), ("a\u{a0}b", "a b"), ("\u{7}", "\u{7}")] {
            let verifier = scram_sha_256(password.as_bytes());
            assert_eq!(
                is_of(&verifier, &Sensitive::new(same.to_owned())),
                Some(true),
                "{password:?}"
            );
            assert_eq!(is_of(&verifier, &Sensitive::new("hunter3".to_owned())), Some(false));
        }
    }

    #[test]
    fn what_lets_nobody_in_is_no_verifier() {
        let password = Sensitive::new("hunter2".to_owned());
        for verifier in [
            "",
            "hunter2",
            "md5a1b2",
            "SCRAM-SHA-256$4096:x",
            "SCRAM-SHA-256$4096:eA==$!:eA==",
        ] {
            assert_eq!(is_of(verifier, &password), Some(false), "{verifier}");
        }
        let slow = "SCRAM-SHA-256$2000000:eA==$eA==:eA==";
        assert_eq!(is_of(slow, &password), None);
    }
}
