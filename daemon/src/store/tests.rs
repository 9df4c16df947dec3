//! The store's rules as sentences. Devices here are an [`Author`], which writes bundles as an engine would, and a [`Store`].

mod author;
mod compaction;
mod conflicts;
mod convergence;
mod cuts;
mod durability;
mod evidence;
mod history;
mod hydration;
mod levels;
mod markers;
mod messages;
mod pruning;
mod quarantine;
mod reading;
mod records;
mod searching;
mod sending;
#[cfg(target_os = "linux")]
mod syncs;
mod verification;

use std::path::Path;

use bytes::Bytes;
use tempfile::TempDir;

use self::author::{Author, Written};
use super::*;
use kinfolk_core::epoch::{Epoch, HeldEpoch};
use kinfolk_core::ids::Millis;
use kinfolk_core::step::Append;

/// A store in a directory of its own.
struct Home {
    store: Store,
    dir: TempDir,
}

const KEY: [u8; 32] = [0x5A; 32];

fn key() -> DbKey {
    DbKey::new(KEY)
}

fn new_device(n: u8) -> NewDevice {
    let record = SignedRecord { bytes: Bytes::from_static(b"genesis"), signature: Bytes::from_static(&[1; 64]) };
    NewDevice {
        me: DeviceId([n; 16]),
        source: SourceId([n; 16]),
        generation: 1,
        roster: Hash([9; 32]),
        records: vec![record],
        epochs: vec![kept_epoch(3)],
        prekey: kept_prekey(2),
        announced: vec![(DeviceId([8; 16]), kept_prekey(6).prekey)],
    }
}

/// A prekey, its seed wrapped.
fn kept_prekey(slot: u32) -> KeptPrekey {
    let prekey = Prekey { slot, public: Bytes::from_static(&[4; 1216]) };
    KeptPrekey { prekey, made: Millis(7), kept: Bytes::from_static(b"wrapped") }
}

/// An epoch, its secret wrapped.
fn kept_epoch(number: u32) -> KeptEpoch {
    let epoch = Epoch { number, id: [3; 16] };
    KeptEpoch { epoch, commitment: Hash::default(), kept: Bytes::from_static(b"wrapped") }
}

impl Store {
    /// Runs any SQL: for tests that need a database in trouble.
    pub(crate) fn meddle(&self, sql: &str) {
        self.connection.execute_batch(sql).unwrap();
    }
}

impl Home {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let store = Store::create(dir.path(), &key(), &new_device(1)).unwrap();
        Self { store, dir }
    }

    /// For tests that only ask what follows from what: no file, no syncs.
    fn in_memory() -> Self {
        Self { store: Store::over(open::in_memory().unwrap()).unwrap(), dir: TempDir::new().unwrap() }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Closes and opens again.
    fn reopen(self) -> Self {
        self.reopen_at(OP_LEVEL)
    }

    /// As a version opens it that understands ops up to `level`.
    fn reopen_at(self, level: u32) -> Self {
        let Self { store, dir } = self;
        drop(store);
        let connection = open::open(dir.path(), &key(), Access::Write).unwrap();
        Self { store: Store::over_at(connection, level).unwrap(), dir }
    }

    /// Applies and commits, each bundle at the next place.
    fn take(&mut self, bundles: &[&Written]) {
        self.store.begin().unwrap();
        for written in bundles {
            self.store.apply(&append(&self.store, written)).unwrap();
        }
        self.store.commit().unwrap();
    }

    fn reader(&self) -> Reader {
        Reader::open(self.path(), &key()).unwrap()
    }

    /// One number out of the database.
    fn count(&self, sql: &str) -> i64 {
        self.store.connection.query_row(sql, (), |row| row.get(0)).unwrap()
    }

    fn text(&self, sql: &str) -> String {
        self.store.connection.query_row(sql, (), |row| row.get(0)).unwrap()
    }
}

fn append(store: &Store, written: &Written) -> Change {
    Change::Append(Append {
        bundle: written.bundle.clone(),
        device: written.device,
        bundle_seq: store.bundle_seq().next(),
        context: written.context.clone(),
        at: Millis(1_000),
        app: None,
    })
}
