//! Modes, passes, trials, and when all is in sync.

use ipc_proto::v1::{
    AddRelayRequest, GetStatusRequest, JoinRequest, ListRelaysRequest, PairConfirmRequest, PairShowRequest, RelayFault,
    SetSyncModeRequest, SyncMode, SyncNowRequest, SyncPart, TestRelayRequest, WatchStatusRequest, join_event,
    pair_event,
};

use super::*;

/// Two devices that share a folder and have told each other everything.
pub(super) async fn pair() -> (Served, Served) {
    let (first, second) = (Served::first("laptop").await, Served::new().await);
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
    for _ in 0..2 {
        for served in [&first, &second] {
            pass(served, SyncPart::Unspecified).await;
        }
    }
    (first, second)
}

async fn pass(served: &Served, part: SyncPart) -> v1::SyncNowResponse {
    let request = SyncNowRequest { part: part.into() };
    served.client.admin().sync_now(request).await.unwrap().into_inner()
}

pub(super) async fn choose(served: &Served, mode: SyncMode) -> v1::Status {
    let request = SetSyncModeRequest { mode: mode.into(), every_ms: None };
    served.client.admin().set_sync_mode(request).await.unwrap().into_inner().status.unwrap()
}

#[tokio::test]
async fn a_device_is_in_sync_when_the_one_that_is_behind_has_said_so() {
    let (first, second) = pair().await;
    choose(&second, SyncMode::Manual).await;
    let mut statuses = first.client.admin().watch_status(WatchStatusRequest {}).await.unwrap().into_inner();
    assert!(statuses.message().await.unwrap().unwrap().synced, "who is in sync already hears it at once");
    first.push(vec![post("family", "m1", "hello")]).await;
    // Whoever has the answer to a push and asks then, hears that it is not everywhere yet.
    let now = first.client.admin().get_status(GetStatusRequest {}).await.unwrap().into_inner();
    assert_eq!((now.synced, now.pending_up, now.siblings[0].lag), (false, 1, 1));
    // A push is answered before its parcel is put.
    pass(&first, SyncPart::Push).await;
    pass(&second, SyncPart::Pull).await;
    assert!(!pass(&first, SyncPart::Unspecified).await.status.unwrap().synced, "it has it and has not said so");
    pass(&second, SyncPart::Push).await;
    while !statuses.message().await.unwrap().unwrap().synced {}
    let there = second.client.admin().get_status(GetStatusRequest {}).await.unwrap().into_inner();
    assert_eq!((there.synced, there.bundle_seq, there.mode()), (true, 1, SyncMode::Manual));
    first.stop().await;
    second.stop().await;
}

#[tokio::test]
async fn a_mode_is_chosen_shown_and_kept_over_a_restart() {
    let served = Served::first("laptop").await;
    let mut admin = served.client.admin();
    let at_first = admin.get_status(GetStatusRequest {}).await.unwrap().into_inner();
    assert_eq!((at_first.mode(), at_first.every_ms, at_first.next_pass_ms), (SyncMode::Realtime, None, None));
    let hourly = SetSyncModeRequest { mode: SyncMode::Hybrid.into(), every_ms: Some(3_600_000) };
    let hybrid = admin.set_sync_mode(hourly).await.unwrap().into_inner().status.unwrap();
    assert_eq!((hybrid.mode(), hybrid.every_ms), (SyncMode::Hybrid, Some(3_600_000)));
    assert!(hybrid.next_pass_ms.is_some());
    let periodic = choose(&served, SyncMode::Periodic).await;
    assert_eq!(periodic.every_ms, Some(3_600_000), "the distance stays when only the mode is named");
    let bad = [(SyncMode::Unspecified as i32, None), (99, None), (2, Some(9_999)), (2, Some(u64::MAX))];
    for (mode, every_ms) in bad {
        let refused = admin.set_sync_mode(SetSyncModeRequest { mode, every_ms }).await.unwrap_err();
        assert_eq!(code(&refused), "invalid_argument", "{mode} {every_ms:?}");
    }
    let served = served.restart().await;
    let status = served.client.admin().get_status(GetStatusRequest {}).await.unwrap().into_inner();
    assert_eq!((status.mode(), status.every_ms), (SyncMode::Periodic, Some(3_600_000)));
    served.stop().await;
}

#[tokio::test]
async fn what_needs_the_network_is_refused_while_sync_is_off() {
    let served = Served::first("laptop").await;
    let url = served.folder("relay");
    let mut admin = served.client.admin();
    admin.add_relay(AddRelayRequest { url: url.clone() }).await.unwrap();
    let off = choose(&served, SyncMode::Off).await;
    assert!(!off.relays[0].ok && off.attention.is_empty(), "{:?}", off.attention);
    let refusals = [
        admin.sync_now(SyncNowRequest::default()).await.unwrap_err(),
        admin.add_relay(AddRelayRequest { url: served.folder("other") }).await.unwrap_err(),
        admin.test_relay(TestRelayRequest { url: url.clone() }).await.unwrap_err(),
        admin.pair_show(PairShowRequest {}).await.unwrap_err(),
    ];
    for refused in refusals {
        assert_eq!(code(&refused), "sync_off");
        assert!(detail(&refused).hint.contains("kin sync mode"));
        assert_eq!(ipc_proto::Error::from(refused).exit_code(), 6);
    }
    choose(&served, SyncMode::Realtime).await;
    assert!(pass(&served, SyncPart::Unspecified).await.relays[0].ok);
    served.stop().await;
}

#[tokio::test]
async fn a_trial_names_its_stages_or_what_is_wrong() {
    let served = Served::first("laptop").await;
    let mut admin = served.client.admin();
    admin.add_relay(AddRelayRequest { url: served.folder("relay") }).await.unwrap();
    let id = admin.list_relays(ListRelaysRequest {}).await.unwrap().into_inner().relays.remove(0).id;
    let works = admin.test_relay(TestRelayRequest { url: id.clone() }).await.unwrap().into_inner();
    let names: Vec<_> = works.stages.iter().map(|stage| stage.name.as_str()).collect();
    assert_eq!(names, ["connect", "put", "hint", "fetch", "delete"]);
    assert!(works.clock_ahead_ms.is_some());
    let relay = works.relay.unwrap();
    assert_eq!((relay.ok, relay.push, relay.fault(), relay.id), (true, true, RelayFault::Unspecified, id));
    for (url, fault) in [(served.folder("away"), RelayFault::Unreachable), ("gopher://x".into(), RelayFault::Config)] {
        let failed = admin.test_relay(TestRelayRequest { url }).await.unwrap().into_inner();
        assert!(failed.stages.is_empty() && failed.clock_ahead_ms.is_none());
        let relay = failed.relay.unwrap();
        assert_eq!((relay.ok, relay.fault(), relay.reason.is_empty()), (false, fault, false));
    }
    served.stop().await;
}

#[tokio::test]
async fn a_ninth_relay_is_refused_and_a_device_is_not_made_with_nine() {
    let served = Served::new().await;
    let nine: Vec<String> = (1..=9).map(|n| served.folder(&n.to_string())).collect();
    let mut admin = served.client.admin();
    let init = InitRequest { device_name: "laptop".into(), relay_urls: nine.clone(), ..InitRequest::default() };
    assert_eq!(code(&admin.init(init.clone()).await.unwrap_err()), "too_large");
    admin.init(InitRequest { relay_urls: nine[..8].to_vec(), ..init }).await.unwrap();
    let refused = admin.add_relay(AddRelayRequest { url: nine[8].clone() }).await.unwrap_err();
    assert_eq!(code(&refused), "too_large");
    assert_eq!(admin.list_relays(ListRelaysRequest {}).await.unwrap().into_inner().relays.len(), 8);
    served.stop().await;
}
