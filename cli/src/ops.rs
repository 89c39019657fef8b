//! The operations that every caller shares: look, plan, apply, and all of them in a row ([`converge`]).

pub(crate) mod beforehand;
pub(crate) mod converge;
mod locking;
pub(crate) mod look;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use simdb_planner::config::{Config, OutputValue, Source};
use simdb_planner::desired::Desired;
use simdb_planner::diagnostic::Diagnostic;
use simdb_planner::health;
use simdb_planner::observed::Observed;
use simdb_planner::plan::{AttributeChange, ChangeAction, Plan, Shown};
use simdb_planner::planner::scope::Scope;
use simdb_planner::planner::{self, Finding, Inputs, Proposal};
use simdb_providers::effects::Effects;
use simdb_providers::engine::trial::try_out;
use simdb_providers::event::EventSink;
use simdb_providers::executor::{Outcome, Terms, execute};
use simdb_providers::observe::{self, Patience, observe};
use simdb_providers::platform::World;
use simdb_state::address::{EndpointAddress, NodeAddress};
use simdb_state::cluster_event::ClusterEvent;
use simdb_state::name::{ClusterName, EndpointName, NodeName};
use simdb_state::object::{Output, State};
use simdb_state::relocation::{self, Move};
use simdb_state::sensitive::{SecretName, Secrets, Sensitive};
use simdb_state::store::{Entry, RunEnd, Store, StoreError, UnfinishedRun, Writer};
use tokio_util::sync::CancellationToken;

use crate::saved::SavedPlan;
use crate::views::doc::{ComparedDoc, DiagnosticDoc, Estimates, InterruptedDoc, Operation, OutputChangeDoc, PlanDoc};

/// Where the holder of the record's lock works.
pub(crate) struct Site {
    /// Where things run.
    pub(crate) world: World,
    /// Does steps.
    pub(crate) effects: Arc<dyn Effects>,
}

/// What is known before planning.
pub(crate) struct Known<'a> {
    /// The configuration.
    pub(crate) config: &'a Config,
    /// What is recorded.
    pub(crate) recorded: &'a State,
    /// A run that was cut off.
    pub(crate) unfinished: Option<&'a UnfinishedRun>,
    /// The secrets of the record.
    pub(crate) secrets: &'a Secrets,
    /// What the record is yet to note: it is what is recorded here already.
    pub(crate) moves: &'a [Move],
    /// What is planned.
    pub(crate) scope: &'a Scope,
}

/// A plan that can be shown and run.
pub(crate) struct Planned {
    /// What is run.
    pub(crate) plan: Plan,
    /// What would bring the record back, where something differs from it.
    pub(crate) drift: Plan,
    /// What differs from the record, and no plan mends.
    pub(crate) found: Vec<Finding>,
    /// What is shown.
    pub(crate) document: PlanDoc,
    /// What was seen to have happened to clusters by itself.
    pub(crate) noticed: Vec<ClusterEvent>,
    /// The passwords that the configuration gives and that steps set.
    pub(crate) given: Secrets,
}

impl Planned {
    /// Puts a plan that was saved in the place of the one that would be made now, which has all of its steps.
    pub(crate) fn replace(&mut self, saved: &SavedPlan) {
        self.plan = saved.plan.clone();
        self.document = saved.document();
        keep_generated(&mut self.given, &self.plan);
    }

    /// Returns whether something is wrong with it, so that it must not run.
    pub(crate) fn is_broken(&self) -> bool {
        self.document.is_broken()
    }
}

/// Notes by what the record would know the passwords that the configuration gives. Without a record there is none yet.
pub(crate) async fn digest_passwords(desired: &mut Desired, store: Option<&Store>) -> Result<(), StoreError> {
    let mut digests = BTreeMap::new();
    for (user, password) in desired.passwords() {
        let digest = match store {
            Some(store) => store.digest(password).await?,
            None => String::new(),
        };
        digests.insert(user, digest);
    }
    desired.digest_passwords(&digests);
    Ok(())
}

/// Moves in a record, and in the names of its secrets, what is declared to have moved, and returns what that was. What is destroyed
/// stays where it is.
pub(crate) fn relocate(
    operation: Operation,
    desired: &Desired,
    recorded: &mut State,
    secrets: &mut Secrets,
) -> Vec<Move> {
    if operation == Operation::Destroy {
        return Vec::new();
    }
    let moves = desired.pending_moves(recorded);
    if !moves.is_empty() {
        for moved in &moves {
            recorded.relocate(moved);
        }
        let renamed = std::mem::take(secrets).into_iter();
        *secrets = renamed
            .map(|(name, value)| (relocation::renamed(&name, &moves), value))
            .collect();
    }
    moves
}

/// Looks at everything that is recorded or declared.
pub(crate) async fn refresh(world: &World, desired: &Desired, recorded: &State, secrets: &Secrets) -> Observed {
    let mut nodes: BTreeSet<NodeAddress> = recorded.nodes.keys().cloned().collect();
    let mut endpoints: BTreeSet<EndpointAddress> = recorded.endpoints.keys().cloned().collect();
    for (cluster, spec) in &desired.clusters {
        let node = |node: &NodeName| NodeAddress {
            cluster: cluster.clone(),
            node: node.clone(),
        };
        let endpoint = |endpoint: &EndpointName| EndpointAddress {
            cluster: cluster.clone(),
            endpoint: endpoint.clone(),
        };
        nodes.extend(spec.nodes.keys().map(node));
        endpoints.extend(spec.endpoints.keys().map(endpoint));
    }
    let mut seen = observe(world, &nodes, &endpoints, recorded, secrets).await;
    let wanted = desired.imports.iter();
    let wanted = wanted.filter(|(node, _)| recorded.nodes.get(*node).is_none_or(|node| node.data.is_none()));
    let wanted = wanted.map(|(node, import)| (node.clone(), import.id.clone())).collect();
    seen.imports = observe::imports(world, &wanted, &seen.platforms, recorded, secrets).await;
    tried(world, desired, recorded, seen).await
}

/// Looks at one cluster that is recorded, and waits for its nodes no longer than it is told to.
pub(crate) async fn refresh_cluster(
    world: &World,
    cluster: &ClusterName,
    recorded: &State,
    secrets: &Secrets,
    patience: Patience,
) -> Observed {
    let nodes = recorded.nodes_of(cluster).map(|(address, _)| address.clone()).collect();
    let endpoints = recorded
        .endpoints
        .keys()
        .filter(|endpoint| endpoint.cluster == *cluster);
    let endpoints = endpoints.cloned().collect();
    observe::observe_within(world, &nodes, &endpoints, recorded, secrets, Some(patience)).await
}

/// Adds what servers say of parameters that no node has yet.
async fn tried(world: &World, desired: &Desired, recorded: &State, seen: Observed) -> Observed {
    let untried = planner::untried(desired, recorded, &seen);
    Observed {
        tried: try_out(&world.providers, untried).await,
        ..seen
    }
}

/// Looks at the platform alone, and believes the record for everything else.
pub(crate) async fn believe(world: &World, desired: &Desired, recorded: &State) -> Observed {
    let seen = Observed {
        platforms: world.facts().await,
        ..Observed::default()
    };
    tried(world, desired, recorded, seen).await
}

/// Makes the plan of an operation from what is known and what was seen.
pub(crate) fn plan(
    operation: Operation,
    known: &Known<'_>,
    observed: &Observed,
    proposal: Option<&Proposal>,
    source: &Source,
) -> Planned {
    let nothing = Desired {
        local: known.config.desired.local.clone(),
        ..Desired::default()
    };
    let (desired, proposal) = match operation {
        Operation::Destroy => (&nothing, Some(&Proposal::Destroy)),
        _ => (&known.config.desired, proposal),
    };
    let planner::Planned {
        mut plan,
        after,
        mut diagnostics,
        not_compared,
        found,
        differing: _,
    } = {
        let inputs = Inputs {
            desired,
            recorded: known.recorded,
            observed,
            proposal,
        };
        match operation {
            Operation::Refresh => planner::refresh(inputs, known.scope),
            _ => planner::plan_within(inputs, known.scope),
        }
    };
    let broken = diagnostics.iter().any(Diagnostic::is_error);
    if !broken {
        plan.moves = known.moves.to_vec();
    }
    let mut changed = Vec::new();
    if !broken {
        let mut secrets = known.config.desired.given_secrets();
        secrets.extend(known.secrets.clone());
        let (outputs, problems) = outputs(operation, known.config, &after, &secrets);
        if declares_outputs(operation, known) {
            changed = output_changes(known, &outputs);
        }
        diagnostics.extend(problems);
    }
    // Outputs were all it was for, and it is as large as the record.
    drop(after);
    let looked = (!observed.nodes.is_empty()).then_some(observed);
    let drift = match looked.filter(|_| operation != Operation::Destroy) {
        Some(observed) => drift(known, observed),
        None => Plan::default(),
    };
    let mut document = PlanDoc::new(operation, &plan, &drift, &found)
        .without(&not_compared)
        .with_outputs(changed)
        .with_diagnostics(DiagnosticDoc::all(&diagnostics, source));
    document.compared = ComparedDoc::new(known.recorded, looked, &not_compared);
    document.interrupted = known.unfinished.map(InterruptedDoc::new);
    let mut given = known.config.desired.given_secrets();
    keep_generated(&mut given, &plan);
    Planned {
        plan,
        drift,
        found,
        document,
        noticed: looked
            .map(|observed| health::noticed(known.recorded, observed))
            .unwrap_or_default(),
        given,
    }
}

/// Returns how long steps took in earlier runs, where a plan has any.
pub(crate) async fn estimates(plan: &Plan, store: Option<&Store>) -> Result<Estimates, StoreError> {
    match store.filter(|_| !plan.steps.is_empty()) {
        Some(store) => Ok(Estimates::new(store.took().await?)),
        None => Ok(Estimates::default()),
    }
}

/// Plans to bring back what is recorded: what that changes has drifted.
fn drift(known: &Known<'_>, observed: &Observed) -> Plan {
    let config = Config::recorded(known.recorded, known.config.desired.local.clone());
    let planned = planner::plan(Inputs {
        desired: &config.desired,
        recorded: known.recorded,
        observed,
        proposal: None,
    });
    planned.plan
}

/// Drops the secrets that no step of a plan stores.
fn keep_generated(secrets: &mut Secrets, plan: &Plan) {
    secrets.retain(|name, _| plan.steps.iter().any(|step| step.generates.contains(name)));
}

/// Keeps what was seen while planning, whatever becomes of the plan.
pub(crate) async fn record_noticed(planned: &Planned, writer: &mut Writer) -> Result<(), StoreError> {
    if planned.noticed.is_empty() {
        return Ok(());
    }
    writer.commit(&[Entry::Noticed(planned.noticed.clone())]).await
}

/// Runs a plan that was approved, journalled from its beginning to its end. The passwords that
/// the configuration gives are stored before any step uses them.
pub(crate) async fn apply(
    planned: &Planned,
    site: &Site,
    writer: &mut Writer,
    events: &dyn EventSink,
    terms: &Terms,
    cancel: &CancellationToken,
) -> Result<Outcome, StoreError> {
    let plan = &planned.plan;
    let steps = u32::try_from(plan.steps.len()).expect("a plan has fewer steps than memory has bytes");
    writer.begin(planned.document.operation.name(), plan, steps).await?;
    if !planned.given.is_empty() {
        writer.keep(&planned.given).await?;
    }
    let outcome = execute(plan, writer, Arc::clone(&site.effects), events, terms, cancel).await?;
    let end = match (outcome.failed.is_empty(), outcome.not_attempted.is_empty()) {
        (false, _) => RunEnd::Failed,
        (true, false) => RunEnd::Cancelled,
        (true, true) => RunEnd::Done,
    };
    writer.finish(end).await?;
    Ok(outcome)
}

/// Takes note that what an interrupted run left was looked at, and that nothing needs to be done about it.
pub(crate) async fn settle(planned: &Planned, writer: &mut Writer) -> Result<(), StoreError> {
    let document = serde_json::to_value(&planned.plan).expect("a plan has string keys and no other way to fail");
    let operation = planned.document.operation.name();
    writer.begin(operation, &document, 0).await?;
    writer.finish(RunEnd::Done).await
}

/// Evaluates the outputs against what is recorded now and records those that changed; returns what is wrong with them.
pub(crate) async fn record_outputs(
    operation: Operation,
    known: &Known<'_>,
    writer: &mut Writer,
) -> Result<Vec<Diagnostic>, StoreError> {
    let secrets = writer.secrets().await?;
    let (values, diagnostics) = outputs(operation, known.config, writer.state(), &secrets);
    if !declares_outputs(operation, known) || output_changes(known, &values).is_empty() {
        return Ok(diagnostics);
    }
    let entry = |(name, output): (String, OutputValue)| {
        let value = output.value?;
        let recorded = if output.sensitive {
            (Output::Sensitive, Some(Sensitive::new(value.to_string())))
        } else {
            (Output::Value(value), None)
        };
        Some((name, recorded))
    };
    writer
        .commit(&[Entry::Outputs(values.into_iter().filter_map(entry).collect())])
        .await?;
    Ok(diagnostics)
}

fn outputs(
    operation: Operation,
    config: &Config,
    state: &State,
    secrets: &Secrets,
) -> (BTreeMap<String, OutputValue>, Vec<Diagnostic>) {
    match operation {
        Operation::Destroy => (BTreeMap::new(), Vec::new()),
        _ => config.outputs(state, secrets),
    }
}

/// Returns whether outputs are what the operation makes of them, and do not stay as they are recorded.
fn declares_outputs(operation: Operation, known: &Known<'_>) -> bool {
    let declared = known.config.declares_outputs() && operation != Operation::Refresh;
    known.scope.is_everything() && (operation == Operation::Destroy || declared)
}

/// Compares the recorded outputs with their values after the plan.
fn output_changes(known: &Known<'_>, after: &BTreeMap<String, OutputValue>) -> Vec<OutputChangeDoc> {
    let names: BTreeSet<&String> = known.recorded.outputs.keys().chain(after.keys()).collect();
    names
        .into_iter()
        .filter_map(|name| output_change(known, name, after.get(name)))
        .collect()
}

fn output_change(known: &Known<'_>, name: &str, after: Option<&OutputValue>) -> Option<OutputChangeDoc> {
    let before = known.recorded.outputs.get(name);
    let action = match (before, after) {
        (None, None) => return None,
        (None, Some(_)) => ChangeAction::Create,
        (Some(_), None) => ChangeAction::Delete,
        (Some(before), Some(after)) if is_recorded(known.secrets, name, before, after) => return None,
        (Some(_), Some(_)) => ChangeAction::Update,
    };
    let change = AttributeChange {
        name: name.to_owned().into(),
        before: before.map(|output| match output {
            Output::Value(value) => Shown::Value(value.clone()),
            Output::Sensitive => Shown::Sensitive,
        }),
        after: after.map(|output| match &output.value {
            _ if output.sensitive => Shown::Sensitive,
            Some(value) => Shown::Value(value.clone()),
            None => Shown::KnownAfterApply,
        }),
    };
    Some(OutputChangeDoc { change, action })
}

fn is_recorded(secrets: &Secrets, name: &str, before: &Output, after: &OutputValue) -> bool {
    match (before, &after.value) {
        (Output::Value(before), Some(value)) => !after.sensitive && before == value,
        (Output::Sensitive, Some(value)) => {
            let (recorded, value) = (secrets.get(&SecretName::output(name)), value.to_string());
            after.sensitive && recorded.is_some_and(|text| *text.expose() == value)
        }
        (_, None) => false,
    }
}
