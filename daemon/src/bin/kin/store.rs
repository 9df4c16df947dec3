//! `kin store`: is what is stored right, the same everywhere, and no more than what counts?

use std::time::Duration;

use ipc_proto::client::Shown;
use ipc_proto::v1::admin_client::AdminClient;
use ipc_proto::v1::{
    Comparison, DeviceComparison, StoreCompactRequest, StoreCompactResponse, StoreCompareRequest, StoreCompareResponse,
    StoreVerifyRequest, SyncNowRequest,
};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Style, table};
use crate::{instant, retention, view};

/// Check the local store, keep it small, and compare it with your other devices
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Store {
    /// Rebuild the state from the log and compare it with what is stored
    #[command(after_help = "Example:\n  kin store verify")]
    Verify {},
    /// Take out of the log what counts no more
    ///
    /// Writes that later ones replaced, and what was deleted, once every other device has confirmed them. What you see stays as it is. The
    /// daemon does it once a day; devices away for longer than 90 days are not waited for, and catch up when they return.
    #[command(after_help = "Examples:
  kin store compact --dry-run
  kin store compact")]
    Compact {
        /// Only say what would go
        #[arg(long)]
        dry_run: bool,
    },
    Prune(retention::Prune),
    Retention(retention::Keep),
    /// Prove that your devices hold equal state
    ///
    /// Each device tells the others a digest of all it holds, some seconds after the last change at the latest. Ends with
    /// exit code 0 only when every one is equal. Of one that differs it says in which collection first.
    #[command(after_help = "Examples:
  kin store compare
  kin wait --for synced && kin store compare --with phone")]
    Compare {
        /// Only this device: its id, the beginning of it, or its name
        #[arg(long, value_name = "DEVICE", default_value = "", hide_default_value = true)]
        with: String,
        /// How long to wait for devices that have not yet told of the last changes: 500ms, 30s, 5m
        #[arg(long, value_parser = instant::span, default_value = "15s", value_name = "TIME")]
        timeout: Duration,
    },
}

impl Store {
    pub(crate) async fn execute(self, context: &Context) -> Result<(), Failure> {
        let mut admin = context.client().await?.admin();
        match self {
            Self::Verify {} => {
                let report = admin.store_verify(StoreVerifyRequest {}).await?.into_inner();
                let object = json!({
                    "ok": report.ok, "bundles": report.bundles, "ops": report.ops,
                    "digest": report.digest, "rebuilt_digest": report.rebuilt_digest, "problems": report.problems,
                    "unknown_ops": report.unknown_ops, "invalid_ops": report.invalid_ops,
                    "content_digest": report.content_digest,
                });
                context.output.show("store.verify", object, |style| {
                    let mut out = format!("{} bundles, {} ops\n", report.bundles, report.ops);
                    out.push_str(&match report.ok {
                        true => style.good("the stored state is what the log gives\n"),
                        false => style.bad("the stored state is not what the log gives\n"),
                    });
                    if report.unknown_ops > 0 {
                        out.push_str(&format!("{} ops of a newer version wait for an upgrade\n", report.unknown_ops));
                    }
                    if report.invalid_ops > 0 {
                        out.push_str(&format!("{} ops break a rule and have no effect anywhere\n", report.invalid_ops));
                    }
                    for problem in &report.problems {
                        out.push_str(&format!("{} {problem}\n", style.bad("!")));
                    }
                    out.push_str(&style.dim(&format!("digest {}\n", report.digest)));
                    out
                })?;
                if report.ok { Ok(()) } else { Err(Failure::Unequal("the store is damaged")) }
            }
            Self::Compact { dry_run } => {
                let went = admin.store_compact(StoreCompactRequest { dry_run }).await?.into_inner();
                let object = json!({
                    "dry_run": dry_run, "bundles": went.bundles, "shortened": went.shortened, "ops": went.ops,
                    "bytes": went.bytes, "sources": went.sources,
                });
                context.output.show("store.compact", object, |style| compacted(&went, dry_run, style))
            }
            Self::Prune(prune) => prune.execute(context, &mut admin).await,
            Self::Retention(keep) => keep.execute(context, &mut admin).await,
            Self::Compare { with, timeout } => {
                let report = compare(&mut admin, with, timeout).await?;
                let object = json!({
                    "digest": report.digest,
                    "devices": report.devices.iter().map(view::comparison).collect::<Vec<_>>(),
                });
                let now = instant::now_millis();
                context
                    .output
                    .show("store.compare", object, |style| words(&report.digest, &report.devices, now, style))?;
                verdict(&report.devices)
            }
        }
    }
}

fn compacted(went: &StoreCompactResponse, dry_run: bool, style: Style) -> String {
    if went.sources == 0 {
        return style.dim("nothing new that every other device has confirmed");
    }
    let verb = if dry_run { "would go" } else { "are gone" };
    let StoreCompactResponse { ops, bundles, shortened, bytes, .. } = went;
    format!("{ops} ops {verb}: {bundles} bundles as a whole, {shortened} in part, {bytes} bytes")
}

/// Asks until every device is at the same point, or one differs, or the time is over. Devices tell of what they hold
/// when they like; a pass over the relays asks them to do it now.
async fn compare(
    admin: &mut AdminClient<Shown>,
    device: String,
    limit: Duration,
) -> Result<StoreCompareResponse, Failure> {
    let begin = Instant::now();
    let mut asked = false;
    loop {
        let report = admin.store_compare(StoreCompareRequest { device: device.clone() }).await?.into_inner();
        let late = |device: &DeviceComparison| matches!(device.result(), Comparison::Behind | Comparison::Unspecified);
        let different = |device: &DeviceComparison| device.result() == Comparison::Different;
        // A device that differs is asked for the place.
        let placed = |device: &DeviceComparison| different(device) && !device.first_difference.is_empty();
        let devices = &report.devices;
        let settled = devices.iter().any(placed) || !devices.iter().any(|device| late(device) || different(device));
        if settled || begin.elapsed() > limit {
            return Ok(report);
        }
        if !asked {
            // Without a relay there is nobody to ask, and the report says so.
            let _pass = admin.sync_now(SyncNowRequest::default()).await;
            asked = true;
        }
        sleep(PAUSE).await;
    }
}

fn verdict(devices: &[DeviceComparison]) -> Result<(), Failure> {
    let any = |result| devices.iter().any(|device| device.result() == result);
    if any(Comparison::Different) {
        Err(Failure::Unequal("devices with the same bundles hold different state; please report this"))
    } else if any(Comparison::OtherVersion) {
        Err(Failure::Unequal("devices run different versions of kinfolk; upgrade them to compare"))
    } else if any(Comparison::Behind) || any(Comparison::Unspecified) {
        Err(Failure::Unequal("not all devices are at the same point; `kin wait --for synced` waits for that"))
    } else {
        Ok(())
    }
}

fn words(digest: &str, devices: &[DeviceComparison], now: u64, style: Style) -> String {
    let row = |device: &DeviceComparison| {
        let result = match device.result() {
            Comparison::Equal => style.good("equal"),
            Comparison::Behind => format!("it lacks {}, we lack {}", device.lacks, device.ahead),
            Comparison::Different if device.first_difference.is_empty() => style.bad("DIFFERENT"),
            Comparison::Different => style.bad(&format!("DIFFERENT, first in {}", device.first_difference)),
            Comparison::OtherVersion => "runs another version, nothing to compare".into(),
            Comparison::Unspecified => "has not reported yet".into(),
        };
        vec![style.strong(&device.name), result, format!("reported {}", instant::ago(device.reported_at_ms, now))]
    };
    let rows: Vec<_> = devices.iter().map(row).collect();
    let rest = if rows.is_empty() { "there is no other device to compare with\n".into() } else { table(&rows) };
    format!("{}\n{rest}", style.dim(&format!("digest {digest}")))
}

const PAUSE: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_equal_devices_end_well() {
        let device =
            |result: Comparison| DeviceComparison { name: "phone".into(), result: result.into(), ..Default::default() };
        assert!(verdict(&[device(Comparison::Equal)]).is_ok());
        for result in [Comparison::Behind, Comparison::Different, Comparison::OtherVersion, Comparison::Unspecified] {
            let failure = verdict(&[device(Comparison::Equal), device(result)]).unwrap_err();
            assert_eq!(failure.exit_code(), 1, "{result:?}");
        }
        let placed = DeviceComparison { first_difference: "notes".into(), ..device(Comparison::Different) };
        let devices =
            [device(Comparison::Equal), device(Comparison::Different), placed, device(Comparison::OtherVersion)];
        insta::assert_snapshot!(words("d1", &devices, 0, Style::PLAIN), @r"
        digest d1
        phone  equal                                     reported never
        phone  DIFFERENT                                 reported never
        phone  DIFFERENT, first in notes                 reported never
        phone  runs another version, nothing to compare  reported never
        ");
    }
}
