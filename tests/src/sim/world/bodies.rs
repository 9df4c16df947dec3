//! Contents in a world: who lets go of them, and that somebody always has them.

use kinfolk_core::contents::Wanted;
use kinfolk_core::ids::{Millis, Now};
use kinfolk_core::op::{KIND_MESSAGE_POST, MessageBody, Op};
use kinfolk_core::step::{Change, Hindrance, Input, Pruning};
use prost::Message;

use super::storm::STORM;
use super::{Event, World};
use crate::sim::broken::{Broken, Held};
use crate::sim::device::Request;
use crate::sim::dice::Dice;
use crate::sim::sabotage::Sabotage;

impl World {
    /// In one world of three, some devices let go of contents now and then. Drawn apart from all else, so that the other worlds are what they
    /// would be without.
    pub(super) fn plan_pruning(&mut self, count: usize) {
        if !self.lets_go() {
            return;
        }
        let mut luck = Dice::new(self.seed ^ PRUNING);
        let somebody = |luck: &mut Dice| usize::try_from(luck.below(u64::try_from(count).unwrap_or(1))).unwrap_or(0);
        for _ in 0..luck.between(2, 6) {
            let (index, prunes) = (somebody(&mut luck), luck.chance(70));
            self.queue_at(Millis(luck.below(STORM.0)), Event::Retain(index, prunes));
        }
        for _ in 0..luck.between(6, 20) {
            let (index, at) = (somebody(&mut luck), luck.below(STORM.0));
            self.queue_at(Millis(at), Event::Compact(index));
            self.queue_at(Millis(at + luck.below(60_000)), Event::Prune(index));
        }
        let mut luck = Dice::new(self.seed ^ SEEKING);
        for _ in 0..luck.between(4, 12) {
            let (index, at) = (somebody(&mut luck), luck.below(STORM.0));
            self.queue_at(Millis(at), Event::Seek(index));
        }
    }

    fn lets_go(&self) -> bool {
        Dice::new(self.seed ^ PRUNES).below(3) == 0
    }

    /// Posts that are long enough to be kept elsewhere, in worlds in which they are.
    pub(super) fn lengthened(&self, mut ops: Vec<Op>) -> Vec<Op> {
        if self.lets_go() {
            for op in ops.iter_mut().filter(|op| op.kind == KIND_MESSAGE_POST) {
                let Ok(mut body) = MessageBody::decode(op.payload.as_slice()) else { continue };
                body.text = body.text.repeat(30);
                op.payload = body.encode_to_vec();
            }
        }
        ops
    }

    /// The person decides whether contents go by themselves.
    pub(super) fn retain(&mut self, index: usize, prunes: bool) -> Held {
        let Some(device) = self.devices.get_mut(index).filter(|device| device.engine.is_some()) else { return Ok(()) };
        device.disk.set_prunes(prunes)?;
        self.ask(index, Request::Tell(Input::Prunes(prunes)));
        Ok(())
    }

    /// Tells an engine how many contents are lacking, before it decides what to say.
    pub(super) fn tell_lacking(&mut self, index: usize, now: Now) {
        let Some(device) = self.devices.get_mut(index) else { return };
        let lacking = device.disk.model().lacking();
        if std::mem::replace(&mut device.lacking, lacking) != lacking
            && let Some(engine) = device.engine.as_mut()
        {
            engine.handle(Input::Lacking(lacking), now);
        }
    }

    /// What became of a wish to let go.
    pub(super) fn pruned(&mut self, index: usize, pruning: &Result<Pruning, Hindrance>) -> Held {
        self.say(|| format!("device {index} lets go: {pruning:?}"));
        let Some(device) = self.devices.get_mut(index) else { return Ok(()) };
        if self.rules.sabotage == Some(Sabotage::PruneAnyway) && pruning.is_err() {
            let upto = device.disk.model().watermark().iter().map(|(source, head)| (source, head.seq)).collect();
            let change = Change::Prune(Pruning { before_us: i64::MAX, upto });
            device.disk.apply(&change)?;
            device.disk.commit()?;
            return self.check_bodies(index, &change);
        }
        Ok(())
    }

    /// Of every message whose content goes, another device has it, unless its disk went or was put back.
    pub(super) fn check_bodies(&mut self, index: usize, change: &Change) -> Held {
        self.tally.words += u64::from(matches!(change, Change::Word { word: Some(_), .. }));
        if let Change::Contents(contents) = change {
            self.tally.fetched += u64::try_from(contents.len()).unwrap_or_default();
        }
        if !matches!(change, Change::Prune(_)) {
            return Ok(());
        }
        let Some(device) = self.devices.get(index) else { return Ok(()) };
        let lacked = device.disk.model().elsewhere();
        self.tally.prunings += u64::try_from(lacked.len()).unwrap_or_default().saturating_sub(device.lacking);
        let excused = self.gone || self.tally.put_back + self.tally.lost_devices + self.tally.removals > 0;
        for Wanted { id, content } in lacked.into_iter().filter(|_| !excused) {
            let kept = self.devices.iter().any(|other| other.disk.model().keeps(&id, content));
            Broken::unless(kept, "somebody keeps every content", || format!("device {index} lets go of {id}"))?;
        }
        Ok(())
    }

    /// At the end somebody wants to see everything. What any device that can be reached has, all get.
    pub(super) fn show_all(&mut self) -> Held {
        let living = self.living();
        if !self.lets_go() || self.apart(&living) > 0 {
            return Ok(());
        }
        living.iter().for_each(|index| self.ask(*index, Request::Seek));
        let until = self.now.plus(SEEKING_ENDS);
        while self.step(until)? {}
        let models = || living.iter().filter_map(|index| self.devices.get(*index)).map(|device| device.disk.model());
        for lacking in models() {
            for Wanted { id, content } in lacking.elsewhere() {
                let had = models().any(|model| model.keeps(&id, content));
                Broken::unless(!had, "what somebody has can be had by all", || id.clone())?;
            }
        }
        Ok(())
    }
}

/// Until all that was asked for at the end has come, or is given up: 15 min.
const SEEKING_ENDS: Millis = Millis(900_000);

/// Name the sub-streams of the dice.
const SEEKING: u64 = 0x5EE_C1D6;
const PRUNES: u64 = 0xB0_D1E5;
const PRUNING: u64 = 0x57_0B5;
