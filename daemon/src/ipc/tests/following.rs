//! Apps that follow this device's order: pulls, snapshots, cursors, and what a compaction means to them.

use ipc_proto::v1::error_detail::Payload;
use ipc_proto::v1::snapshot_item::Item;
use ipc_proto::v1::snapshot_response::Event;
use ipc_proto::v1::{
    AckRequest, PullRequest, PullResponse, ResyncRequired, SnapshotRequest, StoreCompactRequest, WatchMessagesRequest,
    WatchRequest,
};
use uuid::Uuid;

use super::*;

#[tokio::test]
async fn a_pull_ends_where_it_began_to_end_whatever_is_written_meanwhile() {
    let served = Served::first("laptop").await;
    for n in 0..10 {
        served.push(vec![put("notes", &n.to_string(), "x"), put("other", &n.to_string(), "x")]).await;
    }
    let mut seen = Vec::new();
    let mut page_token = String::new();
    loop {
        let page = pull(&served, PullRequest { max_bundles: 4, page_token, ..after(0) }).await;
        assert_eq!(page.stable_bundle_seq, 10);
        assert!(page.bundles.len() <= 4 && page.bundles.iter().all(|bundle| bundle.changes.len() == 2));
        seen.extend(page.bundles.iter().map(|bundle| bundle.bundle_seq));
        served.push(vec![put("notes", "late", "x")]).await;
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(seen, (1..=10).collect::<Vec<_>>());
    let next = pull(&served, after(10)).await;
    assert_eq!(next.bundles.first().map(|bundle| bundle.bundle_seq), Some(11));
    served.stop().await;
}

#[tokio::test]
async fn a_page_of_a_pull_is_cut_by_bytes_between_bundles_and_never_empty() {
    let served = Served::first("laptop").await;
    for n in 0..4 {
        served.push(vec![put("notes", &n.to_string(), &"x".repeat(10_000))]).await;
    }
    let page = pull(&served, PullRequest { max_bytes: 25_000, ..after(0) }).await;
    assert_eq!(page.bundles.len(), 2);
    let rest = pull(&served, PullRequest { max_bytes: 1, page_token: page.next_page_token, ..after(0) }).await;
    assert_eq!(rest.bundles.iter().map(|bundle| bundle.bundle_seq).collect::<Vec<_>>(), [3]);
    served.stop().await;
}

#[tokio::test]
async fn a_pull_shows_only_the_collections_it_asks_for_and_ends_all_the_same() {
    let served = Served::first("laptop").await;
    served.push(vec![put("notes", "a", "x"), put("other", "a", "x")]).await;
    for _ in 0..100 {
        served.push(vec![put("other", "b", "x")]).await;
    }
    let page = pull(&served, PullRequest { collections: vec!["notes".into()], ..after(0) }).await;
    assert_eq!((page.bundles.len(), page.bundles[0].changes.len()), (1, 1));
    assert_eq!((page.stable_bundle_seq, page.next_page_token.as_str()), (101, ""));
    served.stop().await;
}

#[tokio::test]
async fn below_the_watermark_everything_must_be_read_anew_but_never_from_the_start() {
    let served = Served::first("laptop").await;
    for text in ["one", "two", "three"] {
        served.push(vec![put("notes", "a", text)]).await;
    }
    served.push(vec![put("notes", "b", "x")]).await;
    let went = served.client.admin().store_compact(StoreCompactRequest { dry_run: false }).await.unwrap().into_inner();
    assert_eq!(went.bundles, 2);

    let order_id = pull(&served, after(0)).await.order_id;
    let expected = ResyncRequired { compacted_up_to: 2, cursor: 1, bundle_seq: 4, order_id };
    let mut records = served.client.records();
    let below = [
        records.pull(after(1)).await.unwrap_err(),
        records.watch(WatchRequest { after_bundle_seq: Some(1), ..WatchRequest::default() }).await.unwrap_err(),
    ];
    for refused in below {
        assert_eq!((refused.code(), code(&refused).as_str()), (tonic::Code::OutOfRange, "resync_required"));
        assert_eq!(detail(&refused).payload, Some(Payload::Resync(expected.clone())));
        assert_eq!(ipc_proto::Error::from(refused).exit_code(), 9);
    }
    let places = |page: &PullResponse| page.bundles.iter().map(|bundle| bundle.bundle_seq).collect::<Vec<_>>();
    assert_eq!(places(&pull(&served, after(2)).await), [3, 4]);
    // From the start it comes to its end, page by page, through places that lie below the watermark.
    let first = pull(&served, PullRequest { max_bundles: 1, ..after(0) }).await;
    assert_eq!(places(&first), [3]);
    let rest = pull(&served, PullRequest { page_token: first.next_page_token, ..after(0) }).await;
    assert_eq!(places(&rest), [4]);
    served.stop().await;
}

#[tokio::test]
async fn a_pull_that_a_compaction_overtakes_is_told_so() {
    let served = Served::first("laptop").await;
    for n in 0..6 {
        served.push(vec![put("notes", "a", &n.to_string())]).await;
    }
    let first = pull(&served, PullRequest { max_bundles: 1, ..after(1) }).await;
    served.client.admin().store_compact(StoreCompactRequest { dry_run: false }).await.unwrap();
    let next = PullRequest { page_token: first.next_page_token, ..after(1) };
    assert_eq!(code(&served.client.records().pull(next).await.unwrap_err()), "resync_required");
    served.stop().await;
}

#[tokio::test]
async fn a_cursor_moves_only_by_acknowledgement_never_backwards_and_survives_a_restart() {
    let served = Served::first("laptop").await;
    for n in 0..5 {
        served.push(vec![put("notes", &n.to_string(), "x")]).await;
    }
    assert_eq!(next_of(&served, "app").await, 1, "a consumer begins at the start");
    assert_eq!(next_of(&served, "app").await, 1, "reading moves nothing");
    assert_eq!(ack(&served, "app", 3).await, 3);
    assert_eq!(ack(&served, "app", 2).await, 3);
    assert_eq!((next_of(&served, "app").await, next_of(&served, "other").await), (4, 1));
    let served = served.restart().await;
    assert_eq!((next_of(&served, "app").await, next_of(&served, "other").await), (4, 1));
    assert_eq!(ack(&served, "app", 1).await, 3);
    for (consumer, upto, refusal) in [("app", 6, "invalid_argument"), ("", 1, "invalid_argument")] {
        let request = AckRequest { consumer: consumer.into(), bundle_seq: upto, ..AckRequest::default() };
        assert_eq!(code(&served.client.records().ack(request).await.unwrap_err()), refusal);
    }
    let long = AckRequest { consumer: "x".repeat(129), bundle_seq: 1, ..AckRequest::default() };
    assert_eq!(code(&served.client.records().ack(long).await.unwrap_err()), "too_large");
    served.stop().await;
}

#[tokio::test]
async fn a_cursor_of_another_order_must_read_anew_although_its_place_is_there() {
    let served = Served::first("laptop").await;
    for n in 0..3 {
        served.push(vec![put("notes", &n.to_string(), "x")]).await;
    }
    let page = pull(&served, PullRequest { max_bundles: 1, ..after(0) }).await;
    let ours = page.order_id.clone();
    assert_eq!(Uuid::parse_str(&ours).unwrap().get_version_num(), 4);
    let mut records = served.client.records();
    let snapshot = records.snapshot(SnapshotRequest::default()).await.unwrap().into_inner().message().await.unwrap();
    assert!(matches!(snapshot.unwrap().event, Some(Event::Begin(begin)) if begin.order_id == ours));
    let watch = |order_id: &str| WatchRequest {
        after_bundle_seq: Some(2),
        order_id: order_id.into(),
        ..WatchRequest::default()
    };
    let first = records.watch(watch(&ours)).await.unwrap().into_inner().message().await.unwrap();
    assert_eq!(first.unwrap().order_id, ours);

    // As it was before the device was put back.
    let theirs = Uuid::new_v4().to_string();
    let messages = WatchMessagesRequest { after_bundle_seq: Some(2), order_id: theirs.clone(), conversations: vec![] };
    let acked = AckRequest { consumer: "app".into(), bundle_seq: 2, order_id: theirs.clone() };
    let refused = [
        records.watch(watch(&theirs)).await.unwrap_err(),
        records.pull(PullRequest { order_id: theirs.clone(), ..after(2) }).await.unwrap_err(),
        records.ack(acked).await.unwrap_err(),
        served.client.conversations().watch(messages).await.unwrap_err(),
    ];
    for refused in refused {
        let Some(Payload::Resync(resync)) = detail(&refused).payload else { panic!("resync: {refused:?}") };
        assert_eq!((resync.order_id.as_str(), resync.cursor, resync.bundle_seq), (ours.as_str(), 2, 3));
        assert!(detail(&refused).message.contains("put back"), "{refused:?}");
    }
    assert_eq!(next_of(&served, "app").await, 1, "nothing was acknowledged");
    assert!(records.pull(PullRequest { order_id: theirs.clone(), ..after(0) }).await.is_ok(), "from the start");
    let within = AckRequest { consumer: "app".into(), bundle_seq: 2, order_id: ours };
    assert_eq!(records.ack(within).await.unwrap().into_inner().bundle_seq, 2);
    served.stop().await;
}

#[tokio::test]
async fn a_watch_of_a_consumer_begins_behind_what_it_acknowledged() {
    let served = Served::first("laptop").await;
    for n in 0..3 {
        served.push(vec![put("notes", &n.to_string(), "x")]).await;
    }
    ack(&served, "app", 2).await;
    let request = WatchRequest { consumer: "app".into(), ..WatchRequest::default() };
    let mut stream = served.client.records().watch(request).await.unwrap().into_inner();
    let first = stream.message().await.unwrap().unwrap().event;
    assert!(matches!(&first, Some(v1::watch_response::Event::Bundle(bundle)) if bundle.bundle_seq == 3), "{first:?}");
    served.stop().await;
}

#[tokio::test]
async fn a_snapshot_shows_one_place_whatever_is_written_while_it_is_read() {
    let served = Served::first("laptop").await;
    // More than the channels and windows on the way hold.
    let large = "x".repeat(100_000);
    for n in 0..100 {
        served.push(vec![put("notes", &format!("{n:03}"), &large), put("pairs", &format!("{n:03}"), "x")]).await;
    }
    served.push(vec![post("family", "m", "hi")]).await;
    let mut stream = served.client.records().snapshot(SnapshotRequest::default()).await.unwrap().into_inner();
    let Some(Event::Begin(begin)) = stream.message().await.unwrap().unwrap().event else { panic!("no beginning") };
    assert_eq!(begin.snapshot_bundle_seq, 101);
    served.push(vec![put("notes", "099", "late"), put("pairs", "new", "late"), post("family", "n", "late")]).await;
    let mut items = Vec::new();
    let end = loop {
        match stream.message().await.unwrap().unwrap().event.unwrap() {
            Event::Items(part) => items.extend(part.items),
            Event::End(end) => break end,
            Event::Begin(_) => panic!("it begins again"),
        }
    };
    assert_eq!((items.len(), end.items), (201, 201));
    assert!(matches!(&items[0].item, Some(Item::Message(message)) if message.id == "m"));
    let old = |record: &v1::Record| record.row_version <= 101;
    assert!(items[1..].iter().all(|item| matches!(&item.item, Some(Item::Record(record)) if old(record))));
    let next = pull(&served, after(begin.snapshot_bundle_seq)).await;
    assert_eq!((next.bundles.len(), next.bundles[0].changes.len()), (1, 3), "and one goes on from there");
    served.stop().await;
}

#[tokio::test]
async fn a_snapshot_of_some_collections_has_nothing_else() {
    let served = Served::first("laptop").await;
    served.push(vec![put("notes", "a", "x"), put("other", "a", "x"), post("family", "m", "hi")]).await;
    let request = SnapshotRequest { collections: vec!["notes".into(), "nothing".into()] };
    let mut stream = served.client.records().snapshot(request).await.unwrap().into_inner();
    let mut keys = Vec::new();
    while let Some(part) = stream.message().await.unwrap() {
        let Some(Event::Items(part)) = part.event else { continue };
        keys.extend(part.items.into_iter().map(|item| match item.item {
            Some(Item::Record(record)) => (record.collection, record.key),
            other => panic!("{other:?}"),
        }));
    }
    assert_eq!(keys, [("notes".to_owned(), "a".to_owned())]);
    served.stop().await;
}

#[tokio::test]
async fn a_snapshot_that_is_hung_up_makes_room_for_the_next() {
    let served = Served::first("laptop").await;
    let large = "x".repeat(500_000);
    for n in 0..20 {
        served.push(vec![put("notes", &n.to_string(), &large)]).await;
    }
    let mut records = served.client.records();
    let mut unread = Vec::new();
    for _ in 0..MAX_LONG_READS {
        unread.push(records.snapshot(SnapshotRequest::default()).await.unwrap());
    }
    assert_eq!(code(&records.snapshot(SnapshotRequest::default()).await.unwrap_err()), "busy");
    drop(unread);
    while let Err(refused) = records.snapshot(SnapshotRequest::default()).await {
        assert_eq!(code(&refused), "busy");
        tokio::task::yield_now().await;
    }
    served.stop().await;
}

fn after(after: u64) -> PullRequest {
    PullRequest { after_bundle_seq: Some(after), ..PullRequest::default() }
}

async fn pull(served: &Served, request: PullRequest) -> PullResponse {
    served.client.records().pull(request).await.unwrap().into_inner()
}

async fn ack(served: &Served, consumer: &str, bundle_seq: u64) -> u64 {
    let request = AckRequest { consumer: consumer.into(), bundle_seq, ..AckRequest::default() };
    served.client.records().ack(request).await.unwrap().into_inner().bundle_seq
}

/// The first bundle that a consumer has not acknowledged.
async fn next_of(served: &Served, consumer: &str) -> u64 {
    let page = pull(served, PullRequest { consumer: consumer.into(), ..PullRequest::default() }).await;
    page.bundles.first().map_or(0, |bundle| bundle.bundle_seq)
}
