//! The JSON of what the daemon answers. Names here are read by scripts: they are only ever added to.

mod conversation;

use ipc_proto::v1::{
    App, BodyElsewhere, BodyReach, Bundle, Change, ChangeKind, Comparison, Device, DeviceComparison, Grant,
    KeyProtection, Message, Record, RecoveryState, Relay, RelayFault, RowConflict, Scope, Status, SyncMode,
    change::Now, message::Body,
};
use serde_json::{Map, Value, json};

pub(crate) use self::conversation::{
    conversation, conversation_kind_of, policy_of, read_markers_of, set_conversation, set_policy,
};
use crate::{instant, retention, typed};

/// A message. Members that say nothing are left out.
pub(crate) fn message(message: &Message) -> Map<String, Value> {
    let mut out = Map::new();
    let mut text = |name: &str, value: &str| {
        if !value.is_empty() {
            out.insert(name.into(), value.into());
        }
    };
    text("conversation", &message.conversation);
    text("id", &message.id);
    text("sender", &message.sender);
    text("group", &message.group);
    text("at", &message.created_at);
    text("content_type", &message.content_type);
    text("reply_to", &message.reply_to);
    if !message.recipients.is_empty() {
        out.insert("recipients".into(), message.recipients.clone().into());
    }
    if message.outbound {
        out.insert("outbound".into(), true.into());
    }
    let times =
        [("sent_at", message.sent_at_us), ("delivered_at", message.delivered_at_us), ("read_at", message.read_at_us)];
    for (name, time) in times {
        if let Some(micros) = time {
            out.insert(name.into(), instant::from_micros(micros).into());
        }
    }
    if !message.attachments.is_empty() {
        let attachments: Vec<Value> = message.attachments.iter().map(attachment).collect();
        out.insert("attachments".into(), attachments.into());
    }
    if let Some(elsewhere) = &message.elsewhere {
        out.insert(
            "elsewhere".into(),
            json!({ "size": elsewhere.size, "kept_by": elsewhere.kept_by, "reach": reach(elsewhere) }),
        );
        return out;
    }
    let body = match &message.body {
        None => Value::String(String::new()),
        Some(Body::Text(text)) => Value::String(text.clone()),
        Some(Body::Data(bytes)) => typed::bytes_to_json(bytes),
    };
    out.insert("body".into(), body);
    out
}

/// A message with what is known of it on this device only.
pub(crate) fn local_message(stored: &Message) -> Value {
    let mut out = message(stored);
    if stored.unread {
        out.insert("unread".into(), true.into());
    }
    out.into()
}

/// A record as apps see it.
pub(crate) fn record(record: &Record) -> Map<String, Value> {
    let mut out = Map::new();
    out.insert("collection".into(), record.collection.clone().into());
    out.insert("key".into(), record.key.clone().into());
    let fields: Map<String, Value> =
        record.fields.iter().map(|(name, value)| (name.clone(), typed::to_json(value))).collect();
    out.insert("fields".into(), fields.into());
    out
}

/// A record with what is known of it on this device only.
pub(crate) fn local_record(stored: &Record) -> Value {
    let mut out = record(stored);
    out.insert("row_version".into(), stored.row_version.into());
    if !stored.conflicts.is_empty() {
        out.insert("conflicts".into(), stored.conflicts.clone().into());
    }
    out.into()
}

/// A write that was refused because its record has changed.
pub(crate) fn row_conflict(conflict: &RowConflict) -> Value {
    json!({
        "collection": conflict.collection,
        "key": conflict.key,
        "op": change_name(conflict.op()),
        "base_row_version": conflict.base_row_version,
        "row_version": conflict.row_version,
        "deleted": conflict.deleted,
        "current": conflict.current.as_ref().map(local_record),
    })
}

/// A bundle of a watch.
pub(crate) fn bundle(bundle: &Bundle) -> Value {
    json!({
        "bundle_seq": bundle.bundle_seq,
        "device": bundle.device_id,
        "source": bundle.source_id,
        "seq": bundle.seq,
        "written_at": instant::from_millis(bundle.written_at_ms),
        "changes": bundle.changes.iter().map(change).collect::<Vec<_>>(),
    })
}

/// A device of the roster.
pub(crate) fn device(device: &Device) -> Value {
    json!({
        "id": device.id,
        "name": device.name,
        "this_device": device.this_device,
        "live": device.live,
        "last_seen": device.last_seen_ms.map(instant::from_millis),
        "added_at": instant::from_millis(device.added_at_ms),
        "roster_seen": device.roster_seen,
        "prekey_slot": device.prekey_slot,
        "added_by": if device.added_by.is_empty() { Value::Null } else { device.added_by.clone().into() },
    })
}

/// An app, without its token.
pub(crate) fn app(app: &App) -> Value {
    let grant = |grant: &Option<Grant>| {
        let grant = grant.clone().unwrap_or_default();
        let scope = match grant.scope() {
            Scope::Unspecified | Scope::Read => "read",
            Scope::Write => "write",
        };
        json!({ "prefixes": grant.prefixes, "scope": scope })
    };
    let quota = app.quota.unwrap_or_default();
    json!({
        "name": app.name,
        "collections": grant(&app.collections),
        "conversations": grant(&app.conversations),
        "created_at": instant::from_millis(app.created_at_ms),
        "last_used": app.last_used_ms.map(instant::from_millis),
        "quota": json!({ "bytes": quota.bytes, "items": quota.items }),
    })
}

/// A relay.
pub(crate) fn relay(relay: &Relay) -> Value {
    json!({
        "url": relay.url,
        "kind": relay.kind,
        "ok": relay.ok,
        "reason": relay.reason,
        "push": relay.push,
        "id": relay.id,
        "last_ok": relay.last_ok_ms.map(instant::from_millis),
        "fault": fault(relay.fault()),
        "sent": relay.sent,
        "received": relay.received,
        "round_trip_us": relay.round_trip_us,
        "queued": relay.queued,
    })
}

/// The name of what is wrong with a relay: that of the error code.
fn fault(fault: RelayFault) -> Value {
    match fault {
        RelayFault::Unspecified => Value::Null,
        RelayFault::Unreachable => "relay_unreachable".into(),
        RelayFault::Denied => "relay_denied".into(),
        RelayFault::Config => "relay_config".into(),
    }
}

/// Key protection.
pub(crate) fn keys(keys: &KeyProtection) -> Value {
    json!({ "provider": keys.provider, "description": keys.description })
}

/// The status: every name of it is used by scripts.
pub(crate) fn status(status: &Status) -> Value {
    let siblings = status.siblings.iter().map(|sibling| {
        json!({
            "id": sibling.id,
            "name": sibling.name,
            "last_seen": sibling.last_seen_ms.map(instant::from_millis),
            "lag": sibling.lag,
            "epoch_seen": sibling.epoch_seen,
            "live": sibling.live,
        })
    });
    json!({
        "device": status.device.as_ref().map(|device| json!({ "id": device.id, "name": device.name })),
        "mode": mode(status.mode()),
        "every_ms": status.every_ms,
        "next_pass": status.next_pass_ms.map(instant::from_millis),
        "synced": status.synced,
        "siblings": siblings.collect::<Vec<_>>(),
        "relays": status.relays.iter().map(relay).collect::<Vec<_>>(),
        "pending_up": status.pending_up,
        "pending_down": status.pending_down,
        "catch_up": status.catch_up.as_ref().map(|under_way| json!({
            "from": under_way.from, "done": under_way.done, "total": under_way.total,
        })),
        "last_up": status.last_up_ms.map(instant::from_millis),
        "last_down": status.last_down_ms.map(instant::from_millis),
        "conflicts": status.conflicts,
        "conflicts_settled": status.conflicts_settled,
        "quarantine": status.quarantine,
        "digest": status.digest,
        "keys": status.keys.as_ref().map(keys),
        "recovery": recovery(status.recovery()),
        "bundle_seq": status.bundle_seq,
        "retention": status.retention.as_ref().map(retention::view),
        "attention": status.attention,
    })
}

/// The result of a comparison.
pub(crate) fn comparison(device: &DeviceComparison) -> Value {
    json!({
        "id": device.id,
        "name": device.name,
        "result": comparison_name(device.result()),
        "digest": if device.digest.is_empty() { Value::Null } else { device.digest.clone().into() },
        "reported_at": device.reported_at_ms.map(instant::from_millis),
        "lacks": device.lacks,
        "ahead": device.ahead,
        "first_difference": if device.first_difference.is_empty() { Value::Null } else { device.first_difference.clone().into() },
    })
}

/// The name of a mode.
pub(crate) fn mode(mode: SyncMode) -> &'static str {
    match mode {
        SyncMode::Unspecified => "unknown",
        SyncMode::Realtime => "realtime",
        SyncMode::Periodic => "periodic",
        SyncMode::Hybrid => "hybrid",
        SyncMode::Manual => "manual",
        SyncMode::Off => "off",
    }
}

/// The name of a state of recovery.
pub(crate) fn recovery(recovery: RecoveryState) -> &'static str {
    match recovery {
        RecoveryState::Unspecified => "unknown",
        RecoveryState::None => "none",
    }
}

/// The name of a result.
pub(crate) fn comparison_name(result: Comparison) -> &'static str {
    match result {
        Comparison::Unspecified => "unknown",
        Comparison::Equal => "equal",
        Comparison::Behind => "behind",
        Comparison::Different => "different",
        Comparison::OtherVersion => "other_version",
    }
}

/// The name of what an op did: as the `op` of an import line.
pub(crate) fn change_name(kind: ChangeKind) -> &'static str {
    match kind {
        ChangeKind::Unspecified => "unknown",
        ChangeKind::RecordPut => "record",
        ChangeKind::RecordDelete => "record_delete",
        ChangeKind::MessagePost => "message",
        ChangeKind::MessageStatus => "status",
        ChangeKind::MessageDelete => "delete",
        ChangeKind::Revised => "revised",
        ChangeKind::Conversation => "conversation",
        ChangeKind::ReadMarker => "read_marker",
    }
}

fn change(change: &Change) -> Value {
    let mut out = Map::new();
    out.insert("op".into(), change_name(change.kind()).into());
    match &change.now {
        None => {}
        Some(Now::Record(stored)) => drop(out.insert("record".into(), local_record(stored))),
        Some(Now::RecordGone(name)) => {
            out.insert("record_gone".into(), json!({ "collection": name.collection, "key": name.key }));
        }
        Some(Now::Message(stored)) => drop(out.insert("message".into(), local_message(stored))),
        Some(Now::Conversation(now)) => drop(out.insert("conversation".into(), conversation(now))),
        Some(Now::MessageGone(name)) => {
            out.insert("message_gone".into(), json!({ "conversation": name.conversation, "id": name.id }));
        }
    }
    out.into()
}

/// Why a body could not be fetched just now; nothing when it was not asked for.
fn reach(elsewhere: &BodyElsewhere) -> Value {
    match elsewhere.reach() {
        BodyReach::Unspecified => Value::Null,
        BodyReach::NoDevice => "no_device".into(),
        BodyReach::NoAnswer => "no_answer".into(),
        BodyReach::Gone => "gone".into(),
    }
}

fn attachment(attachment: &ipc_proto::v1::Attachment) -> Value {
    let mut out = Map::new();
    out.insert("name".into(), attachment.name.clone().into());
    out.insert("size".into(), attachment.size.into());
    if !attachment.content_type.is_empty() {
        out.insert("content_type".into(), attachment.content_type.clone().into());
    }
    if !attachment.sha256.is_empty() {
        out.insert("sha256".into(), hex(&attachment.sha256).into());
    }
    if !attachment.location.is_empty() {
        out.insert("location".into(), attachment.location.clone().into());
    }
    out.into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
pub(crate) mod tests;
