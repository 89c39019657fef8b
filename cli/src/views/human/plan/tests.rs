use anstream::adapter::strip_str;
use expect_test::{Expect, expect};
use serde_json::json;
use simdb_planner::plan::Shown;

use super::*;
use crate::views::doc::{MoveDoc, NotComparedDoc, OutputChangeDoc, ProofDoc};
use crate::views::sample::{address, attribute, change, creation, destruction, document, step, value};

fn check(plan: &PlanDoc, width: usize, expected: &Expect) {
    expected.assert_eq(&strip_str(&render(plan, Layout::folded(width))).to_string());
}

#[test]
fn a_creation_at_80_columns() {
    check(
        &creation(),
        80,
        &expect![[r#"
            Changes are indicated with the following symbols:
              + create

            simdb will make the following changes:

              # network.lan will be created
              + network "lan" {}

              # cluster.orders.node.a will be created
              + node "a" {
                  + listen            = "127.0.0.1:5433"
                  + role              = "primary"
                  + parameters        = {
                      + max_connections = "50"
                      + shared_buffers  = "64MB"
                    }
                  + system_identifier = (known after apply)
                }

              # cluster.orders.user.replication will be created
              + user "replication" {
                  + login    = true
                  + password = (generated at apply)
                }

            Steps:

               #  Step              Address                          After  Impact
               1  network           network.lan                             none
                  network "lan" is declared
               2  primary           cluster.orders.node.a            1      none
                  cluster "orders" is new, and a is declared first
               3  replication-user  cluster.orders.user.replication  2      none
                  standbys stream with it, and with it alone
               4  basebackup        cluster.orders.node.r[0]         1-3    none
                  r[0] streams from a

            Plan: 3 to add, 0 to change, 0 to destroy. Worst impact: none.
        "#]],
    );
}

#[test]
fn a_creation_at_120_columns() {
    check(
        &creation(),
        120,
        &expect![[r#"
            Changes are indicated with the following symbols:
              + create

            simdb will make the following changes:

              # network.lan will be created
              + network "lan" {}

              # cluster.orders.node.a will be created
              + node "a" {
                  + listen            = "127.0.0.1:5433"
                  + role              = "primary"
                  + parameters        = {
                      + max_connections = "50"
                      + shared_buffers  = "64MB"
                    }
                  + system_identifier = (known after apply)
                }

              # cluster.orders.user.replication will be created
              + user "replication" {
                  + login    = true
                  + password = (generated at apply)
                }

            Steps:

               #  Step              Address                          After  Impact  Because
               1  network           network.lan                             none    network "lan" is declared
               2  primary           cluster.orders.node.a            1      none    cluster "orders" is new, and a is declared first
               3  replication-user  cluster.orders.user.replication  2      none    standbys stream with it, and with it alone
               4  basebackup        cluster.orders.node.r[0]         1-3    none    r[0] streams from a

            Plan: 3 to add, 0 to change, 0 to destroy. Worst impact: none.
        "#]],
    );
}

#[test]
fn no_line_is_longer_than_the_terminal_is_wide() {
    for width in [80, 120] {
        for plan in [creation(), collections()] {
            let text = strip_str(&render(&plan, Layout::folded(width))).to_string();
            let longest = text.lines().map(|line| line.chars().count()).max();
            assert!(longest <= Some(width), "{longest:?}\n{text}");
        }
    }
}

#[test]
fn a_destruction_is_red_and_says_why() {
    expect![[r#"
        Changes are indicated with the following symbols:
          ^[31m-^[0m destroy

        simdb will make the following changes:

          ^[31m-^[0m ^[1mcluster.orders.node.a^[0m will be ^[1m^[31mdestroyed^[0m, because the configuration no
            longer declares it

        Steps:

          ^[90m #^[0m  ^[90mStep^[0m       ^[90mAddress^[0m                ^[90mAfter^[0m  ^[90mImpact^[0m
          ^[90m 1^[0m  ^[1mdrop-node^[0m  cluster.orders.node.a         ^[1m^[31mdata-loss^[0m
              ^[90mthe configuration no longer declares it^[0m

        ^[1m^[31mData that is lost for good:^[0m
          - cluster.orders.node.a: drop-node, because the configuration no longer
            declares it

        ^[1mPlan:^[0m 0 to add, 0 to change, 1 to destroy. Worst impact: ^[1m^[31mdata-loss^[0m.
    "#]]
    .assert_eq(&render(&destruction(), Layout::folded(80)).replace('\u{1b}', "^"));
}

#[test]
fn an_update_hides_what_stays_and_nests() {
    let attributes = vec![
        attribute("role", value(json!("standby")), value(json!("standby"))),
        attribute("power", value(json!("stopped")), value(json!("running"))),
        attribute("parameters.max_connections", value(json!("50")), value(json!("100"))),
        attribute("parameters.shared_buffers", value(json!("64MB")), value(json!("64MB"))),
        attribute("parameters.work_mem", value(json!("4MB")), None),
        attribute("follows", value(json!("a")), Some(Shown::KnownAfterApply)),
    ];
    let mut restart = step(
        1,
        "configure",
        "cluster.orders.node.r[0]",
        &[],
        "max_connections changes, which takes a restart",
    );
    restart.impact = Impact::Restart;
    let update = change("cluster.orders.node.r[0]", ChangeAction::Update, attributes);
    let mut plan = document(Operation::Apply, vec![update], vec![restart]);
    plan.notes
        .push("cluster.orders.node.b could not be looked at: it did not answer within 2 s.".to_owned());
    plan.interrupted = Some(InterruptedDoc {
        operation: "apply".to_owned(),
        during: vec!["basebackup of cluster.orders.node.r[0]".to_owned()],
    });
    check(
        &plan,
        80,
        &expect![[r#"
            Interrupted: the last apply was cut off during basebackup of
            cluster.orders.node.r[0]. This plan looked at its leftovers and goes on from
            there.

            Changes are indicated with the following symbols:
              ~ update in-place

            simdb will make the following changes:

              # cluster.orders.node.r[0] will be updated in-place (configuration)
              ~ node "r[0]" {
                  ~ power      = "stopped" -> "running"
                  ~ parameters = {
                      - max_connections = "50"
                      + max_connections = "100"
                      - work_mem        = "4MB"
                        # (1 unchanged attribute hidden)
                    }
                  ~ follows    = "a" -> (known after apply)
                    # (1 unchanged attribute hidden)
                }

            Steps:

               #  Step       Address                   After  Impact
               1  configure  cluster.orders.node.r[0]         restart
                  max_connections changes, which takes a restart

            Plan: 0 to add, 1 to change, 0 to destroy. Worst impact: restart.

            Note: cluster.orders.node.b could not be looked at: it did not answer within 2
            s.
        "#]],
    );
}

#[test]
fn changed_outputs_alone_are_shown() {
    let mut plan = document(Operation::Apply, vec![], vec![]);
    plan.output_changes = vec![
        OutputChangeDoc {
            change: attribute("port", value(json!(5432)), value(json!(5433))),
            action: ChangeAction::Update,
        },
        OutputChangeDoc {
            change: attribute("url", None, Some(Shown::Sensitive)),
            action: ChangeAction::Create,
        },
    ];
    check(
        &plan,
        80,
        &expect![[r"
        Changes are indicated with the following symbols:
          + create
          ~ update in-place

        Changes to Outputs:
          ~ port = 5432 -> 5433
          + url  = (sensitive value)

        Plan: 0 to add, 0 to change, 0 to destroy. Worst impact: none.
    "]],
    );
}

#[test]
fn an_empty_plan_says_so() {
    let empty = |operation| document(operation, vec![], vec![]);
    check(
        &empty(Operation::Apply),
        80,
        &expect![[r"
        No changes. Your clusters match the configuration.
    "]],
    );
    check(
        &empty(Operation::Destroy),
        80,
        &expect![[r"
        No changes. Nothing is recorded, so nothing needs to be destroyed.
    "]],
    );
}

#[test]
fn what_could_not_be_compared_is_not_said_to_match() {
    let mut plan = document(Operation::Apply, vec![], vec![]);
    plan.complete = false;
    plan.not_compared = vec![NotComparedDoc {
        address: address("cluster.orders.node.a"),
        reason: "its server could not be asked: did not answer within 2s".to_owned(),
    }];
    check(
        &plan,
        80,
        &expect![[r"
        Incomplete. What could be compared needs no changes.

        Not compared: cluster.orders.node.a: its server could not be asked: did not
        answer within 2s.
    "]],
    );
}

#[test]
fn numbers_in_a_row_are_a_range() {
    for (numbers, expected) in [
        (&[][..], ""),
        (&[4], "4"),
        (&[1, 2], "1,2"),
        (&[1, 2, 3, 5, 7, 8, 9], "1-3,5,7-9"),
        (&[1, 3, 5, 7, 9, 10, 12], "1,3,5 +4"),
    ] {
        assert_eq!(ranges(numbers), expected);
    }
}

/// A plan whose values take more than a line.
fn collections() -> PlanDoc {
    let file = |level: &str| {
        let lines: Vec<String> = (1..=12)
            .map(|number| match number {
                6 => format!("wal_level = {level}"),
                _ => format!("setting_{number} = on"),
            })
            .collect();
        lines.join("\n") + "\n"
    };
    let hosts = |ports: &[u16]| {
        let hosts: Vec<String> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        value(json!(hosts))
    };
    let change = change(
        "cluster.orders.endpoint.rw",
        ChangeAction::Update,
        vec![
            attribute("target", value(json!("primary")), value(json!("primary"))),
            attribute("hosts", hosts(&[5432, 5433, 5434]), hosts(&[5432, 5435, 5434, 5436])),
            attribute("file", value(json!(file("replica"))), value(json!(file("logical")))),
            attribute(
                "options",
                value(json!({ "a": 1, "b": { "c": "x", "d": [1] }, "e": null })),
                value(json!({ "a": 1, "b": { "c": "y", "d": [1] }, "f": true })),
            ),
            attribute("script", None, value(json!("SELECT 1;\n\nSELECT 2;\n"))),
            attribute("others", None, hosts(&[5440, 5441, 5442, 5443, 5444])),
            attribute("former", hosts(&[5440, 5441, 5442, 5443, 5444]), None),
            attribute("old", value(json!("one\ntwo")), None),
        ],
    );
    document(Operation::Apply, vec![change], vec![])
}

#[test]
fn texts_lists_and_maps_show_what_differs_at_80_columns() {
    check(
        &collections(),
        80,
        &expect![[r#"
            Changes are indicated with the following symbols:
              ~ update in-place

            simdb will make the following changes:

              # cluster.orders.endpoint.rw will be updated in-place (configuration)
              ~ endpoint "rw" {
                  ~ hosts   = [
                        # (1 unchanged element hidden)
                      - "127.0.0.1:5433",
                      + "127.0.0.1:5435",
                        # (1 unchanged element hidden)
                      + "127.0.0.1:5436",
                    ]
                  ~ file    = <<-EOT
                      @@ -3,7 +3,7 @@
                        setting_3 = on
                        setting_4 = on
                        setting_5 = on
                      - wal_level = replica
                      + wal_level = logical
                        setting_7 = on
                        setting_8 = on
                        setting_9 = on
                    EOT
                  ~ options = {
                      ~ b = {
                          ~ c = "x" -> "y"
                            # (1 unchanged attribute hidden)
                        }
                      - e = null -> null
                      + f = true
                        # (1 unchanged attribute hidden)
                    }
                  + script  = <<-EOT
                        SELECT 1;

                        SELECT 2;
                    EOT
                  + others  = [
                      + "127.0.0.1:5440",
                      + "127.0.0.1:5441",
                      + "127.0.0.1:5442",
                      + "127.0.0.1:5443",
                      + "127.0.0.1:5444",
                    ]
                  - former  = [
                      - "127.0.0.1:5440",
                      - "127.0.0.1:5441",
                      - "127.0.0.1:5442",
                      - "127.0.0.1:5443",
                      - "127.0.0.1:5444",
                    ] -> null
                  - old     = <<-EOT
                        one
                        two
                    EOT -> null
                    # (1 unchanged attribute hidden)
                }

            Plan: 0 to add, 1 to change, 0 to destroy. Worst impact: none.
        "#]],
    );
}

#[test]
fn lists_that_fit_stay_on_one_line_at_120_columns() {
    check(
        &collections(),
        120,
        &expect![[r#"
            Changes are indicated with the following symbols:
              ~ update in-place

            simdb will make the following changes:

              # cluster.orders.endpoint.rw will be updated in-place (configuration)
              ~ endpoint "rw" {
                  ~ hosts   = [
                        # (1 unchanged element hidden)
                      - "127.0.0.1:5433",
                      + "127.0.0.1:5435",
                        # (1 unchanged element hidden)
                      + "127.0.0.1:5436",
                    ]
                  ~ file    = <<-EOT
                      @@ -3,7 +3,7 @@
                        setting_3 = on
                        setting_4 = on
                        setting_5 = on
                      - wal_level = replica
                      + wal_level = logical
                        setting_7 = on
                        setting_8 = on
                        setting_9 = on
                    EOT
                  ~ options = {
                      ~ b = {
                          ~ c = "x" -> "y"
                            # (1 unchanged attribute hidden)
                        }
                      - e = null -> null
                      + f = true
                        # (1 unchanged attribute hidden)
                    }
                  + script  = <<-EOT
                        SELECT 1;

                        SELECT 2;
                    EOT
                  + others  = ["127.0.0.1:5440", "127.0.0.1:5441", "127.0.0.1:5442", "127.0.0.1:5443", "127.0.0.1:5444"]
                  - former  = ["127.0.0.1:5440", "127.0.0.1:5441", "127.0.0.1:5442", "127.0.0.1:5443", "127.0.0.1:5444"] -> null
                  - old     = <<-EOT
                        one
                        two
                    EOT -> null
                    # (1 unchanged attribute hidden)
                }

            Plan: 0 to add, 1 to change, 0 to destroy. Worst impact: none.
        "#]],
    );
}

#[test]
fn a_plan_without_changes_says_what_was_compared() {
    let mut plan = document(Operation::Apply, vec![], vec![]);
    let proof = |number: u64| ProofDoc {
        cluster: format!("c{number}").parse().unwrap(),
        standbys: 2,
        term: simdb_state::object::Term(1),
        marker: simdb_state::lsn::Lsn(0x0300_0000 + number).into(),
    };
    plan.compared = ComparedDoc {
        recorded: [("network", 1), ("cluster", 7), ("node", 21)]
            .map(|(kind, number)| (kind.to_owned(), number))
            .into(),
        nodes_looked_at: Some(20),
        proofs: (1..=7).map(proof).collect(),
    };
    check(
        &plan,
        80,
        &expect![[r#"
        No changes. Your clusters match the configuration.

        The configuration was compared with the record (7 clusters, 1 network, 21
        nodes), and with what runs (20 of 21 nodes looked at).
        Replication of cluster c1 was last proven at 0/3000001 (term 1, 2 standbys).
        Replication of cluster c2 was last proven at 0/3000002 (term 1, 2 standbys).
        Replication of cluster c3 was last proven at 0/3000003 (term 1, 2 standbys).
        Replication of cluster c4 was last proven at 0/3000004 (term 1, 2 standbys).
        Replication of cluster c5 was last proven at 0/3000005 (term 1, 2 standbys).
        So was that of 2 other clusters.
    "#]],
    );
    plan.compared.nodes_looked_at = None;
    plan.compared.proofs.truncate(1);
    check(
        &plan,
        80,
        &expect![[r#"
        No changes. Your clusters match the configuration.

        The configuration was compared with the record (7 clusters, 1 network, 21
        nodes); what runs was not looked at (-refresh=false).
        Replication of cluster c1 was last proven at 0/3000001 (term 1, 2 standbys).
    "#]],
    );
}

#[test]
fn a_step_that_waits_for_thousands_takes_no_more_room_than_others() {
    let waits: Vec<u32> = (1..5000).map(|number| number * 2).collect();
    let mut plan = document(Operation::Apply, vec![], vec![]);
    for id in 1..10_000 {
        plan.steps
            .push(step(id, "slot", "cluster.orders.node.a", &[], "of a reason"));
    }
    plan.steps
        .push(step(10_000, "verify-sync", "cluster.orders", &waits, "of a reason"));
    let text = strip_str(&render(&plan, Layout::folded(120))).to_string();
    let last = text.lines().find(|line| line.contains("verify-sync")).unwrap();
    assert_eq!(
        last,
        "  10000   verify-sync  cluster.orders         2,4,6 +4996  none    of a reason"
    );
}

#[test]
fn what_has_moved_is_told_first_at_40_columns() {
    let mut plan = document(Operation::Apply, Vec::new(), Vec::new());
    plan.resource_moves.push(MoveDoc {
        address: address("cluster.team-eu-orders.node.first"),
        previous_address: address("cluster.team-eu-orders.node.a"),
    });
    plan.summary.moved = 1;
    check(
        &plan,
        40,
        &expect![[r#"
              # cluster.team-eu-orders.node.a has
                moved to
                cluster.team-eu-orders.node.first

            Plan: 1 to move, 0 to add, 0 to change,
            0 to destroy. Worst impact: none.
        "#]],
    );
}
