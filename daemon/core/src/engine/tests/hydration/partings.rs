//! A snapshot of another history than the one that is held.

use super::*;

/// Where the second device's source ends, of which device 1 may hold another history; compacted up to `floor`.
fn fork(seq: u64, floor: u64) -> End {
    End { source: source(2), device: id(2), ..end(seq, floor) }
}

#[test]
fn a_history_that_was_compacted_elsewhere_stands_and_the_one_that_is_here_gives_way() {
    let mut world = World::of(3);
    world.deliver(&mail_of(2, &[run_of(2, &chain(2, vec![body(0), body(1)]))]));
    assert_eq!(world.held(1, 2), 2);
    let own = world.status(1).source;
    world.told(3);
    let outputs = world.about(3, sends(chunk(4, 0, 3, vec![fork(2, 2), end(3, 3)])));
    // Nothing of it is the same, as far as can be seen.
    assert_eq!(World::commits(&outputs), ["begun", "staged", "begun"]);
    assert_eq!((world.held(1, 2), world.held(1, 9)), (0, 0));
    assert_eq!(world.node(1).disk.cut.len(), 2, "it is set aside");
    assert_ne!(world.status(1).source, own, "receipts begin anew");
    world.restart(1);
    assert_eq!(
        World::commits(&world.about(3, sends(chunk(4, 0, 3, vec![fork(2, 2), end(3, 3)])))),
        ["begun", "staged", "join"]
    );
    assert_eq!(world.status(1).vector.head(source(2)), head(2));
    assert_eq!(world.held(1, 9), 3);
}

#[test]
fn only_what_is_beyond_the_last_common_place_gives_way() {
    let mut world = World::of(3);
    let bundles = chain(2, vec![body(0), body(1), body(2)]);
    world.deliver(&mail_of(2, &[run_of(2, &bundles)]));
    world.told(3);
    let entry = |seq, hash| Kept { source: source(2), seq: Seq(seq), hash, body: Bytes::new() };
    let kept = Chunk {
        entries: vec![entry(1, bundles[0].hash), entry(3, head(3).hash)],
        ..chunk(4, 0, 3, vec![fork(5, 4), end(3, 3)])
    };
    world.about(3, sends(kept));
    assert_eq!(world.status(1).vector.head(source(2)), bundles[0].head());
}

#[test]
fn own_bundles_that_give_way_are_written_again() {
    let mut world = World::of(3);
    world.write(1, 2);
    let image = world.node(1).disk.clone();
    world.write(2, 1);
    world.drive(20_000);
    // Siblings know more of the source than this device, which was put back, and so it took a fresh one.
    world.put_back(1, image);
    world.node(1).engine.retire(Now { mono: Millis(0), wall: Millis(EPOCH) });
    world.mail.clear();
    world.told(3);
    let own = End { source: source(1), device: id(1), ..end(3, 2) };
    let outputs = world.about(3, sends(chunk(4, 0, 3, vec![own, end(3, 3)])));
    let again = outputs.iter().filter_map(|output| match output {
        Output::Commit(Change::Append(append)) => append.bundle.body.as_ref()?.origin,
        Output::Commit(_) | Output::Reply(..) | Output::Send(_) | Output::Acknowledge(_) | Output::Look(_) => None,
    });
    let again: Vec<(SourceId, u64)> = again.map(|(of, head)| (of, head.seq.0)).collect();
    assert_eq!(again, [(source(1), 1), (source(1), 2)]);
    assert_eq!(world.held(1, 1), 0);
}

#[test]
fn histories_that_part_above_the_watermark_are_left_to_evidence() {
    let mut world = World::of(3);
    world.deliver(&mail_of(2, &[run_of(2, &chain(2, vec![body(0)]))]));
    world.told(3);
    let entries = vec![Kept { source: source(2), seq: Seq(1), hash: head(1).hash, body: Bytes::new() }];
    let outputs = world.about(3, sends(Chunk { entries, ..chunk(4, 0, 3, vec![fork(4, 0), end(3, 3)]) }));
    assert_eq!(World::commits(&outputs), ["begun", "staged", "join"]);
    assert_eq!((world.held(1, 2), world.held(1, 9)), (1, 3), "nothing else is stopped");
    let wants = world.intercept(1, 3).pop().unwrap().parcel.letter.wants;
    assert!(wants.iter().any(|want| want.exact && want.source == source(2)), "{wants:?}");
}

#[test]
fn what_both_have_compacted_is_refused_with_both_values() {
    let mut world = World::of(3);
    let bundles = chain(2, vec![body(0)]);
    world.deliver(&mail_of(2, &[run_of(2, &bundles)]));
    world.node(1).disk.watermark = VersionVector::from_iter([(source(2), bundles[0].head())]);
    world.restart(1);
    world.told(3);
    world.about(3, sends(chunk(4, 0, 3, vec![fork(2, 1), end(3, 3)])));
    world.about(3, sends(chunk(4, 0, 3, vec![fork(2, 1), end(3, 3)])));
    assert!(world.node(1).disk.quarantine.iter().any(|item| {
        item.reason.contains(&bundles[0].hash.to_string()[..32]) && item.reason.contains(&"01".repeat(16))
    }));
    assert_eq!((world.held(1, 2), world.held(1, 9)), (1, 3), "nothing else is stopped");
}

#[test]
fn a_watermark_that_seems_to_be_reached_is_compared_with_what_is_held() {
    let mut world = World::of(3);
    let bundles = chain(2, vec![body(0), body(1)]);
    world.deliver(&mail_of(2, &[run_of(2, &bundles)]));
    let same = VersionVector::from_iter([(source(2), bundles[0].head())]);
    world.about(3, Hydration { watermark: same, ..Hydration::default() });
    assert_eq!(world.status(1).hydrating, None);
    let other = VersionVector::from_iter([(source(2), head(1))]);
    world.about(3, Hydration { watermark: other, ..Hydration::default() });
    assert_eq!(world.status(1).hydrating.map(|state| state.from), Some(id(3)));
}

#[test]
fn who_writes_to_a_source_of_which_another_history_was_compacted_takes_a_fresh_one() {
    let mut world = World::of(3);
    world.write(1, 2);
    let watermark = VersionVector::from_iter([(source(1), head(1))]);
    world.about(3, Hydration { watermark, ..Hydration::default() });
    assert_ne!(world.status(1).source, source(1));
    assert_eq!(world.status(1).hydrating.map(|state| state.from), Some(id(3)));
}
