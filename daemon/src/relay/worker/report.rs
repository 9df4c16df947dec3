//! How a relay is doing, for people.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kinfolk_core::ids::{Millis, RelayId};

use crate::driver::wall_clock;
use crate::relay::{Push, Relay, RelayError, RelayUrl};

/// What is known of a relay now.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Report {
    /// Its URL, without secrets.
    pub url: String,
    /// Its kind: the scheme of the URL.
    pub kind: String,
    /// Whether it worked the last time.
    pub ok: bool,
    /// Why not, in words; empty when it works.
    pub reason: String,
    /// Whether it announces mail by itself.
    pub push: bool,
    /// The storage behind it; `None` while it was never reached.
    pub id: Option<RelayId>,
    /// When it worked last, by the wall clock.
    pub last_ok: Option<Millis>,
    /// Envelopes put since the daemon started.
    pub sent: u64,
    /// Envelopes collected since the daemon started.
    pub received: u64,
}

/// Keeps a [`Report`] up to date.
#[derive(Clone, Debug)]
pub struct Reporter(Arc<Mutex<Report>>);

impl Reporter {
    /// A relay that was just reached.
    pub fn new(url: &RelayUrl, relay: &dyn Relay) -> Self {
        let push = !matches!(relay.capabilities().push, Push::None);
        let report = Report { id: Some(relay.id()), ok: true, last_ok: Some(wall_clock()), push, ..unreached(url) };
        Self(Arc::new(Mutex::new(report)))
    }

    /// The report as it stands.
    pub fn get(&self) -> Report {
        self.lock().clone()
    }

    /// It worked. Says whether it did not before.
    pub(super) fn worked(&self, sent: u64, received: u64) -> bool {
        let mut report = self.lock();
        report.last_ok = Some(wall_clock());
        report.sent += sent;
        report.received += received;
        report.reason.clear();
        !std::mem::replace(&mut report.ok, true)
    }

    /// It did not work. Says whether it did before.
    pub(super) fn failed(&self, error: &RelayError) -> bool {
        let mut report = self.lock();
        report.reason = error.to_string();
        std::mem::replace(&mut report.ok, false)
    }

    /// It works, but something about it should be known.
    pub(super) fn noted(&self, reason: String) {
        self.lock().reason = reason;
    }

    fn lock(&self) -> MutexGuard<'_, Report> {
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
        push: false,
        id: None,
        last_ok: None,
        sent: 0,
        received: 0,
    }
}
