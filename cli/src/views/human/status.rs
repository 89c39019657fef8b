//! The health of clusters, a table each.

use anstyle::Style;

use super::style::{BAD, BOLD, CHANGED, DIM, GOOD, PLAIN, paint};
use super::table::{Cell, Table};
use super::text::wrap;
use crate::views::doc::{ClusterStatus, NodeStatus, StatusDoc};

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
    let (style, verdict) = match cluster.healthy {
        false => (BAD, "not healthy"),
        true if cluster.nodes.iter().all(|node| node.state == "stopped") => (DIM, "stopped"),
        true => (GOOD, "healthy"),
    };
    let title = paint(BOLD, format!("cluster {}", cluster.name));
    let term = cluster.term.map(|term| format!(", term {term}")).unwrap_or_default();
    let proof = match cluster.verified {
        Some(marker) => format!(", replication verified at {marker}"),
        None => String::new(),
    };
    let mut text = format!(
        "{title}: {} ({} {}, {}{term}{proof})\n\n",
        paint(style.bold(), verdict),
        cluster.engine,
        cluster.version,
        cluster.replication
    );
    text += &nodes(&cluster.nodes, width);
    text += &endpoints(cluster, width);
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

fn nodes(nodes: &[NodeStatus], width: usize) -> String {
    let row = |node: &NodeStatus| {
        [
            Cell::styled(&node.node, BOLD),
            Cell::optional(node.role.as_ref()),
            Cell::styled(&node.state, of_state(&node.state)),
            Cell::optional(node.timeline),
            Cell::optional(node.position),
            Cell::optional(lag(node)),
            Cell::optional(node.slot.as_ref()),
            Cell::optional(node.address.as_ref()),
        ]
    };
    let header = ["Node", "Role", "State", "TL", "LSN", "Lag", "Slot", "Address"];
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
            Cell::plain(endpoint.addresses.join(", ")),
        ]
    });
    let table = Table::new(["Endpoint", "Target", "Connection", "Leads to"], rows.collect());
    format!("\n{}", table.render("  ", width))
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

fn bytes(bytes: u64) -> String {
    let units = [(1 << 30, "GB"), (1 << 20, "MB"), (1 << 10, "kB")];
    let unit = units.into_iter().find(|&(size, _)| bytes >= size);
    match unit {
        Some((size, name)) => format!("{}.{} {name}", bytes / size, bytes % size * 10 / size),
        None => format!("{bytes} B"),
    }
}

#[cfg(test)]
mod tests;
