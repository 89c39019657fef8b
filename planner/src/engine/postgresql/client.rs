//! What PostgreSQL's clients are told: a URL, and which of several hosts to stay with. Clients that use libpq, and most
//! others, know these words.

use std::fmt::Write;

use simdb_state::place::HostPort;
use simdb_state::route::Wanted;
use simdb_state::sensitive::Sensitive;

const ATTRIBUTES: [(Wanted, &str); 3] = [
    (Wanted::Any, "any"),
    (Wanted::Writer, "read-write"),
    (Wanted::Reader, "prefer-standby"),
];

/// Returns the value of `target_session_attrs` for a server that is looked for.
pub fn target_session_attrs(wanted: Wanted) -> &'static str {
    let mut known = ATTRIBUTES.iter();
    let found = known.find(|(of, _)| *of == wanted);
    found
        .map(|(_, text)| *text)
        .expect("every server that is looked for has a word")
}

/// Returns the server that a value of `target_session_attrs` looks for, where simdb uses that value.
pub fn wanted(target_session_attrs: &str) -> Option<Wanted> {
    let mut known = ATTRIBUTES.iter();
    known
        .find(|(_, text)| *text == target_session_attrs)
        .map(|(wanted, _)| *wanted)
}

/// Who connects, and to which database.
#[derive(Clone, Copy, Debug)]
pub struct Login<'a> {
    /// The login.
    pub user: &'a str,
    /// Its password, where that is known.
    pub password: Option<&'a Sensitive<String>>,
    /// The database.
    pub database: &'a str,
}

/// Returns the URL that leads a login to one of several hosts.
pub fn url(hosts: &[HostPort], wanted: Wanted, login: &Login<'_>) -> String {
    let hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
    let password = login
        .password
        .map(|password| format!(":{}", encoded(password.expose())));
    format!(
        "postgresql://{}{}@{}/{}?target_session_attrs={}",
        encoded(login.user),
        password.unwrap_or_default(),
        hosts.join(","),
        encoded(login.database),
        target_session_attrs(wanted)
    )
}

/// Writes a part of a URL: whatever may mean something there is encoded (RFC 3986).
fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").expect("writing to a String cannot fail");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clients_look_for_is_read_as_it_was_written() {
        for wanted_server in [Wanted::Any, Wanted::Writer, Wanted::Reader] {
            assert_eq!(wanted(target_session_attrs(wanted_server)), Some(wanted_server));
        }
        assert_eq!(wanted("primary"), None);
    }
}
