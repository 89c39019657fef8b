//! The record as callers see it, over a real file.

use std::fs;
use std::path::Path;

use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::address::{NodeAddress, UserAddress};
use crate::delta::Edit;
use crate::lsn::SystemIdentifier;
use crate::object::{Cluster, Election, ElectionReason, EngineKind, Network, Origin, ReplicationMode, Term, User};

/// A directory with a place for a record and one for its key.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("project/.simdb/state.db")
    }

    fn keys(&self) -> KeySource {
        KeySource {
            directory: self.0.path().join("home/keys"),
            passphrase: None,
        }
    }

    async fn create(&self) -> Store {
        Store::create(&self.path(), &self.keys()).await.unwrap()
    }

    async fn open(&self) -> Store {
        Store::open(&self.path(), &self.keys()).await.unwrap().unwrap()
    }
}

async fn lock(store: &Store) -> Writer {
    store.lock("apply", Duration::ZERO).await.unwrap()
}

fn node(text: &str) -> NodeAddress {
    text.parse().unwrap()
}

fn password() -> SecretName {
    SecretName::password(&"cluster.orders.user.app".parse::<UserAddress>().unwrap())
}

fn started(step: u32) -> Entry {
    Entry::Started {
        step,
        secrets: Vec::new(),
    }
}

fn with_secret(step: u32, name: SecretName, value: &str) -> Entry {
    Entry::Started {
        step,
        secrets: vec![(name, Sensitive::new(value.to_owned()))],
    }
}

fn done(step: u32, edits: Vec<Edit>) -> Entry {
    Entry::Done {
        step,
        delta: Delta(edits),
        outputs: Outputs {
            system_identifier: Some(SystemIdentifier(7)),
            marker: None,
        },
    }
}

fn cluster() -> Vec<Edit> {
    let cluster = Cluster {
        network: "lan".parse().unwrap(),
        engine: EngineKind::Postgresql,
        version: 15,
        replication: ReplicationMode::Async,
        synchronous_standby_names: String::new(),
        verified: None,
    };
    let election = Election {
        term: Term(1),
        primary: "a".parse().unwrap(),
        pin: None,
        reason: ElectionReason::Birth,
    };
    let user = User {
        login: true,
        replication: false,
        password_version: 1,
    };
    vec![
        Edit::Network("lan".parse().unwrap(), Network::default()),
        Edit::Cluster("orders".parse().unwrap(), cluster),
        Edit::Election("orders".parse().unwrap(), election),
        Edit::User("cluster.orders.user.app".parse().unwrap(), user),
        Edit::Data {
            node: node("cluster.orders.node.a"),
            generation: 1,
            origin: Origin::Initialized,
        },
    ]
}

fn message(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", message(source)),
        None => error.to_string(),
    }
}

#[tokio::test]
async fn opening_makes_nothing() {
    let place = Place::new();
    assert!(Store::open(&place.path(), &place.keys()).await.unwrap().is_none());
    assert_eq!(fs::read_dir(place.0.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_record_keeps_its_lineage_and_starts_empty() {
    let place = Place::new();
    let store = place.create().await;
    assert_eq!(store.lineage().0.len(), 32);
    assert_eq!(place.create().await.lineage(), store.lineage());
    assert_ne!(Place::new().create().await.lineage(), store.lineage());
    let snapshot = store.snapshot().await.unwrap();
    assert_eq!((snapshot.state, snapshot.serial), (State::default(), 0));
    assert_eq!(snapshot.unfinished, None);
}

#[tokio::test]
async fn what_steps_change_is_read_back() {
    let place = Place::new();
    let mut writer = lock(&place.create().await).await;
    writer.begin("apply", &json!({"steps": 2}), 2).await.unwrap();
    writer.commit(&[started(0), started(1)]).await.unwrap();
    writer.commit(&[done(0, cluster())]).await.unwrap();
    let running = vec![Edit::Power(
        node("cluster.orders.node.a"),
        crate::object::Power::Running,
    )];
    writer.commit(&[done(1, running)]).await.unwrap();
    writer.finish(RunEnd::Done).await.unwrap();
    let state = writer.state().clone();
    let data = state.nodes[&node("cluster.orders.node.a")].data.as_ref();
    assert_eq!(data.unwrap().system_identifier, SystemIdentifier(7));
    writer.unlock().await.unwrap();

    let snapshot = place.open().await.snapshot().await.unwrap();
    assert_eq!(snapshot.state, state);
    assert_eq!(snapshot.serial, 5);
    assert_eq!(snapshot.unfinished, None);
}
