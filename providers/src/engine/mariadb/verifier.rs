//! What a server keeps in place of a password, made here: the password itself reaches no server and no log.
//!
//! `mysql_native_password` keeps `SHA1(SHA1(password))`, and `ed25519` the public key whose private one is the password. Neither has
//! a salt, so that a known password is compared by making its verifier again.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use curve25519_dalek::EdwardsPoint;
use curve25519_dalek::scalar::{Scalar, clamp_integer};
use serde::Deserialize;
use sha1::Sha1;
use sha2::{Digest, Sha512};
use simdb_state::sensitive::Sensitive;

/// How a login proves that it knows its password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `mysql_native_password`: every server and client has it.
    Native,
    /// `ed25519`: what the server keeps lets nobody in, and does not fall to a table of hashes as quickly.
    Ed25519,
}

impl Method {
    /// Returns the server's name of it.
    pub fn plugin(self) -> &'static str {
        match self {
            Method::Native => "mysql_native_password",
            Method::Ed25519 => "ed25519",
        }
    }

    /// Returns the verifier of a password.
    pub fn verifier(self, password: &Sensitive<String>) -> String {
        match self {
            Method::Native => native(password),
            Method::Ed25519 => ed25519(password),
        }
    }
}

/// One way in which an account may prove who it is, as the server keeps it.
#[derive(Clone, Deserialize)]
#[serde(default)]
#[derive(Default)]
pub(super) struct Verifier {
    pub(super) plugin: String,
    pub(super) authentication_string: String,
}

/// Returns whether a verifier is that of a password; nothing where its method is none that simdb makes verifiers by.
pub(super) fn is_of(verifier: &Verifier, password: &Sensitive<String>) -> Option<bool> {
    let methods = [Method::Native, Method::Ed25519];
    let method = methods.into_iter().find(|method| method.plugin() == verifier.plugin)?;
    Some(method.verifier(password) == verifier.authentication_string)
}

fn native(password: &Sensitive<String>) -> String {
    let verifier = Sha1::digest(Sha1::digest(password.expose()));
    let digits = verifier.iter().map(|byte| format!("{byte:02X}"));
    format!("*{}", digits.collect::<String>())
}

/// The private key is the digest of the password, of whatever length that is.
fn ed25519(password: &Sensitive<String>) -> String {
    let digest = Sha512::digest(password.expose());
    let (secret, _) = digest.split_at(32);
    let secret = secret.try_into().expect("half of a digest of 64 bytes has 32");
    let secret = Scalar::from_bytes_mod_order(clamp_integer(secret));
    STANDARD_NO_PAD.encode(EdwardsPoint::mul_base(&secret).compress().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verifiers_are_those_that_servers_make() {
        let password = |text: &str| Sensitive::new(text.to_owned());
        let native = Method::Native.verifier(&password("123456"));
        assert_eq!(native, "*6BB4837EB74329105EE4568DDA7DC67ED2CA2AD9");
        // As the manual of the plugin has it.
        let ed25519 = Method::Ed25519.verifier(&password("secret"));
        assert_eq!(ed25519, "ZIgUREUg5PVgQ6LskhXmO+eZLS0nC8be6HPjYWR4YJY");
    }

    #[test]
    fn a_verifier_is_that_of_one_password_and_tells_nothing_by_other_methods() {
        let known = Sensitive::new("hunter2".to_owned());
        let verifier = |plugin: &str, text: String| Verifier {
            plugin: plugin.to_owned(),
            authentication_string: text,
        };
        for method in [Method::Native, Method::Ed25519] {
            let own = verifier(method.plugin(), method.verifier(&known));
            assert_eq!(is_of(&own, &known), Some(true));
            assert_eq!(is_of(&own, &Sensitive::new("hunter3".to_owned())), Some(false));
            assert_eq!(is_of(&verifier(method.plugin(), String::new()), &known), Some(false));
        }
        assert_eq!(is_of(&verifier("unix_socket", String::new()), &known), None);
    }
}
