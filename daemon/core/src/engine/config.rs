//! What a device may tune, and which spans must fit together.

use crate::ids::Millis;

/// What a device may tune.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// A sibling not heard from for so long is stale: it is not waited for.
    pub stale_after: Millis,
    /// Mail lies on a relay at most for so long.
    pub retention: Millis,
    /// What clocks may disagree about, and how long a letter may lie with its sender before it is put.
    pub slack: Millis,
    /// How long a prekey is announced before the next one is made.
    pub rekey_after: Millis,
    /// Where jitter comes from; any number, different on each start.
    pub seed: u64,
    /// What fresh sources are named by: random bytes, drawn on each start and never used by another device or copy.
    pub entropy: [u8; 16],
}

impl Default for Config {
    fn default() -> Self {
        Self {
            stale_after: Millis(90 * DAY),
            retention: Millis(30 * DAY),
            slack: Millis(DAY),
            rekey_after: Millis(7 * DAY),
            seed: 0,
            entropy: [0; 16],
        }
    }
}

/// Spans that do not fit together.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(&'static str);

impl Config {
    /// Whether the spans fit together, where relays keep mail for `kept` at the most.
    ///
    /// # Errors
    /// Which rule they break.
    pub fn check(&self, kept: Millis) -> Result<(), ConfigError> {
        if self.retention < kept {
            return Err(ConfigError("relays keep mail for longer than seeds and epochs are kept for it"));
        }
        if self.stale_after < self.retention.plus(self.slack) {
            return Err(ConfigError("a device may be counted as gone while mail for it still lies on relays"));
        }
        if self.rekey_after == Millis(0) {
            return Err(ConfigError("a prekey must be used for some time"));
        }
        Ok(())
    }
}

const DAY: u64 = 24 * 3_600_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_may_be_counted_as_gone_as_soon_as_mail_for_it_is() {
        let config = Config::default();
        let least = Config { stale_after: config.retention.plus(config.slack), ..config };
        assert_eq!(least.check(config.retention), Ok(()));
        assert!(Config { stale_after: Millis(least.stale_after.0 - 1), ..config }.check(config.retention).is_err());
    }

    #[test]
    fn by_default_a_device_is_stale_after_90_days_and_mail_lies_for_30() {
        let config = Config::default();
        assert_eq!((config.stale_after, config.retention), (Millis(7_776_000_000), Millis(2_592_000_000)));
    }
}
