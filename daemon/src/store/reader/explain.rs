//! Which bundles made what is stored under a name.

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension};

use kinfolk_core::bundle::Bundle;
use kinfolk_core::clock::Stamp;
use kinfolk_core::digest;
use kinfolk_core::ids::{BundleSeq, DeviceId, Dot, Hash, Millis, Seq, SourceId};
use kinfolk_core::op::{MESSAGE_COLLECTION, Op};

use super::Reader;
use crate::store::StoreError;
use crate::store::convert::{int, uint};

/// What a name stands for, with the bundles behind it.
#[derive(Clone, Debug, PartialEq)]
pub struct Explained {
    /// The record or message; `None` when the name is that of a bundle.
    pub entity: Option<(String, String)>,
    /// In order of apply, what waits last: at most [`MAX_EXPLAINED`].
    pub bundles: Vec<TracedBundle>,
}

/// A bundle that is here.
#[derive(Clone, Debug, PartialEq)]
pub struct TracedBundle {
    /// Its name.
    pub dot: Dot,
    /// Who wrote it.
    pub device: DeviceId,
    /// When it was written; zero when its body is unreadable.
    pub stamp: Stamp,
    /// Its place and time here; `None` while it waits for an earlier one.
    pub committed: Option<(BundleSeq, Millis)>,
    /// What it did: of a record or message only what it did to that; at most [`MAX_OPS`].
    pub ops: Vec<Op>,
}

/// Most bundles of one explanation: the newest.
const MAX_EXPLAINED: usize = 64;
/// Most ops of one bundle in it.
const MAX_OPS: usize = 32;

impl Reader {
    /// The bundle that is called so.
    pub fn explain_bundle(&self, dot: Dot) -> Result<Option<Explained>, StoreError> {
        self.with(|connection| {
            let found = bundle(connection, dot, None)?;
            Ok(found.map(|bundle| Explained { entity: None, bundles: vec![bundle] }))
        })
    }

    /// What is known under `name`: a message by its id, else a record as `collection/key`. `None` when there is nothing of that name.
    pub fn explain(&self, name: &str) -> Result<Option<Explained>, StoreError> {
        self.with(|connection| {
            let message = message(connection, name)?;
            if !message.is_empty() {
                return explained(connection, (MESSAGE_COLLECTION, name), message).map(Some);
            }
            // Both names may have slashes in them.
            for (at, _) in name.match_indices('/') {
                let (collection, key) = (name.get(..at).unwrap_or_default(), name.get(at + 1..).unwrap_or_default());
                let record = record(connection, collection, key)?;
                if !record.is_empty() {
                    return explained(connection, (collection, key), record).map(Some);
                }
            }
            Ok(None)
        })
    }
}

fn explained(connection: &Connection, entity: (&str, &str), dots: Vec<Dot>) -> Result<Explained, StoreError> {
    let mut bundles = Vec::with_capacity(dots.len());
    for dot in dots {
        bundles.extend(bundle(connection, dot, Some(entity))?);
    }
    bundles.sort_by_key(|bundle| bundle.committed.map_or(u64::MAX, |(BundleSeq(place), _)| place));
    let surplus = bundles.len().saturating_sub(MAX_EXPLAINED);
    bundles.drain(..surplus);
    Ok(Explained { entity: Some((entity.0.to_owned(), entity.1.to_owned())), bundles })
}

/// The writes behind what is stored of a message.
fn message(connection: &Connection, id: &str) -> Result<Vec<Dot>, StoreError> {
    let sql = "SELECT s.id, m.seq FROM message m JOIN source s ON s.idx = m.source WHERE m.id = ?1
               UNION SELECT s.id, t.seq FROM status t JOIN message m ON m.idx = t.message
                 JOIN source s ON s.idx = t.source WHERE m.id = ?1
               UNION SELECT s.id, t.seq FROM tombstone t JOIN source s ON s.idx = t.source WHERE t.entity = ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let dots = statement.query_map((id, digest::entity(MESSAGE_COLLECTION, id).0), read_dot)?;
    Ok(dots.collect::<Result<_, _>>()?)
}

/// The writes behind what is stored of a record.
fn record(connection: &Connection, collection: &str, key: &str) -> Result<Vec<Dot>, StoreError> {
    let sql = "SELECT DISTINCT s.id, w.seq FROM collection c JOIN row r ON r.collection = c.idx
               JOIN write w ON w.row = r.idx JOIN source s ON s.idx = w.source WHERE c.name = ?1 AND r.key = ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let dots = statement.query_map((collection, key), read_dot)?;
    Ok(dots.collect::<Result<_, _>>()?)
}

fn read_dot(row: &rusqlite::Row<'_>) -> rusqlite::Result<Dot> {
    Ok(Dot { source: SourceId(row.get(0)?), seq: Seq(uint(row.get(1)?)) })
}

/// The bundle of that name, in the log or waiting.
fn bundle(connection: &Connection, dot: Dot, entity: Option<(&str, &str)>) -> Result<Option<TracedBundle>, StoreError> {
    let sql = "SELECT s.device, l.body, l.bundle_seq, l.at FROM log l JOIN source s ON s.idx = l.source
               WHERE s.id = ?1 AND l.seq = ?2
               UNION ALL SELECT device, body, NULL, NULL FROM early WHERE source = ?1 AND seq = ?2";
    let read = |row: &rusqlite::Row<'_>| {
        let place: (Option<i64>, Option<i64>) = (row.get(2)?, row.get(3)?);
        Ok((DeviceId(row.get(0)?), row.get::<_, Vec<u8>>(1)?, place))
    };
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement.query_row((dot.source.0, int(dot.seq.0)), read).optional()?;
    let Some((device, body, place)) = found else { return Ok(None) };
    // Only the body is wanted: what chain it stands in does not matter here.
    let bundle = Bundle::rebuild(dot, Hash::default(), Bytes::from(body));
    let bundle = bundle.map_err(|_| StoreError::Damaged("a bundle is too large"))?;
    let about = |op: &&Op| entity.is_none_or(|(collection, key)| op.collection == collection && op.key == key);
    Ok(Some(TracedBundle {
        dot,
        device,
        stamp: bundle.body.as_ref().map_or(Stamp::default(), |body| body.stamp),
        committed: place.0.zip(place.1).map(|(place, at)| (BundleSeq(uint(place)), Millis(uint(at)))),
        ops: bundle.ops().iter().filter(about).take(MAX_OPS).cloned().collect(),
    }))
}
