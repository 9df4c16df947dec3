//! A connection, as its calls see it.
//!
//! It counts its calls and streams, remembers which apps use it, and knows what its client owes: replies that are not taken, the last word of
//! streams that were ended, bytes that the socket does not take. A client that owes something for as long as [`super::pipe::SLOW`] is
//! gone or stuck, and what lies here for it is memory that others could use: the connection is closed ([`super::listener`]). It connects
//! again when it comes to itself, and resumes where it had read.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};

use tokio::time::Instant;
use tonic::codegen::http::Extensions;

use super::caller::Caller;
use super::room::{Full, Kind, Place, Room, Share};

/// A connection. Clones are the same one.
#[derive(Clone)]
pub(super) struct Line(Arc<Shared>);

struct Shared {
    room: Room,
    /// The apps that made calls on it, each with its place among their connections.
    apps: Mutex<BTreeMap<String, Vec<Place>>>,
    debts: Mutex<Debts>,
}

#[derive(Default)]
struct Debts {
    next: u64,
    since: BTreeMap<u64, Instant>,
    connection: Option<Waker>,
}

/// Something that waits for the client; over when it is dropped.
pub(super) struct Debt {
    line: Line,
    number: u64,
}

impl Line {
    /// A new one, that nobody has used.
    pub(super) fn new() -> Self {
        let room = Room::of_a_connection();
        Self(Arc::new(Shared { room, apps: Mutex::default(), debts: Mutex::default() }))
    }

    /// The connection that a request came on.
    pub(super) fn of(extensions: &Extensions) -> Option<Self> {
        extensions.get().cloned()
    }

    /// Takes a place for a call or a stream.
    pub(super) fn take(&self, kind: Kind) -> Result<Place, Full> {
        self.0.room.take(kind)
    }

    /// Counts the connection among those of its caller, once.
    pub(super) fn belongs_to(&self, caller: &Caller, share: &Share) -> Result<(), Full> {
        let Caller::App(app) = caller else { return Ok(()) };
        let mut apps = self.0.apps.lock().unwrap_or_else(PoisonError::into_inner);
        if !apps.contains_key(&app.name) {
            apps.insert(app.name.clone(), share.take(Kind::Connection)?);
        }
        Ok(())
    }

    /// From now on something waits for the client.
    pub(super) fn owe(&self) -> Debt {
        let mut debts = self.debts();
        debts.next += 1;
        let number = debts.next;
        if debts.since.is_empty() {
            // It sets its alarm.
            debts.connection.take().inspect(Waker::wake_by_ref);
        }
        debts.since.insert(number, Instant::now());
        Debt { line: self.clone(), number }
    }

    /// Since when something waits for the client; wakes the task when that begins.
    pub(super) fn owes_since(&self, cx: &Context<'_>) -> Option<Instant> {
        let mut debts = self.debts();
        match &mut debts.connection {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        debts.since.values().next().copied()
    }

    fn debts(&self) -> MutexGuard<'_, Debts> {
        self.0.debts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").field("room", &self.0.room).finish_non_exhaustive()
    }
}

impl fmt::Debug for Debt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Debt").field(&self.number).finish()
    }
}

impl Drop for Debt {
    fn drop(&mut self) {
        self.line.debts().since.remove(&self.number);
    }
}
