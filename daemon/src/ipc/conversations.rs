//! Conversations and their messages.

use ipc_proto::v1::conversations_server::Conversations;
use ipc_proto::v1::{
    Conversation, DeleteMessage, DeleteRequest, DeleteResponse, ListConversationsRequest, ListConversationsResponse,
    ListMessagesRequest, ListMessagesResponse, PostRequest, PostResponse, SearchHit, SearchRequest, SearchResponse,
    SetStatusRequest, SetStatusResponse, SnippetPart, WatchMessagesRequest, WatchResponse, op,
};
use kinfolk_core::ids::BundleSeq;
use tonic::{Request, Response, Status};

use super::caller::Caller;
use super::convert::push::Asked;
use super::convert::{invalid, message};
use super::pipe::Events;
use super::watch::{Filter, Watching, readable};
use super::{Api, bodies, error, page, read, records};
use crate::apps::Scope;
use crate::store::{ConversationView, Hit};

/// Items of a page when no size was asked for.
const USUAL_PAGE: usize = 100;
/// Hits of a search when no number was asked for.
const USUAL_HITS: usize = 20;
/// Longest query, in bytes.
const MAX_QUERY: usize = 1_024;

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
            let place = |seen: &ConversationView| (seen.last.created_us, seen.name.clone());
            page::fill_some(after, size, read, |seen| names.has(&seen.name), place, show_conversation)
        });
        let mut page = page.await?;
        bodies::tell_keepers(&node, page.items.iter_mut().filter_map(|seen| seen.last_message.as_mut()));
        Ok(Response::new(ListConversationsResponse { conversations: page.items, next_page_token: page.next }))
    }

    async fn list_messages(
        &self,
        request: Request<ListMessagesRequest>,
    ) -> Result<Response<ListMessagesResponse>, Status> {
        let node = self.node()?;
        Caller::of(&request).conversation(&request.get_ref().conversation, Scope::Read)?;
        let ListMessagesRequest { conversation, page_size, page_token } = request.into_inner();
        let before: Option<(i64, String)> = page::place(&page_token)?;
        let size = page::size(page_size, USUAL_PAGE);
        let page = read(&node.reader, move |reader| {
            let read =
                |before: Option<&(i64, String)>, most| reader.messages(&conversation, before.map(borrowed), most);
            page::fill(before, size, read, |seen| (seen.created_us, seen.id.clone()), message::show)
        });
        let mut page = page.await?;
        bodies::tell_keepers(&node, page.items.iter_mut());
        Ok(Response::new(ListMessagesResponse { messages: page.items, next_page_token: page.next }))
    }

    async fn search(&self, request: Request<SearchRequest>) -> Result<Response<SearchResponse>, Status> {
        let (node, caller) = (self.node()?, Caller::of(&request));
        let names = readable(&caller);
        let SearchRequest { query, conversation, page_size, page_token } = request.into_inner();
        if query.len() > MAX_QUERY {
            return Err(invalid(format!("a query has at most {MAX_QUERY} bytes")).into());
        }
        if !conversation.is_empty() {
            caller.conversation(&conversation, Scope::Read)?;
        }
        let before: Option<i64> = page::place(&page_token)?;
        let size = page::size(page_size, USUAL_HITS);
        let page = read(&node.reader, move |reader| {
            let place = Some(conversation.as_str()).filter(|name| !name.is_empty());
            let read = |before: Option<&i64>, most| reader.search(&query, place, before.copied(), most);
            let shown = |hit: &Hit| names.has(&hit.message.body.conversation);
            page::fill_some(before, size, read, shown, |hit| hit.place, show_hit)
        });
        let mut page = page.await?;
        bodies::tell_keepers(&node, page.items.iter_mut().filter_map(|hit| hit.message.as_mut()));
        Ok(Response::new(SearchResponse { hits: page.items, next_page_token: page.next }))
    }

    async fn watch(&self, request: Request<WatchMessagesRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let node = self.node()?;
        let WatchMessagesRequest { after_bundle_seq, conversations } = request.get_ref();
        let filter = Filter::messages(conversations, &Caller::of(&request))?;
        let after = after_bundle_seq.map(BundleSeq);
        let watching = Watching::begin(&node.reader, node.driver.bell(), after, filter).await?;
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

fn borrowed((at, name): &(i64, String)) -> (i64, &str) {
    (*at, name)
}

fn show_conversation(view: ConversationView) -> Conversation {
    let ConversationView { name, messages, unread, last } = view;
    Conversation { name, messages, unread, last_message: Some(message::show(last)) }
}

fn show_hit(hit: Hit) -> SearchHit {
    let snippet = hit.snippet.into_iter().map(|piece| SnippetPart { text: piece.text, matched: piece.matched });
    SearchHit { message: Some(message::show(hit.message)), snippet: snippet.collect() }
}
