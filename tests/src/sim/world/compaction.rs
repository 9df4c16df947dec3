//! Compaction in a world: when it happens, and what must hold when it does.

use kinfolk_core::ids::Millis;
use kinfolk_core::vector::VersionVector;

use super::storm::STORM;
use super::{Event, World};
use crate::sim::broken::{Broken, Held};
use crate::sim::dice::Dice;

impl World {
    /// In two worlds of three, some devices compact their logs now and then. Drawn apart from all else, so that the other worlds are what they
    /// would be without.
    pub(super) fn plan_compactions(&mut self, count: usize) {
        let mut luck = Dice::new(self.seed ^ COMPACTION);
        if luck.below(3) == 0 {
            return;
        }
        for _ in 0..luck.between(1, 8) {
            let index = usize::try_from(luck.below(u64::try_from(count).unwrap_or(1))).unwrap_or(0);
            self.queue_at(Millis(luck.below(STORM.0)), Event::Compact(index));
        }
    }

    /// Of the sources that `moved`, everybody has receipted what lies below the watermark.
    pub(super) fn check_compaction(&self, index: usize, moved: &VersionVector) -> Held {
        let Some(device) = self.devices.get(index) else { return Ok(()) };
        let Some(status) = device.engine.as_ref().map(|engine| engine.status(device.at(self.now))) else {
            return Ok(());
        };
        let watermark = device.disk.model().watermark();
        for sibling in status.siblings.iter().filter(|sibling| sibling.live) {
            let outrun = moved.iter().find(|(source, _)| watermark.seq(*source) > sibling.vector.seq(*source));
            Broken::unless(outrun.is_none(), "compaction never outruns a live sibling", || {
                format!("device {index} compacts {outrun:?} beyond what {} has receipted", sibling.device)
            })?;
        }
        Ok(())
    }
}

/// Names the sub-stream of the dice.
const COMPACTION: u64 = 0xC0_4FAC7;
