//! What simdb refuses of values that a server accepts, and that would stop it, its standbys or simdb itself later on.
//!
//! A server reads its files before it knows its catalogs, its other settings and what will connect to it: it takes the name
//! of a table access method on faith, and never serves a statement again. What it does refuse when it reads its files is
//! left to it (`trial`).

use std::collections::BTreeMap;

use super::{SettingProblem, find, read_bytes, read_milliseconds};

/// One rule about the values of a setting.
struct Limit {
    names: &'static [&'static str],
    /// The rule, as a fragment that follows "must be".
    rule: &'static str,
    holds: fn(u16, &str) -> bool,
}

/// The text search configurations that every database has.
const TEXT_SEARCH: [&str; 29] = [
    "simple",
    "arabic",
    "armenian",
    "basque",
    "catalan",
    "danish",
    "dutch",
    "english",
    "finnish",
    "french",
    "german",
    "greek",
    "hindi",
    "hungarian",
    "indonesian",
    "irish",
    "italian",
    "lithuanian",
    "nepali",
    "norwegian",
    "portuguese",
    "romanian",
    "russian",
    "serbian",
    "spanish",
    "swedish",
    "tamil",
    "turkish",
    "yiddish",
];

/// The smallest size of the log that a server starts with: two segments.
const LOG_SIZE: u64 = 32 << 20;

/// Below this many milliseconds a limit ends what is not idle at all, such as the stream of a standby.
const SHORTEST: u32 = 1000;

const LIMITS: &[Limit] = &[
    Limit {
        names: &["default_tablespace", "temp_tablespaces"],
        rule: "\"pg_default\" or empty, as clones on one machine cannot share another tablespace",
        holds: |_, value| matches!(value, "" | "pg_default"),
    },
    Limit {
        names: &["default_table_access_method"],
        rule: "\"heap\", the only one that every database has",
        holds: |_, value| value == "heap",
    },
    Limit {
        names: &["default_text_search_config"],
        rule: "one of those that every database has, such as \"pg_catalog.english\"",
        holds: has_text_search,
    },
    Limit {
        names: &["min_wal_size", "max_wal_size"],
        rule: "at least 32MB, two segments of the log",
        holds: |_, value| in_megabytes(value).is_none_or(|size| size >= LOG_SIZE),
    },
    Limit {
        names: &["superuser_reserved_connections"],
        rule: "at least 1, so that simdb gets in when clients have all other connections",
        holds: |_, value| value.trim() != "0",
    },
    Limit {
        names: &[
            "wal_sender_timeout",
            "wal_receiver_timeout",
            "idle_session_timeout",
            "transaction_timeout",
        ],
        rule: "0 or at least 1s; less ends the sessions of standbys and of simdb before they have begun",
        holds: |_, value| read_milliseconds(value).is_none_or(|time| time == 0 || time >= SHORTEST),
    },
    Limit {
        names: &[
            "commit_timestamp_buffers",
            "subtransaction_buffers",
            "transaction_buffers",
            "io_max_concurrency",
        ],
        rule: "a number above 0, or be left out for the server to choose; a server that is told to choose refuses its own \
               choice when it reads its files again",
        holds: |_, value| !matches!(value.trim(), "0" | "-1"),
    },
    Limit {
        names: &["full_page_writes"],
        rule: "on, as a rewind or a clone of a standby needs whole pages in the log",
        holds: |version, value| find(version, "full_page_writes").is_none_or(|setting| setting.is_on(value)),
    },
    Limit {
        names: &["dynamic_library_path"],
        rule: "absolute directories joined by \":\", \"$libdir\" among them, as standbys stream with a library from there",
        holds: |_, value| {
            let mut parts = value.split(':');
            value.split(':').any(|part| part == "$libdir")
                && parts.all(|part| part.starts_with('/') || part.starts_with("$libdir"))
        },
    },
];

fn has_text_search(version: u16, value: &str) -> bool {
    let name = value.strip_prefix("pg_catalog.").unwrap_or(value);
    TEXT_SEARCH.contains(&name) || (name == "estonian" && version >= 18)
}

/// Reads a size whose bare number counts megabytes.
fn in_megabytes(value: &str) -> Option<u64> {
    let value = value.trim();
    let bare = value.chars().all(|c| c.is_ascii_digit());
    read_bytes(&if bare { format!("{value}MB") } else { value.to_owned() })
}

/// Checks a value that the setting itself accepts.
pub(super) fn check(version: u16, name: &'static str, value: &str) -> Result<(), SettingProblem> {
    let broken = |limit: &&Limit| limit.names.contains(&name) && !(limit.holds)(version, value);
    match LIMITS.iter().find(broken) {
        None => Ok(()),
        Some(limit) => Err(SettingProblem::Value {
            name,
            rule: limit.rule.to_owned(),
            value: value.to_owned(),
        }),
    }
}

/// Returns the parameter that leaves clients without any connection, and what is wrong with it.
pub fn connections(version: u16, parameters: &BTreeMap<String, String>) -> Option<(&'static str, String)> {
    let number = |name: &str, default: u64| {
        let given = parameters.iter().find(|(given, _)| given.eq_ignore_ascii_case(name));
        given
            .and_then(|(_, value)| value.trim().parse().ok())
            .unwrap_or(default)
    };
    let (all, superusers) = (
        number("max_connections", 100),
        number("superuser_reserved_connections", 3),
    );
    let reserved = if version >= 16 {
        number("reserved_connections", 0)
    } else {
        0
    };
    (superusers + reserved >= all).then(|| {
        let detail = format!(
            "The server keeps {} of its {all} connections for superusers and reserved roles, so that none is left for others, \
             and does not start. max_connections must be above superuser_reserved_connections and reserved_connections \
             together.",
            superusers + reserved
        );
        let names = ["max_connections", "superuser_reserved_connections", "reserved_connections"];
        let given = names.into_iter().find(|name| parameters.contains_key(*name));
        (given.unwrap_or("max_connections"), detail)
    })
}

#[cfg(test)]
mod tests {
    use super::super as settings;

    #[test]
    fn values_that_would_stop_a_cluster_later_are_refused() {
        for (name, value, fits) in [
            ("default_tablespace", "fast", false),
            ("default_tablespace", "", true),
            ("default_table_access_method", "columnar", false),
            ("default_text_search_config", "pg_catalog.german", true),
            ("default_text_search_config", "pg_catalog.estonian", false),
            ("min_wal_size", "31", false),
            ("max_wal_size", "31MB", false),
            ("max_wal_size", "1GB", true),
            ("min_wal_size", "32", true),
            ("superuser_reserved_connections", "0", false),
            ("idle_session_timeout", "1ms", false),
            ("idle_session_timeout", "0", true),
            ("wal_sender_timeout", "1s", true),
            ("full_page_writes", "no", false),
            ("full_page_writes", "yes", true),
            ("dynamic_library_path", "nope", false),
            ("dynamic_library_path", "/opt/lib:$libdir", true),
        ] {
            assert_eq!(settings::check(15, name, value).is_ok(), fits, "{name} = {value:?}");
        }
        assert!(settings::check(18, "default_text_search_config", "estonian").is_ok());
        assert!(settings::check(18, "io_max_concurrency", "-1").is_err());
        assert!(settings::check(18, "transaction_buffers", "32").is_ok());
    }

    #[test]
    fn some_connections_are_left_for_others() {
        let wrong = |version, pairs: &[(&str, &str)]| {
            let parameters = pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
            super::connections(version, &parameters).map(|(name, _)| name)
        };
        assert_eq!(wrong(15, &[]), None);
        assert_eq!(wrong(15, &[("max_connections", "3")]), Some("max_connections"));
        let reserved = [("superuser_reserved_connections", "90"), ("reserved_connections", "10")];
        assert_eq!(wrong(16, &reserved), Some("superuser_reserved_connections"));
        assert_eq!(wrong(15, &reserved[..1]), None);
    }
}
