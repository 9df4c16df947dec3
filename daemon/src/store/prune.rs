//! Old contents go: their messages become stubs, in the log and in the state ([`kinfolk_core::stub`]).
//!
//! Which ones may go is decided by the engine ([`Pruning`]); here those are looked up, oldest entry first, and taken out of three places: the op in the
//! log, the row, the full-text index. The leaves of the digest are over hashes and stay. Nothing of it is seen by siblings.
//!
//! One transaction takes at most [`MOST`] of them, so that writers wait for a second at most; whoever wants more asks again.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension};

use kinfolk_core::ids::{DeviceId, Millis, Seq, SourceId};
use kinfolk_core::op::MessageBody;
use kinfolk_core::step::{Pruning, Word};
use kinfolk_core::stub::{self, Stub};
use prost::Message;

use super::convert::{elsewhere_to_bytes, int, uint};
use super::reader::Span;
use super::{Reader, Store, StoreError};

/// What a pruning takes away.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Pruned {
    /// Messages whose content goes.
    pub bodies: u64,
    /// Bytes of payloads that go, less what is left of them. The database holds each twice, in the log and in the state.
    pub bytes: u64,
    /// Old ones that stay for now: not compacted here yet, or not known to be held by a keeper.
    pub waiting: u64,
    /// There are more to take: this was as much as one transaction does.
    pub more: bool,
}

/// A message whose content goes.
struct Old {
    idx: i64,
    id: String,
    conversation: i64,
    source: i64,
    seq: i64,
    payload: Vec<u8>,
    stub: Stub,
}

/// Most contents that go in one transaction: 20,000 at some 50 µs each are a second.
const MOST: u64 = 20_000;
/// Rows read at a time: between two reads they are changed.
const PAGE: i64 = 256;
/// The setting that says after how many days contents go.
const SETTING: &str = "retention";

impl Store {
    /// Lets contents go, in the open transaction.
    pub(super) fn prune(&mut self, pruning: &Pruning) -> Result<(), StoreError> {
        let connection = &self.connection;
        let pruned = go_over(connection, pruning, MOST, |old| {
            let sql = "SELECT bundle_seq, body FROM log WHERE source = ?1 AND seq = ?2";
            let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
            let (place, body): (i64, Vec<u8>) =
                connection.prepare_cached(sql)?.query_row((old.source, old.seq), row)?;
            let Some(short) = stub::shorten(&body, &old.id, &old.payload) else {
                return Err(StoreError::Damaged("a message is not what its bundle says"));
            };
            let sql = "UPDATE log SET body = ?2 WHERE bundle_seq = ?1";
            connection.prepare_cached(sql)?.execute((place, short))?;
            let whole = MessageBody::decode(old.payload.as_slice());
            let whole = whole.map_err(|_| StoreError::Damaged("a message is unreadable"))?;
            let sql =
                "INSERT INTO message_text (message_text, rowid, text, sender, place) VALUES ('delete', ?1, ?2, ?3, ?4)";
            connection.prepare_cached(sql)?.execute((old.idx, &whole.text, &whole.sender, old.conversation))?;
            let sql = "UPDATE message SET payload = ?2, stub = ?3 WHERE idx = ?1";
            let columns = (old.idx, old.stub.post.encode_to_vec(), elsewhere_to_bytes(&old.stub.content));
            connection.prepare_cached(sql)?.execute(columns)?;
            let sql = "INSERT INTO message_text (rowid, text, sender, place) VALUES (?1, '', ?2, ?3)";
            connection.prepare_cached(sql)?.execute((old.idx, &whole.sender, old.conversation))?;
            Ok(())
        })?;
        self.cache.lacking += pruned.bodies;
        self.pruned = pruned;
        Ok(())
    }

    /// What the last pruning of this process took away.
    pub fn last_pruning(&self) -> Pruned {
        self.pruned
    }

    /// Notes the word given to a sibling, or that it is over.
    pub(super) fn word(&self, to: DeviceId, word: Option<Word>) -> Result<(), StoreError> {
        match word {
            Some(Word { ask, written }) => {
                let sql = "INSERT OR REPLACE INTO word (device, ask, written) VALUES (?1, ?2, ?3)";
                self.connection.prepare_cached(sql)?.execute((to.0, int(ask), int(written.0)))?;
            }
            None => {
                self.connection.prepare_cached("DELETE FROM word WHERE device = ?1")?.execute((to.0,))?;
            }
        }
        Ok(())
    }

    /// The words given to siblings.
    pub(super) fn words(&self) -> Result<BTreeMap<DeviceId, Word>, StoreError> {
        let mut statement = self.connection.prepare_cached("SELECT device, ask, written FROM word ORDER BY device")?;
        let words = statement.query_map((), |row| {
            let word = Word { ask: uint(row.get(1)?), written: Millis(uint(row.get(2)?)) };
            Ok((DeviceId(row.get(0)?), word))
        })?;
        Ok(words.collect::<Result<_, _>>()?)
    }

    /// After how many days contents go; `None` when they stay.
    pub fn retention(&self) -> Result<Option<u32>, StoreError> {
        Ok(self.setting(SETTING)?.and_then(|days| days.parse().ok()))
    }

    /// Sets after how many days contents go; durable when it returns, outside a transaction.
    pub fn set_retention(&self, days: Option<u32>) -> Result<(), StoreError> {
        self.put_setting(SETTING, &days.map_or_else(|| "off".to_owned(), |days| days.to_string()))
    }
}

impl Reader {
    /// What a pruning would take away now, all of it.
    pub fn would_prune(&self, pruning: &Pruning) -> Result<Pruned, StoreError> {
        self.during(Span::Long, |connection| go_over(connection, pruning, u64::MAX, |_| Ok(())))
    }
}

/// Goes over the messages that are old enough; `perform` is told of each whose content goes.
fn go_over(
    connection: &Connection,
    pruning: &Pruning,
    most: u64,
    mut perform: impl FnMut(&Old) -> Result<(), StoreError>,
) -> Result<Pruned, StoreError> {
    let mut limits: BTreeMap<i64, i64> = BTreeMap::new();
    for (SourceId(source), Seq(upto)) in &pruning.upto {
        let sql = "SELECT idx FROM source WHERE id = ?1";
        let idx = connection.prepare_cached(sql)?.query_row((source,), |row| row.get(0)).optional()?;
        limits.extend(idx.map(|idx: i64| (idx, int(*upto))));
    }
    let mut pruned = Pruned::default();
    let mut after = i64::MIN;
    loop {
        let sql = "SELECT idx, id, conversation, source, seq, payload FROM message
                   WHERE idx > ?1 AND conversation IS NOT NULL AND stub IS NULL AND created_us < ?2
                   ORDER BY idx LIMIT ?3";
        let mut statement = connection.prepare_cached(sql)?;
        let mut rows = statement.query((after, pruning.before_us, PAGE))?;
        let (mut page, mut read) = (Vec::new(), 0);
        while let Some(row) = rows.next()? {
            read += 1;
            after = row.get(0)?;
            let payload: Vec<u8> = row.get(5)?;
            let Some(stub) = Stub::of(&payload) else { continue };
            let (source, seq): (i64, i64) = (row.get(3)?, row.get(4)?);
            if limits.get(&source).is_none_or(|upto| seq > *upto) {
                pruned.waiting += 1;
                continue;
            }
            page.push(Old { idx: after, id: row.get(1)?, conversation: row.get(2)?, source, seq, payload, stub });
        }
        for old in &page {
            if pruned.bodies == most {
                return Ok(Pruned { more: true, ..pruned });
            }
            perform(old)?;
            pruned.bodies += 1;
            let saved = old.payload.len().saturating_sub(old.stub.to_payload().len());
            pruned.bytes += u64::try_from(saved).unwrap_or(u64::MAX);
        }
        if read < PAGE {
            return Ok(pruned);
        }
    }
}
