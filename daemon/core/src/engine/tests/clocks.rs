//! Wrong clocks: order stays causal, stamps grow, nothing is lost.

use super::script::*;
use super::world::*;
use crate::clock::Stamp;
use crate::ids::Seq;
use crate::step::Output;

/// Ten years.
const YEARS: i64 = 10 * 365 * 24 * 3_600_000;

/// Stamps of device `n`'s source as device `on` holds it, in order.
fn stamps(world: &mut World, on: u8, n: u8) -> Vec<Stamp> {
    let log = world.node(on).disk.log.iter().filter(|append| append.bundle.dot.source == source(n));
    log.map(|append| append.bundle.body.as_ref().unwrap().stamp).collect()
}

#[test]
fn stamps_of_a_source_grow_while_its_clock_jumps_back_and_forth_and_everything_arrives() {
    let mut world = World::of(2);
    for ahead in [0, YEARS, -YEARS, 3_600_000, 0] {
        world.node(1).ahead = ahead;
        world.write(1, 2);
        world.drive(20_000);
    }
    let stamps = stamps(&mut world, 2, 1);
    assert_eq!(stamps.len(), 10);
    assert!(stamps.windows(2).all(|pair| pair[0] < pair[1]), "{stamps:?}");
    assert!(world.status(1).synced && world.status(2).synced);
}

#[test]
fn an_answer_sorts_after_its_question_whatever_the_clocks_say() {
    let mut world = World::of(2);
    world.node(1).ahead = YEARS;
    world.node(2).ahead = -YEARS;
    world.write(1, 1);
    world.drive(20_000);
    world.write(2, 1);
    world.drive(20_000);
    let (question, answer) = (stamps(&mut world, 2, 1)[0], stamps(&mut world, 1, 2)[0]);
    assert!(question < answer);
    world.restart(2);
    world.write(2, 1);
    assert!(answer < stamps(&mut world, 2, 2)[1], "also after a restart");
}

#[test]
fn a_clock_that_is_set_years_ahead_makes_nobody_stale_who_speaks() {
    let mut world = World::of(2);
    world.write(2, 1);
    world.drive(20_000);
    world.node(1).ahead = YEARS;
    world.write(1, 1);
    world.deliver_all();
    assert_eq!(world.held(2, 1), 1);
    assert!(world.status(1).siblings[0].live);
}

#[test]
fn a_device_that_starts_with_a_clock_years_ahead_shows_itself_until_it_is_answered() {
    let mut world = World::of(2);
    world.write(2, 1);
    world.drive(20_000);
    world.node(1).ahead = YEARS;
    world.restart(1);
    world.write(1, 1);
    assert!(!world.status(1).siblings[0].live);
    // Its first words are lost.
    world.mail.clear();
    world.pass(100_000);
    world.mail.clear();
    world.drive(600_000);
    assert!(world.status(1).siblings[0].live);
    assert_eq!(world.status(2).vector.seq(source(1)), Seq(1));
}

#[test]
fn a_sibling_that_stays_away_is_shown_ever_less_often_that_one_is_here() {
    let mut world = World::of(2);
    world.node(1).ahead = YEARS;
    world.restart(1);
    let sent = |world: &World| world.devices[&1].outputs.iter().filter(|o| matches!(o, Output::Send(_))).count();
    let day = 24 * 3_600_000;
    world.pass(2 * day);
    let before = sent(&world);
    world.pass(7 * day);
    assert!((6..=8).contains(&(sent(&world) - before)), "{}", sent(&world) - before);
}

#[test]
fn how_far_a_siblings_clock_is_ahead_is_known_from_its_letters() {
    let mut world = World::of(2);
    world.node(2).ahead = YEARS;
    world.write(2, 1);
    world.drive(20_000);
    assert!(world.status(1).siblings[0].clock_ahead > YEARS - 60_000);
    assert!(world.status(2).siblings[0].clock_ahead < 60_000 - YEARS);
}
