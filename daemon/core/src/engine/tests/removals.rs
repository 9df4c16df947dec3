//! Devices that leave: whose words still count, and how far.

use super::disk::FIRST_EPOCH;
use super::script::*;
use super::world::*;
use crate::ids::{Hash, Millis};
use crate::parcel::{Ended, Letter, Receipt};
use crate::roster::{SignedRecord, Verified};
use crate::step::{CallId, Change, Input, Output, Reply};
use crate::vector::VersionVector;

/// Device `by` removes device `n`, whose source ends at `end` if that is more than 0.
pub(super) fn remove(world: &mut World, by: u8, n: u8, end: u64) -> SignedRecord {
    let bundles = world.devices[&by].disk.log.iter().map(|append| &append.bundle);
    let head = bundles.into_iter().find(|bundle| bundle.dot == dot(n, end)).map(|bundle| bundle.head());
    let heads = world.node(by).engine.roster().heads();
    let record = removal(by, n, heads, 50_000 + world.now.0, head.map(|head| (source(n), head)));
    let outputs = world.input(by, Input::Record { call: CallId(1), record: Verified::vouch(record.clone()) });
    assert!(outputs.iter().any(|output| matches!(output, Output::Reply(CallId(1), Reply::Recorded))));
    record
}

/// Three devices with two bundles of the third, of which the first took in one.
fn parted() -> World {
    let mut world = World::of(3);
    world.write(3, 1);
    world.drive(20_000);
    world.write(3, 1);
    let mails = world.intercept(3, 2);
    world.intercept(3, 1);
    mails.iter().for_each(|mail| drop(world.deliver(mail)));
    assert_eq!((world.held(1, 3), world.held(2, 3)), (1, 2));
    world
}

#[test]
fn what_was_applied_beyond_the_end_is_taken_back_wherever_it_was() {
    let mut world = parted();
    world.intercept(2, 1);
    remove(&mut world, 1, 3, 1);
    world.drive(60_000);
    assert_eq!((world.held(1, 3), world.held(2, 3)), (1, 1));
    assert_eq!(world.node(2).disk.cut.len(), 1);
    assert!(world.node(2).engine.is_spent() && !world.node(1).engine.is_spent());
    world.restart(2);
    assert!(!world.node(2).engine.is_spent());
    assert!(world.status(1).synced && world.status(2).synced, "{:?}", world.status(2));
}

#[test]
fn a_bundle_whose_author_had_seen_more_counts_as_if_it_had_seen_up_to_the_end() {
    let mut world = parted();
    world.write(2, 1);
    world.drive(1_000);
    assert_eq!(world.held(1, 2), 0, "it waits for its cause");
    remove(&mut world, 1, 3, 1);
    assert_eq!(world.held(1, 2), 1);
    world.drive(60_000);
    assert!(world.status(1).synced);
}

#[test]
fn a_source_that_no_removal_names_is_waited_for_by_nobody_once_somebody_says_whose_it_is() {
    let mut world = World::of(3);
    world.write(3, 1);
    world.intercept(3, 1);
    world.deliver_all();
    world.write(2, 1);
    remove(&mut world, 1, 3, 0);
    world.deliver_all();
    assert_eq!(world.held(2, 3), 0);
    world.restart(2);
    world.drive(60_000);
    assert_eq!(world.held(1, 2), 1);
    assert!(world.node(1).disk.ended.contains(&Ended { source: source(3), device: id(3), ..Ended::default() }));
    world.restart(1);
    assert_eq!(world.held(1, 2), 1);
    assert!(world.status(1).synced && world.status(2).synced);
}

#[test]
fn a_claim_about_a_source_of_a_living_device_changes_nothing() {
    let mut world = World::of(3);
    let claim = Ended { source: source(3), device: id(2), ..Ended::default() };
    let letter = Letter { ended: vec![claim], ..Letter::bare(id(2), Millis(EPOCH)) };
    let parcel = verified(&letter, &[]);
    world.deliver(&Mail { from: 2, to: 1, relay: RELAY, under: FIRST_EPOCH, slot: 1, parcel });
    assert!(world.node(1).disk.ended.is_empty());
    world.write(3, 1);
    world.drive(10_000);
    assert_eq!(world.held(1, 3), 1);
}

#[test]
fn a_removed_device_is_counted_and_not_heard() {
    let mut world = parted();
    remove(&mut world, 1, 3, 1);
    world.drive(10_000);
    let written = world.node(1).outputs.len();
    world.write(3, 100);
    world.drive(1_000);
    assert!(world.status(1).from_removed > 0);
    assert_eq!(world.held(1, 3), 1);
    let commits = world.node(1).outputs[written..].iter().filter(|output| matches!(output, Output::Commit(_))).count();
    let quarantined = world.node(1).disk.quarantine.len();
    assert_eq!((commits, quarantined), (0, 0));
}

#[test]
fn a_device_that_never_spoke_can_be_removed_and_is_waited_for_no_longer() {
    let mut world = World::of(2);
    world.write(1, 1);
    world.drive(20_000);
    assert!(world.status(1).synced);
    let heads = world.node(1).engine.roster().heads();
    let record = addition(1, 9, heads.into_iter().next().unwrap(), 40_000);
    world.input(1, Input::Record { call: CallId(1), record: Verified::vouch(record) });
    world.drive(60_000);
    assert!(!world.status(1).synced);
    remove(&mut world, 1, 9, 0);
    world.drive(60_000);
    assert!(world.status(1).synced && world.status(2).synced);
}

#[test]
fn a_device_that_knows_it_was_removed_says_nothing() {
    let mut world = World::of(3);
    let record = remove(&mut world, 1, 3, 0);
    world.input(3, Input::Record { call: CallId(1), record: Verified::vouch(record) });
    assert!(world.status(3).removed);
    let sent = world.sends(3);
    world.write(3, 2);
    world.drive(600_000);
    assert_eq!(world.sends(3), sent);
    assert_eq!(world.held(3, 3), 2, "its own history stays");
}

#[test]
fn two_that_remove_each_other_part_and_the_elder_stays_with_the_others() {
    let mut world = World::of(3);
    for n in 2..=3 {
        world.write(n, 2);
    }
    world.drive(20_000);
    // The third hears of the younger one's removal of the elder first.
    remove(&mut world, 3, 2, 1);
    world.intercept(3, 2);
    world.deliver_all();
    assert_eq!(world.held(1, 2), 1);
    world.restart(1);
    remove(&mut world, 2, 3, 2);
    world.drive(60_000);
    assert_eq!(world.held(1, 2), 2);
    let members: Vec<u8> = world.node(1).engine.roster().members().map(|member| member.device.id.0[0]).collect();
    assert_eq!(members, [1, 2]);
    world.write(2, 1);
    world.drive(60_000);
    assert_eq!((world.held(1, 2), world.held(1, 3)), (3, 2));
    assert!(world.status(1).synced && world.status(2).synced);
}

/// A letter in which device 2, after it removed the third, says that it holds `seq` bundles of the first.
fn said(world: &World, seq: u64) -> Mail {
    let log = &world.devices[&1].disk.log;
    let head = log.iter().find(|append| append.bundle.dot == dot(1, seq)).unwrap().bundle.head();
    let receipt = Receipt { generation: 1, term: 4, trials: 0, vector: VersionVector::from_iter([(source(1), head)]) };
    let letter = Letter { receipt, roster_hash: Hash([1; 32]), ..Letter::bare(id(2), Millis(EPOCH)) };
    Mail { from: 2, to: 1, relay: RELAY, under: FIRST_EPOCH, slot: 1, parcel: verified(&letter, &[]) }
}

#[test]
fn what_a_device_said_before_a_removal_that_turns_out_void_is_not_taken_back_by_an_older_letter() {
    for restarted in [false, true] {
        let mut world = World::of(3);
        world.write(1, 3);
        world.mail.clear();
        let (high, mut low) = (said(&world, 3), said(&world, 1));
        world.deliver(&high);
        world.pass(6_000);
        world.mail.clear();
        remove(&mut world, 3, 2, 0);
        world.intercept(3, 1).iter().for_each(|mail| drop(world.deliver(mail)));
        assert!(world.node(1).engine.roster().member(id(2)).is_none());
        if restarted {
            world.restart(1);
        }
        low.parcel.records.push(Verified::vouch(remove(&mut world, 2, 3, 0)));
        world.deliver(&low);
        let siblings = world.status(1).siblings;
        assert_eq!(siblings.iter().map(|sibling| sibling.device).collect::<Vec<_>>(), [id(2)]);
        assert_eq!(siblings[0].vector.seq(source(1)).0, 3, "restarted: {restarted}");
    }
}

#[test]
fn what_counts_of_a_removed_device_reaches_those_who_lack_it() {
    let mut world = parted();
    // Nobody but the second device has the rest, and it is the one that removes.
    remove(&mut world, 2, 3, 2);
    world.drive(120_000);
    assert_eq!((world.held(1, 3), world.held(2, 3)), (2, 2));
    let ends = |change: &Output| matches!(change, Output::Commit(Change::Head(head)) if head.source == source(3));
    assert!(world.node(1).outputs.iter().any(ends), "it can hand it on");
}

/// Three devices of which each has removed the next, before it heard of any of that.
fn circle() -> World {
    let mut world = World::of(3);
    world.drive(20_000);
    for (by, whom) in [(1, 3), (3, 2), (2, 1)] {
        remove(&mut world, by, whom, 0);
        world.mail.clear();
    }
    world
}

#[test]
fn of_three_devices_that_removed_each_other_in_a_circle_those_who_stay_come_to_one_roster() {
    let mut world = circle();
    world.drive(600_000);
    let roster = world.node(1).engine.roster().hash();
    assert_eq!(world.node(2).engine.roster().hash(), roster);
    assert_eq!(
        world.status(1).siblings.iter().map(|sibling| sibling.device).collect::<Vec<_>>(),
        [id(2)],
        "the elder's counts"
    );
    world.write(1, 1);
    world.write(2, 1);
    world.drive(60_000);
    assert_eq!((world.held(2, 1), world.held(1, 2)), (1, 1));
    assert_eq!(world.held(3, 1), 0);
}

#[test]
fn of_a_removed_device_nothing_is_heard_but_removals() {
    let mut world = World::of(3);
    world.drive(20_000);
    remove(&mut world, 1, 3, 0);
    world.mail.clear();
    let heads = world.node(3).engine.roster().heads();
    let head = *heads.first().unwrap();
    let far = (0..20).fold(bulky(3, head, 60_000), |before, n| bulky(3, before.id(), 60_001 + n));
    let held = world.node(1).engine.roster().len();
    let mut said =
        vec![addition(3, 4, head, 70_000), bulky(3, head, 60_000), removal(3, 2, [far.id()].into(), 80_000, None)];
    let hear = |world: &mut World, records: &[SignedRecord]| {
        let letter = Letter { records: records.to_vec(), ..Letter::bare(id(3), Millis(EPOCH)) };
        world.deliver(&Mail { parcel: verified(&letter, &[]), ..mail_of(3, &[]) });
        world.node(1).engine.roster().len() - held
    };
    assert_eq!(hear(&mut world, &said), 0, "an addition, the removal of nobody, and one whose past was not told");
    said.push(removal(3, 2, heads.clone(), 81_000, None));
    assert_eq!(hear(&mut world, &said), 1);
    said.push(removal(3, 2, heads.clone(), 82_000, None));
    assert_eq!(hear(&mut world, &said), 1, "it has said so before");
    assert_eq!(world.status(1).from_removed, 3);
    assert!(world.status(1).siblings.iter().any(|sibling| sibling.device == id(2)), "and it does not count");
}

#[test]
fn a_device_that_hears_of_its_own_removal_takes_nothing_of_its_own_back() {
    let mut world = World::of(2);
    world.write(2, 3);
    let record = {
        let heads = world.node(1).engine.roster().heads();
        removal(1, 2, heads, 50_000, None)
    };
    let outputs = world.input(2, Input::Record { call: CallId(1), record: Verified::vouch(record) });
    assert!(world.status(2).removed);
    assert_eq!(world.held(2, 2), 3);
    assert!(outputs.iter().all(|output| !matches!(output, Output::Commit(Change::Cut { .. }))));
}

#[test]
fn of_what_waits_only_that_beyond_the_end_of_a_removed_device_is_dropped() {
    let mut world = World::of(3);
    let bundles = chain(3, (0..5).map(body).collect());
    world.deliver(&mail_of(3, &[run_of(3, &bundles[2..])]));
    assert_eq!(world.status(1).early, 3);
    let heads = world.node(1).engine.roster().heads();
    let record = removal(1, 3, heads, 50_000, Some((source(3), bundles[3].head())));
    let outputs = world.input(1, Input::Record { call: CallId(1), record: Verified::vouch(record) });
    let dropped = outputs.iter().filter_map(|output| match output {
        Output::Commit(Change::EarlyDone(dropped)) => Some(*dropped),
        Output::Commit(_) | Output::Reply(..) | Output::Send(_) | Output::Acknowledge(_) | Output::Look(_) => None,
    });
    assert_eq!(dropped.collect::<Vec<_>>(), [dot(3, 5)]);
    assert_eq!(world.status(1).early, 2);
}

#[test]
fn a_removal_is_heard_of_a_removed_device_with_at_most_sixteen_records_before_it() {
    for (before, heard) in [(16, true), (17, false)] {
        let mut world = World::of(4);
        let parent = world.node(1).engine.roster().heads().into_iter().next().unwrap();
        remove(&mut world, 1, 2, 0);
        let mut records = vec![addition(3, 50, parent, 60_000)];
        for n in 1..before {
            records.push(addition(3, 50 + n, records.last().unwrap().id(), 60_000 + u64::from(n)));
        }
        let parents = [records.last().unwrap().id()].into();
        records.push(removal(3, 4, parents, 70_000, None));
        let mut mail = mail_of(2, &[]);
        mail.parcel.records = records.into_iter().map(Verified::vouch).collect();
        world.deliver(&mail);
        assert_eq!(world.node(1).engine.roster().removes(id(3), id(4)), heard, "{before} before it");
    }
}
