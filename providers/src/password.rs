//! Makes up passwords.

use simdb_state::sensitive::Sensitive;

/// Letters and digits only: a password then needs no quoting in a passfile, a connection string or a URL.
const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// 32 characters of 62 are 190 bits.
const LENGTH: usize = 32;

/// Returns a new password from the system's random source, or why that source gave nothing.
pub fn generate() -> Result<Sensitive<String>, getrandom::Error> {
    let mut password = String::with_capacity(LENGTH);
    while password.len() < LENGTH {
        let mut bytes = [0_u8; LENGTH];
        getrandom::fill(&mut bytes)?;
        // Bytes from 248 on are thrown away: 248 is the last multiple of 62, and keeping them would favour some letters.
        let letters = bytes
            .iter()
            .filter(|byte| **byte < 248)
            .map(|byte| char::from(ALPHABET[usize::from(byte % 62)]));
        password.extend(letters.take(LENGTH - password.len()));
    }
    Ok(Sensitive::new(password))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_long_plain_and_never_the_same() {
        let (one, two) = (generate().unwrap(), generate().unwrap());
        assert_eq!(one.expose().len(), LENGTH);
        assert!(one.expose().bytes().all(|byte| byte.is_ascii_alphanumeric()));
        assert_ne!(one.expose(), two.expose());
    }
}
