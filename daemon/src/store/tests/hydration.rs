//! Snapshots from store to store: the kept log in chunks, staged and joined.

use proptest::prelude::*;
use proptest::sample::Index;

use super::compaction::{post, put, vector_of};
use super::convergence::{a_history, play, reorder, state};
use super::*;
use crate::store::reader::snapshot::chunk;
use kinfolk_core::ids::Seq;
use kinfolk_core::op::{MessageBody, Op};
use kinfolk_core::snapshot::{Ask, Chunk, Mark};
use kinfolk_core::step::{Gain, Hydrating, Join};
use kinfolk_core::vector::VersionVector;

impl Home {
    fn chunk(&self, ask: Ask, target: usize) -> Chunk {
        chunk(&self.store.connection, ask, target).unwrap()
    }

    fn vector(&self) -> VersionVector {
        self.store.cache.sources.iter().map(|saved| (saved.source, saved.head)).collect()
    }

    /// Takes all that `from` has, as an engine would ask for it; with other things in between.
    pub(super) fn catch_up(&mut self, from: &Home, target: usize, between: impl FnMut(&mut Self)) {
        self.catch_up_since(from, target, None, between);
    }

    /// The same; contents from before an instant may be left out.
    fn catch_up_since(
        &mut self,
        from: &Home,
        target: usize,
        recent_us: Option<i64>,
        mut between: impl FnMut(&mut Self),
    ) {
        let mut state = Hydrating { from: DeviceId([8; 16]), snapshot: 1, ..Hydrating::default() };
        self.write(&Change::HydrationBegun(state));
        loop {
            let ask = Ask { snapshot: state.snapshot, after: state.after, tail: state.tail, recent_us };
            let mut chunk = from.chunk(ask, target);
            if chunk.snapshot != state.snapshot {
                assert_eq!(chunk.after, BundleSeq(0), "another snapshot begins anew");
                state = Hydrating { from: state.from, snapshot: chunk.snapshot, ..Hydrating::default() };
                self.write(&Change::HydrationBegun(state));
            }
            let ends = std::mem::take(&mut chunk.ends);
            state.after = chunk.upto;
            state.last = chunk.last;
            state.tail = chunk.entries.last().map(|kept| kept.hash).or(state.tail);
            state.staged += chunk.entries.len() as u64;
            self.write(&Change::Staged(chunk));
            assert_eq!(self.store.hydrating().unwrap(), Some(state));
            between(self);
            if ends.is_empty() && state.after < state.last {
                continue;
            }
            if from.vector().is_empty() {
                self.write(&Change::HydrationOver);
                return;
            }
            if ends.is_empty() {
                continue;
            }
            let held = self.vector();
            let gains = ends.into_iter().filter(|end| end.at.head.seq > held.seq(end.source)).map(|mut end| {
                let after = held.seq(end.source);
                if after >= end.floor.head.seq {
                    end.floor = Mark::default();
                }
                Gain { after, end }
            });
            let first = self.store.bundle_seq().next();
            self.write(&Change::Join(Join { first, sources: gains.collect(), at: Millis(9) }));
            return;
        }
    }

    fn write(&mut self, change: &Change) {
        self.store.begin().unwrap();
        self.store.apply(change).unwrap();
        self.store.commit().unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn a_snapshot_joins_whatever_is_held_already(
        history in a_history(),
        choices in prop::collection::vec(any::<Index>(), 1..50),
        marks in prop::collection::vec(any::<Index>(), 5),
        target in 1..600_usize,
    ) {
        let all = play(&history);
        prop_assume!(!all.is_empty());
        let cut = |n: usize, upto: usize| marks[n].index(upto + 1);
        // One side holds a beginning of one causal order, the other of another; both have compacted apart.
        let other = reorder(&all, &choices);
        let (held, had) = (cut(0, all.len()), cut(1, other.len()));
        let (mut sender, mut receiver) = (Home::in_memory(), Home::in_memory());
        sender.take(&all[..held].iter().collect::<Vec<_>>());
        sender.compact(&vector_of(&all[..cut(2, held)]));
        receiver.take(&other[..had].iter().collect::<Vec<_>>());
        receiver.compact(&vector_of(&other[..cut(3, had)]));
        receiver.catch_up(&sender, target, |_| {});
        receiver.proves_itself();

        // Whatever any of them lacks then comes as ever, and all are equal.
        let mut plain = Home::in_memory();
        plain.take(&all.iter().collect::<Vec<_>>());
        for home in [&mut sender, &mut receiver] {
            let missing: Vec<&Written> = all.iter().filter(|written| !home.vector().covers(written.bundle.dot)).collect();
            home.take(&missing);
            home.proves_itself();
            prop_assert_eq!(state(home), state(&plain));
            prop_assert_eq!(home.store.digest(), plain.store.digest());
        }
        // And what was joined can be compacted, and handed on.
        receiver.compact(&vector_of(&all[..cut(4, all.len())]));
        receiver.proves_itself();
        let mut third = Home::in_memory();
        third.catch_up(&receiver, target, |_| {});
        third.proves_itself();
        prop_assert_eq!(state(&third), state(&plain));
        prop_assert_eq!(third.store.digest(), plain.store.digest());
    }
}

#[test]
fn who_wants_the_recent_past_first_holds_the_same_and_lacks_what_is_older() {
    let (mut old, mut new, mut a) = (Home::new(), Home::new(), Author::new(3, 100));
    let told = |id: &str, at: Option<i64>| {
        let text = format!("what {id} says ").repeat(20);
        let body = MessageBody { conversation: "c".into(), text, created_us: at, ..MessageBody::default() };
        Op::message_post(id, &body)
    };
    // The stamp of the third is an instant long before 1971, and counts where no other is given.
    let posts = [told("old", Some(5)), told("new", Some(YEAR_US)), told("plain", None), told("above", Some(6))];
    let all: Vec<Written> = posts.into_iter().map(|post| a.write(vec![post])).collect();
    old.take(&all.iter().collect::<Vec<_>>());
    old.compact(&vector_of(&all[..3]));
    new.catch_up_since(&old, 200, Some(YEAR_US), |_| {});
    new.proves_itself();
    assert_eq!((new.store.digest(), new.vector()), (old.store.digest(), old.vector()));
    let lacking = new.reader().lacking(i64::MIN, None, 9).unwrap();
    let ids: Vec<&str> = lacking.wanted.iter().map(|wanted| wanted.id.as_str()).collect();
    assert_eq!((ids, new.store.lacking()), (vec!["plain", "old"], 2), "above the watermark everything comes whole");
    let given = old.reader().contents(&lacking.wanted).unwrap().given;
    new.write(&Change::Contents(given));
    new.proves_itself();
    assert_eq!((new.store.lacking(), state(&new)), (0, state(&old)));
}

#[test]
fn the_instant_of_what_is_recent_is_kept() {
    let home = Home::new();
    assert_eq!(home.store.restore().unwrap().recent_us, None);
    home.store.set_recent(-9).unwrap();
    assert_eq!(home.reopen().store.restore().unwrap().recent_us, Some(-9));
}

/// A year after 1970, in microseconds.
const YEAR_US: i64 = 365 * 24 * 3_600 * 1_000_000;

#[test]
fn a_new_device_holds_the_same_after_a_snapshot_and_goes_on_with_runs() {
    let (mut old, mut new, mut a) = (Home::new(), Home::new(), Author::new(3, 100));
    let all: Vec<Written> = (0..20).map(|n| a.write(vec![put("a", n), post(&format!("m{n}"), "hello")])).collect();
    old.take(&all.iter().collect::<Vec<_>>());
    old.compact(&vector_of(&all[..15]));
    new.catch_up(&old, 200, |_| {});
    assert_eq!((new.store.digest(), new.vector()), (old.store.digest(), old.vector()));
    let next = a.write(vec![put("a", 99)]);
    new.take(&[&next]);
    old.take(&[&next]);
    assert_eq!(new.store.digest(), old.store.digest());
    let new = new.reopen();
    assert_eq!(new.store.digest(), old.store.digest());
    new.proves_itself();
}

#[test]
fn nothing_deleted_comes_back_and_own_bundles_survive() {
    let (mut old, mut away) = (Home::new(), Home::new());
    let (mut a, mut b) = (Author::new(3, 100), Author::new(4, 50));
    let said = a.write(vec![post("m", "hello"), put("a", 1)]);
    b.see(&said);
    let deleted = a.write(vec![Op::message_delete("m", Some(5)), Op::record_delete("notes", "a")]);
    old.take(&[&said, &deleted]);
    old.compact(&vector_of([&said, &deleted]));
    // Away, the other still has it, marks it as read and writes something of its own.
    let own = b.write(vec![Op::message_status("m", kinfolk_core::op::Level::Read, Some(6)), put("b", 2)]);
    away.take(&[&said, &own]);
    away.catch_up(&old, 1, |_| {});
    assert_eq!(away.count("SELECT count(*) FROM message"), 0);
    assert_eq!(away.reader().record("notes", "a").unwrap().map(|record| record.key), None);
    assert!(away.reader().record("notes", "b").unwrap().is_some());
    away.proves_itself();
    old.take(&[&own]);
    assert_eq!(old.store.digest(), away.store.digest());
}

#[test]
fn a_snapshot_goes_on_where_it_was_after_a_restart_of_either_side() {
    let (mut old, mut new, mut a) = (Home::new(), Home::new(), Author::new(3, 100));
    let all: Vec<Written> = (0..10).map(|n| a.write(vec![put(&format!("{n}"), n)])).collect();
    old.take(&all.iter().collect::<Vec<_>>());
    old.compact(&vector_of(&all[..1]));
    let mut state = Hydrating { from: DeviceId([8; 16]), snapshot: 2, ..Hydrating::default() };
    new.write(&Change::HydrationBegun(state));
    let chunk = old.chunk(Ask::default(), 300);
    assert!(chunk.ends.is_empty() && chunk.upto < chunk.last);
    new.write(&Change::Staged(chunk.clone()));
    let (old, new) = (old.reopen(), new.reopen());
    state = new.store.restore().unwrap().hydrating.unwrap();
    assert_eq!((state.after, state.staged), (chunk.upto, chunk.entries.len() as u64));
    let ask = Ask { snapshot: state.snapshot, after: state.after, tail: state.tail, recent_us: None };
    let rest = old.chunk(ask, 1 << 20);
    assert_eq!(rest.entries.first().map(|entry| entry.seq), Some(Seq(state.staged + 1)));
    assert_eq!(rest.ends.len(), 1);
}

#[test]
fn a_snapshot_that_was_begun_before_a_compaction_begins_anew() {
    let (mut old, mut new, mut a) = (Home::new(), Home::new(), Author::new(3, 100));
    let all: Vec<Written> = (0..10).map(|n| a.write(vec![put("a", n), put(&format!("{n}"), n)])).collect();
    old.take(&all.iter().collect::<Vec<_>>());
    old.compact(&vector_of(&all[..2]));
    let first = old.chunk(Ask::default(), 1);
    old.compact(&vector_of(&all));
    let next = old.chunk(Ask { snapshot: first.snapshot, after: first.upto, ..Ask::default() }, 1);
    assert_eq!((next.snapshot, next.after, next.anew), (first.snapshot + 1, BundleSeq(0), true));
    new.catch_up(&old, 100, |_| {});
    assert_eq!(new.store.digest(), old.store.digest());
}

#[test]
fn a_snapshot_of_an_order_that_was_put_back_begins_anew() {
    let (mut old, mut put_back, mut a) = (Home::new(), Home::new(), Author::new(3, 100));
    let all: Vec<Written> = (0..6).map(|n| a.write(vec![put(&format!("{n}"), n)])).collect();
    let mut b = Author::new(4, 50);
    let other = b.write(vec![put("other", 1)]);
    old.take(&all.iter().collect::<Vec<_>>());
    // The same device as it may be after its disk was put back: what comes again, comes in another order.
    put_back.take(&[&all[0], &other, &all[1], &all[2]]);
    for home in [&mut old, &mut put_back] {
        home.compact(&vector_of(&all[..1]));
    }
    let first = old.chunk(Ask::default(), 300);
    let tail = first.entries.last().map(|kept| kept.hash);
    let ask = Ask { snapshot: first.snapshot, after: first.upto, tail, recent_us: None };
    assert_eq!(old.chunk(ask, 300).after, first.upto);
    let next = put_back.chunk(ask, 300);
    assert_eq!((next.snapshot, next.after, next.anew), (first.snapshot, BundleSeq(0), true), "unnoticed");
    put_back.write(&Change::Fresh { source: SourceId([77; 16]), generation: 1_700_000_000 << 16 });
    let noticed = put_back.chunk(Ask { tail: None, ..ask }, 300);
    assert!(noticed.snapshot > first.snapshot && noticed.anew && noticed.after == BundleSeq(0));
}

#[test]
fn what_arrives_while_a_snapshot_is_staged_is_kept_once() {
    let (mut old, mut new) = (Home::new(), Home::new());
    let (mut a, mut b) = (Author::new(3, 100), Author::new(4, 50));
    let all: Vec<Written> = (0..6).map(|n| a.write(vec![put(&format!("{n}"), n)])).collect();
    let own = b.write(vec![put("own", 1)]);
    old.take(&all.iter().collect::<Vec<_>>());
    let mut arriving: Vec<&Written> = all.iter().rev().collect();
    arriving.push(&own);
    new.catch_up(&old, 1, |home| {
        home.take(&arriving.pop().into_iter().collect::<Vec<_>>());
    });
    old.take(&[&own]);
    assert_eq!(new.store.digest(), old.store.digest());
    assert_eq!(new.count("SELECT count(*) FROM log"), 7);
    new.proves_itself();
}

#[test]
fn a_join_that_was_not_committed_left_nothing_and_comes_again() {
    let (mut old, mut new, mut a) = (Home::new(), Home::new(), Author::new(3, 100));
    let all: Vec<Written> = (0..4).map(|n| a.write(vec![put("a", n)])).collect();
    old.take(&all.iter().collect::<Vec<_>>());
    old.compact(&vector_of(&all));
    let mut chunk = old.chunk(Ask::default(), 1 << 20);
    let ends = std::mem::take(&mut chunk.ends);
    let state = Hydrating { from: DeviceId([8; 16]), snapshot: chunk.snapshot, ..Hydrating::default() };
    new.write(&Change::HydrationBegun(state));
    new.write(&Change::Staged(chunk));
    let sources = ends.into_iter().map(|end| Gain { after: Seq(0), end }).collect();
    let join = Change::Join(Join { first: BundleSeq(1), sources, at: Millis(9) });
    new.store.begin().unwrap();
    new.store.apply(&join).unwrap();
    let mut new = new.reopen();
    assert_eq!((new.places().len(), new.store.restore().unwrap().hydrating.is_some()), (0, true));
    new.write(&join);
    assert_eq!((new.store.digest(), new.vector()), (old.store.digest(), old.vector()));
    assert_eq!(new.store.restore().unwrap().hydrating, None);
    new.proves_itself();
}
