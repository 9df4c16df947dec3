//! A relay that takes mail and does not deliver it is named, and only such a relay.

use super::script::*;
use super::world::*;
use crate::ids::{Millis, RelayId};
use crate::step::Input;

const MINUTE: u64 = 60_000;

/// Lets `millis` pass while a relay keeps to itself what device 2 sends device 1; gives that.
fn withholding(world: &mut World, millis: u64) -> Vec<Mail> {
    let until = world.now.plus(Millis(millis));
    let mut kept = Vec::new();
    while world.now < until {
        kept.extend(world.intercept(2, 1));
        world.deliver_all();
        kept.extend(world.intercept(2, 1));
        world.pass(100);
    }
    kept
}

/// What device 1 suspects for device 2.
fn alarm(world: &World) -> Vec<RelayId> {
    let status = world.status(1);
    let siblings = status.siblings.into_iter();
    siblings.filter(|sibling| sibling.device == id(2)).flat_map(|sibling| sibling.withheld).collect()
}

#[test]
fn a_relay_is_named_when_a_third_device_shows_what_the_author_does_not_for_ten_minutes() {
    let mut world = World::of(3);
    world.write(2, 1);
    world.drive(10 * MINUTE);
    world.write(2, 1);
    let mut kept = withholding(&mut world, 9 * MINUTE);
    assert_eq!(world.held(1, 2), 2, "repair brings it");
    assert_eq!(alarm(&world), []);
    kept.extend(withholding(&mut world, 3 * MINUTE));
    assert_eq!(alarm(&world), [RELAY]);
    assert!(world.status(1).siblings.iter().all(|sibling| sibling.device == id(2) || sibling.withheld.is_empty()));
    world.deliver(&kept.pop().unwrap());
    assert_eq!(alarm(&world), [], "it clears by itself");
}

#[test]
fn the_alarm_rings_without_anything_else_happening() {
    let mut world = World::of(3);
    world.write(2, 1);
    world.drive(MINUTE);
    world.write(2, 1);
    withholding(&mut world, MINUTE);
    let (now, at) = (world.at(), world.now);
    let wakes = std::iter::successors(Some(now), |now| {
        let wake = world.node(1).engine.settle(*now)?;
        Some(crate::ids::Now { mono: wake, wall: Millis(EPOCH + wake.0) })
    });
    assert!(wakes.take(200).any(|wake| (9 * MINUTE..=10 * MINUTE).contains(&wake.mono.since(at).0)));
}

#[test]
fn a_sibling_that_writes_all_the_time_and_is_a_little_behind_alarms_nobody() {
    let mut world = World::of(3);
    world.write(2, 1);
    world.drive(MINUTE);
    for _ in 0..15 {
        world.write(2, 1);
        let kept = withholding(&mut world, MINUTE);
        kept.iter().for_each(|mail| {
            world.deliver(mail);
        });
        assert_eq!(alarm(&world), []);
    }
}

#[test]
fn a_sibling_that_looks_elsewhere_for_its_mail_alarms_nobody() {
    let mut world = World::of(3);
    world.write(2, 1);
    world.drive(MINUTE);
    for n in [2, 3] {
        world.input(n, Input::RelayAdded(OTHER));
    }
    world.drive(MINUTE);
    world.input(2, Input::RelayRemoved(RELAY));
    world.drive(MINUTE);
    world.write(2, 1);
    withholding(&mut world, 20 * MINUTE);
    assert_eq!(world.held(1, 2), 2);
    assert_eq!(alarm(&world), []);
}

#[test]
fn a_device_that_sends_on_passes_only_is_not_alarmed() {
    let mut world = World::of(3);
    world.write(2, 1);
    world.drive(MINUTE);
    world.write(2, 1);
    withholding(&mut world, 20 * MINUTE);
    assert_eq!(alarm(&world), [RELAY]);
    world.input(1, Input::Gate { open: false });
    assert_eq!(alarm(&world), []);
}

/// Two relays, of which RELAY loses what device 1 puts there for `times` bundles, each some time after the one before.
fn swallowing(world: &mut World, times: u32) {
    for _ in 0..times {
        world.write(1, 1);
        for _ in 0..150 {
            world.mail.retain(|mail| mail.from != 1 || mail.relay != RELAY);
            world.deliver_all();
            world.pass(100);
        }
        world.drive(11 * MINUTE);
        // What else is said keeps the lane from noticing that it strayed; the next receipt brings it home.
        world.write(1, 1);
        world.mail.retain(|mail| mail.from != 1 || mail.relay != RELAY);
        world.drive(MINUTE);
    }
}

#[test]
fn a_relay_that_swallows_mail_is_named_when_another_delivers_it_again_and_again() {
    let mut world = World::with_two_relays();
    swallowing(&mut world, 2);
    assert_eq!(alarm(&world), []);
    swallowing(&mut world, 3);
    assert_eq!(alarm(&world), [RELAY]);
    world.write(1, 1);
    world.drive(MINUTE);
    assert_eq!(alarm(&world), [], "a receipt by way of it clears it");
}

#[test]
fn a_sibling_that_is_away_makes_no_relay_suspect() {
    let mut world = World::with_two_relays();
    for _ in 0..6 {
        world.write(1, 1);
        world.pass(30 * MINUTE);
        world.drive(30 * MINUTE);
        assert_eq!(alarm(&world), []);
    }
}

#[test]
fn what_others_show_of_a_sibling_counts_before_it_is_here_and_from_when_it_was_first_shown() {
    let mut world = World::of(3);
    let bundles = chain(2, vec![body(1)]);
    let mut own = mail_of(2, &[run_of(2, &bundles)]);
    own.parcel.letter.receipt.vector.advance(source(2), bundles[0].head());
    world.deliver(&own);
    let show = |world: &mut World, seq: u64| {
        let mut mail = mail_of(3, &[]);
        mail.parcel.letter.receipt.vector = vector(&[(2, seq)]);
        world.deliver(&mail);
        world.node(1).engine.siblings[&id(2)].unheard.as_ref().map(|unheard| unheard.alarm_at())
    };
    let alarm = show(&mut world, 4);
    assert_eq!(alarm, Some(world.now.plus(Millis(10 * MINUTE))));
    world.pass(MINUTE);
    assert_eq!(show(&mut world, 5), alarm);
}
