use bytes::Bytes;

use super::*;
use crate::bundle::Body;
use crate::ids::Dot;

const SOURCE: SourceId = SourceId([3; 16]);

/// A chain after `before`, one bundle a stamp.
fn chain(before: Head, stamps: &[u64]) -> Vec<Bundle> {
    let mut bundles: Vec<Bundle> = Vec::new();
    for stamp in stamps {
        let at = bundles.last().map_or(before, Bundle::head);
        let body = Body { stamp: Stamp(*stamp), ..Body::default() };
        bundles.push(Bundle::write(Dot { source: SOURCE, seq: at.seq.next() }, at.hash, body).unwrap());
    }
    bundles
}

fn run(bundles: &[Bundle]) -> Run {
    Run { device: DeviceId([1; 16]), bundles: bundles.to_vec(), signature: Bytes::from_static(&[9; 64]) }
}

const AT: Head = Head { seq: Seq(4), hash: Hash([4; 32]) };

#[test]
fn two_runs_that_follow_one_bundle_and_begin_differently_end_the_source_there() {
    let (one, other) = (run(&chain(AT, &[5, 6])), run(&chain(AT, &[7])));
    let evidence = Evidence::of(vec![one.clone(), other.clone()]).unwrap();
    assert_eq!(evidence.verdict().end, AT);
    assert_eq!(Evidence::of(vec![other, one]), Some(evidence.clone()), "in whatever order");
    assert_eq!(Evidence::from_bytes(&evidence.to_bytes()), Some(evidence));
}

#[test]
fn runs_that_can_both_be_prove_nothing() {
    let (one, other) = (run(&chain(AT, &[5, 6])), run(&chain(AT, &[7])));
    let elsewhere = run(&chain(Head { hash: Hash([5; 32]), ..AT }, &[7]));
    let later = run(&chain(Head { seq: Seq(5), ..AT }, &[7]));
    let foreign = Run { device: DeviceId([2; 16]), ..other.clone() };
    let longer = run(&chain(AT, &[5, 6, 7]));
    for runs in [
        vec![one.clone(), one.clone()],
        vec![one.clone(), longer],
        vec![one.clone(), elsewhere],
        vec![one.clone(), later],
        vec![one.clone(), foreign],
        vec![one.clone()],
        vec![one.clone(), other.clone(), other],
        vec![one, run(&[])],
        vec![],
    ] {
        assert_eq!(Evidence::of(runs.clone()), None, "{runs:?}");
    }
}

#[test]
fn stamps_that_do_not_grow_end_the_source_before_the_first_of_them() {
    let bundles = chain(AT, &[5, u64::MAX, 5, 9, 8]);
    let verdict = Evidence::of(vec![run(&bundles)]).unwrap().verdict();
    assert_eq!(verdict.end, bundles[1].head());
    let ground = Ground::Backwards { at: Seq(7), before: Stamp(5), after: Stamp(5) };
    assert_eq!(verdict.ground, ground);
    assert_eq!(Evidence::of_stamps(Some(bundles[0].clone()), &run(&bundles[2..3])).unwrap().verdict(), verdict);
    assert_eq!(Evidence::of_stamps(None, &run(&bundles[2..4])), None);
}

#[test]
fn a_run_agrees_parts_or_differs_below() {
    let mine = chain(Head::default(), &[1, 2, 3, 4]);
    let held = |seq: Seq| mine.iter().find(|bundle| bundle.dot.seq == seq).map(|bundle| bundle.hash);
    let parted = chain(mine[1].head(), &[8, 9, 10]);
    assert_eq!(compare(&run(&parted), Seq::ZERO, held), Comparison::Parts(Seq(2)));
    assert_eq!(compare(&run(&[&mine[..2], &parted].concat()), Seq::ZERO, held), Comparison::Parts(Seq(2)));
    assert_eq!(compare(&run(&parted[1..]), Seq::ZERO, held), Comparison::Below);
    assert_eq!(compare(&run(&mine[1..3]), Seq::ZERO, held), Comparison::Agrees);
    assert_eq!(compare(&run(&chain(mine[3].head(), &[5])), Seq::ZERO, held), Comparison::Agrees);
    assert_eq!(compare(&run(&chain(Head::default(), &[7])), Seq::ZERO, held), Comparison::Parts(Seq::ZERO));
    let strange = chain(Head { seq: Seq(0), hash: Hash([7; 32]) }, &[7]);
    assert_eq!(compare(&run(&strange), Seq::ZERO, held), Comparison::Below);
}

#[test]
fn a_history_that_differs_where_the_held_one_was_compacted_is_told_apart_from_one_that_may_be_proven() {
    let mine = chain(Head::default(), &[1, 2, 3, 4, 5]);
    let held = |seq: Seq| mine.iter().find(|bundle| bundle.dot.seq == seq && seq >= Seq(3)).map(|bundle| bundle.hash);
    let other = chain(mine[0].head(), &[6, 7, 8]);
    assert_eq!(compare(&run(&other), Seq(3), held), Comparison::Settled);
    assert_eq!(compare(&run(&other[2..]), Seq(3), held), Comparison::Settled);
    assert_eq!(compare(&run(&chain(mine[2].head(), &[9])), Seq(3), held), Comparison::Parts(Seq(3)));
    assert_eq!(compare(&run(&mine[1..4]), Seq(3), held), Comparison::Agrees);
}

#[test]
fn the_tail_of_evidence_follows_the_end() {
    let (one, other) = (run(&chain(AT, &[5, 6])), run(&chain(AT, &[7])));
    let tail = Evidence::of(vec![one, other]).unwrap().tail(AT.seq).unwrap();
    assert_eq!((tail.first, tail.prev), (Seq(5), AT.hash));
    let stamps = Evidence::of(vec![run(&chain(AT, &[5, 9, 8]))]).unwrap();
    assert_eq!(stamps.tail(stamps.verdict().end.seq).unwrap().bodies.len(), 1);
}

#[test]
fn both_values_are_named_in_what_quarantine_keeps_of_a_sentence() {
    let (one, other) = (Hash([0xAB; 32]), Hash([0xCD; 32]));
    let forked = Ground::Forked { at: Seq(u64::from(u32::MAX)), one, other }.to_string();
    assert!(forked.contains(&"ab".repeat(16)) && forked.contains(&"cd".repeat(16)), "{forked}");
    assert!(forked.len() < 120, "{forked}");
    let stamps = Ground::Backwards { at: Seq(3), before: Stamp(7 << 16), after: Stamp(5 << 16) };
    assert_eq!(stamps.to_string(), "its stamps run backwards: 7 ms before 3 and 5 ms there");
}

proptest::proptest! {
    #[test]
    fn strange_bytes_are_no_evidence(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
        assert_eq!(Evidence::from_bytes(&bytes), None);
    }
}

#[test]
fn evidence_shows_its_runs_and_its_exact_size_and_the_wire_counts_its_bodies() {
    let (one, other) = (run(&chain(AT, &[5, 6])), run(&chain(AT, &[7])));
    let evidence = Evidence::of(vec![one.clone(), other.clone()]).unwrap();
    assert_eq!(evidence.size(), evidence.to_bytes().len());
    assert_eq!(evidence.wire().bodies(), 3);
    assert!(evidence.runs() == [one.clone(), other.clone()] || evidence.runs() == [other, one]);
}

#[test]
fn without_the_hash_before_it_the_first_difference_proves_no_parting() {
    let mine = chain(Head::default(), &[1, 2, 3, 4]);
    let held = |seq: Seq| mine.iter().find(|bundle| bundle.dot.seq == seq && seq >= Seq(3)).map(|bundle| bundle.hash);
    let other = chain(mine[0].head(), &[6, 7]);
    assert_eq!(compare(&run(&other), Seq::ZERO, held), Comparison::Below);
}

#[test]
fn nothing_is_settled_where_nothing_was_compacted() {
    let strange = chain(Head { seq: Seq(0), hash: Hash([7; 32]) }, &[7]);
    let held = |seq: Seq| (seq == Seq::ZERO).then(Hash::default);
    assert_eq!(compare(&run(&strange), Seq::ZERO, held), Comparison::Below);
}
