//! What could not be used, set aside within bounds: the newest stay, the oldest go, all are counted.
//!
//! `hide` takes something out of the lists and counts and keeps it all the same until newer things need its room; what was used after all is taken
//! out for good.

use rusqlite::Connection;

use kinfolk_core::step::{QUARANTINE_BYTES, Quarantined, Suspect};

use super::convert::int;
use super::{Store, StoreError};

/// Most things in quarantine.
pub const QUARANTINE_ROWS: i64 = 1_000;
/// Most bytes of all of them together: 8 MiB, 128 of the largest.
pub const QUARANTINE_TOTAL: i64 = 8 << 20;
/// Most characters of a reason.
const REASON: usize = 200;

/// How much is in quarantine.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Shelf {
    rows: i64,
    bytes: i64,
}

impl Shelf {
    /// Counts what there is.
    pub(super) fn load(connection: &Connection) -> Result<Self, StoreError> {
        let sql = "SELECT count(*), coalesce(sum(length(bytes)), 0) FROM quarantine";
        Ok(connection.query_row(sql, (), |row| Ok(Self { rows: row.get(0)?, bytes: row.get(1)? }))?)
    }

    fn is_full(self) -> bool {
        self.rows > QUARANTINE_ROWS || self.bytes > QUARANTINE_TOTAL
    }
}

impl Store {
    pub(super) fn quarantine(&mut self, item: &Quarantined) -> Result<(), StoreError> {
        let kept = item.bytes.get(..QUARANTINE_BYTES).unwrap_or(&item.bytes);
        let reason: String = item.reason.chars().take(REASON).collect();
        let sql = "INSERT INTO quarantine (at, reason, bytes, kind, relay, size) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let relay = item.relay.map(|relay| relay.0);
        let columns = (int(item.at.0), reason, kept, number(item.kind), relay, int(item.size));
        self.connection.prepare_cached(sql)?.execute(columns)?;
        let shelf = &mut self.cache.shelf;
        shelf.rows += 1;
        shelf.bytes += i64::try_from(kept.len()).unwrap_or(i64::MAX);
        while shelf.is_full() {
            let oldest = "DELETE FROM quarantine WHERE idx = (SELECT min(idx) FROM quarantine) RETURNING length(bytes)";
            let freed: i64 = self.connection.prepare_cached(oldest)?.query_row((), |row| row.get(0))?;
            shelf.rows -= 1;
            shelf.bytes -= freed;
        }
        Ok(())
    }

    /// Takes something out of the lists and counts.
    pub fn hide_quarantined(&self, id: u64) -> Result<(), StoreError> {
        self.connection.prepare_cached("UPDATE quarantine SET hidden = 1 WHERE idx = ?1")?.execute((int(id),))?;
        Ok(())
    }

    /// Takes out what was used after all.
    pub fn release_quarantined(&mut self, id: u64) -> Result<(), StoreError> {
        self.connection.prepare_cached("DELETE FROM quarantine WHERE idx = ?1")?.execute((int(id),))?;
        self.cache.shelf = Shelf::load(&self.connection)?;
        Ok(())
    }
}

/// How a kind stands in the database.
fn number(kind: Suspect) -> i64 {
    match kind {
        Suspect::Envelope => 1,
        Suspect::Parcel => 2,
        Suspect::Source => 3,
        Suspect::Bundle => 4,
    }
}

/// The kind that stands there.
pub(super) fn kind(number: i64) -> Option<Suspect> {
    [Suspect::Envelope, Suspect::Parcel, Suspect::Source, Suspect::Bundle]
        .into_iter()
        .find(|kind| self::number(*kind) == number)
}
