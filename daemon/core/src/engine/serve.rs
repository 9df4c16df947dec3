//! Bundles for siblings that lack them: in answer to what they ask for, and unasked when nobody else brings them.

use super::Engine;
use super::sibling::{Below, Lag, Owed};
use crate::ids::{DeviceId, Millis, Now, SourceId};
use crate::lane::backed_off;
use crate::parcel::Want;

impl Engine {
    /// A sibling asks. It gets all that we hold of the source, even if it does not know how far that reaches: a run ends at a
    /// signed head, and there may be none where its knowledge ends.
    ///
    /// An `older` generation asks from where it says, whatever a newer one has receipted: it may be another copy of the device, or
    /// one that was put back while its clock was behind, and could be helped in no other way.
    pub(super) fn wanted(&mut self, sender: DeviceId, want: Want, older: bool, now: Now) {
        if want.exact && want.source == self.source {
            // It holds another history of it: somebody else writes there.
            self.retire(now);
        }
        let upto = self.vector.seq(want.source);
        let Some(sibling) = self.siblings.get_mut(&sender) else { return };
        let receipted = sibling.receipt.vector.seq(want.source);
        let after = if older || want.exact { want.after } else { want.after.max(receipted) };
        if after < self.watermark.seq(want.source) {
            // There are no runs from there; it may not have heard.
            sibling.below = Some(Below { tell_at: now.mono, attempts: 0, asked: true });
        } else if want.exact {
            if after < upto {
                sibling.owe(want.source, Owed { after, upto });
            }
        } else if want.source == self.source && after < sibling.lane.acked() {
            sibling.lane.reset(after);
        } else if want.source == self.source {
            sibling.lane.wanted(after, now.mono);
        } else if after < upto {
            sibling.owe(want.source, Owed { after, upto });
        }
    }

    /// A sibling whose receipt has lacked third devices' bundles for [`LAG_BEFORE_PUSH`] is helped: if it has not spoken since, it is asked
    /// what it holds (most often it has them already, from their own device); if it has, it gets them unasked.
    pub(super) fn help_laggard(&mut self, id: DeviceId, now: Now) {
        let lacked = self.lacked_by(id);
        self.bridge(id, &lacked, now);
        let jitter = self.jitter();
        let Some(sibling) = self.siblings.get_mut(&id) else { return };
        if lacked.is_empty() {
            sibling.lag = None;
            return;
        }
        let next_at = now.mono.plus(backed_off(LAG_BEFORE_PUSH, 0, jitter));
        let lag = sibling.lag.get_or_insert(Lag { since: now.mono, next_at, attempts: 0 });
        if now.mono < lag.next_at {
            return;
        }
        lag.attempts = lag.attempts.saturating_add(1);
        lag.next_at = now.mono.plus(backed_off(LAG_BEFORE_PUSH, lag.attempts, jitter));
        if sibling.heard_mono.is_some_and(|heard| heard > lag.since) {
            lacked.into_iter().for_each(|(source, owed)| sibling.owe(source, owed));
        } else {
            sibling.ask_receipt = true;
        }
    }

    /// What a sibling is not known to hold of third devices' sources.
    fn lacked_by(&self, id: DeviceId) -> Vec<(SourceId, Owed)> {
        let Some(sibling) = self.siblings.get(&id) else { return Vec::new() };
        let third = self.vector.iter().filter(|(source, _)| {
            *source != self.source && self.sources.get(source).is_some_and(|known| known.device != id)
        });
        let lacked = third.map(|(source, head)| {
            let after = sibling.receipt.vector.seq(source);
            (source, Owed { after, upto: head.seq })
        });
        lacked.filter(|(_, owed)| owed.after < owed.upto).collect()
    }
}

/// How long a sibling may lack third devices' bundles before it gets them unasked: 60 s.
const LAG_BEFORE_PUSH: Millis = Millis(60_000);
