//! What a reviewer must see of a plan first: each cluster with its worst step, and the data that goes for good.

use std::cmp::{Ordering, Reverse};
use std::collections::BTreeMap;

use simdb_planner::plan::{ChangeAction, Impact};
use simdb_state::address::Address;
use simdb_state::name::ClusterName;

use super::doc::{ChangeDoc, PlanDoc, StepDoc, Summary};
use super::fold::{Subjects, groups};

/// How many kinds of worst steps are told of each cluster.
const STEPS: usize = 2;

/// What a plan does to one cluster, or to what is in none.
#[derive(Debug)]
pub(crate) struct Overview<'a> {
    /// The cluster.
    pub(crate) cluster: Option<&'a ClusterName>,
    /// How many changes of each kind there are.
    pub(crate) summary: Summary,
    /// How many steps there are.
    pub(crate) steps: usize,
    /// The steps of the worst impact.
    pub(crate) worst: Vec<&'a StepDoc>,
}

impl Overview<'_> {
    /// Returns the worst impact.
    pub(crate) fn impact(&self) -> Impact {
        self.worst.first().map(|step| step.impact).unwrap_or_default()
    }

    /// Names the worst steps: `configure of r[0..48]`. Where nobody notices any, none is.
    pub(crate) fn worst_steps(&self) -> String {
        if self.impact() == Impact::None {
            return String::new();
        }
        let mut names: Vec<(&str, Vec<&Address>)> = Vec::new();
        for step in &self.worst {
            match names.iter_mut().find(|(name, _)| *name == step.name) {
                Some((_, addresses)) => addresses.push(&step.address),
                None => names.push((step.name, vec![&step.address])),
            }
        }
        let text = |(name, addresses): (&str, Vec<&Address>)| {
            let subjects = Subjects::new(addresses.into_iter());
            format!("{name} of {}", subjects.names())
        };
        let more = names.len().saturating_sub(STEPS);
        let told = names.into_iter().take(STEPS).map(text).collect::<Vec<_>>().join(", ");
        if more == 0 { told } else { format!("{told} +{more}") }
    }
}

/// Sums a plan up by cluster, the worst impact first.
pub(crate) fn clusters(plan: &PlanDoc) -> Vec<Overview<'_>> {
    let mut all: BTreeMap<Option<&ClusterName>, Overview<'_>> = BTreeMap::new();
    for change in &plan.resource_changes {
        let summary = &mut of(&mut all, change.address.cluster()).summary;
        summary.import += usize::from(change.change.importing.is_some());
        match change.change.action {
            ChangeAction::Create => summary.add += 1,
            ChangeAction::Update => summary.change += 1,
            ChangeAction::Delete => summary.remove += 1,
            ChangeAction::Forget => summary.forget += 1,
        }
    }
    for step in &plan.steps {
        let overview = of(&mut all, step.address.cluster());
        overview.steps += 1;
        match step.impact.cmp(&overview.impact()) {
            Ordering::Less => {}
            Ordering::Equal => overview.worst.push(step),
            Ordering::Greater => overview.worst = vec![step],
        }
    }
    let mut all: Vec<Overview<'_>> = all.into_values().collect();
    all.sort_by_key(|overview| Reverse(overview.impact()));
    all
}

fn of<'a, 'b>(
    all: &'b mut BTreeMap<Option<&'a ClusterName>, Overview<'a>>,
    cluster: Option<&'a ClusterName>,
) -> &'b mut Overview<'a> {
    all.entry(cluster).or_insert_with(|| Overview {
        cluster,
        summary: Summary::default(),
        steps: 0,
        worst: Vec::new(),
    })
}

/// Says what data goes for good, a line for each cluster or object that loses some.
pub(crate) fn losses(plan: &PlanDoc) -> Vec<String> {
    let losing = plan.steps.iter().filter(|step| step.impact == Impact::DataLoss);
    let mut by_cluster: BTreeMap<Option<&ClusterName>, Vec<&StepDoc>> = BTreeMap::new();
    for step in losing {
        by_cluster.entry(step.address.cluster()).or_default().push(step);
    }
    let gone = gone(plan);
    let (mut lines, mut rest) = (Vec::new(), Vec::new());
    for (cluster, steps) in by_cluster {
        match gone.get(&("cluster", cluster)) {
            Some(_) => lines.push(whole(cluster, &gone)),
            None => rest.extend(steps.into_iter().cloned()),
        }
    }
    let rest = groups(&rest, false).into_iter().map(|group| {
        let step = group.first();
        format!(
            "{}: {}, because {}",
            group.subjects().text(),
            step.name,
            group.of_all(&step.reason)
        )
    });
    lines.extend(rest);
    lines
}

/// What goes, by kind and cluster.
type Gone<'a> = BTreeMap<(&'static str, Option<&'a ClusterName>), Vec<&'a Address>>;

fn gone(plan: &PlanDoc) -> Gone<'_> {
    let mut gone = Gone::new();
    let deleted = plan
        .resource_changes
        .iter()
        .filter(|change| change.change.action == ChangeAction::Delete);
    for ChangeDoc { address, kind, .. } in deleted {
        gone.entry((kind, address.cluster())).or_default().push(address);
    }
    gone
}

/// Says what goes with a whole cluster.
fn whole(cluster: Option<&ClusterName>, gone: &Gone<'_>) -> String {
    let names = |kind| {
        let addresses = gone.get(&(kind, cluster))?;
        Some(Subjects::new(addresses.iter().copied()).names())
    };
    let cluster = cluster.map(ToString::to_string).unwrap_or_default();
    let databases = names("database").map(|names| format!(", databases {names}"));
    let nodes = names("node").map(|names| format!(", on nodes {names}"));
    format!(
        "cluster.{cluster}: all data{}{}",
        databases.unwrap_or_default(),
        nodes.unwrap_or_default()
    )
}
