//! Snapshots: how a device that lacks compacted bundles catches up, as parcels carry it.
//!
//! Who compacted can no longer serve runs from below its watermark: bundles of which nothing counts any more are gone, and the rest
//! ([`crate::compact`]) is no chain. It says so (`watermark`), the other asks ([`Ask`]), and what comes is the *kept log*: all that
//! is left of it in the sender's order of apply, chunk by chunk, and at the end where each source stands ([`End`]).
//!
//! ```text
//! has compacted                                      lacks something below that
//!      │ ── watermark ────────────────────────────────────▶ │
//!      │ ◀──────────────────────── ask { snapshot 0, after 0 } │
//!      │ ── chunk { snapshot 3, after 0, upto 812, entries } ▶ │  staged on disk
//!      │ ◀────────────────────── ask { snapshot 3, after 812 } │
//!      │ ── chunk { …, entries, ends } ──────────────────▶ │  one transaction: the join
//! ```
//!
//! **Resumable without state.** The log only grows at its end, except when it is compacted; `snapshot` counts compactions, `after` is a
//! place in the sender's order. So a chunk can be asked for again, by a receiver that restarted of a sender that restarted, and
//! a snapshot is never written down. One that was begun before a compaction begins anew.
//!
//! **One order.** A sender whose disk is put back gives out its places again, for other bundles. So a snapshot's number begins with when the
//! sender last took a fresh source ([`number`]), and for a sender that has not noticed, each question names the bundle that was staged
//! last (`tail`): when that does not lie there, the answer begins anew and says so.
//!
//! **The recent past first.** Who asks may say from which instant on it wants contents of messages at once. Older posts then come as stubs ([`crate::stub`]), the
//! whole state as ever, in one join; what was left out is fetched afterwards like anything that is elsewhere ([`crate::contents`]).
//!
//! **Who vouches.** An entry is not what its author signed: its chain has holes. The sibling's signature over the parcel
//! vouches for all of a snapshot; a run needs less trust, and is used wherever it can be had.

mod wire;

use bytes::Bytes;

use crate::bundle::Bundle;
use crate::clock::Stamp;
use crate::ids::{BundleSeq, DeviceId, Dot, Hash, Seq, SourceId};
use crate::merge;
use crate::op::MessageBody;
use crate::parcel::SignedHead;
use crate::stub;
use crate::vector::{Head, VersionVector};

/// Most bytes of the entries of a chunk, unless the first alone is larger: 1 MiB. Beside them, receipt and watermark of 1,024 sources (128 KiB)
/// fit into a parcel.
pub const CHUNK_TARGET: usize = 1024 * 1024;
/// Most entries of a chunk: with source, position and hash an entry has more than 64 bytes.
pub const MAX_ENTRIES: usize = CHUNK_TARGET / 64;
/// Most bytes that the ends of all sources take: half of a parcel. About a hundred sources that have all seen each other.
pub const MAX_ENDS_BYTES: usize = 640 * 1024;

/// What parcels say about catching up with a compacted log.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hydration {
    /// Below this the sender cannot serve runs, and the recipient lacks something below it. Empty when it does not.
    pub watermark: VersionVector,
    /// The sender asks for a chunk.
    pub ask: Option<Ask>,
    /// A chunk that was asked for.
    pub chunk: Option<Box<Chunk>>,
}

/// Asks for the chunk of a snapshot after a place.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Ask {
    /// Which snapshot; 0 for any, from its beginning.
    pub snapshot: u64,
    /// The place in the sender's order that was reached.
    pub after: BundleSeq,
    /// The hash of the last bundle that was staged, if one was: it must be the last one up to that place.
    pub tail: Option<Hash>,
    /// Contents of messages from before this instant, in microseconds since the Unix epoch, may be left out ([`recent`]).
    pub recent_us: Option<i64>,
}

/// What is left of the body of an entry whose messages from before an instant may come without their contents; `None` when that changes nothing.
///
/// Only what is at or below the sender's watermark is shortened so: above it a body is held against the hash of its bundle.
pub fn recent(entry: &Kept, since_us: i64) -> Option<Bytes> {
    let dot = Dot { source: entry.source, seq: entry.seq };
    let stamp = Bundle::rebuild(dot, Hash::default(), entry.body.clone()).ok()?.body?.stamp;
    let is_old = |post: &MessageBody| merge::time_or_stamp(post.created_us, stamp) < since_us;
    stub::shorten_all(&entry.body, is_old).map(Bytes::from)
}

/// A part of the kept log.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Chunk {
    /// Its [number]: places of one snapshot mean nothing in another.
    pub snapshot: u64,
    /// After which place its entries lie.
    pub after: BundleSeq,
    /// The place it reaches.
    pub upto: BundleSeq,
    /// The last place in the sender's order, to show how far this is.
    pub last: BundleSeq,
    /// What is kept of the bundles there, in order.
    pub entries: Vec<Kept>,
    /// Where every source stands after the last entry: only in the last chunk, and never empty there.
    pub ends: Vec<End>,
    /// What was asked for is no place in the sender's order any more: this is the first chunk.
    pub anew: bool,
}

/// The number of a snapshot that a device gives whose source in use has `generation` and that has compacted `times`. It grows with every
/// compaction, and with every fresh source that a device takes because it was put back: the seconds of its generation come first.
pub fn number(generation: u64, times: u64) -> u64 {
    let seconds = (generation >> 16).min(u64::from(u32::MAX));
    (seconds << COMPACTIONS_BITS) | times.saturating_add(1).min((1 << COMPACTIONS_BITS) - 1)
}

/// Of the number of a snapshot, those that count compactions: 2^24, one a night for 45,000 years.
const COMPACTIONS_BITS: u32 = 24;

/// What is kept of a bundle.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Kept {
    /// Its source.
    pub source: SourceId,
    /// Its position.
    pub seq: Seq,
    /// The hash of the whole bundle.
    pub hash: Hash,
    /// Its body, or the [residue](crate::compact::residue) of it.
    pub body: Bytes,
}

/// Where a source stands.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct End {
    /// Which source.
    pub source: SourceId,
    /// Whose.
    pub device: DeviceId,
    /// Its number among the device's sources.
    pub generation: u64,
    /// After its last bundle.
    pub at: Mark,
    /// At the watermark: up to there entries may be missing, after it none is. At position 0 when nothing was compacted.
    pub floor: Mark,
    /// A head at or before the end that the source's device signed, if one is known: where a run may end.
    pub signed: Option<SignedHead>,
}

/// A place in a source, with all that is needed to go on from there.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Mark {
    /// Position and chain hash.
    pub head: Head,
    /// The last valid stamp up to there.
    pub stamp: Stamp,
    /// All that the author had seen there, its own source left out.
    pub context: VersionVector,
}

#[cfg(test)]
mod bounds;

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::wire::ChunkWire;
    use super::*;
    use crate::vector::Head;

    pub(super) fn mark(seq: u64) -> Mark {
        let head = Head { seq: Seq(seq), hash: Hash([7; 32]) };
        Mark { head, stamp: Stamp(9), context: VersionVector::from_iter([(SourceId([2; 16]), head)]) }
    }

    pub(super) fn chunk() -> Chunk {
        let (source, device) = (SourceId([1; 16]), DeviceId([3; 16]));
        let head = Head { seq: Seq(4), hash: Hash([8; 32]) };
        let signed = Some(SignedHead { device, source, head, signature: Bytes::from_static(&[5; 64]) });
        Chunk {
            snapshot: 2,
            after: BundleSeq(3),
            upto: BundleSeq(9),
            last: BundleSeq(9),
            entries: vec![Kept { source, seq: Seq(4), hash: Hash([8; 32]), body: Bytes::from_static(b"body") }],
            ends: vec![End { source, device, generation: 1, at: mark(5), floor: mark(4), signed }],
            anew: true,
        }
    }

    #[test]
    fn the_number_of_a_snapshot_grows_with_compactions_and_beyond_them_with_fresh_sources() {
        assert_eq!((number(1, 0), number(1, 7)), (1, 8));
        let years_later = 1_700_000_000 << 16;
        assert!(number(years_later, 0) > number(1, u64::MAX));
        assert!(number(years_later + (1 << 16), 0) > number(years_later | 0xFFFF, u64::MAX));
        assert_eq!(number(u64::MAX, u64::MAX).leading_zeros(), 8, "there is room for it in a database");
    }

    #[test]
    fn a_chunk_survives_its_bytes() {
        let mut chunk = chunk();
        assert_eq!(ChunkWire::decode_bounded(&ChunkWire::from(&chunk).encode_to_vec()), Some(chunk.clone()));
        (chunk.ends[0].floor, chunk.ends[0].signed) = (Mark::default(), None);
        assert_eq!(ChunkWire::decode_bounded(&ChunkWire::from(&chunk).encode_to_vec()), Some(chunk));
    }

    #[test]
    fn a_chunk_of_countless_empty_parts_is_refused_before_it_is_decoded() {
        assert_eq!(ChunkWire::decode_bounded(&[0x2A, 0].repeat(1 << 19)), None);
    }

    #[test]
    fn a_source_that_ends_before_its_floor_or_nowhere_is_refused() {
        for (at, floor) in [(mark(3), mark(4)), (mark(0), Mark::default())] {
            let mut chunk = chunk();
            (chunk.ends[0].at, chunk.ends[0].floor) = (at, floor);
            assert_eq!(ChunkWire::decode_bounded(&ChunkWire::from(&chunk).encode_to_vec()), None);
        }
    }
}
