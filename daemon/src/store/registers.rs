//! Records: puts and deletions take effect on registers, by [`merge`].
//!
//! A record has one register for existence ([`merge::EXISTENCE`]) and one for each field ever written. A put writes existence and
//! the fields it names; a deletion writes existence alone, so the fields keep their dots and a later put shows the surviving
//! ones again. Every write that is held is a leaf of its collection's digest sum.
//!
//! What records were is noted in [`super::history`], and the indexes over fields follow ([`super::field_index`]).
//!
//! **The short path.** A row that is inserted has no earlier writes: nothing is read, nothing compared. That is what a bulk
//! import consists of.

use std::borrow::Cow;

use rusqlite::{Connection, OptionalExtension};

use kinfolk_core::digest;
use kinfolk_core::ids::{Dot, Hash};
use kinfolk_core::merge::{self, Write};
use kinfolk_core::op::Op;
use kinfolk_core::value::Value;

use super::collections::{Collection, Collections};
use super::convert::{int, uint};
use super::field_index::{self, Places};
use super::sources::Sources;
use super::{Cache, Origin, StoreError, history};
use kinfolk_core::clock::Stamp;

/// The tables of records with what is known of them in memory.
pub(super) struct Registers<'a> {
    connection: &'a Connection,
    sources: &'a Sources,
    collections: &'a mut Collections,
    next_row: &'a mut i64,
}

impl<'a> Registers<'a> {
    /// Gathers what is needed.
    pub(super) fn new(connection: &'a Connection, cache: &'a mut Cache) -> Self {
        let Cache { sources, collections, next_row, .. } = cache;
        Self { connection, sources, collections, next_row }
    }

    /// Writes existence (`Some` live, `None` deleted) and the fields of `op`.
    pub(super) fn write(&mut self, origin: &Origin<'_>, op: &Op, existence: Option<&[u8]>) -> Result<(), StoreError> {
        let before = self.places(&op.collection, &op.key)?;
        self.enter(origin, op, existence)?;
        self.follow(&op.collection, &op.key, before)
    }

    /// What the indexes hold of a record; `None` when its collection has none.
    fn places(&self, name: &str, key: &str) -> Result<Option<Places>, StoreError> {
        let Some(fields) = self.collections.indexed(name).filter(|fields| !fields.is_empty()) else { return Ok(None) };
        let Some(collection) = self.collections.idx(name) else { return Ok(None) };
        field_index::places(self.connection, self.sources, collection, key, fields).map(Some)
    }

    /// Lets the indexes follow what happened to a record.
    fn follow(&self, name: &str, key: &str, before: Option<Places>) -> Result<(), StoreError> {
        let (Some(before), Some(collection)) = (before, self.collections.idx(name)) else { return Ok(()) };
        let after = self.places(name, key)?.unwrap_or_default();
        field_index::follow(self.connection, collection, key, &before, &after)
    }

    fn enter(&mut self, origin: &Origin<'_>, op: &Op, existence: Option<&[u8]>) -> Result<(), StoreError> {
        let entity = digest::entity(&op.collection, &op.key);
        let collection = self.collections.enter(self.connection, &op.collection)?;
        let live = existence.is_some();
        let insert = "INSERT INTO row (collection, key, idx, live, conflicts, version) VALUES (?1, ?2, ?3, ?4, 0, ?5)
                      ON CONFLICT DO NOTHING";
        let key = (collection.idx, &op.key, *self.next_row, live, int(origin.place.0));
        let is_new = self.connection.prepare_cached(insert)?.execute(key)? == 1;

        let field_values = op
            .fields
            .iter()
            .map(|field| (field.name.as_str(), field.value.as_ref().map(|value| Cow::Owned(Value::to_bytes(value)))));
        let writes = std::iter::once((merge::EXISTENCE, existence.map(Cow::Borrowed))).chain(field_values);

        if is_new {
            for (field, value) in writes {
                insert_write(self.connection, collection, *self.next_row, entity, field, origin, value.as_deref())?;
            }
            collection.live += i64::from(live);
            *self.next_row += 1;
            return Ok(());
        }

        let select = "SELECT idx, live, conflicts, version FROM row WHERE collection = ?1 AND key = ?2";
        let (row, was_live, mut conflicts, version): (i64, bool, i64, i64) = self
            .connection
            .prepare_cached(select)?
            .query_row((collection.idx, &op.key), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
        history::note(self.connection, row, version, origin.place)?;
        let mut is_live = was_live;
        for (field, value) in writes {
            let mut register = read_register(self.connection, self.sources, row, field)?;
            conflicts -= i64::from(merge::in_conflict(&register));
            let (superseded, kept): (Vec<_>, Vec<_>) =
                register.drain(..).partition(|held| merge::superseded(held.dot, origin.dot, origin.context));
            for held in superseded {
                remove_write(self.connection, self.sources, collection, row, entity, field, &held)?;
            }
            insert_write(self.connection, collection, row, entity, field, origin, value.as_deref())?;
            register.extend(kept);
            register.push(Write { dot: origin.dot, stamp: origin.stamp, value: value.map(Cow::into_owned) });
            conflicts += i64::from(merge::in_conflict(&register));
            if field == merge::EXISTENCE {
                is_live = merge::shown(&register).is_some_and(|shown| shown.value.is_some());
            }
        }
        collection.live += i64::from(is_live) - i64::from(was_live);
        let update =
            "UPDATE row SET live = ?3, conflicts = ?4, version = max(version, ?5) WHERE collection = ?1 AND key = ?2";
        let row = (collection.idx, &op.key, is_live, conflicts, int(origin.place.0));
        self.connection.prepare_cached(update)?.execute(row)?;
        Ok(())
    }

    /// Takes away all that is stored of a record.
    pub(super) fn clear(&mut self, name: &str, key: &str) -> Result<(), StoreError> {
        let before = self.places(name, key)?;
        self.take_away(name, key)?;
        self.follow(name, key, before)
    }

    fn take_away(&mut self, name: &str, key: &str) -> Result<(), StoreError> {
        let collection = self.collections.enter(self.connection, name)?;
        let sql = "DELETE FROM row WHERE collection = ?1 AND key = ?2 RETURNING idx, live";
        let gone: Option<(i64, bool)> = self
            .connection
            .prepare_cached(sql)?
            .query_row((collection.idx, key), |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let Some((row, live)) = gone else { return Ok(()) };
        collection.live -= i64::from(live);
        history::forget_row(self.connection, row)?;
        let sql = "DELETE FROM write WHERE row = ?1 RETURNING field, source, seq, stamp, value";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut writes = statement.query((row,))?;
        while let Some(row) = writes.next()? {
            let dot = self.sources.dot(row.get(1)?, row.get(2)?)?;
            let (field, value): (String, Option<Vec<u8>>) = (row.get(0)?, row.get(4)?);
            let (entity, stamp) = (digest::entity(name, key), Stamp(uint(row.get(3)?)));
            collection.sum.remove(digest::leaf(entity, &field, dot, stamp, merge::value_hash(value.as_deref())));
        }
        Ok(())
    }
}

/// All writes of one register.
pub(super) fn read_register(
    connection: &Connection,
    sources: &Sources,
    row: i64,
    field: &str,
) -> Result<Vec<Write>, StoreError> {
    let sql = "SELECT source, seq, stamp, value FROM write WHERE row = ?1 AND field = ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query((row, field))?;
    let mut register = Vec::new();
    while let Some(row) = rows.next()? {
        register.push(Write {
            dot: sources.dot(row.get(0)?, row.get(1)?)?,
            stamp: Stamp(uint(row.get(2)?)),
            value: row.get(3)?,
        });
    }
    Ok(register)
}

fn insert_write(
    connection: &Connection,
    collection: &mut Collection,
    row: i64,
    entity: Hash,
    field: &str,
    origin: &Origin<'_>,
    value: Option<&[u8]>,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO write (row, field, source, seq, stamp, value) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let columns = (row, field, origin.source, int(origin.dot.seq.0), int(origin.stamp.0), value);
    connection.prepare_cached(sql)?.execute(columns)?;
    collection.sum.add(digest::leaf(entity, field, origin.dot, origin.stamp, merge::value_hash(value)));
    Ok(())
}

fn remove_write(
    connection: &Connection,
    sources: &Sources,
    collection: &mut Collection,
    row: i64,
    entity: Hash,
    field: &str,
    held: &Write,
) -> Result<(), StoreError> {
    let Write { dot: Dot { source, .. }, stamp, .. } = *held;
    let sql = "DELETE FROM write WHERE row = ?1 AND field = ?2 AND source = ?3";
    connection.prepare_cached(sql)?.execute((row, field, sources.idx(source)))?;
    collection.sum.remove(digest::leaf(entity, field, held.dot, stamp, held.value_hash()));
    Ok(())
}
