//! The driver: takes what lies ready, lets the engine decide, commits once, then performs the rest in order.
//!
//! ```text
//! requests ─▶ facts from the store ─▶ engine.handle … engine.settle
//!                                        │
//!             BEGIN … apply every Commit … COMMIT      (one fdatasync for the whole round)
//!                                        │
//!             replies · sends · acknowledgements · the bell
//! ```
//!
//! One thread owns the engine and the store's write connection. It waits for nobody: its own channel is bounded, and so are those
//! to the relay workers; a full one comes back to the engine as a parcel that did not arrive. Whatever lies in the channel when a round
//! begins joins that round: under load this is the group commit, at rest a push is committed at once. Callers that were answered together ask
//! again together: after a round with many of them the driver gives the next ones a moment to come in ([`Driver::gather`]), since a commit
//! costs as much for the first of them as for all.
//!
//! **When a commit fails**, everyone who waits for it gets the error, the engine is dropped and restored from the store, and what
//! siblings sent is collected again later. There is no repair code.

mod author;
mod call;
mod handle;
mod passes;
mod recent;
mod relays;
mod retention;
mod round;
mod trail;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kinfolk_core::contents::Wanted;
use kinfolk_core::engine::{Config, Engine};
use kinfolk_core::epoch::Epoch;
use kinfolk_core::ids::{BundleSeq, DeviceId, Hash, Millis, Now, RelayId};
use kinfolk_core::op::Op;
use kinfolk_core::roster::Roster;
use kinfolk_core::step::{AppBundle, CallId, Compaction, Hindrance, Input, Missed, Pruning, Pushed, Refusal, Status};
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{debug, info, warn};

use self::call::Call;
pub use self::handle::Handle;
use self::passes::Passes;
use self::recent::Recent;
use self::retention::Retention;
pub(crate) use self::retention::before;
pub use self::trail::{Trail, What};
use crate::credentials::Credentials;
use crate::relay::worker;
use crate::store::{Compacted, Pruned, Store, StoreError};

/// Why a push did not happen.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PushError {
    /// The engine refused it; nothing changed.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It could not be carried out.
    #[error(transparent)]
    Driver(#[from] DriverError),
}

/// Why the driver could not do something. What was committed before is safe.
#[derive(Clone, Debug, thiserror::Error)]
pub enum DriverError {
    /// The daemon is stopping.
    #[error("the daemon is stopping")]
    Stopping,
    /// No room to commit.
    #[error("{0}")]
    StoreFull(String),
    /// The store failed otherwise.
    #[error("the store failed: {0}")]
    Store(String),
    /// A roster record could not be made.
    #[error("{0}")]
    Roster(&'static str),
}

impl From<&StoreError> for DriverError {
    fn from(error: &StoreError) -> Self {
        let words = error.to_string();
        if matches!(error, StoreError::Full) { Self::StoreFull(words) } else { Self::Store(words) }
    }
}

/// What the driver knows after a round, for whoever looks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Picture {
    /// The engine's view of itself and the siblings.
    pub status: Status,
    /// The state digest.
    pub digest: Hash,
    /// When a parcel last reached a relay, by the wall clock.
    pub last_up: Option<Millis>,
    /// When a sibling's parcel last came in, by the wall clock.
    pub last_down: Option<Millis>,
    /// Why the last commit failed, until one succeeds.
    pub fault: Option<String>,
    /// After how many days contents of messages go; `None` when they stay.
    pub retention: Option<u32>,
}

/// What others ask of the driver.
pub(crate) enum Request {
    Push {
        ops: Vec<Op>,
        app: Option<AppBundle>,
        bases: BTreeMap<usize, BundleSeq>,
        reply: oneshot::Sender<Result<Pushed, PushError>>,
    },
    Author {
        change: handle::Authored,
        reply: oneshot::Sender<Result<(), DriverError>>,
    },
    Tell(Input),
    Attach {
        relay: RelayId,
        worker: worker::Mailroom,
    },
    Detach {
        relay: RelayId,
    },
    Prefer {
        order: Vec<RelayId>,
    },
    Hold {
        held: bool,
    },
    Pass {
        again: bool,
        reply: oneshot::Sender<Result<(), DriverError>>,
    },
    Compact {
        dry_run: bool,
        reply: oneshot::Sender<Result<(Compaction, Compacted), DriverError>>,
    },
    Prune {
        before_us: i64,
        dry_run: bool,
        reply: oneshot::Sender<Result<Prunable, DriverError>>,
    },
    Seek {
        wanted: Vec<Wanted>,
        reply: oneshot::Sender<Result<Sought, DriverError>>,
    },
    Retain {
        days: Option<u32>,
        reply: oneshot::Sender<Result<(), DriverError>>,
    },
    Keep {
        work: Work,
        reply: oneshot::Sender<Result<(), DriverError>>,
    },
    Stop {
        done: oneshot::Sender<()>,
    },
}

/// Which contents may go, or why none; and what went.
pub(crate) type Prunable = (Result<Pruning, Hindrance>, Pruned);

/// The contents that did not come, and why.
pub(crate) type Sought = BTreeMap<Wanted, Missed>;

/// Something small to do with the store, outside a transaction.
type Work = Box<dyn FnOnce(&mut Store) -> Result<(), StoreError> + Send>;

/// The driver's own state; lives on its thread.
struct Driver {
    me: DeviceId,
    credentials: Arc<Credentials>,
    /// The epochs whose mailboxes are looked into.
    polled: Vec<Epoch>,
    store: Store,
    engine: Engine,
    /// The engine is ahead of the disk: it must be restored before it decides anything.
    stale: bool,
    recent: Recent,
    relays: BTreeMap<RelayId, worker::Mailroom>,
    /// The relays that are attached, for a restored engine.
    attached: Vec<RelayId>,
    /// The person's order of relays, whether attached or not.
    preference: Vec<RelayId>,
    /// The relays whose workers said last that they are out of reach.
    down: BTreeSet<RelayId>,
    passes: Passes,
    calls: BTreeMap<CallId, Call>,
    next_call: u64,
    /// How many pushes the last round held.
    crowd: usize,
    began: Instant,
    /// When to compact the log, by the monotonic clock.
    compact_at: Millis,
    retention: Retention,
    picture: Picture,
    pictures: watch::Sender<Arc<Picture>>,
    bell: watch::Sender<BundleSeq>,
    rosters: watch::Sender<Arc<Roster>>,
    trail: Trail,
}

/// Starts the driver's thread on an opened store.
///
/// # Errors
/// When the store cannot tell what it holds, or no thread can be had.
pub fn start(credentials: Arc<Credentials>, store: Store, config: Config) -> Result<Handle, DriverError> {
    let saved = store.restore().map_err(|error| DriverError::from(&error))?;
    let bundle_seq = saved.bundle_seq;
    let retention = Retention::new(store.retention().map_err(|error| DriverError::from(&error))?, saved.lacking);
    let engine = Engine::restore(saved, config);
    let (requests, inbox) = mpsc::channel(MAX_QUEUE);
    let (pictures, picture) = watch::channel(Arc::new(Picture::default()));
    let (bell_sender, bell) = watch::channel(bundle_seq);
    let (rosters, roster) = watch::channel(Arc::new(engine.roster().clone()));
    let trail = Trail::new(wall_clock());
    let driver = Driver {
        trail: trail.clone(),
        me: credentials.me,
        credentials,
        polled: Vec::new(),
        store,
        engine,
        stale: false,
        recent: Recent::default(),
        relays: BTreeMap::new(),
        attached: Vec::new(),
        preference: Vec::new(),
        down: BTreeSet::new(),
        passes: Passes::default(),
        calls: BTreeMap::new(),
        next_call: 0,
        crowd: 0,
        began: Instant::now(),
        compact_at: FIRST_COMPACTION,
        retention,
        picture: Picture::default(),
        pictures,
        bell: bell_sender,
        rosters,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let runtime = runtime.map_err(|error| DriverError::Store(error.to_string()))?;
    let thread = std::thread::Builder::new().name("driver".into());
    let thread = thread.spawn(move || {
        let _end = EndWithProcess;
        runtime.block_on(driver.run(inbox, config));
    });
    let thread = thread.map_err(|error| DriverError::Store(error.to_string()))?;
    Ok(Handle::new(requests, picture, bell, roster, trail, thread))
}

/// A driver that panics takes the process along: a service manager starts it again from what is durable. Serving on without it would
/// look alive and do nothing.
struct EndWithProcess;

impl Drop for EndWithProcess {
    fn drop(&mut self) {
        if std::thread::panicking() {
            std::process::abort();
        }
    }
}

impl Driver {
    async fn run(mut self, mut inbox: mpsc::Receiver<Request>, config: Config) {
        let mut ready = Vec::with_capacity(MAX_ROUND);
        let mut wake = self.round(&mut ready, config);
        let mut rested = false;
        loop {
            let deadline = wake.map_or(LONGEST_SLEEP, |at| Duration::from_millis(at.since(self.now().mono).0));
            let patience = if rested { deadline } else { deadline.min(REST_AFTER) };
            match tokio::time::timeout(patience, inbox.recv_many(&mut ready, MAX_ROUND)).await {
                // Nobody is left who could ask for anything.
                Ok(0) => break,
                Ok(_) => rested = false,
                Err(_) if patience < deadline => {
                    rested = true;
                    self.rest();
                    continue;
                }
                Err(_) => {}
            }
            self.gather(&mut inbox, &mut ready);
            let stop = ready.iter().position(|request| matches!(request, Request::Stop { .. }));
            let stop = stop.map(|at| ready.remove(at));
            wake = self.round(&mut ready, config);
            if let Some(Request::Stop { done }) = stop {
                // The store is closed before anybody hears of it: who waits may end the process at once.
                self.close();
                // Nobody listening is fine: the answer is only for those who wait.
                done.send(()).ok();
                return;
            }
        }
        self.close();
    }

    fn close(self) {
        if let Err(error) = self.store.close() {
            warn!(%error, "the write-ahead log could not be moved into the database; the next start reads it");
        }
        info!("the driver has stopped");
    }

    /// Waits up to [`GATHER`] until half of those who pushed in the last round are here again.
    fn gather(&mut self, inbox: &mut mpsc::Receiver<Request>, ready: &mut Vec<Request>) {
        let expected = self.crowd / 2;
        if expected >= CROWD {
            let until = Instant::now() + GATHER;
            while ready.len() < expected && Instant::now() < until {
                std::thread::sleep(GATHER_STEP);
                while ready.len() < MAX_ROUND
                    && let Ok(request) = inbox.try_recv()
                {
                    ready.push(request);
                }
            }
        }
        self.crowd = ready.iter().filter(|request| matches!(request, Request::Push { .. })).count();
    }

    /// Gives back what only speeds up the next round.
    fn rest(&mut self) {
        self.recent.clear();
        if let Err(fault) = self.store.rest() {
            debug!(%fault, "the store keeps its memory");
        }
    }

    fn now(&self) -> Now {
        let mono = Millis(u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX));
        Now { mono, wall: wall_clock() }
    }
}

/// The wall clock, right or wrong.
pub(crate) fn wall_clock() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Most requests that wait for the driver. One round takes all of them; 1,024 pushes of 1 KiB are 1 MiB.
pub(crate) const MAX_QUEUE: usize = 1024;
/// Most requests in one round, and so in one commit.
const MAX_ROUND: usize = 1024;
/// From how many on pushes that are expected are waited for.
const CROWD: usize = 8;
/// How long they are waited for: about what a commit costs on a good disk.
const GATHER: Duration = Duration::from_micros(300);
/// How long between two looks. A thread sleeps some 50 µs longer than it is told to.
const GATHER_STEP: Duration = Duration::from_micros(20);
/// After how long without a request the driver lets go of memory: 10 s.
const REST_AFTER: Duration = Duration::from_secs(10);
/// The log is compacted an hour after the start, when siblings have had time to say what they hold, and then once a day.
const FIRST_COMPACTION: Millis = Millis(3_600_000);
const COMPACT_EVERY: Millis = Millis(24 * 3_600_000);
/// How long the driver sleeps when the engine has nothing to wait for: 1 h.
const LONGEST_SLEEP: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests;
