//! What a device holds, looked at after each commit and each crash.

use std::collections::BTreeMap;

use kinfolk_core::engine::Engine;
use kinfolk_core::ids::Dot;

use super::World;
use crate::sim::broken::{Broken, Held};
use crate::sim::people;

impl World {
    /// What must hold after every commit.
    pub(super) fn check_commit(&mut self, index: usize) -> Held {
        let Some(device) = self.devices.get_mut(index) else { return Ok(()) };
        let vector = device.disk.model().vector();
        let roster = device.disk.model().roster();
        let model = device.disk.model();
        let writers: BTreeMap<_, _> = model.writers().collect();
        let backwards = device.held.iter().find(|(source, head)| {
            let held = vector.seq(*source);
            held < head.seq && !model.is_set_aside(Dot { source: *source, seq: held.next() })
        });
        Broken::unless(backwards.is_none(), "a vector goes back only where a removed device ends", || {
            format!("device {index}: {backwards:?}")
        })?;
        let beyond = vector.iter().find(|(source, head)| {
            let writer = writers.get(source).filter(|writer| **writer != people::device_id(index));
            let removed = writer.and_then(|writer| roster.removal(*writer));
            removed.is_some_and(|removed| removed.end(*source).max(model.standing(*source)) < head.seq)
        });
        Broken::unless(beyond.is_none(), "nothing beyond the end of a removed device is held", || {
            format!("device {index}: {beyond:?}")
        })?;
        let said = device.engine.as_ref().map(Engine::vector);
        Broken::unless(said == Some(&vector), "memory is a cache of disk", || {
            format!("device {index} holds {vector:?} and says {said:?}")
        })?;
        if vector != device.held {
            device.held = vector.clone();
            device.ever.join(&vector);
            let digest = device.disk.digest();
            let known = *self.digests.entry(vector.iter().collect()).or_insert(digest);
            Broken::unless(known == digest, "equal vectors have equal digests", || {
                format!("device {index} {vector:?}")
            })?;
        }
        Ok(())
    }

    /// After a crash or a refused commit exactly that is there which was committed.
    pub(super) fn held_is_kept(&self, index: usize) -> Held {
        let Some(device) = self.devices.get(index) else { return Ok(()) };
        let vector = device.disk.model().vector();
        Broken::unless(vector == device.held, "what was committed stays", || {
            format!("device {index} held {:?} and holds {vector:?}", device.held)
        })
    }
}
