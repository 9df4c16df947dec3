//! Catching up with a log that was compacted: asked for chunk by chunk, staged, joined at once.

use bytes::Bytes;

use super::disk::FIRST_EPOCH;
use super::script::*;
use super::world::*;
use crate::bundle::Bundle;
use crate::clock::Stamp;
use crate::ids::{BundleSeq, Hash, Millis, Seq};
use crate::parcel::{Letter, Receipt};
use crate::snapshot::{Ask, Chunk, End, Hydration, Kept, Mark};
use crate::step::{Change, Output};
use crate::vector::{Head, VersionVector};

impl World {
    /// Device 2 or 3 writes to device 1 about a snapshot.
    fn about(&mut self, from: u8, hydration: Hydration) -> Vec<Output> {
        let roster_hash = self.node(1).engine.roster().hash();
        let letter = Letter { hydration, roster_hash, ..Letter::bare(id(from), self.at().wall) };
        self.deliver(&Mail { from, to: 1, relay: RELAY, under: FIRST_EPOCH, slot: 1, parcel: verified(&letter, &[]) })
    }

    /// Device 1 is told by `from` that it lacks three bundles of an old source.
    fn told(&mut self, from: u8) {
        let watermark = vector(&[(9, 3)]);
        self.about(from, Hydration { watermark, ..Hydration::default() });
    }

    /// The last question for a chunk that device 1 sent to `to`.
    fn asked(&mut self, to: u8) -> Option<Ask> {
        self.intercept(1, to).iter().filter_map(|mail| mail.parcel.letter.hydration.ask).next_back()
    }

    fn commits(outputs: &[Output]) -> Vec<&'static str> {
        let name = |output: &Output| match output {
            Output::Commit(Change::HydrationBegun(_)) => Some("begun"),
            Output::Commit(Change::Staged(_)) => Some("staged"),
            Output::Commit(Change::Join(_)) => Some("join"),
            Output::Commit(Change::HydrationOver) => Some("over"),
            Output::Commit(_) | Output::Reply(..) | Output::Send(_) | Output::Acknowledge(_) | Output::Look(_) => None,
        };
        outputs.iter().filter_map(name).collect()
    }
}

fn head(seq: u64) -> Head {
    Head { seq: Seq(seq), hash: Hash([u8::try_from(seq).unwrap(); 32]) }
}

/// Where an old source of device 2 ends, compacted up to `floor`.
fn end(seq: u64, floor: u64) -> End {
    let mark =
        |seq: u64| Mark { head: head(seq), stamp: Stamp((EPOCH + seq) << 16), context: VersionVector::default() };
    let floor = if floor == 0 { Mark::default() } else { mark(floor) };
    End { source: source(9), device: id(2), generation: 1, at: mark(seq), floor, signed: None }
}

fn chunk(snapshot: u64, after: u64, upto: u64, ends: Vec<End>) -> Chunk {
    let kept = |seq| Kept { source: source(9), seq: Seq(seq), hash: head(seq).hash, body: Bytes::new() };
    let entries = (after + 1..=upto).map(kept).collect();
    Chunk { snapshot, after: BundleSeq(after), upto: BundleSeq(upto), last: BundleSeq(3), entries, ends, anew: false }
}

fn sends(chunk: Chunk) -> Hydration {
    Hydration { chunk: Some(Box::new(chunk)), ..Hydration::default() }
}

#[test]
fn who_lacks_what_was_compacted_asks_chunk_by_chunk_and_joins_with_the_last() {
    let mut world = World::of(3);
    world.told(2);
    assert_eq!(world.asked(2), Some(Ask::default()));
    assert_eq!(World::commits(&world.about(2, sends(chunk(4, 0, 2, vec![])))), ["begun", "staged"]);
    assert_eq!(
        world.asked(2),
        Some(Ask { snapshot: 4, after: BundleSeq(2), tail: Some(head(2).hash), recent_us: None })
    );
    let outputs = world.about(2, sends(chunk(4, 2, 3, vec![end(3, 3)])));
    assert_eq!(World::commits(&outputs), ["staged", "join"]);
    assert_eq!(world.held(1, 9), 3);
    assert_eq!((world.status(1).hydrating, world.status(1).bundle_seq), (None, BundleSeq(3)));
    assert_eq!(world.intercept(1, 2)[0].parcel.letter.receipt.vector.head(source(9)), head(3), "it is told at once");
}

#[test]
fn who_lacks_nothing_below_a_watermark_asks_nobody() {
    let mut world = World::of(2);
    world.write(1, 3);
    world.mail.clear();
    let watermark = world.status(1).vector;
    assert!(World::commits(&world.about(2, Hydration { watermark, ..Hydration::default() })).is_empty());
    assert_eq!(world.status(1).hydrating, None);
}

#[test]
fn who_wants_the_recent_past_first_says_so_whenever_it_asks() {
    let mut world = World::of(3);
    world.node(1).disk.recent_us = Some(7);
    world.restart(1);
    world.told(2);
    assert_eq!(world.asked(2), Some(Ask { recent_us: Some(7), ..Ask::default() }));
}

#[test]
fn a_chunk_that_comes_twice_or_unasked_is_no_chunk() {
    let mut world = World::of(3);
    assert!(World::commits(&world.about(2, sends(chunk(4, 0, 2, vec![])))).is_empty());
    world.told(2);
    world.about(2, sends(chunk(4, 0, 2, vec![])));
    assert!(World::commits(&world.about(2, sends(chunk(4, 0, 2, vec![])))).is_empty());
    assert!(World::commits(&world.about(3, sends(chunk(4, 2, 3, vec![end(3, 3)])))).is_empty(), "from another");
    assert!(World::commits(&world.about(2, sends(chunk(3, 0, 2, vec![])))).is_empty(), "of an older snapshot");
    assert!(World::commits(&world.about(2, sends(chunk(4, 2, 2, vec![])))).is_empty(), "of nothing");
    assert_eq!(world.status(1).hydrating.unwrap().staged, 2);
}

#[test]
fn a_newer_snapshot_begins_anew() {
    let mut world = World::of(2);
    world.told(2);
    world.about(2, sends(chunk(4, 0, 2, vec![])));
    assert_eq!(World::commits(&world.about(2, sends(chunk(5, 0, 1, vec![])))), ["begun", "staged"]);
    assert_eq!(world.status(1).hydrating.map(|state| (state.snapshot, state.staged)), Some((5, 1)));
}

#[test]
fn a_sender_that_was_put_back_and_gives_out_its_places_anew_begins_anew_whatever_its_number() {
    for number in [3, 4] {
        let mut world = World::of(2);
        world.told(2);
        world.about(2, sends(chunk(4, 0, 2, vec![])));
        let anew = |upto| sends(Chunk { anew: true, ..chunk(number, 0, upto, vec![]) });
        assert_eq!(World::commits(&world.about(2, anew(1))), ["begun", "staged"]);
        assert_eq!(world.status(1).hydrating.map(|state| (state.snapshot, state.staged)), Some((number, 1)));
        let asked = Ask { snapshot: number, after: BundleSeq(1), tail: Some(head(1).hash), recent_us: None };
        assert_eq!(world.asked(2), Some(asked));
    }
}

#[test]
fn a_restart_goes_on_with_what_is_staged() {
    let mut world = World::of(2);
    world.told(2);
    world.about(2, sends(chunk(4, 0, 2, vec![])));
    world.mail.clear();
    world.restart(1);
    assert_eq!(
        world.asked(2),
        Some(Ask { snapshot: 4, after: BundleSeq(2), tail: Some(head(2).hash), recent_us: None })
    );
}

#[test]
fn a_chunk_that_does_not_come_is_asked_for_again() {
    let mut world = World::of(2);
    world.told(2);
    assert!(world.asked(2).is_some());
    world.pass(5_000);
    assert_eq!(world.asked(2), None);
    world.pass(10_000);
    assert_eq!(world.asked(2), Some(Ask::default()));
}

#[test]
fn another_sibling_takes_over_from_one_that_is_silent() {
    let mut world = World::of(3);
    world.told(2);
    world.told(3);
    assert_eq!(world.status(1).hydrating.map(|state| state.from), Some(id(2)));
    world.pass(120_000);
    world.told(3);
    assert_eq!(world.status(1).hydrating.map(|state| state.from), Some(id(3)));
}

#[test]
fn a_snapshot_that_never_comes_is_given_up() {
    let mut world = World::of(2);
    world.told(2);
    world.pass(3_600_000);
    assert_eq!(world.status(1).hydrating, None);
    assert_eq!(world.node(1).disk.hydrating, None);
}

#[test]
fn what_waited_for_a_cause_that_the_snapshot_brings_is_applied_with_it() {
    let mut world = World::of(2);
    let mut effect = body(5_000);
    effect.context = vec![(source(9), head(3))];
    let bundles: Vec<Bundle> = chain(2, vec![effect]);
    world.deliver(&mail_of(2, &[run_of(2, &bundles)]));
    assert_eq!((world.held(1, 2), world.status(1).early), (0, 1));
    world.told(2);
    world.about(2, sends(chunk(4, 0, 3, vec![end(3, 3)])));
    assert_eq!((world.held(1, 2), world.status(1).early), (1, 0));
}

#[test]
fn the_own_source_and_what_is_held_already_are_not_filled_up() {
    let mut world = World::of(2);
    world.write(1, 2);
    world.told(2);
    let mut own = end(7, 7);
    (own.source, own.device) = (source(1), id(1));
    world.about(2, sends(chunk(4, 0, 3, vec![own, end(3, 3)])));
    assert_eq!((world.held(1, 1), world.held(1, 9)), (2, 3));
    let join = world.node(1).disk.joins[0].clone();
    assert_eq!((join.first, join.sources.len()), (BundleSeq(3), 1));
    world.write(1, 1);
    assert_eq!(world.status(1).bundle_seq, BundleSeq(6), "behind the places that the snapshot was given");
}

#[test]
fn after_a_snapshot_runs_begin_where_it_ended_and_its_holes_are_a_watermark_here() {
    let mut world = World::of(3);
    world.told(2);
    world.about(2, sends(chunk(4, 0, 3, vec![end(5, 3)])));
    assert_eq!(world.node(1).disk.joins[0].sources[0].after, Seq(0));
    world.mail.clear();
    // Device 3 asks for all of it: below position 3 there is a hole here, too.
    let letter = Letter {
        wants: vec![crate::parcel::Want { source: source(9), after: Seq(0), upto: Seq(5), exact: false }],
        receipt: Receipt { vector: vector(&[]), ..Receipt::default() },
        ..Letter::bare(id(3), Millis(EPOCH))
    };
    world.deliver(&Mail { from: 3, to: 1, relay: RELAY, under: FIRST_EPOCH, slot: 1, parcel: verified(&letter, &[]) });
    assert_eq!(
        world.intercept(1, 3)[0].parcel.letter.hydration.watermark,
        VersionVector::from_iter([(source(9), head(3))])
    );
}

#[test]
fn a_sibling_that_asks_gets_its_chunk_and_nothing_beside_it() {
    let mut world = World::of(2);
    world.node(1).puts = Puts::Open;
    world.write(1, 2);
    world.node(1).open.clear();
    world.node(1).puts = Puts::Answered;
    let ask = Ask { snapshot: 2, after: BundleSeq(7), tail: None, recent_us: None };
    world.pass(1_000);
    let before = world.sends(1);
    world.about(2, Hydration { ask: Some(ask), ..Hydration::default() });
    world.pass(60_000);
    let sent = world.node(1).outputs.iter().filter_map(|output| match output {
        Output::Send(send) => Some(send.clone()),
        Output::Commit(_) | Output::Reply(..) | Output::Acknowledge(_) | Output::Look(_) => None,
    });
    let answers: Vec<_> = sent.skip(before).filter(|send| send.chunk.is_some()).collect();
    assert!(answers.iter().all(|send| send.chunk == Some(ask) && send.runs.is_empty()), "{answers:?}");
}

#[test]
fn a_source_that_ends_at_another_bundle_than_the_one_held_is_refused() {
    let mut world = World::of(2);
    let bundles = chain(2, vec![body(0)]);
    world.deliver(&mail_of(2, &[run_of(2, &bundles)]));
    world.told(2);
    let mut fork = end(1, 1);
    (fork.source, fork.device) = (source(2), id(2));
    world.about(2, sends(chunk(4, 0, 3, vec![fork, end(3, 3)])));
    assert!(world.node(1).disk.quarantine.iter().any(|item| item.reason.contains("forked")));
    assert_eq!(world.held(1, 9), 3, "nothing else is stopped");
}

#[test]
fn who_asks_for_a_chunk_is_not_told_the_watermark_again_for_a_minute() {
    let mut world = World::of(3);
    world.node(1).engine.watermark = vector(&[(1, 3)]);
    world.input(1, crate::step::Input::Tick);
    let told = |world: &mut World| {
        let mail = world.intercept(1, 2);
        mail.iter().filter(|mail| !mail.parcel.letter.hydration.watermark.is_empty()).count()
    };
    assert_eq!(told(&mut world), 1);
    world.about(2, Hydration { ask: Some(Ask::default()), ..Hydration::default() });
    world.pass(59_000);
    assert_eq!(told(&mut world), 0);
    world.pass(2_000);
    assert_eq!(told(&mut world), 1);
}

#[test]
fn who_lacks_nothing_below_the_watermark_asks_for_nothing() {
    let mut world = World::of(3);
    world.deliver(&mail_of(2, &[run_of(2, &chain(2, vec![body(1), body(2)]))]));
    let watermark = world.status(1).vector;
    assert_eq!(World::commits(&world.about(3, Hydration { watermark, ..Hydration::default() })), [""; 0]);
}

#[test]
fn an_entry_at_the_position_that_is_held_with_the_same_hash_stops_nothing() {
    let bundles = chain(2, vec![body(1)]);
    let mut world = World::of(3);
    world.deliver(&mail_of(2, &[run_of(2, &bundles)]));
    world.told(3);
    let mut chunk = chunk(4, 0, 2, vec![]);
    chunk.entries[0] = Kept { source: source(2), seq: Seq(1), hash: bundles[0].hash, body: Bytes::new() };
    world.about(3, sends(chunk));
    assert_eq!(world.status(1).refused, []);
}

#[test]
fn of_a_source_that_ended_a_snapshot_brings_nothing_that_reaches_beyond_the_end() {
    for (offered, held) in [(3, 0), (2, 2)] {
        let mut world = World::of(3);
        let heads = world.node(1).engine.roster().heads();
        let record = crate::roster::Verified::vouch(removal(1, 2, heads, 50_000, Some((source(9), head(2)))));
        world.input(1, crate::step::Input::Record { call: crate::step::CallId(1), record });
        world.told(3);
        world.about(3, sends(chunk(4, 0, offered, vec![end(offered, 0)])));
        assert_eq!(world.held(1, 9), held, "{offered} are offered");
    }
}

#[test]
fn what_comes_back_of_an_own_old_source_is_owed_to_the_others() {
    let mut world = World::of(3);
    world.told(2);
    world.about(2, sends(chunk(4, 0, 3, vec![End { device: id(1), ..end(3, 0) }])));
    assert_eq!(world.held(1, 9), 3);
    let owed = |world: &World, n: u8| world.devices[&1].engine.siblings[&id(n)].owed.contains_key(&source(9));
    let sent = world.intercept(1, 3).iter().any(|mail| !mail.seqs(9).is_empty());
    assert!(owed(&world, 3) || sent || world.node(1).outputs.iter().any(|output| {
        matches!(output, Output::Send(send) if send.to == id(3) && send.runs.iter().any(|run| run.source == source(9)))
    }));
}

#[test]
fn a_snapshot_that_never_comes_is_given_up_and_the_watermark_is_told_all_the_same() {
    let mut world = World::of(3);
    world.told(2);
    let ask = |world: &mut World| {
        world.now = world.now.plus(Millis(120_000));
        let now = world.at();
        world.node(1).engine.hydration_for(id(2), now)
    };
    let asked = (0..20).take_while(|_| ask(&mut world).ask.is_some()).count();
    assert_eq!((asked, world.status(1).hydrating), (11, None), "the first question left at once");
    world.told(2);
    (0..11).for_each(|_| assert!(ask(&mut world).ask.is_some()));
    world.node(1).engine.watermark = vector(&[(1, 3)]);
    world.node(1).engine.siblings.get_mut(&id(2)).unwrap().below = Some(Default::default());
    let last = ask(&mut world);
    assert_eq!((last.ask, last.watermark), (None, vector(&[(1, 3)])));
}
