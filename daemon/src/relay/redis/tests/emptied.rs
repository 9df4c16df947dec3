//! Servers that come back, with and without what they kept.

use super::*;
use crate::relay::conformance::{all, envelope, mailbox, next, set};
use crate::relay::error::{ConfigError, Reason};
use crate::relay::{WatchEvent, reconnect};

/// Takes the error that tells of the loss, once.
async fn told_of_the_loss(relay: &RedisRelay) {
    let error = relay.fetch(&[Want::all(mailbox(1))], 1).await.unwrap_err();
    assert!(matches!(error, RelayError::Transient { reason: Reason::Emptied, .. }), "{error:?}");
    assert!(relay.fetch(&[Want::all(mailbox(1))], 1).await.is_ok(), "it is told once");
}

#[tokio::test]
async fn a_watch_hears_of_a_restart_and_goes_on() {
    let mut server = Server::start(&["appendonly yes", "appendfsync always"]);
    let relay = RedisRelay::prepare(&server.url()).await.unwrap();
    relay.put(&[(mailbox(1), envelope(1, 100))]).await.unwrap();
    let mut events = relay.watch(vec![mailbox(1)]);
    assert!(matches!(next(&mut events).await, WatchEvent::Gap));
    server.restart();
    loop {
        match next(&mut events).await {
            WatchEvent::Gap => break,
            WatchEvent::Down(error) => assert!(matches!(error, RelayError::Transient { .. }), "{error:?}"),
            WatchEvent::Ready(_) => panic!("a hint before the gap"),
        }
    }
    assert_eq!(all(&relay, mailbox(1)).await, set([envelope(1, 100)]), "it kept its data");
    let sender = RedisRelay::open(&server.url()).await.unwrap();
    assert_eq!(sender.id(), relay.id());
    sender.put(&[(mailbox(1), envelope(2, 100))]).await.unwrap();
    while !matches!(next(&mut events).await, WatchEvent::Ready(ready) if ready == mailbox(1)) {}
}

#[tokio::test]
async fn a_server_that_restarted_empty_becomes_the_same_relay_again() {
    let mut server = Server::start(&[]);
    let relay = RedisRelay::prepare(&server.url()).await.unwrap();
    relay.put(&[(mailbox(1), envelope(1, 100))]).await.unwrap();
    server.restart();
    let mut events = relay.watch(vec![mailbox(1)]);
    while !matches!(next(&mut events).await, WatchEvent::Gap) {}
    told_of_the_loss(&relay).await;
    assert_eq!(RedisRelay::open(&server.url()).await.unwrap().id(), relay.id());
    assert_eq!(relay.put(&[(mailbox(1), envelope(1, 100))]).await.unwrap(), [PutOutcome::Stored]);
}

#[tokio::test]
async fn a_flush_is_noticed_at_once_and_told() {
    let server = Server::start(&[]);
    let relay = RedisRelay::prepare(&server.url()).await.unwrap();
    relay.put(&[(mailbox(1), envelope(1, 100))]).await.unwrap();
    let after = relay.fetch(&[Want::all(mailbox(1))], 1000).await.unwrap().remove(0).cursor;
    let mut events = relay.watch(vec![mailbox(1)]);
    assert!(matches!(next(&mut events).await, WatchEvent::Gap));
    server.run(&redis::cmd("FLUSHALL"));
    assert!(matches!(next(&mut events).await, WatchEvent::Gap), "the server says that everything changed");
    told_of_the_loss(&relay).await;
    assert_eq!(RedisRelay::open(&server.url()).await.unwrap().id(), relay.id());
    // The server's clock may have stepped back as well: the cursor is of a mailbox that is gone.
    relay.put(&[(mailbox(1), envelope(2, 100))]).await.unwrap();
    let want = Want { mailbox: mailbox(1), after };
    assert_eq!(relay.fetch(&[want], 1000).await.unwrap()[0].mail.len(), 1);
}

#[tokio::test]
async fn a_device_that_knows_the_relay_makes_an_empty_server_that_relay_and_no_other() {
    let mut server = Server::start(&[]);
    let id = RedisRelay::prepare(&server.url()).await.unwrap().id();
    server.restart();
    let unknown = RedisRelay::open(&server.url()).await.unwrap_err();
    assert!(matches!(unknown, RelayError::Config(ConfigError::NotPrepared { .. })), "{unknown:?}");
    assert_eq!(reconnect(&server.url(), id).await.unwrap().id(), id);
    let other = RelayId([7; 16]);
    let refused = reconnect(&server.url(), other).await.unwrap_err();
    assert!(
        matches!(&refused, RelayError::Config(ConfigError::AnotherRelay { expected, found, .. }) if *expected == other && *found == id),
        "{refused:?}"
    );
    server.run(redis::cmd("SET").arg(keys::MARKER).arg("somebody's list"));
    let refused = RedisRelay::prepare(&server.url()).await.unwrap_err();
    assert!(refused.to_string().contains("another program"), "{refused}");
}

#[tokio::test]
async fn a_server_that_was_replaced_while_we_ran_is_refused() {
    let mut server = Server::start(&[]);
    let relay = RedisRelay::prepare(&server.url()).await.unwrap();
    server.restart();
    let stranger = RedisRelay::prepare(&server.url()).await.unwrap();
    // The first call may still find the old connection and learn that it is gone.
    let mut refused = relay.put(&[(mailbox(1), envelope(1, 10))]).await.unwrap_err();
    if !matches!(refused, RelayError::Config(_)) {
        refused = relay.put(&[(mailbox(1), envelope(1, 10))]).await.unwrap_err();
    }
    assert!(matches!(refused, RelayError::Config(ConfigError::AnotherRelay { .. })), "{refused:?}");
    assert!(all(&stranger, mailbox(1)).await.is_empty());
}
