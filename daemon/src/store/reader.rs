//! Reads: what apps, status and relay workers ask, answered past the driver.
//!
//! A [`Reader`] is a small pool of read-only connections that threads share. Each call runs in one read transaction: it sees one
//! moment, the last commit before it began, and neither waits for the writer nor holds it up (WAL). What a call returns is
//! plain values; nothing borrows from the pool.
//!
//! **Long reads have connections of their own.** An export lasts as long as its reader likes, a verification as long as the log is;
//! however many of them there are, pages and relay workers find a connection.
//!
//! **A read that nobody waits for ends.** [`Reader::awaited`] gives a reader for one call, and a guard; when the guard is dropped, what the reader
//! does is interrupted within SQLite, and what it would do next is not begun.
//!
//! Pages go by keys, not by offsets: the caller names the last thing it has, and what arrives meanwhile neither repeats nor
//! hides anything older.

mod awaited;
mod bundles;
mod conflicts;
mod conversations;
mod counts;
mod explain;
mod export;
mod history;
mod lookup;
mod marking;
mod order;
mod quarantine;
mod query;
mod records;
mod runs;
mod search;
pub(super) mod snapshot;
mod usage;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;

pub use self::bundles::LoggedBundle;
pub use self::conflicts::{ConflictPlace, ConflictView, Policy};
pub use self::conversations::{ConversationView, MARKERS_SETTING, MessageView, Range};
pub use self::counts::Counts;
pub use self::explain::{Explained, TracedBundle};
pub use self::export::Exported;
pub use self::history::{MAX_PAST, PastChange, WholePast};
pub use self::lookup::{Found, Lookup};
pub use self::marking::Marking;
pub use self::order::{Entry, Part, Reach};
pub use self::quarantine::Kept;
pub use self::records::RecordView;
pub use self::runs::Stretch;
pub(super) use self::runs::stretch;
pub use self::search::{Hit, Piece, Sought};

use super::open::{self, Access};
use super::{DbKey, StoreError};

/// Most items of one page.
pub const MAX_PAGE: usize = 1_000;

/// Connections in use at one time for short reads. Further callers wait their turn.
const SHORT_READS: usize = 4;
/// Connections in use at one time for exports and verifications.
const LONG_READS: usize = 2;
/// Connections kept open when nobody reads: the one after it costs about a millisecond.
const IDLE_CONNECTIONS: usize = 2;

/// Answers reads. Clones share their connections.
#[derive(Clone, Debug)]
pub struct Reader {
    pool: Arc<Pool>,
    /// The call that these reads are for.
    call: Option<Arc<awaited::Call>>,
}

#[derive(Debug)]
struct Pool {
    dir: PathBuf,
    key: DbKey,
    state: Mutex<State>,
    returned: Condvar,
}

#[derive(Debug, Default)]
struct State {
    idle: Vec<Connection>,
    /// Connections that come back are closed.
    closed: bool,
    short: usize,
    long: usize,
}

/// How long a read may last.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Span {
    /// As long as a page takes.
    Short,
    /// As long as the caller, or the whole log, takes.
    Long,
}

impl Reader {
    /// Reads the database in `dir`, which a [`super::Store`] has opened and so brought up to date.
    ///
    /// # Errors
    /// Those of [`super::Store::open`].
    pub fn open(dir: &Path, key: &DbKey) -> Result<Self, StoreError> {
        let first = open::open(dir, key, Access::Read)?;
        let state = Mutex::new(State { idle: vec![first], ..State::default() });
        let pool = Pool { dir: dir.to_owned(), key: key.clone(), state, returned: Condvar::new() };
        Ok(Self { pool: Arc::new(pool), call: None })
    }

    /// Whether a short read would find a connection now, without waiting for one or opening one.
    pub fn is_free(&self) -> bool {
        let state = self.pool.lock();
        !state.is_full(Span::Short) && !state.idle.is_empty()
    }

    /// Keeps no connection open any more. Reads that are under way finish.
    pub fn close(&self) {
        let mut state = self.pool.lock();
        state.closed = true;
        let idle = std::mem::take(&mut state.idle);
        drop(state);
        drop(idle);
    }

    /// Runs a short `read` on a connection of the pool, in one read transaction.
    fn with<T>(&self, read: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.during(Span::Short, read)
    }

    /// Runs `read` on a connection for that span, in one read transaction.
    pub(super) fn during<T>(
        &self,
        span: Span,
        read: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if let Some(call) = &self.call {
            call.check()?;
        }
        let lease = Lease::take(&self.pool, span)?;
        let connection = lease.connection()?;
        // Let go of before the lease is: nobody interrupts who has the connection next.
        let _running = self.call.as_ref().map(|call| call.run(connection)).transpose()?;
        let transaction = connection.unchecked_transaction()?;
        read(&transaction)
    }
}

/// A connection on loan; comes back when dropped, also by a panic.
struct Lease<'p> {
    pool: &'p Pool,
    span: Span,
    connection: Option<Connection>,
}

impl<'p> Lease<'p> {
    fn take(pool: &'p Pool, span: Span) -> Result<Self, StoreError> {
        let mut state = pool.lock();
        while state.is_full(span) {
            state = pool.returned.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        *state.in_use(span) += 1;
        let idle = state.idle.pop();
        drop(state);
        let mut lease = Self { pool, span, connection: idle };
        if lease.connection.is_none() {
            lease.connection = Some(open::open(&pool.dir, &pool.key, Access::Read)?);
        }
        Ok(lease)
    }

    fn connection(&self) -> Result<&Connection, StoreError> {
        self.connection.as_ref().ok_or(StoreError::Transaction("a lease has a connection"))
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        let mut state = self.pool.lock();
        *state.in_use(self.span) -= 1;
        let spare = match self.connection.take() {
            Some(connection) if !state.closed && state.idle.len() < IDLE_CONNECTIONS => {
                state.idle.push(connection);
                None
            }
            other => other,
        };
        drop(state);
        self.pool.returned.notify_all();
        drop(spare);
    }
}

impl State {
    fn is_full(&self, span: Span) -> bool {
        match span {
            Span::Short => self.short >= SHORT_READS,
            Span::Long => self.long >= LONG_READS,
        }
    }

    fn in_use(&mut self, span: Span) -> &mut usize {
        match span {
            Span::Short => &mut self.short,
            Span::Long => &mut self.long,
        }
    }
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while the lock is held cannot leave the lists half-changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
