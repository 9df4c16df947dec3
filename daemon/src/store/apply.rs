//! Changes take effect, one after the other, inside the open transaction.

use prost::Message;
use rusqlite::Connection;

use kinfolk_core::bundle::Bundle;
use kinfolk_core::clock::Stamp;
use kinfolk_core::ids::{BundleSeq, DeviceId, Dot, Hash, Millis, Seq, SourceId};
use kinfolk_core::merge::{self, Timed};
use kinfolk_core::op::{Meaning, Op};
use kinfolk_core::parcel::SignedHead;
use kinfolk_core::roster::{Prekey, SignedRecord};
use kinfolk_core::step::{AppBundle, Append, Change, Committed, REMEMBERED, SavedSibling};
use kinfolk_core::vector::VersionVector;

use super::conversations::Conversations;
use super::convert::{int, numbers_to_bytes, posted_to_bytes, vector_to_bytes};
use super::messages::{Messages, Posted};
use super::registers::Registers;
use super::{Store, StoreError, floors};

/// Where a write comes from: what every stored value is labelled with, and what its author had seen.
pub(super) struct Origin<'a> {
    /// The number of the source here.
    pub(super) source: i64,
    pub(super) dot: Dot,
    pub(super) stamp: Stamp,
    pub(super) context: &'a VersionVector,
    pub(super) place: BundleSeq,
}

impl Store {
    pub(super) fn perform(&mut self, change: &Change) -> Result<(), StoreError> {
        match change {
            Change::Append(append) => self.append(append),
            Change::Early { device, bundle } => self.early(*device, bundle),
            Change::EarlyDone(dot) => self.early_done(*dot),
            Change::Head(head) => self.head(head),
            Change::Sibling(sibling) => self.sibling(sibling),
            Change::Record(record) => insert_record(&self.connection, record),
            Change::AppBundle(app, committed) => self.app_bundle(app, committed),
            Change::Fresh { source, generation } => self.fresh(*source, *generation),
            Change::Quarantine(item) => self.quarantine(item),
            Change::Cut { source, end } => self.cut(*source, *end),
            Change::Ended(ended) => self.ended(*ended),
            Change::Epoch(kept) => self.epoch(kept),
            Change::EpochQuiet(held) => self.epoch_quiet(held),
            Change::EpochGone(epoch) => self.epoch_gone(*epoch),
            Change::Stands { source, head } => floors::stands(&self.connection, *source, *head),
            Change::Compact(compaction) => self.compact(compaction),
            Change::Prune(pruning) => self.prune(pruning),
            Change::Contents(contents) => self.contents(contents),
            Change::Word { to, word } => self.word(*to, *word),
            Change::HydrationBegun(state) => self.begin_hydration(state),
            Change::Staged(chunk) => self.stage(chunk),
            Change::HydrationOver => self.end_hydration(),
            Change::Join(join) => self.join(join),
            Change::Evidence(evidence) => self.evidence(evidence),
            Change::Prekey(kept) => self.prekey(kept),
            Change::PrekeyHeld(held) => self.prekey_held(held),
            Change::PrekeyGone(slot) => self.prekey_gone(*slot),
        }
    }

    fn append(&mut self, append: &Append) -> Result<(), StoreError> {
        let bundle = &append.bundle;
        if append.bundle_seq <= self.cache.last {
            return Err(StoreError::NotNext(bundle.dot));
        }
        let source = self.cache.sources.advance(&self.connection, append)?;
        self.cache.last = append.bundle_seq;
        self.insert_log(append.bundle_seq, source, bundle.dot.seq, bundle.hash, append.at, &bundle.bytes)?;
        if let Some((app, committed)) = &append.app {
            self.app_bundle(app, committed)?;
        }
        let stamp = bundle.body.as_ref().map_or(Stamp::default(), |body| body.stamp);
        let origin = Origin { source, dot: bundle.dot, stamp, context: &append.context, place: append.bundle_seq };
        bundle.ops().iter().try_for_each(|op| self.take_effect(&origin, op))?;
        self.uncut(source, bundle)?;
        if self.cache.sources.is_late(bundle.dot) { self.settle_late(bundle.ops()) } else { Ok(()) }
    }

    pub(super) fn insert_log(
        &self,
        place: BundleSeq,
        source: i64,
        seq: Seq,
        hash: Hash,
        at: Millis,
        body: &[u8],
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO log (bundle_seq, source, seq, hash, at, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let columns = (int(place.0), source, int(seq.0), hash.0, int(at.0), body);
        self.connection.prepare_cached(sql)?.execute(columns)?;
        Ok(())
    }

    /// Lets one op change the state.
    pub(super) fn take_effect(&mut self, origin: &Origin<'_>, op: &Op) -> Result<(), StoreError> {
        let cache = &mut self.cache;
        let meaning = op.meaning_at(cache.level.ops);
        cache.level.count(&meaning);
        let connection = &self.connection;
        let timed =
            |at_us| Timed { at_us: merge::time_or_stamp(at_us, origin.stamp), stamp: origin.stamp, dot: origin.dot };
        match meaning {
            Meaning::RecordPut => self.write_record(origin, op, Some(merge::LIVE)),
            Meaning::RecordDelete => self.write_record(origin, op, None),
            Meaning::MessagePost(body) => {
                let posted = Posted { payload: &op.payload, body: &body, stub: None };
                Messages::new(connection, cache)?.post(origin, &op.key, &posted)
            }
            Meaning::MessageStub(stub) => {
                let payload = stub.post.encode_to_vec();
                let posted = Posted { payload: &payload, body: &stub.post, stub: Some(stub.content) };
                Messages::new(connection, cache)?.post(origin, &op.key, &posted)
            }
            Meaning::MessageStatus(level, at_us) => {
                Messages::new(connection, cache)?.status(&op.key, level, timed(at_us), origin)
            }
            Meaning::MessageDelete(at_us) => Messages::new(connection, cache)?.delete(&op.key, timed(at_us), origin),
            // Kept in the log, where a newer version finds it ([`super::level`]); an invalid op never means anything.
            Meaning::Unknown | Meaning::Invalid(_) => Ok(()),
        }
    }

    fn write_record(&mut self, origin: &Origin<'_>, op: &Op, existence: Option<&[u8]>) -> Result<(), StoreError> {
        let before = Conversations::before_write(&self.connection, &op.collection, &op.key)?;
        let (connection, cache) = (&self.connection, &mut self.cache);
        Registers::new(connection, cache).write(origin, op, existence)?;
        cache.conversations.after_write(connection, &op.key, &before)
    }

    fn early(&self, device: DeviceId, bundle: &Bundle) -> Result<(), StoreError> {
        let sql = "INSERT OR REPLACE INTO early (source, seq, device, prev, body) VALUES (?1, ?2, ?3, ?4, ?5)";
        let dot = (bundle.dot.source.0, int(bundle.dot.seq.0));
        let columns = (dot.0, dot.1, device.0, bundle.prev.0, bundle.bytes.as_ref());
        self.connection.prepare_cached(sql)?.execute(columns)?;
        Ok(())
    }

    fn early_done(&self, dot: Dot) -> Result<(), StoreError> {
        let sql = "DELETE FROM early WHERE source = ?1 AND seq = ?2";
        self.connection.prepare_cached(sql)?.execute((dot.source.0, int(dot.seq.0)))?;
        Ok(())
    }

    fn head(&self, signed: &SignedHead) -> Result<(), StoreError> {
        let sql = "INSERT INTO head (source, seq, hash, device, signature) VALUES (?1, ?2, ?3, ?4, ?5)
                   ON CONFLICT DO NOTHING";
        let head = signed.head;
        let columns = (signed.source.0, int(head.seq.0), head.hash.0, signed.device.0, signed.signature.as_ref());
        self.connection.prepare_cached(sql)?.execute(columns)?;
        Ok(())
    }

    fn sibling(&self, sibling: &SavedSibling) -> Result<(), StoreError> {
        let sql = "INSERT OR REPLACE INTO sibling (device, generation, vector, heard, prekey_slot, prekey, epoch, term,
                   epoch_id, under, under_id, relays, posted, trials, knows_slot)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)";
        self.connection.prepare_cached(sql)?.execute((
            sibling.device.0,
            int(sibling.receipt.generation),
            vector_to_bytes(&sibling.receipt.vector),
            int(sibling.heard.0),
            sibling.prekey.as_ref().map(|prekey| prekey.slot),
            sibling.prekey.as_ref().map(|prekey| prekey.public.as_ref()),
            sibling.epoch.number,
            sibling.receipt.term,
            sibling.epoch.id,
            sibling.under.number,
            sibling.under.id,
            sibling.relays.iter().flat_map(|relay| relay.0).collect::<Vec<u8>>(),
            posted_to_bytes(&sibling.posted),
            sibling.receipt.trials,
            sibling.knows_slot,
        ))?;
        Ok(())
    }

    fn app_bundle(&self, app: &AppBundle, committed: &Committed) -> Result<(), StoreError> {
        let Hash(content) = committed.content;
        let source = match committed.dot {
            Some(dot) => Some(self.cache.sources.idx(dot.source).ok_or(StoreError::NotNext(dot))?),
            None => None,
        };
        let sql = "INSERT INTO app_bundle (app, id, bundle_seq, source, seq, content, no_ops)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        let (seq, no_ops) = (committed.dot.map(|dot| int(dot.seq.0)), numbers_to_bytes(&committed.no_ops));
        let columns = (&app.source, int(app.id), int(committed.bundle_seq.0), source, seq, content, no_ops);
        self.connection.prepare_cached(sql)?.execute(columns)?;
        if let Some(stamp) = app.stamp {
            let sql = "INSERT OR REPLACE INTO app_stamp (app, stamp) VALUES (?1, ?2)";
            self.connection.prepare_cached(sql)?.execute((&app.source, int(stamp)))?;
        }
        if let Some(forgotten) = app.id.checked_sub(REMEMBERED) {
            let sql = "DELETE FROM app_bundle WHERE app = ?1 AND id <= ?2";
            self.connection.prepare_cached(sql)?.execute((&app.source, int(forgotten)))?;
        }
        Ok(())
    }

    /// The own source is another one from here on. The one before it keeps its bundles.
    fn fresh(&self, source: SourceId, generation: u64) -> Result<(), StoreError> {
        let sql = "UPDATE device SET source = ?1, generation = ?2";
        self.connection.prepare_cached(sql)?.execute((source.0, int(generation)))?;
        Ok(())
    }
}

/// Keeps the prekey of a sibling that never spoke to this device.
pub(super) fn insert_announced(connection: &Connection, device: DeviceId, prekey: &Prekey) -> Result<(), StoreError> {
    let sql = "INSERT INTO sibling (device, generation, vector, heard, prekey_slot, prekey, epoch)
               VALUES (?1, 0, zeroblob(0), 0, ?2, ?3, 0)";
    connection.prepare_cached(sql)?.execute((device.0, prekey.slot, prekey.public.as_ref()))?;
    Ok(())
}

/// Keeps a verified roster record.
pub(super) fn insert_record(connection: &Connection, record: &SignedRecord) -> Result<(), StoreError> {
    let sql = "INSERT INTO roster_record (id, bytes, signature) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
    let columns = (record.id().0, record.bytes.as_ref(), record.signature.as_ref());
    connection.prepare_cached(sql)?.execute(columns)?;
    Ok(())
}
