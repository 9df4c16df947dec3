//! Prekeys: when they change, and when an old seed may die.

use super::disk::{Disk, FIRST_EPOCH};
use super::removals::remove;
use super::script::*;
use super::world::*;
use crate::engine::{Config, ConfigError};
use crate::ids::{Millis, Seq};
use crate::prekey::COMMON_SLOT;
use crate::roster::{Prekey, Verified};
use crate::snapshot::Hydration;
use crate::step::{CallId, Change, Input, Output, SiblingStatus};

const DAY: u64 = 24 * 3_600_000;

fn slots(world: &World, n: u8) -> Vec<u32> {
    assert_eq!(
        world.devices[&n].engine.slots().collect::<Vec<_>>(),
        world.devices[&n].disk.prekeys.keys().copied().collect::<Vec<_>>()
    );
    world.devices[&n].engine.slots().collect()
}

/// The slot that device `from` seals to for device `to`.
fn sealed_to(world: &mut World, from: u8, to: u8) -> u32 {
    world.write(from, 1);
    let sends = world.devices[&from].outputs.iter().rev();
    let slot = sends.clone().find_map(|output| match output {
        Output::Send(send) if send.to == id(to) => Some(send.prekey.slot),
        Output::Send(_) | Output::Commit(_) | Output::Reply(..) | Output::Acknowledge(_) | Output::Look(_) => None,
    });
    slot.unwrap()
}

/// Lets days pass with perfect relays from which device 1 fetches everything every day.
fn days(world: &mut World, days: u64) {
    for _ in 0..days {
        world.drive(DAY);
        world.fetch(1, RELAY);
    }
}

/// The same where everybody does.
fn everybodys_days(world: &mut World, days: u64) {
    for _ in 0..days {
        world.drive(DAY);
        for n in world.devices.keys().copied().collect::<Vec<u8>>() {
            world.fetch(n, RELAY);
        }
    }
}

/// Device `n` starts from an image of its disk, and its state token says so: it takes a fresh source before the engine starts.
fn fresh(world: &mut World, n: u8, mut image: Disk) {
    let generation = (world.at().wall.0 / 1000) << 16;
    image.write(&Change::Fresh { source: source(0x80 + n), generation });
    let (held, _) = *image.prekeys.values().next_back().unwrap();
    image.write(&Change::PrekeyHeld(held.spoilt()));
    world.put_back(n, image);
    world.input(n, Input::Tick);
}

fn newest(world: &World, n: u8) -> u32 {
    slots(world, n).into_iter().max().unwrap()
}

#[test]
fn a_prekey_is_made_each_week_and_siblings_seal_to_it() {
    let mut world = World::of(3);
    days(&mut world, 6);
    assert_eq!(slots(&world, 1), [1]);
    days(&mut world, 2);
    assert_eq!(slots(&world, 1), [1, 2]);
    world.drive(10_000);
    assert_eq!((sealed_to(&mut world, 2, 1), sealed_to(&mut world, 3, 1)), (2, 2));
    // Whoever knows it is not told its 1,216 bytes again.
    world.write(1, 1);
    assert!(world.intercept(1, 2).iter().all(|mail| mail.parcel.letter.prekey.public.is_empty()));
    days(&mut world, 7);
    assert_eq!(slots(&world, 1), [1, 2, 3]);
}

#[test]
fn a_prekey_is_told_until_it_is_known_to_be_known_and_then_there_is_silence() {
    let mut world = World::of(2);
    days(&mut world, 6);
    world.drive(DAY);
    world.deliver_all();
    world.input(1, Input::Fetched { relay: RELAY, took: Millis(0) });
    world.deliver_all();
    // The answer is lost; what is told again is nothing new.
    world.pass(600);
    assert!(!world.intercept(2, 1).is_empty());
    world.drive(60_000);
    let (first, second) = (world.sends(1), world.sends(2));
    world.drive(6 * 3_600_000);
    assert_eq!((world.sends(1), world.sends(2)), (first, second));
}

#[test]
fn an_old_seed_dies_when_all_know_the_next_and_mail_for_it_has_had_its_time_and_all_was_fetched_after_that() {
    let mut world = World::of(2);
    let seen = world.devices[&1].config;
    days(&mut world, 7);
    assert_eq!(slots(&world, 1), [1, 2]);
    // Mail that is as late as mail can be still finds its seed.
    world.write(2, 1);
    let late = world.intercept(2, 1);
    assert!(late.iter().all(|mail| mail.slot == 1) || late.is_empty());
    world.drive(10_000);
    for day in 0..31 {
        world.drive(DAY);
        assert!(slots(&world, 1).contains(&1), "day {day}");
    }
    world.drive(DAY);
    assert_eq!(seen.retention, Millis(30 * DAY));
    assert!(slots(&world, 1).contains(&1), "nothing was fetched since");
    world.fetch(1, RELAY);
    assert!(!slots(&world, 1).contains(&1));
    assert!(slots(&world, 1).contains(&2));
    world.restart(1);
    assert!(!slots(&world, 1).contains(&1));
    world.write(2, 1);
    world.drive(60_000);
    assert!(world.status(1).synced && world.status(2).synced);
}

#[test]
fn a_seed_is_kept_while_a_live_sibling_may_not_know_the_next() {
    let mut world = World::of(3);
    let away = world.devices.remove(&3).unwrap();
    days(&mut world, 60);
    assert!(slots(&world, 1).contains(&1), "it is live, and knows no other");
    world.devices.insert(3, away);
    assert_eq!(sealed_to(&mut world, 3, 1), 1);
    days(&mut world, 40);
    assert!(!slots(&world, 1).contains(&1));
}

#[test]
fn a_device_that_slept_for_sixty_days_fetches_before_it_makes_or_destroys_anything() {
    let mut world = World::of(2);
    days(&mut world, 8);
    world.drive(10_000);
    let before = slots(&world, 1);
    assert_eq!(before, [1, 2]);
    let asleep = world.devices.remove(&1).unwrap();
    world.write(2, 3);
    world.drive(60 * DAY);
    world.devices.insert(1, asleep);
    world.input(1, Input::Tick);
    assert_eq!(slots(&world, 1), before);
    world.restart(1);
    assert_eq!(slots(&world, 1), before, "also after a start");
    world.drive(10_000);
    assert_eq!(world.held(1, 2), 3, "what came meanwhile opens");
    world.fetch(1, RELAY);
    let after = slots(&world, 1);
    assert!(after.contains(&3) && !after.contains(&1), "{after:?}");
}

#[test]
fn a_relay_that_is_configured_and_out_of_reach_keeps_all_seeds() {
    let mut world = World::of(2);
    world.input(1, Input::RelayOrder(vec![RELAY, OTHER]));
    days(&mut world, 60);
    assert_eq!(slots(&world, 1), [1]);
    world.fetch(1, OTHER);
    assert_eq!(slots(&world, 1), [1, 2]);
    world.input(1, Input::RelayOrder(vec![RELAY]));
    days(&mut world, 60);
    assert!(!slots(&world, 1).contains(&1));
}

#[test]
fn a_sibling_that_was_away_for_longer_than_it_is_waited_for_is_written_to_and_learns_the_newest() {
    let mut world = World::of(2);
    let away = world.devices.remove(&2).unwrap();
    for _ in 0..150 {
        world.pass(DAY);
        world.input(1, Input::Fetched { relay: RELAY, took: Millis(0) });
        // Relays keep mail for 30 days.
        let kept = world.mail.len().saturating_sub(30);
        world.mail.drain(..kept);
    }
    assert!(!slots(&world, 1).contains(&1));
    world.devices.insert(2, away);
    world.input(2, Input::Tick);
    world.write(2, 1);
    days(&mut world, 3);
    assert_eq!(world.held(1, 2), 1);
    assert!(world.status(1).synced && world.status(2).synced);
}

#[test]
fn a_device_that_was_put_back_behind_its_newest_prekey_makes_one_that_comes_after_all_it_lost() {
    let mut world = World::of(2);
    let image = world.devices[&1].disk.clone();
    world.write(1, 1);
    days(&mut world, 16);
    world.drive(10_000);
    assert_eq!(slots(&world, 1), [1, 2, 3]);
    assert_eq!(sealed_to(&mut world, 2, 1), 3);
    world.put_back(1, image.clone());
    world.drive(60_000);
    // It cannot open what is sealed to the prekeys that it lost; but it says what it holds, and is heard.
    world.write(1, 1);
    world.drive(7_200_000);
    let first = newest(&world, 1);
    assert!(first > 3);
    assert_eq!(sealed_to(&mut world, 2, 1), first);
    world.drive(60_000);
    assert!(world.status(1).synced && world.status(2).synced);
    // To the same image once more, of which nothing tells but the time.
    days(&mut world, 15);
    let lost = newest(&world, 1);
    assert!(lost > first);
    world.put_back(1, image);
    world.write(1, 1);
    world.drive(7_200_000);
    assert!(newest(&world, 1) > lost, "{} {lost}", newest(&world, 1));
    assert_eq!(sealed_to(&mut world, 2, 1), newest(&world, 1));
    world.drive(60_000);
    assert!(world.status(1).synced && world.status(2).synced);
}

#[test]
fn a_device_that_was_put_back_by_months_and_its_siblings_hear_each_other_though_neither_holds_a_seed_that_the_other_knows()
 {
    let mut world = World::of(3);
    let image = world.devices[&1].disk.clone();
    world.write(1, 2);
    everybodys_days(&mut world, 60);
    world.write(2, 1);
    world.drive(60_000);
    assert!((1..=3).all(|n| !slots(&world, n).contains(&1)), "what the image knows is destroyed");
    fresh(&mut world, 1, image);
    let lost = newest(&world, 1);
    assert!(lost > 1);
    world.drive(3_600_000);
    assert_eq!((world.held(1, 1), world.held(1, 2)), (2, 1), "what it lost came back");
    world.write(1, 1);
    world.write(3, 1);
    world.drive(60_000);
    assert!((1..=3).all(|n| world.status(n).synced));
    assert_eq!(sealed_to(&mut world, 2, 1), lost);
}

#[test]
fn a_device_that_was_put_back_to_before_it_knew_anybody_is_knocked_at() {
    let mut world = World::of(1);
    let image = world.devices[&1].disk.clone();
    let records = [genesis(), addition(1, 2, genesis().id(), 5)];
    world.start(2, &records);
    let newcomer = Verified::vouch(records[1].clone());
    world.input(1, Input::Record { call: CallId(1), record: newcomer });
    world.drive(10_000);
    world.write(2, 1);
    everybodys_days(&mut world, 60);
    assert!(!slots(&world, 2).contains(&1), "the one on the roster");
    fresh(&mut world, 1, image);
    world.write(2, 1);
    world.drive(2 * 3_600_000);
    assert_eq!(world.held(1, 2), 2);
    assert!(world.status(1).synced && world.status(2).synced);
}

#[test]
fn a_knock_brings_a_receipt_the_roster_and_a_prekey_and_nothing_that_must_stay_hidden() {
    let mut world = World::of(3);
    remove(&mut world, 1, 3, 0);
    world.drive(60_000);
    world.write(1, 5);
    world.mail.clear();
    world.pass(3_600_000);
    let (knocks, others): (Vec<Mail>, Vec<Mail>) =
        world.intercept(1, 2).into_iter().partition(|mail| mail.slot == COMMON_SLOT);
    assert!(!knocks.is_empty() && knocks.len() * 4 < others.len(), "{} of {}", knocks.len(), others.len());
    for knock in &knocks {
        let letter = &knock.parcel.letter;
        assert!(knock.parcel.runs.is_empty() && letter.epochs.is_empty() && letter.hydration == Hydration::default());
        assert!(!knock.parcel.records.is_empty() && !letter.prekey.public.is_empty() && letter.receipt_requested);
        assert_eq!(letter.receipt.vector.seq(source(1)), Seq(5));
    }
    // All that it left out went with the others.
    world.mail.extend(others);
    world.drive(60_000);
    assert!(world.status(1).synced);
}

#[test]
fn nobody_knocks_under_an_epoch_that_a_removed_device_knows() {
    let mut world = World::of(3);
    remove(&mut world, 1, 3, 0);
    world.mail.clear();
    world.write(1, 1);
    world.pass(2 * 3_600_000);
    let sent = world.intercept(1, 2);
    let fit = world.status(1).epoch;
    assert!(sent.iter().any(|mail| mail.under == FIRST_EPOCH), "the sibling has not shown the new one");
    let knocks: Vec<&Mail> = sent.iter().filter(|mail| mail.slot == COMMON_SLOT).collect();
    assert!(!knocks.is_empty() && knocks.iter().all(|mail| mail.under == fit && fit != FIRST_EPOCH));
}

#[test]
fn a_device_that_was_put_back_to_an_epoch_that_is_destroyed_hears_nobody_and_disturbs_nobody() {
    let mut world = World::of(3);
    let image = world.devices[&2].disk.clone();
    remove(&mut world, 1, 3, 0);
    everybodys_days(&mut world, 60);
    assert_eq!(world.devices[&1].disk.epochs.len(), 1);
    fresh(&mut world, 2, image);
    // The removed one lives in that epoch, and is still one of its own to this device.
    let stays = |sibling: &&SiblingStatus| sibling.device == id(1);
    let heard = |world: &World| world.status(2).siblings.iter().find(stays).map(|sibling| sibling.heard);
    let before = heard(&world);
    world.write(1, 1);
    world.drive(10 * DAY);
    assert_eq!(world.held(2, 1), 0);
    assert_eq!(heard(&world), before, "which is what its status tells of");
    world.write(1, 1);
    assert_eq!(world.held(1, 1), 2);
}

#[test]
fn of_two_copies_the_one_that_is_outrun_makes_a_later_prekey_once_in_its_life() {
    let mut world = World::of(2);
    let mut letter = mail_of(2, &[]);
    letter.parcel.letter.known_slot = 9;
    world.deliver(&letter);
    assert!(newest(&world, 1) > 9);
    let mine = newest(&world, 1);
    letter.parcel.letter.known_slot = mine + 7;
    world.deliver(&letter);
    assert_eq!(newest(&world, 1), mine);
    // What it knows of the other it goes beyond when it makes the next one.
    world.restart(1);
    letter.parcel.letter.known_slot = mine + 8;
    world.deliver(&letter);
    assert!(newest(&world, 1) > mine + 8);
    // A slot that no device reaches in its life is nobody's.
    world.restart(1);
    let before = newest(&world, 1);
    letter.parcel.letter.known_slot = u32::MAX;
    world.deliver(&letter);
    assert_eq!(newest(&world, 1), before);
}

#[test]
fn a_sibling_that_shows_a_lesser_slot_than_before_is_sealed_to_in_turn() {
    let mut world = World::of(2);
    let announce = |world: &mut World, slot| {
        let mut letter = mail_of(2, &[]);
        letter.parcel.letter.prekey = Prekey { slot, ..member(2).prekey };
        world.deliver(&letter);
    };
    announce(&mut world, 9);
    assert_eq!(sealed_to(&mut world, 1, 2), 9);
    announce(&mut world, 4);
    let turns: Vec<u32> = (0..4).map(|_| sealed_to(&mut world, 1, 2)).collect();
    assert!(turns.contains(&4) && turns.contains(&9), "{turns:?}");
    announce(&mut world, 10);
    let turns: Vec<u32> = (0..4).map(|_| sealed_to(&mut world, 1, 2)).collect();
    assert_eq!(turns, [10; 4]);
}

#[test]
fn a_clock_that_was_years_ahead_when_a_prekey_was_made_keeps_it_no_longer_than_a_week() {
    let mut world = World::of(2);
    world.node(1).ahead = i64::try_from(1_000 * DAY).unwrap();
    world.drive(60_000);
    world.fetch(1, RELAY);
    assert_eq!(slots(&world, 1), [1, 2]);
    world.node(1).ahead = 0;
    world.write(2, 1);
    days(&mut world, 8);
    assert!(slots(&world, 1).contains(&3), "{:?}", slots(&world, 1));
}

#[test]
fn that_a_sibling_knows_the_newest_prekey_outlives_a_restart() {
    let mut world = World::of(2);
    days(&mut world, 8);
    world.drive(60_000);
    world.restart(1);
    world.write(1, 1);
    assert!(world.intercept(1, 2).iter().all(|mail| mail.parcel.letter.prekey.public.is_empty()));
}

#[test]
fn spans_that_do_not_fit_together_are_refused() {
    let good = Config::default();
    let kept = good.retention;
    assert_eq!(good.check(kept), Ok(()));
    let refused = |config: Config| config.check(kept).map_err(|ConfigError { .. }| ()).is_err();
    assert!(good.check(Millis(kept.0 + 1)).is_err());
    assert!(refused(Config { stale_after: kept, ..good }));
    assert!(refused(Config { rekey_after: Millis(0), ..good }));
}
