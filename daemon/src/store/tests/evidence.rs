//! Evidence against sources, and what the engine asks the log because of it.

use std::sync::Arc;

use kinfolk_core::bundle::{Birth, Body, Bundle};
use kinfolk_core::clock::Stamp;
use kinfolk_core::evidence::{Comparison, Evidence};
use kinfolk_core::ids::Dot;
use kinfolk_core::ids::Seq;
use kinfolk_core::look::{Compared, Look, Looked, PAGE_BUNDLES};
use kinfolk_core::op::Op;
use kinfolk_core::parcel::{Run, SignedHead};
use kinfolk_core::step::RunRequest;
use kinfolk_core::value::Value;
use kinfolk_core::vector::{Head, VersionVector};

use super::*;

const OTHER: DeviceId = DeviceId([2; 16]);
const SOURCE: SourceId = SourceId([0x72; 16]);

/// Bundles after `before`, one a stamp.
fn chain(device: DeviceId, before: Head, stamps: std::ops::RangeInclusive<u64>) -> Vec<Bundle> {
    let mut at = before;
    let bundles = stamps.map(|stamp| {
        let op = Op::record_put("notes", &format!("k{stamp}"), vec![("x".into(), Some(Value::int(1)))]);
        let birth = (at.seq == Seq::ZERO).then_some(Birth { device, generation: 1 });
        let seen = (SourceId([7; 16]), Head { seq: Seq(stamp), hash: Hash([7; 32]) });
        let body = Body { stamp: Stamp(stamp << 16), birth, context: vec![seen], ops: vec![op], origin: None };
        let bundle = Bundle::write(Dot { source: SOURCE, seq: at.seq.next() }, at.hash, body).unwrap();
        at = bundle.head();
        bundle
    });
    bundles.collect()
}

fn run(device: DeviceId, bundles: &[Bundle]) -> Run {
    Run { device, bundles: bundles.to_vec(), signature: Bytes::from_static(&[9; 64]) }
}

/// Takes bundles of `device` in, with a signed head at each of `heads`.
fn take(home: &mut Home, device: DeviceId, bundles: &[Bundle], heads: &[u64]) {
    home.store.begin().unwrap();
    let mut context = VersionVector::default();
    for bundle in bundles {
        context.join(&bundle.body.as_ref().unwrap().context.iter().copied().collect());
        let (bundle, bundle_seq) = (bundle.clone(), home.store.bundle_seq().next());
        let append =
            Append { bundle, device, bundle_seq, context: Arc::new(context.clone()), at: Millis(1), app: None };
        home.store.apply(&Change::Append(append)).unwrap();
    }
    for bundle in bundles.iter().filter(|bundle| heads.contains(&bundle.dot.seq.0)) {
        let signature = Bytes::from_static(&[9; 64]);
        let head = SignedHead { device, source: SOURCE, head: bundle.head(), signature };
        home.store.apply(&Change::Head(head)).unwrap();
    }
    home.store.commit().unwrap();
}

fn look(home: &Home, look: Look) -> Looked {
    home.store.look(look, DeviceId([1; 16]), |_, _| Bytes::from_static(&[5; 64])).unwrap()
}

fn compared(home: &Home, from: DeviceId, run: Run) -> Compared {
    let Looked::Compared(compared) = look(home, Look::Compare { from, run }) else { panic!() };
    *compared
}

fn prove(home: &mut Home, evidence: &Evidence) {
    home.store.begin().unwrap();
    home.store.apply(&Change::Evidence(evidence.clone())).unwrap();
    home.store.commit().unwrap();
}

/// Five bundles, and two that part from them after the third.
fn parted(device: DeviceId) -> (Vec<Bundle>, Vec<Bundle>) {
    let one = chain(device, Head::default(), 1..=5);
    let other = chain(device, one[2].head(), 14..=15);
    (one, other)
}

#[test]
fn what_a_run_parts_from_is_given_up_to_the_next_signed_head() {
    let (one, other) = parted(OTHER);
    let mut home = Home::new();
    take(&mut home, OTHER, &one, &[2, 5]);
    let from = DeviceId([3; 16]);
    let asked = run(OTHER, &[&one[1..3], &other].concat());
    let Compared { comparison, held, run: answered, .. } = compared(&home, from, asked.clone());
    assert_eq!((comparison, answered), (Comparison::Parts(Seq(3)), asked.clone()));
    assert_eq!(held, Some(run(OTHER, &one[3..5])));
    assert!(Evidence::of_fork(Seq(3), held.unwrap(), &asked).is_some());
    let below = compared(&home, from, run(OTHER, &other[1..]));
    assert_eq!((below.comparison, below.held), (Comparison::Below, None));
    let Compared { comparison, before, .. } = compared(&home, from, run(OTHER, &one[2..4]));
    assert_eq!((comparison, before), (Comparison::Agrees, Some(one[1].clone())));
}

#[test]
fn an_own_history_is_signed_when_it_is_held_against_another() {
    let me = DeviceId([1; 16]);
    let (one, other) = parted(me);
    let mut home = Home::new();
    take(&mut home, me, &one, &[]);
    let Compared { held, .. } = compared(&home, OTHER, run(me, &other));
    let signature = Bytes::from_static(&[5; 64]);
    assert_eq!(held, Some(Run { signature, ..run(me, &one[3..4]) }), "one bundle says as much as all");
}

#[test]
fn what_lies_beyond_a_position_comes_in_pages_and_what_was_seen_there_adds_up() {
    let me = DeviceId([1; 16]);
    let all = chain(me, Head::default(), 1..=u64::try_from(PAGE_BUNDLES).unwrap() + 10);
    let mut home = Home::new();
    take(&mut home, me, &all, &[]);
    let Looked::Beyond { bundles, more, .. } = look(&home, Look::Beyond { source: SOURCE, after: Seq(4) }) else {
        panic!()
    };
    assert!(more);
    assert_eq!(bundles, all[4..4 + PAGE_BUNDLES]);
    let after = bundles.last().unwrap().dot.seq;
    let Looked::Beyond { bundles, more, .. } = look(&home, Look::Beyond { source: SOURCE, after }) else { panic!() };
    assert!(!more);
    assert_eq!(bundles, all[4 + PAGE_BUNDLES..]);
    let Looked::Seen { seen, .. } = look(&home, Look::Seen { source: SOURCE, at: Seq(3) }) else { panic!() };
    assert_eq!(seen.seq(SourceId([7; 16])), Seq(3));
    let Looked::Seen { seen, .. } = look(&home, Look::Seen { source: SOURCE, at: Seq(0) }) else { panic!() };
    assert!(seen.is_empty());
}

#[test]
fn evidence_is_kept_over_a_restart_with_how_often_it_moved_the_end() {
    let (one, other) = parted(OTHER);
    let late = Evidence::of_fork(Seq(3), run(OTHER, &one[3..]), &run(OTHER, &other)).unwrap();
    let early = chain(OTHER, one[0].head(), 22..=22);
    let early = Evidence::of_fork(Seq(1), run(OTHER, &one[1..3]), &run(OTHER, &early)).unwrap();
    let mut home = Home::new();
    prove(&mut home, &late);
    assert_eq!(home.store.restore().unwrap().verdicts, [(late.verdict(), 1)]);
    prove(&mut home, &early);
    assert_eq!(home.store.restore().unwrap().verdicts, [(early.verdict(), 2)]);
    assert_eq!(home.reader().evidence(SOURCE).unwrap(), [early]);
}

#[test]
fn what_no_signed_head_reaches_is_handed_on_with_the_evidence_that_follows_it() {
    let (one, other) = parted(OTHER);
    let mut home = Home::new();
    take(&mut home, OTHER, &one[..3], &[1]);
    let reader = home.reader();
    let lacking = |after: u64| RunRequest { device: OTHER, source: SOURCE, after: Seq(after), upto: Seq(3) };
    assert_eq!(reader.run(&lacking(1), 1 << 20, true).unwrap(), None);
    let evidence = Evidence::of_fork(Seq(3), run(OTHER, &one[3..]), &run(OTHER, &other)).unwrap();
    prove(&mut home, &evidence);
    let to_head = reader.run(&lacking(0), 1 << 20, true).unwrap().unwrap();
    assert_eq!(to_head.head, one[0].head());
    let stretch = reader.run(&lacking(1), 1 << 20, true).unwrap().unwrap();
    let handed_on = stretch.run.rebuild().unwrap();
    assert_eq!(handed_on.bundles[..2], one[1..3]);
    assert_eq!(handed_on.signed_head().unwrap(), evidence.runs()[0].signed_head().unwrap());
    assert_eq!(stretch.head, handed_on.signed_head().unwrap().head);
    assert_eq!(reader.run(&lacking(3), 1 << 20, true).unwrap(), None);
    let ends = home.store.ends_of(OTHER).unwrap().unwrap();
    assert_eq!(
        (ends.len(), ends[0].head),
        (1, stretch.head),
        "what counts of it is not less when its device is removed"
    );
}

#[test]
fn who_holds_another_history_before_the_end_keeps_its_own_hash_there() {
    let (one, other) = parted(OTHER);
    let mut home = Home::new();
    take(&mut home, OTHER, &[&one[..3], &other].concat(), &[5]);
    home.store.begin().unwrap();
    home.store.apply(&Change::Cut { source: SOURCE, end: one[3].head() }).unwrap();
    home.store.commit().unwrap();
    assert_eq!(home.store.restore().unwrap().sources[0].head, other[0].head());
}
