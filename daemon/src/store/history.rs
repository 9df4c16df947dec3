//! Which bundles changed a record: places in this device's order, by row.
//!
//! A row that is inserted gets no entry: as long as it was written once, its version is the place. So a bulk import pays nothing. The second
//! write notes both. A row that is made anew from the log notes its places anew, by the same code; what a compaction takes out of the log
//! leaves here with it.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension};

use kinfolk_core::ids::BundleSeq;
use kinfolk_core::op::Meaning;

use super::convert::int;
use super::rebuild::Walk;
use super::{Store, StoreError};

/// A row that had been changed at `before` was changed at `now`.
pub(super) fn note(connection: &Connection, row: i64, before: i64, now: BundleSeq) -> Result<(), StoreError> {
    let sql = "INSERT OR IGNORE INTO history (row, bundle_seq) VALUES (?1, ?2)";
    let mut insert = connection.prepare_cached(sql)?;
    insert.execute((row, before))?;
    insert.execute((row, int(now.0)))?;
    Ok(())
}

/// A row is made anew.
pub(super) fn forget_row(connection: &Connection, row: i64) -> Result<(), StoreError> {
    connection.prepare_cached("DELETE FROM history WHERE row = ?1")?.execute((row,))?;
    Ok(())
}

/// Bundles have left the log.
pub(super) fn forget_gone(connection: &Connection) -> Result<(), StoreError> {
    let sql = "DELETE FROM history WHERE bundle_seq NOT IN (SELECT bundle_seq FROM log)";
    connection.prepare_cached(sql)?.execute(())?;
    Ok(())
}

impl Store {
    /// Notes what a database of an earlier version did not, once.
    pub(super) fn fill_history(&mut self) -> Result<(), StoreError> {
        let sql = "SELECT filled FROM history_state";
        if self.connection.query_row(sql, (), |row| row.get(0))? {
            return Ok(());
        }
        self.begin()?;
        let mut walk = Walk::begin(&self.connection)?;
        loop {
            let page = walk.page(&self.connection)?;
            if page.is_empty() {
                break;
            }
            for logged in page {
                let records = logged
                    .bundle
                    .ops()
                    .iter()
                    .filter(|op| matches!(op.meaning(), Meaning::RecordPut | Meaning::RecordDelete));
                let names: BTreeSet<(&str, &str)> =
                    records.map(|op| (op.collection.as_str(), op.key.as_str())).collect();
                for (collection, key) in names {
                    let sql = "SELECT r.idx FROM row r JOIN collection c ON c.idx = r.collection
                               WHERE c.name = ?1 AND r.key = ?2";
                    let mut statement = self.connection.prepare_cached(sql)?;
                    let row: Option<i64> = statement.query_row((collection, key), |row| row.get(0)).optional()?;
                    if let Some(row) = row {
                        note(&self.connection, row, int(logged.place().0), logged.place())?;
                    }
                }
            }
        }
        self.connection.execute("UPDATE history_state SET filled = 1", ())?;
        self.commit()
    }
}
