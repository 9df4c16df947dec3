//! Relays: untrusted, lossy storage with addresses, chosen by the person.
//!
//! # The contract
//! Every kind meets it and the suite `conformance` asserts it for every kind. The log is the store; a relay is only a way.
//!
//! 1. **Put is idempotent.** The same (mailbox, envelope id, bytes) any number of times, from anywhere, after any
//!    error, leaves at least one readable copy and is counted once against the budget. A retry repeats the same sealed
//!    bytes.
//! 2. **Fetch from nothing is complete.** It returns every envelope put and not deleted or expired, perhaps twice, in
//!    any order. A [`Cursor`] is opaque, safe to lose, and only saves work: callers rescan from nothing on start, after
//!    [`WatchEvent::Gap`], after [`RelayError::Ambiguous`], and every 15 minutes.
//! 3. **Torn copies are never returned.** They are counted and left where they are.
//! 4. **Acknowledge is idempotent** and never deletes bytes that no fetch returned. Callers acknowledge only what is
//!    durable here.
//! 5. **Watch is a lossy hint.** It says *gap* first, and again after every break, before anything else. Push is a
//!    hint, fetch is the truth.
//! 6. **Errors tell what happened.** Ambiguous whenever bytes may have arrived; transient when nothing happened;
//!    denied and config stop the relay until the person acts. An unknown mailbox is empty, not an error. Every call
//!    has a deadline inside the relay.
//! 7. **Nothing above the trait knows how a kind works**: what callers must know is data, [`Capabilities`].
//! 8. **One call serves all mailboxes of a poll**, and is bounded in bytes.
//!
//! # To add a kind
//! One file or folder beside [`folder`], one arm in [`connect`], [`prepare`] and, if its identity can be lost, [`reconnect`], one scheme in [`url::SUPPORTED`], and
//! one `conformance::suite!` line with a bed that opens handles to one storage.

pub mod backoff;
pub mod capabilities;
#[cfg(test)]
mod conformance;
pub mod error;
pub mod folder;
pub mod mail;
pub mod memory;
pub mod redis;
pub mod trial;
pub mod url;
pub mod worker;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_core::Stream;
use kinfolk_core::ids::RelayId;

pub use self::capabilities::{Batch, Capabilities, Deletes, Durability, Poll, Push, Retention};
pub use self::error::{ConfigError, Fault, Reason, RelayError};
pub use self::folder::FolderRelay;
pub use self::mail::{Cursor, Delivery, Envelope, Fetched, Handle, Mailbox, PutOutcome, Want};
pub use self::redis::RedisRelay;
pub use self::url::RelayUrl;

/// How long mail may lie on a relay before a sweep takes it: 30 days, the age to which every other span in the
/// protocol refers (dedup cache, prekey seeds, stale devices).
pub const RETENTION: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// One relay, seen from one process. See the module header for what every method promises.
#[async_trait]
pub trait Relay: Send + Sync + fmt::Debug {
    /// The storage behind this handle: the same on every device that reaches it, whatever URL it uses.
    fn id(&self) -> RelayId;

    /// What this kind can do, as data.
    fn capabilities(&self) -> &Capabilities;

    /// A round trip that writes, reads and removes something of its own. It shows what a person would have to mend.
    async fn probe(&self) -> Result<Probe, RelayError>;

    /// Leaves each envelope in its mailbox; one outcome each, in the same order. After an error some may be there.
    async fn put(&self, items: &[(Mailbox, Envelope)]) -> Result<Vec<PutOutcome>, RelayError>;

    /// Collects from all wanted mailboxes at once; one answer for each want, in the same order.
    ///
    /// At most `max_bytes` of sealed bytes in all, shared fairly between the mailboxes, but never less than one
    /// envelope while there is any. `more` on an answer says: ask again with its cursor.
    async fn fetch(&self, wants: &[Want], max_bytes: usize) -> Result<Vec<Fetched>, RelayError>;

    /// Deletes copies that a fetch returned and whose content is durable here. Unknown handles are fine.
    async fn acknowledge(&self, mailbox: Mailbox, handles: &[Handle]) -> Result<(), RelayError>;

    /// Hints for these mailboxes until the stream is dropped. Needs a running Tokio runtime with timers.
    fn watch(&self, mailboxes: Vec<Mailbox>) -> WatchStream;

    /// Removes mail older than [`RETENTION`] and other leavings, by the relay's own clock. `mailboxes` are the
    /// caller's own; a kind that sees all of its storage sweeps all of it, since mail for a device that never returns
    /// has no other sweeper.
    async fn sweep(&self, mailboxes: &[Mailbox]) -> Result<Swept, RelayError>;
}

/// Hints, as long as someone listens.
pub type WatchStream = Pin<Box<dyn Stream<Item = WatchEvent> + Send>>;

/// A lossy hint.
#[derive(Debug)]
pub enum WatchEvent {
    /// Hints may be missing from before this point: fetch everything from nothing. Always the first event.
    Gap,
    /// Something new may be in this mailbox.
    Ready(Mailbox),
    /// The relay is out of reach and the watch keeps trying; a gap follows when it is back.
    Down(RelayError),
}

/// What [`Relay::probe`] found.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Probe {
    /// How long the round trip took.
    pub round_trip: Duration,
    /// Milliseconds by which the relay's clock is ahead of ours; negative when it is behind.
    pub clock_ahead_ms: i64,
    /// Things that work, but not as well as they could.
    pub warnings: Vec<ProbeWarning>,
}

/// Something to know about a relay that works.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ProbeWarning {
    /// The file system is not known to report changes made elsewhere.
    #[error("this file system is not known to report changes made by other machines; new mail is found by polling")]
    PollingOnly,
    /// The server may delete mail when its memory is full.
    #[error("its maxmemory-policy is not noeviction: when its memory is full it may drop mail without a word")]
    MayEvict,
    /// The server does not let us ask.
    #[error("this user may not run INFO: whether the server drops mail when its memory is full is unknown")]
    UnknownEviction,
    /// The server writes nothing to disk.
    #[error(
        "it writes neither snapshots nor a log to disk: when it restarts, mail that was not collected is lost and sent again"
    )]
    NotKept,
    /// The user may not publish or subscribe.
    #[error("this user may not publish and subscribe on ntf:*: hints of new mail may be late")]
    NoMessages,
}

/// What [`Relay::sweep`] removed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Swept {
    /// Envelopes older than [`RETENTION`].
    pub expired: u64,
    /// Leavings of writers that died half-way.
    pub leavings: u64,
}

/// Opens a relay that exists. It creates nothing, so an unmounted disk is out of reach rather than empty.
pub async fn connect(url: &RelayUrl) -> Result<Arc<dyn Relay>, RelayError> {
    match url.scheme() {
        url::FILE => Ok(Arc::new(FolderRelay::open(&url.to_path()?).await?)),
        url::REDIS | url::REDISS => Ok(Arc::new(RedisRelay::open(url).await?)),
        other => Err(unknown_scheme(other)),
    }
}

/// Opens a relay that this device has used before, as `id`. A server that lost all its data becomes that relay again; one that is another relay
/// now is refused.
pub async fn reconnect(url: &RelayUrl, id: RelayId) -> Result<Arc<dyn Relay>, RelayError> {
    let relay = match url.scheme() {
        url::REDIS | url::REDISS => Arc::new(RedisRelay::reopen(url, id).await?),
        _ => connect(url).await?,
    };
    match relay.id() {
        found if found == id => Ok(relay),
        found => {
            let place = url.to_string();
            Err(RelayError::Config(ConfigError::AnotherRelay { place, expected: id, found }))
        }
    }
}

/// Opens a relay and first makes of its place what it must be. Only on the word of a person: `init` and `relay add`.
pub async fn prepare(url: &RelayUrl) -> Result<Arc<dyn Relay>, RelayError> {
    match url.scheme() {
        url::FILE => Ok(Arc::new(FolderRelay::prepare(&url.to_path()?).await?)),
        url::REDIS | url::REDISS => Ok(Arc::new(RedisRelay::prepare(url).await?)),
        other => Err(unknown_scheme(other)),
    }
}

fn unknown_scheme(scheme: &str) -> RelayError {
    RelayError::Config(ConfigError::UnknownScheme { scheme: scheme.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_unknown_scheme_is_refused_with_the_list_of_known_ones() {
        let url = RelayUrl::parse("gopher://example.org/mail").unwrap();
        for refused in [connect(&url).await, prepare(&url).await] {
            let error = refused.unwrap_err();
            assert!(matches!(error, RelayError::Config(_)), "{error:?}");
            let words = error.to_string();
            assert!(words.contains("gopher") && words.contains("file://"), "{words}");
        }
    }

    #[tokio::test]
    async fn a_url_and_a_bare_path_reach_the_same_relay() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("a folder");
        let bare = RelayUrl::parse(path.to_str().unwrap()).unwrap();
        let made = prepare(&bare).await.unwrap();
        let spelled = format!("file://{}", path.to_str().unwrap().replace(' ', "%20"));
        let again = connect(&RelayUrl::parse(&spelled).unwrap()).await.unwrap();
        assert_eq!(made.id(), again.id());
    }
}
