//! Snapshots as bytes: what of them is bounded is counted before it is decoded.

use bytes::Bytes;
use prost::Message;

use super::{Ask, Chunk, End, Hydration, Kept, MAX_ENTRIES, Mark};
use crate::bound;
use crate::bundle::HeadWire;
use crate::clock::Stamp;
use crate::ids::{BundleSeq, DeviceId, Hash, Seq, SourceId};
use crate::parcel::{MAX_VECTOR, SignedHead};
use crate::vector::Head;

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
    #[prost(bytes = "vec", tag = "3")]
    tail: Vec<u8>,
    #[prost(sint64, optional, tag = "70")]
    recent_us: Option<i64>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ChunkWire {
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
    #[prost(bool, tag = "7")]
    anew: bool,
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
pub(super) struct EndWire {
    #[prost(bytes = "vec", tag = "1")]
    source: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    device: Vec<u8>,
    #[prost(uint64, tag = "3")]
    generation: u64,
    #[prost(message, optional, tag = "4")]
    at: Option<MarkWire>,
    #[prost(message, optional, tag = "5")]
    pub(super) floor: Option<MarkWire>,
    #[prost(uint64, tag = "6")]
    signed_seq: u64,
    #[prost(bytes = "vec", tag = "7")]
    signed_hash: Vec<u8>,
    #[prost(bytes = "bytes", tag = "8")]
    signature: Bytes,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct MarkWire {
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
        let tail = ask.tail.map(|hash| hash.0.to_vec()).unwrap_or_default();
        Self { snapshot: ask.snapshot, after: ask.after.0, tail, recent_us: ask.recent_us }
    }
}

impl AskWire {
    fn read(&self) -> Ask {
        let tail = Hash::from_slice(&self.tail);
        Ask { snapshot: self.snapshot, after: BundleSeq(self.after), tail, recent_us: self.recent_us }
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
            anew: chunk.anew,
        }
    }
}

impl ChunkWire {
    /// Most fields that a chunk's bytes may have.
    const MAX_PARTS: usize = 5 + MAX_ENTRIES + MAX_VECTOR;

    /// Reads a chunk; `None` when it is not one. Bounded: the parts are counted before they are decoded.
    pub(super) fn decode_bounded(bytes: &[u8]) -> Option<Chunk> {
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
            anew: wire.anew,
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
