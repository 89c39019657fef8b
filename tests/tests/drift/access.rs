//! Roles, databases and what their sessions begin with, changed by hand.

use crate::line::Line::{Says, Verified};
use crate::world::{World, mended, settled};

/// A cluster whose seed sets something for the sessions of its database and of its owner.
const SHOP: &str = r#"network "lan" {}

cluster "orders" {
  network = network.lan
  engine "postgresql" {}
  node "a" {}
  node "r" { count = 2 }
  user "app" {}
  user "reports" { connection_limit = 5 }
  database "app" { owner = "app" }
  seed "settings" {
    database = "app"
    file     = "settings.sql"
  }
}
"#;

const SEED: &str =
    "ALTER DATABASE app SET search_path = app, public;\nALTER ROLE CURRENT_USER SET work_mem = '16MB';\n";

#[test]
fn what_is_changed_of_roles_and_databases_is_told_and_put_back() {
    let world = World::with_files(SHOP, &[("settings.sql", SEED)]);
    world.face(&[
        mended(
            "a role begins its sessions with another setting",
            |w| drop(w.ask("a", "ALTER ROLE reports SET statement_timeout = '5s'")),
            &[Says(
                "user user.reports [none]: drift: settings.statement_timeout is [TIME] in place of its default",
            )],
        ),
        mended(
            "what a seed set for its owner is set anew",
            |w| drop(w.ask("a", "ALTER ROLE app SET work_mem = '1GB'")),
            &[Says("user user.app [none]: drift: settings.work_mem is 1GB in place of 16MB")],
        ),
        mended(
            "a database begins sessions with another setting, and without one that its seed set",
            |w| {
                w.ask("a", "ALTER DATABASE app SET jit = off");
                w.ask("a", "ALTER DATABASE app RESET search_path");
            },
            &[Says(
                "database database.app [none]: drift: settings.search_path is not set to app, public, settings.jit is off in \
                 place of its default",
            )],
        ),
        mended(
            "a role begins its sessions in one database with another setting",
            |w| drop(w.ask("a", "ALTER ROLE reports IN DATABASE app SET \"TimeZone\" = 'Asia/Tokyo'")),
            &[Says(
                "user user.reports [none]: drift: settings.TimeZone in app is Asia/Tokyo in place of its default",
            )],
        ),
        settled(
            "all roles begin their sessions with another setting, and so does the superuser",
            |w| {
                w.ask("a", "ALTER ROLE ALL SET jit = off");
                w.ask("a", "ALTER ROLE postgres SET work_mem = '1GB'");
            },
            &[
                Says("by hand cluster.orders: jit is set for every role, and simdb did not set it"),
                Says("by hand cluster.orders: work_mem is set for role \"postgres\", and simdb did not set it"),
            ],
            |w| {
                w.ask("a", "ALTER ROLE ALL RESET jit");
                w.ask("a", "ALTER ROLE postgres RESET work_mem");
            },
            &[],
        ),
        mended(
            "settings of an application are its own",
            |w| drop(w.ask("a", "ALTER ROLE reports SET app.mode = 'batch'")),
            &[],
        ),
        mended(
            "a role is given another password",
            |w| drop(w.ask("a", "ALTER ROLE reports PASSWORD 'by hand'")),
            &[Says(
                "user user.reports [none]: drift: the role has another password than the one on record",
            )],
        ),
        mended(
            "the password of a role expires",
            |w| drop(w.ask("a", "ALTER ROLE reports VALID UNTIL '2001-01-01'")),
            &[Says("user user.reports [none]: drift: the role's password has expired")],
        ),
        mended(
            "the replication user is given another password",
            |w| drop(w.ask("a", "ALTER ROLE replicator PASSWORD 'by hand'")),
            &[
                Says(
                    "replication-user user.replicator [none]: drift: the role has another password than the one on record",
                ),
                Verified,
            ],
        ),
        mended(
            "the replication user begins its sessions with another setting",
            |w| drop(w.ask("a", "ALTER ROLE replicator SET jit = off")),
            &[Says(
                "replication-user user.replicator [none]: drift: settings.jit is off in place of its default",
            )],
        ),
        mended(
            "a role may do more, and less",
            |w| drop(w.ask("a", "ALTER ROLE reports CREATEDB CONNECTION LIMIT 1")),
            &[Says(
                "user user.reports [none]: drift: connection_limit is 1 in place of 5, createdb is true in place of its default",
            )],
        ),
        mended(
            "a role joins another one",
            |w| drop(w.ask("a", "GRANT pg_monitor TO reports")),
            &[Says(
                "user user.reports [none]: drift: member_of is [\"pg_monitor\"] in place of its default",
            )],
        ),
        mended(
            "a role is dropped",
            |w| drop(w.ask("a", "DROP ROLE reports")),
            &[Says("user user.reports [none]: drift: the role is gone")],
        ),
        mended(
            "a database is given to another role",
            |w| drop(w.ask("a", "ALTER DATABASE app OWNER TO reports")),
            &[Says("database database.app [none]: drift: owner is reports in place of app")],
        ),
        settled(
            "a slot decodes the changes of a database",
            |w| drop(w.ask_in("app", "SELECT pg_create_logical_replication_slot('cdc', 'pgoutput')")),
            &[Says(
                "by hand node.a: logical slot \"cdc\" of database \"app\" was not made by simdb, retains [SIZE] of WAL and is not \
                 in use",
            )],
            |w| drop(w.ask("a", "SELECT pg_drop_replication_slot('cdc')")),
            &[],
        ),
        mended(
            "a role and a database that nobody declared are left alone",
            |w| {
                w.ask("a", "CREATE ROLE stranger LOGIN");
                w.ask("a", "ALTER ROLE stranger SET work_mem = '1GB'");
                w.ask("a", "CREATE DATABASE theirs OWNER stranger");
            },
            &[],
        ),
        mended(
            "a database is dropped",
            |w| drop(w.ask("a", "DROP DATABASE app")),
            &[
                Says("database database.app [none]: drift: it is gone, with its data; an empty one is made"),
                Says("seed seed.settings [none]: it has yet to run"),
            ],
        ),
    ]);
}
