//! Bundles that came before their time: a hole before them, or a cause that is not here yet.
//!
//! They wait on disk and, bounded, in memory ([`MAX_BYTES`], [`MAX_BUNDLES`]). What does not fit is dropped: nothing was
//! receipted, so it comes again.

use std::collections::BTreeMap;

use crate::bundle::Bundle;
use crate::ids::{DeviceId, Dot, Seq, SourceId};

/// Most bytes that wait: 16 MiB.
pub const MAX_BYTES: usize = 16 << 20;
/// Most bundles that wait. 16 MiB at 320 bytes each.
pub const MAX_BUNDLES: usize = 50_000;

/// The waiting bundles.
#[derive(Clone, Debug, Default)]
pub struct Early {
    waiting: BTreeMap<SourceId, BTreeMap<Seq, (DeviceId, Bundle)>>,
    bytes: usize,
    count: usize,
}

impl Early {
    /// Lets a bundle wait. `false` when it waits already or does not fit.
    pub fn insert(&mut self, device: DeviceId, bundle: Bundle) -> bool {
        let size = bundle.bytes.len();
        let full = self.bytes + size > MAX_BYTES || self.count >= MAX_BUNDLES;
        let waits = self.waiting.get(&bundle.dot.source).is_some_and(|slot| slot.contains_key(&bundle.dot.seq));
        if full || waits {
            return false;
        }
        self.waiting.entry(bundle.dot.source).or_default().insert(bundle.dot.seq, (device, bundle));
        self.bytes += size;
        self.count += 1;
        true
    }

    /// Takes a bundle out.
    pub fn remove(&mut self, dot: Dot) -> Option<(DeviceId, Bundle)> {
        let slot = self.waiting.get_mut(&dot.source)?;
        let found = slot.remove(&dot.seq)?;
        if slot.is_empty() {
            self.waiting.remove(&dot.source);
        }
        self.bytes -= found.1.bytes.len();
        self.count -= 1;
        Some(found)
    }

    /// The first waiting bundle of a source.
    pub fn first(&self, source: SourceId) -> Option<&(DeviceId, Bundle)> {
        self.waiting.get(&source)?.values().next()
    }

    /// Sources with waiting bundles.
    pub fn sources(&self) -> Vec<SourceId> {
        self.waiting.keys().copied().collect()
    }

    /// Names of all waiting bundles of a source.
    pub fn of(&self, source: SourceId) -> Vec<Dot> {
        let slot = self.waiting.get(&source).into_iter();
        slot.flat_map(|slot| slot.keys()).map(|seq| Dot { source, seq: *seq }).collect()
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::ids::Hash;

    fn bundle(seq: u64, size: usize) -> Bundle {
        let dot = Dot { source: SourceId([1; 16]), seq: Seq(seq) };
        Bundle::rebuild(dot, Hash::default(), Bytes::from(vec![0xFF; size])).unwrap()
    }

    #[test]
    fn what_does_not_fit_is_not_taken() {
        let mut early = Early::default();
        let taken = (1..=20).filter(|seq| early.insert(DeviceId::default(), bundle(*seq, 1_000_000))).count();
        assert_eq!(taken, 16);
        early.remove(bundle(1, 1).dot).unwrap();
        assert!(early.insert(DeviceId::default(), bundle(30, 1_000_000)));
        assert!(!early.insert(DeviceId::default(), bundle(31, 1_000_000)), "the room of one was free");
        let rest = MAX_BYTES - 16 * 1_000_000;
        assert!(!early.insert(DeviceId::default(), bundle(31, rest + 1)));
        assert!(early.insert(DeviceId::default(), bundle(31, rest)), "the last byte may be used");
    }

    #[test]
    fn a_bundle_waits_once() {
        let mut early = Early::default();
        assert!(early.insert(DeviceId::default(), bundle(3, 10)));
        assert!(!early.insert(DeviceId::default(), bundle(3, 10)));
        assert_eq!(early.first(SourceId([1; 16])).unwrap().1.dot.seq, Seq(3));
        assert!(!early.is_empty());
        early.remove(bundle(3, 10).dot).unwrap();
        assert!(early.is_empty() && early.sources().is_empty());
    }

    #[test]
    fn sixteen_mebibytes_may_wait() {
        assert_eq!(MAX_BYTES, 16_777_216);
    }
}
