use std::cmp::Ordering;

use proptest::prelude::*;

use super::*;

fn position(text: &str) -> GtidPosition {
    text.parse().unwrap()
}

fn state(text: &str) -> GtidState {
    text.parse().unwrap()
}

#[test]
fn transactions_read_back_as_mariadb_prints_them() {
    for text in ["0-1-0", "0-1001-7", "4294967295-4294967295-18446744073709551615"] {
        assert_eq!(text.parse::<Gtid>().unwrap().to_string(), text);
    }
    for bad in [
        "",
        "0",
        "0-1",
        "0-1-",
        "-0-1-2",
        "0-1-2-3",
        "0-+1-2",
        "0-1-2 ",
        "4294967296-1-1",
        "0-1-18446744073709551616",
        "0-1-x",
    ] {
        assert!(bad.parse::<Gtid>().is_err(), "{bad}");
    }
}

#[test]
fn a_position_holds_one_transaction_a_domain() {
    assert_eq!(position("1-2-3,0-1-7").to_string(), "0-1-7,1-2-3");
    assert_eq!(position("0-1-7,\n1-2-3").to_string(), "0-1-7,1-2-3");
    assert!(position("").is_empty() && position(" \n").is_empty());
    assert!("0-1-7,0-2-8".parse::<GtidPosition>().is_err());
    assert!("0-1-7,".parse::<GtidPosition>().is_err());
}

#[test]
fn positions_are_ordered_by_domain() {
    let order = |one: &str, other: &str| position(one).partial_cmp(&position(other));
    assert_eq!(order("0-1-7", "0-1-7"), Some(Ordering::Equal));
    assert_eq!(order("", ""), Some(Ordering::Equal));
    assert_eq!(order("", "0-1-1"), Some(Ordering::Less));
    assert_eq!(order("0-1-8", "0-2-7"), Some(Ordering::Greater));
    assert_eq!(order("0-1-7,1-2-3", "0-1-7"), Some(Ordering::Greater));
    assert_eq!(order("0-1-7,1-2-3", "0-1-8,1-2-3"), Some(Ordering::Less));
    assert_eq!(order("0-1-7,1-2-4", "0-1-8,1-2-3"), None, "each is ahead in a domain");
    assert_eq!(order("0-1-7", "1-2-3"), None);
    assert_eq!(order("0-1-7", "0-2-7"), None, "two servers wrote the same number");
}

#[test]
fn transactions_between_two_positions_are_counted_over_all_domains() {
    let ahead = |one: &str, other: &str| position(one).ahead_of(&position(other));
    assert_eq!(ahead("0-1-7", "0-2-4"), Some(3));
    assert_eq!(ahead("0-1-7,1-2-3", "0-1-7"), Some(3));
    assert_eq!(ahead("0-1-7", "0-1-9"), Some(0));
    assert_eq!(ahead("0-1-7", "0-2-7"), None);
}

#[test]
fn a_log_contains_what_each_writer_wrote_up_to_its_last_transaction() {
    let log = state("0-1-7,0-2-9,1-3-2");
    assert_eq!(log.lacks(&state("0-1-7,0-2-8")), []);
    assert_eq!(log.lacks(&state("")), []);
    let errant: Vec<String> = log
        .lacks(&state("0-1-8,0-2-9,1-1-1"))
        .iter()
        .map(Gtid::to_string)
        .collect();
    assert_eq!(errant, ["0-1-8", "1-1-1"]);
    assert!("0-1-7,0-1-8".parse::<GtidState>().is_err());
}

fn gtid() -> impl Strategy<Value = Gtid> {
    // Few domains, servers and numbers, so that positions meet.
    (0..3_u32, 1..4_u32, 0..6_u64).prop_map(|(domain, server, sequence)| Gtid {
        domain,
        server,
        sequence,
    })
}

fn any_position() -> impl Strategy<Value = GtidPosition> {
    prop::collection::vec(gtid(), 0..4)
        .prop_map(|all| GtidPosition(all.into_iter().map(|gtid| (gtid.domain, gtid)).collect()))
}

fn any_state() -> impl Strategy<Value = GtidState> {
    let entry = |gtid: Gtid| ((gtid.domain, gtid.server), gtid.sequence);
    prop::collection::vec(gtid(), 0..6).prop_map(move |all| GtidState(all.into_iter().map(entry).collect()))
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(position in any_position(), state in any_state()) {
        prop_assert_eq!(position.to_string().parse::<GtidPosition>().unwrap(), position);
        prop_assert_eq!(state.to_string().parse::<GtidState>().unwrap(), state);
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "[-0-9, x]{0,40}") {
        let _ = text.parse::<GtidPosition>();
        let _ = text.parse::<GtidState>();
    }

    #[test]
    fn the_order_is_the_same_from_both_sides(one in any_position(), other in any_position()) {
        let reverse = other.partial_cmp(&one).map(Ordering::reverse);
        prop_assert_eq!(one.partial_cmp(&other), reverse);
        prop_assert_eq!(one.partial_cmp(&other) == Some(Ordering::Equal), one == other);
    }

    #[test]
    fn what_is_ahead_is_ahead_by_something(one in any_position(), other in any_position()) {
        if one.partial_cmp(&other) == Some(Ordering::Less) {
            prop_assert_eq!(one.ahead_of(&other), Some(0));
        }
    }

    #[test]
    fn a_log_lacks_nothing_of_its_own_and_containment_carries_over(a in any_state(), b in any_state(), c in any_state()) {
        prop_assert!(a.lacks(&a).is_empty());
        if a.lacks(&b).is_empty() && b.lacks(&c).is_empty() {
            prop_assert!(a.lacks(&c).is_empty());
        }
    }
}
