//! The log as watches and siblings get it.

use super::*;
use kinfolk_core::bundle::Bundle;
use kinfolk_core::ids::Seq;
use kinfolk_core::op::Op;
use kinfolk_core::parcel::SignedHead;
use kinfolk_core::step::RunRequest;
use kinfolk_core::value::Value;

fn put(collection: &str, key: &str, fields: &[(&str, i64)]) -> Op {
    let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), Some(Value::int(*value)))).collect();
    Op::record_put(collection, key, fields)
}

#[test]
fn a_watch_gets_bundles_in_order_within_its_bounds() {
    let (mut home, mut a, mut b) = (Home::new(), Author::new(1, 100), Author::new(2, 50));
    let all = [a.write(vec![put("n", "a", &[])]), b.write(vec![put("n", "b", &[])]), a.write(vec![put("n", "c", &[])])];
    home.take(&all.iter().collect::<Vec<_>>());
    let reader = home.reader();
    let bundles = |after, most, bytes| {
        let part = reader.order_after(BundleSeq(after), None, most, bytes).unwrap();
        let bundle = |entry| match entry {
            Entry::Bundle(bundle) => bundle,
            Entry::Revision(..) => panic!("nothing was revised"),
        };
        (part.entries.into_iter().map(bundle).collect::<Vec<_>>(), part.last)
    };
    let places = |after, most, bytes| {
        let (bundles, last) = bundles(after, most, bytes);
        (bundles.iter().map(|bundle| bundle.bundle_seq.0).collect::<Vec<_>>(), last)
    };
    assert_eq!(places(0, 10, 1 << 20), (vec![1, 2, 3], true));
    assert_eq!(places(0, 3, 1 << 20), (vec![1, 2, 3], true));
    assert_eq!(places(1, 1, 1 << 20), (vec![2], false));
    assert_eq!(places(0, 10, 1), (vec![1], false), "always at least one");
    assert_eq!(places(3, 10, 1 << 20), (vec![], true));
    let second = bundles(1, 1, 1).0.remove(0);
    assert_eq!((second.dot, second.device), (all[1].bundle.dot, all[1].device));
    assert_eq!(second.ops, all[1].bundle.ops());
    assert_eq!(second.stamp, all[1].bundle.body.as_ref().unwrap().stamp);
    assert_eq!(second.at, Millis(1_000));
}

/// Five bundles of source 2, heads signed at 2 and 4.
fn signed_source() -> (Home, Vec<Bundle>) {
    let (mut home, mut b) = (Home::new(), Author::new(2, 50));
    let written: Vec<Written> = (0..5).map(|n| b.write(vec![put("n", "k", &[("n", n)])])).collect();
    home.take(&written.iter().collect::<Vec<_>>());
    home.store.begin().unwrap();
    for seq in [2_u8, 4] {
        let (device, bundle) = (written[0].device, &written[usize::from(seq) - 1].bundle);
        let signature = Bytes::from(vec![seq; 64]);
        let head = SignedHead { device, source: bundle.dot.source, head: bundle.head(), signature };
        // A head that belongs to another history, and one by another device, are never used.
        let other =
            SignedHead { head: kinfolk_core::vector::Head { hash: Hash([0; 32]), ..head.head }, ..head.clone() };
        let foreign = SignedHead { device: DeviceId([7; 16]), head: written[4].bundle.head(), ..head.clone() };
        for head in [foreign, other, head] {
            home.store.apply(&Change::Head(head)).unwrap();
        }
    }
    home.store.commit().unwrap();
    (home, written.into_iter().map(|written| written.bundle).collect())
}

fn request(after: u64, upto: u64) -> RunRequest {
    RunRequest { device: DeviceId([2; 16]), source: SourceId([2; 16]), after: Seq(after), upto: Seq(upto) }
}

#[test]
fn a_foreign_run_ends_at_the_last_signed_head_within_its_bounds() {
    let (home, bundles) = signed_source();
    let reader = home.reader();
    let end = |after, upto, bytes| {
        let stretch = reader.run(&request(after, upto), bytes, true).unwrap()?;
        let last = &bundles[usize::try_from(stretch.head.seq.0).unwrap() - 1];
        assert_eq!(stretch.head, last.head());
        assert_eq!(stretch.run.prev, bundles[usize::try_from(after).unwrap()].prev);
        assert_eq!(stretch.run.first, Seq(after + 1));
        assert_eq!(u64::try_from(stretch.run.bodies.len()).unwrap(), stretch.head.seq.0 - after);
        assert_eq!(stretch.run.bodies.last(), Some(&last.bytes));
        assert_eq!(u64::from(stretch.run.signature[0]), stretch.head.seq.0);
        Some(stretch.head.seq.0)
    };
    assert_eq!(end(0, 5, 1 << 20), Some(4));
    assert_eq!(end(0, 3, 1 << 20), Some(2));
    assert_eq!(end(0, 5, 1), Some(2), "a run cannot be cut before its first signed head");
    assert_eq!(end(3, 5, 1 << 20), Some(4));
    assert_eq!(end(4, 5, 1 << 20), None);
    assert_eq!(end(0, 1, 1 << 20), None);
}

#[test]
fn an_own_run_ends_anywhere_and_waits_for_its_signature() {
    let (home, bundles) = signed_source();
    let reader = home.reader();
    let run = |after, upto, bytes| reader.run(&request(after, upto), bytes, false).unwrap();
    let all = run(0, 99, 1 << 20).unwrap();
    assert_eq!((all.head, all.run.bodies.len()), (bundles[4].head(), 5));
    assert!(all.run.signature.is_empty());
    assert_eq!(all.run.device, DeviceId([2; 16]));
    assert_eq!(run(1, 3, 1 << 20).unwrap().head, bundles[2].head());
    assert_eq!(run(1, 5, 1).unwrap().head, bundles[1].head(), "always at least one");
    assert_eq!(run(5, 9, 1 << 20), None);
    assert_eq!(run(7, 9, 1 << 20), None);
    let nowhere = RunRequest { source: SourceId([6; 16]), ..request(0, 5) };
    assert_eq!(reader.run(&nowhere, 1 << 20, false).unwrap(), None);
}
