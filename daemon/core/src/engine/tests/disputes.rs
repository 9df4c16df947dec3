//! Sources in dispute: what is asked, of whom, and for how long.

use super::script::*;
use super::world::*;
use crate::bundle::Bundle;
use crate::ids::{Hash, Millis, Seq};
use crate::look::Look;
use crate::step::Output;
use crate::vector::Head;

/// Two histories of device 3 that part after `common` bundles; device 1 holds the first, and device 2 shows the other at its end.
fn disputed(common: u64, length: u64) -> (World, Vec<Bundle>, Vec<Bundle>) {
    let bodies = |name: u64| (1..=length).map(|n| body(if n <= common { n } else { n + name * 100 })).collect();
    let (held, other) = (chain(3, bodies(0)), chain(3, bodies(1)));
    let mut world = World::of(3);
    world.deliver(&mail_of(3, &[run_of(3, &held)]));
    world.mail.clear();
    shows(&mut world, other.last().unwrap().head());
    (world, held, other)
}

/// Device 2 says that it holds device 3's source up to there.
fn shows(world: &mut World, head: Head) {
    let mut mail = mail_of(2, &[]);
    mail.parcel.letter.receipt.vector.advance(source(3), head);
    world.deliver(&mail);
}

/// After which positions device 1 asked device 2 for another history of device 3's source.
fn asked(world: &mut World) -> Vec<u64> {
    let mail = world.intercept(1, 2);
    let wants = mail.iter().flat_map(|mail| &mail.parcel.letter.wants);
    wants.filter(|want| want.exact && want.source == source(3)).map(|want| want.after.0).collect()
}

fn is_disputed(world: &World) -> bool {
    world.devices[&1].engine.forks.is_disputed(source(3))
}

#[test]
fn what_comes_of_a_source_in_dispute_is_compared_before_it_is_taken_in() {
    let (mut world, held, _) = disputed(1, 2);
    assert!(is_disputed(&world));
    let next = Bundle::write(dot(3, 3), held[1].hash, body(900)).unwrap();
    let outputs = world.deliver(&mail_of(3, &[run_of(3, &[next])]));
    assert!(outputs.iter().any(|output| matches!(output, Output::Look(Look::Compare { .. }))));
    assert_eq!((is_disputed(&world), world.held(1, 3)), (false, 3), "it goes on here, and nothing else was shown");
}

#[test]
fn a_question_that_is_not_answered_is_asked_six_times_with_growing_pauses() {
    let (mut world, ..) = disputed(1, 2);
    assert_eq!(asked(&mut world), [1]);
    let now = world.now;
    let next = world.node(1).engine.forks.wake_at(now).unwrap();
    assert!((4_000..=6_000).contains(&next.since(now).0), "{next:?}");
    assert_eq!(world.node(1).engine.forks.wake_at(next), None, "that is now");
    world.pass(next.since(now).0);
    assert_eq!(asked(&mut world), [1]);
    world.pass(3_000_000);
    assert_eq!(asked(&mut world), [1; 4]);
    world.input(1, crate::step::Input::Tick);
    assert!(!is_disputed(&world), "it rests until it shows again");
    shows(&mut world, Head { seq: Seq(2), hash: Hash([9; 32]) });
    assert_eq!(asked(&mut world), [1]);
}

#[test]
fn nobody_is_asked_about_a_dispute_with_who_was_removed() {
    let (mut world, ..) = disputed(1, 2);
    super::removals::remove(&mut world, 1, 2, 0);
    world.pass(20_000);
    assert!(!is_disputed(&world));
}

#[test]
fn the_search_goes_back_in_growing_steps_and_on_from_what_agrees() {
    let (mut world, held, other) = disputed(3, 6);
    assert_eq!(asked(&mut world), [5]);
    world.deliver(&mail_of(2, &[run_of(3, &other[5..])]));
    assert_eq!(asked(&mut world), [4]);
    world.deliver(&mail_of(2, &[run_of(3, &other[4..])]));
    assert_eq!(asked(&mut world), [2]);
    // A part of the answer: it agrees, and where the two part lies beyond it.
    world.deliver(&mail_of(2, &[run_of(3, &other[2..3])]));
    assert_eq!((is_disputed(&world), asked(&mut world)), (true, vec![3]));
    world.deliver(&mail_of(2, &[run_of(3, &other[3..])]));
    assert_eq!((is_disputed(&world), world.held(1, 3)), (false, 3));
    assert_eq!(world.status(1).vector.head(source(3)), held[2].head());
}

#[test]
fn an_answer_that_ends_where_the_question_began_is_not_asked_for_again_at_once() {
    let (mut world, held, other) = disputed(3, 6);
    world.deliver(&mail_of(2, &[run_of(3, &other[5..])]));
    world.deliver(&mail_of(2, &[run_of(3, &other[4..])]));
    assert_eq!(asked(&mut world), [5, 4, 2]);
    world.deliver(&mail_of(2, &[run_of(3, &held[..2])]));
    assert_eq!((asked(&mut world), world.held(1, 3)), (vec![], 6));
}

#[test]
fn an_answer_that_agrees_to_the_end_ends_the_dispute() {
    let (mut world, held, other) = disputed(3, 6);
    world.deliver(&mail_of(2, &[run_of(3, &other[5..])]));
    world.deliver(&mail_of(2, &[run_of(3, &other[4..])]));
    assert_eq!(asked(&mut world), [5, 4, 2]);
    world.deliver(&mail_of(2, &[run_of(3, &held[2..])]));
    assert_eq!((is_disputed(&world), world.held(1, 3)), (false, 6));
    world.pass(Millis(60_000).0);
    assert_eq!(asked(&mut world), [0; 0]);
}
