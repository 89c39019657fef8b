//! Inputs out of a corpus and a seed: the same seed makes the same input.

/// How many bytes an input has at most.
const MAX_SIZE: usize = 16 << 10;

/// Numbers that look random (xorshift).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Starts at a seed.
    pub fn new(seed: u64) -> Self {
        // Zero would stay zero for ever.
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Returns a number below a limit; 0 where that is 0.
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let limit = u64::try_from(limit).unwrap_or(u64::MAX).max(1);
        usize::try_from((self.0 >> 11) % limit).unwrap_or_default()
    }

    fn pick<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        all.get(self.below(all.len()))
    }
}

/// Makes an input: an entry of the corpus, changed in a few places.
pub fn input(corpus: &[Vec<u8>], words: &[String], random: &mut Random) -> Vec<u8> {
    let mut input = random.pick(corpus).cloned().unwrap_or_default();
    for _ in 0..=random.below(6) {
        change(&mut input, corpus, words, random);
    }
    input.truncate(MAX_SIZE);
    input
}

fn change(input: &mut Vec<u8>, corpus: &[Vec<u8>], words: &[String], random: &mut Random) {
    let (start, end) = range(input, random);
    match random.below(7) {
        0 => drop(input.drain(start..end)),
        1 => {
            let copy = input[start..end].to_vec();
            insert(input, end, &copy);
        }
        2 => {
            let word = random.pick(words).cloned().unwrap_or_default();
            insert(input, start, word.as_bytes());
        }
        3 => {
            let word = random.pick(words).cloned().unwrap_or_default();
            input.splice(start..end, word.bytes());
        }
        4 => {
            if let Some(byte) = input.get_mut(start) {
                *byte ^= 1 << random.below(8);
            }
        }
        5 => {
            let other = random.pick(corpus).cloned().unwrap_or_default();
            let (from, to) = range(&other, random);
            insert(input, start, &other[from..to]);
        }
        _ => {
            let word = random.pick(words).cloned().unwrap_or_default();
            let times = 1 + random.below(300);
            insert(input, start, word.repeat(times).as_bytes());
        }
    }
}

fn insert(input: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    input.splice(at..at, bytes.iter().copied());
}

/// Returns a range within an input, short ones more often.
fn range(input: &[u8], random: &mut Random) -> (usize, usize) {
    let start = random.below(input.len() + 1);
    let longest = if random.below(4) == 0 { input.len() } else { 12 };
    let length = random.below(longest + 1);
    (start, (start + length).min(input.len()))
}
