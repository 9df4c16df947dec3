use ipc_proto::v1::error_detail::Payload;
use ipc_proto::v1::watch_response::Event;
use ipc_proto::v1::{Bundle, Change, WatchMessagesRequest, WatchRequest, WatchResponse, change::Now};
use tonic::Streaming;

use super::*;

#[tokio::test]
async fn a_watch_brings_every_bundle_once_and_in_order_while_they_are_written() {
    let served = Served::first("laptop").await;
    for n in 0..100 {
        served.push(vec![put("notes", &format!("{n}"), "before")]).await;
    }
    let mut stream = watch(&served, Some(0), &[]).await;
    let records = served.client.records();
    let writing = tokio::spawn(async move {
        for n in 100..300 {
            records.clone().push(push(vec![put("notes", &format!("{n}"), "during")])).await.unwrap();
        }
    });
    let mut seen = Vec::new();
    while seen.len() < 300 {
        if let Some(bundle) = next(&mut stream).await {
            seen.push(bundle.bundle_seq);
        }
    }
    assert_eq!(seen, (1..=300).collect::<Vec<u64>>());
    writing.await.unwrap();
    served.stop().await;
}

#[tokio::test]
async fn a_watch_resumes_after_its_cursor_also_after_a_restart() {
    let served = Served::first("laptop").await;
    for n in 1..=5 {
        served.push(vec![put("notes", &format!("{n}"), "x")]).await;
    }
    let served = served.restart().await;
    let mut stream = watch(&served, Some(3), &[]).await;
    assert_eq!(next(&mut stream).await.unwrap().bundle_seq, 4);
    assert_eq!(next(&mut stream).await.unwrap().bundle_seq, 5);
    assert_eq!(position(&mut stream).await, 5);
    served.stop().await;
}

#[tokio::test]
async fn a_watch_without_cursor_begins_now_and_says_where() {
    let served = Served::first("laptop").await;
    served.push(vec![put("notes", "old", "x")]).await;
    let mut stream = watch(&served, None, &[]).await;
    assert_eq!(position(&mut stream).await, 1);
    served.push(vec![put("notes", "new", "x")]).await;
    assert_eq!(next(&mut stream).await.unwrap().bundle_seq, 2);
    served.stop().await;
}

#[tokio::test]
async fn a_bundle_shows_how_what_it_touched_stands_now() {
    let served = Served::first("laptop").await;
    let kept = served.push(vec![put("notes", "a", "old"), put("notes", "b", "gone"), post("c", "m", "hi")]).await;
    served.push(vec![put("notes", "a", "new"), delete("notes", "b")]).await;
    let mut stream = watch(&served, Some(0), &[]).await;
    let bundle = next(&mut stream).await.unwrap();
    assert_eq!((bundle.source_id, bundle.seq), (kept.source_id, 1));
    assert_eq!(bundle.device_id, served.client.get_info().await.unwrap().device_id);
    let [a, b, m] = <[Change; 3]>::try_from(bundle.changes).unwrap();
    assert!(matches!(a.now, Some(Now::Record(record)) if record.fields["title"].kind
        == Some(v1::value::Kind::String("new".into()))));
    assert!(matches!(b.now, Some(Now::RecordGone(name)) if name.key == "b"));
    assert!(matches!(m.now, Some(Now::Message(message)) if message.id == "m"));
    served.stop().await;
}

#[tokio::test]
async fn a_filter_leaves_out_what_does_not_match_and_moves_the_position_past_it() {
    let served = Served::first("laptop").await;
    served.push(vec![put("notes", "a", "x"), put("other", "a", "x"), post("c", "m", "hi")]).await;
    served.push(vec![put("other", "b", "x")]).await;
    let mut stream = watch(&served, Some(0), &["notes"]).await;
    let bundle = next(&mut stream).await.unwrap();
    assert_eq!((bundle.bundle_seq, bundle.changes.len()), (1, 1));
    assert_eq!(position(&mut stream).await, 2);
    served.stop().await;
}

#[tokio::test]
async fn who_watches_a_conversation_learns_of_deletions_too() {
    let served = Served::first("laptop").await;
    let request = WatchMessagesRequest {
        after_bundle_seq: Some(0),
        conversations: vec!["family".into()],
        ..WatchMessagesRequest::default()
    };
    let mut stream = served.client.conversations().watch(request).await.unwrap().into_inner();
    assert_eq!(position(&mut stream).await, 0);
    served.push(vec![post("family", "m", "hi"), post("work", "w", "hm"), put("notes", "a", "x")]).await;
    let posted = next(&mut stream).await.unwrap();
    assert!(
        matches!(posted.changes.as_slice(), [Change { now: Some(Now::Message(message)), .. }] if message.id == "m")
    );
    served.push(vec![op::Op::DeleteMessage(v1::DeleteMessage { id: "m".into(), at_us: None })]).await;
    let deleted = loop {
        if let Some(bundle) = next(&mut stream).await {
            break bundle;
        }
    };
    assert!(matches!(deleted.changes.as_slice(), [Change { now: Some(Now::MessageGone(name)), .. }] if name.id == "m"));
    served.stop().await;
}

#[tokio::test]
async fn a_cursor_beyond_the_last_bundle_must_read_anew() {
    let served = Served::first("laptop").await;
    served.push(vec![put("notes", "a", "x")]).await;
    // As after a device was put back to an earlier state.
    let request = WatchRequest { after_bundle_seq: Some(7), ..WatchRequest::default() };
    let refused = served.client.records().watch(request).await.unwrap_err();
    let Some(Payload::Resync(resync)) = detail(&refused).payload else { panic!("resync: {refused:?}") };
    assert_eq!((resync.compacted_up_to, resync.cursor, resync.bundle_seq), (0, 7, 1));
    served.stop().await;
}

#[tokio::test]
async fn a_stream_that_is_not_read_holds_up_no_other_of_the_same_client() {
    let served = Served::first("laptop").await;
    let mut lazy = watch(&served, None, &[]).await;
    let mut eager = watch(&served, None, &[]).await;
    // More than the window and the channels of a stream can hold.
    let large = "x".repeat(900_000);
    let mut seen = Vec::new();
    for n in 1..=20 {
        served.push(vec![put("notes", &n.to_string(), &large)]).await;
        seen.push(loop {
            if let Some(bundle) = next(&mut eager).await {
                break bundle.bundle_seq;
            }
        });
    }
    assert_eq!(seen, (1..=20).collect::<Vec<u64>>());
    // It is late, and misses nothing.
    let mut late = Vec::new();
    while late.len() < 20 {
        late.extend(next(&mut lazy).await.map(|bundle| bundle.bundle_seq));
    }
    assert_eq!(late, seen);
    served.stop().await;
}

#[tokio::test]
async fn a_watch_ends_with_a_word_when_the_daemon_stops() {
    let served = Served::first("laptop").await;
    let mut stream = watch(&served, None, &[]).await;
    assert_eq!(position(&mut stream).await, 0);
    let socket = served.client.address().to_owned();
    let _home = served.stop().await;
    let end = stream.message().await.unwrap_err();
    assert_eq!(code(&end), "shutting_down");
    assert!(!socket.exists(), "the socket goes with the daemon");
}

#[tokio::test]
async fn a_watch_ends_at_its_deadline() {
    let served = Served::first("laptop").await;
    let mut request =
        tonic::Request::new(WatchRequest { after_bundle_seq: Some(0), collections: vec![], ..WatchRequest::default() });
    request.set_timeout(Duration::from_millis(50));
    let mut stream = served.client.records().watch(request).await.unwrap().into_inner();
    assert_eq!(position(&mut stream).await, 0);
    let end = stream.message().await.unwrap_err();
    assert_eq!(end.code(), tonic::Code::DeadlineExceeded);
    served.stop().await;
}

async fn watch(served: &Served, after_bundle_seq: Option<u64>, collections: &[&str]) -> Streaming<WatchResponse> {
    let collections = collections.iter().map(ToString::to_string).collect();
    let request = WatchRequest { after_bundle_seq, collections, ..WatchRequest::default() };
    served.client.records().watch(request).await.unwrap().into_inner()
}

/// The next bundle; `None` for a position.
async fn next(stream: &mut Streaming<WatchResponse>) -> Option<Bundle> {
    match stream.message().await.unwrap().unwrap().event.unwrap() {
        Event::Bundle(bundle) => Some(bundle),
        Event::Position(_) => None,
    }
}

async fn position(stream: &mut Streaming<WatchResponse>) -> u64 {
    match stream.message().await.unwrap().unwrap().event.unwrap() {
        Event::Position(position) => position.bundle_seq,
        Event::Bundle(bundle) => panic!("expected a position, got bundle {}", bundle.bundle_seq),
    }
}
