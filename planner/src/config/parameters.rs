//! The `parameters` of an engine: written as PostgreSQL takes them, without those that simdb sets itself.

use std::collections::BTreeMap;

use hcl_edit::expr::{Expression, ObjectKey};
use simdb_language::convert::{self, Type};
use simdb_language::reference::Names;
use simdb_language::value::{Kind, Value};

use simdb_state::name::NodeName;

use crate::desired::NodeSpec;
use crate::diagnostic::{Diagnostic, Span};
use crate::engine::{limits, settings};

use super::read::Reader;

/// Parameters by name; one without a value takes the cluster's away.
pub(super) type Parameters = BTreeMap<String, (Option<String>, Span)>;

/// Why a group of parameters belongs to simdb.
struct Reserved {
    names: &'static [&'static str],
    reason: &'static str,
}

static RESERVED: [Reserved; 8] = [
    Reserved {
        names: &["port"],
        reason: "Set the \"port\" of the node instead.",
    },
    Reserved {
        names: &[
            "listen_addresses",
            "unix_socket_directories",
            "unix_socket_group",
            "unix_socket_permissions",
        ],
        reason: "The network of the cluster decides where its servers listen.",
    },
    Reserved {
        names: &[
            "data_directory",
            "config_file",
            "hba_file",
            "ident_file",
            "external_pid_file",
        ],
        reason: "simdb decides where the files of a node are.",
    },
    Reserved {
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
    Reserved {
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
    Reserved {
        names: &[
            "hot_standby",
            "wal_level",
            "max_wal_senders",
            "max_replication_slots",
            "wal_log_hints",
        ],
        reason: "Replication needs it as simdb sets it, with room for standbys to come, so that adding one restarts nothing.",
    },
    Reserved {
        names: &["wal_retrieve_retry_interval", "cluster_name"],
        reason: "simdb sets it so that standbys are recognised, and reconnect at once after a role change.",
    },
    Reserved {
        names: &["password_encryption"],
        reason: "simdb makes SCRAM verifiers, and the servers accept nothing else.",
    },
];

/// Parameters that a file can set, and that make no sense for a cluster.
static SENSELESS: [Reserved; 3] = [
    Reserved {
        names: &[
            "transaction_deferrable",
            "transaction_isolation",
            "transaction_read_only",
        ],
        reason: "It belongs to one transaction, and servers do not take it from a file. What transactions begin with is set by \
                 the parameter of that name with \"default_\" before it.",
    },
    Reserved {
        names: &["db_user_namespace"],
        reason: "It gives each login another name in each database, so that neither simdb nor standbys could log in.",
    },
    Reserved {
        names: &["pre_auth_delay", "post_auth_delay"],
        reason: "It lets every session wait before it begins, those of standbys and of simdb as well.",
    },
];

fn reason(groups: &[Reserved], name: &str) -> Option<&'static str> {
    let group = groups.iter().find(|group| group.names.contains(&name));
    group.map(|group| group.reason)
}

/// Returns whether a configuration can set a parameter.
pub(crate) fn is_declarable(name: &str) -> bool {
    reason(&RESERVED, name).or_else(|| reason(&SENSELESS, name)).is_none()
}

/// Reads the `parameters` attribute of a block.
pub(super) fn read(reader: Reader<'_>, names: &Names<'_>, diagnostics: &mut Vec<Diagnostic>) -> Parameters {
    // Each may be of another type, so this is an object and no map.
    let Some(read) = reader.setting("parameters", &Type::Any, names, diagnostics) else {
        return Parameters::new();
    };
    let Kind::Object(parts) = &read.value.kind else {
        let detail = format!(
            "Inappropriate value for \"parameters\": a map is required, not {}.",
            read.value.kind_name()
        );
        diagnostics.push(reader.error(read.span, "Incorrect attribute value type", detail));
        return Parameters::new();
    };
    let spans = spans(reader);
    let mut parameters = Parameters::new();
    for (name, value) in &parts.items {
        let span = spans.get(name.as_str()).unwrap_or(&read.span).clone();
        match check_name(name).and_then(|()| text(name, value)) {
            Ok(text) => {
                parameters.insert(name.clone(), (text, span));
            }
            Err((summary, detail)) => diagnostics.push(reader.error(span, summary, detail)),
        }
    }
    parameters
}

type Problem = (&'static str, String);

fn check_name(name: &str) -> Result<(), Problem> {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '.';
    if name.is_empty() || !name.chars().all(legal) {
        let detail =
            format!("The name of a parameter holds lower-case letters, digits, \"_\" and \".\"; {name:?} does not.");
        return Err(("Invalid parameter name", detail));
    }
    if let Some(reason) = reason(&RESERVED, name) {
        return Err(("Reserved parameter", format!("simdb sets \"{name}\" itself. {reason}")));
    }
    match reason(&SENSELESS, name) {
        Some(reason) => Err((
            "Unsupported parameter",
            format!("\"{name}\" cannot be a parameter of a cluster. {reason}"),
        )),
        None => Ok(()),
    }
}

/// Returns a value as PostgreSQL takes it.
fn text(name: &str, value: &Value) -> Result<Option<String>, Problem> {
    let text = match &value.kind {
        Kind::Null => return Ok(None),
        Kind::Bool(flag) => if *flag { "on" } else { "off" }.to_owned(),
        _ => convert::to_text(value).map_err(|why| ("Invalid parameter value", format!("For \"{name}\" {why}.")))?,
    };
    if text.contains(char::is_control) {
        let detail = format!("The value of \"{name}\" holds a line end or another control character.");
        return Err(("Invalid parameter value", detail));
    }
    Ok(Some(text))
}

/// Checks the parameters of nodes against those that the declared version has; one that several nodes share is told once. A
/// plan checks them itself, as it knows the version also where none is declared.
pub(super) fn check(
    reader: Reader<'_>,
    version: u16,
    nodes: &BTreeMap<NodeName, NodeSpec>,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let mut problems: BTreeMap<(&Span, &str), String> = BTreeMap::new();
    for node in nodes.values() {
        for (name, value) in &node.parameters {
            let span = node.parameter_spans.get(name).unwrap_or(&node.span);
            if let Err(problem) = settings::check(version, name, value) {
                let hint = problem.hint().map(|hint| format!(" {hint}")).unwrap_or_default();
                problems.insert((span, name), format!("The {problem}.{hint}"));
            }
        }
        if let Some((name, detail)) = limits::connections(version, &node.parameters) {
            let span = node.parameter_spans.get(name).unwrap_or(&node.span);
            problems.insert((span, name), detail);
        }
    }
    let problem =
        |((span, _), detail): ((&Span, &str), String)| reader.error(span.clone(), "Parameter is not accepted", detail);
    diagnostics.extend(problems.into_iter().map(problem));
}

/// Returns where each parameter stands, as far as the map is written out.
fn spans(reader: Reader<'_>) -> BTreeMap<&str, Span> {
    let Some(Expression::Object(object)) = reader.attribute("parameters").map(|attribute| &attribute.value) else {
        return BTreeMap::new();
    };
    let mut spans = BTreeMap::new();
    for (key, _) in object {
        match key {
            ObjectKey::Ident(name) => spans.insert(name.as_str(), reader.span(name)),
            ObjectKey::Expression(Expression::String(name)) => spans.insert(name.as_str(), reader.span(name)),
            ObjectKey::Expression(_) => None,
        };
    }
    spans
}
