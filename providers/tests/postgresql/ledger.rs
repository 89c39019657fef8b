//! A ledger on real servers: each row has the fate that the server gave it, whatever happens meanwhile.

use std::time::Duration;

use simdb_planner::engine::postgresql::instance::{SUPERUSER, superuser_password};
use simdb_providers::engine::postgresql::ledger::{Ledger, LedgerError, Load, Report, Target, Written};
use simdb_providers::platform::StopMode;
use simdb_state::address::NodeAddress;
use tokio::time::timeout;
use tokio_postgres::Client;

use crate::cluster::Cluster;

const LIMIT: Duration = Duration::from_mins(1);

/// Few clients that rest: what is tested is the account, not the machine.
const LOAD: Load = Load {
    clients: 2,
    pause: Duration::from_millis(2),
    answer_limit: Duration::from_secs(30),
};

fn target(cluster: &Cluster) -> Target {
    Target {
        hosts: vec![
            cluster.server(&cluster.primary).place.peers,
            cluster.server(&cluster.standby).place.peers,
        ],
        user: SUPERUSER.to_owned(),
        password: cluster.secrets[&superuser_password(&cluster.primary.cluster)].clone(),
        database: "postgres".to_owned(),
    }
}

async fn further(ledger: &Ledger, rows: u64) {
    timeout(LIMIT, ledger.further(rows))
        .await
        .expect("rows are acknowledged");
}

async fn check(written: &Written, cluster: &Cluster, nodes: &[&NodeAddress]) -> Report {
    let servers: Vec<_> = nodes.iter().map(|node| cluster.server(node)).collect();
    written.check(&servers, &cluster.sessions(), LIMIT).await.unwrap()
}

/// Asks until the answer is the one that is waited for.
async fn wait_for(client: &Client, question: &str, expected: &str) {
    let answered = async { while ask(client, question).await != expected {} };
    let waited = timeout(LIMIT, answered).await;
    waited.unwrap_or_else(|_| panic!("{question} is not {expected}"));
}

async fn ask(client: &Client, question: &str) -> String {
    let row = client.query_one(&format!("SELECT ({question})::text"), &[]).await;
    row.unwrap().get(0)
}

async fn set_sync_names(client: &Client, names: &str) {
    // Outside a transaction block each, as ALTER SYSTEM must be.
    let set = format!("ALTER SYSTEM SET synchronous_standby_names = '{names}'");
    client.batch_execute(&set).await.unwrap();
    client.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    wait_for(client, "current_setting('synchronous_standby_names')", names).await;
}

async fn table(client: &Client) -> String {
    let tables = "SELECT relname FROM pg_class WHERE relnamespace = 'simdb_ledger'::regnamespace AND relkind = 'r'";
    ask(client, tables).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_acknowledged_row_is_on_every_node_and_nothing_is_left_behind() {
    let cluster = Cluster::replicating().await;
    let client = cluster.client(&cluster.primary).await;
    // What a ledger that was killed would have left.
    client
        .batch_execute("CREATE SCHEMA simdb_ledger; CREATE TABLE simdb_ledger.run_left ()")
        .await
        .unwrap();
    let ledger = Ledger::start(target(&cluster), LOAD).await.unwrap();
    further(&ledger, 50).await;
    assert_ne!(table(&client).await, "run_left");
    assert!(ledger.acknowledged() >= 50);
    let written = ledger.stop().await;
    let report = check(&written, &cluster, &[&cluster.primary, &cluster.standby]).await;
    assert!(report.nothing_is_lost(), "{report:?}");
    assert_eq!((report.tally.unknown, report.tally.failed), (0, 0));
    assert_eq!((report.nodes.len(), &report.primary), (2, &cluster.primary));
    for found in report.nodes.values() {
        assert_eq!(found.as_ref().unwrap().rows, report.tally.acknowledged);
    }
    written.remove().await.unwrap();
    assert_eq!(ask(&client, "to_regnamespace('simdb_ledger') IS NULL").await, "true");
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_go_on_where_the_primary_goes() {
    let cluster = Cluster::replicating().await;
    let client = cluster.client(&cluster.primary).await;
    set_sync_names(&client, "r_0").await;
    let ledger = Ledger::start(target(&cluster), LOAD).await.unwrap();
    further(&ledger, 50).await;
    cluster.stop(&cluster.primary, StopMode::Immediate).await;
    let standby = cluster.client(&cluster.standby).await;
    standby.simple_query("SELECT pg_promote()").await.unwrap();
    further(&ledger, 50).await;
    let written = ledger.stop().await;
    let report = check(&written, &cluster, &[&cluster.standby]).await;
    assert!(report.nothing_is_lost(), "{report:?}");
    assert_eq!(report.primary, cluster.standby);
    assert_eq!(report.tally.failed, 0);
    // Each client had at most one write under way.
    assert!(report.tally.unknown <= u64::from(LOAD.clients), "{report:?}");
    assert!(report.longest_gap.unwrap() > Duration::from_millis(1));
    let both = [cluster.server(&cluster.primary), cluster.server(&cluster.standby)];
    let dead = written.check(&both, &cluster.sessions(), Duration::from_secs(1)).await;
    let dead = dead.unwrap();
    assert!(
        !dead.nothing_is_lost(),
        "a node that does not answer proves nothing: {dead:?}"
    );
    written.remove().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_wait_for_its_standbys_is_cancelled_is_unknown() {
    let cluster = Cluster::replicating().await;
    let client = cluster.client(&cluster.primary).await;
    let ledger = Ledger::start(target(&cluster), LOAD).await.unwrap();
    further(&ledger, 10).await;
    set_sync_names(&client, "nobody").await;
    let waiting = "FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND application_name LIKE 'simdb-ledger %'";
    wait_for(&client, &format!("SELECT count(*) {waiting}"), "2").await;
    let acknowledged = ledger.acknowledged();
    let cancelled = ask(&client, &format!("SELECT count(pg_cancel_backend(pid)) {waiting}")).await;
    assert_eq!(cancelled, "2");
    // Both are in their next write now, and wait again.
    let rows = format!(
        "SELECT count(*) >= {} FROM simdb_ledger.{}",
        acknowledged + 2,
        table(&client).await
    );
    wait_for(&client, &rows, "true").await;
    assert_eq!(
        ledger.acknowledged(),
        acknowledged,
        "a cancelled wait acknowledges nothing"
    );
    set_sync_names(&client, "").await;
    further(&ledger, 10).await;
    let written = ledger.stop().await;
    let report = check(&written, &cluster, &[&cluster.primary, &cluster.standby]).await;
    assert!(report.nothing_is_lost(), "{report:?}");
    assert_eq!((report.tally.unknown, report.tally.failed), (2, 0));
    let rows = report.nodes[&cluster.primary].as_ref().unwrap().rows;
    assert_eq!(
        rows, report.tally.attempts,
        "the unknown rows were committed all the same"
    );
    written.remove().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_is_gone_is_named_and_one_that_was_refused_is_not_missed() {
    let cluster = Cluster::replicating().await;
    let client = cluster.client(&cluster.primary).await;
    let ledger = Ledger::start(target(&cluster), LOAD).await.unwrap();
    further(&ledger, 20).await;
    let table = table(&client).await;
    let refuse = format!("ALTER TABLE simdb_ledger.{table} ADD CHECK (client <> 1) NOT VALID");
    client.batch_execute(&refuse).await.unwrap();
    further(&ledger, 20).await;
    let written = ledger.stop().await;
    let lose = format!("DELETE FROM simdb_ledger.{table} WHERE client = 0 AND number = 3");
    client.batch_execute(&lose).await.unwrap();
    let report = check(&written, &cluster, &[&cluster.primary, &cluster.standby]).await;
    assert!(!report.nothing_is_lost() && report.tally.failed > 0, "{report:?}");
    for found in report.nodes.values() {
        let found = found.as_ref().unwrap();
        let missing: Vec<_> = found.missing.iter().map(|row| (row.client, row.number)).collect();
        assert_eq!(
            (missing.as_slice(), found.unexpected.as_slice()),
            (&[(0, 3)][..], &[][..])
        );
    }
    written.remove().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_writers_are_a_split_brain_and_cannot_be_compared() {
    let cluster = Cluster::replicating().await;
    let ledger = Ledger::start(target(&cluster), LOAD).await.unwrap();
    further(&ledger, 1).await;
    let written = ledger.stop().await;
    let standby = cluster.client(&cluster.standby).await;
    standby.simple_query("SELECT pg_promote()").await.unwrap();
    let servers = [cluster.server(&cluster.primary), cluster.server(&cluster.standby)];
    let error = written.check(&servers, &cluster.sessions(), LIMIT).await.unwrap_err();
    assert!(matches!(error, LedgerError::Converge(_)), "{error:?}");
    assert_eq!(
        error.to_string(),
        "find the server that writes: cluster.orders.node.a and cluster.orders.node.r[0] all do, which is a split brain"
    );
}
