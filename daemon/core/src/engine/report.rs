//! What the engine says of itself.

use super::Engine;
use crate::ids::{Millis, Now};
use crate::step::{SiblingStatus, Status};

impl Engine {
    /// A picture for `status`, `wait` and `store compare`.
    pub fn status(&self, now: Now) -> Status {
        let mut known = self.vector.clone();
        let mut pending_up = 0;
        let mut siblings = Vec::with_capacity(self.siblings.len());
        for (id, sibling) in &self.siblings {
            let Some(member) = self.roster.member(*id) else { continue };
            let live = self.is_live(*id, now);
            let held = &sibling.receipt.vector;
            if live {
                known.join(held);
                let own = self.sources.iter().filter(|(_, source)| source.device == self.me);
                let lacks: u64 = own.map(|(source, _)| self.vector.seq(*source).since(held.seq(*source))).sum();
                pending_up = pending_up.max(lacks);
            }
            siblings.push(SiblingStatus {
                device: *id,
                name: member.device.name.clone(),
                live,
                heard: sibling.heard,
                lag: held.lacking(&self.vector),
                ahead: self.vector.lacking(held),
                vector: held.clone(),
                digest: sibling.digest.as_ref().filter(|(_, at)| at == held).map(|(digest, _)| *digest),
                prekey: self.prekey_of(*id).unwrap_or_default(),
                op_level: sibling.op_level,
                sums: sibling.sums.as_ref().filter(|(_, at)| at == held).map(|(sums, _)| sums.clone()),
                epoch: sibling.epoch,
                epoch_known: sibling.epoch_known,
                roster_known: sibling.roster_known,
                clock_ahead: sibling.clock_ahead,
                withheld: self.withheld(*id, now),
            });
        }
        let pending_down = self.vector.lacking(&known);
        // A device that has just joined knows of no history yet: until a sibling has spoken, nothing says that it has everything.
        let heard = siblings.iter().all(|s| !s.live) || siblings.iter().any(|s| s.live && s.heard.is_some());
        Status {
            me: self.me,
            restarted: (self.generation > 1).then(|| Millis((self.generation >> 16).saturating_mul(1000))),
            source: self.source,
            epoch: self.epoch(),
            prekey_slot: self.prekeys.newest.slot,
            removed: self.is_removed(),
            from_removed: self.from_removed,
            vector: self.vector.clone(),
            bundle_seq: self.bundle_seq,
            siblings,
            refused: self.broken_sources(),
            early: u64::try_from(self.early.len()).unwrap_or(u64::MAX),
            lacking: self.keeping.lacking(),
            kept_by: self.bodies_kept_by(now).into_iter().collect(),
            keeps_for: self.keeping.promised_to().collect(),
            hydrating: self.hydration.as_ref().map(|hydration| hydration.state),
            pending_down,
            pending_up,
            synced: heard && pending_up == 0 && pending_down == 0,
        }
    }
}
