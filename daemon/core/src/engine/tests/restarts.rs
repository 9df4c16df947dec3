//! Memory is a cache of disk.

use super::script::*;
use super::world::*;
use crate::ids::{Millis, Seq};
use crate::roster::{PREKEY_BYTES, Prekey};
use crate::step::{CallId, Change, Delivery, Input, Output, Push};

#[test]
fn a_restart_sends_what_is_not_known_to_lie_on_a_relay_and_asks_about_the_rest() {
    let mut world = World::of(2);
    world.write(1, 2);
    world.drive(20_000);
    world.write(1, 3);
    world.mail.clear();
    world.restart(1);
    let again: Vec<Vec<u64>> = world.intercept(1, 2).iter().map(|mail| mail.seqs(1)).collect();
    assert_eq!(again, [[3], [5]], "that 4 was put is saved with 5");
}

#[test]
fn a_restart_with_nothing_to_say_sends_no_bundles() {
    let mut world = World::of(2);
    world.write(1, 2);
    world.drive(20_000);
    world.restart(1);
    world.drive(20_000);
    let brought: usize =
        world.node(1).outputs.iter().filter(|o| matches!(o, Output::Send(s) if !s.runs.is_empty())).count();
    assert_eq!(brought, 0);
    assert!(world.status(1).synced);
}

#[test]
fn a_restored_engine_says_of_itself_what_the_old_one_said() {
    let mut world = World::of(3);
    world.write(1, 3);
    world.write(2, 2);
    world.drive(30_000);
    world.write(2, 1);
    world.deliver_all();
    let before = world.status(1);
    world.restart(1);
    let after = world.status(1);
    assert_eq!((before.vector, before.bundle_seq, before.early), (after.vector, after.bundle_seq, after.early));
    assert_eq!(
        (before.pending_up, before.pending_down, before.synced),
        (after.pending_up, after.pending_down, after.synced)
    );
    for (before, after) in before.siblings.iter().zip(&after.siblings) {
        assert_eq!((&before.vector, before.lag, before.heard), (&after.vector, after.lag, after.heard));
    }
}

#[test]
fn what_a_failed_commit_took_along_is_as_if_it_never_was() {
    let mut world = World::of(2);
    world.write(1, 1);
    let disk = world.node(1).disk.clone();
    world.node(1).puts = Puts::Open;
    world.write(1, 1);
    // The disk refused the second bundle: the engine is dropped and restored.
    world.node(1).disk = disk;
    world.restart(1);
    world.node(1).puts = Puts::Answered;
    world.write(1, 1);
    world.drive(20_000);
    assert_eq!((world.held(1, 1), world.held(2, 1)), (2, 2));
    let log = |world: &mut World, n| world.node(n).disk.log.iter().map(|a| a.bundle.hash).collect::<Vec<_>>();
    assert_eq!(log(&mut world, 1), log(&mut world, 2));
}

#[test]
fn a_siblings_word_is_on_disk_after_five_seconds_even_when_nothing_else_is_written() {
    let mut world = World::of(2);
    world.write(1, 1);
    world.drive(5_000);
    assert!(world.status(1).synced);
    let on_disk = |world: &mut World| world.node(1).disk.saved().siblings[0].receipt.vector.seq(source(1));
    assert_eq!(on_disk(&mut world), Seq(0));
    world.drive(5_000);
    assert_eq!(on_disk(&mut world), Seq(1));
}

#[test]
fn a_sibling_is_remembered_with_the_prekey_it_announced() {
    let mut world = World::of(2);
    let announce = |slot: u32| {
        let mut mail = mail_of(2, &[]);
        let public = bytes::Bytes::from(vec![slot as u8; PREKEY_BYTES]);
        mail.parcel.letter.prekey = Prekey { slot, public };
        mail
    };
    let used = |world: &mut World| {
        world.write(1, 1);
        let send = world.node(1).outputs.iter().rev().find_map(|output| match output {
            Output::Send(send) => Some(send.prekey.slot),
            Output::Commit(_) | Output::Reply(..) | Output::Acknowledge(_) | Output::Look(_) => None,
        });
        send.unwrap()
    };
    assert_eq!(used(&mut world), 1);
    world.deliver(&announce(3));
    assert_eq!(used(&mut world), 3);
    world.deliver(&announce(2));
    assert_eq!(used(&mut world), 3);
    world.restart(1);
    assert_eq!(used(&mut world), 3);
}

#[test]
fn a_prekey_that_is_newer_than_the_rosters_is_announced_with_its_key() {
    let mut world = World::of(2);
    let key = |world: &mut World| {
        world.write(1, 1);
        world.intercept(1, 2).pop().unwrap().parcel.letter.prekey
    };
    assert!(key(&mut world).public.is_empty());
    world.node(1).disk.rekey(2);
    world.restart(1);
    let announced = key(&mut world);
    assert_eq!((announced.slot, announced.public.len()), (2, PREKEY_BYTES));
}

#[test]
fn a_siblings_word_travels_with_the_next_commit_however_outputs_are_taken_off() {
    let mut world = World::of(2);
    world.write(1, 1);
    world.deliver_all();
    world.pass(5_000);
    let receipt = world.intercept(2, 1).remove(0);
    let now = world.at();
    let engine = &mut world.node(1).engine;
    let delivery = Delivery { relay: RELAY, ticket: 1 };
    engine.handle(Input::Received { delivery, parcel: Box::new(receipt.parcel) }, now);
    let push = Push {
        call: CallId(1),
        ops: vec![note("a")],
        app: None,
        facts: vec![],
        app_fact: None,
        bases: Default::default(),
    };
    engine.handle(Input::Push(push), now);
    while engine.poll_output().is_some() {}
    engine.settle(now);
    let rest: Vec<Output> = std::iter::from_fn(|| engine.poll_output()).collect();
    assert!(rest.iter().any(|output| matches!(output, Output::Commit(Change::Sibling(_)))), "{rest:?}");
}

#[test]
fn a_group_that_fails_is_refused_whole_and_can_be_pushed_again() {
    let mut world = World::of(1);
    let disk = world.node(1).disk.clone();
    let push = |n: u64| {
        Input::Push(Push {
            call: CallId(n),
            ops: vec![note("a")],
            app: None,
            facts: vec![],
            app_fact: None,
            bases: Default::default(),
        })
    };
    world.inputs(1, vec![push(1), push(2)]);
    world.node(1).disk = disk;
    world.restart(1);
    world.inputs(1, vec![push(1), push(2)]);
    assert_eq!(world.held(1, 1), 2);
    assert_eq!(world.node(1).disk.log.len(), 2);
}

#[test]
fn tickets_of_one_start_are_not_those_of_another() {
    let mut world = World::of(2);
    let tickets = |world: &mut World| -> Vec<u64> {
        let sends = world.node(1).outputs.iter().filter_map(|output| match output {
            Output::Send(send) => Some(send.ticket),
            Output::Commit(_) | Output::Reply(..) | Output::Acknowledge(_) | Output::Look(_) => None,
        });
        sends.collect()
    };
    world.write(1, 10);
    let before = tickets(&mut world);
    world.restart(1);
    world.write(1, 10);
    let after = tickets(&mut world);
    assert!(before.len() > 5 && after.len() > 5);
    assert!(before.iter().all(|ticket| !after.contains(ticket)));
}

#[test]
fn the_clock_goes_on_after_the_roster_too() {
    let mut world = World::of(2);
    let latest = world.node(1).engine.roster().latest();
    world.restart(1);
    assert!(world.node(1).engine.stamp(Millis(0)) > latest);
}
