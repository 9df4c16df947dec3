//! `kin devices`.

use ipc_proto::v1::{Device, ListDevicesRequest, RenameDeviceRequest};
use serde_json::json;

use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Style, table};
use crate::{instant, view};

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
}

impl Devices {
    pub(crate) async fn execute(self, context: &Context) -> Result<(), Failure> {
        let mut admin = context.client().await?.admin();
        match self {
            Self::List {} => {
                let devices = admin.list_devices(ListDevicesRequest {}).await?.into_inner().devices;
                let object = json!({ "devices": devices.iter().map(view::device).collect::<Vec<_>>() });
                context.output.show("devices.list", object, |style| words(&devices, instant::now_millis(), style))
            }
            Self::Rename { device, name } => {
                let renamed = admin.rename_device(RenameDeviceRequest { device, name }).await?.into_inner().device;
                let object = json!({ "device": renamed.as_ref().map(view::device) });
                context.output.show("devices.rename", object, |style| {
                    let device = renamed.unwrap_or_default();
                    format!("{} is now called {}", device.id, style.strong(&device.name))
                })
            }
        }
    }
}

fn words(devices: &[Device], now: u64, style: Style) -> String {
    let row = |device: &Device| {
        let seen = match (device.this_device, device.live) {
            (true, _) => style.good("this device"),
            (false, true) => instant::ago(device.last_seen_ms, now),
            (false, false) => style.bad(&format!("{}, counts as gone", instant::ago(device.last_seen_ms, now))),
        };
        vec![style.strong(&device.name), device.id.clone(), seen]
    };
    table(&devices.iter().map(row).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_roster_says_when_each_was_seen() {
        let device = |name: &str, this_device, live, last_seen_ms| Device {
            id: "0a".repeat(16),
            name: name.into(),
            this_device,
            live,
            last_seen_ms,
            ..Device::default()
        };
        let devices = [
            device("laptop", true, true, None),
            device("phone", false, true, Some(1_000)),
            device("old", false, false, None),
        ];
        insta::assert_snapshot!(words(&devices, 61_000, Style::PLAIN), @r"
        laptop  0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a  this device
        phone   0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a  60 s ago
        old     0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a  never, counts as gone
        ");
    }
}
