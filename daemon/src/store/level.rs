//! Which ops the state understands, and the way up after an upgrade.
//!
//! An op of a kind that this version does not know stands in the log like any other and has no effect. The database says up to which
//! kind its state understands ops ([`Level`]). When a newer version opens it, the entities with ops of the kinds between are
//! [rebuilt](super::rebuild) from the log, so that the state is what it would be had they been understood when they came: what an author wrote
//! who had seen such an op dominates it, and what it had seen it dominates.
//!
//! The way down does not exist: an older version would take effects for damage. It is refused the database, as with a newer schema.
//!
//! Places in this device's order stay as they were given. A watch that is past such an op is told of its effect at a place of its own
//! ([`super::revision`]).

use std::collections::BTreeSet;

use rusqlite::Connection;

use kinfolk_core::op::Meaning;

use super::convert::{int, uint};
use super::rebuild::{Entity, Walk};
use super::{Store, StoreError};

/// What of the log has an effect.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Level {
    /// The greatest kind of op that is understood.
    pub(super) ops: u32,
    /// The ops without effect; `None` when nobody has counted them.
    pub(super) idle: Option<Idle>,
    written: Option<Idle>,
}

/// Ops that have no effect.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Idle {
    /// Of a kind that is not known here: they wait for an upgrade.
    pub unknown: u64,
    /// That break a rule: they never have one.
    pub invalid: u64,
}

impl Level {
    /// Reads where the state stands.
    pub(super) fn load(connection: &Connection) -> Result<Self, StoreError> {
        let sql = "SELECT ops, unknown, invalid FROM level";
        let (ops, unknown, invalid): (u32, Option<i64>, Option<i64>) =
            connection.query_row(sql, (), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        let counted = unknown.zip(invalid);
        let idle = counted.map(|(unknown, invalid)| Idle { unknown: uint(unknown), invalid: uint(invalid) });
        Ok(Self { ops, idle, written: idle })
    }

    /// Counts an op that was met.
    pub(super) fn count(&mut self, meaning: &Meaning) {
        if let Some(idle) = &mut self.idle {
            idle.count(meaning);
        }
    }

    /// Counts ops that broke a rule and are gone from the log.
    pub(super) fn discount(&mut self, invalid: u64) {
        if let Some(idle) = &mut self.idle {
            idle.invalid = idle.invalid.saturating_sub(invalid);
        }
    }

    /// Writes the counts down if they changed.
    pub(super) fn flush(&mut self, connection: &Connection) -> Result<(), StoreError> {
        if self.idle == self.written {
            return Ok(());
        }
        let sql = "UPDATE level SET ops = ?1, unknown = ?2, invalid = ?3";
        let (unknown, invalid) = (self.idle.map(|idle| int(idle.unknown)), self.idle.map(|idle| int(idle.invalid)));
        connection.prepare_cached(sql)?.execute((self.ops, unknown, invalid))?;
        self.written = self.idle;
        Ok(())
    }
}

impl Idle {
    /// Takes an op out of the count that left the log.
    pub(super) fn discount(&mut self, meaning: &Meaning) {
        let mut one = Self::default();
        one.count(meaning);
        self.unknown = self.unknown.saturating_sub(one.unknown);
        self.invalid = self.invalid.saturating_sub(one.invalid);
    }

    fn count(&mut self, meaning: &Meaning) {
        match meaning {
            Meaning::Unknown => self.unknown += 1,
            Meaning::Invalid(_) => self.invalid += 1,
            Meaning::RecordPut
            | Meaning::RecordDelete
            | Meaning::MessagePost(_)
            | Meaning::MessageStub(_)
            | Meaning::MessageStatus(..)
            | Meaning::MessageDelete(_) => {}
        }
    }
}

impl Store {
    /// Lets the state understand ops up to `level`, in one transaction.
    ///
    /// # Errors
    /// [`StoreError::NewerOps`] when it understands more already and the log holds anything.
    pub(super) fn come_to(&mut self, level: u32) -> Result<(), StoreError> {
        let before = self.cache.level;
        let empty = self.cache.last.0 == 0;
        if before.ops > level && !empty {
            return Err(StoreError::NewerOps { found: before.ops, known: level });
        }
        if before.ops == level && before.idle.is_some() {
            return Ok(());
        }
        self.begin()?;
        let (mut idle, mut late) = (Idle::default(), BTreeSet::new());
        let mut walk = Walk::begin(&self.connection)?;
        loop {
            let page = walk.page(&self.connection)?;
            for op in page.iter().flat_map(|logged| logged.bundle.ops()) {
                let meaning = op.meaning_at(level);
                idle.count(&meaning);
                if op.kind > before.ops && meaning != Meaning::Unknown {
                    late.insert(Entity::of(op));
                }
            }
            if page.is_empty() {
                break;
            }
        }
        // Rebuilding goes over some ops again: what was counted here is what counts.
        self.cache.level = Level { ops: level, idle: None, written: None };
        if !late.is_empty() {
            let place = self.take_place()?;
            self.tell_revised(place, &late)?;
        }
        self.rebuild(&late)?;
        self.cache.level.idle = Some(idle);
        self.commit()
    }
}
