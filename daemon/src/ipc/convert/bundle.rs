//! Bundles, outwards: what each op touched, and how that stands now.

use ipc_proto::v1::{self, ChangeKind, change::Now};
use kinfolk_core::marker::READ_COLLECTION;
use kinfolk_core::op::{CONVERSATION_COLLECTION, MESSAGE_COLLECTION, Meaning, Op};
use uuid::Uuid;

use super::{conversation, message, record};
use crate::store::{ConversationView, Entry, MessageView, RecordView};

/// What an op touched.
#[derive(Debug, Eq, PartialEq)]
pub(in crate::ipc) enum Touched {
    /// The record under the op's collection and key.
    Record(ChangeKind),
    /// The message of the op's key.
    Message(ChangeKind),
    /// The conversation of the op's key: its metadata, or its read marker.
    Conversation(ChangeKind),
    /// Something that this version does not understand.
    Unknown,
    /// Nothing: the op breaks a rule.
    Nothing,
}

/// What an op touched.
pub(in crate::ipc) fn touched(op: &Op) -> Touched {
    match op.meaning() {
        Meaning::RecordPut => in_collection(&op.collection, ChangeKind::RecordPut),
        Meaning::RecordDelete => in_collection(&op.collection, ChangeKind::RecordDelete),
        Meaning::MessagePost(_) | Meaning::MessageStub(_) => Touched::Message(ChangeKind::MessagePost),
        Meaning::MessageStatus(..) => Touched::Message(ChangeKind::MessageStatus),
        Meaning::MessageDelete(_) => Touched::Message(ChangeKind::MessageDelete),
        Meaning::Unknown => Touched::Unknown,
        Meaning::Invalid(_) => Touched::Nothing,
    }
}

/// What changed without an op, by its collection.
pub(in crate::ipc) fn revised(collection: &str) -> Touched {
    match collection {
        MESSAGE_COLLECTION => Touched::Message(ChangeKind::Revised),
        CONVERSATION_COLLECTION | READ_COLLECTION => Touched::Conversation(ChangeKind::Revised),
        _records => Touched::Record(ChangeKind::Revised),
    }
}

fn in_collection(collection: &str, kind: ChangeKind) -> Touched {
    match collection {
        CONVERSATION_COLLECTION => Touched::Conversation(ChangeKind::Conversation),
        READ_COLLECTION => Touched::Conversation(ChangeKind::ReadMarker),
        _records => Touched::Record(kind),
    }
}

/// A touched conversation as it stands.
pub(in crate::ipc) fn conversation_change(kind: ChangeKind, name: String, now: Option<ConversationView>) -> v1::Change {
    let gone = || v1::Conversation { name, ..v1::Conversation::default() };
    let now = Now::Conversation(now.map_or_else(gone, conversation::show));
    v1::Change { kind: kind.into(), now: Some(now) }
}

/// A touched record as it stands.
pub(in crate::ipc) fn record_change(
    kind: ChangeKind,
    collection: String,
    key: String,
    now: Option<RecordView>,
) -> v1::Change {
    let now = match now {
        Some(view) => Now::Record(record::show(view)),
        None => Now::RecordGone(v1::RecordName { collection, key }),
    };
    v1::Change { kind: kind.into(), now: Some(now) }
}

/// A touched message as it stands. A deletion forgets the conversation.
pub(in crate::ipc) fn message_change(kind: ChangeKind, id: String, now: Option<MessageView>) -> v1::Change {
    let now = match now {
        Some(view) => Now::Message(message::show(view)),
        None => Now::MessageGone(v1::MessageName { conversation: String::new(), id }),
    };
    v1::Change { kind: kind.into(), now: Some(now) }
}

/// A place of the order with its changes.
pub(in crate::ipc) fn show(entry: &Entry, changes: Vec<v1::Change>) -> v1::Bundle {
    match entry {
        Entry::Bundle(bundle) => v1::Bundle {
            bundle_seq: bundle.bundle_seq.0,
            device_id: bundle.device.to_string(),
            source_id: Uuid::from_bytes(bundle.dot.source.0).to_string(),
            seq: bundle.dot.seq.0,
            written_at_ms: bundle.stamp.millis().0,
            changes,
        },
        Entry::Revision(place, _) => v1::Bundle { bundle_seq: place.0, changes, ..v1::Bundle::default() },
    }
}
