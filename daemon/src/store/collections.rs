//! Collections with their digest sums, in memory; written down once a transaction.
//!
//! All names are held: an app has a handful of collections, and the state digest needs every sum.

use std::collections::BTreeMap;

use rusqlite::Connection;

use kinfolk_core::digest::{self, Sum};
use kinfolk_core::ids::Hash;

use super::StoreError;

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
    written: (i64, Sum),
}

impl Collections {
    /// Reads all collections.
    pub(super) fn load(connection: &Connection) -> Result<Self, StoreError> {
        let mut statement = connection.prepare_cached("SELECT name, idx, live, sum FROM collection")?;
        let read = statement.query_map((), |row| {
            let (live, sum) = (row.get(2)?, Sum::from_bytes(&row.get(3)?));
            Ok((row.get(0)?, Collection { idx: row.get(1)?, live, sum, written: (live, sum) }))
        })?;
        Ok(Self(read.collect::<Result<_, _>>()?))
    }

    /// The collection of that name, made when it is new.
    pub(super) fn enter(&mut self, connection: &Connection, name: &str) -> Result<&mut Collection, StoreError> {
        if !self.0.contains_key(name) {
            let sql = "INSERT INTO collection (name, live, sum) VALUES (?1, 0, ?2)";
            let sum = Sum::default();
            connection.prepare_cached(sql)?.execute((name, sum.to_bytes()))?;
            let made = Collection { idx: connection.last_insert_rowid(), live: 0, sum, written: (0, sum) };
            self.0.insert(name.to_owned(), made);
        }
        self.0.get_mut(name).ok_or(StoreError::Damaged("a collection is gone"))
    }

    /// The number of the collection of that name.
    pub(super) fn idx(&self, name: &str) -> Option<i64> {
        self.0.get(name).map(|collection| collection.idx)
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
