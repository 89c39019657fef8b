//! Looks at the world: platform and servers, in parallel, each node within a limit.
//!
//! Nothing here is an error. What could not be looked at is `Unknown` with the reason, and the planner makes no change
//! because of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::future::join_all;
use simdb_planner::observed::{
    Control, Hidden, ImportFacts, NetworkFacts, NodeFacts, Observation, Observed, PlatformFacts, PlatformProblem,
    PoolerFacts, ProcessFacts, RouteFacts,
};
use simdb_state::address::{EndpointAddress, InstanceAddress, NodeAddress};
use simdb_state::name::{ClusterName, NetworkName, PlatformName};
use simdb_state::object::{Data, State};
use simdb_state::place::Bind;
use simdb_state::sensitive::Secrets;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::engine;
use crate::executor::chain;
use crate::platform::{Endpoints, Fabric, InstanceFacts, LOOK_LIMIT, Platform, PlatformError, World};
use crate::sessions::Sessions;

/// How long the server of one node may take to answer; one that hangs is unknown.
pub const NODE_LIMIT: Duration = LOOK_LIMIT;

/// How long it may take to find out what a node is to be imported from. That happens once, and starts a program.
pub(crate) const IMPORT_LIMIT: Duration = Duration::from_secs(10);

/// How often a server that was told to stop is looked at.
const STOPPING_POLL: Duration = Duration::from_millis(50);

/// Looks at the given nodes and endpoints, at every node that has an instance directory on the platform, and at every endpoint that has
/// an entry.
pub async fn observe(
    world: &World,
    nodes: &BTreeSet<NodeAddress>,
    endpoints: &BTreeSet<EndpointAddress>,
    recorded: &State,
    secrets: &Secrets,
) -> Observed {
    observe_within(world, nodes, endpoints, recorded, secrets, None).await
}

/// How long to wait for nodes, where that is less than usual.
#[derive(Clone, Debug)]
pub struct Patience {
    /// For each node.
    pub limit: Duration,
    /// The node whose server is known not to answer: it is hardly waited for.
    pub silent: Option<NodeAddress>,
}

/// How long to wait for a server that is known not to answer.
const SILENT_LIMIT: Duration = Duration::from_millis(50);

/// Does the same, and waits for nodes no longer than it is told to.
pub async fn observe_within(
    world: &World,
    nodes: &BTreeSet<NodeAddress>,
    endpoints: &BTreeSet<EndpointAddress>,
    recorded: &State,
    secrets: &Secrets,
    patience: Option<Patience>,
) -> Observed {
    let (platform, registry) = (&*world.platform, &*world.endpoints);
    let (mut platforms, listed, routes, networks) = tokio::join!(
        world.facts(),
        platform.list(),
        registry.routes(),
        networks(&*world.fabric, recorded)
    );
    let (mut nodes, mut endpoints) = (nodes.clone(), endpoints.clone());
    // An endpoint whose route cannot be read is unknown when it is looked up.
    endpoints.extend(routes.unwrap_or_default());
    match listed {
        Ok(directories) => {
            for instance_directory in directories {
                match instance_directory {
                    InstanceAddress::Node(node) => drop(nodes.insert(node)),
                    InstanceAddress::Pooler(endpoint) => drop(endpoints.insert(endpoint)),
                }
            }
        }
        // The platform's own facts say why.
        Err(PlatformError::Unusable(_)) => {}
        Err(error) => {
            let problem = PlatformProblem {
                argument: None,
                detail: format!("The nodes' instance directories cannot be listed: {}.", chain(&error)),
            };
            for facts in platforms.values_mut() {
                facts.problems.insert(problem.clone());
            }
        }
    }
    let look = Look {
        platform,
        platforms: &platforms,
        recorded,
        secrets,
        sessions: world.sessions(secrets),
        patience,
    };
    let (seen_nodes, seen_poolers, seen_endpoints) = tokio::join!(
        join_all(nodes.iter().map(|node| look.node(node))),
        join_all(endpoints.iter().map(|endpoint| look.pooler(endpoint))),
        join_all(endpoints.iter().map(|endpoint| lookup(registry, endpoint))),
    );
    let nodes: BTreeMap<_, _> = nodes.iter().cloned().zip(seen_nodes).collect();
    let hidden = look.hidden(&nodes).await;
    if nodes
        .iter()
        .any(|(address, node)| just_ended(node, look.facts_of(address)))
    {
        for (name, facts) in world.facts().await {
            platforms.entry(name).or_default().busy_ports = facts.busy_ports;
        }
    }
    let poolers = endpoints.iter().cloned().zip(seen_poolers).collect();
    let endpoints = endpoints.iter().cloned().zip(seen_endpoints).collect();
    Observed {
        platforms,
        networks,
        nodes,
        hidden,
        endpoints,
        poolers,
        tried: Vec::new(),
        imports: BTreeMap::new(),
    }
}

/// Looks at what nodes are to be imported from.
pub async fn imports(
    world: &World,
    wanted: &BTreeMap<NodeAddress, String>,
    platforms: &BTreeMap<PlatformName, PlatformFacts>,
    recorded: &State,
    secrets: &Secrets,
) -> BTreeMap<NodeAddress, Observation<ImportFacts>> {
    let look = Look {
        platform: &*world.platform,
        platforms,
        recorded,
        secrets,
        sessions: world.sessions(secrets),
        patience: None,
    };
    let deadline = Instant::now() + IMPORT_LIMIT;
    let seen = join_all(wanted.iter().map(|(node, id)| look.import(node, id, deadline))).await;
    wanted.keys().cloned().zip(seen).collect()
}

/// Looks at the networks that are recorded, and at those that were made and are not.
async fn networks(fabric: &dyn Fabric, recorded: &State) -> BTreeMap<NetworkName, Observation<NetworkFacts>> {
    // Where they cannot be listed, looking at each of them says why.
    let mut names = fabric.networks().await.unwrap_or_default();
    names.extend(recorded.networks.keys().cloned());
    let look = async |name: NetworkName| {
        let seen = fabric.network(&name).await;
        (name, seen.unwrap_or_else(|error| Observation::Unknown(chain(&error))))
    };
    join_all(names.into_iter().map(look)).await.into_iter().collect()
}

/// Whether a server is down whose port was taken a moment ago. It may have ended in between.
fn just_ended(node: &Observation<NodeFacts>, facts: Option<&PlatformFacts>) -> bool {
    node.seen().is_some_and(|node| {
        let taken = |listen: Bind| facts.is_some_and(|facts| facts.listener(listen).is_some());
        matches!(node.process, ProcessFacts::Down) && node.listen.is_some_and(taken)
    })
}

async fn lookup(registry: &dyn Endpoints, endpoint: &EndpointAddress) -> Observation<RouteFacts> {
    let route = registry.lookup(endpoint).await;
    route.unwrap_or_else(|error| Observation::Unknown(chain(&error)))
}

/// What looking at a node takes. Each engine looks at its own servers and their data.
pub(crate) struct Look<'a> {
    pub(crate) platform: &'a dyn Platform,
    pub(crate) platforms: &'a BTreeMap<PlatformName, PlatformFacts>,
    pub(crate) recorded: &'a State,
    pub(crate) secrets: &'a Secrets,
    pub(crate) sessions: Sessions<'a>,
    /// How long to wait for a node at most, where that is less than usual.
    pub(crate) patience: Option<Patience>,
}

impl Look<'_> {
    /// Returns what the platform of a node offers.
    fn facts_of(&self, node: &NodeAddress) -> Option<&PlatformFacts> {
        match self.recorded.platform(node) {
            Some(name) => self.platforms.get(name),
            None => self.facts(&node.cluster),
        }
    }

    /// Returns what the platform of a cluster offers; where it is not recorded, what any of them does.
    pub(crate) fn facts(&self, cluster: &ClusterName) -> Option<&PlatformFacts> {
        let recorded = self.recorded.clusters.get(cluster).map(|cluster| &cluster.platform);
        match recorded {
            Some(name) => self.platforms.get(name),
            None => self.platforms.values().next(),
        }
    }

    fn within(&self, limit: Duration) -> Duration {
        self.patience
            .as_ref()
            .map_or(limit, |patience| patience.limit.min(limit))
    }

    /// Returns how long the server of a node may take to answer.
    fn answer_limit(&self, node: &NodeAddress) -> Duration {
        let silent = self.patience.as_ref().and_then(|patience| patience.silent.as_ref());
        if silent == Some(node) {
            SILENT_LIMIT
        } else {
            self.within(NODE_LIMIT)
        }
    }

    /// Looks at a node, and looks again where it was changed or removed meanwhile: a removal does not wait for a look.
    async fn node(&self, node: &NodeAddress) -> Observation<NodeFacts> {
        let deadline = Instant::now() + self.within(self.platform.look_limit(&node.into()));
        let mut seen = self.glance(node, deadline).await;
        while matches!(seen, Observation::Unknown(_)) && Instant::now() < deadline {
            let again = self.glance(node, deadline).await;
            let same = again == seen;
            seen = again;
            if same {
                break;
            }
        }
        seen
    }

    /// Asks platforms what they know of nodes on record that could not be looked at, or are gone.
    async fn hidden(&self, seen: &BTreeMap<NodeAddress, Observation<NodeFacts>>) -> BTreeMap<NodeAddress, Hidden> {
        let unseen = seen.iter().filter(|(node, observation)| {
            let has_data = self.recorded.nodes.get(node).is_some_and(|node| node.data.is_some());
            has_data && observation.seen().is_none()
        });
        let ask = async |node: &NodeAddress| {
            let instance = InstanceAddress::from(node);
            let limit = self.platform.look_limit(&instance);
            let known = timeout(limit, self.platform.hidden(&instance)).await;
            Some((node.clone(), known.ok()?.ok()??))
        };
        let known = join_all(unseen.map(|(node, _)| ask(node))).await;
        known.into_iter().flatten().collect()
    }

    /// Looks at a node once. Its process is known at once, so a server that hangs is unknown, and its node is not.
    async fn glance(&self, node: &NodeAddress, deadline: Instant) -> Observation<NodeFacts> {
        let directory = match self.instance(&node.into(), deadline).await {
            Observation::Unknown(reason) => return Observation::Unknown(reason),
            Observation::Absent => return self.absent(node),
            Observation::Seen(directory) => directory,
        };
        let mut facts = inventory(&directory);
        // What is left of the time that its platform may take is not its server's.
        let server_deadline = deadline
            .max(Instant::now())
            .min(Instant::now() + self.answer_limit(node));
        match directory.process {
            ProcessFacts::Down => match self.control(node, &facts.generations, deadline).await {
                Ok(control) => facts.control = control,
                Err(reason) => return Observation::Unknown(reason),
            },
            ProcessFacts::Stopping { .. } => {}
            _ => {
                let mut server = self
                    .server(node, (directory.listen, directory.published), server_deadline)
                    .await;
                if let Observation::Seen(server) = &mut server
                    && server.replay_paused
                {
                    let control = self.control(node, &facts.generations, deadline).await;
                    server.needs = control.ok().and_then(|control| Some(control.seen()?.limits));
                }
                facts.server = Some(server);
            }
        }
        Observation::Seen(facts)
    }

    /// An instance directory that is not where it was may have been moved, and its server goes on: then something listens where it did,
    /// and whether that is the node's server nobody can say.
    fn absent(&self, node: &NodeAddress) -> Observation<NodeFacts> {
        let recorded = self.recorded.nodes.get(node).filter(|node| node.data.is_some());
        let place = recorded.and_then(|node| node.place.as_ref());
        let listener = place
            .map(|place| place.bind)
            .and_then(|listen| Some((listen, self.facts_of(node)?.listener(listen)?)));
        match listener {
            Some((listen, owner)) if engine::holds_data(owner) => Observation::Unknown(format!(
                "its directory is gone, and {owner} listens at {listen}: put the directory back, or stop that server"
            )),
            _ => Observation::Absent,
        }
    }

    /// Looks at an endpoint's pooler.
    async fn pooler(&self, endpoint: &EndpointAddress) -> Observation<PoolerFacts> {
        match self
            .instance(
                &endpoint.into(),
                Instant::now() + self.platform.look_limit(&endpoint.into()),
            )
            .await
        {
            Observation::Unknown(reason) => Observation::Unknown(reason),
            Observation::Absent => Observation::Absent,
            Observation::Seen(InstanceFacts {
                process,
                listen,
                published,
                image: _,
                resources: _,
                directories: _,
                outside: _,
                files,
            }) => Observation::Seen(PoolerFacts {
                process,
                listen,
                published,
                files,
            }),
        }
    }

    /// Looks at an instance directory. One whose server was told to stop is looked at until that has ended, as long as time allows.
    async fn instance(&self, instance: &InstanceAddress, deadline: Instant) -> Observation<InstanceFacts> {
        loop {
            let seen = match timeout_at(deadline, self.platform.inspect(instance)).await {
                Err(_) => return Observation::Unknown(silence(self.platform.look_limit(instance))),
                Ok(Err(error)) => return Observation::Unknown(chain(&error)),
                Ok(Ok(seen)) => seen,
            };
            let stopping = |directory: &InstanceFacts| matches!(directory.process, ProcessFacts::Stopping { .. });
            if !seen.seen().is_some_and(stopping) || Instant::now() + STOPPING_POLL > deadline {
                return seen;
            }
            sleep(STOPPING_POLL).await;
        }
    }
}

/// Sorts what is in an instance directory.
fn inventory(instance_directory: &InstanceFacts) -> NodeFacts {
    let generation = |name: &str| {
        let number = name.strip_prefix("data-")?.parse().ok()?;
        (Data::directory(number) == name).then_some(number)
    };
    let partial = |name: &String| {
        name.strip_suffix(".partial")
            .is_some_and(|name| generation(name).is_some())
    };
    let generations: BTreeSet<u32> = instance_directory
        .directories
        .iter()
        .filter_map(|name| generation(name))
        .collect();
    let newest = generations.last().map(|newest| Data::directory(*newest));
    let outside = newest.and_then(|newest| instance_directory.outside.get(&newest));
    NodeFacts {
        outside: outside.map(|path| path.display().to_string()),
        process: instance_directory.process.clone(),
        listen: instance_directory.listen,
        published: instance_directory.published,
        image: instance_directory.image.clone(),
        resources: instance_directory.resources,
        generations,
        partial: instance_directory.directories.iter().any(partial),
        files: instance_directory.files.clone(),
        control: Control::Absent,
        server: None,
    }
}

/// Says that something took too long.
pub(crate) fn silence(limit: Duration) -> String {
    format!("did not answer within {limit:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_exact_names_of_data_directories_count() {
        let names = [
            "data-1",
            "data-12",
            "data-012",
            "data-+3",
            "data-",
            "data",
            "log",
            "data-4.partial",
        ];
        let directory = InstanceFacts {
            directories: names.map(str::to_owned).into(),
            ..InstanceFacts::default()
        };
        let facts = inventory(&directory);
        assert_eq!(facts.generations, BTreeSet::from([1, 12]));
        assert!(facts.partial);
    }

    #[test]
    fn foreign_partial_directories_are_not_ours() {
        let directory = InstanceFacts {
            directories: ["data-1", "download.partial"].map(str::to_owned).into(),
            ..InstanceFacts::default()
        };
        assert!(!inventory(&directory).partial);
    }
}
