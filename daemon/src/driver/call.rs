//! Callers that wait for the engine.

use kinfolk_core::step::{Compaction, Pushed, Reply};
use tokio::sync::oneshot;
use tracing::error;

use super::{DriverError, Prunable, PushError, Sought};
use crate::store::{Compacted, Store};

/// Someone who waits for the engine's reply.
pub(super) enum Call {
    Push(oneshot::Sender<Result<Pushed, PushError>>),
    Author(oneshot::Sender<Result<(), DriverError>>),
    Compact(oneshot::Sender<Result<(Compaction, Compacted), DriverError>>),
    Prune(oneshot::Sender<Result<Prunable, DriverError>>),
    Seek(oneshot::Sender<Result<Sought, DriverError>>),
}

impl Call {
    /// Answers, with what the store says of what went.
    pub(super) fn answer(self, reply: Reply, store: &Store) {
        // A caller that went away does not need its answer.
        match (self, reply) {
            (Self::Push(caller), Reply::Pushed(pushed)) => drop(caller.send(Ok(pushed))),
            (Self::Push(caller), Reply::Refused(refusal)) => drop(caller.send(Err(refusal.into()))),
            (Self::Author(caller), Reply::Recorded) => drop(caller.send(Ok(()))),
            (Self::Author(caller), Reply::Refused(_)) => {
                drop(caller.send(Err(DriverError::Roster("the record does not belong to this roster, or it is full"))));
            }
            (Self::Compact(caller), Reply::Compacted(compaction)) => {
                // Without a watermark that moved nothing was compacted.
                let is_idle = compaction.watermark.is_empty();
                let went = if is_idle { Compacted::default() } else { store.last_compaction() };
                drop(caller.send(Ok((compaction, went))));
            }
            (Self::Prune(caller), Reply::Pruned(pruning)) => drop(caller.send(Ok((pruning, store.last_pruning())))),
            (Self::Seek(caller), Reply::Sought(missed)) => drop(caller.send(Ok(missed))),
            (Self::Push(_), Reply::Recorded | Reply::Compacted(_) | Reply::Pruned(_) | Reply::Sought(_))
            | (Self::Author(_), Reply::Pushed(_) | Reply::Compacted(_) | Reply::Pruned(_) | Reply::Sought(_))
            | (
                Self::Compact(_),
                Reply::Recorded | Reply::Pushed(_) | Reply::Refused(_) | Reply::Pruned(_) | Reply::Sought(_),
            )
            | (
                Self::Prune(_),
                Reply::Recorded | Reply::Pushed(_) | Reply::Refused(_) | Reply::Compacted(_) | Reply::Sought(_),
            )
            | (
                Self::Seek(_),
                Reply::Recorded | Reply::Pushed(_) | Reply::Refused(_) | Reply::Compacted(_) | Reply::Pruned(_),
            ) => {
                error!("the engine answered a call of another kind");
            }
        }
    }

    pub(super) fn fail(self, fault: DriverError) {
        match self {
            Self::Push(caller) => drop(caller.send(Err(fault.into()))),
            Self::Author(caller) => drop(caller.send(Err(fault))),
            Self::Compact(caller) => drop(caller.send(Err(fault))),
            Self::Prune(caller) => drop(caller.send(Err(fault))),
            Self::Seek(caller) => drop(caller.send(Err(fault))),
        }
    }
}
