//! Reads that end when nobody waits for them.
//!
//! An interrupt ends the statements that are at work. One that falls between two of them has nothing to end; then the read goes on to its own end, which
//! is a page, or to its next look at the pool.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, InterruptHandle};

use super::Reader;
use crate::store::StoreError;

/// A call that reads.
#[derive(Debug, Default)]
pub(super) struct Call(Mutex<State>);

#[derive(Default)]
struct State {
    abandoned: bool,
    /// The connection that reads for it now.
    running: Option<InterruptHandle>,
}

/// Whoever waits for a read; dropped, it ends the read.
#[must_use]
#[derive(Debug)]
pub struct Awaited(Arc<Call>);

/// A read in the middle of its work.
pub(super) struct Running<'c>(&'c Call);

impl Reader {
    /// A reader for one call, and who waits for it. What it reads lasts no longer than that.
    pub fn awaited(&self) -> (Self, Awaited) {
        let call = Arc::new(Call::default());
        (Self { pool: Arc::clone(&self.pool), call: Some(Arc::clone(&call)) }, Awaited(call))
    }
}

impl Call {
    /// # Errors
    /// When nobody waits for it any more.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        if self.lock().abandoned { Err(StoreError::Abandoned) } else { Ok(()) }
    }

    /// Reads on that connection until what it returns is dropped.
    pub(super) fn run(&self, connection: &Connection) -> Result<Running<'_>, StoreError> {
        let mut state = self.lock();
        if state.abandoned {
            return Err(StoreError::Abandoned);
        }
        state.running = Some(connection.get_interrupt_handle());
        Ok(Running(self))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.lock().running = None;
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.abandoned = true;
        if let Some(running) = &state.running {
            running.interrupt();
        }
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("abandoned", &self.abandoned).finish_non_exhaustive()
    }
}
