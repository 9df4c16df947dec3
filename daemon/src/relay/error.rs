//! What goes wrong at a relay, sorted by what the caller must do about it.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use kinfolk_core::ids::RelayId;

use super::url;

/// Why a call to a relay failed, by what follows from it.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// Nothing was changed; the same call may work later.
    #[error("relay {place} is not usable now: {reason}; trying again later")]
    Transient {
        /// The path or redacted URL that a person would look at.
        place: String,
        /// What the relay said.
        reason: Reason,
        /// How long the relay asked us to wait; `None`: the caller's own backoff.
        after: Option<Duration>,
    },
    /// Bytes may have arrived: put the same bytes again, and rescan from nothing.
    #[error("relay {place} may not have taken the mail: {reason}; it will be sent again")]
    Ambiguous {
        /// The path or redacted URL that a person would look at.
        place: String,
        /// What the relay said.
        reason: Reason,
    },
    /// The relay is there and does not let us in; it rests until the person acts.
    #[error(
        "relay {place} refuses us: {reason}; give this user the right to read and write it, then run `kin relay test`"
    )]
    Denied {
        /// The path or redacted URL that a person would look at.
        place: String,
        /// What the relay said.
        reason: Reason,
    },
    /// The relay is not what its URL promises; it rests until the person acts.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

/// What a relay said, without a judgement.
#[derive(Debug, thiserror::Error)]
pub enum Reason {
    /// Nothing is at that place.
    #[error("nothing is there (is the disk or share mounted?)")]
    Missing,
    /// The place exists, but not as the relay it was.
    #[error("the folder is there but its marker is not (is the disk mounted, has the folder finished syncing?)")]
    Unmarked,
    /// No room left, on the disk or in the person's quota.
    #[error("no space left")]
    Full,
    /// The relay asked for patience.
    #[error("busy")]
    Busy,
    /// No answer before the deadline.
    #[error("no answer within {} s", .0.as_secs())]
    TimedOut(Duration),
    /// The connection broke.
    #[error("connection lost")]
    Disconnected,
    /// The relay knows us and says no.
    #[error("access denied")]
    Refused,
    /// The operating system said.
    #[error("{doing}: {source}")]
    Io {
        /// What we were doing, as "writing".
        doing: &'static str,
        /// The error.
        source: io::Error,
    },
}

/// Why a relay cannot be used as it is configured.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A scheme that this build does not speak.
    #[error("no relay kind for {scheme}://; supported: {}", url::supported())]
    UnknownScheme {
        /// What came before `://`.
        scheme: String,
    },
    /// Neither a URL nor an absolute path.
    #[error("a relay is a URL such as file:///srv/kin or an absolute path; this is neither")]
    NotAUrl,
    /// Longer than any real one.
    #[error("a relay URL has at most {max} bytes, this one has {got}")]
    TooLong {
        /// The limit in bytes.
        max: usize,
        /// What was given.
        got: usize,
    },
    /// A `file://` URL with a host, or one whose path is relative or not spelled properly.
    #[error("a folder relay needs an absolute path on this machine: file:///path/to/folder")]
    NotALocalPath,
    /// The folder's parent does not exist, so the folder is not made either.
    #[error("{} does not exist; mount the disk or make the directory first", path.display())]
    ParentMissing {
        /// The parent.
        path: PathBuf,
    },
    /// A file stands where a directory must be.
    #[error("{} is not a directory", path.display())]
    NotADirectory {
        /// What stands there.
        path: PathBuf,
    },
    /// The marker exists and cannot be understood.
    #[error("{} is not a marker that kinfolk wrote; restore the file, or use another folder", path.display())]
    BadMarker {
        /// The marker file.
        path: PathBuf,
    },
    /// The marker was written by a later kinfolk.
    #[error("{} was made by a newer kinfolk (relay version {found}, this one reads {known}); upgrade this device", path.display())]
    NewerRelay {
        /// The marker file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// Mail is there, the marker is not: making a new one would split the relay in two.
    #[error("{} holds mail but no marker; let the folder finish syncing, or restore the marker, or use an empty folder", path.display())]
    MarkerLost {
        /// The folder.
        path: PathBuf,
    },
    /// Another relay lies at that place now.
    #[error("{} is another relay now ({found}, it was {expected}); remove the relay and add it again if that is meant", path.display())]
    AnotherRelay {
        /// The folder.
        path: PathBuf,
        /// The relay that this handle was opened for.
        expected: RelayId,
        /// The relay that is there.
        found: RelayId,
    },
}
