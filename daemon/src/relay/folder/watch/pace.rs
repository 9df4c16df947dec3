//! When to poll next. Pure: the caller brings the time and the entropy.

use std::time::Duration;

use tokio::time::Instant;

use crate::relay::backoff;

/// Time between polls right after news, where notifications are not to be trusted.
pub(super) const BUSY: Duration = Duration::from_millis(250);

/// Time between polls when nothing happens.
pub(super) const IDLE: Duration = Duration::from_secs(5);

/// Time between looks at the folder where notifications are to be trusted.
const TRUSTED: Duration = Duration::from_secs(60);

/// The pace of polls. Notifications never put a poll off: where they tell of local mail only, a busy local writer would
/// hide the others for as long as it writes.
pub(super) struct Pace {
    trusted: bool,
    interval: Duration,
    /// The moment of the next poll.
    pub(super) next: Instant,
}

impl Pace {
    pub(super) fn new(trusted: bool, now: Instant, entropy: u64) -> Self {
        let interval = if trusted { TRUSTED } else { BUSY };
        Self { trusted, interval, next: now + backoff::jittered(interval, entropy) }
    }

    /// After a notification.
    pub(super) fn news(&mut self, now: Instant, entropy: u64) {
        if !self.trusted {
            self.interval = BUSY;
            self.next = self.next.min(now + backoff::jittered(BUSY, entropy));
        }
    }

    /// After a poll.
    pub(super) fn polled(&mut self, news: bool, now: Instant, entropy: u64) {
        if !self.trusted {
            self.interval = if news { BUSY } else { self.interval.saturating_mul(2).min(IDLE) };
        }
        self.next = now + backoff::jittered(self.interval, entropy);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polls_slow_down_to_five_seconds_and_news_bring_them_back() {
        let now = Instant::now();
        // On the middle of the jitter.
        let entropy = 200;
        let mut pace = Pace::new(false, now, entropy);
        let mut waits = Vec::new();
        for _ in 0..7 {
            waits.push((pace.next - now).as_millis());
            pace.polled(false, now, entropy);
        }
        assert_eq!(waits, [250, 500, 1000, 2000, 4000, 5000, 5000]);
        pace.news(now, entropy);
        assert_eq!(pace.next, now + BUSY);
        pace.news(now + BUSY, entropy);
        assert_eq!(pace.next, now + BUSY, "news never put a poll off");
        pace.polled(true, now, entropy);
        assert_eq!(pace.next, now + BUSY);
        let mut pace = Pace::new(true, now, entropy);
        pace.news(now, entropy);
        pace.polled(true, now, entropy);
        assert_eq!(pace.next, now + TRUSTED);
    }
}
