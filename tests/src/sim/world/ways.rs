//! What relays do besides losing, repeating and delaying: they are put back to an older state, lose everything, keep mail to themselves,
//! keep it for a short time only, have little room; and devices look on some of them only, leave them and come.
//!
//! All of it is decided by dice of its own, so that a world without any of it lives as if there were none.

use kinfolk_core::ids::{Millis, RelayId};
use kinfolk_core::lane::KEEPS;
use kinfolk_core::roster::{Roster, Verified};
use kinfolk_core::step::Input;

use super::storm::STORM;
use super::{Event, World};
use crate::sim::device::{HASTY_RETENTION, Request};
use crate::sim::dice::Dice;
use crate::sim::people;
use crate::sim::post::Mail;

/// A thing that happens to a relay.
#[derive(Clone, Copy, Debug)]
pub(super) enum Way {
    /// Somebody copies its state.
    Image(usize),
    /// That copy is put back: old mail is there again, new mail is gone.
    PutBack(usize),
    /// It loses everything.
    Evict(usize),
    /// It keeps what is for a device to itself, for so long.
    Withhold(usize, usize, Millis),
    /// A device is about to leave it.
    Leave(usize, usize),
    /// It has left.
    Left(usize, usize),
    /// A device looks there (again).
    Enter(usize, usize),
}

impl World {
    /// Dice that nothing else throws.
    pub(super) fn ways_dice(seed: u64) -> Dice {
        Dice::new(seed ^ 0x5EED_FA17)
    }

    /// Decides what kind of relays these are.
    pub(super) fn make_ways(&mut self) {
        for relay in &mut self.post.relays {
            if self.ways.chance(15) {
                relay.keeps = Some(Millis(self.ways.between(60_000, 300_000)));
            }
            if self.ways.chance(15) {
                relay.room = Some(usize::try_from(self.ways.between(3, 10)).unwrap_or(3));
            }
        }
    }

    /// Plans what happens to them.
    pub(super) fn plan_ways(&mut self, devices: usize) {
        let relays = self.post.relays.len();
        let mut some = |count: usize| usize::try_from(self.ways.below(u64::try_from(count).unwrap_or(1))).unwrap_or(0);
        let (relay, device, other) = (some(relays), some(devices), some(devices));
        if self.ways.chance(25) {
            let at = self.ways.below(STORM.0 / 2);
            self.way_at(at, Way::Image(relay));
            for _ in 0..self.ways.between(1, 2) {
                let later = self.ways.between(at, STORM.0);
                self.way_at(later, Way::PutBack(relay));
            }
        }
        if self.ways.chance(15) {
            let at = self.ways.between(STORM.0 / 3, STORM.0);
            self.way_at(at, Way::Evict(relay));
        }
        if self.ways.chance(25) {
            let at = self.ways.below(STORM.0);
            let span = Millis(self.ways.between(10_000, STORM.0));
            self.way_at(at, Way::Withhold(relay, device, span));
        }
        if relays > 1 && self.ways.chance(80) {
            // One leaves this relay and one that: others are between them.
            for (device, relay) in [(device, relay), (other, (relay + 1) % relays)] {
                let at = self.ways.below(STORM.0);
                self.way_at(at, Way::Leave(device, relay));
                if self.ways.chance(35) {
                    let later = self.ways.between(at, STORM.0);
                    self.way_at(later + 5_000, Way::Enter(device, relay));
                }
            }
        }
    }

    fn way_at(&mut self, at: u64, way: Way) {
        self.queue_at(Millis(at), Event::Way(way));
    }

    pub(super) fn go(&mut self, way: Way) {
        match way {
            Way::Image(relay) => self.post.copy(relay),
            Way::PutBack(relay) => {
                let back = self.post.put_back(relay);
                self.tally.rollbacks += 1;
                self.say(|| format!("relay {relay} is put back: {} envelopes are there again", back.len()));
                back.into_iter().for_each(|mail| self.queue_at(Millis(1_000), Event::Arrive(mail)));
            }
            Way::Evict(relay) => {
                self.tally.evicted += self.post.evict(relay);
                self.say(|| format!("relay {relay} loses everything"));
            }
            Way::Withhold(relay, device, span) => {
                let until = self.now.plus(span);
                self.say(|| format!("relay {relay} keeps to itself what is for device {device} until {}", until.0));
                if let Some(relay) = self.post.relays.get_mut(relay) {
                    relay.withholds = Some((device, until));
                }
            }
            Way::Leave(device, relay) => self.leave(device, relay),
            Way::Left(device, relay) => {
                let Some(id) = self.relay_id(relay) else { return };
                self.say(|| format!("device {device} has left relay {relay}"));
                if let Some(device) = self.devices.get_mut(device) {
                    device.left.insert(id);
                }
                self.ask(device, Request::Tell(Input::RelayRemoved(id)));
                self.tally.left += 1;
            }
            Way::Enter(device, relay) => self.enter(device, relay),
        }
    }

    /// A device leaves a relay, if it looks elsewhere too.
    fn leave(&mut self, device: usize, relay: usize) {
        let (Some(id), all) = (self.relay_id(relay), self.post.relays.len()) else { return };
        let looks = self.devices.get(device).map_or(0, |device| all - device.left.len());
        if looks > 1 {
            self.ask(device, Request::Tell(Input::RelayLeaving(id)));
            self.queue_at(Millis(2_000), Event::Way(Way::Left(device, relay)));
        }
    }

    /// A device looks on a relay again, and finds what lies there.
    fn enter(&mut self, device: usize, relay: usize) {
        let Some(id) = self.relay_id(relay) else { return };
        if !self.devices.get_mut(device).is_some_and(|device| device.left.remove(&id)) {
            return;
        }
        self.say(|| format!("device {device} looks on relay {relay} again"));
        self.introduce(device, id);
        for mail in self.post.lying(id, device) {
            self.queue_at(Millis(100), Event::Arrive(mail));
        }
    }

    /// Tells a device of a relay.
    pub(super) fn introduce(&mut self, index: usize, relay: RelayId) {
        let Some((up, keeps)) = self.post.relays.iter().find(|r| r.id == relay).map(|r| (r.up, r.keeps)) else {
            return;
        };
        self.ask(index, Request::Tell(Input::RelayAdded(relay)));
        if let Some(keeps) = keeps {
            self.ask(index, Request::Tell(Input::RelayKeeps { relay, keeps }));
        }
        if !up {
            self.ask(index, Request::Tell(Input::RelayHealth { relay, up }));
        }
    }

    /// Whether the relay shows this envelope to its device now; `None` when it never will unless something changes.
    pub(super) fn shows(&mut self, number: u64, mail: &Mail) -> Option<bool> {
        let looks = self.devices.get(mail.to).is_none_or(|device| !device.left.contains(&mail.relay));
        let relay = self.post.relays.iter().find(|relay| relay.id == mail.relay)?;
        // After the storm too, though nobody is told: seeds are held for no longer.
        let keeps = relay.keeps.or(self.hasty.then_some(HASTY_RETENTION));
        if keeps.is_some_and(|keeps| self.now.since(mail.put) >= keeps) {
            self.tally.expired += 1;
            self.post.expire(number);
            return None;
        }
        let withheld = relay.withholds.is_some_and(|(device, until)| device == mail.to && self.now < until);
        let withheld = withheld && self.post.hostile;
        self.tally.withheld += u64::from(withheld);
        looks.then_some(!withheld)
    }

    /// At the end some families stay as they are, if all can reach each other through others; the rest look everywhere again.
    pub(super) fn settle_ways(&mut self) {
        let living = self.living();
        let stays = self.ways.chance(75) && self.are_connected(&living);
        for index in 0..self.devices.len() {
            for relay in 0..self.post.relays.len() {
                if !stays || !living.contains(&index) {
                    self.enter(index, relay);
                }
            }
        }
        self.tally.apart += u64::from(self.apart(&living) > 0);
        for relay in 0..self.post.relays.len() {
            self.mend(relay);
        }
    }

    /// A relay has room again, and keeps mail for long: else what nobody receipts would be put again every few minutes.
    fn mend(&mut self, relay: usize) {
        let Some(relay) = self.post.relays.get_mut(relay) else { return };
        (relay.keeps, relay.room) = (None, None);
        let relay = relay.id;
        for index in 0..self.devices.len() {
            self.ask(index, Request::Tell(Input::RelayKeeps { relay, keeps: KEEPS }));
        }
    }

    /// How many ordered pairs of these devices share no relay.
    pub(super) fn apart(&self, living: &[usize]) -> u64 {
        let pairs = living.iter().flat_map(|a| living.iter().map(move |b| (*a, *b))).filter(|(a, b)| a != b);
        u64::try_from(pairs.filter(|(a, b)| !self.share(*a, *b)).count()).unwrap_or(u64::MAX)
    }

    fn share(&self, a: usize, b: usize) -> bool {
        let left = |index: usize, id: &RelayId| self.devices.get(index).is_none_or(|device| device.left.contains(id));
        self.post.relays.iter().any(|relay| !left(a, &relay.id) && !left(b, &relay.id))
    }

    fn are_connected(&self, living: &[usize]) -> bool {
        let mut reached: Vec<usize> = living.iter().take(1).copied().collect();
        let mut at = 0;
        while let Some(from) = reached.get(at).copied() {
            at += 1;
            let next: Vec<usize> =
                living.iter().filter(|to| !reached.contains(to) && self.are_linked(from, **to)).copied().collect();
            reached.extend(next);
        }
        reached.len() == living.len()
    }

    /// Whether two devices can hear each other: one that takes another for removed, or has not heard of it, is no bridge to it.
    fn are_linked(&self, one: usize, other: usize) -> bool {
        self.share(one, other) && self.knows(one, other) && self.knows(other, one)
    }

    fn knows(&self, one: usize, other: usize) -> bool {
        let Some(device) = self.devices.get(one) else { return false };
        let mut roster = Roster::new(people::genesis().id());
        roster.extend(device.disk.model().records().iter().cloned().map(Verified::vouch));
        roster.member(people::device_id(other)).is_some()
    }

    fn relay_id(&self, relay: usize) -> Option<RelayId> {
        self.post.relays.get(relay).map(|relay| relay.id)
    }
}
