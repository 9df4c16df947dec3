//! `kin status`: one screen.

use ipc_proto::v1::{CatchUp, GetStatusRequest, Status, WatchStatusRequest};
use tokio_stream::StreamExt;

use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Style, table};
use crate::{instant, relay, retention, sync, view};

/// Show on one screen whether all is in sync
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  kin status
  kin status --check && echo all is well
  kin status --watch --json | jq --unbuffered .synced")]
pub(crate) struct StatusCommand {
    /// End with exit code 7 when something asks for a person
    #[arg(long, conflicts_with = "watch")]
    check: bool,
    /// Go on and show every change
    #[arg(long)]
    watch: bool,
}

impl StatusCommand {
    pub(crate) async fn execute(self, context: &Context) -> Result<(), Failure> {
        let mut admin = context.client().await?.admin();
        if self.watch {
            let mut changes = admin.watch_status(WatchStatusRequest {}).await?.into_inner();
            while let Some(status) = changes.next().await {
                let status = status?;
                context.output.show("status", view::status(&status), |style| {
                    format!("{}{}", style.clear_screen(), words(&status, instant::now_millis(), style))
                })?;
            }
            return Err(Failure::StreamEnded { before: "the watch was ended" });
        }
        let status = admin.get_status(GetStatusRequest {}).await?.into_inner();
        let now = instant::now_millis();
        context.output.show("status", view::status(&status), |style| words(&status, now, style))?;
        if self.check && !status.attention.is_empty() { Err(Failure::Attention) } else { Ok(()) }
    }
}

/// How far a snapshot has come.
pub(crate) fn catching_up(under_way: &CatchUp) -> String {
    match under_way.total {
        0 => format!("catching up with {}", under_way.from),
        total => format!("catching up with {}: {} %", under_way.from, under_way.done.saturating_mul(100) / total),
    }
}

fn words(status: &Status, now: u64, style: Style) -> String {
    let device = status.device.clone().unwrap_or_default();
    let state = match (status.synced, status.siblings.is_empty()) {
        (_, true) => style.bad("alone: no other device yet"),
        (true, false) => style.good("in sync"),
        (false, false) => style.bad(&match &status.catch_up {
            Some(under_way) => catching_up(under_way),
            None => format!("{} to send, {} to fetch", status.pending_up, status.pending_down),
        }),
    };
    let mode = sync::timing(status, now, style);
    let mut out = format!("{}  {state}  {mode}", style.strong(&device.name));
    let siblings = status.siblings.iter().map(|sibling| {
        let seen = instant::ago(sibling.last_seen_ms, now);
        let seen = if sibling.live { seen } else { style.bad(&format!("{seen}, counts as gone")) };
        let lag = match sibling.lag {
            0 => style.good("has everything"),
            lag => format!("{lag} behind"),
        };
        vec![format!("  {}", sibling.name), lag, format!("seen {seen}")]
    });
    let siblings: Vec<_> = siblings.collect();
    if !siblings.is_empty() {
        out.push_str(&format!("devices\n{}", table(&siblings)));
    }
    match status.relays.as_slice() {
        [] => out.push_str(&format!("relays\n  {}\n", style.bad("none; `kin relay add URL` adds one"))),
        relays => {
            let rows = relays.iter().map(|relay| {
                let mut row = relay::row(relay, style);
                row.insert(0, " ".into());
                row
            });
            out.push_str(&format!("relays\n{}", table(&rows.collect::<Vec<_>>())));
        }
    }
    let keys = status.keys.clone().unwrap_or_default();
    let digest = status.digest.get(..16).unwrap_or(&status.digest);
    let row = |name: &str, value: String| vec![name.to_owned(), value];
    out.push_str(&table(&[
        row("last sent", instant::ago(status.last_up_ms, now)),
        row("last received", instant::ago(status.last_down_ms, now)),
        row("conflicts", count(status.conflicts, style)),
        row("quarantine", count(status.quarantine, style)),
        row("bodies", retention::words(&status.retention.clone().unwrap_or_default())),
        row("digest", style.dim(&format!("{digest}…"))),
        row("keys", format!("{}: {}", keys.provider, keys.description)),
        row("recovery", view::recovery(status.recovery()).into()),
    ]));
    for sentence in &status.attention {
        out.push_str(&format!("{} {sentence}\n", style.bad("!")));
    }
    out
}

fn count(count: u64, style: Style) -> String {
    if count == 0 { "none".into() } else { style.bad(&count.to_string()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::tests::sample_status;

    #[test]
    fn the_screen_shows_what_lags_and_why() {
        insta::assert_snapshot!(words(&sample_status(), 1_700_000_060_000, Style::PLAIN));
    }

    #[test]
    fn a_device_without_siblings_and_relays_says_what_comes_next() {
        let status = Status { siblings: Vec::new(), relays: Vec::new(), attention: Vec::new(), ..sample_status() };
        let screen = words(&status, 1_700_000_060_000, Style::PLAIN);
        assert!(screen.contains("alone: no other device yet"), "{screen}");
        assert!(screen.contains("kin relay add"), "{screen}");
    }
}
