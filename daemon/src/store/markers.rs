//! Which messages read markers cover.
//!
//! Each message says whether it is unread, so that counts and pages cost nothing. Markers are held against messages when either comes: a post against
//! the markers that are here, a marker that moved forward against the messages that are unread ([`read`]). When a bundle with a marker is taken back,
//! as with a removed device, all messages of the conversation are looked at ([`recount`]). What is covered is said by
//! [`ReadMarker::covers`] alone, so all these ways come to the same.

use prost::Message;
use rusqlite::{Connection, OptionalExtension};

use kinfolk_core::marker::{READ_COLLECTION, ReadMarker};
use kinfolk_core::merge;
use kinfolk_core::op::{Level, MessageBody};
use kinfolk_core::value::Value;

use super::sources::Sources;
use super::{Store, StoreError};

/// The markers of a conversation: this device's own, and those that reach all devices. What cannot be understood marks nothing.
pub(super) fn of(connection: &Connection, conversation: &str) -> Result<Vec<ReadMarker>, StoreError> {
    let mut markers: Vec<ReadMarker> = local(connection, conversation)?.into_iter().collect();
    let sql = "SELECT w.value FROM write w JOIN row r ON r.idx = w.row JOIN collection c ON c.idx = r.collection
               WHERE c.name = ?1 AND r.key = ?2 AND w.field <> ?3 AND w.value IS NOT NULL";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query((READ_COLLECTION, conversation, merge::EXISTENCE))?;
    while let Some(row) = rows.next()? {
        let value = Value::from_bytes(row.get_ref(0)?.as_blob().unwrap_or_default());
        markers.extend(value.as_ref().and_then(ReadMarker::of_value));
    }
    Ok(markers)
}

/// This device's own marker of a conversation.
pub(super) fn local(connection: &Connection, conversation: &str) -> Result<Option<ReadMarker>, StoreError> {
    let sql = "SELECT marker FROM read_marker WHERE conversation = ?1";
    let kept: Option<Vec<u8>> =
        connection.prepare_cached(sql)?.query_row((conversation,), |row| row.get(0)).optional()?;
    let damaged = StoreError::Damaged("a read marker is unreadable");
    kept.map(|bytes| ReadMarker::from_bytes(&bytes).ok_or(damaged)).transpose()
}

/// Lets unread messages of a conversation that are covered be read. Gives by how much the number of unread ones changed.
pub(super) fn read(
    connection: &Connection,
    sources: &Sources,
    conversation: i64,
    markers: &[ReadMarker],
) -> Result<i64, StoreError> {
    let Some((created_us, id)) = markers.iter().map(ReadMarker::place).max() else { return Ok(0) };
    let sql = "SELECT idx, created_us, id, source, seq FROM message
               WHERE conversation = ?1 AND unread AND (created_us, id) <= (?2, ?3)";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query((conversation, created_us, id))?;
    let mut covered: Vec<i64> = Vec::new();
    while let Some(row) = rows.next()? {
        let (created_us, id): (i64, String) = (row.get(1)?, row.get(2)?);
        let post = sources.dot(row.get(3)?, row.get(4)?)?;
        if markers.iter().any(|marker| marker.covers(created_us, &id, post)) {
            covered.push(row.get(0)?);
        }
    }
    drop(rows);
    for idx in &covered {
        connection.prepare_cached("UPDATE message SET unread = 0 WHERE idx = ?1")?.execute((idx,))?;
    }
    Ok(-i64::try_from(covered.len()).unwrap_or(i64::MAX))
}

/// Says anew of every message of a conversation whether it is unread. Gives by how much their number changed.
pub(super) fn recount(
    connection: &Connection,
    sources: &Sources,
    conversation: i64,
    markers: &[ReadMarker],
) -> Result<i64, StoreError> {
    let sql = "SELECT idx, created_us, id, source, seq, unread, payload,
                   EXISTS (SELECT 1 FROM status s WHERE s.message = m.idx AND s.level = ?2)
               FROM message m WHERE conversation = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query((conversation, Level::Read.number()))?;
    let mut changed: Vec<(i64, bool)> = Vec::new();
    while let Some(row) = rows.next()? {
        let (created_us, id): (i64, String) = (row.get(1)?, row.get(2)?);
        let post = sources.dot(row.get(3)?, row.get(4)?)?;
        let (was, is_read): (bool, bool) = (row.get(5)?, row.get(7)?);
        let body = MessageBody::decode(row.get_ref(6)?.as_blob().unwrap_or_default());
        let body = body.map_err(|_| StoreError::Damaged("a message is unreadable"))?;
        let is_covered = markers.iter().any(|marker| marker.covers(created_us, &id, post));
        let unread = !body.outbound && !is_read && !is_covered;
        if unread != was {
            changed.push((row.get(0)?, unread));
        }
    }
    drop(rows);
    let mut difference = 0;
    for (idx, unread) in changed {
        connection.prepare_cached("UPDATE message SET unread = ?2 WHERE idx = ?1")?.execute((idx, unread))?;
        difference += if unread { 1 } else { -1 };
    }
    Ok(difference)
}

impl Store {
    /// Keeps this device's own marker of a conversation, in place of an earlier one. Durable when it returns.
    pub fn keep_marker(&mut self, conversation: &str, marker: &ReadMarker) -> Result<(), StoreError> {
        self.begin()?;
        let kept = self.set_marker(conversation, marker).and_then(|()| self.commit());
        if kept.is_err() {
            self.rollback()?;
        }
        kept
    }

    /// The same in the open transaction.
    pub(super) fn set_marker(&mut self, conversation: &str, marker: &ReadMarker) -> Result<(), StoreError> {
        let before = of(&self.connection, conversation)?;
        let sql = "INSERT OR REPLACE INTO read_marker (conversation, marker) VALUES (?1, ?2)";
        self.connection.prepare_cached(sql)?.execute((conversation, marker.to_bytes()))?;
        self.cache.conversations.mark(&self.connection, conversation, &before)
    }

    /// Takes over the markers that another database keeps for itself: no log tells of them.
    pub(super) fn copy_markers(&mut self, other: &Connection) -> Result<(), StoreError> {
        let mut statement = other.prepare("SELECT conversation FROM read_marker")?;
        let mut rows = statement.query(())?;
        while let Some(row) = rows.next()? {
            let conversation: String = row.get(0)?;
            if let Some(marker) = local(other, &conversation)? {
                self.set_marker(&conversation, &marker)?;
            }
        }
        Ok(())
    }
}
