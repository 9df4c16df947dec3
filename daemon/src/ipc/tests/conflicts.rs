//! Conflicts between two devices: listed, shown, followed, resolved.

use ipc_proto::v1::resolve_conflict_request::Resolution;
use ipc_proto::v1::value::Kind;
use ipc_proto::v1::watch_conflicts_response::Event;
use ipc_proto::v1::{
    Conflict, ConflictPolicy, GetConflictRequest, GetPolicyRequest, GetRequest, GetStatusRequest, ListConflictsRequest,
    MergedRecord, ResolveConflictRequest, SetPolicyRequest, Side, SyncMode, WatchConflictsRequest,
    WatchConflictsResponse,
};
use tonic::Streaming;

use super::syncing::{choose, pair};
use super::*;

#[tokio::test]
async fn a_conflict_is_told_on_both_devices_and_closed_on_both_when_one_resolves_it() {
    let (first, second) = pair().await;
    let (mut here, mut there) = (watch(&first).await, watch(&second).await);
    disagree(&first, &second).await;
    let (one, two) = (opened(&mut here).await, opened(&mut there).await);
    for conflict in [&one, &two] {
        let [field] = conflict.fields.as_slice() else { panic!("{conflict:?}") };
        assert_eq!((field.field.as_str(), field.existence, field.versions.len()), ("title", false, 2));
        let own = field.versions.iter().find(|version| version.mine).unwrap();
        let mine = if conflict == &one { "one" } else { "two" };
        assert_eq!(own.value.as_ref().and_then(|value| value.kind.clone()), Some(Kind::String(mine.into())));
        assert!(field.versions[0].shown && !field.versions[1].shown, "the latest first");
    }
    let listed = second.client.records().list_conflicts(ListConflictsRequest::default()).await.unwrap().into_inner();
    assert_eq!(listed.conflicts, std::slice::from_ref(&two));
    assert_eq!(second.client.admin().get_status(GetStatusRequest {}).await.unwrap().into_inner().conflicts, 1);

    resolve(&second, &two, Resolution::Take(Side::Theirs.into())).await.unwrap();
    for stream in [&mut here, &mut there] {
        let closed = loop {
            if let Event::Closed(name) = next(stream).await {
                break name;
            }
        };
        assert_eq!((closed.collection.as_str(), closed.key.as_str()), ("notes", "a"));
    }
    for served in [&first, &second] {
        let get = GetRequest { collection: "notes".into(), key: "a".into() };
        let record = served.client.records().get(get).await.unwrap().into_inner().record.unwrap();
        assert_eq!(record.fields["title"].kind, Some(Kind::String("one".into())));
        let gone = GetConflictRequest { collection: "notes".into(), key: "a".into() };
        assert_eq!(code(&served.client.records().get_conflict(gone).await.unwrap_err()), "not_found");
    }
    first.stop().await;
    second.stop().await;
}

#[tokio::test]
async fn what_settles_nothing_is_refused_and_changes_nothing() {
    let (first, second) = pair().await;
    let mut stream = watch(&first).await;
    disagree(&first, &second).await;
    let conflict = opened(&mut stream).await;
    let merged = |fields: Vec<(&str, &str)>, clear: &[&str]| {
        let value = |text: &str| v1::Value { kind: Some(Kind::String(text.into())) };
        let fields = fields.into_iter().map(|(name, text)| (name.to_owned(), value(text))).collect();
        Resolution::Merged(MergedRecord { fields, clear_fields: clear.iter().map(|name| (*name).to_owned()).collect() })
    };
    let hostile = [
        Resolution::Take(0),
        Resolution::Take(77),
        Resolution::DeviceId("nobody".into()),
        Resolution::DeviceId("00".repeat(16)),
        Resolution::Delete(false),
        merged(vec![], &[]),
        merged(vec![("title", "x")], &["title"]),
    ];
    for resolution in hostile {
        let refused = resolve(&first, &conflict, resolution.clone()).await.unwrap_err();
        assert_eq!(code(&refused), "invalid_argument", "{resolution:?}");
    }
    let stale = Conflict { row_version: 1, ..conflict.clone() };
    let refused = resolve(&first, &stale, Resolution::Take(Side::Mine.into())).await.unwrap_err();
    assert_eq!(code(&refused), "conflict");
    let get = GetConflictRequest { collection: "notes".into(), key: "a".into() };
    let now = first.client.records().get_conflict(get).await.unwrap().into_inner().conflict.unwrap();
    assert_eq!((now.row_version, now.fields.len()), (conflict.row_version, 1));
    assert!(now.fields[0].base.is_some(), "both had seen the first title");
    resolve(&first, &conflict, merged(vec![("title", "both")], &[])).await.unwrap();
    first.stop().await;
    second.stop().await;
}

#[tokio::test]
async fn a_policy_takes_conflicts_off_the_list_and_back() {
    let (first, second) = pair().await;
    let mut stream = watch(&first).await;
    disagree(&first, &second).await;
    opened(&mut stream).await;
    let mut records = first.client.records();
    let set = |policy: ConflictPolicy| SetPolicyRequest { collection: "notes".into(), policy: policy.into() };
    records.set_policy(set(ConflictPolicy::Lww)).await.unwrap();
    loop {
        if let Event::Closed(name) = next(&mut stream).await {
            assert_eq!(name.key, "a");
            break;
        }
    }
    let status = first.client.admin().get_status(GetStatusRequest {}).await.unwrap().into_inner();
    assert_eq!((status.conflicts, status.conflicts_settled), (0, 1));
    let get = GetPolicyRequest { collection: "notes".into() };
    assert_eq!(records.get_policy(get).await.unwrap().into_inner().policy(), ConflictPolicy::Lww);
    records.set_policy(set(ConflictPolicy::Keep)).await.unwrap();
    assert_eq!(opened(&mut stream).await.key, "a");
    assert_eq!(code(&records.set_policy(set(ConflictPolicy::Unspecified)).await.unwrap_err()), "invalid_argument");
    first.stop().await;
    second.stop().await;
}

/// Both have a note, and give it another title while they hear nothing of each other.
async fn disagree(first: &Served, second: &Served) {
    let seen = first.push(vec![put("notes", "a", "before")]).await;
    let mut order = second
        .client
        .records()
        .watch(v1::WatchRequest { after_bundle_seq: Some(0), ..v1::WatchRequest::default() })
        .await
        .unwrap()
        .into_inner();
    loop {
        let event = order.message().await.unwrap().unwrap().event;
        if matches!(event, Some(v1::watch_response::Event::Bundle(bundle)) if bundle.source_id == seen.source_id) {
            break;
        }
    }
    for served in [first, second] {
        choose(served, SyncMode::Off).await;
    }
    first.push(vec![put("notes", "a", "one")]).await;
    second.push(vec![put("notes", "a", "two")]).await;
    for served in [first, second] {
        choose(served, SyncMode::Realtime).await;
    }
}

async fn watch(served: &Served) -> Streaming<WatchConflictsResponse> {
    let request = WatchConflictsRequest { collection: "notes".into() };
    served.client.records().watch_conflicts(request).await.unwrap().into_inner()
}

async fn next(stream: &mut Streaming<WatchConflictsResponse>) -> Event {
    stream.message().await.unwrap().unwrap().event.unwrap()
}

/// The next conflict that is told of.
async fn opened(stream: &mut Streaming<WatchConflictsResponse>) -> Conflict {
    loop {
        if let Event::Conflict(conflict) = next(stream).await {
            return conflict;
        }
    }
}

async fn resolve(served: &Served, conflict: &Conflict, resolution: Resolution) -> Result<(), Status> {
    let request = ResolveConflictRequest {
        collection: conflict.collection.clone(),
        key: conflict.key.clone(),
        row_version: conflict.row_version,
        resolution: Some(resolution),
    };
    served.client.records().resolve_conflict(request).await.map(drop)
}
