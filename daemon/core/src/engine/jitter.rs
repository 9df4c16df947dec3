//! Numbers for jitter, from the seed of the start.

use super::Engine;

impl Engine {
    /// A number that differs from call to call and start to start, for jitter.
    pub(super) fn jitter(&mut self) -> u64 {
        self.tickets = self.tickets.wrapping_add(1);
        spread(self.tickets)
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): spreads a counter over all numbers; no secret rests on it.
pub(super) fn spread(counter: u64) -> u64 {
    let mut z = counter.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
