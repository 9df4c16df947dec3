//! Disks that are copied, and put back later: restored backups, snapshots, clones that took over.

use kinfolk_core::engine::next_generation;
use kinfolk_core::ids::SourceId;
use kinfolk_core::step::Change;

use super::World;
use crate::sim::broken::Held;
use crate::sim::device::AppState;
use crate::sim::sabotage::Sabotage;

impl World {
    /// Somebody copies a device's state.
    pub(super) fn image(&mut self, index: usize) -> Held {
        let Some(device) = self.devices.get_mut(index).filter(|device| !device.lost) else { return Ok(()) };
        device.image = Some(device.disk.image()?);
        self.say(|| format!("the disk of device {index} is copied"));
        Ok(())
    }

    /// A device stops, and finds its state as it was when it was copied. The state token tells it so.
    pub(super) fn put_back(&mut self, index: usize) -> Held {
        if self.devices.get(index).is_none_or(|device| device.lost || device.image.is_none()) {
            return Ok(());
        }
        self.crash(index)?;
        let fresh = SourceId(self.dice.id());
        let Some(device) = self.devices.get_mut(index) else { return Ok(()) };
        let Some(image) = device.image.take() else { return Ok(()) };
        device.disk.put_back(&image)?;
        (device.disturbed, device.behind) = (true, true);
        device.image = Some(image);
        device.held = device.disk.model().vector();
        device.ever = device.held.clone();
        // Its app lives beside it, and counts as the disk does.
        device.app = AppState { answered: device.disk.model().last_of(&device.app_source()), trying: None };
        if self.rules.sabotage != Some(Sabotage::KeepSource) {
            let (saved, wall) = (device.disk.restore()?, device.at(self.now).wall);
            let generation = next_generation(
                saved.me,
                saved.generation,
                &saved.sources,
                wall,
                u16::from_be_bytes([fresh.0[0], fresh.0[1]]),
            );
            device.disk.apply(&Change::Fresh { source: fresh, generation })?;
            if let Some(newest) = saved.prekeys.last() {
                device.disk.apply(&Change::PrekeyHeld(newest.spoilt()))?;
            }
            device.disk.commit()?;
        }
        self.tally.put_back += 1;
        self.say(|| format!("the disk of device {index} is put back"));
        self.forget_gone();
        Ok(())
    }

    /// What nobody has on disk any more is not missed.
    pub(super) fn forget_gone(&mut self) {
        let before = self.accepted.len();
        let devices = &self.devices;
        let held = |dot| devices.iter().any(|device| !device.lost && device.disk.model().bundle(dot).is_some());
        self.accepted.retain(|dot| held(*dot));
        self.gone |= self.accepted.len() < before;
    }
}
