//! Bundles, outwards: what each op touched, and how that stands now.

use ipc_proto::v1::{self, ChangeKind, change::Now};
use kinfolk_core::op::{MESSAGE_COLLECTION, Meaning};
use uuid::Uuid;

use super::{message, record};
use crate::store::{Entry, MessageView, RecordView};

/// What an op touched.
#[derive(Debug, Eq, PartialEq)]
pub(in crate::ipc) enum Touched {
    /// The record under the op's collection and key.
    Record(ChangeKind),
    /// The message of the op's key.
    Message(ChangeKind),
    /// Something that this version does not understand.
    Unknown,
    /// Nothing: the op breaks a rule.
    Nothing,
}

/// What an op touched, by what it means.
pub(in crate::ipc) fn touched(meaning: &Meaning) -> Touched {
    match meaning {
        Meaning::RecordPut => Touched::Record(ChangeKind::RecordPut),
        Meaning::RecordDelete => Touched::Record(ChangeKind::RecordDelete),
        Meaning::MessagePost(_) | Meaning::MessageStub(_) => Touched::Message(ChangeKind::MessagePost),
        Meaning::MessageStatus(..) => Touched::Message(ChangeKind::MessageStatus),
        Meaning::MessageDelete(_) => Touched::Message(ChangeKind::MessageDelete),
        Meaning::Unknown => Touched::Unknown,
        Meaning::Invalid(_) => Touched::Nothing,
    }
}

/// What changed without an op, by its collection.
pub(in crate::ipc) fn revised(collection: &str) -> Touched {
    let message = collection == MESSAGE_COLLECTION;
    if message { Touched::Message(ChangeKind::Revised) } else { Touched::Record(ChangeKind::Revised) }
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
