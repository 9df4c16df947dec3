//! Conversations and what is known of them.

use std::collections::BTreeMap;

use ipc_proto::v1::{self, ConversationKind, ReadMarkers};
use kinfolk_core::conversation::{Change, Kind, Markers, Metadata};
use kinfolk_core::ids::BundleSeq;
use kinfolk_core::op::Op;

use super::message;
use crate::store::ConversationView;

/// The op that makes a change of metadata.
pub(in crate::ipc) fn read(set: v1::SetConversation) -> Result<Op, &'static str> {
    let (asked_kind, asked_markers) = (set.kind, set.read_markers);
    let v1::SetConversation { name, title, add_members, remove_members, attributes, clear_attributes, .. } = set;
    let kind = asked_kind.map(|kind| match ConversationKind::try_from(kind) {
        Ok(ConversationKind::Unspecified) => Ok(None),
        Ok(ConversationKind::Direct) => Ok(Some(Kind::Direct)),
        Ok(ConversationKind::Group) => Ok(Some(Kind::Group)),
        Err(_) => Err("a conversation is direct or a group"),
    });
    let markers = asked_markers.map(|markers| match ReadMarkers::try_from(markers) {
        Ok(ReadMarkers::Unspecified) => Ok(None),
        Ok(markers) => read_markers(markers).map(Some),
        Err(_) => Err("read markers are local or synced"),
    });
    let mut members: BTreeMap<String, bool> = add_members.into_iter().map(|member| (member, true)).collect();
    for member in remove_members {
        if members.insert(member, false) == Some(true) {
            return Err("a member is added or removed, not both");
        }
    }
    let mut changed: BTreeMap<String, Option<String>> =
        attributes.into_iter().map(|(attribute, text)| (attribute, Some(text))).collect();
    for attribute in clear_attributes {
        if changed.insert(attribute, None).flatten().is_some() {
            return Err("an attribute is written or cleared, not both");
        }
    }
    let change = Change { kind: kind.transpose()?, title, members, attributes: changed, markers: markers.transpose()? };
    change.op(&name)
}

/// A choice of what becomes of read markers.
pub(in crate::ipc) fn read_markers(markers: ReadMarkers) -> Result<Markers, &'static str> {
    match markers {
        ReadMarkers::Local => Ok(Markers::Local),
        ReadMarkers::Synced => Ok(Markers::Synced),
        ReadMarkers::Unspecified => Err("read markers are local or synced"),
    }
}

/// A conversation as apps see it.
pub(in crate::ipc) fn show(view: ConversationView) -> v1::Conversation {
    let ConversationView { name, messages, unread, last, metadata, read_to, markers } = view;
    v1::Conversation {
        name,
        messages,
        unread,
        last_message: last.map(message::show),
        metadata: metadata.map(show_metadata),
        read_marker: read_to.map(|(created_us, id)| v1::ReadMarker { id, created_at: message::written(created_us) }),
        read_marker_synced: markers == Markers::Synced,
    }
}

/// What is known of a conversation, as apps see it.
pub(in crate::ipc) fn show_metadata((metadata, version): (Metadata, BundleSeq)) -> v1::ConversationMetadata {
    v1::ConversationMetadata {
        kind: show_kind(metadata.kind).into(),
        title: metadata.title,
        members: metadata.members.into_iter().collect(),
        attributes: metadata.attributes,
        read_markers: show_markers(metadata.markers).into(),
        row_version: version.0,
    }
}

/// What is known of a conversation as the change that makes it.
pub(in crate::ipc) fn show_as_change(name: String, metadata: &Metadata) -> v1::SetConversation {
    let Change { kind, title, members, attributes, markers } = metadata.as_change();
    v1::SetConversation {
        name,
        kind: kind.map(|kind| show_kind(kind).into()),
        title,
        add_members: members.into_keys().collect(),
        attributes: attributes.into_iter().filter_map(|(attribute, text)| Some((attribute, text?))).collect(),
        read_markers: markers.map(|markers| show_markers(markers).into()),
        ..v1::SetConversation::default()
    }
}

fn show_kind(kind: Option<Kind>) -> ConversationKind {
    match kind {
        None => ConversationKind::Unspecified,
        Some(Kind::Direct) => ConversationKind::Direct,
        Some(Kind::Group) => ConversationKind::Group,
    }
}

fn show_markers(markers: Option<Markers>) -> ReadMarkers {
    match markers {
        None => ReadMarkers::Unspecified,
        Some(Markers::Local) => ReadMarkers::Local,
        Some(Markers::Synced) => ReadMarkers::Synced,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> v1::SetConversation {
        v1::SetConversation {
            name: "family".into(),
            kind: Some(ConversationKind::Group.into()),
            title: Some("Family".into()),
            add_members: vec!["ann".into(), "bob".into()],
            attributes: [("colour".to_owned(), "red".to_owned())].into(),
            read_markers: Some(ReadMarkers::Synced.into()),
            ..v1::SetConversation::default()
        }
    }

    #[test]
    fn metadata_come_out_as_the_change_that_made_them() {
        let op = read(full()).unwrap();
        let fields = op.fields.iter().filter_map(|field| Some((field.name.as_str(), field.value.as_ref()?)));
        let metadata = Metadata::of_fields(fields);
        assert_eq!(show_as_change("family".into(), &metadata), full());
        let shown = show_metadata((metadata, BundleSeq(3)));
        assert_eq!((shown.kind(), shown.read_markers()), (ConversationKind::Group, ReadMarkers::Synced));
        assert_eq!((shown.title.as_str(), shown.members.len(), shown.row_version), ("Family", 2, 3));
    }

    #[test]
    fn a_change_that_contradicts_itself_or_says_nothing_known_is_refused() {
        let refused = [
            v1::SetConversation { remove_members: vec!["ann".into()], ..full() },
            v1::SetConversation { clear_attributes: vec!["colour".into()], ..full() },
            v1::SetConversation { kind: Some(9), ..full() },
            v1::SetConversation { read_markers: Some(9), ..full() },
            v1::SetConversation { add_members: vec![String::new()], ..full() },
        ];
        for set in refused {
            assert!(read(set.clone()).is_err(), "{set:?}");
        }
    }
}
