//! Where sources end: what is learnt of that, and what is not believed.

use super::removals::remove;
use super::script::*;
use super::world::*;
use crate::bundle::Bundle;
use crate::evidence::Evidence;
use crate::ids::{Hash, Seq, SourceId};
use crate::parcel::{Ended, MAX_ENDED};
use crate::roster::Verified;
use crate::step::{CallId, Change, Input, Output};
use crate::vector::Head;

fn commits(outputs: &[Output], wanted: impl Fn(&Change) -> bool) -> usize {
    outputs.iter().filter(|output| matches!(output, Output::Commit(change) if wanted(change))).count()
}

fn heads(outputs: &[Output]) -> Vec<u64> {
    let head = |output: &Output| match output {
        Output::Commit(Change::Head(head)) => Some(head.head.seq.0),
        Output::Commit(_) | Output::Reply(..) | Output::Send(_) | Output::Acknowledge(_) | Output::Look(_) => None,
    };
    outputs.iter().filter_map(head).collect()
}

/// A history of device 3 and evidence that it ends after `common` bundles.
fn forked(common: u64, length: u64) -> (Vec<Bundle>, Evidence) {
    let bodies = |name: u64| (1..=length).map(|n| body(if n <= common { n } else { n + name * 100 })).collect();
    let (one, other) = (chain(3, bodies(0)), chain(3, bodies(1)));
    let at = usize::try_from(common).unwrap();
    let runs = [&one, &other].map(|bundles| run_of(3, &bundles[at..=at]).rebuild().unwrap());
    (one, Evidence::of(Vec::from(runs)).unwrap())
}

/// Device 2 brings device 1 evidence.
fn prove(world: &mut World, evidence: &Evidence) -> Vec<Output> {
    let mut mail = mail_of(2, &[]);
    mail.parcel.evidence = vec![Verified::vouch(evidence.clone())];
    world.deliver(&mail)
}

/// Device 2 says of sources that they end.
fn claim(world: &mut World, ended: Vec<Ended>) -> Vec<Output> {
    let mut mail = mail_of(2, &[]);
    for stands in ended.iter().filter(|ended| ended.stands != Head::default()) {
        mail.parcel.letter.receipt.vector.advance(stands.source, stands.stands);
    }
    mail.parcel.letter.ended = ended;
    world.deliver(&mail)
}

#[test]
fn of_a_stopped_source_nothing_is_taken_in_until_the_next_start() {
    let mut world = World::of(3);
    let unborn = Bundle::write(dot(2, 1), Hash::default(), body(0)).unwrap();
    world.deliver(&mail_of(2, &[run_of(2, &[unborn])]));
    let good = mail_of(2, &[run_of(2, &chain(2, vec![body(0)]))]);
    world.deliver(&good);
    assert_eq!(world.held(1, 2), 0);
    world.restart(1);
    world.deliver(&good);
    assert_eq!(world.held(1, 2), 1);
}

#[test]
fn an_own_letter_that_comes_back_adds_nobody() {
    let mut world = World::of(2);
    let mut mail = mail_of(1, &[]);
    let parent = world.node(1).engine.roster().heads().into_iter().next().unwrap();
    mail.parcel.records = vec![Verified::vouch(addition(1, 9, parent, 9))];
    world.deliver(&mail);
    assert!(world.node(1).engine.roster().member(id(9)).is_none());
}

#[test]
fn whose_a_source_is_that_no_removal_names_is_learnt_from_its_bundles() {
    let nothing = Ended { source: source(3), device: id(3), ..Ended::default() };
    let bundles = chain(3, vec![body(1), body(2)]);
    // They come after the removal, and before it, where they wait for a bundle that is missing.
    let mut after = World::of(3);
    remove(&mut after, 1, 3, 0);
    let outputs = after.deliver(&mail_of(2, &[run_of(3, &bundles)]));
    let mut before = World::of(3);
    before.deliver(&mail_of(2, &[run_of(3, &bundles[1..])]));
    remove(&mut before, 1, 3, 0);
    for world in [&after, &before] {
        assert_eq!(world.devices[&1].disk.ended, [nothing]);
        assert_eq!((world.held(1, 3), world.status(1).early), (0, 0));
        assert!(world.devices[&1].disk.standing.is_empty());
    }
    assert_eq!(commits(&outputs, |change| matches!(change, Change::Stands { .. })), 0);
}

#[test]
fn who_brings_more_of_a_source_than_its_end_is_told_the_evidence_anew() {
    let (history, evidence) = forked(2, 4);
    for (upto, told) in [(2, false), (3, true)] {
        let mut world = World::of(3);
        prove(&mut world, &evidence);
        world.node(1).engine.siblings.get_mut(&id(2)).unwrap().evidence_known = true;
        let mut mail = mail_of(2, &[run_of(3, &history[..upto])]);
        mail.parcel.letter.verdicts = None;
        let now = world.at();
        let run = mail.parcel.runs[0].get().clone();
        world.node(1).engine.ingest(id(2), &run, false, now);
        let known = world.node(1).engine.siblings[&id(2)].evidence_known;
        assert_eq!(!known, told, "up to {upto}");
    }
}

#[test]
fn a_signed_head_is_kept_when_it_came_with_something_new_and_lies_within_the_end() {
    let mut world = World::of(3);
    let whole = chain(2, vec![body(1), body(2)]);
    assert_eq!(heads(&world.deliver(&mail_of(2, &[run_of(2, &whole)]))), [2]);
    assert_eq!(heads(&world.deliver(&mail_of(2, &[run_of(2, &whole)]))), [0; 0], "it was there");
    let (history, evidence) = forked(2, 4);
    prove(&mut world, &evidence);
    assert_eq!(heads(&world.deliver(&mail_of(2, &[run_of(3, &history[..1])]))), [1]);
    assert_eq!(heads(&world.deliver(&mail_of(2, &[run_of(3, &history[..4])]))), [0; 0], "it lies beyond the end");
    assert_eq!(world.held(1, 3), 2);
    let mut world = World::of(3);
    prove(&mut world, &evidence);
    assert_eq!(heads(&world.deliver(&mail_of(2, &[run_of(3, &history[..2])]))), [2]);
}

#[test]
fn evidence_about_what_is_held_up_to_the_end_takes_nothing_back_and_touches_no_other_source() {
    let (history, evidence) = forked(2, 4);
    let mut world = World::of(3);
    world.deliver(&mail_of(2, &[run_of(3, &history[..2])]));
    let outputs = prove(&mut world, &evidence);
    assert_eq!(commits(&outputs, |change| matches!(change, Change::Cut { .. })), 0);
    assert!(!world.node(1).engine.is_spent());
    assert_eq!((world.held(1, 3), world.status(1).source), (2, source(1)));
    assert_eq!(commits(&prove(&mut world, &evidence), |change| matches!(change, Change::Evidence(_))), 0);
}

#[test]
fn what_waits_within_the_end_goes_on_waiting() {
    let (history, evidence) = forked(3, 4);
    let mut world = World::of(3);
    world.deliver(&mail_of(2, &[run_of(3, &history[1..])]));
    assert_eq!(world.status(1).early, 3);
    prove(&mut world, &evidence);
    assert_eq!(world.status(1).early, 2);
    world.deliver(&mail_of(2, &[run_of(3, &history[..1])]));
    assert_eq!(world.held(1, 3), 3);
}

#[test]
fn letters_count_how_often_evidence_ended_a_source() {
    let mut world = World::of(3);
    prove(&mut world, &forked(2, 4).1);
    for _ in 0..2 {
        world.mail.clear();
        world.write(1, 1);
        assert_eq!(world.intercept(1, 2)[0].parcel.letter.receipt.trials, 1);
        world.restart(1);
    }
}

#[test]
fn evidence_ends_at_most_256_sources() {
    let mut world = World::of(2);
    for n in 0..=256_u64 {
        let name = SourceId(std::array::from_fn(|at| n.to_be_bytes().get(at).copied().unwrap_or(1)));
        let runs = [1, 2].map(|millis| {
            let mut run = run_of(2, &chain(2, vec![body(millis)]));
            run.source = name;
            run.rebuild().unwrap()
        });
        prove(&mut world, &Evidence::of(Vec::from(runs)).unwrap());
    }
    assert_eq!(world.node(1).disk.evidence.len(), 256);
}

#[test]
fn what_a_sibling_says_it_holds_of_a_removed_device_counts_up_to_the_end_at_once() {
    let mut world = World::of(3);
    let history = chain(3, vec![body(1), body(2), body(3)]);
    world.deliver(&mail_of(3, &[run_of(3, &history[..1])]));
    let mut mail = mail_of(2, &[]);
    mail.parcel.letter.receipt.vector.advance(source(3), history[2].head());
    world.deliver(&mail);
    assert_eq!(world.status(1).siblings[0].vector.seq(source(3)), Seq(3));
    remove(&mut world, 1, 3, 1);
    assert_eq!(world.status(1).siblings[0].vector.head(source(3)), history[0].head());
    assert_eq!(world.node(1).engine.ended(), [], "the removal names it");
}

#[test]
fn a_record_that_removes_nobody_says_nothing_new_of_who_was_removed() {
    let mut world = World::of(3);
    world.write(3, 1);
    world.drive(20_000);
    remove(&mut world, 1, 3, 1);
    let parent = world.node(1).engine.roster().heads().into_iter().next().unwrap();
    let record = Verified::vouch(addition(1, 9, parent, 90_000));
    let outputs = world.input(1, Input::Record { call: CallId(1), record });
    assert_eq!(heads(&outputs), [0; 0]);
}

#[test]
fn what_stands_of_a_removed_device_beyond_its_removal_is_taken_in_piece_by_piece() {
    let mut world = World::of(3);
    let history = chain(3, vec![body(1), body(2), body(3), body(4)]);
    world.deliver(&mail_of(3, &[run_of(3, &history[..1])]));
    remove(&mut world, 1, 3, 1);
    let stands = history[2].head();
    claim(&mut world, vec![Ended { source: source(3), device: id(3), stands }]);
    world.deliver(&mail_of(2, &[run_of(3, &history[..2])]));
    assert_eq!(world.held(1, 3), 2);
    world.deliver(&mail_of(2, &[run_of(3, &history)]));
    assert_eq!(world.held(1, 3), 3);
    assert_eq!(world.node(1).engine.ended(), [Ended { source: source(3), device: id(3), stands }]);
}

#[test]
fn what_stands_as_far_as_the_removal_says_is_not_worth_a_word() {
    let mut world = World::of(3);
    let history = chain(3, vec![body(1), body(2)]);
    world.deliver(&mail_of(3, &[run_of(3, &history)]));
    remove(&mut world, 1, 3, 1);
    let end = world.node(1).engine.said_end(id(3), source(3)).unwrap();
    world.node(1).engine.stand(source(3), end);
    assert_eq!(world.node(1).engine.ended(), []);
}

#[test]
fn that_something_stands_is_believed_of_no_source_that_runs_on_and_of_no_false_owner() {
    let mut world = World::of(4);
    let (third, fourth) = (chain(3, vec![body(1)]), chain(4, vec![body(1), body(2)]));
    world.deliver(&mail_of(3, &[run_of(3, &third)]));
    world.deliver(&mail_of(4, &[run_of(4, &fourth)]));
    remove(&mut world, 1, 4, 1);
    for (device, stands) in [(3, third[0].head()), (4, third[0].head())] {
        claim(&mut world, vec![Ended { source: source(3), device: id(device), stands }]);
        assert!(world.node(1).disk.standing.is_empty(), "claimed for {device}");
    }
    let unheard = SourceId([0x77; 16]);
    claim(&mut world, vec![Ended { source: unheard, device: id(3), ..Ended::default() }]);
    assert_eq!(world.node(1).disk.ended, []);
}

#[test]
fn so_many_sources_of_a_removed_device_are_believed_and_no_more() {
    let mut world = World::of(3);
    remove(&mut world, 1, 3, 0);
    let named = |n: usize| SourceId(std::array::from_fn(|at| n.to_be_bytes().get(at).copied().unwrap_or(1)));
    for half in 0..2 {
        let claims = (half * MAX_ENDED..(half + 1) * MAX_ENDED).map(|n| Ended {
            source: named(n + 1),
            device: id(3),
            ..Ended::default()
        });
        claim(&mut world, claims.collect());
    }
    assert_eq!(world.node(1).disk.ended.len(), MAX_ENDED);
}
