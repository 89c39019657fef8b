//! A cluster of a primary `a` and a standby `r[0]`, made step by step as a plan would.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use simdb_planner::engine::parameters::Release;
use simdb_planner::engine::postgresql::instance::{
    self, REPLICATION_USER, SUPERUSER, replication_password, superuser_password, user,
};
use simdb_planner::engine::{self, NodeContext, Upstream, postgresql};
use simdb_planner::observed::{NodeFacts, Observation, Observed, ServerFacts};
use simdb_planner::plan::{Action, Checked, Impact, Server, Step};
use simdb_providers::effects::{Effects, Limits, ProviderEffects, StepError};
use simdb_providers::executor::chain;
use simdb_providers::observe::observe;
use simdb_providers::password;
use simdb_providers::platform::{Platform, StopMode};
use simdb_providers::sessions::Sessions;
use simdb_state::address::{EndpointAddress, NodeAddress};
use simdb_state::delta::{Delta, Outputs};
use simdb_state::instance::InstanceSpec;
use simdb_state::object::{CommitLevel, Data, EngineKind, Slot, State, User};
use simdb_state::place::Place;
use simdb_state::route::{Hints, Route, Wanted};
use simdb_state::sensitive::{Secrets, Sensitive};
use simdb_state::sync::SyncRule;
use tokio_postgres::{Client, NoTls};

use crate::platform::Machine;
use crate::port::Port;

/// How long what must come about may take, on the slowest of machines.
pub(crate) const LIMIT: Duration = Duration::from_mins(2);

/// How long a step that is to fail waits for what will not come about.
const PATIENCE: Duration = Duration::from_secs(1);

pub(crate) struct Cluster {
    pub(crate) machine: Machine,
    version: u16,
    pub(crate) effects: ProviderEffects,
    pub(crate) secrets: Secrets,
    pub(crate) primary: NodeAddress,
    pub(crate) standby: NodeAddress,
    pub(crate) parameters: BTreeMap<String, String>,
    ports: BTreeMap<NodeAddress, Port>,
}

impl Cluster {
    /// Makes a cluster of which nothing runs yet.
    pub(crate) async fn new() -> Self {
        let machine = Machine::new().await;
        let primary: NodeAddress = "cluster.orders.node.a".parse().unwrap();
        let standby: NodeAddress = "cluster.orders.node.r[0]".parse().unwrap();
        let names = [
            superuser_password(&primary.cluster),
            replication_password(&primary.cluster),
        ];
        Self {
            effects: ProviderEffects {
                platform: machine.platform.clone(),
                endpoints: machine.platform.clone(),
                fabric: machine.platform.clone(),
                files: std::env::temp_dir(),
                limits: Limits {
                    ready: LIMIT,
                    streaming: LIMIT,
                    verification: LIMIT,
                    ..Limits::default()
                },
                grant: machine.grant.clone(),
            },
            version: machine.version().await,
            machine,
            secrets: names.map(|name| (name, password::generate().unwrap())).into(),
            parameters: BTreeMap::from([("fsync".to_owned(), "off".to_owned())]),
            ports: [&primary, &standby].map(|node| (node.clone(), Port::claim())).into(),
            primary,
            standby,
        }
    }

    /// Makes a cluster that replicates.
    pub(crate) async fn replicating() -> Self {
        let cluster = Self::new().await;
        for action in cluster.creation() {
            cluster.run(action).await.unwrap();
        }
        cluster
    }

    /// Returns the steps of its creation.
    pub(crate) fn creation(&self) -> [Action; 6] {
        [
            self.make_primary(),
            self.replication_user(),
            self.slot(),
            self.basebackup(),
            self.make_standby(),
            self.verify_sync(),
        ]
    }

    pub(crate) fn make_primary(&self) -> Action {
        let context = self.context(&self.primary, None);
        Action::Primary {
            birth: Box::new(instance::birth(&context)),
            instance: Box::new(instance::server(&context)),
            server: self.server(&self.primary),
        }
    }

    pub(crate) fn replication_user(&self) -> Action {
        Action::ReplicationUser {
            user: user(&self.primary.cluster, REPLICATION_USER),
            attributes: Box::new(User {
                replication: true,
                ..User::default()
            }),
            password: replication_password(&self.primary.cluster),
            server: self.server(&self.primary),
            streams: Vec::new(),
        }
    }

    pub(crate) fn slot(&self) -> Action {
        let action = postgresql::Action::Slot {
            node: self.standby.clone(),
            slot: self.standby_slot(),
            server: self.server(&self.primary),
        };
        engine::Action::from(action).into()
    }

    pub(crate) fn drop_slot(&self) -> Action {
        let action = postgresql::Action::DropSlot {
            node: self.standby.clone(),
            slot: self.standby_slot(),
            server: self.server(&self.primary),
        };
        engine::Action::from(action).into()
    }

    pub(crate) fn basebackup(&self) -> Action {
        let upstream = self.upstream();
        Action::Clone {
            node: self.standby.clone(),
            task: Box::new(instance::copy(
                &self.context(&self.standby, Some(upstream.clone())),
                &upstream,
                Vec::new(),
            )),
            data: Data::directory(1),
        }
    }

    pub(crate) fn make_standby(&self) -> Action {
        Action::Join {
            instance: Box::new(self.instance(&self.standby)),
            server: self.server(&self.standby),
            upstream: self.server(&self.primary),
            application_name: self.standby.node.identifier(),
        }
    }

    pub(crate) fn start(&self, node: &NodeAddress, in_recovery: bool) -> Action {
        Action::Start {
            instance: Box::new(self.instance(node)),
            server: self.server(node),
            in_recovery,
        }
    }

    pub(crate) fn configure(&self, node: &NodeAddress, restart: bool) -> Action {
        Action::Configure {
            instance: Box::new(self.instance(node)),
            server: self.server(node),
            restart,
            in_recovery: *node == self.standby,
            upstream: None,
        }
    }

    pub(crate) fn verify_sync(&self) -> Action {
        let checked = Checked {
            server: self.server(&self.standby),
            upstream: None,
            delayed: false,
        };
        Action::Verify {
            cluster: self.primary.cluster.clone(),
            primary: self.server(&self.primary),
            standbys: BTreeMap::from([(self.standby.node.identifier(), checked)]),
            synchronous: BTreeSet::new(),
            awaited: 0,
            commit: CommitLevel::On,
        }
    }

    pub(crate) fn endpoint(&self) -> Action {
        let endpoint: EndpointAddress = "cluster.orders.endpoint.rw".parse().unwrap();
        let route = Route {
            endpoint: endpoint.clone(),
            to: vec![self.primary.node.clone()],
            hosts: vec![self.ports[&self.primary].listen.into()],
            hints: Hints {
                database: "postgres".to_owned(),
                wanted: Wanted::Writer,
            },
        };
        Action::Endpoint { endpoint, route }
    }

    pub(crate) async fn run(&self, action: Action) -> Result<Outputs, StepError> {
        self.effects.run(&self.step(action), &self.secrets).await
    }

    fn step(&self, action: Action) -> Step {
        Step {
            address: self.primary.clone().into(),
            action,
            term: None,
            after: BTreeSet::new(),
            impact: Impact::None,
            reason: String::new(),
            delta: Delta::default(),
            generates: BTreeSet::new(),
        }
    }

    /// Runs an action that must fail, and returns its error with all causes.
    pub(crate) async fn fails(&self, action: Action) -> String {
        chain(&self.run(action).await.unwrap_err())
    }

    /// Runs an action that must fail for want of patience until its error tells what it should, and returns the error.
    /// What it is about may not have come about yet when a run gives up; every action may run again.
    pub(crate) async fn fails_in_time(&self, action: Action, tells: impl Fn(&str) -> bool) -> String {
        let impatient = ProviderEffects {
            limits: Limits {
                streaming: PATIENCE,
                verification: PATIENCE,
                ..self.effects.limits
            },
            ..self.effects.clone()
        };
        let start = Instant::now();
        loop {
            let error = chain(
                &impatient
                    .run(&self.step(action.clone()), &self.secrets)
                    .await
                    .unwrap_err(),
            );
            if tells(&error) {
                return error;
            }
            assert!(start.elapsed() < LIMIT, "{error}");
        }
    }

    /// Looks until nothing is unknown.
    pub(crate) async fn observe(&self) -> Observed {
        let unknown = |node: &Observation<NodeFacts>| match node {
            Observation::Seen(facts) => matches!(facts.server, Some(Observation::Unknown(_))),
            Observation::Unknown(_) => true,
            Observation::Absent => false,
        };
        self.observe_until(&self.secrets, |observed| !observed.nodes.values().any(unknown))
            .await
    }

    /// Looks until something is seen: one look waits for a server no longer than a user would.
    pub(crate) async fn observe_until(&self, secrets: &Secrets, seen: impl Fn(&Observed) -> bool) -> Observed {
        let start = Instant::now();
        loop {
            let observed = self.observe_once(secrets).await;
            if seen(&observed) {
                return observed;
            }
            assert!(start.elapsed() < LIMIT, "{observed:?}");
        }
    }

    async fn observe_once(&self, secrets: &Secrets) -> Observed {
        let nodes = BTreeSet::from([self.primary.clone(), self.standby.clone()]);
        let endpoints = BTreeSet::from(["cluster.orders.endpoint.rw".parse().unwrap()]);
        observe(&self.machine.world(), &nodes, &endpoints, &State::default(), secrets).await
    }

    /// Returns what opens sessions with its servers.
    pub(crate) fn sessions(&self) -> Sessions<'_> {
        Sessions::new(self.machine.platform.clone(), &self.secrets)
    }

    /// Stops a node's server.
    pub(crate) async fn stop(&self, node: &NodeAddress, mode: StopMode) {
        self.machine.platform.stop(&node.into(), mode).await.unwrap();
    }

    /// Connects as the superuser.
    pub(crate) async fn client(&self, node: &NodeAddress) -> Client {
        let password = &self.secrets[&superuser_password(&node.cluster)];
        self.client_of(node, SUPERUSER, password).await.unwrap()
    }

    pub(crate) async fn client_of(
        &self,
        node: &NodeAddress,
        user: &str,
        password: &Sensitive<String>,
    ) -> Result<Client, tokio_postgres::Error> {
        let listen = self.ports[node].listen;
        let mut config = tokio_postgres::Config::new();
        config
            .host(listen.host.to_string())
            .port(listen.port)
            .dbname("postgres");
        let (client, connection) = config.user(user).password(password.expose()).connect(NoTls).await?;
        // Ends with the client.
        tokio::spawn(connection);
        Ok(client)
    }

    fn instance(&self, node: &NodeAddress) -> InstanceSpec {
        let upstream = (*node == self.standby).then(|| self.upstream());
        instance::server(&self.context(node, upstream))
    }

    fn context<'a>(&'a self, node: &'a NodeAddress, upstream: Option<Upstream>) -> NodeContext<'a> {
        NodeContext {
            address: node,
            made_as: node.clone(),
            release: Release {
                engine: EngineKind::Postgresql,
                version: self.version,
            },
            place: Place::shared(self.ports[node].listen),
            image: None,
            resources: simdb_state::object::Resources::default(),
            parameters: &self.parameters,
            generation: 1,
            outside: false,
            has_peers_elsewhere: false,
            upstream,
            sync_rule: SyncRule::default(),
            replication_password: replication_password(&node.cluster),
        }
    }

    fn upstream(&self) -> Upstream {
        Upstream {
            address: self.primary.clone(),
            at: self.ports[&self.primary].listen.into(),
            slot: self.standby.node.identifier(),
        }
    }

    fn standby_slot(&self) -> Slot {
        Slot {
            upstream: self.primary.node.clone(),
            name: self.standby.node.identifier(),
        }
    }

    pub(crate) fn server(&self, node: &NodeAddress) -> Server {
        Server {
            node: node.clone(),
            place: Box::new(Place::shared(self.ports[node].listen)),
            password: superuser_password(&node.cluster),
        }
    }
}

/// Returns the facts of a node that must have been seen.
pub(crate) fn node<'a>(observed: &'a Observed, address: &NodeAddress) -> &'a NodeFacts {
    observed.nodes[address].seen().unwrap()
}

/// Returns the facts of a server that must have answered.
pub(crate) fn server<'a>(observed: &'a Observed, address: &NodeAddress) -> &'a ServerFacts {
    let server = node(observed, address).server.as_ref();
    match server.unwrap() {
        Observation::Seen(facts) => facts,
        other => panic!("{other:?}"),
    }
}
