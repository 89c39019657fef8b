//! What plans of real configurations look like.

use anstream::adapter::strip_str;
use expect_test::expect;

use super::{Rehearsal, cluster};
use crate::views::doc::Operation;
use crate::views::human::layout::Layout;
use crate::views::human::plan::{render, summary};
use crate::views::markdown;

/// How many lines a screen has.
const SCREEN: usize = 50;

fn shown(text: &str) -> String {
    strip_str(text).to_string()
}

#[test]
fn fifty_nodes_with_one_changed_parameter_fit_one_screen() {
    let mut rehearsal = Rehearsal::default();
    rehearsal.apply(&cluster(49, "4MB"));
    let plan = rehearsal.plan(Operation::Apply, &cluster(49, "8MB")).document;
    let text = shown(&render(&plan, Layout::folded(120)));
    expect![[r#"
        Changes are indicated with the following symbols:
          ~ update in-place

        simdb will make the following changes:

          # cluster.orders.node.a will be updated in-place (configuration)
          ~ node "a" {
              ~ parameters = {
                  - work_mem = "4MB"
                  + work_mem = "8MB"
                }
                # (6 unchanged attributes hidden)
            }

          # cluster.orders.node.r[0..48] will be updated in-place (49 alike; configuration)
          ~ node "r[0..48]" {
              ~ parameters = {
                  - work_mem = "4MB"
                  + work_mem = "8MB"
                }
                # (8 unchanged attributes hidden)
            }

        Steps:

           #    Step       Address                       After    Impact  Because
          1-49  configure  cluster.orders.node.r[0..48]  in turn  reload  configuration: work_mem 4MB -> 8MB
          50    configure  cluster.orders.node.a         49       reload  configuration: work_mem 4MB -> 8MB

        Plan: 0 to add, 50 to change, 0 to destroy. Worst impact: reload.
    "#]]
    .assert_eq(&text);
    assert!(text.lines().count() <= SCREEN);
    let expanded = Layout {
        width: 120,
        expand: true,
    };
    let expanded = shown(&render(&plan, expanded));
    assert!(expanded.contains("# cluster.orders.node.r[17] will be updated in-place"));
    assert!(expanded.lines().count() > 400);
}

#[test]
fn a_comment_of_two_thousand_nodes_is_short_enough_and_whole() {
    let plan = Rehearsal::default()
        .plan(Operation::Apply, &cluster(1999, "4MB"))
        .document;
    let text = markdown::plan(&plan);
    assert!(text.len() < 60_000, "{}", text.len());
    assert!(text.contains("| `orders` | none | 2005 | 0 | 0 |"), "{}", &text[..400]);
    assert!(text.contains("```diff\n") && text.contains("cluster.orders.node.r[0..1998] will be created (1999 alike)"));
    assert!(!text.contains("more lines"), "nothing has to be cut");
}

#[test]
fn a_summary_is_one_screen_whatever_the_plan() {
    let cluster = |number| {
        format!(
            "cluster \"c-{number}\" {{\n  network = network.lan\n  engine \"postgresql\" {{}}\n  node \"a\" {{}}\n}}\n"
        )
    };
    let text: String = (0..30).map(cluster).collect();
    let text = format!("network \"lan\" {{}}\n{text}");
    let plan = Rehearsal::default().plan(Operation::Apply, &text).document;
    for width in [80, 120] {
        let text = shown(&summary::render(&plan, Layout::folded(width)));
        assert!(text.lines().count() <= 24, "{text}");
        assert!(text.contains("and 23 clusters with less impact or the same"), "{text}");
    }
}

#[test]
fn what_goes_is_a_line_each_and_the_data_with_it_is_listed() {
    let mut rehearsal = Rehearsal::default();
    rehearsal.apply(&cluster(2, "4MB"));
    let plan = rehearsal.plan(Operation::Destroy, &cluster(2, "4MB")).document;
    expect![[r#"
        Changes are indicated with the following symbols:
          - destroy

        simdb will make the following changes:

          - network.lan will be destroyed
          - cluster.orders will be destroyed
          - cluster.orders.node.a will be destroyed
          - cluster.orders.node.r[0,1] will be destroyed (2 alike)
          - cluster.orders.user.app will be destroyed
          - cluster.orders.user.replicator will be destroyed
          - cluster.orders.database.app will be destroyed
          - cluster.orders.endpoint.rw will be destroyed

        Steps:

           #   Step           Address                         After  Impact     Because
           1   drop-endpoint  cluster.orders.endpoint.rw             none       the plan destroys everything
          2,3  drop-node      cluster.orders.node.r[0,1]      1      data-loss  the plan destroys everything
           4   drop-node      cluster.orders.node.a           2,3    data-loss  the plan destroys everything
           5   drop-user      cluster.orders.user.app         4      none       it goes with its cluster
           6   drop-user      cluster.orders.user.replicator  4      none       it goes with its cluster
           7   drop-database  cluster.orders.database.app     4      none       it goes with its cluster
           8   drop-cluster   cluster.orders                  5-7    none       the plan destroys everything
           9   drop-network   network.lan                     8      none       the plan destroys everything

        Data that is lost for good:
          - cluster.orders: all data, databases app, on nodes {a,r[0,1]}

        Plan: 0 to add, 0 to change, 9 to destroy. Worst impact: data-loss.
    "#]]
    .assert_eq(&shown(&render(&plan, Layout::folded(100))));
    expect![[r#"
        Plan: 0 to add, 0 to change, 9 to destroy. Worst impact: data-loss.

          Cluster  Impact     Add  Change  Destroy  Steps  Worst steps
          orders   data-loss  0    0       8        8      drop-node of {a,r[0,1]}
          -        none       0    0       1        1

        Data that is lost for good:
          - cluster.orders: all data, databases app, on nodes {a,r[0,1]}

    "#]]
    .assert_eq(&shown(&summary::render(&plan, Layout::folded(100))));
}

#[test]
fn a_plan_that_only_refreshes_says_that_it_is_for_the_record_only() {
    let mut rehearsal = Rehearsal::default();
    let text = cluster(1, "4MB");
    rehearsal.apply(&text);
    let primary = "cluster.orders.node.a".parse().unwrap();
    let directory = rehearsal.world.directories.get_mut(&primary).unwrap();
    directory.users.get_mut("app").unwrap().createdb = true;
    let planned = rehearsal.plan(Operation::Refresh, &text);
    let shown = shown(&render(&planned.document, Layout::folded(120)));
    assert!(shown.contains("and change nothing else (record only):"), "{shown}");
    assert!(
        shown.contains("Plan: record only, 1 to change, 0 to forget; nothing changes on servers. Worst impact: none."),
        "{shown}"
    );
    rehearsal
        .world
        .run(&planned.plan, simdb_planner::simulate::Cut::Never)
        .unwrap();
    let again = rehearsal.plan(Operation::Refresh, &text).document;
    assert!(again.is_empty() && again.resource_drift.is_empty());
    let apply = rehearsal.plan(Operation::Apply, &text).document;
    assert_eq!(apply.resource_changes[0].cause.name(), "configuration");
    assert!(apply.resource_drift.is_empty());
}

#[test]
fn what_no_step_mends_is_told_where_the_plan_is_empty_too() {
    let mut rehearsal = Rehearsal::default();
    let text = cluster(1, "4MB");
    rehearsal.apply(&text);
    let primary = "cluster.orders.node.a".parse().unwrap();
    let directory = rehearsal.world.directories.get_mut(&primary).unwrap();
    directory.slots.insert("backup".to_owned());
    let plan = rehearsal.plan(Operation::Apply, &text).document;
    assert!(plan.is_empty());
    let [object] = &plan.resource_drift[..] else {
        panic!("{:?}", plan.resource_drift);
    };
    assert!(object.mended_by.is_empty());
    let text = shown(&render(&plan, Layout::folded(1000)));
    assert!(text.starts_with("No changes."), "{text}");
    let told = "Drift: cluster.orders.node.a: physical slot \"backup\" was not made by simdb, retains no WAL yet and is in use.";
    assert!(text.contains(told), "{text}");
    assert!(markdown::plan(&plan).contains("**Drift:** cluster.orders.node.a"));
}
