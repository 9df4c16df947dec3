//! What is decided and written down about contents that are kept elsewhere ([`crate::bodies`]).

use std::collections::BTreeMap;

use crate::ids::{DeviceId, Millis, Seq, SourceId};

/// The word given to a sibling: all that is held here is kept.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Word {
    /// The number of its ask.
    pub ask: u64,
    /// When it wrote that, by its own clock: a letter from before does not take the ask back.
    pub written: Millis,
}

/// Which contents may go.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Pruning {
    /// Of messages created before this instant, in microseconds since the Unix epoch.
    pub before_us: i64,
    /// At or below these places of their sources: compacted here, and held by a keeper.
    pub upto: BTreeMap<SourceId, Seq>,
}

/// Why no content may go.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Hindrance {
    /// No sibling has given its word (yet) that it keeps them.
    NoKeeper,
    /// These siblings rely on this device.
    Needed(Vec<DeviceId>),
    /// A sibling of an earlier version would not understand what is left.
    OldVersion(DeviceId),
}

/// Why a content did not come.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Missed {
    /// There is nobody to ask: no live sibling can be reached, or none of them understands the question.
    Nobody,
    /// No answer came in time. One that comes later is taken, too.
    Silent,
    /// All that could be asked say that they do not have it.
    Gone,
}
