//! Contents that were elsewhere come back, and are given to siblings that lack them ([`kinfolk_core::contents`]).
//!
//! What comes back is put where it was before it went: into the op in the log, the row, the full-text index. The engine has held it against the hash; here
//! it counts only where a stub of that content still is, for meanwhile the message may have been deleted, or another post may have its id.

use rusqlite::{Connection, OptionalExtension};

use bytes::Bytes;
use kinfolk_core::contents::{Content, Contents, GIVEN_TARGET, MAX_WANTED, Wanted};
use kinfolk_core::ids::Hash;
use kinfolk_core::op::MessageBody;
use kinfolk_core::stub::{self, Elsewhere};
use prost::Message;

use super::convert::elsewhere_from_bytes;
use super::reader::Span;
use super::{Reader, Store, StoreError};

/// The row of a message whose content is elsewhere.
struct Lean {
    idx: i64,
    conversation: i64,
    source: i64,
    seq: i64,
    post: MessageBody,
    known: Elsewhere,
}

impl Store {
    /// Puts contents back, in the open transaction.
    pub(super) fn contents(&mut self, contents: &[Content]) -> Result<(), StoreError> {
        for Content { id, payload } in contents {
            let content = Hash::of(payload);
            let Some(lean) = lean(&self.connection, id)?.filter(|lean| lean.known.content == content) else { continue };
            put_back(&self.connection, id, payload, &lean)?;
            self.cache.lacking = self.cache.lacking.saturating_sub(1);
        }
        Ok(())
    }
}

impl Reader {
    /// What to ask other devices for, so that these messages become whole: of as many as have about `most` bytes, at least one.
    pub fn wanted(&self, ids: &[String], most: usize) -> Result<Vec<Wanted>, StoreError> {
        self.during(Span::Short, |connection| wanted(connection, ids, most))
    }

    /// What a sibling that asks for contents gets: as many of them as fit into a letter, at least one. Those that are not here it is told.
    pub fn contents(&self, wanted: &[Wanted]) -> Result<Contents, StoreError> {
        self.during(Span::Short, |connection| given(connection, wanted))
    }
}

pub(in crate::store) fn wanted(
    connection: &Connection,
    ids: &[String],
    most: usize,
) -> Result<Vec<Wanted>, StoreError> {
    let (mut wanted, mut room) = (Vec::new(), u64::try_from(most).unwrap_or(u64::MAX));
    for id in ids {
        let Some(Lean { known, .. }) = lean(connection, id)? else { continue };
        wanted.push(Wanted { content: known.content, id: id.clone() });
        if known.size >= room {
            break;
        }
        room -= known.size;
    }
    Ok(wanted)
}

pub(in crate::store) fn given(connection: &Connection, wanted: &[Wanted]) -> Result<Contents, StoreError> {
    let (mut contents, mut bytes) = (Contents::default(), 0);
    for name @ Wanted { content, id } in wanted.iter().take(MAX_WANTED) {
        let sql = "SELECT payload FROM message WHERE id = ?1 AND conversation IS NOT NULL AND stub IS NULL";
        let payload: Option<Vec<u8>> = connection.prepare_cached(sql)?.query_row((id,), |row| row.get(0)).optional()?;
        match payload.filter(|payload| Hash::of(payload) == *content) {
            None => contents.missing.push(name.clone()),
            Some(payload) if contents.given.is_empty() || bytes + payload.len() <= GIVEN_TARGET => {
                bytes += payload.len();
                contents.given.push(Content { id: id.clone(), payload: Bytes::from(payload) });
            }
            // It is asked for again.
            Some(_) => {}
        }
    }
    Ok(contents)
}

fn lean(connection: &Connection, id: &str) -> Result<Option<Lean>, StoreError> {
    let sql = "SELECT idx, conversation, source, seq, payload, stub FROM message WHERE id = ?1 AND stub IS NOT NULL";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query((id,))?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let post = MessageBody::decode(row.get_ref(4)?.as_blob().unwrap_or_default());
    Ok(Some(Lean {
        idx: row.get(0)?,
        conversation: row.get(1)?,
        source: row.get(2)?,
        seq: row.get(3)?,
        post: post.map_err(|_| StoreError::Damaged("a message is unreadable"))?,
        known: elsewhere_from_bytes(row.get_ref(5)?.as_blob().unwrap_or_default())?,
    }))
}

fn put_back(connection: &Connection, id: &str, payload: &[u8], lean: &Lean) -> Result<(), StoreError> {
    let whole = MessageBody::decode(payload).map_err(|_| StoreError::Damaged("a message is unreadable"))?;
    let sql = "SELECT bundle_seq, body FROM log WHERE source = ?1 AND seq = ?2";
    let (place, body): (i64, Vec<u8>) =
        connection.prepare_cached(sql)?.query_row((lean.source, lean.seq), |row| Ok((row.get(0)?, row.get(1)?)))?;
    let Some(body) = stub::restore(&body, id, payload) else {
        return Err(StoreError::Damaged("a message is not what its bundle says"));
    };
    connection.prepare_cached("UPDATE log SET body = ?2 WHERE bundle_seq = ?1")?.execute((place, body))?;
    let sql = "INSERT INTO message_text (message_text, rowid, text, sender, place) VALUES ('delete', ?1, ?2, ?3, ?4)";
    let before = (lean.idx, &lean.post.text, &lean.post.sender, lean.conversation);
    connection.prepare_cached(sql)?.execute(before)?;
    let sql = "UPDATE message SET payload = ?2, stub = NULL WHERE idx = ?1";
    connection.prepare_cached(sql)?.execute((lean.idx, payload))?;
    let sql = "INSERT INTO message_text (rowid, text, sender, place) VALUES (?1, ?2, ?3, ?4)";
    connection.prepare_cached(sql)?.execute((lean.idx, &whole.text, &whole.sender, lean.conversation))?;
    Ok(())
}
