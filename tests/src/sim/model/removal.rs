//! What the removal of a device takes back, by replaying everything.

use std::collections::BTreeMap;
use std::sync::Arc;

use kinfolk_core::clock::Stamp;
use kinfolk_core::ids::{BundleSeq, DeviceId, Dot, Millis, Seq, SourceId};
use kinfolk_core::parcel::Ended;
use kinfolk_core::roster::End;
use kinfolk_core::step::{Append, SavedSource};
use kinfolk_core::vector::{Head, VersionVector};

use super::messages::Messages;
use super::rows::Rows;
use super::{Model, State};
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
        for ((source, seq), signed) in self.state.heads.iter().filter(|(_, signed)| signed.device == device) {
            let held = self.state.log.get(&Dot { source: *source, seq: *seq });
            if held.is_some_and(|bundle| bundle.head() == signed.head) {
                let (head, signature) = (signed.head, signed.signature.clone());
                ends.insert(*source, End { source: *source, head, signature });
            }
        }
        ends.into_values().collect()
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

    /// Whose source it is, if that device was removed here: where it ends.
    pub(super) fn end_of(&self, source: SourceId) -> Option<Seq> {
        let removed = self.roster.removal(self.sources.get(&source)?.device)?;
        Some(removed.end(source))
    }

    pub(super) fn is_cut(&self, source: SourceId) -> bool {
        // Of a source that is not known here, nothing is known against it.
        let writer = self.sources.get(&source).map(|known| known.device);
        writer.is_none_or(|writer| self.roster.removal(writer).is_some())
    }

    pub(super) fn take_back(&mut self, source: SourceId, end: Head, sabotage: Option<Sabotage>) {
        let (beyond, kept): (BTreeMap<_, _>, _) =
            std::mem::take(&mut self.log).into_iter().partition(|(dot, _)| dot.source == source && dot.seq > end.seq);
        self.log = kept;
        self.cut.extend(beyond);
        let (mut stamp, mut context) = (Stamp::default(), VersionVector::default());
        let kept = self.log.iter().filter(|(dot, _)| dot.source == source);
        for body in kept.filter_map(|(_, bundle)| bundle.body.as_ref()) {
            stamp = if body.stamp.is_valid() { body.stamp } else { stamp };
            context.join(&body.context.iter().copied().collect());
        }
        if let Some(saved) = self.sources.get_mut(&source) {
            (saved.head, saved.stamp, saved.context) = (end, stamp, Arc::new(context));
        }
        self.replay(sabotage);
    }

    /// The state anew from the kept log, in the order of stamps: nobody stamps before what he had seen.
    pub(super) fn replay(&mut self, sabotage: Option<Sabotage>) {
        let mut contexts: BTreeMap<SourceId, Arc<VersionVector>> = BTreeMap::new();
        let mut appends: Vec<Append> = Vec::with_capacity(self.log.len());
        for (dot, bundle) in &self.log {
            let context = contexts.entry(dot.source).or_default();
            let seen = bundle.body.iter().flat_map(|body| body.context.iter().copied());
            Arc::make_mut(context).join(&seen.collect());
            appends.push(Append {
                bundle: bundle.clone(),
                device: DeviceId::default(),
                bundle_seq: BundleSeq::default(),
                context: Arc::clone(context),
                at: Millis::default(),
                app: None,
            });
        }
        appends.sort_by_key(|append| append.bundle.body.as_ref().map(|body| body.stamp));
        (self.rows, self.messages, self.digest) = (Rows::default(), Messages::default(), None);
        appends.iter().for_each(|append| self.effects(append, sabotage));
    }
}
