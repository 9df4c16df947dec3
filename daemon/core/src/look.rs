//! Questions of the engine to the log. It holds heads only; what lies below them is on disk.
//!
//! They are asked when a source turns out to have two histories, and at no other time. The driver answers each one at once
//! ([`crate::step::Output::Look`]), from the open transaction, so that the engine goes on where it stopped.

use crate::bundle::Bundle;
use crate::evidence::Comparison;
use crate::ids::{DeviceId, Seq, SourceId};
use crate::parcel::Run;
use crate::vector::VersionVector;

/// A question.
#[derive(Clone, Debug, PartialEq)]
pub enum Look {
    /// How does this run, which a sibling brought, stand to what is in the log of its source?
    Compare {
        /// Who brought it.
        from: DeviceId,
        /// The run.
        run: Run,
    },
    /// What had the author of an own source seen when it wrote the bundle at this position?
    Seen {
        /// The source.
        source: SourceId,
        /// The position; at 0 nothing.
        at: Seq,
    },
    /// What stands in an own source after this position?
    Beyond {
        /// The source.
        source: SourceId,
        /// The position.
        after: Seq,
    },
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Looked {
    /// To [`Look::Compare`].
    Compared(Box<Compared>),
    /// To [`Look::Seen`].
    Seen {
        /// The source.
        source: SourceId,
        /// What its author had seen, the source itself left out.
        seen: VersionVector,
    },
    /// To [`Look::Beyond`]: at most [`PAGE_BUNDLES`] and about [`PAGE_BYTES`].
    Beyond {
        /// The source.
        source: SourceId,
        /// In order.
        bundles: Vec<Bundle>,
        /// Whether more follow.
        more: bool,
    },
}

/// How a run stands to the log.
#[derive(Clone, Debug, PartialEq)]
pub struct Compared {
    /// Who brought the run.
    pub from: DeviceId,
    /// The run.
    pub run: Run,
    /// How it stands ([`crate::evidence::compare`]).
    pub comparison: Comparison,
    /// Where it parts: the other history from there to its next signed head, if one follows.
    pub held: Option<Run>,
    /// Where it agrees: the bundle before it.
    pub before: Option<Bundle>,
}

/// Most bundles of one answer.
pub const PAGE_BUNDLES: usize = 256;
/// From how many bytes on an answer ends: 1 MiB, and so less than 2.
pub const PAGE_BYTES: usize = 1 << 20;
