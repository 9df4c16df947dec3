//! What the removal of a device takes back, by replaying everything.

use std::collections::BTreeMap;
use std::sync::Arc;

use kinfolk_core::clock::Stamp;
use kinfolk_core::ids::{DeviceId, Dot, Seq, SourceId};
use kinfolk_core::parcel::{Ended, Run, SignedHead};
use kinfolk_core::roster::End;
use kinfolk_core::step::SavedSource;
use kinfolk_core::vector::Head;

use super::messages::Messages;
use super::rows::Rows;
use super::{Logged, Model, State};
use crate::sim::broken::{Broken, Held};
use crate::sim::sabotage::Sabotage;

impl Model {
    /// Whose the sources are of which anything is or was held.
    pub fn writers(&self) -> impl Iterator<Item = (SourceId, DeviceId)> {
        self.state.sources.values().map(|source| (source.source, source.device))
    }

    /// Where the sources of a device end if it is removed now: at their last signed heads.
    pub fn ends_of(&self, device: DeviceId) -> Vec<End> {
        let mut ends: BTreeMap<SourceId, End> = BTreeMap::new();
        for ((source, _, _), signed) in self.state.heads.iter().filter(|(_, signed)| signed.device == device) {
            if self.state.is_on_chain(signed) {
                let (head, signature) = (signed.head, signed.signature.clone());
                ends.insert(*source, End { source: *source, head, signature });
            }
        }
        for ((source, _), (evidence, _)) in self.state.proofs.iter().filter(|((_, by), _)| *by == device) {
            let signed = evidence.runs().first().and_then(Run::signed_head);
            ends.extend(signed.map(|it| (*source, End { source: *source, head: it.head, signature: it.signature })));
        }
        ends.into_values().collect()
    }

    /// Up to where nothing of a source can be taken back.
    pub fn standing(&self, source: SourceId) -> Seq {
        self.state.standing.seq(source)
    }

    /// Whether that bundle was taken back, because its device was removed.
    pub fn is_set_aside(&self, dot: Dot) -> bool {
        self.state.cut.contains_key(&dot)
    }
}

impl State {
    pub(super) fn end(&mut self, ended: &Ended) -> Held {
        let (source, device) = (ended.source, ended.device);
        let nothing = SavedSource {
            source,
            device,
            generation: 0,
            head: Head::default(),
            stamp: Stamp::default(),
            context: Arc::default(),
        };
        if self.sources.insert(source, nothing).is_some() {
            return Broken::rule("only a strange source is learnt to have ended", format!("{source}"));
        }
        Ok(())
    }

    /// Where the source ends, by evidence or because its device was removed here.
    pub(super) fn end_of(&self, source: SourceId) -> Option<Seq> {
        let writer = self.sources.get(&source).map(|known| known.device);
        let removed = writer.and_then(|writer| self.roster.removal(writer)).map(|removed| removed.end(source));
        let said = removed.into_iter().chain(self.proven_end(source)).min()?;
        Some(said.max(self.standing.seq(source)))
    }

    /// Whether a signed head is of the bundles that are held, or lies where some of them were compacted.
    pub(super) fn is_on_chain(&self, signed: &SignedHead) -> bool {
        let (source, seq) = (signed.source, signed.head.seq);
        let held = self.log.get(&Dot { source, seq });
        held.is_some_and(|logged| logged.bundle.hash == signed.head.hash)
            || self.watermark.get(&source).is_some_and(|mark| seq <= mark.head.seq)
    }

    pub(super) fn is_cut(&self, source: SourceId) -> bool {
        // Of a source that is not known here, nothing is known against it.
        let writer = self.sources.get(&source).map(|known| known.device);
        // What a removal had capped counts as capped until the sibling says it again, also when the removal turns out void in the same round.
        let is_removed = |writer| self.roster.removal(writer).is_some() || self.removed_meanwhile.contains(&writer);
        writer.is_none_or(is_removed) || self.proven_end(source).is_some()
    }

    pub(super) fn note_removed(&mut self) {
        self.removed_meanwhile.extend(self.roster.removed().map(|(id, _)| id));
    }

    pub(super) fn take_back(&mut self, source: SourceId, end: Head, sabotage: Option<Sabotage>) -> Held {
        self.bundle_seq = self.bundle_seq.next();
        let floor = self.watermark.get(&source).cloned().unwrap_or_default();
        Broken::unless(floor.head.seq <= end.seq, "what is compacted stands", || format!("{source} at {end:?}"))?;
        let (beyond, kept): (BTreeMap<_, _>, _) =
            std::mem::take(&mut self.log).into_iter().partition(|(dot, _)| dot.source == source && dot.seq > end.seq);
        self.log = kept;
        self.places.retain(|_, dot| !beyond.contains_key(dot));
        self.cut.extend(beyond);
        self.compactions += 1;
        let (mut stamp, mut context) = (floor.stamp, floor.context);
        for (_, logged) in self.log.iter().filter(|(dot, _)| dot.source == source) {
            let stamped = logged.bundle.body.as_ref().map(|body| body.stamp).filter(|stamped| stamped.is_valid());
            stamp = stamped.unwrap_or(stamp).max(stamp);
            context.join(&logged.context);
        }
        if let Some(saved) = self.sources.get_mut(&source) {
            (saved.head, saved.stamp, saved.context) = (end, stamp, Arc::new(context));
        }
        self.replay(sabotage);
        Ok(())
    }

    /// The state anew from the kept log, in the order of stamps: nobody stamps before what he had seen.
    pub(super) fn replay(&mut self, sabotage: Option<Sabotage>) {
        let mut log: Vec<Logged> = self.log.values().cloned().collect();
        log.sort_by_key(|logged| logged.bundle.body.as_ref().map(|body| body.stamp));
        (self.rows, self.messages, self.digest) = (Rows::default(), Messages::default(), None);
        log.iter().for_each(|logged| self.effects(&logged.bundle, &logged.context, sabotage));
    }
}
