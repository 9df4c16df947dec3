//! Epochs of the group in a simulated world: who mints them, where devices look for mail, who may know which.

use kinfolk_core::epoch::Epoch;
use kinfolk_core::ids::Now;
use kinfolk_core::step::Input;

use super::{Event, World};
use crate::sim::broken::{Broken, Held};
use crate::sim::people;
use crate::sim::sabotage::Sabotage;

impl World {
    /// Mints an epoch for a device whose engine wants one, as its driver would: before it settles.
    pub(super) fn mint(&mut self, index: usize, now: Now) {
        let Some(engine) = self.devices.get_mut(index).and_then(|device| device.engine.as_mut()) else { return };
        let Some(number) = engine.wants_epoch(now) else { return };
        let epoch = people::epoch_of(Epoch { number, id: self.names.id() });
        let record = people::authored(index, engine, now.wall, people::minting(&epoch));
        engine.handle(Input::Minted { record, epoch }, now);
        self.tally.epochs += 1;
        self.say(|| format!("device {index} mints epoch {number}"));
    }

    /// A device looks where its engine says. What lies there already is found.
    pub(super) fn look(&mut self, index: usize) {
        let now = self.now;
        let Some(device) = self.devices.get_mut(index) else { return };
        let Some(engine) = device.engine.as_ref() else { return };
        let mut polled = engine.polled(device.at(now));
        if self.rules.sabotage == Some(Sabotage::ForgetMailbox) {
            let current = engine.status(device.at(now)).epoch;
            polled.retain(|epoch| *epoch == current);
        }
        let mut slots: Vec<u32> = engine.slots().collect();
        if self.rules.sabotage == Some(Sabotage::DestroyEarly) {
            slots.drain(..slots.len().saturating_sub(1));
        }
        if polled == device.polled && slots == device.slots {
            return;
        }
        (device.polled, device.slots) = (polled, slots);
        for mail in self.post.seen_anew(index) {
            self.queue_at(super::RETRY, Event::Arrive(mail));
        }
    }

    /// No removed device knows the epoch that the others live in, and they all live in one.
    pub(super) fn check_epochs(&self, living: &[usize]) -> Held {
        let roster = self.all_records();
        let left = || self.devices.iter().filter(|device| !device.lost);
        for device in left().filter(|device| roster.removal(people::device_id(device.index)).is_some()) {
            let known = device.disk.model().epochs().find(|epoch| roster.is_fit(*epoch));
            Broken::unless(known.is_none(), "a removed device knows no epoch of the others", || {
                format!("device {} knows {known:?}", device.index)
            })?;
        }
        let mut shown = None;
        for device in living.iter().filter_map(|index| self.devices.get(*index)) {
            let Some(engine) = &device.engine else { continue };
            let epoch = engine.status(device.at(self.now)).epoch;
            Broken::unless(roster.is_fit(epoch), "devices live in an epoch that no removed device knows", || {
                format!("device {} lives in {epoch:?}", device.index)
            })?;
            let first = *shown.get_or_insert(epoch);
            Broken::unless(first == epoch, "all devices live in one epoch", || {
                format!("device {} lives in {epoch:?}, another in {first:?}", device.index)
            })?;
        }
        Ok(())
    }

    /// Whether all live in one epoch, and nobody is about to mint another: when two removals make each other void, nobody may hold a fit epoch
    /// until somebody's turn to mint has come.
    pub(super) fn epochs_settled(&self, living: &[usize]) -> bool {
        let engines = living.iter().filter_map(|index| self.devices.get(*index));
        let status =
            engines.filter_map(|device| device.engine.as_ref().map(|engine| engine.status(device.at(self.now))));
        let epochs: Vec<Epoch> = status.map(|status| status.epoch).collect();
        let roster = self.all_records();
        epochs.windows(2).all(|pair| pair[0] == pair[1]) && epochs.iter().all(|epoch| roster.is_fit(*epoch))
    }
}
