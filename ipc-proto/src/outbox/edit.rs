//! Edits: writes that wait in an outbox, and how they are put together.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message;

use crate::v1::{DeleteRecord, Op, PutRecord, Record, Value, op};

/// What an edit does. Its `base_row_version` is the version of the record that it was made from; 0 for a record that there never was; without one it
/// never clashes.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// Writes fields of a record.
    Put(PutRecord),
    /// Deletes a record.
    Delete(DeleteRecord),
}

impl From<PutRecord> for Write {
    fn from(put: PutRecord) -> Self {
        Self::Put(put)
    }
}

impl From<DeleteRecord> for Write {
    fn from(delete: DeleteRecord) -> Self {
        Self::Delete(delete)
    }
}

impl Write {
    /// Its collection and key.
    pub fn name(&self) -> (&str, &str) {
        match self {
            Self::Put(put) => (&put.collection, &put.key),
            Self::Delete(delete) => (&delete.collection, &delete.key),
        }
    }

    /// The version that it is based on.
    pub fn base(&self) -> Option<u64> {
        match self {
            Self::Put(put) => put.base_row_version,
            Self::Delete(delete) => delete.base_row_version,
        }
    }

    /// Whether it deletes its record.
    pub fn is_deletion(&self) -> bool {
        matches!(self, Self::Delete(_))
    }

    /// The same write on another version.
    pub(super) fn on(mut self, version: Option<u64>) -> Self {
        match &mut self {
            Self::Put(put) => put.base_row_version = version,
            Self::Delete(delete) => delete.base_row_version = version,
        }
        self
    }

    pub(super) fn to_op(&self) -> Op {
        let op = match self.clone() {
            Self::Put(put) => op::Op::PutRecord(put),
            Self::Delete(delete) => op::Op::DeleteRecord(delete),
        };
        Op { op: Some(op) }
    }

    /// The write in an op; `None` for another kind of op.
    pub(super) fn of_op(op: Op) -> Option<Self> {
        match op.op? {
            op::Op::PutRecord(put) => Some(Self::Put(put)),
            op::Op::DeleteRecord(delete) => Some(Self::Delete(delete)),
            op::Op::PostMessage(_)
            | op::Op::SetMessageStatus(_)
            | op::Op::DeleteMessage(_)
            | op::Op::SetConversation(_)
            | op::Op::SetPolicy(_) => None,
        }
    }
}

/// A write that has not been confirmed.
#[derive(Clone, Debug, PartialEq)]
pub struct Edit {
    /// Its place in its outbox.
    pub number: u64,
    /// What it does.
    pub write: Write,
    /// The record that it was made from, when the app gave it.
    pub seen: Option<Record>,
    /// Whether it is part of a bundle that was sent and not answered.
    pub(super) frozen: bool,
}

impl Edit {
    /// The record as it will be when this edit is made on it; `None` for no record.
    pub fn over(&self, record: Option<Record>) -> Option<Record> {
        let Write::Put(put) = &self.write else { return None };
        let fresh = || Record { collection: put.collection.clone(), key: put.key.clone(), ..Record::default() };
        let mut record = record.unwrap_or_else(fresh);
        record.fields.retain(|name, _| !put.clear_fields.contains(name));
        record.fields.extend(put.fields.clone());
        Some(record)
    }

    /// Whether it deletes its record.
    pub(super) fn is_deletion(&self) -> bool {
        self.write.is_deletion()
    }

    /// What becomes of this edit, which was not sent yet, when its record is edited once more. The later write was made from what this one made, so
    /// the base stays.
    pub(super) fn and(self, later: Write) -> Self {
        let base = self.write.base();
        let write = match (self.write, later) {
            (Write::Put(first), Write::Put(second)) => Write::Put(both(first, second)),
            (Write::Put(_) | Write::Delete(_), later) => later,
        };
        Self { write: write.on(base), ..self }
    }
}

/// One write that does what both do, one after the other.
fn both(mut first: PutRecord, second: PutRecord) -> PutRecord {
    first.fields.retain(|name, _| !second.clear_fields.contains(name));
    let written: &BTreeMap<String, Value> = &second.fields;
    let cleared: BTreeSet<String> =
        first.clear_fields.into_iter().chain(second.clear_fields).filter(|name| !written.contains_key(name)).collect();
    first.clear_fields = cleared.into_iter().collect();
    first.fields.extend(second.fields);
    first
}

/// A bundle holds at most so many ops.
const MAX_OPS: usize = 5_000;
/// A bundle has at most 1 MiB, less what a request has besides its ops.
const MAX_BYTES: usize = 1_000_000;
/// Tag and length of an op.
const FRAMING: usize = 5;

/// How many of the first edits go into one bundle: as many as it holds, up to the second one of a record, since what that is based on is known after
/// the first.
pub(super) fn in_one_bundle(edits: &[Edit]) -> usize {
    let mut names = BTreeSet::new();
    let mut bytes = 0;
    for (count, edit) in edits.iter().enumerate() {
        bytes += edit.write.to_op().encoded_len() + FRAMING;
        let again = !names.insert(edit.write.name());
        if count > 0 && (again || count == MAX_OPS || bytes > MAX_BYTES) {
            return count;
        }
    }
    edits.len()
}
