//! What a device of a test wrote down.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;

use super::script::{genesis, member, run_of};
use super::world::EPOCH;
use crate::bundle::Bundle;
use crate::clock::Stamp;
use crate::contents::{Content, Contents, Wanted};
use crate::epoch::{Epoch, HeldEpoch};
use crate::evidence::{Comparison, Evidence, compare};
use crate::ids::{DeviceId, Dot, Hash, Millis, Seq, SourceId};
use crate::look::{Compared, Look, Looked};
use crate::parcel::{Ended, RUN_TARGET, Run, RunBodies, SignedHead};
use crate::prekey::HeldPrekey;
use crate::roster::{Prekey, SignedRecord, Verified};
use crate::snapshot::Kept;
use crate::step::{
    Append, Change, Gain, Hydrating, Join, Pruning, Quarantined, RunRequest, Saved, SavedSibling, SavedSource, Word,
};
use crate::vector::{Head, VersionVector};

/// The epoch every world starts with.
pub(super) const FIRST_EPOCH: Epoch = Epoch { number: 1, id: [0xE1; 16] };

/// What a device wrote down. It knows nothing of merging: it is the log and what belongs to it.
#[derive(Clone, Debug, Default)]
pub(super) struct Disk {
    me: DeviceId,
    source: SourceId,
    generation: u64,
    pub(super) log: Vec<Append>,
    pub(super) early: BTreeMap<Dot, (DeviceId, Bundle)>,
    heads: BTreeSet<(SourceId, Seq)>,
    siblings: BTreeMap<DeviceId, SavedSibling>,
    pub(super) records: Vec<SignedRecord>,
    pub(super) quarantine: Vec<Quarantined>,
    pub(super) cut: Vec<Append>,
    pub(super) ended: Vec<Ended>,
    pub(super) epochs: BTreeMap<Epoch, HeldEpoch>,
    pub(super) watermark: VersionVector,
    pub(super) standing: VersionVector,
    pub(super) hydrating: Option<Hydrating>,
    pub(super) recent_us: Option<i64>,
    pub(super) staged: Vec<Kept>,
    pub(super) joins: Vec<Join>,
    pub(super) evidence: BTreeMap<(SourceId, DeviceId), (Evidence, u32)>,
    pub(super) prekeys: BTreeMap<u32, (HeldPrekey, Prekey)>,
    pub(super) prunes: bool,
    pub(super) lacking: u64,
    pub(super) words: BTreeMap<DeviceId, Word>,
    pub(super) prunings: Vec<Pruning>,
    /// Contents that are here, by the ids of their messages.
    pub(super) contents: BTreeMap<String, Bytes>,
}

impl Disk {
    /// The disk of a device that was just paired.
    pub(super) fn of(me: DeviceId, source: SourceId, records: Vec<SignedRecord>) -> Self {
        let epochs = BTreeMap::from([(FIRST_EPOCH, HeldEpoch { epoch: FIRST_EPOCH, quiet: None })]);
        let prekeys = BTreeMap::from([prekey(me, 1)]);
        Self { me, source, generation: 1, records, epochs, prekeys, ..Self::default() }
    }

    /// It makes another prekey while nobody looks.
    pub(super) fn rekey(&mut self, slot: u32) {
        self.prekeys.extend([prekey(self.me, slot)]);
    }

    /// Writes a change down.
    pub(super) fn write(&mut self, change: &Change) {
        match change {
            Change::Append(append) => self.log.push(append.clone()),
            Change::Early { device, bundle } => {
                self.early.insert(bundle.dot, (*device, bundle.clone()));
            }
            Change::EarlyDone(dot) => {
                self.early.remove(dot).unwrap();
            }
            Change::Head(SignedHead { source, head, .. }) => {
                self.heads.insert((*source, head.seq));
            }
            Change::Sibling(sibling) => {
                self.siblings.insert(sibling.device, sibling.clone());
            }
            Change::Record(record) => self.records.push(record.clone()),
            Change::AppBundle(..) => {}
            Change::Fresh { source, generation } => {
                (self.source, self.generation) = (*source, *generation);
            }
            Change::Quarantine(quarantined) => self.quarantine.push(quarantined.clone()),
            Change::Cut { source, end } => {
                let counts = |append: &Append| append.bundle.dot.source != *source || append.bundle.dot.seq <= end.seq;
                let (kept, cut) = self.log.drain(..).partition(counts);
                self.log = kept;
                self.cut.extend(Vec::<Append>::into_iter(cut));
            }
            Change::Ended(ended) => self.ended.push(*ended),
            Change::Epoch(kept) => {
                let held = HeldEpoch { epoch: kept.epoch, quiet: None };
                assert!(self.epochs.insert(kept.epoch, held).is_none(), "a secret is written once");
            }
            Change::EpochQuiet(held) => {
                *self.epochs.get_mut(&held.epoch).unwrap() = *held;
            }
            Change::Prekey(made) => {
                let held = HeldPrekey { slot: made.prekey.slot, made: made.made, quiet: None };
                assert!(
                    self.prekeys.insert(held.slot, (held, made.prekey.clone())).is_none(),
                    "a seed is written once"
                );
            }
            Change::PrekeyHeld(held) => self.prekeys.get_mut(&held.slot).unwrap().0 = *held,
            Change::PrekeyGone(slot) => {
                self.prekeys.remove(slot).unwrap();
            }
            Change::EpochGone(epoch) => {
                self.epochs.remove(epoch).unwrap();
            }
            Change::Stands { source, head } => self.standing.advance(*source, *head),
            Change::Compact(compaction) => self.watermark.join(&compaction.watermark),
            Change::Prune(pruning) => self.prunings.push(pruning.clone()),
            Change::Contents(contents) => {
                self.contents.extend(contents.iter().map(|content| (content.id.clone(), content.payload.clone())));
            }
            Change::Word { to, word: Some(word) } => drop(self.words.insert(*to, *word)),
            Change::Word { to, word: None } => drop(self.words.remove(to).unwrap()),
            Change::HydrationBegun(state) => (self.hydrating, self.staged) = (Some(*state), Vec::new()),
            Change::HydrationOver => (self.hydrating, self.staged) = (None, Vec::new()),
            Change::Staged(chunk) => {
                let state = self.hydrating.as_mut().unwrap();
                (state.after, state.last) = (chunk.upto, chunk.last);
                state.staged += chunk.entries.len() as u64;
                state.tail = chunk.entries.last().map(|kept| kept.hash).or(state.tail);
                self.staged.extend(chunk.entries.iter().cloned());
            }
            Change::Join(join) => {
                (self.hydrating, self.staged) = (None, Vec::new());
                self.joins.push(join.clone());
            }
            Change::Evidence(evidence) => {
                let verdict = evidence.verdict();
                let held = self.evidence.entry((verdict.source, verdict.device)).or_insert((evidence.clone(), 0));
                *held = (evidence.clone(), held.1 + 1);
            }
        }
    }

    pub(super) fn saved(&self) -> Saved {
        let mut sources: BTreeMap<SourceId, SavedSource> = BTreeMap::new();
        for append in &self.log {
            let bundle = &append.bundle;
            let known = sources.get(&bundle.dot.source);
            let born = bundle.body.as_ref().and_then(|body| body.birth).map(|birth| birth.generation);
            let stamp = bundle.body.as_ref().map(|body| body.stamp).filter(|stamp| stamp.is_valid());
            let saved = SavedSource {
                source: bundle.dot.source,
                device: append.device,
                generation: known.map(|known| known.generation).or(born).unwrap(),
                head: bundle.head(),
                stamp: stamp.or(known.map(|known| known.stamp)).unwrap_or_default(),
                context: Arc::clone(&append.context),
            };
            sources.insert(saved.source, saved);
        }
        let nothing = self.ended.iter().map(|ended| (ended.source, ended.device));
        for (source, device) in nothing.chain(self.cut.iter().map(|cut| (cut.bundle.dot.source, cut.device))) {
            let nothing = SavedSource {
                source,
                device,
                generation: 1,
                head: Head::default(),
                stamp: Stamp::default(),
                context: Arc::default(),
            };
            sources.entry(source).or_insert(nothing);
        }
        for Gain { end, .. } in self.joins.iter().flat_map(|join| &join.sources) {
            if sources.get(&end.source).is_none_or(|known| known.head.seq < end.at.head.seq) {
                let (source, device, generation) = (end.source, end.device, end.generation);
                let context = Arc::new(end.at.context.clone());
                let saved = SavedSource { source, device, generation, head: end.at.head, stamp: end.at.stamp, context };
                sources.insert(source, saved);
            }
        }
        Saved {
            me: self.me,
            source: self.source,
            generation: self.generation,
            sources: sources.into_values().collect(),
            early: self.early.values().cloned().collect(),
            siblings: self.siblings.values().cloned().collect(),
            roster: genesis().id(),
            records: self.records.iter().cloned().map(Verified::vouch).collect(),
            bundle_seq: self.log.iter().chain(&self.cut).map(|append| append.bundle_seq).max().unwrap_or_default(),
            epochs: self.epochs.values().copied().collect(),
            standing: self.standing.iter().chain(self.watermark.iter()).collect(),
            watermark: self.watermark.clone(),
            hydrating: self.hydrating,
            recent_us: self.recent_us,
            verdicts: self.evidence.values().map(|(evidence, times)| (evidence.verdict(), *times)).collect(),
            prekey: self.prekeys.values().next_back().unwrap().1.clone(),
            prekeys: self.prekeys.values().map(|(held, _)| *held).collect(),
            prunes: self.prunes,
            lacking: self.lacking,
            words: self.words.clone(),
        }
    }

    /// What a sibling that asks for contents gets.
    pub(super) fn give(&self, wanted: &[Wanted]) -> Contents {
        let mut contents = Contents::default();
        for Wanted { content, id } in wanted {
            match self.contents.get(id).filter(|payload| Hash::of(payload) == *content) {
                Some(payload) => contents.given.push(Content { id: id.clone(), payload: payload.clone() }),
                None => contents.missing.push(Wanted { content: *content, id: id.clone() }),
            }
        }
        contents
    }

    /// Answers a question of the engine.
    pub(super) fn look(&self, look: Look) -> Looked {
        let of = |source: SourceId| {
            self.log.iter().map(|append| &append.bundle).filter(move |bundle| bundle.dot.source == source)
        };
        match look {
            Look::Compare { from, run } => {
                let source = run.bundles[0].dot.source;
                let at = |seq: Seq| of(source).find(|bundle| bundle.dot.seq == seq);
                let comparison = compare(&run, self.watermark.seq(source), |seq| at(seq).map(|bundle| bundle.hash));
                let held = match comparison {
                    Comparison::Parts(after) => self.branch(source, after),
                    Comparison::Agrees | Comparison::Below | Comparison::Settled => None,
                };
                let before = Seq(run.bundles[0].dot.seq.0 - 1);
                let before = at(before).filter(|_| comparison == Comparison::Agrees).cloned();
                Looked::Compared(Box::new(Compared { from, run, comparison, held, before }))
            }
            Look::Seen { source, at } => {
                let bodies = of(source).filter(|bundle| bundle.dot.seq <= at).filter_map(|bundle| bundle.body.as_ref());
                let seen: VersionVector = bodies.flat_map(|body| body.context.iter().copied()).collect();
                Looked::Seen { source, seen }
            }
            Look::Beyond { source, after } => {
                let bundles: Vec<Bundle> = of(source).filter(|bundle| bundle.dot.seq > after).cloned().collect();
                let more = bundles.len() > PAGE;
                Looked::Beyond { source, bundles: bundles.into_iter().take(PAGE).collect(), more }
            }
        }
    }

    /// The history that is held after a position, up to the next signed head; of an own source the next bundle.
    fn branch(&self, source: SourceId, after: Seq) -> Option<Run> {
        let of = || self.log.iter().filter(|append| append.bundle.dot.source == source);
        let device = of().next()?.device;
        let upto = if device == self.me {
            after.next()
        } else {
            self.heads.range((source, after.next())..=(source, Seq(u64::MAX))).next()?.1
        };
        let bundles = of().map(|append| &append.bundle).filter(|b| b.dot.seq > after && b.dot.seq <= upto);
        run_of(device.0[0], &bundles.cloned().collect::<Vec<_>>()).rebuild().ok()
    }

    pub(super) fn run(&self, request: &RunRequest) -> Option<RunBodies> {
        let own = request.device == self.me;
        let signed = self.heads.range((request.source, Seq(0))..=(request.source, request.upto)).next_back();
        let end = if own { request.upto } else { signed.map_or(Seq::ZERO, |signed| signed.1) };
        let proof = self.evidence.get(&(request.source, request.device)).map(|(evidence, _)| evidence);
        if let Some(proof) =
            proof.filter(|proof| !own && end <= request.after && proof.verdict().end.seq > request.after)
        {
            let end = proof.verdict().end.seq;
            let held = self.log.iter().map(|append| &append.bundle).filter(|bundle| {
                bundle.dot.source == request.source && bundle.dot.seq > request.after && bundle.dot.seq <= end
            });
            let held: Vec<Bundle> = held.cloned().collect();
            let tail = proof.tail(end)?.rebuild().ok()?;
            return Some(run_of(request.device.0[0], &[held, tail.bundles].concat()));
        }
        let mut size = 0;
        let wanted = self.log.iter().map(|append| &append.bundle).filter(|bundle| {
            bundle.dot.source == request.source && bundle.dot.seq > request.after && bundle.dot.seq <= end
        });
        let bundles: Vec<Bundle> = wanted
            .take_while(|bundle| {
                size += bundle.bytes.len();
                !own || size <= RUN_TARGET || size == bundle.bytes.len()
            })
            .cloned()
            .collect();
        (!bundles.is_empty()).then(|| run_of(request.device.0[0], &bundles))
    }
}

/// Bundles of one answer.
const PAGE: usize = 3;
/// The prekey of a device in a slot, made when worlds begin.
fn prekey(me: DeviceId, slot: u32) -> (u32, (HeldPrekey, Prekey)) {
    let held = HeldPrekey { slot, made: Millis(EPOCH), quiet: None };
    (slot, (held, Prekey { slot, ..member(me.0[0]).prekey }))
}
