//! Pairing: the stream that shows a card, the code that closes it, the stream that joins.
//!
//! The daemon works while somebody listens: when a client ends its stream, the receiver of its events goes, and with it the invitation or
//! the attempt to join.

use ipc_proto::v1::{
    ErrorCode, ErrorDetail, JoinAccepted, JoinCheckCode, JoinDone, JoinEvent, JoinRequest, PairAnswered, PairCard,
    PairCodeNeeded, PairConfirmResponse, PairDone, PairEvent, PairShowRequest, PairWaiting, join_event, pair_event,
};
use kinfolk_core::ids::{DeviceId, Millis};
use tokio::sync::mpsc;
use tonic::{Request, Response, Status};

use super::devices;
use crate::daemon::Daemon;
use crate::ipc::convert::device;
use crate::ipc::pipe::{End, Events, Pipe};
use crate::ipc::{Api, error};
use crate::node::Node;
use crate::pairing::{InviteEvent, JoinEvent as Joining, Wishes};

/// Invites one device.
pub(super) async fn show(api: &Api, request: &Request<PairShowRequest>) -> Result<Response<Events<PairEvent>>, Status> {
    let node = api.node()?;
    let invited = api.daemon.invite(node.clone()).await.map_err(|refused| error::invite(&refused))?;
    api.pipes.open(request, |pipe| follow_invitation(node, invited, pipe))
}

/// Takes the check code.
pub(super) async fn confirm(api: &Api, code: &str) -> Result<PairConfirmResponse, Status> {
    let node = api.node()?;
    let id = api.daemon.confirm(code).await.map_err(|refused| error::invite(&refused))?;
    Ok(PairConfirmResponse { device: Some(added(&node, id).await?) })
}

/// Makes this device a sibling.
pub(super) fn join(api: &Api, request: &Request<JoinRequest>) -> Result<Response<Events<JoinEvent>>, Status> {
    let asked = request.get_ref();
    devices::check_key_store(asked.key_store)?;
    let name = devices::named(asked.device_name.clone())?;
    let wishes = Wishes { relays: asked.relay_urls.clone(), recent: asked.recent_ms.map(Millis) };
    let events = api.daemon.join(asked.card.clone(), name, wishes).map_err(|refused| error::join(&refused))?;
    let daemon = api.daemon.clone();
    api.pipes.open(request, move |pipe| async move { follow_join(&daemon, events, pipe).await })
}

async fn follow_invitation(
    node: std::sync::Arc<Node>,
    mut events: mpsc::Receiver<InviteEvent>,
    pipe: Pipe<PairEvent>,
) -> Result<(), End> {
    while let Some(event) = pipe.wait(events.recv()).await? {
        let event = match event {
            InviteEvent::Card { uri, expires: Millis(expires_at_ms) } => {
                pair_event::Event::Card(PairCard { uri, expires_at_ms })
            }
            InviteEvent::Waiting { relays } => pair_event::Event::Waiting(PairWaiting { relay_urls: relays }),
            InviteEvent::Answered { name } => pair_event::Event::Answered(PairAnswered { device_name: name }),
            InviteEvent::CodeNeeded { tries_left } => pair_event::Event::CodeNeeded(PairCodeNeeded { tries_left }),
            InviteEvent::Paired(id) => pair_event::Event::Paired(PairDone { device: Some(added(&node, id).await?) }),
            InviteEvent::Failed(refused) => pair_event::Event::Failed(error::invite(&refused)),
        };
        pipe.send(PairEvent { event: Some(event) }).await?;
    }
    Ok(())
}

async fn follow_join(daemon: &Daemon, mut events: mpsc::Receiver<Joining>, pipe: Pipe<JoinEvent>) -> Result<(), End> {
    while let Some(event) = pipe.wait(events.recv()).await? {
        let event = match event {
            Joining::Accepted { relays: relay_urls, expires: Millis(expires_at_ms) } => {
                join_event::Event::CardAccepted(JoinAccepted { relay_urls, expires_at_ms })
            }
            Joining::CheckCode(code) => join_event::Event::CheckCode(JoinCheckCode { code }),
            Joining::Joined(node) => {
                let listed = devices::list(&node).devices;
                let siblings = listed.into_iter().filter(|device| !device.this_device).collect();
                let keys = Some(devices::protection(daemon));
                join_event::Event::Joined(JoinDone { device: devices::this(&node), siblings, keys })
            }
            Joining::Failed(refused) => return Err(error::join(&refused).into()),
        };
        pipe.send(JoinEvent { event: Some(event) }).await?;
    }
    Ok(())
}

/// A device that was just added: it is shown right after the commit.
async fn added(node: &Node, id: DeviceId) -> Result<ipc_proto::v1::Device, Status> {
    let mut rosters = node.driver.roster();
    let known = rosters.wait_for(|roster| roster.member(id).is_some()).await;
    let roster = known.map_err(|_| ErrorDetail::new(ErrorCode::ShuttingDown, "the daemon is stopping"))?;
    let picture = node.driver.picture();
    let shown = device::show_one(&roster, &picture.borrow().status, id);
    let missing = || ErrorDetail::new(ErrorCode::Internal, "the device that was added is not on the roster");
    Ok(shown.ok_or_else(missing)?)
}
