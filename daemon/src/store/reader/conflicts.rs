//! Records in conflict: what is open in them, who wrote what, and from what they went out.
//!
//! **Which are listed.** Those of collections whose policy is *keep*, in which something is [open](resolve::open). Collections whose policy is
//! *lww* only have theirs counted. The policy of a collection is the field `policy` of the record under its name in `@collection`, so it is the
//! same on all devices; without one it is *keep*. Collections of kinfolk's own are *lww*: nobody could resolve anything there.
//!
//! **The base** of a register is the latest write that the authors of all its writes had seen. It is looked up when a conflict is shown: among
//! the record's past, with what the authors had seen by their bundles. That is told along the source, so it is read backwards from the
//! write until the source in question is named, at most [`MAX_STEPS`] bundles. What was compacted away is no base any more.

use std::collections::BTreeMap;

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension};

use kinfolk_core::bundle::Bundle;
use kinfolk_core::clock::Stamp;
use kinfolk_core::ids::{BundleSeq, DeviceId, Dot, Hash, Seq, SourceId};
use kinfolk_core::merge::{self, EXISTENCE, Write};
use kinfolk_core::op::{Meaning, Op, POLICY_COLLECTION};
use kinfolk_core::resolve::{self, Registers};
use kinfolk_core::value::{Kind, Value};

use super::history::{self, PastChange};
use super::records::{self, RecordView};
use super::{MAX_PAGE, Reader};
use crate::store::convert::{int, uint};
use crate::store::{StoreError, floors};

/// What becomes of a conflict in a collection.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Policy {
    /// It is listed until somebody resolves it.
    #[default]
    Keep,
    /// The last write wins, and that is all.
    Lww,
}

impl Policy {
    /// The name that stands in the policy's record.
    pub fn name(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Lww => "lww",
        }
    }

    /// The policy of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Keep, Self::Lww].into_iter().find(|policy| policy.name() == name)
    }

    /// The field of the policy's record that names it.
    pub const FIELD: &'static str = "policy";
}

/// A record in conflict.
#[derive(Clone, Debug, PartialEq)]
pub struct ConflictView {
    /// Its collection.
    pub collection: String,
    /// Its key.
    pub key: String,
    /// The place of its last change here.
    pub row_version: BundleSeq,
    /// All its registers.
    pub registers: Registers,
    /// Whose the sources of their writes are.
    pub devices: BTreeMap<SourceId, DeviceId>,
    /// The record as it is shown, when it exists.
    pub record: Option<RecordView>,
}

impl ConflictView {
    /// The registers in which something is open.
    pub fn open(&self) -> impl Iterator<Item = (&str, &[Write])> {
        let open = resolve::open(&self.registers).into_iter();
        open.filter_map(|field| Some((field, self.registers.get(field)?.as_slice())))
    }
}

/// Where a page of conflicts goes on: the local number of the collection, and the key.
pub type ConflictPlace = (i64, String);

/// How many registers are in conflict.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Open {
    /// Where a person is asked.
    pub(super) kept: u64,
    /// Where the last write wins.
    pub(super) settled: u64,
}

/// How many bundles of a source are read to learn what its author had seen.
const MAX_STEPS: usize = 256;
/// How much of a record's past is looked at for a base.
const MAX_PAST: usize = 1_000;

impl Reader {
    /// Records in conflict, of one collection or of all, after a place: at most `most`, and at most [`MAX_PAGE`].
    pub fn conflicts(
        &self,
        collection: Option<&str>,
        after: Option<&ConflictPlace>,
        most: usize,
    ) -> Result<Vec<(ConflictPlace, ConflictView)>, StoreError> {
        self.with(|connection| {
            let mut found = Vec::new();
            let most = most.min(MAX_PAGE);
            let sql = "SELECT idx, name FROM collection WHERE idx >= ?1 AND (?2 IS NULL OR name = ?2) ORDER BY idx";
            let mut statement = connection.prepare_cached(sql)?;
            let first = after.map_or(0, |(idx, _)| *idx);
            let mut collections = statement.query((first, collection))?;
            while let Some(row) = collections.next()? {
                let (idx, name): (i64, String) = (row.get(0)?, row.get(1)?);
                if policy(connection, &name)? == Policy::Lww {
                    continue;
                }
                let key = after.filter(|(last, _)| *last == idx).map_or("", |(_, key)| key.as_str());
                gather(connection, (idx, &name), key, most, &mut found)?;
                if found.len() >= most {
                    break;
                }
            }
            Ok(found)
        })
    }

    /// The record, if something of it is open, whatever the policy. `None` when there never was such a record, too.
    pub fn conflict(&self, collection: &str, key: &str) -> Result<Option<ConflictView>, StoreError> {
        self.with(|connection| {
            let sql = "SELECT r.idx, r.version, r.live FROM row r JOIN collection c ON c.idx = r.collection
                       WHERE c.name = ?1 AND r.key = ?2 AND r.conflicts > 0";
            let mut statement = connection.prepare_cached(sql)?;
            let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
            let Some((row, version, live)) = statement.query_row((collection, key), read).optional()? else {
                return Ok(None);
            };
            view(connection, (collection, key.to_owned()), row, version, live)
        })
    }

    /// The writes from which the open registers of a conflict went out, where they are known: `None` in a write is *absent*.
    pub fn bases(&self, conflict: &ConflictView) -> Result<BTreeMap<String, Write>, StoreError> {
        self.with(|connection| {
            let past = history::latest(connection, &conflict.collection, &conflict.key, MAX_PAST)?;
            let mut bases = BTreeMap::new();
            for (field, register) in conflict.open() {
                bases.extend(base(connection, field, register, &past)?.map(|base| (field.to_owned(), base)));
            }
            Ok(bases)
        })
    }

    /// The policy of a collection.
    pub fn policy(&self, collection: &str) -> Result<Policy, StoreError> {
        self.with(|connection| policy(connection, collection))
    }
}

/// How many registers are in conflict. Costs what conflicts cost to go through.
pub(super) fn count(connection: &Connection) -> Result<Open, StoreError> {
    // Of a record that is gone, and about whose existence nobody disagrees, nothing is open.
    let sql = "SELECT c.name, sum(r.conflicts) FROM row r JOIN collection c ON c.idx = r.collection
               WHERE r.conflicts > 0 AND (r.live OR EXISTS (
                 SELECT 1 FROM write w WHERE w.row = r.idx AND w.field = '' AND w.value IS NOT NULL))
               GROUP BY r.collection";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(())?;
    let mut open = Open::default();
    while let Some(row) = rows.next()? {
        let (name, registers): (String, i64) = (row.get(0)?, row.get(1)?);
        match policy(connection, &name)? {
            Policy::Keep => open.kept += uint(registers),
            Policy::Lww => open.settled += uint(registers),
        }
    }
    Ok(open)
}

fn policy(connection: &Connection, collection: &str) -> Result<Policy, StoreError> {
    if collection.starts_with('@') {
        return Ok(Policy::Lww);
    }
    let sql = "SELECT r.idx, r.version FROM row r JOIN collection c ON c.idx = r.collection
               WHERE c.name = ?1 AND r.key = ?2 AND r.live";
    let mut statement = connection.prepare_cached(sql)?;
    let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
    let found = statement.query_row((POLICY_COLLECTION, collection), read).optional()?;
    let Some((row, version)) = found else { return Ok(Policy::default()) };
    let record = records::read(connection, POLICY_COLLECTION, collection.to_owned(), row, version)?;
    let named = record.fields.into_iter().find(|(field, _)| field == Policy::FIELD);
    let Some(Kind::Text(name)) = named.and_then(|(_, value)| value.kind) else { return Ok(Policy::default()) };
    Ok(Policy::from_name(&name).unwrap_or_default())
}

fn gather(
    connection: &Connection,
    (idx, name): (i64, &str),
    after: &str,
    most: usize,
    found: &mut Vec<(ConflictPlace, ConflictView)>,
) -> Result<(), StoreError> {
    let sql =
        "SELECT key, idx, version, live FROM row WHERE collection = ?1 AND key > ?2 AND conflicts > 0 ORDER BY key";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query((idx, after))?;
    while found.len() < most {
        let Some(row) = rows.next()? else { break };
        let key: String = row.get(0)?;
        let view = view(connection, (name, key.clone()), row.get(1)?, row.get(2)?, row.get(3)?)?;
        found.extend(view.map(|view| ((idx, key), view)));
    }
    Ok(())
}

/// A row with conflicts; `None` when none of them is open.
fn view(
    connection: &Connection,
    (collection, key): (&str, String),
    row: i64,
    version: i64,
    live: bool,
) -> Result<Option<ConflictView>, StoreError> {
    let sql = "SELECT w.field, s.id, w.seq, w.stamp, w.value, s.device FROM write w JOIN source s ON s.idx = w.source
               WHERE w.row = ?1 ORDER BY w.field";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query((row,))?;
    let (mut registers, mut devices) = (Registers::new(), BTreeMap::new());
    while let Some(row) = rows.next()? {
        let dot = Dot { source: SourceId(row.get(1)?), seq: Seq(uint(row.get(2)?)) };
        let write = Write { dot, stamp: Stamp(uint(row.get(3)?)), value: row.get(4)? };
        registers.entry(row.get(0)?).or_default().push(write);
        devices.insert(dot.source, DeviceId(row.get(5)?));
    }
    if resolve::open(&registers).is_empty() {
        return Ok(None);
    }
    let record = if live { Some(records::read(connection, collection, key.clone(), row, version)?) } else { None };
    let (collection, row_version) = (collection.to_owned(), BundleSeq(uint(version)));
    Ok(Some(ConflictView { collection, key, row_version, registers, devices, record }))
}

/// The latest write of a register that the authors of all its present writes had seen.
fn base(
    connection: &Connection,
    field: &str,
    register: &[Write],
    past: &[PastChange],
) -> Result<Option<Write>, StoreError> {
    let held = |dot: Dot| register.iter().any(|write| write.dot == dot);
    let writes = past.iter().filter(|change| !held(change.past.dot)).filter_map(|change| {
        let value = written(&change.past.op, field)?;
        Some(Write { dot: change.past.dot, stamp: change.past.stamp, value })
    });
    let mut earlier: Vec<Write> = writes.collect();
    earlier.sort_by_key(|write| std::cmp::Reverse((write.stamp, write.dot.source)));
    'next: for candidate in earlier {
        for write in register {
            if !had_seen(connection, write.dot, candidate.dot)? {
                continue 'next;
            }
        }
        return Ok(Some(candidate));
    }
    Ok(None)
}

/// What an op writes to a register; `None` when it writes nothing there.
fn written(op: &Op, field: &str) -> Option<Option<Vec<u8>>> {
    if field == EXISTENCE {
        return Some((op.meaning() == Meaning::RecordPut).then(|| merge::LIVE.to_vec()));
    }
    let field = op.fields.iter().find(|written| written.name == field)?;
    Some(field.value.as_ref().map(Value::to_bytes))
}

/// Whether the author of the bundle at `by` had seen the one at `seen`. What cannot be told is not.
fn had_seen(connection: &Connection, by: Dot, seen: Dot) -> Result<bool, StoreError> {
    if by.source == seen.source {
        return Ok(seen.seq < by.seq);
    }
    let sql = "SELECT l.seq, l.body FROM log l JOIN source s ON s.idx = l.source
               WHERE s.id = ?1 AND l.seq <= ?2 ORDER BY l.seq DESC";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query((by.source.0, int(by.seq.0)))?;
    let named = |context: &[(SourceId, kinfolk_core::vector::Head)]| {
        context.iter().find(|(source, _)| *source == seen.source).map(|(_, head)| head.seq >= seen.seq)
    };
    for _ in 0..MAX_STEPS {
        let Some(row) = rows.next()? else { break };
        let dot = Dot { source: by.source, seq: Seq(uint(row.get(0)?)) };
        let bundle = Bundle::rebuild(dot, Hash::default(), Bytes::from(row.get::<_, Vec<u8>>(1)?));
        let bundle = bundle.map_err(|_| StoreError::Damaged("a bundle is too large"))?;
        if let Some(answer) = bundle.body.as_ref().and_then(|body| named(&body.context)) {
            return Ok(answer);
        }
    }
    let sql = "SELECT idx FROM source WHERE id = ?1";
    let idx: Option<i64> = connection.prepare_cached(sql)?.query_row((by.source.0,), |row| row.get(0)).optional()?;
    let floor = idx.map(|idx| floors::of(connection, idx)).transpose()?.unwrap_or_default();
    Ok(floor.head.seq < by.seq && floor.context.covers(seen))
}
