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
    #[error("relay {place} refuses us: {reason}, then run `kin relay test`")]
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

/// What follows from an error, in short.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fault {
    /// It is out of reach, and may be back any time.
    Away,
    /// It is there and does not let us in.
    Denied,
    /// It is not what its URL promises.
    Config,
}

impl Fault {
    /// Whether trying again is of no use before a person has acted.
    pub fn needs_a_person(self) -> bool {
        match self {
            Self::Away => false,
            Self::Denied | Self::Config => true,
        }
    }
}

impl RelayError {
    /// What follows from it.
    pub fn fault(&self) -> Fault {
        match self {
            // A parent that is not there is a disk that is not mounted, as likely as a slip of the pen.
            Self::Transient { .. } | Self::Ambiguous { .. } | Self::Config(ConfigError::ParentMissing { .. }) => {
                Fault::Away
            }
            Self::Denied { .. } => Fault::Denied,
            Self::Config(_) => Fault::Config,
        }
    }

    /// How long the relay asked us to wait, if it did.
    pub fn asked_to_wait(&self) -> Option<Duration> {
        match self {
            Self::Transient { after, .. } => *after,
            Self::Ambiguous { .. } | Self::Denied { .. } | Self::Config(_) => None,
        }
    }
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
    /// It said that it keeps something, and does not have it.
    #[error("what was just put there cannot be fetched")]
    Lost,
    /// The relay knows us and says no.
    #[error("access denied; give this user the right to read and write it")]
    Refused,
    /// It wants a password and the URL has none.
    #[error("it wants a password; add the relay again as redis://user:password@host")]
    NoPassword,
    /// It does not take this user with this password.
    #[error("wrong user or password; add the relay again with the right one")]
    WrongPassword,
    /// The user may log in, and not do what mail needs.
    #[error("this user lacks rights on the server; give it those that the documentation lists")]
    NoRight,
    /// The host is there and nothing serves.
    #[error("nothing answers there (does the server run?)")]
    Unreachable,
    /// The server has just started.
    #[error("the server is loading its data")]
    Loading,
    /// The server's memory is used up.
    #[error("the server's memory is full (its maxmemory is reached); mail waits here until there is room")]
    OutOfMemory,
    /// The server only copies another one.
    #[error("the server is a replica and takes no mail; name the one it copies")]
    Replica,
    /// The server lost what it kept.
    #[error("the server came back empty; what no device has confirmed is sent again")]
    Emptied,
    /// Another folder took the place of the one that was in use.
    #[error("another state of the folder took its place; what no device has confirmed is sent again")]
    Replaced,
    /// The answer makes no sense.
    #[error("the answer makes no sense")]
    Garbled,
    /// The server's own words.
    #[error("the server says: {0}")]
    Said(String),
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
    #[error("{place} was made by a newer kinfolk (relay version {found}, this one reads {known}); upgrade this device")]
    NewerRelay {
        /// The marker file, or the redacted URL.
        place: String,
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
    #[error(
        "{place} is another relay now ({found}, it was {expected}); remove the relay and add it again if that is meant"
    )]
    AnotherRelay {
        /// The folder, or the redacted URL.
        place: String,
        /// The relay that this handle was opened for.
        expected: RelayId,
        /// The relay that is there.
        found: RelayId,
    },
    /// The URL of a server says what cannot be meant.
    #[error("{place} is no address of a server: {why}")]
    BadServerUrl {
        /// The redacted URL.
        place: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The file of certificate authorities cannot be read.
    #[error("the certificate authority {} cannot be read: {source}", path.display())]
    Authorities {
        /// The file.
        path: PathBuf,
        /// The error.
        source: io::Error,
    },
    /// TLS cannot be set up at all.
    #[error("TLS cannot be set up on this machine: {0}")]
    Tls(String),
    /// The server proves its name with a certificate that nobody we trust has signed.
    #[error(
        "{place} shows a certificate that is not trusted here, or is for another name; name the authority that signed it with ?ca=/path/to/ca.pem"
    )]
    Untrusted {
        /// The redacted URL.
        place: String,
    },
    /// The server is there and nobody made it a relay.
    #[error("{place} answers, but nobody has made it a relay yet: `kin relay add` with this URL does")]
    NotPrepared {
        /// The redacted URL.
        place: String,
    },
    /// The server cannot be a relay.
    #[error("{place} cannot be used: {why}")]
    Unsuited {
        /// The redacted URL.
        place: String,
        /// Why not.
        why: &'static str,
    },
}
