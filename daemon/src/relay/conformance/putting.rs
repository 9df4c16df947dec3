//! Putting: idempotent, bounded, and not for ever.

use std::time::Duration;

use bytes::Bytes;

use super::{BUDGET, Bed, all, envelope, envelopes, fetch, mailbox, set};
use crate::relay::{Envelope, Handle, PutOutcome, RETENTION};

pub(in crate::relay) async fn every_handle_names_the_same_relay(bed: &dyn Bed) {
    let (one, other) = (bed.relay().await, bed.relay().await);
    assert_eq!(one.id(), other.id());
    assert_eq!(one.capabilities(), other.capabilities());
    assert_eq!(one.capabilities().max_mailbox_bytes, Some(BUDGET), "the bed's own promise");
}

pub(in crate::relay) async fn a_probe_leaves_nothing_behind(bed: &dyn Bed) {
    let relay = bed.relay().await;
    relay.put(&[(mailbox(1), envelope(1, 100))]).await.unwrap();
    let probe = relay.probe().await.unwrap();
    assert!(probe.clock_ahead_ms.abs() < 60_000, "{probe:?}");
    assert_eq!(all(&*relay, mailbox(1)).await, set([envelope(1, 100)]));
}

pub(in crate::relay) async fn a_repeated_put_leaves_one_readable_copy_and_counts_once(bed: &dyn Bed) {
    let large = envelope(1, usize::try_from(BUDGET).unwrap() / 2 + 1);
    for round in 0..5 {
        let relay = bed.relay().await;
        let outcomes = relay.put(&[(mailbox(1), large.clone())]).await.unwrap();
        let expected = if round == 0 { PutOutcome::Stored } else { PutOutcome::AlreadyThere };
        assert_eq!(outcomes, [expected]);
    }
    let relay = bed.relay().await;
    let twice = [(mailbox(1), envelope(2, 10)), (mailbox(1), envelope(2, 10))];
    assert_eq!(relay.put(&twice).await.unwrap(), [PutOutcome::Stored, PutOutcome::AlreadyThere]);
    assert_eq!(all(&*relay, mailbox(1)).await, set([large, envelope(2, 10)]));
}

pub(in crate::relay) async fn racing_puts_of_one_envelope_agree(bed: &dyn Bed) {
    let mut racers = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let relay = bed.relay().await;
        racers.spawn(async move { relay.put(&[(mailbox(1), envelope(1, 5000))]).await.unwrap() });
    }
    for outcomes in racers.join_all().await {
        assert!(matches!(outcomes[..], [PutOutcome::Stored | PutOutcome::AlreadyThere]), "{outcomes:?}");
    }
    let fetched = fetch(&*bed.relay().await, mailbox(1)).await;
    assert_eq!(set(envelopes(&fetched)), set([envelope(1, 5000)]));
    assert_eq!(fetched.torn, 0);
}

pub(in crate::relay) async fn the_same_id_with_other_bytes_is_another_copy(bed: &dyn Bed) {
    let relay = bed.relay().await;
    let honest = envelope(1, 100);
    let forged = Envelope { id: honest.id, sealed: Bytes::from_static(b"someone else's") };
    for copy in [&forged, &honest] {
        let outcomes = relay.put(&[(mailbox(1), copy.clone())]).await.unwrap();
        assert_eq!(outcomes, [PutOutcome::Stored]);
    }
    let fetched = fetch(&*relay, mailbox(1)).await;
    assert_eq!(set(envelopes(&fetched)), set([honest.clone(), forged.clone()]));
    let forged: Vec<Handle> = fetched
        .mail
        .into_iter()
        .filter(|delivery| delivery.envelope == forged)
        .map(|delivery| delivery.handle)
        .collect();
    relay.acknowledge(mailbox(1), &forged).await.unwrap();
    assert_eq!(all(&*relay, mailbox(1)).await, set([honest]));
}

pub(in crate::relay) async fn a_full_mailbox_says_so_until_it_is_collected(bed: &dyn Bed) {
    let (sender, receiver) = (bed.relay().await, bed.relay().await);
    let half = usize::try_from(BUDGET).unwrap() / 2;
    let items = [(mailbox(1), envelope(1, half)), (mailbox(1), envelope(2, half)), (mailbox(1), envelope(3, 1))];
    let full = PutOutcome::MailboxFull { used: BUDGET, max: BUDGET };
    assert_eq!(sender.put(&items).await.unwrap(), [PutOutcome::Stored, PutOutcome::Stored, full]);
    let beside = [(mailbox(2), envelope(3, 1)), (mailbox(1), envelope(3, 1))];
    assert_eq!(sender.put(&beside).await.unwrap(), [PutOutcome::Stored, full], "other mailboxes have their own budget");

    let collected = fetch(&*receiver, mailbox(1)).await.mail;
    assert_eq!(collected.len(), 2);
    receiver.acknowledge(mailbox(1), &[collected[0].handle.clone()]).await.unwrap();
    let outcomes = sender.put(&[(mailbox(1), envelope(3, 1))]).await.unwrap();
    assert_eq!(outcomes, [PutOutcome::Stored]);
}

pub(in crate::relay) async fn an_oversized_envelope_does_not_stop_its_batch(bed: &dyn Bed) {
    let relay = bed.relay().await;
    let max = relay.capabilities().max_envelope;
    let items = [(mailbox(1), envelope(1, 10)), (mailbox(1), envelope(2, max + 1)), (mailbox(1), envelope(3, 10))];
    let outcomes = relay.put(&items).await.unwrap();
    assert_eq!(outcomes, [PutOutcome::Stored, PutOutcome::TooLarge { max }, PutOutcome::Stored]);
    assert_eq!(all(&*relay, mailbox(1)).await, set([envelope(1, 10), envelope(3, 10)]));
}

pub(in crate::relay) async fn a_sweep_takes_old_mail_only(bed: &dyn Bed) {
    let relay = bed.relay().await;
    relay.put(&[(mailbox(1), envelope(1, 10)), (mailbox(2), envelope(2, 10))]).await.unwrap();
    bed.age(RETENTION + Duration::from_secs(3600)).await;
    relay.put(&[(mailbox(1), envelope(3, 10))]).await.unwrap();
    let swept = relay.sweep(&[mailbox(1), mailbox(2)]).await.unwrap();
    assert_eq!(swept.expired, 2);
    assert_eq!(all(&*relay, mailbox(1)).await, set([envelope(3, 10)]));
    assert!(all(&*relay, mailbox(2)).await.is_empty());
    assert_eq!(relay.sweep(&[mailbox(1)]).await.unwrap().expired, 0);
}

pub(in crate::relay) async fn putting_again_renews_mail(bed: &dyn Bed) {
    let relay = bed.relay().await;
    let items = [(mailbox(1), envelope(1, 10))];
    relay.put(&items).await.unwrap();
    for _ in 0..2 {
        bed.age(RETENTION - Duration::from_secs(3600)).await;
        assert_eq!(relay.put(&items).await.unwrap(), [PutOutcome::AlreadyThere]);
    }
    bed.age(Duration::from_secs(2 * 3600)).await;
    assert_eq!(relay.sweep(&[mailbox(1)]).await.unwrap().expired, 0);
    assert_eq!(all(&*relay, mailbox(1)).await, set([envelope(1, 10)]));
}
