//! The plan as reviewers and policies read it: the shape of Terraform's plan document, and the steps.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value, json};
use simdb_planner::observed::Observed;
use simdb_planner::plan::{AttributeChange, ChangeAction, Impact, Plan, Shown, Step, StepId};
use simdb_planner::planner::NotCompared;
use simdb_state::address::{Address, NodeAddress};
use simdb_state::object::State;
use simdb_state::store::UnfinishedRun;

use super::{DiagnosticDoc, FORMAT_VERSION, ProofDoc};

/// What the plan is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Operation {
    /// What runs is to match the configuration.
    Apply,
    /// Everything is to go.
    Destroy,
    /// Servers are to be down until they are started again.
    Stop,
    /// Servers that were stopped are to run again.
    Start,
    /// Another node is to lead, and the one that does hands over.
    Switchover,
    /// Another node is to lead, because the one that did is lost.
    Failover,
    /// A node's data is to be brought in line.
    Resync,
}

impl Operation {
    /// Returns the word that starts a sentence about it.
    pub fn title(self) -> &'static str {
        match self {
            Operation::Apply => "Apply",
            Operation::Destroy => "Destroy",
            Operation::Stop => "Stop",
            Operation::Start => "Start",
            Operation::Switchover => "Switchover",
            Operation::Failover => "Failover",
            Operation::Resync => "Resync",
        }
    }

    /// Returns the command that does it.
    pub fn name(self) -> &'static str {
        match self {
            Operation::Apply => "apply",
            Operation::Destroy => "destroy",
            Operation::Stop => "stop",
            Operation::Start => "start",
            Operation::Switchover => "switchover",
            Operation::Failover => "failover",
            Operation::Resync => "resync",
        }
    }
}

/// A plan.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlanDoc {
    /// The document's version.
    pub format_version: &'static str,
    /// What it is for.
    pub operation: Operation,
    /// What happens to whom.
    pub resource_changes: Vec<ChangeDoc>,
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
    /// Whether everything could be compared.
    pub complete: bool,
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
    /// Makes the document of a plan.
    pub fn new(operation: Operation, plan: &Plan) -> Self {
        let steps = (1..).zip(&plan.steps).map(|(id, step)| StepDoc::new(id, step));
        Self {
            format_version: FORMAT_VERSION,
            operation,
            resource_changes: plan.changes.iter().map(ChangeDoc::new).collect(),
            output_changes: Vec::new(),
            steps: steps.collect(),
            summary: Summary::of(plan),
            impact: plan.impact(),
            compared: ComparedDoc::default(),
            complete: true,
            not_compared: Vec::new(),
            interrupted: None,
            notes: plan.notes.clone(),
            diagnostics: Vec::new(),
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

    /// Returns whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.resource_changes.is_empty() && self.steps.is_empty() && self.output_changes.is_empty()
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
}

impl Summary {
    /// Counts the changes of a plan.
    pub fn of(plan: &Plan) -> Self {
        let count = |action| plan.changes.iter().filter(|change| change.action == action).count();
        Self {
            add: count(ChangeAction::Create),
            change: count(ChangeAction::Update),
            remove: count(ChangeAction::Delete),
        }
    }
}

/// What happens to one address.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ChangeDoc {
    /// The address.
    pub address: Address,
    /// The kind of thing: `node`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Its own name: `r[0]`.
    pub name: String,
    /// What it was and will be.
    pub change: Sides,
    /// Why, where the configuration does not simply ask for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action_reason: Option<String>,
}

impl ChangeDoc {
    fn new(change: &simdb_planner::plan::Change) -> Self {
        let simdb_planner::plan::Change {
            address,
            action,
            reason,
            attributes,
        } = change;
        Self {
            kind: address.kind(),
            name: address.name(),
            address: address.clone(),
            change: Sides {
                action: *action,
                attributes: attributes.clone(),
            },
            action_reason: reason.clone(),
        }
    }
}

/// What something was and will be. In JSON the attributes are spread over `before`, `after` and what says more of them:
/// `after_unknown` (only the apply will tell), `before_sensitive` and `after_sensitive` (never shown; with
/// `after_unknown`, made up by the apply). `parameters.max_connections` is nested.
#[derive(Clone, Debug, PartialEq)]
pub struct Sides {
    /// What happens.
    pub action: ChangeAction,
    /// The attributes, in the order in which people are shown them.
    pub attributes: Vec<AttributeChange>,
}

impl Serialize for Sides {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (mut before, mut after) = (Side::default(), Side::default());
        for attribute in &self.attributes {
            before.add(&attribute.name, attribute.before.as_ref());
            after.add(&attribute.name, attribute.after.as_ref());
        }
        json!({
            "actions": actions(self.action),
            "before": if self.action == ChangeAction::Create { Value::Null } else { before.values.into() },
            "after": if self.action == ChangeAction::Delete { Value::Null } else { after.values.into() },
            "after_unknown": after.unknown,
            "before_sensitive": before.sensitive,
            "after_sensitive": after.sensitive,
        })
        .serialize(serializer)
    }
}

fn actions(action: ChangeAction) -> [ChangeAction; 1] {
    [action]
}

/// One side of a change, taken apart.
#[derive(Default)]
struct Side {
    values: Map<String, Value>,
    unknown: Map<String, Value>,
    sensitive: Map<String, Value>,
}

impl Side {
    fn add(&mut self, name: &str, shown: Option<&Shown>) {
        let Some(shown) = shown else { return };
        let facets = Facets::of(shown);
        insert(&mut self.values, name, facets.value);
        if facets.unknown {
            insert(&mut self.unknown, name, Value::Bool(true));
        }
        if facets.sensitive {
            insert(&mut self.sensitive, name, Value::Bool(true));
        }
    }
}

/// What there is to say about one value.
struct Facets {
    value: Value,
    unknown: bool,
    sensitive: bool,
}

impl Facets {
    fn of(shown: &Shown) -> Self {
        let (value, unknown, sensitive) = match shown {
            Shown::Value(value) => (value.clone(), false, false),
            Shown::KnownAfterApply => (Value::Null, true, false),
            Shown::GeneratedAtApply => (Value::Null, true, true),
            Shown::Sensitive => (Value::Null, false, true),
        };
        Self {
            value,
            unknown,
            sensitive,
        }
    }
}

/// Puts a value under a name; what follows the first dot is a name within.
fn insert(object: &mut Map<String, Value>, name: &str, value: Value) {
    let Some((outer, inner)) = name.split_once('.') else {
        object.insert(name.to_owned(), value);
        return;
    };
    let within = object.entry(outer).or_insert_with(|| Map::new().into());
    if let Value::Object(within) = within {
        within.insert(inner.to_owned(), value);
    }
}

/// What happens to the value of an `output` block.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OutputChangeDoc {
    /// The output and its two sides.
    pub change: AttributeChange,
    /// What happens.
    pub action: ChangeAction,
}

fn by_name<S: Serializer>(changes: &[OutputChangeDoc], serializer: S) -> Result<S::Ok, S::Error> {
    let side = |shown: &Option<Shown>| Facets::of(shown.as_ref().unwrap_or(&Shown::Value(Value::Null)));
    let documents = changes.iter().map(|output| {
        let (before, after) = (side(&output.change.before), side(&output.change.after));
        let document = json!({
            "actions": actions(output.action),
            "before": before.value,
            "after": after.value,
            "after_unknown": after.unknown,
            "before_sensitive": before.sensitive,
            "after_sensitive": after.sensitive,
        });
        (output.change.name.clone(), document)
    });
    documents.collect::<BTreeMap<_, _>>().serialize(serializer)
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
    /// The steps that are done before it.
    pub after: Vec<u32>,
    /// What it costs.
    pub impact: Impact,
    /// Why it is there.
    pub reason: String,
}

impl StepDoc {
    /// Makes the document of a step.
    pub fn new(id: u32, step: &Step) -> Self {
        Self {
            id,
            name: step.action.name(),
            address: step.address.clone(),
            after: step.after.iter().map(|&StepId(index)| index + 1).collect(),
            impact: step.impact,
            reason: step.reason.clone(),
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
