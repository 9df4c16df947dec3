//! When this device syncs, and a pass at once.

use std::time::Duration;

use ipc_proto::v1::{SetSyncModeRequest, SetSyncModeResponse, SyncMode, SyncNowRequest, SyncNowResponse, SyncPart};
use tonic::Status;

use super::status;
use crate::ipc::convert::{invalid, relay};
use crate::ipc::{Api, error};
use crate::node::Part;
use crate::sync::{LEAST_EVERY, MOST_EVERY, Mode, Plan};

/// A pass over every relay.
pub(super) async fn now(api: &Api, request: SyncNowRequest) -> Result<SyncNowResponse, Status> {
    let node = api.node()?;
    let part = match SyncPart::try_from(request.part) {
        Ok(SyncPart::Unspecified) => Part::Both,
        Ok(SyncPart::Push) => Part::Push,
        Ok(SyncPart::Pull) => Part::Pull,
        Err(_) => return Err(invalid(format!("this daemon knows no part {} of a pass", request.part)).into()),
    };
    let exchanged = node.exchange(part).await.map_err(|refused| error::exchange(&refused))?;
    let status = status::read(&api.daemon, &node).await?;
    let relays = exchanged.relays.into_iter().map(relay::show).collect();
    Ok(SyncNowResponse { sent: exchanged.sent, received: exchanged.received, relays, status: Some(status) })
}

/// Another mode.
pub(super) async fn set_mode(api: &Api, request: SetSyncModeRequest) -> Result<SetSyncModeResponse, Status> {
    let node = api.node()?;
    let mode = match request.mode() {
        SyncMode::Unspecified => {
            return Err(invalid(format!("this daemon knows no sync mode {}", request.mode)).into());
        }
        SyncMode::Realtime => Mode::Realtime,
        SyncMode::Periodic => Mode::Periodic,
        SyncMode::Hybrid => Mode::Hybrid,
        SyncMode::Manual => Mode::Manual,
        SyncMode::Off => Mode::Off,
    };
    let every = request.every_ms.map_or(node.plan().every, Duration::from_millis);
    if !(LEAST_EVERY..=MOST_EVERY).contains(&every) {
        let (least, most) = (LEAST_EVERY.as_secs(), MOST_EVERY.as_secs() / 86_400);
        return Err(invalid(format!("passes lie at least {least} s and at most {most} days apart")).into());
    }
    node.set_plan(Plan { mode, every }).await.map_err(|fault| error::driver(&fault))?;
    Ok(SetSyncModeResponse { status: Some(status::read(&api.daemon, &node).await?) })
}

/// A mode, outwards.
pub(super) fn show_mode(mode: Mode) -> SyncMode {
    match mode {
        Mode::Realtime => SyncMode::Realtime,
        Mode::Periodic => SyncMode::Periodic,
        Mode::Hybrid => SyncMode::Hybrid,
        Mode::Manual => SyncMode::Manual,
        Mode::Off => SyncMode::Off,
    }
}
