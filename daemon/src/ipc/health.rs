//! The standard health service (`grpc.health.v1`): which services can do their work now.
//!
//! `Info` and `Admin` work whenever the daemon does. `Records` and `Conversations` need a device that is set up and unlocked.

use ipc_proto::v1::admin_server::AdminServer;
use ipc_proto::v1::conversations_server::ConversationsServer;
use ipc_proto::v1::info_server::InfoServer;
use ipc_proto::v1::records_server::RecordsServer;
use ipc_proto::v1::{ErrorCode, ErrorDetail};
use tonic::server::NamedService;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::Health;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::Api;
use super::pipe::{End, Events};
use crate::daemon::Setup;

#[tonic::async_trait]
impl Health for Api {
    type WatchStream = Events<HealthCheckResponse>;

    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        match health(&request.get_ref().service, &self.daemon.setup()) {
            ServingStatus::ServiceUnknown => Err(Status::not_found("there is no such service")),
            status @ (ServingStatus::Unknown | ServingStatus::Serving | ServingStatus::NotServing) => {
                Ok(Response::new(reply(status)))
            }
        }
    }

    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let service = request.get_ref().service.clone();
        let mut setups = self.daemon.watch_setup();
        self.pipes.open(&request, |pipe| async move {
            let mut sent = None;
            loop {
                let status = health(&service, &setups.borrow_and_update());
                if sent.replace(status) != Some(status) {
                    pipe.send(reply(status)).await?;
                }
                if pipe.wait(setups.changed()).await?.is_err() {
                    return Err(End::from(ErrorDetail::new(ErrorCode::ShuttingDown, "the daemon is stopping")));
                }
            }
        })
    }
}

/// How a service is; the empty name stands for the daemon as a whole.
fn health(service: &str, setup: &Setup) -> ServingStatus {
    let always = ["", InfoServer::<Api>::NAME, AdminServer::<Api>::NAME];
    let with_device = [RecordsServer::<Api>::NAME, ConversationsServer::<Api>::NAME];
    match setup {
        _ if always.contains(&service) => ServingStatus::Serving,
        _ if !with_device.contains(&service) => ServingStatus::ServiceUnknown,
        Setup::Ready(_) => ServingStatus::Serving,
        Setup::NotSetUp | Setup::Locked(_) => ServingStatus::NotServing,
    }
}

fn reply(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::Locked;

    #[test]
    fn a_service_that_needs_a_device_does_not_serve_without_one() {
        let locked = Locked { reason: "x".into(), hint: "y" };
        for setup in [Setup::NotSetUp, Setup::Locked(locked)] {
            assert_eq!(health("", &setup), ServingStatus::Serving);
            assert_eq!(health("kinfolk.v1.Info", &setup), ServingStatus::Serving);
            assert_eq!(health("kinfolk.v1.Admin", &setup), ServingStatus::Serving);
            assert_eq!(health("kinfolk.v1.Records", &setup), ServingStatus::NotServing);
            assert_eq!(health("kinfolk.v1.Conversations", &setup), ServingStatus::NotServing);
            assert_eq!(health("kinfolk.v1.Nonsense", &setup), ServingStatus::ServiceUnknown);
        }
    }
}
