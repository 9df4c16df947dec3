//! Up to where each source was compacted.

use std::collections::BTreeMap;

use rusqlite::Connection;

use kinfolk_core::clock::Stamp;
use kinfolk_core::ids::{Hash, Seq, SourceId};
use kinfolk_core::snapshot::Mark;
use kinfolk_core::vector::{Head, VersionVector};

use super::StoreError;
use super::convert::{int, uint, vector_from_bytes, vector_to_bytes};

/// The watermarks of the sources that were compacted.
pub(super) fn load(connection: &Connection) -> Result<BTreeMap<SourceId, Mark>, StoreError> {
    let sql = "SELECT s.id, f.seq, f.hash, f.stamp, f.context FROM floor f JOIN source s ON s.idx = f.source";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(())?;
    let mut floors = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let head = Head { seq: Seq(uint(row.get(1)?)), hash: Hash(row.get(2)?) };
        let context = vector_from_bytes(row.get_ref(4)?.as_blob().unwrap_or_default())?;
        floors.insert(SourceId(row.get(0)?), Mark { head, stamp: Stamp(uint(row.get(3)?)), context });
    }
    Ok(floors)
}

/// The watermark of the source with that number; position 0 when it was never compacted.
pub(super) fn of(connection: &Connection, source: i64) -> Result<Mark, StoreError> {
    let sql = "SELECT seq, hash, stamp, context FROM floor WHERE source = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query((source,))?;
    let Some(row) = rows.next()? else { return Ok(Mark::default()) };
    let head = Head { seq: Seq(uint(row.get(0)?)), hash: Hash(row.get(1)?) };
    let context = vector_from_bytes(row.get_ref(3)?.as_blob().unwrap_or_default())?;
    Ok(Mark { head, stamp: Stamp(uint(row.get(2)?)), context })
}

/// The same of all as a vector.
pub(super) fn watermark(connection: &Connection) -> Result<VersionVector, StoreError> {
    Ok(load(connection)?.into_iter().map(|(source, mark)| (source, mark.head)).collect())
}

/// Notes the watermark of the source with that number.
pub(super) fn note(connection: &Connection, source: i64, mark: &Mark) -> Result<(), StoreError> {
    let sql = "INSERT OR REPLACE INTO floor (source, seq, hash, stamp, context) VALUES (?1, ?2, ?3, ?4, ?5)";
    let (seq, hash, stamp) = (int(mark.head.seq.0), mark.head.hash.0, int(mark.stamp.0));
    connection.prepare_cached(sql)?.execute((source, seq, hash, stamp, vector_to_bytes(&mark.context)))?;
    Ok(())
}

/// Up to where nothing can be taken back.
pub(super) fn standing(connection: &Connection) -> Result<VersionVector, StoreError> {
    let mut standing = watermark(connection)?;
    let mut statement = connection.prepare_cached("SELECT source, seq, hash FROM standing")?;
    let mut rows = statement.query(())?;
    while let Some(row) = rows.next()? {
        standing.advance(SourceId(row.get(0)?), Head { seq: Seq(uint(row.get(1)?)), hash: Hash(row.get(2)?) });
    }
    Ok(standing)
}

/// Notes up to where nothing of a source can be taken back.
pub(super) fn stands(connection: &Connection, source: SourceId, head: Head) -> Result<(), StoreError> {
    let sql = "INSERT OR REPLACE INTO standing (source, seq, hash) VALUES (?1, ?2, ?3)";
    connection.prepare_cached(sql)?.execute((source.0, int(head.seq.0), head.hash.0))?;
    Ok(())
}
