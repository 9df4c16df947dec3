//! Up to where apps have dealt with this device's order.
//!
//! A *consumer* is a name under which an app follows the order. [`Cursors::acknowledge`] is the only thing that moves its cursor: reading
//! never does, and it never goes backwards. Moves are held in memory and written down together, [`DEBOUNCE`] after the first of them
//! and when the daemon stops. The consumers of an app are its own: another app's of the same name is another. After a crash a consumer is at most that far behind: it is sent again what it has dealt with, and misses nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ipc_proto::v1::{ErrorCode, ErrorDetail};
use kinfolk_core::ids::BundleSeq;
use tokio::time::sleep;
use tonic::Status;
use tracing::warn;

use super::admission::limit;
use super::caller::{Caller, STAMP};
use super::convert::invalid;
use super::read;
use super::watch::in_order;
use crate::driver::wall_clock;
use crate::node::Node;
use crate::store::MAX_CONSUMERS;

/// How long moves are gathered before they are written down.
pub(super) const DEBOUNCE: Duration = Duration::from_secs(5);
/// Longest name of a consumer, in bytes.
const MAX_NAME: usize = 128;

/// The cursors that have moved since they were written down.
#[derive(Debug, Default)]
pub(super) struct Cursors(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    moved: BTreeMap<String, BundleSeq>,
    /// Somebody will write them down.
    awaited: bool,
}

impl Cursors {
    /// Moves a cursor; gives where it stands then.
    pub(super) async fn acknowledge(
        self: &Arc<Self>,
        node: &Arc<Node>,
        caller: &Caller,
        consumer: &str,
        upto: BundleSeq,
        order_id: &str,
    ) -> Result<BundleSeq, Status> {
        let consumer = named(caller, consumer)?;
        let reach = read(&node.reader, |reader| reader.reach()).await?;
        in_order(upto, order_id, reach)?;
        if upto > reach.last {
            let message = format!("bundle {upto} is not here: the last one is {}", reach.last);
            return Err(invalid(message).into());
        }
        let stands = self.stands(node, &consumer).await?.unwrap_or_default();
        if upto <= stands {
            return Ok(stands);
        }
        let mut state = self.state();
        if state.moved.len() >= MAX_CONSUMERS && !state.moved.contains_key(&consumer) {
            let detail = ErrorDetail::new(ErrorCode::Busy, "too many consumers acknowledge at a time");
            return Err(detail.payload(limit("consumers", MAX_CONSUMERS, MAX_CONSUMERS + 1)).into());
        }
        let cursor = state.moved.entry(consumer).or_default();
        *cursor = upto.max(*cursor);
        let stands = *cursor;
        if !std::mem::replace(&mut state.awaited, true) {
            let (cursors, node) = (Arc::clone(self), Arc::downgrade(node));
            tokio::spawn(async move {
                sleep(DEBOUNCE).await;
                if let Some(node) = node.upgrade() {
                    cursors.write_down(&node).await;
                }
            });
        }
        Ok(stands)
    }

    /// Where a consumer stands; `None` when it has acknowledged nothing.
    async fn stands(&self, node: &Node, consumer: &str) -> Result<Option<BundleSeq>, Status> {
        let name = consumer.to_owned();
        let kept = read(&node.reader, move |reader| reader.cursor(&name)).await?;
        let moved = self.state().moved.get(consumer).copied();
        Ok(kept.max(moved))
    }

    /// Where a call begins to read: after the cursor it names, or else after that of its consumer. `None` when it names neither.
    pub(super) async fn begin(
        &self,
        node: &Node,
        caller: &Caller,
        after: Option<u64>,
        consumer: &str,
    ) -> Result<Option<BundleSeq>, Status> {
        let consumer = if consumer.is_empty() { None } else { Some(named(caller, consumer)?) };
        match (after, consumer) {
            (Some(after), _) => Ok(Some(BundleSeq(after))),
            (None, None) => Ok(None),
            (None, Some(consumer)) => Ok(Some(self.stands(node, &consumer).await?.unwrap_or_default())),
        }
    }

    /// Writes down what has moved. What cannot be written is tried again with the next move.
    pub(super) async fn write_down(&self, node: &Node) {
        let moved: Vec<(String, BundleSeq)> = {
            let mut state = self.state();
            state.awaited = false;
            state.moved.iter().map(|(name, cursor)| (name.clone(), *cursor)).collect()
        };
        if moved.is_empty() {
            return;
        }
        let kept = moved.clone();
        if let Err(fault) = node.driver.keep(move |store| store.keep_cursors(&kept, wall_clock())).await {
            warn!(%fault, "cursors of apps could not be written down");
            return;
        }
        // Those that have moved on meanwhile wait for the next time.
        let mut state = self.state();
        for (name, cursor) in moved {
            if state.moved.get(&name) == Some(&cursor) {
                state.moved.remove(&name);
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The name under which a consumer of that caller is kept.
fn named(caller: &Caller, consumer: &str) -> Result<String, Status> {
    match consumer.len() {
        0 => Err(invalid("a consumer needs a name").into()),
        _ if consumer.starts_with(STAMP) => {
            Err(invalid(format!("the name of a consumer does not begin with {STAMP}")).into())
        }
        1..=MAX_NAME => Ok(caller.stamp(consumer)),
        length => {
            let message = format!("the name of a consumer has at most {MAX_NAME} bytes, this one has {length}");
            let detail = ErrorDetail::new(ErrorCode::TooLarge, message);
            Err(detail.payload(limit("name of a consumer", MAX_NAME, length)).into())
        }
    }
}
