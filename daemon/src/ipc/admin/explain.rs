//! One event's way: what the log says, what siblings have confirmed, and the steps that are still remembered.

use std::collections::BTreeMap;
use std::sync::Arc;

use ipc_proto::v1::{
    ChangeKind, ErrorCode, ErrorDetail, ExplainResponse, ExplainedBundle, ExplainedDevice, ExplainedKind, Receipted,
    Step,
};
use kinfolk_core::ids::{DeviceId, Dot, Millis, RelayId, Seq, SourceId};
use kinfolk_core::op::{MESSAGE_COLLECTION, Op};
use kinfolk_core::roster::Roster;
use kinfolk_core::step::Status as Standing;
use tonic::Status;
use uuid::Uuid;

use crate::driver::What;
use crate::ipc::convert::bundle::{Touched, touched};
use crate::ipc::read;
use crate::node::Node;
use crate::store::{Explained, TracedBundle};

/// Explains what is called `name`.
pub(super) async fn explain(node: &Node, name: String) -> Result<ExplainResponse, Status> {
    let called = name.clone();
    let found = read(&node.reader, move |reader| {
        let bundle = dot(&name).map(|dot| reader.explain_bundle(dot)).transpose()?.flatten();
        bundle.map_or_else(|| reader.explain(&name), |bundle| Ok(Some(bundle)))
    });
    let Some(Explained { entity, bundles }) = found.await? else {
        return Err(ErrorDetail::new(ErrorCode::NotFound, format!("nothing here is called {called:?}"))
            .hint("name a message by its id, a record as collection/key, a bundle as source:position")
            .into());
    };
    let relays = node.relays().await.into_iter();
    let urls = relays.filter_map(|report| Some((report.id?, report.url))).collect();
    let roster = Arc::clone(&node.driver.roster().borrow());
    let picture = Arc::clone(&node.driver.picture().borrow());
    let story = Story { roster: &roster, standing: &picture.status, urls };
    let mut known_since = 0;
    let bundles = bundles.into_iter().map(|bundle| {
        let (Millis(since), steps) = node.driver.trail().of(bundle.dot);
        known_since = since.max(known_since);
        story.show(&bundle, steps.into_iter().map(|step| (step.at, step.what)))
    });
    let bundles = bundles.collect();
    let kind = match &entity {
        None => ExplainedKind::Bundle,
        Some((collection, _)) if collection == MESSAGE_COLLECTION => ExplainedKind::Message,
        Some(_) => ExplainedKind::Record,
    };
    let (collection, key) = entity.unwrap_or_default();
    Ok(ExplainResponse { kind: kind.into(), collection, key, bundles, known_since_ms: known_since })
}

/// A source, a colon, a position.
fn dot(name: &str) -> Option<Dot> {
    let (source, seq) = name.split_once(':')?;
    let source = SourceId(Uuid::parse_str(source).ok()?.into_bytes());
    Some(Dot { source, seq: Seq(seq.parse().ok()?) })
}

/// What gives ids their names.
struct Story<'a> {
    roster: &'a Roster,
    standing: &'a Standing,
    urls: BTreeMap<RelayId, String>,
}

impl Story<'_> {
    fn show(&self, bundle: &TracedBundle, steps: impl Iterator<Item = (Millis, What)>) -> ExplainedBundle {
        let (mut posted, mut received, mut receipted) = (Vec::new(), Vec::new(), BTreeMap::new());
        for (at, what) in steps {
            match what {
                What::Posted { to, relay } => posted.push(self.step(to, relay, at)),
                What::Came { from, relay } => received.push(self.step(from, relay, at)),
                What::Receipted { by } => drop(receipted.entry(by).or_insert(at)),
            }
        }
        let siblings = self.standing.siblings.iter();
        let mut receipts: Vec<Receipted> = siblings
            .map(|sibling| Receipted {
                device: Some(self.device(sibling.device)),
                holds: sibling.vector.covers(bundle.dot),
                at_ms: receipted.get(&sibling.device).map(|Millis(at)| *at),
            })
            .collect();
        receipts.sort_by_cached_key(|receipt| {
            receipt.device.as_ref().map(|device| (device.name.clone(), device.id.clone()))
        });
        ExplainedBundle {
            source_id: Uuid::from_bytes(bundle.dot.source.0).to_string(),
            seq: bundle.dot.seq.0,
            author: Some(self.device(bundle.device)),
            written_at_ms: bundle.stamp.millis().0,
            bundle_seq: bundle.committed.map_or(0, |(place, _)| place.0),
            committed_at_ms: bundle.committed.map(|(_, Millis(at))| at),
            changes: bundle.ops.iter().map(|op| kind(op).into()).collect(),
            posted,
            received,
            receipts,
        }
    }

    fn step(&self, device: DeviceId, relay: RelayId, Millis(at_ms): Millis) -> Step {
        let relay = self.urls.get(&relay).cloned().unwrap_or_else(|| relay.to_string());
        Step { device: Some(self.device(device)), relay, at_ms }
    }

    fn device(&self, id: DeviceId) -> ExplainedDevice {
        let name = self.roster.member(id).map(|member| member.device.name.clone()).unwrap_or_default();
        ExplainedDevice { id: id.to_string(), name, this_device: id == self.standing.me }
    }
}

fn kind(op: &Op) -> ChangeKind {
    match touched(op) {
        Touched::Record(kind) | Touched::Message(kind) | Touched::Conversation(kind) => kind,
        Touched::Unknown | Touched::Nothing => ChangeKind::Unspecified,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_is_named_by_its_source_and_position() {
        let named = Some(Dot { source: SourceId([0xAB; 16]), seq: Seq(7) });
        assert_eq!(dot("abababab-abab-abab-abab-abababababab:7"), named);
        assert_eq!(dot(&format!("{}:7", "ab".repeat(16))), named);
        for other in ["m1", "notes/a", "abab:7", "abababab-abab-abab-abab-abababababab:", "x:y:z"] {
            assert_eq!(dot(other), None, "{other}");
        }
    }
}
