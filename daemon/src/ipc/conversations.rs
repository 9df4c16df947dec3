//! Conversations and their messages.

mod marks;
mod pages;

use ipc_proto::v1::conversations_server::Conversations;
use ipc_proto::v1::{
    DeleteMessage, DeleteRequest, DeleteResponse, ErrorCode, ErrorDetail, GetConversationRequest,
    GetConversationResponse, GetMessageRequest, GetMessageResponse, ListConversationsRequest,
    ListConversationsResponse, ListMessagesRequest, ListMessagesResponse, MarkReadRequest, MarkReadResponse,
    PostRequest, PostResponse, SearchRequest, SearchResponse, SetMetadataRequest, SetMetadataResponse,
    SetReadMarkersRequest, SetReadMarkersResponse, SetStatusRequest, SetStatusResponse, WatchMessagesRequest,
    WatchResponse, op,
};
use kinfolk_core::ids::BundleSeq;
use tonic::{Request, Response, Status};

use super::admission::Deadline;
use super::bodies::Fetch;
use super::caller::Caller;
use super::convert::push::Asked;
use super::convert::{conversation, invalid, message};
use super::page::Page;
use super::pipe::Events;
use super::watch::{Filter, Watching, readable};
use super::{Api, bodies, error, page, read, records};
use crate::apps::Scope;
use crate::store::{ConversationView, Reader};

/// Conversations of a page when no size was asked for.
const USUAL_PAGE: usize = 100;

#[tonic::async_trait]
impl Conversations for Api {
    type WatchStream = Events<WatchResponse>;

    async fn post(&self, request: Request<PostRequest>) -> Result<Response<PostResponse>, Status> {
        let caller = Caller::of(&request);
        let message = request.into_inner().message.ok_or_else(|| invalid("a post needs a message"))?;
        let Written { id, no_op, source_id, seq, bundle_seq } =
            self.write(op::Op::PostMessage(message), caller).await?;
        Ok(Response::new(PostResponse { id, no_op, source_id, seq, bundle_seq }))
    }

    async fn set_status(&self, request: Request<SetStatusRequest>) -> Result<Response<SetStatusResponse>, Status> {
        let caller = Caller::of(&request);
        let status = request.into_inner().status.ok_or_else(|| invalid("which message, and which status?"))?;
        let written = self.write(op::Op::SetMessageStatus(status), caller).await?;
        let Written { id: _, no_op, source_id, seq, bundle_seq } = written;
        Ok(Response::new(SetStatusResponse { no_op, source_id, seq, bundle_seq }))
    }

    async fn delete(&self, request: Request<DeleteRequest>) -> Result<Response<DeleteResponse>, Status> {
        let caller = Caller::of(&request);
        let delete = DeleteMessage { id: request.into_inner().id, at_us: None };
        let written = self.write(op::Op::DeleteMessage(delete), caller).await?;
        let Written { id: _, no_op, source_id, seq, bundle_seq } = written;
        Ok(Response::new(DeleteResponse { no_op, source_id, seq, bundle_seq }))
    }

    async fn set_metadata(
        &self,
        request: Request<SetMetadataRequest>,
    ) -> Result<Response<SetMetadataResponse>, Status> {
        let caller = Caller::of(&request);
        let set = request.into_inner().conversation.ok_or_else(|| invalid("which conversation, and what of it?"))?;
        let written = self.write(op::Op::SetConversation(set), caller).await?;
        let Written { id: _, no_op: _, source_id, seq, bundle_seq } = written;
        Ok(Response::new(SetMetadataResponse { source_id, seq, bundle_seq }))
    }

    async fn mark_read(&self, request: Request<MarkReadRequest>) -> Result<Response<MarkReadResponse>, Status> {
        let node = self.node()?;
        Caller::of(&request).conversation(&request.get_ref().conversation, Scope::Write)?;
        Ok(Response::new(marks::mark_read(&node, request.into_inner()).await?))
    }

    async fn set_read_markers(
        &self,
        request: Request<SetReadMarkersRequest>,
    ) -> Result<Response<SetReadMarkersResponse>, Status> {
        marks::set_read_markers(&*self.node()?, request.into_inner().read_markers()).await?;
        Ok(Response::new(SetReadMarkersResponse {}))
    }

    async fn list_conversations(
        &self,
        request: Request<ListConversationsRequest>,
    ) -> Result<Response<ListConversationsResponse>, Status> {
        let (node, names) = (self.node()?, readable(&Caller::of(&request)));
        let ListConversationsRequest { page_size, page_token } = request.into_inner();
        let after: Option<(i64, String)> = page::place(&page_token)?;
        let size = page::size(page_size, USUAL_PAGE);
        let page = read(&node.reader, move |reader| {
            let read = |after: Option<&(i64, String)>, most| reader.conversations(after.map(borrowed), most);
            page::fill_some(
                after,
                size,
                read,
                |seen| names.has(&seen.name),
                ConversationView::place,
                conversation::show,
            )
        });
        let mut page = page.await?;
        bodies::tell_keepers(&node, page.items.iter_mut().filter_map(|seen| seen.last_message.as_mut()));
        Ok(Response::new(ListConversationsResponse { conversations: page.items, next_page_token: page.next }))
    }

    async fn get_conversation(
        &self,
        request: Request<GetConversationRequest>,
    ) -> Result<Response<GetConversationResponse>, Status> {
        let node = self.node()?;
        let name = request.get_ref().conversation.clone();
        Caller::of(&request).conversation(&name, Scope::Read)?;
        let found = read(&node.reader, move |reader| reader.conversation(&name)).await?;
        let found = found.ok_or_else(|| ErrorDetail::new(ErrorCode::NotFound, "there is no such conversation"))?;
        let mut shown = conversation::show(found);
        bodies::tell_keepers(&node, shown.last_message.as_mut().into_iter());
        Ok(Response::new(GetConversationResponse { conversation: Some(shown) }))
    }

    async fn list_messages(
        &self,
        request: Request<ListMessagesRequest>,
    ) -> Result<Response<ListMessagesResponse>, Status> {
        let node = self.node()?;
        Caller::of(&request).conversation(&request.get_ref().conversation, Scope::Read)?;
        let fetch = fetch(&request, request.get_ref().only_here);
        Ok(Response::new(pages::list(&node, fetch, request.into_inner()).await?))
    }

    async fn get_message(&self, request: Request<GetMessageRequest>) -> Result<Response<GetMessageResponse>, Status> {
        let (node, caller) = (self.node()?, Caller::of(&request));
        let fetch = fetch(&request, request.get_ref().only_here);
        let id = request.into_inner().id;
        // One in a conversation that the caller may not read is as good as none.
        let read = move |reader: &Reader| {
            let found = reader.message(&id)?;
            let found = found.filter(|view| caller.conversation(&view.body.conversation, Scope::Read).is_ok());
            Ok(Page { items: found.into_iter().map(message::show).collect(), next: String::new() })
        };
        let found = bodies::whole(&node, fetch, read).await?.items.pop();
        let message = found.ok_or_else(|| ErrorDetail::new(ErrorCode::NotFound, "there is no such message"))?;
        Ok(Response::new(GetMessageResponse { message: Some(message) }))
    }

    async fn search(&self, request: Request<SearchRequest>) -> Result<Response<SearchResponse>, Status> {
        let (node, caller) = (self.node()?, Caller::of(&request));
        let fetch = fetch(&request, request.get_ref().only_here);
        Ok(Response::new(pages::search(&node, &caller, fetch, request.into_inner()).await?))
    }

    async fn watch(&self, request: Request<WatchMessagesRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let node = self.node()?;
        let WatchMessagesRequest { after_bundle_seq, conversations, order_id } = request.get_ref();
        let filter = Filter::messages(conversations, &Caller::of(&request))?;
        let after = after_bundle_seq.map(BundleSeq);
        let watching = Watching::begin(&node.reader, node.driver.bell(), after, order_id, filter).await?;
        self.pipes.open(&request, |pipe| watching.feed(pipe))
    }
}

/// What became of a single write.
struct Written {
    id: String,
    no_op: bool,
    source_id: String,
    seq: u64,
    bundle_seq: u64,
}

impl Api {
    async fn write(&self, op: op::Op, caller: Caller) -> Result<Written, Status> {
        let node = self.node()?;
        let asked = Asked::one(op, caller)?;
        let pushed = records::push(&node, &asked).await.map_err(error::alone_in)?;
        let (source_id, seq, bundle_seq) = records::place(&node, &pushed);
        let result = asked.results(&pushed).pop().unwrap_or_default();
        Ok(Written { id: result.message_id, no_op: result.no_op, source_id, seq, bundle_seq })
    }
}

/// Until when bodies may be fetched for this call.
fn fetch<T>(request: &Request<T>, only_here: bool) -> Fetch {
    Fetch::new(only_here, request.extensions().get().map(|Deadline(at)| *at))
}

fn borrowed((at, name): &(i64, String)) -> (i64, &str) {
    (*at, name)
}
