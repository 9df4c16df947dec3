use ipc_proto::v1::{
    DeleteRequest, ListConversationsRequest, ListMessagesRequest, MessageStatus, PostRequest, SearchRequest,
    SetMessageStatus, SetStatusRequest,
};

use super::*;

#[tokio::test]
async fn a_message_lives_from_its_post_to_its_deletion() {
    let served = Served::first("laptop").await;
    let mut conversations = served.client.conversations();
    let posted = conversations.post(say(message("family", "", "Dinner is ready"))).await.unwrap().into_inner();
    assert_eq!((posted.no_op, posted.seq, posted.bundle_seq), (false, 1, 1));
    assert_eq!(listed(&served).await, [("family".into(), 1, 1, "Dinner is ready".into())]);

    let read = SetMessageStatus { id: posted.id.clone(), status: MessageStatus::Read.into(), at_us: Some(5) };
    let status = SetStatusRequest { status: Some(read) };
    assert!(!conversations.set_status(status.clone()).await.unwrap().into_inner().no_op);
    let again = conversations.set_status(status).await.unwrap().into_inner();
    assert_eq!((again.no_op, again.seq, again.bundle_seq), (true, 0, 0));
    assert_eq!(listed(&served).await, [("family".into(), 1, 0, "Dinner is ready".into())]);
    assert_eq!(messages(&served, "family", 10).await[0].read_at_us, Some(5));

    let delete = DeleteRequest { id: posted.id };
    assert!(!conversations.delete(delete.clone()).await.unwrap().into_inner().no_op);
    assert!(conversations.delete(delete).await.unwrap().into_inner().no_op);
    assert_eq!(listed(&served).await, []);
    served.stop().await;
}

#[tokio::test]
async fn a_single_write_that_is_refused_does_not_speak_of_ops() {
    let served = Served::first("laptop").await;
    let mut conversations = served.client.conversations();
    let unknown = conversations.delete(DeleteRequest { id: "x".into() }).await.unwrap_err();
    assert_eq!((code(&unknown).as_str(), detail(&unknown).op_index), ("not_found", None));
    assert!(!detail(&unknown).message.contains("op 0"), "{unknown:?}");
    let empty = conversations.post(PostRequest { message: None }).await.unwrap_err();
    assert_eq!(code(&empty), "invalid_argument");
    let nameless = conversations.post(say(message("", "m", "x"))).await.unwrap_err();
    assert_eq!(code(&nameless), "invalid_argument");
    served.stop().await;
}

#[tokio::test]
async fn messages_are_paged_newest_first_by_instant_then_id() {
    let served = Served::first("laptop").await;
    let at = |id: &str, created_at: &str| {
        let created_at = created_at.into();
        op::Op::PostMessage(v1::Message { created_at, ..message("c", id, id) })
    };
    // The same instant in three spellings, one earlier and one later.
    let ops = vec![
        at("b", "2024-05-01T12:00:00Z"),
        at("c", "2024-05-01T14:00:00+02:00"),
        at("a", "2024-05-01T12:00:00.000Z"),
        at("late", "2024-05-01T12:00:01Z"),
        at("early", "2024-05-01T13:59:59+02:00"),
    ];
    served.push(ops).await;
    for size in 1..=6 {
        let ids: Vec<String> = messages(&served, "c", size).await.into_iter().map(|message| message.id).collect();
        assert_eq!(ids, ["late", "c", "b", "a", "early"], "pages of {size}");
    }
    assert_eq!(messages(&served, "c", 2).await[1].created_at, "2024-05-01T14:00:00+02:00", "the text is kept");
    assert!(messages(&served, "nobody", 2).await.is_empty());
    served.stop().await;
}

#[tokio::test]
async fn search_finds_words_in_pages_and_marks_them() {
    let served = Served::first("laptop").await;
    served.push((0..30).map(|n| post("wine", &format!("m{n}"), &format!("a glass of red wine {n}"))).collect()).await;
    served.push(vec![post("tea", "t", "red tea")]).await;
    let mut found = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = SearchRequest { query: "RED gla*".into(), page_size: 7, page_token, ..SearchRequest::default() };
        let page = served.client.conversations().search(request).await.unwrap().into_inner();
        found.extend(page.hits);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let mut ids: Vec<&str> = found.iter().map(|hit| hit.message.as_ref().unwrap().id.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((found.len(), ids.len()), (30, 30));
    let marked: Vec<&str> =
        found[0].snippet.iter().filter(|part| part.matched).map(|part| part.text.as_str()).collect();
    assert_eq!(marked, ["glass", "red"]);
    let within = SearchRequest { query: "red".into(), conversation: "tea".into(), ..SearchRequest::default() };
    let within = served.client.conversations().search(within).await.unwrap().into_inner();
    assert_eq!(within.hits.len(), 1);
    let hostile = SearchRequest { query: "\" OR ( NEAR * ^ {text} :".into(), ..SearchRequest::default() };
    assert!(served.client.conversations().search(hostile).await.is_ok());
    let long = SearchRequest { query: "x".repeat(1_025), ..SearchRequest::default() };
    let long = served.client.conversations().search(long).await.unwrap_err();
    assert_eq!(code(&long), "invalid_argument");
    served.stop().await;
}

fn say(message: v1::Message) -> PostRequest {
    PostRequest { message: Some(message) }
}

/// Name, messages, unread and last text of all conversations, two a page.
async fn listed(served: &Served) -> Vec<(String, u64, u64, String)> {
    let mut all = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListConversationsRequest { page_size: 2, page_token };
        let page = served.client.conversations().list_conversations(request).await.unwrap().into_inner();
        all.extend(page.conversations.into_iter().map(|conversation| {
            let Some(v1::message::Body::Text(text)) = conversation.last_message.and_then(|last| last.body) else {
                panic!("a conversation has a last message with text")
            };
            (conversation.name, conversation.messages, conversation.unread, text)
        }));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return all;
        }
    }
}

async fn messages(served: &Served, conversation: &str, page_size: u32) -> Vec<v1::Message> {
    let mut all = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListMessagesRequest {
            conversation: conversation.into(),
            page_size,
            page_token,
            ..ListMessagesRequest::default()
        };
        let page = served.client.conversations().list_messages(request).await.unwrap().into_inner();
        all.extend(page.messages);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return all;
        }
    }
}
