//! A shared folder as a relay: a directory on this machine, a mounted share, a folder that a sync tool carries around,
//! a stick. Nothing is installed, several processes and machines use it at once, and none of them leads.
//!
//! How it meets the contract, file by file: `root` what the folder is and whether it still is that; `marker` its
//! identity; `entry` an envelope as a file; `deposit` atomic durable puts and the budget; `collect` bounded fetches
//! and cursors; `watch` hints; `sweep` expiry; `disk` the operations that tests can break.
//!
//! # Blocking
//! Disk calls block, and on a network share that has gone away they block for minutes. They run on Tokio's blocking
//! threads, at most two at once for one folder, under a deadline; a call that hangs keeps its place, so a dead
//! share costs a few threads and no more, however often it is opened again. A put that misses the deadline may still happen: that is ambiguous.

mod collect;
mod copy;
mod deposit;
pub(in crate::relay) mod disk;
mod entry;
mod locality;
mod marker;
pub(in crate::relay) mod root;
mod sweep;
#[cfg(test)]
mod tests;
mod watch;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use kinfolk_core::ids::RelayId;
use tokio::sync::Semaphore;
use tokio::time::timeout;

#[cfg(test)]
use self::disk::Disk;
use self::disk::LocalDisk;
use self::root::{Limits, Root};
use super::capabilities::{Batch, Capabilities, Deletes, Durability, Poll, Push, Retention};
use super::error::{Reason, RelayError};
use super::mail::{Envelope, Fetched, Handle, Mailbox, PutOutcome, Want};
use super::{Probe, ProbeWarning, RETENTION, Relay, Swept, WatchStream};

/// Deadline of every call but a sweep.
pub(in crate::relay) const DEADLINE: Duration = Duration::from_secs(30);

/// Deadline of a sweep, which looks at every file.
const SWEEP_DEADLINE: Duration = Duration::from_secs(10 * 60);

/// Calls to one folder that may block at once: one that puts and one that collects.
const MAX_CALLS: usize = 2;

/// A shared folder.
#[derive(Debug)]
pub struct FolderRelay {
    inner: Arc<Inner>,
    capabilities: Capabilities,
}

/// What blocking calls share.
#[derive(Debug)]
struct Inner {
    root: Root,
    sums: deposit::Sums,
    scans: collect::Scans,
    calls: Arc<Semaphore>,
}

impl FolderRelay {
    /// Opens a folder that [`FolderRelay::prepare`] has made a relay, here or on another device.
    pub async fn open(path: &Path) -> Result<Self, RelayError> {
        let path = path.to_owned();
        Self::opening(path, |path| Root::open(path, Arc::new(LocalDisk), Limits::default())).await
    }

    /// Makes the folder where only its last component is missing, and its marker where there is none, and opens it.
    pub async fn prepare(path: &Path) -> Result<Self, RelayError> {
        let path = path.to_owned();
        Self::opening(path, |path| Root::prepare(path, Arc::new(LocalDisk), Limits::default())).await
    }

    /// As [`FolderRelay::prepare`], with a disk and limits of the test's choice.
    #[cfg(test)]
    pub(in crate::relay) async fn prepare_with(
        path: &Path,
        disk: Arc<dyn Disk>,
        limits: Limits,
    ) -> Result<Self, RelayError> {
        Self::opening(path.to_owned(), move |path| Root::prepare(path, disk, limits)).await
    }

    async fn opening(
        path: PathBuf,
        open: impl FnOnce(&Path) -> Result<Root, RelayError> + Send + 'static,
    ) -> Result<Self, RelayError> {
        let place = path.display().to_string();
        let calls = calls_to(&path);
        let root = blocking(&calls, DEADLINE, Effect::Repeatable, &place, move || open(&path)).await?;
        Ok(Self {
            capabilities: Capabilities {
                push: Push::Hint,
                deletes: Deletes::Anyone,
                retention: Retention::Stored { ttl: RETENTION },
                durability: Durability::Synced,
                max_envelope: entry::MAX_SEALED,
                max_batch: Batch { count: 256, bytes: 16 * 1024 * 1024 },
                max_mailbox_bytes: Some(root.limits.mailbox_bytes),
                max_mailboxes_per_call: 1024,
                poll: Poll { floor: Duration::from_secs(1), idle: Duration::from_secs(60), nano_usd: 0 },
            },
            inner: Arc::new(Inner { root, sums: deposit::Sums::default(), scans: collect::Scans::default(), calls }),
        })
    }
}

#[async_trait]
impl Relay for FolderRelay {
    fn id(&self) -> RelayId {
        self.inner.root.id
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn probe(&self) -> Result<Probe, RelayError> {
        let probing = self.inner.call(self.inner.root.limits.deadline, Effect::Repeatable, |inner| {
            let started = Instant::now();
            inner.root.check()?;
            let theirs = sweep::touch(&inner.root)?;
            let warnings = if locality::reports_every_change(inner.root.path()) {
                Vec::new()
            } else {
                vec![ProbeWarning::PollingOnly]
            };
            Ok(Probe {
                round_trip: started.elapsed(),
                clock_ahead_ms: clock_ahead_ms(theirs, SystemTime::now()),
                warnings,
            })
        });
        probing.await
    }

    async fn put(&self, items: &[(Mailbox, Envelope)]) -> Result<Vec<PutOutcome>, RelayError> {
        let items = items.to_vec();
        let putting = self.inner.call(self.inner.root.limits.deadline, Effect::Mail, move |inner| {
            deposit::put(&inner.root, &inner.sums, &items)
        });
        putting.await
    }

    async fn fetch(&self, wants: &[Want], max_bytes: usize) -> Result<Vec<Fetched>, RelayError> {
        let wants = wants.to_vec();
        let fetching = self.inner.call(self.inner.root.limits.deadline, Effect::Repeatable, move |inner| {
            collect::fetch(&inner.root, &inner.scans, &wants, max_bytes)
        });
        fetching.await
    }

    async fn acknowledge(&self, mailbox: Mailbox, handles: &[Handle]) -> Result<(), RelayError> {
        let handles = handles.to_vec();
        let deleting = self.inner.call(self.inner.root.limits.deadline, Effect::Repeatable, move |inner| {
            collect::acknowledge(&inner.root, mailbox, &handles)
        });
        deleting.await
    }

    fn watch(&self, mailboxes: Vec<Mailbox>) -> WatchStream {
        watch::start(Arc::clone(&self.inner), mailboxes)
    }

    async fn sweep(&self, _mailboxes: &[Mailbox]) -> Result<Swept, RelayError> {
        self.inner.call(SWEEP_DEADLINE, Effect::Repeatable, |inner| sweep::sweep(&inner.root)).await
    }
}

impl Inner {
    /// Runs `work` on a blocking thread.
    async fn call<T: Send + 'static>(
        self: &Arc<Self>,
        deadline: Duration,
        effect: Effect,
        work: impl FnOnce(&Self) -> Result<T, RelayError> + Send + 'static,
    ) -> Result<T, RelayError> {
        let inner = Arc::clone(self);
        let place = self.root.path().display().to_string();
        blocking(&self.calls, deadline, effect, &place, move || work(&inner)).await
    }
}

/// The permits for calls to a folder, shared by all handles of this process: whoever waits for a dead share opens it again
/// and again, and every attempt hangs a thread. The path is taken as given, since looking into it could hang as well.
fn calls_to(path: &Path) -> Arc<Semaphore> {
    static CALLS: Mutex<BTreeMap<PathBuf, Weak<Semaphore>>> = Mutex::new(BTreeMap::new());
    let mut folders = CALLS.lock().unwrap_or_else(PoisonError::into_inner);
    folders.retain(|_, calls| calls.strong_count() > 0);
    if let Some(calls) = folders.get(path).and_then(Weak::upgrade) {
        return calls;
    }
    let calls = Arc::new(Semaphore::new(MAX_CALLS));
    folders.insert(path.to_owned(), Arc::downgrade(&calls));
    calls
}

/// What a call may have done when it is given up half-way.
#[derive(Clone, Copy, Debug)]
enum Effect {
    /// Nothing that matters: done again, it does the same.
    Repeatable,
    /// It may have left mail.
    Mail,
}

/// Runs `work` on a blocking thread, as one of at most [`MAX_CALLS`], until the deadline. Once work that leaves mail has
/// begun, a missed deadline is ambiguous: nobody knows how far it got.
async fn blocking<T: Send + 'static>(
    calls: &Arc<Semaphore>,
    deadline: Duration,
    effect: Effect,
    place: &str,
    work: impl FnOnce() -> Result<T, RelayError> + Send + 'static,
) -> Result<T, RelayError> {
    let started = Instant::now();
    let given_up = |reason, effect| {
        let place = place.to_owned();
        match effect {
            Effect::Repeatable => RelayError::Transient { place, reason, after: None },
            Effect::Mail => RelayError::Ambiguous { place, reason },
        }
    };
    let Ok(Ok(permit)) = timeout(deadline, Arc::clone(calls).acquire_owned()).await else {
        return Err(given_up(Reason::TimedOut(deadline), Effect::Repeatable));
    };
    let working = tokio::task::spawn_blocking(move || {
        let done = work();
        drop(permit);
        done
    });
    match timeout(deadline.saturating_sub(started.elapsed()), working).await {
        Ok(Ok(done)) => done,
        Ok(Err(failure)) => match failure.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_shutting_down) => Err(given_up(Reason::Disconnected, effect)),
        },
        Err(_elapsed) => Err(given_up(Reason::TimedOut(deadline), effect)),
    }
}

/// How far `theirs` is ahead of `ours`.
fn clock_ahead_ms(theirs: SystemTime, ours: SystemTime) -> i64 {
    let millis = |span: Duration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
    match theirs.duration_since(ours) {
        Ok(ahead) => millis(ahead),
        Err(behind) => -millis(behind.duration()),
    }
}
