//! What a step or a change is due to, as an identifier that programs can rely on; the sentence beside it may change.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use simdb_planner::plan::{Change, ChangeAction, Impact, Plan, Step};
use simdb_state::address::Address;
use simdb_state::name::ClusterName;

use super::Operation;
use super::drift::PROOF;

/// The step that lets another node lead.
const ELECTION: &str = "elect";

/// What something is due to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The configuration asks for it.
    Configuration,
    /// The configuration no longer declares the object.
    NotDeclared,
    /// What runs differs from what is recorded.
    Drift,
    /// The configuration asks for something else, and what runs differs from what is recorded.
    ConfigurationAndDrift,
    /// The command asks for it, whatever is declared.
    Request,
    /// Another node of the cluster comes to lead.
    RoleChange,
    /// What other steps bring about is proven.
    Verification,
}

impl Cause {
    /// Returns its name, as it stands in documents.
    pub fn name(self) -> &'static str {
        match self {
            Cause::Configuration => "configuration",
            Cause::NotDeclared => "not_declared",
            Cause::Drift => "drift",
            Cause::ConfigurationAndDrift => "configuration_and_drift",
            Cause::Request => "request",
            Cause::RoleChange => "role_change",
            Cause::Verification => "verification",
        }
    }

    /// Returns whether something has drifted.
    pub(super) fn is_drift(self) -> bool {
        matches!(self, Cause::Drift | Cause::ConfigurationAndDrift)
    }

    /// Returns what people are told of it.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Cause::Configuration => "configuration",
            Cause::NotDeclared => "no longer declared",
            Cause::Drift => "drift",
            Cause::ConfigurationAndDrift => "configuration and drift",
            Cause::Request => "request",
            Cause::RoleChange => "role change",
            Cause::Verification => "verification",
        }
    }

    /// Writes it as Terraform's `action_reason`, which is absent where the configuration simply asks for something.
    pub(super) fn of_action(self, action: ChangeAction) -> Option<String> {
        let verb = match action {
            ChangeAction::Create => "create",
            ChangeAction::Update => "update",
            ChangeAction::Delete => "delete",
            ChangeAction::Forget => "forget",
        };
        match self {
            Cause::Configuration => None,
            Cause::NotDeclared => Some(format!("{verb}_because_no_resource_config")),
            Cause::Request => Some(format!("{verb}_by_request")),
            _ => Some(format!("{verb}_because_{}", self.name())),
        }
    }
}

/// What the steps of one plan are due to.
pub(super) struct Causes<'a> {
    operation: Operation,
    steps: BTreeMap<&'a Address, Vec<&'a Step>>,
    deleted: BTreeSet<&'a Address>,
    /// The steps that would bring the record back.
    drift: BTreeMap<&'a Address, Vec<&'a Step>>,
    drifted: BTreeSet<&'a Address>,
    electing: BTreeSet<&'a ClusterName>,
}

impl<'a> Causes<'a> {
    /// Takes a plan, and the one that would bring the record back.
    pub(super) fn new(operation: Operation, plan: &'a Plan, drift: &'a Plan) -> Self {
        let elections = plan.steps.iter().filter(|step| step.action.name() == ELECTION);
        let deleted = plan
            .changes
            .iter()
            .filter(|change| change.action == ChangeAction::Delete);
        Self {
            operation,
            steps: by_address(plan),
            deleted: deleted.map(|change| &change.address).collect(),
            drift: by_address(drift),
            drifted: drift.changes.iter().map(|change| &change.address).collect(),
            electing: elections.filter_map(|step| step.address.cluster()).collect(),
        }
    }

    /// Returns the worst impact of the steps that are about an address.
    pub(super) fn impact(&self, address: &Address) -> Impact {
        let steps = self.steps.get(address).into_iter().flatten();
        steps.map(|step| step.impact).max().unwrap_or_default()
    }

    /// Returns what a step is due to.
    pub(super) fn of_step(&self, step: &Step) -> Cause {
        let name = step.action.name();
        if name == PROOF {
            return Cause::Verification;
        }
        if self.deleted.contains(&step.address) {
            return self.of_deletion();
        }
        let mut mending = self.drift.get(&step.address).into_iter().flatten();
        let asked = self.asked(&step.address);
        match mending.find(|other| other.action.name() == name) {
            Some(other) if other.action == step.action => Cause::Drift,
            Some(_) if asked == Cause::Configuration => Cause::ConfigurationAndDrift,
            _ => asked,
        }
    }

    /// Returns what a change is due to: what its steps are, where it has some.
    pub(super) fn of_change(&self, change: &Change) -> Cause {
        let address = &change.address;
        if change.action == ChangeAction::Delete {
            return self.of_deletion();
        }
        let steps = self.steps.get(address).into_iter().flatten();
        let causes: BTreeSet<Cause> = steps.map(|step| self.of_step(step)).collect();
        let has = |cause| causes.contains(&cause);
        match causes.first() {
            None if self.drifted.contains(address) => Cause::Drift,
            None => self.asked(address),
            Some(_) if has(Cause::Configuration) && has(Cause::Drift) => Cause::ConfigurationAndDrift,
            // Of several causes the proof, which follows from the others, says the least.
            Some(first) => *first,
        }
    }

    fn of_deletion(&self) -> Cause {
        match self.operation {
            Operation::Destroy => Cause::Request,
            _ => Cause::NotDeclared,
        }
    }

    /// Returns what is asked for where nothing has drifted.
    fn asked(&self, address: &Address) -> Cause {
        match self.operation {
            Operation::Apply if address.cluster().is_some_and(|name| self.electing.contains(name)) => Cause::RoleChange,
            Operation::Apply => Cause::Configuration,
            // The record takes over what has drifted.
            Operation::Refresh => Cause::Drift,
            _ => Cause::Request,
        }
    }
}

fn by_address(plan: &Plan) -> BTreeMap<&Address, Vec<&Step>> {
    let mut steps: BTreeMap<&Address, Vec<&Step>> = BTreeMap::new();
    for step in &plan.steps {
        steps.entry(&step.address).or_default().push(step);
    }
    steps
}
