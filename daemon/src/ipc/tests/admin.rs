use ipc_proto::v1::{
    AddRelayRequest, Comparison, ExportRequest, GetRequest, GetStatusRequest, InitRequest, JoinRequest,
    ListDevicesRequest, ListRelaysRequest, PairConfirmRequest, PairShowRequest, RemoveRelayRequest,
    RenameDeviceRequest, SetupState, ShutdownRequest, StoreCompareRequest, StoreVerifyRequest, SyncNowRequest,
    TestRelayRequest, WatchStatusRequest, export_item::Item, join_event, pair_event,
};

use super::*;

#[tokio::test]
async fn a_daemon_without_a_device_says_so_and_can_become_one() {
    let served = Served::new().await;
    let info = served.client.get_info().await.unwrap();
    assert_eq!((info.setup(), info.device_id.as_str()), (SetupState::NotSetUp, ""));
    assert_eq!(info.pid, std::process::id());
    assert!(info.features.contains(&"relay.file".to_owned()));
    let get = GetRequest { collection: "notes".into(), key: "a".into() };
    let refused = served.client.records().get(get).await.unwrap_err();
    assert_eq!(code(&refused), "not_set_up");
    assert_eq!(ipc_proto::Error::from(refused).exit_code(), 4);
    assert_eq!(code(&served.client.admin().get_status(GetStatusRequest {}).await.unwrap_err()), "not_set_up");

    let init = InitRequest { device_name: "laptop".into(), ..InitRequest::default() };
    let made = served.client.admin().init(init.clone()).await.unwrap().into_inner();
    let device = made.device.unwrap();
    assert_eq!((device.name.as_str(), device.this_device, device.live), ("laptop", true, true));
    assert_eq!(made.keys.unwrap().provider, "file");
    let info = served.client.get_info().await.unwrap();
    assert_eq!((info.setup(), info.device_name.as_str()), (SetupState::Ready, "laptop"));
    assert_eq!(info.device_id, device.id);
    assert_eq!(code(&served.client.admin().init(init).await.unwrap_err()), "already_set_up");
    served.stop().await;
}

#[tokio::test]
async fn a_first_device_with_a_bad_relay_or_name_is_not_made() {
    let served = Served::new().await;
    let mut admin = served.client.admin();
    let away = InitRequest { relay_urls: vec![served.folder("no/such/parent")], ..InitRequest::default() };
    let bad = [
        (away, "relay_unreachable"),
        (InitRequest { relay_urls: vec!["gopher://x".into()], ..InitRequest::default() }, "relay_config"),
        (InitRequest { device_name: "x".repeat(65), ..InitRequest::default() }, "invalid_argument"),
        (InitRequest { key_store: 99, ..InitRequest::default() }, "invalid_argument"),
    ];
    for (request, expected) in bad {
        assert_eq!(code(&admin.init(request.clone()).await.unwrap_err()), expected, "{request:?}");
    }
    let served = served.restart().await;
    assert_eq!(served.client.info().setup(), SetupState::NotSetUp);
    let unnamed = served.client.admin().init(InitRequest::default()).await.unwrap().into_inner();
    assert!(!unnamed.device.unwrap().name.is_empty(), "named after the machine");
    served.stop().await;
}

#[tokio::test]
async fn a_device_can_be_renamed_by_name_or_id() {
    let served = Served::first("laptop").await;
    let mut admin = served.client.admin();
    let id = served.client.get_info().await.unwrap().device_id;
    for (called, name) in [("laptop", "desk"), (&id[..6], "attic"), (id.as_str(), "cellar")] {
        let request = RenameDeviceRequest { device: called.into(), name: name.into() };
        let renamed = admin.rename_device(request).await.unwrap().into_inner().device.unwrap();
        assert_eq!(renamed.name, name);
    }
    let unknown = RenameDeviceRequest { device: "nobody".into(), name: "x".into() };
    assert_eq!(code(&admin.rename_device(unknown).await.unwrap_err()), "not_found");
    let empty = RenameDeviceRequest { device: id, name: String::new() };
    assert_eq!(code(&admin.rename_device(empty).await.unwrap_err()), "invalid_argument");
    let listed = admin.list_devices(ListDevicesRequest {}).await.unwrap().into_inner().devices;
    assert_eq!(listed.iter().map(|device| device.name.as_str()).collect::<Vec<_>>(), ["cellar"]);
    served.stop().await;
}

#[tokio::test]
async fn a_relay_is_added_once_tested_and_removed() {
    let served = Served::first("laptop").await;
    let mut admin = served.client.admin();
    assert_eq!(code(&admin.sync_now(SyncNowRequest::default()).await.unwrap_err()), "no_relay");
    let url = served.folder("relay");
    let tested = admin.test_relay(TestRelayRequest { url: url.clone() }).await.unwrap().into_inner();
    assert!(!tested.relay.unwrap().ok && !served.home.path().join("relay").exists(), "a test creates nothing");

    let add = AddRelayRequest { url: url.clone() };
    let added = admin.add_relay(add.clone()).await.unwrap().into_inner();
    let relay = added.relay.unwrap();
    assert!(relay.ok && !added.already_there && relay.kind == "file" && relay.id.len() == 32);
    assert!(admin.add_relay(add).await.unwrap().into_inner().already_there);
    assert!(admin.test_relay(TestRelayRequest { url: url.clone() }).await.unwrap().into_inner().relay.unwrap().ok);
    assert_eq!(admin.list_relays(ListRelaysRequest {}).await.unwrap().into_inner().relays.len(), 1);
    let synced = admin.sync_now(SyncNowRequest::default()).await.unwrap().into_inner();
    assert!(synced.status.unwrap().synced);

    admin.remove_relay(RemoveRelayRequest { url: relay.id }).await.unwrap();
    assert!(admin.list_relays(ListRelaysRequest {}).await.unwrap().into_inner().relays.is_empty());
    assert_eq!(code(&admin.remove_relay(RemoveRelayRequest { url }).await.unwrap_err()), "not_found");
    let misspelled = AddRelayRequest { url: "not a url".into() };
    assert_eq!(code(&admin.add_relay(misspelled).await.unwrap_err()), "relay_config");
    served.stop().await;
}

#[tokio::test]
async fn two_devices_are_paired_and_come_to_hold_the_same() {
    let first = Served::first("laptop").await;
    let url = first.folder("relay");
    first.client.admin().add_relay(AddRelayRequest { url }).await.unwrap();
    first.push(vec![post("family", "m1", "from the laptop"), put("notes", "a", "one")]).await;

    let second = Served::new().await;
    let mut shown = first.client.admin().pair_show(PairShowRequest {}).await.unwrap().into_inner();
    let Some(pair_event::Event::Card(card)) = shown.message().await.unwrap().unwrap().event else {
        panic!("the card comes first")
    };
    let busy = first.client.admin().pair_show(PairShowRequest {}).await.unwrap_err();
    assert_eq!(code(&busy), "pairing_busy");
    let request = JoinRequest { card: card.uri, device_name: "tablet".into(), ..JoinRequest::default() };
    let mut joining = second.client.admin().join(request.clone()).await.unwrap().into_inner();
    let code = loop {
        match joining.message().await.unwrap().unwrap().event.unwrap() {
            join_event::Event::CheckCode(check) => break check.code,
            join_event::Event::CardAccepted(accepted) => assert_eq!(accepted.relay_urls.len(), 1),
            join_event::Event::Joined(_) => panic!("joined without a code"),
        }
    };
    // Who joins waits for a person; nobody else waits behind that.
    let mut twice = second.client.admin().join(request).await.unwrap().into_inner();
    assert_eq!(super::code(&twice.message().await.unwrap_err()), "pairing_busy");
    let begun = second.client.admin().init(InitRequest { device_name: "x".into(), ..InitRequest::default() }).await;
    assert_eq!(super::code(&begun.unwrap_err()), "pairing_busy");
    let wrong = PairConfirmRequest { code: if code == "000000" { "000001".into() } else { "000000".into() } };
    let refused = first.client.admin().pair_confirm(wrong).await.unwrap_err();
    assert_eq!(super::code(&refused), "wrong_code");
    let confirmed = first.client.admin().pair_confirm(PairConfirmRequest { code }).await.unwrap().into_inner();
    assert_eq!(confirmed.device.unwrap().name, "tablet");
    let Some(join_event::Event::Joined(done)) = joining.message().await.unwrap().unwrap().event else {
        panic!("joining ends with a device")
    };
    assert_eq!(done.siblings.iter().map(|device| device.name.as_str()).collect::<Vec<_>>(), ["laptop"]);
    assert_eq!(done.device.unwrap().name, "tablet");
    let last = loop {
        match shown.message().await.unwrap() {
            Some(event) => match event.event.unwrap() {
                pair_event::Event::Paired(paired) => break paired.device.unwrap().name,
                pair_event::Event::Failed(failed) => panic!("{failed:?}"),
                pair_event::Event::Card(_)
                | pair_event::Event::Waiting(_)
                | pair_event::Event::Answered(_)
                | pair_event::Event::CodeNeeded(_) => {}
            },
            None => panic!("showing a card ends with a device"),
        }
    };
    assert_eq!(last, "tablet");
    assert!(shown.message().await.unwrap().is_none());

    second.push(vec![post("family", "m2", "from the tablet")]).await;
    for served in [&first, &second] {
        synced_with(served, 2).await;
    }
    let compared = first.client.admin().store_compare(StoreCompareRequest { device: "tablet".into() }).await;
    let compared = compared.unwrap().into_inner();
    assert_eq!(compared.devices[0].result(), Comparison::Equal);
    assert_eq!(exported(&first).await, exported(&second).await);
    assert_eq!(exported(&first).await, ["family/m1", "family/m2", "notes/a"]);
    first.stop().await;
    second.stop().await;
}

#[tokio::test]
async fn a_card_that_is_none_changes_nothing() {
    let served = Served::new().await;
    for card in ["", "kinfolk:garbage", "hello"] {
        let request = JoinRequest { card: card.into(), ..JoinRequest::default() };
        let mut joining = served.client.admin().join(request).await.unwrap().into_inner();
        assert_eq!(code(&joining.message().await.unwrap_err()), "bad_card");
    }
    assert_eq!(served.client.get_info().await.unwrap().setup(), SetupState::NotSetUp);
    let first = Served::first("laptop").await;
    let none = first.client.admin().pair_confirm(PairConfirmRequest { code: "123456".into() }).await.unwrap_err();
    assert_eq!(code(&none), "no_pairing");
    let lonely = first.client.admin().pair_show(PairShowRequest {}).await.unwrap_err();
    assert_eq!(code(&lonely), "no_relay");
    let again = first.client.admin().join(JoinRequest::default()).await.unwrap_err();
    assert_eq!(code(&again), "already_set_up");
    served.stop().await;
    first.stop().await;
}

#[tokio::test]
async fn the_status_follows_what_is_written() {
    let served = Served::first("laptop").await;
    let mut statuses = served.client.admin().watch_status(WatchStatusRequest {}).await.unwrap().into_inner();
    let before = statuses.message().await.unwrap().unwrap();
    assert_eq!((before.bundle_seq, before.synced), (0, true));
    served.push(vec![put("notes", "a", "x")]).await;
    let after = statuses.message().await.unwrap().unwrap();
    assert_eq!(after.bundle_seq, 1);
    assert_ne!(after.digest, before.digest);
    assert!(after.attention.is_empty(), "{:?}", after.attention);
    served.stop().await;
}

#[tokio::test]
async fn the_store_is_proven_and_exported_in_order() {
    let served = Served::first("laptop").await;
    served.push((0..50).map(|n| put("notes", &format!("{n:02}"), "x")).collect()).await;
    served.push((0..50).rev().map(|n| post("c", &format!("{n:02}"), "x")).collect()).await;
    let proof = served.client.admin().store_verify(StoreVerifyRequest {}).await.unwrap().into_inner();
    assert!(proof.ok, "{:?}", proof.problems);
    assert_eq!((proof.bundles, proof.ops), (2, 100));
    assert_eq!(proof.digest, proof.rebuilt_digest);
    let messages = (0..50).map(|n| format!("c/{n:02}"));
    let expected: Vec<String> = messages.chain((0..50).map(|n| format!("notes/{n:02}"))).collect();
    assert_eq!(exported(&served).await, expected);
    served.stop().await;
}

#[tokio::test]
async fn exports_that_nobody_takes_do_not_hold_up_pages() {
    let served = Served::first("laptop").await;
    let large = "x".repeat(900_000);
    for n in 0..20 {
        served.push(vec![put("notes", &format!("{n:02}"), &large)]).await;
    }
    let mut stalled = Vec::new();
    for _ in 0..MAX_LONG_READS {
        stalled.push(served.client.admin().export(ExportRequest {}).await.unwrap().into_inner());
    }
    let client = &served.client;
    assert_eq!(code(&client.admin().export(ExportRequest {}).await.unwrap_err()), "busy");
    assert_eq!(code(&client.admin().store_verify(StoreVerifyRequest {}).await.unwrap_err()), "busy");
    let get = GetRequest { collection: "notes".into(), key: "07".into() };
    assert!(client.records().get(get).await.is_ok());
    drop(stalled);
    // They notice, and the next one gets leave.
    while client.admin().store_verify(StoreVerifyRequest {}).await.is_err() {
        tokio::task::yield_now().await;
    }
    served.stop().await;
}

#[tokio::test]
async fn garbage_on_the_socket_ends_its_own_connection_only() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let served = Served::first("laptop").await;
    for garbage in
        [&b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..], &[0xFF; 4096], &b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\xFF"[..]]
    {
        let mut raw = tokio::net::UnixStream::connect(served.client.address()).await.unwrap();
        raw.write_all(garbage).await.unwrap();
        raw.shutdown().await.unwrap();
        // Whatever it answers, it ends the connection.
        raw.read_to_end(&mut Vec::new()).await.ok();
    }
    served.push(vec![put("notes", "a", "x")]).await;
    served.stop().await;
}

#[tokio::test]
async fn asking_it_to_stop_answers_and_then_stops() {
    let served = Served::first("laptop").await;
    served.client.admin().shutdown(ShutdownRequest {}).await.unwrap();
    served.serving.await.unwrap().unwrap();
    assert!(!served.client.address().exists());
}

async fn synced_with(served: &Served, messages: usize) {
    let mut statuses = served.client.admin().watch_status(WatchStatusRequest {}).await.unwrap().into_inner();
    loop {
        let status = statuses.message().await.unwrap().unwrap();
        let here = exported(served).await.iter().filter(|name| name.starts_with("family/")).count();
        if status.synced && here == messages {
            return;
        }
    }
}

async fn exported(served: &Served) -> Vec<String> {
    let mut stream = served.client.admin().export(ExportRequest {}).await.unwrap().into_inner();
    let mut names = Vec::new();
    while let Some(reply) = stream.message().await.unwrap() {
        names.extend(reply.items.into_iter().map(|item| match item.item.unwrap() {
            Item::Message(message) => format!("{}/{}", message.conversation, message.id),
            Item::Record(record) => format!("{}/{}", record.collection, record.key),
            Item::Conversation(set) => format!("conversation {}", set.name),
            Item::Policy(set) => format!("policy {}", set.collection),
        }));
    }
    names
}
