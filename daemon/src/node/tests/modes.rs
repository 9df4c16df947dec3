//! Modes, passes, and relays that rest.

use super::*;

fn plan(mode: Mode) -> Plan {
    Plan { mode, every: Duration::from_secs(3600) }
}

fn bundles(node: &Node) -> u64 {
    node.driver.picture().borrow().status.bundle_seq.0
}

/// Two devices that have told each other everything.
async fn settled_pair(home: &Path) -> (Arc<Node>, Arc<Node>) {
    let a = first(&home.join("a"), &home.join("relay")).await;
    let b = paired(&a, &home.join("b"), "second").await;
    for _ in 0..2 {
        for node in [&a, &b] {
            node.exchange(Part::Both).await.unwrap();
        }
    }
    (a, b)
}

async fn reopened(home: &Path) -> Arc<Node> {
    let crate::setup::Found::Device(opened) = places(home).open().unwrap() else { panic!("the device is gone") };
    Node::start(*opened, Spans::default()).await.unwrap()
}

#[tokio::test]
async fn a_manual_device_sends_and_fetches_when_asked_and_not_before() {
    let home = tempfile::tempdir().unwrap();
    let (a, b) = settled_pair(home.path()).await;
    for node in [&a, &b] {
        node.set_plan(plan(Mode::Manual)).await.unwrap();
    }
    a.driver.push(vec![put("one", "x")], None).await.unwrap();
    b.exchange(Part::Pull).await.unwrap();
    assert_eq!(bundles(&b), 0, "nothing left a");
    let pushed = a.exchange(Part::Push).await.unwrap();
    assert!(pushed.sent >= 1 && pushed.received == 0, "{pushed:?}");
    assert_eq!(bundles(&b), 0, "b does not listen");
    let pulled = b.exchange(Part::Pull).await.unwrap();
    assert_eq!((pulled.sent, bundles(&b)), (0, 1), "{pulled:?}");
    // The receipt waits in b for a push.
    a.exchange(Part::Pull).await.unwrap();
    assert!(!a.driver.picture().borrow().status.synced);
    b.exchange(Part::Push).await.unwrap();
    a.exchange(Part::Pull).await.unwrap();
    assert!(a.driver.picture().borrow().status.synced);
    assert!(a.relays().await.iter().all(|relay| relay.ok && !relay.push));
}

#[tokio::test]
async fn a_device_that_is_off_reaches_nothing_and_goes_on_where_it_was() {
    let home = tempfile::tempdir().unwrap();
    let (a, b) = settled_pair(home.path()).await;
    a.set_plan(plan(Mode::Off)).await.unwrap();
    assert!(a.reached().await.is_empty());
    assert!(matches!(a.exchange(Part::Both).await, Err(ExchangeError::Off)));
    assert!(matches!(a.add_relay("/nowhere").await, Err(RelayChangeError::Off)));
    assert!(matches!(a.test_relay("/nowhere").await, Err(RelayChangeError::Off)));
    assert!(matches!(Invitation::open(Arc::clone(&a)).await, Err(InviteError::Off)));
    a.driver.push(vec![put("one", "x")], None).await.unwrap();
    a.stop().await;
    drop(a);
    let a = reopened(&home.path().join("a")).await;
    assert_eq!(a.plan(), plan(Mode::Off), "the mode stays over a restart");
    b.exchange(Part::Pull).await.unwrap();
    assert_eq!(bundles(&b), 0);
    assert!(a.relays().await.iter().all(|relay| !relay.ok && relay.fault.is_none()));
    a.set_plan(plan(Mode::Realtime)).await.unwrap();
    until(&b, "what was written while off", |status| status.bundle_seq.0 == 1).await;
}

#[tokio::test]
async fn switching_off_ends_an_open_invitation() {
    let home = tempfile::tempdir().unwrap();
    let a = first(&home.path().join("a"), &home.path().join("relay")).await;
    let (_invitation, mut events) = Invitation::open(Arc::clone(&a)).await.unwrap();
    a.set_plan(plan(Mode::Off)).await.unwrap();
    let mut last = None;
    while let Some(event) = events.recv().await {
        last = Some(event);
    }
    assert!(matches!(last, Some(InviteEvent::Failed(InviteError::Off))), "{last:?}");
}

#[tokio::test]
async fn a_periodic_device_begins_with_a_pass_and_is_silent_until_the_next() {
    let home = tempfile::tempdir().unwrap();
    let (a, b) = settled_pair(home.path()).await;
    b.set_plan(plan(Mode::Manual)).await.unwrap();
    a.set_plan(plan(Mode::Manual)).await.unwrap();
    a.driver.push(vec![put("one", "x")], None).await.unwrap();
    a.set_plan(plan(Mode::Periodic)).await.unwrap();
    let arrived = async {
        while bundles(&b) == 0 {
            b.exchange(Part::Pull).await.unwrap();
        }
    };
    tokio::time::timeout(PATIENCE, arrived).await.unwrap();
    let next = a.next_pass().unwrap().since(wall_clock());
    assert!(next.0 > 3_500_000, "an hour, less what has passed since: {next:?}");
    a.driver.push(vec![put("two", "x")], None).await.unwrap();
    b.exchange(Part::Pull).await.unwrap();
    assert_eq!(bundles(&b), 1);
}

#[tokio::test]
async fn a_device_can_be_paired_while_it_is_manual() {
    let home = tempfile::tempdir().unwrap();
    let a = first(&home.path().join("a"), &home.path().join("relay")).await;
    a.driver.push(vec![put("before", "pairing")], None).await.unwrap();
    a.set_plan(plan(Mode::Manual)).await.unwrap();
    a.stop().await;
    drop(a);
    let a = reopened(&home.path().join("a")).await;
    assert!(a.reached().await.is_empty(), "nobody asked");
    let b = paired(&a, &home.path().join("b"), "second").await;
    a.exchange(Part::Push).await.unwrap();
    until(&b, "history from before pairing", |status| status.bundle_seq.0 == 1).await;
}

#[tokio::test]
async fn a_relay_that_is_another_one_rests_until_a_person_asks() {
    let home = tempfile::tempdir().unwrap();
    let (relay, aside) = (home.path().join("relay"), home.path().join("aside"));
    let (a, b) = settled_pair(home.path()).await;
    std::fs::rename(&relay, &aside).unwrap();
    relay::prepare(&relay::RelayUrl::parse(relay.to_str().unwrap()).unwrap()).await.unwrap();
    let failed = a.exchange(Part::Both).await.unwrap();
    assert_eq!(failed.relays[0].fault, Some(Fault::Config), "{failed:?}");
    std::fs::remove_dir_all(&relay).unwrap();
    std::fs::rename(&aside, &relay).unwrap();
    a.driver.push(vec![put("one", "x")], None).await.unwrap();
    a.pass(Part::Both, links::Reach::Willing).await.unwrap();
    assert_eq!(a.relays().await[0].fault, Some(Fault::Config), "a pass that nobody asked for leaves it alone");
    assert!(a.test_relay(relay.to_str().unwrap()).await.unwrap().outcome.is_ok());
    assert!(a.relays().await[0].ok, "a test that works wakes it");
    until(&b, "what was written meanwhile", |status| status.bundle_seq.0 == 1).await;
}

#[tokio::test]
async fn adding_a_relay_again_wakes_it() {
    let home = tempfile::tempdir().unwrap();
    let (relay, aside) = (home.path().join("relay"), home.path().join("aside"));
    let a = first(&home.path().join("a"), &relay).await;
    a.stop().await;
    drop(a);
    std::fs::rename(&relay, &aside).unwrap();
    relay::prepare(&relay::RelayUrl::parse(relay.to_str().unwrap()).unwrap()).await.unwrap();
    let a = reopened(&home.path().join("a")).await;
    assert_eq!(a.relays().await[0].fault, Some(Fault::Config));
    std::fs::remove_dir_all(&relay).unwrap();
    std::fs::rename(&aside, &relay).unwrap();
    let (report, added) = a.add_relay(relay.to_str().unwrap()).await.unwrap();
    assert!(added == Added::Before && report.ok, "{report:?}");
    assert_eq!(a.relays().await.len(), 1);
}

#[tokio::test]
async fn a_device_has_at_most_eight_relays() {
    let home = tempfile::tempdir().unwrap();
    let a = first(&home.path().join("a"), &home.path().join("relay")).await;
    for n in 1..MAX_RELAYS {
        a.add_relay(home.path().join(n.to_string()).to_str().unwrap()).await.unwrap();
    }
    let ninth = a.add_relay(home.path().join("ninth").to_str().unwrap()).await;
    assert!(matches!(ninth, Err(RelayChangeError::TooMany)));
    assert_eq!(a.relays().await.len(), MAX_RELAYS);
    let again = a.add_relay(home.path().join("3").to_str().unwrap()).await.unwrap().1;
    assert_eq!(again, Added::Before, "one of the eight may come again");
}

#[tokio::test]
async fn writes_go_on_over_the_other_relay_while_one_dies_and_returns() {
    let home = tempfile::tempdir().unwrap();
    let (one, two) = (home.path().join("relay"), home.path().join("other"));
    let (a, b) = settled_pair(home.path()).await;
    for node in [&a, &b] {
        node.add_relay(two.to_str().unwrap()).await.unwrap();
    }
    let mut written = 0;
    for gone in [&one, &two, &one] {
        let away = home.path().join("away");
        std::fs::rename(gone, &away).unwrap();
        for _ in 0..5 {
            written += 1;
            a.driver.push(vec![put(&format!("a{written}"), "x")], None).await.unwrap();
        }
        until(&b, "what was written while a relay was away", |status| status.bundle_seq.0 == written).await;
        std::fs::rename(&away, gone).unwrap();
        let back = async {
            while !a.relays().await.iter().all(|relay| relay.ok) {
                a.exchange(Part::Both).await.unwrap();
            }
        };
        let back = tokio::time::timeout(PATIENCE, back).await;
        assert!(back.is_ok(), "{:?} {:?}", a.relays().await, a.driver.picture().borrow().status);
    }
    until(&a, "a in sync", |status| status.synced).await;
    let digest = |node: &Node| node.driver.picture().borrow().digest;
    assert_eq!(digest(&a), digest(&b));
}

#[tokio::test]
async fn relays_are_preferred_in_the_order_in_which_they_were_added_whichever_is_reached_first() {
    let home = tempfile::tempdir().unwrap();
    let (one, two) = (home.path().join("relay"), home.path().join("other"));
    let (a, b) = settled_pair(home.path()).await;
    for node in [&a, &b] {
        node.add_relay(two.to_str().unwrap()).await.unwrap();
        node.exchange(Part::Both).await.unwrap();
    }
    a.stop().await;
    drop(a);
    let away = home.path().join("away");
    std::fs::rename(&one, &away).unwrap();
    let a = reopened(&home.path().join("a")).await;
    std::fs::rename(&away, &one).unwrap();
    a.exchange(Part::Both).await.unwrap();
    let before = a.relays().await;
    assert!(before[0].ok && before[1].ok);
    a.driver.push(vec![put("one", "x")], None).await.unwrap();
    until(&b, "a's record on b", |status| status.bundle_seq.0 == 1).await;
    let after = a.relays().await;
    assert!(after[0].sent > before[0].sent && after[1].sent == before[1].sent, "{before:?} {after:?}");
}
