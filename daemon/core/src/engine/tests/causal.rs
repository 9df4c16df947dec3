//! Gap-free, causal, exactly once.

use bytes::Bytes;

use super::script::*;
use super::world::*;
use crate::bundle::{Body, Bundle};
use crate::clock::Stamp;
use crate::early::MAX_BYTES;
use crate::ids::{Hash, Seq};
use crate::op::{Level, Meaning, Op};
use crate::step::{CallId, Change, Fact, MessageFact, Output, Push};
use crate::value::Value;
use crate::vector::Head;

fn appended(outputs: &[Output]) -> Vec<(u8, u64)> {
    outputs
        .iter()
        .filter_map(|output| match output {
            Output::Commit(Change::Append(append)) => Some((append.device.0[0], append.bundle.dot.seq.0)),
            Output::Commit(_) | Output::Reply(..) | Output::Send(_) | Output::Acknowledge(_) | Output::Look(_) => None,
        })
        .collect()
}

#[test]
fn what_arrives_is_written_before_it_is_acknowledged() {
    let mut world = World::of(2);
    world.write(2, 1);
    let mail = world.intercept(2, 1);
    let outputs = world.deliver(&mail[0]);
    let append = outputs.iter().position(|output| matches!(output, Output::Commit(Change::Append(_)))).unwrap();
    let acknowledge = outputs.iter().position(|output| matches!(output, Output::Acknowledge(_))).unwrap();
    assert!(append < acknowledge);
}

#[test]
fn a_repeated_parcel_is_acknowledged_and_has_no_other_effect() {
    let mut world = World::of(2);
    world.write(2, 2);
    let mail = world.intercept(2, 1);
    for parcel in &mail {
        world.deliver(parcel);
    }
    let log = world.node(1).disk.log.clone();
    let outputs = world.deliver(&mail[0]);
    assert!(outputs.iter().any(|output| matches!(output, Output::Acknowledge(_))));
    assert!(appended(&outputs).is_empty());
    assert_eq!(world.node(1).disk.log, log);
}

#[test]
fn the_same_bundle_over_two_siblings_takes_effect_once() {
    let mut world = World::of(3);
    let run = run_of(2, &chain(2, vec![body(0)]));
    world.deliver(&mail_of(2, std::slice::from_ref(&run)));
    world.deliver(&mail_of(3, &[run]));
    assert_eq!(world.node(1).disk.log.len(), 1);
}

#[test]
fn a_bundle_behind_a_gap_waits_on_disk_and_is_applied_when_the_gap_is_filled() {
    let mut world = World::of(2);
    let bundles = chain(2, vec![body(0), body(1), body(2)]);
    let outputs = world.deliver(&mail_of(2, &[run_of(2, &bundles[1..])]));
    assert!(appended(&outputs).is_empty());
    assert_eq!(world.node(1).disk.early.len(), 2);
    assert_eq!(world.status(1).early, 2);
    let outputs = world.deliver(&mail_of(2, &[run_of(2, &bundles[..1])]));
    assert_eq!(appended(&outputs), [(2, 1), (2, 2), (2, 3)]);
    assert!(world.node(1).disk.early.is_empty());
    assert_eq!(world.status(1).early, 0);
}

#[test]
fn a_bundle_that_waits_already_is_not_written_again() {
    let mut world = World::of(2);
    let bundles = chain(2, vec![body(0), body(1)]);
    let parcel = mail_of(2, &[run_of(2, &bundles[1..])]);
    world.deliver(&parcel);
    let outputs = world.deliver(&parcel);
    assert!(!outputs.iter().any(|output| matches!(output, Output::Commit(Change::Early { .. }))));
    assert!(outputs.iter().any(|output| matches!(output, Output::Acknowledge(_))));
}

#[test]
fn a_waiting_bundle_survives_a_restart() {
    let mut world = World::of(2);
    let bundles = chain(2, vec![body(0), body(1)]);
    world.deliver(&mail_of(2, &[run_of(2, &bundles[1..])]));
    world.restart(1);
    world.deliver(&mail_of(2, &[run_of(2, &bundles[..1])]));
    assert_eq!(world.held(1, 2), 2);
}

#[test]
fn an_effect_is_never_applied_before_its_cause() {
    let mut world = World::of(3);
    world.push(2, vec![post("m")]).unwrap();
    let message = world.intercept(2, 1);
    world.deliver_all();
    let read = vec![Op::message_status("m", Level::Read, None)];
    let known = vec![Fact::Message(Some(MessageFact::default()))];
    let push = Push { call: CallId(7), ops: read, app: None, facts: known, app_fact: None, bases: Default::default() };
    world.push_with(3, push).unwrap();
    for parcel in world.intercept(3, 1) {
        assert!(appended(&world.deliver(&parcel)).is_empty());
    }
    assert_eq!(world.node(1).disk.early.len(), 1);
    let outputs = world.deliver(&message[0]);
    assert_eq!(appended(&outputs), [(2, 1), (3, 1)]);
}

#[test]
fn a_context_of_something_that_does_not_exist_stops_only_its_own_source() {
    let mut world = World::of(3);
    let nowhere = (source(9), Head { seq: Seq(1 << 60), hash: Hash::default() });
    let bundles = chain(2, vec![Body { context: vec![nowhere], ..body(0) }, body(1)]);
    world.deliver(&mail_of(2, &[run_of(2, &bundles)]));
    world.deliver(&mail_of(3, &[run_of(3, &chain(3, vec![body(5)]))]));
    assert_eq!((world.held(1, 2), world.held(1, 3)), (0, 1));
}

#[test]
fn an_unreadable_body_counts_as_held_and_does_nothing() {
    let mut world = World::of(2);
    let first = chain(2, vec![body(0)]).remove(0);
    let second = Bundle::rebuild(dot(2, 2), first.hash, Bytes::from_static(&[0xFF, 0xFF])).unwrap();
    let third = Bundle::write(dot(2, 3), second.hash, body(2)).unwrap();
    world.deliver(&mail_of(2, &[run_of(2, &[first, second, third])]));
    assert_eq!(world.held(1, 2), 3);
    assert!(world.node(1).disk.log[1].bundle.ops().is_empty());
    assert!(world.node(1).disk.quarantine.is_empty());
}

#[test]
fn a_bundle_with_an_invalid_stamp_counts_as_held_and_moves_no_clock() {
    let mut world = World::of(2);
    let bodies = vec![body(0), Body { stamp: Stamp(u64::MAX), ..body(1) }, body(2)];
    world.deliver(&mail_of(2, &[run_of(2, &chain(2, bodies))]));
    assert_eq!(world.held(1, 2), 3);
    world.write(1, 1);
    let own = world.node(1).disk.log[3].bundle.body.clone().unwrap();
    assert!(own.stamp.is_valid() && own.stamp.millis().0 < EPOCH + 1_000_000);
}

#[test]
fn an_unknown_op_is_kept_and_forwarded_as_it_came() {
    let mut world = World::of(3);
    let strange = Op { kind: 99, payload: vec![1, 2, 3], ..note("a") };
    let bundles = chain(2, vec![Body { ops: vec![strange.clone()], ..body(0) }]);
    world.deliver(&mail_of(2, &[run_of(2, &bundles)]));
    assert_eq!(world.held(1, 2), 1);
    world.drive(400_000);
    let held = world.node(3).disk.log[0].bundle.clone();
    assert_eq!(held, bundles[0]);
    assert_eq!(held.ops()[0].meaning(), Meaning::Unknown);
}

#[test]
fn a_new_stamp_is_greater_than_everything_applied_here() {
    let mut world = World::of(2);
    let ahead = Body { stamp: Stamp((EPOCH + 50_000_000) << 16), ..body(0) };
    world.deliver(&mail_of(2, &[run_of(2, &chain(2, vec![ahead.clone()]))]));
    world.write(1, 1);
    let own = |world: &mut World| world.node(1).disk.log.last().unwrap().bundle.body.clone().unwrap().stamp;
    let first = own(&mut world);
    assert!(first > ahead.stamp);
    world.restart(1);
    world.write(1, 1);
    assert!(own(&mut world) > first);
}

#[test]
fn a_bundle_is_never_re_encoded() {
    let mut world = World::of(3);
    world.write(2, 3);
    world.drive(20_000);
    let of = |world: &mut World, n| -> Vec<Bytes> {
        world.node(n).disk.log.iter().map(|append| append.bundle.bytes.clone()).collect()
    };
    let written = of(&mut world, 2);
    assert_eq!(of(&mut world, 1), written);
    assert_eq!(of(&mut world, 3), written);
}

#[test]
fn a_sibling_cannot_grow_what_waits_without_bound() {
    let mut world = World::of(2);
    let big = |n: u64| {
        let text = Value::text("x".repeat(1_000_000));
        Body { ops: vec![Op::record_put("notes", "a", vec![("t".into(), Some(text))])], ..body(n) }
    };
    let bundles = chain(2, (0..24).map(big).collect());
    for bundle in &bundles[1..] {
        world.deliver(&mail_of(2, &[run_of(2, std::slice::from_ref(bundle))]));
    }
    let waiting: usize = world.node(1).disk.early.values().map(|(_, bundle)| bundle.bytes.len()).sum();
    assert!(waiting <= MAX_BYTES);
    // What did not fit comes again, and everything gets its turn.
    for bundle in &bundles {
        world.deliver(&mail_of(2, &[run_of(2, std::slice::from_ref(bundle))]));
    }
    assert_eq!(world.held(1, 2), 24);
}

#[test]
fn what_an_author_has_seen_stays_seen_in_its_later_bundles() {
    let mut world = World::of(3);
    let cause = chain(3, vec![body(0)]);
    world.deliver(&mail_of(3, &[run_of(3, &cause)]));
    let seen = (source(3), cause[0].head());
    let effects = chain(2, vec![Body { context: vec![seen], ..body(1) }, body(2)]);
    world.deliver(&mail_of(2, &[run_of(2, &effects)]));
    assert_eq!(world.node(1).disk.log[2].context.seq(source(3)), Seq(1));
}

#[test]
fn a_bundle_written_after_another_was_applied_says_so() {
    let mut world = World::of(2);
    world.write(1, 1);
    world.deliver(&mail_of(2, &[run_of(2, &chain(2, vec![body(0)]))]));
    world.write(1, 1);
    let last = world.node(1).disk.log[2].clone();
    assert_eq!(last.context.seq(source(2)), Seq(1));
    assert_eq!(last.bundle.body.unwrap().context.len(), 1);
}

#[test]
fn own_and_foreign_bundles_share_one_local_order_without_holes() {
    let mut world = World::of(2);
    world.write(1, 2);
    world.deliver(&mail_of(2, &[run_of(2, &chain(2, vec![body(0), body(1)]))]));
    world.write(1, 1);
    world.restart(1);
    world.write(1, 1);
    let places: Vec<u64> = world.node(1).disk.log.iter().map(|append| append.bundle_seq.0).collect();
    assert_eq!(places, [1, 2, 3, 4, 5, 6]);
}

#[test]
fn one_cause_frees_a_whole_chain_of_effects_across_sources() {
    let mut world = World::of(3);
    let cause = chain(2, vec![body(0)]);
    let first = chain(3, vec![Body { context: vec![(source(2), cause[0].head())], ..body(1) }]);
    let second = Body { context: vec![(source(3), first[0].head())], ..body(2) };
    let second = Bundle::write(dot(2, 2), cause[0].hash, second).unwrap();
    world.deliver(&mail_of(2, &[run_of(2, &[second])]));
    world.deliver(&mail_of(3, &[run_of(3, &first)]));
    assert_eq!(world.status(1).early, 2);
    let outputs = world.deliver(&mail_of(2, &[run_of(2, &cause)]));
    assert_eq!(appended(&outputs), [(2, 1), (3, 1), (2, 2)]);
}
