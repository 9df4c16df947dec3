//! Records as registers, in maps.

use std::collections::BTreeMap;

use kinfolk_core::digest;
use kinfolk_core::ids::Hash;
use kinfolk_core::merge::{EXISTENCE, LIVE, Write, in_conflict, shown, superseded};
use kinfolk_core::op::Op;
use kinfolk_core::step::RowFact;
use kinfolk_core::value::Value;

use super::shown::ShownRecord;
use super::{Origin, Shown};
use crate::sim::sabotage::Sabotage;

/// `(collection, key) → field → writes that no other write has seen`.
#[derive(Clone, Debug, Default)]
pub(super) struct Rows(BTreeMap<(String, String), BTreeMap<String, Vec<Write>>>);

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
        register.retain(|held| !by_arrival && !superseded(held.dot, origin.dot, origin.context));
        register.push(Write { dot: origin.dot, stamp: origin.stamp, value });
    }

    pub(super) fn fact(&self, collection: &str, key: &str) -> Option<RowFact> {
        let row = self.0.get(&(collection.to_owned(), key.to_owned()))?;
        let present = |writes: &[Write]| shown(writes).is_some_and(|write| write.value.is_some());
        let fields = row.iter().filter(|(name, writes)| *name != EXISTENCE && present(writes));
        Some(RowFact {
            live: row.get(EXISTENCE).is_some_and(|writes| present(writes)),
            fields: fields.map(|(name, _)| name.clone()).collect(),
        })
    }

    pub(super) fn leaves(&self) -> impl Iterator<Item = (&str, Hash)> {
        self.0.iter().flat_map(|((collection, key), row)| {
            let entity = digest::entity(collection, key);
            row.iter().flat_map(move |(field, writes)| {
                let leaf = move |write: &Write| digest::leaf(entity, field, write.dot, write.stamp, write.value_hash());
                writes.iter().map(move |write| (collection.as_str(), leaf(write)))
            })
        })
    }

    pub(super) fn show(&self, into: &mut Shown) {
        for ((collection, key), row) in &self.0 {
            let disagree = row.iter().filter(|(_, writes)| in_conflict(writes)).map(|(field, _)| field.clone());
            let disagree: Vec<String> = disagree.collect();
            into.conflicts += u64::try_from(disagree.len()).unwrap_or_default();
            let value = |writes: &[Write]| shown(writes).and_then(|write| write.value.clone());
            if row.get(EXISTENCE).and_then(|writes| value(writes)).is_none() {
                continue;
            }
            let fields = row.iter().filter(|(name, _)| *name != EXISTENCE);
            let fields = fields.filter_map(|(name, writes)| Some((name.clone(), value(writes)?))).collect();
            into.records.insert((collection.clone(), key.clone()), ShownRecord { fields, conflicts: disagree });
        }
    }
}
