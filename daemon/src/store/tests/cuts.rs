//! Sources of removed devices that end earlier than they were applied.

use kinfolk_core::op::{Level, MessageBody, Op};
use kinfolk_core::parcel::{Ended, SignedHead};
use kinfolk_core::value::Value;
use kinfolk_core::vector::Head;

use super::*;

fn put(key: &str, field: &str, text: &str) -> Op {
    Op::record_put("notes", key, vec![(field.into(), Some(Value::text(text)))])
}

fn post(id: &str, text: &str) -> Op {
    Op::message_post(id, &MessageBody { conversation: "family".into(), text: text.into(), ..MessageBody::default() })
}

fn cut(home: &mut Home, source: SourceId, end: Head) {
    home.store.begin().unwrap();
    home.store.apply(&Change::Cut { source, end }).unwrap();
    home.store.commit().unwrap();
}

fn problems(home: &Home) -> Vec<Problem> {
    verify::verify(&home.store.connection).unwrap().problems
}

/// One that writes on while the other, who is to be removed, overwrites and deletes.
fn history() -> (Vec<Written>, SourceId) {
    let (mut honest, mut thief) = (Author::new(1, 100), Author::new(2, 50));
    let first = honest.write(vec![put("a", "x", "1"), put("b", "x", "1"), post("m1", "one"), post("m2", "two")]);
    thief.see(&first);
    let kept = thief.write(vec![put("a", "y", "theirs"), post("m3", "three")]);
    let gone = thief.write(vec![
        put("a", "x", "spoilt"),
        Op::record_delete("notes", "b"),
        put("c", "x", "new"),
        Op::message_delete("m1", Some(9)),
        Op::message_status("m2", Level::Read, Some(9)),
        post("m4", "four"),
    ]);
    honest.see(&kept);
    let beside = honest.write(vec![put("b", "x", "2")]);
    let source = gone.bundle.dot.source;
    (vec![first, kept, gone, beside], source)
}

#[test]
fn what_lies_beyond_the_end_is_undone_and_set_aside() {
    let (history, source) = history();
    let [first, kept, gone, beside] = history.as_slice() else { panic!() };
    let (mut with, mut without) = (Home::new(), Home::new());
    with.take(&[first, kept, gone, beside]);
    without.take(&[first, kept, beside]);
    assert_ne!(with.store.digest(), without.store.digest());
    cut(&mut with, source, kept.bundle.head());
    assert_eq!(with.store.digest(), without.store.digest());
    assert_eq!(problems(&with), []);
    assert_eq!(with.count("SELECT count(*) FROM cut_bundle"), 1);
    let saved = with.store.restore().unwrap();
    let cut = saved.sources.iter().find(|saved| saved.source == source).unwrap();
    assert_eq!((cut.head, cut.context.as_ref()), (kept.bundle.head(), kept.context.as_ref()));
}

#[test]
fn places_that_were_given_out_are_not_given_out_again() {
    let (history, source) = history();
    let mut home = Home::new();
    home.take(&[&history[0], &history[1], &history[2]]);
    let last = home.store.bundle_seq();
    cut(&mut home, source, Head::default());
    assert_eq!(home.reopen().store.bundle_seq(), last.next(), "the cut itself took one");
}

#[test]
fn who_is_past_what_was_cut_is_told_what_changed() {
    let (history, source) = history();
    let mut home = Home::new();
    home.take(&[&history[0], &history[1], &history[2]]);
    let last = home.store.bundle_seq();
    cut(&mut home, source, history[1].bundle.head());
    home.take(&[&history[3]]);
    let part = home.reader().order_after(last, None, 10, 1 << 20).unwrap();
    assert_eq!(part.upto, home.store.bundle_seq());
    let [Entry::Revision(place, names), Entry::Bundle(bundle)] = part.entries.as_slice() else { panic!("{part:?}") };
    assert_eq!((*place, bundle.bundle_seq), (last.next(), last.next().next()));
    let name = |collection: &str, key: &str| (collection.to_owned(), key.to_owned());
    let records = ["a", "b", "c"].map(|key| name("notes", key));
    let messages = ["m1", "m2", "m4"].map(|id| name("@message", id));
    assert_eq!(*names, [messages, records].concat());
    assert_eq!(home.reader().order_after(*place, None, 10, 1 << 20).unwrap().entries.len(), 1);
}

#[test]
fn of_a_cut_that_changes_too_much_nothing_is_told_but_to_read_anew() {
    let (mut honest, mut thief) = (Author::new(1, 100), Author::new(2, 50));
    let flood = (0..=revision::MAX_REVISED).map(|n| put(&n.to_string(), "x", "1")).collect();
    let mut home = Home::new();
    let (first, flood) = (honest.write(vec![put("a", "x", "1")]), thief.write(flood));
    home.take(&[&first, &flood]);
    let before = home.store.bundle_seq();
    cut(&mut home, flood.bundle.dot.source, Head::default());
    let reader = home.reader();
    assert!(reader.order_after(before, None, 10, 1 << 20).unwrap().entries.is_empty());
    let reach = reader.reach().unwrap();
    assert_eq!([before, before.next(), BundleSeq(0)].map(|cursor| reach.continues(cursor)), [false, true, true]);
}

#[test]
fn a_source_that_is_cut_to_nothing_is_still_known_by_its_device() {
    let (history, source) = history();
    let mut home = Home::new();
    home.take(&[&history[0], &history[1], &history[2]]);
    cut(&mut home, source, Head::default());
    assert_eq!(problems(&home), []);
    let home = home.reopen();
    let saved = home.store.restore().unwrap();
    let cut = saved.sources.iter().find(|saved| saved.source == source).unwrap();
    assert_eq!((cut.device, cut.head), (history[1].device, Head::default()));
}

#[test]
fn a_cut_source_that_runs_on_comes_to_the_same_state_however_late_its_bundles_are() {
    let (mut honest, mut thief) = (Author::new(1, 100), Author::new(2, 50));
    let first = honest.write(vec![put("a", "x", "1")]);
    thief.see(&first);
    let (kept, late) =
        (thief.write(vec![put("a", "x", "2")]), thief.write(vec![put("a", "x", "3"), put("b", "x", "3")]));
    honest.see(&kept);
    honest.see(&late);
    let after = honest.write(vec![put("a", "x", "4")]);
    let (mut in_order, mut rejoined) = (Home::new(), Home::new());
    in_order.take(&[&first, &kept, &late, &after]);
    rejoined.take(&[&first, &kept, &late]);
    cut(&mut rejoined, late.bundle.dot.source, kept.bundle.head());
    // What its author had seen does not count here, so it is applied without it; then that counts again.
    rejoined.take(&[&after]);
    rejoined.take(&[&late]);
    assert_eq!(rejoined.store.digest(), in_order.store.digest());
    assert_eq!(problems(&rejoined), []);
    assert_eq!(rejoined.count("SELECT count(*) FROM cut_bundle"), 0);
}

#[test]
fn the_state_is_proved_whatever_numbers_the_sources_have_here() {
    let (mut honest, mut other) = (Author::new(1, 100), Author::new(2, 50));
    let (cut_once, beside) = (other.write(vec![put("a", "x", "1")]), honest.write(vec![put("a", "x", "2")]));
    let mut home = Home::new();
    home.take(&[&cut_once, &beside]);
    cut(&mut home, cut_once.bundle.dot.source, Head::default());
    // Now the log tells of the other source first; the number that this one got stays its own.
    home.take(&[&cut_once]);
    assert_eq!(problems(&home), []);
}

#[test]
fn what_never_happened_is_undone_with_the_rest_of_a_transaction() {
    let (history, source) = history();
    let mut home = Home::new();
    home.take(&history.iter().collect::<Vec<_>>());
    let digest = home.store.digest();
    home.store.begin().unwrap();
    home.store.apply(&Change::Cut { source, end: Head::default() }).unwrap();
    home.store.rollback().unwrap();
    assert_eq!(home.store.digest(), digest);
    assert_eq!(problems(&home), []);
}

#[test]
fn a_source_of_which_nothing_counts_has_a_row() {
    let mut home = Home::new();
    let ended = Ended { source: SourceId([8; 16]), device: DeviceId([7; 16]), ..Ended::default() };
    for _ in 0..2 {
        home.store.begin().unwrap();
        home.store.apply(&Change::Ended(ended)).unwrap();
        home.store.commit().unwrap();
    }
    let home = home.reopen();
    let saved = home.store.restore().unwrap();
    assert_eq!(
        saved.sources.iter().map(|saved| (saved.source, saved.device)).collect::<Vec<_>>(),
        [(ended.source, ended.device)]
    );
    assert_eq!(problems(&home), []);
}

#[test]
fn a_device_ends_at_the_last_head_it_signed_of_what_is_held() {
    let (history, source) = history();
    let mut home = Home::new();
    home.take(&[&history[0], &history[1]]);
    let signed = |bundle: &Written| {
        let head = bundle.bundle.head();
        Change::Head(SignedHead { device: bundle.device, source, head, signature: Bytes::from_static(&[5; 64]) })
    };
    home.store.begin().unwrap();
    home.store.apply(&signed(&history[1])).unwrap();
    // Signed, but not held.
    home.store.apply(&signed(&history[2])).unwrap();
    home.store.commit().unwrap();
    let ends = home.store.ends_of(history[1].device).unwrap().unwrap();
    assert_eq!(ends.iter().map(|end| (end.source, end.head)).collect::<Vec<_>>(), [(source, history[1].bundle.head())]);
    assert_eq!(home.store.ends_of(history[0].device).unwrap(), Some(vec![]));
}
