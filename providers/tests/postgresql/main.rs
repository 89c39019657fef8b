//! Steps on real servers: what they do, that they can be done twice, and what they say when they fail.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod cluster;
mod differential;
mod ledger;
mod platform;
mod port;

use nix::sys::signal::{Signal, kill};
use simdb_planner::engine::postgresql::instance::{replication_password, superuser_password};
use simdb_planner::observed::{Observation, Observed, ProcessFacts};
use simdb_providers::password;
use simdb_providers::platform::{Platform, StopMode};
use tokio::task::yield_now;
use tokio::time::timeout;

use cluster::{Cluster, LIMIT, node, server};

#[tokio::test(flavor = "multi_thread")]
async fn every_step_may_run_twice_with_the_same_result() {
    let cluster = Cluster::new().await;
    let mut outputs = Vec::new();
    for action in cluster.creation() {
        let first = cluster.run(action.clone()).await.unwrap();
        let second = cluster.run(action).await.unwrap();
        assert_eq!(first.identity, second.identity);
        assert!(first.marker <= second.marker);
        outputs.push(second);
    }
    let [primary, _, _, copy, _, proof] = &outputs[..] else {
        panic!("{outputs:?}");
    };
    assert!(primary.identity.is_some());
    assert_eq!(primary.identity, copy.identity);
    assert!(proof.marker.is_some());
    for action in [
        cluster.start(&cluster.primary, false),
        cluster.start(&cluster.standby, true),
        cluster.endpoint(),
    ] {
        cluster.run(action.clone()).await.unwrap();
        cluster.run(action).await.unwrap();
    }
    let observed = cluster.observe().await;
    assert!(observed.endpoints.values().all(|endpoint| endpoint.seen().is_some()));
    let (there, here) = (server(&observed, &cluster.primary), server(&observed, &cluster.standby));
    assert!(!there.in_recovery && here.in_recovery);
    assert_eq!(Some(&there.system_identifier), primary.identity.as_ref());
    assert_eq!((there.timeline, here.timeline), (1, 1));
    assert_eq!(there.senders["r_0"].state, "streaming");
    assert!(there.slots["r_0"].active);
    assert!(there.users["replicator"].replication && !there.users.contains_key("pg_monitor"));
    assert_eq!(here.receiver.as_ref().unwrap().slot.as_deref(), Some("r_0"));
    assert!(simdb_state::position::Position::from(here.replayed) >= proof.marker.clone().unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_leaves_nothing_and_may_be_done_twice() {
    let cluster = Cluster::replicating().await;
    // The standby streams through the slot until it is dropped: the order that a plan never has, and a slot survives.
    cluster.run(cluster.drop_slot()).await.unwrap();
    cluster.run(cluster.drop_slot()).await.unwrap();
    let observed = cluster.observe().await;
    assert!(server(&observed, &cluster.primary).slots.is_empty());
    for node in [&cluster.standby, &cluster.primary] {
        let action = simdb_planner::plan::Action::DropNode { node: node.clone() };
        cluster.run(action.clone()).await.unwrap();
        cluster.run(action).await.unwrap();
    }
    let observed = cluster.observe().await;
    assert!(observed.nodes.values().all(|node| *node == Observation::Absent));
}

/// Returns whether an error contains all of these.
fn all_of(parts: &[&str]) -> impl Fn(&str) -> bool {
    move |error| parts.iter().all(|part| error.contains(part))
}

#[tokio::test(flavor = "multi_thread")]
async fn verification_tells_that_replay_is_paused() {
    let cluster = Cluster::replicating().await;
    let standby = cluster.client(&cluster.standby).await;
    standby.simple_query("SELECT pg_wal_replay_pause()").await.unwrap();
    let told = ["cluster.orders.node.r[0]: its replay is paused, it has replayed up to"];
    let error = cluster.fails_in_time(cluster.verify_sync(), all_of(&told)).await;
    assert!(
        error.starts_with("verify replication from cluster.orders.node.a within 1s"),
        "{error}"
    );
    standby.simple_query("SELECT pg_wal_replay_resume()").await.unwrap();
    cluster.run(cluster.verify_sync()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn verification_tells_that_a_standby_is_dead() {
    let cluster = Cluster::replicating().await;
    cluster.stop(&cluster.standby, StopMode::Immediate).await;
    let told = [
        "cluster.orders.node.r[0]: connect to cluster.orders.node.r[0] at",
        "Connection refused",
    ];
    cluster.fails_in_time(cluster.verify_sync(), all_of(&told)).await;
    cluster.run(cluster.start(&cluster.standby, true)).await.unwrap();
    cluster.run(cluster.verify_sync()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn verification_carries_what_a_standby_logged_that_cannot_log_in() {
    let cluster = Cluster::replicating().await;
    let primary = cluster.client(&cluster.primary).await;
    for statement in [
        "ALTER ROLE replicator PASSWORD 'by hand'",
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_replication",
    ] {
        primary.simple_query(statement).await.unwrap();
    }
    let told = [
        "no standby streams as \"r_0\"",
        "password authentication failed for user \"replicator\"",
    ];
    cluster.fails_in_time(cluster.verify_sync(), all_of(&told)).await;
    // Where commits wait for it, the marker does too.
    for statement in [
        "ALTER SYSTEM SET synchronous_standby_names = 'r_0'",
        "SELECT pg_reload_conf()",
    ] {
        primary.batch_execute(statement).await.unwrap();
    }
    let told = [
        "commit a marker on cluster.orders.node.a: no answer within 1s\n    cluster.orders.node.r[0]: ",
        "password authentication failed for user \"replicator\"",
    ];
    cluster.fails_in_time(cluster.verify_sync(), all_of(&told)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn verification_tells_that_a_slot_is_missing() {
    let cluster = Cluster::replicating().await;
    cluster.stop(&cluster.standby, StopMode::Fast).await;
    cluster.run(cluster.drop_slot()).await.unwrap();
    cluster.run(cluster.start(&cluster.standby, true)).await.unwrap();
    let told = ["slot \"r_0\" is missing on its upstream"];
    cluster.fails_in_time(cluster.verify_sync(), all_of(&told)).await;
    cluster.run(cluster.slot()).await.unwrap();
    cluster.run(cluster.verify_sync()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn verification_tells_that_a_standby_writes() {
    let cluster = Cluster::replicating().await;
    let standby = cluster.client(&cluster.standby).await;
    standby.simple_query("SELECT pg_promote()").await.unwrap();
    let told = [
        "it writes, and must only replay",
        "it is on timeline 2, and the primary on 1",
    ];
    cluster.fails_in_time(cluster.verify_sync(), all_of(&told)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_without_its_slot_fails_with_the_ends_of_both_logs() {
    let cluster = Cluster::replicating().await;
    cluster.stop(&cluster.standby, StopMode::Fast).await;
    cluster.run(cluster.drop_slot()).await.unwrap();
    let unmet = "no standby streams as \"r_0\", it receives nothing, slot \"r_0\" is missing on its upstream";
    let tells = |log: &str| log.contains("replication slot \"r_0\" does not exist");
    let told = |error: &str| {
        let logs: Vec<&str> = error.split("its log ends:").skip(1).collect();
        error.contains(unmet) && logs.len() == 2 && logs.into_iter().all(tells)
    };
    cluster.fails_in_time(cluster.make_standby(), told).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_ends_while_it_starts_fails_at_once_with_the_end_of_its_log() {
    let mut cluster = Cluster::new().await;
    cluster
        .parameters
        .insert("shared_buffers".to_owned(), "lots".to_owned());
    let error = cluster.fails(cluster.make_primary()).await;
    assert!(
        error.starts_with("start cluster.orders.node.a: its server ended; its log ends:\n"),
        "{error}"
    );
    assert!(
        error.contains("invalid value for parameter \"shared_buffers\": \"lots\""),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_the_wrong_role_is_an_error_at_once() {
    let cluster = Cluster::new().await;
    cluster.run(cluster.make_primary()).await.unwrap();
    let error = cluster.fails(cluster.start(&cluster.primary, true)).await;
    assert_eq!(
        error,
        "start cluster.orders.node.a: its server writes, where one that replays was expected"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn configuring_reloads_or_restarts_as_the_step_says() {
    let mut cluster = Cluster::new().await;
    cluster.run(cluster.make_primary()).await.unwrap();
    let pid = cluster.machine.pid(&cluster.primary).await;
    cluster.parameters.insert("work_mem".to_owned(), "7MB".to_owned());
    cluster.run(cluster.configure(&cluster.primary, false)).await.unwrap();
    assert_eq!(shown(&cluster, "work_mem").await, "7MB");
    assert_eq!(cluster.machine.pid(&cluster.primary).await, pid);
    cluster.parameters.insert("max_connections".to_owned(), "37".to_owned());
    cluster.run(cluster.configure(&cluster.primary, true)).await.unwrap();
    assert_eq!(shown(&cluster, "max_connections").await, "37");
    assert_ne!(cluster.machine.pid(&cluster.primary).await, pid);
    cluster.parameters.insert("work_mem".to_owned(), "much".to_owned());
    let error = cluster.fails(cluster.configure(&cluster.primary, false)).await;
    assert!(
        error.starts_with("configure cluster.orders.node.a: work_mem: "),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_seen_is_unknown_and_the_rest_is_seen() {
    let cluster = Cluster::replicating().await;
    // A stopped process accepts connections and says nothing.
    let pid = cluster.machine.pid(&cluster.standby).await;
    kill(pid, Signal::SIGSTOP).unwrap();
    let stat = format!("/proc/{pid}/stat");
    // A busy machine takes its time to deliver a signal.
    let stopped = async {
        while !std::fs::read_to_string(&stat).unwrap().contains(") T ") {
            yield_now().await;
        }
    };
    timeout(LIMIT, stopped).await.expect("the process is stopped");
    let look = |observed: &Observed, address| observed.nodes[address].seen().and_then(|facts| facts.server.clone());
    let observed = cluster
        .observe_until(&cluster.secrets, |observed| {
            let primary = look(observed, &cluster.primary);
            look(observed, &cluster.standby).is_some() && matches!(primary, Some(Observation::Seen(_)))
        })
        .await;
    kill(pid, Signal::SIGCONT).unwrap();
    let facts = node(&observed, &cluster.standby);
    assert_eq!(
        facts.server,
        Some(Observation::Unknown("did not answer within 2s".to_owned()))
    );
    assert!(matches!(facts.process, ProcessFacts::Frozen { .. }));
    assert!(!server(&observed, &cluster.primary).in_recovery);

    let mut secrets = cluster.secrets.clone();
    secrets.insert(
        superuser_password(&cluster.primary.cluster),
        password::generate().unwrap(),
    );
    let refused = "password authentication failed for user \"postgres\" (SQLSTATE 28P01)";
    let observed = cluster.observe_until(&secrets, |observed| {
        matches!(look(observed, &cluster.primary), Some(Observation::Unknown(reason)) if reason.ends_with(refused))
    }).await;
    let reason = format!("{:?}", look(&observed, &cluster.primary));
    assert!(!reason.contains(secrets[&superuser_password(&cluster.primary.cluster)].expose()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_down_is_known_by_its_control_data() {
    let cluster = Cluster::new().await;
    let made = cluster.run(cluster.make_primary()).await.unwrap();
    cluster.stop(&cluster.primary, StopMode::Fast).await;
    let observed = cluster.observe().await;
    assert_eq!(observed.nodes[&cluster.standby], Observation::Absent);
    let facts = node(&observed, &cluster.primary);
    assert_eq!((&facts.process, &facts.server), (&ProcessFacts::Down, &None));
    assert!(facts.generations.contains(&1) && !facts.partial);
    let control = facts.control.seen().unwrap();
    assert_eq!(control.state, "shut down");
    assert_eq!(Some(&control.system_identifier), made.identity.as_ref());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_slot_is_made_again() {
    let mut cluster = Cluster::new().await;
    cluster
        .parameters
        .insert("max_slot_wal_keep_size".to_owned(), "0".to_owned());
    cluster.run(cluster.make_primary()).await.unwrap();
    cluster.run(cluster.slot()).await.unwrap();
    let primary = cluster.client(&cluster.primary).await;
    for _ in 0..4 {
        primary.batch_execute("CREATE TABLE IF NOT EXISTS t ()").await.unwrap();
        primary
            .batch_execute("SELECT txid_current(), pg_switch_wal()")
            .await
            .unwrap();
    }
    primary.batch_execute("CHECKPOINT").await.unwrap();
    let observed = cluster.observe().await;
    let lost = &server(&observed, &cluster.primary).slots["r_0"];
    assert_eq!(lost.wal_status.as_deref(), Some("lost"));
    cluster.run(cluster.slot()).await.unwrap();
    let observed = cluster.observe().await;
    let made = &server(&observed, &cluster.primary).slots["r_0"];
    assert_eq!(made.wal_status.as_deref(), Some("reserved"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_gets_the_password_and_attributes_of_the_last_step() {
    let mut cluster = Cluster::new().await;
    cluster.parameters.insert("log_statement".to_owned(), "all".to_owned());
    cluster.run(cluster.make_primary()).await.unwrap();
    cluster.run(cluster.replication_user()).await.unwrap();
    let name = replication_password(&cluster.primary.cluster);
    let old = cluster.secrets[&name].clone();
    cluster.client_of(&cluster.primary, "replicator", &old).await.unwrap();
    let new = password::generate().unwrap();
    cluster.secrets.insert(name, new.clone());
    cluster.run(cluster.replication_user()).await.unwrap();
    cluster.client_of(&cluster.primary, "replicator", &new).await.unwrap();
    let refused = cluster.client_of(&cluster.primary, "replicator", &old).await;
    assert_eq!(refused.unwrap_err().code().unwrap().code(), "28P01");
    let log = cluster
        .machine
        .platform
        .log(&(&cluster.primary).into(), 1000)
        .await
        .unwrap()
        .join("\n");
    assert!(log.contains("ALTER ROLE \"replicator\""), "{log}");
    assert!(!log.contains(old.expose()) && !log.contains(new.expose()), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_waits_for_nobody_holds_up_the_proof_and_nothing_else() {
    let cluster = Cluster::replicating().await;
    let primary = cluster.client(&cluster.primary).await;
    // Outside a transaction block each, as ALTER SYSTEM must be.
    primary
        .batch_execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
        .await
        .unwrap();
    primary.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    let changed = async { while shown(&cluster, "synchronous_standby_names").await != "nobody" {} };
    timeout(LIMIT, changed).await.expect("the setting is read");
    cluster.run(cluster.replication_user()).await.unwrap();
    let told = "commit a marker on cluster.orders.node.a: no answer within 1s";
    cluster
        .fails_in_time(cluster.verify_sync(), |error| error == told)
        .await;
    let released = async {
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
        while primary.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) > 0 {}
    };
    timeout(LIMIT, released).await.expect("the commit is given up");
}

async fn shown(cluster: &Cluster, setting: &str) -> String {
    let client = cluster.client(&cluster.primary).await;
    let row = client
        .query_one("SELECT current_setting($1)", &[&setting])
        .await
        .unwrap();
    row.get(0)
}
