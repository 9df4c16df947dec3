//! What is counted of conversations: how many messages, how many unread, which is the last.
//!
//! While a transaction runs, only differences are noted; each conversation that was touched is brought up to date once, before
//! the commit. The last message comes out of the index, so nothing has to be known about the one before it. A conversation
//! without messages and without metadata has no row: it looks the same whether its messages were deleted here or never came. One that has
//! only metadata stands behind all others.
//!
//! Metadata and read markers are records; what a record's change means for its conversation is noted around the write
//! ([`Conversations::before_write`]). When a marker moved, it is held against the messages of the conversation ([`super::markers`]).

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, OptionalExtension};

use kinfolk_core::ids::Dot;
use kinfolk_core::marker::{READ_COLLECTION, ReadMarker};
use kinfolk_core::op::CONVERSATION_COLLECTION;

use super::sources::Sources;
use super::{StoreError, markers};

/// The conversations that the open transaction has touched.
#[derive(Default)]
pub(super) struct Conversations {
    by_name: BTreeMap<String, i64>,
    touched: BTreeMap<i64, Difference>,
    /// Those whose metadata were written.
    described: BTreeSet<String>,
    /// Those whose read markers moved; true when something is not covered any more.
    marked: BTreeMap<String, bool>,
    /// The markers that posts were held against.
    markers: BTreeMap<i64, Vec<ReadMarker>>,
}

#[derive(Default)]
struct Difference {
    messages: i64,
    unread: i64,
}

/// What must be known before a record is written.
pub(super) enum Before {
    /// It says nothing about a conversation.
    Other,
    /// It is what is known of one.
    Metadata,
    /// It holds its read markers: these.
    Markers(Vec<ReadMarker>),
}

/// Where a conversation without messages stands: behind all others.
pub(super) const NEVER: i64 = i64::MIN;

impl Conversations {
    /// The number of the conversation of that name, made when it is new.
    pub(super) fn enter(&mut self, connection: &Connection, name: &str) -> Result<i64, StoreError> {
        if let Some(idx) = self.by_name.get(name) {
            return Ok(*idx);
        }
        let idx = match number(connection, name)? {
            Some(idx) => idx,
            None => {
                let sql = "INSERT INTO conversation (name, messages, unread) VALUES (?1, 0, 0)";
                connection.prepare_cached(sql)?.execute((name,))?;
                connection.last_insert_rowid()
            }
        };
        self.by_name.insert(name.to_owned(), idx);
        self.touched.entry(idx).or_default();
        Ok(idx)
    }

    /// Notes that the conversation has so many more messages, and so many more unread.
    pub(super) fn count(&mut self, idx: i64, messages: i64, unread: i64) {
        let difference = self.touched.entry(idx).or_default();
        difference.messages += messages;
        difference.unread += unread;
    }

    /// Whether a read marker covers a message of the conversation of that number and name.
    pub(super) fn is_read(
        &mut self,
        connection: &Connection,
        (idx, name): (i64, &str),
        (created_us, id): (i64, &str),
        post: Dot,
    ) -> Result<bool, StoreError> {
        let held = match self.markers.entry(idx) {
            Entry::Occupied(held) => held.into_mut(),
            Entry::Vacant(none) => none.insert(markers::of(connection, name)?),
        };
        Ok(held.iter().any(|marker| marker.covers(created_us, id, post)))
    }

    /// To be asked before the record `(collection, key)` is written or taken away.
    pub(super) fn before_write(connection: &Connection, collection: &str, key: &str) -> Result<Before, StoreError> {
        Ok(match collection {
            CONVERSATION_COLLECTION => Before::Metadata,
            READ_COLLECTION => Before::Markers(markers::of(connection, key)?),
            _other => Before::Other,
        })
    }

    /// Notes what became of it.
    pub(super) fn after_write(
        &mut self,
        connection: &Connection,
        key: &str,
        before: &Before,
    ) -> Result<(), StoreError> {
        match before {
            Before::Other => Ok(()),
            Before::Metadata => {
                self.described.insert(key.to_owned());
                Ok(())
            }
            Before::Markers(before) => self.mark(connection, key, before),
        }
    }

    /// Notes that the read markers of a conversation were `before` and are others now.
    pub(super) fn mark(
        &mut self,
        connection: &Connection,
        name: &str,
        before: &[ReadMarker],
    ) -> Result<(), StoreError> {
        let now = markers::of(connection, name)?;
        let is_kept = |marker: &ReadMarker| now.iter().any(|other| other.covers_all_of(marker));
        let less = !before.iter().all(is_kept);
        *self.marked.entry(name.to_owned()).or_default() |= less;
        Ok(())
    }

    /// Brings all touched ones up to date.
    pub(super) fn flush(&mut self, connection: &Connection, sources: &Sources) -> Result<(), StoreError> {
        for name in std::mem::take(&mut self.described) {
            if is_described(connection, &name)? {
                self.enter(connection, &name)?;
            } else if let Some(idx) = number(connection, &name)? {
                self.touched.entry(idx).or_default();
            }
        }
        for (name, less) in std::mem::take(&mut self.marked) {
            let Some(idx) = number(connection, &name)? else { continue };
            let held = markers::of(connection, &name)?;
            let unread = if less {
                markers::recount(connection, sources, idx, &held)?
            } else {
                markers::read(connection, sources, idx, &held)?
            };
            self.count(idx, 0, unread);
        }
        let update = "UPDATE conversation
             SET messages = messages + ?2, unread = unread + ?3, (last_us, last) = (
                 SELECT created_us, idx FROM message WHERE conversation = ?1 ORDER BY created_us DESC, id DESC LIMIT 1)
             WHERE idx = ?1 RETURNING messages, name";
        for (idx, Difference { messages, unread }) in std::mem::take(&mut self.touched) {
            let mut statement = connection.prepare_cached(update)?;
            let left: (i64, String) =
                statement.query_row((idx, messages, unread), |row| Ok((row.get(0)?, row.get(1)?)))?;
            match left {
                (0, name) if is_described(connection, &name)? => {
                    let sql = "UPDATE conversation SET last_us = ?2 WHERE idx = ?1";
                    connection.prepare_cached(sql)?.execute((idx, NEVER))?;
                }
                (0, _) => {
                    connection.prepare_cached("DELETE FROM conversation WHERE idx = ?1")?.execute((idx,))?;
                }
                (_, _) => {}
            }
        }
        self.by_name.clear();
        self.markers.clear();
        Ok(())
    }
}

/// The number of a conversation.
pub(super) fn number(connection: &Connection, name: &str) -> Result<Option<i64>, StoreError> {
    let sql = "SELECT idx FROM conversation WHERE name = ?1";
    Ok(connection.prepare_cached(sql)?.query_row((name,), |row| row.get(0)).optional()?)
}

/// Whether anything but messages is known of a conversation.
fn is_described(connection: &Connection, name: &str) -> Result<bool, StoreError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM row r JOIN collection c ON c.idx = r.collection
                              WHERE c.name = ?1 AND r.key = ?2 AND r.live)";
    Ok(connection.prepare_cached(sql)?.query_row((CONVERSATION_COLLECTION, name), |row| row.get(0))?)
}
