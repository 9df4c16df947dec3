//! Ops: one change to one entity each, all in one outer shape.
//!
//! The outer shape — kind, collection, key, fields, payload — never changes, so a device that does not know a kind still
//! keeps the op, orders it, and forwards it. [`Op::meaning`] is the pure rule that says what an op does: an op that breaks
//! a rule is [`Meaning::Invalid`] and has no effect anywhere; an unknown kind is [`Meaning::Unknown`] and waits for an upgrade.
//!
//! Collections that begin with `@` belong to kinfolk: `@message` holds messages (key = message id), `@conversation` the
//! metadata of conversations, `@read` the [read markers](crate::marker) that reach all devices, `@collection` the policies of collections.

use prost::Message;

use crate::stub::Stub;
use crate::value::Value;

/// One change to one entity, as it stands in a bundle.
#[derive(Clone, PartialEq, Message)]
pub struct Op {
    /// What it does: one of the `KIND_*` constants, or a number from a newer version.
    #[prost(uint32, tag = "1")]
    pub kind: u32,
    /// Which collection the entity is in.
    #[prost(string, tag = "2")]
    pub collection: String,
    /// Which entity.
    #[prost(string, tag = "3")]
    pub key: String,
    /// Field writes (records).
    #[prost(message, repeated, tag = "4")]
    pub fields: Vec<Field>,
    /// Kind-specific content (messages).
    #[prost(bytes = "vec", tag = "5")]
    pub payload: Vec<u8>,
}

/// One write to one field. Without a value it writes *absent*: the field is gone.
#[derive(Clone, PartialEq, Message)]
pub struct Field {
    /// Name, 1 to [`MAX_FIELD_NAME`] bytes.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The value; none means absent.
    #[prost(message, optional, tag = "2")]
    pub value: Option<Value>,
}

/// Writes fields of a record and makes it exist.
pub const KIND_RECORD_PUT: u32 = 1;
/// Makes a record not exist; its fields keep their dots.
pub const KIND_RECORD_DELETE: u32 = 2;
/// An immutable message; payload [`MessageBody`].
pub const KIND_MESSAGE_POST: u32 = 3;
/// A step of a message's status; payload [`StatusBody`].
pub const KIND_MESSAGE_STATUS: u32 = 4;
/// The tombstone of a message; payload [`DeleteBody`].
pub const KIND_MESSAGE_DELETE: u32 = 5;
/// What is left of a post whose content is kept elsewhere: only in kept logs ([`crate::stub`]).
pub const KIND_MESSAGE_STUB: u32 = 6;

/// Greatest op kind this version understands; parcels report it, so that digests are compared only between equals.
pub const OP_LEVEL: u32 = KIND_MESSAGE_STUB;

/// Where messages live.
pub const MESSAGE_COLLECTION: &str = "@message";
/// Where conversation metadata lives.
pub const CONVERSATION_COLLECTION: &str = "@conversation";
/// Where collection policies live.
pub const POLICY_COLLECTION: &str = "@collection";

/// The content of a message. All of it is immutable; the same bytes mean the same message.
#[derive(Clone, PartialEq, Message)]
pub struct MessageBody {
    /// Which conversation; 1 to [`MAX_KEY`] bytes.
    #[prost(string, tag = "1")]
    pub conversation: String,
    /// Who wrote it, as the app names people.
    #[prost(string, tag = "2")]
    pub sender: String,
    /// To whom, as the app names people; empty in a group.
    #[prost(string, repeated, tag = "3")]
    pub recipients: Vec<String>,
    /// Group name or id, when it is one.
    #[prost(string, tag = "4")]
    pub group: String,
    /// Whether the person sent it (else received).
    #[prost(bool, tag = "5")]
    pub outbound: bool,
    /// Text, or the empty string when `bytes` holds the body.
    #[prost(string, tag = "6")]
    pub text: String,
    /// A body that is not text.
    #[prost(bytes = "vec", tag = "7")]
    pub bytes: Vec<u8>,
    /// Media type; empty means plain text.
    #[prost(string, tag = "8")]
    pub content_type: String,
    /// Creation time as the app gave it (RFC 3339); empty when it gave none.
    #[prost(string, tag = "9")]
    pub created_at: String,
    /// The instant of `created_at` in microseconds since the Unix epoch; absent when the app gave none (then the bundle's
    /// stamp is the time).
    #[prost(sint64, optional, tag = "10")]
    pub created_us: Option<i64>,
    /// Id of the message this one answers.
    #[prost(string, tag = "11")]
    pub reply_to: String,
    /// What files belong to it. Only their metadata travels.
    #[prost(message, repeated, tag = "12")]
    pub attachments: Vec<Attachment>,
}

/// Metadata of a file that stays where it is. An absent file is normal.
#[derive(Clone, PartialEq, Message)]
pub struct Attachment {
    /// File name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Media type.
    #[prost(string, tag = "2")]
    pub content_type: String,
    /// Size in bytes.
    #[prost(uint64, tag = "3")]
    pub size: u64,
    /// SHA-256 of the file, when known.
    #[prost(bytes = "vec", tag = "4")]
    pub sha256: Vec<u8>,
    /// Where the origin keeps it; never opened by kinfolk.
    #[prost(string, tag = "5")]
    pub location: String,
}

/// A status step.
#[derive(Clone, PartialEq, Message)]
pub struct StatusBody {
    /// 1 sent, 2 delivered, 3 read.
    #[prost(uint32, tag = "1")]
    pub level: u32,
    /// When, in microseconds since the Unix epoch; absent means the bundle's stamp.
    #[prost(sint64, optional, tag = "2")]
    pub at_us: Option<i64>,
}

/// A deletion.
#[derive(Clone, PartialEq, Message)]
pub struct DeleteBody {
    /// When, in microseconds since the Unix epoch; absent means the bundle's stamp.
    #[prost(sint64, optional, tag = "1")]
    pub at_us: Option<i64>,
}

/// Where a message stands on its way. Only grows.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Level {
    /// Left the sender.
    Sent,
    /// Reached the recipient.
    Delivered,
    /// Was read.
    Read,
}

impl Level {
    /// All levels, lowest first.
    pub const ALL: [Self; 3] = [Self::Sent, Self::Delivered, Self::Read];

    /// The number that stands in a [`StatusBody`].
    pub fn number(self) -> u32 {
        match self {
            Self::Sent => 1,
            Self::Delivered => 2,
            Self::Read => 3,
        }
    }

    /// The level with that number.
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.number() == number)
    }

    /// The name used in the API, in exports and in digests.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Read => "read",
        }
    }
}

/// What an op does. The only interpretation of ops there is.
#[derive(Clone, Debug, PartialEq)]
pub enum Meaning {
    /// Writes fields of the record `(collection, key)` and makes it exist.
    RecordPut,
    /// Deletes the record `(collection, key)`.
    RecordDelete,
    /// Posts the message `key`.
    MessagePost(Box<MessageBody>),
    /// Moves the message `key` to a level.
    MessageStatus(Level, Option<i64>),
    /// Deletes the message `key`.
    MessageDelete(Option<i64>),
    /// Posts the message `key`; its content is elsewhere.
    MessageStub(Box<Stub>),
    /// A kind from a newer version: kept, forwarded, applied after an upgrade.
    Unknown,
    /// Breaks a rule: no effect, on every device alike.
    Invalid(&'static str),
}

impl Op {
    /// Says what the op does.
    pub fn meaning(&self) -> Meaning {
        self.meaning_at(OP_LEVEL)
    }

    /// Says what the op does on a device that understands kinds up to `level`.
    pub fn meaning_at(&self, level: u32) -> Meaning {
        if self.kind > level {
            return Meaning::Unknown;
        }
        match self.try_meaning() {
            Ok(meaning) => meaning,
            Err(reason) => Meaning::Invalid(reason),
        }
    }

    fn try_meaning(&self) -> Result<Meaning, &'static str> {
        let record = || {
            check(length(&self.collection, MAX_COLLECTION), "a collection name has 1 to 128 bytes")?;
            check(self.collection != MESSAGE_COLLECTION, "the collection @message holds messages, not records")?;
            check(length(&self.key, MAX_KEY), "a record key has 1 to 256 bytes")?;
            check(self.payload.is_empty(), "a record op has no payload")
        };
        let message = || {
            check(self.collection == MESSAGE_COLLECTION, "a message lives in the collection @message")?;
            check(length(&self.key, MAX_MESSAGE_ID), "a message id has 1 to 128 bytes")?;
            check(self.fields.is_empty(), "a message op has no fields")
        };
        match self.kind {
            KIND_RECORD_PUT => {
                record()?;
                check(self.fields.len() <= MAX_FIELDS, "a record op has at most 256 fields")?;
                let names_fit = self.fields.iter().all(|field| length(&field.name, MAX_FIELD_NAME));
                check(names_fit, "a field name has 1 to 128 bytes")?;
                let mut names: Vec<_> = self.fields.iter().map(|field| field.name.as_str()).collect();
                names.sort_unstable();
                check(names.windows(2).all(|pair| pair.first() != pair.get(1)), "a record op names a field once")?;
                Ok(Meaning::RecordPut)
            }
            KIND_RECORD_DELETE => {
                record()?;
                check(self.fields.is_empty(), "a deletion names no fields")?;
                Ok(Meaning::RecordDelete)
            }
            KIND_MESSAGE_POST => {
                message()?;
                let body =
                    MessageBody::decode(self.payload.as_slice()).map_err(|_| "the message body is unreadable")?;
                check(length(&body.conversation, MAX_KEY), "a conversation name has 1 to 256 bytes")?;
                check(body.text.is_empty() || body.bytes.is_empty(), "a body is text or bytes, not both")?;
                check(body.attachments.len() <= MAX_ATTACHMENTS, "a message has at most 256 attachments")?;
                Ok(Meaning::MessagePost(Box::new(body)))
            }
            KIND_MESSAGE_STATUS => {
                message()?;
                let body = StatusBody::decode(self.payload.as_slice()).map_err(|_| "the status is unreadable")?;
                let level = Level::from_number(body.level).ok_or("a status is sent, delivered or read")?;
                Ok(Meaning::MessageStatus(level, body.at_us))
            }
            KIND_MESSAGE_DELETE => {
                message()?;
                let body = DeleteBody::decode(self.payload.as_slice()).map_err(|_| "the deletion is unreadable")?;
                Ok(Meaning::MessageDelete(body.at_us))
            }
            KIND_MESSAGE_STUB => {
                message()?;
                let stub = Stub::read(&self.payload)?;
                check(length(&stub.post.conversation, MAX_KEY), "a conversation name has 1 to 256 bytes")?;
                Ok(Meaning::MessageStub(Box::new(stub)))
            }
            0 => Err("an op has a kind"),
            _ => Ok(Meaning::Unknown),
        }
    }

    /// Writes fields of a record; `None` makes a field absent.
    pub fn record_put(collection: &str, key: &str, fields: Vec<(String, Option<Value>)>) -> Self {
        let fields = fields.into_iter().map(|(name, value)| Field { name, value }).collect();
        Self { kind: KIND_RECORD_PUT, collection: collection.into(), key: key.into(), fields, payload: Vec::new() }
    }

    /// Deletes a record.
    pub fn record_delete(collection: &str, key: &str) -> Self {
        let (collection, key) = (collection.into(), key.into());
        Self { kind: KIND_RECORD_DELETE, collection, key, fields: Vec::new(), payload: Vec::new() }
    }

    /// Posts a message.
    pub fn message_post(id: &str, body: &MessageBody) -> Self {
        Self::message(KIND_MESSAGE_POST, id, body.encode_to_vec())
    }

    /// Moves a message to `level`.
    pub fn message_status(id: &str, level: Level, at_us: Option<i64>) -> Self {
        Self::message(KIND_MESSAGE_STATUS, id, StatusBody { level: level.number(), at_us }.encode_to_vec())
    }

    /// Deletes a message.
    pub fn message_delete(id: &str, at_us: Option<i64>) -> Self {
        Self::message(KIND_MESSAGE_DELETE, id, DeleteBody { at_us }.encode_to_vec())
    }

    fn message(kind: u32, id: &str, payload: Vec<u8>) -> Self {
        Self { kind, collection: MESSAGE_COLLECTION.into(), key: id.into(), fields: Vec::new(), payload }
    }
}

/// Longest collection name, in bytes of UTF-8.
pub const MAX_COLLECTION: usize = 128;
/// Longest record key or conversation name, in bytes of UTF-8.
pub const MAX_KEY: usize = 256;
/// Longest message id, in bytes of UTF-8.
pub const MAX_MESSAGE_ID: usize = 128;
/// Longest field name, in bytes of UTF-8.
pub const MAX_FIELD_NAME: usize = 128;
/// Most fields in one op.
pub const MAX_FIELDS: usize = 256;
/// Most attachments of one message.
pub const MAX_ATTACHMENTS: usize = 256;

fn length(text: &str, max: usize) -> bool {
    (1..=max).contains(&text.len())
}

fn check(holds: bool, rule: &'static str) -> Result<(), &'static str> {
    if holds { Ok(()) } else { Err(rule) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_levels_never_change_for_they_are_part_of_digests() {
        assert_eq!(Level::ALL.map(Level::name), ["sent", "delivered", "read"]);
        assert_eq!(Level::ALL.map(Level::number), [1, 2, 3]);
    }

    #[test]
    fn an_op_that_breaks_a_rule_means_nothing() {
        let put = Op::record_put("notes", "a", vec![("title".into(), Some(Value::text("x")))]);
        assert_eq!(put.meaning(), Meaning::RecordPut);
        let twice = Op { fields: vec![put.fields[0].clone(), put.fields[0].clone()], ..put.clone() };
        assert_eq!(twice.meaning(), Meaning::Invalid("a record op names a field once"));
        let nameless = Op { key: String::new(), ..put.clone() };
        assert!(matches!(nameless.meaning(), Meaning::Invalid(_)));
        let level = Op::message(KIND_MESSAGE_STATUS, "m", StatusBody { level: 4, at_us: None }.encode_to_vec());
        assert!(matches!(level.meaning(), Meaning::Invalid(_)));
        assert!(matches!(Op { kind: 0, ..put }.meaning(), Meaning::Invalid(_)));
    }

    #[test]
    fn an_op_of_a_newer_version_is_unknown_not_invalid() {
        let op = Op { kind: 99, collection: "notes".into(), key: "a".into(), ..Op::default() };
        assert_eq!(op.meaning(), Meaning::Unknown);
        assert_eq!(Op::message_delete("m", None).meaning_at(KIND_MESSAGE_DELETE - 1), Meaning::Unknown);
        assert_eq!(Op::message_delete("m", None).meaning_at(KIND_MESSAGE_DELETE), Meaning::MessageDelete(None));
    }

    #[test]
    fn a_message_id_has_1_to_128_bytes() {
        let body = MessageBody { conversation: "c".into(), ..MessageBody::default() };
        assert!(matches!(Op::message_post(&"x".repeat(128), &body).meaning(), Meaning::MessagePost(_)));
        assert!(matches!(Op::message_post(&"x".repeat(129), &body).meaning(), Meaning::Invalid(_)));
    }
}
