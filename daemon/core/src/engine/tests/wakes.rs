//! When the engine wants to be called again, and for how long something is believed.

use super::disk::FIRST_EPOCH;
use super::script::*;
use super::world::*;
use crate::engine::next_generation;
use crate::epoch::Epoch;
use crate::ids::{Millis, Now};
use crate::prekey::{COMMON_SLOT, HeldPrekey};
use crate::roster::Verified;
use crate::snapshot::Hydration;
use crate::step::{CallId, Change, Input, Output};

const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;
const SECOND: Epoch = Epoch { number: 2, id: [2; 16] };
const THIRD: Epoch = Epoch { number: 3, id: [3; 16] };

/// After so many milliseconds device 1 wants to be called.
fn wakes_in(world: &mut World) -> Option<u64> {
    let now = world.at();
    world.node(1).engine.wake_at(now).map(|at| at.since(now.mono).0)
}

#[test]
fn a_mint_that_lies_ahead_wakes_and_one_that_is_due_does_not() {
    let mut world = World::of(2);
    world.drive(60_000);
    for (ahead, wakes) in [(7, true), (0, false)] {
        world.node(1).engine.mint_at = Some(world.now.plus(Millis(ahead)));
        assert_eq!(wakes_in(&mut world) == Some(ahead), wakes);
    }
}

#[test]
fn a_chunk_that_is_to_be_asked_for_wakes_and_one_that_cannot_be_does_not() {
    let mut world = World::of(2);
    let mut mail = mail_of(2, &[]);
    mail.parcel.letter.hydration = Hydration { watermark: vector(&[(9, 3)]), ..Hydration::default() };
    world.deliver(&mail);
    for (ahead, wakes) in [(7, true), (0, false)] {
        let at = world.now.plus(Millis(ahead));
        world.node(1).engine.hydration.as_mut().unwrap().ask_at = at;
        assert_eq!(wakes_in(&mut world) == Some(ahead), wakes);
    }
}

#[test]
fn an_earlier_epoch_is_looked_into_for_31_days_after_it_is_quiet_and_the_end_of_that_wakes() {
    let mut world = World::of(2);
    let Now { mono, wall } = world.at();
    let engine = &mut world.node(1).engine;
    assert_eq!(engine.epochs_wake_at(Now { mono, wall }), None);
    engine.epochs.insert(SECOND, Some(wall));
    let later = |span: u64| Now { mono: mono.plus(Millis(span)), wall: wall.plus(Millis(span)) };
    let end = mono.plus(Millis(31 * DAY + 1));
    for span in [0, DAY, 31 * DAY] {
        assert_eq!(engine.epochs_wake_at(later(span)), Some(end));
        assert!(!engine.is_past(Some(wall), later(span)));
    }
    assert_eq!(engine.epochs_wake_at(later(31 * DAY + 1)), None);
    assert!(engine.is_past(Some(wall), later(31 * DAY + 1)));
}

#[test]
fn the_epoch_that_is_lived_in_is_never_quiet() {
    let mut world = World::of(3);
    super::removals::remove(&mut world, 1, 3, 0);
    world.drive(60_000);
    let epochs = &world.devices[&1].disk.epochs;
    let quiet: Vec<bool> = epochs.values().map(|held| held.quiet.is_some()).collect();
    assert_eq!(quiet, [true, false]);
}

#[test]
fn who_is_not_the_first_of_the_live_lets_the_others_mint_first() {
    for (away, turns) in [(0, [1, 2, 3]), (100 * DAY, [1, 1, 1])] {
        let mut world = World::of(4);
        world.now = Millis(world.now.0 + away);
        let heads = world.node(1).engine.roster().heads();
        let record = removal(1, 4, heads, 50_000, None);
        for (n, turn) in [1, 2, 3].into_iter().zip(turns) {
            world.node(n).engine.take_records([Verified::vouch(record.clone())]);
            let now = world.at();
            assert_eq!(world.node(n).engine.wants_epoch(now), None);
            let due = world.now.plus(Millis(30_000 * turn));
            assert_eq!(world.node(n).engine.mint_at, Some(due), "device {n} after {away} ms");
        }
    }
}

#[test]
fn an_epoch_that_is_given_again_is_written_once() {
    let mut world = World::of(3);
    super::removals::remove(&mut world, 1, 3, 0);
    let gifts = world.intercept(1, 2);
    assert!(gifts.iter().any(|mail| !mail.parcel.epochs.is_empty()));
    for _ in 0..2 {
        gifts.iter().for_each(|mail| drop(world.deliver(mail)));
    }
    assert_eq!(world.devices[&2].disk.epochs.len(), 2);
}

#[test]
fn every_fourth_letter_without_an_answer_goes_under_another_epoch_in_turn() {
    let mut world = World::of(2);
    let engine = &mut world.node(1).engine;
    engine.epochs.extend([(SECOND, None), (THIRD, None)]);
    engine.siblings.get_mut(&id(2)).unwrap().under = FIRST_EPOCH;
    let under: Vec<u32> = (0..16)
        .map(|in_vain| {
            engine.siblings.get_mut(&id(2)).unwrap().in_vain = in_vain;
            engine.epoch_for(id(2)).unwrap().number
        })
        .collect();
    assert_eq!(under, [1, 1, 1, 2, 1, 1, 1, 3, 1, 1, 1, 2, 1, 1, 1, 3]);
}

#[test]
fn of_the_words_to_a_silent_sibling_every_second_one_is_a_knock_and_all_but_the_first_are_in_vain() {
    let mut world = World::of(2);
    world.drive(60_000);
    world.node(1).engine.siblings.get_mut(&id(2)).unwrap().roster_attempts = 0;
    let mut words = Vec::new();
    while words.len() < 4 {
        world.pass(HOUR / 4);
        for mail in world.intercept(1, 2) {
            let sibling = &world.devices[&1].engine.siblings[&id(2)];
            words.push((mail.slot == COMMON_SLOT, sibling.in_vain, sibling.roster_attempts));
            assert!(mail.parcel.letter.epochs.is_empty(), "the first epoch is nobody's to give");
        }
    }
    assert_eq!(words, [(false, 0, 0), (true, 1, 0), (false, 2, 0), (true, 3, 0)]);
}

#[test]
fn a_word_to_who_may_not_know_the_roster_counts_as_telling_it() {
    let mut world = World::of(2);
    world.drive(60_000);
    world.mail.clear();
    world.now = Millis(91 * DAY);
    let sibling = world.node(1).engine.siblings.get_mut(&id(2)).unwrap();
    (sibling.roster_known, sibling.roster_attempts) = (false, 0);
    world.input(1, Input::Tick);
    assert_eq!(world.intercept(1, 2).len(), 1);
    assert_eq!(world.devices[&1].engine.siblings[&id(2)].roster_attempts, 1);
}

#[test]
fn what_was_fetched_from_a_relay_that_was_taken_out_does_not_count_when_it_is_added_again() {
    for removed in [false, true] {
        let mut world = World::of(2);
        world.now = Millis(8 * DAY);
        let now = world.at();
        let engine = &mut world.node(1).engine;
        engine.handle(Input::Fetched { relay: RELAY, took: Millis(0) }, now);
        if removed {
            engine.handle(Input::RelayRemoved(RELAY), now);
            engine.handle(Input::RelayAdded(RELAY), now);
        }
        assert_eq!(engine.wants_prekey(now), (!removed).then_some(2));
    }
}

/// Device 1 at its start with the first prekey as given and a second one that is its newest.
fn with_prekeys(change: impl Fn(&mut HeldPrekey)) -> World {
    let mut world = World::of(2);
    let mut image = world.devices[&1].disk.clone();
    image.rekey(2);
    change(&mut image.prekeys.get_mut(&1).unwrap().0);
    world.put_back(1, image);
    world
}

#[test]
fn a_prekey_that_became_quiet_years_ahead_is_quiet_from_now_on() {
    let mut world = with_prekeys(|held| held.quiet = Some(Millis(2 * EPOCH)));
    world.input(1, Input::Tick);
    assert_eq!(world.devices[&1].disk.prekeys[&1].0.quiet, Some(world.at().wall));
}

#[test]
fn a_prekey_that_a_sibling_says_is_the_newest_it_knows_is_not_quiet() {
    let mut world = with_prekeys(|held| held.quiet = Some(Millis(EPOCH)));
    let mut mail = mail_of(2, &[]);
    mail.parcel.letter.known_slot = 1;
    world.deliver(&mail);
    assert_eq!(world.devices[&1].disk.prekeys[&1].0.quiet, None);
}

#[test]
fn who_was_put_back_makes_a_prekey_after_the_seconds_of_its_generation_and_looks_for_lost_siblings() {
    let mut world = World::of(2);
    let is_lost = |world: &World| world.devices[&1].engine.siblings[&id(2)].is_lost;
    let mut image = world.devices[&1].disk.clone();
    image.write(&Change::Fresh { source: source(0x81), generation: 5 << 16 });
    let (held, _) = image.prekeys[&1];
    image.write(&Change::PrekeyHeld(held.spoilt()));
    world.put_back(1, image);
    assert_eq!(world.devices[&1].engine.slots().collect::<Vec<_>>(), [1, 6]);
    assert!(is_lost(&world));
    // The next one, a week later, is like any other.
    world.node(1).engine.siblings.get_mut(&id(2)).unwrap().is_lost = false;
    world.now = Millis(8 * DAY);
    world.input(1, Input::Fetched { relay: RELAY, took: Millis(0) });
    assert_eq!(world.devices[&1].engine.slots().collect::<Vec<_>>(), [1, 6, 7]);
    assert!(!is_lost(&world));
}

#[test]
fn a_prekey_that_is_known_from_the_roster_is_nothing_new() {
    let mut world = World::of(2);
    let mut mail = mail_of(2, &[]);
    mail.parcel.letter.prekey = member(2).prekey;
    let written = world.deliver(&mail);
    let saved = |output: &Output| matches!(output, Output::Commit(Change::Sibling(_)));
    assert!(!written.iter().any(saved));
    assert_eq!(world.node(1).engine.siblings[&id(2)].shows_older, None);
}

#[test]
fn the_time_of_a_restart_stands_in_the_generation() {
    let mut world = World::of(1);
    assert_eq!(world.status(1).restarted, None);
    let wall = Millis(1_234_567_000);
    world.node(1).engine.generation = next_generation(id(1), 1, [], wall, 0xFFFF);
    assert_eq!(world.status(1).restarted, Some(wall));
}

#[test]
fn a_newcomer_that_has_heard_nobody_is_not_synced() {
    let mut world = World::of(1);
    let parent = world.node(1).engine.roster().heads().into_iter().next().unwrap();
    let record = Verified::vouch(addition(1, 2, parent, 1_000));
    world.input(1, Input::Record { call: CallId(1), record });
    let records = world.node(1).engine.roster().records();
    world.mail.clear();
    world.start(2, &records);
    assert!(!world.status(2).synced);
    world.drive(60_000);
    assert!(world.status(2).synced);
}

#[test]
fn a_pass_waits_for_every_parcel_that_was_under_way_when_it_began() {
    let mut world = World::of(4);
    world.drive(60_000);
    world.node(1).puts = Puts::Open;
    for n in 2..=4 {
        let mut mail = mail_of(n, &[]);
        mail.parcel.letter.receipt_requested = true;
        world.deliver(&mail);
    }
    let mark = world.node(1).engine.pass_mark();
    let open = std::mem::take(&mut world.node(1).open);
    assert_eq!(open.len(), 3);
    for send in open.iter().rev() {
        assert!(!world.node(1).engine.is_pass_over(mark));
        world.answer(1, send);
    }
    assert!(world.node(1).engine.is_pass_over(mark));
}
