//! `drift` blocks: what `simdb drift` counts and does not report.

use simdb_language::reference::Names;
use simdb_language::suggest::did_you_mean;
use simdb_state::name::ClusterName;

use crate::diagnostic::Diagnostic;

use super::read::Reader;

/// What an object of each kind can differ in.
const KINDS: [(&str, &[&str]); 7] = [
    ("network", &["platforms", "subnet"]),
    (
        "cluster",
        &[
            "degraded_since",
            "engine",
            "max_lag",
            "network",
            "on_standby_loss",
            "primary",
            "replication",
            "settings",
            "synchronous_commit",
            "synchronous_standby_names",
            "synchronous_standbys",
            "term",
            "verified",
            "version",
        ],
    ),
    (
        "node",
        &[
            "data",
            "files",
            "follows",
            "host",
            "parameters",
            "port",
            "power",
            "role",
            "slot",
            "slots",
            "system_identifier",
        ],
    ),
    (
        "user",
        &[
            "connection_limit",
            "createdb",
            "createrole",
            "inherit",
            "login",
            "member_of",
            "password",
            "password_version",
            "replication",
            "settings",
            "superuser",
        ],
    ),
    ("database", &["encoding", "locale", "owner", "settings"]),
    ("seed", &["database", "digest"]),
    (
        "endpoint",
        &["hosts", "leads_to", "nodes", "pool_mode", "power", "target", "via"],
    ),
];

/// The attributes that are maps: what follows them is a name within.
const MAPS: [&str; 4] = ["files", "parameters", "settings", "slots"];

/// Reads the patterns of the `drift` blocks of a body; in a cluster they may leave its address out.
pub(super) fn ignored(
    reader: Reader<'_>,
    within: Option<&ClusterName>,
    names: &Names<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<String> {
    let blocks = reader.blocks("drift");
    let mut patterns = Vec::new();
    for (_, block) in blocks {
        patterns.extend(of_block(block, within, names, diagnostics));
    }
    patterns
}

/// Reads the patterns of one block.
pub(super) fn of_block(
    block: Reader<'_>,
    within: Option<&ClusterName>,
    names: &Names<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<String> {
    let Some(attribute) = block.attribute("ignore") else {
        return Vec::new();
    };
    let span = block.span(&attribute.value);
    let mut patterns = Vec::new();
    for pattern in block.texts("ignore", names, diagnostics) {
        let whole = match within {
            Some(cluster) if !pattern.starts_with("cluster.") => format!("cluster.{cluster}.{pattern}"),
            _ => pattern.clone(),
        };
        match problem(&whole) {
            None => patterns.push(whole),
            Some(detail) => {
                let detail = format!("\"{pattern}\" matches nothing that can drift: {detail}");
                diagnostics.push(block.error(span.clone(), "Invalid drift pattern", detail));
            }
        }
    }
    patterns
}

/// Says what is wrong with a pattern: an address, or one and an attribute of it, in which `*` stands for any text.
pub(crate) fn problem(pattern: &str) -> Option<String> {
    let parts = parts(pattern);
    let (first, rest) = parts.split_first()?;
    if first.contains('*') {
        return None;
    }
    let known = ["network", "cluster"];
    if !known.contains(first) {
        let hint = did_you_mean(first, known);
        return Some(format!(
            "an address begins with network or cluster, not with \"{first}\".{hint}"
        ));
    }
    // A star may stand for several parts, so that what follows it cannot be told.
    let is_star = |part: &&str| part.contains('*');
    let (kind, attribute, within) = match (*first, rest) {
        (_, []) => {
            return Some(format!(
                "the name of the {first} is missing. Write {first}.NAME, or {first}.*"
            ));
        }
        (_, [_]) => return None,
        ("cluster", [_, kind, ..]) if is_star(kind) => return None,
        ("cluster", [_, kind, of @ ..]) if KINDS[2..].iter().any(|(known, _)| known == kind) => match of {
            [] => {
                return Some(format!(
                    "the name of the {kind} is missing. Write {kind}.NAME, or {kind}.*"
                ));
            }
            [_] => return None,
            [_, attribute, within @ ..] => (*kind, *attribute, within),
        },
        (kind, [_, attribute, within @ ..]) => (kind, *attribute, within),
    };
    if is_star(&attribute) {
        return None;
    }
    let attributes = KINDS.iter().find(|(known, _)| *known == kind)?.1;
    if !attributes.contains(&attribute) {
        let kinds = KINDS[2..].iter().map(|(kind, _)| *kind).filter(|_| kind == "cluster");
        let hint = did_you_mean(attribute, attributes.iter().copied().chain(kinds));
        let all = attributes.join(", ");
        return Some(format!(
            "a {kind} has no attribute \"{attribute}\".{hint} It has {all}."
        ));
    }
    let is_map = MAPS.contains(&attribute);
    (!within.is_empty() && !is_map).then(|| format!("nothing is within the attribute \"{attribute}\" of a {kind}."))
}

/// Takes a pattern apart at its dots, but for those in brackets.
fn parts(pattern: &str) -> Vec<&str> {
    let mut depth = 0_usize;
    let at_dot = move |c: char| {
        match c {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == '.' && depth == 0
    };
    pattern.split(at_dot).collect()
}

#[cfg(test)]
mod tests {
    use super::problem;

    #[test]
    fn a_pattern_is_an_address_or_an_attribute_of_one() {
        let good = [
            "*",
            "network.lan",
            "cluster.orders",
            "cluster.orders.max_lag",
            "cluster.orders.settings.work_mem",
            "cluster.*.node.*",
            "cluster.*.node.r[*].parameters.work_mem",
            "cluster.orders.node.r[\"eu.west\"].port",
            "cluster.orders.*.work_mem",
            "cluster.orders.user.app.settings.*",
        ];
        for pattern in good {
            assert_eq!(problem(pattern), None, "{pattern}");
        }
        let bad = [
            (
                "clusters.orders",
                "an address begins with network or cluster, not with \"clusters\". Did you mean \"cluster\"?",
            ),
            (
                "cluster",
                "the name of the cluster is missing. Write cluster.NAME, or cluster.*",
            ),
            (
                "cluster.orders.node",
                "the name of the node is missing. Write node.NAME, or node.*",
            ),
            (
                "cluster.orders.database.app.ownr",
                "a database has no attribute \"ownr\". Did you mean \"owner\"? It has encoding, locale, owner, settings.",
            ),
            (
                "cluster.orders.user.app.login.x",
                "nothing is within the attribute \"login\" of a user.",
            ),
        ];
        for (pattern, expected) in bad {
            assert_eq!(problem(pattern).as_deref(), Some(expected), "{pattern}");
        }
        let kind = problem("cluster.orders.nod.a").unwrap();
        assert!(kind.contains("Did you mean \"node\"?"), "{kind}");
    }
}
