//! Dispatch: what to tell which sibling now, over which relay.
//!
//! For each live sibling there is at most one parcel under way on a relay. When the way is free and there is anything to say — own
//! bundles after `sent`, foreign ones it asked for, a receipt that is due, a question, roster records — all of it goes into one parcel. While a parcel is
//! under way, new bundles gather for the next one: that is the batching, and at rest a single bundle leaves at once.
//!
//! Whoever does not answer may not know us: a device that was put back to before we joined hears nobody it does not find on its roster.
//! So what is repeated in vain, and the word to a silent sibling (`silence`), carry roster and epoch, whatever the sibling said of them before.

use std::collections::{BTreeMap, BTreeSet};

use super::knock::common;
use super::saying::{Cargo, Saying};
use super::telling::Telling;
use super::{Engine, RelayState};
use crate::contents::{Contents, Wanted};
use crate::ids::{DeviceId, Millis, Now, RelayId, Seq, SourceId};
use crate::lane::{KEEPS, RESEND_MIN, backed_off};
use crate::parcel::{Letter, Receipt, Want};
use crate::snapshot::Hydration;
use crate::step::{Output, RunRequest, Send};

/// A parcel given to a relay worker.
#[derive(Clone, Debug)]
pub(super) struct UnderWay {
    pub(super) to: DeviceId,
    pub(super) relay: RelayId,
    /// The position after which its own bundles begin, if it has any.
    pub(super) own: Option<Seq>,
    pub(super) foreign: Vec<SourceId>,
    receipt_was_due: bool,
    pub(super) asked: bool,
    word: bool,
}

/// A parcel that lies on its relay.
#[derive(Clone, Debug)]
pub(super) struct Lying {
    /// How far each of its runs reached.
    pub(super) reached: Vec<(SourceId, Seq)>,
    /// Its sealed bytes.
    pub(super) bytes: u64,
}

impl RelayState {
    /// One that was configured just now.
    pub(super) fn new(id: RelayId) -> Self {
        Self { id, up: true, latency: Millis(0), keeps: KEEPS, leaving: false }
    }
}

impl Engine {
    /// Sends what there is to say.
    pub(super) fn dispatch(&mut self, now: Now) {
        if self.is_removed() {
            return self.tell_verdicts(now);
        }
        let (live, stale): (Vec<DeviceId>, Vec<DeviceId>) =
            self.siblings.keys().copied().partition(|id| self.is_live(*id, now));
        let mut ways = BTreeMap::new();
        for &id in &live {
            self.notice_below(id);
            self.help_laggard(id, now);
            self.pass_on(id, now);
            if let Some(relay) = self.free_way(id, now).filter(|relay| !self.knocks_at(id, *relay, now)) {
                ways.insert(id, relay);
            }
        }
        let reachable = ways.keys().copied().collect();
        let (mut wants, mut contents) = (self.wants(&reachable, now), self.ask_for_contents(&reachable, now));
        for (id, relay) in ways {
            let (wants, wanted) = (wants.remove(&id).unwrap_or_default(), contents.remove(&id).unwrap_or_default());
            self.send_to(id, relay, wants, wanted, now);
        }
        live.into_iter().for_each(|id| self.show_to_quiet(id, now));
        stale.into_iter().for_each(|id| self.show_to_stale(id, now));
    }

    /// The relay over which a sibling can be sent something now.
    pub(super) fn free_way(&mut self, to: DeviceId, now: Now) -> Option<RelayId> {
        let healthy = self.healthy_for(to);
        let lane = &mut self.siblings.get_mut(&to)?.lane;
        for relay in &self.relays {
            if lane.renew(relay.id, relay.keeps, now.wall) {
                // Or a device that starts often and writes seldom would do it at each start.
                self.unsaved_since.get_or_insert(now.mono);
            }
        }
        if lane.is_late(now.mono) && !healthy.is_empty() {
            lane.rewind(&healthy, now.mono);
        }
        let relay = lane.relay(&healthy, now.mono)?;
        lane.is_free(relay, now.mono).then_some(relay)
    }

    fn send_to(&mut self, to: DeviceId, relay: RelayId, wants: Vec<Want>, wanted: Vec<Wanted>, now: Now) {
        let (own, last, me) = (self.source, self.last(), self.me);
        let (hydration, hearsay) = (self.hydration_for(to, now), self.has_hearsay(to, now));
        let jitter = if self.forks.summary().is_some() { self.jitter() } else { 0 };
        let Some(sibling) = self.siblings.get_mut(&to) else { return };
        sibling.ask_about_burst(last, now.mono);
        let mut runs = Vec::new();
        let (sources, watermark) = (&self.sources, &self.watermark);
        if let Some((after, upto)) = sibling.lane.stretch(relay, last).filter(|(after, _)| *after >= watermark.seq(own))
        {
            runs.push(RunRequest { device: me, source: own, after, upto });
        }
        // Below the watermark there are no runs: a snapshot brings that.
        sibling.owed.retain(|source, owed| owed.after >= watermark.seq(*source));
        let room = if sibling.lane.is_full(relay) { 0 } else { MAX_FOREIGN };
        runs.extend(sibling.owed.iter().take(room).filter_map(|(source, owed)| {
            let device = sources.get(source)?.device;
            Some(RunRequest { device, source: *source, after: owed.after, upto: owed.upto })
        }));
        let chunk = sibling.chunk_asked.take();
        let gives = chunk.is_none() && hydration.watermark.is_empty();
        let given = if gives { std::mem::take(&mut sibling.contents_asked) } else { Vec::new() };
        if chunk.is_some() || !given.is_empty() {
            runs.clear();
        }
        let receipt_due = sibling.receipt_due.is_some_and(|due| due <= now.mono);
        // A chunk leaves no room for a roster, neither do contents, nor a watermark beside runs.
        let room = gives && given.is_empty();
        let tell = !sibling.is_told() && sibling.roster_at <= now.mono && room;
        let ask = std::mem::take(&mut sibling.ask_receipt);
        let (sums_requested, tell_sums) =
            (std::mem::take(&mut sibling.ask_sums), chunk.is_none() && std::mem::take(&mut sibling.owes_sums));
        let compares = sums_requested || tell_sums;
        let evidence = if room { sibling.next_evidence(&self.forks, now.mono, jitter) } else { None };
        let brings = !runs.is_empty() || chunk.is_some() || !wants.is_empty() || hydration != Hydration::default();
        let brings = brings || !given.is_empty() || !wanted.is_empty();
        let roster_attempts = sibling.roster_attempts;
        // What is no more than an answer asks for none: two that both wait for receipts would answer each other without end.
        let speaks = brings || tell || ask || compares || evidence.is_some() || (hearsay && room);
        let in_vain = speaks && sibling.lane.is_waiting_long();
        let tell_roster = room && (in_vain || (tell && !sibling.roster_known));
        // Evidence may fill a parcel; what is asked for beside it is asked for again.
        let pass_on = hearsay && room && !tell_roster && evidence.is_none() && wanted.is_empty();
        let wanted = if tell_roster || evidence.is_some() { Vec::new() } else { wanted };
        if !brings && !receipt_due && !tell && !ask && !compares && evidence.is_none() && !pass_on {
            return;
        }
        if tell_sums || evidence.is_some() {
            // They need the room that a run may take; its turn comes next.
            runs.clear();
        }
        let burst = sibling.ends_burst(runs.first().filter(|run| run.source == own), now.mono);
        // Who is told a watermark may have what it lacked from others by now, and has no reason to say so.
        let below = !hydration.watermark.is_empty();
        let receipt_requested = ask || burst || in_vain || below || sibling.lane.is_filling(relay);
        let receipt_was_due = sibling.receipt_due.take().is_some();
        let sums = tell_sums.then(Vec::new);
        let has_evidence = evidence.is_some();
        let speaks = room && !tell_roster && !has_evidence && wanted.is_empty();
        let statements = if speaks { self.hearsay(to, now) } else { Vec::new() };
        let Telling { records, pieces } = if tell_roster { self.tell_roster(to) } else { Telling::default() };
        let epochs = if tell || (in_vain && room) { self.gifts(to, in_vain) } else { Vec::new() };
        let letter = Letter {
            wants,
            receipt_requested,
            sums_requested,
            sums,
            records,
            epochs,
            hydration,
            statements,
            contents: Contents { wanted, ..Contents::default() },
            ..self.letter(to, now)
        };
        let repeats = in_vain || (tell && roster_attempts > 0);
        let said = Saying {
            roster_pieces: tell.then_some(pieces),
            in_vain: repeats,
            ask,
            receipt_was_due,
            evidence,
            ..Saying::default()
        };
        self.depart(to, relay, letter, Cargo { runs, chunk, contents: given }, said, now);
    }

    /// A letter of which the roster is all that counts.
    pub(super) fn tell_only_roster(&mut self, to: DeviceId, relay: RelayId, now: Now) {
        let Telling { records, pieces } = self.tell_roster(to);
        let letter = Letter { records, ..self.letter(to, now) };
        let said = Saying { roster_pieces: Some(pieces), in_vain: true, ..Saying::default() };
        self.depart(to, relay, letter, Cargo::default(), said, now);
    }

    pub(super) fn letter(&self, to: DeviceId, now: Now) -> Letter {
        Letter {
            receipt: Receipt {
                generation: self.generation,
                term: self.term(),
                trials: self.forks.times(),
                vector: self.vector.clone(),
            },
            roster_hash: self.roster.hash(),
            prekey: self.announced_prekey(to),
            known_slot: self.prekey_of(to).map(|prekey| prekey.slot).unwrap_or_default(),
            epoch: self.epoch(),
            relays: self.looks(),
            ended: self.ended(),
            verdicts: self.forks.summary(),
            // To be signed by whoever has the key.
            signature: self.may_be_distant().then(bytes::Bytes::new),
            distant: self.distant(now),
            ..Letter::bare(self.me, now.wall)
        }
    }

    pub(super) fn depart(
        &mut self,
        to: DeviceId,
        relay: RelayId,
        letter: Letter,
        cargo: Cargo,
        said: Saying,
        now: Now,
    ) {
        let Cargo { runs, chunk, contents } = cargo;
        let jitter = self.jitter();
        let (ticket, own) = (self.tickets, self.source);
        let sealing = match said.knock {
            Some(under) => Some(common()).zip(Some(under)),
            None => self.prekey_for(to).zip(self.epoch_for(to)),
        };
        let Some((prekey, epoch)) = sealing else { return };
        let (healthy, bodies) = (self.healthy_for(to), self.bodies_for(to, now));
        let Some(sibling) = self.siblings.get_mut(&to) else { return };
        sibling.in_vain = sibling.in_vain.saturating_add(u32::from(said.in_vain));
        sibling.letters = sibling.letters.wrapping_add(1);
        sibling.knocks = sibling.knocks.wrapping_add(u32::from(said.knock.is_some()));
        if letter.receipt_requested || !letter.wants.is_empty() || said.roster_pieces.is_some() {
            sibling.calls = sibling.calls.saturating_add(1);
        }
        if let Some(pieces) = said.roster_pieces {
            let rounds = sibling.roster_attempts / pieces.max(1);
            sibling.roster_at = now.mono.plus(backed_off(ROSTER_AGAIN, rounds, jitter));
            sibling.roster_attempts = sibling.roster_attempts.saturating_add(1);
        }
        let letter = Letter { addressee_generation: sibling.receipt.generation, bodies, ..letter };
        let own_run = runs.iter().find(|run| run.source == own).map(|run| (run.after, run.upto));
        sibling.lane.departed(relay, own_run, now.mono);
        if own_run.is_none() && sibling.calls >= CALLS_BEFORE_DETOUR {
            // A rewind takes the next relay by itself.
            sibling.lane.detour(&healthy, now.mono);
        }
        let foreign = runs.iter().map(|run| run.source).filter(|source| *source != own).collect();
        let Saying { receipt_was_due, ask: asked, word, .. } = said;
        let own_after = own_run.map(|(after, _)| after);
        let under_way = UnderWay { to, relay, own: own_after, foreign, receipt_was_due, asked, word };
        self.under_way.insert(ticket, under_way);
        let evidence = said.evidence;
        self.outputs.push_back(Output::Send(Send {
            ticket,
            to,
            relay,
            prekey,
            epoch,
            letter,
            runs,
            chunk,
            contents,
            evidence,
        }));
    }

    /// What a parcel came to.
    pub(super) fn sent(&mut self, ticket: u64, lying: Option<Lying>, took: Millis, now: Now) {
        let jitter = self.jitter();
        let own = self.source;
        let Some(under_way) = self.under_way.remove(&ticket) else { return };
        let Some(sibling) = self.siblings.get_mut(&under_way.to) else { return };
        let reached = lying.as_ref().map(|lying| lying.reached.as_slice());
        let reached_seq = |source: SourceId| {
            reached.unwrap_or_default().iter().find(|(other, _)| *other == source).map(|(_, seq)| *seq)
        };
        // A parcel that was to carry own bundles and carries none is no success: it would leave again at once.
        if reached.is_none() || (under_way.own.is_some() && reached_seq(own).is_none()) {
            sibling.lane.failed(under_way.relay, now.mono, jitter);
            if under_way.receipt_was_due {
                sibling.due(now.mono.plus(RESEND_MIN));
            }
            sibling.ask_receipt |= under_way.asked;
            if under_way.word {
                sibling.quiet.failed(now.mono.plus(RESEND_MIN));
            }
            sibling.untold(now.mono);
            return;
        }
        if let Some(relay) = self.relays.iter_mut().find(|relay| relay.id == under_way.relay) {
            relay.latency = Millis((relay.latency.0 * 7 + took.0) / 8);
        }
        sibling.lane.arrived(under_way.relay, reached_seq(own).filter(|_| under_way.own.is_some()), now.mono, jitter);
        sibling.posted(under_way.relay, lying.as_ref().map_or(0, |lying| lying.bytes), now.wall);
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
        for lane in self.siblings.values_mut().map(|sibling| &mut sibling.lane) {
            if came_back {
                lane.returned(relay, now.mono);
            } else if up {
                lane.release(relay);
            }
        }
    }

    /// When the engine wants to be called again.
    pub(super) fn wake_at(&self, now: Now) -> Option<Millis> {
        let live = self.siblings.iter().filter(|(id, _)| self.is_live(**id, now));
        let stale = self.siblings.iter().filter(|(id, _)| !self.is_live(**id, now));
        // What is due and cannot leave (no healthy relay, a parcel under way) waits for an input, not for time: only times ahead
        // count.
        live.flat_map(|(_, s)| [s.wake_at(now.mono), s.lane.wake_at(now.mono)])
            .chain(stale.map(|(_, s)| Some(s.beacon_at).filter(|at| *at > now.mono)))
            .flatten()
            .chain(self.repair.wake_at(now.mono))
            .chain(self.mint_at.filter(|at| *at > now.mono))
            .chain(self.epochs_wake_at(now))
            .chain(self.hydration.as_ref().map(|hydration| hydration.ask_at).filter(|at| *at > now.mono))
            .chain(self.forks.wake_at(now.mono))
            .min()
    }

    /// Healthy relays that the sibling polls, fastest first; those of about equal speed in the person's order. All healthy ones when none of
    /// ours is both, and after those when it has not answered for long: it moved or we did, or the word of where else it looks was lost
    /// with the relay that both had.
    pub(super) fn healthy_for(&self, sibling: DeviceId) -> Vec<RelayId> {
        let Some(sibling) = self.siblings.get(&sibling) else { return Vec::new() };
        let polled: BTreeSet<RelayId> = sibling.relays.iter().copied().collect();
        let mute = sibling.calls >= CALLS_BEFORE_DOUBT || sibling.lane.is_unanswered();
        let mut healthy: Vec<&RelayState> = self.relays.iter().filter(|relay| relay.up).collect();
        if !mute && healthy.iter().any(|relay| polled.contains(&relay.id)) {
            healthy.retain(|relay| polled.contains(&relay.id));
        }
        healthy.sort_by_key(|relay| (!polled.contains(&relay.id), slowness(relay.latency)));
        healthy.into_iter().map(|relay| relay.id).collect()
    }

    /// On the roster, and heard from (or added) within the stale cutoff, by the wall clock or by the monotonic one: a wall clock that
    /// is set years ahead makes nobody stale who speaks.
    pub(super) fn is_live(&self, id: DeviceId, now: Now) -> bool {
        let Some(member) = self.roster.member(id) else { return false };
        let sibling = self.siblings.get(&id);
        let heard_here = sibling.and_then(|sibling| sibling.heard_mono);
        if heard_here.is_some_and(|heard| now.mono.since(heard) <= self.config.stale_after) {
            return true;
        }
        let heard = sibling.and_then(|sibling| sibling.heard);
        let latest = heard.unwrap_or_default().max(member.added.millis());
        now.wall.since(latest) <= self.config.stale_after
    }
}

/// Relays that take a parcel within [`FAST`] are equally fast; above that each doubling is a step. The time of a put is no more than a
/// sign: a folder that a sync tool carries takes it in no time and delivers it late.
fn slowness(latency: Millis) -> u32 {
    (latency.0 / FAST.0).checked_ilog2().map_or(0, |doublings| doublings + 1)
}

/// Up to so long a put says nothing about which relay is better: 500 ms.
const FAST: Millis = Millis(500);
/// The pause after the roster was told in vain, doubled each time: 10 s.
const ROSTER_AGAIN: Millis = Millis(10_000);
/// How many letters in a row that call for an answer go over one relay: four, more than a start brings forth. The next one takes another.
const CALLS_BEFORE_DETOUR: u32 = 4;
/// How many of them in vain make doubtful what the sibling said of where it looks for mail.
const CALLS_BEFORE_DOUBT: u32 = 8;
/// Most foreign sources in one parcel.
const MAX_FOREIGN: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_put_within_half_a_second_is_fast_and_each_doubling_is_a_step_slower() {
        let steps = [0, 499, 500, 999, 1_000, 2_000, 4_000].map(|took| slowness(Millis(took)));
        assert_eq!(steps, [0, 0, 1, 1, 2, 3, 4]);
    }
}
