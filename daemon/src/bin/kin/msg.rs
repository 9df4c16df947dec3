//! `kin msg`: messages.

mod post;
mod stretch;

use std::collections::BTreeSet;

use ipc_proto::Client;
use ipc_proto::v1::{
    BodyElsewhere, BodyReach, DeleteRequest, GetMessageRequest, ListMessagesRequest, Message, MessageStatus, Op,
    PostRequest, PushRequest, SearchHit, SearchRequest, SetMessageStatus, SetStatusRequest, message::Body, op,
};
use serde_json::{Value, json};

use self::post::Post;
use self::stretch::{Stretch, Time};
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Style, printable};
use crate::records::{Page, more, next};
use crate::{instant, line, view};

/// Messages
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Msg {
    /// Post a message
    #[command(after_help = "Examples:
  kin msg post family 'see you at eight'
  echo hello | kin msg post family - --sender ann --id 7f3a")]
    Post(Box<Post>),
    /// Show a conversation, newest last
    #[command(after_help = "Examples:
  kin msg list family
  kin msg list family --limit 20 --json
  kin msg list family --before 7f3a --limit 20
  kin msg list family --from 2026-01-01T00:00:00Z --until 2026-02-01T00:00:00Z")]
    List {
        /// The conversation
        conversation: String,
        /// Do not ask other devices for bodies that are not on this one
        #[arg(long)]
        only_here: bool,
        #[command(flatten)]
        stretch: Stretch,
        #[command(flatten)]
        page: Page,
    },
    /// Show one message
    #[command(after_help = "Example:\n  kin msg get 7f3a")]
    Get {
        /// Its id
        id: String,
    },
    /// Find messages by words
    #[command(after_help = "Examples:
  kin msg search eight
  kin msg search 'see eig*' --conversation family
  kin msg search dinner --sender ann --from 2026-01-01T00:00:00Z")]
    Search {
        /// Words, all of which must be there; a word ending in * matches words that begin so
        #[arg(required = true)]
        words: Vec<String>,
        /// Only in this conversation
        #[arg(long, default_value = "", hide_default_value = true)]
        conversation: String,
        /// Only of this sender, exactly
        #[arg(long, default_value = "", hide_default_value = true)]
        sender: String,
        #[command(flatten)]
        time: Time,
        #[command(flatten)]
        page: Page,
    },
    /// Note that a message was sent, delivered or read
    #[command(after_help = "Example:\n  kin msg status 7f3a delivered")]
    Status {
        /// Its id
        id: String,
        /// The status
        #[arg(value_parser = ["sent", "delivered", "read"])]
        status: String,
        /// When, in RFC 3339 [default: now]
        #[arg(long, value_name = "TIME")]
        at: Option<String>,
    },
    /// Mark messages as read, on all devices
    #[command(after_help = "Examples:
  kin msg read 7f3a
  kin msg read --conversation family")]
    Read {
        /// Their ids
        #[arg(required_unless_present = "conversation")]
        ids: Vec<String>,
        /// All unread messages of this conversation
        #[arg(long, conflicts_with = "ids")]
        conversation: Option<String>,
    },
    /// Delete a message on all devices, for good
    #[command(after_help = "Example:\n  kin msg rm 7f3a --yes")]
    Rm {
        /// Its id
        id: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}

impl Msg {
    pub(crate) async fn execute(self, context: &Context) -> Result<(), Failure> {
        let output = context.output;
        match self {
            Self::Post(post) => {
                let message = post.message()?;
                let client = context.client().await?;
                let answer = client.conversations().post(PostRequest { message: Some(message) }).await?.into_inner();
                let object = json!({
                    "id": answer.id, "no_op": answer.no_op,
                    "source": answer.source_id, "seq": answer.seq, "bundle_seq": answer.bundle_seq,
                });
                output.show("msg.post", object, |_| match answer.no_op {
                    true => format!("{} was here already", answer.id),
                    false => answer.id,
                })
            }
            Self::List { conversation, only_here, stretch, page } => {
                let oldest_first = stretch.oldest_first;
                let request = ListMessagesRequest { only_here, ..stretch.request(conversation, page)? };
                let page = context.client().await?.conversations().list_messages(request).await?.into_inner();
                let messages: Vec<Value> = page.messages.iter().map(view::local_message).collect();
                let object = json!({ "messages": messages, "next": next(&page.next_page_token) });
                output.show("msg.list", object, |style| {
                    let lines = page.messages.iter().map(|message| words(message, style));
                    let further = more(String::new(), &page.next_page_token, style);
                    if oldest_first {
                        format!("{}{further}", lines.collect::<String>())
                    } else {
                        format!("{further}{}", lines.rev().collect::<String>())
                    }
                })
            }
            Self::Get { id } => {
                let request = GetMessageRequest { id, ..GetMessageRequest::default() };
                let answer = context.client().await?.conversations().get_message(request).await?.into_inner();
                let message = answer.message.unwrap_or_default();
                let object = json!({ "message": view::local_message(&message) });
                output.show("msg.get", object, |style| words(&message, style))
            }
            Self::Search { words, conversation, sender, time, page } => {
                let (created_from, created_before) = time.bounds()?;
                let request = SearchRequest {
                    query: words.join(" "),
                    conversation,
                    page_size: page.limit,
                    page_token: page.page,
                    sender,
                    created_before,
                    created_from,
                    only_here: false,
                };
                let page = context.client().await?.conversations().search(request).await?.into_inner();
                let object = json!({
                    "hits": page.hits.iter().map(hit_json).collect::<Vec<_>>(),
                    "next": next(&page.next_page_token),
                });
                output.show("msg.search", object, |style| match page.hits.as_slice() {
                    [] => "nothing found".into(),
                    hits => more(hits.iter().map(|hit| hit_words(hit, style)).collect(), &page.next_page_token, style),
                })
            }
            Self::Status { id, status, at } => {
                let at_us = at.map(|at| instant::micros(&at)).transpose();
                let at_us = at_us.map_err(|reason| Failure::usage(reason, "write it with an offset or Z"))?;
                let level = line::status(&status).map_err(|reason| Failure::usage(reason, ""))?;
                let change = SetMessageStatus { id: id.clone(), status: level.into(), at_us };
                let request = SetStatusRequest { status: Some(change) };
                let answer = context.client().await?.conversations().set_status(request).await?.into_inner();
                let object = json!({
                    "id": id, "status": status, "no_op": answer.no_op,
                    "source": answer.source_id, "seq": answer.seq, "bundle_seq": answer.bundle_seq,
                });
                output.show("msg.status", object, |_| match answer.no_op {
                    true => format!("{id} was {status} already"),
                    false => format!("{id} is {status}"),
                })
            }
            Self::Read { ids, conversation } => {
                let client = context.client().await?;
                let ids = match conversation {
                    Some(conversation) => unread(&client, conversation).await?,
                    None => ids.into_iter().collect(),
                };
                let marked = mark_read(&client, &ids).await?;
                let object = json!({ "marked": marked, "already_read": ids.len() - marked });
                output.show("msg.read", object, |_| format!("{marked} marked as read"))
            }
            Self::Rm { id, yes } => {
                if !crate::terminal::confirm("Delete it on all devices, for good?", yes).await? {
                    return Ok(());
                }
                let request = DeleteRequest { id: id.clone() };
                let answer = context.client().await?.conversations().delete(request).await?.into_inner();
                let object = json!({
                    "id": id, "no_op": answer.no_op,
                    "source": answer.source_id, "seq": answer.seq, "bundle_seq": answer.bundle_seq,
                });
                output.show("msg.rm", object, |_| match answer.no_op {
                    true => format!("{id} was deleted already"),
                    false => format!("{id} is deleted"),
                })
            }
        }
    }
}

/// The ids of the unread messages of a conversation.
async fn unread(client: &Client, conversation: String) -> Result<BTreeSet<String>, Failure> {
    let mut ids = BTreeSet::new();
    let mut request =
        ListMessagesRequest { conversation, page_size: 1000, only_here: true, ..ListMessagesRequest::default() };
    loop {
        let page = client.conversations().list_messages(request.clone()).await?.into_inner();
        let unread = page.messages.into_iter().filter(|message| !message.outbound && message.read_at_us.is_none());
        ids.extend(unread.map(|message| message.id));
        if page.next_page_token.is_empty() {
            return Ok(ids);
        }
        request.page_token = page.next_page_token;
    }
}

/// Sets `read`, some hundreds a bundle. Answers how many were not read before.
async fn mark_read(client: &Client, ids: &BTreeSet<String>) -> Result<usize, Failure> {
    let mut marked = 0;
    let ids: Vec<&String> = ids.iter().collect();
    for part in ids.chunks(READ_BATCH) {
        let op = |id: &&String| {
            let status = SetMessageStatus { id: (*id).clone(), status: MessageStatus::Read.into(), at_us: None };
            Op { op: Some(op::Op::SetMessageStatus(status)) }
        };
        let request = PushRequest { ops: part.iter().map(op).collect(), ..PushRequest::default() };
        let results = client.records().push(request).await?.into_inner().results;
        marked += results.iter().filter(|result| !result.no_op).count();
    }
    Ok(marked)
}

fn hit_json(hit: &SearchHit) -> Value {
    let parts = hit.snippet.iter().map(|part| json!({ "text": part.text, "matched": part.matched }));
    json!({ "message": hit.message.as_ref().map(view::local_message), "snippet": parts.collect::<Vec<_>>() })
}

fn hit_words(hit: &SearchHit, style: Style) -> String {
    let message = hit.message.clone().unwrap_or_default();
    let snippet = hit.snippet.iter().map(|part| {
        let text = printable(&part.text).replace('\n', " ");
        if part.matched { style.strong(&text) } else { text }
    });
    let place = format!("{}  {}  {}", printable(&message.conversation), time(&message), printable(&message.id));
    format!("{}\n    {}\n", style.dim(&place), snippet.collect::<String>())
}

/// Where the body of a message is.
fn kept(elsewhere: &BodyElsewhere) -> String {
    let BodyElsewhere { size, kept_by, .. } = elsewhere;
    let place = match kept_by.as_slice() {
        [] => "not on this device".to_owned(),
        devices => format!("kept by {}", printable(&devices.join(", "))),
    };
    let why = match elsewhere.reach() {
        BodyReach::Unspecified => "",
        BodyReach::NoDevice => "; no other device can be reached",
        BodyReach::NoAnswer => "; no answer yet, look again later",
        BodyReach::Gone => "; no device that can be reached has it",
    };
    format!("({size} bytes, {place}{why})")
}

/// A message as it stands in a conversation.
pub(crate) fn words(message: &Message, style: Style) -> String {
    let body = match &message.body {
        None => message.elsewhere.as_ref().map(|elsewhere| style.dim(&kept(elsewhere))).unwrap_or_default(),
        Some(Body::Text(text)) => printable(text).replace('\n', "\n    "),
        Some(Body::Data(bytes)) => style.dim(&format!("({} bytes)", bytes.len())),
    };
    let state = match (message.outbound, message.read_at_us, message.delivered_at_us, message.sent_at_us) {
        (_, Some(_), _, _) => "read",
        (_, None, Some(_), _) => "delivered",
        (_, None, None, Some(_)) => "sent",
        (_, None, None, None) if message.unread => "unread",
        (_, None, None, None) => "",
    };
    let attached: String = message
        .attachments
        .iter()
        .map(|file| format!("\n    {} ({} bytes)", printable(&file.name), file.size))
        .collect();
    let head = [time(message), printable(&message.sender), state.to_owned(), printable(&message.id)];
    let head: Vec<String> = head.into_iter().filter(|part| !part.is_empty()).collect();
    format!("{}\n    {body}{}\n", style.dim(&head.join("  ")), style.dim(&attached))
}

/// The time of a message to the minute, in the offset it was written with.
fn time(message: &Message) -> String {
    let text = printable(&message.created_at);
    text.get(..16).map_or_else(|| text.clone(), |minute| minute.replace('T', " "))
}

/// Ids have at most 128 bytes: a batch stays far below 1 MiB.
const READ_BATCH: usize = 500;

#[cfg(test)]
mod tests {
    use super::*;
    use ipc_proto::v1::{Attachment, SnippetPart};

    #[test]
    fn a_message_shows_time_sender_state_and_text() {
        let message = Message {
            conversation: "family".into(),
            id: "7f3a".into(),
            sender: "ann".into(),
            body: Some(Body::Text("two\nlines\u{7}".into())),
            created_at: "2020-12-11T23:37:25-08:00".into(),
            unread: true,
            attachments: vec![Attachment { name: "cat.jpg".into(), size: 9, ..Attachment::default() }],
            ..Message::default()
        };
        insta::assert_snapshot!(words(&message, Style::PLAIN));
    }

    #[test]
    fn a_hit_shows_where_and_what() {
        let message =
            Message { conversation: "c".into(), id: "i".into(), created_at: "x".into(), ..Message::default() };
        let part = |text: &str, matched| SnippetPart { text: text.into(), matched };
        let hit = SearchHit { message: Some(message), snippet: vec![part("at ", false), part("eight", true)] };
        assert_eq!(hit_words(&hit, Style::PLAIN), "c  x  i\n    at eight\n");
    }
}
