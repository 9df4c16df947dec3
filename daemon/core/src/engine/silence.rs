//! Words to siblings that are silent.
//!
//! Who does not speak may not know us, or may think the same of us; if both wait, nobody begins. So a sibling that is silent gets a *word*: a
//! letter without bundles, with roster and epoch, and the question for a receipt. Every second one is a [knock](super::knock).
//!
//! - *A stale one* gets it at start, then after [`BEACON_FIRST`], then twice as long each time, up to [`BEACON`]: two devices that were both away
//!   for longer than the stale cutoff find each other, and so does one whose clock is years ahead.
//! - *A live one* gets it after [`QUIET_FIRST`] of silence, again after twice as long each time, up to [`QUIET_LONGEST`]. It may have been put back to
//!   before it knew us: then it speaks to those that it knows and hears nobody else, and what it has to be told was receipted long ago. Only news in what
//!   it says makes the pauses begin anew, so that two devices at rest speak a few times on the first day and once a day from then on. One from which
//!   a receipt is awaited is told all that anyway (`dispatch`).

use super::saying::{Cargo, Saying};
use super::telling::Telling;
use super::{Engine, spread};
use crate::ids::{DeviceId, Millis, Now, RelayId};
use crate::parcel::Letter;

/// How long a live sibling has been silent.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Quiet {
    /// When it gets a word, if it does not speak before.
    at: Option<Millis>,
    /// Words since it had news.
    words: u32,
}

impl Quiet {
    /// It spoke, and had `news` or not.
    pub(super) fn heard(&mut self, news: bool, now: Millis, jitter: u64) {
        if news {
            self.words = 0;
        }
        self.wait(now, jitter);
    }

    /// A word did not arrive: it leaves again at `at`.
    pub(super) fn failed(&mut self, at: Millis) {
        self.at = Some(self.at.map_or(at, |due| due.min(at)));
    }

    /// When it gets a word.
    pub(super) fn word_at(&self) -> Option<Millis> {
        self.at
    }

    fn wait(&mut self, now: Millis, jitter: u64) {
        let pause = (QUIET_FIRST.0 << self.words.min(QUIET_DOUBLINGS)).min(QUIET_LONGEST.0);
        self.at = Some(now.plus(Millis(pause / 10 * 8 + pause * 4 / 10 * (jitter % 1024) / 1023)));
    }
}

impl Engine {
    /// A live sibling that has been silent for long gets a word.
    pub(super) fn show_to_quiet(&mut self, to: DeviceId, now: Now) {
        // The same number until the next parcel: enough for a pause, and nobody else's jitter moves.
        let jitter = spread(self.tickets ^ u64::from(to.0[0]));
        let Some(sibling) = self.siblings.get_mut(&to) else { return };
        let Some(at) = sibling.quiet.at else {
            return sibling.quiet.wait(now.mono, jitter);
        };
        if at > now.mono {
            return;
        }
        if sibling.lane.is_waiting_long() {
            return sibling.quiet.wait(now.mono, jitter);
        }
        let Some(relay) = self.free_way(to, now) else { return };
        let Some(quiet) = self.siblings.get_mut(&to).map(|sibling| &mut sibling.quiet) else { return };
        let before = quiet.words;
        quiet.words = quiet.words.saturating_add(1);
        quiet.wait(now.mono, jitter);
        self.send_word(to, relay, before, before > 0, now);
    }

    /// A stale sibling gets a word now and then; when it answers it is live again.
    pub(super) fn show_to_stale(&mut self, to: DeviceId, now: Now) {
        if self.siblings.get(&to).is_none_or(|sibling| sibling.beacon_at > now.mono) {
            return;
        }
        let Some(relay) = self.free_way(to, now) else { return };
        let Some(sibling) = self.siblings.get_mut(&to) else { return };
        let pause = Millis(BEACON_FIRST.0 << sibling.beacons.min(BEACON_DOUBLINGS)).min(BEACON);
        let before = sibling.beacons;
        (sibling.beacon_at, sibling.beacons) = (now.mono.plus(pause), sibling.beacons.saturating_add(1));
        self.send_word(to, relay, before, true, now);
    }

    fn send_word(&mut self, to: DeviceId, relay: RelayId, before: u32, in_vain: bool, now: Now) {
        if before % 2 == 1 && self.knock(to, relay, now) {
            return;
        }
        let unknown = self.siblings.get(&to).is_some_and(|sibling| !sibling.is_told());
        let Telling { records, pieces } = self.tell_roster(to);
        let letter = Letter { receipt_requested: true, records, epochs: self.gifts(to, true), ..self.letter(to, now) };
        let roster_pieces = unknown.then_some(pieces);
        let said = Saying { roster_pieces, in_vain, word: true, ..Saying::default() };
        self.depart(to, relay, letter, Cargo::default(), said, now);
    }
}

/// How long a live sibling is silent before it gets a word: 1 h.
const QUIET_FIRST: Millis = Millis(3_600_000);
/// 2^5 hours are more than a day.
const QUIET_DOUBLINGS: u32 = 5;
/// How often it gets one at the least: once a day. Seven on the first two days, of some 3 KiB each: less than 1 byte a second.
const QUIET_LONGEST: Millis = Millis(24 * 3_600_000);
/// How soon after the first time a stale sibling is shown again that we are here: 1 min, then twice as long each time. After a start
/// with a wrong clock everybody looks stale, and the first word may be lost.
const BEACON_FIRST: Millis = Millis(60_000);
/// 2^11 minutes are more than a day.
const BEACON_DOUBLINGS: u32 = 11;
/// How often it is shown that at the least: once a day.
const BEACON: Millis = Millis(24 * 3_600_000);
