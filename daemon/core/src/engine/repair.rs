//! Repair: asking for bundles that a sibling's vector shows and nobody delivers.
//!
//! A device delivers its own source by its lane. What is missing of a third device's source is asked for: from that device first, if it
//! was seen to hold it, then from the others that do, one after the other, with growing pauses. The one that is asked answers from its log with
//! runs that end at signed heads.

use std::collections::{BTreeMap, BTreeSet};

use super::Engine;
use crate::ids::{DeviceId, Millis, Now, Seq, SourceId};
use crate::lane::backed_off;
use crate::parcel::Want;

#[derive(Clone, Debug, Default)]
pub(super) struct Repair {
    asks: BTreeMap<SourceId, Ask>,
}

/// What is missing of one source.
#[derive(Clone, Debug)]
struct Ask {
    /// What was held when it was asked for last.
    held: Seq,
    attempts: u32,
    next_at: Millis,
}

impl Repair {
    pub(super) fn hurry(&mut self, at: Millis) {
        self.asks.values_mut().for_each(|ask| ask.next_at = ask.next_at.min(at));
    }

    pub(super) fn wake_at(&self, now: Millis) -> Option<Millis> {
        self.asks.values().map(|ask| ask.next_at).filter(|at| *at > now).min()
    }
}

impl Engine {
    /// What to ask of whom now; only those who can be sent something now are asked.
    pub(super) fn wants(&mut self, reachable: &BTreeSet<DeviceId>, now: Now) -> BTreeMap<DeviceId, Vec<Want>> {
        let missing = self.missing(now);
        self.repair.asks.retain(|source, _| missing.contains_key(source));
        let mut wants: BTreeMap<DeviceId, Vec<Want>> = BTreeMap::new();
        for (source, missing) in missing {
            let jitter = self.jitter();
            let held = self.vector.seq(source);
            let patience = if missing.by_lane { LANE_PATIENCE } else { FIRST_ASK };
            let first = Ask { held, attempts: 0, next_at: now.mono.plus(patience) };
            let ask = self.repair.asks.entry(source).or_insert(first);
            if held > ask.held {
                *ask = Ask { held, attempts: 0, next_at: now.mono.plus(patience.max(PROGRESS_PAUSE)) };
            }
            if ask.next_at > now.mono {
                continue;
            }
            let turn = usize::try_from(ask.attempts).unwrap_or_default() % missing.holders.len().max(1);
            let Some(holder) = missing.holders.get(turn).copied() else { continue };
            if !reachable.contains(&holder) {
                // Asked when the way is free: what frees it is an input.
                continue;
            }
            ask.next_at = now.mono.plus(backed_off(ASK_AGAIN, ask.attempts, jitter));
            ask.attempts = ask.attempts.saturating_add(1);
            wants.entry(holder).or_default().push(Want { source, after: held, upto: missing.upto, exact: false });
        }
        self.questions(reachable, now, &mut wants);
        wants
    }

    /// Sources of which live siblings hold more than we do.
    fn missing(&self, now: Now) -> BTreeMap<SourceId, Missing> {
        let mut missing: BTreeMap<SourceId, Missing> = BTreeMap::new();
        if self.hydration.is_some() {
            // All of it may come with the snapshot.
            return missing;
        }
        let live = self.siblings.iter().filter(|(id, _)| self.is_live(**id, now));
        let (far, near): (Vec<_>, Vec<_>) = live.partition(|(id, _)| self.is_out_of_reach(**id));
        // Of those who cannot be reached others have told; they are asked last.
        let holders =
            near.into_iter().map(|holder| (holder, true)).chain(far.into_iter().map(|holder| (holder, false)));
        for ((id, sibling), reached) in holders {
            for (source, head) in sibling.receipt.vector.iter() {
                if head.seq <= self.vector.seq(source)
                    || self.refused.contains_key(&source)
                    || source == self.source
                    || self.cut.contains(&source)
                    || self.forks.is_disputed(source)
                {
                    continue;
                }
                let entry = missing.entry(source).or_default();
                entry.upto = entry.upto.max(head.seq);
                if reached && self.owner(source) == Some(*id) {
                    entry.by_lane = true;
                    entry.holders.insert(0, *id);
                } else {
                    entry.holders.push(*id);
                }
            }
        }
        missing
    }

    /// Whose source it is, if we know.
    pub(super) fn owner(&self, source: SourceId) -> Option<DeviceId> {
        let waiting = || self.early.first(source).map(|(device, _)| *device);
        self.sources.get(&source).map(|known| known.device).or_else(waiting)
    }
}

#[derive(Clone, Debug, Default)]
struct Missing {
    upto: Seq,
    /// Whom to ask, the source's own device first.
    holders: Vec<DeviceId>,
    /// Its own device is live and holds it: the lane brings it.
    by_lane: bool,
}

/// How long a lane may take before it is asked: 30 s.
const LANE_PATIENCE: Millis = Millis(30_000);
/// How long to wait before asking for a third device's bundles: 2 s.
const FIRST_ASK: Millis = Millis(2_000);
/// How long after progress the next question comes at the earliest: 5 s.
const PROGRESS_PAUSE: Millis = Millis(5_000);
/// The pause after an unanswered question, doubled each time: 5 s.
const ASK_AGAIN: Millis = Millis(5_000);
