//! Choices that look random and that a seed repeats.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::scenario::is_thorough;

/// Repeats a run of random choices; printed by every run that makes some.
const SEED: &str = "SIMDB_TEST_SEED";

/// Random choices (splitmix64).
#[derive(Clone, Debug)]
pub struct Chance {
    state: u64,
}

impl Chance {
    /// Begins with a seed.
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// Returns the seed that the environment asks for; otherwise another one each time where scenarios are run in full,
    /// and always the same one where they are not.
    pub fn seed() -> u64 {
        match std::env::var(SEED) {
            Ok(text) => text.parse().unwrap_or_else(|_| panic!("{SEED}={text:?} is no number")),
            Err(_) if is_thorough() => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                now.as_secs() ^ u64::from(now.subsec_nanos())
            }
            Err(_) => 1,
        }
    }

    /// Returns a number below a limit, which is not 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % limit
    }

    /// Returns whether something happens that happens so many times in a hundred.
    pub fn percent(&mut self, times: u64) -> bool {
        self.below(100) < times
    }

    /// Returns one of several.
    pub fn one_of<T: Clone>(&mut self, choices: &[T]) -> T {
        let index = self.below(choices.len() as u64);
        choices[usize::try_from(index).expect("it is less than the length")].clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_its_choices_and_another_one_makes_others() {
        let choices = |seed| {
            let mut chance = Chance::new(seed);
            (0..20).map(|_| chance.below(1000)).collect::<Vec<_>>()
        };
        assert_eq!(choices(1), choices(1));
        assert_ne!(choices(1), choices(2));
        assert!(choices(3).iter().all(|choice| *choice < 1000));
    }
}
