//! Version vectors: what a device holds, as one number and one hash per source.
//!
//! Because every source is gap-free, "the highest contiguous sequence number applied" says exactly which bundles are held.
//! One vector is therefore dedup, checkpoint and receipt in one; it never goes backwards, but for the sources of a
//! removed device ([`VersionVector::cut`]). The chain hash beside each number
//! makes two different histories under one number visible (a fork).
//!
//! The same type carries a bundle's causal context: what its author had applied when it was written.

use std::collections::BTreeMap;

use crate::ids::{Dot, Hash, Seq, SourceId};

/// The end of a source as far as somebody knows it.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Head {
    /// Highest contiguous position.
    pub seq: Seq,
    /// SHA-256 of the bundle at that position.
    pub hash: Hash,
}

/// `source → head`. Sources at position 0 are never listed.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct VersionVector(BTreeMap<SourceId, Head>);

/// How a bundle's dot stands to a vector.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Novelty {
    /// Already held.
    Duplicate,
    /// The one that is expected next.
    Next,
    /// Something before it is missing.
    Gap,
}

impl VersionVector {
    /// The head of `source`; position 0 when nothing is held.
    pub fn head(&self, source: SourceId) -> Head {
        self.0.get(&source).copied().unwrap_or_default()
    }

    /// The position of `source`.
    pub fn seq(&self, source: SourceId) -> Seq {
        self.head(source).seq
    }

    /// Whether the write named by `dot` is held.
    pub fn covers(&self, dot: Dot) -> bool {
        dot.seq <= self.seq(dot.source)
    }

    /// Whether everything in `other` is held here (numbers only).
    pub fn covers_all(&self, other: &Self) -> bool {
        other.0.iter().all(|(source, head)| head.seq <= self.seq(*source))
    }

    /// Where `dot` stands.
    pub fn classify(&self, dot: Dot) -> Novelty {
        let held = self.seq(dot.source);
        if dot.seq <= held {
            Novelty::Duplicate
        } else if dot.seq == held.next() {
            Novelty::Next
        } else {
            Novelty::Gap
        }
    }

    /// Moves `source` to `head` if that lies ahead; a lower head changes nothing.
    pub fn advance(&mut self, source: SourceId, head: Head) {
        if head.seq > self.seq(source) {
            self.0.insert(source, head);
        }
    }

    /// Takes `source` back to `end` if it lies beyond: its device was removed, and what follows does not count. The one way in which a
    /// vector shrinks.
    pub fn cut(&mut self, source: SourceId, end: Head) {
        if end.seq == Seq::ZERO {
            self.0.remove(&source);
        } else if self.seq(source) > end.seq {
            self.0.insert(source, end);
        }
    }

    /// Moves every source to the greater of the two positions.
    pub fn join(&mut self, other: &Self) {
        for (source, head) in &other.0 {
            self.advance(*source, *head);
        }
    }

    /// How many bundles `other` holds that this vector lacks.
    pub fn lacking(&self, other: &Self) -> u64 {
        other.0.iter().map(|(source, head)| head.seq.since(self.seq(*source))).fold(0, u64::saturating_add)
    }

    /// The entries that differ from `earlier`: how a context is written down.
    pub fn difference(&self, earlier: &Self) -> Vec<(SourceId, Head)> {
        self.iter().filter(|(source, head)| earlier.head(*source) != *head).collect()
    }

    /// All entries in order of source.
    pub fn iter(&self) -> impl Iterator<Item = (SourceId, Head)> + '_ {
        self.0.iter().map(|(source, head)| (*source, *head))
    }

    /// How many sources are listed.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The same without `source`.
    #[must_use]
    pub fn without(&self, source: SourceId) -> Self {
        Self(self.0.iter().filter(|(other, _)| **other != source).map(|(s, h)| (*s, *h)).collect())
    }
}

impl FromIterator<(SourceId, Head)> for VersionVector {
    fn from_iter<I: IntoIterator<Item = (SourceId, Head)>>(entries: I) -> Self {
        let mut vector = Self::default();
        for (source, head) in entries {
            vector.advance(source, head);
        }
        vector
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: SourceId = SourceId([1; 16]);

    fn head(seq: u64) -> Head {
        Head { seq: Seq(seq), hash: Hash([u8::try_from(seq).unwrap(); 32]) }
    }

    #[test]
    fn a_dot_is_a_duplicate_the_next_one_or_beyond_a_gap() {
        let vector = VersionVector::from_iter([(S, head(3))]);
        let at = |seq| vector.classify(Dot { source: S, seq: Seq(seq) });
        assert_eq!([at(3), at(4), at(5)], [Novelty::Duplicate, Novelty::Next, Novelty::Gap]);
    }

    #[test]
    fn a_vector_never_goes_backwards() {
        let mut vector = VersionVector::from_iter([(S, head(3))]);
        vector.advance(S, head(2));
        assert_eq!(vector.head(S), head(3));
    }

    #[test]
    fn a_source_of_which_nothing_is_held_is_not_listed() {
        let empty = VersionVector::from_iter([(S, Head::default())]);
        assert_eq!((empty.len(), empty.is_empty()), (0, true));
        let two = VersionVector::from_iter([(S, head(3)), (SourceId([2; 16]), head(1))]);
        assert_eq!((two.len(), two.is_empty()), (2, false));
    }

    #[test]
    fn another_bundle_at_the_position_that_is_held_changes_nothing() {
        let other = Head { seq: Seq(3), hash: Hash([9; 32]) };
        let mut vector = VersionVector::from_iter([(S, head(3))]);
        vector.advance(S, other);
        vector.cut(S, other);
        assert_eq!(vector.head(S), head(3));
    }

    #[test]
    fn more_bundles_than_can_be_counted_are_very_many() {
        let far = Head { seq: Seq(u64::MAX), hash: Hash([9; 32]) };
        let foreign = VersionVector::from_iter([(S, far), (SourceId([2; 16]), far)]);
        assert_eq!(VersionVector::default().lacking(&foreign), u64::MAX);
    }

    #[test]
    fn the_difference_names_only_what_moved() {
        let earlier = VersionVector::from_iter([(S, head(3)), (SourceId([2; 16]), head(1))]);
        let mut later = earlier.clone();
        later.advance(S, head(4));
        assert_eq!(later.difference(&earlier), vec![(S, head(4))]);
    }
}
