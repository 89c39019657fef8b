//! Invariants of any plan, checked on the plan itself: a planner that breaks one is stopped before a server is touched.

use std::collections::BTreeMap;

use simdb_state::address::{Address, NodeAddress};
use simdb_state::name::ClusterName;
use simdb_state::writers::may_write_beside;

use crate::diagnostic::Diagnostic;
use crate::plan::{Action, Plan, Step, StepId};

/// Returns what is wrong with a plan; every finding is a defect of simdb, and says so.
pub(super) fn check(plan: &Plan) -> Vec<Diagnostic> {
    let mut findings = Vec::new();
    for (at, step) in (0..).map(StepId).zip(&plan.steps) {
        if step.after.iter().any(|earlier| *earlier >= at) {
            findings.push(defect(step, "waits for a step that comes later"));
        }
    }
    findings.extend(one_writer(plan));
    findings.extend(shown(plan));
    findings
}

fn defect(step: &Step, what: &str) -> Diagnostic {
    Diagnostic::error(
        "Plan is not safe",
        format!(
            "Step {} of {} {what}. This is a defect of simdb, and nothing was done; please report it with your configuration.",
            step.action.name(),
            step.address
        ),
    )
}

/// No node is made a primary beside another one that writes.
fn one_writer(plan: &Plan) -> Vec<Diagnostic> {
    let mut writers: BTreeMap<&ClusterName, Vec<&NodeAddress>> = BTreeMap::new();
    let mut findings = Vec::new();
    for step in &plan.steps {
        let (Action::Primary { server, .. }
        | Action::Import {
            server, upstream: None, ..
        }) = &step.action
        else {
            continue;
        };
        let others = writers.entry(&server.node.cluster).or_default();
        if others.iter().any(|other| !may_write_beside(&server.node, other)) {
            findings.push(defect(step, "would make a second primary"));
        }
        others.push(&server.node);
    }
    findings
}

/// Whatever a step is about is shown to the reviewer as a change.
fn shown(plan: &Plan) -> Vec<Diagnostic> {
    let changed: std::collections::BTreeSet<&Address> = plan.changes.iter().map(|change| &change.address).collect();
    let unseen = plan.steps.iter().filter(|step| !changed.contains(&step.address));
    unseen.map(|step| defect(step, "is not among the changes")).collect()
}
