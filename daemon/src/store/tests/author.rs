//! Writes bundles with true stamps, chains and contexts.

use std::sync::Arc;

use kinfolk_core::bundle::{Birth, Body, Bundle};
use kinfolk_core::clock::HybridClock;
use kinfolk_core::ids::{DeviceId, Dot, Millis, SourceId};
use kinfolk_core::op::Op;
use kinfolk_core::vector::VersionVector;

/// One device's hand.
pub(crate) struct Author {
    device: DeviceId,
    source: SourceId,
    clock: HybridClock,
    wall: u64,
    seen: VersionVector,
    last_context: Arc<VersionVector>,
}

/// A bundle with what an engine adds to it.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub(crate) bundle: Bundle,
    pub(crate) device: DeviceId,
    pub(crate) context: Arc<VersionVector>,
}

impl Author {
    /// Device and source number `n`, with a wall clock that stands at `wall` seconds.
    pub(crate) fn new(n: u8, wall: u64) -> Self {
        Self {
            device: DeviceId([n; 16]),
            source: SourceId([n; 16]),
            clock: HybridClock::default(),
            wall: wall * 1_000,
            seen: VersionVector::default(),
            last_context: Arc::default(),
        }
    }

    /// Its next bundle.
    pub(crate) fn write(&mut self, ops: Vec<Op>) -> Written {
        let head = self.seen.head(self.source);
        let context = Arc::new(self.seen.without(self.source));
        let body = Body {
            stamp: self.clock.tick(Millis(self.wall)),
            birth: (head.seq.0 == 0).then_some(Birth { device: self.device, generation: 1 }),
            context: context.difference(&self.last_context),
            ops,
            origin: None,
        };
        let dot = Dot { source: self.source, seq: head.seq.next() };
        let bundle = Bundle::write(dot, head.hash, body).unwrap();
        self.seen.advance(self.source, bundle.head());
        self.last_context = Arc::clone(&context);
        Written { bundle, device: self.device, context }
    }

    /// Takes note of somebody's bundle; its causes must have been seen.
    pub(crate) fn see(&mut self, written: &Written) {
        assert!(self.seen.covers_all(&written.context));
        self.seen.advance(written.bundle.dot.source, written.bundle.head());
        self.clock.observe(written.bundle.body.as_ref().unwrap().stamp);
    }

    /// Whether it has seen all that `written` rests on, and not itself yet.
    pub(crate) fn is_next(&self, written: &Written) -> bool {
        let dot = written.bundle.dot;
        self.seen.covers_all(&written.context) && self.seen.seq(dot.source).next() == dot.seq
    }
}
