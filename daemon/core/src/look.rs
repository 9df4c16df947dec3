//! Questions of the engine to the log. It holds heads only; what lies below them is on disk.
//!
//! They are asked when a source turns out to have two histories, and at no other time. The driver answers each one at once
//! ([`crate::step::Output::Look`]), from the open transaction, so that the engine goes on where it stopped.

use std::collections::BTreeMap;

use crate::bundle::Bundle;
use crate::evidence::Comparison;
use crate::ids::{DeviceId, Hash, Seq, SourceId};
use crate::parcel::Run;
use crate::vector::{Head, VersionVector};

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
    /// Where does a sibling's history part from the log?
    Apart {
        /// The sibling.
        from: DeviceId,
        /// Places in its history.
        places: Vec<(SourceId, Head)>,
        /// Whether the entries that are staged are to be looked at, too.
        staged: bool,
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
    /// To [`Look::Apart`].
    Apart {
        /// The sibling.
        from: DeviceId,
        /// The sources that part, in order.
        parted: Vec<Parted>,
        /// Whether staged entries were looked at.
        staged: bool,
    },
}

/// Two histories of a source, as far as places show them that are known of both.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Parted {
    /// The source.
    pub source: SourceId,
    /// The last place before they differ at which they are seen to be one.
    pub common: Head,
    /// The first at which they are seen to differ.
    pub differs: Seq,
    /// What stands there in the log.
    pub held: Hash,
    /// What stands there in the other history.
    pub offered: Hash,
}

/// Compares places of two histories, in whatever order they come: position, the log's hash there and the other one's.
#[derive(Clone, Debug, Default)]
pub struct Partings(BTreeMap<SourceId, BTreeMap<Seq, (Hash, Hash)>>);

impl Partings {
    /// Takes in a place.
    pub fn see(&mut self, source: SourceId, at: Seq, held: Hash, offered: Hash) {
        self.0.entry(source).or_default().insert(at, (held, offered));
    }

    /// The sources that part.
    pub fn parted(&self) -> Vec<Parted> {
        let parted = self.0.iter().filter_map(|(source, places)| {
            let (differs, (held, offered)) = places.iter().find(|(_, (held, offered))| held != offered)?;
            let common = places.range(..differs).next_back().map(|(seq, (hash, _))| Head { seq: *seq, hash: *hash });
            Some(Parted {
                source: *source,
                common: common.unwrap_or_default(),
                differs: *differs,
                held: *held,
                offered: *offered,
            })
        });
        parted.collect()
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histories_part_at_the_first_place_that_differs_whatever_the_order_of_places() {
        let (source, hash) = (SourceId([1; 16]), |n| Hash([n; 32]));
        let places = [(5, 5, 9), (2, 2, 2), (7, 7, 7), (4, 4, 8), (3, 3, 3)];
        for reversed in [false, true] {
            let mut partings = Partings::default();
            let mut places = Vec::from(places);
            if reversed {
                places.reverse();
            }
            for (at, held, offered) in places {
                partings.see(source, Seq(at), hash(held), hash(offered));
                partings.see(SourceId([2; 16]), Seq(at), hash(held), hash(held));
            }
            let common = Head { seq: Seq(3), hash: hash(3) };
            let parted = Parted { source, common, differs: Seq(4), held: hash(4), offered: hash(8) };
            assert_eq!(partings.parted(), [parted]);
        }
    }

    #[test]
    fn where_nothing_is_seen_to_be_the_same_nothing_is() {
        let mut partings = Partings::default();
        partings.see(SourceId([1; 16]), Seq(4), Hash([1; 32]), Hash([2; 32]));
        assert_eq!(partings.parted()[0].common, Head::default());
    }
}
