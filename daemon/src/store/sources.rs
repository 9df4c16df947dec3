//! Where every source stands, in memory; written down once a transaction.

use std::collections::BTreeMap;
use std::sync::Arc;

use rusqlite::Connection;

use kinfolk_core::clock::Stamp;
use kinfolk_core::ids::{DeviceId, Dot, Hash, Seq, SourceId};
use kinfolk_core::snapshot::Mark;
use kinfolk_core::step::{Append, SavedSource};
use kinfolk_core::vector::{Head, VersionVector};

use super::StoreError;
use super::convert::{int, uint, vector_from_bytes, vector_to_bytes};

/// All sources with bundles in the log. A source's `idx` is its place in order of first arrival, from 1; none ever leaves.
#[derive(Default)]
pub(super) struct Sources {
    list: Vec<Entry>,
    by_id: BTreeMap<SourceId, i64>,
}

struct Entry {
    saved: SavedSource,
    changed: bool,
}

impl Sources {
    /// Reads all sources.
    pub(super) fn load(connection: &Connection) -> Result<Self, StoreError> {
        let sql = "SELECT idx, id, device, generation, seq, hash, stamp, context FROM source ORDER BY idx";
        let mut statement = connection.prepare_cached(sql)?;
        let mut rows = statement.query(())?;
        let mut sources = Self::default();
        while let Some(row) = rows.next()? {
            let saved = SavedSource {
                source: SourceId(row.get(1)?),
                device: DeviceId(row.get(2)?),
                generation: uint(row.get(3)?),
                head: Head { seq: Seq(uint(row.get(4)?)), hash: Hash(row.get(5)?) },
                stamp: Stamp(uint(row.get(6)?)),
                context: Arc::new(vector_from_bytes(row.get_ref(7)?.as_blob().unwrap_or_default())?),
            };
            if sources.add(saved) != row.get::<_, i64>(0)? {
                return Err(StoreError::Damaged("the sources are not numbered without holes"));
            }
        }
        sources.list.iter_mut().for_each(|entry| entry.changed = false);
        Ok(sources)
    }

    /// Moves the bundle's source on to it, and gives the source's `idx`. A source that is new gets its row at once,
    /// because other rows refer to it.
    ///
    /// # Errors
    /// [`StoreError::NotNext`] when the bundle does not continue the chain.
    pub(super) fn advance(&mut self, connection: &Connection, append: &Append) -> Result<i64, StoreError> {
        let (bundle, body) = (&append.bundle, append.bundle.body.as_ref());
        let birth = body.and_then(|body| body.birth).filter(|_| bundle.dot.seq == Seq(1));
        let generation = birth.map_or(0, |birth| birth.generation);
        let idx = self.enter(connection, bundle.dot.source, append.device, generation)?;
        let entry = self.entry(idx)?;
        if bundle.dot.seq != entry.saved.head.seq.next() || bundle.prev != entry.saved.head.hash {
            return Err(StoreError::NotNext(bundle.dot));
        }
        entry.saved.head = bundle.head();
        let stamp = body.map(|body| body.stamp).filter(|stamp| stamp.is_valid());
        entry.saved.stamp = stamp.unwrap_or(entry.saved.stamp);
        entry.saved.context = Arc::clone(&append.context);
        entry.changed = true;
        Ok(idx)
    }

    /// The number of `source`. One that is new gets its row at once, with nothing applied of it.
    pub(super) fn enter(
        &mut self,
        connection: &Connection,
        source: SourceId,
        device: DeviceId,
        generation: u64,
    ) -> Result<i64, StoreError> {
        if let Some(idx) = self.idx(source) {
            let entry = self.entry(idx)?;
            // Not known yet of a source that was heard of before its first bundle counted.
            entry.changed |= generation > entry.saved.generation;
            entry.saved.generation = entry.saved.generation.max(generation);
            return Ok(idx);
        }
        let (head, stamp, context) = (Head::default(), Stamp::default(), Arc::default());
        let idx = self.add(SavedSource { source, device, generation, head, stamp, context });
        let sql = "INSERT INTO source VALUES (?1, ?2, ?3, ?4, 0, zeroblob(32), 0, zeroblob(0))";
        connection.prepare_cached(sql)?.execute((idx, source.0, device.0, int(generation)))?;
        Ok(idx)
    }

    /// Moves the source with that number to a place in it, whatever lies between.
    pub(super) fn jump(&mut self, idx: i64, mark: &Mark) -> Result<(), StoreError> {
        let entry = self.entry(idx)?;
        entry.saved.head = mark.head;
        entry.saved.stamp = mark.stamp;
        entry.saved.context = Arc::new(mark.context.clone());
        entry.changed = true;
        Ok(())
    }

    /// The author of that source had seen this much when it wrote what has just come.
    pub(super) fn saw(&mut self, idx: i64, context: &VersionVector) -> Result<(), StoreError> {
        let entry = self.entry(idx)?;
        if *entry.saved.context != *context {
            entry.saved.context = Arc::new(context.clone());
        }
        Ok(())
    }

    /// The source with that number.
    pub(super) fn saved(&mut self, idx: i64) -> Result<SavedSource, StoreError> {
        Ok(self.entry(idx)?.saved.clone())
    }

    /// Whether somebody whose bundles are here had seen the bundle before it was.
    pub(super) fn is_late(&self, dot: Dot) -> bool {
        self.list.iter().any(|entry| entry.saved.source != dot.source && entry.saved.context.covers(dot))
    }

    /// The number of `source`, when it has bundles here.
    pub(super) fn idx(&self, source: SourceId) -> Option<i64> {
        self.by_id.get(&source).copied()
    }

    /// The dot that stands as `(idx, seq)` in a row.
    pub(super) fn dot(&self, idx: i64, seq: i64) -> Result<Dot, StoreError> {
        let place = usize::try_from(idx).ok().and_then(|idx| idx.checked_sub(1));
        let entry = place.and_then(|place| self.list.get(place));
        let entry = entry.ok_or(StoreError::Damaged("a write names a source that is not there"))?;
        Ok(Dot { source: entry.saved.source, seq: Seq(uint(seq)) })
    }

    /// All of them, in order of arrival.
    pub(super) fn iter(&self) -> impl Iterator<Item = &SavedSource> {
        self.list.iter().map(|entry| &entry.saved)
    }

    /// Writes down those that moved.
    pub(super) fn flush(&mut self, connection: &Connection) -> Result<(), StoreError> {
        for (idx, entry) in (1_i64..).zip(&mut self.list).filter(|(_, entry)| entry.changed) {
            let saved = &entry.saved;
            let sql = "UPDATE source SET seq = ?2, hash = ?3, stamp = ?4, context = ?5, generation = ?6 WHERE idx = ?1";
            connection.prepare_cached(sql)?.execute((
                idx,
                int(saved.head.seq.0),
                saved.head.hash.0,
                int(saved.stamp.0),
                vector_to_bytes(&saved.context),
                int(saved.generation),
            ))?;
            entry.changed = false;
        }
        Ok(())
    }

    fn add(&mut self, saved: SavedSource) -> i64 {
        let source = saved.source;
        self.list.push(Entry { saved, changed: true });
        let idx = i64::try_from(self.list.len()).unwrap_or(i64::MAX);
        self.by_id.insert(source, idx);
        idx
    }

    fn entry(&mut self, idx: i64) -> Result<&mut Entry, StoreError> {
        let place = usize::try_from(idx).ok().and_then(|idx| idx.checked_sub(1));
        let entry = place.and_then(|place| self.list.get_mut(place));
        entry.ok_or(StoreError::Damaged("a write names a source that is not there"))
    }
}
