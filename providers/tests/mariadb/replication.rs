//! Copies and streams.

use simdb_providers::engine::mariadb::acknowledgement;
use simdb_providers::engine::mariadb::observe::{Known, snapshot, streams};
use simdb_providers::engine::mariadb::stream::{self, Login, Received};
use simdb_providers::engine::mariadb::user::{self, Account, Passwords, Rights};
use simdb_providers::engine::mariadb::verifier::Method;
use simdb_providers::engine::mariadb::verify::{self, Expected};
use simdb_providers::engine::mariadb::{Connection, offline};
use simdb_providers::executor::chain;
use simdb_providers::password;
use simdb_state::sensitive::Sensitive;

use crate::bed::{Bed, LIMIT, Node, REPLICATOR};

pub(crate) const STREAMER: Account<'_> = Account {
    name: REPLICATOR,
    host: "127.0.0.1",
    method: Method::Native,
    rights: Rights::Replication,
    connection_limit: None,
};

/// Options of a server that takes no writes.
pub(crate) const CLOSED: &[&str] = &["read-only=ON", "event-scheduler=OFF", "rpl-semi-sync-slave-enabled=ON"];

pub(crate) fn login(password: &Sensitive<String>) -> Login<'_> {
    Login {
        user: REPLICATOR,
        password,
    }
}

/// Makes a primary, with the login that streams.
pub(crate) async fn primary(bed: &Bed) -> (Node, Connection) {
    let mut node = bed.born("a", 1001);
    let mut connection = bed.start(&mut node, &[]).await;
    user::ensure(&mut connection, &STREAMER, Passwords::One(&bed.replication))
        .await
        .unwrap();
    connection.execute("set up", "CREATE DATABASE shop").await.unwrap();
    connection
        .execute(
            "set up",
            "CREATE TABLE shop.t (id INT AUTO_INCREMENT PRIMARY KEY, v INT)",
        )
        .await
        .unwrap();
    (node, connection)
}

/// Makes a standby of a server that runs.
pub(crate) async fn standby(bed: &Bed, name: &str, server_id: u32, source: &Node) -> (Node, Connection) {
    let mut node = bed.copied(name, server_id, source);
    let copied = offline::read(&node.data()).unwrap().copied.unwrap();
    let mut connection = bed.start(&mut node, CLOSED).await;
    let mut upstream = bed.connect(source).await;
    stream::follow(
        &mut connection,
        &mut upstream,
        &source.at(),
        login(&bed.replication),
        Some(&copied),
        LIMIT,
    )
    .await
    .unwrap();
    (node, connection)
}

pub(crate) async fn insert(connection: &mut Connection, value: u32) {
    let insert = format!("INSERT INTO shop.t (v) VALUES ({value})");
    connection.execute("write", &insert).await.unwrap();
}

pub(crate) async fn count(connection: &mut Connection) -> u32 {
    let count = connection.required("count", "SELECT COUNT(*) FROM shop.t").await;
    count.unwrap().parse().unwrap()
}

/// Waits until a server has applied all that another one has written.
pub(crate) async fn caught_up(follower: &mut Connection, upstream: &mut Connection) {
    let written = acknowledgement::written(upstream).await.unwrap();
    stream::drain(follower, &written, LIMIT).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_follows_its_source_and_its_own_copy_does_too() {
    let bed = Bed::new();
    let (a, mut primary) = primary(&bed).await;
    insert(&mut primary, 1).await;
    let (r, mut replica) = standby(&bed, "r", 2001, &a).await;
    let facts = snapshot(&mut replica, &Known::new()).await.unwrap();
    assert_eq!(facts.lineage.as_deref(), Some("6f1d"));
    assert!(facts.read_only && facts.streams[""].runs());
    assert_eq!(
        offline::read(&a.data()).unwrap().uuid,
        offline::read(&r.data()).unwrap().uuid
    );
    // A copy of a replica has the right position as well.
    let (s, mut sibling) = standby(&bed, "s", 3001, &r).await;
    let expected = |node: &Node| (bed.server(node), a.at());
    let servers = [expected(&r), (bed.server(&s), r.at())];
    let standbys: Vec<Expected<'_>> = servers
        .iter()
        .map(|(server, upstream)| Expected {
            server,
            upstream,
            acknowledges: false,
        })
        .collect();
    let first = verify::verify_sync(&bed.server(&a), &standbys, &bed.sessions(), LIMIT)
        .await
        .unwrap();
    let second = verify::verify_sync(&bed.server(&a), &standbys, &bed.sessions(), LIMIT)
        .await
        .unwrap();
    assert!(stream::reaches(&second, &first) && first != second);
    assert_eq!((count(&mut replica).await, count(&mut sibling).await), (1, 1));
    // What follows already is left alone.
    let mut upstream = bed.connect(&a).await;
    let before = streams(&mut replica).await.unwrap();
    stream::follow(
        &mut replica,
        &mut upstream,
        &a.at(),
        login(&bed.replication),
        None,
        LIMIT,
    )
    .await
    .unwrap();
    assert_eq!(before[""].port, streams(&mut replica).await.unwrap()[""].port);
    // A standby that follows a sibling moves up without a copy.
    insert(&mut primary, 2).await;
    stream::follow(
        &mut sibling,
        &mut upstream,
        &a.at(),
        login(&bed.replication),
        None,
        LIMIT,
    )
    .await
    .unwrap();
    caught_up(&mut sibling, &mut primary).await;
    assert_eq!(count(&mut sibling).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_received_is_applied_before_a_stream_ends() {
    let bed = Bed::new();
    let (a, mut primary) = primary(&bed).await;
    let (_r, mut replica) = standby(&bed, "r", 2001, &a).await;
    replica.execute("hold", "STOP SLAVE SQL_THREAD").await.unwrap();
    for value in 0..50 {
        insert(&mut primary, value).await;
    }
    let written = acknowledgement::written(&mut primary).await.unwrap();
    loop {
        if stream::reaches(&streams(&mut replica).await.unwrap()[""].received, &written) {
            break;
        }
    }
    assert_eq!(count(&mut replica).await, 0);
    let received = stream::freeze(&mut replica).await.unwrap();
    assert_eq!(received, Received::UpTo(written));
    insert(&mut primary, 51).await;
    stream::end(&mut replica, LIMIT).await.unwrap();
    stream::end(&mut replica, LIMIT).await.unwrap();
    assert_eq!(
        count(&mut replica).await,
        50,
        "what was received is there, and what was not is not"
    );
    assert!(streams(&mut replica).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_restarted_is_not_taken_for_one_that_has_applied_all_it_received() {
    let bed = Bed::new();
    let (a, mut primary) = primary(&bed).await;
    let (mut r, mut replica) = standby(&bed, "r", 2001, &a).await;
    let applied = acknowledgement::written(&mut primary).await.unwrap();
    replica.execute("hold", "STOP SLAVE SQL_THREAD").await.unwrap();
    insert(&mut primary, 1).await;
    let written = acknowledgement::written(&mut primary).await.unwrap();
    while !stream::reaches(&streams(&mut replica).await.unwrap()[""].received, &written) {}
    r.stop();
    let mut replica = bed.start(&mut r, CLOSED).await;
    assert_eq!(stream::freeze(&mut replica).await.unwrap(), Received::AtLeast(applied));
    let refused = stream::end(&mut replica, LIMIT).await.unwrap_err();
    assert!(
        chain(&refused).contains("its relay log may hold more"),
        "{}",
        chain(&refused)
    );
    // Its primary has all of that.
    stream::follow(
        &mut replica,
        &mut primary,
        &a.at(),
        login(&bed.replication),
        None,
        LIMIT,
    )
    .await
    .unwrap();
    caught_up(&mut replica, &mut primary).await;
    assert_eq!(count(&mut replica).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_does_not_follow_one_that_lacks_what_it_has() {
    let bed = Bed::new();
    let (a, mut primary) = primary(&bed).await;
    let (_r, mut replica) = standby(&bed, "r", 2001, &a).await;
    replica
        .execute("err", "INSERT INTO shop.t (v) VALUES (99)")
        .await
        .unwrap();
    stream::end(&mut replica, LIMIT).await.unwrap();
    let short = std::time::Duration::from_millis(200);
    let refused = stream::follow(
        &mut replica,
        &mut primary,
        &a.at(),
        login(&bed.replication),
        None,
        short,
    )
    .await;
    let told = chain(&refused.unwrap_err());
    let expected = "follow cluster.shop.node.a from cluster.shop.node.r: after 200ms cluster.shop.node.a lacks 0-2001-";
    assert!(told.starts_with(expected), "{told}");
    let wrong = password::generate().unwrap();
    let mut node = bed.copied("s", 3001, &a);
    let copied = offline::read(&node.data()).unwrap().copied.unwrap();
    let mut other = bed.start(&mut node, CLOSED).await;
    let refused = stream::follow(&mut other, &mut primary, &a.at(), login(&wrong), Some(&copied), short).await;
    let told = chain(&refused.unwrap_err());
    assert!(
        told.contains("it does not receive: ") && told.contains("Access denied for user 'replicator'"),
        "{told}"
    );
    assert!(!told.contains(wrong.expose().as_str()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_password_of_a_stream_is_changed_without_a_gap_and_is_in_no_log() {
    let bed = Bed::new();
    let (a, mut primary) = primary(&bed).await;
    let (r, mut replica) = standby(&bed, "r", 2001, &a).await;
    let general = r.directory.join("general.log");
    for set in [
        format!("general_log_file = '{}'", general.display()),
        "general_log = ON".to_owned(),
    ] {
        replica.execute("log", &format!("SET GLOBAL {set}")).await.unwrap();
    }
    let new = password::generate().unwrap();
    user::ensure(&mut primary, &STREAMER, Passwords::Also(&new))
        .await
        .unwrap();
    insert(&mut primary, 1).await;
    stream::change_password(&mut replica, &new, LIMIT).await.unwrap();
    user::ensure(&mut primary, &STREAMER, Passwords::One(&new))
        .await
        .unwrap();
    insert(&mut primary, 2).await;
    replica.execute("begin anew", "STOP SLAVE IO_THREAD").await.unwrap();
    replica.execute("begin anew", "START SLAVE IO_THREAD").await.unwrap();
    stream::wait_streaming(&mut replica, &mut primary, &a.at(), LIMIT)
        .await
        .unwrap();
    caught_up(&mut replica, &mut primary).await;
    assert_eq!(count(&mut replica).await, 2);
    let log = std::fs::read_to_string(general).unwrap();
    assert!(
        log.contains("START SLAVE") && !log.contains(new.expose().as_str()),
        "{log}"
    );
    assert!(!r.log().contains(new.expose().as_str()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_marker_tells_a_standby_that_only_says_it_has_everything() {
    let bed = Bed::new();
    let (a, mut primary) = primary(&bed).await;
    let (r, mut replica) = standby(&bed, "r", 2001, &a).await;
    let (server, at) = (bed.server(&r), a.at());
    let standbys = [Expected {
        server: &server,
        upstream: &at,
        acknowledges: true,
    }];
    let short = std::time::Duration::from_millis(300);
    acknowledgement::count(&mut replica, false).await.unwrap();
    stream::wait_streaming(&mut replica, &mut primary, &a.at(), LIMIT)
        .await
        .unwrap();
    let told = verify::verify_sync(&bed.server(&a), &standbys, &bed.sessions(), short)
        .await
        .unwrap_err();
    assert!(
        chain(&told).contains("cluster.shop.node.r: it does not acknowledge what it receives"),
        "{}",
        chain(&told)
    );
    let waits = acknowledgement::Acknowledgement {
        awaited: 0,
        patience: None,
    };
    acknowledgement::wait(&mut primary, waits, LIMIT).await.unwrap();
    // It counts from the next start of its stream on.
    for _ in 0..2 {
        acknowledgement::count(&mut replica, true).await.unwrap();
    }
    acknowledgement::wait_for_clients(&mut primary, 1, LIMIT).await.unwrap();
    verify::verify_sync(&bed.server(&a), &standbys, &bed.sessions(), LIMIT)
        .await
        .unwrap();
    // The row is changed behind the back of the stream.
    for statement in ["SET sql_log_bin = 0", "UPDATE simdb.marker SET mark = 'other'"] {
        replica.execute("change", statement).await.unwrap();
    }
    replica.execute("hold", "STOP SLAVE SQL_THREAD").await.unwrap();
    let told = verify::verify_sync(&bed.server(&a), &standbys, &bed.sessions(), short)
        .await
        .unwrap_err();
    assert!(
        chain(&told).contains("cluster.shop.node.r: it does not apply: "),
        "{}",
        chain(&told)
    );
    // Nobody acknowledges: the marker is not committed, and its session does not go on.
    replica.execute("hold", "STOP SLAVE IO_THREAD").await.unwrap();
    let told = verify::verify_sync(&bed.server(&a), &standbys, &bed.sessions(), short)
        .await
        .unwrap_err();
    assert!(
        chain(&told).contains("commit a marker on cluster.shop.node.a: no answer within 300ms"),
        "{}",
        chain(&told)
    );
    acknowledgement::wait_for_nobody(&mut primary).await.unwrap();
    let waiting = snapshot(&mut primary, &Known::new())
        .await
        .unwrap()
        .acknowledgement
        .waiting;
    assert_eq!(waiting, 0);
}
