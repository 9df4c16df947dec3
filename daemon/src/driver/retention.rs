//! Old contents go: on request, and once a day after the log was compacted, when the person has set after how many days.

use kinfolk_core::contents::Wanted;
use kinfolk_core::ids::{Millis, Now};
use kinfolk_core::step::{CallId, Input};
use tokio::sync::oneshot;

use super::call::Call;
use super::{Driver, DriverError, Prunable, Sought};
use crate::store::StoreError;

/// How long contents stay, and when to look again.
#[derive(Debug)]
pub(super) struct Retention {
    /// After so many days they go.
    pub(super) days: Option<u32>,
    /// How many are lacking, as the engine was told last.
    told: u64,
    /// A day's pruning was more than one transaction does: when it goes on, by the monotonic clock.
    next: Option<Millis>,
}

impl Retention {
    /// As the store has it.
    pub(super) fn new(days: Option<u32>, lacking: u64) -> Self {
        Self { days, told: lacking, next: None }
    }

    /// The engine was made anew from what is on disk.
    pub(super) fn restored(&mut self, lacking: u64) {
        self.told = lacking;
    }
}

impl Driver {
    /// Somebody wants contents to go. What can be compacted is, before: what is not stays.
    pub(super) fn prune(
        &mut self,
        before_us: i64,
        dry_run: bool,
        reply: oneshot::Sender<Result<Prunable, DriverError>>,
        now: Now,
    ) -> Result<(), StoreError> {
        // Registered first: whoever waits is answered, also when the store fails below.
        let call = self.register(Call::Prune(reply));
        if !dry_run {
            self.next_call += 1;
            self.compact(CallId(self.next_call), now)?;
        }
        self.engine.handle(Input::Prune { call, before_us, dry_run }, now);
        Ok(())
    }

    /// Somebody wants to see contents that are elsewhere.
    pub(super) fn seek(&mut self, wanted: Vec<Wanted>, reply: oneshot::Sender<Result<Sought, DriverError>>, now: Now) {
        let call = self.register(Call::Seek(reply));
        self.engine.handle(Input::Seek { call, wanted }, now);
    }

    /// Contents go after so many days from now on, as the store has it already.
    pub(super) fn retain(&mut self, days: Option<u32>, now: Now) {
        self.retention.days = days;
        self.engine.handle(Input::Prunes(days.is_some()), now);
    }

    /// The day's pruning, if `due`, or the next part of it.
    pub(super) fn prune_daily(&mut self, due: bool, now: Now) {
        let goes_on = self.retention.next.take_if(|next| *next <= now.mono).is_some();
        let Some(days) = self.retention.days.filter(|_| due || goes_on) else { return };
        self.next_call += 1;
        let before_us = before(now.wall, Millis(u64::from(days).saturating_mul(DAY.0)));
        self.engine.handle(Input::Prune { call: CallId(self.next_call), before_us, dry_run: false }, now);
        // As long as the last part was a full one.
        self.retention.next = Some(now.mono.plus(PAUSE));
    }

    /// Says how many contents are lacking, before the engine decides what to tell; gives back when to come again.
    pub(super) fn tell_lacking(&mut self, now: Now) {
        let lacking = self.store.lacking();
        if std::mem::replace(&mut self.retention.told, lacking) != lacking {
            self.engine.handle(Input::Lacking(lacking), now);
        }
        if !self.store.last_pruning().more {
            self.retention.next = None;
        }
    }

    /// When the day's pruning goes on, if that is sooner.
    pub(super) fn or_pruning(&self, wake: Option<Millis>) -> Option<Millis> {
        wake.into_iter().chain(self.retention.next).min()
    }
}

/// The instant so long ago, in microseconds since the Unix epoch.
pub(crate) fn before(wall: Millis, age: Millis) -> i64 {
    i64::try_from(wall.since(age).0.saturating_mul(1_000)).unwrap_or(i64::MAX)
}

const DAY: Millis = Millis(24 * 3_600_000);
/// From one part of a day's pruning to the next: 10 s for others, since one part takes up to a second.
const PAUSE: Millis = Millis(10_000);
