//! Compaction of the log, by the rule of [`kinfolk_core::compact`].
//!
//! 1. What lies above the watermark says which entities it concerns, and so do ops that not every sibling understands, wherever they
//!    lie: whoever comes to understand them finds all that such an entity was. Of each only eight bytes of its name's hash are remembered: two
//!    that agree in them make an op stay that could have gone, never the other way round.
//! 2. The log is gone over in order. Of each bundle at or below its source's watermark the ops are asked for in the state: does
//!    something of it still count? What is left is written back, shorter or not at all.
//! 3. The watermark of each source is noted with chain hash, stamp and context.
//!
//! All of it in the open transaction: after a crash there is either all of it or nothing. The state is only read, so digests, pages and
//! searches cannot tell that it happened. It takes as long as reading the log and looking up each op, some ten microseconds an op.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension};

use kinfolk_core::bundle::Bundle;
use kinfolk_core::clock::Stamp;
use kinfolk_core::compact::{self, Contexts};
use kinfolk_core::digest;
use kinfolk_core::ids::{Dot, Hash, Seq, SourceId};
use kinfolk_core::op::{MESSAGE_COLLECTION, Meaning, Op};
use kinfolk_core::snapshot::Mark;
use kinfolk_core::step::Compaction;
use kinfolk_core::vector::{Head, VersionVector};

use super::convert::{int, uint};
use super::level::Level;
use super::reader::Span;
use super::{Reader, Store, StoreError, floors, history};

/// What a compaction takes away.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Compacted {
    /// Bundles of which nothing is left.
    pub bundles: u64,
    /// Bundles that are left with fewer ops.
    pub shortened: u64,
    /// Ops that go.
    pub ops: u64,
    /// Bytes of bodies that go.
    pub bytes: u64,
    /// Of the ops, those that broke a rule.
    pub(super) invalid: u64,
}

/// What becomes of a bundle that does not stay as it is.
enum Fate {
    Gone,
    Left(Vec<u8>),
}

/// A bundle of the log.
struct Row {
    place: i64,
    source: i64,
    seq: Seq,
    hash: Hash,
    body: Bytes,
}

/// Rows read at a time: between two reads their bundles are changed.
const PAGE: i64 = 256;

impl Store {
    /// Compacts, in the open transaction.
    pub(super) fn compact(&mut self, compaction: &Compaction) -> Result<(), StoreError> {
        let connection = &self.connection;
        self.settle_heads(&compaction.watermark)?;
        let mut upto = 0;
        let (compacted, marks) = go_over(connection, compaction, |place, fate| {
            match fate {
                Fate::Gone => {
                    connection.prepare_cached("DELETE FROM log WHERE bundle_seq = ?1")?.execute((place,))?;
                }
                Fate::Left(body) => {
                    let sql = "UPDATE log SET body = ?2 WHERE bundle_seq = ?1";
                    connection.prepare_cached(sql)?.execute((place, body))?;
                }
            }
            upto = place;
            Ok(())
        })?;
        for (source, mark) in marks {
            let idx = self.cache.sources.idx(source).ok_or(StoreError::Damaged("a source is gone"))?;
            floors::note(connection, idx, &mark)?;
        }
        let sql = "UPDATE compaction SET times = times + 1, upto = max(upto, ?1), last = max(last, ?2)";
        connection.prepare_cached(sql)?.execute((upto, int(self.cache.last.0)))?;
        self.forget_revisions()?;
        history::forget_gone(connection)?;
        self.cache.level.discount(compacted.invalid);
        self.compacted = compacted;
        Ok(())
    }

    /// Of the signed heads below the watermark the last one stays: there the source ends if its device is removed.
    fn settle_heads(&self, watermark: &VersionVector) -> Result<(), StoreError> {
        for (source, head) in watermark.iter() {
            let Some(idx) = self.cache.sources.idx(source) else { continue };
            let sql = "DELETE FROM head WHERE source = ?1 AND seq <= ?3 AND seq IS NOT (
                         SELECT max(h.seq) FROM head h WHERE h.source = ?1 AND h.seq <= ?3 AND (
                           EXISTS (SELECT 1 FROM log l WHERE l.source = ?2 AND l.seq = h.seq AND l.hash = h.hash)
                           OR EXISTS (SELECT 1 FROM floor f WHERE f.source = ?2 AND f.seq >= h.seq)))";
            self.connection.prepare_cached(sql)?.execute((source.0, idx, int(head.seq.0)))?;
        }
        Ok(())
    }

    /// What the last compaction of this process took away.
    pub fn last_compaction(&self) -> Compacted {
        self.compacted
    }

    /// The chain hashes at those places, as far as the log has them.
    pub fn chain(&self, places: &[Dot]) -> Result<BTreeMap<Dot, Hash>, StoreError> {
        let sql = "SELECT l.hash FROM log l JOIN source s ON s.idx = l.source WHERE s.id = ?1 AND l.seq = ?2
                   UNION ALL
                   SELECT f.hash FROM floor f JOIN source s ON s.idx = f.source WHERE s.id = ?1 AND f.seq = ?2";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut chain = BTreeMap::new();
        for dot in places {
            let found = statement.query_row((dot.source.0, int(dot.seq.0)), |row| row.get(0)).optional()?;
            chain.extend(found.map(|hash| (*dot, Hash(hash))));
        }
        Ok(chain)
    }
}

impl Reader {
    /// What a compaction would take away now.
    pub fn would_compact(&self, compaction: &Compaction) -> Result<Compacted, StoreError> {
        self.during(Span::Long, |connection| Ok(go_over(connection, compaction, |_, _| Ok(()))?.0))
    }
}

/// Goes over the log; `perform` is told of every bundle that does not stay as it is. Gives the watermarks that moved.
fn go_over(
    connection: &Connection,
    wanted: &Compaction,
    mut perform: impl FnMut(i64, Fate) -> Result<(), StoreError>,
) -> Result<(Compacted, BTreeMap<SourceId, Mark>), StoreError> {
    let watermark = &wanted.watermark;
    let (old, level) = (floors::load(connection)?, Level::load(connection)?.ops.min(wanted.op_level));
    let floor = |source| old.get(&source).cloned().unwrap_or_default();
    let mut statement = connection.prepare_cached("SELECT idx, id FROM source")?;
    let sources = statement.query_map((), |row| Ok((row.get(0)?, SourceId(row.get(1)?))))?;
    let sources: BTreeMap<i64, SourceId> = sources.collect::<Result<_, _>>()?;
    let limit = |source| watermark.seq(source).max(floor(source).head.seq);
    let limits: BTreeMap<i64, Seq> = sources.iter().map(|(idx, source)| (*idx, limit(*source))).collect();
    let mut above = touched_above(connection, &limits)?;
    above.extend(touched_by_unknown(connection, level)?);

    let mut along: BTreeMap<i64, Contexts> =
        sources.iter().map(|(idx, source)| (*idx, Contexts::behind(&floor(*source)))).collect();
    let mut stamps: BTreeMap<i64, Stamp> = BTreeMap::new();
    let mut marks = BTreeMap::new();
    let mut compaction = Compacted::default();
    let mut after = i64::MIN;
    loop {
        let page = page(connection, after)?;
        let Some(last) = page.last() else { return Ok((compaction, marks)) };
        after = last.place;
        for row in page {
            let (Some(source), Some(limit)) = (sources.get(&row.source).copied(), limits.get(&row.source)) else {
                return Err(StoreError::Damaged("a bundle's source is not there"));
            };
            if row.seq > *limit {
                continue;
            }
            let dot = Dot { source, seq: row.seq };
            let bundle = Bundle::rebuild(dot, Hash::default(), row.body.clone());
            let bundle = bundle.map_err(|_| StoreError::Damaged("a bundle is too large"))?;
            let difference = bundle.body.as_ref().map_or(&[][..], |body| body.context.as_slice());
            let contexts = along.entry(row.source).or_default();
            contexts.enter(row.seq, difference);
            let stamp = stamps.entry(row.source).or_insert_with(|| floor(source).stamp);
            let written = bundle.body.as_ref().map(|body| body.stamp).filter(|stamp| stamp.is_valid());
            *stamp = written.map_or(*stamp, |written| written.max(*stamp));
            if row.seq == *limit && row.seq > floor(source).head.seq {
                let head = Head { seq: row.seq, hash: row.hash };
                marks.insert(source, Mark { head, stamp: *stamp, context: contexts.full().clone() });
            }

            let all = bundle.body.as_ref().map_or(0, |body| body.ops.len());
            let mut keep = Vec::with_capacity(all);
            for op in bundle.ops() {
                let meaning = op.meaning_at(level);
                let counts = counts(connection, row.source, row.seq, op, &meaning)?;
                compaction.invalid += u64::from(matches!(meaning, Meaning::Invalid(_)));
                keep.push(compact::stays(&meaning, counts, above.contains(&short_name(op))));
            }
            keep.resize(all, false);
            let left = keep.iter().filter(|stays| **stays).count();
            compaction.ops += count(all - left);
            if left == 0 {
                compaction.bundles += 1;
                compaction.bytes += count(row.body.len());
                perform(row.place, Fate::Gone)?;
                continue;
            }
            let moved = contexts.keep(difference);
            if left == all && moved.is_none() {
                continue;
            }
            let body = compact::residue(&row.body, &keep, moved.as_deref().unwrap_or(difference));
            let body = body.ok_or(StoreError::Damaged("a bundle is unreadable"))?;
            compaction.shortened += u64::from(left < all);
            compaction.bytes += count(row.body.len().saturating_sub(body.len()));
            perform(row.place, Fate::Left(body))?;
        }
    }
}

fn page(connection: &Connection, after: i64) -> Result<Vec<Row>, StoreError> {
    let sql = "SELECT bundle_seq, source, seq, hash, body FROM log WHERE bundle_seq > ?1 ORDER BY bundle_seq LIMIT ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map((after, PAGE), |row| {
        let (seq, hash) = (Seq(uint(row.get(2)?)), Hash(row.get(3)?));
        Ok(Row { place: row.get(0)?, source: row.get(1)?, seq, hash, body: Bytes::from(row.get::<_, Vec<u8>>(4)?) })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Short names of the entities that bundles above the limits concern.
fn touched_above(connection: &Connection, limits: &BTreeMap<i64, Seq>) -> Result<BTreeSet<u64>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT body FROM log WHERE source = ?1 AND seq > ?2")?;
    let mut touched = BTreeSet::new();
    for (source, limit) in limits {
        let mut rows = statement.query((source, int(limit.0)))?;
        while let Some(row) = rows.next()? {
            let bundle = ops_of(row.get_ref(0)?.as_blob().unwrap_or_default())?;
            touched.extend(bundle.ops().iter().map(short_name));
        }
    }
    Ok(touched)
}

/// Short names of the entities that ops beyond `level` concern.
fn touched_by_unknown(connection: &Connection, level: u32) -> Result<BTreeSet<u64>, StoreError> {
    let mut touched = BTreeSet::new();
    let stored = Level::load(connection)?;
    if stored.ops == level && stored.idle.is_some_and(|idle| idle.unknown == 0) {
        return Ok(touched);
    }
    let mut statement = connection.prepare_cached("SELECT body FROM log")?;
    let mut rows = statement.query(())?;
    while let Some(row) = rows.next()? {
        let unknown = |op: &&Op| op.meaning_at(level) == Meaning::Unknown;
        touched.extend(
            ops_of(row.get_ref(0)?.as_blob().unwrap_or_default())?.ops().iter().filter(unknown).map(short_name),
        );
    }
    Ok(touched)
}

/// A body to look for ops in: where it stands does not matter.
fn ops_of(body: &[u8]) -> Result<Bundle, StoreError> {
    let dot = Dot { source: SourceId::default(), seq: Seq(1) };
    Bundle::rebuild(dot, Hash::default(), Bytes::copy_from_slice(body))
        .map_err(|_| StoreError::Damaged("a bundle is too large"))
}

fn short_name(op: &Op) -> u64 {
    let Hash(name) = digest::entity(&op.collection, &op.key);
    let [a, b, c, d, e, f, g, h, ..] = name;
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// Whether the state still holds something of an op.
fn counts(connection: &Connection, source: i64, seq: Seq, op: &Op, meaning: &Meaning) -> Result<bool, StoreError> {
    let seq = int(seq.0);
    match meaning {
        Meaning::RecordPut | Meaning::RecordDelete => {
            let sql = "SELECT 1 FROM collection c JOIN row r ON r.collection = c.idx JOIN write w ON w.row = r.idx
                       WHERE c.name = ?1 AND r.key = ?2 AND w.source = ?3 AND w.seq = ?4";
            Ok(connection.prepare_cached(sql)?.exists((&op.collection, &op.key, source, seq))?)
        }
        // Of the posts that lost, those are kept that say something else: they are counted.
        Meaning::MessagePost(_) => {
            let sql = "SELECT 1 FROM message WHERE id = ?1 AND ((source = ?3 AND seq = ?4)
                         OR CASE WHEN stub IS NULL THEN payload IS NOT ?2 ELSE substr(stub, 1, 32) IS NOT ?5 END)";
            let content = Hash::of(&op.payload);
            Ok(connection.prepare_cached(sql)?.exists((&op.key, &op.payload, source, seq, content.0))?)
        }
        // Which content a lost one had can be told, but seldom matters: it stays.
        Meaning::MessageStub(_) => {
            Ok(connection.prepare_cached("SELECT 1 FROM message WHERE id = ?1")?.exists((&op.key,))?)
        }
        Meaning::MessageStatus(level, _) => {
            let sql = "SELECT 1 FROM message m JOIN status t ON t.message = m.idx
                       WHERE m.id = ?1 AND t.level = ?2 AND t.source = ?3 AND t.seq = ?4";
            Ok(connection.prepare_cached(sql)?.exists((&op.key, level.number(), source, seq))?)
        }
        Meaning::MessageDelete(_) => {
            let sql = "SELECT 1 FROM tombstone WHERE entity = ?1 AND source = ?2 AND seq = ?3";
            let entity = digest::entity(MESSAGE_COLLECTION, &op.key);
            Ok(connection.prepare_cached(sql)?.exists((entity.0, source, seq))?)
        }
        Meaning::Unknown | Meaning::Invalid(_) => Ok(false),
    }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
