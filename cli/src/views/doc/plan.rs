//! The plan as reviewers and policies read it: the shape of Terraform's plan document, and the steps.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use simdb_planner::observed::Observed;
use simdb_planner::plan::{Change, ChangeAction, Impact, Plan, Step, StepId};
use simdb_planner::planner::{Finding, NotCompared};
use simdb_state::address::{Address, NodeAddress};
use simdb_state::name::ClusterName;
use simdb_state::object::State;
use simdb_state::relocation::Move;
use simdb_state::store::UnfinishedRun;

use super::cause::Causes;
use super::change::by_name;
use super::drift::drifted;
use super::{
    ByHandDoc, Cause, ChangeDoc, DiagnosticDoc, DriftedDoc, Estimates, FORMAT_VERSION, Operation, OutputChangeDoc,
    ProofDoc,
};

/// A plan.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlanDoc {
    /// The document's version.
    pub format_version: &'static str,
    /// What it is for.
    pub operation: Operation,
    /// What is at another address than before, and stays what it is.
    pub resource_moves: Vec<MoveDoc>,
    /// What happens to whom.
    pub resource_changes: Vec<ChangeDoc>,
    /// What differs from what the last apply left, whether this plan mends it or not.
    pub resource_drift: Vec<DriftedDoc>,
    /// What happens to the values of `output` blocks.
    #[serde(serialize_with = "by_name")]
    pub output_changes: Vec<OutputChangeDoc>,
    /// What is done, in an order that is possible.
    pub steps: Vec<StepDoc>,
    /// How many changes of each kind there are.
    pub summary: Summary,
    /// The worst impact of all steps.
    pub impact: Impact,
    /// What it was made from.
    pub compared: ComparedDoc,
    /// Whether an apply would do something, and may.
    pub applyable: bool,
    /// Whether everything could be compared.
    pub complete: bool,
    /// Whether something is wrong, so that it must not run.
    pub errored: bool,
    /// What could not be compared: it may differ from what is declared, whatever the plan says.
    pub not_compared: Vec<NotComparedDoc>,
    /// A run that was cut off, which this plan goes on from.
    pub interrupted: Option<InterruptedDoc>,
    /// What was noticed and is not acted on.
    pub notes: Vec<String>,
    /// What is wrong.
    pub diagnostics: Vec<DiagnosticDoc>,
}

impl PlanDoc {
    /// Makes the document of a plan. What has drifted is read from the plan that would bring the record back, and from what
    /// was found beside it.
    pub fn new(operation: Operation, plan: &Plan, drift: &Plan, found: &[Finding]) -> Self {
        let causes = Causes::new(operation, plan, drift);
        let steps = (1..).zip(&plan.steps);
        let steps = steps.map(|(id, step)| StepDoc::new(id, step, causes.of_step(step)));
        let resource_drift = drifted(drift, found);
        let drifted: BTreeMap<&Address, &DriftedDoc> =
            resource_drift.iter().map(|object| (&object.address, object)).collect();
        let change = |change: &Change| {
            let (cause, impact) = (causes.of_change(change), causes.impact(&change.address));
            let mut document = ChangeDoc::new(change, cause, impact);
            if let Some(object) = drifted.get(&change.address).filter(|_| cause.is_drift()) {
                document.drift = object.sentences();
                // One of them may be the reason already.
                document
                    .drift
                    .retain(|sentence| Some(sentence) != change.reason.as_ref());
            }
            document
        };
        let mut resource_changes: Vec<ChangeDoc> = plan.changes.iter().map(change).collect();
        for change in &mut resource_changes {
            let moved = plan.moves.iter().find(|moved| moved.to == change.address);
            change.previous_address = moved.map(|moved| moved.from.clone());
        }
        Self {
            format_version: FORMAT_VERSION,
            operation,
            resource_moves: plan.moves.iter().map(MoveDoc::new).collect(),
            resource_changes,
            resource_drift,
            output_changes: Vec::new(),
            steps: steps.collect(),
            summary: Summary::of(plan),
            impact: plan.impact(),
            compared: ComparedDoc::default(),
            applyable: !plan.is_empty(),
            complete: true,
            errored: false,
            not_compared: Vec::new(),
            interrupted: None,
            notes: plan.notes.clone(),
            diagnostics: Vec::new(),
        }
    }

    /// Adds what happens to outputs.
    #[must_use]
    pub fn with_outputs(mut self, changes: Vec<OutputChangeDoc>) -> Self {
        self.output_changes = changes;
        self.judge();
        self
    }

    /// Adds what is wrong.
    #[must_use]
    pub fn with_diagnostics(mut self, diagnostics: Vec<DiagnosticDoc>) -> Self {
        self.add_diagnostics(diagnostics);
        self
    }

    /// Adds what is wrong, as somebody found out later.
    pub fn add_diagnostics(&mut self, diagnostics: Vec<DiagnosticDoc>) {
        self.diagnostics.extend(diagnostics);
        self.judge();
    }

    fn judge(&mut self) {
        self.errored = self.is_broken();
        self.applyable = !self.errored && !self.is_empty();
    }

    /// Adds how long the steps took in earlier runs.
    pub fn estimate(&mut self, estimates: &Estimates) {
        for step in &mut self.steps {
            step.estimate_seconds = estimates.of(step.name);
        }
    }

    /// Returns whether something is wrong with it, so that it must not run.
    pub fn is_broken(&self) -> bool {
        self.diagnostics.iter().any(DiagnosticDoc::is_error)
    }

    /// Adds what the plan could not be compared with.
    #[must_use]
    pub fn without(mut self, not_compared: &[NotCompared]) -> Self {
        self.not_compared = not_compared.iter().map(NotComparedDoc::new).collect();
        self.complete = not_compared.is_empty();
        self
    }

    /// Returns whether something could not be compared that no step of the plan is about.
    pub fn leaves_unknown(&self) -> bool {
        let is_acted_on = |unknown: &NotComparedDoc| self.steps.iter().any(|step| step.address == unknown.address);
        self.not_compared.iter().any(|unknown| !is_acted_on(unknown))
    }

    /// Says what could not be compared, each with the reason.
    pub fn not_compared_lines(&self) -> Vec<String> {
        let lines = self.not_compared.iter();
        lines
            .map(|unknown| format!("{}: {}", unknown.address, unknown.reason))
            .collect()
    }

    /// Says what has drifted and no step mends, each with what to do about it.
    pub fn by_hand_lines(&self) -> Vec<String> {
        let lines = self.resource_drift.iter().flat_map(|object| {
            let line = |one: &ByHandDoc| format!("{}: {}. {}", object.address, one.cause, one.remedy);
            object.by_hand.iter().map(line)
        });
        lines.collect()
    }

    /// Returns whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.resource_moves.is_empty()
            && self.resource_changes.is_empty()
            && self.steps.is_empty()
            && self.output_changes.is_empty()
    }
}

/// Something that is at another address than before.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MoveDoc {
    /// Where it is.
    pub address: Address,
    /// Where it was.
    pub previous_address: Address,
}

impl MoveDoc {
    fn new(moved: &Move) -> Self {
        Self {
            address: moved.to.clone(),
            previous_address: moved.from.clone(),
        }
    }

    /// Says it, as a sentence without a full stop.
    pub fn sentence(&self) -> String {
        format!("{} has moved to {}", self.previous_address, self.address)
    }
}

/// What the configuration was compared with, so that a plan without changes can be believed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ComparedDoc {
    /// How many objects are recorded, by kind.
    pub recorded: BTreeMap<String, usize>,
    /// How many nodes could be looked at; absent where the record was believed.
    pub nodes_looked_at: Option<usize>,
    /// The last proof of each cluster that has one.
    pub proofs: Vec<ProofDoc>,
}

impl ComparedDoc {
    /// Counts what is recorded and what was seen, but for what could not be compared.
    pub fn new(recorded: &State, observed: Option<&Observed>, not_compared: &[NotCompared]) -> Self {
        let counts = [
            ("network", recorded.networks.len()),
            ("cluster", recorded.clusters.len()),
            ("node", recorded.nodes.len()),
            ("user", recorded.users.len()),
            ("database", recorded.databases.len()),
            ("seed", recorded.seeds.len()),
            ("endpoint", recorded.endpoints.len()),
        ];
        let unknown: BTreeSet<&Address> = not_compared.iter().map(|unknown| &unknown.address).collect();
        let is_known = |node: &&NodeAddress| !unknown.contains(&Address::Node((*node).clone()));
        let seen = |_: &Observed| recorded.nodes.keys().filter(is_known).count();
        let proof = |name| ProofDoc::last(name, recorded);
        Self {
            recorded: counts
                .into_iter()
                .filter(|(_, number)| *number > 0)
                .map(|(kind, number)| (kind.to_owned(), number))
                .collect(),
            nodes_looked_at: observed.map(seen),
            proofs: recorded.clusters.keys().filter_map(proof).collect(),
        }
    }
}

/// Something that could not be compared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NotComparedDoc {
    /// What it is.
    pub address: Address,
    /// Why not: a fragment without a full stop.
    pub reason: String,
}

impl NotComparedDoc {
    pub(super) fn new(not_compared: &NotCompared) -> Self {
        let NotCompared { address, reason } = not_compared.clone();
        Self { address, reason }
    }
}

/// How many changes of each kind there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// What comes to be.
    pub add: usize,
    /// What is changed in place.
    pub change: usize,
    /// What goes.
    pub remove: usize,
    /// What stays where it is, and is forgotten.
    #[serde(skip_serializing_if = "is_none")]
    pub forget: usize,
    /// What is at another address than before.
    #[serde(rename = "move", skip_serializing_if = "is_none")]
    pub moved: usize,
    /// What of that is imported.
    #[serde(skip_serializing_if = "is_none")]
    pub import: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands references")]
fn is_none(number: &usize) -> bool {
    *number == 0
}

impl Summary {
    /// Counts the changes of a plan.
    pub fn of(plan: &Plan) -> Self {
        let count = |action| plan.changes.iter().filter(|change| change.action == action).count();
        Self {
            add: count(ChangeAction::Create),
            change: count(ChangeAction::Update),
            remove: count(ChangeAction::Delete),
            forget: count(ChangeAction::Forget),
            moved: plan.moves.len(),
            import: plan.changes.iter().filter(|change| change.importing.is_some()).count(),
        }
    }
}

/// One step.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StepDoc {
    /// Its number, from 1.
    pub id: u32,
    /// What is done, as the step table spells it.
    pub name: &'static str,
    /// To what.
    pub address: Address,
    /// Its cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ClusterName>,
    /// The steps that are done before it.
    pub after: Vec<u32>,
    /// What it costs.
    pub impact: Impact,
    /// What it is due to.
    #[serde(rename = "reason_code")]
    pub cause: Cause,
    /// Why it is there, in words.
    pub reason: String,
    /// How long such steps took in earlier runs; absent where none has run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub estimate_seconds: Option<f64>,
}

impl StepDoc {
    /// Makes the document of a step.
    pub fn new(id: u32, step: &Step, cause: Cause) -> Self {
        Self {
            id,
            name: step.action.name(),
            address: step.address.clone(),
            cluster: step.address.cluster().cloned(),
            after: step.after.iter().map(|&StepId(index)| index + 1).collect(),
            impact: step.impact,
            cause,
            reason: step.reason.clone(),
            estimate_seconds: None,
        }
    }
}

/// A run that neither finished nor failed in an orderly way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InterruptedDoc {
    /// What it was: `apply`, `destroy`.
    pub operation: String,
    /// The steps that were started and not finished: `promote of cluster.orders.node.r[0]`.
    pub during: Vec<String>,
}

impl InterruptedDoc {
    /// Names the steps in doubt by the plan that the run kept; by number where another version wrote it.
    pub fn new(run: &UnfinishedRun) -> Self {
        let plan: Plan = serde_json::from_value(run.plan.clone()).unwrap_or_default();
        let name = |&index: &u32| match plan.steps.get(index as usize) {
            Some(step) => format!("{} of {}", step.action.name(), step.address),
            None => format!("step {}", index + 1),
        };
        Self {
            operation: run.operation.clone(),
            during: run.in_doubt.iter().map(name).collect(),
        }
    }
}
