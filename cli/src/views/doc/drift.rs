//! What differs from what the last apply left, whatever is declared by now.
//!
//! It is the plan that would bring the record back, read backwards: what that plan calls *before* is what was seen.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use simdb_planner::plan::{AttributeChange, Change, ChangeAction, Impact, Plan, Shown, Step};
use simdb_planner::planner::scope::Pattern;
use simdb_planner::planner::{self, Differing, Finding, NotCompared};
use simdb_state::address::Address;
use simdb_state::journal::RunSummary;
use simdb_state::name::ClusterName;

use super::change::name_and_index;
use super::{DiagnosticDoc, FORMAT_VERSION, NotComparedDoc, Sides};

/// The step that proves what other steps have brought about. Where it stands alone, the last proof does not count any more.
pub(super) const PROOF: &str = "verify-sync";

/// The attribute that holds the proof: it says what was seen, and drifts by itself.
const PROVEN: &str = "verified";

/// What differs from the record.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DriftDoc {
    /// The document's version.
    pub format_version: &'static str,
    /// Whether something differs.
    pub drifted: bool,
    /// Whether everything could be compared.
    pub complete: bool,
    /// Whether it could not be told what differs.
    pub errored: bool,
    /// What differs, by address.
    pub resource_drift: Vec<DriftedDoc>,
    /// How many objects differ in what the configuration ignores, and in nothing else.
    pub ignored: usize,
    /// What could not be compared: it may differ.
    pub not_compared: Vec<NotComparedDoc>,
    /// What was noticed and changes nothing.
    pub notes: Vec<String>,
    /// What is wrong.
    pub diagnostics: Vec<DiagnosticDoc>,
    /// The run that recorded last.
    pub last_run: Option<RunSummary>,
}

/// One object that differs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DriftedDoc {
    /// The address.
    pub address: Address,
    /// The kind of thing: `node`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The name of its block: `r` of `r[0]`.
    pub name: String,
    /// Its number among the nodes of its block: `0` of `r[0]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<u32>,
    /// Its cluster.
    pub cluster: Option<ClusterName>,
    /// What is recorded, and what was seen.
    pub change: Sides,
    /// What was found, each a fragment.
    pub causes: Vec<String>,
    /// The steps that would mend it: `start`, `configure`.
    pub mended_by: Vec<&'static str>,
    /// What mending it costs at worst.
    pub impact: Impact,
    /// What no step mends.
    pub by_hand: Vec<ByHandDoc>,
}

/// What differs and is left to a person.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ByHandDoc {
    /// What was found: a fragment.
    pub cause: String,
    /// What to do about it: a sentence.
    pub remedy: String,
    /// By what name it can be ignored.
    #[serde(skip)]
    pub attribute: String,
}

impl DriftedDoc {
    /// Returns whether patterns cover the object, or each attribute of it that differs.
    fn is_ignored(&self, patterns: &[Pattern], differing: &Differing) -> bool {
        let attributes = self.change.attributes.iter().filter(|one| one.before != one.after);
        let beside = differing.get(&self.address).into_iter().flatten().map(String::as_str);
        let found = self.by_hand.iter().map(|one| one.attribute.as_str());
        let names = attributes.map(|one| &*one.name).chain(beside).chain(found);
        planner::is_ignored(patterns, &self.address, names)
    }

    /// Says what was found: of each attribute both values, else the causes.
    pub(super) fn sentences(&self) -> Vec<String> {
        let sentence = |attribute: &AttributeChange| match (&attribute.before, &attribute.after) {
            (recorded, seen) if recorded == seen => None,
            (Some(Shown::Value(recorded)), Some(Shown::Value(seen))) => {
                Some(format!("{} is {seen}, {recorded} is recorded", attribute.name))
            }
            (None, Some(Shown::Value(seen))) => Some(format!("{} is {seen}, nothing is recorded", attribute.name)),
            (Some(Shown::Value(recorded)), None) => {
                Some(format!("{} is not there, {recorded} is recorded", attribute.name))
            }
            _ => None,
        };
        let sentences: Vec<String> = self.change.attributes.iter().filter_map(sentence).collect();
        if sentences.is_empty() {
            self.causes.clone()
        } else {
            sentences
        }
    }
}

impl DriftDoc {
    /// Reads the plan that would bring the record back, and what was found beside it.
    pub fn new(plan: &Plan, found: &[Finding], not_compared: &[NotCompared], diagnostics: Vec<DiagnosticDoc>) -> Self {
        let resource_drift = drifted(plan, found);
        let errored = diagnostics.iter().any(DiagnosticDoc::is_error);
        Self {
            format_version: FORMAT_VERSION,
            drifted: !resource_drift.is_empty(),
            complete: not_compared.is_empty() && !errored,
            errored,
            resource_drift,
            ignored: 0,
            not_compared: not_compared.iter().map(NotComparedDoc::new).collect(),
            notes: plan.notes.clone(),
            diagnostics,
            last_run: None,
        }
    }

    /// Counts the objects of which all that differs is ignored, and leaves them out.
    #[must_use]
    pub fn without_ignored(mut self, patterns: &[Pattern], differing: &Differing) -> Self {
        let before = self.resource_drift.len();
        self.resource_drift
            .retain(|object| !object.is_ignored(patterns, differing));
        self.ignored = before - self.resource_drift.len();
        self.drifted = !self.resource_drift.is_empty();
        self
    }

    /// Leaves out what is about other clusters.
    #[must_use]
    pub fn of_cluster(mut self, cluster: &ClusterName) -> Self {
        self.resource_drift
            .retain(|object| object.cluster.as_ref() == Some(cluster));
        self.not_compared
            .retain(|unknown| unknown.address.cluster() == Some(cluster));
        self.drifted = !self.resource_drift.is_empty();
        self.complete = self.not_compared.is_empty() && !self.errored;
        self
    }
}

/// What there is about one address.
#[derive(Default)]
struct About<'a> {
    change: Option<&'a Change>,
    steps: Vec<&'a Step>,
    found: Vec<&'a Finding>,
}

impl About<'_> {
    fn has_drifted(&self) -> bool {
        !self.steps.is_empty() || !self.found.is_empty() || self.change.is_some_and(differs)
    }
}

/// Brings together what there is about one address: the change of its record, the steps, and what was found beside them.
pub(super) fn drifted(plan: &Plan, found: &[Finding]) -> Vec<DriftedDoc> {
    let mut by_address: BTreeMap<&Address, About<'_>> = BTreeMap::new();
    for change in &plan.changes {
        by_address.entry(&change.address).or_default().change = Some(change);
    }
    let alone = plan.steps.iter().all(|step| step.action.name() == PROOF);
    for step in plan.steps.iter().filter(|step| alone || step.action.name() != PROOF) {
        by_address.entry(&step.address).or_default().steps.push(step);
    }
    for finding in found {
        by_address.entry(&finding.address).or_default().found.push(finding);
    }
    by_address
        .into_iter()
        .filter(|(_, about)| about.has_drifted())
        .map(|(address, about)| one(address, &about))
        .collect()
}

/// Returns whether something differs but the proof that is due after whatever else is mended.
fn differs(change: &Change) -> bool {
    let attributes = change.attributes.iter().filter(|attribute| attribute.name != PROVEN);
    change.action != ChangeAction::Update || attributes.into_iter().any(|one| one.before != one.after)
}

fn one(address: &Address, About { change, steps, found }: &About<'_>) -> DriftedDoc {
    let mut causes: Vec<String> = Vec::new();
    let reasons = change.and_then(|change| change.reason.clone()).into_iter();
    let reasons = reasons.chain(steps.iter().map(|step| step.reason.clone()));
    for cause in reasons.chain(found.iter().map(|finding| finding.cause.clone())) {
        if !causes.contains(&cause) {
            causes.push(cause);
        }
    }
    let (name, index) = name_and_index(address);
    DriftedDoc {
        kind: address.kind(),
        name,
        index,
        cluster: address.cluster().cloned(),
        address: address.clone(),
        change: change.map_or(
            Sides {
                action: ChangeAction::Update,
                importing: None,
                attributes: Arc::default(),
            },
            backwards,
        ),
        causes,
        mended_by: steps.iter().map(|step| step.action.name()).collect(),
        impact: steps.iter().map(|step| step.impact).max().unwrap_or_default(),
        by_hand: found.iter().copied().map(by_hand).collect(),
    }
}

fn by_hand(finding: &Finding) -> ByHandDoc {
    let Finding {
        address: _,
        attribute,
        cause,
        remedy,
    } = finding;
    ByHandDoc {
        attribute: attribute.clone(),
        cause: cause.clone(),
        remedy: remedy.clone(),
    }
}

/// Turns what would be done into what happened.
fn backwards(change: &Change) -> Sides {
    let attributes = change.attributes.iter().filter(|attribute| attribute.name != PROVEN);
    let attributes = attributes.map(|attribute| AttributeChange {
        name: attribute.name.clone(),
        before: attribute.after.clone(),
        after: attribute.before.clone(),
    });
    Sides {
        action: match change.action {
            ChangeAction::Create => ChangeAction::Delete,
            ChangeAction::Update => ChangeAction::Update,
            ChangeAction::Delete | ChangeAction::Forget => ChangeAction::Create,
        },
        importing: None,
        attributes: attributes.collect(),
    }
}

#[cfg(test)]
mod tests {

    use super::*;

    fn change(text: &str, name: &'static str) -> Change {
        let side = |text: &str| Some(Shown::Value(text.into()));
        Change {
            address: text.parse().unwrap(),
            action: ChangeAction::Update,
            reason: Some("it is due".to_owned()),
            importing: None,
            attributes: Arc::new([AttributeChange {
                name: name.into(),
                before: side("seen"),
                after: side("recorded"),
            }]),
        }
    }

    #[test]
    fn a_proof_that_is_due_is_no_drift_and_what_was_seen_comes_after_what_is_recorded() {
        let plan = Plan {
            changes: vec![
                change("cluster.orders", PROVEN),
                change("cluster.orders.node.a", "power"),
            ],
            ..Plan::default()
        };
        let drift = DriftDoc::new(&plan, &[], &[], Vec::new());
        let [node] = &drift.resource_drift[..] else {
            panic!("{:?}", drift.resource_drift);
        };
        assert_eq!(node.address.to_string(), "cluster.orders.node.a");
        let [power] = &node.change.attributes[..] else {
            panic!("{:?}", node.change);
        };
        assert_eq!(power.before, Some(Shown::Value("recorded".into())));
        assert_eq!(node.causes, ["it is due"]);
        assert!(drift.drifted && drift.complete);
    }
}
