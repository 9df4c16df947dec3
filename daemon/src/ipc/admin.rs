//! The owner's calls: set-up, devices, relays, status, the store. One file for each group.

mod apps;
mod devices;
mod explain;
mod host_name;
mod pairing;
mod quarantine;
mod relays;
mod retention;
mod status;
mod store;
mod sync;

use ipc_proto::v1::admin_server::Admin;
use ipc_proto::v1::{
    AddRelayRequest, AddRelayResponse, AuthorizeAppRequest, AuthorizeAppResponse, DropQuarantineRequest,
    DropQuarantineResponse, ExplainRequest, ExplainResponse, ExportRequest, ExportResponse, GetStatusRequest,
    InitRequest, InitResponse, JoinEvent, JoinRequest, ListAppsRequest, ListAppsResponse, ListDevicesRequest,
    ListDevicesResponse, ListQuarantineRequest, ListQuarantineResponse, ListRelaysRequest, ListRelaysResponse,
    PairConfirmRequest, PairConfirmResponse, PairEvent, PairShowRequest, RemoveRelayRequest, RemoveRelayResponse,
    RenameDeviceRequest, RenameDeviceResponse, RetryQuarantineRequest, RetryQuarantineResponse, RevokeAppRequest,
    RevokeAppResponse, RevokeDeviceRequest, RevokeDeviceResponse, SetRetentionRequest, SetRetentionResponse,
    SetSyncModeRequest, SetSyncModeResponse, ShutdownRequest, ShutdownResponse, Status as DeviceStatus,
    StoreCompactRequest, StoreCompactResponse, StoreCompareRequest, StoreCompareResponse, StorePruneRequest,
    StorePruneResponse, StoreVerifyRequest, StoreVerifyResponse, SyncNowRequest, SyncNowResponse, TestRelayRequest,
    TestRelayResponse, WatchStatusRequest,
};
use tonic::{Request, Response, Status};

use super::Api;
use super::pipe::Events;

#[tonic::async_trait]
impl Admin for Api {
    type WatchStatusStream = Events<DeviceStatus>;
    type PairShowStream = Events<PairEvent>;
    type JoinStream = Events<JoinEvent>;
    type ExportStream = Events<ExportResponse>;

    async fn init(&self, request: Request<InitRequest>) -> Result<Response<InitResponse>, Status> {
        Ok(Response::new(devices::init(self, request.into_inner()).await?))
    }

    async fn get_status(&self, _: Request<GetStatusRequest>) -> Result<Response<DeviceStatus>, Status> {
        Ok(Response::new(status::read(&self.daemon, &*self.node()?).await?))
    }

    async fn watch_status(
        &self,
        request: Request<WatchStatusRequest>,
    ) -> Result<Response<Self::WatchStatusStream>, Status> {
        let (daemon, node) = (self.daemon.clone(), self.node()?);
        self.pipes.open(&request, |pipe| status::watch(daemon, node, pipe))
    }

    async fn sync_now(&self, request: Request<SyncNowRequest>) -> Result<Response<SyncNowResponse>, Status> {
        Ok(Response::new(sync::now(self, request.into_inner()).await?))
    }

    async fn set_sync_mode(
        &self,
        request: Request<SetSyncModeRequest>,
    ) -> Result<Response<SetSyncModeResponse>, Status> {
        Ok(Response::new(sync::set_mode(self, request.into_inner()).await?))
    }

    async fn list_devices(&self, _: Request<ListDevicesRequest>) -> Result<Response<ListDevicesResponse>, Status> {
        Ok(Response::new(devices::list(&*self.node()?)))
    }

    async fn rename_device(
        &self,
        request: Request<RenameDeviceRequest>,
    ) -> Result<Response<RenameDeviceResponse>, Status> {
        Ok(Response::new(devices::rename(&*self.node()?, request.into_inner()).await?))
    }

    async fn revoke_device(
        &self,
        request: Request<RevokeDeviceRequest>,
    ) -> Result<Response<RevokeDeviceResponse>, Status> {
        Ok(Response::new(devices::revoke(&*self.node()?, request.into_inner()).await?))
    }

    async fn pair_show(&self, request: Request<PairShowRequest>) -> Result<Response<Self::PairShowStream>, Status> {
        pairing::show(self, &request).await
    }

    async fn pair_confirm(
        &self,
        request: Request<PairConfirmRequest>,
    ) -> Result<Response<PairConfirmResponse>, Status> {
        Ok(Response::new(pairing::confirm(self, &request.into_inner().code).await?))
    }

    async fn join(&self, request: Request<JoinRequest>) -> Result<Response<Self::JoinStream>, Status> {
        pairing::join(self, &request)
    }

    async fn add_relay(&self, request: Request<AddRelayRequest>) -> Result<Response<AddRelayResponse>, Status> {
        Ok(Response::new(relays::add(&*self.node()?, &request.into_inner().url).await?))
    }

    async fn list_relays(&self, _: Request<ListRelaysRequest>) -> Result<Response<ListRelaysResponse>, Status> {
        Ok(Response::new(relays::list(&*self.node()?).await))
    }

    async fn test_relay(&self, request: Request<TestRelayRequest>) -> Result<Response<TestRelayResponse>, Status> {
        Ok(Response::new(relays::test(&*self.node()?, &request.into_inner().url).await?))
    }

    async fn remove_relay(
        &self,
        request: Request<RemoveRelayRequest>,
    ) -> Result<Response<RemoveRelayResponse>, Status> {
        Ok(Response::new(relays::remove(&*self.node()?, &request.into_inner().url).await?))
    }

    async fn store_verify(&self, _: Request<StoreVerifyRequest>) -> Result<Response<StoreVerifyResponse>, Status> {
        let (node, _leave) = (self.node()?, self.long_read()?);
        Ok(Response::new(store::verify(&node).await?))
    }

    async fn store_compact(
        &self,
        request: Request<StoreCompactRequest>,
    ) -> Result<Response<StoreCompactResponse>, Status> {
        let (node, _leave) = (self.node()?, self.long_read()?);
        Ok(Response::new(store::compact(&node, request.into_inner().dry_run).await?))
    }

    async fn store_prune(&self, request: Request<StorePruneRequest>) -> Result<Response<StorePruneResponse>, Status> {
        let (node, _leave) = (self.node()?, self.long_read()?);
        Ok(Response::new(retention::prune(&node, request.into_inner()).await?))
    }

    async fn set_retention(
        &self,
        request: Request<SetRetentionRequest>,
    ) -> Result<Response<SetRetentionResponse>, Status> {
        Ok(Response::new(retention::set(self, request.into_inner()).await?))
    }

    async fn store_compare(
        &self,
        request: Request<StoreCompareRequest>,
    ) -> Result<Response<StoreCompareResponse>, Status> {
        Ok(Response::new(store::compare(&*self.node()?, &request.into_inner().device).await?))
    }

    async fn list_quarantine(
        &self,
        request: Request<ListQuarantineRequest>,
    ) -> Result<Response<ListQuarantineResponse>, Status> {
        Ok(Response::new(quarantine::list(&*self.node()?, request.into_inner().after).await?))
    }

    async fn retry_quarantine(
        &self,
        request: Request<RetryQuarantineRequest>,
    ) -> Result<Response<RetryQuarantineResponse>, Status> {
        Ok(Response::new(quarantine::retry(&*self.node()?, request.into_inner().ids).await?))
    }

    async fn drop_quarantine(
        &self,
        request: Request<DropQuarantineRequest>,
    ) -> Result<Response<DropQuarantineResponse>, Status> {
        Ok(Response::new(quarantine::hide(&*self.node()?, request.into_inner().ids).await?))
    }

    async fn explain(&self, request: Request<ExplainRequest>) -> Result<Response<ExplainResponse>, Status> {
        Ok(Response::new(explain::explain(&*self.node()?, request.into_inner().id).await?))
    }

    async fn export(&self, request: Request<ExportRequest>) -> Result<Response<Self::ExportStream>, Status> {
        let (node, leave) = (self.node()?, self.long_read()?);
        self.pipes.open(&request, |pipe| store::export(node, leave, pipe))
    }

    async fn authorize_app(
        &self,
        request: Request<AuthorizeAppRequest>,
    ) -> Result<Response<AuthorizeAppResponse>, Status> {
        Ok(Response::new(apps::authorize(&*self.node()?, request.into_inner()).await?))
    }

    async fn list_apps(&self, _: Request<ListAppsRequest>) -> Result<Response<ListAppsResponse>, Status> {
        Ok(Response::new(apps::list(&*self.node()?)))
    }

    async fn revoke_app(&self, request: Request<RevokeAppRequest>) -> Result<Response<RevokeAppResponse>, Status> {
        Ok(Response::new(apps::revoke(&*self.node()?, &request.into_inner().name).await?))
    }

    async fn shutdown(&self, _: Request<ShutdownRequest>) -> Result<Response<ShutdownResponse>, Status> {
        tracing::info!("asked to stop");
        self.daemon.shutdown();
        Ok(Response::new(ShutdownResponse {}))
    }
}
