//! Records in conflict: listed, shown with what was written by whom, resolved by a person or an app.
//!
//! Whether a choice settles a conflict is decided by [`kinfolk_core::resolve`] alone. A resolution names the version of the record that the person
//! had before him; when that has moved on it is refused like any other write, and nothing happens.

mod watch;

use std::collections::{BTreeMap, BTreeSet};

use ipc_proto::v1::error_detail::Payload;
use ipc_proto::v1::resolve_conflict_request::Resolution;
use ipc_proto::v1::{
    self, Conflict, ConflictField, ConflictPolicy, ConflictVersion, ErrorCode, ErrorDetail, GetConflictRequest,
    ListConflictsRequest, ListConflictsResponse, MergedRecord, ResolveConflictRequest, ResolveConflictResponse,
    SetPolicyRequest, Side,
};
use kinfolk_core::ids::{BundleSeq, DeviceId, SourceId};
use kinfolk_core::merge::{self, EXISTENCE, Write};
use kinfolk_core::resolve::{self, Choice};
use kinfolk_core::step::Refusal;
use kinfolk_core::value::Value;
use tonic::Status;
use uuid::Uuid;

pub(super) use self::watch::watch;
use super::convert::{invalid, push, record, value};
use super::{error, page, read, records};
use crate::driver::PushError;
use crate::node::Node;
use crate::store::{ConflictPlace, ConflictView, Policy};

/// Conflicts of a page when no size was asked for.
const USUAL_PAGE: usize = 50;

/// A page of the records in conflict.
pub(super) async fn list(node: &Node, request: ListConflictsRequest) -> Result<ListConflictsResponse, Status> {
    let ListConflictsRequest { collection, page_size, page_token } = request;
    let (size, after) = (page::size(page_size, USUAL_PAGE), page::place(&page_token)?);
    let me = node.me;
    let page = read(&node.reader, move |reader| {
        let only = Some(collection.as_str()).filter(|name| !name.is_empty());
        let some = |after: Option<&ConflictPlace>, most| reader.conflicts(only, after, most);
        page::fill(after, size, some, |(place, _)| place.clone(), |(_, view)| show(me, &view, &BTreeMap::new()))
    });
    let page = page.await?;
    Ok(ListConflictsResponse { conflicts: page.items, next_page_token: page.next })
}

/// One record in conflict, with what its writes went out from.
pub(super) async fn get(node: &Node, request: GetConflictRequest) -> Result<Conflict, Status> {
    let GetConflictRequest { collection, key } = request;
    let found = read(&node.reader, move |reader| {
        let Some(view) = reader.conflict(&collection, &key)? else { return Ok(None) };
        let bases = reader.bases(&view)?;
        Ok(Some((view, bases)))
    });
    let (view, bases) = found.await?.ok_or_else(none)?;
    Ok(show(node.me, &view, &bases))
}

/// Settles a conflict, on all devices.
pub(super) async fn resolve(node: &Node, request: ResolveConflictRequest) -> Result<ResolveConflictResponse, Status> {
    let ResolveConflictRequest { collection, key, row_version, resolution } = request;
    push::ours(&collection).map_err(invalid)?;
    let name = (collection.clone(), key.clone());
    let view = read(&node.reader, move |reader| reader.conflict(&name.0, &name.1)).await?.ok_or_else(none)?;
    let choice = choice(node, &view, resolution)?;
    let op = resolve::resolve(&collection, &key, &view.registers, &choice).map_err(|why| {
        let hint = "`kin conflicts show` says who wrote what";
        ErrorDetail::new(ErrorCode::InvalidArgument, why.to_string()).hint(hint)
    })?;
    let base = BTreeMap::from([(0, BundleSeq(row_version))]);
    match node.driver.push_on(base, vec![op.clone()], None).await {
        Ok(pushed) => {
            let (source_id, seq, bundle_seq) = records::place(node, &pushed);
            Ok(ResolveConflictResponse { source_id, seq, bundle_seq })
        }
        Err(refused) => {
            let mut detail = error::alone(error::push(&refused, None));
            if let PushError::Refused(Refusal::RowChanged { base, version, .. }) = refused {
                let conflict = records::changed(node, &op, base, version).await?;
                detail = detail.payload(Payload::Conflict(conflict));
            }
            Err(detail.into())
        }
    }
}

/// Sets the policy of a collection, on all devices.
pub(super) async fn set_policy(node: &Node, request: SetPolicyRequest) -> Result<(), Status> {
    let op = push::policy(&request).map_err(invalid)?;
    let pushed = node.driver.push(vec![op], None).await;
    pushed.map(drop).map_err(|refused| error::alone(error::push(&refused, None)).into())
}

/// The policy of a collection.
pub(super) async fn policy(node: &Node, collection: String) -> Result<ConflictPolicy, Status> {
    Ok(match read(&node.reader, move |reader| reader.policy(&collection)).await? {
        Policy::Keep => ConflictPolicy::Keep,
        Policy::Lww => ConflictPolicy::Lww,
    })
}

fn none() -> ErrorDetail {
    ErrorDetail::new(ErrorCode::NotFound, "nothing of this record is in conflict")
}

/// What a request chooses, in terms of who wrote what.
fn choice(node: &Node, view: &ConflictView, resolution: Option<Resolution>) -> Result<Choice, Status> {
    let sources = |device: DeviceId| -> BTreeSet<SourceId> {
        let own = view.devices.iter().filter(|(_, owner)| **owner == device);
        own.map(|(source, _)| *source).collect()
    };
    match resolution {
        Some(Resolution::Take(side)) => match Side::try_from(side).unwrap_or_default() {
            Side::Mine => Ok(Choice::Of(sources(node.me))),
            Side::Theirs => Ok(Choice::NotOf(sources(node.me))),
            Side::Shown => Ok(Choice::Shown),
            Side::Unspecified => Err(invalid("a side is mine, theirs or shown").into()),
        },
        Some(Resolution::DeviceId(device)) => {
            let device = DeviceId::from_hex(&device).ok_or_else(|| invalid("a device id has 32 hex digits"))?;
            Ok(Choice::Of(sources(device)))
        }
        Some(Resolution::Merged(MergedRecord { fields, clear_fields })) => {
            let mut merged = BTreeMap::new();
            for (name, given) in fields {
                merged.insert(name, Some(value::read(given).map_err(invalid)?));
            }
            for name in clear_fields {
                if merged.insert(name, None).is_some() {
                    return Err(invalid("a field is written or cleared, not both").into());
                }
            }
            Ok(Choice::Merged(merged))
        }
        Some(Resolution::Delete(true)) => Ok(Choice::Gone),
        Some(Resolution::Delete(false)) | None => Err(invalid("a resolution says what becomes of the record").into()),
    }
}

/// A conflict as apps see it.
pub(super) fn show(me: DeviceId, view: &ConflictView, bases: &BTreeMap<String, Write>) -> Conflict {
    let fields = view.open().map(|(field, register)| {
        let shown = merge::shown(register).map(|shown| shown.dot);
        let version = |write: &Write| {
            let device = view.devices.get(&write.dot.source).copied();
            ConflictVersion {
                value: value_of(field, write),
                exists: write.value.is_some(),
                device_id: device.map(|device| device.to_string()).unwrap_or_default(),
                source_id: Uuid::from_bytes(write.dot.source.0).to_string(),
                seq: write.dot.seq.0,
                written_at_ms: write.stamp.millis().0,
                mine: device == Some(me),
                shown: Some(write.dot) == shown,
            }
        };
        let mut writes: Vec<&Write> = register.iter().collect();
        writes.sort_by_key(|write| std::cmp::Reverse((write.stamp, write.dot.source)));
        ConflictField {
            field: field.to_owned(),
            existence: field == EXISTENCE,
            versions: writes.into_iter().map(version).collect(),
            base: bases.get(field).map(version),
        }
    });
    Conflict {
        collection: view.collection.clone(),
        key: view.key.clone(),
        row_version: view.row_version.0,
        current: view.record.clone().map(record::show),
        fields: fields.collect(),
    }
}

fn value_of(field: &str, write: &Write) -> Option<v1::Value> {
    let bytes = write.value.as_deref().filter(|_| field != EXISTENCE)?;
    Value::from_bytes(bytes).map(value::show)
}
