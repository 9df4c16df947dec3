//! Contents that are elsewhere are asked for, held against their hash, and taken; and who wants to see them is answered.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::disk::FIRST_EPOCH;
use super::script::*;
use super::world::*;
use crate::contents::{Content, Contents, MAX_WANTED, Wanted};
use crate::ids::{Hash, Millis};
use crate::op::{KIND_MESSAGE_STUB, OP_LEVEL};
use crate::parcel::{Letter, Receipt};
use crate::step::{CallId, Change, Input, Missed, Output, Reply, Send};

type Answer = BTreeMap<Wanted, Missed>;

const CALL: CallId = CallId(40);

fn payload(id: &str) -> Bytes {
    format!("what {id} says").into_bytes().into()
}

fn wanted(id: &str) -> Wanted {
    Wanted { content: Hash::of(&payload(id)), id: id.into() }
}

fn content(id: &str) -> Content {
    Content { id: id.into(), payload: payload(id) }
}

fn missed(id: &str, why: Missed) -> Answer {
    [(wanted(id), why)].into()
}

impl World {
    fn has(&mut self, n: u8, ids: &[&str]) {
        self.node(n).disk.contents.extend(ids.iter().map(|id| ((*id).to_owned(), payload(id))));
    }

    fn seek(&mut self, n: u8, ids: &[&str]) {
        let wanted = ids.iter().map(|id| wanted(id)).collect();
        self.input(n, Input::Seek { call: CALL, wanted });
    }

    /// What those that wanted to see contents on device `n` were answered, in order.
    fn answers(&self, n: u8) -> Vec<Answer> {
        let outputs = self.devices[&n].outputs.iter();
        outputs
            .filter_map(|output| match output {
                Output::Reply(CALL, Reply::Sought(missed)) => Some(missed.clone()),
                Output::Reply(..) | Output::Commit(_) | Output::Send(_) | Output::Acknowledge(_) | Output::Look(_) => {
                    None
                }
            })
            .collect()
    }

    fn sent(&self, n: u8) -> impl Iterator<Item = &Send> {
        self.devices[&n].outputs.iter().filter_map(|output| match output {
            Output::Send(send) => Some(send),
            Output::Reply(..) | Output::Commit(_) | Output::Acknowledge(_) | Output::Look(_) => None,
        })
    }

    /// Whom device `n` asked for what so far, in order.
    fn asks(&self, n: u8) -> Vec<(u8, Vec<String>)> {
        let asks = self.sent(n).filter(|send| !send.letter.contents.wanted.is_empty());
        let ids = |send: &Send| send.letter.contents.wanted.iter().map(|wanted| wanted.id.clone()).collect();
        asks.map(|send| (send.to.0[0], ids(send))).collect()
    }

    /// Device `from` says something of contents to device 1.
    fn speaks(&mut self, from: u8, contents: Contents, op_level: u32) {
        let receipt = Receipt { generation: 1, vector: self.status(from).vector, ..Receipt::default() };
        let letter = Letter { contents, receipt, op_level, ..Letter::bare(id(from), Millis(EPOCH)) };
        let parcel = verified(&letter, &[]);
        self.deliver(&Mail { from, to: 1, relay: RELAY, under: FIRST_EPOCH, slot: 1, parcel });
    }

    fn gives(&mut self, from: u8, given: Vec<Content>) {
        self.speaks(from, Contents { given, ..Contents::default() }, OP_LEVEL);
    }
}

fn asks(to: u8, ids: &[&str]) -> (u8, Vec<String>) {
    (to, ids.iter().map(|id| (*id).to_owned()).collect())
}

#[test]
fn a_content_comes_from_a_sibling_and_is_on_disk_before_anybody_hears_of_it() {
    let mut world = World::of(2);
    world.has(2, &["m", "n"]);
    world.seek(1, &["m", "n"]);
    assert_eq!(world.answers(1), [], "it is not here yet");
    world.drive(1_000);
    assert_eq!(world.answers(1), [Answer::new()]);
    assert_eq!(world.node(1).disk.contents["m"], payload("m"));
    assert_eq!(world.node(1).disk.contents["n"], payload("n"));
    let outputs = &world.devices[&1].outputs;
    let written = outputs.iter().position(|output| matches!(output, Output::Commit(Change::Contents(_))));
    let told = outputs.iter().position(|output| matches!(output, Output::Reply(CALL, _)));
    assert!(written.unwrap() < told.unwrap());
    assert_eq!(world.asks(1).len(), 1, "it is asked for once");
    world.drive(700_000);
    assert_eq!(world.asks(1).len(), 1);
}

#[test]
fn a_letter_with_contents_brings_nothing_else() {
    let mut world = World::of(2);
    world.has(2, &["m"]);
    world.node(2).puts = Puts::Open;
    world.write(2, 1);
    world.seek(1, &["m"]);
    world.deliver_all();
    world.write(2, 2);
    world.node(2).puts = Puts::Answered;
    for send in std::mem::take(&mut world.node(2).open) {
        world.answer(2, &send);
    }
    world.drive(10_000);
    let giving: Vec<&Send> = world.sent(2).filter(|send| !send.contents.is_empty()).collect();
    assert!(!giving.is_empty() && giving.iter().all(|send| send.runs.is_empty() && send.chunk.is_none()));
    assert_eq!((world.held(1, 2), world.answers(1)), (3, vec![Answer::new()]), "the bundles come beside it");
}

#[test]
fn who_has_given_its_word_is_asked_first() {
    let mut world = World::of(3);
    world.has(3, &["m"]);
    world.input(2, Input::Lacking(1));
    world.input(1, Input::Prunes(true));
    world.drive(10_000);
    assert_eq!(world.status(1).kept_by, [id(3)]);
    world.seek(1, &["m"]);
    world.drive(1_000);
    assert_eq!(world.answers(1), [Answer::new()]);
    assert_eq!(world.asks(1), [asks(3, &["m"])]);
}

#[test]
fn the_next_one_is_asked_at_once_when_one_does_not_have_it() {
    let mut world = World::of(3);
    world.has(2, &["n"]);
    world.has(3, &["m", "n"]);
    world.seek(1, &["m", "n"]);
    world.deliver_all();
    assert_eq!(world.answers(1), [Answer::new()]);
    let [(2, _), (3, left)] = &world.asks(1)[..] else { panic!("{:?}", world.asks(1)) };
    assert_eq!(*left, ["m"], "the other one came");
}

#[test]
fn the_next_one_is_asked_when_no_answer_comes() {
    let mut world = World::of(3);
    world.has(3, &["m"]);
    world.seek(1, &["m"]);
    assert_eq!(world.intercept(1, 2).len(), 1);
    world.pass(1_000);
    assert_eq!(world.asks(1), [asks(2, &["m"])]);
    world.pass(2_000);
    assert_eq!(world.asks(1), [asks(2, &["m"]), asks(3, &["m"])]);
    world.deliver_all();
    assert_eq!(world.answers(1), [Answer::new()]);
}

#[test]
fn what_nobody_has_is_gone() {
    let mut world = World::of(3);
    world.has(2, &["n"]);
    world.seek(1, &["m", "n"]);
    world.deliver_all();
    assert_eq!(world.answers(1), [missed("m", Missed::Gone)]);
    assert_eq!(world.node(1).disk.contents["n"], payload("n"));
}

#[test]
fn when_there_is_nobody_to_ask_the_answer_comes_at_once() {
    let nobody = [missed("m", Missed::Nobody)];
    let mut world = World::of(1);
    world.seek(1, &["m"]);
    assert_eq!(world.answers(1), nobody);

    let mut world = World::of(2);
    world.input(1, Input::RelayHealth { relay: RELAY, up: false });
    world.seek(1, &["m"]);
    assert_eq!(world.answers(1), nobody, "no relay is there");

    let mut world = World::of(2);
    world.input(1, Input::Gate { open: false });
    world.seek(1, &["m"]);
    assert_eq!(world.answers(1), nobody, "nothing may leave");

    let mut world = World::of(2);
    world.speaks(2, Contents::default(), KIND_MESSAGE_STUB - 1);
    world.seek(1, &["m"]);
    assert_eq!(world.answers(1), nobody, "an older version does not understand the question");

    let mut world = World::of(2);
    world.pass(91 * 24 * 3_600_000);
    world.seek(1, &["m"]);
    assert_eq!(world.answers(1), nobody, "it was not heard for long");
}

#[test]
fn nobody_waits_for_long_and_what_comes_later_is_taken() {
    let mut world = World::of(2);
    world.has(2, &["m"]);
    world.seek(1, &["m"]);
    let lost = world.intercept(1, 2);
    world.pass(9_999);
    assert_eq!(world.answers(1), []);
    world.pass(1);
    assert_eq!(world.answers(1), [missed("m", Missed::Silent)]);
    world.mail.clear();
    world.pass(50_000);
    world.deliver(&lost[0]);
    world.drive(1_000);
    assert_eq!(world.node(1).disk.contents["m"], payload("m"));
    assert_eq!(world.answers(1).len(), 1, "nobody waits any more");
}

#[test]
fn after_a_while_nothing_is_asked_any_more_and_nothing_is_taken() {
    let mut world = World::of(2);
    world.seek(1, &["m"]);
    world.pass(700_000);
    let asked = world.asks(1).len();
    assert!((4..=16).contains(&asked), "with growing pauses: {asked}");
    world.gives(2, vec![content("m")]);
    assert!(world.node(1).disk.contents.is_empty());
    world.pass(3_600_000);
    assert_eq!(world.asks(1).len(), asked);
}

#[test]
fn who_wants_it_anew_does_not_wait_for_the_pause_to_end() {
    let mut world = World::of(2);
    world.seek(1, &["m"]);
    world.pass(300_000);
    let asked = world.asks(1).len();
    world.seek(1, &["m"]);
    world.pass(2_000);
    assert_eq!(world.asks(1).len(), asked + 1);
}

#[test]
fn what_was_not_asked_for_or_is_something_else_is_not_taken() {
    let mut world = World::of(3);
    world.seek(1, &["m"]);
    world.intercept(1, 2);
    let false_one = Content { id: "m".into(), payload: payload("something else") };
    let other_id = Content { id: "o".into(), payload: payload("m") };
    world.gives(2, vec![content("n"), false_one, other_id]);
    assert!(world.node(1).disk.contents.is_empty());
    assert_eq!(world.answers(1), []);
    world.gives(3, vec![content("m")]);
    assert_eq!(world.answers(1), [Answer::new()], "whoever gives it");
}

#[test]
fn two_messages_that_say_the_same_both_get_what_they_said() {
    let mut world = World::of(2);
    let twins = ["m", "n"].map(|id| Wanted { content: Hash::of(&payload("both")), id: id.into() });
    world.node(2).disk.contents.insert("m".into(), payload("both"));
    world.input(1, Input::Seek { call: CALL, wanted: twins.to_vec() });
    world.drive(1_000);
    assert_eq!(world.answers(1), [Answer::from([(twins[1].clone(), Missed::Gone)])]);
    world.node(2).disk.contents.insert("n".into(), payload("both"));
    world.input(1, Input::Seek { call: CALL, wanted: twins[1..].to_vec() });
    world.drive(1_000);
    assert_eq!(world.answers(1)[1], Answer::new());
    assert_eq!(world.node(1).disk.contents.len(), 2);
}

#[test]
fn what_did_not_fit_is_asked_for_again_at_once() {
    let mut world = World::of(2);
    world.seek(1, &["m", "n"]);
    world.intercept(1, 2);
    world.gives(2, vec![content("m")]);
    assert_eq!(world.asks(1).last(), Some(&asks(2, &["n"])));
}

#[test]
fn two_that_want_the_same_are_both_answered_and_it_is_asked_for_once() {
    let mut world = World::of(2);
    world.has(2, &["m"]);
    world.seek(1, &["m"]);
    world.input(1, Input::Seek { call: CallId(41), wanted: vec![wanted("m")] });
    world.drive(1_000);
    let replies =
        world.devices[&1].outputs.iter().filter(|output| matches!(output, Output::Reply(_, Reply::Sought(_))));
    assert_eq!((replies.count(), world.asks(1).len()), (2, 1));
}

#[test]
fn one_letter_asks_for_so_many_and_the_next_one_for_more() {
    let ids: Vec<String> = (0..MAX_WANTED + 10).map(|n| format!("m{n}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let mut world = World::of(2);
    world.has(2, &ids);
    world.seek(1, &ids);
    world.drive(5_000);
    assert_eq!(world.answers(1), [Answer::new()]);
    let counts: Vec<usize> = world.asks(1).iter().map(|(_, ids)| ids.len()).collect();
    assert_eq!(counts, [MAX_WANTED, 10]);
}

#[test]
fn what_is_asked_for_at_a_time_has_a_limit_and_makes_room_for_what_somebody_waits_for() {
    let ids: Vec<String> = (0..5_000).map(|n| format!("m{n}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let mut world = World::of(2);
    world.seek(1, &ids);
    world.pass(10_000);
    let [answer] = &world.answers(1)[..] else { panic!("one answer") };
    assert_eq!(answer.len(), 5_000, "{:?}", answer.values().next());
    world.has(2, &["late"]);
    world.seek(1, &["late"]);
    world.drive(600_000);
    assert_eq!(world.node(1).disk.contents["late"], payload("late"), "nobody waits for the others any more");
}
