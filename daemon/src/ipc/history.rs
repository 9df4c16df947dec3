//! What a record was, and how it is made so again.

use std::collections::BTreeMap;

use ipc_proto::v1::{
    ChangeKind, ErrorCode, ErrorDetail, HistoryRequest, HistoryResponse, PastChange, UndoRequest, UndoResponse,
};
use kinfolk_core::history;
use kinfolk_core::ids::BundleSeq;
use kinfolk_core::op::Meaning;
use kinfolk_core::step::Refusal;
use tonic::Status;
use uuid::Uuid;

use super::admission::limit;
use super::convert::{invalid, push, value};
use super::{error, page, read, records};
use crate::driver::PushError;
use crate::node::Node;
use crate::store::{self, MAX_PAST};

/// Changes of a page when no size was asked for.
const USUAL_PAGE: usize = 50;
/// How often an undo is begun anew because the record has changed meanwhile.
const ATTEMPTS: usize = 3;

/// A page of a record's history, newest first.
pub(super) async fn history(node: &Node, request: HistoryRequest) -> Result<HistoryResponse, Status> {
    let HistoryRequest { collection, key, page_size, page_token } = request;
    let before: Option<u64> = page::place(&page_token)?;
    let size = page::size(page_size, USUAL_PAGE);
    let found = read(&node.reader, move |reader| {
        let mut exists = true;
        let some = |before: Option<&u64>, most| {
            let changes = reader.history(&collection, &key, before.map(|place| BundleSeq(*place)), most)?;
            exists &= changes.is_some();
            Ok(changes.unwrap_or_default())
        };
        let page = page::fill(before, size, some, |change: &store::PastChange| change.bundle_seq.0, show)?;
        Ok(exists.then_some((page, reader.reach()?)))
    });
    let (page, reach) = found.await?.ok_or_else(nothing)?;
    Ok(HistoryResponse { changes: page.items, next_page_token: page.next, compacted_up_to: reach.compacted_upto.0 })
}

/// Makes a record show what it would without one of its changes.
pub(super) async fn undo(node: &Node, request: UndoRequest) -> Result<UndoResponse, Status> {
    let UndoRequest { collection, key, bundle_seq } = request;
    push::ours(&collection).map_err(invalid)?;
    let mut attempts = 0;
    loop {
        attempts += 1;
        let name = (collection.clone(), key.clone());
        let past = read(&node.reader, move |reader| reader.whole_past(&name.0, &name.1)).await?.ok_or_else(nothing)?;
        if past.changes.len() > MAX_PAST {
            let detail = ErrorDetail::new(ErrorCode::TooLarge, "the record was changed too often to undo a change");
            return Err(detail.payload(limit("changes of a record", MAX_PAST, past.changes.len())).into());
        }
        let wanted = |change: &&store::PastChange| bundle_seq == 0 || change.bundle_seq.0 == bundle_seq;
        let Some(undone) = past.changes.iter().find(wanted).map(|change| (change.bundle_seq, change.past.dot)) else {
            return Err(ErrorDetail::new(ErrorCode::NotFound, "there is no such change of this record").into());
        };
        if read(&node.reader, move |reader| reader.is_compacted(undone.1)).await? {
            let message = "the log was compacted beyond this change: what it replaced is gone";
            return Err(ErrorDetail::new(ErrorCode::NotFound, message).into());
        }
        let all: Vec<history::Past> = past.changes.into_iter().map(|change| change.past).collect();
        let undone_bundle_seq = undone.0.0;
        let Some(op) = history::without(&collection, &key, &all, undone.1) else {
            return Ok(UndoResponse { undone_bundle_seq, no_op: true, ..UndoResponse::default() });
        };
        let base = BTreeMap::from([(0, past.row_version)]);
        match node.driver.push_on(base, vec![op], None).await {
            Ok(pushed) => {
                let (source_id, seq, bundle_seq) = records::place(node, &pushed);
                return Ok(UndoResponse { undone_bundle_seq, no_op: false, source_id, seq, bundle_seq });
            }
            Err(PushError::Refused(Refusal::RowChanged { .. })) if attempts < ATTEMPTS => {}
            Err(refused) => return Err(error::alone(error::push(&refused, None)).into()),
        }
    }
}

fn nothing() -> ErrorDetail {
    ErrorDetail::new(ErrorCode::NotFound, "there is and was no such record")
}

fn show(change: store::PastChange) -> PastChange {
    let history::Past { dot, stamp, op } = change.past;
    let deletes = op.meaning() == Meaning::RecordDelete;
    let mut shown = PastChange {
        bundle_seq: change.bundle_seq.0,
        device_id: change.device.to_string(),
        source_id: Uuid::from_bytes(dot.source.0).to_string(),
        seq: dot.seq.0,
        written_at_ms: stamp.millis().0,
        kind: if deletes { ChangeKind::RecordDelete } else { ChangeKind::RecordPut }.into(),
        ..PastChange::default()
    };
    for field in op.fields {
        match field.value {
            Some(written) => drop(shown.fields.insert(field.name, value::show(written))),
            None => shown.cleared_fields.push(field.name),
        }
    }
    shown
}
