//! The record as callers see it, over a real file.

use std::fs;
use std::process::{Child, Command, Stdio};

use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::address::{NodeAddress, UserAddress};
use crate::delta::Edit;
use crate::journal::EventKind::{RunBegan, RunFailed, StepDone, StepFailed, StepStarted};
use crate::lsn::SystemIdentifier;
use crate::object::{Cluster, Election, ElectionReason, EngineKind, Network, Origin, Term, User};

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
            system_identifier: Some(SystemIdentifier(7)),
            ..Outputs::default()
        },
    }
}

fn cluster() -> Vec<Edit> {
    let cluster = Cluster::new("lan".parse().unwrap(), EngineKind::Postgresql, 15);
    let election = Election {
        term: Term(1),
        primary: "a".parse().unwrap(),
        pin: None,
        reason: ElectionReason::Birth,
        switch: None,
    };
    let user = User::default();
    vec![
        Edit::Network("lan".parse().unwrap(), Network::default()),
        Edit::Cluster("orders".parse().unwrap(), Box::new(cluster)),
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
async fn steps_and_ends_need_a_run() {
    let mut writer = lock(&Store::in_memory().await.unwrap()).await;
    let no_run = |result| matches!(result, Err(StoreError::Journal(JournalError::NoRun)));
    assert!(no_run(writer.commit(&[started(0)]).await));
    assert!(no_run(writer.finish(RunEnd::Done).await));
    let id = writer.begin("apply", &json!({}), 1).await.unwrap();
    let second = writer.begin("apply", &json!({}), 1).await;
    assert!(matches!(second, Err(StoreError::Journal(JournalError::Running(running))) if running == id));
    let early = writer.finish(RunEnd::Done).await;
    assert!(matches!(early, Err(StoreError::Journal(JournalError::NotDone { .. }))));
}

#[tokio::test]
async fn every_event_is_kept_in_order() {
    let store = Store::in_memory().await.unwrap();
    let mut writer = lock(&store).await;
    let run = writer.begin("apply", &json!({}), 2).await.unwrap();
    writer.commit(&[started(0), started(1)]).await.unwrap();
    let failed = Entry::Failed {
        step: 1,
        cause: "no space left".to_owned(),
    };
    writer.commit(&[done(0, cluster()), failed]).await.unwrap();
    writer.finish(RunEnd::Failed).await.unwrap();
    let events = store.events().await.unwrap();
    assert!(
        events
            .iter()
            .all(|event| event.run.as_ref() == Some(&run) && event.at.ends_with('Z'))
    );
    let told: Vec<_> = events.iter().map(|event| (event.kind, event.step)).collect();
    assert_eq!(
        told,
        [
            (RunBegan, None),
            (StepStarted, Some(0)),
            (StepStarted, Some(1)),
            (StepDone, Some(0)),
            (StepFailed, Some(1)),
            (RunFailed, None)
        ]
    );
    assert_eq!(events[3].addresses.len(), 4, "the election is the cluster's");
}

#[tokio::test]
async fn what_is_noticed_outside_of_a_run_is_kept_and_changes_nothing_else() {
    let store = Store::in_memory().await.unwrap();
    let mut writer = lock(&store).await;
    let before = writer.state().clone();
    let cluster = crate::address::Address::Cluster("orders".parse().unwrap());
    let noticed = Happening::new(crate::journal::EventKind::SplitBrain, cluster.clone());
    writer.commit(&[Entry::Noticed(vec![noticed])]).await.unwrap();
    assert_eq!(writer.state(), &before);
    let event = store.events().await.unwrap().remove(0);
    assert_eq!(
        (event.kind.name(), event.run, event.addresses),
        ("split_brain", None, vec![cluster])
    );
}

#[tokio::test]
async fn a_killed_run_is_unfinished_until_the_next_one_begins() {
    let store = Store::in_memory().await.unwrap();
    let mut killed = lock(&store).await;
    let plan = json!({"steps": ["network", "primary"]});
    let id = killed.begin("apply", &plan, 3).await.unwrap();
    killed.commit(&[started(0), started(1), started(2)]).await.unwrap();
    let failed = Entry::Failed {
        step: 1,
        cause: "no space left".to_owned(),
    };
    killed.commit(&[done(0, cluster()), failed]).await.unwrap();
    assert_eq!(store.snapshot().await.unwrap().unfinished, None, "it goes on");

    store.force_unlock(&killed.owner().id.clone()).await.unwrap();
    drop(killed);
    let expected = UnfinishedRun {
        id,
        operation: "apply".to_owned(),
        plan,
        in_doubt: vec![2],
    };
    assert_eq!(store.snapshot().await.unwrap().unfinished, Some(expected.clone()));
    let mut next = lock(&store).await;
    assert_eq!(next.snapshot().unfinished, Some(expected));
    next.begin("apply", &json!({}), 0).await.unwrap();
    assert_eq!(next.snapshot().unfinished, None);
    let abandoned = next.record().run_row(&RunId("00000001".to_owned())).await.unwrap();
    assert_eq!(abandoned.unwrap().status, crate::journal::RunStatus::Abandoned);
    next.finish(RunEnd::Done).await.unwrap();
    assert_eq!(store.snapshot().await.unwrap().unfinished, None);
}

#[tokio::test]
async fn a_run_that_ended_early_is_unfinished_only_with_steps_in_doubt() {
    let store = Store::in_memory().await.unwrap();
    let mut writer = lock(&store).await;
    for end in [RunEnd::Failed, RunEnd::Cancelled] {
        writer.begin("apply", &json!({}), 2).await.unwrap();
        writer.finish(end).await.unwrap();
        assert_eq!(store.snapshot().await.unwrap().unfinished, None);
        writer.begin("apply", &json!({}), 2).await.unwrap();
        writer.commit(&[started(1)]).await.unwrap();
        writer.finish(end).await.unwrap();
        assert_eq!(store.snapshot().await.unwrap().unfinished.unwrap().in_doubt, [1]);
    }
}

#[tokio::test]
async fn the_last_twenty_runs_are_kept() {
    let mut writer = lock(&Store::in_memory().await.unwrap()).await;
    for _ in 0..22 {
        writer.begin("apply", &json!({}), 1).await.unwrap();
        writer.commit(&[started(0), done(0, Vec::new())]).await.unwrap();
        writer.finish(RunEnd::Done).await.unwrap();
    }
    let rows = writer.record().list(&["run/"]).await.unwrap();
    assert_eq!(rows.len(), 20 * 3, "each with its plan and its step");
    assert_eq!(rows[0].key.as_str(), "run/00000003");
}

#[tokio::test]
async fn names_that_a_primary_may_have_are_kept_from_the_start_of_their_step_to_its_end() {
    let place = Place::new();
    let store = place.create().await;
    let mut writer = lock(&store).await;
    writer.begin("apply", &json!({}), 4).await.unwrap();
    writer.commit(&[started(0), done(0, cluster())]).await.unwrap();
    let names = |names: &str| {
        vec![Edit::SynchronousStandbyNames(
            "orders".parse().unwrap(),
            names.to_owned(),
        )]
    };
    let (one, both) = ("ANY 1 (r_0)", "ANY 1 (r_0, r_1)");
    writer.commit(&[starting(1, names(both))]).await.unwrap();
    let recorded = async || {
        let state = place.open().await.snapshot().await.unwrap().state;
        let cluster = state.clusters.into_values().next().unwrap();
        let pending: Vec<String> = cluster
            .pending_standby_names
            .into_iter()
            .map(|pending| format!("{}: {}", pending.node, pending.names))
            .collect();
        (cluster.synchronous_standby_names, pending.join(" "))
    };
    assert_eq!(recorded().await, (String::new(), format!("a: {both}")));
    let failed = Entry::Failed {
        step: 1,
        cause: "no answer".to_owned(),
    };
    writer.commit(&[failed, starting(2, names(one))]).await.unwrap();
    assert_eq!(recorded().await, (String::new(), format!("a: {one} a: {both}")));
    writer.commit(&[done(2, names(one))]).await.unwrap();
    assert_eq!(recorded().await, (one.to_owned(), String::new()));
    // Whoever succeeds may have standbys that lack what these acknowledged.
    let succession = || {
        vec![Edit::Succession {
            node: node("cluster.orders.node.a"),
            former: "b".parse().unwrap(),
            names: both.to_owned(),
        }]
    };
    writer.commit(&[starting(3, succession())]).await.unwrap();
    assert_eq!(recorded().await, (one.to_owned(), format!("a: {both}")));
    writer.commit(&[done(3, succession())]).await.unwrap();
    assert_eq!(recorded().await, (both.to_owned(), format!("b: {one}")));
    assert_eq!(writer.state(), &place.open().await.snapshot().await.unwrap().state);
}

#[tokio::test]
async fn who_lost_the_lock_commits_nothing_more() {
    let store = Store::in_memory().await.unwrap();
    let mut old = lock(&store).await;
    old.begin("apply", &json!({}), 1).await.unwrap();
    let wrong = store.force_unlock("another").await;
    assert!(matches!(wrong, Err(LockError::Held { .. })));
    store.force_unlock(&old.owner().id.clone()).await.unwrap();
    let mut new = lock(&store).await;
    let late = old.commit(&[started(0)]).await.unwrap_err();
    assert!(matches!(late, StoreError::LockLost { .. }));
    assert!(late.hint().unwrap().contains("plan again"));
    assert!(matches!(old.unlock().await, Err(StoreError::LockLost { .. })));
    new.begin("destroy", &json!({}), 0)
        .await
        .expect("the new writer is not disturbed");
    new.unlock().await.unwrap();
    let free = store.force_unlock("another").await;
    assert!(matches!(free, Err(LockError::NotHeld { .. })));
}

#[tokio::test]
async fn a_lock_that_is_held_says_by_whom_since_when_and_for_what() {
    let place = Place::new();
    let writer = lock(&place.create().await).await;
    let error = place.open().await.lock("destroy", Duration::ZERO).await.unwrap_err();
    let LockError::Held { path, owner } = &error else {
        panic!("{error}")
    };
    assert_eq!((path, &**owner), (&place.path(), writer.owner()));
    assert_eq!(owner.operation, "apply");
    assert!(owner.who.contains('@') && owner.since.ends_with('Z'));
    assert!(error.hint().unwrap().contains(&format!("force-unlock {}", owner.id)));
    assert_eq!(
        place.open().await.holder().await.unwrap().as_ref(),
        Some(writer.owner())
    );
}

#[tokio::test]
async fn a_writer_takes_its_heartbeat_along() {
    let mut store = Store::in_memory().await.unwrap();
    // So long that no beat comes while this waits: a heartbeat would notice by itself that the lock is gone.
    store.lease = Duration::from_hours(1);
    let users = || Arc::strong_count(&store.record.backend);
    for orderly in [true, false] {
        let writer = lock(&store).await;
        let id = writer.owner().id.clone();
        assert_eq!(users(), 2, "the record and the heartbeat");
        if orderly {
            writer.unlock().await.unwrap();
        } else {
            drop(writer);
            store.force_unlock(&id).await.expect("a dropped writer leaves its lock");
        }
        let deadline = std::time::Instant::now() + Duration::from_mins(2);
        while users() > 1 {
            assert!(std::time::Instant::now() < deadline, "the heartbeat goes on");
            tokio::task::yield_now().await;
        }
    }
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
async fn without_its_key_a_record_is_read_but_no_secret_is() {
    let place = Place::new();
    let mut writer = lock(&place.create().await).await;
    writer.begin("apply", &json!({}), 2).await.unwrap();
    writer.commit(&[with_secret(0, password(), "x")]).await.unwrap();
    writer.commit(&[done(0, cluster())]).await.unwrap();
    fs::remove_dir_all(place.keys().directory).unwrap();

    let store = place.open().await;
    assert_eq!(store.snapshot().await.unwrap().state, *writer.state());
    let error = store.secret(&password()).await.unwrap_err();
    assert!(message(&error).contains("is missing"), "{}", message(&error));
    assert!(error.hint().unwrap().contains("Copy it from that machine"));

    drop(writer);
    store
        .force_unlock(&store.holder().await.unwrap().unwrap().id)
        .await
        .unwrap();
    let mut writer = lock(&store).await;
    writer.begin("apply", &json!({}), 1).await.unwrap();
    let refused = writer.commit(&[with_secret(0, password(), "y")]).await;
    assert!(matches!(refused, Err(StoreError::Secret { .. })));
    writer
        .commit(&[started(0)])
        .await
        .expect("what needs no secret goes on");
}

#[tokio::test]
async fn a_passphrase_takes_the_place_of_the_key_file() {
    let place = Place::new();
    let keys = |text: Option<&str>| KeySource {
        passphrase: text.map(|text| Sensitive::new(text.to_owned())),
        ..place.keys()
    };
    let store = Store::create(&place.path(), &keys(Some("correct horse")))
        .await
        .unwrap();
    let mut writer = lock(&store).await;
    writer.begin("apply", &json!({}), 1).await.unwrap();
    writer.commit(&[with_secret(0, password(), "x")]).await.unwrap();
    assert!(!place.keys().directory.exists());
    for (given, expected) in [(None, "none was given"), (Some("wrong"), "is not the one")] {
        let store = Store::open(&place.path(), &keys(given)).await.unwrap().unwrap();
        let error = store.secrets().await.unwrap_err();
        assert!(message(&error).contains(expected), "{}", message(&error));
    }
}

/// Returns the file of the record's key, and what it holds.
fn key_file(place: &Place, store: &Store, extension: &str) -> (PathBuf, Option<String>) {
    let path = place.keys().file(store.lineage()).with_extension(extension);
    let text = fs::read_to_string(&path).ok();
    (path, text)
}

#[tokio::test]
async fn another_key_opens_what_the_former_one_sealed_and_the_former_one_opens_backups() {
    let place = Place::new();
    let store = place.create().await;
    let mut writer = lock(&store).await;
    let given = Sensitive::new("hunter2".to_owned());
    let address: UserAddress = "cluster.orders.user.app".parse().unwrap();
    let user = |digest: String| User {
        password_digest: Some(digest),
        ..User::default()
    };
    let before = user(store.digest(&given).await.unwrap());
    writer.begin("apply", &json!({}), 1).await.unwrap();
    let password = with_secret(0, before.password(&address), "hunter2");
    let output = Entry::Outputs([("url".to_owned(), (Output::Sensitive, Some(given.clone())))].into());
    let mut edits = cluster();
    edits.retain(|edit| !matches!(edit, Edit::User(..)));
    edits.push(Edit::User(address.clone(), before.clone()));
    writer.commit(&[password]).await.unwrap();
    writer.commit(&[done(0, edits), output]).await.unwrap();
    writer.finish(RunEnd::Done).await.unwrap();
    writer.unlock().await.unwrap();
    let (_, first) = key_file(&place, &store, "");
    let secrets = store.secrets().await.unwrap();
    let backup = fs::read(place.path()).unwrap();
    let log = fs::read(place.path().with_extension("db-wal")).unwrap();

    lock(&store).await.rekey(&place.keys()).await.unwrap();
    assert_ne!(key_file(&place, &store, "").1, first);
    assert_eq!(key_file(&place, &store, "old").1, first);
    assert_eq!(key_file(&place, &store, "new").1, None);
    let opened = place.open().await;
    let after = user(opened.digest(&given).await.unwrap());
    assert_ne!(before, after);
    assert_eq!(opened.snapshot().await.unwrap().state.users[&address], after);
    let mut renamed = secrets.clone();
    let password = renamed.remove(&before.password(&address)).unwrap();
    renamed.insert(after.password(&address), password);
    assert_eq!(opened.secrets().await.unwrap(), renamed);

    // Whoever has the former key in memory neither writes with it nor takes the record for damaged.
    for error in [
        store.secrets().await.unwrap_err(),
        match store.lock("apply", Duration::ZERO).await.unwrap_err() {
            LockError::Store(error) => error,
            other => panic!("{other}"),
        },
    ] {
        assert!(message(&error).contains("was changed meanwhile"), "{}", message(&error));
    }
    // Elsewhere, as a connection that is being closed still writes here.
    let restored = place.0.path().join("restored/state.db");
    fs::create_dir(restored.parent().unwrap()).unwrap();
    fs::write(&restored, backup).unwrap();
    fs::write(restored.with_extension("db-wal"), log).unwrap();
    let restored = Store::open(&restored, &place.keys()).await.unwrap().unwrap();
    assert_eq!(restored.secrets().await.unwrap(), secrets);
}

#[tokio::test]
async fn a_key_file_and_a_passphrase_take_each_others_place() {
    let place = Place::new();
    let keys = |text: Option<&str>| KeySource {
        passphrase: text.map(|text| Sensitive::new(text.to_owned())),
        ..place.keys()
    };
    with_password(&place).await;
    let mut current = None;
    for next in [Some("correct horse"), Some("battery staple"), None, None] {
        let store = Store::open(&place.path(), &keys(current)).await.unwrap().unwrap();
        lock(&store).await.rekey(&keys(next)).await.unwrap();
        assert_eq!(key_file(&place, &store, "").1.is_some(), next.is_none());
        let store = Store::open(&place.path(), &keys(next)).await.unwrap().unwrap();
        assert_eq!(store.secret(&password()).await.unwrap().unwrap().expose(), "x");
        if current != next {
            let store = Store::open(&place.path(), &keys(current)).await.unwrap().unwrap();
            // A key file is found whether a passphrase is given or not.
            assert_eq!(store.secret(&password()).await.is_ok(), next.is_none());
        }
        current = next;
    }
}

#[tokio::test]
async fn a_change_of_the_key_that_is_cut_off_leaves_one_that_opens() {
    let place = Place::new();
    let store = with_password(&place).await;
    let opens = async || place.open().await.secret(&password()).await.unwrap().unwrap().expose() == "x";
    // Before the commit: there is a new key that nothing is sealed by.
    let (path, first) = key_file(&place, &store, "");
    let (next, _) = key_file(&place, &store, "new");
    fs::write(&next, "00".repeat(32)).unwrap();
    assert!(opens().await);
    // After the commit, and before or within putting it in place.
    lock(&store).await.rekey(&place.keys()).await.unwrap();
    fs::rename(&path, &next).unwrap();
    assert!(opens().await);
    fs::rename(path.with_extension("old"), &path).unwrap();
    assert_eq!(key_file(&place, &store, "").1, first);
    assert!(opens().await);
    lock(&place.open().await).await.rekey(&place.keys()).await.unwrap();
    assert!(opens().await);
    assert_eq!(key_file(&place, &store, "new").1, None);
}

#[tokio::test]
async fn without_its_key_a_record_gets_no_other_one() {
    let place = Place::new();
    with_password(&place).await;
    fs::remove_dir_all(place.keys().directory).unwrap();
    let store = place.open().await;
    let error = lock(&store).await.rekey(&place.keys()).await.unwrap_err();
    assert!(message(&error).contains("is missing"), "{}", message(&error));
    assert!(!place.keys().directory.exists());
    assert!(store.holder().await.unwrap().is_none());
}

#[tokio::test]
async fn a_grant_ends_with_the_lock() {
    let store = Store::in_memory().await.unwrap();
    let writer = lock(&store).await;
    let grant = writer.grant();
    grant.check().await.unwrap();
    store.force_unlock(&writer.owner().id).await.unwrap();
    for later in [None, Some(lock(&store).await)] {
        if let Some(later) = later {
            later.grant().check().await.unwrap();
            assert!(grant.token() < later.grant().token());
        }
        assert!(matches!(grant.check().await, Err(StoreError::LockLost { .. })));
    }
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
    let plain = |value: u32| (Output::Value(json!(value)), None);
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

/// Tells a copy of this test program what to do, and where.
const CHILD: &str = "SIMDB_STATE_TEST_CHILD";

fn child(test: &str, place: &Place) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", test, "--nocapture"])
        .env(CHILD, place.0.path());
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// Returns the place a parent test made, if this process is its child.
fn place_of_parent() -> Option<(PathBuf, KeySource)> {
    let root = PathBuf::from(std::env::var_os(CHILD)?);
    let keys = KeySource {
        directory: root.join("home/keys"),
        passphrase: None,
    };
    Some((root.join("project/.simdb/state.db"), keys))
}

/// Adds one network, named for how many there are.
async fn add_network(store: &Store) {
    let mut writer = store.lock("apply", Duration::from_mins(2)).await.unwrap();
    let name = format!("n-{}", writer.state().networks.len()).parse().unwrap();
    writer.begin("apply", &json!({}), 1).await.unwrap();
    let made = Edit::Network(name, Network::default());
    writer.commit(&[started(0), done(0, vec![made])]).await.unwrap();
    writer.finish(RunEnd::Done).await.unwrap();
    writer.unlock().await.unwrap();
}

#[tokio::test]
async fn of_eight_processes_exactly_one_works_at_a_time() {
    const TEST: &str = "store::tests::of_eight_processes_exactly_one_works_at_a_time";
    if let Some((path, keys)) = place_of_parent() {
        // Nobody has made the record yet: they race for that, too.
        return add_network(&Store::create(&path, &keys).await.unwrap()).await;
    }
    let place = Place::new();
    let children: Vec<_> = (0..8).map(|_| child(TEST, &place)).collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let snapshot = place.open().await.snapshot().await.unwrap();
    assert_eq!(snapshot.state.networks.len(), 8);
    assert_eq!(snapshot.serial, 8 * 3);
    assert_eq!(
        fs::read_dir(place.keys().directory).unwrap().count(),
        1,
        "one record, one key"
    );
}

#[tokio::test]
async fn a_killed_process_leaves_a_lock_that_is_taken_over_at_once() {
    const TEST: &str = "store::tests::a_killed_process_leaves_a_lock_that_is_taken_over_at_once";
    if let Some((path, keys)) = place_of_parent() {
        let store = Store::create(&path, &keys).await.unwrap();
        let mut writer = lock(&store).await;
        writer.begin("apply", &json!({"left": true}), 1).await.unwrap();
        writer.commit(&[started(0)]).await.unwrap();
        fs::write(path.with_extension("ready"), "").unwrap();
        return std::future::pending().await;
    }
    let place = Place::new();
    let mut child = child(TEST, &place);
    let deadline = std::time::Instant::now() + Duration::from_mins(2);
    while !place.path().with_extension("ready").exists() {
        assert!(std::time::Instant::now() < deadline && child.try_wait().unwrap().is_none());
        tokio::task::yield_now().await;
    }
    let store = place.open().await;
    assert!(matches!(
        store.lock("plan", Duration::ZERO).await,
        Err(LockError::Held { .. })
    ));
    assert_eq!(store.snapshot().await.unwrap().unfinished, None, "it goes on");
    child.kill().unwrap();
    child.wait().unwrap();
    let unfinished = store.snapshot().await.unwrap().unfinished;
    assert!(unfinished.is_some(), "it is seen before anybody takes the lock");
    let writer = lock(&store).await;
    assert_eq!(writer.snapshot().unfinished, unfinished);
    let unfinished = writer.snapshot().unfinished.clone().unwrap();
    assert_eq!((unfinished.plan, unfinished.in_doubt), (json!({"left": true}), vec![0]));
}
