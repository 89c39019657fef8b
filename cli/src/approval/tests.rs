use expect_test::{Expect, expect};

use super::*;
use crate::ui::testing::terminal;
use crate::views::sample::{creation, destruction};

const INTERACTIVE: Policy = Policy {
    auto_approve: false,
    allow: None,
    can_ask: true,
};
const UNATTENDED_RUN: Policy = Policy {
    auto_approve: true,
    can_ask: false,
    ..INTERACTIVE
};

fn with_impact(impact: Impact) -> PlanDoc {
    let mut plan = destruction();
    plan.impact = impact;
    plan.steps[0].impact = impact;
    plan
}

fn refusal(policy: Policy, plan: &PlanDoc) -> String {
    let document = policy.judge(plan).unwrap_err().into_documents().remove(0);
    format!("{}\n{}\n", document.summary, document.detail)
}

#[test]
fn without_flags_somebody_is_asked() {
    assert_eq!(INTERACTIVE.judge(&destruction()).unwrap(), Approval::Ask);
}

#[test]
fn auto_approve_covers_everything_below_data_loss() {
    assert_eq!(UNATTENDED_RUN.judge(&creation()).unwrap(), Approval::Given);
    assert_eq!(
        UNATTENDED_RUN.judge(&with_impact(Impact::Downtime)).unwrap(),
        Approval::Given
    );
    expect![[r"
        Impact above the limit
        The worst impact allowed is downtime, and one step is above it:
           1  drop-node  cluster.orders.node.a  data-loss

        To allow it, add -allow=data-loss.
    "]]
    .assert_eq(&refusal(UNATTENDED_RUN, &destruction()));
    let allowing = Policy {
        allow: Some(Impact::DataLoss),
        ..UNATTENDED_RUN
    };
    assert_eq!(allowing.judge(&destruction()).unwrap(), Approval::Given);
}

#[test]
fn a_given_limit_holds_whoever_approves() {
    let limited = |policy| Policy {
        allow: Some(Impact::Reload),
        ..policy
    };
    for policy in [INTERACTIVE, UNATTENDED_RUN] {
        assert!(limited(policy).judge(&with_impact(Impact::Restart)).is_err());
        assert!(limited(policy).judge(&with_impact(Impact::Reload)).is_ok());
    }
}

#[test]
fn a_limit_is_no_approval() {
    let limited = Policy {
        allow: Some(Impact::DataLoss),
        can_ask: false,
        ..INTERACTIVE
    };
    assert!(limited.judge(&creation()).is_err());
}

#[test]
fn without_a_terminal_the_flags_are_named() {
    let nobody = Policy {
        can_ask: false,
        ..INTERACTIVE
    };
    expect![[r#"
        No terminal to ask for approval
        Standard input is no terminal or at its end, or -json or -input=false forbids to ask. To run this plan unattended, add -auto-approve.
    "#]].assert_eq(&refusal(nobody, &creation()));
    expect![[r#"
        No terminal to ask for approval
        Standard input is no terminal or at its end, or -json or -input=false forbids to ask. To run this plan unattended, add -auto-approve -allow=data-loss.
    "#]].assert_eq(&refusal(nobody, &destruction()));
}

fn asked(plan: &PlanDoc, typed: &str) -> (Result<bool, CliError>, String) {
    let (ui, _, error) = terminal(typed, true);
    (ask(&ui, &Workspace::default(), plan), error.text())
}

fn question_is(plan: &PlanDoc, typed: &str, expected: &Expect) {
    expected.assert_eq(&asked(plan, typed).1);
}

#[test]
fn only_yes_approves_what_loses_nothing() {
    question_is(
        &creation(),
        "yes\n",
        &expect![[r"

        Do you want to perform these actions?
          simdb will perform the steps described above.
          Only 'yes' will be accepted to approve.

          Enter a value: "]],
    );
    for (typed, approved) in [
        ("yes\n", true),
        (" yes \n", true),
        ("y\n", false),
        ("YES\n", false),
        ("\n", false),
    ] {
        assert_eq!(asked(&creation(), typed).0.unwrap(), approved, "{typed:?}");
    }
}

#[test]
fn a_question_names_the_workspace_that_it_is_about() {
    let (ui, _, error) = terminal("yes\n", true);
    let staging = Workspace::parse("staging").unwrap();
    assert!(ask(&ui, &staging, &creation()).unwrap());
    let asked = error.text();
    assert!(
        asked.contains("Do you want to perform these actions in workspace \"staging\"?"),
        "{asked}"
    );
}

#[test]
fn only_the_names_of_the_clusters_approve_what_loses_data() {
    let mut plan = destruction();
    let mut other = plan.steps[0].clone();
    other.address = "cluster.billing.node.a".parse().unwrap();
    plan.steps.push(other);
    question_is(
        &plan,
        "billing\norders\n",
        &expect![[r#"

            Do you really want to destroy everything that is recorded?
              simdb will perform the steps described above.
              Data is lost, and there is no undo.
              Only the name of each cluster that loses data will be accepted to approve.

              Enter the name of cluster "billing":   Enter the name of cluster "orders": "#]],
    );
    for (typed, approved) in [
        ("billing\norders\n", true),
        ("yes\nyes\n", false),
        ("billing\nyes\n", false),
        ("orders\nbilling\n", false),
    ] {
        assert_eq!(asked(&plan, typed).0.unwrap(), approved, "{typed:?}");
    }
}

#[test]
fn the_end_of_the_input_names_the_flags() {
    let error = asked(&creation(), "").0.unwrap_err();
    assert!(error.into_documents()[0].detail.ends_with("add -auto-approve."));
}
