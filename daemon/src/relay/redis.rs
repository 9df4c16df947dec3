//! A Redis server as a relay: push within a millisecond, one round trip for all mailboxes.
//!
//! How it meets the contract, file by file: `address` what a URL means; `keys` what lies where; `link` the connection, and whose server it is;
//! `stream` its bytes; `scripts` what runs inside the server; `deposit` puts; `collect` fetches, cursors and deletions; `bells` and `watch`
//! hints, `carried` the mail that comes along with them; `probe` what a person should know; `failure` errors by what follows from them.
//!
//! # Order
//! The mail of a mailbox is a sorted set. Its scores are given by the server, inside the script that puts: microseconds of the server's clock, and
//! always above every score given before. So a cursor never passes mail that comes later, whatever the clocks of senders do. A copy that is
//! put again keeps its score, unless it is so old that it must be renewed. Microseconds since 1970 stay below 2^53, where scores are exact,
//! until 2255.
//!
//! # What a server may do to us
//! Evict, expire, flush, come back with older data or with none: all of that only loses mail, and what no sibling has confirmed is
//! sent again. Which of it would go unnoticed for long is said by `probe`.
//!
//! # Rights
//! `docs/protocol.md` lists the least a user needs. Without `&ntf:*` or `+client|tracking` one kind of hint is missing and the other does; without
//! both, new mail is found by looking.

mod address;
mod bells;
mod carried;
mod collect;
mod deposit;
mod failure;
mod keys;
mod link;
mod probe;
mod scripts;
mod stream;
#[cfg(test)]
mod tests;
mod watch;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use async_trait::async_trait;
use kinfolk_core::ids::RelayId;

use self::address::Address;
use self::link::{Claim, Link};
use super::capabilities::{Batch, Capabilities, Deletes, Durability, Poll, Push, Retention};
use super::error::RelayError;
use super::mail::{Envelope, Fetched, Handle, Mailbox, PutOutcome, Want};
use super::{Probe, RETENTION, Relay, RelayUrl, Swept, WatchStream};

/// What a relay holds and how long it may take.
#[derive(Clone, Copy, Debug)]
pub(in crate::relay) struct Limits {
    /// Budget of one mailbox in sealed bytes.
    pub(in crate::relay) mailbox_bytes: u64,
    /// How long the server may take to accept a connection, and to answer beyond the time that bytes need.
    pub(in crate::relay) response: Duration,
}

impl Default for Limits {
    /// 64 MiB, and 5 s.
    fn default() -> Self {
        Self { mailbox_bytes: 64 << 20, response: Duration::from_secs(5) }
    }
}

/// A Redis server.
#[derive(Debug)]
pub struct RedisRelay {
    link: Arc<Link>,
    capabilities: Capabilities,
    limits: Limits,
    /// Counts fetches, so that mailboxes take turns.
    turn: AtomicUsize,
}

impl RedisRelay {
    /// Opens a server that [`RedisRelay::prepare`] has made a relay, here or on another device.
    pub async fn open(url: &RelayUrl) -> Result<Self, RelayError> {
        Self::opening(url, Claim::Find, Limits::default()).await
    }

    /// Opens a server that this device knows as the relay `id`. If it lost its data it becomes that relay again.
    pub async fn reopen(url: &RelayUrl, id: RelayId) -> Result<Self, RelayError> {
        Self::opening(url, Claim::Keep(id), Limits::default()).await
    }

    /// Makes the server a relay if it is none, and opens it.
    pub async fn prepare(url: &RelayUrl) -> Result<Self, RelayError> {
        Self::prepare_with(url, Limits::default()).await
    }

    /// As [`RedisRelay::prepare`], with limits.
    pub(in crate::relay) async fn prepare_with(url: &RelayUrl, limits: Limits) -> Result<Self, RelayError> {
        Self::opening(url, Claim::Make(RelayId(rand::random())), limits).await
    }

    async fn opening(url: &RelayUrl, claim: Claim, limits: Limits) -> Result<Self, RelayError> {
        let link = Link::open(Address::read(url).await?, claim, limits.response).await?;
        Ok(Self {
            link: Arc::new(link),
            capabilities: Capabilities {
                push: Push::Inline,
                deletes: Deletes::Anyone,
                retention: Retention::Stored { ttl: RETENTION },
                durability: Durability::Unknown,
                max_envelope: deposit::MAX_SEALED,
                max_batch: Batch { count: 1024, bytes: 16 << 20 },
                max_mailbox_bytes: Some(limits.mailbox_bytes),
                max_mailboxes_per_call: 1024,
                poll: Poll { floor: Duration::from_millis(100), idle: Duration::from_secs(30), nano_usd: 0 },
            },
            limits,
            turn: AtomicUsize::new(0),
        })
    }
}

#[async_trait]
impl Relay for RedisRelay {
    fn id(&self) -> RelayId {
        self.link.id
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn probe(&self) -> Result<Probe, RelayError> {
        probe::probe(&self.link, self.limits.mailbox_bytes).await
    }

    async fn put(&self, items: &[(Mailbox, Envelope)]) -> Result<Vec<PutOutcome>, RelayError> {
        deposit::put(&self.link, self.limits.mailbox_bytes, items).await
    }

    async fn fetch(&self, wants: &[Want], max_bytes: usize) -> Result<Vec<Fetched>, RelayError> {
        collect::fetch(&self.link, &self.turn, wants, max_bytes).await
    }

    async fn acknowledge(&self, mailbox: Mailbox, handles: &[Handle]) -> Result<(), RelayError> {
        collect::acknowledge(&self.link, mailbox, handles).await
    }

    fn watch(&self, mailboxes: Vec<Mailbox>) -> WatchStream {
        watch::start(Arc::clone(&self.link), mailboxes)
    }

    async fn sweep(&self, mailboxes: &[Mailbox]) -> Result<Swept, RelayError> {
        collect::sweep(&self.link, mailboxes).await
    }
}
