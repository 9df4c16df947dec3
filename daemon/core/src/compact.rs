//! Compaction: what of the log may go, and what is left of a bundle.
//!
//! Below the *watermark* lies what every live sibling has receipted ([`crate::engine`] finds it). There an op goes when it no longer
//! counts and what it lost against lies below the watermark as well ([`stays`]); the bundle goes with its last op. What is left is the
//! *kept log*, and replaying it gives the same state as the whole log would: an op that goes was dominated, what dominated it is kept or
//! is dominated in turn, and having seen is transitive.
//!
//! ```text
//! seq        1    2    3    4    5    6    7
//! whole    [ab]  [a]  [c]  [b] │[a]  [d]  …       watermark 4; a is written again above it
//! kept     [a]   [a]  [c]  [b] │[a]  [d]  …       the a's below stay: a cut above could bring one back
//! ```
//!
//! **Contexts are differences** from the source's bundle before, so one that goes would take its difference along. The next that stays
//! takes it over: in the kept log a context is the difference from the *kept* bundle before. Where the watermark lies the context is
//! noted in full, and so is the chain hash: from there on everything is as it was written.
//!
//! **Road not taken.** A bundle could stay whole as long as one of its ops counts. Then what was deleted would stay on disk for as
//! long as its neighbours, and would be told to every device that catches up.

use prost::Message;

use crate::bound;
use crate::bundle::BodyContext;
use crate::ids::{Seq, SourceId};
use crate::op::Meaning;
use crate::snapshot::Mark;
use crate::vector::{Head, VersionVector};

/// Whether an op below the watermark stays.
///
/// `counts`: the state still holds something of it. `touched_above`: something above the watermark concerns the same entity, so what
/// dominates the op may lie there, and may yet be cut away with its device. An op that is not understood is kept for whoever will; one
/// that breaks a rule never means anything.
pub fn stays(meaning: &Meaning, counts: bool, touched_above: bool) -> bool {
    match meaning {
        Meaning::Unknown => true,
        Meaning::Invalid(_) => false,
        Meaning::RecordPut
        | Meaning::RecordDelete
        | Meaning::MessagePost(_)
        | Meaning::MessageStub(_)
        | Meaning::MessageStatus(..)
        | Meaning::MessageDelete(_) => counts || touched_above,
    }
}

/// A body with only those ops for which `keep` says so, in place of its context the difference given. Everything else, known or
/// not, is copied as it stands. `None` when the bytes are no body.
pub fn residue(body: &[u8], keep: &[bool], context: &[(SourceId, Head)]) -> Option<Vec<u8>> {
    let mut left = Vec::with_capacity(body.len());
    let mut keep = keep.iter();
    let mut rest = body;
    while !rest.is_empty() {
        let (tag, after) = bound::field(rest)?;
        let field = rest.get(..rest.len() - after.len())?;
        let copied = match tag {
            TAG_CONTEXT => false,
            TAG_OP => *keep.next()?,
            _ => true,
        };
        if copied {
            left.extend_from_slice(field);
        }
        rest = after;
    }
    left.extend(BodyContext::of(context).encode_to_vec());
    Some(left)
}

/// Goes along the kept log of one source and knows the full context at each place, and what each context must be written as.
#[derive(Clone, Debug, Default)]
pub struct Contexts {
    /// The watermark, while it lies ahead.
    floor: Option<(Seq, VersionVector)>,
    /// All that the author had seen.
    full: VersionVector,
    /// The same according to what is kept.
    kept: VersionVector,
}

impl Contexts {
    /// From the beginning of a source whose watermark is `floor`; at position 0 when it was never compacted.
    pub fn behind(floor: &Mark) -> Self {
        let floor = (floor.head.seq > Seq::ZERO).then(|| (floor.head.seq, floor.context.clone()));
        Self { floor, ..Self::default() }
    }

    /// Comes to the bundle at `seq`, which says that its author had seen `difference` more.
    pub fn enter(&mut self, seq: Seq, difference: &[(SourceId, Head)]) {
        if let Some((_, context)) = self.floor.take_if(|(floor, _)| seq > *floor) {
            self.full = context;
        }
        self.full.join(&difference.iter().copied().collect());
    }

    /// All that the author of this bundle had seen.
    pub fn full(&self) -> &VersionVector {
        &self.full
    }

    /// Takes the full context from elsewhere.
    pub fn set(&mut self, full: &VersionVector) {
        self.full.clone_from(full);
    }

    /// The bundle stays, with `difference` as its context: what must stand there instead, if that does not fit behind the kept bundle before.
    pub fn keep(&mut self, difference: &[(SourceId, Head)]) -> Option<Vec<(SourceId, Head)>> {
        let before = self.kept.clone();
        self.kept.join(&difference.iter().copied().collect());
        if self.kept == self.full {
            return None;
        }
        self.kept.clone_from(&self.full);
        Some(self.full.difference(&before))
    }
}

/// Fields of a body, as [`crate::bundle`] writes them.
const TAG_CONTEXT: u64 = 4;
const TAG_OP: u64 = 5;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::{Body, Bundle};
    use crate::clock::Stamp;
    use crate::ids::{Dot, Hash};
    use crate::op::Op;

    const S: SourceId = SourceId([1; 16]);

    fn seen(source: u8, seq: u64) -> (SourceId, Head) {
        (SourceId([source; 16]), Head { seq: Seq(seq), hash: Hash([source; 32]) })
    }

    #[test]
    fn a_residue_is_the_body_with_the_ops_that_stay_and_the_context_given() {
        let ops: Vec<Op> = ["a", "b", "c"].map(|key| Op::record_delete("notes", key)).into();
        let body = Body { stamp: Stamp(9), birth: None, context: vec![seen(2, 4)], ops: ops.clone(), origin: None };
        let bundle = Bundle::write(Dot { source: S, seq: Seq(3) }, Hash::default(), body.clone()).unwrap();
        let left = residue(&bundle.bytes, &[true, false, true], &[seen(3, 5)]).unwrap();
        let read = Bundle::rebuild(bundle.dot, Hash::default(), left.into()).unwrap().body.unwrap();
        assert_eq!(read, Body { context: vec![seen(3, 5)], ops: vec![ops[0].clone(), ops[2].clone()], ..body });
    }

    #[test]
    fn what_a_newer_version_wrote_into_a_body_is_copied_as_it_stands() {
        let bundle = Bundle::write(Dot { source: S, seq: Seq(1) }, Hash::default(), Body::default()).unwrap();
        let newer = [bundle.bytes.as_ref(), &[0x7A, 3, 1, 2, 3]].concat();
        assert_eq!(residue(&newer, &[], &[]).unwrap(), newer);
        assert_eq!(residue(&[0xFF], &[], &[]), None);
    }

    #[test]
    fn the_next_bundle_that_stays_takes_over_what_the_ones_before_it_had_seen() {
        let mut contexts = Contexts::default();
        contexts.enter(Seq(1), &[seen(2, 1)]);
        contexts.enter(Seq(2), &[seen(3, 1), seen(2, 2)]);
        assert_eq!(contexts.keep(&[seen(3, 1), seen(2, 2)]), None);
        contexts.enter(Seq(3), &[seen(4, 1)]);
        contexts.enter(Seq(4), &[]);
        assert_eq!(contexts.keep(&[]), Some(vec![seen(4, 1)]));
        contexts.enter(Seq(5), &[]);
        assert_eq!(contexts.keep(&[]), None);
    }

    #[test]
    fn behind_the_watermark_contexts_go_on_from_the_one_that_was_noted() {
        let head = Head { seq: Seq(4), hash: Hash([1; 32]) };
        let context = VersionVector::from_iter([seen(2, 7), seen(3, 1)]);
        let mut contexts = Contexts::behind(&Mark { head, stamp: Stamp(1), context });
        contexts.enter(Seq(2), &[seen(3, 1)]);
        assert_eq!(contexts.keep(&[seen(3, 1)]), None);
        contexts.enter(Seq(5), &[]);
        assert_eq!(contexts.full().seq(SourceId([2; 16])), Seq(7));
        assert_eq!(contexts.keep(&[]), Some(vec![seen(2, 7)]));
    }

    #[test]
    fn an_op_goes_when_it_does_not_count_and_nothing_above_the_watermark_concerns_its_entity() {
        assert!(stays(&Meaning::RecordPut, true, false));
        assert!(stays(&Meaning::RecordPut, false, true));
        assert!(!stays(&Meaning::RecordPut, false, false));
        assert!(stays(&Meaning::Unknown, false, false));
        assert!(!stays(&Meaning::Invalid("x"), true, true));
    }

    #[test]
    fn at_the_watermark_itself_the_log_still_says_what_was_seen() {
        let head = Head { seq: Seq(4), hash: Hash([1; 32]) };
        let context = VersionVector::from_iter([seen(2, 7)]);
        let mut contexts = Contexts::behind(&Mark { head, stamp: Stamp(1), context });
        contexts.enter(Seq(4), &[seen(3, 1)]);
        assert_eq!(contexts.full(), &VersionVector::from_iter([seen(3, 1)]));
    }

    #[test]
    fn a_context_taken_from_elsewhere_stays_where_nothing_was_compacted() {
        let mut contexts = Contexts::behind(&Mark::default());
        contexts.set(&VersionVector::from_iter([seen(2, 7)]));
        contexts.enter(Seq(1), &[seen(3, 1)]);
        assert_eq!(contexts.full(), &VersionVector::from_iter([seen(2, 7), seen(3, 1)]));
    }
}
