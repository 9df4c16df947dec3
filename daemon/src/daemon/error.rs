//! Why the daemon does not run, or a first device was not made.

use std::io;
use std::path::PathBuf;

use ipc_proto::paths::PathError;

use crate::config::ConfigError;
use crate::ipc;
use crate::relay::RelayError;
use crate::setup::SetupError;

/// Why the daemon could not run.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// No paths.
    #[error(transparent)]
    Paths(#[from] PathError),
    /// The settings cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Another daemon has the state directory.
    #[error("another kinfolkd uses {0} already; `kin down` ends it")]
    Running(PathBuf),
    /// The device is broken.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The socket cannot be served.
    #[error(transparent)]
    Ipc(#[from] ipc::IpcError),
    /// Something of the system.
    #[error("{what}: {source}")]
    Io {
        /// What failed.
        what: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Why a first device was not made.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// Keys or store.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// A relay that was named does not answer.
    #[error(transparent)]
    Relay(#[from] RelayError),
    /// A relay that answered could not be added.
    #[error(transparent)]
    Change(#[from] crate::node::RelayChangeError),
}

impl DaemonError {
    /// The documented exit code.
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::Paths(_) | Self::Config(_) => 78,
            Self::Setup(error) if error.is_locked() => 4,
            Self::Running(_) | Self::Setup(_) | Self::Ipc(_) | Self::Io { .. } => 1,
        }
    }
}

pub(super) fn io_error(what: String, source: io::Error) -> DaemonError {
    DaemonError::Io { what, source }
}
