//! A plan on one screen: what it costs, cluster by cluster, the worst first.

use super::{losses_text, summary};
use crate::views::doc::PlanDoc;
use crate::views::human::layout::Layout;
use crate::views::human::style::{BOLD, of_impact};
use crate::views::human::table::{Cell, Table};
use crate::views::human::text::count;
use crate::views::overview::{Overview, clusters};

/// How many clusters are told one by one, so that the rest of the screen is left for what else there is to say.
const CLUSTERS: usize = 8;

/// How many losses of data are told one by one.
const LOSSES: usize = 5;

/// Renders the summary of a plan; of one without changes it is the whole.
pub(crate) fn render(plan: &PlanDoc, layout: Layout) -> String {
    if plan.is_broken() || plan.is_empty() {
        return super::render(plan, layout);
    }
    let width = layout.width;
    let mut text = summary(plan, width) + "\n" + &table(plan, width) + "\n" + &losses_text(plan, width, LOSSES);
    for (number, what) in [(plan.not_compared.len(), "object"), (plan.notes.len(), "note")] {
        let says = if what == "note" { "noted" } else { "not compared" };
        if number > 0 {
            text += &super::lines(&format!("{} {says}: the whole plan tells.", count(number, what)), width);
        }
    }
    text
}

fn table(plan: &PlanDoc, width: usize) -> String {
    let all = clusters(plan);
    let row = |one: &Overview<'_>| {
        [
            Cell::styled(one.cluster.map_or("-".to_owned(), ToString::to_string), BOLD),
            Cell::styled(one.impact(), of_impact(one.impact())),
            Cell::plain(one.summary.add),
            Cell::plain(one.summary.change),
            Cell::plain(one.summary.remove),
            Cell::plain(one.steps),
            Cell::plain(one.worst_steps()),
        ]
    };
    let header = ["Cluster", "Impact", "Add", "Change", "Destroy", "Steps", "Worst steps"];
    let rows = all.iter().take(CLUSTERS).map(row).collect();
    let text = Table::new(header, rows).render("  ", width);
    match all.len().checked_sub(CLUSTERS) {
        None | Some(0) => text,
        Some(more) => format!(
            "{text}  … and {} with less impact or the same\n",
            count(more, "cluster")
        ),
    }
}
