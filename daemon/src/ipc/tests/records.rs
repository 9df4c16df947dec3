use ipc_proto::v1::error_detail::Payload;
use ipc_proto::v1::{
    ChangeKind, GetRequest, LimitExceeded, ListRequest, MessageDiffers, PushRequest, RowConflict, SequenceExpected,
    StampStands,
};

use super::*;

#[tokio::test]
async fn what_is_pushed_can_be_read_and_outlives_the_daemon() {
    let served = Served::first("laptop").await;
    let pushed = served.push(vec![put("notes", "a", "one"), put("notes", "b", "two"), post("c", "m", "hi")]).await;
    assert_eq!((pushed.seq, pushed.bundle_seq, pushed.already_committed), (1, 1, false));
    assert!(pushed.results.iter().all(|result| !result.no_op));
    assert_eq!(pushed.results[2].message_id, "m");

    let served = served.restart().await;
    let get = GetRequest { collection: "notes".into(), key: "b".into() };
    let record = served.client.records().get(get.clone()).await.unwrap().into_inner().record.unwrap();
    assert_eq!((record.key.as_str(), record.row_version), ("b", 1));
    assert_eq!(record.fields["title"].kind, Some(v1::value::Kind::String("two".into())));

    let again = served.push(vec![delete("notes", "b"), delete("notes", "nothing")]).await;
    assert_eq!((again.seq, again.bundle_seq), (2, 2));
    assert_eq!(again.results.iter().map(|result| result.no_op).collect::<Vec<_>>(), [false, true]);
    let gone = served.client.records().get(get).await.unwrap_err();
    assert_eq!(code(&gone), "not_found");
    served.stop().await;
}

#[tokio::test]
async fn a_refused_op_refuses_the_whole_push() {
    let served = Served::first("laptop").await;
    let unknown = op::Op::SetMessageStatus(v1::SetMessageStatus { id: "x".into(), status: 3, at_us: None });
    let refused = served.client.records().push(push(vec![put("notes", "a", "one"), unknown])).await.unwrap_err();
    assert_eq!((code(&refused).as_str(), detail(&refused).op_index), ("not_found", Some(1)));
    let get = GetRequest { collection: "notes".into(), key: "a".into() };
    assert_eq!(code(&served.client.records().get(get).await.unwrap_err()), "not_found");
    served.stop().await;
}

#[tokio::test]
async fn a_named_bundle_is_committed_once_and_only_in_its_turn() {
    let served = Served::first("laptop").await;
    let named = |id, text: &str| PushRequest {
        source_id: "bridge".into(),
        source_bundle_id: id,
        ..push(vec![post("c", "", text)])
    };
    let mut records = served.client.records();
    let first = records.push(named(1, "hello")).await.unwrap().into_inner();
    let retried = records.push(named(1, "hello")).await.unwrap().into_inner();
    assert!(retried.already_committed && !first.already_committed);
    assert_eq!((first.seq, first.bundle_seq), (retried.seq, retried.bundle_seq));
    assert_eq!(first.results[0].message_id, retried.results[0].message_id);

    assert_eq!(code(&records.push(named(1, "bye")).await.unwrap_err()), "bundle_differs");
    let ahead = records.push(named(3, "later")).await.unwrap_err();
    let expected = SequenceExpected { source_id: "bridge".into(), expected: 2, actual: 3 };
    assert_eq!(detail(&ahead).payload, Some(Payload::Sequence(expected)));
    assert_eq!(records.push(named(2, "later")).await.unwrap().into_inner().seq, 2);
    served.stop().await;
}

#[tokio::test]
async fn a_retry_is_answered_as_the_first_time_also_after_a_restart() {
    let served = Served::first("laptop").await;
    served.push(vec![post("c", "known", "hi")]).await;
    let ops = || vec![put("notes", "a", "one"), post("c", "known", "hi"), delete("notes", "nothing")];
    let named = || PushRequest { source_id: "app".into(), source_bundle_id: 1, ..push(ops()) };
    let first = served.client.records().push(named()).await.unwrap().into_inner();
    assert_eq!(first.results.iter().map(|result| result.no_op).collect::<Vec<_>>(), [false, true, true]);
    // What is there now would give other answers.
    served.push(vec![put("notes", "a", "two"), put("notes", "nothing", "x")]).await;
    let served = served.restart().await;
    let again = served.client.records().push(named()).await.unwrap().into_inner();
    assert_eq!(again, v1::PushResponse { already_committed: true, ..first });
    served.stop().await;
}

#[tokio::test]
async fn a_push_on_a_version_that_is_not_there_any_more_is_refused_whole_with_the_first_record_that_changed() {
    let served = Served::first("laptop").await;
    let seen = served.push(vec![put("notes", "a", "one"), put("notes", "b", "one"), put("notes", "c", "one")]).await;
    let now = served.push(vec![put("notes", "b", "two"), put("notes", "c", "two")]).await;
    let at = seen.bundle_seq;
    let ops = vec![
        based(put("notes", "a", "mine"), at),
        based(put("notes", "b", "mine"), at),
        based(delete("notes", "c"), at),
    ];
    let refused = served.client.records().push(push(ops)).await.unwrap_err();
    assert_eq!((refused.code(), code(&refused).as_str()), (tonic::Code::Aborted, "conflict"));
    assert_eq!(detail(&refused).op_index, Some(1));
    let conflict = conflict(&refused);
    assert_eq!((conflict.collection.as_str(), conflict.key.as_str()), ("notes", "b"));
    assert_eq!((conflict.op(), conflict.deleted), (ChangeKind::RecordPut, false));
    assert_eq!((conflict.base_row_version, conflict.row_version), (at, now.bundle_seq));
    let current = conflict.current.unwrap();
    assert_eq!(current.fields["title"].kind, Some(v1::value::Kind::String("two".into())));
    let get = GetRequest { collection: "notes".into(), key: "a".into() };
    let a = served.client.records().get(get).await.unwrap().into_inner().record.unwrap();
    assert_eq!((a.row_version, current.row_version), (at, now.bundle_seq), "nothing of the push happened");

    let again = vec![based(put("notes", "b", "mine"), conflict.row_version)];
    assert_eq!(served.push(again).await.bundle_seq, now.bundle_seq + 1);
    served.stop().await;
}

#[tokio::test]
async fn an_insert_expects_nothing_and_a_deleted_record_is_told_from_one_that_never_was() {
    let served = Served::first("laptop").await;
    let refused = |op| async { conflict(&served.client.records().push(push(vec![op])).await.unwrap_err()) };
    served.push(vec![based(put("notes", "a", "one"), 0)]).await;
    let taken = refused(based(put("notes", "a", "mine"), 0)).await;
    assert_eq!((taken.row_version, taken.deleted), (1, false));
    served.push(vec![based(delete("notes", "a"), 1)]).await;
    let gone = refused(based(put("notes", "a", "mine"), 1)).await;
    assert_eq!((gone.row_version, gone.deleted, gone.current), (2, true, None));
    let never = refused(based(delete("notes", "b"), 1)).await;
    assert_eq!((never.op(), never.row_version, never.deleted), (ChangeKind::RecordDelete, 0, false));
    // An insert over the tombstone, at its version.
    served.push(vec![based(put("notes", "a", "mine"), gone.row_version)]).await;
    served.stop().await;
}

#[tokio::test]
async fn a_large_record_is_left_out_of_its_conflict() {
    let served = Served::first("laptop").await;
    served.push(vec![put("notes", "a", &"x".repeat(100_000))]).await;
    let refused = served.client.records().push(push(vec![based(delete("notes", "a"), 0)])).await.unwrap_err();
    let conflict = conflict(&refused);
    assert_eq!((conflict.row_version, conflict.deleted, conflict.current), (1, false, None));
    served.stop().await;
}

#[tokio::test]
async fn a_stamp_that_runs_backwards_is_refused_with_the_stored_one_and_a_client_goes_beyond_it() {
    let served = Served::first("laptop").await;
    let stamped = |id, stamp| PushRequest {
        source_id: "bridge".into(),
        source_bundle_id: id,
        stamp: Some(stamp),
        ..push(vec![put("notes", "a", &id.to_string())])
    };
    let mut records = served.client.records();
    records.push(stamped(1, 7)).await.unwrap();
    for yours in [6, 7] {
        let refused = records.push(stamped(2, yours)).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::FailedPrecondition);
        let stands = StampStands { source_id: "bridge".into(), yours, stored_max: 7 };
        assert_eq!(detail(&refused).payload, Some(Payload::Stamp(stands)));
        assert_eq!(ipc_proto::Error::from(refused).exit_code(), 11);
    }
    assert!(records.push(stamped(1, 3)).await.unwrap().into_inner().already_committed, "a retry, whatever its stamp");
    let served = served.restart().await;
    let answer = served.client.push(stamped(2, 1), Duration::ZERO).await.unwrap();
    assert!(!answer.already_committed);
    let refused = served.client.records().push(stamped(3, 8)).await.unwrap_err();
    assert_eq!(code(&refused), "stamp_regression", "the client went to 8");
    served.client.records().push(stamped(3, 9)).await.unwrap();
    served.client.push(stamped(4, u64::MAX), Duration::ZERO).await.unwrap();
    let ended = served.client.push(stamped(5, 1), Duration::ZERO).await.unwrap_err();
    assert_eq!(ended.code(), "stamp_regression", "nothing is beyond it");
    served.stop().await;
}

fn based(mut op: op::Op, version: u64) -> op::Op {
    match &mut op {
        op::Op::PutRecord(put) => put.base_row_version = Some(version),
        op::Op::DeleteRecord(delete) => delete.base_row_version = Some(version),
        op::Op::PostMessage(_)
        | op::Op::SetMessageStatus(_)
        | op::Op::DeleteMessage(_)
        | op::Op::SetConversation(_)
        | op::Op::SetPolicy(_) => panic!("no record"),
    }
    op
}

fn conflict(refused: &Status) -> RowConflict {
    match detail(refused).payload {
        Some(Payload::Conflict(conflict)) => conflict,
        other => panic!("no conflict: {other:?}"),
    }
}

#[tokio::test]
async fn an_id_that_is_taken_is_refused_with_what_differs() {
    let served = Served::first("laptop").await;
    served.push(vec![post("c", "m", "hello")]).await;
    let same = served.push(vec![post("c", "m", "hello")]).await;
    assert_eq!((same.results[0].no_op, same.seq, same.bundle_seq), (true, 0, 0));
    let refused = served.client.records().push(push(vec![post("d", "m", "bye")])).await.unwrap_err();
    let differs = MessageDiffers { id: "m".into(), fields: vec!["conversation".into(), "text".into()] };
    assert_eq!(detail(&refused).payload, Some(Payload::MessageDiffers(differs)));
    served.stop().await;
}

#[tokio::test]
async fn pages_of_a_list_follow_each_other_in_the_order_of_keys() {
    let served = Served::first("laptop").await;
    let ops = (0..250).map(|n| put("notes", &format!("k{n:03}"), "x")).chain([put("notes", "other", "x")]);
    served.push(ops.collect()).await;
    let mut keys = Vec::new();
    let mut page_token = String::new();
    loop {
        let request =
            ListRequest { collection: "notes".into(), prefix: "k".into(), page_size: 40, page_token, condition: None };
        let page = served.client.records().list(request).await.unwrap().into_inner();
        assert!(page.records.len() <= 40);
        keys.extend(page.records.into_iter().map(|record| record.key));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(keys, (0..250).map(|n| format!("k{n:03}")).collect::<Vec<_>>());
    let foreign = ListRequest { page_token: "x".into(), ..ListRequest::default() };
    assert_eq!(code(&served.client.records().list(foreign).await.unwrap_err()), "invalid_argument");
    served.stop().await;
}

#[tokio::test]
async fn what_is_too_large_is_refused_with_both_numbers_and_the_connection_goes_on() {
    let served = Served::first("laptop").await;
    let of_size = |bytes: usize| push(vec![put("notes", "a", &"x".repeat(bytes))]);
    let bundle = served.client.records().push(of_size(1 << 20)).await.unwrap_err();
    let Some(Payload::Limit(LimitExceeded { limit, actual, .. })) = detail(&bundle).payload else {
        panic!("no limit in {bundle:?}")
    };
    assert!(code(&bundle) == "too_large" && actual > limit, "{actual} > {limit}");
    let unread = served.client.records().push(of_size(MAX_REQUEST_BYTES)).await.unwrap_err();
    assert_eq!(code(&unread), "too_large");
    served.push(vec![put("notes", "a", "small")]).await;
    served.stop().await;
}
