//! Relays over which a sibling's receipts do not come, while they come over others.
//!
//! A relay that takes mail and keeps it to itself looks like any other to who puts it there. It gives itself away when a receipt is late,
//! the same mail goes over another relay, and the receipt comes soon: once may be chance, so it takes [`TIMES`], with nothing receipted
//! in time by way of the relay in between. A sibling that is away makes nobody suspect: it is late on all relays alike, and for longer.

use std::collections::BTreeMap;

use crate::ids::{Millis, RelayId};

/// How often another relay must have helped.
const TIMES: u32 = 3;
/// Up to so many rewinds a receipt came soon enough to blame the first relay: some 20 s after the mail was put.
const SOON: u32 = 2;

/// What is suspected of relays.
#[derive(Clone, Debug, Default)]
pub(super) struct Suspicion {
    /// Where the receipt that is awaited now was late first.
    late: Option<RelayId>,
    suspects: BTreeMap<RelayId, Suspect>,
}

#[derive(Clone, Copy, Debug)]
struct Suspect {
    since: Millis,
    times: u32,
}

impl Suspicion {
    /// A receipt is late for what lies on `relay`.
    pub(super) fn late(&mut self, relay: Option<RelayId>) {
        self.late = self.late.or(relay);
    }

    /// A receipt came after so many rewinds, the last of which went to `relay`.
    pub(super) fn receipted(&mut self, relay: Option<RelayId>, rewinds: u32, now: Millis) {
        let late = self.late.take().filter(|late| Some(*late) != relay && rewinds <= SOON);
        match (late, relay) {
            (Some(late), _) => {
                let suspect = self.suspects.entry(late).or_insert(Suspect { since: now, times: 0 });
                suspect.times = suspect.times.saturating_add(1);
            }
            (None, Some(relay)) if rewinds == 0 => drop(self.suspects.remove(&relay)),
            (None, _) => {}
        }
    }

    pub(super) fn forget(&mut self, relay: RelayId) {
        self.suspects.remove(&relay);
        self.late = self.late.filter(|late| *late != relay);
    }

    /// Relays that have been suspected for `bound` and often enough.
    pub(super) fn of(&self, bound: Millis, now: Millis) -> impl Iterator<Item = RelayId> + '_ {
        let proven = move |suspect: &Suspect| suspect.times >= TIMES && now.since(suspect.since) >= bound;
        self.suspects.iter().filter(move |(_, suspect)| proven(suspect)).map(|(relay, _)| *relay)
    }
}
