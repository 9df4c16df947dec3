//! Deleting: what was collected, and nothing else.

use bytes::Bytes;

use super::{Bed, all, envelope, envelopes, fetch, mailbox, set};
use crate::relay::{Handle, PutOutcome};

pub(in crate::relay) async fn acknowledging_deletes_and_may_be_repeated(bed: &dyn Bed) {
    let relay = bed.relay().await;
    for number in 0..4 {
        relay.put(&[(mailbox(1), envelope(number, 50))]).await.unwrap();
    }
    let fetched = fetch(&*relay, mailbox(1)).await;
    let (gone, kept): (Vec<_>, Vec<_>) = fetched.mail.into_iter().partition(|mail| mail.envelope.id.0[0] < 2);
    let handles: Vec<Handle> = gone.into_iter().map(|mail| mail.handle).collect();
    for _ in 0..2 {
        bed.relay().await.acknowledge(mailbox(1), &handles).await.unwrap();
        assert_eq!(all(&*relay, mailbox(1)).await, set(kept.iter().map(|mail| mail.envelope.clone())));
    }
}

pub(in crate::relay) async fn acknowledging_deletes_nothing_else(bed: &dyn Bed) {
    let relay = bed.relay().await;
    relay.put(&[(mailbox(1), envelope(1, 50)), (mailbox(2), envelope(2, 50))]).await.unwrap();
    let handles: Vec<Handle> = fetch(&*relay, mailbox(1)).await.mail.into_iter().map(|mail| mail.handle).collect();
    relay.acknowledge(mailbox(2), &handles).await.unwrap();
    let garbage: Vec<Handle> = [&b""[..], b".", b"..", b"*", b"../../kinfolk-relay", b"/", &[0; 8], &[0xff; 300]]
        .map(|bytes| Handle(Bytes::copy_from_slice(bytes)))
        .to_vec();
    relay.acknowledge(mailbox(1), &garbage).await.unwrap();
    let again = bed.relay().await;
    assert_eq!(all(&*again, mailbox(1)).await, set([envelope(1, 50)]));
    assert_eq!(all(&*again, mailbox(2)).await, set([envelope(2, 50)]));
}

pub(in crate::relay) async fn acknowledged_mail_may_be_put_again(bed: &dyn Bed) {
    let relay = bed.relay().await;
    for _ in 0..3 {
        let outcomes = relay.put(&[(mailbox(1), envelope(1, 50))]).await.unwrap();
        assert_eq!(outcomes, [PutOutcome::Stored]);
        let fetched = fetch(&*relay, mailbox(1)).await;
        assert_eq!(envelopes(&fetched), [envelope(1, 50)]);
        relay.acknowledge(mailbox(1), &[fetched.mail[0].handle.clone()]).await.unwrap();
        assert!(all(&*relay, mailbox(1)).await.is_empty());
    }
}
