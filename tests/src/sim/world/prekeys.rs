//! Prekeys in a simulated world: some devices change them within minutes, where relays keep mail for as long, sleep for longer than that, and
//! must destroy no seed while mail for it may come.
//!
//! All of it is decided by dice of its own, so that a world without any of it lives as if there were none.

use kinfolk_core::ids::{Millis, Now};
use kinfolk_core::prekey::COMMON_SLOT;
use kinfolk_core::step::{Input, Send};

use super::storm::STORM;
use super::{Event, World};
use crate::sim::broken::{Broken, Held};
use crate::sim::device::{HASTY_RETENTION, Request};
use crate::sim::dice::Dice;
use crate::sim::people;
use crate::sim::post::{Mail, Place};

impl World {
    /// Dice that nothing else throws.
    pub(super) fn keys_dice(seed: u64) -> Dice {
        Dice::new(seed ^ 0x5EED_0E75)
    }

    /// Decides whether a week is a minute here.
    pub(super) fn make_hasty(&mut self) {
        self.hasty = self.keys.chance(25);
        if self.hasty {
            for relay in &mut self.post.relays {
                relay.keeps = Some(relay.keeps.map_or(HASTY_RETENTION, |keeps| keeps.min(HASTY_RETENTION)));
            }
        }
    }

    /// Plans who fetches when, and who sleeps.
    pub(super) fn plan_prekeys(&mut self, count: usize) {
        if !self.hasty {
            return;
        }
        for index in 0..count {
            self.queue_at(Millis(0), Event::Fetch(index));
        }
        if self.keys.chance(50) {
            let sleeper = usize::try_from(self.keys.below(u64::try_from(count).unwrap_or(1))).unwrap_or(0);
            let at = Millis(self.keys.below(STORM.0 / 2));
            self.queue_at(at, Event::Sleep(sleeper));
        }
    }

    /// Makes a prekey for a device whose engine wants one, as its driver would: before it settles.
    pub(super) fn rekey(&mut self, index: usize, now: Now) {
        let Some(engine) = self.devices.get_mut(index).and_then(|device| device.engine.as_mut()) else { return };
        let Some(slot) = engine.wants_prekey(now) else { return };
        engine.handle(Input::Rekeyed(people::prekey_of(index, slot, now.wall)), now);
        self.tally.prekeys += 1;
        self.say(|| format!("device {index} makes the prekey in slot {slot}"));
    }

    /// The mailbox that a parcel is put into.
    pub(super) fn place_of(&mut self, index: usize, send: &Send) -> Place {
        let device = self.devices.get(index);
        let status = device.and_then(|device| Some(device.engine.as_ref()?.status(device.at(self.now))));
        let siblings = status.map(|status| status.siblings).unwrap_or_default();
        let known = siblings.iter().find(|sibling| sibling.device == send.to).map(|sibling| sibling.prekey.slot);
        let newest = known.is_none_or(|known| known <= send.prekey.slot);
        self.tally.knocks += u64::from(send.prekey.slot == COMMON_SLOT);
        Place { under: send.epoch, slot: send.prekey.slot, newest }
    }

    /// A device fetches all that lies on relays for it, and knows that it did. After the storm nobody does any more: no prekey is changed, or
    /// there would be no rest.
    pub(super) fn fetch(&mut self, index: usize) {
        let left = self.devices.get(index).map(|device| device.left.clone()).unwrap_or_default();
        let relays = self.post.relays.iter().filter(|relay| relay.up && !left.contains(&relay.id));
        for relay in relays.map(|relay| relay.id).collect::<Vec<_>>() {
            for number in self.post.lying(relay, index) {
                let Some(mail) = self.post.mail(number).cloned() else { continue };
                let looks = self.devices.get(index).is_some_and(|device| device.looks_into(&mail));
                if looks && self.shows(number, &mail) == Some(true) {
                    self.ask(index, Request::Mail(number));
                }
            }
            self.ask(index, Request::Tell(Input::Fetched { relay, took: Millis(0) }));
        }
        if self.post.hostile {
            let again = Millis(self.keys.between(20_000, 40_000));
            self.queue_at(again, Event::Fetch(index));
        }
    }

    /// A device is off for longer than relays keep mail.
    pub(super) fn sleep(&mut self, index: usize) -> Held {
        if self.down(index)? {
            self.tally.sleeps += 1;
            self.say(|| format!("device {index} sleeps"));
            self.queue_at(Millis(2 * HASTY_RETENTION.0), Event::Start(index));
        }
        Ok(())
    }

    /// Mail that its sender sealed to the newest prekey it knew finds its seed, for as long as relays keep it. Not that of a device that joined over
    /// one that was put back: it was told the prekeys of then, which their owners rightly count as known to nobody. It gets to know the newest from
    /// their letters, or from answers to its knocks.
    pub(super) fn check_seed(&self, mail: &Mail) -> Held {
        let (Some(from), Some(to)) = (self.devices.get(mail.from), self.devices.get(mail.to)) else { return Ok(()) };
        let heard = to.disk.model().roster().member(people::device_id(mail.from)).is_some();
        let held = mail.slot == COMMON_SLOT || to.slots.contains(&mail.slot);
        if from.disturbed || from.behind || to.disturbed || !heard || !mail.newest || held {
            return Ok(());
        }
        Broken::rule("a seed outlives what may be sealed to it", format!("device {}: slot {}", mail.to, mail.slot))
    }
}
