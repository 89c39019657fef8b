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
        match change.change.action {
            ChangeAction::Create => summary.add += 1,
            ChangeAction::Update => summary.change += 1,
            ChangeAction::Delete => summary.remove += 1,
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
    let losing: Vec<&StepDoc> = plan
        .steps
        .iter()
        .filter(|step| step.impact == Impact::DataLoss)
        .collect();
    let deleted = |kind: &str| {
        let is_meant = move |change: &&ChangeDoc| change.change.action == ChangeAction::Delete;
        let changes = plan.resource_changes.iter().filter(is_meant);
        changes
            .filter(|change| change.kind == kind)
            .map(|change| &change.address)
            .collect::<Vec<_>>()
    };
    let (clusters, nodes, databases) = (deleted("cluster"), deleted("node"), deleted("database"));
    let within = |all: &[&Address], cluster: &Address| {
        let within = all.iter().filter(|address| address.cluster() == cluster.cluster());
        let subjects = Subjects::new(within.copied());
        (subjects.number > 0).then(|| subjects.names())
    };
    let is_losing = |cluster: &&&Address| losing.iter().any(|step| step.address.cluster() == cluster.cluster());
    let whole = clusters.iter().filter(is_losing).map(|cluster| {
        let databases = within(&databases, cluster).map(|names| format!(", databases {names}"));
        let nodes = within(&nodes, cluster).map(|names| format!(", on nodes {names}"));
        format!(
            "{cluster}: all data{}{}",
            databases.unwrap_or_default(),
            nodes.unwrap_or_default()
        )
    });
    let is_whole = |step: &StepDoc| {
        clusters
            .iter()
            .any(|cluster| cluster.cluster() == step.address.cluster())
    };
    let rest: Vec<StepDoc> = losing
        .iter()
        .filter(|step| !is_whole(step))
        .map(|step| (*step).clone())
        .collect();
    let rest = groups(&rest, false).into_iter().map(|group| {
        let step = group.first();
        format!(
            "{}: {}, because {}",
            group.subjects().text(),
            step.name,
            group.of_all(&step.reason)
        )
    });
    whole.chain(rest).collect()
}
