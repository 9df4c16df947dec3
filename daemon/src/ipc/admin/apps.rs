//! Apps: authorized, listed, revoked.

use ipc_proto::v1::{AuthorizeAppRequest, AuthorizeAppResponse, ListAppsResponse, RevokeAppResponse};
use tonic::Status;

use crate::driver::wall_clock;
use crate::ipc::convert::{app, invalid};
use crate::ipc::error;
use crate::node::Node;

/// Authorizes an app and shows its token, this once.
pub(super) async fn authorize(node: &Node, request: AuthorizeAppRequest) -> Result<AuthorizeAppResponse, Status> {
    let AuthorizeAppRequest { name, collections, conversations, quota } = request;
    let collections = app::read_grant(collections).map_err(invalid)?;
    let conversations = app::read_grant(conversations).map_err(invalid)?;
    let quota = app::read_quota(quota);
    let made = node.apps.authorize(&node.driver, name, collections, conversations, quota, wall_clock()).await;
    let (made, token) = made.map_err(|refused| error::app(&refused))?;
    tracing::info!(app = made.name, "an app was authorized");
    Ok(AuthorizeAppResponse { app: Some(app::show(&made)), token: token.reveal().to_owned() })
}

/// All apps.
pub(super) fn list(node: &Node) -> ListAppsResponse {
    ListAppsResponse { apps: node.apps.list().iter().map(|known| app::show(known)).collect() }
}

/// Takes an app's token back.
pub(super) async fn revoke(node: &Node, name: &str) -> Result<RevokeAppResponse, Status> {
    let revoked = node.apps.revoke(&node.driver, name).await.map_err(|refused| error::app(&refused))?;
    tracing::info!(app = revoked.name, "an app was revoked");
    Ok(RevokeAppResponse { app: Some(app::show(&revoked)) })
}
