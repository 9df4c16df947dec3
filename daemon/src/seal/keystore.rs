//! Where the key-encryption key (KEK) comes from, and the key of the database that is wrapped under it.
//!
//! # Locked is not new
//!
//! A key that cannot be read is *locked*: the daemon says so, waits and tries again. Nothing here makes a key because
//! reading one failed: a fresh key beside an old database would be the loss of everything, and a fresh identity would be a
//! stranger to its siblings. Keys are made by `create` only, which refuses to replace one that is there.

pub mod file;
pub mod store_key;

pub use file::FileProvider;
pub use store_key::StoreKey;

use super::wrap::{Kek, WrapError};
use std::io;
use std::path::PathBuf;

/// A place that keeps the KEK. Chosen once, at `init`, and recorded; never changed silently.
pub trait KeyProvider: Send + Sync {
    /// The name that is recorded and shown.
    fn name(&self) -> &'static str;

    /// What protects the key, for `status`.
    fn protection(&self) -> &'static str;

    /// Reads the key.
    ///
    /// # Errors
    /// [`KeyError::Locked`] for every reason that keeps it from being read, absence included.
    fn load(&self) -> Result<Kek, KeyError>;

    /// Keeps a new key, durably.
    ///
    /// # Errors
    /// [`KeyError::Exists`] when there is one, whatever its state; nothing is changed then.
    fn create(&self, kek: &Kek) -> Result<(), KeyError>;
}

/// Why a key was not read or not kept.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The key cannot be read now. The daemon stays locked and tries again.
    #[error("locked: the key {path} {reason}")]
    Locked {
        /// Which file.
        path: PathBuf,
        /// What is in the way.
        #[source]
        reason: LockReason,
    },
    /// There is key material already.
    #[error("{path} exists already and is not replaced")]
    Exists {
        /// Which file.
        path: PathBuf,
    },
    /// The new key could not be written; nothing is left of it.
    #[error("the key {path} could not be written: {source}")]
    Write {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The new key could not be wrapped.
    #[error("the key {path} could not be wrapped: {source}")]
    Wrap {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: WrapError,
    },
}

/// What keeps a key from being read.
#[derive(Debug, thiserror::Error)]
pub enum LockReason {
    /// There is no such file.
    #[error("is missing; restore it from your backup, or run `kin init` on a device that has no data yet")]
    Missing,
    /// The system refused.
    #[error("cannot be read: {0}")]
    Unreadable(#[source] io::Error),
    /// A directory, a link, a device.
    #[error("is not a regular file")]
    NotAFile,
    /// Someone else's file.
    #[error("belongs to another user")]
    Owner,
    /// Others can read or write it.
    #[error("has mode {mode:04o}; others may have read it. run `chmod 600` on it if you trust it still")]
    Permissions {
        /// The permission bits found.
        mode: u32,
    },
    /// Not a whole key.
    #[error("has {got} bytes, expected {expected}")]
    Length {
        /// Bytes of a whole key.
        expected: usize,
        /// Bytes found.
        got: u64,
    },
    /// It does not belong to the KEK.
    #[error("does not belong to this device's key: {0}")]
    Wrapped(#[source] WrapError),
}
