//! Words to siblings that are silent. What stale ones are told is in `lanes` and `clocks`.

use super::disk::Disk;
use super::script::*;
use super::world::*;
use crate::ids::{Hash, Millis};
use crate::roster::Verified;
use crate::step::{CallId, Change, Input};

const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;

/// Device 2 joins over device 1, and both come to rest. Also the disk of device 1 as it was before.
fn paired() -> (World, Disk) {
    let mut world = World::of(1);
    let before = world.devices[&1].disk.clone();
    let heads = world.node(1).engine.roster().heads();
    let parent: Hash = heads.into_iter().next().unwrap();
    let record = addition(1, 2, parent, 1_000);
    world.input(1, Input::Record { call: CallId(1), record: Verified::vouch(record) });
    let records = world.node(1).engine.roster().records();
    world.start(2, &records);
    world.drive(1_000);
    world.write(2, 3);
    world.drive(60_000);
    assert_eq!(world.held(1, 2), 3);
    (world, before)
}

/// When device 1 spoke to device 2 in the time that passes, all mail being lost, in milliseconds from now.
fn words(world: &mut World, millis: u64) -> Vec<u64> {
    let from = world.now.0;
    let mut at = Vec::new();
    while world.now.0 < from + millis {
        world.pass(60_000);
        at.extend(world.intercept(1, 2).iter().map(|_| world.now.0 - from));
        world.mail.clear();
    }
    at
}

#[test]
fn a_device_that_was_put_back_to_before_it_knew_anybody_is_called_within_two_hours() {
    let (mut world, mut before) = paired();
    before.write(&Change::Fresh { source: source(9), generation: EPOCH / 1000 });
    world.put_back(1, before);
    assert_eq!(world.status(1).siblings.len(), 0);
    world.drive(HOUR / 2);
    assert_eq!(world.held(1, 2), 0, "nobody has anything to say");
    world.drive(HOUR * 3 / 2);
    assert_eq!((world.status(1).siblings.len(), world.held(1, 2)), (1, 3));
    assert!(world.status(1).synced && world.status(2).synced);
}

#[test]
fn the_word_carries_roster_and_question_though_the_sibling_showed_the_same_roster() {
    let mut world = World::of(2);
    world.drive(60_000);
    world.pass(2 * HOUR);
    let word = world.intercept(1, 2).remove(0).parcel;
    assert_eq!(word.records.len(), 2);
    assert!(word.letter.receipt_requested && word.runs.is_empty());
}

#[test]
fn a_silent_sibling_gets_a_word_after_an_hour_and_then_ever_more_rarely_down_to_one_a_day() {
    let mut world = World::of(2);
    world.drive(60_000);
    let at = words(&mut world, 10 * DAY);
    let pauses: Vec<u64> = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let about = |pause: u64, hours: u64| (hours * HOUR / 10 * 8..=hours * HOUR / 10 * 12 + 60_000).contains(&pause);
    assert!(about(at[0], 1), "{at:?}");
    for (pause, hours) in pauses.iter().zip([2, 4, 8, 16].into_iter().chain(std::iter::repeat(24))) {
        assert!(about(*pause, hours), "{pauses:?}");
    }
    assert!((11..=15).contains(&at.len()), "{at:?}");
}

#[test]
fn two_devices_at_rest_speak_ever_more_rarely_and_news_makes_the_pauses_begin_anew() {
    let mut world = World::of(2);
    world.write(1, 1);
    world.drive(60_000);
    world.drive(10 * DAY);
    let before = world.sends(1) + world.sends(2);
    world.drive(4 * DAY);
    assert!(
        (2..=16).contains(&(world.sends(1) + world.sends(2) - before)),
        "{}",
        world.sends(1) + world.sends(2) - before
    );
    world.write(2, 1);
    world.drive(60_000);
    let at = words(&mut world, 2 * HOUR);
    assert_eq!(at.len(), 1, "{at:?}");
}

#[test]
fn a_word_that_its_relay_refused_leaves_again_with_the_roster() {
    let mut world = World::of(2);
    world.drive(60_000);
    world.node(1).puts = Puts::Refused;
    let refused = world.sends(1);
    while world.sends(1) == refused {
        world.pass(60_000);
        world.mail.clear();
    }
    world.node(1).puts = Puts::Answered;
    world.pass(10_000);
    let words = world.intercept(1, 2);
    assert_eq!(words.len(), 1);
    assert_eq!(words[0].parcel.records.len(), 2);
}

#[test]
fn a_sibling_whose_receipt_is_awaited_gets_no_word_beside() {
    let mut world = World::of(2);
    world.drive(60_000);
    world.write(1, 1);
    world.now = world.now.plus(Millis(100));
    let at = words(&mut world, DAY);
    let last = at.len();
    // The lane asks once an hour, give or take a fifth.
    assert!((22..=36).contains(&last), "{last} {at:?}");
    assert!(at.windows(2).all(|pair| pair[1] - pair[0] < 2 * HOUR));
    assert!(world.mail.is_empty());
}
