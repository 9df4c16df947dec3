//! Sources with two histories: they end at the same place everywhere, and nothing is lost.

use std::collections::{BTreeMap, BTreeSet};

use super::script::*;
use super::world::*;
use crate::bundle::Bundle;
use crate::clock::Stamp;
use crate::evidence::Evidence;
use crate::ids::{Dot, Hash, Seq, SourceId};
use crate::roster::Verified;
use crate::step::{Change, Output};
use crate::vector::Head;

/// Three devices, the third of which has written `common` bundles that all hold, and then runs twice: as 3 and as 33.
fn copied(common: u64) -> World {
    let mut world = World::of(3);
    world.write(3, common);
    world.drive(20_000);
    world.copy(3, 33);
    world.mail.clear();
    world
}

/// Writes notes, one bundle each; their names.
fn write(world: &mut World, n: u8, name: &str, count: u64) -> BTreeSet<(Dot, Hash)> {
    let before = bundles(world, n);
    for k in 0..count {
        world.push(n, vec![note(&format!("{name}{k}"))]).unwrap();
    }
    bundles(world, n).into_iter().filter(|named| !before.contains(named)).collect()
}

fn bundles(world: &World, n: u8) -> BTreeSet<(Dot, Hash)> {
    world.devices[&n].disk.log.iter().map(|append| (append.bundle.dot, append.bundle.hash)).collect()
}

/// Which bundles device `n` holds for which others.
fn origins(world: &World, n: u8) -> Vec<(Dot, Hash)> {
    let log = world.devices[&n].disk.log.iter();
    let origins = log.filter_map(|append| append.bundle.body.as_ref()?.origin);
    origins.map(|(source, Head { seq, hash })| (Dot { source, seq }, hash)).collect()
}

/// What lies on the way from one device to another is delivered there, and nowhere else.
fn reaches(world: &mut World, from: u8, to: u8) {
    for mail in world.intercept(from, to) {
        world.deliver(&mail);
    }
}

/// All that is spent is restored, as the driver does it.
fn settle(world: &mut World, millis: u64) {
    let until = world.now.0 + millis;
    while world.now.0 < until {
        world.drive(1_000);
        let spent: Vec<u8> = world.devices.iter().filter(|(_, node)| node.engine.is_spent()).map(|(n, _)| *n).collect();
        spent.into_iter().for_each(|n| world.restart(n));
    }
}

fn ends(world: &World, n: u8) -> Vec<(SourceId, u64)> {
    let refused = world.status(n).refused;
    refused.iter().filter(|refused| refused.ended).map(|ended| (ended.source, ended.after.0)).collect()
}

/// The third device's source ended after `common` on all, all hold the same, and of what was written beyond nothing is lost.
fn healed(world: &World, common: u64, beyond: &BTreeSet<(Dot, Hash)>) {
    let all: Vec<u8> = world.devices.keys().copied().collect();
    for n in &all {
        assert_eq!(world.held(*n, 3), common, "device {n}");
        assert_eq!(ends(world, *n), [(source(3), common)], "device {n}");
        assert_eq!(bundles(world, *n), bundles(world, 1), "device {n}");
        let mut again = origins(world, *n);
        again.sort_unstable();
        assert_eq!(again, beyond.iter().copied().collect::<Vec<_>>(), "device {n}");
    }
    assert!(world.status(1).synced && world.status(2).synced);
}

#[test]
fn two_histories_of_a_copied_device_end_where_they_part_and_both_are_written_again() {
    let mut world = copied(2);
    let mut beyond = write(&mut world, 3, "a", 2);
    reaches(&mut world, 3, 1);
    beyond.extend(write(&mut world, 33, "b", 1));
    reaches(&mut world, 33, 2);
    world.mail.clear();
    assert_eq!((world.held(1, 3), world.held(2, 3)), (4, 3));
    settle(&mut world, 600_000);
    healed(&world, 2, &beyond);
    let told = &world.status(2).refused[0].reason;
    for (_, hash) in beyond.iter().filter(|(dot, _)| dot.seq == Seq(3)) {
        assert!(told.contains(&hash.to_string()[..32]), "{told}");
    }
}

#[test]
fn histories_of_equal_length_are_seen_by_their_hashes_alone() {
    let mut world = copied(1);
    let mut beyond = write(&mut world, 3, "a", 3);
    reaches(&mut world, 3, 1);
    beyond.extend(write(&mut world, 33, "b", 3));
    reaches(&mut world, 33, 2);
    world.mail.clear();
    // The third and its copy are away: the others find out alone.
    let (third, copy) = (world.devices.remove(&3).unwrap(), world.devices.remove(&33).unwrap());
    world.write(1, 1);
    world.write(2, 1);
    settle(&mut world, 120_000);
    assert_eq!((ends(&world, 1), ends(&world, 2)), (vec![(source(3), 1)], vec![(source(3), 1)]));
    assert_eq!((world.held(1, 3), world.held(2, 3)), (1, 1));
    world.devices.extend([(3, third), (33, copy)]);
    settle(&mut world, 4_000_000);
    healed(&world, 1, &beyond);
}

#[test]
fn a_source_that_was_forked_at_its_first_bundle_ends_before_it() {
    let mut world = copied(0);
    let mut beyond = write(&mut world, 3, "a", 1);
    reaches(&mut world, 3, 1);
    beyond.extend(write(&mut world, 33, "b", 2));
    reaches(&mut world, 33, 2);
    world.mail.clear();
    settle(&mut world, 600_000);
    healed(&world, 0, &beyond);
}

#[test]
fn long_histories_are_compared_without_reading_them_all() {
    let mut world = copied(100);
    let mut beyond = write(&mut world, 3, "a", 40);
    reaches(&mut world, 3, 1);
    beyond.extend(write(&mut world, 33, "b", 25));
    reaches(&mut world, 33, 2);
    world.mail.clear();
    settle(&mut world, 600_000);
    healed(&world, 100, &beyond);
    let sent = world.node(2).outputs[..].iter().filter_map(|output| match output {
        Output::Send(send) => Some(send.letter.wants.iter().filter(|want| want.exact).count()),
        Output::Commit(_) | Output::Reply(..) | Output::Acknowledge(_) | Output::Look(_) => None,
    });
    assert!(sent.sum::<usize>() <= 8, "one step back, two, four, eight, sixteen, thirty-two");
}

#[test]
fn further_evidence_only_lowers_the_end_in_whatever_order_it_comes() {
    let histories = |parts: u64, name: u64| {
        let bodies = (1..=6).map(|n| body(if n <= parts { n } else { n + name * 100 })).collect();
        chain(3, bodies)
    };
    let [first, second, third] = [histories(6, 0), histories(4, 1), histories(2, 2)];
    let proof = |one: &[Bundle], other: &[Bundle], from: usize| {
        let runs = [one, other].map(|bundles| run_of(3, &bundles[from..from + 1]).rebuild().unwrap());
        Evidence::of(Vec::from(runs)).unwrap()
    };
    let (late, early) = (proof(&first, &second, 4), proof(&second, &third, 2));
    assert_eq!((late.verdict().end, early.verdict().end), (first[3].head(), first[1].head()));
    let mut summaries = BTreeSet::new();
    for order in [[&late, &early], [&early, &late]] {
        let mut world = World::of(3);
        world.deliver(&mail_of(2, &[run_of(3, &first)]));
        for evidence in order {
            let mut mail = mail_of(2, &[]);
            mail.parcel.evidence = vec![Verified::vouch((*evidence).clone())];
            world.deliver(&mail);
            world.restart(1);
        }
        assert_eq!(world.held(1, 3), 2);
        assert_eq!(ends(&world, 1), [(source(3), 2)]);
        // Nothing of any history is taken in beyond it any more.
        for history in [&first, &second, &third] {
            world.deliver(&mail_of(2, &[run_of(3, history)]));
            assert_eq!(world.held(1, 3), 2);
        }
        world.mail.clear();
        world.write(1, 1);
        summaries.insert(world.intercept(1, 2)[0].parcel.letter.verdicts);
    }
    assert_eq!(summaries.len(), 1);
    assert!(summaries.iter().all(Option::is_some));
}

#[test]
fn evidence_ends_a_source_of_which_nothing_was_heard_and_whoever_saw_it_is_applied() {
    let mut world = World::of(3);
    let (one, other) = (chain(3, vec![body(1)]), chain(3, vec![body(2)]));
    let runs = [&one, &other].map(|bundles| run_of(3, bundles).rebuild().unwrap());
    let mut author = body(5);
    author.context = vec![(source(3), one[0].head())];
    world.deliver(&mail_of(2, &[run_of(2, &chain(2, vec![author]))]));
    assert_eq!(world.held(1, 2), 0, "it waits for its cause");
    let mut mail = mail_of(2, &[]);
    mail.parcel.evidence = vec![Verified::vouch(Evidence::of(Vec::from(runs)).unwrap())];
    world.deliver(&mail);
    assert_eq!(world.held(1, 2), 1);
    world.restart(1);
    assert_eq!(world.held(1, 2), 1);
    assert_eq!(world.status(1).pending_down, 0);
}

#[test]
fn stamps_that_run_backwards_are_evidence_too_and_their_author_goes_on_elsewhere() {
    let mut world = World::of(3);
    let bundles = chain(3, vec![body(5), body(9), body(7), body(11)]);
    // One run that says it alone, and one whose beginning is needed for it.
    for split in [0, 2] {
        let mut world = World::of(3);
        world.deliver(&mail_of(2, &[run_of(3, &bundles[..split.max(1)])]));
        let outputs = world.deliver(&mail_of(2, &[run_of(3, &bundles[split..])]));
        assert_eq!((world.held(1, 3), ends(&world, 1)), (2, vec![(source(3), 2)]), "split at {split}");
        assert!(outputs.iter().any(|output| matches!(output, Output::Commit(Change::Evidence(_)))));
    }
    world.deliver(&mail_of(2, &[run_of(3, &bundles)]));
    settle(&mut world, 60_000);
    assert!((1..=3).all(|n| ends(&world, n) == [(source(3), 2)]));
    assert_ne!(world.status(3).source, source(3));
    world.write(3, 1);
    settle(&mut world, 60_000);
    assert_eq!(world.status(1).vector.seq(world.status(3).source), Seq(1));
    let reason = &world.status(1).refused[0].reason;
    assert!(reason.contains(&(EPOCH + 9).to_string()) && reason.contains(&(EPOCH + 7).to_string()), "{reason}");
}

#[test]
fn evidence_is_told_until_a_sibling_shows_that_it_has_it_and_not_after() {
    let mut world = copied(1);
    write(&mut world, 3, "a", 1);
    reaches(&mut world, 3, 1);
    write(&mut world, 33, "b", 1);
    reaches(&mut world, 33, 1);
    world.mail.clear();
    world.devices.remove(&33);
    world.copies.clear();
    let told = |world: &World, from: usize| {
        let sends = world.devices[&1].outputs[from..].iter().filter_map(|output| match output {
            Output::Send(send) => Some(send),
            Output::Commit(_) | Output::Reply(..) | Output::Acknowledge(_) | Output::Look(_) => None,
        });
        let mut times: BTreeMap<u8, usize> = BTreeMap::new();
        sends.filter(|send| send.evidence.is_some()).for_each(|send| *times.entry(send.to.0[0]).or_default() += 1);
        times
    };
    world.restart(1);
    world.pass(40_000);
    assert!(told(&world, 0).values().all(|times| *times >= 3), "{:?}", told(&world, 0));
    settle(&mut world, 60_000);
    let rested = world.node(1).outputs.len();
    world.write(1, 1);
    settle(&mut world, 600_000);
    assert_eq!(told(&world, rested), BTreeMap::new());
}

#[test]
fn evidence_by_another_device_says_nothing_about_a_source() {
    let mut world = World::of(3);
    world.write(3, 2);
    world.drive(20_000);
    let forged = |millis| {
        let mut bundle = chain(2, vec![body(millis)]);
        bundle[0] = Bundle::rebuild(dot(3, 1), Hash::default(), bundle[0].bytes.clone()).unwrap();
        run_of(2, &bundle).rebuild().unwrap()
    };
    let mut mail = mail_of(2, &[]);
    mail.parcel.evidence = vec![Verified::vouch(Evidence::of(vec![forged(1), forged(2)]).unwrap())];
    world.deliver(&mail);
    world.write(3, 1);
    settle(&mut world, 60_000);
    assert!((1..=3).all(|n| world.held(n, 3) == 3));
    assert_eq!(world.status(3).source, source(3));
}

#[test]
fn a_commit_that_fails_leaves_all_of_it_undone_and_it_is_done_again() {
    let mut world = copied(1);
    let mut beyond = write(&mut world, 3, "a", 8);
    beyond.extend(write(&mut world, 33, "b", 1));
    world.intercept(3, 1);
    reaches(&mut world, 33, 1);
    reaches(&mut world, 33, 2);
    world.mail.clear();
    let evidence = {
        let runs = [3, 33].map(|n| {
            let third = world.devices[&n].disk.log.iter().map(|append| append.bundle.clone());
            let second: Vec<Bundle> = third.filter(|bundle| bundle.dot == dot(3, 2)).collect();
            run_of(3, &second).rebuild().unwrap()
        });
        Evidence::of(Vec::from(runs)).unwrap()
    };
    let mut mail = mail_of(1, &[]);
    mail.to = 3;
    mail.parcel.evidence = vec![Verified::vouch(evidence)];
    let image = world.node(3).disk.clone();
    world.deliver(&mail);
    let once = origins(&world, 3);
    // As after a failed commit: the disk is as before, the engine is restored.
    world.put_back(3, image);
    world.mail.clear();
    assert_eq!(world.held(3, 3), 9);
    world.deliver(&mail);
    assert_eq!(origins(&world, 3), once);
    assert_eq!(once.len(), 8);
    settle(&mut world, 600_000);
    healed(&world, 1, &beyond);
}

#[test]
fn what_is_written_again_keeps_its_time_and_what_its_author_had_seen() {
    let mut world = copied(1);
    world.write(1, 1);
    let seen = world.intercept(1, 3);
    seen.iter().for_each(|mail| drop(world.deliver(mail)));
    write(&mut world, 3, "a", 2);
    reaches(&mut world, 3, 1);
    let stamps = |world: &World| -> Vec<Stamp> {
        let log = world.devices[&3].disk.log.iter().filter(|append| append.device == id(3));
        log.filter_map(|append| append.bundle.body.as_ref()).map(|body| body.stamp).collect()
    };
    let before = stamps(&world);
    world.write(2, 1);
    write(&mut world, 33, "b", 1);
    reaches(&mut world, 33, 2);
    world.mail.clear();
    settle(&mut world, 600_000);
    let written = stamps(&world);
    assert!(before.iter().all(|stamp| written.contains(stamp)), "{before:?} in {written:?}");
    let again = world.devices[&3].disk.log.iter().find(|append| {
        append.bundle.body.as_ref().and_then(|body| body.origin).is_some_and(|(_, head)| head.seq == Seq(2))
            && append.bundle.ops()[0].key == "a0"
    });
    let context = &again.unwrap().context;
    assert_eq!((context.seq(source(3)), context.seq(source(1)), context.seq(source(2))), (Seq(1), Seq(1), Seq(0)));
}

#[test]
fn what_lies_between_the_last_signed_head_and_the_end_can_be_handed_on() {
    let mut world = World::of(3);
    let bodies = |name: u64| (1..=5).map(|n| body(if n <= 3 { n } else { n + name * 100 })).collect();
    let (one, other) = (chain(3, bodies(0)), chain(3, bodies(1)));
    world.deliver(&mail_of(2, &[run_of(3, &one)]));
    world.deliver(&mail_of(2, &[run_of(3, &other)]));
    assert_eq!(world.held(1, 3), 3);
    world.restart(1);
    // The author is away, and nobody else has anything of it.
    world.devices.remove(&3);
    settle(&mut world, 600_000);
    assert_eq!(world.held(2, 3), 3);
}

#[test]
fn what_is_written_again_goes_to_the_source_in_use_while_that_is_empty_and_else_to_a_fresh_one() {
    for written in [false, true] {
        let mut world = World::of(2);
        world.write(1, 2);
        let second = world.node(1).disk.log[1].bundle.clone();
        let other = Bundle::write(second.dot, second.prev, body(77)).unwrap();
        let runs = [second, other].map(|bundle| run_of(1, &[bundle]).rebuild().unwrap());
        let now = world.at();
        world.node(1).engine.retire(now);
        world.input(1, crate::step::Input::Tick);
        world.write(1, u64::from(written));
        let before = world.status(1).source;
        let mut mail = mail_of(2, &[]);
        mail.parcel.evidence = vec![Verified::vouch(Evidence::of(Vec::from(runs)).unwrap())];
        world.deliver(&mail);
        assert_eq!(world.status(1).source == before, !written);
        assert_eq!(origins(&world, 1).len(), 1);
    }
}
