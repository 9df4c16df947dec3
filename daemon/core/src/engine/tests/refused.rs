//! One bad item never blocks the rest.

use bytes::Bytes;

use super::script::*;
use super::world::*;
use crate::bundle::{Body, Bundle};
use crate::clock::Stamp;
use crate::ids::Hash;
use crate::parcel::RunBodies;
use crate::roster::Verified;
use crate::step::{Change, Delivery, Input, Output, QUARANTINE_BYTES};

fn quarantined(outputs: &[Output]) -> usize {
    outputs.iter().filter(|output| matches!(output, Output::Commit(Change::Quarantine(_)))).count()
}

fn goes_on(world: &mut World) {
    let before = world.held(1, 3);
    world.write(3, 2);
    world.drive(20_000);
    assert_eq!(world.held(1, 3), before + 2, "a third device is held up");
}

#[test]
fn an_envelope_that_cannot_be_opened_is_set_aside_and_acknowledged() {
    let mut world = World::of(3);
    let delivery = Delivery { relay: RELAY, ticket: 77 };
    let bytes = Bytes::from(vec![1; QUARANTINE_BYTES * 2]);
    let outputs = world.input(1, Input::Unopenable { delivery, reason: "garbage".into(), bytes });
    assert!(matches!(&outputs[0], Output::Commit(Change::Quarantine(q)) if q.bytes.len() == QUARANTINE_BYTES));
    assert!(matches!(outputs[1], Output::Acknowledge(acked) if acked == delivery));
    goes_on(&mut world);
}

#[test]
fn a_run_that_does_not_continue_what_is_held_is_not_taken_in_and_stops_nothing() {
    let mut world = World::of(3);
    let bundles = chain(2, vec![body(0), body(1)]);
    world.deliver(&mail_of(2, &[run_of(2, &bundles[..1])]));
    let torn = Bundle::write(dot(2, 2), Hash([7; 32]), body(9)).unwrap();
    let good = run_of(3, &chain(3, vec![body(3)]));
    world.deliver(&mail_of(2, &[run_of(2, &[torn]), good]));
    assert_eq!((world.held(1, 2), world.held(1, 3)), (1, 1));
    let refused = world.status(1).refused;
    assert!(!refused[0].ended && refused[0].reason.contains(&"07".repeat(16)), "{refused:?}");
}

#[test]
fn two_bundles_at_one_position_end_the_source_before_them() {
    let mut world = World::of(3);
    world.deliver(&mail_of(2, &[run_of(2, &chain(2, vec![body(0)]))]));
    let outputs = world.deliver(&mail_of(2, &[run_of(2, &chain(2, vec![body(1), body(2)]))]));
    assert_eq!(quarantined(&outputs), 1);
    assert_eq!(world.held(1, 2), 0);
    goes_on(&mut world);
}

#[test]
fn stamps_that_run_backwards_stop_the_source_before_them() {
    let mut world = World::of(3);
    let outputs = world.deliver(&mail_of(2, &[run_of(2, &chain(2, vec![body(5), body(5), body(9)]))]));
    assert_eq!(quarantined(&outputs), 1);
    assert_eq!(world.held(1, 2), 1);
    goes_on(&mut world);
}

#[test]
fn a_stopped_source_is_shown_with_what_stands_here_and_what_was_offered() {
    let mut world = World::of(3);
    let (here, there) = (chain(2, vec![body(0)]), chain(2, vec![body(1)]));
    world.deliver(&mail_of(2, &[run_of(2, &here)]));
    assert_eq!(world.status(1).refused, []);
    world.deliver(&mail_of(2, &[run_of(2, &there)]));
    let refused = world.status(1).refused;
    assert_eq!((refused[0].source, refused[0].device, refused[0].after.0), (source(2), Some(id(2)), 0));
    for hash in [here[0].hash, there[0].hash] {
        assert!(refused[0].reason.contains(&hash.to_string()[..32]), "{}", refused[0].reason);
    }
    goes_on(&mut world);
}

#[test]
fn a_source_that_does_not_say_whose_it_is_is_refused() {
    let mut world = World::of(3);
    let unborn = Bundle::write(dot(2, 1), Hash::default(), body(0)).unwrap();
    world.deliver(&mail_of(2, &[run_of(2, &[unborn])]));
    assert_eq!(world.held(1, 2), 0);
    goes_on(&mut world);
}

#[test]
fn a_refused_source_is_told_of_once_and_what_waits_of_it_is_dropped() {
    let mut world = World::of(3);
    let bundles = chain(2, vec![body(5), body(1), body(9), body(10)]);
    world.deliver(&mail_of(2, &[run_of(2, &bundles[2..])]));
    assert_eq!(world.node(1).disk.early.len(), 2);
    world.deliver(&mail_of(2, &[run_of(2, &bundles)]));
    assert_eq!(world.held(1, 2), 1);
    assert!(world.node(1).disk.early.is_empty());
    assert_eq!(world.status(1).early, 0);
    let outputs = world.deliver(&mail_of(2, &[run_of(2, &bundles)]));
    assert_eq!(quarantined(&outputs), 0);
}

/// A run of device `owner`'s source that device `n` signed.
fn claimed(n: u8, bundles: &[Bundle]) -> RunBodies {
    RunBodies { device: id(n), ..run_of(n, bundles) }
}

#[test]
fn a_device_that_claims_anothers_source_does_not_stop_it() {
    let mut world = World::of(3);
    let bundles = chain(2, vec![body(0), body(1), body(2)]);
    world.deliver(&mail_of(2, &[run_of(2, &bundles[..1])]));
    let forged = Bundle::write(dot(2, 2), bundles[0].hash, body(7)).unwrap();
    let outputs = world.deliver(&mail_of(3, &[claimed(3, &[forged])]));
    assert_eq!(quarantined(&outputs), 1);
    assert_eq!(world.held(1, 2), 1);
    world.deliver(&mail_of(2, &[run_of(2, &bundles[1..])]));
    assert_eq!(world.held(1, 2), 3);
}

#[test]
fn a_false_claim_that_came_before_the_source_was_known_gives_way_to_its_owner() {
    let mut world = World::of(3);
    let bundles = chain(2, vec![body(0), body(1), body(2)]);
    let forged = Bundle::write(dot(2, 2), Hash([3; 32]), body(7)).unwrap();
    world.deliver(&mail_of(3, &[claimed(3, &[forged])]));
    world.deliver(&mail_of(2, &[run_of(2, &bundles[..1])]));
    world.deliver(&mail_of(2, &[run_of(2, &bundles[1..])]));
    assert_eq!(world.held(1, 2), 3);
}

#[test]
fn a_run_by_a_device_that_is_not_on_the_roster_has_no_effect() {
    let mut world = World::of(3);
    let outputs = world.deliver(&mail_of(2, &[run_of(8, &chain(8, vec![body(0)]))]));
    assert_eq!(quarantined(&outputs), 1);
    assert_eq!(world.held(1, 8), 0);
    assert!(world.node(1).disk.log.is_empty());
    goes_on(&mut world);
}

#[test]
fn a_sender_that_is_not_on_the_roster_has_no_effect_but_a_count() {
    let mut world = World::of(3);
    let before = world.status(1);
    let outputs = world.deliver(&mail_of(8, &[run_of(2, &chain(2, vec![body(0)]))]));
    let outputs: Vec<_> =
        outputs.into_iter().filter(|output| !matches!(output, Output::Commit(Change::Sibling(_)))).collect();
    assert_eq!(outputs.len(), 2);
    assert_eq!(quarantined(&outputs), 1);
    assert!(matches!(outputs[1], Output::Acknowledge(_)));
    assert_eq!(world.status(1), before);
}

#[test]
fn a_strangers_records_are_not_taken_in() {
    let mut world = World::of(2);
    let stranger = addition(8, 9, genesis().id(), 50);
    let mut mail = mail_of(8, &[]);
    mail.parcel.records = vec![Verified::vouch(stranger)];
    let before = world.node(1).disk.records.len();
    world.deliver(&mail);
    assert_eq!(world.node(1).disk.records.len(), before);
}

#[test]
fn parts_without_a_valid_signature_are_counted_and_the_rest_is_used() {
    let mut world = World::of(2);
    let mut mail = mail_of(2, &[run_of(2, &chain(2, vec![body(0)]))]);
    mail.parcel.rejected = 2;
    let outputs = world.deliver(&mail);
    assert_eq!(quarantined(&outputs), 1);
    assert_eq!(world.held(1, 2), 1);
}

#[test]
fn who_signs_a_second_history_of_the_own_source_ends_it_and_loses_nothing() {
    let mut world = World::of(2);
    world.write(1, 1);
    let forged = chain(1, vec![Body { stamp: Stamp((EPOCH + 1) << 16), ..body(0) }, body(1)]);
    world.deliver(&mail_of(2, &[run_of(1, &forged)]));
    assert_eq!(world.held(1, 1), 0);
    assert_eq!(world.status(1).vector.seq(world.status(1).source).0, 1);
}

#[test]
fn an_own_parcel_that_comes_back_is_acknowledged_and_ignored() {
    let mut world = World::of(2);
    let before = world.status(1);
    let outputs = world.deliver(&mail_of(1, &[run_of(2, &chain(2, vec![body(0)]))]));
    assert!(matches!(outputs[..], [Output::Acknowledge(_)]));
    assert_eq!(world.status(1), before);
}

#[test]
fn another_bundle_at_the_last_position_is_seen_as_a_fork() {
    let mut world = World::of(3);
    let bundles = chain(2, vec![body(0), body(1)]);
    world.deliver(&mail_of(2, &[run_of(2, &bundles[..1])]));
    let outputs = world.deliver(&mail_of(2, &[run_of(2, &chain(2, vec![body(7)]))]));
    assert_eq!(quarantined(&outputs), 1);
    world.deliver(&mail_of(2, &[run_of(2, &bundles)]));
    assert_eq!(world.held(1, 2), 0);
    goes_on(&mut world);
}
