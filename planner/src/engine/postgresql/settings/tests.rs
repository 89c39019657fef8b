//! Values as a real server took them, and what the table promises.

use expect_test::{Expect, expect};

use super::*;

const REFUSED: Option<&str> = None;

/// What a PostgreSQL 15 server made of each value (`postgres -c name=value -C name`; file modes from `pg_settings`).
#[rustfmt::skip]
const VERIFIED: &[(&str, &str, Option<&str>)] = &[
    ("shared_buffers", "64MB", Some("8192")),
    ("shared_buffers", "8192", Some("8192")),
    ("shared_buffers", "0x2000", Some("8192")),
    ("shared_buffers", "0100000", Some("32768")),
    ("shared_buffers", " 64 MB ", Some("8192")),
    ("shared_buffers", "1.5GB", Some("196608")),
    ("shared_buffers", "64mb", REFUSED),
    ("shared_buffers", "64 M", REFUSED),
    ("shared_buffers", "15", REFUSED),
    ("shared_buffers", "1e4", Some("10000")),
    ("shared_buffers", "1e4kB", Some("1250")),
    ("shared_buffers", "100kB", REFUSED),
    ("shared_buffers", "0.1TB", Some("13369344")),
    ("shared_buffers", "2000000B", Some("244")),
    ("shared_buffers", "99999999999999999999", REFUSED),
    ("work_mem", "4MB", Some("4096")),
    ("work_mem", "30.1GB", Some("31561728")),
    ("work_mem", "30.1MB", Some("30822")),
    ("work_mem", "65.5", Some("66")),
    ("work_mem", "66.5", Some("66")),
    ("work_mem", "08", REFUSED),
    ("work_mem", "1e3", Some("1000")),
    ("work_mem", "1e", REFUSED),
    ("work_mem", "+100", Some("100")),
    ("work_mem", "-100", REFUSED),
    ("work_mem", ".5MB", Some("512")),
    ("work_mem", "5.MB", Some("5120")),
    ("work_mem", "nan", REFUSED),
    ("work_mem", "inf", REFUSED),
    ("work_mem", "", REFUSED),
    ("work_mem", "0x1e3", Some("483")),
    ("max_wal_size", "1GB", Some("1024")),
    ("max_wal_size", "1048577kB", Some("1024")),
    ("max_wal_size", "2TB", Some("2097152")),
    ("max_connections", "50", Some("50")),
    ("max_connections", "50kB", REFUSED),
    ("max_connections", "50.5", Some("50")),
    ("max_connections", "0", REFUSED),
    ("max_connections", "262144", REFUSED),
    ("checkpoint_timeout", "1min", Some("60")),
    ("checkpoint_timeout", "60s", Some("60")),
    ("checkpoint_timeout", "60000ms", Some("60")),
    ("checkpoint_timeout", "0.5h", Some("1800")),
    ("checkpoint_timeout", "1d", Some("86400")),
    ("checkpoint_timeout", "30500000us", Some("30")),
    ("checkpoint_timeout", "5 minutes", REFUSED),
    ("wal_retrieve_retry_interval", "100ms", Some("100")),
    ("wal_retrieve_retry_interval", "0.1s", Some("100")),
    ("wal_retrieve_retry_interval", "1500us", Some("2")),
    ("wal_retrieve_retry_interval", "2500us", Some("2")),
    ("log_rotation_age", "1d", Some("1440")),
    ("log_rotation_age", "1440", Some("1440")),
    ("log_rotation_age", "90s", Some("2")),
    ("bgwriter_delay", "0.2s", Some("200")),
    ("track_activity_query_size", "4kB", Some("4096")),
    ("track_activity_query_size", "1024B", Some("1024")),
    ("seq_page_cost", "1.50", Some("1.5")),
    ("seq_page_cost", "1e10", Some("1e+10")),
    ("seq_page_cost", "123456.7", Some("123457")),
    ("seq_page_cost", "1234567", Some("1.23457e+06")),
    ("seq_page_cost", "0.00001", Some("1e-05")),
    ("seq_page_cost", "-1", REFUSED),
    ("seq_page_cost", "0x10", Some("16")),
    ("seq_page_cost", "010", Some("10")),
    ("seq_page_cost", "1ms", REFUSED),
    ("seq_page_cost", "1e308", Some("1e+308")),
    ("vacuum_cost_delay", "1500us", Some("1.5")),
    ("vacuum_cost_delay", "2", Some("2")),
    ("vacuum_cost_delay", "0.0015s", Some("2")),
    ("vacuum_cost_delay", "200ms", REFUSED),
    ("autovacuum_vacuum_cost_delay", "-1", Some("-1")),
    ("fsync", "on", Some("on")),
    ("fsync", "TRUE", Some("on")),
    ("fsync", "yes", Some("on")),
    ("fsync", "1", Some("on")),
    ("fsync", "t", Some("on")),
    ("fsync", "y", Some("on")),
    ("fsync", "o", REFUSED),
    ("fsync", "of", Some("off")),
    ("fsync", "OFF", Some("off")),
    ("fsync", "n", Some("off")),
    ("fsync", "fals", Some("off")),
    ("fsync", "falsey", REFUSED),
    ("fsync", "2", REFUSED),
    ("fsync", "", REFUSED),
    ("fsync", " on", REFUSED),
    ("wal_level", "LOGICAL", Some("logical")),
    ("wal_level", "archive", Some("replica")),
    ("wal_level", "hot_standby", Some("replica")),
    ("wal_level", "minima", REFUSED),
    ("synchronous_commit", "true", Some("on")),
    ("synchronous_commit", "0", Some("off")),
    ("synchronous_commit", "Remote_Apply", Some("remote_apply")),
    ("synchronous_commit", "t", REFUSED),
    ("wal_compression", "on", Some("pglz")),
    ("wal_compression", "yes", Some("pglz")),
    ("wal_compression", "pglz", Some("pglz")),
    ("wal_compression", "lz4", Some("lz4")),
    ("wal_compression", "off", Some("off")),
    ("log_min_messages", "debug", Some("debug2")),
    ("client_min_messages", "DEBUG", Some("debug2")),
    ("client_min_messages", "fatal", REFUSED),
    ("huge_pages", "1", Some("on")),
    ("archive_mode", "always", Some("always")),
    ("archive_mode", "1", Some("on")),
    ("compute_query_id", "Regress", Some("regress")),
    ("backslash_quote", "safe_encoding", Some("safe_encoding")),
    ("ssl_max_protocol_version", "", Some("")),
    ("ssl_min_protocol_version", "tlsv1.2", Some("TLSv1.2")),
    ("password_encryption", "MD5", Some("md5")),
    ("password_encryption", "on", REFUSED),
    ("wal_sync_method", "FSYNC", Some("fsync")),
    ("search_path", "\"$user\", public", Some("\"$user\", public")),
    ("log_line_prefix", "%m [%p] ", Some("%m [%p] ")),
    ("log_destination", "stderr", Some("stderr")),
    ("SHARED_BUFFERS", "64MB", Some("8192")),
    ("Timezone", "UTC", Some("UTC")),
    ("sort_mem", "64", Some("64")),
    ("vacuum_mem", "2048", Some("2048")),
    ("max_slot_wal_keep_size", "-1", Some("-1")),
    ("max_slot_wal_keep_size", "1GB", Some("1024")),
    ("statement_timeout", "1min", Some("60000")),
    ("statement_timeout", "1.0001min", Some("60000")),
    ("log_min_duration_statement", "-1", Some("-1")),
    ("max_worker_processes", "0b11", REFUSED),
    ("hash_mem_multiplier", "2.0", Some("2")),
    ("geqo_seed", "0.3333333", Some("0.333333")),
    ("checkpoint_completion_target", "1.01", REFUSED),
    ("unix_socket_permissions", "0770", Some("0770")),
    ("unix_socket_permissions", "511", Some("0777")),
    ("log_file_mode", "0x1b0", Some("0660")),
];

#[test]
fn values_are_read_as_a_real_server_reads_them() {
    for (name, value, shown) in VERIFIED {
        let read = find(15, name)
            .unwrap_or_else(|| panic!("{name} is a setting"))
            .read(value);
        assert_eq!(read.as_deref(), *shown, "{name} = {value:?}");
        assert_eq!(check(15, name, value).is_ok(), shown.is_some(), "{name} = {value:?}");
        assert_eq!(canonical(15, name, value), shown.unwrap_or(value), "{name} = {value:?}");
    }
}

#[test]
fn every_row_of_the_table_is_read_and_no_version_has_a_setting_twice() {
    for version in VERSIONS {
        let mut names: Vec<_> = rows(version).map(|row| row.setting.name.to_ascii_lowercase()).collect();
        assert!(
            names.len() > 300,
            "PostgreSQL {version} has only {} settings",
            names.len()
        );
        names.sort();
        names.dedup();
        assert_eq!(names.len(), rows(version).count(), "PostgreSQL {version}");
    }
}

#[test]
fn two_spellings_of_one_value_are_equal() {
    for (name, a, b) in [
        ("shared_buffers", "64MB", "8192"),
        ("checkpoint_timeout", "1min", "60s"),
        ("work_mem", "1e3", "1000kB"),
        ("fsync", "yes", "1"),
        ("wal_level", "LOGICAL", "logical"),
        ("seq_page_cost", "1.50", "1.5"),
        ("some.parameter", "1", "1"),
        ("no_such_setting", "a", "a"),
    ] {
        assert!(equal(15, name, a, b), "{name}: {a} and {b}");
    }
    for (name, a, b) in [
        ("shared_buffers", "64MB", "64"),
        ("search_path", "Public", "public"),
        ("some.parameter", "on", "true"),
        ("no_such_setting", "1", "1.0"),
    ] {
        assert!(!equal(15, name, a, b), "{name}: {a} and {b}");
    }
}

#[test]
fn only_what_the_postmaster_reads_once_costs_a_restart() {
    assert_eq!(impact(15, "shared_buffers"), Impact::Restart);
    assert_eq!(impact(15, "max_wal_size"), Impact::Reload);
    assert_eq!(impact(15, "work_mem"), Impact::Reload);
    assert_eq!(impact(15, "some.parameter"), Impact::Reload);
    // It became changeable in 18.
    assert_eq!(impact(17, "autovacuum_max_workers"), Impact::Restart);
    assert_eq!(impact(18, "autovacuum_max_workers"), Impact::Reload);
}

#[test]
fn versions_the_table_does_not_know_are_taken_for_the_nearest() {
    assert_eq!(find(14, "work_mem"), find(15, "work_mem"));
    assert_eq!(find(19, "io_method"), find(18, "io_method"));
}

#[track_caller]
fn refused(version: u16, name: &str, value: &str, expected: &Expect) {
    let problem = check(version, name, value).unwrap_err();
    let hint = problem.hint().map_or_else(String::new, |hint| format!("\n{hint}"));
    expected.assert_eq(&format!("{problem}{hint}"));
}

#[test]
fn a_refusal_says_the_rule_and_a_way_out() {
    refused(
        15,
        "max_conections",
        "50",
        &expect![[r#"
        parameter "max_conections" is none of PostgreSQL 15
        Did you mean "max_connections"?"#]],
    );
    refused(
        15,
        "colour",
        "red",
        &expect![[r#"parameter "colour" is none of PostgreSQL 15"#]],
    );
    refused(
        15,
        "io_method",
        "sync",
        &expect![[r#"
            parameter "io_method" is none of PostgreSQL 15: only 18 has it
            Remove it, or set the engine's version to "18"."#]],
    );
    refused(
        18,
        "promote_trigger_file",
        "f",
        &expect![[r#"
            parameter "promote_trigger_file" is none of PostgreSQL 18: only 15 has it
            Remove it, or set the engine's version to "15"."#]],
    );
    refused(
        15,
        "some.1",
        "x",
        &expect![[r#"parameter "some.1" must be names joined by dots, each of letters, digits, "_" and "$""#]],
    );
    refused(
        15,
        "fsync",
        "maybe",
        &expect![[r#"parameter "fsync" must be on or off, not "maybe""#]],
    );
    refused(
        15,
        "shared_buffers",
        "64mb",
        &expect![[
            r#"parameter "shared_buffers" must be a whole number from 16 to 1073741823 (in blocks of 8 kB where no unit is given; units: B kB MB GB TB), not "64mb""#
        ]],
    );
    refused(
        15,
        "checkpoint_timeout",
        "1s",
        &expect![[
            r#"parameter "checkpoint_timeout" must be a whole number from 30 to 86400 (in s where no unit is given; units: us ms s min h d), not "1s""#
        ]],
    );
    refused(
        15,
        "max_connections",
        "many",
        &expect![[r#"parameter "max_connections" must be a whole number from 1 to 262143, not "many""#]],
    );
    refused(
        15,
        "seq_page_cost",
        "-1",
        &expect![[r#"parameter "seq_page_cost" must be a number from 0 to 1.79769e308, not "-1""#]],
    );
    refused(
        15,
        "wal_level",
        "full",
        &expect![[r#"parameter "wal_level" must be one of "minimal", "replica", "logical", not "full""#]],
    );
    refused(
        15,
        "max_wal_size",
        "1",
        &expect![[
            r#"parameter "max_wal_size" must be a whole number from 2 to 2147483647 (in MB where no unit is given; units: B kB MB GB TB), not "1""#
        ]],
    );
}

#[test]
fn parameters_of_extensions_are_accepted() {
    check(15, "pg_stat_statements.max", "anything").unwrap();
    check(15, "a.b.c$1", "").unwrap();
}
