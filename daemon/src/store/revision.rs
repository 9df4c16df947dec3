//! Changes of the state that no bundle brought, told to apps.
//!
//! When a source is cut, or ops are understood late, records and messages change that an app has seen already, at places that it is past. Such a
//! change takes a place of its own in this device's order, and the names of what changed are kept there: who reads on from a cursor
//! finds them like a bundle. Of a change that touches too much to be told one by one, the order is said to begin behind it: whoever is
//! before it takes a snapshot.

use std::collections::BTreeSet;

use kinfolk_core::ids::BundleSeq;

use super::convert::int;
use super::rebuild::Entity;
use super::{Store, StoreError};

/// Most names that are kept of one change: 1,000 of at most 400 bytes.
pub(super) const MAX_REVISED: usize = 1_000;

impl Store {
    /// Takes the next place in this device's order.
    pub(super) fn take_place(&mut self) -> Result<BundleSeq, StoreError> {
        let place = self.cache.last.next();
        self.cache.last = place;
        let sql = "UPDATE compaction SET last = max(last, ?1)";
        self.connection.prepare_cached(sql)?.execute((int(place.0),))?;
        Ok(place)
    }

    /// Tells apps that `entities` changed at `place`.
    pub(super) fn tell_revised(&self, place: BundleSeq, entities: &BTreeSet<Entity>) -> Result<(), StoreError> {
        if entities.len() > MAX_REVISED {
            let sql = "UPDATE compaction SET upto = max(upto, ?1)";
            self.connection.prepare_cached(sql)?.execute((int(place.0),))?;
            return Ok(());
        }
        let sql = "INSERT INTO revision (bundle_seq, collection, key) VALUES (?1, ?2, ?3)";
        let mut insert = self.connection.prepare_cached(sql)?;
        entities.iter().try_for_each(|entity| {
            insert.execute((int(place.0), &entity.collection, &entity.key))?;
            Ok(())
        })
    }

    /// Forgets revisions that nobody may ask for any more.
    pub(super) fn forget_revisions(&self) -> Result<(), StoreError> {
        let sql = "DELETE FROM revision WHERE bundle_seq <= (SELECT upto FROM compaction)";
        self.connection.prepare_cached(sql)?.execute(())?;
        Ok(())
    }
}
