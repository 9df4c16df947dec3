//! Conversations and their messages.

use prost::Message;
use rusqlite::{Connection, OptionalExtension, Params};

use kinfolk_core::conversation::{Markers, Metadata};
use kinfolk_core::ids::BundleSeq;
use kinfolk_core::marker::ReadMarker;
use kinfolk_core::op::{CONVERSATION_COLLECTION, Level, MessageBody};
use kinfolk_core::stub::Elsewhere;

use super::{MAX_PAGE, Reader, records};
use crate::store::conversations::{NEVER, number};
use crate::store::convert::{elsewhere_from_bytes, limit, uint};
use crate::store::{StoreError, markers};

/// A conversation that has messages or metadata.
#[derive(Clone, Debug, PartialEq)]
pub struct ConversationView {
    /// Its name.
    pub name: String,
    /// How many messages it has.
    pub messages: u64,
    /// How many of them are unread.
    pub unread: u64,
    /// The last of them by instant, then id.
    pub last: Option<MessageView>,
    /// What is known of it beside them, with the place of the last change of that in this device's order.
    pub metadata: Option<(Metadata, BundleSeq)>,
    /// The furthest place up to which it was read: an instant in microseconds since the Unix epoch, and an id.
    pub read_to: Option<(i64, String)>,
    /// Whether a read marker that is set here reaches the other devices.
    pub markers: Markers,
}

impl ConversationView {
    /// Where it stands in the list of all, for the next page.
    pub fn place(&self) -> (i64, String) {
        (self.last.as_ref().map_or(NEVER, |last| last.created_us), self.name.clone())
    }
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
    /// Whether somebody else wrote it, nobody has read it, and no read marker covers it.
    pub unread: bool,
    /// The place of its last change in this device's order.
    pub row_version: BundleSeq,
}

/// Which messages of a conversation, and in which order.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Range {
    /// Only those after this instant and id.
    pub after: Option<(i64, String)>,
    /// Only those before this instant and id.
    pub before: Option<(i64, String)>,
    /// From the oldest on, not from the newest back.
    pub oldest_first: bool,
}

impl Range {
    /// What is left of it behind the message at `place`.
    pub fn behind(mut self, place: (i64, String)) -> Self {
        let bound = if self.oldest_first { &mut self.after } else { &mut self.before };
        *bound = Some(place);
        self
    }
}

/// The name of the setting that says whether read markers reach the other devices where a conversation does not say so itself.
pub const MARKERS_SETTING: &str = "read_markers";

/// The columns that [`read`] takes, of `message` as `m`.
pub(super) const COLUMNS: &str = "m.idx, m.id, m.created_us, m.version, m.payload, m.unread, m.stub";

impl Reader {
    /// Conversations, those with the newest message first, then by name: those after `(instant of the last message, name)`,
    /// at most `most`, and at most [`MAX_PAGE`].
    pub fn conversations(&self, after: Option<(i64, &str)>, most: usize) -> Result<Vec<ConversationView>, StoreError> {
        // Names have at least one byte: nothing comes before this.
        let (after_us, after_name) = after.unwrap_or((i64::MAX, ""));
        self.with(|connection| {
            let sql = format!(
                "SELECT {COLUMNS}, c.name, c.messages, c.unread FROM conversation c LEFT JOIN message m ON m.idx = c.last
                 WHERE c.last_us <= ?1 AND (c.last_us < ?1 OR c.name > ?2)
                 ORDER BY c.last_us DESC, c.name LIMIT ?3"
            );
            let mut statement = connection.prepare_cached(&sql)?;
            let mut rows = statement.query((after_us, after_name, limit(most.min(MAX_PAGE))))?;
            let usual = usual_markers(connection)?;
            let mut conversations = Vec::new();
            while let Some(row) = rows.next()? {
                conversations.push(view(connection, row, usual)?);
            }
            Ok(conversations)
        })
    }

    /// One conversation; `None` when it has neither messages nor metadata.
    pub fn conversation(&self, name: &str) -> Result<Option<ConversationView>, StoreError> {
        self.with(|connection| {
            let sql = format!(
                "SELECT {COLUMNS}, c.name, c.messages, c.unread FROM conversation c LEFT JOIN message m ON m.idx = c.last
                 WHERE c.name = ?1"
            );
            let mut statement = connection.prepare_cached(&sql)?;
            let mut rows = statement.query((name,))?;
            let Some(row) = rows.next()? else { return Ok(None) };
            view(connection, row, usual_markers(connection)?).map(Some)
        })
    }

    /// Messages of a conversation in that range by instant, then id: at most `most`, and at most [`MAX_PAGE`].
    pub fn messages(&self, conversation: &str, range: &Range, most: usize) -> Result<Vec<MessageView>, StoreError> {
        let most = limit(most.min(MAX_PAGE));
        self.with(|connection| {
            let Some(conversation) = number(connection, conversation)? else { return Ok(Vec::new()) };
            let Range { after, before, oldest_first } = range;
            let direction = if *oldest_first { "ASC" } else { "DESC" };
            // Ids have at least one byte: nothing comes before this.
            let (after_us, after_id) = after.as_ref().map_or((i64::MIN, ""), |(at, id)| (*at, id.as_str()));
            let order = format!("ORDER BY m.created_us {direction}, m.id {direction} LIMIT ?4");
            let above = format!(
                "SELECT {COLUMNS} FROM message m WHERE m.conversation = ?1 AND (m.created_us, m.id) > (?2, ?3)"
            );
            match before {
                Some((created_us, id)) => {
                    let sql = format!("{above} AND (m.created_us, m.id) < (?5, ?6) {order}");
                    list(connection, &sql, (conversation, after_us, after_id, most, created_us, id))
                }
                None => list(connection, &format!("{above} {order}"), (conversation, after_us, after_id, most)),
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

    /// Where the message of that id stands in a conversation; `None` when it is not in it.
    pub fn place_of(&self, conversation: &str, id: &str) -> Result<Option<(i64, String)>, StoreError> {
        self.with(|connection| {
            let Some(conversation) = number(connection, conversation)? else { return Ok(None) };
            place_of(connection, conversation, id)
        })
    }
}

/// [`Reader::place_of`] by the number of the conversation.
pub(super) fn place_of(
    connection: &Connection,
    conversation: i64,
    id: &str,
) -> Result<Option<(i64, String)>, StoreError> {
    let sql = "SELECT created_us, id FROM message WHERE id = ?1 AND conversation = ?2";
    let mut statement = connection.prepare_cached(sql)?;
    Ok(statement.query_row((id, conversation), |row| Ok((row.get(0)?, row.get(1)?))).optional()?)
}

/// What is known of a conversation beside its messages.
pub(super) fn metadata(connection: &Connection, name: &str) -> Result<Option<(Metadata, BundleSeq)>, StoreError> {
    let Some(record) = records::find(connection, CONVERSATION_COLLECTION, name)? else { return Ok(None) };
    let fields = record.fields.iter().map(|(field, value)| (field.as_str(), value));
    Ok(Some((Metadata::of_fields(fields), record.row_version)))
}

/// What becomes of read markers where a conversation does not say so.
pub(super) fn usual_markers(connection: &Connection) -> Result<Markers, StoreError> {
    let sql = "SELECT value FROM setting WHERE name = ?1";
    let set: Option<String> =
        connection.prepare_cached(sql)?.query_row((MARKERS_SETTING,), |row| row.get(0)).optional()?;
    Ok(set.and_then(|name| Markers::from_name(&name)).unwrap_or_default())
}

/// The conversation in a row of [`COLUMNS`], name, messages and unread.
fn view(connection: &Connection, row: &rusqlite::Row<'_>, usual: Markers) -> Result<ConversationView, StoreError> {
    let name: String = row.get(7)?;
    let has_last = row.get::<_, Option<i64>>(0)?.is_some();
    let metadata = metadata(connection, &name)?;
    let said = metadata.as_ref().and_then(|(metadata, _)| metadata.markers);
    let held = markers::of(connection, &name)?;
    let furthest = held.iter().map(ReadMarker::place).max();
    Ok(ConversationView {
        messages: uint(row.get(8)?),
        unread: uint(row.get(9)?),
        last: if has_last { Some(read(connection, row)?) } else { None },
        metadata,
        read_to: furthest.map(|(created_us, id)| (created_us, id.to_owned())),
        markers: said.unwrap_or(usual),
        name,
    })
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
    let elsewhere = row.get::<_, Option<Vec<u8>>>(6)?.as_deref().map(elsewhere_from_bytes).transpose()?;
    let (id, created_us, unread) = (row.get(1)?, row.get(2)?, row.get(5)?);
    Ok(MessageView { id, body, elsewhere, created_us, levels, unread, row_version })
}
