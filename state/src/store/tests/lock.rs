//! The lock: who has it, who lost it, and who takes it over.

use super::*;
use crate::extent::Extent;
use crate::journal::RunStatus;

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
    assert!(
        matches!(&late, StoreError::Preempted { by, .. } if **by == *new.owner()),
        "{late}"
    );
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
    assert_eq!(place.open().await.holders().await.unwrap(), [writer.owner().clone()]);
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
    let made = Edit::Network(
        name,
        Network {
            platform: first_platform(),
            subnet: None,
            also_on: std::collections::BTreeSet::new(),
        },
    );
    writer.commit(&[started(0), done(0, vec![made])]).await.unwrap();
    writer.finish(RunEnd::Done).await.unwrap();
    writer.unlock().await.unwrap();
}

#[tokio::test]
async fn of_eight_processes_exactly_one_works_at_a_time() {
    const TEST: &str = "store::tests::lock::of_eight_processes_exactly_one_works_at_a_time";
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
    const TEST: &str = "store::tests::lock::a_killed_process_leaves_a_lock_that_is_taken_over_at_once";
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

fn extent(cluster: &str) -> Extent {
    Extent::of(&cluster.parse().unwrap())
}

async fn lock_for(store: &Store, cluster: &str) -> Writer {
    store
        .lock_for("apply", &extent(cluster), Duration::ZERO, &[])
        .await
        .unwrap()
}

fn network(name: &str) -> Vec<Edit> {
    let network = Network {
        platform: first_platform(),
        subnet: None,
        also_on: std::collections::BTreeSet::new(),
    };
    vec![Edit::Network(name.parse().unwrap(), network)]
}

#[tokio::test]
async fn writers_of_different_clusters_record_side_by_side_and_lose_nothing_of_each_other() {
    let store = Store::in_memory().await.unwrap();
    let (mut one, mut other) = (lock_for(&store, "one").await, lock_for(&store, "other").await);
    let runs = [
        one.begin("apply", &json!({"of": "one"}), 2).await.unwrap(),
        other.begin("apply", &json!({"of": "other"}), 2).await.unwrap(),
    ];
    assert_ne!(runs[0], runs[1]);
    for step in 0..2 {
        for (writer, name) in [(&mut one, "one"), (&mut other, "other")] {
            let made = network(&format!("{name}-{step}"));
            writer.commit(&[started(step), done(step, made)]).await.unwrap();
        }
    }
    assert_eq!(store.snapshot().await.unwrap().unfinished, None, "both go on");
    let works = store.at_work().await.unwrap();
    let told: Vec<_> = works
        .iter()
        .map(|work| {
            (
                work.lease.owner.extent.clone(),
                work.run.as_ref().unwrap().plan["of"].clone(),
            )
        })
        .collect();
    assert_eq!(told, [(extent("one"), json!("one")), (extent("other"), json!("other"))]);
    one.finish(RunEnd::Done).await.unwrap();
    one.unlock().await.unwrap();
    other.finish(RunEnd::Done).await.unwrap();
    other.follow().await.unwrap();
    assert_eq!(other.state().networks.len(), 4);
    other.unlock().await.unwrap();
    let snapshot = store.snapshot().await.unwrap();
    assert_eq!((snapshot.state.networks.len(), snapshot.serial), (4, 8));
    let events = store.events().await.unwrap();
    let of = |run: &RunId| events.iter().filter(|event| event.run.as_ref() == Some(run)).count();
    assert_eq!(
        (events.len(), of(&runs[0]), of(&runs[1])),
        (12, 6, 6),
        "each has its number"
    );
    assert!(
        store
            .runs()
            .await
            .unwrap()
            .iter()
            .all(|run| run.status == RunStatus::Done)
    );
}

#[tokio::test]
async fn a_run_that_died_is_unfinished_though_one_of_another_cluster_began_and_ended_meanwhile() {
    let store = Store::in_memory().await.unwrap();
    let (mut killed, mut other) = (lock_for(&store, "one").await, lock_for(&store, "other").await);
    let run = killed.begin("apply", &json!({}), 1).await.unwrap();
    killed.commit(&[started(0)]).await.unwrap();
    other.begin("apply", &json!({}), 0).await.unwrap();
    let alive = other.record().run_row(&run).await.unwrap().unwrap();
    assert_eq!(alive.status, RunStatus::Running, "it goes on");
    other.finish(RunEnd::Done).await.unwrap();
    other.unlock().await.unwrap();
    store.force_unlock(&killed.owner().id).await.unwrap();
    let unfinished = store.snapshot().await.unwrap().unfinished.unwrap();
    assert_eq!((unfinished.id, unfinished.in_doubt), (run, vec![0]));
}

#[tokio::test]
async fn who_is_taken_over_for_something_more_urgent_learns_by_whom_and_the_others_go_on() {
    let store = Store::in_memory().await.unwrap();
    let (mut apply, mut other) = (lock(&store).await, store.clone());
    apply.begin("apply", &json!({}), 1).await.unwrap();
    apply.cover(&extent("one")).await.unwrap();
    let mut beside = lock_for(&store, "other").await;
    assert!(matches!(
        apply.cover(&Extent::Everything).await,
        Err(LockError::Held { .. })
    ));
    let seen: Vec<_> = store
        .at_work()
        .await
        .unwrap()
        .into_iter()
        .map(|work| work.lease)
        .collect();
    other.lease = Duration::from_secs(3);
    let urgent = other
        .lock_for("failover", &extent("one"), Duration::ZERO, &seen[..1])
        .await;
    let mut urgent = urgent.unwrap();
    apply.losing().await;
    let late = apply.commit(&[started(0)]).await.unwrap_err();
    assert!(
        matches!(&late, StoreError::Preempted { by, .. } if **by == *urgent.owner()),
        "{late}"
    );
    assert!(late.to_string().ends_with("for failover of cluster one"), "{late}");
    urgent.begin("failover", &json!({}), 0).await.unwrap();
    let runs = store.runs().await.unwrap();
    assert_eq!(
        (runs[0].status, runs[1].status),
        (RunStatus::Running, RunStatus::Abandoned)
    );
    urgent.finish(RunEnd::Done).await.unwrap();
    urgent.unlock().await.unwrap();
    beside.begin("apply", &json!({}), 0).await.expect("it is not disturbed");
    beside.finish(RunEnd::Done).await.unwrap();
    let gone = apply.commit(&[started(0)]).await.unwrap_err();
    assert!(
        matches!(gone, StoreError::LockLost { .. }),
        "that cluster is free now: {gone}"
    );
}
