//! A cluster of the local platform, and the steps that make it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;

use simdb_planner::plan::{Action, Checked, Server, Stream};
use simdb_providers::effects::{Limits, ProviderEffects};
use simdb_providers::engine::mariadb::{Connection, LOGIN};
use simdb_providers::executor::chain;
use simdb_providers::password;
use simdb_providers::platform::local::{LocalConfig, LocalPlatform};
use simdb_providers::platform::{Platform, Provider};
use simdb_providers::sessions::Sessions;
use simdb_state::address::NodeAddress;
use simdb_state::delta::Outputs;
use simdb_state::instance::InstanceSpec;
use simdb_state::object::{CommitLevel, EngineKind, User};
use simdb_state::place::Place;
use simdb_state::sensitive::{SecretName, Secrets};
use simdb_state::store::Store;
use tempfile::TempDir;

use crate::bed::LIMIT;
use crate::blueprint::{self, DATA};
use crate::port::Port;

/// A primary and a standby, below a temporary directory.
pub(crate) struct Cluster {
    pub(crate) effects: ProviderEffects,
    pub(crate) platform: Arc<LocalPlatform>,
    pub(crate) secrets: Secrets,
    pub(crate) own: SecretName,
    pub(crate) replication: SecretName,
    pub(crate) nodes: BTreeMap<&'static str, (NodeAddress, Port, u32)>,
    pub(crate) options: Vec<String>,
    _root: TempDir,
}

impl Cluster {
    pub(crate) async fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        // The user that servers run as must be able to enter it.
        fs::set_permissions(root.path(), Permissions::from_mode(0o755)).unwrap();
        let grant = Store::in_memory()
            .await
            .unwrap()
            .lock("test", Duration::ZERO)
            .await
            .unwrap()
            .grant();
        let platform = Arc::new(
            LocalPlatform::new(LocalConfig {
                root: root.path().join("data"),
                run_as: None,
                binaries: Vec::new(),
                path: Vec::new(),
                lineage: "test".to_owned(),
                project: root.path().to_owned(),
                service_file: root.path().join("pg_service.conf"),
            })
            .under(grant.clone()),
        );
        let found = platform.facts().await;
        assert!(
            found
                .engines
                .get(&EngineKind::Mariadb)
                .is_some_and(|versions| versions.contains_key(&1011)),
            "install MariaDB 10.11: looked in {:?}",
            found.searched
        );
        let name = |user: &str| SecretName::password(&format!("cluster.shop.user.{user}").parse().unwrap());
        let names = [name(LOGIN), name("replicator"), name("app")];
        let node = |name: &str| format!("cluster.shop.node.{name}").parse().unwrap();
        Self {
            effects: ProviderEffects {
                platform: platform.clone(),
                endpoints: platform.clone(),
                fabric: platform.clone(),
                files: std::env::temp_dir(),
                limits: Limits {
                    ready: LIMIT,
                    streaming: LIMIT,
                    verification: LIMIT,
                    shutdown: LIMIT,
                    ..Limits::default()
                },
                grant,
            },
            platform,
            secrets: names
                .into_iter()
                .map(|name| (name, password::generate().unwrap()))
                .collect(),
            own: name(LOGIN),
            replication: name("replicator"),
            nodes: BTreeMap::from([
                ("a", (node("a"), Port::claim(), 1001)),
                ("b", (node("b"), Port::claim(), 2001)),
            ]),
            options: Vec::new(),
            _root: root,
        }
    }

    pub(crate) fn server(&self, name: &str) -> Server {
        let (node, port, _) = &self.nodes[name];
        Server {
            node: node.clone(),
            place: Box::new(Place::shared(port.listen)),
            password: self.own.clone(),
        }
    }

    pub(crate) fn instance(&self, name: &str, closed: bool) -> InstanceSpec {
        let (_, port, id) = &self.nodes[name];
        let mut options = self.options.clone();
        let role: &[&str] = if closed {
            &["read-only=ON", "event-scheduler=OFF", "rpl-semi-sync-slave-enabled=ON"]
        } else {
            &[
                "rpl-semi-sync-master-enabled=ON",
                "rpl-semi-sync-master-timeout=9223372036854775808",
            ]
        };
        options.extend(role.iter().map(|option| (*option).to_owned()));
        blueprint::server(port.listen, *id, &self.replication, &options)
    }

    pub(crate) fn primary(&self) -> Action {
        let (_, port, id) = &self.nodes["a"];
        Action::Primary {
            birth: Box::new(blueprint::birth(&self.own)),
            // Nobody acknowledges yet.
            instance: Box::new(blueprint::server(port.listen, *id, &self.replication, &self.options)),
            server: self.server("a"),
        }
    }

    pub(crate) fn clone_data(&self) -> Action {
        let (source, port, _) = &self.nodes["a"];
        Action::Clone {
            node: self.nodes["b"].0.clone(),
            task: Box::new(blueprint::copy(source, port.listen, &self.own)),
            data: DATA.to_owned(),
        }
    }

    pub(crate) fn join(&self, name: &str, upstream: &str) -> Action {
        Action::Join {
            instance: Box::new(self.instance(name, true)),
            server: self.server(name),
            upstream: self.server(upstream),
            application_name: name.to_owned(),
        }
    }

    pub(crate) fn replication_user(&self, streams: Vec<Stream>, primary: &str) -> Action {
        Action::ReplicationUser {
            user: "cluster.shop.user.replicator".parse().unwrap(),
            attributes: Box::new(User {
                replication: true,
                ..User::default()
            }),
            password: self.replication.clone(),
            server: self.server(primary),
            streams,
        }
    }

    pub(crate) fn verify(&self, primary: &str, standby: &str) -> Action {
        let checked = Checked {
            server: self.server(standby),
            upstream: None,
            delayed: false,
        };
        Action::Verify {
            cluster: "shop".parse().unwrap(),
            primary: self.server(primary),
            standbys: BTreeMap::from([(standby.to_owned(), checked)]),
            synchronous: BTreeSet::from([standby.to_owned()]),
            awaited: 1,
            commit: CommitLevel::On,
        }
    }

    pub(crate) fn configure(&self, name: &str, closed: bool, restart: bool) -> Action {
        Action::Configure {
            instance: Box::new(self.instance(name, closed)),
            server: self.server(name),
            restart,
            in_recovery: closed,
            upstream: None,
        }
    }

    /// Runs a step twice, as a step may be, and returns what came of the second run.
    pub(crate) async fn twice(&self, action: Action) -> Outputs {
        let first = self.effects.mariadb_serves(&action, &self.secrets).await;
        let first = first.unwrap_or_else(|error| panic!("{action:?}: {}", chain(&error)));
        let second = self.effects.mariadb_serves(&action, &self.secrets).await.unwrap();
        assert_eq!(first.identity, second.identity);
        second
    }

    pub(crate) async fn fails(&self, action: Action) -> String {
        chain(&self.effects.mariadb_serves(&action, &self.secrets).await.unwrap_err())
    }

    pub(crate) async fn connect(&self, name: &str) -> Connection {
        let sessions = Sessions::new(self.platform.clone(), &self.secrets);
        Connection::open(&sessions, &self.server(name)).await.unwrap()
    }

    pub(crate) async fn replicating(&self) {
        let made = self.twice(self.primary()).await;
        self.twice(self.replication_user(Vec::new(), "a")).await;
        let copied = self.twice(self.clone_data()).await;
        assert!(made.identity.is_some());
        assert_eq!(made.identity, copied.identity);
        self.twice(self.join("b", "a")).await;
        let mut primary = self.connect("a").await;
        for set in [
            "rpl_semi_sync_master_timeout = 9223372036854775808",
            "rpl_semi_sync_master_enabled = ON",
        ] {
            primary.execute("count", &format!("SET GLOBAL {set}")).await.unwrap();
        }
        assert!(self.twice(self.verify("a", "b")).await.marker.is_some());
    }

    pub(crate) async fn drop(self) {
        for (node, _, _) in self.nodes.values() {
            Platform::drop(&*self.platform, &node.into()).await.unwrap();
        }
    }
}
