//! Pseudorandom numbers.
//!
//! Contains [`Random`]. The same seed yields the same numbers everywhere.

/// Pseudorandom numbers, determined by the seed.
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    /// Returns a generator for this seed. Its numbers do not overlap with those of another seed.
    ///
    /// A seed must not be used as the state directly: if two states differ by a multiple of
    /// splitmix64's increment, they yield the same numbers, shifted.
    #[must_use]
    pub fn from_seed(seed: u64) -> Random {
        Random(Random(seed).any())
    }

    /// Any number.
    pub fn any(&mut self) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.any() % end
    }

    /// Returns `true` once in `times` calls on average.
    pub fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// Returns one of the elements. `None` if there are none.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        match from.len() as u64 {
            0 => None,
            len => from.get(self.below(len) as usize),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn seeds_share_no_numbers() {
        let mut all = BTreeSet::new();
        for seed in 0..200 {
            let mut random = Random::from_seed(seed);
            assert!((0..500).all(|_| all.insert(random.any())), "seed {seed}");
        }
    }
}
