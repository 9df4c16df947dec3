//! The state of some entities, made again from the log.
//!
//! What is stored of them is taken away, with its leaves; then their ops take effect again, by the same code as the first time. Everything
//! else stays as it is. The log is read once from its beginning, for only there it says what each author had seen.
//!
//! Ops on messages come in the order in which their bundles were applied here; the rules of messages do not look at it. Those of
//! registers do: ops on records come in causal order ([`causally`]). That is another one when a bundle was applied *late*, after bundles
//! whose authors had seen it, which happens when the removal of its device turned out void.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use rusqlite::Connection;

use kinfolk_core::bundle::Bundle;
use kinfolk_core::clock::Stamp;
use kinfolk_core::ids::{BundleSeq, Dot, Hash, Seq, SourceId};
use kinfolk_core::op::{MESSAGE_COLLECTION, Meaning, Op};
use kinfolk_core::snapshot::Mark;
use kinfolk_core::vector::VersionVector;

use super::apply::Origin;
use super::conversations::Conversations;
use super::convert::{int, uint};
use super::messages::Messages;
use super::registers::Registers;
use super::{Store, StoreError, floors};

/// Bundles that are read from the log together: 256 of at most 1 MiB, usually of 1 KiB.
const PAGE: i64 = 256;

/// The name of a record or message.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Entity {
    pub(super) collection: String,
    pub(super) key: String,
}

impl Entity {
    /// What the op is about.
    pub(super) fn of(op: &Op) -> Self {
        Self { collection: op.collection.clone(), key: op.key.clone() }
    }

    /// The records that ops change.
    pub(super) fn of_records(ops: &[Op]) -> impl Iterator<Item = Self> {
        let records = ops.iter().filter(|op| op.collection != MESSAGE_COLLECTION);
        records.filter(|op| matches!(op.meaning(), Meaning::RecordPut | Meaning::RecordDelete)).map(Self::of)
    }
}

impl Store {
    /// Makes the state of `entities` again, in the open transaction.
    pub(super) fn rebuild(&mut self, entities: &BTreeSet<Entity>) -> Result<(), StoreError> {
        if entities.is_empty() {
            return Ok(());
        }
        entities.iter().try_for_each(|entity| self.clear(entity))?;
        let mut walk = Walk::begin(&self.connection)?;
        let mut on_records: BTreeMap<SourceId, VecDeque<(Logged, Vec<Op>)>> = BTreeMap::new();
        loop {
            let page = walk.page(&self.connection)?;
            if page.is_empty() {
                break;
            }
            for logged in page {
                let ours = logged.bundle.ops().iter().filter(|op| entities.contains(&Entity::of(op)));
                let (messages, records): (Vec<Op>, Vec<Op>) =
                    ours.cloned().partition(|op| op.collection == MESSAGE_COLLECTION);
                messages.iter().try_for_each(|op| self.take_effect(&logged.origin(), op))?;
                if !records.is_empty() {
                    on_records.entry(logged.bundle.dot.source).or_default().push_back((logged, records));
                }
            }
        }
        while let Some((logged, ops)) = causally(&mut on_records) {
            ops.iter().try_for_each(|op| self.take_effect(&logged.origin(), op))?;
        }
        Ok(())
    }

    fn clear(&mut self, entity: &Entity) -> Result<(), StoreError> {
        let (connection, cache) = (&self.connection, &mut self.cache);
        if entity.collection == MESSAGE_COLLECTION {
            Messages::new(connection, cache)?.clear(&entity.key)
        } else {
            let before = Conversations::before_write(connection, &entity.collection, &entity.key)?;
            Registers::new(connection, cache).clear(&entity.collection, &entity.key)?;
            cache.conversations.after_write(connection, &entity.key, &before)
        }
    }
}

/// The next bundle whose author had seen none of those that are left. Contexts only grow along a source, so only the first of each source
/// can be that.
fn causally(left: &mut BTreeMap<SourceId, VecDeque<(Logged, Vec<Op>)>>) -> Option<(Logged, Vec<Op>)> {
    let first = left.iter().find(|(source, queue)| {
        let Some((logged, _)) = queue.front() else { return false };
        let others = left.iter().filter(|(other, _)| other != source);
        others.filter_map(|(_, queue)| queue.front()).all(|(other, _)| !logged.context.covers(other.bundle.dot))
    });
    // Authors cannot have seen each other's bundles in a circle; if they say so, any order is as good.
    let source = first.or_else(|| left.iter().next()).map(|(source, _)| *source)?;
    let queue = left.get_mut(&source)?;
    let next = queue.pop_front();
    if queue.is_empty() {
        left.remove(&source);
    }
    next
}

/// Reads the log from its beginning, with what each bundle's author had seen.
pub(super) struct Walk {
    after: BundleSeq,
    contexts: BTreeMap<i64, Arc<VersionVector>>,
    /// Watermarks that lie ahead: behind one, contexts go on from what is noted there.
    floors: BTreeMap<SourceId, Mark>,
}

/// A bundle of the log.
pub(super) struct Logged {
    pub(super) bundle: Bundle,
    source: i64,
    place: BundleSeq,
    context: Arc<VersionVector>,
}

impl Walk {
    /// From the beginning.
    pub(super) fn begin(connection: &Connection) -> Result<Self, StoreError> {
        Ok(Self { after: BundleSeq(0), contexts: BTreeMap::new(), floors: floors::load(connection)? })
    }

    /// The next bundles in order; none at the end.
    pub(super) fn page(&mut self, connection: &Connection) -> Result<Vec<Logged>, StoreError> {
        let sql = "SELECT l.bundle_seq, l.source, s.id, l.seq, l.body FROM log l JOIN source s ON s.idx = l.source
                   WHERE l.bundle_seq > ?1 ORDER BY l.bundle_seq LIMIT ?2";
        let mut statement = connection.prepare_cached(sql)?;
        let mut rows = statement.query((int(self.after.0), PAGE))?;
        let mut page = Vec::new();
        while let Some(row) = rows.next()? {
            let (place, source) = (BundleSeq(uint(row.get(0)?)), row.get(1)?);
            let dot = Dot { source: SourceId(row.get(2)?), seq: Seq(uint(row.get(3)?)) };
            // Only the body is wanted: what chain it stands in does not matter here.
            let bundle = Bundle::rebuild(dot, Hash::default(), Bytes::from(row.get::<_, Vec<u8>>(4)?));
            let bundle = bundle.map_err(|_| StoreError::Damaged("a bundle is too large"))?;
            let context = self.contexts.entry(source).or_default();
            if self.floors.get(&dot.source).is_some_and(|floor| dot.seq > floor.head.seq)
                && let Some(floor) = self.floors.remove(&dot.source)
            {
                *context = Arc::new(floor.context);
            }
            if let Some(body) = bundle.body.as_ref().filter(|body| !body.context.is_empty()) {
                Arc::make_mut(context).join(&body.context.iter().copied().collect());
            }
            self.after = place;
            page.push(Logged { bundle, source, place, context: Arc::clone(context) });
        }
        Ok(page)
    }
}

impl Logged {
    /// Its place in this device's order.
    pub(super) fn place(&self) -> BundleSeq {
        self.place
    }

    fn origin(&self) -> Origin<'_> {
        let stamp = self.bundle.body.as_ref().map_or(Stamp::default(), |body| body.stamp);
        Origin { source: self.source, dot: self.bundle.dot, stamp, context: &self.context, place: self.place }
    }
}
