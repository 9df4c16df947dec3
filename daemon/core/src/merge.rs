//! Merge rules: who wins, what is shown, what is a conflict. Nowhere else decides that.
//!
//! **Records** are multi-value registers, one per field, plus one for existence. A register holds the writes that no other
//! write has seen. A new write removes those its author had seen ([`superseded`]); what remains side by side was written
//! concurrently. Shown is the greatest (stamp, source) ([`shown`]); two or more *different* values are a conflict
//! ([`in_conflict`]). Because bundles are applied in causal order, a write that is applied is never already superseded.
//!
//! **Messages** are immutable: of several posts under one id the smallest (stamp, source, seq) wins on every device
//! ([`post_wins`]), whatever was seen. Status levels and tombstones keep the latest time ([`time_wins`]); ties go to the
//! smaller dot. A tombstone hides everything else of its message for good.
//!
//! All rules are functions of sets: order, repetition and grouping do not change the result.

use crate::clock::Stamp;
use crate::ids::{Dot, Hash, SourceId};
use crate::vector::VersionVector;

/// One write in a register.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Write {
    /// Who wrote it, at which position.
    pub dot: Dot,
    /// When.
    pub stamp: Stamp,
    /// The value's bytes; `None` is *absent* (a field) or *deleted* (the existence register).
    pub value: Option<Vec<u8>>,
}

impl Write {
    /// What digests and conflicts compare: SHA-256 of the value, or of nothing behind a different first byte.
    pub fn value_hash(&self) -> Hash {
        value_hash(self.value.as_deref())
    }
}

/// The hash of a value as digests carry it. Absent differs from every value, the empty one too.
pub fn value_hash(value: Option<&[u8]>) -> Hash {
    match value {
        Some(value) => Hash::of_parts(&[&[1], value]),
        None => Hash::of(&[0]),
    }
}

/// The name of the existence register among a record's fields. Real fields have at least one byte.
pub const EXISTENCE: &str = "";
/// The value of the existence register of a record that exists.
pub const LIVE: &[u8] = &[1];

/// Whether a write at `existing` goes when a write at `incoming` arrives, whose author had seen `context`. A source has
/// always seen itself; a later op of the same bundle replaces an earlier one.
pub fn superseded(existing: Dot, incoming: Dot, context: &VersionVector) -> bool {
    if existing.source == incoming.source { existing.seq <= incoming.seq } else { context.covers(existing) }
}

/// The write that is shown: the greatest (stamp, source).
pub fn shown(writes: &[Write]) -> Option<&Write> {
    writes.iter().max_by_key(|write| (write.stamp, write.dot.source))
}

/// Whether concurrent writes disagree.
pub fn in_conflict(writes: &[Write]) -> bool {
    let mut values = writes.iter().map(|write| write.value.as_deref());
    match values.next() {
        Some(first) => values.any(|other| other != first),
        None => false,
    }
}

/// How posts, status times and tombstones are ordered: by stamp, then source, then position.
pub fn order(stamp: Stamp, dot: Dot) -> (Stamp, SourceId, u64) {
    (stamp, dot.source, dot.seq.0)
}

/// Whether the post at `incoming` replaces the one at `current`: the smallest wins.
pub fn post_wins(incoming: (Stamp, Dot), current: (Stamp, Dot)) -> bool {
    order(incoming.0, incoming.1) < order(current.0, current.1)
}

/// One time that only grows (a status level, a deletion), with the write that set it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Timed {
    /// Microseconds since the Unix epoch.
    pub at_us: i64,
    /// When it was written.
    pub stamp: Stamp,
    /// Who wrote it.
    pub dot: Dot,
}

impl Timed {
    /// What digests carry for it.
    pub fn value_hash(&self) -> Hash {
        value_hash(Some(&self.at_us.to_be_bytes()))
    }
}

/// Whether `incoming` replaces `current`: the later time wins; of equal times the smaller (stamp, source, seq).
pub fn time_wins(incoming: &Timed, current: &Timed) -> bool {
    match incoming.at_us.cmp(&current.at_us) {
        std::cmp::Ordering::Greater => true,
        std::cmp::Ordering::Less => false,
        std::cmp::Ordering::Equal => order(incoming.stamp, incoming.dot) < order(current.stamp, current.dot),
    }
}

/// The time an op without one gets: its bundle's stamp, in microseconds.
pub fn time_or_stamp(at_us: Option<i64>, stamp: Stamp) -> i64 {
    at_us.unwrap_or_else(|| i64::try_from(stamp.millis().0.saturating_mul(1000)).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Seq;
    use crate::vector::Head;

    fn dot(source: u8, seq: u64) -> Dot {
        Dot { source: SourceId([source; 16]), seq: Seq(seq) }
    }

    fn write(source: u8, seq: u64, stamp: u64, value: &str) -> Write {
        Write { dot: dot(source, seq), stamp: Stamp(stamp), value: Some(value.into()) }
    }

    fn seen(source: u8, seq: u64) -> VersionVector {
        VersionVector::from_iter([(SourceId([source; 16]), Head { seq: Seq(seq), hash: Hash::default() })])
    }

    #[test]
    fn a_write_removes_what_its_author_had_seen_and_nothing_else() {
        assert!(superseded(dot(1, 4), dot(2, 1), &seen(1, 4)));
        assert!(!superseded(dot(1, 5), dot(2, 1), &seen(1, 4)));
        assert!(!superseded(dot(3, 1), dot(2, 1), &seen(1, 4)));
    }

    #[test]
    fn a_source_has_always_seen_itself() {
        assert!(superseded(dot(2, 1), dot(2, 2), &VersionVector::default()));
        assert!(superseded(dot(2, 2), dot(2, 2), &VersionVector::default()));
    }

    #[test]
    fn shown_is_the_greatest_stamp_then_source() {
        let writes = [write(1, 1, 10, "a"), write(2, 1, 10, "b"), write(3, 1, 9, "c")];
        assert_eq!(shown(&writes).unwrap().value.as_deref(), Some(b"b".as_slice()));
    }

    #[test]
    fn concurrent_equal_values_are_no_conflict_and_different_ones_are() {
        assert!(!in_conflict(&[]));
        assert!(!in_conflict(&[write(1, 1, 1, "a")]));
        assert!(!in_conflict(&[write(1, 1, 1, "a"), write(2, 1, 2, "a")]));
        assert!(in_conflict(&[write(1, 1, 1, "a"), write(2, 1, 2, "b")]));
    }

    #[test]
    fn a_write_is_compared_by_the_hash_of_its_value() {
        assert_eq!(write(1, 1, 1, "a").value_hash(), value_hash(Some(b"a")));
        assert_ne!(write(1, 1, 1, "a").value_hash(), write(1, 1, 1, "b").value_hash());
    }

    #[test]
    fn absent_differs_from_the_empty_value() {
        assert_ne!(value_hash(None), value_hash(Some(&[])));
    }

    #[test]
    fn of_two_posts_with_one_id_the_smallest_wins() {
        assert!(post_wins((Stamp(1), dot(2, 1)), (Stamp(2), dot(1, 1))));
        assert!(post_wins((Stamp(1), dot(1, 1)), (Stamp(1), dot(2, 1))));
        assert!(!post_wins((Stamp(1), dot(1, 1)), (Stamp(1), dot(1, 1))));
    }

    #[test]
    fn times_only_grow_and_ties_have_one_winner() {
        let timed = |at_us, source| Timed { at_us, stamp: Stamp(1), dot: dot(source, 1) };
        assert!(time_wins(&timed(2, 9), &timed(1, 1)));
        assert!(!time_wins(&timed(1, 1), &timed(2, 9)));
        assert!(time_wins(&timed(1, 1), &timed(1, 2)));
        assert!(!time_wins(&timed(1, 2), &timed(1, 1)));
    }

    #[test]
    fn a_time_is_compared_by_the_hash_of_its_microseconds() {
        let at = |at_us| Timed { at_us, stamp: Stamp(1), dot: dot(1, 1) };
        assert_eq!(at(5).value_hash(), value_hash(Some(&5_i64.to_be_bytes())));
    }

    #[test]
    fn a_time_does_not_replace_itself() {
        let at = Timed { at_us: 5, stamp: Stamp(1), dot: dot(1, 1) };
        assert!(!time_wins(&at, &at));
    }

    #[test]
    fn an_op_without_a_time_gets_that_of_its_stamp() {
        assert_eq!(time_or_stamp(Some(7), Stamp(3 << 16)), 7);
        assert_eq!(time_or_stamp(None, Stamp(3 << 16 | 9)), 3_000);
        assert_eq!(time_or_stamp(None, Stamp(u64::MAX)), i64::try_from((u64::MAX >> 16) * 1_000).unwrap());
    }
}
