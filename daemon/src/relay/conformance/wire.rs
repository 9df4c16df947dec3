//! The contract over a network that fails half-way: for kinds that are reached over TCP.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::proxy::Proxy;
use super::{BUDGET, Bed, PLENTY, all, envelope, mailbox, next, set};
use crate::relay::{Envelope, Handle, Mailbox, PutOutcome, Relay, RelayError, Want, WatchEvent};

/// A storage behind a port.
#[async_trait]
pub(in crate::relay) trait Wired: Bed {
    /// Its port on loopback.
    fn port(&self) -> u16;

    /// A handle that reaches it over another port and waits for no answer longer than [`SHORT`].
    async fn relay_over(&self, port: u16) -> Arc<dyn Relay>;
}

/// Long enough for loopback, short enough for a test.
pub(in crate::relay) const SHORT: Duration = Duration::from_secs(1);

/// More than any greeting or answer of a test takes.
const FAR: i64 = 4000;

async fn wired(bed: &dyn Wired) -> (Proxy, Arc<dyn Relay>) {
    let proxy = Proxy::start(bed.port()).await;
    let relay = bed.relay_over(proxy.port).await;
    (proxy, relay)
}

/// Tries until the connection is a new one.
async fn retried(relay: &dyn Relay, items: &[(Mailbox, Envelope)]) -> Vec<PutOutcome> {
    for _ in 0..3 {
        if let Ok(outcomes) = relay.put(items).await {
            return outcomes;
        }
    }
    relay.put(items).await.unwrap()
}

pub(in crate::relay) async fn a_put_without_an_answer_is_ambiguous_and_stored_once(bed: &dyn Wired) {
    let (proxy, relay) = wired(bed).await;
    let half = usize::try_from(BUDGET).unwrap() / 2;
    let items = [(mailbox(1), envelope(1, half))];
    proxy.mute(true);
    let error = relay.put(&items).await.unwrap_err();
    assert!(matches!(error, RelayError::Ambiguous { .. }), "{error:?}");
    proxy.mute(false);
    assert_eq!(all(&*bed.relay().await, mailbox(1)).await, set([envelope(1, half)]), "it had arrived");
    assert_eq!(retried(&*relay, &items).await, [PutOutcome::AlreadyThere]);
    let second = [(mailbox(1), envelope(2, half))];
    assert_eq!(retried(&*relay, &second).await, [PutOutcome::Stored], "the first was counted once");
}

pub(in crate::relay) async fn a_put_cut_at_any_byte_is_whole_or_absent(bed: &dyn Wired) {
    let (proxy, relay) = wired(bed).await;
    let direct = bed.relay().await;
    for (number, bytes) in [0, 1, 100, 900, 1000, 1400, 3000, 5100, 5300, FAR * 4].into_iter().enumerate() {
        let to = mailbox(u8::try_from(number).unwrap() + 1);
        let items = [(to, envelope(1, 1000)), (to, envelope(2, 4000))];
        proxy.cut_after_asking(bytes);
        match relay.put(&items).await {
            Ok(outcomes) => assert_eq!(outcomes, [PutOutcome::Stored; 2]),
            Err(error) => assert!(matches!(error, RelayError::Ambiguous { .. }), "after {bytes} bytes: {error:?}"),
        }
        proxy.cut_after_asking(-1);
        let there = all(&*direct, to).await;
        for (id, copies) in &there {
            let whole = items.iter().any(|(_, whole)| whole.id == *id && copies.iter().eq([&whole.sealed]));
            assert!(whole, "after {bytes} bytes");
        }
        retried(&*relay, &items).await;
        assert_eq!(all(&*direct, to).await, set(items.map(|(_, envelope)| envelope)), "after {bytes} bytes");
    }
}

pub(in crate::relay) async fn a_fetch_cut_at_any_byte_is_transient_and_loses_nothing(bed: &dyn Wired) {
    let (proxy, relay) = wired(bed).await;
    let mail: Vec<Envelope> = (0..5).map(|number| envelope(number, 1000)).collect();
    let items: Vec<(Mailbox, Envelope)> = mail.iter().map(|envelope| (mailbox(1), envelope.clone())).collect();
    bed.relay().await.put(&items).await.unwrap();
    for bytes in [0, 1, 50, 500, 1500, 4000, 5000] {
        proxy.cut_after_answering(bytes);
        let error = relay.fetch(&[Want::all(mailbox(1))], PLENTY).await.unwrap_err();
        assert!(matches!(error, RelayError::Transient { .. }), "after {bytes} bytes: {error:?}");
        proxy.cut_after_answering(-1);
        assert_eq!(all(&*relay, mailbox(1)).await, set(mail.clone()), "after {bytes} bytes");
    }
}

pub(in crate::relay) async fn an_acknowledgement_without_an_answer_may_be_repeated(bed: &dyn Wired) {
    let (proxy, relay) = wired(bed).await;
    relay.put(&[(mailbox(1), envelope(1, 100)), (mailbox(1), envelope(2, 100))]).await.unwrap();
    let fetched = super::fetch(&*relay, mailbox(1)).await;
    let gone = fetched.mail.iter().find(|delivery| delivery.envelope == envelope(1, 100)).unwrap();
    let handles: Vec<Handle> = vec![gone.handle.clone()];
    proxy.mute(true);
    let error = relay.acknowledge(mailbox(1), &handles).await.unwrap_err();
    assert!(matches!(error, RelayError::Transient { .. }), "{error:?}");
    proxy.mute(false);
    relay.acknowledge(mailbox(1), &handles).await.unwrap();
    assert_eq!(all(&*relay, mailbox(1)).await, set([envelope(2, 100)]));
}

pub(in crate::relay) async fn a_cut_watch_says_gap_before_any_hint(bed: &dyn Wired) {
    let (proxy, relay) = wired(bed).await;
    let sender = bed.relay().await;
    let mut events = relay.watch(vec![mailbox(1)]);
    assert!(matches!(next(&mut events).await, WatchEvent::Gap));
    for number in 0..3 {
        proxy.cut();
        sender.put(&[(mailbox(1), envelope(number, 10))]).await.unwrap();
        loop {
            match next(&mut events).await {
                WatchEvent::Gap => break,
                WatchEvent::Down(error) => assert!(matches!(error, RelayError::Transient { .. }), "{error:?}"),
                WatchEvent::Ready(_) => panic!("a hint before the gap"),
            }
        }
        assert_eq!(all(&*relay, mailbox(1)).await.len(), usize::from(number) + 1);
    }
}

pub(in crate::relay) async fn a_watch_that_nobody_polls_holds_nobody_up(bed: &dyn Wired) {
    let (proxy, relay) = wired(bed).await;
    proxy.mute(true);
    proxy.cut();
    let mut events = relay.watch(vec![mailbox(1)]);
    // It is about to connect when its listener turns to something else, as a worker does that goes to fetch.
    let listening = async { while !matches!(next(&mut events).await, WatchEvent::Gap) {} };
    tokio::time::timeout(SHORT * 6 / 10, listening).await.unwrap_err();
    proxy.mute(false);
    let items = [(mailbox(1), envelope(1, 10))];
    tokio::time::timeout(SHORT * 20, retried(&*relay, &items)).await.unwrap();
    while !matches!(next(&mut events).await, WatchEvent::Gap) {}
}

pub(in crate::relay) async fn a_server_that_answers_too_late_is_given_up_and_found_again(bed: &dyn Wired) {
    let (proxy, relay) = wired(bed).await;
    proxy.delay(SHORT * 3);
    for error in [
        relay.fetch(&[], PLENTY).await.err(),
        relay.acknowledge(mailbox(1), &[]).await.err(),
        relay.put(&[]).await.err(),
    ] {
        assert!(error.is_none(), "nothing asked is nothing done: {error:?}");
    }
    let error = relay.put(&[(mailbox(1), envelope(1, 10))]).await.unwrap_err();
    assert!(matches!(error, RelayError::Ambiguous { .. }), "{error:?}");
    let error = relay.probe().await.unwrap_err();
    assert!(matches!(error, RelayError::Transient { .. }), "{error:?}");
    let mut events = relay.watch(vec![mailbox(1)]);
    assert!(matches!(next(&mut events).await, WatchEvent::Down(RelayError::Transient { .. })));
    proxy.delay(Duration::ZERO);
    while !matches!(next(&mut events).await, WatchEvent::Gap) {}
    retried(&*relay, &[(mailbox(1), envelope(1, 10))]).await;
    assert_eq!(all(&*relay, mailbox(1)).await, set([envelope(1, 10)]));
}
