//! A relay in memory, for tests of everything above the trait: several handles to one storage, a clock that tests move,
//! and [`Faults`] that lose, repeat, reorder, delay, tear and refuse by a seeded die. No URL leads here.
//!
//! Its cursor is a position in the order of arrival, as a server's would be: with mail that becomes visible late, a
//! cursor does miss mail until the next scan from nothing. A folder never shows that; callers must live with both.

mod faults;
mod state;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use kinfolk_core::ids::{EnvelopeId, RelayId};
use tokio::sync::broadcast;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::BroadcastStream;

pub use self::faults::{Faults, PerMille, Tally};
use self::state::State;
use super::capabilities::{Batch, Capabilities, Deletes, Durability, Poll, Push, Retention};
use super::error::{Reason, RelayError};
use super::mail::{Envelope, Fetched, Handle, Mailbox, PutOutcome, Want};
use super::{Probe, RETENTION, Relay, Swept, WatchEvent, WatchStream};

/// What errors call this relay.
const PLACE: &str = "in memory";

/// Largest envelope in sealed bytes.
const MAX_ENVELOPE: usize = 2 * 1024 * 1024;

/// Hints that a slow listener may leave unread before it hears of a gap instead.
const HINTS: usize = 64;

/// The storage behind any number of handles.
#[derive(Clone, Debug)]
pub struct MemoryStorage {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    id: RelayId,
    state: Mutex<State>,
    hints: broadcast::Sender<Hint>,
}

#[derive(Clone, Copy, Debug)]
enum Hint {
    Mail(Mailbox),
    Broken,
    Mended,
}

impl MemoryStorage {
    /// An empty storage without faults; `seed` replays its dice and names it.
    pub fn new(seed: u64) -> Self {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&seed.to_be_bytes());
        Self {
            shared: Arc::new(Shared {
                id: RelayId(id),
                state: Mutex::new(State::new(seed)),
                hints: broadcast::Sender::new(HINTS),
            }),
        }
    }

    /// Sets the budget of each mailbox in sealed bytes, for handles made after this.
    #[must_use]
    pub fn with_budget(self, bytes: u64) -> Self {
        self.shared.lock().max_mailbox_bytes = bytes;
        self
    }

    /// Another handle.
    pub fn relay(&self) -> MemoryRelay {
        MemoryRelay {
            capabilities: Capabilities {
                push: Push::Hint,
                deletes: Deletes::Anyone,
                retention: Retention::Stored { ttl: RETENTION },
                durability: Durability::Memory,
                max_envelope: MAX_ENVELOPE,
                max_batch: Batch { count: 256, bytes: 16 * 1024 * 1024 },
                max_mailbox_bytes: Some(self.shared.lock().max_mailbox_bytes),
                max_mailboxes_per_call: 1024,
                poll: Poll { floor: Duration::from_millis(10), idle: Duration::from_secs(1), nano_usd: 0 },
            },
            shared: Arc::clone(&self.shared),
        }
    }

    /// From now on this goes wrong. [`Faults::default`] mends everything; what was lost stays lost.
    pub fn set_faults(&self, faults: Faults) {
        self.shared.lock().faults = faults;
    }

    /// How often each fault has struck.
    pub fn tally(&self) -> Tally {
        self.shared.lock().tally
    }

    /// Lets time pass on the relay's clock.
    pub fn pass(&self, span: Duration) {
        self.shared.lock().clock += span;
    }

    /// Breaks every watch: hints stop, the listeners hear that the relay is down.
    pub fn break_watches(&self) {
        self.shared.hint(Hint::Broken);
    }

    /// Mends every watch: the listeners hear of a gap.
    pub fn mend_watches(&self) {
        self.shared.hint(Hint::Mended);
    }

    /// Leaves a copy that is not whole.
    pub fn plant_torn(&self, mailbox: Mailbox, id: EnvelopeId) {
        let mut state = self.shared.lock();
        let sealed = Bytes::new();
        state.store(mailbox, &Envelope { id, sealed }, |copy| copy.torn = true);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hint(&self, hint: Hint) {
        // Nobody listens: hints are lossy.
        let _ = self.hints.send(hint);
    }
}

/// A handle to a [`MemoryStorage`].
#[derive(Debug)]
pub struct MemoryRelay {
    shared: Arc<Shared>,
    capabilities: Capabilities,
}

#[async_trait]
impl Relay for MemoryRelay {
    fn id(&self) -> RelayId {
        self.shared.id
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn probe(&self) -> Result<Probe, RelayError> {
        self.shared.lock().enter()?;
        Ok(Probe { round_trip: Duration::ZERO, clock_ahead_ms: 0, warnings: Vec::new() })
    }

    async fn put(&self, items: &[(Mailbox, Envelope)]) -> Result<Vec<PutOutcome>, RelayError> {
        let mut state = self.shared.lock();
        state.enter()?;
        let mut outcomes = Vec::with_capacity(items.len());
        for (mailbox, envelope) in items {
            outcomes.push(state.put(*mailbox, envelope));
            let quiet = state.faults.quiet;
            if state.strikes(quiet) {
                state.tally.quiet += 1;
            } else {
                self.shared.hint(Hint::Mail(*mailbox));
            }
        }
        state.leave().map(|()| outcomes)
    }

    async fn fetch(&self, wants: &[Want], max_bytes: usize) -> Result<Vec<Fetched>, RelayError> {
        let mut state = self.shared.lock();
        state.enter()?;
        Ok(state.fetch(wants, max_bytes))
    }

    async fn acknowledge(&self, mailbox: Mailbox, handles: &[Handle]) -> Result<(), RelayError> {
        let mut state = self.shared.lock();
        state.enter()?;
        if let Some(copies) = state.mailboxes.get_mut(&mailbox) {
            copies.retain(|copy| copy.torn || !handles.contains(&copy.handle()));
        }
        state.leave()
    }

    fn watch(&self, mailboxes: Vec<Mailbox>) -> WatchStream {
        let hints = BroadcastStream::new(self.shared.hints.subscribe());
        let events = hints.filter_map(move |hint| match hint {
            Ok(Hint::Mail(mailbox)) => mailboxes.contains(&mailbox).then_some(WatchEvent::Ready(mailbox)),
            Ok(Hint::Broken) => Some(WatchEvent::Down(transient())),
            Ok(Hint::Mended) | Err(_) => Some(WatchEvent::Gap),
        });
        Box::pin(tokio_stream::once(WatchEvent::Gap).chain(events))
    }

    async fn sweep(&self, _mailboxes: &[Mailbox]) -> Result<Swept, RelayError> {
        let mut state = self.shared.lock();
        state.enter()?;
        let now = state.clock;
        let mut swept = Swept::default();
        for copies in state.mailboxes.values_mut() {
            let before = copies.len();
            copies.retain(|copy| now.saturating_sub(copy.at) < RETENTION);
            swept.expired += (before - copies.len()) as u64;
        }
        Ok(swept)
    }
}

/// The error of a relay that asks for patience.
fn transient() -> RelayError {
    RelayError::Transient { place: PLACE.to_owned(), reason: Reason::Busy, after: None }
}
