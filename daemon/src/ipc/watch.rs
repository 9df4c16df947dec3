//! Watches: complete bundles in this device's order, after a cursor, for ever.
//!
//! ```text
//! look at the bell ─▶ read the log after the cursor ─▶ send what matches ─▶ caught up? ─no─▶ read on
//!        ▲                                                                     │yes
//!        └────── bell, or HEARTBEAT ◀── send the position ◀────────────────────┘
//! ```
//!
//! The bell is looked at *before* the log is read: what is committed in between rings again. It carries no data, so nothing can be
//! lost with it: whoever missed ten rings reads ten bundles. A bundle is sent with what it touched as that stands *now*; a client that
//! stores what it is told, in order, comes to hold what this device shows.
//!
//! **Compaction** takes bundles away whose effect others have replaced. Whoever is before such a place, but not at 0, has seen something that nobody can
//! tell about any more and is told so ([`resync`]): before the watch begins, and when it falls behind later. A watch from 0 reads
//! what is kept and comes to hold what this device shows.
//!
//! **A device that is put back** to an earlier state gives out places again. A cursor is therefore a place *and* the id of its order, which such a
//! device changes; a cursor of another order is told to read anew although its place is there ([`goes_on`]).

mod filter;

use std::time::Duration;

use ipc_proto::MAX_REPLY_BYTES;
use ipc_proto::v1::error_detail::Payload;
use ipc_proto::v1::{
    Bundle, Change, ErrorCode, ErrorDetail, ResyncRequired, WatchPosition, WatchResponse, watch_response::Event,
};
use kinfolk_core::ids::{BundleSeq, SourceId};
use prost::Message;
use tokio::sync::watch::Receiver;
use tokio::time::timeout;
use tonic::Status;
use uuid::Uuid;

pub(super) use self::filter::{Filter, readable};
use super::admission::limit;
use super::convert::bundle::{self, Touched};
use super::error;
use super::pipe::{End, Pipe};
use super::read;
use crate::hops::{self, Hop};
use crate::store::{Entry, Part, Reach, Reader, StoreError};

/// The longest silence of a watch: after it, the position is sent as a sign of life.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(30);
/// Bundles read at a time.
const BATCH: u64 = 64;
/// Bundles that are few enough to be read on the event loop.
const LIVE: u64 = 2;
/// Bytes of bundles read at a time, unless the first alone is larger.
const BATCH_BYTES: usize = 1 << 20;
/// Most bytes of one event: a reply with room for its framing.
pub(super) const MAX_EVENT: usize = MAX_REPLY_BYTES - 1024;

/// A watch at its cursor.
#[derive(Debug)]
pub(super) struct Watching {
    reader: Reader,
    bell: Receiver<BundleSeq>,
    cursor: BundleSeq,
    /// It began at 0 and has not caught up yet: what was compacted meanwhile is nothing to it.
    from_start: bool,
    /// The order that the cursor is a place of.
    order: SourceId,
    filter: Filter,
    heartbeat: Duration,
}

impl Watching {
    /// A watch after `after`; without it, of what is applied from now on.
    pub(super) async fn begin(
        reader: &Reader,
        bell: Receiver<BundleSeq>,
        after: Option<BundleSeq>,
        order_id: &str,
        filter: Filter,
    ) -> Result<Self, Status> {
        let reach = read(reader, |reader| reader.reach()).await?;
        let cursor = after.unwrap_or(reach.last);
        goes_on(cursor, order_id, reach)?;
        let (from_start, order) = (cursor.0 == 0, reach.order);
        Ok(Self { reader: reader.clone(), bell, cursor, from_start, order, filter, heartbeat: HEARTBEAT })
    }

    /// Sends everything to come.
    pub(super) async fn feed(mut self, pipe: Pipe<WatchResponse>) -> Result<(), End> {
        loop {
            hops::passed(Hop::Rung);
            self.bell.mark_unchanged();
            let caught_up = self.catch_up(&pipe).await?;
            if caught_up {
                self.tell_position(&pipe).await?;
                // Silence is as good as a ring: there the log is read once more, and the position sent.
                match pipe.wait(timeout(self.heartbeat, self.bell.changed())).await? {
                    Ok(Ok(())) | Err(_) => {}
                    Ok(Err(_)) => {
                        return Err(ErrorDetail::new(ErrorCode::ShuttingDown, "the daemon is stopping").into());
                    }
                }
            }
        }
    }

    /// Reads on from the cursor and sends what matches. Says whether that was all.
    async fn catch_up(&mut self, pipe: &Pipe<WatchResponse>) -> Result<bool, End> {
        let cursor = self.cursor;
        // A live event is read where we are: a thread for it would be twice as far away as the database.
        let rung = *self.bell.borrow();
        let is_live = rung.0.saturating_sub(cursor.0) <= LIVE;
        let batch = if is_live && pipe.is_one_of_few() && self.reader.is_free() {
            Batch::read(&self.reader, cursor, &self.filter, LIVE).map_err(|fault| error::store(&fault))?
        } else {
            let filter = self.filter.clone();
            let batch = read(&self.reader, move |reader| Batch::read(reader, cursor, &filter, BATCH));
            pipe.wait(batch).await??
        };
        hops::passed(Hop::Read);
        if !self.from_start && !batch.reach.continues(cursor) {
            return Err(resync(cursor, batch.reach).into());
        }
        self.from_start &= !batch.last;
        self.order = batch.reach.order;
        let silent = batch.bundles.is_empty();
        for bundle in batch.bundles {
            let bundle_seq = bundle.bundle_seq;
            if bundle.encoded_len() > MAX_EVENT {
                return Err(too_large(&bundle).into());
            }
            pipe.send_after(self.cursor, self.response(Event::Bundle(bundle))).await?;
            self.cursor = BundleSeq(bundle_seq);
        }
        self.cursor = batch.upto;
        if silent && !batch.last {
            // A long stretch without a match is progress, too.
            self.tell_position(pipe).await?;
        }
        // What is committed after the bell was looked at rings again.
        Ok(batch.last || batch.upto >= rung)
    }

    async fn tell_position(&self, pipe: &Pipe<WatchResponse>) -> Result<(), End> {
        let position = WatchPosition { bundle_seq: self.cursor.0 };
        pipe.send_after(self.cursor, self.response(Event::Position(position))).await
    }

    fn response(&self, event: Event) -> WatchResponse {
        WatchResponse { event: Some(event), order_id: shown(self.order) }
    }
}

/// What one look into the order gave.
struct Batch {
    reach: Reach,
    bundles: Vec<Bundle>,
    /// Everything up to here is in `bundles` or does not match.
    upto: BundleSeq,
    /// Whether there was no more.
    last: bool,
}

impl Batch {
    fn read(reader: &Reader, after: BundleSeq, filter: &Filter, most: u64) -> Result<Self, StoreError> {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let Part { reach, entries, upto, last } = reader.order_after(after, None, most, BATCH_BYTES)?;
        let mut bundles = Vec::new();
        for entry in entries {
            bundles.extend(show(reader, &entry, filter)?);
        }
        Ok(Self { reach, bundles, upto, last })
    }
}

/// What a place of the order holds of what the filter asks for; `None` when that is nothing.
pub(super) fn show(reader: &Reader, entry: &Entry, filter: &Filter) -> Result<Option<Bundle>, StoreError> {
    let mut changes = Vec::new();
    match entry {
        Entry::Bundle(bundle) => {
            let touched = bundle.ops.iter().map(|op| (bundle::touched(op), &op.collection, &op.key));
            gather(reader, touched, filter, &mut changes)?;
        }
        Entry::Revision(_, names) => {
            let touched = names.iter().map(|(collection, key)| (bundle::revised(collection), collection, key));
            gather(reader, touched, filter, &mut changes)?;
        }
    }
    Ok((!changes.is_empty()).then(|| bundle::show(entry, changes)))
}

/// How what was touched stands.
fn gather<'n>(
    reader: &Reader,
    touched: impl Iterator<Item = (Touched, &'n String, &'n String)>,
    filter: &Filter,
    changes: &mut Vec<Change>,
) -> Result<(), StoreError> {
    let mut bytes = 0_usize;
    for (touched, collection, key) in touched {
        let Some(change) = change(reader, touched, collection, key, filter)? else { continue };
        bytes = bytes.saturating_add(change.encoded_len());
        changes.push(change);
        if bytes > MAX_EVENT {
            // Already too large to be sent: reading on would only fill the memory.
            break;
        }
    }
    Ok(())
}

fn change(
    reader: &Reader,
    touched: Touched,
    collection: &str,
    key: &str,
    filter: &Filter,
) -> Result<Option<Change>, StoreError> {
    Ok(match touched {
        Touched::Record(kind) if filter.has_record(collection) => {
            let now = reader.record(collection, key)?;
            Some(bundle::record_change(kind, collection.to_owned(), key.to_owned(), now))
        }
        Touched::Message(kind) if filter.has_messages() => {
            let now = reader.message(key)?;
            // A deleted message has forgotten its conversation; who shows it must learn that it is gone.
            let matches = now.as_ref().is_none_or(|message| filter.has_message(&message.body.conversation));
            matches.then(|| bundle::message_change(kind, key.to_owned(), now))
        }
        Touched::Conversation(kind) if filter.has_message(key) => {
            let now = reader.conversation(key)?;
            Some(bundle::conversation_change(kind, key.to_owned(), now))
        }
        Touched::Unknown => filter.has_unknown().then(Change::default),
        Touched::Record(_) | Touched::Message(_) | Touched::Conversation(_) | Touched::Nothing => None,
    })
}

/// Whether whoever has dealt with everything up to `cursor`, a place of the order of that id if one is given, can go on from there.
pub(super) fn goes_on(cursor: BundleSeq, order_id: &str, reach: Reach) -> Result<(), Status> {
    if cursor.0 == 0 {
        return Ok(());
    }
    in_order(cursor, order_id, reach)?;
    if reach.continues(cursor) { Ok(()) } else { Err(resync(cursor, reach).into()) }
}

/// Whether the order of that id, if one is given, is this device's.
pub(super) fn in_order(cursor: BundleSeq, order_id: &str, reach: Reach) -> Result<(), Status> {
    if order_id.is_empty() || order_id == shown(reach.order) {
        return Ok(());
    }
    let mut detail = resync(cursor, reach);
    detail.message = format!("the cursor {cursor} is a place of another order: this device was put back meanwhile");
    Err(detail.into())
}

/// An order as apps know it.
pub(super) fn shown(order: SourceId) -> String {
    Uuid::from_bytes(order.0).to_string()
}

/// A cursor from which nobody can go on.
pub(super) fn resync(cursor: BundleSeq, reach: Reach) -> ErrorDetail {
    let Reach { compacted_upto, last, order } = reach;
    let message = if cursor > last {
        format!("the cursor {cursor} lies beyond the last bundle, {last}: this device was put back to an earlier state")
    } else {
        format!("the cursor {cursor} lies below {compacted_upto}, up to where the log was compacted")
    };
    ErrorDetail::new(ErrorCode::ResyncRequired, message)
        .hint("take a snapshot, or read everything again after 0")
        .payload(Payload::Resync(ResyncRequired {
            compacted_up_to: compacted_upto.0,
            cursor: cursor.0,
            bundle_seq: last.0,
            order_id: shown(order),
        }))
}

/// Records grow by many writes; a bundle that touches many large ones can be more than a reply may be.
pub(super) fn too_large(bundle: &Bundle) -> ErrorDetail {
    let message = format!("bundle {} touches more than {MAX_EVENT} bytes of records", bundle.bundle_seq);
    ErrorDetail::new(ErrorCode::TooLarge, message)
        .hint("read its collections with List, then watch after this bundle")
        .payload(limit("bytes of a bundle with what it touches", MAX_EVENT, bundle.encoded_len()))
}
