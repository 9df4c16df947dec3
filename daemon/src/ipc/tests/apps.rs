//! Apps with tokens, and callers without.

use ipc_proto::credential::Token;
use ipc_proto::v1::error_detail::Payload;
use ipc_proto::v1::snapshot_item::Item;
use ipc_proto::v1::snapshot_response::Event as Snap;
use ipc_proto::v1::watch_response::Event;
use ipc_proto::v1::{
    AckRequest, AuthorizeAppRequest, DeleteRequest, GetRequest, GetStatusRequest, Grant, ListAppsRequest,
    ListConversationsRequest, ListMessagesRequest, ListRequest, MessageDiffers, MessageStatus, PostRequest,
    PullRequest, PushRequest, RevokeAppRequest, Scope, SearchRequest, SequenceExpected, SetMessageStatus,
    SetStatusRequest, ShutdownRequest, SnapshotRequest, SnapshotResponse, WatchMessagesRequest, WatchRequest,
    change::Now,
};

use super::*;

#[tokio::test]
async fn who_shows_nothing_learns_who_is_there_and_nothing_else() {
    let served = Served::first("laptop").await;
    served.push(vec![put("notes", "a", "secret")]).await;
    let nobody = served.client_with(Credential::Nothing).await;
    assert_eq!(nobody.get_info().await.unwrap().device_name, "laptop");
    let get = GetRequest { collection: "notes".into(), key: "a".into() };
    assert_eq!(code(&nobody.records().get(get).await.unwrap_err()), "unauthenticated");
    assert_eq!(code(&nobody.records().push(push(vec![put("notes", "a", "x")])).await.unwrap_err()), "unauthenticated");
    let watch = nobody.records().watch(WatchRequest::default()).await.unwrap_err();
    assert_eq!(code(&watch), "unauthenticated");
    assert_eq!(code(&nobody.admin().get_status(GetStatusRequest {}).await.unwrap_err()), "unauthenticated");
    assert_eq!(code(&nobody.admin().shutdown(ShutdownRequest {}).await.unwrap_err()), "unauthenticated");
    assert_eq!(code(&nobody.admin().list_apps(ListAppsRequest {}).await.unwrap_err()), "unauthenticated");
    served.stop().await;
}

#[tokio::test]
async fn a_token_that_nobody_gave_out_is_refused() {
    let served = Served::first("laptop").await;
    let digits = "A".repeat(43);
    for text in ["x".to_owned(), format!("kin_app_{digits}"), format!("kin_admin_{digits}"), "kin_admin_".into()] {
        let client = served.client_with(Credential::Token(Token::new(&text).unwrap())).await;
        let refused = client.admin().get_status(GetStatusRequest {}).await.unwrap_err();
        assert_eq!(
            (code(&refused).as_str(), refused.code()),
            ("unauthenticated", tonic::Code::Unauthenticated),
            "{text}"
        );
        assert!(client.get_info().await.is_ok(), "what needs no token is answered all the same");
    }
    served.stop().await;
}

#[tokio::test]
async fn an_app_reads_and_writes_its_own_collections_and_no_others() {
    let served = Served::first("laptop").await;
    served.push(vec![put("notes/old", "a", "mine"), put("private", "a", "not yours")]).await;
    let app = served.app("notes", write(&["notes"]), None).await;
    app.records().push(push(vec![put("notes", "b", "x"), put("notes/2026", "c", "x")])).await.unwrap();
    let get = |collection: &str| GetRequest { collection: collection.into(), key: "a".into() };
    assert!(app.records().get(get("notes/old")).await.is_ok());
    assert_eq!(code(&app.records().get(get("private")).await.unwrap_err()), "permission_denied");
    let list = ListRequest { collection: "private".into(), ..ListRequest::default() };
    assert_eq!(code(&app.records().list(list).await.unwrap_err()), "permission_denied");

    let both = vec![put("notes", "d", "x"), put("private", "a", "overwritten")];
    let refused = app.records().push(push(both)).await.unwrap_err();
    assert_eq!((code(&refused).as_str(), detail(&refused).op_index), ("permission_denied", Some(1)));
    assert!(detail(&refused).message.contains("`private`"), "{refused:?}");
    let unchanged = served.client.records().get(get("private")).await.unwrap().into_inner().record.unwrap();
    assert_eq!(unchanged.fields["title"].kind, Some(v1::value::Kind::String("not yours".into())));
    let gone = GetRequest { collection: "notes".into(), key: "d".into() };
    assert_eq!(code(&app.records().get(gone).await.unwrap_err()), "not_found", "all or nothing");
    let dropped = app.records().push(push(vec![delete("private", "a")])).await.unwrap_err();
    assert_eq!(code(&dropped), "permission_denied");
    served.stop().await;
}

#[tokio::test]
async fn an_app_that_may_read_does_not_write_and_none_makes_the_owners_calls() {
    let served = Served::first("laptop").await;
    served.push(vec![put("notes", "a", "x"), post("family", "m", "hi")]).await;
    let reader = served.app("reader", grant(&["notes"], Scope::Read), grant(&["family"], Scope::Read)).await;
    let get = GetRequest { collection: "notes".into(), key: "a".into() };
    assert!(reader.records().get(get).await.is_ok());
    assert_eq!(
        code(&reader.records().push(push(vec![put("notes", "a", "y")])).await.unwrap_err()),
        "permission_denied"
    );
    let post = PostRequest { message: Some(message("family", "n", "hi")) };
    assert_eq!(code(&reader.conversations().post(post).await.unwrap_err()), "permission_denied");

    let writer = served.app("writer", write(&["*"]), write(&["*"])).await;
    assert_eq!(code(&writer.admin().get_status(GetStatusRequest {}).await.unwrap_err()), "permission_denied");
    let more =
        AuthorizeAppRequest { name: "more".into(), collections: write(&["*"]), conversations: None, quota: None };
    assert_eq!(code(&writer.admin().authorize_app(more).await.unwrap_err()), "permission_denied");
    let revoke = RevokeAppRequest { name: "reader".into() };
    assert_eq!(code(&writer.admin().revoke_app(revoke).await.unwrap_err()), "permission_denied");
    let own = writer.records().push(push(vec![put("@x", "a", "x")])).await.unwrap_err();
    assert_eq!(code(&own), "invalid_argument", "collections of the daemon are nobody's");
    served.stop().await;
}

#[tokio::test]
async fn messages_elsewhere_do_not_exist_for_an_app() {
    let served = Served::first("laptop").await;
    served.push(vec![post("family", "theirs", "the secret word"), post("chat/1", "mine", "a word")]).await;
    let app = served.app("bridge", None, write(&["chat"])).await;
    let mut conversations = app.conversations();
    for id in ["theirs", "nothing"] {
        let status = SetMessageStatus { id: id.into(), status: MessageStatus::Read.into(), at_us: None };
        let refused = conversations.set_status(SetStatusRequest { status: Some(status) }).await.unwrap_err();
        assert_eq!(code(&refused), "not_found", "{id}");
        let refused = conversations.delete(DeleteRequest { id: id.into() }).await.unwrap_err();
        assert_eq!(code(&refused), "not_found", "{id}");
    }
    // Whether a guess of its text is right is not said either.
    let taken = PostRequest { message: Some(message("chat/1", "theirs", "the secret word")) };
    let refused = conversations.post(taken).await.unwrap_err();
    let silent = MessageDiffers { id: "theirs".into(), fields: Vec::new() };
    assert_eq!(detail(&refused).payload, Some(Payload::MessageDiffers(silent)));

    let listed = conversations.list_conversations(ListConversationsRequest::default()).await.unwrap().into_inner();
    let names: Vec<String> = listed.conversations.into_iter().map(|conversation| conversation.name).collect();
    assert_eq!(names, ["chat/1"]);
    let hits = conversations.search(SearchRequest { query: "word".into(), ..SearchRequest::default() }).await;
    let ids: Vec<String> =
        hits.unwrap().into_inner().hits.into_iter().filter_map(|hit| Some(hit.message?.id)).collect();
    assert_eq!(ids, ["mine"]);
    let family =
        |query: &str| SearchRequest { query: query.into(), conversation: "family".into(), ..SearchRequest::default() };
    assert_eq!(code(&conversations.search(family("word")).await.unwrap_err()), "permission_denied");
    let list = ListMessagesRequest { conversation: "family".into(), ..ListMessagesRequest::default() };
    assert_eq!(code(&conversations.list_messages(list).await.unwrap_err()), "permission_denied");

    assert!(!conversations.delete(DeleteRequest { id: "mine".into() }).await.unwrap().into_inner().no_op);
    assert!(conversations.delete(DeleteRequest { id: "mine".into() }).await.unwrap().into_inner().no_op, "a retry");
    served.stop().await;
}

#[tokio::test]
async fn a_watch_shows_an_app_what_it_may_read() {
    let served = Served::first("laptop").await;
    let app = served.app("notes", grant(&["notes"], Scope::Read), grant(&["chat"], Scope::Read)).await;
    served.push(vec![put("private", "a", "x"), post("family", "m", "hi")]).await;
    served.push(vec![put("notes", "a", "x"), put("private", "b", "x"), post("chat", "n", "hi")]).await;
    let request = WatchRequest { after_bundle_seq: Some(0), ..WatchRequest::default() };
    let mut stream = app.records().watch(request).await.unwrap().into_inner();
    let Some(Event::Bundle(bundle)) = stream.message().await.unwrap().unwrap().event else { panic!("no bundle") };
    assert_eq!(bundle.bundle_seq, 2, "of the first bundle it may read nothing");
    let seen: Vec<String> = bundle.changes.into_iter().filter_map(|change| change.now).map(named).collect();
    assert_eq!(seen, ["notes/a", "chat/n"]);

    let collections = vec!["notes".into(), "private".into()];
    let named = WatchRequest { collections, ..WatchRequest::default() };
    assert_eq!(code(&app.records().watch(named).await.unwrap_err()), "permission_denied");
    let family = WatchMessagesRequest {
        after_bundle_seq: Some(0),
        conversations: vec!["family".into()],
        ..WatchMessagesRequest::default()
    };
    assert_eq!(code(&app.conversations().watch(family).await.unwrap_err()), "permission_denied");
    served.stop().await;
}

#[tokio::test]
async fn pulls_and_snapshots_show_an_app_what_it_may_read() {
    let served = Served::first("laptop").await;
    let app = served.app("notes", grant(&["notes"], Scope::Read), grant(&["chat"], Scope::Read)).await;
    served.push(vec![put("private", "a", "x"), post("family", "m", "hi")]).await;
    served.push(vec![put("notes", "a", "x"), put("private", "b", "x"), post("chat", "n", "hi")]).await;
    let pulled = app.records().pull(PullRequest::default()).await.unwrap().into_inner();
    let changes = pulled.bundles.into_iter().flat_map(|bundle| bundle.changes).filter_map(|change| change.now);
    assert_eq!(changes.map(named).collect::<Vec<_>>(), ["notes/a", "chat/n"]);

    let mut stream = app.records().snapshot(SnapshotRequest::default()).await.unwrap().into_inner();
    let (mut seen, mut counted) = (Vec::new(), None);
    while let Some(SnapshotResponse { event }) = stream.message().await.unwrap() {
        match event.unwrap() {
            Snap::Begin(begin) => assert_eq!(begin.snapshot_bundle_seq, 2),
            Snap::Items(items) => seen.extend(items.items.into_iter().filter_map(|item| item.item).map(item)),
            Snap::End(end) => counted = Some(end.items),
        }
    }
    seen.sort();
    assert_eq!((seen, counted), (vec!["chat/n".to_owned(), "notes/a".to_owned()], Some(2)));

    let private = vec!["private".to_owned()];
    let pull = PullRequest { collections: private.clone(), ..PullRequest::default() };
    assert_eq!(code(&app.records().pull(pull).await.unwrap_err()), "permission_denied");
    let snapshot = SnapshotRequest { collections: private };
    assert_eq!(code(&app.records().snapshot(snapshot).await.unwrap_err()), "permission_denied");
    served.stop().await;
}

#[tokio::test]
async fn a_consumer_of_one_app_is_not_that_of_another() {
    let served = Served::first("laptop").await;
    let one = served.app("one", write(&["notes"]), None).await;
    let two = served.app("two", write(&["notes"]), None).await;
    for key in ["a", "b"] {
        served.push(vec![put("notes", key, "x")]).await;
    }
    let ack =
        |bundle_seq, consumer: &str| AckRequest { consumer: consumer.into(), bundle_seq, ..AckRequest::default() };
    one.records().ack(ack(2, "follower")).await.unwrap();
    let pull = PullRequest { consumer: "follower".into(), ..PullRequest::default() };
    assert_eq!(one.records().pull(pull.clone()).await.unwrap().into_inner().bundles.len(), 0);
    assert_eq!(two.records().pull(pull.clone()).await.unwrap().into_inner().bundles.len(), 2);
    assert_eq!(served.client.records().pull(pull).await.unwrap().into_inner().bundles.len(), 2);
    let stolen = served.client.records().ack(ack(1, "@one/follower")).await.unwrap_err();
    assert_eq!(code(&stolen), "invalid_argument");
    served.stop().await;
}

#[tokio::test]
async fn each_app_counts_its_own_bundles_under_the_same_name() {
    let served = Served::first("laptop").await;
    let one = served.app("one", None, write(&["chat"])).await;
    let two = served.app("two", None, write(&["chat"])).await;
    let named = |id, text: &str| PushRequest {
        source_id: "bridge".into(),
        source_bundle_id: id,
        ..push(vec![post("chat", "", text)])
    };
    let first = one.records().push(named(1, "from one")).await.unwrap().into_inner();
    let second = two.records().push(named(1, "from two")).await.unwrap().into_inner();
    let owners = served.client.records().push(named(1, "from the owner")).await.unwrap().into_inner();
    assert!(!first.already_committed && !second.already_committed && !owners.already_committed);
    let ids: Vec<&str> = [&first, &second, &owners].map(|pushed| pushed.results[0].message_id.as_str()).into();
    assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2], "{ids:?}");
    assert!(one.records().push(named(1, "from one")).await.unwrap().into_inner().already_committed);
    let ahead = one.records().push(named(3, "later")).await.unwrap_err();
    let expected = SequenceExpected { source_id: "bridge".into(), expected: 2, actual: 3 };
    assert_eq!(detail(&ahead).payload, Some(Payload::Sequence(expected)));
    served.stop().await;
}

#[tokio::test]
async fn a_revoked_app_is_refused_at_once_and_its_streams_end() {
    let served = Served::first("laptop").await;
    let app = served.app("notes", write(&["notes"]), None).await;
    app.records().push(push(vec![put("notes", "a", "x")])).await.unwrap();
    let mut stream = app.records().watch(WatchRequest::default()).await.unwrap().into_inner();
    assert!(stream.message().await.unwrap().is_some(), "the position");
    let revoke = RevokeAppRequest { name: "notes".into() };
    served.client.admin().revoke_app(revoke.clone()).await.unwrap();
    assert_eq!(code(&stream.message().await.unwrap_err()), "unauthenticated");
    let get = GetRequest { collection: "notes".into(), key: "a".into() };
    assert_eq!(code(&app.records().get(get.clone()).await.unwrap_err()), "unauthenticated");
    assert_eq!(code(&served.client.admin().revoke_app(revoke).await.unwrap_err()), "not_found");
    assert!(served.client.records().get(get).await.is_ok(), "what it wrote stays");
    let again = served.app("notes", write(&["notes"]), None).await;
    assert!(again.records().push(push(vec![put("notes", "b", "x")])).await.is_ok());
    served.stop().await;
}

#[tokio::test]
async fn apps_and_their_last_use_outlive_the_daemon_and_tokens_are_not_kept() {
    let served = Served::first("laptop").await;
    let token = served.authorize("notes", write(&["todo", "notes", "todo"]), grant(&["chat"], Scope::Read)).await;
    served.authorize("unused", write(&["x"]), None).await;
    let list = |served: &Served| {
        let mut admin = served.client.admin();
        async move { admin.list_apps(ListAppsRequest {}).await.unwrap().into_inner().apps }
    };
    let app = served.client_with(Credential::Token(Token::new(&token).unwrap())).await;
    app.records().push(push(vec![put("notes", "a", "x")])).await.unwrap();
    let before = list(&served).await;
    assert_eq!(before.iter().map(|app| app.name.as_str()).collect::<Vec<_>>(), ["notes", "unused"]);
    assert_eq!(before[0].collections, write(&["notes", "todo"]), "in order, each once");
    assert!(before[0].last_used_ms.is_some() && before[1].last_used_ms.is_none());

    let served = served.restart().await;
    assert_eq!(list(&served).await, before);
    let get = GetRequest { collection: "notes".into(), key: "a".into() };
    assert!(app.records().get(get).await.is_ok(), "the same client, after the restart");
    served.stop().await;
}

#[tokio::test]
async fn what_cannot_be_authorized_is_refused_with_its_reason() {
    let served = Served::first("laptop").await;
    served.authorize("notes", write(&["notes"]), None).await;
    let request = |name: &str, prefixes: &[&str]| AuthorizeAppRequest {
        name: name.into(),
        collections: write(prefixes),
        conversations: None,
        quota: None,
    };
    let mut admin = served.client.admin();
    for (bad, part) in [
        (request("Notes", &["notes"]), "name"),
        (request("other", &[]), "prefix"),
        (request("other", &["@message"]), "@message"),
        (request("notes", &["notes"]), "already"),
    ] {
        let refused = admin.authorize_app(bad).await.unwrap_err();
        assert_eq!(code(&refused), "invalid_argument");
        assert!(detail(&refused).message.contains(part), "{refused:?}");
    }
    let mut scope = request("other", &["notes"]);
    scope.collections.as_mut().unwrap().scope = 9;
    assert_eq!(code(&admin.authorize_app(scope).await.unwrap_err()), "invalid_argument");
    for number in 1..crate::apps::MAX_APPS {
        admin.authorize_app(request(&format!("app{number}"), &["x"])).await.unwrap();
    }
    assert_eq!(code(&admin.authorize_app(request("surplus", &["x"])).await.unwrap_err()), "too_large");
    served.stop().await;
}

#[tokio::test]
async fn an_app_of_a_device_that_is_not_set_up_is_told_so() {
    let served = Served::new().await;
    let token = Token::new(&format!("kin_app_{}", "A".repeat(43))).unwrap();
    let app = served.client_with(Credential::Token(token)).await;
    let get = GetRequest { collection: "notes".into(), key: "a".into() };
    assert_eq!(code(&app.records().get(get).await.unwrap_err()), "not_set_up");
    served.stop().await;
}

impl Served {
    /// Authorizes an app and gives its token.
    pub(super) async fn authorize(
        &self,
        name: &str,
        collections: Option<Grant>,
        conversations: Option<Grant>,
    ) -> String {
        let request = AuthorizeAppRequest { name: name.into(), collections, conversations, quota: None };
        self.client.admin().authorize_app(request).await.unwrap().into_inner().token
    }

    /// A client of a new app.
    pub(super) async fn app(&self, name: &str, collections: Option<Grant>, conversations: Option<Grant>) -> Client {
        let token = self.authorize(name, collections, conversations).await;
        self.client_with(Credential::Token(Token::new(&token).unwrap())).await
    }
}

pub(super) fn write(prefixes: &[&str]) -> Option<Grant> {
    grant(prefixes, Scope::Write)
}

fn grant(prefixes: &[&str], scope: Scope) -> Option<Grant> {
    Some(Grant { prefixes: prefixes.iter().map(|prefix| (*prefix).to_owned()).collect(), scope: scope.into() })
}

/// Where an item of a snapshot lies.
fn item(item: Item) -> String {
    match item {
        Item::Record(record) => format!("{}/{}", record.collection, record.key),
        Item::Message(message) => format!("{}/{}", message.conversation, message.id),
        Item::Conversation(conversation) => format!("conversation {}", conversation.name),
    }
}

/// Where a change took place.
fn named(now: Now) -> String {
    match now {
        Now::Record(record) => format!("{}/{}", record.collection, record.key),
        Now::RecordGone(name) => format!("{}/{} gone", name.collection, name.key),
        Now::Message(message) => format!("{}/{}", message.conversation, message.id),
        Now::MessageGone(name) => format!("{} gone", name.id),
        Now::Conversation(conversation) => format!("conversation {}", conversation.name),
    }
}
