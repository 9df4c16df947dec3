//! Read markers, moved by an app.
//!
//! A marker covers what was here to be read, so what is here is read in the same transaction as the place it moves to. A local marker is kept by the
//! store, one for all devices goes the way of every write.

use ipc_proto::v1::{ErrorCode, ErrorDetail, MarkReadRequest, MarkReadResponse, ReadMarkers};
use kinfolk_core::conversation::Markers;
use tonic::Status;

use crate::ipc::convert::{conversation, invalid};
use crate::ipc::{error, read};
use crate::node::Node;
use crate::store::{MARKERS_SETTING, Marking};

/// Moves the marker of a conversation.
pub(super) async fn mark_read(node: &Node, request: MarkReadRequest) -> Result<MarkReadResponse, Status> {
    let MarkReadRequest { conversation, up_to_id } = request;
    let device = node.me.to_string();
    let (name, field) = (conversation.clone(), device.clone());
    let found = read(&node.reader, move |reader| {
        let id = Some(up_to_id.as_str()).filter(|id| !id.is_empty());
        reader.marking(&name, id, &field)
    });
    let Marking { place, seen, markers, current, any_unread } = found.await?.ok_or_else(|| {
        ErrorDetail::new(ErrorCode::NotFound, "there is no such message in this conversation")
            .hint("a deleted message has no place any more: name another one, or none for the newest")
    })?;
    let stands_there = current.as_ref().is_some_and(|current| current.place() >= (place.0, place.1.as_str()));
    let next = current.unwrap_or_default().next((place.0, &place.1), seen);
    let next = next.filter(|_| any_unread || !stands_there);
    let no_op = next.is_none();
    match (next, markers) {
        (None, Markers::Local | Markers::Synced) => {}
        (Some(marker), Markers::Synced) => {
            let pushed = node.driver.push(vec![marker.op(&conversation, &device)], None).await;
            pushed.map_err(|refused| error::alone(error::push(&refused, None)))?;
        }
        (Some(marker), Markers::Local) => {
            let name = conversation.clone();
            let kept = node.driver.keep(move |store| store.keep_marker(&name, &marker)).await;
            kept.map_err(|fault| error::driver(&fault))?;
        }
    }
    let view = read(&node.reader, move |reader| reader.conversation(&conversation)).await?;
    let unread = view.map_or(0, |view| view.unread);
    Ok(MarkReadResponse { no_op, unread, synced: !no_op && markers == Markers::Synced })
}

/// Sets what becomes of read markers where a conversation does not say so.
pub(super) async fn set_read_markers(node: &Node, markers: ReadMarkers) -> Result<(), Status> {
    let markers = conversation::read_markers(markers).map_err(invalid)?;
    let kept = node.driver.keep(move |store| store.put_setting(MARKERS_SETTING, markers.name())).await;
    Ok(kept.map_err(|fault| error::driver(&fault))?)
}
