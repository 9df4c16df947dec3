//! Which relay, and what happens when one goes away.

use super::script::*;
use super::world::*;
use crate::ids::{Millis, RelayId, Seq};
use crate::roster::Verified;
use crate::step::{CallId, Input};

#[test]
fn a_late_receipt_moves_the_lane_to_the_next_relay() {
    let mut world = World::with_two_relays();
    world.write(1, 1);
    let first = world.intercept(1, 2).remove(0).relay;
    world.pass(10_000);
    let second = world.intercept(1, 2).remove(0);
    assert_ne!(second.relay, first);
    assert_eq!(second.seqs(1), [1]);
}

#[test]
fn a_relay_that_is_down_is_not_used_while_another_is_there() {
    let mut world = World::with_two_relays();
    world.input(1, Input::RelayHealth { relay: RELAY, up: false });
    world.write(1, 1);
    assert_eq!(world.intercept(1, 2)[0].relay, OTHER);
}

#[test]
fn a_refused_put_goes_to_the_other_relay() {
    let mut world = World::with_two_relays();
    world.node(1).puts = Puts::Open;
    world.write(1, 1);
    let refused = world.node(1).open.remove(0);
    world.node(1).puts = Puts::Answered;
    world.input(1, Input::Sent { ticket: refused.ticket, reached: None, bytes: 1_000, took: Millis(5) });
    let mail = world.intercept(1, 2).remove(0);
    assert_ne!(mail.relay, refused.relay);
    assert_eq!(mail.seqs(1), [1]);
}

#[test]
fn a_refused_put_is_tried_again_later_and_loses_nothing() {
    let mut world = World::of(2);
    world.node(1).puts = Puts::Refused;
    world.write(1, 2);
    world.pass(60_000);
    assert!(world.mail.is_empty());
    world.node(1).puts = Puts::Answered;
    world.drive(120_000);
    assert_eq!(world.held(2, 1), 2);
    assert!(world.status(1).synced);
}

#[test]
fn unreceipted_mail_is_posted_again_five_seconds_after_a_relay_came_back() {
    let mut world = World::of(2);
    world.write(1, 1);
    world.mail.clear();
    world.input(1, Input::RelayHealth { relay: RELAY, up: false });
    world.pass(600_000);
    assert!(world.mail.is_empty());
    world.input(1, Input::RelayHealth { relay: RELAY, up: true });
    world.pass(4_999);
    assert!(world.intercept(1, 2).iter().all(|mail| mail.seqs(1).is_empty()));
    world.pass(1);
    assert_eq!(world.intercept(1, 2).pop().unwrap().seqs(1), [1]);
}

#[test]
fn a_relay_that_says_it_is_there_gets_what_it_refused_at_once() {
    let mut world = World::of(2);
    world.node(1).puts = Puts::Refused;
    world.write(1, 1);
    world.pass(300_000);
    world.node(1).puts = Puts::Answered;
    world.input(1, Input::RelayHealth { relay: RELAY, up: true });
    assert_eq!(world.intercept(1, 2)[0].seqs(1), [1]);
}

#[test]
fn what_was_written_while_the_relay_was_away_leaves_when_it_comes_back() {
    let mut world = World::of(2);
    world.input(1, Input::RelayHealth { relay: RELAY, up: false });
    world.write(1, 3);
    assert!(world.mail.is_empty());
    world.input(1, Input::RelayHealth { relay: RELAY, up: true });
    assert_eq!(world.intercept(1, 2)[0].seqs(1), [1, 2, 3]);
}

#[test]
fn siblings_learn_where_a_device_looks_for_its_mail() {
    let mut world = World::of(2);
    world.input(1, Input::RelayAdded(OTHER));
    world.input(2, Input::RelayAdded(OTHER));
    world.drive(2_000);
    world.input(2, Input::RelayRemoved(RELAY));
    world.drive(2_000);
    world.write(1, 1);
    assert_eq!(world.intercept(1, 2)[0].relay, OTHER);
}

#[test]
fn two_devices_that_both_moved_to_another_relay_find_each_other() {
    let mut world = World::of(2);
    for n in [1, 2] {
        world.input(n, Input::RelayRemoved(RELAY));
        world.mail.clear();
        world.input(n, Input::RelayAdded(OTHER));
        world.mail.clear();
    }
    world.write(1, 1);
    world.drive(60_000);
    assert_eq!(world.held(2, 1), 1);
}

#[test]
fn a_question_that_a_relay_refused_is_asked_again() {
    let mut world = World::of(2);
    world.node(1).puts = Puts::Refused;
    world.input(1, Input::SyncNow);
    world.node(1).puts = Puts::Answered;
    world.pass(10_000);
    assert!(world.intercept(1, 2).iter().any(|mail| mail.parcel.letter.receipt_requested));
}

#[test]
fn a_relay_that_is_away_does_not_keep_a_device_awake() {
    let mut world = World::of(2);
    world.input(1, Input::RelayHealth { relay: RELAY, up: false });
    world.write(1, 1);
    world.pass(600_000);
    let now = world.at();
    let wake = world.node(1).engine.settle(now).unwrap();
    assert!(wake.since(now.mono) > Millis(1_800_000), "{wake:?}");
    let unknown = RelayId([9; 16]);
    world.input(1, Input::RelayHealth { relay: unknown, up: true });
    assert!(world.mail.is_empty());
}

#[test]
fn a_new_lane_takes_the_relay_that_was_fastest() {
    let mut world = World::with_two_relays();
    world.node(1).puts = Puts::Open;
    world.write(1, 1);
    let slow = world.node(1).open.remove(0);
    let reached = Some(vec![(source(1), Seq(1))]);
    world.input(1, Input::Sent { ticket: slow.ticket, reached, bytes: 1_000, took: Millis(8_000) });
    world.node(1).puts = Puts::Answered;
    let newcomer = addition(1, 3, world.node(1).engine.roster().heads().into_iter().next().unwrap(), 9);
    world.input(1, Input::Record { call: CallId(1), record: Verified::vouch(newcomer) });
    assert_ne!(world.intercept(1, 3)[0].relay, slow.relay);
}

#[test]
fn a_relay_taken_out_is_forgotten_with_all_that_was_under_way() {
    let mut world = World::of(2);
    world.node(1).puts = Puts::Open;
    world.write(1, 1);
    let old = world.node(1).open.remove(0);
    world.input(1, Input::RelayRemoved(RELAY));
    world.input(1, Input::RelayAdded(RELAY));
    let again = world.node(1).open.remove(0);
    assert_eq!(again.runs[0].after, Seq(0));
    let reached = Some(vec![(source(1), Seq(1))]);
    world.input(1, Input::Sent { ticket: old.ticket, reached, bytes: 1_000, took: Millis(5) });
    world.input(1, Input::Sent { ticket: again.ticket, reached: None, bytes: 1_000, took: Millis(5) });
    world.pass(3_000);
    assert_eq!(world.node(1).open.remove(0).runs[0].after, Seq(0));
}

#[test]
fn the_first_relay_is_used_again_when_it_comes_back() {
    let mut world = World::with_two_relays();
    world.input(1, Input::RelayHealth { relay: RELAY, up: false });
    world.write(1, 1);
    assert_eq!(world.intercept(1, 2)[0].relay, OTHER);
    world.input(1, Input::RelayHealth { relay: RELAY, up: true });
    // What has no receipt goes out again there at once: RELAY never took it.
    assert_eq!(world.intercept(1, 2).remove(0).seqs(1), [1]);
    world.write(1, 1);
    let mail = world.intercept(1, 2).remove(0);
    assert_eq!((mail.relay, mail.seqs(1)), (RELAY, vec![2]));
}

#[test]
fn writes_go_on_over_the_other_relay_and_all_of_them_arrive_once() {
    let mut world = World::with_two_relays();
    for round in 0..4 {
        let (gone, left) = if round % 2 == 0 { (RELAY, OTHER) } else { (OTHER, RELAY) };
        world.write(1, 1);
        world.input(1, Input::RelayHealth { relay: gone, up: false });
        // What lay there is lost with it.
        world.mail.retain(|mail| mail.relay != gone);
        world.write(1, 2);
        assert!(world.mail.iter().filter(|mail| mail.from == 1).all(|mail| mail.relay == left));
        world.drive(20_000);
        assert_eq!(world.held(2, 1), (round + 1) * 3, "the one that was lost came over the other relay");
        world.input(1, Input::RelayHealth { relay: gone, up: true });
        world.drive(20_000);
    }
    assert!(world.status(1).synced);
    assert_eq!(world.status(2).bundle_seq.0, 12);
}

#[test]
fn among_fast_relays_the_persons_order_decides() {
    let mut world = World::with_two_relays();
    world.input(1, Input::RelayOrder(vec![OTHER, RELAY]));
    world.node(1).puts = Puts::Open;
    world.input(1, Input::RelayHealth { relay: RELAY, up: false });
    world.input(1, Input::RelayHealth { relay: RELAY, up: true });
    world.write(1, 1);
    let first = world.node(1).open.remove(0);
    assert_eq!(first.relay, OTHER);
    // 300 ms are not slow enough to count.
    let reached = Some(vec![(source(1), Seq(1))]);
    world.input(1, Input::Sent { ticket: first.ticket, reached, bytes: 1_000, took: Millis(2_400) });
    world.write(1, 1);
    assert_eq!(world.node(1).open.remove(0).relay, OTHER);
}

#[test]
fn devices_that_cannot_say_where_else_they_look_find_each_other() {
    let mut world = World::of(2);
    for n in [1, 2] {
        world.input(n, Input::RelayAdded(OTHER));
        // The letter that says so is lost, and its relay with it.
        world.mail.clear();
        world.input(n, Input::RelayHealth { relay: RELAY, up: false });
        world.mail.clear();
    }
    world.write(1, 1);
    world.drive(60_000);
    assert_eq!(world.held(2, 1), 1);
}

#[test]
fn a_relay_that_is_left_carries_the_word_that_it_is() {
    let mut world = World::of(2);
    world.input(1, Input::RelayAdded(OTHER));
    world.drive(10_000);
    world.input(1, Input::RelayLeaving(RELAY));
    let word = world.intercept(1, 2).pop().unwrap();
    assert_eq!(
        (word.relay, word.parcel.letter.relays.as_slice()),
        (RELAY, &[OTHER][..]),
        "device 2 looks nowhere else"
    );
    world.input(1, Input::RelayRemoved(RELAY));
    assert!(world.intercept(1, 2).iter().all(|mail| mail.relay == OTHER));
}

#[test]
fn a_question_that_nobody_answers_takes_another_relay() {
    let mut world = World::with_two_relays();
    world.write(1, 1);
    world.drive(10_000);
    // Device 2 leaves RELAY, and the word of that is lost.
    world.input(2, Input::RelayLeaving(RELAY));
    world.input(2, Input::RelayRemoved(RELAY));
    world.intercept(2, 1);
    for _ in 0..6 {
        world.input(1, Input::SyncNow);
        world.mail.retain(|mail| mail.to != 2 || mail.relay != RELAY);
        world.drive(1_000);
    }
    world.write(1, 1);
    assert_eq!(world.intercept(1, 2)[0].relay, OTHER, "an answer came, and said where device 2 looks");
}

#[test]
fn a_sibling_that_is_mute_where_it_said_it_looks_is_sought_elsewhere() {
    let mut world = World::of(2);
    world.input(1, Input::RelayAdded(OTHER));
    world.drive(10_000);
    world.write(1, 1);
    world.mail.clear();
    world.pass(3_600_000);
    assert!(world.intercept(1, 2).iter().any(|mail| mail.relay == OTHER && mail.seqs(1) == [1]));
}
