use expect_test::expect;
use serde_json::json;
use simdb_planner::plan::ChangeAction;

use super::*;
use crate::views::doc::{DriftedDoc, NotComparedDoc, Operation, Sides};
use crate::views::sample::{address, attribute, change, document, step, value};

fn sample() -> PlanDoc {
    let role = attribute("role", value(json!("standby")), value(json!("primary")));
    let memory = attribute("parameters.work_mem", value(json!("4MB")), value(json!("8MB")));
    let mut promote = step(1, "promote", "cluster.orders.node.r[0]", &[], "r[0] was elected");
    promote.impact = Impact::WritePause;
    let mut configure = step(
        2,
        "configure",
        "cluster.billing.node.a",
        &[1],
        "work_mem is 8MB | not `4MB`",
    );
    configure.impact = Impact::Reload;
    document(
        Operation::Apply,
        vec![
            change("cluster.billing.node.a", ChangeAction::Update, vec![memory]),
            change("cluster.orders.node.r[0]", ChangeAction::Update, vec![role]),
        ],
        vec![promote, configure],
    )
}

#[test]
fn a_plan_is_summed_up_by_cluster_the_worst_first_and_its_details_are_folded() {
    let mut document = sample();
    document.complete = false;
    document.not_compared = vec![NotComparedDoc {
        address: address("cluster.orders.node.a"),
        reason: "did not answer within 2s".to_owned(),
    }];
    expect![[r#"
        <!-- simdb plan -->
        ### simdb apply: 0 to add, 2 to change, 0 to destroy. Worst impact: write-pause.

        | Cluster | Worst impact | Add | Change | Destroy | Steps | Worst steps |
        |---|---|---|---|---|---|---|
        | `orders` | **write-pause** | 0 | 1 | 0 | 1 | promote of r\[0\] |
        | `billing` | reload | 0 | 1 | 0 | 1 | configure of a |

        - **Not compared:** cluster.orders.node.a: did not answer within 2s

        <details><summary>Changes</summary>

        ```diff
        simdb will make the following changes:

          # cluster.billing.node.a will be updated in-place (configuration)
        !   node "a" {
        !       parameters = {
        -           work_mem = "4MB"
        +           work_mem = "8MB"
                }
            }

          # cluster.orders.node.r[0] will be updated in-place (configuration)
        !   node "r[0]" {
        !       role = "standby" -> "primary"
            }

        ```

        </details>
        <details><summary>Steps</summary>

        ```text
        Steps:

           #  Step       Address                   After  Impact       Because
           1  promote    cluster.orders.node.r[0]         write-pause  r[0] was elected
           2  configure  cluster.billing.node.a    1      reload       work_mem is 8MB | not `4MB`

        ```

        </details>
        <details><summary>Order of the steps</summary>

        ```mermaid
        flowchart RL
          s1["promote<br/>cluster.orders.node.r[0]<br/>impact: write-pause"]
          s2["configure<br/>cluster.billing.node.a<br/>impact: reload"]
          s2 --> s1
        ```

        </details>
    "#]]
    .assert_eq(&plan(&document));
}

#[test]
fn a_large_plan_is_cut_and_its_summary_is_whole() {
    let changes = (0..2000).map(|at| {
        let value = value(json!(format!("{at:>200}")));
        change(
            &format!("cluster.c-{}.node.a", at % 100),
            ChangeAction::Create,
            vec![attribute("role", None, value)],
        )
    });
    let steps = (0..2000).map(|at| {
        let mut step = step(
            at + 1,
            "drop-node",
            &format!("cluster.c-{}.node.a", at % 100),
            &[],
            "its block is gone",
        );
        step.impact = Impact::DataLoss;
        step
    });
    let text = plan(&document(Operation::Apply, changes.collect(), steps.collect()));
    assert!(text.len() <= LIMIT, "{}", text.len());
    assert!(
        text.contains("… and 50 more (100 clusters in all)"),
        "{}",
        &text[..3000]
    );
    assert!(text.contains("**Data is lost for good:**\n\n- cluster.c-{0..99}.node.a: drop-node"));
    assert!(text.contains(" more lines: simdb plan -expand\n"));
    assert_eq!(text.matches("<details>").count(), text.matches("</details>").count());
    assert_eq!(text.matches("```").count() % 2, 0);
}

#[test]
fn what_names_say_is_taken_as_it_is() {
    assert_eq!(escaped("a|b *c* <d>\n@e"), "a\\|b \\*c\\* &lt;d&gt;<br>\\@e");
    let section = Section::new("t", "text", "```\n".to_owned());
    assert!(section.write(&section.text).contains("````text\n```\n````\n"));
}

#[test]
fn drift_is_a_table_of_what_was_found() {
    let found = DriftedDoc {
        address: address("cluster.orders.node.a"),
        kind: "node",
        name: "a".to_owned(),
        index: None,
        cluster: Some("orders".parse().unwrap()),
        change: Sides {
            action: ChangeAction::Update,
            importing: None,
            attributes: [attribute("power", value(json!("running")), value(json!("stopped")))].into(),
        },
        causes: vec!["its server is down".to_owned()],
        mended_by: vec!["start"],
        impact: Impact::None,
        by_hand: Vec::new(),
    };
    let mut document = DriftDoc::new(&simdb_planner::plan::Plan::default(), &[], &[], Vec::new());
    expect![[r#"
        <!-- simdb drift -->
        ### simdb drift: none

    "#]]
    .assert_eq(&drift(&document));
    document.resource_drift = vec![found];
    document.drifted = true;
    expect![[r#"
        <!-- simdb drift -->
        ### simdb drift: one object differs from what is recorded

        | Object | What was found | Mending costs |
        |---|---|---|
        | `cluster.orders.node.a` | its server is down | none |

        <details><summary>Recorded and seen</summary>

        ```diff
          # cluster.orders.node.a has drifted
          # its server is down
        !   node "a" {
        !       power = "running" -> "stopped"
            }

        ```

        </details>
    "#]]
    .assert_eq(&drift(&document));
}
