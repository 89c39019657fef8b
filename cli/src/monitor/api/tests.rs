//! Answers as functions of rounds, and the paths over a connection.

mod http;
pub(crate) mod rehearsal;
mod writes;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use expect_test::{Expect, expect, expect_file};
use jiff::Timestamp;
use simdb_planner::watch::{Process, Sign, Standing};
use simdb_state::claim::Pause;
use simdb_state::name::ClusterName;
use simdb_state::object::{Power, Role};

use self::rehearsal::{Rehearsal, event};
use super::exposition::Format;
use super::paths::Target;
use super::patroni::{CHECKS, Check, Query};
use super::routes::{Question, of_node};
use super::tally::Tally;
use super::view::View;
use super::{cluster, metrics, openapi, own, page, patroni, stream};
use crate::monitor::board::{Acting, Event, Kind};
use crate::monitor::journal::Journal;
use crate::monitor::notify::Deliveries;
use crate::monitor::survey::Survey;

fn view(rehearsal: Rehearsal) -> View {
    View {
        round: Arc::new(rehearsal.round),
        age: Duration::ZERO,
    }
}

/// Returns the code of one check of one node.
fn code(view: &View, node: &str, check: Check, query: &[(&str, &str)]) -> u16 {
    let query = query
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let question = Question {
        path: BTreeMap::from([
            ("cluster".to_owned(), "orders".to_owned()),
            ("node".to_owned(), node.to_owned()),
        ]),
        query: query.collect(),
        accept: None,
    };
    of_node(Target::Check(check), &question, view, "").status.as_u16()
}

/// Compares the codes of every check with a table: a line for each check, a column for each node.
fn check(view: &View, expected: &Expect) {
    let head = format!("{:<18}{:>4}{:>5}{:>5}\n", "", "a", "r-0", "r-1");
    let lines = CHECKS.iter().map(|(check, names)| {
        let [a, b, c] = ["a", "r-0", "r-1"].map(|node| code(view, node, *check, &[]));
        let name = names.iter().find(|name| !name.is_empty()).unwrap();
        format!("{name:<18}{a:>4}{b:>5}{c:>5}\n")
    });
    expected.assert_eq(&[head].into_iter().chain(lines).collect::<String>());
}

#[test]
fn checks_of_a_cluster_that_is_as_it_should_be() {
    check(
        &view(Rehearsal::new()),
        &expect![[r#"
                             a  r-0  r-1
        primary            200  503  503
        standby-leader     503  503  503
        replica            503  200  200
        read-only          200  200  200
        sync               503  200  503
        quorum             503  503  503
        async              503  503  200
        read-only-sync     200  200  503
        read-only-quorum   200  503  503
        health             200  200  200
        liveness           200  200  200
        readiness          200  200  200
        patroni            200  200  200
    "#]],
    );
}

#[test]
fn checks_of_a_cluster_whose_primary_ended() {
    let rehearsal = Rehearsal::new().with("a", |evidence, _| {
        evidence.process = Process::Ended(Duration::from_millis(20));
    });
    check(
        &view(rehearsal),
        &expect![[r#"
                             a  r-0  r-1
        primary            503  503  503
        standby-leader     503  503  503
        replica            503  200  200
        read-only          503  200  200
        sync               503  503  503
        quorum             503  503  503
        async              503  200  200
        read-only-sync     503  503  503
        read-only-quorum   503  503  503
        health             503  200  200
        liveness           200  200  200
        readiness          503  200  200
        patroni            200  200  200
    "#]],
    );
}

#[test]
fn a_server_that_writes_without_the_lead_is_sent_no_writes_and_no_reads() {
    let rehearsal = Rehearsal::new().with("r-1", |evidence, report| {
        report.writes = true;
        evidence.said.as_mut().unwrap().writes = true;
    });
    let view = view(rehearsal);
    let codes = [Check::Primary, Check::Replica, Check::ReadOnly].map(|check| code(&view, "r-1", check, &[]));
    assert_eq!(codes, [503, 503, 503]);
}

#[test]
fn a_primary_on_record_that_does_not_write_is_no_primary() {
    let rehearsal = Rehearsal::new().with("a", |evidence, report| {
        report.writes = false;
        evidence.said.as_mut().unwrap().writes = false;
    });
    assert_eq!(code(&view(rehearsal), "a", Check::Primary, &[]), 503);
}

#[test]
fn a_fenced_node_passes_no_check_of_a_role() {
    let mut rehearsal = Rehearsal::new();
    let node = rehearsal.node("r-1");
    node.role = Some(Role::Fenced {
        term: simdb_state::object::Term(2),
        proof: simdb_state::object::FenceProof::Killed,
        witness: simdb_state::object::Witness::ProcessesGone,
    });
    node.power = Power::Stopped;
    let rehearsal = rehearsal.with("r-1", |evidence, _| {
        evidence.process = Process::Ended(Duration::from_secs(9));
    });
    let view = view(rehearsal);
    for check in [
        Check::Primary,
        Check::Replica,
        Check::ReadOnly,
        Check::Health,
        Check::Readiness,
    ] {
        assert_eq!(code(&view, "r-1", check, &[]), 503, "{check:?}");
    }
}

#[test]
fn a_round_that_is_old_opens_no_gate() {
    let view = View {
        age: Duration::from_secs(4),
        ..view(Rehearsal::new())
    };
    for (check, _) in CHECKS.iter().filter(|(check, _)| *check != Check::Patroni) {
        for node in ["a", "r-0", "r-1"] {
            assert_eq!(code(&view, node, *check, &[]), 503, "{check:?} of {node}");
        }
    }
    assert_eq!(own::live(&view).status.as_u16(), 503);
    assert_eq!(cluster::overall(&view, None).status.as_u16(), 503);
}

#[test]
fn an_answer_that_is_missed_once_sends_no_client_away() {
    let rehearsal = Rehearsal::new().with("a", |evidence, _| {
        evidence.answer = Sign::Silent(Duration::from_millis(800));
        evidence.process = Process::Runs;
    });
    assert_eq!(code(&view(rehearsal), "a", Check::Primary, &[]), 200);
}

#[test]
fn a_replica_is_as_far_behind_as_the_query_allows() {
    let asked = |query: &[(&str, &str)]| {
        // 1 MB and 1 byte is yet to be replayed.
        let lags = Rehearsal::new().with("r-0", |evidence, report| {
            report.replayed = rehearsal::position(rehearsal::END - 1_048_577);
            evidence.said.as_mut().unwrap().lag_bytes = Some(1_048_577);
        });
        code(&view(lags), "r-0", Check::Replica, query)
    };
    assert_eq!(asked(&[]), 200);
    assert_eq!(asked(&[("lag", "1MB")]), 503);
    assert_eq!(asked(&[("lag", "1048577")]), 200);
    assert_eq!(asked(&[("lag", "1025kB")]), 200);
    assert_eq!(asked(&[("lag", "2GB"), ("replication_state", "streaming")]), 200);
    assert_eq!(asked(&[("replication_state", "in archive recovery")]), 503);
    // As Patroni does, a number that cannot be read is no limit.
    assert_eq!(asked(&[("lag", "many")]), 200);
    assert_eq!(asked(&[("tag_nofailover", "true")]), 503);
}

#[test]
fn a_lag_that_is_not_known_is_within_no_limit() {
    let mut rehearsal = Rehearsal::new();
    let watched = rehearsal.watched();
    watched.reports.retain(|name, _| name.host() != "a");
    let view = view(rehearsal);
    assert_eq!(code(&view, "r-0", Check::Replica, &[]), 200);
    assert_eq!(code(&view, "r-0", Check::Replica, &[("lag", "1GB")]), 503);
    assert_eq!(code(&view, "r-0", Check::Readiness, &[]), 503);
}

#[test]
fn tags_are_compared() {
    let mut rehearsal = Rehearsal::new();
    let priorities = &mut rehearsal.cluster().failover.priorities;
    priorities.insert(rehearsal::name("r-1"), 0);
    let view = view(rehearsal);
    assert_eq!(code(&view, "r-1", Check::Replica, &[("tag_nofailover", "true")]), 200);
    assert_eq!(code(&view, "r-0", Check::Replica, &[("tag_nofailover", "true")]), 503);
    // Tags are for replicas.
    assert_eq!(code(&view, "a", Check::Primary, &[("tag_nofailover", "true")]), 200);
}

#[test]
fn a_paused_cluster_is_alive_however_late_the_monitor_is() {
    let mut rehearsal = Rehearsal::new();
    rehearsal.watched().pause = Some(Pause {
        who: "ann@host".to_owned(),
        since: "2026-12-01T05:00:00Z".to_owned(),
        until: None,
        reason: None,
    });
    let view = View {
        age: Duration::from_mins(1),
        ..view(rehearsal)
    };
    assert_eq!(code(&view, "a", Check::Liveness, &[]), 200);
}

#[test]
fn documents_of_a_node_and_a_cluster_in_the_form_of_patroni() {
    let view = view(Rehearsal::new());
    let orders = view.cluster("orders").unwrap();
    let primary = patroni::answer(Check::Primary, &orders.node("a").unwrap(), &Query::default());
    expect![[r#"
        {"database_system_identifier":"7300000000000000001","dcs_last_seen":1796104800,"patroni":{"name":"a","scope":"orders","version":"4.1.4"},"postmaster_start_time":"2026-12-01 05:00:00.000000+00:00","replication":[{"application_name":"r_0","state":"streaming","sync_state":"sync"},{"application_name":"r_1","state":"streaming","sync_state":"async"}],"role":"primary","server_version":150018,"state":"running","timeline":2,"xlog":{"location":67109936}}
    "#]].assert_eq(&primary.body);
    let replica = patroni::answer(Check::Replica, &orders.node("r-0").unwrap(), &Query::default());
    expect![[r#"
        {"database_system_identifier":"7300000000000000001","dcs_last_seen":1796104800,"patroni":{"name":"r-0","scope":"orders","version":"4.1.4"},"postmaster_start_time":"2026-12-01 05:00:00.000000+00:00","replication_state":"streaming","role":"replica","server_version":150018,"state":"running","sync_standby":true,"timeline":2,"xlog":{"paused":false,"received_location":67109936,"replayed_location":67109936}}
    "#]].assert_eq(&replica.body);
    expect![[r#"
        {"members":[{"api_url":"http://127.0.0.1:8008/patroni/orders/a/patroni","host":"127.0.0.1","name":"a","port":5433,"role":"leader","state":"running","timeline":2},{"api_url":"http://127.0.0.1:8008/patroni/orders/r-0/patroni","host":"127.0.0.1","lag":0,"lsn":"0/4000430","name":"r-0","port":5434,"receive_lag":0,"receive_lsn":"0/4000430","replay_lag":0,"replay_lsn":"0/4000430","role":"sync_standby","state":"streaming","timeline":2},{"api_url":"http://127.0.0.1:8008/patroni/orders/r-1/patroni","host":"127.0.0.1","lag":0,"lsn":"0/4000430","name":"r-1","port":5435,"receive_lag":0,"receive_lsn":"0/4000430","replay_lag":0,"replay_lsn":"0/4000430","role":"replica","state":"streaming","timeline":2}],"scope":"orders"}
    "#]].assert_eq(&patroni::cluster(&orders, "http://127.0.0.1:8008").body);
    expect![[r#"
        [[1,50331648,"failover",null,"a"]]
    "#]]
    .assert_eq(&patroni::history(&orders).body);
}

#[test]
fn documents_of_the_cluster_paths() {
    let view = view(Rehearsal::new());
    expect![[r#"
        {"cluster":{"is_healthy":true},"failover":{"current_role":"PRIMARY","failover_in_progress":false,"is_healthy":true,"last_failover":"2026-12-01T05:50:00Z"},"node":{"id":"a","raft_address":"127.0.0.1:8008","replication_port":5433,"role":"PRIMARY","start_time":"2026-12-01T05:00:00Z","uptime_seconds":3600},"raft":{"leader":"a","state":"LEADER","term":2},"replication":{"address":"127.0.0.1:5433","last_lsn":67109936,"mode":"sync","node_id":"a","replica_count":2,"state":"ACTIVE"}}
    "#]].assert_eq(&cluster::status(&view, None, None, "127.0.0.1:8008").body);
    expect![[r#"
        {"cluster":{"is_healthy":true},"failover":{"current_role":"REPLICA","failover_in_progress":false,"is_healthy":true,"last_failover":"2026-12-01T05:50:00Z"},"node":{"id":"r-0","raft_address":"127.0.0.1:8008","replication_port":5434,"role":"REPLICA","start_time":"2026-12-01T05:00:00Z","uptime_seconds":3600},"raft":{"leader":"a","state":"FOLLOWER","term":2},"replication":{"address":"127.0.0.1:5434","last_lsn":67109936,"mode":"sync","node_id":"r-0","replica_count":0,"state":"ACTIVE"}}
    "#]].assert_eq(&cluster::status(&view, None, Some("r[0]"), "127.0.0.1:8008").body);
    expect![[r#"
        [{"address":"127.0.0.1","cluster":"orders","id":"a","is_healthy":true,"lag_bytes":null,"lag_seconds":null,"last_seen_ms":0,"lsn":"0/4000430","port":5433,"role":"PRIMARY","state":"running","sync_state":null,"term":2,"timeline":2},{"address":"127.0.0.1","cluster":"orders","id":"r-0","is_healthy":true,"lag_bytes":0,"lag_seconds":0.0,"last_seen_ms":0,"lsn":"0/4000430","port":5434,"role":"REPLICA","state":"running","sync_state":"sync","term":2,"timeline":2},{"address":"127.0.0.1","cluster":"orders","id":"r-1","is_healthy":true,"lag_bytes":0,"lag_seconds":0.0,"last_seen_ms":0,"lsn":"0/4000430","port":5435,"role":"REPLICA","state":"running","sync_state":"async","term":2,"timeline":2}]
    "#]].assert_eq(&cluster::nodes(&view, Some("orders")).body);
    expect![[r#"
        {"is_healthy":true,"primary":"a","reasons":[],"standbys_streaming":2,"synchronous":1}
    "#]]
    .assert_eq(&cluster::health(&view, None).body);
    expect![[r#"
        {"db_primary":"connected","db_replica":"connected","status":"healthy","version":"0.1.0"}
    "#]]
    .assert_eq(&cluster::overall(&view, None).body);
}

#[test]
fn several_clusters_are_chosen_from_and_unknown_ones_are_named() {
    let view = view(Rehearsal::new().beside("stock"));
    let several = cluster::status(&view, None, None, "");
    assert_eq!(several.status.as_u16(), 300);
    expect![[r#"
        {"clusters":["orders","stock"],"error":"there are several clusters; choose one with ?cluster="}
    "#]]
    .assert_eq(&several.body);
    let unknown = cluster::health(&view, Some("oders"));
    assert_eq!(unknown.status.as_u16(), 404);
    expect![[r#"
        {"error":"there is no cluster \"oders\"; known: orders, stock","format_version":"1.0"}
    "#]]
    .assert_eq(&unknown.body);
    assert_eq!(
        cluster::status(&view, Some("orders"), Some("z"), "").status.as_u16(),
        404
    );
    assert_eq!(cluster::overall(&view, Some("oders")).status.as_u16(), 404);
}

#[test]
fn health_says_which_side_is_away_and_why() {
    let rehearsal = Rehearsal::new().with("r-0", |evidence, _| {
        evidence.process = Process::Ended(Duration::from_secs(1));
    });
    let view = view(rehearsal);
    let health = cluster::overall(&view, None);
    assert_eq!(health.status.as_u16(), 503);
    expect![[r#"
        {"db_primary":"connected","db_replica":"disconnected","status":"unhealthy","version":"0.1.0"}
    "#]]
    .assert_eq(&health.body);
    let health = cluster::health(&view, None);
    assert_eq!(health.status.as_u16(), 503);
    expect![[r#"
        {"is_healthy":false,"primary":"a","reasons":["r[0] is crashed"],"standbys_streaming":1,"synchronous":1}
    "#]]
    .assert_eq(&health.body);
}

#[test]
fn a_cluster_that_is_stopped_is_no_failure() {
    let mut rehearsal = Rehearsal::new();
    for node in ["a", "r-0", "r-1"] {
        rehearsal.node(node).power = Power::Stopped;
        rehearsal = rehearsal.with(node, |evidence, _| {
            evidence.process = Process::Ended(Duration::from_mins(1));
        });
    }
    let view = view(rehearsal);
    assert_eq!(cluster::health(&view, None).status.as_u16(), 200);
    let overall = cluster::overall(&view, None);
    assert_eq!(overall.status.as_u16(), 200);
    expect![[r#"
        {"db_primary":null,"db_replica":null,"status":"healthy","version":"0.1.0"}
    "#]]
    .assert_eq(&overall.body);
    assert_eq!(code(&view, "a", Check::Health, &[]), 503);
}

#[test]
fn own_documents_say_what_the_monitor_does_and_what_it_would_do() {
    let mut rehearsal = Rehearsal::new();
    rehearsal.watched().acting = Some(Acting {
        what: "fail over from a: its process ended".to_owned(),
        is_role_change: true,
        since: rehearsal::at(),
    });
    rehearsal.round.standing = Standing::Observes("the monitor of bob@west decides".to_owned());
    let view = view(rehearsal);
    expect![[r#"
        {"cluster":{"acting":{"role_change":true,"since":"2026-12-01T06:00:00Z","what":"fail over from a: its process ended"},"alarms":[],"commits_waiting":0,"decision":null,"degraded_since":null,"endpoints":[],"failover":"manual","healthy":true,"held":null,"last_role_change":{"at_lsn":"0/3000000","reason":"failover","term":2,"timeline":2,"to":"a","verdict":"argued: nothing is lost, commits waited for 1 of 1 standbys and 1 answered"},"name":"orders","nodes":[{"address":"127.0.0.1:5433","because":null,"condition":"alive","follows":null,"host":"a","lag_bytes":null,"lag_seconds":null,"last_seen_ms":0,"lsn":"0/4000430","name":"a","role":"primary","state":"running","streams":false,"sync_state":null,"timeline":2,"writes":true},{"address":"127.0.0.1:5434","because":null,"condition":"alive","follows":"a","host":"r-0","lag_bytes":0,"lag_seconds":0.0,"last_seen_ms":0,"lsn":"0/4000430","name":"r[0]","role":"standby","state":"running","streams":true,"sync_state":"sync","timeline":2,"writes":false},{"address":"127.0.0.1:5435","because":null,"condition":"alive","follows":"a","host":"r-1","lag_bytes":0,"lag_seconds":0.0,"last_seen_ms":0,"lsn":"0/4000430","name":"r[1]","role":"standby","state":"running","streams":true,"sync_state":"async","timeline":2,"writes":false}],"paused":null,"primary":"a","reasons":[],"replication":"sync","stopped":false,"sync_standbys":1,"sync_standbys_required":1,"term":2,"timeline":2},"format_version":"1.0","monitor":{"at":"2026-12-01T06:00:00Z","decides":false,"late_ms":0,"observes_because":"the monitor of bob@west decides","round":7,"serial":12,"started":"2026-12-01T06:00:00Z","store_away":null,"version":"0.1.0","who":"ann@east"}}
    "#]].assert_eq(&own::cluster(&view, "orders").body);
    assert_eq!(own::cluster(&view, "oders").status.as_u16(), 404);
}

fn surveyed() -> Survey {
    let orders: ClusterName = "orders".parse().unwrap();
    Survey {
        changes: Some(BTreeMap::from([(orders, 2)])),
        differences: Some(BTreeMap::new()),
        ..Survey::default()
    }
}

fn exposed(view: &View, tally: &Tally, format: Format) -> String {
    let counted = metrics::Counted {
        tally,
        survey: &surveyed(),
        deliveries: &Deliveries::default(),
        journal: &Journal::default(),
    };
    metrics::write(view, &counted, format)
}

#[test]
fn metrics_in_both_formats() {
    let tally = Tally::default();
    let lost = event(1, Kind::Lost);
    let led = Event {
        at: lost.at.checked_add(Duration::from_millis(400)).unwrap(),
        ..event(2, Kind::FailedOver)
    };
    tally.event(&lost);
    tally.event(&led);
    // An event is counted once, however often it is seen.
    tally.event(&led);
    tally.request("/health", 200);
    let view = view(Rehearsal::new());
    let classic = exposed(&view, &tally, Format::Classic);
    expect_file!["tests/metrics.txt"].assert_eq(&classic);
    let open = exposed(&view, &tally, Format::OpenMetrics);
    assert!(open.ends_with("# EOF\n"));
    assert!(open.contains("# TYPE simdb_failovers counter\nsimdb_failovers_total{cluster=\"orders\"} 1\n"));
    let samples = |text: &str| {
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        samples.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(samples(&classic), samples(&open));
}

#[test]
fn metrics_of_a_node_have_the_names_of_patroni() {
    let view = view(Rehearsal::new());
    let node = view.cluster("orders").unwrap().node("r-0").unwrap();
    expect_file!["tests/patroni_metrics.txt"].assert_eq(&patroni::metrics(&node, Format::Classic));
}

#[test]
fn the_format_of_metrics_is_asked_for() {
    let asked = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5";
    assert_eq!(Format::accepted(Some(asked)), Format::OpenMetrics);
    assert_eq!(Format::accepted(Some("*/*")), Format::Classic);
    assert_eq!(Format::accepted(None), Format::Classic);
}

#[test]
fn a_listener_hears_what_it_missed_and_that_something_is_kept_no_more() {
    let kept: Vec<_> = (5..8).map(|number| Arc::new(event(number, Kind::Lost))).collect();
    let heard = |last| {
        let (is_missing, events) = stream::missed(&kept, last);
        (is_missing, events.iter().map(|event| event.number).collect::<Vec<_>>())
    };
    assert_eq!(heard(7), (false, vec![]));
    assert_eq!(heard(5), (false, vec![6, 7]));
    assert_eq!(heard(4), (false, vec![5, 6, 7]));
    assert_eq!(heard(3), (true, vec![5, 6, 7]));
    // A monitor that started anew counts from 1 again.
    assert_eq!(heard(900), (true, vec![5, 6, 7]));
    assert!(!stream::missed(&[], 0).0);
}

#[test]
fn a_wall_clock_that_was_set_back_makes_no_round_old() {
    let round = Arc::new(Rehearsal::new().round);
    let before = round.at.checked_sub(Duration::from_hours(1)).unwrap();
    assert!(View::at(Arc::clone(&round), before).is_fresh());
    let later: Timestamp = round.at.checked_add(Duration::from_secs(4)).unwrap();
    assert!(!View::at(round, later).is_fresh());
}

/// Returns the words of a text that are names of simdb's metrics.
fn names(text: &str) -> Vec<&str> {
    let words = text.split(|character: char| !character.is_ascii_alphanumeric() && character != '_');
    let mut names: Vec<&str> = words.filter(|word| word.starts_with("simdb_")).collect();
    names.sort_unstable();
    names.dedup();
    names
}

#[test]
fn the_alerts_and_the_board_that_are_shipped_name_metrics_that_are_served() {
    let tally = Tally::default();
    let served = exposed(&view(Rehearsal::new()), &tally, Format::Classic);
    let served = names(&served);
    for shipped in [
        include_str!("../../../../examples/monitoring/simdb.rules.yml"),
        include_str!("../../../../examples/monitoring/simdb.rules.test.yml"),
        include_str!("../../../../examples/monitoring/simdb.dashboard.json"),
    ] {
        let shipped = names(shipped);
        assert!(shipped.len() > 8, "{shipped:?}");
        let missing: Vec<_> = shipped.iter().filter(|name| !served.contains(name)).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
}

#[test]
fn the_page_is_small_asks_nobody_else_and_makes_no_markup_of_text() {
    let size: usize = page::FILES.iter().map(|file| file.content.len()).sum();
    assert!(size <= 60_000, "{size}");
    for file in page::FILES {
        let text = std::str::from_utf8(file.content).unwrap();
        // The name of SVG's elements is no address.
        let text = text.replace("http://www.w3.org/2000/svg", "");
        for word in [
            "http://",
            "https://",
            "innerHTML",
            "insertAdjacentHTML",
            "localStorage",
            "style=",
            "onclick=",
        ] {
            assert!(!text.contains(word), "{} has {word}", file.path);
        }
    }
}

#[test]
fn the_document_of_the_api_is_the_one_that_is_committed() {
    let document = crate::views::json::document(&openapi::document());
    expect_file!["../../../../examples/monitoring/openapi.json"].assert_eq(&document);
}
