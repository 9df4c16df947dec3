//! `kin conv`: conversations.

use ipc_proto::v1::{Conversation, ListConversationsRequest, message::Body};
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
}

impl Conv {
    pub(crate) async fn execute(self, context: &Context) -> Result<(), Failure> {
        let Self::List { page } = self;
        let request = ListConversationsRequest { page_size: page.limit, page_token: page.page };
        let page = context.client().await?.conversations().list_conversations(request).await?.into_inner();
        let object = json!({
            "conversations": page.conversations.iter().map(view::conversation).collect::<Vec<_>>(),
            "next": next(&page.next_page_token),
        });
        context.output.show("conv.list", object, |style| match page.conversations.as_slice() {
            [] => "no conversations yet".into(),
            some => more(words(some, style), &page.next_page_token, style),
        })
    }
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
        let name = style.strong(&printable(&conversation.name));
        vec![name, conversation.messages.to_string(), unread, last]
    };
    table(&conversations.iter().map(row).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ipc_proto::v1::Message;

    #[test]
    fn a_conversation_shows_what_is_unread_and_the_last_message() {
        let last_message = Some(Message { body: Some(Body::Text("at eight?\nor nine".into())), ..Message::default() });
        let conversations = [
            Conversation { name: "family".into(), messages: 12, unread: 3, last_message },
            Conversation { name: "work".into(), messages: 1, unread: 0, last_message: None },
        ];
        insta::assert_snapshot!(words(&conversations, Style::PLAIN), @r"
        family  12  3 unread  at eight?…
        work    1
        ");
    }
}
