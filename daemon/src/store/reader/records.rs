//! Records as they are shown.

use rusqlite::{Connection, OptionalExtension};

use kinfolk_core::clock::Stamp;
use kinfolk_core::ids::{BundleSeq, Dot, Seq, SourceId};
use kinfolk_core::merge::{self, Write};
use kinfolk_core::value::Value;

use super::{MAX_PAGE, Reader};
use crate::store::StoreError;
use crate::store::convert::{limit, uint};

/// A record that exists.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordView {
    /// Its collection.
    pub collection: String,
    /// Its key in it.
    pub key: String,
    /// Its fields in the byte order of their names.
    pub fields: Vec<(String, Value)>,
    /// The place of its last change in this device's order.
    pub row_version: BundleSeq,
    /// The registers in which concurrent writes disagree: fields by name, and [`merge::EXISTENCE`].
    pub conflicts: Vec<String>,
}

impl Reader {
    /// The record under `(collection, key)`, if it exists now.
    pub fn record(&self, collection: &str, key: &str) -> Result<Option<RecordView>, StoreError> {
        self.with(|connection| find(connection, collection, key))
    }

    /// The records of a collection whose keys begin with `prefix`, in byte order of keys, after the key `after`: at most
    /// `most`, and at most [`MAX_PAGE`].
    pub fn records(
        &self,
        collection: &str,
        prefix: &str,
        after: Option<&str>,
        most: usize,
    ) -> Result<Vec<RecordView>, StoreError> {
        self.with(|connection| page(connection, collection, prefix, after, most.min(MAX_PAGE)))
    }

    /// The collections that have records, in byte order of names, with the number of their records. Messages are none.
    pub fn collections(&self) -> Result<Vec<(String, u64)>, StoreError> {
        self.with(names)
    }
}

/// [`Reader::record`] within a transaction.
pub(super) fn find(connection: &Connection, collection: &str, key: &str) -> Result<Option<RecordView>, StoreError> {
    let sql = "SELECT r.idx, r.version FROM row r JOIN collection c ON c.idx = r.collection
               WHERE c.name = ?1 AND r.key = ?2 AND r.live";
    let found: Option<(i64, i64)> = connection
        .prepare_cached(sql)?
        .query_row((collection, key), |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((row, version)) = found else { return Ok(None) };
    read(connection, collection, key.to_owned(), row, version).map(Some)
}

/// [`Reader::records`] within a transaction, without a bound of its own.
pub(super) fn page(
    connection: &Connection,
    collection: &str,
    prefix: &str,
    after: Option<&str>,
    most: usize,
) -> Result<Vec<RecordView>, StoreError> {
    // A key after `after` that begins with `prefix` is at least both.
    let sql = "SELECT r.key, r.idx, r.version FROM row r JOIN collection c ON c.idx = r.collection
               WHERE c.name = ?1 AND r.key >= ?2 AND (?3 IS NULL OR r.key > ?3) AND r.live ORDER BY r.key LIMIT ?4";
    let mut statement = connection.prepare_cached(sql)?;
    let from = after.map_or(prefix, |after| after.max(prefix));
    let mut rows = statement.query((collection, from, after, limit(most)))?;
    let mut records = Vec::new();
    while let Some(row) = rows.next()? {
        let key: String = row.get(0)?;
        if !key.starts_with(prefix) {
            break;
        }
        records.push(read(connection, collection, key, row.get(1)?, row.get(2)?)?);
    }
    Ok(records)
}

/// [`Reader::collections`] within a transaction.
pub(super) fn names(connection: &Connection) -> Result<Vec<(String, u64)>, StoreError> {
    let sql = "SELECT name, live FROM collection WHERE live > 0 ORDER BY name";
    let mut statement = connection.prepare_cached(sql)?;
    let names = statement.query_map((), |row| Ok((row.get(0)?, uint(row.get(1)?))))?;
    Ok(names.collect::<Result<_, _>>()?)
}

/// A row as it is shown.
pub(super) fn read(
    connection: &Connection,
    collection: &str,
    key: String,
    row: i64,
    version: i64,
) -> Result<RecordView, StoreError> {
    let sql = "SELECT w.field, s.id, w.seq, w.stamp, w.value FROM write w JOIN source s ON s.idx = w.source
               WHERE w.row = ?1 ORDER BY w.field";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query((row,))?;
    let mut record = RecordView {
        collection: collection.to_owned(),
        key,
        fields: Vec::new(),
        row_version: BundleSeq(uint(version)),
        conflicts: Vec::new(),
    };
    let mut field = merge::EXISTENCE.to_owned();
    let mut register: Vec<Write> = Vec::new();
    while let Some(row) = rows.next()? {
        let write = Write {
            dot: Dot { source: SourceId(row.get(1)?), seq: Seq(uint(row.get(2)?)) },
            stamp: Stamp(uint(row.get(3)?)),
            value: row.get(4)?,
        };
        let name = row.get_ref(0)?.as_str().map_err(|_| StoreError::Damaged("a field name is no text"))?;
        if name != field {
            record.add(std::mem::replace(&mut field, name.to_owned()), &std::mem::take(&mut register))?;
        }
        register.push(write);
    }
    record.add(field, &register)?;
    Ok(record)
}

impl RecordView {
    fn add(&mut self, field: String, register: &[Write]) -> Result<(), StoreError> {
        if merge::in_conflict(register) {
            self.conflicts.push(field.clone());
        }
        let shown = merge::shown(register).and_then(|shown| shown.value.as_deref());
        if let Some(value) = shown.filter(|_| field != merge::EXISTENCE) {
            let value = Value::from_bytes(value).ok_or(StoreError::Damaged("a field's value is unreadable"))?;
            self.fields.push((field, value));
        }
        Ok(())
    }
}
