//! Dispatch: what to tell which sibling now, over which relay.
//!
//! For each live sibling there is at most one parcel under way on a relay. When the way is free and there is anything to say — own
//! bundles after `sent`, foreign ones it asked for, a receipt that is due, a question, roster records — all of it goes into one parcel. While a parcel is
//! under way, new bundles gather for the next one: that is the batching, and at rest a single bundle leaves at once.

use std::collections::BTreeSet;

use super::sibling::Owed;
use super::{Engine, RelayState};
use crate::ids::{DeviceId, Millis, Now, RelayId, Seq, SourceId};
use crate::lane::{RESEND_AFTER_RETURN, RESEND_MIN, backed_off};
use crate::op::OP_LEVEL;
use crate::parcel::{Letter, Receipt, Want};
use crate::roster::Prekey;
use crate::step::{Output, RunRequest, Send};

/// A parcel given to a relay worker.
#[derive(Clone, Debug)]
pub(super) struct UnderWay {
    pub(super) to: DeviceId,
    pub(super) relay: RelayId,
    own: bool,
    foreign: Vec<SourceId>,
    receipt_was_due: bool,
}

impl Engine {
    /// Sends what there is to say.
    pub(super) fn dispatch(&mut self, now: Now) {
        let mut wants = self.wants(now);
        let live: Vec<DeviceId> = self.siblings.keys().copied().filter(|id| self.is_live(*id, now)).collect();
        for id in live {
            self.push_to_laggard(id, now);
            self.send_to(id, wants.remove(&id).unwrap_or_default(), now);
        }
    }

    fn send_to(&mut self, to: DeviceId, wants: Vec<Want>, now: Now) {
        let healthy = self.healthy_for(to);
        let (own, last, me) = (self.source, self.last(), self.me);
        let Some(prekey) = self.prekey_of(to) else { return };
        let Some(sibling) = self.siblings.get_mut(&to) else { return };
        if sibling.lane.is_late(now.mono) {
            sibling.lane.rewind(&healthy);
        }
        let Some(relay) = sibling.lane.relay(&healthy) else { return };
        if !sibling.lane.is_free(relay, now.mono) {
            return;
        }
        let mut runs = Vec::new();
        let after = sibling.lane.sent(relay);
        if after < last {
            runs.push(RunRequest { device: me, source: own, after, upto: last });
        }
        let sources = &self.sources;
        runs.extend(sibling.owed.iter().take(MAX_FOREIGN).filter_map(|(source, owed)| {
            let device = sources.get(source)?.device;
            Some(RunRequest { device, source: *source, after: owed.after, upto: owed.upto })
        }));
        let receipt_due = sibling.receipt_due.is_some_and(|due| due <= now.mono);
        let tell_roster = !sibling.roster_known && sibling.roster_at <= now.mono;
        let ask = std::mem::take(&mut sibling.ask_receipt);
        if runs.is_empty() && !receipt_due && !tell_roster && !ask && wants.is_empty() {
            return;
        }
        let receipt_requested = ask || sibling.lane.is_waiting_long();
        let receipt_was_due = sibling.receipt_due.take().is_some();
        let carries_own = runs.first().is_some_and(|run| run.source == own);
        sibling.lane.departed(relay, carries_own.then_some(last), now.mono);
        let jitter = self.jitter();
        let records = if tell_roster { self.roster.records() } else { Vec::new() };
        if let Some(sibling) = self.siblings.get_mut(&to).filter(|_| tell_roster) {
            sibling.roster_at = now.mono.plus(backed_off(ROSTER_AGAIN, sibling.roster_attempts, jitter));
            sibling.roster_attempts = sibling.roster_attempts.saturating_add(1);
        }
        let letter = Letter {
            receipt: Receipt { generation: self.generation, vector: self.vector.clone() },
            wants,
            records,
            roster_hash: self.roster.hash(),
            prekey: self.announced_prekey(),
            epoch: self.epoch,
            digest: None,
            op_level: OP_LEVEL,
            receipt_requested,
            relays: self.relays.iter().map(|relay| relay.id).collect(),
            ..Letter::bare(me, now.wall)
        };
        let ticket = self.tickets;
        let foreign = runs.iter().map(|run| run.source).filter(|source| *source != own).collect();
        self.under_way.insert(ticket, UnderWay { to, relay, own: carries_own, foreign, receipt_was_due });
        self.outputs.push_back(Output::Send(Send { ticket, to, relay, prekey, letter, runs }));
    }

    /// What a parcel came to.
    pub(super) fn sent(&mut self, ticket: u64, reached: Option<Vec<(SourceId, Seq)>>, took: Millis, now: Now) {
        let jitter = self.jitter();
        let own = self.source;
        let Some(under_way) = self.under_way.remove(&ticket) else { return };
        let Some(sibling) = self.siblings.get_mut(&under_way.to) else { return };
        let Some(reached) = reached else {
            sibling.lane.failed(under_way.relay, now.mono, jitter);
            if under_way.receipt_was_due {
                sibling.due(now.mono.plus(RESEND_MIN));
            }
            sibling.roster_at = sibling.roster_at.min(now.mono.plus(RESEND_MIN));
            return;
        };
        if let Some(relay) = self.relays.iter_mut().find(|relay| relay.id == under_way.relay) {
            relay.latency = Millis((relay.latency.0 * 7 + took.0) / 8);
        }
        let reached_seq = |source: SourceId| reached.iter().find(|(other, _)| *other == source).map(|(_, seq)| *seq);
        sibling.lane.arrived(under_way.relay, reached_seq(own).filter(|_| under_way.own), now.mono, jitter);
        for source in under_way.foreign {
            let Some(owed) = sibling.owed.get_mut(&source) else { continue };
            let came_to = reached_seq(source).unwrap_or_default();
            let no_progress = came_to <= owed.after;
            owed.after = owed.after.max(came_to);
            // Without progress there is no signed head to end a run at, or no room: the sibling asks again.
            if no_progress || owed.after >= owed.upto {
                sibling.owed.remove(&source);
            }
        }
    }

    pub(super) fn relay_health(&mut self, relay: RelayId, up: bool, now: Now) {
        let Some(state) = self.relays.iter_mut().find(|state| state.id == relay) else { return };
        let came_back = up && !state.up;
        state.up = up;
        if came_back {
            let at = now.mono.plus(RESEND_AFTER_RETURN);
            self.siblings.values_mut().for_each(|sibling| sibling.lane.hurry(at));
        }
    }

    /// A sibling that has lacked third devices' bundles for [`LAG_BEFORE_PUSH`] gets them without asking.
    fn push_to_laggard(&mut self, id: DeviceId, now: Now) {
        let Some(sibling) = self.siblings.get_mut(&id) else { return };
        if sibling.lags_since.is_none_or(|since| now.mono < since.plus(LAG_BEFORE_PUSH)) {
            return;
        }
        sibling.lags_since = Some(now.mono);
        for (source, head) in self.vector.iter().filter(|(source, _)| *source != self.source) {
            let after = sibling.receipt.vector.seq(source);
            let third = self.sources.get(&source).is_some_and(|known| known.device != id);
            if third && after < head.seq {
                sibling.owe(source, Owed { after, upto: head.seq });
            }
        }
    }

    /// When the engine wants to be called again.
    pub(super) fn wake_at(&self, now: Now) -> Option<Millis> {
        let siblings = self.siblings.iter().filter(|(id, _)| self.is_live(**id, now));
        let lags = |since: Option<Millis>| since.map(|since| since.plus(LAG_BEFORE_PUSH));
        siblings
            .flat_map(|(_, s)| [s.wake_at(), s.lane.wake_at(), lags(s.lags_since)])
            .flatten()
            .chain(self.repair.wake_at())
            // What is due and cannot leave (no healthy relay, a parcel under way) waits for an input, not for time.
            .map(|at| if at <= now.mono { now.mono.plus(LOOK_AGAIN) } else { at })
            .min()
    }

    /// Healthy relays that the sibling polls, fastest first; those of equal speed in the order they were configured.
    fn healthy_for(&self, sibling: DeviceId) -> Vec<RelayId> {
        let polled: BTreeSet<RelayId> =
            self.siblings.get(&sibling).map(|s| s.relays.iter().copied().collect()).unwrap_or_default();
        let shared = |relay: &&RelayState| polled.is_empty() || polled.contains(&relay.id);
        let mut healthy: Vec<&RelayState> = self.relays.iter().filter(|relay| relay.up).filter(shared).collect();
        healthy.sort_by_key(|relay| relay.latency);
        healthy.into_iter().map(|relay| relay.id).collect()
    }

    /// The newest prekey known of a sibling.
    fn prekey_of(&self, id: DeviceId) -> Option<Prekey> {
        let announced = self.siblings.get(&id)?.prekey.clone();
        let joined_with = self.roster.member(id).map(|member| member.device.prekey.clone());
        announced.into_iter().chain(joined_with).max_by_key(|prekey| prekey.slot)
    }

    /// The own prekey as letters carry it: with the key only when it is newer than the one on the roster, which everybody has.
    fn announced_prekey(&self) -> Prekey {
        let on_roster = self.roster.member(self.me).map(|member| member.device.prekey.slot);
        if on_roster == Some(self.prekey.slot) {
            Prekey { slot: self.prekey.slot, ..Prekey::default() }
        } else {
            self.prekey.clone()
        }
    }

    /// On the roster, and heard from (or added) within the stale cutoff.
    pub(super) fn is_live(&self, id: DeviceId, now: Now) -> bool {
        let Some(member) = self.roster.member(id) else { return false };
        let heard = self.siblings.get(&id).and_then(|sibling| sibling.heard);
        let latest = heard.unwrap_or_default().max(member.added.millis());
        now.wall.since(latest) <= self.config.stale_after
    }
}

/// How long a sibling may lack third devices' bundles before it gets them unasked: 60 s.
const LAG_BEFORE_PUSH: Millis = Millis(60_000);
/// The pause after the roster was told in vain, doubled each time: 10 s.
const ROSTER_AGAIN: Millis = Millis(10_000);
/// Least time between two looks at something that cannot leave: 1 s.
const LOOK_AGAIN: Millis = Millis(1_000);
/// Most foreign sources in one parcel.
const MAX_FOREIGN: usize = 8;
