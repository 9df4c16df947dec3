//! Bundles: what one local push committed, as bytes.
//!
//! **Layout.** A bundle is a fixed header and a protobuf body:
//!
//! ```text
//! ┌─────────┬────────────┬─────────────┬───────────────┬──────────────────────────────┐
//! │ 0x01    │ source 16  │ seq u64 BE  │ prev SHA-256  │ body: stamp, birth, context,  │
//! │ version │            │             │ 32            │ ops (protobuf)                │
//! └─────────┴────────────┴─────────────┴───────────────┴──────────────────────────────┘
//! ```
//!
//! `prev` is the SHA-256 of the source's previous bundle (32 zero bytes before the first), so a source is a hash chain and
//! its head vouches for everything before it. Everything in the header follows from the position in the chain: a run of bundles
//! travels and is stored as bodies only, and the receiver rebuilds exactly the bytes that were hashed. Bodies are never
//! re-encoded.
//!
//! **Context.** The body carries what its author had applied when it was written, as the difference from the source's previous
//! bundle; the author's own source is left out, since the chain says it.
//!
//! **Unreadable bodies.** A body that is not protobuf still has its place in the chain: it counts as held and does nothing,
//! on every device alike.

use bytes::Bytes;
use prost::Message;

use crate::clock::Stamp;
use crate::ids::{DeviceId, Dot, Hash, Seq, SourceId};
use crate::op::Op;
use crate::vector::Head;

/// A bundle at its place in its source.
#[derive(Clone, Debug, PartialEq)]
pub struct Bundle {
    /// Its name.
    pub dot: Dot,
    /// SHA-256 of the bundle before it; zero at position 1.
    pub prev: Hash,
    /// SHA-256 of this bundle: header and body.
    pub hash: Hash,
    /// The body exactly as its author wrote it.
    pub bytes: Bytes,
    /// What the body says; `None` when it is unreadable.
    pub body: Option<Body>,
}

/// What a bundle says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Body {
    /// When, in hybrid logical time; strictly growing within a source.
    pub stamp: Stamp,
    /// Whose source this is: only and always in the first bundle.
    pub birth: Option<Birth>,
    /// What moved in the author's context since its previous bundle.
    pub context: Vec<(SourceId, Head)>,
    /// The changes, in order.
    pub ops: Vec<Op>,
    /// The bundle whose changes these are, when it stood in a source of the same device that ended before it.
    pub origin: Option<(SourceId, Head)>,
}

/// The first words of a source.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Birth {
    /// The device that writes it.
    pub device: DeviceId,
    /// Which of the device's sources it is: 1 for its first, greater for each fresh one. A receipt names the generation it
    /// was written under, so that a lower vector is understood as a fresh start and not as an old letter.
    pub generation: u64,
}

/// Why bytes are not a bundle, or cannot become one.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BundleError {
    /// The body does not fit.
    #[error("a bundle has at most {MAX_BODY} bytes, this one has {0}: push fewer or smaller ops at a time")]
    TooLarge(usize),
}

impl Bundle {
    /// Writes `body` as the bundle after `prev`.
    pub fn write(dot: Dot, prev: Hash, body: Body) -> Result<Self, BundleError> {
        let bytes = Bytes::from(body.encode());
        let hash = hash(dot, prev, &bytes)?;
        Ok(Self { dot, prev, hash, bytes, body: Some(body) })
    }

    /// Rebuilds the bundle at `dot` from the body that was received or stored.
    pub fn rebuild(dot: Dot, prev: Hash, bytes: Bytes) -> Result<Self, BundleError> {
        let hash = hash(dot, prev, &bytes)?;
        let body = Body::decode(&bytes);
        Ok(Self { dot, prev, hash, bytes, body })
    }

    /// Where its source stands with this bundle.
    pub fn head(&self) -> Head {
        Head { seq: self.dot.seq, hash: self.hash }
    }

    /// The ops; none when the body is unreadable or its stamp is invalid.
    pub fn ops(&self) -> &[Op] {
        match &self.body {
            Some(body) if body.stamp.is_valid() => &body.ops,
            Some(_) | None => &[],
        }
    }
}

/// Largest body, in bytes: 1 MiB less the header.
pub const MAX_BODY: usize = (1 << 20) - HEADER;
/// Bytes before the body.
pub const HEADER: usize = 1 + SourceId::LEN + 8 + Hash::LEN;

const VERSION: u8 = 1;

fn hash(dot: Dot, prev: Hash, body: &[u8]) -> Result<Hash, BundleError> {
    if body.len() > MAX_BODY {
        return Err(BundleError::TooLarge(body.len() + HEADER));
    }
    Ok(Hash::of_parts(&[&[VERSION], &dot.source.0, &dot.seq.0.to_be_bytes(), &prev.0, body]))
}

impl Body {
    fn encode(&self) -> Vec<u8> {
        let context = self.context.iter().map(|(source, head)| HeadWire::from((*source, *head))).collect();
        let (device, generation) = self.birth.map_or_else(Default::default, |b| (b.device.0.to_vec(), b.generation));
        let origin = self.origin.map(HeadWire::from);
        BodyWire { stamp: self.stamp.0, device, generation, context, ops: self.ops.clone(), origin }.encode_to_vec()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let wire = BodyWire::decode(bytes).ok()?;
        let birth = match wire.device.as_slice() {
            [] => None,
            device => Some(Birth { device: DeviceId::from_slice(device)?, generation: wire.generation }),
        };
        let context = wire.context.iter().map(HeadWire::read).collect::<Option<_>>()?;
        let origin = match &wire.origin {
            None => None,
            Some(origin) => Some(origin.read()?),
        };
        Some(Self { stamp: Stamp(wire.stamp), birth, context, ops: wire.ops, origin })
    }
}

/// A bundle body on the wire. The golden files freeze it.
#[derive(Clone, PartialEq, Message)]
struct BodyWire {
    #[prost(fixed64, tag = "1")]
    stamp: u64,
    #[prost(bytes = "vec", tag = "2")]
    device: Vec<u8>,
    #[prost(uint64, tag = "3")]
    generation: u64,
    #[prost(message, repeated, tag = "4")]
    context: Vec<HeadWire>,
    #[prost(message, repeated, tag = "5")]
    ops: Vec<Op>,
    #[prost(message, optional, tag = "40")]
    origin: Option<HeadWire>,
}

/// The context alone, as it stands in a body.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct BodyContext {
    #[prost(message, repeated, tag = "4")]
    context: Vec<HeadWire>,
}

impl BodyContext {
    pub(crate) fn of(context: &[(SourceId, Head)]) -> Self {
        Self { context: context.iter().copied().map(HeadWire::from).collect() }
    }
}

/// One entry of a vector or a context on the wire.
#[derive(Clone, PartialEq, Message)]
pub struct HeadWire {
    /// 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub source: Vec<u8>,
    /// Position.
    #[prost(uint64, tag = "2")]
    pub seq: u64,
    /// 32 bytes.
    #[prost(bytes = "vec", tag = "3")]
    pub hash: Vec<u8>,
}

impl From<(SourceId, Head)> for HeadWire {
    fn from((source, head): (SourceId, Head)) -> Self {
        Self { source: source.0.to_vec(), seq: head.seq.0, hash: head.hash.0.to_vec() }
    }
}

impl HeadWire {
    /// The entry, if its parts have the right lengths.
    pub fn read(&self) -> Option<(SourceId, Head)> {
        let head = Head { seq: Seq(self.seq), hash: Hash::from_slice(&self.hash)? };
        Some((SourceId::from_slice(&self.source)?, head))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Value;

    const DOT: Dot = Dot { source: SourceId([7; 16]), seq: Seq(1) };

    fn body() -> Body {
        let birth = Some(Birth { device: DeviceId([9; 16]), generation: 1 });
        let op = Op::record_put("notes", "a", vec![("title".into(), Some(Value::text("hello")))]);
        let origin = Some((SourceId([6; 16]), Head::default()));
        Body { stamp: Stamp(65_536), birth, context: vec![(SourceId([8; 16]), Head::default())], ops: vec![op], origin }
    }

    #[test]
    fn a_bundle_is_rebuilt_from_its_place_and_its_body() {
        let written = Bundle::write(DOT, Hash::default(), body()).unwrap();
        let rebuilt = Bundle::rebuild(DOT, Hash::default(), written.bytes.clone()).unwrap();
        assert_eq!(rebuilt, written);
    }

    #[test]
    fn the_hash_depends_on_place_chain_and_body() {
        let base = Bundle::write(DOT, Hash::default(), body()).unwrap().hash;
        let other_place = Bundle::write(Dot { seq: Seq(2), ..DOT }, Hash::default(), body()).unwrap().hash;
        let other_chain = Bundle::write(DOT, Hash([1; 32]), body()).unwrap().hash;
        let other_body = Bundle::write(DOT, Hash::default(), Body { stamp: Stamp(65_537), ..body() }).unwrap().hash;
        assert!([other_place, other_chain, other_body].iter().all(|hash| *hash != base));
    }

    #[test]
    fn an_unreadable_body_keeps_its_place_and_does_nothing() {
        let bundle = Bundle::rebuild(DOT, Hash::default(), Bytes::from_static(&[0xFF, 0xFF])).unwrap();
        assert_eq!(bundle.body, None);
        assert!(bundle.ops().is_empty());
        assert_ne!(bundle.hash, Hash::default());
    }

    #[test]
    fn a_bundle_with_an_invalid_stamp_does_nothing() {
        let bundle = Bundle::write(DOT, Hash::default(), Body { stamp: Stamp(u64::MAX), ..body() }).unwrap();
        assert!(bundle.ops().is_empty());
    }

    #[test]
    fn a_body_beyond_one_mebibyte_is_refused() {
        assert_eq!((HEADER, MAX_BODY), (57, (1 << 20) - 57));
        let bytes = Bytes::from(vec![0; MAX_BODY + 1]);
        assert_eq!(Bundle::rebuild(DOT, Hash::default(), bytes), Err(BundleError::TooLarge((1 << 20) + 1)));
    }
}
