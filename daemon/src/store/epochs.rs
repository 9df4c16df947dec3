//! The epochs of the group whose secrets this device holds.

use rusqlite::Connection;

use kinfolk_core::epoch::{Epoch, HeldEpoch, KeptEpoch};
use kinfolk_core::ids::Millis;

use super::convert::{int, uint};
use super::{Store, StoreError};

impl Store {
    /// The wrapped secrets of all epochs that are held, in order of name.
    pub fn epoch_secrets(&self) -> Result<Vec<(Epoch, Vec<u8>)>, StoreError> {
        let mut statement =
            self.connection.prepare_cached("SELECT number, id, secret FROM epoch ORDER BY number, id")?;
        let secrets = statement.query_map((), |row| {
            let epoch = Epoch { number: row.get(0)?, id: row.get(1)? };
            Ok((epoch, row.get(2)?))
        })?;
        Ok(secrets.collect::<Result<_, _>>()?)
    }

    pub(super) fn saved_epochs(&self) -> Result<Vec<HeldEpoch>, StoreError> {
        let mut statement =
            self.connection.prepare_cached("SELECT number, id, quiet FROM epoch ORDER BY number, id")?;
        let held = statement.query_map((), |row| {
            let epoch = Epoch { number: row.get(0)?, id: row.get(1)? };
            Ok(HeldEpoch { epoch, quiet: row.get::<_, Option<i64>>(2)?.map(|since| Millis(uint(since))) })
        })?;
        Ok(held.collect::<Result<_, _>>()?)
    }

    pub(super) fn epoch(&self, kept: &KeptEpoch) -> Result<(), StoreError> {
        insert(&self.connection, kept)
    }

    pub(super) fn epoch_quiet(&self, held: &HeldEpoch) -> Result<(), StoreError> {
        let sql = "UPDATE epoch SET quiet = ?3 WHERE number = ?1 AND id = ?2";
        let quiet = held.quiet.map(|Millis(since)| int(since));
        self.connection.prepare_cached(sql)?.execute((held.epoch.number, held.epoch.id, quiet))?;
        Ok(())
    }

    /// Destroys the secret of an epoch: what lay in its place on disk is overwritten.
    pub(super) fn epoch_gone(&self, epoch: Epoch) -> Result<(), StoreError> {
        self.shred("DELETE FROM epoch WHERE number = ?1 AND id = ?2", (epoch.number, epoch.id))
    }

    /// Deletes rows and overwrites what they held.
    pub(super) fn shred(&self, sql: &str, parameters: impl rusqlite::Params) -> Result<(), StoreError> {
        self.connection.execute_batch("PRAGMA secure_delete = ON")?;
        let deleted = self.connection.prepare_cached(sql)?.execute(parameters);
        self.connection.execute_batch("PRAGMA secure_delete = OFF")?;
        deleted?;
        Ok(())
    }
}

/// Keeps the secret of an epoch.
pub(super) fn insert(connection: &Connection, kept: &KeptEpoch) -> Result<(), StoreError> {
    let sql = "INSERT INTO epoch (number, id, secret) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
    let columns = (kept.epoch.number, kept.epoch.id, kept.kept.as_ref());
    connection.prepare_cached(sql)?.execute(columns)?;
    Ok(())
}
