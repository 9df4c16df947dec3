//! Siblings' parcels: roster first, then bundles in causal order, then what the letter says.
//!
//! A bundle is applied when its source has no hole before it, its `prev` is the hash we hold, and everything its author had
//! seen is here. What comes early waits. What breaks the chain or runs its stamps backwards is looked into (`fork`); what claims another device's
//! source is refused. Neither stops anything else.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::breach::Breach;
use super::{Engine, Source};
use crate::bundle::{Body, Bundle};
use crate::clock::Stamp;
use crate::ids::{DeviceId, Dot, Millis, Now, RelayId, Seq, SourceId};
use crate::lane::RECEIPT_DELAY;
use crate::parcel::{Ended, Letter, Run, VerifiedParcel};
use crate::roster::{Removed, SignedRecord, Verified};
use crate::step::{Append, Change, Delivery, Output, QUARANTINE_BYTES, Quarantined, Suspect};
use crate::vector::{Head, Novelty, VersionVector};

impl Engine {
    pub(super) fn received(&mut self, delivery: Delivery, mut parcel: VerifiedParcel, now: Now) {
        let told = !parcel.records.is_empty() || !parcel.epochs.is_empty();
        let sender = parcel.letter.sender;
        if self.siblings.contains_key(&sender) || self.would_add(sender, &parcel.records) {
            self.take_records(std::mem::take(&mut parcel.records));
            parcel.epochs.drain(..).for_each(|epoch| self.take_epoch(epoch));
            parcel.evidence.iter().for_each(|evidence| self.take_evidence(evidence.get(), now));
            for mut ended in std::mem::take(&mut parcel.letter.ended) {
                if parcel.letter.receipt.vector.seq(ended.source) < ended.stands.seq {
                    // Who does not hold it has not compacted it.
                    ended.stands = Head::default();
                }
                self.learn_ended(ended);
            }
            parcel.letter.receipt.vector = self.capped(std::mem::take(&mut parcel.letter.receipt.vector));
            if parcel.rejected > 0 {
                let reason = format!("a parcel from {sender} held {} parts without a valid signature", parcel.rejected);
                self.quarantine(Suspect::Parcel, Some(delivery.relay), reason, Bytes::new(), now);
            }
            let lacked = self.vector.lacking(&parcel.letter.receipt.vector);
            let brought = !parcel.runs.is_empty();
            let mut applied = 0;
            for run in parcel.runs {
                applied += self.ingest(sender, run.get(), false, now);
            }
            applied += self.apply_waiting(now);
            self.outbid(now);
            let mut letter = parcel.letter;
            let same_roster = letter.roster_hash == self.roster.hash();
            let hydration = std::mem::take(&mut letter.hydration);
            let contents = std::mem::take(&mut letter.contents);
            self.hear_bodies(&letter, now);
            self.heard(sender, letter, now);
            let passed_on = parcel.statements.iter().any(|said| said.get().device != sender);
            parcel.statements.iter().for_each(|said| self.hear_of(said.get(), sender, now));
            self.hydrate(sender, hydration, same_roster, now);
            self.hear_contents(sender, contents, now);
            if let Some(sibling) = self.siblings.get_mut(&sender).filter(|_| passed_on) {
                // It passes them on until our letter shows them.
                sibling.due(now.mono.plus(RECEIPT_DELAY));
            }
            self.owe_receipt(sender, brought, lacked, applied, now);
            self.compare_words(now);
            if let Some(sibling) = self.siblings.get_mut(&sender).filter(|_| told) {
                // It tells its roster and epoch until our letter shows the same.
                sibling.due(now.mono.plus(REPEATED_DELAY));
            }
        } else if self.roster.removal(sender).is_some() {
            self.from_removed = self.from_removed.saturating_add(1);
            self.hear_verdicts(parcel.records);
            self.apply_waiting(now);
        } else if sender != self.me {
            let reason = format!("a parcel from {sender}, which is not on the roster");
            self.quarantine(Suspect::Parcel, Some(delivery.relay), reason, Bytes::new(), now);
        }
        self.outputs.push_back(Output::Acknowledge(delivery));
    }

    /// Whether the records make `sender` a member. A stranger's records are not taken in, valid or not.
    fn would_add(&self, sender: DeviceId, records: &[Verified<SignedRecord>]) -> bool {
        if records.is_empty() || sender == self.me {
            return false;
        }
        let mut roster = self.roster.clone();
        roster.extend(records.iter().cloned());
        roster.member(sender).is_some()
    }

    /// Takes roster records in, meets the devices they add and takes leave of those they remove.
    pub(super) fn take_records(&mut self, records: impl IntoIterator<Item = Verified<SignedRecord>>) {
        let before: BTreeMap<DeviceId, Removed> =
            self.roster.removed().map(|(id, removed)| (id, removed.clone())).collect();
        let fresh = self.roster.extend(records);
        if fresh.is_empty() {
            return;
        }
        self.clock.observe(self.roster.latest());
        fresh.into_iter().for_each(|record| self.commit(Change::Record(record)));
        for sibling in self.siblings.values_mut() {
            (sibling.roster_known, sibling.roster_turn) = (false, 0);
            sibling.tell_again();
        }
        self.follow_roster(&before);
        self.follow_epochs();
    }

    pub(super) fn quarantine(&mut self, kind: Suspect, relay: Option<RelayId>, reason: String, bytes: Bytes, now: Now) {
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let bytes = bytes.slice(..bytes.len().min(QUARANTINE_BYTES));
        self.commit(Change::Quarantine(Quarantined { at: now.wall, kind, relay, reason, bytes, size }));
    }

    /// Takes a run in that `from` brought, and that is known to agree with what is held if it was `compared`; says how many bundles were applied.
    pub(super) fn ingest(&mut self, from: DeviceId, run: &Run, compared: bool, now: Now) -> u64 {
        let Some(head) = run.signed_head() else { return 0 };
        let source = head.source;
        if source == self.source && self.knows_more(head.head) {
            self.retire(now);
        }
        if self.refused.contains_key(&source) || self.cut.contains(&source) {
            return 0;
        }
        let owner = self.sources.get(&source).map_or(run.device, |known| known.device);
        if owner != run.device || self.roster.known(run.device).is_none() {
            // Says nothing about the source itself: whoever owns it goes on.
            let reason = format!("a run of the source {source} by {}, whose it is not", run.device);
            self.quarantine(Suspect::Parcel, None, reason, Bytes::new(), now);
            return 0;
        }
        if source == self.source || (self.forks.is_disputed(source) && !compared) {
            if !compared {
                self.compare(from, run);
            }
            return 0;
        }
        let end = self.end_for(run, source);
        if end == Some(Seq::ZERO) {
            self.learn_ended(Ended { source, device: run.device, ..Ended::default() });
        }
        let ended = self.proven_end(source, Some(run.device));
        if ended.is_some_and(|end| end.seq < head.head.seq)
            && let Some(sibling) = self.siblings.get_mut(&from)
        {
            // It does not know, or it would not bring this. It may be a copy of a device that does.
            sibling.tell_evidence_anew();
        }
        let counts = |bundle: &&Bundle| end.is_none_or(|end| bundle.dot.seq <= end);
        let (mut applied, mut fresh) = (0, false);
        for bundle in run.bundles.iter().filter(counts) {
            match self.place(run.device, bundle) {
                Ok(Place::Held) => {}
                Ok(Place::Now) => {
                    self.apply(run.device, bundle.clone(), now);
                    (applied, fresh) = (applied + 1, true);
                }
                Ok(Place::Later) => {
                    if self.early.insert(run.device, bundle.clone()) {
                        self.commit(Change::Early { device: run.device, bundle: bundle.clone() });
                        fresh = true;
                    }
                }
                Err(breach @ Breach::Birth(_)) => {
                    self.refuse(source, breach, now);
                    return applied;
                }
                Err(breach @ (Breach::Forked { .. } | Breach::Chain { .. } | Breach::Stamps { .. })) => {
                    if compared {
                        self.refuse(source, breach, now);
                    } else {
                        self.dispute(source, from, breach, breach.differs(), now);
                        self.compare(from, run);
                    }
                    return applied;
                }
            }
        }
        if fresh && end.is_none_or(|end| head.head.seq <= end) {
            self.commit(Change::Head(head));
        }
        applied
    }

    /// Where a bundle stands: held, to be applied now, to wait, or refused with a reason.
    fn place(&self, device: DeviceId, bundle: &Bundle) -> Result<Place, Breach> {
        let (at, offered) = (bundle.dot.seq, bundle.hash);
        let held = self.vector.head(bundle.dot.source);
        let known = self.sources.get(&bundle.dot.source);
        match self.vector.classify(bundle.dot) {
            Novelty::Duplicate if bundle.dot.seq == held.seq && bundle.hash != held.hash => {
                Err(Breach::Forked { at, held: held.hash, offered })
            }
            Novelty::Duplicate => Ok(Place::Held),
            Novelty::Gap => Ok(Place::Later),
            Novelty::Next if bundle.prev != held.hash => {
                Err(Breach::Chain { at: held.seq, held: held.hash, offered: bundle.prev })
            }
            Novelty::Next => {
                let stamp = bundle.body.as_ref().map(|body| body.stamp).filter(|stamp| stamp.is_valid());
                let last = known.map_or(Stamp(0), |known| known.stamp);
                if let Some(offered) = stamp.filter(|stamp| *stamp <= last) {
                    return Err(Breach::Stamps { at: held.seq, held: last, offered });
                }
                let birth = bundle.body.as_ref().and_then(|body| body.birth);
                if known.is_none() && birth.is_none_or(|birth| birth.device != device) {
                    return Err(Breach::Birth(device));
                }
                let covered = bundle.body.as_ref().is_none_or(|body| self.is_covered(bundle.dot.source, body));
                Ok(if covered { Place::Now } else { Place::Later })
            }
        }
    }

    /// Whether everything the author had seen is here. Only the moved entries need a look: the others were looked at with the
    /// bundles before.
    fn is_covered(&self, source: SourceId, body: &Body) -> bool {
        let is_here = |seen: SourceId, upto: Seq| {
            upto <= self.vector.seq(seen) || self.needed_of(seen, upto) <= self.vector.seq(seen)
        };
        body.context.iter().all(|(seen, head)| *seen == source || is_here(*seen, head.seq))
    }

    /// Applies a bundle whose place is now.
    fn apply(&mut self, device: DeviceId, bundle: Bundle, now: Now) {
        let dot = bundle.dot;
        let known = self.sources.get(&dot.source);
        let (mut stamp, mut context) = known.map_or_else(Default::default, |k| (k.stamp, Arc::clone(&k.context)));
        let mut generation = known.map_or(0, |known| known.generation);
        if let Some(body) = &bundle.body {
            if body.stamp.is_valid() {
                stamp = body.stamp;
            }
            if !body.context.is_empty() {
                let moved: VersionVector = body.context.iter().copied().collect();
                Arc::make_mut(&mut context).join(&moved);
            }
            generation = body.birth.filter(|_| dot.seq == Seq(1)).map_or(generation, |birth| birth.generation);
        }
        self.clock.observe(stamp);
        self.vector.advance(dot.source, bundle.head());
        Arc::make_mut(&mut self.context).advance(dot.source, bundle.head());
        self.sources.insert(dot.source, Source { device, generation, stamp, context: Arc::clone(&context) });
        self.bundle_seq = self.bundle_seq.next();
        let bundle_seq = self.bundle_seq;
        self.commit(Change::Append(Append { bundle, device, bundle_seq, context, at: now.wall, app: None }));
        if self.early.remove(dot).is_some() {
            self.commit(Change::EarlyDone(dot));
        }
    }

    /// Applies waiting bundles for as long as one's time has come.
    pub(super) fn apply_waiting(&mut self, now: Now) -> u64 {
        let mut applied = 0;
        loop {
            let before = applied;
            for source in self.early.sources() {
                while let Some((device, bundle)) = self.early.first(source).cloned() {
                    if self.sources.get(&source).is_some_and(|known| known.device != device) {
                        // Let in before the source's first bundle said whose it is.
                        self.drop_waiting(bundle.dot);
                        continue;
                    }
                    match self.place(device, &bundle) {
                        Ok(Place::Later) => break,
                        Ok(Place::Now) => {
                            self.apply(device, bundle, now);
                            applied += 1;
                        }
                        Ok(Place::Held) => self.drop_waiting(bundle.dot),
                        Err(breach @ Breach::Birth(_)) => self.refuse(source, breach, now),
                        // Without the run it came in nothing can be proven: it waits, until that comes again or the right one in its place.
                        Err(Breach::Forked { .. } | Breach::Chain { .. } | Breach::Stamps { .. }) => break,
                    }
                }
            }
            if applied == before {
                return applied;
            }
        }
    }

    pub(super) fn drop_waiting(&mut self, dot: Dot) {
        self.early.remove(dot);
        self.commit(Change::EarlyDone(dot));
    }

    /// Stops a source where it is; what waits of it is of no use any more. Said once for each start of the device; nothing else is
    /// stopped.
    pub(super) fn refuse(&mut self, source: SourceId, breach: Breach, now: Now) {
        self.early.of(source).into_iter().for_each(|dot| self.drop_waiting(dot));
        if self.refused.insert(source, breach).is_none() {
            let held = self.vector.seq(source);
            let reason = format!("the source {source} was refused after {held}: {breach}");
            self.quarantine(Suspect::Source, None, reason, Bytes::new(), now);
        }
    }

    /// What the letter says of its sender.
    fn heard(&mut self, sender: DeviceId, letter: Letter, now: Now) {
        let jitter = self.jitter();
        let (roster_hash, own, last) = (self.roster.hash(), self.source, self.last());
        let summary = self.forks.summary();
        self.hold_against(sender, &letter.receipt.vector, now);
        let Some(sibling) = self.siblings.get_mut(&sender) else { return };
        self.unsaved_since.get_or_insert(now.mono);
        sibling.heard = Some(now.wall);
        let silent_before = sibling.heard_mono.is_none_or(|heard| now.mono.since(heard) >= SILENCE);
        (sibling.heard_mono, sibling.in_vain) = (Some(now.mono), 0);
        sibling.is_lost = false;
        let overtaken = sibling.is_older(&letter.receipt);
        if !overtaken {
            sibling.epoch = letter.epoch;
            if self.epochs.contains_key(&letter.epoch) {
                sibling.under = letter.epoch;
            }
            sibling.relays = letter.relays;
            sibling.roster_known = letter.roster_hash == roster_hash;
            sibling.digest = letter.digest.map(|digest| (digest, letter.receipt.vector.clone()));
            sibling.op_level = letter.op_level;
            sibling.distant = letter.distant;
            sibling.sums = match letter.sums {
                Some(sums) => Some((sums, letter.receipt.vector.clone())),
                // Of use only while it holds the same.
                None => sibling.sums.take().filter(|(_, at)| *at == letter.receipt.vector),
            };
        }
        sibling.clock_ahead = i64::try_from(i128::from(letter.written.0) - i128::from(now.wall.0)).unwrap_or_default();
        let older = letter.receipt.generation < sibling.receipt.generation;
        let taken = sibling.take_word(letter.receipt, (own, last), now.mono, jitter);
        sibling.quiet.heard(taken.news, now.mono, jitter);
        sibling.evidence_known = letter.verdicts == summary;
        if taken.stuck && silent_before {
            sibling.lane.hurry(now.mono.plus(SEEN_AGAIN));
        }
        if !overtaken {
            sibling.lane.heard(now.mono.plus(SEEN_AGAIN));
            sibling.calls = 0;
        }
        sibling.owes_sums |= letter.sums_requested;
        if letter.receipt_requested {
            sibling.due(now.mono);
        }
        if silent_before {
            self.repair.hurry(now.mono.plus(SEEN_AGAIN));
        }
        if self.knows_more(taken.own) {
            self.retire(now);
        }
        self.outlive(letter.addressee_generation, now);
        if !overtaken {
            self.take_known_slot(sender, letter.known_slot);
        }
        self.take_shown_prekey(sender, letter.prekey, now);
        for want in letter.wants {
            self.wanted(sender, want, older, now);
        }
        self.follow_epochs();
    }

    /// When the sender gets a receipt: at once when this parcel ended a catch-up, soon when it brought only what we have (the sender does not
    /// know it), within [`RECEIPT_DELAY`] when it brought something, else not at all.
    fn owe_receipt(&mut self, sender: DeviceId, brought: bool, lacked: u64, applied: u64, now: Now) {
        let Some(sibling) = self.siblings.get_mut(&sender) else { return };
        if !brought {
            return;
        }
        let lacks = self.vector.lacking(&sibling.receipt.vector);
        if lacked > 1 && lacks == 0 {
            sibling.due(now.mono);
        } else if applied == 0 {
            sibling.due(now.mono.plus(REPEATED_DELAY));
        } else {
            sibling.due(now.mono.plus(RECEIPT_DELAY));
        }
    }
}

enum Place {
    Held,
    Now,
    Later,
}

/// A sibling that was not heard from for so long was away: 60 s. Shorter pauses say nothing, and answering each letter with a
/// rewind would be a storm.
const SILENCE: Millis = Millis(60_000);
/// A sibling that speaks after a silence gets what it misses after this: its receipt may be behind its letter.
const SEEN_AGAIN: Millis = Millis(1_000);
/// A sibling that repeats itself is told within this what we hold.
const REPEATED_DELAY: Millis = Millis(500);
