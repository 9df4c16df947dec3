//! What was set aside, and where two devices differ.

use std::path::PathBuf;

use bytes::Bytes;
use ipc_proto::v1::{
    AddRelayRequest, ChangeKind, Comparison, DropQuarantineRequest, ExplainRequest, ExplainResponse, ExplainedKind,
    GetStatusRequest, JoinRequest, ListQuarantineRequest, PairConfirmRequest, PairShowRequest, QuarantineKind,
    RetryQuarantineRequest, StoreCompareRequest, StoreVerifyRequest, SyncNowRequest, join_event, pair_event,
};
use kinfolk_core::ids::RelayId;
use kinfolk_core::step::{Delivery, Input};

use super::*;
use crate::relay::worker;

#[tokio::test]
async fn what_was_set_aside_can_be_shown_tried_again_and_taken_out_of_sight() {
    let (first, second) = (Served::first("laptop").await, Served::new().await);
    pair(&first, &second).await;
    let (credentials, roster) = (node(&second).credentials.clone(), node(&second).driver.roster().borrow().clone());
    let home = second.stop().await;
    first.push(vec![put("notes", "a", "late")]).await;
    let mail = first.home.path().join("relay/mail");
    let brings =
        |sealed: &Bytes| worker::reopen(sealed, &credentials, &roster).is_ok_and(|parcel| !parcel.runs.is_empty());
    let sealed = loop {
        first.client.admin().sync_now(SyncNowRequest::default()).await.unwrap();
        if let Some(sealed) = sealed_files(&mail).into_iter().map(|(_, sealed)| sealed).find(brings) {
            break sealed;
        }
    };
    let _gone = first.stop().await;
    sealed_files(&mail).iter().for_each(|(path, _)| std::fs::remove_file(path).unwrap());

    let second = Served::in_home(home).await;
    let driver = &node(&second).driver;
    for bytes in [sealed, Bytes::from_static(b"garbage")] {
        let delivery = Delivery { relay: RelayId::default(), ticket: 0 };
        driver.tell(Input::Unopenable { delivery, reason: "no key for it yet".into(), bytes }).await.unwrap();
    }
    driver.keep(|_| Ok(())).await.unwrap();
    let mut admin = second.client.admin();
    let listed = admin.list_quarantine(ListQuarantineRequest { after: 0 }).await.unwrap().into_inner();
    assert_eq!(listed.ever, 2);
    let [late, garbage] = listed.items.as_slice() else { panic!("{listed:?}") };
    assert_eq!(
        (late.kind(), late.retryable, late.reason.as_str()),
        (QuarantineKind::Envelope, true, "no key for it yet")
    );
    assert_eq!(admin.get_status(GetStatusRequest {}).await.unwrap().into_inner().quarantine, 2);

    let tried = admin.retry_quarantine(RetryQuarantineRequest { ids: vec![] }).await.unwrap().into_inner().items;
    assert_eq!(
        tried.iter().map(|item| (item.id, item.used)).collect::<Vec<_>>(),
        [(late.id, true), (garbage.id, false)]
    );
    assert!(!tried[1].reason.is_empty());
    let get = v1::GetRequest { collection: "notes".into(), key: "a".into() };
    assert!(second.client.records().get(get).await.is_ok(), "what the envelope brought is here");
    let left = admin.list_quarantine(ListQuarantineRequest { after: 0 }).await.unwrap().into_inner().items;
    assert_eq!(left.iter().map(|item| item.id).collect::<Vec<_>>(), [garbage.id]);

    let again = RetryQuarantineRequest { ids: vec![late.id] };
    assert_eq!(code(&admin.retry_quarantine(again).await.unwrap_err()), "not_found");
    let dropped = admin.drop_quarantine(DropQuarantineRequest { ids: vec![garbage.id] }).await.unwrap().into_inner();
    assert_eq!(dropped.dropped, 1);
    assert_eq!(admin.get_status(GetStatusRequest {}).await.unwrap().into_inner().quarantine, 0);
    let none = DropQuarantineRequest { ids: vec![garbage.id] };
    assert_eq!(code(&admin.drop_quarantine(none).await.unwrap_err()), "not_found");
    second.stop().await;
}

#[tokio::test]
async fn a_comparison_names_the_collection_that_was_tampered_with() {
    let (first, second) = (Served::first("laptop").await, Served::new().await);
    pair(&first, &second).await;
    first.push(vec![put("alike", "a", "x"), put("notes", "a", "x"), post("family", "m1", "x")]).await;
    let compared = |served: &Served| {
        let mut admin = served.client.admin();
        async move {
            admin.sync_now(SyncNowRequest::default()).await.unwrap();
            let compared = admin.store_compare(StoreCompareRequest::default()).await.unwrap().into_inner();
            compared.devices.into_iter().next().unwrap()
        }
    };
    while compared(&first).await.result() != Comparison::Equal {}

    let tampering = "UPDATE write SET value = x'2a0179' WHERE field = 'title'
                       AND row = (SELECT r.idx FROM row r JOIN collection c ON c.idx = r.collection WHERE c.name = 'notes');
                     UPDATE collection SET sum = (SELECT sum FROM collection WHERE name = 'alike') WHERE name = 'notes'";
    let tamper = |store: &mut crate::store::Store| {
        store.meddle(tampering);
        Ok(())
    };
    node(&second).driver.keep(tamper).await.unwrap();
    let second = second.restart().await;
    let different = loop {
        let device = compared(&first).await;
        if !device.first_difference.is_empty() {
            break device;
        }
    };
    assert_eq!((different.result(), different.first_difference.as_str()), (Comparison::Different, "notes"));
    let proof = second.client.admin().store_verify(StoreVerifyRequest {}).await.unwrap().into_inner();
    assert!(
        proof.problems.contains(&"fields: notes/a/title is not what the log gives".to_owned()),
        "{:?}",
        proof.problems
    );
    first.stop().await;
    second.stop().await;
}

#[tokio::test]
async fn the_way_of_an_event_is_told_on_both_sides() {
    let (first, second) = (Served::first("laptop").await, Served::new().await);
    pair(&first, &second).await;
    first.push(vec![post("family", "m1", "x"), put("notes", "a", "x")]).await;
    let there = loop {
        first.client.admin().sync_now(SyncNowRequest::default()).await.unwrap();
        let story = explain(&first, "m1").await.unwrap();
        if story.bundles[0].receipts.iter().any(|receipt| receipt.holds) {
            break story;
        }
    };
    let way = &there.bundles[0];
    let author = way.author.clone().unwrap();
    assert_eq!((there.kind(), there.bundles.len()), (ExplainedKind::Message, 1));
    assert_eq!((author.name.as_str(), author.this_device, way.bundle_seq), ("laptop", true, 1));
    assert_eq!(way.changes().collect::<Vec<_>>(), [ChangeKind::MessagePost]);
    let posted = way.posted.first().unwrap();
    assert_eq!(posted.relay, first.folder("relay"));
    assert_eq!(posted.device.clone().unwrap().name, "tablet");
    assert!(way.receipts[0].at_ms.is_some() && way.received.is_empty());

    let here = explain(&second, "notes/a").await.unwrap();
    let way = &here.bundles[0];
    assert_eq!((here.kind(), here.collection.as_str(), here.key.as_str()), (ExplainedKind::Record, "notes", "a"));
    assert_eq!(way.changes().collect::<Vec<_>>(), [ChangeKind::RecordPut]);
    let brought = way.received.first().unwrap();
    assert_eq!(brought.device.clone().unwrap().name, "laptop");
    assert!(way.committed_at_ms.is_some() && way.posted.is_empty());

    let bundle = explain(&second, &format!("{}:{}", way.source_id, way.seq)).await.unwrap();
    assert_eq!((bundle.kind(), bundle.bundles[0].changes.len()), (ExplainedKind::Bundle, 2));
    for unknown in ["m2", "notes/b", &format!("{}:99", way.source_id)] {
        assert_eq!(code(&explain(&second, unknown).await.unwrap_err()), "not_found");
    }
    let first = first.restart().await;
    let later = explain(&first, "m1").await.unwrap();
    // What is known of the way since the start lives in memory; what is not known to lie on a relay may be posted again after it.
    let since = later.known_since_ms;
    assert!(since >= there.known_since_ms && later.bundles[0].posted.iter().all(|posted| posted.at_ms >= since));
    first.stop().await;
    second.stop().await;
}

async fn explain(served: &Served, id: &str) -> Result<ExplainResponse, Status> {
    let explained = served.client.admin().explain(ExplainRequest { id: id.into() }).await;
    explained.map(tonic::Response::into_inner)
}

fn node(served: &Served) -> Arc<Node> {
    match served.daemon.setup() {
        Setup::Ready(node) => node,
        Setup::NotSetUp | Setup::Locked(_) => panic!("there is no device"),
    }
}

/// Makes `second` a sibling of `first`, over a folder in the home of `first`.
async fn pair(first: &Served, second: &Served) {
    first.client.admin().add_relay(AddRelayRequest { url: first.folder("relay") }).await.unwrap();
    let mut shown = first.client.admin().pair_show(PairShowRequest {}).await.unwrap().into_inner();
    let Some(pair_event::Event::Card(card)) = shown.message().await.unwrap().unwrap().event else {
        panic!("the card comes first")
    };
    let request = JoinRequest { card: card.uri, device_name: "tablet".into(), ..JoinRequest::default() };
    let mut joining = second.client.admin().join(request).await.unwrap().into_inner();
    while let Some(event) = joining.message().await.unwrap() {
        if let Some(join_event::Event::CheckCode(check)) = event.event {
            first.client.admin().pair_confirm(PairConfirmRequest { code: check.code }).await.unwrap();
        }
    }
    while shown.message().await.unwrap().is_some() {}
}

/// The envelopes in a folder: what follows the header of each file.
fn sealed_files(dir: &Path) -> Vec<(PathBuf, Bytes)> {
    let header = b"kinfolk".len() + 1 + 8 + 16 + 32;
    let boxes = std::fs::read_dir(dir).unwrap().flat_map(|first| std::fs::read_dir(first.unwrap().path()).unwrap());
    let files = boxes.flat_map(|mailbox| std::fs::read_dir(mailbox.unwrap().path()).unwrap());
    let mail = files.map(|file| file.unwrap().path()).filter(|path| path.extension().is_some_and(|end| end == "mail"));
    mail.map(|path| (path.clone(), Bytes::from(std::fs::read(&path).unwrap().split_off(header)))).collect()
}
