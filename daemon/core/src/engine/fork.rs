//! Two histories of one source: how they are noticed, how it is found where they part, and what follows.
//!
//! **Noticed** when a run does not continue what is held, when a letter shows another hash at the position that is held, or when stamps run
//! backwards. Devices hold one history of a source each, so whoever holds less of it asks, and sees it; at equal lengths both do.
//!
//! **Found** by asking the other for what follows an earlier position ([`Want::exact`](crate::parcel::Want)), one back, then two, four, …,
//! until its answer begins where both agree, and then on from there to the first difference. So no more than about twice the two histories
//! since the parting is read, and nothing when both wrote a single bundle. Comparing is done against the log ([`crate::look`]).
//!
//! **What follows** is evidence ([`crate::evidence`]): kept, told to each sibling until its letter shows the same ([`summary`]), and
//! acted on by all: the source ends at the last common bundle, by the same way as the sources of removed devices (`membership`). Its author
//! goes on under a fresh source and writes there anew what is lost so (`reissue`).
//!
//! A verdict counts for the device that signed the runs. One that signs under another's source harms nobody but itself.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Unbounded};

use bytes::Bytes;

use super::Engine;
use super::breach::Breach;
use super::sibling::Below;
use crate::bundle::Bundle;
use crate::evidence::{Comparison, Evidence, Verdict, summary};
use crate::ids::{DeviceId, Hash, Millis, Now, Seq, SourceId};
use crate::lane::backed_off;
use crate::look::{Compared, Look, Looked};
use crate::parcel::{Run, Want};
use crate::step::{Change, Output, RefusedSource, Suspect};
use crate::vector::{Head, VersionVector};

/// What is known of sources with two histories.
#[derive(Clone, Debug, Default)]
pub(super) struct Forks {
    verdicts: BTreeMap<Key, Verdict>,
    /// How often a source was ended, ever earlier. It only grows.
    times: u32,
    summary: Option<Hash>,
    disputes: BTreeMap<SourceId, Dispute>,
}

/// A source, and the device whose signatures speak against it.
pub(super) type Key = (SourceId, DeviceId);

/// Somebody holds another history of a source, and it is not known yet where the two part.
#[derive(Clone, Debug)]
struct Dispute {
    with: DeviceId,
    breach: Breach,
    /// After which position it is asked for next.
    after: Seq,
    /// By how much the next question goes back, if this one did not go back far enough.
    back: u64,
    attempts: u32,
    next_at: Millis,
}

impl Forks {
    pub(super) fn resume(saved: Vec<(Verdict, u32)>) -> Self {
        let times = saved.iter().map(|(_, times)| times).sum();
        let verdicts = saved.into_iter().map(|(verdict, _)| ((verdict.source, verdict.device), verdict)).collect();
        let mut forks = Self { verdicts, times, ..Self::default() };
        forks.summary = summary(forks.verdicts.values());
        forks
    }

    /// How much was heard: it only grows ([`crate::parcel::Receipt::age`]).
    pub(super) fn times(&self) -> u32 {
        self.times
    }

    pub(super) fn summary(&self) -> Option<Hash> {
        self.summary
    }

    /// What is known against the source, if it is the device's; of a source of nobody, whatever is known.
    pub(super) fn verdict(&self, source: SourceId, owner: Option<DeviceId>) -> Option<&Verdict> {
        match owner {
            Some(owner) => self.verdicts.get(&(source, owner)),
            None => {
                let any = (source, DeviceId([0; DeviceId::LEN]))..=(source, DeviceId([0xFF; DeviceId::LEN]));
                self.verdicts.range(any).next().map(|(_, verdict)| verdict)
            }
        }
    }

    pub(super) fn is_disputed(&self, source: SourceId) -> bool {
        self.disputes.contains_key(&source)
    }

    /// What comes after `told`, in a circle, and whether that is where the circle begins.
    pub(super) fn next_after(&self, told: Option<Key>) -> Option<(Key, bool)> {
        let later = told.and_then(|told| self.verdicts.range((Excluded(told), Unbounded)).next());
        let first = || self.verdicts.iter().next();
        later.map(|(key, _)| (*key, false)).or_else(|| first().map(|(key, _)| (*key, true)))
    }

    pub(super) fn wake_at(&self, now: Millis) -> Option<Millis> {
        self.disputes.values().map(|dispute| dispute.next_at).filter(|at| *at > now).min()
    }
}

impl Engine {
    /// A run, or a letter, of `with` shows another history than the one that is held: they differ at `differs`.
    pub(super) fn dispute(&mut self, source: SourceId, with: DeviceId, breach: Breach, differs: Seq, now: Now) {
        let after = Seq(differs.0.saturating_sub(1)).max(self.watermark.seq(source));
        let dispute = Dispute { with, breach, after, back: 1, attempts: 0, next_at: now.mono };
        self.forks.disputes.entry(source).or_insert(dispute);
    }

    /// Looks for sources that stand at one position here and there, and with another hash.
    pub(super) fn hold_against(&mut self, sender: DeviceId, theirs: &VersionVector, now: Now) {
        for (source, head) in theirs.iter() {
            let (at, held, offered) = (head.seq, self.vector.head(source), head.hash);
            let differs = at == held.seq && offered != held.hash && source != self.source;
            if differs && !self.cut.contains(&source) {
                self.dispute(source, sender, Breach::Forked { at, held: held.hash, offered }, at, now);
            }
        }
    }

    /// Asks the log how a run stands to what is held.
    pub(super) fn compare(&mut self, from: DeviceId, run: &Run) {
        self.outputs.push_back(Output::Look(Look::Compare { from, run: run.clone() }));
    }

    /// Goes on with what the log said.
    pub(super) fn looked(&mut self, looked: Looked, now: Now) {
        match looked {
            Looked::Compared(compared) => self.compared(*compared, now),
            Looked::Seen { source, seen } => self.write_again_after(source, seen),
            Looked::Beyond { source, bundles, more } => self.write_again(source, bundles, more, now),
        }
    }

    fn compared(&mut self, compared: Compared, now: Now) {
        let Compared { from, run, comparison, held, before } = compared;
        match comparison {
            Comparison::Parts(common) => {
                let evidence = held.and_then(|held| Evidence::of_fork(common, held, &run));
                self.prove(evidence, &run, now);
            }
            Comparison::Below => self.go_back(&run, now),
            Comparison::Settled => self.stay(from, &run, now),
            Comparison::Agrees => self.agrees(from, &run, before, now),
        }
    }

    /// What is held here was compacted: the sibling is told, and takes it from a snapshot ([`super::hydrate`]).
    fn stay(&mut self, from: DeviceId, run: &Run, now: Now) {
        let Some(source) = run.bundles.first().map(|bundle| bundle.dot.source) else { return };
        self.forks.disputes.remove(&source);
        if let Some(sibling) = self.siblings.get_mut(&from) {
            sibling.below.get_or_insert(Below { tell_at: now.mono, attempts: 0, asked: true });
        }
    }

    /// The run begins above the parting: what is before it is asked for.
    fn go_back(&mut self, run: &Run, now: Now) {
        let Some(first) = run.bundles.first().map(|bundle| bundle.dot) else { return };
        let floor = self.watermark.seq(first.source).0;
        let Some(dispute) = self.forks.disputes.get_mut(&first.source) else { return };
        let before = first.seq.0.saturating_sub(1);
        if before == 0 {
            // Nothing is before it, and it says that something is.
            self.prove(None, run, now);
        } else if before <= dispute.after.0 {
            dispute.after = Seq(before.saturating_sub(dispute.back).max(floor));
            (dispute.back, dispute.attempts, dispute.next_at) = (dispute.back.saturating_mul(2), 0, now.mono);
        }
    }

    /// Nothing in the run differs from what is held: the parting lies beyond it, or there is none.
    fn agrees(&mut self, from: DeviceId, run: &Run, before: Option<Bundle>, now: Now) {
        let Some(last) = run.bundles.last().map(|bundle| bundle.dot) else { return };
        if let Some(evidence) = Evidence::of_stamps(before, run) {
            return self.take_evidence(&evidence, now);
        }
        let within = last.seq < self.vector.seq(last.source);
        match self.forks.disputes.get_mut(&last.source) {
            Some(dispute) if within && dispute.after < last.seq => {
                (dispute.after, dispute.attempts, dispute.next_at) = (last.seq, 0, now.mono);
            }
            Some(_) | None => {
                self.forks.disputes.remove(&last.source);
                self.ingest(from, run, true, now);
                self.apply_waiting(now);
            }
        }
    }

    /// Acts on evidence; without any, what is held stays and nothing is added to it.
    fn prove(&mut self, evidence: Option<Evidence>, run: &Run, now: Now) {
        let Some(source) = run.bundles.first().map(|bundle| bundle.dot.source) else { return };
        let dispute = self.forks.disputes.remove(&source);
        match (evidence, dispute) {
            (Some(evidence), _) => self.take_evidence(&evidence, now),
            (None, Some(Dispute { breach, .. })) => self.refuse(source, breach, now),
            (None, None) => {}
        }
    }

    /// Takes evidence in, if it ends a source earlier than is known.
    pub(super) fn take_evidence(&mut self, evidence: &Evidence, now: Now) {
        let verdict = evidence.verdict();
        let Verdict { source, device, end, ground } = verdict;
        let key = (source, device);
        let known = self.forks.verdicts.get(&key);
        let room = known.is_some() || self.forks.verdicts.len() < MAX_VERDICTS;
        if known.is_some_and(|known| known.end.seq <= end.seq) || self.roster.known(device).is_none() || !room {
            return;
        }
        self.commit(Change::Evidence(evidence.clone()));
        self.forks.verdicts.insert(key, verdict);
        self.forks.times = self.forks.times.saturating_add(1);
        self.forks.summary = summary(self.forks.verdicts.values());
        for sibling in self.siblings.values_mut() {
            sibling.tell_evidence_anew();
            // Its receipt must be seen to be a later one: what is held may shrink.
            sibling.due(now.mono);
        }
        if self.owner(source).is_some_and(|owner| owner != device) {
            return;
        }
        let reason = format!("the source {source} ends after {}: {ground}", end.seq);
        self.quarantine(Suspect::Source, None, reason, Bytes::new(), now);
        self.forks.disputes.remove(&source);
        self.refused.remove(&source);
        if source == self.source {
            self.retire(now);
        }
        self.early.of(source).into_iter().filter(|dot| dot.seq > end.seq).for_each(|dot| self.drop_waiting(dot));
        // What was compacted here stands, and of what others have compacted beyond the end they bring what counts.
        let floor = self.watermark.head(source);
        let back = [floor, end].into_iter().max_by_key(|head| head.seq).unwrap_or(end);
        if self.vector.seq(source) > back.seq {
            if device == self.me {
                self.begin_again(source, back, now);
            } else {
                self.cut_source(source, back);
            }
        }
        self.cap_receipts();
        self.apply_waiting(now);
    }

    /// Where evidence ends the source, if it does.
    pub(super) fn proven_end(&self, source: SourceId, owner: Option<DeviceId>) -> Option<Head> {
        self.forks.verdict(source, owner).map(|verdict| verdict.end)
    }

    /// What to ask of those with whom a source is in dispute.
    pub(super) fn questions(
        &mut self,
        reachable: &BTreeSet<DeviceId>,
        now: Now,
        wants: &mut BTreeMap<DeviceId, Vec<Want>>,
    ) {
        if self.forks.disputes.is_empty() {
            return;
        }
        let jitter = self.jitter();
        let (siblings, vector) = (&self.siblings, &self.vector);
        self.forks.disputes.retain(|_, dispute| siblings.contains_key(&dispute.with) && dispute.attempts < GIVE_UP);
        for (source, dispute) in &mut self.forks.disputes {
            if dispute.next_at <= now.mono && reachable.contains(&dispute.with) {
                let (after, upto) = (dispute.after, vector.seq(*source));
                wants.entry(dispute.with).or_default().push(Want { source: *source, after, upto, exact: true });
                dispute.next_at = now.mono.plus(backed_off(ASK_AGAIN, dispute.attempts, jitter));
                dispute.attempts += 1;
            }
        }
    }

    /// What `status` says of them.
    pub(super) fn broken_sources(&self) -> Vec<RefusedSource> {
        let device = |source: &SourceId| self.sources.get(source).map(|known| known.device);
        let local = self.forks.disputes.iter().map(|(source, dispute)| (source, &dispute.breach));
        let local = self.refused.iter().chain(local).map(|(source, breach)| RefusedSource {
            source: *source,
            device: device(source),
            after: self.vector.seq(*source),
            reason: breach.to_string(),
            ended: false,
        });
        let ended = self.forks.verdicts.values().map(|verdict| RefusedSource {
            source: verdict.source,
            device: Some(verdict.device),
            after: verdict.end.seq,
            reason: verdict.ground.to_string(),
            ended: true,
        });
        local.chain(ended).collect()
    }
}

/// Most sources that evidence may end: 16 devices that are copied 16 times each.
const MAX_VERDICTS: usize = 256;
/// The pause after an unanswered question, doubled each time: 5 s.
const ASK_AGAIN: Millis = Millis(5_000);
/// After so many unanswered questions in a row a dispute rests until it shows again: the last one waited 160 s.
const GIVE_UP: u32 = 6;
