//! Settings that a standby must have no less of than its primary.

use simdb_tests::{Declared, Scenario, THREE, TWO, Version, any, disturb};

use crate::APPLY;

/// Returns a cluster whose nodes have parameters.
fn with(nodes: &str, parameters: &str) -> String {
    let parameters = format!("parameters = {{ {parameters} }}");
    nodes
        .replace("{}", &format!("{{\n    {parameters}\n  }}"))
        .replace("{ count = 2 }", &format!("{{\n    count = 2\n    {parameters}\n  }}"))
}

#[track_caller]
fn assert_shown(scenario: &Scenario, setting: &str, value: &str) {
    for node in scenario.nodes() {
        assert_eq!(
            scenario.ask(node, &format!("SHOW {setting}")),
            value,
            "{setting} of {node}"
        );
    }
}

#[test]
fn max_connections_go_up_and_down_and_replay_never_pauses() {
    let with = |connections: u32| with(TWO, &format!("max_connections = {connections}"));
    disturb(&Version::all(), &with(50), any(1), |scenario| {
        for connections in [80, 40] {
            scenario.apply(&with(connections));
            assert_shown(scenario, "max_connections", &connections.to_string());
            let replay = scenario.ask("b", "SELECT pg_get_wal_replay_pause_state()");
            assert_eq!(replay, "not paused");
            assert!(!scenario.log("b").contains("recovery has paused"));
            scenario.assert_settled(any(1));
        }
    });
}

#[test]
fn one_setting_goes_up_while_another_one_goes_down() {
    let with = |connections: u32, workers: u32| {
        let parameters = format!("max_connections = {connections}, max_worker_processes = {workers}");
        with(THREE, &parameters)
    };
    disturb(&Version::all(), &with(80, 8), any(1), |scenario| {
        scenario.apply(&with(40, 16));
        assert_shown(scenario, "max_connections", "40");
        assert_shown(scenario, "max_worker_processes", "16");
        scenario.assert_settled(any(1));
    });
}

#[test]
fn a_standby_that_was_away_while_the_primary_got_less_replays_what_it_missed() {
    let with = |connections: u32| with(THREE, &format!("max_connections = {connections}"));
    disturb(&Version::all(), &with(80), any(1), |scenario| {
        for (connections, how) in [(60, "crashed"), (40, "stopped"), (20, "paused")] {
            match how {
                "crashed" => scenario.kill_all("r[0]"),
                "stopped" => drop(scenario.simdb(&["stop", "orders.r[0]", "-auto-approve"])),
                _ => drop(scenario.ask("r[0]", "SELECT pg_wal_replay_pause()")),
            }
            scenario.apply(&with(connections));
            if how == "stopped" {
                scenario.simdb(&["start", "orders.r[0]", "-auto-approve"]);
            }
            assert_shown(scenario, "max_connections", &connections.to_string());
            scenario.assert_settled(any(1));
        }
    });
}

#[test]
fn a_standby_that_paused_by_itself_goes_on() {
    disturb(&Version::all(), TWO, any(1), |scenario| {
        // Somebody else raises what replay depends on, on the primary alone.
        assert_eq!(scenario.answer("a", "ALTER SYSTEM SET max_connections = 150"), None);
        scenario.kill_all("a");
        let programs = scenario.programs_of("b");
        scenario.start_by_hand("a", &programs);
        scenario.wait_for("b", "SELECT pg_get_wal_replay_pause_state() = 'paused'");
        scenario.simdb(&APPLY);
        assert_shown(scenario, "max_connections", "100");
    });
}

#[test]
fn another_node_leads_while_a_restart_is_due_and_the_restart_comes_after_that() {
    let with = |connections: u32| {
        let parameters = format!("max_connections = {connections}, shared_buffers = \"{connections}MB\"");
        with(THREE, &parameters)
    };
    disturb(&Version::all(), &with(80), any(1), |scenario| {
        scenario.declare(&with(40));
        scenario.switchover(Some("r[0]"));
        scenario.simdb(&APPLY);
        assert_shown(scenario, "max_connections", "40");
        scenario.declare(&with(60));
        scenario.kill_all("r[0]");
        scenario.failover();
        scenario.simdb(&APPLY);
        assert_shown(scenario, "shared_buffers", "60MB");
    });
}

#[test]
fn all_nodes_move_and_get_less_in_one_apply() {
    for version in Version::all() {
        let mut declared = Declared {
            max_connections: 80,
            ..Declared::default()
        };
        let mut scenario = Scenario::new(&version, &declared.body());
        for (subnet, connections) in [(true, 60), (false, 40)] {
            declared.subnet = subnet;
            declared.max_connections = connections;
            scenario.apply_all(&declared);
            assert_shown(&scenario, "max_connections", &connections.to_string());
            scenario.assert_settled(any(1));
        }
        scenario.simdb(&["verify", "orders"]);
        scenario.destroy();
    }
}
