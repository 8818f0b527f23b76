//! The random numbers of one case.
//!
//! Contains [`Random`]: the shared generator, with `usize` bounds. A case depends only on its
//! number and the seed.

use jobstore_trials::random;

pub struct Random(random::Random);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(random::Random(seed))
    }

    /// The random numbers of one case.
    pub fn of_case(seed: u64, case: u64) -> Random {
        let mut random = Random::new(seed ^ case.wrapping_mul(0xd6e8_feb8_6659_fd93));
        // The first numbers of adjacent cases are similar.
        random.0.any();
        random
    }

    /// A number below `end`; 0 if `end` is 0.
    pub fn below(&mut self, end: usize) -> usize {
        self.0.below(end.max(1) as u64) as usize
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        self.0.one_in(n)
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        self.0.pick(from)
    }

    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.0.any() as u8).collect()
    }
}
