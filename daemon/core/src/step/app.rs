//! What an app says of its own pushes: their names, and what it based them on.

use crate::ids::{BundleSeq, Dot, Hash};
use crate::op::Op;

/// An app's name for a bundle (seed 004): its source and its number in that source, from 1.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AppBundle {
    /// 1 to 128 bytes.
    pub source: String,
    /// 1, 2, 3 …
    pub id: u64,
    /// The app's own clock (seed 002), when it gave it: each bundle of a source has a greater one than all before it. No part of what makes two
    /// pushes the same: a retry may come with a later one.
    pub stamp: Option<u64>,
}

/// What the store knows of an app's source.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AppFact {
    /// The last number committed.
    pub last: u64,
    /// The bundle that was committed under the number now pushed, if it was and is remembered ([`REMEMBERED`]).
    pub committed: Option<Committed>,
    /// The greatest stamp of a bundle that was committed, if one had any.
    pub stamp: Option<u64>,
}

/// Where a bundle was committed: all that a retry is answered with.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Committed {
    /// Its name; `None` when the push changed nothing and made no bundle.
    pub dot: Option<Dot>,
    /// Its place here.
    pub bundle_seq: BundleSeq,
    /// [`content_hash`] of the ops that were pushed.
    pub content: Hash,
    /// Which of these ops changed nothing, from 0, in order.
    pub no_ops: Vec<u32>,
}

impl Committed {
    /// What became of each of `count` ops: whether it changed something.
    pub fn changed(&self, count: usize) -> Vec<bool> {
        let mut changed = vec![true; count];
        for index in &self.no_ops {
            if let Some(op) = usize::try_from(*index).ok().and_then(|index| changed.get_mut(index)) {
                *op = false;
            }
        }
        changed
    }
}

/// How many numbered pushes of each app source are remembered, for retries: about 100 bytes each, so 1 MB. Older numbers are out of
/// order.
pub const REMEMBERED: u64 = 10_000;

/// The hash that tells whether two pushes are the same. What they were based on is no part of it: a push that was committed was based
/// on what was there.
pub fn content_hash(ops: &[Op]) -> Hash {
    use prost::Message;
    let mut bytes = b"kinfolk/1/push".to_vec();
    for op in ops {
        let encoded = op.encode_to_vec();
        bytes.extend_from_slice(&u64::try_from(encoded.len()).unwrap_or(u64::MAX).to_be_bytes());
        bytes.extend_from_slice(&encoded);
    }
    Hash::of(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_committed_push_remembers_which_ops_changed_nothing() {
        let committed = Committed { dot: None, bundle_seq: BundleSeq(1), content: Hash::default(), no_ops: vec![1, 9] };
        assert_eq!(committed.changed(3), [true, false, true]);
    }

    #[test]
    fn two_pushes_are_the_same_when_all_their_ops_are() {
        let ops = ["a", "b"].map(|key| Op::record_delete("notes", key));
        let hashes = [content_hash(&[]), content_hash(&ops[..1]), content_hash(&ops[1..]), content_hash(&ops)];
        let told_apart: std::collections::BTreeSet<Hash> = hashes.into_iter().collect();
        assert_eq!(told_apart.len(), 4);
        assert!(!told_apart.contains(&Hash::default()));
        let encoded = prost::Message::encode_to_vec(&ops[0]);
        let length = u64::try_from(encoded.len()).unwrap().to_be_bytes();
        assert_eq!(content_hash(&ops[..1]), Hash::of(&[b"kinfolk/1/push", length.as_slice(), &encoded].concat()));
    }

    #[test]
    fn so_many_bytes_are_set_aside_and_answered_at_once() {
        assert_eq!((crate::step::QUARANTINE_BYTES, crate::look::PAGE_BYTES), (65_536, 1_048_576));
    }
}
