//! Devices that are copied, and run here and there under one name.
//!
//! The two copies take turns: one is stopped where it stands, the other goes on where it was stopped, and no state token tells either of
//! them. So each writes a history of its own, and siblings hear of one or the other first. At the end both come to speak, one after the other. A
//! copy that was made long before it first runs is a disk that lost its end unnoticed.
//!
//! A device that knows nobody is not copied: each of the two could compact alone, and of two histories that were both compacted neither can give way.

use kinfolk_core::ids::{Dot, Hash, Millis, Seq, SourceId};
use kinfolk_core::step::Append;

use super::storm::STORM;
use super::{Event, World};
use crate::sim::broken::Held;
use crate::sim::device::AppState;
use crate::sim::dice::Dice;
use crate::sim::model::Model;

impl World {
    /// In one world of four a device is copied. Drawn apart from all else, so that the other worlds are what they would be without.
    pub(super) fn plan_copies(&mut self, count: usize) {
        let mut luck = Dice::new(self.seed ^ COPIES);
        if luck.below(4) > 0 {
            return;
        }
        let index = usize::try_from(luck.below(u64::try_from(count).unwrap_or(1))).unwrap_or(0);
        let first = luck.below(STORM.0 / 2);
        self.queue_at(Millis(first), Event::Copy(index));
        for _ in 0..luck.between(1, 6) {
            let at = luck.between(first, STORM.0);
            self.queue_at(Millis(at), Event::Swap(index));
        }
    }

    /// Somebody copies all that a device is.
    pub(super) fn copy(&mut self, index: usize) -> Held {
        let Some(device) = self.devices.get_mut(index).filter(|device| !device.lost) else { return Ok(()) };
        if device.disk.model().roster().members().count() <= 1 {
            return Ok(());
        }
        device.copy = Some(device.disk.image()?);
        self.say(|| format!("device {index} is copied, with its name and its keys"));
        Ok(())
    }

    /// A device stops, and its copy goes on in its place.
    pub(super) fn swap(&mut self, index: usize) -> Held {
        if self.devices.get(index).is_none_or(|device| device.lost || device.copy.is_none()) {
            return Ok(());
        }
        self.crash(index)?;
        let Some(device) = self.devices.get_mut(index) else { return Ok(()) };
        let Some(copy) = device.copy.take() else { return Ok(()) };
        device.copy = Some(device.disk.image()?);
        device.disk.put_back(&copy)?;
        device.disturbed = true;
        device.held = device.disk.model().vector();
        device.ever.join(&device.held);
        device.app = AppState { answered: device.disk.model().last_of(&device.app_source()), trying: None };
        self.tally.swaps += 1;
        self.say(|| format!("the copy of device {index} goes on in its place"));
        Ok(())
    }

    /// Devices that have a copy which does not run.
    pub(super) fn copied(&self) -> Vec<usize> {
        let copied = self.devices.iter().filter(|device| device.copy.is_some() && !device.lost);
        copied.map(|device| device.index).collect()
    }

    /// Notes for which bundle another one stands.
    pub(super) fn note_origin(&mut self, append: &Append) {
        let Some((source, head)) = append.bundle.body.as_ref().and_then(|body| body.origin) else { return };
        let again = (append.bundle.dot, append.bundle.hash);
        self.tally.written_again += u64::from(self.again.insert(((Dot { source, seq: head.seq }, head.hash), again)));
    }

    /// Whether a store holds a bundle, or one that stands for it.
    pub(super) fn holds(&self, model: &Model, bundle: (Dot, Hash)) -> bool {
        let (dot, hash) = bundle;
        let here = match model.bundle(dot) {
            Some(held) => held.hash == hash,
            // What was compacted is not in every log.
            None => model.vector().covers(dot),
        };
        let least = (Dot { source: SourceId::default(), seq: Seq::ZERO }, Hash::default());
        here || self
            .again
            .range((bundle, least)..)
            .take_while(|(origin, _)| *origin == bundle)
            .any(|(_, again)| self.holds(model, *again))
    }
}

/// Names the sub-stream of the dice.
const COPIES: u64 = 0x0C0_91E5;
