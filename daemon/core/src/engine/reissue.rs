//! What stood in an own source beyond its end is written again.
//!
//! When evidence ends a source of this device, its bundles beyond the end stop counting everywhere. Nothing accepted may be lost: so this
//! device writes them again, bundle for bundle, at the beginning of a fresh source, in the same commit that takes the evidence in
//! and the old bundles out. A crash leaves all of it done or nothing. Two copies of a device do so for a history each.
//!
//! **As if it had always stood there.** A bundle keeps its stamp and what its author had seen; only the source that ended counts up to its end. So
//! what others wrote later is not overwritten by it: shown is the latest, as before. Stamps are moved only as far as they must grow.
//! Each bundle names the one it stands for ([`Body::origin`](crate::bundle::Body)).
//!
//! *The price*: who had seen the old bundle has not seen the new one. What replaced a write meanwhile stands beside it then, as a conflict of which
//! the later is shown. Leaving out what was replaced would need to know by whom: somebody who had seen the other history
//! replaced nothing of this one.
//!
//! The device then goes on writing to that source. Evidence that ends the old source still earlier begins another one.

use std::sync::Arc;

use super::Engine;
use crate::bundle::{Bundle, BundleError};
use crate::clock::Stamp;
use crate::ids::{Millis, Now, Seq, SourceId};
use crate::look::Look;
use crate::op::Op;
use crate::step::{AppBundle, Append, Change, Committed, Output};
use crate::vector::{Head, VersionVector};

/// A source whose bundles are written again.
#[derive(Clone, Debug)]
pub(super) struct Again {
    source: SourceId,
    end: Head,
    /// What the author of the bundle written last had seen.
    seen: Arc<VersionVector>,
}

impl Engine {
    /// Begins to write again what lies beyond the end of an own source.
    pub(super) fn begin_again(&mut self, source: SourceId, end: Head, now: Now) {
        if self.last() > Seq::ZERO {
            // What was written to the source in use since is later than this.
            self.retire(now);
        }
        self.again = Some(Again { source, end, seen: Arc::default() });
        self.outputs.push_back(Output::Look(Look::Seen { source, at: end.seq }));
    }

    /// The log said what the author had seen at the end.
    pub(super) fn write_again_after(&mut self, source: SourceId, mut seen: VersionVector) {
        let Some(again) = self.again.as_mut().filter(|again| again.source == source) else { return };
        if again.end.seq > Seq::ZERO {
            seen.advance(source, again.end);
        }
        again.seen = Arc::new(seen);
        self.outputs.push_back(Output::Look(Look::Beyond { source, after: again.end.seq }));
    }

    /// Some bundles beyond the end: they are written again, and when none is left the source is taken back.
    pub(super) fn write_again(&mut self, source: SourceId, bundles: Vec<Bundle>, more: bool, now: Now) {
        let Some(mut again) = self.again.take().filter(|again| again.source == source) else { return };
        let last = bundles.last().map(|bundle| bundle.dot.seq);
        for bundle in bundles {
            let Some(body) = &bundle.body else { continue };
            if !body.context.is_empty() {
                let moved: VersionVector = body.context.iter().copied().collect();
                Arc::make_mut(&mut again.seen).join(&moved.without(source));
            }
            let origin = Some((source, bundle.head()));
            let stamp = if body.stamp.is_valid() { body.stamp } else { Stamp::default() };
            if self.write_at(stamp, &again.seen, bundle.ops().to_vec(), origin, now.wall).is_err() {
                // The name of the old bundle was too much for the largest of bundles: it stands in one before it.
                let named = self.write_at(stamp, &again.seen, Vec::new(), origin, now.wall);
                let written =
                    named.and_then(|()| self.write_at(stamp, &again.seen, bundle.ops().to_vec(), None, now.wall));
                debug_assert!(written.is_ok(), "a bundle with less than what fitted before fits");
            }
        }
        match last.filter(|_| more) {
            Some(after) => {
                self.outputs.push_back(Output::Look(Look::Beyond { source, after }));
                self.again = Some(again);
            }
            None => self.cut_source(source, again.end),
        }
    }

    /// Writes a bundle of another time: with its stamp, moved as far as it must, and what its author had seen.
    fn write_at(
        &mut self,
        stamp: Stamp,
        seen: &Arc<VersionVector>,
        ops: Vec<Op>,
        origin: Option<(SourceId, Head)>,
        at: Millis,
    ) -> Result<(), BundleError> {
        let last = self.sources.get(&self.source).map(|own| own.stamp).unwrap_or_default();
        let stamp = stamp.max(Stamp(last.0.saturating_add(1)));
        let bundle = self.next_bundle(stamp, seen, ops, origin)?;
        self.clock.observe(stamp);
        self.append_own(bundle, Arc::clone(seen), at, None);
        Ok(())
    }

    /// Adds a bundle to the own source.
    pub(super) fn append_own(
        &mut self,
        bundle: Bundle,
        context: Arc<VersionVector>,
        at: Millis,
        app: Option<(AppBundle, Committed)>,
    ) {
        self.vector.advance(bundle.dot.source, bundle.head());
        self.bundle_seq = self.bundle_seq.next();
        let (device, bundle_seq) = (self.me, self.bundle_seq);
        self.commit(Change::Append(Append { bundle, device, bundle_seq, context, at, app }));
    }
}
