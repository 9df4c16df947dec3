//! What must be known to move a read marker.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension};

use kinfolk_core::conversation::Markers;
use kinfolk_core::ids::{Seq, SourceId};
use kinfolk_core::marker::{READ_COLLECTION, ReadMarker};

use super::conversations::{metadata, place_of, usual_markers};
use super::{Reader, records};
use crate::store::conversations::number;
use crate::store::convert::uint;
use crate::store::{StoreError, markers};

/// A conversation as it stands when its marker is moved.
#[derive(Clone, Debug, PartialEq)]
pub struct Marking {
    /// Where the marker goes: instant and id.
    pub place: (i64, String),
    /// How much of each source is here.
    pub seen: BTreeMap<SourceId, Seq>,
    /// Whether the marker reaches the other devices.
    pub markers: Markers,
    /// This device's marker of that kind.
    pub current: Option<ReadMarker>,
    /// Whether a message up to the place is unread.
    pub any_unread: bool,
}

impl Reader {
    /// What moves the marker of a conversation to the message of that id, or else to the newest one; `device` is the field in which this device's
    /// markers stand. `None` when there is no such message in the conversation.
    pub fn marking(&self, conversation: &str, id: Option<&str>, device: &str) -> Result<Option<Marking>, StoreError> {
        self.with(|connection| {
            let Some(idx) = number(connection, conversation)? else { return Ok(None) };
            let place = match id {
                Some(id) => place_of(connection, idx, id)?,
                None => newest(connection, idx)?,
            };
            let Some(place) = place else { return Ok(None) };
            let said = metadata(connection, conversation)?.and_then(|(metadata, _)| metadata.markers);
            let markers = match said {
                Some(said) => said,
                None => usual_markers(connection)?,
            };
            let current = match markers {
                Markers::Local => markers::local(connection, conversation)?,
                Markers::Synced => {
                    let record = records::find(connection, READ_COLLECTION, conversation)?;
                    let mut fields = record.into_iter().flat_map(|record| record.fields);
                    fields.find(|(field, _)| field == device).and_then(|(_, value)| ReadMarker::of_value(&value))
                }
            };
            let sql = "SELECT EXISTS (SELECT 1 FROM message
                       WHERE conversation = ?1 AND unread AND (created_us, id) <= (?2, ?3))";
            let any_unread = connection.prepare_cached(sql)?.query_row((idx, place.0, &place.1), |row| row.get(0))?;
            Ok(Some(Marking { place, seen: held(connection)?, markers, current, any_unread }))
        })
    }
}

fn newest(connection: &Connection, conversation: i64) -> Result<Option<(i64, String)>, StoreError> {
    let sql = "SELECT m.created_us, m.id FROM conversation c JOIN message m ON m.idx = c.last WHERE c.idx = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    Ok(statement.query_row((conversation,), |row| Ok((row.get(0)?, row.get(1)?))).optional()?)
}

/// How much of each source is here.
fn held(connection: &Connection) -> Result<BTreeMap<SourceId, Seq>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT id, seq FROM source WHERE seq > 0")?;
    let held = statement.query_map((), |row| Ok((SourceId(row.get(0)?), Seq(uint(row.get(1)?)))))?;
    Ok(held.collect::<Result<_, _>>()?)
}
