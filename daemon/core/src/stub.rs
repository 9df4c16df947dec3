//! Stubs: what is left of a post whose content this device leaves to another one.
//!
//! A device may let go of old contents ([`crate::bodies`] says when). In the kept log the op of such a post is then a *stub*: all that places
//! the message — conversation, people, times, what it answers — and two hashes of what it said. The state is the same as with the content: the leaf
//! of the digest is over the hash, who wins under an id is decided by stamp and dot, and whether two contents differ by their hashes.
//!
//! ```text
//! post   { conversation, sender, …, text, attachments }
//! stub   { conversation, sender, …, SHA-256 of the payload, its hash in digests, its length }
//! ```
//!
//! Stubs are made only below the watermark, where bundles are no chain any more ([`crate::compact`]); a device that catches up gets them as they
//! are. A content that comes back is held against the hash before it counts.
//!
//! **Road not taken.** The op could keep its kind, with the content empty. A device of an earlier version would take that for the message.

use prost::Message;

use crate::bound;
use crate::ids::Hash;
use crate::merge;
use crate::op::{KIND_MESSAGE_POST, KIND_MESSAGE_STUB, MESSAGE_COLLECTION, MessageBody, Op};

/// A post without its content.
#[derive(Clone, Debug, PartialEq)]
pub struct Stub {
    /// The post; text, bytes and attachments are empty.
    pub post: MessageBody,
    /// What is known of the content.
    pub content: Elsewhere,
}

/// What is known of a content that is not here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Elsewhere {
    /// SHA-256 of the payload: tells whether two contents are the same.
    pub content: Hash,
    /// [`merge::value_hash`] of the payload: stands in the digest.
    pub value: Hash,
    /// Bytes of the payload.
    pub size: u64,
}

impl Elsewhere {
    /// What is known of a payload.
    pub fn of(payload: &[u8]) -> Self {
        let size = u64::try_from(payload.len()).unwrap_or(u64::MAX);
        Self { content: Hash::of(payload), value: merge::value_hash(Some(payload)), size }
    }
}

impl Stub {
    /// The stub of a post with that payload; `None` when it would save less than [`LEAST_GAIN`], or the payload is no post.
    pub fn of(payload: &[u8]) -> Option<Self> {
        let post = MessageBody::decode(payload).ok()?;
        let post = MessageBody { text: String::new(), bytes: Vec::new(), attachments: Vec::new(), ..post };
        let stub = Self { post, content: Elsewhere::of(payload) };
        (stub.to_payload().len() + LEAST_GAIN <= payload.len()).then_some(stub)
    }

    /// The payload of the op.
    pub fn to_payload(&self) -> Vec<u8> {
        let Elsewhere { content, value, size } = self.content;
        let (content, value) = (content.0.to_vec(), value.0.to_vec());
        StubWire { post: Some(self.post.clone()), content, value, size }.encode_to_vec()
    }

    /// Reads the payload of an op.
    pub(crate) fn read(payload: &[u8]) -> Result<Self, &'static str> {
        let wire = StubWire::decode(payload).map_err(|_| "the stub is unreadable")?;
        let post = wire.post.ok_or("a stub says what was posted where")?;
        let hash = |bytes: &[u8]| Hash::from_slice(bytes).ok_or("a stub has two hashes of 32 bytes");
        let content = Elsewhere { content: hash(&wire.content)?, value: hash(&wire.value)?, size: wire.size };
        if post.text.is_empty() && post.bytes.is_empty() && post.attachments.is_empty() {
            Ok(Self { post, content })
        } else {
            Err("a stub has no content")
        }
    }
}

/// A body in which the post of `id` with that payload is a stub; `None` when there is no such post in it, or nothing to gain.
pub fn shorten(body: &[u8], id: &str, payload: &[u8]) -> Option<Vec<u8>> {
    let stub = Stub::of(payload)?.to_payload();
    exchange(body, |op| {
        let is_it = op.kind == KIND_MESSAGE_POST && is_message(op, id) && op.payload == payload;
        is_it.then(|| Op { kind: KIND_MESSAGE_STUB, payload: stub.clone(), ..op.clone() })
    })
}

/// A body in which all posts for which `choose` says so are stubs; `None` when that changes nothing.
pub fn shorten_all(body: &[u8], mut choose: impl FnMut(&MessageBody) -> bool) -> Option<Vec<u8>> {
    exchange(body, |op| {
        if op.kind != KIND_MESSAGE_POST || op.collection != MESSAGE_COLLECTION {
            return None;
        }
        MessageBody::decode(op.payload.as_slice()).ok().filter(|post| choose(post))?;
        let payload = Stub::of(&op.payload)?.to_payload();
        Some(Op { kind: KIND_MESSAGE_STUB, payload, ..op.clone() })
    })
}

/// A body in which the stub of `id` is the post again that it was made of; `None` when there is no stub of that content.
pub fn restore(body: &[u8], id: &str, payload: &[u8]) -> Option<Vec<u8>> {
    let content = Elsewhere::of(payload);
    exchange(body, |op| {
        let is_it = op.kind == KIND_MESSAGE_STUB && is_message(op, id);
        let stub = Stub::read(&op.payload).ok().filter(|_| is_it)?;
        (stub.content == content).then(|| Op { kind: KIND_MESSAGE_POST, payload: payload.to_vec(), ..op.clone() })
    })
}

fn is_message(op: &Op, id: &str) -> bool {
    op.collection == MESSAGE_COLLECTION && op.key == id
}

/// A body with other ops in the place of some. All else, known or not, is copied as it stands.
fn exchange(body: &[u8], mut other: impl FnMut(&Op) -> Option<Op>) -> Option<Vec<u8>> {
    let mut left = Vec::with_capacity(body.len());
    let mut changed = false;
    let mut rest = body;
    while !rest.is_empty() {
        let (tag, after) = bound::field(rest)?;
        let field = rest.get(..rest.len() - after.len())?;
        let op = if tag == TAG_OP { BodyOp::decode(field).ok().and_then(|read| read.op) } else { None };
        match op.and_then(|op| other(&op)) {
            Some(op) => {
                BodyOp { op: Some(op) }.encode(&mut left).ok()?;
                changed = true;
            }
            None => left.extend_from_slice(field),
        }
        rest = after;
    }
    changed.then_some(left)
}

/// The least that a stub saves, in bytes. Short messages stay whole: with two hashes a stub would be no smaller.
pub const LEAST_GAIN: usize = 64;

/// Ops of a body, as [`crate::bundle`] writes them.
const TAG_OP: u64 = 5;

/// One op, as it stands in a body.
#[derive(Clone, PartialEq, Message)]
struct BodyOp {
    #[prost(message, optional, tag = "5")]
    op: Option<Op>,
}

#[derive(Clone, PartialEq, Message)]
struct StubWire {
    #[prost(message, optional, tag = "1")]
    post: Option<MessageBody>,
    #[prost(bytes = "vec", tag = "2")]
    content: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    value: Vec<u8>,
    #[prost(uint64, tag = "4")]
    size: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::{Body, Bundle};
    use crate::clock::Stamp;
    use crate::ids::{Dot, Seq, SourceId};
    use crate::op::{Attachment, Meaning};

    fn post() -> MessageBody {
        MessageBody {
            conversation: "family".into(),
            sender: "ada".into(),
            text: "a long story ".repeat(30),
            created_us: Some(5),
            reply_to: "m0".into(),
            attachments: vec![Attachment { name: "a.png".into(), ..Attachment::default() }],
            ..MessageBody::default()
        }
    }

    fn body(ops: Vec<Op>) -> Vec<u8> {
        let dot = Dot { source: SourceId([1; 16]), seq: Seq(1) };
        let body = Body { stamp: Stamp(9), ops, ..Body::default() };
        let mut bytes = Bundle::write(dot, Hash::default(), body).unwrap().bytes.to_vec();
        // Something a newer version wrote.
        bytes.extend_from_slice(&[0x7A, 3, 1, 2, 3]);
        bytes
    }

    fn ops(body: &[u8]) -> Vec<Op> {
        let dot = Dot { source: SourceId([1; 16]), seq: Seq(1) };
        Bundle::rebuild(dot, Hash::default(), body.to_vec().into()).unwrap().ops().to_vec()
    }

    #[test]
    fn a_stub_places_its_message_and_says_nothing_of_what_was_said() {
        let op = Op::message_post("m", &post());
        let short = shorten(&body(vec![op.clone()]), "m", &op.payload).unwrap();
        let [stub] = ops(&short).try_into().unwrap();
        let Meaning::MessageStub(stub) = stub.meaning() else { panic!("{stub:?}") };
        assert_eq!((stub.post.conversation.as_str(), stub.post.reply_to.as_str()), ("family", "m0"));
        assert_eq!((stub.post.text.as_str(), stub.post.attachments.len()), ("", 0));
        assert_eq!(stub.content, Elsewhere::of(&op.payload));
        assert!(!short.windows(4).any(|window| window == b"long"));
    }

    #[test]
    fn a_content_that_comes_back_makes_the_body_what_it_was() {
        let kept = Op::record_delete("notes", "a");
        let op = Op::message_post("m", &post());
        let whole = body(vec![kept.clone(), op.clone(), kept]);
        let short = shorten(&whole, "m", &op.payload).unwrap();
        assert!(short.len() + LEAST_GAIN <= whole.len());
        assert_eq!(restore(&short, "m", &op.payload).unwrap(), whole);
        let other = MessageBody { text: "another story".into(), ..post() }.encode_to_vec();
        assert_eq!(restore(&short, "m", &other), None, "another content than the one that went");
        assert_eq!(restore(&short, "n", &op.payload), None);
        assert_eq!(shorten(&short, "m", &op.payload), None, "there is no post any more");
    }

    #[test]
    fn what_is_short_stays_whole() {
        let short = MessageBody { text: "ok".into(), attachments: Vec::new(), ..post() };
        assert_eq!(Stub::of(&short.encode_to_vec()), None);
        let op = Op::message_post("m", &short);
        assert_eq!(shorten(&body(vec![op.clone()]), "m", &op.payload), None);
    }

    #[test]
    fn a_stub_with_a_content_or_without_hashes_means_nothing() {
        let stub = Stub::of(&post().encode_to_vec()).unwrap();
        let op = |payload: Vec<u8>| Op { kind: KIND_MESSAGE_STUB, payload, ..Op::message_post("m", &post()) };
        assert!(matches!(op(stub.to_payload()).meaning(), Meaning::MessageStub(_)));
        assert!(matches!(op(stub.to_payload()).meaning_at(KIND_MESSAGE_STUB - 1), Meaning::Unknown));
        let talking = Stub { post: post(), ..stub.clone() };
        assert!(matches!(op(talking.to_payload()).meaning(), Meaning::Invalid(_)));
        let nowhere = Stub { post: MessageBody::default(), ..stub };
        assert!(matches!(op(nowhere.to_payload()).meaning(), Meaning::Invalid(_)));
        assert!(matches!(op(Vec::new()).meaning(), Meaning::Invalid(_)));
    }

    #[test]
    fn all_posts_of_a_body_that_are_chosen_become_stubs() {
        let old = Op::message_post("m", &post());
        let new = Op::message_post("n", &MessageBody { created_us: Some(50), ..post() });
        let short = shorten_all(&body(vec![old, new.clone()]), |post| post.created_us < Some(9)).unwrap();
        let [first, second] = ops(&short).try_into().unwrap();
        assert_eq!((first.kind, second), (KIND_MESSAGE_STUB, new));
        assert_eq!(shorten_all(&short, |post| post.created_us < Some(9)), None);
    }

    #[test]
    fn a_stub_keeps_no_bytes_and_is_made_when_it_saves_just_enough() {
        let told = |bytes: usize| MessageBody {
            bytes: vec![7; bytes],
            text: String::new(),
            attachments: Vec::new(),
            ..post()
        };
        let least = (0..400).find(|bytes| Stub::of(&told(*bytes).encode_to_vec()).is_some()).unwrap();
        let payload = told(least).encode_to_vec();
        let stub = Stub::of(&payload).unwrap();
        assert_eq!((stub.post.bytes.len(), stub.to_payload().len() + LEAST_GAIN), (0, payload.len()));
    }

    #[test]
    fn a_stub_with_any_part_of_a_content_is_unreadable() {
        let stub = Stub::of(&post().encode_to_vec()).unwrap();
        let bare = MessageBody { text: String::new(), attachments: Vec::new(), ..post() };
        assert_eq!(Stub::read(&Stub { post: bare.clone(), ..stub.clone() }.to_payload()), Ok(stub.clone()));
        for talking in [
            MessageBody { text: "x".into(), ..bare.clone() },
            MessageBody { bytes: vec![1], ..bare.clone() },
            MessageBody { attachments: post().attachments, ..bare },
        ] {
            assert!(Stub::read(&Stub { post: talking, ..stub.clone() }.to_payload()).is_err());
        }
    }

    #[test]
    fn only_the_post_itself_becomes_a_stub() {
        let op = Op::message_post("m", &post());
        let elsewhere = Op { collection: "notes".into(), ..op.clone() };
        let other = Op { payload: MessageBody { text: "y".repeat(400), ..post() }.encode_to_vec(), ..op.clone() };
        let named = Op { key: "n".into(), ..op.clone() };
        let put = Op { kind: Op::record_delete("notes", "a").kind, ..op.clone() };
        for untouched in [elsewhere.clone(), other, named, put.clone()] {
            assert_eq!(shorten(&body(vec![untouched]), "m", &op.payload), None);
        }
        for untouched in [elsewhere, put] {
            assert_eq!(shorten_all(&body(vec![untouched]), |_| true), None);
        }
        let short = shorten_all(&body(vec![op.clone()]), |_| true).unwrap();
        assert_eq!(ops(&short)[0].payload, Stub::of(&op.payload).unwrap().to_payload());
    }
}
