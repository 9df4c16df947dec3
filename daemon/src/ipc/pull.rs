//! Pulls: complete bundles after a cursor, page by page, up to where the order reached when the first page was asked for.
//!
//! The token of a page carries where the pull ends, so what is applied meanwhile waits for the next pull. It also says that a pull began at 0: such a
//! one reads what is kept of a compacted log from its beginning and is not told that it lies below the watermark, or it could never
//! come to an end.

use ipc_proto::v1::{PullRequest, PullResponse};
use kinfolk_core::ids::BundleSeq;
use prost::Message;
use tonic::Status;

use super::caller::Caller;
use super::cursors::Cursors;
use super::page;
use super::read;
use super::watch::{Filter, MAX_EVENT, goes_on, in_order, resync, show, shown, too_large};
use crate::node::Node;
use crate::store::{Reader, StoreError};

/// Bundles of a page when no number was asked for.
const USUAL_BUNDLES: usize = 100;
/// Bytes of a page when no number was asked for.
const USUAL_BYTES: usize = page::MAX_PAGE_BYTES;
/// Most bytes of a page, unless its only bundle is larger.
const MAX_BYTES: usize = 8 << 20;
/// Bundles read at a time.
const CHUNK: usize = 64;

/// A page of a pull that is to be read.
struct Page {
    after: BundleSeq,
    /// Where the pull ends.
    stable: BundleSeq,
    /// It began at 0.
    from_start: bool,
    /// The order that these are places of.
    order_id: String,
    filter: Filter,
    bundles: usize,
    bytes: usize,
}

/// The page that was asked for.
pub(super) async fn pull(
    node: &Node,
    cursors: &Cursors,
    caller: &Caller,
    request: PullRequest,
) -> Result<PullResponse, Status> {
    let filter = Filter::records(&request.collections, caller)?;
    let bundles = page::size(request.max_bundles, USUAL_BUNDLES);
    let bytes = match usize::try_from(request.max_bytes).unwrap_or(usize::MAX) {
        0 => USUAL_BYTES,
        asked => asked.min(MAX_BYTES),
    };
    let place: Option<(u64, u64, bool, String)> = page::place(&request.page_token)?;
    let (after, stable, from_start, order_id) = match place {
        Some((after, stable, from_start, order_id)) => (BundleSeq(after), BundleSeq(stable), from_start, order_id),
        None => {
            let after = cursors.begin(node, caller, request.after_bundle_seq, &request.consumer).await?;
            let after = after.unwrap_or_default();
            let reach = read(&node.reader, |reader| reader.reach()).await?;
            goes_on(after, &request.order_id, reach)?;
            (after, reach.last, after.0 == 0, shown(reach.order))
        }
    };
    let page = Page { after, stable, from_start, order_id, filter, bundles, bytes };
    read(&node.reader, move |reader| page.read(reader)).await?
}

impl Page {
    fn read(self, reader: &Reader) -> Result<Result<PullResponse, Status>, StoreError> {
        let (stable_bundle_seq, order_id) = (self.stable.0, self.order_id.clone());
        let mut response = PullResponse { stable_bundle_seq, order_id, ..PullResponse::default() };
        let (mut cursor, mut bytes) = (self.after, 0);
        loop {
            let part = reader.order_after(cursor, Some(self.stable), CHUNK, self.bytes)?;
            if let Err(other) = in_order(cursor, &self.order_id, part.reach) {
                return Ok(Err(other));
            }
            let lost = !self.from_start && !part.reach.continues(cursor);
            if lost || self.stable > part.reach.last {
                return Ok(Err(resync(cursor, part.reach).into()));
            }
            for entry in part.entries {
                let place = entry.place();
                if let Some(bundle) = show(reader, &entry, &self.filter)? {
                    let size = bundle.encoded_len();
                    if size > MAX_EVENT {
                        return Ok(Err(too_large(&bundle).into()));
                    }
                    let full = response.bundles.len() >= self.bundles || bytes + size > self.bytes;
                    if full && !response.bundles.is_empty() {
                        response.next_page_token =
                            page::token(&(cursor.0, self.stable.0, self.from_start, &self.order_id));
                        return Ok(Ok(response));
                    }
                    bytes += size;
                    response.bundles.push(bundle);
                }
                cursor = place;
            }
            if part.last {
                return Ok(Ok(response));
            }
            cursor = part.upto;
        }
    }
}
