//! What the daemon keeps beside the log: wrapped secrets, the configured relays, settings.
//!
//! The first two are opaque here: `seal` wraps them, and a relay's URL may hold credentials. Outside a transaction each call is
//! durable when it returns; inside one it ends with it.

use rusqlite::OptionalExtension;

use kinfolk_core::ids::{Millis, RelayId};

use super::convert::{int, uint};
use super::{Store, StoreError};

/// A configured relay.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SavedRelay {
    /// The storage it reaches.
    pub id: RelayId,
    /// Its URL, wrapped.
    pub url: Vec<u8>,
    /// Its URL without secrets, to be shown.
    pub display: String,
    /// When it was added, by the wall clock.
    pub added: Millis,
}

impl Store {
    /// Keeps a wrapped secret under `name`, in place of an earlier one.
    pub fn put_secret(&self, name: &str, wrapped: &[u8]) -> Result<(), StoreError> {
        let sql = "INSERT OR REPLACE INTO secret (name, wrapped) VALUES (?1, ?2)";
        self.connection.prepare_cached(sql)?.execute((name, wrapped))?;
        Ok(())
    }

    /// The wrapped secret under `name`.
    pub fn secret(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let sql = "SELECT wrapped FROM secret WHERE name = ?1";
        Ok(self.connection.prepare_cached(sql)?.query_row((name,), |row| row.get(0)).optional()?)
    }

    /// Destroys the secret under `name`.
    pub fn shred_secret(&self, name: &str) -> Result<(), StoreError> {
        self.shred("DELETE FROM secret WHERE name = ?1", (name,))
    }

    /// Keeps a setting of this device, in place of an earlier one.
    pub fn put_setting(&self, name: &str, value: &str) -> Result<(), StoreError> {
        let sql = "INSERT OR REPLACE INTO setting (name, value) VALUES (?1, ?2)";
        self.connection.prepare_cached(sql)?.execute((name, value))?;
        Ok(())
    }

    /// A setting of this device.
    pub fn setting(&self, name: &str) -> Result<Option<String>, StoreError> {
        let sql = "SELECT value FROM setting WHERE name = ?1";
        Ok(self.connection.prepare_cached(sql)?.query_row((name,), |row| row.get(0)).optional()?)
    }

    /// Adds a relay behind all others. One that is there already keeps its place and takes the new URL.
    pub fn add_relay(&self, relay: &SavedRelay) -> Result<(), StoreError> {
        let sql = "INSERT INTO relay (id, position, url, display, added_at)
                   VALUES (?1, (SELECT coalesce(max(position), 0) + 1 FROM relay), ?2, ?3, ?4)
                   ON CONFLICT (id) DO UPDATE SET url = excluded.url, display = excluded.display";
        let columns = (relay.id.0, &relay.url, &relay.display, int(relay.added.0));
        self.connection.prepare_cached(sql)?.execute(columns)?;
        Ok(())
    }

    /// Removes a relay; `false` when there was none of that id.
    pub fn remove_relay(&self, id: RelayId) -> Result<bool, StoreError> {
        let sql = "DELETE FROM relay WHERE id = ?1";
        Ok(self.connection.prepare_cached(sql)?.execute((id.0,))? > 0)
    }

    /// The relays in the order of preference.
    pub fn relays(&self) -> Result<Vec<SavedRelay>, StoreError> {
        let sql = "SELECT id, url, display, added_at FROM relay ORDER BY position";
        let mut statement = self.connection.prepare_cached(sql)?;
        let relays = statement.query_map((), |row| {
            let (id, added) = (RelayId(row.get(0)?), Millis(uint(row.get(3)?)));
            Ok(SavedRelay { id, url: row.get(1)?, display: row.get(2)?, added })
        })?;
        Ok(relays.collect::<Result<_, _>>()?)
    }
}
