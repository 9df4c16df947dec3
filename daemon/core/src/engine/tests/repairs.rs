//! What is missing is asked for, and only then given by others than its author.

use super::disk::FIRST_EPOCH;
use super::script::*;
use super::world::*;
use crate::bundle::Bundle;
use crate::ids::{Hash, Millis, Seq};
use crate::parcel::{Letter, Receipt, Want};
use crate::step::{Change, Input, Output};

/// What device `n` asked of whom, in order, for the source of device `of`.
fn asked(world: &mut World, n: u8, of: u8) -> Vec<u8> {
    let wants = |letter: &Letter| letter.wants.iter().any(|want| want.source == source(of));
    let sends = world.node(n).outputs.iter().filter_map(|output| match output {
        Output::Send(send) if wants(&send.letter) => Some(send.to.0[0]),
        Output::Send(_) | Output::Commit(_) | Output::Reply(..) | Output::Acknowledge(_) | Output::Look(_) => None,
    });
    sends.collect()
}

/// Device 1 misses what devices 2 and 3 hold of device 2's source.
fn with_a_hole() -> World {
    let mut world = World::of(3);
    world.write(2, 2);
    world.intercept(2, 1);
    world.deliver_all();
    world
}

/// A letter in which device `from` shows what it holds.
fn shown(world: &World, from: u8) -> Mail {
    let receipt = Receipt { generation: 1, vector: world.status(from).vector, ..Receipt::default() };
    let letter = Letter { receipt, ..Letter::bare(id(from), Millis(EPOCH)) };
    Mail { from, to: 1, relay: RELAY, under: FIRST_EPOCH, slot: 1, parcel: verified(&letter, &[]) }
}

#[test]
fn what_a_sibling_shows_and_its_author_does_not_is_asked_of_the_sibling() {
    let mut world = with_a_hole();
    let letter = shown(&world, 3);
    world.deliver(&letter);
    world.drive(3_000);
    assert_eq!(asked(&mut world, 1, 2), [3]);
    assert_eq!(world.held(1, 2), 2);
}

#[test]
fn the_author_is_given_time_and_asked_first_then_the_others() {
    let mut world = World::of(3);
    world.write(2, 1);
    world.drive(10_000);
    world.write(2, 2);
    world.intercept(2, 1);
    world.deliver_all();
    for from in [2, 3] {
        let letter = shown(&world, from);
        world.deliver(&letter);
    }
    world.pass(25_000);
    assert!(asked(&mut world, 1, 2).is_empty());
    world.pass(60_000);
    assert_eq!(asked(&mut world, 1, 2)[..3], [2, 3, 2]);
}

#[test]
fn unanswered_questions_come_with_growing_pauses() {
    let mut world = with_a_hole();
    let letter = shown(&world, 3);
    world.deliver(&letter);
    world.pass(3_600_000);
    let count = asked(&mut world, 1, 2).len();
    assert!((5..=15).contains(&count), "{count}");
}

#[test]
fn a_question_is_answered_with_all_that_is_held_even_beyond_what_was_asked() {
    let mut world = World::of(3);
    let bundles = chain(2, vec![body(0), body(1), body(2)]);
    world.deliver(&mail_of(2, &[run_of(2, &bundles)]));
    world.mail.clear();
    let want = Want { source: source(2), after: Seq(0), upto: Seq(1), exact: false };
    let letter = Letter { wants: vec![want], ..Letter::bare(id(3), Millis(EPOCH)) };
    world.deliver(&Mail { from: 3, to: 1, relay: RELAY, under: FIRST_EPOCH, slot: 1, parcel: verified(&letter, &[]) });
    assert_eq!(world.intercept(1, 3)[0].seqs(2), [1, 2, 3]);
}

#[test]
fn a_question_that_its_own_receipt_answers_brings_nothing() {
    let mut world = World::of(3);
    let bundles = chain(2, vec![body(0), body(1)]);
    world.deliver(&mail_of(2, &[run_of(2, &bundles)]));
    world.mail.clear();
    let want = Want { source: source(2), after: Seq(0), upto: Seq(2), exact: false };
    let vector = world.status(1).vector;
    let letter = Letter {
        wants: vec![want],
        receipt: Receipt { generation: 1, vector, ..Receipt::default() },
        ..Letter::bare(id(3), Millis(EPOCH))
    };
    world.deliver(&Mail { from: 3, to: 1, relay: RELAY, under: FIRST_EPOCH, slot: 1, parcel: verified(&letter, &[]) });
    assert!(world.intercept(1, 3).is_empty());
}

#[test]
fn a_question_for_what_is_not_here_brings_nothing() {
    let mut world = World::of(3);
    let want = Want { source: source(2), after: Seq(0), upto: Seq(4), exact: false };
    let letter = Letter { wants: vec![want], ..Letter::bare(id(3), Millis(EPOCH)) };
    world.deliver(&Mail { from: 3, to: 1, relay: RELAY, under: FIRST_EPOCH, slot: 1, parcel: verified(&letter, &[]) });
    assert!(world.intercept(1, 3).iter().all(|mail| mail.parcel.runs.is_empty()));
}

#[test]
fn a_forwarded_bundle_reaches_a_third_device_when_its_author_is_gone() {
    let mut world = World::of(3);
    world.write(2, 2);
    world.intercept(2, 3);
    world.deliver_all();
    world.devices.remove(&2);
    world.drive(50_000);
    assert_eq!(world.held(3, 2), 0);
    world.drive(60_000);
    assert_eq!(world.held(3, 2), 2);
}

#[test]
fn who_speaks_and_still_lags_after_a_minute_gets_the_bundles_unasked() {
    let mut world = World::of(3);
    world.deliver(&mail_of(2, &[run_of(2, &chain(2, vec![body(0)]))]));
    world.mail.clear();
    let mute = Mail { to: 1, ..shown(&world, 3) };
    for _ in 0..5 {
        world.deliver(&mute);
        world.pass(10_000);
    }
    let foreign = |world: &mut World| -> usize { world.intercept(1, 3).iter().map(|mail| mail.seqs(2).len()).sum() };
    world.mail.retain(|mail| mail.from != 3);
    assert_eq!(foreign(&mut world), 0);
    world.deliver(&mute);
    world.pass(25_000);
    assert_eq!(foreign(&mut world), 1);
}

#[test]
fn a_sibling_that_stays_away_is_not_sent_others_bundles() {
    let mut world = World::of(3);
    let before = world.sends(1);
    world.deliver(&mail_of(2, &[run_of(2, &chain(2, vec![body(0)]))]));
    for _ in 0..24 * 60 {
        world.pass(60_000);
        assert!(world.intercept(1, 3).iter().all(|mail| mail.parcel.runs.is_empty()));
    }
    assert!(world.sends(1) - before < 60, "{}", world.sends(1) - before);
}

#[test]
fn after_everybody_spoke_nobody_is_asked_again() {
    let mut world = World::of(4);
    world.write(2, 1);
    world.drive(200_000);
    let total = |world: &World| (1..=4).map(|n| world.sends(n)).sum::<usize>();
    let before = total(&world);
    world.drive(2_000_000);
    assert_eq!(total(&world), before);
    assert!((1..=4).all(|n| world.status(n).siblings.iter().all(|sibling| sibling.lag == 0)));
}

#[test]
fn what_is_missing_of_an_own_source_given_up_is_asked_for() {
    let mut world = World::of(2);
    let mut letter = Letter::bare(id(2), Millis(EPOCH));
    letter.receipt = Receipt { generation: 1, vector: vector(&[(1, 3)]), ..Receipt::default() };
    world.deliver(&Mail { from: 2, to: 1, relay: RELAY, under: FIRST_EPOCH, slot: 1, parcel: verified(&letter, &[]) });
    world.pass(3_000);
    assert_eq!(asked(&mut world, 1, 1).len(), 1);
}

#[test]
fn the_author_is_asked_first_whatever_its_place_in_the_order_of_devices() {
    let mut world = World::of(3);
    world.write(3, 1);
    world.drive(10_000);
    world.write(3, 1);
    world.intercept(3, 1);
    world.deliver_all();
    for from in [2, 3] {
        let letter = shown(&world, from);
        world.deliver(&letter);
    }
    world.pass(60_000);
    assert_eq!(asked(&mut world, 1, 3)[..2], [3, 2]);
}

#[test]
fn who_has_what_is_missing_is_asked_soon_after_it_comes_back() {
    let mut world = with_a_hole();
    let letter = shown(&world, 3);
    world.deliver(&letter);
    world.pass(3_600_000);
    world.mail.clear();
    let before = asked(&mut world, 1, 2).len();
    world.deliver(&letter);
    world.pass(2_000);
    assert_eq!(asked(&mut world, 1, 2).len(), before + 1);
}

#[test]
fn progress_makes_questions_patient_again() {
    let mut world = with_a_hole();
    let letter = shown(&world, 3);
    world.deliver(&letter);
    world.pass(100_000);
    world.deliver(&letter);
    world.pass(10_000);
    let before = asked(&mut world, 1, 2).len();
    let first = world.node(2).disk.log[0].bundle.clone();
    world.deliver(&mail_of(3, &[run_of(2, &[first])]));
    world.pass(8_000);
    assert_eq!(asked(&mut world, 1, 2).len(), before + 1);
}

#[test]
fn a_sibling_that_moves_on_is_left_to_its_own_pace() {
    let mut world = World::of(3);
    let bundles = chain(2, (0..10).map(body).collect());
    for (held, bundle) in bundles.iter().enumerate() {
        world.deliver(&mail_of(2, &[run_of(2, std::slice::from_ref(bundle))]));
        let mut letter = mail_of(3, &[]);
        if held > 0 {
            letter.parcel.letter.receipt.vector.advance(source(2), bundles[held - 1].head());
        }
        world.deliver(&letter);
        world.pass(20_000);
        assert!(world.intercept(1, 3).iter().all(|mail| mail.parcel.runs.is_empty()));
    }
}

#[test]
fn sync_now_asks_at_once_for_what_is_missing() {
    let mut world = with_a_hole();
    let letter = shown(&world, 3);
    world.deliver(&letter);
    world.pass(3_600_000);
    let before = asked(&mut world, 1, 2).len();
    world.input(1, Input::SyncNow);
    assert_eq!(asked(&mut world, 1, 2).len(), before + 1);
}

#[test]
fn what_lies_beyond_the_end_of_a_source_is_not_asked_for() {
    let mut world = World::of(3);
    let outputs = world.deliver(&mail_of(2, &[run_of(2, &chain(2, vec![body(5), body(5)]))]));
    assert!(outputs.iter().any(|output| matches!(output, Output::Commit(Change::Quarantine(_)))));
    let mut letter = mail_of(3, &[]);
    letter.parcel.letter.receipt.vector = vector(&[(2, 9)]);
    world.deliver(&letter);
    world.pass(200_000);
    assert!(asked(&mut world, 1, 2).is_empty());
    assert_eq!(world.status(1).pending_down, 0);
}

#[test]
fn a_question_waits_for_the_way_to_be_free_and_is_not_lost() {
    let mut world = with_a_hole();
    world.node(1).puts = Puts::Open;
    world.write(1, 1);
    let letter = shown(&world, 3);
    world.deliver(&letter);
    world.pass(30_000);
    assert!(asked(&mut world, 1, 2).is_empty());
    for send in std::mem::take(&mut world.node(1).open) {
        world.answer(1, &send);
    }
    assert_eq!(asked(&mut world, 1, 2), [3]);
}

#[test]
fn of_a_source_that_is_stopped_or_was_taken_back_nothing_is_asked_for() {
    for (stopped, taken_back, asks) in [(false, false, 1), (true, false, 0), (false, true, 0)] {
        let mut world = World::of(3);
        let unborn = Bundle::write(dot(2, 1), Hash::default(), body(0)).unwrap();
        if stopped {
            world.deliver(&mail_of(3, &[run_of(2, &[unborn])]));
        }
        if taken_back {
            world.node(1).engine.cut.insert(source(2));
        }
        let mut mail = mail_of(3, &[]);
        mail.parcel.letter.receipt.vector = vector(&[(2, 5)]);
        world.deliver(&mail);
        world.pass(3_000);
        assert_eq!(asked(&mut world, 1, 2).len(), asks);
    }
}
