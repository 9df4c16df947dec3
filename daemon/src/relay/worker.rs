//! The relay worker: where plaintext ends and ciphertext begins.
//!
//! One worker serves one relay, as two tasks. [`outgoing`] takes [`Send`]s from the driver, reads the bundles they name, writes and
//! seals the parcel, and puts it; several that lie ready go in one call. [`incoming`] watches the mailboxes of this device,
//! collects, opens, verifies, hands parcels to the driver, and acknowledges what the driver has made durable.
//!
//! **Retry.** A put that failed is tried again with the same sealed bytes; after [`outgoing::TRIES`] the engine is told that it did not
//! arrive and decides itself. **Truth.** A watch only hints; what is there is what a fetch returns. **Health** is told to the engine when it
//! changes, and kept in a [`Report`] for people. **Rest.** A relay that refuses us, or is not what its URL promises, is left alone until a
//! person asks for a pass ([`Pass::insist`]); what else there is to do and when is decided by [`pace`].

mod compose;
mod incoming;
mod open;
mod outgoing;
mod pace;
mod reopen;
mod report;

use std::sync::Arc;

use kinfolk_core::ids::{Millis, RelayId};
use kinfolk_core::roster::Roster;
use kinfolk_core::step::Send;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tracing::warn;

pub(crate) use self::compose::envelope_id;
pub(crate) use self::reopen::reopen;
pub use self::report::{Report, Reporter, unreached};
use super::{Relay, RelayUrl};
use crate::credentials::Credentials;
use crate::driver::Handle;
use crate::store::{Reader, Stretch};

/// The driver's end of a worker. Nothing here waits.
#[derive(Clone, Debug)]
pub(crate) struct Mailroom {
    sends: mpsc::Sender<Outgoing>,
    settled: mpsc::Sender<Settled>,
    /// How long the relay keeps mail.
    keeps: Millis,
}

/// A parcel to be sent, with its own bundles if the driver has them still in memory.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) send: Send,
    /// The first run of `send`, unsigned; else it is read from the log.
    pub(crate) fresh: Option<Stretch>,
}

/// What became of a delivery.
#[derive(Clone, Copy, Debug)]
struct Settled {
    ticket: u64,
    /// Whether its content is durable; else it is collected again later.
    durable: bool,
}

impl Mailroom {
    /// One without a worker, and what is given to it.
    #[cfg(test)]
    pub(crate) fn unserved() -> (Self, mpsc::Receiver<Outgoing>) {
        let (sends, outbox) = mpsc::channel(MAX_SENDS);
        (Self { sends, settled: mpsc::channel(1).0, keeps: kinfolk_core::lane::KEEPS }, outbox)
    }

    /// Takes a parcel to be sent; `false` when there is no room or no worker.
    pub(crate) fn send(&self, outgoing: Outgoing) -> bool {
        self.sends.try_send(outgoing).is_ok()
    }

    /// How long the relay keeps mail.
    pub(crate) fn keeps(&self) -> Millis {
        self.keeps
    }

    /// Says what became of a delivery. One that finds no room is collected again: a repetition, not a loss.
    pub(crate) fn settle(&self, ticket: u64, durable: bool) {
        if self.settled.try_send(Settled { ticket, durable }).is_err() {
            warn!("a relay worker cannot take an acknowledgement; the envelope will be collected again");
        }
    }
}

/// A request for one full pass over a relay.
#[derive(Debug)]
struct Pass {
    /// Also over a relay that rests.
    insist: bool,
    /// Told how many envelopes came in.
    done: oneshot::Sender<u64>,
}

/// A running worker.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) id: RelayId,
    pub(crate) url: RelayUrl,
    pub(crate) relay: Arc<dyn Relay>,
    reporter: Reporter,
    passes: mpsc::Sender<Pass>,
    sends: mpsc::WeakSender<Outgoing>,
    tasks: [tokio::task::JoinHandle<()>; 2],
}

impl Worker {
    /// Starts serving `relay` and attaches it to the driver. It watches and looks by itself while `live` says so.
    pub(crate) async fn start(
        relay: Arc<dyn Relay>,
        url: RelayUrl,
        driver: Handle,
        reader: Reader,
        credentials: Arc<Credentials>,
        live: watch::Receiver<bool>,
    ) -> Self {
        let id = relay.id();
        let reporter = Reporter::new(&url, &*relay);
        let (sends, outbox) = mpsc::channel(MAX_SENDS);
        let (settled, settlements) = mpsc::channel(incoming::MAX_OPEN * 2);
        let (passes, asked) = mpsc::channel(MAX_PASSES);
        let roster: watch::Receiver<Arc<Roster>> = driver.roster();
        let shared = Shared {
            relay: Arc::clone(&relay),
            driver: driver.clone(),
            credentials,
            reporter: reporter.clone(),
            put_failed: Arc::new(Notify::new()),
        };
        let queue = sends.downgrade();
        let keeps = shared.relay.capabilities().retention.keeps();
        let keeps = Millis(u64::try_from(keeps.as_millis()).unwrap_or(u64::MAX));
        // A driver that is gone has no use for a worker; its tasks end by themselves.
        driver.attach(id, Mailroom { sends, settled, keeps }).await.ok();
        let outgoing = tokio::spawn(outgoing::run(shared.clone(), reader, outbox));
        let incoming = tokio::spawn(incoming::run(shared, roster, live, settlements, asked));
        Self { id, url, relay, reporter, passes, sends: queue, tasks: [outgoing, incoming] }
    }

    /// Asks for one full pass; the answer is how many envelopes came in, and comes when they are dealt with. A relay that rests is left alone
    /// unless a person insists. `None` when more wait for passes than one pass answers.
    pub(crate) fn ask_pass(&self, insist: bool) -> Option<oneshot::Receiver<u64>> {
        let (done, came) = oneshot::channel();
        self.passes.try_send(Pass { insist, done }).ok().map(|()| came)
    }

    /// How the relay is doing.
    pub(crate) fn report(&self) -> Report {
        let queued = self.sends.upgrade().map_or(0, |sends| sends.max_capacity() - sends.capacity());
        Report { queued, ..self.reporter.get() }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.tasks.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

/// What both tasks share.
#[derive(Clone)]
struct Shared {
    relay: Arc<dyn Relay>,
    driver: Handle,
    credentials: Arc<Credentials>,
    reporter: Reporter,
    /// Rung when a put failed.
    put_failed: Arc<Notify>,
}

/// Most who wait for a pass; one pass answers all of them.
const MAX_PASSES: usize = 64;
/// Most parcels waiting for a worker: one for each of 16 siblings, four times over.
const MAX_SENDS: usize = 64;
