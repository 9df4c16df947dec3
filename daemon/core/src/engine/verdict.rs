//! What is heard of a removed device: removals.
//!
//! Which removals count depends on all of them ([`crate::roster`]). Three devices that remove each other in a circle hold one each, and each
//! takes the one that could tell it of another for removed: if nobody heard them, they would be deaf to each other for good, with three rosters.
//! So of a removed device's records those are taken in that say that somebody was removed, with what lies before them; and a device that was
//! removed goes on telling its roster while that holds more than one removal.
//!
//! **What a removed device can do with that** is little: one removal by each author of each device is heard, the author and the device
//! must be known, and at most [`MOST_BEFORE`] records come with it.

use std::collections::{BTreeMap, BTreeSet};

use super::Engine;
use crate::ids::{DeviceId, Hash, Now};
use crate::roster::{Record, RosterChange, SignedRecord, Verified};

impl Engine {
    /// Takes in what a removed device says of removals.
    pub(super) fn hear_verdicts(&mut self, records: Vec<Verified<SignedRecord>>) {
        let fresh = records.into_iter().filter(|record| !self.roster.contains(record.get().id()));
        let read =
            fresh.filter_map(|record| Some((record.get().id(), Record::decode(&record.get().bytes).ok()?, record)));
        let told: BTreeMap<Hash, (Record, Verified<SignedRecord>)> =
            read.map(|(id, record, signed)| (id, (record, signed))).collect();
        let mut heard = BTreeSet::new();
        let mut pairs = BTreeSet::new();
        for (id, (record, _)) in &told {
            let RosterChange::Remove(removal) = &record.change else { continue };
            let known = |device, key| self.roster.known(device).is_some_and(|known| known.key == key);
            let pair = (record.author, removal.device);
            let fits = known(record.author, record.author_key) && known(removal.device, removal.key);
            if fits && !self.roster.removes(pair.0, pair.1) && pairs.insert(pair) {
                heard.extend(self.with_what_lies_before(*id, &told).into_iter().flatten());
            }
        }
        self.take_records(told.into_iter().filter(|(id, _)| heard.contains(id)).map(|(_, (_, signed))| signed));
    }

    /// The record and what of its past is not held; nothing when that is too much or was not told.
    fn with_what_lies_before(
        &self,
        id: Hash,
        told: &BTreeMap<Hash, (Record, Verified<SignedRecord>)>,
    ) -> Option<BTreeSet<Hash>> {
        let (mut found, mut open) = (BTreeSet::new(), vec![id]);
        while let Some(next) = open.pop() {
            if self.roster.contains(next) || !found.insert(next) {
                continue;
            }
            if found.len() > MOST_BEFORE + 1 {
                return None;
            }
            open.extend(&told.get(&next)?.0.parents);
        }
        Some(found)
    }

    /// This device was removed. If others were too, it tells who may not know all of it.
    pub(super) fn tell_verdicts(&mut self, now: Now) {
        if self.roster.removals() < 2 {
            return;
        }
        let unsure = self.siblings.iter().filter(|(_, sibling)| !sibling.roster_known && sibling.roster_at <= now.mono);
        for id in unsure.map(|(id, _)| *id).collect::<Vec<DeviceId>>() {
            if let Some(relay) = self.free_way(id, now) {
                self.tell_only_roster(id, relay, now);
            }
        }
    }
}

/// Most records that are heard because a removal comes after them.
const MOST_BEFORE: usize = 16;
