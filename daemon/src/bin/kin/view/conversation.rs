//! The JSON of conversations, and of what is said of them and of collections.

use ipc_proto::v1::{ConflictPolicy, Conversation, ConversationKind, ReadMarkers, SetConversation, SetPolicyRequest};
use serde_json::{Map, Value, json};

use super::local_message;

/// A conversation in short.
pub(crate) fn conversation(conversation: &Conversation) -> Value {
    let marker = conversation.read_marker.as_ref();
    let mut out = json!({
        "name": conversation.name,
        "messages": conversation.messages,
        "unread": conversation.unread,
        "last_message": conversation.last_message.as_ref().map(local_message),
        "read_to": marker.map(|marker| json!({ "id": marker.id, "at": marker.created_at })),
        "read_markers": if conversation.read_marker_synced { "synced" } else { "local" },
    });
    if let (Some(out), Some(metadata)) = (out.as_object_mut(), &conversation.metadata) {
        let kind = match metadata.kind() {
            ConversationKind::Unspecified => Value::Null,
            ConversationKind::Direct => "direct".into(),
            ConversationKind::Group => "group".into(),
        };
        let title = if metadata.title.is_empty() { Value::Null } else { metadata.title.clone().into() };
        out.extend([
            ("kind".to_owned(), kind),
            ("title".to_owned(), title),
            ("members".to_owned(), metadata.members.clone().into()),
            ("attributes".to_owned(), json!(metadata.attributes)),
            ("row_version".to_owned(), metadata.row_version.into()),
        ]);
    }
    out
}

/// The kind of conversation with that name; `none` takes back what was said.
pub(crate) fn conversation_kind_of(name: &str) -> Option<ConversationKind> {
    match name {
        "direct" => Some(ConversationKind::Direct),
        "group" => Some(ConversationKind::Group),
        "none" => Some(ConversationKind::Unspecified),
        _other => None,
    }
}

/// The choice about read markers with that name; `none` leaves it to each device.
pub(crate) fn read_markers_of(name: &str) -> Option<ReadMarkers> {
    match name {
        "local" => Some(ReadMarkers::Local),
        "synced" => Some(ReadMarkers::Synced),
        "none" => Some(ReadMarkers::Unspecified),
        _other => None,
    }
}

/// The write that makes metadata of a conversation. Members that say nothing are left out.
pub(crate) fn set_conversation(set: &SetConversation) -> Map<String, Value> {
    let mut out = Map::new();
    out.insert("conversation".into(), set.name.clone().into());
    match set.kind.map(|_| set.kind()) {
        Some(ConversationKind::Direct) => drop(out.insert("kind".into(), "direct".into())),
        Some(ConversationKind::Group) => drop(out.insert("kind".into(), "group".into())),
        Some(ConversationKind::Unspecified) | None => {}
    }
    out.extend(set.title.clone().map(|title| ("title".to_owned(), title.into())));
    if !set.add_members.is_empty() {
        out.insert("members".into(), set.add_members.clone().into());
    }
    if !set.attributes.is_empty() {
        out.insert("attributes".into(), json!(set.attributes));
    }
    match set.read_markers.map(|_| set.read_markers()) {
        Some(ReadMarkers::Local) => drop(out.insert("read_markers".into(), "local".into())),
        Some(ReadMarkers::Synced) => drop(out.insert("read_markers".into(), "synced".into())),
        Some(ReadMarkers::Unspecified) | None => {}
    }
    out
}

/// The write that sets the policy of a collection.
pub(crate) fn set_policy(set: &SetPolicyRequest) -> Map<String, Value> {
    let policy = match set.policy() {
        ConflictPolicy::Lww => "lww",
        ConflictPolicy::Keep | ConflictPolicy::Unspecified => "keep",
    };
    let members = [("collection", set.collection.as_str()), ("policy", policy)];
    members.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect()
}

/// The policy with that name.
pub(crate) fn policy_of(name: &str) -> Option<ConflictPolicy> {
    match name {
        "keep" => Some(ConflictPolicy::Keep),
        "lww" => Some(ConflictPolicy::Lww),
        _other => None,
    }
}
