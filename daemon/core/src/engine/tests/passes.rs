//! The gate, and passes through it.

use super::script::*;
use super::world::*;
use crate::engine::PassMark;
use crate::ids::{Millis, Seq};
use crate::step::{Input, Send};

/// Begins a pass over an open gate; gives its mark.
fn pass(world: &mut World, n: u8, how: Input) -> PassMark {
    world.inputs(n, vec![Input::Gate { open: true }, how]);
    world.node(n).engine.pass_mark()
}

fn is_over(world: &mut World, mark: PassMark) -> bool {
    world.node(1).engine.is_pass_over(mark)
}

fn refuse(world: &mut World, send: &Send) {
    world.input(1, Input::Sent { ticket: send.ticket, reached: None, bytes: 1_000, took: Millis(5) });
}

#[test]
fn behind_a_shut_gate_everything_waits_and_nobody_is_woken() {
    let mut world = World::of(2);
    world.input(1, Input::Gate { open: false });
    world.write(1, 3);
    world.pass(10_000);
    assert!(world.intercept(1, 2).is_empty());
    let now = world.at();
    assert_eq!(world.node(1).engine.settle(now), None);
    assert_eq!(world.status(1).pending_up, 3);
    world.input(1, Input::Gate { open: true });
    assert_eq!(world.intercept(1, 2)[0].seqs(1), [1, 2, 3]);
}

#[test]
fn behind_a_shut_gate_a_device_still_hears() {
    let mut world = World::of(2);
    world.input(1, Input::Gate { open: false });
    world.write(2, 2);
    world.drive(30_000);
    assert_eq!(world.held(1, 2), 2);
    assert!(!world.status(2).synced, "its receipt waits for a pass");
    pass(&mut world, 1, Input::Pass);
    world.deliver_all();
    assert!(world.status(2).synced);
}

#[test]
fn a_pass_brings_out_all_that_waits_and_no_more() {
    let mut world = World::of(2);
    world.drive(60_000);
    world.input(1, Input::Gate { open: false });
    world.write(1, 2);
    pass(&mut world, 1, Input::Pass);
    world.input(1, Input::Gate { open: false });
    let sent = world.intercept(1, 2);
    assert_eq!(sent.iter().map(|mail| mail.seqs(1)).collect::<Vec<_>>(), [[1, 2]]);
    assert!(!sent[0].parcel.letter.receipt_requested);
    pass(&mut world, 1, Input::Pass);
    assert!(world.intercept(1, 2).is_empty(), "what a relay has taken waits for its receipt");
}

#[test]
fn a_receipt_that_waits_for_company_leaves_with_a_pass() {
    let mut world = World::of(2);
    world.write(2, 1);
    let mail = world.intercept(2, 1).remove(0);
    world.deliver(&mail);
    assert!(world.intercept(1, 2).is_empty());
    pass(&mut world, 1, Input::Pass);
    assert_eq!(world.intercept(1, 2)[0].parcel.letter.receipt.vector.seq(source(2)), Seq(1));
}

#[test]
fn a_pass_is_over_when_what_it_brings_is_put() {
    let mut world = World::of(2);
    world.node(1).puts = Puts::Open;
    world.write(1, 3);
    let mark = pass(&mut world, 1, Input::Pass);
    let first = world.node(1).open.remove(0);
    world.answer(1, &first);
    assert!(!is_over(&mut world, mark), "the rest was still to be sent");
    let second = world.node(1).open.remove(0);
    world.write(1, 1);
    world.answer(1, &second);
    assert_eq!(world.node(1).open[0].runs[0].after, Seq(3));
    assert!(is_over(&mut world, mark), "what was written later does not prolong it");
}

#[test]
fn a_pass_without_anything_to_say_is_over_at_once() {
    let mut world = World::of(2);
    world.drive(60_000);
    let mark = pass(&mut world, 1, Input::Pass);
    assert!(is_over(&mut world, mark));
}

#[test]
fn a_pass_is_over_when_every_relay_has_refused() {
    let mut world = World::of(2);
    for n in [1, 2] {
        world.input(n, Input::RelayAdded(OTHER));
    }
    world.drive(60_000);
    world.node(1).puts = Puts::Open;
    world.write(1, 1);
    let mark = pass(&mut world, 1, Input::SyncNow);
    let first = world.node(1).open.remove(0);
    refuse(&mut world, &first);
    assert!(!is_over(&mut world, mark), "the next relay is tried");
    let second = world.node(1).open.remove(0);
    assert_ne!(second.relay, first.relay);
    refuse(&mut world, &second);
    assert!(is_over(&mut world, mark));
}

#[test]
fn a_pass_tries_a_relay_again_that_refused_a_moment_ago() {
    let mut world = World::of(2);
    world.drive(60_000);
    world.node(1).puts = Puts::Refused;
    world.write(1, 1);
    world.node(1).puts = Puts::Answered;
    assert!(world.mail.is_empty());
    let mark = pass(&mut world, 1, Input::Pass);
    assert_eq!(world.intercept(1, 2)[0].seqs(1), [1]);
    assert!(is_over(&mut world, mark));
}
