//! Bridges: devices that share relays with two siblings which share none.
//!
//! Such siblings cannot reach each other. What one of them writes would come to the other when it is asked for, or after the minute that a
//! laggard is given; a bridge hands it on at once. Of several bridges the one with the lowest id does, and the others look on: if it fails,
//! that is what the minute is for. Receipts go the same way (`hearsay`). Where somebody looks for mail is its own word ([`crate::parcel::Letter::relays`]).

use std::collections::BTreeMap;

use super::Engine;
use super::sibling::Owed;
use crate::ids::{DeviceId, Now, RelayId, Seq, SourceId};

impl Engine {
    /// Hands on what a sibling lacks of others that cannot reach it.
    pub(super) fn bridge(&mut self, to: DeviceId, lacked: &[(SourceId, Owed)], now: Now) {
        let bridged: Vec<(SourceId, Owed)> = lacked
            .iter()
            .filter(|(source, _)| {
                let author = self.sources.get(source).map(|known| known.device);
                author.is_some_and(|author| self.is_first_bridge(author, to, now))
            })
            .copied()
            .collect();
        let Some(sibling) = self.siblings.get_mut(&to) else { return };
        for (source, owed) in bridged {
            let after = sibling.bridged.insert(source, owed.upto).unwrap_or_default().max(owed.after);
            if after < owed.upto {
                sibling.owe(source, Owed { after, ..owed });
            }
        }
    }

    /// Whether the two cannot reach each other, and this device comes first of those that reach both.
    pub(super) fn is_first_bridge(&self, author: DeviceId, to: DeviceId, now: Now) -> bool {
        let looks = |id: &DeviceId| self.siblings.get(id).map(|sibling| sibling.relays.as_slice()).unwrap_or_default();
        let (from, at) = (looks(&author), looks(&to));
        if meet(from, at) {
            return false;
        }
        let own: Vec<RelayId> = self.relays.iter().map(|relay| relay.id).collect();
        // Of one that did not say where it looks nothing is known, and nobody joins it.
        let joins = |relays: &[RelayId]| meet(relays, from) && meet(relays, at);
        let mut before = self.siblings.range(..self.me);
        joins(&own) && !before.any(|(id, _)| self.is_live(*id, now) && joins(looks(id)))
    }
}

/// How far others' sources were handed on to a sibling.
pub(super) type Bridged = BTreeMap<SourceId, Seq>;

/// Whether somebody looks where somebody else does.
pub(super) fn meet(some: &[RelayId], others: &[RelayId]) -> bool {
    some.iter().any(|relay| others.contains(relay))
}
