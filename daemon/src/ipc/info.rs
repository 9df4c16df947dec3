//! Who answers here. Works in every state of the daemon.

use ipc_proto::v1::info_server::Info;
use ipc_proto::v1::{GetInfoRequest, GetInfoResponse, SetupState};
use ipc_proto::{PROTOCOL_MAX, PROTOCOL_MIN};
use tonic::{Request, Response, Status};

use super::Api;
use super::convert::invalid;
use crate::daemon::Setup;
use crate::relay;

/// Longest name that a caller may give itself, in bytes.
const MAX_CLIENT: usize = 128;

#[tonic::async_trait]
impl Info for Api {
    async fn get_info(&self, request: Request<GetInfoRequest>) -> Result<Response<GetInfoResponse>, Status> {
        let client = request.into_inner().client;
        if client.len() > MAX_CLIENT {
            return Err(invalid(format!("a client's name has at most {MAX_CLIENT} bytes")).into());
        }
        tracing::debug!(client = %client.escape_debug(), "a client introduces itself");
        let (setup, device) = match self.daemon.setup() {
            Setup::NotSetUp => (SetupState::NotSetUp, None),
            Setup::Locked(_) => (SetupState::Locked, None),
            Setup::Ready(node) => (SetupState::Ready, Some(node)),
        };
        let (device_id, device_name) = device.map_or_else(Default::default, |node| {
            let roster = node.driver.roster();
            let name = roster.borrow().member(node.me).map(|member| member.device.name.clone());
            (node.me.to_string(), name.unwrap_or_default())
        });
        let instance = self.daemon.instance();
        Ok(Response::new(GetInfoResponse {
            version: env!("CARGO_PKG_VERSION").into(),
            protocol_min: PROTOCOL_MIN,
            protocol_max: PROTOCOL_MAX,
            features: relay::url::SUPPORTED.iter().map(|scheme| format!("relay.{scheme}")).collect(),
            setup: setup.into(),
            device_id,
            device_name,
            instance_id: instance.id.clone(),
            pid: instance.pid,
            started_at_ms: instance.started.0,
        }))
    }
}
