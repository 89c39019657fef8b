//! Answers all who look at the same moment with one list of each kind of object, in place of a request for each object.
//!
//! ```text
//!   look at a ─┐
//!   look at b ─┼─► round ─► list what is of the project ─► what it lacks: list the names of what is not
//!   look at c ─┘
//! ```
//!
//! A round asks after everybody in it did, so that none of them is told what was so before it looked. One that is about few objects gets
//! each of them: a project may have thousands.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, try_join_all};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Service};
use simdb_state::name::ClusterName;
use tokio::time::sleep;

use super::client::{Object, Server, Trouble};
use super::names::{CLUSTER, LINEAGE, Names};

/// How many objects are got by their names, each for itself.
const FEW: usize = 2;

/// How long a round waits for those who look at the same moment: less than a request takes.
const GATHERED: Duration = Duration::from_millis(2);

/// What comes of a round.
type Answer<K, V> = Shared<BoxFuture<'static, Result<Arc<BTreeMap<K, V>>, Trouble>>>;

/// The round that is yet to ask, and all that it is to ask for.
struct Round<K, V> {
    wanted: BTreeSet<K>,
    answer: Answer<K, V>,
}

/// Gathers what is asked for at the same moment.
struct Rounds<K, V> {
    next: Arc<Mutex<Option<Round<K, V>>>>,
}

impl<K, V> Default for Rounds<K, V> {
    fn default() -> Self {
        Self { next: Arc::default() }
    }
}

impl<K, V> fmt::Debug for Rounds<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rounds").finish_non_exhaustive()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<K, V> Rounds<K, V>
where
    K: Ord + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Asks for one, together with everybody else who does so before the round begins.
    async fn ask<L, F>(&self, key: &K, load: L) -> Result<Option<V>, Trouble>
    where
        L: FnOnce(BTreeSet<K>) -> F + Send + 'static,
        F: Future<Output = Result<BTreeMap<K, V>, Trouble>> + Send + 'static,
    {
        let answer = {
            let mut next = locked(&self.next);
            let round = next.get_or_insert_with(|| Round {
                wanted: BTreeSet::new(),
                answer: self.round(load),
            });
            round.wanted.insert(key.clone());
            round.answer.clone()
        };
        answer.await.map(|found| found.get(key).cloned())
    }

    fn round<L, F>(&self, load: L) -> Answer<K, V>
    where
        L: FnOnce(BTreeSet<K>) -> F + Send + 'static,
        F: Future<Output = Result<BTreeMap<K, V>, Trouble>> + Send + 'static,
    {
        let next = Arc::clone(&self.next);
        let answer = async move {
            sleep(GATHERED).await;
            let begun = locked(&next).take();
            load(begun.map(|round| round.wanted).unwrap_or_default())
                .await
                .map(Arc::new)
        };
        answer.boxed().shared()
    }
}

/// What those look at who look at the same moment.
#[derive(Debug, Default)]
pub(super) struct Looks {
    volumes: Rounds<String, PersistentVolumeClaim>,
    sets: Rounds<String, StatefulSet>,
    pods: Rounds<String, Pod>,
    services: Rounds<String, Service>,
    of_clusters: Rounds<ClusterName, Vec<Pod>>,
}

impl Looks {
    pub(super) async fn volume(
        &self,
        server: &Server,
        names: &Names,
        name: &String,
    ) -> Result<Option<PersistentVolumeClaim>, Trouble> {
        self.volumes.ask(name, by_name(server, names)).await
    }

    pub(super) async fn set(
        &self,
        server: &Server,
        names: &Names,
        name: &String,
    ) -> Result<Option<StatefulSet>, Trouble> {
        self.sets.ask(name, by_name(server, names)).await
    }

    pub(super) async fn pod(&self, server: &Server, names: &Names, name: &String) -> Result<Option<Pod>, Trouble> {
        self.pods.ask(name, by_name(server, names)).await
    }

    pub(super) async fn service(
        &self,
        server: &Server,
        names: &Names,
        name: &String,
    ) -> Result<Option<Service>, Trouble> {
        self.services.ask(name, by_name(server, names)).await
    }

    /// Returns the pods of a cluster.
    pub(super) async fn pods_of(
        &self,
        server: &Server,
        names: &Names,
        cluster: &ClusterName,
    ) -> Result<Vec<Pod>, Trouble> {
        let (server, ours) = (server.clone(), names.everything());
        let load = |wanted: BTreeSet<ClusterName>| async move {
            let labels = match wanted.first() {
                Some(only) if wanted.len() == 1 => format!("{ours},{CLUSTER}={only}"),
                _ => ours,
            };
            let mut pods: BTreeMap<ClusterName, Vec<Pod>> = BTreeMap::new();
            for pod in server.list::<Pod>(&labels).await?.items {
                let cluster = pod.metadata.labels.as_ref().and_then(|labels| labels.get(CLUSTER));
                if let Some(cluster) = cluster.and_then(|cluster| cluster.parse().ok()) {
                    pods.entry(cluster).or_default().push(pod);
                }
            }
            Ok(pods)
        };
        let found = self.of_clusters.ask(cluster, load).await?;
        Ok(found.unwrap_or_default())
    }
}

/// Returns what looks for objects of some names, whoever made them: those of others are told by what is said of them.
fn by_name<T: Object + Default>(
    server: &Server,
    names: &Names,
) -> impl FnOnce(BTreeSet<String>) -> BoxFuture<'static, Result<BTreeMap<String, T>, Trouble>> + Send + 'static {
    let (server, names) = (server.clone(), names.clone());
    move |wanted| async move { objects(&server, &names, &wanted).await }.boxed()
}

async fn objects<T: Object + Default>(
    server: &Server,
    names: &Names,
    wanted: &BTreeSet<String>,
) -> Result<BTreeMap<String, T>, Trouble> {
    let keyed = |object: T| Some((object.meta().name.clone()?, object));
    if wanted.len() <= FEW {
        let found = try_join_all(wanted.iter().map(|name| server.get::<T>(name))).await?;
        return Ok(found.into_iter().flatten().filter_map(keyed).collect());
    }
    let ours = server.list::<T>(&names.everything()).await?.items;
    let mut objects: BTreeMap<String, T> = ours.into_iter().filter_map(keyed).collect();
    if wanted.iter().any(|name| !objects.contains_key(name)) {
        let others = server
            .list_metadata::<T>(&format!("{LINEAGE}!={}", names.lineage))
            .await?;
        let taken = others.into_iter().map(|metadata| {
            let mut object = T::default();
            *object.meta_mut() = metadata;
            object
        });
        objects.extend(taken.filter_map(keyed).filter(|(name, _)| wanted.contains(name)));
    }
    Ok(objects)
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;
    use serde_json::{Value, json};
    use simdb_planner::observed::Observation;
    use simdb_state::address::{EndpointAddress, InstanceAddress};

    use super::super::fake::{self, Fake};
    use super::*;
    use crate::platform::{Endpoints, Platform, PlatformError};

    /// Answers every list with one object that another project made.
    fn of_another_project(_: &str, path: &str) -> (u16, Value) {
        if path.contains('!') || path.contains("%21%3D") || path.contains("%21=") {
            return fake::list(&[
                json!({ "metadata": { "name": "c7-n-1", "labels": { "simdb.dev/lineage": "3c4d" } } }),
            ]);
        }
        fake::list(&[])
    }

    #[tokio::test]
    async fn many_nodes_are_looked_at_with_a_list_of_each_kind_and_of_the_names_that_others_have() {
        let server = Fake::start(of_another_project).await;
        let platform = server.platform(&[]);
        let node = |number: usize| format!("cluster.c{}.node.n[{}]", number / 3, number % 3);
        let nodes: Vec<InstanceAddress> = (0..300).map(|number| node(number).parse().unwrap()).collect();
        let seen = join_all(nodes.iter().map(|node| platform.inspect(node))).await;
        let asked = server.asked();
        assert_eq!(asked.len(), 6, "{asked:?}");
        for (node, seen) in nodes.iter().zip(seen) {
            if node.to_string() == "cluster.c7.node.n[1]" {
                let error = seen.unwrap_err();
                assert!(
                    matches!(error, PlatformError::ForeignInstanceDirectory { .. }),
                    "{error}"
                );
            } else {
                assert_eq!(seen.unwrap(), Observation::Absent, "{node}");
            }
        }
    }

    #[tokio::test]
    async fn one_node_is_looked_at_by_its_name() {
        let server = Fake::start(|_, _| fake::missing()).await;
        let platform = server.platform(&[]);
        let node = "cluster.orders.node.a".parse().unwrap();
        assert_eq!(platform.inspect(&node).await.unwrap(), Observation::Absent);
        let mut asked = server.asked();
        asked.sort();
        assert_eq!(
            asked,
            [
                "GET /api/v1/namespaces/db/persistentvolumeclaims/orders-a",
                "GET /api/v1/namespaces/db/pods/orders-a-0",
                "GET /apis/apps/v1/namespaces/db/statefulsets/orders-a",
            ]
        );
    }

    #[tokio::test]
    async fn many_endpoints_are_looked_up_with_a_list() {
        let server = Fake::start(|_, _| fake::list(&[])).await;
        let platform = server.platform(&[]);
        let endpoint = |number: usize| format!("cluster.c{number}.endpoint.rw").parse().unwrap();
        let endpoints: Vec<EndpointAddress> = (0..100).map(endpoint).collect();
        let seen = join_all(endpoints.iter().map(|endpoint| platform.lookup(endpoint))).await;
        assert!(seen.into_iter().all(|seen| seen.unwrap() == Observation::Absent));
        assert_eq!(server.asked(), vec!["GET /api/v1/namespaces/db/services"; 2]);
    }

    /// Answers each round with its number, for every key.
    async fn asked(rounds: &Rounds<u8, usize>, count: &Arc<Mutex<Vec<BTreeSet<u8>>>>, key: u8) -> Option<usize> {
        let count = Arc::clone(count);
        let load = |wanted: BTreeSet<u8>| async move {
            let number = {
                let mut all = locked(&count);
                all.push(wanted.clone());
                all.len()
            };
            Ok(wanted.into_iter().map(|key| (key, number)).collect())
        };
        rounds.ask(&key, load).await.expect("nothing fails")
    }

    #[tokio::test]
    async fn who_looks_at_the_same_moment_is_answered_together_and_who_comes_later_anew() {
        let (rounds, count) = (Rounds::default(), Arc::default());
        let together = join_all((0..100).map(|key| asked(&rounds, &count, key))).await;
        assert!(together.iter().all(|number| *number == Some(1)), "{together:?}");
        assert_eq!(asked(&rounds, &count, 7).await, Some(2));
        let wanted: Vec<usize> = locked(&count).iter().map(BTreeSet::len).collect();
        assert_eq!(wanted, [100, 1]);
    }

    #[tokio::test]
    async fn one_who_gives_up_keeps_nobody_from_an_answer() {
        let (rounds, count) = (Rounds::default(), Arc::default());
        // It was polled once, and begins a round that it does not see the end of.
        assert_eq!(asked(&rounds, &count, 1).now_or_never(), None);
        assert_eq!(asked(&rounds, &count, 2).await, Some(1));
    }
}
