//! The own source: what it was given up for.

use kinfolk_core::ids::SourceId;

use super::State;
use crate::sim::broken::{Broken, Held};

impl State {
    pub(super) fn take_fresh(&mut self, source: SourceId, generation: u64) -> Held {
        let used = self.sources.contains_key(&source);
        Broken::unless(!used, "a fresh source was never written", || format!("{source}"))?;
        let before = self.fresh.replace((source, generation)).map_or(0, |(_, generation)| generation);
        Broken::unless(generation > before, "generations only grow", || format!("{generation} after {before}"))
    }
}
