//! Receipts: what a sibling says it holds.

use super::disk::FIRST_EPOCH;
use super::script::*;
use super::world::*;
use crate::ids::{Hash, Millis, Seq};
use crate::parcel::{Letter, Receipt};
use crate::step::{Input, Output};
use crate::vector::{Head, VersionVector};

/// A letter from device 2 with a receipt over device 1's source.
fn receipt(world: &mut World, generation: u64, seq: u64) -> Mail {
    let log = &world.node(1).disk.log;
    let hash = log.iter().find(|append| append.bundle.dot == dot(1, seq)).map_or(Hash::default(), |a| a.bundle.hash);
    let vector = VersionVector::from_iter([(source(1), Head { seq: Seq(seq), hash })]);
    let vector = if seq == 0 { VersionVector::default() } else { vector };
    let letter =
        Letter { receipt: Receipt { generation, vector, ..Receipt::default() }, ..Letter::bare(id(2), Millis(EPOCH)) };
    Mail { from: 2, to: 1, relay: RELAY, under: FIRST_EPOCH, slot: 1, parcel: verified(&letter, &[]) }
}

fn acked(world: &World) -> u64 {
    world.status(1).siblings[0].vector.seq(source(1)).0
}

#[test]
fn a_single_bundle_is_receipted_after_five_seconds_of_silence() {
    let mut world = World::of(2);
    world.write(2, 1);
    world.deliver_all();
    let before = world.sends(1);
    world.drive(4_999);
    assert_eq!(world.sends(1), before);
    world.drive(1);
    assert_eq!(world.sends(1), before + 1);
    assert!(world.status(2).synced);
}

#[test]
fn a_receipt_travels_with_whatever_leaves_first() {
    let mut world = World::of(2);
    world.write(2, 1);
    world.deliver_all();
    world.write(1, 1);
    world.deliver_all();
    assert!(world.status(2).synced);
    let before = world.sends(1);
    world.drive(20_000);
    assert_eq!(world.sends(1), before);
}

#[test]
fn a_receipt_leaves_at_once_when_a_catch_up_ends() {
    let mut world = World::of(2);
    let bundles = chain(2, vec![body(0), body(1), body(2)]);
    let mut part = mail_of(2, &[run_of(2, &bundles[..2])]);
    part.parcel.letter.receipt.vector.advance(source(2), bundles[2].head());
    let before = world.sends(1);
    world.deliver(&part);
    assert_eq!(world.sends(1), before);
    let mut world = World::of(2);
    part.parcel.runs = mail_of(2, &[run_of(2, &bundles)]).parcel.runs;
    world.deliver(&part);
    assert_eq!(world.sends(1), before + 1);
}

#[test]
fn a_receipt_leaves_at_once_when_it_is_asked_for() {
    let mut world = World::of(2);
    let letter = Letter { receipt_requested: true, ..Letter::bare(id(2), Millis(EPOCH)) };
    let before = world.sends(1);
    world.deliver(&Mail { from: 2, to: 1, relay: RELAY, under: FIRST_EPOCH, slot: 1, parcel: verified(&letter, &[]) });
    assert_eq!(world.sends(1), before + 1);
}

#[test]
fn who_repeats_itself_is_told_within_half_a_second_what_we_hold() {
    let mut world = World::of(2);
    world.write(2, 1);
    let mail = world.intercept(2, 1);
    world.deliver(&mail[0]);
    world.drive(5_000);
    let before = world.sends(1);
    world.deliver(&mail[0]);
    assert_eq!(world.sends(1), before);
    world.drive(500);
    assert_eq!(world.sends(1), before + 1);
}

#[test]
fn a_receipt_never_takes_back_what_an_earlier_one_said() {
    let mut world = World::of(2);
    world.write(1, 3);
    world.mail.clear();
    let (high, low) = (receipt(&mut world, 1, 3), receipt(&mut world, 1, 1));
    world.deliver(&high);
    world.deliver(&low);
    assert_eq!(acked(&world), 3);
    assert!(world.status(1).synced);
}

#[test]
fn a_receipt_of_an_older_generation_says_nothing() {
    let mut world = World::of(2);
    world.write(1, 3);
    world.mail.clear();
    let (now, old) = (receipt(&mut world, 3, 1), receipt(&mut world, 2, 3));
    world.deliver(&now);
    world.deliver(&old);
    assert_eq!(acked(&world), 1);
}

#[test]
fn a_lower_vector_under_a_newer_generation_starts_the_lane_afresh() {
    let mut world = World::of(2);
    world.write(1, 3);
    world.drive(20_000);
    assert!(world.status(1).synced);
    let fresh = receipt(&mut world, 2, 0);
    world.deliver(&fresh);
    assert!(!world.status(1).synced);
    assert_eq!(world.status(1).pending_up, 3);
    assert_eq!(world.intercept(1, 2)[0].seqs(1), [1, 2, 3]);
}

#[test]
fn what_an_overtaken_letter_says_beside_its_receipt_is_ignored() {
    let mut world = World::of(2);
    world.write(1, 2);
    world.mail.clear();
    let mut new = receipt(&mut world, 1, 2);
    new.parcel.letter.epoch.number = 5;
    let mut old = receipt(&mut world, 1, 1);
    old.parcel.letter.epoch.number = 4;
    world.deliver(&new);
    world.deliver(&old);
    assert_eq!(world.status(1).siblings[0].epoch.number, 5);
}

#[test]
fn the_digest_of_a_sibling_is_shown_only_with_the_vector_it_belongs_to() {
    let mut world = World::of(2);
    world.write(1, 2);
    world.mail.clear();
    let mut letter = receipt(&mut world, 1, 1);
    letter.parcel.letter.digest = Some(Hash([4; 32]));
    world.deliver(&letter);
    assert_eq!(world.status(1).siblings[0].digest, Some(Hash([4; 32])));
    let newer = receipt(&mut world, 1, 2);
    world.deliver(&newer);
    assert_eq!(world.status(1).siblings[0].digest, None);
}

#[test]
fn synced_means_that_every_live_sibling_has_receipted_everything() {
    let mut world = World::of(3);
    assert!(world.status(1).synced);
    world.write(1, 1);
    assert_eq!((world.status(1).synced, world.status(1).pending_up), (false, 1));
    let lost = world.intercept(1, 3);
    assert_eq!(lost.len(), 1);
    world.deliver_all();
    world.pass(5_000);
    let early: Vec<Mail> = world.intercept(2, 1);
    early.iter().for_each(|mail| {
        world.deliver(mail);
    });
    assert_eq!((world.status(1).synced, world.status(1).pending_up), (false, 1));
    world.mail.clear();
    world.drive(30_000);
    assert!(world.status(1).synced);
}

#[test]
fn synced_means_that_nothing_known_to_exist_is_missing() {
    let mut world = World::of(2);
    let mut letter = Letter::bare(id(2), Millis(EPOCH));
    letter.receipt = Receipt { generation: 1, vector: vector(&[(2, 4)]), ..Receipt::default() };
    world.deliver(&Mail { from: 2, to: 1, relay: RELAY, under: FIRST_EPOCH, slot: 1, parcel: verified(&letter, &[]) });
    let status = world.status(1);
    assert_eq!((status.synced, status.pending_down, status.siblings[0].ahead), (false, 4, 4));
}

#[test]
fn a_receipt_that_a_relay_refused_is_given_again() {
    let mut world = World::of(2);
    world.write(2, 1);
    world.deliver_all();
    world.node(1).puts = Puts::Refused;
    world.pass(5_000);
    world.node(1).puts = Puts::Answered;
    world.pass(5_000);
    let receipts = world.intercept(1, 2);
    assert_eq!(receipts[0].parcel.letter.receipt.vector.seq(source(2)), Seq(1));
}

#[test]
fn the_end_of_an_import_is_receipted_soon_even_if_its_last_bundle_comes_alone() {
    let mut world = World::of(2);
    for _ in 0..5 {
        world.write(1, 20);
        world.drive(300);
    }
    world.write(1, 1);
    world.drive(1_500);
    assert_eq!((acked(&world), world.status(1).synced), (101, true));
}

#[test]
fn a_conversation_asks_for_no_receipts() {
    let mut world = World::of(2);
    for _ in 0..60 {
        world.write(1, 1);
        world.deliver_all();
        world.pass(1_000);
    }
    let asks = |output: &&Output| matches!(output, Output::Send(send) if send.letter.receipt_requested);
    assert_eq!(world.node(1).outputs.iter().filter(asks).count(), 0);
}

#[test]
fn two_imports_at_once_end_in_silence() {
    let mut world = World::of(2);
    for _ in 0..50 {
        world.write(1, 30);
        world.write(2, 30);
        world.drive(200);
    }
    let during = world.sends(1) + world.sends(2);
    assert!(during < 2 * 50 * 30 + 60, "{during}");
    world.drive(60_000);
    let before = world.sends(1) + world.sends(2);
    world.drive(600_000);
    assert_eq!(world.sends(1) + world.sends(2), before);
}

#[test]
fn two_that_wait_for_receipts_of_each_other_do_not_answer_without_end() {
    let mut world = World::of(2);
    for n in [1, 2] {
        world.write(n, 1);
        world.mail.clear();
    }
    // Both have sent again in vain.
    world.pass(10_000);
    world.mail.clear();
    let question = Letter { receipt_requested: true, ..Letter::bare(id(2), Millis(EPOCH)) };
    let mail = Mail { from: 2, to: 1, relay: RELAY, under: FIRST_EPOCH, slot: 1, parcel: verified(&question, &[]) };
    world.deliver(&mail);
    let mut answers = 0;
    for _ in 0..200 {
        world.now = world.now.plus(Millis(10));
        let (one, other) = (world.intercept(1, 2), world.intercept(2, 1));
        // What brings bundles is lost.
        let words: Vec<Mail> = one.into_iter().chain(other).filter(|mail| mail.parcel.runs.is_empty()).collect();
        answers += words.len();
        words.iter().for_each(|mail| drop(world.deliver(mail)));
        for n in [1, 2] {
            world.input(n, Input::Tick);
        }
    }
    // The one that was asked for, and one to each rewind.
    assert!((1..=4).contains(&answers), "{answers}");
}
