//! The store: its proof, its comparison with siblings, everything in it.

use std::ops::ControlFlow;
use std::sync::Arc;

use ipc_proto::v1::{
    Comparison, DeviceComparison, ExportItem, ExportResponse, StoreCompactResponse, StoreCompareResponse,
    StoreVerifyResponse, export_item::Item,
};
use kinfolk_core::digest::{self, Sum};
use kinfolk_core::ids::{Hash, Millis};
use kinfolk_core::op::OP_LEVEL;
use kinfolk_core::parcel::MAX_SUMS;
use kinfolk_core::step::SiblingStatus;
use tokio::sync::OwnedSemaphorePermit;
use tonic::Status;

use crate::ipc::bulk::{self, Chunk};
use crate::ipc::convert::{device, invalid, message, record};
use crate::ipc::pipe::{End, Pipe};
use crate::ipc::{error, read};
use crate::node::Node;
use crate::store::{Compacted, Exported};

/// Rebuilds the state from the log and compares.
pub(super) async fn verify(node: &Node) -> Result<StoreVerifyResponse, Status> {
    let report = read(&node.reader, |reader| reader.verify()).await?;
    // Of what cannot be read nothing can be told.
    let content = read(&node.reader, |reader| reader.content_digest()).await;
    Ok(StoreVerifyResponse {
        ok: report.problems.is_empty(),
        bundles: report.bundles,
        ops: report.ops,
        digest: report.digest.to_string(),
        rebuilt_digest: report.rebuilt.map(|digest| digest.to_string()).unwrap_or_default(),
        problems: report.problems.iter().map(ToString::to_string).collect(),
        unknown_ops: report.idle.unknown,
        invalid_ops: report.idle.invalid,
        content_digest: content.map(|digest| digest.to_string()).unwrap_or_default(),
    })
}

/// Compacts the log, or says what would go.
pub(super) async fn compact(node: &Node, dry_run: bool) -> Result<StoreCompactResponse, Status> {
    let (planned, mut went) = node.driver.compact(dry_run).await.map_err(|fault| error::driver(&fault))?;
    let sources = u64::try_from(planned.watermark.len()).unwrap_or(u64::MAX);
    if dry_run && sources > 0 {
        went = read(&node.reader, move |reader| reader.would_compact(&planned)).await?;
    }
    let Compacted { bundles, shortened, ops, bytes, .. } = went;
    Ok(StoreCompactResponse { bundles, shortened, ops, bytes, sources })
}

/// Holds this device's digest against those that siblings reported. Who differs is asked for its sums, to find the place.
pub(super) async fn compare(node: &Node, called: &str) -> Result<StoreCompareResponse, Status> {
    let wanted = match called {
        "" => None,
        called => Some(device::find(&node.driver.roster().borrow(), called)?),
    };
    if wanted == Some(node.me) {
        return Err(invalid("this device equals itself: name another one").into());
    }
    let picture = Arc::clone(&node.driver.picture().borrow());
    let mut devices = Vec::new();
    for sibling in picture.status.siblings.iter().filter(|sibling| wanted.is_none_or(|id| id == sibling.device)) {
        let mut device = compared(sibling, picture.digest);
        if device.result() == Comparison::Different {
            match &sibling.sums {
                Some(theirs) => device.first_difference = place(node, theirs, picture.digest).await?,
                None => {
                    node.driver.ask_sums(sibling.device).await.map_err(|fault| error::driver(&fault))?;
                }
            }
        }
        devices.push(device);
    }
    devices.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
    Ok(StoreCompareResponse { digest: picture.digest.to_string(), devices })
}

/// Sends everything apps see, from one moment. Ends early when the stream does.
pub(super) async fn export(
    node: Arc<Node>,
    leave: OwnedSemaphorePermit,
    pipe: Pipe<ExportResponse>,
) -> Result<(), End> {
    bulk::send(&node.reader, leave, pipe, |reader, send| {
        let mut chunk = Chunk::new();
        reader.export(|item| match chunk.add(show(item)) {
            None => ControlFlow::Continue(()),
            Some(items) => send(ExportResponse { items }),
        })?;
        if let Some(items) = chunk.rest() {
            // Nobody reads any more: that is all right, too.
            let _ = send(ExportResponse { items });
        }
        Ok(())
    })
    .await
}

/// The first collection that differs; empty when this device has moved on from `ours` meanwhile.
async fn place(node: &Node, theirs: &[(String, Sum)], ours: Hash) -> Result<String, Status> {
    let sums = read(&node.reader, |reader| reader.sums()).await?;
    if digest::state(sums.iter().map(|(name, sum)| (name.as_str(), *sum))) != ours {
        return Ok(String::new());
    }
    let told = theirs.iter().cloned().collect();
    Ok(digest::first_difference(&sums, &told, theirs.len() < MAX_SUMS).unwrap_or_default().to_owned())
}

fn compared(sibling: &SiblingStatus, ours: Hash) -> DeviceComparison {
    let result = match sibling.digest {
        _ if sibling.lag > 0 || sibling.ahead > 0 => Comparison::Behind,
        None => Comparison::Unspecified,
        Some(theirs) if theirs == ours => Comparison::Equal,
        // One of them leaves effects out that the other has.
        Some(_) if sibling.op_level != OP_LEVEL => Comparison::OtherVersion,
        Some(_) => Comparison::Different,
    };
    DeviceComparison {
        id: sibling.device.to_string(),
        name: sibling.name.clone(),
        result: result.into(),
        digest: sibling.digest.map(|digest| digest.to_string()).unwrap_or_default(),
        reported_at_ms: sibling.heard.map(|Millis(at)| at),
        lacks: sibling.lag,
        ahead: sibling.ahead,
        first_difference: String::new(),
    }
}

fn show(item: Exported) -> ExportItem {
    let item = match item {
        Exported::Message(view) => Item::Message(message::show(*view)),
        Exported::Record(view) => record::show_in_export(*view),
    };
    ExportItem { item: Some(item) }
}

#[cfg(test)]
mod tests {
    use kinfolk_core::ids::DeviceId;

    use super::*;

    #[test]
    fn a_comparison_is_only_made_between_equal_logs() {
        let ours = Hash([7; 32]);
        let sibling = |lag, ahead, digest| SiblingStatus { lag, ahead, digest, ..quiet() };
        let result = |sibling: SiblingStatus| compared(&sibling, ours).result();
        assert_eq!(result(sibling(0, 0, Some(ours))), Comparison::Equal);
        assert_eq!(result(sibling(0, 0, Some(Hash([8; 32])))), Comparison::Different);
        let newer = |digest| SiblingStatus { op_level: OP_LEVEL + 1, ..sibling(0, 0, Some(digest)) };
        assert_eq!(result(newer(Hash([8; 32]))), Comparison::OtherVersion);
        assert_eq!(result(newer(ours)), Comparison::Equal);
        assert_eq!(result(sibling(1, 0, Some(Hash([8; 32])))), Comparison::Behind);
        assert_eq!(result(sibling(0, 1, None)), Comparison::Behind);
        assert_eq!(result(sibling(0, 0, None)), Comparison::Unspecified);
    }

    fn quiet() -> SiblingStatus {
        SiblingStatus {
            device: DeviceId::default(),
            name: "tablet".into(),
            live: true,
            heard: None,
            lag: 0,
            ahead: 0,
            vector: Default::default(),
            digest: None,
            prekey: Default::default(),
            op_level: OP_LEVEL,
            sums: None,
            epoch: Default::default(),
            epoch_known: true,
            roster_known: true,
            clock_ahead: 0,
            withheld: Vec::new(),
        }
    }
}
