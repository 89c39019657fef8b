//! The power of two choices: of two replicas taken by chance, the one with fewer connections in use serves.

/// Returns where in the list the one stands that serves; `None` for an empty list. `chance(n)` is below `n`.
pub(crate) fn choose(in_use: &[usize], mut chance: impl FnMut(usize) -> usize) -> Option<usize> {
    match in_use.len() {
        0 => None,
        1 => Some(0),
        count => {
            let one = chance(count);
            let other = (one + 1 + chance(count - 1)) % count;
            Some(if in_use[other] < in_use[one] { other } else { one })
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn equal_replicas_get_equal_shares() {
        let mut random = fastrand::Rng::with_seed(4711);
        let mut shares = [0_u32; 4];
        for _ in 0..40_000 {
            shares[choose(&[3; 4], |count| random.usize(..count)).unwrap()] += 1;
        }
        assert!(shares.iter().all(|share| (9_500..10_500).contains(share)), "{shares:?}");
    }

    proptest! {
        #[test]
        fn the_busiest_of_several_serves_only_where_all_are_as_busy(
            in_use in prop::collection::vec(0..5_usize, 1..6),
            seed in any::<u64>(),
        ) {
            let mut random = fastrand::Rng::with_seed(seed);
            let chosen = choose(&in_use, |count| random.usize(..count)).unwrap();
            let busier = in_use.iter().filter(|other| **other > in_use[chosen]).count();
            let equal = in_use.iter().filter(|other| **other == in_use[chosen]).count();
            prop_assert!(in_use.len() == 1 || busier > 0 || equal > 1, "{in_use:?} {chosen}");
        }
    }
}
