use std::path::Path;
use std::time::Duration;

use kinfolk_core::op::{MessageBody, Op};
use kinfolk_core::step::Status;
use kinfolk_core::value::Value;
use tokio::sync::mpsc;

use super::*;
use crate::pairing::{self, Invitation, InviteEvent, JoinEvent};
use crate::setup::{Fresh, Places};

/// Longer than anything here takes on a busy machine; no test waits for it unless it fails.
const PATIENCE: Duration = Duration::from_secs(60);

fn places(home: &Path) -> Places {
    Places { config: home.join("config"), state: home.join("state") }
}

async fn first(home: &Path, relay: &Path) -> Arc<Node> {
    let mut rng = rand::rng();
    let opened = places(home).found(Fresh::generate("first", &mut rng).unwrap(), &mut rng).unwrap();
    let node = Node::start(opened).await.unwrap();
    node.add_relay(relay.to_str().unwrap()).await.unwrap();
    node
}

async fn paired(inviter: &Arc<Node>, home: &Path, name: &str) -> Arc<Node> {
    let (invitation, mut events) = Invitation::open(Arc::clone(inviter)).await.unwrap();
    let Some(InviteEvent::Card { uri, .. }) = events.recv().await else { panic!("no card") };
    let (tell, mut hear) = mpsc::channel(8);
    let (places, name) = (places(home), name.to_owned());
    let joining = tokio::spawn(async move { pairing::join(&places, &uri, &name, &tell).await });
    loop {
        match tokio::time::timeout(PATIENCE, hear.recv()).await.unwrap() {
            Some(JoinEvent::CheckCode(code)) => drop(invitation.confirm(&code).await.unwrap()),
            Some(JoinEvent::Accepted { .. }) => {}
            Some(JoinEvent::Joined(_) | JoinEvent::Failed(_)) => panic!("the caller sends these"),
            None => break,
        }
    }
    joining.await.unwrap().unwrap_or_else(|error| panic!("joining failed: {error}"))
}

async fn until(node: &Node, what: &str, holds: impl Fn(&Status) -> bool) {
    let mut picture = node.driver.picture();
    let waited = tokio::time::timeout(PATIENCE, picture.wait_for(|picture| holds(&picture.status))).await;
    assert!(waited.is_ok(), "{what} did not come true: {:?}", node.driver.picture().borrow());
}

fn put(key: &str, value: &str) -> Op {
    Op::record_put("notes", key, vec![("title".into(), Some(Value::text(value)))])
}

fn post(id: &str, text: &str) -> Op {
    let body = MessageBody { conversation: "c".into(), text: text.into(), ..MessageBody::default() };
    Op::message_post(id, &body)
}

#[tokio::test]
async fn two_devices_pair_and_hold_the_same_history() {
    let home = tempfile::tempdir().unwrap();
    let relay = home.path().join("relay");
    let a = first(&home.path().join("a"), &relay).await;
    a.driver.push(vec![put("before", "pairing")], None).await.unwrap();
    let b = paired(&a, &home.path().join("b"), "second").await;
    until(&b, "history from before pairing", |status| status.bundle_seq.0 == 1).await;
    b.driver.push(vec![post("m1", "from b")], None).await.unwrap();
    a.driver.push(vec![put("after", "pairing")], None).await.unwrap();
    until(&a, "b's message on a", |status| status.bundle_seq.0 == 3).await;
    until(&b, "a's record on b", |status| status.bundle_seq.0 == 3).await;
    let digest = |node: &Node| node.driver.picture().borrow().digest;
    assert_eq!(digest(&a), digest(&b));
    assert_eq!(a.reader.message("m1").unwrap().unwrap().body.text, "from b");
    a.sync_pass().await.unwrap();
    b.sync_pass().await.unwrap();
    until(&a, "a in sync", |status| status.synced).await;
    until(&b, "b in sync", |status| status.synced).await;
}

#[tokio::test]
async fn pairing_with_one_joins_all() {
    let home = tempfile::tempdir().unwrap();
    let relay = home.path().join("relay");
    let a = first(&home.path().join("a"), &relay).await;
    let b = paired(&a, &home.path().join("b"), "second").await;
    b.driver.push(vec![post("m1", "from b")], None).await.unwrap();
    let c = paired(&b, &home.path().join("c"), "third").await;
    c.driver.push(vec![post("m2", "from c")], None).await.unwrap();
    for node in [&a, &b, &c] {
        until(node, "everything everywhere", |status| status.siblings.len() == 2 && status.bundle_seq.0 == 2).await;
    }
}

#[tokio::test]
async fn a_device_goes_on_after_a_restart() {
    let home = tempfile::tempdir().unwrap();
    let relay = home.path().join("relay");
    let a = first(&home.path().join("a"), &relay).await;
    let b = paired(&a, &home.path().join("b"), "second").await;
    until(&b, "b knows a", |status| status.siblings.len() == 1).await;
    b.stop().await;
    drop(b);
    a.driver.push(vec![put("while", "away")], None).await.unwrap();
    let crate::setup::Found::Device(opened) = places(&home.path().join("b")).open().unwrap() else {
        panic!("the device is gone");
    };
    let b = Node::start(*opened).await.unwrap();
    until(&b, "what happened meanwhile", |status| status.bundle_seq.0 == 1).await;
}

#[tokio::test]
async fn without_its_relay_a_device_keeps_working_and_catches_up_later() {
    let home = tempfile::tempdir().unwrap();
    let relay = home.path().join("relay");
    let a = first(&home.path().join("a"), &relay).await;
    let b = paired(&a, &home.path().join("b"), "second").await;
    let gone = home.path().join("gone");
    std::fs::rename(&relay, &gone).unwrap();
    a.driver.push(vec![put("offline", "yes")], None).await.unwrap();
    until(&a, "queued for b", |status| status.pending_up == 1).await;
    std::fs::rename(&gone, &relay).unwrap();
    until(&b, "delivered after all", |status| status.bundle_seq.0 == 1).await;
}

#[tokio::test]
async fn a_mailbox_full_of_litter_is_emptied_and_holds_nothing_up() {
    let home = tempfile::tempdir().unwrap();
    let relay = home.path().join("relay");
    let a = first(&home.path().join("a"), &relay).await;
    let b = paired(&a, &home.path().join("b"), "second").await;
    let mailbox = relay::Mailbox(b.credentials.keyring.mailboxes()[0]);
    // More than may be open at once, three times over.
    let litter = (0..400_u16).map(|n| {
        let sealed = [n.to_be_bytes().as_slice(), &[0xA5; 2300]].concat();
        (mailbox, relay::Envelope { id: relay::worker::envelope_id(&mut rand::rng()), sealed: sealed.into() })
    });
    let way = a.reached().await;
    way[0].put(&litter.collect::<Vec<_>>()).await.unwrap();
    a.driver.push(vec![put("behind", "litter")], None).await.unwrap();
    until(&b, "what lies behind the litter", |status| status.bundle_seq.0 == 1).await;
    let all_set_aside = async {
        while b.reader.counts().unwrap().quarantine_ever < 400 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, all_set_aside).await.unwrap();
}

#[tokio::test]
async fn a_joiner_is_told_when_the_card_is_burned() {
    let home = tempfile::tempdir().unwrap();
    let relay = home.path().join("relay");
    let a = first(&home.path().join("a"), &relay).await;
    let (invitation, mut events) = Invitation::open(Arc::clone(&a)).await.unwrap();
    let Some(InviteEvent::Card { uri, .. }) = events.recv().await else { panic!("no card") };
    let (tell, mut hear) = mpsc::channel(8);
    let newcomer = places(&home.path().join("b"));
    let joining = tokio::spawn(async move { pairing::join(&newcomer, &uri, "second", &tell).await.map(|_| ()) });
    while let Some(event) = hear.recv().await {
        if let JoinEvent::CheckCode(code) = event {
            let wrong = if code == "000000" { "000001" } else { "000000" };
            for _ in 0..3 {
                invitation.confirm(wrong).await.unwrap_err();
            }
        }
    }
    let ended = tokio::time::timeout(PATIENCE, joining).await.unwrap().unwrap();
    assert!(matches!(ended, Err(pairing::JoinError::Ended)), "{ended:?}");
    assert!(a.driver.roster().borrow().members().count() == 1);
}
