//! What the core asks of the parameters of PostgreSQL's servers.

use std::collections::BTreeMap;

use super::settings::{self, limits};
use crate::engine::parameters::{self, Group, Refusal, reason};
use crate::plan::Impact;

/// The parameters of PostgreSQL's servers.
pub(in crate::engine) struct Parameters;

/// Parameters that simdb sets itself.
static RESERVED: [Group; 8] = [
    Group {
        names: &["port"],
        reason: "Set the \"port\" of the node instead.",
    },
    Group {
        names: &[
            "listen_addresses",
            "unix_socket_directories",
            "unix_socket_group",
            "unix_socket_permissions",
        ],
        reason: "The network of the cluster decides where its servers listen.",
    },
    Group {
        names: &[
            "data_directory",
            "config_file",
            "hba_file",
            "ident_file",
            "external_pid_file",
        ],
        reason: "simdb decides where the files of a node are.",
    },
    Group {
        names: &[
            "synchronous_standby_names",
            "synchronous_commit",
            "primary_conninfo",
            "primary_slot_name",
            "promote_trigger_file",
            "recovery_min_apply_delay",
            "restore_command",
            "archive_cleanup_command",
            "recovery_end_command",
        ],
        reason: "It follows from the role of each node and from the \"replication\" block, and changes with them.",
    },
    Group {
        names: &[
            "recovery_target",
            "recovery_target_action",
            "recovery_target_inclusive",
            "recovery_target_lsn",
            "recovery_target_name",
            "recovery_target_time",
            "recovery_target_timeline",
            "recovery_target_xid",
        ],
        reason: "A standby always follows its primary to the end; anything else would break the cluster.",
    },
    Group {
        names: &[
            "hot_standby",
            "wal_level",
            "max_wal_senders",
            "max_replication_slots",
            "wal_log_hints",
        ],
        reason: "Replication needs it as simdb sets it, with room for standbys to come, so that adding one restarts nothing.",
    },
    Group {
        names: &["wal_retrieve_retry_interval", "cluster_name"],
        reason: "simdb sets it so that standbys are recognised, and reconnect at once after a role change.",
    },
    Group {
        names: &["password_encryption"],
        reason: "simdb makes SCRAM verifiers, and the servers accept nothing else.",
    },
];

/// Parameters that a file can set, and that make no sense for a cluster.
static SENSELESS: [Group; 3] = [
    Group {
        names: &[
            "transaction_deferrable",
            "transaction_isolation",
            "transaction_read_only",
        ],
        reason: "It belongs to one transaction, and servers do not take it from a file. What transactions begin with is set by \
                 the parameter of that name with \"default_\" before it.",
    },
    Group {
        names: &["db_user_namespace"],
        reason: "It gives each login another name in each database, so that neither simdb nor standbys could log in.",
    },
    Group {
        names: &["pre_auth_delay", "post_auth_delay"],
        reason: "It lets every session wait before it begins, those of standbys and of simdb as well.",
    },
];

impl parameters::Parameters for Parameters {
    fn refusal(&self, name: &str) -> Option<Refusal> {
        let reserved = reason(&RESERVED, name).map(Refusal::Reserved);
        reserved.or_else(|| reason(&SENSELESS, name).map(Refusal::Senseless))
    }

    fn problems<'a>(&self, version: u16, parameters: &'a BTreeMap<String, String>) -> BTreeMap<&'a str, String> {
        let problem = |(name, value): (&'a String, &'a String)| {
            let problem = settings::check(version, name, value).err()?;
            let hint = problem.hint().map(|hint| format!(" {hint}")).unwrap_or_default();
            Some((name.as_str(), format!("The {problem}.{hint}")))
        };
        let mut problems: BTreeMap<&str, String> = parameters.iter().filter_map(problem).collect();
        problems.extend(limits::connections(version, parameters));
        problems
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

    fn shown(&self, version: u16, name: &str, value: &str) -> String {
        settings::shown(version, name, value)
    }

    fn is_text(&self, version: u16, name: &str) -> bool {
        settings::is_text(version, name)
    }
}
