//! `kin devices`.

use ipc_proto::v1::{
    Device, GetStatusRequest, ListDevicesRequest, ListDevicesResponse, RenameDeviceRequest, Retention,
    RevokeDeviceRequest, RevokeDeviceResponse,
};
use serde_json::json;

use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Style, table};
use crate::{instant, terminal, view};

/// Your devices
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Devices {
    /// List your devices
    #[command(after_help = "Examples:
  kin devices list
  kin devices list --json | jq -r '.devices[].name'")]
    List {},
    /// Give a device another name, on all devices
    #[command(after_help = "Example:\n  kin devices rename phone old-phone")]
    Rename {
        /// Its id, the beginning of it, or its present name
        device: String,
        /// The new name
        name: String,
    },
    /// Remove a device that is lost, stolen or given away, for good
    ///
    /// Your other devices stop hearing it and writing to it as soon as they learn of it. What it wrote that had not come here by
    /// now does not count any more. It keeps what it holds, and what it can read on relays until you change their credentials.
    #[command(after_help = "Example:\n  kin devices revoke phone --yes")]
    Revoke {
        /// Its id, the beginning of it, or its name
        device: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}

impl Devices {
    pub(crate) async fn execute(self, context: &Context) -> Result<(), Failure> {
        let mut admin = context.client().await?.admin();
        match self {
            Self::List {} => {
                let listed = admin.list_devices(ListDevicesRequest {}).await?.into_inner();
                let view = |devices: &[Device]| devices.iter().map(view::device).collect::<Vec<_>>();
                let object = json!({ "devices": view(&listed.devices), "removed": view(&listed.removed) });
                context.output.show("devices.list", object, |style| words(&listed, instant::now_millis(), style))
            }
            Self::Rename { device, name } => {
                let renamed = admin.rename_device(RenameDeviceRequest { device, name }).await?.into_inner().device;
                let object = json!({ "device": renamed.as_ref().map(view::device) });
                context.output.show("devices.rename", object, |style| {
                    let device = renamed.unwrap_or_default();
                    format!("{} is now called {}", device.id, style.strong(&device.name))
                })
            }
            Self::Revoke { device, yes } => {
                let listed = admin.list_devices(ListDevicesRequest {}).await?.into_inner();
                let status = admin.get_status(GetStatusRequest {}).await?.into_inner();
                let alone = kept_there_alone(&device, &listed.devices, &status.retention.unwrap_or_default());
                if alone > 0 {
                    context.output.note(&format!(
                        "the bodies of {alone} messages are not on this device, and no device but {device} has said that it keeps them: they may be \
                         lost with it. `kin store retention off` brings them here first"
                    ));
                }
                let question = format!("Remove {device} from your devices, for good?");
                if !terminal::confirm(&question, yes).await? {
                    return Err(Failure::Interrupted);
                }
                let revoked = admin.revoke_device(RevokeDeviceRequest { device }).await?.into_inner();
                let object = json!({
                    "device": revoked.device.as_ref().map(view::device),
                    "unaware": revoked.unaware.iter().map(view::device).collect::<Vec<_>>(),
                    "bodies_kept_there_alone": alone,
                });
                context.output.show("devices.revoke", object, |style| farewell(&revoked, style))
            }
        }
    }
}

/// How many bodies are not here and no other device is known to keep, if that device goes. It is named as a person names it: id, beginning of the id, or name.
fn kept_there_alone(device: &str, devices: &[Device], retention: &Retention) -> u64 {
    let named = devices.iter().find(|known| known.name == device || known.id.starts_with(device));
    let name = named.map_or(device, |known| known.name.as_str());
    if retention.kept_by.iter().any(|keeper| keeper != name) { 0 } else { retention.elsewhere }
}

fn farewell(revoked: &RevokeDeviceResponse, style: Style) -> String {
    let name = revoked.device.as_ref().map(|device| device.name.as_str()).unwrap_or_default();
    let mut lines = vec![
        format!("{} is not one of your devices any more", style.strong(name)),
        "it keeps what it holds, and what relays keep that was sent to it before; of what your devices write from now on it can read nothing"
            .into(),
        "if it knows passwords or keys of a relay, change them there and on your devices: with them it can delete or flood mail"
            .into(),
    ];
    if !revoked.unaware.is_empty() {
        let names: Vec<&str> = revoked.unaware.iter().map(|device| device.name.as_str()).collect();
        lines.push(format!("not yet told: {}; `kin devices list` shows when they are", names.join(", ")));
    }
    lines.join("\n")
}

fn words(listed: &ListDevicesResponse, now: u64, style: Style) -> String {
    let row = |device: &Device| {
        let seen = match (device.this_device, device.live) {
            (true, _) => style.good("this device"),
            (false, true) if !device.roster_seen => {
                format!("{}, has not heard of the last change of devices", instant::ago(device.last_seen_ms, now))
            }
            (false, true) => instant::ago(device.last_seen_ms, now),
            (false, false) => style.bad(&format!("{}, counts as gone", instant::ago(device.last_seen_ms, now))),
        };
        vec![style.strong(&device.name), device.id.clone(), seen]
    };
    let gone = |device: &Device| vec![device.name.clone(), device.id.clone(), style.bad("removed")];
    let rows = listed.devices.iter().map(row).chain(listed.removed.iter().map(gone));
    table(&rows.collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_removal_says_what_the_device_can_still_do_and_who_does_not_know() {
        let named = |name: &str| Device { name: name.into(), ..Device::default() };
        let revoked =
            RevokeDeviceResponse { device: Some(named("phone")), unaware: vec![named("desk"), named("attic")] };
        insta::assert_snapshot!(farewell(&revoked, Style::PLAIN), @r"
        phone is not one of your devices any more
        it keeps what it holds, and what relays keep that was sent to it before; of what your devices write from now on it can read nothing
        if it knows passwords or keys of a relay, change them there and on your devices: with them it can delete or flood mail
        not yet told: desk, attic; `kin devices list` shows when they are
        ");
    }

    #[test]
    fn bodies_that_only_the_removed_device_keeps_are_counted() {
        let server = Device { id: "0d".repeat(16), name: "server".into(), ..Device::default() };
        let kept_by = |names: &[&str]| {
            let kept_by = names.iter().map(|name| (*name).to_owned()).collect();
            Retention { elsewhere: 12, kept_by, ..Retention::default() }
        };
        let alone = |device: &str, retention| kept_there_alone(device, std::slice::from_ref(&server), &retention);
        assert_eq!((alone("server", kept_by(&["server"])), alone("0d0d", kept_by(&["server"]))), (12, 12));
        assert_eq!(alone("server", kept_by(&["desk", "server"])), 0);
        assert_eq!(alone("phone", kept_by(&["server"])), 0);
        assert_eq!(alone("server", kept_by(&[])), 12, "nobody has said anything since the start");
        assert_eq!(alone("server", Retention::default()), 0);
    }

    #[test]
    fn the_roster_says_when_each_was_seen() {
        let device = |name: &str, this_device, live, last_seen_ms| Device {
            id: "0a".repeat(16),
            name: name.into(),
            this_device,
            live,
            last_seen_ms,
            roster_seen: name != "tablet",
            ..Device::default()
        };
        let devices = [
            device("laptop", true, true, None),
            device("phone", false, true, Some(1_000)),
            device("tablet", false, true, Some(2_000)),
            device("old", false, false, None),
        ];
        let removed = vec![device("stolen", false, false, Some(1_000))];
        let listed = ListDevicesResponse { devices: devices.into(), removed };
        insta::assert_snapshot!(words(&listed, 61_000, Style::PLAIN), @r"
        laptop  0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a  this device
        phone   0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a  60 s ago
        tablet  0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a  59 s ago, has not heard of the last change of devices
        old     0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a  never, counts as gone
        stolen  0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a  removed
        ");
    }
}
