//! A few engines with their disks, and between them mail that comes when a test says so.

use kinfolk_core::engine::{Config, Engine};
use kinfolk_core::ids::{Millis, Now, RelayId, Seq};
use kinfolk_core::op::Op;
use kinfolk_core::parcel::{Parcel, RUN_TARGET, VerifiedParcel, encode};
use kinfolk_core::roster::Verified;
use kinfolk_core::step::{CallId, Delivery, Input, Output, Push, Pushed, Reply, Send};

use crate::sim::disk::Disk;
use crate::sim::model::Shown;
use crate::sim::people::{self, EPOCH, birth, founding, genesis};
use crate::sim::sabotage::Sabotage;

const RELAY: RelayId = RelayId([0xA0; 16]);

pub(super) struct Group {
    nodes: Vec<Node>,
    mail: Vec<Mail>,
    now: u64,
}

struct Node {
    engine: Engine,
    disk: Disk,
    wake: Option<Millis>,
}

/// A parcel under way, to whom.
#[derive(Clone)]
struct Mail {
    to: usize,
    parcel: VerifiedParcel,
}

impl Group {
    /// Devices that have heard of each other; `real` gives them databases beside the model.
    pub(super) fn of(count: usize, real: bool) -> Self {
        Self::start(count, real, None)
    }

    /// Devices whose stores break a rule.
    pub(super) fn broken(count: usize, sabotage: Sabotage) -> Self {
        Self::start(count, false, Some(sabotage))
    }

    fn start(count: usize, real: bool, sabotage: Option<Sabotage>) -> Self {
        let mut records = vec![genesis()];
        for newcomer in 1..count {
            records.push(founding(0, newcomer, records.last().unwrap()));
        }
        let mut group = Self { nodes: Vec::new(), mail: Vec::new(), now: 0 };
        for index in 0..count {
            let disk = Disk::new(birth(index, records.clone()), real, sabotage).unwrap();
            let config = Config { seed: index as u64, ..Config::default() };
            let engine = Engine::restore(disk.restore().unwrap(), config);
            group.nodes.push(Node { engine, disk, wake: None });
            group.input(index, Input::RelayAdded(RELAY));
        }
        group.exchange();
        group
    }

    pub(super) fn disk(&self, index: usize) -> &Disk {
        &self.nodes[index].disk
    }

    pub(super) fn push(&mut self, index: usize, op: Op) -> Pushed {
        let ops = vec![op];
        let (facts, app_fact) = self.nodes[index].disk.facts(&ops, None).unwrap();
        let push = Push { call: CallId(1), ops, app: None, facts, app_fact, bases: Default::default() };
        let replies = self.input(index, Input::Push(push));
        let [Reply::Pushed(pushed)] = replies.as_slice() else { panic!("{replies:?}") };
        pushed.clone()
    }

    /// How much mail is under way.
    pub(super) fn under_way(&self) -> usize {
        self.mail.len()
    }

    /// Delivers a piece of mail; says to whom.
    pub(super) fn deliver(&mut self, at: usize) -> usize {
        let Mail { to, parcel } = self.mail.remove(at);
        let delivery = Delivery { relay: RELAY, ticket: 1 };
        self.input(to, Input::Received { delivery, parcel: Box::new(parcel) });
        to
    }

    /// A relay keeps a second copy.
    pub(super) fn repeat(&mut self, at: usize) {
        self.mail.push(self.mail[at].clone());
    }

    pub(super) fn lose(&mut self, at: usize) {
        self.mail.remove(at);
    }

    /// Delivers all mail, and what it brings forth.
    pub(super) fn exchange(&mut self) {
        while self.under_way() > 0 {
            self.deliver(0);
        }
    }

    /// Time passes until somebody has something to do.
    pub(super) fn pass(&mut self) {
        let Some(at) = self.nodes.iter().filter_map(|node| node.wake).min() else { return };
        self.now = self.now.max(at.0);
        let due = (0..self.nodes.len()).filter(|index| self.nodes[*index].wake == Some(at));
        due.collect::<Vec<_>>().into_iter().for_each(|index| drop(self.input(index, Input::Tick)));
    }

    /// Nothing is lost any more, and time passes until all hold the same.
    pub(super) fn come_to_rest(&mut self) {
        for _ in 0..1_000 {
            self.exchange();
            let vector = self.nodes[0].disk.model().vector();
            if self.nodes.iter().all(|node| node.disk.model().vector() == vector) {
                return;
            }
            self.pass();
        }
        panic!("the devices do not become equal");
    }

    /// What all show, once they are equal.
    pub(super) fn shown(&mut self) -> Shown {
        self.exchange();
        let (vector, shown) = (self.nodes[0].disk.model().vector(), self.nodes[0].disk.shown());
        let digest = self.nodes[0].disk.digest();
        for node in &mut self.nodes {
            assert_eq!(node.disk.model().vector(), vector);
            assert_eq!(node.disk.digest(), digest);
            assert_eq!(node.disk.shown(), shown);
        }
        shown
    }

    fn input(&mut self, index: usize, input: Input) -> Vec<Reply> {
        self.now += 1;
        let now = Now { mono: Millis(self.now), wall: EPOCH.plus(Millis(self.now)) };
        let Node { engine, disk, wake } = &mut self.nodes[index];
        engine.handle(input, now);
        *wake = engine.settle(now);
        let outputs: Vec<Output> = std::iter::from_fn(|| engine.poll_output()).collect();
        for output in &outputs {
            if let Output::Commit(change) = output {
                disk.apply(change).unwrap();
            }
        }
        disk.commit().unwrap();
        let mut replies = Vec::new();
        for output in outputs {
            match output {
                Output::Send(send) => self.send(index, &send),
                Output::Reply(_, reply) => replies.push(reply),
                Output::Commit(_) | Output::Acknowledge(_) | Output::Look(_) => {}
            }
        }
        replies
    }

    fn send(&mut self, index: usize, send: &Send) {
        let disk = &self.nodes[index].disk;
        let runs: Vec<_> = send.runs.iter().filter_map(|run| disk.run(run, RUN_TARGET).unwrap()).collect();
        let reached = runs.iter().map(|run| (run.source, Seq(run.first.0 + run.bodies.len() as u64 - 1))).collect();
        let runs: Vec<_> = runs
            .into_iter()
            .map(|mut run| {
                run.signature = vec![9; 64].into();
                run
            })
            .collect();
        let parcel = Parcel::decode(&encode(&send.letter, &runs).unwrap()).unwrap();
        let records = parcel.letter.records.iter().cloned().map(Verified::vouch).collect();
        let runs = parcel.runs.into_iter().map(Verified::vouch).collect();
        let parcel = VerifiedParcel { records, runs, ..VerifiedParcel::bare(parcel.letter) };
        self.mail.push(Mail { to: people::index_of(send.to).unwrap(), parcel });
        self.input(index, Input::Sent { ticket: send.ticket, reached: Some(reached), bytes: 1_000, took: Millis(1) });
    }
}
