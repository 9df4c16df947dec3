//! Contents go only while a sibling keeps them, and who gave its word keeps it.

use super::disk::FIRST_EPOCH;
use super::removals;
use super::script::*;
use super::world::*;
use crate::bodies::Bodies;
use crate::ids::{DeviceId, Millis, Seq};
use crate::op::{KIND_MESSAGE_STUB, OP_LEVEL};
use crate::parcel::{Letter, Receipt};
use crate::step::{CallId, Hindrance, Input, Output, Pruning, Reply};

impl World {
    fn try_prune(&mut self, n: u8, dry_run: bool) -> Result<Pruning, Hindrance> {
        let outputs = self.input(n, Input::Prune { call: CallId(9), before_us: 7, dry_run });
        let answer = outputs.into_iter().find_map(|output| match output {
            Output::Reply(CallId(9), Reply::Pruned(answer)) => Some(answer),
            Output::Commit(_) | Output::Reply(..) | Output::Send(_) | Output::Acknowledge(_) | Output::Look(_) => None,
        });
        answer.unwrap()
    }

    fn prune(&mut self, n: u8) -> Result<Pruning, Hindrance> {
        self.try_prune(n, false)
    }

    fn lets_go(&mut self, n: u8) {
        self.node(n).disk.prunes = true;
        self.input(n, Input::Prunes(true));
    }

    fn lacks(&mut self, n: u8, count: u64) {
        self.node(n).disk.lacking = count;
        self.input(n, Input::Lacking(count));
    }

    fn keeps_for(&self, n: u8) -> Vec<DeviceId> {
        self.status(n).keeps_for
    }

    fn kept_by(&self, n: u8) -> Vec<DeviceId> {
        self.status(n).kept_by
    }

    /// All compact what all have.
    fn settle_and_compact(&mut self) {
        // Long enough for everybody to know what everybody holds.
        self.drive(300_000);
        for n in self.devices.keys().copied().collect::<Vec<_>>() {
            self.compact(n);
        }
    }
}

/// Three devices with bundles of device 1, compacted everywhere.
fn three() -> World {
    let mut world = World::of(3);
    world.write(1, 4);
    world.settle_and_compact();
    world
}

fn needed(by: &[u8]) -> Result<Pruning, Hindrance> {
    Err(Hindrance::Needed(by.iter().map(|n| id(*n)).collect()))
}

#[test]
fn nothing_is_said_of_contents_until_somebody_wants_to_let_go() {
    let world = three();
    let said = world.devices.values().flat_map(|node| &node.outputs).filter_map(|output| match output {
        Output::Send(send) => Some(send.letter.bodies.clone()),
        Output::Commit(_) | Output::Reply(..) | Output::Acknowledge(_) | Output::Look(_) => None,
    });
    assert!(said.into_iter().all(|bodies| bodies == Bodies::default()));
}

#[test]
fn a_content_goes_once_a_sibling_has_given_its_word_and_it_keeps_all_then() {
    let mut world = three();
    assert_eq!(world.prune(3), Err(Hindrance::NoKeeper));
    assert_eq!(world.kept_by(3), []);
    world.drive(1_000);
    assert_eq!(world.kept_by(3), [id(1), id(2)], "they were asked with that, and answered");
    let pruning = world.prune(3).unwrap();
    assert_eq!((pruning.before_us, pruning.upto), (7, [(source(1), Seq(4))].into()));
    assert_eq!(world.node(3).disk.prunings.len(), 1);
    world.lacks(3, 1);
    world.drive(60_000);
    assert_eq!((world.prune(1), world.prune(2)), (needed(&[3]), needed(&[3])));
}

#[test]
fn asking_what_would_go_lets_nothing_go() {
    let mut world = three();
    world.lets_go(3);
    world.drive(1_000);
    assert!(world.try_prune(3, true).is_ok());
    assert_eq!(world.node(3).disk.prunings.len(), 0);
}

#[test]
fn only_what_is_compacted_here_and_held_by_the_keeper_goes() {
    let mut world = three();
    world.lets_go(3);
    world.write(1, 2);
    world.drive(300_000);
    assert_eq!(world.prune(3).unwrap().upto, [(source(1), Seq(4))].into(), "the watermark stands at 4");
    world.compact(3);
    assert_eq!(world.prune(3).unwrap().upto, [(source(1), Seq(6))].into());
}

#[test]
fn a_word_survives_restarts_of_both_and_ends_when_it_is_given_back() {
    let mut world = three();
    world.lets_go(3);
    world.drive(1_000);
    world.restart(1);
    world.restart(3);
    assert_eq!(world.keeps_for(1), [id(3)]);
    assert_eq!(world.prune(1), needed(&[3]));
    assert_eq!(world.prune(3), Err(Hindrance::NoKeeper), "a word from before the start is asked for again");
    world.drive(1_000);
    assert!(world.prune(3).is_ok());
    world.lacks(3, 2);
    world.node(3).disk.prunes = false;
    world.input(3, Input::Prunes(false));
    world.drive(60_000);
    assert_eq!(world.keeps_for(1), [id(3)], "what it lacks is not back yet");
    world.lacks(3, 0);
    world.drive(60_000);
    assert_eq!((world.keeps_for(1), world.keeps_for(2)), (vec![], vec![]));
    assert_eq!(world.node(1).disk.words.len(), 0);
}

#[test]
fn of_two_that_let_go_the_lower_keeps_whoever_began() {
    for first in [1, 2] {
        let mut world = World::of(2);
        world.write(1, 2);
        world.settle_and_compact();
        world.lets_go(first);
        world.drive(10_000);
        world.lets_go(3 - first);
        world.drive(10_000);
        assert_eq!(world.prune(1), needed(&[2]), "after device {first}");
        assert!(world.prune(2).is_ok(), "after device {first}");
    }
}

#[test]
fn of_two_that_want_to_at_the_same_time_one_keeps() {
    let mut world = World::of(2);
    world.write(1, 2);
    world.settle_and_compact();
    world.lets_go(1);
    world.lets_go(2);
    assert_eq!((world.prune(1), world.prune(2)), (Err(Hindrance::NoKeeper), Err(Hindrance::NoKeeper)));
    world.drive(10_000);
    assert_eq!(world.prune(1), needed(&[2]));
    assert!(world.prune(2).is_ok());
}

#[test]
fn who_has_let_go_already_keeps_for_nobody() {
    let mut world = World::of(2);
    world.write(1, 2);
    world.settle_and_compact();
    world.lets_go(1);
    world.drive(10_000);
    assert!(world.prune(1).is_ok());
    world.lacks(1, 1);
    world.lets_go(2);
    world.drive(60_000);
    assert_eq!(world.prune(2), needed(&[1]));
    assert!(world.prune(1).is_ok());
}

#[test]
fn two_that_let_go_beside_a_keeper_do_not_hold_each_other() {
    let mut world = three();
    world.lets_go(1);
    world.drive(10_000);
    world.lets_go(2);
    world.drive(10_000);
    assert!(world.prune(1).is_ok() && world.prune(2).is_ok());
    world.lacks(1, 1);
    world.lacks(2, 1);
    world.drive(10_000);
    assert_eq!(world.prune(3), needed(&[1, 2]));
    assert!(world.prune(1).is_ok() && world.prune(2).is_ok());
}

#[test]
fn a_keeper_that_lacks_something_itself_keeps_nothing() {
    let mut world = three();
    world.lets_go(3);
    world.drive(10_000);
    assert_eq!(world.kept_by(3), [id(1), id(2)]);
    // Snapshots brought them messages without contents.
    world.lacks(1, 5);
    world.lacks(2, 5);
    world.drive(10_000);
    assert_eq!(world.prune(3), Err(Hindrance::NoKeeper));
    world.lacks(2, 0);
    world.drive(10_000);
    assert_eq!(world.kept_by(3), [id(2)]);
    assert!(world.prune(3).is_ok());
}

#[test]
fn a_keeper_that_is_away_for_long_keeps_nothing_any_more() {
    let mut world = World::of(2);
    world.write(1, 2);
    world.settle_and_compact();
    world.lets_go(2);
    world.drive(10_000);
    assert!(world.prune(2).is_ok());
    world.pass(91 * 24 * 3_600_000);
    assert_eq!(world.prune(2), Err(Hindrance::NoKeeper));
}

#[test]
fn a_letter_from_before_ends_no_word_and_gives_none() {
    let mut world = World::of(2);
    let says = |world: &mut World, bodies: Bodies, written: u64| {
        let receipt = Receipt { generation: 1, ..Receipt::default() };
        let letter = Letter { bodies, receipt, ..Letter::bare(id(2), Millis(EPOCH + written)) };
        world.deliver(&Mail {
            from: 2,
            to: 1,
            relay: RELAY,
            under: FIRST_EPOCH,
            slot: 1,
            parcel: verified(&letter, &[]),
        });
    };
    says(&mut world, Bodies { asks: 40, prunes: true, ..Bodies::default() }, 5_000);
    assert_eq!(world.keeps_for(1), [id(2)]);
    says(&mut world, Bodies::default(), 4_999);
    assert_eq!(world.keeps_for(1), [id(2)], "a relay kept this one back");
    says(&mut world, Bodies::default(), 5_000);
    assert_eq!(world.keeps_for(1), [id(2)], "neither of the two is the later one");
    says(&mut world, Bodies { asks: 39, ..Bodies::default() }, 6_000);
    assert_eq!(world.devices[&1].disk.words[&id(2)].ask, 40);
    says(&mut world, Bodies { asks: 40, ..Bodies::default() }, 8_000);
    says(&mut world, Bodies::default(), 7_000);
    assert_eq!(world.keeps_for(1), [id(2)], "it asked again since");
    says(&mut world, Bodies::default(), 8_001);
    assert_eq!(world.keeps_for(1), []);
    // An answer to an earlier ask is no word.
    world.lets_go(1);
    says(&mut world, Bodies { word: 3, ..Bodies::default() }, 9_000);
    assert_eq!(world.kept_by(1), []);
}

#[test]
fn nothing_goes_while_a_sibling_would_not_understand_what_is_left() {
    let mut world = three();
    world.lets_go(3);
    world.drive(10_000);
    let says = |world: &mut World, op_level: u32| {
        let receipt = Receipt { generation: 1, vector: world.status(3).vector, ..Receipt::default() };
        let letter = Letter { op_level, receipt, ..Letter::bare(id(2), Millis(EPOCH)) };
        world.deliver(&Mail {
            from: 2,
            to: 3,
            relay: RELAY,
            under: FIRST_EPOCH,
            slot: 1,
            parcel: verified(&letter, &[]),
        });
    };
    says(&mut world, KIND_MESSAGE_STUB - 1);
    assert_eq!(world.prune(3), Err(Hindrance::OldVersion(id(2))));
    says(&mut world, OP_LEVEL);
    assert!(world.prune(3).is_ok(), "device 1 keeps them");
}

#[test]
fn a_device_that_is_removed_is_kept_for_no_longer() {
    let mut world = three();
    world.lets_go(3);
    world.drive(10_000);
    assert_eq!(world.keeps_for(1), [id(3)]);
    removals::remove(&mut world, 1, 3, 0);
    world.drive(10_000);
    assert_eq!((world.keeps_for(1), world.keeps_for(2)), (vec![], vec![]));
    assert_eq!(world.node(1).disk.words.len(), 0);
}

#[test]
fn what_is_known_of_contents_outlives_a_restart_and_siblings_hear_only_of_what_they_must_know() {
    let mut world = three();
    world.drive(60_000);
    let heard = |world: &mut World, input: Input| {
        world.drive(60_000);
        world.input(1, input);
        !world.intercept(1, 2).is_empty()
    };
    world.node(1).disk.prunes = true;
    assert!(heard(&mut world, Input::Prunes(true)));
    assert!(!heard(&mut world, Input::Prunes(true)));
    world.node(1).disk.lacking = 6;
    assert!(heard(&mut world, Input::Lacking(5)));
    assert!(!heard(&mut world, Input::Lacking(6)), "it lacks some, as before");
    world.restart(1);
    let now = world.at();
    let said = world.node(1).engine.bodies_for(id(2), now);
    assert_eq!((said.prunes, said.lacks, world.node(1).engine.keeping.lacking()), (true, 6, 6));
    assert!(heard(&mut world, Input::Lacking(0)));
}

#[test]
fn of_three_that_let_go_the_first_keeps_and_the_others_ask_only_it() {
    let mut world = three();
    (1..=3).for_each(|n| world.lets_go(n));
    world.drive(300_000);
    assert_eq!((world.keeps_for(1), world.keeps_for(2), world.keeps_for(3)), (vec![id(2), id(3)], vec![], vec![]));
    let now = world.at();
    let mut asks = |n: u8, of: u8| world.node(n).engine.bodies_for(id(of), now).asks > 0;
    assert_eq!([asks(3, 1), asks(3, 2), asks(2, 1), asks(2, 3), asks(1, 2)], [true, false, true, false, false]);
}

#[test]
fn who_gave_its_word_and_would_let_go_itself_is_released_only_for_a_better_one() {
    let mut world = three();
    world.lets_go(2);
    world.drive(60_000);
    assert_eq!(world.kept_by(2), [id(1), id(3)]);
    world.lets_go(1);
    world.lets_go(3);
    world.drive(300_000);
    let now = world.at();
    let mut asks = |of: u8| world.node(2).engine.bodies_for(id(of), now).asks > 0;
    assert_eq!((asks(1), asks(3)), (true, false));
    assert_eq!(world.kept_by(2), [id(1)]);
}

#[test]
fn of_sources_that_no_keeper_holds_nothing_goes() {
    let mut world = three();
    world.lets_go(3);
    world.drive(60_000);
    world.node(3).engine.watermark.join(&vector(&[(9, 3)]));
    assert_eq!(world.prune(3).unwrap().upto, [(source(1), Seq(4))].into());
}

#[test]
fn an_engine_that_took_something_back_lets_nothing_go_until_it_is_restored() {
    let mut world = three();
    world.lets_go(3);
    world.drive(60_000);
    world.node(3).engine.cut.insert(source(9));
    assert_eq!(world.prune(3), Err(Hindrance::NoKeeper));
    world.node(3).engine.cut.clear();
    assert!(world.prune(3).is_ok());
}
