//! What is written down of a compaction, and of a snapshot under way.

use crate::ids::{BundleSeq, DeviceId, Hash, Millis, Seq};
use crate::snapshot::End;
use crate::vector::VersionVector;

/// How far the log is compacted, and by which rules.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Compaction {
    /// What lies at or below it and counts no more goes. Sources that are not named keep theirs.
    pub watermark: VersionVector,
    /// The greatest kind of op that all siblings understand: what only some of them do is kept, with all it is about.
    pub op_level: u32,
}

/// A snapshot under way to here.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Hydrating {
    /// Who sends it.
    pub from: DeviceId,
    /// Which; 0 before the first chunk.
    pub snapshot: u64,
    /// How far it is staged, in the sender's order.
    pub after: BundleSeq,
    /// How far it goes, as the sender said last.
    pub last: BundleSeq,
    /// How many entries are staged.
    pub staged: u64,
    /// The hash of the last of them.
    pub tail: Option<Hash>,
}

/// How a staged snapshot joins the log.
#[derive(Clone, Debug, PartialEq)]
pub struct Join {
    /// The place in this device's order that the first staged entry gets; places of entries that are held stay empty.
    pub first: BundleSeq,
    /// The sources that gain by it. Entries of others are left out.
    pub sources: Vec<Gain>,
    /// When, by the wall clock.
    pub at: Millis,
}

/// What a source gains by a join.
#[derive(Clone, Debug, PartialEq)]
pub struct Gain {
    /// What was held before: entries after it are new.
    pub after: Seq,
    /// Where the source stands now. Its floor is at position 0 when the log has no hole up to there.
    pub end: End,
}
