//! Why a device cannot be made or opened, and what to do about it.

use std::io;
use std::path::PathBuf;

use crate::credentials::CredentialsError;
use crate::seal::keystore::KeyError;
use crate::seal::wrap::WrapError;
use crate::store::StoreError;

/// Why a device cannot be made or opened.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// There is one already.
    #[error("this device is set up already")]
    AlreadySetUp,
    /// An init or a join is under way here.
    #[error("this device is being set up already by another `kin init` or `kin join`: finish that first, or end it")]
    Busy,
    /// The name does not fit.
    #[error("a device name has 1 to 64 bytes and no control characters")]
    Name,
    /// Keys lie there whose store does not.
    #[error(
        "the keys of an earlier set-up lie at {key}, but its store {store} is not there: bring the store back, or move the key away to begin anew"
    )]
    StoreGone {
        /// The key file.
        key: PathBuf,
        /// Where the store was.
        store: PathBuf,
    },
    /// The keys cannot be read or written.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The store cannot be opened or made.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A secret in the store cannot be opened.
    #[error("a secret in the store cannot be opened: {0}")]
    Secret(#[from] WrapError),
    /// The secrets of the group cannot be read or kept.
    #[error(transparent)]
    Group(#[from] CredentialsError),
    /// A secret is missing or has the wrong shape.
    #[error("the store lacks the secret `{0}`")]
    NoSecret(&'static str),
    /// The random keys could not be made.
    #[error("keys cannot be made: {0}")]
    Keys(String),
    /// A directory cannot be made, renamed or removed.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl SetupError {
    /// Whether waiting or mending may open the device: it is locked, not broken.
    pub fn is_locked(&self) -> bool {
        match self {
            Self::Key(_) | Self::StoreGone { .. } | Self::Io { .. } => true,
            Self::Store(error) => match error {
                StoreError::Missing(_)
                | StoreError::WrongKey(_)
                | StoreError::Damaged(_)
                | StoreError::Full
                | StoreError::Io(_)
                | StoreError::Sqlite(_) => true,
                StoreError::Newer { .. }
                | StoreError::NewerOps { .. }
                | StoreError::Exists(_)
                | StoreError::NotNext(_)
                | StoreError::Abandoned
                | StoreError::Transaction(_) => false,
            },
            Self::AlreadySetUp
            | Self::Busy
            | Self::Name
            | Self::Secret(_)
            | Self::Group(_)
            | Self::NoSecret(_)
            | Self::Keys(_) => false,
        }
    }

    /// What to do about a device that cannot be opened.
    pub fn hint(&self) -> &'static str {
        if matches!(self, Self::StoreGone { .. }) || matches!(self, Self::Store(error) if error.is_spoilt()) {
            "put an earlier copy of the state directory back; or `kin devices revoke` this device on another one, move its state \
             and config directories away, and `kin join` again: what the others hold comes back"
        } else {
            "nothing is lost; the daemon tries again by itself"
        }
    }
}
