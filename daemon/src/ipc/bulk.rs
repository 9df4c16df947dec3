//! Long answers: what a thread reads out of the store in one transaction goes out as a stream, part by part.
//!
//! The reader waits for the stream, and ends when that does: whoever hangs up ends the reading too. A slow client holds up nobody but the
//! reader's own connection, of which there are as many as long reads are admitted.

use std::ops::ControlFlow;

use ipc_proto::v1::{ErrorCode, ErrorDetail};
use prost::Message;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::error;
use super::pipe::{End, Pipe};
use crate::store::{Reader, StoreError};

/// Most bytes of one part, unless one item alone is larger.
const MAX_CHUNK: usize = 1 << 20;
/// Parts between the thread that reads and the stream: 2 MiB.
const CHUNKS: usize = 2;

/// Sends what `read` gives, until it or the stream ends.
pub(super) async fn send<E: Send + 'static>(
    reader: &Reader,
    leave: OwnedSemaphorePermit,
    pipe: Pipe<E>,
    read: impl FnOnce(&Reader, &mut dyn FnMut(E) -> ControlFlow<()>) -> Result<(), StoreError> + Send + 'static,
) -> Result<(), End> {
    let (parts, mut read_parts) = mpsc::channel(CHUNKS);
    let reader = reader.clone();
    let reading = tokio::task::spawn_blocking(move || {
        let _leave = leave;
        // No receiver: the stream has ended.
        read(&reader, &mut |part| match parts.blocking_send(part) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        })
    });
    while let Some(part) = pipe.wait(read_parts.recv()).await? {
        pipe.send(part).await?;
    }
    match reading.await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(fault)) => Err(error::store(&fault).into()),
        Err(_) => Err(ErrorDetail::new(ErrorCode::Internal, "reading the store broke down").into()),
    }
}

/// Items that go out together.
pub(super) struct Chunk<T> {
    items: Vec<T>,
    bytes: usize,
}

impl<T: Message> Chunk<T> {
    /// None yet.
    pub(super) fn new() -> Self {
        Self { items: Vec::new(), bytes: 0 }
    }

    /// Takes an item; gives back the items before it when they would not fit together.
    pub(super) fn add(&mut self, item: T) -> Option<Vec<T>> {
        // A tag and a length beside each item.
        let bytes = item.encoded_len() + 6;
        let full = self.bytes + bytes > MAX_CHUNK && !self.items.is_empty();
        let before = full.then(|| std::mem::take(&mut self.items));
        self.bytes = if full { bytes } else { self.bytes + bytes };
        self.items.push(item);
        before
    }

    /// The items that have not gone out.
    pub(super) fn rest(self) -> Option<Vec<T>> {
        Some(self.items).filter(|items| !items.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use ipc_proto::v1;
    use ipc_proto::v1::export_item::Item;
    use ipc_proto::v1::{ExportItem, ExportResponse};

    use super::*;

    #[test]
    fn chunks_hold_all_items_in_order_and_fit_into_a_reply() {
        let sizes = [10, MAX_CHUNK / 2, MAX_CHUNK / 2, 1, MAX_CHUNK * 2, 5];
        let mut chunk = Chunk::new();
        let mut chunks: Vec<Vec<ExportItem>> = sizes.iter().filter_map(|size| chunk.add(item(*size))).collect();
        chunks.extend(chunk.rest());
        let counts: Vec<usize> = chunks.iter().map(Vec::len).collect();
        assert_eq!(counts, [2, 2, 1, 1]);
        for items in &chunks {
            let reply = ExportResponse { items: items.clone() };
            assert!(reply.encoded_len() <= MAX_CHUNK || items.len() == 1);
        }
        let order: Vec<usize> = chunks.iter().flatten().map(|item| item.encoded_len()).collect();
        assert_eq!(order, sizes.map(|size| item(size).encoded_len()));
    }

    fn item(size: usize) -> ExportItem {
        let body = v1::message::Body::Text("x".repeat(size));
        ExportItem { item: Some(Item::Message(v1::Message { body: Some(body), ..Default::default() })) }
    }
}
