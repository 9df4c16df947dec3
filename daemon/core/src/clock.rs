//! Hybrid logical clock (Kulkarni et al. 2014): 48 bits of milliseconds and a 16-bit counter in one number.
//!
//! A new stamp is greater than everything seen, whatever the wall clock says, so cause always sorts before effect. The
//! wall clock only pulls the clock forward; it is never trusted to go back. A stamp whose milliseconds reach 2^47
//! (the year 6429) is invalid everywhere: without that bound one broken clock would push every sibling to the end of the range.

use crate::ids::Millis;

/// A hybrid logical time: `milliseconds << 16 | counter`. Orders as a number.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Stamp(pub u64);

impl Stamp {
    /// Wall-clock part.
    pub fn millis(self) -> Millis {
        Millis(self.0 >> 16)
    }

    /// Whether the milliseconds lie below 2^47.
    pub fn is_valid(self) -> bool {
        self.0 < INVALID_FROM
    }
}

/// The device's clock. Its whole state is the greatest stamp seen, which the log remembers.
#[derive(Clone, Copy, Debug, Default)]
pub struct HybridClock {
    latest: Stamp,
}

impl HybridClock {
    /// Continues after `latest`, the greatest stamp in the store.
    pub fn resume(latest: Stamp) -> Self {
        Self { latest }
    }

    /// The greatest stamp seen or given out.
    pub fn latest(&self) -> Stamp {
        self.latest
    }

    /// The next stamp: greater than all before, and not behind the wall clock. A wall clock beyond the valid range is
    /// ignored.
    pub fn tick(&mut self, wall: Millis) -> Stamp {
        let from_wall = wall.0.checked_mul(1 << 16).map(Stamp).filter(|stamp| stamp.is_valid()).unwrap_or_default();
        self.latest = Stamp(self.latest.0 + 1).max(from_wall);
        self.latest
    }

    /// Takes note of a stamp from elsewhere. Invalid ones change nothing.
    pub fn observe(&mut self, stamp: Stamp) {
        if stamp.is_valid() {
            self.latest = self.latest.max(stamp);
        }
    }
}

const INVALID_FROM: u64 = 1 << (47 + 16);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_grow_even_when_the_wall_clock_jumps_back() {
        let mut clock = HybridClock::default();
        let first = clock.tick(Millis(1_000_000));
        let second = clock.tick(Millis(10));
        assert!(second > first);
    }

    #[test]
    fn a_stamp_seen_from_a_sibling_is_exceeded_by_the_next_own_stamp() {
        let mut clock = HybridClock::default();
        let ahead = Stamp(5_000 << 16);
        clock.observe(ahead);
        assert!(clock.tick(Millis(1)) > ahead);
    }

    #[test]
    fn a_stamp_is_not_behind_the_wall_clock_and_the_latest_is_remembered() {
        let mut clock = HybridClock::default();
        let stamp = clock.tick(Millis(1_000_000));
        assert_eq!((stamp, stamp.millis()), (Stamp(1_000_000 << 16), Millis(1_000_000)));
        assert_eq!(clock.latest(), stamp);
        assert_eq!(clock.tick(Millis(1_000_000)), Stamp(stamp.0 + 1));
        assert_eq!(HybridClock::resume(Stamp(7)).latest(), Stamp(7));
    }

    #[test]
    fn a_stamp_beyond_the_valid_range_moves_nothing() {
        let mut clock = HybridClock::default();
        clock.observe(Stamp(1 << 63));
        assert_eq!(clock.latest(), Stamp(0));
        assert!(clock.tick(Millis(u64::MAX)).is_valid());
        assert!(clock.tick(Millis(1 << 47)).is_valid());
    }

    #[test]
    fn the_last_valid_millisecond_is_two_to_the_47_minus_one() {
        assert!(Stamp(((1 << 47) - 1) << 16 | 0xFFFF).is_valid());
        assert!(!Stamp((1 << 47) << 16).is_valid());
    }

    #[test]
    fn stamps_are_valid_below_two_to_the_63() {
        assert!(Stamp((1 << 63) - 1).is_valid() && !Stamp(1 << 63).is_valid());
    }
}
