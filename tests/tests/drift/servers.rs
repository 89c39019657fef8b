//! Servers that end, hang, or run as somebody else started them.

use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use simdb_tests::wait_until;

use crate::line::Line::{
    Cloned, EndpointsLeadToOthers, EndpointsListenElsewhere, Opened, PortTaken, Says, Slot, Started, StartedByHand,
    StoppedOnRequest, Verified, Woken,
};
use crate::world::{APPLY, ORDERS, World, mended, settled};

#[test]
fn servers_that_die_or_hang_are_started_where_they_are() {
    World::new().face(&[
        mended(
            "a standby is killed",
            |w| w.kill(&["r[0]"]),
            &[Started("r[0]"), Verified],
        ),
        mended(
            "the other standby is killed",
            |w| w.kill(&["r[1]"]),
            &[Started("r[1]"), Verified],
        ),
        mended(
            "the primary is killed",
            |w| w.kill(&["a"]),
            &[Started("a"), Opened, Verified],
        ),
        mended(
            "the primary and a standby are killed",
            |w| w.kill(&["a", "r[0]"]),
            &[Started("a"), Started("r[0]"), Opened, Verified],
        ),
        mended(
            "everything is killed",
            |w| w.kill(&["a", "r[0]", "r[1]"]),
            &[Started("a"), Started("r[0]"), Started("r[1]"), Opened, Verified],
        ),
        mended("a standby is halted", |w| w.halt("r[0]"), &[Woken("r[0]"), Verified]),
        mended("the primary is halted", |w| w.halt("a"), &[Woken("a"), Verified]),
        mended(
            "a standby's receiver is halted",
            |w| w.halt_process("r[0]", "SELECT pid FROM pg_stat_wal_receiver"),
            &[Woken("r[0]"), Verified],
        ),
        mended(
            "the primary was told to stop and has not ended",
            |w| {
                w.halt_process(
                    "a",
                    "SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'",
                );
                kill(w.server("a"), Signal::SIGINT).unwrap();
                let lock = w.directory("a").join("data-1/postmaster.pid");
                wait_until("the primary says so", || {
                    fs::read_to_string(&lock).is_ok_and(|text| text.contains("stopping"))
                });
            },
            &[
                Says("start node.a [none]: its server was told to stop, and is started again once it has"),
                Says(
                    "open node.a [none]: a has not ended yet and may be killed, and may show commits that no standby has \
                     yet",
                ),
                Verified,
            ],
        ),
        mended(
            "a standby is stopped by hand",
            |w| w.pg_ctl("r[1]", &["stop"]),
            &[Started("r[1]"), Verified],
        ),
        mended(
            "the primary is stopped by hand",
            |w| w.pg_ctl("a", &["stop"]),
            &[Started("a"), Verified],
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
            &[StartedByHand("r[0]", "restart"), Verified],
        ),
        mended(
            "the primary is started by hand, with none of our files",
            |w| {
                w.pg_ctl("a", &["stop"]);
                let options = format!("-p {} -c unix_socket_directories=''", w.port("a"));
                w.pg_ctl("a", &["start", "-o", &options]);
            },
            &[
                StartedByHand("a", "downtime"),
                Says("sync-names cluster.orders [reload]: commits wait for 1 of r_0, r_1"),
                Verified,
            ],
        ),
        mended(
            "another program has the number of a killed server",
            |w| {
                w.kill(&["r[0]"]);
                w.give_number_to("r[0]", Pid::this());
            },
            &[Started("r[0]"), Verified],
        ),
        mended(
            "another server has the number of a killed one",
            |w| {
                w.kill(&["r[0]"]);
                w.give_number_to("r[0]", w.server("r[1]"));
            },
            &[Started("r[0]"), Verified],
        ),
        mended(
            "the machine is started again",
            |w| {
                w.kill(&["a", "r[0]", "r[1]"]);
                let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
                for node in ["a", "r[0]", "r[1]"] {
                    let record = w.directory(node).join("server.json");
                    World::edit(&record, |text| {
                        text.replace(boot.trim(), "00000000-0000-0000-0000-000000000000")
                    });
                }
            },
            &[Started("a"), Started("r[0]"), Started("r[1]"), Opened, Verified],
        ),
        mended(
            "a program takes the port of a standby that is down",
            |w| {
                w.pg_ctl("r[1]", &["stop"]);
                w.occupy("r[1]");
            },
            &[PortTaken("r[1]"), EndpointsListenElsewhere, Verified],
        ),
        mended(
            "a program takes the port of a primary that is down",
            |w| {
                w.pg_ctl("a", &["stop"]);
                w.occupy("a");
            },
            &[
                PortTaken("a"),
                Says("follow node.r[0] [reload]: r[0] streams from a, and a moves to 127.0.0.1:[PORT]"),
                Says("follow node.r[1] [reload]: r[1] streams from a, and a moves to 127.0.0.1:[PORT]"),
                EndpointsListenElsewhere,
                Verified,
            ],
        ),
        mended(
            "replay is paused by hand",
            |w| drop(w.ask("r[0]", "SELECT pg_wal_replay_pause()")),
            &[
                Says("resume node.r[0] [none]: drift: the replay of r[0] is paused"),
                Verified,
            ],
        ),
        settled(
            "a node is stopped on request",
            |w| w.simdb(&["stop", "orders.r[0]", "-auto-approve"]),
            &[StoppedOnRequest("r[0]")],
            |w| w.simdb(&["start", "orders.r[0]", "-auto-approve"]),
            &[],
        ),
        settled(
            "the cluster is stopped on request",
            |w| w.simdb(&["stop", "orders", "-auto-approve"]),
            &[
                StoppedOnRequest("a"),
                StoppedOnRequest("r[0]"),
                StoppedOnRequest("r[1]"),
            ],
            |w| w.simdb(&["start", "orders", "-auto-approve"]),
            &[],
        ),
        settled(
            "a standby is removed from the configuration while the primary is down",
            |w| {
                w.kill(&["a"]);
                w.environment
                    .write("main.simdb.hcl", &ORDERS.replace("count = 2", "count = 1"));
            },
            &[
                Started("a"),
                EndpointsLeadToOthers,
                Opened,
                Says("sync-names cluster.orders [reload]: commits wait for 1 of r_0"),
                Verified,
                Says("drop-node node.r[1] [none]: the configuration no longer declares it"),
                Says("drop-slot node.r[1] [none]: no standby reads it once r[1] is gone"),
            ],
            |w| {
                w.simdb(&APPLY);
                assert_eq!(
                    w.ask("a", "SELECT string_agg(slot_name, ' ') FROM pg_replication_slots"),
                    "r_0"
                );
                w.environment.write("main.simdb.hcl", ORDERS);
            },
            &[
                Slot("r[1]"),
                Cloned("r[1]"),
                EndpointsLeadToOthers,
                Says("sync-names cluster.orders [reload]: commits wait for 1 of r_0, r_1"),
                Verified,
            ],
        ),
    ]);
}
