//! The window in which a crash could lose something: events accepted on a device that its sibling has not confirmed.
//!
//! The daemon is asked over its socket by this process, not through `kin`: between its answer and the kill lie microseconds, not the start of
//! a program.

use std::thread::sleep;
use std::time::Duration;

use ipc_proto::Credential;
use ipc_proto::client::{Client, Connect};
use ipc_proto::paths::Paths;
use ipc_proto::v1::GetStatusRequest;
use tokio::runtime::{Builder, Runtime};

use crate::e2e::Failed;
use crate::e2e::device::Device;

/// Once in so many looks in vain one more event is let in: every 20 ms.
const DRIP: u32 = 20;
/// 60 s in all. Generous: it only turns a hang into a failure.
const LOOKS: u32 = 60_000;
const BETWEEN_LOOKS: Duration = Duration::from_millis(1);
/// How long a daemon that was just started may take to answer.
const STARTS: Duration = Duration::from_secs(20);

/// Looks into the devices that are written on.
#[derive(Debug)]
pub(super) struct Window {
    runtime: Runtime,
    clients: Vec<Client>,
}

impl Window {
    /// Connects to the daemons of these devices; the connections live on through their restarts.
    pub(super) fn of<'a>(devices: impl Iterator<Item = &'a Device>) -> Result<Self, Failed> {
        let runtime = Builder::new_current_thread().enable_all().build().map_err(Failed::io("starting a runtime"))?;
        let clients = devices.map(|device| runtime.block_on(connect(device))).collect::<Result<_, _>>()?;
        Ok(Self { runtime, clients })
    }

    /// Waits until events are on their way from one of them; says how many. When all have arrived, lets more in.
    pub(super) fn waits(&mut self, more: impl Fn()) -> Result<u64, Failed> {
        let mut last = String::new();
        for look in 1..=LOOKS {
            for client in &self.clients {
                let mut admin = client.admin();
                match self.runtime.block_on(admin.get_status(GetStatusRequest {})) {
                    Ok(status) => match status.into_inner().pending_up {
                        0 => {}
                        waiting => return Ok(waiting),
                    },
                    // The first call after a kill learns that the connection died with the daemon.
                    Err(error) => last = error.to_string(),
                }
            }
            if look % DRIP == 0 {
                more();
            }
            sleep(BETWEEN_LOOKS);
        }
        Err(Failed::Expected(format!("events on their way {last}")))
    }
}

/// A client of the daemon of a device, in this process.
pub(in crate::e2e) async fn connect(device: &Device) -> Result<Client, Failed> {
    let home = &device.home;
    let paths = Paths {
        config: home.join("config"),
        state: home.join("state"),
        log: home.join("state/log"),
        socket: home.join("run/kinfolk.sock"),
        socket_is_explicit: true,
    };
    let connect = Connect { paths, client: "e2e".into(), wait: STARTS, credential: Credential::Owner };
    let refused = |error| Failed::Expected(format!("the daemon of {} to answer: {error}", device.name));
    Client::connect(&connect).await.map_err(refused)
}
