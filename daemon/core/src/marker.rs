//! Read markers: up to where a person has read a conversation.
//!
//! A marker is a place in the order of a conversation, and how much of each source the device held that set it. It covers the messages up to
//! that place that were there to be read ([`ReadMarker::covers`]). A message that comes late, from a device that was away, is unread
//! although it was created before the place: nobody has seen it.
//!
//! **Several markers.** A device has one marker of its own for each conversation, and moves it forward only ([`ReadMarker::next`]). Markers that
//! reach the other devices stand in the collection [`READ_COLLECTION`] as the record of the conversation, each in a field named after its
//! device, so no two devices write the same field. What one of them covers is read: a function of the markers and the message alone.
//!
//! **Road not taken.** A marker could be a place and nothing else. Then it would have to be a place in an order of arrival, and devices have none in
//! common; or late messages would be lost among those that were read.

use std::collections::BTreeMap;

use prost::Message;

use crate::ids::{Dot, Seq, SourceId};
use crate::op::Op;
use crate::value::{Kind, Value};

/// Where the markers are that reach all devices: the key is the conversation, the fields are devices.
pub const READ_COLLECTION: &str = "@read";

/// Most sources that a marker names; messages of further ones stay unread. A device takes a new source when it was put back, so a person has
/// a handful. 1,024 of at most 28 bytes make 28 KiB.
pub const MAX_SOURCES: usize = 1_024;

/// Up to where a conversation was read. The default lies before everything.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ReadMarker {
    /// When the last message that was read was created, in microseconds since the Unix epoch.
    pub created_us: i64,
    /// Its id.
    pub id: String,
    /// How much of each source was there.
    pub seen: BTreeMap<SourceId, Seq>,
}

impl Default for ReadMarker {
    fn default() -> Self {
        Self { created_us: i64::MIN, id: String::new(), seen: BTreeMap::new() }
    }
}

impl ReadMarker {
    /// Whether a message was there to be read and lies at the marker or before it: one of that instant and id, whose post has that name.
    pub fn covers(&self, created_us: i64, id: &str, post: Dot) -> bool {
        (created_us, id) <= self.place() && self.seen.get(&post.source).is_some_and(|seen| post.seq <= *seen)
    }

    /// Whether everything that `other` covers is covered by this one.
    pub fn covers_all_of(&self, other: &Self) -> bool {
        let is_seen = |(source, seq): (&SourceId, &Seq)| self.seen.get(source).is_some_and(|seen| seq <= seen);
        other.place() <= self.place() && other.seen.iter().all(is_seen)
    }

    /// The marker at `place` of a device that holds `seen` and whose marker is `self`; `None` when that would be a step back.
    pub fn next(&self, place: (i64, &str), seen: BTreeMap<SourceId, Seq>) -> Option<Self> {
        if place < self.place() {
            return None;
        }
        let mut next = Self { created_us: place.0, id: place.1.to_owned(), seen };
        for (source, seq) in &self.seen {
            let seen = next.seen.entry(*source).or_insert(*seq);
            *seen = (*seen).max(*seq);
        }
        while next.seen.len() > MAX_SOURCES {
            next.seen.pop_last();
        }
        Some(next)
    }

    /// The place in the order of the conversation.
    pub fn place(&self) -> (i64, &str) {
        (self.created_us, &self.id)
    }

    /// The op that tells all devices of the marker that `device`, by its field, has in `conversation`.
    pub fn op(&self, conversation: &str, device: &str) -> Op {
        let value = Value { kind: Some(Kind::Bytes(self.to_bytes())) };
        Op::record_put(READ_COLLECTION, conversation, vec![(device.to_owned(), Some(value))])
    }

    /// The marker in a field; `None` when there is none that can be understood.
    pub fn of_value(value: &Value) -> Option<Self> {
        match &value.kind {
            Some(Kind::Bytes(bytes)) => Self::from_bytes(bytes),
            Some(
                Kind::Null(_)
                | Kind::Bool(_)
                | Kind::Int(_)
                | Kind::Float(_)
                | Kind::Text(_)
                | Kind::Timestamp(_)
                | Kind::Json(_),
            )
            | None => None,
        }
    }

    /// The bytes that are kept.
    pub fn to_bytes(&self) -> Vec<u8> {
        let seen = self.seen.iter().map(|(source, seq)| Seen { source: source.0.to_vec(), seq: seq.0 }).collect();
        Encoded { created_us: self.created_us, id: self.id.clone(), seen }.encode_to_vec()
    }

    /// Reads what [`Self::to_bytes`] wrote.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let Encoded { created_us, id, seen } = Encoded::decode(bytes).ok()?;
        if seen.len() > MAX_SOURCES {
            return None;
        }
        let source = |seen: Seen| Some((SourceId(seen.source.try_into().ok()?), Seq(seen.seq)));
        Some(Self { created_us, id, seen: seen.into_iter().map(source).collect::<Option<_>>()? })
    }
}

#[derive(Clone, PartialEq, Message)]
struct Encoded {
    #[prost(sint64, tag = "1")]
    created_us: i64,
    #[prost(string, tag = "2")]
    id: String,
    #[prost(message, repeated, tag = "3")]
    seen: Vec<Seen>,
}

#[derive(Clone, PartialEq, Message)]
struct Seen {
    #[prost(bytes = "vec", tag = "1")]
    source: Vec<u8>,
    #[prost(uint64, tag = "2")]
    seq: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: SourceId = SourceId([1; 16]);
    const B: SourceId = SourceId([2; 16]);

    fn marker(created_us: i64, id: &str, seen: &[(SourceId, u64)]) -> ReadMarker {
        ReadMarker {
            created_us,
            id: id.to_owned(),
            seen: seen.iter().map(|(source, seq)| (*source, Seq(*seq))).collect(),
        }
    }

    fn dot(source: SourceId, seq: u64) -> Dot {
        Dot { source, seq: Seq(seq) }
    }

    #[test]
    fn a_marker_covers_what_lies_up_to_its_place_and_was_there() {
        let at = marker(10, "m", &[(A, 3)]);
        assert!(at.covers(10, "m", dot(A, 3)), "the message itself");
        assert!(at.covers(10, "l", dot(A, 1)) && at.covers(9, "z", dot(A, 1)));
        assert!(!at.covers(10, "n", dot(A, 1)), "the next one by id");
        assert!(!at.covers(11, "a", dot(A, 1)), "a later one");
        assert!(!at.covers(9, "z", dot(A, 4)), "one that was not there");
        assert!(!at.covers(9, "z", dot(B, 1)), "one of a source that was not there");
    }

    #[test]
    fn a_marker_moves_forward_only_and_never_covers_less() {
        let first = marker(10, "m", &[(A, 3), (B, 7)]);
        let seen = |seq| BTreeMap::from([(A, Seq(seq))]);
        assert_eq!(first.next((10, "l"), seen(9)), None);
        assert_eq!(first.next((9, "z"), seen(9)), None);
        for next in [first.next((10, "m"), seen(9)).unwrap(), first.next((10, "n"), seen(1)).unwrap()] {
            assert!(next.covers_all_of(&first), "{next:?}");
        }
        assert_eq!(first.next((10, "m"), seen(9)), Some(marker(10, "m", &[(A, 9), (B, 7)])));
        assert_eq!(first.next((11, "a"), seen(1)), Some(marker(11, "a", &[(A, 3), (B, 7)])));
    }

    #[test]
    fn a_marker_covers_all_of_another_only_at_or_behind_its_place_with_all_that_it_saw() {
        let at = marker(10, "m", &[(A, 3), (B, 7)]);
        assert!(at.covers_all_of(&at) && at.covers_all_of(&marker(9, "z", &[(B, 7)])));
        for more in [marker(10, "n", &[]), marker(1, "a", &[(A, 4)]), marker(1, "a", &[(SourceId([3; 16]), 1)])] {
            assert!(!at.covers_all_of(&more), "{more:?}");
        }
    }

    #[test]
    fn a_marker_survives_its_op_and_foreign_bytes_are_none() {
        let at = marker(-10, "m", &[(A, 3), (B, u64::MAX)]);
        let op = at.op("family", "aa");
        assert_eq!((op.collection.as_str(), op.key.as_str()), (READ_COLLECTION, "family"));
        assert_eq!(op.fields[0].name, "aa");
        assert_eq!(ReadMarker::of_value(op.fields[0].value.as_ref().unwrap()), Some(at));
        assert_eq!(ReadMarker::of_value(&Value::text("x")), None);
        let short = Encoded { created_us: 1, id: "m".into(), seen: vec![Seen { source: vec![1; 15], seq: 1 }] };
        assert_eq!(ReadMarker::from_bytes(&short.encode_to_vec()), None);
        let many = Encoded { seen: vec![Seen { source: vec![1; 16], seq: 1 }; MAX_SOURCES + 1], ..short };
        assert_eq!(ReadMarker::from_bytes(&many.encode_to_vec()), None);
    }

    #[test]
    fn a_marker_names_no_more_sources_than_can_be_read_back() {
        let source = |n: u32| {
            let mut id = [0; 16];
            id[..4].copy_from_slice(&n.to_be_bytes());
            (SourceId(id), Seq(1))
        };
        let seen: BTreeMap<SourceId, Seq> = (0..2_000).map(source).collect();
        let next = ReadMarker::default().next((i64::MIN, "m"), seen).unwrap();
        assert_eq!(next.seen.len(), MAX_SOURCES);
        assert_eq!(ReadMarker::from_bytes(&next.to_bytes()), Some(next));
    }
}
