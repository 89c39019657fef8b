//! What a monitor may do, and when.

use std::time::Duration;

use expect_test::expect;
use simdb_state::object::{FailoverMode, Impact, MaxLoss, Prefer};

use super::*;

/// Checks a cluster of two nodes with something in its body.
fn check_cluster(body: &str, expected: Expect) {
    check(&cluster(body), expected);
}

fn cluster(body: &str) -> String {
    format!(
        "network \"lan\" {{}}\ncluster \"c\" {{\n  engine \"postgresql\" {{}}\n  node \"a\" {{}}\n  node \"b\" {{ failover_priority = 0 }}\n{body}}}\n"
    )
}

#[test]
fn what_a_monitor_may_do_is_read() {
    let text = cluster(
        "  replication { mode = \"async\" }\n  failover {\n    mode           = \"automatic\"\n    max_loss       = \"16MB\"\n    \
         prefer         = \"restart\"\n    restart_within = \"2500ms\"\n    cooldown       = \"5min\"\n    max_per_hour   = 5\n    \
         rebuild        = \"manual\"\n    allow          = \"downtime\"\n  }\n  maintenance {\n    days = [\"sat\", \"sun\"]\n    \
         from = \"22:30\"\n    to   = \"04:00\"\n  }\n",
    );
    let config = loaded(&text, &[]);
    let policy = &config.desired.clusters.values().next().unwrap().failover;
    assert_eq!((policy.mode, policy.prefer), (FailoverMode::Automatic, Prefer::Restart));
    assert_eq!(policy.max_loss, MaxLoss::Bytes(16 * 1024 * 1024));
    assert_eq!(
        (policy.restart_within, policy.cooldown),
        (Duration::from_millis(2500), Duration::from_mins(5))
    );
    assert_eq!(
        (policy.max_per_hour, policy.rebuild, policy.allow),
        (5, FailoverMode::Manual, Impact::Downtime)
    );
    assert_eq!(
        (
            policy.priority(&"a".parse().unwrap()),
            policy.priority(&"b".parse().unwrap())
        ),
        (100, 0)
    );
    assert_eq!(policy.maintenance[0].to_string(), "sat sun 22:30-04:00");
    let nothing = loaded(CLUSTER, &[]);
    assert!(nothing.desired.clusters.values().next().unwrap().failover.is_default());
}

#[test]
fn an_automatic_failover_needs_a_node_that_may_take_over_and_a_limit_of_what_is_lost() {
    check(
        "network \"lan\" {}\ncluster \"c\" {\n  engine \"postgresql\" {}\n  node \"a\" {}\n  failover { mode = \"automatic\" }\n}\n",
        expect![[r#"
            main:5:21-32 error No standby to take over (in cluster "c")
              An automatic failover needs a standby that takes over, and the cluster has one node. Declare another one, or set mode = "manual".
        "#]],
    );
    check_cluster(
        "  replication { mode = \"async\" }\n  failover { mode = \"automatic\" }\n",
        expect![[r#"
            main:7:21-32 error Loss is not limited (in cluster "c")
              In mode "async" a failover may lose writes that were acknowledged, so an automatic one needs to be told how many: max_loss = "16MB", or "unlimited", or 0 to fail over only where nothing is lost. With mode = "sync" or "quorum" in the replication block it loses nothing.
        "#]],
    );
    check(
        &cluster("  failover { mode = \"automatic\" }\n")
            .replace("node \"a\" {}", "node \"a\" { failover_priority = 0 }"),
        expect![[r#"
            main:6:21-32 error No node may take over (in cluster "c")
              Every node has failover_priority = 0, so none could take over. Give one another priority, or set mode = "manual".
        "#]],
    );
    check_cluster(
        "  failover {\n    mode     = \"automatic\"\n    max_loss = \"1MB\"\n  }\n",
        expect![[r#"
            main:8:16-21 error Setting without meaning (in cluster "c")
              In mode "sync" a failover loses nothing, so "max_loss" can only be 0. Remove it, or set mode = "async" in the replication block.
        "#]],
    );
    check_cluster("  failover { mode = \"automatic\" }\n", expect![[""]]);
}

#[test]
fn values_of_the_failover_block_are_checked() {
    check_cluster(
        "  failover {\n    mode           = \"auto\"\n    max_loss       = \"much\"\n    restart_within = \"soon\"\n    max_per_hour   = 0\n    \
         allow          = \"write-puase\"\n  }\n  maintenance {\n    days = [\"someday\"]\n    from = \"2:00\"\n    to   = \"25:00\"\n  }\n  \
         maintenance {\n    from = \"02:00\"\n    to   = \"02:00\"\n  }\n",
        expect![[r#"
            main:7:22-28 error Unknown mode (in cluster "c")
              "mode" must be "manual" or "automatic", not "auto".
            main:8:22-28 error Invalid size (in cluster "c")
              "max_loss" is a number of bytes, a size such as "16MB", or "unlimited", not "much".
            main:9:22-28 error Invalid time (in cluster "c")
              "restart_within" is a time such as "10s" or "5min", not "soon".
            main:10:22-23 error Value out of range (in cluster "c")
              "max_per_hour" must be a whole number from 1 to 60, not 0.
            main:11:22-35 error Unknown allow (in cluster "c")
              "allow" must be "none", "reload", "restart", "write-pause", "downtime" or "data-loss", not "write-puase". Did you mean "write-pause"?
            main:14:12-23 error Unknown day (in cluster "c")
              A day is "mon", "tue", "wed", "thu", "fri", "sat" or "sun", not "someday".
            main:15:12-18 error Invalid time (in cluster "c")
              "from" is a time of the day in UTC such as "02:30", not "2:00".
            main:16:12-19 error Invalid time (in cluster "c")
              "to" is a time of the day in UTC such as "02:30", not "25:00".
            main:18:3-14 error Empty maintenance window (in cluster "c")
              A maintenance window that ends when it begins is never open. Give it another end.
        "#]],
    );
}

#[test]
fn the_monitor_block_holds_literals_that_the_state_can_keep_up_with() {
    let config = loaded(
        &format!("monitor {{\n  listen = \"127.0.0.1:8008\"\n  lease = \"5s\"\n}}\n{CLUSTER}"),
        &[],
    );
    let monitor = &config.settings.monitor;
    assert_eq!(monitor.listen, Some("127.0.0.1:8008".parse().unwrap()));
    assert_eq!(monitor.lease(&StateBackend::default()), Duration::from_secs(5));
    assert_eq!(
        MonitorSettings::default().lease(&StateBackend::default()),
        Duration::from_secs(3)
    );
    check(
        &format!("monitor {{\n  listen = \"8008\"\n  lease  = \"900ms\"\n}}\n{CLUSTER}"),
        expect![[r#"
            main:2:12-18 error Invalid address (in monitor)
              "listen" is an address with a port such as "127.0.0.1:8008" or "[::1]:8008", not "8008".
            main:3:12-19 error Invalid time (in monitor)
              "lease" is a time from "1s", which is the shortest that this state can renew in time, to "300s", not "900ms".
        "#]],
    );
}

#[test]
fn the_api_of_a_monitor_is_open_to_others_only_behind_a_token_and_tls() {
    let block = |inner: &str| format!("monitor {{\n{inner}}}\n{CLUSTER}");
    let guarded = "  listen     = \"0.0.0.0:8008\"\n  token_file = \"token\"\n  tls {\n    certificate = \"a.crt\"\n    key         = \
                   \"a.key\"\n  }\n";
    let monitor = loaded(&block(guarded), &[]).settings.monitor;
    assert_eq!(monitor.token_file.as_deref(), Some("token"));
    let tls = monitor.tls.unwrap();
    assert_eq!((tls.certificate.as_str(), tls.key.as_str()), ("a.crt", "a.key"));
    check(
        &block("  listen     = \"0.0.0.0:8008\"\n  token_file = \"token\"\n"),
        expect![[r#"
            main:2:16-30 error The API would be open to others (in monitor)
              0.0.0.0:8008 can be reached from elsewhere, and there the API needs a token and TLS: give "token_file" and a tls block with "certificate" and "key" in the monitor block. Without them, listen on 127.0.0.1:8008 or [::1]:8008.
        "#]],
    );
}

#[test]
fn hooks_of_a_monitor_have_one_way_each_and_events_that_there_are() {
    let block = |inner: &str| format!("monitor {{\n{inner}}}\n{CLUSTER}");
    let hooks = "  notify \"ops\" {\n    webhook = \"https://alerts.example.org/simdb?key=1\"\n    events  = [\"failed-over\", \
                 \"alarm\"]\n  }\n  notify \"log\" { command = [\"/usr/bin/logger\", \"-t\", \"simdb\"] }\n  notify \"chat\" { webhook_file \
                 = \"chat.url\" }\n";
    let hooks = loaded(&block(hooks), &[]).settings.monitor.hooks;
    let ways: Vec<_> = hooks.iter().map(|hook| (hook.name.as_str(), &hook.way)).collect();
    assert_eq!(
        ways,
        [
            (
                "ops",
                &HookWay::Webhook("https://alerts.example.org/simdb?key=1".to_owned())
            ),
            (
                "log",
                &HookWay::Command(["/usr/bin/logger", "-t", "simdb"].map(str::to_owned).to_vec())
            ),
            ("chat", &HookWay::WebhookFile("chat.url".to_owned())),
        ]
    );
    assert_eq!(hooks[0].events, ["failed-over", "alarm"]);
    check(
        &block(
            "  notify \"a\" {}\n  notify \"b\" {\n    webhook = \"ftp://host\"\n  }\n  notify \"c\" {\n    webhook = \
             \"https://ann:pass@host/\"\n  }\n  notify \"d\" {\n    command = []\n  }\n  notify \"e\" {\n    command = [\"true\"]\n    events  = \
             [\"alarms\"]\n  }\n",
        ),
        expect![[r#"
            main:2:3-13 error Not one way to notify (in monitor)
              A notify block has one of "webhook", "webhook_file" and "command", and "a" has none.
            main:4:15-27 error Invalid URL (in monitor)
              A webhook is a URL such as "https://alerts.example.org/simdb".
            main:7:15-39 error Invalid URL (in monitor)
              The URL of a webhook must not hold a password. Put the secret into its path, the URL into a file that its owner alone reads, and the path of that file into "webhook_file".
            main:10:15-17 error Empty command (in monitor)
              "command" is a list: a program, and its arguments. It must not be empty.
            main:14:15-25 error Unknown event (in monitor)
              The monitor tells no event "alarms". Did you mean "alarm"? It tells started, took-over, passive, suspected, lost, returned, decided, ordered, failed-over, done, refused, failed, held, alarm, clear, paused, unpaused, store-away, store-back, untold.
        "#]],
    );
}
