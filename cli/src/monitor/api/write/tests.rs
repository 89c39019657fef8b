use super::*;
use crate::monitor::api::tests::rehearsal::{self, Rehearsal};
use simdb_planner::watch::Subject;

fn asked(write: Write, node: &str, body: &str) -> Result<Asked, (u16, String)> {
    let view = View::at(std::sync::Arc::new(Rehearsal::new().round), rehearsal::at());
    let path = BTreeMap::from([
        ("cluster".to_owned(), "orders".to_owned()),
        ("node".to_owned(), node.to_owned()),
    ]);
    let read = read(write, &path, body.as_bytes(), &view);
    read.map(|(_, asked)| asked)
        .map_err(|answer| (answer.status.as_u16(), answer.body))
}

fn order(write: Write, node: &str, body: &str) -> String {
    match asked(write, node, body) {
        Ok(Asked::Order(order)) => order.to_string(),
        other => panic!("{other:?}"),
    }
}

fn refused(write: Write, node: &str, body: &str) -> (u16, String) {
    asked(write, node, body).unwrap_err()
}

#[test]
fn bodies_of_patroni_become_orders() {
    let switchover = |body| order(Write::PatroniSwitchover, "r-1", body);
    assert_eq!(switchover(r#"{"leader": "a"}"#), "switch over");
    assert_eq!(
        switchover(r#"{"leader": "a", "candidate": "r-0"}"#),
        "switch over to r[0]"
    );
    let failover = |body| order(Write::PatroniFailover, "a", body);
    assert_eq!(failover(r#"{"candidate": "r-0"}"#), "fail over to r[0]");
    assert_eq!(
        failover(r#"{"leader": "a", "candidate": "r-0"}"#),
        "switch over to r[0]"
    );
    assert_eq!(order(Write::PatroniRestart, "a", ""), "restart a");
    assert_eq!(
        order(Write::PatroniRestart, "r-0", r#"{"role": "replica"}"#),
        "restart r[0]"
    );
    assert_eq!(
        order(Write::PatroniReinitialize, "r-0", r#"{"force": true}"#),
        "make r[0] anew"
    );
}

#[test]
fn what_patroni_refuses_is_refused_with_its_codes() {
    let code = |write, node, body| refused(write, node, body).0;
    assert_eq!(code(Write::PatroniSwitchover, "a", "{}"), 400);
    assert_eq!(code(Write::PatroniSwitchover, "a", r#"{"leader": "r-0"}"#), 412);
    assert_eq!(
        code(Write::PatroniSwitchover, "a", r#"{"leader": "a", "candidate": "z"}"#),
        412
    );
    assert_eq!(
        code(Write::PatroniSwitchover, "a", r#"{"leader": "a", "candidate": "a"}"#),
        412
    );
    assert_eq!(code(Write::PatroniFailover, "a", "{}"), 400);
    assert_eq!(code(Write::PatroniReinitialize, "a", "{}"), 503);
    assert_eq!(code(Write::PatroniRestart, "a", r#"{"role": "replica"}"#), 503);
    assert_eq!(code(Write::PatroniRestart, "z", "{}"), 404);
    // A condition that is not understood is not passed over.
    for body in [
        r#"{"leader": "a", "scheduled_at": "2030-01-01T00:00:00Z"}"#,
        "[\"a\"]",
        "{",
        "7",
        "\"a\"",
    ] {
        assert_eq!(code(Write::PatroniSwitchover, "a", body), 400, "{body}");
    }
}

#[test]
fn bodies_of_own_paths_are_read() {
    assert_eq!(order(Write::Switchover, "", ""), "switch over");
    assert_eq!(order(Write::Switchover, "", r#"{"to": "r[1]"}"#), "switch over to r[1]");
    assert_eq!(order(Write::Restart, "", r#"{"node": "r-1"}"#), "restart r[1]");
    assert_eq!(order(Write::Resync, "", r#"{"node": "r-1"}"#), "make r[1] anew");
    let lossy = asked(Write::Failover, "", r#"{"to": "r[0]", "allow": "data-loss"}"#);
    let Ok(Asked::Order(order)) = lossy else {
        panic!("{lossy:?}")
    };
    assert!(matches!(&order, Order::Failover { lossy: true, .. }));
    assert_eq!(order.subject(), Subject::Lead);
    let pause = asked(Write::Pause, "", r#"{"seconds": 7200, "reason": "new disks"}"#);
    let reason = Some("new disks".to_owned());
    assert_eq!(
        pause,
        Ok(Asked::Pause {
            seconds: Some(7_200),
            reason
        })
    );
    assert_eq!(asked(Write::Unpause, "", "{}"), Ok(Asked::Unpause));
    for (write, body, code) in [
        (Write::Switchover, r#"{"to": "z"}"#, 404),
        (Write::Restart, "{}", 400),
        (Write::Resync, r#"{"node": "a"}"#, 422),
        (Write::Failover, r#"{"allow": "everything"}"#, 400),
        (Write::Pause, r#"{"seconds": -1}"#, 400),
        (Write::Unpause, r#"{"now": true}"#, 400),
    ] {
        let (status, why) = refused(write, "", body);
        assert_eq!(status, code, "{why}");
    }
}
