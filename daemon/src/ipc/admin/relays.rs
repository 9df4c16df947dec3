//! Relays.

use ipc_proto::v1::{AddRelayResponse, ListRelaysResponse, RemoveRelayResponse, TestRelayResponse};
use tonic::Status;

use crate::ipc::convert::relay;
use crate::ipc::error;
use crate::node::{Added, Node};

/// Adds a relay.
pub(super) async fn add(node: &Node, url: &str) -> Result<AddRelayResponse, Status> {
    let (report, added) = node.add_relay(url).await.map_err(|refused| error::relay_change(&refused))?;
    Ok(AddRelayResponse {
        relay: Some(relay::show(report)),
        already_there: added != Added::Now,
        url_changed: added == Added::Moved,
    })
}

/// The relays in use.
pub(super) async fn list(node: &Node) -> ListRelaysResponse {
    ListRelaysResponse { relays: node.relays().await.into_iter().map(relay::show).collect() }
}

/// Tries a relay, in use or not, without adding it.
pub(super) async fn test(node: &Node, url: &str) -> Result<TestRelayResponse, Status> {
    let trial = node.test_relay(url).await.map_err(|refused| error::relay_change(&refused))?;
    Ok(relay::show_trial(trial))
}

/// Stops using a relay.
pub(super) async fn remove(node: &Node, url: &str) -> Result<RemoveRelayResponse, Status> {
    let report = node.remove_relay(url).await.map_err(|refused| error::relay_change(&refused))?;
    Ok(RemoveRelayResponse { relay: Some(relay::show(report)) })
}
