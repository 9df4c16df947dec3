//! The storm: what happens to a world.

use bytes::Bytes;
use kinfolk_core::ids::{DeviceId, Millis, RelayId};
use kinfolk_core::parcel::{Letter, VerifiedParcel};
use kinfolk_core::roster::RosterChange;
use kinfolk_core::step::{Delivery, Input};

use super::{Event, World};
use crate::sim::broken::{Broken, Held};
use crate::sim::device::Request;
use crate::sim::{people, work};

impl World {
    /// Plans everything, then lets it happen.
    pub(super) fn storm(&mut self) -> Held {
        let count = self.devices.len() + usize::from(self.joining.is_some());
        let pushes = if self.quiet { self.dice.between(20, 60) } else { self.dice.between(30, 120) };
        for _ in 0..pushes {
            let index = self.somebody(count);
            self.some_time(Event::Push(index));
        }
        for _ in 0..self.dice.between(1, 5) {
            let index = self.somebody(count);
            self.some_time(Event::Crash(index));
        }
        for _ in 0..self.dice.below(3) {
            let index = self.somebody(count);
            self.some_time(Event::Garbage(index));
        }
        for _ in 0..self.dice.below(3) {
            let index = self.somebody(count);
            self.some_time(Event::Rename(index));
            let index = self.somebody(count);
            self.some_time(Event::Jump(index));
        }
        for _ in 0..self.dice.below(3) {
            let relay = self.somebody(self.post.relays.len());
            self.some_time(Event::Outage(relay));
            self.some_time(Event::Back(relay));
        }
        if self.dice.chance(50) {
            let (by, whom) = (self.somebody(self.devices.len()), self.somebody(self.devices.len()));
            self.some_time(Event::Remove(by, whom));
            // In return, in a circle, or something else altogether; often before they have heard of each other.
            match self.dice.below(4) {
                0 => self.some_time(Event::Remove(whom, by)),
                1 => {
                    let other = self.somebody(count);
                    self.some_time(Event::Remove(whom, other));
                    self.some_time(Event::Remove(other, by));
                }
                _ => {}
            }
        } else if self.dice.chance(80) {
            let index = self.somebody(count);
            self.some_time(Event::Image(index));
            for _ in 0..self.dice.between(1, 2) {
                self.some_time(Event::PutBack(index));
            }
        }
        if self.joining.is_some() {
            self.some_time(Event::Join);
        }
        if self.dice.chance(8) {
            // Not the sponsor of somebody who may still be waiting.
            let sponsor = self.joining.map(|(sponsor, _)| sponsor);
            let index = self.somebody(self.devices.len());
            if sponsor != Some(index) {
                self.some_time(Event::Lose(index));
            }
        }
        self.plan_ways(count);
        self.plan_compactions(count);
        self.plan_prekeys(count);
        self.plan_pruning(count);
        while self.step(STORM)? {}
        Ok(())
    }

    fn somebody(&mut self, count: usize) -> usize {
        usize::try_from(self.dice.below(u64::try_from(count).unwrap_or(1))).unwrap_or(0)
    }

    fn some_time(&mut self, event: Event) {
        // Most things happen in bursts, so that they meet.
        let at = match self.dice.below(3) {
            0 => self.dice.below(STORM.0),
            1 => STORM.0 / 3 + self.dice.below(2_000),
            _ => STORM.0 / 2 + self.dice.below(20_000),
        };
        self.queue_at(Millis(at), event);
    }

    /// An app pushes. Some apps number their bundles and come again until they are answered.
    pub(super) fn push(&mut self, index: usize) {
        let ops = work::push(&mut self.dice, self.large);
        let ops = self.lengthened(ops);
        let numbered = self.dice.chance(30);
        let Some(device) = self.devices.get_mut(index) else { return };
        let request = if numbered { device.numbered(ops) } else { Request::Push { ops, app: None } };
        self.ask(index, request.clone());
        // A hasty app asks twice before it hears of the first.
        if numbered && self.dice.chance(20) {
            self.ask(index, request);
        }
    }

    /// A device stops wherever it is, and starts again later.
    pub(super) fn crash(&mut self, index: usize) -> Held {
        let pause = Millis(self.dice.between(50, 60_000));
        if self.down(index)? {
            self.queue_at(pause, Event::Start(index));
        }
        Ok(())
    }

    /// A device stops wherever it is, if it runs.
    pub(super) fn down(&mut self, index: usize) -> Result<bool, Broken> {
        let Some(device) = self.devices.get_mut(index).filter(|device| device.engine.is_some()) else {
            return Ok(false);
        };
        device.engine = None;
        device.inbox.clear();
        device.planned = false;
        device.wake = None;
        device.calls.clear();
        device.sent.clear();
        device.disk.crash()?;
        self.tally.crashes += 1;
        self.say(|| format!("device {index} crashes"));
        self.held_is_kept(index)?;
        Ok(true)
    }

    /// A device is lost for good. What it told nobody is gone with it.
    pub(super) fn lose(&mut self, index: usize) -> Held {
        self.crash(index)?;
        let Some(device) = self.devices.get_mut(index) else { return Ok(()) };
        device.lost = true;
        self.forget_gone();
        self.tally.lost_devices += 1;
        self.say(|| format!("device {index} is lost"));
        Ok(())
    }

    /// Somebody joins over their sponsor.
    pub(super) fn join(&mut self) -> Held {
        let Some((sponsor, newcomer)) = self.joining else { return Ok(()) };
        let Some(engine) = self.devices.get(sponsor).and_then(|device| device.engine.as_ref()) else { return Ok(()) };
        if engine.roster().member(people::device_id(newcomer)).is_some() {
            self.joined()
        } else {
            self.ask(sponsor, Request::Author(people::admission(newcomer)));
            Ok(())
        }
    }

    /// The record is durable: the newcomer begins with what its sponsor knows.
    pub(super) fn joined(&mut self) -> Held {
        let Some((sponsor, newcomer)) = self.joining.take() else { return Ok(()) };
        let Some(device) = self.devices.get(sponsor) else { return Ok(()) };
        let model = device.disk.model();
        let records = model.records().to_vec();
        let secrets = model.epochs().filter_map(|epoch| Some(people::kept(epoch, model.secret(epoch)?))).collect();
        self.tally.pairings += 1;
        self.say(|| format!("device {newcomer} joins over device {sponsor}"));
        let status = device.engine.as_ref().map(|engine| engine.status(device.at(self.now)));
        let known = status.into_iter().flat_map(|status| status.siblings);
        let mut announced: Vec<_> = known.map(|sibling| (sibling.device, sibling.prekey)).collect();
        announced.push((people::device_id(sponsor), model.prekey()));
        announced.retain(|(device, _)| *device != people::device_id(newcomer));
        let behind = device.behind;
        self.settle_in(newcomer, records, Some((secrets, announced)))?;
        if let Some(newcomer) = self.devices.get_mut(newcomer) {
            newcomer.behind = behind;
        }
        Ok(())
    }

    /// A device gives itself or another a new name.
    pub(super) fn rename(&mut self, index: usize) {
        let device = people::device_id(self.somebody(self.devices.len()));
        let name = format!("name {}", self.dice.below(100));
        self.ask(index, Request::Author(RosterChange::Rename { device, name }));
    }

    /// A device removes another, as far as it knows it.
    pub(super) fn remove(&mut self, by: usize, whom: usize) -> Held {
        let Some(device) = self.devices.get(by).filter(|device| device.engine.is_some() && by != whom) else {
            return Ok(());
        };
        if device.disk.model().roster().member(people::device_id(whom)).is_none() {
            return Ok(());
        }
        // Who was removed and removes others after the relays' retention is not heard: nobody looks any more where it could write. Here that
        // is a matter of minutes.
        if self.hasty && std::mem::replace(&mut self.removal, true) {
            return Ok(());
        }
        let ends = device.disk.ends_of(people::device_id(whom))?;
        self.say(|| format!("device {by} removes device {whom}"));
        self.ask(by, Request::Author(people::removal(whom, ends)));
        Ok(())
    }

    /// A wall clock is set, forwards or back.
    pub(super) fn jump(&mut self, index: usize) {
        let skew = Millis(self.dice.below(7_200_000));
        let Some(device) = self.devices.get_mut(index) else { return };
        device.skew = skew;
        device.disturbed = true;
        self.tally.jumps += 1;
    }

    /// Somebody puts rubbish into a mailbox, or speaks without being on the roster.
    pub(super) fn garbage(&mut self, index: usize) {
        self.tally.garbage += 1;
        let delivery = Delivery { relay: RelayId([0xA0; 16]), ticket: u64::MAX };
        let stranger = DeviceId(self.dice.id());
        let input = if self.dice.chance(50) {
            Input::Unopenable { delivery, reason: "not an envelope".into(), bytes: Bytes::from_static(b"rubbish") }
        } else {
            let letter = Letter { receipt_requested: true, ..Letter::bare(stranger, people::EPOCH) };
            Input::Received { delivery, parcel: Box::new(VerifiedParcel::bare(letter)) }
        };
        self.ask(index, Request::Tell(input));
    }
}

/// How long it storms: 10 min.
pub(super) const STORM: Millis = Millis(600_000);
