//! Compaction waits for every live sibling's receipt, and a sibling below the watermark is told so.

use std::collections::BTreeMap;

use super::disk::FIRST_EPOCH;
use super::script::*;
use super::world::*;
use crate::ids::{Dot, Hash, Millis, Seq};
use crate::op::OP_LEVEL;
use crate::parcel::{Ended, Letter, Receipt, Want};
use crate::roster::Verified;
use crate::step::{CallId, Change, Input, Output, Reply};
use crate::vector::{Head, VersionVector};

/// Ninety-one days.
const AWAY: u64 = 91 * 24 * 3_600_000;

impl World {
    /// The hashes that the log of device `n` has at the places its engine asks for.
    fn chain(&self, n: u8) -> BTreeMap<Dot, Hash> {
        let node = &self.devices[&n];
        let places = node.engine.compaction_places(self.at());
        let log = node.disk.log.iter().map(|append| (append.bundle.dot, append.bundle.hash));
        log.filter(|(dot, _)| places.contains(dot)).collect()
    }

    /// Compacts; how far each device's source moved.
    pub(super) fn compact(&mut self, n: u8) -> BTreeMap<u8, u64> {
        let chain = self.chain(n);
        let outputs = self.input(n, Input::Compact { call: CallId(9), chain });
        let watermark = outputs.iter().find_map(|output| match output {
            Output::Reply(CallId(9), Reply::Compacted(compaction)) => Some(compaction.watermark.clone()),
            Output::Commit(_) | Output::Reply(..) | Output::Send(_) | Output::Acknowledge(_) | Output::Look(_) => None,
        });
        watermark.unwrap().iter().map(|(source, head)| (source.0[0] - 0x50, head.seq.0)).collect()
    }

    /// How many roster records device 1 holds.
    fn term(&self) -> u32 {
        u32::try_from(self.devices[&1].disk.records.len()).unwrap()
    }

    /// A letter from device `from` to device 1 that says what it holds of sources 1 to 3.
    fn says(&mut self, from: u8, held: [u64; 3]) {
        let heads = (1..).zip(held).filter(|(_, seq)| *seq > 0).map(|(n, seq)| {
            let log = &self.devices[&1].disk.log;
            let hash = log.iter().find(|append| append.bundle.dot == dot(n, seq)).map(|append| append.bundle.hash);
            (source(n), Head { seq: Seq(seq), hash: hash.unwrap_or_default() })
        });
        let receipt = Receipt { generation: 1, term: self.term(), trials: 0, vector: heads.collect() };
        let letter = Letter { receipt, ..Letter::bare(id(from), self.at().wall) };
        self.deliver(&Mail { from, to: 1, relay: RELAY, under: FIRST_EPOCH, slot: 1, parcel: verified(&letter, &[]) });
    }
}

/// Device 1 with five bundles of its own and nobody who has receipted any.
fn five(count: u8) -> World {
    let mut world = World::of(count);
    world.write(1, 5);
    world.mail.clear();
    world
}

#[test]
fn the_watermark_is_what_every_live_sibling_has_receipted() {
    let mut world = five(3);
    assert_eq!(world.compact(1), BTreeMap::new());
    world.says(2, [5, 0, 0]);
    assert_eq!(world.compact(1), BTreeMap::new(), "device 3 has said nothing");
    world.says(3, [2, 0, 0]);
    assert_eq!(world.compact(1), BTreeMap::from([(1, 2)]));
    assert_eq!(world.compact(1), BTreeMap::new(), "it moved already");
    world.says(3, [4, 0, 0]);
    assert_eq!(world.compact(1), BTreeMap::from([(1, 4)]));
}

#[test]
fn a_device_alone_compacts_all_it_holds() {
    let mut world = five(1);
    assert_eq!(world.compact(1), BTreeMap::from([(1, 5)]));
}

#[test]
fn a_receipt_of_another_chain_holds_its_source_back() {
    let mut world = five(2);
    let forked = VersionVector::from_iter([(source(1), Head { seq: Seq(3), hash: Hash([9; 32]) })]);
    let receipt = Receipt { generation: 1, term: world.term(), trials: 0, vector: forked };
    let letter = Letter { receipt, ..Letter::bare(id(2), Millis(EPOCH)) };
    world.deliver(&Mail { from: 2, to: 1, relay: RELAY, under: FIRST_EPOCH, slot: 1, parcel: verified(&letter, &[]) });
    assert_eq!(world.compact(1), BTreeMap::new());
}

#[test]
fn a_receipt_beyond_what_is_held_here_waits_until_that_has_come() {
    let mut world = World::of(3);
    let bundles = chain(3, vec![body(0), body(1)]);
    world.deliver(&mail_of(3, &[run_of(3, &bundles[..1])]));
    let term = world.term();
    let receipt = |upto: usize| Receipt {
        generation: 1,
        term,
        trials: 0,
        vector: VersionVector::from_iter([(source(3), bundles[upto - 1].head())]),
    };
    for from in [2, 3] {
        let letter = Letter { receipt: receipt(2), ..Letter::bare(id(from), Millis(EPOCH)) };
        world.deliver(&Mail { from, to: 1, relay: RELAY, under: FIRST_EPOCH, slot: 1, parcel: verified(&letter, &[]) });
    }
    assert_eq!(world.compact(1), BTreeMap::new());
    world.deliver(&mail_of(3, &[run_of(3, &bundles[1..])]));
    assert_eq!(world.compact(1), BTreeMap::from([(3, 2)]));
}

#[test]
fn receipts_that_were_not_written_down_are_written_with_the_watermark() {
    let mut world = five(2);
    world.says(2, [5, 0, 0]);
    let chain = world.chain(1);
    let outputs = world.input(1, Input::Compact { call: CallId(9), chain });
    let commits: Vec<&Change> = outputs
        .iter()
        .filter_map(|output| match output {
            Output::Commit(change) => Some(change),
            Output::Reply(..) | Output::Send(_) | Output::Acknowledge(_) | Output::Look(_) => None,
        })
        .collect();
    let saved = commits.iter().position(|change| matches!(change, Change::Sibling(saved) if saved.device == id(2)));
    let compacted = commits.iter().position(|change| matches!(change, Change::Compact(_)));
    assert!(saved.is_some() && saved < compacted, "{commits:?}");
}

#[test]
fn a_stale_sibling_is_not_waited_for_once_a_letter_confirms_the_clock() {
    let mut world = five(3);
    world.says(2, [5, 0, 0]);
    world.pass(AWAY);
    world.restart(1);
    world.mail.clear();
    assert_eq!(world.compact(1), BTreeMap::new(), "nobody has confirmed that so much time has passed");
    world.says(2, [5, 0, 0]);
    assert_eq!(world.compact(1), BTreeMap::from([(1, 5)]));
}

#[test]
fn a_clock_that_jumped_makes_nobody_stale_for_compaction() {
    let mut world = five(3);
    world.says(2, [5, 0, 0]);
    let now = crate::ids::Now { mono: world.now, wall: Millis(EPOCH + AWAY) };
    let chain = world.chain(1);
    assert!(world.node(1).engine.compactable(&chain, now).watermark.is_empty());
}

#[test]
fn a_letter_that_lay_on_a_relay_for_a_day_confirms_no_clock() {
    let mut world = five(3);
    world.pass(AWAY);
    world.restart(1);
    world.mail.clear();
    let hash = world.node(1).disk.log.last().unwrap().bundle.hash;
    let vector = VersionVector::from_iter([(source(1), Head { seq: Seq(5), hash })]);
    let written = Millis(world.at().wall.0 - 24 * 3_600_000);
    let letter = Letter {
        receipt: Receipt { generation: 1, term: world.term(), trials: 0, vector },
        ..Letter::bare(id(2), written)
    };
    world.deliver(&Mail { from: 2, to: 1, relay: RELAY, under: FIRST_EPOCH, slot: 1, parcel: verified(&letter, &[]) });
    assert_eq!(world.compact(1), BTreeMap::new());
}

#[test]
fn who_lies_below_the_watermark_gets_no_runs_and_is_told_so() {
    let mut world = five(2);
    world.says(2, [5, 0, 0]);
    world.compact(1);
    world.mail.clear();
    // It comes back from an old copy of its disk, as a fresh source.
    let letter = Letter {
        receipt: Receipt { generation: 2, term: world.term(), trials: 0, vector: vector(&[]) },
        ..Letter::bare(id(2), world.at().wall)
    };
    world.deliver(&Mail { from: 2, to: 1, relay: RELAY, under: FIRST_EPOCH, slot: 1, parcel: verified(&letter, &[]) });
    world.pass(1_000);
    let mail = world.intercept(1, 2);
    assert!(mail.iter().all(|mail| mail.seqs(1).is_empty()));
    let told = mail.iter().find(|mail| !mail.parcel.letter.hydration.watermark.is_empty()).unwrap();
    assert_eq!(told.parcel.letter.hydration.watermark.seq(source(1)), Seq(5));
    assert!(told.parcel.letter.receipt_requested, "others may have brought it on meanwhile");
}

/// Device 1 has compacted five bundles of device 3; then device 2, which went back to two of them, removes it.
fn a_removal_below_the_watermark() -> World {
    let mut world = World::of(3);
    world.write(3, 2);
    world.drive(20_000);
    let early = world.node(2).disk.clone();
    world.write(3, 3);
    world.drive(60_000);
    assert_eq!(world.compact(1), BTreeMap::from([(3, 5)]));
    world.node(2).disk = early;
    world.restart(2);
    world.mail.clear();
    let record = removal(2, 3, world.node(2).engine.roster().heads(), 90_000, Some((source(3), head_of(&world, 2))));
    world.input(2, Input::Record { call: CallId(1), record: Verified::vouch(record) });
    world
}

fn head_of(world: &World, seq: u64) -> Head {
    let log = &world.devices[&1].disk.log;
    log.iter().find(|append| append.bundle.dot == dot(3, seq)).map(|append| append.bundle.head()).unwrap()
}

#[test]
fn what_was_compacted_stands_whatever_a_removal_says_that_comes_later() {
    let mut world = a_removal_below_the_watermark();
    world.drive(60_000);
    assert_eq!((world.held(1, 3), world.node(1).disk.cut.len()), (5, 0), "it cannot be taken back");
    assert_eq!(world.node(2).disk.standing.seq(source(3)), Seq(5), "the remover hears of it");
    assert_eq!(world.status(2).hydrating.map(|state| state.from), Some(id(1)), "and fetches what stands");
    world.restart(1);
    assert_eq!(world.held(1, 3), 5, "it is remembered");
}

#[test]
fn what_stands_is_not_believed_of_who_does_not_hold_it() {
    let mut world = a_removal_below_the_watermark();
    let claim = Ended { source: source(3), device: id(3), stands: Head { seq: Seq(9), hash: Hash([9; 32]) } };
    let receipt = Receipt { generation: 1, term: world.term(), trials: 0, vector: vector(&[(3, 8)]) };
    let letter = Letter { ended: vec![claim], receipt, ..Letter::bare(id(1), world.at().wall) };
    world.deliver(&Mail { from: 1, to: 2, relay: RELAY, under: FIRST_EPOCH, slot: 1, parcel: verified(&letter, &[]) });
    assert_eq!(world.node(2).disk.standing.seq(source(3)), Seq(0));
}

#[test]
fn receipts_that_were_given_under_another_roster_hold_everything_back() {
    let mut world = five(2);
    world.says(2, [5, 0, 0]);
    let (heads, stamp) = (world.node(1).engine.roster().heads(), 60_000);
    let record = bulky(1, heads.into_iter().next().unwrap(), stamp);
    world.input(1, Input::Record { call: CallId(1), record: Verified::vouch(record) });
    assert_eq!(world.compact(1), BTreeMap::new());
    world.says(2, [5, 0, 0]);
    assert_eq!(world.compact(1), BTreeMap::from([(1, 5)]));
}

#[test]
fn a_question_from_below_the_watermark_is_answered_with_the_watermark() {
    let mut world = five(3);
    world.says(2, [5, 0, 0]);
    world.says(3, [5, 0, 0]);
    world.compact(1);
    world.mail.clear();
    let want = Want { source: source(1), after: Seq(2), upto: Seq(5), exact: false };
    let receipt = Receipt { generation: 2, term: world.term(), trials: 0, vector: vector(&[(1, 2)]) };
    let letter = Letter { wants: vec![want], receipt, ..Letter::bare(id(3), world.at().wall) };
    world.deliver(&Mail { from: 3, to: 1, relay: RELAY, under: FIRST_EPOCH, slot: 1, parcel: verified(&letter, &[]) });
    let mail = world.intercept(1, 3);
    assert_eq!(mail[0].parcel.letter.hydration.watermark.seq(source(1)), Seq(5));
    assert!(mail[0].seqs(1).is_empty());
}

#[test]
fn hashes_are_asked_for_where_receipts_and_the_own_source_stand_and_nowhere_else() {
    for (receipted, places) in [(0, vec![5]), (3, vec![3, 5]), (5, vec![5]), (9, vec![5])] {
        let mut world = five(2);
        world.says(2, [receipted, 0, 0]);
        let asked = world.devices[&1].engine.compaction_places(world.at());
        assert_eq!(asked, places.into_iter().map(|seq| dot(1, seq)).collect::<Vec<_>>(), "{receipted} are receipted");
    }
}

#[test]
fn what_everybody_understands_is_what_the_least_of_those_who_said_it_does() {
    let mut world = five(3);
    for (levels, least) in [([0, 0], OP_LEVEL), ([0, 1], 1), ([2, 1], 1), ([OP_LEVEL + 1, 0], OP_LEVEL)] {
        for (n, level) in [2, 3].into_iter().zip(levels) {
            world.node(1).engine.siblings.get_mut(&id(n)).unwrap().op_level = level;
        }
        let compaction = world.devices[&1].engine.compactable(&BTreeMap::new(), world.at());
        assert_eq!(compaction.op_level, least, "{levels:?}");
    }
}

#[test]
fn an_engine_that_took_something_back_compacts_nothing_until_it_is_restored() {
    let mut world = five(2);
    world.says(2, [5, 0, 0]);
    world.node(1).engine.cut.insert(source(9));
    assert_eq!(world.compact(1), BTreeMap::new());
    world.node(1).engine.cut.clear();
    assert_eq!(world.compact(1), BTreeMap::from([(1, 5)]));
}
