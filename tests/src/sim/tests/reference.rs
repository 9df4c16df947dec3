//! Records as one would explain them on paper: events, and what the author of each had before them.
//!
//! No vectors, no incremental registers, none of the product's merge rules: every question is answered from the set of events, each with the
//! set of events it had seen. Slow, and too plain to be wrong in the same way.

use std::collections::{BTreeMap, BTreeSet};

use kinfolk_core::clock::Stamp;
use kinfolk_core::ids::Dot;
use kinfolk_core::value::Value;

use crate::sim::model::{Shown, ShownRecord};

pub(super) const COLLECTION: &str = "notes";

/// A key and a field of it; the empty name is the one of the record's existence.
type Register = (String, String);

/// All events there are.
#[derive(Debug, Default)]
pub(super) struct History(BTreeMap<Dot, Event>);

#[derive(Debug)]
struct Event {
    stamp: Stamp,
    seen: BTreeSet<Dot>,
    writes: BTreeMap<Register, Option<String>>,
}

/// What a person does to a record.
#[derive(Clone, Debug)]
pub(super) enum Deed {
    Put(String, BTreeMap<String, Option<String>>),
    Delete(String),
}

impl History {
    /// What the deed writes on a device that holds `held`; nothing when it changes nothing.
    pub(super) fn writes(&self, held: &BTreeSet<Dot>, deed: &Deed) -> BTreeMap<Register, Option<String>> {
        match deed {
            Deed::Delete(key) if self.exists(held, key) => BTreeMap::from([((key.clone(), String::new()), None)]),
            Deed::Delete(_) => BTreeMap::new(),
            Deed::Put(key, fields) => {
                let register = |field: &str| (key.clone(), field.to_owned());
                let mut writes: BTreeMap<Register, Option<String>> =
                    fields.iter().map(|(field, value)| (register(field), value.clone())).collect();
                if !self.exists(held, key) {
                    // What lies under the deletion does not come back.
                    let buried = self.registers(held).into_iter().filter(|(of, field)| of == key && !field.is_empty());
                    for buried in buried.filter(|buried| self.value(held, buried).is_some()) {
                        writes.entry(buried).or_insert(None);
                    }
                }
                writes.insert(register(""), Some("there".into()));
                writes
            }
        }
    }

    pub(super) fn record(
        &mut self,
        dot: Dot,
        stamp: Stamp,
        seen: BTreeSet<Dot>,
        writes: BTreeMap<Register, Option<String>>,
    ) {
        self.0.insert(dot, Event { stamp, seen, writes });
    }

    /// What a device shows that holds `held`.
    pub(super) fn shown(&self, held: &BTreeSet<Dot>) -> Shown {
        let mut shown = Shown::default();
        for (key, field) in self.registers(held) {
            let register = (key.clone(), field.clone());
            let disagrees = self.disagree(held, &register);
            let exists = self.exists(held, &key);
            // Of a record that is gone for everybody nothing is open.
            let open = exists || self.disagree(held, &(key.clone(), String::new()));
            shown.conflicts += u64::from(disagrees && open);
            if !exists {
                continue;
            }
            let record: &mut ShownRecord = shown.records.entry((COLLECTION.to_owned(), key)).or_default();
            if disagrees {
                record.conflicts.push(field.clone());
            }
            if let Some(value) = self.value(held, &register).filter(|_| !field.is_empty()) {
                record.fields.insert(field, Value::text(value).to_bytes());
            }
        }
        shown
    }

    fn disagree(&self, held: &BTreeSet<Dot>, register: &Register) -> bool {
        let values: BTreeSet<Option<&str>> = self.undominated(held, register).map(|(_, value)| value).collect();
        values.len() > 1
    }

    fn exists(&self, held: &BTreeSet<Dot>, key: &str) -> bool {
        self.value(held, &(key.to_owned(), String::new())).is_some()
    }

    /// Of the writes that nobody has seen who wrote there too, the one of the greatest stamp counts.
    fn value(&self, held: &BTreeSet<Dot>, register: &Register) -> Option<&str> {
        let latest = self.undominated(held, register).max_by_key(|(dot, _)| (self.0[dot].stamp, dot.source));
        latest.and_then(|(_, value)| value)
    }

    fn undominated(&self, held: &BTreeSet<Dot>, register: &Register) -> impl Iterator<Item = (Dot, Option<&str>)> {
        let writers: Vec<Dot> = held.iter().copied().filter(|dot| self.0[dot].writes.contains_key(register)).collect();
        let seen: BTreeSet<Dot> = writers.iter().flat_map(|dot| self.0[dot].seen.iter().copied()).collect();
        let open: Vec<_> = writers.into_iter().filter(|dot| !seen.contains(dot)).collect();
        open.into_iter().map(|dot| (dot, self.0[&dot].writes[register].as_deref()))
    }

    fn registers(&self, held: &BTreeSet<Dot>) -> BTreeSet<Register> {
        held.iter().flat_map(|dot| self.0[dot].writes.keys().cloned()).collect()
    }
}
