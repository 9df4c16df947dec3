//! One round of the driver: requests in, one commit, outputs performed in order.

use std::sync::Arc;

use kinfolk_core::engine::{Config, Engine};
use kinfolk_core::ids::{Millis, Now};
use kinfolk_core::step::{CallId, Change, Delivery, Input, Output, Push, Send};
use tokio::sync::oneshot;
use tracing::{error, warn};

use super::call::Call;
use super::{COMPACT_EVERY, Driver, DriverError, Request, Work};
use crate::hops::{self, Hop};
use crate::relay::worker;
use crate::store::{Compacted, StoreError};

/// What a round has gathered so far.
#[derive(Default)]
struct Round {
    /// Outputs to perform once everything is durable.
    later: Vec<Output>,
    /// What siblings sent in this round: offered again if the commit fails.
    deliveries: Vec<Delivery>,
    /// A sibling's parcel is among them.
    heard: bool,
    /// To be done when the transaction is over.
    chores: Vec<(Work, oneshot::Sender<Result<(), DriverError>>)>,
    begun: bool,
    /// Secrets of epochs or prekeys came or went.
    keys: bool,
}

impl Driver {
    /// Runs one round over `ready`; says when the engine wants the next one.
    pub(super) fn round(&mut self, ready: &mut Vec<Request>, config: Config) -> Option<Millis> {
        hops::passed(Hop::Taken);
        let now = self.now();
        let mut round = Round::default();
        match self.decide(ready, &mut round, now, config) {
            Ok(wake) => {
                if round.begun {
                    self.picture.fault = None;
                }
                if round.heard {
                    self.picture.last_down = Some(now.wall);
                }
                self.follow_epochs(round.keys, now);
                // Before the replies: whoever has one and looks, sees it.
                self.publish(now);
                self.passes.depart(&self.engine);
                let turned_away = self.perform(round.later, now);
                for (work, reply) in round.chores {
                    drop(reply.send(work(&mut self.store).map_err(|error| DriverError::from(&error))));
                }
                // Restored at the beginning of the next round.
                self.stale = self.engine.is_spent();
                // The engine was told of a parcel that no worker took, and has not decided yet when to try again.
                if turned_away || self.stale {
                    return Some(now.mono);
                }
                if self.passes.end(&self.engine) {
                    self.engine.handle(Input::Gate { open: self.passes.gate_open() }, now);
                }
                wake
            }
            Err(fault) => {
                self.recover(round, std::mem::take(ready), &fault, config);
                self.publish(now);
                Some(now.mono.plus(RETRY_AFTER_FAULT))
            }
        }
    }

    fn decide(
        &mut self,
        ready: &mut Vec<Request>,
        round: &mut Round,
        now: Now,
        config: Config,
    ) -> Result<Option<Millis>, StoreError> {
        if self.stale {
            self.restore(config)?;
        }
        ready.reverse();
        while let Some(request) = ready.pop() {
            self.take(request, round, now)?;
            self.collect(round, now)?;
        }
        self.mint(now);
        let daily = now.mono >= self.compact_at;
        if daily {
            self.compact_at = now.mono.plus(COMPACT_EVERY);
            // Nobody waits for it.
            self.next_call += 1;
            self.compact(CallId(self.next_call), now)?;
        }
        self.rekey(now);
        self.prune_daily(daily, now);
        self.collect(round, now)?;
        self.tell_lacking(now);
        let wake = self.engine.settle(now);
        self.collect(round, now)?;
        if round.begun {
            hops::passed(Hop::Applied);
            self.store.commit()?;
            hops::passed(Hop::Durable);
        }
        Ok(self.or_pruning(wake))
    }

    /// Hands one request to the engine, with what the store knows about it.
    fn take(&mut self, request: Request, round: &mut Round, now: Now) -> Result<(), StoreError> {
        match request {
            // Its caller's deadline has passed, or the caller is gone: it would be answered to nobody.
            Request::Push { reply, .. } if reply.is_closed() => {}
            Request::Push { ops, app, bases, reply } => {
                // Registered first: whoever waits is answered, also when the store fails on the next line.
                let call = self.register(Call::Push(reply));
                let facts = self.store.facts(&ops)?;
                let app_fact = app.as_ref().map(|app| self.store.app_fact(app)).transpose()?.flatten();
                self.engine.handle(Input::Push(Push { call, ops, app, facts, app_fact, bases }), now);
            }
            Request::Author { change, reply } => match self.sign(change, now) {
                Ok(record) => {
                    let call = self.register(Call::Author(reply));
                    self.engine.handle(Input::Record { call, record }, now);
                }
                Err(fault) => drop(reply.send(Err(fault))),
            },
            Request::Tell(input) => {
                self.trail.note(&input, &self.picture.status.siblings, now.wall);
                match &input {
                    Input::Received { delivery, .. } => {
                        round.deliveries.push(*delivery);
                        round.heard = true;
                    }
                    Input::Unopenable { delivery, .. } | Input::FromRemoved(delivery) => {
                        round.deliveries.push(*delivery);
                    }
                    Input::Sent { reached: Some(_), .. } => self.picture.last_up = Some(now.wall),
                    Input::RelayHealth { relay, up } => self.note_health(*relay, *up),
                    Input::Push(_)
                    | Input::Record { .. }
                    | Input::Sent { reached: None, .. }
                    | Input::RelayAdded(_)
                    | Input::RelayKeeps { .. }
                    | Input::RelayLeaving(_)
                    | Input::RelayRemoved(_)
                    | Input::RelayOrder(_)
                    | Input::Gate { .. }
                    | Input::Pass
                    | Input::SyncNow
                    | Input::AskSums(_)
                    | Input::Minted { .. }
                    | Input::Compact { .. }
                    | Input::Looked(_)
                    | Input::Rekeyed(_)
                    | Input::Fetched { .. }
                    | Input::Prunes(_)
                    | Input::Lacking(_)
                    | Input::Prune { .. }
                    | Input::Seek { .. }
                    | Input::Tick => {}
                }
                self.engine.handle(input, now);
            }
            Request::Attach { relay, worker } => {
                self.attach(relay, worker);
                self.introduce(relay, now);
                self.engine.handle(Input::RelayOrder(self.preference.clone()), now);
            }
            Request::Detach { relay } => {
                self.detach(relay);
                self.engine.handle(Input::RelayRemoved(relay), now);
            }
            Request::Prefer { order } => {
                self.preference = order;
                self.engine.handle(Input::RelayOrder(self.preference.clone()), now);
            }
            Request::Hold { held } => {
                self.passes.held = held;
                self.engine.handle(Input::Gate { open: self.passes.gate_open() }, now);
            }
            Request::Pass { again, reply } => {
                self.passes.begin(reply);
                self.engine.handle(Input::Gate { open: true }, now);
                self.engine.handle(if again { Input::SyncNow } else { Input::Pass }, now);
            }
            Request::Compact { dry_run: true, reply } => {
                let chain = self.store.chain(&self.engine.compaction_places(now))?;
                drop(reply.send(Ok((self.engine.compactable(&chain, now), Compacted::default()))));
            }
            Request::Compact { dry_run: false, reply } => {
                let call = self.register(Call::Compact(reply));
                self.compact(call, now)?;
            }
            Request::Prune { before_us, dry_run, reply } => self.prune(before_us, dry_run, reply, now)?,
            Request::Seek { wanted, reply } => self.seek(wanted, reply, now),
            Request::Retain { days, reply } => {
                self.retain(days, now);
                // Answered when the picture shows it.
                round.chores.push((Box::new(|_| Ok(())), reply));
            }
            Request::Keep { work, reply } => round.chores.push((work, reply)),
            Request::Stop { done } => drop(done.send(())),
        }
        Ok(())
    }

    /// Lets the engine compact, with the chain hashes it decides by.
    pub(super) fn compact(&mut self, call: CallId, now: Now) -> Result<(), StoreError> {
        let chain = self.store.chain(&self.engine.compaction_places(now))?;
        self.engine.handle(Input::Compact { call, chain }, now);
        Ok(())
    }

    /// Applies commits as they come, in the open transaction, answers questions to the log, and keeps the rest for later.
    fn collect(&mut self, round: &mut Round, now: Now) -> Result<(), StoreError> {
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Commit(change) => {
                    if !round.begun {
                        self.store.begin()?;
                        round.begun = true;
                    }
                    self.store.apply(&change)?;
                    let gone = matches!(&change, Change::EpochGone(_) | Change::PrekeyGone(_));
                    round.keys |= gone || matches!(&change, Change::Epoch(_) | Change::Prekey(_));
                    if let Change::Append(append) = &change
                        && append.device == self.me
                    {
                        self.recent.push(&append.bundle);
                    }
                }
                Output::Look(look) => self.look_up(look, now)?,
                Output::Reply(..) | Output::Send(_) | Output::Acknowledge(_) => round.later.push(output),
            }
        }
        Ok(())
    }

    /// Performs outputs in order; says whether a parcel found no worker.
    fn perform(&mut self, outputs: Vec<Output>, now: Now) -> bool {
        let mut turned_away = false;
        for output in outputs {
            match output {
                Output::Commit(_) | Output::Look(_) => error!("a commit or a question was left for after the commit"),
                Output::Reply(call, reply) => {
                    if let Some(caller) = self.calls.remove(&call) {
                        caller.answer(reply, &self.store);
                    }
                }
                Output::Send(send) => turned_away |= !self.dispatch(send, now),
                Output::Acknowledge(delivery) => self.settle_delivery(delivery, true),
            }
        }
        turned_away
    }

    /// Gives a parcel to its relay's worker. One that is full or gone counts as a parcel that did not arrive.
    fn dispatch(&mut self, mut send: Send, now: Now) -> bool {
        send.letter.digest = Some(self.store.digest());
        send.letter.sums = send.letter.sums.map(|_| self.store.sums());
        let ticket = send.ticket;
        self.trail.departs(&send);
        let own = send.runs.first().filter(|run| run.device == self.me);
        let fresh = own.and_then(|run| self.recent.stretch(self.me, run));
        let worker = self.relays.get(&send.relay);
        let taken = worker.is_some_and(|worker| worker.send(worker::Outgoing { send, fresh }));
        if !taken {
            self.engine.handle(Input::Sent { ticket, reached: None, bytes: 0, took: Millis(0) }, now);
        }
        taken
    }

    fn settle_delivery(&self, delivery: Delivery, durable: bool) {
        if let Some(worker) = self.relays.get(&delivery.relay) {
            worker.settle(delivery.ticket, durable);
        }
    }

    /// Answers the error to everyone in this round, drops the engine and restores it.
    fn recover(&mut self, round: Round, left: Vec<Request>, fault: &StoreError, config: Config) {
        error!(%fault, "a commit failed; nothing of this round happened");
        self.picture.fault = Some(fault.to_string());
        // Also one that an earlier recovery could not undo.
        if let Err(fault) = self.store.rollback() {
            error!(%fault, "rolling back failed");
        }
        for (_, caller) in std::mem::take(&mut self.calls) {
            caller.fail(DriverError::from(fault));
        }
        for delivery in round.deliveries {
            self.settle_delivery(delivery, false);
        }
        for (_, reply) in round.chores {
            drop(reply.send(Err(DriverError::from(fault))));
        }
        self.passes.fail(&DriverError::from(fault));
        left.into_iter().for_each(|request| self.turn_away(request, fault));
        self.stale = true;
        self.recent.clear();
        if let Err(fault) = self.restore(config) {
            warn!(%fault, "the store cannot be read; nothing is decided until it can");
        }
    }

    /// Answers a request that came after the fault.
    fn turn_away(&mut self, request: Request, fault: &StoreError) {
        match request {
            Request::Push { reply, .. } => Call::Push(reply).fail(DriverError::from(fault)),
            Request::Author { reply, .. } => Call::Author(reply).fail(DriverError::from(fault)),
            Request::Tell(
                Input::Received { delivery, .. } | Input::Unopenable { delivery, .. } | Input::FromRemoved(delivery),
            ) => {
                self.settle_delivery(delivery, false);
            }
            Request::Tell(Input::RelayHealth { relay, up }) => self.note_health(relay, up),
            // Everything else the restored engine learns anew.
            Request::Tell(_) => {}
            Request::Attach { relay, worker } => self.attach(relay, worker),
            Request::Detach { relay } => self.detach(relay),
            Request::Prefer { order } => self.preference = order,
            Request::Hold { held } => self.passes.held = held,
            Request::Keep { reply, .. } | Request::Pass { reply, .. } | Request::Retain { reply, .. } => {
                drop(reply.send(Err(DriverError::from(fault))));
            }
            Request::Compact { reply, .. } => drop(reply.send(Err(DriverError::from(fault)))),
            Request::Prune { reply, .. } => drop(reply.send(Err(DriverError::from(fault)))),
            Request::Seek { reply, .. } => drop(reply.send(Err(DriverError::from(fault)))),
            Request::Stop { done } => drop(done.send(())),
        }
    }

    /// Makes the engine anew from what is on disk.
    fn restore(&mut self, config: Config) -> Result<(), StoreError> {
        // Another seed each time: workers still answer to the engine before, and its tickets must not be taken for this one's.
        let saved = self.store.restore()?;
        self.retention.restored(saved.lacking);
        self.engine = Engine::restore(saved, Config { seed: rand::random(), ..config });
        let now = self.now();
        for relay in self.attached.clone() {
            self.introduce(relay, now);
        }
        self.engine.handle(Input::RelayOrder(self.preference.clone()), now);
        self.engine.handle(Input::Gate { open: self.passes.gate_open() }, now);
        for relay in self.down.iter().copied() {
            self.engine.handle(Input::RelayHealth { relay, up: false }, now);
        }
        self.stale = false;
        Ok(())
    }

    /// Shows the new state to whoever watches; of an engine that is ahead of the disk nothing but the fault.
    fn publish(&mut self, now: Now) {
        if !self.stale {
            self.picture.status = self.engine.status(now);
            self.picture.digest = self.store.digest();
            self.picture.retention = self.retention.days;
        }
        if **self.pictures.borrow() != self.picture {
            self.pictures.send_replace(Arc::new(self.picture.clone()));
        }
        if self.stale {
            return;
        }
        let bundle_seq = self.picture.status.bundle_seq;
        self.bell.send_if_modified(|last| std::mem::replace(last, bundle_seq) != bundle_seq);
        let roster = self.engine.roster();
        if self.rosters.borrow().hash() != roster.hash() {
            self.rosters.send_replace(Arc::new(roster.clone()));
        }
    }

    /// Looks into the mailboxes of the epochs that the engine names, with the secrets that the store holds.
    fn follow_epochs(&mut self, changed: bool, now: Now) {
        let polled = self.engine.polled(now);
        if !changed && polled == self.polled {
            return;
        }
        match self.credentials.refresh(&self.store, &polled) {
            Ok(()) => self.polled = polled,
            Err(fault) => {
                error!(%fault, "the secrets of the group cannot be read; it is tried again");
                self.polled.clear();
            }
        }
    }

    pub(super) fn register(&mut self, caller: Call) -> CallId {
        self.next_call += 1;
        let call = CallId(self.next_call);
        self.calls.insert(call, caller);
        call
    }
}

/// How long to wait before trying again on a store that failed: 1 s.
const RETRY_AFTER_FAULT: Millis = Millis(1_000);
