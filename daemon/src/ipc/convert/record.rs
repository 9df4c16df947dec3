//! Records, outwards.

use ipc_proto::v1;
use ipc_proto::v1::export_item::Item as ExportedItem;
use ipc_proto::v1::snapshot_item::Item as SnapshotItem;
use kinfolk_core::conversation::Metadata;
use kinfolk_core::merge::EXISTENCE;
use kinfolk_core::op::{CONVERSATION_COLLECTION, POLICY_COLLECTION};
use kinfolk_core::value::{Kind, Value};

use super::{conversation, value};
use crate::store::{Policy, RecordView};

/// A record as apps see it. That siblings disagree about its very existence is not a field of it.
pub(in crate::ipc) fn show(record: RecordView) -> v1::Record {
    v1::Record {
        collection: record.collection,
        key: record.key,
        fields: record.fields.into_iter().map(|(name, field)| (name, value::show(field))).collect(),
        row_version: record.row_version.0,
        conflicts: record.conflicts.into_iter().filter(|field| field != EXISTENCE).collect(),
    }
}

/// A record of a snapshot: what is known of a conversation is told as that.
pub(in crate::ipc) fn show_in_snapshot(record: RecordView) -> SnapshotItem {
    if record.collection != CONVERSATION_COLLECTION {
        return SnapshotItem::Record(show(record));
    }
    let metadata = conversation::show_metadata((metadata(&record), record.row_version));
    let shown = v1::Conversation { name: record.key, metadata: Some(metadata), ..v1::Conversation::default() };
    SnapshotItem::Conversation(shown)
}

/// A record of an export: what kinfolk itself keeps is told as the call that writes it.
pub(in crate::ipc) fn show_in_export(record: RecordView) -> ExportedItem {
    match record.collection.as_str() {
        CONVERSATION_COLLECTION => {
            let metadata = metadata(&record);
            ExportedItem::Conversation(conversation::show_as_change(record.key, &metadata))
        }
        POLICY_COLLECTION => {
            let named = record.fields.iter().find(|(field, _)| field == Policy::FIELD);
            let policy = match named.map(|(_, value)| value) {
                Some(Value { kind: Some(Kind::Text(name)) }) if name == Policy::Lww.name() => v1::ConflictPolicy::Lww,
                Some(_) | None => v1::ConflictPolicy::Keep,
            };
            ExportedItem::Policy(v1::SetPolicyRequest { collection: record.key, policy: policy.into() })
        }
        _records => ExportedItem::Record(show(record)),
    }
}

fn metadata(record: &RecordView) -> Metadata {
    Metadata::of_fields(record.fields.iter().map(|(field, value)| (field.as_str(), value)))
}
