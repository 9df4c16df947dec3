//! The store: what a device remembers, in one encrypted SQLite database.
//!
//! **Log and state.** The log holds every bundle exactly as its author wrote it, in the order in which it was applied here; below the
//! watermark of a compaction, only what still counts of it.
//! The state — records, messages, tombstones, conversations, the full-text index, the digest sums — follows from the log:
//! [`Store::apply`] adds a bundle to one and its effect to the other in the same transaction, and `verify` does it all
//! again and compares. Who wins is decided by [`kinfolk_core::merge`] alone; this module fetches rows and asks.
//!
//! **One writer.** The driver's thread owns the [`Store`]. It calls [`Store::begin`], applies the changes of many inputs, and
//! [`Store::commit`]s once: one write to the log file, one fsync (`synchronous=FULL`). What commit has returned for survives a
//! power cut.
//!
//! **Memory is a cache of disk.** Where sources stand, the digest sums and the next free number are held in memory and
//! written down with the commit. After a rollback they are read again.
//!
//! **Road not taken.** State could be kept as a view over the log, without tables of its own. Every read would then pay for
//! merging, and the wanted page of a million messages would not come in two milliseconds.

mod app_cursor;
mod apply;
mod apps;
mod collections;
mod compact;
mod contents;
mod conversations;
mod convert;
mod cut;
mod epochs;
mod error;
mod evidence;
mod facts;
mod field_index;
mod floors;
mod history;
mod join;
mod keep;
mod key;
mod level;
mod markers;
mod messages;
mod open;
mod prekeys;
mod prune;
mod quarantine;
mod reader;
mod rebuild;
mod refill;
mod registers;
mod restore;
mod revision;
mod schema;
mod sources;
#[cfg(test)]
mod tests;
mod verify;

use std::path::Path;

use rusqlite::Connection;

use kinfolk_core::digest::Sum;
use kinfolk_core::epoch::KeptEpoch;
use kinfolk_core::ids::{BundleSeq, DeviceId, Hash, SourceId};
use kinfolk_core::op::OP_LEVEL;
use kinfolk_core::parcel::MAX_SUMS;
use kinfolk_core::prekey::KeptPrekey;
use kinfolk_core::roster::{Prekey, SignedRecord};
use kinfolk_core::step::Change;

pub use self::app_cursor::MAX_CONSUMERS;
pub use self::apps::SavedApp;
pub use self::compact::Compacted;
pub use self::error::StoreError;
pub use self::field_index::{MAX_INDEXED, place};
pub use self::keep::SavedRelay;
pub use self::key::DbKey;
pub use self::level::Idle;
pub use self::open::DATABASE_FILE;
pub use self::prune::Pruned;
pub use self::quarantine::{QUARANTINE_ROWS, QUARANTINE_TOTAL};
pub use self::reader::{
    ConflictPlace, ConflictView, ConversationView, Counts, Entry, Explained, Exported, Found, Hit, Kept, LoggedBundle,
    Lookup, MARKERS_SETTING, MAX_PAGE, MAX_PAST, Marking, MessageView, Part, PastChange, Piece, Policy, Range, Reach,
    Reader, RecordView, Sought, Stretch, TracedBundle, WholePast,
};
pub use self::refill::Lacking;
pub use self::verify::{MAX_PROBLEMS, Problem, Report};

use self::apply::Origin;
use self::collections::Collections;
use self::conversations::Conversations;
use self::convert::{int, uint};
use self::level::Level;
use self::open::Access;
use self::quarantine::Shelf;
use self::sources::Sources;

/// The writer. There is at most one per database; whoever opens it holds the lock of the state directory.
///
/// Calls come in this order: `begin`, any number of `apply` and `facts`, then `commit` or `rollback`. After an error from
/// `apply` or `commit` only `rollback` is of use; the store is then as it was before `begin`.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
    cache: Cache,
    transaction: Transaction,
    compacted: Compacted,
    pruned: Pruned,
}

/// What a new database begins with.
#[derive(Clone, Debug)]
pub struct NewDevice {
    /// This device.
    pub me: DeviceId,
    /// The source it will write.
    pub source: SourceId,
    /// The number of that source among the device's sources, from 1.
    pub generation: u64,
    /// The id of the roster.
    pub roster: Hash,
    /// The roster records known so far, verified.
    pub records: Vec<SignedRecord>,
    /// The epochs of the group whose secrets it was given.
    pub epochs: Vec<KeptEpoch>,
    /// This device's prekey.
    pub prekey: KeptPrekey,
    /// What siblings announced to the device that invited this one, where it is not what the roster says.
    pub announced: Vec<(DeviceId, Prekey)>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Transaction {
    None,
    Open,
    Failed,
}

struct Cache {
    sources: Sources,
    collections: Collections,
    conversations: Conversations,
    /// The number that the next new row of records gets.
    next_row: i64,
    /// The last place given out in this device's order.
    last: BundleSeq,
    /// Whether bundles of removed devices were set aside.
    any_cut: bool,
    /// How many messages have their content elsewhere.
    lacking: u64,
    level: Level,
    shelf: Shelf,
}

impl Store {
    /// Makes a database in `dir` and opens it. A crash on the way leaves none.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when there is one; it is left as it is.
    pub fn create(dir: &Path, key: &DbKey, device: &NewDevice) -> Result<Self, StoreError> {
        let connection = open::create(dir, key, |connection| {
            let sql = "INSERT INTO device (one, me, source, generation, roster, epoch, prekey_slot, prekey)
                       VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6, ?7)";
            let prekey = (device.prekey.prekey.slot, device.prekey.prekey.public.as_ref());
            let (me, source, generation) = (device.me.0, device.source.0, int(device.generation));
            // Epochs and prekeys have tables of their own; these columns were for the only ones that an earlier version knew.
            let epoch = device.epochs.iter().map(|kept| kept.epoch.number).max().unwrap_or_default();
            connection.execute(sql, (me, source, generation, device.roster.0, epoch, prekey.0, prekey.1))?;
            device.epochs.iter().try_for_each(|kept| epochs::insert(connection, kept))?;
            prekeys::insert(connection, &device.prekey)?;
            device
                .announced
                .iter()
                .try_for_each(|(sibling, prekey)| apply::insert_announced(connection, *sibling, prekey))?;
            device.records.iter().try_for_each(|record| apply::insert_record(connection, record))
        })?;
        Self::over(connection)
    }

    /// Opens the database in `dir` and brings its schema up to date.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::WrongKey`], [`StoreError::Newer`] and [`StoreError::NewerOps`]; nothing is touched
    /// then.
    pub fn open(dir: &Path, key: &DbKey) -> Result<Self, StoreError> {
        Self::over(open::open(dir, key, Access::Write)?)
    }

    fn over(connection: Connection) -> Result<Self, StoreError> {
        Self::over_at(connection, OP_LEVEL)
    }

    /// As a version that understands ops up to `level` opens it.
    fn over_at(connection: Connection, level: u32) -> Result<Self, StoreError> {
        let cache = Cache::load(&connection)?;
        let mut store = Self {
            connection,
            cache,
            transaction: Transaction::None,
            compacted: Compacted::default(),
            pruned: Pruned::default(),
        };
        store.come_to(level)?;
        store.fill_history()?;
        Ok(store)
    }

    /// Opens a transaction.
    pub fn begin(&mut self) -> Result<(), StoreError> {
        if self.transaction != Transaction::None {
            return Err(StoreError::Transaction("one is open already"));
        }
        self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute(())?;
        self.transaction = Transaction::Open;
        Ok(())
    }

    /// Lets one change take effect in the open transaction.
    pub fn apply(&mut self, change: &Change) -> Result<(), StoreError> {
        if self.transaction != Transaction::Open {
            return Err(StoreError::Transaction("apply needs an open one without errors"));
        }
        self.perform(change).inspect_err(|_| self.transaction = Transaction::Failed)
    }

    /// Makes everything since `begin` durable.
    pub fn commit(&mut self) -> Result<(), StoreError> {
        if self.transaction != Transaction::Open {
            return Err(StoreError::Transaction("commit needs an open one without errors"));
        }
        self.transaction = Transaction::Failed;
        self.cache.flush(&self.connection)?;
        self.connection.prepare_cached("COMMIT")?.execute(())?;
        self.transaction = Transaction::None;
        Ok(())
    }

    /// Undoes everything since `begin`. Without an open transaction it changes nothing.
    pub fn rollback(&mut self) -> Result<(), StoreError> {
        // SQLite itself rolls back after some errors, a full disk among them.
        if !self.connection.is_autocommit() {
            self.connection.execute_batch("ROLLBACK")?;
        }
        if self.transaction != Transaction::None {
            self.cache = Cache::load(&self.connection)?;
            self.transaction = Transaction::None;
        }
        Ok(())
    }

    /// Closes the database and moves the write-ahead log into it. Without readers the log's file goes too; with some it stays, empty.
    ///
    /// # Errors
    /// When the log cannot be moved. It stays then, and the next start reads it: nothing is lost.
    pub fn close(self) -> Result<(), StoreError> {
        self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(()))?;
        self.connection.close().map_err(|(_, error)| error.into())
    }

    /// Gives back memory that only speeds up what comes next: nothing is about to come.
    pub fn rest(&self) -> Result<(), StoreError> {
        Ok(self.connection.execute_batch("PRAGMA shrink_memory")?)
    }

    /// The state digest, with what the open transaction has applied.
    pub fn digest(&self) -> Hash {
        self.cache.collections.digest()
    }

    /// The digest sums of the first [`MAX_SUMS`] collections, in order of name, with what the open transaction has applied.
    pub fn sums(&self) -> Vec<(String, Sum)> {
        self.cache.collections.sums().take(MAX_SUMS).collect()
    }

    /// How many messages have their content elsewhere, with what the open transaction has applied.
    pub fn lacking(&self) -> u64 {
        self.cache.lacking
    }

    /// The last place given out in this device's order.
    pub fn bundle_seq(&self) -> BundleSeq {
        self.cache.last
    }
}

impl Cache {
    fn load(connection: &Connection) -> Result<Self, StoreError> {
        // Every row has a write, for existence at least.
        // The last bundles may have been compacted away; their places are not given out again.
        let sql = "SELECT (SELECT coalesce(max(row), 0) FROM write),
                   max((SELECT coalesce(max(bundle_seq), 0) FROM log), (SELECT last FROM compaction)),
                   (SELECT coalesce(max(bundle_seq), 0) FROM cut_bundle),
                   (SELECT count(*) FROM message WHERE stub IS NOT NULL)";
        let (row, last, cut, lacking): (i64, i64, i64, i64) =
            connection.query_row(sql, (), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
        Ok(Self {
            sources: Sources::load(connection)?,
            collections: Collections::load(connection)?,
            conversations: Conversations::default(),
            next_row: row + 1,
            last: BundleSeq(uint(last.max(cut))),
            any_cut: cut > 0,
            lacking: uint(lacking),
            level: Level::load(connection)?,
            shelf: Shelf::load(connection)?,
        })
    }

    fn flush(&mut self, connection: &Connection) -> Result<(), StoreError> {
        self.conversations.flush(connection, &self.sources)?;
        self.collections.flush(connection)?;
        self.level.flush(connection)?;
        self.sources.flush(connection)
    }
}

impl std::fmt::Debug for Cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cache").field("last", &self.last).finish_non_exhaustive()
    }
}
