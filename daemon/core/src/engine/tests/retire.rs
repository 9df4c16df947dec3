//! A source has one writer: who may have written it elsewhere takes a fresh one.

use std::collections::BTreeSet;

use super::disk::FIRST_EPOCH;
use super::script::*;
use super::world::*;
use crate::engine::next_generation;
use crate::ids::{Dot, Hash, Millis, Seq, SourceId};
use crate::parcel::{Letter, Receipt};
use crate::step::{Change, Output};
use crate::vector::{Head, VersionVector};

fn logs(world: &mut World, n: u8) -> BTreeSet<(Dot, Hash)> {
    world.node(n).disk.log.iter().map(|append| (append.bundle.dot, append.bundle.hash)).collect()
}

fn fresh_sources(outputs: &[Output]) -> Vec<(SourceId, u64)> {
    let fresh = outputs.iter().filter_map(|output| match output {
        Output::Commit(Change::Fresh { source, generation }) => Some((*source, *generation)),
        Output::Commit(_) | Output::Reply(..) | Output::Send(_) | Output::Acknowledge(_) | Output::Look(_) => None,
    });
    fresh.collect()
}

#[test]
fn a_device_put_back_to_an_older_image_takes_a_fresh_source_when_a_sibling_knows_more_and_gets_its_own_bundles_back() {
    let mut world = World::of(3);
    world.write(1, 2);
    world.drive(20_000);
    let image = world.node(1).disk.clone();
    world.write(1, 3);
    world.write(2, 1);
    world.drive(20_000);
    world.put_back(1, image);
    world.write(3, 1);
    world.drive(60_000);
    let status = world.status(1);
    assert_ne!(status.source, source(1));
    assert_eq!(world.held(1, 1), 5, "what it lost came back");
    world.write(1, 2);
    world.drive(60_000);
    let all = logs(&mut world, 1);
    assert_eq!(all.len(), 2 + 3 + 1 + 1 + 2);
    for n in 2..=3 {
        assert_eq!(logs(&mut world, n), all);
        assert_eq!(world.status(n).vector.seq(status.source), Seq(2));
    }
    assert!((1..=3).all(|n| world.status(n).synced));
}

#[test]
fn nothing_is_written_under_the_old_source_once_a_sibling_has_shown_more_of_it() {
    let mut world = World::of(2);
    world.write(1, 1);
    world.drive(20_000);
    let mut letter = mail_of(2, &[]);
    letter.parcel.letter.receipt.vector = vector(&[(1, 9)]);
    let outputs = world.deliver(&letter);
    assert_eq!(fresh_sources(&outputs).len(), 1);
    let dot = world.push(1, vec![note("a")]).unwrap().dot.unwrap();
    assert_eq!((dot.source, dot.seq), (fresh_sources(&outputs)[0].0, Seq(1)));
    assert_eq!(fresh_sources(&world.deliver(&letter)), [], "once is enough");
}

#[test]
fn another_bundle_at_the_end_of_the_own_source_retires_it_too() {
    let mut world = World::of(2);
    world.write(1, 1);
    let mut letter = mail_of(2, &[]);
    let other = Head { seq: Seq(1), hash: Hash([7; 32]) };
    letter.parcel.letter.receipt.vector = VersionVector::from_iter([(source(1), other)]);
    assert_eq!(fresh_sources(&world.deliver(&letter)).len(), 1);
}

#[test]
fn own_bundles_that_a_sibling_brings_and_this_device_lacks_retire_the_source_and_are_taken_in() {
    let mut world = World::of(2);
    let outputs = world.deliver(&mail_of(2, &[run_of(1, &chain(1, vec![body(0), body(1)]))]));
    assert_eq!(fresh_sources(&outputs).len(), 1);
    assert_eq!(world.held(1, 1), 2);
}

#[test]
fn a_receipt_for_less_or_for_the_same_changes_nothing() {
    let mut world = World::of(2);
    world.write(1, 3);
    world.drive(20_000);
    let held = world.status(1).vector;
    let mut letter = mail_of(2, &[]);
    letter.parcel.letter.receipt.vector = held;
    assert_eq!(fresh_sources(&world.deliver(&letter)), []);
    letter.parcel.letter.receipt.vector = vector(&[(1, 2)]);
    assert_eq!(fresh_sources(&world.deliver(&letter)), []);
    assert_eq!(world.status(1).source, source(1));
}

#[test]
fn the_fresh_source_is_on_disk_before_anything_is_written_to_it() {
    let mut world = World::of(2);
    world.write(1, 1);
    let mut letter = mail_of(2, &[]);
    letter.parcel.letter.receipt.vector = vector(&[(1, 9)]);
    let (fresh, generation) = fresh_sources(&world.deliver(&letter))[0];
    let now = (world.at().wall.0 / 1000) << 16;
    assert!((now..now + (1 << 16)).contains(&generation), "{generation}");
    world.restart(1);
    assert_eq!(world.status(1).source, fresh);
    let saved = world.node(1).disk.saved();
    assert_eq!((saved.source, saved.generation), (fresh, generation));
}

#[test]
fn a_fresh_source_looks_like_a_random_uuid_and_differs_from_start_to_start() {
    let mut world = World::of(2);
    let image = world.node(1).disk.clone();
    let mut letter = mail_of(2, &[]);
    letter.parcel.letter.receipt.vector = vector(&[(1, 9)]);
    let first = fresh_sources(&world.deliver(&letter))[0].0;
    world.put_back(1, image);
    let second = fresh_sources(&world.deliver(&letter))[0].0;
    assert_ne!(first, second);
    assert_eq!((first.0[6] >> 4, first.0[8] >> 6), (4, 2));
}

#[test]
fn what_stood_unsent_under_the_old_source_still_goes_out() {
    let mut world = World::of(3);
    world.write(1, 1);
    world.drive(20_000);
    world.write(1, 2);
    world.mail.clear();
    // As the daemon does when the state token does not match.
    world.node(1).disk.write(&Change::Fresh { source: SourceId([0x77; 16]), generation: 2 });
    world.restart(1);
    world.write(1, 1);
    world.drive(5_000);
    for n in 2..=3 {
        assert_eq!(world.held(n, 1), 3, "device {n}");
        assert_eq!(world.status(n).vector.seq(SourceId([0x77; 16])), Seq(1), "device {n}");
    }
}

#[test]
fn a_device_put_back_twice_to_the_same_image_is_understood_as_a_fresh_start_again() {
    put_back_twice(|round| 10 + u64::from(round));
}

#[test]
fn even_when_its_clock_was_set_back_meanwhile() {
    put_back_twice(|round| 10 - u64::from(round));
}

fn put_back_twice(generations: impl Fn(u8) -> u64) {
    let mut world = World::of(2);
    world.write(1, 1);
    world.write(2, 1);
    world.drive(20_000);
    let image = world.node(1).disk.clone();
    for round in 1..=2_u8 {
        world.node(1).disk = image.clone();
        let source = SourceId([0x70 + round; 16]);
        world.node(1).disk.write(&Change::Fresh { source, generation: generations(round) });
        world.restart(1);
        world.write(1, 1);
        world.write(2, 2);
        world.mail.clear();
        world.drive(3_600_000);
    }
    assert_eq!(world.held(1, 2), 5);
    assert_eq!(logs(&mut world, 1), logs(&mut world, 2));
    assert!(world.status(1).synced && world.status(2).synced);
}

#[test]
fn two_copies_of_a_device_do_not_outbid_each_other_for_good() {
    let mut world = World::of(2);
    let copy = |n: u8, generation| {
        let mut bundles = chain(1, vec![body(u64::from(n))]);
        let mut body = bundles[0].body.clone().unwrap();
        body.birth = Some(crate::bundle::Birth { device: id(1), generation });
        let dot = Dot { source: SourceId([n; 16]), seq: Seq(1) };
        bundles[0] = crate::bundle::Bundle::write(dot, Hash::default(), body).unwrap();
        mail_of(2, &[run_of(1, &bundles)])
    };
    let high = 1 << 60;
    assert!(fresh_sources(&world.deliver(&copy(0x90, high)))[0].1 > high);
    assert_eq!(fresh_sources(&world.deliver(&copy(0x91, high + (1 << 20)))), []);
    world.restart(1);
    assert!(fresh_sources(&world.deliver(&copy(0x92, high + (1 << 30))))[0].1 > high + (1 << 30));
}

#[test]
fn a_generation_is_greater_than_all_that_are_known_of_the_device() {
    let mut world = World::of(2);
    world.write(1, 1);
    world.write(2, 1);
    world.drive(20_000);
    let mut sources = world.node(1).disk.saved().sources;
    assert_eq!(next_generation(id(1), 1, &sources, Millis(0), 0), 2);
    assert_eq!(next_generation(id(1), 1, &sources, Millis(0), 5), 7, "two copies at one time");
    assert_eq!(next_generation(id(1), 1, &sources, Millis(9_000), 0), 9 << 16);
    sources.iter_mut().for_each(|source| source.generation = if source.device == id(1) { 4 } else { 9 });
    assert_eq!(next_generation(id(1), 1, &sources, Millis(0), 0), 5);
}

#[test]
fn an_old_letter_of_a_device_that_started_afresh_does_not_bring_its_old_receipt_back() {
    let mut world = World::of(2);
    world.write(1, 2);
    let mut fresh = mail_of(2, &[]);
    fresh.parcel.letter.receipt = Receipt { generation: 2, vector: vector(&[(2, 1)]), ..Receipt::default() };
    world.deliver(&fresh);
    let mut old = mail_of(2, &[]);
    old.parcel.letter.receipt = Receipt { generation: 1, vector: world.status(1).vector, ..Receipt::default() };
    world.deliver(&old);
    assert_eq!(world.status(1).siblings[0].lag, 2);
}

#[test]
fn of_a_source_given_up_nothing_goes_to_a_sibling_that_holds_all_of_it() {
    let mut world = World::of(2);
    world.write(1, 2);
    world.drive(20_000);
    let image = world.node(1).disk.clone();
    world.write(1, 3);
    world.drive(20_000);
    world.put_back(1, image);
    world.drive(60_000);
    assert_ne!(world.status(1).source, source(1));
    assert!(world.status(1).synced && world.held(1, 1) == 5);
    world.restart(1);
    world.write(1, 1);
    world.drive(60_000);
    let sent = world.node(1).outputs.iter().filter_map(|output| match output {
        Output::Send(send) => Some(send.runs.clone()),
        Output::Commit(_) | Output::Reply(..) | Output::Acknowledge(_) | Output::Look(_) => None,
    });
    assert!(sent.flatten().all(|run| run.source != source(1)));
}

#[test]
fn a_device_that_is_older_than_its_siblings_remember_goes_above_what_they_saw_once() {
    let mut world = World::of(2);
    world.write(1, 2);
    world.drive(10_000);
    let seen = 5_000_000_000 << 16;
    let told = |seen: u64| Letter { addressee_generation: seen, ..Letter::bare(id(2), Millis(EPOCH)) };
    let letter =
        |seen| Mail { from: 2, to: 1, relay: RELAY, under: FIRST_EPOCH, slot: 1, parcel: verified(&told(seen), &[]) };
    let fresh = |outputs: &[Output]| -> Vec<u64> {
        fresh_sources(outputs).into_iter().map(|(_, generation)| generation).collect()
    };
    let first = letter(seen);
    assert!(fresh(&world.deliver(&first))[0] > seen);
    let again = letter(seen + 7);
    assert!(fresh(&world.deliver(&again)).is_empty(), "two copies that run for good would outbid each other");
    world.restart(1);
    let absurd = letter(u64::MAX);
    assert!(fresh(&world.deliver(&absurd)).is_empty());
}

#[test]
fn a_device_put_back_with_its_clock_behind_is_understood_again() {
    let mut world = World::of(2);
    let image = world.node(1).disk.clone();
    world.write(1, 1);
    world.drive(10_000);
    // The first time it was put back its clock was right, and the second time it is two hours behind.
    let mut ahead = image.clone();
    ahead.write(&Change::Fresh { source: source(8), generation: EPOCH / 1000 });
    world.put_back(1, ahead);
    world.drive(10_000);
    let mut behind = image;
    behind.write(&Change::Fresh { source: source(9), generation: EPOCH / 1000 - 7_200 });
    world.put_back(1, behind);
    world.drive(10_000);
    world.write(2, 1);
    world.drive(100_000);
    assert!(world.status(2).synced, "{:?}", world.status(2));
}
