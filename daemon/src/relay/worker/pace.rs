//! When a worker looks at its relay by itself. Pure: the caller brings the time and the entropy.
//!
//! ```text
//! pushes:         a look a minute, since a push may be lost
//! does not push:  5 s after news, twice as long after each look in vain, up to what the relay calls idle
//! out of reach:   2 s, 4 s, 8 s … 1 min, or as long as the relay asked for
//! resting:        not at all: it refused us, or is not what its URL promises; a person must act
//! not live:       not at all: on passes only
//! ```
//! Each wait ± 20 %, so that devices that were cut off together do not come back together.

use std::time::Duration;

use tokio::time::Instant;

use crate::relay::{Capabilities, Fault, Push, backoff};

/// The pace of looks at one relay.
#[derive(Debug)]
pub(super) struct Pace {
    pushes: bool,
    /// The shortest and the longest wait between looks at a relay that works.
    span: (Duration, Duration),
    live: bool,
    resting: bool,
    failures: u32,
    wait: Duration,
    next: Instant,
}

impl Pace {
    /// Begins with a look at once.
    pub(super) fn new(capabilities: &Capabilities, live: bool, now: Instant) -> Self {
        let pushes = !matches!(capabilities.push, Push::None);
        let idle = if pushes { capabilities.poll.idle.max(PUSHED) } else { capabilities.poll.idle };
        let busy = if pushes { idle } else { BUSY.max(capabilities.poll.floor).min(idle) };
        Self { pushes, span: (busy, idle), live, resting: false, failures: 0, wait: busy, next: now }
    }

    /// Whether to listen to the relay's hints.
    pub(super) fn listens(&self) -> bool {
        self.live && !self.resting && self.pushes
    }

    /// When to look next.
    pub(super) fn next(&self) -> Option<Instant> {
        (self.live && !self.resting).then_some(self.next)
    }

    /// Whether a person must act.
    pub(super) fn rests(&self) -> bool {
        self.resting
    }

    /// Becomes live, or ceases to be. Whoever becomes live looks at once.
    pub(super) fn set_live(&mut self, live: bool, now: Instant) {
        if live && !self.live {
            (self.wait, self.next) = (self.span.0, now);
        }
        self.live = live;
    }

    /// The relay answered; with news or not.
    pub(super) fn looked(&mut self, news: bool, now: Instant, entropy: u64) {
        (self.failures, self.resting) = (0, false);
        let (busy, idle) = self.span;
        self.wait = if news { busy } else { self.wait.saturating_mul(2).clamp(busy, idle) };
        self.next = now + backoff::jittered(self.wait, entropy);
    }

    /// It did not work. `asked`: how long the relay asked us to wait.
    pub(super) fn failed(&mut self, fault: Fault, asked: Option<Duration>, now: Instant, entropy: u64) {
        self.resting = fault.needs_a_person();
        let wait = backoff::delay(self.failures, entropy).min(LONGEST_OUTAGE);
        self.failures = self.failures.saturating_add(1);
        self.wait = self.span.0;
        self.next = now + wait.max(asked.unwrap_or_default());
    }
}

/// The wait after news: 5 s.
const BUSY: Duration = Duration::from_secs(5);
/// How often a relay that pushes is looked at all the same: once a minute.
const PUSHED: Duration = Duration::from_secs(60);
/// The longest wait while a relay is out of reach: 1 min.
const LONGEST_OUTAGE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::memory::MemoryStorage;
    use crate::relay::{Poll, Relay};

    /// The middle of the jitter.
    const MIDDLE: u64 = 200;

    fn capabilities(push: Push) -> Capabilities {
        let poll = Poll { floor: Duration::from_secs(1), idle: Duration::from_secs(120), nano_usd: 0 };
        Capabilities { push, poll, ..MemoryStorage::new(1).relay().capabilities().clone() }
    }

    fn wait(pace: &Pace, now: Instant) -> Option<u64> {
        pace.next().map(|next| (next - now).as_secs())
    }

    #[test]
    fn a_relay_without_push_is_looked_at_less_and_less_until_there_is_news() {
        let now = Instant::now();
        let mut pace = Pace::new(&capabilities(Push::None), true, now);
        assert_eq!((wait(&pace, now), pace.listens()), (Some(0), false));
        let mut waits = Vec::new();
        for news in [true, false, false, false, false, false, false, true] {
            pace.looked(news, now, MIDDLE);
            waits.push(wait(&pace, now).unwrap());
        }
        assert_eq!(waits, [5, 10, 20, 40, 80, 120, 120, 5]);
    }

    #[test]
    fn a_relay_that_pushes_is_listened_to_and_seldom_looked_at() {
        let now = Instant::now();
        let mut pace = Pace::new(&capabilities(Push::Hint), true, now);
        assert!(pace.listens());
        for news in [true, false] {
            pace.looked(news, now, MIDDLE);
            assert_eq!(wait(&pace, now), Some(120));
        }
    }

    #[test]
    fn an_outage_is_waited_out_up_to_a_minute_and_as_long_as_the_relay_asks() {
        let now = Instant::now();
        let mut pace = Pace::new(&capabilities(Push::Hint), true, now);
        let mut waits = Vec::new();
        for _ in 0..7 {
            pace.failed(Fault::Away, None, now, MIDDLE);
            waits.push(wait(&pace, now).unwrap());
        }
        assert_eq!(waits, [2, 4, 8, 16, 32, 60, 60]);
        pace.failed(Fault::Away, Some(Duration::from_secs(300)), now, MIDDLE);
        assert_eq!(wait(&pace, now), Some(300));
        pace.looked(false, now, MIDDLE);
        pace.failed(Fault::Away, None, now, MIDDLE);
        assert_eq!(wait(&pace, now), Some(2), "each outage begins anew");
    }

    #[test]
    fn a_relay_that_refuses_rests_until_somebody_looks() {
        let now = Instant::now();
        for fault in [Fault::Denied, Fault::Config] {
            let mut pace = Pace::new(&capabilities(Push::Hint), true, now);
            pace.failed(fault, None, now, MIDDLE);
            assert_eq!((pace.next(), pace.listens(), pace.rests()), (None, false, true));
            pace.looked(false, now, MIDDLE);
            assert!(pace.next().is_some() && pace.listens() && !pace.rests());
        }
    }

    #[test]
    fn a_worker_that_is_not_live_neither_listens_nor_looks() {
        let now = Instant::now();
        let mut pace = Pace::new(&capabilities(Push::Hint), false, now);
        pace.looked(true, now, MIDDLE);
        pace.failed(Fault::Away, None, now, MIDDLE);
        assert_eq!((pace.next(), pace.listens()), (None, false));
        pace.set_live(true, now);
        assert_eq!((wait(&pace, now), pace.listens()), (Some(0), true));
        pace.looked(false, now, MIDDLE);
        pace.set_live(true, now);
        assert_eq!(wait(&pace, now), Some(120), "it was live before");
        pace.set_live(false, now);
        assert_eq!(pace.next(), None);
    }
}
