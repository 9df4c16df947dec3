mod modes;

use std::path::Path;
use std::time::Duration;

use kinfolk_core::op::{MessageBody, Op};
use kinfolk_core::step::Status;
use kinfolk_core::value::Value;
use tokio::sync::mpsc;

use super::*;
use crate::config::Spans;
use crate::driver::wall_clock;
use crate::pairing::{self, Invitation, InviteError, InviteEvent, JoinEvent, Wishes};
use crate::relay::{self, Fault};
use crate::setup::{Fresh, Places};
use crate::sync::Mode;

/// Longer than anything here takes on a busy machine; no test waits for it unless it fails.
const PATIENCE: Duration = Duration::from_secs(60);

fn places(home: &Path) -> Places {
    Places { config: home.join("config"), state: home.join("state") }
}

async fn first(home: &Path, relay: &Path) -> Arc<Node> {
    let mut rng = rand::rng();
    let opened = places(home).found(Fresh::generate("first", &mut rng).unwrap(), &mut rng).unwrap();
    let node = Node::start(opened, Spans::default()).await.unwrap();
    node.add_relay(relay.to_str().unwrap()).await.unwrap();
    node
}

async fn paired(inviter: &Arc<Node>, home: &Path, name: &str) -> Arc<Node> {
    let (invitation, mut events) = Invitation::open(Arc::clone(inviter)).await.unwrap();
    let Some(InviteEvent::Card { uri, .. }) = events.recv().await else { panic!("no card") };
    let (tell, mut hear) = mpsc::channel(8);
    let (places, name) = (places(home), name.to_owned());
    let joining =
        tokio::spawn(
            async move { pairing::join(&places, Spans::default(), &uri, &name, &Wishes::default(), &tell).await },
        );
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
    a.exchange(Part::Both).await.unwrap();
    b.exchange(Part::Both).await.unwrap();
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
    let b = Node::start(*opened, Spans::default()).await.unwrap();
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
    let mailbox = relay::Mailbox(b.credentials.keyring().mailboxes()[0]);
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
    let joining = tokio::spawn(async move {
        pairing::join(&newcomer, Spans::default(), &uri, "second", &Wishes::default(), &tell).await.map(|_| ())
    });
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

#[tokio::test]
async fn a_relay_that_moved_is_used_where_it_is_now() {
    let home = tempfile::tempdir().unwrap();
    let (relay, moved) = (home.path().join("relay"), home.path().join("moved"));
    let a = first(&home.path().join("a"), &relay).await;
    let b = paired(&a, &home.path().join("b"), "second").await;
    std::fs::rename(&relay, &moved).unwrap();
    a.driver.push(vec![put("on", "the way")], None).await.unwrap();
    for node in [&a, &b] {
        let (report, added) = node.add_relay(moved.to_str().unwrap()).await.unwrap();
        assert!(added == Added::Moved && report.ok && report.url.ends_with("moved"), "{report:?}");
        assert_eq!(node.relays().await.len(), 1);
    }
    until(&b, "delivered in the new place", |status| status.bundle_seq.0 == 1).await;
}

#[tokio::test]
async fn a_relay_that_is_taken_out_while_mail_is_under_way_and_put_back_delivers_it() {
    let home = tempfile::tempdir().unwrap();
    let relay = home.path().join("relay");
    let a = first(&home.path().join("a"), &relay).await;
    let b = paired(&a, &home.path().join("b"), "second").await;
    for n in 1..=3 {
        a.driver.push(vec![put(&n.to_string(), "x")], None).await.unwrap();
        a.remove_relay(relay.to_str().unwrap()).await.unwrap();
        assert!(a.relays().await.is_empty());
        a.add_relay(relay.to_str().unwrap()).await.unwrap();
        until(&b, "delivered", |status| status.bundle_seq.0 == n).await;
    }
}

#[tokio::test]
async fn a_relay_that_is_taken_out_is_emptied_for_the_last_time() {
    let home = tempfile::tempdir().unwrap();
    let relay = home.path().join("relay");
    let a = first(&home.path().join("a"), &relay).await;
    let b = paired(&a, &home.path().join("b"), "second").await;
    until(&b, "b knows a", |status| status.siblings.len() == 1).await;
    a.set_plan(Plan { mode: Mode::Manual, ..Plan::default() }).await.unwrap();
    b.driver.push(vec![put("on", "the way")], None).await.unwrap();
    b.exchange(Part::Push).await.unwrap();
    b.stop().await;
    a.remove_relay(relay.to_str().unwrap()).await.unwrap();
    assert!(a.relays().await.is_empty());
    assert_eq!(a.driver.picture().borrow().status.bundle_seq.0, 1, "nobody is left who could send it again");
}

#[tokio::test]
async fn a_welcome_waits_for_a_relay_that_is_away_when_the_code_is_typed() {
    let home = tempfile::tempdir().unwrap();
    let (relay, gone) = (home.path().join("relay"), home.path().join("gone"));
    let a = first(&home.path().join("a"), &relay).await;
    let (invitation, mut events) = Invitation::open(Arc::clone(&a)).await.unwrap();
    let Some(InviteEvent::Card { uri, .. }) = events.recv().await else { panic!("no card") };
    let (tell, mut hear) = mpsc::channel(8);
    let b_places = places(&home.path().join("b"));
    let joining = tokio::spawn(async move {
        pairing::join(&b_places, Spans::default(), &uri, "second", &Wishes::default(), &tell).await
    });
    let code = loop {
        if let JoinEvent::CheckCode(code) = hear.recv().await.unwrap() {
            break code;
        }
    };
    // The acceptance lies on the relay for sure once the inviter asks for the code.
    while !matches!(events.recv().await.unwrap(), InviteEvent::CodeNeeded { .. }) {}
    std::fs::rename(&relay, &gone).unwrap();
    let confirming = tokio::spawn(async move { invitation.confirm(&code).await });
    let mut roster = a.driver.roster();
    tokio::time::timeout(PATIENCE, roster.wait_for(|roster| roster.members().count() == 2)).await.unwrap().unwrap();
    // The welcome is tried now, in vain.
    tokio::task::yield_now().await;
    std::fs::rename(&gone, &relay).unwrap();
    confirming.await.unwrap().unwrap();
    let b = joining.await.unwrap().unwrap_or_else(|error| panic!("joining failed: {error}"));
    until(&b, "the family", |status| status.siblings.len() == 1).await;
}

#[tokio::test]
async fn mail_that_found_no_room_is_kept_on_the_relay_and_taken_when_there_is_room() {
    let home = tempfile::tempdir().unwrap();
    let relay = home.path().join("relay");
    let a = first(&home.path().join("a"), &relay).await;
    let b = paired(&a, &home.path().join("b"), "second").await;
    let pages = |pages: u32| format!("PRAGMA max_page_count = {pages}");
    let set = |sql: String| {
        b.driver.keep(move |store| {
            store.meddle(&sql);
            Ok(())
        })
    };
    set(pages(1)).await.unwrap();
    a.driver.push(vec![put("large", &"x".repeat(200_000))], None).await.unwrap();
    let mut picture = b.driver.picture();
    tokio::time::timeout(PATIENCE, picture.wait_for(|picture| picture.fault.is_some())).await.unwrap().unwrap();
    assert_eq!(b.driver.picture().borrow().status.bundle_seq.0, 0);
    set(pages(1_000_000)).await.unwrap();
    until(&b, "what found no room before", |status| status.bundle_seq.0 == 1).await;
    assert_eq!(b.driver.picture().borrow().fault, None);
}

#[tokio::test]
async fn a_pass_answers_when_what_came_is_durable() {
    let home = tempfile::tempdir().unwrap();
    let relay = home.path().join("relay");
    let a = first(&home.path().join("a"), &relay).await;
    let b = paired(&a, &home.path().join("b"), "second").await;
    a.driver.push(vec![put("one", "x")], None).await.unwrap();
    let queued = async {
        while a.relays().await.iter().map(|report| report.sent).sum::<u64>() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, queued).await.unwrap();
    a.exchange(Part::Both).await.unwrap();
    b.exchange(Part::Both).await.unwrap();
    assert_eq!(b.driver.picture().borrow().status.bundle_seq.0, 1);
}

#[tokio::test]
async fn a_folder_mounted_at_another_path_is_named_when_joining() {
    let home = tempfile::tempdir().unwrap();
    let relay = home.path().join("relay");
    let a = first(&home.path().join("a"), &relay).await;
    let (invitation, mut events) = Invitation::open(Arc::clone(&a)).await.unwrap();
    let Some(InviteEvent::Card { uri, .. }) = events.recv().await else { panic!("no card") };
    // The same folder under another name; the name on the card leads nowhere for the new device.
    let elsewhere = home.path().join("elsewhere");
    std::fs::rename(&relay, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &relay).unwrap();
    let (tell, mut hear) = mpsc::channel(8);
    let newcomer = places(&home.path().join("b"));
    let wishes = Wishes { relays: vec![elsewhere.to_str().unwrap().to_owned()], recent: None };
    let joining =
        tokio::spawn(async move { pairing::join(&newcomer, Spans::default(), &uri, "second", &wishes, &tell).await });
    while let Some(event) = hear.recv().await {
        if let JoinEvent::CheckCode(code) = event {
            invitation.confirm(&code).await.unwrap();
        }
    }
    let b = joining.await.unwrap().unwrap_or_else(|error| panic!("joining failed: {error}"));
    let urls: Vec<String> = b.relays().await.into_iter().map(|relay| relay.url).collect();
    assert_eq!(urls, [format!("file://{}", elsewhere.display())]);
    a.driver.push(vec![put("over", "another path")], None).await.unwrap();
    until(&b, "a's record on b", |status| status.bundle_seq.0 == 1).await;
}
