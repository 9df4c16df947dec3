//! Relays, and a pass over all of them.

use ipc_proto::v1::{
    AddRelayResponse, ErrorCode, ErrorDetail, ListRelaysResponse, RemoveRelayResponse, SyncNowResponse,
    TestRelayResponse,
};
use tonic::Status;

use super::status;
use crate::ipc::convert::relay;
use crate::ipc::{Api, error};
use crate::node::{self, Node};

/// Adds a relay.
pub(super) async fn add(node: &Node, url: &str) -> Result<AddRelayResponse, Status> {
    let (report, already_there) = node.add_relay(url).await.map_err(|refused| error::relay_change(&refused))?;
    Ok(AddRelayResponse { relay: Some(relay::show(report)), already_there })
}

/// The relays in use.
pub(super) async fn list(node: &Node) -> ListRelaysResponse {
    ListRelaysResponse { relays: node.relays().await.into_iter().map(relay::show).collect() }
}

/// Tries a relay without adding it.
pub(super) async fn test(url: &str) -> Result<TestRelayResponse, Status> {
    let (report, took) = node::test_relay(url).await.map_err(|refused| error::relay(&refused))?;
    let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    Ok(TestRelayResponse { relay: Some(relay::show(report)), took_us })
}

/// Stops using a relay.
pub(super) async fn remove(node: &Node, url: &str) -> Result<RemoveRelayResponse, Status> {
    let report = node.remove_relay(url).await.map_err(|refused| error::relay_change(&refused))?;
    Ok(RemoveRelayResponse { relay: Some(relay::show(report)) })
}

/// Sends and fetches at once on every relay.
pub(super) async fn sync_now(api: &Api) -> Result<SyncNowResponse, Status> {
    let node = api.node()?;
    if node.relays().await.is_empty() {
        let none = ErrorDetail::new(ErrorCode::NoRelay, "there is no relay to sync over");
        return Err(none.hint("add one with `kin relay add URL`").into());
    }
    let (sent, received) = node.sync_pass().await.map_err(|fault| error::driver(&fault))?;
    let status = status::read(&api.daemon, &node).await?;
    Ok(SyncNowResponse { sent, received, relays: status.relays.clone(), status: Some(status) })
}
