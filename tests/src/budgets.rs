//! Budgets: how fast the real programs are, on this machine, in one run.
//!
//! Daemons in homes of their own meet over a Redis server that is started for them, and once more over a shared folder. Each figure is
//! taken over gRPC, as an app would see it: an import ends when the last push was answered (durable here), it has converged when the other
//! device's own order of apply has reached the same length (durable there). Every round also measures its floors — the disk's
//! `fdatasync`, SQLite alone, the Redis server alone, the cipher alone — because a quiet machine is 20 times faster than a busy one: quote
//! ratios of one run, never a figure alone.

pub mod device;
pub mod floor;
pub mod goals;
pub mod idle;
pub mod report;
pub mod round;
pub mod trace;
pub mod wire;
pub mod work;

use std::io;

use crate::servers::ServerError;

/// Why nothing could be measured.
#[derive(Debug, thiserror::Error)]
pub enum BudgetError {
    /// The daemon's program is missing or ended.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The daemon did not answer.
    #[error(transparent)]
    Client(#[from] ipc_proto::Error),
    /// A call failed.
    #[error("{}", .0.message())]
    Call(Box<tonic::Status>),
    /// A server does not serve.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// Something did not happen.
    #[error("{0}")]
    Unexpected(String),
}

impl BudgetError {
    /// What became of `what`, for `map_err`.
    fn io(what: String) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { what, source }
    }
}

impl From<tonic::Status> for BudgetError {
    fn from(status: tonic::Status) -> Self {
        Self::Call(Box::new(status))
    }
}
