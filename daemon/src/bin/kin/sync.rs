//! `kin sync`: exchange on demand.

use ipc_proto::v1::SyncNowRequest;
use serde_json::json;

use crate::context::Context;
use crate::failure::Failure;
use crate::view;

/// Exchange with the relays
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Sync {
    /// Send and fetch on every relay, now
    ///
    /// Ends with exit code 6 when no relay worked.
    #[command(after_help = "Example:\n  kin sync now")]
    Now {},
}

impl Sync {
    pub(crate) async fn execute(self, context: &Context) -> Result<(), Failure> {
        let Self::Now {} = self;
        let answer = context.client().await?.admin().sync_now(SyncNowRequest {}).await?.into_inner();
        let object = json!({
            "sent": answer.sent,
            "received": answer.received,
            "relays": answer.relays.iter().map(view::relay).collect::<Vec<_>>(),
            "status": answer.status.as_ref().map(view::status),
        });
        context.output.show("sync.now", object, |style| {
            let mut out = format!("sent {}, received {}\n", answer.sent, answer.received);
            for relay in answer.relays.iter().filter(|relay| !relay.ok) {
                out.push_str(&format!("{} {}: {}\n", style.bad("!"), relay.url, relay.reason));
            }
            let status = answer.status.clone().unwrap_or_default();
            out.push_str(&match status.synced {
                true => style.good("in sync"),
                false => format!("{} to send, {} to fetch", status.pending_up, status.pending_down),
            });
            out
        })?;
        if answer.relays.iter().any(|relay| relay.ok) { Ok(()) } else { Err(Failure::RelayFailed) }
    }
}
