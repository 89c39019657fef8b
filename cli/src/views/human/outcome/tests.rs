use anstream::adapter::strip_str;
use expect_test::{Expect, expect};
use serde_json::json;
use simdb_state::lsn::Lsn;
use simdb_state::object::{Loss, Term, Verdict};

use super::*;
use crate::views::sample::creation;

fn outcome(done: usize, cause: Option<&str>) -> OutcomeDoc {
    let mut ends = creation().steps.into_iter().map(|step| StepEnd {
        id: step.id,
        name: step.name,
        address: step.address,
        cause: None,
    });
    let done: Vec<StepEnd> = ends.by_ref().take(done).collect();
    let failed = cause.and_then(|cause| {
        Some(StepEnd {
            cause: Some(cause.to_owned()),
            ..ends.next()?
        })
    });
    let not_attempted: Vec<StepEnd> = ends.collect();
    OutcomeDoc {
        operation: Operation::Apply,
        changes: (failed.is_none() && not_attempted.is_empty()).then(|| creation().summary),
        done,
        failed: failed.into_iter().collect(),
        cancelled: cause.is_none(),
        not_attempted,
        proofs: Vec::new(),
        switches: Vec::new(),
    }
}

fn check(outcome: &OutcomeDoc, expected: &Expect) {
    expected.assert_eq(&strip_str(&render(outcome, 80)).to_string());
}

#[test]
fn a_success_ends_with_its_proof_and_one_line() {
    let mut complete = outcome(4, None);
    complete.proofs.push(ProofDoc {
        cluster: "orders".parse().unwrap(),
        standbys: 2,
        term: Term(1),
        marker: Lsn(0x0300_0148).into(),
    });
    check(
        &complete,
        &expect![[r"

            Proven: all 2 standbys of cluster orders received and replayed the marker at
            0/3000148 (term 1).

            Apply complete! 3 added, 0 changed, 0 destroyed.
        "]],
    );
}

#[test]
fn a_role_change_without_proof_says_who_answers_for_the_former_primary() {
    let switched = |witness| {
        let mut complete = outcome(4, None);
        complete.switches.push(SwitchDoc {
            cluster: "orders".parse().unwrap(),
            primary: "r[0]".parse().unwrap(),
            term: Term(2),
            timeline: Some(2),
            point: Lsn(0x0300_0148).into(),
            verdict: Verdict::Unknown(Loss(None)),
            unproven: Some(Unproven {
                node: "a".parse().unwrap(),
                witness,
            }),
        });
        complete
    };
    check(
        &switched(Witness::NodeFenced),
        &expect![[r#"

            r[0] leads cluster orders since 0/3000148 (term 2, timeline 2). Acknowledged
            writes: unknown: acknowledged writes may be lost. That a takes no writes is no
            proof but an attestation: an operator said that its machine is off.

            Apply complete! 3 added, 0 changed, 0 destroyed.
        "#]],
    );
    check(
        &switched(Witness::Waived),
        &expect![[r#"

            r[0] leads cluster orders since 0/3000148 (term 2, timeline 2). Acknowledged
            writes: unknown: acknowledged writes may be lost. Whether a is down is not
            known: it may still take writes, and they are lost.

            Apply complete! 3 added, 0 changed, 0 destroyed.
        "#]],
    );
}

#[test]
fn a_failure_says_what_is_done_what_failed_what_is_left_and_how_to_go_on() {
    let cause = "start the server: it ended with exit status 1; the end of its log:\n  FATAL:  could not create any TCP/IP sockets";
    check(
        &outcome(1, Some(cause)),
        &expect![[r"

            Apply failed: 1 of 4 steps done, 1 failed, 2 not attempted.

            Done:
               1  network  network.lan

            Failed:
               2  primary  cluster.orders.node.a
                  start the server: it ended with exit status 1; the end of its log:
                    FATAL:  could not create any TCP/IP sockets

            Not attempted:
               3  replication-user  cluster.orders.user.replication
               4  basebackup  cluster.orders.node.r[0]

            What is done is recorded. To go on once the cause is gone:
                simdb apply
        "]],
    );
}

#[test]
fn an_interrupted_run_says_what_is_left() {
    check(
        &outcome(2, None),
        &expect![[r"

            Apply stopped: 2 of 4 steps done, 0 failed, 2 not attempted.

            Done:
               1  network  network.lan
               2  primary  cluster.orders.node.a

            Not attempted:
               3  replication-user  cluster.orders.user.replication
               4  basebackup  cluster.orders.node.r[0]

            What is done is recorded. To go on:
                simdb apply
        "]],
    );
}

#[test]
fn sensitive_outputs_are_named_only() {
    let output = |name: &str, value: Option<serde_json::Value>| OutputDoc {
        name: name.to_owned(),
        sensitive: value.is_none(),
        value: value.map(Into::into),
    };
    let all = [output("hosts", Some(json!(["a", {"port": 1}]))), output("url", None)];
    expect![[r#"
        hosts = ["a", { port = 1 }]
        url = <sensitive>
    "#]]
    .assert_eq(&outputs(&all));
}
