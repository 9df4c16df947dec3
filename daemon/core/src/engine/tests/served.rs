//! What siblings ask for, and what becomes of it.

use super::script::*;
use super::world::*;
use crate::ids::Seq;
use crate::parcel::Want;

fn want(n: u8, after: u64, upto: u64, exact: bool) -> Want {
    Want { source: source(n), after: Seq(after), upto: Seq(upto), exact }
}

/// Device 2 asks device 1.
fn asks(world: &mut World, want: Want, generation: u64) {
    let mut mail = mail_of(2, &[]);
    mail.parcel.letter.receipt.generation = generation;
    mail.parcel.letter.wants = vec![want];
    world.deliver(&mail);
}

#[test]
fn who_holds_another_history_of_the_own_source_makes_it_given_up_and_of_a_third_one_nothing_follows() {
    let mut world = World::of(3);
    world.write(1, 2);
    world.deliver(&mail_of(3, &[run_of(3, &chain(3, vec![body(1)]))]));
    asks(&mut world, want(3, 0, 1, true), 1);
    assert_eq!(world.status(1).source, source(1));
    asks(&mut world, want(1, 0, 2, true), 1);
    assert_ne!(world.status(1).source, source(1));
}

#[test]
fn who_asks_exactly_for_what_comes_after_the_last_is_owed_nothing() {
    let mut world = World::of(3);
    world.deliver(&mail_of(3, &[run_of(3, &chain(3, vec![body(1), body(2)]))]));
    world.node(1).puts = Puts::Open;
    for (after, owed) in [(2, 0), (1, 1)] {
        world.input(1, crate::step::Input::Gate { open: false });
        asks(&mut world, want(3, after, 2, true), 1);
        assert_eq!(world.node(1).engine.siblings[&id(2)].owed.len(), owed, "after {after}");
    }
}

#[test]
fn an_older_life_of_a_sibling_gets_what_it_lacks_again_each_time_and_repeats_are_answered_once() {
    for (after, answers) in [(1, vec![vec![2, 3, 4, 5]; 2]), (3, vec![vec![4, 5]])] {
        let mut world = World::of(2);
        world.write(1, 5);
        world.mail.clear();
        let mut mail = mail_of(2, &[]);
        let third = world.node(1).disk.log[2].bundle.head();
        mail.parcel.letter.receipt.generation = 7;
        mail.parcel.letter.receipt.vector.advance(source(1), third);
        world.deliver(&mail);
        world.mail.clear();
        for _ in 0..2 {
            asks(&mut world, want(1, after, 5, false), 2);
        }
        let sent: Vec<Vec<u64>> =
            world.intercept(1, 2).iter().map(|mail| mail.seqs(1)).filter(|seqs| !seqs.is_empty()).collect();
        assert_eq!(sent, answers, "after {after}");
    }
}

#[test]
fn who_has_not_spoken_since_it_was_seen_to_lag_is_asked_before_it_is_sent_anything() {
    let mut world = World::of(3);
    world.deliver(&mail_of(3, &[run_of(3, &chain(3, vec![body(1)]))]));
    world.mail.clear();
    world.deliver(&mail_of(2, &[]));
    assert_eq!(world.node(1).engine.siblings[&id(2)].lag.map(|lag| lag.attempts), Some(0));
    world.mail.clear();
    world.pass(75_000);
    let mail = world.intercept(1, 2);
    assert!(mail.iter().any(|mail| mail.parcel.letter.receipt_requested));
    assert!(mail.iter().all(|mail| mail.seqs(3).is_empty()));
}

#[test]
fn a_generation_that_no_device_can_have_is_not_outlived() {
    for (seen, outlives) in [(1 << 63, false), ((1 << 63) - 1, true)] {
        let mut world = World::of(2);
        let mut mail = mail_of(2, &[]);
        mail.parcel.letter.addressee_generation = seen;
        world.deliver(&mail);
        assert_eq!(world.status(1).source != source(1), outlives, "{seen}");
    }
}
