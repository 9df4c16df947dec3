//! Sources that end earlier than they were applied, because their device was removed or because they have two histories.
//!
//! What lies beyond the end leaves the log and is kept aside, and every record and message that it named is made anew from what
//! remains ([`super::rebuild`]). All in the transaction that takes the removal or the evidence in. Apps that have seen them are told
//! ([`super::revision`]).

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use kinfolk_core::bundle::Bundle;
use kinfolk_core::ids::{DeviceId, Dot, Hash, Seq, SourceId};
use kinfolk_core::op::{Meaning, Op};
use kinfolk_core::parcel::{Ended, Run, SignedHead};
use kinfolk_core::roster::{End, MAX_ENDS};
use kinfolk_core::snapshot::Mark;
use kinfolk_core::vector::Head;

use super::convert::{int, uint};
use super::rebuild::Entity;
use super::{Store, StoreError, evidence, floors};

impl Store {
    /// Takes `source` back to `end`.
    pub(super) fn cut(&mut self, source: SourceId, end: Head) -> Result<(), StoreError> {
        let place = self.take_place()?;
        let Some(idx) = self.cache.sources.idx(source) else { return Ok(()) };
        let floor = floors::of(&self.connection, idx)?;
        if end.seq < floor.head.seq {
            return Err(StoreError::Damaged("a source was to end before what is compacted of it"));
        }
        let (mut entities, mut ops) = (BTreeSet::new(), Vec::new());
        self.bodies(idx, end.seq, LAST, |bundle| ops.extend_from_slice(bundle.ops()))?;
        let level = &mut self.cache.level;
        for op in ops {
            let meaning = op.meaning_at(level.ops);
            level.idle.iter_mut().for_each(|idle| idle.discount(&meaning));
            if !matches!(meaning, Meaning::Unknown | Meaning::Invalid(_)) {
                entities.insert(Entity::of(&op));
            }
        }
        let aside = "INSERT OR REPLACE INTO cut_bundle (bundle_seq, source, seq, hash, at, body)
                     SELECT bundle_seq, source, seq, hash, at, body FROM log WHERE source = ?1 AND seq > ?2";
        self.connection.prepare_cached(aside)?.execute((idx, int(end.seq.0)))?;
        let gone = "DELETE FROM log WHERE source = ?1 AND seq > ?2";
        self.connection.prepare_cached(gone)?.execute((idx, int(end.seq.0)))?;
        // The log lost something in its middle: a snapshot of it that is under way begins anew.
        self.connection.prepare_cached("UPDATE compaction SET times = times + 1")?.execute(())?;
        self.cache.any_cut = true;

        let (mut stamp, mut context) = (floor.stamp, floor.context);
        self.bodies(idx, floor.head.seq, end.seq, |bundle| {
            let Some(body) = &bundle.body else { return };
            stamp = if body.stamp.is_valid() { body.stamp } else { stamp };
            context.join(&body.context.iter().copied().collect());
        })?;
        // Of two histories that part before the end, this device may hold the other one.
        let dot = Dot { source, seq: end.seq };
        let hash = self.chain(&[dot])?.get(&dot).copied().unwrap_or(end.hash);
        self.cache.sources.jump(idx, &Mark { head: Head { hash, ..end }, stamp, context })?;
        self.tell_revised(place, &entities)?;
        self.rebuild_uncounted(&entities)
    }

    /// After a bundle that came late, whose author's words others had seen before it was here: what it says of records is put into its
    /// causal place.
    pub(super) fn settle_late(&mut self, ops: &[Op]) -> Result<(), StoreError> {
        self.rebuild_uncounted(&Entity::of_records(ops).collect())
    }

    /// Makes entities anew whose ops are counted already.
    pub(super) fn rebuild_uncounted(&mut self, entities: &BTreeSet<Entity>) -> Result<(), StoreError> {
        let idle = self.cache.level.idle.take();
        self.rebuild(entities)?;
        self.cache.level.idle = idle;
        Ok(())
    }

    /// A source of a removed device of which nothing counts gets its row: bundles that name it wait for nothing.
    pub(super) fn ended(&mut self, ended: Ended) -> Result<(), StoreError> {
        self.cache.sources.enter(&self.connection, ended.source, ended.device, 0).map(drop)
    }

    /// Bundles that were cut count again, up to `upto`: what is kept of them is in the log.
    pub(super) fn uncut_upto(&self, source: i64, upto: Seq) -> Result<(), StoreError> {
        if self.cache.any_cut {
            // Of two histories the other one stays aside.
            let sql = "DELETE FROM cut_bundle WHERE source = ?1 AND seq <= ?2 AND (
                         EXISTS (SELECT 1 FROM log l
                                 WHERE l.source = ?1 AND l.seq = cut_bundle.seq AND l.hash = cut_bundle.hash)
                         OR NOT EXISTS (SELECT 1 FROM evidence e JOIN source s ON s.id = e.source WHERE s.idx = ?1))";
            self.connection.prepare_cached(sql)?.execute((source, int(upto.0)))?;
        }
        Ok(())
    }

    /// A bundle that was cut is in the log again.
    pub(super) fn uncut(&self, source: i64, bundle: &Bundle) -> Result<(), StoreError> {
        if self.cache.any_cut {
            let sql = "DELETE FROM cut_bundle WHERE source = ?1 AND seq = ?2 AND hash = ?3";
            self.connection.prepare_cached(sql)?.execute((source, int(bundle.dot.seq.0), bundle.hash.0))?;
        }
        Ok(())
    }

    /// The last signed head held of each source of `device`: where its sources end when it is removed now. Evidence ends a source no later
    /// than its runs do. `None` when it wrote under more sources than a removal can name.
    pub fn ends_of(&self, device: DeviceId) -> Result<Option<Vec<End>>, StoreError> {
        let sql = "SELECT h.source, max(h.seq), h.hash, h.signature FROM head h
                   JOIN source s ON s.id = h.source AND s.device = h.device
                   WHERE h.device = ?1 AND (
                     EXISTS (SELECT 1 FROM log l WHERE l.source = s.idx AND l.seq = h.seq AND l.hash = h.hash)
                     OR EXISTS (SELECT 1 FROM floor f WHERE f.source = s.idx AND f.seq >= h.seq))
                   GROUP BY h.source ORDER BY h.source";
        let mut statement = self.connection.prepare_cached(sql)?;
        let ends = statement.query_map((device.0,), |row| {
            let head = Head { seq: Seq(uint(row.get(1)?)), hash: Hash(row.get(2)?) };
            Ok(End { source: SourceId(row.get(0)?), head, signature: Bytes::from(row.get::<_, Vec<u8>>(3)?) })
        })?;
        let mut ends: BTreeMap<SourceId, End> =
            ends.map(|end| end.map(|end: End| (end.source, end))).collect::<Result<_, _>>()?;
        for proof in evidence::by(&self.connection, device)? {
            let signed = proof.runs().first().and_then(Run::signed_head);
            ends.extend(signed.map(|signed| {
                let SignedHead { source, head, signature, .. } = signed;
                (source, End { source, head, signature })
            }));
        }
        let ends: Vec<End> = ends.into_values().collect();
        Ok((ends.len() <= MAX_ENDS).then_some(ends))
    }

    /// Goes over the bundles of a source after a position and up to another, in order.
    pub(super) fn bodies(
        &self,
        idx: i64,
        after: Seq,
        upto: Seq,
        mut take: impl FnMut(Bundle),
    ) -> Result<(), StoreError> {
        let sql = "SELECT seq, body FROM log WHERE source = ?1 AND seq > ?2 AND seq <= ?3 ORDER BY seq";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query((idx, int(after.0), int(upto.0)))?;
        while let Some(row) = rows.next()? {
            let dot = self.cache.sources.dot(idx, row.get(0)?)?;
            // Only the body is wanted: what chain it stands in does not matter here.
            let bundle = Bundle::rebuild(dot, Hash::default(), Bytes::from(row.get::<_, Vec<u8>>(1)?));
            take(bundle.map_err(|_| StoreError::Damaged("a bundle is too large"))?);
        }
        Ok(())
    }
}

/// No position lies beyond what the database can number.
const LAST: Seq = Seq(i64::MAX.unsigned_abs());
