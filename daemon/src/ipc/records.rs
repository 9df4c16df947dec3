//! Records, and the one way to write them and messages together.

use ipc_proto::v1::error_detail::Payload;
use ipc_proto::v1::records_server::Records;
use ipc_proto::v1::{
    AckRequest, AckResponse, ChangeKind, ErrorCode, ErrorDetail, GetConflictRequest, GetConflictResponse,
    GetPolicyRequest, GetPolicyResponse, GetRequest, GetResponse, HistoryRequest, HistoryResponse,
    ListConflictsRequest, ListConflictsResponse, ListRequest, ListResponse, MessageDiffers, PullRequest, PullResponse,
    PushRequest, PushResponse, ResolveConflictRequest, ResolveConflictResponse, RowConflict, SetPolicyRequest,
    SetPolicyResponse, SnapshotRequest, SnapshotResponse, UndoRequest, UndoResponse, WatchConflictsRequest,
    WatchConflictsResponse, WatchRequest, WatchResponse,
};
use kinfolk_core::ids::BundleSeq;
use kinfolk_core::op::{Meaning, Op};
use kinfolk_core::step::{Pushed, Refusal};
use prost::Message;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::caller::Caller;
use super::convert::push::Asked;
use super::convert::{invalid, message, record};
use super::pipe::Events;
use super::watch::{Filter, Watching};
use super::{Api, conflicts, error, history, lookup, page, pull, quota, read, snapshot};
use crate::apps::Scope;
use crate::driver::PushError;
use crate::hops::{self, Hop};
use crate::node::Node;

/// Largest record that is told with a conflict, in bytes: it travels in a header, and clients take headers of 16 KiB in all.
const MAX_CONFLICT_RECORD: usize = 4 << 10;
/// Items of a page when no size was asked for.
const USUAL_PAGE: usize = 100;

#[tonic::async_trait]
impl Records for Api {
    type WatchStream = Events<WatchResponse>;
    type SnapshotStream = Events<SnapshotResponse>;
    type WatchConflictsStream = Events<WatchConflictsResponse>;

    async fn push(&self, request: Request<PushRequest>) -> Result<Response<PushResponse>, Status> {
        let node = self.node()?;
        let caller = Caller::of(&request);
        let asked = Asked::read(request.into_inner(), caller)?;
        hops::passed(Hop::Asked);
        let pushed = push(&node, &asked).await?;
        let (source_id, seq, bundle_seq) = place(&node, &pushed);
        let already_committed = pushed.repeated;
        let results = asked.results(&pushed);
        Ok(Response::new(PushResponse { source_id, seq, bundle_seq, results, already_committed }))
    }

    async fn get(&self, request: Request<GetRequest>) -> Result<Response<GetResponse>, Status> {
        let node = self.node()?;
        Caller::of(&request).collection(&request.get_ref().collection, Scope::Read)?;
        let GetRequest { collection, key } = request.into_inner();
        let found = read(&node.reader, move |reader| reader.record(&collection, &key)).await?;
        let found = found.ok_or_else(|| ErrorDetail::new(ErrorCode::NotFound, "there is no such record"))?;
        Ok(Response::new(GetResponse { record: Some(record::show(found)) }))
    }

    async fn list(&self, request: Request<ListRequest>) -> Result<Response<ListResponse>, Status> {
        let node = self.node()?;
        Caller::of(&request).collection(&request.get_ref().collection, Scope::Read)?;
        let ListRequest { collection, prefix, page_size, page_token, condition } = request.into_inner();
        let size = page::size(page_size, USUAL_PAGE);
        if let Some(condition) = condition {
            if !prefix.is_empty() {
                return Err(invalid("records are listed by their keys or by a field, not by both").into());
            }
            let page = lookup::list(&node, collection, condition, size, &page_token).await?;
            return Ok(Response::new(ListResponse { records: page.items, next_page_token: page.next }));
        }
        let after: Option<String> = page::place(&page_token)?;
        let page = read(&node.reader, move |reader| {
            let read =
                |after: Option<&String>, most| reader.records(&collection, &prefix, after.map(String::as_str), most);
            page::fill(after, size, read, |record| record.key.clone(), record::show)
        });
        let page = page.await?;
        Ok(Response::new(ListResponse { records: page.items, next_page_token: page.next }))
    }

    async fn history(&self, request: Request<HistoryRequest>) -> Result<Response<HistoryResponse>, Status> {
        let node = self.node()?;
        Caller::of(&request).collection(&request.get_ref().collection, Scope::Read)?;
        Ok(Response::new(history::history(&node, request.into_inner()).await?))
    }

    async fn undo(&self, request: Request<UndoRequest>) -> Result<Response<UndoResponse>, Status> {
        let node = self.node()?;
        Caller::of(&request).collection(&request.get_ref().collection, Scope::Write)?;
        Ok(Response::new(history::undo(&node, request.into_inner()).await?))
    }

    async fn list_conflicts(
        &self,
        request: Request<ListConflictsRequest>,
    ) -> Result<Response<ListConflictsResponse>, Status> {
        let node = self.node()?;
        Caller::of(&request).collection(&request.get_ref().collection, Scope::Read)?;
        Ok(Response::new(conflicts::list(&node, request.into_inner()).await?))
    }

    async fn get_conflict(
        &self,
        request: Request<GetConflictRequest>,
    ) -> Result<Response<GetConflictResponse>, Status> {
        let node = self.node()?;
        Caller::of(&request).collection(&request.get_ref().collection, Scope::Read)?;
        let conflict = conflicts::get(&node, request.into_inner()).await?;
        Ok(Response::new(GetConflictResponse { conflict: Some(conflict) }))
    }

    async fn resolve_conflict(
        &self,
        request: Request<ResolveConflictRequest>,
    ) -> Result<Response<ResolveConflictResponse>, Status> {
        let node = self.node()?;
        Caller::of(&request).collection(&request.get_ref().collection, Scope::Write)?;
        Ok(Response::new(conflicts::resolve(&node, request.into_inner()).await?))
    }

    async fn watch_conflicts(
        &self,
        request: Request<WatchConflictsRequest>,
    ) -> Result<Response<Self::WatchConflictsStream>, Status> {
        let node = self.node()?;
        Caller::of(&request).collection(&request.get_ref().collection, Scope::Read)?;
        let collection = Some(request.get_ref().collection.clone()).filter(|name| !name.is_empty());
        self.pipes.open(&request, |pipe| conflicts::watch(node, collection, pipe))
    }

    async fn get_policy(&self, request: Request<GetPolicyRequest>) -> Result<Response<GetPolicyResponse>, Status> {
        let node = self.node()?;
        Caller::of(&request).collection(&request.get_ref().collection, Scope::Read)?;
        let policy = conflicts::policy(&node, request.into_inner().collection).await?;
        Ok(Response::new(GetPolicyResponse { policy: policy.into() }))
    }

    async fn set_policy(&self, request: Request<SetPolicyRequest>) -> Result<Response<SetPolicyResponse>, Status> {
        let node = self.node()?;
        Caller::of(&request).collection(&request.get_ref().collection, Scope::Write)?;
        conflicts::set_policy(&node, request.into_inner()).await?;
        Ok(Response::new(SetPolicyResponse {}))
    }

    async fn watch(&self, request: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let node = self.node()?;
        let WatchRequest { after_bundle_seq, collections, consumer, order_id } = request.get_ref();
        let caller = Caller::of(&request);
        let filter = Filter::records(collections, &caller)?;
        let after = self.cursors.begin(&node, &caller, *after_bundle_seq, consumer).await?;
        let watching = Watching::begin(&node.reader, node.driver.bell(), after, order_id, filter).await?;
        self.pipes.open(&request, |pipe| watching.feed(pipe))
    }

    async fn pull(&self, request: Request<PullRequest>) -> Result<Response<PullResponse>, Status> {
        let node = self.node()?;
        let caller = Caller::of(&request);
        Ok(Response::new(pull::pull(&node, &self.cursors, &caller, request.into_inner()).await?))
    }

    async fn snapshot(&self, request: Request<SnapshotRequest>) -> Result<Response<Self::SnapshotStream>, Status> {
        let node = self.node()?;
        let filter = Filter::records(&request.get_ref().collections, &Caller::of(&request))?;
        let leave = self.long_read()?;
        self.pipes.open(&request, |pipe| snapshot::snapshot(node, filter, leave, pipe))
    }

    async fn ack(&self, request: Request<AckRequest>) -> Result<Response<AckResponse>, Status> {
        let node = self.node()?;
        let caller = Caller::of(&request);
        let AckRequest { consumer, bundle_seq, order_id } = request.into_inner();
        let stands = self.cursors.acknowledge(&node, &caller, &consumer, BundleSeq(bundle_seq), &order_id).await?;
        Ok(Response::new(AckResponse { bundle_seq: stands.0 }))
    }
}

/// Pushes what was asked, if the caller may do all of it. A refusal because an id is taken says in what the contents differ.
pub(super) async fn push(node: &Node, asked: &Asked) -> Result<Pushed, Status> {
    asked.caller.may_push(&node.reader, &asked.ops).await?;
    let _within_quota = quota::admit(node, &asked.caller, &asked.ops, asked.app.as_ref()).await?;
    let pushed = node.driver.push_on(asked.bases.clone(), asked.ops.clone(), asked.app.clone()).await;
    let refused = match pushed {
        Ok(pushed) => return Ok(pushed),
        Err(refused) => refused,
    };
    let detail = error::push(&refused, asked.app.as_ref());
    let PushError::Refused(refusal) = refused else { return Err(detail.into()) };
    if let Refusal::MessageDiffers { index } = refusal
        && let Some(op) = asked.ops.get(index)
    {
        let fields = differing(node, op, &asked.caller).await;
        return Err(detail.payload(Payload::MessageDiffers(MessageDiffers { id: op.key.clone(), fields })).into());
    }
    if let Refusal::RowChanged { index, base, version } = refusal
        && let Some(op) = asked.ops.get(index)
    {
        let conflict = changed(node, op, base, version).await?;
        return Err(detail.payload(Payload::Conflict(conflict)).into());
    }
    Err(detail.into())
}

/// What is told of a write on a record that has changed.
pub(super) async fn changed(node: &Node, op: &Op, base: BundleSeq, version: BundleSeq) -> Result<RowConflict, Status> {
    let mut conflict = stands(node, op).await?;
    (conflict.base_row_version, conflict.row_version) = (base.0, version.0);
    conflict.deleted &= version.0 > 0;
    Ok(conflict)
}

/// How the record of a refused op stands. It may have changed again by now: then the record says its own version.
async fn stands(node: &Node, op: &Op) -> Result<RowConflict, Status> {
    let deletes = op.meaning() == Meaning::RecordDelete;
    let kind = if deletes { ChangeKind::RecordDelete } else { ChangeKind::RecordPut };
    let (collection, key) = (op.collection.clone(), op.key.clone());
    let found = read(&node.reader, move |reader| reader.record(&collection, &key)).await?;
    let current = found.map(record::show);
    Ok(RowConflict {
        collection: op.collection.clone(),
        key: op.key.clone(),
        op: kind.into(),
        deleted: current.is_none(),
        current: current.filter(|record| record.encoded_len() <= MAX_CONFLICT_RECORD),
        ..RowConflict::default()
    })
}

/// Where a push was committed: the source, and zeroes when it changed nothing.
pub(super) fn place(node: &Node, pushed: &Pushed) -> (String, u64, u64) {
    let source = pushed.dot.map_or_else(|| node.driver.picture().borrow().status.source, |dot| dot.source);
    let source = Uuid::from_bytes(source.0).to_string();
    pushed.dot.map_or((source.clone(), 0, 0), |dot| (source, dot.seq.0, pushed.bundle_seq.0))
}

/// The fields in which a refused post differs from the message that is here. It may be gone by now, or the
/// caller may not read it: then nothing is said.
async fn differing(node: &Node, op: &Op, caller: &Caller) -> Vec<String> {
    let Meaning::MessagePost(asked) = op.meaning() else { return Vec::new() };
    let id = op.key.clone();
    match read(&node.reader, move |reader| reader.message(&id)).await {
        Ok(Some(here)) if caller.conversation(&here.body.conversation, Scope::Read).is_err() => Vec::new(),
        Ok(Some(here)) => message::differing(&here.body, &asked),
        Ok(None) | Err(_) => Vec::new(),
    }
}
