use proptest::prelude::*;

use super::*;
use crate::testing::sight;

const SEARCH: Duration = Duration::from_secs(10);

fn view(members: usize) -> (View, Instant) {
    (View::new(members, SEARCH), Instant::now())
}

#[expect(clippy::unnecessary_wraps, reason = "it is what a probe found")]
fn primary(timeline: u32, lsn: u64, started: &str) -> Result<Sight, String> {
    Ok(sight(Role::Primary, timeline, lsn, started))
}

#[expect(clippy::unnecessary_wraps, reason = "it is what a probe found")]
fn standby(timeline: u32, lsn: u64, started: &str) -> Result<Sight, String> {
    Ok(sight(Role::Standby, timeline, lsn, started))
}

#[expect(clippy::unnecessary_wraps, reason = "it is what a probe found")]
fn promoted(timeline: u32, lsn: u64, switch: u64, started: &str) -> Result<Sight, String> {
    let mut sight = sight(Role::Primary, timeline, lsn, started);
    sight.recovered = Some(Lsn(switch));
    Ok(sight)
}

fn gone() -> Result<Sight, String> {
    Err("connection refused".to_owned())
}

fn token(timeline: u32, lsn: u64) -> Token {
    Token {
        timeline,
        lsn: Lsn(lsn),
    }
}

#[test]
fn the_primary_is_lost_searched_for_and_found_elsewhere() {
    let (mut view, now) = view(2);
    assert_eq!(
        view.record(0, primary(1, 100, "a"), now),
        [Event::Established(0), Event::Elected(0)]
    );
    assert_eq!(view.record(1, standby(1, 100, "b"), now), [Event::Established(1)]);
    assert!(!view.is_searching(now));
    assert_eq!(view.record(0, gone(), now), [Event::Lost(0)]);
    assert!(view.is_searching(now + SEARCH / 2) && !view.is_searching(now + SEARCH));
    assert_eq!(view.record(0, gone(), now + SEARCH / 2), []);
    assert!(!view.is_searching(now + SEARCH), "a search is not prolonged");
    let found = view.record(1, promoted(2, 110, 105, "b"), now);
    assert_eq!(found, [Event::Elected(1), Event::Demoted(0)]);
    assert!(!view.is_searching(now));
    // The old one is back, and nothing has stopped it from taking writes.
    let back = view.record(0, primary(1, 120, "a"), now);
    assert_eq!(back, [Event::Established(0), Event::Demoted(0)]);
    assert_eq!(view.record(0, primary(1, 130, "a"), now), []);
    assert_eq!(view.primary(), Some(1));
    // It is not taken even when the new one does not answer for a moment.
    assert_eq!(view.record(1, gone(), now), [Event::Lost(1)]);
    assert_eq!(view.primary(), None);
    assert!(
        view.describe(0).contains("which 2 has replaced"),
        "{}",
        view.describe(0)
    );
}

#[test]
fn a_primary_that_answers_as_a_standby_or_hangs_while_another_is_found_is_demoted() {
    let (mut view, now) = view(2);
    view.record(0, primary(1, 100, "a"), now);
    assert_eq!(
        view.record(0, standby(1, 100, "a"), now),
        [Event::Lost(0), Event::Demoted(0)]
    );
    view.record(0, primary(1, 100, "a"), now);
    // Nobody has seen that it is lost.
    assert_eq!(
        view.record(1, promoted(2, 110, 105, "b"), now),
        [Event::Established(1), Event::Elected(1), Event::Demoted(0)]
    );
}

#[test]
fn a_standby_of_a_newer_timeline_ends_the_primary_of_an_older_one() {
    let (mut view, now) = view(2);
    view.record(0, primary(1, 100, "a"), now);
    let events = view.record(1, standby(2, 110, "b"), now);
    assert!(events.contains(&Event::Demoted(0)), "{events:?}");
    assert_eq!(view.primary(), None);
}

#[test]
fn two_servers_of_one_timeline_that_take_writes_are_both_left_alone() {
    let (mut view, now) = view(3);
    view.record(0, primary(1, 100, "a"), now);
    // A second address of the same server is none.
    view.record(1, primary(1, 100, "a"), now);
    assert_eq!(view.primary(), Some(0));
    assert!(view.others_answer() || view.rounds()[2] == 0);
    let events = view.record(2, primary(1, 100, "c"), now);
    assert!(events.contains(&Event::Conflict(0, 2)), "{events:?}");
    assert_eq!(view.primary(), None);
    view.record(2, gone(), now);
    assert_eq!(view.primary(), Some(0));
}

#[test]
fn a_server_of_another_cluster_serves_nothing() {
    let (mut view, now) = view(2);
    view.record(0, primary(1, 100, "a"), now);
    let mut other = sight(Role::Standby, 9, 100, "x");
    other.system = "8".to_owned();
    assert_eq!(
        view.record(1, Ok(other.clone()), now),
        [Event::Established(1), Event::Foreign(1)]
    );
    assert_eq!(view.record(1, Ok(other), now), []);
    assert_eq!(view.primary(), Some(0));
    assert_eq!(view.standbys(), [] as [usize; 0]);
    assert!(!view.others_answer());
}

#[test]
fn a_cluster_that_answered_first_is_left_when_an_earlier_address_answers() {
    let (mut view, now) = view(2);
    let mut other = sight(Role::Primary, 9, 100, "x");
    other.system = "8".to_owned();
    view.record(1, Ok(other.clone()), now);
    assert_eq!(view.primary(), Some(1));
    let events = view.record(0, primary(1, 100, "a"), now);
    assert!(events.contains(&Event::Demoted(1)), "{events:?}");
    assert_eq!((view.primary(), view.timeline()), (Some(0), 1));
    view.record(1, Ok(other), now);
    assert_eq!((view.primary(), view.timeline()), (Some(0), 1));
}

#[test]
fn lag_limits_reads_and_what_is_not_known_is_not_within_them() {
    let (mut view, start) = view(2);
    let second = Duration::from_secs(1);
    let limit = |bytes, time| Lag { bytes, time };
    for (tick, lsn) in [(0, 1000), (1, 2000), (2, 3000)] {
        view.record(0, primary(1, lsn, "a"), start + second * tick);
    }
    // Bytes 500, and what was written after second 1.
    let now = start + second * 2;
    view.record(1, standby(1, 2500, "b"), now + second);
    let cases = [
        (limit(None, None), true),
        (limit(Some(500), None), true),
        (limit(Some(499), None), false),
        (limit(None, Some(second * 2)), true),
        (limit(None, Some(second)), false),
        (limit(Some(500), Some(second)), false),
    ];
    for (limits, expected) in cases {
        let readable = view.readable(QueryIntent::ReadWithin(limits), Lag::default());
        assert_eq!(!readable.is_empty(), expected, "{limits:?}");
        assert_eq!(view.readable(QueryIntent::Read, limits), readable, "{limits:?}");
    }
    // Without a primary, lag is not known: reads without a limit of their own go on.
    view.record(0, gone(), now);
    let tight = limit(Some(0), None);
    assert_eq!(view.readable(QueryIntent::Read, tight), [1]);
    assert_eq!(
        view.readable(QueryIntent::ReadWithin(Lag::of_bytes(1 << 40)), tight),
        [] as [usize; 0]
    );
}

#[test]
fn a_token_is_read_where_it_was_replayed_on_its_timeline_or_a_later_one() {
    let (mut view, now) = view(3);
    view.record(0, primary(2, 300, "a"), now);
    view.record(1, standby(2, 200, "b"), now);
    // Its log goes further, on a branch that the primary does not have.
    view.record(2, standby(1, 900, "c"), now);
    let readable = |view: &View, token| view.readable(QueryIntent::ReadAfter(token), Lag::default());
    assert_eq!(readable(&view, token(2, 200)), [1]);
    assert_eq!(readable(&view, token(2, 201)), [] as [usize; 0]);
    view.advance(1, Lsn(250));
    assert_eq!(readable(&view, token(2, 250)), [1]);
}

#[test]
fn a_write_is_kept_before_every_switch_since_and_unproven_beyond_one() {
    let (mut view, now) = view(2);
    view.record(0, primary(1, 90, "a"), now);
    view.record(1, standby(1, 100, "b"), now);
    assert_eq!(view.fate(token(1, 500)), Fate::Kept, "the primary goes on from there");
    assert_eq!(view.fate(token(2, 1)), Fate::Ahead);
    view.record(0, gone(), now);
    view.record(1, promoted(2, 130, 120, "b"), now);
    assert_eq!(view.fate(token(1, 120)), Fate::Kept);
    let beyond = Fate::Unproven { switch: Some(Lsn(120)) };
    assert_eq!(view.fate(token(1, 121)), beyond);
    assert_eq!(view.fate(token(2, 900)), Fate::Kept);
    // A restart makes it forget where its recovery ended; what was seen is kept.
    view.record(1, promoted(2, 140, 139, "b again"), now);
    assert_eq!(view.fate(token(1, 121)), beyond);
    // Back to the first: what its timeline had before either switch is kept.
    view.record(0, standby(2, 150, "a again"), now);
    view.record(1, gone(), now);
    view.record(0, promoted(3, 170, 160, "a again"), now);
    assert_eq!(view.fate(token(1, 120)), Fate::Kept);
    assert_eq!(view.fate(token(1, 121)), beyond);
    assert_eq!(view.fate(token(2, 160)), Fate::Kept);
    assert_eq!(view.fate(token(2, 161)), Fate::Unproven { switch: Some(Lsn(160)) });
}

#[test]
fn a_switch_that_was_not_seen_proves_nothing() {
    let (mut view, now) = view(2);
    // It was promoted before anything was asked, or was started anew meanwhile.
    view.record(0, promoted(3, 200, 150, "a"), now);
    view.record(1, standby(3, 100, "b"), now);
    assert_eq!(view.fate(token(2, 1)), Fate::Unproven { switch: None });
    view.record(0, gone(), now);
    view.record(1, promoted(4, 300, 250, "b again"), now);
    assert_eq!(view.fate(token(3, 1)), Fate::Unproven { switch: None });
}

proptest! {
    /// Servers say anything in any order: at most one is the primary; it takes writes, answers, and is on the newest
    /// timeline that was ever shown; and no two events of one probe contradict each other.
    #[test]
    fn the_primary_takes_writes_on_the_newest_timeline(
        probes in prop::collection::vec((0..3_usize, 0..4_u8, 1..4_u32, 0..100_u64), 1..60),
    ) {
        let (mut view, now) = view(3);
        let mut newest = 0;
        let mut last: [Option<Sight>; 3] = [None, None, None];
        for (index, kind, timeline, lsn) in probes {
            let started = format!("server {index}");
            let outcome = match kind {
                0 => gone(),
                1 => primary(timeline, lsn, &started),
                2 => standby(timeline, lsn, &started),
                _ => Ok(sight(Role::ReadOnly, timeline, lsn, &started)),
            };
            last[index] = outcome.clone().ok();
            if let Some(sight) = &last[index] {
                newest = newest.max(sight.timeline);
            }
            let events = view.record(index, outcome, now);
            let writers: Vec<usize> = (0..3)
                .filter(|index| last[*index].as_ref().is_some_and(|sight| {
                    sight.role == Role::Primary && sight.timeline == newest
                }))
                .collect();
            let expected = if let [one] = writers[..] { Some(one) } else { None };
            prop_assert_eq!(view.primary(), expected);
            prop_assert!(!view.is_searching(now) || expected.is_none());
            for event in &events {
                let right = match event {
                    Event::Elected(index) => expected == Some(*index),
                    Event::Demoted(index) => expected != Some(*index),
                    Event::Lost(_) => expected.is_none(),
                    Event::Conflict(..) => writers.len() > 1,
                    Event::Established(_) => true,
                    Event::Foreign(_) => false,
                };
                prop_assert!(right, "{events:?}");
            }
        }
    }
}

#[test]
fn a_standby_that_answers_first_in_a_round_is_judged_when_the_primary_has_answered() {
    let (mut view, start) = view(2);
    let second = Duration::from_secs(1);
    let strict = QueryIntent::ReadWithin(Lag::of_time(second / 10));
    let readable = |view: &View| view.readable(strict, Lag::default());
    // Nothing is written.
    view.record(1, standby(1, 1000, "b"), start);
    view.record(0, primary(1, 1000, "a"), start);
    assert_eq!(readable(&view), [1]);
    view.record(1, standby(1, 1000, "b"), start + second);
    assert_eq!(readable(&view), [1]);
    view.record(0, primary(1, 5000, "a"), start + second);
    assert_eq!(readable(&view), [] as [usize; 0]);
    // What it has replayed since says nothing of what the primary has written since.
    view.advance(1, Lsn(5000));
    assert_eq!(readable(&view), [] as [usize; 0]);
    // The primary answers late: what the standby has since is no proof that it has everything.
    view.record(1, standby(1, 5000, "b"), start + second * 2);
    view.record(1, standby(1, 5000, "b"), start + second * 3);
    assert_eq!(readable(&view), [] as [usize; 0]);
    view.record(0, primary(1, 5000, "a"), start + second * 3);
    assert_eq!(readable(&view), [1]);
}
