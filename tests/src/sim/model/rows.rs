//! Records as registers, in maps.

use std::collections::BTreeMap;

use kinfolk_core::digest;
use kinfolk_core::ids::{BundleSeq, Dot, Hash};
use kinfolk_core::merge::{EXISTENCE, LIVE, Write, in_conflict, shown, superseded};
use kinfolk_core::op::Op;
use kinfolk_core::step::{Fact, RowFact};
use kinfolk_core::value::Value;

use super::shown::ShownRecord;
use super::{Origin, Shown};
use crate::sim::sabotage::Sabotage;

/// Versions of rows are local to a database and for apps only; the model has none.
pub fn unversioned(fact: &mut Fact) {
    if let Fact::Row(Some(row)) = fact {
        row.version = BundleSeq(0);
    }
}

/// `(collection, key) → field → register`.
#[derive(Clone, Debug, Default)]
pub(super) struct Rows(BTreeMap<(String, String), BTreeMap<String, Register>>);

/// The writes that no other write has seen. Hashing is most of a digest: each write's leaf is hashed once.
#[derive(Clone, Debug, Default)]
struct Register {
    writes: Vec<Write>,
    leaves: BTreeMap<Dot, Hash>,
}

impl Rows {
    pub(super) fn put(&mut self, origin: Origin<'_>, op: &Op, sabotage: Option<Sabotage>) {
        self.write(origin, op, EXISTENCE, Some(LIVE.to_vec()), sabotage);
        for field in &op.fields {
            let value = field.value.as_ref().map(Value::to_bytes);
            self.write(origin, op, &field.name, value, sabotage);
        }
    }

    pub(super) fn delete(&mut self, origin: Origin<'_>, op: &Op, sabotage: Option<Sabotage>) {
        self.write(origin, op, EXISTENCE, None, sabotage);
    }

    fn write(&mut self, origin: Origin<'_>, op: &Op, field: &str, value: Option<Vec<u8>>, sabotage: Option<Sabotage>) {
        let row = self.0.entry((op.collection.clone(), op.key.clone())).or_default();
        let register = row.entry(field.to_owned()).or_default();
        let by_arrival = sabotage == Some(Sabotage::MergeByArrival);
        register.writes.retain(|held| !by_arrival && !superseded(held.dot, origin.dot, origin.context));
        let write = Write { dot: origin.dot, stamp: origin.stamp, value };
        let entity = digest::entity(&op.collection, &op.key);
        let leaf = digest::leaf(entity, field, write.dot, write.stamp, write.value_hash());
        register.writes.push(write);
        register.leaves.retain(|dot, _| register.writes.iter().any(|held| held.dot == *dot));
        register.leaves.insert(origin.dot, leaf);
    }

    pub(super) fn fact(&self, collection: &str, key: &str) -> Option<RowFact> {
        let row = self.0.get(&(collection.to_owned(), key.to_owned()))?;
        let present = |register: &Register| shown(&register.writes).is_some_and(|write| write.value.is_some());
        let fields = row.iter().filter(|(name, register)| *name != EXISTENCE && present(register));
        Some(RowFact {
            live: row.get(EXISTENCE).is_some_and(present),
            fields: fields.map(|(name, _)| name.clone()).collect(),
            version: BundleSeq(0),
        })
    }

    pub(super) fn leaves(&self) -> impl Iterator<Item = (&str, Hash)> {
        self.0.iter().flat_map(|((collection, _), row)| {
            let leaves = row.values().flat_map(|register| register.leaves.values());
            leaves.map(|leaf| (collection.as_str(), *leaf))
        })
    }

    pub(super) fn show(&self, into: &mut Shown) {
        for ((collection, key), row) in &self.0 {
            let disagree = row.iter().filter(|(_, register)| in_conflict(&register.writes));
            let disagree = disagree.map(|(field, _)| field.clone());
            let disagree: Vec<String> = disagree.collect();
            let value = |register: &Register| shown(&register.writes).and_then(|write| write.value.clone());
            let live = row.get(EXISTENCE).and_then(value).is_some();
            // Of a record that is gone for everybody nothing is open.
            if live || row.get(EXISTENCE).is_some_and(|existence| in_conflict(&existence.writes)) {
                into.conflicts += u64::try_from(disagree.len()).unwrap_or_default();
            }
            if !live {
                continue;
            }
            let fields = row.iter().filter(|(name, _)| *name != EXISTENCE);
            let fields = fields.filter_map(|(name, register)| Some((name.clone(), value(register)?))).collect();
            into.records.insert((collection.clone(), key.clone()), ShownRecord { fields, conflicts: disagree });
        }
    }
}
