//! What was done to a record, newest first.

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension};

use kinfolk_core::bundle::Bundle;
use kinfolk_core::history::Past;
use kinfolk_core::ids::{BundleSeq, DeviceId, Dot, Hash, Seq, SourceId};

use super::{MAX_PAGE, Reader};
use crate::store::convert::{int, uint};
use crate::store::{StoreError, floors};

/// One change of a record.
#[derive(Clone, Debug, PartialEq)]
pub struct PastChange {
    /// Its place in this device's order.
    pub bundle_seq: BundleSeq,
    /// Who made it.
    pub device: DeviceId,
    /// What it was.
    pub past: Past,
}

/// All that is known of a record's past.
#[derive(Clone, Debug, PartialEq)]
pub struct WholePast {
    /// Its changes, newest first.
    pub changes: Vec<PastChange>,
    /// The place of the last one.
    pub row_version: BundleSeq,
}

/// Most changes that are looked at to undo one of them.
pub const MAX_PAST: usize = 10_000;

impl Reader {
    /// Changes of the record before a place (of all, when none is given), newest first: at most `most`, and at most [`MAX_PAGE`].
    /// `None` when there never was such a record.
    pub fn history(
        &self,
        collection: &str,
        key: &str,
        before: Option<BundleSeq>,
        most: usize,
    ) -> Result<Option<Vec<PastChange>>, StoreError> {
        self.with(|connection| {
            let Some((row, version)) = row(connection, collection, key)? else { return Ok(None) };
            changes(connection, (collection, key), row, version, before, most.min(MAX_PAGE)).map(Some)
        })
    }

    /// The past of a record: one change more than [`MAX_PAST`] at most. `None` when there never was such a record.
    pub fn whole_past(&self, collection: &str, key: &str) -> Result<Option<WholePast>, StoreError> {
        self.with(|connection| {
            let Some((row, version)) = row(connection, collection, key)? else { return Ok(None) };
            let changes = changes(connection, (collection, key), row, version, None, MAX_PAST + 1)?;
            Ok(Some(WholePast { changes, row_version: BundleSeq(uint(version)) }))
        })
    }

    /// Whether something that the bundle replaced may have been compacted away.
    pub fn is_compacted(&self, dot: Dot) -> Result<bool, StoreError> {
        self.with(|connection| {
            let sql = "SELECT idx FROM source WHERE id = ?1";
            let idx: Option<i64> =
                connection.prepare_cached(sql)?.query_row((dot.source.0,), |row| row.get(0)).optional()?;
            let floor = idx.map(|idx| floors::of(connection, idx)).transpose()?;
            Ok(floor.is_some_and(|floor| dot.seq <= floor.head.seq))
        })
    }
}

/// The newest changes of a record, within a transaction.
pub(super) fn latest(
    connection: &Connection,
    collection: &str,
    key: &str,
    most: usize,
) -> Result<Vec<PastChange>, StoreError> {
    let Some((row, version)) = row(connection, collection, key)? else { return Ok(Vec::new()) };
    changes(connection, (collection, key), row, version, None, most)
}

fn row(connection: &Connection, collection: &str, key: &str) -> Result<Option<(i64, i64)>, StoreError> {
    let sql = "SELECT r.idx, r.version FROM row r JOIN collection c ON c.idx = r.collection
               WHERE c.name = ?1 AND r.key = ?2";
    let mut statement = connection.prepare_cached(sql)?;
    Ok(statement.query_row((collection, key), |row| Ok((row.get(0)?, row.get(1)?))).optional()?)
}

fn changes(
    connection: &Connection,
    name: (&str, &str),
    row: i64,
    version: i64,
    before: Option<BundleSeq>,
    most: usize,
) -> Result<Vec<PastChange>, StoreError> {
    let before = before.map_or(i64::MAX, |before| int(before.0));
    let sql = "SELECT bundle_seq FROM history WHERE row = ?1 AND bundle_seq < ?2 ORDER BY bundle_seq DESC";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query((row, before))?;
    let mut changes = Vec::new();
    while changes.len() < most {
        let Some(row) = rows.next()? else { break };
        changes.extend(change(connection, name, row.get(0)?)?);
    }
    let noted = connection.prepare_cached("SELECT 1 FROM history WHERE row = ?1")?.exists((row,))?;
    if !noted && version < before {
        changes.extend(change(connection, name, version)?);
    }
    Ok(changes)
}

/// What the bundle at a place did to the record. Nothing, when a compaction took that out of it.
fn change(connection: &Connection, name: (&str, &str), place: i64) -> Result<Option<PastChange>, StoreError> {
    let sql =
        "SELECT s.id, l.seq, s.device, l.body FROM log l JOIN source s ON s.idx = l.source WHERE l.bundle_seq = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query((place,))?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let dot = Dot { source: SourceId(row.get(0)?), seq: Seq(uint(row.get(1)?)) };
    // Only the body is wanted: what chain it stands in does not matter here.
    let bundle = Bundle::rebuild(dot, Hash::default(), Bytes::from(row.get::<_, Vec<u8>>(3)?));
    let bundle = bundle.map_err(|_| StoreError::Damaged("a bundle is too large"))?;
    let Some(body) = &bundle.body else { return Ok(None) };
    // Of several ops on one record the last one is what counts.
    let op = bundle.ops().iter().rfind(|op| (op.collection.as_str(), op.key.as_str()) == name);
    let device = DeviceId(row.get(2)?);
    let past = op.map(|op| Past { dot, stamp: body.stamp, op: op.clone() });
    Ok(past.map(|past| PastChange { bundle_seq: BundleSeq(uint(place)), device, past }))
}
