//! Capped, jittered exponential backoff. Pure: the caller brings the attempt and the entropy, so every wait replays.
//!
//! ```text
//! attempt   0    1    2    3   …   10       11 and later
//! wait      2 s  4 s  8 s  16 s    2048 s   3600 s         each ± 20 %
//! ```
//! The jitter keeps the devices of one person, cut off together, from coming back together.

use std::time::Duration;

/// The wait after the first failure.
pub const FIRST: Duration = Duration::from_secs(2);

/// The longest wait, before jitter: 1 h.
pub const LONGEST: Duration = Duration::from_secs(60 * 60);

/// Jitter in thousandths of the wait, to either side: ± 20 %.
const JITTER_PER_MILLE: u64 = 200;

/// How long to wait after failure number `attempt` (0 is the first). `entropy` is any uniform random number.
pub fn delay(attempt: u32, entropy: u64) -> Duration {
    let doubled = FIRST.saturating_mul(1_u32.checked_shl(attempt).unwrap_or(u32::MAX));
    jittered(doubled.min(LONGEST), entropy)
}

/// `span` ± 20 %, evenly. For every timer that several devices might otherwise run in step.
pub fn jittered(span: Duration, entropy: u64) -> Duration {
    let per_mille = 1000 - JITTER_PER_MILLE + entropy % (2 * JITTER_PER_MILLE + 1);
    let micros = u128::from(per_mille) * span.as_micros() / 1000;
    Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Entropy that falls on the middle, the low and the high edge of the jitter.
    const MIDDLE: u64 = JITTER_PER_MILLE;
    const LOW: u64 = 0;
    const HIGH: u64 = 2 * JITTER_PER_MILLE;

    #[test]
    fn waits_double_from_two_seconds_to_one_hour_and_stay_there() {
        let waits: Vec<u64> = (0..14).map(|attempt| delay(attempt, MIDDLE).as_secs()).collect();
        assert_eq!(waits, [2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 3600, 3600, 3600]);
        for attempt in [31, 32, 33, u32::MAX] {
            assert_eq!(delay(attempt, MIDDLE), LONGEST, "attempt {attempt}");
        }
    }

    #[test]
    fn jitter_reaches_twenty_percent_to_both_sides_and_no_further() {
        assert_eq!(delay(0, LOW), Duration::from_millis(1600));
        assert_eq!(delay(0, HIGH), Duration::from_millis(2400));
        for entropy in (0..10_000).chain([u64::MAX]) {
            let wait = delay(40, entropy);
            assert!(wait >= LONGEST * 8 / 10 && wait <= LONGEST * 12 / 10, "{wait:?}");
        }
    }

    #[test]
    fn an_endless_span_does_not_overflow() {
        assert_eq!(jittered(Duration::MAX, HIGH), Duration::from_micros(u64::MAX));
        assert_eq!(jittered(Duration::ZERO, HIGH), Duration::ZERO);
    }
}
