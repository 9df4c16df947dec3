//! Messages page by page, and what is searched for.

use ipc_proto::v1::{
    ErrorCode, ErrorDetail, ListMessagesRequest, ListMessagesResponse, MessageOrder, SearchHit, SearchRequest,
    SearchResponse, SnippetPart,
};
use tonic::Status;

use crate::apps::Scope;
use crate::ipc::bodies::Fetch;
use crate::ipc::caller::Caller;
use crate::ipc::convert::{invalid, message};
use crate::ipc::watch::readable;
use crate::ipc::{bodies, page, read};
use crate::node::Node;
use crate::store::{Hit, Range, Reader, Sought};

/// Messages of a page when no size was asked for.
const USUAL_PAGE: usize = 100;
/// Hits of a search when no number was asked for.
const USUAL_HITS: usize = 20;
/// Longest query and longest name of a sender, in bytes.
const MAX_QUERY: usize = 1_024;

/// A page of a conversation.
pub(super) async fn list(
    node: &Node,
    fetch: Fetch,
    request: ListMessagesRequest,
) -> Result<ListMessagesResponse, Status> {
    let oldest_first = match request.order() {
        MessageOrder::OldestFirst => true,
        MessageOrder::NewestFirst | MessageOrder::Unspecified => false,
    };
    let (size, place) = (page::size(request.page_size, USUAL_PAGE), page::place(&request.page_token)?);
    let ListMessagesRequest { conversation, before_id, after_id, created_before, created_from, .. } = request;
    let before = tighter(
        anchor(node, &conversation, before_id).await?,
        instant(&created_before)?.map(|at| (at, String::new())),
        |anchor, time| anchor <= time,
    );
    let after = tighter(
        anchor(node, &conversation, after_id).await?,
        instant(&created_from)?.map(|at| (at, String::new())),
        |anchor, time| anchor >= time,
    );
    let range = Range { after, before, oldest_first };
    let page = move |reader: &Reader| {
        let rest = |place: Option<&(i64, String)>| match place {
            Some(place) => range.clone().behind(place.clone()),
            None => range.clone(),
        };
        let some = |place: Option<&(i64, String)>, most| reader.messages(&conversation, &rest(place), most);
        page::fill(place.clone(), size, some, |seen| (seen.created_us, seen.id.clone()), message::show)
    };
    let page = bodies::whole(node, fetch, page).await?;
    Ok(ListMessagesResponse { messages: page.items, next_page_token: page.next })
}

/// A page of what a search finds.
pub(super) async fn search(
    node: &Node,
    caller: &Caller,
    fetch: Fetch,
    request: SearchRequest,
) -> Result<SearchResponse, Status> {
    let names = readable(caller);
    let SearchRequest { query, conversation, page_size, page_token, sender, created_before, created_from, .. } =
        request;
    if query.len() > MAX_QUERY || sender.len() > MAX_QUERY {
        return Err(invalid(format!("a query and the name of a sender have at most {MAX_QUERY} bytes")).into());
    }
    if !conversation.is_empty() {
        caller.conversation(&conversation, Scope::Read)?;
    }
    let given = |text: String| Some(text).filter(|text| !text.is_empty());
    let sought = Sought {
        typed: query,
        conversation: given(conversation),
        sender: given(sender),
        from_us: instant(&created_from)?,
        before_us: instant(&created_before)?,
    };
    let before: Option<i64> = page::place(&page_token)?;
    let size = page::size(page_size, USUAL_HITS);
    let page = move |reader: &Reader| {
        let some = |before: Option<&i64>, most| reader.search(&sought, before.copied(), most);
        let shown = |hit: &Hit| names.has(&hit.message.body.conversation);
        page::fill_some(before, size, some, shown, |hit| hit.place, show_hit)
    };
    let page = bodies::whole(node, fetch, page).await?;
    Ok(SearchResponse { hits: page.items, next_page_token: page.next })
}

/// Where a message stands that a page is bounded by; `None` when none was named.
async fn anchor(node: &Node, conversation: &str, id: String) -> Result<Option<(i64, String)>, Status> {
    if id.is_empty() {
        return Ok(None);
    }
    let (name, asked) = (conversation.to_owned(), id.clone());
    let found = read(&node.reader, move |reader| reader.place_of(&name, &asked)).await?;
    found.map(Some).ok_or_else(|| {
        let message = format!("the message {} is not in this conversation", id.escape_debug());
        let hint = "a deleted message has no place any more: go by page tokens or by time";
        ErrorDetail::new(ErrorCode::NotFound, message).hint(hint).into()
    })
}

fn instant(text: &str) -> Result<Option<i64>, Status> {
    match text {
        "" => Ok(None),
        text => match message::instant(text) {
            Some(instant) => Ok(Some(instant)),
            None => Err(invalid("a bound in time is an instant in RFC 3339 with offset").into()),
        },
    }
}

/// Of two bounds the one that leaves less; `first` says whether that is the first one.
fn tighter<T>(one: Option<T>, other: Option<T>, first: impl Fn(&T, &T) -> bool) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => Some(if first(&one, &other) { one } else { other }),
        (one, other) => one.or(other),
    }
}

fn show_hit(hit: Hit) -> SearchHit {
    let snippet = hit.snippet.into_iter().map(|piece| SnippetPart { text: piece.text, matched: piece.matched });
    SearchHit { message: Some(message::show(hit.message)), snippet: snippet.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_bounds_the_tighter_one_counts() {
        let least = |one, other| tighter(one, other, |one, other| one <= other);
        assert_eq!([least(Some(1), Some(2)), least(Some(2), Some(1))], [Some(1), Some(1)]);
        assert_eq!([least(Some(1), None), least(None, Some(2)), least(None, None)], [Some(1), Some(2), None]);
    }
}
