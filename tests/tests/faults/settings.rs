//! Settings that a standby must have no less of than its primary.

use simdb_tests::{TWO, Version, any, disturb};

#[test]
fn max_connections_go_up_and_down_and_replay_never_pauses() {
    let with = |connections: u32| {
        TWO.replace(
            "{}",
            &format!("{{\n parameters = {{ max_connections = {connections} }}\n }}"),
        )
    };
    disturb(&Version::all(), &with(50), any(1), |scenario| {
        for connections in [80, 40] {
            scenario.apply(&with(connections));
            for node in scenario.nodes() {
                assert_eq!(scenario.ask(node, "SHOW max_connections"), connections.to_string());
            }
            let replay = scenario.ask("b", "SELECT pg_get_wal_replay_pause_state()");
            assert_eq!(replay, "not paused");
            assert!(!scenario.log("b").contains("recovery has paused"));
            scenario.assert_settled(any(1));
        }
    });
}
