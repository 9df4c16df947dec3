//! The roster: how devices come to know each other.

use super::disk::FIRST_EPOCH;
use super::script::*;
use super::world::*;
use crate::ids::{Hash, Millis};
use crate::parcel::Letter;
use crate::roster::{Record, SignedRecord, Verified};
use crate::step::{CallId, Change, Input, Output, Refusal, Reply};

/// Device `by` adds device `n`, which starts with what it was given at pairing.
fn add(world: &mut World, by: u8, n: u8) {
    let heads = world.node(by).engine.roster().heads();
    let parent: Hash = heads.into_iter().next().unwrap();
    let record = addition(by, n, parent, 1_000);
    let outputs = world.input(by, Input::Record { call: CallId(1), record: Verified::vouch(record) });
    assert!(matches!(outputs[0], Output::Commit(Change::Record(_))));
    assert!(matches!(outputs[1], Output::Reply(CallId(1), Reply::Recorded)));
    let records = world.node(by).engine.roster().records();
    world.start(n, &records);
}

fn members(world: &World, n: u8) -> usize {
    world.devices[&n].engine.roster().members().count()
}

#[test]
fn pairing_with_one_joins_all_and_brings_everything() {
    let mut world = World::of(2);
    world.write(1, 3);
    world.write(2, 2);
    world.drive(10_000);
    add(&mut world, 1, 3);
    world.drive(30_000);
    assert_eq!(members(&world, 2), 3);
    assert_eq!((world.held(3, 1), world.held(3, 2)), (3, 2));
    world.write(3, 1);
    world.drive(30_000);
    assert_eq!((world.held(1, 3), world.held(2, 3)), (1, 1));
    assert!((1..=3).all(|n| world.status(n).synced));
}

#[test]
fn a_newcomer_gets_what_its_sponsor_wrote_at_once() {
    let mut world = World::of(1);
    world.write(1, 5);
    add(&mut world, 1, 2);
    world.deliver_all();
    assert_eq!(world.held(2, 1), 5);
}

#[test]
fn a_sibling_is_told_the_roster_until_it_shows_the_same() {
    let mut world = World::of(3);
    add(&mut world, 1, 4);
    let told = |mails: Vec<Mail>| mails.iter().filter(|mail| !mail.parcel.records.is_empty()).count();
    assert_eq!(told(world.intercept(1, 2)), 1);
    world.intercept(4, 2);
    world.pass(20_000);
    assert_eq!(told(world.intercept(1, 2)), 1);
    world.pass(20_000);
    assert!(told(world.intercept(1, 2)) <= 1);
    world.drive(100_000);
    assert_eq!(members(&world, 2), 4);
    world.mail.clear();
    world.write(1, 1);
    assert_eq!(told(world.intercept(1, 2)), 0);
}

#[test]
fn roster_records_of_a_parcel_apply_before_its_bundles() {
    let mut world = World::of(1);
    let newcomer = addition(1, 2, genesis().id(), 10);
    let run = run_of(2, &chain(2, vec![body(20)]));
    let letter = Letter { records: vec![newcomer], ..Letter::bare(id(2), Millis(EPOCH)) };
    world.deliver(&Mail {
        from: 2,
        to: 1,
        relay: RELAY,
        under: FIRST_EPOCH,
        slot: 1,
        parcel: verified(&letter, &[run]),
    });
    assert_eq!(members(&world, 1), 2);
    assert_eq!(world.held(1, 2), 1);
    let log = world.node(1).outputs.iter().filter_map(|output| match output {
        Output::Commit(Change::Record(_)) => Some("record"),
        Output::Commit(Change::Append(_)) => Some("append"),
        Output::Commit(_) | Output::Reply(..) | Output::Send(_) | Output::Acknowledge(_) | Output::Look(_) => None,
    });
    assert_eq!(log.collect::<Vec<_>>(), ["record", "append"]);
}

#[test]
fn a_record_of_another_roster_is_refused() {
    let mut world = World::of(1);
    let mut foreign = Record::decode(&addition(1, 2, genesis().id(), 10).bytes).unwrap();
    foreign.roster = Some(Hash([9; 32]));
    let record = SignedRecord { bytes: foreign.encode(), signature: genesis().signature };
    let outputs = world.input(1, Input::Record { call: CallId(1), record: Verified::vouch(record) });
    assert!(matches!(outputs[0], Output::Reply(_, Reply::Refused(Refusal::RosterRecord))));
    assert_eq!(outputs.len(), 1);
}

#[test]
fn a_record_that_is_held_already_is_recorded_once() {
    let mut world = World::of(2);
    let again = addition(1, 2, genesis().id(), 2);
    let before = world.node(1).disk.records.len();
    let outputs = world.input(1, Input::Record { call: CallId(1), record: Verified::vouch(again) });
    assert!(matches!(outputs[0], Output::Reply(_, Reply::Recorded)));
    assert_eq!(world.node(1).disk.records.len(), before);
}

#[test]
fn a_stamp_for_a_record_is_greater_than_everything_seen() {
    let mut world = World::of(2);
    world.write(2, 1);
    world.deliver_all();
    let seen = world.node(1).disk.log[0].bundle.body.clone().unwrap().stamp;
    assert!(world.node(1).engine.stamp(Millis(0)) > seen);
}

#[test]
fn two_devices_that_add_one_each_at_the_same_time_end_with_one_roster_of_all() {
    let mut world = World::of(2);
    add(&mut world, 1, 3);
    add(&mut world, 2, 4);
    world.drive(200_000);
    for n in 1..=4 {
        world.write(n, 1);
    }
    world.drive(200_000);
    for n in 1..=4 {
        assert_eq!(members(&world, n), 4, "device {n}");
        assert!((1..=4).all(|of| world.held(n, of) == 1), "device {n}");
        assert!(world.status(n).synced);
    }
}

#[test]
fn a_device_put_back_to_before_it_knew_of_another_hears_of_it_when_that_one_writes() {
    let mut world = World::of(2);
    world.drive(20_000);
    let image = world.node(1).disk.clone();
    add(&mut world, 1, 3);
    world.drive(60_000);
    assert!(world.status(3).siblings.iter().all(|sibling| sibling.roster_known));
    // The only one who could tell it is gone.
    world.devices.remove(&2);
    world.put_back(1, image);
    world.drive(60_000);
    assert!(world.status(1).siblings.iter().all(|sibling| sibling.device != id(3)));
    world.write(3, 1);
    world.drive(600_000);
    assert_eq!(world.held(1, 3), 1);
}

#[test]
fn a_roster_too_large_for_a_letter_is_told_piece_by_piece() {
    let mut world = World::of(2);
    world.drive(20_000);
    let mut parent = world.node(1).engine.roster().heads().into_iter().next().unwrap();
    let records = (0..35).map(|n| {
        let record = bulky(1, parent, 1_000 + n);
        parent = record.id();
        Input::Record { call: CallId(1), record: Verified::vouch(record) }
    });
    let records: Vec<Input> = records.collect();
    world.inputs(1, records);
    let roster = world.node(1).engine.roster().clone();
    let size = |records: &[SignedRecord]| records.iter().map(|record| record.bytes.len() + 64).sum::<usize>();
    assert!(size(&roster.records()) > 2 * 96 * 1024);
    world.drive(60_000);
    assert_eq!(world.node(2).engine.roster(), &roster);
    let told = world.node(1).outputs.iter().filter_map(|output| match output {
        Output::Send(send) => Some(size(&send.letter.records)),
        Output::Commit(_) | Output::Reply(..) | Output::Acknowledge(_) | Output::Look(_) => None,
    });
    let told: Vec<usize> = told.filter(|size| *size > 0).collect();
    assert!(told.iter().all(|size| *size <= 96 * 1024) && told.len() < 12, "{told:?}");
}
