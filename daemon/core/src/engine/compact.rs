//! Compaction: how far every live sibling has receipted each source.
//!
//! A source is compacted up to the least position that its own vector entry and every live sibling's receipt name, and only if all of
//! those receipts are of the chain that lies here: each hash is compared with the log's. A receipt beyond what is held here cannot be
//! compared, so its source waits until that has come. Receipts that are not written down yet count, and are written down in the same
//! transaction: after a crash no sibling seems to lack what went. A receipt that was given under another roster says nothing here:
//! what its device has taken back since, or holds again, is not known. So compaction waits until all have shown the roster that
//! is held here.
//!
//! **What was compacted stands.** A removal takes back what its author had not seen of the removed device, and what that had
//! replaced comes back with it. Of what was compacted nothing can come back. So a watermark is also a promise: a source never ends before it,
//! whatever a removal says that comes later, of a device that was away for long or was put back to an older image. The others
//! are told ([`crate::parcel::Ended`]) and keep it, too.
//!
//! **The clock** has a say in one thing only: who is stale, and so not waited for. When somebody is, and no sibling's letter
//! confirms this device's clock, the stale ones are waited for all the same: a clock that jumped a year ahead would else find everybody stale
//! at once.

use std::collections::BTreeMap;

use super::Engine;
use super::sibling::Sibling;
use crate::ids::{DeviceId, Dot, Hash, Millis, Now, Seq};
use crate::lane::backed_off;
use crate::op::OP_LEVEL;
use crate::step::{CallId, Change, Compaction, Output, Reply};
use crate::vector::{Head, VersionVector};

impl Engine {
    /// Places in the log whose chain hashes decide how far it can be compacted.
    pub fn compaction_places(&self, now: Now) -> Vec<Dot> {
        let waited_for = self.waited_for(now);
        let mut places = Vec::new();
        for (source, own) in self.vector.iter() {
            let said = waited_for.iter().map(|sibling| sibling.receipt.vector.seq(source));
            let mut seqs: Vec<Seq> = said.chain([own.seq]).filter(|seq| *seq <= own.seq && *seq > Seq::ZERO).collect();
            seqs.sort_unstable();
            seqs.dedup();
            places.extend(seqs.into_iter().map(|seq| Dot { source, seq }));
        }
        places
    }

    /// How far the log can be compacted, for the sources in which that is further than it was. `chain` holds the hashes at
    /// [`Self::compaction_places`].
    pub fn compactable(&self, chain: &BTreeMap<Dot, Hash>, now: Now) -> Compaction {
        let waited_for = self.waited_for(now);
        // Of those that have not spoken since the start it is not known.
        let levels = self.siblings.values().map(|sibling| sibling.op_level).filter(|level| *level > 0);
        let op_level = levels.fold(OP_LEVEL, u32::min);
        let elsewhere = waited_for.iter().any(|sibling| sibling.receipt.term != self.term());
        if elsewhere || self.is_spent() || self.is_removed() {
            return Compaction { watermark: VersionVector::default(), op_level };
        }
        let covered = self.vector.iter().filter_map(|(source, own)| {
            let receipts: Vec<Head> = waited_for.iter().map(|sibling| sibling.receipt.vector.head(source)).collect();
            let seq = receipts.iter().map(|receipt| receipt.seq).fold(own.seq, Seq::min);
            if seq <= self.watermark.seq(source) {
                return None;
            }
            let here = |seq| if seq == own.seq { Some(own.hash) } else { chain.get(&Dot { source, seq }).copied() };
            let agreed = receipts.iter().all(|receipt| here(receipt.seq) == Some(receipt.hash));
            Some((source, Head { seq, hash: here(seq).filter(|_| agreed)? }))
        });
        Compaction { watermark: covered.collect(), op_level }
    }

    pub(super) fn compact(&mut self, call: CallId, chain: &BTreeMap<Dot, Hash>, now: Now) {
        let compaction = self.compactable(chain, now);
        if !compaction.watermark.is_empty() {
            self.flush_siblings();
            self.watermark.join(&compaction.watermark);
            self.standing.join(&compaction.watermark);
            self.commit(Change::Compact(compaction.clone()));
        }
        self.outputs.push_back(Output::Reply(call, Reply::Compacted(compaction)));
    }

    /// The siblings without whose receipt nothing goes.
    fn waited_for(&self, now: Now) -> Vec<&Sibling> {
        let trusted = self.is_clock_confirmed(now);
        let members = self.siblings.iter().filter(|(id, _)| self.roster.member(**id).is_some());
        members.filter(|(id, _)| !trusted || self.is_live(**id, now)).map(|(_, sibling)| sibling).collect()
    }

    /// Whether a sibling's letter, counted on from when it came, gives about the time that this device's clock shows.
    fn is_clock_confirmed(&self, now: Now) -> bool {
        self.siblings.values().any(|sibling| {
            let (Some(wall), Some(mono)) = (sibling.heard, sibling.heard_mono) else { return false };
            let passed = now.mono.since(mono);
            let jumped = now.wall.0.abs_diff(wall.plus(passed).0);
            sibling.clock_ahead.unsigned_abs() <= CLOCK_SLACK.0 && jumped <= CLOCK_SLACK.0
        })
    }

    /// Notes whether a sibling lacks something that was compacted here.
    pub(super) fn notice_below(&mut self, id: DeviceId) {
        let watermark = &self.watermark;
        let Some(sibling) = self.siblings.get_mut(&id) else { return };
        if !sibling.receipt.vector.covers_all(watermark) {
            sibling.below.get_or_insert_default();
        } else if sibling.below.is_some_and(|below| !below.asked) {
            sibling.below = None;
        }
    }

    /// The watermark, when it is time to tell a sibling that it lies below it.
    pub(super) fn watermark_for(&mut self, id: DeviceId, now: Now) -> VersionVector {
        if self.siblings.get(&id).and_then(|sibling| sibling.below).is_none_or(|below| below.tell_at > now.mono) {
            return VersionVector::default();
        }
        let jitter = self.jitter();
        let Some(below) = self.siblings.get_mut(&id).and_then(|sibling| sibling.below.as_mut()) else {
            return VersionVector::default();
        };
        below.tell_at = now.mono.plus(backed_off(TELL_AGAIN, below.attempts, jitter));
        below.attempts = below.attempts.saturating_add(1);
        below.asked = false;
        self.watermark.clone()
    }
}

/// By how much two devices' clocks may differ and still confirm each other, the time of a letter under way included: 1 h.
const CLOCK_SLACK: Millis = Millis(3_600_000);
/// The pause after a sibling was told in vain that it lies below the watermark, doubled each time: 30 s.
pub(super) const TELL_AGAIN: Millis = Millis(30_000);
