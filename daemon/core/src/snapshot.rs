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
//! **Who vouches.** An entry is not what its author signed: its chain has holes. The sibling's signature over the parcel
//! vouches for all of a snapshot; a run needs less trust, and is used wherever it can be had.

use bytes::Bytes;
use prost::Message;

use crate::bound;
use crate::bundle::HeadWire;
use crate::clock::Stamp;
use crate::ids::{BundleSeq, DeviceId, Hash, Seq, SourceId};
use crate::parcel::{MAX_VECTOR, SignedHead};
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

impl Hydration {
    /// As it stands in a parcel; nothing when there is nothing to say.
    pub(crate) fn encode(&self) -> Bytes {
        let wire = HydrationWire {
            watermark: self.watermark.iter().map(HeadWire::from).collect(),
            ask: self.ask.map(AskWire::from),
            chunk: self.chunk.as_deref().map(|chunk| ChunkWire::from(chunk).encode_to_vec().into()).unwrap_or_default(),
        };
        wire.encode_to_vec().into()
    }

    /// Reads what a parcel says; `None` when it is nothing of the kind. Bounded: parts are counted before they are decoded.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        if !bound::has_at_most(bytes, HydrationWire::MAX_PARTS) {
            return None;
        }
        let wire = HydrationWire::decode(bytes).ok()?;
        if wire.watermark.len() > MAX_VECTOR {
            return None;
        }
        let chunk = match wire.chunk.as_ref() {
            [] => None,
            chunk => Some(Box::new(ChunkWire::decode_bounded(chunk)?)),
        };
        let watermark = wire.watermark.iter().map(HeadWire::read).collect::<Option<_>>()?;
        Some(Self { watermark, ask: wire.ask.as_ref().map(AskWire::read), chunk })
    }
}

/// Asks for the chunk of a snapshot after a place.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Ask {
    /// Which snapshot; 0 for any, from its beginning.
    pub snapshot: u64,
    /// The place in the sender's order that was reached.
    pub after: BundleSeq,
}

/// A part of the kept log.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Chunk {
    /// How often the sender has compacted, plus one: places of one snapshot mean nothing in another.
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
}

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

#[derive(Clone, PartialEq, Message)]
struct HydrationWire {
    #[prost(message, repeated, tag = "1")]
    watermark: Vec<HeadWire>,
    #[prost(message, optional, tag = "2")]
    ask: Option<AskWire>,
    /// A [`ChunkWire`], as bytes: its parts are counted before it is decoded.
    #[prost(bytes = "bytes", tag = "3")]
    chunk: Bytes,
}

impl HydrationWire {
    /// Most fields that its bytes may have.
    const MAX_PARTS: usize = 2 + MAX_VECTOR;
}

#[derive(Clone, PartialEq, Message)]
struct AskWire {
    #[prost(uint64, tag = "1")]
    snapshot: u64,
    #[prost(uint64, tag = "2")]
    after: u64,
}

#[derive(Clone, PartialEq, Message)]
struct ChunkWire {
    #[prost(uint64, tag = "1")]
    snapshot: u64,
    #[prost(uint64, tag = "2")]
    after: u64,
    #[prost(uint64, tag = "3")]
    upto: u64,
    #[prost(uint64, tag = "4")]
    last: u64,
    #[prost(message, repeated, tag = "5")]
    entries: Vec<KeptWire>,
    #[prost(message, repeated, tag = "6")]
    ends: Vec<EndWire>,
}

#[derive(Clone, PartialEq, Message)]
struct KeptWire {
    #[prost(bytes = "vec", tag = "1")]
    source: Vec<u8>,
    #[prost(uint64, tag = "2")]
    seq: u64,
    #[prost(bytes = "vec", tag = "3")]
    hash: Vec<u8>,
    #[prost(bytes = "bytes", tag = "4")]
    body: Bytes,
}

#[derive(Clone, PartialEq, Message)]
struct EndWire {
    #[prost(bytes = "vec", tag = "1")]
    source: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    device: Vec<u8>,
    #[prost(uint64, tag = "3")]
    generation: u64,
    #[prost(message, optional, tag = "4")]
    at: Option<MarkWire>,
    #[prost(message, optional, tag = "5")]
    floor: Option<MarkWire>,
    #[prost(uint64, tag = "6")]
    signed_seq: u64,
    #[prost(bytes = "vec", tag = "7")]
    signed_hash: Vec<u8>,
    #[prost(bytes = "bytes", tag = "8")]
    signature: Bytes,
}

#[derive(Clone, PartialEq, Message)]
struct MarkWire {
    #[prost(uint64, tag = "1")]
    seq: u64,
    #[prost(bytes = "vec", tag = "2")]
    hash: Vec<u8>,
    #[prost(fixed64, tag = "3")]
    stamp: u64,
    #[prost(message, repeated, tag = "4")]
    context: Vec<HeadWire>,
}

impl From<Ask> for AskWire {
    fn from(ask: Ask) -> Self {
        Self { snapshot: ask.snapshot, after: ask.after.0 }
    }
}

impl AskWire {
    fn read(&self) -> Ask {
        Ask { snapshot: self.snapshot, after: BundleSeq(self.after) }
    }
}

impl From<&Chunk> for ChunkWire {
    fn from(chunk: &Chunk) -> Self {
        let entry = |kept: &Kept| KeptWire {
            source: kept.source.0.to_vec(),
            seq: kept.seq.0,
            hash: kept.hash.0.to_vec(),
            body: kept.body.clone(),
        };
        Self {
            snapshot: chunk.snapshot,
            after: chunk.after.0,
            upto: chunk.upto.0,
            last: chunk.last.0,
            entries: chunk.entries.iter().map(entry).collect(),
            ends: chunk.ends.iter().map(EndWire::from).collect(),
        }
    }
}

impl ChunkWire {
    /// Most fields that a chunk's bytes may have.
    const MAX_PARTS: usize = 4 + MAX_ENTRIES + MAX_VECTOR;

    /// Reads a chunk; `None` when it is not one. Bounded: the parts are counted before they are decoded.
    fn decode_bounded(bytes: &[u8]) -> Option<Chunk> {
        if !bound::has_at_most(bytes, Self::MAX_PARTS) {
            return None;
        }
        let wire = Self::decode(bytes).ok()?;
        if wire.entries.len() > MAX_ENTRIES || wire.ends.len() > MAX_VECTOR || wire.snapshot == 0 {
            return None;
        }
        let entry = |kept: KeptWire| {
            let (source, hash) = (SourceId::from_slice(&kept.source)?, Hash::from_slice(&kept.hash)?);
            (kept.seq > 0).then_some(Kept { source, seq: Seq(kept.seq), hash, body: kept.body })
        };
        Some(Chunk {
            snapshot: wire.snapshot,
            after: BundleSeq(wire.after),
            upto: BundleSeq(wire.upto),
            last: BundleSeq(wire.last),
            entries: wire.entries.into_iter().map(entry).collect::<Option<_>>()?,
            ends: wire.ends.iter().map(EndWire::read).collect::<Option<_>>()?,
        })
    }
}

impl From<&End> for EndWire {
    fn from(end: &End) -> Self {
        let signed = end.signed.as_ref();
        Self {
            source: end.source.0.to_vec(),
            device: end.device.0.to_vec(),
            generation: end.generation,
            at: Some(MarkWire::from(&end.at)),
            floor: (end.floor.head.seq > Seq::ZERO).then(|| MarkWire::from(&end.floor)),
            signed_seq: signed.map_or(0, |signed| signed.head.seq.0),
            signed_hash: signed.map(|signed| signed.head.hash.0.to_vec()).unwrap_or_default(),
            signature: signed.map(|signed| signed.signature.clone()).unwrap_or_default(),
        }
    }
}

impl EndWire {
    fn read(&self) -> Option<End> {
        let source = SourceId::from_slice(&self.source)?;
        let device = DeviceId::from_slice(&self.device)?;
        let at = self.at.as_ref()?.read()?;
        let floor = self.floor.as_ref().map_or(Some(Mark::default()), MarkWire::read)?;
        if at.head.seq == Seq::ZERO || floor.head.seq > at.head.seq {
            return None;
        }
        let signed = match self.signature.len() {
            0 => None,
            64 => {
                let head = Head { seq: Seq(self.signed_seq), hash: Hash::from_slice(&self.signed_hash)? };
                Some(SignedHead { device, source, head, signature: self.signature.clone() })
            }
            _ => return None,
        };
        Some(End { source, device, generation: self.generation, at, floor, signed })
    }
}

impl From<&Mark> for MarkWire {
    fn from(mark: &Mark) -> Self {
        Self {
            seq: mark.head.seq.0,
            hash: mark.head.hash.0.to_vec(),
            stamp: mark.stamp.0,
            context: mark.context.iter().map(HeadWire::from).collect(),
        }
    }
}

impl MarkWire {
    fn read(&self) -> Option<Mark> {
        if self.context.len() > MAX_VECTOR {
            return None;
        }
        let (head, stamp) = (Head { seq: Seq(self.seq), hash: Hash::from_slice(&self.hash)? }, Stamp(self.stamp));
        if !stamp.is_valid() {
            return None;
        }
        let context = self.context.iter().map(HeadWire::read).collect::<Option<_>>()?;
        Some(Mark { head, stamp, context })
    }
}

#[cfg(test)]
mod bounds;

#[cfg(test)]
mod tests {
    use super::*;

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
        }
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
