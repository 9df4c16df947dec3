//! Conflicts as they come and go: first those that there are, then each that opens, changes or is closed.
//!
//! As with any watch the bell is looked at before the order is read, so nothing is lost between the two. What a stream has told of is remembered by name, or
//! nobody could say that a conflict is no more. When the policy of a collection changes, all are gone over again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ipc_proto::v1::watch_conflicts_response::Event;
use ipc_proto::v1::{Conflict, ErrorCode, ErrorDetail, RecordName, WatchConflictsResponse, WatchPosition};
use kinfolk_core::ids::BundleSeq;
use kinfolk_core::op::{MESSAGE_COLLECTION, POLICY_COLLECTION};
use tokio::time::timeout;

use super::show;
use crate::ipc::admission::limit;
use crate::ipc::pipe::{End, Pipe};
use crate::ipc::read;
use crate::ipc::watch::{HEARTBEAT, resync};
use crate::node::Node;
use crate::store::{ConflictPlace, Entry, Policy, Reader, StoreError};

/// Most conflicts that one watch follows: names of at most 400 bytes, 4 MB.
const MAX_FOLLOWED: usize = 10_000;
/// Conflicts read together.
const PAGE: usize = 64;
/// Bundles read together, and their bytes.
const BATCH: usize = 64;
const BATCH_BYTES: usize = 1 << 20;

/// A collection and a key.
type Name = (String, String);

/// Tells of the conflicts of a collection, or of all.
pub(in crate::ipc) async fn watch(
    node: Arc<Node>,
    collection: Option<String>,
    pipe: Pipe<WatchConflictsResponse>,
) -> Result<(), End> {
    let mut bell = node.driver.bell();
    let mut cursor = pipe.wait(read(&node.reader, |reader| reader.reach())).await??.last;
    let mut told = Told { node: Arc::clone(&node), collection, names: BTreeSet::new() };
    told.go_over(&pipe).await?;
    loop {
        bell.mark_unchanged();
        loop {
            let step = pipe.wait(read(&node.reader, move |reader| Step::read(reader, cursor))).await??;
            if !step.continues {
                let reach = pipe.wait(read(&node.reader, |reader| reader.reach())).await??;
                return Err(resync(cursor, reach).into());
            }
            if step.policies {
                told.go_over(&pipe).await?;
            } else {
                told.look_at(step.touched, &pipe).await?;
            }
            cursor = step.upto;
            if step.last {
                break;
            }
        }
        let position = WatchPosition { bundle_seq: cursor.0 };
        pipe.send(WatchConflictsResponse { event: Some(Event::Position(position)) }).await?;
        match pipe.wait(timeout(HEARTBEAT, bell.changed())).await? {
            Ok(Ok(())) | Err(_) => {}
            Ok(Err(_)) => return Err(ErrorDetail::new(ErrorCode::ShuttingDown, "the daemon is stopping").into()),
        }
    }
}

/// What one look into the order gave.
struct Step {
    continues: bool,
    touched: BTreeSet<Name>,
    /// The policy of some collection may have changed.
    policies: bool,
    upto: BundleSeq,
    last: bool,
}

impl Step {
    fn read(reader: &Reader, cursor: BundleSeq) -> Result<Self, StoreError> {
        let part = reader.order_after(cursor, None, BATCH, BATCH_BYTES)?;
        let mut touched: BTreeSet<Name> = BTreeSet::new();
        for entry in part.entries {
            match entry {
                Entry::Bundle(bundle) => touched.extend(bundle.ops.into_iter().map(|op| (op.collection, op.key))),
                Entry::Revision(_, names) => touched.extend(names),
            }
        }
        touched.retain(|(collection, _)| collection != MESSAGE_COLLECTION);
        let policies = touched.iter().any(|(collection, _)| collection == POLICY_COLLECTION);
        Ok(Self { continues: part.reach.continues(cursor), touched, policies, upto: part.upto, last: part.last })
    }
}

/// What a stream has told of.
struct Told {
    node: Arc<Node>,
    collection: Option<String>,
    names: BTreeSet<Name>,
}

impl Told {
    /// Tells of all conflicts that there are, and of those that are no more.
    async fn go_over(&mut self, pipe: &Pipe<WatchConflictsResponse>) -> Result<(), End> {
        let mut gone = self.names.clone();
        let mut after: Option<ConflictPlace> = None;
        loop {
            let (me, only, from) = (self.node.me, self.collection.clone(), after.clone());
            let page = read(&self.node.reader, move |reader| {
                let page = reader.conflicts(only.as_deref(), from.as_ref(), PAGE)?;
                Ok(page.into_iter().map(|(place, view)| (place, show(me, &view, &BTreeMap::new()))).collect::<Vec<_>>())
            });
            let page = pipe.wait(page).await??;
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            for (_, conflict) in page {
                gone.remove(&(conflict.collection.clone(), conflict.key.clone()));
                self.open(conflict, pipe).await?;
            }
        }
        for name in gone {
            self.close(name, pipe).await?;
        }
        Ok(())
    }

    /// Tells how these records stand, as far as that is news.
    async fn look_at(&mut self, touched: BTreeSet<Name>, pipe: &Pipe<WatchConflictsResponse>) -> Result<(), End> {
        for name in touched {
            if self.collection.as_ref().is_some_and(|collection| *collection != name.0) {
                continue;
            }
            let (me, asked) = (self.node.me, name.clone());
            let found = read(&self.node.reader, move |reader| {
                let kept = reader.policy(&asked.0)? == Policy::Keep;
                let view = if kept { reader.conflict(&asked.0, &asked.1)? } else { None };
                Ok(view.map(|view| show(me, &view, &BTreeMap::new())))
            });
            match pipe.wait(found).await?? {
                Some(conflict) => self.open(conflict, pipe).await?,
                None => self.close(name, pipe).await?,
            }
        }
        Ok(())
    }

    async fn open(&mut self, conflict: Conflict, pipe: &Pipe<WatchConflictsResponse>) -> Result<(), End> {
        self.names.insert((conflict.collection.clone(), conflict.key.clone()));
        if self.names.len() > MAX_FOLLOWED {
            let detail = ErrorDetail::new(ErrorCode::TooLarge, "there are too many conflicts to be followed");
            let detail = detail.hint("watch one collection, or resolve some");
            return Err(detail.payload(limit("conflicts of a watch", MAX_FOLLOWED, self.names.len())).into());
        }
        pipe.send(WatchConflictsResponse { event: Some(Event::Conflict(conflict)) }).await
    }

    async fn close(&mut self, name: Name, pipe: &Pipe<WatchConflictsResponse>) -> Result<(), End> {
        if !self.names.remove(&name) {
            return Ok(());
        }
        let (collection, key) = name;
        pipe.send(WatchConflictsResponse { event: Some(Event::Closed(RecordName { collection, key })) }).await
    }
}
