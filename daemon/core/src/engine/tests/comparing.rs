//! Two devices that hold different state at equal vectors tell each other enough to find the place.

use super::script::*;
use super::world::*;
use crate::digest::Sum;
use crate::ids::Millis;
use crate::op::OP_LEVEL;
use crate::parcel::Letter;
use crate::step::Input;

fn asks(world: &mut World) -> usize {
    let asked = world.input(1, Input::AskSums(id(2)));
    let sends =
        asked.iter().filter(|output| matches!(output, crate::step::Output::Send(send) if send.letter.sums_requested));
    sends.count()
}

#[test]
fn a_sibling_that_is_asked_tells_its_sums_and_brings_nothing_along() {
    let mut world = World::of(2);
    world.write(1, 1);
    world.drive(10_000);
    assert_eq!(asks(&mut world), 1);
    world.write(2, 1);
    world.node(2).outputs.clear();
    let question = world.intercept(1, 2).pop().unwrap();
    world.mail.clear();
    world.write(2, 1);
    world.deliver(&question);
    let letters: Vec<_> = world.intercept(2, 1);
    let told: Vec<_> = letters.iter().filter(|mail| mail.parcel.letter.sums.is_some()).collect();
    assert_eq!(told.len(), 1, "told once");
    assert!(told[0].parcel.runs.is_empty());
}

#[test]
fn a_question_is_not_repeated_while_its_answer_may_be_under_way() {
    let mut world = World::of(2);
    world.drive(10_000);
    assert_eq!(asks(&mut world), 1);
    assert_eq!(asks(&mut world), 0);
    world.drive(2_000);
    assert_eq!(asks(&mut world), 1, "it may have been lost");
    assert!(world.input(1, Input::AskSums(id(9))).is_empty(), "nobody of that name");
}

#[test]
fn what_was_told_counts_while_the_sibling_stands_where_it_stood() {
    let mut world = World::of(2);
    world.write(1, 1);
    world.drive(10_000);
    let vector = world.status(1).siblings[0].vector.clone();
    let sums = vec![("notes".to_owned(), Sum::default())];
    let say = |world: &mut World, letter: Letter| {
        let mut mail = mail_of(2, &[]);
        mail.parcel = verified(&letter, &[]);
        world.deliver(&mail);
    };
    let letter = Letter { sums: Some(sums.clone()), op_level: OP_LEVEL + 1, ..Letter::bare(id(2), Millis(EPOCH)) };
    let mut letter = Letter {
        receipt: crate::parcel::Receipt { generation: 1, vector, ..crate::parcel::Receipt::default() },
        ..letter
    };
    say(&mut world, letter.clone());
    assert_eq!(world.status(1).siblings[0].sums, Some(sums.clone()));
    assert_eq!(world.status(1).siblings[0].op_level, OP_LEVEL + 1);
    letter.sums = None;
    say(&mut world, letter.clone());
    assert_eq!(world.status(1).siblings[0].sums, Some(sums));
    world.write(2, 1);
    world.drive(10_000);
    assert_eq!(world.status(1).siblings[0].sums, None);
}
