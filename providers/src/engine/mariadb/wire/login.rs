//! The greeting of a server, and the proof that simdb knows a password, which does not tell it.

use sha1::{Digest, Sha1};

use super::packet::{Reader, WireError, refusal};

/// The method that simdb proves its password by.
const NATIVE: &str = "mysql_native_password";

/// How many bytes a salt has.
const SALT: usize = 20;

/// Packets as they are since 4.1, a login with a salt of twenty bytes, and the name of the method. What is missing matters as much:
/// a text is one statement, and no server may ask for a file of this machine.
const CAPABILITIES: u32 = LONG_PASSWORD | LONG_FLAG | PROTOCOL_41 | TRANSACTIONS | SECURE_CONNECTION | PLUGIN_AUTH;
const LONG_PASSWORD: u32 = 1;
const LONG_FLAG: u32 = 1 << 2;
const PROTOCOL_41: u32 = 1 << 9;
const TRANSACTIONS: u32 = 1 << 13;
const SECURE_CONNECTION: u32 = 1 << 15;
const PLUGIN_AUTH: u32 = 1 << 19;

/// `utf8mb4_general_ci`: texts are UTF-8 in both directions.
const CHARACTERS: u8 = 45;

/// More than any statement of simdb has.
const LONGEST_PACKET: u32 = 64 << 20;

/// What a server says first.
#[derive(Debug)]
pub(super) struct Greeting {
    pub(super) session: u32,
    pub(super) version: String,
    salt: Vec<u8>,
}

impl Greeting {
    pub(super) fn read(packet: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader(packet);
        match reader.byte()? {
            10 => {}
            0xff => return Err(refusal(packet)),
            _ => return Err(WireError::Malformed("no MariaDB server speaks like this")),
        }
        let version = String::from_utf8_lossy(reader.terminated()?);
        // Clients of an age in which the version had to begin with 5 are told so.
        let version = version.strip_prefix("5.5.5-").unwrap_or(&version).to_owned();
        let session = u32::try_from(reader.number(4)?).expect("four bytes are a number of this kind");
        let mut salt = reader.bytes(8)?.to_vec();
        // Capabilities, characters, status, the length of the salt, and what is kept free.
        reader.bytes(1 + 2 + 1 + 2 + 2 + 1 + 10)?;
        salt.extend_from_slice(reader.bytes(SALT - salt.len())?);
        Ok(Self { session, version, salt })
    }

    /// Returns the login.
    pub(super) fn respond(&self, user: &str, password: &str) -> Vec<u8> {
        let proven = proof(password, &self.salt);
        let mut packet = CAPABILITIES.to_le_bytes().to_vec();
        packet.extend_from_slice(&LONGEST_PACKET.to_le_bytes());
        packet.push(CHARACTERS);
        packet.extend_from_slice(&[0; 23]);
        packet.extend_from_slice(user.as_bytes());
        packet.push(0);
        packet.push(u8::try_from(proven.len()).expect("a proof has twenty bytes"));
        packet.extend_from_slice(&proven);
        packet.extend_from_slice(NATIVE.as_bytes());
        packet.push(0);
        packet
    }
}

/// Returns what proves a password to a server that has its verifier: `SHA1(p) XOR SHA1(salt, SHA1(SHA1(p)))`.
pub(super) fn proof(password: &str, salt: &[u8]) -> Vec<u8> {
    let once = Sha1::digest(password);
    let twice = Sha1::digest(once);
    let mask = Sha1::new().chain_update(salt).chain_update(twice).finalize();
    once.iter().zip(mask).map(|(byte, mask)| byte ^ mask).collect()
}

/// Returns the salt, where the server asks for the proof again, as it does where the login has another method than it supposed.
pub(super) fn asked_again(packet: &[u8]) -> Result<Option<Vec<u8>>, WireError> {
    let mut reader = Reader(packet);
    if reader.byte()? != 0xfe {
        return Ok(None);
    }
    // Without a name it is the method of servers before 4.1.
    let method = String::from_utf8_lossy(reader.terminated().unwrap_or(b"mysql_old_password")).into_owned();
    if method != NATIVE {
        return Err(WireError::Method(method));
    }
    Ok(Some(reader.bytes(SALT)?.to_vec()))
}

/// Reads whether the server lets the login in.
pub(super) fn accepted(packet: &[u8]) -> Result<(), WireError> {
    match packet.first() {
        Some(0x00) => Ok(()),
        Some(0xff) => Err(refusal(packet)),
        _ => Err(WireError::Malformed("it is no answer to a login")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_proof_is_that_of_a_password_and_a_salt() {
        // A server that has the verifier takes the mask off, and hashes what is left.
        let salt = [7; SALT];
        let twice = Sha1::digest(Sha1::digest("123456"));
        let mask = Sha1::new().chain_update(salt).chain_update(twice).finalize();
        let once: Vec<u8> = proof("123456", &salt).iter().zip(mask).map(|(a, b)| a ^ b).collect();
        assert_eq!(Sha1::digest(once), twice);
        assert_ne!(proof("123456", &salt), proof("123456", &[8; SALT]));
    }

    #[test]
    fn a_server_that_asks_for_the_password_itself_is_refused() {
        let refused = asked_again(b"\xfemysql_clear_password\0").unwrap_err();
        assert!(matches!(refused, WireError::Method(method) if method == "mysql_clear_password"));
        assert!(matches!(asked_again(b"\xfe"), Err(WireError::Method(_))));
        assert!(asked_again(b"\0\0\0\x02\0\0\0").unwrap().is_none());
    }

    proptest! {
        #[test]
        fn no_greeting_is_a_panic(packet in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Greeting::read(&packet);
            let _ = asked_again(&packet);
            let _ = accepted(&packet);
            let mut greeting = vec![10];
            greeting.extend(packet);
            let _ = Greeting::read(&greeting);
        }
    }
}
