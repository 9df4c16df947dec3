//! Compaction and snapshots, in maps.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use kinfolk_core::bundle::Bundle;
use kinfolk_core::compact::Contexts;
use kinfolk_core::ids::{BundleSeq, Dot, Hash, Seq, SourceId};
use kinfolk_core::op::{KIND_MESSAGE_DELETE, KIND_RECORD_DELETE};
use kinfolk_core::parcel::SignedHead;
use kinfolk_core::snapshot::{self, Ask, Chunk, End, Kept, Mark};
use kinfolk_core::step::{Gain, Join, SavedSource};
use kinfolk_core::vector::VersionVector;

use super::{Logged, Model, State};
use crate::sim::broken::{Broken, Held};
use crate::sim::sabotage::Sabotage;

/// Before and after all hashes.
const LEAST: Hash = Hash([0; Hash::LEN]);
const GREATEST: Hash = Hash([0xFF; Hash::LEN]);
/// Most entries of a chunk: few, so that there are many chunks.
const CHUNK: usize = 5;

impl Model {
    /// Up to where the log was compacted.
    pub fn watermark(&self) -> VersionVector {
        self.state.watermark.iter().map(|(source, mark)| (*source, mark.head)).collect()
    }

    /// The chain hashes at those places.
    pub fn chain(&self, places: &[Dot]) -> BTreeMap<Dot, Hash> {
        let floor = |dot: &Dot| self.state.watermark.get(&dot.source).map(|mark| mark.head);
        let noted = |dot: &Dot| floor(dot).filter(|head| head.seq == dot.seq).map(|head| head.hash);
        let here = |dot: &Dot| self.bundle(*dot).map(|bundle| bundle.hash).or_else(|| noted(dot));
        places.iter().filter_map(|dot| Some((*dot, here(dot)?))).collect()
    }

    /// The chunk of a snapshot that was asked for.
    pub fn chunk(&self, ask: Ask) -> Chunk {
        let state = &self.state;
        let snapshot = snapshot::number(self.generation(), state.compactions);
        let kept = state.places.range(..=ask.after).rev().find_map(|(_, dot)| state.log.get(dot));
        let ends_in = ask.tail.is_none_or(|tail| kept.is_some_and(|logged| logged.bundle.hash == tail));
        let goes_on = ask.snapshot == snapshot && ends_in;
        let (after, anew) = if goes_on { (ask.after, false) } else { (BundleSeq(0), ask.after > BundleSeq(0)) };
        let mut rest = state.places.range(after.next()..).map(|(place, dot)| (*place, *dot));
        let mut chunk = Chunk { snapshot, after, upto: after, last: state.bundle_seq, anew, ..Chunk::default() };
        for (place, dot) in rest.by_ref().take(CHUNK) {
            chunk.upto = place;
            let bundle = state.log.get(&dot).map(|logged| &logged.bundle);
            chunk.entries.extend(bundle.map(|bundle| Kept {
                source: dot.source,
                seq: dot.seq,
                hash: bundle.hash,
                body: bundle.bytes.clone(),
            }));
        }
        if rest.next().is_none() {
            let held = state.sources.values().filter(|source| source.head.seq > Seq::ZERO);
            chunk.ends = held.map(|source| self.end(source)).collect();
        }
        chunk
    }

    /// Of the source in use.
    fn generation(&self) -> u64 {
        self.state.fresh.map_or(self.birth.generation, |(_, generation)| generation)
    }

    fn end(&self, source: &SavedSource) -> End {
        let (id, device) = (source.source, source.device);
        let heads = self.state.heads.range((id, Seq::ZERO, LEAST)..=(id, source.head.seq, GREATEST));
        let own = (device == self.birth.me).then(|| SignedHead {
            device,
            source: id,
            head: source.head,
            signature: Bytes::from_static(&[9; 64]),
        });
        End {
            source: id,
            device,
            generation: source.generation,
            at: Mark { head: source.head, stamp: source.stamp, context: source.context.as_ref().clone() },
            floor: self.state.watermark.get(&id).cloned().unwrap_or_default(),
            signed: own.or_else(|| heads.map(|(_, head)| head.clone()).rfind(|head| self.state.is_on_chain(head))),
        }
    }
}

impl State {
    pub(super) fn compact(&mut self, watermark: &VersionVector, sabotage: Option<Sabotage>) {
        self.compactions += 1;
        let everything: VersionVector = self.sources.values().map(|source| (source.source, source.head)).collect();
        let upto = if sabotage == Some(Sabotage::CompactAll) { &everything } else { watermark };
        for (source, head) in upto.iter() {
            let range = (source, Seq::ZERO, LEAST)..=(source, head.seq, GREATEST);
            let below: Vec<SignedHead> = self.heads.range(range).map(|(_, signed)| signed.clone()).collect();
            let last = below.iter().rfind(|signed| self.is_on_chain(signed)).map(|signed| signed.head);
            self.heads.retain(|(of, seq, hash), _| {
                *of != source || *seq > head.seq || last.is_some_and(|last| (last.seq, last.hash) == (*seq, *hash))
            });
            self.standing.advance(source, head);
            let stamps = (1..=head.seq.0).filter_map(|seq| self.log.get(&Dot { source, seq: Seq(seq) }));
            let stamps = stamps.filter_map(|logged| logged.bundle.body.as_ref()).map(|body| body.stamp);
            let before = self.watermark.get(&source).map(|mark| mark.stamp);
            let stamp = stamps.filter(|stamp| stamp.is_valid()).chain(before).max().unwrap_or_default();
            let context = self.log.get(&Dot { source, seq: head.seq }).map(|logged| logged.context.as_ref().clone());
            self.watermark.insert(source, Mark { head, stamp, context: context.unwrap_or_default() });
        }
    }

    pub(super) fn stage(&mut self, chunk: &Chunk) -> Held {
        let Some(state) = &mut self.hydrating else {
            return Broken::rule("a chunk belongs to a snapshot that was begun", format!("{:?}", chunk.after));
        };
        if state.after != chunk.after {
            return Broken::rule("a snapshot is staged without holes", format!("{state:?} {:?}", chunk.after));
        }
        (state.after, state.last) = (chunk.upto, chunk.last);
        state.staged += u64::try_from(chunk.entries.len()).unwrap_or_default();
        state.tail = chunk.entries.last().map(|kept| kept.hash).or(state.tail);
        self.staged.extend(chunk.entries.iter().cloned());
        Ok(())
    }

    pub(super) fn join(&mut self, join: &Join, sabotage: Option<Sabotage>) -> Held {
        if join.first <= self.bundle_seq {
            return Broken::rule("a place is given out once", format!("{:?}", join.first));
        }
        let mut gaining: BTreeMap<SourceId, (&Gain, Contexts)> = BTreeMap::new();
        for gain in &join.sources {
            let mut contexts = Contexts::behind(&gain.end.floor);
            let held = self.sources.get(&gain.end.source);
            if held.map(|held| held.head.seq).unwrap_or_default() != gain.after {
                return Broken::rule("a source gains behind what is held of it", format!("{gain:?}"));
            }
            if let Some(held) = held.filter(|_| gain.end.floor.head.seq == Seq::ZERO) {
                contexts.set(&held.context);
            }
            gaining.insert(gain.end.source, (gain, contexts));
        }
        let mut place = join.first;
        for kept in std::mem::take(&mut self.staged) {
            let at = place;
            place = place.next();
            let Some((gain, contexts)) = gaining.get_mut(&kept.source) else { continue };
            let is_new = kept.seq > gain.after && kept.seq <= gain.end.at.head.seq;
            let dot = Dot { source: kept.source, seq: kept.seq };
            let Ok(mut bundle) = Bundle::rebuild(dot, Hash::default(), kept.body.clone()) else { continue };
            bundle.hash = kept.hash;
            if is_new || gain.end.floor.head.seq > Seq::ZERO {
                contexts.enter(kept.seq, bundle.body.as_ref().map_or(&[], |body| body.context.as_slice()));
            }
            if !is_new {
                continue;
            }
            if sabotage == Some(Sabotage::JoinForgetsDeletions)
                && let Some(body) = &mut bundle.body
            {
                body.ops.retain(|op| op.kind != KIND_MESSAGE_DELETE && op.kind != KIND_RECORD_DELETE);
            }
            let context = Arc::new(contexts.full().clone());
            if self.roster.removed().next().is_none() {
                self.effects(&bundle, &context, sabotage);
            }
            self.places.insert(at, dot);
            self.log.insert(dot, Logged { bundle, context });
        }
        self.bundle_seq = BundleSeq(place.0 - 1);
        for Gain { end, .. } in &join.sources {
            let (source, device, generation) = (end.source, end.device, end.generation);
            let (head, stamp, context) = (end.at.head, end.at.stamp, Arc::new(end.at.context.clone()));
            self.sources.insert(source, SavedSource { source, device, generation, head, stamp, context });
            if end.floor.head.seq > Seq::ZERO {
                self.standing.advance(source, end.floor.head);
                self.watermark.insert(source, end.floor.clone());
            }
            self.cut.retain(|dot, _| dot.source != source || dot.seq > end.at.head.seq);
        }
        if self.roster.removed().next().is_some() {
            self.replay(sabotage);
        }
        self.hydrating = None;
        Ok(())
    }
}
