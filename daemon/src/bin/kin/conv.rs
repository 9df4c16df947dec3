//! `kin conv`: conversations.

use std::collections::BTreeMap;

use ipc_proto::v1::{
    Conversation, ConversationKind, GetConversationRequest, ListConversationsRequest, MarkReadRequest, ReadMarkers,
    SetConversation, SetMetadataRequest, SetReadMarkersRequest, message::Body,
};
use serde_json::json;

use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Style, printable, table};
use crate::records::{Page, brief, more, next};
use crate::view;

/// Conversations
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Conv {
    /// List conversations, newest first
    #[command(after_help = "Examples:
  kin conv list
  kin conv list --json | jq '[.conversations[].unread] | add'")]
    List {
        #[command(flatten)]
        page: Page,
    },
    /// Show what is known of a conversation
    #[command(after_help = "Example:\n  kin conv show family")]
    Show {
        /// The conversation
        conversation: String,
    },
    /// Say what a conversation is, on all devices
    #[command(after_help = "Examples:
  kin conv set family --kind group --title 'The family' --add ann --add bob
  kin conv set family --remove bob --title ''
  kin conv set family --read-markers synced")]
    Set(Set),
    /// Move the read marker of a conversation
    ///
    /// Messages up to there count as read: on this device, or on all of them where read markers are synced (`kin conv set --read-markers`,
    /// `kin conv markers`). `kin msg read` sets the status `read` instead, which always reaches all devices.
    #[command(after_help = "Examples:
  kin conv read family
  kin conv read family --to 7f3a")]
    Read {
        /// The conversation
        conversation: String,
        /// The last message that was read [default: the newest one]
        #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
        to: String,
    },
    /// Say whether read markers of this device reach the others, where a conversation does not say so itself
    #[command(after_help = "Example:\n  kin conv markers synced")]
    Markers {
        /// Where they go
        #[arg(value_parser = ["local", "synced"])]
        markers: String,
    },
}

/// What is known of a conversation; what is not named stays as it is.
#[derive(Debug, clap::Args)]
pub(crate) struct Set {
    /// The conversation; it need not have messages
    conversation: String,
    /// What it is
    #[arg(long, value_parser = ["direct", "group", "none"])]
    kind: Option<String>,
    /// How it is called; '' takes the title away
    #[arg(long)]
    title: Option<String>,
    /// A member to add; may be given more than once
    #[arg(long, value_name = "MEMBER")]
    add: Vec<String>,
    /// A member to take out
    #[arg(long, value_name = "MEMBER")]
    remove: Vec<String>,
    /// Something else to keep of it; may be given more than once
    #[arg(long = "attribute", value_name = "NAME=TEXT", value_parser = attribute)]
    attributes: Vec<(String, String)>,
    /// An attribute to take away
    #[arg(long, value_name = "NAME")]
    clear: Vec<String>,
    /// Whether its read markers reach the other devices
    #[arg(long, value_parser = ["local", "synced", "none"])]
    read_markers: Option<String>,
}

impl Conv {
    pub(crate) async fn execute(self, context: &Context) -> Result<(), Failure> {
        let mut conversations = context.client().await?.conversations();
        let output = context.output;
        match self {
            Self::List { page } => {
                let request = ListConversationsRequest { page_size: page.limit, page_token: page.page };
                let page = conversations.list_conversations(request).await?.into_inner();
                let object = json!({
                    "conversations": page.conversations.iter().map(view::conversation).collect::<Vec<_>>(),
                    "next": next(&page.next_page_token),
                });
                output.show("conv.list", object, |style| match page.conversations.as_slice() {
                    [] => "no conversations yet".into(),
                    some => more(words(some, style), &page.next_page_token, style),
                })
            }
            Self::Show { conversation } => {
                let request = GetConversationRequest { conversation };
                let found = conversations.get_conversation(request).await?.into_inner().conversation;
                let found = found.unwrap_or_default();
                let object = json!({ "conversation": view::conversation(&found) });
                output.show("conv.show", object, |style| in_full(&found, style))
            }
            Self::Set(set) => {
                let name = set.conversation.clone();
                let request = SetMetadataRequest { conversation: Some(set.change()) };
                let answer = conversations.set_metadata(request).await?.into_inner();
                let object = json!({
                    "conversation": name, "source": answer.source_id, "seq": answer.seq,
                    "bundle_seq": answer.bundle_seq,
                });
                output.show("conv.set", object, |_| "written".into())
            }
            Self::Read { conversation, to } => {
                let request = MarkReadRequest { conversation: conversation.clone(), up_to_id: to };
                let answer = conversations.mark_read(request).await?.into_inner();
                let object = json!({
                    "conversation": conversation, "no_op": answer.no_op, "unread": answer.unread,
                    "synced": answer.synced,
                });
                output.show("conv.read", object, |_| match (answer.no_op, answer.unread) {
                    (true, 0) => "nothing was unread".into(),
                    (true, unread) => format!("the marker is there or beyond already; {unread} unread"),
                    (false, 0) => "all read".into(),
                    (false, unread) => format!("{unread} unread"),
                })
            }
            Self::Markers { markers } => {
                let request = SetReadMarkersRequest { read_markers: read_markers(&markers).into() };
                conversations.set_read_markers(request).await?;
                output.show("conv.markers", json!({ "read_markers": markers }), |_| {
                    format!("read markers of this device: {markers}")
                })
            }
        }
    }
}

impl Set {
    fn change(self) -> SetConversation {
        SetConversation {
            name: self.conversation,
            kind: self.kind.map(|kind| view::conversation_kind_of(&kind).unwrap_or_default().into()),
            title: self.title,
            add_members: self.add,
            remove_members: self.remove,
            attributes: self.attributes.into_iter().collect::<BTreeMap<_, _>>(),
            clear_attributes: self.clear,
            read_markers: self.read_markers.map(|markers| read_markers(&markers).into()),
        }
    }
}

fn attribute(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("an attribute is NAME=TEXT")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn read_markers(name: &str) -> ReadMarkers {
    view::read_markers_of(name).unwrap_or_default()
}

fn words(conversations: &[Conversation], style: Style) -> String {
    let row = |conversation: &Conversation| {
        let unread = match conversation.unread {
            0 => String::new(),
            some => style.good(&format!("{some} unread")),
        };
        let last = match conversation.last_message.as_ref().and_then(|message| message.body.as_ref()) {
            Some(Body::Text(text)) => brief(&printable(text)),
            Some(Body::Data(bytes)) => format!("({} bytes)", bytes.len()),
            None => String::new(),
        };
        let title = conversation.metadata.as_ref().map(|metadata| brief(&printable(&metadata.title)));
        let name = style.strong(&printable(&conversation.name));
        vec![name, title.unwrap_or_default(), conversation.messages.to_string(), unread, last]
    };
    table(&conversations.iter().map(row).collect::<Vec<_>>())
}

fn in_full(conversation: &Conversation, style: Style) -> String {
    let metadata = conversation.metadata.clone().unwrap_or_default();
    let kind = match metadata.kind() {
        ConversationKind::Unspecified => String::new(),
        ConversationKind::Direct => "direct".into(),
        ConversationKind::Group => "group".into(),
    };
    let markers = if conversation.read_marker_synced { "synced" } else { "local" };
    let read_to = conversation.read_marker.as_ref().map(|marker| format!("{} ({})", marker.id, marker.created_at));
    let mut rows = vec![
        ("name".to_owned(), conversation.name.clone()),
        ("title".to_owned(), metadata.title),
        ("kind".to_owned(), kind),
        ("members".to_owned(), metadata.members.join(", ")),
        ("messages".to_owned(), conversation.messages.to_string()),
        ("unread".to_owned(), conversation.unread.to_string()),
        ("read to".to_owned(), read_to.unwrap_or_default()),
        ("read markers".to_owned(), markers.to_owned()),
    ];
    rows.extend(metadata.attributes);
    let told = rows.into_iter().filter(|(_, value)| !value.is_empty());
    let row = |(name, value): (String, String)| vec![style.strong(&printable(&name)), printable(&value)];
    table(&told.map(row).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ipc_proto::v1::{ConversationMetadata, Message, ReadMarker};

    fn family() -> Conversation {
        let last_message = Some(Message { body: Some(Body::Text("at eight?\nor nine".into())), ..Message::default() });
        let metadata = ConversationMetadata {
            kind: ConversationKind::Group.into(),
            title: "The family".into(),
            members: vec!["ann".into(), "bob".into()],
            attributes: [("colour".to_owned(), "red".to_owned())].into(),
            ..ConversationMetadata::default()
        };
        Conversation {
            name: "family".into(),
            messages: 12,
            unread: 3,
            last_message,
            metadata: Some(metadata),
            read_marker: Some(ReadMarker { id: "7f3a".into(), created_at: "2026-01-01T00:00:00Z".into() }),
            read_marker_synced: true,
        }
    }

    #[test]
    fn a_conversation_shows_what_is_unread_and_the_last_message() {
        let conversations = [family(), Conversation { name: "work".into(), messages: 1, ..Conversation::default() }];
        insta::assert_snapshot!(words(&conversations, Style::PLAIN), @r"
        family  The family  12  3 unread  at eight?…
        work                1
        ");
    }

    #[test]
    fn a_conversation_in_full_tells_all_that_is_known() {
        insta::assert_snapshot!(in_full(&family(), Style::PLAIN), @r"
        name          family
        title         The family
        kind          group
        members       ann, bob
        messages      12
        unread        3
        read to       7f3a (2026-01-01T00:00:00Z)
        read markers  synced
        colour        red
        ");
    }
}
