//! What records were, undoing, and finding records by what they hold.

use ipc_proto::v1::value::Kind;
use ipc_proto::v1::{
    ChangeKind, FieldCondition, GetRequest, HistoryRequest, HistoryResponse, ListRequest, StoreCompactRequest,
    UndoRequest, UndoResponse,
};

use super::*;

#[tokio::test]
async fn the_history_of_a_record_shows_who_did_what_newest_first() {
    let served = Served::first("laptop").await;
    served.push(vec![put("notes", "a", "one"), put("notes", "b", "one")]).await;
    served.push(vec![put("notes", "b", "two")]).await;
    let clear = v1::PutRecord {
        collection: "notes".into(),
        key: "a".into(),
        clear_fields: vec!["title".into()],
        ..v1::PutRecord::default()
    };
    served.push(vec![op::Op::PutRecord(clear)]).await;
    served.push(vec![delete("notes", "a")]).await;
    let history = history(&served, "a", 0, "").await;
    let places = |history: &HistoryResponse| history.changes.iter().map(|change| change.bundle_seq).collect::<Vec<_>>();
    assert_eq!(places(&history), [4, 3, 1]);
    let [deleted, cleared, written] = history.changes.as_slice() else { panic!("{history:?}") };
    assert_eq!((deleted.kind(), deleted.fields.len()), (ChangeKind::RecordDelete, 0));
    assert_eq!(cleared.cleared_fields, ["title"]);
    assert_eq!((written.kind(), &written.fields["title"].kind), (ChangeKind::RecordPut, &text("one")));
    assert_eq!(written.device_id, served.client.get_info().await.unwrap().device_id);

    let first = self::history(&served, "a", 2, "").await;
    assert_eq!(places(&first), [4, 3]);
    assert_eq!(places(&self::history(&served, "a", 2, &first.next_page_token).await), [1]);
    assert_eq!(places(&self::history(&served, "b", 0, "").await), [2, 1]);
    let never = HistoryRequest { collection: "notes".into(), key: "c".into(), ..HistoryRequest::default() };
    assert_eq!(code(&served.client.records().history(never).await.unwrap_err()), "not_found");
    served.stop().await;
}

#[tokio::test]
async fn an_undone_change_is_undone_again() {
    let served = Served::first("laptop").await;
    served.push(vec![put("notes", "a", "one")]).await;
    served.push(vec![put("notes", "a", "two")]).await;
    let undone = undo(&served, 0).await;
    assert_eq!((undone.undone_bundle_seq, undone.no_op, undone.bundle_seq), (2, false, 3));
    assert_eq!(title(&served).await, Some("one".into()));
    assert_eq!(undo(&served, 0).await.undone_bundle_seq, 3);
    assert_eq!(title(&served).await, Some("two".into()));
    let earlier = undo(&served, 1).await;
    assert_eq!((earlier.no_op, earlier.bundle_seq), (true, 0), "nothing of it shows");
    served.stop().await;
}

#[tokio::test]
async fn a_deleted_record_comes_back_and_one_that_was_new_goes() {
    let served = Served::first("laptop").await;
    served.push(vec![put("notes", "a", "one")]).await;
    served.push(vec![delete("notes", "a")]).await;
    undo(&served, 0).await;
    assert_eq!(title(&served).await, Some("one".into()));
    let made = undo(&served, 1).await;
    assert!(made.no_op, "it was written again since");
    served.push(vec![delete("notes", "a")]).await;
    served.stop().await;
}

#[tokio::test]
async fn what_cannot_be_undone_is_refused() {
    let served = Served::first("laptop").await;
    served.push(vec![put("notes", "a", "one")]).await;
    served.push(vec![put("notes", "a", "two")]).await;
    let refusal = |collection: &str, key: &str, bundle_seq| {
        let request = UndoRequest { collection: collection.into(), key: key.into(), bundle_seq };
        async { code(&served.client.records().undo(request).await.unwrap_err()) }
    };
    assert_eq!(refusal("notes", "b", 0).await, "not_found");
    assert_eq!(refusal("notes", "a", 7).await, "not_found");
    assert_eq!(refusal("@conversation", "a", 0).await, "invalid_argument");
    // What it replaced leaves the log.
    served.client.admin().store_compact(StoreCompactRequest { dry_run: false }).await.unwrap();
    assert_eq!(refusal("notes", "a", 2).await, "not_found");
    let history = history(&served, "a", 0, "").await;
    assert_eq!((history.changes.len(), history.compacted_up_to), (1, 1));
    assert_eq!(title(&served).await, Some("two".into()));
    served.stop().await;
}

#[tokio::test]
async fn records_are_found_by_what_they_show_in_a_field_page_by_page() {
    let served = Served::first("laptop").await;
    let ops = (0..100_i64).map(|n| numbered(&format!("k{:03}", 99 - n), n / 2));
    served.push(ops.collect()).await;
    let condition = FieldCondition { at_least: number(10), below: number(20), ..of("n") };
    assert_eq!(found(&served, condition.clone()).await.len(), 20);
    let one = FieldCondition { equals: number(7), ..of("n") };
    assert_eq!(found(&served, one.clone()).await, ["k084", "k085"]);
    // The index follows every kind of change.
    served.push(vec![numbered("k000", 7), delete("notes", "k084"), numbered("new", 7)]).await;
    assert_eq!(found(&served, one.clone()).await, ["k000", "k085", "new"]);
    undo_of(&served, "k084").await;
    let served = served.restart().await;
    assert_eq!(found(&served, one).await, ["k000", "k084", "k085", "new"]);
    assert_eq!(found(&served, condition).await.len(), 20);
    served.stop().await;
}

#[tokio::test]
async fn moments_are_found_as_moments_and_long_texts_by_all_of_them() {
    let served = Served::first("laptop").await;
    let at = |text: &str| Kind::Timestamp(text.into());
    let long = |end: &str| Kind::String(format!("{}{end}", "x".repeat(300)));
    let write = |key: &str, kind| field("notes", key, "f", kind);
    served
        .push(vec![
            write("a", at("2024-01-01T12:00:00Z")),
            write("b", at("2024-01-01T13:00:00.0+01:00")),
            write("c", at("2024-01-01T13:00:00Z")),
            write("d", long("1")),
            write("e", long("2")),
            write("f", Kind::String("2024-01-01T12:00:00Z".into())),
            write("g", Kind::Json("{}".into())),
        ])
        .await;
    let value = |kind| Some(v1::Value { kind: Some(kind) });
    let equals = |kind| FieldCondition { equals: value(kind), ..of("f") };
    assert_eq!(found(&served, equals(at("2024-01-01T14:00:00+02:00"))).await, ["a", "b"]);
    assert_eq!(found(&served, equals(long("2"))).await, ["e"]);
    let later = FieldCondition { above: value(at("2024-01-01T12:00:00Z")), ..of("f") };
    assert_eq!(found(&served, later).await, ["c"]);
    let begin = FieldCondition { begins_with: Some("xx".into()), ..of("f") };
    assert_eq!(found(&served, begin).await, ["d", "e"]);
    served.stop().await;
}

#[tokio::test]
async fn a_collection_is_looked_up_by_so_many_fields_and_no_more() {
    let served = Served::first("laptop").await;
    served.push(vec![put("notes", "a", "x")]).await;
    for n in 0..crate::store::MAX_INDEXED {
        assert_eq!(found(&served, FieldCondition { equals: number(1), ..of(&n.to_string()) }).await, [""; 0]);
    }
    let request = ListRequest {
        collection: "notes".into(),
        condition: Some(FieldCondition { equals: number(1), ..of("one more") }),
        ..ListRequest::default()
    };
    assert_eq!(code(&served.client.records().list(request.clone()).await.unwrap_err()), "too_large");
    let both = ListRequest { prefix: "a".into(), ..request };
    assert_eq!(code(&served.client.records().list(both).await.unwrap_err()), "invalid_argument");
    served.stop().await;
}

fn text(text: &str) -> Option<Kind> {
    Some(Kind::String(text.into()))
}

fn number(number: i64) -> Option<v1::Value> {
    Some(v1::Value { kind: Some(Kind::Int(number)) })
}

fn of(field: &str) -> FieldCondition {
    FieldCondition { field: field.into(), ..FieldCondition::default() }
}

fn field(collection: &str, key: &str, name: &str, kind: Kind) -> op::Op {
    let fields = [(name.to_owned(), v1::Value { kind: Some(kind) })].into();
    op::Op::PutRecord(v1::PutRecord { collection: collection.into(), key: key.into(), fields, ..Default::default() })
}

fn numbered(key: &str, number: i64) -> op::Op {
    field("notes", key, "n", Kind::Int(number))
}

async fn history(served: &Served, key: &str, page_size: u32, page_token: &str) -> HistoryResponse {
    let (collection, key, page_token) = ("notes".into(), key.into(), page_token.into());
    let request = HistoryRequest { collection, key, page_size, page_token };
    served.client.records().history(request).await.unwrap().into_inner()
}

async fn undo(served: &Served, bundle_seq: u64) -> UndoResponse {
    let request = UndoRequest { collection: "notes".into(), key: "a".into(), bundle_seq };
    served.client.records().undo(request).await.unwrap().into_inner()
}

async fn undo_of(served: &Served, key: &str) {
    let request = UndoRequest { collection: "notes".into(), key: key.into(), bundle_seq: 0 };
    served.client.records().undo(request).await.unwrap();
}

async fn title(served: &Served) -> Option<String> {
    let request = GetRequest { collection: "notes".into(), key: "a".into() };
    let record = served.client.records().get(request).await.ok()?.into_inner().record?;
    let Some(Kind::String(text)) = record.fields.get("title")?.kind.clone() else { panic!("{record:?}") };
    Some(text)
}

/// The keys that meet a condition, asked for in pages of three.
async fn found(served: &Served, condition: FieldCondition) -> Vec<String> {
    let mut keys = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListRequest {
            collection: "notes".into(),
            condition: Some(condition.clone()),
            page_size: 3,
            page_token,
            ..ListRequest::default()
        };
        let page = served.client.records().list(request).await.unwrap().into_inner();
        keys.extend(page.records.into_iter().map(|record| record.key));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return keys;
        }
    }
}
