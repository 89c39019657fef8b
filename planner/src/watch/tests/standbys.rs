//! What a monitor does for standbys and for commits that wait for them, and what it tells.

use super::*;

#[test]
fn commits_go_on_without_a_standby_that_is_away_and_wait_for_it_again_later() {
    let away = |change: fn(&mut Scene)| {
        Scene::quorum().with(|scene| {
            let cluster = scene.state.clusters.get_mut(&orders()).unwrap();
            cluster.on_standby_loss = OnStandbyLoss::Degrade;
            cluster.sync_rule.standbys = BTreeSet::from(["b".to_owned()]);
            scene.silent("b");
            scene.trend("b").away = Some(seconds(1));
            change(scene);
        })
    };
    assert_eq!(away(|_| {}).told(), "let commits go on without b");
    let shortly = away(|scene| scene.trend("b").away = Some(Duration::from_millis(999)));
    assert_eq!(shortly.told(), "nothing");
    let blocks = away(|scene| scene.state.clusters.get_mut(&orders()).unwrap().on_standby_loss = OnStandbyLoss::Block);
    assert_eq!(blocks.told(), "nothing");
    // Another one that commits wait for is there.
    let enough = away(|scene| {
        let cluster = scene.state.clusters.get_mut(&orders()).unwrap();
        cluster.sync_rule.standbys.insert("c".to_owned());
    });
    assert_eq!(enough.told(), "nothing");
    let back = |caught_up| {
        Scene::quorum().with(|scene| {
            let cluster = scene.state.clusters.get_mut(&orders()).unwrap();
            cluster.degraded = Some(Lsn(1).into());
            for node in ["b", "c"] {
                scene.trend(node).caught_up = Some(caught_up);
            }
        })
    };
    assert_eq!(back(seconds(5)).told(), "let commits wait for all standbys again");
    assert_eq!(back(seconds(4)).told(), "nothing");
}

#[test]
fn a_standby_that_ended_is_started_and_one_that_cannot_go_on_is_made_anew() {
    let standby = |change: fn(&mut Scene)| Scene::quorum().with(change);
    assert_eq!(standby(|scene| scene.ended("b", seconds(1))).told(), "start b");
    assert_eq!(
        standby(|scene| scene.ended("b", Duration::from_millis(900))).told(),
        "nothing"
    );
    let gone = standby(|scene| scene.ended("b", seconds(300)));
    assert_eq!(gone.told(), "make b anew: it has been down for five minutes");
    let broken = |change: fn(&mut Said)| {
        Scene::quorum().with(|scene| {
            let said = scene.node("b").said.as_mut().unwrap();
            said.streams = false;
            change(said);
        })
    };
    let lost = broken(|said| said.slot = SlotState::Lost);
    assert_eq!(lost.told(), "make b anew: the log that it needs is gone");
    assert_eq!(
        broken(|said| said.diverged = true).told(),
        "make b anew: its log is another branch than the primary's"
    );
    let far = broken(|said| said.lag_bytes = Some(1024 * 1024 * 1024 + 1));
    assert_eq!(far.told(), "make b anew: it is more than 1 GB behind");
    let manual = lost.with(|scene| scene.policy().rebuild = FailoverMode::Manual);
    assert_eq!(manual.told(), "nothing");
    let tried = manual.with(|scene| {
        scene.policy().rebuild = FailoverMode::Automatic;
        let attempt = Attempt {
            ago: seconds(100),
            times: 2,
        };
        scene.history.tried.insert(Subject::Node(name("b")), attempt);
    });
    assert!(
        tried
            .told()
            .ends_with("(the last attempt failed; the next one is in 20 s)")
    );
}

#[test]
fn an_alarm_is_raised_late_and_cleared_later() {
    let lags = |change: fn(&mut Scene)| Scene::quorum().with(change);
    assert_eq!(lags(|scene| scene.trend("b").lags = Some(seconds(29))).alarms(), "");
    assert_eq!(
        lags(|scene| scene.trend("b").lags = Some(seconds(30))).alarms(),
        "b lags"
    );
    let held = |keeps_up| {
        Scene::quorum().with(|scene| {
            scene.history.alarms.insert(Alarm::Lag(name("b")));
            scene.trend("b").keeps_up = Some(keeps_up);
        })
    };
    assert_eq!(held(seconds(59)).alarms(), "b lags");
    assert_eq!(held(seconds(60)).alarms(), "");
    assert_eq!(
        lags(|scene| scene.trend("a").waits = Some(seconds(10))).alarms(),
        "commits wait for standbys"
    );
    let slot = lags(|scene| scene.node("b").said.as_mut().unwrap().slot = SlotState::AtRisk);
    assert_eq!(slot.alarms(), "the log that b needs is about to be removed");
    let archive = lags(|scene| scene.node("a").said.as_mut().unwrap().archive_fails = true);
    assert_eq!(archive.alarms(), "the log of a cannot be archived");
}
