//! What can happen to a cluster between two runs of simdb: each with the plan that it must give, and, after the apply,
//! an empty plan, every member in sync and every row still there.
//!
//! A case ends where it began, so the next one goes on from there; the tables are run side by side, each on a cluster of
//! its own.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(clippy::too_many_lines, reason = "tables are as long as what they list")]

#[path = "drift/world.rs"]
mod world;

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::Stdio;

use expect_test::expect;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use simdb_tests::{TestEnvironment, wait_until};
use world::{ORDERS, World, mended, settled};

#[test]
fn servers_that_die_or_hang_are_started_where_they_are() {
    World::new().face(&[
        mended(
            "a standby is killed",
            |w| w.kill(&["r[0]"]),
            expect![[r#"
            start node.r[0] [none]: its server is down, and is started in place, on the same timeline
            verify-sync cluster.orders [none]: every standby must be seen to replay what the primary commits"#]],
        ),
        mended(
            "the other standby is killed",
            |w| w.kill(&["r[1]"]),
            expect![[r#"
            start node.r[1] [none]: its server is down, and is started in place, on the same timeline
            verify-sync cluster.orders [none]: every standby must be seen to replay what the primary commits"#]],
        ),
        mended(
            "the primary is killed",
            |w| w.kill(&["a"]),
            expect![[r#"
                start node.a [none]: its server is down, and is started in place, on the same timeline
                admit node.a [none]: a crashed, and may show commits that no standby has yet
                verify-sync cluster.orders [none]: every standby must be seen to replay what the primary commits"#]],
        ),
        mended(
            "the primary and a standby are killed",
            |w| w.kill(&["a", "r[0]"]),
            expect![[r#"
                start node.a [none]: its server is down, and is started in place, on the same timeline
                start node.r[0] [none]: its server is down, and is started in place, on the same timeline
                admit node.a [none]: a crashed, and may show commits that no standby has yet
                verify-sync cluster.orders [none]: every standby must be seen to replay what the primary commits"#]],
        ),
        mended(
            "everything is killed",
            |w| w.kill(&["a", "r[0]", "r[1]"]),
            expect![[r#"
                start node.a [none]: its server is down, and is started in place, on the same timeline
                start node.r[0] [none]: its server is down, and is started in place, on the same timeline
                start node.r[1] [none]: its server is down, and is started in place, on the same timeline
                admit node.a [none]: a crashed, and may show commits that no standby has yet
                verify-sync cluster.orders [none]: every standby must be seen to replay what the primary commits"#]],
        ),
        mended(
            "a standby is halted",
            |w| w.halt("r[0]"),
            expect![[r#"
            start node.r[0] [none]: its server was halted by a signal, and is to go on
            verify-sync cluster.orders [none]: every standby must be seen to replay what the primary commits"#]],
        ),
        mended(
            "the primary is halted",
            |w| w.halt("a"),
            expect![[r#"
            start node.a [none]: its server was halted by a signal, and is to go on
            verify-sync cluster.orders [none]: every standby must be seen to replay what the primary commits"#]],
        ),
        mended(
            "a standby's receiver is halted",
            |w| {
                let pid = w.ask("r[0]", "SELECT pid FROM pg_stat_wal_receiver");
                kill(Pid::from_raw(pid.parse().unwrap()), Signal::SIGSTOP).unwrap();
            },
            expect![[r#"
                start node.r[0] [none]: its server was halted by a signal, and is to go on
                verify-sync cluster.orders [none]: every standby must be seen to replay what the primary commits"#]],
        ),
        mended(
            "the primary was told to stop and has not ended",
            |w| {
                let pid = w.ask(
                    "a",
                    "SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'",
                );
                kill(Pid::from_raw(pid.parse().unwrap()), Signal::SIGSTOP).unwrap();
                kill(w.server("a"), Signal::SIGINT).unwrap();
                let lock = w.home("a").join("data-1/postmaster.pid");
                wait_until("the primary says so", || {
                    fs::read_to_string(&lock).is_ok_and(|text| text.contains("stopping"))
                });
            },
            expect![[r#"
                start node.a [none]: its server was told to stop, and is started again once it has
                verify-sync cluster.orders [none]: every standby must be seen to replay what the primary commits"#]],
        ),
        mended(
            "a standby is stopped by hand",
            |w| w.pg_ctl("r[1]", &["stop"]),
            expect![[r#"
            start node.r[1] [none]: its server is down, and is started in place, on the same timeline
            verify-sync cluster.orders [none]: every standby must be seen to replay what the primary commits"#]],
        ),
        mended(
            "the primary is stopped by hand",
            |w| w.pg_ctl("a", &["stop"]),
            expect![[r#"
            start node.a [none]: its server is down, and is started in place, on the same timeline
            verify-sync cluster.orders [none]: every standby must be seen to replay what the primary commits"#]],
        ),
        mended(
            "a standby is started by hand, with other settings",
            |w| {
                w.pg_ctl("r[0]", &["stop"]);
                w.pg_ctl(
                    "r[0]",
                    &["start", "-o", &format!("{} -c work_mem=1MB", w.files("r[0]"))],
                );
            },
            expect![[r#"
                configure node.r[0] [restart]: somebody started r[0]'s server without simdb, with settings of its own
                verify-sync cluster.orders [none]: every standby must be seen to replay what the primary commits"#]],
        ),
        mended(
            "the primary is started by hand, with none of our files",
            |w| {
                w.pg_ctl("a", &["stop"]);
                let options = format!("-p {} -c unix_socket_directories=''", w.port("a"));
                w.pg_ctl("a", &["start", "-o", &options]);
            },
            expect![[r#"
                configure node.a [downtime]: somebody started a's server without simdb, with settings of its own
                sync-names cluster.orders [reload]: commits are to wait for 1 of r_0, r_1
                verify-sync cluster.orders [none]: every standby must be seen to replay what the primary commits"#]],
        ),
        mended(
            "another program has the number of a killed server",
            |w| {
                w.kill(&["r[0]"]);
                let pid_file = w.data("r[0]").join("postmaster.pid");
                let own = std::process::id().to_string();
                World::edit(&pid_file, |text| text.replacen(text.lines().next().unwrap(), &own, 1));
            },
            expect![[r#"
                start node.r[0] [none]: its server is down, and is started in place, on the same timeline
                verify-sync cluster.orders [none]: every standby must be seen to replay what the primary commits"#]],
        ),
        mended(
            "another server has the number of a killed one",
            |w| {
                w.kill(&["r[0]"]);
                let pid_file = w.data("r[0]").join("postmaster.pid");
                let other = w.server("r[1]").to_string();
                World::edit(&pid_file, |text| text.replacen(text.lines().next().unwrap(), &other, 1));
            },
            expect![[r#"
                start node.r[0] [none]: its server is down, and is started in place, on the same timeline
                verify-sync cluster.orders [none]: every standby must be seen to replay what the primary commits"#]],
        ),
        mended(
            "the machine is started again",
            |w| {
                w.kill(&["a", "r[0]", "r[1]"]);
                let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
                for node in ["a", "r[0]", "r[1]"] {
                    let record = w.home(node).join("server.json");
                    World::edit(&record, |text| {
                        text.replace(boot.trim(), "00000000-0000-0000-0000-000000000000")
                    });
                }
            },
            expect![[r#"
                start node.a [none]: its server is down, and is started in place, on the same timeline
                start node.r[0] [none]: its server is down, and is started in place, on the same timeline
                start node.r[1] [none]: its server is down, and is started in place, on the same timeline
                admit node.a [none]: a crashed, and may show commits that no standby has yet
                verify-sync cluster.orders [none]: every standby must be seen to replay what the primary commits"#]],
        ),
        mended(
            "a program takes the port of a standby that is down",
            |w| {
                w.pg_ctl("r[1]", &["stop"]);
                w.occupy("r[1]");
            },
            expect![[r#"
                start node.r[1] [none]: [TEST] (pid [PID]) took its port while it was down, and it moves to [PORT]
                endpoint endpoint.ro [none]: a node that orders-ro leads to listens elsewhere
                endpoint endpoint.rw [none]: a node that orders-rw leads to listens elsewhere
                verify-sync cluster.orders [none]: every standby must be seen to replay what the primary commits"#]],
        ),
        mended(
            "a program takes the port of a primary that is down",
            |w| {
                w.pg_ctl("a", &["stop"]);
                w.occupy("a");
            },
            expect![[r#"
                start node.a [none]: [TEST] (pid [PID]) took its port while it was down, and it moves to [PORT]
                follow node.r[0] [reload]: r[0] streams from a, and a moves to 127.0.0.1:[PORT]
                follow node.r[1] [reload]: r[1] streams from a, and a moves to 127.0.0.1:[PORT]
                endpoint endpoint.ro [none]: a node that orders-ro leads to listens elsewhere
                endpoint endpoint.rw [none]: a node that orders-rw leads to listens elsewhere
                verify-sync cluster.orders [none]: every standby must be seen to replay what the primary commits"#]],
        ),
        mended(
            "replay is paused by hand",
            |w| drop(w.ask("r[0]", "SELECT pg_wal_replay_pause()")),
            expect![[r#"
                resume node.r[0] [none]: somebody paused the replay of r[0]
                verify-sync cluster.orders [none]: every standby must be seen to replay what the primary commits"#]],
        ),
        settled(
            "a node is stopped on request",
            |w| w.simdb(&["stop", "orders.r[0]", "-auto-approve"]),
            expect!["note: cluster.orders.node.r[0] is stopped on request. To start it, run: simdb start orders.r[0]"],
            |w| w.simdb(&["start", "orders.r[0]", "-auto-approve"]),
            expect![[r#""#]],
        ),
        settled(
            "the cluster is stopped on request",
            |w| w.simdb(&["stop", "orders", "-auto-approve"]),
            expect![[r#"
                note: cluster.orders.node.a is stopped on request. To start it, run: simdb start orders.a
                note: cluster.orders.node.r[0] is stopped on request. To start it, run: simdb start orders.r[0]
                note: cluster.orders.node.r[1] is stopped on request. To start it, run: simdb start orders.r[1]"#]],
            |w| w.simdb(&["start", "orders", "-auto-approve"]),
            expect![[r#""#]],
        ),
        settled(
            "a standby is removed from the configuration while the primary is down",
            |w| {
                w.kill(&["a"]);
                w.environment
                    .write("main.simdb.hcl", &ORDERS.replace("count = 2", "count = 1"));
            },
            expect![[r#"
                start node.a [none]: its server is down, and is started in place, on the same timeline
                endpoint endpoint.ro [none]: orders-ro leads to other nodes than it should
                endpoint endpoint.rw [none]: orders-rw leads to other nodes than it should
                admit node.a [none]: a crashed, and may show commits that no standby has yet
                sync-names cluster.orders [reload]: commits are to wait for 1 of r_0
                verify-sync cluster.orders [none]: every standby must be seen to replay what the primary commits
                drop-node node.r[1] [none]: the configuration no longer declares it
                drop-slot node.r[1] [none]: nobody will read it once r[1] is gone"#]],
            |w| {
                w.simdb(&["apply", "-auto-approve"]);
                assert_eq!(
                    w.ask("a", "SELECT string_agg(slot_name, ' ') FROM pg_replication_slots"),
                    "r_0"
                );
                w.environment.write("main.simdb.hcl", ORDERS);
            },
            expect![[r#"
                slot node.r[1] [none]: a keeps the log that r[1] has yet to receive
                basebackup node.r[1] [none]: r[1] has no copy of a's data that it can stream on
                standby node.r[1] [none]: r[1] is to stream from a
                endpoint endpoint.ro [none]: orders-ro leads to other nodes than it should
                endpoint endpoint.rw [none]: orders-rw leads to other nodes than it should
                sync-names cluster.orders [reload]: commits are to wait for 1 of r_0, r_1
                verify-sync cluster.orders [none]: every standby must be seen to replay what the primary commits"#]],
        ),
    ]);
}

#[test]
fn data_that_is_gone_foreign_or_diverged_is_cloned_again_or_refused() {
    World::new().face(&[
        mended(
            "the data of a standby that is down is removed",
            |w| {
                w.kill(&["r[0]"]);
                fs::remove_dir_all(w.data("r[0]")).unwrap();
            },
            expect![[r#"
                basebackup node.r[0] [none]: r[0] has no copy of a's data that it can stream on
                standby node.r[0] [none]: r[0] is to stream from a
                verify-sync cluster.orders [none]: every standby must be seen to replay what the primary commits"#]],
        ),
        mended(
            "the data of a standby that runs is removed",
            |w| fs::remove_dir_all(w.data("r[0]")).unwrap(),
            expect![[r#"
                stop node.r[0] [restart]: the data r[0] runs on is replaced
                basebackup node.r[0] [none]: r[0] has no copy of a's data that it can stream on
                standby node.r[0] [none]: r[0] is to stream from a
                verify-sync cluster.orders [none]: every standby must be seen to replay what the primary commits"#]],
        ),
        mended(
            "the home of a standby that is down is removed",
            |w| {
                w.kill(&["r[1]"]);
                fs::remove_dir_all(w.home("r[1]")).unwrap();
            },
            expect![[r#"
                basebackup node.r[1] [none]: r[1] has no copy of a's data that it can stream on
                standby node.r[1] [none]: r[1] is to stream from a
                verify-sync cluster.orders [none]: every standby must be seen to replay what the primary commits"#]],
        ),
        mended(
            "the home of a standby that runs is removed",
            |w| fs::remove_dir_all(w.home("r[1]")).unwrap(),
            expect![[r#"
                stop node.r[1] [restart]: the data r[1] runs on is replaced
                basebackup node.r[1] [none]: r[1] has no copy of a's data that it can stream on
                standby node.r[1] [none]: r[1] is to stream from a
                verify-sync cluster.orders [none]: every standby must be seen to replay what the primary commits"#]],
        ),
        settled(
            "the data of a primary that is down is moved away",
            |w| {
                w.kill(&["a"]);
                fs::rename(w.data("a"), w.aside("a")).unwrap();
            },
            expect!["Primary has lost its data: cluster.orders.node.a leads the cluster, and its data directory is gone. simdb makes no empty one in its place. Put the directory back, or destroy the cluster and create it anew."],
            |w| w.put_back("a"),
            expect![[r#"
                start node.a [none]: its server is down, and is started in place, on the same timeline
                admit node.a [none]: a crashed, and may show commits that no standby has yet
                verify-sync cluster.orders [none]: every standby must be seen to replay what the primary commits"#]],
        ),
        settled(
            "the data of a primary that runs is moved away",
            |w| fs::rename(w.data("a"), w.aside("a")).unwrap(),
            expect!["Primary has lost its data: cluster.orders.node.a leads the cluster, and its data directory is gone. simdb makes no empty one in its place. Put the directory back, or destroy the cluster and create it anew."],
            |w| w.put_back("a"),
            expect![[r#""#]],
        ),
        settled(
            "a standby has the data of another cluster",
            |w| {
                w.kill(&["r[0]"]);
                w.swap_for_foreign("r[0]");
            },
            expect!["Foreign data: cluster.orders.node.r[0] holds the data of another cluster: its system identifier is [SYSTEM], and the one on record is [SYSTEM]. simdb neither starts nor removes data that it did not make. Put the node's own data directory back; or, for a standby, move the foreign one away, and the next apply clones it again."],
            |w| w.give_up("r[0]"),
            expect![[r#"
                basebackup node.r[0] [none]: r[0] has no copy of a's data that it can stream on
                standby node.r[0] [none]: r[0] is to stream from a
                verify-sync cluster.orders [none]: every standby must be seen to replay what the primary commits"#]],
        ),
        settled(
            "the primary has the data of another cluster",
            |w| {
                w.kill(&["a"]);
                w.swap_for_foreign("a");
            },
            expect!["Foreign data: cluster.orders.node.a holds the data of another cluster: its system identifier is [SYSTEM], and the one on record is [SYSTEM]. simdb neither starts nor removes data that it did not make. Put the node's own data directory back; or, for a standby, move the foreign one away, and the next apply clones it again."],
            |w| w.put_back("a"),
            expect![[r#"
                start node.a [none]: its server is down, and is started in place, on the same timeline
                admit node.a [none]: a crashed, and may show commits that no standby has yet
                verify-sync cluster.orders [none]: every standby must be seen to replay what the primary commits"#]],
        ),
        mended(
            "a standby that is down no longer knows that it is one",
            |w| {
                w.pg_ctl("r[0]", &["stop"]);
                fs::remove_file(w.data("r[0]").join("standby.signal")).unwrap();
            },
            expect![[r#"
                start node.r[0] [none]: its server is down, and is started in place, on the same timeline
                verify-sync cluster.orders [none]: every standby must be seen to replay what the primary commits"#]],
        ),
        settled(
            "a standby is promoted by hand",
            |w| {
                w.pg_ctl("r[0]", &["promote"]);
                w.ask("r[0]", "INSERT INTO kept VALUES (-1)");
            },
            expect!["Role was changed by somebody else: cluster.orders.node.r[0] is a standby on record, and its server takes writes. Somebody promoted it or changed how it starts, and two nodes of a cluster may have taken writes since. Nothing is done until that is settled: find out which node has the writes worth keeping. To give up those of cluster.orders.node.r[0], run: simdb resync orders r[0]"],
            |w| {
                w.simdb(&["resync", "orders", "r[0]", "-auto-approve", "-allow=data-loss"]);
            },
            expect![[r#""#]],
        ),
        settled(
            "a standby is promoted by hand, and made a standby again",
            |w| {
                w.pg_ctl("r[0]", &["promote"]);
                w.pg_ctl("r[0]", &["stop"]);
                fs::write(w.data("r[0]").join("standby.signal"), "").unwrap();
                w.pg_ctl("r[0]", &["start", "-o", &w.files("r[0]")]);
            },
            expect!["Standby has diverged: cluster.orders.node.r[0] is on timeline 2, and its primary on 1: somebody promoted it, and two nodes of the cluster may have taken writes since. Nothing is done until that is settled: find out which node has the writes worth keeping. To give up those of cluster.orders.node.r[0], run: simdb resync orders r[0]"],
            |w| {
                w.pg_ctl("r[0]", &["stop"]);
                w.give_up("r[0]");
            },
            expect![[r#"
                basebackup node.r[0] [none]: r[0] has no copy of a's data that it can stream on
                standby node.r[0] [none]: r[0] is to stream from a
                verify-sync cluster.orders [none]: every standby must be seen to replay what the primary commits"#]],
        ),
        settled(
            "a standby wrote while nobody looked, and is down again",
            |w| {
                w.pg_ctl("r[1]", &["stop"]);
                fs::remove_file(w.data("r[1]").join("standby.signal")).unwrap();
                w.pg_ctl("r[1]", &["start", "-o", &w.files("r[1]")]);
                w.ask("r[1]", "INSERT INTO kept VALUES (-1)");
                w.pg_ctl("r[1]", &["stop"]);
            },
            expect!["Role was changed by somebody else: cluster.orders.node.r[1] is a standby on record, and the last server on its data was one that takes writes. Somebody promoted it or changed how it starts, and two nodes of a cluster may have taken writes since. Nothing is done until that is settled: find out which node has the writes worth keeping. To give up those of cluster.orders.node.r[1], run: simdb resync orders r[1]"],
            |w| w.give_up("r[1]"),
            expect![[r#"
                basebackup node.r[1] [none]: r[1] has no copy of a's data that it can stream on
                standby node.r[1] [none]: r[1] is to stream from a
                verify-sync cluster.orders [none]: every standby must be seen to replay what the primary commits"#]],
        ),
        settled(
            "a standby writes on another port",
            |w| {
                w.pg_ctl("r[1]", &["stop"]);
                fs::remove_file(w.data("r[1]").join("standby.signal")).unwrap();
                let port = *w.environment.ports().end();
                w.pg_ctl("r[1]", &["start", "-o", &format!("-p {port} -c unix_socket_directories=''")]);
            },
            expect!["Role was changed by somebody else: cluster.orders.node.r[1] is a standby on record, and its server takes writes. Somebody promoted it or changed how it starts, and two nodes of a cluster may have taken writes since. Nothing is done until that is settled: find out which node has the writes worth keeping. To give up those of cluster.orders.node.r[1], run: simdb resync orders r[1]"],
            |w| {
                w.pg_ctl("r[1]", &["stop", "-m", "immediate"]);
                w.give_up("r[1]");
            },
            expect![[r#"
                basebackup node.r[1] [none]: r[1] has no copy of a's data that it can stream on
                standby node.r[1] [none]: r[1] is to stream from a
                verify-sync cluster.orders [none]: every standby must be seen to replay what the primary commits"#]],
        ),
        mended(
            "an unfinished copy lies about",
            |w| fs::create_dir(w.home("r[0]").join("data-77.partial")).unwrap(),
            expect![[r#""#]],
        ),
    ]);
}

#[test]
fn what_is_missing_or_changed_in_a_server_is_put_back() {
    World::new().face(&[
        mended(
            "the slot of a standby that is down is dropped",
            |w| {
                w.kill(&["r[0]"]);
                w.wait_inactive("r_0");
                w.ask("a", "SELECT pg_drop_replication_slot('r_0')");
            },
            expect![[r#"
                slot node.r[0] [none]: a keeps the log that r[0] has yet to receive
                start node.r[0] [none]: its server is down, and is started in place, on the same timeline
                verify-sync cluster.orders [none]: every standby must be seen to replay what the primary commits"#]],
        ),
        mended(
            "the slot of a standby that runs is dropped",
            |w| {
                // It comes back at once, and takes the slot again unless it is quick enough.
                wait_until("the slot is dropped", || {
                    let query = "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = 'r_1'; \
                         SELECT pg_drop_replication_slot('r_1')";
                    let arguments = ["psql", "orders.a", "--", "-X", "-At", "-v", "ON_ERROR_STOP=1", "-c", query];
                    w.environment.run(&arguments).code == Some(0)
                });
            },
            expect![[r#"
                slot node.r[1] [none]: a keeps the log that r[1] has yet to receive
                verify-sync cluster.orders [none]: every standby must be seen to replay what the primary commits"#]],
        ),
        mended(
            "a standby stays away until its log is gone",
            |w| {
                w.pg_ctl("r[0]", &["stop"]);
                w.ask("a", "ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'");
                w.reload("a");
                wait_until("the slot is lost", || {
                    w.ask("a", "SELECT pg_switch_wal()");
                    w.ask("a", "INSERT INTO kept SELECT 0 FROM generate_series(1, 1000)");
                    w.ask("a", "DELETE FROM kept WHERE n = 0");
                    w.ask("a", "CHECKPOINT");
                    w.ask("a", "SELECT wal_status FROM pg_replication_slots WHERE slot_name = 'r_0'") == "lost"
                });
            },
            expect![[r#"
                configure node.a [reload]: a runs with another max_slot_wal_keep_size
                slot node.r[0] [none]: a keeps the log that r[0] has yet to receive
                basebackup node.r[0] [none]: r[0] has no copy of a's data that it can stream on
                standby node.r[0] [none]: r[0] is to stream from a
                verify-sync cluster.orders [none]: every standby must be seen to replay what the primary commits"#]],
        ),
        mended("the replication user is dropped", |w| drop(w.ask("a", "DROP ROLE replicator")), expect!["replication-user user.replicator [none]: standbys stream with it, and with it alone"]),
        mended(
            "the replication user may not stream",
            |w| drop(w.ask("a", "ALTER ROLE replicator NOREPLICATION NOLOGIN")),
            expect!["replication-user user.replicator [none]: standbys stream with it, and with it alone"],
        ),
        mended(
            "a line is removed from postgresql.conf",
            |w| {
                World::edit(&w.home("a").join("postgresql.conf"), |text| text.replace("work_mem = '8MB'\n", ""));
            },
            expect!["configure node.a [reload]: postgresql.conf of a does not hold what simdb wrote"],
        ),
        mended(
            "a line is removed from postgresql.conf, and the server has read it",
            |w| {
                World::edit(&w.home("a").join("postgresql.conf"), |text| text.replace("work_mem = '8MB'\n", ""));
                w.reload("a");
                wait_until("the server has read it", || w.ask("a", "SHOW work_mem") == "4MB");
            },
            expect!["configure node.a [reload]: a runs with another work_mem"],
        ),
        mended(
            "postgresql.conf is removed",
            |w| fs::remove_file(w.home("r[1]").join("postgresql.conf")).unwrap(),
            expect!["configure node.r[1] [reload]: postgresql.conf of r[1] does not hold what simdb wrote"],
        ),
        mended(
            "pg_hba.conf is edited",
            |w| fs::write(w.home("r[0]").join("pg_hba.conf"), "local all all trust\n").unwrap(),
            expect!["configure node.r[0] [reload]: pg_hba.conf of r[0] does not hold what simdb wrote"],
        ),
        mended(
            "pg_hba.conf is edited so that nobody gets in",
            |w| {
                fs::write(w.home("r[0]").join("pg_hba.conf"), "host all all all reject\n").unwrap();
                w.reload("r[0]");
                wait_until("nobody gets in", || {
                    w.environment.run(&["psql", "orders.r[0]", "--", "-c", "SELECT 1"]).code != Some(0)
                });
            },
            expect![[r#"
                configure node.r[0] [reload]: pg_hba.conf of r[0] does not hold what simdb wrote
                note: cluster.orders.node.r[0] runs, and its server could not be asked: connect to cluster.orders.node.r[0] at 127.0.0.1:[PORT]: pg_hba.conf rejects connection for host "127.0.0.1", user "postgres", database "postgres", no encryption (SQLSTATE 28000). What it would have said is taken as recorded."#]],
        ),
        mended(
            "a setting is changed by ALTER SYSTEM",
            |w| {
                w.ask("a", "ALTER SYSTEM SET work_mem = '64kB'");
                w.ask("a", "SELECT pg_reload_conf()");
                wait_until("the server has read it", || w.ask("a", "SHOW work_mem") == "64kB");
            },
            expect!["configure node.a [reload]: a runs with another work_mem"],
        ),
        mended(
            "a setting that takes a restart is changed by ALTER SYSTEM, and the server restarted",
            |w| {
                w.ask("r[1]", "ALTER SYSTEM SET max_connections = 200");
                w.pg_ctl("r[1]", &["restart"]);
            },
            expect![[r#"
                configure node.r[1] [restart]: r[1] runs with another max_connections
                verify-sync cluster.orders [none]: every standby must be seen to replay what the primary commits"#]],
        ),
        mended("a passfile is removed", |w| fs::remove_file(w.home("r[0]").join("passfile")).unwrap(), expect!["configure node.r[0] [reload]: passfile of r[0] does not hold what simdb wrote"]),
        mended(
            "a standby is pointed at another port",
            |w| {
                let (right, wrong) = (w.port("a"), w.port("r[1]"));
                World::edit(&w.home("r[0]").join("postgresql.conf"), |text| {
                    text.replace(&format!("port={right} "), &format!("port={wrong} "))
                });
                w.reload("r[0]");
                let query = "SELECT count(*) FROM pg_stat_replication WHERE application_name = 'r_0'";
                wait_until("it no longer streams from the primary", || w.ask("a", query) == "0");
            },
            expect![[r#"
                follow node.r[0] [reload]: r[0] runs with another primary_conninfo
                verify-sync cluster.orders [none]: every standby must be seen to replay what the primary commits"#]],
        ),
        mended(
            "an endpoint is led elsewhere",
            |w| {
                let (right, wrong) = (w.port("a"), w.port("r[1]"));
                World::edit(&w.service_file(), |text| {
                    text.replacen(&format!("port={right}"), &format!("port={wrong}"), 1)
                });
            },
            expect!["endpoint endpoint.rw [none]: the entry of orders-rw is not the one that simdb wrote"],
        ),
        mended(
            "an endpoint asks for other sessions",
            |w| {
                World::edit(&w.service_file(), |text| {
                    text.replace("target_session_attrs=read-write", "target_session_attrs=any")
                });
            },
            expect!["endpoint endpoint.rw [none]: the entry of orders-rw is not the one that simdb wrote"],
        ),
        mended(
            "an endpoint is removed",
            |w| {
                World::edit(&w.service_file(), |text| {
                    let start = text.find("[orders-ro]").unwrap();
                    let end = text.find("[orders-rw]").unwrap();
                    if start < end { text[end..].to_owned() } else { text[..start].to_owned() }
                });
            },
            expect!["endpoint endpoint.ro [none]: orders-ro is to lead to the standby"],
        ),
        mended(
            "the service file is removed",
            |w| fs::remove_file(w.service_file()).unwrap(),
            expect![[r#"
                endpoint endpoint.ro [none]: orders-ro is to lead to the standby
                endpoint endpoint.rw [none]: orders-rw is to lead to the primary"#]],
        ),
    ]);
}

#[test]
fn a_port_that_is_taken_between_plan_and_apply_is_a_clean_failure_that_the_next_plan_solves() {
    let environment = TestEnvironment::with_configuration(ORDERS);
    let mut command = environment.command(&["apply", "-auto-approve", "-json"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok);
    // The ports are chosen once a step has been started, and the last one is bound long after.
    lines.find(|line| line.contains("\"step_started\"")).unwrap();
    let port = environment.ports().start() + 2;
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let rest: Vec<String> = lines.collect();
    assert_eq!(child.wait().unwrap().code(), Some(1), "{rest:?}");
    let failures = rest.iter().filter(|line| line.contains("Address already in use"));
    assert!(failures.count() > 0, "{rest:?}");
    environment.run(&["apply", "-auto-approve"]).expect_code(0);
    environment.run(&["plan", "-detailed-exitcode"]).expect_code(0);
    wait_until("every node is healthy", || environment.run(&["status"]).code == Some(0));
    drop(listener);
    environment
        .run(&["destroy", "-auto-approve", "-allow=data-loss"])
        .expect_code(0);
    environment.assert_nothing_left();
}
