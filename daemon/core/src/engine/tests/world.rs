//! A few engines, their disks and the mail between them, in virtual time. Nothing is lost or delayed unless a test says so.

use std::collections::{BTreeMap, VecDeque};

use super::disk::Disk;
use bytes::Bytes;

use super::script::{addition, genesis, id, member, minting, note, source, verified};
use crate::contents::Contents;
use crate::engine::{Config, Engine};
use crate::epoch::Epoch;
use crate::ids::{Hash, Millis, Now, RelayId, Seq};
use crate::op::Op;
use crate::parcel::{Letter, RunBodies, VerifiedParcel};
use crate::prekey::{COMMON_SLOT, KeptPrekey};
use crate::roster::{Prekey, SignedRecord};
use crate::step::{CallId, Delivery, Input, Output, Push, Pushed, Refusal, Reply, Send, Status};

/// The relay every world starts with.
pub(super) const RELAY: RelayId = RelayId([0xA0; 16]);
/// A second one.
pub(super) const OTHER: RelayId = RelayId([0xB0; 16]);
/// Wall-clock time at monotonic zero.
pub(super) const EPOCH: u64 = 1_700_000_000_000;

/// The devices, numbered from 1; number 1 made the roster.
pub(super) struct World {
    pub(super) devices: BTreeMap<u8, Node>,
    pub(super) now: Millis,
    /// What lies on relays.
    pub(super) mail: VecDeque<Mail>,
    tickets: u64,
    /// Copies of devices that run beside them and read the same mail.
    pub(super) copies: BTreeMap<u8, u8>,
}

/// One device: an engine and what it wrote down.
pub(super) struct Node {
    pub(super) engine: Engine,
    pub(super) disk: Disk,
    pub(super) config: Config,
    pub(super) relays: Vec<RelayId>,
    /// All outputs ever, in order.
    pub(super) outputs: Vec<Output>,
    /// Whether puts are answered at once, refused, or left open.
    pub(super) puts: Puts,
    /// Parcels whose put is not answered.
    pub(super) open: Vec<Send>,
    /// By how many milliseconds its wall clock is ahead.
    pub(super) ahead: i64,
    wake_at: Option<Millis>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Puts {
    Answered,
    Refused,
    Open,
}

/// A parcel on a relay.
#[derive(Clone, Debug)]
pub(super) struct Mail {
    pub(super) from: u8,
    pub(super) to: u8,
    pub(super) relay: RelayId,
    /// The epoch in whose mailbox it lies.
    pub(super) under: Epoch,
    /// The slot of the prekey that it is sealed to.
    pub(super) slot: u32,
    pub(super) parcel: VerifiedParcel,
}

impl Mail {
    /// Positions of the bundles it brings of device `n`'s source.
    pub(super) fn seqs(&self, n: u8) -> Vec<u64> {
        let runs = self.parcel.runs.iter().flat_map(|run| &run.get().bundles);
        runs.filter(|bundle| bundle.dot.source == source(n)).map(|bundle| bundle.dot.seq.0).collect()
    }
}

impl Node {
    /// Writes down what is to be committed and answers what is asked.
    fn collect(&mut self, now: Now, outputs: &mut Vec<Output>) {
        while let Some(output) = self.engine.poll_output() {
            match &output {
                Output::Commit(change) => self.disk.write(change),
                Output::Look(look) => self.engine.handle(Input::Looked(self.disk.look(look.clone())), now),
                Output::Reply(..) | Output::Send(_) | Output::Acknowledge(_) => {}
            }
            outputs.push(output);
        }
    }
}

impl World {
    /// `count` devices that know each other.
    pub(super) fn of(count: u8) -> Self {
        let mut world = Self {
            devices: BTreeMap::new(),
            now: Millis(0),
            mail: VecDeque::new(),
            tickets: 0,
            copies: BTreeMap::new(),
        };
        let mut records = vec![genesis()];
        for n in 2..=count {
            let parent = records.last().map(SignedRecord::id).unwrap();
            records.push(addition(1, n, parent, u64::from(n)));
        }
        for n in 1..=count {
            world.start(n, &records);
        }
        world.drive(1_000);
        world
    }

    /// Two devices that know each other and share two relays.
    pub(super) fn with_two_relays() -> Self {
        let mut world = Self::of(2);
        for n in [1, 2] {
            world.node(n).relays.push(OTHER);
            world.input(n, Input::RelayAdded(OTHER));
        }
        world.drive(1_000);
        world
    }

    /// Starts device `n` with the records it got when it was paired.
    pub(super) fn start(&mut self, n: u8, records: &[SignedRecord]) {
        let disk = Disk::of(id(n), source(n), records.to_vec());
        self.boot(n, disk, Config { seed: u64::from(n), ..Config::default() }, vec![RELAY], 0);
    }

    fn boot(&mut self, n: u8, disk: Disk, config: Config, relays: Vec<RelayId>, ahead: i64) {
        let engine = Engine::restore(disk.saved(), config);
        let (outputs, open) = (Vec::new(), Vec::new());
        let node = Node { engine, disk, config, relays, outputs, puts: Puts::Answered, open, ahead, wake_at: None };
        self.devices.insert(n, node);
        for relay in self.devices[&n].relays.clone() {
            self.input(n, Input::RelayAdded(relay));
        }
    }

    /// Device `n` loses its memory and goes on from its disk.
    pub(super) fn restart(&mut self, n: u8) {
        let node = self.devices.remove(&n).unwrap();
        let mut entropy = node.config.entropy;
        entropy[0] += 1;
        let config = Config { seed: node.config.seed + 1_000, entropy, ..node.config };
        let ahead = node.ahead;
        self.boot(n, node.disk, config, node.relays, ahead);
    }

    /// A copy of device `n` runs beside it, as `copy`.
    pub(super) fn copy(&mut self, n: u8, copy: u8) {
        let node = &self.devices[&n];
        let (disk, relays) = (node.disk.clone(), node.relays.clone());
        let config = Config { seed: u64::from(copy), entropy: [copy; 16], ..node.config };
        self.copies.insert(copy, n);
        self.boot(copy, disk, config, relays, 0);
    }

    /// Device `n` is put back to an older image of its disk, and knows nothing of it.
    pub(super) fn put_back(&mut self, n: u8, image: Disk) {
        self.node(n).disk = image;
        self.restart(n);
    }

    pub(super) fn at(&self) -> Now {
        Now { mono: self.now, wall: Millis(EPOCH + self.now.0) }
    }

    /// The same as device `n` has it.
    pub(super) fn at_of(&self, n: u8) -> Now {
        let Now { mono, wall } = self.at();
        Now { mono, wall: Millis(wall.0.saturating_add_signed(self.devices[&n].ahead)) }
    }

    pub(super) fn node(&mut self, n: u8) -> &mut Node {
        self.devices.get_mut(&n).unwrap()
    }

    pub(super) fn status(&self, n: u8) -> Status {
        self.devices[&n].engine.status(self.at_of(n))
    }

    /// What device `n` holds of device `of`'s source.
    pub(super) fn held(&self, n: u8, of: u8) -> u64 {
        self.status(n).vector.seq(source(of)).0
    }

    /// Gives a device an input and performs what follows.
    pub(super) fn input(&mut self, n: u8, input: Input) -> Vec<Output> {
        self.inputs(n, vec![input])
    }

    /// The same for a group that is committed together.
    pub(super) fn inputs(&mut self, n: u8, inputs: Vec<Input>) -> Vec<Output> {
        let (now, count) = (self.at_of(n), inputs.len());
        let node = self.devices.get_mut(&n).unwrap();
        let mut outputs = Vec::new();
        for input in inputs {
            node.engine.handle(input, now);
            node.collect(now, &mut outputs);
        }
        assert!(count > 0);
        if let Some(number) = node.engine.wants_epoch(now) {
            let (record, epoch) = minting(n, number, node.engine.roster().heads(), now.wall);
            node.engine.handle(Input::Minted { record, epoch }, now);
            node.collect(now, &mut outputs);
        }
        if let Some(slot) = node.engine.wants_prekey(now) {
            let (prekey, kept) = (Prekey { slot, ..member(n).prekey }, Bytes::from_static(b"seed"));
            node.engine.handle(Input::Rekeyed(KeptPrekey { prekey, made: now.wall, kept }), now);
        }
        node.wake_at = node.engine.settle(now);
        node.collect(now, &mut outputs);
        node.outputs.extend(outputs.iter().cloned());
        for output in &outputs {
            if let Output::Send(send) = output {
                self.put(n, send);
            }
        }
        outputs
    }

    fn put(&mut self, n: u8, send: &Send) {
        match self.devices[&n].puts {
            Puts::Open => self.node(n).open.push(send.clone()),
            Puts::Answered => self.answer(n, send),
            Puts::Refused => {
                self.input(n, Input::Sent { ticket: send.ticket, reached: None, bytes: 1_000, took: Millis(5) });
            }
        }
    }

    /// Puts a parcel on its relay and says so.
    pub(super) fn answer(&mut self, n: u8, send: &Send) {
        let disk = &self.devices[&n].disk;
        let runs: Vec<RunBodies> = send.runs.iter().filter_map(|request| disk.run(request)).collect();
        let reached = runs.iter().map(|run| (run.source, Seq(run.first.0 + run.bodies.len() as u64 - 1))).collect();
        let told = send.evidence.and_then(|source| disk.evidence.iter().find(|((of, _), _)| *of == source));
        let evidence = told.map(|(_, (evidence, _))| evidence.clone()).into_iter().collect();
        let wanted = send.letter.contents.wanted.clone();
        let contents = Contents { wanted, ..disk.give(&send.contents) };
        let parcel = verified(&Letter { evidence, contents, ..send.letter.clone() }, &runs);
        self.mail.push_back(Mail {
            from: n,
            to: send.to.0[0],
            relay: send.relay,
            under: send.epoch,
            slot: send.prekey.slot,
            parcel,
        });
        self.input(n, Input::Sent { ticket: send.ticket, reached: Some(reached), bytes: 1_000, took: Millis(5) });
    }

    /// Takes the mail from one device to another off the relays: lost, unless the test delivers it.
    pub(super) fn intercept(&mut self, from: u8, to: u8) -> Vec<Mail> {
        let (taken, left) = self.mail.drain(..).partition(|mail| mail.from == from && mail.to == to);
        self.mail = left;
        Vec::from(taken as VecDeque<Mail>)
    }

    /// Hands a parcel over. One that says nothing of the roster agrees about it.
    pub(super) fn deliver(&mut self, mail: &Mail) -> Vec<Output> {
        self.tickets += 1;
        let delivery = Delivery { relay: mail.relay, ticket: self.tickets };
        let mut parcel = Box::new(mail.parcel.clone());
        if parcel.letter.roster_hash == Hash::default() {
            let roster = self.devices[&mail.to].engine.roster();
            parcel.letter.roster_hash = roster.hash();
            parcel.letter.receipt.term = u32::try_from(roster.len()).unwrap();
        }
        self.input(mail.to, Input::Received { delivery, parcel })
    }

    /// Delivers everything that lies on relays until nothing does. Mail for a device that is not there, or does not look there, stays.
    pub(super) fn deliver_all(&mut self) {
        for _ in 0..10_000 {
            let next = self.mail.iter().position(|mail| !self.lookers(mail).is_empty());
            let Some(mail) = next.and_then(|at| self.mail.remove(at)) else { return };
            for to in self.lookers(&mail) {
                self.deliver(&Mail { to, ..mail.clone() });
            }
        }
        panic!("the mail never ends");
    }

    /// Which copies of the recipient look where this lies.
    fn lookers(&self, mail: &Mail) -> Vec<u8> {
        let copy = self.copies.iter().find(|(_, of)| **of == mail.to).map(|(copy, _)| *copy);
        let looks = |to: &u8| {
            self.devices.get(to).is_some_and(|node| {
                let engine = &node.engine;
                engine.polled(self.at_of(*to)).contains(&mail.under)
                    && (mail.slot == COMMON_SLOT || engine.slots().any(|slot| slot == mail.slot))
            })
        };
        copy.into_iter().chain([mail.to]).filter(looks).collect()
    }

    /// Lets `millis` pass with perfect relays.
    pub(super) fn drive(&mut self, millis: u64) {
        let until = self.now.plus(Millis(millis));
        self.deliver_all();
        while let Some(at) = self.next_wake().filter(|at| *at <= until) {
            self.wake(at);
            self.deliver_all();
        }
        self.now = until;
    }

    /// Lets `millis` pass without any mail arriving.
    pub(super) fn pass(&mut self, millis: u64) {
        let until = self.now.plus(Millis(millis));
        while let Some(at) = self.next_wake().filter(|at| *at <= until) {
            self.wake(at);
        }
        self.now = until;
    }

    fn next_wake(&self) -> Option<Millis> {
        self.devices.values().filter_map(|node| node.wake_at).min()
    }

    fn wake(&mut self, at: Millis) {
        self.now = self.now.max(at);
        let due: Vec<u8> = self
            .devices
            .iter()
            .filter(|(_, node)| node.wake_at.is_some_and(|due| due <= at))
            .map(|(n, _)| *n)
            .collect();
        for n in due {
            self.input(n, Input::Tick);
            let next = self.devices[&n].wake_at;
            assert!(next.is_none_or(|next| next > self.now), "device {n} wants to be woken at {next:?}, it is {at:?}");
        }
    }

    /// Pushes ops of which the store knows nothing yet.
    pub(super) fn push(&mut self, n: u8, ops: Vec<Op>) -> Result<Pushed, Refusal> {
        self.push_with(
            n,
            Push { call: CallId(7), ops, app: None, facts: Vec::new(), app_fact: None, bases: Default::default() },
        )
    }

    pub(super) fn push_with(&mut self, n: u8, push: Push) -> Result<Pushed, Refusal> {
        let outputs = self.input(n, Input::Push(push));
        let mut replies = outputs.into_iter().filter_map(|output| match output {
            Output::Reply(CallId(7), Reply::Pushed(pushed)) => Some(Ok(pushed)),
            Output::Reply(CallId(7), Reply::Refused(refusal)) => Some(Err(refusal)),
            Output::Reply(..) | Output::Commit(_) | Output::Send(_) | Output::Acknowledge(_) | Output::Look(_) => None,
        });
        replies.next().unwrap()
    }

    /// Pushes `count` bundles of one note each.
    pub(super) fn write(&mut self, n: u8, count: u64) {
        for _ in 0..count {
            self.push(n, vec![note("n")]).unwrap();
        }
    }

    /// Device `n` fetches all that lies on a relay for it.
    pub(super) fn fetch(&mut self, n: u8, relay: RelayId) {
        self.deliver_all();
        self.input(n, Input::Fetched { relay, took: Millis(0) });
    }

    /// How many parcels device `n` sent so far.
    pub(super) fn sends(&self, n: u8) -> usize {
        self.devices[&n].outputs.iter().filter(|output| matches!(output, Output::Send(_))).count()
    }
}
