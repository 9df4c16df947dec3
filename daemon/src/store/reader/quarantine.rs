//! What was set aside.

use rusqlite::OptionalExtension;

use kinfolk_core::ids::{Millis, RelayId};
use kinfolk_core::step::Suspect;

use super::{MAX_PAGE, Reader};
use crate::store::convert::{int, limit, uint};
use crate::store::{StoreError, quarantine};

/// Something in quarantine.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Kept {
    /// Its number here; a later one has a greater one.
    pub id: u64,
    /// When it came, by the wall clock.
    pub at: Millis,
    /// What it is.
    pub kind: Suspect,
    /// Where it came from, when that is known.
    pub relay: Option<RelayId>,
    /// Why it could not be used.
    pub reason: String,
    /// How many bytes it had.
    pub size: u64,
    /// Whether all of them are here, so that it can be tried again.
    pub whole: bool,
}

impl Reader {
    /// What is in quarantine and not hidden, oldest first, after `after`: at most [`MAX_PAGE`].
    pub fn quarantined(&self, after: u64) -> Result<Vec<Kept>, StoreError> {
        self.with(|connection| {
            let sql = "SELECT idx, at, kind, relay, reason, size, length(bytes) FROM quarantine
                       WHERE hidden = 0 AND idx > ?1 ORDER BY idx LIMIT ?2";
            let mut statement = connection.prepare_cached(sql)?;
            let mut rows = statement.query((int(after), limit(MAX_PAGE)))?;
            let mut kept = Vec::new();
            while let Some(row) = rows.next()? {
                let kind = quarantine::kind(row.get(2)?);
                let kind = kind.ok_or(StoreError::Damaged("something in quarantine is of no known kind"))?;
                let (size, here) = (uint(row.get(5)?), uint(row.get(6)?));
                kept.push(Kept {
                    id: uint(row.get(0)?),
                    at: Millis(uint(row.get(1)?)),
                    kind,
                    relay: row.get::<_, Option<[u8; 16]>>(3)?.map(RelayId),
                    reason: row.get(4)?,
                    size,
                    whole: kind == Suspect::Envelope && size == here,
                });
            }
            Ok(kept)
        })
    }

    /// The bytes of something in quarantine, hidden or not.
    pub fn quarantined_bytes(&self, id: u64) -> Result<Option<Vec<u8>>, StoreError> {
        self.with(|connection| {
            let sql = "SELECT bytes FROM quarantine WHERE idx = ?1";
            Ok(connection.prepare_cached(sql)?.query_row((int(id),), |row| row.get(0)).optional()?)
        })
    }
}
