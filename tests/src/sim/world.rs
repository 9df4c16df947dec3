//! A world: devices, relays, and a queue of what happens when.
//!
//! First comes the storm: apps push, relays do their worst, devices crash between any two outputs, disks refuse commits, a device joins, one
//! may be lost for good. Then everything heals, and the world must come to rest with all devices equal. Rules are checked after
//! every commit (`held`) and before every output (`round`), and at the end (`finish`).

mod bodies;
mod brief;
mod compaction;
mod compose;
mod epochs;
mod finish;
mod held;
mod images;
mod prekeys;
mod round;
mod storm;
mod ways;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use kinfolk::store::NewDevice;
use kinfolk_core::epoch::KeptEpoch;
use kinfolk_core::ids::{DeviceId, Dot, Hash, Millis, RelayId, Seq, SourceId};
use kinfolk_core::roster::{Prekey, SignedRecord};
use kinfolk_core::step::{Delivery, Input};
use kinfolk_core::vector::Head;

use super::broken::{Broken, Held};
use super::device::{Device, Request};
use super::dice::Dice;
use super::disk::Disk;
use super::people;
use super::post::Post;
use super::sabotage::Sabotage;
use super::tally::Tally;

/// How a world is made.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rules {
    /// Whether devices have a real database beside the model.
    pub real: bool,
    /// What is broken on purpose.
    pub sabotage: Option<Sabotage>,
    /// Whether to tell what happens, on standard error.
    pub trace: bool,
}

/// One simulated world.
pub struct World {
    rules: Rules,
    dice: Dice,
    /// For the names of epochs, so that they disturb nothing else.
    names: Dice,
    /// Decides how prekeys change ([`prekeys`]).
    keys: Dice,
    /// Decides what only some relays and devices do ([`ways`]).
    ways: Dice,
    /// Whether devices change their prekeys often, and relays keep mail for short.
    hasty: bool,
    now: Millis,
    queue: BTreeMap<(Millis, u64), Event>,
    events: u64,
    devices: Vec<Device>,
    post: Post,
    /// Which device joins late, and over whom.
    joining: Option<(usize, usize)>,
    /// What the digest was at each vector, on whatever device.
    digests: BTreeMap<Vec<(SourceId, Head)>, Hash>,
    /// What apps were told is durable.
    accepted: BTreeSet<Dot>,
    /// Whether something that was accepted went with a disk, and no other device had it.
    gone: bool,
    large: bool,
    /// Whether apps push less than elsewhere: worlds of which some run beside a real database.
    quiet: bool,
    tally: Tally,
    seed: u64,
    /// Whether a device was removed.
    removal: bool,
}

/// What a sponsor gives: the epochs it holds, and the prekeys it knows.
type Given = (Vec<KeptEpoch>, Vec<(DeviceId, Prekey)>);

#[derive(Clone, Debug)]
enum Event {
    /// A device takes what lies in its inbox.
    Round(usize, u64),
    Wake(usize, u64),
    Arrive(u64),
    Answer {
        device: usize,
        ticket: u64,
        reached: Option<Vec<(SourceId, Seq)>>,
        bytes: u64,
        took: Millis,
    },
    Push(usize),
    Crash(usize),
    Start(usize),
    Lose(usize),
    Outage(usize),
    Back(usize),
    Join,
    Garbage(usize),
    Rename(usize),
    /// One removes another.
    Remove(usize, usize),
    Jump(usize),
    /// A device fetches all that lies on the relays for it.
    Fetch(usize),
    /// A device is off for long.
    Sleep(usize),
    Image(usize),
    PutBack(usize),
    /// Something that only some relays and devices do.
    Way(ways::Way),
    Compact(usize),
    /// Contents go, as far as somebody keeps them.
    Prune(usize),
    /// Somebody wants to see what is elsewhere.
    Seek(usize),
    /// The person decides whether contents go by themselves.
    Retain(usize, bool),
}

impl World {
    /// Lives through the world of `seed`.
    ///
    /// # Errors
    /// The first rule that did not hold.
    pub fn run(seed: u64, rules: Rules) -> Result<Tally, Broken> {
        let mut world = Self::new(seed, rules)?;
        world.storm()?;
        world.finish()?;
        Ok(world.tally)
    }

    fn new(seed: u64, rules: Rules) -> Result<Self, Broken> {
        let mut dice = Dice::new(seed);
        let relays = if dice.chance(40) { 2 } else { 1 };
        let (count, late) = (usize::try_from(dice.between(3, 5)).unwrap_or(3), dice.chance(50));
        let founders = count - usize::from(late);
        let mut records = vec![people::genesis()];
        for newcomer in 1..founders {
            let parent = records.last().cloned().unwrap_or_else(people::genesis);
            records.push(people::founding(0, newcomer, &parent));
        }
        let mut world = Self {
            rules,
            now: Millis(0),
            queue: BTreeMap::new(),
            events: 0,
            devices: Vec::new(),
            post: Post::of(relays),
            joining: None,
            digests: BTreeMap::new(),
            accepted: BTreeSet::new(),
            gone: false,
            large: dice.chance(8),
            quiet: seed.is_multiple_of(4),
            tally: Tally::default(),
            seed,
            removal: false,
            dice,
            names: Dice::new(!seed),
            keys: Self::keys_dice(seed),
            hasty: false,
            ways: Self::ways_dice(seed),
        };
        world.make_ways();
        world.make_hasty();
        for index in 0..founders {
            world.settle_in(index, records.clone(), None)?;
        }
        if late {
            let sponsor = usize::try_from(world.dice.below(u64::try_from(founders).unwrap_or(1))).unwrap_or(0);
            world.joining = Some((sponsor, founders));
        }
        Ok(world)
    }

    /// A device comes into being and starts, with what its sponsor gave it.
    fn settle_in(&mut self, index: usize, records: Vec<SignedRecord>, given: Option<Given>) -> Held {
        let birth = people::birth(index, records);
        let birth = match given {
            Some((epochs, announced)) => NewDevice { epochs, announced, ..birth },
            None => birth,
        };
        let disk = Disk::new(birth, self.rules.real, self.rules.sabotage)?;
        // Up to two hours apart.
        let skew = Millis(self.dice.below(7_200_000));
        self.devices.push(Device { hasty: self.hasty, ..Device::new(index, disk, skew) });
        self.start(index)
    }

    fn start(&mut self, index: usize) -> Held {
        let seed = self.dice.below(u64::MAX);
        let Some(device) = self.devices.get_mut(index) else { return Ok(()) };
        if device.lost || device.engine.is_some() {
            return Ok(());
        }
        device.restore(seed)?;
        self.say(|| format!("device {index} starts"));
        self.greet(index);
        if let Some((sponsor, newcomer)) = self.joining
            && sponsor == index
        {
            // It went down while somebody was joining over it: either that is on disk, or it is done again.
            self.queue_at(Millis(500), Event::Join);
            self.say(|| format!("device {newcomer} waits to join"));
        }
        Ok(())
    }

    /// Tells a device that has just started of its relays.
    fn greet(&mut self, index: usize) {
        self.look(index);
        let Some(device) = self.devices.get(index) else { return };
        let looks = self.post.relays.iter().map(|relay| relay.id).filter(|id| !device.left.contains(id));
        for relay in looks.collect::<Vec<RelayId>>() {
            self.introduce(index, relay);
        }
    }

    /// Puts a request into a device's inbox; nobody hears it when the device is down.
    fn ask(&mut self, index: usize, request: Request) {
        let Some(device) = self.devices.get_mut(index).filter(|device| device.engine.is_some()) else { return };
        device.inbox.push(request);
        if !std::mem::replace(&mut device.planned, true) {
            let life = device.life;
            // Within the same few milliseconds more may come: that is the group of a commit.
            let wait = Millis(self.dice.below(4));
            self.queue_at(wait, Event::Round(index, life));
        }
    }

    fn queue_at(&mut self, after: Millis, event: Event) {
        self.events += 1;
        self.queue.insert((self.now.plus(after), self.events), event);
    }

    /// Lets the next thing happen, if it happens before `until`.
    fn step(&mut self, until: Millis) -> Result<bool, Broken> {
        Broken::unless(self.events < MAX_EVENTS, "a world comes to rest", || format!("{} events", self.events))?;
        let Some(entry) = self.queue.first_entry().filter(|entry| entry.key().0 <= until) else {
            self.now = until;
            return Ok(false);
        };
        self.now = entry.key().0;
        let event = entry.remove();
        self.happen(event)?;
        Ok(true)
    }

    fn happen(&mut self, event: Event) -> Held {
        match event {
            Event::Round(index, life) => self.round(index, life)?,
            Event::Wake(index, life) => {
                let due = self.devices.get(index).filter(|device| device.life == life);
                if due.is_some_and(|device| device.wake.is_some_and(|at| at <= self.now)) {
                    self.ask(index, Request::Tell(Input::Tick));
                }
            }
            Event::Arrive(mail) => self.arrive(mail)?,
            Event::Answer { device, ticket, reached, bytes, took } => {
                // A worker outlives an engine that was restored, but not its process; an answer to either may still come in.
                self.ask(device, Request::Tell(Input::Sent { ticket, reached, bytes, took }));
            }
            Event::Push(index) => self.push(index),
            Event::Crash(index) => self.crash(index)?,
            Event::Start(index) => self.start(index)?,
            Event::Lose(index) => self.lose(index)?,
            Event::Outage(relay) => self.turn(relay, false),
            Event::Back(relay) => self.turn(relay, true),
            Event::Join => self.join()?,
            Event::Garbage(index) => self.garbage(index),
            Event::Rename(index) => self.rename(index),
            Event::Remove(by, whom) => self.remove(by, whom)?,
            Event::Jump(index) => self.jump(index),
            Event::Fetch(index) => self.fetch(index),
            Event::Sleep(index) => self.sleep(index)?,
            Event::Image(index) => self.image(index)?,
            Event::PutBack(index) => self.put_back(index)?,
            Event::Way(way) => self.go(way),
            Event::Compact(index) => self.ask(index, Request::Compact),
            Event::Prune(index) => self.ask(index, Request::Prune),
            Event::Seek(index) => self.ask(index, Request::Seek),
            Event::Retain(index, prunes) => self.retain(index, prunes)?,
        }
        Ok(())
    }

    /// An envelope is seen at its device. Until it is acknowledged it comes again.
    fn arrive(&mut self, number: u64) -> Held {
        let Some(mail) = self.post.mail(number).cloned() else { return Ok(()) };
        match self.shows(number, &mail) {
            Some(true) => {}
            Some(false) => {
                self.queue_at(RETRY, Event::Arrive(number));
                return Ok(());
            }
            None => return Ok(()),
        }
        let swallowed = self.rules.sabotage == Some(Sabotage::BlackHole) && mail.to == 1;
        let Some(device) = self.devices.get(mail.to).filter(|device| !device.lost && !swallowed) else {
            // Not born yet, or never seen again.
            if mail.to >= self.devices.len() {
                self.queue_at(RETRY, Event::Arrive(number));
            }
            return Ok(());
        };
        if device.engine.is_some() && !device.looks_into(&mail) {
            self.post.set_aside(number, mail.to);
            return self.check_seed(&mail);
        }
        let reachable = device.engine.is_some() && self.post.is_up(mail.relay);
        if reachable {
            self.post.delivered(&mail, &mut self.tally);
            self.ask(mail.to, Request::Mail(number));
        }
        self.queue_at(if reachable { LEASE } else { RETRY }, Event::Arrive(number));
        Ok(())
    }

    fn turn(&mut self, relay: usize, up: bool) {
        let Some(relay) = self.post.relays.get_mut(relay) else { return };
        relay.up = up;
        self.tally.outages += u64::from(!up);
        let id = relay.id;
        self.say(|| format!("relay {id} is {}", if up { "back" } else { "away" }));
        for index in 0..self.devices.len() {
            self.ask(index, Request::Tell(Input::RelayHealth { relay: id, up }));
        }
    }

    /// Takes an envelope off the inbox.
    fn open(&self, number: u64) -> Option<Input> {
        let mail = self.post.mail(number)?;
        let delivery = Delivery { relay: mail.relay, ticket: number };
        Some(Input::Received { delivery, parcel: Box::new(Rc::clone(&mail.parcel).as_ref().clone()) })
    }

    fn say(&self, words: impl FnOnce() -> String) {
        if self.rules.trace {
            eprintln!("{:>9} {}", self.now.0, words());
        }
    }
}

/// Ten times the events of the busiest of 1,200 worlds.
const MAX_EVENTS: u64 = 200_000;
/// How long a relay waits for an acknowledgement before it delivers again: 10 s.
const LEASE: Millis = Millis(10_000);
/// How long until mail for a device or over a relay that is away is tried again: 2 s.
const RETRY: Millis = Millis(2_000);
