//! Stretches of conversations and of time, as options.

use ipc_proto::v1::{ListMessagesRequest, MessageOrder};

use crate::failure::Failure;
use crate::instant;
use crate::records::Page;

/// A stretch of time.
#[derive(Debug, clap::Args)]
pub(crate) struct Time {
    /// Only messages created at this time or later, in RFC 3339
    #[arg(long, value_name = "TIME", default_value = "", hide_default_value = true)]
    from: String,
    /// Only messages created before this time
    #[arg(long, value_name = "TIME", default_value = "", hide_default_value = true)]
    until: String,
}

/// A stretch of a conversation.
#[derive(Debug, clap::Args)]
pub(crate) struct Stretch {
    /// Only messages before this one
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    before: String,
    /// Only messages after this one
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    after: String,
    #[command(flatten)]
    time: Time,
    /// The oldest of them first, when they do not fit a page
    #[arg(long)]
    pub(super) oldest_first: bool,
}

impl Time {
    /// The first instant and the one behind the last.
    pub(super) fn bounds(self) -> Result<(String, String), Failure> {
        let Self { from, until } = self;
        for bound in [&from, &until].into_iter().filter(|bound| !bound.is_empty()) {
            instant::micros(bound).map_err(|reason| Failure::usage(reason, "write it with an offset or Z"))?;
        }
        Ok((from, until))
    }
}

impl Stretch {
    /// What asks for a page of it.
    pub(super) fn request(self, conversation: String, page: Page) -> Result<ListMessagesRequest, Failure> {
        let Self { before: before_id, after: after_id, time, oldest_first } = self;
        let order = if oldest_first { MessageOrder::OldestFirst } else { MessageOrder::NewestFirst };
        let (created_from, created_before) = time.bounds()?;
        Ok(ListMessagesRequest {
            conversation,
            page_size: page.limit,
            page_token: page.page,
            order: order.into(),
            before_id,
            after_id,
            created_before,
            created_from,
            only_here: false,
        })
    }
}
