//! Hydration: catching up with a log that was compacted, as a causal join.
//!
//! A sibling says that runs cannot bring what is missing here ([`crate::snapshot`]). It is asked for its kept log, chunk after chunk; each
//! is staged on disk, so that a crash of either side or a lost relay costs one chunk. With the last chunk everything staged
//! that is not covered here joins the log in one transaction, in the sender's order, behind what is here.
//!
//! **Why that is a join.** What is held here and there is kept once. What only one side held stays: own bundles nobody has seen, and
//! what the sender never had. What one side holds and the other had and dropped was dominated there by something that is kept there, and
//! meets it now. The order is causal: nothing that is new here was seen by anything that was here before. So the state is
//! that of both logs together, deletions included, and the vector is the greater of both.
//!
//! **Removals.** What counts of a removed device is the same on both sides, or it would be no join: chunks are taken only while the
//! sender shows the roster that is held here. When it learns of a removal later and takes something back, its snapshot begins anew. Whatever
//! it has compacted stands here, too ([`super::membership`]), also of sources that gain nothing: what that had replaced did not come.
//!
//! **What it does not do.** The own source is not filled up from a sibling (who knows more of it than we do is a sign of a
//! restored disk), nor is a source that was refused, or of a device that is not known.

use std::sync::Arc;

use super::breach::Breach;
use super::sibling::Below;
use super::{Engine, Source};
use crate::ids::{BundleSeq, DeviceId, Millis, Now, Seq, SourceId};
use crate::lane::backed_off;
use crate::parcel::MAX_VECTOR;
use crate::snapshot::{self, Ask, Chunk, End, Mark};
use crate::step::{Change, Gain, Hydrating, Join};

/// A snapshot under way to here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hydration {
    pub(super) state: Hydrating,
    /// When to ask for the next chunk (again), and how often that was done in vain.
    pub(super) ask_at: Millis,
    attempts: u32,
}

impl Hydration {
    /// Goes on with what is staged.
    pub(super) fn resume(state: Hydrating) -> Self {
        Self { state, ask_at: Millis(0), attempts: 0 }
    }
}

impl Engine {
    /// What a sibling's letter says of it.
    pub(super) fn hydrate(&mut self, sender: DeviceId, said: snapshot::Hydration, same_roster: bool, now: Now) {
        if let (Some(ask), Some(sibling)) = (said.ask, self.siblings.get_mut(&sender)) {
            sibling.chunk_asked = Some(ask);
            // It has heard.
            sibling.below = sibling.below.map(|_| Below { tell_at: now.mono.plus(ASK_AGAIN_MAX), ..Below::default() });
        }
        for (source, head) in said.watermark.iter() {
            if self.owner(source).is_some_and(|owner| self.said_end(owner, source).is_some()) {
                self.stand(source, head);
            }
        }
        let lacking = said.watermark.iter().any(|(source, head)| {
            head.seq > self.vector.seq(source) && self.may_gain(source) && !self.cut.contains(&source)
        });
        if lacking && self.is_free_to_begin(sender, now) {
            self.begin(Hydrating { from: sender, ..Hydrating::default() }, now);
        }
        if let Some(chunk) = said.chunk.filter(|_| same_roster) {
            self.chunk(sender, *chunk, now);
        }
    }

    fn may_gain(&self, source: SourceId) -> bool {
        source != self.source && !self.refused.contains_key(&source)
    }

    /// What to say of it to a sibling now. The chunk it asked for is put in by whoever can read the log.
    pub(super) fn hydration_for(&mut self, to: DeviceId, now: Now) -> snapshot::Hydration {
        let watermark = self.watermark_for(to, now);
        if self.hydration.is_none_or(|h| h.state.from != to || h.ask_at > now.mono) {
            return snapshot::Hydration { watermark, ..Default::default() };
        }
        let jitter = self.jitter();
        let Some(hydration) = &mut self.hydration else { return Default::default() };
        if hydration.attempts >= MAX_ASKS {
            // Whoever says next that something is missing here is asked instead.
            self.hydration = None;
            self.commit(Change::HydrationOver);
            return snapshot::Hydration { watermark, ..Default::default() };
        }
        hydration.ask_at = now.mono.plus(backed_off(ASK_AGAIN, hydration.attempts, jitter).min(ASK_AGAIN_MAX));
        hydration.attempts += 1;
        let Hydrating { snapshot, after, tail, .. } = hydration.state;
        let ask = Ask { snapshot, after, tail, recent_us: self.recent_us };
        snapshot::Hydration { watermark, ask: Some(ask), chunk: None }
    }

    fn is_free_to_begin(&self, sender: DeviceId, now: Now) -> bool {
        self.hydration.is_none_or(|under_way| {
            let silent = under_way.attempts >= ENOUGH_ASKS || now.mono.since(under_way.ask_at) >= ASK_AGAIN_MAX;
            under_way.state.from != sender && silent
        })
    }

    fn begin(&mut self, state: Hydrating, now: Now) {
        self.hydration = Some(Hydration { state, ask_at: now.mono, attempts: 0 });
        self.commit(Change::HydrationBegun(state));
    }

    fn chunk(&mut self, sender: DeviceId, mut chunk: Chunk, now: Now) {
        let Some(state) = self.hydration.map(|h| h.state).filter(|state| state.from == sender) else { return };
        // Places in an order that is gone mean nothing, whichever number is the greater.
        let begins = chunk.snapshot > state.snapshot || chunk.anew && state.after > BundleSeq(0);
        if begins && chunk.after == BundleSeq(0) {
            self.begin(Hydrating { from: sender, snapshot: chunk.snapshot, ..Hydrating::default() }, now);
        } else if chunk.snapshot != state.snapshot || chunk.after != state.after {
            // One that was asked for twice.
            return;
        }
        let is_last = !chunk.ends.is_empty();
        if !is_last && chunk.upto <= chunk.after {
            return;
        }
        for kept in &chunk.entries {
            let held = self.vector.head(kept.source);
            if kept.seq == held.seq && kept.hash != held.hash && self.may_gain(kept.source) {
                self.refuse(kept.source, Breach::Forked { at: held.seq, held: held.hash, offered: kept.hash }, now);
            }
        }
        let Some(hydration) = &mut self.hydration else { return };
        let ends = std::mem::take(&mut chunk.ends);
        let state = &mut hydration.state;
        state.after = chunk.upto.max(chunk.after);
        state.last = chunk.last;
        state.tail = chunk.entries.last().map(|kept| kept.hash).or(state.tail);
        state.staged += u64::try_from(chunk.entries.len()).unwrap_or(u64::MAX);
        (hydration.ask_at, hydration.attempts) = (now.mono, 0);
        self.commit(Change::Staged(chunk));
        if is_last {
            self.join(ends, now);
        }
    }

    /// All is staged: what is new here joins.
    fn join(&mut self, ends: Vec<End>, now: Now) {
        let Some(Hydration { state, .. }) = self.hydration.take() else { return };
        let mut sources = Vec::new();
        for mut end in ends.into_iter().take(MAX_VECTOR) {
            let (source, held, offered) = (end.source, self.vector.head(end.source), end.at.head);
            let foreign = self.owner(source).is_some_and(|owner| owner != end.device);
            if foreign || !self.may_gain(source) || self.roster.known(end.device).is_none() {
                continue;
            }
            if held.seq == offered.seq && held.hash != offered.hash {
                let (held, offered) = (held.hash, offered.hash);
                self.refuse(source, Breach::Forked { at: end.at.head.seq, held, offered }, now);
                continue;
            }
            self.stand(source, end.floor.head);
            let beyond = self.end_in(end.device, source).is_some_and(|last| offered.seq > last.seq);
            if held.seq >= offered.seq || beyond {
                continue;
            }
            if held.seq >= end.floor.head.seq {
                // Every bundle from here on is in the snapshot: no hole, so nothing to note.
                end.floor = Mark::default();
            }
            self.gain(&end);
            sources.push(Gain { after: held.seq, end });
        }
        let own_past = sources.iter().any(|gain| gain.end.device == self.me);
        let first = self.bundle_seq.next();
        self.bundle_seq = BundleSeq(self.bundle_seq.0.saturating_add(state.staged));
        let heads: Vec<_> = sources.iter().filter_map(|gain| gain.end.signed.clone()).collect();
        self.commit(Change::Join(Join { first, sources, at: now.wall }));
        heads.into_iter().for_each(|head| self.commit(Change::Head(head)));
        self.apply_waiting(now);
        if own_past {
            self.outbid(now);
            self.owe_own_past();
        }
        self.siblings.values_mut().for_each(|sibling| sibling.due(now.mono));
    }

    fn gain(&mut self, end: &End) {
        let source = end.source;
        if end.floor.head.seq > Seq::ZERO {
            self.watermark.advance(source, end.floor.head);
        }
        self.vector.advance(source, end.at.head);
        Arc::make_mut(&mut self.context).advance(source, end.at.head);
        self.clock.observe(end.at.stamp);
        let context = Arc::new(end.at.context.clone());
        let (device, generation, stamp) = (end.device, end.generation, end.at.stamp);
        self.sources.insert(source, Source { device, generation, stamp, context });
    }
}

/// How long until a chunk that did not come is asked for again, doubled each time: 10 s, at most 1 min.
const ASK_AGAIN: Millis = Millis(10_000);
const ASK_AGAIN_MAX: Millis = Millis(60_000);
/// After so many questions in vain another sibling may take over; after this many the snapshot is given up.
const ENOUGH_ASKS: u32 = 3;
const MAX_ASKS: u32 = 12;
