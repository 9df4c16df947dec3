//! The kept log, chunk by chunk, for a sibling that catches up.

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension};

use kinfolk_core::clock::Stamp;
use kinfolk_core::ids::{BundleSeq, DeviceId, Hash, Seq, SourceId};
use kinfolk_core::parcel::SignedHead;
use kinfolk_core::snapshot::{self, Ask, CHUNK_TARGET, Chunk, End, Kept, MAX_ENDS_BYTES, MAX_ENTRIES, Mark, recent};
use kinfolk_core::vector::{Head, VersionVector};

use super::Reader;
use crate::store::convert::{int, uint, vector_from_bytes};
use crate::store::{StoreError, floors};

/// What an entry costs beside its body: source, hash, position and framing.
const ENTRY_OVERHEAD: usize = 72;
/// What an entry of a context costs, and an end beside its contexts.
const CONTEXT_ENTRY: usize = 64;
const END_OVERHEAD: usize = 320;

impl Reader {
    /// The chunk that was asked for. Asked for a snapshot that is no more, it is the first chunk of the present one. The last chunk
    /// carries where all sources stand; when its entries leave no room for that, there is one more.
    pub fn chunk(&self, ask: Ask) -> Result<Chunk, StoreError> {
        self.with(|connection| chunk(connection, ask, CHUNK_TARGET))
    }
}

/// The chunk that was asked for; it has no more than `target` bytes of entries, but at least one entry.
pub(in crate::store) fn chunk(connection: &Connection, ask: Ask, target: usize) -> Result<Chunk, StoreError> {
    let sql = "SELECT times, (SELECT coalesce(max(bundle_seq), 0) FROM log),
               coalesce((SELECT generation FROM device), 0) FROM compaction";
    let (times, last, generation): (i64, i64, i64) =
        connection.prepare_cached(sql)?.query_row((), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let snapshot = snapshot::number(uint(generation), uint(times));
    let goes_on = ask.snapshot == snapshot && ends_in(connection, ask)?;
    let (after, anew) = if goes_on { (ask.after, false) } else { (BundleSeq(0), ask.after > BundleSeq(0)) };
    let mut chunk = Chunk { snapshot, after, upto: after, last: BundleSeq(uint(last)), anew, ..Chunk::default() };
    let sql = "SELECT l.bundle_seq, s.id, l.seq, l.hash, l.body FROM log l JOIN source s ON s.idx = l.source
               WHERE l.bundle_seq > ?1 ORDER BY l.bundle_seq";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query((int(after.0),))?;
    let floors = if ask.recent_us.is_some() { floors::watermark(connection)? } else { VersionVector::default() };
    let mut bytes = 0;
    while chunk.entries.len() < MAX_ENTRIES {
        let Some(row) = rows.next()? else {
            let ends = ends(connection)?;
            let size: usize = ends.iter().map(size).sum();
            if chunk.entries.is_empty() || bytes + size <= MAX_ENDS_BYTES {
                chunk.ends = ends;
            }
            break;
        };
        let body = Bytes::copy_from_slice(row.get_ref(4)?.as_blob().unwrap_or_default());
        let (source, seq) = (SourceId(row.get(1)?), Seq(uint(row.get(2)?)));
        let mut kept = Kept { source, seq, hash: Hash(row.get(3)?), body };
        let since_us = ask.recent_us.filter(|_| seq <= floors.seq(source));
        if let Some(short) = since_us.and_then(|since_us| recent(&kept, since_us)) {
            kept.body = short;
        }
        if bytes + kept.body.len() + ENTRY_OVERHEAD > target && !chunk.entries.is_empty() {
            break;
        }
        bytes += kept.body.len() + ENTRY_OVERHEAD;
        chunk.upto = BundleSeq(uint(row.get(0)?));
        chunk.entries.push(kept);
    }
    Ok(chunk)
}

/// Whether what was staged of this order so far ends in the bundle that it should.
fn ends_in(connection: &Connection, ask: Ask) -> Result<bool, StoreError> {
    let Some(tail) = ask.tail else { return Ok(true) };
    let sql = "SELECT hash FROM log WHERE bundle_seq <= ?1 ORDER BY bundle_seq DESC LIMIT 1";
    let mut statement = connection.prepare_cached(sql)?;
    let here: Option<[u8; Hash::LEN]> = statement.query_row((int(ask.after.0),), |row| row.get(0)).optional()?;
    Ok(here == Some(tail.0))
}

fn size(end: &End) -> usize {
    END_OVERHEAD + (end.at.context.len() + end.floor.context.len()) * CONTEXT_ENTRY
}

/// Where all sources stand.
fn ends(connection: &Connection) -> Result<Vec<End>, StoreError> {
    let mut floors = floors::load(connection)?;
    let sql = "SELECT id, device, generation, seq, hash, stamp, context FROM source WHERE seq > 0 ORDER BY idx";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(())?;
    let mut ends = Vec::new();
    while let Some(row) = rows.next()? {
        let (source, device) = (SourceId(row.get(0)?), DeviceId(row.get(1)?));
        let head = Head { seq: Seq(uint(row.get(3)?)), hash: Hash(row.get(4)?) };
        let context = vector_from_bytes(row.get_ref(6)?.as_blob().unwrap_or_default())?;
        ends.push(End {
            source,
            device,
            generation: uint(row.get(2)?),
            at: Mark { head, stamp: Stamp(uint(row.get(5)?)), context },
            floor: floors.remove(&source).unwrap_or_default(),
            signed: signed_head(connection, source, device, head.seq)?,
        });
    }
    Ok(ends)
}

/// The last stored head of a source that its device signed, of the history that is held.
fn signed_head(
    connection: &Connection,
    source: SourceId,
    device: DeviceId,
    upto: Seq,
) -> Result<Option<SignedHead>, StoreError> {
    let sql = "SELECT h.seq, h.hash, h.signature FROM head h JOIN source s ON s.id = h.source
               WHERE h.source = ?1 AND h.device = ?2 AND h.seq <= ?3 AND (
                 EXISTS (SELECT 1 FROM log l WHERE l.source = s.idx AND l.seq = h.seq AND l.hash = h.hash)
                 OR EXISTS (SELECT 1 FROM floor f WHERE f.source = s.idx AND f.seq >= h.seq))
               ORDER BY h.seq DESC LIMIT 1";
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement.query_row((source.0, device.0, int(upto.0)), |row| {
        let head = Head { seq: Seq(uint(row.get(0)?)), hash: Hash(row.get(1)?) };
        Ok(SignedHead { device, source, head, signature: Bytes::from(row.get::<_, Vec<u8>>(2)?) })
    });
    Ok(found.optional()?)
}
