//! What conversations are, up to where they were read, and stretches of them.

use ipc_proto::credential::Token;
use ipc_proto::v1::change::Now;
use ipc_proto::v1::watch_response::Event;
use ipc_proto::v1::{
    AuthorizeAppRequest, ChangeKind, ConflictPolicy, Conversation, ConversationKind, GetConversationRequest,
    GetMessageRequest, GetPolicyRequest, Grant, ListConversationsRequest, ListMessagesRequest, MarkReadRequest,
    MarkReadResponse, MessageOrder, ReadMarkers, Scope, SearchRequest, SetConversation, SetMetadataRequest,
    SetPolicyRequest, SetReadMarkersRequest, WatchMessagesRequest,
};

use super::*;

#[tokio::test]
async fn a_marker_makes_what_is_here_read_and_what_comes_late_is_unread() {
    let served = Served::first("laptop").await;
    let posts = [("m1", "10"), ("m2", "20"), ("m3", "30")].map(|(id, second)| at(id, second));
    served.push(posts.to_vec()).await;
    let unread = |unread, no_op| MarkReadResponse { no_op, unread, synced: false };
    assert_eq!(mark(&served, "m2").await.unwrap(), unread(1, false));
    assert_eq!(mark(&served, "m1").await.unwrap(), unread(1, true), "not backwards");
    assert_eq!(get(&served).await.read_marker.unwrap().id, "m2");
    served.push(vec![at("late", "15")]).await;
    assert_eq!(get(&served).await.unread, 2);
    assert_eq!(mark(&served, "m2").await.unwrap(), unread(1, false), "what came late was there now");
    assert_eq!(mark(&served, "").await.unwrap(), unread(0, false), "up to the newest");
    assert_eq!(mark(&served, "").await.unwrap(), unread(0, true));
    let gone = mark(&served, "nothing").await.unwrap_err();
    assert_eq!(code(&gone), "not_found");
    let served = served.restart().await;
    assert_eq!(get(&served).await.unread, 0);
    assert!(!message_of(&served, "late").await.unread);
    assert_eq!(message_of(&served, "late").await.read_at_us, None, "it is no status");
    served.stop().await;
}

#[tokio::test]
async fn a_synced_marker_is_a_bundle_and_a_local_one_is_not() {
    let served = Served::first("laptop").await;
    served.push(vec![at("m1", "10"), at("m2", "20")]).await;
    let last = || async {
        served.client.records().pull(v1::PullRequest::default()).await.unwrap().into_inner().stable_bundle_seq
    };
    mark(&served, "m1").await.unwrap();
    assert_eq!(last().await, 1, "nothing leaves the device");
    let synced = SetReadMarkersRequest { read_markers: ReadMarkers::Synced.into() };
    served.client.conversations().set_read_markers(synced).await.unwrap();
    assert!(get(&served).await.read_marker_synced);
    assert!(mark(&served, "m2").await.unwrap().synced);
    assert_eq!(last().await, 2);
    let local = SetConversation { read_markers: Some(ReadMarkers::Local.into()), ..named("c") };
    set(&served, local).await.unwrap();
    assert!(!get(&served).await.read_marker_synced, "the conversation says so itself");
    let nothing = SetReadMarkersRequest { read_markers: ReadMarkers::Unspecified.into() };
    let refused = served.client.conversations().set_read_markers(nothing).await.unwrap_err();
    assert_eq!(code(&refused), "invalid_argument");
    served.stop().await;
}

#[tokio::test]
async fn metadata_are_kept_changed_bit_by_bit_and_shown() {
    let served = Served::first("laptop").await;
    let change = SetConversation {
        kind: Some(ConversationKind::Group.into()),
        title: Some("Friends".into()),
        add_members: vec!["bob".into(), "ann".into()],
        attributes: [("colour".to_owned(), "red".to_owned())].into(),
        ..named("c")
    };
    assert_eq!(set(&served, change).await.unwrap(), 1);
    let shown = get(&served).await;
    let metadata = shown.metadata.clone().unwrap();
    assert_eq!((shown.messages, shown.last_message), (0, None), "it needs no messages");
    assert_eq!((metadata.kind(), metadata.title.as_str()), (ConversationKind::Group, "Friends"));
    assert_eq!((metadata.members, metadata.row_version), (vec!["ann".to_owned(), "bob".to_owned()], 1));
    let change = SetConversation {
        title: Some(String::new()),
        remove_members: vec!["bob".into()],
        clear_attributes: vec!["colour".into()],
        ..named("c")
    };
    set(&served, change).await.unwrap();
    let metadata = get(&served).await.metadata.unwrap();
    assert_eq!((metadata.kind(), metadata.title.as_str()), (ConversationKind::Group, ""));
    assert_eq!((metadata.members, metadata.attributes.len()), (vec!["ann".to_owned()], 0));
    for wrong in [named(""), SetConversation { add_members: vec!["x".repeat(121)], ..named("c") }] {
        assert_eq!(code(&set(&served, wrong).await.unwrap_err()), "invalid_argument");
    }
    let nowhere = GetConversationRequest { conversation: "d".into() };
    assert_eq!(code(&served.client.conversations().get_conversation(nowhere).await.unwrap_err()), "not_found");
    served.stop().await;
}

#[tokio::test]
async fn a_watch_tells_of_metadata_and_of_synced_markers() {
    let served = Served::first("laptop").await;
    served.push(vec![at("m1", "10")]).await;
    let from_now = WatchMessagesRequest {
        after_bundle_seq: Some(1),
        conversations: vec!["c".into()],
        ..WatchMessagesRequest::default()
    };
    let mut watch = served.client.conversations().watch(from_now).await.unwrap().into_inner();
    set(&served, SetConversation { title: Some("T".into()), ..named("c") }).await.unwrap();
    set(&served, SetConversation { title: Some("elsewhere".into()), ..named("d") }).await.unwrap();
    set(&served, SetConversation { read_markers: Some(ReadMarkers::Synced.into()), ..named("c") }).await.unwrap();
    mark(&served, "").await.unwrap();
    let mut told = Vec::new();
    while told.len() < 3 {
        let Some(Event::Bundle(bundle)) = watch.message().await.unwrap().unwrap().event else { continue };
        for change in bundle.changes {
            let kind = change.kind();
            let Some(Now::Conversation(now)) = change.now else { panic!("a conversation") };
            told.push((kind, now));
        }
    }
    let kinds: Vec<ChangeKind> = told.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, [ChangeKind::Conversation, ChangeKind::Conversation, ChangeKind::ReadMarker]);
    assert!(told.iter().all(|(_, now)| now.name == "c"));
    assert_eq!((told[2].1.unread, told[2].1.metadata.as_ref().unwrap().title.as_str()), (0, "T"));
    served.stop().await;
}

#[tokio::test]
async fn stretches_of_a_conversation_come_in_pages_in_both_orders() {
    let served = Served::first("laptop").await;
    let posts = (10..20).map(|second| at(&format!("m{second}"), &second.to_string())).collect();
    served.push(posts).await;
    let within = ListMessagesRequest { before_id: "m18".into(), after_id: "m11".into(), ..list() };
    assert_eq!(listed(&served, &within).await.unwrap(), "m17 m16 m15 m14 m13 m12");
    let up = |request| ListMessagesRequest { order: MessageOrder::OldestFirst.into(), ..request };
    assert_eq!(listed(&served, &up(within)).await.unwrap(), "m12 m13 m14 m15 m16 m17");
    let time = |second: &str| format!("2024-05-01T12:00:{second}Z");
    let hour = ListMessagesRequest { created_from: time("15"), created_before: time("17"), ..list() };
    assert_eq!(listed(&served, &hour).await.unwrap(), "m16 m15", "from an instant and before another one");
    let both = ListMessagesRequest { after_id: "m12".into(), ..hour.clone() };
    assert_eq!(listed(&served, &both).await.unwrap(), "m16 m15", "the tighter bound counts");
    let both = ListMessagesRequest { after_id: "m15".into(), ..hour };
    assert_eq!(listed(&served, &both).await.unwrap(), "m16");
    assert_eq!(listed(&served, &up(list())).await.unwrap().split(' ').count(), 10);
    let nowhere = ListMessagesRequest { before_id: "x".into(), ..list() };
    assert_eq!(code(&listed(&served, &nowhere).await.unwrap_err()), "not_found");
    let today = ListMessagesRequest { created_from: "today".into(), ..list() };
    assert_eq!(code(&listed(&served, &today).await.unwrap_err()), "invalid_argument");
    let query = || SearchRequest { query: "text".into(), page_size: 3, ..SearchRequest::default() };
    let hits = |request| async { served.client.conversations().search(request).await.unwrap().into_inner().hits };
    assert_eq!(hits(SearchRequest { created_from: time("18"), ..query() }).await.len(), 2);
    assert_eq!(hits(SearchRequest { sender: "nobody".into(), ..query() }).await.len(), 0);
    served.stop().await;
}

#[tokio::test]
async fn policies_and_metadata_go_with_other_writes_in_one_push() {
    let served = Served::first("laptop").await;
    let policy = SetPolicyRequest { collection: "todo".into(), policy: ConflictPolicy::Lww.into() };
    let set = SetConversation { title: Some("T".into()), ..named("c") };
    let ops = vec![op::Op::SetPolicy(policy), op::Op::SetConversation(set), put("todo", "a", "x")];
    assert_eq!(served.push(ops).await.bundle_seq, 1);
    let asked = GetPolicyRequest { collection: "todo".into() };
    let policy = served.client.records().get_policy(asked).await.unwrap().into_inner().policy();
    assert_eq!(policy, ConflictPolicy::Lww);
    assert_eq!(get(&served).await.metadata.unwrap().title, "T");
    served.stop().await;
}

#[tokio::test]
async fn an_app_learns_and_changes_only_conversations_of_its_own() {
    let served = Served::first("laptop").await;
    served.push(vec![post("family", "theirs", "text"), post("chat", "mine", "text")]).await;
    let grant = Grant { prefixes: vec!["chat".into()], scope: Scope::Write.into() };
    let asked =
        AuthorizeAppRequest { name: "bridge".into(), conversations: Some(grant), ..AuthorizeAppRequest::default() };
    let token = served.client.admin().authorize_app(asked).await.unwrap().into_inner().token;
    let app = served.client_with(Credential::Token(Token::new(&token).unwrap())).await;
    let mut conversations = app.conversations();
    let title = |name: &str| SetMetadataRequest {
        conversation: Some(SetConversation { title: Some("T".into()), ..named(name) }),
    };
    assert!(conversations.set_metadata(title("chat")).await.is_ok());
    assert_eq!(code(&conversations.set_metadata(title("family")).await.unwrap_err()), "permission_denied");
    let policy = SetPolicyRequest { collection: "todo".into(), policy: ConflictPolicy::Lww.into() };
    let refused = app.records().push(push(vec![op::Op::SetPolicy(policy)])).await.unwrap_err();
    assert_eq!(code(&refused), "permission_denied");
    let read = |name: &str| MarkReadRequest { conversation: name.into(), up_to_id: String::new() };
    assert!(conversations.mark_read(read("chat")).await.is_ok());
    assert_eq!(code(&conversations.mark_read(read("family")).await.unwrap_err()), "permission_denied");
    let whole = SetReadMarkersRequest { read_markers: ReadMarkers::Synced.into() };
    assert_eq!(code(&conversations.set_read_markers(whole).await.unwrap_err()), "permission_denied");
    let family = GetConversationRequest { conversation: "family".into() };
    assert_eq!(code(&conversations.get_conversation(family).await.unwrap_err()), "permission_denied");
    let theirs = conversations
        .get_message(GetMessageRequest { id: "theirs".into(), ..GetMessageRequest::default() })
        .await
        .unwrap_err();
    assert_eq!(code(&theirs), "not_found", "as if it were not there");
    assert!(
        conversations
            .get_message(GetMessageRequest { id: "mine".into(), ..GetMessageRequest::default() })
            .await
            .is_ok()
    );
    let all = conversations.list_conversations(ListConversationsRequest::default()).await.unwrap().into_inner();
    assert_eq!(all.conversations.len(), 1);
    served.stop().await;
}

fn at(id: &str, second: &str) -> op::Op {
    let created_at = format!("2024-05-01T12:00:{second}Z");
    op::Op::PostMessage(v1::Message { created_at, ..message("c", id, "text") })
}

fn named(name: &str) -> SetConversation {
    SetConversation { name: name.into(), ..SetConversation::default() }
}

fn list() -> ListMessagesRequest {
    ListMessagesRequest { conversation: "c".into(), page_size: 2, ..ListMessagesRequest::default() }
}

async fn mark(served: &Served, id: &str) -> Result<MarkReadResponse, Status> {
    let request = MarkReadRequest { conversation: "c".into(), up_to_id: id.into() };
    served.client.conversations().mark_read(request).await.map(tonic::Response::into_inner)
}

/// Writes metadata; gives the place of the bundle.
async fn set(served: &Served, set: SetConversation) -> Result<u64, Status> {
    let request = SetMetadataRequest { conversation: Some(set) };
    served.client.conversations().set_metadata(request).await.map(|answer| answer.into_inner().bundle_seq)
}

async fn get(served: &Served) -> Conversation {
    let request = GetConversationRequest { conversation: "c".into() };
    served.client.conversations().get_conversation(request).await.unwrap().into_inner().conversation.unwrap()
}

async fn message_of(served: &Served, id: &str) -> v1::Message {
    let request = GetMessageRequest { id: id.into(), ..GetMessageRequest::default() };
    served.client.conversations().get_message(request).await.unwrap().into_inner().message.unwrap()
}

/// The ids of all pages.
async fn listed(served: &Served, request: &ListMessagesRequest) -> Result<String, Status> {
    let (mut ids, mut request) = (Vec::new(), request.clone());
    loop {
        let page = served.client.conversations().list_messages(request.clone()).await?.into_inner();
        ids.extend(page.messages.into_iter().map(|message| message.id));
        if page.next_page_token.is_empty() {
            return Ok(ids.join(" "));
        }
        request.page_token = page.next_page_token;
    }
}
