//! The last own bundles, still in memory: a live one is on its way without being read back from the database.
//!
//! Only a shortcut. Whatever is not wholly here is read from the log, as everything is after a restart.

use std::collections::VecDeque;

use kinfolk_core::bundle::Bundle;
use kinfolk_core::ids::DeviceId;
use kinfolk_core::parcel::RunBodies;
use kinfolk_core::step::RunRequest;

use crate::store::Stretch;

/// The last bundles of one source, without holes.
#[derive(Debug, Default)]
pub(super) struct Recent {
    bundles: VecDeque<Bundle>,
    bytes: usize,
}

impl Recent {
    /// Remembers the bundle that was just written.
    pub(super) fn push(&mut self, bundle: &Bundle) {
        let follows = self
            .bundles
            .back()
            .is_none_or(|last| last.dot.source == bundle.dot.source && last.dot.seq.next() == bundle.dot.seq);
        if !follows {
            self.clear();
        }
        self.bytes += bundle.bytes.len();
        // The ops are not needed to send it.
        self.bundles.push_back(Bundle { body: None, ..bundle.clone() });
        while self.bytes > MAX_BYTES || self.bundles.len() > MAX_BUNDLES {
            let Some(oldest) = self.bundles.pop_front() else { return };
            self.bytes -= oldest.bytes.len();
        }
    }

    /// Forgets everything: what was written may not have become durable.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The whole stretch that is asked for, if it is here.
    pub(super) fn stretch(&self, device: DeviceId, request: &RunRequest) -> Option<Stretch> {
        let first = self.bundles.iter().position(|b| b.dot.seq == request.after.next())?;
        let found = self.bundles.range(first..).take_while(|bundle| bundle.dot.seq <= request.upto);
        let found: Vec<&Bundle> = found.filter(|bundle| bundle.dot.source == request.source).collect();
        let (first, last) = (found.first()?, found.last()?);
        if last.dot.seq != request.upto {
            return None;
        }
        let run = RunBodies {
            device,
            source: request.source,
            first: first.dot.seq,
            prev: first.prev,
            bodies: found.iter().map(|bundle| bundle.bytes.clone()).collect(),
            signature: Default::default(),
        };
        Some(Stretch { run, head: last.head() })
    }
}

/// Most bytes kept: 128 KiB, so that all of it fits into one run. Two commits of 64 pushes of 1 KiB.
const MAX_BYTES: usize = 128 << 10;
/// Most bundles kept.
const MAX_BUNDLES: usize = 512;

#[cfg(test)]
mod tests {
    use kinfolk_core::ids::{Dot, Hash, Seq, SourceId};

    use super::*;

    const SOURCE: SourceId = SourceId([1; 16]);

    fn bundle(seq: u64, size: usize) -> Bundle {
        let prev = Hash([u8::try_from(seq % 256).unwrap(); 32]);
        Bundle::rebuild(Dot { source: SOURCE, seq: Seq(seq) }, prev, vec![0xFF; size].into()).unwrap()
    }

    fn stretch(recent: &Recent, after: u64, upto: u64) -> Option<Stretch> {
        let device = DeviceId([9; 16]);
        recent.stretch(device, &RunRequest { device, source: SOURCE, after: Seq(after), upto: Seq(upto) })
    }

    #[test]
    fn a_stretch_is_given_whole_or_not_at_all() {
        let mut recent = Recent::default();
        (3..=6).for_each(|seq| recent.push(&bundle(seq, 10)));
        let found = stretch(&recent, 3, 5).unwrap();
        assert_eq!((found.run.first, found.run.bodies.len()), (Seq(4), 2));
        assert_eq!((found.run.prev, found.head), (bundle(4, 10).prev, bundle(5, 10).head()));
        assert!(stretch(&recent, 1, 5).is_none());
        assert!(stretch(&recent, 4, 7).is_none());
    }

    #[test]
    fn a_hole_or_a_rollback_forgets_what_was_before() {
        let mut recent = Recent::default();
        recent.push(&bundle(3, 10));
        recent.push(&bundle(5, 10));
        assert!(stretch(&recent, 2, 3).is_none());
        assert!(stretch(&recent, 4, 5).is_some());
        recent.clear();
        assert!(stretch(&recent, 4, 5).is_none());
    }

    #[test]
    fn it_stays_small() {
        let mut recent = Recent::default();
        (1..=200).for_each(|seq| recent.push(&bundle(seq, 2_000)));
        assert!(recent.bytes <= MAX_BYTES && recent.bundles.len() <= MAX_BUNDLES);
        recent.push(&bundle(201, 200_000));
        assert!(recent.bundles.is_empty());
    }
}
