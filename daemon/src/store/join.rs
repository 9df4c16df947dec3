//! A snapshot comes in: its chunks are staged, and with the last one everything that is new joins the log.
//!
//! The entries keep the sender's order, behind what is here, and take effect by the same code as any bundle. What they had seen follows from
//! the sender's kept log, so that is gone along from its beginning, entries that are held included.
//!
//! In a source that gains a hole — the sender's watermark lies beyond what was held — contexts must fit the kept bundles *here*: the
//! first entry behind the hole says anew what it had seen, and so does the one behind an earlier hole, whose note the new
//! watermark replaces.
//!
//! An entry may come *late*, behind ones whose authors had seen it: after a removal turned out void, or when what was cut stands after
//! all. What such entries say of records is put into its causal place at the end ([`super::rebuild`]).

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use rusqlite::OptionalExtension;

use kinfolk_core::bundle::Bundle;
use kinfolk_core::clock::Stamp;
use kinfolk_core::compact::{self, Contexts};
use kinfolk_core::ids::{BundleSeq, DeviceId, Dot, Hash, Millis, Seq, SourceId};
use kinfolk_core::snapshot::{Chunk, Mark};
use kinfolk_core::step::{Gain, Hydrating, Join};
use kinfolk_core::vector::{Head, VersionVector};

use super::apply::Origin;
use super::convert::{int, uint};
use super::rebuild::Entity;
use super::{Store, StoreError, floors};

/// What is kept of a bundle, as it enters the log.
pub(super) struct Entry<'a> {
    /// The number of its source.
    pub(super) source: i64,
    pub(super) bundle: &'a Bundle,
    /// The hash of the whole bundle.
    pub(super) hash: Hash,
    /// What its context is to say in this log, when not what it says.
    pub(super) context: Option<&'a [(SourceId, Head)]>,
    pub(super) place: BundleSeq,
    pub(super) at: Millis,
}

/// A source that gains.
struct Gaining<'a> {
    gain: &'a Gain,
    idx: i64,
    /// Along the sender's log.
    theirs: Contexts,
    /// Along the one here.
    ours: Contexts,
}

impl Gaining<'_> {
    /// Whether the log has a hole between what was held and the sender's watermark.
    fn has_hole(&self) -> bool {
        self.gain.end.floor.head.seq > Seq::ZERO
    }
}

/// Staged entries read at a time.
const PAGE: i64 = 256;

impl Store {
    /// Catching up begins: nothing is staged.
    pub(super) fn begin_hydration(&self, state: &Hydrating) -> Result<(), StoreError> {
        self.end_hydration()?;
        self.note_hydration(state)
    }

    /// Nothing is under way any more.
    pub(super) fn end_hydration(&self) -> Result<(), StoreError> {
        self.connection.prepare_cached("DELETE FROM staged")?.execute(())?;
        self.connection.prepare_cached("DELETE FROM hydration")?.execute(())?;
        Ok(())
    }

    /// Stages a chunk behind those before.
    pub(super) fn stage(&self, chunk: &Chunk) -> Result<(), StoreError> {
        let state = self.hydrating()?.ok_or(StoreError::Damaged("a chunk belongs to no snapshot"))?;
        let sql = "INSERT INTO staged (source, seq, hash, body) VALUES (?1, ?2, ?3, ?4)";
        let mut insert = self.connection.prepare_cached(sql)?;
        for kept in &chunk.entries {
            insert.execute((kept.source.0, int(kept.seq.0), kept.hash.0, kept.body.as_ref()))?;
        }
        let staged = state.staged + u64::try_from(chunk.entries.len()).unwrap_or(u64::MAX);
        let after = chunk.upto.max(chunk.after);
        // The tail is what lies staged last.
        self.note_hydration(&Hydrating { after, last: chunk.last, staged, ..state })
    }

    /// The snapshot under way to here.
    pub(super) fn hydrating(&self) -> Result<Option<Hydrating>, StoreError> {
        let sql = "SELECT sender, snapshot, after, last, staged,
                   (SELECT hash FROM staged ORDER BY n DESC LIMIT 1) FROM hydration";
        let found = self.connection.prepare_cached(sql)?.query_row((), |row| {
            Ok(Hydrating {
                from: DeviceId(row.get(0)?),
                snapshot: uint(row.get(1)?),
                after: BundleSeq(uint(row.get(2)?)),
                last: BundleSeq(uint(row.get(3)?)),
                staged: uint(row.get(4)?),
                tail: row.get::<_, Option<_>>(5)?.map(Hash),
            })
        });
        Ok(found.optional()?)
    }

    fn note_hydration(&self, state: &Hydrating) -> Result<(), StoreError> {
        let sql = "INSERT OR REPLACE INTO hydration (one, sender, snapshot, after, last, staged)
                   VALUES (1, ?1, ?2, ?3, ?4, ?5)";
        let (after, last) = (int(state.after.0), int(state.last.0));
        let columns = (state.from.0, int(state.snapshot), after, last, int(state.staged));
        self.connection.prepare_cached(sql)?.execute(columns)?;
        Ok(())
    }

    /// What is staged joins the log and takes effect.
    pub(super) fn join(&mut self, join: &Join) -> Result<(), StoreError> {
        if join.first <= self.cache.last {
            return Err(StoreError::Damaged("a join begins at a place that was given out"));
        }
        let old = floors::load(&self.connection)?;
        let mut gaining = BTreeMap::new();
        for gain in &join.sources {
            gaining.insert(gain.end.source, self.ready(gain, old.get(&gain.end.source))?);
        }
        let mut late = BTreeSet::new();
        let (mut n, mut place) = (0, join.first);
        loop {
            let page = self.staged_after(n)?;
            let Some((last, ..)) = page.last() else { break };
            n = *last;
            for (_, bundle, hash) in page {
                let at = place;
                place = place.next();
                let Some(gaining) = gaining.get_mut(&bundle.dot.source) else { continue };
                if self.join_entry(gaining, &bundle, hash, at, join.at)? {
                    late.extend(Entity::of_records(bundle.ops()));
                }
            }
        }
        for Gaining { gain, idx, .. } in gaining.into_values() {
            self.cache.sources.jump(idx, &gain.end.at)?;
            self.uncut_upto(idx, gain.end.at.head.seq)?;
            if gain.end.floor.head.seq > Seq::ZERO {
                floors::note(&self.connection, idx, &gain.end.floor)?;
            }
        }
        self.cache.last = BundleSeq(place.0.saturating_sub(1));
        let sql = "UPDATE compaction SET last = max(last, ?1)";
        self.connection.prepare_cached(sql)?.execute((int(self.cache.last.0),))?;
        self.rebuild_uncounted(&late)?;
        self.end_hydration()
    }

    /// Makes a source ready to gain.
    fn ready<'a>(&mut self, gain: &'a Gain, old: Option<&Mark>) -> Result<Gaining<'a>, StoreError> {
        let end = &gain.end;
        let idx = self.cache.sources.enter(&self.connection, end.source, end.device, end.generation)?;
        let held = self.cache.sources.saved(idx)?;
        if held.head.seq != gain.after {
            return Err(StoreError::NotNext(Dot { source: end.source, seq: gain.after }));
        }
        let mut gaining = Gaining { gain, idx, theirs: Contexts::behind(&end.floor), ours: Contexts::default() };
        if gaining.has_hole() {
            gaining.ours = self.close_up(end.source, idx, old)?;
        } else {
            gaining.theirs.set(&held.context);
        }
        Ok(gaining)
    }

    /// Goes along what is here of a source whose watermark is about to be replaced; what was written behind that takes over
    /// what was noted there.
    fn close_up(&self, source: SourceId, idx: i64, old: Option<&Mark>) -> Result<Contexts, StoreError> {
        let mut ours = Contexts::behind(&old.cloned().unwrap_or_default());
        let mut after = 0;
        loop {
            let sql = "SELECT bundle_seq, seq, body FROM log WHERE source = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3";
            let mut statement = self.connection.prepare_cached(sql)?;
            let rows = statement.query_map((idx, after, PAGE), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
            let page: Vec<(i64, i64, Vec<u8>)> = rows.collect::<Result<_, _>>()?;
            let Some((_, last, _)) = page.last() else { return Ok(ours) };
            after = *last;
            for (place, seq, body) in page {
                let bundle = read(Dot { source, seq: Seq(uint(seq)) }, body.into())?;
                let difference = difference(&bundle);
                ours.enter(bundle.dot.seq, difference);
                if let Some(context) = ours.keep(difference) {
                    let sql = "UPDATE log SET body = ?2 WHERE bundle_seq = ?1";
                    self.connection.prepare_cached(sql)?.execute((place, rewritten(&bundle, &context)?))?;
                }
            }
        }
    }

    fn staged_after(&self, n: i64) -> Result<Vec<(i64, Bundle, Hash)>, StoreError> {
        let sql = "SELECT n, source, seq, hash, body FROM staged WHERE n > ?1 ORDER BY n LIMIT ?2";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query((n, PAGE))?;
        let mut page = Vec::new();
        while let Some(row) = rows.next()? {
            let dot = Dot { source: SourceId(row.get(1)?), seq: Seq(uint(row.get(2)?)) };
            page.push((row.get(0)?, read(dot, row.get::<_, Vec<u8>>(4)?.into())?, Hash(row.get(3)?)));
        }
        Ok(page)
    }

    /// Lets an entry join if it is new; says whether it came late.
    fn join_entry(
        &mut self,
        gaining: &mut Gaining<'_>,
        bundle: &Bundle,
        hash: Hash,
        place: BundleSeq,
        at: Millis,
    ) -> Result<bool, StoreError> {
        let (seq, difference) = (bundle.dot.seq, difference(bundle));
        let is_new = seq > gaining.gain.after && seq <= gaining.gain.end.at.head.seq;
        if is_new || gaining.has_hole() {
            gaining.theirs.enter(seq, difference);
        }
        if !is_new {
            return Ok(false);
        }
        let mut context = None;
        if gaining.has_hole() && seq <= gaining.gain.end.floor.head.seq {
            gaining.ours.set(gaining.theirs.full());
            context = gaining.ours.keep(difference);
        }
        let entry = Entry { source: gaining.idx, bundle, hash, context: context.as_deref(), place, at };
        self.enter_kept(&entry, gaining.theirs.full())
    }

    /// Puts what is kept of a bundle into the log and lets it take effect; where its source stands is another matter. Says whether it
    /// came after some that had seen it.
    pub(super) fn enter_kept(&mut self, entry: &Entry<'_>, context: &VersionVector) -> Result<bool, StoreError> {
        let bundle = entry.bundle;
        let body = match entry.context {
            Some(context) => Bytes::from(rewritten(bundle, context)?),
            None => bundle.bytes.clone(),
        };
        self.insert_log(entry.place, entry.source, bundle.dot.seq, entry.hash, entry.at, &body)?;
        let stamp = bundle.body.as_ref().map_or(Stamp::default(), |body| body.stamp);
        let origin = Origin { source: entry.source, dot: bundle.dot, stamp, context, place: entry.place };
        bundle.ops().iter().try_for_each(|op| self.take_effect(&origin, op))?;
        self.cache.sources.saw(entry.source, context)?;
        Ok(self.cache.sources.is_late(bundle.dot))
    }
}

fn read(dot: Dot, body: Bytes) -> Result<Bundle, StoreError> {
    // Of an entry only the body counts; its hash came with it.
    Bundle::rebuild(dot, Hash::default(), body).map_err(|_| StoreError::Damaged("a bundle is too large"))
}

fn difference(bundle: &Bundle) -> &[(SourceId, Head)] {
    bundle.body.as_ref().map_or(&[], |body| body.context.as_slice())
}

fn rewritten(bundle: &Bundle, context: &[(SourceId, Head)]) -> Result<Vec<u8>, StoreError> {
    let keep = vec![true; bundle.body.as_ref().map_or(0, |body| body.ops.len())];
    compact::residue(&bundle.bytes, &keep, context).ok_or(StoreError::Damaged("a bundle is unreadable"))
}
