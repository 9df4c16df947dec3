//! The roster: its first device, its list, its names.

use ipc_proto::v1::{
    ErrorCode, ErrorDetail, InitRequest, InitResponse, KeyProtection, KeyStore, ListDevicesResponse,
    RenameDeviceRequest, RenameDeviceResponse, RevokeDeviceRequest, RevokeDeviceResponse,
};
use kinfolk_core::roster::name_fits;
use tonic::Status;

use super::host_name;
use crate::daemon::Daemon;
use crate::ipc::convert::{device, invalid, relay};
use crate::ipc::{Api, error};
use crate::node::{MAX_RELAYS, Node, RelayChangeError};

/// Makes the first device.
pub(super) async fn init(api: &Api, request: InitRequest) -> Result<InitResponse, Status> {
    check_key_store(request.key_store)?;
    let name = named(request.device_name)?;
    if request.relay_urls.len() > MAX_RELAYS {
        return Err(error::relay_change(&RelayChangeError::TooMany).into());
    }
    let node = api.daemon.init(&name, &request.relay_urls).await.map_err(|refused| error::init(&refused))?;
    let relays = node.relays().await.into_iter().map(relay::show).collect();
    Ok(InitResponse { device: this(&node), keys: Some(protection(&api.daemon)), relays })
}

/// The roster.
pub(super) fn list(node: &Node) -> ListDevicesResponse {
    let (roster, picture) = (node.driver.roster(), node.driver.picture());
    let devices = device::show_all(&roster.borrow(), &picture.borrow().status);
    let removed = device::show_removed(&roster.borrow(), &picture.borrow().status);
    ListDevicesResponse { devices, removed }
}

/// Gives a device another name.
pub(super) async fn rename(node: &Node, request: RenameDeviceRequest) -> Result<RenameDeviceResponse, Status> {
    if !name_fits(&request.name) {
        return Err(invalid(BAD_NAME).into());
    }
    let mut rosters = node.driver.roster();
    let id = device::find(&rosters.borrow_and_update(), &request.device)?;
    node.driver.rename(id, request.name.clone()).await.map_err(|fault| error::driver(&fault))?;
    // The roster is shown right after the commit that answered.
    let renamed = |name: &str| name == request.name;
    let roster = rosters.wait_for(|roster| roster.member(id).is_some_and(|member| renamed(&member.device.name))).await;
    let roster = roster.map_err(|_| ErrorDetail::new(ErrorCode::ShuttingDown, "the daemon is stopping"))?;
    let picture = node.driver.picture();
    let shown = device::show_one(&roster, &picture.borrow().status, id);
    Ok(RenameDeviceResponse { device: shown })
}

/// Removes a device.
pub(super) async fn revoke(node: &Node, request: RevokeDeviceRequest) -> Result<RevokeDeviceResponse, Status> {
    let mut rosters = node.driver.roster();
    let id = device::find(&rosters.borrow_and_update(), &request.device)?;
    let status = |node: &Node| node.driver.picture().borrow().status.clone();
    let removed = device::show_one(&rosters.borrow(), &status(node), id);
    node.driver.remove(id).await.map_err(|fault| error::driver(&fault))?;
    // The roster is shown right after the commit that answered.
    let roster = rosters.wait_for(|roster| roster.member(id).is_none()).await;
    let roster = roster.map_err(|_| ErrorDetail::new(ErrorCode::ShuttingDown, "the daemon is stopping"))?;
    let unaware = device::show_all(&roster, &status(node)).into_iter().filter(|device| !device.roster_seen);
    Ok(RevokeDeviceResponse { device: removed, unaware: unaware.collect() })
}

/// This device as the roster has it.
pub(super) fn this(node: &Node) -> Option<ipc_proto::v1::Device> {
    let (roster, picture) = (node.driver.roster(), node.driver.picture());
    let shown = device::show_one(&roster.borrow(), &picture.borrow().status, node.me);
    shown.map(|device| ipc_proto::v1::Device { this_device: true, live: true, ..device })
}

/// What protects the keys.
pub(super) fn protection(daemon: &Daemon) -> KeyProtection {
    let (provider, description) = daemon.key_protection();
    KeyProtection { provider: provider.into(), description: description.into() }
}

/// The name a new device gets: the one given, else that of the machine.
pub(super) fn named(name: String) -> Result<String, Status> {
    match name.as_str() {
        "" => Ok(host_name::device_name()),
        given if name_fits(given) => Ok(name),
        _ => Err(invalid(BAD_NAME).into()),
    }
}

/// There is one key store so far, and it is the best there is.
pub(super) fn check_key_store(asked: i32) -> Result<(), Status> {
    match KeyStore::try_from(asked) {
        Ok(KeyStore::Unspecified | KeyStore::File) => Ok(()),
        Err(_) => Err(invalid(format!("this daemon does not know key store {asked}")).into()),
    }
}

const BAD_NAME: &str = "a device name has 1 to 64 bytes and no control characters";
