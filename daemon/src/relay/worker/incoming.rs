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
use kinfolk_core::ids::Millis;
use kinfolk_core::roster::Roster;
use kinfolk_core::step::{Delivery, Input};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_stream::StreamExt;
use tracing::{debug, warn};

use super::open::{Aside, open_off_loop};
use super::pace::Pace;
use super::{Pass, Settled, Shared, outgoing};
use crate::hops::{self, Hop};
use crate::relay::{Cursor, Handle, Mailbox, RelayError, Want, WatchEvent, WatchStream};
use crate::seal::Keyring;

/// Most deliveries that are open at once. 128 envelopes of at most 1.3 MiB; usually 128 × 2 KiB.
pub(super) const MAX_OPEN: usize = 128;

/// Runs until the driver is gone.
pub(super) async fn run(
    shared: Shared,
    roster: watch::Receiver<Arc<Roster>>,
    mut live: watch::Receiver<bool>,
    settlements: mpsc::Receiver<Settled>,
    mut passes: mpsc::Receiver<Pass>,
) {
    let mut keys = shared.credentials.watch();
    let mailboxes = places(&keys.borrow_and_update());
    let now = Instant::now();
    let pace = Pace::new(shared.relay.capabilities(), *live.borrow_and_update(), now);
    let put_failed = Arc::clone(&shared.put_failed);
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
        pace,
        rescan_at: now + RESCAN,
        sweep_at: now + FIRST_SWEEP,
        whole: None,
    };
    let mut watch = None;
    loop {
        if intake.pace.listens() {
            watch.get_or_insert_with(|| intake.shared.relay.watch(intake.mailboxes.clone()));
        } else {
            watch = None;
        }
        intake.shared.reporter.listening(watch.is_some());
        let look = intake.pace.next();
        tokio::select! {
            event = next_hint(&mut watch) => match event {
                Some(hint) => intake.hinted(hint, &mut watch).await,
                None => watch = None,
            },
            settled = intake.settlements.recv() => match settled {
                Some(settled) => intake.settle(settled).await,
                None => return,
            },
            pass = passes.recv() => {
                let Some(pass) = pass else { return };
                intake.pass(pass, &mut passes).await;
            }
            changed = live.changed() => {
                if changed.is_err() {
                    return;
                }
                intake.pace.set_live(*live.borrow_and_update(), Instant::now());
            }
            changed = keys.changed() => {
                if changed.is_err() {
                    return;
                }
                intake.mailboxes = places(&keys.borrow_and_update());
                watch = None;
                intake.collect_soon();
            }
            () = put_failed.notified() => intake.put_failed(),
            () = until(look) => drop(intake.collect().await),
            () = until(look.map(|_| intake.rescan_at)) => {
                intake.cursors.clear();
                intake.rescan_at = Instant::now() + RESCAN;
                intake.collect().await;
            }
            () = until(look.map(|_| intake.sweep_at)) => intake.sweep().await,
        }
    }
}

/// Where to look with these keys.
fn places(keyring: &Keyring) -> Vec<Mailbox> {
    keyring.mailboxes().into_iter().map(Mailbox).collect()
}

/// The next hint; none ever while nobody listens.
async fn next_hint(watch: &mut Option<WatchStream>) -> Option<WatchEvent> {
    match watch {
        Some(watch) => watch.next().await,
        None => std::future::pending().await,
    }
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
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
    pace: Pace,
    /// When everything is fetched from nothing.
    rescan_at: Instant,
    /// When old mail is swept.
    sweep_at: Instant,
    /// When a fetch from nothing began that came to its end, while what it brought is not dealt with yet.
    whole: Option<Instant>,
}

impl Intake {
    /// Looks at once, and once for all hints that lie ready.
    async fn hinted(&mut self, first: WatchEvent, watch: &mut Option<WatchStream>) {
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
                hint = next_hint(watch) => hint,
                () = std::future::ready(()) => None,
            };
        }
        if look {
            self.collect().await;
        }
    }

    /// Collects from nothing, for all who wait for it, and answers when what came is dealt with.
    async fn pass(&mut self, first: Pass, passes: &mut mpsc::Receiver<Pass>) {
        let mut waiting = vec![first];
        while let Ok(pass) = passes.try_recv() {
            waiting.push(pass);
        }
        let mut came = 0;
        if !self.pace.rests() || waiting.iter().any(|pass| pass.insist) {
            self.cursors.clear();
            self.rescan_at = Instant::now() + RESCAN;
            came = self.collect().await;
            self.settle_all().await;
            if Instant::now() >= self.sweep_at {
                self.sweep().await;
            }
        }
        // Whoever went away does not need the answer.
        for pass in waiting {
            pass.done.send(came).ok();
        }
    }

    /// Removes what is too old from the relay.
    async fn sweep(&mut self) {
        if let Err(error) = self.shared.relay.sweep(&self.mailboxes).await {
            debug!(%error, "a sweep failed; the next one will do");
        }
        self.sweep_at = Instant::now() + SWEEP;
    }

    /// Collects everything there is, as far as deliveries may be open; how many envelopes came that were not under way already.
    async fn collect(&mut self) -> u64 {
        hops::passed(Hop::Hinted);
        let mut came = 0;
        let from_nothing = self.cursors.is_empty().then(Instant::now);
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
            if !self.up().await {
                return came;
            }
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
                self.pace.looked(came > 0, Instant::now(), rand::random());
                self.whole = from_nothing.or(self.whole);
                self.tell_fetched().await;
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
            Err(Aside::Removed) => Input::FromRemoved(delivery),
            Err(Aside::Unopenable(reason)) => {
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
                    self.whole = None;
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
        self.tell_fetched().await;
    }

    /// Once all that a fetch from nothing brought is dealt with, the engine is told: nothing older lies on this relay.
    async fn tell_fetched(&mut self) {
        if let Some(began) = self.whole.take_if(|_| self.open.is_empty()) {
            let took = Millis(u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX));
            let relay = self.shared.relay.id();
            self.shared.driver.tell(Input::Fetched { relay, took }).await.ok();
        }
    }

    /// Other mailboxes are to be looked into: at once, if this worker looks by itself.
    fn collect_soon(&mut self) {
        self.cursors.retain(|mailbox, _| self.mailboxes.contains(mailbox));
        self.rescan_at = Instant::now();
    }

    /// Something lies behind the cursors. Not at once: what hindered it (a full disk) will hinder it for a while.
    fn rescan_soon(&mut self) {
        self.rescan_at = self.rescan_at.min(Instant::now() + RESCAN_SOON);
    }

    /// A put did not work: the next look shows whether the relay does.
    fn put_failed(&mut self) {
        if let Some(fault) = self.shared.reporter.get().fault {
            self.pace.failed(fault, None, Instant::now(), rand::random());
        }
    }

    /// A fetch worked. After a put that did not, this alone does not prove the relay well: a full disk can be read. Says whether it is.
    async fn up(&mut self) -> bool {
        if self.shared.reporter.put_failed()
            && let Err(error) = self.shared.relay.probe().await
        {
            self.shared.reporter.failed(&error);
            self.pace.failed(error.fault(), error.asked_to_wait(), Instant::now(), rand::random());
            return false;
        }
        if self.shared.reporter.worked() {
            outgoing::health(&self.shared, true).await;
        }
        true
    }

    async fn down(&mut self, error: &RelayError) {
        self.pace.failed(error.fault(), error.asked_to_wait(), Instant::now(), rand::random());
        self.cursors.clear();
        if self.shared.reporter.failed(error) {
            warn!(%error, rests = self.pace.rests(), "a relay does not work");
            outgoing::health(&self.shared, false).await;
        }
    }
}

/// Most sealed bytes collected at once: 4 MiB.
const FETCH_BYTES: usize = 4 << 20;
/// How often everything is fetched from nothing: 15 min.
const RESCAN: Duration = Duration::from_secs(15 * 60);
/// How soon after something was collected in vain: 5 s.
const RESCAN_SOON: Duration = Duration::from_secs(5);
/// How long after the start old mail is swept, and how often after that.
const FIRST_SWEEP: Duration = Duration::from_secs(60);
const SWEEP: Duration = Duration::from_secs(12 * 3600);
