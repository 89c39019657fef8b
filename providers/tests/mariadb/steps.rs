//! Steps on real servers, which the local platform runs.

use std::collections::BTreeSet;

use simdb_planner::plan::{Action, Evidence, FenceMethod, Handover, Server, Stream};
use simdb_providers::engine::mariadb::observe::{Known, snapshot};
use simdb_providers::engine::mariadb::{Connection, acknowledgement, stream};
use simdb_providers::password;
use simdb_providers::sessions::Sessions;
use simdb_state::instance::TaskSpec;
use simdb_state::object::{Database, FenceProof, Verdict};
use simdb_state::sensitive::SecretName;

use crate::bed::LIMIT;
use crate::blueprint::{self, DATA};
use crate::cluster::Cluster;

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_and_its_copy_are_made_by_steps_that_may_run_twice() {
    let cluster = Cluster::new().await;
    cluster.replicating().await;
    let app = SecretName::password(&"cluster.shop.user.app".parse().unwrap());
    cluster
        .twice(Action::User {
            user: "cluster.shop.user.app".parse().unwrap(),
            attributes: Box::default(),
            leaves: BTreeSet::new(),
            password: Some(app.clone()),
            server: cluster.server("a"),
        })
        .await;
    cluster
        .twice(Action::Database {
            database: "cluster.shop.database.app".parse().unwrap(),
            attributes: Box::new(Database {
                owner: "app".to_owned(),
                ..Database::default()
            }),
            server: cluster.server("a"),
        })
        .await;
    cluster.twice(cluster.verify("a", "b")).await;
    let known = Known::from([("app".to_owned(), cluster.secrets[&app].clone())]);
    let facts = snapshot(&mut cluster.connect("b").await, &known).await.unwrap();
    assert!(facts.databases.contains_key("app") && facts.read_only);
    assert_eq!(
        facts.users["app"].password,
        simdb_planner::observed::PasswordFacts::Recorded
    );
    // A restart keeps what was set up.
    let start = Action::Start {
        instance: Box::new(cluster.instance("b", true)),
        server: cluster.server("b"),
        in_recovery: true,
    };
    cluster
        .effects
        .platform
        .stop(
            &(&cluster.nodes["b"].0).into(),
            simdb_providers::platform::StopMode::Fast,
        )
        .await
        .unwrap();
    cluster.twice(start).await;
    cluster.twice(cluster.verify("a", "b")).await;
    cluster.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_are_set_while_a_server_runs_or_by_a_restart_and_what_came_of_them_is_compared() {
    let mut cluster = Cluster::new().await;
    cluster.twice(cluster.primary()).await;
    let shown = async |cluster: &Cluster, name: &str| {
        let mut connection = cluster.connect("a").await;
        connection.required("look", &format!("SELECT @@{name}")).await.unwrap()
    };
    cluster.options = ["max-connections=77", "innodb-buffer-pool-size=96M"]
        .map(str::to_owned)
        .into();
    cluster.options.push("rpl-semi-sync-master-wait-no-slave=ON".to_owned());
    cluster.twice(cluster.configure("a", false, false)).await;
    assert_eq!(shown(&cluster, "max_connections").await, "77");
    cluster.options[0] = "max-connections=1".to_owned();
    let error = cluster.fails(cluster.configure("a", false, false)).await;
    assert_eq!(
        error,
        "set max_connections on cluster.shop.node.a: Variable 'max_connections' can't be set to the value of '1' (error 1231)"
    );
    cluster.options[0] = "max-connections=20".to_owned();
    cluster.options[1] = "innodb-log-file-size=32M".to_owned();
    let plain = |cluster: &Cluster| {
        let (_, port, id) = &cluster.nodes["a"];
        blueprint::server(port.listen, *id, &cluster.replication, &cluster.options)
    };
    let configure = Action::Configure {
        instance: Box::new(plain(&cluster)),
        server: cluster.server("a"),
        restart: true,
        in_recovery: false,
        upstream: None,
    };
    cluster.twice(configure).await;
    assert_eq!(shown(&cluster, "innodb_log_file_size").await, "33554432");
    cluster.options.push("no-such-parameter=1".to_owned());
    let start = Action::Configure {
        instance: Box::new(plain(&cluster)),
        server: cluster.server("a"),
        restart: true,
        in_recovery: false,
        upstream: None,
    };
    let error = cluster.fails(start).await;
    assert!(
        error.starts_with("start cluster.shop.node.a: its server ended; its log ends:"),
        "{error}"
    );
    assert!(error.contains("unknown variable 'no-such-parameter=1'"), "{error}");
    cluster.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lead_is_handed_over_with_a_proof_and_the_former_primary_follows() {
    let mut cluster = Cluster::new().await;
    cluster.replicating().await;
    let (a, b) = (cluster.server("a"), cluster.server("b"));
    cluster
        .twice(Action::Elect {
            cluster: "shop".parse().unwrap(),
            election: serde_json::from_value(serde_json::json!({"term": 2, "primary": "b", "reason": "switchover"}))
                .unwrap(),
            handover: Some(Box::new(Handover {
                primary: a.clone(),
                successor: b.clone(),
            })),
        })
        .await;
    let fence = Action::Fence {
        server: a.clone(),
        version: 1011,
        data: Some(DATA.to_owned()),
        seal: Some(Box::new(TaskSpec {
            name: "seal".to_owned(),
            ..TaskSpec::default()
        })),
        method: FenceMethod::ShutDown,
    };
    let fenced = cluster.twice(fence).await;
    let Some(FenceProof::ShutDown { checkpoint }) = fenced.proof else {
        panic!("{fenced:?}")
    };
    let promote = Action::Promote {
        instance: Box::new(cluster.instance("b", false)),
        server: b.clone(),
        survivors: Vec::new(),
        evidence: Evidence::ShutDown {
            node: a.node.clone(),
            version: 1011,
            data: DATA.to_owned(),
        },
    };
    let switch = cluster.twice(promote).await.switch.unwrap();
    assert_eq!(
        switch.verdict,
        Verdict::Proven {
            checkpoint: checkpoint.clone()
        }
    );
    assert_eq!(switch.point, checkpoint);
    cluster.twice(cluster.join("a", "b")).await;
    cluster.twice(cluster.verify("b", "a")).await;
    // The streams get another password, and nobody who still has the old one is let in.
    let old = cluster.secrets[&cluster.replication].clone();
    let name = SecretName::password_version(&"cluster.shop.user.replicator".parse().unwrap(), 2, None);
    cluster.secrets.insert(name.clone(), password::generate().unwrap());
    cluster.replication = name;
    let stream = Stream {
        instance: cluster.instance("a", true),
        server: a.clone(),
        upstream: Some(b.clone()),
        application_name: "a".to_owned(),
    };
    cluster.twice(cluster.replication_user(vec![stream], "b")).await;
    cluster.twice(cluster.verify("b", "a")).await;
    let sessions = Sessions::new(cluster.platform.clone(), &cluster.secrets);
    let refused = Connection::open_as(&sessions, &b, "replicator", &old)
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Some(1045));
    cluster.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_a_killed_primary_has_is_carried_over_and_it_comes_back_without_a_copy() {
    let cluster = Cluster::new().await;
    cluster.replicating().await;
    let (a, b) = (cluster.server("a"), cluster.server("b"));
    let mut primary = cluster.connect("a").await;
    let mut candidate = cluster.connect("b").await;
    for statement in [
        "SET GLOBAL rpl_semi_sync_master_enabled = OFF",
        "CREATE DATABASE shop",
        "CREATE TABLE shop.t (id INT AUTO_INCREMENT PRIMARY KEY, v VARBINARY(20))",
        "INSERT INTO shop.t (v) VALUES ('before')",
    ] {
        primary.execute("write", statement).await.unwrap();
    }
    let shared = acknowledgement::written(&mut primary).await.unwrap();
    stream::drain(&mut candidate, &shared, LIMIT).await.unwrap();
    // From here on nobody receives what is acknowledged.
    candidate.execute("cut", "STOP SLAVE IO_THREAD").await.unwrap();
    for number in 0..100 {
        let insert = format!("INSERT INTO shop.t (v) VALUES (CONCAT(0x00FF0A27, {number}))");
        primary.execute("write", &insert).await.unwrap();
        if number % 40 == 0 {
            primary.execute("write", "FLUSH BINARY LOGS").await.unwrap();
        }
    }
    primary
        .execute("write", "CREATE TABLE shop.later (id INT)")
        .await
        .unwrap();
    let last = acknowledgement::written(&mut primary).await.unwrap();
    let sum = "SELECT CONCAT(COUNT(*), ' ', BIT_XOR(CAST(CRC32(CONCAT(id, v)) AS UNSIGNED))) FROM shop.t";
    let wanted = primary.required("sum", sum).await.unwrap();
    let fence = Action::Fence {
        server: a.clone(),
        version: 1011,
        data: Some(DATA.to_owned()),
        seal: None,
        method: FenceMethod::Kill,
    };
    cluster.effects.mariadb_serves(&fence, &cluster.secrets).await.unwrap();
    for _ in 0..2 {
        let carried = cluster
            .effects
            .mariadb_carries(&a, (1011, DATA), &b, &cluster.secrets)
            .await;
        assert_eq!(carried.unwrap(), last, "with the numbers that it was written with");
    }
    assert_eq!(candidate.required("sum", sum).await.unwrap(), wanted);
    let promote = Action::Promote {
        instance: Box::new(cluster.instance("b", false)),
        server: b.clone(),
        survivors: Vec::new(),
        evidence: Evidence::Verdict(Verdict::Proven {
            checkpoint: last.clone().into(),
        }),
    };
    let switch = cluster.twice(promote).await.switch.unwrap();
    assert_eq!(switch.point, last.into());
    cluster.twice(cluster.join("a", "b")).await;
    candidate
        .execute("write", "INSERT INTO shop.t (v) VALUES ('after')")
        .await
        .unwrap();
    cluster.twice(cluster.verify("b", "a")).await;
    let wanted = candidate.required("sum", sum).await.unwrap();
    assert_eq!(cluster.connect("a").await.required("sum", sum).await.unwrap(), wanted);
    cluster.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crashed_primary_gives_up_what_nobody_acknowledged_and_one_that_diverged_is_told_with_its_transactions() {
    let mut cluster = Cluster::new().await;
    cluster.replicating().await;
    let (a, b) = (cluster.server("a"), cluster.server("b"));
    let mut primary = cluster.connect("a").await;
    let mut candidate = cluster.connect("b").await;
    for statement in [
        "CREATE DATABASE shop",
        "CREATE TABLE shop.t (id INT PRIMARY KEY) ENGINE = InnoDB",
    ] {
        primary.execute("write", statement).await.unwrap();
    }
    let shared = acknowledgement::written(&mut primary).await.unwrap();
    stream::drain(&mut candidate, &shared, LIMIT).await.unwrap();
    candidate.execute("cut", "STOP SLAVE IO_THREAD").await.unwrap();
    let mut client = cluster.connect("a").await;
    let waiter = tokio::spawn(async move { client.execute("write", "INSERT INTO shop.t VALUES (1)").await });
    while snapshot(&mut primary, &Known::new())
        .await
        .unwrap()
        .acknowledgement
        .waiting
        == 0
    {}
    let kill = |server: Server| Action::Fence {
        server,
        version: 1011,
        data: Some(DATA.to_owned()),
        seal: None,
        method: FenceMethod::Kill,
    };
    cluster
        .effects
        .mariadb_serves(&kill(a.clone()), &cluster.secrets)
        .await
        .unwrap();
    assert!(waiter.await.unwrap().is_err(), "it was never acknowledged");
    let promote = |instance, server: &Server| Action::Promote {
        instance: Box::new(instance),
        server: server.clone(),
        survivors: Vec::new(),
        evidence: Evidence::Verdict(Verdict::Argued {
            responders: 1,
            waited: 1,
            listed: 1,
        }),
    };
    cluster.twice(promote(cluster.instance("b", false), &b)).await;
    // It is in the log of the crashed one, and prepared in its tables.
    cluster.options = vec!["init-rpl-role=SLAVE".to_owned()];
    let join = cluster.join("a", "b");
    cluster.options.clear();
    cluster.twice(join).await;
    candidate
        .execute("write", "INSERT INTO shop.t VALUES (2)")
        .await
        .unwrap();
    cluster.twice(cluster.verify("b", "a")).await;
    let mut former = cluster.connect("a").await;
    assert_eq!(
        former
            .required("look", "SELECT GROUP_CONCAT(id) FROM shop.t")
            .await
            .unwrap(),
        "2"
    );
    // One that committed what its new primary lacks cannot come back like that.
    former.execute("err", "INSERT INTO shop.t VALUES (3)").await.unwrap();
    candidate
        .execute("write", "INSERT INTO shop.t VALUES (4)")
        .await
        .unwrap();
    former.execute("end", "STOP SLAVE").await.unwrap();
    former.execute("end", "RESET SLAVE ALL").await.unwrap();
    let error = cluster.fails(cluster.join("a", "b")).await;
    assert!(
        error.starts_with("let cluster.shop.node.a follow cluster.shop.node.b: it has 0-1001-")
            && error.ends_with(", which cluster.shop.node.b lacks; only another copy helps"),
        "{error}"
    );
    cluster.drop().await;
}
