//! The health of clusters, a table each.

use anstyle::Style;

use super::style::{BAD, BOLD, CHANGED, DIM, GOOD, PLAIN, paint};
use super::table::{Cell, Table};
use super::text::{bytes, wrap};
use crate::views::doc::{ClusterState, ClusterStatus, EndpointStatus, NodeStatus, StatusDoc};

/// Renders the health of clusters.
pub fn render(status: &StatusDoc, width: usize) -> String {
    if status.clusters.is_empty() {
        return "No cluster is recorded.\n".to_owned();
    }
    status
        .clusters
        .iter()
        .map(|one| cluster(one, width))
        .collect::<Vec<_>>()
        .join("\n")
}

fn cluster(cluster: &ClusterStatus, width: usize) -> String {
    let title = format!("cluster {}", cluster.name);
    let term = cluster.term.map(|term| format!(", term {term}")).unwrap_or_default();
    let proof = match (&cluster.verified, &cluster.verified_at) {
        (Some(marker), Some(at)) => format!(", replication verified at {marker}, {at}"),
        (Some(marker), None) => format!(", replication verified at {marker}"),
        (None, _) => String::new(),
    };
    let (style, word) = state(cluster.state);
    let head = format!(
        "{title}: {word} ({} {}, {}{term}{proof})",
        cluster.engine, cluster.version, cluster.replication
    );
    let head: String = wrap(&head, width).iter().map(|line| format!("{line}\n")).collect();
    let head = head.replacen(&format!(": {word}"), &format!(": {}", paint(style.bold(), word)), 1);
    let mut text = head.replacen(&title, &paint(BOLD, &title), 1) + "\n";
    text += &nodes(&cluster.nodes, width);
    text += &endpoints(cluster, width);
    text += &paused(cluster, width);
    if !cluster.problems.is_empty() {
        text += "\n  Problems:\n";
        for problem in &cluster.problems {
            let lines = wrap(problem, width.saturating_sub(6));
            let bullets = std::iter::once("- ").chain(std::iter::repeat("  "));
            text.extend(
                lines
                    .iter()
                    .zip(bullets)
                    .map(|(line, bullet)| format!("    {}{line}\n", paint(BAD, bullet))),
            );
        }
    }
    text
}

/// Says that monitors do nothing by themselves.
fn paused(cluster: &ClusterStatus, width: usize) -> String {
    let Some(paused) = &cluster.paused else {
        return String::new();
    };
    let until = paused
        .until
        .as_ref()
        .map(|until| format!(" until {until}"))
        .unwrap_or_default();
    let reason = paused
        .reason
        .as_ref()
        .map(|reason| format!(": {reason}"))
        .unwrap_or_default();
    let text = format!("Monitors are paused by {}{until}{reason}", paused.by);
    let lines: String = wrap(&text, width.saturating_sub(2))
        .iter()
        .map(|line| format!("  {line}\n"))
        .collect();
    format!("\n{}", paint(CHANGED, &lines))
}

fn state(state: ClusterState) -> (Style, &'static str) {
    match state {
        ClusterState::Stopped => (DIM, "stopped"),
        ClusterState::Synchronized => (GOOD, "synchronized"),
        ClusterState::Lagging => (CHANGED, "lagging"),
        ClusterState::Syncing => (CHANGED, "syncing"),
        ClusterState::Degraded => (BAD, "degraded"),
        ClusterState::Broken => (BAD, "broken"),
    }
}

fn nodes(nodes: &[NodeStatus], width: usize) -> String {
    let row = |node: &NodeStatus| {
        [
            Cell::styled(&node.node, BOLD),
            Cell::optional(role(node)),
            Cell::styled(&node.state, of_state(&node.state)),
            Cell::optional(node.timeline),
            Cell::optional(node.position.as_ref()),
            Cell::optional(lag(node)),
            Cell::optional(node.sync_state.as_ref()),
            Cell::optional(slot(node)),
            Cell::optional(node.address.as_ref()),
        ]
    };
    let header = ["Node", "Role", "State", "TL", "LSN", "Lag", "Sync", "Slot", "Address"];
    Table::new(header, nodes.iter().map(row).collect()).render("  ", width)
}

fn endpoints(cluster: &ClusterStatus, width: usize) -> String {
    if cluster.endpoints.is_empty() {
        return String::new();
    }
    let rows = cluster.endpoints.iter().map(|endpoint| {
        [
            Cell::styled(&endpoint.name, BOLD),
            Cell::plain(&endpoint.target),
            Cell::plain(&endpoint.service),
            Cell::plain(leads_to(endpoint)),
        ]
    });
    let table = Table::new(["Endpoint", "Target", "Connection", "Leads to"], rows.collect());
    format!("\n{}", table.render("  ", width))
}

/// Where an endpoint leads, and through what.
fn leads_to(endpoint: &EndpointStatus) -> String {
    let addresses = endpoint.addresses.join(", ");
    match &endpoint.pooler {
        Some(pooler) => format!("{addresses} ({pooler})"),
        None => addresses,
    }
}

fn of_state(state: &str) -> Style {
    match state {
        "running" | "streaming" => GOOD,
        "down" | "frozen" | "absent" => BAD,
        "unknown" | "stopped" => DIM,
        "" => PLAIN,
        _ => CHANGED,
    }
}

/// Writes what a node is, and what it is on record where that is something else.
fn role(node: &NodeStatus) -> Option<String> {
    let role = node.role.as_ref()?;
    Some(match &node.recorded_role {
        Some(recorded) => format!("{role} (recorded: {recorded})"),
        None => role.clone(),
    })
}

/// Writes what a slot keeps back, and what is unusual about it. Its name is the node's.
fn slot(node: &NodeStatus) -> Option<String> {
    let active = node.slot_active?;
    let mut parts = Vec::new();
    parts.extend((!active).then(|| "inactive".to_owned()));
    parts.extend(node.slot_wal_status.clone().filter(|status| status != "reserved"));
    parts.extend(node.slot_kept_bytes.map(bytes));
    Some(if parts.is_empty() {
        "active".to_owned()
    } else {
        parts.join(", ")
    })
}

/// Writes how far a standby is behind: in bytes, and in seconds where something is behind.
fn lag(node: &NodeStatus) -> Option<String> {
    let bytes = bytes(node.lag_bytes?);
    Some(
        match node
            .lag_seconds
            .filter(|seconds| *seconds >= 0.05 && node.lag_bytes > Some(0))
        {
            Some(seconds) => format!("{bytes}, {seconds:.1}s"),
            None => bytes,
        },
    )
}

#[cfg(test)]
mod tests;
