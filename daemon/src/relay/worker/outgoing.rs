//! Parcels out: compose what lies ready, put it in one call, tell the engine how far it came.

use std::time::{Duration, Instant};

use kinfolk_core::ids::Millis;
use kinfolk_core::step::Input;
use tokio::sync::mpsc;
use tracing::{debug, warn};

use super::compose::{ComposeError, Composed, compose};
use super::{Outgoing, Shared};
use crate::hops::{self, Hop};
use crate::relay::{Envelope, Fault, Mailbox, PutOutcome, RelayError};
use crate::store::Reader;

/// How often the same sealed bytes are offered before the engine is told that they did not arrive.
pub(super) const TRIES: u32 = 3;

/// Runs until the driver is gone.
pub(super) async fn run(shared: Shared, reader: Reader, mut outbox: mpsc::Receiver<Outgoing>) {
    let mut ready = Vec::with_capacity(BATCH);
    while outbox.recv_many(&mut ready, BATCH).await > 0 {
        hops::passed(Hop::Handed);
        let began = Instant::now();
        let mut composed = Vec::with_capacity(ready.len());
        for outgoing in ready.drain(..) {
            let ticket = outgoing.send.ticket;
            match compose_off_loop(outgoing, &reader, &shared).await {
                Ok(parcel) => composed.push(parcel),
                Err(error) => {
                    warn!(%error, "a parcel could not be made");
                    tell(&shared, ticket, None, 0, began).await;
                }
            }
        }
        if !composed.is_empty() {
            put(&shared, composed, began).await;
        }
    }
}

/// A chunk, or a run that must be read or is large, is read, compressed and sealed away from the event loop; a small one that is still in memory is
/// quicker than the way there and back.
async fn compose_off_loop(outgoing: Outgoing, reader: &Reader, shared: &Shared) -> Result<Composed, ComposeError> {
    let fresh = outgoing.fresh.as_ref().map(|fresh| fresh.run.bodies.iter().map(bytes::Bytes::len).sum::<usize>());
    let in_memory = if fresh.is_some() { 1 } else { 0 };
    let from_disk = outgoing.send.chunk.is_some()
        || !outgoing.send.contents.is_empty()
        || outgoing.send.evidence.is_some()
        || outgoing.send.runs.len() > in_memory;
    if !from_disk && fresh.unwrap_or_default() <= LIVE_BYTES {
        return compose(outgoing, reader, &shared.credentials);
    }
    let (reader, credentials) = (reader.clone(), shared.credentials.clone());
    let made = tokio::task::spawn_blocking(move || compose(outgoing, &reader, &credentials)).await;
    made.unwrap_or(Err(ComposeError::NoGroup))
}

async fn put(shared: &Shared, composed: Vec<Composed>, began: Instant) {
    hops::passed(Hop::Sealed);
    let items: Vec<(Mailbox, Envelope)> = composed.iter().map(|c| (c.mailbox, c.envelope.clone())).collect();
    let offered = Instant::now();
    match offer(shared, &items).await {
        Ok(outcomes) => {
            hops::passed(Hop::Put);
            let stored = outcomes.iter().filter(|outcome| is_there(outcome)).count();
            let note = outcomes.iter().find_map(refused).unwrap_or_default();
            shared.reporter.sent(u64::try_from(stored).unwrap_or_default(), offered.elapsed(), note);
            if shared.reporter.worked() {
                health(shared, true).await;
            }
            for (parcel, outcome) in composed.into_iter().zip(outcomes) {
                let reached = is_there(&outcome).then_some(parcel.reached);
                tell(shared, parcel.ticket, reached, parcel.envelope.sealed.len(), began).await;
            }
        }
        Err(error) => {
            debug!(%error, "a put failed");
            if shared.reporter.failed_to_put(&error) {
                health(shared, false).await;
            }
            shared.put_failed.notify_one();
            for parcel in composed {
                tell(shared, parcel.ticket, None, 0, began).await;
            }
        }
    }
}

/// Offers the same sealed bytes a few times.
async fn offer(shared: &Shared, items: &[(Mailbox, Envelope)]) -> Result<Vec<PutOutcome>, RelayError> {
    let mut tries = 0;
    loop {
        tries += 1;
        match shared.relay.put(items).await {
            Ok(outcomes) => return Ok(outcomes),
            Err(error) if tries < TRIES && error.fault() == Fault::Away && error.asked_to_wait().is_none() => {
                debug!(%error, tries, "a put failed; the same bytes are offered again");
                tokio::time::sleep(PAUSE * tries).await;
            }
            Err(error) => return Err(error),
        }
    }
}

pub(super) async fn health(shared: &Shared, up: bool) {
    let relay = shared.relay.id();
    shared.driver.tell(Input::RelayHealth { relay, up }).await.ok();
}

async fn tell(
    shared: &Shared,
    ticket: u64,
    reached: Option<Vec<(kinfolk_core::ids::SourceId, kinfolk_core::ids::Seq)>>,
    bytes: usize,
    began: Instant,
) {
    let took = Millis(u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX));
    let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
    shared.driver.tell(Input::Sent { ticket, reached, bytes, took }).await.ok();
}

fn is_there(outcome: &PutOutcome) -> bool {
    match outcome {
        PutOutcome::Stored | PutOutcome::AlreadyThere => true,
        PutOutcome::MailboxFull { .. } | PutOutcome::TooLarge { .. } => false,
    }
}

fn refused(outcome: &PutOutcome) -> Option<String> {
    match outcome {
        PutOutcome::Stored | PutOutcome::AlreadyThere => None,
        PutOutcome::MailboxFull { used, max } => {
            Some(format!("a sibling's mailbox is full ({used} of {max} bytes): mail waits here until it fetches"))
        }
        PutOutcome::TooLarge { max } => Some(format!("an envelope is larger than the {max} bytes this relay takes")),
    }
}

/// Up to so many bytes of bundles are compressed and sealed on the event loop: about 0.4 ms.
const LIVE_BYTES: usize = 16 << 10;
/// Most parcels in one put: one for each of 16 siblings.
const BATCH: usize = 16;
/// The pause before the first repetition; the second one is twice as long.
const PAUSE: Duration = Duration::from_millis(100);
