//! Conversations and their messages.

use prost::Message;
use rusqlite::{Connection, OptionalExtension, Params};

use kinfolk_core::ids::BundleSeq;
use kinfolk_core::op::{Level, MessageBody};
use kinfolk_core::stub::Elsewhere;

use super::{MAX_PAGE, Reader};
use crate::store::StoreError;
use crate::store::convert::{elsewhere_from_bytes, limit, uint};

/// A conversation that has messages.
#[derive(Clone, Debug, PartialEq)]
pub struct ConversationView {
    /// Its name.
    pub name: String,
    /// How many messages it has.
    pub messages: u64,
    /// How many of them are neither outbound nor read.
    pub unread: u64,
    /// The last of them by instant, then id.
    pub last: MessageView,
}

/// A message that is not deleted.
#[derive(Clone, Debug, PartialEq)]
pub struct MessageView {
    /// Its id.
    pub id: String,
    /// What was posted, its conversation included.
    pub body: MessageBody,
    /// Its content is not here: what is known of it. `body` has neither text, bytes nor attachments then.
    pub elsewhere: Option<Elsewhere>,
    /// When it was created, in microseconds since the Unix epoch: as the app said, else when it was written.
    pub created_us: i64,
    /// When it was sent, delivered and read, in microseconds since the Unix epoch.
    pub levels: [Option<i64>; 3],
    /// The place of its last change in this device's order.
    pub row_version: BundleSeq,
}

impl MessageView {
    /// Whether somebody else wrote it and nobody has read it.
    pub fn is_unread(&self) -> bool {
        let [_, _, read] = self.levels;
        !self.body.outbound && read.is_none()
    }
}

/// The columns that [`read`] takes, of `message` as `m`.
pub(super) const COLUMNS: &str = "m.idx, m.id, m.created_us, m.version, m.payload, m.stub";

impl Reader {
    /// Conversations, those with the newest message first, then by name: those after `(instant of the last message, name)`,
    /// at most `most`, and at most [`MAX_PAGE`].
    pub fn conversations(&self, after: Option<(i64, &str)>, most: usize) -> Result<Vec<ConversationView>, StoreError> {
        // Names have at least one byte: nothing comes before this.
        let (after_us, after_name) = after.unwrap_or((i64::MAX, ""));
        self.with(|connection| {
            let sql = format!(
                "SELECT {COLUMNS}, c.name, c.messages, c.unread FROM conversation c JOIN message m ON m.idx = c.last
                 WHERE c.last_us <= ?1 AND (c.last_us < ?1 OR c.name > ?2)
                 ORDER BY c.last_us DESC, c.name LIMIT ?3"
            );
            let mut statement = connection.prepare_cached(&sql)?;
            let mut rows = statement.query((after_us, after_name, limit(most.min(MAX_PAGE))))?;
            let mut conversations = Vec::new();
            while let Some(row) = rows.next()? {
                conversations.push(ConversationView {
                    name: row.get(6)?,
                    messages: uint(row.get(7)?),
                    unread: uint(row.get(8)?),
                    last: read(connection, row)?,
                });
            }
            Ok(conversations)
        })
    }

    /// One conversation; `None` when it has no messages.
    pub fn conversation(&self, name: &str) -> Result<Option<ConversationView>, StoreError> {
        self.with(|connection| {
            let sql = format!(
                "SELECT {COLUMNS}, c.messages, c.unread FROM conversation c JOIN message m ON m.idx = c.last
                 WHERE c.name = ?1"
            );
            let mut statement = connection.prepare_cached(&sql)?;
            let mut rows = statement.query((name,))?;
            let Some(row) = rows.next()? else { return Ok(None) };
            Ok(Some(ConversationView {
                name: name.to_owned(),
                messages: uint(row.get(6)?),
                unread: uint(row.get(7)?),
                last: read(connection, row)?,
            }))
        })
    }

    /// Messages of a conversation, newest first by instant, then id: those before `(instant, id)`, at most `most`, and at
    /// most [`MAX_PAGE`].
    pub fn messages(
        &self,
        conversation: &str,
        before: Option<(i64, &str)>,
        most: usize,
    ) -> Result<Vec<MessageView>, StoreError> {
        let most = limit(most.min(MAX_PAGE));
        self.with(|connection| {
            let Some(conversation) = number(connection, conversation)? else { return Ok(Vec::new()) };
            match before {
                Some((created_us, id)) => {
                    let sql = format!(
                        "SELECT {COLUMNS} FROM message m WHERE m.conversation = ?1 AND (m.created_us, m.id) < (?2, ?3)
                         ORDER BY m.created_us DESC, m.id DESC LIMIT ?4"
                    );
                    list(connection, &sql, (conversation, created_us, id, most))
                }
                None => {
                    let sql = format!(
                        "SELECT {COLUMNS} FROM message m WHERE m.conversation = ?1
                         ORDER BY m.created_us DESC, m.id DESC LIMIT ?2"
                    );
                    list(connection, &sql, (conversation, most))
                }
            }
        })
    }

    /// The message of that id; `None` when it never came or is deleted.
    pub fn message(&self, id: &str) -> Result<Option<MessageView>, StoreError> {
        self.with(|connection| {
            let sql = format!("SELECT {COLUMNS} FROM message m WHERE m.id = ?1 AND m.conversation IS NOT NULL");
            Ok(list(connection, &sql, (id,))?.pop())
        })
    }
}

/// The number of a conversation.
pub(super) fn number(connection: &Connection, name: &str) -> Result<Option<i64>, StoreError> {
    let sql = "SELECT idx FROM conversation WHERE name = ?1";
    Ok(connection.prepare_cached(sql)?.query_row((name,), |row| row.get(0)).optional()?)
}

/// All messages that a query with [`COLUMNS`] gives.
pub(super) fn list(connection: &Connection, sql: &str, params: impl Params) -> Result<Vec<MessageView>, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    let mut messages = Vec::new();
    while let Some(row) = rows.next()? {
        messages.push(read(connection, row)?);
    }
    Ok(messages)
}

/// The message in a row that begins with [`COLUMNS`].
pub(super) fn read(connection: &Connection, row: &rusqlite::Row<'_>) -> Result<MessageView, StoreError> {
    let payload = row.get_ref(4)?.as_blob().unwrap_or_default();
    let body = MessageBody::decode(payload).map_err(|_| StoreError::Damaged("a message is unreadable"))?;
    let mut levels = [None; 3];
    let mut statement = connection.prepare_cached("SELECT level, at_us FROM status WHERE message = ?1")?;
    let mut statuses = statement.query((row.get::<_, i64>(0)?,))?;
    while let Some(status) = statuses.next()? {
        let level: u32 = status.get(0)?;
        for (slot, _) in levels.iter_mut().zip(Level::ALL).filter(|(_, known)| known.number() == level) {
            *slot = Some(status.get(1)?);
        }
    }
    let row_version = BundleSeq(uint(row.get(3)?));
    let elsewhere = row.get::<_, Option<Vec<u8>>>(5)?.as_deref().map(elsewhere_from_bytes).transpose()?;
    Ok(MessageView { id: row.get(1)?, body, elsewhere, created_us: row.get(2)?, levels, row_version })
}
