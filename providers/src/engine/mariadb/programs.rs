//! MariaDB's programs, and what its server notes of itself.

use simdb_state::instance::StopSignal;
use simdb_state::object::EngineKind;

use crate::engine::programs::{Lock, Programs, numbers};

/// MariaDB's programs. Packages put the server where system programs are, and the others where everybody's are.
pub(crate) const PROGRAMS: Programs = Programs {
    engine: EngineKind::Mariadb,
    server: "mariadbd",
    others: &[
        "mariadb-install-db",
        "mariadb-binlog",
        "mariadb",
        "mariabackup",
        "innochecksum",
    ],
    beside: &["../bin", "../scripts"],
    version,
    known: &[
        ("/usr/sbin", ""),
        ("/usr/libexec", ""),
        ("/usr/local/mysql/bin", ""),
        ("/opt/homebrew/bin", ""),
        ("/home/linuxbrew/.linuxbrew/bin", ""),
    ],
    image: None,
    contained: false,
    stop: StopSignal::Terminate,
    lock: "mariadbd.pid",
    read_lock,
};

/// Two numbers are a major version: 1011 is 10.11.
fn version(printed: &str) -> Option<u16> {
    let mut numbers = numbers(printed);
    let (major, minor) = (numbers.next()?, numbers.next()?);
    (minor < 100)
        .then(|| major.checked_mul(100)?.checked_add(minor))
        .flatten()
}

/// Its file holds the number of its process alone. It keeps nobody out: a second server waits for a lock on the data itself.
fn read_lock(text: &str) -> Option<Lock> {
    let process = text.trim().parse().ok()?;
    let stopping = false;
    Some(Lock { process, stopping })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_two_numbers() {
        for (printed, expected) in [
            (
                "mariadbd  Ver 10.11.19-MariaDB-0+deb12u1 for debian-linux-gnu on x86_64 (Debian 12)",
                Some(1011),
            ),
            ("mariadbd  Ver 11.4.2-MariaDB", Some(1104)),
            ("mariadbd  Ver 12.0-MariaDB", Some(1200)),
            ("mariadbd  Ver 10", None),
            ("mariadbd", None),
        ] {
            assert_eq!(version(printed), expected, "{printed}");
        }
    }
}
