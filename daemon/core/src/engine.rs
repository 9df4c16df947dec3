//! The engine: the one place where anything is decided.
//!
//! **How to drive it.** Hand over inputs with [`Engine::handle`], as many as lie ready; then call [`Engine::settle`] once, which decides what
//! to send now that all of them are known, and says when to come back at the latest. Drain [`Engine::poll_output`]. Apply
//! all commits in one transaction, make it durable, then perform the rest in order ([`crate::step`]).
//!
//! **What it holds** is a cache of the store ([`Saved`]): the version vector, the sources with their contexts, waiting bundles,
//! the roster, and a [`Sibling`] for each other device with its [lane](crate::lane). It has no error type: a bad input is a decision
//! (ignore, set aside, acknowledge), not a failure.
//!
//! The parts: [`push`](self) accepts local bundles, `receive` takes siblings' parcels in causal order, `membership` draws the consequences of
//! the roster, `epochs` follows the group's secrets and `prekeys` the device's own, `dispatch` decides what to tell whom, `knock` reaches who lost
//! keys, `bridge` and `hearsay` hand on bundles and receipts, `repair` asks for what is missing, `silence` speaks to who is silent, `retire` takes a
//! fresh source when the own one may be written elsewhere, `withheld` notices relays that keep mail, `compact` finds what all have, `hydrate` catches up,
//! `fork` ends sources written twice, `reissue` writes anew what is lost so, `bodies` says which contents
//! may go, and `contents` asks for those that went.

mod bodies;
mod breach;
mod bridge;
mod compact;
mod config;
mod contents;
mod dispatch;
mod epochs;
mod fork;
mod hearsay;
mod hydrate;
mod jitter;
mod knock;
mod membership;
mod pass;
mod prekeys;
mod push;
mod receive;
mod reissue;
mod repair;
mod report;
mod retire;
mod saying;
mod serve;
mod sibling;
mod silence;
mod telling;
mod verdict;
mod withheld;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::clock::{HybridClock, Stamp};
use crate::early::Early;
use crate::epoch::Epoch;
use crate::ids::{BundleSeq, DeviceId, Millis, Now, RelayId, Seq, SourceId};
use crate::roster::Roster;
use crate::step::{Change, Input, Output, Refusal, Reply, Saved, SavedSibling, Suspect};
use crate::vector::VersionVector;

use self::bodies::Keeping;
pub use self::config::{Config, ConfigError};
use self::hydrate::Hydration;
use self::jitter::spread;
pub use self::pass::PassMark;
pub use self::retire::next_generation;

use self::breach::Breach;
use self::contents::Seeking;
use self::dispatch::Lying;
use self::fork::Forks;
use self::prekeys::OwnPrekeys;
use self::reissue::Again;
use self::repair::Repair;
use self::sibling::Sibling;

/// The state machine of one device.
#[derive(Debug)]
pub struct Engine {
    config: Config,
    me: DeviceId,
    source: SourceId,
    generation: u64,
    clock: HybridClock,
    vector: VersionVector,
    sources: BTreeMap<SourceId, Source>,
    /// What a bundle written now has seen: the vector without the own source.
    context: Arc<VersionVector>,
    /// Whether the generation was raised above another copy's since the start.
    outbid: bool,
    early: Early,
    /// Sources that are stopped, and why; known anew after a start, when somebody offers what broke the rule.
    refused: BTreeMap<SourceId, Breach>,
    /// Sources that were taken back in this engine's life.
    cut: BTreeSet<SourceId>,
    forks: Forks,
    /// The own source that is being written again.
    again: Option<Again>,
    /// Parcels of removed devices that were dropped since the start.
    from_removed: u64,
    roster: Roster,
    siblings: BTreeMap<DeviceId, Sibling>,
    /// What devices had said that are not members (any more).
    parted: BTreeMap<DeviceId, SavedSibling>,
    /// In the person's order of preference.
    relays: Vec<RelayState>,
    /// Whether parcels may leave.
    gate_open: bool,
    bundle_seq: BundleSeq,
    /// The epochs whose secrets are held, and since when each is quiet.
    epochs: BTreeMap<Epoch, Option<Millis>>,
    /// When this device mints an epoch, if none that it holds is fit until then.
    mint_at: Option<Millis>,
    prekeys: OwnPrekeys,
    /// Up to where the log was compacted: runs begin there at the earliest.
    watermark: VersionVector,
    /// Up to where nothing can be taken back ([`membership`](self)).
    standing: VersionVector,
    hydration: Option<Hydration>,
    /// From which instant on contents are wanted at once.
    recent_us: Option<i64>,
    keeping: Keeping,
    /// Contents that somebody wants to see.
    seeking: Seeking,
    repair: Repair,
    under_way: BTreeMap<u64, dispatch::UnderWay>,
    tickets: u64,
    /// Whether a commit was put out since the last time everything was settled.
    committing: bool,
    /// Since when siblings' words wait for a commit to travel with.
    unsaved_since: Option<Millis>,
    outputs: VecDeque<Output>,
}

/// A source as far as it is applied.
#[derive(Clone, Debug)]
struct Source {
    device: DeviceId,
    generation: u64,
    stamp: Stamp,
    context: Arc<VersionVector>,
}

impl Source {
    /// A source of which nothing is applied.
    fn nothing_of(device: DeviceId) -> Self {
        Self { device, generation: 0, stamp: Stamp::default(), context: Arc::default() }
    }
}

#[derive(Clone, Copy, Debug)]
struct RelayState {
    id: RelayId,
    up: bool,
    /// Smoothed time of a put.
    latency: Millis,
    /// How long mail lies there at the most.
    keeps: Millis,
    /// The person takes it out: letters do not name it any more.
    leaving: bool,
}

impl Engine {
    /// Goes on where the store stopped.
    pub fn restore(saved: Saved, config: Config) -> Self {
        let mut roster = Roster::new(saved.roster);
        roster.extend(saved.records);
        let latest = saved.sources.iter().map(|source| source.stamp).filter(|stamp| stamp.is_valid()).max();
        let mut clock = HybridClock::resume(latest.unwrap_or_default());
        clock.observe(roster.latest());
        let vector: VersionVector = saved.sources.iter().map(|source| (source.source, source.head)).collect();
        let mut early = Early::default();
        for (device, bundle) in saved.early {
            early.insert(device, bundle);
        }
        let sources = saved.sources.into_iter().map(|saved| {
            let (device, generation, stamp) = (saved.device, saved.generation, saved.stamp);
            (saved.source, Source { device, generation, stamp, context: saved.context })
        });
        let sources: BTreeMap<SourceId, Source> = sources.collect();
        let own_context = sources.get(&saved.source).map(|own: &Source| Arc::clone(&own.context));
        let mut context = vector.without(saved.source);
        // What was seen stays seen, also what does not count any more.
        own_context.iter().for_each(|seen| context.join(seen));
        let mut engine = Self {
            config,
            me: saved.me,
            source: saved.source,
            generation: saved.generation,
            clock,
            context: Arc::new(context),
            vector,
            sources,
            outbid: false,
            early,
            refused: BTreeMap::new(),
            cut: BTreeSet::new(),
            forks: Forks::resume(saved.verdicts),
            again: None,
            from_removed: 0,
            roster,
            siblings: BTreeMap::new(),
            parted: saved.siblings.into_iter().map(|sibling| (sibling.device, sibling)).collect(),
            relays: Vec::new(),
            gate_open: true,
            bundle_seq: saved.bundle_seq,
            epochs: saved.epochs.into_iter().map(|held| (held.epoch, held.quiet)).collect(),
            mint_at: None,
            prekeys: OwnPrekeys::resume(saved.prekey, saved.prekeys),
            watermark: saved.watermark,
            standing: saved.standing,
            hydration: saved.hydrating.map(Hydration::resume),
            recent_us: saved.recent_us,
            keeping: Keeping::resume(saved.prunes, saved.lacking, saved.words),
            seeking: Seeking::default(),
            repair: Repair::default(),
            under_way: BTreeMap::new(),
            // Answers to parcels that an engine before this one sent can still come in; they must name none of ours.
            tickets: spread(config.seed),
            committing: false,
            unsaved_since: None,
            outputs: VecDeque::new(),
        };
        engine.meet_siblings();
        engine.follow_epochs();
        engine.owe_own_past();
        engine
    }

    /// Takes an input in.
    pub fn handle(&mut self, input: Input, now: Now) {
        match input {
            Input::Push(push) => self.push(push, now),
            Input::Received { delivery, parcel } => self.received(delivery, *parcel, now),
            Input::FromRemoved(delivery) => {
                self.from_removed = self.from_removed.saturating_add(1);
                self.outputs.push_back(Output::Acknowledge(delivery));
            }
            Input::Unopenable { delivery, reason, bytes } => {
                self.quarantine(Suspect::Envelope, Some(delivery.relay), reason, bytes, now);
                self.outputs.push_back(Output::Acknowledge(delivery));
            }
            Input::Record { call, record } => {
                let id = record.get().id();
                self.take_records([record]);
                self.apply_waiting(now);
                self.mint_soon(now);
                let held = self.roster.contains(id);
                let reply = if held { Reply::Recorded } else { Reply::Refused(Refusal::RosterRecord) };
                self.outputs.push_back(Output::Reply(call, reply));
            }
            Input::Minted { record, epoch } => {
                self.take_records([record]);
                self.take_epoch(epoch);
            }
            Input::Sent { ticket, reached, bytes, took } => {
                self.sent(ticket, reached.map(|reached| Lying { reached, bytes }), took, now);
            }
            Input::Rekeyed(prekey) => self.take_prekey(prekey),
            Input::Fetched { relay, took } => self.prekeys.fetched(relay, now.wall.since(took)),
            Input::RelayHealth { relay, up } => self.relay_health(relay, up, now),
            Input::RelayAdded(relay) => {
                if self.relays.iter().all(|known| known.id != relay) {
                    self.relays.push(RelayState::new(relay));
                    // Siblings must learn where we look for mail, and it may be the best way to them.
                    for sibling in self.siblings.values_mut() {
                        sibling.due(now.mono);
                        sibling.lane.choose_anew();
                    }
                }
            }
            Input::RelayKeeps { relay, keeps } => {
                self.relays.iter_mut().filter(|known| known.id == relay).for_each(|known| known.keeps = keeps);
            }
            Input::RelayLeaving(relay) => {
                self.relays.iter_mut().filter(|known| known.id == relay).for_each(|known| known.leaving = true);
                self.siblings.values_mut().for_each(|sibling| sibling.due(now.mono));
            }
            Input::RelayRemoved(relay) => {
                self.relays.retain(|known| known.id != relay);
                self.prekeys.forget(relay);
                for sibling in self.siblings.values_mut() {
                    sibling.lane.forget(relay);
                    sibling.due(now.mono);
                }
                self.under_way.retain(|_, under_way| under_way.relay != relay);
            }
            Input::RelayOrder(order) => {
                let place = |id: RelayId| order.iter().position(|named| *named == id).unwrap_or(usize::MAX);
                self.relays.sort_by_key(|relay| place(relay.id));
                self.prekeys.relays(order);
            }
            Input::Gate { open } => self.gate_open = open,
            Input::Pass => self.begin_pass(now),
            Input::SyncNow => {
                self.begin_pass(now);
                for sibling in self.siblings.values_mut() {
                    sibling.ask_receipt = true;
                    sibling.lane.insist(now.mono);
                }
                self.repair.hurry(now.mono);
            }
            Input::AskSums(sibling) => {
                if let Some(sibling) = self.siblings.get_mut(&sibling) {
                    sibling.compare(now.mono);
                }
            }
            Input::Compact { call, chain } => self.compact(call, &chain, now),
            Input::Looked(looked) => self.looked(looked, now),
            Input::Prunes(prunes) => self.set_prunes(prunes, now),
            Input::Lacking(lacking) => self.set_lacking(lacking, now),
            Input::Prune { call, before_us, dry_run } => self.prune(call, before_us, dry_run, now),
            Input::Seek { call, wanted } => self.seek(call, wanted, now),
            Input::Tick => {}
        }
    }

    /// Decides what to send, given all that was handled. Returns the monotonic time at which to call again (with
    /// [`Input::Tick`] or whatever has come up) at the latest.
    pub fn settle(&mut self, now: Now) -> Option<Millis> {
        self.age_epochs(now);
        self.age_prekeys(now);
        self.keep_bodies(now);
        self.answer_seekers(now);
        if self.gate_open {
            self.dispatch(now);
        }
        let wake = self.save_siblings(now);
        self.committing = false;
        wake
    }

    /// The next output.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The roster.
    pub fn roster(&self) -> &Roster {
        &self.roster
    }

    /// A stamp for a roster record made on this device now.
    pub fn stamp(&mut self, wall: Millis) -> Stamp {
        self.clock.tick(wall)
    }

    /// What is held.
    pub fn vector(&self) -> &VersionVector {
        &self.vector
    }

    /// This device.
    pub fn me(&self) -> DeviceId {
        self.me
    }

    /// The last position of the own source.
    fn last(&self) -> Seq {
        self.vector.seq(self.source)
    }

    fn commit(&mut self, change: Change) {
        self.committing = true;
        self.outputs.push_back(Output::Commit(change));
    }

    /// Siblings' words are saved with the next commit, or alone once they have waited [`SAVE_AFTER`].
    fn save_siblings(&mut self, now: Now) -> Option<Millis> {
        let waited = self.unsaved_since.is_some_and(|since| now.mono >= since.plus(SAVE_AFTER));
        if self.committing || waited {
            self.flush_siblings();
        }
        let save_at = self.unsaved_since.map(|since| since.plus(SAVE_AFTER));
        let send_at = if self.gate_open { self.wake_at(now) } else { None };
        save_at.into_iter().chain(send_at).chain(self.seeking.wake_at(now.mono)).min()
    }

    /// Saves what siblings said.
    fn flush_siblings(&mut self) {
        let own = self.source;
        let dirty: Vec<_> =
            self.siblings.iter_mut().filter_map(|(id, sibling)| sibling.take_unsaved(*id, own)).collect();
        dirty.into_iter().for_each(|saved| self.commit(Change::Sibling(saved)));
        self.unsaved_since = None;
    }
}

/// How long a sibling's receipt may stay in memory only: 5 s (seed 002).
const SAVE_AFTER: Millis = Millis(5_000);

#[cfg(test)]
mod tests;
