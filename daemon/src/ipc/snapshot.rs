//! Snapshots: everything that apps see, as it stood at one place of this device's order.
//!
//! All of it is read in one transaction. The place comes first and a count last: a client takes what came between for whole only when the
//! counts agree, and then reads on after the place.

use std::ops::ControlFlow;
use std::sync::Arc;

use ipc_proto::v1::snapshot_item::Item;
use ipc_proto::v1::snapshot_response::Event;
use ipc_proto::v1::{SnapshotBegin, SnapshotEnd, SnapshotItem, SnapshotItems, SnapshotResponse};
use kinfolk_core::op::CONVERSATION_COLLECTION;
use tokio::sync::OwnedSemaphorePermit;

use super::bulk::{self, Chunk};
use super::convert::{message, record};
use super::pipe::{End, Pipe};
use super::watch::{Filter, shown};
use crate::node::Node;
use crate::store::{Exported, Reader, RecordView, StoreError};

/// Sends a snapshot of what the filter lets through.
pub(super) async fn snapshot(
    node: Arc<Node>,
    filter: Filter,
    leave: OwnedSemaphorePermit,
    pipe: Pipe<SnapshotResponse>,
) -> Result<(), End> {
    bulk::send(&node.reader, leave, pipe, move |reader, send| read(reader, &filter, send)).await
}

fn read(
    reader: &Reader,
    filter: &Filter,
    send: &mut dyn FnMut(SnapshotResponse) -> ControlFlow<()>,
) -> Result<(), StoreError> {
    let mut send = |event| send(SnapshotResponse { event: Some(event) });
    let (mut chunk, mut end) = (Chunk::new(), SnapshotEnd::default());
    let whole = reader.snapshot(filter.collections(), |reach, item| {
        let item = match item {
            None => {
                let begin = SnapshotBegin { snapshot_bundle_seq: reach.last.0, order_id: shown(reach.order) };
                return send(Event::Begin(begin));
            }
            Some(Exported::Message(view)) if !filter.has_message(&view.body.conversation) => {
                return ControlFlow::Continue(());
            }
            Some(Exported::Record(view)) if !is_shown(filter, &view) => return ControlFlow::Continue(()),
            Some(Exported::Message(view)) => Item::Message(message::show(*view)),
            Some(Exported::Record(view)) => record::show_in_snapshot(*view),
        };
        end.items += 1;
        match chunk.add(SnapshotItem { item: Some(item) }) {
            Some(items) => send(Event::Items(SnapshotItems { items })),
            None => ControlFlow::Continue(()),
        }
    })?;
    if whole.is_break() {
        return Ok(());
    }
    if let Some(items) = chunk.rest()
        && send(Event::Items(SnapshotItems { items })).is_break()
    {
        return Ok(());
    }
    // Nobody reads any more: that is all right, too.
    let _ = send(Event::End(end));
    Ok(())
}

fn is_shown(filter: &Filter, record: &RecordView) -> bool {
    match record.collection.as_str() {
        CONVERSATION_COLLECTION => filter.has_message(&record.key),
        collection => filter.has_record(collection),
    }
}
