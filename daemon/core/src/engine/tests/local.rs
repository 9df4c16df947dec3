//! Local pushes.

use super::script::*;
use super::world::*;
use crate::bundle::Body;
use crate::clock::Stamp;
use crate::ids::{BundleSeq, Hash, RelayId};
use crate::op::{Field, Level, MAX_FIELDS, Op};
use crate::step::{
    AppBundle, AppFact, CallId, Change, Committed, Fact, Input, MAX_OPS, MessageFact, Output, Push, Pushed, Refusal,
    Reply, RowFact, content_hash,
};
use crate::value::Value;

fn push(ops: Vec<Op>, facts: Vec<Fact>) -> Push {
    Push { call: CallId(7), ops, app: None, facts, app_fact: None, bases: Default::default() }
}

fn refusal(world: &mut World, ops: Vec<Op>, facts: Vec<Fact>) -> Refusal {
    let before = world.node(1).disk.log.len();
    let refusal = world.push_with(1, push(ops, facts)).unwrap_err();
    assert_eq!(world.node(1).disk.log.len(), before);
    refusal
}

fn message(known: MessageFact) -> Vec<Fact> {
    vec![Fact::Message(Some(known))]
}

#[test]
fn a_push_is_written_before_it_is_answered_and_answered_before_it_is_sent() {
    let mut world = World::of(2);
    let outputs = world.input(1, Input::Push(push(vec![note("a")], Vec::new())));
    let kinds: Vec<&str> = outputs
        .iter()
        .map(|output| match output {
            Output::Commit(Change::Append(_)) => "append",
            Output::Commit(_) => "commit",
            Output::Reply(..) => "reply",
            Output::Send(_) => "send",
            Output::Acknowledge(_) => "acknowledge",
            Output::Look(_) => "look",
        })
        .filter(|kind| *kind != "commit")
        .collect();
    assert_eq!(kinds, ["append", "reply", "send"]);
}

#[test]
fn pushes_that_come_together_are_numbered_in_order_and_travel_in_one_parcel() {
    let mut world = World::of(2);
    let outputs = world.inputs(1, (0..5).map(|_| Input::Push(push(vec![note("a")], Vec::new()))).collect());
    let dots: Vec<u64> = outputs
        .iter()
        .filter_map(|output| match output {
            Output::Reply(_, Reply::Pushed(Pushed { dot: Some(dot), .. })) => Some(dot.seq.0),
            Output::Reply(..) | Output::Commit(_) | Output::Send(_) | Output::Acknowledge(_) | Output::Look(_) => None,
        })
        .collect();
    assert_eq!(dots, [1, 2, 3, 4, 5]);
    let mail = world.intercept(1, 2);
    assert_eq!(mail.len(), 1);
    assert_eq!(mail[0].seqs(1), [1, 2, 3, 4, 5]);
}

#[test]
fn the_first_bundle_names_its_device_and_stamps_grow() {
    let mut world = World::of(1);
    world.write(1, 3);
    let bodies: Vec<Body> = world.node(1).disk.log.iter().map(|append| append.bundle.body.clone().unwrap()).collect();
    assert_eq!(bodies[0].birth.unwrap().device, id(1));
    assert!(bodies[1].birth.is_none() && bodies[2].birth.is_none());
    assert!(bodies.windows(2).all(|pair| pair[0].stamp < pair[1].stamp));
}

#[test]
fn a_context_is_written_down_once_and_then_only_what_moved() {
    let mut world = World::of(2);
    world.write(2, 1);
    world.drive(1_000);
    world.write(1, 2);
    let log = world.node(1).disk.log.clone();
    let own: Vec<_> = log.iter().filter(|append| append.device == id(1)).collect();
    assert_eq!(own[0].bundle.body.as_ref().unwrap().context.len(), 1);
    assert!(own[1].bundle.body.as_ref().unwrap().context.is_empty());
    assert_eq!(own[1].context.seq(source(2)).0, 1);
}

#[test]
fn an_empty_push_is_refused() {
    assert_eq!(refusal(&mut World::of(1), Vec::new(), Vec::new()), Refusal::Empty);
}

#[test]
fn a_push_with_too_many_ops_is_refused() {
    let ops: Vec<Op> = (0..=MAX_OPS).map(|n| note(&n.to_string())).collect();
    assert_eq!(World::of(1).push(1, ops[1..].to_vec()).unwrap().changed.len(), MAX_OPS);
    assert_eq!(refusal(&mut World::of(1), ops, Vec::new()), Refusal::TooManyOps(MAX_OPS + 1));
}

#[test]
fn a_push_beyond_one_mebibyte_is_refused_and_the_next_one_takes_its_place() {
    let mut world = World::of(1);
    let big = Op::record_put("notes", "a", vec![("t".into(), Some(Value::text("x".repeat(1 << 20))))]);
    assert!(matches!(refusal(&mut world, vec![big], Vec::new()), Refusal::TooLarge(bytes) if bytes > 1 << 20));
    assert_eq!(world.push(1, vec![note("a")]).unwrap().dot, Some(dot(1, 1)));
}

#[test]
fn an_op_that_breaks_a_rule_or_is_not_known_here_is_refused() {
    let mut world = World::of(1);
    let nameless = Op { key: String::new(), ..note("a") };
    assert!(matches!(refusal(&mut world, vec![note("b"), nameless], vec![]), Refusal::InvalidOp { index: 1, .. }));
    let unknown = Op { kind: 99, ..note("a") };
    assert!(matches!(refusal(&mut world, vec![unknown], vec![]), Refusal::InvalidOp { index: 0, .. }));
}

#[test]
fn two_ops_for_one_record_in_a_push_are_refused() {
    let mut world = World::of(1);
    let twice = vec![note("a"), Op::record_delete("notes", "a")];
    assert_eq!(refusal(&mut world, twice, vec![]), Refusal::NamedTwice { index: 1 });
    assert_eq!(refusal(&mut world, vec![post("m"), post("m")], vec![]), Refusal::NamedTwice { index: 1 });
}

#[test]
fn a_message_posted_again_changes_nothing_and_makes_no_bundle() {
    let mut world = World::of(1);
    let known = MessageFact { content: Some(Hash::of(&post("m").payload)), ..MessageFact::default() };
    let pushed = world.push_with(1, push(vec![post("m")], message(known))).unwrap();
    assert_eq!((pushed.dot, pushed.changed), (None, vec![false]));
    assert!(world.node(1).disk.log.is_empty());
}

#[test]
fn a_message_with_the_id_of_another_is_refused() {
    let known = MessageFact { content: Some(Hash([1; 32])), ..MessageFact::default() };
    let refused = refusal(&mut World::of(1), vec![note("a"), post("m")], {
        let mut facts = vec![Fact::Row(None)];
        facts.extend(message(known));
        facts
    });
    assert_eq!(refused, Refusal::MessageDiffers { index: 1 });
}

#[test]
fn a_status_counts_when_it_is_new_or_later() {
    let mut world = World::of(1);
    let known = || message(MessageFact { levels: [Some(5), None, None], ..MessageFact::default() });
    let mut changed = |level, at_us| {
        world.push_with(1, push(vec![Op::message_status("m", level, at_us)], known())).unwrap().changed[0]
    };
    assert!(!changed(Level::Sent, None));
    assert!(!changed(Level::Sent, Some(5)));
    assert!(changed(Level::Sent, Some(6)));
    assert!(changed(Level::Read, None));
}

#[test]
fn a_deletion_is_kept_once_and_a_later_one_counts() {
    let mut world = World::of(1);
    let known = || message(MessageFact { deleted_us: Some(5), ..MessageFact::default() });
    let mut changed = |op: Op| world.push_with(1, push(vec![op], known())).unwrap().changed[0];
    assert!(!changed(Op::message_delete("m", None)));
    assert!(!changed(Op::message_delete("m", Some(5))));
    assert!(changed(Op::message_delete("m", Some(6))));
    assert!(!changed(Op::message_status("m", Level::Read, Some(9))));
    assert!(!changed(post("m")));
}

#[test]
fn a_message_can_be_posted_read_and_deleted_in_one_push() {
    let mut world = World::of(1);
    let ops = vec![post("m"), Op::message_status("m", Level::Read, None), Op::message_delete("m", None)];
    assert_eq!(world.push(1, ops).unwrap().changed, [true, true, true]);
}

#[test]
fn a_message_that_is_not_there_can_be_neither_deleted_nor_read() {
    let mut world = World::of(1);
    assert_eq!(refusal(&mut world, vec![Op::message_delete("m", None)], vec![]), Refusal::NotFound { index: 0 });
    let status = Op::message_status("m", Level::Read, None);
    assert_eq!(refusal(&mut world, vec![status], vec![]), Refusal::NotFound { index: 0 });
}

#[test]
fn a_deleted_record_is_not_deleted_again() {
    let mut world = World::of(1);
    let gone = vec![Fact::Row(Some(RowFact { live: false, fields: Vec::new(), version: BundleSeq(1) }))];
    let pushed = world.push_with(1, push(vec![Op::record_delete("notes", "a")], gone)).unwrap();
    assert_eq!((pushed.dot, pushed.changed), (None, vec![false]));
}

#[test]
fn a_put_after_a_deletion_writes_absent_to_the_fields_it_does_not_name() {
    let mut world = World::of(1);
    let buried = vec![Fact::Row(Some(RowFact {
        live: false,
        fields: vec!["title".into(), "color".into()],
        version: BundleSeq(1),
    }))];
    world.push_with(1, push(vec![note("a")], buried)).unwrap();
    let written = world.node(1).disk.log[0].bundle.ops()[0].clone();
    assert_eq!(written.fields[0], note("a").fields[0]);
    assert_eq!(written.fields[1..], [Field { name: "color".into(), value: None }]);
}

#[test]
fn a_put_on_a_living_record_leaves_the_other_fields_alone() {
    let mut world = World::of(1);
    let live = vec![Fact::Row(Some(RowFact { live: true, fields: vec!["color".into()], version: BundleSeq(1) }))];
    world.push_with(1, push(vec![note("a")], live)).unwrap();
    assert_eq!(world.node(1).disk.log[0].bundle.ops(), [note("a")]);
}

fn named(number: u64, ops: Vec<Op>, app_fact: Option<AppFact>) -> Push {
    let app = Some(AppBundle { source: "importer".into(), id: number, stamp: None });
    Push { call: CallId(7), ops, app, facts: Vec::new(), app_fact, bases: Default::default() }
}

#[test]
fn an_app_bundle_pushed_again_is_answered_as_before() {
    let mut world = World::of(1);
    let first = world.push_with(1, named(1, vec![note("a")], None)).unwrap();
    let content = content_hash(&[note("a")]);
    let committed = Committed { dot: first.dot, bundle_seq: first.bundle_seq, content, no_ops: vec![] };
    let app = AppBundle { source: "importer".into(), id: 1, stamp: None };
    assert_eq!(world.node(1).disk.log[0].app, Some((app, committed.clone())));
    // The record has moved on meanwhile; that is nothing to the retry.
    let fact = Some(AppFact { last: 1, committed: Some(committed), stamp: None });
    let retry = Push { bases: [(0, BundleSeq(77))].into(), ..named(1, vec![note("a")], fact) };
    let again = world.push_with(1, retry).unwrap();
    assert_eq!((again.dot, again.bundle_seq, again.repeated), (first.dot, first.bundle_seq, true));
    assert_eq!(again.changed, first.changed);
    assert_eq!(world.node(1).disk.log.len(), 1);
}

#[test]
fn an_app_bundle_pushed_again_with_other_content_is_refused() {
    let mut world = World::of(1);
    let committed = Some(Committed { dot: None, bundle_seq: BundleSeq(0), content: Hash([1; 32]), no_ops: vec![] });
    let refused = world.push_with(1, named(1, vec![note("a")], Some(AppFact { last: 1, committed, stamp: None })));
    assert_eq!(refused, Err(Refusal::AppBundleDiffers { id: 1 }));
}

#[test]
fn an_app_bundle_out_of_order_names_the_number_that_is_expected() {
    let mut world = World::of(1);
    assert_eq!(world.push_with(1, named(2, vec![note("a")], None)), Err(Refusal::OutOfOrder { expected: 1 }));
    let at = |last| Some(AppFact { last, committed: None, stamp: None });
    assert_eq!(world.push_with(1, named(9, vec![note("a")], at(4))), Err(Refusal::OutOfOrder { expected: 5 }));
    assert_eq!(world.push_with(1, named(2, vec![note("a")], at(4))), Err(Refusal::OutOfOrder { expected: 5 }));
}

#[test]
fn a_stamp_that_runs_backwards_is_refused_with_both_unless_the_push_is_a_retry() {
    let mut world = World::of(1);
    let stamped = |number, stamp: u64, fact| {
        let named = named(number, vec![note("a")], fact);
        Push { app: named.app.map(|app| AppBundle { stamp: Some(stamp), ..app }), ..named }
    };
    let at = |committed| Some(AppFact { last: 1, committed, stamp: Some(7) });
    for yours in [6, 7] {
        let refused = world.push_with(1, stamped(2, yours, at(None)));
        assert_eq!(refused, Err(Refusal::StampRegression { yours, stored: 7 }));
    }
    let content = content_hash(&[note("a")]);
    let committed = Committed { dot: None, bundle_seq: BundleSeq(0), content, no_ops: vec![] };
    assert!(world.push_with(1, stamped(1, 3, at(Some(committed)))).unwrap().repeated);
    let refused = world.push_with(1, stamped(3, 6, at(None)));
    assert_eq!(refused, Err(Refusal::OutOfOrder { expected: 2 }), "its number counts before its stamp");
    assert!(world.push_with(1, stamped(2, 8, at(None))).is_ok());
    assert!(
        world
            .push_with(1, named(3, vec![note("b")], Some(AppFact { last: 2, committed: None, stamp: Some(8) })))
            .is_ok()
    );
}

#[test]
fn an_app_bundle_that_changes_nothing_still_takes_its_number() {
    let mut world = World::of(1);
    let known = MessageFact { content: Some(Hash::of(&post("m").payload)), ..MessageFact::default() };
    let push = Push { facts: message(known), ..named(1, vec![post("m")], None) };
    let outputs = world.input(1, Input::Push(push));
    let app = AppBundle { source: "importer".into(), id: 1, stamp: None };
    let content = content_hash(&[post("m")]);
    let expected = Change::AppBundle(app, Committed { dot: None, bundle_seq: BundleSeq(0), content, no_ops: vec![0] });
    assert!(matches!(&outputs[0], Output::Commit(change) if *change == expected));
    assert!(matches!(outputs[1], Output::Reply(..)));
}

#[test]
fn nothing_is_written_once_a_sibling_has_driven_the_clock_to_its_end() {
    let mut world = World::of(2);
    let last = Body { stamp: Stamp(((1 << 47) - 1) << 16 | 0xFFFF), ..body(0) };
    world.deliver(&mail_of(2, &[run_of(2, &chain(2, vec![last]))]));
    assert_eq!(world.held(1, 2), 1);
    assert_eq!(world.push(1, vec![note("a")]), Err(Refusal::ClockExhausted));
}

#[test]
fn a_device_alone_is_synced_and_sends_nothing() {
    let mut world = World::of(1);
    world.input(1, Input::RelayAdded(RelayId([3; 16])));
    world.write(1, 3);
    world.drive(100_000);
    assert!(world.status(1).synced);
    assert_eq!(world.sends(1), 0);
}

#[test]
fn an_app_bundle_with_the_next_number_is_accepted_when_only_the_last_number_is_known() {
    let mut world = World::of(1);
    let fact = AppFact { last: 1, committed: None, stamp: None };
    assert!(world.push_with(1, named(2, vec![note("a")], Some(fact))).is_ok());
}

#[test]
fn a_deleted_record_is_put_again_with_as_many_fields_as_a_record_may_have_and_no_more() {
    for (buried, fits) in [(MAX_FIELDS - 1, true), (MAX_FIELDS, false)] {
        let mut world = World::of(1);
        let fields = (0..buried).map(|n| format!("f{n}")).collect();
        let fact = Fact::Row(Some(RowFact { live: false, fields, version: BundleSeq(1) }));
        assert_eq!(world.push_with(1, push(vec![note("a")], vec![fact])).is_ok(), fits, "{buried} beside one");
    }
}

#[test]
fn an_engine_says_who_it_is_and_what_it_holds() {
    let mut world = World::of(2);
    world.write(2, 3);
    let engine = &world.devices[&2].engine;
    assert_eq!((engine.me(), engine.vector().seq(source(2)).0), (id(2), 3));
}
