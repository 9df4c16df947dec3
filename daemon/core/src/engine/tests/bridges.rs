//! Devices that share no relay agree through those that share one with each.

use super::script::*;
use super::world::*;
use crate::step::{Input, Output};

/// Device 1 looks on RELAY, the last one on OTHER, those between them on both.
fn chain_of(count: u8) -> World {
    let mut world = World::of(count);
    for n in 2..=count {
        world.input(n, Input::RelayAdded(OTHER));
    }
    world.drive(1_000);
    world.input(count, Input::RelayRemoved(RELAY));
    world.drive(10_000);
    world
}

/// Lets a second pass; mail between the two ends is lost, as nobody looks where it lies.
fn second(world: &mut World) {
    let last = u8::try_from(world.devices.len()).unwrap();
    for _ in 0..10 {
        world.intercept(1, last);
        world.intercept(last, 1);
        world.deliver_all();
        world.pass(100);
    }
}

/// How many parcels with bundles of device 1 a device sent another one.
fn handed_on(world: &World, from: u8, to: u8) -> usize {
    let brings = |output: &&Output| matches!(output, Output::Send(send) if send.to == id(to) && send.runs.iter().any(|run| run.source == source(1)));
    world.devices[&from].outputs.iter().filter(brings).count()
}

#[test]
fn what_one_end_writes_is_at_the_other_at_once() {
    let mut world = chain_of(3);
    world.write(1, 2);
    world.write(3, 1);
    second(&mut world);
    assert_eq!((world.held(3, 1), world.held(1, 3)), (2, 1));
    world.write(1, 1);
    second(&mut world);
    assert_eq!(world.held(3, 1), 3);
}

#[test]
fn of_several_bridges_the_first_one_hands_on() {
    let mut world = chain_of(4);
    world.write(1, 1);
    for _ in 0..20 {
        second(&mut world);
    }
    assert_eq!((handed_on(&world, 2, 4), handed_on(&world, 3, 4)), (1, 0));
    assert_eq!(world.held(4, 1), 1);
}

#[test]
fn what_a_bridge_handed_on_in_vain_comes_by_repair() {
    let mut world = chain_of(3);
    world.write(1, 1);
    world.intercept(1, 3);
    for mail in world.intercept(1, 2) {
        world.deliver(&mail);
    }
    assert!(world.intercept(2, 3).iter().any(|mail| mail.seqs(1) == [1]));
    for _ in 0..200 {
        second(&mut world);
    }
    assert_eq!(world.held(3, 1), 1);
}

#[test]
fn siblings_that_share_a_relay_are_left_to_themselves() {
    let mut world = World::of(3);
    world.write(1, 1);
    world.intercept(1, 3);
    second(&mut world);
    assert_eq!(handed_on(&world, 2, 3), 0);
}
