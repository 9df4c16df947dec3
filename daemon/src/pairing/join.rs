//! The new device's side.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use kinfolk_core::ids::{Hash, Millis};
use tokio::sync::mpsc;
use tracing::{debug, warn};

use super::rendezvous::Rendezvous;
use super::{JoinError, OFFER_PATIENCE, left, welcome};
use crate::config::Spans;
use crate::driver::{before, wall_clock};
use crate::node::{MAX_RELAYS, Node};
use crate::relay::{self, Relay, RelayError, RelayUrl};
use crate::seal;
use crate::seal::pairing::{Card, Joiner, PairingError};
use crate::setup::{Family, Fresh, Places, roster_of};

/// How joining goes, in this order.
pub enum JoinEvent {
    /// The card is good and its relays answer.
    Accepted {
        /// Their URLs, without secrets.
        relays: Vec<String>,
        /// When the card becomes void, by the wall clock.
        expires: Millis,
    },
    /// The other device is proven: this code must be typed there.
    CheckCode(String),
    /// Done. The last event.
    Joined(Arc<Node>),
    /// Nothing was written. The last event.
    Failed(JoinError),
}

/// What a device that joins wants to be different for itself.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    /// The URLs under which it reaches the card's relays, where they differ: a folder is seldom mounted at the same path twice.
    pub relays: Vec<String>,
    /// Contents of messages that are older than this may come after the rest.
    pub recent: Option<Millis>,
}

/// Joins the family of the device that shows `card`; tells how it goes. Ends early when nobody listens.
pub(crate) async fn join(
    places: &Places,
    spans: Spans,
    card: &str,
    name: &str,
    wishes: &Wishes,
    events: &mpsc::Sender<JoinEvent>,
) -> Result<Arc<Node>, JoinError> {
    let card = Card::parse(card.trim()).map_err(PairingError::from)?;
    let Wishes { relays: places_of_relays, recent } = wishes;
    let mut fresh = Fresh::generate(name, &mut rand::rng())?;
    fresh.recent_us = recent.map(|age| before(wall_clock(), age));
    let joiner = Joiner::new(card, &fresh.device, &fresh.identity, &fresh.prekey, wall_clock())?;
    let candidates = [places_of_relays.as_slice(), joiner.card().relays()].concat();
    let reached = reach(&candidates).await?;
    let urls = reached.iter().map(|(_, url)| url.to_string()).collect();
    for (relay, url) in &reached {
        // One that goes by two names keeps the first, which is this device's own word for it.
        let known = fresh.relays.iter().any(|(id, _)| *id == relay.id());
        if !known && fresh.relays.len() < MAX_RELAYS {
            fresh.relays.push((relay.id(), url.clone()));
        }
    }
    let rendezvous = Rendezvous::new(reached.into_iter().map(|(relay, _)| relay).collect());
    let expires = joiner.card().expires();
    events.send(JoinEvent::Accepted { relays: urls, expires }).await.ok();

    let answering = tokio::sync::Notify::new();
    let talk = async {
        let offer = first(&rendezvous, joiner.offer_mailbox(), |bytes| joiner.on_offer(bytes, &mut rand::rng()));
        let answered = tokio::time::timeout(OFFER_PATIENCE, offer).await.map_err(|_| JoinError::NoOffer)??;
        rendezvous.post(answered.answer()).await.map_err(JoinError::Unreachable)?;
        answering.notify_one();
        let trusting = first(&rendezvous, answered.accept_mailbox(), |bytes| answered.on_accept(bytes)).await?;
        events.send(JoinEvent::CheckCode(trusting.code().to_string())).await.ok();
        first(&rendezvous, trusting.finalize_mailbox(), |bytes| trusting.on_finalize(bytes)).await
    };
    // The inviter takes its offer away when the pairing is over, after it has left the welcome if there is one.
    let over = async {
        answering.notified().await;
        rendezvous.emptied(joiner.offer_mailbox()).await;
    };
    let welcomed = tokio::select! {
        biased;
        welcomed = talk => welcomed?,
        () = tokio::time::sleep(left(expires, wall_clock())) => return Err(JoinError::Silent),
        () = over => return Err(JoinError::Ended),
        () = events.closed() => return Err(JoinError::Silent),
    };

    let welcome = welcome::decode(&welcomed.content)?;
    if welcome.roster != welcomed.roster_id {
        return Err(JoinError::Welcome("it is for another roster than the card"));
    }
    let (records, _) = seal::verify_records(welcome.records);
    let roster = roster_of(welcome.roster, records.iter().cloned());
    if !roster.members().any(|member| member.device.key == welcomed.inviter) {
        return Err(JoinError::Welcome("the device that invites is not on its roster"));
    }
    if roster.member(fresh.device.id).is_none_or(|member| member.device.key != fresh.device.key) {
        return Err(JoinError::Welcome("this device is not on its roster"));
    }
    let records = records.iter().map(|record| record.get().clone()).collect();
    let family = Family { roster: welcome.roster, records, groups: welcome.groups, announced: welcome.announced };
    let opened = places.join(fresh, family, &mut rand::rng())?;
    let node = Node::start(opened, spans).await?;
    for url in places_of_relays.iter().chain(&welcome.relays) {
        // A relay that this device cannot reach now can be added later; the others do meanwhile.
        if let Err(error) = node.add_known_relay(url).await {
            warn!(%error, "a relay of the family was not added");
        }
    }
    Ok(node)
}

/// Connects to the card's relays; one is enough.
async fn reach(urls: &[String]) -> Result<Vec<(Arc<dyn Relay>, RelayUrl)>, JoinError> {
    let mut reached = Vec::new();
    let mut last = JoinError::NoRelay;
    for url in urls {
        let connected = async {
            let url = RelayUrl::parse(url)?;
            Ok::<_, RelayError>((relay::connect(&url).await?, url))
        };
        match connected.await {
            Ok(found) => reached.push(found),
            Err(error) => last = JoinError::Unreachable(error),
        }
    }
    if reached.is_empty() { Err(last) } else { Ok(reached) }
}

/// The first message in a mailbox that holds; litter is passed over. A message that proves misuse ends the pairing.
async fn first<T>(
    rendezvous: &Rendezvous,
    mailbox: [u8; 32],
    mut read: impl FnMut(&[u8]) -> Result<T, PairingError>,
) -> Result<T, JoinError> {
    let mut seen: BTreeSet<Hash> = BTreeSet::new();
    loop {
        let bytes: Bytes = rendezvous.next(mailbox, &mut seen).await;
        match read(&bytes) {
            Ok(read) => return Ok(read),
            Err(error @ (PairingError::Commitment | PairingError::Version { .. } | PairingError::Record(_))) => {
                return Err(error.into());
            }
            Err(error) => debug!(%error, "something in a pairing mailbox was ignored"),
        }
    }
}
