//! State in Secrets of a real API server: the contract of backends, and what only happens there.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod kubernetes_state {
    pub(crate) mod place;
}

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use kubernetes_state::place::{Mode, Namespace, Way, said};
use simdb_state::backend::{Backend, BackendError, Expect, Key, Row, Token, Write};
use simdb_state::conformance::{check_backend, check_locks, granted};
use simdb_state::secret::KeySource;
use simdb_state::store::{Store, StoreError};
use simdb_tests::{Chance, Scenario, TestEnvironment, Version, any, wait_until};

/// How often each of two writers writes.
const COMMITS: usize = 1000;

fn put(key: &str, text: &str) -> Write {
    Write::put(Key::new(key), text.into())
}

/// Bytes that do not become smaller.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut chance = Chance::new(seed);
    (0..length).map(|_| u8::try_from(chance.below(256)).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_keep_the_contract_of_backends() {
    let Some(namespace) = Namespace::new("contract") else {
        return;
    };
    let made = AtomicUsize::new(0);
    check_backend(async || {
        namespace
            .made(&format!("rows-{}", made.fetch_add(1, Ordering::Relaxed)))
            .await
    })
    .await;
    let a = namespace.made("lock").await;
    check_locks(a, namespace.opened("lock").await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_that_make_a_state_one_does() {
    let Some(namespace) = Namespace::new("made") else {
        return;
    };
    assert!(namespace.storage("orders").open().await.unwrap().is_none());
    let rows = |text: &str| vec![(Key::new("meta/record"), text.into())];
    assert!(namespace.storage("orders").create(rows("first")).await.unwrap());
    assert!(!namespace.storage("orders").create(rows("second")).await.unwrap());
    let row = namespace
        .opened("orders")
        .await
        .get(&Key::new("meta/record"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!((row.version.0, row.bytes), (0, "first".into()));
}

/// Commits rows of its own, and counts each on a row that both writers count on.
async fn write_often(backend: Arc<dyn Backend>, token: Token, name: &'static str) -> u32 {
    let mut refused = 0;
    for number in 0..COMMITS {
        let own = Write {
            expect: Expect::Absent,
            ..put(&format!("{name}/{number}"), "once")
        };
        loop {
            let count = backend.get(&Key::new("count")).await.unwrap().unwrap();
            let next = String::from_utf8(count.bytes.into()).unwrap().parse::<u64>().unwrap() + 1;
            let counted = Write {
                expect: Expect::Version(count.version),
                ..put("count", &next.to_string())
            };
            match backend.commit(token, vec![own.clone(), counted]).await {
                Ok(_) => break,
                Err(BackendError::Conflict(key)) if key.as_str() == "count" => refused += 1,
                Err(error) => panic!("{}", said(&error)),
            }
        }
    }
    refused
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_writers_at_once_every_commit_is_applied_once() {
    let Some(namespace) = Namespace::new("storm") else {
        return;
    };
    let a = namespace.made("orders").await;
    let b = namespace.opened("orders").await;
    let token = granted(&*a, &[]).await;
    a.commit(token, vec![put("count", "0")]).await.unwrap();
    let began = Instant::now();
    let one = tokio::spawn(write_often(Arc::clone(&a), token, "a"));
    let other = tokio::spawn(write_often(b, token, "b"));
    let refused = one.await.unwrap() + other.await.unwrap();
    println!(
        "2 x {COMMITS} commits took {:?}; {refused} were refused and made again",
        began.elapsed()
    );
    let fresh = namespace.opened("orders").await;
    let count = fresh.get(&Key::new("count")).await.unwrap().unwrap();
    assert_eq!(
        String::from_utf8(count.bytes.into()).unwrap(),
        (2 * COMMITS).to_string()
    );
    assert_eq!(fresh.list(&["a/", "b/"]).await.unwrap().len(), 2 * COMMITS);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_paused_and_taken_over_commits_nothing_more() {
    let Some(namespace) = Namespace::new("paused") else {
        return;
    };
    let paused = namespace.made("orders").await;
    let old = granted(&*paused, &[]).await;
    paused.commit(old, vec![put("a", "old")]).await.unwrap();
    // From here on it does nothing, and knows nothing of what follows.
    let other = namespace.opened("orders").await;
    let lease = other.holders().await.unwrap().remove(0);
    let new = granted(&*other, &[lease]).await;
    assert!(new > old);
    let late = paused.commit(old, vec![put("a", "late")]).await;
    assert!(matches!(late, Err(BackendError::Lost)), "{late:?}");
    assert!(matches!(paused.renew(old).await, Err(BackendError::Lost)));
    let row = other.get(&Key::new("a")).await.unwrap().unwrap();
    assert_eq!(row.bytes, b"old"[..]);
    other.commit(new, vec![put("a", "new")]).await.unwrap();
    let shown = namespace.kubectl(&[
        "get",
        "lease",
        "simdb-state-orders",
        "-o",
        "jsonpath={.spec.holderIdentity}",
    ]);
    assert!(shown.contains("for test of everything (process "), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_chunk_is_named_and_nothing_is_changed() {
    let Some(namespace) = Namespace::new("chunk") else {
        return;
    };
    let backend = namespace.made("orders").await;
    let token = granted(&*backend, &[]).await;
    backend
        .commit(token, vec![Write::put(Key::new("a"), noise(1, 100_000))])
        .await
        .unwrap();
    let chunks = namespace.kubectl(&["get", "secret", "-l", "simdb.dev/part=chunk", "-o", "name"]);
    let chunk = chunks.trim().strip_prefix("secret/").unwrap();
    namespace.kubectl(&["delete", "secret", chunk]);
    let error = namespace.storage("orders").open().await.unwrap_err();
    let text = said(&error);
    for part in [
        chunk,
        "is missing",
        "Nothing was changed",
        "simdb state pull",
        "kubectl -n",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_head_is_no_empty_state() {
    let Some(namespace) = Namespace::new("head") else {
        return;
    };
    let backend = namespace.made("orders").await;
    let token = granted(&*backend, &[]).await;
    backend.commit(token, vec![put("a", "x")]).await.unwrap();
    namespace.kubectl(&["delete", "secret", "simdb-state-orders"]);
    let refused = [
        namespace.storage("orders").open().await.unwrap_err(),
        backend.get(&Key::new("a")).await.unwrap_err(),
        backend.commit(token, vec![put("a", "y")]).await.unwrap_err(),
    ];
    for error in refused {
        let text = said(&error);
        for part in [
            "its head, Secret \"simdb-state-orders\", was deleted",
            "Lease \"simdb-state-orders\"",
            "simdb state push FILE",
        ] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
    }
    // What the message says.
    namespace.kubectl(&["delete", "secret,lease", "-l", "simdb.dev/state=orders"]);
    assert!(namespace.storage("orders").open().await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_is_lost_happens_once() {
    let Some(namespace) = Namespace::new("lost") else {
        return;
    };
    namespace.made("orders").await;
    let way = Way::to(namespace.server()).await;
    let backend = namespace.opened_by(&way, "orders").await;
    let token = granted(&*backend, &[]).await;
    for number in 1..=5_u64 {
        way.set(Mode::LosesAnswer);
        let version = backend
            .commit(token, vec![put("a", &number.to_string())])
            .await
            .unwrap();
        assert_eq!(version.0, number);
    }
    // With chunks, too: one that was written before its answer was lost is written anew, and the former one is left over.
    way.set(Mode::LosesAnswer);
    backend
        .commit(token, vec![Write::put(Key::new("b"), noise(1, 100_000))])
        .await
        .unwrap();
    let row = namespace.opened("orders").await.get(&Key::new("b")).await.unwrap();
    assert_eq!(row.unwrap().bytes, noise(1, 100_000));
    backend.unlock(token).await.unwrap();
    let next = granted(&*backend, &[]).await;
    backend.unlock(next).await.unwrap();
    let chunks = namespace.kubectl(&["get", "secret", "-l", "simdb.dev/part=chunk", "-o", "name"]);
    assert_eq!(
        chunks.lines().count(),
        1,
        "the next holder removed what was left over: {chunks}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_is_away_for_a_while_is_waited_for() {
    let Some(namespace) = Namespace::new("away") else {
        return;
    };
    namespace.made("orders").await;
    let way = Way::to(namespace.server()).await;
    let backend = namespace.opened_by(&way, "orders").await;
    let token = granted(&*backend, &[]).await;
    way.set(Mode::Closed);
    let commit = tokio::spawn({
        let backend = Arc::clone(&backend);
        async move { backend.commit(token, vec![put("a", "x")]).await }
    });
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(!commit.is_finished());
    way.set(Mode::Open);
    assert_eq!(commit.await.unwrap().unwrap().0, 1);
    let row: Row = namespace
        .opened("orders")
        .await
        .get(&Key::new("a"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(row.bytes, b"x"[..]);
    // One that never answered is not waited for.
    let nowhere = namespace.kubeconfig_of("https://127.0.0.1:1");
    let began = Instant::now();
    let error = namespace
        .remote("orders", &nowhere)
        .storage(None)
        .open()
        .await
        .unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(10));
    let text = said(&error);
    assert!(
        text.contains("cannot be reached") && text.contains("kubeconfig = "),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_of_the_namespace_is_said() {
    let Some(namespace) = Namespace::new("rights") else {
        return;
    };
    let mut elsewhere = namespace.remote("orders", &namespace.kubeconfig).storage(None);
    drop(elsewhere.open().await.unwrap());
    let nowhere = Namespace {
        name: "nowhere".to_owned(),
        ..namespace
    };
    elsewhere = nowhere.storage("orders");
    let text = said(&elsewhere.create(Vec::new()).await.unwrap_err());
    assert!(text.contains("kubectl create namespace nowhere"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_outlives_what_it_was_made_of_and_is_only_read() {
    let Some(namespace) = Namespace::new("copy") else {
        return;
    };
    let backend = namespace.made("orders").await;
    let token = granted(&*backend, &[]).await;
    backend
        .commit(token, vec![Write::put(Key::new("a"), noise(1, 50_000))])
        .await
        .unwrap();
    let place = backend.keep_copy("backup-7").await.unwrap().unwrap();
    assert!(place.ends_with("simdb-state-orders.backup-7"), "{place:?}");
    backend
        .commit(token, vec![Write::put(Key::new("a"), noise(2, 50_000))])
        .await
        .unwrap();
    backend.keep_copy("backup-7").await.unwrap();
    backend.keep_copy("backup-8").await.unwrap();
    backend
        .commit(token, vec![Write::put(Key::new("a"), noise(3, 50_000))])
        .await
        .unwrap();
    backend.unlock(token).await.unwrap();
    let copy = namespace.opened("orders.backup-8").await;
    assert_eq!(copy.get(&Key::new("a")).await.unwrap().unwrap().bytes, noise(2, 50_000));
    let owner = simdb_state::conformance::owner("test");
    let text = said(&copy.lock(&owner, &[]).await.unwrap_err());
    assert!(
        text.contains("only read") && text.contains("simdb state push -force FILE"),
        "{text}"
    );
    assert_eq!(
        backend.get(&Key::new("a")).await.unwrap().unwrap().bytes,
        noise(3, 50_000)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn workspaces_have_states_that_are_listed_and_removed() {
    let Some(namespace) = Namespace::new("workspaces") else {
        return;
    };
    let remote = namespace.remote("orders", &namespace.kubeconfig);
    for workspace in [None, Some("staging"), Some("v1.2_X")] {
        assert!(remote.storage(workspace).create(Vec::new()).await.unwrap());
    }
    let mut names = remote.workspaces().await.unwrap();
    names.sort();
    assert_eq!(names, ["staging", "v1.2_X"]);
    let doomed = remote.storage(Some("staging")).open().await.unwrap().unwrap();
    let token = granted(&*doomed, &[]).await;
    doomed
        .commit(token, vec![Write::put(Key::new("a"), noise(1, 100_000))])
        .await
        .unwrap();
    doomed.keep_copy("backup-1").await.unwrap();
    remote.remove("staging").await.unwrap();
    let left = namespace.kubectl(&["get", "secret,lease", "-o", "name"]);
    assert!(!left.contains("staging") && !left.contains("chunk"), "{left}");
    assert_eq!(remote.workspaces().await.unwrap(), ["v1.2_X"]);
}

/// An object as the record holds it, of about 600 bytes.
fn object(number: usize) -> Write {
    let text = format!(
        r#"{{"node":{{"instance":"orders-{number}","data":{{"system":"73{number:017}","timeline":1}},"role":{{"standby":{{"follows":"cluster.c{number}.node.a","slot":"r_{number}"}}}},"place":{{"bind":"127.0.0.1:{number}","peers":{{"host":"127.0.0.1","port":{number}}}}},"settings":{{"max_connections":"50","shared_buffers":"64MB","work_mem":"4MB","wal_level":"replica"}},"files":["{:064x}"]}}}}"#,
        number * 0x9E37_79B9_7F4A
    );
    put(&format!("object/cluster.c{}.node.r[{number}]", number / 10), &text)
}

/// Does something, and says how long it took.
#[expect(clippy::print_stdout, reason = "what was measured is read by people")]
async fn timed<T>(what: &str, work: impl Future<Output = T>) -> T {
    let began = Instant::now();
    let done = work.await;
    println!("{what}: {:?}", began.elapsed());
    done
}

#[tokio::test(flavor = "multi_thread")]
async fn large_rows_and_many_objects_are_kept() {
    let Some(namespace) = Namespace::new("size") else {
        return;
    };
    let backend = namespace.made("orders").await;
    let token = granted(&*backend, &[]).await;
    let plan = noise(1, 900 << 10);
    let write = vec![Write::put(Key::new("run/1/plan"), plan.clone())];
    timed("a row of 900 KiB", backend.commit(token, write)).await.unwrap();
    let all: Vec<Write> = (0..10_000).map(object).collect();
    timed("10 000 objects in one commit", backend.commit(token, all))
        .await
        .unwrap();
    timed("10 000 objects in 500 commits", async {
        for group in (0..10_000).collect::<Vec<_>>().chunks(20) {
            let all = group.iter().map(|number| object(*number));
            backend.commit(token, all.collect()).await.unwrap();
        }
    })
    .await;
    timed("opened and read", async {
        let fresh = namespace.opened("orders").await;
        assert_eq!(fresh.list(&["object/"]).await.unwrap().len(), 10_000);
        assert_eq!(fresh.get(&Key::new("run/1/plan")).await.unwrap().unwrap().bytes, plan);
    })
    .await;
    timed("100 commits of one object", async {
        for number in 0..100 {
            backend.commit(token, vec![object(number)]).await.unwrap();
        }
    })
    .await;
    timed("100 reads of one object", async {
        for number in 0..100 {
            backend.get(&object(number).key).await.unwrap().unwrap();
        }
    })
    .await;
    let chunks = namespace.kubectl(&["get", "secret", "-l", "simdb.dev/part=chunk", "-o", "name"]);
    println!("{} chunks", chunks.lines().count());
    assert!(chunks.lines().count() < 20, "{chunks}");
}

/// Makes a project whose state is in the namespace.
fn project(namespace: &Namespace) -> TestEnvironment {
    TestEnvironment::with_configuration(&format!(
        "simdb {{\n  state \"kubernetes\" {{\n    namespace  = \"{}\"\n    name       = \"orders\"\n    kubeconfig = \"{}\"\n  }}\n}}\n\ncluster \
         \"c\" {{\n  engine \"postgresql\" {{}}\n  node \"a\" {{}}\n  user \"app\" {{ login = true }}\n  database \"app\" {{ owner = \"app\" }}\n}}\n",
        namespace.name,
        namespace.kubeconfig.display()
    ))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_in_kubernetes_is_broken_by_its_id_and_who_held_it_records_nothing_more() {
    let Some(namespace) = Namespace::new("unlock") else {
        return;
    };
    let environment = project(&namespace);
    let keys = KeySource {
        directory: environment.home().join(".config/simdb/keys"),
        passphrase: None,
    };
    let store = Store::create_in(&*namespace.storage("orders"), &keys).await.unwrap();
    let mut holder = store.lock("apply", Duration::ZERO).await.unwrap();
    let refused = environment.run(&["apply", "-auto-approve"]);
    refused.expect_code(4);
    let text = refused.text();
    let (_, rest) = text.split_once("ID: ").unwrap();
    let id = &rest[..16];
    environment.run(&["force-unlock", "-force", id]).expect_code(0);
    let late = holder.begin("apply", &serde_json::json!({}), 1).await;
    assert!(matches!(late, Err(StoreError::LockLost { .. })), "{late:?}");
    environment.run(&["apply", "-auto-approve"]).expect_code(0);
    environment
        .run(&["destroy", "-auto-approve", "-allow=data-loss"])
        .expect_code(0);
    environment.assert_nothing_left();
}

/// Three nodes whose lead passes by itself.
const WATCHED: &str = r#"  replication { mode = "quorum" }
  failover {
    mode     = "automatic"
    cooldown = "1s"
  }
  node "a" {}
  node "b" {}
  node "c" {}
  endpoint "rw" { target = "primary" }
"#;

#[test]
fn a_monitor_whose_state_is_in_kubernetes_is_paused_and_lets_a_standby_take_over() {
    let Some(namespace) = Namespace::new("monitor") else {
        return;
    };
    let settings = format!(
        "simdb {{\n  state \"kubernetes\" {{\n    namespace  = \"{}\"\n    name       = \"orders\"\n    kubeconfig = \"{}\"\n  }}\n}}\n",
        namespace.name,
        namespace.kubeconfig.display()
    );
    let scenario = Scenario::with_settings(&Version::installed(), &settings, WATCHED);
    let load = scenario.load();
    load.further(20);
    let monitor = scenario.monitor("monitor");
    let other = scenario.passive_monitor("other");
    wait_until("the other one knows who decides", || {
        other.events().iter().any(|event| event.contains(" decides"))
    });
    scenario.simdb(&["monitor", "pause", "orders", "-reason", "new disks"]);
    monitor.wait_for("paused", 1);
    let primary = scenario.primary();
    scenario.kill_all(&primary);
    monitor.wait_for("held", 1);
    assert_eq!(monitor.count("decided"), 0, "{:?}", monitor.events());
    scenario.simdb(&["unpause", "orders"]);
    monitor.wait_for("failed-over", 1);
    load.further(20);
    monitor.wait_for("done", 1);
    assert_ne!(scenario.primary(), primary);
    assert!(monitor.stop(), "it ends well");
    // It gave its right to decide up: the other one need not wait for the end of a lease.
    other.wait_for("took-over", 1);
    assert!(other.stop(), "it ends well");
    scenario.assert_settled(any(1));
    load.expect_nothing_lost();
    scenario.destroy();
}

#[test]
fn the_command_line_works_on_a_state_in_kubernetes() {
    let Some(namespace) = Namespace::new("cli") else { return };
    let environment = project(&namespace);
    environment.run(&["plan"]).expect_code(0);
    environment.run(&["apply", "-auto-approve"]).expect_code(0);
    assert!(!environment.project().join(".simdb/state.db").exists());
    let listed = environment.run(&["state", "list"]);
    assert!(listed.stdout.contains("cluster.c.node.a\n"), "{}", listed.stdout);
    environment.run(&["plan", "-detailed-exitcode"]).expect_code(0);
    let none = environment.run(&["force-unlock", "-force", "0123456789abcdef"]);
    assert!(none.text().contains("is not locked"), "{}", none.text());
    // A workspace of its own, whose state is made at once.
    environment.run(&["workspace", "new", "staging"]).expect_code(0);
    assert_eq!(environment.run(&["state", "list"]).stdout, "");
    let workspaces = environment.run(&["workspace", "list"]);
    assert_eq!(workspaces.stdout, "  default\n* staging\n");
    environment.run(&["workspace", "select", "default"]).expect_code(0);
    environment.run(&["workspace", "delete", "staging"]).expect_code(0);
    assert_eq!(environment.run(&["workspace", "list"]).stdout, "* default\n");
    // Out of it, and back.
    let pulled = environment.run(&["state", "pull"]);
    environment.write("pulled.json", &pulled.stdout);
    environment
        .run(&["state", "rm", "cluster.c.database.app"])
        .expect_code(0);
    environment
        .run(&["state", "push", "-force", "pulled.json"])
        .expect_code(0);
    assert!(
        environment
            .run(&["state", "list"])
            .stdout
            .contains("cluster.c.database.app\n")
    );
    let copies = namespace.kubectl(&["get", "secret", "-l", "simdb.dev/part=copy", "-o", "name"]);
    assert_eq!(copies.lines().count(), 2, "{copies}");
    environment
        .run(&["destroy", "-auto-approve", "-allow=data-loss"])
        .expect_code(0);
    environment.assert_nothing_left();
}
