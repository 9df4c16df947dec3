//! A message on the command line.

use std::io::Read;

use ipc_proto::v1::{Message, message::Body};

use crate::failure::Failure;
use crate::instant;

/// A message to post.
#[derive(Debug, clap::Args)]
pub(crate) struct Post {
    /// The conversation
    conversation: String,
    /// The text, or - for stdin
    text: String,
    /// Its id: posting the same one again changes nothing [default: a new one]
    #[arg(long, default_value = "", hide_default_value = true)]
    id: String,
    /// Who wrote it
    #[arg(long, default_value = "", hide_default_value = true)]
    sender: String,
    /// To whom; may be given more than once
    #[arg(long = "to", value_name = "RECIPIENT")]
    to: Vec<String>,
    /// The group it goes to
    #[arg(long, default_value = "", hide_default_value = true)]
    group: String,
    /// It is by you: it is never unread
    #[arg(long)]
    outbound: bool,
    /// When it was created, in RFC 3339 [default: now]
    #[arg(long, value_name = "TIME", default_value = "", hide_default_value = true)]
    at: String,
    /// The id of the message it answers
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    reply_to: String,
    /// Media type of the text
    #[arg(long, value_name = "TYPE", default_value = "", hide_default_value = true)]
    content_type: String,
}

impl Post {
    /// The message as it is posted; reads stdin when that is asked for.
    pub(super) fn message(self) -> Result<Message, Failure> {
        let text = if self.text == "-" {
            let mut text = String::new();
            std::io::stdin().take(MAX_TEXT).read_to_string(&mut text).map_err(Failure::io("read the text"))?;
            text.strip_suffix('\n').map(str::to_owned).unwrap_or(text)
        } else {
            self.text
        };
        if !self.at.is_empty() {
            instant::micros(&self.at).map_err(|reason| Failure::usage(reason, "write it with an offset or Z"))?;
        }
        Ok(Message {
            conversation: self.conversation,
            id: self.id,
            sender: self.sender,
            recipients: self.to,
            group: self.group,
            outbound: self.outbound,
            body: Some(Body::Text(text)),
            content_type: self.content_type,
            created_at: self.at,
            reply_to: self.reply_to,
            ..Message::default()
        })
    }
}

/// A little more than the daemon takes, so that it says what the limit is.
const MAX_TEXT: u64 = 2 << 20;
