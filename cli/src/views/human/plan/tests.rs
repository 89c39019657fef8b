use anstream::adapter::strip_str;
use expect_test::{Expect, expect};
use serde_json::json;
use simdb_planner::plan::Shown;

use super::*;
use crate::views::doc::OutputChangeDoc;
use crate::views::sample::{attribute, change, creation, destruction, document, step, value};

fn check(plan: &PlanDoc, width: usize, expected: &Expect) {
    expected.assert_eq(&strip_str(&render(plan, width)).to_string());
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
              r[0] is to stream from a

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
           4  basebackup        cluster.orders.node.r[0]         1-3    none    r[0] is to stream from a

        Plan: 3 to add, 0 to change, 0 to destroy. Worst impact: none.
    "#]],
    );
}

#[test]
fn no_line_is_longer_than_the_terminal_is_wide() {
    for width in [80, 120] {
        let text = strip_str(&render(&creation(), width)).to_string();
        let longest = text.lines().map(|line| line.chars().count()).max();
        assert!(longest <= Some(width), "{longest:?}\n{text}");
    }
}

#[test]
fn a_destruction_is_red_and_says_why() {
    expect![[r#"
        Changes are indicated with the following symbols:
          ^[31m-^[0m destroy

        simdb will make the following changes:

          ^[1m# cluster.orders.node.a^[0m will be ^[1m^[31mdestroyed^[0m
          # (because the configuration no longer declares it)
          ^[31m-^[0m node "a" {
              ^[31m-^[0m listen = "127.0.0.1:5433" ^[33m->^[0m null
            }

        Steps:

          ^[90m #^[0m  ^[90mStep^[0m       ^[90mAddress^[0m                ^[90mAfter^[0m  ^[90mImpact^[0m
          ^[90m 1^[0m  ^[1mdrop-node^[0m  cluster.orders.node.a         ^[1m^[31mdata-loss^[0m
              ^[90mthe configuration no longer declares it^[0m

        ^[1mPlan:^[0m 0 to add, 0 to change, 1 to destroy. Worst impact: ^[1m^[31mdata-loss^[0m.
    "#]]
    .assert_eq(&render(&destruction(), 80).replace('\u{1b}', "^"));
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
            cluster.orders.node.r[0]. What it left was looked at, and this plan goes on from
            there.

            Changes are indicated with the following symbols:
              ~ update in-place

            simdb will make the following changes:

              # cluster.orders.node.r[0] will be updated in-place
              ~ node "r[0]" {
                  ~ power      = "stopped" -> "running"
                  ~ parameters = {
                      ~ max_connections = "50" -> "100"
                      - work_mem        = "4MB" -> null
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
fn numbers_in_a_row_are_a_range() {
    for (numbers, expected) in [
        (&[][..], ""),
        (&[4], "4"),
        (&[1, 2], "1,2"),
        (&[1, 2, 3, 5, 7, 8, 9], "1-3,5,7-9"),
    ] {
        assert_eq!(ranges(numbers), expected);
    }
}
