//! Slots, users, files, settings and endpoints that somebody removed or changed.

use std::fs;

use simdb_tests::wait_until;

use crate::line::Line::{ReplicationUser, Rewritten, Says, Slot, Started, Verified};
use crate::world::{APPLY, World, mended, settled};

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
            &[Slot("r[0]"), Started("r[0]"), Verified],
        ),
        mended(
            "the slot of a standby that runs is dropped",
            |w| {
                // It comes back at once, and takes the slot again unless it is quick enough.
                wait_until("the slot is dropped", || {
                    let query = "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots \
                                 WHERE slot_name = 'r_1'; SELECT pg_drop_replication_slot('r_1')";
                    w.psql("a", query).code == Some(0)
                });
            },
            &[Slot("r[1]"), Verified],
        ),
        settled(
            "slots are made by hand that nothing uses",
            |w| {
                w.ask("a", "SELECT pg_create_physical_replication_slot('archive', true)");
                w.ask("r[0]", "SELECT pg_create_physical_replication_slot('later')");
            },
            &[
                Says("by hand node.a: physical slot \"archive\" was not made by simdb, retains [SIZE] of WAL and is not in use"),
                Says("by hand node.r[0]: physical slot \"later\" was not made by simdb, retains no WAL yet and is not in use"),
            ],
            |w| {
                w.simdb(&APPLY);
                w.ask("a", "SELECT pg_drop_replication_slot('archive')");
                w.ask("r[0]", "SELECT pg_drop_replication_slot('later')");
            },
            &[],
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
                    w.ask(
                        "a",
                        "SELECT wal_status FROM pg_replication_slots WHERE slot_name = 'r_0'",
                    ) == "lost"
                });
            },
            &[
                Says("configure node.a [reload]: drift: max_slot_wal_keep_size of a is 1MB in place of 10GB"),
                Slot("r[0]"),
                Says("basebackup node.r[0] [none]: r[0] needs WAL from [LSN] on, and the oldest that a has is [LSN]"),
                Says("standby node.r[0] [none]: r[0] streams from a"),
                Verified,
            ],
        ),
        mended(
            "the replication user is dropped",
            |w| drop(w.ask("a", "DROP ROLE replicator")),
            &[ReplicationUser],
        ),
        mended(
            "the replication user may not stream",
            |w| drop(w.ask("a", "ALTER ROLE replicator NOREPLICATION NOLOGIN")),
            &[ReplicationUser],
        ),
        mended(
            "a line is removed from postgresql.conf",
            |w| {
                World::edit(&w.directory("a").join("postgresql.conf"), |text| {
                    text.replace("work_mem = '8MB'\n", "")
                });
            },
            &[Rewritten("a", "postgresql.conf")],
        ),
        mended(
            "a line is removed from postgresql.conf, and the server has read it",
            |w| {
                World::edit(&w.directory("a").join("postgresql.conf"), |text| {
                    text.replace("work_mem = '8MB'\n", "")
                });
                w.reload("a");
                wait_until("the server has read it", || w.ask("a", "SHOW work_mem") == "4MB");
            },
            &[Says(
                "configure node.a [reload]: drift: work_mem of a is not set to 8MB",
            )],
        ),
        mended(
            "postgresql.conf is removed",
            |w| fs::remove_file(w.directory("r[1]").join("postgresql.conf")).unwrap(),
            &[Rewritten("r[1]", "postgresql.conf")],
        ),
        mended(
            "pg_hba.conf is edited",
            |w| fs::write(w.directory("r[0]").join("pg_hba.conf"), "local all all trust\n").unwrap(),
            &[Rewritten("r[0]", "pg_hba.conf")],
        ),
        mended(
            "pg_hba.conf is edited so that nobody gets in",
            |w| {
                fs::write(w.directory("r[0]").join("pg_hba.conf"), "host all all all reject\n").unwrap();
                w.reload("r[0]");
                wait_until("nobody gets in", || w.psql("r[0]", "SELECT 1").code != Some(0));
            },
            &[Rewritten("r[0]", "pg_hba.conf")],
        ),
        mended(
            "a setting is changed by ALTER SYSTEM",
            |w| {
                w.ask("a", "ALTER SYSTEM SET work_mem = '64kB'");
                w.ask("a", "SELECT pg_reload_conf()");
                wait_until("the server has read it", || w.ask("a", "SHOW work_mem") == "64kB");
            },
            &[Says(
                "configure node.a [reload]: drift: work_mem of a is 64kB in place of 8MB",
            )],
        ),
        mended(
            "a setting that takes a restart is changed by ALTER SYSTEM, and the server restarted",
            |w| {
                w.ask("r[1]", "ALTER SYSTEM SET max_connections = 200");
                w.pg_ctl("r[1]", &["restart"]);
            },
            &[
                Says("configure node.r[1] [restart]: drift: max_connections of r[1] is 200 in place of its default"),
                Verified,
            ],
        ),
        mended(
            "a passfile is removed",
            |w| fs::remove_file(w.directory("r[0]").join("passfile")).unwrap(),
            &[Rewritten("r[0]", "passfile")],
        ),
        mended(
            "a standby is pointed at another port",
            |w| {
                let (right, wrong) = (w.port("a"), w.port("r[1]"));
                World::edit(&w.directory("r[0]").join("postgresql.conf"), |text| {
                    text.replace(&format!("port={right} "), &format!("port={wrong} "))
                });
                w.reload("r[0]");
                let query = "SELECT count(*) FROM pg_stat_replication WHERE application_name = 'r_0'";
                wait_until("it no longer streams from the primary", || w.ask("a", query) == "0");
            },
            &[
                Says("follow node.r[0] [reload]: drift: r[0] streams from elsewhere than simdb wrote"),
                Verified,
            ],
        ),
        mended(
            "an endpoint is led elsewhere",
            |w| {
                let (right, wrong) = (w.port("a"), w.port("r[1]"));
                World::edit(&w.service_file(), |text| {
                    text.replacen(&format!("port={right}"), &format!("port={wrong}"), 1)
                });
            },
            &[Says(
                "endpoint endpoint.rw [none]: the entry of orders-rw is not the one that simdb wrote",
            )],
        ),
        mended(
            "an endpoint asks for other sessions",
            |w| {
                World::edit(&w.service_file(), |text| {
                    text.replace("target_session_attrs=read-write", "target_session_attrs=any")
                });
            },
            &[Says(
                "endpoint endpoint.rw [none]: the entry of orders-rw is not the one that simdb wrote",
            )],
        ),
        mended(
            "an endpoint is removed",
            |w| {
                World::edit(&w.service_file(), |text| {
                    let start = text.find("[orders-ro]").unwrap();
                    let end = text.find("[orders-rw]").unwrap();
                    if start < end {
                        text[end..].to_owned()
                    } else {
                        text[..start].to_owned()
                    }
                });
            },
            &[Says("endpoint endpoint.ro [none]: orders-ro routes to the standby")],
        ),
        mended(
            "the service file is removed",
            |w| fs::remove_file(w.service_file()).unwrap(),
            &[
                Says("endpoint endpoint.ro [none]: orders-ro routes to the standby"),
                Says("endpoint endpoint.rw [none]: orders-rw routes to the primary"),
            ],
        ),
    ]);
}
