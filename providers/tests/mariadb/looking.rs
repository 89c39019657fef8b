//! Sessions, and what is seen of servers that run and of data whose server is down.

use std::time::Duration;

use simdb_planner::engine::mariadb::facts::End;
use simdb_providers::engine::mariadb::Connection;
use simdb_providers::engine::mariadb::observe::{Known, snapshot};
use simdb_providers::engine::mariadb::offline;
use simdb_providers::executor::chain;
use simdb_providers::password;
use simdb_state::place::Place;

use crate::bed::{Bed, silent};

#[tokio::test(flavor = "multi_thread")]
async fn a_session_runs_one_statement_after_the_other_and_none_after_one_that_did_not_end() {
    let bed = Bed::new();
    let mut node = bed.born("a", 1001);
    let mut connection = bed.start(&mut node, &[]).await;
    assert!(connection.version().starts_with("10.11."), "{}", connection.version());
    let texts = connection
        .rows("ask", r"SELECT 'it''s', NULL, '\\', 'ü', ''")
        .await
        .unwrap();
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(texts, [[text("it's"), None, text("\\"), text("ü"), text("")]]);
    let long = connection
        .required("ask", "SELECT REPEAT('x', 17000000 - 1000000)")
        .await
        .unwrap();
    assert_eq!(long.len(), 16_000_000);
    let refused = connection.execute("ask", "SELECT nonsense").await.unwrap_err();
    assert_eq!(
        chain(&refused),
        "ask on cluster.shop.node.a: Unknown column 'nonsense' in 'SELECT' (error 1054)"
    );
    // One text is one statement.
    let two = connection.execute("ask", "SELECT 1; SELECT 2").await.unwrap_err();
    assert_eq!(two.code(), Some(1064));
    assert_eq!(
        connection.value("ask", "SELECT 42").await.unwrap().as_deref(),
        Some("42")
    );
    // A statement that is not waited for takes the session with it, so that nobody gets its answer for that of another one.
    let given_up = tokio::time::timeout(Duration::from_millis(50), connection.value("ask", "SELECT SLEEP(5)")).await;
    assert!(given_up.is_err() && connection.is_closed());
    let late = connection.value("ask", "SELECT 41").await.unwrap_err();
    assert_eq!(
        chain(&late),
        "ask on cluster.shop.node.a: the connection was closed after a statement that did not end in time"
    );
    let session = connection.session();
    let mut other = bed.connect(&node).await;
    other.kill(session).await.unwrap();
    other.kill(session).await.unwrap();
    other.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_let_simdb_in_is_told_with_its_reason() {
    let bed = Bed::new();
    let mut node = bed.born("a", 1001);
    bed.start(&mut node, &[]).await.close().await;
    let server = bed.server(&node);
    let other = password::generate().unwrap();
    let refused = Connection::open_as(&bed.sessions(), &server, "simdb", &other)
        .await
        .unwrap_err();
    let told = chain(&refused);
    let at = node.at();
    assert_eq!(
        told,
        format!(
            "connect to cluster.shop.node.a at {at}: Access denied for user 'simdb'@'127.0.0.1' (using password: YES) \
             (error 1045)"
        )
    );
    assert!(!told.contains(other.expose().as_str()));
    let (listener, bind) = silent();
    let mut elsewhere = server.clone();
    *elsewhere.place = Place::shared(bind);
    let silence = Connection::open(&bed.sessions(), &elsewhere).await.unwrap_err();
    assert!(
        chain(&silence).ends_with(": no answer within 5s"),
        "{}",
        chain(&silence)
    );
    drop(listener);
    let nobody = Connection::open(&bed.sessions(), &elsewhere).await.unwrap_err();
    assert!(chain(&nobody).contains("Connection refused"), "{}", chain(&nobody));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_seen_as_it_is_and_nothing_is_changed_by_that() {
    let bed = Bed::new();
    let mut node = bed.born("a", 1001);
    let mut connection = bed.start(&mut node, &["max-connections=1", "event-scheduler=ON"]).await;
    let known = Known::from([("simdb".to_owned(), bed.own_password().clone())]);
    let born = snapshot(&mut connection, &known).await.unwrap();
    assert!(!born.read_only && born.events && born.streams.is_empty() && born.databases.is_empty());
    assert_eq!(born.lineage.as_deref(), Some("6f1d"));
    assert_eq!(
        (born.server_id, born.logged.is_empty(), born.applied.is_empty()),
        (1001, true, true)
    );
    assert_eq!(born.users.keys().collect::<Vec<_>>(), ["simdb"]);
    let simdb = &born.users["simdb"];
    assert!(simdb.superuser && simdb.login && simdb.passes_read_only);
    assert_eq!(simdb.password, simdb_planner::observed::PasswordFacts::Recorded);
    // What is out of range is set to what is not, and nothing says so.
    let limit = &born.parameters["max_connections"];
    assert_eq!((limit.value.as_str(), limit.origin.as_str()), ("10", "CONFIG"));
    for statement in [
        "CREATE DATABASE shop",
        "CREATE TABLE shop.t (id INT)",
        "INSERT INTO shop.t VALUES (1)",
        "CREATE ROLE closer",
        "GRANT READ_ONLY ADMIN ON *.* TO closer",
        "SET GLOBAL max_connections = 20",
        "SET GLOBAL read_only = ON",
    ] {
        connection.execute("change", statement).await.unwrap();
    }
    let changed = snapshot(&mut connection, &known).await.unwrap();
    assert_eq!(changed.logged.to_string(), "0-1001-5");
    assert_eq!(changed.log.to_string(), "0-1001-5");
    assert!(changed.read_only && changed.databases.contains_key("shop"));
    // No view of the server shows what its roles may do.
    assert_eq!(changed.privileged("simdb").into_iter().collect::<Vec<_>>(), ["closer"]);
    let limit = &changed.parameters["max_connections"];
    assert_eq!((limit.value.as_str(), limit.origin.as_str()), ("20", "SQL"));
    let again = snapshot(&mut connection, &known).await.unwrap();
    assert_eq!(again.logged, changed.logged);
}

#[tokio::test(flavor = "multi_thread")]
async fn data_says_without_a_server_whose_it_is_how_it_ended_and_how_far_it_came() {
    let bed = Bed::new();
    let mut node = bed.born("a", 1001);
    let unborn = offline::read(&node.data()).unwrap();
    assert_eq!((unborn.end, unborn.lineage.as_deref()), (End::Unwritten, Some("6f1d")));
    let mut connection = bed.start(&mut node, &[]).await;
    for statement in [
        "CREATE DATABASE shop",
        "CREATE TABLE shop.t (id INT PRIMARY KEY) ENGINE = InnoDB",
        "CREATE TABLE shop.m (id INT) ENGINE = Aria",
        "INSERT INTO shop.t VALUES (1)",
        "FLUSH BINARY LOGS",
        "INSERT INTO shop.t VALUES (2)",
        "INSERT INTO shop.m VALUES (2)",
    ] {
        connection.execute("change", statement).await.unwrap();
    }
    let running = snapshot(&mut connection, &Known::new()).await.unwrap();
    assert_eq!(offline::read(&node.data()).unwrap().end, End::Killed, "it runs");
    node.kill();
    let killed = offline::read(&node.data()).unwrap();
    assert_eq!(
        (killed.end, &killed.logged, &killed.log),
        (End::Killed, &running.logged, &running.log)
    );
    assert_eq!(killed.logged.to_string(), "0-1001-6");
    assert_eq!((killed.uuid.clone(), killed.uuid.len()), (unborn.uuid, 32));
    let recovered = snapshot(&mut bed.start(&mut node, &[]).await, &Known::new())
        .await
        .unwrap();
    assert_eq!(recovered.logged, killed.logged, "the server counts as the reader does");
    node.stop();
    let stopped = offline::read(&node.data()).unwrap();
    assert_eq!((stopped.end, stopped.logged), (End::ShutDown, killed.logged));
}
