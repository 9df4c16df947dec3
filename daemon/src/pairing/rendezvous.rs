//! A place to meet: one mailbox at a time, on several relays at once.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use kinfolk_core::ids::Hash;
use tokio_stream::{StreamExt, StreamMap};
use tracing::debug;

use crate::relay::worker::envelope_id;
use crate::relay::{Envelope, Mailbox, Relay, RelayError, Want, WatchEvent};
use crate::seal::pairing::{MAX_MESSAGE, Post};

/// The relays both sides reach.
pub(super) struct Rendezvous {
    relays: Vec<Arc<dyn Relay>>,
}

impl Rendezvous {
    pub(super) fn new(relays: Vec<Arc<dyn Relay>>) -> Self {
        Self { relays }
    }

    /// Leaves a message on every relay; one that takes it is enough.
    pub(super) async fn post(&self, post: &Post) -> Result<(), RelayError> {
        let envelope = Envelope { id: envelope_id(&mut rand::rng()), sealed: post.bytes.clone() };
        let items = [(Mailbox(post.mailbox), envelope)];
        let mut outcome = Ok(());
        let mut taken = false;
        for relay in &self.relays {
            match relay.put(&items).await {
                Ok(_) => taken = true,
                Err(error) => outcome = Err(error),
            }
        }
        if taken { Ok(()) } else { outcome }
    }

    /// Waits for messages in a mailbox that were not given out before. Ends only with one; the caller sets the limit.
    pub(super) async fn next(&self, mailbox: [u8; 32], seen: &mut BTreeSet<Hash>) -> Bytes {
        let mut hints = StreamMap::new();
        for (at, relay) in self.relays.iter().enumerate() {
            hints.insert(at, relay.watch(vec![Mailbox(mailbox)]));
        }
        loop {
            if let Some(found) = self.look(mailbox, seen).await {
                return found;
            }
            let hint = async {
                while let Some((_, hint)) = hints.next().await {
                    match hint {
                        WatchEvent::Gap | WatchEvent::Ready(_) => return,
                        WatchEvent::Down(error) => debug!(%error, "a relay of the rendezvous is out of reach"),
                    }
                }
                std::future::pending().await
            };
            tokio::time::timeout(super::LOOK, hint).await.ok();
        }
    }

    /// Waits until a mailbox that held something is empty on every relay that answers.
    pub(super) async fn emptied(&self, mailbox: [u8; 32]) {
        let mut empty_looks = 0;
        while empty_looks < SURE {
            tokio::time::sleep(super::LOOK).await;
            let mut answered = false;
            let mut holds = false;
            for relay in &self.relays {
                let Ok(fetched) = relay.fetch(&[Want::all(Mailbox(mailbox))], FETCH_BYTES).await else { continue };
                answered = true;
                holds |= fetched.iter().any(|found| !found.mail.is_empty());
            }
            empty_looks = if answered && !holds { empty_looks + 1 } else { 0 };
        }
    }

    /// Removes what lies in these mailboxes; what stays expires with the relay's retention.
    pub(super) async fn clear(&self, mailboxes: &[[u8; 32]]) {
        let wants: Vec<Want> = mailboxes.iter().map(|mailbox| Want::all(Mailbox(*mailbox))).collect();
        for relay in &self.relays {
            let Ok(fetched) = relay.fetch(&wants, FETCH_BYTES).await else { continue };
            for found in fetched {
                let handles: Vec<_> = found.mail.into_iter().map(|delivery| delivery.handle).collect();
                relay.acknowledge(found.mailbox, &handles).await.ok();
            }
        }
    }

    async fn look(&self, mailbox: [u8; 32], seen: &mut BTreeSet<Hash>) -> Option<Bytes> {
        for relay in &self.relays {
            let Ok(fetched) = relay.fetch(&[Want::all(Mailbox(mailbox))], FETCH_BYTES).await else { continue };
            for delivery in fetched.into_iter().flat_map(|found| found.mail) {
                let bytes = delivery.envelope.sealed;
                // A mailbox filled with litter costs a bounded number of hashes and no memory beyond that.
                if bytes.len() <= MAX_MESSAGE && seen.len() < MAX_SEEN && seen.insert(Hash::of(&bytes)) {
                    return Some(bytes);
                }
            }
        }
        None
    }
}

/// Most sealed bytes looked at at once: 1 MiB.
const FETCH_BYTES: usize = 1 << 20;
/// How many looks in a row find nothing before a mailbox counts as emptied: a sync tool may show a folder in pieces.
const SURE: u32 = 3;
/// Most different messages taken from one mailbox.
const MAX_SEEN: usize = 256;
