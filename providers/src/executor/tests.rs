use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use async_trait::async_trait;
use simdb_planner::desired::access::AccessSpec;
use simdb_planner::desired::{ClusterSpans, ClusterSpec, Desired, Ignored, NetworkSpec, NodeSpec, ReplicationSpec};
use simdb_planner::diagnostic::Span;
use simdb_planner::planner::{Inputs, plan};
use simdb_planner::simulate::{Cut, World};
use simdb_state::object::{EngineKind, FailoverPolicy, first_platform};
use simdb_state::store::{RunEnd, Store};

use super::*;
use crate::effects::StepError;
use crate::engine::postgresql::{Cause, PostgresqlError};

/// Effects on a simulated world, with steps that fail on request.
#[derive(Debug, Default)]
struct Simulated {
    world: Mutex<World>,
    fails: Option<&'static str>,
    /// How often a kind of step fails before it goes well, for a reason that passes.
    falters: Mutex<BTreeMap<&'static str, u32>>,
    /// A kind of step that does not end by itself.
    hangs: Option<&'static str>,
    secrets_seen: Mutex<BTreeSet<String>>,
}

#[async_trait]
impl Effects for Simulated {
    async fn run(&self, step: &Step, secrets: &Secrets) -> Result<Outputs, StepError> {
        self.secrets_seen
            .lock()
            .unwrap()
            .extend(secrets.keys().map(ToString::to_string));
        if self.fails == Some(step.action.name()) {
            return Err(StepError::MissingSecret(SecretName::output("nothing")));
        }
        if self.hangs == Some(step.action.name()) {
            std::future::pending::<()>().await;
        }
        if let Some(left) = self
            .falters
            .lock()
            .unwrap()
            .get_mut(step.action.name())
            .filter(|left| **left > 0)
        {
            *left -= 1;
            return Err(StepError::Postgresql(Box::new(PostgresqlError::Query {
                doing: "make a slot".to_owned(),
                node: "cluster.orders.node.a".parse().unwrap(),
                cause: Cause::Refused {
                    code: "53300".to_owned(),
                    message: "sorry, too many clients already".to_owned(),
                    detail: None,
                },
            })));
        }
        let mut world = self.world.lock().unwrap();
        let outputs = world.effect(step).unwrap();
        // The world's own record, which tells it who follows whom; what the store holds is compared with another.
        world.state.apply(&step.delta, &outputs);
        Ok(outputs)
    }
}

#[derive(Debug, Default)]
struct Seen(
    Mutex<Vec<Event>>,
    /// What is cancelled when a step starts.
    Option<CancellationToken>,
    /// What is cancelled when a step is to be tried again.
    Option<CancellationToken>,
);

impl EventSink for Seen {
    fn on_event(&self, event: &Event) {
        if let (Some(cancel), Event::Started(_)) = (&self.1, event) {
            cancel.cancel();
        }
        if let (Some(cancel), Event::Retrying(..)) = (&self.2, event) {
            cancel.cancel();
        }
        self.0.lock().unwrap().push(event.clone());
    }
}

fn orders(nodes: &[&str]) -> Desired {
    let span = || Span {
        file: "main.simdb.hcl".to_owned(),
        start: 0,
        end: 0,
    };
    let node = || NodeSpec {
        platform: None,
        provider_span: None,
        image: None,
        resources: simdb_state::object::Resources::default(),
        resources_span: None,
        port: None,
        follows: None,
        apply_delay: None,
        parameters: BTreeMap::new(),
        parameter_spans: BTreeMap::new(),
        span: span(),
        port_span: None,
        follows_span: None,
        prevent_destroy: false,
        ignored: Ignored::default(),
        triggers: Vec::new(),
    };
    let cluster = ClusterSpec {
        failover: FailoverPolicy::default(),
        platform: first_platform(),
        network: "lan".parse().unwrap(),
        engine: EngineKind::Postgresql,
        version: None,
        replication: ReplicationSpec::of(1),
        nodes: nodes.iter().map(|name| (name.parse().unwrap(), node())).collect(),
        first: nodes[0].parse().unwrap(),
        primary: None,
        prevent_destroy: false,
        ignored: Ignored::default(),
        ignored_drift: Vec::new(),
        depends_on: BTreeSet::new(),
        access: AccessSpec::default(),
        endpoints: BTreeMap::new(),
        spans: ClusterSpans {
            provider: None,
            cluster: span(),
            version: None,
            primary: None,
            synchronous_standbys: None,
        },
    };
    Desired {
        imports: BTreeMap::new(),
        networks: BTreeMap::from([(
            "lan".parse().unwrap(),
            NetworkSpec {
                platform: first_platform(),
                subnet: None,
                reachable: false,
                span: span(),
            },
        )]),
        clusters: BTreeMap::from([("orders".parse().unwrap(), cluster)]),
        ..Desired::default()
    }
}

fn plan_for(world: &World, desired: &Desired) -> Plan {
    let planned = plan(Inputs {
        desired,
        recorded: &world.state,
        observed: &world.observe(),
        proposal: None,
    });
    assert_eq!(planned.diagnostics, []);
    planned.plan
}

async fn run(plan: &Plan, effects: Arc<Simulated>, seen: &Seen) -> (Outcome, simdb_state::object::State) {
    let terms = Terms {
        parallelism: 4,
        pause: Duration::from_millis(1),
        ..Terms::default()
    };
    run_on(&terms, plan, effects, seen).await
}

async fn run_on(
    terms: &Terms,
    plan: &Plan,
    effects: Arc<Simulated>,
    seen: &Seen,
) -> (Outcome, simdb_state::object::State) {
    let store = Store::in_memory().await.unwrap();
    let mut writer = store.lock("apply", Duration::ZERO).await.unwrap();
    let count = u32::try_from(plan.steps.len()).unwrap();
    writer.begin("apply", plan, count).await.unwrap();
    let cancel = seen.1.clone().or(seen.2.clone()).unwrap_or_default();
    let outcome = execute(plan, &mut writer, effects, seen, terms, &cancel).await.unwrap();
    let end = match &outcome {
        Outcome { cancelled: true, .. } => RunEnd::Cancelled,
        Outcome { failed, .. } if !failed.is_empty() => RunEnd::Failed,
        _ => RunEnd::Done,
    };
    writer.finish(end).await.unwrap();
    writer.unlock().await.unwrap();
    (outcome, store.snapshot().await.unwrap().state)
}

#[tokio::test]
async fn the_executor_and_the_simulator_record_the_same() {
    let desired = orders(&["a", "b", "r[0]", "r[1]"]);
    let plan = plan_for(&World::default(), &desired);
    let mut simulated = World::default();
    simulated.run(&plan, Cut::Never).unwrap();
    let effects = Arc::new(Simulated::default());
    let (outcome, recorded) = run(&plan, effects.clone(), &Seen::default()).await;
    assert_eq!(outcome.done.len(), plan.steps.len());
    assert_eq!(recorded, simulated.state);
    let seen = effects.secrets_seen.lock().unwrap();
    assert_eq!(
        seen.iter().collect::<Vec<_>>(),
        ["cluster.orders.user.postgres", "cluster.orders.user.replicator"]
    );
}

#[tokio::test]
async fn a_step_that_fails_keeps_only_those_that_wait_for_it_from_starting() {
    let plan = plan_for(&World::default(), &orders(&["a", "r[0]"]));
    let effects = Arc::new(Simulated {
        fails: Some("slot"),
        ..Simulated::default()
    });
    let seen = Seen::default();
    let (outcome, recorded) = run(&plan, effects, &seen).await;
    let names = |ids: Vec<StepId>| {
        ids.iter()
            .map(|id| plan.steps[id.index()].action.name())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(outcome.done), ["network", "primary", "replication-user"]);
    assert_eq!(names(outcome.failed.iter().map(|(id, _)| *id).collect()), ["slot"]);
    assert_eq!(names(outcome.not_attempted), ["basebackup", "standby", "verify-sync"]);
    assert_eq!(
        outcome.failed[0].1,
        "find the password of output.nothing: the state does not hold it"
    );
    assert_eq!(recorded.nodes.len(), 1, "what failed is not recorded");
    assert_eq!(recorded.clusters.len(), 1, "what was done is recorded");
}

#[tokio::test]
async fn asked_to_stop_it_finishes_what_runs_and_starts_no_other() {
    let plan = plan_for(&World::default(), &orders(&["a", "r[0]"]));
    let seen = Seen(Mutex::default(), Some(CancellationToken::new()), None);
    let (outcome, _) = run(&plan, Arc::new(Simulated::default()), &seen).await;
    assert!(outcome.cancelled);
    assert_eq!(
        (outcome.done, outcome.not_attempted.len()),
        (vec![StepId(0)], plan.steps.len() - 1)
    );
    assert!(seen.0.lock().unwrap().contains(&Event::Stopping));
}

fn faltering(times: u32) -> Arc<Simulated> {
    Arc::new(Simulated {
        falters: Mutex::new(BTreeMap::from([("slot", times)])),
        ..Simulated::default()
    })
}

#[tokio::test]
async fn a_step_that_fails_for_a_reason_that_passes_is_tried_again() {
    let plan = plan_for(&World::default(), &orders(&["a", "r[0]"]));
    let seen = Seen::default();
    let (outcome, recorded) = run(&plan, faltering(3), &seen).await;
    assert_eq!((outcome.done.len(), outcome.failed), (plan.steps.len(), Vec::new()));
    assert_eq!(recorded.nodes.len(), 2);
    let events = seen.0.lock().unwrap();
    let retried = events.iter().filter_map(|event| match event {
        Event::Retrying(_, pause, cause) => Some((pause.as_millis(), cause.as_str())),
        _ => None,
    });
    let refused = "make a slot on cluster.orders.node.a: sorry, too many clients already (SQLSTATE 53300)";
    assert_eq!(retried.collect::<Vec<_>>(), [(1, refused), (2, refused), (4, refused)]);
}

#[tokio::test]
async fn a_step_that_keeps_failing_is_not_tried_for_ever() {
    let plan = plan_for(&World::default(), &orders(&["a", "r[0]"]));
    let effects = faltering(4);
    let (outcome, _) = run(&plan, effects.clone(), &Seen::default()).await;
    assert_eq!(outcome.failed.len(), 1);
    assert_eq!(effects.falters.lock().unwrap()["slot"], 0);
}

#[tokio::test]
async fn asked_to_stop_it_does_not_wait_to_try_again() {
    let plan = plan_for(&World::default(), &orders(&["a", "r[0]"]));
    let terms = Terms {
        pause: Duration::from_hours(1),
        ..Terms::default()
    };
    let cancel = CancellationToken::new();
    let seen = Seen(Mutex::default(), None, Some(cancel.clone()));
    let (outcome, _) = run_on(&terms, &plan, faltering(1), &seen).await;
    assert!(cancel.is_cancelled() && outcome.cancelled);
    assert_eq!(outcome.failed.len(), 1, "{outcome:?}");
}

#[tokio::test]
async fn a_step_that_exceeds_its_limit_is_given_up() {
    let plan = plan_for(&World::default(), &orders(&["a", "r[0]"]));
    let effects = Arc::new(Simulated {
        hangs: Some("slot"),
        ..Simulated::default()
    });
    let mut terms = Terms::default();
    terms.limits.by_name.insert("slot".to_owned(), Duration::from_millis(5));
    let (outcome, recorded) = run_on(&terms, &plan, effects, &Seen::default()).await;
    let [(_, cause)] = &outcome.failed[..] else {
        panic!("{outcome:?}");
    };
    assert_eq!(
        cause,
        "slot of cluster.orders.node.r[0] was given up, as it took longer than its limit; the next plan looks at what it left"
    );
    assert_eq!(recorded.nodes.len(), 1);
}

#[tokio::test]
async fn a_step_that_its_guard_refuses_fails_before_anything_is_touched() {
    let mut plan = plan_for(&World::default(), &orders(&["a", "r[0]"]));
    plan.steps.retain(|step| step.action.name() == "slot");
    plan.steps[0].after.clear();
    let (outcome, recorded) = run(&plan, Arc::new(Simulated::default()), &Seen::default()).await;
    let expected = "slot of cluster.orders.node.r[0] is refused: cluster.orders.node.a is not recorded as serving";
    assert_eq!(outcome.failed, [(StepId(0), expected.to_owned())]);
    assert!(recorded.nodes.is_empty());
}
