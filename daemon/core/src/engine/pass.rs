//! Passes: sending all that there is to say at one moment, and knowing when that is done.
//!
//! A device that does not send by itself keeps its gate shut and opens it for a pass. A device that does can have passes too: a person asks
//! for one, and wants to know what became of it.
//!
//! **When a pass is over.** What it has to bring out is fixed when it begins, by a [`PassMark`]: own bundles written later do not prolong it,
//! or it would not end while an import runs. It is over when no parcel with any of that is under way: each was put, or refused by every
//! healthy relay (a refused parcel leaves over the next one at once, and is under way again).

use super::Engine;
use crate::ids::{Now, Seq};

/// All that there was to say at one moment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PassMark {
    own: Seq,
    ticket: u64,
}

impl Engine {
    /// Marks all that there is to say now: to be called after [`Engine::settle`], when the pass's first parcels are under way.
    pub fn pass_mark(&self) -> PassMark {
        PassMark { own: self.last(), ticket: self.tickets }
    }

    /// Whether the pass that began at `mark` is over.
    pub fn is_pass_over(&self, mark: PassMark) -> bool {
        // Tickets begin anywhere and wrap: earlier is what lies less than half of all numbers back.
        let departed_before = |ticket: u64| mark.ticket.wrapping_sub(ticket) <= u64::MAX / 2;
        self.under_way.iter().all(|(ticket, parcel)| {
            let brings = parcel.own.is_some_and(|after| after < mark.own) || !parcel.foreign.is_empty();
            !departed_before(*ticket) && !brings && !parcel.asked
        })
    }

    pub(super) fn begin_pass(&mut self, now: Now) {
        for sibling in self.siblings.values_mut() {
            sibling.lane.retry(now.mono);
            sibling.receipt_due = sibling.receipt_due.map(|due| due.min(now.mono));
        }
    }
}
