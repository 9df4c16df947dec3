//! Epochs of the group: who mints them, who is given them, where mail is looked for.

use super::disk::FIRST_EPOCH;
use super::removals::remove;
use super::script::*;
use super::world::*;
use crate::epoch::Epoch;
use crate::ids::Millis;
use crate::roster::Verified;
use crate::step::{CallId, Change, Input, Output};

const DAY: u64 = 24 * 3_600_000;

fn lives_in(world: &World, n: u8) -> Epoch {
    world.status(n).epoch
}

fn holds(world: &World, n: u8) -> Vec<Epoch> {
    world.devices[&n].disk.epochs.keys().copied().collect()
}

fn polls(world: &World, n: u8) -> Vec<Epoch> {
    world.devices[&n].engine.polled(world.at_of(n))
}

fn members(world: &World, n: u8) -> Vec<u8> {
    world.devices[&n].engine.roster().members().map(|member| member.device.id.0[0]).collect()
}

#[test]
fn whoever_removes_mints_an_epoch_in_the_same_transaction_and_gives_it_to_those_who_stay() {
    let mut world = World::of(3);
    let written = world.node(1).outputs.len();
    remove(&mut world, 1, 3, 0);
    let round = &world.node(1).outputs[written..];
    let place = |wanted: fn(&Output) -> bool| round.iter().position(wanted);
    let minted = place(|output| matches!(output, Output::Commit(Change::Epoch(_)))).unwrap();
    let told = place(|output| matches!(output, Output::Send(_))).unwrap();
    assert!(minted < told, "it is on disk before anybody hears of it");
    world.drive(10_000);
    let epoch = lives_in(&world, 1);
    assert_eq!((epoch.number, lives_in(&world, 2)), (2, epoch));
    assert_eq!(holds(&world, 3), [FIRST_EPOCH]);
    assert_eq!(world.node(1).engine.roster().last_epoch(), 2);
    assert!(world.status(1).siblings.iter().all(|sibling| sibling.epoch_known && sibling.epoch == epoch));
}

#[test]
fn a_new_epoch_reaches_a_sibling_that_was_away_for_weeks_under_the_one_it_knows() {
    let mut world = World::of(3);
    // The second is away; whatever is sent to it is lost, as if the third had deleted it.
    remove(&mut world, 1, 3, 0);
    let first = world.intercept(1, 2);
    assert!(first.iter().all(|mail| mail.under == FIRST_EPOCH && !mail.parcel.epochs.is_empty()));
    for _ in 0..6 * 7 {
        world.pass(DAY);
        world.mail.clear();
    }
    assert!(!world.status(1).siblings[0].epoch_known);
    world.drive(2 * DAY);
    assert_eq!(lives_in(&world, 2), lives_in(&world, 1));
    assert!(world.status(1).siblings[0].epoch_known && world.status(1).synced);
}

#[test]
fn mailboxes_of_an_earlier_epoch_are_looked_into_until_nobody_may_write_there() {
    let mut world = World::of(4);
    remove(&mut world, 1, 4, 0);
    let epoch = lives_in(&world, 1);
    // The third is slow to hear of it, and writes where it always did.
    world.intercept(1, 3);
    let held: Vec<Mail> = world.intercept(2, 3);
    assert!(held.is_empty());
    world.write(3, 1);
    let late = world.intercept(3, 1);
    assert!(late.iter().all(|mail| mail.under == FIRST_EPOCH));
    world.mail.extend(late);
    world.deliver_all();
    assert_eq!(world.held(1, 3), 1);
    world.drive(60_000);
    assert_eq!((lives_in(&world, 2), lives_in(&world, 3)), (epoch, epoch));
    assert_eq!(polls(&world, 1), [FIRST_EPOCH, epoch], "what was sent before lies on relays for long");
    world.drive(30 * DAY);
    assert_eq!(polls(&world, 1), [FIRST_EPOCH, epoch]);
    world.drive(2 * DAY);
    for n in 1..=3 {
        assert_eq!((polls(&world, n), holds(&world, n)), (vec![epoch], vec![epoch]), "device {n}");
    }
    world.restart(1);
    world.write(1, 1);
    world.drive(60_000);
    assert_eq!((world.held(2, 1), world.held(3, 1)), (1, 1));
}

#[test]
fn the_secret_that_a_stale_sibling_knows_is_kept_and_it_is_called_back_with_it() {
    let mut world = World::of(3);
    let back = world.devices.remove(&2).unwrap();
    remove(&mut world, 1, 3, 0);
    let epoch = lives_in(&world, 1);
    for _ in 0..100 {
        world.pass(DAY);
        // What lies on relays for longer than they keep it.
        world.mail.retain(|mail| mail.to == 2);
        let kept = world.mail.len().saturating_sub(30);
        world.mail.drain(..kept);
    }
    assert!(!world.status(1).siblings[0].live);
    world.drive(40 * DAY);
    assert_eq!(polls(&world, 1), [epoch], "nobody who lives writes there");
    assert_eq!(holds(&world, 1), [FIRST_EPOCH, epoch]);
    world.devices.insert(2, back);
    world.drive(2 * DAY);
    assert_eq!(lives_in(&world, 2), epoch);
    world.write(2, 1);
    world.drive(60_000);
    assert_eq!(world.held(1, 2), 1);
}

#[test]
fn after_two_removals_beside_each_other_somebody_mints_an_epoch_that_neither_removed_device_knows() {
    let mut world = World::of(5);
    remove(&mut world, 1, 4, 0);
    let sent = std::mem::take(&mut world.mail);
    remove(&mut world, 2, 5, 0);
    let (one, other) = (lives_in(&world, 1), lives_in(&world, 2));
    // Each is given to the device that the other one removes: both of these know a later epoch than the first.
    world.mail.extend(sent);
    world.deliver_all();
    assert!(holds(&world, 5).contains(&one) && holds(&world, 4).contains(&other));
    world.drive(300_000);
    let epoch = lives_in(&world, 1);
    assert!(![one, other, FIRST_EPOCH].contains(&epoch) && epoch.number == 3, "{epoch:?}");
    for n in 2..=3 {
        assert_eq!(lives_in(&world, n), epoch, "device {n}");
    }
    for n in 4..=5 {
        assert!(!holds(&world, n).contains(&epoch), "device {n}");
    }
    assert!((1..=3).all(|n| members(&world, n) == [1, 2, 3]));
}

#[test]
fn of_two_that_remove_each_other_the_epoch_of_the_elder_counts() {
    let mut world = World::of(3);
    remove(&mut world, 3, 2, 0);
    let sent = std::mem::take(&mut world.mail);
    remove(&mut world, 2, 3, 0);
    let epoch = lives_in(&world, 2);
    world.mail.extend(sent);
    world.drive(300_000);
    assert_eq!((lives_in(&world, 1), lives_in(&world, 2)), (epoch, epoch));
    assert!(!holds(&world, 3).contains(&epoch));
}

#[test]
fn an_epoch_that_a_removed_device_minted_is_lived_in_by_nobody_who_knows_of_its_removal() {
    let mut world = World::of(3);
    // As if it could foresee who will be removed: a number that nobody overtakes.
    let heads = world.node(3).engine.roster().heads();
    let (record, epoch) = minting(3, u32::MAX, heads, Millis(EPOCH + 10));
    for n in 1..=3 {
        world.input(n, Input::Minted { record: record.clone(), epoch: epoch.clone() });
    }
    assert_eq!(lives_in(&world, 1), epoch.epoch);
    world.drive(10_000);
    remove(&mut world, 1, 3, 0);
    world.drive(60_000);
    let agreed = lives_in(&world, 1);
    assert_ne!(agreed, epoch.epoch);
    assert_eq!(lives_in(&world, 2), agreed);
    assert!(!holds(&world, 3).contains(&agreed));
}

#[test]
fn a_secret_that_is_not_what_the_roster_says_is_not_taken() {
    let mut world = World::of(3);
    remove(&mut world, 1, 3, 0);
    let epoch = lives_in(&world, 1);
    for mut mail in world.intercept(1, 2) {
        for given in &mut mail.parcel.epochs {
            given.commitment.0[0] ^= 1;
        }
        world.deliver(&mail);
    }
    assert_eq!((members(&world, 2), holds(&world, 2)), (vec![1, 2], vec![FIRST_EPOCH]));
    world.drive(60_000);
    assert_eq!(lives_in(&world, 2), epoch, "it is given again");
}

#[test]
fn a_device_that_joins_beside_a_removal_is_given_the_epoch_and_reached_in_the_one_it_was_given() {
    let mut world = World::of(3);
    let heads = world.node(2).engine.roster().heads();
    let record = addition(2, 9, heads.into_iter().next().unwrap(), 40_000);
    world.input(2, Input::Record { call: CallId(1), record: Verified::vouch(record) });
    let sent = std::mem::take(&mut world.mail);
    remove(&mut world, 1, 3, 0);
    let epoch = lives_in(&world, 1);
    let records = world.node(2).engine.roster().records();
    world.start(9, &records);
    world.mail.extend(sent);
    world.drive(120_000);
    for n in [2, 9] {
        assert_eq!(lives_in(&world, n), epoch, "device {n}");
        assert_eq!(members(&world, n), [1, 2, 9]);
    }
    world.write(9, 1);
    world.drive(60_000);
    assert_eq!((world.held(1, 9), world.held(2, 9)), (1, 1));
}

#[test]
fn a_sibling_that_never_showed_an_epoch_is_tried_under_each_that_is_held() {
    let mut world = World::of(3);
    remove(&mut world, 1, 3, 0);
    world.drive(10_000);
    // It lost what it knew, and nobody knows what it was given.
    let heads = world.node(1).engine.roster().heads();
    let record = addition(1, 9, heads.into_iter().next().unwrap(), 50_000_000);
    world.input(1, Input::Record { call: CallId(1), record: Verified::vouch(record) });
    let mut tried = std::collections::BTreeSet::new();
    for _ in 0..60 {
        world.pass(600_000);
        tried.extend(world.mail.iter().filter(|mail| mail.from == 1 && mail.to == 9).map(|mail| mail.under));
        world.mail.clear();
    }
    assert_eq!(tried.into_iter().collect::<Vec<_>>(), holds(&world, 1));
}

#[test]
fn a_device_that_was_put_back_is_given_the_epoch_that_it_lost() {
    let mut world = World::of(3);
    let image = world.devices[&2].disk.clone();
    world.write(2, 1);
    remove(&mut world, 1, 3, 0);
    world.drive(60_000);
    let epoch = lives_in(&world, 1);
    world.put_back(2, image);
    assert_eq!(holds(&world, 2), [FIRST_EPOCH]);
    world.drive(60_000);
    assert_eq!(lives_in(&world, 2), epoch);
}
