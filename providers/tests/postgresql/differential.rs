//! The same plans on real servers and on the simulated world: what is recorded of both is the same.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use simdb_planner::config::{self, Source};
use simdb_planner::desired::Desired;
use simdb_planner::observed::Observed;
use simdb_planner::plan::Plan;
use simdb_planner::planner::{Assurance, ElectionKind, ElectionRequest, Inputs, Proposal, plan};
use simdb_planner::simulate::{Cut, World};
use simdb_providers::effects::{Limits, ProviderEffects};
use simdb_providers::event::{Event, EventSink};
use simdb_providers::executor::{Terms, execute};
use simdb_providers::observe::observe;
use simdb_providers::platform::{Platform, StopMode};
use simdb_state::address::NodeAddress;
use simdb_state::identity::DataIdentity;
use simdb_state::lsn::Lsn;
use simdb_state::object::{FenceProof, Role, State, Verdict};
use simdb_state::store::{RunEnd, Store, Writer};
use tokio_util::sync::CancellationToken;

use crate::cluster::LIMIT;
use crate::platform::Machine;
use crate::port::Port;

/// One cluster, twice.
struct Twins {
    machine: Machine,
    effects: Arc<ProviderEffects>,
    writer: Writer,
    simulated: World,
    ports: BTreeMap<&'static str, Port>,
    /// The kinds of steps that both have done.
    done: BTreeSet<&'static str>,
}

impl Twins {
    async fn new() -> Self {
        let machine = Machine::new().await;
        let effects = ProviderEffects {
            platform: machine.platform.clone(),
            endpoints: machine.platform.clone(),
            fabric: machine.platform.clone(),
            files: std::env::temp_dir(),
            grant: machine.grant.clone(),
            limits: Limits {
                ready: LIMIT,
                streaming: LIMIT,
                verification: LIMIT,
                shutdown: LIMIT,
                ..Limits::default()
            },
        };
        let store = Store::in_memory().await.unwrap();
        Self {
            machine,
            effects: Arc::new(effects),
            writer: store.lock("apply", Duration::ZERO).await.unwrap(),
            simulated: World::default(),
            ports: ["a", "b", "c"].map(|node| (node, Port::claim())).into(),
            done: BTreeSet::new(),
        }
    }

    fn declared(&self, nodes: &[&str], replication: &str, rest: &str) -> Desired {
        let node = |name: &&str| format!("  node \"{name}\" {{ port = {} }}\n", self.ports[name].listen.port);
        let nodes: String = nodes.iter().map(node).collect();
        let text = format!(
            "network \"lan\" {{}}\ncluster \"orders\" {{\n  engine \"postgresql\" {{ parameters = {{ fsync = \"off\" }} }}\n  \
             replication {{ {replication} }}\n{nodes}  endpoint \"rw\" {{ target = \"primary\" }}\n{rest}}}\n"
        );
        let mut source = Source::default();
        source.add("main.simdb.hcl", text);
        let (config, diagnostics) = config::load(&source, &[]);
        assert_eq!(diagnostics, []);
        config.unwrap().desired
    }

    async fn look(&self) -> Observed {
        let secrets = self.writer.secrets().await.unwrap();
        let recorded = self.writer.state();
        let nodes = recorded.nodes.keys().cloned().collect();
        let endpoints = recorded.endpoints.keys().cloned().collect();
        observe(&self.machine.world(), &nodes, &endpoints, recorded, &secrets).await
    }

    async fn plan(&self, desired: &Desired, proposal: Option<&Proposal>) -> Plan {
        let planned = plan(Inputs {
            desired,
            recorded: self.writer.state(),
            observed: &self.look().await,
            proposal,
        });
        assert_eq!(planned.diagnostics, []);
        planned.plan
    }

    /// Applies to both, and expects the same record of both, and nothing left to do.
    async fn apply(&mut self, desired: &Desired, proposal: Option<&Proposal>) {
        let plan = self.plan(desired, proposal).await;
        self.done.extend(plan.steps.iter().map(|step| step.action.name()));
        let steps = u32::try_from(plan.steps.len()).unwrap();
        self.writer.begin("apply", &plan, steps).await.unwrap();
        let cancel = CancellationToken::new();
        let effects = self.effects.clone();
        let outcome = execute(&plan, &mut self.writer, effects, &Silent, &Terms::default(), &cancel)
            .await
            .unwrap();
        self.writer.finish(RunEnd::Done).await.unwrap();
        assert_eq!(outcome.failed, []);
        self.simulated.run(&plan, Cut::Never).unwrap();
        assert_eq!(comparable(self.writer.state()), comparable(&self.simulated.state));
        let next = self.plan(desired, None).await;
        assert_eq!((next.changes, next.steps), (Vec::new(), Vec::new()));
    }

    /// Ends a server as `kill -9` would, in both.
    async fn kill(&mut self, node: &str) {
        let node = address(node);
        let platform = &self.machine.platform;
        platform.stop(&(&node).into(), StopMode::Immediate).await.unwrap();
        self.simulated.kill(&node);
    }
}

struct Silent;

impl EventSink for Silent {
    fn on_event(&self, _: &Event) {}
}

fn address(node: &str) -> NodeAddress {
    format!("cluster.orders.node.{node}").parse().unwrap()
}

fn election(kind: ElectionKind, to: &str) -> Proposal {
    Proposal::Election(ElectionRequest {
        cluster: "orders".parse().unwrap(),
        kind,
        to: Some(to.parse().unwrap()),
        lossy: false,
        assurance: Assurance::Proof,
    })
}

/// A record without what only a server can tell: whose data it is, and positions in its log.
fn comparable(state: &State) -> State {
    let mut state = state.clone();
    for node in state.nodes.values_mut() {
        if let Some(data) = &mut node.data {
            data.identity = DataIdentity::from(0);
        }
        if let Some(Role::Fenced {
            proof: FenceProof::ShutDown { checkpoint },
            ..
        }) = &mut node.role
        {
            *checkpoint = Lsn(0).into();
        }
    }
    for election in state.elections.values_mut() {
        if let Some(switch) = &mut election.switch {
            switch.point = Lsn(0).into();
            if let Verdict::Proven { checkpoint } = &mut switch.verdict {
                *checkpoint = Lsn(0).into();
            }
        }
    }
    for cluster in state.clusters.values_mut() {
        if let Some(verified) = &mut cluster.verified {
            verified.marker = Lsn(0).into();
        }
    }
    state
}

#[tokio::test(flavor = "multi_thread")]
async fn real_servers_and_simulated_ones_leave_the_same_record() {
    const SYNC: &str = "mode = \"sync\"";
    const QUORUM: &str = "mode = \"quorum\"";
    const APP: &str = "  user \"app\" {}\n  database \"app\" { owner = \"app\" }\n";
    let mut twins = Twins::new().await;
    let all = ["a", "b", "c"];
    twins.apply(&twins.declared(&all, SYNC, ""), None).await;
    let desired = twins.declared(&all, QUORUM, APP);
    twins.apply(&desired, None).await;

    // Everybody serves: the lead passes in order, and the one that had it follows as it is.
    twins
        .apply(&desired, Some(&election(ElectionKind::Switchover, "b")))
        .await;

    // The one that leads dies, and comes back behind the winner.
    twins.kill("b").await;
    twins
        .apply(&desired, Some(&election(ElectionKind::Failover, "c")))
        .await;

    // The cluster shrinks and grows, and leaves nothing.
    twins.apply(&twins.declared(&["b", "c"], SYNC, APP), None).await;
    twins.apply(&twins.declared(&all, SYNC, APP), None).await;
    twins.apply(&Desired::default(), None).await;
    assert_eq!(*twins.writer.state(), State::default());
    let kinds = [
        "basebackup",
        "database",
        "drop-node",
        "drop-slot",
        "elect",
        "endpoint",
        "fence",
        "follow",
        "promote",
        "rewind",
        "standby",
        "sync-names",
        "user",
        "verify-sync",
    ];
    let missing: Vec<_> = kinds.iter().filter(|kind| !twins.done.contains(*kind)).collect();
    assert!(missing.is_empty(), "{missing:?} was never compared");
}
