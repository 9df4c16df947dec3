//! How a relay is doing, for people.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kinfolk_core::ids::{Millis, RelayId};

use crate::driver::wall_clock;
use crate::relay::{Fault, Relay, RelayError, RelayUrl};

/// What is known of a relay now.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Report {
    /// Its URL, without secrets.
    pub url: String,
    /// Its kind: the scheme of the URL.
    pub kind: String,
    /// Whether it worked the last time.
    pub ok: bool,
    /// Why not, in words; empty when it works. What should be known although it works.
    pub reason: String,
    /// What is wrong with it; `None` when it works or was not tried yet.
    pub fault: Option<Fault>,
    /// Whether it announces mail by itself and is listened to.
    pub push: bool,
    /// The storage behind it; `None` while it was never reached.
    pub id: Option<RelayId>,
    /// When it worked last, by the wall clock.
    pub last_ok: Option<Millis>,
    /// Envelopes put since the daemon started.
    pub sent: u64,
    /// Envelopes collected since the daemon started.
    pub received: u64,
    /// How long it takes to put mail there, smoothed over the last ones; `None` before the first.
    pub round_trip: Option<Duration>,
    /// Parcels that wait for it here.
    pub queued: usize,
}

/// Keeps a [`Report`] up to date.
#[derive(Clone, Debug)]
pub struct Reporter(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    report: Report,
    /// The last put failed, so that a fetch that works does not yet prove the relay well.
    put_failed: bool,
    /// What should be known although it works.
    note: String,
}

impl Reporter {
    /// A relay that was just reached.
    pub fn new(url: &RelayUrl, relay: &dyn Relay) -> Self {
        let report = Report { id: Some(relay.id()), ok: true, last_ok: Some(wall_clock()), ..unreached(url) };
        Self(Arc::new(Mutex::new(State { report, put_failed: false, note: String::new() })))
    }

    /// The report as it stands.
    pub fn get(&self) -> Report {
        let state = self.lock();
        let mut report = state.report.clone();
        if report.ok {
            report.reason.clone_from(&state.note);
        }
        report
    }

    /// It worked, in both directions as far as is known. Says whether it did not before.
    pub(super) fn worked(&self) -> bool {
        let mut state = self.lock();
        state.put_failed = false;
        state.report.last_ok = Some(wall_clock());
        state.report.fault = None;
        state.report.reason.clear();
        !std::mem::replace(&mut state.report.ok, true)
    }

    /// It did not work. Says whether it did before.
    pub(super) fn failed(&self, error: &RelayError) -> bool {
        let mut state = self.lock();
        state.report.reason = error.to_string();
        state.report.fault = Some(error.fault());
        std::mem::replace(&mut state.report.ok, false)
    }

    /// It took no mail. Says whether it worked before.
    pub(super) fn failed_to_put(&self, error: &RelayError) -> bool {
        self.lock().put_failed = true;
        self.failed(error)
    }

    /// Whether the last put failed and nothing has shown since that the relay takes mail.
    pub(super) fn put_failed(&self) -> bool {
        self.lock().put_failed
    }

    /// Envelopes were put, in a call that took so long; `note` is what should be known about it, or nothing.
    pub(super) fn sent(&self, envelopes: u64, took: Duration, note: String) {
        let mut state = self.lock();
        state.report.sent += envelopes;
        state.report.round_trip = Some(state.report.round_trip.map_or(took, |usual| (usual * 7 + took) / 8));
        state.note = note;
    }

    /// Whether its hints are listened to now.
    pub(super) fn listening(&self, push: bool) {
        self.lock().report.push = push;
    }

    /// Envelopes were collected.
    pub(super) fn received(&self, envelopes: u64) {
        self.lock().report.received += envelopes;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The report of a relay that was not reached yet.
pub fn unreached(url: &RelayUrl) -> Report {
    Report {
        url: url.to_string(),
        kind: url.scheme().to_owned(),
        ok: false,
        reason: String::new(),
        fault: None,
        push: false,
        id: None,
        last_ok: None,
        sent: 0,
        received: 0,
        round_trip: None,
        queued: 0,
    }
}
