//! Retirement: the own source is given up for a fresh one.
//!
//! A source is a chain with one writer. A device that was restored from an older image, or that runs twice, would write at
//! positions that are taken; so it takes a fresh source before it writes again. Three things tell it:
//!
//! - outside, the state token: the daemon retires before the engine starts ([`next_generation`]);
//! - a sibling that holds more of the own source than this device does, or something else at its end (`knows_more`);
//! - a source of this device's that it has not written, of no lesser generation: another copy was here first, and
//!   receipts of both under one generation would be taken for one another's. Answered once for each start, or two copies that
//!   run for good would outbid each other;
//! - a sibling that has seen a greater generation of this device: it was put back, and its clock was behind when that made a fresh source.
//!
//! The source that was given up is then a source like any other: what siblings hold of it and this device lost is asked for and
//! comes back; what this device holds of it and siblings may lack goes out to them, signed anew.

use std::sync::Arc;

use super::Engine;
use super::sibling::Owed;
use crate::ids::{DeviceId, Hash, Millis, Now, Seq, SourceId};
use crate::step::{Change, SavedSource};
use crate::vector::Head;

/// The generation of the next source of `me`, whose source in use has `current`: greater than those of all its sources that are
/// known, and at least the wall clock in units of 2^-16 s. A device that is put back to one image twice knows nothing of the first time; the
/// time that has passed tells its siblings which start is the later one. What is `drawn` at random tells two copies apart that do so at one time:
/// under one generation the receipts of both would be taken for one another's.
pub fn next_generation<'a>(
    me: DeviceId,
    current: u64,
    sources: impl IntoIterator<Item = &'a SavedSource>,
    wall: Millis,
    drawn: u16,
) -> u64 {
    let known = sources.into_iter().filter(|source| source.device == me).map(|source| source.generation);
    after(known.fold(current, u64::max), wall, drawn)
}

fn after(greatest: u64, wall: Millis, drawn: u16) -> u64 {
    let now = (wall.0 / 1000).saturating_mul(1 << 16);
    greatest.saturating_add(1).max(now).saturating_add(drawn.into())
}

/// Greater generations are no device's: seconds since 1970, times 2^16, reach this in nine million years.
const MAX_GENERATION: u64 = u64::MAX >> 1;

impl Engine {
    /// Whether `head` of the own source, as somebody else holds it, is not in this device's log.
    pub(super) fn knows_more(&self, head: Head) -> bool {
        let own = self.vector.head(self.source);
        head.seq > own.seq || (head.seq == own.seq && head.hash != own.hash)
    }

    /// Takes a fresh source. What is written from now on goes there.
    pub(super) fn retire(&mut self, now: Now) {
        let known = self.sources.values().filter(|source| source.device == self.me).map(|source| source.generation);
        self.generation = after(known.fold(self.generation, u64::max), now.wall, self.drawn());
        self.source = self.fresh_source();
        self.context = Arc::new(self.vector.clone());
        self.commit(Change::Fresh { source: self.source, generation: self.generation });
        // What is under way brings nothing of the new source.
        self.under_way.values_mut().for_each(|under_way| under_way.own = None);
        for sibling in self.siblings.values_mut() {
            sibling.lane.reset(Seq::ZERO);
            // It must hear of the new generation, or it takes what we say for old letters.
            sibling.due(now.mono);
        }
        self.owe_own_past();
    }

    /// Another copy of this device took a source of its own: the generation goes above it.
    pub(super) fn outbid(&mut self, now: Now) {
        let copied = self.sources.iter().any(|(source, known)| {
            known.device == self.me && *source != self.source && known.generation >= self.generation
        });
        if copied && !std::mem::replace(&mut self.outbid, true) {
            self.retire(now);
        }
    }

    /// A sibling has seen the generation `seen` of this device: what a lesser one says counts as old there. It goes above that.
    pub(super) fn outlive(&mut self, seen: u64, now: Now) {
        if (self.generation.saturating_add(1)..=MAX_GENERATION).contains(&seen)
            && !std::mem::replace(&mut self.outbid, true)
        {
            self.generation = seen;
            self.retire(now);
        }
    }

    /// Bundles of sources given up go to every sibling that is not known to hold them.
    pub(super) fn owe_own_past(&mut self) {
        let past: Vec<(SourceId, Seq)> = self
            .sources
            .iter()
            .filter(|(source, known)| known.device == self.me && **source != self.source)
            .map(|(source, _)| (*source, self.vector.seq(*source)))
            .collect();
        for sibling in self.siblings.values_mut() {
            for (source, upto) in &past {
                let after = sibling.receipt.vector.seq(*source);
                if after < *upto {
                    sibling.owe(*source, Owed { after, upto: *upto });
                }
            }
        }
    }

    /// Of the start's entropy, another one for each generation.
    fn drawn(&self) -> u16 {
        let Hash([first, second, ..]) =
            Hash::of_parts(&[b"kinfolk/1/generation", &self.config.entropy, &self.generation.to_be_bytes()]);
        u16::from_be_bytes([first, second])
    }

    /// A UUIDv4 (RFC 9562) out of the start's entropy, another one for each generation.
    fn fresh_source(&self) -> SourceId {
        let parts: [&[u8]; 4] =
            [b"kinfolk/1/fresh-source", &self.config.entropy, &self.me.0, &self.generation.to_be_bytes()];
        let Hash(hash) = Hash::of_parts(&parts);
        let mut id = [0; SourceId::LEN];
        id.iter_mut().zip(hash).for_each(|(byte, part)| *byte = part);
        id[6] = id[6] & 0x0F | 0x40;
        id[8] = id[8] & 0x3F | 0x80;
        SourceId(id)
    }
}
