//! What is a conflict and what is none, on two engines with real databases beside the model.

use kinfolk_core::engine::{Config, Engine};
use kinfolk_core::ids::{Millis, Now, RelayId, Seq};
use kinfolk_core::op::Op;
use kinfolk_core::parcel::{Parcel, RUN_TARGET, VerifiedParcel, encode};
use kinfolk_core::roster::Verified;
use kinfolk_core::step::{CallId, Delivery, Input, Output, Push, Reply, Send};
use kinfolk_core::value::Value;

use crate::sim::disk::Disk;
use crate::sim::model::Shown;
use crate::sim::people::{self, EPOCH, birth, founding, genesis};

const RELAY: RelayId = RelayId([0xA0; 16]);

struct Pair {
    nodes: Vec<(Engine, Disk)>,
    /// Parcels under way, to whom.
    mail: Vec<(usize, VerifiedParcel)>,
    now: u64,
}

impl Pair {
    fn new() -> Self {
        let records = vec![genesis(), founding(0, 1, &genesis())];
        let mut pair = Self { nodes: Vec::new(), mail: Vec::new(), now: 0 };
        for index in 0..2 {
            let disk = Disk::new(birth(index, records.clone()), true, None).unwrap();
            let config = Config { seed: index as u64, ..Config::default() };
            pair.nodes.push((Engine::restore(disk.restore().unwrap(), config), disk));
            pair.input(index, Input::RelayAdded(RELAY));
        }
        pair.exchange();
        pair
    }

    fn put(&mut self, index: usize, field: &str, value: &str) {
        self.push(index, Op::record_put("notes", "a", vec![(field.into(), Some(Value::text(value)))]));
    }

    fn push(&mut self, index: usize, op: Op) {
        let ops = vec![op];
        let (facts, app_fact) = self.nodes[index].1.facts(&ops, None).unwrap();
        self.input(index, Input::Push(Push { call: CallId(1), ops, app: None, facts, app_fact }));
    }

    fn input(&mut self, index: usize, input: Input) {
        self.now += 1;
        let now = Now { mono: Millis(self.now), wall: EPOCH.plus(Millis(self.now)) };
        let (engine, disk) = &mut self.nodes[index];
        engine.handle(input, now);
        engine.settle(now);
        let outputs: Vec<Output> = std::iter::from_fn(|| engine.poll_output()).collect();
        for output in &outputs {
            if let Output::Commit(change) = output {
                disk.apply(change).unwrap();
            }
        }
        disk.commit().unwrap();
        for output in outputs {
            match output {
                Output::Send(send) => self.send(index, &send),
                Output::Reply(_, reply) => assert!(matches!(reply, Reply::Pushed(_)), "{reply:?}"),
                Output::Commit(_) | Output::Acknowledge(_) => {}
            }
        }
    }

    fn send(&mut self, index: usize, send: &Send) {
        let runs: Vec<_> =
            send.runs.iter().filter_map(|run| self.nodes[index].1.run(run, RUN_TARGET).unwrap()).collect();
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
        let parcel = VerifiedParcel { letter: parcel.letter, records, runs, rejected: 0 };
        self.mail.push((people::index_of(send.to).unwrap(), parcel));
        self.input(index, Input::Sent { ticket: send.ticket, reached: Some(reached), took: Millis(1) });
    }

    /// Delivers all mail, and what it brings forth.
    fn exchange(&mut self) {
        while !self.mail.is_empty() {
            let (to, parcel) = self.mail.remove(0);
            let delivery = Delivery { relay: RELAY, ticket: 1 };
            self.input(to, Input::Received { delivery, parcel: Box::new(parcel) });
        }
    }

    /// What both show, once they are equal.
    fn shown(&mut self) -> Shown {
        self.exchange();
        assert_eq!(self.nodes[0].1.model().vector(), self.nodes[1].1.model().vector());
        let [first, second] = [0, 1].map(|index| self.nodes[index].1.digest());
        assert_eq!(first, second);
        let shown = self.nodes[0].1.shown();
        assert_eq!(self.nodes[1].1.shown(), shown);
        shown
    }
}

#[test]
fn edits_one_after_the_other_on_different_devices_are_no_conflict() {
    let mut pair = Pair::new();
    for round in 0..5 {
        pair.put(0, "title", &format!("first {round}"));
        pair.exchange();
        pair.put(1, "title", &format!("second {round}"));
        pair.exchange();
    }
    let shown = pair.shown();
    assert_eq!(shown.conflicts, 0);
    let record = &shown.records[&("notes".to_owned(), "a".to_owned())];
    assert_eq!(record.fields["title"], Value::text("second 4").to_bytes());
}

#[test]
fn edits_at_the_same_time_that_differ_are_exactly_one_conflict() {
    let mut pair = Pair::new();
    pair.put(0, "title", "before");
    pair.exchange();
    pair.put(0, "title", "one");
    pair.put(1, "title", "other");
    let shown = pair.shown();
    assert_eq!(shown.conflicts, 1);
    assert_eq!(shown.records[&("notes".to_owned(), "a".to_owned())].conflicts, ["title"]);
    pair.put(1, "title", "settled");
    assert_eq!(pair.shown().conflicts, 0);
}

#[test]
fn edits_at_the_same_time_that_agree_or_touch_different_fields_are_none() {
    let mut pair = Pair::new();
    pair.put(0, "title", "same");
    pair.put(1, "title", "same");
    assert_eq!(pair.shown().conflicts, 0);
    pair.put(0, "title", "one");
    pair.put(1, "color", "red");
    let shown = pair.shown();
    assert_eq!(shown.conflicts, 0);
    assert_eq!(shown.records[&("notes".to_owned(), "a".to_owned())].fields.len(), 2);
}

#[test]
fn an_edit_at_the_same_time_as_a_deletion_is_a_conflict() {
    let mut pair = Pair::new();
    pair.put(0, "title", "before");
    pair.exchange();
    pair.push(0, Op::record_delete("notes", "a"));
    pair.put(1, "title", "after");
    assert_eq!(pair.shown().conflicts, 1);
}

#[test]
fn a_record_put_again_after_its_deletion_shows_only_what_was_put() {
    let mut pair = Pair::new();
    pair.put(0, "title", "before");
    pair.exchange();
    pair.push(1, Op::record_delete("notes", "a"));
    pair.exchange();
    pair.put(0, "color", "red");
    let shown = pair.shown();
    let record = &shown.records[&("notes".to_owned(), "a".to_owned())];
    assert_eq!(record.fields.keys().collect::<Vec<_>>(), ["color"]);
    assert_eq!(shown.conflicts, 0);
}
