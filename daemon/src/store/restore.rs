//! All that an engine needs to go on where it stopped.

use bytes::Bytes;

use kinfolk_core::bundle::Bundle;
use kinfolk_core::epoch::Epoch;
use kinfolk_core::ids::{DeviceId, Dot, Hash, Millis, Seq, SourceId};
use kinfolk_core::parcel::Receipt;
use kinfolk_core::roster::{Prekey, SignedRecord, Verified};
use kinfolk_core::step::{Saved, SavedSibling};

use super::convert::{posted_from_bytes, relays_from_bytes, uint, vector_from_bytes};
use super::{Store, StoreError, floors};

impl Store {
    /// Reads what was committed. In the middle of a transaction it would tell of what may still be rolled back.
    ///
    /// # Errors
    /// [`StoreError::Transaction`] while one is open.
    pub fn restore(&self) -> Result<Saved, StoreError> {
        if !self.connection.is_autocommit() {
            return Err(StoreError::Transaction("restore needs the open one to end first"));
        }
        let sql = "SELECT me, source, generation, roster FROM device";
        let saved = self.connection.query_row(sql, (), |row| {
            Ok(Saved {
                me: DeviceId(row.get(0)?),
                source: SourceId(row.get(1)?),
                generation: uint(row.get(2)?),
                roster: Hash(row.get(3)?),
                ..Saved::default()
            })
        })?;
        let (prekey, prekeys) = self.saved_prekeys()?;
        Ok(Saved {
            prekey,
            prekeys,
            sources: self.cache.sources.iter().cloned().collect(),
            early: self.saved_early()?,
            siblings: self.saved_siblings()?,
            records: self.saved_records()?,
            epochs: self.saved_epochs()?,
            bundle_seq: self.cache.last,
            watermark: floors::watermark(&self.connection)?,
            standing: floors::standing(&self.connection)?,
            hydrating: self.hydrating()?,
            recent_us: self.recent()?,
            verdicts: self.saved_verdicts()?,
            prunes: self.retention()?.is_some(),
            lacking: self.cache.lacking,
            words: self.words()?,
            ..saved
        })
    }

    fn saved_early(&self) -> Result<Vec<(DeviceId, Bundle)>, StoreError> {
        let sql = "SELECT device, source, seq, prev, body FROM early ORDER BY source, seq";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query(())?;
        let mut early = Vec::new();
        while let Some(row) = rows.next()? {
            let dot = Dot { source: SourceId(row.get(1)?), seq: Seq(uint(row.get(2)?)) };
            let bundle = Bundle::rebuild(dot, Hash(row.get(3)?), Bytes::from(row.get::<_, Vec<u8>>(4)?));
            let bundle = bundle.map_err(|_| StoreError::Damaged("a waiting bundle is too large"))?;
            early.push((DeviceId(row.get(0)?), bundle));
        }
        Ok(early)
    }

    fn saved_siblings(&self) -> Result<Vec<SavedSibling>, StoreError> {
        let sql =
            "SELECT device, generation, vector, heard, prekey_slot, prekey, epoch, term, epoch_id, under, under_id,
                     relays, posted, trials, knows_slot
                   FROM sibling ORDER BY device";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query(())?;
        let mut siblings = Vec::new();
        while let Some(row) = rows.next()? {
            let vector = vector_from_bytes(row.get_ref(2)?.as_blob().unwrap_or_default())?;
            let prekey = match (row.get(4)?, row.get::<_, Option<Vec<u8>>>(5)?) {
                (Some(slot), Some(public)) => Some(Prekey { slot, public: Bytes::from(public) }),
                (_, None) | (None, _) => None,
            };
            siblings.push(SavedSibling {
                device: DeviceId(row.get(0)?),
                receipt: Receipt { generation: uint(row.get(1)?), term: row.get(7)?, trials: row.get(13)?, vector },
                heard: Millis(uint(row.get(3)?)),
                prekey,
                knows_slot: row.get(14)?,
                epoch: Epoch { number: row.get(6)?, id: row.get(8)? },
                under: Epoch { number: row.get(9)?, id: row.get(10)? },
                relays: relays_from_bytes(row.get_ref(11)?.as_blob().unwrap_or_default())?,
                posted: posted_from_bytes(row.get_ref(12)?.as_blob().unwrap_or_default())?,
            });
        }
        Ok(siblings)
    }

    fn saved_records(&self) -> Result<Vec<Verified<SignedRecord>>, StoreError> {
        let mut statement =
            self.connection.prepare_cached("SELECT bytes, signature FROM roster_record ORDER BY idx")?;
        let records = statement.query_map((), |row| {
            let (bytes, signature): (Vec<u8>, Vec<u8>) = (row.get(0)?, row.get(1)?);
            // Only verified records are ever stored, and the database authenticates its pages.
            Ok(Verified::vouch(SignedRecord { bytes: Bytes::from(bytes), signature: Bytes::from(signature) }))
        })?;
        Ok(records.collect::<Result<_, _>>()?)
    }
}
