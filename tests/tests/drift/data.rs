//! Data that is not what a node had.

use std::fs;

use crate::line::Line::{Cloned, Foreign, Opened, PrimaryLost, RoleChanged, Says, Started, Stopped, Verified};
use crate::world::{World, mended, settled};

#[test]
fn data_that_is_gone_foreign_or_diverged_is_cloned_again_or_refused() {
    World::new().face(&[
        mended(
            "the data of a standby that is down is removed",
            |w| {
                w.kill(&["r[0]"]);
                fs::remove_dir_all(w.data("r[0]")).unwrap();
            },
            &[Cloned("r[0]"), Verified],
        ),
        mended(
            "the data of a standby that runs is removed",
            |w| fs::remove_dir_all(w.data("r[0]")).unwrap(),
            &[Stopped("r[0]"), Cloned("r[0]"), Verified],
        ),
        mended(
            "the instance directory of a standby that is down is removed",
            |w| {
                w.kill(&["r[1]"]);
                fs::remove_dir_all(w.directory("r[1]")).unwrap();
            },
            &[Cloned("r[1]"), Verified],
        ),
        mended(
            "the instance directory of a standby that runs is removed",
            |w| fs::remove_dir_all(w.directory("r[1]")).unwrap(),
            &[Stopped("r[1]"), Cloned("r[1]"), Verified],
        ),
        settled(
            "the data of a primary that is down is moved away",
            |w| {
                w.kill(&["a"]);
                fs::rename(w.data("a"), w.aside("a")).unwrap();
            },
            &[PrimaryLost],
            |w| w.put_back("a"),
            &[Started("a"), Opened, Verified],
        ),
        settled(
            "the data of a primary that runs is moved away",
            |w| fs::rename(w.data("a"), w.aside("a")).unwrap(),
            &[PrimaryLost],
            |w| w.put_back("a"),
            &[],
        ),
        settled(
            "a standby has the data of another cluster",
            |w| {
                w.kill(&["r[0]"]);
                w.swap_for_foreign("r[0]");
            },
            &[Foreign("r[0]")],
            |w| w.give_up("r[0]"),
            &[Cloned("r[0]"), Verified],
        ),
        settled(
            "the primary has the data of another cluster",
            |w| {
                w.kill(&["a"]);
                w.swap_for_foreign("a");
            },
            &[Foreign("a")],
            |w| w.put_back("a"),
            &[Started("a"), Opened, Verified],
        ),
        mended(
            "a standby that is down no longer knows that it is one",
            |w| {
                w.pg_ctl("r[0]", &["stop"]);
                fs::remove_file(w.data("r[0]").join("standby.signal")).unwrap();
            },
            &[Started("r[0]"), Verified],
        ),
        settled(
            "a standby is promoted by hand",
            |w| {
                w.pg_ctl("r[0]", &["promote"]);
                w.ask("r[0]", "INSERT INTO kept VALUES (-1)");
            },
            &[RoleChanged("r[0]", "its server takes writes")],
            |w| {
                w.simdb(&["resync", "orders", "r[0]", "-auto-approve", "-allow=data-loss"]);
            },
            &[],
        ),
        settled(
            "a standby is promoted by hand, and made a standby again",
            |w| {
                w.pg_ctl("r[0]", &["promote"]);
                w.pg_ctl("r[0]", &["stop"]);
                fs::write(w.data("r[0]").join("standby.signal"), "").unwrap();
                w.pg_ctl("r[0]", &["start", "-o", &w.files("r[0]")]);
            },
            &[Says(
                "Standby has diverged: cluster.orders.node.r[0] is on timeline 2, and its primary on 1: it was \
                 promoted without simdb, and two nodes of the cluster may have taken writes since. Nothing is done until that is \
                 settled: find out which node has the writes worth keeping. To give up those of \
                 cluster.orders.node.r[0], run: simdb resync orders r[0]",
            )],
            |w| {
                w.pg_ctl("r[0]", &["stop"]);
                w.give_up("r[0]");
            },
            &[Cloned("r[0]"), Verified],
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
            &[RoleChanged(
                "r[1]",
                "the last server on its data was one that takes writes",
            )],
            |w| w.give_up("r[1]"),
            &[Cloned("r[1]"), Verified],
        ),
        settled(
            "a standby writes on another port",
            |w| {
                w.pg_ctl("r[1]", &["stop"]);
                fs::remove_file(w.data("r[1]").join("standby.signal")).unwrap();
                let port = *w.environment.ports().end();
                w.pg_ctl(
                    "r[1]",
                    &["start", "-o", &format!("-p {port} -c unix_socket_directories=''")],
                );
            },
            &[RoleChanged("r[1]", "its server takes writes")],
            |w| {
                w.pg_ctl("r[1]", &["stop", "-m", "immediate"]);
                w.give_up("r[1]");
            },
            &[Cloned("r[1]"), Verified],
        ),
        mended(
            "an unfinished copy lies about",
            |w| fs::create_dir(w.directory("r[0]").join("data-77.partial")).unwrap(),
            &[],
        ),
    ]);
}
