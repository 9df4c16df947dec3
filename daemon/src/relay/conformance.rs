//! The contract of [`Relay`], as tests that every kind passes.
//!
//! A kind brings a [`Bed`] and one line, `conformance::suite!(Bed::new().await)`, in a test module of its own; a kind that
//! is reached over TCP adds `conformance::suite!(over_wire: …)`, with a [`proxy`] in between. Each rule gets a fresh bed.
//! Rules only use what the contract promises: repeats are forgiven everywhere, order is never looked at, hints are waited
//! for and never timed.

pub(super) mod collecting;
pub(super) mod deleting;
pub(super) mod proxy;
pub(super) mod putting;
pub(super) mod watching;
pub(super) mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use kinfolk_core::ids::EnvelopeId;
use tokio_stream::StreamExt;

use super::{Envelope, Fetched, Mailbox, Relay, Want, WatchEvent, WatchStream};

/// Budget of one mailbox on a bed's storage, in sealed bytes: small enough to fill in a test.
pub(super) const BUDGET: u64 = 256 * 1024;

/// A bound that no test reaches.
const PLENTY: usize = 16 * 1024 * 1024;

/// A hint that takes this long does not come.
const PATIENCE: Duration = Duration::from_secs(60);

/// One storage of a kind, with what the trait cannot do to it. Mailboxes hold [`BUDGET`] bytes.
#[async_trait]
pub(super) trait Bed: Send + Sync {
    /// Another handle to the storage, as another device would open it.
    async fn relay(&self) -> Arc<dyn Relay>;

    /// Leaves a copy of the envelope that is not whole.
    async fn tear(&self, mailbox: Mailbox, envelope: &Envelope);

    /// Makes everything stored so far older by `span`, by the relay's clock.
    async fn age(&self, span: Duration);
}

/// Makes one test of each rule.
macro_rules! suite {
    ($bed:expr) => {
        $crate::relay::conformance::suite! { $bed, putting;
            every_handle_names_the_same_relay
            a_probe_leaves_nothing_behind
            a_repeated_put_leaves_one_readable_copy_and_counts_once
            racing_puts_of_one_envelope_agree
            the_same_id_with_other_bytes_is_another_copy
            a_full_mailbox_says_so_until_it_is_collected
            an_oversized_envelope_does_not_stop_its_batch
            a_sweep_takes_old_mail_only
            putting_again_renews_mail
        }
        $crate::relay::conformance::suite! { $bed, collecting;
            a_fetch_from_nothing_returns_everything
            an_unknown_mailbox_is_empty
            nothing_asked_is_nothing_done
            answers_are_bounded_and_reach_the_end
            a_flooded_mailbox_starves_no_other
            mail_put_after_a_cursor_is_found_from_it
            a_lost_or_foreign_cursor_loses_nothing
            a_torn_copy_is_never_returned
            a_put_mends_a_torn_copy
        }
        $crate::relay::conformance::suite! { $bed, deleting;
            acknowledging_deletes_and_may_be_repeated
            acknowledging_deletes_nothing_else
            acknowledged_mail_may_be_put_again
        }
        $crate::relay::conformance::suite! { $bed, watching;
            a_watch_says_gap_first_and_then_hints
            every_watch_hears_of_mail
        }
    };
    (over_wire: $bed:expr) => {
        $crate::relay::conformance::suite! { $bed, wire;
            a_put_without_an_answer_is_ambiguous_and_stored_once
            a_put_cut_at_any_byte_is_whole_or_absent
            a_fetch_cut_at_any_byte_is_transient_and_loses_nothing
            an_acknowledgement_without_an_answer_may_be_repeated
            a_cut_watch_says_gap_before_any_hint
            a_watch_that_nobody_polls_holds_nobody_up
            a_server_that_answers_too_late_is_given_up_and_found_again
        }
    };
    ($bed:expr, $part:ident; $($rule:ident)+) => {
        $(
            #[tokio::test]
            async fn $rule() {
                $crate::relay::conformance::$part::$rule(&$bed).await;
            }
        )+
    };
}
pub(super) use suite;

/// Mailbox number `number`.
pub(super) fn mailbox(number: u8) -> Mailbox {
    Mailbox([number; 32])
}

/// Envelope number `number` with `length` bytes of its own.
pub(super) fn envelope(number: u8, length: usize) -> Envelope {
    let pattern = (0_u8..251).map(|byte| byte ^ number);
    Envelope { id: EnvelopeId([number; 16]), sealed: pattern.cycle().take(length).collect() }
}

/// One fetch from nothing.
pub(super) async fn fetch(relay: &dyn Relay, mailbox: Mailbox) -> Fetched {
    let mut answers = relay.fetch(&[Want::all(mailbox)], PLENTY).await.unwrap();
    assert_eq!(answers.len(), 1);
    answers.remove(0)
}

/// Everything in a mailbox, repeats forgiven.
pub(super) async fn all(relay: &dyn Relay, mailbox: Mailbox) -> BTreeMap<EnvelopeId, BTreeSet<Bytes>> {
    set(envelopes(&fetch(relay, mailbox).await))
}

fn envelopes(fetched: &Fetched) -> Vec<Envelope> {
    fetched.mail.iter().map(|delivery| delivery.envelope.clone()).collect()
}

/// Envelopes without order and repeats.
pub(super) fn set(envelopes: impl IntoIterator<Item = Envelope>) -> BTreeMap<EnvelopeId, BTreeSet<Bytes>> {
    let mut set: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for envelope in envelopes {
        set.entry(envelope.id).or_default().insert(envelope.sealed);
    }
    set
}

/// The next event, or a failed test.
pub(super) async fn next(events: &mut WatchStream) -> WatchEvent {
    let event = tokio::time::timeout(PATIENCE, events.next()).await;
    event.expect("no event came").expect("the watch ended")
}
