use std::time::Duration;

use expect_test::expect;
use simdb_planner::plan::StepId;

use super::*;
use crate::ui::testing::terminal;
use crate::views::sample::{creation, destruction};

/// Returns what was written, with the times taken out.
fn written(act: impl FnOnce(Lines)) -> String {
    let (ui, output, _) = terminal("", false);
    act(Lines::start(ui));
    let line = |text: &str| {
        let mut line: Value = serde_json::from_str(text).unwrap();
        let time = line.as_object_mut().unwrap().remove("@timestamp").unwrap();
        time.as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
        format!("{line}\n")
    };
    output.text().lines().map(line).collect()
}

#[test]
fn a_plan_is_a_line_for_each_change_a_summary_and_the_whole() {
    let text = written(|lines| lines.plan(&destruction()));
    expect![[r#"
        {"@level":"info","@message":"simdb 0.1.0","@module":"simdb.ui","simdb":"0.1.0","type":"version","ui":"1.0"}
        {"@level":"info","@message":"cluster.orders.node.a: Plan to delete","@module":"simdb.ui","change":{"action":"delete","impact":"none","reason":null,"resource":{"addr":"cluster.orders.node.a","resource_key":null,"resource_name":"a","resource_type":"node"}},"type":"planned_change"}
        {"@level":"info","@message":"Plan: 0 to add, 0 to change, 1 to destroy. Worst impact: data-loss.","@module":"simdb.ui","changes":{"add":0,"change":0,"forget":0,"impact":"data-loss","import":0,"move":0,"operation":"plan","remove":1},"type":"change_summary"}
        {"@level":"info","@message":"The whole plan","@module":"simdb.ui","plan":{"applyable":true,"compared":{"nodes_looked_at":null,"proofs":[],"recorded":{}},"complete":true,"diagnostics":[],"errored":false,"format_version":"1.0","impact":"data-loss","interrupted":null,"not_compared":[],"notes":[],"operation":"destroy","output_changes":{},"resource_changes":[{"address":"cluster.orders.node.a","change":{"actions":["delete"],"after":null,"after_sensitive":{},"after_unknown":{},"before":{"listen":"127.0.0.1:5433"},"before_sensitive":{}},"cluster":"orders","impact":"none","name":"a","reason":"the configuration no longer declares it","reason_code":"not_declared","type":"node"}],"resource_drift":[],"resource_moves":[],"steps":[{"address":"cluster.orders.node.a","after":[],"cluster":"orders","id":1,"impact":"data-loss","name":"drop-node","reason":"the configuration no longer declares it","reason_code":"configuration"}],"summary":{"add":0,"change":0,"remove":1}},"type":"plan"}
    "#]].assert_eq(&text);
}

#[test]
fn a_run_is_a_line_for_each_event() {
    let text = written(|lines| {
        let steps = lines.with_steps(creation().steps);
        steps.on_event(&Event::Started(StepId(1)));
        steps.on_event(&Event::Running(StepId(1), Duration::from_secs(10)));
        let what = "fetches image postgres:15".to_owned();
        steps.on_event(&Event::Progress(
            StepId(1),
            simdb_providers::event::Progress {
                what,
                done: 45,
                total: 120,
            },
        ));
        steps.on_event(&Event::Done(StepId(1), Duration::from_millis(10_200)));
        steps.on_event(&Event::Failed(StepId(2), "no connection".to_owned()));
        steps.on_event(&Event::Stopping);
    });
    expect![[r#"
        {"@level":"info","@message":"simdb 0.1.0","@module":"simdb.ui","simdb":"0.1.0","type":"version","ui":"1.0"}
        {"@level":"info","@message":"cluster.orders.node.a: primary...","@module":"simdb.ui","step":{"addr":"cluster.orders.node.a","id":2,"name":"primary"},"type":"step_started"}
        {"@level":"info","@message":"cluster.orders.node.a: primary still running... [10s elapsed]","@module":"simdb.ui","elapsed_seconds":10.0,"step":{"addr":"cluster.orders.node.a","id":2,"name":"primary"},"type":"step_progress"}
        {"@level":"info","@message":"cluster.orders.node.a: primary fetches image postgres:15... [45 B of 120 B]","@module":"simdb.ui","bytes_done":45,"bytes_total":120,"does":"fetches image postgres:15","step":{"addr":"cluster.orders.node.a","id":2,"name":"primary"},"type":"step_progress"}
        {"@level":"info","@message":"cluster.orders.node.a: primary done after 10.2s","@module":"simdb.ui","elapsed_seconds":10.2,"step":{"addr":"cluster.orders.node.a","id":2,"name":"primary"},"type":"step_done"}
        {"@level":"error","@message":"cluster.orders.user.replication: replication-user failed","@module":"simdb.ui","cause":"no connection","step":{"addr":"cluster.orders.user.replication","id":3,"name":"replication-user"},"type":"step_failed"}
    "#]].assert_eq(&text);
}

#[test]
fn the_plan_document_is_shaped_like_terraforms() {
    expect![[r#"
        [
          {
            "address": "cluster.orders.node.a",
            "type": "node",
            "name": "a",
            "cluster": "orders",
            "change": {
              "actions": [
                "create"
              ],
              "after": {
                "listen": "127.0.0.1:5433",
                "parameters": {
                  "max_connections": "50",
                  "shared_buffers": "64MB"
                },
                "role": "primary",
                "system_identifier": null
              },
              "after_sensitive": {},
              "after_unknown": {
                "system_identifier": true
              },
              "before": null,
              "before_sensitive": {}
            },
            "impact": "none",
            "reason_code": "configuration"
          },
          {
            "address": "cluster.orders.user.replication",
            "type": "user",
            "name": "replication",
            "cluster": "orders",
            "change": {
              "actions": [
                "create"
              ],
              "after": {
                "login": true,
                "password": null
              },
              "after_sensitive": {
                "password": true
              },
              "after_unknown": {
                "password": true
              },
              "before": null,
              "before_sensitive": {}
            },
            "impact": "none",
            "reason_code": "configuration"
          }
        ]
    "#]]
    .assert_eq(&document(&creation().resource_changes[1..]));
}
