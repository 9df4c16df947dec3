//! Devices that share no relay agree through those that share one with each.

use super::script::*;
use super::world::*;
use crate::ids::{RelayId, Seq};
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

/// Statements of device `of` that went from one device to another, with what they say of device 1's source.
fn passed_on(world: &World, from: u8, to: u8, of: u8) -> Vec<u64> {
    let sends = world.devices[&from].outputs.iter().filter_map(|output| match output {
        Output::Send(send) if send.to == id(to) => Some(&send.letter.statements),
        Output::Send(_) | Output::Commit(_) | Output::Reply(..) | Output::Look(_) | Output::Acknowledge(_) => None,
    });
    let said = sends.flatten().filter(|statement| statement.device == id(of));
    said.map(|statement| statement.receipt.vector.seq(source(1)).0).collect()
}

fn seconds(world: &mut World, count: usize) {
    (0..count).for_each(|_| second(world));
}

/// Lets seconds pass in which everything that device 2 tells device 1 is lost.
fn seconds_of_loss(world: &mut World, count: usize) {
    let last = u8::try_from(world.devices.len()).unwrap();
    for _ in 0..count * 10 {
        world.pass(100);
        for (from, to) in [(1, last), (last, 1), (2, 1)] {
            world.intercept(from, to);
        }
        while let Some(mail) = world.mail.pop_front() {
            world.deliver(&mail);
            world.intercept(2, 1);
        }
    }
}

/// What `n` has heard of the receipts of `of`, of device 1's source.
fn heard(world: &World, n: u8, of: u8) -> u64 {
    let status = world.status(n);
    status.siblings.iter().find(|sibling| sibling.device == id(of)).unwrap().vector.seq(source(1)).0
}

#[test]
fn receipts_come_over_the_bridge_and_both_ends_are_synced() {
    let mut world = chain_of(3);
    world.write(1, 2);
    world.write(3, 1);
    seconds(&mut world, 20);
    assert_eq!(heard(&world, 1, 3), 2);
    assert!(
        (1..=3).all(|n| world.status(n).synced),
        "{:?}",
        (1..=3).map(|n| world.status(n).pending_up).collect::<Vec<_>>()
    );
    assert!(world.status(1).siblings.iter().all(|sibling| sibling.roster_known && sibling.op_level > 0));
}

#[test]
fn what_was_passed_on_is_not_repeated_once_it_was_shown() {
    let mut world = chain_of(3);
    world.write(1, 2);
    seconds(&mut world, 60);
    let before = world.sends(1) + world.sends(2) + world.sends(3);
    let passed = passed_on(&world, 2, 1, 3).len();
    seconds(&mut world, 600);
    assert_eq!(passed_on(&world, 2, 1, 3).len(), passed);
    assert_eq!(world.sends(1) + world.sends(2) + world.sends(3), before, "nobody has anything to say");
}

#[test]
fn a_statement_that_was_lost_is_passed_on_again() {
    let mut world = chain_of(3);
    seconds(&mut world, 60);
    world.write(1, 1);
    seconds_of_loss(&mut world, 100);
    assert_eq!(heard(&world, 1, 3), 0);
    let told = passed_on(&world, 2, 1, 3);
    assert!((2..=6).contains(&told.iter().filter(|seq| **seq == 1).count()), "{told:?}");
    seconds(&mut world, 200);
    assert_eq!(heard(&world, 1, 3), 1);
}

#[test]
fn of_several_bridges_the_first_one_passes_on_and_another_when_it_fails() {
    let mut world = chain_of(4);
    seconds(&mut world, 100);
    let before = passed_on(&world, 3, 1, 4).len();
    world.write(1, 1);
    seconds(&mut world, 30);
    assert_eq!((heard(&world, 1, 4), passed_on(&world, 3, 1, 4).len()), (1, before));
    world.write(1, 1);
    seconds_of_loss(&mut world, 200);
    assert_eq!(heard(&world, 1, 4), 2);
}

#[test]
fn over_two_bridges_receipts_come_within_some_minutes() {
    let mut world = chain_of(4);
    let third = RelayId([0xC0; 16]);
    // 1 and 2 meet on RELAY, 2 and 3 on OTHER, 3 and 4 on the third one.
    for n in [3, 4] {
        world.input(n, Input::RelayAdded(third));
    }
    world.drive(1_000);
    world.input(3, Input::RelayRemoved(RELAY));
    world.input(4, Input::RelayRemoved(OTHER));
    world.drive(1_000);
    let apart = [(1, 3), (1, 4), (2, 4)];
    let pass = |world: &mut World, count: usize| {
        for _ in 0..count * 10 {
            for (a, b) in apart {
                world.intercept(a, b);
                world.intercept(b, a);
            }
            world.deliver_all();
            world.pass(100);
        }
    };
    pass(&mut world, 200);
    world.write(1, 3);
    pass(&mut world, 600);
    assert_eq!((world.held(4, 1), heard(&world, 1, 4)), (3, 3));
    assert!((1..=4).all(|n| world.status(n).synced));
}

#[test]
fn two_that_lost_their_last_common_relay_unheard_still_hear_of_each_other() {
    let mut world = World::of(3);
    for n in 1..=3 {
        world.input(n, Input::RelayAdded(OTHER));
    }
    world.drive(10_000);
    // One leaves here and one there, and neither hears that of the other.
    for (n, relay) in [(1, OTHER), (3, RELAY)] {
        world.input(n, Input::RelayRemoved(relay));
    }
    world.write(1, 2);
    world.write(3, 1);
    seconds(&mut world, 200);
    assert_eq!((heard(&world, 1, 3), world.held(1, 3)), (2, 1));
    assert!((1..=3).all(|n| world.status(n).synced));
}

#[test]
fn a_watermark_moves_when_receipts_come_over_a_bridge() {
    let mut world = chain_of(3);
    world.write(1, 5);
    seconds(&mut world, 30);
    assert_eq!(world.compact(1).get(&1), Some(&5));
}

#[test]
fn an_older_statement_takes_nothing_back_and_a_device_is_told_nothing_of_itself() {
    let mut world = chain_of(3);
    world.write(1, 1);
    seconds(&mut world, 30);
    let old = world.devices[&2].outputs.iter().rev().find_map(|output| match output {
        Output::Send(send) if !send.letter.statements.is_empty() && send.to == id(1) => Some(send.letter.clone()),
        Output::Send(_) | Output::Commit(_) | Output::Reply(..) | Output::Look(_) | Output::Acknowledge(_) => None,
    });
    world.write(1, 2);
    seconds(&mut world, 30);
    assert_eq!(heard(&world, 1, 3), 3);
    let old = old.unwrap();
    assert_eq!(old.statements[0].receipt.vector.seq(source(1)), Seq(1));
    let parcel = verified(&old, &[]);
    world.deliver(&Mail { from: 2, to: 1, relay: RELAY, under: old.epoch, slot: 1, parcel });
    assert_eq!(heard(&world, 1, 3), 3);
    let of_itself: Vec<u64> = (1..=3).flat_map(|n| passed_on(&world, 2, n, n)).collect();
    assert!(of_itself.is_empty());
}

#[test]
fn devices_that_all_share_a_relay_sign_nothing_and_pass_nothing_on() {
    let mut world = World::of(3);
    world.drive(60_000);
    let before: Vec<usize> = (1..=3).map(|n| world.devices[&n].outputs.len()).collect();
    world.write(1, 2);
    world.drive(600_000);
    for n in 1..=3 {
        let sends = world.devices[&n].outputs[before[usize::from(n) - 1]..].iter().filter_map(|output| match output {
            Output::Send(send) => Some(&send.letter),
            Output::Commit(_) | Output::Reply(..) | Output::Look(_) | Output::Acknowledge(_) => None,
        });
        let mut letters = sends.peekable();
        assert!(letters.peek().is_some());
        assert!(letters.all(|l| l.signature.is_none() && l.distant.is_empty() && l.statements.is_empty()));
    }
}

#[test]
fn siblings_that_share_a_relay_are_left_to_themselves() {
    let mut world = World::of(3);
    world.write(1, 1);
    world.intercept(1, 3);
    second(&mut world);
    assert_eq!(handed_on(&world, 2, 3), 0);
}

#[test]
fn what_was_handed_on_is_not_handed_on_again_with_what_comes_next() {
    let mut world = chain_of(3);
    let mut handed = Vec::new();
    for _ in 0..2 {
        world.write(1, 1);
        for mail in world.intercept(1, 2) {
            world.deliver(&mail);
        }
        // Nothing is heard of device 3 meanwhile.
        handed.extend(world.intercept(2, 3).iter().map(|mail| mail.seqs(1)).filter(|seqs| !seqs.is_empty()));
    }
    assert_eq!(handed, [vec![1], vec![2]]);
}
