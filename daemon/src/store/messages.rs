//! Messages: posts, status times and tombstones take effect, by [`merge`].
//!
//! A post becomes a row, a place in its conversation, and words in the full-text index. A second post under one id replaces the
//! first or loses to it; the hashes of the contents that lost are kept, to be counted. A status that comes before its message
//! makes a row without content that waits for it. A deletion takes all of that away and leaves one tombstone, after which
//! posts and statuses of that id do nothing: the tombstone is found by the hash of the message's name, since it has
//! forgotten the name.
//!
//! Of a *stub* ([`kinfolk_core::stub`]) the row holds what is left of the post, and the hashes of what is kept elsewhere; the index finds it by its
//! sender only.
//!
//! Leaves: the post under [`digest::FIELD_POST`], each status level under its name, the tombstone under
//! [`digest::FIELD_TOMBSTONE`].

use prost::Message;
use rusqlite::{Connection, OptionalExtension};

use kinfolk_core::clock::Stamp;
use kinfolk_core::digest;
use kinfolk_core::ids::{Dot, Hash};
use kinfolk_core::merge::{self, Timed};
use kinfolk_core::op::{Level, MESSAGE_COLLECTION, MessageBody};
use kinfolk_core::stub::Elsewhere;

use super::collections::Collection;
use super::conversations::Conversations;
use super::convert::{elsewhere_from_bytes, elsewhere_to_bytes, int, uint};
use super::sources::Sources;
use super::{Cache, Origin, StoreError};

/// The tables of messages with what is known of them in memory.
pub(super) struct Messages<'a> {
    pub(super) connection: &'a Connection,
    pub(super) sources: &'a Sources,
    pub(super) conversations: &'a mut Conversations,
    collection: &'a mut Collection,
    /// How many stubs there are.
    lacking: &'a mut u64,
}

/// A message as it is stored.
struct Stored {
    idx: i64,
    unread: bool,
    /// `None` while only a status has come.
    post: Option<Post>,
}

struct Post {
    conversation: i64,
    dot: Dot,
    stamp: Stamp,
    payload: Vec<u8>,
    stub: Option<Elsewhere>,
}

/// What was posted.
pub(super) struct Posted<'p> {
    /// The encoded `body`.
    pub(super) payload: &'p [u8],
    pub(super) body: &'p MessageBody,
    /// The content is not in it, but elsewhere.
    pub(super) stub: Option<Elsewhere>,
}

impl Post {
    fn content(&self) -> Hash {
        self.stub.map_or_else(|| Hash::of(&self.payload), |stub| stub.content)
    }

    fn leaf(&self, entity: Hash) -> Hash {
        post_leaf(entity, self.dot, self.stamp, &self.payload, self.stub)
    }
}

impl Posted<'_> {
    fn content(&self) -> Hash {
        self.stub.map_or_else(|| Hash::of(self.payload), |stub| stub.content)
    }

    fn differs_from(&self, post: &Post) -> bool {
        match (&self.stub, &post.stub) {
            (None, None) => self.payload != post.payload,
            (Some(_), _) | (_, Some(_)) => self.content() != post.content(),
        }
    }
}

impl<'a> Messages<'a> {
    /// Gathers what is needed.
    pub(super) fn new(connection: &'a Connection, cache: &'a mut Cache) -> Result<Self, StoreError> {
        let Cache { sources, collections, conversations, lacking, .. } = cache;
        let collection = collections.enter(connection, MESSAGE_COLLECTION)?;
        Ok(Self { connection, sources, conversations, collection, lacking })
    }

    /// A post.
    pub(super) fn post(&mut self, origin: &Origin<'_>, id: &str, posted: &Posted<'_>) -> Result<(), StoreError> {
        let Posted { payload, body, .. } = *posted;
        let entity = digest::entity(MESSAGE_COLLECTION, id);
        if self.tombstone(entity)?.is_some() {
            return Ok(());
        }
        let conversation = self.conversations.enter(self.connection, &body.conversation)?;
        let created_us = merge::time_or_stamp(body.created_us, origin.stamp);
        let version = int(origin.place.0);
        let place = (conversation, body.conversation.as_str());
        let unread =
            !body.outbound && !self.conversations.is_read(self.connection, place, (created_us, id), origin.dot)?;
        let insert =
            "INSERT INTO message (id, conversation, created_us, unread, version, source, seq, stamp, payload, stub)
                      VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT DO NOTHING";
        let stub = posted.stub.as_ref().map(elsewhere_to_bytes);
        let (seq, stamp) = (int(origin.dot.seq.0), int(origin.stamp.0));
        let stub = stub.as_deref();
        let columns = (id, conversation, created_us, unread, version, origin.source, seq, stamp, payload, stub);
        if self.connection.prepare_cached(insert)?.execute(columns)? == 1 {
            let idx = self.connection.last_insert_rowid();
            return self.enter(idx, entity, origin, posted, (conversation, unread));
        }

        let stored = self.stored(id)?.ok_or(StoreError::Damaged("a message is gone"))?;
        if let Some(current) = &stored.post {
            let differs = posted.differs_from(current);
            if !merge::post_wins((origin.stamp, origin.dot), (current.stamp, current.dot)) {
                return if differs { self.add_variant(stored.idx, posted.content()) } else { Ok(()) };
            }
            if differs {
                self.add_variant(stored.idx, current.content())?;
                let sql = "DELETE FROM message_variant WHERE message = ?1 AND content = ?2";
                self.connection.prepare_cached(sql)?.execute((stored.idx, posted.content().0))?;
            }
            self.leave(&stored, current, entity)?;
        }
        let unread = unread && self.level(stored.idx, Level::Read)?.is_none();
        let update = "UPDATE message SET conversation = ?2, created_us = ?3, unread = ?4, version = ?5, source = ?6,
                      seq = ?7, stamp = ?8, payload = ?9, stub = ?10 WHERE idx = ?1";
        let columns = (stored.idx, conversation, created_us, unread, version, origin.source, seq, stamp, payload, stub);
        self.connection.prepare_cached(update)?.execute(columns)?;
        self.enter(stored.idx, entity, origin, posted, (conversation, unread))
    }

    /// A status step.
    pub(super) fn status(&mut self, id: &str, level: Level, at: Timed, origin: &Origin<'_>) -> Result<(), StoreError> {
        let entity = digest::entity(MESSAGE_COLLECTION, id);
        if self.tombstone(entity)?.is_some() {
            return Ok(());
        }
        let version = int(origin.place.0);
        let insert = "INSERT INTO message (id, unread, version) VALUES (?1, 0, ?2) ON CONFLICT DO NOTHING";
        self.connection.prepare_cached(insert)?.execute((id, version))?;
        let stored = self.stored(id)?.ok_or(StoreError::Damaged("a message is gone"))?;
        if let Some(current) = self.level(stored.idx, level)? {
            if !merge::time_wins(&at, &current) {
                return Ok(());
            }
            self.collection.sum.remove(timed_leaf(entity, level.name(), &current));
        }
        let replace = "INSERT OR REPLACE INTO status (message, level, at_us, source, seq, stamp)
                       VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let columns = (stored.idx, level.number(), at.at_us, origin.source, int(at.dot.seq.0), int(at.stamp.0));
        self.connection.prepare_cached(replace)?.execute(columns)?;
        self.collection.sum.add(timed_leaf(entity, level.name(), &at));
        let unread = stored.unread && level != Level::Read;
        let update = "UPDATE message SET unread = ?2, version = ?3 WHERE idx = ?1";
        self.connection.prepare_cached(update)?.execute((stored.idx, unread, version))?;
        if let Some(post) = stored.post.filter(|_| stored.unread && !unread) {
            self.conversations.count(post.conversation, 0, -1);
        }
        Ok(())
    }

    /// A deletion.
    pub(super) fn delete(&mut self, id: &str, at: Timed, origin: &Origin<'_>) -> Result<(), StoreError> {
        let entity = digest::entity(MESSAGE_COLLECTION, id);
        match self.tombstone(entity)? {
            Some(current) if !merge::time_wins(&at, &current) => return Ok(()),
            Some(current) => self.collection.sum.remove(timed_leaf(entity, digest::FIELD_TOMBSTONE, &current)),
            None => self.forget(id, entity)?,
        }
        let replace =
            "INSERT OR REPLACE INTO tombstone (entity, at_us, source, seq, stamp) VALUES (?1, ?2, ?3, ?4, ?5)";
        let columns = (entity.0, at.at_us, origin.source, int(at.dot.seq.0), int(at.stamp.0));
        self.connection.prepare_cached(replace)?.execute(columns)?;
        self.collection.sum.add(timed_leaf(entity, digest::FIELD_TOMBSTONE, &at));
        Ok(())
    }

    /// Takes away all that is stored of a message, its tombstone too.
    pub(super) fn clear(&mut self, id: &str) -> Result<(), StoreError> {
        let entity = digest::entity(MESSAGE_COLLECTION, id);
        self.forget(id, entity)?;
        if let Some(current) = self.tombstone(entity)? {
            self.collection.sum.remove(timed_leaf(entity, digest::FIELD_TOMBSTONE, &current));
            self.connection.prepare_cached("DELETE FROM tombstone WHERE entity = ?1")?.execute((entity.0,))?;
        }
        Ok(())
    }

    /// A post that is now the message's content enters the index, the conversation and the digest.
    fn enter(
        &mut self,
        idx: i64,
        entity: Hash,
        origin: &Origin<'_>,
        posted: &Posted<'_>,
        (conversation, unread): (i64, bool),
    ) -> Result<(), StoreError> {
        let Posted { payload, body, stub } = *posted;
        let sql = "INSERT INTO message_text (rowid, text, sender, place) VALUES (?1, ?2, ?3, ?4)";
        self.connection.prepare_cached(sql)?.execute((idx, &body.text, &body.sender, conversation))?;
        self.conversations.count(conversation, 1, i64::from(unread));
        self.collection.sum.add(post_leaf(entity, origin.dot, origin.stamp, payload, stub));
        *self.lacking += u64::from(stub.is_some());
        Ok(())
    }

    /// A post that is no longer the message's content leaves the index, the conversation and the digest.
    fn leave(&mut self, stored: &Stored, post: &Post, entity: Hash) -> Result<(), StoreError> {
        let sql =
            "INSERT INTO message_text (message_text, rowid, text, sender, place) VALUES ('delete', ?1, ?2, ?3, ?4)";
        let body = MessageBody::decode(post.payload.as_slice());
        let body = body.map_err(|_| StoreError::Damaged("a message is unreadable"))?;
        self.connection.prepare_cached(sql)?.execute((stored.idx, body.text, body.sender, post.conversation))?;
        self.conversations.count(post.conversation, -1, -i64::from(stored.unread));
        self.collection.sum.remove(post.leaf(entity));
        *self.lacking = self.lacking.saturating_sub(u64::from(post.stub.is_some()));
        Ok(())
    }

    /// Takes away all that is stored under `id`.
    fn forget(&mut self, id: &str, entity: Hash) -> Result<(), StoreError> {
        let Some(stored) = self.stored(id)? else { return Ok(()) };
        if let Some(post) = &stored.post {
            self.leave(&stored, post, entity)?;
        }
        for level in Level::ALL {
            if let Some(at) = self.level(stored.idx, level)? {
                self.collection.sum.remove(timed_leaf(entity, level.name(), &at));
            }
        }
        self.connection.prepare_cached("DELETE FROM status WHERE message = ?1")?.execute((stored.idx,))?;
        self.connection.prepare_cached("DELETE FROM message_variant WHERE message = ?1")?.execute((stored.idx,))?;
        self.connection.prepare_cached("DELETE FROM message WHERE idx = ?1")?.execute((stored.idx,))?;
        Ok(())
    }

    fn add_variant(&self, idx: i64, content: Hash) -> Result<(), StoreError> {
        let sql = "INSERT INTO message_variant (message, content) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
        self.connection.prepare_cached(sql)?.execute((idx, content.0))?;
        Ok(())
    }

    fn stored(&self, id: &str) -> Result<Option<Stored>, StoreError> {
        let sql = "SELECT idx, unread, conversation, source, seq, stamp, payload, stub FROM message WHERE id = ?1";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query((id,))?;
        let Some(row) = rows.next()? else { return Ok(None) };
        let post = match row.get(2)? {
            Some(conversation) => Some(Post {
                conversation,
                dot: self.sources.dot(row.get(3)?, row.get(4)?)?,
                stamp: Stamp(uint(row.get(5)?)),
                payload: row.get(6)?,
                stub: row.get::<_, Option<Vec<u8>>>(7)?.as_deref().map(elsewhere_from_bytes).transpose()?,
            }),
            None => None,
        };
        Ok(Some(Stored { idx: row.get(0)?, unread: row.get(1)?, post }))
    }

    fn level(&self, idx: i64, level: Level) -> Result<Option<Timed>, StoreError> {
        let sql = "SELECT at_us, source, seq, stamp FROM status WHERE message = ?1 AND level = ?2";
        let mut statement = self.connection.prepare_cached(sql)?;
        let found: Option<TimedRow> = statement.query_row((idx, level.number()), |row| row.try_into()).optional()?;
        found.map(|found| found.read(self.sources)).transpose()
    }

    fn tombstone(&self, entity: Hash) -> Result<Option<Timed>, StoreError> {
        let sql = "SELECT at_us, source, seq, stamp FROM tombstone WHERE entity = ?1";
        let mut statement = self.connection.prepare_cached(sql)?;
        let found: Option<TimedRow> = statement.query_row((entity.0,), |row| row.try_into()).optional()?;
        found.map(|found| found.read(self.sources)).transpose()
    }
}

/// `at_us, source, seq, stamp` as they stand in a row.
struct TimedRow(i64, i64, i64, i64);

impl<'a> TryFrom<&rusqlite::Row<'a>> for TimedRow {
    type Error = rusqlite::Error;

    fn try_from(row: &rusqlite::Row<'a>) -> Result<Self, Self::Error> {
        Ok(Self(row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
    }
}

impl TimedRow {
    fn read(&self, sources: &Sources) -> Result<Timed, StoreError> {
        let Self(at_us, source, seq, stamp) = *self;
        Ok(Timed { at_us, stamp: Stamp(uint(stamp)), dot: sources.dot(source, seq)? })
    }
}

fn post_leaf(entity: Hash, dot: Dot, stamp: Stamp, payload: &[u8], stub: Option<Elsewhere>) -> Hash {
    let value = stub.map_or_else(|| merge::value_hash(Some(payload)), |stub| stub.value);
    digest::leaf(entity, digest::FIELD_POST, dot, stamp, value)
}

fn timed_leaf(entity: Hash, field: &str, at: &Timed) -> Hash {
    digest::leaf(entity, field, at.dot, at.stamp, at.value_hash())
}
