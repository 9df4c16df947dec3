//! What the engine knows of one other device.

use std::collections::BTreeMap;

use super::bridge::Bridged;
use super::fork::{Forks, Key};
use super::hearsay::{Passing, Stated};
use super::silence::Quiet;
use super::withheld::Unheard;
use crate::contents::Wanted;
use crate::digest::Sum;
use crate::epoch::Epoch;
use crate::ids::{DeviceId, Hash, Millis, RelayId, Seq, SourceId};
use crate::lane::{Lane, Mailbox, RESEND_MIN, backed_off};
use crate::parcel::{Distant, Receipt};
use crate::roster::Prekey;
use crate::snapshot::Ask;
use crate::step::{Posted, RunRequest, SavedSibling};
use crate::vector::{Head, VersionVector};

/// One other device of the person.
#[derive(Clone, Debug, Default)]
pub(super) struct Sibling {
    pub(super) lane: Lane,
    /// What it holds, as it said last.
    pub(super) receipt: Receipt,
    /// When it spoke last, by our wall clock.
    pub(super) heard: Option<Millis>,
    /// The same by the monotonic clock; not known across a restart.
    pub(super) heard_mono: Option<Millis>,
    /// Its newest prekey, when it announced one after the roster's.
    pub(super) prekey: Option<Prekey>,
    /// The prekey that it showed last, if it announced a newer one before.
    pub(super) shows_older: Option<Prekey>,
    /// How many letters left for it, and how many of them were knocks.
    pub(super) letters: u32,
    pub(super) knocks: u32,
    /// Whether it was not heard since our newest prekey was made in place of ones that may be lost.
    pub(super) is_lost: bool,
    /// The newest slot of our prekeys that it knows, as it said last.
    pub(super) knows_slot: Option<u32>,
    /// Whether there is no prekey to tell it.
    pub(super) prekey_known: bool,
    /// The epoch it showed last.
    pub(super) epoch: Epoch,
    /// The last epoch it showed whose secret we hold.
    pub(super) under: Epoch,
    /// Whether there is no epoch to give it.
    pub(super) epoch_known: bool,
    /// How many letters left for it since it last spoke, after others were not answered.
    pub(super) in_vain: u32,
    /// The relays it says it polls; empty when it did not say.
    pub(super) relays: Vec<RelayId>,
    /// Its state digest with the vector it belongs to.
    pub(super) digest: Option<(Hash, VersionVector)>,
    /// The greatest op kind it understands.
    pub(super) op_level: u32,
    /// The sums of its collections with the vector they belong to.
    pub(super) sums: Option<(Vec<(String, Sum)>, VersionVector)>,
    /// Whether to ask it for them, and when that was done last.
    pub(super) ask_sums: bool,
    asked_sums: Option<Millis>,
    /// Whether it asked for ours.
    pub(super) owes_sums: bool,
    pub(super) clock_ahead: i64,
    /// Whether it holds the same roster records as we do.
    pub(super) roster_known: bool,
    /// When to tell it our roster and epoch (again), and how often that was done in vain.
    pub(super) roster_at: Millis,
    pub(super) roster_attempts: u32,
    /// Which piece of the roster it is told next.
    pub(super) roster_turn: usize,
    /// Whether it ends the same sources as we do, by evidence.
    pub(super) evidence_known: bool,
    /// When to tell it evidence (again), what was told last, and how often all of it was told in vain.
    evidence_at: Millis,
    evidence_told: Option<Key>,
    evidence_rounds: u32,
    /// When it should get a receipt, at the latest.
    pub(super) receipt_due: Option<Millis>,
    /// Whether to ask it for one.
    pub(super) ask_receipt: bool,
    /// Foreign sources it wants from us: what is still to be given.
    pub(super) owed: BTreeMap<SourceId, Owed>,
    /// It is not known to hold bundles of third devices that we hold.
    pub(super) lag: Option<Lag>,
    /// It lacks what was compacted here: when to tell it so (again), and how often that was done in vain.
    pub(super) below: Option<Below>,
    /// The chunk of a snapshot that it asked for.
    pub(super) chunk_asked: Option<Ask>,
    /// The contents that it asked for last.
    pub(super) contents_asked: Vec<Wanted>,
    /// While it is stale: when to show it that we are here.
    pub(super) beacon_at: Millis,
    /// How often that was done since the start.
    pub(super) beacons: u32,
    /// While it is live: for how long it is silent.
    pub(super) quiet: Quiet,
    /// How far others' sources were handed on to it, as it cannot be reached by them.
    pub(super) bridged: Bridged,
    /// Its last receipt in its own words.
    pub(super) stated: Option<Stated>,
    /// Whom it cannot hear, as it said.
    pub(super) distant: Vec<Distant>,
    /// Of whom it should hear from us.
    pub(super) passing: BTreeMap<DeviceId, Passing>,
    /// Letters since it spoke that called for an answer.
    pub(super) calls: u32,
    /// When it was asked for a receipt at the end of a burst, and when to ask it once more.
    burst_asked: Option<Millis>,
    pub(super) ask_at: Option<Millis>,
    /// Bundles of its own that others show and it does not.
    pub(super) unheard: Option<Unheard>,
    unsaved: bool,
}

/// What a receipt came to.
pub(super) struct Taken {
    /// It says something new.
    pub(super) news: bool,
    /// It lacks own bundles, as it did before.
    pub(super) stuck: bool,
    /// How far it has the own source.
    pub(super) own: Head,
}

/// A stretch of a foreign source to give to a sibling.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Owed {
    pub(super) after: Seq,
    pub(super) upto: Seq,
}

/// How long a sibling lags behind, and what was done about it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Lag {
    pub(super) since: Millis,
    pub(super) next_at: Millis,
    pub(super) attempts: u32,
}

/// A sibling that cannot be served by runs.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Below {
    pub(super) tell_at: Millis,
    pub(super) attempts: u32,
    /// It asked for runs from there, whatever it has receipted otherwise.
    pub(super) asked: bool,
}

impl Sibling {
    /// Goes on with what is known of it; `source` is the own one, which reaches to `last`.
    pub(super) fn recall(&mut self, saved: SavedSibling, source: SourceId, last: Seq) {
        let acked = saved.receipt.vector.seq(source).min(last);
        let posted = saved.posted.into_iter().map(|posted| {
            let Mailbox { sent, .. } = posted.mailbox;
            let sent = if posted.source == source { sent.min(last) } else { Seq::ZERO };
            (posted.relay, Mailbox { sent, ..posted.mailbox })
        });
        self.lane = Lane::resume(acked, posted);
        self.receipt = saved.receipt;
        // Of one that never spoke only its prekey may be known.
        self.heard = Some(saved.heard).filter(|heard| *heard > Millis(0));
        (self.prekey, self.knows_slot) = (saved.prekey, saved.knows_slot);
        (self.epoch, self.under) = (saved.epoch, saved.under);
        self.relays = saved.relays;
    }

    /// Takes a receipt. The vector never goes backwards within a generation and a term; a newer one is a fresh start, an older one
    /// an old letter. Says whether it was a fresh start.
    pub(super) fn take_receipt(&mut self, receipt: Receipt) -> bool {
        self.unsaved = true;
        match receipt.age().cmp(&self.receipt.age()) {
            std::cmp::Ordering::Less => false,
            std::cmp::Ordering::Equal => {
                self.receipt.vector.join(&receipt.vector);
                false
            }
            std::cmp::Ordering::Greater => {
                self.receipt = receipt;
                true
            }
        }
    }

    /// Draws the consequences of a receipt for the lane to it; `own` is the own source and its last position.
    pub(super) fn take_word(&mut self, receipt: Receipt, own: (SourceId, Seq), now: Millis, jitter: u64) -> Taken {
        let (own, last) = own;
        let held_before = self.receipt.vector.clone();
        let fresh_start = self.take_receipt(receipt);
        let moved = self.receipt.vector != held_before;
        if moved {
            // Whatever it still lacks is probably on its way.
            self.lag = None;
        }
        let told = self.receipt.vector.head(own);
        let acked = told.seq.min(last);
        let goes_on = if fresh_start && acked < self.lane.acked() {
            self.lane.reset(acked);
            true
        } else {
            self.lane.receipted(acked, now, jitter)
        };
        Taken { news: moved || fresh_start, stuck: !goes_on && acked < last, own: told }
    }

    /// What it holds and wants of cut sources counts up to their ends.
    pub(super) fn recap(&mut self, capped: VersionVector, ends: &BTreeMap<SourceId, Seq>) {
        if capped != self.receipt.vector {
            self.receipt.vector = capped;
            self.unsaved = true;
        }
        self.owed.retain(|source, owed| {
            owed.upto = ends.get(source).map_or(owed.upto, |end| owed.upto.min(*end));
            owed.after < owed.upto
        });
    }

    /// Whether a letter with this receipt was overtaken by one that said more.
    pub(super) fn is_older(&self, receipt: &Receipt) -> bool {
        let known = &self.receipt;
        receipt.age() < known.age()
            || (receipt.age() == known.age()
                && receipt.vector != known.vector
                && known.vector.covers_all(&receipt.vector))
    }

    /// Whether it shows the same roster, and lacks neither epoch nor prekey.
    pub(super) fn is_told(&self) -> bool {
        self.roster_known && self.epoch_known && self.prekey_known
    }

    /// Tells it roster and epoch anew, at once.
    pub(super) fn tell_again(&mut self) {
        (self.roster_at, self.roster_attempts) = (Millis(0), 0);
    }

    /// Its sums are wanted: it is asked, but not again within [`COMPARE_AGAIN`].
    pub(super) fn compare(&mut self, now: Millis) {
        if self.asked_sums.is_none_or(|asked| now.since(asked) >= COMPARE_AGAIN) {
            (self.ask_sums, self.asked_sums) = (true, Some(now));
        }
    }

    /// Whether the parcel with this own run should ask for a receipt, because it may be the last one of many: whoever waits for an import
    /// to be everywhere should not wait for [`RECEIPT_DELAY`](crate::lane::RECEIPT_DELAY) beside. Once in [`BURST_PAUSE`]; the last parcel of all is asked about when
    /// that is over.
    pub(super) fn ends_burst(&mut self, own: Option<&RunRequest>, now: Millis) -> bool {
        if own.is_none_or(|run| run.upto.since(self.lane.acked()) < BURST) {
            return false;
        }
        let next = self.burst_asked.map(|asked| asked.plus(BURST_PAUSE)).filter(|next| *next > now);
        self.ask_at = next;
        if next.is_none() {
            self.burst_asked = Some(now);
        }
        next.is_none()
    }

    /// Asks about the end of a burst when the time has come and it is not receipted yet.
    pub(super) fn ask_about_burst(&mut self, last: Seq, now: Millis) {
        if self.ask_at.take_if(|at| *at <= now).is_some() && self.lane.acked() < last {
            (self.ask_receipt, self.burst_asked) = (true, Some(now));
        }
    }

    /// There is evidence that it was not told.
    pub(super) fn tell_evidence_anew(&mut self) {
        (self.evidence_known, self.evidence_at, self.evidence_rounds) = (false, Millis(0), 0);
    }

    /// The evidence to tell it now.
    pub(super) fn next_evidence(&mut self, forks: &Forks, now: Millis, jitter: u64) -> Option<SourceId> {
        if self.evidence_known || self.evidence_at > now {
            return None;
        }
        let (key, begins_anew) = forks.next_after(self.evidence_told)?;
        if begins_anew {
            self.evidence_rounds = self.evidence_rounds.saturating_add(1);
        }
        let last = forks.next_after(Some(key)).is_some_and(|(_, begins_anew)| begins_anew);
        let pause =
            if last { backed_off(EVIDENCE_AGAIN, self.evidence_rounds.saturating_sub(1), jitter) } else { Millis(0) };
        (self.evidence_told, self.evidence_at) = (Some(key), now.plus(pause));
        Some(key.0)
    }

    /// A parcel did not arrive; what it told is told again.
    pub(super) fn untold(&mut self, now: Millis) {
        self.roster_at = self.roster_at.min(now.plus(RESEND_MIN));
        self.evidence_at = self.evidence_at.min(now.plus(RESEND_MIN));
    }

    pub(super) fn due(&mut self, at: Millis) {
        self.receipt_due = Some(self.receipt_due.map_or(at, |due| due.min(at)));
    }

    pub(super) fn owe(&mut self, source: SourceId, owed: Owed) {
        let entry = self.owed.entry(source).or_insert(owed);
        *entry = Owed { after: entry.after.min(owed.after), upto: entry.upto.max(owed.upto) };
    }

    /// A parcel of so many sealed bytes lies in its mailbox. Saved with whatever is saved next: who forgets it posts more than it must.
    pub(super) fn posted(&mut self, relay: RelayId, bytes: u64, wall: Millis) {
        self.lane.posted_to(relay, bytes, wall);
        self.unsaved = true;
    }

    pub(super) fn take_unsaved(&mut self, device: DeviceId, own: SourceId) -> Option<SavedSibling> {
        if !std::mem::take(&mut self.unsaved) {
            return None;
        }
        Some(self.saved(device, own))
    }

    /// What is kept of it when it is not spoken to.
    pub(super) fn saved(&self, device: DeviceId, source: SourceId) -> SavedSibling {
        let receipt = self.receipt.clone();
        let (heard, prekey) = (self.heard.unwrap_or_default(), self.prekey.clone());
        let (epoch, under, relays) = (self.epoch, self.under, self.relays.clone());
        let posted = self.lane.posted().map(|(relay, mailbox)| Posted { relay, source, mailbox }).collect();
        let knows_slot = self.knows_slot;
        SavedSibling { device, receipt, heard, prekey, knows_slot, epoch, under, relays, posted }
    }

    /// When this sibling wants to be looked at again, apart from its lane.
    pub(super) fn wake_at(&self, now: Millis) -> Option<Millis> {
        let roster = (!self.is_told()).then_some(self.roster_at);
        let evidence = (!self.evidence_known).then_some(self.evidence_at);
        let lag = self.lag.map(|lag| lag.next_at);
        let below = self.below.map(|below| below.tell_at);
        let alarm = self.unheard.as_ref().map(Unheard::alarm_at);
        let word = self.quiet.word_at();
        let hearsay = self.passing.values().map(|passing| passing.at);
        let times = [self.receipt_due, roster, evidence, lag, below, alarm, self.ask_at, word].into_iter().flatten();
        times.chain(hearsay).filter(|at| *at > now).min()
    }
}

/// From how many unreceipted bundles on there is a burst: more than a conversation brings in the time that a receipt takes.
const BURST: u64 = 16;
/// How often a receipt is asked for in a burst: once a second.
const BURST_PAUSE: Millis = Millis(1_000);
/// The pause after all evidence was told in vain, doubled each time: 10 s.
const EVIDENCE_AGAIN: Millis = Millis(10_000);
/// The shortest time between two questions for the sums of a sibling's collections: 2 s.
const COMPARE_AGAIN: Millis = Millis(2_000);

#[cfg(test)]
mod tests;
