//! Two people at once: every command that changes a cluster, beside every command that looks, in a loop. Both succeed or
//! say why, nothing is left, and nothing is stuck.

use simdb_tests::{Declared, Look, Lookers, Looks, Scenario, Version, any, is_thorough, leave_to_faults};

/// Work that changes a cluster.
#[derive(Clone, Copy, Debug)]
enum Work {
    Reload,
    Restart,
    ScaleIn,
    ScaleOut,
    Rotate,
    RotateStreams,
    Switchover,
    Failover,
    StopStandby,
    StopAll,
    Move,
    Resync,
    Destroy,
}

impl Work {
    /// What takes seconds; the rest is left to `make test-faults`.
    const QUICK: [Work; 8] = [
        Work::Reload,
        Work::ScaleIn,
        Work::ScaleOut,
        Work::Switchover,
        Work::RotateStreams,
        Work::Failover,
        Work::StopStandby,
        Work::Destroy,
    ];

    const ALL: [Work; 13] = [
        Work::Reload,
        Work::Restart,
        Work::Rotate,
        Work::Switchover,
        Work::RotateStreams,
        Work::ScaleIn,
        Work::ScaleOut,
        Work::Failover,
        Work::Move,
        Work::StopStandby,
        Work::Resync,
        Work::StopAll,
        Work::Destroy,
    ];

    /// Does the work, which must succeed whatever looks at the cluster meanwhile.
    fn run(self, scenario: &mut Scenario, declared: &mut Declared) {
        match self {
            Work::Reload => declared.work_mem += 1,
            Work::Restart => declared.max_connections += 10,
            Work::ScaleIn => declared.standbys -= 1,
            Work::ScaleOut => declared.standbys += 1,
            Work::Rotate => declared.user_password += 1,
            Work::RotateStreams => declared.stream_password += 1,
            Work::Move => declared.subnet = !declared.subnet,
            Work::Switchover => drop(scenario.switchover(None)),
            Work::Failover => {
                scenario.kill_all(&scenario.primary());
                scenario.failover();
            }
            Work::StopStandby => stop_and_start(scenario, &format!("orders.{}", scenario.standbys()[0])),
            Work::StopAll => stop_and_start(scenario, "orders"),
            Work::Resync => drop(scenario.simdb(&["resync", "orders", &scenario.standbys()[0], "-auto-approve"])),
            Work::Destroy => {
                scenario.simdb(&["destroy", "-auto-approve", "-allow=data-loss"]);
                return;
            }
        }
        scenario.apply_all(declared);
        scenario.assert_settled(any(1));
    }
}

fn stop_and_start(scenario: &Scenario, target: &str) {
    scenario.simdb(&["stop", target, "-auto-approve"]);
    scenario.simdb(&["start", target, "-auto-approve"]);
}

/// Does all the work on a cluster beside these looks, so many times, each time with a cluster that is made anew where the
/// former one was.
#[expect(clippy::print_stdout, reason = "what was seen meanwhile is worth knowing")]
fn beside(version: &Version, looks: &[Look], works: &[Work], rounds: usize) {
    let mut declared = Declared::default();
    let mut scenario = Scenario::new(version, &declared.body());
    let mut seen = Looks::default();
    for round in 0..rounds {
        let lookers = Lookers::start(&scenario.environment, looks);
        for work in works {
            println!("{version:?} {looks:?}, round {round}: {work:?}");
            work.run(&mut scenario, &mut declared);
        }
        seen.add(lookers.expect_answers());
        scenario.environment.assert_nothing_left();
        if round + 1 < rounds {
            scenario.apply_all(&declared);
        }
    }
    println!("{version:?}: {seen}");
}

#[test]
fn work_succeeds_beside_every_look_and_every_look_answers_or_says_why() {
    if !is_thorough() {
        beside(&Version::installed(), &Look::ALL, &Work::QUICK, 1);
    }
}

#[test]
fn all_work_succeeds_beside_those_who_ask_for_the_status() {
    every_work_beside(Look::Status);
}

#[test]
fn all_work_succeeds_beside_those_who_plan() {
    every_work_beside(Look::Plan);
}

#[test]
fn all_work_succeeds_beside_those_who_verify() {
    every_work_beside(Look::Verify);
}

#[test]
fn all_work_succeeds_beside_those_who_read_logs() {
    every_work_beside(Look::Logs);
}

#[test]
fn all_work_succeeds_beside_those_who_read_events() {
    every_work_beside(Look::Events);
}

/// Does all the work on every version beside several who look in one way.
fn every_work_beside(look: Look) {
    if !is_thorough() {
        leave_to_faults("it takes minutes");
        return;
    }
    for version in Version::all() {
        beside(&version, &[look; 3], &Work::ALL, 2);
    }
}
