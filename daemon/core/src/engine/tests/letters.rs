//! What a letter says beside its bundles, and over which relay questions go.

use super::removals::remove;
use super::script::*;
use super::world::*;
use crate::engine::Engine;
use crate::engine::sibling::{Owed, Sibling};
use crate::ids::{Millis, RelayId, Seq};
use crate::parcel::{Receipt, Want};
use crate::prekey::KeptPrekey;
use crate::roster::{Prekey, Verified};
use crate::step::{CallId, Input};

const THIRD: RelayId = RelayId([0xC0; 16]);

fn sibling(world: &mut World, n: u8, of: u8) -> &mut Sibling {
    let engine: &mut Engine = &mut world.node(n).engine;
    engine.siblings.get_mut(&id(of)).unwrap()
}

/// Device 1 asks device 2 so many times and hears nothing; over which relays.
fn questions(world: &mut World, count: usize) -> Vec<RelayId> {
    let mut relays = Vec::new();
    for _ in 0..count {
        world.input(1, Input::SyncNow);
        relays.extend(world.intercept(1, 2).iter().map(|mail| mail.relay));
    }
    relays
}

#[test]
fn a_new_prekey_is_told_without_the_roster_to_who_knows_that() {
    let mut world = World::of(2);
    world.drive(60_000);
    let prekey = Prekey { slot: 2, ..member(1).prekey };
    world.input(1, Input::Rekeyed(KeptPrekey { prekey, made: world.at().wall, kept: bytes::Bytes::new() }));
    world.input(1, Input::Tick);
    let told = world.intercept(1, 2).remove(0).parcel;
    assert_eq!((told.letter.prekey.slot, told.letter.prekey.public.is_empty()), (2, false));
    assert_eq!(told.letter.records, []);
}

#[test]
fn sums_get_the_room_of_a_run_whose_turn_comes_next() {
    let mut world = World::of(2);
    world.node(1).puts = Puts::Open;
    world.write(1, 1);
    let first = world.node(1).open.remove(0);
    let mut mail = mail_of(2, &[]);
    mail.parcel.letter.sums_requested = true;
    world.deliver(&mail);
    world.write(1, 1);
    world.answer(1, &first);
    let sums = world.node(1).open.remove(0);
    assert_eq!((sums.letter.sums.is_some(), sums.runs.len()), (true, 0));
    world.answer(1, &sums);
    let next = world.node(1).open.remove(0);
    assert_eq!((next.letter.sums, next.runs.len()), (None, 1));
}

#[test]
fn a_bundle_that_leaves_between_two_tellings_carries_neither_roster_nor_epoch() {
    let mut world = World::of(3);
    remove(&mut world, 1, 3, 0);
    let told = world.intercept(1, 2).remove(0).parcel;
    assert!(!told.letter.records.is_empty() && !told.epochs.is_empty());
    assert_eq!(sibling(&mut world, 1, 2).in_vain, 0, "it was told for the first time");
    world.write(1, 1);
    let bundle = world.intercept(1, 2).remove(0);
    assert_eq!((bundle.seqs(1), bundle.parcel.letter.records.len(), bundle.parcel.epochs.len()), (vec![1], 0, 0));
    while world.mail.is_empty() {
        world.pass(100);
    }
    assert_eq!(sibling(&mut world, 1, 2).in_vain, 1, "it was told in vain");
}

#[test]
fn a_bundle_calls_for_no_answer_and_a_question_for_bundles_does() {
    let mut world = World::of(3);
    world.drive(60_000);
    world.write(1, 1);
    assert_eq!(sibling(&mut world, 1, 2).calls, 0);
    world.drive(10_000);
    // Device 2 shows a bundle of device 3, which device 1 lacks.
    let mut mail = mail_of(2, &[]);
    mail.parcel.letter.receipt = Receipt { generation: 1, vector: vector(&[(3, 1)]), ..Receipt::default() };
    world.deliver(&mail);
    let mut asked = Vec::new();
    while asked.is_empty() {
        world.pass(100);
        asked = world.intercept(1, 2);
        asked.retain(|mail| !mail.parcel.letter.wants.is_empty());
    }
    assert!(!asked[0].parcel.letter.receipt_requested);
    assert_eq!(sibling(&mut world, 1, 2).calls, 1);
}

#[test]
fn after_four_questions_in_vain_the_fifth_takes_the_other_relay() {
    let mut world = World::with_two_relays();
    world.drive(60_000);
    assert_eq!(questions(&mut world, 6), [RELAY, RELAY, RELAY, RELAY, OTHER, RELAY]);
}

#[test]
fn bundles_take_no_detour_however_many_questions_were_asked() {
    let mut world = World::with_two_relays();
    world.drive(60_000);
    sibling(&mut world, 1, 2).calls = 9;
    for _ in 0..3 {
        world.write(1, 1);
        assert_eq!(world.intercept(1, 2)[0].relay, RELAY);
    }
}

#[test]
fn who_does_not_answer_eight_questions_is_asked_where_it_did_not_say_it_looks_but_first_where_it_did() {
    let mut world = World::of(2);
    world.input(1, Input::RelayAdded(OTHER));
    world.drive(60_000);
    assert_eq!(questions(&mut world, 8), [RELAY; 8]);
    assert!(questions(&mut world, 2).contains(&OTHER));
    // The relay is chosen anew: where it said it looks comes first.
    world.input(1, Input::RelayOrder(vec![OTHER, THIRD, RELAY]));
    world.input(1, Input::RelayAdded(THIRD));
    assert_eq!(world.intercept(1, 2)[0].relay, RELAY);
}

#[test]
fn the_time_of_a_put_is_smoothed_by_an_eighth() {
    let mut world = World::of(2);
    world.node(1).puts = Puts::Open;
    for (seq, latency) in [(1, 100), (2, 187)] {
        world.node(1).engine.relays[0].latency = Millis(if seq == 1 { 0 } else { 100 });
        world.write(1, 1);
        let ticket = world.node(1).open.remove(0).ticket;
        let reached = Some(vec![(source(1), Seq(seq))]);
        world.input(1, Input::Sent { ticket, reached, bytes: 1_000, took: Millis(800) });
        assert_eq!(world.node(1).engine.relays[0].latency, Millis(latency));
    }
}

#[test]
fn a_foreign_run_that_got_nowhere_waits_for_the_sibling_to_ask_again() {
    for (came_to, left) in [(2, Some(2)), (5, None), (0, None)] {
        let mut world = World::of(3);
        world.deliver(&mail_of(3, &[run_of(3, &chain(3, (1..=5).map(body).collect()))]));
        world.mail.clear();
        world.node(1).puts = Puts::Open;
        let mut mail = mail_of(2, &[]);
        mail.parcel.letter.wants = vec![Want { source: source(3), after: Seq(0), upto: Seq(5), exact: false }];
        world.deliver(&mail);
        let open = world.node(1).open.iter().position(|send| !send.runs.is_empty()).unwrap();
        let send = world.node(1).open.remove(open);
        let reached = if came_to == 0 { Vec::new() } else { vec![(source(3), Seq(came_to))] };
        world.input(1, Input::Sent { ticket: send.ticket, reached: Some(reached), bytes: 1_000, took: Millis(5) });
        let owed = sibling(&mut world, 1, 2).owed.get(&source(3)).copied();
        assert_eq!(owed, left.map(|after| Owed { after: Seq(after), upto: Seq(5) }), "it came to {came_to}");
    }
}

#[test]
fn a_relay_that_was_there_all_the_time_does_not_come_back() {
    let mut world = World::of(2);
    world.write(1, 1);
    world.mail.clear();
    world.pass(30_000);
    world.mail.clear();
    let now = world.now;
    let due = sibling(&mut world, 1, 2).lane.wake_at(now).unwrap();
    assert!(due > now.plus(Millis(6_000)), "{due:?}");
    world.input(1, Input::RelayHealth { relay: RELAY, up: true });
    assert_eq!(sibling(&mut world, 1, 2).lane.wake_at(now), Some(due));
    world.input(1, Input::RelayHealth { relay: RELAY, up: false });
    world.input(1, Input::RelayHealth { relay: RELAY, up: true });
    assert_eq!(sibling(&mut world, 1, 2).lane.wake_at(now), Some(now.plus(Millis(5_000))));
}

#[test]
fn a_stale_sibling_whose_relay_is_away_keeps_nobody_awake() {
    let mut world = World::of(2);
    world.now = Millis(91 * 24 * 3_600_000);
    world.input(1, Input::Tick);
    world.mail.clear();
    let at = sibling(&mut world, 1, 2).beacon_at;
    assert!(at > world.now);
    world.input(1, Input::RelayHealth { relay: RELAY, up: false });
    world.now = at;
    let now = world.at();
    let wake = world.node(1).engine.settle(now);
    assert!(wake.is_none_or(|wake| wake > at), "{wake:?}");
}

#[test]
fn who_speaks_often_and_lacks_a_bundle_is_given_its_time() {
    let mut world = World::of(2);
    world.deliver(&mail_of(2, &[]));
    world.write(1, 1);
    world.mail.clear();
    world.pass(1_500);
    world.deliver(&mail_of(2, &[]));
    world.pass(1_500);
    assert!(world.intercept(1, 2).iter().all(|mail| mail.seqs(1).is_empty()), "the receipt may be on its way");
}

/// Device 3 of four hears that device 1 removed it after it had removed device 4 itself, if `both`.
fn removed(both: bool) -> World {
    let mut world = World::of(4);
    world.drive(60_000);
    let heads = world.node(1).engine.roster().heads();
    if both {
        remove(&mut world, 3, 4, 0);
    }
    let record = removal(1, 3, heads, 70_000, None);
    world.mail.clear();
    sibling(&mut world, 3, 1).roster_at = world.now;
    sibling(&mut world, 3, 2).roster_at = world.now;
    world.input(3, Input::Record { call: CallId(1), record: Verified::vouch(record) });
    assert!(world.status(3).removed);
    world
}

#[test]
fn a_removed_device_tells_its_roster_to_those_who_may_not_know_all_of_it_again_and_again() {
    let mut world = removed(true);
    let records = world.node(3).engine.roster().records();
    // The fourth, too: its removal beside that of its author is void.
    for to in [1, 2, 4] {
        let told = world.intercept(3, to);
        assert_eq!(told.len(), 1);
        assert_eq!((told[0].parcel.letter.records.clone(), told[0].parcel.runs.len()), (records.clone(), 0));
        assert_eq!(sibling(&mut world, 3, to).in_vain, 1);
    }
    world.write(3, 1);
    assert!(world.mail.is_empty(), "the pause is not over, and its bundles are nobody's business");
    sibling(&mut world, 3, 2).roster_known = true;
    world.pass(60_000);
    assert!(world.intercept(3, 1).len() >= 2);
    assert!(world.intercept(3, 2).is_empty(), "it showed the same roster");
}

#[test]
fn a_removed_device_that_knows_of_no_other_removal_says_nothing() {
    let mut world = removed(false);
    world.pass(60_000);
    assert!(world.intercept(3, 1).is_empty() && world.intercept(3, 2).is_empty());
}

#[test]
fn a_watermark_takes_the_room_of_the_roster() {
    let mut world = World::of(2);
    world.drive(60_000);
    world.node(1).engine.watermark = vector(&[(2, 3)]);
    sibling(&mut world, 1, 2).tell_again();
    sibling(&mut world, 1, 2).roster_known = false;
    world.input(1, Input::Tick);
    let letters = world.intercept(1, 2).into_iter().map(|mail| mail.parcel.letter);
    let said: Vec<(usize, usize)> =
        letters.map(|letter| (letter.hydration.watermark.len(), letter.records.len())).collect();
    assert_eq!(said, [(1, 0), (0, 2)], "the roster's turn comes next");
}
