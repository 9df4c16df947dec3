//! All chance of a simulated world, out of one seed.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// A stream of decisions; the same seed decides the same.
#[derive(Debug)]
pub struct Dice(StdRng);

impl Dice {
    /// The decisions of `seed`.
    pub fn new(seed: u64) -> Self {
        Self(StdRng::seed_from_u64(seed))
    }

    /// True in `percent` of 100 cases.
    pub fn chance(&mut self, percent: u32) -> bool {
        self.0.random_range(0..100) < percent
    }

    /// True in `cases` of 1,000 cases.
    pub fn rarely(&mut self, cases: u32) -> bool {
        self.0.random_range(0..1_000) < cases
    }

    /// A number from 0, less than `bound`; 0 when `bound` is.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0.random_range(0..bound.max(1))
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        self.0.random_range(low..=high.max(low))
    }

    /// One of `items`; nothing when there are none.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        let index = usize::try_from(self.below(u64::try_from(items.len()).unwrap_or(0))).unwrap_or(0);
        items.get(index)
    }

    /// 16 bytes that look random.
    pub fn id(&mut self) -> [u8; 16] {
        self.0.random()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_decides_one_way() {
        let of = |seed| {
            let mut dice = Dice::new(seed);
            (0..20).map(|_| dice.below(1_000)).collect::<Vec<_>>()
        };
        assert_eq!(of(7), of(7));
        assert_ne!(of(7), of(8));
    }
}
