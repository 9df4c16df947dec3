//! What follows from the roster: whom to hear, and where sources end.
//!
//! A source ends where the removal of its device says, or where evidence says that it is no chain (`fork`), whichever is less. An end is an
//! end, whoever decided it.
//!
//! **The cut.** A removal says where each source of the removed device ends ([`crate::roster::Removed`]). What was applied beyond is taken
//! back ([`Change::Cut`]) and set aside by the store; what comes of it later is not looked at. Bundles of other devices that had seen
//! some of it count as if they had seen it up to the end, so that they are applied everywhere alike.
//!
//! **What stands.** Nothing can be taken back of what some device has compacted ([`super::compact`]): what it had replaced is gone. A source
//! does not end before that. Letters say it of sources of which the removal says less ([`Ended::stands`]), a snapshot of all; it is believed of
//! who holds the source that far, written down, and passed on, so that in the end all devices hold the same.
//!
//! **Sources nobody named.** A source that the removing device had never heard of ends before its first bundle. Who has not heard of it
//! either cannot know whose it is, and would wait for it for good when another's bundle names it: so letters say which sources
//! these are ([`Ended`]). The claim only lets bundles go that name the source; a sibling that lies about it can make others apply in
//! an order that is not causal, and the store puts that right when the missing bundles come.
//!
//! **When a removal turns out void** (two devices removed each other, and the elder's record comes later), the sources run on, and
//! what was taken back is fetched again. What the source's author had seen at its end is on disk only: an engine that has cut a source lets it
//! rest and is [spent](Engine::is_spent), and the driver restores it after the commit. What the device had said is remembered meanwhile:
//! a letter of its that was under way for longer does not take it back.

use std::collections::BTreeMap;

use super::Engine;
use super::sibling::Sibling;
use crate::ids::{DeviceId, Seq, SourceId};
use crate::parcel::{Ended, MAX_ENDED, Run};
use crate::roster::Removed;
use crate::step::Change;
use crate::vector::{Head, VersionVector};

impl Engine {
    /// Whether the engine should be restored from disk as soon as everything is committed.
    pub fn is_spent(&self) -> bool {
        !self.cut.is_empty()
    }

    /// How far the roster is known here; it only grows ([`crate::parcel::Receipt::age`]).
    pub(super) fn term(&self) -> u32 {
        u32::try_from(self.roster.len()).unwrap_or(u32::MAX)
    }

    /// Whether this device itself was removed: it says nothing any more.
    pub(super) fn is_removed(&self) -> bool {
        self.roster.removal(self.me).is_some()
    }

    /// Draws the consequences of a roster in which other devices are removed than `before`.
    pub(super) fn follow_roster(&mut self, before: &BTreeMap<DeviceId, Removed>) {
        let (roster, parted, own) = (&self.roster, &mut self.parted, self.source);
        self.siblings.retain(|id, sibling| {
            let stays = roster.member(*id).is_some();
            if !stays {
                parted.insert(*id, sibling.saved(*id, own));
            }
            stays
        });
        self.under_way.retain(|_, under_way| roster.member(under_way.to).is_some());
        let changed = roster.removed().filter(|(id, now)| *id != self.me && before.get(id) != Some(*now));
        let changed: Vec<(DeviceId, Removed)> = changed.map(|(id, removed)| (id, removed.clone())).collect();
        for (device, removed) in &changed {
            // With these, what counts of the device can be handed on.
            removed.ends().for_each(|end| self.commit(Change::Head(end.clone())));
            let sources = self.sources.iter().filter(|(_, source)| source.device == *device);
            for source in sources.map(|(source, _)| *source).collect::<Vec<_>>() {
                if let Some(end) = self.end_in(*device, source).filter(|end| end.seq < self.vector.seq(source)) {
                    self.cut_source(source, end);
                }
            }
            for source in self.early.sources() {
                let of_device = self.early.first(source).is_some_and(|(owner, _)| owner == device);
                let end = self.end_in(*device, source).unwrap_or_default().seq;
                let beyond = self.early.of(source).into_iter().filter(|dot| of_device && dot.seq > end);
                beyond.for_each(|dot| self.drop_waiting(dot));
                if of_device {
                    self.learn_ended(Ended { source, device: *device, ..Ended::default() });
                }
            }
        }
        self.meet_siblings();
        self.cap_receipts();
    }

    /// Opens a lane to every member that has none.
    pub(super) fn meet_siblings(&mut self) {
        let members = self.roster.members().map(|member| member.device.id).filter(|id| *id != self.me);
        for id in members.filter(|id| !self.siblings.contains_key(id)).collect::<Vec<_>>() {
            let mut sibling = Sibling::default();
            if let Some(saved) = self.parted.remove(&id) {
                sibling.recall(saved, self.source, self.last());
            }
            self.siblings.insert(id, sibling);
        }
    }

    /// Takes `source` back to `end`, which lies before where it stands.
    pub(super) fn cut_source(&mut self, source: SourceId, end: Head) {
        self.vector.cut(source, end);
        self.cut.insert(source);
        // It takes a place in this device's order: apps that are past what changes are told.
        self.bundle_seq = self.bundle_seq.next();
        self.commit(Change::Cut { source, end });
    }

    /// Where a source of `owner` ends, if it does: where that is said, and not before what stands.
    pub(super) fn end_in(&self, owner: DeviceId, source: SourceId) -> Option<Head> {
        let said = self.said_end(owner, source)?;
        let stands = self.standing.head(source);
        Some(if stands.seq > said.seq { stands } else { said })
    }

    /// Where the removal of `owner` or evidence ends its source, whichever is less.
    pub(super) fn said_end(&self, owner: DeviceId, source: SourceId) -> Option<Head> {
        let removed = self.roster.removal(owner).filter(|_| owner != self.me);
        let removed = removed.map(|removed| removed.head(source));
        removed.into_iter().chain(self.proven_end(source, Some(owner))).min_by_key(|end| end.seq)
    }

    /// Where `source` ends, if that is known, whosever it is.
    fn known_end(&self, source: SourceId) -> Option<Head> {
        match self.owner(source) {
            Some(owner) => self.end_in(owner, source),
            None => self.proven_end(source, None),
        }
    }

    /// How far a run may be taken in. Of two histories only one was compacted, beyond where they part: what leads there comes with a
    /// snapshot, or with a run that shows it.
    pub(super) fn end_for(&self, run: &Run, source: SourceId) -> Option<Seq> {
        let (end, said) = (self.end_in(run.device, source)?, self.said_end(run.device, source)?);
        let two = self.proven_end(source, Some(run.device)).is_some();
        let unsure = two && self.vector.seq(source) < end.seq && !run.bundles.iter().any(|bundle| bundle.head() == end);
        Some(if unsure { said.seq } else { end.seq })
    }

    /// Takes note of what was compacted somewhere.
    pub(super) fn stand(&mut self, source: SourceId, head: Head) {
        if head.seq > self.standing.seq(source) {
            self.standing.advance(source, head);
            self.commit(Change::Stands { source, head });
        }
    }

    /// How far what `author_saw` of `source` must be here, for a bundle of its author to be applied.
    pub(super) fn needed_of(&self, source: SourceId, author_saw: Seq) -> Seq {
        self.known_end(source).map_or(author_saw, |end| end.seq.min(author_saw))
    }

    /// The vector as far as it counts: nobody is asked for what was cut, and nobody is waited for because of it.
    pub(super) fn capped(&self, mut vector: VersionVector) -> VersionVector {
        // The hash beside the position is the end's own, or that of nothing.
        let beyond = vector
            .iter()
            .filter_map(|(source, head)| Some((source, self.known_end(source).filter(|end| end.seq < head.seq)?)));
        for (source, end) in beyond.collect::<Vec<(SourceId, Head)>>() {
            vector.cut(source, end);
        }
        vector
    }

    pub(super) fn cap_receipts(&mut self) {
        for id in self.siblings.keys().copied().collect::<Vec<_>>() {
            let Some(held) = self.siblings.get(&id).map(|sibling| sibling.receipt.vector.clone()) else { continue };
            let capped = self.capped(held);
            let ends: BTreeMap<SourceId, Seq> =
                self.sources.keys().filter_map(|source| Some((*source, self.known_end(*source)?.seq))).collect();
            let Some(sibling) = self.siblings.get_mut(&id) else { continue };
            sibling.recap(capped, &ends);
        }
    }

    /// Sources of removed devices that no removal names, and those of which more stands than it says, for letters.
    pub(super) fn ended(&self) -> Vec<Ended> {
        let ended = self.sources.iter().filter_map(|(source, known)| {
            let said = self.said_end(known.device, *source)?;
            let stands = Some(self.standing.head(*source)).filter(|stands| stands.seq > said.seq);
            let ended = Ended { source: *source, device: known.device, stands: stands.unwrap_or_default() };
            (self.is_unnamed(known.device, *source) || stands.is_some()).then_some(ended)
        });
        ended.take(MAX_ENDED).collect()
    }

    /// Whether `owner` was removed by somebody who had not heard of its source.
    fn is_unnamed(&self, owner: DeviceId, source: SourceId) -> bool {
        let removed = self.roster.removal(owner).filter(|_| owner != self.me);
        removed.is_some_and(|removed| removed.end(source) == Seq::ZERO)
    }

    /// Takes in whose a source is that no removal names, and what stands of one that ends.
    pub(super) fn learn_ended(&mut self, ended: Ended) {
        let ends = self.said_end(ended.device, ended.source).is_some();
        let owner = self.owner(ended.source);
        if !ends || owner.is_some_and(|owner| owner != ended.device) || ended.source == self.source {
            return;
        }
        let known = self.sources.values().filter(|source| source.device == ended.device).count();
        if owner.is_none() && (!self.is_unnamed(ended.device, ended.source) || known >= MAX_ENDED) {
            return;
        }
        self.stand(ended.source, ended.stands);
        if owner.is_none() {
            let nothing = super::Source::nothing_of(ended.device);
            self.sources.insert(ended.source, nothing);
            self.commit(Change::Ended(ended));
            self.cap_receipts();
        }
    }
}
