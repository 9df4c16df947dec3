//! The prekeys of this device whose seeds it holds.

use bytes::Bytes;
use rusqlite::Connection;

use kinfolk_core::ids::Millis;
use kinfolk_core::prekey::{HeldPrekey, KeptPrekey};
use kinfolk_core::roster::Prekey;

use super::convert::{int, uint};
use super::{Store, StoreError};

impl Store {
    /// The wrapped seeds of all prekeys that are held, by slot.
    pub fn prekey_seeds(&self) -> Result<Vec<(u32, Vec<u8>)>, StoreError> {
        let mut statement = self.connection.prepare_cached("SELECT slot, seed FROM prekey ORDER BY slot")?;
        let seeds = statement.query_map((), |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(seeds.collect::<Result<_, _>>()?)
    }

    /// The newest prekey, and how long each is held.
    pub(super) fn saved_prekeys(&self) -> Result<(Prekey, Vec<HeldPrekey>), StoreError> {
        let mut statement =
            self.connection.prepare_cached("SELECT slot, made, quiet, public FROM prekey ORDER BY slot")?;
        let mut rows = statement.query(())?;
        let (mut newest, mut held) = (Prekey::default(), Vec::new());
        while let Some(row) = rows.next()? {
            let (slot, made) = (row.get(0)?, Millis(uint(row.get(1)?)));
            held.push(HeldPrekey { slot, made, quiet: row.get::<_, Option<i64>>(2)?.map(|since| Millis(uint(since))) });
            newest = Prekey { slot, public: Bytes::from(row.get::<_, Vec<u8>>(3)?) };
        }
        Ok((newest, held))
    }

    pub(super) fn prekey(&self, kept: &KeptPrekey) -> Result<(), StoreError> {
        insert(&self.connection, kept)
    }

    pub(super) fn prekey_held(&self, held: &HeldPrekey) -> Result<(), StoreError> {
        let sql = "UPDATE prekey SET made = ?2, quiet = ?3 WHERE slot = ?1";
        let quiet = held.quiet.map(|Millis(since)| int(since));
        self.connection.prepare_cached(sql)?.execute((held.slot, int(held.made.0), quiet))?;
        Ok(())
    }

    /// Destroys the seed of a prekey: what lay in its place on disk is overwritten.
    pub(super) fn prekey_gone(&self, slot: u32) -> Result<(), StoreError> {
        self.shred("DELETE FROM prekey WHERE slot = ?1", (slot,))
    }
}

/// Keeps a prekey with its seed.
pub(super) fn insert(connection: &Connection, kept: &KeptPrekey) -> Result<(), StoreError> {
    let sql = "INSERT OR REPLACE INTO prekey (slot, public, made, seed) VALUES (?1, ?2, ?3, ?4)";
    let columns = (kept.prekey.slot, kept.prekey.public.as_ref(), int(kept.made.0), kept.kept.as_ref());
    connection.prepare_cached(sql)?.execute(columns)?;
    Ok(())
}
