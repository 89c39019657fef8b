//! What the core asks of the parameters of MariaDB's servers.

use std::collections::BTreeMap;

use super::settings;
use crate::engine::parameters::{self, Group, Refusal, reason};
use crate::plan::Impact;

/// The parameters of MariaDB's servers.
pub(in crate::engine) struct Parameters;

/// Parameters that simdb sets itself.
static RESERVED: [Group; 9] = [
    Group {
        names: &["port", "extra_port"],
        reason: "Set the \"port\" of the node instead.",
    },
    Group {
        names: &["bind_address", "socket", "skip_networking", "skip_name_resolve"],
        reason: "The network of the cluster decides where its servers listen.",
    },
    Group {
        names: &[
            "datadir",
            "pid_file",
            "log_error",
            "innodb_data_home_dir",
            "innodb_data_file_path",
            "innodb_log_group_home_dir",
            "innodb_undo_directory",
            "aria_log_dir_path",
        ],
        reason: "simdb decides where the files of a node are.",
    },
    Group {
        names: &[
            "read_only",
            "event_scheduler",
            "init_rpl_role",
            "skip_slave_start",
            "relay_log_recovery",
            "report_host",
            "report_port",
            "rpl_semi_sync_master_enabled",
            "rpl_semi_sync_master_timeout",
            "rpl_semi_sync_master_wait_no_slave",
            "rpl_semi_sync_master_wait_point",
            "rpl_semi_sync_slave_enabled",
        ],
        reason: "It follows from the role of each node and from the \"replication\" block, and changes with them.",
    },
    Group {
        names: &[
            "server_id",
            "gtid_domain_id",
            "gtid_strict_mode",
            "gtid_ignore_duplicates",
            "auto_increment_increment",
            "auto_increment_offset",
        ],
        reason: "simdb sets it so that each transaction is known by who wrote it, and no two servers write the same number.",
    },
    Group {
        names: &[
            "log_bin",
            "log_bin_index",
            "log_slave_updates",
            "binlog_format",
            "binlog_row_image",
            "relay_log",
            "relay_log_index",
            "relay_log_info_file",
            "master_info_file",
            "sync_binlog",
            "innodb_flush_log_at_trx_commit",
            "slave_net_timeout",
        ],
        reason: "Replication and failover need it as simdb sets it.",
    },
    Group {
        names: &[
            "binlog_do_db",
            "binlog_ignore_db",
            "replicate_annotate_row_events",
            "replicate_do_db",
            "replicate_do_table",
            "replicate_events_marked_for_skip",
            "replicate_ignore_db",
            "replicate_ignore_table",
            "replicate_rewrite_db",
            "replicate_wild_do_table",
            "replicate_wild_ignore_table",
        ],
        reason: "A standby holds all that its primary holds; else it could not take over.",
    },
    Group {
        names: &["slave_skip_errors", "slave_exec_mode", "slave_ddl_exec_mode"],
        reason: "A standby stops where it differs from its primary, and simdb says so; anything else hides it.",
    },
    Group {
        names: &["init_file", "init_connect", "init_slave"],
        reason: "It runs statements beside those of simdb, on standbys as well.",
    },
];

/// Parameters that a file can set, and that make no sense for a cluster.
static SENSELESS: [Group; 3] = [
    Group {
        names: &["lower_case_table_names"],
        reason: "It can be chosen only before the first table is made, and simdb makes data with the default.",
    },
    Group {
        names: &["autocommit", "max_statement_time"],
        reason: "It changes every session, those of simdb and of standbys as well. Let your sessions set it.",
    },
    Group {
        names: &["old_passwords", "secure_auth", "strict_password_validation"],
        reason: "simdb hands servers the hashes of passwords, of one kind.",
    },
];

/// Galera replaces the replication that simdb sets up.
const GALERA: &str = "wsrep_";

impl parameters::Parameters for Parameters {
    fn refusal(&self, name: &str) -> Option<Refusal> {
        if name.starts_with(GALERA) {
            return Some(Refusal::Senseless("simdb sets up no Galera clusters."));
        }
        let reserved = reason(&RESERVED, name).map(Refusal::Reserved);
        reserved.or_else(|| reason(&SENSELESS, name).map(Refusal::Senseless))
    }

    fn problems<'a>(&self, version: u16, parameters: &'a BTreeMap<String, String>) -> BTreeMap<&'a str, String> {
        let problem = |(name, value): (&'a String, &'a String)| {
            let problem = settings::check(version, name, value).err()?;
            let hint = problem.hint().map(|hint| format!(" {hint}")).unwrap_or_default();
            Some((name.as_str(), format!("The {problem}.{hint}")))
        };
        parameters.iter().filter_map(problem).collect()
    }

    fn spelled<'a>(&self, version: u16, name: &'a str) -> &'a str {
        settings::spelled(version, name)
    }

    fn impact(&self, version: u16, name: &str) -> Impact {
        settings::impact(version, name)
    }

    fn equal(&self, version: u16, name: &str, a: &str, b: &str) -> bool {
        settings::equal(version, name, a, b)
    }

    /// No setting has a unit that a bare number would leave out.
    fn shown(&self, _: u16, _: &str, value: &str) -> String {
        value.to_owned()
    }

    fn is_text(&self, version: u16, name: &str) -> bool {
        settings::is_text(version, name)
    }
}

#[cfg(test)]
mod tests {
    use super::settings::SettingProblem;
    use super::*;

    #[test]
    fn parameters_that_carry_replication_belong_to_simdb() {
        use crate::engine::parameters::refusal;
        let refusal = |name| refusal(simdb_state::object::EngineKind::Mariadb, name);
        assert!(matches!(refusal("server_id"), Some(Refusal::Reserved(_))));
        assert!(matches!(refusal("wsrep_on"), Some(Refusal::Senseless(_))));
        assert!(matches!(refusal("lower_case_table_names"), Some(Refusal::Senseless(_))));
        assert_eq!(refusal("max_connections"), None);
    }

    #[test]
    fn what_is_reserved_is_a_setting_or_an_option() {
        // Options that are no settings: a server takes them from its file, and shows them nowhere or only after its start.
        let options = [
            "binlog_do_db",
            "binlog_ignore_db",
            "init_rpl_role",
            "master_info_file",
            "skip_slave_start",
        ];
        for group in RESERVED.iter().chain(&SENSELESS) {
            for name in group.names {
                let unknown = matches!(settings::check(1011, name, ""), Err(SettingProblem::Unknown { .. }));
                assert_eq!(unknown, options.contains(name), "{name}");
            }
        }
    }
}
