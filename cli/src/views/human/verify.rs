//! What a verification found, for people.

use super::style::{BAD, BOLD, GOOD, paint};
use super::table::{Cell, Table};
use super::text::{count, wrap};
use crate::views::doc::{DatabaseDoc, LoadDoc, VerifyDoc};

/// How many rows that are lost are listed for each node; the document has them all.
const LISTED: usize = 10;

/// Renders what a verification found.
pub fn render(verification: &VerifyDoc, width: usize) -> String {
    let (style, verdict) = if verification.verified {
        (GOOD, "verified")
    } else {
        (BAD, "not verified")
    };
    let title = paint(BOLD, format!("cluster {}", verification.cluster));
    let mut text = format!("{title}: {}\n", paint(style.bold(), verdict));
    if let Some(marker) = verification.marker {
        text += &format!(
            "\n  In sync: {} received and replayed the marker at {marker}.\n",
            count(verification.standbys, "standby")
        );
    }
    if let Some(load) = &verification.load {
        text += &render_load(load, width);
    }
    text += &databases(&verification.databases, width);
    if !verification.problems.is_empty() {
        text += "\n  Problems:\n";
        for problem in &verification.problems {
            let bullets = std::iter::once("- ").chain(std::iter::repeat("  "));
            let lines = wrap(problem, width.saturating_sub(6));
            let lines = lines.iter().zip(bullets);
            text.extend(lines.map(|(line, bullet)| format!("    {}{line}\n", paint(BAD, bullet))));
        }
    }
    text
}

fn render_load(load: &LoadDoc, width: usize) -> String {
    let gap = match load.longest_gap_seconds {
        Some(gap) => format!("; the longest time without one was {gap:.3} s"),
        None => String::new(),
    };
    let told = format!(
        "Load: {} wrote for {:.1} s. {} were tried: {} acknowledged, {} unknown, {} failed{gap}.",
        count(load.clients as usize, "client"),
        load.seconds,
        count(usize::try_from(load.attempts).unwrap_or(usize::MAX), "row"),
        load.acknowledged,
        load.unknown,
        load.failed,
    );
    let lines = wrap(&told, width.saturating_sub(2));
    let mut text: String = lines.iter().map(|line| format!("  {line}\n")).collect();
    text = format!("\n{text}\n");
    let rows = load.nodes.iter().map(|node| {
        let lost = node.missing.len();
        [
            Cell::styled(&node.node, BOLD),
            Cell::optional(node.rows),
            match node.rows {
                Some(_) => Cell::styled(lost, if lost == 0 { GOOD } else { BAD }),
                None => Cell::optional(None::<u64>),
            },
        ]
    });
    text += &Table::new(["Node", "Rows", "Lost"], rows.collect()).render("  ", width);
    for node in load.nodes.iter().filter(|node| !node.missing.is_empty()) {
        text += &format!("\n  Lost on {}:\n", node.node);
        for row in node.missing.iter().take(LISTED) {
            text += &format!(
                "    client {}, row {}, acknowledged {:.3} s after the start\n",
                row.client, row.number, row.acknowledged_at
            );
        }
        let more = node.missing.len().saturating_sub(LISTED);
        if more > 0 {
            text += &format!("    and {more} more: -json has them all\n");
        }
    }
    text
}

fn databases(databases: &[DatabaseDoc], width: usize) -> String {
    let rows = databases.iter().flat_map(|database| {
        database.tables.iter().map(|table| {
            let differing: Vec<&str> = table.differences.iter().map(|one| one.node.as_str()).collect();
            [
                Cell::styled(&database.name, BOLD),
                Cell::plain(&table.name),
                Cell::optional(table.rows),
                Cell::optional(table.checksum.as_ref()),
                if differing.is_empty() {
                    Cell::styled("the same on all nodes", GOOD)
                } else {
                    Cell::styled(format!("other on {}", differing.join(", ")), BAD)
                },
            ]
        })
    });
    let rows: Vec<_> = rows.collect();
    if rows.is_empty() {
        return String::new();
    }
    let table = Table::new(["Database", "Table", "Rows", "Checksum", "Found"], rows);
    format!("\n{}", table.render("  ", width))
}

#[cfg(test)]
mod tests;
