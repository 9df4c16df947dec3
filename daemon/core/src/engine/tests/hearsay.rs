//! What is passed on of siblings that others cannot hear. That it arrives is shown in `bridges`.

use bytes::Bytes;

use super::script::*;
use super::world::*;
use crate::engine::Engine;
use crate::ids::{Hash, Millis, RelayId, Seq, SourceId};
use crate::parcel::{MAX_STATEMENTS, MAX_VECTOR, Receipt, Statement};
use crate::roster::Verified;
use crate::step::Input;
use crate::vector::Head;

/// What device `n` says of itself: that it holds one bundle of each of so many sources.
fn statement(n: u8, heads: usize, relays: usize) -> Statement {
    let source = |at: usize| SourceId(std::array::from_fn(|byte| at.to_be_bytes().get(byte).copied().unwrap_or(n)));
    let head = Head { seq: Seq(1), hash: Hash([7; 32]) };
    let vector = (0..heads).map(|at| (source(at), head)).collect();
    let receipt = Receipt { generation: 1, vector, ..Receipt::default() };
    let signature = Bytes::from_static(&[9; 64]);
    Statement { device: id(n), receipt, relays: vec![OTHER; relays], signature, ..Statement::default() }
}

/// Device 1 alone, with siblings 2 to `count` of which it has heard nothing. Device 2 looks on RELAY, the others on OTHER.
fn surrounded(count: u8) -> World {
    let mut world = World::of(1);
    let mut parent = world.node(1).engine.roster().heads().into_iter().next().unwrap();
    let mut records = Vec::new();
    for n in 2..=count {
        let record = addition(1, n, parent, u64::from(n));
        parent = record.id();
        records.push(Verified::vouch(record));
    }
    world.node(1).engine.take_records(records);
    world.input(1, Input::RelayAdded(OTHER));
    for (sibling, state) in &mut world.node(1).engine.siblings {
        state.relays = vec![if *sibling == id(2) { RELAY } else { OTHER }];
    }
    world.mail.clear();
    world
}

/// Device 1 hears from each device what it says of itself.
fn say(world: &mut World, said: &[Statement]) {
    let now = world.at();
    let engine: &mut Engine = &mut world.node(1).engine;
    for said in said {
        engine.siblings.get_mut(&said.device).unwrap().receipt = said.receipt.clone();
        engine.hear_of(said, said.device, now);
    }
    engine.pass_on(id(2), now);
}

/// Of how many devices device 2 is told now.
fn told(world: &mut World) -> usize {
    let now = world.at();
    world.node(1).engine.hearsay(id(2), now).len()
}

fn due(world: &World) -> Option<u64> {
    let passing = &world.devices[&1].engine.siblings[&id(2)].passing;
    passing.get(&id(3)).map(|passing| passing.at.since(world.now).0)
}

#[test]
fn only_what_says_more_than_is_known_and_comes_of_somebody_else_counts() {
    let mut world = surrounded(3);
    let (known, more) = (statement(3, 2, 1), statement(3, 3, 1));
    let now = world.at();
    let engine = &mut world.node(1).engine;
    let third = engine.siblings.get_mut(&id(3)).unwrap();
    (third.receipt, third.heard) = (known.receipt.clone(), Some(Millis(5)));
    engine.hear_of(&more, id(3), now);
    engine.hear_of(&known, id(2), now);
    assert_eq!((engine.siblings[&id(3)].heard, engine.siblings[&id(3)].receipt.vector.len()), (Some(Millis(5)), 2));
    engine.hear_of(&more, id(2), now);
    assert_eq!((engine.siblings[&id(3)].heard, engine.siblings[&id(3)].receipt.vector.len()), (Some(now.wall), 3));
}

#[test]
fn a_statement_that_says_less_than_is_known_is_not_kept() {
    let mut world = surrounded(3);
    let now = world.at();
    let engine = &mut world.node(1).engine;
    engine.siblings.get_mut(&id(3)).unwrap().receipt = statement(3, 3, 1).receipt;
    engine.hear_of(&statement(3, 2, 1), id(2), now);
    assert!(engine.siblings[&id(3)].stated.is_none());
    engine.hear_of(&statement(3, 3, 1), id(2), now);
    assert!(engine.siblings[&id(3)].stated.is_some());
}

#[test]
fn out_of_reach_is_who_said_where_it_looks_and_looks_nowhere_where_we_do() {
    let mut world = surrounded(2);
    let nowhere = RelayId([0xDD; 16]);
    for (relays, out) in [(vec![], false), (vec![RELAY], false), (vec![nowhere, OTHER], false), (vec![nowhere], true)] {
        world.node(1).engine.siblings.get_mut(&id(2)).unwrap().relays = relays;
        assert_eq!(world.node(1).engine.is_out_of_reach(id(2)), out);
    }
}

#[test]
fn nothing_is_passed_on_of_whom_it_is_not_known_where_it_looks() {
    let mut world = surrounded(3);
    world.node(1).engine.siblings.get_mut(&id(3)).unwrap().relays.clear();
    say(&mut world, &[statement(3, 1, 1)]);
    assert_eq!((due(&world), told(&mut world)), (None, 0));
}

#[test]
fn what_waits_goes_with_any_letter_and_what_was_passed_on_waits_for_its_pause_or_for_news() {
    let mut world = surrounded(3);
    say(&mut world, &[statement(3, 1, 1)]);
    assert_eq!(due(&world), Some(5_000));
    world.now = world.now.plus(Millis(2_000));
    say(&mut world, &[statement(3, 2, 1)]);
    assert_eq!(due(&world), Some(3_000), "it leaves when the first was to leave");
    assert_eq!((told(&mut world), told(&mut world)), (1, 0));
    assert!((12_000..=18_000).contains(&due(&world).unwrap()));
    say(&mut world, &[statement(3, 2, 1)]);
    assert_eq!(told(&mut world), 0, "it says the same");
    say(&mut world, &[statement(3, 3, 1)]);
    assert_eq!((due(&world), told(&mut world)), (Some(5_000), 1));
}

#[test]
fn a_letter_passes_on_as_many_statements_as_it_may_hold() {
    let mut world = surrounded(67);
    let all: Vec<Statement> = (3..=67).map(|n| statement(n, 0, 0)).collect();
    say(&mut world, &all);
    assert_eq!((told(&mut world), told(&mut world)), (MAX_STATEMENTS, 1));
}

#[test]
fn a_letter_passes_on_as_many_heads_as_a_vector_may_have() {
    for (heads, together) in [(MAX_VECTOR / 2, 2), (MAX_VECTOR / 2 + 1, 1)] {
        let mut world = surrounded(4);
        say(&mut world, &[statement(3, MAX_VECTOR / 2, 1), statement(4, heads, 1)]);
        assert_eq!(told(&mut world), together);
    }
}

#[test]
fn a_letter_passes_on_as_many_bytes_as_a_roster_takes() {
    // 64 statements with 230 heads and 4,005 relays are 96 KiB: 64 × 176 + 230 × 65 + 4,005 × 18.
    for (last, together) in [(36, MAX_STATEMENTS), (37, MAX_STATEMENTS - 1)] {
        let mut world = surrounded(66);
        let mut all: Vec<Statement> = (3..=65).map(|n| statement(n, 0, 63)).collect();
        all[0] = statement(3, 230, 63);
        all.push(statement(66, 0, last));
        assert_eq!(all.iter().map(Statement::size).sum::<usize>(), 96 * 1024 + (last - 36) * 18);
        say(&mut world, &all);
        assert_eq!(told(&mut world), together);
    }
}

#[test]
fn a_roster_to_be_told_goes_before_what_is_passed_on() {
    let mut world = surrounded(3);
    say(&mut world, &[statement(3, 1, 1)]);
    world.now = world.now.plus(Millis(6_000));
    let second = world.node(1).engine.siblings.get_mut(&id(2)).unwrap();
    (second.roster_known, second.roster_at) = (false, Millis(0));
    world.input(1, Input::Tick);
    let letters = world.intercept(1, 2);
    let said: Vec<(bool, usize)> =
        letters.iter().map(|mail| (mail.parcel.letter.records.is_empty(), mail.parcel.statements.len())).collect();
    assert_eq!(said[0], (false, usize::from(letters[0].parcel.letter.signature.is_some())));
}
