//! The state digest: one number that two devices with equal state share.
//!
//! Every undominated write and every tombstone is a *leaf*: SHA-256 over entity, field, dot, stamp and value hash. The leaves of
//! a collection are added up modulo 2^256 (a multiset hash: Clarke et al. 2003, "AdHash"), so a write that comes or goes
//! costs one addition and the order does not matter. The digest is the SHA-256 over all collections, in order, with their sums and
//! counts.
//!
//! **Trade-off taken.** An additive sum can be attacked by somebody who may choose about 2^60 leaves; a lattice hash could
//! not, at 2 KiB a collection. Leaves come only from the person's own devices, and the vectors with chain hashes beside the digest
//! already bind every bundle, so the small sum is enough to prove equality and to find a broken merge.
//!
//! An entity is hashed first, so that a tombstone that has forgotten its id still has its leaf.

use std::collections::{BTreeMap, BTreeSet};

use crate::clock::Stamp;
use crate::ids::{Dot, Hash};

/// The name of an entity inside leaves and tombstones: SHA-256 over the length-prefixed collection and key.
pub fn entity(collection: &str, key: &str) -> Hash {
    Hash::of_parts(&[&length(collection), collection.as_bytes(), &length(key), key.as_bytes()])
}

/// One leaf.
pub fn leaf(entity: Hash, field: &str, dot: Dot, stamp: Stamp, value: Hash) -> Hash {
    Hash::of_parts(&[
        b"kinfolk/1/leaf",
        &entity.0,
        &length(field),
        field.as_bytes(),
        &dot.source.0,
        &dot.seq.0.to_be_bytes(),
        &stamp.0.to_be_bytes(),
        &value.0,
    ])
}

/// Field name of a message's content in leaves.
pub const FIELD_POST: &str = "post";
/// Field name of a message's tombstone in leaves.
pub const FIELD_TOMBSTONE: &str = "tombstone";

/// The sum over the leaves of one collection.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Sum {
    /// Little-endian limbs of the 256-bit sum.
    limbs: [u64; 4],
    /// How many leaves.
    pub count: u64,
}

impl Sum {
    /// Adds a leaf.
    pub fn add(&mut self, leaf: Hash) {
        let mut carry = false;
        for (limb, part) in self.limbs.iter_mut().zip(limbs(leaf)) {
            let (sum, over) = limb.overflowing_add(part);
            let (sum, over_by_carry) = sum.overflowing_add(u64::from(carry));
            (*limb, carry) = (sum, over || over_by_carry);
        }
        self.count = self.count.wrapping_add(1);
    }

    /// Takes a leaf away that was added before.
    pub fn remove(&mut self, leaf: Hash) {
        let mut borrow = false;
        for (limb, part) in self.limbs.iter_mut().zip(limbs(leaf)) {
            let (rest, under) = limb.overflowing_sub(part);
            let (rest, under_by_borrow) = rest.overflowing_sub(u64::from(borrow));
            (*limb, borrow) = (rest, under || under_by_borrow);
        }
        self.count = self.count.wrapping_sub(1);
    }

    /// 40 bytes for the store: the sum little-endian, then the count.
    pub fn to_bytes(&self) -> [u8; 40] {
        let mut out = [0; 40];
        let parts = self.limbs.iter().chain([&self.count]);
        for (chunk, part) in out.chunks_exact_mut(8).zip(parts) {
            chunk.copy_from_slice(&part.to_le_bytes());
        }
        out
    }

    /// Reads what [`Self::to_bytes`] wrote.
    pub fn from_bytes(bytes: &[u8; 40]) -> Self {
        let mut parts = bytes.chunks_exact(8).map(|chunk| chunk.try_into().map_or(0, u64::from_le_bytes));
        let mut next = || parts.next().unwrap_or_default();
        Self { limbs: [next(), next(), next(), next()], count: next() }
    }
}

/// The digest over all collections. Empty collections leave no trace.
pub fn state<'a>(sums: impl IntoIterator<Item = (&'a str, Sum)>) -> Hash {
    let sums: BTreeMap<&str, Sum> = sums.into_iter().filter(|(_, sum)| sum.count > 0).collect();
    let mut bytes = b"kinfolk/1/digest".to_vec();
    for (collection, sum) in sums {
        bytes.extend_from_slice(&length(collection));
        bytes.extend_from_slice(collection.as_bytes());
        bytes.extend_from_slice(&sum.to_bytes());
    }
    Hash::of(&bytes)
}

/// The first collection, by name, in which two devices differ. `theirs` may stop before its end: `whole` says whether it does not.
pub fn first_difference<'a>(
    ours: &'a BTreeMap<String, Sum>,
    theirs: &'a BTreeMap<String, Sum>,
    whole: bool,
) -> Option<&'a str> {
    let last = theirs.keys().next_back();
    let names: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
    let told = |name: &&String| whole || last.is_some_and(|last| *name <= last);
    let sum = |sums: &BTreeMap<String, Sum>, name: &str| sums.get(name).copied().unwrap_or_default();
    names.into_iter().filter(told).find(|name| sum(ours, name) != sum(theirs, name)).map(String::as_str)
}

fn length(text: &str) -> [u8; 4] {
    u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes()
}

fn limbs(leaf: Hash) -> [u64; 4] {
    let mut parts = leaf.0.chunks_exact(8).map(|chunk| chunk.try_into().map_or(0, u64::from_le_bytes));
    std::array::from_fn(|_| parts.next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{Seq, SourceId};

    #[test]
    fn the_order_of_leaves_does_not_matter_and_removal_undoes_addition() {
        let leaves: Vec<Hash> = (0..50_u8).map(|n| Hash::of(&[n])).collect();
        let mut forward = Sum::default();
        leaves.iter().for_each(|leaf| forward.add(*leaf));
        let mut backward = Sum::default();
        leaves.iter().rev().for_each(|leaf| backward.add(*leaf));
        assert_eq!(forward, backward);
        leaves.iter().for_each(|leaf| forward.remove(*leaf));
        assert_eq!(forward, Sum::default());
    }

    #[test]
    fn carries_run_through_all_limbs() {
        let mut sum = Sum::default();
        sum.add(Hash([0xFF; 32]));
        let mut one = [0; 32];
        one[0] = 1;
        sum.add(Hash(one));
        assert_eq!(sum.limbs, [0; 4]);
        sum.remove(Hash(one));
        assert_eq!(sum.limbs, [u64::MAX; 4]);
    }

    #[test]
    fn a_sum_survives_its_bytes() {
        let mut sum = Sum::default();
        sum.add(Hash::of(b"x"));
        assert_eq!(Sum::from_bytes(&sum.to_bytes()), sum);
    }

    #[test]
    fn an_empty_collection_leaves_no_trace() {
        let mut sum = Sum::default();
        sum.add(Hash::of(b"x"));
        assert_eq!(state([("a", sum), ("b", Sum::default())]), state([("a", sum)]));
        assert_ne!(state([("a", sum)]), state([("b", sum)]));
    }

    #[test]
    fn the_first_collection_that_differs_is_found_as_far_as_it_was_told() {
        let sum = |leaves: u8| {
            let mut sum = Sum::default();
            (0..leaves).for_each(|leaf| sum.add(Hash::of(&[leaf])));
            sum
        };
        let sums = |sums: &[(&str, u8)]| sums.iter().map(|(name, leaves)| ((*name).to_owned(), sum(*leaves))).collect();
        let ours: BTreeMap<String, Sum> = sums(&[("a", 1), ("b", 2), ("c", 3)]);
        assert_eq!(first_difference(&ours, &ours.clone(), true), None);
        assert_eq!(first_difference(&ours, &sums(&[("a", 1), ("b", 1), ("c", 1)]), true), Some("b"));
        assert_eq!(first_difference(&ours, &sums(&[("b", 2), ("c", 3)]), true), Some("a"));
        assert_eq!(first_difference(&ours, &sums(&[("a", 1), ("aa", 1), ("b", 2), ("c", 3)]), true), Some("aa"));
        assert_eq!(first_difference(&ours, &sums(&[("a", 1), ("b", 2)]), true), Some("c"));
        assert_eq!(first_difference(&ours, &sums(&[("a", 1), ("b", 2)]), false), None, "c was not told");
        assert_eq!(first_difference(&ours, &sums(&[("a", 1), ("b", 2), ("c", 3), ("d", 0)]), true), None, "empty");
    }

    #[test]
    fn a_leaf_tells_entity_field_dot_stamp_and_value_apart() {
        let dot = |source: u8, seq: u64| Dot { source: SourceId([source; 16]), seq: Seq(seq) };
        let (this, other) = (entity("a", "b"), entity("a", "c"));
        let leaves = [
            leaf(this, "f", dot(1, 1), Stamp(1), Hash([1; 32])),
            leaf(other, "f", dot(1, 1), Stamp(1), Hash([1; 32])),
            leaf(this, "g", dot(1, 1), Stamp(1), Hash([1; 32])),
            leaf(this, "f", dot(2, 1), Stamp(1), Hash([1; 32])),
            leaf(this, "f", dot(1, 2), Stamp(1), Hash([1; 32])),
            leaf(this, "f", dot(1, 1), Stamp(2), Hash([1; 32])),
            leaf(this, "f", dot(1, 1), Stamp(1), Hash([2; 32])),
        ];
        assert_eq!(BTreeSet::from(leaves).len(), leaves.len());
    }

    #[test]
    fn names_cannot_run_into_each_other() {
        assert_ne!(entity("ab", "c"), entity("a", "bc"));
    }

    #[test]
    fn lengths_stand_before_names_as_four_bytes_big_endian() {
        assert_eq!(entity("ab", "c"), Hash::of(b"\0\0\0\x02ab\0\0\0\x01c"));
        let long = "x".repeat(0x0102);
        assert_eq!(entity(&long, ""), Hash::of(&[b"\0\0\x01\x02", long.as_bytes(), &[0; 4]].concat()));
    }
}
