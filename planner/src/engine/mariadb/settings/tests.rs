//! Values as a real server took them, and what the table promises.

use super::*;

const V: u16 = 1011;
const REFUSED: Option<&str> = None;

/// What a MariaDB 10.11 server made of each value (`mariadbd --defaults-file=F --help --verbose`). Refused is also what it took as
/// another value, in silence or with a warning in its log.
#[rustfmt::skip]
const VERIFIED: &[(&str, &str, Option<&str>)] = &[
    ("max_connections", "200", Some("200")),
    ("max_connections", "1", REFUSED),
    ("max_connections", "1K", Some("1024")),
    ("max_connections", "1k", Some("1024")),
    ("max_connections", "0x10", REFUSED),
    ("max_connections", "-5", REFUSED),
    ("max_connections", "200x", REFUSED),
    ("max_connections", "", REFUSED),
    ("max-connections", "77", Some("77")),
    ("key_buffer_size", "64M", Some("67108864")),
    ("key_buffer_size", "100000", REFUSED),
    ("key_buffer_size", "1.5M", REFUSED),
    ("key_buffer_size", "18446744073709551615", REFUSED),
    ("max_heap_table_size", "16384", Some("16384")),
    ("max_heap_table_size", "16385", REFUSED),
    ("join_buffer_size", "128", Some("128")),
    ("binlog_cache_size", "40000", REFUSED),
    ("net_buffer_length", "1500", REFUSED),
    ("wait_timeout", "31536001", REFUSED),
    ("slow_query_log", "yes", REFUSED),
    ("slow_query_log", "On", Some("ON")),
    ("slow_query_log", "true", Some("ON")),
    ("slow_query_log", "0", Some("OFF")),
    ("long_query_time", "0.5", Some("0.5")),
    ("long_query_time", "1e1", Some("10")),
    ("long_query_time", "-1", REFUSED),
    ("binlog_row_metadata", "full", Some("FULL")),
    ("binlog_row_metadata", "2", Some("FULL")),
    ("binlog_row_metadata", "9", REFUSED),
    ("sql_mode", "ansi_quotes,STRICT_ALL_TABLES", Some("ANSI_QUOTES,STRICT_ALL_TABLES")),
    ("sql_mode", "TRADITIONAL", REFUSED),
    ("sql_mode", "nonsense", REFUSED),
    ("sql_mode", "", Some("")),
    ("optimizer_switch", "mrr=on", Some("mrr=on")),
    ("optimizer_switch", "mrr", REFUSED),
    ("log_output", "TABLE,FILE", Some("FILE,TABLE")),
    ("default_storage_engine", "aria", Some("aria")),
    ("no_such_thing", "1", REFUSED),
];

#[test]
fn values_are_read_as_the_server_reads_them() {
    for (name, value, expected) in VERIFIED {
        assert_eq!(check(V, name, value).is_ok(), expected.is_some(), "{name} = {value:?}");
        if let Some(expected) = expected {
            let read = find(V, name).unwrap().kind.read(value);
            assert_eq!(read.as_deref(), Some(*expected), "{name} = {value:?}");
            assert!(equal(V, name, value, expected), "{name} = {value:?}");
        }
    }
}

#[test]
fn every_row_is_read() {
    assert!(TABLE.len() > 500, "{}", TABLE.len());
    assert!(TABLE.iter().all(|row| row.first <= row.last && !row.name.is_empty()));
}

#[test]
fn two_spellings_of_one_value_are_equal() {
    for (name, a, b, same) in [
        ("innodb_buffer_pool_size", "64M", "67108864", true),
        ("innodb_buffer_pool_size", "64M", "64G", false),
        ("log_output", "FILE,TABLE", "table,file", true),
        ("slow_query_log", "1", "on", true),
        ("tmpdir", "/tmp", "/TMP", false),
        ("no_such_thing", "1", "01", false),
        ("max_connections", "x", "y", false),
    ] {
        assert_eq!(equal(V, name, a, b), same, "{name}: {a:?} and {b:?}");
    }
}

#[test]
fn flags_are_compared_where_both_name_them() {
    let shown = "index_merge=on,mrr=on,mrr_cost_based=off";
    assert!(equal(V, "optimizer_switch", "mrr=on", shown));
    assert!(equal(V, "optimizer_switch", shown, "MRR=ON,mrr_cost_based=off"));
    assert!(!equal(V, "optimizer_switch", "mrr=off", shown));
    assert!(!equal(V, "optimizer_switch", "mrr", shown));
}

#[test]
fn a_change_costs_a_restart_where_the_server_cannot_take_it_while_it_runs() {
    assert_eq!(impact(V, "max_connections"), Impact::Reload);
    assert_eq!(impact(V, "innodb_log_buffer_size"), Impact::Restart);
    assert_eq!(impact(V, "no_such_thing"), Impact::Reload);
}

#[test]
fn problems_name_the_rule_and_a_way_out() {
    let problem = |name, value| {
        let problem = check(V, name, value).unwrap_err();
        format!("{problem}; {}", problem.hint().unwrap_or_default())
    };
    assert_eq!(
        problem("max_conections", "100"),
        "parameter \"max_conections\" is none of MariaDB 10.11; Did you mean \"max_connections\"?"
    );
    assert_eq!(
        problem("max_connections", "5"),
        "parameter \"max_connections\" must be a whole number from 10 to 100000; K, M, G, T, P and E multiply by 1024, not \"5\"; "
    );
    assert_eq!(
        problem("slow_query_log", "yes"),
        "parameter \"slow_query_log\" must be on or off, not \"yes\"; "
    );
}
