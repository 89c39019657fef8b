//! A daemon that ends and comes back: what its containers do, and what simdb makes of it.

use simdb_tests::contained::{PAIR, ROWS};
use simdb_tests::{Engine, Scenario, first, wait_until};

#[test]
fn servers_come_back_with_their_daemon_and_one_that_was_fenced_does_not() {
    let Some(mut engine) = Engine::start() else { return };
    let scenario = Scenario::in_containers_on(&engine, PAIR);
    scenario.ask("a", "CREATE TABLE kept AS SELECT 42 AS n; SELECT 1");
    // A reload through the daemon would count as a stop.
    scenario.simdb(&["apply", "-auto-approve"]);
    engine.stop("TERM");
    engine.restart();
    wait_until("all servers are back", || {
        scenario.environment.run(&["plan", "-detailed-exitcode"]).code == Some(0)
    });
    scenario.assert_settled(first(1));
    assert_eq!(scenario.ask("r[0]", "SELECT n FROM kept"), "42");
    scenario.simdb(&["stop", "orders.a", "-auto-approve"]);
    engine.stop("TERM");
    engine.restart();
    let running = scenario.docker(&["inspect", "--format", "{{.State.Running}}", &scenario.container("a")]);
    assert_eq!(running, "false", "what was stopped stays so");
    scenario.simdb(&["start", "orders.a", "-auto-approve"]);
    scenario.assert_settled(first(1));
    scenario.destroy_containers();
}

#[test]
fn a_daemon_that_was_killed_proves_nothing_and_its_servers_serve_on() {
    let Some(mut engine) = Engine::start() else { return };
    let scenario = Scenario::in_containers_on(&engine, PAIR);
    let writing = scenario.load();
    writing.further(ROWS);
    engine.stop("KILL");
    writing.further(ROWS);
    let said = "Servers in its containers may run all the same";
    scenario.expect_refusal(&["failover", "orders", "-auto-approve"], said);
    scenario.expect_refusal(&["plan"], said);
    writing.further(ROWS);
    engine.restart();
    // It first ends what it finds running, and answers slowly meanwhile.
    wait_until("simdb mends what the daemon ended", || {
        scenario.environment.run(&["apply", "-auto-approve"]).code == Some(0)
    });
    assert_eq!(scenario.primary(), "a");
    writing.further(ROWS);
    scenario.assert_settled(first(1));
    writing.expect_nothing_lost();
    scenario.destroy_containers();
}
