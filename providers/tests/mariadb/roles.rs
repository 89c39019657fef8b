//! Servers that are closed to writes and opened.

use std::time::Duration;

use simdb_planner::engine::mariadb::facts::End;
use simdb_providers::engine::mariadb::acknowledgement::{self, Acknowledgement};
use simdb_providers::engine::mariadb::observe::{Known, snapshot};
use simdb_providers::engine::mariadb::role::Scheduler;
use simdb_providers::engine::mariadb::stream::Received;
use simdb_providers::engine::mariadb::user::{self, Account, Passwords, Rights};
use simdb_providers::engine::mariadb::verifier::Method;
use simdb_providers::engine::mariadb::{Connection, offline, role, stream};
use simdb_providers::executor::chain;
use simdb_providers::password;

use crate::bed::{Bed, LIMIT};
use crate::replication::{count, insert, login, primary, standby};

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_hands_over_and_follows_and_nothing_is_lost() {
    let bed = Bed::new();
    let (a, mut old) = primary(&bed).await;
    let (r, mut new) = standby(&bed, "r", 2001, &a).await;
    let (_s, mut sibling) = standby(&bed, "s", 3001, &a).await;
    insert(&mut old, 1).await;
    // Siblings first: they acknowledge what the new primary writes from its first commit on.
    let limit = LIMIT;
    stream::follow(&mut sibling, &mut new, &r.at(), login(&bed.replication), None, limit)
        .await
        .unwrap();
    acknowledgement::count(&mut sibling, true).await.unwrap();
    let last = role::close(&bed.sessions(), &bed.server(&a), limit).await.unwrap();
    assert_eq!(
        last,
        role::close(&bed.sessions(), &bed.server(&a), limit).await.unwrap()
    );
    stream::drain(&mut new, &last, limit).await.unwrap();
    stream::end(&mut new, limit).await.unwrap();
    let counting = Acknowledgement {
        awaited: 1,
        patience: None,
    };
    for _ in 0..2 {
        role::open(&mut new, Some(counting), Scheduler::Off, limit)
            .await
            .unwrap();
    }
    insert(&mut new, 2).await;
    let mut upstream = bed.connect(&r).await;
    let mut old = bed.connect(&a).await;
    stream::follow(
        &mut old,
        &mut upstream,
        &r.at(),
        login(&bed.replication),
        Some(&last),
        limit,
    )
    .await
    .unwrap();
    insert(&mut new, 3).await;
    let written = acknowledgement::written(&mut new).await.unwrap();
    for server in [&mut old, &mut sibling] {
        stream::drain(server, &written, limit).await.unwrap();
        assert_eq!(count(server).await, 3);
    }
    let facts = snapshot(&mut new, &Known::new()).await.unwrap();
    assert!(!facts.read_only && facts.acknowledgement.active && facts.streams.is_empty());
    assert_eq!(facts.acknowledgement.unacknowledged, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_refuses_an_open_transaction_and_gives_up_where_a_lock_lasts() {
    let bed = Bed::new();
    let (a, mut connection) = primary(&bed).await;
    let password = password::generate().unwrap();
    let account = Account {
        name: "app",
        host: "127.0.0.1",
        method: Method::Native,
        rights: Rights::None,
        connection_limit: None,
    };
    user::ensure(&mut connection, &account, Passwords::One(&password))
        .await
        .unwrap();
    user::own(&mut connection, "app", "127.0.0.1", "shop").await.unwrap();
    let server = bed.server(&a);
    let open = async || {
        Connection::open_as(&bed.sessions(), &server, "app", &password)
            .await
            .unwrap()
    };
    let mut holder = open().await;
    holder.execute("lock", "LOCK TABLES shop.t WRITE").await.unwrap();
    let refused = role::close(&bed.sessions(), &server, Duration::from_secs(2))
        .await
        .unwrap_err();
    let told = chain(&refused);
    assert!(
        told.starts_with("close cluster.shop.node.a to writes: after 2s it still takes writes ("),
        "{told}"
    );
    holder
        .execute("go on", "INSERT INTO shop.t (v) VALUES (7)")
        .await
        .unwrap();
    holder.execute("go on", "UNLOCK TABLES").await.unwrap();
    insert(&mut connection, 1).await;

    let mut open_transaction = open().await;
    for statement in ["SET autocommit = 0", "INSERT INTO shop.t (v) VALUES (8)"] {
        open_transaction.execute("write", statement).await.unwrap();
    }
    let closed = role::close(&bed.sessions(), &server, LIMIT).await.unwrap();
    assert!(open_transaction.execute("commit", "COMMIT").await.is_err());
    let mut late = open().await;
    let refused = late
        .execute("write", "INSERT INTO shop.t (v) VALUES (9)")
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Some(1290));
    let facts = snapshot(&mut connection, &Known::new()).await.unwrap();
    assert_eq!((facts.logged, facts.events), (closed, false));
    assert_eq!(count(&mut connection).await, 2);

    // Somebody who may write all the same: then nothing shows that nobody does.
    role::open(&mut connection, None, Scheduler::Off, LIMIT).await.unwrap();
    for statement in ["CREATE USER boss@'%'", "GRANT READ_ONLY ADMIN ON *.* TO boss@'%'"] {
        connection.execute("grant", statement).await.unwrap();
    }
    let refused = role::close(&bed.sessions(), &server, LIMIT).await.unwrap_err();
    assert!(
        chain(&refused).contains("\"boss\" may write there all the same (READ ONLY ADMIN)"),
        "{}",
        chain(&refused)
    );
    assert!(!snapshot(&mut connection, &Known::new()).await.unwrap().read_only);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_commit_waits_for_an_acknowledgement_stays_open_and_is_not_closed_later() {
    let bed = Bed::new();
    let (a, mut primary) = primary(&bed).await;
    let (_r, mut replica) = standby(&bed, "r", 2001, &a).await;
    acknowledgement::count(&mut replica, true).await.unwrap();
    let waits = Acknowledgement {
        awaited: 1,
        patience: None,
    };
    acknowledgement::wait(&mut primary, waits, LIMIT).await.unwrap();
    replica.execute("hold", "STOP SLAVE IO_THREAD").await.unwrap();
    let mut client = bed.connect(&a).await;
    let waiter = tokio::spawn(async move { client.execute("write", "INSERT INTO shop.t (v) VALUES (1)").await });
    while snapshot(&mut primary, &Known::new())
        .await
        .unwrap()
        .acknowledgement
        .waiting
        == 0
    {}
    let refused = role::close(&bed.sessions(), &bed.server(&a), Duration::from_secs(2))
        .await
        .unwrap_err();
    assert!(chain(&refused).contains("it still takes writes"), "{}", chain(&refused));
    assert!(!waiter.is_finished());
    replica.execute("go on", "START SLAVE IO_THREAD").await.unwrap();
    waiter.await.unwrap().unwrap();
    assert!(!snapshot(&mut primary, &Known::new()).await.unwrap().read_only);
    insert(&mut primary, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_transaction_of_a_killed_primary_is_in_its_files_and_a_standby_that_has_it_takes_over() {
    let bed = Bed::new();
    let (mut a, mut old) = primary(&bed).await;
    let (_r, mut new) = standby(&bed, "r", 2001, &a).await;
    acknowledgement::count(&mut new, true).await.unwrap();
    let waits = Acknowledgement {
        awaited: 1,
        patience: None,
    };
    acknowledgement::wait(&mut old, waits, LIMIT).await.unwrap();
    for value in 0..20 {
        insert(&mut old, value).await;
    }
    a.kill();
    let dead = offline::read(&a.data()).unwrap();
    assert_eq!(dead.end, End::Killed);
    let received = stream::freeze(&mut new).await.unwrap();
    let Received::UpTo(received) = received else {
        panic!("{received:?}")
    };
    assert!(stream::reaches(&received, &dead.logged), "{received} {}", dead.logged);
    stream::end(&mut new, LIMIT).await.unwrap();
    role::open(&mut new, None, Scheduler::Off, LIMIT).await.unwrap();
    assert_eq!(count(&mut new).await, 20);
    insert(&mut new, 21).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_stop_with_the_lead_and_go_on_with_it_as_those_who_made_them() {
    let bed = Bed::new();
    let (a, mut old) = primary(&bed).await;
    let (_r, mut new) = standby(&bed, "r", 2001, &a).await;
    for statement in [
        "CREATE USER app@'127.0.0.1'",
        "GRANT ALL ON shop.* TO app@'127.0.0.1'",
        "CREATE DEFINER = app@'127.0.0.1' EVENT shop.often ON SCHEDULE EVERY 1 SECOND DO INSERT INTO shop.t (v) VALUES (1)",
        "CREATE DEFINER = app@'127.0.0.1' EVENT shop.never ON SCHEDULE EVERY 1 SECOND DISABLE DO DELETE FROM shop.t",
        "SET GLOBAL event_scheduler = ON",
    ] {
        old.execute("set up", statement).await.unwrap();
    }
    while count(&mut old).await == 0 {}
    let events = role::enabled_events(&mut old).await.unwrap();
    assert_eq!(
        events.iter().map(|event| event.name.as_str()).collect::<Vec<_>>(),
        ["often"]
    );
    let last = role::close(&bed.sessions(), &bed.server(&a), LIMIT).await.unwrap();
    stream::drain(&mut new, &last, LIMIT).await.unwrap();
    stream::end(&mut new, LIMIT).await.unwrap();
    let before = count(&mut new).await;
    role::open(&mut new, None, Scheduler::Runs(&events), LIMIT)
        .await
        .unwrap();
    while count(&mut new).await == before {}
    let definer = new
        .required(
            "look",
            "SELECT DEFINER FROM information_schema.EVENTS WHERE EVENT_NAME = 'often'",
        )
        .await;
    assert_eq!(definer.unwrap(), "app@127.0.0.1");
    assert_eq!(role::enabled_events(&mut new).await.unwrap().len(), 1);
    assert_eq!(
        snapshot(&mut old, &Known::new()).await.unwrap().logged,
        last,
        "the old one has written its last"
    );
}
