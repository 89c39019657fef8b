//! The record as callers see it, over a real file.

mod formats;
mod keys;
mod lock;
mod relocation;
mod runs;
mod transfer;

use std::fs;
use std::process::{Child, Command, Stdio};

use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::address::{NodeAddress, UserAddress};
use crate::cluster_event::ClusterEvent;
use crate::delta::{Delta, Edit, Outputs};
use crate::identity::DataIdentity;
use crate::journal::EventKind::{RunBegan, RunFailed, StepDone, StepFailed, StepStarted};
use crate::journal::JournalError;
use crate::object::{
    Cluster, Election, ElectionReason, EngineKind, Network, Origin, Output, State, Term, User, first_platform,
};

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

/// Makes a record that holds one secret.
async fn with_password(place: &Place) -> Store {
    let store = place.create().await;
    let mut writer = lock(&store).await;
    let secrets = Secrets::from([(password(), Sensitive::new("x".to_owned()))]);
    writer.keep(&secrets).await.unwrap();
    writer.unlock().await.unwrap();
    store
}

fn started(step: u32) -> Entry {
    starting(step, Vec::new())
}

fn starting(step: u32, edits: Vec<Edit>) -> Entry {
    Entry::Started {
        step,
        delta: Delta(edits),
        secrets: Vec::new(),
    }
}

fn with_secret(step: u32, name: SecretName, value: &str) -> Entry {
    Entry::Started {
        step,
        delta: Delta::default(),
        secrets: vec![(name, Sensitive::new(value.to_owned()))],
    }
}

fn done(step: u32, edits: Vec<Edit>) -> Entry {
    Entry::Done {
        step,
        delta: Delta(edits),
        outputs: Outputs {
            identity: Some(DataIdentity::from(7)),
            ..Outputs::default()
        },
        took: Took {
            kind: "network".to_owned(),
            milliseconds: 40,
        },
    }
}

fn cluster() -> Vec<Edit> {
    let cluster = Cluster::new(first_platform(), "lan".parse().unwrap(), EngineKind::Postgresql, 15);
    let election = Election {
        term: Term(1),
        primary: "a".parse().unwrap(),
        pin: None,
        reason: ElectionReason::Birth,
        chosen: false,
        switch: None,
    };
    let user = User::default();
    vec![
        Edit::Network(
            "lan".parse().unwrap(),
            Network {
                platform: first_platform(),
                subnet: None,
                also_on: std::collections::BTreeSet::new(),
            },
        ),
        Edit::Cluster("orders".parse().unwrap(), Box::new(cluster)),
        Edit::Election("orders".parse().unwrap(), election),
        Edit::User("cluster.orders.user.app".parse().unwrap(), user),
        Edit::Data {
            node: node("cluster.orders.node.a"),
            generation: 1,
            origin: Origin::Initialized,
            outside: None,
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
    assert_eq!(data.unwrap().identity, DataIdentity::from(7));
    writer.unlock().await.unwrap();

    let snapshot = place.open().await.snapshot().await.unwrap();
    assert_eq!(snapshot.state, state);
    assert_eq!(snapshot.serial, 5);
    assert_eq!(snapshot.unfinished, None);
}

#[tokio::test]
async fn a_commit_writes_only_the_rows_it_changes() {
    let mut writer = lock(&Place::new().create().await).await;
    writer.begin("apply", &json!({}), 2).await.unwrap();
    writer.commit(&[started(0), done(0, cluster())]).await.unwrap();
    let before = writer.record().list(&[""]).await.unwrap();
    let stopped = Edit::Power(node("cluster.orders.node.a"), crate::object::Power::Stopped);
    writer.commit(&[started(1), done(1, vec![stopped])]).await.unwrap();
    let after = writer.record().list(&[""]).await.unwrap();
    let written = after.iter().filter(|row| !before.contains(row));
    let keys: Vec<&str> = written.map(|row| row.key.as_str()).collect();
    assert_eq!(
        keys,
        [
            "event/000000000004",
            "event/000000000005",
            "meta/record",
            "object/cluster.orders.node.a",
            "run/00000001/step/000001"
        ]
    );
}

#[tokio::test]
async fn a_refused_commit_changes_neither_rows_nor_memory() {
    let store = Place::new().create().await;
    let mut writer = lock(&store).await;
    writer.begin("apply", &json!({}), 2).await.unwrap();
    let before = writer.record().list(&[""]).await.unwrap();
    let refused = writer
        .commit(&[started(0), done(0, cluster()), done(1, Vec::new())])
        .await;
    assert!(matches!(
        refused,
        Err(StoreError::Journal(JournalError::Step { step: 1, .. }))
    ));
    assert_eq!(*writer.state(), State::default());
    assert_eq!(writer.record().list(&[""]).await.unwrap(), before);
    writer.commit(&[started(0), done(0, cluster())]).await.unwrap();
    assert_eq!(*writer.state(), store.snapshot().await.unwrap().state);
}

#[tokio::test]
async fn secrets_are_read_back_and_never_lie_in_clear() {
    let place = Place::new();
    let store = place.create().await;
    let mut writer = lock(&store).await;
    writer.begin("apply", &json!({}), 1).await.unwrap();
    writer
        .commit(&[with_secret(0, password(), "hunter2-in-clear")])
        .await
        .unwrap();
    let found = writer.secret(&password()).await.unwrap().unwrap();
    assert_eq!(found.expose(), "hunter2-in-clear");
    assert!(writer.secret(&SecretName::output("url")).await.unwrap().is_none());
    let mut files = 0;
    for entry in fs::read_dir(place.path().parent().unwrap()).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(7).any(|part| part == b"hunter2"));
        files += 1;
    }
    assert_eq!(files, 3, "the database, its log and the log's index");
    let all = place.open().await.secrets().await.unwrap();
    assert_eq!(all.len(), 1);
    assert_eq!(all[&password()].expose(), "hunter2-in-clear");
}

#[tokio::test]
async fn a_new_password_is_kept_before_it_is_used_and_the_old_one_goes_once_it_is_recorded() {
    let store = Store::in_memory().await.unwrap();
    let mut writer = lock(&store).await;
    let address: UserAddress = "cluster.orders.user.app".parse().unwrap();
    let version = |version| User {
        password_version: version,
        ..User::default()
    };
    let name = |user: &User| user.password(&address);
    let clear = || Sensitive::new("x".to_owned());
    let other = SecretName::password(&"cluster.orders.user.app2".parse().unwrap());
    let first = Secrets::from([(name(&version(1)), clear()), (other.clone(), clear())]);
    writer.keep(&first).await.unwrap();
    writer.begin("apply", &json!({}), 2).await.unwrap();
    writer
        .keep(&Secrets::from([(name(&version(2)), clear())]))
        .await
        .unwrap();
    assert_eq!(store.secrets().await.unwrap().len(), 3, "a crash here loses neither");
    let rotated = Edit::User(address.clone(), version(2));
    writer.commit(&[started(0), done(0, vec![rotated])]).await.unwrap();
    let left: Vec<SecretName> = store.secrets().await.unwrap().into_keys().collect();
    assert_eq!(left, [name(&version(2)), other]);
}

#[tokio::test]
async fn a_digest_of_a_password_is_another_one_in_another_record() {
    let password = Sensitive::new("hunter2".to_owned());
    let (one, two) = (Store::in_memory().await.unwrap(), Store::in_memory().await.unwrap());
    let digest = one.digest(&password).await.unwrap();
    assert_eq!(one.digest(&password).await.unwrap(), digest);
    assert_ne!(one.digest(&Sensitive::new("hunter3".to_owned())).await.unwrap(), digest);
    assert_ne!(two.digest(&password).await.unwrap(), digest);
}

#[tokio::test]
async fn what_is_dropped_takes_its_secrets_and_its_election_along() {
    let store = Store::in_memory().await.unwrap();
    let mut writer = lock(&store).await;
    writer.begin("destroy", &json!({}), 3).await.unwrap();
    let name = |text: &str| SecretName::password(&text.parse::<UserAddress>().unwrap());
    let secret = |text: &str| (name(text), Sensitive::new("x".to_owned()));
    let secrets = [
        "cluster.orders.user.app",
        "cluster.orders.user.postgres",
        "cluster.orders.user.web",
        "cluster.orders-2.user.app",
    ];
    let first = Entry::Started {
        step: 0,
        delta: Delta::default(),
        secrets: secrets.map(secret).into(),
    };
    writer.commit(&[first, done(0, cluster())]).await.unwrap();
    let left = async || store.secrets().await.unwrap().into_keys().collect::<Vec<_>>();

    let drop_user = Edit::Drop("cluster.orders.user.web".parse().unwrap());
    writer.commit(&[started(1), done(1, vec![drop_user])]).await.unwrap();
    assert_eq!(left().await.len(), 3);
    let drop_cluster = Edit::Drop("cluster.orders".parse().unwrap());
    writer.commit(&[started(2), done(2, vec![drop_cluster])]).await.unwrap();
    assert_eq!(left().await, [name("cluster.orders-2.user.app")]);
    assert!(writer.record().list(&["election/"]).await.unwrap().is_empty());
    assert_eq!(*writer.state(), store.snapshot().await.unwrap().state);
}

type Value = (Output, Option<Sensitive<String>>);

#[tokio::test]
async fn outputs_replace_each_other_and_their_secrets() {
    let store = Store::in_memory().await.unwrap();
    let mut writer = lock(&store).await;
    let plain = |value: u32| (Output::Value(json!(value).into()), None);
    let sealed = |text: Option<&str>| (Output::Sensitive, text.map(|text| Sensitive::new(text.to_owned())));
    let url = SecretName::output("url");
    let entry = |values: Vec<(&str, Value)>| {
        let named = values.into_iter().map(|(name, value)| (name.to_owned(), value));
        [Entry::Outputs(named.collect())]
    };
    writer
        .commit(&entry(vec![("port", plain(1)), ("url", sealed(Some("\"x\"")))]))
        .await
        .unwrap();
    assert_eq!(store.secret(&url).await.unwrap().unwrap().expose(), "\"x\"");
    writer.commit(&entry(vec![("url", sealed(None))])).await.unwrap();
    assert!(store.secret(&url).await.unwrap().is_some(), "it keeps the text it has");
    assert_eq!(*writer.state(), store.snapshot().await.unwrap().state);
    assert_eq!(writer.state().outputs.len(), 1);
    writer.commit(&entry(vec![("url", plain(2))])).await.unwrap();
    assert!(store.secret(&url).await.unwrap().is_none());
    writer.commit(&entry(Vec::new())).await.unwrap();
    assert_eq!(store.snapshot().await.unwrap().state, State::default());
}

#[tokio::test]
async fn a_file_that_is_something_else_is_named_with_a_way_out() {
    let place = Place::new();
    fs::create_dir_all(place.path().parent().unwrap()).unwrap();
    fs::write(place.path(), "not a database".repeat(100)).unwrap();
    let opened = Store::create(&place.path(), &place.keys()).await.unwrap_err();
    assert!(
        message(&opened).contains("it is no SQLite file"),
        "{}",
        message(&opened)
    );
    assert!(opened.hint().unwrap().contains("move the file away"));
    assert!(!place.keys().directory.exists(), "no key for a record that is none");
}
