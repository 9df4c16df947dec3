//! Parcels in: watch, collect, open, verify, hand over; acknowledge what became durable.
//!
//! A delivery stays *open* from the moment it is handed to the driver until the driver says what became of it; while it is open, a fetch
//! that returns it again is ignored. At most [`MAX_OPEN`] are open at once, then handing
//! over waits for the driver's word on one of them: memory stays bounded whatever lies in the mailbox, and the driver always finds room for its
//! word.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kinfolk_core::parcel::VerifiedParcel;
use kinfolk_core::roster::Roster;
use kinfolk_core::step::{Delivery, Input};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_stream::StreamExt;
use tracing::{debug, warn};

use super::{Credentials, Pass, Settled, Shared, outgoing};
use crate::hops::{self, Hop};
use crate::relay::{Cursor, Handle, Mailbox, Push, RelayError, Want, WatchEvent, WatchStream, backoff};
use crate::seal;

/// Most deliveries that are open at once. 128 envelopes of at most 1.3 MiB; usually 128 × 2 KiB.
pub(super) const MAX_OPEN: usize = 128;

/// Runs until the driver is gone.
pub(super) async fn run(
    shared: Shared,
    roster: watch::Receiver<Arc<Roster>>,
    settlements: mpsc::Receiver<Settled>,
    mut passes: mpsc::Receiver<Pass>,
) {
    let mailboxes: Vec<Mailbox> = shared.credentials.keyring.mailboxes().into_iter().map(Mailbox).collect();
    let mut watch = shared.relay.watch(mailboxes.clone());
    let idle = poll_interval(&shared);
    let mut intake = Intake {
        shared,
        roster,
        mailboxes,
        cursors: BTreeMap::new(),
        open: BTreeMap::new(),
        held: BTreeSet::new(),
        settlements,
        // The driver may still hold deliveries of an earlier worker of this relay: its tickets must not be taken for ours.
        tickets: rand::random(),
        failures: 0,
        rescan_at: Instant::now() + RESCAN,
    };
    let mut next_look = Instant::now();
    let mut next_sweep = Instant::now() + FIRST_SWEEP;
    loop {
        tokio::select! {
            event = watch.next() => match event {
                Some(hint) => {
                    intake.hinted(hint, &mut watch).await;
                    next_look = Instant::now() + intake.pause(idle);
                }
                None => watch = intake.shared.relay.watch(intake.mailboxes.clone()),
            },
            settled = intake.settlements.recv() => match settled {
                Some(settled) => intake.settle(settled).await,
                None => return,
            },
            pass = passes.recv() => {
                let Some(done) = pass else { return };
                intake.cursors.clear();
                let came = intake.collect().await;
                intake.settle_all().await;
                done.send(came).ok();
                next_look = Instant::now() + idle;
            }
            () = tokio::time::sleep_until(next_look) => {
                intake.collect().await;
                next_look = Instant::now() + intake.pause(idle);
            }
            () = tokio::time::sleep_until(intake.rescan_at) => {
                intake.cursors.clear();
                next_look = Instant::now();
                intake.rescan_at = Instant::now() + RESCAN;
            }
            () = tokio::time::sleep_until(next_sweep) => {
                if let Err(error) = intake.shared.relay.sweep(&intake.mailboxes).await {
                    debug!(%error, "a sweep failed; the next one will do");
                }
                next_sweep = Instant::now() + SWEEP;
            }
        }
    }
}

struct Intake {
    shared: Shared,
    roster: watch::Receiver<Arc<Roster>>,
    mailboxes: Vec<Mailbox>,
    cursors: BTreeMap<Mailbox, Cursor>,
    /// Deliveries that the driver has, by ticket.
    open: BTreeMap<u64, (Mailbox, Handle)>,
    /// The same, by what they are.
    held: BTreeSet<(Mailbox, Handle)>,
    settlements: mpsc::Receiver<Settled>,
    tickets: u64,
    failures: u32,
    /// When everything is fetched from nothing.
    rescan_at: Instant,
}

impl Intake {
    /// Looks at once, and once for all hints that lie ready.
    async fn hinted(&mut self, first: WatchEvent, watch: &mut WatchStream) {
        let mut next = Some(first);
        let mut look = false;
        while let Some(hint) = next {
            match hint {
                WatchEvent::Gap => {
                    self.cursors.clear();
                    look = true;
                }
                WatchEvent::Ready(_) => look = true,
                WatchEvent::Down(error) => self.down(&error).await,
            }
            next = tokio::select! {
                biased;
                hint = watch.next() => hint,
                () = std::future::ready(()) => None,
            };
        }
        if look {
            self.collect().await;
        }
    }

    /// Collects everything there is, as far as deliveries may be open; how many envelopes came that were not under way already.
    async fn collect(&mut self) -> u64 {
        hops::passed(Hop::Hinted);
        let mut came = 0;
        loop {
            let want = |mailbox: &Mailbox| Want { mailbox: *mailbox, after: self.cursors.get(mailbox).cloned() };
            let wants: Vec<Want> = self.mailboxes.iter().map(want).collect();
            let fetched = match self.shared.relay.fetch(&wants, FETCH_BYTES).await {
                Ok(fetched) => fetched,
                Err(error) => {
                    self.down(&error).await;
                    return came;
                }
            };
            hops::passed(Hop::Fetched);
            self.up().await;
            let more = fetched.iter().any(|fetched| fetched.more);
            for fetched in fetched {
                for delivery in fetched.mail {
                    if self.hand_over(fetched.mailbox, delivery.handle, delivery.envelope.sealed).await {
                        self.shared.reporter.received(1);
                        came += 1;
                    }
                }
                if let Some(cursor) = fetched.cursor {
                    self.cursors.insert(fetched.mailbox, cursor);
                }
            }
            if !more {
                return came;
            }
        }
    }

    /// Gives an envelope to the driver, unless it has it.
    async fn hand_over(&mut self, mailbox: Mailbox, handle: Handle, sealed: Bytes) -> bool {
        if self.held.contains(&(mailbox, handle.clone())) {
            return false;
        }
        while self.open.len() >= MAX_OPEN {
            let Some(settled) = self.settlements.recv().await else { return false };
            self.settle(settled).await;
        }
        self.tickets = self.tickets.wrapping_add(1);
        let delivery = Delivery { relay: self.shared.relay.id(), ticket: self.tickets };
        let roster = Arc::clone(&self.roster.borrow());
        let opened = open_off_loop(&sealed, mailbox, &self.shared.credentials, roster).await;
        hops::passed(Hop::Opened);
        let input = match opened {
            Ok(parcel) => Input::Received { delivery, parcel: Box::new(parcel) },
            Err(reason) => {
                warn!(%reason, "an envelope was set aside");
                Input::Unopenable { delivery, reason, bytes: sealed }
            }
        };
        self.held.insert((mailbox, handle.clone()));
        self.open.insert(delivery.ticket, (mailbox, handle));
        self.shared.driver.tell(input).await.is_ok()
    }

    /// Waits until the driver has said what became of everything it was given.
    async fn settle_all(&mut self) {
        while !self.open.is_empty() {
            let Some(settled) = self.settlements.recv().await else { return };
            self.settle(settled).await;
        }
    }

    /// Acknowledges what is durable, together with whatever else was settled meanwhile.
    async fn settle(&mut self, first: Settled) {
        let mut durable: BTreeMap<Mailbox, Vec<Handle>> = BTreeMap::new();
        let mut next = Some(first);
        while let Some(settled) = next {
            if let Some((mailbox, handle)) = self.open.remove(&settled.ticket) {
                self.held.remove(&(mailbox, handle.clone()));
                if settled.durable {
                    durable.entry(mailbox).or_default().push(handle);
                } else {
                    self.rescan_soon();
                }
            }
            next = self.settlements.try_recv().ok();
        }
        for (mailbox, handles) in durable {
            if let Err(error) = self.shared.relay.acknowledge(mailbox, &handles).await {
                // What was not deleted comes again and is acknowledged again.
                debug!(%error, "acknowledging failed");
                self.rescan_soon();
            }
        }
    }

    /// Something lies behind the cursors. Not at once: what hindered it (a full disk) will hinder it for a while.
    fn rescan_soon(&mut self) {
        self.rescan_at = self.rescan_at.min(Instant::now() + RESCAN_SOON);
    }

    /// A fetch worked. After a put that did not, this alone does not prove the relay well: a full disk can be read.
    async fn up(&mut self) {
        self.failures = 0;
        if self.shared.reporter.put_failed()
            && let Err(error) = self.shared.relay.probe().await
        {
            self.shared.reporter.failed(&error);
            return;
        }
        if self.shared.reporter.worked() {
            outgoing::health(&self.shared, true).await;
        }
    }

    async fn down(&mut self, error: &RelayError) {
        self.failures = self.failures.saturating_add(1);
        self.cursors.clear();
        if self.shared.reporter.failed(error) {
            warn!(%error, "a relay is out of reach");
            outgoing::health(&self.shared, false).await;
        }
    }

    /// How long until the next look nobody asked for: the idle interval, or a growing one while the relay is out of reach.
    fn pause(&self, idle: Duration) -> Duration {
        use rand::Rng;
        let entropy = rand::rng().next_u64();
        if self.failures > 0 {
            backoff::delay(self.failures - 1, entropy).min(LONGEST_OUTAGE_PAUSE)
        } else {
            backoff::jittered(idle, entropy)
        }
    }
}

/// A large envelope is opened away from the event loop.
async fn open_off_loop(
    sealed: &Bytes,
    mailbox: Mailbox,
    credentials: &Arc<Credentials>,
    roster: Arc<Roster>,
) -> Result<VerifiedParcel, String> {
    if sealed.len() <= LIVE_BYTES {
        return open(sealed, mailbox, credentials, &roster);
    }
    let (sealed, credentials) = (sealed.clone(), Arc::clone(credentials));
    let opened = tokio::task::spawn_blocking(move || open(&sealed, mailbox, &credentials, &roster)).await;
    opened.unwrap_or_else(|error| Err(error.to_string()))
}

fn open(sealed: &[u8], mailbox: Mailbox, credentials: &Credentials, roster: &Roster) -> Result<VerifiedParcel, String> {
    let opened = seal::open(sealed, mailbox.0, &credentials.keyring).map_err(|error| error.to_string())?;
    seal::verify(opened, roster).map_err(|error| error.to_string())
}

/// A relay that pushes is looked at rarely; one that does not, as often as it says.
fn poll_interval(shared: &Shared) -> Duration {
    let capabilities = shared.relay.capabilities();
    match capabilities.push {
        Push::None => capabilities.poll.idle,
        Push::Hint | Push::Inline => capabilities.poll.idle.max(PUSHED_LOOK),
    }
}

/// Most sealed bytes collected at once: 4 MiB.
const FETCH_BYTES: usize = 4 << 20;
/// Up to so many bytes are opened on the event loop: about 0.4 ms.
const LIVE_BYTES: usize = 16 << 10;
/// How often everything is fetched from nothing: 15 min.
const RESCAN: Duration = Duration::from_secs(15 * 60);
/// How soon after something was collected in vain: 5 s.
const RESCAN_SOON: Duration = Duration::from_secs(5);
/// How long after the start old mail is swept, and how often after that.
const FIRST_SWEEP: Duration = Duration::from_secs(60);
const SWEEP: Duration = Duration::from_secs(12 * 3600);
/// How often a relay that pushes is looked at all the same: a push may be lost.
const PUSHED_LOOK: Duration = Duration::from_secs(60);
/// The longest pause between two looks at a relay that is out of reach: 1 min.
const LONGEST_OUTAGE_PAUSE: Duration = Duration::from_secs(60);
