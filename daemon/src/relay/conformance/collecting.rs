//! Collecting: complete, bounded, fair, and never torn.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{Bed, PLENTY, all, envelope, envelopes, fetch, mailbox, set};
use crate::relay::{Cursor, Envelope, Handle, Mailbox, PutOutcome, Want};

pub(in crate::relay) async fn a_fetch_from_nothing_returns_everything(bed: &dyn Bed) {
    let mut put: BTreeMap<Mailbox, Vec<Envelope>> = BTreeMap::new();
    for handle in 0..3 {
        let relay = bed.relay().await;
        for number in 0..10 {
            let (to, envelope) = (mailbox(number % 4), envelope(handle * 100 + number, usize::from(number) * 97));
            relay.put(&[(to, envelope.clone())]).await.unwrap();
            put.entry(to).or_default().push(envelope);
        }
    }
    let relay = bed.relay().await;
    let wants: Vec<Want> = put.keys().copied().map(Want::all).collect();
    for _ in 0..2 {
        let answers = relay.fetch(&wants, PLENTY).await.unwrap();
        assert_eq!(answers.len(), wants.len());
        for (answer, want) in answers.iter().zip(&wants) {
            assert_eq!(answer.mailbox, want.mailbox, "answers come in the order of the wants");
            assert_eq!(set(envelopes(answer)), set(put[&answer.mailbox].clone()));
            assert!(!answer.more);
        }
    }
}

pub(in crate::relay) async fn an_unknown_mailbox_is_empty(bed: &dyn Bed) {
    let relay = bed.relay().await;
    let fetched = fetch(&*relay, mailbox(9)).await;
    assert_eq!((fetched.mail.len(), fetched.more, fetched.torn), (0, false, 0));
    relay.acknowledge(mailbox(9), &[Handle(Bytes::from_static(b"?"))]).await.unwrap();
}

pub(in crate::relay) async fn nothing_asked_is_nothing_done(bed: &dyn Bed) {
    let relay = bed.relay().await;
    assert_eq!(relay.put(&[]).await.unwrap(), []);
    assert_eq!(relay.fetch(&[], PLENTY).await.unwrap(), []);
    relay.acknowledge(mailbox(1), &[]).await.unwrap();
    relay.put(&[(mailbox(1), envelope(1, 0))]).await.unwrap();
    assert_eq!(all(&*relay, mailbox(1)).await, set([envelope(1, 0)]), "an empty envelope is one");
}

pub(in crate::relay) async fn answers_are_bounded_and_reach_the_end(bed: &dyn Bed) {
    let relay = bed.relay().await;
    let put: Vec<Envelope> = (0..20).map(|number| envelope(number, 1000)).collect();
    let items: Vec<(Mailbox, Envelope)> = put.iter().map(|envelope| (mailbox(1), envelope.clone())).collect();
    relay.put(&items).await.unwrap();
    for (max_bytes, most) in [(2500, 2), (1000, 1), (1, 1), (0, 1), (PLENTY, 20)] {
        let mut want = Want::all(mailbox(1));
        let mut seen = BTreeMap::new();
        loop {
            let mut answers = relay.fetch(std::slice::from_ref(&want), max_bytes).await.unwrap();
            let answer = answers.pop().unwrap();
            let count = answer.mail.len();
            assert!(count <= most, "{count} envelopes in an answer of at most {max_bytes} bytes");
            assert!(count >= 1 || !answer.more, "an answer without progress");
            seen.extend(set(envelopes(&answer)));
            want.after = answer.cursor;
            if !answer.more {
                break;
            }
        }
        assert_eq!(seen, set(put.clone()), "at {max_bytes} bytes an answer");
    }
}

pub(in crate::relay) async fn a_flooded_mailbox_starves_no_other(bed: &dyn Bed) {
    let relay = bed.relay().await;
    let flood: Vec<(Mailbox, Envelope)> = (0..50).map(|number| (mailbox(1), envelope(number, 1000))).collect();
    relay.put(&flood).await.unwrap();
    relay.put(&[(mailbox(2), envelope(99, 1000))]).await.unwrap();
    let wants = [Want::all(mailbox(1)), Want::all(mailbox(2))];
    let answers = relay.fetch(&wants, 4000).await.unwrap();
    assert_eq!(envelopes(&answers[1]), [envelope(99, 1000)]);
    assert!(answers[0].more && !answers[1].more);
    let bytes: usize = answers.iter().flat_map(|answer| &answer.mail).map(|mail| mail.envelope.sealed.len()).sum();
    assert!(bytes <= 4000, "{bytes}");
}

pub(in crate::relay) async fn mail_put_after_a_cursor_is_found_from_it(bed: &dyn Bed) {
    let relay = bed.relay().await;
    // The later mail has the smaller id: its sender's clock is behind.
    relay.put(&[(mailbox(1), envelope(200, 10))]).await.unwrap();
    let after = fetch(&*relay, mailbox(1)).await.cursor;
    bed.relay().await.put(&[(mailbox(1), envelope(100, 10))]).await.unwrap();
    let want = Want { mailbox: mailbox(1), after };
    let answers = relay.fetch(&[want], PLENTY).await.unwrap();
    assert!(envelopes(&answers[0]).contains(&envelope(100, 10)));
}

pub(in crate::relay) async fn a_lost_or_foreign_cursor_loses_nothing(bed: &dyn Bed) {
    let relay = bed.relay().await;
    let put: Vec<Envelope> = (0..5).map(|number| envelope(number, 10)).collect();
    for envelope in &put {
        relay.put(&[(mailbox(1), envelope.clone())]).await.unwrap();
    }
    let first = relay.fetch(&[Want::all(mailbox(1))], 20).await.unwrap();
    assert!(first[0].more);
    assert_eq!(all(&*relay, mailbox(1)).await, set(put.clone()), "the cursor was lost");
    for garbage in [&b""[..], b"x", &[0xff; 7], &[7; 100]] {
        let after = Some(Cursor(Bytes::copy_from_slice(garbage)));
        let want = Want { mailbox: mailbox(1), after };
        let answers = relay.fetch(&[want], PLENTY).await.unwrap();
        assert_eq!(set(envelopes(&answers[0])), set(put.clone()), "{garbage:?}");
    }
    // A cursor of another handle may save work or not; what it does not return, it returned before.
    let want = Want { mailbox: mailbox(1), after: first[0].cursor.clone() };
    let rest = bed.relay().await.fetch(&[want], PLENTY).await.unwrap();
    let mut seen = set(envelopes(&first[0]));
    seen.extend(set(envelopes(&rest[0])));
    assert_eq!(seen, set(put));
}

pub(in crate::relay) async fn a_torn_copy_is_never_returned(bed: &dyn Bed) {
    let relay = bed.relay().await;
    bed.tear(mailbox(1), &envelope(1, 5000)).await;
    relay.put(&[(mailbox(1), envelope(2, 5000))]).await.unwrap();
    for _ in 0..2 {
        let fetched = fetch(&*relay, mailbox(1)).await;
        assert_eq!(envelopes(&fetched), [envelope(2, 5000)]);
        assert_eq!(fetched.torn, 1, "it is counted, and left where it is");
    }
}

pub(in crate::relay) async fn a_put_mends_a_torn_copy(bed: &dyn Bed) {
    let relay = bed.relay().await;
    bed.tear(mailbox(1), &envelope(1, 5000)).await;
    let fetched = fetch(&*relay, mailbox(1)).await;
    assert_eq!((fetched.mail.len(), fetched.torn), (0, 1));
    let outcomes = relay.put(&[(mailbox(1), envelope(1, 5000))]).await.unwrap();
    assert_eq!(outcomes, [PutOutcome::Stored]);
    assert_eq!(all(&*relay, mailbox(1)).await, set([envelope(1, 5000)]));
    let want = Want { mailbox: mailbox(1), after: fetched.cursor };
    let answers = relay.fetch(&[want], PLENTY).await.unwrap();
    assert_eq!(envelopes(&answers[0]), [envelope(1, 5000)], "a cursor does not hide what was torn before");
}
