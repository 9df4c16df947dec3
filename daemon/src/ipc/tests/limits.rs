//! What one caller can take, and that it is nobody else's loss.

use ipc_proto::credential::Token;
use ipc_proto::v1::error_detail::Payload;
use ipc_proto::v1::watch_response::Event;
use ipc_proto::v1::{
    AuthorizeAppRequest, GetRequest, LimitExceeded, ListAppsRequest, PostRequest, Quota, WatchRequest, WatchResponse,
};
use tonic::Streaming;

use super::apps::write;
use super::*;
use crate::ipc::room::{APP, Kind};

#[tokio::test]
async fn streams_of_one_app_leave_room_for_others() {
    let served = Served::first("laptop").await;
    let app = served.app("notes", write(&["notes"]), None).await;
    let mut streams = Vec::new();
    for _ in 0..APP[1] {
        streams.push(app.records().watch(WatchRequest::default()).await.unwrap());
    }
    let refused = app.records().watch(WatchRequest::default()).await.unwrap_err();
    assert_eq!((code(&refused).as_str(), refused.code()), ("busy", tonic::Code::ResourceExhausted));
    assert_eq!(limited(&refused), ("open streams of the app `notes`".into(), 32, 33));
    assert_eq!(detail(&refused).hint, "end some of them");
    let other = served.app("todo", write(&["todo"]), None).await;
    assert!(other.records().watch(WatchRequest::default()).await.is_ok());
    assert!(served.client.records().watch(WatchRequest::default()).await.is_ok());
    streams.pop();
    while let Err(still) = app.records().watch(WatchRequest::default()).await {
        assert_eq!(code(&still), "busy");
    }
    drop(streams);
    served.stop().await;
}

#[tokio::test]
async fn connections_of_one_app_leave_room_for_sixty_four_others() {
    let served = Served::first("laptop").await;
    let token = served.authorize("notes", write(&["notes"]), None).await;
    let with_token = || Credential::Token(Token::new(&token).unwrap());
    let get = || GetRequest { collection: "notes".into(), key: "a".into() };
    let mut clients = Vec::new();
    for _ in 0..APP[2] {
        let client = served.client_with(with_token()).await;
        assert_eq!(code(&client.records().get(get()).await.unwrap_err()), "not_found");
        clients.push(client);
    }
    let surplus = served.client_with(with_token()).await;
    let refused = surplus.records().get(get()).await.unwrap_err();
    assert_eq!(limited(&refused), ("connections of the app `notes`".into(), 32, 33));
    for _ in 0..64 {
        let client = served.client_with(Credential::Owner).await;
        assert_eq!(code(&client.records().get(get()).await.unwrap_err()), "not_found");
        clients.push(client);
    }
    // Those of the app came first.
    drop(clients.remove(0));
    while let Err(refused) = surplus.records().get(get()).await
        && code(&refused) == "busy"
    {
        tokio::task::yield_now().await;
    }
    served.stop().await;
}

#[tokio::test]
async fn who_reads_too_slowly_is_told_where_to_go_on_and_misses_nothing() {
    let home = Served::first("laptop").await.stop().await;
    let served = Served::patiently(home, [Duration::from_millis(10), SLOW]).await;
    let mut stream = watch(&served.client, 0).await;
    let large = "x".repeat(900_000);
    // More than windows and channels hold.
    for n in 0..20 {
        served.push(vec![put("notes", &n.to_string(), &large)]).await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    // All that was sent comes, and then the reason.
    let mut seen = Vec::new();
    let end = loop {
        match stream.message().await {
            Ok(Some(WatchResponse { event: Some(Event::Bundle(bundle)), .. })) => seen.push(bundle.bundle_seq),
            Ok(_) => {}
            Err(end) => break detail(&end),
        }
    };
    let last = *seen.last().unwrap();
    assert_eq!((end.code.as_str(), end.retryable), ("too_slow", true));
    assert_eq!(end.payload, Some(Payload::Resume(v1::ResumeAfter { bundle_seq: last })));
    let mut stream = watch(&served.client, last).await;
    while seen.len() < 20 {
        if let Some(Event::Bundle(bundle)) = stream.message().await.unwrap().unwrap().event {
            seen.push(bundle.bundle_seq);
        }
    }
    assert_eq!(seen, (1..=20).collect::<Vec<u64>>());
    served.stop().await;
}

#[tokio::test]
async fn who_reads_nothing_at_all_is_disconnected_and_nothing_is_kept_for_it() {
    let home = Served::first("laptop").await.stop().await;
    let served = Served::patiently(home, [Duration::from_millis(100); 2]).await;
    let stuck = served.client_with(Credential::Owner).await;
    let stream = watch(&stuck, 0).await;
    let large = "x".repeat(900_000);
    for n in 0..20 {
        served.push(vec![put("notes", &n.to_string(), &large)]).await;
    }
    // The stream is held and not read.
    while served.room.taken(Kind::Stream) > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(stream);
    // When it comes to itself it connects again.
    let mut again = watch(&stuck, 0).await;
    assert!(again.message().await.is_ok());
    served.stop().await;
}

#[tokio::test]
async fn an_app_stores_as_much_as_it_may_and_deleting_makes_room() {
    let served = Served::first("laptop").await;
    let quota = Quota { bytes: 10_000, items: 0 };
    let app = served.app_with_quota("notes", quota).await;
    let kib = "x".repeat(1_000);
    // What is elsewhere does not count, nor does what the owner may do.
    served.push((0..20).map(|n| put("private", &n.to_string(), &kib)).collect()).await;
    for n in 0..9 {
        app.records().push(push(vec![put("notes", &n.to_string(), &kib)])).await.unwrap();
    }
    let refused = app.records().push(push(vec![put("notes", "9", &kib)])).await.unwrap_err();
    assert_eq!((code(&refused).as_str(), refused.code()), ("quota_exceeded", tonic::Code::ResourceExhausted));
    let (what, limit, actual) = limited(&refused);
    assert_eq!((what.as_str(), limit), ("bytes of the app `notes`", 10_000));
    assert!((10_000..11_000).contains(&actual), "{actual}");
    assert!(!detail(&refused).retryable && detail(&refused).hint.contains("--quota"));
    let gone = GetRequest { collection: "notes".into(), key: "9".into() };
    assert_eq!(code(&app.records().get(gone).await.unwrap_err()), "not_found", "nothing of it happened");

    app.records().push(push(vec![delete("notes", "0")])).await.unwrap();
    app.records().push(push(vec![put("notes", "9", &kib)])).await.unwrap();
    served.push((0..20).map(|n| put("notes", &n.to_string(), &kib)).collect()).await;
    served.stop().await;
}

#[tokio::test]
async fn what_was_stored_before_the_quota_was_met_is_answered_again_as_the_first_time() {
    let served = Served::first("laptop").await;
    let app = served.app_with_quota("notes", Quota { bytes: 0, items: 2 }).await;
    let numbered = |id| v1::PushRequest {
        source_id: "app".into(),
        source_bundle_id: id,
        ..push(vec![put("notes", &id.to_string(), "x")])
    };
    let first = app.records().push(numbered(1)).await.unwrap().into_inner();
    let posted = PostRequest { message: Some(message("notes", "m", "hi")) };
    assert!(!app.conversations().post(posted.clone()).await.unwrap().into_inner().no_op);
    assert_eq!(limited(&app.records().push(numbered(2)).await.unwrap_err()), ("items of the app `notes`".into(), 2, 3));

    let again = app.records().push(numbered(1)).await.unwrap().into_inner();
    assert_eq!((again.already_committed, again.bundle_seq), (true, first.bundle_seq));
    assert!(app.conversations().post(posted).await.unwrap().into_inner().no_op);
    served.stop().await;
}

#[tokio::test]
async fn a_quota_outlives_a_restart_and_what_is_not_said_is_as_usual() {
    let served = Served::first("laptop").await;
    served.app_with_quota("small", Quota { bytes: 1 << 20, items: 5 }).await;
    served.app("usual", write(&["x"]), None).await;
    let served = served.restart().await;
    let apps = served.client.admin().list_apps(ListAppsRequest {}).await.unwrap().into_inner().apps;
    let quotas: Vec<Quota> = apps.into_iter().map(|app| app.quota.unwrap()).collect();
    assert_eq!(quotas, [Quota { bytes: 1 << 20, items: 5 }, Quota { bytes: 1 << 30, items: 1_000_000 }]);
    served.stop().await;
}

impl Served {
    /// A client of a new app that may write the collections and conversations of its name.
    async fn app_with_quota(&self, name: &str, quota: Quota) -> Client {
        let request = AuthorizeAppRequest {
            name: name.into(),
            collections: write(&[name]),
            conversations: write(&[name]),
            quota: Some(quota),
        };
        let token = self.client.admin().authorize_app(request).await.unwrap().into_inner().token;
        self.client_with(Credential::Token(Token::new(&token).unwrap())).await
    }
}

async fn watch(client: &Client, after: u64) -> Streaming<WatchResponse> {
    let request = WatchRequest { after_bundle_seq: Some(after), ..WatchRequest::default() };
    client.records().watch(request).await.unwrap().into_inner()
}

/// Which limit was met, with both numbers.
fn limited(status: &Status) -> (String, u64, u64) {
    let Some(Payload::Limit(LimitExceeded { what, limit, actual })) = detail(status).payload else {
        panic!("no limit: {status:?}")
    };
    (what, limit, actual)
}
