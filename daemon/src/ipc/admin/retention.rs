//! How long bodies of messages stay, and who keeps them.

use std::sync::Arc;
use std::time::Duration;

use ipc_proto::v1::{
    PruneHindrance, Retention, SetRetentionRequest, SetRetentionResponse, StorePruneRequest, StorePruneResponse,
};
use kinfolk_core::ids::{DeviceId, Millis};
use kinfolk_core::step::Hindrance;
use tokio::time::{Instant, timeout_at};
use tonic::Status;

use super::status;
use crate::driver::{Picture, before, wall_clock};
use crate::ipc::bodies::{keepers, names};
use crate::ipc::convert::invalid;
use crate::ipc::{Api, error, read};
use crate::node::Node;
use crate::store::Pruned;

/// How long devices are waited for that were asked to keep all bodies.
const PATIENCE: Duration = Duration::from_secs(8);
/// Longest retention, in days: 100 years.
const MOST_DAYS: u32 = 36_500;
const DAY_MS: u64 = 24 * 3_600_000;

/// Lets go of bodies, or says which could go.
pub(super) async fn prune(node: &Node, request: StorePruneRequest) -> Result<StorePruneResponse, Status> {
    let days = node.driver.picture().borrow().retention;
    let age = request.older_than_ms.or(days.map(|days| u64::from(days).saturating_mul(DAY_MS)));
    let Some(age) = age else {
        return Err(invalid("how old? no retention is set: say `older_than_ms`, or set one").into());
    };
    let before_us = before(wall_clock(), Millis(age));
    if !request.dry_run {
        node.driver.keep(move |store| store.leave(before_us)).await.map_err(|fault| error::driver(&fault))?;
    }
    let until = Instant::now() + PATIENCE;
    let mut answer = StorePruneResponse::default();
    loop {
        let mut pictures = node.driver.picture();
        let (planned, went) =
            node.driver.prune(before_us, request.dry_run).await.map_err(|fault| error::driver(&fault))?;
        let picture = Arc::clone(&pictures.borrow_and_update());
        let pruning = match planned {
            Ok(pruning) => pruning,
            Err(Hindrance::NoKeeper) if picture.status.siblings.iter().any(|sibling| sibling.live) => {
                // They were asked just now.
                let given = pictures.wait_for(|picture| !picture.status.kept_by.is_empty());
                if matches!(timeout_at(until, given).await, Ok(Ok(_))) {
                    continue;
                }
                return Ok(StorePruneResponse { hindrance: PruneHindrance::NoKeeper.into(), ..answer });
            }
            Err(hindrance) => {
                let (hindrance, devices) = show_hindrance(hindrance);
                let devices = names(&picture, &devices);
                return Ok(StorePruneResponse { hindrance: hindrance.into(), devices, ..answer });
            }
        };
        let went = match request.dry_run {
            true => read(&node.reader, move |reader| reader.would_prune(&pruning)).await?,
            false => went,
        };
        let Pruned { bodies, bytes, waiting, more } = went;
        answer.bodies += bodies;
        answer.bytes += bytes;
        (answer.waiting, answer.devices) = (waiting, keepers(&picture));
        if !more {
            return Ok(answer);
        }
    }
}

/// Another retention.
pub(super) async fn set(api: &Api, request: SetRetentionRequest) -> Result<SetRetentionResponse, Status> {
    let node = api.node()?;
    if request.days.is_some_and(|days| !(1..=MOST_DAYS).contains(&days)) {
        return Err(invalid(format!("bodies stay 1 to {MOST_DAYS} days, or for good")).into());
    }
    node.driver.retain(request.days).await.map_err(|fault| error::driver(&fault))?;
    node.refill_again.notify_one();
    Ok(SetRetentionResponse { status: Some(status::read(&api.daemon, &node).await?) })
}

/// Who keeps what, for the status.
pub(super) fn show(picture: &Picture) -> Retention {
    Retention {
        days: picture.retention,
        elsewhere: picture.status.lacking,
        kept_by: keepers(picture),
        keeps_for: names(picture, &picture.status.keeps_for),
    }
}

fn show_hindrance(hindrance: Hindrance) -> (PruneHindrance, Vec<DeviceId>) {
    match hindrance {
        Hindrance::NoKeeper => (PruneHindrance::NoKeeper, Vec::new()),
        Hindrance::Needed(devices) => (PruneHindrance::Needed, devices),
        Hindrance::OldVersion(device) => (PruneHindrance::OldVersion, vec![device]),
    }
}
