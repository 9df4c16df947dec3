//! What a compaction takes away, and what it leaves as it was.

use proptest::prelude::*;
use proptest::sample::Index;

use super::convergence::{a_history, play, state};
use super::*;
use kinfolk_core::ids::{Dot, Seq};
use kinfolk_core::op::{Level, MessageBody, OP_LEVEL, Op};
use kinfolk_core::step::{Compaction, RunRequest};
use kinfolk_core::value::Value;
use kinfolk_core::vector::VersionVector;

pub(super) fn put(key: &str, value: i64) -> Op {
    Op::record_put("notes", key, vec![("n".into(), Some(Value::int(value)))])
}

pub(super) fn post(id: &str, text: &str) -> Op {
    let (conversation, text) = ("family".into(), text.into());
    Op::message_post(id, &MessageBody { conversation, text, created_us: Some(1), ..MessageBody::default() })
}

/// What everybody holds who has these bundles.
pub(super) fn vector_of<'w>(written: impl IntoIterator<Item = &'w Written>) -> VersionVector {
    written.into_iter().map(|written| (written.bundle.dot.source, written.bundle.head())).collect()
}

/// A compaction up to there, among devices that understand what this one does.
fn upto(watermark: &VersionVector) -> Compaction {
    Compaction { watermark: watermark.clone(), op_level: OP_LEVEL }
}

impl Home {
    pub(super) fn compact(&mut self, watermark: &VersionVector) -> Compacted {
        self.store.begin().unwrap();
        self.store.apply(&Change::Compact(upto(watermark))).unwrap();
        self.store.commit().unwrap();
        self.store.last_compaction()
    }

    pub(super) fn proves_itself(&self) {
        assert_eq!(verify::verify(&self.store.connection).unwrap().problems, Vec::new());
    }

    pub(super) fn places(&self) -> Vec<i64> {
        let mut statement = self.store.connection.prepare("SELECT bundle_seq FROM log ORDER BY 1").unwrap();
        statement.query_map((), |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }

    fn log_holds(&self, words: &str) -> bool {
        let sql = "SELECT count(*) FROM log WHERE instr(body, CAST(?1 AS BLOB)) > 0";
        self.store.connection.query_row(sql, (words,), |row| row.get::<_, i64>(0)).unwrap() > 0
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn a_compaction_at_any_watermark_changes_nothing_that_can_be_seen(
        history in a_history(),
        first in any::<Index>(),
        second in any::<Index>(),
        split in any::<Index>(),
    ) {
        let all = play(&history);
        prop_assume!(!all.is_empty());
        let (mut plain, mut home) = (Home::in_memory(), Home::in_memory());
        plain.take(&all.iter().collect::<Vec<_>>());
        // Applied in two parts, with a compaction behind each; every beginning of a causal order is what somebody can hold.
        let applied = split.index(all.len() + 1);
        home.take(&all[..applied].iter().collect::<Vec<_>>());
        home.compact(&vector_of(&all[..first.index(applied + 1)]));
        home.proves_itself();
        home.take(&all[applied..].iter().collect::<Vec<_>>());
        home.proves_itself();
        prop_assert_eq!(state(&home), state(&plain));
        home.compact(&vector_of(&all[..second.index(all.len() + 1)]));
        home.compact(&vector_of(&all));
        home.proves_itself();
        prop_assert_eq!(state(&home), state(&plain));
        prop_assert_eq!(home.store.digest(), plain.store.digest());
        let last = home.store.bundle_seq();
        home.store.begin().unwrap();
        home.store.rollback().unwrap();
        prop_assert_eq!((home.store.digest(), home.store.bundle_seq()), (plain.store.digest(), last));
        prop_assert_eq!(home.compact(&vector_of(&all)), Compacted::default(), "a second one finds nothing more");
    }
}

#[test]
fn what_was_written_over_below_the_watermark_goes_and_the_last_write_stays() {
    let (mut home, mut a) = (Home::new(), Author::new(1, 100));
    let all: Vec<Written> = (0..5).map(|n| a.write(vec![put("a", n), put("b", n)])).collect();
    home.take(&all.iter().collect::<Vec<_>>());
    let compaction = home.compact(&vector_of(&all));
    assert_eq!((compaction.bundles, compaction.ops, home.places()), (4, 8, vec![5]));
    home.proves_itself();
}

#[test]
fn an_op_stays_while_what_dominates_it_lies_above_the_watermark() {
    let (mut home, mut a) = (Home::new(), Author::new(1, 100));
    let all: Vec<Written> = (0..3).map(|n| a.write(vec![put("a", n)])).collect();
    home.take(&all.iter().collect::<Vec<_>>());
    assert_eq!(home.compact(&vector_of(&all[..2])), Compacted::default());
    assert_eq!(home.places(), [1, 2, 3]);
    assert_eq!((home.compact(&vector_of(&all)).bundles, home.places()), (2, vec![3]));
}

#[test]
fn what_was_deleted_leaves_the_log_and_its_tombstone_stays() {
    let (mut home, mut a) = (Home::new(), Author::new(1, 100));
    let said = a.write(vec![post("m1", "a secret"), post("m2", "no secret")]);
    let gone = a.write(vec![Op::message_delete("m1", Some(7)), put("a", 1)]);
    home.take(&[&said, &gone]);
    assert!(home.log_holds("a secret"));
    let compaction = home.compact(&vector_of([&said, &gone]));
    assert_eq!((compaction.bundles, compaction.shortened, compaction.ops), (0, 1, 1));
    assert!(!home.log_holds("a secret") && home.log_holds("no secret"));
    assert_eq!(home.count("SELECT count(*) FROM tombstone"), 1);
    home.proves_itself();
    home.take(&[&a.write(vec![post("m1", "a secret")])]);
    assert_eq!(home.count("SELECT count(*) FROM message WHERE id = 'm1'"), 0, "deleted stays deleted");
    home.proves_itself();
}

#[test]
fn posts_that_lost_against_another_content_stay_counted() {
    let (mut home, mut a, mut b) = (Home::new(), Author::new(1, 100), Author::new(2, 50));
    let all = [a.write(vec![post("m", "one")]), b.write(vec![post("m", "two")]), a.write(vec![put("a", 1)])];
    home.take(&all.iter().collect::<Vec<_>>());
    home.compact(&vector_of(&all));
    assert_eq!(home.reader().counts().unwrap().differing_messages, 1);
    home.proves_itself();
}

#[test]
fn what_is_not_understood_is_kept_and_what_breaks_a_rule_goes() {
    let (mut home, mut a) = (Home::new(), Author::new(1, 100));
    let unknown = Op { kind: 99, ..put("a", 1) };
    let invalid = Op { key: String::new(), ..put("a", 1) };
    let all = [a.write(vec![unknown.clone(), invalid]), a.write(vec![Op::message_status("x", Level::Sent, Some(1))])];
    home.take(&all.iter().collect::<Vec<_>>());
    home.compact(&vector_of(&all));
    let left = home.reader().order_after(BundleSeq(0), None, 10, 1 << 20).unwrap().entries;
    let ops = |entry: Entry| match entry {
        Entry::Bundle(bundle) => bundle.ops,
        Entry::Revision(..) => panic!("nothing was revised"),
    };
    let left: Vec<Vec<Op>> = left.into_iter().map(ops).collect();
    assert_eq!(left.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1]);
    assert_eq!(left[0], [unknown]);
    home.proves_itself();
}

#[test]
fn a_run_begins_at_the_watermark_at_the_earliest_and_there_the_chain_holds() {
    let (mut home, mut a) = (Home::new(), Author::new(1, 100));
    let all: Vec<Written> = (0..4).map(|n| a.write(vec![put("a", n)])).collect();
    home.take(&all.iter().collect::<Vec<_>>());
    home.compact(&vector_of(&all[..3]));
    home.compact(&vector_of(&all));
    home.take(&[&a.write(vec![put("b", 1)])]);
    let reader = home.reader();
    let run = |after| {
        let request = RunRequest { device: a_device(), source: a_source(), after: Seq(after), upto: Seq(5) };
        reader.run(&request, 1 << 20, false).unwrap()
    };
    assert_eq!([run(0), run(1), run(3)], [None, None, None]);
    let stretch = run(4).unwrap();
    assert_eq!((stretch.run.prev, stretch.run.bodies.len()), (all[3].bundle.hash, 1));
}

#[test]
fn places_of_bundles_that_went_are_not_given_out_again() {
    let (mut home, mut a, mut b) = (Home::new(), Author::new(1, 100), Author::new(2, 500));
    let first = b.write(vec![Op::message_status("m", Level::Read, Some(9))]);
    let last = a.write(vec![Op::message_status("m", Level::Read, Some(5))]);
    home.take(&[&first, &last]);
    home.compact(&vector_of([&first, &last]));
    assert_eq!(home.places(), [1], "the later one said less");
    let home = home.reopen();
    assert_eq!(home.store.bundle_seq(), BundleSeq(2));
    assert_eq!(home.reader().counts().unwrap().bundle_seq, BundleSeq(2));
}

#[test]
fn what_would_go_is_what_goes() {
    let (mut home, mut a) = (Home::new(), Author::new(1, 100));
    let all: Vec<Written> = (0..9).map(|n| a.write(vec![put("a", n % 3), put(&format!("{n}"), n)])).collect();
    home.take(&all.iter().collect::<Vec<_>>());
    let watermark = vector_of(&all);
    let would = home.reader().would_compact(&upto(&watermark)).unwrap();
    assert_eq!((would.shortened, would.ops, home.places().len()), (8, 8, 9), "asking changes nothing");
    assert_eq!(home.compact(&watermark), would);
}

#[test]
fn a_compaction_that_was_not_committed_left_nothing() {
    let (mut home, mut a) = (Home::new(), Author::new(1, 100));
    let all: Vec<Written> = (0..3).map(|n| a.write(vec![put("a", n)])).collect();
    home.take(&all.iter().collect::<Vec<_>>());
    home.store.begin().unwrap();
    home.store.apply(&Change::Compact(upto(&vector_of(&all)))).unwrap();
    let home = home.reopen();
    assert_eq!((home.places(), home.count("SELECT count(*) FROM floor")), (vec![1, 2, 3], 0));
    assert!(home.store.restore().unwrap().watermark.is_empty());
    home.proves_itself();
}

#[test]
fn the_chain_is_known_where_the_log_has_it_and_at_the_watermark() {
    let (mut home, mut a) = (Home::new(), Author::new(1, 100));
    let all: Vec<Written> = (0..4).map(|n| a.write(vec![put("a", n)])).collect();
    home.take(&all[..3].iter().collect::<Vec<_>>());
    home.compact(&vector_of(&all[..3]));
    home.take(&[&all[3]]);
    home.compact(&vector_of(&all));
    let places: Vec<Dot> = (1..=5).map(|seq| Dot { source: a_source(), seq: Seq(seq) }).collect();
    let chain = home.store.chain(&places).unwrap();
    assert_eq!(chain.into_iter().collect::<Vec<_>>(), [(places[3], all[3].bundle.hash)]);
}

fn a_device() -> DeviceId {
    DeviceId([1; 16])
}

fn a_source() -> SourceId {
    SourceId([1; 16])
}
