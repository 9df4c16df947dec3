//! `kin wait`: for scripts.

use std::time::Duration;

use ipc_proto::v1::{Status, SyncMode, WatchStatusRequest};
use serde_json::json;
use tokio::time::{Instant, timeout};
use tokio_stream::StreamExt;

use crate::catching::Catching;
use crate::context::Context;
use crate::failure::Failure;
use crate::{instant, view};

/// Wait until the daemon is ready or all is in sync
///
/// `ready`: the daemon answers. `synced`: everything accepted here is confirmed by every living sibling, and nothing
/// known to exist there is missing here. Ends with exit code 6 when the time is over.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  kin wait --for ready
  kin wait --for synced --timeout 5m")]
pub(crate) struct Wait {
    /// What to wait for
    #[arg(long = "for", value_enum)]
    goal: Goal,
    /// How long: 500ms, 30s, 5m, 2h
    #[arg(long, value_parser = instant::span, default_value = "60s", value_name = "TIME")]
    timeout: Duration,
}

/// What to know of a mode in which nothing moves by itself, or not soon; empty in the others.
fn idle(mode: SyncMode) -> &'static str {
    match mode {
        SyncMode::Unspecified | SyncMode::Realtime | SyncMode::Hybrid => "",
        SyncMode::Periodic => "this device syncs on passes; `kin sync status` says when, `kin sync now` makes one",
        SyncMode::Manual => "this device syncs when asked: `kin sync now`",
        SyncMode::Off => "sync is off on this device: nothing moves before `kin sync mode` changes that",
    }
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Goal {
    /// The daemon answers
    Ready,
    /// Nothing is on its way
    Synced,
}

impl Wait {
    pub(crate) async fn execute(self, context: &Context) -> Result<(), Failure> {
        let begin = Instant::now();
        let client = context.client_within(self.timeout).await?;
        let status = match self.goal {
            Goal::Ready => None,
            Goal::Synced => {
                let left = self.timeout.saturating_sub(begin.elapsed());
                let mut changes = client.admin().watch_status(WatchStatusRequest {}).await?.into_inner();
                let synced = async {
                    let catching = Catching::new(context.output.json);
                    let mut mode = None;
                    while let Some(status) = changes.next().await {
                        let status = status?;
                        if status.synced {
                            return Ok(status);
                        }
                        catching.show(&status);
                        if mode.replace(status.mode()) != Some(status.mode()) {
                            context.output.note(idle(status.mode()));
                        }
                    }
                    Err(Failure::StreamEnded { before: "all was in sync" })
                };
                let late = || Failure::Timeout { waited_for: "not in sync", seconds: self.timeout.as_secs() };
                Some(timeout(left, synced).await.map_err(|_| late())??)
            }
        };
        let waited = begin.elapsed();
        let object = json!({
            "waited_ms": u64::try_from(waited.as_millis()).unwrap_or(u64::MAX),
            "status": status.as_ref().map(view::status),
        });
        context.output.show("wait", object, |style| match status {
            None => style.good("the daemon is ready"),
            Some(Status { digest, .. }) => {
                format!("{} {}", style.good("in sync"), style.dim(&format!("(digest {digest})")))
            }
        })
    }
}
