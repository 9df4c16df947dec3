//! Watching: a gap first, then hints.

use super::{Bed, all, envelope, mailbox, next, set};
use crate::relay::WatchEvent;

pub(in crate::relay) async fn a_watch_says_gap_first_and_then_hints(bed: &dyn Bed) {
    let (sender, receiver) = (bed.relay().await, bed.relay().await);
    sender.put(&[(mailbox(1), envelope(1, 10))]).await.unwrap();
    let mut events = receiver.watch(vec![mailbox(1), mailbox(2)]);
    assert!(matches!(next(&mut events).await, WatchEvent::Gap), "the first event");
    assert_eq!(all(&*receiver, mailbox(1)).await.len(), 1, "what lay there before is for the fetch");
    sender.put(&[(mailbox(3), envelope(2, 10))]).await.unwrap();
    sender.put(&[(mailbox(2), envelope(3, 10))]).await.unwrap();
    loop {
        match next(&mut events).await {
            WatchEvent::Ready(ready) if ready == mailbox(2) => break,
            WatchEvent::Ready(ready) => assert_eq!(ready, mailbox(1), "a mailbox that nobody asked for"),
            WatchEvent::Gap => {}
            WatchEvent::Down(error) => panic!("{error}"),
        }
    }
    assert_eq!(all(&*receiver, mailbox(2)).await, set([envelope(3, 10)]));
}

pub(in crate::relay) async fn every_watch_hears_of_mail(bed: &dyn Bed) {
    let relay = bed.relay().await;
    let mut watches = Vec::new();
    for _ in 0..3 {
        let mut events = bed.relay().await.watch(vec![mailbox(1)]);
        assert!(matches!(next(&mut events).await, WatchEvent::Gap));
        watches.push(events);
    }
    drop(relay.watch(vec![mailbox(1)]));
    for number in 0..3 {
        relay.put(&[(mailbox(1), envelope(number, 10))]).await.unwrap();
        for events in &mut watches {
            while !matches!(next(events).await, WatchEvent::Ready(ready) if ready == mailbox(1)) {}
        }
    }
}
