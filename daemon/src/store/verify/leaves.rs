//! The digest sums, from the stored rows alone.

use std::collections::BTreeMap;

use rusqlite::{Connection, Row};

use kinfolk_core::clock::Stamp;
use kinfolk_core::digest::{self, Sum};
use kinfolk_core::ids::{Dot, Hash, Seq, SourceId};
use kinfolk_core::merge::{self, Timed};
use kinfolk_core::op::{Level, MESSAGE_COLLECTION};

use super::Problem;
use crate::store::StoreError;
use crate::store::convert::{elsewhere_from_bytes, uint};

/// The collections whose stored sum is not the sum over their rows.
pub(super) fn check(connection: &Connection) -> Result<Vec<Problem>, StoreError> {
    let mut sums: BTreeMap<String, Sum> = BTreeMap::new();
    let fields = "SELECT s.id, w.seq, w.stamp, c.name, r.key, w.field, w.value
                  FROM row r JOIN collection c ON c.idx = r.collection JOIN write w ON w.row = r.idx
                  JOIN source s ON s.idx = w.source";
    each(connection, fields, |row, dot, stamp| {
        let (collection, key, field): (String, String, String) = (row.get(3)?, row.get(4)?, row.get(5)?);
        let value: Option<Vec<u8>> = row.get(6)?;
        let entity = digest::entity(&collection, &key);
        let leaf = digest::leaf(entity, &field, dot, stamp, merge::value_hash(value.as_deref()));
        sums.entry(collection).or_default().add(leaf);
        Ok(())
    })?;

    let mut messages = Sum::default();
    let posts = "SELECT s.id, m.seq, m.stamp, m.id, m.payload, m.stub FROM message m JOIN source s ON s.idx = m.source";
    each(connection, posts, |row, dot, stamp| {
        let (id, payload): (String, Vec<u8>) = (row.get(3)?, row.get(4)?);
        let value = match row.get::<_, Option<Vec<u8>>>(5)? {
            Some(stub) => elsewhere_from_bytes(&stub)?.value,
            None => merge::value_hash(Some(&payload)),
        };
        let entity = digest::entity(MESSAGE_COLLECTION, &id);
        messages.add(digest::leaf(entity, digest::FIELD_POST, dot, stamp, value));
        Ok(())
    })?;
    let statuses = "SELECT s.id, t.seq, t.stamp, m.id, t.level, t.at_us FROM status t
                    JOIN message m ON m.idx = t.message JOIN source s ON s.idx = t.source";
    each(connection, statuses, |row, dot, stamp| {
        let (id, at_us): (String, i64) = (row.get(3)?, row.get(5)?);
        let level = Level::from_number(row.get(4)?).ok_or(StoreError::Damaged("a status has no such level"))?;
        let entity = digest::entity(MESSAGE_COLLECTION, &id);
        let value = Timed { at_us, stamp, dot }.value_hash();
        messages.add(digest::leaf(entity, level.name(), dot, stamp, value));
        Ok(())
    })?;
    let tombstones =
        "SELECT s.id, t.seq, t.stamp, t.entity, t.at_us FROM tombstone t JOIN source s ON s.idx = t.source";
    each(connection, tombstones, |row, dot, stamp| {
        let value = Timed { at_us: row.get(4)?, stamp, dot }.value_hash();
        messages.add(digest::leaf(Hash(row.get(3)?), digest::FIELD_TOMBSTONE, dot, stamp, value));
        Ok(())
    })?;
    sums.insert(MESSAGE_COLLECTION.to_owned(), messages);

    let mut statement = connection.prepare("SELECT name, sum FROM collection ORDER BY name")?;
    let stored = statement.query_map((), |row| Ok((row.get(0)?, Sum::from_bytes(&row.get(1)?))))?;
    let stored: BTreeMap<String, Sum> = stored.collect::<Result<_, _>>()?;
    let names = stored.keys().chain(sums.keys().filter(|name| !stored.contains_key(*name)));
    let sum = |sums: &BTreeMap<String, Sum>, name: &str| sums.get(name).copied().unwrap_or_default();
    let wrong = names.filter(|name| sum(&stored, name) != sum(&sums, name));
    Ok(wrong.map(|name| Problem::Sum { collection: name.clone() }).collect())
}

/// Goes over the rows of a query whose first columns are source, position and stamp.
fn each(
    connection: &Connection,
    sql: &str,
    mut take: impl FnMut(&Row<'_>, Dot, Stamp) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query(())?;
    while let Some(row) = rows.next()? {
        let dot = Dot { source: SourceId(row.get(0)?), seq: Seq(uint(row.get(1)?)) };
        take(row, dot, Stamp(uint(row.get(2)?)))?;
    }
    Ok(())
}
