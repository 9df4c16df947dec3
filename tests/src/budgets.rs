//! Budgets: how fast the real programs are, on this machine, in one run.
//!
//! Two daemons in two homes meet over a shared folder. Each figure is taken over gRPC, as an app would see it: an import ends when the last
//! push was answered (durable here), it has converged when the other device's own order of apply has reached the same length (durable
//! there). Every round also measures the raw `fdatasync` of the same disk, because a quiet disk is 20 times faster than a busy one: quote
//! ratios of one run, never a figure alone.

pub mod device;
pub mod floor;
pub mod report;
pub mod work;

use std::io;

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
    /// Something did not happen.
    #[error("{0}")]
    Unexpected(String),
}

impl From<tonic::Status> for BudgetError {
    fn from(status: tonic::Status) -> Self {
        Self::Call(Box::new(status))
    }
}
