//! What a monitor makes of parts that do not reach each other, or are frozen.

use super::*;

/// Who is cut off from whom. P is the primary with its guard, S the standbys, D the store, M the monitor.
#[test]
fn every_partition_has_its_outcome() {
    let observes =
        |scene: &mut Scene| scene.round.standing = Standing::Observes("the store does not answer".to_owned());
    let all_silent = |scene: &mut Scene| {
        for node in ["a", "b", "c"] {
            scene.silent(node);
        }
    };
    let case = |change: &dyn Fn(&mut Scene)| {
        let scene = Scene::quorum().with(|scene| change(scene));
        scene.told()
    };
    let fails_over = "fail over from a: no sign of life for 2.0 s";
    assert_eq!(case(&|scene| scene.silent("a")), fails_over, "P / SDM");
    let standbys = |scene: &mut Scene| {
        for node in ["b", "c"] {
            scene.silent(node);
        }
        scene.node("a").stream = Sign::Silent(seconds(2));
    };
    assert_eq!(case(&standbys), "nothing", "S / PDM");
    assert_eq!(case(&observes), "nothing", "D / PSM");
    let blind = case(&|scene| {
        all_silent(scene);
        scene.round.hears = false;
    });
    assert!(
        blind.ends_with("(no node answers, so the monitor takes itself for cut off)"),
        "M / PSD: {blind}"
    );
    let no_candidate = case(&|scene| {
        all_silent(scene);
    });
    assert!(
        no_candidate.ends_with("(no standby could take over)"),
        "PS / DM: {no_candidate}"
    );
    let without_store = case(&|scene| {
        scene.silent("a");
        observes(scene);
    });
    assert!(
        without_store.ends_with("(this monitor only observes: the store does not answer)"),
        "PD / SM"
    );
    assert_eq!(
        case(&|scene| scene.silent("a")),
        fails_over,
        "PM / SD: the monitor beside S"
    );
    assert_eq!(
        case(&|scene| scene.node("a").stream = Sign::Silent(seconds(2))),
        "nothing",
        "P–S"
    );
    assert_eq!(
        case(&|scene| scene.node("a").beat = Sign::Silent(seconds(9))),
        "nothing",
        "P–D"
    );
    let unreached = |scene: &mut Scene| scene.node("a").answer = Sign::Silent(seconds(9));
    assert_eq!(case(&unreached), "nothing", "P–M");
    assert_eq!(case(&|scene| scene.silent("b")), "nothing", "S–D, S–M");
    assert_eq!(case(&observes), "nothing", "M–D");
}

#[test]
fn every_frozen_part_has_its_outcome() {
    let frozen = |change: fn(&mut Scene)| Scene::quorum().with(change);
    let monitor = frozen(|scene| {
        scene.silent("a");
        scene.round.late = seconds(10);
    });
    assert_eq!(monitor.told(), "nothing");
    let primary = frozen(|scene| {
        scene.silent("a");
        scene.node("a").process = Process::Runs;
    });
    assert_eq!(primary.told(), "fail over from a: no sign of life for 2.0 s");
    let accepts_nothing = |silent| {
        Scene::quorum().with(|scene| {
            scene.node("a").entry = Sign::Silent(silent);
        })
    };
    assert_eq!(accepts_nothing(Duration::from_millis(4_900)).told(), "nothing");
    assert_eq!(
        accepts_nothing(seconds(5)).told(),
        "fail over from a: it has let no session in for 5.0 s"
    );
    let disk = frozen(|scene| scene.node("a").commit = Sign::Silent(seconds(10)));
    assert_eq!(disk.told(), "fail over from a: it has committed nothing for 10.0 s");
    let standby = frozen(|scene| scene.silent("b"));
    assert_eq!(
        (standby.told().as_str(), standby.alarms().as_str()),
        ("nothing", "b is lost")
    );
}
