//! Collections with their digest sums, in memory; written down once a transaction.
//!
//! All names are held: an app has a handful of collections, and the state digest needs every sum.

use std::collections::BTreeMap;

use rusqlite::Connection;

use kinfolk_core::digest::{self, Sum};
use kinfolk_core::ids::Hash;

use super::{StoreError, field_index};

/// All collections by name.
#[derive(Default)]
pub(super) struct Collections(BTreeMap<String, Collection>);

/// One collection.
pub(super) struct Collection {
    /// Its number.
    pub(super) idx: i64,
    /// How many of its records exist.
    pub(super) live: i64,
    /// The sum over its leaves.
    pub(super) sum: Sum,
    /// The fields by which its records are looked up.
    indexed: Vec<String>,
    written: (i64, Sum),
}

impl Collections {
    /// Reads all collections.
    pub(super) fn load(connection: &Connection) -> Result<Self, StoreError> {
        let mut indexes = field_index::load(connection)?;
        let mut statement = connection.prepare_cached("SELECT name, idx, live, sum FROM collection")?;
        let read = statement.query_map((), |row| {
            let (idx, live, sum) = (row.get(1)?, row.get(2)?, Sum::from_bytes(&row.get(3)?));
            let indexed = indexes.remove(&idx).unwrap_or_default();
            Ok((row.get(0)?, Collection { idx, live, sum, indexed, written: (live, sum) }))
        })?;
        Ok(Self(read.collect::<Result<_, _>>()?))
    }

    /// The collection of that name, made when it is new.
    pub(super) fn enter(&mut self, connection: &Connection, name: &str) -> Result<&mut Collection, StoreError> {
        if !self.0.contains_key(name) {
            let sql = "INSERT INTO collection (name, live, sum) VALUES (?1, 0, ?2)";
            let sum = Sum::default();
            connection.prepare_cached(sql)?.execute((name, sum.to_bytes()))?;
            let idx = connection.last_insert_rowid();
            let made = Collection { idx, live: 0, sum, indexed: Vec::new(), written: (0, sum) };
            self.0.insert(name.to_owned(), made);
        }
        self.0.get_mut(name).ok_or(StoreError::Damaged("a collection is gone"))
    }

    /// The number of the collection of that name.
    pub(super) fn idx(&self, name: &str) -> Option<i64> {
        self.0.get(name).map(|collection| collection.idx)
    }

    /// The fields by which records of the collection of that name are looked up; `None` when there is no such collection.
    pub(super) fn indexed(&self, name: &str) -> Option<&[String]> {
        self.0.get(name).map(|collection| collection.indexed.as_slice())
    }

    /// Records of that collection are looked up by that field from here on.
    pub(super) fn index(&mut self, name: &str, field: &str) {
        if let Some(collection) = self.0.get_mut(name) {
            collection.indexed.push(field.to_owned());
        }
    }

    /// The state digest.
    pub(super) fn digest(&self) -> Hash {
        digest::state(self.0.iter().map(|(name, collection)| (name.as_str(), collection.sum)))
    }

    /// The sums of those that are not empty, in order of name.
    pub(super) fn sums(&self) -> impl Iterator<Item = (String, Sum)> {
        let filled = self.0.iter().filter(|(_, collection)| collection.sum.count > 0);
        filled.map(|(name, collection)| (name.clone(), collection.sum))
    }

    /// Writes down those that changed.
    pub(super) fn flush(&mut self, connection: &Connection) -> Result<(), StoreError> {
        for collection in self.0.values_mut() {
            let now = (collection.live, collection.sum);
            if now == collection.written {
                continue;
            }
            let sql = "UPDATE collection SET live = ?2, sum = ?3 WHERE idx = ?1";
            connection.prepare_cached(sql)?.execute((collection.idx, collection.live, collection.sum.to_bytes()))?;
            collection.written = now;
        }
        Ok(())
    }
}
