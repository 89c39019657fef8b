use Fate::{Failed, Unknown};

use super::*;

fn at(milliseconds: u64) -> Fate {
    Fate::Acknowledged(Duration::from_millis(milliseconds))
}

fn fates(clients: &[(u32, &[Fate])], lasted: u64) -> Fates {
    let clients = clients.iter().map(|(client, fates)| (*client, fates.to_vec()));
    Fates::new(clients.collect(), Duration::from_millis(lasted))
}

fn there(rows: &[(u32, RangeInclusive<u64>)]) -> BTreeMap<u32, Vec<RangeInclusive<u64>>> {
    rows.iter()
        .map(|(client, range)| (*client, vec![range.clone()]))
        .collect()
}

#[test]
fn every_row_has_one_fate() {
    let tally = fates(&[(0, &[at(1), Unknown, at(2)]), (1, &[Failed])], 3).tally();
    assert_eq!(
        (tally.attempts, tally.acknowledged, tally.unknown, tally.failed),
        (4, 2, 1, 1)
    );
}

#[test]
fn only_what_was_acknowledged_can_be_lost() {
    let fates = fates(&[(0, &[at(5), at(1500), Unknown, Failed])], 2000);
    let without_unknown = fates.compare(&there(&[(0, 0..=1)]));
    let with_unknown = fates.compare(&there(&[(0, 0..=2)]));
    for (found, rows) in [(without_unknown, 2), (with_unknown, 3)] {
        assert_eq!(
            found,
            Found {
                rows,
                ..Found::default()
            }
        );
    }
    let lost = fates.compare(&there(&[(0, 0..=0)]));
    let expected = Missing {
        client: 0,
        number: 1,
        acknowledged_at: 1.5,
    };
    assert_eq!(lost.missing, [expected]);
    assert_eq!(fates.compare(&BTreeMap::new()).missing.len(), 2);
}

#[test]
fn rows_that_failed_or_that_nobody_wrote_are_not_expected() {
    let fates = fates(&[(0, &[at(1), Failed])], 2);
    let found = fates.compare(&there(&[(0, 0..=2), (7, 0..=0)]));
    let unexpected: Vec<(u32, u64)> = found
        .unexpected
        .iter()
        .map(|entry| (entry.client, entry.number))
        .collect();
    assert_eq!(unexpected, [(0, 1), (0, 2), (7, 0)]);
    assert!(found.missing.is_empty());
}

#[test]
fn the_longest_gap_is_over_all_clients_and_includes_an_outage_that_did_not_end() {
    let gap = |clients: &[(u32, &[Fate])]| fates(clients, 100).longest_gap().map(|gap| gap.as_millis());
    assert_eq!(gap(&[(0, &[Failed])]), None);
    assert_eq!(gap(&[(0, &[at(10), at(90)]), (1, &[at(40), at(50)])]), Some(40));
    assert_eq!(gap(&[(0, &[at(10), at(20)])]), Some(80));
    // A write that was under way when the clients were told to stop.
    assert_eq!(gap(&[(0, &[at(10), at(20), at(130)])]), Some(110));
}

#[test]
fn a_gap_can_be_asked_for_within_a_stretch_of_time() {
    let fates = fates(&[(0, &[at(0), at(50), at(60), at(90), at(100)])], 100);
    let within = |from, to| {
        let stretch = Duration::from_millis(from)..=Duration::from_millis(to);
        fates.longest_gap_within(stretch).map(|gap| gap.as_millis())
    };
    assert_eq!(within(0, 100), Some(50));
    assert_eq!(within(70, 95), Some(30));
    assert_eq!(within(55, 58), Some(10));
}
