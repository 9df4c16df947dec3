//! `kin sync`: when this device exchanges with its relays, and exchanging on demand.

use std::time::Duration;

use ipc_proto::v1::{
    GetStatusRequest, Relay, RelayFault, SetSyncModeRequest, Status, SyncMode, SyncNowRequest, SyncNowResponse,
    SyncPart,
};
use serde_json::{Value, json};

use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Style, table};
use crate::{instant, view};

/// Exchange with the relays, now or as you choose
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Sync {
    /// Fetch and send on every relay, now
    ///
    /// What is not confirmed goes out once more, and relays that rest are tried again. Ends when all that came is stored
    /// and all that waited is on a relay or refused. Exit code 6 when no relay could be reached or sync is off.
    #[command(after_help = "Example:\n  kin sync now")]
    Now {},
    /// Send all that waits, now
    #[command(after_help = "Example:\n  kin sync push")]
    Push {},
    /// Fetch everything, now
    #[command(after_help = "Example:\n  kin sync pull")]
    Pull {},
    /// Show the mode, the next pass, and what went over each relay
    #[command(after_help = "Example:\n  kin sync status")]
    Status {},
    /// Choose when this device exchanges; stays over restarts
    ///
    /// A pass fetches everything from every relay and sends all that waits.
    #[command(after_help = "Examples:
  kin sync mode realtime
  kin sync mode periodic --every 15m
  kin sync mode off")]
    Mode {
        /// When
        #[arg(value_enum)]
        mode: Mode,
        /// From one pass to the next: 10s to 7 days, as 30s, 15m, 2h; 5m at first
        #[arg(long, value_parser = instant::span, value_name = "TIME")]
        every: Option<Duration>,
    },
}

/// When a device exchanges.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum Mode {
    /// At once: pushed, else polled
    Realtime,
    /// On a pass every so often, and not between
    Periodic,
    /// As realtime, with a full pass every so often; as periodic on battery
    Hybrid,
    /// Only on `sync now`, `push` and `pull`
    Manual,
    /// Never: no network at all
    Off,
}

impl Sync {
    pub(crate) async fn execute(self, context: &Context) -> Result<(), Failure> {
        let mut admin = context.client().await?.admin();
        let (name, part) = match self {
            Self::Now {} => ("sync.now", SyncPart::Unspecified),
            Self::Push {} => ("sync.push", SyncPart::Push),
            Self::Pull {} => ("sync.pull", SyncPart::Pull),
            Self::Status {} => {
                let status = admin.get_status(GetStatusRequest {}).await?.into_inner();
                let now = instant::now_millis();
                return context.output.show("sync.status", overview(&status), |style| words(&status, now, style));
            }
            Self::Mode { mode, every } => {
                let every_ms = every.map(|every| u64::try_from(every.as_millis()).unwrap_or(u64::MAX));
                let request = SetSyncModeRequest { mode: mode.on_the_wire().into(), every_ms };
                let status = admin.set_sync_mode(request).await?.into_inner().status.unwrap_or_default();
                let now = instant::now_millis();
                return context.output.show("sync.mode", overview(&status), |style| timing(&status, now, style));
            }
        };
        let answer = admin.sync_now(SyncNowRequest { part: part.into() }).await?.into_inner();
        let object = json!({
            "sent": answer.sent,
            "received": answer.received,
            "relays": answer.relays.iter().map(view::relay).collect::<Vec<_>>(),
            "status": answer.status.as_ref().map(view::status),
        });
        context.output.show(name, object, |style| outcome(&answer, style))?;
        if answer.relays.iter().any(|relay| relay.ok) { Ok(()) } else { Err(failure(&answer.relays)) }
    }
}

impl Mode {
    fn on_the_wire(self) -> SyncMode {
        match self {
            Self::Realtime => SyncMode::Realtime,
            Self::Periodic => SyncMode::Periodic,
            Self::Hybrid => SyncMode::Hybrid,
            Self::Manual => SyncMode::Manual,
            Self::Off => SyncMode::Off,
        }
    }
}

/// What no relay working comes to. That all of them refuse us is another thing than that none is there.
fn failure(relays: &[Relay]) -> Failure {
    let all = |fault| relays.iter().all(|relay| relay.fault() == fault);
    match relays {
        [] => Failure::RelayFailed(RelayFault::Unreachable),
        _ if all(RelayFault::Denied) => Failure::RelayFailed(RelayFault::Denied),
        _ if all(RelayFault::Config) => Failure::RelayFailed(RelayFault::Config),
        _some_out_of_reach => Failure::RelayFailed(RelayFault::Unreachable),
    }
}

fn outcome(answer: &SyncNowResponse, style: Style) -> String {
    let mut out = format!("sent {}, received {}\n", answer.sent, answer.received);
    let failed: Vec<&Relay> = answer.relays.iter().filter(|relay| !relay.ok).collect();
    for relay in &failed {
        out.push_str(&format!("{} {}: {}\n", style.bad("!"), relay.url, relay.reason));
    }
    let status = answer.status.clone().unwrap_or_default();
    out.push_str(&match (status.synced, failed.len()) {
        (true, 0) => style.good("in sync"),
        // What lies on a relay that fails is not known here.
        (true, some) => format!("nothing waits here, but {some} of {} relays failed", answer.relays.len()),
        (false, _) => format!("{} to send, {} to fetch", status.pending_up, status.pending_down),
    });
    out
}

fn overview(status: &Status) -> Value {
    json!({
        "mode": view::mode(status.mode()),
        "every_ms": status.every_ms,
        "next_pass": status.next_pass_ms.map(instant::from_millis),
        "synced": status.synced,
        "pending_up": status.pending_up,
        "pending_down": status.pending_down,
        "last_up": status.last_up_ms.map(instant::from_millis),
        "last_down": status.last_down_ms.map(instant::from_millis),
        "relays": status.relays.iter().map(view::relay).collect::<Vec<_>>(),
    })
}

fn words(status: &Status, now: u64, style: Style) -> String {
    let mut out = timing(status, now, style);
    out.push_str(&format!("{} to send, {} to fetch\n", status.pending_up, status.pending_down));
    let rows = status.relays.iter().map(|relay| {
        let mut row = crate::relay::row(relay, style);
        row.push(format!("{} sent, {} received, {} waiting", relay.sent, relay.received, relay.queued));
        row.extend(relay.round_trip_us.map(|micros| format!("{} a put", crate::relay::millis(micros))));
        row
    });
    out.push_str(&table(&rows.collect::<Vec<_>>()));
    out
}

/// The mode and when the next pass comes.
pub(crate) fn timing(status: &Status, now: u64, style: Style) -> String {
    let mode = style.strong(view::mode(status.mode()));
    let every = status.every_ms.map(|every| format!(", every {}", instant::lasting(every))).unwrap_or_default();
    let next = status.next_pass_ms.map(|next| format!(", next pass in {}", instant::lasting(next.saturating_sub(now))));
    format!("{mode}{every}{}\n", next.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::tests::sample_status;

    fn answer(synced: bool, oks: &[bool]) -> SyncNowResponse {
        let relay = |ok: &bool| Relay { url: "file:///x".into(), ok: *ok, reason: "away".into(), ..Relay::default() };
        let status = Some(Status { synced, ..sample_status() });
        SyncNowResponse { sent: 1, received: 2, relays: oks.iter().map(relay).collect(), status }
    }

    #[test]
    fn in_sync_is_said_only_when_every_relay_worked() {
        let said = |synced, oks: &[bool]| outcome(&answer(synced, oks), Style::PLAIN);
        assert_eq!(said(true, &[true, true]), "sent 1, received 2\nin sync");
        let partly = said(true, &[true, false]);
        assert!(!partly.contains("in sync") && partly.contains("1 of 2 relays failed"), "{partly}");
        assert!(said(false, &[true]).contains("2 to send"));
    }

    #[test]
    fn relays_that_all_refuse_end_with_the_code_of_a_refusal() {
        let relay = |fault: RelayFault| Relay { fault: fault.into(), ..Relay::default() };
        let code = |faults: &[RelayFault]| failure(&faults.iter().copied().map(relay).collect::<Vec<_>>()).exit_code();
        assert_eq!(code(&[RelayFault::Unreachable]), 6);
        assert_eq!(code(&[RelayFault::Denied, RelayFault::Denied]), 5);
        assert_eq!(code(&[RelayFault::Config]), 78);
        assert_eq!(code(&[RelayFault::Denied, RelayFault::Unreachable]), 6);
    }

    #[test]
    fn the_overview_has_every_name_that_scripts_rely_on() {
        insta::assert_snapshot!(format!("{:#}", overview(&sample_status())));
        insta::assert_snapshot!(words(&sample_status(), 1_700_000_060_000, Style::PLAIN));
    }
}
