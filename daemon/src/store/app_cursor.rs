//! Up to where apps have dealt with this device's order.
//!
//! An app that reads the order under a name (a *consumer*) says how far it has come; that is all that moves its cursor, and never
//! backwards. Cursors hold nothing back: what was compacted meanwhile is told when the app comes back.

use rusqlite::OptionalExtension;

use kinfolk_core::ids::{BundleSeq, Millis};

use super::convert::{int, limit, uint};
use super::reader::Span;
use super::{Reader, Store, StoreError};

/// Most consumers whose cursors are kept. Of more, those that were moved longest ago are forgotten; whoever is forgotten begins anew.
pub const MAX_CONSUMERS: usize = 1_000;

impl Store {
    /// Keeps cursors. None moves backwards.
    pub fn keep_cursors(&mut self, moved: &[(String, BundleSeq)], now: Millis) -> Result<(), StoreError> {
        let transaction = self.connection.transaction()?;
        let sql = "INSERT INTO app_cursor (name, bundle_seq, at) VALUES (?1, ?2, ?3) ON CONFLICT (name)
                   DO UPDATE SET bundle_seq = max(bundle_seq, excluded.bundle_seq), at = excluded.at";
        for (name, bundle_seq) in moved {
            transaction.prepare_cached(sql)?.execute((name, int(bundle_seq.0), int(now.0)))?;
        }
        let sql =
            "DELETE FROM app_cursor WHERE name IN (SELECT name FROM app_cursor ORDER BY at DESC LIMIT -1 OFFSET ?1)";
        transaction.prepare_cached(sql)?.execute((limit(MAX_CONSUMERS),))?;
        Ok(transaction.commit()?)
    }
}

impl Reader {
    /// The cursor that was kept last for a consumer.
    pub fn cursor(&self, name: &str) -> Result<Option<BundleSeq>, StoreError> {
        self.during(Span::Short, |connection| {
            let sql = "SELECT bundle_seq FROM app_cursor WHERE name = ?1";
            let found = connection.prepare_cached(sql)?.query_row((name,), |row| row.get(0)).optional()?;
            Ok(found.map(|bundle_seq| BundleSeq(uint(bundle_seq))))
        })
    }
}
