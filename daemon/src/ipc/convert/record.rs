//! Records, outwards.

use ipc_proto::v1;
use kinfolk_core::merge::EXISTENCE;

use super::value;
use crate::store::RecordView;

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
