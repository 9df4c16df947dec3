//! Withheld mail: a relay takes it and does not deliver it. Nobody sees that at the relay; it shows in what comes by other ways.
//!
//! - *From a sibling*: other devices show bundles of its own that it has not shown itself, though it has spoken before and looks for mail
//!   where we do. It sends to all at once, so its own word should come soon after theirs.
//! - *To a sibling*: receipts come only after the lane went to another relay ([`crate::lane`]).
//!
//! After [`ALARM`] the relay and the sibling are named in `status`, until the sibling's word comes, or a receipt by way of that relay. Repair
//! brings the bundles all the while: the alarm is for the person, who should know that a way is broken which looks well. A sibling that went
//! out of reach after it had told only others looks the same. A device that sends on passes only is silent between them, and alarms nobody.

use std::collections::BTreeMap;

use super::Engine;
use crate::ids::{DeviceId, Millis, Now, RelayId, Seq, SourceId};

/// How long a sibling's own word may be behind what others show of it: 10 min.
pub(super) const ALARM: Millis = Millis(600_000);

/// What others have shown of a sibling and it has not shown itself.
#[derive(Clone, Debug)]
pub(super) struct Unheard {
    since: Millis,
    shown: BTreeMap<SourceId, Seq>,
}

impl Unheard {
    /// When it becomes an alarm.
    pub(super) fn alarm_at(&self) -> Millis {
        self.since.plus(ALARM)
    }
}

impl Engine {
    /// Holds what siblings say of each other against what they say of themselves; called when one has spoken.
    pub(super) fn compare_words(&mut self, now: Now) {
        let mut shown: BTreeMap<DeviceId, BTreeMap<SourceId, Seq>> = BTreeMap::new();
        for (source, known) in &self.sources {
            let Some(author) = self.siblings.get(&known.device) else { continue };
            let others = self.siblings.iter().filter(|(id, _)| **id != known.device);
            let told = others.map(|(_, other)| other.receipt.vector.seq(*source));
            let most = told.chain([self.vector.seq(*source)]).max().unwrap_or_default();
            if most > author.receipt.vector.seq(*source) {
                shown.entry(known.device).or_default().insert(*source, most);
            }
        }
        for (id, sibling) in &mut self.siblings {
            let still = sibling
                .unheard
                .take()
                .filter(|unheard| unheard.shown.iter().any(|(source, seq)| sibling.receipt.vector.seq(*source) < *seq));
            let fresh = || shown.remove(id).map(|shown| Unheard { since: now.mono, shown });
            sibling.unheard = still.or_else(fresh);
        }
    }

    /// Relays that seem to keep back mail between this device and the sibling.
    pub(super) fn withheld(&self, id: DeviceId, now: Now) -> Vec<RelayId> {
        let Some(sibling) = self.siblings.get(&id).filter(|_| self.gate_open && self.is_live(id, now)) else {
            return Vec::new();
        };
        let silent = sibling.unheard.as_ref().is_some_and(|unheard| unheard.alarm_at() <= now.mono);
        let suspected: Vec<RelayId> = sibling.lane.suspected(ALARM, now.mono).collect();
        let shared = self.relays.iter().filter(|relay| relay.up).map(|relay| relay.id);
        shared.filter(|relay| suspected.contains(relay) || (silent && sibling.relays.contains(relay))).collect()
    }
}
