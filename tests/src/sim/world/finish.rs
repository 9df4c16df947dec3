//! The end: everything heals, and the world must come to rest with all devices equal.

use std::collections::{BTreeMap, BTreeSet};

use kinfolk_core::ids::{DeviceId, Dot, Millis};
use kinfolk_core::roster::{Roster, Verified};
use kinfolk_core::vector::VersionVector;

use super::storm::STORM;
use super::{Event, World};
use crate::sim::broken::{Broken, Held};
use crate::sim::device::Device;
use crate::sim::people;

impl World {
    pub(super) fn finish(&mut self) -> Held {
        self.post.hostile = false;
        for relay in 0..self.post.relays.len() {
            self.queue_at(Millis(0), Event::Back(relay));
        }
        self.settle_ways();
        let before = self.tally.envelopes;
        let healed = self.now;
        while !self.is_converged() {
            let waited = self.now.since(healed);
            Broken::unless(waited < PATIENCE, "healed devices become equal", || self.differences())?;
            let until = self.now.plus(LOOK);
            while self.step(until)? {}
        }
        self.say(|| format!("converged {} s after the storm", self.now.since(healed).0 / 1000));
        self.check_end()?;

        let until = self.now.plus(REST);
        while self.step(until)? {}
        let some = u64::try_from(self.devices.len()).unwrap_or_default();
        let sent = self.tally.envelopes - before;
        let most = ENVELOPES_PER_PAIR * some * some + ENVELOPES_PER_BUNDLE * some * self.tally.accepted;
        Broken::unless(sent <= most, "there are no storms of envelopes", || format!("{sent} of at most {most}"))?;

        let (rested, until) = (self.tally.envelopes, self.now.plus(REST));
        while self.step(until)? {}
        let sent = self.tally.envelopes - rested;
        // A device that is lost is still written to, by all others, ever less often; one that was removed writes on.
        let lost = u64::try_from(self.devices.len() - self.living().len()).unwrap_or_default();
        let out_of_reach = self.apart(&self.living());
        let most = (lost * some + out_of_reach) * ENVELOPES_TO_A_LOST_DEVICE + some * some * WORDS_AT_REST;
        Broken::unless(sent <= most, "who has nothing to say is silent", || format!("{sent} of at most {most}"))?;
        self.check_end()?;
        self.show_all()?;
        self.check_end()?;
        // Nothing was written since the world was found equal: once is enough for what takes long.
        self.devices.iter().try_for_each(|device| device.disk.verify())
    }

    fn is_converged(&self) -> bool {
        let living = self.living();
        // Nobody hears what those have confirmed.
        let anybody_lost = self.devices.iter().any(|device| device.lost);
        let Some(first) = living.first().and_then(|index| self.devices.get(*index)) else { return true };
        let roster = |device: &Device| device.engine.as_ref().map(|engine| engine.roster().hash());
        self.joining.is_none()
            && self.epochs_settled(&living)
            && living.iter().filter_map(|index| self.devices.get(*index)).all(|device| {
                let synced = || {
                    let engine = device.engine.as_ref();
                    engine.is_some_and(|engine| anybody_lost || engine.status(device.at(self.now)).synced)
                };
                device.inbox.is_empty() && device.held == first.held && roster(device) == roster(first) && synced()
            })
    }

    /// The devices that must become equal: neither lost nor removed, by all records there are.
    pub(super) fn living(&self) -> Vec<usize> {
        let roster = self.all_records();
        let stays = |device: &&Device| !device.lost && roster.member(people::device_id(device.index)).is_some();
        self.devices.iter().filter(stays).map(|device| device.index).collect()
    }

    /// The roster that all records make. What a lost device alone knew nobody hears of.
    pub(super) fn all_records(&self) -> Roster {
        let mut roster = Roster::new(people::genesis().id());
        let left = self.devices.iter().filter(|device| !device.lost);
        let records = left.flat_map(|device| device.disk.model().records());
        roster.extend(records.cloned().map(Verified::vouch));
        roster
    }

    /// What must hold at the end.
    fn check_end(&mut self) -> Held {
        let living = self.living();
        self.check_epochs(&living)?;
        let writers: BTreeMap<_, _> = self.devices.iter().flat_map(|device| device.disk.model().writers()).collect();
        let stays: BTreeSet<DeviceId> = living.iter().map(|index| people::device_id(*index)).collect();
        let mut known = VersionVector::default();
        living.iter().filter_map(|index| self.devices.get(*index)).for_each(|device| known.join(&device.ever));
        let Some(first) = living.first().and_then(|index| self.devices.get_mut(*index)) else { return Ok(()) };
        let (shown, digest) = (first.disk.shown().outline(), first.disk.digest());
        let roster = first.engine.as_ref().map(|engine| engine.roster().hash());
        (self.tally.conflicts, self.tally.differing) = (shown.conflicts, shown.differing);
        let mut compared = 0;
        let holds = |dot: Dot| {
            living.iter().filter_map(|index| self.devices.get(*index)).any(|d| d.disk.model().bundle(dot).is_some())
        };
        let out_of_reach = self.accepted.iter().any(|dot| !holds(*dot));
        for index in living {
            let Some(device) = self.devices.get_mut(index) else { continue };
            Broken::unless(device.disk.digest() == digest, "all devices are equal", || format!("device {index}"))?;
            let same = device.disk.shown().outline() == shown;
            Broken::unless(same, "all devices show the same", || format!("device {index}"))?;
            let theirs = device.engine.as_ref().map(|engine| engine.roster().hash());
            Broken::unless(theirs == roster, "all devices have one roster", || format!("device {index}"))?;
            // What needs something that is gone with a disk, or that only removed devices hold, waits for good.
            let waiting = if !self.gone && !out_of_reach { device.disk.restore()?.early.len() } else { 0 };
            Broken::unless(waiting == 0, "nothing waits at the end", || format!("device {index}: {waiting}"))?;
            let held = device.disk.model().vector();
            // Of a removed device what the removing one held is kept, unless that one is gone too.
            let roster = device.disk.model().roster();
            let alone = roster.removed().count() == 1 && !self.gone;
            let counts = |dot: &Dot| {
                let Some(writer) = writers.get(&dot.source) else { return true };
                // A lost device told it to none but one that was removed.
                if !stays.contains(writer) && !known.covers(*dot) {
                    return false;
                }
                let removed = roster.removal(*writer);
                // Nobody has heard of a device that was added by a removed one.
                roster.member(*writer).is_some() || removed.is_some_and(|it| alone && dot.seq <= it.end(dot.source))
            };
            let gone: Vec<&Dot> = self.accepted.iter().filter(|dot| counts(dot) && !held.covers(**dot)).collect();
            Broken::unless(gone.is_empty(), "nothing accepted is lost", || format!("device {index}: {gone:?}"))?;
            compared += device.disk.compared;
        }
        self.tally.compared = compared;
        Ok(())
    }

    fn differences(&self) -> String {
        let living = self.living();
        let told = living.iter().filter_map(|index| self.devices.get(*index)).map(|device| {
            let status = device.engine.as_ref().map(|engine| engine.status(device.at(self.now)));
            let synced = status.as_ref().map(|status| (status.synced, status.pending_up, status.pending_down));
            let held: Vec<u64> = device.held.iter().map(|(_, head)| head.seq.0).collect();
            format!("\n  device {} holds {held:?}, synced {synced:?}", device.index)
        });
        format!("{} s after the storm:{}", self.now.since(STORM).0 / 1000, told.collect::<String>())
    }
}

/// How long healed devices may take: 6 h. Their longest pauses are an hour.
const PATIENCE: Millis = Millis(6 * 3_600_000);
/// How often to look: 5 s.
const LOOK: Millis = Millis(5_000);
/// How long the world is watched at rest, twice: 3 h.
const REST: Millis = Millis(3 * 3_600_000);
/// After the storm: greetings, receipts, questions and answers between each two devices. With the next it is about twice what
/// the busiest of 1,200 worlds needed.
const ENVELOPES_PER_PAIR: u64 = 12;
/// After the storm: what a bundle may cost for each device, repairs included.
const ENVELOPES_PER_BUNDLE: u64 = 1;
/// What a device sends to a lost one in three hours, when the pause between two attempts has grown to one.
const ENVELOPES_TO_A_LOST_DEVICE: u64 = 16;
/// What a device says to another one in the same time, when both are at rest: two words, or two answers.
const WORDS_AT_REST: u64 = 2;
