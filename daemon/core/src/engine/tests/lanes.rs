//! What leaves, when, over which relay.

use super::disk::FIRST_EPOCH;
use super::script::*;
use super::world::*;
use crate::ids::{Millis, Seq};
use crate::op::Op;
use crate::parcel::{Letter, Want};
use crate::step::{Input, Output};
use crate::value::Value;

#[test]
fn a_bundle_leaves_at_once_to_every_sibling() {
    let mut world = World::of(3);
    world.write(1, 1);
    assert_eq!(world.intercept(1, 2)[0].seqs(1), [1]);
    assert_eq!(world.intercept(1, 3)[0].seqs(1), [1]);
}

#[test]
fn bundles_gather_while_a_parcel_is_under_way() {
    let mut world = World::of(2);
    world.node(1).puts = Puts::Open;
    world.write(1, 4);
    let open = std::mem::take(&mut world.node(1).open);
    assert_eq!(open.len(), 1);
    assert_eq!((open[0].runs[0].after, open[0].runs[0].upto), (Seq(0), Seq(1)));
    world.node(1).puts = Puts::Answered;
    world.answer(1, &open[0]);
    let sent: Vec<Vec<u64>> = world.intercept(1, 2).iter().map(|mail| mail.seqs(1)).collect();
    assert_eq!(sent, [vec![1], vec![2, 3, 4]]);
}

#[test]
fn a_parcel_that_was_full_is_followed_by_the_next_at_once() {
    let mut world = World::of(2);
    world.node(1).puts = Puts::Refused;
    let text = Value::text("x".repeat(200_000));
    for _ in 0..3 {
        let put = Op::record_put("notes", "a", vec![("t".into(), Some(text.clone()))]);
        world.push(1, vec![put]).unwrap();
    }
    world.node(1).puts = Puts::Answered;
    world.pass(3_000);
    let sent: Vec<Vec<u64>> = world.intercept(1, 2).iter().map(|mail| mail.seqs(1)).collect();
    assert_eq!(sent, [[1], [2], [3]]);
}

#[test]
fn lost_mail_is_sent_again_with_growing_pauses_until_it_is_receipted() {
    let mut world = World::of(2);
    world.write(1, 1);
    world.mail.clear();
    let mut gaps = Vec::new();
    let mut last = world.now;
    while gaps.len() < 5 {
        world.pass(100);
        if !world.intercept(1, 2).is_empty() {
            gaps.push(world.now.since(last).0);
            last = world.now;
        }
        assert!(world.now.0 < 10_000_000, "it gave up");
    }
    assert!((5_000..10_000).contains(&gaps[0]), "{gaps:?}");
    assert!(gaps.windows(2).all(|pair| pair[1] * 10 > pair[0] * 13), "{gaps:?}");
    world.drive(4_000_000);
    assert!(world.status(1).synced);
    let before = world.sends(1);
    world.drive(2_000_000);
    assert_eq!(world.sends(1), before);
}

#[test]
fn a_second_sending_asks_for_a_receipt() {
    let mut world = World::of(2);
    world.write(1, 1);
    assert!(!world.intercept(1, 2)[0].parcel.letter.receipt_requested);
    world.pass(10_000);
    assert!(world.intercept(1, 2)[0].parcel.letter.receipt_requested);
}

#[test]
fn nothing_learnt_from_a_sibling_is_dispatched_as_ones_own() {
    let mut world = World::of(3);
    world.write(2, 3);
    world.intercept(2, 3);
    world.drive(30_000);
    assert_eq!(world.held(1, 2), 3);
    let runs = world.node(1).outputs.iter().filter_map(|output| match output {
        Output::Send(send) => Some(send.runs.clone()),
        Output::Commit(_) | Output::Reply(..) | Output::Acknowledge(_) | Output::Look(_) => None,
    });
    assert!(runs.flatten().next().is_none());
}

#[test]
fn a_sibling_not_heard_for_long_is_not_waited_for_and_gets_a_word_a_day() {
    let mut world = World::of(2);
    world.write(1, 1);
    world.drive(60_000);
    let days = |n: u64| n * 24 * 3_600_000;
    world.now = Millis(world.now.0 + days(91));
    world.mail.clear();
    world.input(1, Input::Tick);
    // More often at first.
    world.pass(days(2));
    world.mail.clear();
    let before = world.sends(1);
    world.write(1, 2);
    assert!(world.status(1).synced);
    assert!(!world.status(1).siblings[0].live);
    world.pass(days(10));
    assert!(world.sends(1) - before <= 11, "{}", world.sends(1) - before);
    assert!(world.mail.iter().all(|mail| mail.seqs(1).is_empty()));
}

#[test]
fn two_devices_that_were_both_away_for_long_find_each_other() {
    let mut world = World::of(2);
    world.write(1, 1);
    world.mail.clear();
    world.now = Millis(world.now.0 + 100 * 24 * 3_600_000);
    world.restart(1);
    world.restart(2);
    world.drive(60_000);
    assert_eq!(world.held(2, 1), 1);
    assert!(world.status(1).siblings[0].live);
}

#[test]
fn a_device_that_was_off_for_weeks_catches_up_on_what_its_relay_has_dropped_long_ago() {
    let mut world = World::of(2);
    world.drive(100_000);
    // Two events a day for forty days, longer than a relay keeps mail; nothing of it reaches the other one.
    for _ in 0..80 {
        world.write(1, 1);
        world.pass(12 * 3_600_000);
        world.mail.clear();
    }
    assert_eq!(world.held(2, 1), 0);
    world.restart(2);
    world.write(2, 1);
    world.drive(120_000);
    assert_eq!((world.held(2, 1), world.held(1, 2)), (80, 1));
    assert!(world.status(1).synced && world.status(2).synced);
}

#[test]
fn a_device_that_comes_back_after_an_hour_gets_its_mail_within_seconds() {
    let mut world = World::of(2);
    world.drive(100_000);
    world.write(1, 1);
    world.mail.clear();
    for _ in 0..60 {
        world.pass(60_000);
        world.mail.clear();
    }
    let letter = Letter { roster_hash: world.node(1).engine.roster().hash(), ..Letter::bare(id(2), Millis(EPOCH)) };
    world.deliver(&Mail { from: 2, to: 1, relay: RELAY, under: FIRST_EPOCH, slot: 1, parcel: verified(&letter, &[]) });
    world.drive(2_000);
    assert_eq!(world.held(2, 1), 1);
}

#[test]
fn a_question_for_own_bundles_rewinds_the_lane_once() {
    let mut world = World::of(2);
    world.write(1, 3);
    world.mail.clear();
    let want = Want { source: source(1), after: Seq(1), upto: Seq(3), exact: false };
    let letter = Letter { wants: vec![want], ..Letter::bare(id(2), Millis(EPOCH)) };
    let mail = Mail { from: 2, to: 1, relay: RELAY, under: FIRST_EPOCH, slot: 1, parcel: verified(&letter, &[]) };
    world.deliver(&mail);
    world.deliver(&mail);
    world.deliver(&mail);
    let runs: Vec<Vec<u64>> = world.intercept(1, 2).iter().map(|mail| mail.seqs(1)).filter(|s| !s.is_empty()).collect();
    assert_eq!(runs, [[2, 3]]);
}

#[test]
fn an_answer_to_a_parcel_of_an_engine_before_this_one_says_nothing() {
    let mut world = World::of(2);
    world.node(1).puts = Puts::Open;
    world.write(1, 1);
    let old = world.node(1).open.remove(0);
    world.restart(1);
    world.node(1).puts = Puts::Open;
    world.write(1, 1);
    world.input(
        1,
        Input::Sent { ticket: old.ticket, reached: Some(vec![(source(1), Seq(2))]), bytes: 1_000, took: Millis(5) },
    );
    world.write(1, 1);
    world.restart(1);
    assert!(world.intercept(1, 2).iter().any(|mail| mail.seqs(1) == [2, 3]));
}

#[test]
fn sync_now_sends_again_what_is_not_receipted_and_asks_for_receipts() {
    let mut world = World::of(2);
    world.write(1, 1);
    world.mail.clear();
    world.input(1, Input::SyncNow);
    let mail = world.intercept(1, 2);
    assert_eq!(mail[0].seqs(1), [1]);
    assert!(mail[0].parcel.letter.receipt_requested);
}

#[test]
fn a_device_at_rest_says_nothing_and_does_not_wake_but_for_a_word_after_an_hour() {
    let mut world = World::of(3);
    world.write(1, 2);
    world.write(2, 2);
    world.drive(600_000);
    let before: usize = (1..=3).map(|n| world.sends(n)).sum();
    let now = world.at();
    let wakes: Vec<u64> = (1..=3).map(|n| world.node(n).engine.settle(now).unwrap().0).collect();
    assert!(wakes.iter().all(|at| (2_880_000..=now.mono.0 + 4_320_000).contains(at)), "{wakes:?}");
    world.drive(wakes.into_iter().min().unwrap() - now.mono.0 - 1);
    assert_eq!((1..=3).map(|n| world.sends(n)).sum::<usize>(), before);
}

#[test]
fn a_parcel_that_arrived_without_its_own_bundles_does_not_leave_again_at_once() {
    let mut world = World::of(2);
    world.node(1).puts = Puts::Open;
    world.write(1, 1);
    let empty = world.node(1).open.remove(0);
    world.input(1, Input::Sent { ticket: empty.ticket, reached: Some(Vec::new()), bytes: 1_000, took: Millis(5) });
    assert!(world.node(1).open.is_empty());
    world.pass(3_000);
    assert_eq!(world.node(1).open.len(), 1);
}

#[test]
fn what_the_slowest_sibling_lacks_is_pending() {
    let mut world = World::of(3);
    world.write(1, 2);
    world.intercept(1, 2);
    world.deliver_all();
    world.pass(6_000);
    world.mail.retain(|mail| mail.from == 3);
    world.deliver_all();
    let status = world.status(1);
    assert_eq!(status.siblings.iter().map(|sibling| sibling.lag).collect::<Vec<_>>(), [2, 0]);
    assert_eq!(status.pending_up, 2);
}

#[test]
fn many_sources_are_forwarded_a_few_at_a_time_until_all_are_there() {
    let mut world = World::of(14);
    for n in 2..=13 {
        world.deliver(&mail_of(n, &[run_of(n, &chain(n, vec![body(u64::from(n))]))]));
    }
    world.mail.clear();
    let wants = (2..=13).map(|n| Want { source: source(n), after: Seq(0), upto: Seq(1), exact: false }).collect();
    let letter = Letter { wants, ..Letter::bare(id(14), Millis(EPOCH)) };
    world.deliver(&Mail { from: 14, to: 1, relay: RELAY, under: FIRST_EPOCH, slot: 1, parcel: verified(&letter, &[]) });
    let runs: Vec<usize> = world.intercept(1, 14).iter().map(|mail| mail.parcel.runs.len()).collect();
    assert_eq!(runs, [8, 4]);
}
