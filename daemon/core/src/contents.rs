//! Contents: what was said long ago, asked of a sibling when somebody wants to see it.
//!
//! A device that let go of a content ([`crate::stub`]) still has its hash, and asks for it by that. What comes is held against the hash before
//! it counts, so that it does not matter who gives it. Asked are those that gave their word to keep everything first ([`crate::bodies`]), then any
//! other live sibling; one at a time, and the next one when the answer is no or does not come.
//!
//! ```text
//! lacks                                              has
//!      │ ── wanted: [m1 with hash 5c…, m2 with hash 77…] ─▶ │
//!      │ ◀──────────── given: [payload of m1], missing: [m2 with hash 77…] │
//!      │  SHA-256 is 5c…: the stub becomes the post again   │
//! ```
//!
//! **No state at the giver.** One question gets one letter, with as much as fits. What came neither as given nor as missing is asked for again, at once if
//! anything came.
//!
//! **How long it stays.** A content that came back is as good as any other, and goes again with the next pruning that takes what is as old. *Not taken:*
//! a place of its own for what was fetched; it would have to be searched, counted and emptied beside the log, to save at most a day.

use bytes::Bytes;
use prost::Message;

use crate::bound;
use crate::bundle::MAX_BODY;
use crate::ids::Hash;
use crate::op::MAX_MESSAGE_ID;

/// Most contents that one letter asks for: with an id, a hash and framing, 256 of them are at most 43 KiB.
pub const MAX_WANTED: usize = 256;
/// Most bytes of the contents in one letter, unless the first alone is larger: 512 KiB. One of 1 MiB leaves room for a receipt (128 KiB), too.
pub const GIVEN_TARGET: usize = 512 * 1024;

/// What a letter says of contents.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Contents {
    /// The sender asks for these.
    pub wanted: Vec<Wanted>,
    /// The recipient asked for these.
    pub given: Vec<Content>,
    /// The recipient asked for these, and the sender does not have them.
    pub missing: Vec<Wanted>,
}

/// A content that is asked for.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Wanted {
    /// SHA-256 of the payload.
    pub content: Hash,
    /// The message's id.
    pub id: String,
}

/// A content that is given.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Content {
    /// The message's id.
    pub id: String,
    /// The payload of its post.
    pub payload: Bytes,
}

impl Contents {
    /// As it stands in a parcel; nothing when there is nothing to say.
    pub(crate) fn encode(&self) -> Bytes {
        let given =
            self.given.iter().map(|Content { id, payload }| GivenWire { id: id.clone(), payload: payload.clone() });
        let wire = ContentsWire {
            wanted: self.wanted.iter().map(WantedWire::from).collect(),
            given: given.collect(),
            missing: self.missing.iter().map(WantedWire::from).collect(),
        };
        wire.encode_to_vec().into()
    }

    /// Reads what a parcel says; `None` when it is nothing of the kind. Bounded: parts are counted before they are decoded.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        if !bound::has_at_most(bytes, ContentsWire::MAX_PARTS) {
            return None;
        }
        let ContentsWire { wanted, given, missing } = ContentsWire::decode(bytes).ok()?;
        if [wanted.len(), given.len(), missing.len()].iter().any(|count| *count > MAX_WANTED) {
            return None;
        }
        let given = given.into_iter().map(|GivenWire { id, payload }| {
            (is_id(&id) && (1..=MAX_BODY).contains(&payload.len())).then_some(Content { id, payload })
        });
        Some(Self {
            wanted: wanted.into_iter().map(WantedWire::read).collect::<Option<_>>()?,
            given: given.collect::<Option<_>>()?,
            missing: missing.into_iter().map(WantedWire::read).collect::<Option<_>>()?,
        })
    }
}

fn is_id(id: &str) -> bool {
    (1..=MAX_MESSAGE_ID).contains(&id.len())
}

#[derive(Clone, PartialEq, Message)]
struct ContentsWire {
    #[prost(message, repeated, tag = "1")]
    wanted: Vec<WantedWire>,
    #[prost(message, repeated, tag = "2")]
    given: Vec<GivenWire>,
    #[prost(message, repeated, tag = "3")]
    missing: Vec<WantedWire>,
}

impl ContentsWire {
    /// Most fields that its bytes may have: its own, and some of a newer version.
    const MAX_PARTS: usize = 3 * MAX_WANTED + 64;
}

#[derive(Clone, PartialEq, Message)]
struct WantedWire {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(bytes = "bytes", tag = "2")]
    content: Bytes,
}

impl From<&Wanted> for WantedWire {
    fn from(Wanted { content, id }: &Wanted) -> Self {
        Self { id: id.clone(), content: Bytes::copy_from_slice(&content.0) }
    }
}

impl WantedWire {
    fn read(self) -> Option<Wanted> {
        is_id(&self.id).then_some(Wanted { content: Hash::from_slice(&self.content)?, id: self.id })
    }
}

#[derive(Clone, PartialEq, Message)]
struct GivenWire {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(bytes = "bytes", tag = "2")]
    payload: Bytes,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(id: &str) -> Wanted {
        Wanted { content: Hash([7; 32]), id: id.into() }
    }

    fn given(id: &str, bytes: usize) -> Content {
        Content { id: id.into(), payload: vec![1; bytes].into() }
    }

    #[test]
    fn what_is_asked_and_given_survives_its_bytes_and_silence_takes_none() {
        let contents =
            Contents { wanted: vec![wanted("m")], given: vec![given("n", 9)], missing: vec![wanted("o"), wanted("p")] };
        assert_eq!(Contents::decode(&contents.encode()), Some(contents));
        assert!(Contents::default().encode().is_empty());
        assert_eq!(Contents::decode(&[]), Some(Contents::default()));
    }

    #[test]
    fn names_and_payloads_have_their_limits() {
        let reads = |contents: Contents| Contents::decode(&contents.encode()).is_some();
        let asks = |wanted: Vec<Wanted>| reads(Contents { wanted, ..Contents::default() });
        let gives = |given: Vec<Content>| reads(Contents { given, ..Contents::default() });
        assert!(
            asks(vec![wanted(&"m".repeat(MAX_MESSAGE_ID))]) && !asks(vec![wanted(&"m".repeat(MAX_MESSAGE_ID + 1))])
        );
        assert!(!asks(vec![wanted("")]));
        assert!(asks(vec![wanted("m"); MAX_WANTED]) && !asks(vec![wanted("m"); MAX_WANTED + 1]));
        assert!(gives(vec![given("m", MAX_BODY)]) && !gives(vec![given("m", MAX_BODY + 1)]));
        assert!(!gives(vec![given("m", 0)]) && !gives(vec![given("", 1)]));
        assert!(gives(vec![given("m", 1); MAX_WANTED]) && !gives(vec![given("m", 1); MAX_WANTED + 1]));
        let lacks = |count: usize| reads(Contents { missing: vec![wanted("m"); count], ..Contents::default() });
        assert!(lacks(MAX_WANTED) && !lacks(MAX_WANTED + 1));
    }

    #[test]
    fn strange_bytes_are_refused() {
        assert_eq!(Contents::decode(&[0xFF, 0xFF]), None);
        assert_eq!(Contents::decode(&[0x20, 0].repeat(10_000)), None, "more parts than there are");
        let short = WantedWire { id: "m".into(), content: Bytes::from_static(&[1; 31]) };
        let missing = ContentsWire { missing: vec![short.clone()], ..ContentsWire::default() };
        assert_eq!(Contents::decode(&missing.encode_to_vec()), None);
        assert_eq!(
            Contents::decode(&ContentsWire { wanted: vec![short], ..ContentsWire::default() }.encode_to_vec()),
            None
        );
    }
}
